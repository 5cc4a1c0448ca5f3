//! Explanations: `POST /v1/explain` on the admin listener, and checks that ask for one beside their decision.

use std::sync::Arc;

use crate::config::ExplainMode;
use crate::decide::{self, why};
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::native::write_decision;
use crate::transport::respond::{self, Answer, Problem};
use http::StatusCode;
use palisade_engine::model::{AccessRequest, RequestError, Value};
use palisade_engine::{ExplainOptions, Snapshot};

/// `POST /v1/explain`: the request of a check, with `all` where more is to be shown. Nothing is decided for a caller here,
/// so neither the decision log nor the metrics of decisions know of it.
pub(super) async fn explain(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange, &body).await?;
    let _room = services.trees.room_for(body.len()).await?;
    let mut body = exchange::parse(&body)?;
    let all = flag(&mut body, "all")?;
    let read = AccessRequest::read_beside(body, &["all"]);
    let request = read.map_err(|faults| elsewhere::problem(Place::Explain, faults))?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let options = options(services, all);
    let explained = services.pdp.explain(&snapshot, &request, decide::clock(), options).await?;
    let out = serde_json::to_vec(&explained).map_err(|_| Problem::unwritable())?;
    Ok(respond::at(explained.revision, respond::with_type(StatusCode::OK, "application/json", out)))
}

/// Whether a check asks for an explanation. Takes the member out.
pub(super) fn is_wanted(body: &mut Value<'_>) -> Result<bool, RequestError> {
    flag(body, "explain")
}

/// Takes a boolean member out of an object; absent is false.
fn flag(body: &mut Value<'_>, name: &str) -> Result<bool, RequestError> {
    let Value::Object(members) = body else { return Ok(false) };
    let Some(at) = members.iter().position(|(key, _)| key == name) else { return Ok(false) };
    match members.remove(at).1 {
        Value::Bool(wanted) => Ok(wanted),
        Value::Null => Ok(false),
        other => {
            let message = format!("`{name}` must be true or false, not {}", other.kind());
            Err(RequestError::new("invalid_member", format!("/{name}"), message))
        }
    }
}

/// A check as any other, counted and recorded, with as much of an explanation as the configuration allows.
pub(super) async fn beside(
    services: &Services,
    exchange: &mut Exchange,
    request: &AccessRequest<'_>,
) -> Result<Answer, Problem> {
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let (now, deadline) = (decide::clock(), decide::reference_deadline());
    let call = exchange.call(Transport::Native);
    let decision = services.pdp.check_at(&snapshot, request, now, deadline, call).await?;
    exchange.note(|notes| notes.decided(decision.outcome.is_allow()));
    let shown = shown(services, &snapshot, request, now).await;
    let mut out = Vec::with_capacity(1_024);
    write_decision(&mut out, &decision).map_err(|_| Problem::unwritable())?;
    // the object goes on
    out.pop();
    out.extend_from_slice(b",\"explanation\":");
    serde_json::to_writer(&mut out, &shown.json).map_err(|_| Problem::unwritable())?;
    out.push(b'}');
    Ok(respond::at(decision.revision, respond::with_type(StatusCode::OK, "application/json", out)))
}

/// As much of an explanation as the configuration allows.
pub(super) struct Shown {
    /// The member `explanation` of an answer.
    pub(super) json: serde_json::Value,
    /// The same in a sentence or two, in English, where there is an explanation.
    pub(super) words: Option<String>,
}

/// Explains a decision that was made. The decision stands, with an explanation or without.
pub(super) async fn shown(
    services: &Services,
    snapshot: &Arc<Snapshot>,
    request: &AccessRequest<'_>,
    now: i64,
) -> Shown {
    let mode = services.explain;
    let without = |why: &str| Shown { json: why::without(why), words: None };
    if mode == ExplainMode::Off {
        return without("off");
    }
    let options = ExplainOptions { without_changes: mode == ExplainMode::Ids, ..options(services, false) };
    match services.pdp.explain(snapshot, request, now, options).await {
        Ok(explained) => {
            let words = Some(why::in_words(&explained, mode == ExplainMode::Full));
            Shown { json: why::shown(mode, &explained).unwrap_or_else(|| why::without("off")), words }
        }
        Err(error) => without(why::unavailable(&error)),
    }
}

fn options(services: &Services, all: bool) -> ExplainOptions {
    ExplainOptions { all, masks: services.masks.to_vec(), ..ExplainOptions::default() }
}
