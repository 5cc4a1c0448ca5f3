//! Cedar's own entities for one request, cut out of the store: what the reference evaluates over at scale.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::Entities;
use cedar_policy_core::ast::{Eid, EntityType, EntityUID, Name};
use cedar_policy_core::entities::{NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;

use super::env::Env;
use super::request::Locals;
use crate::broken::broken;
use crate::cedar::{Unpacker, utf8};
use crate::decode::uid_parts;
use crate::ids::{EntityId, NameId, TypeId};
use crate::model::{AccessRequest, Decision, RequestError, Value};
use crate::reference;
use crate::snapshot::{GoOn, Snapshot, Undecided};
use crate::store::Store;
use crate::value::Record;

/// Makes Cedar's entities of the entities that `env` shows under `ids`: all of them, whole, or none.
///
/// # Errors
/// If more of the hierarchy would have to be climbed than one decision may.
pub(super) fn cut(
    env: &Env<'_>,
    locals: &Locals<'_>,
    ids: impl IntoIterator<Item = EntityId>,
) -> Result<Entities, TooExpensive> {
    let types = std::cell::RefCell::new(HashMap::<TypeId, EntityType>::new());
    let uid = |id: EntityId| -> EntityUID {
        if id.is_local() {
            let Some((type_name, id)) = locals.uid(env.store, id) else { broken("an id that the request never gave") };
            return EntityUID::from_components(parse_type(&type_name), Eid::new(id), None);
        }
        let ty = env.store.type_of(id);
        let ty = types.borrow_mut().entry(ty).or_insert_with(|| parse_type(env.store.symbols().type_name(ty))).clone();
        let Some(record) = env.store.record(id) else { broken("an id that was never given out") };
        EntityUID::from_components(ty, Eid::new(utf8(record.id())), None)
    };
    let name = |id: NameId| -> Arc<str> {
        match env.store.symbols().attribute_name(id) {
            Some(name) => name.clone(),
            None => match locals.name(id) {
                Some(name) => name.into(),
                None => broken("an attribute name that was never given out"),
            },
        }
    };
    let unpacker = Unpacker { uid, name };
    let mut seen = HashSet::new();
    let mut entities = Vec::new();
    for id in ids {
        if seen.insert(id)
            && let Some(entity) = env.entity(id)
        {
            entities.push(unpacker.entity((unpacker.uid)(id), entity, env.ancestors(id).ids()));
            if env.is_over_budget() {
                return Err(TooExpensive);
            }
        }
    }
    let entities = cedar_policy_core::entities::Entities::from_entities(
        entities,
        None::<&NoEntitiesSchema>,
        TCComputation::AssumeAlreadyComputed,
        Extensions::all_available(),
    );
    match entities {
        Ok(entities) => Ok(entities.into()),
        // uids are distinct and the closure is there, so nothing is left to fail
        Err(_) => broken("entities of the store that Cedar refuses"),
    }
}

fn parse_type(name: &str) -> EntityType {
    match name.parse::<Name>() {
        Ok(name) => name.into(),
        Err(_) => broken("a type whose name Cedar does not read"),
    }
}

/// All stored entities as Cedar's, for the reference that keeps them all.
pub(crate) fn everything(store: &Store) -> Entities {
    let env = Env::new(store, [EntityId::NONE; 3], Record::Built(&[]));
    env.edges_left.set(usize::MAX);
    match cut(&env, &Locals::default(), store.ids()) {
        Ok(entities) => entities,
        Err(TooExpensive) => broken("a bound where none was set"),
    }
}

/// More of the hierarchy would have to be climbed than one decision may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooExpensive;

impl From<TooExpensive> for RequestError {
    fn from(_: TooExpensive) -> RequestError {
        let message = "deciding this would climb more of the hierarchy than one decision may; entities have too many \
                       parents above them";
        RequestError::new("too_expensive", "", message)
    }
}

/// Which policies Cedar's authorizer is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// All, or all whose scope holds by a look at each: what other ways of deciding are compared with.
    All,
    /// Those that the index finds for the request: what a decision costs does not grow with the number of links.
    Near,
}

/// Decides with Cedar's authorizer over the part of the store that this request can reach.
///
/// # Errors
/// If the request does not fit the schema, its values are no Cedar values, or `go_on` said false.
pub(crate) fn by_reference(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    seen: Seen,
    go_on: GoOn<'_>,
) -> Result<Decision, Undecided> {
    reference::decide(snapshot, request, now, &reached(snapshot, request)?, seen, go_on)
}

/// The part of the store that deciding the request can reach, as Cedar's own entities.
///
/// # Errors
/// If more of the hierarchy would have to be climbed than one decision may.
pub(crate) fn reached(snapshot: &Snapshot, request: &AccessRequest<'_>) -> Result<Entities, RequestError> {
    let store = &snapshot.store;
    let mut roots = HashSet::new();
    let mut name = |type_name: &str, id: &str| {
        roots.extend(store.named(type_name, id.as_bytes()));
    };
    for uid in [&request.principal, &request.action, &request.resource] {
        name(&uid.type_name, &uid.id);
    }
    for overlay in &request.overlays {
        name(&overlay.entity.type_name, &overlay.entity.id);
        named(&overlay.attributes, &mut name);
    }
    for value in std::iter::once(&request.context).chain(&request.entities).chain(&request.additional_entities) {
        named(value, &mut name);
    }
    let reach = &snapshot.core.compiled.reach;
    roots.extend(&reach.entities);
    let env = Env::new(store, [EntityId::NONE; 3], Record::Built(&[]));
    let brings = request.additional_entities.is_some() || !request.overlays.is_empty();
    let mut reached = roots.clone();
    let mut level: Vec<EntityId> = roots.into_iter().collect();
    for _ in 0..=reach.depth {
        let mut next = Vec::new();
        for id in level.drain(..) {
            let Some(entity) = store.entity(id) else { continue };
            let mut follow = |id: EntityId| {
                if reached.insert(id) {
                    next.push(id);
                }
            };
            let record = entity.attributes();
            for i in 0..record.len() {
                let (name, value) = record.get(i);
                if reach.names.contains(&name) {
                    value.entities(&mut follow);
                }
            }
            for i in 0..if reach.tags { entity.tag_count() } else { 0 } {
                entity.tag_at(i).1.entities(&mut follow);
            }
        }
        level = next;
    }
    if brings {
        // Cedar closes the hierarchy again, so it must see what is above
        let mut above = Vec::new();
        for id in &reached {
            above.extend_from_slice(env.ancestors(*id).ids());
            if env.is_over_budget() {
                return Err(TooExpensive.into());
            }
        }
        reached.extend(above);
    }
    Ok(cut(&env, &Locals::default(), reached)?)
}

/// Everything in `value` that reads like a uid.
fn named<'v>(value: &'v Value<'_>, found: &mut impl FnMut(&'v str, &'v str)) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|value| named(value, found)),
        Value::Object(members) => {
            if let Some((type_name, id)) = uid_parts(value) {
                found(type_name, id);
            } else if let (Some(type_name), Some(id)) =
                (value.get("type").and_then(Value::as_str), value.get("id").and_then(Value::as_str))
            {
                found(type_name, id);
            }
            members.iter().for_each(|(_, value)| named(value, found));
        }
        _ => {}
    }
}
