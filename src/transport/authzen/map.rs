//! From AuthZEN's words to the schema's: types, actions, and what becomes of properties.

use std::borrow::Cow;

use crate::config::{AuthzenSettings, OverlayRule};
use crate::domain::{AccessRequest, Overlay, OverlayMode, RequestError, Uid, Value};
use crate::engine::Snapshot;
use crate::transport::authzen::wire::{Entity, Evaluation};

/// An evaluation as a request, and what of it the decision will not see.
pub(super) struct Mapped<'a> {
    pub(super) request: AccessRequest<'a>,
    pub(super) ignored: Vec<String>,
}

/// Maps `evaluation` to a request at `snapshot`.
pub(super) fn request<'a>(
    settings: &AuthzenSettings,
    snapshot: &Snapshot,
    evaluation: Evaluation<'a>,
) -> Result<Mapped<'a>, RequestError> {
    let Evaluation { subject, action, resource, context } = evaluation;
    let mut ignored = Vec::new();
    let action_type = match &settings.namespace {
        Some(namespace) => Cow::Owned(format!("{namespace}::Action")),
        None => Cow::Borrowed("Action"),
    };
    let action_uid = Uid::new(action_type, action.name)
        .map_err(|error| RequestError::new("invalid_uid", "/action/name", error.to_string()))?;

    let context = if action.properties.as_object().is_some_and(|members| !members.is_empty()) {
        let context = with_action_properties(context, action.properties, &mut ignored);
        let mut dropped = Vec::new();
        let context = snapshot.conform_context(&action_uid, context, &mut dropped);
        ignored.extend(dropped.into_iter().map(|name| match name.strip_prefix("context.action") {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("action.properties{rest}"),
            _ => name,
        }));
        context
    } else {
        snapshot.conform_context(&action_uid, context, &mut ignored)
    };
    let (principal, subject_overlay) = entity(settings, snapshot, subject, "subject", &mut ignored)?;
    let (resource, resource_overlay) = entity(settings, snapshot, resource, "resource", &mut ignored)?;

    let mut request = AccessRequest::new(principal, action_uid, resource);
    request.context = context;
    request.overlays = merge(subject_overlay, resource_overlay);
    Ok(Mapped { request, ignored })
}

/// Cedar's actions carry nothing of a request: their properties go to `context.action`, over the caller's own.
fn with_action_properties<'a>(context: Value<'a>, properties: Value<'a>, ignored: &mut Vec<String>) -> Value<'a> {
    let Value::Object(mut members) = context else {
        return context;
    };
    let before = members.len();
    members.retain(|(key, _)| key != "action");
    if members.len() < before {
        ignored.push("context.action".to_owned());
    }
    members.push((Cow::Borrowed("action"), properties));
    Value::Object(members)
}

fn entity<'a>(
    settings: &AuthzenSettings,
    snapshot: &Snapshot,
    entity: Entity<'a>,
    role: &str,
    ignored: &mut Vec<String>,
) -> Result<(Uid<'a>, Option<Overlay<'a>>), RequestError> {
    let type_name = settings.cedar_type(&entity.type_name).into_owned();
    let rule = settings.overlay.rule(&type_name);
    let uid = Uid::new(Cow::<'a, str>::Owned(type_name), entity.id)
        .map_err(|error| RequestError::new("invalid_uid", format!("/{role}/type"), error.to_string()))?;
    let prefix = format!("{role}.properties");
    if entity.properties.as_object().is_none_or(<[_]>::is_empty) {
        return Ok((uid, None));
    }
    let mode = match rule {
        OverlayRule::Deny => {
            for (key, _) in entity.properties.as_object().unwrap_or_default() {
                ignored.push(format!("{prefix}.{key}"));
            }
            return Ok((uid, None));
        }
        OverlayRule::Fill => OverlayMode::Fill,
        OverlayRule::Override => OverlayMode::Override,
    };
    let attributes = snapshot.conform_attributes(&uid.type_name, entity.properties, &prefix, ignored);
    if attributes.as_object().is_none_or(<[_]>::is_empty) {
        return Ok((uid, None));
    }
    Ok((uid.clone(), Some(Overlay { entity: uid, attributes, mode })))
}

/// At most one overlay an entity. Where subject and resource are one, the rule is one too, since it is the type's, and
/// the resource's properties win.
fn merge<'a>(subject: Option<Overlay<'a>>, resource: Option<Overlay<'a>>) -> Vec<Overlay<'a>> {
    match (subject, resource) {
        (Some(mut subject), Some(resource)) if subject.entity == resource.entity => {
            if let (Value::Object(members), Value::Object(over)) = (&mut subject.attributes, resource.attributes) {
                members.retain(|(key, _)| !over.iter().any(|(k, _)| k == key));
                members.extend(over);
            }
            vec![subject]
        }
        (subject, resource) => subject.into_iter().chain(resource).collect(),
    }
}
