//! A request's own entities beside links that data make: only stored entities make them.

use crate::decode::uid_parts;
use crate::derived::Declared;
use crate::ids::EntityId;
use crate::load::{self, Checks};
use crate::model::request::pointer;
use crate::model::{AccessRequest, RequestError, Uid, Value};
use crate::store::{Draft, Entity, Store};
use crate::value::Packer;

/// Refuses a request that brings an entity which makes links, or lies on the path of one that does, and is not as it is
/// stored: the links would say one thing and the entity another.
///
/// # Errors
/// If there is such an entity.
pub(crate) fn check_brought(
    declared: &Declared,
    store: &Store,
    checks: Checks<'_>,
    request: &AccessRequest<'_>,
) -> Result<(), RequestError> {
    let lists = [("entities", &request.entities), ("additional_entities", &request.additional_entities)];
    for (member, list) in lists {
        for (i, value) in list.iter().flat_map(|list| list.as_array().unwrap_or_default()).enumerate() {
            // one that cannot be read is refused later, where it is read
            let Some((type_name, id)) = value.get("uid").and_then(uid_parts) else { continue };
            let Some(ty) = store.symbols().type_id(type_name).filter(|ty| declared.concerns(*ty)) else { continue };
            let stored = store.find(ty, id.as_bytes()).filter(|id| store.entity(*id).is_some());
            let counts = stored.map_or(declared.makes(ty), |id| declared.reads(store, id));
            if counts && is_other(store, checks, value, stored) {
                let uid = Uid { type_name: type_name.into(), id: id.into() };
                let how = if stored.is_some() { "and is stored with other content" } else { "and is not stored" };
                let message = format!(
                    "`{uid}` makes links, or lies on the path of an entity that does, {how}: only stored entities make \
                     links; send it as it is stored, or store it"
                );
                let place = format!("{}/{i}", pointer(member));
                return Err(RequestError::new("makes_links", place, message));
            }
        }
    }
    Ok(())
}

/// Whether the entity differs from the stored one. What cannot be read is refused elsewhere, in better words.
fn is_other(store: &Store, checks: Checks<'_>, value: &Value<'_>, stored: Option<EntityId>) -> bool {
    let (mut draft, mut packer) = (Draft::new(store), Packer::default());
    let Ok(id) = load::read_one(value, checks, &mut draft, &mut packer) else { return false };
    let known = stored.filter(|stored| *stored == id).and_then(|id| store.entity(id));
    !known.is_some_and(|known| known.has_content_of(Entity::new(&packer.out)))
}
