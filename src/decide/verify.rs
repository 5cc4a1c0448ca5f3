//! The sampler: one of N live decisions is made again by the reference, off the hot path, and compared.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::decide::sample::{Sample, Sampling};
use crate::telemetry::{Metrics, VerifyResult};
use palisade_engine::model::Decision;

/// Re-evaluates a sample of the live decisions with the reference.
#[derive(Debug)]
pub struct Sampler {
    pub(super) sampling: Sampling,
    mismatched: Arc<AtomicBool>,
}

impl Sampler {
    /// A sampler of one of `every` decisions.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(every: NonZeroU32, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let mismatched = Arc::new(AtomicBool::new(false));
        let (found, counts, drops) = (mismatched.clone(), metrics.clone(), metrics.clone());
        let dropped = Arc::new(move || drops.verify(VerifyResult::Dropped).inc());
        let work = move |sample: &Sample| verify(sample, &found, &counts);
        let sampling = Sampling::start("palisade-verify", every, metrics, dropped, work)?;
        Ok(Self { sampling, mismatched })
    }

    /// Whether a decision was ever found to differ.
    #[must_use]
    pub fn mismatched(&self) -> bool {
        self.mismatched.load(Ordering::Acquire)
    }
}

fn verify(sample: &Sample, mismatched: &AtomicBool, metrics: &Metrics) {
    // a panic must not end the sampling: it is a difference like any other
    let found = catch_unwind(AssertUnwindSafe(|| difference(sample)))
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
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::decide::pool::Weight;
    use crate::decide::sample::QUEUE_BYTES;
    use palisade_engine::model::{AccessRequest, Bundle, Outcome, PolicyNaming, PolicyText, Revision, Uid};
    use palisade_engine::{EngineSettings, Semantics, Snapshot, Validation, on_big_stack};

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
    fn what_comes_in_a_long_rest_is_counted_and_not_kept() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sampler = Sampler::start(NonZeroU32::MIN, metrics.clone()).unwrap();
        let Sample { snapshot, request, now, decision, .. } = sample(Outcome::Allow);
        sampler.sampling.resting.store(true, Ordering::Release);
        for _ in 0..100 {
            sampler.sampling.offer(&snapshot, &request, now, &decision);
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
        sampler.sampling.offer(&snapshot, &request, now, &decision);
        assert_eq!(metrics.verify(VerifyResult::Dropped).get(), 1);
        assert_eq!(Arc::strong_count(&snapshot), 1);
    }

    #[test]
    fn mismatches_are_counted_and_remembered() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let sampler = Sampler::start(NonZeroU32::MIN, metrics.clone()).unwrap();
        let Sample { snapshot, request, now, decision, .. } = sample(Outcome::Deny);
        assert!(!sampler.mismatched());
        sampler.sampling.offer(&snapshot, &request, now, &decision);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !sampler.mismatched() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(metrics.verify(VerifyResult::Mismatch).get(), 1);
    }
}
