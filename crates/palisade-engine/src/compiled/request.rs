//! From a request as it came in to ids and packed values.
//!
//! Uids and names that the store does not know get ids of the request alone; the store is never touched.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::env::{Layer, look_up};
use super::series::KeptContext;
use crate::broken::broken;
use crate::decode::{Decoder, Resolver, Unsure, is_proper_type};
use crate::ids::{EntityId, NameId, TypeId};
use crate::layout::Layout;
use crate::model::{AccessRequest, OverlayMode, Uid, Value};
use crate::settings::{Limits, NowPolicy};
use crate::store::{Entity, RecordHead, RecordParts, Store};
use crate::value::{Cell, Packer, Record, Val, unpack};

/// Beyond this many a table is kept.
const FEW: usize = 12;

/// Texts that the request alone knows, in the order of their places.
#[derive(Debug)]
struct Texts<K> {
    list: Vec<K>,
    /// Kept where there are many.
    table: Option<HashMap<K, u32, RandomState>>,
}

impl<K> Default for Texts<K> {
    fn default() -> Self {
        Self { list: Vec::new(), table: None }
    }
}

impl<K: Copy + Eq + std::hash::Hash> Texts<K> {
    fn intern(&mut self, text: K) -> u32 {
        let known = match &self.table {
            None => self.list.iter().position(|known| *known == text).map(|i| i as u32),
            Some(table) => table.get(&text).copied(),
        };
        if let Some(known) = known {
            return known;
        }
        let new = self.list.len() as u32;
        self.list.push(text);
        if let Some(table) = &mut self.table {
            table.insert(text, new);
        } else if self.list.len() > FEW {
            self.table = Some(self.list.iter().enumerate().map(|(i, text)| (*text, i as u32)).collect());
        }
        new
    }
}

/// What a request names beyond the store.
#[derive(Debug, Default)]
pub(super) struct Locals<'v> {
    uids: Texts<(TypeId, &'v str)>,
    types: Texts<&'v str>,
    names: Texts<&'v str>,
    /// The type of each local uid.
    pub uid_types: Vec<TypeId>,
}

impl Locals<'_> {
    /// Whether the store knows all that the request names.
    pub(super) fn is_empty(&self) -> bool {
        self.uids.list.is_empty() && self.types.list.is_empty() && self.names.list.is_empty()
    }

    /// Type and id of a local uid.
    pub(super) fn uid(&self, store: &Store, id: EntityId) -> Option<(String, String)> {
        let (ty, text) = self.uids.list.get(id.local_index())?;
        let name = if ty.is_local() {
            (*self.types.list.get(ty.local_index())?).to_owned()
        } else {
            store.symbols().type_name(*ty).to_string()
        };
        Some((name, (*text).to_owned()))
    }

    /// An attribute name that the store does not know.
    pub(super) fn name(&self, id: NameId) -> Option<&str> {
        self.names.list.get(id.local_index()).copied().filter(|_| id.is_local())
    }
}

/// Resolves against the store, then against the request.
#[derive(Debug)]
struct Names<'s, 'l, 'v> {
    store: &'s Store,
    locals: &'l mut Locals<'v>,
    /// Entities in the order in which values name them.
    named: Option<&'l mut SmallVec<[EntityId; 8]>>,
}

impl<'v> Resolver<'v> for Names<'_, '_, 'v> {
    fn uid(&mut self, ty: TypeId, id: &'v str) -> Result<EntityId, Unsure> {
        if !ty.is_local()
            && let Some(known) = self.store.find(ty, id.as_bytes())
        {
            return Ok(known);
        }
        let local = EntityId::local(self.locals.uids.intern((ty, id)));
        if self.locals.uid_types.len() < self.locals.uids.list.len() {
            self.locals.uid_types.push(ty);
        }
        Ok(local)
    }

    fn type_id(&mut self, name: &'v str) -> Result<TypeId, Unsure> {
        match self.store.symbols().type_id(name) {
            Some(ty) => Ok(ty),
            None if is_proper_type(name) => Ok(TypeId::local(self.locals.types.intern(name))),
            None => Err(Unsure),
        }
    }

    fn is_type(&self, ty: TypeId, name: &str) -> bool {
        **self.store.symbols().type_name(ty) == *name
    }

    fn attribute(&mut self, name: &'v str) -> NameId {
        self.store.symbols().attribute_id(name).unwrap_or_else(|| NameId::local(self.locals.names.intern(name)))
    }

    fn refers_to(&mut self, id: EntityId) {
        if let Some(named) = &mut self.named {
            named.push(id);
        }
    }
}

