//! Threads whose panic is noticed, and whose work goes on.
//!
//! A thread that panics ends in silence: files are loaded no more, or nothing is recorded, and all looks well. So
//! every panic of the process is counted and logged, and the threads that run as long as the process does begin
//! again. One that fails again and again makes the sidecar unready.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::telemetry::Metrics;

/// Panics of this process so far.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Threads that were started before there were metrics.
static EARLY: Threads = Threads(Mutex::new(Vec::new()));

/// A thread that failed this often in a row does not do its work.
const FAILS: u32 = 3;

/// How long a thread must have run for its failures before to count no more.
const CALM: Duration = Duration::from_secs(60);

/// The longest pause before a thread begins again. Less than [`CALM`].
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts and logs every panic from now on.
pub fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            if tracing::dispatcher::has_been_set() {
                let current = thread::current();
                let name = current.name().unwrap_or("without a name");
                tracing::error!(thread = name, "a thread panicked, please report it: {panic}");
            } else {
                before(panic);
            }
        }));
    });
}

/// How many panics there were since [`notice_panics`].
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Which threads fail.
#[derive(Debug, Default)]
pub struct Threads(Mutex<Vec<Failing>>);

#[derive(Debug)]
struct Failing {
    name: &'static str,
    times: u32,
    last: Instant,
    /// It does not begin again.
    ended: bool,
}

impl Threads {
    /// A thread that does not do its work, if there is one.
    #[must_use]
    pub fn failing(&self) -> Option<&'static str> {
        self.own().or_else(|| EARLY.own())
    }

    fn own(&self) -> Option<&'static str> {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().find(|it| it.ended || (it.times >= FAILS && it.last.elapsed() < CALM)).map(|it| it.name)
    }

    /// Notes a failure of a thread that ran for `ran`; says how long to wait before it begins again.
    pub fn failed(&self, name: &'static str, ran: Duration) -> Duration {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = threads.iter_mut().find(|it| it.name == name);
        let times = match known {
            Some(it) => {
                it.times = if ran >= CALM { 1 } else { it.times.saturating_add(1) };
                it.last = Instant::now();
                it.times
            }
            None => {
                threads.push(Failing { name, times: 1, last: Instant::now(), ended: false });
                1
            }
        };
        LONGEST_PAUSE.min(Duration::from_millis(100) * 2_u32.saturating_pow(times.min(10)))
    }

    /// Notes that a part of the sidecar has ended that should not have: it stays unready.
    pub fn ended(&self, name: &'static str) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(Failing { name, times: 1, last: Instant::now(), ended: true });
    }
}

/// What a thread runs so that its work goes on after a panic: `work`, until it returns.
pub fn supervised(
    name: &'static str,
    metrics: Arc<Metrics>,
    work: impl FnMut() + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    move || again_and_again(name, &metrics.threads, work)
}

/// The same for a thread that begins before there are metrics.
pub fn supervised_early(name: &'static str, work: impl FnMut() + Send + 'static) -> impl FnOnce() + Send + 'static {
    move || again_and_again(name, &EARLY, work)
}

fn again_and_again(name: &'static str, threads: &Threads, mut work: impl FnMut()) {
    loop {
        let began = Instant::now();
        // what the work left behind is its own to mend when it begins again
        if catch_unwind(AssertUnwindSafe(&mut work)).is_ok() {
            return;
        }
        let pause = threads.failed(name, began.elapsed());
        tracing::error!(thread = name, "its work continues in {pause:?}");
        thread::sleep(pause);
    }
}

/// How long to wait until the system has given back the places of threads that have ended.
const PLACES_BACK: Duration = Duration::from_secs(1);

/// Starts a thread that is called `name`, with a stack of `stack` bytes or of the usual size.
///
/// # Errors
/// If the system has no room for it; the error names the limits that can be raised.
pub fn start_thread<T: Send + 'static>(
    name: &str,
    stack: Option<usize>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let builder = thread::Builder::new().name(name.to_owned());
    let builder = stack.into_iter().fold(builder, thread::Builder::stack_size);
    builder.spawn(work).map_err(|error| no_room(&error, &format!("cannot start the thread `{name}`")))
}

