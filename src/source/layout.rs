//! Where the parts of a bundle are. `serve` and every other verb ask here, so that what is tested is what serves.

use std::path::{Path, PathBuf};

use crate::config::{DEFAULT_ENTITIES, DEFAULT_POLICIES, DEFAULT_ROUTES, Settings};
use crate::source::{FileSettings, FileSource, Roots};

/// Where the parts of a bundle are, as a configuration means it. Relative paths are relative to the working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// A directory, or a file.
    pub policies: PathBuf,
    /// The bundle directory, where one is named.
    pub bundle: Option<PathBuf>,
    /// A directory, or a file, if it is not beside the policies.
    pub schema: Option<PathBuf>,
    /// A directory, or a file.
    pub entities: PathBuf,
    /// Whether a key names the entities: then they must be there.
    pub entities_named: bool,
    /// A directory, or a file; `None` where the policies come from elsewhere and no key names the routes.
    pub routes: Option<PathBuf>,
    /// Whether a key names the routes: then they must be there.
    pub routes_named: bool,
}

// === impl Layout ===

impl Layout {
    /// What `settings` mean.
    ///
    /// A directory that holds a directory `policies` is a bundle directory: policies, entities and routes are in it. The
    /// default directory is never one, whatever it holds.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let given = &settings.policies;
        let is_default = is_default(given);
        let root = is_bundle(given).then_some(given);
        let entities = match (&settings.entities, root) {
            (Some(named), _) => named.clone(),
            (None, Some(root)) => root.join(without_dot(Path::new(DEFAULT_ENTITIES))),
            (None, None) => PathBuf::from(DEFAULT_ENTITIES),
        };
        let routes = match (&settings.routes, root) {
            (Some(named), _) => Some(named.clone()),
            (None, Some(root)) => Some(one_of(DEFAULT_ROUTES.map(|path| root.join(without_dot(Path::new(path)))))),
            // who serves other policies than those of this directory does not mean its routes
            (None, None) if is_default => Some(one_of(DEFAULT_ROUTES.map(PathBuf::from))),
            (None, None) => None,
        };
        Self {
            policies: root.map_or_else(|| given.clone(), |root| root.join("policies")),
            bundle: root.cloned(),
            schema: settings.schema.clone(),
            entities,
            entities_named: settings.entities.is_some(),
            routes,
            routes_named: settings.routes.is_some(),
        }
    }

    /// The directory that a single file of policies is in; nothing where the policies are a directory.
    fn around(&self) -> Option<PathBuf> {
        let name = self.policies.file_name().unwrap_or_default().to_string_lossy();
        // what is not there yet may be either
        let is_file = self.policies.is_file() || (super::files::is_policies(&name) && !self.policies.is_dir());
        is_file.then(|| parent(&self.policies)).flatten()
    }

    /// The directory in which the schema may lie beside the policies: where these are in a directory of that name.
    fn beside(&self) -> Option<PathBuf> {
        let directory = self.around().unwrap_or_else(|| self.policies.clone());
        parent(&directory).filter(|_| directory.ends_with("policies"))
    }

    /// Where a schema is looked for.
    #[must_use]
    pub fn schema_places(&self) -> Vec<PathBuf> {
        match &self.schema {
            Some(schema) => vec![schema.clone()],
            None => [self.around().unwrap_or_else(|| self.policies.clone())].into_iter().chain(self.beside()).collect(),
        }
    }

    /// A file there that is not read as a schema, and was probably meant to be one.
    #[must_use]
    pub fn like_a_schema(&self) -> Option<PathBuf> {
        let entries = self.schema_places().into_iter().filter_map(|place| place.read_dir().ok());
        let files = entries.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
        let is_like = |path: &PathBuf| {
            path.is_file() && path.file_name().is_some_and(|name| super::files::is_like_schema(&name.to_string_lossy()))
        };
        files.filter(is_like).min()
    }

    /// Where the tests of these policies are.
    #[must_use]
    pub fn tests(&self) -> PathBuf {
        let base =
            if self.policies.is_dir() { &self.policies } else { self.policies.parent().unwrap_or(Path::new(".")) };
        base.join("tests")
    }

    /// Routes of this directory that are not used, since the policies come from elsewhere and no key names the routes.
    #[must_use]
    pub fn unused_routes(&self) -> Option<&'static str> {
        DEFAULT_ROUTES.into_iter().find(|path| self.routes.is_none() && Path::new(path).exists())
    }

    /// The source that reads them.
    #[must_use]
    pub fn source(&self, files: FileSettings) -> FileSource {
        FileSource::of(self.roots(files.entities_required), files)
    }

    /// Where a source looks for them; the entities must be there if they are required.
    #[must_use]
    pub fn roots(&self, entities_required: bool) -> Roots {
        let roots = Roots::of_policies(self.policies.clone()).with_entities(self.entities.clone(), entities_required);
        let roots = match (&self.schema, self.around()) {
            (Some(schema), _) => roots.with_schema(schema.clone()),
            (None, Some(directory)) => roots.with_schema_around(directory),
            (None, None) => roots,
        };
        let roots = match (&self.bundle, self.beside().filter(|_| self.schema.is_none())) {
            (Some(directory), _) => roots.with_bundle(directory.clone()),
            (None, Some(directory)) => roots.with_schema_beside(directory),
            (None, None) => roots,
        };
        match &self.routes {
            Some(routes) if self.routes_named => roots.with_routes(routes.clone()),
            Some(routes) => roots.with_routes_if_any(routes.clone()),
            None => roots,
        }
    }
}

