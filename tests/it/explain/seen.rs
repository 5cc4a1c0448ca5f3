//! Coverage on generated worlds: what is counted is what explanations say, which is what Cedar says of each part alone.

use std::collections::BTreeMap;

use palisade_engine::model::explanation::{Clause, ExplainedPolicy, Truth};
use palisade_engine::{EngineKind, EngineSettings, ExplainOptions, NowPolicy, Sightings, on_big_stack};

use crate::differential::compare::{build, settings};
use crate::differential::generate::{Plan, World};

const NOW: i64 = 1_790_000_000_123;

/// How often a scope held, and of each part how often it held, did not, and failed.
type Counted = BTreeMap<String, (u64, Vec<(String, [u64; 3])>)>;

/// The clauses that consist of nothing else and are not written out as true or false, in their order.
fn leaves(policy: &ExplainedPolicy) -> Vec<&Clause> {
    fn below<'c>(clauses: &'c [Clause], found: &mut Vec<&'c Clause>) {
        for clause in clauses {
            if clause.parts.is_empty() && !["true", "false"].contains(&clause.text.as_str()) {
                found.push(clause);
            }
            below(&clause.parts, found);
        }
    }
    let mut found = Vec::new();
    below(&policy.clauses, &mut found);
    found
}

fn count(policy: &ExplainedPolicy, counted: &mut Counted) {
    let id = policy.link.as_ref().map_or(&*policy.id, |link| link.template.as_str());
    let leaves = leaves(policy);
    let (in_scope, parts) = counted
        .entry(id.to_owned())
        .or_insert_with(|| (0, leaves.iter().map(|clause| (clause.text.clone(), [0; 3])).collect()));
    *in_scope += u64::from(policy.scope.iter().all(|part| part.result == Truth::True));
    for ((_, seen), clause) in parts.iter_mut().zip(leaves) {
        match clause.result {
            Truth::True => seen[0] += 1,
            Truth::False => seen[1] += 1,
            Truth::Error => seen[2] += 1,
            Truth::NotReached => {}
        }
    }
}

#[test]
fn what_is_counted_is_what_explanations_say() {
    let worlds: u64 = std::env::var("PALISADE_EXPLAIN_WORLDS").ok().map_or(40, |count| count.parse().unwrap());
    let mut tally = [0; 3];
    on_big_stack(|| {
        for seed in 20_000..20_000 + worlds {
            let (world, mut choices) = World::seeded(seed, Plan { policies: (1, 8), ..Plan::default() });
            let settings = EngineSettings { now: NowPolicy::Fill, ..settings(&mut choices) };
            let Ok(snapshot) = build(&world.bundle.clone().into(), &settings, EngineKind::Compiled) else { continue };
            let (mut seen, mut counted) = (Sightings::default(), Counted::new());
            for _ in 0..12 {
                let request = world.request(&mut choices);
                let every = ExplainOptions { every: true, without_changes: true, ..ExplainOptions::default() };
                let Ok(explained) = snapshot.explain(&request, NOW, &every) else { continue };
                seen.see(&snapshot, &request, NOW).unwrap();
                explained.policies.iter().for_each(|policy| count(policy, &mut counted));
            }
            let seen: Counted = seen
                .policies()
                .map(|(id, policy)| {
                    let part = |part: &palisade_engine::SeenPart| {
                        let palisade_engine::Outcomes { held, not, failed } = part.outcomes;
                        (part.text.clone(), [held, not, failed])
                    };
                    (id.to_string(), (policy.in_scope, policy.parts.iter().map(part).collect()))
                })
                .collect();
            // what no request was in scope of says nothing
            counted.retain(|_, (in_scope, _)| *in_scope > 0);
            let seen: Counted = seen.into_iter().filter(|(_, (in_scope, _))| *in_scope > 0).collect();
            assert_eq!(seen, counted, "seed {seed}");
            for (_, outcomes) in seen.values().flat_map(|(_, parts)| parts) {
                tally.iter_mut().zip(outcomes).for_each(|(all, of_it)| *all += of_it);
            }
        }
    })
    .unwrap();
    println!("{tally:?} held, did not, failed");
    assert!(worlds < 40 || tally.iter().all(|count| *count >= 20), "{tally:?}");
}
