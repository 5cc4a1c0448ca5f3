//! The headers of a gateway's request as name and value, in whatever form they came.

use std::borrow::Cow;

use http::HeaderMap;
use smallvec::SmallVec;

use crate::identity::{Credential, Rule};
use crate::telemetry::RefusalReason;
use crate::transport::exchange::AT_LEAST;
use crate::transport::gateway::owned;
use crate::transport::gateway::way::Stop;
use palisade_engine::model::Revision;
use palisade_routes::{Field, Headers, Watched, is_twin, same_name};

/// Headers. Names are in small letters, and those that are there twice are twice in it.
#[derive(Default)]
pub(super) struct Fields<'a> {
    list: SmallVec<[(&'a str, &'a [u8]); 16]>,
    /// The lengths of the names, a bit for each. Some fifty names are looked for in every request, and names that any
    /// server takes for one another are of one length: most are not there, which this shows without a look at any.
    lengths: u64,
    /// Those of them that routes look for in every request, and that are there.
    watched: Watched,
}

/// The fields of a request.
pub(super) fn of(headers: &HeaderMap) -> Fields<'_> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// The bit of names that are as long. Those beyond share the last.
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Fields<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: I) -> Self {
        let mut all = Self::default();
        // made in place: the list is long, and moving it costs more than what is noted
        for (name, value) in fields {
            all.lengths |= length_bit(name);
            all.watched.note(name);
            all.list.push((name, value));
        }
        all
    }
}

impl<'a> Fields<'a> {
    /// Whether some name is as long, without which none is this one or a twin of it.
    fn may_have(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0
    }

    /// The headers of exactly that name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.list.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// The header of exactly that name. Without one, or with more than one, it is unclear what the gateway means.
    pub(super) fn one(&self, name: &str) -> Result<&'a [u8], Stop> {
        let mut values = self.named(name);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (found, _) => {
                let what =
                    if found.is_none() { "is missing: the gateway must set it" } else { "is there more than once" };
                Err(Stop::new(RefusalReason::BadDescription, format!("`{name}` {what}")))
            }
        }
    }

    /// Whether these headers of the client's own request say that it has no body. That they say nothing of it is not
    /// enough: over HTTP/2 a body needs no length, and not every gateway passes all of them on.
    pub(super) fn has_no_body(&self) -> bool {
        self.field("content-length") == Field::One(b"0") && self.field("transfer-encoding") == Field::Absent
    }

    /// The revision that the answer must at least be made at, if the request names one.
    pub(super) fn at_least(&self) -> Result<Option<Revision>, Stop> {
        let wrong =
            || Stop::new(RefusalReason::RevisionNotReached, "`Palisade-At-Least` is not a revision, or is sent twice");
        match self.field(AT_LEAST.as_str()) {
            Field::Absent => Ok(None),
            Field::One(value) => {
                std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).map(Some).ok_or_else(wrong)
            }
            Field::Repeated => Err(wrong()),
        }
    }

    /// The credential that `rule` looks for. A twin of its header is as good as a second one: some services read it.
    /// In a header of cookies it is the one named `cookie`.
    pub(super) fn credential(&self, rule: &Rule, cookie: Option<&str>) -> Credential<'_> {
        if self.list.iter().any(|(name, _)| is_twin(name, rule.header())) {
            return Credential::Repeated;
        }
        match (Credential::find(rule, self.list.iter().copied(), same_name), cookie) {
            (Credential::One(value), Some(name)) => match palisade_routes::cookie(value, name) {
                Field::Absent => Credential::Absent,
                Field::One(value) => Credential::One(value),
                Field::Repeated => Credential::Repeated,
            },
            (found, _) => found,
        }
    }

    /// Refuses twins of the headers that name the caller, and these as trailers: some services would read them.
    pub(super) fn check_spoofs(&self) -> Result<(), Stop> {
        let twin = |name: &str| owned::TEXTS.iter().any(|owned| is_twin(name, owned));
        let may_be = owned::TEXTS.iter().any(|owned| self.may_have(owned));
        if may_be && self.list.iter().any(|(name, _)| twin(name)) {
            let message = "a header is, for some services, one that names the caller";
            return Err(Stop::new(RefusalReason::SpoofedHeader, message));
        }
        if !self.may_have("trailer") {
            return Ok(());
        }
        // what comes behind a body may be merged into the headers
        let trailers = self.list.iter().filter(|(name, _)| same_name(name, "trailer"));
        let named = trailers.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let ours = |name: &str| name.len() > 2 && same_name(&name[..2], "x-") || same_name(name, "authorization");
        if named.filter_map(|name| std::str::from_utf8(name).ok()).any(|name| name.is_char_boundary(2) && ours(name)) {
            let message = "a trailer may be taken for a header that was not checked";
            return Err(Stop::new(RefusalReason::SpoofedHeader, message));
        }
        Ok(())
    }
}

impl Headers for Fields<'_> {
    fn field(&self, name: &str) -> Field<'_> {
        if !self.may_have(name) {
            return Field::Absent;
        }
        self.list.as_slice().field(name)
    }

    fn list(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if !self.may_have(name) {
            return Some(Cow::Borrowed(b""));
        }
        self.list.as_slice().list(name)
    }

    fn watched(&self) -> Watched {
        self.watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_lengths_say_is_what_a_look_at_all_says() {
        let long = "x".repeat(70);
        let names = ["a", "x-id", "x_id", "x-user", "x-user", "x-forwarded-host", &long];
        let fields: Fields<'_> = names.iter().map(|name| (*name, &b"v"[..])).collect();
        for name in [
            "a",
            "b",
            "x-id",
            "x-user",
            "x-user-id",
            "x-forwarded-host",
            "x-forwarded-port",
            "",
            &long,
            &"y".repeat(64),
        ] {
            assert_eq!(fields.field(name), fields.list.as_slice().field(name), "{name}");
            assert_eq!(fields.list(name), fields.list.as_slice().list(name), "{name}");
        }
        assert_eq!(Fields::default().field("a"), Field::Absent);
    }
}
