//! A map whose copies share what neither changed: changing an entry copies a shard of some entries and a chunk of pointers.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::broken::broken;
use crate::store::Spine;

/// Entries of a shard, on average and at most: beyond it there are twice as many shards.
const MOST_OF_A_SHARD: usize = 8;

type Shard<V> = Arc<[(u64, V)]>;

/// A persistent map. Cloning it copies one pointer and the key of the hash.
#[derive(Debug, Clone)]
pub(super) struct Shards<V> {
    state: RandomState,
    /// Shared by all copies, which have the same hash.
    kin: Arc<()>,
    /// The number of shards is a power of two.
    shards: Spine<Shard<V>>,
    len: usize,
}

impl<V: Clone> Default for Shards<V> {
    fn default() -> Self {
        let (state, kin) = (RandomState::default(), Arc::default());
        Self { state, kin, shards: Spine::from_slice(&[Arc::from([])]), len: 0 }
    }
}

impl<V: Clone> Shards<V> {
    #[inline]
    fn shard_of(&self, key: u64) -> usize {
        self.state.hash_one(key) as usize & (self.shards.len() - 1)
    }

    /// The value of a key.
    #[inline]
    pub(super) fn get(&self, key: u64) -> Option<&V> {
        self.shards.get(self.shard_of(key))?.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Puts what `edit` makes of the value of a key; removes it where that is nothing.
    pub(super) fn edit(&mut self, key: u64, edit: impl FnOnce(Option<&V>) -> Option<V>) {
        let number = self.shard_of(key);
        let Some(shard) = self.shards.get_mut(number) else { broken("a hash beyond the shards") };
        let place = shard.iter().position(|(known, _)| *known == key);
        match (edit(place.map(|place| &shard[place].1)), place) {
            (None, None) => {}
            (Some(value), Some(place)) => match Arc::get_mut(shard) {
                Some(own) => own[place].1 = value,
                None => {
                    let replaced = |(i, entry): (usize, &(u64, V))| {
                        if i == place { (key, value.clone()) } else { entry.clone() }
                    };
                    *shard = shard.iter().enumerate().map(replaced).collect();
                }
            },
            (Some(value), None) => {
                *shard = shard.iter().cloned().chain(std::iter::once((key, value))).collect();
                self.len += 1;
                if self.len > MOST_OF_A_SHARD * self.shards.len() {
                    self.double();
                }
            }
            (None, Some(place)) => {
                let others = shard.iter().enumerate().filter(|(i, _)| *i != place);
                *shard = others.map(|(_, entry)| entry.clone()).collect();
                self.len -= 1;
            }
        }
    }

    fn double(&mut self) {
        let count = 2 * self.shards.len();
        let mut parts: Vec<Vec<(u64, V)>> = vec![Vec::new(); count];
        for (key, value) in self.iter() {
            parts[self.state.hash_one(key) as usize & (count - 1)].push((key, value.clone()));
        }
        let shards: Vec<Shard<V>> = parts.into_iter().map(Arc::from).collect();
        self.shards = Spine::from_slice(&shards);
    }

    /// The entries that another does not share with this one, with some that are equal in both; nothing if the two are no
    /// copies of each other, or one has grown.
    pub(super) fn apart_from(&self, other: &Self) -> Option<impl Iterator<Item = (u64, &V)>> {
        let kin = Arc::ptr_eq(&self.kin, &other.kin) && self.shards.len() == other.shards.len();
        let pairs = self.shards.iter().zip(other.shards.iter());
        let apart = pairs.filter(|(own, others)| !Arc::ptr_eq(own, others)).flat_map(|(own, _)| own.iter());
        kin.then(|| apart.map(|(key, value)| (*key, value)))
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(key, value)| (*key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tests::dice::Dice;

    #[test]
    fn is_what_a_plain_map_is_and_copies_stay_as_they_were() {
        let (mut plain, mut map) = (BTreeMap::new(), Shards::default());
        let mut before = (plain.clone(), map.clone());
        let mut dice = Dice(5);
        for round in 0..20_000_u64 {
            let (key, add) = (dice.draw(4_096), round < 12_000 || dice.draw(4) == 0);
            let known = plain.get(&key).copied();
            map.edit(key, |value| {
                assert_eq!(value.copied(), known);
                add.then_some(round)
            });
            if add {
                plain.insert(key, round);
            } else {
                plain.remove(&key);
            }
            assert_eq!(map.get(key).copied(), plain.get(&key).copied());
            if round % 2_000 == 0 {
                let sorted: BTreeMap<u64, u64> = before.1.iter().map(|(key, value)| (key, *value)).collect();
                assert_eq!((sorted.len(), &sorted), (before.1.len, &before.0));
                before = (plain.clone(), map.clone());
            }
        }
    }
}
