//! Sends spans to a collector, over OTLP/HTTP as protobuf, from a thread of its own.
//!
//! A request puts its span into a bounded queue and goes on; what finds it full is dropped and counted. Of a collector
//! that takes nothing the log says so once, and once more when it takes something again.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::context::Caller;
use super::sampler::Sampler;
use super::settings::TraceSettings;
use super::wire::{Frame, rejected};
use crate::telemetry::{Metrics, outbound, start_thread, supervised};

/// How often a batch is sent that the collector could not take.
const ATTEMPTS: u32 = 5;

/// How long the pause after the first failure is. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause, also where the collector asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often the log says that the collector takes nothing, where it comes and goes.
const QUIET: Duration = Duration::from_secs(60);

/// How much of an answer is read.
const MAX_ANSWER: u64 = 64 << 10;

/// The requests' end: which of them are recorded, and the queue for their spans.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    joins: bool,
    queue: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
    sender: Thread,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    /// How many spans are in the queue.
    waiting: AtomicUsize,
    /// How many are sent at once.
    batch: usize,
    closing: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Tracer {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// If there is no thread, or no certificate to trust.
    pub fn start(settings: &TraceSettings, metrics: Arc<Metrics>) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            batch: settings.batch,
            closing: AtomicBool::new(false),
            metrics: metrics.clone(),
        });
        let (queue, spans) = sync_channel(settings.queue);
        let mut exporter = Exporter::new(settings, spans, shared.clone())?;
        let work = supervised("palisade-traces", metrics, move || exporter.run());
        let thread = start_thread("palisade-traces", None, work).map_err(|error| error.to_string())?;
        let (sampler, joins, sender) = (settings.sampler, settings.joins, thread.thread().clone());
        Ok(Self { sampler, joins, queue, shared, sender, thread: Mutex::new(Some(thread)) })
    }

    /// Whether a request of this trace is recorded.
    pub(super) fn samples(&self, trace: u128, caller: Option<Caller>) -> bool {
        self.sampler.samples(trace, caller)
    }

    /// Whether the traces of callers count.
    pub(super) fn joins(&self) -> bool {
        self.joins
    }

    /// Hands a span on, or drops it where too many wait.
    pub(super) fn send(&self, span: Vec<u8>) {
        // before it is there: who takes it must not count below zero
        let waiting = self.shared.waiting.fetch_add(1, Ordering::AcqRel) + 1;
        if self.queue.try_send(span).is_err() {
            self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
            self.shared.metrics.spans_dropped.inc();
        } else if waiting == self.shared.batch {
            self.sender.unpark();
        }
    }

    /// Sends what waits and ends the thread, until `deadline` at most. A collector that takes nothing for as long as
    /// `patience` is given up before. What is not sent then counts as dropped.
    pub fn close(&self, patience: Duration, deadline: Instant) {
        self.shared.closing.store(true, Ordering::Release);
        self.sender.unpark();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let counters = || (self.shared.metrics.spans_exported.get(), self.shared.metrics.spans_dropped.get());
        let (mut known, mut since) = (counters(), Instant::now());
        while !thread.is_finished() {
            let (now, counted) = (Instant::now(), counters());
            if counted != known {
                (known, since) = (counted, now);
            }
            if now >= deadline || now - since >= patience {
                let lost = self.shared.waiting.load(Ordering::Acquire);
                self.shared.metrics.spans_dropped.inc_by(lost as u64);
                tracing::warn!(lost, "the collector of traces does not answer; spans that wait for it are lost");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // a panic there was logged there
        let _ = thread.join();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // the thread sends what waits and ends
        self.shared.closing.store(true, Ordering::Release);
        self.sender.unpark();
    }
}

/// The thread's end of the queue.
struct Exporter {
    agent: ureq::Agent,
    url: String,
    /// The URL without what may be secret in it.
    shown: String,
    headers: Vec<(String, String)>,
    frame: Frame,
    delay: Duration,
    spans: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    outage: Outage,
}

/// What was logged of a collector that takes nothing.
#[derive(Default)]
struct Outage {
    lasts: bool,
    /// When the log last said that one begins.
    told: Option<Instant>,
    /// It has said so of this one.
    known: bool,
    lost: u64,
}

/// Spans that no longer wait when this is dropped, exported or not.
struct Leaves {
    shared: Arc<Shared>,
    spans: usize,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(self.spans, Ordering::AcqRel);
    }
}

/// Why a batch was not taken.
struct Failure {
    reason: String,
    /// It may be taken when it is sent again, after this time if the collector says so.
    again: Option<Option<Duration>>,
}

