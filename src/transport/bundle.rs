//! The body that is a bundle, read member by member.
//!
//! Members stay text as long as they can: entities are read by the engine alone, there may be a million of them, and a
//! value takes ten times the bytes of its text. What there may be many of is counted while it is read.

use std::borrow::Cow;

use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::transport::elsewhere;
use crate::transport::exchange::malformed;
use crate::transport::respond::Problem;
use palisade_engine::Limits;
use palisade_engine::model::edit::check_id;
use palisade_engine::model::request::pointer;
use palisade_engine::model::{
    Bundle, DataRule, Diagnostic, Document, Link, LinkDeclaration, LinkNames, Missing, PolicyNaming, PolicyText,
    RequestError, Revision, SchemaText, Value, Written, hint,
};

/// Why a body, or a part of it, cannot be read.
pub(super) enum Unreadable {
    /// It is not JSON, or has an object with two equal keys.
    NotJson(Problem),
    /// It is, but of another shape.
    Shape(RequestError),
}

impl From<RequestError> for Unreadable {
    fn from(error: RequestError) -> Self {
        Self::Shape(error)
    }
}

impl From<Unreadable> for Problem {
    fn from(reason: Unreadable) -> Self {
        match reason {
            Unreadable::NotJson(problem) => problem,
            Unreadable::Shape(error) => error.into(),
        }
    }
}

/// The members of an object as text, or the elements of an array, but no more than a bound: each takes many times its
/// bytes.
struct Parts {
    /// What they are, for the message.
    what: &'static str,
    most: usize,
}

impl<'de> Visitor<'de> for Parts {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("duplicate key `{}`", key.escape_debug())));
            }
            members.push((key, value));
            if members.len() > self.most {
                return Err(A::Error::custom(format_args!("more than {} {}", self.most, self.what)));
            }
        }
        Ok(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(value) = seq.next_element::<&RawValue>()? {
            elements.push((String::new(), value));
            if elements.len() > self.most {
                return Err(A::Error::custom(format_args!("more than {} {}", self.most, self.what)));
            }
        }
        Ok(elements)
    }
}

/// The members or elements of `raw`, at most as many.
pub(super) fn parts<'a>(
    raw: &'a RawValue,
    pointer: &str,
    what: &'static str,
    most: usize,
) -> Result<Vec<(String, &'a RawValue)>, Unreadable> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let parts = Parts { what, most };
    let read = if raw.get().starts_with('{') {
        deserializer.deserialize_map(parts)
    } else {
        deserializer.deserialize_seq(parts)
    };
    read.map_err(|error| within(raw, pointer, &error))
}

/// Parses one member; places in the text of an error are relative to it.
pub(super) fn parse<'a>(raw: &'a RawValue, pointer: &str) -> Result<Value<'a>, Unreadable> {
    Value::parse(raw.get().as_bytes()).map_err(|error| within(raw, pointer, &error))
}

fn within(raw: &RawValue, pointer: &str, error: &serde_json::Error) -> Unreadable {
    let mut problem = malformed(raw.get().as_bytes(), error);
    pointer.clone_into(&mut problem.pointer);
    Unreadable::NotJson(problem)
}

/// Reads the body of `PUT /v1/bundle` and `POST /v1/validate`. What the engine would refuse for its size does not grow
/// here either.
///
/// # Errors
/// If it is not JSON, or no object.
pub(super) fn read_bundle(body: &[u8], limits: &Limits) -> Result<Uploaded, Unreadable> {
    let not_json = |error: serde_json::Error| Unreadable::NotJson(malformed(body, &error));
    let whole: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    if !whole.get().starts_with('{') {
        let message = format!("the bundle is {}, not an object with `policies`", kind(whole));
        return Err(RequestError::new("invalid_request", "", message).into());
    }
    let mut read = Uploaded::default();
    let mut has_policies = false;
    for (key, raw) in parts(whole, "", "members", MAX_MEMBERS)? {
        match key.as_str() {
            "policies" => {
                has_policies = true;
                read.policies(raw, limits)?;
            }
            "schema" => {
                let schema = read.part(read_schema(raw))?;
                read.schema_is_broken = schema.is_none();
                read.bundle.schema = schema.flatten();
            }
            "entities" => read.bundle.entities = read.part(read_entities(raw))?.unwrap_or_default(),
            "links" => read.links(raw, limits)?,
            "rules" => read.rules(raw)?,
            "routes" => read.bundle.routes = read.part(read_routes(raw))?.unwrap_or_default(),
            "revision" => read.revision = read.part(read_revision(raw))?.flatten(),
            other => {
                let near = hint(other, ["policies", "schema", "entities", "links", "rules", "routes", "revision"]);
                let message = format!(
                    "unknown member `{other}`; a bundle has policies, schema, entities, links, rules, routes{near}"
                );
                let fault = RequestError::new("unknown_member", pointer(other), message);
                read.push(elsewhere::said(elsewhere::Place::Bundle, fault));
            }
        }
    }
    if !has_policies {
        read.push(RequestError::new("missing_member", "/policies", "the bundle lacks `policies`"));
    }
    Ok(read)
}

