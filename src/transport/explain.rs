//! Explanations: `POST /v1/explain` on the admin listener, and checks that ask for one beside their decision.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::config::ExplainMode;
use crate::decide::{self, CheckError};
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::native::write_decision;
use crate::transport::respond::{self, Answer, Problem};
use palisade_engine::model::explanation::{Effect, ExplainedPolicy, ExplanationKind, Truth};
use palisade_engine::model::{AccessRequest, DeniedBy, Explanation, RequestError, Value};
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
    let request = AccessRequest::from_value(body)?;
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
    let without = |why: &str| Shown { json: json!({"unavailable": why}), words: None };
    if mode == ExplainMode::Off {
        return without("off");
    }
    let options = ExplainOptions { without_changes: mode == ExplainMode::Ids, ..options(services, false) };
    match services.pdp.explain(snapshot, request, now, options).await {
        Ok(explained) => {
            let full = mode == ExplainMode::Full;
            let words = Some(in_words(&explained, full));
            Shown { json: if full { json!(explained) } else { ids_of(&explained) }, words }
        }
        Err(error) => without(unavailable(&error)),
    }
}

/// What an administrator reads first: which policies decided, or came nearest; if `full`, also what of the nearest does not
/// hold.
fn in_words(explained: &Explanation, full: bool) -> String {
    let decided = explained.diagnostics.reason.join(", ");
    let nearest =
        explained.policies.iter().find(|policy| policy.effect == Effect::Permit && policy.result != Truth::True);
    let nearest = nearest.map(|policy| {
        let failing = policy.scope.iter().chain(&policy.clauses).find(|clause| clause.result != Truth::True);
        match failing.filter(|_| full) {
            Some(clause) => format!(" {} comes nearest: `{}` does not hold.", policy.id, clause.text),
            None => format!(" {} comes nearest.", policy.id),
        }
    });
    let nearest = nearest.unwrap_or_default();
    match (explained.kind, &explained.diagnostics.denied_by) {
        (ExplanationKind::Allowed, _) => format!("Allowed by {decided}."),
        (ExplanationKind::Forbidden, _) => format!("Forbidden by {decided}."),
        (ExplanationKind::NotPermitted, _) => format!("No policy permits it.{nearest}"),
        (ExplanationKind::Errored, _) => {
            let failed: Vec<&str> = explained.diagnostics.errors.iter().map(|error| &*error.policy_id).collect();
            format!("No policy permits it, and these could not be evaluated: {}.{nearest}", failed.join(", "))
        }
        (ExplanationKind::DeniedByRule, Some(DeniedBy::UnknownEntity { entity })) => {
            format!("Denied because {entity} is not in the store.")
        }
        (ExplanationKind::DeniedByRule, Some(DeniedBy::ForbidError { policy_id })) => {
            format!("Denied because the forbid {policy_id} could not be evaluated.")
        }
        (ExplanationKind::DeniedByRule, None) => "Denied by a rule of the strict semantics.".to_owned(),
    }
}

fn options(services: &Services, all: bool) -> ExplainOptions {
    ExplainOptions { all, masks: services.masks.to_vec(), ..ExplainOptions::default() }
}

/// What shows nothing of entities, nor of what policies say.
fn ids_of(explained: &Explanation) -> serde_json::Value {
    // a forbid that does not hold is no reason for a denial, nor a permit that does not for an allow
    let turns = |effect: Effect| (effect == Effect::Forbid) == explained.decision.is_allow();
    let matters = |policy: &&ExplainedPolicy| policy.result != Truth::False || turns(policy.effect);
    let ids: Vec<&str> = explained.policies.iter().filter(matters).map(|policy| &*policy.id).collect();
    json!({"kind": explained.kind, "policies": ids})
}

fn unavailable(error: &CheckError) -> &'static str {
    match error {
        CheckError::Overloaded => "overloaded",
        CheckError::TooSlow => "too_slow",
        CheckError::Invalid(_) => "too_expensive",
        CheckError::NotReady | CheckError::Internal | CheckError::Unrecorded => "internal",
    }
}
