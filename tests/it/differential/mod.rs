//! The compiled engine against Cedar's own authorizer, over generated worlds.
//!
//! Few worlds with every run of the tests; `PALISADE_DIFFERENTIAL_WORLDS=100000` for as many as wanted. See
//! `docs/exactness.md`.

mod changes;
pub(crate) mod compare;
pub(crate) mod generate;
mod index;
mod regressions;
mod shrink;
mod ways;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use palisade_engine::on_big_stack;

use compare::{Tally, run_world};
use generate::features::{FEATURES, Feature};
use generate::{Plan, World};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(format!("PALISADE_DIFFERENTIAL_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("PALISADE_DIFFERENTIAL_{name} must be a number, not `{text}`")))
}

/// Runs `one` for as many seeds as wanted; says which seed failed.
fn for_seeds(default: u64, mut one: impl FnMut(u64) -> Result<(), String>, mut progress: impl FnMut(u64)) {
    let first = number("SEED").unwrap_or(0);
    let count = number("WORLDS").unwrap_or(default);
    let until = number("SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    for seed in first..first + count {
        match catch_unwind(AssertUnwindSafe(|| one(seed))) {
            Ok(Ok(())) => {}
            Ok(Err(difference)) => panic!("PALISADE_DIFFERENTIAL_SEED={seed}\n{difference}"),
            Err(_) => panic!("PALISADE_DIFFERENTIAL_SEED={seed}: an engine panicked, see above"),
        }
        progress(seed - first + 1);
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
    }
}

#[test]
fn the_compiled_engine_decides_as_the_reference_does() {
    let requests = number("REQUESTS").unwrap_or(40) as usize;
    let long = number("WORLDS").is_some();
    let start = Instant::now();
    let mut tally = Tally::default();
    on_big_stack(|| {
        let mut counts = Tally::default();
        let mut last = Instant::now();
        let shared = std::cell::RefCell::new(&mut counts);
        for_seeds(
            1_000,
            |seed| {
                let (world, mut choices) = World::seeded(seed, Plan::default());
                run_world(&world, &mut choices, requests, &mut shared.borrow_mut())
            },
            |done| {
                if long && last.elapsed() > Duration::from_secs(10) {
                    last = Instant::now();
                    let (seconds, requests) = (start.elapsed().as_secs_f64(), shared.borrow().requests);
                    println!("{done} worlds, {requests} requests, {seconds:.0} s, {:.0}/s", requests as f64 / seconds);
                }
            },
        );
        tally = counts;
    })
    .unwrap();
    let report = tally.report(start.elapsed().as_secs_f64());
    match std::env::var_os("PALISADE_DIFFERENTIAL_REPORT") {
        Some(path) => std::fs::write(path, report).unwrap(),
        None if long => println!("{report}"),
        None => {}
    }
    // a handful of worlds cannot meet everything
    if tally.worlds[0] >= 500 {
        check_coverage(&tally);
    }
}

/// The run must have met every construct, every way to end, and every kind of error.
fn check_coverage(tally: &Tally) {
    for ((feature, name), [policies, determined, failed]) in FEATURES.iter().zip(&tally.features) {
        assert!(*policies > 0, "no policy has `{name}`");
        // nothing is in `[]`
        if *feature != Feature::ActionInNone {
            let fails = name.contains("bad text");
            assert!(*determined > 0 || fails, "no policy with `{name}` ever determined a decision");
            assert!(*failed > 0 || *feature == Feature::NoCondition, "no policy with `{name}` ever failed");
        }
    }
    for name in [
        "allow",
        "deny: no permit",
        "deny: forbid",
        "deny: unknown entity",
        "deny: forbid failed",
        "refused",
        "with errors of policies",
        "allow despite errors",
        "with failed forbids",
        "time-dependent",
        "with several reasons",
    ] {
        assert!(tally.outcomes.get(name).is_some_and(|n| *n >= 20), "hardly any request ended with `{name}`");
    }
    for code in [
        "action_does_not_apply",
        "invalid_context",
        "invalid_entities",
        "invalid_properties",
        "unknown_action",
        "unknown_type",
    ] {
        assert!(tally.refused.contains_key(code), "no request was refused with `{code}`: {:?}", tally.refused);
    }
    assert!(tally.errors.len() >= 4, "few kinds of errors: {:?}", tally.errors);
    assert_eq!(tally.uncompiled, 0, "policies that are not compiled");
    let ways = tally.ways;
    for (name, n) in [
        ("at once", ways.at_once),
        ("series", ways.series),
        ("resent", ways.resent),
        ("ignored", ways.ignored),
        ("restored", ways.restored),
    ] {
        assert!(n > 100, "hardly any request was asked {name}: {ways:?}");
    }
    let (built, refused) = (tally.worlds[0], tally.worlds[1]);
    assert!(refused * 20 < built, "{refused} of {built} bundles refused");
}
