//! The decision log: one JSON line a decision.
//!
//! A line is written once, as bytes, on the thread of its request, into a queue bounded in bytes and records; a thread of
//! its own hands batches to the sink. What finds the queue full is not even written: by `overflow` it is dropped and
//! counted, waits for room as long as the request may, or makes the decision an error. The sink makes nothing else wait.

mod line;
mod mask;
mod queue;
mod sink;
mod writer;

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::config::{ExplainMode, MaskPath, Overflow};
use crate::decide::{CheckError, why};
use crate::telemetry::{Metrics, start_thread, supervised};
pub(super) use line::{DecisionRecord, Record};
use palisade_engine::ExplainOptions;
use palisade_engine::model::{Decision, Explanation};
use queue::Queue;
pub use sink::Sink;
use sink::{Health, Output};
use writer::{LogWriter, Shared};

/// How long a sink may take nothing before that is reported.
const STUCK: Duration = Duration::from_secs(2);

/// How long the thread may take to count what is lost once its sink is given up.
const LAST_WORD: Duration = Duration::from_millis(200);

/// A larger buffer of a line is not kept.
const KEEP: usize = 64 << 10;

thread_local! {
    /// The buffer of the last line on this thread.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Where the lines go.
    pub sink: Sink,
    /// How many records may wait.
    pub queue: usize,
    /// How many bytes they may take.
    pub queue_bytes: usize,
    /// What is done where they take more.
    pub overflow: Overflow,
    /// Context attributes whose values are hidden.
    pub mask: Vec<MaskPath>,
    /// How much the lines of denials say of the reasons.
    pub explain: ExplainMode,
}

/// The outcome of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// The decision may be answered.
    Fine,
    /// It must wait for room.
    Wait,
    /// It must not be answered, since it cannot be recorded.
    Refused,
}

/// The requests' end of the log.
#[derive(Debug)]
pub struct DecisionLog {
    shared: Arc<Shared>,
    overflow: Overflow,
    mask: Vec<MaskPath>,
    explain: ExplainMode,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl DecisionLog {
    /// Opens the sink and starts the thread.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread not started.
    pub fn open(settings: LogSettings, metrics: Arc<Metrics>) -> io::Result<Self> {
        let LogSettings { sink, queue, queue_bytes, overflow, mask, explain } = settings;
        let output = Output::open(&sink)?;
        let shared = Arc::new(Shared {
            queue: Queue::new(queue_bytes, queue),
            health: Health::default(),
            reopen: AtomicBool::new(false),
            give_up: AtomicBool::new(false),
            metrics: metrics.clone(),
        });
        let mut writer = LogWriter::new(sink, output, shared.clone(), overflow != Overflow::Drop);
        let work = supervised("palisade-decision-log", metrics, move || writer.run());
        let thread = start_thread("palisade-decision-log", None, work)?;
        Ok(Self { shared, overflow, mask, explain, thread: Mutex::new(Some(thread)) })
    }

    /// Whether the line of a decision has an explanation: that of a denial, if one is wanted.
    pub(super) fn explains(&self, decision: &Decision) -> bool {
        self.explain != ExplainMode::Off && !decision.outcome.is_allow()
    }

    /// How it is explained.
    pub(super) fn options(&self) -> ExplainOptions {
        ExplainOptions {
            without_changes: self.explain == ExplainMode::Ids,
            masks: self.mask.iter().map(MaskPath::names).collect(),
            ..ExplainOptions::default()
        }
    }

    /// An explanation as JSON, or why there is none.
    pub(super) fn why(&self, explained: Result<&Explanation, &CheckError>) -> Option<String> {
        let shown = match explained {
            Ok(explained) => why::shown(self.explain, explained)?,
            Err(error) => why::without(why::unavailable(error)),
        };
        Some(shown.to_string())
    }

    /// Puts a record into the queue, if there is room.
    pub(super) fn record(&self, record: &Record<'_>) -> Recorded {
        // where no record may be lost, a record that would never be read is no ground for an answer
        if self.overflow == Overflow::Deny && self.shared.health.failing() {
            return self.missed();
        }
        match (self.offer(record), self.overflow) {
            (Offered::Taken, _) => Recorded::Fine,
            (Offered::NoRoom, Overflow::Block) => Recorded::Wait,
            _ => self.missed(),
        }
    }

    /// The same where a record may have to wait: until `deadline`.
    pub(super) async fn record_patiently(&self, record: &Record<'_>, deadline: Instant) -> Recorded {
        loop {
            let mut room = pin!(self.shared.queue.room.notified());
            // from here on no room goes unnoticed
            room.as_mut().enable();
            match self.record(record) {
                Recorded::Wait if Instant::now() < deadline => {}
                Recorded::Wait => return self.missed(),
                recorded => return recorded,
            }
            // a last look follows, whichever it was
            let _ = timeout_at(deadline.into(), room).await;
        }
    }

    /// Counts a record that was not taken.
    fn missed(&self) -> Recorded {
        self.shared.metrics.decision_log_dropped.inc();
        if self.overflow == Overflow::Drop { Recorded::Fine } else { Recorded::Refused }
    }

    fn offer(&self, record: &Record<'_>) -> Offered {
        let queue = &self.shared.queue;
        let longest = queue.longest();
        if longest == 0 {
            return Offered::NoRoom;
        }
        let mut line = LINE.take();
        line.clear();
        let offered = match line::write(&mut line, longest, record, &self.mask) {
            Ok(()) if queue.push(&mut line) => Offered::Taken,
            Err(_) if longest >= queue.max_bytes() => Offered::TooLong,
            _ => Offered::NoRoom,
        };
        if line.capacity() <= KEEP {
            LINE.set(line);
        }
        offered
    }

    /// Opens the file again before the next line, as after a rotation.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.shared.queue.nudge();
    }

