//! Configuration: what the file, the environment and the command line say, checked and typed.
//!
//! Two stages. `raw` is what can be written, and the source of the published JSON Schema; [`Settings`]
//! is what it means, with every value checked. Between them lies one JSON tree in which each node
//! remembers where it came from. Every problem is reported, not the first. Nothing here opens a socket
//! or reads a policy, and the process environment comes in as an argument.

mod check;
mod emptied;
mod env;
mod listen;
mod mask;
mod near;
mod problem;
mod raw;
mod schema;
mod secret;
mod settings;
mod template;
#[cfg(test)]
pub(crate) use schema::tests::conforms;
#[cfg(test)]
mod tests;
mod tree;
mod units;

use std::path::{Path, PathBuf};

use palisade_text::yaml;

use self::tree::Tree;
pub use listen::ListenAddr;
pub use mask::{MaskPath, MaskStep};
pub use near::near_path;
pub use problem::{ConfigErrors, Origin, Problem};
pub use raw::{
    CredentialKind, Durability, Effect, EngineKind, ExplainMode, LogFormat, NowMode, Overflow, OverlayRule, Semantics,
    Validation,
};
pub use schema::json_schema;
pub use secret::Secret;
pub use settings::identity::{
    ClaimSettings, CredentialSettings, IdentitySettings, IssuerSettings, KeySource, KeyUrl, PeerSettings,
    SigningAlgorithm,
};
pub use settings::{
    AdminSettings, AuthzenSettings, CacheSettings, ContextSettings, DecisionLogSettings, DecisionSettings,
    EngineSettings, ExplainSettings, GatewaySettings, HttpSettings, LimitSettings, ListenSettings, LoadSettings,
    LogSettings, LogSink, OverlaySettings, ReloadSettings, Settings, ShutdownSettings, SocketSettings, StoreSettings,
};
pub use template::{FillError, UidTemplate, UriPattern};

/// The file that is read when nothing names another.
pub const DEFAULT_FILE: &str = "palisade.yaml";

/// Names that are easily taken for that of the file.
const LIKE_THE_FILE: [&str; 3] = ["palisade.yml", "palisade.YAML", "palisade.YML"];

/// Where policies are read from when nothing names another place.
pub const DEFAULT_POLICIES: &str = "./policies";

/// Where entities are read from when nothing names another place; it may be missing.
pub const DEFAULT_ENTITIES: &str = "./entities";

/// Where routes are read from when nothing names another place and policies come from theirs: the first that is there.
pub const DEFAULT_ROUTES: [&str; 2] = ["./routes", "./routes.yaml"];

/// Where gRPC is served when nothing names another address; it may be taken.
pub const DEFAULT_GRPC: &str = "127.0.0.1:9191";

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "PALISADE_CONFIG";

/// Reads and checks the configuration: flags before environment before file before defaults.
///
/// The file is `file`, else what `PALISADE_CONFIG` names, else `./palisade.yaml` if there is one.
/// `flags` is the part of the tree that the command line sets; its `null`s count as absent.
///
/// # Errors
/// Every problem found, in all sources.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: serde_json::Value,
) -> Result<Settings, ConfigErrors> {
    load_both(file, env, flags).map(|(_, settings)| settings)
}

/// The configuration that [`load`] reads, as it could be written into a file: every key with its value.
///
/// # Errors
/// Every problem found, in all sources.
pub fn effective(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: serde_json::Value,
) -> Result<serde_json::Value, ConfigErrors> {
    let (raw, _) = load_both(file, env, flags)?;
    serde_json::to_value(raw)
        .map_err(|error| ConfigErrors(vec![Problem::new(Origin::Default, "", format!("cannot be shown: {error}"))]))
}

fn load_both(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: serde_json::Value,
) -> Result<(raw::RawConfig, Settings), ConfigErrors> {
    let env: Vec<(String, String)> = env.into_iter().filter(|(name, _)| name.starts_with(env::PREFIX)).collect();
    let mut problems = Vec::new();
    let text = text_of(file, &env, &mut problems);
    settings_of(text.as_ref().map(|(path, text)| (path.as_path(), text.as_str())), env, flags, problems)
}

/// What sets a key: the file with the line, a variable, or `flags`. Nothing where it has its default.
pub fn origin(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &serde_json::Value,
    key: &[&str],
) -> Option<Origin> {
    let env: Vec<(String, String)> = env.into_iter().filter(|(name, _)| name.starts_with(env::PREFIX)).collect();
    // the caller has read the configuration, and its problems were reported
    let mut problems = Vec::new();
    let text = text_of(file, &env, &mut problems);
    let text = text.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
    let tree = tree_of(text, env, flags.clone(), &schema::reader_schema(), &mut problems);
    let path: Vec<String> = key.iter().map(|key| (*key).to_owned()).collect();
    tree.get(&path).map(|_| tree.origin(&path))
}

