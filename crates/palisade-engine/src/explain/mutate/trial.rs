//! Which mutants decide a request otherwise.

use std::cell::OnceCell;

use cedar_policy_core::ast::Expr;

use super::super::scene::{Gave, Scene};
use super::stage::{Deciding, Stage};
use super::{Made, Mutants, OfPolicy};
use crate::model::explanation::Truth;
use crate::model::{AccessRequest, Decision, DeniedBy, Outcome, PolicyError, PolicyId, RequestError};
use crate::reference;

impl Mutants {
    /// Decides `request`, and calls `see` with each of the mutants that `wanted` says yes to and that decides it
    /// otherwise: another outcome, other determining policies, or others that fail.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// As for [`crate::Snapshot::decide`].
    pub fn try_on(
        &self,
        stage: &Stage<'_>,
        request: &AccessRequest<'_>,
        now: i64,
        wanted: &dyn Fn(usize) -> bool,
        see: &mut dyn FnMut(usize, &Decision),
    ) -> Result<Decision, RequestError> {
        let snapshot = stage.snapshot;
        let decision = snapshot.decide(request, now)?;
        let stored = stage.reached(request)?;
        let entities = reference::entities(snapshot, request, &stored)?;
        let (cedar_request, _, _) = reference::request(snapshot, request, now)?;
        let scene = Scene::new(snapshot, &cedar_request, &entities, request.entities.is_none());
        let trial = Trial { mutants: self, stage, scene: &scene, all: OnceCell::new() };
        for (group, deciding) in self.groups.iter().zip(&stage.of) {
            let mut wanted = group.mutants.iter().copied().filter(|at| wanted(*at)).peekable();
            if wanted.peek().is_none() || deciding.is_empty() {
                continue;
            }
            let states: Vec<State> = deciding.iter().map(|at| trial.state(*at)).collect();
            for at in wanted {
                if let Some(other) = trial.of(at, deciding, &states, &decision)
                    && !is_same(&decision, &other)
                {
                    see(at, &other);
                }
            }
        }
        for at in stage.swaps.keys().copied().filter(|at| wanted(*at)) {
            if let Some(other) = trial.swapped(at, &decision)
                && !is_same(&decision, &other)
            {
                see(at, &other);
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
    pub stage: &'t Stage<'t>,
    pub scene: &'t Scene<'t>,
    /// What each policy gives, once one of the mutants gives something else.
    pub all: OnceCell<Vec<Gave>>,
}

/// How the original stands to the request.
pub(super) struct State {
    /// The first two parts of the scope that do not hold.
    misses: Vec<usize>,
    truth: Truth,
}

impl Trial<'_> {
    pub(super) fn state(&self, at: usize) -> State {
        let Some(Deciding { policy, scope, condition, .. }) = self.stage.deciding.get(at).map(AsRef::as_ref) else {
            return State { misses: vec![0, 1], truth: Truth::False };
        };
        let holds = |part: &Expr| matches!(self.scene.gives(part, policy.env()), Gave::Bool(true));
        let mut misses = Vec::new();
        for part in [1, 0, 2] {
            if !holds(&scope[part]) {
                misses.push(part);
            }
            // whatever one mutant changes, then it does not hold
            if misses.len() == 2 {
                break;
            }
        }
        let truth = if misses.is_empty() { self.scene.gives(condition, policy.env()).truth() } else { Truth::False };
        State { misses, truth }
    }

    /// The decision with a mutant in the place of its policy; nothing where it says the same.
    pub(super) fn of(&self, at: usize, deciding: &[usize], states: &[State], base: &Decision) -> Option<Decision> {
        let Made::Policy(made) = self.mutants.made.get(at)? else { return None };
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
        (!changed.is_empty()).then(|| self.decide(&changed, &[], made.flips, base))
    }

    /// The decision with a mutant of a link or declaration; nothing where it says the same.
    pub(super) fn swapped(&self, at: usize, base: &Decision) -> Option<Decision> {
        let swap = self.stage.swaps.get(&at)?;
        let gives = |it: &Deciding| {
            let in_scope = [1, 0, 2]
                .into_iter()
                .all(|part| matches!(self.scene.gives(&it.scope[part], it.policy.env()), Gave::Bool(true)));
            let gave = in_scope.then(|| self.scene.gives(&it.condition, it.policy.env()));
            gave.filter(|gave| gave.truth() != Truth::False)
        };
        let gone = swap.gone.iter().filter(|at| self.stage.deciding.get(**at).is_some_and(|it| gives(it).is_some()));
        let gone: Vec<(usize, Gave)> = gone.map(|at| (*at, Gave::Bool(false))).collect();
        let come: Vec<(&Deciding, Gave)> = swap.come.iter().filter_map(|it| Some((&**it, gives(it)?))).collect();
        (!gone.is_empty() || !come.is_empty()).then(|| self.decide(&gone, &come, false, base))
    }

    fn gives(&self, made: &OfPolicy, index: usize) -> Option<Gave> {
        let deciding = self.stage.deciding.get(index)?;
        Some(match &made.condition {
            Some(condition) => self.scene.gives(condition, deciding.policy.env()),
            None => Gave::Bool(false),
        })
    }

    /// As Cedar's authorizer decides, and the semantics after it.
    fn decide(&self, changed: &[(usize, Gave)], more: &[(&Deciding, Gave)], flips: bool, base: &Decision) -> Decision {
        let deciding = &self.stage.deciding;
        let all = self
            .all
            .get_or_init(|| deciding.iter().map(|it| self.scene.gives(&it.condition, it.policy.env())).collect());
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        let (mut errors, mut failed_forbids) = (Vec::new(), Vec::new());
        let known = deciding.iter().zip(all).enumerate().map(|(index, (it, gave))| {
            let other = changed.iter().find(|(at, _)| *at == index).map(|(_, gave)| gave);
            (&**it, it.forbids != (flips && other.is_some()), other.unwrap_or(gave))
        });
        for (it, is_forbid, gave) in known.chain(more.iter().map(|(it, gave)| (*it, it.forbids, gave))) {
            match gave {
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
            _ if !self.stage.snapshot.core.settings.semantics.forbid_errors_deny() => None,
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
