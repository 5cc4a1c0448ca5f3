//! The records of gateways' requests about which no policy was asked: refused before, or passed on a public route.
//!
//! They tell the reason, the route, and what was asked for as far as its path. Never a query, a header or a credential:
//! those hold secrets more often than not.

use std::time::SystemTime;

use serde::Serialize;

use crate::decide::Call;
use crate::domain::{Outcome, Revision, Uid};
use crate::telemetry::{RefusalReason, Transport, fresh_id};

/// The longest path that is recorded, in bytes.
const MAX_PATH: usize = 1_024;

/// What was asked for, as the gateway describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    method: Box<str>,
    host: Option<Box<str>>,
    path: Box<str>,
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
    /// What was asked for, if the gateway said so and somebody wants to know.
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
    /// What was asked for, if somebody wants to know.
    pub target: Option<Target>,
    /// The route, as `file:line`.
    pub route: &'a str,
    /// The state that has the route.
    pub revision: Revision,
}

/// Such a request on its way to the decision log.
#[derive(Debug)]
pub(super) struct UnaskedRecord {
    time: SystemTime,
    transport: Transport,
    request_id: Box<str>,
    /// Code and message; `None` if it passed.
    refused: Option<(Box<str>, Box<str>)>,
    target: Option<Target>,
    route: Option<Box<str>>,
    principal: Option<String>,
    revision: Option<Revision>,
}

impl UnaskedRecord {
    pub(super) fn refused(refused: Refused<'_>, call: Call<'_>) -> Self {
        Self {
            time: SystemTime::now(),
            transport: call.transport,
            request_id: call.request_id.into(),
            refused: Some((refused.code.into(), refused.message.into())),
            target: refused.target,
            route: refused.route.map(Into::into),
            principal: refused.principal.map(ToString::to_string),
            revision: refused.revision,
        }
    }

    pub(super) fn public(public: Public<'_>, call: Call<'_>) -> Self {
        Self {
            time: SystemTime::now(),
            transport: call.transport,
            request_id: call.request_id.into(),
            refused: None,
            target: public.target,
            route: Some(public.route.into()),
            principal: None,
            revision: Some(public.revision),
        }
    }
}

/// A line of the log.
#[derive(Serialize)]
pub(super) struct UnaskedLine<'a> {
    decision_id: String,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    transport: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    decision: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
}

impl<'a> UnaskedLine<'a> {
    pub(super) fn new(record: &'a UnaskedRecord) -> Self {
        let timestamp = jiff::Timestamp::try_from(record.time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let refused = record.refused.as_ref();
        Self {
            decision_id: fresh_id().to_string(),
            time: format!("{timestamp:.6}"),
            revision: record.revision.map(|revision| revision.to_string()),
            transport: record.transport.as_str(),
            request_id: &record.request_id,
            method: record.target.as_ref().map(|target| &*target.method),
            host: record.target.as_ref().and_then(|target| target.host.as_deref()),
            path: record.target.as_ref().map(|target| &*target.path),
            principal: record.principal.as_deref(),
            decision: if refused.is_some() { Outcome::Deny } else { Outcome::Allow },
            refused: refused.map(|(code, _)| &**code),
            message: refused.map(|(_, message)| &**message),
            public: refused.is_none().then_some(true),
            route: record.route.as_deref(),
        }
    }
}
