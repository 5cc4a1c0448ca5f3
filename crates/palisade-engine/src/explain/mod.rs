//! Why a decision is what it is.
//!
//! An explanation is not on the hot path, so its truth is Cedar's: the policies that could apply are evaluated part by
//! part with Cedar's own evaluator, over the same slice of entities that the reference takes. What is explained is the
//! decision of the usual path, which every explanation carries.
//!
//! - `scene` is the request with what its evaluation reads; `tree` takes a policy apart and evaluates the parts.
//! - `pick` chooses the policies that are looked at.
//! - `source` finds them in the text, `values` shows what they read.
//! - `goals` says which single changes could turn a clause, `groups` which group leads to what is wanted, `links` which
//!   could make a link or unmake one, `contested` what suits several conditions at once, `ties` what a data rule ties to them;
//!   `made_up` has values where they mean nothing; `edits` makes the changes, `search` tries them.
//! - `seen` counts what many requests see of the parts.
//!
//! Nothing here grows with the number of policies or entities: candidates come from an index, and each bound that is met
//! shows in the answer.

mod contested;
mod edits;
mod goals;
mod groups;
mod links;
mod made_up;
mod mutate;
mod pick;
mod scene;
mod search;
mod seen;
mod source;
mod ties;
mod tree;
mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

pub use mutate::{Mutant, MutantSort, Mutants, Pool, Searched, Stage, Standing};
pub use seen::{Outcomes, SeenPart, SeenPolicy, Sightings};

use cedar_policy_core::ast::{EntityUID, Expr, Policy};

use crate::broken::broken;
use crate::compiled::{self, Lineage};
use crate::derived::MadeLink;
use crate::export;
use crate::model::explanation::{
    Diagnostics, Effect, ExplainedPolicy, Explanation, ExplanationKind, LinkOf, Search, Truth,
};
use crate::model::{AccessRequest, Decision, DeniedBy, PolicyError, PolicyId, RequestError};
use crate::policies::{self, Linked};
use crate::reference;
use crate::site::{Kind, Site};
use crate::snapshot::{ALWAYS, GoOn, Snapshot, Undecided};
use pick::{Pick, Picked};
use scene::{Gave, Scene};
use source::Source;
use tree::Tree;

/// What is to be explained, and how much of it.
#[derive(Debug, Clone, Default)]
pub struct ExplainOptions {
    /// Show the nearest 100 policies instead of the nearest 10, those that are farther off as well, and try four times as many
    /// changes.
    pub all: bool,
    /// Explain these policies and no others, whether they could apply or not.
    pub only: Option<Vec<PolicyId>>,
    /// Show every policy that could apply, however many there are: for those who count what was evaluated.
    pub every: bool,
    /// Leave out the changes that would turn the decision.
    pub without_changes: bool,
    /// Members of the context that are not shown: the steps of each path, `None` for any member.
    pub masks: Vec<Vec<Option<String>>>,
}

/// Up to how much an explanation does.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Policies that are shown.
    shown: usize,
    /// Policies that are evaluated, to find the nearest of them.
    evaluated: usize,
    /// Changes that are tried.
    tried: usize,
    /// Changes that are shown.
    changes: usize,
}

impl ExplainOptions {
    fn bounds(&self) -> Bounds {
        if self.every || self.only.is_some() {
            Bounds { shown: usize::MAX, evaluated: usize::MAX, tried: 256, changes: 20 }
        } else if self.all {
            Bounds { shown: 100, evaluated: 1_000, tried: 256, changes: 20 }
        } else {
            Bounds { shown: 10, evaluated: 64, tried: 64, changes: 5 }
        }
    }
}

/// A policy that was evaluated.
struct Judged {
    id: PolicyId,
    policy: Policy,
    result: Truth,
    missing: usize,
    /// How far its scope is, and how many conditions do not hold.
    distance: usize,
    is_near: bool,
    is_forbid: bool,
}

impl Snapshot {
    /// Decides `request` and says why. `now` is the sidecar's clock in milliseconds since 1970.
    ///
    /// Takes up to some fifty times as long as Cedar's own authorizer, and recurses with the nesting of policies: the
    /// thread must have [`crate::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// As for [`Snapshot::decide`].
    pub fn explain(
        &self,
        request: &AccessRequest<'_>,
        now: i64,
        options: &ExplainOptions,
    ) -> Result<Explanation, RequestError> {
        self.explain_while(request, now, options, ALWAYS).map_err(Undecided::refused)
    }