/// A request in the engine's terms.
#[derive(Debug)]
pub(super) struct Decoded<'v> {
    /// Principal, action, resource.
    pub ids: [EntityId; 3],
    /// Where the context lies in the packer.
    pub context: Cell,
    /// Whether the packer held it before.
    pub kept: bool,
    /// The name `now`, if the sidecar filled it in.
    pub filled_now: Option<NameId>,
    /// What the request names beyond the store.
    pub locals: Locals<'v>,
    /// The entities that the context names, in the order of the text.
    pub named: SmallVec<[EntityId; 8]>,
    /// The entities that the request brings, if it brings any.
    pub layer: Option<Layer>,
}

impl Decoded<'_> {
    /// The context.
    pub(super) fn context<'p>(&self, packer: &'p Packer) -> Record<'p> {
        match unpack(&packer.out, self.context) {
            Val::Record(record) => record,
            _ => broken("a context that is not a record"),
        }
    }
}

/// Clocks that the reference can write: `jiff` ends a day before the year 10000 does.
const WRITABLE: std::ops::Range<i64> = 0..253_402_207_200_000;

/// What requests are decoded against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Against<'s> {
    /// The store.
    pub store: &'s Store,
    /// The schema, if there is one.
    pub layout: Option<&'s Layout>,
    /// Where `context.now` comes from.
    pub now: NowPolicy,
    /// Bounds on the hierarchy.
    pub limits: &'s Limits,
}

