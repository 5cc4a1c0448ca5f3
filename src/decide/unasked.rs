//! The records of gateways' requests about which no policy was asked: refused before, or passed on a public route.
//!
//! They tell the reason and the route, never the target, a header or a credential: those may hold secrets.

use std::time::SystemTime;

use serde::Serialize;

use crate::decide::Call;
use crate::domain::{Outcome, Revision, Uid};
use crate::telemetry::{RefusalReason, Transport};

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Why, for the metrics.
    pub reason: RefusalReason,
    /// Why, as exactly as it is known: a stable word.
    pub code: &'a str,
    /// Why, for people. Holds nothing that the client sent.
    pub message: &'a str,
    /// The route that refuses, as `file:line`.
    pub route: Option<&'a str>,
    /// Who asked, if that is known.
    pub principal: Option<&'a Uid<'a>>,
    /// The state that it was refused at.
    pub revision: Option<Revision>,
}

/// A request that passed because its route is public.
#[derive(Debug, Clone, Copy)]
pub struct Public<'a> {
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
            decision_id: uuid::Uuid::now_v7().to_string(),
            time: format!("{timestamp:.6}"),
            revision: record.revision.map(|revision| revision.to_string()),
            transport: record.transport.as_str(),
            request_id: &record.request_id,
            principal: record.principal.as_deref(),
            decision: if refused.is_some() { Outcome::Deny } else { Outcome::Allow },
            refused: refused.map(|(code, _)| &**code),
            message: refused.map(|(_, message)| &**message),
            public: refused.is_none().then_some(true),
            route: record.route.as_deref(),
        }
    }
}
