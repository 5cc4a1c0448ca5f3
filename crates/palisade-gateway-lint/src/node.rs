//! A node of a document in YAML, JSON or TOML, with where it stands.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::NOT_CHECKED;
use crate::directive::DEEPEST;
use palisade_engine::model::Diagnostic;
use palisade_text::{Place, located, yaml};

/// The values of a document, and the line of each.
pub(super) struct Document {
    pub(super) value: Value,
    lines: BTreeMap<Vec<String>, usize>,
}

// === impl Document ===

impl Document {
    /// A document put together from dotted names, such as `http.routers.a.rule`, each with a text and a line.
    pub(super) fn dotted(entries: &[(Vec<String>, String, usize)]) -> Self {
        let (mut value, mut lines) = (Value::Object(Map::new()), BTreeMap::new());
        for (path, text, line) in entries {
            for length in 1..=path.len() {
                lines.entry(path[..length].to_vec()).or_insert(*line);
            }
            let Some((last, way)) = path.split_last() else { continue };
            let mut at = &mut value;
            for step in way {
                // a text that is a table too, as `tls=true` beside `tls.options=x`, is a table
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at = &mut at[step.as_str()];
            }
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            if !at.get(last.as_str()).is_some_and(Value::is_object) {
                at[last.as_str()] = Value::from(text.as_str());
            }
        }
        Self { value, lines }
    }

    /// Puts what a wrapper has under `inner` into its place, for each object that `wraps` gives a new type for.
    pub(super) fn unwrapped(mut self, inner: &str, wraps: &dyn Fn(&Map<String, Value>) -> Option<Value>) -> Self {
        let mut ways = Vec::new();
        unwrap(&mut self.value, inner, wraps, &mut Vec::new(), &mut ways);
        // the outermost come first, and what is in them was moved already
        for way in ways {
            let within: Vec<_> = self.lines.iter().filter(|(path, _)| path.starts_with(&way)).collect();
            let moved: Vec<(Vec<String>, usize)> = within
                .into_iter()
                .filter(|(path, _)| path.get(way.len()).is_some_and(|step| step == inner) && path.len() > way.len() + 1)
                .map(|(path, line)| ([&path[..way.len()], &path[way.len() + 1..]].concat(), *line))
                .collect();
            self.lines.extend(moved);
        }
        self
    }
}

fn unwrap(
    value: &mut Value,
    inner: &str,
    wraps: &dyn Fn(&Map<String, Value>) -> Option<Value>,
    way: &mut Vec<String>,
    ways: &mut Vec<Vec<String>>,
) {
    if let Value::Object(members) = value
        && let Some(kind) = wraps(members)
    {
        if let Some(Value::Object(own)) = members.remove(inner) {
            members.extend(own);
        }
        members.insert("@type".to_owned(), kind);
        ways.push(way.clone());
    }
    let each: Vec<(String, &mut Value)> = match value {
        Value::Object(members) => members.iter_mut().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter_mut().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in each {
        way.push(step);
        unwrap(value, inner, wraps, way, ways);
        way.pop();
    }
}

/// Reads YAML or JSON, with names as `canonical` writes them.
///
/// # Errors
/// If it cannot be read, or two names become one.
pub(super) fn yaml(origin: &str, text: &str, canonical: fn(&str) -> String) -> Result<Document, Diagnostic> {
    shallow(origin, text)?;
    match yaml::parse(text) {
        Ok(document) => renamed(origin, text, document.value, &document.lines.paths(), canonical),
        Err(error) => {
            let problem = Diagnostic::error(origin, error.message).rule(NOT_CHECKED);
            Err(match error.line {
                Some(line) => located(problem, text, line),
                None => problem,
            })
        }
    }
}

/// Refuses brackets in brackets that no reader's stack is made for.
fn shallow(origin: &str, text: &str) -> Result<(), Diagnostic> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            let problem = Diagnostic::error(origin, "too many brackets in one another").rule(NOT_CHECKED);
            return Err(problem.at(text, at));
        }
    }
    Ok(())
}

/// Reads TOML likewise.
///
/// # Errors
/// If it cannot be read, or two names become one.
pub(super) fn toml(origin: &str, text: &str, canonical: fn(&str) -> String) -> Result<Document, Diagnostic> {
    shallow(origin, text)?;
    let table = DeTable::parse(text).map_err(|error| {
        let problem = Diagnostic::error(origin, format!("not valid TOML: {}", error.message())).rule(NOT_CHECKED);
        match error.span() {
            Some(span) => problem.at(text, span.start),
            None => problem,
        }
    })?;
    let mut lines = BTreeMap::new();
    let starts: Vec<usize> =
        std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
    let line = |offset: usize| starts.partition_point(|start| *start <= offset);
    let value = members(table.get_ref(), &mut Vec::new(), &mut lines, &line);
    renamed(origin, text, value, &lines, canonical)
}

type Lines = BTreeMap<Vec<String>, usize>;

