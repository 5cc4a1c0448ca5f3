//! What an explanation costs beside the reference's decision, and that it does not grow with the number of links.

use std::cell::Cell;
use std::time::Duration;

use palisade_engine::{ExplainOptions, Snapshot, on_big_stack};

use super::many::{Many, question};

/// Steps of one explanation at most: policies that are evaluated, and changes that are looked for and tried. The bounds of
/// docs/explain.md with room for what is asked twice.
const MOST_STEPS: usize = 400;

/// The work of a hundred runs, in the best of three rounds.
fn work_of(mut run: impl FnMut()) -> Duration {
    let mut round = || {
        let start = super::worked();
        (0..100).for_each(|_| run());
        super::worked() - start
    };
    (0..3).map(|_| round()).min().unwrap()
}

/// How often an explanation asks whether it is still wanted, which it does at each step.
fn steps(snapshot: &Snapshot, [user, device]: [usize; 2], all: bool) -> usize {
    let steps = Cell::new(0);
    let go_on = || {
        steps.set(steps.get() + 1);
        true
    };
    let options = ExplainOptions { all, ..ExplainOptions::default() };
    snapshot.explain_while(&question(user, device, true), 0, &options, &go_on).unwrap();
    steps.get()
}

#[test]
fn an_explanation_costs_no_more_where_there_are_many_links() {
    on_big_stack(|| {
        let cost = |links: usize| {
            // his link is for another farm
            let (snapshot, request) = (Many { entities: 0, links }.build(), question(7, 8, true));
            let explained = snapshot.explain(&request, 0, &ExplainOptions::default()).unwrap();
            assert!(explained.policies.iter().any(|policy| &*policy.id == "own7" && policy.missing == 1));
            assert!(explained.policies.iter().any(|policy| &*policy.id == "group" && policy.missing == 2));
            let explain = work_of(|| drop(snapshot.explain(&request, 0, &ExplainOptions::default()).unwrap()));
            let decide = work_of(|| drop(snapshot.decide_by_reference(&request, 0).unwrap()));
            println!("{links} links, 100 times: explained in {explain:?}, decided by the reference in {decide:?}");
            // he who has a link there, one who has not, and one who is not stored
            let asked = [[7, 7], [7, 8], [1_000_000, 8]];
            let steps = asked.map(|asked| steps(&snapshot, asked, false));
            assert!(steps.iter().all(|steps| *steps <= MOST_STEPS), "{steps:?}");
            (explain, decide, steps)
        };
        let (few, reference, steps_of_few) = cost(1_000);
        assert!(few < reference * 50, "{few:?} beside {reference:?}");
        let all = std::env::var_os("PALISADE_EXPLAIN_ALL").is_some();
        let (many, _, steps_of_many) = cost(if all { 100_000 } else { 20_000 });
        assert!(many < few * 8, "{many:?} with many links, {few:?} with few");
        // more links are near, but no more are looked at than the bounds say: it is the same at 20,000 and at 100,000
        let more = steps_of_many.iter().zip(steps_of_few).map(|(many, few)| many.saturating_sub(few)).max();
        assert!(more <= Some(128), "{steps_of_many:?} with many links, {steps_of_few:?} with few");
        println!("steps: {steps_of_few:?} with few links, {steps_of_many:?} with many");
    })
    .unwrap();
}
