//! Deciding: one snapshot, the cache before it, the decision log after it.

mod cache;
mod coverage;
mod key;
mod log;
mod pool;
mod sample;
mod unasked;
mod verify;
pub mod why;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use cache::DecisionCache;
pub use coverage::{Coverage, Covered};
pub use log::{DecisionLog, LogSettings, Sink};
pub use unasked::{Public, Refused, Target};
pub use verify::Sampler;

use crate::state::State;
use crate::telemetry::traces::Trace;
use crate::telemetry::{DecisionKind, Metrics, Transport};
use log::{DecisionRecord, Record, Recorded};
use palisade_engine::model::{AccessRequest, Decision, DeniedBy, Explanation, RequestError};
use palisade_engine::{ExplainOptions, Series, Snapshot};
use pool::ReferencePool;
use unasked::UnaskedRecord;

thread_local! {
    /// The buffer of the last key on this thread: only a key that is kept is copied.
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A larger buffer is not kept.
const KEEP: usize = 64 << 10;

/// The policy decision point: what every transport asks.
///
/// Here decisions are counted. What is not decided is counted where its answer is made, whether it came this far or not
/// ([`Metrics::undecided`]), so that each question counts once.
#[derive(Debug)]
pub struct Pdp {
    state: Arc<State>,
    cache: Option<DecisionCache>,
    log: Option<DecisionLog>,
    sampler: Option<Sampler>,
    coverage: Option<Arc<Coverage>>,
    reference: ReferencePool,
    metrics: Arc<Metrics>,
}

/// Who asks, for the decision log and the metrics.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The endpoint's kind.
    pub transport: Transport,
    /// The request id that the caller gave or got.
    pub request_id: &'a str,
    /// What the request has to do with traces, if anything.
    pub trace: Option<&'a Trace>,
}

impl Call<'_> {
    /// The id of its trace, for log lines.
    #[must_use]
    pub fn trace_id(&self) -> Option<impl fmt::Display> {
        self.trace.map(|trace| trace.ids().trace_id())
    }
}

/// Why there is no decision. None of these is an allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No bundle has been loaded yet.
    #[error("no policies are loaded yet")]
    NotReady,
    /// The request cannot be decided as it stands.
    #[error(transparent)]
    Invalid(#[from] RequestError),
    /// The engine failed.
    #[error("the decision failed inside the engine")]
    Internal,
    /// Only the reference engine can decide this, and too many requests wait for it.
    #[error("too many requests wait for the reference engine; ask again")]
    Overloaded,
    /// The time is over: that of the reference engine, which alone can decide this, or that of a batch.
    #[error("the decision took too long")]
    TooSlow,
    /// The decision log cannot take the record, and `decision_log.overflow` is not `drop`.
    #[error("the decision cannot be recorded, and `decision_log.overflow` refuses decisions without a record")]
    Unrecorded,
}

/// A question that comes after others, see [`Snapshot::series`].
#[derive(Debug)]
pub struct Next<'a, 's> {
    /// Those before it, at the same snapshot and time.
    pub series: &'a mut Series<'s>,
    /// A number for its context; two requests of the series that have the same have the same context.
    pub context: u32,
}

/// The outcome of a request on its own thread.
enum AtOnce {
    /// It is decided, counted and recorded, or cannot be.
    Done(Result<Arc<Decision>, CheckError>),
    /// It is decided, and its record waits for room, or for an explanation.
    Unrecorded(Made),
    /// Only the reference can decide it.
    ByReference,
}

/// A decision, and how it was made.
struct Made {
    decision: Arc<Decision>,
    cached: bool,
    took: Duration,
    /// An explanation as JSON, for the decision log.
    why: Option<String>,
}

/// Until when a request that comes now may be decided by the reference, where it has to be.
#[must_use]
pub fn reference_deadline() -> Instant {
    Instant::now() + pool::DEADLINE
}

/// The time of a batch: its items share one deadline, and the thread is lent to others between them.
#[derive(Debug)]
pub struct BatchTime {
    deadline: Instant,
    /// When the thread was last free for others.
    lent: Instant,
}

/// How long a batch keeps its thread at most before it lets others have it. (One item may take longer.)
const TURN: Duration = Duration::from_millis(1);

impl BatchTime {
    /// For a batch that begins now.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Self { deadline: now + pool::BATCH_DEADLINE, lent: now }
    }

    /// Until when items may be decided.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Lets others have the thread where it is their turn. Between two items.
    ///
    /// # Errors
    /// If the time of the batch is over: the items that are left are not decided.
    pub async fn next_item(&mut self) -> Result<(), CheckError> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(CheckError::TooSlow);
        }
        if now - self.lent >= TURN {
            tokio::task::yield_now().await;
            self.lent = Instant::now();
        }
        Ok(())
    }
}

