//! Decisions and what explains them.

use std::sync::Arc;

use serde::Serialize;

use crate::model::Revision;
use crate::model::bounds::{MAX_EXPLANATION, cut};

/// A policy's id. Cheap to clone: decisions share the text with the snapshot.
pub type PolicyId = Arc<str>;

/// Allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Outcome {
    /// Access is granted.
    Allow,
    /// Access is refused.
    Deny,
}

impl Outcome {
    /// Whether access is granted.
    #[must_use]
    pub fn is_allow(self) -> bool {
        self == Self::Allow
    }
}

/// A policy that could not be evaluated, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PolicyError {
    /// The policy.
    #[serde(rename = "policyId")]
    pub policy_id: PolicyId,
    /// What went wrong, in Cedar's words.
    pub message: Arc<str>,
}

impl PolicyError {
    /// An error with a message that is cut where it is too long: it may quote the policy and what it read.
    #[must_use]
    pub fn new(policy_id: PolicyId, message: String) -> Self {
        Self { policy_id, message: cut(message, MAX_EXPLANATION).into() }
    }
}

/// Which rule of the `strict` semantics denied, where Cedar's own would have decided otherwise or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum DeniedBy {
    /// The principal, the resource or an entity of the context is neither stored nor carried by the request.
    UnknownEntity {
        /// The entity, as `Type::"id"`.
        entity: String,
    },
    /// A `forbid` could not be evaluated, so it is unknown whether it would have applied.
    ForbidError {
        /// The policy.
        #[serde(rename = "policyId")]
        policy_id: PolicyId,
    },
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Allow or deny.
    pub outcome: Outcome,
    /// The policies that determined Cedar's decision, sorted by id.
    pub reasons: Vec<PolicyId>,
    /// The policies that failed to evaluate, sorted by id.
    pub errors: Vec<PolicyError>,
    /// How many of those policies forbid: under Cedar's own semantics each of them fails open.
    pub forbid_errors: usize,
    /// Set where a rule of the `strict` semantics turned the decision to a denial.
    pub denied_by: Option<DeniedBy>,
    /// The state that the decision was made at.
    pub revision: Revision,
    /// Whether the decision may depend on a `now` that the sidecar filled in, so that it must not be kept.
    pub time_dependent: bool,
}
