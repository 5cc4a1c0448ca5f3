//! Takes what a source has to the state: at the start, whenever it changes, and again while it cannot be loaded.
//!
//! A load that fails for a reason that may pass is tried again, later and later, until what was seen is loaded.
//!
//! A load never undoes a change of the API that was acknowledged after the files became what was loaded. So it is compared
//! with what the files held when that change was acknowledged (`pictures.rs`), unless a load was requested after that.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::app::pictures::{self, Newest, Taken};
use crate::source::{Loaded, Picture, Source, Watch};
use crate::state::{Origin, Rejected, State};
use crate::telemetry::{Metrics, Work, start_thread, supervised};
use palisade_engine::model::{Diagnostic, Digest, Severity};

/// How often the feed looks whether its watch works, and what the watch waits for.
const WATCH_CHECK: Duration = Duration::from_millis(250);

/// How long to wait before the first attempt again; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest wait, unless an attempt itself takes long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Attempts take at most one part in so many of the time.
const ATTEMPT_SHARE: u32 = 5;

/// How long the end waits for a load that is under way.
pub(super) const FEED_PATIENCE: Duration = Duration::from_secs(1);

/// How the first load ended.
pub(super) type First = oneshot::Receiver<Result<(), Vec<Diagnostic>>>;

/// That a bundle was read and is not what serves, for a reason that is not in it.
fn not_loaded(rejected: &Rejected) -> Diagnostic {
    let why = match rejected {
        Rejected::Broken => "building it failed inside the engine",
        Rejected::Stopped => "the thread that publishes stopped",
        _ => "it was given up",
    };
    Diagnostic::error("bundle", format!("it was read and not loaded: {why}")).passing()
}

/// The thread that loads.
#[derive(Debug)]
pub(super) struct Feed {
    wishes: mpsc::Sender<Wish>,
    first: Option<First>,
    thread: Option<thread::JoinHandle<()>>,
    state: Arc<State>,
}

/// What the feed is asked to do.
pub(super) enum Wish {
    /// Load what is there, as requested at this time.
    Load(Instant),
    /// Load a change that the watch noticed.
    Changed,
    /// Load again what was refused, since it may fit now what changes of the API brought.
    Repaired,
    /// See whether files that are not watched are what they were when the API put a bundle.
    Compare,
    /// Drop this once what was wished before is done.
    Tell(oneshot::Sender<()>),
    /// End.
    Stop,
}

// === impl Feed ===

impl Feed {
    /// Loads at once, and from then on when `source` changes, if it is watched, or when someone wishes.
    pub(super) fn start(
        source: impl Source + 'static,
        state: Arc<State>,
        watching: bool,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (wishes, asked) = mpsc::channel();
        let (tell_first, first) = oneshot::channel();
        let mut tell_first = Some(tell_first);
        let source = Arc::new(source);
        let newest = pictures::start(Arc::clone(&source), &state, metrics.clone())?;
        let repaired = wishes.clone();
        // fails only when the feed has ended
        state.when_files_may_fit(Some(Arc::new(move || drop(repaired.send(Wish::Repaired)))));
        if !watching {
            let put = wishes.clone();
            state.when_put(Some(Arc::new(move || drop(put.send(Wish::Compare)))));
        }
        let mut loader = Loader {
            source,
            state: Arc::clone(&state),
            newest,
            picture: None,
            at_put: state.seen_at_put().and_then(|kept| Picture::from_kept(&kept)),
            wishes: wishes.clone(),
            last: None,
            failed: None,
            took: Duration::ZERO,
            asked: None,
            told: Vec::new(),
            metrics: metrics.clone(),
        };
        let thread = start_thread(
            "palisade-feed",
            None,
            supervised("palisade-feed", metrics, move || loader.run(&asked, &mut tell_first, watching)),
        )?;
        Ok(Self { wishes, first: Some(first), thread: Some(thread), state })
    }

    /// Where to ask it for something.
    pub(super) fn wishes(&self) -> mpsc::Sender<Wish> {
        self.wishes.clone()
    }

    /// Ends the thread. A load that takes longer than `patience` goes down with the process: it must not hold up the end.
    pub(super) fn stop(mut self, patience: Duration) {
        self.end(patience);
    }

