//! A list, a map and a set whose copies share what neither changed.
//!
//! A copy is a pointer. A change copies the few hundred elements beside it and the way to them, once: as long as no copy
//! was made since, the next change copies nothing.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::ops::Index;
use std::sync::Arc;

use foldhash::quality::RandomState;

const PAGE_BITS: usize = 8;
const PAGE: usize = 1 << PAGE_BITS;

/// A list.
#[derive(Debug, Clone)]
pub(crate) struct List<T> {
    pages: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { pages: Arc::default(), len: 0 }
    }
}

impl<T> Index<usize> for List<T> {
    type Output = T;

    #[inline]
    fn index(&self, i: usize) -> &T {
        &self.pages[i >> PAGE_BITS][i & (PAGE - 1)]
    }
}

impl<T> List<T> {
    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The element at `i`.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<&T> {
        self.pages.get(i >> PAGE_BITS)?.get(i & (PAGE - 1))
    }

    /// All of them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

impl<T: Clone> List<T> {
    /// Puts an element behind the others.
    pub(crate) fn push(&mut self, value: T) {
        let pages = Arc::make_mut(&mut self.pages);
        if self.len & (PAGE - 1) == 0 {
            pages.push(Arc::new(Vec::new()));
        }
        if let Some(page) = pages.last_mut() {
            Arc::make_mut(page).push(value);
        }
        self.len += 1;
    }

    /// Takes the last element.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let pages = Arc::make_mut(&mut self.pages);
        let last = Arc::make_mut(pages.last_mut()?).pop();
        if self.len & (PAGE - 1) == 0 {
            pages.pop();
        }
        last
    }

    /// The element at `i`, to be changed in this copy alone.
    pub(crate) fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        Arc::make_mut(Arc::make_mut(&mut self.pages).get_mut(i >> PAGE_BITS)?).get_mut(i & (PAGE - 1))
    }

    /// Takes the element at `i`; the last one gets its place.
    pub(crate) fn swap_remove(&mut self, i: usize) -> Option<T> {
        if i >= self.len {
            return None;
        }
        let last = self.pop()?;
        match self.get_mut(i) {
            Some(place) => Some(std::mem::replace(place, last)),
            None => Some(last),
        }
    }
}

/// Elements of a shard on average, at most.
const FULL: usize = 96;

/// Shards of a node.
const NODE_BITS: u32 = 6;

type Shard<K, V, S> = Arc<HashMap<K, V, S>>;
type Nodes<K, V, S> = Vec<Arc<Vec<Shard<K, V, S>>>>;

/// A map. Its order is no order. Each map draws keys for its hashes, since ids come from outside.
#[derive(Debug, Clone)]
pub(crate) struct Map<K, V, S = RandomState> {
    nodes: Arc<Nodes<K, V, S>>,
    /// How many leading bits of the hash choose the shard.
    bits: u32,
    len: usize,
    /// What chooses the shard; within it another one chooses, since there the leading bits are all alike.
    outer: S,
    inner: S,
}

impl<K, V, S: Default> Default for Map<K, V, S> {
    fn default() -> Self {
        Self { nodes: Arc::default(), bits: 0, len: 0, outer: S::default(), inner: S::default() }
    }
}

impl<K, V, S: BuildHasher + Clone> Map<K, V, S> {
    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.nodes.iter().flat_map(|node| node.iter()).flat_map(|shard| shard.iter())
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    #[inline]
    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // a shift by 64 for no bits would overflow
        (self.outer.hash_one(key) >> 1 >> (63 - self.bits)) as usize
    }

    #[inline]
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&HashMap<K, V, S>> {
        let shard = self.shard_of(key);
        Some(self.nodes.get(shard >> NODE_BITS)?.get(shard & ((1 << NODE_BITS) - 1))?)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + Clone> Map<K, V, S> {
    /// What a key has.
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key)?.get(key)
    }

    /// The same, and the key itself.
    pub(crate) fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key)?.get_key_value(key)
    }

    /// Whether there is such a key.
    pub(crate) fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher + Clone> Map<K, V, S> {
    fn shard_mut<Q: Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut HashMap<K, V, S>> {
        let shard = self.shard_of(key);
        let node = Arc::make_mut(&mut self.nodes).get_mut(shard >> NODE_BITS)?;
        Some(Arc::make_mut(Arc::make_mut(node).get_mut(shard & ((1 << NODE_BITS) - 1))?))
    }

    /// What a key has, to be changed in this copy alone.
    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // what is not there copies nothing
        if self.get(key).is_some() { self.shard_mut(key)?.get_mut(key) } else { None }
    }

    /// Gives a key its value; what it had before comes back.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.nodes.is_empty() {
            self.spread(0);
        } else if self.len >= FULL << self.bits {
            self.spread(self.bits + 1);
        }
        let before = self.shard_mut(&key)?.insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes a key and what it has.
    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.contains_key(key) {
            return None;
        }
        let before = self.shard_mut(key)?.remove(key)?;
        self.len -= 1;
        Some(before)
    }

    /// Spreads all over as many shards as `bits` choose.
    fn spread(&mut self, bits: u32) {
        self.bits = bits;
        let mut shards: Vec<HashMap<K, V, S>> = Vec::new();
        shards.resize_with(1 << bits, || HashMap::with_hasher(self.inner.clone()));
        for node in Arc::unwrap_or_clone(std::mem::take(&mut self.nodes)) {
            for shard in Arc::unwrap_or_clone(node) {
                for (key, value) in Arc::unwrap_or_clone(shard) {
                    let at = self.shard_of(&key);
                    if let Some(shard) = shards.get_mut(at) {
                        shard.insert(key, value);
                    }
                }
            }
        }
        let mut shards = shards.into_iter().map(Arc::new);
        let mut nodes = Vec::new();
        while shards.len() > 0 {
            nodes.push(Arc::new(shards.by_ref().take(1 << NODE_BITS).collect()));
        }
        self.nodes = Arc::new(nodes);
    }
}