impl Made {
    fn record<'a>(&'a self, request: &'a AccessRequest<'a>, call: Call<'a>) -> Record<'a> {
        let Self { decision, cached, took, why } = self;
        Record::Decision(DecisionRecord { request, decision, cached: *cached, took: *took, why: why.as_deref(), call })
    }
}

impl Pdp {
    /// A decision point over `state` that evaluates every request and keeps and records nothing.
    ///
    /// # Errors
    /// If the threads of the reference engine cannot be started.
    pub fn new(state: Arc<State>, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let reference = ReferencePool::start(&metrics)?;
        Ok(Self { state, cache: None, log: None, sampler: None, coverage: None, reference, metrics })
    }

    /// The same, with a cache.
    #[must_use]
    pub fn with_cache(self, cache: Option<DecisionCache>) -> Self {
        Self { cache, ..self }
    }

    /// The same, with a decision log.
    #[must_use]
    pub fn with_log(self, log: Option<DecisionLog>) -> Self {
        Self { log, ..self }
    }

    /// The same, with a sampler that compares live decisions with the reference.
    #[must_use]
    pub fn with_sampler(self, sampler: Option<Sampler>) -> Self {
        Self { sampler, ..self }
    }

    /// The same, with what counts what live decisions see of the policies.
    #[must_use]
    pub fn with_coverage(self, coverage: Option<Coverage>) -> Self {
        Self { coverage: coverage.map(Arc::new), ..self }
    }

    /// The state that it decides over.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The cache, if there is one.
    #[must_use]
    pub fn cache(&self) -> Option<&DecisionCache> {
        self.cache.as_ref()
    }

    /// The decision log, if there is one.
    #[must_use]
    pub fn log(&self) -> Option<&DecisionLog> {
        self.log.as_ref()
    }

    /// The sampler, if there is one.
    #[must_use]
    pub fn sampler(&self) -> Option<&Sampler> {
        self.sampler.as_ref()
    }

    /// What counts what live decisions see of the policies, if that is wanted.
    #[must_use]
    pub fn coverage(&self) -> Option<&Arc<Coverage>> {
        self.coverage.as_ref()
    }

    /// Decides one request at the published snapshot.
    ///
    /// # Errors
    /// If there is no snapshot, the request is invalid, or the engine failed.
    pub async fn check(&self, request: &AccessRequest<'_>, call: Call<'_>) -> Result<Arc<Decision>, CheckError> {
        let now = clock();
        let (snapshot, at_once) = {
            let published = self.state.load();
            let snapshot = &published.as_ref().ok_or(CheckError::NotReady)?.snapshot;
            match self.check_at_once(snapshot, request, now, call, None) {
                AtOnce::Done(result) => return result,
                other => (snapshot.clone(), other),
            }
        };
        Box::pin(self.check_later(at_once, &snapshot, request, now, (reference_deadline(), true), call)).await
    }

    /// Decides one request at a snapshot and a time (milliseconds since 1970) that the caller holds, so that several
    /// see the same. It waits for the reference, where that must decide, until `deadline`.
    ///
    /// # Errors
    /// If the request is invalid or the engine failed.
    pub async fn check_at(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        deadline: Instant,
        call: Call<'_>,
    ) -> Result<Arc<Decision>, CheckError> {
        self.check_next(snapshot, None, request, now, deadline, call).await
    }

    /// The same of a request that comes after others, if `next` says so.
    ///
    /// # Errors
    /// As for [`Pdp::check_at`].
    pub async fn check_next(
        &self,
        snapshot: &Arc<Snapshot>,
        next: Option<Next<'_, '_>>,
        request: &AccessRequest<'_>,
        now: i64,
        deadline: Instant,
        call: Call<'_>,
    ) -> Result<Arc<Decision>, CheckError> {
        let is_alone = next.is_none();
        match self.check_at_once(snapshot, request, now, call, next) {
            AtOnce::Done(result) => result,
            other => Box::pin(self.check_later(other, snapshot, request, now, (deadline, is_alone), call)).await,
        }
    }

    /// Decides on this thread, from the cache or by the compiled engine.
    fn check_at_once(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        call: Call<'_>,
        next: Option<Next<'_, '_>>,
    ) -> AtOnce {
        let started = Instant::now();
        let is_alone = next.is_none();
        let Some(result) = self.cached(snapshot, request, now, next) else { return AtOnce::ByReference };
        let took = started.elapsed();
        let (decision, cached) = match result {
            Ok(decided) => decided,
            Err(error) => {
                self.metrics.decision_duration.observe(took.as_secs_f64());
                return AtOnce::Done(Err(error));
            }
        };
        self.sample(snapshot, request, now, &decision);
        let made = Made { decision, cached, took, why: None };
        let Some(log) = &self.log else { return AtOnce::Done(self.recorded(Recorded::Fine, made, call)) };
        if is_alone && log.explains(&made.decision) {
            return AtOnce::Unrecorded(made);
        }
        match log.record(&made.record(request, call)) {
            Recorded::Wait => AtOnce::Unrecorded(made),
            recorded => AtOnce::Done(self.recorded(recorded, made, call)),
        }
    }

