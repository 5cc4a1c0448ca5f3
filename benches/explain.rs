//! Explanations at their size: what does it cost to say why, with 1,000,000 entities and 100,000 links?
//!
//! `cargo bench --bench explain -- [--entities N] [--links N] [--questions N]`. Each kind of question is asked of random users
//! and devices, once to explain and once of the reference; the verdict is on the CPU time of the slowest in a hundred. With
//! `--test` a small world is asked once.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a bench is a program for its author")]

#[path = "../tests/it/explain/many.rs"]
mod many;
#[path = "table/measure.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "shared with another bench")]
mod measure;

use std::time::Duration;

use many::{Many, question};
use measure::thread_cpu;
use palisade_engine::{ExplainOptions, Snapshot, on_big_stack};

/// What an explanation may take, and be it the slowest of a hundred.
const TARGET: Duration = Duration::from_millis(5);

struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

/// The number behind a flag.
fn number(name: &str, usual: usize) -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    args.next().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number, not `{text}`")))
}

/// The times of questions of one kind, sorted.
fn times(mut ask: impl FnMut(), questions: usize) -> Vec<Duration> {
    let mut took: Vec<Duration> = Vec::with_capacity(questions);
    for _ in 0..questions {
        let start = thread_cpu();
        ask();
        took.push(thread_cpu() - start);
    }
    took.sort_unstable();
    took
}

fn report(snapshot: &Snapshot, many: Many, questions: usize) {
    println!("| question | decided by the reference, median | explained, median | p99 | most | |");
    println!("|---|---|---|---|---|---|");
    for (kind, elsewhere, mfa, all) in [
        ("denied: his link is for another place", 1, true, false),
        ("denied: the context lacks something", 0, false, false),
        ("allowed", 0, true, false),
        ("denied, with `--all`", 1, true, true),
    ] {
        let draw = |dice: &mut Dice| {
            let user = dice.roll(many.links.max(1));
            question(user, (user + elsewhere) % many.farms(), mfa)
        };
        let options = ExplainOptions { all, ..ExplainOptions::default() };
        let mut dice = Dice(7);
        let explained = times(|| drop(snapshot.explain(&draw(&mut dice), 0, &options).unwrap()), questions);
        let mut dice = Dice(7);
        let decided = times(|| drop(snapshot.decide_by_reference(&draw(&mut dice), 0).unwrap()), questions);
        let at = |took: &[Duration], of: usize| took[(took.len() - 1) * of / 100];
        let verdict = if all || at(&explained, 99) <= TARGET { "" } else { "more than 5 ms" };
        let [median, p99, most] = [50, 99, 100].map(|of| at(&explained, of));
        println!("| {kind} | {:.0?} | {median:.0?} | {p99:.0?} | {most:.0?} | {verdict} |", at(&decided, 50));
    }
}

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let many = if is_test {
        Many { entities: 1_000, links: 100 }
    } else {
        Many { entities: number("--entities", 1_000_000), links: number("--links", 100_000) }
    };
    let questions = if is_test { 1 } else { number("--questions", 1_000) };
    on_big_stack(|| {
        let snapshot = many.build();
        println!("{} entities, {} links, {questions} questions of each kind\n", snapshot.entity_count(), many.links);
        report(&snapshot, many, questions);
    })
    .unwrap();
}