/// Reads what `GET /v1/bundle` answered: the bundle, and the revision that it is of.
///
/// # Errors
/// If it is not all of that, in words.
pub fn read_exported(body: &[u8], limits: &Limits) -> Result<(Bundle, Option<Revision>), String> {
    let read = read_bundle(body, limits).and_then(|read| read.whole().map_err(|(error, _)| error.into()));
    read.map_err(|reason| Problem::from(reason).detail)
}

/// What a body holds.
#[derive(Default)]
pub(super) struct Uploaded {
    bundle: Bundle,
    /// The revision that it was made from, as `GET` gives it.
    revision: Option<Revision>,
    /// What is of another shape than in a bundle, up to a bound.
    faults: Vec<RequestError>,
    schema_is_broken: bool,
    policies_are_whole: bool,
}

/// How many faults of shape are listed.
const LISTED: usize = 100;

impl Uploaded {
    /// The bundle and the revision that it was made from.
    ///
    /// # Errors
    /// What is of another shape: the first of it, and all of it.
    pub(super) fn whole(self) -> Result<(Bundle, Option<Revision>), (RequestError, Vec<Diagnostic>)> {
        match self.faults.first().cloned() {
            None => Ok((self.bundle, self.revision)),
            Some(first) => Err((first, found(&self.faults))),
        }
    }

    /// What is of another shape, and what of the bundle can be looked at all the same: links only where every policy could be
    /// read, since one may be of a policy that could not.
    pub(super) fn rest(self) -> (Vec<Diagnostic>, Bundle, bool) {
        let Self { mut bundle, faults, policies_are_whole, schema_is_broken, .. } = self;
        if !policies_are_whole {
            bundle.links.clear();
            bundle.for_each.links.iter_mut().for_each(|declared| declared.missing = Missing::Warn);
        }
        (found(&faults), bundle, schema_is_broken)
    }

    fn push(&mut self, error: RequestError) {
        if self.faults.len() < LISTED {
            self.faults.push(error);
        }
    }

    /// A part of the bundle; nothing where it is of another shape, which is noted.
    fn part<T>(&mut self, read: Result<T, Unreadable>) -> Result<Option<T>, Unreadable> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Unreadable::Shape(error)) => {
                self.push(error);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}

/// The same faults, each at its place in the bundle.
pub(super) fn found(faults: &[RequestError]) -> Vec<Diagnostic> {
    faults.iter().map(|error| Diagnostic::error(place(&error.pointer), error.message.as_str())).collect()
}

/// A JSON pointer as the places of a bundle are written everywhere: `links[0].template_id`, `policies["a"]`.
fn place(pointer: &str) -> String {
    let (mut place, mut of_names) = (String::new(), false);
    for (depth, step) in pointer.split('/').skip(1).enumerate() {
        let step = step.replace("~1", "/").replace("~0", "~");
        match (depth, step.parse::<usize>()) {
            (0, _) => {
                of_names = step == "policies";
                place.push_str(&step);
            }
            (1, _) if of_names => place.push_str(&format!("[{step:?}]")),
            (_, Ok(n)) => place.push_str(&format!("[{n}]")),
            (_, Err(_)) => place.push_str(&format!(".{step}")),
        }
    }
    place
}

fn read_revision(raw: &RawValue) -> Result<Option<Revision>, Unreadable> {
    let wrong = || wrong_type("/revision", "`revision`", "a text, as `GET` gives it, or null", raw);
    if raw.get().len() > MAX_SMALL {
        return Err(wrong().into());
    }
    match parse(raw, "/revision")? {
        Value::Null => Ok(None),
        Value::String(text) => match text.parse() {
            Ok(revision) => Ok(Some(revision)),
            Err(error) => Err(RequestError::new("invalid_revision", "/revision", error.to_string()).into()),
        },
        _ => Err(wrong().into()),
    }
}

