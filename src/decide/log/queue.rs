//! What waits for the sink: whole lines as bytes, bounded by the memory that they take.
//!
//! Lines lie in chunks, so that a queue that grows copies nothing and a bound of so many bytes is one of memory. What
//! the writer has taken and not written counts until it is written: a sink that takes nothing holds the bound and no
//! more. The lock is held for one copy of a line, never while the sink is written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Memory of a chunk. A line of a quarter of it or more is a chunk of its own and is moved, not copied.
const CHUNK: usize = 64 << 10;

/// With more chunks than this the writer does not rest. To write so many takes some 40 us, which requests that wait for a
/// core hardly notice; what gathers in a whole rest at full load would take a core for ten times as long, and that is
/// their p99.
const FEW_CHUNKS: usize = 2;

/// Lines on their way to the sink.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// How much of it the sink has taken.
    pub(super) taken: usize,
    records: usize,
    /// What it takes of the bound.
    weight: usize,
}

impl Chunk {
    /// Whole lines that the sink has not taken.
    pub(super) fn records_left(&self) -> u64 {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        memchr::memchr_iter(b'\n', rest).count() as u64
    }

    /// Whether the sink has taken a part of a line.
    pub(super) fn ends_within_a_line(&self) -> bool {
        self.taken > 0 && self.bytes.get(self.taken - 1) != Some(&b'\n')
    }

    /// Goes back to the beginning of the line that the sink has taken a part of.
    pub(super) fn rewind_to_line_start(&mut self) {
        let taken = self.bytes.get(..self.taken).unwrap_or_default();
        self.taken = memchr::memrchr(b'\n', taken).map_or(0, |at| at + 1);
    }
}

/// The queue. Any thread puts in, one takes out.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer.
    wake: Condvar,
    /// Wakes those who wait for room: there may be some.
    pub(super) room: Notify,
    /// The longest line that would fit, as it was when the queue last changed.
    longest: AtomicUsize,
    max_bytes: usize,
    max_records: usize,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Records here and in the writer's hands.
    records: usize,
    /// Memory of the same.
    bytes: usize,
    /// The writer rests until there is something to write.
    idle: bool,
    /// The writer was asked not to rest any longer.
    hurry: bool,
    closed: bool,
    /// Since when the writer waits for the sink to take a chunk.
    writing: Option<Instant>,
}

/// What the writer was woken for.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) chunks: VecDeque<Chunk>,
    /// Nothing more will come.
    pub(super) closed: bool,
}

