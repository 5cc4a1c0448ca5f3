//! The pages of a draft: those of the store that it started from, copies of those that it touches, and new ones.
//!
//! A page that is touched is unpacked, so that its records can be replaced one by one. A new one that is full of stored
//! entities is packed at once: a million entities that are loaded are not a million pieces of memory until the end.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::record::Entity;
use super::spine::Spine;
use super::{PAGE_BITS, PAGE_SLOTS, Page, page_of, slot, slot_range};
use crate::broken::broken;
use crate::ids::{EntityId, TypeId};

/// The records of a page, each on its own.
#[derive(Debug)]
struct Unpacked {
    ty: TypeId,
    records: Vec<Box<[u8]>>,
}

/// A page that a draft made.
#[derive(Debug)]
enum New {
    Open(Unpacked),
    Packed(Page),
}

/// All pages of a draft.
#[derive(Debug)]
pub(super) struct Pages {
    before: Spine<Page>,
    /// Those of `before` that the draft touched.
    touched: HashMap<u32, Unpacked, RandomState>,
    /// Those behind them.
    new: Vec<New>,
}

impl Pages {
    /// Those of a store.
    pub(super) fn of(before: Spine<Page>) -> Self {
        Self { before, touched: HashMap::default(), new: Vec::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.new.len()
    }

    /// The record of an id as it was before the draft, if it was given out then.
    pub(super) fn before(&self, id: EntityId) -> Option<Entity<'_>> {
        self.before.get(page_of(id) as usize).map(|page| Entity::new(slot(&page.bytes, id)))
    }

    fn new_page(&self, number: u32) -> &New {
        match self.new.get((number as usize).wrapping_sub(self.before.len())) {
            Some(page) => page,
            None => broken("an id that was never given out"),
        }
    }

    /// The record of an id.
    pub(super) fn record(&self, id: EntityId) -> Entity<'_> {
        let number = page_of(id);
        Entity::new(match self.before.get(number as usize) {
            Some(page) => match self.touched.get(&number) {
                Some(touched) => touched.record(id),
                None => slot(&page.bytes, id),
            },
            None => match self.new_page(number) {
                New::Open(page) => page.record(id),
                New::Packed(page) => slot(&page.bytes, id),
            },
        })
    }

    /// The type of an id.
    pub(super) fn type_of(&self, id: EntityId) -> TypeId {
        let number = page_of(id);
        match self.before.get(number as usize) {
            Some(page) => page.ty,
            None => match self.new_page(number) {
                New::Open(page) => page.ty,
                New::Packed(page) => page.ty,
            },
        }
    }

    /// Adds a page of a type, without records.
    pub(super) fn add(&mut self, ty: TypeId) {
        self.new.push(New::Open(Unpacked { ty, records: Vec::with_capacity(PAGE_SLOTS) }));
    }

    /// The records of a page, of which `taken` are in use.
    pub(super) fn unpack(&mut self, number: u32, taken: usize) -> &mut Vec<Box<[u8]>> {
        if let Some(page) = self.before.get(number as usize) {
            return &mut self.touched.entry(number).or_insert_with(|| Unpacked::of(page, number, taken)).records;
        }
        let behind = (number as usize).wrapping_sub(self.before.len());
        let Some(page) = self.new.get_mut(behind) else { broken("a page that was never made") };
        if let New::Packed(packed) = page {
            *page = New::Open(Unpacked::of(packed, number, taken));
        }
        match page {
            New::Open(page) => &mut page.records,
            New::Packed(_) => broken("a page that is packed as soon as it is unpacked"),
        }
    }

    /// The fixed part of a record, to be changed in place; nothing where the page must be unpacked for it.
    pub(super) fn head_mut(&mut self, id: EntityId) -> Option<&mut [u8]> {
        let behind = (page_of(id) as usize).checked_sub(self.before.len())?;
        let New::Packed(page) = self.new.get_mut(behind)? else { return None };
        let range = slot_range(&page.bytes, id);
        // no store has it yet
        Arc::get_mut(&mut page.bytes)?.get_mut(range)
    }

    /// Packs a page to which no id is added any more, unless it is one of the store before, or names what is not stored:
    /// that may come yet.
    pub(super) fn settle(&mut self, number: u32, scratch: &mut Vec<u8>) {
        let Some(behind) = (number as usize).checked_sub(self.before.len()) else { return };
        if let Some(page) = self.new.get_mut(behind)
            && let New::Open(open) = page
            && open.records.iter().all(|record| Entity::new(record).is_present())
        {
            *page = New::Packed(open.pack(scratch));
        }
    }

    /// How many records a page has that was unpacked or made.
    pub(super) fn taken(&self, number: u32) -> Option<usize> {
        if (number as usize) < self.before.len() {
            return self.touched.get(&number).map(|page| page.records.len());
        }
        Some(match self.new_page(number) {
            New::Open(page) => page.records.len(),
            New::Packed(_) => PAGE_SLOTS,
        })
    }

    /// The mere names on pages that are unpacked.
    pub(super) fn mere_names(&self) -> impl Iterator<Item = EntityId> {
        let first = self.before.len() as u32;
        let new = self.new.iter().enumerate().filter_map(move |(behind, page)| match page {
            New::Open(page) => Some((first + behind as u32, page)),
            // packed pages have none
            New::Packed(_) => None,
        });
        let touched = self.touched.iter().map(|(number, page)| (*number, page));
        touched.chain(new).flat_map(|(number, page)| {
            let names = page.records.iter().enumerate().filter(|(_, record)| Entity::new(record).is_mere_name());
            names.map(move |(i, _)| EntityId::from_raw((number << PAGE_BITS) + i as u32))
        })
    }

    /// The pages of the store that the draft becomes.
    pub(super) fn commit(mut self) -> Spine<Page> {
        let mut scratch = Vec::new();
        for (number, page) in self.touched {
            match self.before.get_mut(number as usize) {
                Some(place) => *place = page.pack(&mut scratch),
                None => broken("a page that was never made"),
            }
        }
        let new = self.new.into_iter().map(|page| match page {
            New::Open(page) => page.pack(&mut scratch),
            New::Packed(page) => page,
        });
        self.before.extend(new.collect());
        self.before
    }
}

impl Unpacked {
    fn of(page: &Page, number: u32, taken: usize) -> Self {
        let first = number << PAGE_BITS;
        let records = (0..taken as u32).map(|i| slot(&page.bytes, EntityId::from_raw(first + i)).into()).collect();
        Self { ty: page.ty, records }
    }

    fn record(&self, id: EntityId) -> &[u8] {
        &self.records[id.index() & (PAGE_SLOTS - 1)]
    }

    /// The page of these records. `scratch` is memory that is used again.
    fn pack(&self, scratch: &mut Vec<u8>) -> Page {
        scratch.clear();
        let mut end = 4 * (PAGE_SLOTS + 1);
        for i in 0..=PAGE_SLOTS {
            scratch.extend_from_slice(&(end as u32).to_le_bytes());
            end += self.records.get(i).map_or(0, |record| record.len());
        }
        for record in &self.records {
            scratch.extend_from_slice(record);
        }
        Page { bytes: Arc::from(&**scratch), ty: self.ty }
    }
}
