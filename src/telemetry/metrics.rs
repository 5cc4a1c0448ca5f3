//! The metrics, in a registry of their own.
//!
//! Every combination of labels is known and resolved at start: counting is an atomic addition, never a
//! look-up, and every series is there from the first scrape. The one label that changes, the revision,
//! is written at scrape. `docs/metrics.md` describes them all; a test compares the two.

use std::array::from_fn;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::domain::{DeniedBy, Revision};

/// A closed set of label values.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// How metrics and log lines write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

labels! {
    /// The way a decision was asked for.
    Transport {
        /// `POST /v1/is_authorized`.
        Native = "native",
        /// `POST /v1/is_authorized/batch`.
        Batch = "batch",
        /// The AuthZEN endpoints.
        Authzen = "authzen",
        /// The gateway endpoints over HTTP.
        Gateway = "gateway",
        /// Envoy's gRPC ext_authz.
        Grpc = "grpc",
    }
}

labels! {
    /// What a decision came to.
    DecisionKind {
        /// Allowed.
        Allow = "allow",
        /// Denied.
        Deny = "deny",
        /// Not decided: the request was malformed, or the sidecar could not decide.
        Error = "error",
    }
}

labels! {
    /// Where new policies or entities came from.
    ReloadSource {
        /// The watched files.
        Files = "files",
        /// `PUT /v1/bundle`.
        Bundle = "bundle",
        /// `PATCH /v1/entities`.
        Patch = "patch",
        /// A change feed.
        Feed = "feed",
    }
}

labels! {
    /// What became of new policies or entities.
    ReloadResult {
        /// They are in force.
        Good = "good",
        /// They were refused; the state before stays in force.
        Bad = "bad",
        /// They are what was in force already.
        Unchanged = "unchanged",
    }
}

labels! {
    /// One of the listeners.
    Listener {
        /// Decisions and gateway endpoints.
        Decisions = "decisions",
        /// Admin API.
        Admin = "admin",
        /// Health and metrics alone.
        Ops = "ops",
        /// gRPC ext_authz.
        Grpc = "grpc",
    }
}

labels! {
    /// What a re-evaluation by the reference engine came to.
    VerifyResult {
        /// Both engines agree.
        Match = "match",
        /// They disagree.
        Mismatch = "mismatch",
        /// It was not re-evaluated: its budget was used up.
        Dropped = "dropped",
    }
}

/// The rules that deny beyond Cedar, in the order of [`rule_index`].
const RULES: [&str; 2] = ["unknown_entity", "forbid_error"];

