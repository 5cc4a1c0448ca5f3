//! AuthZEN 1.0: access evaluation, access evaluations, and the metadata document.
//!
//! `wire` reads what the standard defines, `map` turns it into a request over the schema at hand.

mod map;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::decide::{self, Call, CheckError};
use crate::domain::{Decision, DeniedBy, PolicyError, PolicyId};
use crate::engine::Snapshot;
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::respond::{self, Answer, Problem};
use wire::{Evaluation, Evaluations, Semantic};

/// Where the metadata document stands, below the base URL.
pub(super) const METADATA_PATH: &str = "/.well-known/authzen-configuration";
/// Where one evaluation is asked.
pub(super) const EVALUATION_PATH: &str = "/access/v1/evaluation";
/// Where several are.
pub(super) const EVALUATIONS_PATH: &str = "/access/v1/evaluations";

/// `POST /access/v1/evaluation`
pub(super) async fn evaluation(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange).await?;
    let evaluation = Evaluation::from_value(exchange::parse(&body)?)?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let clocks = (decide::clock(), decide::reference_deadline());
    let answer = evaluate(services, &snapshot, evaluation, clocks, &exchange.request_id).await?;
    Ok(respond::at(snapshot.revision(), respond::json(StatusCode::OK, &answer)))
}

/// `POST /access/v1/evaluations`
pub(super) async fn evaluations(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange).await?;
    let Evaluations { defaults, items, semantic } = Evaluations::from_value(exchange::parse(&body)?)?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let clocks = (decide::clock(), decide::reference_deadline());
    if items.is_empty() {
        let answer = evaluate(services, &snapshot, defaults.complete()?, clocks, &exchange.request_id).await?;
        return Ok(respond::at(snapshot.revision(), respond::json(StatusCode::OK, &answer)));
    }
    services.check_batch_size(items.len(), "evaluations")?;
    let mut answers = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        let answer = match item.and_then(|item| item.or(&defaults).complete()) {
            Ok(evaluation) => evaluate(services, &snapshot, evaluation, clocks, &exchange.request_id).await,
            Err(error) => Err(error.into()),
        };
        let mut answer = answer.unwrap_or_else(|problem| EvaluationBody::failed(&snapshot, &problem, Vec::new()));
        if let Some(error) = &mut answer.context.error {
            error.pointer.insert_str(0, &format!("/evaluations/{i}"));
        }
        let decided = answer.decision;
        answers.push(answer);
        match semantic {
            Semantic::ExecuteAll => {}
            Semantic::DenyOnFirstDeny if decided => {}
            Semantic::PermitOnFirstPermit if !decided => {}
            Semantic::DenyOnFirstDeny | Semantic::PermitOnFirstPermit => break,
        }
    }
    Ok(respond::at(snapshot.revision(), respond::json(StatusCode::OK, &json!({ "evaluations": answers }))))
}

/// Decides one evaluation. What the schema does not know is a denial that says so, not an error.
async fn evaluate(
    services: &Services,
    snapshot: &Arc<Snapshot>,
    evaluation: Evaluation<'_>,
    (now, deadline): (i64, Instant),
    request_id: &str,
) -> Result<EvaluationBody, Problem> {
    let mapped = match map::request(&services.authzen, snapshot, evaluation) {
        Ok(mapped) => mapped,
        Err(error) => return Ok(EvaluationBody::failed(snapshot, &error.into(), Vec::new())),
    };
    let call = Call { transport: Transport::Authzen, request_id };
    match services.pdp.check_at(snapshot, &mapped.request, now, deadline, call).await {
        Ok(decision) => Ok(EvaluationBody::decided(&decision, mapped.ignored)),
        Err(CheckError::Invalid(mut error)) => {
            error.pointer = in_authzen_words(&error.pointer).to_owned();
            Ok(EvaluationBody::failed(snapshot, &error.into(), mapped.ignored))
        }
        Err(error) => Err(error.into()),
    }
}

/// Where the caller wrote what the engine calls by its own names.
fn in_authzen_words(pointer: &str) -> &str {
    match pointer {
        "/principal" => "/subject",
        "/action" => "/action/name",
        other => other,
    }
}

/// `GET /.well-known/authzen-configuration`. The base URL comes from the configuration, never from `Host`.
pub(super) fn metadata(services: &Services) -> Result<Answer, Problem> {
    let base = services.authzen.base_url.as_deref().map(|url| url.trim_end_matches('/')).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_base_url",
            "set `authzen.base_url` to the URL that callers reach this listener under",
        )
    })?;
    let document = json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}{EVALUATION_PATH}"),
        "access_evaluations_endpoint": format!("{base}{EVALUATIONS_PATH}"),
    });
    Ok(respond::json(StatusCode::OK, &document))
}

/// An answer as the standard has it; what is ours stands in `context`.
#[derive(Serialize)]
struct EvaluationBody {
    decision: bool,
    context: AnswerContext,
}

#[derive(Serialize, Default)]
struct AnswerContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reason: Vec<PolicyId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<PolicyError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<DeniedBy>,
    /// What the request carried and the decision did not see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorContext>,
}

#[derive(Serialize)]
struct ErrorContext {
    status: u16,
    code: &'static str,
    message: String,
    #[serde(rename = "where", skip_serializing_if = "String::is_empty")]
    pointer: String,
}

impl EvaluationBody {
    fn decided(decision: &Decision, ignored: Vec<String>) -> Self {
        Self {
            decision: decision.outcome.is_allow(),
            context: AnswerContext {
                revision: Some(decision.revision.to_string()),
                reason: decision.reasons.clone(),
                errors: decision.errors.clone(),
                denied_by: decision.denied_by.clone(),
                ignored,
                error: None,
            },
        }
    }

    fn failed(snapshot: &Snapshot, problem: &Problem, ignored: Vec<String>) -> Self {
        let error = ErrorContext {
            status: problem.status,
            code: problem.code,
            message: problem.detail.clone(),
            pointer: problem.pointer.clone(),
        };
        let revision = Some(snapshot.revision().to_string());
        Self {
            decision: false,
            context: AnswerContext { revision, ignored, error: Some(error), ..AnswerContext::default() },
        }
    }
}