fn members(table: &DeTable<'_>, path: &mut Vec<String>, lines: &mut Lines, line: &dyn Fn(usize) -> usize) -> Value {
    let mut members = Map::new();
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        lines.insert(path.clone(), line(key.span().start));
        let value = plain(value.get_ref(), path, lines, line);
        members.insert(key.get_ref().to_string(), value);
        path.pop();
    }
    Value::Object(members)
}

fn plain(value: &DeValue<'_>, path: &mut Vec<String>, lines: &mut Lines, line: &dyn Fn(usize) -> usize) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Null, |number| Value::Number(number.into())),
        DeValue::Float(number) => {
            number.as_str().parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
        }
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(_) => Value::Null,
        DeValue::Array(items) => {
            let mut list = Vec::new();
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                lines.insert(path.clone(), line(item.span().start));
                list.push(plain(item.get_ref(), path, lines, line));
                path.pop();
            }
            Value::Array(list)
        }
        DeValue::Table(table) => members(table, path, lines, line),
    }
}

/// The document with each name as `canonical` writes it.
fn renamed(
    origin: &str,
    text: &str,
    value: Value,
    lines: &Lines,
    canonical: fn(&str) -> String,
) -> Result<Document, Diagnostic> {
    let name = |step: &String| canonical(step);
    let mut twice = None;
    let value = rename(value, canonical, &mut twice);
    let renamed: Lines = lines.iter().map(|(path, line)| (path.iter().map(name).collect(), *line)).collect();
    match twice {
        Some(key) => {
            let line = renamed.iter().find(|(path, _)| path.last() == Some(&key)).map(|(_, line)| *line);
            let problem =
                Diagnostic::error(origin, format!("`{key}` is there twice, in two spellings")).rule(NOT_CHECKED);
            Err(line.map_or(problem.clone(), |line| located(problem, text, line)))
        }
        None => Ok(Document { value, lines: renamed }),
    }
}

fn rename(value: Value, canonical: fn(&str) -> String, twice: &mut Option<String>) -> Value {
    match value {
        Value::Object(members) => {
            let mut renamed = Map::new();
            for (key, value) in members {
                let key = canonical(&key);
                if renamed.insert(key.clone(), rename(value, canonical, twice)).is_some() {
                    *twice = Some(key);
                }
            }
            Value::Object(renamed)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| rename(item, canonical, twice)).collect()),
        value => value,
    }
}

/// A value and its place. What is not there is nothing, so that long ways through a document need no questions.
#[derive(Debug, Clone)]
pub(super) struct Node<'d> {
    pub(super) value: &'d Value,
    pub(super) place: Place,
}

// === impl Node ===

impl<'d> Node<'d> {
    pub(super) fn root(origin: &str, text: &str, document: &'d Document) -> Self {
        Self { value: &document.value, place: Place::root(origin, text, palisade_text::Lines::at(&document.lines)) }
    }

    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Self { value, place: self.place.at(&[key]) })
    }

    /// The node at the end of a way.
    pub(super) fn way(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self.clone(), |node, key| node.get(key))
    }

    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(at, value)| Self { value, place: self.place.at(&[&at.to_string()]) }).collect()
    }

    /// The items below a key.
    pub(super) fn list(&self, key: &str) -> Vec<Self> {
        self.get(key).map(|list| list.items()).unwrap_or_default()
    }

    /// The members, by name.
    pub(super) fn members(&self) -> Vec<(&'d str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), Self { value, place: self.place.at(&[key]) })).collect()
    }

    /// The text below a key, or an empty one.
    pub(super) fn text(&self, key: &str) -> &'d str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a switch is on, in any way that a reader may take for it.
    pub(super) fn is_true(&self, key: &str) -> bool {
        match self.value.get(key) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::String(word)) => {
                matches!(word.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1" | "t" | "y")
            }
            _ => false,
        }
    }

    /// All nodes below, itself included, that `wanted` picks.
    pub(super) fn all(&self, wanted: &dyn Fn(&Value) -> bool) -> Vec<Self> {
        let mut found = Vec::new();
        self.collect(self.value, &mut Vec::new(), wanted, &mut found);
        found
    }

    /// Most nodes are not wanted: a place is made for those that are.
    fn collect(&self, value: &'d Value, way: &mut Vec<String>, wanted: &dyn Fn(&Value) -> bool, found: &mut Vec<Self>) {
        if wanted(value) {
            let steps: Vec<&str> = way.iter().map(String::as_str).collect();
            found.push(Self { value, place: self.place.at(&steps) });
        }
        let members = value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value));
        let items = value.as_array().into_iter().flatten().enumerate().map(|(at, value)| (at.to_string(), value));
        for (step, value) in members.chain(items) {
            way.push(step);
            self.collect(value, way, wanted, found);
            way.pop();
        }
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn warning(
        &self,
        rule: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        let message = message.into();
        #[cfg(test)]
        crate::tests::sites::note(rule, &message, std::panic::Location::caller());
        self.place.error(message).warning().rule(rule).help(help)
    }
}

/// Whether `key` is a member of anything in a value.
pub(super) fn mentions(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| name == key || mentions(value, key)),
        Value::Array(items) => items.iter().any(|value| mentions(value, key)),
        _ => false,
    }
}
