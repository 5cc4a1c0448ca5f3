//! The bundle that a verb works on: the flags that name it, and reading it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::exit::Stop;
use crate::domain::{Bundle, Diagnostic};
use crate::source::{FileSettings, FileSource, Source};

/// Where policies are if nothing names another place.
const DEFAULT_POLICIES: &str = "./policies";

/// Where entities are if nothing names another place.
const DEFAULT_ENTITIES: &str = "./entities";

/// Which bundle to read.
#[derive(Debug, Clone, Default, Args)]
pub struct BundleArgs {
    /// Policies: a directory, a single file, or a directory that holds `policies` and `entities` [default: ./policies]
    #[arg(short, long, value_name = "PATH", help_heading = "Bundle")]
    pub policies: Option<PathBuf>,
    /// Schema, in Cedar's or the JSON syntax, instead of the one beside the policies
    #[arg(short, long, value_name = "PATH", help_heading = "Bundle")]
    pub schema: Option<PathBuf>,
    /// Entities: a directory or a single file [default: ./entities if it exists]
    #[arg(long, value_name = "PATH", help_heading = "Bundle")]
    pub entities: Option<PathBuf>,
}

/// The places that [`BundleArgs`] mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// A directory, or a file.
    pub policies: PathBuf,
    /// A directory, or a file.
    pub entities: Option<PathBuf>,
    /// A directory, or a file, if it is not beside the policies.
    pub schema: Option<PathBuf>,
}

/// What could be read.
#[derive(Debug)]
pub struct Read {
    /// The bundle.
    pub bundle: Bundle,
    /// What its author should see.
    pub warnings: Vec<Diagnostic>,
}

// === impl BundleArgs ===

impl BundleArgs {
    /// Finds out what the flags mean.
    ///
    /// # Errors
    /// If something that a flag names does not exist.
    pub fn places(&self) -> Result<Places, Stop> {
        for (flag, path) in [("--policies", &self.policies), ("--schema", &self.schema), ("--entities", &self.entities)]
        {
            if let Some(path) = path
                && !path.exists()
            {
                return Err(Stop::failure(format!("`{flag} {}`: there is no such file or directory", path.display())));
            }
        }
        let given = self.policies.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_POLICIES));
        let (policies, beside) = match given.join("policies") {
            inner if inner.is_dir() => (inner, given.join("entities")),
            _ => (given, PathBuf::from(DEFAULT_ENTITIES)),
        };
        if !policies.exists() {
            return Err(Stop::failure(format!(
                "there is no `{}` here: change to a bundle directory, or name one with `--policies`",
                policies.display()
            )));
        }
        let entities = self.entities.clone().or_else(|| Some(beside).filter(|path| path.exists()));
        Ok(Places { policies, entities, schema: self.schema.clone() })
    }
}

impl BundleArgs {
    /// The routes beside the bundle, if there are any: in the bundle directory that is named, else here.
    #[must_use]
    pub fn routes_beside(&self) -> Option<PathBuf> {
        let root = self.policies.clone().filter(|path| path.join("policies").is_dir()).unwrap_or_default();
        ["routes", "routes.yaml"].map(|name| root.join(name)).into_iter().find(|path| path.exists())
    }
}

// === impl Places ===

impl Places {
    /// Where the tests of these policies are.
    #[must_use]
    pub fn tests(&self) -> PathBuf {
        let base =
            if self.policies.is_dir() { &self.policies } else { self.policies.parent().unwrap_or(Path::new(".")) };
        base.join("tests")
    }

    /// Reads the bundle without routes.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn read(&self) -> Result<Read, Vec<Diagnostic>> {
        self.read_with(None)
    }

    /// Reads the bundle, with the routes that are at `routes`.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn read_with(&self, routes: Option<PathBuf>) -> Result<Read, Vec<Diagnostic>> {
        let mut source = FileSource::new(self.policies.clone(), self.entities.clone(), FileSettings::default());
        if let Some(schema) = &self.schema {
            source = source.with_schema(schema.clone());
        }
        if let Some(routes) = routes {
            source = source.with_routes(routes);
        }
        let loaded = source.load()?;
        Ok(Read { bundle: loaded.bundle, warnings: loaded.warnings })
    }
}

/// Writes findings for people, worst first as they came.
///
/// # Errors
/// If they cannot be written.
pub fn show(diagnostics: &[Diagnostic], to: &mut dyn Write) -> std::io::Result<()> {
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
        let args = |path: &str| BundleArgs { policies: Some(root.join(path)), ..BundleArgs::default() };

        let whole = args("").places().unwrap();
        assert_eq!((&whole.policies, &whole.entities), (&root.join("policies"), &Some(root.join("entities"))));
        assert_eq!(whole.tests(), root.join("policies/tests"));
        assert_eq!(args("policies").places().unwrap().policies, root.join("policies"));
        assert_eq!(args("policies/a.cedar").places().unwrap().tests(), root.join("policies/tests"));

        let error = args("nowhere").places().unwrap_err();
        assert!(error.message.contains("there is no such file or directory"), "{error}");
    }
}
