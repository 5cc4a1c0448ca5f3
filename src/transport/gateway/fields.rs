//! The headers of a gateway's request as name and value, in whatever form they came.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::domain::Revision;
use crate::gateway::{self, Field, Headers, same_name};
use crate::identity::{Credential, Rule};
use crate::telemetry::RefusalReason;
use crate::transport::exchange::AT_LEAST;
use crate::transport::gateway::owned;
use crate::transport::gateway::way::Stop;

/// Headers. Names are in small letters, and those that are there twice are twice in it.
#[derive(Default)]
pub(super) struct Fields<'a>(pub(super) SmallVec<[(&'a str, &'a [u8]); 16]>);

/// The fields of a request.
pub(super) fn of(headers: &HeaderMap) -> Fields<'_> {
    Fields(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect())
}

impl<'a> Fields<'a> {
    /// The headers of exactly that name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// The header of exactly that name. None, or more than one, and nobody knows what the gateway means.
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

    /// The revision that the answer must at least be made at, if the request names one.
    pub(super) fn at_least(&self) -> Result<Option<Revision>, Stop> {
        let wrong =
            || Stop::new(RefusalReason::RevisionNotReached, "`Palisade-At-Least` is no revision, or there twice");
        match self.field(AT_LEAST.as_str()) {
            Field::Absent => Ok(None),
            Field::One(value) => {
                std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).map(Some).ok_or_else(wrong)
            }
            Field::Repeated => Err(wrong()),
        }
    }

    /// The credential that `rule` looks for. A twin of its header, with `_` for `-`, is a second one.
    pub(super) fn credential(&self, rule: &Rule) -> Credential<'_> {
        Credential::find(rule, self.0.iter().copied(), same_name)
    }

    /// Refuses a twin of the headers that name the caller: services that take `_` for `-` would read it beside them.
    pub(super) fn check_spoofs(&self) -> Result<(), Stop> {
        // most names differ in their length, which is seen first
        let twin = |name: &str| owned::NAMES.iter().any(|owned| same_name(name, owned.as_str())) && name.contains('_');
        if self.0.iter().any(|(name, _)| twin(name)) {
            return Err(Stop::new(
                RefusalReason::SpoofedHeader,
                "a header is, but for a `_`, one that names the caller to the service",
            ));
        }
        Ok(())
    }
}

impl Headers for Fields<'_> {
    fn field(&self, name: &str) -> gateway::Field<'_> {
        self.0.as_slice().field(name)
    }
}