/// Members of a body, known or not.
const MAX_MEMBERS: usize = 100;

/// Bytes of a member that is small: a link, a revision.
const MAX_SMALL: usize = 64 << 10;

/// Files of routes.
const MAX_ROUTE_FILES: usize = 10_000;

/// Rules of the data.
const MAX_RULES: usize = 1_000;

/// Fragments of a schema.
const MAX_FRAGMENTS: usize = 10_000;

/// Bytes of a policy or schema in the JSON form that are read as a value here. Larger ones are left to the engine, which
/// has a bound for them.
const MAX_READ: usize = 8 << 20;

/// What a JSON text is, by its first character.
pub(super) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A text that is a JSON string.
fn string(raw: &RawValue, pointer: &str) -> Result<String, Unreadable> {
    serde_json::from_str::<Cow<'_, str>>(raw.get()).map(Cow::into_owned).map_err(|error| within(raw, pointer, &error))
}

/// The text of an object, written as it is kept.
fn object(raw: &RawValue, pointer: &str) -> Result<String, Unreadable> {
    if raw.get().len() > MAX_READ {
        return Ok(raw.get().to_owned());
    }
    Ok(parse(raw, pointer)?.to_json().to_string())
}

/// One policy of several.
fn read_policy(id: &str, raw: &RawValue) -> Result<PolicyText, Unreadable> {
    let pointer = format!("/policies{}", pointer(id));
    check_id(id, &pointer)?;
    let text = match raw.get().as_bytes().first() {
        Some(b'"') => string(raw, &pointer)?,
        // Cedar's JSON form, as the text that it is kept as
        Some(b'{') => object(raw, &pointer)?,
        _ => {
            let expected = "text, or an object in Cedar's JSON form";
            return Err(wrong_type(&pointer, "a policy", expected, raw).into());
        }
    };
    Ok(PolicyText { origin: format!("policies[{id:?}]"), text, naming: PolicyNaming::Exactly(id.to_owned()) })
}

fn read_schema(raw: &RawValue) -> Result<Option<SchemaText>, Unreadable> {
    let fragment = |raw: &RawValue| match raw.get().as_bytes().first() {
        Some(b'"') => Ok(("schema".to_owned(), string(raw, "/schema")?)),
        Some(b'{') => Ok(("schema".to_owned(), object(raw, "/schema")?)),
        _ => Err(Unreadable::from(wrong_type("/schema", "`schema`", "a text in Cedar's or JSON syntax", raw))),
    };
    match raw.get().as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'[') => {
            let fragments = parts(raw, "/schema", "fragments", MAX_FRAGMENTS)?;
            let fragments = fragments.into_iter().map(|(_, raw)| fragment(raw)).collect::<Result<_, _>>()?;
            Ok(Some(SchemaText { fragments }))
        }
        _ => Ok(Some(SchemaText { fragments: vec![fragment(raw)?] })),
    }
}

fn read_entities(raw: &RawValue) -> Result<Vec<Document>, Unreadable> {
    let text = raw.get();
    let bytes = match text.as_bytes().first() {
        Some(b'n') => return Ok(Vec::new()),
        Some(b'[') => text.as_bytes().to_vec(),
        // the text of a file, array or NDJSON, passed on as a string
        Some(b'"') => string(raw, "/entities")?.into_bytes(),
        _ => {
            return Err(
                RequestError::new("invalid_member", "/entities", "`entities` must be an array of entities").into()
            );
        }
    };
    Ok(vec![Document::held("entities", bytes)])
}

/// One text, or one for each name. Problems are reported with the name.
fn read_routes(raw: &RawValue) -> Result<Vec<(String, String)>, Unreadable> {
    match raw.get().as_bytes().first() {
        Some(b'n') => Ok(Vec::new()),
        Some(b'"') => Ok(vec![("routes".to_owned(), string(raw, "/routes")?)]),
        Some(b'{') => parts(raw, "/routes", "files of routes", MAX_ROUTE_FILES)?
            .into_iter()
            .map(|(name, raw)| {
                let pointer = format!("/routes{}", pointer(&name));
                match raw.get().as_bytes().first() {
                    Some(b'"') => Ok((name, string(raw, &pointer)?)),
                    _ => Err(wrong_type(&pointer, "a file of routes", "text", raw).into()),
                }
            })
            .collect(),
        _ => Err(wrong_type("/routes", "`routes`", "one text or an object of name and text", raw).into()),
    }
}

