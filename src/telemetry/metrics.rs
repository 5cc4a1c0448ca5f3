//! The metrics, in a registry of their own.
//!
//! Every combination of labels is known and resolved at start: counting is an atomic addition, never a
//! look-up, and every series is there from the first scrape. The one label that changes, the revision,
//! is written at scrape. `docs/metrics.md` describes them all; a test compares the two.

use std::array::from_fn;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::telemetry::labels::{
    AuthResult, CoverageResult, DecisionKind, IdentitySource, Listener, RefusalReason, ReloadResult, ReloadSource,
    Transport, VerifyResult, Work,
};
use crate::telemetry::pipe::dropped_lines;
use crate::telemetry::threads::{self, Threads};
use crate::telemetry::works::Works;
use palisade_engine::model::{DeniedBy, Revision};

/// The rules that deny beyond Cedar, in the order of [`rule_index`].
const RULES: [&str; 2] = ["unknown_entity", "forbid_error"];

/// The classes of HTTP statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What happens to keys and API tokens. Nothing supersedes those.
const IDENTITY_RESULTS: [ReloadResult; 3] = [ReloadResult::Good, ReloadResult::Bad, ReloadResult::Unchanged];

/// From 1 us to 1 s, closer together where decisions are expected.
const DURATION_BUCKETS: &[f64] = &[
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0,
];

const TRANSPORTS: usize = Transport::ALL.len();
const KINDS: usize = DecisionKind::ALL.len();
const LISTENERS: usize = Listener::ALL.len();

type Refresh = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Handles of every metric. One per process; share it in an `Arc`.
pub struct Metrics {
    registry: Registry,
    decisions: [[IntCounter; KINDS]; TRANSPORTS],
    denied_by: [IntCounter; RULES.len()],
    reloads: [[IntCounter; ReloadResult::ALL.len()]; ReloadSource::ALL.len()],
    requests: [[IntCounter; CLASSES.len()]; LISTENERS],
    connections: [IntGauge; LISTENERS],
    connections_given_up: [IntCounter; LISTENERS],
    streams_refused: [IntCounter; LISTENERS],
    verify: [IntCounter; VerifyResult::ALL.len()],
    coverage: [IntCounter; CoverageResult::ALL.len()],
    authentications: [IntCounter; AuthResult::ALL.len()],
    identity_reloads: [[IntCounter; IDENTITY_RESULTS.len()]; IdentitySource::ALL.len()],
    refusals: [[IntCounter; RefusalReason::ALL.len()]; Transport::GATEWAYS.len()],
    public: [IntCounter; Transport::GATEWAYS.len()],
    /// Memory of verified tokens. Set it in an [`Metrics::at_scrape`].
    pub identity_cache_bytes: IntGauge,
    /// Number of verified tokens in memory. Set it in an [`Metrics::at_scrape`].
    pub identity_cache_entries: IntGauge,
    /// How long decisions took, from the parsed request to the answer.
    pub decision_duration: Histogram,
    fallbacks: IntCounter,
    panics: IntCounter,
    /// Which of our threads fail.
    pub threads: Threads,
    /// What is under way that may hang.
    pub works: Works,
    works_seconds: [Gauge; Work::ALL.len()],
    /// Decisions that the cache answered.
    pub cache_hits: IntCounter,
    /// Decisions that the cache did not have.
    pub cache_misses: IntCounter,
    /// Memory of cached decisions. Set it in an [`Metrics::at_scrape`].
    pub cache_bytes: IntGauge,
    /// Decisions about questions that are too large for the cache.
    pub cache_skipped: IntCounter,
    /// Number of cached decisions. Set it in an [`Metrics::at_scrape`].
    pub cache_entries: IntGauge,
    /// Active entities.
    pub entities: IntGauge,
    /// Active policies, links of templates included.
    pub policies: IntGauge,
    /// `forbid` policies that are active, links of templates included.
    pub forbids: IntGauge,
    /// `forbid` policies that failed to evaluate.
    pub forbid_errors: IntCounter,
    /// Policies of either effect that failed to evaluate.
    pub policy_errors: IntCounter,
    /// Records that the decision log could not take.
    pub decision_log_dropped: IntCounter,
    /// Records that the decision log wrote.
    pub decision_log_written: IntCounter,
    /// Whether the decision log's sink takes no records. Set before a scrape.
    pub decision_log_failing: IntGauge,
    /// Memory of records that wait to be written. Set before a scrape.
    pub decision_log_queue_bytes: IntGauge,
    /// How full the decision log's queue is, from 0 to 1. Set before a scrape.
    pub decision_log_queue_ratio: Gauge,
    /// Whether something works worse than it should. Set before a scrape.
    pub degraded: IntGauge,
    /// Bytes of the store.
    pub store_bytes: IntGauge,
    /// Changes that the store took.
    pub store_commits: IntCounter,
    /// Whether the store takes no changes.
    pub store_failing: IntGauge,
    /// Spans that a collector of traces took.
    pub spans_exported: IntCounter,
    /// Spans that no collector has got.
    pub spans_dropped: IntCounter,
    log_dropped: IntCounter,
    snapshot_counter: IntGauge,
    snapshot_info: IntGaugeVec,
    data_age: Gauge,
    ready: IntGauge,
    started: Instant,
    /// Nanoseconds after `started` at which the data was last known to be current.
    confirmed: AtomicU64,
    /// Held while rendering, and while the revision changes: a scrape shows one revision, never none or two.
    revision: Mutex<Option<Revision>>,
    refresh: Mutex<Vec<Refresh>>,
}

