//! Notices that a tree changed: by the system's notifications, and by looking in case that they fail.
//!
//! Directories are watched one by one, not recursively, because links must be followed and because a
//! directory that was replaced must be watched again. Notifications can be lost in many ways (limits,
//! network file systems, a queue that overflows), so the tree is also compared with itself every now
//! and then; a difference that no notification reported sets all watches again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::ErrorKind;

use crate::source::files::Tree;
use crate::source::files::caution::waits_for;
use crate::source::files::notifier::Notifier;
use crate::source::files::scan::Scan;
use crate::source::files::settle::{Interest, PATIENCE, Signals, Taken, Woken};
use crate::source::files::stamp::Identity;
use crate::source::{Health, Wake, Watch};

/// How long to wait at most between two looks while notifications do not work.
const DEGRADED_POLL: Duration = Duration::from_secs(1);

/// How often to look whether a file that is waited for is still there.
const CLOSE_LOOK: Duration = Duration::from_millis(500);

/// How long no change must have come without notification until notifications count as working again.
const TRUST_AGAIN: Duration = Duration::from_secs(10);

/// Looking takes at most one part in so many of the time.
const POLL_SHARE: u32 = 20;

/// Makes the notifier that feeds the signals. Tests put one in that fails.
pub(super) type MakeWatcher = fn(Arc<Signals>) -> notify::Result<Notifier>;

/// Starts to watch. `loaded` is what the last load saw; what differs from it counts as a change.
pub(super) fn start(
    tree: Arc<Tree>,
    loaded: Option<Arc<Scan>>,
    signals: Arc<Signals>,
    make: MakeWatcher,
    wake: Wake,
) -> Watch {
    let health = Arc::new(Health::default());
    let mut watching = Watching {
        arms: Arms {
            make,
            signals: Arc::clone(&signals),
            watcher: None,
            armed: BTreeMap::new(),
            dirs: BTreeSet::new(),
            failure: None,
        },
        seen: Arc::new(Scan::default()),
        cost: Duration::ZERO,
        unannounced: false,
        unannounced_at: None,
        health: Arc::clone(&health),
        signals: Arc::clone(&signals),
        tree,
        wake,
    };
    // before this returns, so that a load that follows it leaves no gap
    let now = watching.arm(&Taken::default());
    if loaded.as_ref().is_some_and(|loaded| !loaded.is_same(&now)) {
        signals.suspect();
    }
    watching.seen = loaded.unwrap_or(now);
    Watch::spawn("watch-files", health, move || signals.stop(), move || watching.run())
}

/// The state of the watching thread.
struct Watching {
    tree: Arc<Tree>,
    signals: Arc<Signals>,
    health: Arc<Health>,
    wake: Wake,
    arms: Arms,
    /// What was there when it was last looked at, or when `wake` was last called.
    seen: Arc<Scan>,
    /// How long it takes to look.
    cost: Duration,
    /// The last change came without a notification.
    unannounced: bool,
    /// When it came.
    unannounced_at: Option<Instant>,
}

// === impl Watching ===

impl Watching {
    fn run(mut self) {
        let quiet = self.tree.settings.quiet;
        loop {
            let quietly_changed = match self.signals.wait(Instant::now() + self.interval()) {
                Woken::Stopped => return,
                Woken::Event | Woken::Held => false,
                Woken::Timeout => {
                    let looked = Instant::now();
                    let now = self.arm(&Taken::default());
                    if self.seen.is_same(&now) {
                        self.health.set_same(looked);
                        // nothing was missed for so long that notifications count as working again
                        if self.unannounced_at.is_some_and(|at| at.elapsed() >= TRUST_AGAIN) {
                            self.unannounced_at = None;
                            self.unannounced = false;
                        }
                        continue;
                    }
                    true
                }
            };
            let announced = if quietly_changed { self.settle_by_looking(quiet) } else { self.settle(quiet) };
            let Some(announced) = announced else { return };
            let steady = self.seen.problems.is_empty();
            self.unannounced = self.tree.settings.notifications && !announced && steady;
            self.answer();
            self.unannounced_at = self.unannounced.then(Instant::now);
        }
    }

