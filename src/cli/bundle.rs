//! The bundle that a verb works on: the flags that name it, the configuration that it is judged by, and reading it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::app;
use crate::cli::exit::Stop;
use crate::cli::flags::{ConfigArgs, set};
use crate::config::{self, Settings, near_path};
use crate::source::layout::{self, Layout};
use crate::source::{FileSettings, FileSource, Held, Source};
use palisade_engine::model::{Bundle, Diagnostic, Severity};
use palisade_engine::{EngineSettings, NO_SCHEMA};

/// The origin of the engine's problem that there is no schema; a problem in a schema has its file's.
const SCHEMA: &str = "schema";

/// Which bundle to read, and with which configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct BundleArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Policies: a directory, a single file, or a bundle directory, which holds `policies`, `entities` and `routes`, and
    /// brings its own whatever the configuration names [key: policies] [default: ./policies]
    #[arg(short, long, value_name = "PATH", help_heading = "Bundle")]
    pub policies: Option<PathBuf>,
    /// Schema, in Cedar's or the JSON syntax, instead of the files `*.cedarschema` in the directory of the policies (or of
    /// the single file), or beside a directory called `policies` [key: schema]
    #[arg(short, long, value_name = "PATH", help_heading = "Bundle")]
    pub schema: Option<PathBuf>,
    /// Entities: a directory or a single file [key: entities] [default: `entities` in a bundle directory, else ./entities]
    #[arg(long, value_name = "PATH", help_heading = "Bundle")]
    pub entities: Option<PathBuf>,
    /// Routes of the gateway endpoints: a directory or a single file [key: routes] [default: `routes` or `routes.yaml`
    /// in a bundle directory, or here if `policies` is not set]
    #[arg(long, value_name = "PATH", help_heading = "Bundle")]
    pub routes: Option<PathBuf>,
}

/// The bundle that the flags and the configuration name.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The configuration, as `serve` reads it.
    pub settings: Settings,
    /// Where the bundle is.
    pub layout: Layout,
    /// What of it is not there, though `serve` waits for it, or is another bundle's.
    absent: Vec<Diagnostic>,
}

/// What could be read.
#[derive(Debug)]
pub struct Read {
    /// The bundle.
    pub bundle: Bundle,
    /// What its author should see.
    pub warnings: Vec<Diagnostic>,
    /// What each file holds, by its path.
    pub files: BTreeMap<String, Held>,
}

// === impl BundleArgs ===

impl BundleArgs {
    /// The part of the configuration that the flags set.
    ///
    /// # Errors
    /// If a `--set` has no key.
    pub fn tree(&self) -> Result<Value, Stop> {
        let mut tree = self.config.tree()?;
        for (key, path) in self.named() {
            if let Some(path) = path {
                set(&mut tree, &[key], Value::from(path.to_string_lossy()));
            }
        }
        if let Some(directory) = bundle_directory(&tree) {
            for (key, path) in self.own_parts(&tree, &directory) {
                set(&mut tree, &[key], Value::from(path.to_string_lossy()));
            }
        }
        Ok(tree)
    }

    /// What a bundle directory of the command line has itself of what the file or the environment names elsewhere: who
    /// names a bundle means all of it.
    fn own_parts(&self, tree: &Value, directory: &Path) -> Vec<(&'static str, PathBuf)> {
        // what is wrong with the configuration is reported where it is read
        let Ok(settings) = self.config.load(tree.clone()) else { return Vec::new() };
        let is_named_elsewhere = |key: &str| {
            let named = match key {
                "entities" => &settings.entities,
                "schema" => &settings.schema,
                _ => &settings.routes,
            };
            // a place that is not there is most often misspelt, which is reported
            tree.get(key).is_none() && named.as_ref().is_some_and(|path| path.exists())
        };
        layout::own_parts(directory).into_iter().filter(|(key, _)| is_named_elsewhere(key)).collect()
    }

    /// The place of entities that the configuration names and a bundle directory of the command line does not have.
    fn entities_of_others(&self, layout: &Layout) -> Option<Diagnostic> {
        let directory = bundle_directory(&self.tree().ok()?)?;
        let origin = self.config.origin(&["entities"]).filter(|_| self.entities.is_none())?;
        let is_elsewhere = layout.entities_named && !layout.entities.starts_with(&directory);
        // `--set` is the command line, too
        let is_meant = self.config.tree().ok()?.get("entities").is_some();
        if !is_elsewhere || is_meant {
            return None;
        }
        let place = directory.display();
        let message = format!(
            "these entities do not belong to the bundle directory `{place}`, which has no `entities`: `entities` names them \
             ({origin})"
        );
        let help = format!(
            "name them with `--entities` if they are meant, or put those of the bundle into `{}`",
            directory.join("entities").display()
        );
        Some(Diagnostic::error(layout.entities.display().to_string(), message).warning().help(help))
    }

