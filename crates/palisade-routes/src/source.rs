//! Where a value comes from: `path.id`, `query.device_id`, `body.customer.id`, `principal.customer`.
//!
//! A value is taken only if every reader of the request finds the same one: a key that is there twice, or
//! under another name that some reader takes for it, refuses the request.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::asked::{Reads, Twin};
use crate::facts::{Entities, Field, Headers, Identity, Peer};
use crate::looks::{Looks, Side};
use crate::names::{folded_case, same_field};
use crate::path::Target;
use crate::query;
use crate::refusal::Refusal;
use crate::template::{EntityTemplate, missing};
use crate::values;
use crate::writing;
use palisade_engine::model::{Uid, Value};

/// A place in a request, or in what is known of the one who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A capture of the path, by its name.
    Path(String),
    /// A parameter of the query.
    Query(String),
    /// A header, in lower case.
    Header(String),
    /// A member of the JSON body; no steps mean the body itself.
    Body(Vec<String>),
    /// A verified claim.
    Claim(Vec<String>),
    /// The element that `each` is at, or a member of it.
    Each(Vec<String>),
    /// The entity that an attribute of the principal refers to.
    Principal(String),
    /// The entity that an attribute of the route's `record` refers to.
    Record(String),
    /// The address of the client.
    PeerIp,
    /// The name in the client's certificate.
    PeerName,
}

/// Everything that a source can be read from.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'x, 'l> {
    pub(super) target: &'x Target<'x>,
    /// Captures of the route: name and position.
    pub(super) captures: &'x [Capture],
    pub(super) headers: &'x (dyn Headers + Sync),
    pub(super) peer: Peer<'x>,
    pub(super) body: Option<&'x Value<'x>>,
    pub(super) identity: Option<&'x Identity<'x>>,
    pub(super) entities: Option<&'x dyn Entities>,
    pub(super) each: Option<&'x Value<'x>>,
    pub(super) record: Option<&'x EntityTemplate>,
    /// The members that the route lists for the body.
    pub(super) fields: Option<&'x BTreeSet<String>>,
    /// Whether the service takes what a capture is from the path alone.
    pub(super) path_alone: bool,
    /// What the route has looked at.
    pub(super) looks: &'l Looks,
    /// What has been read of the request.
    pub(super) reads: &'l Reads<'l>,
}

impl Inputs<'_, '_> {
    /// Refuses what the path, the query and the body name, and the route has read from one of them alone.
    pub(super) fn settled(&self) -> Result<(), Refusal> {
        let capture = |name: &str| self.capture(name);
        let Some(look) = self.looks.doubtful(self.target.query, self.body, self.fields, self.reads, &capture) else {
            return Ok(());
        };
        let (source, other) = match look.side {
            Side::Query => (Source::Query(look.name), "body"),
            Side::Body => (Source::Body(vec![look.name]), "query"),
            Side::Path => {
                let message = "is named by the query or the body, with another value or in another way, and some services take \
                               that instead; say `ignores: [capture_override]` under `service` if the service does not";
                return Err(ambiguous(&Source::Path(look.name), message));
            }
        };
        let message =
            format!("is named by the {other}, where the route does not look, and some services put both together");
        Err(ambiguous(&source, &message))
    }
}

impl<'x> Inputs<'x, '_> {
    /// Keeps in mind that what a capture is has a part in the outcome: a check reads it, or it chose the route.
    pub(super) fn note_capture(&self, name: &str) {
        let asks = || self.reads.has_parameter(self.target.query, name, &|_| true);
        if !self.path_alone && (self.body.is_some() || asks()) {
            self.looks.note(Side::Path, name);
        }
    }

    /// What a capture of that name takes.
    fn capture(&self, name: &str) -> Option<Cow<'x, str>> {
        let capture = self.captures.iter().find(|capture| capture.name == name)?;
        Some(match self.target.segments.get(capture.at) {
            _ if capture.rest => self.target.rest(capture.at),
            Some(segment) => Cow::Borrowed(capture.word(segment.text.as_ref())),
            None => Cow::Borrowed(""),
        })
    }
}

