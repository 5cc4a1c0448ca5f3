//! Tests that are written by the program, in the form that people write them.

use std::io::{self, Write};

use palisade_engine::model::{AccessRequest, Decision, Uid};
use serde_json::{Value as Json, json};

use crate::cli::test::model::{EntityChange, Store};

/// One test that holds what a decision is.
pub(in crate::cli) struct Draft<'d> {
    /// Its name, unique in its file.
    pub name: &'d str,
    /// Why it must be so.
    pub why: Option<&'d str>,
    pub request: &'d AccessRequest<'static>,
    pub store: &'d Store,
    /// The file of tests whose entities it needs, where they are not to be written out.
    pub beside: Option<&'d str>,
    pub decision: &'d Decision,
}

/// Writes a test as one element of the list `tests`, each line behind `indent`. The whole values are JSON, which is YAML
/// as well.
pub(in crate::cli) fn write(draft: &Draft<'_>, indent: &str, to: &mut dyn Write) -> io::Result<()> {
    let Draft { name, why, request, store, beside, decision } = draft;
    let text = |text: &str| in_yaml(&Json::from(text));
    if let Some(file) = beside {
        writeln!(to, "{indent}# with the entities of {file}")?;
    }
    writeln!(to, "{indent}- name: {}", text(name))?;
    if let Some(why) = why {
        writeln!(to, "{indent}  why: {}", text(why))?;
    }
    for (key, uid) in [("principal", &request.principal), ("action", &request.action), ("resource", &request.resource)]
    {
        writeln!(to, "{indent}  {key}: {}", quoted(uid))?;
    }
    writeln!(to, "{indent}  context: {}", in_yaml(&request.context.to_json()))?;
    writeln!(to, "{indent}  expect: {}", if decision.outcome.is_allow() { "allow" } else { "deny" })?;
    let ids: Vec<&str> = decision.reasons.iter().map(|id| &**id).collect();
    writeln!(to, "{indent}  reason: {}", in_yaml(&json!(ids)))?;
    if !decision.errors.is_empty() {
        writeln!(to, "{indent}  errors: {}", decision.errors.len())?;
    }
    if let Some(palisade_engine::model::DeniedBy::UnknownEntity { .. }) = decision.denied_by {
        writeln!(to, "{indent}  unknown: true")?;
    }
    let Store::Changed(changes) = store else { return Ok(()) };
    if beside.is_some() {
        return Ok(());
    }
    let removed: Vec<Json> = changes
        .iter()
        .filter_map(|change| match change {
            EntityChange::Remove { uid, .. } => Some(named(uid)),
            EntityChange::Put { .. } => None,
        })
        .collect();
    let put: Vec<Json> = changes.iter().filter_map(entity).collect();
    if !put.is_empty() {
        writeln!(to, "{indent}  entities:")?;
        put.iter().try_for_each(|entity| writeln!(to, "{indent}    - {}", in_yaml(entity)))?;
    }
    if !removed.is_empty() {
        writeln!(to, "{indent}  without: {}", in_yaml(&Json::Array(removed)))?;
    }
    Ok(())
}

fn entity(change: &EntityChange) -> Option<Json> {
    let EntityChange::Put { uid, like, attributes, unset, parents, tags, .. } = change else { return None };
    let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    let mut written = json!({"uid": named(uid)});
    let mut set = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            written[key] = value;
        }
    };
    set("like", like.as_ref().map(named));
    set("attrs", Some(read(attributes)).filter(|attributes: &Json| *attributes != json!({})));
    set("unset", Some(json!(unset)).filter(|_| !unset.is_empty()));
    set("parents", parents.as_ref().map(|parents| parents.iter().map(named).collect()));
    set("tags", tags.as_deref().map(read));
    Some(written)
}

fn named(uid: &Uid<'_>) -> Json {
    json!({"type": uid.type_name, "id": uid.id})
}

/// JSON that is YAML as well: what YAML does not take as it is, and stands in texts alone, is escaped.
fn in_yaml(value: &Json) -> String {
    let mut written = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                written.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => written.push(c),
        }
    }
    written
}

/// A uid in full, as a YAML text in single quotes.
fn quoted(uid: &Uid<'_>) -> String {
    format!("'{}'", uid.to_string().replace('\'', "''"))
}
