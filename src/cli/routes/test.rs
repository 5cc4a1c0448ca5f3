//! `palisade routes test`: requests and the checks that they must become.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::cli::bundle::BundleArgs;
use crate::cli::exit::{Exit, Stop};
use crate::cli::routes::Ready;
use crate::cli::routes::store::Store;
use crate::cli::terminal::{Terminal, Tone, toned};
use palisade_engine::model::near::hint_of_reader;
use palisade_engine::model::{Uid, Value};
use palisade_routes::{Body, Identity, Outcome, Peer, RequestFacts, show_check};

/// Flags of `palisade routes test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Tests: a file or a directory; may be repeated [default: `tests` beside the routes]
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<PathBuf>,
    /// Write failures and the summary only
    #[arg(short, long)]
    pub quiet: bool,
}

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    /// What types without `::` belong to.
    namespace: Option<String>,
    /// What a test says that says nothing else.
    #[serde(default)]
    defaults: Case,
    tests: Vec<Case>,
}

/// One request and what it must become.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    request: Option<String>,
    host: Option<String>,
    principal: Option<String>,
    headers: Vec<(String, String)>,
    /// JSON, sent as such; a text is sent as it is.
    body: Option<Json>,
    /// `whole`, or `partial`, or `none` where the gateway forwards no bodies.
    forwarded: Option<String>,
    claims: Option<Json>,
    /// `public`, `refuse CODE`, a check, or a list of checks.
    expect: Json,
}

/// Runs the verb.
///
/// # Errors
/// If the routes cannot be used.
pub(super) fn run(args: &TestArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Stop> {
    let ready = super::read(&args.bundle, terminal)?;
    let store = ready.store(terminal)?;
    let place = &ready.place;
    let beside = if place.is_dir() { place.join("tests") } else { place.with_file_name("tests") };
    let mut files = Vec::new();
    for path in if args.tests.is_empty() { std::slice::from_ref(&beside) } else { &args.tests } {
        files.extend(found(path)?);
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for path in files {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|error| Stop::failure(format!("cannot read {name}: {error}")))?;
        let file: TestFile = match serde_saphyr::from_str(&text) {
            Ok(file) => file,
            Err(error) => {
                // a reader shows the lines as well, so what it says comes first
                let said = error.to_string();
                let (first, rest) = said.split_once('\n').unwrap_or((&said, ""));
                writeln!(terminal.out, "{name}: {first}{}", hint_of_reader(first))?;
                if !rest.is_empty() {
                    writeln!(terminal.out, "{rest}")?;
                }
                failed += 1;
                continue;
            }
        };
        for (at, case) in file.tests.iter().enumerate() {
            let title = case.request.clone().unwrap_or_else(|| format!("test {}", at + 1));
            match judge(&ready, &store, &file, case) {
                Ok(()) => {
                    passed += 1;
                    if !args.quiet {
                        writeln!(terminal.out, "{} {name}: {title}", toned("ok", Tone::Good, terminal.color))?;
                    }
                }
                Err(why) => {
                    failed += 1;
                    writeln!(terminal.out, "{} {name}: {title}\n  {why}", toned("FAIL", Tone::Bad, terminal.color))?;
                }
            }
        }
    }
    writeln!(terminal.out, "{passed} passed, {failed} failed")?;
    if passed + failed == 0 {
        writeln!(terminal.err, "error: there are no tests in `{}`", beside.display())?;
    }
    Ok(if failed == 0 && passed > 0 { Exit::Success } else { Exit::TestsFailed })
}

/// The files of tests at a place, in the order of their names.
fn found(place: &Path) -> Result<Vec<PathBuf>, Stop> {
    if !place.is_dir() {
        return Ok(if place.exists() { vec![place.to_owned()] } else { Vec::new() });
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(place)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
    files.sort();
    Ok(files)
}

fn judge(ready: &Ready, store: &Store, file: &TestFile, case: &Case) -> Result<(), String> {
    let request = case.request.as_deref().ok_or("the test lacks `request`")?;
    let (method, target) = request.split_once(' ').ok_or("`request` is a method and a target, such as `GET /a`")?;
    let namespace = file.namespace.as_ref().map(|namespace| format!("{namespace}::")).unwrap_or_default();
    let principal = match case.principal.as_ref().or(file.defaults.principal.as_ref()) {
        Some(text) => Some(uid(text, &namespace)?),
        None => None,
    };
    let body = case.body.as_ref().map(|body| match body {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    });
    let mut headers = case.headers.clone();
    if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let forwarded = match (case.forwarded.as_deref(), &body) {
        (Some("none"), _) => Body::NotForwarded,
        (Some("partial"), _) => Body::Partial,
        (None | Some("whole"), body) => Body::Whole(body.as_ref().map_or(b"", |body| body.as_bytes())),
        (Some(other), _) => return Err(format!("`forwarded` is `whole`, `partial` or `none`, not `{other}`")),
    };
    let claims = case.claims.as_ref().map(ToString::to_string);
    let claims = claims.as_ref().map(|text| Value::parse(text.as_bytes())).transpose().map_err(|e| e.to_string())?;
    let identity = principal.map(|principal| Identity { principal, auth: None, token: None, claims: claims.as_ref() });
    let facts = RequestFacts {
        method,
        target: target.as_bytes(),
        host: case.host.as_deref().or(file.defaults.host.as_deref()),
        headers: &headers,
        body: forwarded,
        peer: Peer::default(),
    };
    let got = match ready.table.resolve(facts, identity.as_ref(), store) {
        Ok(Outcome::Public) => vec!["public".to_owned()],
        Ok(Outcome::Checks(checks)) => checks.iter().map(show_check).collect(),
        Err(refusal) => vec![format!("refuse {}", refusal.code)],
    };
    let expected: Vec<String> = match &case.expect {
        Json::String(one) => vec![one.clone()],
        Json::Array(all) => all
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or("`expect` is a text or a list of texts"))
            .collect::<Result<_, _>>()?,
        _ => return Err("the test lacks `expect`".to_owned()),
    };
    if got == expected {
        Ok(())
    } else {
        Err(format!("expected {}\n  got      {}", expected.join("; "), got.join("; ")))
    }
}

fn uid(text: &str, namespace: &str) -> Result<Uid<'static>, String> {
    if text.contains("::\"") {
        return Uid::parse(text).map(Uid::into_owned).map_err(|error| error.to_string());
    }
    let (type_name, id) = text.rsplit_once("::").ok_or_else(|| format!("`{text}` is not an entity"))?;
    let type_name = if type_name.contains("::") { type_name.to_owned() } else { format!("{namespace}{type_name}") };
    Uid::new(type_name, id.to_owned()).map_err(|error| error.to_string())
}