impl Inputs<'_, '_> {
    /// Refuses an id of the route's record that has a second writing, where `source` is read from the record and may have
    /// no value: what is found under one writing alone looks as if it were not there.
    pub(super) fn one_writing(&self, source: Option<&Source>) -> Result<(), Refusal> {
        let (Some(Source::Record(_)), Some(record)) = (source, self.record) else { return Ok(()) };
        let Some(named) = &record.id.source else { return Ok(()) };
        match named.text(self)?.as_deref().and_then(writing::doubt) {
            Some(doubt) => Err(ambiguous(named, doubt)),
            None => Ok(()),
        }
    }
}

/// Where a capture stands in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Its name.
    pub name: String,
    /// The segment, from 0.
    pub at: usize,
    /// Whether it takes all segments from there on.
    pub rest: bool,
    /// The words that it takes, if it takes no others.
    pub words: Vec<String>,
    /// Whether the path would be another route's, or refused, if it were something else.
    pub decides: bool,
}

impl Capture {
    /// What a segment is to the route. A word comes as the route writes it, since a router that distinguishes neither
    /// cases nor suffixes takes other writings of it for the same.
    fn word<'x>(&'x self, text: &'x str) -> &'x str {
        if self.words.is_empty() {
            return text;
        }
        let (folded, format) = (folded_case(text), text.rfind('.').map(|dot| folded_case(&text[..dot])));
        let known = |writing: &str| self.words.iter().find(|word| folded_case(word) == writing);
        let exact = self.words.iter().find(|word| *word == text);
        let found = exact.or_else(|| known(&folded)).or_else(|| format.and_then(|format| known(&format)));
        found.map_or(text, String::as_str)
    }
}

