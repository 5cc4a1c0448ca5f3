//! Fits JSON to the schema where a standard asks to ignore what is not declared, instead of refusing it.
//!
//! AuthZEN requests may carry any properties. What the schema declares is kept, written in Cedar's explicit
//! form so that its meaning no longer depends on where it stands; the rest is dropped and named.

use std::borrow::Cow;
use std::fmt;

use crate::decode;
use crate::model::request::uid_member;
use crate::model::{Uid, Value};
use crate::schema::{Members, Type};

/// What was dropped: a few names, and how many more there are. A request may bring any number of any length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The first names, cut where they are long.
    pub names: Vec<String>,
    /// How many were dropped besides.
    pub more: usize,
}

impl Dropped {
    /// How many names are kept.
    const MOST: usize = 20;
    /// The longest name, in bytes.
    const LONGEST: usize = 100;

    /// Notes one name, which is written only if it is kept.
    pub fn note(&mut self, name: &impl fmt::Display) {
        if self.names.len() == Self::MOST {
            self.more += 1;
            return;
        }
        let mut name = name.to_string();
        if name.len() > Self::LONGEST {
            name.truncate(name.floor_char_boundary(Self::LONGEST));
            name.push('…');
        }
        self.names.push(name);
    }

    /// Notes all that another has.
    pub fn add(&mut self, other: &Self) {
        other.names.iter().for_each(|name| self.note(name));
        self.more += other.more;
    }
}

/// Where a value stands in a request. Written out only where something is dropped: a long key may have many members.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name<'n> {
    /// The whole.
    Root(&'n str),
    /// A member of an object.
    Member(&'n Name<'n>, &'n str),
    /// An element of an array.
    Element(&'n Name<'n>, usize),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Member(of, key) => write!(f, "{of}.{key}"),
            Self::Element(of, i) => write!(f, "{of}[{i}]"),
        }
    }
}

/// Keeps the members of `value` that `declared` has with a fitting type; names the others in `dropped`.
///
/// Without a declaration (no schema) everything is kept that Cedar can hold.
pub(crate) fn members<'a>(
    value: Value<'a>,
    declared: Option<&Members>,
    place: &Name<'_>,
    dropped: &mut Dropped,
) -> Value<'a> {
    let Value::Object(members) = value else {
        return Value::empty_object();
    };
    let mut kept = Vec::with_capacity(members.len());
    for (key, value) in members {
        let name = Name::Member(place, &key);
        let fitted = match declared {
            Some(declared) => declared.get(key.as_ref()).and_then(|member| fit(value, &member.ty, &name, dropped)),
            None => prune(value, &name, dropped),
        };
        match fitted {
            Some(value) => kept.push((key, value)),
            None => dropped.note(&name),
        }
    }
    Value::Object(kept)
}

fn fit<'a>(value: Value<'a>, ty: &Type, name: &Name<'_>, dropped: &mut Dropped) -> Option<Value<'a>> {
    match (ty, value) {
        (Type::Bool, value @ Value::Bool(_))
        | (Type::Long, value @ Value::Long(_))
        | (Type::String, value @ Value::String(_)) => Some(value),
        (Type::Set(element), Value::Array(elements)) => {
            set(elements, name, dropped, |value, name, dropped| fit(value, element, name, dropped))
        }
        (Type::Record(declared), value @ Value::Object(_)) => {
            let value = members(value, Some(declared), name, dropped);
            declared.iter().all(|(key, member)| !member.required || value.get(key).is_some()).then_some(value)
        }
        (Type::Entity(type_name), value @ (Value::Object(_) | Value::String(_))) => {
            let uid = uid_member(value, "").ok()?;
            (uid.type_name == type_name.as_ref()).then(|| explicit_entity(uid))
        }
        (Type::Extension(type_name), value) => explicit_extension(value, type_name),
        _ => None,
    }
}

/// Keeps what Cedar has a value for, without a schema to say what is meant.
fn prune<'a>(value: Value<'a>, name: &Name<'_>, dropped: &mut Dropped) -> Option<Value<'a>> {
    match value {
        Value::Null | Value::Number(_) => None,
        Value::Array(elements) => set(elements, name, dropped, prune),
        value @ Value::Object(_) => Some(members(value, None, name, dropped)),
        value => Some(value),
    }
}

