//! What a request sees: the store, its own entities before it, and who asks for what.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::ids::{EntityId, NameId, TypeId};
use crate::store::{Entity, Store};
use crate::value::{Record, Set, Val};

/// Entities that a request brings, before those of the store.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// Records by id.
    pub records: HashMap<EntityId, Box<[u8]>, RandomState>,
    /// Whether they stand in for the whole store; only the actions of the schema stay.
    pub replaces: bool,
}

/// The ancestors of one entity.
#[derive(Debug, Clone, Default)]
pub(super) struct Ancestors {
    ids: SmallVec<[EntityId; 24]>,
    /// The same, sorted, where there are many.
    sorted: Vec<EntityId>,
    /// How many edges lead there.
    edges: usize,
}

/// Edges of the hierarchy that one decision may follow: some 20 ms, a thousand times what decisions take.
const MAX_EDGES: usize = 2_000_000;

/// Up to this many ids are searched one by one.
const FEW: usize = 24;

impl Ancestors {
    /// All of them, parents first.
    #[inline]
    pub(super) fn ids(&self) -> &[EntityId] {
        &self.ids
    }

    /// Whether `id` is one.
    #[inline]
    pub(super) fn contains(&self, id: EntityId) -> bool {
        if self.sorted.is_empty() { self.ids.contains(&id) } else { self.sorted.binary_search(&id).is_ok() }
    }

    fn settle(mut self) -> Self {
        if self.ids.len() > FEW {
            self.sorted = self.ids.to_vec();
            self.sorted.sort_unstable();
        }
        self
    }
}

/// One request during evaluation.
#[derive(Debug)]
pub(super) struct Env<'e> {
    /// The store.
    pub store: &'e Store,
    /// What the request brings, if it brings entities.
    pub layer: Option<&'e Layer>,
    /// Types of the ids that the request alone knows.
    pub local_types: &'e [TypeId],
    /// Who asks.
    pub principal: EntityId,
    /// What for.
    pub action: EntityId,
    /// On what.
    pub resource: EntityId,
    /// The circumstances.
    pub context: Record<'e>,
    /// The name `now`, if the sidecar filled it in.
    pub filled_now: Option<NameId>,
    /// Whether the filled-in `now` was read.
    pub read_now: Cell<bool>,
    /// The entities that were read, where the caller wants to know them.
    pub reads: Option<RefCell<Vec<EntityId>>>,
    /// The action's ancestors, where they are known beforehand.
    pub above_action: Option<&'e Ancestors>,
    /// Edges of the hierarchy that may still be followed. At 0 nothing that was found counts.
    pub edges_left: Cell<usize>,
    /// The ancestors of principal and resource, if a question before has climbed to them.
    pub kept: [RefCell<Option<Ancestors>>; 2],
    principal_type: OnceCell<TypeId>,
    resource_type: OnceCell<TypeId>,
    principal_entity: OnceCell<Option<Entity<'e>>>,
    resource_entity: OnceCell<Option<Entity<'e>>>,
    principal_ancestors: OnceCell<Ancestors>,
    action_ancestors: OnceCell<Ancestors>,
    resource_ancestors: OnceCell<Ancestors>,
}

impl<'e> Env<'e> {
    /// A request without entities of its own.
    pub(super) fn new(store: &'e Store, [principal, action, resource]: [EntityId; 3], context: Record<'e>) -> Self {
        Self {
            store,
            layer: None,
            local_types: &[],
            principal,
            action,
            resource,
            context,
            filled_now: None,
            read_now: Cell::new(false),
            reads: None,
            above_action: None,
            edges_left: Cell::new(MAX_EDGES),
            kept: Default::default(),
            principal_type: OnceCell::new(),
            resource_type: OnceCell::new(),
            principal_entity: OnceCell::new(),
            resource_entity: OnceCell::new(),
            principal_ancestors: OnceCell::new(),
            action_ancestors: OnceCell::new(),
            resource_ancestors: OnceCell::new(),
        }
    }