impl Metrics {
    /// A registry with every metric at its start value.
    ///
    /// # Errors
    /// If two metrics share a name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = Builder { registry: &registry };
        let decisions = build.counters(
            "palisade_decisions_total",
            "Decisions, by outcome and transport.",
            &["outcome", "transport"],
        )?;
        let denied_by = build.counters(
            "palisade_denied_by_total",
            "Denials by a rule of the strict semantics beyond Cedar's own.",
            &["rule"],
        )?;
        let reloads = build.counters(
            "palisade_reloads_total",
            "Attempts to publish new policies or entities.",
            &["result", "source"],
        )?;
        let requests = build.counters(
            "palisade_http_requests_total",
            "HTTP requests answered, by listener and status.",
            &["listener", "status_class"],
        )?;
        let connections = build.gauges("palisade_http_connections", "Open connections.", &["listener"])?;
        let connections_given_up = build.counters(
            "palisade_http_connections_given_up_total",
            "Connections that rested and were closed to make room for others.",
            &["listener"],
        )?;
        let streams_refused = build.counters(
            "palisade_http_streams_refused_total",
            "HTTP/2 requests that were refused unread, since all streams together held too much memory.",
            &["listener"],
        )?;
        let verify = build.counters(
            "palisade_verify_total",
            "Decisions sampled for re-evaluation by the reference engine.",
            &["result"],
        )?;
        let coverage = build.counters(
            "palisade_coverage_samples_total",
            "Decisions sampled to count what live traffic sees of the policies.",
            &["result"],
        )?;
        let authentications =
            build.counters("palisade_authentications_total", "Authentication attempts by result.", &["result"])?;
        let identity_reloads = build.counters(
            "palisade_identity_reloads_total",
            "Reloads of issuer keys, API tokens and admin tokens.",
            &["result", "source"],
        )?;
        let refusals = build.counters(
            "palisade_gateway_refusals_total",
            "Gateways' requests refused before any policy was asked.",
            &["reason", "transport"],
        )?;
        let public = build.counters(
            "palisade_gateway_public_total",
            "Gateways' requests that passed on a public route, where no policy is asked.",
            &["transport"],
        )?;
        let works_seconds = build.register(GaugeVec::new(
            Opts::new("palisade_work_seconds", "How long work that may hang has been under way; 0 if it is not."),
            &["work"],
        )?)?;
        let build_info = build.gauges("palisade_build_info", "Always 1; the version is in the label.", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let start_time = build
            .register(Gauge::new("process_start_time_seconds", "When the process started, in seconds since 1970.")?)?;
        start_time.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64());

