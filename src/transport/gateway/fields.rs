//! The headers of a gateway's request as name and value, in whatever form they came.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::gateway::{self, Headers, same_name};
use crate::identity::{Credential, Rule};
use crate::telemetry::RefusalReason;
use crate::transport::gateway::owned;
use crate::transport::gateway::way::Stop;

/// Headers. Names are in small letters, and those that are there twice are twice in it.
#[derive(Default)]
pub(super) struct Fields<'a>(pub(super) SmallVec<[(&'a str, &'a [u8]); 24]>);

/// The fields of a request.
pub(super) fn of(headers: &HeaderMap) -> Fields<'_> {
    Fields(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect())
}

impl Fields<'_> {
    /// The credential that `rule` looks for. A twin of its header, with `_` for `-`, is a second one.
    pub(super) fn credential(&self, rule: &Rule) -> Credential<'_> {
        Credential::find(rule, |name| {
            // the closure that filters must own the name, which outlives no call
            let found: SmallVec<[&[u8]; 2]> =
                self.0.iter().filter(|(other, _)| same_name(other, name)).map(|(_, value)| *value).collect();
            found.into_iter()
        })
    }

    /// Refuses a twin of the headers that name the caller: services that take `_` for `-` would read it beside them.
    pub(super) fn check_spoofs(&self) -> Result<(), Stop> {
        let twin = |name: &str| name.contains('_') && owned::NAMES.iter().any(|owned| same_name(name, owned.as_str()));
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
