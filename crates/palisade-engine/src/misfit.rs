//! Says in words why Cedar's reader refuses a value: which member, what was expected, and what the right form is.
//!
//! Cedar's own messages name types of its program, or no member. Where nothing is found here, Cedar's words stand.
//!
//! What comes with a request is asked about before Cedar makes its values of it, which are up to forty times as large:
//! so whatever is found here must be refused by Cedar too. Builds with debug assertions ask both, as all tests do.

mod calls;
pub(crate) mod shape;
#[cfg(test)]
mod tests;
pub(crate) mod uids;

use crate::conform::{self, Name, constructor};
use crate::decode::uid_parts;
use crate::model::way::{self, Step};
use crate::model::{Uid, Value, hint};
use crate::schema::{Members, SchemaModel, Type};

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// In words, the member's name among them.
    pub message: String,
    /// Where the member stands in the whole.
    pub place: Vec<Step>,
    /// A member is missing, which Cedar may notice later than what is wrong with a member that is there.
    pub is_missing: bool,
}

/// How many problems of one entity are listed: a mistake that a program made everywhere needs no more.
const MOST: usize = 10;

/// What is wrong with a value, in the order in which it was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfits {
    found: Vec<Misfit>,
    most: usize,
}

impl From<Misfit> for Misfits {
    fn from(misfit: Misfit) -> Self {
        Self { found: vec![misfit], most: MOST }
    }
}

impl From<String> for Misfits {
    fn from(message: String) -> Self {
        Misfit::from(message).into()
    }
}

impl IntoIterator for Misfits {
    type Item = Misfit;
    type IntoIter = std::vec::IntoIter<Misfit>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

impl Misfits {
    /// None yet, and room for as many as are listed.
    pub(crate) fn none() -> Self {
        Self { found: Vec::new(), most: MOST }
    }

    /// None yet, and room for one: what is found is found at the price of a look.
    pub(crate) fn room_for_one() -> Self {
        Self { found: Vec::new(), most: 1 }
    }

    /// Adds one, unless there is one about the same member, or no room. What is listed says that there are more.
    pub(crate) fn push(&mut self, misfit: Misfit) {
        let is_same =
            |known: &Misfit| known.place == misfit.place && (!misfit.is_missing || known.message == misfit.message);
        if self.is_full() || self.found.iter().any(is_same) {
            return;
        }
        if self.most > 1 && self.found.len() == self.most {
            self.found.push("there are more problems in it, which are listed once these are mended".to_owned().into());
        } else {
            self.found.push(misfit);
        }
    }

    /// Whether no more is looked for.
    pub(crate) fn is_full(&self) -> bool {
        let more = usize::from(self.most > 1);
        self.found.len() >= self.most + more
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The first one.
    #[must_use]
    pub(crate) fn first(self) -> Option<Misfit> {
        self.found.into_iter().next()
    }
}

impl From<String> for Misfit {
    fn from(message: String) -> Self {
        Self { message, place: Vec::new(), is_missing: false }
    }
}

impl Misfit {
    /// A misfit of the member at `place`.
    pub(crate) fn at(place: &Name<'_>, message: String) -> Self {
        Self { message, place: steps(place), is_missing: false }
    }

    /// The JSON pointer to the member.
    #[must_use]
    pub(crate) fn pointer(&self) -> String {
        way::pointer(&self.place)
    }

