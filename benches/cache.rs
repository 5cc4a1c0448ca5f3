//! When does the cache pay?
//!
//! The same questions through the decision point without a cache, and with one that has them all.
#![expect(clippy::unwrap_used, reason = "a bench that cannot set up must stop")]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use palisade::decide::{Call, DecisionCache, Pdp};
use palisade::state::State;
use palisade::telemetry::{Metrics, Transport};
use palisade_engine::EngineSettings;

fn check(c: &mut Criterion) {
    let bodies = support::questions();
    let requests: Vec<_> = bodies.iter().map(|body| support::request(body)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = c.benchmark_group("check");
    for cached in [false, true] {
        let metrics = Arc::new(Metrics::new().unwrap());
        let state = State::start(EngineSettings::default(), metrics.clone()).unwrap();
        state.apply_load(support::fleet(), Vec::new(), 0).unwrap();
        let pdp = Pdp::new(state, metrics).unwrap().with_cache(cached.then(|| DecisionCache::new(64 << 20)));
        let call = Call { transport: Transport::Native, request_id: "bench", trace: None };
        let mut next = requests.iter().cycle();
        let name = if cached { "hit" } else { "without a cache" };
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| next.next().map(|request| black_box(runtime.block_on(pdp.check(request, call)))));
        });
    }
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