        Ok(Self {
            decisions: table(|transport, kind| {
                decisions.with_label_values(&[DecisionKind::ALL[kind].as_str(), Transport::ALL[transport].as_str()])
            }),
            denied_by: from_fn(|rule| denied_by.with_label_values(&[RULES[rule]])),
            reloads: table(|source, result| {
                reloads.with_label_values(&[ReloadResult::ALL[result].as_str(), ReloadSource::ALL[source].as_str()])
            }),
            requests: table(|listener, class| {
                requests.with_label_values(&[Listener::ALL[listener].as_str(), CLASSES[class]])
            }),
            connections: from_fn(|listener| connections.with_label_values(&[Listener::ALL[listener].as_str()])),
            connections_given_up: from_fn(|listener| {
                connections_given_up.with_label_values(&[Listener::ALL[listener].as_str()])
            }),
            streams_refused: from_fn(|listener| streams_refused.with_label_values(&[Listener::ALL[listener].as_str()])),
            authentications: from_fn(|result| authentications.with_label_values(&[AuthResult::ALL[result].as_str()])),
            identity_reloads: table(|source, result| {
                let (result, source) = (IDENTITY_RESULTS[result], IdentitySource::ALL[source]);
                identity_reloads.with_label_values(&[result.as_str(), source.as_str()])
            }),
            refusals: table(|transport, reason| {
                let (reason, transport) = (RefusalReason::ALL[reason], Transport::GATEWAYS[transport]);
                refusals.with_label_values(&[reason.as_str(), transport.as_str()])
            }),
            public: from_fn(|transport| public.with_label_values(&[Transport::GATEWAYS[transport].as_str()])),
            identity_cache_bytes: build.gauge("palisade_identity_cache_bytes", "Memory of verified tokens.")?,
            identity_cache_entries: build
                .gauge("palisade_identity_cache_entries", "Number of verified tokens in memory.")?,
            coverage: from_fn(|result| coverage.with_label_values(&[CoverageResult::ALL[result].as_str()])),
            verify: from_fn(|result| verify.with_label_values(&[VerifyResult::ALL[result].as_str()])),
            decision_duration: build.register(Histogram::with_opts(
                HistogramOpts::new("palisade_decision_duration_seconds", "Time from the parsed request to the answer.")
                    .buckets(DURATION_BUCKETS.to_vec()),
            )?)?,
            fallbacks: build.counter(
                "palisade_engine_fallbacks_total",
                "Decisions that the reference engine made because the compiled one could not.",
            )?,
            panics: build.counter("palisade_panics_total", "Panics of the process.")?,
            threads: Threads::default(),
            works: Works::default(),
            works_seconds: from_fn(|work| works_seconds.with_label_values(&[Work::ALL[work].as_str()])),
            cache_hits: build.counter("palisade_cache_hits_total", "Decisions that the cache answered.")?,
            cache_misses: build.counter("palisade_cache_misses_total", "Decisions that the cache did not have.")?,
            cache_skipped: build.counter(
                "palisade_cache_skipped_total",
                "Decisions about questions that are too large for the cache.",
            )?,
            cache_bytes: build.gauge("palisade_cache_bytes", "Memory of cached decisions.")?,
            cache_entries: build.gauge("palisade_cache_entries", "Number of cached decisions.")?,
            entities: build.gauge("palisade_entities", "Active entities.")?,
            policies: build.gauge("palisade_policies", "Active policies, links of templates included.")?,
            forbids: build.gauge(
                "palisade_forbids",
                "Active forbid policies, links in files and declarations of links from data included.",
            )?,
            forbid_errors: build.counter("palisade_forbid_errors_total", "Forbid policies that failed to evaluate.")?,
            policy_errors: build
                .counter("palisade_policy_errors_total", "Policies of either effect that failed to evaluate.")?,
            decision_log_dropped: build
                .counter("palisade_decision_log_dropped_total", "Records that the decision log could not take.")?,
            decision_log_written: build
                .counter("palisade_decision_log_written_total", "Records that the decision log wrote.")?,
            decision_log_failing: build.gauge(
                "palisade_decision_log_failing",
                "Whether the decision log's sink fails or has taken nothing for two seconds.",
            )?,
            decision_log_queue_bytes: build.gauge(
                "palisade_decision_log_queue_bytes",
                "Memory of the decision log's records that are not written yet.",
            )?,
            decision_log_queue_ratio: build.register(Gauge::new(
                "palisade_decision_log_queue_ratio",
                "How full the decision log's queue is, from 0 to 1.",
            )?)?,
            degraded: build
                .gauge("palisade_degraded", "Whether something works worse than it should; /v1/status says what.")?,
            store_bytes: build.gauge("palisade_store_bytes", "Bytes of the store; 0 without one.")?,
            store_commits: build.counter("palisade_store_commits_total", "Changes that the store took.")?,
            store_failing: build.gauge("palisade_store_failing", "Whether the store refuses changes.")?,
            spans_exported: build
                .counter("palisade_spans_exported_total", "Spans that the collector of traces took.")?,
            spans_dropped: build.counter(
                "palisade_spans_dropped_total",
                "Spans lost because the queue was full or the collector did not take them.",
            )?,
            log_dropped: build.counter(
                "palisade_log_dropped_total",
                "Lines of the sidecar's own log that were dropped because standard error took nothing.",
            )?,
            snapshot_counter: build
                .gauge("palisade_snapshot_revision", "Counter of the active revision; 0 before the first.")?,
            snapshot_info: build.gauges(
                "palisade_snapshot_info",
                "Always 1; the label has the active revision.",
                &["revision"],
            )?,
            data_age: build.register(Gauge::new(
                "palisade_data_age_seconds",
                "Time since the active data was last confirmed to be current; since the start before the first.",
            )?)?,
            ready: build.gauge("palisade_ready", "Whether the sidecar is ready to decide.")?,
            started: Instant::now(),
            confirmed: AtomicU64::new(0),
            revision: Mutex::new(None),
            refresh: Mutex::new(Vec::new()),
            registry,
        })
    }

    /// Counts a decision that took `elapsed`.
    pub fn decided(&self, transport: Transport, kind: DecisionKind, elapsed: Duration) {
        self.decisions(transport, kind).inc();
        self.decision_duration.observe(elapsed.as_secs_f64());
    }

    /// Counts what was asked and not decided, for the reason `code`. `fault` says whether the sidecar could not, or the
    /// request was at fault.
    pub fn undecided(&self, transport: Transport, code: &str, fault: bool) {
        self.decisions(transport, DecisionKind::of_failure(code, fault)).inc();
    }

    /// Notes how many decisions the reference has made for the compiled engine so far.
    pub fn note_fallbacks(&self, so_far: u64) {
        self.fallbacks.inc_by(so_far.saturating_sub(self.fallbacks.get()));
    }

    /// The counter of decisions of one kind.
    #[must_use]
    pub fn decisions(&self, transport: Transport, kind: DecisionKind) -> &IntCounter {
        &self.decisions[transport as usize][kind as usize]
    }

    /// The counter of denials by a rule of the strict semantics.
    #[must_use]
    pub fn denied_by(&self, rule: &DeniedBy) -> &IntCounter {
        &self.denied_by[rule_index(rule)]
    }

    /// The counter of reloads of one result.
    #[must_use]
    pub fn reloads(&self, source: ReloadSource, result: ReloadResult) -> &IntCounter {
        &self.reloads[source as usize][result as usize]
    }

    /// The counter of requests answered with `status`.
    #[must_use]
    pub fn requests(&self, listener: Listener, status: u16) -> &IntCounter {
        // what is not a status is a fault of the sidecar
        let class = usize::from(status / 100)
            .checked_sub(1)
            .filter(|class| *class < CLASSES.len())
            .unwrap_or(CLASSES.len() - 1);
        &self.requests[listener as usize][class]
    }

    /// The gauge of a listener's open connections.
    #[must_use]
    pub fn connections(&self, listener: Listener) -> &IntGauge {
        &self.connections[listener as usize]
    }

    /// The counter of a listener's connections that were closed to make room for others.
    #[must_use]
    pub fn connections_given_up(&self, listener: Listener) -> &IntCounter {
        &self.connections_given_up[listener as usize]
    }

    /// The counter of a listener's HTTP/2 requests that were refused unread.
    #[must_use]
    pub fn streams_refused(&self, listener: Listener) -> &IntCounter {
        &self.streams_refused[listener as usize]
    }

    /// The counter of re-evaluations of one result.
    #[must_use]
    pub fn verify(&self, result: VerifyResult) -> &IntCounter {
        &self.verify[result as usize]
    }

    /// Decisions sampled for coverage.
    #[must_use]
    pub fn coverage(&self, result: CoverageResult) -> &IntCounter {
        &self.coverage[result as usize]
    }

    /// The counter of authentication attempts.
    #[must_use]
    pub fn authentications(&self, result: AuthResult) -> &IntCounter {
        &self.authentications[result as usize]
    }

    /// The counter of reloads of issuer keys and API tokens.
    #[must_use]
    pub fn identity_reloads(&self, source: IdentitySource, result: ReloadResult) -> &IntCounter {
        let index = IDENTITY_RESULTS.iter().position(|known| *known == result).unwrap_or_default();
        &self.identity_reloads[source as usize][index]
    }

    /// Counts a gateway's request that was refused before any policy was asked.
    pub fn refused(&self, transport: Transport, reason: RefusalReason) {
        if let Some(dialect) = Transport::GATEWAYS.iter().position(|dialect| *dialect == transport) {
            self.refusals[dialect][reason as usize].inc();
        }
    }

    /// Counts a gateway's request that passed on a public route.
    pub fn passed_public(&self, transport: Transport) {
        if let Some(dialect) = Transport::GATEWAYS.iter().position(|dialect| *dialect == transport) {
            self.public[dialect].inc();
        }
    }

    /// Records which revision is active, and how much is in it. Its data counts as current.
    pub fn published(&self, revision: Revision, policies: usize, entities: usize) {
        let mut current = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(revision);
        self.snapshot_counter.set(signed(revision.counter));
        self.policies.set(signed(policies as u64));
        self.entities.set(signed(entities as u64));
        self.confirmed_current();
    }

    /// The same of changes made to what is active: whether its source holds the rest now, they do not say.
    pub fn changed(&self, revision: Revision, policies: usize, entities: usize) {
        let mut current = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(revision);
        self.snapshot_counter.set(signed(revision.counter));
        self.policies.set(signed(policies as u64));
        self.entities.set(signed(entities as u64));
    }

    /// Records that the active data is what its source holds now.
    pub fn confirmed_current(&self) {
        self.confirmed_at(Instant::now());
    }

    /// The same of a moment before.
    pub fn confirmed_at(&self, at: Instant) {
        let since = at.saturating_duration_since(self.started);
        self.confirmed.fetch_max(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long ago the active data was last confirmed to be current.
    #[must_use]
    pub fn data_age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_nanos(self.confirmed.load(Ordering::Relaxed)))
    }

    /// Says whether the sidecar is ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Calls `refresh` before every scrape, to set gauges that are costly to keep current.
    /// It must not render.
    pub fn at_scrape(&self, refresh: impl Fn(&Self) + Send + Sync + 'static) {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
    }

    /// Everything, in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        for refresh in &*self.refresh.lock().unwrap_or_else(PoisonError::into_inner) {
            refresh(self);
        }
        for (work, seconds) in Work::ALL.iter().zip(&self.works_seconds) {
            seconds.set(self.works.lasts(*work).as_secs_f64());
        }
        self.panics.inc_by(threads::panics().saturating_sub(self.panics.get()));
        let revision = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        self.data_age.set(self.data_age().as_secs_f64());
        // counted where no metrics are at hand: the log is older than they are
        self.log_dropped.inc_by(dropped_lines().saturating_sub(self.log_dropped.get()));
        self.snapshot_info.reset();
        if let Some(revision) = *revision {
            self.snapshot_info.with_label_values(&[&revision.to_string()]).set(1);
        }
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }

    /// The content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn rule_index(rule: &DeniedBy) -> usize {
    match rule {
        DeniedBy::UnknownEntity { .. } => 0,
        DeniedBy::ForbidError { .. } => 1,
    }
}

fn table<T, const COLUMNS: usize, const ROWS: usize>(cell: impl Fn(usize, usize) -> T) -> [[T; COLUMNS]; ROWS] {
    from_fn(|row| from_fn(|column| cell(row, column)))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Makes and registers metrics.
struct Builder<'a> {
    registry: &'a Registry,
}

impl Builder<'_> {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
