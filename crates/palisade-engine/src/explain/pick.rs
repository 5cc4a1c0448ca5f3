//! Which policies an explanation looks at: those that decided, those that are near, and some of those that are farther off.
//!
//! What near is, and how near, `compiled::misses` says. Here it is chosen.

use std::collections::HashSet;

use super::{Bounds, ExplainOptions};
use crate::compiled::{self, Lineages, Near, Nearby};
use crate::model::{Decision, PolicyId};
use crate::snapshot::Snapshot;

/// A policy to be evaluated.
#[derive(Debug)]
pub(super) struct Pick {
    pub id: PolicyId,
    /// How far its scope is from the request, if that is known.
    pub distance: Option<usize>,
    /// Whether at most one part of its scope does not hold.
    pub is_near: bool,
}

/// The policies to be evaluated, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub picks: Vec<Pick>,
    /// How many decided or are near, picked or not.
    pub near: usize,
    /// How many there are besides.
    pub farther: usize,
    /// Whether there were more than are looked at.
    pub bounded: bool,
}

/// Picks the policies that say most of a decision.
pub(super) fn pick(
    snapshot: &Snapshot,
    lineages: &Lineages,
    decision: &Decision,
    options: &ExplainOptions,
    bounds: Bounds,
) -> Picked {
    let pick = |id: &PolicyId, distance, is_near| Pick { id: id.clone(), distance, is_near };
    if let Some(only) = &options.only {
        let picks: Vec<Pick> = only.iter().filter(|id| snapshot.decides(id)).map(|id| pick(id, None, true)).collect();
        return Picked { near: picks.len(), picks, ..Picked::default() };
    }
    let Nearby { found, mut bounded } = compiled::nearby(snapshot, lineages);
    let decided = || decision.reasons.iter().chain(decision.errors.iter().map(|error| &error.policy_id));
    let mut picks: Vec<Pick> =
        decision.reasons.iter().take(bounds.evaluated).map(|id| pick(id, Some(0), true)).collect();
    let failed = decision.errors.iter().map(|error| &error.policy_id);
    picks.extend(failed.take(bounds.evaluated).map(|id| pick(id, Some(0), true)));
    let named: HashSet<&PolicyId> = decided().collect();
    let is_allow = decision.outcome.is_allow();
    // those that would turn the decision say more than others
    let turns = |near: &&Near| near.forbids == is_allow;
    let (turning, others): (Vec<&Near>, Vec<&Near>) =
        found.iter().filter(|near| !named.contains(&near.id)).partition(turns);
    let near = named.len() + turning.len() + others.len();
    let as_pick = |near: &Near| pick(&near.id, Some(near.distance.sum), near.distance.is_near());
    picks.extend(turning.iter().chain(&others).take(bounds.evaluated).map(|near| as_pick(near)));
    // where nothing holds or fails and no permit is near, the nearest of the others say most
    let is_bare = named.is_empty() && !is_allow && turning.is_empty();
    let room = match (is_bare, options.all) {
        (true, _) => bounds.shown,
        (false, true) => bounds.shown.saturating_sub(picks.len()),
        (false, false) => 0,
    };
    let mut farther = snapshot.policy_count().saturating_sub(near);
    if room > 0 && farther > 0 && !options.every {
        let far = compiled::farther(snapshot, lineages);
        bounded |= far.bounded;
        let (turning, others): (Vec<&Near>, Vec<&Near>) = far.found.iter().partition(turns);
        let others = others.into_iter().filter(|_| options.all);
        let far: Vec<Pick> = turning.into_iter().chain(others).take(room).map(as_pick).collect();
        farther -= far.len().min(farther);
        picks.extend(far);
    }
    Picked { picks, near, farther, bounded }
}
