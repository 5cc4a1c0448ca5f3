//! The single changes that turn a decision: candidates from the clauses of the nearest policies, each tried.

use cedar_policy_core::ast::{Expr, Var};

use super::contested::Contested;
use super::edits::Change;
use super::goals::Goals;
use super::links;
use super::scene::{Gave, Scene, shown};
use super::source::Source;
use super::ties;
use super::tree::Tree;
use super::values::Masks;
use super::{Bounds, Judged};
use crate::model::explanation::{Search, Truth, TurningChange};
use crate::model::{AccessRequest, Decision, PolicyId};
use crate::snapshot::{GoOn, Snapshot, Undecided};

/// A request that weighs more is copied for few trials only.
const HEAVY: usize = 64 << 10;

/// Trials with a heavy request, and where every trial makes all of Cedar's entities again.
const FEW: usize = 8;

/// Candidates that are looked for beside each trial, so that those which reach least can be tried first.
const MOST_CANDIDATES: usize = 4;

/// As many of Cedar's own entities are made again for each trial without a thought.
const CHEAP_ENTITIES: usize = 2_000;

/// Entities above the resource by which proposals are ordered.
const MOST_ABOVE: usize = 32;

/// What is explained.
pub(super) struct Asked<'a> {
    pub snapshot: &'a Snapshot,
    pub scene: &'a Scene<'a>,
    pub request: &'a AccessRequest<'a>,
    pub now: i64,
    pub decision: &'a Decision,
}

/// The changes that turn the decision. `judged` are the policies, the most interesting first.
///
/// # Errors
/// If `go_on` said false.
pub(super) fn turning(
    asked: &Asked<'_>,
    judged: &[Judged],
    bounds: Bounds,
    masks: &Masks,
    go_on: GoOn<'_>,
    search: &mut Search,
) -> Result<Vec<TurningChange>, Undecided> {
    let is_allow = asked.decision.outcome.is_allow();
    let is_costly = asked.request.weight() > HEAVY
        || asked.snapshot.entities.is_some() && asked.snapshot.entity_count() > CHEAP_ENTITIES;
    let most = if is_costly { FEW } else { bounds.tried };
    let mut candidates: Vec<(Change, PolicyId)> = Vec::new();
    for policy in judged {
        if !go_on() {
            return Err(Undecided::GivenUp);
        }
        if candidates.len() > MOST_CANDIDATES * most {
            search.bounded = true;
            break;
        }
        // a denial: what keeps a permit from holding, and lets a forbid hold or fail; of an allow the opposite
        let want = policy.is_forbid == is_allow;
        if (policy.result == Truth::True) == want {
            continue;
        }
        let (found, bounded) = of_policy(asked, policy, want, masks);
        search.bounded |= bounded;
        for change in found.into_iter().flat_map(|change| ties::tied(asked, change)) {
            add(&mut candidates, change, policy.id.clone());
        }
    }
    let (made, bounded) = links::changes(asked, judged.iter().map(|it| (&it.id, it.result, it.is_forbid)));
    search.bounded |= bounded;
    for (change, policy) in made {
        ties::tied(asked, change).into_iter().for_each(|change| add(&mut candidates, change, policy.clone()));
    }
    let contested = Contested::of(asked, judged, masks, &candidates);
    for (change, policy) in contested.more(&candidates) {
        ties::tied(asked, change).into_iter().for_each(|change| add(&mut candidates, change, policy.clone()));
    }
    // what a rule of the strict semantics denies, an entity more may turn, or a forbid that does not fail any more
    search.bounded |= asked.decision.denied_by.is_some();
    let [principal, resource] = [Var::Principal, Var::Resource].map(|variable| asked.scene.of(variable));
    let above = resource.map(|resource| asked.scene.above(resource, MOST_ABOVE).0).unwrap_or_default();
    // as links name them
    let above: Vec<String> = above.iter().map(shown).collect();
    candidates.sort_by_cached_key(|(change, policy)| (change.reach(principal, resource), width(asked, policy, &above)));
    let (mut turning, mut joined) = (Vec::new(), Vec::new());
    let (mut turned, mut in_vain) = (Vec::new(), Vec::new());
    for (change, policy) in candidates {
        if search.tried == most || turning.len() == bounds.changes {
            search.bounded = true;
            break;
        }
        // a group that gives it is shown already
        if let Change::AddParent(entity, parent) = &change
            && joined.contains(&(entity.clone(), parent.clone()))
        {
            continue;
        }
        if !go_on() {
            return Err(Undecided::GivenUp);
        }
        search.tried += 1;
        let decided = change.decided(asked.snapshot, asked.request, asked.now, go_on);
        // it could not be made, or no caller waits for it any more
        if decided.is_none() && !go_on() {
            return Err(Undecided::GivenUp);
        }
        // it does not fit the schema; a larger one of its kind may
        search.bounded |= decided.is_none();
        let decided = decided.filter(|decision| decision.outcome != asked.decision.outcome);
        if let Some(place) = change.target().filter(|_| contested.is_contested(&change)) {
            (if decided.is_some() { &mut turned } else { &mut in_vain }).push(place.clone());
        }
        if let Some(decision) = decided {
            let adds = change.entity().is_some_and(|entity| !asked.scene.knows(entity));
            let (words, mut edits) = (change.words(adds), change.edits().into_iter());
            let Some(edit) = edits.next() else { continue };
            turning.push(TurningChange {
                words,
                edit,
                with: edits.collect(),
                adds,
                decision: decision.outcome,
                policy,
            });
            if let Change::Join { entity, wanted, .. } = change {
                joined.push((entity, wanted));
            }
        }
    }
    // a value that no condition names may suit all of them
    search.bounded |= in_vain.iter().any(|place| !turned.contains(place));
    Ok(turning)
}

/// How far above the resource the place is that a link gives rights over: who is put into a group has the rights of the group
/// there. Of what is no link nothing is known.
fn width(asked: &Asked<'_>, policy: &PolicyId, above: &[String]) -> usize {
    let Some(linked) = asked.snapshot.linked(policy) else { return 0 };
    let place = linked.link.args.iter().find(|(slot, _)| slot == "?resource");
    place.map_or(0, |(_, uid)| above.iter().position(|known| known == uid).unwrap_or(above.len()))
}

/// Adds a change; two that say the same are one.
fn add(candidates: &mut Vec<(Change, PolicyId)>, change: Change, policy: PolicyId) {
    let edits = change.edits();
    if !candidates.iter().any(|(known, _)| known.edits() == edits) {
        candidates.push((change, policy));
    }
}

/// Changes that could make a policy hold, or not.
fn of_policy(asked: &Asked<'_>, judged: &Judged, want: bool, masks: &Masks) -> (Vec<Change>, bool) {
    let tree = Tree::new(&judged.policy, Source::new(asked.snapshot.known_site(&judged.id)), masks);
    let mut goals = Goals::new(asked.snapshot, asked.scene, tree.slots(), masks);
    let holds = |condition: &Expr| matches!(asked.scene.gives(condition, tree.slots()), Gave::Bool(true));
    for part in tree.scope() {
        if holds(&part.condition) != want {
            goals.make(&part.condition, want);
        }
    }
    for condition in tree.conditions() {
        if holds(condition.expression) != want {
            goals.make(condition.expression, want);
        }
    }
    (goals.found, goals.bounded)
}
