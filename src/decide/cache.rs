//! Decisions that were made already, bounded by the bytes that they take.
//!
//! The revision is part of every key, so a decision is never found at another revision and nothing needs
//! to be invalidated; what no revision asks for any more ages out.
//!
//! The map lets go of what it evicts some hundred entries late, so that its bound holds for memory only where no entry
//! is large: a question with a long key is not kept at all.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::sync::Cache;

use crate::decide::key::Key;
use palisade_engine::model::{Decision, DeniedBy};

/// What an entry costs besides its texts: the map's slots, its place in the queues, counts, a decision, and what the
/// allocator adds to each. An estimate.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// The longest key that is kept, in a cache that is large enough.
const LONGEST_KEY: u64 = 8 << 10;

/// How many of the longest keys a cache has room for at least: what is evicted and not freed yet is few of them.
const LEAST_KEYS: u64 = 1 << 10;

/// The cache. `S` is the hasher, keyed at random per process, so that no client can aim for one bucket.
pub struct DecisionCache<S = RandomState> {
    entries: Cache<Key, Arc<Decision>, S>,
    longest_key: usize,
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
            .weigher(|key: &Key, decision: &Arc<Decision>| {
                u32::try_from(weight(key.len(), decision)).unwrap_or(u32::MAX)
            })
            .build_with_hasher(hasher);
        let longest_key = LONGEST_KEY.min(max_bytes / LEAST_KEYS) as usize;
        Self { entries, longest_key }
    }

    /// Whether a question with this key may be kept.
    pub(super) fn takes(&self, key: &[u8]) -> bool {
        key.len() <= self.longest_key
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Decision>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: &[u8], decision: Arc<Decision>) {
        if self.takes(key) && weight(key.len(), &decision) <= 2 * self.longest_key + ENTRY_OVERHEAD_BYTES {
            self.entries.insert(key.into(), decision);
        }
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
fn weight(key: usize, decision: &Decision) -> usize {
    let errors: usize = decision.errors.iter().map(|error| 64 + error.message.len()).sum();
    let rule = match &decision.denied_by {
        Some(DeniedBy::UnknownEntity { entity }) => entity.capacity(),
        _ => 0,
    };
    ENTRY_OVERHEAD_BYTES + key + decision.reasons.capacity() * 16 + errors + rule
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;
    use palisade_engine::model::{Outcome, Revision};

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
    fn no_keys_break_the_bound() {
        const MAX: u64 = 16 << 20;
        for (length, kept) in [(100, true), (8_192, true), (8_193, false), (1_000_000, false)] {
            let cache = DecisionCache::new(MAX);
            for i in 0..(2 * MAX as usize / length).min(4_000) as u32 {
                let mut key = vec![0; length];
                key[..4].copy_from_slice(&i.to_le_bytes());
                assert_eq!(cache.takes(&key), kept, "{length}");
                cache.insert(&key, decision(Outcome::Deny));
            }
            cache.entries.run_pending_tasks();
            assert!(cache.bytes() <= MAX, "{length}: {}", cache.bytes());
            assert_eq!(!cache.is_empty(), kept, "{length}");
        }
        // a small cache takes smaller keys, so that it holds many of them
        let small = DecisionCache::new(1 << 20);
        assert!(small.takes(&[0; 1_024]) && !small.takes(&[0; 1_025]));
    }

    #[test]
    fn a_decision_that_says_much_is_not_kept() {
        let cache = DecisionCache::new(64 << 20);
        for (message, kept) in [(1_000, true), (100_000, false)] {
            let mut large = Decision::clone(&decision(Outcome::Deny));
            large.errors = vec![palisade_engine::model::PolicyError {
                policy_id: "p".into(),
                message: "x".repeat(message).into(),
            }];
            let key = usize::to_le_bytes(message);
            cache.insert(&key, Arc::new(large));
            assert_eq!(cache.get(&key).is_some(), kept, "{message}");
        }
    }
}