    /// Where the member stands in `text`, as far as its steps can be followed.
    #[must_use]
    pub(crate) fn offset(&self, text: &str) -> Option<usize> {
        way::offset(text, &self.place)
    }
}

/// Refuses what comes with a request and has `misfit`, without Cedar; `refused_by_cedar` is asked in tests alone.
///
/// # Errors
/// The misfit. One that Cedar may notice later than other faults of the request is left to Cedar.
pub(super) fn before_cedar(misfit: Option<Misfit>, refused_by_cedar: impl FnOnce() -> bool) -> Result<(), Misfit> {
    match misfit {
        Some(misfit) if !misfit.is_missing => {
            debug_assert!(refused_by_cedar(), "Cedar takes what is refused here: {}", misfit.message);
            Err(misfit)
        }
        _ => Ok(()),
    }
}

/// Why an entity is refused, if it can be said.
#[must_use]
pub(crate) fn entity(entity: &Value<'_>, schema: Option<&SchemaModel>) -> Option<Misfit> {
    let mut found = Misfits::room_for_one();
    look(entity, schema, &mut found);
    found.first()
}

/// Adds what is wrong with an entity, as far as that can be said.
pub(crate) fn look(entity: &Value<'_>, schema: Option<&SchemaModel>, to: &mut Misfits) {
    if entity.as_object().is_none() {
        return to.push(shape::no_object(entity));
    }
    shape::of_members(entity, to);
    // one that is written as a text is reported as that, and what else is wrong is looked for
    let written = entity.get("uid").and_then(Value::as_str).and_then(|text| Uid::parse(text).ok());
    let ty = entity.get("uid").and_then(uid_parts).map(|(ty, _)| ty);
    let ty = ty.or(written.as_ref().map(|uid| &*uid.type_name));
    let declared = match (schema, ty) {
        (Some(schema), Some(ty)) => match schema.entity_type(ty) {
            Some(declared) => Some(declared),
            None => {
                let hint = hint(ty, schema.entity_type_names());
                let message = format!("the schema declares no entity type `{ty}`{hint}");
                return to.push(Misfit::at(&Name::Root("uid"), message));
            }
        },
        _ => None,
    };
    if let Some(schema) = schema {
        uids::own_id(entity, schema, to);
    }
    let owner = ty.filter(|_| declared.is_some()).unwrap_or("the entity");
    let attributes = declared.map(|declared| &declared.attributes);
    if let Some(attrs) = entity.get("attrs") {
        members(attrs, attributes, owner, &Name::Root("attrs"), to);
    }
    if let Some((declared, schema)) = declared.zip(schema) {
        uids::values(entity, declared, schema, to);
        shape::against(entity, declared, schema, to);
        uids::parents(entity, schema, to);
    }
    let tag_type = declared.and_then(|declared| declared.tags.as_ref());
    for (key, found) in entity.get("tags").and_then(Value::as_object).unwrap_or_default() {
        if to.is_full() {
            return;
        }
        value(found, tag_type, &Name::Member(&Name::Root("tags"), key), to);
    }
    shape::missing(entity, to);
}

/// Why a context is refused, if it can be said.
#[must_use]
pub(crate) fn context(context: &Value<'_>, schema: Option<&SchemaModel>, action: &Uid<'_>) -> Option<Misfit> {
    let (mut found, place) = (Misfits::room_for_one(), Name::Root("context"));
    let declared = schema.and_then(|schema| schema.context(action));
    members(context, declared, &format!("the context of `{action}`"), &place, &mut found);
    found.first()
}

/// An entity in a context whose id the schema does not list, where it lists all of the type.
#[must_use]
pub(crate) fn unlisted(context: &Value<'_>, schema: &SchemaModel, action: &Uid<'_>) -> Option<Misfit> {
    let mut found = Misfits::room_for_one();
    uids::members(context, schema.context(action), schema, &Name::Root("context"), &mut found);
    found.first()
}

/// Adds what is wrong with a value that nothing declares.
pub(crate) fn untyped(found: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    value(found, None, place, to);
}

/// What Cedar says of an entity of which nothing else can be said, at the member that it is about where that can be found.
#[must_use]
pub(crate) fn of_cedar(entity: &Value<'_>, said: String) -> Misfit {
    let of = |key| calls::failed(entity.get(key)?, &Name::Root(key), &said);
    of("attrs").or_else(|| of("tags")).unwrap_or_else(|| said.into())
}

/// The same of a context.
#[must_use]
pub(crate) fn of_cedar_in_context(context: &Value<'_>, said: String) -> Misfit {
    let place = Name::Root("context");
    calls::failed(context, &place, &said).unwrap_or_else(|| Misfit::at(&place, said))
}

/// Recurses with the nesting of the JSON, which is bounded.
fn members(value: &Value<'_>, declared: Option<&Members>, owner: &str, place: &Name<'_>, to: &mut Misfits) {
    let mut meant = String::new();
    for (key, found) in value.as_object().unwrap_or_default() {
        if to.is_full() {
            return;
        }
        let place = Name::Member(place, key);
        match declared.map(|declared| (declared, declared.get(&**key))) {
            Some((declared, None)) => {
                let hint = hint(key, declared.keys().map(String::as_str));
                to.push(misfit(&place, &format!("the schema declares no `{key}` in {owner}{hint}")));
                meant += &hint;
            }
            Some((_, Some(member))) => self::value(found, Some(&member.ty), &place, to),
            None => self::value(found, None, &place, to),
        }
    }
    if value.as_object().is_none() {
        return;
    }
    for (key, member) in
        declared.into_iter().flatten().filter(|(key, member)| member.required && value.get(key).is_none())
    {
        // it is there, misspelt
        if meant.contains(&format!("`{key}`")) {
            continue;
        }
        let example = example(&member.ty, None);
        let problem = format!("`{key}` is missing, which {owner} must have: {}, such as {example}", name(&member.ty));
        to.push(Misfit { is_missing: true, ..misfit(place, &problem) });
    }
}

fn value(found: &Value<'_>, ty: Option<&Type>, place: &Name<'_>, to: &mut Misfits) {
    let other = |expected: &Type| {
        let what =
            format!("expected {}, such as {}, not {}", name(expected), example(expected, Some(found)), shown(found));
        Some(what)
    };
    // a record may have members of these names, if the schema says so
    let call = if matches!(ty, Some(Type::Record(_))) { None } else { calls::problem(found, ty) };
    let problem = match (ty, found) {
        _ if call.is_some() => call,
        (None | Some(Type::Unknown), Value::Object(_)) if found.get("__entity").is_some() => {
            uid_parts(found).and_then(|(ty, _)| shape::improper(ty))
        }
        (Some(ty @ Type::Long), Value::Number(n)) if n.fract() == 0.0 && n.abs() >= TOO_LARGE => {
            Some(format!("expected {}, not a number beyond 64 bits (at most 9223372036854775807)", name(ty)))
        }
        (None, Value::Number(n)) if n.fract() == 0.0 && n.abs() >= TOO_LARGE => {
            Some("a number is at most 9223372036854775807 (64 bits)".to_owned())
        }
        (None, Value::Number(n)) => Some(format!(
            "Cedar's numbers are whole and written without point or exponent, unlike {n:?}: write such as 42, or \
             {{\"__extn\": {{\"fn\": \"decimal\", \"arg\": \"{n:?}\"}}}}"
        )),
        (None | Some(Type::Unknown), Value::Null) => {
            Some("Cedar has no null: leave the member out, or give it a value".to_owned())
        }
        // a function may give one
        (Some(Type::Bool | Type::Long | Type::String), Value::Object(_)) if found.get("__extn").is_some() => None,
        (Some(ty @ (Type::Bool | Type::Long | Type::String)), found) => {
            let fits = matches!(
                (ty, found),
                (Type::Bool, Value::Bool(_)) | (Type::Long, Value::Long(_)) | (Type::String, Value::String(_))
            );
            if fits { None } else { other(ty) }
        }
        (Some(ty @ Type::Entity(expected)), found) => match found.get("__entity").unwrap_or(found) {
            inner @ Value::Object(_) => match inner.get("type").and_then(Value::as_str) {
                Some(given) if given != &**expected => {
                    Some(format!("expected an entity of the type `{expected}`, not of `{given}`"))
                }
                Some(_) if inner.get("id").and_then(Value::as_str).is_some() => None,
                _ => other(ty),
            },
            _ => other(ty),
        },
        (Some(ty @ Type::Extension(extension)), Value::String(text)) => {
            let said = || format!("`{text}` is not {}, such as {}", name(ty), example(ty, None));
            (!parses(extension, text)).then(|| said() + &bound(extension, text))
        }
        // a call, which was looked at
        (Some(Type::Extension(_)), Value::Object(_)) => None,
        (Some(ty @ Type::Extension(_)), _) => other(ty),
        (Some(ty @ Type::Set(_)), found) if found.as_array().is_none() => other(ty),
        (Some(ty @ Type::Record(_)), found) if found.as_object().is_none() => other(ty),
        _ => None,
    };
    if let Some(problem) = problem {
        return to.push(misfit(place, &problem));
    }
    match (ty, found) {
        (Some(Type::Record(declared)), Value::Object(_)) => members(found, Some(declared), "this record", place, to),
        (None | Some(Type::Unknown), Value::Object(_)) => {
            let is_call = found.get("__extn").is_some_and(|call| call.get("fn").is_some());
            if !is_call && uid_parts(found).is_none_or(|_| found.get("__entity").is_none()) {
                members(found, None, "", place, to);
            }
        }
        (_, Value::Array(elements)) => {
            let element = match ty {
                Some(Type::Set(element)) => Some(&**element),
                _ => None,
            };
            for (i, found) in elements.iter().enumerate() {
                if to.is_full() {
                    return;
                }
                value(found, element, &Name::Element(place, i), to);
            }
        }
        _ => {}
    }
}

/// The bound that a decimal goes beyond, where it has the right form.
fn bound(extension: &str, text: &str) -> String {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.strip_prefix('-').unwrap_or(text).split_once('.').filter(|_| extension == "decimal");
    match parts {
        Some((whole, fraction)) if digits(whole) && digits(fraction) && fraction.len() > 4 => {
            "; it has at most 4 digits after the point".to_owned()
        }
        Some((whole, fraction)) if digits(whole) && digits(fraction) => {
            "; it is at most 922337203685477.5807".to_owned()
        }
        _ => String::new(),
    }
}

/// From here on numbers may not fit 64 bits.
const TOO_LARGE: f64 = 9_223_372_036_854_775_807.0;

/// The problem of the member at `place`, which the message names.
pub(crate) fn misfit(place: &Name<'_>, problem: &str) -> Misfit {
    Misfit::at(place, format!("`{place}`: {problem}"))
}

fn steps(place: &Name<'_>) -> Vec<Step> {
    let (mut steps, mut here) = (Vec::new(), *place);
    loop {
        let (step, above) = match here {
            Name::Root(name) => (Step::Member(name.to_owned()), None),
            Name::Member(above, key) => (Step::Member(key.to_owned()), Some(above)),
            Name::Element(above, i) => (Step::Element(i), Some(above)),
        };
        steps.push(step);
        match above {
            Some(above) => here = *above,
            None => break,
        }
    }
    steps.reverse();
    steps
}

/// The type as people call it.
fn name(ty: &Type) -> String {
    match ty {
        Type::Bool => "a boolean".to_owned(),
        Type::Long => "a whole number".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Set(_) => "a set".to_owned(),
        Type::Record(_) => "a record".to_owned(),
        Type::Entity(ty) => format!("an entity of the type `{ty}`"),
        Type::Extension(ty) if matches!(&**ty, "ipaddr") => "an IP address (`ipaddr`)".to_owned(),
        Type::Extension(ty) => format!("a {ty}"),
        Type::Unknown => "a value".to_owned(),
    }
}

/// JSON of the type; of the very entity that was meant, where that can be read.
fn example(ty: &Type, meant: Option<&Value<'_>>) -> String {
    match ty {
        Type::Bool => "true".to_owned(),
        Type::Long => "42".to_owned(),
        Type::String => "\"text\"".to_owned(),
        Type::Set(element) => format!("[{}]", example(element, None)),
        Type::Record(_) => "{\"member\": ...}".to_owned(),
        Type::Entity(ty) => {
            let id = meant.and_then(Value::as_str).map(|text| match Uid::parse(text) {
                Ok(uid) => uid.id.into_owned(),
                Err(_) => text.to_owned(),
            });
            let id = serde_json::Value::from(id.as_deref().unwrap_or("..."));
            format!("{{\"type\": \"{ty}\", \"id\": {id}}}")
        }
        Type::Extension(extension) => format!("\"{}\"", argument(extension)),
        Type::Unknown => "\"text\"".to_owned(),
    }
}

fn argument(extension: &str) -> &'static str {
    match extension {
        "ipaddr" => "10.0.0.0/8",
        "decimal" => "12.5",
        "datetime" => "2024-10-15T11:35:00Z",
        _ => "1h30m",
    }
}

fn parses(extension: &str, text: &str) -> bool {
    constructor(extension).is_some_and(|constructor| conform::parses(constructor, text))
}

/// What was found: short values themselves.
pub(crate) fn shown(found: &Value<'_>) -> String {
    match found {
        Value::Null => "null".to_owned(),
        Value::Number(n) => format!("{n:?}"),
        Value::String(text) if text.len() <= 60 => format!("the string {}", serde_json::Value::from(&**text)),
        Value::Bool(_) | Value::Long(_) => found.to_json().to_string(),
        other => other.kind().to_owned(),
    }
}
