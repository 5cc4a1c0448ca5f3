//! Decisions that were made already, bounded by the bytes that they take.
//!
//! The revision is part of every key, so a decision is never found at another revision and nothing needs
//! to be invalidated; what no revision asks for any more ages out.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::sync::Cache;

use crate::decide::key::Key;
use crate::domain::Decision;

/// What an entry costs besides its texts: the map's slot, its place in the queues, two counts, a decision.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// The cache. `S` is the hasher, keyed at random per process so that nobody can aim for one bucket.
pub struct DecisionCache<S = RandomState> {
    entries: Cache<Key, Arc<Decision>, S>,
}

impl<S> std::fmt::Debug for DecisionCache<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecisionCache").finish_non_exhaustive()
    }
}

impl DecisionCache {
    /// A cache of at most `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self::with_hasher(max_bytes, RandomState::default())
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> DecisionCache<S> {
    fn with_hasher(max_bytes: u64, hasher: S) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Key, decision: &Arc<Decision>| u32::try_from(weight(key, decision)).unwrap_or(u32::MAX))
            .build_with_hasher(hasher);
        Self { entries }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Decision>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: &[u8], decision: Arc<Decision>) {
        self.entries.insert(key.into(), decision);
    }

    /// Bytes that the entries take, by estimate.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    /// How many decisions it holds, about.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Policy ids are shared with the snapshot; error messages are the decision's own.
fn weight(key: &Key, decision: &Decision) -> usize {
    let errors: usize = decision.errors.iter().map(|error| 48 + error.message.len()).sum();
    ENTRY_OVERHEAD_BYTES + key.len() + decision.reasons.len() * 16 + errors
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;
    use crate::domain::{Outcome, Revision};

    fn decision(outcome: Outcome) -> Arc<Decision> {
        let revision = Revision { incarnation: 1, counter: 1 };
        Arc::new(Decision {
            outcome,
            reasons: vec![],
            errors: vec![],
            forbid_errors: 0,
            denied_by: None,
            revision,
            time_dependent: false,
        })
    }

    /// Eight bits: any two of a few hundred keys collide.
    #[derive(Clone, Default)]
    struct Narrow(std::hash::DefaultHasher);

    impl Hasher for Narrow {
        fn finish(&self) -> u64 {
            self.0.finish() & 0xff
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.write(bytes);
        }
    }

    #[test]
    fn colliding_hashes_never_mix_two_requests() {
        let cache = DecisionCache::with_hasher(1 << 20, std::hash::BuildHasherDefault::<Narrow>::default());
        let key = u32::to_le_bytes;
        let expected = |i: u32| if i.is_multiple_of(3) { Outcome::Allow } else { Outcome::Deny };
        for i in 0..1_000 {
            cache.insert(&key(i), decision(expected(i)));
        }
        for i in 0..2_000 {
            if let Some(hit) = cache.get(&key(i)) {
                assert!(i < 1_000);
                assert_eq!(hit.outcome, expected(i), "{i}");
            }
        }
    }

    #[test]
    fn huge_keys_do_not_break_the_bound() {
        let cache = DecisionCache::new(100_000);
        for i in 0..1_000_u32 {
            let mut key = vec![0; 10_000];
            key[..4].copy_from_slice(&i.to_le_bytes());
            cache.insert(&key, decision(Outcome::Deny));
        }
        cache.entries.run_pending_tasks();
        assert!(cache.bytes() <= 100_000, "{}", cache.bytes());
        assert!(!cache.is_empty());
    }
}
