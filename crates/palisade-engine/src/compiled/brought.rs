//! A bound on the hierarchy that a request brings, checked before either engine collects ancestors.

use std::collections::HashMap;

use crate::decode::uid_parts;
use crate::guard::check_closure;
use crate::ids::EntityId;
use crate::model::{AccessRequest, RequestError, Value};
use crate::store::Store;

/// An entity on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node<'v> {
    /// One that the request brings, by its place among them.
    Own(usize),
    /// One of the store.
    Stored(EntityId),
    /// One that is only named.
    Named(&'v str, &'v str),
}

/// Refuses a request whose own entities have more above them than can be collected in a moment. It reads the request as
/// it was sent, so that the answer is the same whichever engine decides afterwards.
///
/// # Errors
/// If the bound is passed.
pub(crate) fn check_brought(store: &Store, request: &AccessRequest<'_>) -> Result<(), RequestError> {
    let lists = [("entities", &request.entities), ("additional_entities", &request.additional_entities)];
    // an entity that is listed twice counts with the parents of both, until one is refused
    let mut own: Vec<Vec<&Value<'_>>> = Vec::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for (_, list) in lists {
        for entity in list.iter().flat_map(|list| list.as_array().unwrap_or_default()) {
            // an entity that cannot be read is refused later, where it is read
            if let Some(uid) = entity.get("uid").and_then(uid_parts) {
                let place = *places.entry(uid).or_insert(own.len());
                if place == own.len() {
                    own.push(Vec::new());
                }
                own[place].push(entity);
            }
        }
    }
    if own.is_empty() {
        return Ok(());
    }
    let stored = |(ty, id): (&str, &str)| store.symbols().type_id(ty).and_then(|ty| store.find(ty, id.as_bytes()));
    let by_id: HashMap<EntityId, usize> =
        places.iter().filter_map(|(uid, place)| Some((stored(*uid)?, *place))).collect();
    let replaces = request.entities.is_some();
    let node = |uid| match (places.get(&uid), stored(uid).filter(|_| !replaces)) {
        (Some(place), _) => Node::Own(*place),
        (None, Some(id)) => Node::Stored(id),
        (None, None) => Node::Named(uid.0, uid.1),
    };
    check_closure((0..own.len()).map(Node::Own), |from, found| match from {
        Node::Own(place) => {
            let lists = own[place].iter().filter_map(|entity| entity.get("parents")?.as_array());
            found.extend(lists.flatten().filter_map(uid_parts).map(node));
        }
        Node::Stored(id) => {
            let parents = store.entity(id).into_iter().flat_map(|entity| entity.parents());
            found.extend(parents.map(|id| by_id.get(&id).map_or(Node::Stored(id), |place| Node::Own(*place))));
        }
        Node::Named(..) => {}
    })
    .map_err(|most| {
        let member = if request.additional_entities.is_some() { "additional_entities" } else { "entities" };
        RequestError::new(
            "hierarchy_too_large",
            format!("/{member}"),
            format!("collecting the ancestors of these entities takes more than {most} steps; send fewer parents"),
        )
    })
}
