//! Explanations as they are shown beside decisions: to callers as far as `explain.decisions` allows, and in the lines of denials
//! as far as `decision_log.explain` says.

use serde_json::{Value as Json, json};

use crate::config::ExplainMode;
use crate::decide::CheckError;
use palisade_engine::model::explanation::{Effect, ExplainedPolicy, ExplanationKind, Truth};
use palisade_engine::model::{DeniedBy, Explanation};

/// As much of an explanation as the mode allows; nothing where it allows nothing.
#[must_use]
pub fn shown(mode: ExplainMode, explained: &Explanation) -> Option<Json> {
    match mode {
        ExplainMode::Off => None,
        ExplainMode::Ids => Some(ids_of(explained)),
        ExplainMode::Full => Some(json!(explained)),
    }
}

/// What shows nothing of entities, nor of what policies say.
fn ids_of(explained: &Explanation) -> Json {
    // a forbid that does not hold is no reason for a denial, nor a permit that does not for an allow
    let turns = |effect: Effect| (effect == Effect::Forbid) == explained.decision.is_allow();
    let matters = |policy: &&ExplainedPolicy| policy.result != Truth::False || turns(policy.effect);
    let ids: Vec<&str> = explained.policies.iter().filter(matters).map(|policy| &*policy.id).collect();
    json!({"kind": explained.kind, "policies": ids})
}

/// What stands where there is no explanation.
#[must_use]
pub fn without(why: &str) -> Json {
    json!({"unavailable": why})
}

/// Why there is no explanation.
#[must_use]
pub fn unavailable(error: &CheckError) -> &'static str {
    match error {
        CheckError::Overloaded => "overloaded",
        CheckError::TooSlow => "too_slow",
        CheckError::Invalid(_) => "too_expensive",
        CheckError::NotReady | CheckError::Internal | CheckError::Unrecorded => "internal",
    }
}

/// What an administrator reads first: which policies decided, or came nearest; if `full`, also what of the nearest does not
/// hold.
#[must_use]
pub fn in_words(explained: &Explanation, full: bool) -> String {
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
