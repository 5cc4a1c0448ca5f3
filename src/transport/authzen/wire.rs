//! What AuthZEN 1.0 defines: its members and which of them must be there. Unknown members are ignored.

use std::borrow::Cow;

use crate::transport::exchange::contradicted;
use crate::transport::respond::Problem;
use palisade_engine::model::{Member, RequestError, Text, Value};

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
    /// Whether the answer is to say why: `"explain": true`, an extension. Any other value is an unknown member.
    pub(super) explain: bool,
}

/// When a list of evaluations is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// A list of evaluations, each read when its turn comes. One that cannot be read fails alone.
#[derive(Debug)]
pub(super) struct Evaluations<'a> {
    /// The members that stand for what evaluations lack.
    defaults: Vec<(Cow<'a, str>, Text<'a>)>,
    pub(super) items: Vec<Text<'a>>,
    pub(super) semantic: Semantic,
}

/// The members of an evaluation.
const PARTS: [&str; 5] = ["subject", "action", "resource", "context", "explain"];

impl<'a> Partial<'a> {
    /// One evaluation, whose parts must all be there in the end.
    pub(super) fn from_value(value: Value<'a>) -> Result<Self, RequestError> {
        Self::from_members(object(value, "", "the body")?)
    }

    /// One evaluation of a list.
    pub(super) fn from_item(value: Value<'a>) -> Result<Self, RequestError> {
        Self::from_members(object(value, "", "an evaluation")?)
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
                "explain" => partial.explain = matches!(value, Value::Bool(true)),
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
    /// Reads what the body consists of.
    ///
    /// # Errors
    /// If it has another shape.
    pub(super) fn from_text(body: Text<'a>) -> Result<Self, Problem> {
        let Some(members) = body.members().map_err(contradicted)? else {
            return Err(wrong_type("", "the body", "an object", body.kind().map_err(contradicted)?).into());
        };
        let (mut defaults, mut items, mut semantic) = (Vec::new(), Vec::new(), Semantic::ExecuteAll);
        for Member { key, text, elements } in members {
            match key.as_ref() {
                "evaluations" => match elements {
                    Some(elements) => items = elements,
                    None => {
                        let found = text.kind().map_err(contradicted)?;
                        return Err(wrong_type("/evaluations", "`evaluations`", "an array", found).into());
                    }
                },
                "options" => {
                    let options = text.read().map_err(contradicted)?;
                    semantic = read_semantic(&Value::Object(object(options, "/options", "`options`")?))?;
                }
                name if PARTS.contains(&name) => defaults.push((key, text)),
                _ => {}
            }
        }
        Ok(Self { defaults, items, semantic })
    }

    /// Bytes of the text that is values at a time: the largest evaluation, and the defaults, whose context is there once
    /// as it came and for up to two actions.
    pub(super) fn bytes_at_once(&self) -> usize {
        let defaults: usize = self.defaults.iter().map(|(_, text)| text.bytes()).sum();
        3 * defaults + self.items.iter().map(|item| item.bytes()).max().unwrap_or_default()
    }

    /// Reads what evaluations may lack.
    ///
    /// # Errors
    /// If a part has another shape.
    pub(super) fn read_defaults(&mut self) -> Result<Partial<'a>, Problem> {
        let read = |(key, text): (_, Text<'a>)| Ok((key, text.read().map_err(contradicted)?));
        let members = std::mem::take(&mut self.defaults).into_iter().map(read).collect::<Result<_, Problem>>()?;
        Ok(Partial::from_members(members)?)
    }
}

pub(super) fn read_semantic(options: &Value<'_>) -> Result<Semantic, RequestError> {
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
        Some(other) => Err(wrong_type(POINTER, "`evaluations_semantic`", "a string", other.kind())),
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
        other => Err(wrong_type(pointer, what, "an object", other.kind())),
    }
}

fn object_or_null<'a>(value: Value<'a>, pointer: &str) -> Result<Value<'a>, RequestError> {
    match value {
        Value::Null => Ok(Value::empty_object()),
        value @ Value::Object(_) => Ok(value),
        other => Err(wrong_type(pointer, "`properties`", "an object", other.kind())),
    }
}

fn text<'a>(value: Value<'a>, pointer: &str) -> Result<Cow<'a, str>, RequestError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(
            pointer,
            &format!("`{}`", pointer.rsplit('/').next().unwrap_or_default()),
            "a string",
            other.kind(),
        )),
    }
}

fn wrong_type(pointer: &str, what: &str, expected: &str, found: &str) -> RequestError {
    RequestError::new("invalid_member", pointer, format!("{what} must be {expected}, not {found}"))
}
