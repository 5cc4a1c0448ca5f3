//! The policies that the index finds, against a scan of all scopes written here, over a hierarchy kept here.

use std::collections::BTreeSet;
use std::sync::Arc;

use palisade_engine::model::{AccessRequest, Uid};
use palisade_engine::{EngineKind, EngineSettings, NowPolicy, Semantics, Validation, on_big_stack};

use super::compare::build;
use super::generate::features::Feature;
use super::generate::policies::{ActionScope, Conditions, Policy, Scope};
use super::generate::{Plan, World};
use super::{for_seeds, number};

fn is_in(world: &World, uid: &Uid<'static>, above: &Uid<'static>) -> bool {
    uid == above || world.closure.get(uid).is_some_and(|ancestors| ancestors.contains(above))
}

fn in_scope(world: &World, policy: &Policy, request: &AccessRequest<'static>) -> bool {
    let fits = |scope: &Scope, uid: &Uid<'static>| match scope {
        Scope::Any => true,
        Scope::Is(other) => uid == other,
        Scope::In(above) => is_in(world, uid, above),
        Scope::Type(name) => uid.type_name == name.as_str(),
        Scope::TypeIn(name, above) => uid.type_name == name.as_str() && is_in(world, uid, above),
    };
    let action = match &policy.action {
        ActionScope::Any => true,
        ActionScope::Is(uid) => request.action == *uid,
        ActionScope::In(groups) => groups.iter().any(|group| is_in(world, &request.action, group)),
    };
    action && fits(&policy.principal, &request.principal) && fits(&policy.resource, &request.resource)
}

#[test]
fn the_index_finds_what_a_full_scan_finds() {
    // decisions show what was found: policies without a condition determine them, or fail
    let plan = Plan { policies: (5, 120), conditions: Conditions::Fixed };
    let settings = EngineSettings {
        semantics: Semantics::Cedar,
        now: NowPolicy::Off,
        validation: Validation::Off,
        ..EngineSettings::default()
    };
    let (mut pairs, mut scopes, mut found) = (0_u64, 0_u64, 0_u64);
    on_big_stack(|| {
        for_seeds(
            100,
            |seed| {
                let (world, mut c) = World::seeded(seed, plan);
                let Ok(snapshot) = build(&Arc::new(world.bundle.clone()), &settings, EngineKind::Compiled) else {
                    return Ok(());
                };
                for _ in 0..200 {
                    let mut request = world.request(&mut c);
                    (request.entities, request.additional_entities) = (None, None);
                    request.overlays.clear();
                    let Ok(decision) = snapshot.decide(&request, 0) else { continue };
                    let (mut permits, mut forbids, mut failed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
                    for policy in world.policies.iter().filter(|policy| in_scope(&world, policy, &request)) {
                        let fails = !policy.features.has(Feature::NoCondition);
                        let place = match (fails, policy.forbids) {
                            (true, _) => &mut failed,
                            (false, true) => &mut forbids,
                            (false, false) => &mut permits,
                        };
                        place.insert(&*policy.id);
                    }
                    pairs += 1;
                    scopes += world.policies.len() as u64;
                    found += (permits.len() + forbids.len() + failed.len()) as u64;
                    let allowed = forbids.is_empty() && !permits.is_empty();
                    let expected = if forbids.is_empty() { permits } else { forbids };
                    let reasons: BTreeSet<&str> = decision.reasons.iter().map(|id| &**id).collect();
                    let errors: BTreeSet<&str> = decision.errors.iter().map(|error| &*error.policy_id).collect();
                    let right = (reasons.len(), errors.len()) == (decision.reasons.len(), decision.errors.len())
                        && (decision.outcome.is_allow(), reasons, errors)
                            == (allowed, expected.clone(), failed.clone());
                    if !right {
                        return Err(format!(
                            "{request:#?}\nfound: {decision:#?}\nscan: {expected:?}, failing {failed:?}"
                        ));
                    }
                }
                Ok(())
            },
            |_| {},
        );
    })
    .unwrap();
    println!("{pairs} pairs of policy set and request, {scopes} scopes, {found} of them held");
    assert!(number("WORLDS").is_some() || (pairs > 10_000 && found > 10_000), "{pairs} pairs, {found} candidates");
}
