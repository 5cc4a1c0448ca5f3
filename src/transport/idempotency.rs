//! `Idempotency-Key`: a change that is sent twice is made once, and answered alike.
//!
//! A key counts for one caller, method and path. What it was first sent with is kept as a digest, so that the same key
//! with something else is refused. Only what took effect is kept; a second request waits for one in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::state::{AnswerKey, Applied, KeptAnswer};
use crate::transport::exchange::Exchange;
use crate::transport::respond::Problem;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The longest key, in bytes.
const LONGEST: usize = 255;

/// What the changes with a key became.
#[derive(Debug, Clone)]
pub struct Idempotency {
    known: Arc<Mutex<Known>>,
    ttl: Duration,
    max: usize,
}

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Scope, Entry>,
    /// Those that are done, oldest first.
    done: VecDeque<(Instant, Scope)>,
}

/// Who sent what where, in one digest: a caller, a method, a path and a key.
type Scope = [u8; 32];

#[derive(Debug)]
enum Entry {
    /// Under way: ends when its sender is dropped.
    Pending([u8; 32], watch::Receiver<()>),
    Done([u8; 32], Applied, Instant),
}

/// What to do with a request that has a key.
#[derive(Debug)]
pub(super) enum Begun {
    /// Make the change, and say what it became.
    First(Ticket),
    /// It was made before.
    Again(Applied),
}

/// The first request with a key. Dropped before it is done, it is as if it had never been.
#[derive(Debug)]
pub(super) struct Ticket {
    known: Arc<Mutex<Known>>,
    scope: Scope,
    with: [u8; 32],
    ttl: Duration,
    // dropped after the entry is gone or done, which wakes those who wait
    _waiting: watch::Sender<()>,
}

impl Idempotency {
    /// Keeps what at most `max` changes became for as long as `ttl`.
    #[must_use]
    pub fn new(ttl: Duration, max: usize) -> Self {
        Self { known: Arc::default(), ttl, max }
    }

    /// The same, knowing what changes became that were made before the start.
    #[must_use]
    pub fn knowing(self, answers: Vec<KeptAnswer>) -> Self {
        let now = Instant::now();
        let mut known = lock(&self.known);
        for KeptAnswer { scope, with, applied, left } in answers {
            let at = now.checked_sub(self.ttl.saturating_sub(left)).unwrap_or(now);
            known.entries.insert(scope, Entry::Done(with, applied, at));
            known.done.push_back((at, scope));
        }
        drop(known);
        self
    }

    /// What to do with a request, if it has a key; `body` is the digest of what it was sent with.
    pub(super) async fn begin(&self, exchange: &Exchange, body: BodyDigest) -> Result<Option<Begun>, Problem> {
        let Some(key) = key(exchange)? else { return Ok(None) };
        let caller = exchange.headers().get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        let (method, uri) = (exchange.head.method.as_str(), &exchange.head.uri);
        let scope = digest(&[caller, method.as_bytes(), uri.path().as_bytes(), key.as_bytes()]);
        let media = exchange.headers().get(http::header::CONTENT_TYPE).map(|value| value.as_bytes());
        let with = digest(&[uri.query().unwrap_or_default().as_bytes(), media.unwrap_or_default(), &body.0]);
        self.take(scope, with).await.map(Some)
    }

    async fn take(&self, scope: Scope, with: [u8; 32]) -> Result<Begun, Problem> {
        loop {
            let mut waiting = {
                let mut known = lock(&self.known);
                known.forget(self.ttl, self.max);
                match known.entries.get(&scope) {
                    Some(Entry::Pending(of, _) | Entry::Done(of, ..)) if *of != with => return Err(another_body()),
                    Some(Entry::Done(_, applied, _)) => return Ok(Begun::Again(applied.clone())),
                    Some(Entry::Pending(_, waiting)) => waiting.clone(),
                    None => {
                        let (end, waiting) = watch::channel(());
                        known.entries.insert(scope, Entry::Pending(with, waiting));
                        let (known, ttl) = (self.known.clone(), self.ttl);
                        let ticket = Ticket { known, scope, with, ttl, _waiting: end };
                        return Ok(Begun::First(ticket));
                    }
                }
            };
            // an error: its sender is gone, so it is done or as if it had never been
            let _ = waiting.changed().await;
        }
    }
}

fn another_body() -> Problem {
    let message = "this `Idempotency-Key` was sent with another request: send a new key with every change, and the same \
                   one only to send the same change again";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message)
}

/// The key of a request, if it has one.
fn key(exchange: &Exchange) -> Result<Option<&HeaderValue>, Problem> {
    let mut keys = exchange.headers().get_all(KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(key), None) if (1..=LONGEST).contains(&key.len()) && key.to_str().is_ok() => Ok(Some(key)),
        _ => {
            let message = format!("`Idempotency-Key` is one text of 1 to {LONGEST} visible ASCII characters");
            Err(Problem::bad_request("invalid_idempotency_key", message))
        }
    }
}