    /// Waits for the end of a change that events announced, and until every writer has closed its file, however
    /// long that takes; `None` if the watch ended.
    fn settle(&self, quiet: Duration) -> Option<bool> {
        loop {
            match self.signals.settle(quiet) {
                Woken::Stopped => return None,
                Woken::Held => {}
                Woken::Event | Woken::Timeout => {
                    self.health.set_waits(None);
                    return Some(true);
                }
            }
            self.health.set_looks(Some(Instant::now()));
            let scan = Scan::of(&self.tree);
            self.health.set_looks(None);
            let parts: BTreeSet<&Path> = scan.files.iter().map(|file| file.real.as_path()).collect();
            // a look that failed does not know what is part of the bundle
            let whole = scan.problems.iter().all(|problem| !problem.passing);
            self.signals.count_only(|path| !whole || parts.contains(path));
            let mut unfinished = self.signals.unfinished();
            unfinished.retain(|file| !whole || parts.contains(file.path.as_path()));
            self.health.set_waits(self.signals.untold().or_else(|| waits_for(&unfinished)));
            if self.signals.wait_for_close(Instant::now() + CLOSE_LOOK) == Woken::Stopped {
                return None;
            }
        }
    }

    /// Waits for the end of a change that was seen; says whether events came after all.
    fn settle_by_looking(&mut self, quiet: Duration) -> Option<bool> {
        let latest = Instant::now() + quiet * PATIENCE;
        let mut before = self.look();
        loop {
            match self.signals.wait(Instant::now() + quiet) {
                Woken::Stopped => return None,
                Woken::Event | Woken::Held => return self.settle(quiet),
                Woken::Timeout => {}
            }
            let now = self.look();
            if before.is_same(&now) || Instant::now() >= latest {
                return Some(false);
            }
            before = now;
        }
    }

    /// Sets the watches for what is there now, and wakes if that is something else, or may be.
    fn answer(&mut self) {
        // first: what happens from here on is for the next answer
        let mut taken = self.signals.take();
        // a look that failed is no evidence that events were lost
        self.unannounced &= self.look().problems.is_empty();
        taken.all_lost |= self.unannounced;
        let now = self.arm(&taken);
        if taken.certain || !self.seen.is_same(&now) {
            self.seen = now;
            (self.wake)();
        }
    }

    fn look(&mut self) -> Arc<Scan> {
        let start = Instant::now();
        // others see since when, if this does not end
        self.health.set_looks(Some(start));
        let scan = Arc::new(Scan::of(&self.tree));
        self.health.set_looks(None);
        self.cost = start.elapsed();
        scan
    }

    /// Looks, and watches what there is to watch.
    fn arm(&mut self, taken: &Taken) -> Arc<Scan> {
        let mut now = self.look();
        if self.tree.settings.notifications {
            let mut added = self.arms.set(&now, taken);
            // what was put into a directory before it was watched was not announced
            for _ in 0..3 {
                if !added {
                    break;
                }
                now = self.look();
                added = self.arms.set(&now, &Taken::default());
            }
            let unannounced = || "changes come without notification, as from a network file system".to_owned();
            let reason = self.arms.failure.clone().or_else(|| self.unannounced.then(unannounced));
            self.health
                .set(reason.map(|reason| format!("{reason}; files are compared every {:?} instead", self.poll(true))));
        }
        now
    }

    fn interval(&self) -> Duration {
        self.poll(self.health.late().is_some()).max(self.cost * POLL_SHARE)
    }

    fn poll(&self, degraded: bool) -> Duration {
        let poll = self.tree.settings.poll;
        if degraded { poll.min(DEGRADED_POLL) } else { poll }
    }
}

/// Why there is no notifier, and which limit to raise where it is one.
fn no_notifier(error: &notify::Error) -> String {
    let code = match &error.kind {
        ErrorKind::Io(error) => error.raw_os_error(),
        _ => None,
    };
    let why = match code {
        Some(libc::EMFILE) => {
            "all inotify instances of this user, or all open files of this process, are in use: raise \
             `sysctl fs.inotify.max_user_instances`, or `ulimit -n`"
                .to_owned()
        }
        Some(libc::ENFILE) => "all open files of the system are in use: raise `sysctl fs.file-max`".to_owned(),
        _ => error.to_string(),
    };
    format!("file notifications cannot be set up: {why}")
}

