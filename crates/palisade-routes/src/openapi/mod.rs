//! OpenAPI documents of 3.0, 3.1 and 3.2 as files of routes: `x-palisade` at an operation says what it becomes.
//!
//! `x-palisade` at the root says what a file of routes says before its `routes`; at an operation it is a
//! route without `match`, or a list of routes that exclude one another by `when`. The action is the
//! `operationId` where it names none.
//!
//! A document says more than a route can hold. So every construct that decides which requests are for an operation
//! is either held exactly, or the operation is not mapped, and the finding says why; the rest loads. What is not
//! mapped is refused: it keeps its requests from the routes of wider paths.

mod refs;
mod relate;
mod schema;
mod serve;
mod servers;
mod template;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::bounds::{MAX_PROBLEMS, MAX_ROUTES};
use crate::guard::Guards;
use crate::openapi::relate::{crossings, refuse_the_same};
use crate::openapi::schema::Schemas;
use crate::openapi::serve::{Heads, Serve};
use crate::openapi::template::{Part, Template};
use crate::pattern::Pattern;
use crate::raw::{RawFile, RawRoute, Texts};
use crate::read::{Entry, Findings, Kind, typed};
use crate::shape::Shape;
use palisade_text::Place;

/// The member that holds what is ours.
const EXTENSION: &str = "x-palisade";

/// The members of a path item that are operations. The last is one since 3.2.
const METHODS: [&str; 9] = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

/// The other members of a path item.
const OF_ITEMS: [&str; 6] = ["summary", "description", "servers", "parameters", "$ref", "additionalOperations"];

/// An operation of the document.
#[derive(Debug)]
struct Operation {
    method: String,
    /// Which of the templates.
    path: usize,
    /// `GET /a/{b}` and the operation's id, for people.
    named: String,
    place: Place,
    /// Where it is served.
    heads: Heads,
    outcome: Outcome,
}

/// The outcome of an operation.
#[derive(Debug)]
enum Outcome {
    Mapped {
        matches: String,
        routes: Vec<(RawRoute, Place)>,
        guards: Guards,
    },
    /// It has no `x-palisade`.
    Unmapped,
    /// It cannot be mapped, for this reason.
    Refused(String),
}

/// Reads a document.
pub(super) fn read(document: &Value, place: &Place, findings: &mut Findings) -> Vec<Entry> {
    let Some(query) = version(document, place, findings) else { return Vec::new() };
    let ours_at = place.at(&[EXTENSION]);
    let mut ours = document.get(EXTENSION).cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let strict = match ours.as_object_mut().and_then(|ours| ours.remove("strict")) {
        None => false,
        Some(Value::Bool(strict)) => strict,
        Some(_) => {
            findings.errors.push(ours_at.at(&["strict"]).error("`strict` is `true` or `false`"));
            false
        }
    };
    let Some(file) = typed::<RawFile>(ours, &ours_at, findings) else { return Vec::new() };
    if !file.routes.is_empty() {
        findings.errors.push(ours_at.error("routes are the operations here; put others into a file of their own"));
    }
    let serve = Serve::new(document, file, &ours_at, findings);
    let mut reader = Reader { document, query, place, findings, serve, schemas: Schemas::new(document) };
    let (templates, mut operations) = reader.operations();
    let Reader { serve, .. } = reader;
    refuse_the_same(&templates, &mut operations);
    let mut remarks = serve.finish(&operations, place, findings);
    match crossings(&templates, &operations) {
        Ok(crossings) => remarks.extend(crossings),
        Err(error) => findings.errors.push(place.at(&["paths"]).error(error)),
    }
    tell(&operations, remarks, strict, place, findings);
    // one more than there may be is refused
    operations.into_iter().flat_map(|operation| entries(operation, &templates)).take(MAX_ROUTES + 1).collect()
}

