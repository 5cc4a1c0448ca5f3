//! AuthZEN 1.0: access evaluation, access evaluations, and the metadata document.
//!
//! `wire` reads what the standard defines, `usual` the same of bodies in their usual form, `map` turns it into parts of a request over the schema at hand, `parts` puts
//! them together and asks.

mod map;
mod parts;
mod usual;
mod wire;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::decide;
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::explain::Shown;
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::trees::AT_ONCE;
use palisade_engine::model::{Decision, DeniedBy, PolicyError, PolicyId};
use palisade_engine::{Dropped, Snapshot};
use parts::{Asker, Defaults};
use usual::{Item, List};
use wire::{Evaluations, Partial, Semantic};

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
    services.wait_for(exchange, &body).await?;
    let _room = services.trees.room_for(body.len()).await?;
    let evaluation = match usual::evaluation(&body) {
        Some(evaluation) => evaluation,
        None => Partial::from_value(exchange::parse(&body)?)?,
    }
    .complete()?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let (now, deadline) = (decide::clock(), decide::reference_deadline());
    let trace = exchange.trace.as_deref();
    let asker = Asker { services, snapshot: &snapshot, now, deadline, request_id: &exchange.request_id, trace };
    one(&asker, evaluation).await
}

async fn one(asker: &Asker<'_>, evaluation: Partial<'_>) -> Result<Answer, Problem> {
    let explain = evaluation.explain;
    let answer = Defaults::new(asker, Partial::default()).answer(asker, evaluation, explain).await??;
    answer.note(asker);
    Ok(respond::at(asker.snapshot.revision(), respond::json(StatusCode::OK, &answer)))
}

/// `POST /access/v1/evaluations`
pub(super) async fn evaluations(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange, &body).await?;
    let at_once = if body.len() <= AT_ONCE { Some(services.trees.room_for(body.len()).await?) } else { None };
    let usual = at_once.as_ref().and_then(|_| usual::evaluations(&body));
    let _room;
    let List { defaults, items, semantic } = match usual {
        Some(list) => {
            services.check_batch_size(list.items.len(), "evaluations")?;
            _room = at_once;
            list
        }
        None => {
            // no one who has a turn may ask for another
            drop(at_once);
            let mut evaluations = Evaluations::from_text(exchange::check(&body)?)?;
            // before anything is waited for: there is a place for each
            services.check_batch_size(evaluations.items.len(), "evaluations")?;
            _room = Some(services.trees.room_for(evaluations.bytes_at_once()).await?);
            let defaults = evaluations.read_defaults()?;
            let items = evaluations.items.into_iter().map(Item::Text).collect();
            List { defaults, items, semantic: evaluations.semantic }
        }
    };
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let (now, mut time) = (decide::clock(), decide::BatchTime::start());
    let (deadline, trace) = (time.deadline(), exchange.trace.as_deref());
    let asker = Asker { services, snapshot: &snapshot, now, deadline, request_id: &exchange.request_id, trace };
    if items.is_empty() {
        return one(&asker, defaults.complete()?).await;
    }
    let mut defaults = Defaults::new(&asker, defaults);
    let mut out = Vec::with_capacity(128 * (items.len() + 1));
    out.extend_from_slice(b"{\"evaluations\":[");
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let answered = match item.read()? {
            Ok(item) => match time.next_item().await {
                Ok(()) => defaults.answer(&asker, item, false).await?,
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        };
        let mut answer =
            answered.unwrap_or_else(|problem| EvaluationBody::failed(&snapshot, &problem, Dropped::default()));
        if let Some(error) = &mut answer.context.error {
            error.pointer.insert_str(0, &format!("/evaluations/{i}"));
        }
        answer.note(&asker);
        serde_json::to_writer(&mut out, &answer).map_err(|_| Problem::unwritable())?;
        services.check_answer_size(&out, &mut exchange.open)?;
        match semantic {
            Semantic::ExecuteAll => {}
            Semantic::DenyOnFirstDeny if answer.decision => {}
            Semantic::PermitOnFirstPermit if !answer.decision => {}
            Semantic::DenyOnFirstDeny | Semantic::PermitOnFirstPermit => break,
        }
    }
    out.extend_from_slice(b"]}");
    Ok(respond::at(snapshot.revision(), respond::with_type(StatusCode::OK, "application/json", out)))
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
    /// What the request carried and the decision did not see: the first names, and how many more there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    ignored_more: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorContext>,
    /// Why, by language, as the standard proposes.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_admin: Option<ReasonAdmin>,
    /// The same as a value, in the form of the native endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct ReasonAdmin {
    en: String,
}

#[derive(Serialize)]
struct ErrorContext {
    status: u16,
    code: &'static str,
    message: String,
    #[serde(rename = "where", skip_serializing_if = "String::is_empty")]
    pointer: String,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl EvaluationBody {
    /// Notes it for the request's span, and counts it if it is no decision.
    fn note(&self, asker: &Asker<'_>) {
        if let Some(error) = &self.context.error {
            asker.services.metrics.undecided(Transport::Authzen, error.code, error.status >= 500);
        }
        let Some(trace) = asker.trace else { return };
        match &self.context.error {
            Some(error) => trace.notes.failed(error.code),
            None => trace.notes.decided(self.decision),
        }
    }

    fn decided(decision: &Decision, ignored: Dropped) -> Self {
        Self {
            decision: decision.outcome.is_allow(),
            context: AnswerContext {
                revision: Some(decision.revision.to_string()),
                reason: decision.reasons.clone(),
                errors: decision.errors.clone(),
                denied_by: decision.denied_by.clone(),
                ignored: ignored.names,
                ignored_more: ignored.more,
                ..AnswerContext::default()
            },
        }
    }

    fn explain(&mut self, shown: Shown) {
        self.context.reason_admin = shown.words.map(|en| ReasonAdmin { en });
        self.context.explanation = Some(shown.json);
    }

    fn failed(snapshot: &Snapshot, problem: &Problem, ignored: Dropped) -> Self {
        let error = ErrorContext {
            status: problem.status,
            code: problem.code,
            message: problem.detail.clone(),
            pointer: problem.pointer.clone(),
        };
        let revision = Some(snapshot.revision().to_string());
        Self {
            decision: false,
            context: AnswerContext {
                revision,
                ignored: ignored.names,
                ignored_more: ignored.more,
                error: Some(error),
                ..AnswerContext::default()
            },
        }
    }
}
