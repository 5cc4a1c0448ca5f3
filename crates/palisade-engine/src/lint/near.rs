//! Which entities are stored, and which of them was probably meant.

use std::collections::{BTreeSet, HashMap};

use super::Subject;
use crate::cedar::utf8;
use crate::ids::{EntityId, TypeId};
use crate::model::{Uid, closest};
use crate::store::Store;

/// How many ids of one type are compared with a name: comparing costs the product of the lengths.
const MAX_COMPARED: usize = 20_000;

/// The stored entities, as far as names are looked up among them.
pub(super) struct Near<'s> {
    store: &'s Store,
    /// Types of which at least one entity is stored.
    pub(super) types: BTreeSet<TypeId>,
    /// Types whose entities need not be stored: the schema lists their ids.
    listed: BTreeSet<TypeId>,
    /// Ids of the types that were asked for.
    ids: HashMap<TypeId, Vec<String>>,
}

impl<'s> Near<'s> {
    pub(super) fn new(subject: &Subject<'s>) -> Self {
        let store = subject.store;
        let stored = |id: &EntityId| store.entity(*id).is_some_and(|entity| !entity.is_schema_action());
        let types = store.ids().filter(stored).map(|id| store.type_of(id)).collect();
        let is_listed = |name: &&str| {
            subject.schema.and_then(|(schema, _)| schema.entity_type(name)).is_some_and(|ty| ty.choices.is_some())
        };
        let names = subject.schema.into_iter().flat_map(|(schema, _)| schema.entity_type_names());
        let listed = names.filter(is_listed).filter_map(|name| store.symbols().type_id(name)).collect();
        Self { store, types, listed, ids: HashMap::new() }
    }

    /// Whether this type has entities, and this one is not among them.
    pub(super) fn lacks(&self, ty: TypeId, id: EntityId) -> bool {
        self.types.contains(&ty) && !self.listed.contains(&ty) && self.store.entity(id).is_none()
    }

    /// The id of a stored entity.
    pub(super) fn find(&self, uid: &Uid<'_>) -> Option<EntityId> {
        self.store.of_uid(uid).filter(|id| self.store.entity(*id).is_some())
    }

    /// Whether the schema lists the ids of this type.
    pub(super) fn is_listed(&self, type_name: &str) -> bool {
        self.store.symbols().type_id(type_name).is_some_and(|ty| self.listed.contains(&ty))
    }

    /// Whether some entity of this type is stored.
    pub(super) fn has_type(&self, type_name: &str) -> bool {
        self.store.symbols().type_id(type_name).is_some_and(|ty| self.types.contains(&ty))
    }

    /// The end of a message about an entity that is not stored: the one that was probably meant, if one is close.
    pub(super) fn hint(&mut self, uid: &Uid<'_>) -> String {
        let store = self.store;
        let Some(ty) = store.symbols().type_id(&uid.type_name) else { return String::new() };
        let ids = self.ids.entry(ty).or_insert_with(|| {
            let of_type = store.ids().filter(|id| store.type_of(*id) == ty);
            of_type.filter_map(|id| Some(utf8(store.entity(id)?.id()).to_owned())).take(MAX_COMPARED).collect()
        });
        if let Some(near) = closest(&uid.id, ids.iter().map(String::as_str)) {
            let near = Uid { type_name: uid.type_name.clone(), id: near.into() };
            return format!("; did you mean `{near}`?");
        }
        // the same id, of another type
        let same = |other: &TypeId| {
            *other != ty && store.find(*other, uid.id.as_bytes()).is_some_and(|id| store.entity(id).is_some())
        };
        let other = self.types.iter().find(|other| same(other));
        other.map_or_else(String::new, |other| {
            let other = Uid { type_name: store.symbols().type_name(*other).to_string().into(), id: uid.id.clone() };
            format!("; did you mean `{other}`?")
        })
    }

    /// The name of an id.
    pub(super) fn name(&self, id: EntityId) -> Uid<'static> {
        let type_name = self.store.symbols().type_name(self.store.type_of(id)).to_string();
        let id = self.store.record(id).map(|record| utf8(record.id()).to_owned()).unwrap_or_default();
        Uid { type_name: type_name.into(), id: id.into() }
    }
}
