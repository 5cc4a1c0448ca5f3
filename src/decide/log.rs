//! The decision log: one JSON line a decision, written by a thread of its own.
//!
//! It never makes a decision wait. What finds the queue full is dropped and counted, and so is what the
//! sink could not take.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::config::{MaskPath, MaskStep};
use crate::decide::Call;
use crate::decide::unasked::{UnaskedLine, UnaskedRecord};
use crate::domain::{AccessRequest, Decision, DeniedBy, Outcome, PolicyError, PolicyId, Value};
use crate::telemetry::{Metrics, Transport, events, fresh_id, supervised};

/// How often the thread looks whether the file must be opened again, and how often it speaks of drops.
const TICK: Duration = Duration::from_millis(250);

/// How long the thread pauses when it has written all there was, unless the queue would be full by then. Whoever
/// decides wakes it only from a longer rest: to wake it for each decision would cost more than the decision.
const PAUSE: Duration = Duration::from_millis(5);

/// What a place in the queue is worth of a pause: decisions do not come faster.
const PER_PLACE: Duration = Duration::from_micros(1);

/// How often a failing sink is spoken of.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// How many bytes go to the sink at once, about.
const BUFFER_BYTES: usize = 64 << 10;

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

/// What becomes a line: owned, so that the request it was made for can go.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "decisions are the many: they must not cost an allocation more")]
enum Record {
    Decision(DecisionRecord),
    Unasked(Box<UnaskedRecord>),
}

/// One decision.
#[derive(Debug)]
struct DecisionRecord {
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
        let mut writer = LogWriter {
            settings,
            output,
            metrics: metrics.clone(),
            reopen: reopen.clone(),
            closing: closing.clone(),
            buffer: Vec::new(),
            in_hand: false,
            torn: false,
            failed: 0,
            told: 0,
            failure_told: None,
        };
        let work = supervised("palisade-decision-log", metrics.clone(), move || writer.run(&records));
        let thread = thread::Builder::new().name("palisade-decision-log".to_owned()).spawn(work)?;
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
        self.hand_over(Record::Decision(DecisionRecord {
            time: SystemTime::now(),
            // the copy outlives the body; formatting happens on the thread
            request: request.clone().into_owned(),
            decision: decision.clone(),
            cached,
            took,
            transport: call.transport,
            request_id: call.request_id.into(),
        }));
    }

    /// Hands a request that no policy was asked about to the thread, or drops it if the queue is full.
    pub(super) fn record_unasked(&self, record: UnaskedRecord) {
        self.hand_over(Record::Unasked(Box::new(record)));
    }

    fn hand_over(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.metrics.decision_log_dropped.inc();
        }
    }

    /// Opens the file again before the next line, as after a rotation.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Writes what waits and ends the thread. A sink that takes nothing is given up after `patience`.
    pub fn close(&self, patience: Duration) {
        self.closing.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let deadline = Instant::now() + patience;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::warn!("the decision log's sink takes nothing; what waits for it is lost");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // a panic there was logged there
        let _ = thread.join();
    }
}

/// Where the lines go, open. Standard output is a handle of its own: the lock of `io::stdout()` would be held for as
/// long as a write is stuck, and the process could not end.
struct Output {
    file: File,
    /// The path of an ordinary file, which may be moved or deleted while it is open.
    path: Option<PathBuf>,
}

impl Output {
    fn open(sink: &Sink) -> io::Result<Self> {
        match sink {
            Sink::Stdout => Ok(Self { file: File::from(io::stdout().as_fd().try_clone_to_owned()?), path: None }),
            Sink::File(path) => {
                // for reading too: without a reader a pipe would not open, and with its last one it would end
                let pipe = std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo());
                let file = OpenOptions::new().create(true).append(true).read(pipe).open(path)?;
                let ordinary = file.metadata()?.is_file();
                Ok(Self { file, path: ordinary.then(|| path.clone()) })
            }
        }
    }

    /// Whether its path leads elsewhere, or nowhere: then what is written here is not found.
    fn is_astray(&self) -> bool {
        let here = |path: &Path| {
            let (open, named) = (self.file.metadata().ok()?, std::fs::metadata(path).ok()?);
            Some((open.dev(), open.ino()) == (named.dev(), named.ino()))
        };
        self.path.as_deref().is_some_and(|path| here(path) != Some(true))
    }
}

struct LogWriter {
    settings: LogSettings,
    output: Output,
    metrics: Arc<Metrics>,
    reopen: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    /// Lines on their way to the sink, each with its end.
    buffer: Vec<u8>,
    /// A record is being written into the buffer.
    in_hand: bool,
    /// The sink holds the beginning of a line whose rest it did not take.
    torn: bool,
    /// Records that the sink did not take.
    failed: u64,
    /// Records that found the queue full, as far as that was told.
    told: u64,
    /// When a failure of the sink was last told.
    failure_told: Option<Instant>,
}

