//! Contexts that no test has: in them a condition of the policy, or of its mutant, turns.
//!
//! A test that asks with `amount: 5` says nothing about `context.amount > 100`, and neither does any request with the contexts
//! of tests. What a condition compares says which values would.

use std::borrow::Cow;
use std::collections::BTreeSet;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{EntityUID, Expr, SlotEnv};
use serde_json::{Map, Value as Json};

use super::super::super::goals::Goals;
use super::super::super::made_up::fill;
use super::super::super::scene::Scene;
use super::super::Made;
use super::{Block, Hunt, Space};
use crate::model::{AccessRequest, Uid, Value};
use crate::reference;
use crate::schema::SchemaModel;

/// Contexts of each action that others are made of.
const MOST_STARTS: usize = 2;

/// Pairs of principal and resource that a context is looked at with: the values of some are compared with it.
const MOST_PAIRS: u64 = 4;

/// Contexts that are made of one.
const MOST_OF_ONE: usize = 64;

/// Contexts that are made for one mutant.
const MOST: usize = 512;

/// Policies of one template that are looked at.
const MOST_LINKS: usize = 4;

/// A condition, and what its slots are filled with.
type Condition<'c> = (&'c Expr, &'c SlotEnv);

impl<'h> Hunt<'h> {
    /// Requests like those of `spaces`, with up to two members of the context changed.
    pub(super) fn compared(&self, at: usize, made: &Made, spaces: &[Space], now: i64) -> (Vec<Block<'h>>, Vec<Space>) {
        let conditions = self.conditions(at, made);
        let (mut blocks, mut found) = (Vec::new(), Vec::new());
        let mut starts: Vec<(&Uid<'static>, usize)> = Vec::new();
        for space in spaces {
            let start = &self.blocks[space.block];
            match starts.iter_mut().find(|(action, _)| *action == start.action) {
                Some((_, count)) => *count += 1,
                None => starts.push((start.action, 1)),
            }
            let is_enough = starts.iter().any(|(action, count)| *action == start.action && *count > MOST_STARTS);
            if is_enough || space.is_empty() || blocks.len() >= MOST {
                continue;
            }
            let same = self.blocks.iter().filter(|block| block.action == start.action);
            let mut known: BTreeSet<String> = same.map(|block| block.context.to_json().to_string()).collect();
            let mut once = Vec::new();
            for n in 0..MOST_PAIRS.min(space.len()) {
                self.turned(&conditions, start, space.pair(n * space.len() / MOST_PAIRS), now, &mut known, &mut once);
            }
            let mut twice = Vec::new();
            for block in &once {
                self.turned(&conditions, block, space.pair(0), now, &mut known, &mut twice);
            }
            for block in once.into_iter().chain(twice).take(MOST_OF_ONE) {
                found.push(Space { block: blocks.len(), ..space.clone() });
                blocks.push(block);
            }
        }
        (blocks, found)
    }

    /// The conditions of the policies that a mutant changes, and its own.
    fn conditions<'m>(&'m self, at: usize, made: &'m Made) -> Vec<Condition<'m>> {
        let deciding = |at: &usize| self.stage.deciding.get(*at);
        match made {
            Made::Policy(made) => {
                let of = self.stage.of[made.group].iter().filter_map(deciding).take(MOST_LINKS);
                let both = of.flat_map(|it| {
                    let all = [Some(&it.condition), made.condition.as_ref()];
                    all.into_iter().flatten().map(|condition| (condition, it.policy.env()))
                });
                both.collect()
            }
            Made::Link(_) => {
                let Some(swap) = self.stage.swaps.get(&at) else { return Vec::new() };
                let all = swap.gone.iter().filter_map(deciding).chain(&swap.come).take(MOST_LINKS);
                all.map(|it| (&it.condition, it.policy.env())).collect()
            }
        }
    }

    /// Adds `block` with each change of its context that could turn a part of a condition, for one principal and resource.
    fn turned(
        &self,
        conditions: &[Condition<'_>],
        block: &Block<'h>,
        pair: (usize, usize),
        now: i64,
        known: &mut BTreeSet<String>,
        to: &mut Vec<Block<'h>>,
    ) {
        if to.len() >= MOST_OF_ONE {
            return;
        }
        let (principal, resource) = pair;
        let Some(request) = self.cedar(block, principal, resource) else { return };
        let Some(entities) = self.entities(block, principal, resource) else { return };
        let snapshot = self.stage.snapshot;
        let scene = Scene::new(snapshot, &request, &entities, true);
        // what decides now may keep the mutant from showing
        let asked = self.request(block, principal, resource);
        let hiding = snapshot.decide(&asked, now).map(|decision| decision.reasons).unwrap_or_default();
        let hiding = self.stage.deciding.iter().filter(|it| hiding.contains(&it.id)).take(MOST_LINKS);
        let hiding: Vec<Condition<'_>> = hiding.map(|it| (&it.condition, it.policy.env())).collect();
        for (condition, slots) in conditions.iter().chain(&hiding) {
            let mut goals = Goals::new(snapshot, &scene, slots, &[]);
            goals.turn_each(condition, &|_| true);
            for change in goals.found {
                let Some(context) = change.in_context(&block.context) else { continue };
                if to.len() >= MOST_OF_ONE || !known.insert(context.to_json().to_string()) {
                    continue;
                }
                let mut request = self.request(block, principal, resource);
                request.context = context;
                // the schema does not allow every one
                if let Ok((sample, _, _)) = reference::request(snapshot, &request, now) {
                    let AccessRequest { context, .. } = request;
                    to.push(Block { action: block.action, context: Cow::Owned(context), sample, ..block.clone() });
                }
            }
        }
    }
}

/// A context with what an action must have, and no more. Entities are of those that are asked about.
pub(super) fn made_up(
    schema: Option<&SchemaModel>,
    action: &Uid<'_>,
    entities: &[Option<EntityUid>],
) -> Option<Value<'static>> {
    let of_type = |name: &str| {
        let found = entities.iter().flatten().find(|uid| uid.type_name().to_string() == name);
        found.cloned().map(EntityUID::from)
    };
    let mut context = Map::new();
    if !fill(schema?.context(action)?, &mut context, &of_type) {
        return None;
    }
    Some(Value::parse(Json::Object(context).to_string().as_bytes()).ok()?.into_owned())
}
