//! The records of gateways' requests about which no policy was asked: refused before, or passed on a public route.
//!
//! They hold the reason, the route, and what was asked for as far as its path. Never a query, a header or a credential:
//! those hold secrets more often than not.

use crate::decide::Call;
use crate::telemetry::RefusalReason;
use palisade_engine::model::{Revision, Uid};

/// The longest path that is recorded, in bytes.
const MAX_PATH: usize = 1_024;

/// What was asked for, as the gateway describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) method: Box<str>,
    pub(super) host: Option<Box<str>>,
    pub(super) path: Box<str>,
}

impl Target {
    /// Without the query, and cut where it is very long.
    #[must_use]
    pub fn new(method: &str, host: Option<&str>, target: &[u8]) -> Self {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let path = path.get(..MAX_PATH).unwrap_or(path);
        Self {
            method: method.into(),
            host: host.map(Into::into),
            path: String::from_utf8_lossy(path).into_owned().into(),
        }
    }
}

/// A request that was refused.
#[derive(Debug, Clone)]
pub struct Refused<'a> {
    /// Why, for the metrics.
    pub reason: RefusalReason,
    /// Why, as exactly as it is known: a stable word.
    pub code: &'a str,
    /// Why, for people. Holds nothing that the client sent.
    pub message: &'a str,
    /// What was asked for, if the gateway said so and a reader wants to know.
    pub target: Option<Target>,
    /// The route that refuses, as `file:line`.
    pub route: Option<&'a str>,
    /// Who asked, if that is known.
    pub principal: Option<&'a Uid<'a>>,
    /// The state that it was refused at.
    pub revision: Option<Revision>,
}

/// A request that passed because its route is public.
#[derive(Debug, Clone)]
pub struct Public<'a> {
    /// What was asked for, if a reader wants to know.
    pub target: Option<Target>,
    /// The route, as `file:line`.
    pub route: &'a str,
    /// The state that has the route.
    pub revision: Revision,
}

/// Such a request, for the decision log.
#[derive(Debug)]
pub(super) struct UnaskedRecord<'a> {
    pub(super) call: Call<'a>,
    /// Code and message; `None` if it passed.
    pub(super) refused: Option<(&'a str, &'a str)>,
    pub(super) target: Option<Target>,
    pub(super) route: Option<&'a str>,
    pub(super) principal: Option<&'a Uid<'a>>,
    pub(super) revision: Option<Revision>,
}

impl<'a> UnaskedRecord<'a> {
    pub(super) fn refused(refused: Refused<'a>, call: Call<'a>) -> Self {
        let Refused { code, message, target, route, principal, revision, .. } = refused;
        Self { call, refused: Some((code, message)), target, route, principal, revision }
    }

    pub(super) fn public(public: Public<'a>, call: Call<'a>) -> Self {
        let Public { target, route, revision } = public;
        Self { call, refused: None, target, route: Some(route), principal: None, revision: Some(revision) }
    }
}
