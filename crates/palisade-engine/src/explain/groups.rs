//! Groups that are in what something should be in: a role that holds a permission, rather than the bare permission.

use cedar_policy_core::ast::EntityUID;

use super::scene::Scene;
use crate::ids::{EntityId, TypeId};
use crate::layout::known;
use crate::schema::SchemaModel;
use crate::snapshot::Snapshot;
use crate::store::Store;

/// Entities that are looked at below one, or beside one.
const MOST_BELOW: usize = 64;

/// Groups that are proposed.
const MOST_GROUPS: usize = 3;

/// Groups below `wanted` that entities of the type of `from` are put into, or that the schema allows them to be put into, those
/// first that give least. None where such entities are put into `wanted` itself.
pub(super) fn leading_to(
    snapshot: &Snapshot,
    scene: &Scene<'_>,
    from: &EntityUID,
    wanted: &EntityUID,
) -> Vec<EntityUID> {
    let store = &snapshot.store;
    let (Some(root), Some(ty)) = (known(wanted, store), store.symbols().type_id(&from.entity_type().to_string()))
    else {
        return Vec::new();
    };
    let allows = |group: EntityId| {
        let declared = snapshot.core.schema.as_deref().zip(scene.uid(group));
        declared.is_some_and(|(schema, group)| may_be_above(schema, from, &group))
    };
    let has_such = |id: EntityId| children(store, id).any(|child| store.type_of(child) == ty);
    let own = scene.parents(from);
    let own: Vec<TypeId> = own.iter().filter_map(|uid| known(uid, store)).map(|id| store.type_of(id)).collect();
    if has_such(root) || own.contains(&store.type_of(root)) {
        return Vec::new();
    }
    let (mut found, mut seen, mut next) = (Vec::new(), vec![root], 0);
    while let Some(at) = seen.get(next).copied() {
        next += 1;
        for child in children(store, at) {
            if seen.len() > MOST_BELOW || seen.contains(&child) {
                continue;
            }
            seen.push(child);
            if has_such(child) || own.contains(&store.type_of(child)) || allows(child) {
                found.push(child);
            }
        }
    }
    found.sort_by_cached_key(|group| (above(store, *group), *group));
    let names = found.into_iter().filter_map(|group| scene.uid(group)).filter(|group| group != from);
    names.take(MOST_GROUPS).collect()
}

/// Whether the schema allows an entity in another, at any depth.
pub(super) fn may_be_above(schema: &SchemaModel, from: &EntityUID, above: &EntityUID) -> bool {
    let declared = schema.core().get_entity_type(above.entity_type());
    declared.is_some_and(|it| it.has_descendant_entity_type(from.entity_type()))
}

/// The stored entities that have one as a parent, some of them.
fn children(store: &Store, id: EntityId) -> impl Iterator<Item = EntityId> {
    let has_it =
        move |child: &EntityId| store.entity(*child).is_some_and(|entity| entity.parents().any(|parent| parent == id));
    store.referrers(id).take(MOST_BELOW).filter(has_it)
}

/// How much is above an entity, as far as it is looked.
fn above(store: &Store, id: EntityId) -> usize {
    let (mut seen, mut next) = (vec![id], 0);
    while let Some(at) = seen.get(next).copied() {
        next += 1;
        for parent in store.entity(at).into_iter().flat_map(|entity| entity.parents()) {
            if seen.len() <= MOST_BELOW && !seen.contains(&parent) {
                seen.push(parent);
            }
        }
    }
    seen.len()
}
