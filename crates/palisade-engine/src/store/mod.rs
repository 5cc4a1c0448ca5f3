//! The entity store: uids interned to integers, entities packed into pages that snapshots share.
//!
//! An entity is its direct parents, its attributes and its tags; no closure of the hierarchy is kept, so
//! moving a subtree changes one record. A [`Draft`] copies the pages that it touches and nothing else, and
//! readers of the store that it started from notice nothing.
//!
//! ```text
//! uid text --hash--> directory --> bucket --> id          (table.rs)
//! id >> 6  --------> spine ------> page  --> record        (spine.rs, record.rs; of a draft pages.rs)
//! id  -------------> sorted pairs ---------> who refers    (referrers.rs)
//! ```
//!
//! All ids of a page are of one type, so a type is known without touching a record, and the few customers
//! that millions of devices hang on lie close together. Interned ids are never given out again: a deleted
//! entity leaves a record that holds its uid alone.

mod draft;
mod hierarchy;
mod left;
mod pages;
mod record;
mod referrers;
mod spine;
mod symbols;
mod table;

pub(crate) use draft::Draft;
pub(crate) use hierarchy::Fault;
pub(crate) use left::Users;
pub(crate) use record::{Entity, Layer, RecordHead, RecordParts};
pub(crate) use referrers::{Edits as PairEdits, Referrers as Pairs, pair, references};
pub(crate) use spine::Spine;
pub(crate) use symbols::Symbols;

use std::ops::Range;
use std::sync::Arc;

use crate::broken::broken;
use crate::ids::{EntityId, TypeId};
use crate::model::Uid;

use record::HEAD;
use referrers::Referrers;
use table::Table;

const PAGE_BITS: u32 = 6;
const PAGE_SLOTS: usize = 1 << PAGE_BITS;

/// A page: a table of offsets, then that many records.
#[derive(Debug, Clone)]
struct Page {
    bytes: Arc<[u8]>,
    ty: TypeId,
}

/// All entities of one snapshot. Cloning it copies three pointers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pages: Spine<Page>,
    table: Table,
    symbols: Arc<Symbols>,
    /// For each type the page that still has room, and how many slots of it are taken.
    open: Arc<Vec<Option<(u32, u32)>>>,
    referrers: Referrers,
    counts: Counts,
    /// The ids that may be named by nothing any more.
    left: left::Left,
}

/// How many records there are of each kind, actions of the schema not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Entities stored.
    pub present: usize,
    /// Those among them that a change brought.
    pub changed: usize,
    /// Entities that a change deleted, and whose deletion hides what the base says.
    pub deleted: usize,
}

impl Counts {
    /// Counts a record, or takes it back.
    fn count(&mut self, entity: Entity<'_>, add: bool) {
        let by = |number: &mut usize| *number = if add { *number + 1 } else { *number - 1 };
        match (entity.is_present(), entity.layer()) {
            (true, _) if entity.is_schema_action() => {}
            (true, Layer::Base) => by(&mut self.present),
            (true, Layer::Overlay) => {
                by(&mut self.present);
                by(&mut self.changed);
            }
            (false, Layer::Overlay) => by(&mut self.deleted),
            (false, Layer::Base) => {}
        }
    }
}

/// What shows records by id: a store, or a draft of one.
pub(crate) trait Records {
    /// The record of an id, present or not.
    fn record_of(&self, id: EntityId) -> Option<Entity<'_>>;
    /// The type of an id.
    fn type_of_id(&self, id: EntityId) -> TypeId;
    /// Names of types and attributes.
    fn names(&self) -> &Symbols;
}

impl Records for Store {
    fn record_of(&self, id: EntityId) -> Option<Entity<'_>> {
        self.record(id)
    }

    fn type_of_id(&self, id: EntityId) -> TypeId {
        self.type_of(id)
    }

    fn names(&self) -> &Symbols {
        self.symbols()
    }
}

impl Records for Draft {
    fn record_of(&self, id: EntityId) -> Option<Entity<'_>> {
        Some(self.record(id))
    }

    fn type_of_id(&self, id: EntityId) -> TypeId {
        self.type_of(id)
    }

    fn names(&self) -> &Symbols {
        self.symbols()
    }
}

impl Store {
    /// The id of an entity by the name of its type and its own, if it was ever named.
    pub(crate) fn named(&self, type_name: &str, id: &[u8]) -> Option<EntityId> {
        self.find(self.symbols().type_id(type_name)?, id)
    }

    /// The same, of a uid.
    pub(crate) fn of_uid(&self, uid: &Uid<'_>) -> Option<EntityId> {
        self.named(&uid.type_name, uid.id.as_bytes())
    }

    /// The id of a uid, if it was ever named.
    #[inline]
    pub(crate) fn find(&self, ty: TypeId, id: &[u8]) -> Option<EntityId> {
        self.table.find(ty, id, |candidate| self.is(candidate, ty, id))
    }