impl Uploaded {
    /// Policies: one text, or one for each id.
    fn policies(&mut self, raw: &RawValue, limits: &Limits) -> Result<(), Unreadable> {
        let before = self.faults.len();
        match raw.get().as_bytes().first() {
            Some(b'"') => {
                let text = self.part(string(raw, "/policies"))?.unwrap_or_default();
                let (origin, naming) = ("policies".to_owned(), PolicyNaming::Ordinal);
                self.bundle.policies.push(PolicyText { origin, text, naming });
            }
            Some(b'{') => {
                for (id, raw) in parts(raw, "/policies", "policies (`limits.max_policies`)", limits.max_policies)? {
                    let read = self.part(read_policy(&id, raw))?;
                    self.bundle.policies.extend(read);
                }
            }
            _ => self.push(wrong_type("/policies", "`policies`", "one text or an object of id and text", raw)),
        }
        self.policies_are_whole = self.faults.len() == before;
        Ok(())
    }

    /// Links, and declarations of links that the data make.
    fn links(&mut self, raw: &RawValue, limits: &Limits) -> Result<(), Unreadable> {
        match raw.get().as_bytes().first() {
            Some(b'n') => return Ok(()),
            Some(b'[') => {}
            _ => {
                self.push(wrong_type("/links", "`links`", "an array", raw));
                return Ok(());
            }
        }
        let elements = parts(raw, "/links", "links (`limits.max_policies`)", limits.max_policies)?;
        for (i, (_, raw)) in elements.into_iter().enumerate() {
            let at = format!("/links/{i}");
            let Some(value) = self.part(small(raw, &at, "a link"))? else { continue };
            let written = Some(Written::new(format!("links[{i}]"), None));
            if value.get("each").is_some() {
                let (read, problems) = LinkDeclaration::read(value, &at);
                problems.into_iter().for_each(|problem| self.push(problem));
                self.bundle.for_each.links.extend(read.map(|read| LinkDeclaration { written, ..read }));
                continue;
            }
            let (read, problems) = Link::read(value, LinkNames::OF_FILES, &at);
            problems.into_iter().for_each(|problem| self.push(problem));
            let Some(read) = read else { continue };
            self.part(check_id(&read.link_id, &format!("{at}/link_id")).map_err(Unreadable::from))?;
            // its place among the links alone says where it is, unless there are declarations before it
            let written = written.filter(|_| self.bundle.links.len() != i);
            self.bundle.links.push(Link { written, ..read });
        }
        Ok(())
    }

    /// Rules of the data.
    fn rules(&mut self, raw: &RawValue) -> Result<(), Unreadable> {
        match raw.get().as_bytes().first() {
            Some(b'n') => return Ok(()),
            Some(b'[') => {}
            _ => {
                self.push(wrong_type("/rules", "`rules`", "an array", raw));
                return Ok(());
            }
        }
        for (i, (_, raw)) in parts(raw, "/rules", "rules", MAX_RULES)?.into_iter().enumerate() {
            let at = format!("/rules/{i}");
            let Some(value) = self.part(small(raw, &at, "a rule"))? else { continue };
            let (read, problems) = DataRule::read(value, &at);
            problems.into_iter().for_each(|problem| self.push(problem));
            let written = Some(Written::new(format!("rules[{i}]"), None));
            self.bundle.for_each.rules.extend(read.map(|read| DataRule { written, ..read }));
        }
        Ok(())
    }
}

/// A member that is small, read as a value.
fn small<'a>(raw: &'a RawValue, at: &str, what: &str) -> Result<Value<'a>, Unreadable> {
    if raw.get().len() > MAX_SMALL {
        let message = format!("{what} of more than {MAX_SMALL} bytes");
        return Err(RequestError::new("invalid_member", at, message).into());
    }
    parse(raw, at)
}

fn wrong_type(pointer: &str, what: &str, expected: &str, found: &RawValue) -> RequestError {
    unlike(pointer, what, expected, kind(found))
}

fn unlike(pointer: &str, what: &str, expected: &str, found: &str) -> RequestError {
    RequestError::new("invalid_member", pointer, format!("{what} must be {expected}, not {found}"))
}