/// Whether the document may have the method `QUERY`; `None` if it is of no version that is read.
fn version(document: &Value, place: &Place, findings: &mut Findings) -> Option<bool> {
    if let Some(version) = document.get("swagger") {
        let version = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
        let message = format!("this is Swagger {version}; OpenAPI 3.0 and 3.1 are read, and 3.2");
        let help = "convert it to OpenAPI 3, as `swagger2openapi` and the editors of OpenAPI do";
        findings.errors.push(place.at(&["swagger"]).error(message).help(help));
        return None;
    }
    let version = match document.get("openapi") {
        Some(Value::String(version)) => version.clone(),
        other => other.map(Value::to_string).unwrap_or_default(),
    };
    let of = |minor: &str| version == minor || version.strip_prefix(minor).is_some_and(|rest| rest.starts_with('.'));
    if of("3.0") || of("3.1") || of("3.2") {
        return Some(of("3.2"));
    }
    let message = format!("this is OpenAPI `{version}`; 3.0 and 3.1 are read, and 3.2");
    findings.errors.push(place.at(&["openapi"]).error(message));
    None
}

struct Reader<'d, 'f> {
    document: &'d Value,
    query: bool,
    place: &'f Place,
    findings: &'f mut Findings,
    serve: Serve<'d>,
    schemas: Schemas<'d>,
}

