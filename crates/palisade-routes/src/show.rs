//! Checks in the short form that `routes explain` writes and tests of routes expect.

use palisade_engine::model::{AccessRequest, Uid, Value};

/// `MoveDevice Device::d-1 target=Customer::DK`: action, resource, and what the route put into the context.
///
/// The namespace of the action is left out everywhere, and quotes where an id needs none.
#[must_use]
pub fn show_check(check: &AccessRequest<'_>) -> String {
    let namespace = check.action.type_name.strip_suffix("Action").unwrap_or_default();
    let mut out = format!("{} {}", check.action.id, show_uid(&check.resource, namespace));
    for (name, value) in check.context.as_object().unwrap_or_default() {
        if name != "auth" && name != "token" {
            out.push_str(&format!(" {name}={}", show_value(value, namespace)));
        }
    }
    out
}

/// An entity, without `namespace` (`Fleet::`) before its type.
#[must_use]
pub fn show_uid(uid: &Uid<'_>, namespace: &str) -> String {
    let type_name = uid.type_name.strip_prefix(namespace).unwrap_or(&uid.type_name);
    let bare = !uid.id.is_empty() && uid.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:@/".contains(&b));
    if bare { format!("{type_name}::{}", uid.id) } else { format!("{type_name}::\"{}\"", uid.id.escape_debug()) }
}

fn show_value(value: &Value<'_>, namespace: &str) -> String {
    let entity = value.get("__entity").and_then(|entity| {
        Some(Uid { type_name: entity.get("type")?.as_str()?.into(), id: entity.get("id")?.as_str()?.into() })
    });
    let call = value
        .get("__extn")
        .and_then(|call| Some(format!("{}({})", call.get("fn")?.as_str()?, call.get("arg")?.as_str()?)));
    match (entity, call, value.as_str()) {
        (Some(uid), ..) => show_uid(&uid, namespace),
        (None, Some(call), _) => call,
        (None, None, Some(text)) => text.to_owned(),
        (None, None, None) => value.to_json().to_string(),
    }
}