/// The file with what it holds, if there is one.
fn text_of(file: Option<&Path>, env: &[(String, String)], problems: &mut Vec<Problem>) -> Option<(PathBuf, String)> {
    let path = named(file, env).or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
    // its author would think that it counts, and the defaults would serve
    if path.is_none()
        && let Some(like) = LIKE_THE_FILE.into_iter().find(|name| Path::new(name).exists())
    {
        let origin = Origin::File { path: PathBuf::from(like), line: None };
        let message = format!("is not read: rename it to `{DEFAULT_FILE}`, or name it with `--config {like}`");
        problems.push(Problem::new(origin, "", message));
    }
    path.and_then(|path| match std::fs::read_to_string(&path) {
        Ok(text) => Some((path, text)),
        Err(error) => {
            let near = near_path(&path);
            let origin = Origin::File { path, line: None };
            problems.push(Problem::new(origin, "", format!("cannot read the configuration file: {error}{near}")));
            None
        }
    })
}

/// Where the configuration file is, or would be.
pub fn file_place(file: Option<&Path>) -> PathBuf {
    named(file, &environment().collect::<Vec<_>>()).unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
}

/// The file that is named by a flag or by the environment.
fn named(file: Option<&Path>, env: &[(String, String)]) -> Option<PathBuf> {
    file.map(Path::to_owned).or_else(|| {
        let (_, path) = env.iter().find(|(name, path)| name == FILE_VARIABLE && !path.is_empty())?;
        Some(PathBuf::from(path))
    })
}

/// Merges the sources, then checks the result. `problems` are those found before.
fn settings_of(
    file: Option<(&Path, &str)>,
    env: Vec<(String, String)>,
    flags: serde_json::Value,
    mut problems: Vec<Problem>,
) -> Result<(raw::RawConfig, Settings), ConfigErrors> {
    let schema = schema::reader_schema();
    let mut tree = tree_of(file, env, flags, &schema, &mut problems);
    schema::report_unknown_keys(&mut tree, &schema, &mut problems);
    let raw = schema::deserialize(&mut tree, &schema, &mut problems);
    let settings = check::check(raw.clone(), &tree, &mut problems);
    problems.sort_by_key(Problem::order);
    if problems.is_empty() { Ok((raw, settings)) } else { Err(ConfigErrors(problems)) }
}

/// Merges the sources.
fn tree_of(
    file: Option<(&Path, &str)>,
    env: Vec<(String, String)>,
    flags: serde_json::Value,
    schema: &serde_json::Value,
    problems: &mut Vec<Problem>,
) -> Tree {
    let mut tree = Tree::default();
    if let Some((path, text)) = file {
        match yaml::parse(text) {
            // anything later would replace it whole, and hide that it was ignored
            Ok(document) if !document.value.is_object() => {
                let origin = Origin::File { path: path.to_owned(), line: Some(1) };
                problems.push(Problem::new(origin, "", "must be a mapping, such as `policies: ./policies`"));
            }
            Ok(document) => {
                tree.merge(document.value, &|at| Origin::File { path: path.to_owned(), line: document.lines.get(at) })
            }
            Err(error) => {
                let origin = Origin::File { path: path.to_owned(), line: error.line };
                problems.push(Problem::new(origin, "", error.quoting_no_key().message));
            }
        }
    }
    for variable in env::variables(env, schema, problems) {
        let origin = Origin::Variable(variable.name);
        emptied::report(&tree, &variable.value, &origin, problems);
        tree.merge(variable.value, &|_| origin.clone());
    }
    report_emptied(&Tree::of_flags(&flags), problems);
    report_emptied(&tree, problems);
    tree.merge(tree::without_nulls(flags), &|_| Origin::CommandLine);
    // after the merge, so that an empty variable takes back what the file set
    tree.drop_nulls();
    tree
}

/// What guards something: a template that renders nothing for one of these must not take the guard away. A section is
/// one as soon as its variable is set; in a file a section may have all of its keys commented out.
const GUARDS: [&[&str]; 5] =
    [&["admin"], &["admin", "token_file"], &["admin", "tokens"], &["decision_log"], &["decision_log", "mask"]];

/// Reports each guard that is there without a value.
fn report_emptied(tree: &Tree, problems: &mut Vec<Problem>) {
    for guard in GUARDS {
        let path: Vec<String> = guard.iter().map(|key| (*key).to_owned()).collect();
        let origin = tree.origin(&path);
        let counts = guard.len() > 1 || !matches!(origin, Origin::File { .. });
        if counts && tree.get(&path).is_some_and(serde_json::Value::is_null) {
            let message = "has no value, which would remove a protection: set one, or leave the key out";
            problems.push(Problem::new(origin, tree::shown(&path), message));
        }
    }
}

/// The process environment. Values that are not Unicode come through with replacement characters.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    // `std::env::vars` panics at the first value that is not Unicode, even in a variable that is not ours
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}
