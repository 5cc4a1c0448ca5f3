//! What is known of a request: what the gateway passed on, and who was found to be asking.
//!
//! The code for each gateway's dialect fills these in; nothing here reads a socket or verifies anything.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::media::{Json, Media};
use crate::names::{is_twin, same_name};
use crate::watched::Watched;
use palisade_engine::Snapshot;
use palisade_engine::model::{Uid, Value};

/// One request as a gateway described it.
#[derive(Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The method as it was sent. Methods are case-sensitive.
    pub method: &'a str,
    /// The target as it stood in the request line, undecoded.
    pub target: &'a [u8],
    /// The host that the client named.
    pub host: Option<&'a str>,
    /// The client's headers.
    pub headers: &'a (dyn Headers + Sync),
    /// The body, if the gateway forwards bodies.
    pub body: Body<'a>,
    /// Who is at the other end of the connection.
    pub peer: Peer<'a>,
}

impl RequestFacts<'_> {
    /// Whether there may be a body that is not known whole. Where the gateway does not say, there is one if its type is
    /// that of fields.
    pub(super) fn hides_a_body(&self) -> bool {
        match self.body {
            Body::Whole(_) => false,
            Body::Partial => true,
            Body::NotForwarded => {
                let media = Media::of(self);
                !media.typeless && (media.form || media.parts || media.json != Json::No)
            }
        }
    }
}

/// The headers of a request.
///
/// Names are compared without regard to case. One that some servers take for another is there as good as twice.
pub trait Headers {
    /// The header of that name, which is in lower case.
    fn field(&self, name: &str) -> Field<'_>;

    /// All lines of a header that is a list (RFC 9110, 5.3), joined with commas, and an empty text where there is none.
    /// `None` if one is there under a name that only some readers take for it.
    fn list(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// Which of the names that are looked for in every request may be there. Those who do not know it are asked for each.
    fn watched(&self) -> Watched {
        Watched::unknown()
    }
}

/// What headers of one name there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// None.
    Absent,
    /// One.
    One(&'a [u8]),
    /// Several, or one under a name that only some readers take for it: they may find different ones.
    Repeated,
}

/// What is known of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The gateway passes none on, and does not say whether there is one.
    NotForwarded,
    /// The gateway cut it.
    Partial,
    /// All of it. If it is empty, there is none.
    Whole(&'a [u8]),
}

/// The other end of the client's connection, as the gateway vouches for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its address.
    pub ip: Option<IpAddr>,
    /// The name in its certificate, such as a SPIFFE id.
    pub name: Option<&'a str>,
}

/// Who is asking, as verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity<'a> {
    /// The principal of every check.
    pub principal: Uid<'a>,
    /// `context.auth`, for actions that declare it.
    pub auth: Option<Auth<'a>>,
    /// `context.token`, for actions that declare it.
    pub token: Option<Uid<'a>>,
    /// The verified claims, an object.
    pub claims: Option<&'a Value<'a>>,
}

/// How the one who is asking was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// By what.
    pub method: &'a str,
    /// Whether with a second factor.
    pub mfa: bool,
}

impl<'a> Auth<'a> {
    /// `context.auth`.
    #[must_use]
    pub fn value(self) -> Value<'a> {
        let method = Value::String(Cow::Borrowed(self.method));
        Value::Object(vec![(Cow::Borrowed("method"), method), (Cow::Borrowed("mfa"), Value::Bool(self.mfa))])
    }
}

/// What the store says of entities.
pub trait Entities {
    /// The entity that an attribute of `entity` refers to; `None` if the entity, the attribute or the reference is missing.
    fn reference(&self, entity: &Uid<'_>, attribute: &str) -> Option<Uid<'static>>;
}

impl<F: Fn(&Uid<'_>, &str) -> Option<Uid<'static>>> Entities for F {
    fn reference(&self, entity: &Uid<'_>, attribute: &str) -> Option<Uid<'static>> {
        self(entity, attribute)
    }
}

impl Entities for Snapshot {
    fn reference(&self, entity: &Uid<'_>, attribute: &str) -> Option<Uid<'static>> {
        Snapshot::reference(self, entity, attribute)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn field(&self, name: &str) -> Field<'_> {
        let mut found = Field::Absent;
        for (other, value) in self {
            if same_name(other.as_ref(), name) {
                if found != Field::Absent || is_twin(other.as_ref(), name) {
                    return Field::Repeated;
                }
                found = Field::One(value.as_ref());
            }
        }
        found
    }

    fn list(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut found: Option<Cow<'_, [u8]>> = None;
        for (other, value) in self.iter().filter(|(other, _)| same_name(other.as_ref(), name)) {
            if is_twin(other.as_ref(), name) {
                return None;
            }
            match &mut found {
                Some(lines) => {
                    let lines = lines.to_mut();
                    lines.extend_from_slice(b", ");
                    lines.extend_from_slice(value.as_ref());
                }
                None => found = Some(Cow::Borrowed(value.as_ref())),
            }
        }
        Some(found.unwrap_or_default())
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn field(&self, name: &str) -> Field<'_> {
        self.as_slice().field(name)
    }

    fn list(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.as_slice().list(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_count() {
        let headers = vec![("X-Tenant", "a"), ("x_id", "b"), ("X-Id", "c"), ("X.Lone", "d")];
        assert_eq!(headers.field("x-tenant"), Field::One(b"a"));
        assert_eq!(headers.field("x-id"), Field::Repeated);
        assert_eq!(headers.field("x-lone"), Field::Repeated);
        assert_eq!(headers.field("x-none"), Field::Absent);
    }

    #[test]
    fn the_lines_of_a_list_are_joined() {
        let headers =
            vec![("X-Via", "a"), ("X-Lone", "1"), ("x-via", "b, c"), ("X_Two", "2"), ("X-Two", "3"), ("X-VIA", "")];
        for (name, expected) in
            [("x-via", Some("a, b, c, ")), ("x-lone", Some("1")), ("x-two", None), ("x-none", Some(""))]
        {
            assert_eq!(headers.list(name).as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }
}