    /// Does what cannot be done at once: asks the reference, explains a denial for the log unless it is one of many, or waits
    /// for the log.
    async fn check_later(
        &self,
        at_once: AtOnce,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        (deadline, is_alone): (Instant, bool),
        call: Call<'_>,
    ) -> Result<Arc<Decision>, CheckError> {
        let mut made = match at_once {
            AtOnce::Done(result) => return result,
            AtOnce::Unrecorded(made) => made,
            AtOnce::ByReference => self.make_by_reference(snapshot, request, now, deadline).await?,
        };
        if let Some(log) = self.log.as_ref().filter(|log| is_alone && log.explains(&made.decision)) {
            // the decision stands, with an explanation or without
            let explained = self.explain(snapshot, request, now, log.options()).await;
            made.why = log.why(explained.as_ref());
        }
        let recorded = match &self.log {
            Some(log) => log.record_patiently(&made.record(request, call), deadline).await,
            None => Recorded::Fine,
        };
        self.recorded(recorded, made, call)
    }

    async fn make_by_reference(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        deadline: Instant,
    ) -> Result<Made, CheckError> {
        let started = Instant::now();
        let decided = self.reference.decide(snapshot.clone(), request, now, deadline).await;
        let took = started.elapsed();
        let decision = match decided {
            Ok(decision) => Arc::new(decision),
            Err(error) => {
                self.metrics.decision_duration.observe(took.as_secs_f64());
                return Err(error);
            }
        };
        if let Some(cache) = self.cache_for(request) {
            with_key(snapshot, request, |key| keep(cache, key, &decision));
        }
        self.sample(snapshot, request, now, &decision);
        Ok(Made { decision, cached: false, took, why: None })
    }

    /// Says why `request` is decided as it is at a snapshot and a time that the caller holds. Nothing is counted or
    /// recorded: it is no decision.
    ///
    /// # Errors
    /// If the request is invalid, the engine failed, or it takes too long.
    pub async fn explain(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &AccessRequest<'_>,
        now: i64,
        options: ExplainOptions,
    ) -> Result<Explanation, CheckError> {
        self.reference.explain(snapshot.clone(), request, now, options, reference_deadline()).await
    }

    fn sample(&self, snapshot: &Arc<Snapshot>, request: &AccessRequest<'_>, now: i64, decision: &Arc<Decision>) {
        let verified = self.sampler.as_ref().map(|it| &it.sampling);
        let covered = self.coverage.as_ref().map(|it| &it.sampling);
        for sampling in verified.into_iter().chain(covered) {
            sampling.offer(snapshot, request, now, decision);
        }
    }

    /// Counts a decision, and gives it if it may be answered.
    fn recorded(&self, recorded: Recorded, made: Made, call: Call<'_>) -> Result<Arc<Decision>, CheckError> {
        if recorded != Recorded::Fine {
            self.metrics.decision_duration.observe(made.took.as_secs_f64());
            return Err(CheckError::Unrecorded);
        }
        if let Some(trace) = call.trace {
            trace.notes.asked(made.cached);
        }
        self.count(&made.decision, call.transport, made.took);
        Ok(made.decision)
    }

    /// Counts and records a gateway's request that was refused before any policy was asked. The record waits for room
    /// until `deadline`, where it may.
    pub async fn note_refused(&self, refused: Refused<'_>, deadline: Instant, call: Call<'_>) {
        self.metrics.refused(call.transport, refused.reason);
        self.metrics.undecided(call.transport, refused.reason.as_str(), refused.reason.is_fault());
        let trace_id = call.trace_id().map(tracing::field::display);
        tracing::debug!(transport = %call.transport, code = refused.code, trace_id, "refused: {}", refused.message);
        // refused it is, with a record or without
        let _ = self.record_unasked(&UnaskedRecord::refused(refused, call), deadline).await;
    }

    /// Counts and records a gateway's request that passed on a public route, where no policy is asked.
    ///
    /// # Errors
    /// If it cannot be recorded until `deadline` and may not pass without.
    pub async fn note_public(&self, public: Public<'_>, deadline: Instant, call: Call<'_>) -> Result<(), CheckError> {
        if self.record_unasked(&UnaskedRecord::public(public, call), deadline).await != Recorded::Fine {
            return Err(CheckError::Unrecorded);
        }
        self.metrics.passed_public(call.transport);
        Ok(())
    }

