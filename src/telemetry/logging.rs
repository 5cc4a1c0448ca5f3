//! The log.
//!
//! Everything goes to standard error: standard output belongs to the answers of the command line and to
//! the decision log. Lines go there through a queue, so that logging never waits for their reader.

use std::io::{self, IsTerminal};
use std::panic;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogFormat, LogSettings};
use crate::telemetry::pipe::Pipe;

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_millis(250);

/// Whether lines are objects, which have a member for each field.
static JSON: AtomicBool = AtomicBool::new(false);

/// The library that watches files warns of every directory that goes away, as each exchange of a mounted volume makes
/// one do. What matters of it comes to the source as an error.
const WATCHER: &str = "notify";

/// The queue before standard error, once the log is set up.
static PIPE: OnceLock<Pipe> = OnceLock::new();

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter directive is not valid, which the configuration checks.
    #[error("`log.level` is not a filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something in the process set a log up before.
    #[error("the log is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// There is no thread or descriptor to write the log with.
    #[error("cannot set up the log: {0}")]
    System(#[from] io::Error),
}

/// Writes the last lines when dropped. Hold it until the process ends.
#[derive(Debug, Default)]
#[must_use = "the last lines are lost when the guard is dropped"]
pub struct Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        flush();
    }
}

/// Waits until what was logged is written, for a moment: standard error may be stuck. For the end of the process.
pub fn flush() {
    if let Some(pipe) = PIPE.get() {
        pipe.flush(LAST_LINES);
    }
}

/// Logs panics like everything else. The standard hook writes to standard error itself and may wait there for ever.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "panicked at {place}: {message}");
    }));
}

/// Sets up the process's log, once.
///
/// # Errors
/// If the filter is not valid, or a log was set up before.
pub fn init(settings: &LogSettings) -> Result<Guard, LoggingError> {
    // NO_COLOR counts when it is not empty (no-color.org)
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let filter = EnvFilter::builder().parse(&settings.level)?;
    JSON.store(settings.format == LogFormat::Json, Ordering::Relaxed);
    let pipe = Pipe::to_stderr()?;
    let lines = lines(settings.format, colours, pipe.clone());
    let quiet = without_watcher(&settings.level);
    tracing_subscriber::registry().with(lines).with(filter).with(quiet).try_init()?;
    started(pipe);
    Ok(Guard {})
}

/// Whether a line for programs is written, so that it should have fields.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Leaves out what the watching library says below errors, unless `level` names it.
fn without_watcher(level: &str) -> FilterFn<impl Fn(&Metadata<'_>) -> bool + use<>> {
    let named = level.contains(WATCHER);
    filter_fn(move |line| named || *line.level() == Level::ERROR || !line.target().starts_with(WATCHER))
}

fn started(pipe: Pipe) {
    // there is one log a process: `try_init` refuses the second
    let _ = PIPE.set(pipe);
    log_panics();
}

fn lines<W>(format: LogFormat, colours: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Human => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    }
}

/// The subscriber of tests and of `capture`.
#[cfg(test)]
fn subscriber<W>(format: LogFormat, level: &str, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(level).unwrap();
    tracing_subscriber::registry().with(lines(format, false, writer)).with(filter).with(without_watcher(level))
}

/// What `run` logs on this thread, in the human format. For tests.
#[cfg(test)]
pub(crate) fn capture(level: &str, run: impl FnOnce()) -> String {
    capture_as(LogFormat::Human, level, run)
}

/// The same in either format.
#[cfg(test)]
pub(crate) fn capture_as(format: LogFormat, level: &str, run: impl FnOnce()) -> String {
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let buffer = Buffer::default();
    let writer = buffer.clone();
    tracing::subscriber::with_default(subscriber(format, level, move || writer.clone()), run);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_object_a_line() {
        let log = capture_as(LogFormat::Json, "info", || {
            tracing::info!(revision = "ab-1", "loaded\n\"twice\"");
            tracing::debug!("hidden");
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["revision"]),
            (&"INFO".into(), &"loaded\n\"twice\"".into(), &"ab-1".into())
        );
    }

    #[test]
    fn the_filter_counts() {
        let log = |level: &str| capture(level, || tracing::warn!("careful"));
        assert!(log("warn").contains("WARN careful"));
        assert!(log("info,palisade=error").is_empty());
        assert!(log("off").is_empty());
    }

    #[test]
    fn the_watching_library_warns_of_nothing_unless_it_is_asked_to() {
        let log = |level: &str| {
            capture(level, || {
                tracing::warn!(target: "notify::inotify", "a directory went away");
                tracing::error!(target: "notify::inotify", "broken");
                tracing::warn!(target: "palisade::source", "ours");
            })
        };
        for (level, lines) in [("info", 2), ("warn", 2), ("error", 1), ("off", 0), ("warn,notify=warn", 3)] {
            assert_eq!(log(level).lines().count(), lines, "{level}: {}", log(level));
        }
        assert!(!log("debug").contains("went away"));
    }
}
