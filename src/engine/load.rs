//! From documents of entities to the store, one entity at a time and without a tree of the whole.
//!
//! What the compiled reader does not plainly accept, Cedar's own reader decides: it accepts it after all, or
//! its message becomes the finding. So the verdict is Cedar's, at a fraction of its cost.

use cedar_policy::{Entities, Entity};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::{Diagnostic, Document, Uid, Value};
use crate::engine::cedar;
use crate::engine::decode::{Decoder, uid_parts};
use crate::engine::diagnose;
use crate::engine::layout::{Layout, is_action_type};
use crate::engine::schema::SchemaModel;
use crate::engine::settings::Limits;
use crate::engine::store::{Draft, Fault};
use crate::engine::value::Packer;

/// How many problems are worth listing; the rest is counted.
const MAX_PROBLEMS: usize = 100;

/// How many entities lie between two calls of the progress hook.
const STRIDE: usize = 1 << 12;

/// Called now and then while loading with the entities and bytes read so far.
pub type Progress<'p> = &'p dyn Fn(usize, usize);

/// What entities are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'s> {
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
pub fn schema_actions(schema: &SchemaModel, draft: &mut Draft) -> Result<(), Vec<Diagnostic>> {
    let failed = |message: String| vec![Diagnostic::error("schema", message)];
    let actions = schema.cedar.action_entities().map_err(|error| failed(diagnose::message(&error)))?;
    let mut packer = Packer::default();
    for action in actions.iter() {
        let action: &cedar_policy_core::ast::Entity = action.as_ref();
        let id = cedar::pack_entity(action, &mut packer, draft, true)
            .map_err(|_| failed(format!("`{}` has attributes that cannot be stored", action.uid())))?;
        draft.put(id, &packer.out);
    }
    Ok(())
}

/// Reads all documents into `draft`.
///
/// # Errors
/// Every problem found, up to a bound.
pub fn load(
    documents: &[Document],
    checks: Checks<'_>,
    draft: &mut Draft,
    progress: Option<Progress<'_>>,
) -> Result<(), Vec<Diagnostic>> {
    let mut loader = Loader {
        documents,
        checks,
        draft,
        packer: Packer::default(),
        places: Vec::new(),
        actions: Vec::new(),
        problems: Vec::new(),
        read: 0,
        bytes: 0,
        progress,
    };
    for (number, document) in documents.iter().enumerate() {
        loader.document(number, document);
        loader.bytes += document.bytes.len();
    }
    loader.check_actions();
    if loader.problems.is_empty()
        && let Err(fault) = loader.draft.check_hierarchy(checks.limits)
    {
        let (at, message) = explain(&fault, loader.draft, checks.limits);
        let diagnostic = match loader.places.get(at as usize).and_then(|place| place.split(documents)) {
            Some((document, offset)) => match std::str::from_utf8(&document.bytes) {
                Ok(text) => {
                    let mut placed = Diagnostic::error(&document.origin, message).at(text, offset);
                    placed.excerpt = None;
                    placed.column = None;
                    placed
                }
                Err(_) => Diagnostic::error(&document.origin, message),
            },
            None => Diagnostic::error("entities", message),
        };
        loader.problems.push(diagnostic);
    }
    let mut problems = loader.problems;
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if more > 0 {
        problems.push(Diagnostic::error("entities", format!("and {more} more problems")));
    }
    Err(problems)
}

/// Reads one entity of a change into the packer. Returns its id.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_one(value: &Value<'_>, checks: Checks<'_>, draft: &mut Draft, packer: &mut Packer) -> Result<u32, String> {
    let mut decoder = Decoder { packer: &mut *packer, resolver: &mut *draft, layout: checks.layout };
    if let Ok((ty, id)) = decoder.record(value) {
        return draft.uid(ty, id.as_bytes()).map_err(|_| "the store is full".to_owned());
    }
    let schema = checks.schema.map(|schema| &schema.cedar);
    let entity = Entity::from_json_value(value.to_json(), schema).map_err(|error| diagnose::message(&error))?;
    cedar::pack_entity(entity.as_ref(), packer, draft, false)
        .map_err(|_| "it has a value that cannot be stored, such as an `unknown`".to_owned())
}

