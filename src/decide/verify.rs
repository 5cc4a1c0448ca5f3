//! The sampler: one of N live decisions is made again by the reference, off the hot path, and compared.
//!
//! It takes at most a hundredth of a core: what it does not get to is dropped and counted, never waited for.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::domain::{AccessRequest, Decision};
use crate::engine::{EVALUATION_STACK_BYTES, Snapshot};
use crate::telemetry::{Metrics, VerifyResult, supervised};

/// Decisions that may wait to be compared. Each holds its snapshot, so the queue is short.
const QUEUE: usize = 16;

/// After work that took `t`, the sampler rests for this many times `t`.
const REST: u32 = 99;

/// Rests are cut into pieces, so that a stop is noticed.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Re-evaluates a sample of the live decisions with the reference.
#[derive(Debug)]
pub struct Sampler {
    every: NonZeroU32,
    seen: AtomicU32,
    queue: SyncSender<Sample>,
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
}

impl Sampler {
    /// A sampler of one of `every` decisions.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(every: NonZeroU32, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (queue, samples) = sync_channel(QUEUE);
        let mismatched = Arc::new(AtomicBool::new(false));
        let (found, counts) = (mismatched.clone(), metrics.clone());
        thread::Builder::new()
            .name("palisade-verify".to_owned())
            .stack_size(EVALUATION_STACK_BYTES)
            .spawn(supervised("palisade-verify", metrics.clone(), move || run(&samples, &found, &counts)))?;
        Ok(Self { every, seen: AtomicU32::new(0), queue, mismatched, metrics })
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
        let sample = Sample {
            snapshot: snapshot.clone(),
            request: request.clone().into_owned(),
            now,
            decision: decision.clone(),
        };
        if self.queue.try_send(sample).is_err() {
            self.metrics.verify(VerifyResult::Dropped).inc();
        }
    }
}

fn run(samples: &Receiver<Sample>, mismatched: &AtomicBool, metrics: &Metrics) {
    while let Ok(sample) = samples.recv() {
        let started = Instant::now();
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
        // the snapshot must not live for as long as the rest takes
        drop(sample);
        thread::sleep((started.elapsed() * REST).min(LONGEST_REST));
    }
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
    use crate::domain::{Bundle, Outcome, PolicyNaming, PolicyText, Revision, Uid};
    use crate::engine::{EngineSettings, Semantics, Validation, on_big_stack};

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
        Sample { snapshot: Arc::new(snapshot), request, now: 0, decision: Arc::new(decision) }
    }

    #[test]
    fn a_wrong_decision_is_found_and_a_right_one_is_not() {
        assert_eq!(difference(&sample(Outcome::Allow)), None);
        assert!(difference(&sample(Outcome::Deny)).is_some());
    }

    #[test]
    fn mismatches_are_counted_and_remembered() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sampler = Sampler::start(NonZeroU32::MIN, metrics.clone()).unwrap();
        let Sample { snapshot, request, now, decision } = sample(Outcome::Deny);
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
