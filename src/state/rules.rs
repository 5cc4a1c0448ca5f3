//! What a bundle must have to be published, beyond being valid: an empty one is more often a mistake than a wish.
//!
//! A mount that was lost and a file that was cut off look like a bundle without policies or without entities.
//! Both rules only ever keep a state; neither makes one.

use palisade_engine::Snapshot;
use palisade_engine::model::{Diagnostic, PolicyId};

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

    /// The problem of files that had `before` entities and have none now, where that is not allowed.
    #[must_use]
    pub fn entities(&self, before: usize, snapshot: &Snapshot) -> Option<Diagnostic> {
        (!self.allow_empty_entities && before > 0 && snapshot.entity_count() == 0).then(|| {
            let message = format!("every entity is gone: the files had {before} before and have none now");
            Diagnostic::error("entities", message)
                .help("see that the directory is mounted, or set `load.allow_empty_entities: true` if it may be empty")
                .passing()
        })
    }
}

/// The forbids of `before` that `now` lacks, by id.
pub(super) fn forbids_removed(before: &Snapshot, now: &Snapshot) -> Vec<PolicyId> {
    let kept = now.forbids();
    before.forbids().into_iter().filter(|id| !kept.contains(id)).collect()
}
