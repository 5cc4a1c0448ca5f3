//! Tokens that were verified already, bounded by bytes and by their own time.
//!
//! The key is the whole token, compared byte for byte: a hash is never an identity. An entry counts only
//! while the keys are those that it was verified with. Refusals are not kept: forged tokens cannot fill it.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::Expiry;
use moka::sync::Cache;

use crate::identity::caller::Caller;

/// What an entry costs besides its token and its caller.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// A verified token.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) caller: Arc<Caller>,
    /// Which of the issuers.
    pub(super) issuer: usize,
    /// Of the keys that it was verified with.
    pub(super) generation: u64,
    /// Seconds since 1970, leeway included.
    pub(super) from: i64,
    pub(super) until: i64,
    /// How long it is good for, from its insertion.
    pub(super) lasts: Duration,
}

/// The cache. `S` is the hasher, keyed at random per process, so that no client can aim for one bucket.
pub(super) struct TokenCache<S = RandomState> {
    entries: Cache<Arc<[u8]>, Entry, S>,
}

/// Takes entries out when their tokens have ended. That they count for nothing by then is not its concern.
struct AtItsEnd;

impl Expiry<Arc<[u8]>, Entry> for AtItsEnd {
    fn expire_after_create(&self, _: &Arc<[u8]>, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lasts)
    }

    fn expire_after_update(&self, _: &Arc<[u8]>, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.lasts)
    }
}

impl TokenCache {
    /// A cache of at most `max_bytes`; `None` for 0.
    pub(super) fn new(max_bytes: u64) -> Option<Self> {
        (max_bytes > 0).then(|| Self::with_hasher(max_bytes, RandomState::default()))
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> TokenCache<S> {
    fn with_hasher(max_bytes: u64, hasher: S) -> Self {
        let weight = |token: &Arc<[u8]>, entry: &Entry| {
            u32::try_from(ENTRY_OVERHEAD_BYTES + token.len() + entry.caller.bytes()).unwrap_or(u32::MAX)
        };
        let entries =
            Cache::builder().max_capacity(max_bytes).weigher(weight).expire_after(AtItsEnd).build_with_hasher(hasher);
        Self { entries }
    }

    pub(super) fn get(&self, token: &[u8]) -> Option<Entry> {
        self.entries.get(token)
    }

    pub(super) fn insert(&self, token: &str, entry: Entry) {
        self.entries.insert(token.as_bytes().into(), entry);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use super::*;
    use crate::identity::caller::Written;
    use palisade_engine::model::{Uid, Value};

    fn entry(id: &str, padding: usize) -> Entry {
        let caller = Caller {
            principal: Uid::new("User", id.to_owned()).unwrap(),
            method: "sso".into(),
            mfa: false,
            token: None,
            issuer: None,
            claims: Value::String("x".repeat(padding).into()),
            expires: None,
            written: Written::default(),
        };
        Entry { caller: caller.into(), issuer: 0, generation: 1, from: 0, until: 9, lasts: Duration::from_secs(60) }
    }

    /// All tokens collide.
    #[derive(Clone, Default)]
    struct Constant;

    impl Hasher for Constant {
        fn finish(&self) -> u64 {
            7
        }

        fn write(&mut self, _: &[u8]) {}
    }

    #[test]
    fn colliding_hashes_never_mix_two_tokens() {
        let cache = TokenCache::with_hasher(1 << 20, BuildHasherDefault::<Constant>::default());
        for i in 0..100 {
            cache.insert(&format!("token-{i}"), entry(&i.to_string(), 0));
        }
        for i in 0..200 {
            let found = cache.get(format!("token-{i}").as_bytes()).map(|entry| entry.caller.principal.id.to_string());
            assert_eq!(found, (i < 100).then(|| i.to_string()));
        }
    }

    #[test]
    fn it_is_bounded_by_bytes_and_by_time() {
        let cache = TokenCache::new(100_000).unwrap();
        for i in 0..1000 {
            cache.insert(&format!("token-{i}"), entry("a", 5_000));
        }
        cache.entries.run_pending_tasks();
        assert!(cache.bytes() <= 100_000 && cache.len() > 0, "{} {}", cache.bytes(), cache.len());
        let cache = TokenCache::new(100_000).unwrap();
        cache.insert("gone", Entry { lasts: Duration::ZERO, ..entry("a", 0) });
        assert!(cache.get(b"gone").is_none());
        assert!(TokenCache::new(0).is_none());
    }
}