impl Exporter {
    fn new(settings: &TraceSettings, spans: Receiver<Vec<u8>>, shared: Arc<Shared>) -> Result<Self, String> {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            // spans go where the operator sends them, and nowhere else
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(1)
            .user_agent(concat!("palisade/", env!("CARGO_PKG_VERSION")));
        if settings.url.starts_with("https:") {
            config = config.tls_config(outbound::tls(settings.certificate.as_deref())?);
        }
        Ok(Self {
            agent: config.build().into(),
            shown: shown(&settings.url),
            url: settings.url.clone(),
            headers: settings.headers.clone(),
            frame: Frame::new(&settings.resource),
            delay: settings.delay,
            spans,
            shared,
            outage: Outage::default(),
        })
    }

    /// Until it is asked to stop and nothing waits.
    fn run(&mut self) {
        loop {
            if !self.is_closing() && self.shared.waiting.load(Ordering::Acquire) < self.shared.batch {
                thread::park_timeout(self.delay);
            }
            // what came before it was asked to stop is there
            let closing = self.is_closing();
            loop {
                let batch: Vec<Vec<u8>> = self.spans.try_iter().take(self.shared.batch).collect();
                if batch.is_empty() {
                    break;
                }
                self.export(&batch);
                // what came in the meantime may wait for more, unless it is a batch of its own
                if !closing && self.shared.waiting.load(Ordering::Acquire) < self.shared.batch {
                    break;
                }
            }
            if closing {
                return;
            }
        }
    }

    fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// Sends a batch, several times if need be. It counts as waiting until it is taken or given up.
    fn export(&mut self, batch: &[Vec<u8>]) {
        let _leaves = Leaves { shared: self.shared.clone(), spans: batch.len() };
        let (body, spans) = (self.frame.request(batch), batch.len() as u64);
        let mut pause = PAUSE;
        let taken = (1..).find_map(|attempt| match self.post(&body) {
            Ok(rejected) => {
                self.outage.ends(&self.shown);
                Some(spans.saturating_sub(rejected))
            }
            Err(Failure { reason, again }) => {
                self.outage.begins(&self.shown, &reason);
                let Some(asked) = again.filter(|_| attempt < ATTEMPTS && !self.is_closing()) else { return Some(0) };
                let until = Instant::now() + asked.unwrap_or(pause).min(LONGEST_PAUSE);
                pause *= 2;
                // each span that comes may wake it
                while Instant::now() < until && !self.is_closing() {
                    thread::park_timeout(until.saturating_duration_since(Instant::now()));
                }
                None
            }
        });
        let taken = taken.unwrap_or(0);
        self.shared.metrics.spans_exported.inc_by(taken);
        self.shared.metrics.spans_dropped.inc_by(spans - taken);
        self.outage.lost += spans - taken;
    }

    /// How many spans of those in `body` the collector rejected.
    fn post(&mut self, body: &[u8]) -> Result<u64, Failure> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let failed = |error: ureq::Error| Failure { reason: error.to_string(), again: Some(None) };
        let mut answer = request.send(body).map_err(failed)?;
        let status = answer.status().as_u16();
        if !answer.status().is_success() {
            let seconds = || answer.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok();
            let again = matches!(status, 429 | 502 | 503 | 504).then(|| seconds().map(Duration::from_secs));
            return Err(Failure { reason: format!("it answered with the status {status}"), again });
        }
        let mut bytes = Vec::new();
        // it has taken them, whatever becomes of its answer
        let _ = answer.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut bytes);
        let (rejected, message) = rejected(&bytes);
        if rejected > 0 {
            self.outage.rejected(&self.shown, rejected, &message);
        }
        Ok(rejected)
    }
}

impl Outage {
    fn begins(&mut self, collector: &str, reason: &str) {
        if !std::mem::replace(&mut self.lasts, true) {
            (self.lost, self.known) = (0, false);
        }
        if !self.known && self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            (self.known, self.told) = (true, Some(Instant::now()));
            tracing::warn!(
                collector,
                "traces cannot be exported: {reason}; spans that find the queue full are dropped"
            );
        }
    }

    fn ends(&mut self, collector: &str) {
        if std::mem::take(&mut self.lasts) && self.known {
            tracing::info!(collector, lost = self.lost, "traces are exported again");
        }
    }

    fn rejected(&mut self, collector: &str, spans: u64, message: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            let message: String = message.chars().take(300).collect();
            tracing::warn!(collector, spans, "the collector rejected spans: {message:?}");
        }
    }
}

/// A URL for the log: no user, no password, no query.
fn shown(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}
