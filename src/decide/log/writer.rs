//! The thread that writes the lines: in batches, so that requests need not wake it, and without any lock.
//!
//! It knows what arrived. What a sink did not take is lost and counted, or kept for later where nothing may be lost;
//! a file without a name any more has taken nothing.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::decide::log::queue::{Chunk, Queue};
use crate::decide::log::sink::{Health, Output, Sink};
use crate::telemetry::{Metrics, events};

/// How often the thread looks whether the file must be opened again, tries a sink that failed, and speaks of drops.
const TICK: Duration = Duration::from_millis(250);

/// How long the thread rests when it has written all there was, unless there is enough to write. A decision wakes it
/// only from a longer rest: to wake it for each decision would cost more than the decision. Each time it may take the
/// core of one request, so it comes so seldom that fewer than 1 of 100 meet it: their p99 is that without a log.
const REST: Duration = Duration::from_millis(20);

/// How long the thread waits before it tries a sink again.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a failing sink is spoken of.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// What the thread shares with those who ask it for something.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) health: Health,
    /// The file is to be opened again.
    pub(super) reopen: AtomicBool,
    /// A sink that takes nothing is not waited for any longer.
    pub(super) give_up: AtomicBool,
    pub(super) metrics: Arc<Metrics>,
}

/// Why the sink takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Its file was deleted, and another cannot be made.
    Deleted,
    /// Its pipe was removed, and is not there again.
    Gone,
    /// Its pipe has no reader.
    Unattended,
    /// Writing fails.
    Write,
}

pub(super) struct LogWriter {
    pub(super) sink: Sink,
    pub(super) output: Output,
    pub(super) shared: Arc<Shared>,
    /// What the sink does not take is kept, not lost.
    pub(super) keep: bool,
    /// What was taken from the queue and is not written.
    pub(super) batch: VecDeque<Chunk>,
    /// What the pipe before this one held unread, in whole lines. It was counted as written.
    carried: VecDeque<u8>,
    /// A chunk is being written.
    pub(super) in_hand: bool,
    state: State,
}

/// What came of handing a chunk to the sink.
enum Written {
    /// It has all of it.
    Whole,
    /// The path leads to another file or pipe now.
    Astray,
    /// It is a pipe without a reader.
    Unattended,
    /// It did not take the rest.
    Not(io::Error),
}

#[derive(Default)]
struct State {
    /// The sink holds the beginning of a line whose rest it did not take.
    torn: bool,
    failure: Option<Failure>,
    /// What is written has another name by now, and there is no file of the sink's name.
    moved: bool,
    /// Records that the sink did not take.
    failed: u64,
    /// The same since it began to fail.
    failed_now: u64,
    /// Records that found the queue full and were reported.
    told: u64,
    /// When a failure of the sink was last reported.
    failure_told: Option<Instant>,
}

impl LogWriter {
    pub(super) fn new(sink: Sink, output: Output, shared: Arc<Shared>, keep: bool) -> Self {
        let state = State { torn: output.torn, ..State::default() };
        Self { sink, output, shared, keep, batch: VecDeque::new(), carried: VecDeque::new(), in_hand: false, state }
    }

    pub(super) fn run(&mut self) {
        self.mend();
        let mut tick = Instant::now();
        let mut tried = None;
        loop {
            // while the sink fails, what is kept stays in hand, and what comes fills the queue
            let closed = if self.batch.is_empty() {
                let taken = self.shared.queue.take(TICK);
                self.batch = taken.chunks;
                taken.closed
            } else {
                self.shared.queue.is_closed()
            };
            if tick.elapsed() >= TICK {
                tick = Instant::now();
                self.look_after_the_file();
                self.tell_drops();
            } else if self.shared.reopen.load(Ordering::Acquire) {
                self.look_after_the_file();
            }
            let due = closed || tried.is_none_or(|at: Instant| at.elapsed() >= TICK);
            if !self.batch.is_empty() && due {
                self.write_batch();
                tried = self.state.failure.filter(|_| !self.batch.is_empty()).map(|_| Instant::now());
            }
            self.shared.queue.settled();
            if closed {
                break;
            }
            if self.batch.is_empty() {
                self.shared.queue.rest(REST);
            } else {
                // however much waits, the sink is tried again in a moment and not before
                thread::sleep(PAUSE);
            }
        }
        self.wait_for_a_reader();
        // the last tries are over
        let rest = self.shared.queue.take(Duration::ZERO).chunks;
        self.batch.extend(rest);
        if self.state.failure.is_none() || !self.keep {
            self.write_batch();
        }
        while !self.batch.is_empty() {
            self.lose_front();
        }
        self.lose_unread();
        self.tell_drops();
    }

    /// At the end, waits until a pipe is read, as long as it may: what it holds then ends with the process.
    fn wait_for_a_reader(&mut self) {
        let waits = |it: &Self| !it.batch.is_empty() || it.output.holds_unread();
        while self.output.is_pipe()
            && waits(self)
            && self.output.is_unattended()
            && !self.shared.give_up.load(Ordering::Acquire)
        {
            thread::sleep(PAUSE);
        }
        if self.state.failure == Some(Failure::Unattended) && !self.output.is_unattended() {
            self.write_batch();
        }
    }