/// The classes of HTTP statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

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
    verify: [IntCounter; VerifyResult::ALL.len()],
    /// How long decisions took, from the parsed request to the answer.
    pub decision_duration: Histogram,
    /// Decisions that the cache answered.
    pub cache_hits: IntCounter,
    /// Decisions that the cache did not have.
    pub cache_misses: IntCounter,
    /// Memory of cached decisions. Set it in an [`Metrics::at_scrape`].
    pub cache_bytes: IntGauge,
    /// Number of cached decisions. Set it in an [`Metrics::at_scrape`].
    pub cache_entries: IntGauge,
    /// Entities in force.
    pub entities: IntGauge,
    /// Policies in force, links of templates included.
    pub policies: IntGauge,
    /// `forbid` policies that failed to evaluate.
    pub forbid_errors: IntCounter,
    /// Policies of either effect that failed to evaluate.
    pub policy_errors: IntCounter,
    /// Records that the decision log could not take.
    pub decision_log_dropped: IntCounter,
    /// Records that the decision log wrote.
    pub decision_log_written: IntCounter,
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
        let decisions = build.counters("palisade_decisions_total", "Decisions, by outcome and transport.", &["outcome", "transport"])?;
        let denied_by =
            build.counters("palisade_denied_by_total", "Denials by a rule of the strict semantics beyond Cedar's own.", &["rule"])?;
        let reloads = build.counters("palisade_reloads_total", "Attempts to put new policies or entities in force.", &["result", "source"])?;
        let requests =
            build.counters("palisade_http_requests_total", "HTTP requests answered, by listener and status.", &["listener", "status_class"])?;
        let connections = build.gauges("palisade_http_connections", "Open connections.", &["listener"])?;
        let verify = build.counters("palisade_verify_total", "Decisions sampled for re-evaluation by the reference engine.", &["result"])?;
        let build_info = build.gauges("palisade_build_info", "Always 1; the version is in the label.", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let start_time = build.register(Gauge::new("process_start_time_seconds", "When the process started, in seconds since 1970.")?)?;
        start_time.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64());

        Ok(Self {
            decisions: table(|transport, kind| {
                decisions.with_label_values(&[DecisionKind::ALL[kind].as_str(), Transport::ALL[transport].as_str()])
            }),
            denied_by: from_fn(|rule| denied_by.with_label_values(&[RULES[rule]])),
            reloads: table(|source, result| {
                reloads.with_label_values(&[ReloadResult::ALL[result].as_str(), ReloadSource::ALL[source].as_str()])
            }),
            requests: table(|listener, class| requests.with_label_values(&[Listener::ALL[listener].as_str(), CLASSES[class]])),
            connections: from_fn(|listener| connections.with_label_values(&[Listener::ALL[listener].as_str()])),
            verify: from_fn(|result| verify.with_label_values(&[VerifyResult::ALL[result].as_str()])),
            decision_duration: build.register(Histogram::with_opts(
                HistogramOpts::new("palisade_decision_duration_seconds", "Time from the parsed request to the answer.")
                    .buckets(DURATION_BUCKETS.to_vec()),
            )?)?,
            cache_hits: build.counter("palisade_cache_hits_total", "Decisions that the cache answered.")?,
            cache_misses: build.counter("palisade_cache_misses_total", "Decisions that the cache did not have.")?,
            cache_bytes: build.gauge("palisade_cache_bytes", "Memory of cached decisions.")?,
            cache_entries: build.gauge("palisade_cache_entries", "Number of cached decisions.")?,
            entities: build.gauge("palisade_entities", "Entities in force.")?,
            policies: build.gauge("palisade_policies", "Policies in force, links of templates included.")?,
            forbid_errors: build.counter("palisade_forbid_errors_total", "Forbid policies that failed to evaluate.")?,
            policy_errors: build.counter("palisade_policy_errors_total", "Policies of either effect that failed to evaluate.")?,
            decision_log_dropped: build.counter("palisade_decision_log_dropped_total", "Records that the decision log could not take.")?,
            decision_log_written: build.counter("palisade_decision_log_written_total", "Records that the decision log wrote.")?,
            snapshot_counter: build.gauge("palisade_snapshot_revision", "The counter of the revision in force; 0 before the first.")?,
            snapshot_info: build.gauges("palisade_snapshot_info", "Always 1; the revision in force is in the label.", &["revision"])?,
            data_age: build.register(Gauge::new(
                "palisade_data_age_seconds",
                "Time since the data in force was last known to be current; since the start while there is none.",
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
        // what is no status is a fault of ours
        let class = usize::from(status / 100).checked_sub(1).filter(|class| *class < CLASSES.len()).unwrap_or(CLASSES.len() - 1);
        &self.requests[listener as usize][class]
    }

    /// The gauge of a listener's open connections.
    #[must_use]
    pub fn connections(&self, listener: Listener) -> &IntGauge {
        &self.connections[listener as usize]
    }

    /// The counter of re-evaluations of one result.
    #[must_use]
    pub fn verify(&self, result: VerifyResult) -> &IntCounter {
        &self.verify[result as usize]
    }

    /// Says which revision is in force, and how much is in it. Its data counts as current.
    pub fn published(&self, revision: Revision, policies: usize, entities: usize) {
        let mut current = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(revision);
        self.snapshot_counter.set(signed(revision.counter));
        self.policies.set(signed(policies as u64));
        self.entities.set(signed(entities as u64));
        self.confirmed_current();
    }

    /// Says that the data in force is what its source holds now.
    pub fn confirmed_current(&self) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.confirmed.fetch_max(now, Ordering::Relaxed);
    }

    /// How long ago the data in force was last known to be current.
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
        let revision = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        self.data_age.set(self.data_age().as_secs_f64());
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const REVISION: Revision = Revision { incarnation: 0xab, counter: 7 };

    /// Reads the text format: name to type, and series with value. Fails on anything else.
    fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
        let (mut types, mut series) = (BTreeMap::new(), BTreeMap::new());
        let mut help = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').unwrap();
                assert!(words.ends_with('.'), "{line}");
                help = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(help.as_deref(), Some(name), "TYPE follows HELP");
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                let name = key.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).filter(|name| types.contains_key(*name));
                assert!(types.contains_key(family.unwrap_or(name)), "{line} lacks HELP and TYPE");
                assert!(series.insert(key.to_owned(), value.parse().unwrap()).is_none(), "{key} twice");
            }
        }
        (types, series)
    }

    #[test]
    fn every_series_is_there_from_the_start() {
        let metrics = Metrics::new().unwrap();
        let (types, series) = parse(&metrics.render());
        for key in [
            r#"palisade_decisions_total{outcome="deny",transport="grpc"}"#,
            r#"palisade_denied_by_total{rule="forbid_error"}"#,
            r#"palisade_reloads_total{result="bad",source="files"}"#,
            r#"palisade_http_requests_total{listener="ops",status_class="5xx"}"#,
            r#"palisade_http_connections{listener="admin"}"#,
            r#"palisade_verify_total{result="mismatch"}"#,
            "palisade_ready",
            "palisade_snapshot_revision",
            "palisade_cache_hits_total",
            "palisade_decision_duration_seconds_count",
        ] {
            assert_eq!(series.get(key), Some(&0.0), "{key}");
        }
        assert_eq!(series.get(&format!("palisade_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), Some(&1.0));
        assert!(series["process_start_time_seconds"] > 1.7e9);
        assert_eq!(types["palisade_decision_duration_seconds"], "histogram");
        assert!(series.contains_key(r#"palisade_decision_duration_seconds_bucket{le="0.000001"}"#), "{series:?}");
    }

    #[test]
    fn counting_reaches_the_right_series() {
        let metrics = Metrics::new().unwrap();
        for (i, transport) in Transport::ALL.iter().enumerate() {
            for (j, kind) in DecisionKind::ALL.iter().enumerate() {
                metrics.decisions(*transport, *kind).inc_by((10 * i + j + 1) as u64);
            }
        }
        metrics.decided(Transport::Native, DecisionKind::Allow, Duration::from_micros(3));
        for (status, class) in [(100, "1xx"), (200, "2xx"), (304, "3xx"), (404, "4xx"), (503, "5xx"), (0, "5xx"), (999, "5xx")] {
            let counter = metrics.requests(Listener::Ops, status);
            counter.inc();
            let key = format!("palisade_http_requests_total{{listener=\"ops\",status_class=\"{class}\"}}");
            assert_eq!(parse(&metrics.render()).1[&key], counter.get() as f64, "{status}");
        }
        metrics.denied_by(&DeniedBy::UnknownEntity { entity: String::new() }).inc();
        metrics.reloads(ReloadSource::Patch, ReloadResult::Unchanged).inc();
        metrics.at_scrape(|metrics| metrics.cache_entries.set(5));
        let (_, series) = parse(&metrics.render());
        for (i, transport) in Transport::ALL.iter().enumerate() {
            for (j, kind) in DecisionKind::ALL.iter().enumerate() {
                let extra = usize::from(i == 0 && j == 0);
                let key = format!("palisade_decisions_total{{outcome=\"{kind}\",transport=\"{transport}\"}}");
                assert_eq!(series[&key], (10 * i + j + 1 + extra) as f64);
            }
        }
        assert_eq!(series[r#"palisade_denied_by_total{rule="unknown_entity"}"#], 1.0);
        assert_eq!(series[r#"palisade_reloads_total{result="unchanged",source="patch"}"#], 1.0);
        assert_eq!(series[r#"palisade_decision_duration_seconds_bucket{le="0.000002"}"#], 0.0);
        assert_eq!(series[r#"palisade_decision_duration_seconds_bucket{le="0.000005"}"#], 1.0);
        assert_eq!(series["palisade_cache_entries"], 5.0);
    }

    #[test]
    fn one_revision_is_shown() {
        let metrics = Metrics::new().unwrap();
        let shown = |metrics: &Metrics| -> Vec<String> {
            parse(&metrics.render()).1.into_keys().filter(|key| key.starts_with("palisade_snapshot_info")).collect()
        };
        assert!(shown(&metrics).is_empty());
        metrics.published(REVISION, 3, 4);
        metrics.published(REVISION.next(), 5, 6);
        assert_eq!(shown(&metrics), [r#"palisade_snapshot_info{revision="00000000000000ab-8"}"#]);
        let (_, series) = parse(&metrics.render());
        assert_eq!((series["palisade_snapshot_revision"], series["palisade_policies"], series["palisade_entities"]), (8.0, 5.0, 6.0));
        assert!(series["palisade_data_age_seconds"] < 60.0);
    }

    #[test]
    fn the_manual_describes_every_metric() {
        let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
        let documented: BTreeMap<String, (String, Vec<String>)> = manual
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let labels = cells[3].split(", ").filter(|label| !label.is_empty()).map(|label| label.trim_matches('`').to_owned()).collect();
                (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
            })
            .collect();
        let metrics = Metrics::new().unwrap();
        metrics.published(REVISION, 0, 0);
        let registered: BTreeMap<String, (String, Vec<String>)> = {
            let _text = metrics.render();
            let family = |family: &prometheus::proto::MetricFamily| {
                let labels = family.get_metric()[0].get_label().iter().map(|label| label.name().to_owned()).collect();
                (family.name().to_owned(), (format!("{:?}", family.get_field_type()).to_lowercase(), labels))
            };
            metrics.registry.gather().iter().map(family).collect()
        };
        assert_eq!(documented, registered);
    }
}