impl Queue {
    pub(super) fn new(max_bytes: usize, max_records: usize) -> Self {
        let queue = Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            room: Notify::new(),
            longest: AtomicUsize::new(0),
            max_bytes,
            max_records: max_records.max(1),
        };
        queue.measure(&queue.lock());
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // nothing in here panics half way
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest line that may fit now, its end included. Not exact while others put in and take out.
    pub(super) fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }

    /// The longest line that an empty queue takes.
    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Memory of what is not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// How many records are not written yet.
    pub(super) fn records(&self) -> usize {
        self.lock().records
    }

    /// How full it is, from 0 to 1, by the bound that is nearer.
    pub(super) fn fullness(&self) -> f64 {
        let (bytes, records) = {
            let state = self.lock();
            (state.bytes, state.records)
        };
        let part = |of: usize, all: usize| of as f64 / all.max(1) as f64;
        part(bytes, self.max_bytes).max(part(records, self.max_records))
    }

    /// For how long the sink has taken nothing of what it was given.
    pub(super) fn stuck(&self) -> Option<Duration> {
        self.lock().writing.map(|since| since.elapsed())
    }

    /// Puts a line in, its end included, and leaves `line` empty. False if there is no room: then nothing was done.
    pub(super) fn push(&self, line: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        if state.closed || state.records >= self.max_records || !self.place(&mut state, line) {
            return false;
        }
        state.records += 1;
        self.measure(&state);
        let half_full = state.bytes > self.max_bytes / 2 || state.records > self.max_records / 2;
        let enough = half_full || state.chunks.len() > FEW_CHUNKS;
        let wake = state.idle || (enough && !state.hurry);
        state.hurry |= enough;
        state.idle = false;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        true
    }

    fn place(&self, state: &mut State, line: &mut Vec<u8>) -> bool {
        if let Some(last) = state.chunks.back_mut()
            && last.bytes.capacity() - last.bytes.len() >= line.len()
        {
            last.bytes.append(line);
            last.records += 1;
            return true;
        }
        let room = self.max_bytes.saturating_sub(state.bytes);
        if line.len() > room {
            return false;
        }
        let bytes = if line.len() >= CHUNK / 4 {
            line.shrink_to_fit();
            std::mem::take(line)
        } else {
            let mut bytes = Vec::with_capacity(CHUNK.min(room));
            bytes.append(line);
            bytes
        };
        let weight = bytes.capacity();
        state.bytes += weight;
        state.chunks.push_back(Chunk { bytes, taken: 0, records: 1, weight });
        true
    }

    /// Notes the longest line that would fit.
    fn measure(&self, state: &State) {
        let longest = if state.closed || state.records >= self.max_records {
            0
        } else {
            let spare = state.chunks.back().map_or(0, |last| last.bytes.capacity() - last.bytes.len());
            spare.max(self.max_bytes.saturating_sub(state.bytes))
        };
        self.longest.store(longest, Ordering::Relaxed);
    }

    /// Takes what there is, or waits for it, but no longer than `patience`.
    pub(super) fn take(&self, patience: Duration) -> Taken {
        let mut state = self.lock();
        if state.chunks.is_empty() && !state.closed {
            state.idle = true;
            state = self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            state.idle = false;
        }
        state.hurry = false;
        let chunks = std::mem::take(&mut state.chunks);
        self.measure(&state);
        Taken { chunks, closed: state.closed }
    }

    /// Whether nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Rests for `pause`, less if there is enough to write or the queue ends.
    pub(super) fn rest(&self, pause: Duration) {
        let state = self.lock();
        if !state.hurry && !state.closed {
            drop(self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Wakes the writer.
    pub(super) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Gives back the place of a chunk that was written or lost.
    pub(super) fn done(&self, chunk: Chunk) {
        let Chunk { bytes, records, weight, .. } = chunk;
        // its memory goes before its place is given to another
        drop(bytes);
        let mut state = self.lock();
        state.records = state.records.saturating_sub(records);
        state.bytes = state.bytes.saturating_sub(weight);
        state.writing = Some(Instant::now());
        self.measure(&state);
        drop(state);
        self.room.notify_waiters();
    }

    /// Says that the writer begins to wait for the sink.
    pub(super) fn writes(&self) {
        self.lock().writing = Some(Instant::now());
    }

    /// Says that the writer does not wait for the sink at the moment.
    pub(super) fn settled(&self) {
        self.lock().writing = None;
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.measure(&state);
        drop(state);
        self.wake.notify_one();
        self.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: usize) -> Vec<u8> {
        let mut line = Vec::with_capacity(2 * length);
        line.resize(length - 1, b'x');
        line.push(b'\n');
        line
    }

    #[test]
    fn memory_is_bounded_whatever_the_lines_are() {
        const MIB: usize = 1 << 20;
        for (length, max_bytes, max_records, least) in [
            (100, MIB, usize::MAX, 9_000),
            (100, MIB, 7, 7),
            (20_000, MIB, usize::MAX, 52),
            (CHUNK, MIB, usize::MAX, 16),
            (MIB, MIB, usize::MAX, 1),
            (MIB + 1, MIB, usize::MAX, 0),
            // smaller than a chunk
            (100, 1_000, usize::MAX, 2),
            (1_000_000, 64 * MIB, usize::MAX, 67),
        ] {
            let queue = Queue::new(max_bytes, max_records);
            let mut held = VecDeque::new();
            let mut pushed = 0;
            loop {
                // what the writer holds counts like what waits
                if pushed == 2 {
                    held.extend(queue.take(Duration::ZERO).chunks);
                }
                let fits = queue.longest() >= length;
                if !queue.push(&mut line(length)) {
                    assert!(!fits, "{length} of {max_bytes}");
                    break;
                }
                assert!(fits, "{length} of {max_bytes}");
                pushed += 1;
            }
            held.extend(queue.take(Duration::ZERO).chunks);
            let memory: usize = held.iter().map(|chunk| chunk.bytes.capacity()).sum();
            assert_eq!(queue.bytes(), memory);
            assert!(memory <= max_bytes, "{memory} of {max_bytes}");
            // the chunk that the writer took early has room that is not used
            assert!(pushed >= least, "{pushed} of {least}");
            assert_eq!(queue.records(), pushed);
            let full = memory as f64 / max_bytes as f64;
            assert_eq!(queue.fullness(), full.max(pushed as f64 / max_records as f64));
            assert_eq!(held.iter().map(Chunk::records_left).sum::<u64>(), pushed as u64);
            held.into_iter().for_each(|chunk| queue.done(chunk));
            assert_eq!((queue.bytes(), queue.records()), (0, 0));
            assert_eq!(queue.push(&mut line(length)), length <= max_bytes, "there is room again");
        }
    }

    #[test]
    fn an_end_takes_nothing_more_and_loses_nothing() {
        let queue = Queue::new(1_000, 10);
        assert!(queue.push(&mut line(10)));
        queue.close();
        assert!(!queue.push(&mut line(10)));
        assert_eq!(queue.longest(), 0);
        let taken = queue.take(Duration::from_secs(60));
        assert!(taken.closed);
        assert_eq!(taken.chunks.iter().map(Chunk::records_left).sum::<u64>(), 1);
        assert!(queue.take(Duration::from_secs(60)).closed, "it does not wait");
    }

    #[test]
    fn a_part_of_a_line_is_given_again_whole() {
        for (taken, start, left) in [(0, 0, 3), (2, 0, 3), (4, 4, 2), (5, 4, 2), (8, 8, 1), (11, 8, 1), (12, 12, 0)] {
            let mut chunk = Chunk { bytes: b"{a}\n{b}\n{c}\n".to_vec(), taken, records: 3, weight: 12 };
            assert_eq!(chunk.records_left(), left);
            chunk.rewind_to_line_start();
            assert_eq!((chunk.taken, chunk.records_left()), (start, left));
        }
    }
}
