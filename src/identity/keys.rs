//! The keys of one issuer: the last good set, how old it is, and when it may be fetched again.
//!
//! A check takes what is there and never waits. A key that is not known may be new, so the check asks for a
//! fetch. One fetch serves everyone who asks meanwhile, and after it no request causes another for a while,
//! so that a storm of invented keys costs the issuer one request.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::config::SigningAlgorithm;
use crate::identity::jwk::KeySet;

/// How many may wait for one fetch; later requests are refused at once.
const MAX_WAITING: usize = 256;

/// The last good keys.
pub(super) struct Keys {
    pub(super) set: Arc<KeySet>,
    /// Grows when the keys change, so that what was verified with others no longer counts.
    pub(super) generation: u64,
    document: Arc<[u8]>,
    confirmed: Instant,
}

/// The outcome of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    Changed,
    Unchanged,
}

pub(super) struct KeyStore {
    allowed: Vec<SigningAlgorithm>,
    max_age: Option<Duration>,
    current: ArcSwapOption<Keys>,
    problem: Mutex<Option<String>>,
    /// Where keys are fetched on demand; `None` for a file, which is read when it changes.
    pub(super) schedule: Option<Schedule>,
}

// === impl KeyStore ===

impl KeyStore {
    pub(super) fn new(allowed: Vec<SigningAlgorithm>, max_age: Option<Duration>, schedule: Option<Schedule>) -> Self {
        Self { allowed, max_age, current: ArcSwapOption::empty(), problem: Mutex::new(None), schedule }
    }

    /// The keys, unless they are too old.
    pub(super) fn current(&self, now: Instant) -> Option<arc_swap::Guard<Option<Arc<Keys>>>> {
        let guard = self.current.load();
        let keys = guard.as_ref()?;
        let fresh = self.max_age.is_none_or(|max| now.saturating_duration_since(keys.confirmed) <= max);
        fresh.then_some(guard)
    }

    /// The generation of the keys, however old they are; 0 before the first.
    pub(super) fn generation(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |keys| keys.generation)
    }

    /// Takes a document that was fetched at `now`. Only one thread may do so.
    pub(super) fn renew(&self, document: &[u8], now: Instant) -> Result<Renewal, String> {
        let before = self.current.load_full();
        if let Some(before) = before.as_ref().filter(|before| *before.document == *document) {
            let (set, document) = (Arc::clone(&before.set), Arc::clone(&before.document));
            self.current.store(Some(Arc::new(Keys { set, generation: before.generation, document, confirmed: now })));
            self.note(None);
            return Ok(Renewal::Unchanged);
        }
        let set = Arc::new(KeySet::parse(document, &self.allowed)?);
        let generation = before.map_or(0, |before| before.generation) + 1;
        self.current.store(Some(Arc::new(Keys { set, generation, document: document.into(), confirmed: now })));
        self.note(None);
        Ok(Renewal::Changed)
    }

    /// Remembers what is wrong. Whether that is news.
    pub(super) fn note(&self, problem: Option<&str>) -> bool {
        let mut current = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let news = current.as_deref() != problem;
        *current = problem.map(str::to_owned);
        news
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many keys there are, and when they were last known to be current.
    pub(super) fn summary(&self) -> Option<(usize, Instant)> {
        self.current.load().as_ref().map(|keys| (keys.set.keys.len(), keys.confirmed))
    }

    /// Asks for a fetch. The receiver learns when one is done; `None` if none may be made now.
    pub(super) fn ask(&self, now: Instant) -> Option<watch::Receiver<u64>> {
        self.schedule.as_ref()?.ask(now)
    }
}

/// When keys are fetched.
pub(super) struct Schedule {
    refresh: Duration,
    min_refresh: Duration,
    state: Mutex<ScheduleState>,
    wake: Condvar,
    done: watch::Sender<u64>,
}

struct ScheduleState {
    next: Instant,
    last: Option<Instant>,
    failures: u32,
    fetching: bool,
    wanted: bool,
    stopped: bool,
}

// === impl Schedule ===

impl Schedule {
    pub(super) fn new(refresh: Duration, min_refresh: Duration, now: Instant) -> Self {
        let state =
            ScheduleState { next: now, last: None, failures: 0, fetching: false, wanted: false, stopped: false };
        Self { refresh, min_refresh, state: Mutex::new(state), wake: Condvar::new(), done: watch::Sender::new(0) }
    }

    fn ask(&self, now: Instant) -> Option<watch::Receiver<u64>> {
        // the lock is held for a few instructions, and never on the way of a token whose key is known
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return None;
        }
        if !state.fetching && !state.wanted {
            // the first fetch is due at the start, so there is a last one or one is about to be
            let rested = state.last.is_none_or(|last| now.saturating_duration_since(last) >= self.min_refresh);
            if !rested {
                return None;
            }
            state.wanted = true;
            self.wake.notify_one();
        }
        (self.done.receiver_count() < MAX_WAITING).then(|| self.done.subscribe())
    }

    /// Waits until a fetch is due, and marks it begun; `false` when there will be no more.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.stopped {
                return false;
            }
            let now = Instant::now();
            if state.wanted || now >= state.next {
                state.wanted = false;
                state.fetching = true;
                state.last = Some(now);
                return true;
            }
            let pause = state.next - now;
            state = self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Marks the fetch done, and says when the next is due: later and later while they fail.
    pub(super) fn finished(&self, good: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fetching = false;
        state.failures = if good { 0 } else { state.failures.saturating_add(1) };
        let pause = if good { self.refresh } else { backoff(state.failures).min(self.refresh) };
        state.next = now + jittered(pause);
        drop(state);
        self.done.send_modify(|fetches| *fetches += 1);
    }

    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.wake.notify_all();
    }
}

/// 1s, 2s, 4s, up to a minute.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

/// Up to a tenth less, so that a fleet that started together does not ask together.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // a new state has new keys: a random number without a library for it
    let random = RandomState::new().hash_one(0_u8) % 1000;
    pause.mul_f64(1.0 - random as f64 / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_questions_is_one_fetch() {
        let start = Instant::now();
        let schedule = Schedule::new(Duration::from_secs(300), Duration::from_secs(30), start);
        assert!(schedule.wait(), "the first fetch is due at once");
        // while it runs, everyone waits for it
        let waiting: Vec<_> = (0..1000).map(|_| schedule.ask(Instant::now())).collect();
        assert_eq!(waiting.iter().flatten().count(), MAX_WAITING);
        schedule.finished(true, Instant::now());
        assert!(waiting.iter().flatten().all(|waiting| waiting.has_changed().unwrap()));
        drop(waiting);
        // after it, no question causes another
        for _ in 0..1000 {
            assert!(schedule.ask(Instant::now()).is_none());
        }
        assert!(!schedule.state.lock().unwrap().wanted);
        // until it is long enough ago; then all share one again
        let later = Instant::now() + Duration::from_secs(31);
        assert!(schedule.ask(later).is_some() && schedule.ask(later).is_some());
        assert!(schedule.state.lock().unwrap().wanted);
        assert!(schedule.wait());
        schedule.stop();
        assert!(!schedule.wait() && schedule.ask(later).is_none());
    }

    #[test]
    fn failures_are_retried_later_and_later() {
        let pauses: Vec<u64> = (1..=9).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff(u32::MAX).as_secs(), 60);
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(10));
            assert!((Duration::from_secs(9)..=Duration::from_secs(10)).contains(&pause));
        }
    }
}
