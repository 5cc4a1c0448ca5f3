//! What the operator can ask about the state: where it came from, how old it is, what went wrong last.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::state::{Origin, StoreStatus};
use palisade_engine::Overlay;
use palisade_engine::model::{Diagnostic, Revision, Severity};

/// The last change that was tried, whether or not it took effect.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Who brought it.
    pub origin: Origin,
    /// When it ended.
    pub at: SystemTime,
    /// Why it did not take effect; empty where it did.
    pub problems: Vec<Diagnostic>,
    /// Whether it was skipped, since its files were changed before a change that was acknowledged meanwhile.
    pub superseded: bool,
}

impl Attempt {
    fn now(origin: Origin, problems: Vec<Diagnostic>) -> Self {
        Self { origin, at: SystemTime::now(), problems, superseded: false }
    }
}

/// What a load waits for before it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// What for, and how long at most in all.
    pub what: String,
    /// Until when, as far as is known.
    pub until: Instant,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.until.saturating_duration_since(Instant::now());
        let left = Duration::from_millis(left.as_millis().div_ceil(100) as u64 * 100);
        write!(f, "{}; {} more", self.what, humantime::format_duration(left))
    }
}

/// A reading of the board.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What serves; nothing before the first snapshot.
    pub revision: Option<Revision>,
    /// Who brought what serves.
    pub origin: Option<Origin>,
    /// When it was published.
    pub published_at: Option<SystemTime>,
    /// Policies that can decide.
    pub policies: usize,
    /// Entities stored.
    pub entities: usize,
    /// What the author of the served bundle should look at.
    pub warnings: Vec<Diagnostic>,
    /// The last change that was tried.
    pub last_attempt: Option<Attempt>,
    /// Why changes are noticed or published late.
    pub degraded: Option<String>,
    /// What the load waits for that is under way, if it does.
    pub waits: Option<Waits>,
    /// What changes of the API brought since.
    pub overlay: Overlay,
    /// How much of what files changed is hidden by them.
    pub shadowed: usize,
    /// What makes changes durable, if anything does.
    pub store: Option<StoreStatus>,
}

/// The status, shared between the writer and its readers.
#[derive(Debug, Default)]
pub(super) struct StatusBoard {
    // std Mutex: held for a few assignments or a clone, never across an await, never on a decision's way
    status: Mutex<Status>,
}

impl StatusBoard {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // the status is plain data: what a panicking thread left is still a status
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> Status {
        self.lock().clone()
    }

    pub(super) fn published(
        &self,
        origin: Origin,
        revision: Revision,
        policies: usize,
        entities: usize,
        warnings: Vec<Diagnostic>,
    ) {
        let mut status = self.lock();
        status.revision = Some(revision);
        status.origin = Some(origin);
        status.published_at = Some(SystemTime::now());
        status.policies = policies;
        status.entities = entities;
        status.warnings = warnings;
        status.last_attempt = Some(Attempt::now(origin, Vec::new()));
    }

    /// Notes a transaction; who brought what it changed stays as it is.
    pub(super) fn changed(&self, revision: Revision, policies: usize, entities: usize) {
        let mut status = self.lock();
        status.revision = Some(revision);
        status.published_at = Some(SystemTime::now());
        status.policies = policies;
        status.entities = entities;
    }

    /// Notes what changes of the API brought, and how much of the files they hide.
    pub(super) fn layers(&self, overlay: Overlay, shadowed: usize) {
        let mut status = self.lock();
        (status.overlay, status.shadowed) = (overlay, shadowed);
    }

    /// Notes how the store is.
    pub(super) fn store(&self, store: StoreStatus) {
        self.lock().store = Some(store);
    }

    /// Gives whether that is news. A load that failed for what may pass is tried again and again, and finds the same.
    pub(super) fn failed(&self, origin: Origin, problems: Vec<Diagnostic>) -> bool {
        let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        let passes = errors.all(|problem| problem.passing);
        let attempt = Attempt::now(origin, problems);
        let before = self.lock().last_attempt.replace(attempt.clone());
        !passes || before.is_none_or(|before| (before.origin, before.problems) != (attempt.origin, attempt.problems))
    }

    pub(super) fn superseded(&self, origin: Origin) {
        self.lock().last_attempt = Some(Attempt { superseded: true, ..Attempt::now(origin, Vec::new()) });
    }

    /// Gives whether the same origin's last attempt had failed.
    pub(super) fn confirmed(&self, origin: Origin) -> bool {
        // a file that was broken and is again what serves is no longer a problem
        let before = self.lock().last_attempt.replace(Attempt::now(origin, Vec::new()));
        before.is_some_and(|before| before.origin == origin && !before.problems.is_empty())
    }

    /// Notes what a load waits for, or that it does not; says whether it did not wait before.
    pub(super) fn waits(&self, waits: Option<Waits>) -> bool {
        std::mem::replace(&mut self.lock().waits, waits).is_none()
    }

    /// Gives the reason that was noted before.
    pub(super) fn degraded(&self, reason: Option<&str>) -> Option<String> {
        let mut status = self.lock();
        if status.degraded.as_deref() == reason {
            return status.degraded.clone();
        }
        std::mem::replace(&mut status.degraded, reason.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_retry_finds_again_is_no_news() {
        let board = StatusBoard::default();
        let passing = || Diagnostic::error("entities", "there are none").passing();
        let stays = || Diagnostic::error("policies", "unexpected token");
        for (origin, problems, news) in [
            (Origin::Files, vec![passing()], true),
            (Origin::Files, vec![passing()], false),
            (Origin::Files, vec![passing(), stays().warning()], true),
            (Origin::Files, vec![passing(), stays().warning()], false),
            // a file that was saved again and is as wrong as before
            (Origin::Files, vec![stays()], true),
            (Origin::Files, vec![stays()], true),
            (Origin::Files, vec![passing(), stays()], true),
            (Origin::Bundle, vec![passing()], true),
            (Origin::Files, vec![passing()], true),
        ] {
            assert_eq!(board.failed(origin, problems.clone()), news, "{origin:?} {problems:?}");
        }
    }
}
