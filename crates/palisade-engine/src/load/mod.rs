//! From documents of entities to the store, one entity at a time, without a tree of the whole and without
//! holding its text: `cut` reads blocks of whole elements, with `array` where they are those of a JSON array,
//! `read` parses them, and `problems` finds lines and columns by reading once more.
//!
//! What the compiled reader does not plainly accept, Cedar's own reader decides: it accepts it after all, or
//! its message becomes the finding. So the verdict is Cedar's, at a fraction of its cost.

mod actions;
mod array;
mod cut;
pub(super) mod problems;
pub(super) mod read;

#[cfg(test)]
mod tests;

use cedar_policy::Entity;
use serde_json::value::RawValue;

use crate::broken::broken;
use crate::cedar;
use crate::decode::{Decoder, uid_parts};
use crate::diagnose;
use crate::ids::EntityId;
use crate::layout::{Layout, is_action_type};
use crate::load::actions::Brought;
use crate::load::problems::{Place, Problems};
use crate::load::read::{Failure, read};
use crate::misfit::{self, Misfits};
use crate::model::document::fill;
use crate::model::{Diagnostic, Document, Uid, Value};
use crate::schema::SchemaModel;
use crate::settings::Limits;
use crate::store::{Draft, Fault, Layer};
use crate::strict;
use crate::value::Packer;

pub(crate) use problems::Places;

/// How many entities lie between two calls of the progress hook.
const STRIDE: usize = 1 << 12;

/// Called now and then while loading with the entities and bytes read so far. Says whether to go on.
pub(crate) type Progress<'p> = &'p dyn Fn(usize, usize) -> bool;

/// What entities are checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks<'s> {
    /// Cedar's schema, for what only Cedar decides.
    pub schema: Option<&'s SchemaModel>,
    /// The same compiled.
    pub layout: Option<&'s Layout>,
    /// Bounds on the hierarchy.
    pub limits: &'s Limits,
}

/// Stores the actions of the schema.
///
/// # Errors
/// If the store cannot hold them.
pub(crate) fn schema_actions(schema: &SchemaModel, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let failed = |message: String| vec![Diagnostic::error("schema", message)];
    let actions = schema.cedar.action_entities().map_err(|error| failed(diagnose::message(&error)))?;
    let mut packer = Packer::default();
    for action in actions.iter() {
        let action: &cedar_policy_core::ast::Entity = action.as_ref();
        let id = cedar::pack_entity(action, &mut packer, draft, true)
            .map_err(|_| failed(format!("`{}` has attributes that cannot be stored", action.uid())))?;
        draft.put(id, &packer.out, Layer::Base);
    }
    Ok(())
}

/// Reads all documents into `draft`. Gives where the entities stand in them.
///
/// # Errors
/// Every problem found, up to a bound.
pub(crate) fn load(
    documents: &[Document],
    checks: Checks<'_>,
    draft: &mut Draft,
    progress: Progress<'_>,
) -> Result<Places, Vec<Diagnostic>> {
    let mut loader = Loader {
        checks,
        draft,
        packer: Packer::default(),
        places: Places::default(),
        actions: Vec::new(),
        problems: Problems::default(),
        read: 0,
        bytes: 0,
        progress,
    };
    for (number, document) in documents.iter().enumerate() {
        loader.document(number, document);
        loader.bytes += document.len();
    }
    if let Some(schema) = checks.schema {
        actions::check(&loader.actions, schema, &mut loader.problems);
    }
    if loader.problems.len() == 0
        && let Err(fault) = loader.draft.check_hierarchy(checks.limits)
    {
        let (at, message) = explain(&fault, loader.draft, checks.limits);
        let place = loader.places.of(at);
        loader.problems.push_about(message, documents, place);
    }
    loader.problems.finish(documents)?;
    Ok(loader.places)
}

/// Reads one entity of a change into the packer. Returns its id.
///
/// # Errors
/// All that is wrong with it, up to a bound.
pub(crate) fn read_one(
    value: &Value<'_>,
    checks: Checks<'_>,
    draft: &mut Draft,
    packer: &mut Packer,
) -> Result<EntityId, Misfits> {
    let mut decoder = Decoder { packer: &mut *packer, resolver: &mut *draft, layout: checks.layout };
    if let Ok((ty, id)) = decoder.record(value) {
        return draft.uid(ty, id.as_bytes()).map_err(|_| "the store is full".to_owned().into());
    }
    let entity = read_by_cedar(value, checks.schema)?;
    cedar::pack_entity(entity.as_ref(), packer, draft, false)
        .map_err(|_| "it has a value that cannot be stored, such as an `unknown`".to_owned().into())
}

/// Reads one entity as Cedar does, and refuses what Cedar would drop.
pub(super) fn read_by_cedar(value: &Value<'_>, schema: Option<&SchemaModel>) -> Result<Entity, Misfits> {
    let mut found = Misfits::none();
    strict::look(value, schema, &mut found);
    let mut said = None;
    if found.is_empty() {
        match Entity::from_json_value(value.to_json(), schema.map(|schema| &schema.cedar)) {
            Ok(entity) => return Ok(entity),
            Err(error) => said = Some(diagnose::message(&error)),
        }
    }
    misfit::look(value, schema, &mut found);
    if let Some(said) = said.filter(|_| found.is_empty()) {
        found.push(misfit::of_cedar(value, said));
    }
    Err(found)
}

