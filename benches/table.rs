//! One row of the table a run: stock Cedar and the compiled engine, interleaved in one process.
//!
//! `report.py` runs them all and makes a report of the lines of JSON that come out. Without a row every row
//! runs once and small, which only shows that it works.
//!
//! `cargo bench --bench table -- ROW [--size N] [--rounds N] [--milliseconds N] [--packs] [--stock] [--changes N]`
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is a program for its author"
)]

#[path = "table/answers.rs"]
mod answers;
#[path = "table/decisions.rs"]
mod decisions;
#[path = "table/measure.rs"]
mod measure;
#[path = "table/store.rs"]
mod store;
mod support;

use std::time::Duration;

use measure::Plan;
use palisade_engine::EVALUATION_STACK_BYTES;
use support::cases;
use support::engines::Ready;
use support::world::World;

/// What the command line says.
struct Args {
    row: Option<String>,
    size: Option<usize>,
    /// The other size of `growth`.
    larger: usize,
    plan: Plan,
    /// All packs in a row about entities, which else has about twenty policies.
    packs: bool,
    /// Stock Cedar's half of a row that is measured in two processes.
    stock: bool,
    changes: usize,
    stock_changes: usize,
    decisions: usize,
    files: Vec<String>,
}

fn main() {
    // Cedar's parser and evaluator recurse with their texts
    let thread = std::thread::Builder::new().stack_size(EVALUATION_STACK_BYTES);
    thread.spawn(|| run(&args())).unwrap().join().unwrap();
}

fn args() -> Args {
    let mut args = Args {
        row: None,
        size: None,
        larger: 4_000_000,
        plan: Plan { rounds: 9, time: Duration::from_millis(200) },
        packs: false,
        stock: false,
        changes: 0,
        stock_changes: 0,
        decisions: 0,
        files: Vec::new(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut number = || given.next().and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{arg} takes a number"));
        match arg.as_str() {
            "--size" => args.size = Some(number()),
            "--larger" => args.larger = number(),
            "--rounds" => args.plan.rounds = number(),
            "--milliseconds" => args.plan.time = Duration::from_millis(number() as u64),
            "--changes" => args.changes = number(),
            "--stock-changes" => args.stock_changes = number(),
            "--decisions" => args.decisions = number(),
            "--packs" => args.packs = true,
            "--stock" => args.stock = true,
            // what cargo and criterion's callers pass along
            "--bench" | "--test" => {}
            row if args.row.is_none() => args.row = Some(row.to_owned()),
            file => args.files.push(file.to_owned()),
        }
    }
    args
}

fn run(args: &Args) {
    let plan = args.plan;
    let size = |default| args.size.unwrap_or(default);
    let world = |size: usize| World::of(size as u64);
    let bundle = |size| match args.packs {
        true => world(size).bundle(),
        false => cases::few(world(size).bundle()),
    };
    match args.row.as_deref() {
        None => all_small(),
        Some("policies") => decisions::policies(plan, size(100_000)),
        Some("depth") => decisions::depth(plan),
        Some("context") => decisions::context(plan),
        Some("decode") => decisions::decode(plan),
        Some("world") => {
            let size = size(10_000);
            let bundle = bundle(size);
            let policies = cases::policies(&bundle);
            let mut engines = store::engines(size, bundle);
            decisions::world(plan, size, world(size), policies, &engines);
            if args.changes > 0 {
                store::changes(size, world(size), args.changes, &mut engines, args.stock_changes);
            }
        }
        Some("growth") => {
            let sizes = [size(1_000_000), args.larger];
            let worlds = sizes.map(|size| {
                measure::stage(&format!("growth: loading {size} ..."));
                (size, world(size), support::snapshot(bundle(size)))
            });
            decisions::growth(plan, &worlds.each_ref().map(|(size, world, snapshot)| (*size, *world, &**snapshot)));
        }
        Some("memory") => store::memory(size(1_000_000), world(size(1_000_000)), args.stock),
        Some("load") => store::load(plan, size(1_000_000), world(size(1_000_000))),
        Some("count") => {
            let case = match args.files.first().map(String::as_str) {
                Some("depth") => cases::deep(size(16)),
                Some("context") => cases::context(size(10)),
                Some("neighbours") => cases::neighbours(size(1_000)),
                _ => cases::packs(),
            };
            decisions::count(&Ready::new(case), args.stock, args.decisions);
        }
        Some("answers") => answers::print(&args.files),
        Some(other) => panic!("no row called {other}"),
    }
}

/// Every row once, as small as it gets.
fn all_small() {
    let plan = Plan { rounds: 1, time: Duration::from_millis(1) };
    let (size, world) = (5_000, World::of(5_000));
    decisions::policies(plan, 1_000);
    decisions::depth(plan);
    decisions::context(plan);
    decisions::decode(plan);
    let bundle = world.bundle();
    let policies = cases::policies(&bundle);
    let mut engines = store::engines(size, bundle);
    decisions::world(plan, size, world, policies, &engines);
    decisions::growth(plan, &[(size, world, &engines.compiled), (size, world, &engines.compiled)]);
    store::changes(size, world, 10, &mut engines, 1);
    store::memory(size, world, false);
    store::memory(size, world, true);
    store::load(plan, size, world);
    decisions::count(&Ready::new(cases::packs()), false, 10);
}