/// A value that a source gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found<'x> {
    Text(Cow<'x, str>),
    Json(&'x Value<'x>),
    Entity(Uid<'static>),
}

/// The kinds of source, for messages.
pub(super) const KINDS: &str = "`path.NAME`, `query.NAME`, `header.NAME`, `body.MEMBER`, `each`, `claim.NAME`, \
                                `principal.ATTRIBUTE`, `record.ATTRIBUTE`, `peer.ip` and `peer.name`";

impl Source {
    /// Reads `path.id` and its like.
    ///
    /// # Errors
    /// In words, if it is nothing of the kind.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{text}` is not a source of a value; the sources are {KINDS}");
        let (kind, rest) = text.split_once('.').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let steps = || -> Result<Vec<String>, String> {
            let steps: Vec<_> = rest.map(|rest| rest.split('.').map(str::to_owned).collect()).unwrap_or_default();
            if steps.iter().any(String::is_empty) { Err(unknown()) } else { Ok(steps) }
        };
        let name = || rest.filter(|rest| !rest.is_empty()).map(str::to_owned).ok_or_else(unknown);
        match kind {
            "path" => Ok(Self::Path(name()?)),
            "query" => Ok(Self::Query(name()?)),
            "header" => Ok(Self::Header(name()?.to_ascii_lowercase().replace('_', "-"))),
            "body" => Ok(Self::Body(steps()?)),
            "claim" if rest.is_some() => Ok(Self::Claim(steps()?)),
            "each" => Ok(Self::Each(steps()?)),
            "principal" => Ok(Self::Principal(name()?)),
            "record" => Ok(Self::Record(name()?)),
            "peer" if rest == Some("ip") => Ok(Self::PeerIp),
            "peer" if rest == Some("name") => Ok(Self::PeerName),
            _ => Err(unknown()),
        }
    }

    /// Whether the value is in the body.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        matches!(self, Self::Body(_) | Self::Each(_))
    }

    /// Whether the value is known before the caller is known.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        matches!(self, Self::Path(_) | Self::Query(_) | Self::Header(_) | Self::Body(_))
    }

    /// The names that it looks for in the path, the query or the body.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Path(name) | Self::Query(name) => std::slice::from_ref(name),
            Self::Body(steps) | Self::Each(steps) => steps,
            _ => &[],
        }
    }

    /// The value; `None` if there is none, JSON's `null` counting as none.
    pub(super) fn read<'x>(&self, from: &Inputs<'x, '_>) -> Result<Option<Found<'x>>, Refusal> {
        self.note(from);
        let found = self.find(from)?;
        let fault = found.as_ref().and_then(|found| match found {
            Found::Text(text) => values::of_text(text),
            Found::Json(value) => values::of_json(value),
            Found::Entity(uid) => values::of_text(&uid.id),
        });
        fault.map_or(Ok(found), |fault| Err(ambiguous(self, fault)))
    }

    /// What is there, whatever it holds.
    fn find<'x>(&self, from: &Inputs<'x, '_>) -> Result<Option<Found<'x>>, Refusal> {
        match self {
            Self::Path(name) => Ok(from.capture(name).map(Found::Text)),
            Self::Query(name) => match from.reads.parameter(from.target.query, name) {
                Ok(value) => Ok(value.map(Found::Text)),
                Err(fault) => Err(ambiguous(
                    self,
                    match fault {
                        query::QueryFault::Repeated => {
                            "is there more than once, or under a name that some readers take for it"
                        }
                        query::QueryFault::Semicolon => "cannot be read in one way: the query has a `;`",
                        query::QueryFault::QuestionMark => {
                            "cannot be read in one way: the query has a second `?`; write `%3F` in a value"
                        }
                        query::QueryFault::TooMany => {
                            "cannot be read in one way: the query has more than 1,000 parameters, and some readers stop there"
                        }
                        query::QueryFault::Undecodable => {
                            "cannot be read in one way: the query is not UTF-8 with percent encoding, or has a NUL"
                        }
                    },
                )),
            },
            Self::Header(name) => match from.headers.field(name) {
                Field::Absent => Ok(None),
                Field::Repeated => {
                    Err(ambiguous(self, "is there more than once, or under a name that some servers take for it"))
                }
                Field::One(value) => match std::str::from_utf8(value) {
                    // a proxy may have joined two with a comma
                    Ok(text) if text.is_ascii() && !text.contains([',']) && !text.contains(char::is_control) => {
                        Ok(Some(Found::Text(Cow::Borrowed(text.trim_matches(' ')))))
                    }
                    _ => Err(ambiguous(self, "has a comma, or is not plain ASCII")),
                },
            },
            Self::Body(steps) => match from.body {
                Some(body) => self.walk(body, steps, Some(from.reads)),
                None => Err(Refusal::forbidden("body_unread", format!("`{self}` needs the body"))),
            },
            Self::Each(steps) => match from.each {
                Some(element) => self.walk(element, steps, Some(from.reads)),
                None => Ok(None),
            },
            Self::Claim(steps) => match from.identity.and_then(|identity| identity.claims) {
                Some(claims) => self.claim(claims, steps),
                None => Ok(None),
            },
            Self::Principal(attribute) => Ok(from
                .identity
                .zip(from.entities)
                .and_then(|(identity, entities)| entities.reference(&identity.principal, attribute))
                .map(Found::Entity)),
            Self::Record(attribute) => {
                let Some((record, entities)) = from.record.zip(from.entities) else { return Ok(None) };
                let record = record.make(from)?.ok_or_else(|| missing(record.id.source.as_ref()))?;
                Ok(entities.reference(&record, attribute).map(Found::Entity))
            }
            Self::PeerIp => Ok(from.peer.ip.map(|ip| Found::Text(Cow::Owned(ip.to_string())))),
            Self::PeerName => Ok(from.peer.name.map(|name| Found::Text(Cow::Borrowed(name)))),
        }
    }

    /// Keeps in mind that this was looked at, where another side of the request could say otherwise. Most have no such
    /// side, and then nothing is kept.
    fn note(&self, from: &Inputs<'_, '_>) {
        let query = from.target.query;
        match self {
            Self::Path(name) => from.note_capture(name),
            Self::Query(name) => {
                let is_capture = || from.captures.iter().any(|capture| same_field(name, &capture.name));
                if from.body.is_some() || (query.is_some() && is_capture()) {
                    from.looks.note(Side::Query, name);
                }
            }
            Self::Body(steps) => steps.iter().take(1).for_each(|name| from.looks.note(Side::Body, name)),
            _ => {}
        }
    }

    /// Whether the request names it, be it with `null` or with an object that lacks what is asked for.
    pub(super) fn given(&self, from: &Inputs<'_, '_>) -> Result<bool, Refusal> {
        self.note(from);
        let named = match (self, from.body) {
            (Self::Body(steps), Some(Value::Object(members))) => {
                steps.first().is_some_and(|step| from.reads.exact(members, step).is_some())
            }
            _ => false,
        };
        Ok(named || self.read(from)?.is_some())
    }

    /// A claim may have dots in its own name, as in `https://example.com/role`: the longest name that is there counts.
    fn claim<'x>(&self, claims: &'x Value<'x>, steps: &[String]) -> Result<Option<Found<'x>>, Refusal> {
        let names = (2..=steps.len()).rev().map(|length| (length, steps[..length].join(".")));
        for (length, name) in names {
            if claims.get(&name).is_some() {
                let steps: Vec<String> = std::iter::once(name).chain(steps[length..].iter().cloned()).collect();
                return self.walk(claims, &steps, None);
            }
        }
        self.walk(claims, steps, None)
    }

    /// Goes into a value. With `reads` the service behind reads it too, and may take another name for the one that is
    /// asked for; without, only we do: its issuer has signed it.
    fn walk<'x>(
        &self,
        value: &'x Value<'x>,
        steps: &[String],
        reads: Option<&Reads<'_>>,
    ) -> Result<Option<Found<'x>>, Refusal> {
        let mut value = value;
        for step in steps {
            let members = match value {
                Value::Object(members) => members,
                Value::Null => return Ok(None),
                _ => return Err(bad(self, "is inside something that is not an object")),
            };
            let found = match reads {
                Some(reads) => reads
                    .member(members, step)
                    .map_err(|Twin| ambiguous(self, "is there under another name, which some readers take for it"))?,
                None => value.get(step),
            };
            match found {
                Some(inner) => value = inner,
                None => return Ok(None),
            }
        }
        Ok(match value {
            Value::Null => None,
            other => Some(Found::Json(other)),
        })
    }

    /// The value as a word that a condition compares: a truth value is one too.
    pub(super) fn word<'x>(&self, from: &Inputs<'x, '_>) -> Result<Option<Cow<'x, str>>, Refusal> {
        match self.read(from)? {
            Some(Found::Json(Value::Bool(truth))) => Ok(Some(Cow::Borrowed(if *truth { "true" } else { "false" }))),
            _ => self.text(from),
        }
    }

    /// The value as the text of an id or of a string: not empty, and a whole number in decimal.
    pub(super) fn text<'x>(&self, from: &Inputs<'x, '_>) -> Result<Option<Cow<'x, str>>, Refusal> {
        let text = match self.read(from)? {
            None => return Ok(None),
            Some(Found::Text(text)) => text,
            Some(Found::Entity(uid)) => uid.id,
            Some(Found::Json(Value::String(text))) => Cow::Borrowed(text.as_ref()),
            Some(Found::Json(Value::Long(number))) => Cow::Owned(number.to_string()),
            Some(Found::Json(other)) => return Err(bad(self, &format!("is {}, not a text", other.kind()))),
        };
        if text.is_empty() { Err(bad(self, "is empty")) } else { Ok(Some(text)) }
    }
}

