//! A question: may this principal do this action on this resource?

use std::borrow::Cow;

use crate::model::{RequestError, Uid, Value, closest, hint};

/// One access request. It borrows from the body that it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessRequest<'a> {
    /// Who asks.
    pub principal: Uid<'a>,
    /// What for.
    pub action: Uid<'a>,
    /// On what.
    pub resource: Uid<'a>,
    /// The circumstances: an object in Cedar's JSON form.
    pub context: Value<'a>,
    /// Entities that stand in for the whole store, in Cedar's JSON form.
    pub entities: Option<Value<'a>>,
    /// Entities that the request adds to the store.
    pub additional_entities: Option<Value<'a>>,
    /// Attributes that the request lays over stored entities. At most one entry an entity.
    pub overlays: Vec<Overlay<'a>>,
}

/// Attributes that a request brings for an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlay<'a> {
    /// The entity. If the store lacks it, it stands for this request alone, without parents.
    pub entity: Uid<'a>,
    /// An object in Cedar's JSON form.
    pub attributes: Value<'a>,
    /// Which side wins.
    pub mode: OverlayMode,
}

/// Which side wins where a request's attributes meet stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverlayMode {
    /// Stored attributes win; the request adds what is missing.
    Fill,
    /// The request's attributes win.
    Override,
}

/// The members that name entities.
const UIDS: [&str; 3] = ["principal", "action", "resource"];

/// Faults that are found at once: a request may have any number of members.
const MOST_FAULTS: usize = 100;

/// The members that a native request may have.
const MEMBERS: &[&str] = &["principal", "action", "resource", "context", "entities", "additional_entities"];

impl<'a> AccessRequest<'a> {
    /// A request with an empty context and nothing of its own.
    #[must_use]
    pub fn new(principal: Uid<'a>, action: Uid<'a>, resource: Uid<'a>) -> Self {
        Self {
            principal,
            action,
            resource,
            context: Value::empty_object(),
            entities: None,
            additional_entities: None,
            overlays: Vec::new(),
        }
    }

    /// Reads the native form: `{principal, action, resource, context?, entities?, additional_entities?}`.
    ///
    /// # Errors
    /// If a member is missing, unknown or of the wrong type.
    pub fn from_value(value: Value<'a>) -> Result<Self, RequestError> {
        Self::from_value_beside(value, &[])
    }

    /// The same where a request may have `others` besides, which were taken out of it: a name near one of them is reported with it.
    ///
    /// # Errors
    /// If a member is missing, unknown or of the wrong type: the first fault.
    pub fn from_value_beside(value: Value<'a>, others: &[&str]) -> Result<Self, RequestError> {
        Self::read_beside(value, others).map_err(|faults| {
            let first = faults.into_iter().next();
            first.unwrap_or_else(|| RequestError::new("invalid_request", "", "the request cannot be read"))
        })
    }

    /// The same, with every fault.
    ///
    /// # Errors
    /// If members are missing, unknown or of the wrong type.
    pub fn read_beside(value: Value<'a>, others: &[&str]) -> Result<Self, Vec<RequestError>> {
        let Value::Object(members) = value else {
            let message = format!("the request is {}, not an object", value.kind());
            return Err(RequestError::new("invalid_request", "", message).into());
        };
        let mut faults = Vec::new();
        let mut uids = [None, None, None];
        let (mut context, mut entities, mut additional_entities) = (None, None, None);
        for (key, value) in members {
            if faults.len() >= MOST_FAULTS {
                break;
            }
            let uid = UIDS.iter().zip(&mut uids).find(|(name, _)| **name == key);
            match (key.as_ref(), uid) {
                (_, Some((name, uid))) => {
                    *uid = Some(uid_member(value, &pointer(name)).map_err(|fault| faults.push(fault)).ok());
                }
                ("context", _) if matches!(value, Value::Object(_)) => context = Some(value),
                // clients whose serializer writes absent members as null mean absent
                ("context" | "entities" | "additional_entities", _) if value == Value::Null => {}
                ("entities", _) if matches!(value, Value::Array(_)) => entities = Some(value),
                ("additional_entities", _) if matches!(value, Value::Array(_)) => additional_entities = Some(value),
                ("context", _) => faults.push(wrong_type("context", "an object", &value)),
                ("entities" | "additional_entities", _) => {
                    faults.push(wrong_type(&key, "an array of entities", &value));
                }
                (unknown, None) => {
                    let near = hint(unknown, MEMBERS.iter().chain(others).copied());
                    let message = format!("unknown member `{unknown}`; a request has {}{near}", MEMBERS.join(", "));
                    faults.push(RequestError::new("unknown_member", pointer(unknown), message));
                    // what was probably meant is not missing, too
                    let meant = closest(unknown, UIDS);
                    let meant = UIDS.iter().zip(&mut uids).find(|(name, _)| Some(**name) == meant);
                    if let Some((_, uid @ None)) = meant {
                        *uid = Some(None);
                    }
                }
            }
        }
        for (name, _) in UIDS.iter().zip(&uids).filter(|(_, uid)| uid.is_none()) {
            let message = format!("the request lacks `{name}`");
            faults.push(RequestError::new("missing_member", pointer(name), message));
        }
        match uids {
            [Some(Some(principal)), Some(Some(action)), Some(Some(resource))] if faults.is_empty() => Ok(Self {
                principal,
                action,
                resource,
                context: context.unwrap_or(Value::empty_object()),
                entities,
                additional_entities,
                overlays: Vec::new(),
            }),
            _ => Err(faults),
        }
    }