/// What to call an entity that cannot be read, before what is wrong with it.
pub(crate) fn name_of(value: &Value<'_>) -> String {
    match value.get("uid").map(|uid| crate::model::request::uid_member(uid.clone(), "")) {
        Some(Ok(uid)) => format!("entity `{uid}`: "),
        Some(Err(_)) => "entity of unreadable uid: ".to_owned(),
        None => String::new(),
    }
}

/// A fault in words, and the entity to point at.
pub(crate) fn explain(fault: &Fault, draft: &Draft, limits: &Limits) -> (EntityId, String) {
    let name = |id: EntityId| format!("`{}`", uid_text(draft, id));
    match fault {
        Fault::Cycle(cycle) => {
            let path: Vec<String> = cycle.iter().map(|id| uid_text(draft, *id)).collect();
            let Some(at) = cycle.first().copied() else { broken("a cycle of no entities") };
            (at, format!("entities are their own ancestors: {}", path.join(" in ")))
        }
        Fault::TooDeep(id) => {
            (*id, format!("{} has more than {} levels of parents (`limits.max_depth`)", name(*id), limits.max_depth))
        }
        Fault::TooManyParents(id, n) => {
            (*id, format!("{} has {n} parents, more than {} (`limits.max_parents`)", name(*id), limits.max_parents))
        }
    }
}

fn uid_text(draft: &Draft, id: EntityId) -> String {
    let type_name = draft.symbols().type_name(draft.type_of(id)).to_string();
    let id = String::from_utf8_lossy(draft.record(id).id()).into_owned();
    Uid { type_name: type_name.into(), id: id.into() }.to_string()
}

struct Loader<'l> {
    checks: Checks<'l>,
    draft: &'l mut Draft,
    packer: Packer,
    places: Places,
    /// Actions that documents bring beside the schema: they must be those of the schema.
    actions: Vec<Brought>,
    problems: Problems,
    read: usize,
    bytes: u64,
    progress: Progress<'l>,
}

impl Loader<'_> {
    fn document(&mut self, number: usize, document: &Document) {
        let before = self.problems.len();
        let outcome = read(document, self.checks.limits.max_entity_bytes, &mut |offset, element| {
            self.read += 1;
            if self.read.is_multiple_of(STRIDE)
                && !(self.progress)(self.read, usize::try_from(self.bytes + offset).unwrap_or(usize::MAX))
            {
                // the caller stopped it, and uses nothing of what was read
                return false;
            }
            match element {
                Ok(value) => self.entity(document, Place::new(number, offset), &value),
                Err(flaw) => self.problems.push_flaw(flaw, number, document),
            }
            !self.problems.enough()
        });
        let flaw = match outcome {
            Ok(()) => return,
            Err(Failure::Broken(flaw)) => flaw,
            Err(Failure::Unread(flaw)) => {
                // the text may mix two versions of the file, so the problems found in it may not exist
                self.problems.truncate(before);
                return self.problems.push(flaw.diagnostic(&document.origin).passing(), None);
            }
        };
        self.problems.push_flaw(flaw, number, document);
    }

    fn entity(&mut self, document: &Document, place: Place, value: &Value<'_>) {
        let origin = document.origin.as_str();
        let problem = |message: String| Diagnostic::error(origin, message);
        if self.checks.schema.is_some()
            && value.get("uid").and_then(uid_parts).is_some_and(|(ty, _)| is_action_type(ty))
        {
            match read_by_cedar(value, None) {
                Ok(action) => self.actions.push(Brought { action, origin: origin.to_owned(), place }),
                Err(misfits) => self.misfits(document, place, value, misfits),
            }
            return;
        }
        let id = match read_one(value, self.checks, self.draft, &mut self.packer) {
            Ok(id) => id,
            Err(misfits) => return self.misfits(document, place, value, misfits),
        };
        if let Some(first) = self.places.put(id, place) {
            let name = uid_text(self.draft, id);
            let twice = problem(format!("entity `{name}` is there twice; the first is at "));
            self.problems.push_with(twice, place, first);
            return;
        }
        self.draft.put(id, &self.packer.out, Layer::Base);
    }

    fn misfits(&mut self, document: &Document, place: Place, value: &Value<'_>, misfits: Misfits) {
        let named = name_of(value);
        let text = self.text_of(document, place);
        for misfit in misfits {
            // of an entity as a whole, its first byte says enough
            let within = text.as_deref().filter(|_| !misfit.place.is_empty()).and_then(|text| misfit.offset(text));
            let problem = Diagnostic::error(&document.origin, format!("{named}{}", misfit.message));
            self.problems.push(problem, Some(within.map_or(place, |offset| place.behind(offset))));
        }
    }

    /// The text of the element that begins at `place`, read again; nothing where no more problems are listed.
    fn text_of(&self, document: &Document, place: Place) -> Option<String> {
        if self.problems.are_many() {
            return None;
        }
        let longest = self.checks.limits.max_entity_bytes as u64;
        let room = document.len().saturating_sub(place.offset()).min(longest);
        let mut bytes = vec![0; usize::try_from(room).unwrap_or_default()];
        let read = fill(document, &mut bytes, place.offset()).unwrap_or_default();
        bytes.truncate(read);
        let element = serde_json::Deserializer::from_slice(&bytes).into_iter::<&RawValue>().next();
        element.and_then(Result::ok).map(|element| element.get().to_owned())
    }
}
