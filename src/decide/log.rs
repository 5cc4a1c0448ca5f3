//! The decision log: one JSON line a decision, written by a thread of its own.
//!
//! It never makes a decision wait. What finds the queue full is dropped and counted, and so is what the
//! sink could not take.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::config::{MaskPath, MaskStep};
use crate::decide::Call;
use crate::domain::{AccessRequest, Decision, Value};
use crate::telemetry::{Metrics, Transport, events};

/// How often the thread looks for a wish to reopen, and how often it speaks of drops.
const TICK: Duration = Duration::from_millis(250);

/// What stands in for a masked value.
const MASKED: &str = "***";

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, appended to, reopened on demand so that it can be rotated.
    File(PathBuf),
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Where the lines go.
    pub sink: Sink,
    /// How many records may wait.
    pub queue: usize,
    /// Context attributes whose values are hidden.
    pub mask: Vec<MaskPath>,
}

/// The hot path's end of the log.
#[derive(Debug)]
pub struct DecisionLog {
    queue: SyncSender<Record>,
    reopen: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One decision, owned, so that the request it was made for can go.
#[derive(Debug)]
struct Record {
    time: SystemTime,
    request: AccessRequest<'static>,
    decision: Arc<Decision>,
    cached: bool,
    took: Duration,
    transport: Transport,
    request_id: Box<str>,
}

impl DecisionLog {
    /// Opens the sink and starts the thread.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread not started.
    pub fn open(settings: LogSettings, metrics: Arc<Metrics>) -> io::Result<Self> {
        let output = Output::open(&settings.sink)?;
        let (queue, records) = sync_channel(settings.queue.max(1));
        let (reopen, closing) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let writer = LogWriter {
            settings,
            output,
            metrics: metrics.clone(),
            reopen: reopen.clone(),
            closing: closing.clone(),
            lost: 0,
        };
        let thread =
            thread::Builder::new().name("palisade-decision-log".to_owned()).spawn(move || writer.run(&records))?;
        Ok(Self { queue, reopen, closing, metrics, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a decision to the thread, or drops it if the queue is full.
    pub(super) fn record(
        &self,
        request: &AccessRequest<'_>,
        decision: &Arc<Decision>,
        cached: bool,
        took: Duration,
        call: Call<'_>,
    ) {
        let record = Record {
            time: SystemTime::now(),
            // the copy outlives the body; formatting happens on the thread
            request: request.clone().into_owned(),
            decision: decision.clone(),
            cached,
            took,
            transport: call.transport,
            request_id: call.request_id.into(),
        };
        if self.queue.try_send(record).is_err() {
            self.metrics.decision_log_dropped.inc();
        }
    }

    /// Opens the file anew before the next line, as after a rotation.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Writes what waits and ends the thread.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // a panic there was logged there
            let _ = thread.join();
        }
    }
}

enum Output {
    Stdout(io::Stdout),
    File(BufWriter<File>),
}

impl Output {
    fn open(sink: &Sink) -> io::Result<Self> {
        Ok(match sink {
            Sink::Stdout => Self::Stdout(io::stdout()),
            Sink::File(path) => Self::File(BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?)),
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.lock().write_all(line),
            Self::File(file) => file.write_all(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.lock().flush(),
            Self::File(file) => file.flush(),
        }
    }
}

struct LogWriter {
    settings: LogSettings,
    output: Output,
    metrics: Arc<Metrics>,
    reopen: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    /// Records written to the buffer and not yet flushed: lost if the flush fails.
    lost: u64,
}

impl LogWriter {
    fn run(mut self, records: &Receiver<Record>) {
        let (mut told, mut tick) = (0, Instant::now());
        loop {
            match records.recv_timeout(TICK) {
                Ok(record) => {
                    self.write(&record);
                    self.drain(records);
                    self.flush();
                }
                Err(RecvTimeoutError::Timeout) if self.closing.load(Ordering::Acquire) => break,
                Err(RecvTimeoutError::Timeout) => self.reopen_if_asked(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if tick.elapsed() >= TICK {
                tick = Instant::now();
                let dropped = self.metrics.decision_log_dropped.get();
                if dropped > told {
                    events::DecisionLogDropped { count: dropped - told }.emit(&self.metrics);
                    told = dropped;
                }
            }
        }
        self.drain(records);
        self.flush();
    }

    fn drain(&mut self, records: &Receiver<Record>) {
        loop {
            match records.try_recv() {
                Ok(record) => self.write(&record),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn reopen_if_asked(&mut self) {
        if self.reopen.swap(false, Ordering::AcqRel) {
            self.flush();
            match Output::open(&self.settings.sink) {
                Ok(output) => self.output = output,
                // the old file is still open: better there than nowhere
                Err(error) => tracing::error!("cannot reopen the decision log {:?}: {error}", self.settings.sink),
            }
        }
    }

    fn write(&mut self, record: &Record) {
        self.reopen_if_asked();
        let Ok(mut line) = serde_json::to_vec(&Line::new(record, &self.settings.mask)) else {
            self.metrics.decision_log_dropped.inc();
            return;
        };
        line.push(b'\n');
        match self.output.write(&line) {
            Ok(()) => self.lost += 1,
            Err(error) => self.failed(1, &error),
        }
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.lost);
        match self.output.flush() {
            Ok(()) => self.metrics.decision_log_written.inc_by(pending),
            Err(error) => self.failed(pending, &error),
        }
    }

    fn failed(&mut self, records: u64, error: &io::Error) {
        self.metrics.decision_log_dropped.inc_by(records);
        tracing::error!("cannot write the decision log {:?}: {error}", self.settings.sink);
        // a full buffer would be tried again and again with what is already counted as lost
        if let Ok(output) = Output::open(&self.settings.sink) {
            let old = std::mem::replace(&mut self.output, output);
            if let Output::File(file) = old {
                let _ = file.into_parts();
            }
        }
    }
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    decision_id: String,
    time: String,
    revision: String,
    transport: &'a str,
    request_id: &'a str,
    principal: String,
    action: String,
    resource: String,
    context: Value<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carried_entities: Option<usize>,
    decision: &'a crate::domain::Outcome,
    reason: &'a [crate::domain::PolicyId],
    errors: &'a [crate::domain::PolicyError],
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<&'a crate::domain::DeniedBy>,
    cached: bool,
    duration_us: f64,
}

impl<'a> Line<'a> {
    fn new(record: &'a Record, mask: &[MaskPath]) -> Self {
        let request = &record.request;
        let mut context = request.context.clone();
        for path in mask {
            hide(&mut context, path.steps());
        }
        let carried = [&request.entities, &request.additional_entities];
        let carried_entities =
            carried.iter().filter_map(|v| v.as_ref()?.as_array()).map(<[_]>::len).reduce(|a, b| a + b);
        let timestamp = jiff::Timestamp::try_from(record.time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            decision_id: uuid::Uuid::now_v7().to_string(),
            time: format!("{timestamp:.6}"),
            revision: record.decision.revision.to_string(),
            transport: record.transport.as_str(),
            request_id: &record.request_id,
            principal: request.principal.to_string(),
            action: request.action.to_string(),
            resource: request.resource.to_string(),
            context,
            carried_entities,
            decision: &record.decision.outcome,
            reason: &record.decision.reasons,
            errors: &record.decision.errors,
            denied_by: record.decision.denied_by.as_ref(),
            cached: record.cached,
            duration_us: (record.took.as_nanos() as f64) / 1_000.0,
        }
    }
}

/// Replaces what the path names, whatever its type, in objects and in the objects of arrays.
fn hide(value: &mut Value<'_>, steps: &[MaskStep]) {
    let Some((step, rest)) = steps.split_first() else {
        *value = Value::String(MASKED.into());
        return;
    };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if matches!(step, MaskStep::Any) || matches!(step, MaskStep::Key(name) if *name == **key) {
                    hide(member, rest);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, steps)),
        _ => {}
    }
}
