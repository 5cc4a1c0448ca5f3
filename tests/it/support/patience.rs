//! Waits that end. A test that waits for what never comes fails and says so; it must not hold up all others.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a test waits for something that takes milliseconds on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a thread gives, or its panic.
#[track_caller]
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while !thread.is_finished() {
        assert!(Instant::now() < deadline, "a thread does not end");
        thread::sleep(Duration::from_millis(1));
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The lines that come out of a pipe.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    /// Reads a pipe with a name, which must have a writer. It can be made again meanwhile: what is open is read.
    pub(crate) fn of(pipe: &Path) -> Self {
        Self::from(BufReader::new(File::open(pipe).unwrap()))
    }

    /// Reads from now on, on a thread of its own.
    pub(crate) fn from(pipe: impl BufRead + Send + 'static) -> Self {
        let lines = pipe.lines().map(Result::unwrap);
        let (send, receive) = mpsc::channel();
        thread::spawn(move || lines.map(|line| send.send(line)).take_while(Result::is_ok).count());
        Self(receive)
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("another line")
    }

    /// The lines up to one that contains `last`, and that one. Until it comes, `again` is done every 20 ms.
    #[track_caller]
    pub(crate) fn until(&self, last: &str, mut again: impl FnMut()) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = Vec::new();
        loop {
            again();
            loop {
                assert!(Instant::now() < deadline, "no line has {last:?}; {} have not", lines.len());
                match self.0.recv_timeout(Duration::from_millis(20)) {
                    Ok(line) => {
                        lines.push(line);
                        if lines.last().is_some_and(|line| line.contains(last)) {
                            return lines;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => panic!("the pipe ended before a line with {last:?}"),
                }
            }
        }
    }
}
