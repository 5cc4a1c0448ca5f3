//! The record of a gateway's request that was refused before any policy was asked.
//!
//! It tells the reason and the route, never the target, a header or a credential: those may hold secrets.

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

/// A [`Refused`] on its way to the decision log.
#[derive(Debug)]
pub(super) struct RefusedRecord {
    time: SystemTime,
    transport: Transport,
    request_id: Box<str>,
    code: Box<str>,
    message: Box<str>,
    route: Option<Box<str>>,
    principal: Option<String>,
    revision: Option<Revision>,
}

impl RefusedRecord {
    pub(super) fn new(refused: Refused<'_>, call: Call<'_>) -> Self {
        Self {
            time: SystemTime::now(),
            transport: call.transport,
            request_id: call.request_id.into(),
            code: refused.code.into(),
            message: refused.message.into(),
            route: refused.route.map(Into::into),
            principal: refused.principal.map(ToString::to_string),
            revision: refused.revision,
        }
    }
}

/// A line of the log.
#[derive(Serialize)]
pub(super) struct RefusedLine<'a> {
    decision_id: String,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    transport: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    decision: Outcome,
    refused: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
}

impl<'a> RefusedLine<'a> {
    pub(super) fn new(record: &'a RefusedRecord) -> Self {
        let timestamp = jiff::Timestamp::try_from(record.time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            decision_id: uuid::Uuid::now_v7().to_string(),
            time: format!("{timestamp:.6}"),
            revision: record.revision.map(|revision| revision.to_string()),
            transport: record.transport.as_str(),
            request_id: &record.request_id,
            principal: record.principal.as_deref(),
            decision: Outcome::Deny,
            refused: &record.code,
            message: &record.message,
            route: record.route.as_deref(),
        }
    }
}
