//! The sampler: one of N live decisions is made again by the reference, off the hot path, and compared.
//!
//! It takes at most a hundredth of a core, by the CPU time that its thread has used, however large the policies are:
//! what it does not get to is dropped and counted, never waited for.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::decide::pool::{LONG, Weight};
use crate::state::give_back_freed;
use crate::telemetry::{Metrics, VerifyResult, start_thread, supervised};
use palisade_engine::model::{AccessRequest, Decision};
use palisade_engine::{EVALUATION_STACK_BYTES, Snapshot};

/// Decisions that may wait to be compared. Each holds its snapshot, so the queue is short.
const QUEUE: usize = 16;

/// What their requests may weigh, with the one that is compared: as Cedar's values they take up to forty times as much.
const QUEUE_BYTES: usize = 1 << 20;

/// After work that took `t` of CPU time, the sampler rests for this many times `t`.
const REST: u32 = 99;

/// In a rest that is longer nothing is taken into the queue: samples hold their snapshots, and would be old.
const LONG_REST: Duration = Duration::from_millis(100);

/// Re-evaluates a sample of the live decisions with the reference.
#[derive(Debug)]
pub struct Sampler {
    every: NonZeroU32,
    seen: AtomicU32,
    queue: SyncSender<Sample>,
    bytes: Arc<AtomicUsize>,
    /// Whether it rests for long.
    resting: Arc<AtomicBool>,
    mismatched: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Sample {
    snapshot: Arc<Snapshot>,
    request: AccessRequest<'static>,
    /// The clock that the decision was made with, in milliseconds since 1970.
    now: i64,
    decision: Arc<Decision>,
    _weight: Weight,
}

impl Sampler {
    /// A sampler of one of `every` decisions.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(every: NonZeroU32, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (queue, samples) = sync_channel(QUEUE);
        let (mismatched, resting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (found, rests, counts) = (mismatched.clone(), resting.clone(), metrics.clone());
        let work = move || run(&samples, &found, &rests, &counts);
        let work = supervised("palisade-verify", metrics.clone(), work);
        start_thread("palisade-verify", Some(EVALUATION_STACK_BYTES), work)?;
        let bytes = Arc::new(AtomicUsize::new(0));
        Ok(Self { every, seen: AtomicU32::new(0), queue, bytes, resting, mismatched, metrics })
    }

    /// Whether a decision was ever found to differ.
    #[must_use]
    pub fn mismatched(&self) -> bool {
        self.mismatched.load(Ordering::Acquire)
    }

    /// Takes the decision into the sample if it is its turn.
    pub(super) fn offer(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        decision: &Arc<Decision>,
    ) {
        if !self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every.get()) {
            return;
        }
        if self.resting.load(Ordering::Acquire) {
            return self.metrics.verify(VerifyResult::Dropped).inc();
        }
        let Some(weight) = Weight::take(&self.bytes, request.weight(), QUEUE_BYTES) else {
            return self.metrics.verify(VerifyResult::Dropped).inc();
        };
        let sample = Sample {
            snapshot: snapshot.clone(),
            request: request.clone().into_owned(),
            now,
            decision: decision.clone(),
            _weight: weight,
        };
        if self.queue.try_send(sample).is_err() {
            self.metrics.verify(VerifyResult::Dropped).inc();
        }
    }
}