impl LogWriter {
    fn run(&mut self, records: &Receiver<Record>) {
        self.mend();
        let mut tick = Instant::now();
        let pause = PAUSE.min(PER_PLACE * u32::try_from(self.settings.queue / 2).unwrap_or(u32::MAX));
        loop {
            match records.recv_timeout(TICK) {
                Ok(record) => {
                    self.write(&record);
                    self.drain(records);
                    self.flush();
                    thread::sleep(pause);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if tick.elapsed() >= TICK {
                tick = Instant::now();
                if self.output.is_astray() {
                    self.reopen.store(true, Ordering::Release);
                }
                self.reopen_if_asked();
                self.tell_drops();
            }
            if self.closing.load(Ordering::Acquire) {
                break;
            }
        }
        self.drain(records);
        self.flush();
        self.tell_drops();
    }

    /// Takes away what a panic left of a record, and counts it as dropped.
    fn mend(&mut self) {
        if std::mem::take(&mut self.in_hand) {
            let whole = self.buffer.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            self.buffer.truncate(whole);
            self.metrics.decision_log_dropped.inc();
        }
    }

    /// Writes what waits, but no more than the queue holds: records that come all the while must not keep the thread
    /// from what it does besides.
    fn drain(&mut self, records: &Receiver<Record>) {
        for _ in 0..=self.settings.queue {
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
                Ok(output) => {
                    self.output = output;
                    self.torn = false;
                }
                // the old file is still open: better there than nowhere
                Err(error) => {
                    self.tell_failure(|sink| tracing::error!("cannot reopen the decision log {sink:?}: {error}"))
                }
            }
        }
    }

    fn write(&mut self, record: &Record) {
        self.reopen_if_asked();
        let before = self.buffer.len();
        self.in_hand = true;
        let written = match record {
            Record::Decision(record) => {
                serde_json::to_writer(&mut self.buffer, &Line::new(record, &self.settings.mask))
            }
            Record::Unasked(record) => serde_json::to_writer(&mut self.buffer, &UnaskedLine::new(record)),
        };
        self.in_hand = false;
        if written.is_err() {
            self.buffer.truncate(before);
            self.metrics.decision_log_dropped.inc();
            return;
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Hands the buffer to the sink. What the sink does not take is dropped and counted, line by line.
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let mut taken = 0;
        let failure = loop {
            if taken == self.buffer.len() {
                break self.output.file.flush().err();
            }
            // the end of a line that broke off, so that the next stands alone
            if self.torn {
                match self.output.file.write(b"\n") {
                    Ok(1) => self.torn = false,
                    Ok(_) => break Some(io::ErrorKind::WriteZero.into()),
                    Err(error) if self.may_retry(&error) => {}
                    Err(error) => break Some(error),
                }
                continue;
            }
            match self.output.file.write(&self.buffer[taken..]) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(n) => taken += n,
                Err(error) if self.may_retry(&error) => {}
                Err(error) => break Some(error),
            }
        };
        let lines = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'\n').count() as u64;
        self.metrics.decision_log_written.inc_by(lines(&self.buffer[..taken]));
        if let Some(error) = failure {
            let lost = lines(&self.buffer[taken..]);
            self.failed += lost;
            self.metrics.decision_log_dropped.inc_by(lost);
            self.torn |= taken > 0 && self.buffer[taken - 1] != b'\n';
            self.tell_failure(|sink| tracing::error!("cannot write the decision log {sink:?}: {error}"));
        }
        self.buffer.clear();
    }

    /// What the sink did not take is told where it failed; this tells what found the queue full.
    fn tell_drops(&mut self) {
        let dropped = self.metrics.decision_log_dropped.get().saturating_sub(self.failed);
        if dropped > self.told {
            events::DecisionLogDropped { count: dropped - self.told }.emit(&self.metrics);
            self.told = dropped;
        }
    }

    fn tell_failure(&mut self, tell: impl FnOnce(&Sink)) {
        if self.failure_told.is_none_or(|at| at.elapsed() >= FAILURE_PAUSE) {
            self.failure_told = Some(Instant::now());
            tell(&self.settings.sink);
        }
    }

