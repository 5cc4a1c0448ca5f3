//! One of N live decisions is looked at again, on a thread of its own, off the hot path.
//!
//! It takes at most a hundredth of a core, by the CPU time that its thread has used, however large the policies are:
//! what it does not get to is dropped and counted, never waited for.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::decide::pool::{LONG, Weight};
use crate::state::give_back_freed;
use crate::telemetry::{Metrics, start_thread, supervised};
use palisade_engine::model::{AccessRequest, Decision};
use palisade_engine::{EVALUATION_STACK_BYTES, Snapshot};

/// Decisions that may wait. Each holds its snapshot, so the queue is short.
const QUEUE: usize = 16;

/// What their requests may weigh, with the one that is looked at: as Cedar's values they take up to forty times as much.
pub(super) const QUEUE_BYTES: usize = 1 << 20;

/// After work that took `t` of CPU time, the thread rests for this many times `t`.
const REST: u32 = 99;

/// In a rest that is longer nothing is taken into the queue: samples hold their snapshots, and would be old.
const LONG_REST: Duration = Duration::from_millis(100);

/// Called for each decision whose turn it was and that is not looked at.
pub(super) type Dropped = Arc<dyn Fn() + Send + Sync>;

/// Takes one of N decisions to a thread.
pub(super) struct Sampling {
    every: NonZeroU32,
    seen: AtomicU32,
    queue: SyncSender<Sample>,
    bytes: Arc<AtomicUsize>,
    /// Whether the thread rests for long.
    pub(super) resting: Arc<AtomicBool>,
    dropped: Dropped,
}

/// A decision that was made.
#[derive(Debug)]
pub(super) struct Sample {
    pub snapshot: Arc<Snapshot>,
    pub request: AccessRequest<'static>,
    /// The clock that the decision was made with, in milliseconds since 1970.
    pub now: i64,
    pub decision: Arc<Decision>,
    pub _weight: Weight,
}

impl fmt::Debug for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampling").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Sampling {
    /// Starts the thread `name`, which does `work` with one of `every` decisions. It must not panic.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(
        name: &'static str,
        every: NonZeroU32,
        metrics: Arc<Metrics>,
        dropped: Dropped,
        work: impl Fn(&Sample) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, samples) = sync_channel(QUEUE);
        let resting = Arc::new(AtomicBool::new(false));
        let (rests, drops) = (resting.clone(), dropped.clone());
        let run = supervised(name, metrics, move || run(&samples, &rests, &drops, &work));
        start_thread(name, Some(EVALUATION_STACK_BYTES), run)?;
        Ok(Self { every, seen: AtomicU32::new(0), queue, bytes: Arc::new(AtomicUsize::new(0)), resting, dropped })
    }

    /// How many decisions there are to one that is taken.
    pub(super) fn every(&self) -> NonZeroU32 {
        self.every
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
            return (self.dropped)();
        }
        let Some(weight) = Weight::take(&self.bytes, request.weight(), QUEUE_BYTES) else {
            return (self.dropped)();
        };
        let sample = Sample {
            snapshot: snapshot.clone(),
            request: request.clone().into_owned(),
            now,
            decision: decision.clone(),
            _weight: weight,
        };
        if self.queue.try_send(sample).is_err() {
            (self.dropped)();
        }
    }
}

fn run(samples: &Receiver<Sample>, resting: &AtomicBool, dropped: &Dropped, work: &dyn Fn(&Sample)) {
    while let Ok(sample) = samples.recv() {
        let before = cpu_time();
        work(&sample);
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
                Ok(_) => dropped(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