/// Half a set would be another set: one misfit drops the whole.
fn set<'a>(
    elements: Vec<Value<'a>>,
    name: &Name<'_>,
    dropped: &mut Dropped,
    fit: impl Fn(Value<'a>, &Name<'_>, &mut Dropped) -> Option<Value<'a>>,
) -> Option<Value<'a>> {
    let mut within = Dropped::default();
    let fitted: Option<Vec<_>> =
        elements.into_iter().enumerate().map(|(i, value)| fit(value, &Name::Element(name, i), &mut within)).collect();
    let fitted = fitted?;
    dropped.add(&within);
    Some(Value::Array(fitted))
}

fn explicit_entity(uid: Uid<'_>) -> Value<'_> {
    Value::Object(vec![(
        Cow::Borrowed("__entity"),
        Value::Object(vec![
            (Cow::Borrowed("type"), Value::String(uid.type_name)),
            (Cow::Borrowed("id"), Value::String(uid.id)),
        ]),
    )])
}

/// The function that makes a value of an extension type.
pub(super) fn constructor(type_name: &str) -> Option<&'static str> {
    match type_name {
        "ipaddr" => Some("ip"),
        "decimal" => Some("decimal"),
        "datetime" => Some("datetime"),
        "duration" => Some("duration"),
        _ => None,
    }
}

fn explicit_extension<'a>(value: Value<'a>, type_name: &str) -> Option<Value<'a>> {
    let constructor = constructor(type_name)?;
    let argument = match value {
        Value::String(text) => text,
        Value::Object(members) => {
            let explicit = members.len() == 1 && members.iter().all(|(key, _)| key == "__extn");
            let call = if explicit { members.into_iter().next()?.1 } else { Value::Object(members) };
            return call_argument(call, constructor);
        }
        _ => return None,
    };
    parses(constructor, &argument).then(|| explicit_call(constructor, argument))
}

fn call_argument<'a>(call: Value<'a>, constructor: &'static str) -> Option<Value<'a>> {
    let Value::Object(members) = call else { return None };
    let (mut function, mut argument) = (None, None);
    for (key, value) in members {
        match (key.as_ref(), value) {
            ("fn", Value::String(text)) => function = Some(text),
            ("arg", Value::String(text)) => argument = Some(text),
            _ => return None,
        }
    }
    let argument = argument?;
    (function? == constructor && parses(constructor, &argument)).then(|| explicit_call(constructor, argument))
}

fn explicit_call<'a>(constructor: &'static str, argument: Cow<'a, str>) -> Value<'a> {
    Value::Object(vec![(
        Cow::Borrowed("__extn"),
        Value::Object(vec![
            (Cow::Borrowed("fn"), Value::String(Cow::Borrowed(constructor))),
            (Cow::Borrowed("arg"), Value::String(argument)),
        ]),
    )])
}

/// Whether Cedar's constructor takes the text.
pub(super) fn parses(constructor: &str, argument: &str) -> bool {
    // what is taken without Cedar is what Cedar takes; the rest is for it to say
    if decode::constructs(constructor, argument) {
        return true;
    }
    let expression = match constructor {
        "ip" => cedar_policy::RestrictedExpression::new_ip(argument),
        "decimal" => cedar_policy::RestrictedExpression::new_decimal(argument),
        "datetime" => cedar_policy::RestrictedExpression::new_datetime(argument),
        _ => cedar_policy::RestrictedExpression::new_duration(argument),
    };
    cedar_policy::Context::from_pairs([("x".to_owned(), expression)]).is_ok()
}

/// The entities that a value refers to, whether written explicitly or where the schema expects one.
pub(crate) fn entities_of<'v>(value: &'v Value<'_>, ty: Option<&Type>, found: &mut Vec<Uid<'v>>) {
    match value {
        Value::Array(elements) => {
            let element = match ty {
                Some(Type::Set(element)) => Some(&**element),
                _ => None,
            };
            for value in elements {
                entities_of(value, element, found);
            }
        }
        Value::Object(members) => {
            let reference = match (members.as_slice(), ty) {
                ([(key, inner)], _) if key == "__entity" => Some(inner),
                (_, Some(Type::Entity(_))) => Some(value),
                _ => None,
            };
            if let Some(uid) = reference.and_then(borrowed_uid) {
                found.push(uid);
                return;
            }
            for (key, value) in members {
                let ty = match ty {
                    Some(Type::Record(declared)) => declared.get(key.as_ref()).map(|member| &member.ty),
                    _ => None,
                };
                entities_of(value, ty, found);
            }
        }
        _ => {}
    }
}

fn borrowed_uid<'v>(value: &'v Value<'_>) -> Option<Uid<'v>> {
    Some(Uid { type_name: Cow::Borrowed(value.get("type")?.as_str()?), id: Cow::Borrowed(value.get("id")?.as_str()?) })
}
