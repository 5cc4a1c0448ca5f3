//! From the text of a uid to its id: a hash table in buckets that grow one at a time.
//!
//! The first bits of the hash choose a bucket through a directory (extendible hashing), so that adding a uid
//! copies one bucket, whatever the size of the store. In a bucket the hash chooses a line of eight slots. A slot
//! holds further bits of the hash beside the id, so a probe looks at a wrong record once in billions, and a line
//! is compared without a branch, so that the memory accesses of two probes overlap. The hash has a new key in every process: ids come from
//! outside, and an attacker must not be able to choose ids that collide.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::spine::Spine;
use crate::broken::broken;
use crate::ids::{EntityId, TypeId};

const LINE_BITS: u32 = 6;
const LINES: usize = 1 << LINE_BITS;
const LINE: usize = 8;
const SLOTS: usize = LINES * LINE;
/// A bucket with more than this is split.
const FULL: u32 = SLOTS as u32 / 4 * 3;

#[derive(Debug, Clone)]
struct Bucket {
    /// How many leading bits of the hash all its entries share.
    depth: u32,
    used: u32,
    lines: [Line; LINES],
}

/// As much as one memory access brings: eight times `tag << 32 | id`, or 0.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; LINE]);

impl Line {
    /// The first id from slot `from` on whose tag fits, and its slot.
    #[inline]
    fn candidate(&self, tag: u64, from: usize) -> Option<(usize, EntityId)> {
        let mut fits = 0_u32;
        for (i, slot) in self.0.iter().enumerate() {
            fits |= u32::from(slot >> 32 == tag) << i;
        }
        fits &= u32::MAX << from;
        let i = fits.trailing_zeros() as usize;
        self.0.get(i).map(|slot| (i, EntityId::from_raw(*slot as u32)))
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.0.iter().all(|slot| *slot != 0)
    }
}

/// The table. Cloning it copies one pointer and the key.
#[derive(Debug, Clone)]
pub(super) struct Table {
    state: RandomState,
    /// How many leading bits choose the entry of the directory.
    depth: u32,
    directory: Spine<Arc<Bucket>>,
}

impl Default for Table {
    fn default() -> Self {
        let bucket = Bucket { depth: 0, used: 0, lines: [Line::default(); LINES] };
        Self { state: RandomState::default(), depth: 0, directory: Spine::from_slice(&[Arc::new(bucket)]) }
    }
}

impl Table {
    #[inline]
    fn hash(&self, ty: TypeId, id: &[u8]) -> u64 {
        hash_with(&self.state, ty, id)
    }

    #[inline]
    fn entry_of(&self, hash: u64) -> usize {
        // a shift by 64 for depth 0 would overflow
        (hash >> 1 >> (63 - self.depth)) as usize
    }

    /// The id that `is` confirms among those whose hash fits.
    #[inline]
    pub(super) fn find(&self, ty: TypeId, id: &[u8], is: impl Fn(EntityId) -> bool) -> Option<EntityId> {
        let hash = self.hash(ty, id);
        let bucket = self.directory.get(self.entry_of(hash))?;
        let tag = tag(hash);
        let mut line = hash as usize & (LINES - 1);
        loop {
            let slots = bucket.lines.get(line)?;
            let mut from = 0;
            while let Some((slot, id)) = slots.candidate(tag, from) {
                if is(id) {
                    return Some(id);
                }
                from = slot + 1;
            }
            if !slots.is_full() {
                return None;
            }
            line = (line + 1) & (LINES - 1);
        }
    }

    /// The id that is most likely that of the uid, unconfirmed.
    #[inline]
    pub(super) fn guess(&self, ty: TypeId, id: &[u8]) -> Option<EntityId> {
        let hash = self.hash(ty, id);
        let bucket = self.directory.get(self.entry_of(hash))?;
        bucket.lines.get(hash as usize & (LINES - 1))?.candidate(tag(hash), 0).map(|(_, id)| id)
    }

    /// Adds a uid that [`Table::find`] does not know. `uid_of` gives the type and the id of one that is there.
    pub(super) fn insert<'u>(
        &mut self,
        ty: TypeId,
        id: &[u8],
        new: EntityId,
        uid_of: &dyn Fn(EntityId) -> (TypeId, &'u [u8]),
    ) {
        let hash = self.hash(ty, id);
        while self.directory.get(self.entry_of(hash)).is_some_and(|bucket| bucket.used >= FULL) {
            self.split(self.entry_of(hash), uid_of);
        }
        self.change(hash, |bucket| bucket.put(hash, new));
    }

