//! A request that a mutant decides otherwise: looked for among all that entities and contexts make.
//!
//! Every principal, action, resource and context that the scope of the policy or of the mutant lets through is one
//! request. Where there are more than may be asked, those that are asked lie evenly among all. Where none of them shows the
//! mutant, the contexts are changed as well.

mod contexts;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use cedar_policy::{Entities, EntityUid, Request};
use cedar_policy_core::ast::{Expr, SlotEnv};

use super::super::scene::{Gave, Scene};
use super::stage::Stage;
use super::trial::{State, Trial, is_same};
use super::{Made, Mutants};
use crate::cedar;
use crate::model::{AccessRequest, Decision, DeniedBy, Outcome, Uid, Value};
use crate::reference;
use crate::snapshot::{GoOn, Snapshot};

/// After how many requests it is looked whether the result is still wanted.
const STRIDE: u64 = 1 << 10;

/// What all policies say of a request costs as much as so many requests of one policy.
const WHOLE: u64 = 16;

/// As long as only the determining policies differ, a request is looked for of which the outcome does, this part of the
/// budget long.
const LONGER: u64 = 4;

/// Contexts of other actions that an action which no test asks is asked with.
const MOST_OF_OTHERS: usize = 4;

/// What requests are made of.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// Principals and resources.
    pub entities: Vec<Uid<'static>>,
    /// Actions, each with the contexts that it is asked with.
    pub actions: BTreeMap<Uid<'static>, Vec<Value<'static>>>,
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
pub struct Searched {
    /// A request that is decided otherwise, how it is decided, and how with the mutant. One with another outcome, if
    /// there is one among those that were asked.
    pub found: Option<Box<(AccessRequest<'static>, Decision, Decision)>>,
    /// How many requests were asked.
    pub asked: u64,
    /// Whether those were all.
    pub exhausted: bool,
}

/// What can be asked with one action and context.
#[derive(Clone)]
struct Block<'b> {
    action: &'b Uid<'static>,
    context: Cow<'b, Value<'static>>,
    sample: Request,
    /// Of the types that the schema allows.
    principals: Vec<usize>,
    resources: Vec<usize>,
}

/// Of what can be asked with one action and context that which a scope lets through.
#[derive(Clone)]
struct Space {
    block: usize,
    principals: Vec<usize>,
    resources: Vec<usize>,
}

impl Space {
    fn len(&self) -> u64 {
        (self.principals.len() * self.resources.len()) as u64
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The principal and the resource of a number below [`Self::len`].
    fn pair(&self, number: u64) -> (usize, usize) {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        (self.principals[at / self.resources.len()], self.resources[at % self.resources.len()])
    }
}

impl Mutants {
    /// Looks for a request that each of the mutants `of` decides otherwise, among up to `most` for each, and calls `tell`
    /// with each that is done.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    pub fn search(
        &self,
        stage: &Stage<'_>,
        pool: &Pool,
        of: &[usize],
        (now, most): (i64, u64),
        go_on: GoOn<'_>,
        tell: &mut dyn FnMut(usize, Searched),
    ) {
        let uids: Vec<Option<EntityUid>> = pool.entities.iter().map(|uid| cedar::entity_uid(uid).ok()).collect();
        let blocks = blocks(stage.snapshot, pool, &uids, now);
        for at in of {
            if !go_on() {
                return;
            }
            let Some(made) = self.made.get(*at) else { continue };
            let hunt = Hunt { mutants: self, stage, uids: &uids, pool, blocks: &blocks };
            tell(*at, hunt.of(*at, made, now, most, go_on));
        }
    }
}

/// The requests that the schema allows, by action and context. An action that no test asks in a way that the schema allows is
/// asked with the contexts of others, or with one that is made up.
fn blocks<'b>(snapshot: &Snapshot, pool: &'b Pool, uids: &[Option<EntityUid>], now: i64) -> Vec<Block<'b>> {
    let schema = snapshot.core.schema.as_deref();
    let all: BTreeMap<String, &Value<'static>> =
        pool.actions.values().flatten().map(|context| (context.to_json().to_string(), context)).collect();
    let mut found = Vec::new();
    for (action, contexts) in &pool.actions {
        let fits = |types: Option<&Vec<String>>| -> Vec<usize> {
            let all = pool.entities.iter().enumerate();
            let fits = |uid: &Uid<'_>| types.is_none_or(|types| types.iter().any(|name| *name == uid.type_name));
            all.filter(|(_, uid)| fits(uid)).map(|(at, _)| at).collect()
        };
        let applies = schema.map(|schema| schema.applies_to(action).unwrap_or_default());
        let principals = fits(applies.as_ref().map(|(principals, _)| principals));
        let resources = fits(applies.as_ref().map(|(_, resources)| resources));
        let (Some(principal), Some(resource)) = (principals.first(), resources.first()) else { continue };
        let (principal, resource) = (&pool.entities[*principal], &pool.entities[*resource]);
        let block = |context: Cow<'b, Value<'static>>| {
            let mut request = AccessRequest::new(principal.clone(), action.clone(), resource.clone());
            request.context = context.clone().into_owned();
            // a context of other actions may make no request of this one
            let (sample, _, _) = reference::request(snapshot, &request, now).ok()?;
            Some(Block { action, context, sample, principals: principals.clone(), resources: resources.clone() })
        };
        let mut own: Vec<Block<'b>> = contexts.iter().filter_map(|context| block(Cow::Borrowed(context))).collect();
        if own.is_empty() {
            let others = all.values().filter_map(|context| block(Cow::Borrowed(context)));
            own = others.take(MOST_OF_OTHERS).collect();
        }
        if own.is_empty() {
            own.extend(contexts::made_up(schema, action, uids).and_then(|context| block(Cow::Owned(context))));
        }
        found.append(&mut own);
    }
    found
}

