//! A store being changed: what is touched is copied, everything else is shared with the original.

use std::sync::Arc;

use super::left::{Left, Reuse};
use super::pages::Pages;
use super::record::{Entity, Layer, absent, set_layer, set_left, set_levels_below};
use super::referrers::{Edits, Referrers, pair, references};
use super::symbols::Symbols;
use super::table::Table;
use super::{Counts, PAGE_BITS, PAGE_SLOTS, Store, page_of};
use crate::broken::broken;
use crate::ids::{EntityId, NameId, TypeId};
use crate::model::Uid;
use crate::value::TooLarge;

/// A store that is being built or changed. Dropping it leaves no trace; [`Draft::commit`] makes a store of it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) pages: Pages,
    table: Table,
    symbols: Arc<Symbols>,
    open: Vec<Option<(u32, u32)>>,
    pub(super) referrers: Referrers,
    /// Which of them change; nothing while a whole store is loaded, whose referrers are found at the end.
    pub(super) referring: Option<Edits>,
    counts: Counts,
    pub(super) left: Left,
    /// Nothing where no id is given out again.
    pub(super) reuse: Option<Reuse>,
    /// Memory that is used again.
    scratch: Vec<u8>,
}

impl Draft {
    /// Starts from nothing, for many entities.
    pub(crate) fn empty() -> Self {
        Self { referring: None, ..Self::new(&Store::default()) }
    }

