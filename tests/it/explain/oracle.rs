//! Generated worlds: everything that an explanation says is asked again, of Cedar's authorizer alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_engine::model::explanation::{Clause, ClauseKind, Effect, Truth};
use palisade_engine::model::{AccessRequest, Bundle, Document, Explanation, PolicyNaming, PolicyText};
use palisade_engine::{EngineKind, EngineSettings, ExplainOptions, NowPolicy, Semantics, Snapshot, on_big_stack};

use super::edited;
use crate::differential::compare::{build, settings};
use crate::differential::generate::{Plan, World};

const NOW: i64 = 1_790_000_000_123;

/// What was met.
#[derive(Debug, Default)]
struct Tally {
    explained: usize,
    clauses: BTreeMap<&'static str, usize>,
    turning: usize,
    cut: usize,
}

/// A clause as the condition of a policy of its own, and what it gave; `None` for one that always holds.
fn statement(clause: &Clause, slots: &[(String, String)]) -> Option<String> {
    let mut text = clause.text.clone();
    for (slot, entity) in slots {
        text = text.replace(slot, entity);
    }
    match clause.kind {
        ClauseKind::Unless if text.trim_start().starts_with("unless") => {
            Some(format!("permit (principal, action, resource) {text};"))
        }
        ClauseKind::Principal | ClauseKind::Action | ClauseKind::Resource
            if ["principal", "action", "resource"].contains(&text.trim()) =>
        {
            None
        }
        _ => Some(format!("permit (principal, action, resource) when {{ {text}\n}};")),
    }
}

/// What a clause says that it read, and how it found its way, as conditions.
fn read(clause: &Clause) -> Vec<(String, Truth)> {
    let mut found = Vec::new();
    let mut add = |condition: String, truth| {
        found.push((format!("permit (principal, action, resource) when {{ {condition} }};"), truth));
    };
    for read in &clause.values {
        match &read.value {
            Some(value) if value.contains('…') => {}
            Some(value) => add(format!("{} == {value}", read.path), Truth::True),
            None => add(format!("{} == 0", read.path), Truth::Error),
        }
    }
    for way in &clause.hierarchy {
        let truth = if way.holds { Truth::True } else { Truth::False };
        add(format!("{} in [{}]", way.from, way.to.join(", ")), truth);
        assert_eq!(way.path.first(), Some(&way.from));
        assert!(!way.holds || way.path.last().is_some_and(|last| way.to.contains(last)), "{way:#?}");
        for step in way.path.windows(2) {
            add(format!("{} in {}", step[0], step[1]), Truth::True);
        }
    }
    found
}

fn all<'c>(clauses: &'c [Clause], found: &mut Vec<&'c Clause>) {
    for clause in clauses {
        found.push(clause);
        all(&clause.parts, found);
    }
}

