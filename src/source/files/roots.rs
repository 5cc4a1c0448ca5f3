//! Where the parts of a bundle are looked for.

use std::path::PathBuf;

use crate::source::files::scan::{Part, Root};

/// The directories and files that a source reads, each with what it holds. Relative paths are relative to the working
/// directory at each look.
#[derive(Debug, Clone)]
pub struct Roots(Vec<Root>);

impl Roots {
    /// Policies, each a directory or a single file.
    #[must_use]
    pub fn of_policies(path: PathBuf) -> Self {
        Self(vec![Root { part: Part::Policies, path, required: true }])
    }

    /// Files that are no part of a bundle, such as tests: each path a directory or a file, which need not be there.
    pub(super) fn of_others(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| Root { part: Part::Other, path, required: false }).collect())
    }

    /// The same with the entities from `path`, a file or a directory, which must be there if they are `required`.
    #[must_use]
    pub fn with_entities(self, path: PathBuf, required: bool) -> Self {
        self.with(Root { part: Part::Entities, path, required })
    }

    /// The same with the schema from `path`, a file or a directory, instead of the one beside the policies.
    #[must_use]
    pub fn with_schema(self, path: PathBuf) -> Self {
        self.with(Root { part: Part::Schema, path, required: true })
    }

    /// The same with the schema that may lie in the directory `path`, if none lies among the policies.
    #[must_use]
    pub fn with_schema_beside(self, path: PathBuf) -> Self {
        self.with(Root { part: Part::Beside, path, required: false })
    }

    /// The same of a bundle directory: a schema may lie there, too, if none lies among the policies, and policies that lie
    /// there are refused, since they are not read.
    #[must_use]
    pub fn with_bundle(self, path: PathBuf) -> Self {
        self.with(Root { part: Part::Bundle, path, required: false })
    }

    /// The same with the schema that may lie in the directory `path`, which a single file of policies is in.
    #[must_use]
    pub fn with_schema_around(self, path: PathBuf) -> Self {
        self.with(Root { part: Part::Around, path, required: false })
    }

    /// The same with the routes from `path`, a file or a directory.
    #[must_use]
    pub fn with_routes(self, path: PathBuf) -> Self {
        self.with(Root { part: Part::Routes, path, required: true })
    }

    /// The same with the routes from `path`, once it is there.
    #[must_use]
    pub fn with_routes_if_any(self, path: PathBuf) -> Self {
        self.with(Root { part: Part::Routes, path, required: false })
    }

    /// Each of them.
    pub(super) fn list(&self) -> &[Root] {
        &self.0
    }

    fn with(mut self, root: Root) -> Self {
        self.0.push(root);
        self
    }
}