/// The watches that are set.
struct Arms {
    make: MakeWatcher,
    signals: Arc<Signals>,
    watcher: Option<Notifier>,
    armed: BTreeMap<PathBuf, Identity>,
    /// The directories in which a new name matters.
    dirs: BTreeSet<PathBuf>,
    /// Why not everything is watched.
    failure: Option<String>,
}

// === impl Arms ===

impl Arms {
    /// Watches what the scan needs and nothing else; says whether anything is watched that was not.
    fn set(&mut self, scan: &Scan, taken: &Taken) -> bool {
        let mut places: BTreeSet<PathBuf> = scan.dirs.clone();
        places.extend(scan.turns.iter().filter_map(|turn| turn.parent()).map(Path::to_owned));
        let identity = |place: PathBuf| Some((Identity::of(&fs::metadata(&place).ok()?), place));
        let mut dirs = scan.dirs.clone();
        let mut wanted: BTreeMap<_, _> =
            places.into_iter().filter_map(identity).map(|(id, place)| (place, id)).collect();

        if scan.problems.iter().any(|problem| problem.passing) {
            // a scan that failed says nothing of what is below: whatever is still there stays watched
            wanted.extend(self.armed.keys().cloned().filter_map(identity).map(|(id, place)| (place, id)));
            dirs.extend(self.dirs.iter().filter(|dir| wanted.contains_key(*dir)).cloned());
        }
        self.dirs.clone_from(&dirs);

        // before the watches, so that no event of theirs is taken for nothing
        let watched = wanted.keys().cloned().collect();
        self.signals.attend(Interest { dirs, turns: scan.turns.clone(), watched });

        self.failure = None;
        if taken.all_lost || !self.watcher.as_ref().is_some_and(Notifier::works) {
            self.signals.doubt(Path::new("/"));
            self.signals.unwatched(Path::new("/"));
            match (self.make)(Arc::clone(&self.signals)) {
                Ok(watcher) => {
                    self.armed.clear();
                    self.watcher = Some(watcher);
                    // what the old one reported meanwhile is from before the gap
                    self.signals.unwatched(Path::new("/"));
                }
                // the old one stays: one that misses events is better than none
                Err(error) => self.failure = Some(no_notifier(&error)),
            }
        }
        let Some(watcher) = &mut self.watcher else { return false };
        self.armed.retain(|place, identity| {
            // with a directory that moves away, the notifier forgets those below it too
            let lost = taken.lost.iter().any(|lost| place.starts_with(lost));
            let stays = wanted.get(place) == Some(identity) && !lost;
            if !stays {
                self.signals.doubt(place);
                // fails if the watch went with the directory, which is as good
                let _ = watcher.unwatch(place);
                self.signals.unwatched(place);
            }
            stays
        });
        let mut added = false;
        for (place, identity) in wanted {
            if self.armed.contains_key(&place) {
                continue;
            }
            match watcher.watch(&place) {
                // if another directory is there by now, the next look sees that it is not this one
                Ok(()) => {
                    added = true;
                    self.armed.insert(place, identity);
                }
                // it has gone since; the event that says so comes, or the next look finds it
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    self.failure = Some(match error.kind {
                        ErrorKind::MaxFilesWatch => "the system's limit of watched directories is reached: raise \
                             `sysctl fs.inotify.max_user_watches`"
                            .to_owned(),
                        _ => format!("`{}` cannot be watched: {error}", place.display()),
                    });
                }
            }
        }
        if !watcher.works() {
            // nothing is watched any more; the next look makes another
            self.armed.clear();
            self.signals.doubt(Path::new("/"));
            self.failure = Some("file notifications have stopped".to_owned());
        }
        self.signals.watched(self.armed.iter().map(|(place, identity)| (place.clone(), *identity)));
        added
    }
}
