//! A node of a configuration of Envoy, with where it stands.

use serde_json::Value;

use crate::domain::Diagnostic;
use crate::gateway::place::Place;

/// A value and its place. What is not there is nothing, so that long ways through a document need no questions.
#[derive(Debug, Clone)]
pub(super) struct Node<'d> {
    pub(super) value: &'d Value,
    pub(super) place: Place,
}

impl<'d> Node<'d> {
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

    /// The text below a key, or an empty one.
    pub(super) fn text(&self, key: &str) -> &'d str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// All nodes below, itself included, that `wanted` picks.
    pub(super) fn all(&self, wanted: &dyn Fn(&Value) -> bool) -> Vec<Self> {
        let mut found = Vec::new();
        self.collect(wanted, &mut found);
        found
    }

    fn collect(&self, wanted: &dyn Fn(&Value) -> bool, found: &mut Vec<Self>) {
        if wanted(self.value) {
            found.push(self.clone());
        }
        for (key, value) in self.value.as_object().into_iter().flatten() {
            Self { value, place: self.place.at(&[key]) }.collect(wanted, found);
        }
        for item in self.items() {
            item.collect(wanted, found);
        }
    }

    pub(super) fn warning(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        self.place.error(message).warning().help(help)
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
