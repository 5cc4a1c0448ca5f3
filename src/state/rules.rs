//! What a bundle must have to be published, beyond being valid: an empty one is more often a mistake than a wish.
//!
//! A mount that was lost and a file that was cut off look like a bundle without policies or without entities.
//! Both rules only ever keep a state; neither makes one.

use std::collections::HashSet;
use std::sync::Arc;

use palisade_engine::Snapshot;
use palisade_engine::model::{Bundle, Diagnostic, PolicyId};

/// What is allowed to be empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadRules {
    /// A bundle without any policy or template.
    pub allow_empty_policies: bool,
    /// Entities of files, where the files had some before.
    pub allow_empty_entities: bool,
}

impl LoadRules {
    /// The problem of a bundle without policies, where that is not allowed.
    #[must_use]
    pub fn policies(&self, snapshot: &Snapshot) -> Option<Diagnostic> {
        (!self.allow_empty_policies && !snapshot.has_policies()).then(|| {
            let message = "there is no policy, and an empty policy set denies every request";
            Diagnostic::error("policies", message)
                .help("add a policy, or set `load.allow_empty_policies: true` if that is what you want")
        })
    }

    /// The problem of files that `had` entities and `have` none now, where that is not allowed. `missing` are those of their
    /// documents that are not there any more.
    #[must_use]
    pub fn entities(&self, had: &Had, missing: &[String], have: usize) -> Option<Diagnostic> {
        (!self.allow_empty_entities && had.entities > 0 && have == 0).then(|| {
            let why = match missing {
                [] => "their files are there and hold none".to_owned(),
                [one] => format!("`{one}` is no longer there"),
                [first, rest @ ..] => format!("`{first}` and {} more are no longer there", rest.len()),
            };
            let before = had.entities;
            let message = format!("every entity is gone: the files had {before} before and have none now; {why}");
            let help = "see that the directory is mounted and that its files have their names, or set \
                        `load.allow_empty_entities: true` if it may be empty";
            Diagnostic::error(missing.first().map_or("entities", String::as_str), message).help(help).passing()
        })
    }
}

/// The entities of the files when they last took effect.
#[derive(Debug, Default)]
pub struct Had {
    /// How many.
    pub entities: usize,
    /// Where they were: the first documents.
    pub documents: Vec<String>,
}

/// How many documents are remembered by name: they are named where all of them are gone.
const MOST_DOCUMENTS: usize = 100;

impl Had {
    /// Those of the names of a bundle's documents that are remembered.
    #[must_use]
    pub fn documents_of(names: &[Arc<str>]) -> Vec<String> {
        names.iter().take(MOST_DOCUMENTS).map(ToString::to_string).collect()
    }

    /// Those of the documents that a bundle with these has not any more.
    #[must_use]
    pub fn missing_from(&self, names: &[Arc<str>]) -> Vec<String> {
        let there: HashSet<&str> = names.iter().map(|name| &**name).collect();
        self.documents.iter().filter(|known| !there.contains(known.as_str())).cloned().collect()
    }
}

/// The names of the documents of a bundle.
pub(super) fn names_of(bundle: &Bundle) -> Vec<Arc<str>> {
    bundle.entities.iter().map(|document| document.origin.as_str().into()).collect()
}

/// The forbids of `before` that `now` lacks, by id.
pub(super) fn forbids_removed(before: &Snapshot, now: &Snapshot) -> Vec<PolicyId> {
    before.forbids_gone(now)
}