    /// Counts what a pipe without a reader holds as lost, though it was counted as written.
    fn lose_unread(&mut self) {
        if !self.output.is_unattended() {
            return;
        }
        let lost = memchr::memchr_iter(b'\n', &self.output.unread()).count() as u64;
        if lost > 0 {
            self.state.failed += lost;
            self.shared.metrics.decision_log_dropped.inc_by(lost);
            tracing::warn!(lost, "no process reads the decision log {}; unread records are lost", self.sink);
        }
    }

    /// Lets go of what a panic left half done, so that it does not cause the next.
    pub(super) fn mend(&mut self) {
        if std::mem::take(&mut self.in_hand) {
            self.lose_front();
        }
    }

    fn write_batch(&mut self) {
        self.shared.queue.writes();
        if self.output.is_astray() {
            self.reopen();
        }
        while let Some(chunk) = self.batch.front_mut() {
            if matches!(self.state.failure, Some(Failure::Deleted | Failure::Gone)) {
                if !self.lose_unless_kept() {
                    return;
                }
                continue;
            }
            if self.output.is_cut() {
                // the beginning of the line, if the sink had it, is elsewhere now
                chunk.rewind_to_line_start();
                self.state.torn = false;
            }
            let (start, before) = (chunk.taken, chunk.records_left());
            self.in_hand = true;
            let written = self.write_front();
            self.in_hand = false;
            let deleted = self.output.is_deleted() && !self.output.is_pipe();
            let Some(chunk) = self.batch.front_mut() else { return };
            if deleted {
                // what was just written is nowhere: the next file gets it, or none
                chunk.taken = start;
                chunk.rewind_to_line_start();
                self.reopen();
                continue;
            }
            self.shared.metrics.decision_log_written.inc_by(before - chunk.records_left());
            match written {
                Written::Astray => self.reopen(),
                Written::Whole => {
                    if self.state.failure.is_some() {
                        self.recovered();
                    }
                    if let Some(chunk) = self.batch.pop_front() {
                        self.shared.queue.done(chunk);
                    }
                }
                Written::Unattended => {
                    if !self.output.holds_unread() {
                        // the next reader gets the line whole
                        chunk.rewind_to_line_start();
                    }
                    self.fails(Failure::Unattended, &io::ErrorKind::BrokenPipe.into());
                    return;
                }
                Written::Not(error) => {
                    self.fails(Failure::Write, &error);
                    if !self.lose_unless_kept() {
                        return;
                    }
                }
            }
        }
    }

    /// Loses the first chunk, or says that it is kept.
    fn lose_unless_kept(&mut self) -> bool {
        if self.keep {
            return false;
        }
        self.lose_front();
        true
    }

    /// Counts what is left of the first chunk as lost.
    fn lose_front(&mut self) {
        let Some(chunk) = self.batch.pop_front() else { return };
        self.state.torn |= chunk.ends_within_a_line();
        let lost = chunk.records_left();
        self.state.failed += lost;
        self.state.failed_now += lost;
        self.shared.metrics.decision_log_dropped.inc_by(lost);
        self.shared.queue.done(chunk);
    }

    /// Hands the first chunk to the sink, after what was carried from another.
    fn write_front(&mut self) -> Written {
        let Some(chunk) = self.batch.front_mut() else { return Written::Whole };
        let mut looked = Instant::now();
        loop {
            let rest = chunk.bytes.get(chunk.taken..).unwrap_or_default();
            let carried = self.carried.as_slices().0;
            // the end of a line that broke off, so that the next stands alone
            let bytes = match (self.state.torn, carried.is_empty()) {
                (true, _) => b"\n",
                (false, false) => carried,
                (false, true) => rest,
            };
            if bytes.is_empty() {
                return Written::Whole;
            }
            match self.output.write(bytes) {
                Ok(_) if self.state.torn => self.state.torn = false,
                Ok(n) if !carried.is_empty() => drop(self.carried.drain(..n)),
                Ok(n) => chunk.taken += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.output.is_pipe() => {
                    return Written::Unattended;
                }
                // the pipe is full, not broken; unless another has taken its place
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && !self.shared.give_up.load(Ordering::Acquire) =>
                {
                    if looked.elapsed() >= TICK {
                        looked = Instant::now();
                        if self.output.is_astray() {
                            return Written::Astray;
                        }
                        if self.output.is_pipe() && self.output.is_unattended() {
                            return Written::Unattended;
                        }
                    }
                    thread::sleep(PAUSE);
                }
                Err(error) => return Written::Not(error),
            }
        }
    }

    // ---- The file

