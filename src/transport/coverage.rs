//! `GET /v1/coverage`: what live traffic has seen of the policies.

use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::decide::Covered;
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::{Services, aside};
use palisade_engine::model::PolicyId;
use palisade_engine::{Outcomes, SeenPart, SeenPolicy};

/// Every policy with how often its scope held, and what each part of its conditions gave.
pub(super) async fn coverage(services: &Services) -> Result<Answer, Problem> {
    let Some(coverage) = services.pdp.coverage().cloned() else {
        let message =
            "live traffic is not counted here; set `coverage.sample`, such as 1000 for one of 1,000 decisions";
        return Err(Problem::new(StatusCode::NOT_FOUND, "coverage_off", message));
    };
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let revision = snapshot.revision();
    let turn = services.aside.validation()?;
    let covered = aside::apart(move |_| {
        let _turn = turn;
        coverage.covered(&snapshot)
    });
    Ok(respond::at(revision, respond::json(StatusCode::OK, &json(&covered.await?))))
}

fn json(covered: &Covered) -> Json {
    let outcomes = covered.policies.iter().map(|(_, policy)| policy.outcomes());
    let (seen, all) = outcomes.fold((0, 0), |(seen, all), (of_it, more)| (seen + of_it, all + more));
    json!({
        "sample": covered.every,
        "decisions": covered.decisions,
        "outcomes": {"seen": seen, "all": all},
        "policies": covered.policies.iter().map(policy).collect::<Vec<_>>(),
    })
}

fn policy((id, seen): &(PolicyId, SeenPolicy)) -> Json {
    json!({
        "id": &**id,
        "file": seen.file,
        "line": seen.line,
        "decisions": seen.decisions,
        "in_scope": seen.in_scope,
        "parts": seen.parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn part(part: &SeenPart) -> Json {
    let Outcomes { held, not, failed } = part.outcomes;
    let mut shown = json!({"text": part.text, "held": held, "not": not, "failed": failed});
    if let Some(place) = &part.place {
        shown["line"] = place.line.into();
        shown["column"] = place.column.into();
    }
    shown
}
