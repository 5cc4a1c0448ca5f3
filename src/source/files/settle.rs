//! What happened since the last answer, and whether it is over.
//!
//! The notifier's thread adds, the watching thread waits and takes. However many events come, what is
//! kept is bounded by the paths that are watched and the files that are open for writing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};

use crate::source::files::names;

/// As many times the quiet period passes at most until a change is answered.
pub(super) const PATIENCE: u32 = 10;

/// As many files being written are told apart; more are as good as these.
const MAX_UNFINISHED: usize = 1_000;

/// Between the notifier's thread and the watching one.
#[derive(Debug, Default)]
pub(super) struct Signals {
    // std Mutex: never held while a watch is set, which waits for the notifier's thread
    pending: Mutex<Pending>,
    bell: Condvar,
}

/// What to answer.
#[derive(Debug, Default)]
struct Pending {
    stop: bool,
    /// When the first and the last unanswered event came.
    times: Option<(Instant, Instant)>,
    taken: Taken,
    /// Files that were written and not closed yet.
    unfinished: BTreeSet<PathBuf>,
    interest: Interest,
}

/// What the watching thread takes to answer it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Content was touched for certain, whatever sizes and times say.
    pub(super) certain: bool,
    /// Watched places that were removed or renamed, and the watch on them with it.
    pub(super) lost: BTreeSet<PathBuf>,
    /// Events were lost, or watches in unknown number.
    pub(super) all_lost: bool,
}

/// Which events matter.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Directories in which a new name may matter.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// Paths that matter whatever their names.
    pub(super) turns: BTreeSet<PathBuf>,
    /// What is watched: the directories and those that the turns are in.
    pub(super) watched: BTreeSet<PathBuf>,
}

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The guard was dropped.
    Stopped,
    /// Something happened.
    Event,
    /// It is time to look without having been told.
    Timeout,
}

// === impl Signals ===

impl Signals {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waiting for good.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.bell.notify_all();
    }

    /// Says which events matter from now on.
    pub(super) fn attend(&self, interest: Interest) {
        self.lock().interest = interest;
    }

    /// Records that something may have changed, although no event said so.
    pub(super) fn suspect(&self) {
        self.lock().touch();
        self.bell.notify_all();
    }

    /// Records what the notifier says.
    pub(super) fn notice(&self, event: notify::Result<notify::Event>) {
        let mut pending = self.lock();
        match event {
            Ok(event) if !event.need_rescan() => {
                for path in &event.paths {
                    pending.judge(event.kind, path);
                }
            }
            // the queue overflowed, or worse: nobody knows what happened
            Ok(_) | Err(_) => {
                pending.taken.all_lost = true;
                pending.touch();
            }
        }
        if pending.times.is_some() {
            drop(pending);
            self.bell.notify_all();
        }
    }

    /// Waits for an event, or until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> Woken {
        let mut pending = self.lock();
        loop {
            if pending.stop {
                return Woken::Stopped;
            }
            if pending.times.is_some() {
                return Woken::Event;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Timeout;
            }
            pending = self.wait_for(pending, left);
        }
    }

    /// Waits until nothing happened for `quiet` and every writer has closed its file, but not for ever.
    ///
    /// `Timeout` means that it became quiet, `Event` that it did not in time and must be answered as it is.
    pub(super) fn settle(&self, quiet: Duration) -> Woken {
        let mut pending = self.lock();
        loop {
            if pending.stop {
                return Woken::Stopped;
            }
            let Some((first, last)) = pending.times else { return Woken::Timeout };
            let (now, latest) = (Instant::now(), first + quiet * PATIENCE);
            let until = if pending.unfinished.is_empty() { latest.min(last + quiet) } else { latest };
            if now >= until {
                return if now >= latest { Woken::Event } else { Woken::Timeout };
            }
            pending = self.wait_for(pending, until - now);
        }
    }

    fn wait_for<'a>(&self, pending: MutexGuard<'a, Pending>, time: Duration) -> MutexGuard<'a, Pending> {
        self.bell.wait_timeout(pending, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes what there is to answer. What comes later is answered later.
    pub(super) fn take(&self) -> Taken {
        let mut pending = self.lock();
        pending.times = None;
        pending.unfinished.clear();
        std::mem::take(&mut pending.taken)
    }
}