    /// The same for two uids at once, whose memory accesses then overlap.
    #[inline]
    pub(crate) fn find_two(&self, [a, b]: [(TypeId, &[u8]); 2]) -> [Option<EntityId>; 2] {
        let guesses = [self.table.guess(a.0, a.1), self.table.guess(b.0, b.1)];
        let records = guesses.map(|guess| {
            guess.and_then(|id| {
                self.pages.get(page_of(id) as usize).map(|page| (id, page.ty, Entity::new(slot(&page.bytes, id))))
            })
        });
        let confirm = |found: Option<(EntityId, TypeId, Entity<'_>)>, (ty, id): (TypeId, &[u8])| match found {
            Some((guess, found, record)) if found == ty && record.id() == id => Some(guess),
            _ => self.find(ty, id),
        };
        let [first, second] = records;
        [confirm(first, a), confirm(second, b)]
    }

    #[inline]
    fn is(&self, candidate: EntityId, ty: TypeId, id: &[u8]) -> bool {
        self.pages
            .get(page_of(candidate) as usize)
            .is_some_and(|page| page.ty == ty && Entity::new(slot(&page.bytes, candidate)).id() == id)
    }

    /// The record of an id, present or not.
    #[inline]
    pub(crate) fn record(&self, id: EntityId) -> Option<Entity<'_>> {
        self.pages.get(page_of(id) as usize).map(|page| Entity::new(slot(&page.bytes, id)))
    }

    /// The entity of an id, if it is stored and not merely named.
    #[inline]
    pub(crate) fn entity(&self, id: EntityId) -> Option<Entity<'_>> {
        self.record(id).filter(|entity| entity.is_present())
    }

    /// The type of an id.
    #[inline]
    pub(crate) fn type_of(&self, id: EntityId) -> TypeId {
        match self.pages.get(page_of(id) as usize) {
            Some(page) => page.ty,
            None => broken("an id that was never given out"),
        }
    }

    /// Names of types and attributes.
    #[inline]
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The record of an id that a later store gave out, if this one has it too.
    pub(crate) fn earlier(&self, id: EntityId) -> Option<Entity<'_>> {
        let page = self.pages.get(page_of(id) as usize)?;
        // the slot may have been taken since
        let record = slot(&page.bytes, id);
        (record.len() >= HEAD).then(|| Entity::new(record))
    }

    /// How many entities are stored, actions of the schema not counted.
    pub(crate) fn len(&self) -> usize {
        self.counts.present
    }

    /// How many records there are of each kind.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The stored entities that refer to one, by a parent, an attribute or a tag, in the order of ids.
    pub(crate) fn referrers(&self, id: EntityId) -> impl Iterator<Item = EntityId> {
        self.referrers.of(id.raw()).map(EntityId::from_raw)
    }

    /// All ids with a record, stored entities and mere names.
    pub(crate) fn ids(&self) -> impl Iterator<Item = EntityId> {
        self.ids_from(FIRST)
    }

    /// The same from an id on.
    pub(crate) fn ids_from(&self, from: EntityId) -> impl Iterator<Item = EntityId> {
        self.ids_of_pages(from, None)
    }

    /// The stored entities of a type, in the order of ids. Looks at the pages of the type alone.
    pub(crate) fn ids_of_type(&self, ty: TypeId) -> impl Iterator<Item = EntityId> {
        self.ids_of_pages(FIRST, Some(ty)).filter(|id| self.entity(*id).is_some())
    }

    fn ids_of_pages(&self, from: EntityId, of: Option<TypeId>) -> impl Iterator<Item = EntityId> {
        let open = self.open.clone();
        let skipped = page_of(from) as usize;
        let pages = (skipped..self.pages.len()).filter_map(|number| Some((number, self.pages.get(number)?)));
        let pages = pages.filter(move |(_, page)| of.is_none_or(|ty| page.ty == ty));
        pages.flat_map(move |(number, page)| {
            let taken = match open.get(page.ty.index()).copied().flatten() {
                Some((open, taken)) if open as usize == number => taken,
                _ => PAGE_SLOTS as u32,
            };
            let first = (number as u32) << PAGE_BITS;
            (first.max(from.raw())..(first + taken).max(from.raw())).map(EntityId::from_raw)
        })
    }

    /// Bytes held by pages and by the table of uids: what an entity costs, without the allocator's share.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.bytes.len() + size_of::<Page>() + 16).sum::<usize>()
            + self.table.bytes()
            + self.referrers.bytes()
    }
}

/// The first id of all.
const FIRST: EntityId = EntityId::from_raw(0);

/// The number of the page on which an id has its record.
#[inline]
fn page_of(id: EntityId) -> u32 {
    id.raw() >> PAGE_BITS
}

/// The record of `id` in its page.
#[inline]
fn slot(page: &[u8], id: EntityId) -> &[u8] {
    &page[slot_range(page, id)]
}

#[inline]
fn slot_range(page: &[u8], id: EntityId) -> Range<usize> {
    let i = id.index() & (PAGE_SLOTS - 1);
    let (start, end) = (crate::value::u32_at(page, 4 * i), crate::value::u32_at(page, 4 * i + 4));
    start as usize..end as usize
}
