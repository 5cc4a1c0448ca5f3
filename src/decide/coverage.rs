//! Coverage by live traffic: one of N decisions is counted part by part, off the hot path, to find rules that never matter.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::decide::sample::{Sample, Sampling};
use crate::telemetry::{CoverageResult, Metrics};
use palisade_engine::model::PolicyId;
use palisade_engine::{SeenPolicy, Sightings, Snapshot};

/// Counts what a sample of the live decisions sees of the policies.
#[derive(Debug)]
pub struct Coverage {
    pub(super) sampling: Sampling,
    counted: Arc<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    sightings: Mutex<Sightings>,
    decisions: AtomicU64,
}

/// What was seen up to now.
#[derive(Debug)]
pub struct Covered {
    /// One of so many decisions is counted.
    pub every: NonZeroU32,
    /// How many were.
    pub decisions: u64,
    /// Every policy, and every template that has a link, by id.
    pub policies: Vec<(PolicyId, SeenPolicy)>,
}

impl Coverage {
    /// Counts one of `every` decisions.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(every: NonZeroU32, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let counted = Arc::new(Counted::default());
        let (counts, counter, drops) = (counted.clone(), metrics.clone(), metrics.clone());
        let dropped = Arc::new(move || drops.coverage(CoverageResult::Dropped).inc());
        let work = move |sample: &Sample| {
            // a panic must not end the sampling
            let seen = catch_unwind(AssertUnwindSafe(|| counts.see(sample)));
            let result = if matches!(seen, Ok(true)) { CoverageResult::Counted } else { CoverageResult::Dropped };
            counter.coverage(result).inc();
        };
        let sampling = Sampling::start("palisade-coverage", every, metrics, dropped, work)?;
        Ok(Self { sampling, counted })
    }

    /// What was seen up to now of the policies of a snapshot. What was counted of texts that are gone is forgotten.
    ///
    /// Recurses with the nesting of policies: the thread must have [`palisade_engine::EVALUATION_STACK_BYTES`].
    #[must_use]
    pub fn covered(&self, snapshot: &Snapshot) -> Covered {
        let mut sightings = self.counted.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        sightings.know_all(snapshot);
        Covered {
            every: self.sampling.every(),
            decisions: self.counted.decisions.load(Ordering::Relaxed),
            policies: sightings.policies().map(|(id, seen)| (id.clone(), seen.clone())).collect(),
        }
    }
}

impl Counted {
    fn see(&self, sample: &Sample) -> bool {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sightings.see(&sample.snapshot, &sample.request, sample.now).is_ok();
        self.decisions.fetch_add(u64::from(seen), Ordering::Relaxed);
        seen
    }
}
