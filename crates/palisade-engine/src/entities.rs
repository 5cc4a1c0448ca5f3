//! From documents of entities to Cedar's store, with every problem named by document and entity.

use std::collections::HashMap;

use cedar_policy::{Entities, Entity, EntityUid};
use cedar_policy_core::ast::PartialValue;

use crate::decode::uid_parts;
use crate::diagnose;
use crate::guard::{self, HierarchyFault};
use crate::layout::is_action_type;
use crate::load::name_of;
use crate::load::problems::{Place, Problems};
use crate::load::read::{Failure, read};
use crate::load::read_by_cedar;
use crate::misfit::{self, Misfit, Misfits};
use crate::model::{Diagnostic, Document, Value};
use crate::schema::SchemaModel;
use crate::settings::Limits;
use crate::strict;

/// Reads all documents into one store.
///
/// # Errors
/// Every problem found, up to a bound.
pub(crate) fn build(
    documents: &[Document],
    schema: Option<&SchemaModel>,
    limits: &Limits,
) -> Result<Entities, Vec<Diagnostic>> {
    let mut reader = Reader { schema, entities: Vec::new(), places: HashMap::new(), problems: Problems::default() };
    for (number, document) in documents.iter().enumerate() {
        reader.read(number, document, limits.max_entity_bytes);
    }
    if let Some((message, at)) = hierarchy_fault(&reader.entities, limits) {
        let place = at.and_then(|uid| reader.places.get(&uid).copied());
        reader.problems.push_about(message, documents, place);
    }
    reader.problems.finish(documents)?;
    Entities::from_entities(reader.entities, schema.map(|s| &s.cedar))
        .map_err(|error| vec![Diagnostic::error("entities", diagnose::message(&error))])
}

/// Reads entities that came with a request.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn from_request(
    value: &Value<'_>,
    schema: Option<&SchemaModel>,
    limits: &Limits,
) -> Result<Vec<Entity>, String> {
    let elements = value.as_array().ok_or("entities must be an array")?;
    let mut entities = Vec::with_capacity(elements.len());
    let mut places = HashMap::new();
    for (i, element) in elements.iter().enumerate() {
        let entity = one_of_request(element, schema).map_err(|message| format!("[{i}]: {message}"))?;
        if let Some(first) = places.insert(entity.uid(), i) {
            return Err(format!("[{i}]: entity `{}` is there twice; the first is at [{first}]", entity.uid()));
        }
        entities.push(entity);
    }
    match hierarchy_fault(&entities, limits) {
        None => Ok(entities),
        Some((message, at)) => {
            let place = at.and_then(|uid| places.get(&uid)).map_or("entities".to_owned(), |i| format!("[{i}]"));
            Err(format!("{place}: {message}"))
        }
    }
}

struct Reader<'a> {
    schema: Option<&'a SchemaModel>,
    entities: Vec<Entity>,
    places: HashMap<EntityUid, Place>,
    problems: Problems,
}

impl Reader<'_> {
    fn read(&mut self, number: usize, document: &Document, longest: usize) {
        let outcome = read(document, longest, &mut |offset, element| {
            match element {
                Ok(value) => self.add(&document.origin, Place::new(number, offset), &value),
                Err(flaw) => self.problems.push_flaw(flaw, number, document),
            }
            !self.problems.enough()
        });
        if let Err(Failure::Broken(flaw) | Failure::Unread(flaw)) = outcome {
            self.problems.push_flaw(flaw, number, document);
        }
    }

    fn add(&mut self, origin: &str, place: Place, value: &Value<'_>) {
        let entity = match read_by_cedar(value, self.schema).and_then(|entity| whole(entity).map_err(Misfits::from)) {
            Ok(entity) => entity,
            Err(misfits) => {
                let named = name_of(value);
                return misfits.into_iter().for_each(|misfit| {
                    let problem = Diagnostic::error(origin, format!("{named}{}", misfit.message));
                    self.problems.push(problem, Some(place));
                });
            }
        };
        let uid = entity.uid();
        if let Some(first) = self.places.get(&uid) {
            let twice = Diagnostic::error(origin, format!("entity `{uid}` is there twice; the first is at "));
            self.problems.push_with(twice, place, *first);
            return;
        }
        self.places.insert(uid, place);
        self.entities.push(entity);
    }
}

/// One entity that came with a request, or the first thing that is wrong with it. It may be large, and is seen through
/// before Cedar reads it.
fn one_of_request(value: &Value<'_>, schema: Option<&SchemaModel>) -> Result<Entity, String> {
    let named = |message: String| format!("{}{message}", name_of(value));
    let read = || -> Result<Entity, Misfit> {
        strict::entity(value, schema)?;
        let read = || {
            let read = Entity::from_json_value(value.to_json(), schema.map(|s| &s.cedar));
            read.map_err(|error| diagnose::message(&error))
        };
        let misfit = || misfit::entity(value, schema);
        // actions are the schema's: they have no entity type there
        let is_action = value.get("uid").and_then(uid_parts).is_some_and(|(ty, _)| is_action_type(ty));
        if !is_action {
            let conforms = |entity| Entities::from_entities([entity], schema.map(|s| &s.cedar)).is_ok();
            misfit::before_cedar(misfit(), || !read().is_ok_and(conforms))?;
        }
        read().map_err(|said| misfit().unwrap_or_else(|| misfit::of_cedar(value, said)))
    };
    let entity = read().map_err(|misfit| named(misfit.message))?;
    whole(entity).map_err(named)
}

/// The entity, if all of it can be stored.
fn whole(entity: Entity) -> Result<Entity, String> {
    let core: &cedar_policy_core::ast::Entity = entity.as_ref();
    let residual = |value: &PartialValue| matches!(value, PartialValue::Residual(_));
    if core.attrs().chain(core.tags()).any(|(_, value)| residual(value)) {
        return Err("it has a value that cannot be stored, such as an `unknown`".to_owned());
    }
    Ok(entity)
}

/// What is wrong with the hierarchy, and the entity to point at.
fn hierarchy_fault(entities: &[Entity], limits: &Limits) -> Option<(String, Option<EntityUid>)> {
    let parents: HashMap<EntityUid, Vec<EntityUid>> = entities
        .iter()
        .map(|entity| {
            let core: &cedar_policy_core::ast::Entity = entity.as_ref();
            (entity.uid(), core.parents().cloned().map(EntityUid::from).collect())
        })
        .collect();
    let mut keys: Vec<EntityUid> = parents.keys().cloned().collect();
    keys.sort_unstable_by_key(ToString::to_string);
    match guard::check_hierarchy(&keys, &parents, limits).err()? {
        HierarchyFault::Cycle(cycle) => {
            let path: Vec<String> = cycle.iter().map(ToString::to_string).collect();
            Some((format!("entities are their own ancestors: {}", path.join(" in ")), cycle.into_iter().next()))
        }
        HierarchyFault::TooDeep(entity) => Some((
            format!("`{entity}` has more than {} levels of parents (`limits.max_depth`)", limits.max_depth),
            Some(entity),
        )),
        HierarchyFault::TooManyParents(entity, n) => Some((
            format!("`{entity}` has {n} parents, more than {} (`limits.max_parents`)", limits.max_parents),
            Some(entity),
        )),
    }
}
