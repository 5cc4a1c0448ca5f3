//! Bytes that requests, answers and streams hold, counted against bounds that all connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::state::give_back_freed;
use crate::telemetry::start_thread;

/// What one connection holds is at most this part of a budget, so that one client leaves room for others.
const CONNECTION_SHARE: usize = 4;

/// When so much was held and nearly all of it was given back, the memory goes back to the system. So it is with large
/// requests that came one after the other: each may have left its memory with another thread.
const CROWD: usize = 16 << 20;

/// A request that gives back more is large.
const LARGE: usize = 64 << 10;

/// How long after a crowd has left: its last tasks are still being freed.
const CROWD_GONE: Duration = Duration::from_secs(1);

/// How many bytes may be held at a time, on all connections of some listeners.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: AtomicUsize,
    /// What large requests gave back since memory was last given back to the system.
    passed: AtomicUsize,
    /// So much was held that its memory is worth giving back.
    crowded: AtomicBool,
    /// A thread is about to give it back.
    giving_back: Arc<AtomicBool>,
}

impl Budget {
    /// A budget of that many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            used: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            giving_back: Arc::default(),
        }
    }

    /// How many bytes are held at the moment.
    #[must_use]
    pub fn held(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for a request that has `own` already. One that is alone is never refused: its own limits hold.
    ///
    /// What does not fit is never added, not even for a moment: a request that does fit would be refused because of it.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (used <= own || after <= self.most).then_some(after)
        };
        let before = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if before.is_ok_and(|before| before >= CROWD) && !self.crowded.load(Ordering::Relaxed) {
            self.crowded.store(true, Ordering::Relaxed);
        }
        before.is_ok()
    }

    fn give(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if bytes > LARGE && self.passed.fetch_add(bytes, Ordering::Relaxed) >= CROWD {
            self.passed.store(0, Ordering::Relaxed);
            self.crowded.store(true, Ordering::Relaxed);
        }
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        if before - bytes < CROWD / 8
            && self.crowded.load(Ordering::Relaxed)
            && self.crowded.swap(false, Ordering::Relaxed)
            && !self.giving_back.swap(true, Ordering::Relaxed)
        {
            let giving_back = self.giving_back.clone();
            // on a thread of its own, since it takes long; without one the memory stays until the next crowd has left
            let started = start_thread("palisade-memory", None, move || {
                std::thread::sleep(CROWD_GONE);
                giving_back.store(false, Ordering::Relaxed);
                give_back_freed();
            });
            if started.is_err() {
                self.giving_back.store(false, Ordering::Relaxed);
            }
        }
    }
}

/// What one connection holds of a budget.
#[derive(Debug, Default)]
pub(super) struct Part(AtomicUsize);

impl Part {
    /// Takes bytes of the budget for a request that has `own` already; false if there are not so many. One that is alone
    /// on its connection may hold more than the connection's share.
    pub(super) fn take(&self, budget: &Budget, bytes: usize, own: usize) -> bool {
        let most = budget.most / CONNECTION_SHARE;
        let fits = |used: usize| {
            let after = used.saturating_add(bytes);
            (used <= own || after <= most).then_some(after)
        };
        if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return false;
        }
        let taken = budget.take(bytes, own);
        if !taken {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// Adds bytes without looking at the bound. Only for what something else bounds.
    pub(super) fn add(&self, budget: &Budget, bytes: usize) {
        budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub(super) fn give(&self, budget: &Budget, bytes: usize) {
        budget.give(bytes);
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_refuses_what_is_too_much_together() {
        let budget = Budget::new(100);
        assert!(budget.take(60, 0) && !budget.take(60, 0) && budget.take(40, 0) && !budget.take(1, 0));
        budget.give(40);
        assert!(budget.take(40, 60), "up to the limit");
        budget.give(100);
        // alone it may be as large as its own limit lets it, in one piece or many
        assert!(budget.take(500, 0) && budget.take(500, 500));
        assert!(!budget.take(1, 0), "but then there is no room for others");
        budget.give(1_000);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_connection_leaves_room_for_others() {
        let (budget, one, other) = (Budget::new(100), Part::default(), Part::default());
        assert!(one.take(&budget, 20, 0) && !one.take(&budget, 6, 0) && one.take(&budget, 5, 0));
        assert!(other.take(&budget, 60, 0), "alone on its connection");
        assert!(!Part::default().take(&budget, 20, 0), "all of it together");
        other.give(&budget, 60);
        one.add(&budget, 200);
        assert_eq!(budget.held(), 225);
        one.give(&budget, 225);
        assert!(one.take(&budget, 25, 0));
    }

    #[test]
    fn a_crowd_is_noticed_once() {
        let budget = Budget::new(4 * CROWD);
        let crowded = || budget.crowded.load(Ordering::Relaxed);
        assert!(budget.take(CROWD, 0) && !crowded());
        assert!(budget.take(CROWD, 0) && crowded());
        budget.give(CROWD);
        assert!(crowded());
        budget.give(CROWD);
        assert!(!crowded());
    }
}
