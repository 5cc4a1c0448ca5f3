//! Standard error of a process that must end: its supervisor waits for its exit code, not for its output.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::start_thread;

/// A writer that waits for its output for so long in all, and gives the rest up: a pipe that is not read must not keep
/// the process from ending.
pub(super) struct Timely<W> {
    state: State<W>,
    left: Duration,
}

enum State<W> {
    /// Nothing was written.
    Fresh(Arc<Mutex<W>>),
    Writing(Writing),
    /// The output took nothing for too long.
    Stuck,
}

struct Writing {
    pieces: Sender<Vec<u8>>,
    done: Receiver<io::Result<()>>,
}

impl Writing {
    fn start(output: Arc<Mutex<impl Write + Send + 'static>>) -> io::Result<Self> {
        let (pieces, work) = mpsc::channel::<Vec<u8>>();
        let (tell, done) = mpsc::channel();
        start_thread("palisade-last-words", None, move || {
            for piece in work {
                let written = write_all(&output, &piece);
                if tell.send(written).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { pieces, done })
    }
}

fn write_all(output: &Mutex<impl Write>, bytes: &[u8]) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(bytes).and_then(|()| output.flush())
}

impl<W: Write + Send + 'static> Timely<W> {
    pub(super) fn new(output: W, patience: Duration) -> Self {
        Self { state: State::Fresh(Arc::new(Mutex::new(output))), left: patience }
    }
}

impl<W: Write + Send + 'static> Write for Timely<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writing = match std::mem::replace(&mut self.state, State::Stuck) {
            State::Fresh(output) => match Writing::start(output.clone()) {
                Ok(writing) => writing,
                // no thread can be started, which is what the message says
                Err(_) => {
                    let written = write_all(&output, bytes);
                    self.state = State::Fresh(output);
                    return written.map(|()| bytes.len());
                }
            },
            State::Writing(writing) => writing,
            State::Stuck => return Ok(bytes.len()),
        };
        let began = Instant::now();
        // the thread ends after this alone
        let _ = writing.pieces.send(bytes.to_vec());
        let written = writing.done.recv_timeout(self.left);
        self.left = self.left.saturating_sub(began.elapsed());
        match written {
            Ok(written) => {
                self.state = State::Writing(writing);
                written.map(|()| bytes.len())
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // each piece was flushed when it was written
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes == b"fail" {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_output_is_given_up_once() {
        let mut stuck = Timely::new(Stuck, Duration::from_millis(50));
        for _ in 0..10_000 {
            writeln!(stuck, "a line").unwrap();
        }
        assert!(matches!(stuck.state, State::Stuck));
    }

    #[test]
    fn what_is_taken_is_written_in_order_and_errors_are_reported() {
        let kept = Kept::default();
        let mut timely = Timely::new(kept.clone(), Duration::from_secs(60));
        for n in 0..100 {
            writeln!(timely, "{n}").unwrap();
        }
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(*kept.0.lock().unwrap(), expected.as_bytes());
        assert!(timely.write(b"fail").is_err());
        assert!(timely.write(b"more").is_ok());
    }
}
