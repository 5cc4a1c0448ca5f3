//! A store after random changes, against one that is built afresh; and the states before, which must not move.

use std::sync::Arc;

use palisade_engine::model::AccessRequest;
use palisade_engine::{EngineKind, Snapshot, on_big_stack};

use super::compare::{Answer, REVISION, build, comparable, settings};
use super::for_seeds;
use super::generate::changes::applied;
use super::generate::{Plan, World, closure};

const NOW: i64 = 1_790_000_000_123;

#[test]
fn a_changed_store_decides_as_one_built_afresh() {
    let (mut transactions, mut refused, mut requests) = (0_u64, 0_u64, 0_u64);
    on_big_stack(|| {
        for_seeds(
            60,
            |seed| {
                let (mut world, mut c) = World::seeded(seed, Plan::default());
                let settings = settings(&mut c);
                let bundle = Arc::new(world.bundle.clone());
                let Ok(mut changed) = build(&bundle, &settings, EngineKind::Compiled) else { return Ok(()) };
                let Ok(mut reference) = build(&bundle, &settings, EngineKind::Reference) else { return Ok(()) };
                let mut before: Vec<(Snapshot, Vec<(Answer, AccessRequest<'static>)>)> = Vec::new();
                for _ in 0..12 {
                    let changes = world.changes(&mut c, &world.entities);
                    let entities = applied(&world.entities, &changes);
                    let bundle = Arc::new(world.bundle_with(&mut c, &entities));
                    let fresh = build(&bundle, &settings, EngineKind::Compiled);
                    transactions += 1;
                    let (next, fresh) = match (changed.apply(&changes, REVISION), fresh) {
                        (Ok(next), Ok(fresh)) => (next, fresh),
                        (Err(_), Err(_)) => {
                            refused += 1;
                            if reference.apply(&changes, REVISION).is_ok() {
                                return Err(format!("the reference takes what is refused: {changes:#?}"));
                            }
                            continue;
                        }
                        (applied, fresh) => {
                            return Err(format!(
                                "{changes:#?}\napplied: {:?}\nafresh: {:?}\nbefore: {:#?}",
                                applied.err(),
                                fresh.err(),
                                world.entities
                            ));
                        }
                    };
                    let next_reference = reference
                        .apply(&changes, REVISION)
                        .map_err(|problems| format!("{changes:#?}\n{problems:?}"))?;
                    world.closure = closure(&world.model, &entities);
                    world.entities = entities;
                    if next.entity_count() != fresh.entity_count() {
                        return Err(format!(
                            "{changes:#?}\n{} entities, afresh {}",
                            next.entity_count(),
                            fresh.entity_count()
                        ));
                    }
                    let mut asked = Vec::new();
                    for _ in 0..12 {
                        let request = world.request(&mut c);
                        let answers = [
                            next.decide(&request, NOW),
                            fresh.decide(&request, NOW),
                            next_reference.decide(&request, NOW),
                            next.decide_by_reference(&request, NOW),
                        ];
                        requests += 1;
                        if answers.iter().any(|answer| comparable(answer) != comparable(&answers[0])) {
                            return Err(format!(
                                "after {changes:#?}\n{request:#?}\nchanged, afresh, reference, slice: {answers:#?}"
                            ));
                        }
                        asked.push(request);
                    }
                    // what the state before says of these now, it must go on saying
                    let old = std::mem::replace(&mut changed, next);
                    let asked = asked.into_iter().map(|request| (old.decide(&request, NOW), request)).collect();
                    before.push((old, asked));
                    reference = next_reference;
                }
                for (state, asked) in &before {
                    for (answer, request) in asked {
                        if comparable(&state.decide(request, NOW)) != comparable(answer) {
                            return Err(format!(
                                "a state before the change answers again: {request:#?}\nonce {answer:#?}"
                            ));
                        }
                    }
                }
                Ok(())
            },
            |_| {},
        );
    })
    .unwrap();
    println!("{transactions} transactions, {refused} of them refused, {requests} requests");
    assert!(refused * 3 < transactions && refused > 0, "{refused} of {transactions} refused");
}