    /// Finds out which bundle is meant, and by which configuration it is judged.
    ///
    /// # Errors
    /// If the configuration is wrong, or something that a flag names does not exist.
    pub fn choose(&self) -> Result<Chosen, Stop> {
        self.choose_with(|_| ())
    }

    /// The same, with more of the configuration set by flags of the verb's own.
    ///
    /// # Errors
    /// As above.
    pub fn choose_with(&self, more: impl FnOnce(&mut Value)) -> Result<Chosen, Stop> {
        for (flag, path) in self.named() {
            if let Some(path) = path
                && !is_there(path)?
            {
                return Err(no_such(flag, path));
            }
        }
        let mut tree = self.tree()?;
        more(&mut tree);
        let settings = self.config.load(tree)?;
        let layout = Layout::of(&settings);
        if !is_there(&layout.policies)? {
            let (place, near) = (layout.policies.display(), near_path(&layout.policies));
            // who reads a message about a place wants to know who named it
            let message = match self.config.origin(&["policies"]) {
                Some(origin) => format!(
                    "there is no `{place}`, which `policies` names ({origin}): correct it, or name another with `--policies`{near}"
                ),
                None => {
                    format!(
                        "there is no `{place}` here: change to a bundle directory, or name one with `--policies`{near}"
                    )
                }
            };
            return Err(Stop::failure(message));
        }
        let mut absent = self.absent(&settings, &layout)?;
        absent.extend(self.entities_of_others(&layout));
        Ok(Chosen { settings, layout, absent })
    }

    /// What `serve` would wait for, an error each. Entities that no key names, and nothing has nearly the name of, are a
    /// warning: policies can be looked at before there are entities.
    fn absent(&self, settings: &Settings, layout: &Layout) -> Result<Vec<Diagnostic>, Stop> {
        let required = app::file_settings(settings).entities_required;
        let routes = layout.routes.as_ref().filter(|_| layout.routes_named);
        let parts = [
            ("entities", Some(&layout.entities).filter(|_| required), ENTITIES),
            ("schema", layout.schema.as_ref(), "create it, or name another with `--schema`"),
            ("routes", routes, "create it, or name another with `--routes`"),
        ];
        let mut found = Vec::new();
        for (key, path, help) in parts {
            let Some(path) = path else { continue };
            if is_there(path)? {
                continue;
            }
            let who = match self.config.origin(&[key]) {
                Some(origin) => format!("`{key}` names it ({origin})"),
                None => "`serve` would wait for it".to_owned(),
            };
            let near = near_path(path);
            let message = format!("this should hold the {key}, but it does not exist; {who}{near}");
            let problem = Diagnostic::error(path.display().to_string(), message).help(help).passing();
            let is_error = key != "entities" || layout.entities_named || !near.is_empty();
            found.push(if is_error { problem } else { problem.warning() });
        }
        Ok(found)
    }

    fn named(&self) -> [(&'static str, &Option<PathBuf>); 4] {
        [("policies", &self.policies), ("schema", &self.schema), ("entities", &self.entities), ("routes", &self.routes)]
    }
}

// === impl Chosen ===

impl Chosen {
    /// What of the configuration concerns the engine: exactly what `serve` does with it, so that what is tested is what
    /// serves.
    #[must_use]
    pub fn engine(&self) -> EngineSettings {
        app::engine_settings(&self.settings)
    }

    /// Why `serve` refuses the bundle for want of a schema, if it does.
    #[must_use]
    pub fn missing_schema(&self, bundle: &Bundle) -> Option<Diagnostic> {
        let is_strict = self.settings.validation == config::Validation::Strict;
        let missing = (is_strict && bundle.schema.is_none()).then(|| Diagnostic::error(SCHEMA, NO_SCHEMA))?;
        Some(missing.help(self.where_schemas_are()))
    }

    /// The same problems; where one is that there is no schema, it says where one is looked for and how to go on.
    #[must_use]
    pub fn with_places(&self, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
        // a file may be called so too
        let is_missing =
            |found: &&mut Diagnostic| found.origin == SCHEMA && found.message.starts_with("there is no schema");
        for problem in problems.iter_mut().filter(is_missing) {
            problem.help = Some(self.where_schemas_are());
        }
        problems
    }

    /// Where a schema is looked for, what it may be called, and how to do without.
    fn where_schemas_are(&self) -> String {
        let layout = &self.layout;
        let places: Vec<String> = layout.schema_places().iter().map(|place| format!("`{}`", place.display())).collect();
        let near = layout.like_a_schema().map(|path| format!("`{}` is not read: rename it? ", path.display()));
        format!(
            "{}a schema is a file named `*.cedarschema` or `*.cedarschema.json` in {}; or name one with `--schema FILE` or \
             the key `schema`; or do without one: `--set validation=off`",
            near.unwrap_or_default(),
            places.join(" or ")
        )
    }

