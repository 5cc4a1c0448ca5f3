//! What a check is made of: `Device::{path.id}`, `self`, and values of the context.
//!
//! A template has at most one placeholder, so that two requests never make one id of different parts.

use std::borrow::Cow;
use std::fmt;

use crate::refusal::Refusal;
use crate::source::{Found, Inputs, Source, ambiguous, bad};
use crate::values;
use palisade_engine::model::uid::is_type_name;
use palisade_engine::model::{Uid, Value};

/// Bytes of a text that is put together. Each check for an element of a list has a copy of it.
const MAX_MADE: usize = 64 << 10;

/// A text with at most one placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate {
    before: String,
    /// Where the middle comes from.
    pub source: Option<Source>,
    after: String,
}

/// An entity whose type is fixed and whose id is a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTemplate {
    /// The qualified type.
    pub type_name: String,
    /// The id.
    pub id: TextTemplate,
}

/// The resource of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceTemplate {
    /// The principal itself.
    Principal,
    /// The token that was shown.
    Token,
    /// Another entity.
    Entity(EntityTemplate),
}

/// A value of the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTemplate {
    /// An entity.
    Entity(EntityTemplate),
    /// A string.
    Text(TextTemplate),
    /// A whole number.
    Long(Source),
    /// A truth value.
    Bool(Source),
    /// An address.
    Ip(Source),
    /// Always the same.
    Fixed(Fixed),
}

/// A value that does not depend on the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fixed {
    /// A whole number.
    Long(i64),
    /// A truth value.
    Bool(bool),
}

impl TextTemplate {
    /// Reads `before{source}after`.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('{') else {
            return if text.contains('}') {
                Err(format!("`{text}` has a `}}` without a `{{`"))
            } else {
                Ok(Self { before: text.to_owned(), source: None, after: String::new() })
            };
        };
        let (source, after) = rest.split_once('}').ok_or_else(|| format!("`{text}` lacks a `}}`"))?;
        if after.contains(['{', '}']) {
            return Err(format!(
                "`{text}` has two placeholders, and different requests could make the same text of them; use one"
            ));
        }
        Ok(Self { before: before.to_owned(), source: Some(Source::parse(source)?), after: after.to_owned() })
    }

    /// The text; `None` if its source has no value.
    pub(super) fn make<'x>(&'x self, from: &Inputs<'x, '_>) -> Result<Option<Cow<'x, str>>, Refusal> {
        let Some(source) = &self.source else { return Ok(Some(Cow::Borrowed(&self.before))) };
        let Some(text) = source.text(from)? else { return Ok(None) };
        if self.before.is_empty() && self.after.is_empty() {
            return Ok(Some(text));
        }
        if self.before.len() + text.len() + self.after.len() > MAX_MADE {
            return Err(bad(source, &format!("would make a text of more than {MAX_MADE} bytes")));
        }
        Ok(Some(Cow::Owned(format!("{}{text}{}", self.before, self.after))))
    }
}

impl EntityTemplate {
    /// Reads `Type::id`, the id being a template; `namespace` is for types without one.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str, namespace: Option<&str>) -> Result<Self, String> {
        let shape = || format!("`{text}` is not an entity; write `Type::{{path.id}}` or `Type::\"fixed id\"`");
        // the placeholder has no `::`, and a fixed id may be quoted
        let head = text.find(['{', '"']).map_or(text, |at| &text[..at]);
        let at = head.rfind("::").ok_or_else(shape)?;
        let (type_name, id) = (&text[..at], &text[at + 2..]);
        if !is_type_name(type_name) || id.is_empty() {
            return Err(shape());
        }
        let id = match id.strip_prefix('"') {
            Some(_) => {
                let uid = Uid::parse(text).map_err(|error| error.to_string())?;
                TextTemplate { before: uid.id.into_owned(), source: None, after: String::new() }
            }
            None => TextTemplate::parse(id)?,
        };
        Ok(Self { type_name: qualify(type_name, namespace), id })
    }

    /// The entity; `None` if the source of its id has no value.
    pub(super) fn make<'x>(&'x self, from: &Inputs<'x, '_>) -> Result<Option<Uid<'x>>, Refusal> {
        Ok(self.id.make(from)?.map(|id| Uid { type_name: Cow::Borrowed(&self.type_name), id }))
    }
}

/// Puts `namespace` before a name that has none.
#[must_use]
pub(crate) fn qualify(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if !name.contains("::") => format!("{namespace}::{name}"),
        _ => name.to_owned(),
    }
}

impl ResourceTemplate {
    /// Reads `self`, `token`, or an entity.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str, namespace: Option<&str>) -> Result<Self, String> {
        match text {
            "self" => Ok(Self::Principal),
            "token" => Ok(Self::Token),
            text => EntityTemplate::parse(text, namespace).map(Self::Entity),
        }
    }

    /// The resource.
    pub(super) fn make<'x>(&'x self, from: &Inputs<'x, '_>) -> Result<Uid<'x>, Refusal> {
        let identity =
            from.identity.ok_or_else(|| Refusal::unauthorized("no_identity", "the caller is not authenticated"))?;
        match self {
            Self::Principal => Ok(identity.principal.clone()),
            Self::Token => identity
                .token
                .clone()
                .ok_or_else(|| Refusal::forbidden("missing_value", "the resource is the token, and none was shown")),
            Self::Entity(entity) => entity.make(from)?.ok_or_else(|| missing(entity.id.source.as_ref())),
        }
    }

    /// Where its id comes from.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Entity(entity) => entity.id.source.as_ref(),
            Self::Principal | Self::Token => None,
        }
    }
}