/// The parts of a scope, and what its slots are filled with.
type Scope<'s> = (&'s [Expr; 3], &'s SlotEnv);

struct Hunt<'h> {
    mutants: &'h Mutants,
    stage: &'h Stage<'h>,
    uids: &'h [Option<EntityUid>],
    pool: &'h Pool,
    blocks: &'h [Block<'h>],
}

impl Hunt<'_> {
    fn of(&self, at: usize, made: &Made, now: i64, most: u64, go_on: GoOn<'_>) -> Searched {
        let spaces = self.spaces(&self.scopes(at, made));
        let mut searched = Searched { exhausted: true, ..Searched::default() };
        self.walk(at, made, (self.blocks, &spaces), (now, most), go_on, &mut searched);
        if searched.found.is_none() && go_on() {
            let (blocks, spaces) = self.compared(at, made, &spaces, now);
            // of the contexts that are made some are asked; all are those of tests
            let exhausted = searched.exhausted;
            self.walk(at, made, (&blocks, &spaces), (now, most), go_on, &mut searched);
            searched.exhausted = exhausted;
        }
        searched
    }

    /// Asks the requests of all spaces, or `most` of them.
    fn walk(
        &self,
        at: usize,
        made: &Made,
        (blocks, spaces): (&[Block<'_>], &[Space]),
        (now, most): (i64, u64),
        go_on: GoOn<'_>,
        searched: &mut Searched,
    ) {
        let total: u64 = spaces.iter().map(Space::len).sum();
        searched.exhausted &= total <= most;
        // steps that meet every request once before one a second time
        let step = if total <= most { 1 } else { coprime(total) };
        let (mut spent, mut place) = (0_u64, 0_u64);
        for n in 0..total.min(most) {
            let limit = if searched.found.is_some() { most / LONGER } else { most };
            if n.is_multiple_of(STRIDE) && !go_on() || spent > limit {
                searched.exhausted = false;
                return;
            }
            searched.asked += 1;
            spent += 1;
            let Some((block, principal, resource)) = nth(spaces, place) else { return };
            place = (place + step) % total;
            let asked = (&blocks[block], principal, resource);
            let Some(other) = self.ask(at, made, asked, &mut spent) else { continue };
            let request = self.request(&blocks[block], principal, resource);
            // what was put together here must be what is decided everywhere else
            let Ok(decision) = self.stage.snapshot.decide(&request, now) else { continue };
            // a denial of what is not stored stays one whatever policies say
            let is_unknown = matches!(decision.denied_by, Some(DeniedBy::UnknownEntity { .. }));
            if is_unknown || is_same(&decision, &other) {
                continue;
            }
            let turns = decision.outcome != other.outcome;
            if turns || searched.found.is_none() {
                searched.found = Some(Box::new((request, decision, other)));
            }
            if turns {
                return;
            }
        }
    }

    /// Principals and resources of each block that the scope of the policy or of the mutant lets through.
    fn spaces(&self, scopes: &[Scope<'_>]) -> Vec<Space> {
        let mut spaces = Vec::new();
        let mut known: [BTreeMap<usize, bool>; 2] = [BTreeMap::new(), BTreeMap::new()];
        for (number, block) in self.blocks.iter().enumerate() {
            let (Some(principal), Some(resource)) = (block.principals.first(), block.resources.first()) else {
                continue;
            };
            if !self.holds(scopes, 1, block, *principal, *resource) {
                continue;
            }
            let mut fit = |part: usize, list: &[usize]| -> Vec<usize> {
                let known = &mut known[part / 2];
                let fits = |uid: &&usize| {
                    let (principal, resource) = if part == 0 { (**uid, *resource) } else { (*principal, **uid) };
                    *known.entry(**uid).or_insert_with(|| self.holds(scopes, part, block, principal, resource))
                };
                list.iter().filter(fits).copied().collect()
            };
            let principals = fit(0, &block.principals);
            let resources = fit(2, &block.resources);
            spaces.push(Space { block: number, principals, resources });
        }
        spaces
    }

    /// The scopes that a request must be in for a mutant to say something else.
    fn scopes<'m>(&'m self, at: usize, made: &'m Made) -> Vec<Scope<'m>> {
        let deciding = |at: &usize| self.stage.deciding.get(*at);
        match made {
            Made::Policy(made) => {
                let of = self.stage.of[made.group].iter().filter_map(deciding);
                of.flat_map(|it| [&it.scope, &made.scope].map(|scope| (scope, it.policy.env()))).collect()
            }
            Made::Link(_) => {
                let Some(swap) = self.stage.swaps.get(&at) else { return Vec::new() };
                let all = swap.gone.iter().filter_map(deciding).chain(&swap.come);
                all.map(|it| (&it.scope, it.policy.env())).collect()
            }
        }
    }

    /// Whether a part of one of the scopes holds.
    fn holds(&self, scopes: &[Scope<'_>], part: usize, block: &Block<'_>, principal: usize, resource: usize) -> bool {
        let Some(request) = self.cedar(block, principal, resource) else { return false };
        let Some(entities) = self.entities(block, principal, resource) else { return false };
        let scene = Scene::new(self.stage.snapshot, &request, &entities, true);
        scopes.iter().any(|(scope, slots)| matches!(scene.gives(&scope[part], slots), Gave::Bool(true)))
    }

    fn cedar(&self, block: &Block<'_>, principal: usize, resource: usize) -> Option<Request> {
        let uid = |at: usize| self.uids.get(at)?.clone();
        let (action, context) = (block.sample.action()?.clone(), block.sample.context()?.clone());
        Request::new(uid(principal)?, action, uid(resource)?, context, None).ok()
    }

    fn entities(&self, block: &Block<'_>, principal: usize, resource: usize) -> Option<Cow<'_, Entities>> {
        match self.stage.all() {
            Some(all) => Some(Cow::Borrowed(all)),
            None => self.stage.reached(&self.request(block, principal, resource)).ok(),
        }
    }

    /// What the mutant decides, where it says something else than the policy.
    fn ask(
        &self,
        at: usize,
        made: &Made,
        (block, principal, resource): (&Block<'_>, usize, usize),
        spent: &mut u64,
    ) -> Option<Decision> {
        let request = self.cedar(block, principal, resource)?;
        let entities = self.entities(block, principal, resource)?;
        let scene = Scene::new(self.stage.snapshot, &request, &entities, true);
        let trial = Trial { mutants: self.mutants, stage: self.stage, scene: &scene, all: OnceCell::new() };
        let base = Decision {
            outcome: Outcome::Deny,
            reasons: Vec::new(),
            errors: Vec::new(),
            forbid_errors: 0,
            denied_by: None,
            revision: self.stage.snapshot.revision,
            time_dependent: false,
        };
        let other = match made {
            Made::Policy(made) => {
                let deciding = &self.stage.of[made.group];
                let states: Vec<State> = deciding.iter().map(|at| trial.state(*at)).collect();
                trial.of(at, deciding, &states, &base)
            }
            Made::Link(_) => trial.swapped(at, &base),
        };
        if other.is_some() {
            *spent += WHOLE;
        }
        other
    }

    fn request(&self, block: &Block<'_>, principal: usize, resource: usize) -> AccessRequest<'static> {
        let uid = |at: usize| self.pool.entities[at].clone();
        let mut request = AccessRequest::new(uid(principal), block.action.clone(), uid(resource));
        request.context = block.context.clone().into_owned();
        request
    }
}

/// The request of a number: its block, principal and resource.
fn nth(spaces: &[Space], mut number: u64) -> Option<(usize, usize, usize)> {
    for space in spaces {
        if number < space.len() {
            let (principal, resource) = space.pair(number);
            return Some((space.block, principal, resource));
        }
        number -= space.len();
    }
    None
}

/// A step near the golden section of `total` that has no divisor in common with it.
fn coprime(total: u64) -> u64 {
    let start = total - total / 3;
    let shares = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a > 1
    };
    (start..total).find(|step| !shares(*step, total)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_meet_every_request_once() {
        for total in [1_u64, 2, 3, 4, 6, 9, 10, 97, 100, 360] {
            let step = coprime(total);
            let mut met: Vec<u64> = (0..total)
                .scan(0, |at, _| {
                    let here = *at;
                    *at = (*at + step) % total;
                    Some(here)
                })
                .collect();
            met.sort_unstable();
            met.dedup();
            assert_eq!(met.len() as u64, total, "{total}");
        }
    }
}
