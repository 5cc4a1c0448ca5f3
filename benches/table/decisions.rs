//! Rows about decisions: what grows with policies, entities, depth and context.

use std::hint::black_box;
use std::time::Duration;

use cedar_policy::Request;
use palisade_engine::Snapshot;
use palisade_engine::model::AccessRequest;

use crate::measure::{Plan, Side, interleave, stage, timed};
use crate::support::NOW;
use crate::support::cases::{self, Case};
use crate::support::engines::{Engines, Ready};
use crate::support::stock::Stock;
use crate::support::world::{Rng, World};

/// Questions of a random row are made a few at a time and then decided: a question just decoded is in the
/// processor's cache, what it is about is not.
const AT_A_TIME: usize = 64;

/// The packs, and policies of neighbours up to `largest`.
pub(crate) fn policies(plan: Plan, largest: usize) {
    let mut ready: Vec<_> =
        [cases::twenty(), cases::packs()].map(|case| (cases::policies(&case.bundle), Ready::new(case))).into();
    for size in [1_000, 10_000, 100_000].into_iter().filter(|size| *size <= largest) {
        stage(&format!("policies: linking {size} ..."));
        ready.push((size, Ready::new(cases::neighbours(size))));
    }
    let mut sides = Vec::new();
    for (size, ready) in &ready {
        // beside a decision among thousands making the request is nothing
        sides.extend(over(*size, ready, *size < 1_000));
    }
    interleave("policies", plan, sides);
}

pub(crate) fn depth(plan: Plan) {
    grown("depth", plan, [1, 4, 16, 64], cases::deep);
}

pub(crate) fn context(plan: Plan) {
    grown("context", plan, [0, 5, 10, 20], cases::context);
}

fn grown(group: &str, plan: Plan, sizes: [usize; 4], case: impl Fn(usize) -> Case) {
    let ready = sizes.map(|size| (size, Ready::new(case(size))));
    interleave(group, plan, ready.iter().flat_map(|(size, ready)| over(*size, ready, true)).collect());
}

/// From the bytes of a body to a question, which no other row includes.
pub(crate) fn decode(plan: Plan) {
    let bodies = crate::support::questions();
    let mut next = bodies.iter().cycle();
    let round = move |count| {
        timed(|| {
            for body in next.by_ref().take(count) {
                black_box(crate::support::request(body));
            }
        })
    };
    let bytes = bodies.iter().map(String::len).sum::<usize>() / bodies.len();
    interleave("decode", plan, vec![Side { name: "compiled", size: bytes, round: Box::new(round) }]);
}

/// Both engines over questions that fit in the processor's cache.
fn over<'r>(size: usize, ready: &'r Ready, making: bool) -> Vec<Side<'r>> {
    let Ready { engines, questions, requests } = ready;
    let mut sides = vec![
        Side {
            name: "compiled",
            size,
            round: cycling(questions, |q| drop(black_box(engines.compiled.decide(q, NOW)))),
        },
        Side { name: "stock", size, round: cycling(requests, |r| drop(black_box(engines.stock.decide(r)))) },
    ];
    if making {
        let round = cycling(questions, |q| drop(black_box(engines.stock.decide(&engines.stock.request(q)))));
        sides.push(Side { name: "stock, request included", size, round });
    }
    sides
}

/// Does one thing after the other, from where it stopped the last time.
fn cycling<'a, T>(items: &'a [T], decide: impl Fn(&T) + 'a) -> Box<dyn FnMut(usize) -> Duration + 'a> {
    let mut next = items.iter().cycle();
    Box::new(move |count| timed(|| next.by_ref().take(count).for_each(&decide)))
}

/// Both engines over questions drawn at random from a world, and a batch of 1,000 of them.
pub(crate) fn world(plan: Plan, size: usize, world: World, policies: usize, engines: &Engines) {
    let mut rng = Rng::new(3);
    let questions: Vec<_> = (0..1_000).map(|_| world.question(&mut rng)).collect();
    let requests = engines.agree(&questions);
    let (compiled, stock) = (&*engines.compiled, &engines.stock);
    interleave(
        &format!("world, {policies} policies"),
        plan,
        vec![random(size, world, compiled), random_stock(size, world, stock)],
    );
    let batch = |count| {
        timed(|| {
            for _ in 0..count {
                questions.iter().for_each(|q| drop(black_box(compiled.decide(q, NOW))));
            }
        })
    };
    let stock_batch = |count| {
        timed(|| {
            for _ in 0..count {
                requests.iter().for_each(|r| drop(black_box(stock.decide(r))));
            }
        })
    };
    let sides = vec![
        Side { name: "compiled", size, round: Box::new(batch) },
        Side { name: "stock", size, round: Box::new(stock_batch) },
    ];
    interleave(&format!("batch of 1,000, {policies} policies"), plan, sides);
}

/// The compiled engine over two worlds, both in memory all the while.
pub(crate) fn growth(plan: Plan, worlds: &[(usize, World, &Snapshot)]) {
    interleave("growth", plan, worlds.iter().map(|(size, world, snapshot)| random(*size, *world, snapshot)).collect());
}

fn random<'a>(size: usize, world: World, snapshot: &'a Snapshot) -> Side<'a> {
    let decide = |q: &AccessRequest<'static>| drop(black_box(snapshot.decide(q, NOW)));
    Side { name: "compiled", size, round: drawn(move |rng| world.question(rng), decide) }
}

fn random_stock<'a>(size: usize, world: World, stock: &'a Stock) -> Side<'a> {
    let decide = |r: &Request| drop(black_box(stock.decide(r)));
    Side { name: "stock", size, round: drawn(move |rng| stock.request(&world.question(rng)), decide) }
}

fn drawn<'a, T>(draw: impl Fn(&mut Rng) -> T + 'a, decide: impl Fn(&T) + 'a) -> Box<dyn FnMut(usize) -> Duration + 'a> {
    let mut rng = Rng::new(1);
    Box::new(move |count| {
        let mut spent = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            let some: Vec<T> = (0..left.min(AT_A_TIME)).map(|_| draw(&mut rng)).collect();
            left -= some.len();
            spent += timed(|| some.iter().for_each(&decide));
        }
        spent
    })
}

/// Decides a number of questions and nothing else, not even reading a clock: for counting instructions from
/// outside, by this name.
#[inline(never)]
pub(crate) fn count(ready: &Ready, stock: bool, decisions: usize) {
    let Ready { engines, questions, requests } = ready;
    if stock {
        requests.iter().cycle().take(decisions).for_each(|r| drop(black_box(engines.stock.decide(r))));
    } else {
        questions.iter().cycle().take(decisions).for_each(|q| drop(black_box(engines.compiled.decide(q, NOW))));
    }
}