impl Against<'_> {
    /// Decodes `request` into `packer`, checked against the schema. The packer may hold its context already, as `kept`
    /// says, if that was read for the same action.
    ///
    /// # Errors
    /// If it is not plainly right. Cedar then says what is wrong, or decides.
    pub(super) fn decode<'v>(
        &self,
        request: &'v AccessRequest<'_>,
        now: i64,
        packer: &mut Packer,
        kept: Option<&KeptContext>,
    ) -> Result<Decoded<'v>, Unsure> {
        let mut locals = Locals::default();
        let mut named = SmallVec::new();
        let mut names = Names { store: self.store, locals: &mut locals, named: None };
        let action = self.uid(&mut names, &request.action)?;
        let types = [self.type_of(&mut names, &request.principal)?, self.type_of(&mut names, &request.resource)?];
        let texts = [&*request.principal.id, &*request.resource.id];
        let found = self.store.find_two([(types[0], texts[0].as_bytes()), (types[1], texts[1].as_bytes())]);
        let mut settle = |ty, text, found: Option<EntityId>| match found {
            Some(id) => Ok((ty, id)),
            None => names.uid(ty, text).map(|id| (ty, id)),
        };
        let principal = settle(types[0], texts[0], found[0])?;
        let resource = settle(types[1], texts[1], found[1])?;
        let ids = [principal.1, action.1, resource.1];
        let brings =
            request.entities.is_some() || request.additional_entities.is_some() || !request.overlays.is_empty();
        if let Some(kept) = kept.filter(|kept| kept.action == action.1) {
            if let Some(layout) = self.layout {
                let declared = layout.action(action.1).ok_or(Unsure)?;
                if !declared.applies(principal.0, resource.0) {
                    return Err(Unsure);
                }
            }
            let layer = if brings { Some(self.layer(request, &mut locals)?) } else { None };
            let (context, filled_now, named) = (kept.cell, kept.filled_now, kept.named.clone());
            return Ok(Decoded { ids, context, kept: true, filled_now, locals, named, layer });
        }
        packer.out.clear();
        let mut found: SmallVec<[(NameId, Cell); 16]> = SmallVec::new();
        let mut filled_now = None;
        names.named = Some(&mut named);
        let mut decoder = Decoder { packer, resolver: names, layout: self.layout };
        match self.layout {
            None => decoder.untyped_members(&request.context, &mut found)?,
            Some(layout) => {
                let declared = layout.action(action.1).ok_or(Unsure)?;
                if !declared.applies(principal.0, resource.0) {
                    return Err(Unsure);
                }
                let context = declared.context.as_ref().ok_or(Unsure)?;
                let members = request.context.as_object().ok_or(Unsure)?;
                filled_now = declared.now.filter(|_| match self.now {
                    NowPolicy::Fill => !members.iter().any(|(key, _)| key == "now"),
                    NowPolicy::Override => true,
                    NowPolicy::Off => false,
                });
                let mut required = 0;
                for (key, value) in members {
                    let member = context.find(key).filter(|_| !key.starts_with("__")).ok_or(Unsure)?;
                    if Some(member.id) == filled_now {
                        continue;
                    }
                    required += usize::from(member.required);
                    found.push((member.id, decoder.typed(value, &member.ty)?));
                }
                if let (Some(name), Some(member)) = (filled_now, context.find("now")) {
                    required += usize::from(member.required);
                    if !WRITABLE.contains(&now) {
                        return Err(Unsure);
                    }
                    found.push((name, decoder.packer.value(Val::Datetime(now))?));
                }
                if required != context.required {
                    return Err(Unsure);
                }
            }
        }
        let context = decoder.packer.record(&mut found)?;
        let layer = if brings { Some(self.layer(request, &mut locals)?) } else { None };
        Ok(Decoded { ids, context, kept: false, filled_now, locals, named, layer })
    }

    /// Type and id of a uid of the request.
    fn uid<'v>(&self, names: &mut Names<'_, '_, 'v>, uid: &'v Uid<'_>) -> Result<(TypeId, EntityId), Unsure> {
        let ty = self.type_of(names, uid)?;
        Ok((ty, names.uid(ty, &uid.id)?))
    }

    /// The type of a uid of the request, whose id may stand under it.
    fn type_of<'v>(&self, names: &mut Names<'_, '_, 'v>, uid: &'v Uid<'_>) -> Result<TypeId, Unsure> {
        let ty = names.type_id(&uid.type_name)?;
        if let Some(choices) = self.layout.and_then(|layout| layout.entity_type(ty)).and_then(|ty| ty.choices.as_ref())
            && !choices.iter().any(|choice| **choice == *uid.id)
        {
            return Err(Unsure);
        }
        Ok(ty)
    }

    fn layer<'v>(&self, request: &'v AccessRequest<'_>, locals: &mut Locals<'v>) -> Result<Layer, Unsure> {
        let mut layer = Layer { replaces: request.entities.is_some(), ..Layer::default() };
        let mut packer = Packer::default();
        for (list, adds) in [(&request.entities, false), (&request.additional_entities, true)] {
            let mut listed: HashSet<EntityId, RandomState> = HashSet::default();
            for value in list.iter().flat_map(|list| list.as_array().unwrap_or_default()) {
                let resolver = Names { store: self.store, locals, named: None };
                let mut decoder = Decoder { packer: &mut packer, resolver, layout: self.layout };
                let (ty, text) = decoder.record(value)?;
                let id = decoder.resolver.uid(ty, text)?;
                if !listed.insert(id) {
                    return Err(Unsure);
                }
                match look_up(self.store, &layer, id).filter(|_| adds) {
                    // what is there already may be sent again, as it is
                    Some(known) if known.has_content_of(Entity::new(&packer.out)) => {}
                    Some(_) => return Err(Unsure),
                    None => {
                        layer.records.insert(id, packer.out.as_slice().into());
                    }
                }
            }
        }
        self.check_hierarchy(&layer)?;
        for overlay in &request.overlays {
            let mut resolver = Names { store: self.store, locals, named: None };
            let (_, id) = self.uid(&mut resolver, &overlay.entity)?;
            let record =
                self.overlay(id, &overlay.entity, &overlay.attributes, overlay.mode, &layer, resolver, &mut packer)?;
            layer.records.insert(id, record);
        }
        Ok(layer)
    }

    #[expect(clippy::too_many_arguments, reason = "one caller, which has just these at hand")]
    fn overlay<'v>(
        &self,
        id: EntityId,
        uid: &Uid<'_>,
        attributes: &'v Value<'_>,
        mode: OverlayMode,
        layer: &Layer,
        resolver: Names<'_, '_, 'v>,
        packer: &mut Packer,
    ) -> Result<Box<[u8]>, Unsure> {
        let stored = look_up(self.store, layer, id);
        if stored.is_some_and(|stored| stored.is_schema_action()) {
            return Err(Unsure);
        }
        let mut decoder = Decoder { packer: &mut Packer::default(), resolver, layout: None };
        let mut brought = SmallVec::new();
        decoder.untyped_members(attributes, &mut brought)?;
        let side = std::mem::take(&mut decoder.packer.out);
        let mut merged: Vec<(NameId, Val<'_>)> = Vec::new();
        if let Some(stored) = stored {
            let record = stored.attributes();
            merged.extend((0..record.len()).map(|i| record.get(i)));
        }
        // where each stored attribute lies: a caller may bring as many as a body has room for
        let places: HashMap<NameId, usize, RandomState> =
            merged.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
        for (name, cell) in &brought {
            let value = unpack(&side, *cell);
            match places.get(name) {
                Some(place) if mode == OverlayMode::Override => merged[*place].1 = value,
                Some(_) => {}
                // the request's reader refuses a name that comes twice
                None => merged.push((*name, value)),
            }
        }
        let parents: Vec<EntityId> = stored.iter().flat_map(|stored| stored.parents()).collect();
        let head = RecordHead::start(packer, uid.id.as_bytes(), parents.len(), merged.len())?;
        let mut parts = RecordParts { parents, ..RecordParts::default() };
        for (name, value) in merged {
            parts.attributes.push((name, packer.value(value)?));
        }
        if let Some(stored) = stored {
            for i in 0..stored.tag_count() {
                let (key, value) = stored.tag_at(i);
                parts.tags.push((packer.text(key)?, packer.value(value)?));
            }
        }
        head.finish(packer, &mut parts, false)?;
        Ok(packer.out.as_slice().into())
    }

    /// Whether the request's own entities keep the bounds and make no cycle, also through the store.
    fn check_hierarchy(&self, layer: &Layer) -> Result<(), Unsure> {
        const ON_PATH: usize = usize::MAX;
        // levels of the request's own entities above each; the store's have been checked
        let mut heights: HashMap<EntityId, usize, RandomState> = HashMap::default();
        for root in layer.records.keys() {
            if heights.contains_key(root) {
                continue;
            }
            let parents = |id: EntityId| -> Vec<EntityId> {
                look_up(self.store, layer, id).map(|entity| entity.parents().collect()).unwrap_or_default()
            };
            let mut path = vec![(*root, parents(*root), 0)];
            heights.insert(*root, ON_PATH);
            while let Some((id, rest, above)) = path.last_mut() {
                let (id, own) = (*id, layer.records.contains_key(id));
                if own && rest.len() > self.limits.max_parents {
                    return Err(Unsure);
                }
                let Some(parent) = rest.pop() else {
                    let height = *above;
                    if height > self.limits.max_depth {
                        return Err(Unsure);
                    }
                    heights.insert(id, height);
                    path.pop();
                    if let Some((below, _, above)) = path.last_mut() {
                        let step = usize::from(layer.records.contains_key(below));
                        *above = (*above).max(height + step);
                    }
                    continue;
                };
                match heights.get(&parent) {
                    Some(&ON_PATH) => return Err(Unsure),
                    Some(height) => *above = (*above).max(height + usize::from(own)),
                    None => {
                        heights.insert(parent, ON_PATH);
                        path.push((parent, parents(parent), 0));
                    }
                }
            }
        }
        Ok(())
    }
}
