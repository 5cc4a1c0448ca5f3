//! Random changes of stored entities, and what they come to.

use std::collections::BTreeMap;

use palisade_engine::model::{Edit, Uid, Value};

use super::World;
use super::choices::Choices;
use super::entities::{ancestors, hierarchy};

/// Entities by uid.
pub(crate) type Entities = BTreeMap<Uid<'static>, Value<'static>>;

impl World {
    /// Draws a transaction on `entities`.
    pub(crate) fn changes(&self, c: &mut Choices, entities: &Entities) -> Vec<Edit> {
        let people = self.population();
        let mut changes = Vec::new();
        for _ in 0..1 + c.below(4) {
            let stored: Vec<&Uid<'static>> = entities.keys().filter(|uid| self.type_of(uid).is_some()).collect();
            let uid = match c.any(&stored) {
                Some(uid) if c.chance(75) => (*uid).clone(),
                _ => {
                    let ty = c.below(self.model.types.len());
                    people.uid_of_type(c, ty)
                }
            };
            let Some(ty) = self.type_of(&uid) else { continue };
            match c.below(6) {
                0 => changes.push(Edit::Delete(uid)),
                1 => changes.push(Edit::DeleteSubtree(uid)),
                _ => {
                    let enumerated = self.model.declared && self.model.types[ty].choices.is_some();
                    // parents from the whole order: now and then that makes a cycle
                    let at = if c.chance(15) { usize::MAX } else { people.position(&uid) };
                    let parents = if enumerated { Vec::new() } else { people.parents(c, ty, at) };
                    changes.push(Edit::Upsert(people.entity(c, ty, &uid, &parents)));
                }
            }
        }
        changes
    }

    fn type_of(&self, uid: &Uid<'_>) -> Option<usize> {
        self.model.types.iter().position(|ty| ty.name == uid.type_name)
    }
}

impl super::entities::Population<'_> {
    fn position(&self, uid: &Uid<'_>) -> usize {
        self.stored.iter().position(|(_, known)| known == uid).unwrap_or(self.stored.len())
    }
}

/// What `entities` are after `changes`, if the result is a hierarchy without cycles.
pub(crate) fn applied(entities: &Entities, changes: &[Edit]) -> Entities {
    let mut entities = entities.clone();
    for change in changes {
        match change {
            Edit::Upsert(value) => {
                let uid = value.get("uid").cloned().unwrap_or(Value::Null);
                if let Ok(uid) = palisade_engine::model::request::uid_member(uid, "") {
                    entities.insert(uid.into_owned(), value.clone());
                }
            }
            Edit::Delete(uid) => {
                entities.remove(uid);
            }
            Edit::DeleteSubtree(uid) => {
                let parents = hierarchy(&entities);
                entities.retain(|other, _| other != uid && !ancestors(&parents, other).contains(uid));
            }
            other => unreachable!("no such change is drawn: {other:?}"),
        }
    }
    entities
}