pub(super) fn ambiguous(source: &Source, what: &str) -> Refusal {
    Refusal::bad_request("ambiguous_value", format!("`{source}` {what}"))
}

pub(super) fn bad(source: &Source, what: &str) -> Refusal {
    Refusal::bad_request("bad_value", format!("`{source}` {what}"))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = |f: &mut fmt::Formatter<'_>, kind: &str, steps: &[String]| {
            f.write_str(kind)?;
            steps.iter().try_for_each(|step| write!(f, ".{step}"))
        };
        match self {
            Self::Path(name) => write!(f, "path.{name}"),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Body(path) => steps(f, "body", path),
            Self::Claim(path) => steps(f, "claim", path),
            Self::Each(path) => steps(f, "each", path),
            Self::Principal(attribute) => write!(f, "principal.{attribute}"),
            Self::Record(attribute) => write!(f, "record.{attribute}"),
            Self::PeerIp => f.write_str("peer.ip"),
            Self::PeerName => f.write_str("peer.name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_as_they_are_written() {
        for text in [
            "path.id",
            "query.device_id",
            "header.x-tenant",
            "body",
            "body.customer.id",
            "each",
            "each.id",
            "claim.org.id",
            "claim.https://example.com/doc",
            "principal.customer",
            "record.customer",
            "peer.ip",
            "peer.name",
        ] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Source::parse("header.X_Tenant").unwrap().to_string(), "header.x-tenant");
        for text in
            ["", "id", "path", "path.", "body.", "body..a", "claim", "peer", "peer.port", "principal", "cookie.a"]
        {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }
}
