//! Which mutants decide a request otherwise.

use std::borrow::Cow;
use std::cell::OnceCell;

use cedar_policy_core::ast::Expr;

use super::super::scene::{Gave, Scene};
use super::{Deciding, Made, Mutants};
use crate::compiled;
use crate::model::explanation::Truth;
use crate::model::{AccessRequest, Decision, DeniedBy, Outcome, PolicyError, PolicyId, RequestError};
use crate::reference;
use crate::snapshot::Snapshot;

impl Mutants {
    /// Decides `request`, and calls `see` with each of the mutants that `wanted` says yes to and that decides it
    /// otherwise: another outcome, other determining policies, or others that fail. `snapshot` has the policies that the
    /// mutants were made of, over whatever entities.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// As for [`Snapshot::decide`].
    pub fn try_on(
        &self,
        snapshot: &Snapshot,
        request: &AccessRequest<'_>,
        now: i64,
        wanted: &dyn Fn(usize) -> bool,
        see: &mut dyn FnMut(usize, &Decision),
    ) -> Result<Decision, RequestError> {
        let decision = snapshot.decide(request, now)?;
        let stored = match &snapshot.entities {
            Some(all) => Cow::Borrowed(all),
            None => Cow::Owned(compiled::reached(snapshot, request)?),
        };
        let entities = reference::entities(snapshot, request, &stored)?;
        let (cedar_request, _, _) = reference::request(snapshot, request, now)?;
        let scene = Scene::new(snapshot, &cedar_request, &entities, request.entities.is_none());
        let trial = Trial { mutants: self, snapshot, scene: &scene, all: OnceCell::new() };
        for group in &self.groups {
            let mut wanted = group.mutants.iter().copied().filter(|at| wanted(*at)).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let states: Vec<State> = group.deciding.iter().map(|at| trial.state(*at)).collect();
            for at in wanted {
                if let Some(other) = trial.of(at, &group.deciding, &states, &decision)
                    && !is_same(&decision, &other)
                {
                    see(at, &other);
                }
            }
        }
        Ok(decision)
    }
}

/// Whether two decisions look the same to a test.
pub(super) fn is_same(one: &Decision, other: &Decision) -> bool {
    let failed = |decision: &Decision| -> Vec<PolicyId> {
        decision.errors.iter().map(|error| error.policy_id.clone()).collect()
    };
    one.outcome == other.outcome && one.reasons == other.reasons && failed(one) == failed(other)
}

/// One request, and what the policies say of it.
pub(super) struct Trial<'t> {
    pub mutants: &'t Mutants,
    pub snapshot: &'t Snapshot,
    pub scene: &'t Scene<'t>,
    /// What each policy gives, once one of the mutants gives something else.
    pub all: OnceCell<Vec<Gave>>,
}

/// How the original stands to the request.
pub(super) struct State {
    /// The parts of the scope that do not hold.
    misses: Vec<usize>,
    truth: Truth,
}

impl Trial<'_> {
    pub(super) fn state(&self, at: usize) -> State {
        let Some(Deciding { policy, scope, condition, .. }) = self.mutants.deciding.get(at) else {
            return State { misses: vec![0, 1], truth: Truth::False };
        };
        let holds = |part: &Expr| matches!(self.scene.gives(part, policy.env()), Gave::Bool(true));
        let misses: Vec<usize> = (0..3).filter(|part| !holds(&scope[*part])).collect();
        let truth = if misses.is_empty() { self.scene.gives(condition, policy.env()).truth() } else { Truth::False };
        State { misses, truth }
    }

    /// The decision with a mutant in the place of its policy; nothing where it says the same.
    pub(super) fn of(&self, at: usize, deciding: &[usize], states: &[State], base: &Decision) -> Option<Decision> {
        let made = self.mutants.made.get(at)?;
        let mut changed = Vec::new();
        for (index, state) in deciding.iter().zip(states) {
            let is_far = match state.misses.as_slice() {
                [] => false,
                [one] => made.part != Some(*one),
                _ => true,
            };
            if is_far {
                continue;
            }
            let gave = self.gives(made, *index)?;
            if gave.truth() != state.truth || made.flips && state.truth != Truth::False {
                changed.push((*index, gave));
            }
        }
        (!changed.is_empty()).then(|| self.decide(&changed, made.flips, base))
    }

    fn gives(&self, made: &Made, index: usize) -> Option<Gave> {
        let deciding = self.mutants.deciding.get(index)?;
        Some(match &made.condition {
            Some(condition) => self.scene.gives(condition, deciding.policy.env()),
            None => Gave::Bool(false),
        })
    }

    /// As Cedar's authorizer decides, and the semantics after it.
    fn decide(&self, changed: &[(usize, Gave)], flips: bool, base: &Decision) -> Decision {
        let deciding = &self.mutants.deciding;
        let all = self
            .all
            .get_or_init(|| deciding.iter().map(|it| self.scene.gives(&it.condition, it.policy.env())).collect());
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        let (mut errors, mut failed_forbids) = (Vec::new(), Vec::new());
        for (index, (it, gave)) in deciding.iter().zip(all).enumerate() {
            let other = changed.iter().find(|(at, _)| *at == index).map(|(_, gave)| gave);
            let is_forbid = it.forbids != (flips && other.is_some());
            match other.unwrap_or(gave) {
                Gave::Bool(false) => {}
                Gave::Bool(true) if is_forbid => forbids.push(it.id.clone()),
                Gave::Bool(true) => permits.push(it.id.clone()),
                Gave::Error(message) => {
                    errors.push(PolicyError::new(it.id.clone(), message.clone()));
                    if is_forbid {
                        failed_forbids.push(it.id.clone());
                    }
                }
            }
        }
        errors.sort_unstable_by(|a, b| a.policy_id.cmp(&b.policy_id));
        failed_forbids.sort_unstable();
        let allowed = forbids.is_empty() && !permits.is_empty();
        let mut reasons = if forbids.is_empty() { permits } else { forbids };
        reasons.sort_unstable();
        let denied_by = match &base.denied_by {
            Some(DeniedBy::UnknownEntity { entity }) => Some(DeniedBy::UnknownEntity { entity: entity.clone() }),
            _ if !self.snapshot.core.settings.semantics.forbid_errors_deny() => None,
            _ => failed_forbids.first().map(|id| DeniedBy::ForbidError { policy_id: id.clone() }),
        };
        let is_allow = allowed && denied_by.is_none();
        Decision {
            outcome: if is_allow { Outcome::Allow } else { Outcome::Deny },
            reasons,
            errors,
            forbid_errors: failed_forbids.len(),
            denied_by,
            revision: base.revision,
            time_dependent: base.time_dependent,
        }
    }
}
