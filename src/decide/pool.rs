//! The threads on which Cedar's own evaluator decides what the compiled engine leaves to it.
//!
//! The reference is a thousand times slower and recurses with the depth of policies, so it never runs on the threads
//! that serve connections: one request must not hold up the others. Few threads, a queue that is bounded in requests
//! and in bytes, and a deadline after which whoever asked gets an error, which no gateway reads as an allow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::decide::CheckError;
use crate::domain::{AccessRequest, Decision};
use crate::engine::{EVALUATION_STACK_BYTES, Snapshot};
use crate::telemetry::{Metrics, start_thread, supervised};

/// Requests that may wait.
const QUEUE: usize = 256;

/// Bytes of requests that may wait or be at work, about.
const QUEUE_BYTES: usize = 32 << 20;

/// A request that weighs more is large. As Cedar's own values it takes up to some forty times its weight.
const LARGE: usize = 64 << 10;

/// Bytes of large requests that may be at work at a time, about, however many threads there are. One that is alone may
/// weigh more.
const LARGE_AT_WORK: usize = 8 << 20;

/// How long a request may wait and be at work altogether.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

/// How long a batch may take, whoever decides its items.
pub(super) const BATCH_DEADLINE: Duration = Duration::from_secs(5);

/// The threads and their queue.
#[derive(Debug)]
pub(super) struct ReferencePool {
    jobs: SyncSender<Job>,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Job {
    snapshot: Arc<Snapshot>,
    request: AccessRequest<'static>,
    /// The clock that the decision is made with, in milliseconds since 1970.
    now: i64,
    deadline: Instant,
    answer: oneshot::Sender<Result<Decision, CheckError>>,
    /// Given back when the job is over, however it ends.
    weight: Weight,
}

/// Bytes of a budget.
#[derive(Debug)]
struct Weight {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ReferencePool {
    /// Starts half as many threads as the machine has cores, at least one.
    ///
    /// # Errors
    /// If none can be started.
    pub(super) fn start(metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let large = Arc::new(AtomicUsize::new(0));
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        for _ in 0..threads {
            let (queue, large) = (queue.clone(), large.clone());
            let work = supervised("palisade-reference", metrics.clone(), move || work(&queue, &large));
            start_thread("palisade-reference", Some(EVALUATION_STACK_BYTES), work)?;
        }
        Ok(Self { jobs, bytes: Arc::new(AtomicUsize::new(0)) })
    }

    /// Decides `request` at `snapshot` until `deadline`.
    ///
    /// # Errors
    /// If the request is invalid, the engine failed, there is too much to do, or the deadline passes.
    pub(super) async fn decide(
        &self,
        snapshot: Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        deadline: Instant,
    ) -> Result<Decision, CheckError> {
        // what comes too late must not take the place of what does not
        if Instant::now() >= deadline {
            return Err(CheckError::TooSlow);
        }
        let bytes = request.weight();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let weight = Weight { bytes, of: self.bytes.clone() };
        if before + bytes > QUEUE_BYTES {
            return Err(CheckError::Overloaded);
        }
        let (answer, answered) = oneshot::channel();
        let request = request.clone().into_owned();
        let job = Job { snapshot, request, now, deadline, answer, weight };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => CheckError::Overloaded,
            TrySendError::Disconnected(_) => CheckError::Internal,
        })?;
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(Ok(decided)) => decided,
            Ok(Err(_)) => Err(CheckError::Internal),
            Err(_) => Err(CheckError::TooSlow),
        }
    }
}

/// Its part of what large requests may weigh at work; `None` if others leave too little. Small ones need none.
fn at_work(bytes: usize, large: &Arc<AtomicUsize>) -> Option<Weight> {
    let bytes = if bytes > LARGE { bytes } else { 0 };
    let fits = |used: usize| {
        let after = used.saturating_add(bytes);
        (bytes == 0 || used == 0 || after <= LARGE_AT_WORK).then_some(after)
    };
    large.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
    Some(Weight { bytes, of: large.clone() })
}

fn work(queue: &Mutex<Receiver<Job>>, large: &Arc<AtomicUsize>) {
    loop {
        // held while waiting: the threads take turns, and the one that gets a job lets go at once
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { snapshot, request, now, deadline, answer, weight }) = job else { return };
        if answer.is_closed() {
            continue;
        }
        if Instant::now() >= deadline {
            let _ = answer.send(Err(CheckError::TooSlow));
            continue;
        }
        let Some(_at_work) = at_work(weight.bytes, large) else {
            let _ = answer.send(Err(CheckError::Overloaded));
            continue;
        };
        let decided = catch_unwind(AssertUnwindSafe(|| snapshot.decide(&request, now)));
        let decided = match decided {
            Ok(result) => result.map_err(CheckError::Invalid),
            Err(_) => {
                tracing::error!(revision = %snapshot.revision(), "a decision failed inside the engine");
                Err(CheckError::Internal)
            }
        };
        // the snapshot must not outlive its replacement for as long as this thread waits for the next job
        drop(snapshot);
        let _ = answer.send(decided);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Bundle, Revision, Uid};
    use crate::engine::{EngineKind, EngineSettings, Validation, on_big_stack};

    #[test]
    fn large_requests_share_what_may_be_at_work() {
        let large = Arc::new(AtomicUsize::new(0));
        let half = at_work(LARGE_AT_WORK / 2, &large).unwrap();
        let other = at_work(LARGE_AT_WORK / 2, &large).unwrap();
        assert!(at_work(LARGE + 1, &large).is_none());
        assert!(at_work(LARGE, &large).is_some(), "a small one is never refused");
        drop((half, other));
        let alone = at_work(10 * LARGE_AT_WORK, &large).unwrap();
        assert!(at_work(LARGE + 1, &large).is_none() && at_work(1, &large).is_some());
        drop(alone);
        assert_eq!(large.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_job_is_done_in_time_or_refused_and_gives_its_place_back() {
        let settings =
            EngineSettings { validation: Validation::Off, kind: EngineKind::Reference, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        let built = on_big_stack(|| Snapshot::build(Arc::new(Bundle::default()), &settings, revision)).unwrap();
        let snapshot = Arc::new(built.unwrap().0);
        let uid = |text| Uid::parse(text).unwrap();
        let request = AccessRequest::new(uid("U::\"a\""), uid("Action::\"x\""), uid("R::\"r\""));
        let mut heavy = request.clone();
        heavy.context = crate::domain::Value::String("x".repeat(QUEUE_BYTES).into());
        let pool = ReferencePool::start(&Arc::new(Metrics::new().unwrap())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let later = || Instant::now() + Duration::from_secs(60);
        for (request, deadline, expected) in [
            (&request, later(), Ok(())),
            (&request, Instant::now(), Err(CheckError::TooSlow)),
            (&heavy, later(), Err(CheckError::Overloaded)),
            (&request, later(), Ok(())),
        ] {
            let decided = runtime.block_on(pool.decide(snapshot.clone(), request, 0, deadline));
            assert_eq!(decided.map(|decision| assert!(!decision.outcome.is_allow())), expected);
        }
        while pool.bytes.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }
}