    /// The same, given up soon after `go_on` says false.
    ///
    /// # Errors
    /// As for [`Snapshot::explain`], and if it was given up.
    pub fn explain_while(
        &self,
        request: &AccessRequest<'_>,
        now: i64,
        options: &ExplainOptions,
        go_on: GoOn<'_>,
    ) -> Result<Explanation, Undecided> {
        let decision = self.decide_while(request, now, go_on)?;
        let bounds = options.bounds();
        let stored = match &self.entities {
            Some(all) => Cow::Borrowed(all),
            None => Cow::Owned(compiled::reached(self, request)?),
        };
        let entities = reference::entities(self, request, &stored)?;
        let (cedar_request, _, _) = reference::request(self, request, now)?;
        let scene = Scene::new(self, &cedar_request, &entities, request.entities.is_none());
        let lineage = |uid: Option<&cedar_policy::EntityUid>| {
            let uid = uid.unwrap_or_else(|| broken("a request without an entity"));
            let above = entities.ancestors(uid).into_iter().flatten().map(AsRef::<EntityUID>::as_ref);
            Lineage::new(self, uid.as_ref(), above)
        };
        let lineages = [cedar_request.principal(), cedar_request.action(), cedar_request.resource()].map(lineage);
        let Picked { picks, near, farther, bounded } = pick::pick(self, &lineages, &decision, options, bounds);
        let mut judged = self.judge(&scene, picks, &options.masks, go_on)?;
        order(&mut judged, &decision);
        let shown = judged.len().min(bounds.shown);
        let policies = judged[..shown].iter().map(|judged| self.show(&scene, judged, options)).collect();
        let mut search = Search { tried: 0, bounded };
        let changes = if options.without_changes {
            Vec::new()
        } else {
            let asked = search::Asked { snapshot: self, scene: &scene, request, now, decision: &decision };
            search::turning(&asked, &judged, bounds, &options.masks, go_on, &mut search)?
        };
        Ok(Explanation {
            decision: decision.outcome,
            kind: self.kind(&decision),
            revision: decision.revision,
            policies,
            policies_left_out: near - judged[..shown].iter().filter(|judged| judged.is_near).count(),
            policies_farther: farther + judged[shown..].iter().filter(|judged| !judged.is_near).count(),
            changes,
            search,
            diagnostics: Diagnostics {
                reason: decision.reasons,
                errors: if options.masks.is_empty() { decision.errors } else { withheld(decision.errors) },
                denied_by: decision
                    .denied_by
                    .map(|rule| if options.masks.is_empty() { rule } else { bare(rule, request) }),
            },
        })
    }

    /// A policy of each text: those that decide on their own, and of each template one link. Sorted by id.
    #[must_use]
    pub fn one_of_each(&self) -> Vec<PolicyId> {
        let policies = &self.core.policies;
        let mut linked = HashSet::new();
        let links = policies.links.iter().map(|linked| &linked.link).filter(|link| linked.insert(&*link.template_id));
        let mut found: Vec<PolicyId> = links.map(|link| link.link_id.as_str().into()).collect();
        let made = self.grants.uses().filter(|(_, template, _)| linked.insert(self.core.compiled.name(*template)));
        let made = made.filter_map(|(declaration, template, _)| {
            let grant = self.grants.first(template, Some(declaration))?;
            Some(self.id_of(&MadeLink { grant, template }))
        });
        found.extend(made.collect::<Vec<_>>());
        let on_their_own = policies.sites.iter().filter(|(_, site)| site.kind == Kind::Static);
        found.extend(on_their_own.map(|(id, _)| id.clone()));
        found.sort_unstable();
        found
    }

    fn kind(&self, decision: &Decision) -> ExplanationKind {
        let is_forbidden = decision.reasons.first().is_some_and(|id| self.site(id).is_some_and(|site| site.forbids));
        match &decision.denied_by {
            _ if decision.outcome.is_allow() => ExplanationKind::Allowed,
            _ if is_forbidden => ExplanationKind::Forbidden,
            Some(DeniedBy::UnknownEntity { .. } | DeniedBy::ForbidError { .. }) => ExplanationKind::DeniedByRule,
            None if decision.errors.is_empty() => ExplanationKind::NotPermitted,
            None => ExplanationKind::Errored,
        }
    }