    /// Reads the bundle without routes.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn read(&self) -> Result<Read, Vec<Diagnostic>> {
        self.whole(read(&self.source()))
    }

    /// The same, with what was found written to `to`; nothing where the bundle cannot be read.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn read_shown(&self, to: &mut dyn Write) -> std::io::Result<Option<Bundle>> {
        match self.read() {
            Ok(read) => show(&read.warnings, to).map(|()| Some(read.bundle)),
            Err(problems) => show(&problems, to).map(|()| None),
        }
    }

    /// Where something should be that is not there.
    pub(super) fn absent(&self) -> impl Iterator<Item = &str> {
        self.absent.iter().filter(|absent| absent.passing).map(|absent| absent.origin.as_str())
    }

    /// What was read, if nothing is absent that `serve` waits for.
    pub(super) fn whole(&self, read: Result<Read, Vec<Diagnostic>>) -> Result<Read, Vec<Diagnostic>> {
        let is_known = |problem: &Diagnostic| self.absent.iter().any(|absent| absent.origin == problem.origin);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            self.absent.iter().cloned().partition(|absent| absent.severity == Severity::Error);
        match read {
            Ok(mut read) if errors.is_empty() => {
                read.warnings.splice(0..0, warnings);
                Ok(read)
            }
            Ok(_) => Err(errors),
            Err(found) => Err(errors.into_iter().chain(found.into_iter().filter(|it| !is_known(it))).collect()),
        }
    }

    /// The source of the bundle without routes.
    #[must_use]
    pub fn source(&self) -> FileSource {
        let layout = Layout { routes: None, ..self.layout.clone() };
        layout.source(self.files())
    }

    /// Reads the bundle with its routes, if it has any.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn read_with_routes(&self) -> Result<Read, Vec<Diagnostic>> {
        self.whole(read(&self.layout.source(self.files())))
    }

    /// What of the bundle can be used, where not all of it can be read: to report what is wrong with the rest too.
    #[must_use]
    pub fn rest(&self) -> Bundle {
        self.layout.source(self.files()).rest()
    }

    /// As `serve` reads files; but entities that no key names are looked for by [`BundleArgs::choose`] alone.
    pub fn files(&self) -> FileSettings {
        let files = app::file_settings(&self.settings);
        FileSettings { entities_required: files.entities_required && self.layout.entities_named, ..files }
    }
}

/// The bundle directory that the command line names, if it names one.
fn bundle_directory(tree: &Value) -> Option<PathBuf> {
    let given = Path::new(tree.get("policies")?.as_str()?);
    layout::is_bundle(given).then(|| given.to_owned())
}

/// What to do where there are no entities.
const ENTITIES: &str = "create it or mount it, name another with `--entities`, or set `load.allow_empty_entities: true` if \
                        none exist";

/// There is nothing where a flag says.
pub(super) fn no_such(flag: &str, path: &Path) -> Stop {
    let near = near_path(path);
    Stop::failure(format!("`--{flag} {}`: there is no such file or directory{near}", path.display()))
}

/// Whether there is something at `path`.
///
/// # Errors
/// If it cannot be known, since a directory above it may not be looked into.
pub(super) fn is_there(path: &Path) -> Result<bool, Stop> {
    path.try_exists().map_err(|error| Stop::failure(format!("cannot read `{}`: {error}", path.display())))
}

/// Reads what `source` has.
///
/// # Errors
/// Every problem of the files.
pub(super) fn read(source: &FileSource) -> Result<Read, Vec<Diagnostic>> {
    let loaded = source.load()?;
    Ok(Read { bundle: loaded.bundle, warnings: loaded.warnings, files: loaded.files })
}

/// Writes findings for people, worst first as they came.
///
/// # Errors
/// If they cannot be written.
pub(super) fn show(diagnostics: &[Diagnostic], to: &mut dyn Write) -> std::io::Result<()> {
    diagnostics.iter().try_for_each(|diagnostic| writeln!(to, "{diagnostic}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bundle_directory_a_directory_of_policies_and_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("policies")).unwrap();
        fs::create_dir_all(root.join("entities")).unwrap();
        fs::write(root.join("policies/a.cedar"), "permit(principal, action, resource);").unwrap();
        let choose = |path: &str| {
            BundleArgs { policies: Some(root.join(path)), ..BundleArgs::default() }.choose().map(|chosen| chosen.layout)
        };

        let whole = choose("").unwrap();
        assert_eq!((&whole.policies, &whole.entities), (&root.join("policies"), &root.join("entities")));
        assert_eq!(whole.tests(), root.join("policies/tests"));
        assert_eq!(choose("policies").unwrap().policies, root.join("policies"));
        assert_eq!(choose("policies/a.cedar").unwrap().tests(), root.join("policies/tests"));

        let error = choose("nowhere").unwrap_err();
        assert!(error.message.contains("there is no such file or directory"), "{error}");
    }
}