    /// Waits a little where the sink is full and says so instead of blocking, unless the process ends.
    fn may_retry(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::Interrupted => true,
            io::ErrorKind::WouldBlock if !self.closing.load(Ordering::Acquire) => {
                thread::sleep(PAUSE);
                true
            }
            _ => false,
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
    decision: &'a Outcome,
    reason: &'a [PolicyId],
    errors: Cow<'a, [PolicyError]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<Cow<'a, DeniedBy>>,
    cached: bool,
    duration_us: f64,
}

impl<'a> Line<'a> {
    fn new(record: &'a DecisionRecord, mask: &[MaskPath]) -> Self {
        let (request, decision) = (&record.request, &record.decision);
        let mut context = request.context.clone();
        let mut hidden = Vec::new();
        for path in mask {
            hide(&mut context, path.steps(), &mut hidden);
        }
        // longest first: one may be a part of another
        hidden.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        let carried = [&request.entities, &request.additional_entities];
        let carried_entities =
            carried.iter().filter_map(|v| v.as_ref()?.as_array()).map(<[_]>::len).reduce(|a, b| a + b);
        let timestamp = jiff::Timestamp::try_from(record.time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            decision_id: fresh_id().to_string(),
            time: format!("{timestamp:.6}"),
            revision: decision.revision.to_string(),
            transport: record.transport.as_str(),
            request_id: &record.request_id,
            principal: request.principal.to_string(),
            action: request.action.to_string(),
            resource: request.resource.to_string(),
            context,
            carried_entities,
            decision: &decision.outcome,
            reason: &decision.reasons,
            errors: unquoted_errors(&decision.errors, &hidden),
            denied_by: decision.denied_by.as_ref().map(|rule| unquoted_rule(rule, &hidden)),
            cached: record.cached,
            duration_us: (record.took.as_nanos() as f64) / 1_000.0,
        }
    }
}

/// Replaces what the path names, whatever its type, in objects and in the objects of arrays. The texts
/// that were hidden go to `hidden`.
fn hide(value: &mut Value<'_>, steps: &[MaskStep], hidden: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else {
        texts(value, hidden);
        *value = Value::String(MASKED.into());
        return;
    };
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if matches!(step, MaskStep::Any) || matches!(step, MaskStep::Key(name) if *name == **key) {
                    hide(member, rest, hidden);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, steps, hidden)),
        _ => {}
    }
}

/// The texts within a value, as a message may quote them. What is shorter than a secret is no secret.
fn texts(value: &Value<'_>, into: &mut Vec<String>) {
    const LEAST: usize = 4;
    match value {
        Value::String(text) if text.len() >= LEAST && text != MASKED => {
            into.push(text.to_string());
            let escaped = text.escape_debug().to_string();
            if escaped != **text {
                into.push(escaped);
            }
        }
        Value::Long(n) => {
            let text = n.to_string();
            if text.len() >= LEAST {
                into.push(text);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| texts(element, into)),
        Value::Object(members) => members.iter().for_each(|(_, member)| texts(member, into)),
        _ => {}
    }
}

/// Messages quote values: a masked one must not be told that way.
fn unquoted_errors<'a>(errors: &'a [PolicyError], hidden: &[String]) -> Cow<'a, [PolicyError]> {
    let quoted = |error: &PolicyError| hidden.iter().any(|text| error.message.contains(text.as_str()));
    if !errors.iter().any(quoted) {
        return Cow::Borrowed(errors);
    }
    errors
        .iter()
        .map(|error| PolicyError {
            policy_id: error.policy_id.clone(),
            message: unquoted(&error.message, hidden).into(),
        })
        .collect()
}

fn unquoted_rule<'a>(rule: &'a DeniedBy, hidden: &[String]) -> Cow<'a, DeniedBy> {
    match rule {
        DeniedBy::UnknownEntity { entity } if hidden.iter().any(|text| entity.contains(text.as_str())) => {
            Cow::Owned(DeniedBy::UnknownEntity { entity: unquoted(entity, hidden) })
        }
        _ => Cow::Borrowed(rule),
    }
}

fn unquoted(text: &str, hidden: &[String]) -> String {
    hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_left_of_a_record_is_no_line() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut writer = LogWriter {
            settings: LogSettings { sink: Sink::Stdout, queue: 1, mask: Vec::new() },
            output: Output::open(&Sink::Stdout).unwrap(),
            metrics: metrics.clone(),
            reopen: Arc::default(),
            closing: Arc::default(),
            buffer: b"{}\n{\"half".to_vec(),
            in_hand: true,
            torn: false,
            failed: 0,
            told: 0,
            failure_told: None,
        };
        for _ in 0..2 {
            writer.mend();
            assert_eq!((writer.buffer.as_slice(), metrics.decision_log_dropped.get()), (&b"{}\n"[..], 1));
        }
    }
}