    /// The entity, if the request sees one under this id.
    #[inline]
    pub(super) fn entity(&self, id: EntityId) -> Option<Entity<'e>> {
        match self.layer {
            None if !id.is_local() => self.store.entity(id),
            None => None,
            Some(layer) => look_up(self.store, layer, id),
        }
    }

    /// The same, for a policy: notes that it was read.
    #[inline]
    pub(super) fn read(&self, id: EntityId) -> Option<Entity<'e>> {
        self.note(id);
        self.entity(id)
    }

    /// The principal, for a policy.
    #[inline]
    pub(super) fn read_principal(&self) -> Option<Entity<'e>> {
        self.note(self.principal);
        *self.principal_entity.get_or_init(|| self.entity(self.principal))
    }

    /// The resource, for a policy.
    #[inline]
    pub(super) fn read_resource(&self) -> Option<Entity<'e>> {
        self.note(self.resource);
        *self.resource_entity.get_or_init(|| self.entity(self.resource))
    }

    /// Notes that a policy read an entity or its ancestors.
    #[inline]
    pub(super) fn note(&self, id: EntityId) {
        if let Some(reads) = &self.reads {
            reads.borrow_mut().push(id);
        }
    }

    /// Notes that a policy read a member of the context.
    #[inline]
    pub(super) fn note_context(&self, name: NameId) {
        if self.filled_now == Some(name) {
            self.read_now.set(true);
        }
    }

    /// Notes that a policy read the whole context.
    pub(super) fn note_whole_context(&self) {
        if self.filled_now.is_some() {
            self.read_now.set(true);
        }
    }

    /// The type of an id. Nearly all policies ask for those of the principal and the resource.
    #[inline]
    pub(super) fn type_of(&self, id: EntityId) -> TypeId {
        if id == self.resource {
            *self.resource_type.get_or_init(|| self.kept_type_of(id))
        } else if id == self.principal {
            *self.principal_type.get_or_init(|| self.kept_type_of(id))
        } else {
            self.kept_type_of(id)
        }
    }

    fn kept_type_of(&self, id: EntityId) -> TypeId {
        if !id.is_local() { self.store.type_of(id) } else { self.local_types[id.local_index()] }
    }

    /// The principal's ancestors.
    #[inline]
    pub(super) fn above_principal(&self) -> &Ancestors {
        self.principal_ancestors.get_or_init(|| self.ancestors_or_kept(self.principal, &self.kept[0]))
    }

    /// The action's ancestors.
    #[inline]
    pub(super) fn above_action(&self) -> &Ancestors {
        match self.above_action {
            Some(known) => known,
            None => self.action_ancestors.get_or_init(|| self.ancestors(self.action)),
        }
    }

    /// The resource's ancestors.
    #[inline]
    pub(super) fn above_resource(&self) -> &Ancestors {
        self.resource_ancestors.get_or_init(|| self.ancestors_or_kept(self.resource, &self.kept[1]))
    }

    /// Whether more of the hierarchy had to be climbed than one decision may.
    pub(super) fn is_over_budget(&self) -> bool {
        self.edges_left.get() == 0
    }

    fn known(&self, id: EntityId) -> Option<&Ancestors> {
        if id == self.resource {
            Some(self.above_resource())
        } else if id == self.principal {
            Some(self.above_principal())
        } else if id == self.action {
            Some(self.above_action())
        } else {
            None
        }
    }

    /// All ancestors of any entity. Visits each edge once, whatever the number of paths.
    pub(super) fn ancestors(&self, id: EntityId) -> Ancestors {
        let mut found = Ancestors::default();
        let before = self.edges_left.get();
        self.climb(id, |_| true, |_| false, &mut found.ids);
        found.edges = before - self.edges_left.get();
        found.settle()
    }

    /// The same, at the same cost in edges, without a climb where they are known.
    fn ancestors_or_kept(&self, id: EntityId, kept: &RefCell<Option<Ancestors>>) -> Ancestors {
        let Some(known) = kept.take() else { return self.ancestors(id) };
        self.edges_left.set(self.edges_left.get().saturating_sub(known.edges));
        known
    }

    /// What the next question may take over: the ancestors of principal and resource, where they were asked for.
    pub(super) fn into_ancestors(self) -> [Option<(EntityId, Ancestors)>; 2] {
        let [principal, resource] = self.kept;
        [
            self.principal_ancestors.into_inner().or(principal.into_inner()).map(|above| (self.principal, above)),
            self.resource_ancestors.into_inner().or(resource.into_inner()).map(|above| (self.resource, above)),
        ]
    }

    /// Walks up from `id` through parents that `follow` lets pass until `stop`. Says whether it was stopped.
    fn climb(
        &self,
        id: EntityId,
        follow: impl Fn(EntityId) -> bool,
        stop: impl Fn(EntityId) -> bool,
        found: &mut SmallVec<[EntityId; 24]>,
    ) -> bool {
        // beyond a few ancestors a table remembers them, so that wide hierarchies stay linear
        let mut many: Option<std::collections::HashSet<EntityId, RandomState>> = None;
        let mut next = 0;
        let mut current = Some(id);
        while let Some(id) = current {
            // the top of the hierarchy need not be read to know that nothing is above it
            let top = self.layer.is_none() && !self.store.symbols().has_above(self.type_of(id));
            if let Some(entity) = if top { None } else { self.entity(id) } {
                self.edges_left.set(self.edges_left.get().saturating_sub(entity.parent_count()));
                if self.is_over_budget() {
                    return false;
                }
                for parent in entity.parents() {
                    let new = match &mut many {
                        None => !found.contains(&parent),
                        Some(many) => many.insert(parent),
                    };
                    if !new {
                        continue;
                    }
                    if stop(parent) {
                        return true;
                    }
                    if follow(parent) {
                        found.push(parent);
                    }
                    if found.len() > 64 && many.is_none() {
                        many = Some(found.iter().copied().collect());
                    }
                }
            }
            current = found.get(next).copied();
            next += 1;
        }
        false
    }

    /// Whether an entity of this type, or above it, may have one of type `target` above it.
    #[inline]
    fn may_lead(&self, id: EntityId, target: TypeId) -> bool {
        // entities of the request may have parents that no stored entity of the type ever had
        self.layer.is_some() || self.store.symbols().may_be_above(self.type_of(id), target)
    }

    /// `id in target`
    pub(super) fn is_in(&self, id: EntityId, target: EntityId) -> bool {
        if id == target {
            return true;
        }
        if let Some(ancestors) = self.known(id) {
            return ancestors.contains(target);
        }
        let ty = self.type_of(target);
        self.may_lead(id, ty)
            && self.climb(id, |parent| self.may_lead(parent, ty), |parent| parent == target, &mut SmallVec::new())
    }

    /// `id in [targets]`
    pub(super) fn is_in_any(&self, id: EntityId, targets: Set<'_>) -> bool {
        if targets.len() == 0 {
            return false;
        }
        if targets.contains(Val::Entity(id)) {
            return true;
        }
        if let Some(ancestors) = self.known(id) {
            return ancestors.ids().iter().any(|ancestor| targets.contains(Val::Entity(*ancestor)));
        }
        self.climb(id, |_| true, |parent| targets.contains(Val::Entity(parent)), &mut SmallVec::new())
    }
}

/// What a layer over a store shows under an id.
pub(super) fn look_up<'e>(store: &'e Store, layer: &'e Layer, id: EntityId) -> Option<Entity<'e>> {
    match layer.records.get(&id) {
        Some(record) => Some(Entity::new(record)),
        None if id.is_local() => None,
        None => store.entity(id).filter(|entity| !layer.replaces || entity.is_schema_action()),
    }
}
