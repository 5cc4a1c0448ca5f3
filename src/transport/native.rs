//! The native decision API: `/v1/is_authorized` and its batch.

use http::StatusCode;

use crate::decide::{self, Call};
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::respond::{self, Answer, Problem};
use palisade_engine::model::request::pointer;
use palisade_engine::model::{AccessRequest, Decision, Member, Outcome, RequestError, Text};

/// `POST /v1/is_authorized`
pub(super) async fn is_authorized(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange, &body).await?;
    let _room = services.trees.room_for(body.len()).await?;
    let request = AccessRequest::from_value(exchange::parse(&body)?)?;
    let decision = services.pdp.check(&request, exchange.call(Transport::Native)).await?;
    exchange.note(|notes| notes.decided(decision.outcome.is_allow()));
    // room for a reason or two
    let mut out = Vec::with_capacity(256);
    write_decision(&mut out, &decision).map_err(|_| Problem::unwritable())?;
    Ok(respond::at(decision.revision, respond::with_type(StatusCode::OK, "application/json", out)))
}

/// `POST /v1/is_authorized/batch`: all items are decided at one snapshot, each for itself. The body is read whole before
/// the first is decided, and each item is made values when its turn comes.
pub(super) async fn batch(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange, &body).await?;
    let requests = items(exchange::check(&body)?)?;
    services.check_batch_size(requests.len(), "requests")?;
    let largest = requests.iter().map(|item| item.bytes()).max().unwrap_or_default();
    let _room = services.trees.room_for(largest).await?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let trace = exchange.trace.as_deref();
    let call = Call { transport: Transport::Batch, request_id: &exchange.request_id, trace };
    let (now, mut time) = (decide::clock(), decide::BatchTime::start());
    let mut out = Vec::with_capacity(128 * (requests.len() + 1));
    out.extend_from_slice(b"{\"responses\":[");
    for (i, item) in requests.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let answer = match AccessRequest::from_value(item.read().map_err(exchange::contradicted)?) {
            Ok(request) => match time.next_item().await {
                Ok(()) => services.pdp.check_at(&snapshot, &request, now, time.deadline(), call).await,
                Err(error) => Err(error),
            }
            .map_err(Problem::from),
            Err(error) => Err(error.into()),
        };
        let written = match answer {
            Ok(decision) => {
                exchange.note(|notes| notes.decided(decision.outcome.is_allow()));
                write_decision(&mut out, &decision)
            }
            Err(mut error) => {
                exchange.note(|notes| notes.failed(error.code));
                services.metrics.undecided(Transport::Batch, error.is_fault());
                error.pointer.insert_str(0, &format!("/requests/{i}"));
                write_failure(&mut out, &error)
            }
        };
        written.map_err(|_| Problem::unwritable())?;
        services.check_answer_size(&out, &mut exchange.open)?;
    }
    out.extend_from_slice(b"],\"revision\":\"");
    out.extend_from_slice(snapshot.revision().text().as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Ok(respond::at(snapshot.revision(), respond::with_type(StatusCode::OK, "application/json", out)))
}

/// The elements of `requests`.
fn items(body: Text<'_>) -> Result<Vec<Text<'_>>, Problem> {
    let Some(members) = body.members().map_err(exchange::contradicted)? else {
        return Err(RequestError::new("invalid_request", "", "the body is not an object with `requests`").into());
    };
    let mut requests = None;
    for Member { key, text, elements } in members {
        if key != "requests" {
            return Err(RequestError::new(
                "unknown_member",
                pointer(&key),
                format!("unknown member `{key}`; a batch has `requests`"),
            )
            .into());
        }
        requests = elements;
        if requests.is_none() {
            return Err(RequestError::new(
                "invalid_member",
                "/requests",
                format!("`requests` must be an array, not {}", text.kind().map_err(exchange::contradicted)?),
            )
            .into());
        }
    }
    requests.ok_or_else(|| RequestError::new("missing_member", "/requests", "the body lacks `requests`").into())
}

/// A decision as the native API writes it: cedar-agent's shape, and the revision. Only what must be escaped goes
/// through the serializer: the rest is the same in every answer.
fn write_decision(out: &mut Vec<u8>, decision: &Decision) -> serde_json::Result<()> {
    out.extend_from_slice(match decision.outcome {
        Outcome::Allow => b"{\"decision\":\"Allow\",\"diagnostics\":{\"reason\":",
        Outcome::Deny => b"{\"decision\":\"Deny\",\"diagnostics\":{\"reason\":",
    });
    serde_json::to_writer(&mut *out, &decision.reasons)?;
    out.extend_from_slice(b",\"errors\":");
    serde_json::to_writer(&mut *out, &decision.errors)?;
    if let Some(rule) = &decision.denied_by {
        out.extend_from_slice(b",\"denied_by\":");
        serde_json::to_writer(&mut *out, rule)?;
    }
    out.extend_from_slice(b"},\"revision\":\"");
    out.extend_from_slice(decision.revision.text().as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Ok(())
}

/// An item of a batch without a decision. Whoever reads only `decision` reads a denial.
fn write_failure(out: &mut Vec<u8>, error: &Problem) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"decision\":\"Deny\",\"diagnostics\":{\"reason\":[],\"errors\":[]},\"error\":");
    serde_json::to_writer(&mut *out, error)?;
    out.push(b'}');
    Ok(())
}