/// What a missing value refuses with: the one who asks lacks a home, or the request lacks a member.
pub(super) fn missing(source: Option<&Source>) -> Refusal {
    match source {
        Some(source @ (Source::Principal(_) | Source::Claim(_) | Source::Record(_))) => {
            Refusal::forbidden("missing_value", format!("`{source}` has no value"))
        }
        Some(source) => Refusal::bad_request("missing_value", format!("the request lacks `{source}`")),
        None => Refusal::bad_request("missing_value", "the request lacks a value"),
    }
}

impl ValueTemplate {
    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Entity(entity) => entity.id.source.as_ref(),
            Self::Text(text) => text.source.as_ref(),
            Self::Long(source) | Self::Bool(source) | Self::Ip(source) => Some(source),
            Self::Fixed(_) => None,
        }
    }

    /// The value in Cedar's JSON form; `None` if its source has none.
    pub(super) fn make<'x>(&'x self, from: &Inputs<'x, '_>) -> Result<Option<Value<'x>>, Refusal> {
        Ok(match self {
            Self::Entity(entity) => entity.make(from)?.map(entity_value),
            Self::Text(text) => text.make(from)?.map(Value::String),
            Self::Long(source) => match source.read(from)? {
                None => None,
                Some(Found::Json(Value::Long(number))) => Some(Value::Long(*number)),
                Some(Found::Text(text)) => {
                    let number = whole_number(&text).ok_or_else(|| bad(source, "is not a whole number"))?;
                    if let Some(fault) = values::of_number(number) {
                        return Err(ambiguous(source, fault));
                    }
                    Some(Value::Long(number))
                }
                Some(_) => return Err(bad(source, "is not a whole number")),
            },
            Self::Bool(source) => match source.read(from)? {
                None => None,
                Some(Found::Json(Value::Bool(truth))) => Some(Value::Bool(*truth)),
                Some(Found::Text(text)) if text == "true" || text == "false" => Some(Value::Bool(text == "true")),
                Some(_) => return Err(bad(source, "is neither `true` nor `false`")),
            },
            Self::Ip(source) => source.text(from)?.map(|text| {
                let call = vec![("fn".into(), Value::String("ip".into())), ("arg".into(), Value::String(text))];
                Value::Object(vec![("__extn".into(), Value::Object(call))])
            }),
            Self::Fixed(Fixed::Long(number)) => Some(Value::Long(*number)),
            Self::Fixed(Fixed::Bool(truth)) => Some(Value::Bool(*truth)),
        })
    }
}

/// Reads a number in the one way to write it: no sign but `-`, no leading zero.
fn whole_number(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A reference to an entity in Cedar's JSON form.
pub(super) fn entity_value(uid: Uid<'_>) -> Value<'_> {
    let members = vec![("type".into(), Value::String(uid.type_name)), ("id".into(), Value::String(uid.id))];
    Value::Object(vec![("__entity".into(), Value::Object(members))])
}

impl fmt::Display for TextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}{{{source}}}{}", self.before, self.after),
            None => f.write_str(&self.before),
        }
    }
}

impl fmt::Display for EntityTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.type_name, self.id)
    }
}

impl fmt::Display for ValueTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity(entity) => entity.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Long(source) | Self::Bool(source) | Self::Ip(source) => write!(f, "{{{source}}}"),
            Self::Fixed(Fixed::Long(number)) => number.fmt(f),
            Self::Fixed(Fixed::Bool(truth)) => truth.fmt(f),
        }
    }
}

impl fmt::Display for ResourceTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal => f.write_str("self"),
            Self::Token => f.write_str("token"),
            Self::Entity(entity) => entity.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_read_at_sight() {
        for (text, expected) in [
            ("Device::{path.id}", "N::Device::{path.id}"),
            ("M::Device::{path.id}", "M::Device::{path.id}"),
            ("Scope::c:{path.id}", "N::Scope::c:{path.id}"),
            ("Tenant::main", "N::Tenant::main"),
            ("M::Tenant::\"the main one\"", "M::Tenant::the main one"),
        ] {
            assert_eq!(EntityTemplate::parse(text, Some("N")).unwrap().to_string(), expected);
        }
        for (text, message) in [
            ("Device", "is not an entity"),
            ("Device::", "is not an entity"),
            ("::{path.id}", "is not an entity"),
            ("{path.type}::{path.id}", "is not an entity"),
            ("Device::{id}", "not a source of a value"),
            ("Device::{path.a}-{path.b}", "two placeholders"),
            ("Device::{path.a", "lacks a `}`"),
            ("Device::a}", "without a `{`"),
        ] {
            let error = EntityTemplate::parse(text, None).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, expected) in
            [("7", Some(7)), ("-7", Some(-7)), ("0", Some(0)), ("07", None), ("+7", None), ("-0", None), ("7.0", None)]
        {
            assert_eq!(whole_number(text), expected, "{text}");
        }
    }
}