    /// Bytes that the request takes in memory, about: for budgets of what waits.
    #[must_use]
    pub fn weight(&self) -> usize {
        let values = [Some(&self.context), self.entities.as_ref(), self.additional_entities.as_ref()];
        let overlays = self.overlays.iter().map(|overlay| overlay.attributes.weight());
        size_of::<Self>() + values.into_iter().flatten().map(Value::weight).sum::<usize>() + overlays.sum::<usize>()
    }

    /// The same request, owning its text.
    #[must_use]
    pub fn into_owned(self) -> AccessRequest<'static> {
        AccessRequest {
            principal: self.principal.into_owned(),
            action: self.action.into_owned(),
            resource: self.resource.into_owned(),
            context: self.context.into_owned(),
            entities: self.entities.map(Value::into_owned),
            additional_entities: self.additional_entities.map(Value::into_owned),
            overlays: self
                .overlays
                .into_iter()
                .map(|overlay| Overlay {
                    entity: overlay.entity.into_owned(),
                    attributes: overlay.attributes.into_owned(),
                    mode: overlay.mode,
                })
                .collect(),
        }
    }
}

/// Reads a uid: `Type::"id"` as a string, or an object of `type` and `id`, also inside `__entity`.
///
/// # Errors
/// If the value is anything else; the error points at `pointer`.
pub fn uid_member<'a>(value: Value<'a>, pointer: &str) -> Result<Uid<'a>, RequestError> {
    let error = |message: String| RequestError::new("invalid_uid", pointer, message);
    match value {
        Value::String(Cow::Borrowed(text)) => Uid::parse(text).map_err(|e| error(e.to_string())),
        Value::String(Cow::Owned(text)) => Uid::parse_owned(text).map_err(|e| error(e.to_string())),
        Value::Object(mut members) => {
            // `__entity` beside anything else could be read as either of two entities
            if let [(key, Value::Object(inner))] = members.as_mut_slice()
                && key == "__entity"
            {
                members = std::mem::take(inner);
            }
            let (mut type_name, mut id) = (None, None);
            for (key, value) in members {
                match (key.as_ref(), value) {
                    ("type", Value::String(text)) => type_name = Some(text),
                    ("id", Value::String(text)) => id = Some(text),
                    ("type" | "id", value) => {
                        return Err(error(format!("the entity's `{key}` must be a string, not {}", value.kind())));
                    }
                    (key, _) => {
                        let hint = other_name(key).map(|name| format!("; write `{name}` instead")).unwrap_or_default();
                        return Err(error(format!("an entity has `type` and `id`, not `{key}`{hint}")));
                    }
                }
            }
            match (type_name, id) {
                (Some(type_name), Some(id)) => Uid::new(type_name, id).map_err(|e| error(e.to_string())),
                (None, _) => Err(error("the entity lacks `type`".to_owned())),
                (_, None) => Err(error("the entity lacks `id`".to_owned())),
            }
        }
        other => {
            Err(error(format!("an entity is `Type::\"id\"` or an object of `type` and `id`, not {}", other.kind())))
        }
    }
}

/// What we call a member of an entity that the API of Amazon Verified Permissions calls otherwise.
fn other_name(member: &str) -> Option<&'static str> {
    match member {
        "entityType" | "actionType" => Some("type"),
        "entityId" | "actionId" => Some("id"),
        _ => None,
    }
}

