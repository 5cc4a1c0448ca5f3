//! What was touched since something is being built beside the writer, so that it can be brought up to what serves.
//!
//! Nothing is noted while nothing is built. What was noted is bounded; beyond that all that changes brought counts as touched.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use palisade_engine::Thing;
use palisade_engine::model::Revision;

/// Things that are noted at most.
pub(super) const MOST: usize = 200_000;

/// Things by kind and name.
pub(super) type Things = Vec<(Thing, String)>;

/// What was touched, by the counter of the revision that it was published with.
#[derive(Debug, Clone, Default)]
pub(super) struct Since(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    watching: usize,
    /// All that was touched after this is noted.
    from: u64,
    touched: VecDeque<(u64, Things)>,
    things: usize,
}

/// While there is one, what is touched is noted.
#[derive(Debug)]
pub(super) struct Watching(Since);

impl Since {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        // nothing in here panics half way
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what is touched from now on noted.
    pub(super) fn watch(&self) -> Watching {
        self.lock().watching += 1;
        Watching(self.clone())
    }

    /// Whether it is worth finding out what a change touches.
    pub(super) fn is_watched(&self) -> bool {
        self.lock().watching > 0
    }

    /// Notes what is about to be published; `None` where that is not known.
    pub(super) fn note(&self, revision: Revision, things: Option<Things>) {
        let mut noted = self.lock();
        match things {
            Some(things) if noted.watching > 0 && noted.things + things.len() <= MOST => {
                noted.things += things.len();
                noted.touched.push_back((revision.counter, things));
            }
            _ => {
                noted.touched.clear();
                (noted.things, noted.from) = (0, revision.counter);
            }
        }
    }

    /// What was touched after `revision`, each thing once; `None` if that is not known.
    pub(super) fn after(&self, revision: Revision) -> Option<Things> {
        let noted = self.lock();
        if revision.counter < noted.from {
            return None;
        }
        let later = noted.touched.iter().filter(|(counter, _)| *counter > revision.counter);
        let mut seen = BTreeSet::new();
        let things = later.flat_map(|(_, things)| things);
        Some(things.filter(|(thing, name)| seen.insert((*thing as u8, name))).cloned().collect())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut noted = self.0.lock();
        noted.watching -= 1;
        if noted.watching == 0 {
            noted.from = noted.touched.back().map_or(noted.from, |(counter, _)| *counter);
            noted.touched.clear();
            noted.things = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(counter: u64) -> Revision {
        Revision { incarnation: 1, counter }
    }

    fn things(names: &[&str]) -> Things {
        names.iter().map(|name| (Thing::Entity, (*name).to_owned())).collect()
    }

    #[test]
    fn what_is_touched_is_known_while_something_is_built() {
        let since = Since::default();
        since.note(at(1), Some(things(&["before"])));
        let watching = since.watch();
        assert_eq!(since.after(at(0)), None);
        assert_eq!(since.after(at(1)), Some(things(&[])));
        since.note(at(2), Some(things(&["a", "b"])));
        since.note(at(3), Some(things(&["b", "c"])));
        assert_eq!(since.after(at(1)), Some(things(&["a", "b", "c"])));
        assert_eq!(since.after(at(2)), Some(things(&["b", "c"])));
        // another one that began later and ends first takes nothing away
        drop(since.watch());
        assert_eq!(since.after(at(1)), Some(things(&["a", "b", "c"])));
        since.note(at(4), None);
        assert_eq!((since.after(at(3)), since.after(at(4))), (None, Some(things(&[]))));
        since.note(at(5), Some(things(&vec!["x"; MOST + 1])));
        assert_eq!(since.after(at(4)), None);
        since.note(at(6), Some(things(&["d"])));
        drop(watching);
        assert!(since.after(at(5)).is_none() && !since.is_watched());
        assert_eq!(since.after(at(6)), Some(things(&[])));
    }
}
