//! The threads on which Cedar's own evaluator decides what the compiled engine leaves to it.
//!
//! The reference is a thousand times slower and recurses with the depth of policies, so it never runs on the threads
//! that serve connections: one request must not hold up the others. Few threads, queues that are bounded in requests
//! and in bytes, and a deadline after which the caller gets an error, which no gateway reads as an allow.
//!
//! An evaluation looks at its deadline only between policies, and to make Cedar's values of a large request takes longer
//! than that. So large requests have a thread of their own: they wait for each other, and small ones never wait for them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::decide::CheckError;
use crate::state::give_back_freed;
use crate::telemetry::{Metrics, start_thread, supervised};
use palisade_engine::model::{AccessRequest, Decision, Explanation};
use palisade_engine::{EVALUATION_STACK_BYTES, ExplainOptions, GoOn, Snapshot, Undecided};

/// Requests that may wait in each queue.
const QUEUE: usize = 256;

/// Bytes of large requests that may wait or be at work, about. Small ones are bounded by their number.
const QUEUE_BYTES: usize = 32 << 20;

/// A request that weighs more is large. As Cedar's own values it takes up to some forty times its weight.
const LARGE: usize = 64 << 10;

/// An evaluation that took longer may have freed much, which the allocator keeps for its thread.
pub(super) const LONG: Duration = Duration::from_millis(100);

/// How long a request may wait and be at work altogether.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);

/// How long a batch may take, on whichever engine.
pub(super) const BATCH_DEADLINE: Duration = Duration::from_secs(5);

/// The threads and their queues.
#[derive(Debug)]
pub(super) struct ReferencePool {
    small: SyncSender<Job>,
    large: SyncSender<Job>,
    explained: SyncSender<Job>,
    large_bytes: Arc<AtomicUsize>,
}

/// Work on a thread of the pool. It answers on its own.
type Work = Box<dyn FnOnce() + Send>;

struct Job {
    work: Work,
    /// Of a large one: given back when the job is over, however it ends.
    _weight: Option<Weight>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("weight", &self._weight).finish_non_exhaustive()
    }
}

/// Bytes of a budget.
#[derive(Debug)]
pub(super) struct Weight {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Weight {
    /// Takes `bytes` of a budget of `most`, if there are so many left.
    pub(super) fn take(of: &Arc<AtomicUsize>, bytes: usize, most: usize) -> Option<Self> {
        let fits = |used: usize| used.checked_add(bytes).filter(|after| *after <= most);
        of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self { bytes, of: of.clone() })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ReferencePool {
    /// Starts half as many threads as the machine has cores, at least one, one for large requests, and one for
    /// explanations.
    ///
    /// # Errors
    /// If one cannot be started.
    pub(super) fn start(metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let start = |threads: usize| {
            let (jobs, queue) = sync_channel::<Job>(QUEUE);
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..threads {
                let queue = queue.clone();
                let work = supervised("palisade-reference", metrics.clone(), move || work(&queue));
                start_thread("palisade-reference", Some(EVALUATION_STACK_BYTES), work)?;
            }
            Ok::<_, std::io::Error>(jobs)
        };
        let small = start(thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)))?;
        Ok(Self { small, large: start(1)?, explained: start(1)?, large_bytes: Arc::new(AtomicUsize::new(0)) })
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
        let decide = move |snapshot: &Snapshot, request: &AccessRequest<'_>, wanted: GoOn<'_>| {
            snapshot.decide_while(request, now, wanted)
        };
        self.ask(&self.small, snapshot, request, deadline, decide).await
    }

