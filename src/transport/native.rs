//! The native decision API: `/v1/is_authorized` and its batch.

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::decide::Call;
use crate::domain::request::pointer;
use crate::domain::{AccessRequest, Decision, DeniedBy, Outcome, PolicyError, PolicyId, RequestError, Revision, Value};
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::respond::{self, Answer, Problem};

/// `POST /v1/is_authorized`
pub(super) async fn is_authorized(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange).await?;
    let request = AccessRequest::from_value(exchange::parse(&body)?)?;
    let call = Call { transport: Transport::Native, request_id: &exchange.request_id };
    let decision = services.pdp.check(&request, call)?;
    Ok(respond::at(decision.revision, respond::json(StatusCode::OK, &DecisionBody::new(&decision))))
}

/// `POST /v1/is_authorized/batch`: all items are decided at one snapshot, each for itself.
pub(super) async fn batch(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange).await?;
    let requests = items(exchange::parse(&body)?)?;
    services.check_batch_size(requests.len(), "requests")?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let call = Call { transport: Transport::Batch, request_id: &exchange.request_id };
    let mut responses = Vec::with_capacity(requests.len());
    for (i, item) in requests.into_iter().enumerate() {
        let answer = AccessRequest::from_value(item)
            .map_err(Problem::from)
            .and_then(|request| Ok(services.pdp.check_at(&snapshot, &request, call)?));
        responses.push(match answer {
            Ok(decision) => serde_json::to_value(DecisionBody::new(&decision)),
            Err(mut problem) => {
                problem.pointer.insert_str(0, &format!("/requests/{i}"));
                serde_json::to_value(FailedItem {
                    decision: Outcome::Deny,
                    diagnostics: Diagnostics::EMPTY,
                    error: problem,
                })
            }
        });
    }
    let responses: Vec<serde_json::Value> = responses.into_iter().map(Result::unwrap_or_default).collect();
    let body = serde_json::json!({ "responses": responses, "revision": snapshot.revision().to_string() });
    Ok(respond::at(snapshot.revision(), respond::json(StatusCode::OK, &body)))
}

/// The elements of `requests`.
fn items(body: Value<'_>) -> Result<Vec<Value<'_>>, Problem> {
    let Value::Object(members) = body else {
        return Err(RequestError::new("invalid_request", "", "the body is not an object with `requests`").into());
    };
    let mut requests = None;
    for (key, value) in members {
        match (key.as_ref(), value) {
            ("requests", Value::Array(elements)) => requests = Some(elements),
            ("requests", value) => {
                return Err(RequestError::new(
                    "invalid_member",
                    "/requests",
                    format!("`requests` must be an array, not {}", value.kind()),
                )
                .into());
            }
            (other, _) => {
                return Err(RequestError::new(
                    "unknown_member",
                    pointer(other),
                    format!("unknown member `{other}`; a batch has `requests`"),
                )
                .into());
            }
        }
    }
    requests.ok_or_else(|| RequestError::new("missing_member", "/requests", "the body lacks `requests`").into())
}

/// A decision as the native API writes it: cedar-agent's shape, and the revision.
#[derive(Serialize)]
pub(super) struct DecisionBody<'a> {
    decision: Outcome,
    diagnostics: Diagnostics<'a>,
    #[serde(serialize_with = "revision")]
    revision: Revision,
}

#[derive(Serialize)]
struct Diagnostics<'a> {
    reason: &'a [PolicyId],
    errors: &'a [PolicyError],
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'a DeniedBy>,
}

impl Diagnostics<'_> {
    const EMPTY: Self = Diagnostics { reason: &[], errors: &[], denied_by: None };
}

fn revision<S: Serializer>(revision: &Revision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(revision.text().as_str())
}

/// An item of a batch without a decision. Whoever reads only `decision` reads a denial.
#[derive(Serialize)]
struct FailedItem {
    decision: Outcome,
    diagnostics: Diagnostics<'static>,
    error: Problem,
}

impl<'a> DecisionBody<'a> {
    pub(super) fn new(decision: &'a Decision) -> Self {
        Self {
            decision: decision.outcome,
            diagnostics: Diagnostics {
                reason: &decision.reasons,
                errors: &decision.errors,
                denied_by: decision.denied_by.as_ref(),
            },
            revision: decision.revision,
        }
    }
}