    /// Takes out a uid whose id is `gone`. `uid_of` gives the type and the id of others that are there.
    pub(super) fn remove<'u>(
        &mut self,
        ty: TypeId,
        id: &[u8],
        gone: EntityId,
        uid_of: &dyn Fn(EntityId) -> (TypeId, &'u [u8]),
    ) {
        let hash = self.hash(ty, id);
        let state = self.state.clone();
        let line_of = |other: EntityId| {
            let (ty, id) = uid_of(other);
            hash_with(&state, ty, id) as usize & (LINES - 1)
        };
        self.change(hash, |bucket| bucket.take(hash, gone, &line_of));
    }

    /// Changes the bucket of a hash. Every entry of the directory that shares it sees the change.
    fn change(&mut self, hash: u64, change: impl FnOnce(&mut Bucket)) {
        let entry = self.entry_of(hash);
        let Some(shared) = self.directory.get(entry) else { broken("a hash beyond the directory") };
        let span = 1_usize << (self.depth - shared.depth);
        let first = entry & !(span - 1);
        if span == 1 {
            return change(Arc::make_mut(self.entry_mut(entry)));
        }
        let mut bucket = Bucket::clone(shared);
        change(&mut bucket);
        let bucket = Arc::new(bucket);
        for entry in first..first + span {
            *self.entry_mut(entry) = bucket.clone();
        }
    }

    fn entry_mut(&mut self, entry: usize) -> &mut Arc<Bucket> {
        match self.directory.get_mut(entry) {
            Some(bucket) => bucket,
            None => broken("a hash beyond the directory"),
        }
    }

    fn split<'u>(&mut self, entry: usize, uid_of: &dyn Fn(EntityId) -> (TypeId, &'u [u8])) {
        let Some(old) = self.directory.get(entry).cloned() else { broken("a hash beyond the directory") };
        if old.depth == self.depth {
            let doubled: Vec<_> = self.directory.iter().flat_map(|bucket| [bucket.clone(), bucket.clone()]).collect();
            self.directory = Spine::from_slice(&doubled);
            self.depth += 1;
            return self.split(entry * 2, uid_of);
        }
        let depth = old.depth + 1;
        let empty = Bucket { depth, used: 0, lines: [Line::default(); LINES] };
        let mut halves = [empty.clone(), empty];
        for slot in old.lines.iter().flat_map(|line| line.0).filter(|slot| *slot != 0) {
            let id = EntityId::from_raw(slot as u32);
            let (ty, text) = uid_of(id);
            let hash = self.hash(ty, text);
            let half = (hash >> (64 - depth) & 1) as usize;
            halves[half].put(hash, id);
        }
        let halves = halves.map(Arc::new);
        let span = 1_usize << (self.depth - old.depth);
        let first = entry & !(span - 1);
        for (i, half) in halves.iter().enumerate() {
            for entry in first + i * span / 2..first + (i + 1) * span / 2 {
                *self.entry_mut(entry) = half.clone();
            }
        }
    }

    /// Bytes of all buckets and the directory.
    pub(super) fn bytes(&self) -> usize {
        let buckets = self.directory.iter().map(|bucket| {
            // a bucket counts once, however many entries point to it
            size_of::<Bucket>() / (1_usize << (self.depth - bucket.depth))
        });
        buckets.sum::<usize>() + self.directory.len() * size_of::<usize>()
    }
}

#[inline]
fn hash_with(state: &RandomState, ty: TypeId, id: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u32(ty.raw());
    hasher.write(id);
    hasher.finish()
}

/// Never 0, which marks an empty slot.
#[inline]
fn tag(hash: u64) -> u64 {
    hash >> LINE_BITS & 0xffff_ffff | 1
}

impl Bucket {
    fn put(&mut self, hash: u64, id: EntityId) {
        let mut line = hash as usize & (LINES - 1);
        // never full: it is split before
        loop {
            if let Some(slot) = self.lines[line].0.iter_mut().find(|slot| **slot == 0) {
                *slot = tag(hash) << 32 | u64::from(id.raw());
                self.used += 1;
                return;
            }
            line = (line + 1) & (LINES - 1);
        }
    }