/// A set.
#[derive(Debug, Clone)]
pub(crate) struct Set<K>(Map<K, ()>);

impl<K> Default for Set<K> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<K: Hash + Eq + Clone> Set<K> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> + Clone {
        self.0.keys()
    }

    /// Whether it is there.
    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.contains_key(key)
    }

    /// Adds it. Gives whether it was not there.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        !self.contains(&key) && self.0.insert(key, ()).is_none()
    }

    /// Removes it. Gives whether it was there.
    pub(crate) fn remove<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.remove(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tests::dice::Dice;

    #[test]
    fn a_list_is_what_a_vector_is_in_every_copy() {
        let (mut dice, mut list, mut plain, mut copies) = (Dice(1), List::default(), Vec::new(), Vec::new());
        for round in 0..20_000 {
            if round % 2_000 == 0 {
                copies.push((list.clone(), plain.clone()));
            }
            let (any, shrinks) = (dice.draw(1_000), round % 6_000 > 4_500);
            match dice.draw(8) {
                0 if !plain.is_empty() => {
                    let at = dice.draw(plain.len() as u64) as usize;
                    assert_eq!(list.swap_remove(at), Some(plain.swap_remove(at)));
                }
                1 if !plain.is_empty() => {
                    let at = dice.draw(plain.len() as u64) as usize;
                    *list.get_mut(at).unwrap() = any;
                    plain[at] = any;
                }
                2..=6 if shrinks => assert_eq!(list.pop(), plain.pop()),
                _ => {
                    list.push(any);
                    plain.push(any);
                }
            }
            assert_eq!(list.len(), plain.len());
        }
        copies.push((list, plain));
        for (list, plain) in copies {
            assert!(list.iter().eq(&plain));
            assert!((0..plain.len()).all(|i| list.get(i) == Some(&plain[i]) && list[i] == plain[i]));
            assert_eq!(list.get(plain.len()), None);
        }
    }

    #[test]
    fn a_map_is_what_a_plain_one_is_in_every_copy() {
        let (mut dice, mut map, mut plain, mut copies) =
            (Dice(2), Map::<String, u64>::default(), BTreeMap::new(), Vec::new());
        for round in 0..40_000_u64 {
            if round % 4_000 == 0 {
                copies.push((map.clone(), plain.clone()));
            }
            let key = format!("k{}", dice.draw(20_000));
            match dice.draw(if round > 30_000 { 3 } else { 6 }) {
                0 | 1 => assert_eq!(map.remove(key.as_str()), plain.remove(&key)),
                2 => {
                    let (one, other) = (map.get_mut(key.as_str()), plain.get_mut(&key));
                    assert_eq!(one, other);
                    one.into_iter().chain(other).for_each(|value| *value += 1);
                }
                _ => assert_eq!(map.insert(key.clone(), round), plain.insert(key, round)),
            }
            assert_eq!((map.len(), map.is_empty()), (plain.len(), plain.is_empty()));
        }
        assert!(map.bits > NODE_BITS, "several nodes");
        copies.push((map, plain));
        for (map, plain) in copies {
            assert_eq!(map.iter().map(|(key, value)| (key.clone(), *value)).collect::<BTreeMap<_, _>>(), plain);
            for n in 0..20_000 {
                let key = format!("k{n}");
                assert_eq!(
                    map.get_key_value(key.as_str()).map(|(key, _)| key),
                    plain.get_key_value(&key).map(|it| it.0)
                );
            }
        }
    }

    #[test]
    fn a_change_copies_what_lies_beside_it_alone() {
        let mut list = List::default();
        (0..10_000).for_each(|n| list.push(n));
        let before = list.clone();
        *list.get_mut(5_000).unwrap() = 0;
        let same = list.pages.iter().zip(before.pages.iter()).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(same, list.pages.len() - 1);
        let mut map = Map::<u32, u32>::default();
        (0..100_000).for_each(|n| assert_eq!(map.insert(n, n), None));
        let before = map.clone();
        map.insert(5_000, 0);
        let shards =
            |map: &Map<u32, u32>| map.nodes.iter().flat_map(|node| node.iter().map(Arc::as_ptr)).collect::<Vec<_>>();
        let (one, other) = (shards(&map), shards(&before));
        assert_eq!(one.iter().zip(&other).filter(|(one, other)| one != other).count(), 1);
    }
}
