//! Which policies an explanation shows, against a look at every policy written here, over a hierarchy kept here.

use std::collections::BTreeMap;
use std::sync::Arc;

use palisade_engine::model::{AccessRequest, Decision, Explanation, Uid};
use palisade_engine::{EngineKind, EngineSettings, ExplainOptions, NowPolicy, Semantics, Validation, on_big_stack};

use crate::differential::compare::build;
use crate::differential::generate::features::Feature;
use crate::differential::generate::policies::{ActionScope, Conditions, Policy, Scope};
use crate::differential::generate::{Plan, World};

/// What no change of the hierarchy makes up for.
const FAR: usize = 100;

/// How a policy is ranked: those that hold, those that fail, those that would turn the decision, others; of each the near
/// before the far. Then by distance.
type Key = (usize, usize);

fn is_in(world: &World, uid: &Uid<'static>, above: &Uid<'static>) -> bool {
    uid == above || world.closure.get(uid).is_some_and(|ancestors| ancestors.contains(above))
}

fn of_scope(world: &World, scope: &Scope, uid: &Uid<'static>) -> usize {
    match scope {
        Scope::Any => 0,
        Scope::Is(other) if uid == other => 0,
        Scope::Is(other) => {
            if uid.type_name == other.type_name {
                2
            } else {
                FAR
            }
        }
        Scope::In(above) => usize::from(!is_in(world, uid, above)),
        Scope::Type(name) => {
            if uid.type_name == name.as_str() {
                0
            } else {
                FAR
            }
        }
        Scope::TypeIn(name, above) if uid.type_name == name.as_str() => usize::from(!is_in(world, uid, above)),
        Scope::TypeIn(..) => FAR,
    }
}

/// Whether a policy is near, and its key.
fn key(world: &World, policy: &Policy, request: &AccessRequest<'static>, decision: &Decision) -> (bool, Key) {
    let of_action = match &policy.action {
        ActionScope::Any => true,
        ActionScope::Is(uid) => request.action == *uid,
        ActionScope::In(groups) => groups.iter().any(|group| is_in(world, &request.action, group)),
    };
    let parts = [
        of_scope(world, &policy.principal, &request.principal),
        if of_action { 0 } else { FAR },
        of_scope(world, &policy.resource, &request.resource),
    ];
    let is_near = parts.iter().filter(|part| **part > 0).count() <= 1;
    // a condition that there is always fails
    let of_condition = usize::from(!policy.features.has(Feature::NoCondition));
    let rank = if decision.reasons.iter().any(|id| **id == *policy.id) {
        0
    } else if decision.errors.iter().any(|error| *error.policy_id == *policy.id) {
        1
    } else {
        2 + 2 * usize::from(policy.forbids != decision.outcome.is_allow()) + usize::from(!is_near)
    };
    (is_near, (rank, parts.iter().sum::<usize>() + of_condition))
}

/// Compares what is shown with the nearest of all.
fn compare(keys: &BTreeMap<&str, (bool, Key)>, explained: &Explanation, all: bool) -> Result<bool, String> {
    let shown = if all { 100 } else { 10 };
    let mut near: Vec<Key> = keys.values().filter(|(is_near, _)| *is_near).map(|(_, key)| *key).collect();
    let mut far: Vec<Key> = keys.values().filter(|(is_near, _)| !is_near).map(|(_, key)| *key).collect();
    far.sort_unstable();
    let (of_near, of_far) = (near.len(), far.len());
    let is_bare = !explained.decision.is_allow() && near.iter().all(|(rank, _)| *rank == 4);
    far.retain(|(rank, _)| all || is_bare && *rank == 3);
    far.truncate(if is_bare { shown } else { shown.saturating_sub(near.len()) });
    near.extend(&far);
    near.sort_unstable();
    near.truncate(shown);
    let found: Vec<Key> = explained.policies.iter().map(|policy| keys[&*policy.id].1).collect();
    if explained.policies.iter().any(|policy| policy.distance != keys[&*policy.id].1.1) {
        return Err(format!("other distances than {found:?}"));
    }
    let is_far = |(rank, _): &&Key| matches!(rank, 3 | 5);
    let far_shown = near.iter().filter(is_far).count();
    let left = (of_near + far_shown - near.len(), of_far - far_shown);
    let counted = (explained.policies_left_out, explained.policies_farther);
    if found != near || counted != left {
        return Err(format!("shown {found:?}, the nearest are {near:?}; left {counted:?}, not {left:?}"));
    }
    Ok(far_shown > 0)
}

#[test]
fn the_nearest_of_all_policies_are_shown_and_the_rest_is_counted() {
    let plan = Plan { policies: (3, 50), conditions: Conditions::Fixed };
    let settings = EngineSettings {
        semantics: Semantics::Cedar,
        now: NowPolicy::Off,
        validation: Validation::Off,
        ..EngineSettings::default()
    };
    let worlds: u64 = std::env::var("PALISADE_EXPLAIN_WORLDS").ok().map_or(40, |count| count.parse().unwrap());
    let (mut asked, mut with_far) = (0, 0);
    on_big_stack(|| {
        for seed in 30_000..30_000 + worlds {
            let (world, mut c) = World::seeded(seed, plan);
            // as many as are evaluated, so that the nearest are among them
            if world.policies.len() > 60 {
                continue;
            }
            let Ok(snapshot) = build(&Arc::new(world.bundle.clone()), &settings, EngineKind::Compiled) else {
                continue;
            };
            for n in 0..20 {
                let mut request = world.request(&mut c);
                (request.entities, request.additional_entities) = (None, None);
                request.overlays.clear();
                let all = n % 2 == 0;
                let options = ExplainOptions { all, without_changes: true, ..ExplainOptions::default() };
                let Ok(decision) = snapshot.decide(&request, 0) else { continue };
                let explained = snapshot.explain(&request, 0, &options).unwrap();
                let policies = world.policies.iter();
                let keys = policies.map(|it| (&*it.id, key(&world, it, &request, &decision))).collect();
                asked += 1;
                match compare(&keys, &explained, all) {
                    Ok(far) => with_far += usize::from(far),
                    Err(why) => panic!("seed {seed}: {why}\n{request:#?}\n{explained:#?}"),
                }
            }
        }
    })
    .unwrap();
    println!("{asked} asked, {with_far} show what is farther off");
    assert!(worlds < 40 || asked >= 300 && with_far >= 30, "{asked} asked, {with_far} show what is farther off");
}
