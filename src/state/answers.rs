//! What changes with an `Idempotency-Key` became, kept with the changes themselves: after a crash both are there or
//! neither.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use palisade_engine::model::{Revision, Tally};
use palisade_journal::Commit;

use crate::state::Applied;

/// A change that may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerKey {
    /// Who sent what where, in one digest.
    pub scope: [u8; 32],
    /// What it was sent with.
    pub with: [u8; 32],
    /// For how long its answer is kept.
    pub ttl: Duration,
}

/// An answer that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Who sent what where.
    pub scope: [u8; 32],
    /// What it was sent with.
    pub with: [u8; 32],
    /// What it became.
    pub applied: Applied,
    /// For how much longer it is kept.
    pub left: Duration,
}

/// The answers that the store has, oldest first, so that it forgets them.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: VecDeque<(u64, [u8; 32])>,
    /// When the newest answer of each expires: one that was sent again has several places in `known`.
    newest: HashMap<[u8; 32], u64>,
    max: usize,
}

/// Seconds since 1970, by which answers expire: it goes on while no process runs.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn encode(with: &[u8; 32], applied: &Applied) -> Vec<u8> {
    let Applied { revision, published, policies, entities, routes, tally, durable, .. } = applied;
    let Tally { upserted, deleted, policies: changed, links_added, links_removed } = *tally;
    let flags = u64::from(*published) | u64::from(*durable) << 1;
    let counts = [*policies, *entities, *routes, upserted, deleted, changed, links_added, links_removed];
    let numbers = [revision.incarnation, revision.counter, flags].into_iter();
    let mut bytes = with.to_vec();
    for number in numbers.chain(counts.map(|count| count as u64)) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<([u8; 32], Applied)> {
    let (with, rest) = bytes.split_first_chunk::<32>()?;
    let (numbers, left) = rest.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let [incarnation, counter, flags, counts @ ..] = numbers.as_slice() else { return None };
    let counts: Vec<usize> = counts.iter().filter_map(|count| usize::try_from(*count).ok()).collect();
    let [policies, entities, routes, upserted, deleted, changed, links_added, links_removed] = *counts.as_slice()
    else {
        return None;
    };
    left.is_empty().then(|| {
        let applied = Applied {
            revision: Revision { incarnation: *incarnation, counter: *counter },
            published: flags & 1 != 0,
            policies,
            entities,
            routes,
            warnings: Vec::new(),
            took: Duration::ZERO,
            tally: Tally { upserted, deleted, policies: changed, links_added, links_removed },
            durable: flags & 2 != 0,
        };
        (*with, applied)
    })
}

impl Answers {
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Takes an answer that the store has, and gives it back if it counts still.
    pub(super) fn restore(&mut self, key: &[u8], answer: &[u8], expires: u64) -> Option<KeptAnswer> {
        let scope = key.try_into().ok()?;
        self.push(scope, expires);
        let (with, applied) = decode(answer)?;
        let left = expires.checked_sub(now()).filter(|left| *left > 0)?;
        Some(KeptAnswer { scope, with, applied, left: Duration::from_secs(left) })
    }

    fn push(&mut self, scope: [u8; 32], expires: u64) {
        self.known.push_back((expires, scope));
        self.newest.insert(scope, expires);
    }

    /// Puts an answer into the commit of its change, and has those forgotten that are too old or too many.
    pub(super) fn keep(&mut self, commit: &mut Commit, key: &AnswerKey, applied: &Applied) {
        let now = now();
        let expires = now.saturating_add(key.ttl.as_secs().max(1));
        self.push(key.scope, expires);
        while let Some((until, scope)) = self.known.front().copied() {
            if until > now && self.known.len() <= self.max {
                break;
            }
            self.known.pop_front();
            if self.newest.get(&scope) == Some(&until) {
                self.newest.remove(&scope);
                commit.forgotten(&scope);
            }
        }
        commit.answered(&key.scope, &encode(&key.with, applied), expires);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(counter: u64) -> Applied {
        Applied {
            revision: Revision { incarnation: 3, counter },
            published: true,
            policies: 1,
            entities: 2,
            routes: 3,
            warnings: Vec::new(),
            took: Duration::ZERO,
            tally: Tally { upserted: 4, deleted: 5, policies: 6, links_added: 7, links_removed: 8 },
            durable: true,
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_given() {
        for published in [true, false] {
            let given = Applied { published, ..applied(9) };
            let bytes = encode(&[7; 32], &given);
            assert_eq!(decode(&bytes), Some(([7; 32], given)));
            assert_eq!(decode(&bytes[1..]), None);
            assert_eq!(decode(&[bytes, vec![0; 8]].concat()), None);
        }
    }

    #[test]
    fn what_is_too_old_or_too_much_is_forgotten() {
        let mut answers = Answers::new(2);
        let answer = encode(&[1; 32], &applied(1));
        assert_eq!(answers.restore(&[1; 32], &answer, 5), None);
        assert!(answers.restore(&[2; 32], &answer, u64::MAX).is_some());
        let key = |n| AnswerKey { scope: [n; 32], with: [n; 32], ttl: Duration::from_secs(60) };
        let kept = |answers: &Answers| answers.known.iter().map(|(_, scope)| scope[0]).collect::<Vec<_>>();
        answers.keep(&mut Commit::new(1), &key(3), &applied(1));
        assert_eq!(kept(&answers), [2, 3]);
        answers.keep(&mut Commit::new(1), &key(4), &applied(1));
        assert_eq!(kept(&answers), [3, 4]);
    }
}