impl<'d> Reader<'d, '_> {
    /// Every operation, and the templates of their paths.
    fn operations(&mut self) -> (Vec<Template>, Vec<Operation>) {
        let (mut templates, mut operations) = (Vec::new(), Vec::new());
        let paths = match self.document.get("paths") {
            None => return (templates, operations),
            Some(Value::Object(paths)) => paths,
            Some(_) => {
                self.findings.errors.push(self.place.at(&["paths"]).error("`paths` is not a mapping"));
                return (templates, operations);
            }
        };
        for (path, item) in paths {
            let place = self.place.at(&["paths", path]);
            if path.starts_with("x-") {
                continue;
            }
            if !path.starts_with('/') {
                self.findings.errors.push(place.error(format!("`{path}` is not a path: it does not begin with `/`")));
                continue;
            }
            templates.push(Template::read(path));
            self.item(path, templates.len() - 1, item, &place, &templates, &mut operations);
        }
        (templates, operations)
    }

    fn item(
        &mut self,
        path: &str,
        at: usize,
        item: &'d Value,
        place: &Place,
        templates: &[Template],
        operations: &mut Vec<Operation>,
    ) {
        let found = refs::resolve(self.document, item).and_then(|found| {
            let own = item.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            let beside =
                own.filter(|key| !matches!(*key, "$ref" | "summary" | "description") && !key.starts_with("x-"));
            match beside.collect::<Vec<_>>().first() {
                Some(key) if item.get("$ref").is_some() => Err(format!("it has both `$ref` and `{key}`")),
                _ if found.is_object() => Ok(found),
                _ => Err("it is not a mapping".to_owned()),
            }
        });
        let found = match found {
            Ok(found) => found,
            // its operations are not known: whatever they are, they are not mapped
            Err(error) => {
                for method in METHODS {
                    let method = method.to_ascii_uppercase();
                    let named = format!("`{method} {path}`");
                    let outcome = Outcome::Refused(format!("its path is not read: {error}"));
                    let heads = self.serve.of_root();
                    operations.push(Operation { method, path: at, named, place: place.clone(), heads, outcome });
                }
                return;
            }
        };
        for (of, place) in [(item, place.clone()), (found, place.clone())] {
            if of.get(EXTENSION).is_some() {
                let message = format!("`{EXTENSION}` belongs at the root or at an operation, not at a path");
                self.findings.errors.push(place.at(&[EXTENSION]).error(message));
                break;
            }
        }
        let members = found.as_object().into_iter().flatten();
        for (key, operation) in members {
            let methods: Vec<(String, &Value, Place)> = match key.as_str() {
                "additionalOperations" if self.query => {
                    let more = operation.as_object().into_iter().flatten();
                    more.map(|(name, operation)| (name.clone(), operation, place.at(&[key, name]))).collect()
                }
                method if METHODS[..8].contains(&method) || (self.query && method == "query") => {
                    vec![(method.to_ascii_uppercase(), operation, place.at(&[key]))]
                }
                key if OF_ITEMS.contains(&key) || key.starts_with("x-") => continue,
                other => {
                    let message = format!("`{other}` at `{path}` is not an operation, so nothing is mapped for it");
                    self.findings.warnings.push(place.at(&[other]).error(message).warning());
                    continue;
                }
            };
            for (method, operation, place) in methods {
                let id = operation.get("operationId").and_then(Value::as_str);
                let id = id.map(|id| format!(" (`{id}`)")).unwrap_or_default();
                let named = format!("`{method} {path}`{id}");
                let (heads, outcome) = self.operation(&method, path, &templates[at], found, operation, &place);
                operations.push(Operation { method, path: at, named, place, heads, outcome });
            }
        }
    }

    fn operation(
        &mut self,
        method: &str,
        path: &str,
        template: &Template,
        item: &'d Value,
        operation: &'d Value,
        place: &Place,
    ) -> (Heads, Outcome) {
        let heads = self.serve.of(item, operation);
        let known = heads.as_ref().map_or_else(|_| self.serve.of_root(), Clone::clone);
        let Some(ours) = operation.get(EXTENSION) else { return (known, Outcome::Unmapped) };
        let listed: Vec<(&Value, Place)> = match ours {
            Value::Array(routes) => {
                routes.iter().enumerate().map(|(at, r)| (r, place.at(&[EXTENSION, &at.to_string()]))).collect()
            }
            one => vec![(one, place.at(&[EXTENSION]))],
        };
        if listed.is_empty() {
            let message = "the list has no routes; without `x-palisade` requests for the operation are refused";
            self.findings.errors.push(place.at(&[EXTENSION]).error(message));
        }
        let mut routes = Vec::new();
        for (ours, place) in listed {
            let Some(mut raw) = typed::<RawRoute>(ours.clone(), &place, self.findings) else { continue };
            if !raw.matches.0.is_empty() {
                let message = "the operation says what is matched; leave `match` out";
                self.findings.errors.push(place.at(&["match"]).error(message));
                continue;
            }
            if raw.action.is_none() && !raw.public && raw.deny.is_none() {
                raw.action = operation.get("operationId").and_then(Value::as_str).map(str::to_owned);
            }
            routes.push((raw, place));
        }
        if let Err(reason) = heads {
            return (known, Outcome::Refused(reason));
        }
        match self.guarded(method, path, template, item, operation) {
            Ok((matches, guards)) => (known, Outcome::Mapped { matches, routes, guards }),
            Err(reason) => (known, Outcome::Refused(reason)),
        }
    }

    /// The match of an operation, and what its captures must be.
    fn guarded(
        &mut self,
        method: &str,
        path: &str,
        template: &Template,
        item: &'d Value,
        operation: &'d Value,
    ) -> Result<(String, Guards), String> {
        if let Some(trouble) = &template.trouble {
            return Err(trouble.clone());
        }
        let names = template.parts.iter().filter_map(|part| match part {
            Part::Capture(name) => Some((name.as_str(), false)),
            Part::Rest(name) => Some((name.as_str(), true)),
            Part::Literal(_) | Part::Texts(_) => None,
        });
        let names: Vec<(&str, bool)> = names.collect();
        let declared = match names.is_empty() {
            true => std::collections::HashMap::new(),
            false => schema::parameters(self.document, item, operation)?,
        };
        let mut shapes: Vec<(String, Arc<Shape>)> = Vec::new();
        for (name, rest) in names {
            // after a colon the words of routes would have a meaning that they have not here
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
                return Err(format!("`{{{name}}}`: the name of a capture has letters, digits, `-` and `_`"));
            }
            let Some(parameter) = declared.get(name) else {
                return Err(format!("`{path}` has `{{{name}}}`, and no parameter of the path is called `{name}`"));
            };
            let shape = schema::parameter(&mut self.schemas, parameter);
            let shape = shape.map_err(|error| format!("the parameter `{name}`: {error}"))?;
            if shape.is_any() {
                continue;
            }
            if rest {
                return Err(format!("the parameter `{name}`: what takes several segments is held to nothing"));
            }
            shapes.push((name.to_owned(), shape));
        }
        let named = template.pattern(&mut |_, part| match part {
            Part::Capture(name) => Some(format!("{{{name}}}")),
            Part::Rest(name) => Some(format!("{{{name}*}}")),
            Part::Literal(_) | Part::Texts(_) => None,
        });
        let matches = format!("{method} {}", named.ok_or("its path has what no route can match")?);
        Pattern::parse(&matches, "").map(|_| (matches, Guards::new(shapes)))
    }
}

