//! What does a reload cost, and how does it grow with the entities?

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use palisade_engine::model::Document;

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build a snapshot");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for devices in [0, 1_000, 10_000] {
        let mut bundle = support::fleet();
        let lines: String = (0..devices)
            .map(|i| {
                format!(
                    "{{\"uid\":{{\"type\":\"Fleet::Device\",\"id\":\"bench-{i}\"}},\"attrs\":{{\"tenant\":{{\"type\":\"Fleet::Tenant\",\"id\":\"ap\"}},\
                     \"customer\":{{\"type\":\"Fleet::Customer\",\"id\":\"DK\"}},\"claimed\":true}},\"parents\":[{{\"type\":\"Fleet::Customer\",\"id\":\"DK\"}}]}}\n"
                )
            })
            .collect();
        if devices > 0 {
            bundle.entities.push(Document::held("bench", lines));
        }
        group.bench_function(BenchmarkId::new("more devices", devices), |b| {
            b.iter_batched(
                || bundle.clone(),
                |bundle| black_box(support::snapshot(bundle)),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, build);
criterion_main!(benches);