    /// Takes out an id. `line_of` gives the line at which the search for another begins.
    fn take(&mut self, hash: u64, gone: EntityId, line_of: &dyn Fn(EntityId) -> usize) {
        let mut hole = hash as usize & (LINES - 1);
        let slot = tag(hash) << 32 | u64::from(gone.raw());
        let mut was_full;
        loop {
            let line = &mut self.lines[hole];
            was_full = line.is_full();
            if let Some(place) = line.0.iter_mut().find(|known| **known == slot) {
                *place = 0;
                break;
            }
            if !was_full {
                broken("a uid that the table does not have");
            }
            hole = (hole + 1) & (LINES - 1);
        }
        self.used -= 1;
        // a search ends at a line that is not full: what lies behind this one because it was full comes back
        let mut line = hole;
        while was_full {
            line = (line + 1) & (LINES - 1);
            if line == hole {
                return;
            }
            let behind = |at: usize| at.wrapping_sub(hole) & (LINES - 1);
            was_full = self.lines[line].is_full();
            let strays = |known: &u64| {
                *known != 0 && !(1..=behind(line)).contains(&behind(line_of(EntityId::from_raw(*known as u32))))
            };
            let Some(place) = self.lines[line].0.iter().position(strays) else { continue };
            let stray = std::mem::take(&mut self.lines[line].0[place]);
            if let Some(free) = self.lines[hole].0.iter_mut().find(|known| **known == 0) {
                *free = stray;
            }
            hole = line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::dice::Dice;

    #[test]
    fn finds_what_was_inserted_in_every_copy() {
        let mut table = Table::default();
        let names: Vec<String> = (0..20_000).map(|id| format!("entity-{id}")).collect();
        let uid = |id: EntityId| (TypeId::from_raw(id.raw() % 3), names[id.index()].as_bytes());
        let mut copies = Vec::new();
        for id in (0..20_000).map(EntityId::from_raw) {
            if id.raw() % 5_000 == 0 {
                copies.push((id, table.clone()));
            }
            let (ty, text) = uid(id);
            assert_eq!(table.find(ty, text, |found| uid(found) == (ty, text)), None);
            table.insert(ty, text, id, &uid);
        }
        copies.push((EntityId::from_raw(20_000), table));
        for (known, table) in copies {
            for id in (0..20_000).step_by(7).map(EntityId::from_raw) {
                let (ty, text) = uid(id);
                let found = table.find(ty, text, |found| uid(found) == (ty, text));
                assert_eq!(found, (id < known).then_some(id));
            }
        }
    }
    #[test]
    fn what_is_taken_out_is_gone_and_the_others_are_found() {
        let names: Vec<String> = (0..6_000).map(|id| format!("entity-{id}")).collect();
        let uid = |id: EntityId| (TypeId::from_raw(id.raw() % 3), names[id.index()].as_bytes());
        let find = |table: &Table, id: EntityId| {
            let (ty, text) = uid(id);
            table.find(ty, text, |found| found == id)
        };
        let mut table = Table::default();
        let (mut there, mut dice, mut copies) = (std::collections::BTreeSet::new(), Dice(9), Vec::new());
        for round in 0..60_000 {
            let id = EntityId::from_raw(dice.draw(6_000) as u32);
            let (ty, text) = uid(id);
            if there.remove(&id) {
                table.remove(ty, text, id, &uid);
                assert_eq!(find(&table, id), None);
            } else {
                there.insert(id);
                table.insert(ty, text, id, &uid);
            }
            if round % 6_000 == 5_999 {
                copies.push((there.clone(), table.clone()));
            }
        }
        for (there, table) in copies {
            let mut buckets: Vec<&Arc<Bucket>> = table.directory.iter().collect();
            buckets.dedup_by(|one, other| Arc::ptr_eq(one, other));
            assert_eq!(buckets.iter().map(|bucket| bucket.used as usize).sum::<usize>(), there.len());
            for id in (0..6_000).map(EntityId::from_raw) {
                assert_eq!(find(&table, id), there.contains(&id).then_some(id));
            }
        }
    }
}
