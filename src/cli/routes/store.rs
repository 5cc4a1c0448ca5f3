//! What the entities of a bundle refer to, read from its documents.

use std::collections::HashMap;

use serde_json::Value;

use palisade_engine::model::json::in_words;
use palisade_engine::model::{Bundle, Diagnostic, Uid};
use palisade_routes::Entities;

/// Attributes by entity.
pub(super) struct Store(HashMap<(String, String), Value>);

impl Store {
    /// Reads the documents. Whether what they hold fits the schema is not asked here.
    ///
    /// # Errors
    /// Each document that cannot be read, and each line of one that is no JSON.
    pub(super) fn read(bundle: &Bundle) -> Result<Self, Vec<Diagnostic>> {
        let mut entities = HashMap::new();
        let mut problems = Vec::new();
        for document in &bundle.entities {
            let origin = document.origin.as_str();
            let bytes = match document.bytes() {
                Ok(bytes) => bytes,
                Err(error) => {
                    problems.push(Diagnostic::error(origin, format!("cannot be read: {error}")));
                    continue;
                }
            };
            let text = String::from_utf8_lossy(&bytes);
            let mut listed: Vec<Value> = Vec::new();
            let mut wrong = |line: usize, error: &serde_json::Error| {
                let mut problem = Diagnostic::error(origin, format!("not JSON: {}", in_words(&error.to_string())));
                problem.line = Some(line);
                problems.push(problem);
            };
            if text.trim_start().starts_with('[') {
                match serde_json::from_str(&text) {
                    Ok(all) => listed = all,
                    Err(error) => wrong(error.line(), &error),
                }
            } else {
                for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                    match serde_json::from_str(line) {
                        Ok(one) => listed.push(one),
                        Err(error) => wrong(at + 1, &error),
                    }
                }
            }
            for mut entity in listed {
                if let Some(key) = entity.get("uid").and_then(reference)
                    && let Some(attributes) = entity.get_mut("attrs").map(Value::take)
                {
                    entities.insert(key, attributes);
                }
            }
        }
        if problems.is_empty() { Ok(Self(entities)) } else { Err(problems) }
    }
}

impl Entities for Store {
    fn reference(&self, entity: &Uid<'_>, attribute: &str) -> Option<Uid<'static>> {
        let attributes = self.0.get(&(entity.type_name.to_string(), entity.id.to_string()))?;
        let (type_name, id) = reference(attributes.get(attribute)?)?;
        Uid::new(type_name, id).ok()
    }
}

/// Type and id of a reference, with or without `__entity` around it.
fn reference(value: &Value) -> Option<(String, String)> {
    let value = value.get("__entity").unwrap_or(value);
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Some((text("type")?, text("id")?))
}