    async fn record_unasked(&self, record: &UnaskedRecord<'_>, deadline: Instant) -> Recorded {
        let Some(log) = &self.log else { return Recorded::Fine };
        let record = Record::Unasked(record);
        match log.record(&record) {
            Recorded::Wait => log.record_patiently(&record, deadline).await,
            recorded => recorded,
        }
    }

    fn count(&self, decision: &Decision, transport: Transport, took: Duration) {
        let kind = if decision.outcome.is_allow() { DecisionKind::Allow } else { DecisionKind::Deny };
        self.metrics.decided(transport, kind, took);
        if let Some(rule) = &decision.denied_by {
            self.metrics.denied_by(rule).inc();
        }
        if !decision.errors.is_empty() {
            self.metrics.policy_errors.inc_by(decision.errors.len() as u64);
            // what fails since an entity is unknown says nothing of the policy, and is denied for the entity
            if !matches!(decision.denied_by, Some(DeniedBy::UnknownEntity { .. })) {
                self.metrics.forbid_errors.inc_by(decision.forbid_errors as u64);
            }
        }
    }

    /// A request that brings its own data is asked once: keeping it would only push others out.
    fn cache_for(&self, request: &AccessRequest<'_>) -> Option<&DecisionCache> {
        self.cache.as_ref().filter(|_| request.entities.is_none() && request.additional_entities.is_none())
    }

    /// The decision, and whether it came from the cache; `None` where only the reference can decide.
    fn cached(
        &self,
        snapshot: &Snapshot,
        request: &AccessRequest<'_>,
        now: i64,
        next: Option<Next<'_, '_>>,
    ) -> Option<Result<(Arc<Decision>, bool), CheckError>> {
        let Some(cache) = self.cache_for(request) else {
            return Some(evaluate(snapshot, request, now, next)?.map(|decision| (Arc::new(decision), false)));
        };
        with_key(snapshot, request, |key| match cache.get(key) {
            _ if !cache.takes(key) => {
                self.metrics.cache_skipped.inc();
                Some(evaluate(snapshot, request, now, next)?.map(|decision| (Arc::new(decision), false)))
            }
            Some(hit) => {
                self.metrics.cache_hits.inc();
                Some(Ok((hit, true)))
            }
            None => {
                self.metrics.cache_misses.inc();
                let decided = evaluate(snapshot, request, now, next)?;
                Some(decided.map(|decision| {
                    let decision = Arc::new(decision);
                    keep(cache, key, &decision);
                    (decision, false)
                }))
            }
        })
    }
}

fn keep(cache: &DecisionCache, key: &[u8], decision: &Arc<Decision>) {
    if !decision.time_dependent {
        cache.insert(key, decision.clone());
    }
}

/// Lends the key of a request, made in this thread's buffer.
fn with_key<T>(snapshot: &Snapshot, request: &AccessRequest<'_>, with: impl FnOnce(&[u8]) -> T) -> T {
    let mut key = KEY.take();
    key.clear();
    key::write(&mut key, snapshot.revision(), request);
    let result = with(&key);
    if key.capacity() <= KEEP {
        KEY.set(key);
    }
    result
}

/// A panic in the engine costs one request, which gets an error, never a decision.
fn evaluate(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    next: Option<Next<'_, '_>>,
) -> Option<Result<Decision, CheckError>> {
    let decide = || match next {
        None => snapshot.decide_at_once(request, now),
        Some(Next { series, context }) => series.decide_at_once(request, context),
    };
    match catch_unwind(AssertUnwindSafe(decide)) {
        Ok(result) => Some(result?.map_err(CheckError::Invalid)),
        Err(_) => {
            tracing::error!(revision = %snapshot.revision(), "a decision failed inside the engine");
            Some(Err(CheckError::Internal))
        }
    }
}

/// The clock, in milliseconds since 1970.
#[must_use]
pub fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_in_time_and_lends_its_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let now = Instant::now();
        let mut over = BatchTime { deadline: now, lent: now };
        assert_eq!(runtime.block_on(over.next_item()), Err(CheckError::TooSlow));
        runtime.block_on(async {
            let mut time = BatchTime { deadline: now + Duration::from_secs(60), lent: now - TURN };
            let other = tokio::spawn(async {});
            assert_eq!(time.next_item().await, Ok(()));
            assert!(other.is_finished(), "nobody else had a turn");
            let other = tokio::spawn(async {});
            time.lent = Instant::now() + TURN;
            assert_eq!(time.next_item().await, Ok(()));
            assert!(!other.is_finished(), "a turn is longer than an item");
        });
    }
}
