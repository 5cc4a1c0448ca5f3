//! From AuthZEN's words to the schema's: types, actions, and what happens to properties.
//!
//! Each part of an evaluation is mapped for itself, so that a part which many evaluations share is mapped once.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::config::{AuthzenSettings, OverlayRule};
use crate::transport::authzen::wire::{Action, Entity};
use palisade_engine::model::{Overlay, OverlayMode, RequestError, Uid, Value};
use palisade_engine::{Dropped, Snapshot};

/// A subject or a resource.
pub(super) struct Party<'a> {
    pub(super) uid: Uid<'a>,
    pub(super) overlay: Option<Overlay<'a>>,
    pub(super) ignored: Dropped,
}

/// An action, with the properties that go to the context.
pub(super) struct Doing<'a> {
    pub(super) uid: Uid<'a>,
    /// An object.
    pub(super) properties: Value<'a>,
}

/// A context as an action takes it.
pub(super) struct Circumstances<'a> {
    pub(super) context: Value<'a>,
    pub(super) ignored: Dropped,
}

pub(super) fn action<'a>(settings: &AuthzenSettings, action: Action<'a>) -> Result<Doing<'a>, RequestError> {
    let action_type = match &settings.namespace {
        Some(namespace) => Cow::Owned(format!("{namespace}::Action")),
        None => Cow::Borrowed("Action"),
    };
    let uid = Uid::new(action_type, action.name)
        .map_err(|error| RequestError::new("invalid_uid", "/action/name", error.to_string()))?;
    Ok(Doing { uid, properties: action.properties })
}

/// The context for an action, with the action's properties in it.
pub(super) fn context<'a>(
    snapshot: &Snapshot,
    action: &Uid<'_>,
    context: Value<'a>,
    properties: Value<'a>,
) -> Circumstances<'a> {
    let mut ignored = Dropped::default();
    if properties.as_object().is_none_or(<[_]>::is_empty) {
        let context = snapshot.conform_context(action, context, &mut ignored);
        return Circumstances { context, ignored };
    }
    let context = with_action_properties(context, properties, &mut ignored);
    let mut dropped = Dropped::default();
    let context = snapshot.conform_context(action, context, &mut dropped);
    for name in &mut dropped.names {
        if let Some(rest) = name.strip_prefix("context.action")
            && (rest.is_empty() || rest.starts_with('.'))
        {
            *name = format!("action.properties{rest}");
        }
    }
    ignored.add(&dropped);
    Circumstances { context, ignored }
}

/// Cedar's actions carry nothing of a request: their properties go to `context.action`, over the caller's own.
fn with_action_properties<'a>(context: Value<'a>, properties: Value<'a>, ignored: &mut Dropped) -> Value<'a> {
    let Value::Object(mut members) = context else {
        return context;
    };
    let before = members.len();
    members.retain(|(key, _)| key != "action");
    if members.len() < before {
        ignored.note(&"context.action");
    }
    members.push((Cow::Borrowed("action"), properties));
    Value::Object(members)
}

/// A subject or a resource, as `role` says.
pub(super) fn party<'a>(
    settings: &AuthzenSettings,
    snapshot: &Snapshot,
    entity: Entity<'a>,
    role: &str,
) -> Result<Party<'a>, RequestError> {
    let type_name = settings.cedar_type(&entity.type_name).into_owned();
    let rule = settings.overlay.rule(&type_name);
    let uid = Uid::new(Cow::<'a, str>::Owned(type_name), entity.id)
        .map_err(|error| RequestError::new("invalid_uid", format!("/{role}/type"), error.to_string()))?;
    let mut ignored = Dropped::default();
    if entity.properties.as_object().is_none_or(<[_]>::is_empty) {
        return Ok(Party { uid, overlay: None, ignored });
    }
    let prefix = format!("{role}.properties");
    let mode = match rule {
        OverlayRule::Deny => {
            for (key, _) in entity.properties.as_object().unwrap_or_default() {
                ignored.note(&format_args!("{prefix}.{key}"));
            }
            return Ok(Party { uid, overlay: None, ignored });
        }
        OverlayRule::Fill => OverlayMode::Fill,
        OverlayRule::Override => OverlayMode::Override,
    };
    let attributes = snapshot.conform_attributes(&uid.type_name, entity.properties, &prefix, &mut ignored);
    let overlay = attributes.as_object().is_some_and(|members| !members.is_empty()).then(|| Overlay {
        entity: uid.clone(),
        attributes,
        mode,
    });
    Ok(Party { uid, overlay, ignored })
}

/// The one overlay of an entity that is subject and resource. The rule is one too, since it is the type's; the resource's
/// properties win.
pub(super) fn merge<'a>(mut subject: Overlay<'a>, resource: Overlay<'a>) -> Overlay<'a> {
    if let (Value::Object(members), Value::Object(over)) = (&mut subject.attributes, resource.attributes) {
        // a set: either side may have as many members as a body has room for
        let replaced: HashSet<&str> = over.iter().map(|(key, _)| &**key).collect();
        members.retain(|(key, _)| !replaced.contains(&**key));
        drop(replaced);
        members.extend(over);
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as a body has room for: this would take minutes if each were compared with each.
    #[test]
    fn many_properties_merge() {
        let overlay = |from: i64| Overlay {
            entity: Uid::new("User", "a").unwrap(),
            attributes: Value::Object(
                (from..from + 200_000).map(|n| (Cow::Owned(format!("p{n}")), Value::Long(from))).collect(),
            ),
            mode: OverlayMode::Fill,
        };
        let merged = merge(overlay(0), overlay(100_000)).attributes;
        let members = merged.as_object().unwrap();
        assert_eq!(members.len(), 300_000);
        let winners = |from: i64| members.iter().filter(|(_, value)| *value == Value::Long(from)).count();
        assert_eq!((winners(0), winners(100_000)), (100_000, 200_000));
    }
}
