//! Does a decision's cost grow, and with what?
//!
//! One decision over the project's own packs, and over the same packs with more and more policies linked
//! from a template for other tenants: what a tenant pays for its neighbours.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use palisade::domain::{Link, PolicyNaming, PolicyText};

/// 2026-11-21T12:00:00Z, when no token of the fixtures has expired.
const NOW: i64 = 1_795_262_400_000;

const TEMPLATE: &str = "@id(\"neighbour\")
permit (principal == ?principal, action == Fleet::Action::\"ViewDevice\", resource in ?resource);";

fn decide(c: &mut Criterion) {
    let bodies = support::questions();
    let requests: Vec<_> = bodies.iter().map(|body| support::request(body)).collect();
    let mut group = c.benchmark_group("decide");
    for neighbours in [0, 1_000, 10_000] {
        let mut bundle = support::fleet();
        bundle.policies.push(PolicyText {
            origin: "neighbours".to_owned(),
            text: TEMPLATE.to_owned(),
            naming: PolicyNaming::Stem("neighbours".to_owned()),
        });
        bundle.links = (0..neighbours)
            .map(|i| Link {
                template_id: "neighbour".to_owned(),
                link_id: format!("neighbour-{i}"),
                args: vec![
                    ("?principal".to_owned(), format!("Fleet::User::\"neighbour-{i}\"")),
                    ("?resource".to_owned(), format!("Fleet::Customer::\"neighbour-{i}\"")),
                ],
            })
            .collect();
        let snapshot = support::snapshot(bundle);
        let mut next = requests.iter().cycle();
        group.bench_function(BenchmarkId::new("linked policies", neighbours), |b| {
            b.iter(|| next.next().map(|request| black_box(snapshot.decide(request, NOW))));
        });
    }
    group.finish();
}

fn parse(c: &mut Criterion) {
    let bodies = support::questions();
    let mut next = bodies.iter().cycle();
    c.bench_function("parse a request", |b| {
        b.iter(|| next.next().map(|body| black_box(support::request(body)).principal.id.len()));
    });
}

criterion_group!(benches, decide, parse);
criterion_main!(benches);