/// Compares what an explanation says of whole policies with the decision.
fn compare_policies(snapshot: &Snapshot, explained: &Explanation, request: &AccessRequest<'_>) {
    let decision = snapshot.decide_by_reference(request, NOW).unwrap();
    assert_eq!(explained.decision, decision.outcome);
    assert_eq!(explained.diagnostics.reason, decision.reasons);
    assert_eq!(explained.diagnostics.errors, decision.errors);
    if explained.policies_left_out > 0 {
        return;
    }
    let of = |truth: Truth, effect: Option<Effect>| -> BTreeSet<&str> {
        let is = |policy: &&palisade_engine::model::explanation::ExplainedPolicy| {
            policy.result == truth && effect.is_none_or(|effect| policy.effect == effect)
        };
        explained.policies.iter().filter(is).map(|policy| &*policy.id).collect()
    };
    let (forbids, permits) = (of(Truth::True, Some(Effect::Forbid)), of(Truth::True, Some(Effect::Permit)));
    let reasons: BTreeSet<&str> = decision.reasons.iter().map(|id| &**id).collect();
    assert_eq!(reasons, if forbids.is_empty() { permits } else { forbids }, "{explained:#?}");
    let errors: BTreeSet<&str> = decision.errors.iter().map(|error| &*error.policy_id).collect();
    assert_eq!(of(Truth::Error, None), errors, "{explained:#?}");
    for policy in &explained.policies {
        let of_scope = policy.scope.iter().filter(|part| part.result != Truth::True).count();
        let of_clauses = policy.clauses.iter().filter(|clause| clause.alone.unwrap_or(clause.result) != Truth::True);
        assert_eq!(policy.missing, of_scope + of_clauses.count(), "{policy:#?}");
        // the first clause that does not hold is what the policy gives
        let first = policy.scope.iter().chain(&policy.clauses).map(|part| part.result);
        let first = first.filter(|result| *result != Truth::NotReached).find(|result| *result != Truth::True);
        assert_eq!(policy.result, first.unwrap_or(Truth::True), "{policy:#?}");
        // and nothing behind it is reached
        let scope_holds = policy.scope.iter().all(|part| part.result == Truth::True);
        let until = policy.clauses.iter().position(|clause| clause.result != Truth::True);
        let until = if scope_holds { until.map_or(policy.clauses.len(), |at| at + 1) } else { 0 };
        for (at, clause) in policy.clauses.iter().enumerate() {
            assert_eq!(clause.result == Truth::NotReached, at >= until, "{policy:#?}");
            assert_eq!(clause.alone.is_some(), at >= until, "{policy:#?}");
        }
    }
}

