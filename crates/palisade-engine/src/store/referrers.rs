//! Who refers to an entity: its children, and all that name it in an attribute or a tag.
//!
//! A set of pairs (what is referred to, what refers), sorted, in three levels whose copies share what neither changed:
//! adding a pair copies a leaf and a node, however many referrers an entity has. What kind of reference it is the
//! referrer's own record says, so a pair is there once, whatever its record holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::Entity;
use crate::ids::EntityId;
use crate::value::Val;

/// Pairs in a leaf, at most.
const LEAF: usize = 256;
/// Leaves in a node, at most.
const NODE: usize = 128;

#[derive(Debug, Clone)]
struct Leaf {
    first: u64,
    pairs: Arc<[u64]>,
}

#[derive(Debug, Clone)]
struct Node {
    first: u64,
    leaves: Arc<[Leaf]>,
}

/// The set. Cloning it is one pointer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Referrers {
    nodes: Arc<[Node]>,
}

/// Pairs to add (true) or to remove.
pub(crate) type Edits = BTreeMap<u64, bool>;

/// The pair of an entity and one that refers to it. Other sets of pairs are kept so, too: hence plain numbers.
#[inline]
pub(crate) fn pair(target: u32, referrer: u32) -> u64 {
    u64::from(target) << 32 | u64::from(referrer)
}

/// All that a stored entity refers to, each once, sorted. A mere name refers to nothing.
pub(crate) fn references(entity: Entity<'_>) -> Vec<EntityId> {
    if !entity.is_present() {
        return Vec::new();
    }
    let mut found: Vec<EntityId> = entity.parents().collect();
    Val::Record(entity.attributes()).entities(&mut |id| found.push(id));
    (0..entity.tag_count()).for_each(|i| entity.tag_at(i).1.entities(&mut |id| found.push(id)));
    found.sort_unstable();
    found.dedup();
    found
}

/// As few parts as hold no more than `most` each, about equally large.
fn parts<T>(all: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let count = all.len().div_ceil(most).max(1);
    all.chunks(all.len().div_ceil(count).max(1))
}

fn leaves(pairs: &[u64], into: &mut Vec<Leaf>) {
    into.extend(parts(pairs, LEAF).filter_map(|part| Some(Leaf { first: *part.first()?, pairs: part.into() })));
}

fn nodes(leaves: &[Leaf], into: &mut Vec<Node>) {
    into.extend(parts(leaves, NODE).filter_map(|part| Some(Node { first: part.first()?.first, leaves: part.into() })));
}

impl Referrers {
    /// Of pairs that are sorted, each once.
    pub(crate) fn from_sorted(pairs: &[u64]) -> Self {
        let (mut below, mut top) = (Vec::new(), Vec::new());
        leaves(pairs, &mut below);
        nodes(&below, &mut top);
        Self { nodes: top.into() }
    }

    /// All that refer to it, sorted.
    pub(crate) fn of(&self, target: u32) -> impl Iterator<Item = u32> {
        let key = pair(target, 0);
        let first = self.nodes.partition_point(|node| node.first <= key).saturating_sub(1);
        let pairs = self.nodes.iter().skip(first).enumerate().flat_map(move |(n, node)| {
            let skipped =
                if n == 0 { node.leaves.partition_point(|leaf| leaf.first <= key).saturating_sub(1) } else { 0 };
            node.leaves.iter().skip(skipped).enumerate().flat_map(move |(l, leaf)| {
                let skipped = if n == 0 && l == 0 { leaf.pairs.partition_point(|pair| *pair < key) } else { 0 };
                leaf.pairs.iter().skip(skipped).copied()
            })
        });
        pairs.take_while(move |pair| pair >> 32 == u64::from(target)).map(|pair| pair as u32)
    }