/// The JSON pointer to a member of the outermost object.
#[must_use]
pub fn pointer(member: &str) -> String {
    format!("/{}", member.replace('~', "~0").replace('/', "~1"))
}

fn wrong_type(member: &str, expected: &str, found: &Value<'_>) -> RequestError {
    RequestError::new("invalid_member", pointer(member), format!("`{member}` must be {expected}, not {}", found.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AccessRequest<'_>, RequestError> {
        AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn both_forms_of_uids_mean_the_same() {
        let strings = read(r#"{"principal":"A::\"p\"","action":"Action::\"a\"","resource":"B::\"r\"","context":null}"#);
        let objects = read(
            r#"{"principal":{"type":"A","id":"p"},"action":{"__entity":{"type":"Action","id":"a"}},"resource":{"id":"r","type":"B"},"context":{}}"#,
        );
        assert_eq!(strings.unwrap(), objects.unwrap());
    }

    #[test]
    fn members_of_other_apis_have_their_names_here() {
        for (uid, expected) in [
            (
                r#"{"entityType":"A","entityId":"p"}"#,
                "an entity has `type` and `id`, not `entityType`; write `type` instead",
            ),
            (r#"{"type":"A","entityId":"p"}"#, "an entity has `type` and `id`, not `entityId`; write `id` instead"),
            (r#"{"actionType":"A","actionId":"p"}"#, "not `actionType`; write `type` instead"),
            (r#"{"type":"A","id":7}"#, "the entity's `id` must be a string, not a number"),
            (r#"{"type":"A","uid":"a"}"#, "an entity has `type` and `id`, not `uid`"),
        ] {
            let error = read(&format!(r#"{{"principal":{uid}}}"#)).unwrap_err();
            assert!(error.message.contains(expected), "{uid}: {}", error.message);
        }
    }

    #[test]
    fn all_that_is_wrong_is_found_at_once() {
        for (text, expected) in [
            ("{}", &["/principal", "/action", "/resource"][..]),
            (
                r#"{"principle":"A::\"p\"","action":"a","resource":7,"context":[]}"#,
                &["/principle", "/action", "/resource", "/context"],
            ),
            (
                r#"{"context":null,"entities":{},"additional_entities":1,"principal":"A::\"p\""}"#,
                &["/entities", "/additional_entities", "/action", "/resource"],
            ),
        ] {
            let faults = AccessRequest::read_beside(Value::parse(text.as_bytes()).unwrap(), &[]).unwrap_err();
            let places: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(places, expected, "{text}");
        }
        let many: Vec<String> = (0..1_000).map(|i| format!("\"x{i}\":1")).collect();
        let value = format!("{{{}}}", many.join(","));
        let faults = AccessRequest::read_beside(Value::parse(value.as_bytes()).unwrap(), &[]).unwrap_err();
        assert!(faults.len() < 110);
    }

    #[test]
    fn errors_point_at_the_member() {
        for (text, code, pointer) in [
            ("[]", "invalid_request", ""),
            ("{}", "missing_member", "/principal"),
            (r#"{"principal":"A::\"p\"","action":"A::\"a\""}"#, "missing_member", "/resource"),
            (r#"{"principal":"alice"}"#, "invalid_uid", "/principal"),
            (r#"{"principal":null}"#, "invalid_uid", "/principal"),
            (r#"{"principal":{"type":"A","id":"p","x":1}}"#, "invalid_uid", "/principal"),
            (r#"{"principal":{"type":"A","id":"p","__entity":{"type":"A","id":"q"}}}"#, "invalid_uid", "/principal"),
            (r#"{"principal":{"__entity":{"type":"A","id":"q"},"id":"p"}}"#, "invalid_uid", "/principal"),
            (r#"{"principal":{"__entity":{"__entity":{"type":"A","id":"q"}}}}"#, "invalid_uid", "/principal"),
            (r#"{"action":{"type":"A"}}"#, "invalid_uid", "/action"),
            (r#"{"action":{"type":"A","id":7}}"#, "invalid_uid", "/action"),
            (r#"{"action":{"type":"A B","id":"x"}}"#, "invalid_uid", "/action"),
            (r#"{"context":[]}"#, "invalid_member", "/context"),
            (r#"{"entities":{}}"#, "invalid_member", "/entities"),
            (r#"{"who/am~i":1}"#, "unknown_member", "/who~1am~0i"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.code, error.pointer.as_str()), (code, pointer), "{text}");
        }
    }
}