    /// Evaluates policies, whole and in parts.
    fn judge(
        &self,
        scene: &Scene<'_>,
        picks: Vec<Pick>,
        masks: &values::Masks,
        go_on: GoOn<'_>,
    ) -> Result<Vec<Judged>, Undecided> {
        let policies = &self.core.policies;
        let whole = policies.trees.whole();
        let mut parsing = self.parsing();
        let mut judged: Vec<Judged> = Vec::with_capacity(picks.len());
        for Pick { id, distance, is_near } in picks {
            if !go_on() {
                return Err(Undecided::GivenUp);
            }
            let kept = whole.and_then(|set| set.policy(&cedar_policy::PolicyId::new(&*id)));
            let policy = match kept {
                Some(policy) => AsRef::<Policy>::as_ref(policy).clone(),
                None => parsing.policy(&id).map_err(RequestError::from)?,
            };
            let site = self.known_site(&id);
            let tree = Tree::new(&policy, Source::new(site), masks);
            let holds = |condition: &Expr| matches!(scene.gives(condition, tree.slots()), Gave::Bool(true));
            let of_scope = tree.scope().iter().filter(|part| !holds(&part.condition)).count();
            let of_conditions = tree.conditions().iter().filter(|part| !holds(part.expression)).count();
            let result = scene.gives(&policy.condition(), policy.env()).truth();
            let missing = of_scope + of_conditions;
            let distance = distance.unwrap_or(of_scope) + of_conditions;
            let is_forbid = site.forbids;
            judged.push(Judged { id, policy, result, missing, distance, is_near, is_forbid });
        }
        Ok(judged)
    }

    fn known_site(&self, id: &PolicyId) -> &Site {
        self.site(id).unwrap_or_else(|| broken("a policy whose text is gone"))
    }

    fn show(&self, scene: &Scene<'_>, judged: &Judged, options: &ExplainOptions) -> ExplainedPolicy {
        let site = self.known_site(&judged.id);
        let tree = Tree::new(&judged.policy, Source::new(site), &options.masks);
        let scope = tree.explain_scope(scene);
        let in_scope = scope.iter().all(|part| part.result == Truth::True);
        let link = self.linked(&judged.id).map(|linked| {
            let Linked { link, maker } = &*linked;
            LinkOf {
                template: link.template_id.clone(),
                written: link.written.as_ref().map(|place| match place.line {
                    Some(line) => format!("{}:{line}", place.origin),
                    None => place.origin.to_string(),
                }),
                args: link.args.iter().cloned().collect(),
                made_by: maker.map(|maker| export::uid_of(&self.store, maker.entity).to_string()),
            }
        });
        ExplainedPolicy {
            id: judged.id.clone(),
            effect: if judged.is_forbid { Effect::Forbid } else { Effect::Permit },
            result: judged.result,
            missing: judged.missing,
            distance: judged.distance,
            file: site.origin.to_string(),
            line: tree.source().line().or(site.line),
            link,
            annotations: policies::annotations(judged.policy.template()).into_iter().collect(),
            clauses: tree.explain_conditions(scene, in_scope),
            scope,
        }
    }
}

/// Errors without their messages, which may quote what is masked.
fn withheld(errors: Vec<PolicyError>) -> Vec<PolicyError> {
    let bare = |error: PolicyError| PolicyError { message: tree::WITHHELD.into(), ..error };
    errors.into_iter().map(bare).collect()
}

/// A rule without the name of an entity that the request may have in what is masked.
fn bare(rule: DeniedBy, request: &AccessRequest<'_>) -> DeniedBy {
    let asked = [&request.principal, &request.action, &request.resource].map(ToString::to_string);
    match rule {
        DeniedBy::UnknownEntity { entity } if !asked.contains(&entity) => {
            DeniedBy::UnknownEntity { entity: tree::WITHHELD.to_owned() }
        }
        rule => rule,
    }
}

/// What decided first, then what failed, then those that would turn the decision, the nearest first.
fn order(judged: &mut [Judged], decision: &Decision) {
    let (reasons, errors): (HashSet<&PolicyId>, HashSet<&PolicyId>) =
        (decision.reasons.iter().collect(), decision.errors.iter().map(|error| &error.policy_id).collect());
    let turns = |judged: &Judged| judged.is_forbid == decision.outcome.is_allow();
    // policies fail because there is no such entity, and say nothing else
    let is_unknown = matches!(decision.denied_by, Some(DeniedBy::UnknownEntity { .. }));
    judged.sort_by_cached_key(|judged| {
        let rank = match judged {
            judged if reasons.contains(&judged.id) => 0,
            judged if errors.contains(&judged.id) && !is_unknown => 1,
            judged => 2 + 2 * usize::from(!turns(judged)) + usize::from(!judged.is_near),
        };
        (rank, judged.distance)
    });
}