    /// The set after `edits`. What is there already is not added again, what is not there is not missed.
    pub(crate) fn with(&self, edits: &Edits) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        if self.nodes.is_empty() {
            let added: Vec<u64> = edits.iter().filter(|(_, added)| **added).map(|(pair, _)| *pair).collect();
            return Self::from_sorted(&added);
        }
        let (mut top, mut carried) = (Vec::with_capacity(self.nodes.len() + 1), Vec::new());
        for (n, node) in self.nodes.iter().enumerate() {
            // edits before the first pair of all belong to the first node
            let start = if n == 0 { 0 } else { node.first };
            let next = self.nodes.get(n + 1);
            let end = next.map_or(u64::MAX, |next| next.first);
            if carried.is_empty() && edits.range(start..end).next().is_none() {
                top.push(node.clone());
                continue;
            }
            merge(&node.leaves, edits, (start, end), &mut carried);
            if carried.len() >= NODE / 4 || next.is_none() {
                nodes(&carried, &mut top);
                carried.clear();
            }
        }
        Self { nodes: top.into() }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let of_leaf = |leaf: &Leaf| size_of::<Leaf>() + 16 + size_of_val(&*leaf.pairs);
        let of_node = |node: &Node| size_of::<Node>() + 16 + node.leaves.iter().map(of_leaf).sum::<usize>();
        self.nodes.iter().map(of_node).sum()
    }

    /// All pairs, sorted.
    #[cfg(test)]
    pub(crate) fn pairs(&self) -> Vec<u64> {
        self.nodes.iter().flat_map(|node| node.leaves.iter()).flat_map(|leaf| leaf.pairs.iter().copied()).collect()
    }
}

/// The leaves of one node after the edits of its range, behind `into`.
fn merge(old: &[Leaf], edits: &Edits, (start, end): (u64, u64), into: &mut Vec<Leaf>) {
    let mut carried: Vec<u64> = Vec::new();
    for (l, leaf) in old.iter().enumerate() {
        let start = if l == 0 { start } else { leaf.first };
        let next = old.get(l + 1);
        let end = next.map_or(end, |next| next.first);
        let mut edits = edits.range(start..end).peekable();
        if carried.is_empty() && edits.peek().is_none() {
            into.push(leaf.clone());
            continue;
        }
        for known in leaf.pairs.iter().copied() {
            while let Some((pair, added)) = edits.next_if(|(pair, _)| **pair < known) {
                carried.extend(added.then_some(*pair));
            }
            match edits.next_if(|(pair, _)| **pair == known) {
                Some((_, false)) => {}
                _ => carried.push(known),
            }
        }
        carried.extend(edits.filter(|(_, added)| **added).map(|(pair, _)| *pair));
        if carried.len() >= LEAF / 4 || next.is_none() {
            leaves(&carried, into);
            carried.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tests::dice::Dice;

    #[test]
    fn is_what_a_plain_set_is_after_any_edits() {
        let mut dice = Dice(7);
        let mut roll = |n: u64| dice.draw(n);
        for (targets, referrers, edits, rounds) in [(3, 40, 5, 200), (5, 3_000, 40, 300), (2_000, 50, 3_000, 40)] {
            let (mut plain, mut set) = (BTreeSet::new(), Referrers::default());
            let mut before = (plain.clone(), set.clone());
            for round in 0..rounds {
                let shrinking = round > rounds * 2 / 3;
                let drawn: Edits = (0..roll(edits) + 1)
                    .map(|_| {
                        let any = pair(roll(targets) as u32, roll(referrers) as u32);
                        let known = plain.range(any..).next().copied().unwrap_or(any);
                        if shrinking { (known, false) } else { (any, roll(3) > 0) }
                    })
                    .collect();
                for (pair, added) in &drawn {
                    if *added {
                        plain.insert(*pair)
                    } else {
                        plain.remove(pair)
                    };
                }
                set = set.with(&drawn);
                assert_eq!(set.pairs(), plain.iter().copied().collect::<Vec<_>>());
                let target = roll(targets) as u32;
                let expected: Vec<u32> =
                    plain.range(pair(target, 0)..pair(target + 1, 0)).map(|pair| *pair as u32).collect();
                assert_eq!(set.of(target).collect::<Vec<_>>(), expected);
                if round % 50 == 49 {
                    assert_eq!(before.1.pairs(), before.0.iter().copied().collect::<Vec<_>>(), "an older copy");
                    before = (plain.clone(), set.clone());
                }
            }
            let sorted: Vec<u64> = plain.iter().copied().collect();
            assert_eq!(Referrers::from_sorted(&sorted).pairs(), sorted);
        }
    }
}