    /// Starts from `store`.
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            pages: Pages::of(store.pages.clone()),
            table: store.table.clone(),
            symbols: store.symbols.clone(),
            open: store.open.to_vec(),
            referrers: store.referrers.clone(),
            referring: Some(Edits::new()),
            counts: store.counts,
            left: store.left.clone(),
            reuse: None,
            scratch: Vec::new(),
        }
    }

    /// The store as it is now.
    pub(crate) fn commit(mut self) -> Store {
        self.list_left();
        let referrers = self.referring.map(|edits| self.referrers.with(&edits));
        let mut store = Store {
            pages: self.pages.commit(),
            table: self.table,
            symbols: self.symbols,
            open: self.open.into(),
            referrers: Referrers::default(),
            counts: self.counts,
            left: self.left,
        };
        store.referrers = referrers.unwrap_or_else(|| all_referrers(&store));
        store
    }

    /// Names of types and attributes.
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The id of a type, new or not.
    pub(crate) fn type_id(&mut self, name: &str) -> TypeId {
        match self.symbols.type_id(name) {
            Some(id) => id,
            None => Arc::make_mut(&mut self.symbols).intern_type(name),
        }
    }

    /// The id of an attribute name, new or not.
    pub(crate) fn attribute_id(&mut self, name: &str) -> NameId {
        match self.symbols.attribute_id(name) {
            Some(id) => id,
            None => Arc::make_mut(&mut self.symbols).intern_attribute(name),
        }
    }

    /// The id of a uid, if it was ever named.
    pub(crate) fn find(&self, ty: TypeId, id: &[u8]) -> Option<EntityId> {
        self.table.find(ty, id, |candidate| self.type_of(candidate) == ty && self.record(candidate).id() == id)
    }

    /// The same of a uid as it is written.
    pub(crate) fn of_uid(&self, uid: &Uid<'_>) -> Option<EntityId> {
        self.find(self.symbols.type_id(&uid.type_name)?, uid.id.as_bytes())
    }

    /// The id of a uid, new or not.
    ///
    /// # Errors
    /// If there is no more room for ids.
    pub(crate) fn uid(&mut self, ty: TypeId, id: &[u8]) -> Result<EntityId, TooLarge> {
        if let Some(found) = self.find(ty, id) {
            self.note(found);
            return Ok(found);
        }
        if let Some(left) = self.take_left(ty) {
            self.rename(left, ty, id);
            self.note(left);
            return Ok(left);
        }
        if self.open.len() <= ty.index() {
            self.open.resize(ty.index() + 1, None);
        }
        let open = self.open.get(ty.index()).copied().flatten();
        let (page, taken) = match open.filter(|(_, taken)| (*taken as usize) < PAGE_SLOTS) {
            Some(open) => open,
            None => {
                if let Some((full, _)) = open {
                    self.pages.settle(full, &mut self.scratch);
                }
                let page = u32::try_from(self.pages.len()).map_err(|_| TooLarge)?;
                self.pages.add(ty);
                (page, 0)
            }
        };
        let new = page
            .checked_mul(PAGE_SLOTS as u32)
            .map(|first| EntityId::from_raw(first + taken))
            .filter(|id| !id.is_local());
        let new = new.ok_or(TooLarge)?;
        self.open[ty.index()] = Some((page, taken + 1));
        self.pages.unpack(page, taken as usize).push(absent(id));
        self.table.insert(ty, id, new);
        self.note(new);
        Ok(new)
    }

    /// Gives an id that nothing names another uid of the same type.
    fn rename(&mut self, left: EntityId, ty: TypeId, id: &[u8]) {
        let before = self.record(left).id().to_vec();
        self.table.remove(ty, &before, left);
        *self.place(left) = absent(id);
        self.table.insert(ty, id, left);
    }

    fn slots_taken(&self, number: u32) -> usize {
        let ty = self.type_of(EntityId::from_raw(number << PAGE_BITS));
        match self.open.get(ty.index()).copied().flatten() {
            Some((open, taken)) if open == number => taken as usize,
            _ => PAGE_SLOTS,
        }
    }

    fn place(&mut self, id: EntityId) -> &mut Box<[u8]> {
        let number = page_of(id);
        let taken = self.slots_taken(number);
        &mut self.pages.unpack(number, taken)[id.index() & (PAGE_SLOTS - 1)]
    }

    /// The fixed part of a record.
    fn head_mut(&mut self, id: EntityId) -> &mut [u8] {
        // asked twice: the borrow of the first would last
        if self.pages.head_mut(id).is_some() {
            return self.pages.head_mut(id).unwrap_or_default();
        }
        self.place(id)
    }

    /// The record of an id.
    pub(crate) fn record(&self, id: EntityId) -> Entity<'_> {
        self.pages.record(id)
    }

    /// The type of an id.
    pub(crate) fn type_of(&self, id: EntityId) -> TypeId {
        self.pages.type_of(id)
    }

    /// Stores the entity that `bytes` hold under its id, in place of what was there. `layer` says so.
    pub(crate) fn put(&mut self, id: EntityId, bytes: &[u8], layer: Layer) {
        let ty = self.type_of(id);
        for parent in Entity::new(bytes).parents() {
            let above = self.type_of(parent);
            if !self.symbols.may_be_above(ty, above) {
                Arc::make_mut(&mut self.symbols).relate(ty, above);
            }
        }
        self.replace(id, bytes.into(), layer);
    }

    /// Removes an entity; its uid stays known. What refers to it goes on referring to it. `layer` says so.
    pub(crate) fn remove(&mut self, id: EntityId, layer: Layer) {
        let old = self.record(id);
        if old.is_present() || old.layer() != layer {
            let bytes = absent(old.id());
            self.replace(id, bytes, layer);
        }
    }

    fn replace(&mut self, id: EntityId, mut bytes: Box<[u8]>, layer: Layer) {
        set_layer(&mut bytes, layer);
        let old = self.record(id);
        set_left(&mut bytes, old.is_left());
        set_levels_below(&mut bytes, old.levels_below());
        let mut counts = self.counts;
        counts.count(old, false);
        counts.count(Entity::new(&bytes), true);
        let before = if self.referring.is_some() { references(old) } else { Vec::new() };
        self.counts = counts;
        if let Some(edits) = &mut self.referring {
            let after = references(Entity::new(&bytes));
            for (these, others, added) in [(&before, &after, false), (&after, &before, true)] {
                for target in these {
                    if others.binary_search(target).is_err() {
                        edits.insert(pair(target.raw(), id.raw()), added);
                    }
                }
            }
        }
        *self.place(id) = bytes;
    }

    /// The stored entities that refer to one, by a parent, an attribute or a tag, in the order of ids.
    pub(crate) fn referrers(&self, id: EntityId) -> Vec<EntityId> {
        let Some(edits) = &self.referring else { broken("referrers of a store that is being loaded") };
        let range = pair(id.raw(), 0)..=pair(id.raw(), u32::MAX);
        let known = self.referrers.of(id.raw()).filter(|referrer| !edits.contains_key(&pair(id.raw(), *referrer)));
        let added = edits.range(range).filter(|(_, added)| **added).map(|(pair, _)| *pair as u32);
        let mut found: Vec<EntityId> = known.chain(added).map(EntityId::from_raw).collect();
        found.sort_unstable();
        found
    }

    /// Notes how many levels are below an entity, at most.
    pub(super) fn set_levels_below(&mut self, id: EntityId, levels: u32) {
        if self.record(id).levels_below() != levels {
            set_levels_below(self.head_mut(id), levels);
        }
    }

    /// Notes whether an id is in the list of those that may be named by nothing.
    pub(super) fn set_left(&mut self, id: EntityId, left: bool) {
        set_left(self.head_mut(id), left);
    }

    /// All ids in use.
    pub(crate) fn ids(&self) -> impl Iterator<Item = EntityId> + use<> {
        let counts: Vec<(u32, u32)> = (0..self.pages.len() as u32)
            .map(|number| {
                let taken = self.pages.taken(number).unwrap_or_else(|| self.slots_taken(number));
                (number << PAGE_BITS, taken as u32)
            })
            .collect();
        counts.into_iter().flat_map(|(first, taken)| (first..first + taken).map(EntityId::from_raw))
    }

    /// An upper bound of all ids.
    pub(crate) fn id_bound(&self) -> usize {
        self.pages.len() << PAGE_BITS
    }
}

/// Found by a look at every record.
fn all_referrers(store: &Store) -> Referrers {
    let mut pairs: Vec<u64> = Vec::with_capacity(2 * store.len());
    for id in store.ids() {
        if let Some(entity) = store.entity(id) {
            pairs.extend(references(entity).into_iter().map(|target| pair(target.raw(), id.raw())));
        }
    }
    pairs.sort_unstable();
    Referrers::from_sorted(&pairs)
}