    fn end(&mut self, patience: Duration) {
        let _ = self.wishes.send(Wish::Stop);
        self.state.before_answers(None);
        self.state.when_files_may_fit(None);
        self.state.when_put(None);
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Reports how the first load ended. Can be taken once.
    pub(super) fn first(&mut self) -> Option<First> {
        self.first.take()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.end(FEED_PATIENCE);
    }
}

/// A load that will be tried again.
struct Failed {
    attempts: u32,
    /// When the next one is due.
    next: Instant,
    problem: String,
}

struct Loader<S> {
    source: Arc<S>,
    state: Arc<State>,
    /// What the files held when the API last acknowledged a change, unless that was taken already.
    newest: Newest,
    /// What they held when it did so last as far as is known here, unless they were loaded since.
    picture: Option<Taken>,
    /// What they held when the bundle was put that the store had at the start.
    at_put: Option<Picture>,
    wishes: mpsc::Sender<Wish>,
    /// What was last loaded and took effect, or was skipped for a later change.
    last: Option<Digest>,
    failed: Option<Failed>,
    /// How long the last load took.
    took: Duration,
    /// When a load was last asked for, until one succeeds.
    asked: Option<Instant>,
    /// The problems of the attempt before.
    told: Vec<Diagnostic>,
    metrics: Arc<Metrics>,
}

// === impl Wish ===

impl Wish {
    /// When a load was asked for, if it was.
    fn asked(&self) -> Option<Instant> {
        match self {
            Self::Load(at) => Some(*at),
            Self::Changed | Self::Repaired | Self::Compare | Self::Tell(_) | Self::Stop => None,
        }
    }
}

// === impl Loader ===

impl<S: Source> Loader<S> {
    fn run(
        &mut self,
        asked: &mpsc::Receiver<Wish>,
        first: &mut Option<oneshot::Sender<Result<(), Vec<Diagnostic>>>>,
        watching: bool,
    ) {
        // watched before it is read: a file that is being written during the first load is known to be
        let (mut watch, mut watched) = (watching.then(|| self.watch()), Instant::now());
        let mut watch_again = Instant::now() + FIRST_PAUSE;
        // the start counts as a request to load
        self.asked = Some(Instant::now());
        let loaded = self.load();
        let _ = first.take().map(|first| first.send(loaded));
        loop {
            self.tell(watch.as_ref());
            let pause = self
                .failed
                .as_ref()
                .map_or(WATCH_CHECK, |failed| failed.next.saturating_duration_since(Instant::now()).min(WATCH_CHECK));
            match asked.recv_timeout(pause) {
                Ok(wish @ (Wish::Load(_) | Wish::Changed)) => {
                    // one that was asked for and failed is not forgotten for a change that is noticed meanwhile
                    self.asked = self.asked.max(wish.asked());
                    // several wishes are one load
                    let mut waiting = Vec::new();
                    while let Ok(wish) = asked.try_recv() {
                        self.asked = self.asked.max(wish.asked());
                        match wish {
                            Wish::Stop => return,
                            Wish::Tell(over) => waiting.push(over),
                            Wish::Load(_) | Wish::Changed | Wish::Repaired | Wish::Compare => (),
                        }
                    }
                    self.failed = None;
                    let _ = self.load();
                    drop(waiting);
                }
                Ok(Wish::Repaired) => self.try_again(),
                Ok(Wish::Compare) => self.compare(),
                // what was wished before it is loaded
                Ok(Wish::Tell(over)) => drop(over),
                Ok(Wish::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if self.failed.as_ref().is_some_and(|failed| Instant::now() >= failed.next) {
                        let _ = self.load();
                    }
                }
            }
            if Instant::now() >= watch_again
                && let Some(ended) = watch.as_ref().filter(|watch| watch.has_ended())
            {
                if ended.has_failed() {
                    self.metrics.threads.failed("watch-files", watched.elapsed());
                }
                watch_again = Instant::now() + LONGEST_PAUSE;
                (watch, watched) = (Some(self.watch()), Instant::now());
                // what changed while none watched
                let _ = self.wishes.send(Wish::Changed);
            }
        }
    }

    fn watch(&self) -> Watch {
        let wishes = self.wishes.clone();
        // it looks at everything before it returns
        let _under_way = self.metrics.works.begin(Work::Load);
        // fails only when the feed has ended
        self.source.watch(Box::new(move || drop(wishes.send(Wish::Changed))))
    }

    /// The newest picture.
    fn look(&mut self) -> Option<&Taken> {
        if let Some(taken) = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.picture = Some(taken);
        }
        self.picture.as_ref()
    }

    /// Loads and applies, unless the files are what they were at the last load that took effect, or when the API last
    /// acknowledged a change.
    fn load(&mut self) -> Result<(), Vec<Diagnostic>> {
        let start = Instant::now();
        // first: what is read from here on is compared with what was there then
        let acknowledged = self.state.acknowledged();
        let under_way = self.metrics.works.begin(Work::Load);
        let loaded = self.source.load_telling(&|what, until| self.state.note_waits(Origin::Files, what, until));
        self.state.note_waited();
        drop(under_way);
        let problems = match loaded {
            Ok(loaded) => self.take(loaded, acknowledged),
            Err(problems) => {
                self.state.resume();
                let news = self.failed.is_none() || self.told != problems;
                self.state.note_unreadable(Origin::Files, problems.clone(), news);
                problems
            }
        };
        // the warnings among them only help to find out why
        let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        match problems.first() {
            // with one among them that does not pass, only a change of the files helps, and that is noticed
            Some(problem) if errors.all(|error| error.passing) => {
                self.retry(start.elapsed(), format!("{}: {}", problem.origin, problem.message));
            }
            _ => self.failed = None,
        }
        self.told.clone_from(&problems);
        self.took = start.elapsed();
        if !problems.is_empty() {
            return Err(problems);
        }
        self.asked = None;
        Ok(())
    }