// === impl Pending ===

impl Pending {
    fn touch(&mut self) {
        let now = Instant::now();
        let first = self.times.map_or(now, |(first, _)| first);
        self.times = Some((first, now));
    }

    fn judge(&mut self, kind: EventKind, path: &Path) {
        let own = self.interest.dirs.contains(path);
        let inside = path.parent().is_some_and(|dir| self.interest.dirs.contains(dir));
        let turn = self.interest.turns.contains(path);
        let named = inside && path.file_name().is_some_and(|name| names::role(&name.to_string_lossy()).is_some());
        match kind {
            // reading, ours included, changes nothing
            EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write) => {}
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
                if turn || named {
                    match kind {
                        EventKind::Access(_) => drop(self.unfinished.remove(path)),
                        EventKind::Modify(ModifyKind::Data(_)) if self.unfinished.len() < MAX_UNFINISHED => {
                            self.unfinished.insert(path.to_owned());
                        }
                        _ => {}
                    }
                    self.taken.certain = true;
                    self.touch();
                } else if own {
                    // permissions, perhaps
                    self.touch();
                }
            }
            // names came, went or moved; any of them may be a directory
            _ => {
                self.unfinished.remove(path);
                if self.interest.watched.contains(path) {
                    self.taken.lost.insert(path.to_owned());
                }
                self.taken.certain |= turn || named;
                if turn || own || inside || self.interest.watched.contains(path) {
                    self.touch();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Event, RemoveKind};

    use super::*;

    fn signals() -> Signals {
        let set = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let signals = Signals::default();
        let watched = set(&["/p", "/", "/p/..1"]);
        signals.attend(Interest { dirs: set(&["/p"]), turns: set(&["/p", "/p/..data", "/p/..1/x"]), watched });
        signals
    }

    #[track_caller]
    fn check(kind: EventKind, path: &str, answered: bool, certain: bool) {
        let signals = signals();
        signals.notice(Ok(Event::new(kind).add_path(path.into())));
        let is_answered = signals.wait(Instant::now()) == Woken::Event;
        assert_eq!((is_answered, signals.take().certain), (answered, certain), "{kind:?} {path}");
    }

    #[test]
    fn only_what_matters_is_answered() {
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let created = EventKind::Create(CreateKind::Any);
        for kind in [written, closed, created] {
            check(kind, "/p/a.cedar", true, true);
            check(kind, "/p/..1/x", true, true);
            check(kind, "/other", false, false);
            check(kind, "/p/sub/a.cedar", false, false);
        }
        check(created, "/p/..data", true, true);
        check(created, "/p/sub", true, false);
        check(created, "/p", true, true);
        check(written, "/p/readme", false, false);
        check(written, "/p/.a.cedar.swp", false, false);
        for path in ["/p/a.cedar", "/p", "/p/..1/x"] {
            check(opened, path, false, false);
        }
    }

    #[test]
    fn a_lost_place_or_queue_is_told() {
        let signals = signals();
        signals.notice(Ok(Event::new(EventKind::Remove(RemoveKind::Folder)).add_path("/p/..1".into())));
        assert!(signals.take().lost.contains(Path::new("/p/..1")));
        signals.notice(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert_eq!(signals.wait(Instant::now()), Woken::Event);
        assert!(signals.take().all_lost);
        assert_eq!(signals.wait(Instant::now()), Woken::Timeout);
    }

    #[test]
    fn an_open_file_is_waited_for_but_not_for_ever() {
        let quiet = Duration::from_millis(20);
        let written =
            || Ok(Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any))).add_path("/p/a.cedar".into()));
        let signals = signals();
        signals.notice(written());
        let start = Instant::now();
        assert_eq!(signals.settle(quiet), Woken::Event);
        assert!(start.elapsed() >= quiet * (PATIENCE - 1));

        signals.take();
        signals.notice(written());
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        signals.notice(Ok(Event::new(closed).add_path("/p/a.cedar".into())));
        assert!(signals.lock().unfinished.is_empty());
    }
}
