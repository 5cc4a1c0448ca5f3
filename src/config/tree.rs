//! One tree of configuration values from several sources, each node knowing where it was written.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::config::Origin;

/// The keys that lead to a node; positions in a list are written as numbers.
pub(super) type Path = Vec<String>;

/// The merged configuration.
#[derive(Debug)]
pub(super) struct Tree {
    /// The values. The root is an object unless a source says something else.
    pub(super) value: Value,
    origins: BTreeMap<Path, Origin>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { value: Value::Object(Map::new()), origins: BTreeMap::new() }
    }
}

impl Tree {
    /// The flags alone.
    pub(super) fn of_flags(flags: &Value) -> Self {
        let mut tree = Self::default();
        tree.merge(flags.clone(), &|_| Origin::CommandLine);
        tree
    }

    /// Lays `incoming` over the tree: objects merge, anything else replaces.
    pub(super) fn merge(&mut self, incoming: Value, origin_of: &dyn Fn(&[String]) -> Origin) {
        merge(&mut self.value, incoming, &mut Path::new(), &mut self.origins, origin_of);
    }

    /// Removes every `null`, so that the default takes its place.
    pub(super) fn drop_nulls(&mut self) {
        self.value = without_nulls(self.value.take());
    }

    /// Where the node at `path`, or else the nearest one above it, was written.
    pub(super) fn origin(&self, path: &[impl AsRef<str>]) -> Origin {
        let path: Path = path.iter().map(|key| key.as_ref().to_owned()).collect();
        (0..=path.len()).rev().find_map(|length| self.origins.get(&path[..length])).cloned().unwrap_or(Origin::Default)
    }

    /// The node at `path`.
    pub(super) fn get(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |node, key| match node {
            Value::Object(members) => members.get(key),
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Takes the node at `path` out of the tree; `None` if there is none.
    pub(super) fn remove(&mut self, path: &[String]) -> Option<Value> {
        let Some((last, above)) = path.split_last() else {
            return Some(std::mem::replace(&mut self.value, Value::Object(Map::new())));
        };
        let parent = above.iter().try_fold(&mut self.value, |node, key| match node {
            Value::Object(members) => members.get_mut(key),
            Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
            _ => None,
        })?;
        match parent {
            Value::Object(members) => members.remove(last),
            // an item stays as null: taking it out would move its siblings away from their origins
            Value::Array(items) => Some(items.get_mut(last.parse::<usize>().ok()?)?.take()).filter(|v| !v.is_null()),
            _ => None,
        }
    }
}

fn merge(
    target: &mut Value,
    incoming: Value,
    path: &mut Path,
    origins: &mut BTreeMap<Path, Origin>,
    origin_of: &dyn Fn(&[String]) -> Origin,
) {
    match (target, incoming) {
        (Value::Object(target), Value::Object(incoming)) => {
            for (key, value) in incoming {
                path.push(key.clone());
                merge(target.entry(key).or_insert(Value::Null), value, path, origins, origin_of);
                path.pop();
            }
        }
        (target, incoming) => {
            *target = incoming;
            origins.retain(|known, _| !known.starts_with(path));
            record(target, path, origins, origin_of);
        }
    }
}

fn record(
    node: &Value,
    path: &mut Path,
    origins: &mut BTreeMap<Path, Origin>,
    origin_of: &dyn Fn(&[String]) -> Origin,
) {
    origins.insert(path.clone(), origin_of(path));
    let mut below = |key: String, value: &Value| {
        path.push(key);
        record(value, path, origins, origin_of);
        path.pop();
    };
    match node {
        Value::Object(members) => members.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| below(i.to_string(), value)),
        _ => {}
    }
}

/// The value without the object members that are `null`, at every level.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Null => Value::Object(Map::new()),
        // an item that is nothing is for the reader to report
        Value::Array(items) => Value::Array(
            items.into_iter().map(|item| if item.is_null() { item } else { without_nulls(item) }).collect(),
        ),
        other => other,
    }
}

/// A path as people write it: `listen.admin`, `decision_log.mask[2]`.
pub(super) fn shown(path: &[impl AsRef<str>]) -> String {
    let mut out = String::new();
    for key in path {
        let key = key.as_ref();
        if !out.is_empty() && !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{key}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(key);
        }
    }
    out
}
