//! The shipped domain: for every denial of its tests there is an explanation, and what it says agrees with the decision.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use palisade::cli::test::{Expect, Store, read_tests};
use palisade_engine::model::explanation::{Effect, ExplanationKind, Truth};
use palisade_engine::{EngineSettings, ExplainOptions, Snapshot, on_big_stack};

use super::worked;
use crate::support::Server;

/// One of so many tests is explained; with `PALISADE_EXPLAIN_ALL` each.
const EVERY: usize = 2;

#[test]
fn every_denial_of_the_shipped_tests_is_explained() {
    let bundle = crate::policies::fleet();
    let tests = read_tests(std::path::Path::new(&Server::project("policies/tests"))).unwrap();
    let every = if std::env::var_os("PALISADE_EXPLAIN_ALL").is_some() { 1 } else { EVERY };
    let (mut took, mut with_changes) = (Vec::new(), 0);
    on_big_stack(|| {
        let revision = palisade_engine::model::Revision { incarnation: 1, counter: 1 };
        let (snapshot, _) = Snapshot::build(Arc::new(bundle), &EngineSettings::default(), revision).unwrap();
        let checks = tests.iter().flat_map(|file| &file.cases).filter_map(|case| case.check.as_ref().ok());
        let checks = checks.filter(|check| matches!(check.store, Store::Bundle) && check.expect == Expect::Deny);
        for check in checks.step_by(every) {
            let decision = snapshot.decide(&check.request, 0).unwrap();
            let start = worked();
            let explained = snapshot.explain(&check.request, 0, &ExplainOptions::default()).unwrap();
            took.push(worked() - start);
            assert_eq!(explained.decision, decision.outcome);
            let forbids: BTreeSet<&str> = explained
                .policies
                .iter()
                .filter(|policy| policy.effect == Effect::Forbid && policy.result == Truth::True)
                .map(|policy| &*policy.id)
                .collect();
            assert_eq!(forbids, decision.reasons.iter().map(|id| &**id).collect(), "{:#?}", check.request);
            let first = explained.policies.first();
            match explained.kind {
                ExplanationKind::Forbidden => assert!(first.is_some_and(|policy| policy.result == Truth::True)),
                ExplanationKind::NotPermitted => {
                    // what does not hold is named, whatever could apply
                    assert!(first.is_none_or(|policy| policy.missing > 0 && policy.result != Truth::True));
                }
                _ => {}
            }
            with_changes += usize::from(!explained.changes.is_empty());
        }
    })
    .unwrap();
    took.sort_unstable();
    let at = |of: usize| took[(took.len() - 1) * of / 100];
    println!(
        "{} denials, {with_changes} with changes, {:?} median, {:?} p99, {:?} most",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(took.len() >= 100 && with_changes * 4 >= took.len(), "{} denials, {with_changes} with changes", took.len());
    // the engine is not optimised here
    assert!(at(50) < Duration::from_millis(50), "{:?}", at(50));
}
