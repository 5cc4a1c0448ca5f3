//! What AuthZEN 1.0 defines: its members and which of them must be there. Unknown members are ignored.

use std::borrow::Cow;

use crate::domain::{RequestError, Value};

/// A subject or a resource.
#[derive(Debug, Clone)]
pub(super) struct Entity<'a> {
    pub(super) type_name: Cow<'a, str>,
    pub(super) id: Cow<'a, str>,
    /// An object.
    pub(super) properties: Value<'a>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Action<'a> {
    pub(super) name: Cow<'a, str>,
    /// An object.
    pub(super) properties: Value<'a>,
}

/// An evaluation whose parts may come from the defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct Partial<'a> {
    pub(super) subject: Option<Entity<'a>>,
    pub(super) action: Option<Action<'a>>,
    pub(super) resource: Option<Entity<'a>>,
    /// An object.
    pub(super) context: Option<Value<'a>>,
}

/// When a list of evaluations is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// A list of evaluations. An item that cannot be read fails alone.
#[derive(Debug)]
pub(super) struct Evaluations<'a> {
    pub(super) defaults: Partial<'a>,
    pub(super) items: Vec<Result<Partial<'a>, RequestError>>,
    pub(super) semantic: Semantic,
}

impl<'a> Partial<'a> {
    /// One evaluation, whose parts must all be there in the end.
    pub(super) fn from_value(value: Value<'a>) -> Result<Self, RequestError> {
        Self::from_members(object(value, "", "the body")?)
    }

    /// The same, if it has all parts.
    pub(super) fn complete(self) -> Result<Self, RequestError> {
        for (name, there) in [
            ("subject", self.subject.is_some()),
            ("action", self.action.is_some()),
            ("resource", self.resource.is_some()),
        ] {
            if !there {
                return Err(missing(name));
            }
        }
        Ok(self)
    }

    fn from_members(members: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Self, RequestError> {
        let mut partial = Self::default();
        for (key, value) in members {
            match key.as_ref() {
                "subject" => partial.subject = Some(entity(value, "subject")?),
                "action" => partial.action = Some(action(value)?),
                "resource" => partial.resource = Some(entity(value, "resource")?),
                "context" => partial.context = Some(Value::Object(object(value, "/context", "`context`")?)),
                _ => {}
            }
        }
        Ok(partial)
    }
}

/// The error of an evaluation that lacks a part, its defaults included.
pub(super) fn missing(name: &str) -> RequestError {
    RequestError::new("missing_member", format!("/{name}"), format!("`{name}` is missing"))
}

impl<'a> Evaluations<'a> {
    pub(super) fn from_value(value: Value<'a>) -> Result<Self, RequestError> {
        let (mut rest, mut items, mut semantic) = (Vec::new(), Vec::new(), Semantic::ExecuteAll);
        for (key, value) in object(value, "", "the body")? {
            match (key.as_ref(), value) {
                ("evaluations", Value::Array(elements)) => {
                    items = elements
                        .into_iter()
                        .map(|item| Partial::from_members(object(item, "", "an evaluation")?))
                        .collect();
                }
                ("evaluations", other) => return Err(wrong_type("/evaluations", "`evaluations`", "an array", &other)),
                ("options", options) => {
                    semantic = read_semantic(&Value::Object(object(options, "/options", "`options`")?))?
                }
                (_, value) => rest.push((key, value)),
            }
        }
        Ok(Self { defaults: Partial::from_members(rest)?, items, semantic })
    }
}

fn read_semantic(options: &Value<'_>) -> Result<Semantic, RequestError> {
    const POINTER: &str = "/options/evaluations_semantic";
    match options.get("evaluations_semantic") {
        None => Ok(Semantic::ExecuteAll),
        Some(Value::String(name)) => match name.as_ref() {
            "execute_all" => Ok(Semantic::ExecuteAll),
            "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
            "permit_on_first_permit" => Ok(Semantic::PermitOnFirstPermit),
            other => Err(RequestError::new(
                "invalid_member",
                POINTER,
                format!("`{other}` is not one of execute_all, deny_on_first_deny, permit_on_first_permit"),
            )),
        },
        Some(other) => Err(wrong_type(POINTER, "`evaluations_semantic`", "a string", other)),
    }
}

fn entity<'a>(value: Value<'a>, name: &str) -> Result<Entity<'a>, RequestError> {
    let (mut type_name, mut id, mut properties) = (None, None, Value::empty_object());
    for (key, value) in object(value, &format!("/{name}"), &format!("`{name}`"))? {
        match key.as_ref() {
            "type" => type_name = Some(text(value, &format!("/{name}/type"))?),
            "id" => id = Some(text(value, &format!("/{name}/id"))?),
            "properties" => properties = object_or_null(value, &format!("/{name}/properties"))?,
            _ => {}
        }
    }
    let missing = |member: &str| {
        RequestError::new("missing_member", format!("/{name}/{member}"), format!("`{name}.{member}` is missing"))
    };
    Ok(Entity {
        type_name: type_name.ok_or_else(|| missing("type"))?,
        id: id.ok_or_else(|| missing("id"))?,
        properties,
    })
}

fn action(value: Value<'_>) -> Result<Action<'_>, RequestError> {
    let (mut name, mut properties) = (None, Value::empty_object());
    for (key, value) in object(value, "/action", "`action`")? {
        match key.as_ref() {
            "name" => name = Some(text(value, "/action/name")?),
            "properties" => properties = object_or_null(value, "/action/properties")?,
            _ => {}
        }
    }
    let name = name.ok_or_else(|| RequestError::new("missing_member", "/action/name", "`action.name` is missing"))?;
    Ok(Action { name, properties })
}

fn object<'a>(value: Value<'a>, pointer: &str, what: &str) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, RequestError> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(wrong_type(pointer, what, "an object", &other)),
    }
}

fn object_or_null<'a>(value: Value<'a>, pointer: &str) -> Result<Value<'a>, RequestError> {
    match value {
        Value::Null => Ok(Value::empty_object()),
        value @ Value::Object(_) => Ok(value),
        other => Err(wrong_type(pointer, "`properties`", "an object", &other)),
    }
}

fn text<'a>(value: Value<'a>, pointer: &str) -> Result<Cow<'a, str>, RequestError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(
            pointer,
            &format!("`{}`", pointer.rsplit('/').next().unwrap_or_default()),
            "a string",
            &other,
        )),
    }
}

fn wrong_type(pointer: &str, what: &str, expected: &str, found: &Value<'_>) -> RequestError {
    RequestError::new("invalid_member", pointer, format!("{what} must be {expected}, not {}", found.kind()))
}