/// Whether `given` as policies means a bundle directory.
#[must_use]
pub fn is_bundle(given: &Path) -> bool {
    !is_default(given) && given.join("policies").is_dir()
}

fn is_default(given: &Path) -> bool {
    without_dot(given) == without_dot(Path::new(DEFAULT_POLICIES))
}

/// What a bundle directory has besides its policies, by the keys that name such parts.
#[must_use]
pub fn own_parts(bundle: &Path) -> Vec<(&'static str, PathBuf)> {
    let within = |path: &str| bundle.join(without_dot(Path::new(path)));
    let parts = [("entities", within(DEFAULT_ENTITIES)), ("routes", one_of(DEFAULT_ROUTES.map(within)))];
    let schema = [bundle.join("policies"), bundle.to_owned()].into_iter().find_map(|place| schema_at(&place));
    let there = parts.into_iter().filter(|(_, path)| path.exists());
    there.chain(schema.map(|path| ("schema", path))).collect()
}

/// The schema at the top of a directory: the file, or the directory where there are several.
fn schema_at(directory: &Path) -> Option<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let is_schema = |path: &PathBuf| {
        path.is_file() && path.file_name().is_some_and(|name| super::files::is_schema(&name.to_string_lossy()))
    };
    let mut files = entries.filter(is_schema);
    let first = files.next()?;
    Some(if files.next().is_some() { directory.to_owned() } else { first })
}

/// The directory that a path is in.
fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

/// The file, where it is there and the directory is not.
fn one_of([directory, file]: [PathBuf; 2]) -> PathBuf {
    if file.exists() && !directory.exists() { file } else { directory }
}

fn without_dot(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config;

    #[test]
    fn keys_mean_places() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["bundle/policies", "bundle/routes", "mixed/policies", "plain"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for file in ["mixed/a.cedar", "bundle/x.md", "bundle/s.cedarschema", "plain/a.cedar", "plain/routes.yaml"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let at = |inner: &str| root.path().join(inner).display().to_string();
        let here = "./entities".to_owned();
        for (flags, policies, entities, routes) in [
            (json!({}), "./policies".to_owned(), here.clone(), Some("./routes".to_owned())),
            (json!({"policies": "policies"}), "policies".into(), here.clone(), Some("./routes".into())),
            (
                json!({"policies": at("bundle")}),
                at("bundle/policies"),
                at("bundle/entities"),
                Some(at("bundle/routes")),
            ),
            (json!({"policies": at("mixed")}), at("mixed/policies"), at("mixed/entities"), Some(at("mixed/routes"))),
            (json!({"policies": at("plain")}), at("plain"), here.clone(), None),
            (json!({"policies": at("plain/a.cedar")}), at("plain/a.cedar"), here, None),
            (
                json!({"policies": at("bundle"), "entities": "e.json", "routes": "r.yaml"}),
                at("bundle/policies"),
                "e.json".into(),
                Some("r.yaml".into()),
            ),
        ] {
            let settings = config::load(None, [], flags.clone()).unwrap();
            let layout = Layout::of(&settings);
            assert_eq!(layout.policies, PathBuf::from(policies), "{flags}");
            assert_eq!(layout.entities, PathBuf::from(entities), "{flags}");
            assert_eq!(layout.routes, routes.map(PathBuf::from), "{flags}");
        }
    }
}
