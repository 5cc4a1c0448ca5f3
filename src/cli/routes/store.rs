//! What the entities of a bundle refer to, read from its documents.

use std::collections::HashMap;

use serde_json::Value;

use crate::domain::{Bundle, Uid};
use crate::gateway::Entities;

/// Attributes by entity.
pub(super) struct Store(HashMap<(String, String), Value>);

impl Store {
    /// Reads the documents. What is no entity is left out: whether a bundle is whole is not asked here.
    pub(super) fn read(bundle: &Bundle) -> Self {
        let mut entities = HashMap::new();
        for document in &bundle.entities {
            let Ok(bytes) = document.bytes() else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let listed: Vec<Value> = if text.trim_start().starts_with('[') {
                serde_json::from_str(&text).unwrap_or_default()
            } else {
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
            };
            for mut entity in listed {
                if let Some(key) = entity.get("uid").and_then(reference)
                    && let Some(attributes) = entity.get_mut("attrs").map(Value::take)
                {
                    entities.insert(key, attributes);
                }
            }
        }
        Self(entities)
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
