//! Does a decision's cost grow, and with what?
//!
//! Stock Cedar beside the compiled engine, on the same questions and known to give the same answers: over the
//! project's own packs, with more and more policies linked for other tenants, with deeper hierarchies, with
//! larger contexts. `stock` is its authorizer alone, from a request in Cedar's own form, which is more than
//! fair: making that form of a decoded question costs callers of Cedar as much again, and is inside
//! `compiled`. `table` measures it apart.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::NOW;
use support::cases::{self, Case};
use support::engines::Ready;

fn compare(c: &mut Criterion, name: &str, cases: impl IntoIterator<Item = (usize, Case)>) {
    let mut group = c.benchmark_group(name);
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1)).sample_size(20);
    for (size, case) in cases {
        let Ready { engines, questions, requests } = Ready::new(case);
        let mut next = questions.iter().cycle();
        group.bench_function(BenchmarkId::new("compiled", size), |b| {
            b.iter(|| next.next().map(|question| black_box(engines.compiled.decide(question, NOW))));
        });
        let mut next = requests.iter().cycle();
        group.bench_function(BenchmarkId::new("stock", size), |b| {
            b.iter(|| next.next().map(|request| black_box(engines.stock.decide(request))));
        });
    }
    group.finish();
}

fn policies(c: &mut Criterion) {
    let cases = [cases::twenty(), cases::packs(), cases::neighbours(1_000), cases::neighbours(10_000)];
    compare(c, "policies", cases.map(|case| (cases::policies(&case.bundle), case)));
}

fn depth(c: &mut Criterion) {
    compare(c, "depth of the hierarchy", [1, 4, 16, 64].map(|n| (n, cases::deep(n))));
}

fn context(c: &mut Criterion) {
    compare(c, "attributes of the context", [0, 5, 10, 20].map(|n| (n, cases::context(n))));
}

fn parse(c: &mut Criterion) {
    let bodies = support::questions();
    let mut next = bodies.iter().cycle();
    c.bench_function("parse a request", |b| {
        b.iter(|| next.next().map(|body| black_box(support::request(body)).principal.id.len()));
    });
}

criterion_group!(benches, policies, depth, context, parse);
criterion_main!(benches);