    /// Takes what was loaded after so many acknowledged changes of the API; gives what is wrong with it.
    fn take(&mut self, loaded: Loaded, acknowledged: u64) -> Vec<Diagnostic> {
        let Loaded { bundle, digest, warnings, files } = loaded;
        let is_known = self.last == Some(digest);
        let asked = self.asked;
        let before = self.look().filter(|taken| asked.is_none_or(|at| at <= taken.at));
        let skipped = before.map(|taken| taken.picture.shows(&files));
        let unseen = before.is_some_and(|taken| taken.picture.is_partial());
        if is_known && skipped != Some(false) {
            self.state.note_unchanged(Origin::Files, asked.is_some());
            self.picture = None;
        } else if skipped == Some(true) {
            self.skip(digest);
        } else {
            let as_put = self.at_put.as_ref().map(|picture| picture.shows(&files));
            match self.state.apply_seen(bundle, warnings, acknowledged, as_put) {
                Ok(_) => {
                    if unseen {
                        tracing::warn!(
                            "files replace a change of the API: when the change was acknowledged not all files could be read, and what is there now is not what was loaded before; if the files were changed earlier than that, send the change again"
                        );
                    }
                    (self.last, self.picture, self.at_put) = (Some(digest), None, None);
                }
                Err(Rejected::Superseded) => {
                    if self.look().is_some_and(|taken| taken.picture.shows(&files)) {
                        self.skip(digest);
                    } else {
                        // they were read before the change was acknowledged, and are not what they were then
                        let _ = self.wishes.send(Wish::Changed);
                    }
                }
                Err(Rejected::Invalid(problems)) => return problems,
                // the process ends, or the writer met a fault and begins again: they are not loaded either way
                Err(rejected @ (Rejected::Stopped | Rejected::Abandoned)) => return vec![not_loaded(&rejected)],
                Err(rejected) => {
                    let problems = vec![not_loaded(&rejected)];
                    self.state.note_unreadable(Origin::Files, problems.clone(), true);
                    return problems;
                }
            }
        }
        Vec::new()
    }

    /// The files are not watched. As they were when the API put a bundle they must not replace it at the next start; what
    /// is asked for takes them all the same. Loads nothing.
    fn compare(&mut self) {
        // what cannot be read is no bundle at a start either
        let Ok(loaded) = self.source.load_telling(&|_, _| ()) else { return };
        let is_new = self.last != Some(loaded.digest);
        if is_new && self.look().is_some_and(|taken| taken.picture.shows(&loaded.files)) {
            self.state.note_superseded(Origin::Files, loaded.digest);
        }
    }

    /// The files were like this before a change of the API, so that only their next change counts.
    fn skip(&mut self, digest: Digest) {
        self.state.note_superseded(Origin::Files, digest);
        (self.last, self.picture) = (Some(digest), None);
    }

    /// Has what was refused tried again, not at once: a change may be one of many, and each load may take long.
    fn try_again(&mut self) {
        if self.failed.is_some() || self.told.is_empty() {
            return;
        }
        let pause = FIRST_PAUSE.max(self.took * ATTEMPT_SHARE);
        let problem = self.told.first().map_or_else(String::new, |first| first.message.clone());
        self.failed = Some(Failed { attempts: 0, next: Instant::now() + pause, problem });
    }

    fn retry(&mut self, took: Duration, problem: String) {
        let attempts = self.failed.as_ref().map_or(0, |failed| failed.attempts).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << attempts.min(10) >> 1).min(LONGEST_PAUSE).max(took * ATTEMPT_SHARE);
        self.failed = Some(Failed { attempts, next: Instant::now() + pause, problem });
    }

    fn tell(&self, watch: Option<&Watch>) {
        self.metrics.works.note(Work::Look, watch.and_then(Watch::looks_since));
        let failed = self
            .failed
            .as_ref()
            .map(|failed| format!("the files as they are now are not loaded, and are tried again: {}", failed.problem));
        // a look that finds nothing new confirms what was loaded, unless that was refused
        let is_good = self.last.is_some() && self.failed.is_none() && self.told.is_empty();
        if let Some(at) = watch.and_then(Watch::same_at).filter(|_| is_good) {
            self.metrics.confirmed_at(at);
        }
        let reasons: Vec<String> = watch.and_then(Watch::degraded).into_iter().chain(failed).collect();
        let reason = reasons.join("; ");
        self.state.note_degraded(Some(&*reason).filter(|reason| !reason.is_empty()));
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