/// A fault in words, and the entity to point at.
pub fn explain(fault: &Fault, draft: &Draft, limits: &Limits) -> (u32, String) {
    let name = |id: u32| format!("`{}`", uid_text(draft, id));
    match fault {
        Fault::Cycle(cycle) => {
            let path: Vec<String> = cycle.iter().map(|id| uid_text(draft, *id)).collect();
            let at = cycle.first().copied().unwrap_or(0);
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

fn uid_text(draft: &Draft, id: u32) -> String {
    let type_name = draft.symbols().type_name(draft.type_of(id)).to_string();
    let id = String::from_utf8_lossy(draft.record(id).id()).into_owned();
    Uid { type_name: type_name.into(), id: id.into() }.to_string()
}

/// Where an entity stands: the document's number in the upper 16 bits, the byte in the others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place(u64);

impl Place {
    const NONE: Self = Self(u64::MAX);

    fn new(document: usize, offset: usize) -> Self {
        // beyond 65,535 documents places are told as if in the last: only a message is at stake
        Self((document.min(0xfffe) as u64) << 48 | offset as u64)
    }

    fn document(self) -> usize {
        (self.0 >> 48) as usize
    }

    fn offset(self) -> usize {
        (self.0 & 0xffff_ffff_ffff) as usize
    }

    fn split(self, documents: &[Document]) -> Option<(&Document, usize)> {
        Some((documents.get(self.document())?, self.offset()))
    }
}

struct Loader<'l> {
    /// All documents, for the place of an earlier entity.
    documents: &'l [Document],
    checks: Checks<'l>,
    draft: &'l mut Draft,
    packer: Packer,
    /// Where the entity of each id stands.
    places: Vec<Place>,
    /// Actions that documents bring beside the schema: they must be those of the schema.
    actions: Vec<(Entity, Diagnostic)>,
    problems: Vec<Diagnostic>,
    read: usize,
    bytes: usize,
    progress: Option<Progress<'l>>,
}

impl Loader<'_> {
    fn document(&mut self, number: usize, document: &Document) {
        let text = match std::str::from_utf8(&document.bytes) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("not UTF-8 at byte {}", error.valid_up_to());
                self.problems.push(Diagnostic::error(&document.origin, message));
                return;
            }
        };
        let source = Source { number, origin: &document.origin, text };
        let trimmed = text.trim_start();
        if trimmed.starts_with('[') {
            let mut reader = serde_json::Deserializer::from_str(text);
            let read = reader.deserialize_seq(Elements { loader: self, source }).and_then(|()| reader.end());
            if let Err(error) = read {
                self.problems.push(
                    diagnose::json(&document.origin, text, &error)
                        .help("a document of entities is a JSON array, or one JSON object a line"),
                );
            }
        } else if trimmed.is_empty() {
            self.problems
                .push(Diagnostic::error(&document.origin, "the document is empty").help("write `[]` for no entities"));
        } else {
            let mut offset = 0;
            for line in text.split_inclusive('\n') {
                if !line.trim().is_empty() {
                    self.element(source, offset, line.trim_end());
                }
                offset += line.len();
            }
        }
    }

    fn element(&mut self, source: Source<'_>, offset: usize, element: &str) {
        self.read += 1;
        if self.read.is_multiple_of(STRIDE)
            && let Some(progress) = self.progress
        {
            progress(self.read, self.bytes + offset);
        }
        // the first problems are told; a broken file of a million lines need not be read with the slow reader
        if self.problems.len() > 10 * MAX_PROBLEMS {
            self.problems.push(Diagnostic::error(source.origin, "more problems"));
            return;
        }
        match Value::parse(element.as_bytes()) {
            Ok(value) => self.entity(source, offset, &value),
            Err(error) => {
                let inner = diagnose::json("", element, &error);
                let lines: usize = element.split_inclusive('\n').take(inner.line.unwrap_or(1) - 1).map(str::len).sum();
                let at = offset + lines + inner.column.unwrap_or(1) - 1;
                self.problems.push(Diagnostic::error(source.origin, inner.message).at(source.text, at));
            }
        }
    }

    fn entity(&mut self, source: Source<'_>, offset: usize, value: &Value<'_>) {
        let place = |message: String| Diagnostic::error(source.origin, message).at(source.text, offset);
        if self.checks.schema.is_some()
            && value.get("uid").and_then(uid_parts).is_some_and(|(ty, _)| is_action_type(ty))
        {
            match Entity::from_json_value(value.to_json(), None) {
                Ok(action) => self.actions.push((action, place(String::new()))),
                Err(error) => self.problems.push(place(diagnose::message(&error))),
            }
            return;
        }
        let id = match read_one(value, self.checks, self.draft, &mut self.packer) {
            Ok(id) => id,
            Err(message) => {
                let uid = value.get("uid").map(|uid| crate::domain::request::uid_member(uid.clone(), ""));
                let name = match uid {
                    Some(Ok(uid)) => format!("entity `{uid}`: "),
                    Some(Err(_)) => "entity of unreadable uid: ".to_owned(),
                    None => String::new(),
                };
                self.problems.push(place(format!("{name}{message}")));
                return;
            }
        };
        if self.places.len() <= id as usize {
            self.places.resize((id as usize + 1).next_power_of_two(), Place::NONE);
        }
        let Some(known) = self.places.get_mut(id as usize) else { return };
        if *known != Place::NONE {
            let known = known.split(self.documents);
            let first = known.and_then(|(document, offset)| {
                let text = std::str::from_utf8(&document.bytes).ok()?;
                let line = Diagnostic::error("", "").at(text, offset).line?;
                Some(format!("{}:{line}", document.origin))
            });
            let first = first.unwrap_or_else(|| source.origin.to_owned());
            let name = uid_text(self.draft, id);
            self.problems.push(place(format!("entity `{name}` is there twice; the first is at {first}")));
            return;
        }
        *known = Place::new(source.number, offset);
        self.draft.put(id, &self.packer.out);
    }

    /// Actions in documents must say what the schema says.
    fn check_actions(&mut self) {
        let Some(schema) = self.checks.schema.filter(|_| !self.actions.is_empty()) else { return };
        let mut seen = std::collections::HashSet::new();
        for (action, place) in &self.actions {
            if !seen.insert(action.uid()) {
                let mut problem = place.clone();
                problem.message = format!("entity `{}` is there twice", action.uid());
                self.problems.push(problem);
            }
        }
        let actions = self.actions.iter().map(|(action, _)| action.clone());
        if let Err(error) = Entities::from_entities(actions, Some(&schema.cedar)) {
            self.problems.push(Diagnostic::error("entities", diagnose::message(&error)));
        }
    }
}

#[derive(Clone, Copy)]
struct Source<'t> {
    number: usize,
    origin: &'t str,
    text: &'t str,
}

/// Takes the elements of an array as they come.
struct Elements<'e, 'l, 't> {
    loader: &'e mut Loader<'l>,
    source: Source<'t>,
}

impl<'t> Visitor<'t> for Elements<'_, '_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of entities")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&'t RawValue>()? {
            let offset = element.get().as_ptr() as usize - self.source.text.as_ptr() as usize;
            self.loader.element(self.source, offset, element.get());
        }
        Ok(())
    }
}