/// The system says only that something is "temporarily unavailable", and means one of these limits.
fn no_room(error: &io::Error, what: &str) -> io::Error {
    let help = "raise the limit of processes (`ulimit -u`, `TasksMax=`, the container's limit of pids) or of memory \
                (`ulimit -v`, `MemoryMax=`)";
    io::Error::new(error.kind(), format!("{what}: {error}; {help}"))
}

/// Whether `count` more threads could be started at this moment. For libraries that panic, or never return, where
/// one of theirs could not be.
///
/// # Errors
/// If they could not.
pub fn room_for_threads(count: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    // all of them are there at once
    let closed = gate.lock();
    let threads: io::Result<Vec<_>> = (0..count)
        .map(|_| {
            let gate = gate.clone();
            thread::Builder::new().name("palisade-probe".to_owned()).spawn(move || {
                drop(gate.lock());
                std::fs::read_link("/proc/thread-self").ok()
            })
        })
        .collect();
    drop(closed);
    let threads = threads.map_err(|error| no_room(&error, &format!("there is no room for {count} more threads")))?;
    let latest = Instant::now() + PLACES_BACK;
    for place in threads.into_iter().filter_map(|thread| thread.join().ok().flatten()) {
        // a thread that has ended counts for a moment more
        while Instant::now() < latest && std::path::Path::new("/proc").join(&place).exists() {
            thread::sleep(Duration::from_micros(100));
        }
    }
    Ok(())
}

/// An id that is new, and sorts by time. `Uuid::now_v7` panics where the clock is before 1970.
#[must_use]
pub fn fresh_id() -> uuid::Uuid {
    id_at(SystemTime::now())
}

fn id_at(time: SystemTime) -> uuid::Uuid {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, since.as_secs(), since.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_on_after_a_panic() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        let (done, finished) = std::sync::mpsc::channel();
        let mut sum = 0;
        let work = supervised("test", metrics.clone(), move || {
            while let Ok(n) = receiver.recv() {
                assert!(n != 13, "unlucky");
                sum += n;
                done.send(sum).unwrap();
            }
        });
        let thread = thread::spawn(work);
        for n in [1, 13, 2, 3] {
            sender.send(n).unwrap();
        }
        assert_eq!([finished.recv(), finished.recv(), finished.recv()], [Ok(1), Ok(3), Ok(6)]);
        assert_eq!(metrics.threads.failing(), None, "once is not again and again");
        drop(sender);
        thread.join().unwrap();
    }

    /// A stack larger than the address space stands for a limit that is used up.
    #[test]
    fn a_thread_that_cannot_start_names_the_limits() {
        let error = start_thread("palisade-test", Some(1 << 47), || ()).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("cannot start the thread `palisade-test`: "), "{error}");
        assert!(error.contains("ulimit -u") && error.contains("ulimit -v"), "{error}");
    }

    #[test]
    fn failing_again_and_again_is_reported() {
        let threads = Threads::default();
        let pauses: Vec<Duration> = (0..12).map(|_| threads.failed("a", Duration::ZERO)).collect();
        assert!(pauses.is_sorted() && pauses[0] < Duration::from_secs(1) && pauses[11] == LONGEST_PAUSE, "{pauses:?}");
        assert_eq!(threads.failing(), Some("a"));
        // a long while in between: it works, but for this
        threads.failed("a", CALM);
        assert_eq!(threads.failing(), None);
        threads.ended("b");
        assert_eq!(threads.failing(), Some("b"));
    }

    #[test]
    fn what_fails_before_there_are_metrics_is_reported_as_well() {
        let mut times = 0;
        // its place in the list is the only one with this name
        supervised_early("early", move || {
            times += 1;
            assert!(times >= 3, "not yet");
        })();
        let known = EARLY.0.lock().unwrap().iter().find(|it| it.name == "early").map(|it| it.times);
        assert_eq!(known, Some(2));
    }

    #[test]
    fn room_is_found_where_there_is_some() {
        room_for_threads(0).unwrap();
        room_for_threads(8).unwrap();
    }

    #[test]
    fn ids_need_no_clock() {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let before = SystemTime::UNIX_EPOCH - year;
        assert_ne!(id_at(before), id_at(before));
        assert_eq!(id_at(before).get_version_num(), 7);
        assert!(id_at(before) < id_at(SystemTime::UNIX_EPOCH + year));
        assert_ne!(fresh_id(), fresh_id());
    }
}