/// Every clause of every policy, asked of Cedar alone.
fn compare_clauses(
    world: &Bundle,
    asked: &[(AccessRequest<'static>, Explanation)],
    settings: &EngineSettings,
    tally: &mut Tally,
) {
    let mut texts: Vec<String> = Vec::new();
    let mut wanted: Vec<Vec<(usize, Truth)>> = Vec::new();
    for (_, explained) in asked {
        let mut of_request = Vec::new();
        for policy in &explained.policies {
            let slots: Vec<(String, String)> = policy.link.iter().flat_map(|link| link.args.clone()).collect();
            let mut clauses = Vec::new();
            all(&policy.scope, &mut clauses);
            all(&policy.clauses, &mut clauses);
            for clause in clauses {
                if clause.text.ends_with('…') {
                    tally.cut += 1;
                    continue;
                }
                let truth = clause.alone.unwrap_or(clause.result);
                let Some(statement) = statement(clause, &slots) else {
                    assert_eq!(truth, Truth::True);
                    continue;
                };
                of_request.push((statement, truth));
                of_request.extend(read(clause));
            }
        }
        let number = |(statement, truth): (String, Truth)| {
            let at = texts.iter().position(|text| *text == statement).unwrap_or_else(|| {
                texts.push(statement);
                texts.len() - 1
            });
            (at, truth)
        };
        wanted.push(of_request.into_iter().map(number).collect());
    }
    let policies = texts.iter().enumerate().map(|(n, text)| PolicyText {
        origin: format!("clause {n}"),
        text: text.clone(),
        naming: PolicyNaming::Exactly(format!("c{n}")),
    });
    let bundle = Bundle { policies: policies.collect(), links: Vec::new(), ..world.clone() };
    let settings = EngineSettings { semantics: Semantics::Cedar, ..settings.clone() };
    let alone =
        build(&Arc::new(bundle), &settings, EngineKind::Reference).unwrap_or_else(|problem| panic!("{problem}"));
    for ((request, _), wanted) in asked.iter().zip(wanted) {
        let decision = alone.decide(request, NOW).unwrap();
        let holds: BTreeSet<&str> = decision.reasons.iter().map(|id| &**id).collect();
        let fails: BTreeSet<&str> = decision.errors.iter().map(|error| &*error.policy_id).collect();
        for (at, said) in wanted {
            let id = format!("c{at}");
            let (truth, name) = match () {
                () if holds.contains(id.as_str()) => (Truth::True, "true"),
                () if fails.contains(id.as_str()) => (Truth::Error, "error"),
                () => (Truth::False, "false"),
            };
            assert_eq!(said, truth, "{} for {request:#?}", texts[at]);
            *tally.clauses.entry(name).or_default() += 1;
        }
    }
}

/// Every change, made apart from the engine and decided by Cedar over everything.
fn compare_changes(
    snapshot: &Snapshot,
    world: &Bundle,
    asked: &[(AccessRequest<'static>, Explanation)],
    settings: &EngineSettings,
    tally: &mut Tally,
) {
    for (request, explained) in asked {
        if request.entities.is_some() || request.additional_entities.is_some() {
            continue;
        }
        for change in &explained.changes {
            let (mut entities, mut request) = edited(snapshot, request, &change.edit);
            for edit in &change.with {
                super::make(&mut entities, &mut request, edit);
            }
            let bundle = Bundle {
                entities: vec![Document::held("edited", serde_json::to_vec(&entities).unwrap())],
                ..world.clone()
            };
            let built = build(&Arc::new(bundle), settings, EngineKind::Reference)
                .unwrap_or_else(|problem| panic!("{}: {problem}", change.words));
            let decision = built.decide(&request, NOW).unwrap();
            assert_eq!(decision.outcome, change.decision, "{}", change.words);
            assert_ne!(decision.outcome, explained.decision, "{}", change.words);
            tally.turning += 1;
        }
    }
}

fn explain_world(seed: u64, tally: &mut Tally) {
    let (world, mut choices) = World::seeded(seed, Plan { policies: (1, 8), ..Plan::default() });
    let settings = EngineSettings { now: NowPolicy::Fill, ..settings(&mut choices) };
    let bundle = Arc::new(world.bundle.clone());
    let Ok(snapshot) = build(&bundle, &settings, EngineKind::Compiled) else { return };
    let kept = EngineSettings { kept: palisade_engine::KeptTrees(usize::MAX), ..settings.clone() };
    let revision = snapshot.revision();
    let kept = Snapshot::build(bundle, &kept, revision).unwrap().0;
    let mut asked = Vec::new();
    for _ in 0..6 {
        let request = world.request(&mut choices);
        let options = ExplainOptions { all: true, ..ExplainOptions::default() };
        let explained = snapshot.explain(&request, NOW, &options);
        match (explained, snapshot.decide(&request, NOW)) {
            (Ok(explained), Ok(_)) => {
                compare_policies(&snapshot, &explained, &request);
                // from trees that are kept, and from those that are made again
                assert_eq!(kept.explain(&request, NOW, &options).unwrap(), explained);
                asked.push((request, explained));
            }
            (Err(ours), Err(decided)) => assert_eq!(ours.code, decided.code),
            (ours, decided) => panic!("{ours:#?}\n{decided:#?}"),
        }
    }
    tally.explained += asked.len();
    compare_clauses(&world.bundle, &asked, &settings, tally);
    compare_changes(&snapshot, &world.bundle, &asked, &settings, tally);
}

#[test]
fn explanations_say_what_cedar_says() {
    let first = std::env::var("PALISADE_EXPLAIN_SEED").ok().map_or(0, |seed| seed.parse().unwrap());
    let worlds = std::env::var("PALISADE_EXPLAIN_WORLDS").ok().map_or(60, |count| count.parse().unwrap());
    let mut tally = Tally::default();
    on_big_stack(|| {
        for seed in first..first + worlds {
            let one = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| explain_world(seed, &mut tally)));
            assert!(one.is_ok(), "PALISADE_EXPLAIN_SEED={seed}, see above");
        }
    })
    .unwrap();
    println!("{tally:?}");
    if worlds >= 60 {
        assert!(tally.explained >= 200 && tally.turning >= 50, "{tally:?}");
        for name in ["true", "false", "error"] {
            assert!(tally.clauses.get(name).is_some_and(|n| *n >= 100), "{tally:?}");
        }
        assert!(tally.cut * 20 < tally.clauses.values().sum::<usize>(), "{tally:?}");
    }
}