    /// Opens the file again where that was asked for, where it is not the one that its path names, and where it fails.
    fn look_after_the_file(&mut self) {
        let asked = self.shared.reopen.swap(false, Ordering::AcqRel);
        if self.state.moved && !self.output.is_astray() {
            // what is written on is where its name leads again
            self.state.moved = false;
            if self.state.failure.is_none() {
                self.recovered();
            }
        }
        if self.output.is_pipe() && !self.output.is_astray() {
            self.look_after_the_reader();
        }
        let attends = matches!(self.state.failure, None | Some(Failure::Unattended));
        if self.output.is_pipe() && !self.output.is_astray() && attends {
            // it is the one that its name leads to, and a reader may have it open
            return;
        }
        if asked && self.output.is_pipe_gone() {
            // the operator who asks wants to read again, if only from a file
            self.open_again();
        } else if asked || self.state.failure.is_some() || self.output.is_astray() {
            self.reopen();
        }
    }

    /// Notices that the last reader of a pipe has left, or that one has come.
    fn look_after_the_reader(&mut self) {
        match (self.state.failure, self.output.is_unattended()) {
            (None, true) => self.fails(Failure::Unattended, &io::ErrorKind::BrokenPipe.into()),
            (Some(Failure::Unattended), false) => self.recovered(),
            _ => {}
        }
    }

    fn reopen(&mut self) {
        if self.sink == Sink::Stdout {
            return;
        }
        if self.output.is_pipe_gone() {
            self.fails(Failure::Gone, &io::ErrorKind::NotFound.into());
            return;
        }
        self.open_again();
    }

    fn open_again(&mut self) {
        match Output::open(&self.sink) {
            Ok(output) => {
                // of what a pipe held unread nothing is lost, even though it counts as written
                let unread = self.output.unread();
                self.carry(unread);
                self.state.torn = output.torn;
                self.output = output;
                if let Some(chunk) = self.batch.front_mut() {
                    // the file that is open now has no part of the line, or a part that nothing can complete
                    chunk.rewind_to_line_start();
                }
                let moved = std::mem::take(&mut self.state.moved);
                // whether one that failed takes something is seen when it does
                if matches!(self.state.failure, Some(Failure::Deleted | Failure::Gone | Failure::Unattended))
                    || (moved && self.state.failure.is_none())
                {
                    self.recovered();
                }
            }
            Err(error) if self.output.is_deleted() => self.fails(Failure::Deleted, &error),
            // the old file is still open, and somewhere: better there than nowhere
            Err(error) if self.state.failure.is_none() => {
                let problem = format!("the decision log {} cannot be opened again: {error}", self.sink);
                self.tell(&format!("{problem}; the file that is open is still written to"));
                self.state.moved = true;
                self.shared
                    .health
                    .set(false, Some(format!("{problem}; the file that was moved away is still written to")));
            }
            Err(_) => {}
        }
    }

    /// Takes what the pipe before held. Its last line may be one that was being written: if that is of what was carried
    /// already, the rest stands there; if not, the chunk in hand writes it again.
    fn carry(&mut self, mut unread: Vec<u8>) {
        if self.carried.is_empty() {
            let whole = memchr::memrchr(b'\n', &unread).map_or(0, |at| at + 1);
            unread.truncate(whole);
        }
        unread.extend(std::mem::take(&mut self.carried));
        self.carried = unread.into();
    }

    // ---- What is reported

    fn fails(&mut self, failure: Failure, error: &io::Error) {
        let verb = match failure {
            Failure::Deleted => "was deleted and cannot be made again",
            Failure::Gone => "is a pipe that was removed: make it again, or send SIGUSR1 for a file in its place",
            Failure::Unattended => "is a pipe that no process reads: start its reader",
            Failure::Write => "cannot be written",
        };
        let mut problem = format!("the decision log {} {verb}", self.sink);
        if failure != Failure::Unattended {
            problem = format!("{problem}: {error}");
        }
        if self.state.failure != Some(failure) {
            self.state.failure = Some(failure);
            let fate = match failure {
                Failure::Unattended => "records wait for a reader, as many as there is room for",
                _ if self.keep => "records are kept until it can",
                _ => "records are lost until it can",
            };
            self.shared.health.set(true, Some(format!("{problem}; {fate}")));
        }
        self.tell(&problem);
    }

    fn tell(&mut self, problem: &str) {
        if self.state.failure_told.is_none_or(|at| at.elapsed() >= FAILURE_PAUSE) {
            self.state.failure_told = Some(Instant::now());
            tracing::error!("{problem}");
        }
    }

    /// Notes that the sink takes records again.
    fn recovered(&mut self) {
        self.state.failure = None;
        self.state.failure_told = None;
        let lost = std::mem::take(&mut self.state.failed_now);
        tracing::info!(lost, "the decision log {} takes records again", self.sink);
        self.shared.health.set(false, None);
    }

    /// What the sink did not take is reported where it failed; this reports what found the queue full.
    fn tell_drops(&mut self) {
        let dropped = self.shared.metrics.decision_log_dropped.get().saturating_sub(self.state.failed);
        if dropped > self.state.told {
            events::DecisionLogDropped { count: dropped - self.state.told }.emit(&self.shared.metrics);
            self.state.told = dropped;
        }
    }
}