/// The digest of a body, made while it is read. Nothing is done where the request has no key.
#[derive(Debug, Default, Clone)]
pub(super) struct BodyHash(Option<Sha256>);

/// The digest of a whole body, of no meaning where the request has no key.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BodyDigest([u8; 32]);

impl BodyHash {
    /// For the body of a request.
    ///
    /// # Errors
    /// If its key is no key.
    pub(super) fn of(exchange: &Exchange) -> Result<Self, Problem> {
        Ok(Self(key(exchange)?.map(|_| Sha256::new())))
    }

    /// Takes the next piece.
    pub(super) fn update(&mut self, piece: &[u8]) {
        if let Some(hash) = &mut self.0 {
            hash.update(piece);
        }
    }

    /// The digest of all pieces.
    pub(super) fn finish(self) -> BodyDigest {
        BodyDigest(self.0.map(|hash| hash.finalize().into()).unwrap_or_default())
    }

    /// The digest of a body that is there whole.
    pub(super) fn whole(mut self, body: &[u8]) -> BodyDigest {
        self.update(body);
        self.finish()
    }
}

/// Of parts that cannot be taken for others.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // nothing in here panics half way
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Forgets what is too old, and the oldest where there are too many.
    fn forget(&mut self, ttl: Duration, max: usize) {
        while let Some((at, scope)) = self.done.front().copied() {
            if at.elapsed() < ttl && self.done.len() <= max {
                return;
            }
            self.done.pop_front();
            if matches!(self.entries.get(&scope), Some(Entry::Done(_, _, done)) if *done == at) {
                self.entries.remove(&scope);
            }
        }
    }
}

impl Ticket {
    /// What the answer is kept under in the store.
    pub(super) fn key(&self) -> AnswerKey {
        AnswerKey { scope: self.scope, with: self.with, ttl: self.ttl }
    }

    /// Keeps what the change became.
    pub(super) fn done(self, applied: &Applied) {
        let mut known = lock(&self.known);
        let now = Instant::now();
        let applied = Applied { warnings: Vec::new(), ..applied.clone() };
        known.entries.insert(self.scope, Entry::Done(self.with, applied, now));
        known.done.push_back((now, self.scope));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        if matches!(known.entries.get(&self.scope), Some(Entry::Pending(..))) {
            known.entries.remove(&self.scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_engine::model::{Revision, Tally};

    fn applied(counter: u64) -> Applied {
        Applied {
            revision: Revision { incarnation: 1, counter },
            published: true,
            policies: 0,
            entities: 0,
            routes: 0,
            warnings: Vec::new(),
            took: Duration::ZERO,
            tally: Tally::default(),
            durable: false,
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    async fn first(keys: &Idempotency, n: u8) -> Ticket {
        match keys.take([n; 32], [n; 32]).await.unwrap() {
            Begun::First(ticket) => ticket,
            Begun::Again(applied) => panic!("{n} was made before: {applied:?}"),
        }
    }

    async fn again(keys: &Idempotency, n: u8) -> u64 {
        match keys.take([n; 32], [n; 32]).await.unwrap() {
            Begun::Again(applied) => applied.revision.counter,
            Begun::First(_) => 0,
        }
    }

    #[test]
    fn what_took_effect_is_answered_again_and_what_did_not_is_made() {
        run(async {
            let keys = Idempotency::new(Duration::from_secs(60), 10);
            drop(first(&keys, 1).await);
            first(&keys, 1).await.done(&applied(7));
            assert_eq!(again(&keys, 1).await, 7);
            assert_eq!(keys.take([1; 32], [2; 32]).await.unwrap_err().code, "idempotency_key_reused");
        });
    }

    #[test]
    fn a_second_request_waits_for_the_first() {
        run(async {
            let keys = Idempotency::new(Duration::from_secs(60), 10);
            for (n, done) in [(1, true), (2, false)] {
                let ticket = first(&keys, n).await;
                let waits = tokio::spawn({
                    let keys = keys.clone();
                    async move { again(&keys, n).await }
                });
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(!waits.is_finished());
                if done {
                    ticket.done(&applied(9))
                } else {
                    drop(ticket)
                }
                assert_eq!(waits.await.unwrap(), if done { 9 } else { 0 });
            }
        });
    }

    #[test]
    fn keys_are_bounded_in_number_and_time() {
        run(async {
            let keys = Idempotency::new(Duration::from_secs(60), 3);
            for n in 1..=5 {
                first(&keys, n).await.done(&applied(u64::from(n)));
            }
            assert_eq!([again(&keys, 3).await, again(&keys, 5).await, again(&keys, 1).await], [3, 5, 0]);
            let keys = Idempotency::new(Duration::ZERO, 3);
            first(&keys, 1).await.done(&applied(1));
            assert_eq!(again(&keys, 1).await, 0);
            assert!(lock(&keys.known).entries.is_empty());
        });
    }
}