    /// Whether records are not taken at the moment: the sink fails, or stands still.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.health.failing() || self.stuck().is_some()
    }

    /// What is wrong with it, for the operator.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let stuck =
            || self.stuck().map(|since| format!("the decision log's sink has taken nothing for {} s", since.as_secs()));
        self.shared.health.problem().or_else(stuck)
    }

    fn stuck(&self) -> Option<Duration> {
        self.shared.queue.stuck().filter(|since| *since >= STUCK)
    }

    /// Memory of records that are not written yet.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.shared.queue.bytes()
    }

    /// How full the queue is, from 0 to 1: by memory or by records, whichever is nearer to its bound.
    #[must_use]
    pub fn queue_ratio(&self) -> f64 {
        self.shared.queue.fullness()
    }

    /// Writes what waits and ends the thread, until `deadline` at most. A sink that takes nothing for as long as
    /// `patience` is given up before. What is not written then is counted as lost.
    pub fn close(&self, patience: Duration, deadline: Instant) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let (mut left, mut since) = (self.shared.queue.bytes(), Instant::now());
        while !thread.is_finished() {
            let (now, bytes) = (Instant::now(), self.shared.queue.bytes());
            if bytes < left {
                (left, since) = (bytes, now);
            }
            if now >= deadline || now - since >= patience {
                let dropped = &self.shared.metrics.decision_log_dropped;
                let before = dropped.get();
                self.shared.give_up.store(true, Ordering::Release);
                let mut lost = self.shared.queue.records() as u64;
                // it counts what is lost itself, unless it is stuck
                while !thread.is_finished() && now.elapsed() < LAST_WORD {
                    thread::sleep(Duration::from_millis(2));
                }
                if thread.is_finished() {
                    lost = dropped.get() - before;
                } else {
                    dropped.inc_by(lost);
                }
                if lost > 0 {
                    tracing::warn!(lost, "the decision log's sink takes nothing; what waits for it is lost");
                }
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // a panic there was logged there
        let _ = thread.join();
    }
}

impl Drop for DecisionLog {
    fn drop(&mut self) {
        // the thread writes what waits and ends
        self.shared.queue.close();
    }
}

/// The outcome of a record before the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    Taken,
    NoRoom,
    /// It would not even fit an empty queue.
    TooLong,
}