fn run(samples: &Receiver<Sample>, mismatched: &AtomicBool, resting: &AtomicBool, metrics: &Metrics) {
    while let Ok(sample) = samples.recv() {
        let before = cpu_time();
        // a panic must not end the sampling: it is a difference like any other
        let found = catch_unwind(AssertUnwindSafe(|| difference(&sample)))
            .unwrap_or_else(|_| Some("the reference failed inside".to_owned()));
        match found {
            None => metrics.verify(VerifyResult::Match).inc(),
            Some(difference) => {
                metrics.verify(VerifyResult::Mismatch).inc();
                mismatched.store(true, Ordering::Release);
                tracing::error!(
                    revision = %sample.snapshot.revision(),
                    principal = %sample.request.principal,
                    action = %sample.request.action,
                    resource = %sample.request.resource,
                    "the engine and the reference disagree: {difference}; report this, and set `engine.kind: reference`"
                );
            }
        }
        // the snapshot must not live for as long as the rest takes; freeing it is part of the work
        drop(sample);
        let took = cpu_time().saturating_sub(before);
        if took > LONG {
            give_back_freed();
        }
        let rest = rest_after(took);
        if rest < LONG_REST {
            thread::sleep(rest);
            continue;
        }
        resting.store(true, Ordering::Release);
        let until = Instant::now() + rest;
        loop {
            match samples.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // it was on its way when the rest began
                Ok(_) => metrics.verify(VerifyResult::Dropped).inc(),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        resting.store(false, Ordering::Release);
    }
}

/// How long to rest after so much CPU time, that it was a hundredth of all time.
fn rest_after(cpu: Duration) -> Duration {
    // an hour of work is a broken clock
    cpu.min(Duration::from_secs(3_600)) * REST
}

/// The CPU time that this thread has used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// What the reference says otherwise, if it does.
fn difference(sample: &Sample) -> Option<String> {
    let served = &*sample.decision;
    match sample.snapshot.decide_by_reference(&sample.request, sample.now) {
        Err(error) => Some(format!("the reference refuses the request: {error}")),
        Ok(reference) => {
            // how long a decision holds is for each engine to say; what it is must be the same
            let reference = Decision { time_dependent: served.time_dependent, ..reference };
            (reference != *served).then(|| {
                format!(
                    "{:?} {:?} {} errors against {:?} {:?} {} errors",
                    served.outcome,
                    served.reasons,
                    served.errors.len(),
                    reference.outcome,
                    reference.reasons,
                    reference.errors.len()
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_engine::model::{Bundle, Outcome, PolicyNaming, PolicyText, Revision, Uid};
    use palisade_engine::{EngineSettings, Semantics, Validation, on_big_stack};

    fn sample(outcome: Outcome) -> Sample {
        let text = PolicyText {
            origin: "p".to_owned(),
            text: "permit (principal == U::\"a\", action, resource);".to_owned(),
            naming: PolicyNaming::Ordinal,
        };
        let bundle = Arc::new(Bundle { policies: vec![text], ..Bundle::default() });
        let settings =
            EngineSettings { validation: Validation::Off, semantics: Semantics::Cedar, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        let snapshot = on_big_stack(|| Snapshot::build(bundle, &settings, revision)).unwrap().unwrap().0;
        let uid = |text| Uid::parse(text).unwrap();
        let request = AccessRequest::new(uid("U::\"a\""), uid("Action::\"x\""), uid("R::\"r\""));
        let mut decision = snapshot.decide(&request, 0).unwrap();
        decision.outcome = outcome;
        let weight = Weight::take(&Arc::default(), 0, 0).unwrap();
        Sample { snapshot: Arc::new(snapshot), request, now: 0, decision: Arc::new(decision), _weight: weight }
    }

    #[test]
    fn a_wrong_decision_is_found_and_a_right_one_is_not() {
        assert_eq!(difference(&sample(Outcome::Allow)), None);
        assert!(difference(&sample(Outcome::Deny)).is_some());
    }

    #[test]
    fn it_holds_its_share_whatever_one_comparison_costs() {
        for (work, share) in [(0, 0), (20, 1_980), (160_000, 15_840_000), (5_000_000, 495_000_000)] {
            assert_eq!(rest_after(Duration::from_micros(work)), Duration::from_micros(share));
        }
        // time that passes is not time that is used
        let before = cpu_time();
        thread::sleep(Duration::from_millis(100));
        let slept = cpu_time() - before;
        let start = Instant::now();
        while cpu_time() - before < slept + Duration::from_millis(5) {
            assert!(start.elapsed() < Duration::from_secs(60), "work is not counted");
        }
        assert!(slept < Duration::from_millis(50), "{slept:?}");
    }

    #[test]
    fn what_comes_in_a_long_rest_is_counted_and_not_kept() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sampler = Sampler::start(NonZeroU32::MIN, metrics.clone()).unwrap();
        let Sample { snapshot, request, now, decision, .. } = sample(Outcome::Allow);
        sampler.resting.store(true, Ordering::Release);
        for _ in 0..100 {
            sampler.offer(&snapshot, &request, now, &decision);
        }
        assert_eq!(metrics.verify(VerifyResult::Dropped).get(), 100);
        assert_eq!(Arc::strong_count(&snapshot), 1);
    }

    #[test]
    fn a_request_that_is_too_large_is_counted_and_not_kept() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sampler = Sampler::start(NonZeroU32::MIN, metrics.clone()).unwrap();
        let Sample { snapshot, mut request, now, decision, .. } = sample(Outcome::Allow);
        request.context = palisade_engine::model::Value::String("x".repeat(QUEUE_BYTES).into());
        sampler.offer(&snapshot, &request, now, &decision);
        assert_eq!(metrics.verify(VerifyResult::Dropped).get(), 1);
        assert_eq!(Arc::strong_count(&snapshot), 1);
    }

    #[test]
    fn mismatches_are_counted_and_remembered() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sampler = Sampler::start(NonZeroU32::MIN, metrics.clone()).unwrap();
        let Sample { snapshot, request, now, decision, .. } = sample(Outcome::Deny);
        assert!(!sampler.mismatched());
        sampler.offer(&snapshot, &request, now, &decision);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !sampler.mismatched() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(metrics.verify(VerifyResult::Mismatch).get(), 1);
    }
}
