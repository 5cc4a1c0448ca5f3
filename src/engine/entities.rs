//! From documents of entities to Cedar's store, with every problem named by document and entity.

use std::collections::HashMap;

use cedar_policy::{Entities, Entity, EntityUid};
use cedar_policy_core::ast::PartialValue;
use serde_json::value::RawValue;

use crate::domain::{Diagnostic, Document, Value};
use crate::engine::diagnose;
use crate::engine::guard::{self, HierarchyFault};
use crate::engine::schema::SchemaModel;
use crate::engine::settings::Limits;

/// How many problems are worth listing; the rest is counted.
const MAX_PROBLEMS: usize = 100;

/// Reads all documents into one store.
///
/// # Errors
/// Every problem found, up to a bound.
pub fn build(
    documents: &[Document],
    schema: Option<&SchemaModel>,
    limits: &Limits,
) -> Result<Entities, Vec<Diagnostic>> {
    let mut reader =
        Reader { schema, entities: Vec::new(), places: HashMap::new(), parents: HashMap::new(), problems: Vec::new() };
    for document in documents {
        reader.read(document);
    }
    reader.check_hierarchy(limits);
    if !reader.problems.is_empty() {
        let more = reader.problems.len().saturating_sub(MAX_PROBLEMS);
        reader.problems.truncate(MAX_PROBLEMS);
        if more > 0 {
            reader.problems.push(Diagnostic::error("entities", format!("and {more} more problems")));
        }
        return Err(reader.problems);
    }
    Entities::from_entities(reader.entities, schema.map(|s| &s.cedar))
        .map_err(|error| vec![Diagnostic::error("entities", diagnose::message(&error))])
}

/// Reads entities that came with a request.
///
/// # Errors
/// What is wrong, in words.
pub fn from_request(value: &Value<'_>, schema: Option<&SchemaModel>, limits: &Limits) -> Result<Vec<Entity>, String> {
    let elements = value.as_array().ok_or("entities must be an array")?;
    let mut reader =
        Reader { schema, entities: Vec::new(), places: HashMap::new(), parents: HashMap::new(), problems: Vec::new() };
    for (i, element) in elements.iter().enumerate() {
        reader.add(&format!("[{i}]"), "", 0, element);
    }
    reader.check_hierarchy(limits);
    match reader.problems.first() {
        Some(problem) => Err(format!("{}: {}", problem.origin, problem.message)),
        None => Ok(reader.entities),
    }
}

struct Reader<'a> {
    schema: Option<&'a SchemaModel>,
    entities: Vec<Entity>,
    /// Where each entity stands: document and line.
    places: HashMap<EntityUid, (String, Option<usize>)>,
    parents: HashMap<EntityUid, Vec<EntityUid>>,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn read(&mut self, document: &Document) {
        let text = match std::str::from_utf8(&document.bytes) {
            Ok(text) => text,
            Err(error) => {
                self.problems
                    .push(Diagnostic::error(&document.origin, format!("not UTF-8 at byte {}", error.valid_up_to())));
                return;
            }
        };
        let trimmed = text.trim_start();
        if trimmed.starts_with('[') {
            match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(elements) => {
                    for element in elements {
                        let offset = element.get().as_ptr() as usize - text.as_ptr() as usize;
                        self.add_text(&document.origin, text, offset, element.get());
                    }
                }
                Err(error) => self.problems.push(
                    diagnose::json(&document.origin, text, &error)
                        .help("a document of entities is a JSON array, or one JSON object a line"),
                ),
            }
        } else if trimmed.is_empty() {
            self.problems
                .push(Diagnostic::error(&document.origin, "the document is empty").help("write `[]` for no entities"));
        } else {
            let mut offset = 0;
            for line in text.split_inclusive('\n') {
                if !line.trim().is_empty() {
                    self.add_text(&document.origin, text, offset, line.trim_end());
                }
                offset += line.len();
            }
        }
    }

    fn add_text(&mut self, origin: &str, text: &str, offset: usize, element: &str) {
        match Value::parse(element.as_bytes()) {
            Ok(value) => self.add(origin, text, offset, &value),
            Err(error) => {
                let inner = diagnose::json("", element, &error);
                let lines: usize = element.split_inclusive('\n').take(inner.line.unwrap_or(1) - 1).map(str::len).sum();
                self.problems.push(
                    Diagnostic::error(origin, inner.message).at(text, offset + lines + inner.column.unwrap_or(1) - 1),
                );
            }
        }
    }

    fn add(&mut self, origin: &str, text: &str, offset: usize, value: &Value<'_>) {
        let place = |diagnostic: Diagnostic| if text.is_empty() { diagnostic } else { diagnostic.at(text, offset) };
        let name = value.get("uid").map(|uid| {
            crate::domain::request::uid_member(uid.clone(), "")
                .map_or_else(|_| "of unreadable uid".to_owned(), |uid| format!("`{uid}`"))
        });
        let entity = match Entity::from_json_value(value.to_json(), self.schema.map(|s| &s.cedar)) {
            Ok(entity) => entity,
            Err(error) => {
                let name = name.map_or_else(String::new, |name| format!("entity {name}: "));
                self.problems.push(place(Diagnostic::error(origin, format!("{name}{}", diagnose::message(&error)))));
                return;
            }
        };
        let uid = entity.uid();
        let diagnostic = place(Diagnostic::error(origin, String::new()));
        if let Some((first, line)) = self.places.get(&uid) {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            self.problems.push(place(Diagnostic::error(
                origin,
                format!("entity `{uid}` is there twice; the first is at {first}{line}"),
            )));
            return;
        }
        self.places.insert(uid.clone(), (origin.to_owned(), diagnostic.line));
        let core: &cedar_policy_core::ast::Entity = entity.as_ref();
        let residual = |value: &PartialValue| matches!(value, PartialValue::Residual(_));
        if core.attrs().chain(core.tags()).any(|(_, value)| residual(value)) {
            self.problems.push(place(Diagnostic::error(
                origin,
                format!("entity `{uid}`: it has a value that cannot be stored, such as an `unknown`"),
            )));
            return;
        }
        let parents: Vec<EntityUid> = core.ancestors().cloned().map(EntityUid::from).collect();
        self.parents.insert(uid, parents);
        self.entities.push(entity);
    }

    fn check_hierarchy(&mut self, limits: &Limits) {
        let mut keys: Vec<EntityUid> = self.parents.keys().cloned().collect();
        keys.sort_unstable_by_key(ToString::to_string);
        let (message, at) = match guard::check_hierarchy(&keys, &self.parents, limits) {
            Ok(()) => return,
            Err(HierarchyFault::Cycle(cycle)) => {
                let path: Vec<String> = cycle.iter().map(ToString::to_string).collect();
                (format!("entities are their own ancestors: {}", path.join(" in ")), cycle.into_iter().next())
            }
            Err(HierarchyFault::TooDeep(entity)) => (
                format!("`{entity}` has more than {} levels of parents (`limits.max_depth`)", limits.max_depth),
                Some(entity),
            ),
            Err(HierarchyFault::TooManyParents(entity, n)) => (
                format!("`{entity}` has {n} parents, more than {} (`limits.max_parents`)", limits.max_parents),
                Some(entity),
            ),
        };
        let (origin, line) =
            at.and_then(|uid| self.places.get(&uid).cloned()).unwrap_or_else(|| ("entities".to_owned(), None));
        let mut problem = Diagnostic::error(origin, message);
        problem.line = line;
        self.problems.push(problem);
    }
}
