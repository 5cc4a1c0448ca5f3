//! From the text of a uid to its id: a hash table in buckets that grow one at a time.
//!
//! Some bits of the hash choose a bucket through a directory (extendible hashing), so that adding a uid
//! copies one bucket, whatever the size of the store. In a bucket other bits choose a line of eight slots. A slot
//! holds them all beside the id, so that a bucket is split and filled up without a look at records, and as many more as make
//! a probe look at a wrong record once in hundreds of times. A line
//! is compared without a branch, so that the memory accesses of two probes overlap. The hash has a new key in every process: ids come from
//! outside, and an attacker must not be able to choose ids that collide.
//!
//! ```text
//! slot   63  bucket  .. | ..  others  39 | 38  line  33 | 32 is always set | 31  id  0
//! ```

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
/// Where the tag of a slot begins.
const TAG_AT: u32 = 32;
/// A directory of more bits would choose by those that choose the line.
const DEEPEST: u32 = u64::BITS - TAG_AT - 1 - LINE_BITS;
/// A bucket with more than this is split.
const FULL: u32 = SLOTS as u32 / 4 * 3;

#[derive(Debug, Clone)]
struct Bucket {
    /// How many leading bits of the tag all its entries share.
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
            fits |= u32::from(slot >> TAG_AT == tag) << i;
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

/// The table. Cloning it copies two pointers and the key.
#[derive(Debug, Clone)]
pub(super) struct Table {
    state: RandomState,
    /// How many leading bits choose the entry of the directory.
    depth: u32,
    directory: Spine<Arc<Bucket>>,
    /// A bucket without entries, which stands in the directory for one that is being changed.
    empty: Arc<Bucket>,
}

impl Default for Table {
    fn default() -> Self {
        let empty = Arc::new(Bucket { depth: 0, used: 0, lines: [Line::default(); LINES] });
        let directory = Spine::from_slice(std::slice::from_ref(&empty));
        Self { state: RandomState::default(), depth: 0, directory, empty }
    }
}

impl Table {
    /// What a slot holds of a uid beside the id.
    #[inline]
    fn tag(&self, ty: TypeId, id: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(ty.raw());
        hasher.write(id);
        // never 0, which marks an empty slot
        hasher.finish() >> TAG_AT | 1
    }

    #[inline]
    fn entry_of(&self, tag: u64) -> usize {
        (tag >> (u64::BITS - TAG_AT - self.depth)) as usize
    }

    /// The id that `is` confirms among those whose hash fits.
    #[inline]
    pub(super) fn find(&self, ty: TypeId, id: &[u8], is: impl Fn(EntityId) -> bool) -> Option<EntityId> {
        let tag = self.tag(ty, id);
        let bucket = self.directory.get(self.entry_of(tag))?;
        let mut line = line(tag);
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
        let tag = self.tag(ty, id);
        let bucket = self.directory.get(self.entry_of(tag))?;
        bucket.lines.get(line(tag))?.candidate(tag, 0).map(|(_, id)| id)
    }

    /// Adds a uid that [`Table::find`] does not know.
    pub(super) fn insert(&mut self, ty: TypeId, id: &[u8], new: EntityId) {
        let tag = self.tag(ty, id);
        while self.directory.get(self.entry_of(tag)).is_some_and(|bucket| bucket.used >= FULL) {
            self.split(self.entry_of(tag));
        }
        self.change(tag, |bucket| bucket.put(tag << TAG_AT | u64::from(new.raw())));
    }

    /// Takes out a uid whose id is `gone`.
    pub(super) fn remove(&mut self, ty: TypeId, id: &[u8], gone: EntityId) {
        let tag = self.tag(ty, id);
        self.change(tag, |bucket| bucket.take(tag << TAG_AT | u64::from(gone.raw())));
    }

    /// Changes the bucket of a tag. Every entry of the directory that shares it sees the change.
    fn change(&mut self, tag: u64, change: impl FnOnce(&mut Bucket)) {
        let entry = self.entry_of(tag);
        let Some(shared) = self.directory.get(entry) else { broken("a hash beyond the directory") };
        let span = 1_usize << (self.depth - shared.depth);
        let first = entry & !(span - 1);
        if span == 1 {
            return change(Arc::make_mut(self.entry_mut(entry)));
        }
        // out of the whole directory, so that it is copied only where another table has it too
        let mut bucket = None;
        for entry in first..first + span {
            let empty = self.empty.clone();
            bucket = Some(std::mem::replace(self.entry_mut(entry), empty));
        }
        let Some(mut bucket) = bucket else { return };
        change(Arc::make_mut(&mut bucket));
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

    fn split(&mut self, entry: usize) {
        let Some(old) = self.directory.get(entry).cloned() else { broken("a hash beyond the directory") };
        if old.depth == DEEPEST {
            broken("more uids of one hash than a bucket has room for");
        }
        if old.depth == self.depth {
            let doubled: Vec<_> = self.directory.iter().flat_map(|bucket| [bucket.clone(), bucket.clone()]).collect();
            self.directory = Spine::from_slice(&doubled);
            self.depth += 1;
            return self.split(entry * 2);
        }
        let depth = old.depth + 1;
        let empty = Bucket { depth, used: 0, lines: [Line::default(); LINES] };
        let mut halves = [empty.clone(), empty];
        for slot in old.lines.iter().flat_map(|line| line.0).filter(|slot| *slot != 0) {
            let half = (slot >> (u64::BITS - depth) & 1) as usize;
            halves[half].put(slot);
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

/// The line at which the search for a tag begins.
#[inline]
fn line(tag: u64) -> usize {
    (tag >> 1) as usize & (LINES - 1)
}

impl Bucket {
    fn put(&mut self, new: u64) {
        let mut line = line(new >> TAG_AT);
        // never full: it is split before
        loop {
            if let Some(slot) = self.lines[line].0.iter_mut().find(|slot| **slot == 0) {
                *slot = new;
                self.used += 1;
                return;
            }
            line = (line + 1) & (LINES - 1);
        }
    }

    fn take(&mut self, gone: u64) {
        let mut hole = line(gone >> TAG_AT);
        let mut was_full;
        loop {
            let line = &mut self.lines[hole];
            was_full = line.is_full();
            if let Some(place) = line.0.iter_mut().find(|known| **known == gone) {
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
        let mut next = hole;
        while was_full {
            next = (next + 1) & (LINES - 1);
            if next == hole {
                return;
            }
            let behind = |at: usize| at.wrapping_sub(hole) & (LINES - 1);
            was_full = self.lines[next].is_full();
            let strays = |known: &u64| *known != 0 && !(1..=behind(next)).contains(&behind(line(*known >> TAG_AT)));
            let Some(place) = self.lines[next].0.iter().position(strays) else { continue };
            let stray = std::mem::take(&mut self.lines[next].0[place]);
            if let Some(free) = self.lines[hole].0.iter_mut().find(|known| **known == 0) {
                *free = stray;
            }
            hole = next;
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
            table.insert(ty, text, id);
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
                table.remove(ty, text, id);
                assert_eq!(find(&table, id), None);
            } else {
                there.insert(id);
                table.insert(ty, text, id);
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
