//! A state that mutants are tried on, with all that decides there.
//!
//! Which links there are is for the entities to say. So each set of entities that tests bring has a stage of its own; the
//! mutants are the same on all of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::Entities;
use cedar_policy_core::ast::{Expr, Policy, SlotEnv};

use super::links::Swap;
use super::{Made, Mutants, Standing};
use crate::compiled;
use crate::model::{AccessRequest, PolicyId, RequestError};
use crate::policies::Parsing;
use crate::site::Kind;
use crate::snapshot::Snapshot;

/// Up to so many entities are kept as Cedar's own beside ours: then a request costs the least.
const MOST_KEPT: usize = 20_000;

/// A state that mutants are tried on.
#[derive(Debug)]
pub struct Stage<'s> {
    pub(super) snapshot: &'s Snapshot,
    /// All entities as Cedar's own, where they are few.
    entities: Option<Cow<'s, Entities>>,
    pub(super) deciding: Vec<Arc<Deciding>>,
    /// Of each policy or template with mutants what decides by it: positions in `deciding`.
    pub(super) of: Vec<Vec<usize>>,
    /// What mutants of links are here, by their numbers.
    pub(super) swaps: BTreeMap<usize, Swap>,
}

/// A policy that decides: on its own, or a link.
#[derive(Debug)]
pub(super) struct Deciding {
    pub id: PolicyId,
    pub policy: Policy,
    pub condition: Expr,
    pub scope: [Expr; 3],
    pub forbids: bool,
}

impl Mutants {
    /// Makes `snapshot` ready for trials. It has the policies that the mutants were made of, over whatever entities; what
    /// `like` has as well is shared with it.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    #[must_use]
    pub fn stage<'s>(&self, snapshot: &'s Snapshot, like: Option<&Stage<'_>>) -> Stage<'s> {
        let policies = &snapshot.core.policies;
        // those that no entities make
        let known: HashMap<&PolicyId, &Arc<Deciding>> = like
            .into_iter()
            .flat_map(|like| &like.deciding)
            .filter(|it| policies.sites.get(&it.id).is_some_and(|site| site.kind != Kind::Template))
            .map(|it| (&it.id, it))
            .collect();
        let mut by_text: HashMap<PolicyId, Vec<PolicyId>> = HashMap::new();
        for (id, site) in policies.sites.iter() {
            let text = match site.kind {
                Kind::Template => continue,
                Kind::Static => id.clone(),
                Kind::Link(number) => match policies.links.get(number.index()) {
                    Some(linked) => linked.template(),
                    None => continue,
                },
            };
            by_text.entry(text).or_default().push(id.clone());
        }
        for made in snapshot.all_made() {
            let text = snapshot.core.compiled.name(made.template).clone();
            by_text.entry(text).or_default().push(snapshot.id_of(&made));
        }
        let mut deciding = Vec::new();
        let mut add = |mut ids: Vec<PolicyId>| {
            ids.sort_unstable();
            let mut parsing = snapshot.parsing();
            let start = deciding.len();
            deciding.extend(ids.iter().filter_map(|id| match known.get(id) {
                Some(known) => Some(Arc::clone(known)),
                None => Deciding::of(snapshot, id, &mut parsing).map(Arc::new),
            }));
            (start..deciding.len()).collect()
        };
        let of = self.groups.iter().map(|group| add(by_text.remove(&group.text).unwrap_or_default())).collect();
        // what has no mutants decides as well
        by_text.into_values().for_each(|ids| {
            let _: Vec<usize> = add(ids);
        });
        let entities = match &snapshot.entities {
            Some(all) => Some(Cow::Borrowed(all)),
            None if snapshot.entity_count() <= MOST_KEPT => Some(Cow::Owned(compiled::everything(&snapshot.store))),
            None => None,
        };
        let exchanges = self.made.iter().enumerate().filter_map(|(at, made)| match made {
            Made::Link(exchange) if self.list[at].standing == Standing::Open => Some((at, exchange)),
            _ => None,
        });
        let swaps = exchanges.map(|(at, exchange)| (at, exchange.swap(snapshot, &deciding))).collect();
        Stage { snapshot, entities, deciding, of, swaps }
    }

    /// Whether a mutant's policy or template has other links on one stage than on another.
    #[must_use]
    pub fn decide_apart(&self, mutant: usize, one: &Stage<'_>, other: &Stage<'_>) -> bool {
        let of = |it: &Arc<Deciding>| (it.id.clone(), it.policy.env().clone());
        let links = |stage: &Stage<'_>| -> Vec<(PolicyId, SlotEnv)> {
            let at = |list: &[usize]| list.iter().filter_map(|at| stage.deciding.get(*at)).map(of).collect::<Vec<_>>();
            match (self.made.get(mutant), stage.swaps.get(&mutant)) {
                (Some(Made::Policy(made)), _) => at(stage.of.get(made.group).map(Vec::as_slice).unwrap_or_default()),
                (_, Some(swap)) => at(&swap.gone).into_iter().chain(swap.come.iter().map(of)).collect(),
                _ => Vec::new(),
            }
        };
        links(one) != links(other)
    }
}

impl Stage<'_> {
    /// All entities, where they are few.
    pub(super) fn all(&self) -> Option<&Entities> {
        self.entities.as_deref()
    }

    /// All entities, or those that a request can reach.
    ///
    /// # Errors
    /// If those are too many.
    pub(super) fn reached(&self, request: &AccessRequest<'_>) -> Result<Cow<'_, Entities>, RequestError> {
        match self.all() {
            Some(all) => Ok(Cow::Borrowed(all)),
            None => Ok(Cow::Owned(compiled::reached(self.snapshot, request)?)),
        }
    }
}

impl Deciding {
    pub(super) fn new(id: PolicyId, policy: Policy, forbids: bool) -> Self {
        let template = policy.template();
        let scope = [
            template.principal_constraint().as_expr(),
            template.action_constraint().as_expr(),
            template.resource_constraint().as_expr(),
        ];
        Self { id, condition: policy.condition(), scope, forbids, policy }
    }

    fn of(snapshot: &Snapshot, id: &PolicyId, parsing: &mut Parsing<'_>) -> Option<Self> {
        // what was loaded can be read again
        Some(Self::new(id.clone(), parsing.policy(id).ok()?, snapshot.known_site(id).forbids))
    }
}
