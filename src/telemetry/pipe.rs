//! The way of log lines to standard error: a bounded queue and a thread that writes.
//!
//! Standard error may be a pipe that is not read. Logging must never wait for it: what finds the queue full is
//! dropped and counted, and the count is logged when the pipe moves again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::{start_thread, supervised_early};

/// How many bytes of lines may wait. A line that does not fit is dropped whole.
const CAPACITY: usize = 1 << 20;

/// How long the thread rests where standard error takes nothing at the moment and does not block.
const RETRY: Duration = Duration::from_millis(10);

/// Lines that the process has dropped so far.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many log lines were dropped since the process started.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The end that lines go into. Clones share the queue.
#[derive(Debug, Clone)]
pub(super) struct Pipe(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when lines have come, and when they are written.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// The thread has lines that are not written yet.
    writing: bool,
    /// Lines dropped since that was last logged.
    untold: u64,
}

impl Pipe {
    /// A queue before standard error, and its thread.
    pub(super) fn to_stderr() -> io::Result<Self> {
        // a handle of its own: the lock of `io::stderr()` would be held for as long as a write is stuck
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::to(stderr, |count| {
            tracing::warn!(count, "log lines were dropped because standard error took nothing");
        })
    }

    /// A queue before `output`. `tell` gets the number of dropped lines, once the output takes lines again.
    fn to(output: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        let mut output = output;
        let work = supervised_early("palisade-log", move || ours.write_for_ever(&mut output, &tell));
        start_thread("palisade-log", None, work)?;
        Ok(Self(shared))
    }

    /// Waits until every line is written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut queue = self.0.lock();
        while queue.writing || !queue.lines.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            queue = self.0.moved.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // nothing in here panics half way
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.lines.len() + line.len() > CAPACITY {
            queue.untold += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let idle = queue.lines.is_empty() && !queue.writing;
        queue.lines.extend_from_slice(line);
        drop(queue);
        if idle {
            self.moved.notify_all();
        }
    }

    fn write_for_ever(&self, mut output: &mut impl Write, tell: &impl Fn(u64)) {
        let mut lines = Vec::new();
        loop {
            let mut queue = self.lock();
            queue.writing = false;
            self.moved.notify_all();
            let untold = std::mem::take(&mut queue.untold);
            if untold > 0 && queue.lines.is_empty() {
                drop(queue);
                // goes into the queue like every other line, which is empty now
                tell(untold);
                continue;
            }
            queue.untold = untold;
            while queue.lines.is_empty() {
                queue = self.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.writing = true;
            std::mem::swap(&mut lines, &mut queue.lines);
            drop(queue);
            if !write_all(&mut output, &lines) {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                DROPPED.fetch_add(lost, Ordering::Relaxed);
            }
            lines.clear();
        }
    }
}

/// Whether everything was written. What broke off in the middle counts as not written.
fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return false,
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // the pipe was set up not to block: it is full, not broken
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(_) => return false,
        }
    }
    true
}

/// One line on its way: the formatter hands over each event whole.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Pipe);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Pipe {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes what is written only when the test lets it.
    struct Gate {
        open: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.open.recv().is_err() {
                thread::park();
            }
            let taken = bytes.len().min(64 << 10);
            self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_output_blocks_no_writer_and_the_loss_is_reported() {
        let (opener, open) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (told, hear) = mpsc::channel();
        let gate = Gate { open, written: written.clone() };
        let pipe = Pipe::to(gate, move |count| told.send(count).unwrap()).unwrap();
        let before = dropped_lines();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        for _ in 0..4_000 {
            pipe.0.push(&line);
        }
        let lost = dropped_lines() - before;
        // one queue, and what the thread took before it was stuck
        assert!((4_000 - 2 * 1_049..=4_000 - 1_048).contains(&lost), "{lost}");
        let started = Instant::now();
        pipe.flush(Duration::from_millis(30));
        assert!(started.elapsed() >= Duration::from_millis(30), "it did not wait");
        assert!(hear.try_recv().is_err(), "told while nothing moves");
        for _ in 0..100 {
            opener.send(()).unwrap();
        }
        assert_eq!(hear.recv().unwrap(), lost);
        pipe.flush(Duration::from_secs(30));
        let written = written.lock().unwrap();
        assert_eq!(written.len(), (4_000 - lost as usize) * 1_000, "whole lines");
        assert!(written.chunks(1_000).all(|one| one == line));
    }
}