/// Reports what is not mapped: each operation that cannot be, and how many operations were not to be mapped.
fn tell(operations: &[Operation], remarks: Vec<String>, strict: bool, place: &Place, findings: &mut Findings) {
    let mut told = Vec::new();
    let mut more = 0_usize;
    for operation in operations {
        let Outcome::Refused(reason) = &operation.outcome else { continue };
        if told.len() < MAX_PROBLEMS {
            told.push(operation.place.error(format!("{} is not mapped: {reason}", operation.named)));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let message = format!("{more} more operations are not mapped; `palisade routes list --denied` has them all");
        // first, so that it is among those that are listed
        told.insert(0, place.at(&["paths"]).error(message));
    }
    let remarked = remarks.len();
    told.extend(remarks.into_iter().take(MAX_PROBLEMS).map(|remark| place.at(&["servers"]).error(remark)));
    if remarked > MAX_PROBLEMS {
        told.push(place.error(format!("{} more such findings", remarked - MAX_PROBLEMS)));
    }
    if strict {
        findings.errors.extend(told);
    } else {
        findings.warnings.extend(told.into_iter().map(palisade_engine::model::Diagnostic::warning));
    }
    let unmapped = operations.iter().filter(|operation| matches!(operation.outcome, Outcome::Unmapped)).count();
    if unmapped > 0 {
        let message = format!("{unmapped} operations have no `{EXTENSION}`, so requests for them are refused");
        findings.warnings.push(place.at(&["paths"]).error(message).warning());
    }
}

/// What goes into the table for an operation.
fn entries(operation: Operation, templates: &[Template]) -> Vec<Entry> {
    let Operation { method, path, named, place, heads, outcome } = operation;
    let mut entries = Vec::new();
    let Some(template) = templates.get(path) else { return entries };
    let reason = match outcome {
        Outcome::Mapped { matches, routes, guards } => {
            let (guards, mask) = (Arc::new(guards), Some(Arc::new(template.mask(named))));
            for file in heads.iter() {
                for (raw, place) in &routes {
                    let raw = RawRoute { matches: Texts(vec![matches.clone()]), ..raw.clone() };
                    let (file, place, guards, mask) = (file.clone(), place.clone(), guards.clone(), mask.clone());
                    entries.push(Entry { file, raw, place, guards, mask, kind: Kind::Mapped });
                }
            }
            return entries;
        }
        Outcome::Unmapped => format!("{named} has no `{EXTENSION}`"),
        Outcome::Refused(reason) => format!("{named} is not mapped: {reason}"),
    };
    let mask = Some(Arc::new(template.mask(reason.clone())));
    let paths = [
        (Kind::Kept, template.widened()),
        (Kind::Listed, template.shown()),
        (Kind::Listed, Some("/{path*}".to_owned())),
    ];
    let found = paths.into_iter().find_map(|(kind, path)| {
        let matches = format!("{method} {}", path?);
        Pattern::parse(&matches, "").is_ok().then_some((kind, matches))
    });
    // a method that no request has needs no keeping
    if let Some((kind, matches)) = found {
        for file in heads.iter() {
            let raw =
                RawRoute { matches: Texts(vec![matches.clone()]), deny: Some(reason.clone()), ..RawRoute::default() };
            let (file, place, mask) = (file.clone(), place.clone(), mask.clone());
            entries.push(Entry { file, raw, place, guards: Arc::default(), mask, kind });
        }
    }
    entries
}