    /// Explains `request` at `snapshot` until `deadline`, one after another: explanations hold up no decision.
    ///
    /// # Errors
    /// As for [`Self::decide`].
    pub(super) async fn explain(
        &self,
        snapshot: Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        options: ExplainOptions,
        deadline: Instant,
    ) -> Result<Explanation, CheckError> {
        let explain = move |snapshot: &Snapshot, request: &AccessRequest<'_>, wanted: GoOn<'_>| {
            snapshot.explain_while(request, now, &options, wanted)
        };
        self.ask(&self.explained, snapshot, request, deadline, explain).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        queue: &SyncSender<Job>,
        snapshot: Arc<Snapshot>,
        request: &AccessRequest<'_>,
        deadline: Instant,
        ask: impl FnOnce(&Snapshot, &AccessRequest<'_>, GoOn<'_>) -> Result<T, Undecided> + Send + 'static,
    ) -> Result<T, CheckError> {
        // what comes too late must not take the place of what does not
        if Instant::now() >= deadline {
            return Err(CheckError::TooSlow);
        }
        let bytes = request.weight();
        let (queue, weight) = if bytes > LARGE {
            let weight = Weight::take(&self.large_bytes, bytes, QUEUE_BYTES).ok_or(CheckError::Overloaded)?;
            (&self.large, Some(weight))
        } else {
            (queue, None)
        };
        let (answer, answered) = oneshot::channel();
        let request = request.clone().into_owned();
        let work = Box::new(move || answer_one(snapshot, &request, deadline, answer, ask));
        queue.try_send(Job { work, _weight: weight }).map_err(|error| match error {
            TrySendError::Full(_) => CheckError::Overloaded,
            TrySendError::Disconnected(_) => CheckError::Internal,
        })?;
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(CheckError::Internal),
            Err(_) => Err(CheckError::TooSlow),
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        // held while waiting: the threads take turns, and the one that gets a job lets go at once
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { work, _weight }) = job else { return };
        let begun = Instant::now();
        work();
        if begun.elapsed() > LONG {
            give_back_freed();
        }
    }
}

/// Asks the engine, unless no caller waits any more.
fn answer_one<T>(
    snapshot: Arc<Snapshot>,
    request: &AccessRequest<'static>,
    deadline: Instant,
    answer: oneshot::Sender<Result<T, CheckError>>,
    ask: impl FnOnce(&Snapshot, &AccessRequest<'_>, GoOn<'_>) -> Result<T, Undecided>,
) {
    if answer.is_closed() {
        return;
    }
    if Instant::now() >= deadline {
        let _ = answer.send(Err(CheckError::TooSlow));
        return;
    }
    let wanted = || !answer.is_closed() && Instant::now() < deadline;
    let asked = catch_unwind(AssertUnwindSafe(|| ask(&snapshot, request, &wanted)));
    let asked = match asked {
        Ok(result) => result.map_err(|undecided| match undecided {
            Undecided::Refused(error) => CheckError::Invalid(error),
            Undecided::GivenUp => CheckError::TooSlow,
        }),
        Err(_) => {
            tracing::error!(revision = %snapshot.revision(), "a decision failed inside the engine");
            Err(CheckError::Internal)
        }
    };
    // the snapshot must not outlive its replacement for as long as this thread waits for the next job
    drop(snapshot);
    let _ = answer.send(asked);
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_engine::model::{Bundle, Revision, Uid, Value};
    use palisade_engine::{EngineKind, EngineSettings, Validation, on_big_stack};

    /// A state without policies, on which the reference decides, and a request.
    fn nothing() -> (Arc<Snapshot>, AccessRequest<'static>) {
        let settings =
            EngineSettings { validation: Validation::Off, kind: EngineKind::Reference, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        let built = on_big_stack(|| Snapshot::build(Arc::new(Bundle::default()), &settings, revision)).unwrap();
        let snapshot = Arc::new(built.unwrap().0);
        let uid = |text| Uid::parse(text).unwrap();
        (snapshot, AccessRequest::new(uid("U::\"a\""), uid("Action::\"x\""), uid("R::\"r\"")))
    }

    #[test]
    fn small_requests_never_wait_for_large_ones() {
        let (snapshot, small) = nothing();
        let mut large = small.clone();
        let text = format!("[{}[0]]", "[0],".repeat(50_000));
        let value = Value::parse(text.as_bytes()).unwrap();
        large.context = Value::Object(vec![("a".into(), value.into_owned())]);
        let pool = ReferencePool::start(&Arc::new(Metrics::new().unwrap())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        runtime.block_on(async {
            let mut many = Box::pin(async {
                for _ in 0..4 {
                    let _ = pool.decide(snapshot.clone(), &large, 0, later).await;
                }
            });
            // every large one is sent, and none is waited for
            let first = tokio::time::timeout(Duration::from_millis(1), &mut many).await;
            for _ in 0..20 {
                let decided = pool.decide(snapshot.clone(), &small, 0, later).await;
                assert!(decided.is_ok_and(|decision| !decision.outcome.is_allow()));
            }
            assert!(first.is_ok() || pool.large_bytes.load(Ordering::Relaxed) > 0, "the large one is over already");
            many.await;
        });
    }

    #[test]
    fn a_job_is_done_in_time_or_refused_and_gives_its_place_back() {
        let (snapshot, request) = nothing();
        let mut heavy = request.clone();
        heavy.context = Value::String("x".repeat(QUEUE_BYTES).into());
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
        while pool.large_bytes.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }
}
