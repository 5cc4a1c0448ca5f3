//! What happened since the last answer, and whether it is over.
//!
//! The notifier's thread adds, the watching thread waits and takes. However many events come, what is
//! kept is bounded by the paths that are watched and the files that are open for writing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};

use crate::source::files::names;
use crate::source::files::news::{News, Told};
use crate::source::files::open::{DOUBT_QUIET, Open, Unfinished};
use crate::source::files::scan::Found;
use crate::source::files::stamp::{Identity, Stamp};

/// As many times the quiet period passes at most until a change is answered.
pub(super) const PATIENCE: u32 = 10;

/// How many files being written are distinguished. While there are more, nothing is loaded.
const MAX_UNFINISHED: usize = 1_000;

/// How much later than a file is opened that may be announced.
const READ_LAG: Duration = Duration::from_millis(50);

/// How long it is remembered that a file is open that lost its name.
const LONGEST_ADRIFT: Duration = Duration::from_secs(60);

/// The longest that is waited for events that are on their way.
const LONGEST_LAG: Duration = Duration::from_millis(200);

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
    /// What is opened so that its news comes after all that happened before.
    awaited: Option<PathBuf>,
    /// When the first and the last unanswered event came.
    times: Option<(Instant, Instant)>,
    taken: Taken,
    /// Files that were made and perhaps not closed yet: if they are opened, it is by the process that makes them.
    made: BTreeSet<PathBuf>,
    /// Files that were written, or made and opened, and not closed yet. They outlive the answers.
    open: BTreeMap<PathBuf, Open>,
    /// Files that are open and lost their names, by what they are whatever their names, and when that was noticed. They
    /// count where they turn up again.
    adrift: HashMap<(u64, u64), (Instant, PathBuf, Open)>,
    /// Files that another opened, to read or to write, and no writer closed since; and whether more than once.
    opened: BTreeMap<PathBuf, bool>,
    /// What was open under the name that a rename takes away, by the number of the rename, and what is known of opens.
    moving: Option<(usize, Option<Open>, Option<bool>)>,
    /// When a file was last opened or changed of which there is no room to know, and since when that has been so.
    untold: Option<(SystemTime, Instant)>,
    /// How many of us read now, and until when opening a file is our own reading.
    readers: usize,
    reading: Option<Instant>,
    /// What is watched, and what each of them was when that was set.
    watched: BTreeMap<PathBuf, Identity>,
    /// What was reported of files in what has been watched ever since.
    news: Told,
    /// What a rename put into its place, as it was when that was noticed.
    placed: BTreeMap<PathBuf, Stamp>,
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
    /// It is time to look without an event.
    Timeout,
    /// It would be time, but a file is open and has been changed.
    Held,
}

/// We read: what is opened meanwhile, and announced a moment later, is opened by us.
#[must_use]
pub(super) struct Reading<'s>(&'s [Arc<Signals>]);

/// Says to the watches that we read, until it is dropped.
pub(super) fn reading(signals: &[Arc<Signals>]) -> Reading<'_> {
    signals.iter().for_each(|signals| signals.lock().readers += 1);
    Reading(signals)
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        for signals in self.0 {
            let mut pending = signals.lock();
            pending.readers = pending.readers.saturating_sub(1);
            pending.reading = Some(Instant::now() + READ_LAG);
        }
    }
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

    /// Lets go of open files that are no part of the bundle. One that gets another name counts again.
    pub(super) fn count_only(&self, is_part: impl Fn(&Path) -> bool) {
        let mut pending = self.lock();
        for (path, open) in &mut pending.open {
            open.counts = is_part(path);
        }
    }

    /// Says which events matter from now on.
    pub(super) fn attend(&self, interest: Interest) {
        let mut pending = self.lock();
        pending.interest = interest;
    }

    /// Waits until everything is heard that happened before: events come in their order, so that one of our own is
    /// made and waited for.
    pub(super) fn catch_up(&self) {
        let place = {
            let mut pending = self.lock();
            // where no load opens anything, so that no older event is taken for this one
            let quiet = |place: &&PathBuf| !pending.interest.dirs.contains(*place);
            let place = pending.watched.keys().find(quiet).or_else(|| pending.watched.keys().next()).cloned();
            pending.awaited.clone_from(&place);
            place
        };
        if place.is_none_or(|place| fs::File::open(place).is_err()) {
            self.lock().awaited = None;
            return;
        }
        let latest = Instant::now() + LONGEST_LAG;
        let mut pending = self.lock();
        while pending.awaited.is_some() && !pending.stop {
            let left = latest.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            pending = self.wait_for(pending, left);
        }
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
                    pending.judge(event.kind, path, event.tracker());
                }
            }
            // the queue overflowed, or worse: what happened is unknown
            Ok(_) | Err(_) => {
                pending.taken.all_lost = true;
                pending.news = Told::default();
                pending.doubt(Path::new("/"));
                pending.touch();
            }
        }
        drop(pending);
        self.bell.notify_all();
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

    /// Waits until nothing happened for `quiet` and every writer has closed its file.
    ///
    /// `Timeout` means that it became quiet, `Event` that it did not in time and must be answered as it is, and
    /// `Held` that files have been open for so long that it is worth saying.
    pub(super) fn settle(&self, quiet: Duration) -> Woken {
        let mut pending = self.lock();
        loop {
            if pending.stop {
                return Woken::Stopped;
            }
            let Some((first, last)) = pending.times else { return Woken::Timeout };
            let (now, latest) = (Instant::now(), first + quiet * PATIENCE);
            let until = if !pending.is_held() { latest.min(last + quiet) } else { latest };
            if now >= until {
                return match now >= latest {
                    true if !pending.is_held() => Woken::Event,
                    true => Woken::Held,
                    false => Woken::Timeout,
                };
            }
            pending = self.wait_for(pending, until - now);
        }
    }

    /// Waits until no file is open, or until `deadline`. What follows is a change of its own, with its own time.
    pub(super) fn wait_for_close(&self, deadline: Instant) -> Woken {
        let mut pending = self.lock();
        loop {
            if pending.stop {
                return Woken::Stopped;
            }
            if !pending.is_held() {
                let now = Instant::now();
                let last = pending.times.map_or(now, |(_, last)| last);
                pending.times = Some((now, last));
                return Woken::Event;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Timeout;
            }
            pending = self.wait_for(pending, left);
        }
    }

    /// The files that are open and changed. Looks at each, and forgets those that are gone or were closed unnoticed.
    pub(super) fn unfinished(self: &Arc<Self>) -> Vec<Unfinished> {
        let open = self.lock().open.clone();
        if open.is_empty() {
            return Vec::new();
        }
        // not under the lock: a look may take long on a slow file system
        let reading = reading(std::slice::from_ref(self));
        let looked: Vec<_> = open.into_iter().map(|(path, open)| open.look(path)).collect();
        drop(reading);
        let mut pending = self.lock();
        let mut unfinished = Vec::new();
        for looked in looked {
            if let Some(known) = pending.open.get_mut(&looked.path) {
                match looked.open {
                    Some(open) => *known = open.since_then(known),
                    None => drop(pending.open.remove(&looked.path)),
                }
                if let Some(away) = looked.away {
                    pending.set_adrift(looked.path.clone(), away);
                }
            }
            unfinished.extend(looked.unfinished);
        }
        drop(pending);
        self.bell.notify_all();
        unfinished
    }

    /// The message while more files are open than can be distinguished.
    pub(super) fn untold(&self) -> Option<String> {
        let since = jiff::Timestamp::try_from(self.lock().untold()?).unwrap_or_default();
        Some(format!(
            "more than {MAX_UNFINISHED} files have been open at once since {since:.0}, so that it is not known of each \
             whether it is closed: nothing is loaded until they have not changed for {DOUBT_QUIET:?}"
        ))
    }

    /// Those of `files` that were open when they had other names, and are not known to be closed.
    pub(super) fn adrift<'f>(self: &Arc<Self>, files: impl Iterator<Item = &'f Found>) -> Vec<Unfinished> {
        let adrift = self.lock().adrift.clone();
        let mut unfinished = Vec::new();
        for file in files.filter(|_| !adrift.is_empty()) {
            let Some((_, _, open)) = adrift.get(&file.stamp.place()) else { continue };
            let reading = reading(std::slice::from_ref(self));
            let looked = open.clone().look(file.real.clone());
            drop(reading);
            let mut pending = self.lock();
            if let Some((since, path, known)) = pending.adrift.get_mut(&file.stamp.place()) {
                match looked.open {
                    Some(open) => (*since, *path, *known) = (Instant::now(), file.real.clone(), open.since_then(known)),
                    None if looked.away.is_some() => {}
                    None => drop(pending.adrift.remove(&file.stamp.place())),
                }
            }
            unfinished.extend(looked.unfinished);
        }
        unfinished
    }

    /// Says what is watched from now on, each with what it was when that was set, and forgets the rest.
    pub(super) fn watched(&self, places: impl Iterator<Item = (PathBuf, Identity)>) {
        let mut pending = self.lock();
        pending.watched = places.collect();
        let Pending { watched, news, .. } = &mut *pending;
        news.keep(|path, _| path.parent().is_some_and(|dir| watched.contains_key(dir)));
    }

    /// Nothing is watched any more: what happened until a new watch was not announced.
    pub(super) fn unwatched(&self, place: &Path) {
        let mut pending = self.lock();
        pending.watched.retain(|watched, _| !watched.starts_with(place));
        pending.news.keep(|path, _| !path.starts_with(place));
    }

    /// What a directory was when it was set under watch, if it is.
    pub(super) fn watched_as(&self, dir: &Path) -> Option<Identity> {
        self.lock().watched.get(dir).copied()
    }

    /// What notifications reported of a file since its directory has been watched, or since it was last loaded.
    pub(super) fn news(&self, path: &Path) -> Option<News> {
        self.lock().news.of(path)
    }

    /// Everything was loaded by a load that began then.
    pub(super) fn forget_news(&self, began: Instant) {
        self.lock().news.keep(|_, news| news.at >= began);
    }

    /// The trees that were put into their places by a rename, by paths without links, and what the system said of them
    /// then: what is in them and was not touched later, by the same clock, was there.
    pub(super) fn placed(&self) -> Vec<(PathBuf, Stamp)> {
        let placed = self.lock().placed.clone();
        placed
            .into_iter()
            .filter(|(path, noticed)| place_of(path) == Some(noticed.place()))
            .filter_map(|(path, noticed)| Some((fs::canonicalize(path).ok()?, noticed)))
            .collect()
    }

    /// Closing a file below `place` may have been missed.
    pub(super) fn doubt(&self, place: &Path) {
        self.lock().doubt(place);
    }

    fn wait_for<'a>(&self, pending: MutexGuard<'a, Pending>, time: Duration) -> MutexGuard<'a, Pending> {
        self.bell.wait_timeout(pending, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes what there is to answer. What comes later is answered later.
    pub(super) fn take(&self) -> Taken {
        let mut pending = self.lock();
        pending.times = None;
        // a process that opens them from here on may be reading
        pending.made.clear();
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

    /// Whether a file of the bundle is open.
    fn is_held(&self) -> bool {
        self.open.values().any(|open| open.counts) || self.untold().is_some()
    }

    fn judge(&mut self, kind: EventKind, path: &Path, tracker: Option<usize>) {
        let own = self.interest.dirs.contains(path);
        let inside = path.parent().is_some_and(|dir| self.interest.dirs.contains(dir));
        let turn = self.interest.turns.contains(path);
        let name = path.file_name().unwrap_or_default();
        let named = inside && names::may_be_read(&name.to_string_lossy());
        if matches!(kind, EventKind::Access(AccessKind::Open(_))) {
            self.was_opened(path, turn || inside);
        }
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.made.remove(path);
                self.opened.remove(path);
                if self.open.get_mut(path).is_none_or(Open::closed) {
                    self.open.remove(path);
                }
                if !self.adrift.is_empty() {
                    let place = place_of(path);
                    self.adrift
                        .retain(|at, (_, known, open)| !((known == path || Some(*at) == place) && open.closed()));
                }
            }
            EventKind::Access(AccessKind::Open(_)) if self.made.remove(path) => self.is_open(path, Open::made()),
            // reading, ours included, changes nothing
            EventKind::Access(_) => return,
            // whatever its name: it may be renamed before it is closed
            EventKind::Modify(ModifyKind::Data(_)) if turn || inside => {
                // `truncate` by path opens nothing, and a file that lost its name is written under it all the same
                let opened = self.opened.get(path);
                let open = opened.map_or_else(Open::perhaps_written, |several| Open::written_by(*several));
                self.is_open(path, open.counting(turn || named));
                if turn || named {
                    self.news.hear(path, true);
                }
            }
            EventKind::Modify(ModifyKind::Metadata(_)) if turn || named => self.news.hear(path, false),
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {}
            // names came, went or moved; any of them may be a directory
            _ => return self.judge_name(kind, path, tracker, turn || named, own || inside),
        }
        if turn || named {
            self.taken.certain = true;
            self.touch();
        } else if own {
            // permissions, perhaps
            self.touch();
        }
    }

    fn judge_name(&mut self, kind: EventKind, path: &Path, tracker: Option<usize>, matters: bool, near: bool) {
        // this event repeats what two others have reported
        let twice = matches!(kind, EventKind::Modify(ModifyKind::Name(RenameMode::Both)));
        let was_open = if twice { None } else { self.open.remove(path) };
        let was_opened = if twice { None } else { self.opened.remove(path) };
        // from here on it counts wherever it turns up
        if let Some(open) = &was_open {
            self.set_adrift(path.to_owned(), open.clone());
        }
        self.made.remove(path);
        if !twice {
            self.news.forget(path);
        }
        if matters && matches!(kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To))) {
            self.news.hear(path, true);
        }
        match kind {
            // what is in it by the time that it is watched was not announced, but this shows that its writer is heard of
            EventKind::Create(CreateKind::Folder) if near => self.news.hear(path, true),
            EventKind::Create(CreateKind::File | CreateKind::Any) if matters && self.made.len() < MAX_UNFINISHED => {
                self.made.insert(path.to_owned());
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.moving = tracker.map(|number| (number, was_open, was_opened));
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                // a file that is written on under its new name is no more whole than it was
                if let Some((number, open, opened)) = self.moving.take()
                    && Some(number) == tracker
                    && (matters || near)
                {
                    if let Some(several) = opened.filter(|_| self.opened.len() < MAX_UNFINISHED) {
                        self.opened.insert(path.to_owned(), several);
                    }
                    if let Some(open) = open {
                        open.place.and_then(|place| self.adrift.remove(&place));
                        self.is_open(path, open.counting(matters));
                    }
                } else if let Some((_, _, open)) = place_of(path).and_then(|place| self.adrift.remove(&place)) {
                    // it lost its name in another way
                    self.is_open(path, open.counting(matters));
                }
            }
            _ => {}
        }
        let watched = self.interest.watched.contains(path);
        if matches!(kind, EventKind::Modify(ModifyKind::Name(RenameMode::To))) && (matters || near || watched) {
            if self.placed.len() >= MAX_UNFINISHED {
                self.placed.clear();
            }
            if let Some(stamp) = stamp_of(path) {
                self.placed.insert(path.to_owned(), stamp);
            }
        }
        if watched {
            self.taken.lost.insert(path.to_owned());
            // with the directory goes the watch, and with the watch the news that its files are closed
            self.doubt(path);
        }
        self.taken.certain |= matters;
        if matters || near || watched {
            self.touch();
        }
    }

    /// A file was opened, to read or to write: perhaps by us.
    fn was_opened(&mut self, path: &Path, matters: bool) {
        if self.awaited.as_deref() == Some(path) {
            self.awaited = None;
        }
        if !matters || self.readers > 0 || self.reading.is_some_and(|until| Instant::now() <= until) {
            return;
        }
        if let Some(several) = self.opened.get_mut(path) {
            *several = true;
        } else if self.opened.len() < MAX_UNFINISHED {
            // what finds no room is doubted when it is changed
            self.opened.insert(path.to_owned(), false);
        }
        if let Some(open) = self.open.get_mut(path) {
            open.opened();
        }
    }

    fn is_open(&mut self, path: &Path, mut open: Open) {
        if let Some(known) = self.open.get_mut(path) {
            known.counts |= open.counts;
            return known.again(&open);
        }
        // what does not count yet leaves room for what does
        if self.open.len() < if open.counts { MAX_UNFINISHED } else { MAX_UNFINISHED / 2 } {
            open.place = open.place.or_else(|| place_of(path));
            self.open.insert(path.to_owned(), open);
        } else {
            self.forget_one();
        }
    }

    /// A file is open that there is no room to know: all are held back until such files have been quiet for long enough.
    fn forget_one(&mut self) {
        let since = self.untold().unwrap_or_else(SystemTime::now);
        self.untold = Some((since, Instant::now()));
    }

    /// Since when files may be open that are not known.
    fn untold(&self) -> Option<SystemTime> {
        self.untold.filter(|(_, last)| last.elapsed() < DOUBT_QUIET).map(|(since, _)| since)
    }

    /// A file that is open lost its name: a close of it may be missed from here on.
    fn set_adrift(&mut self, path: PathBuf, mut open: Open) {
        let Some(place) = open.place else { return };
        self.adrift.retain(|_, (since, _, _)| since.elapsed() < LONGEST_ADRIFT);
        if self.adrift.len() < MAX_UNFINISHED {
            open.doubt();
            self.adrift.insert(place, (Instant::now(), path, open));
        } else {
            self.forget_one();
        }
    }

    fn doubt(&mut self, place: &Path) {
        for (_, open) in self.open.iter_mut().filter(|(path, _)| path.starts_with(place)) {
            open.doubt();
        }
    }
}

/// Which file is at a path, whatever its names.
fn place_of(path: &Path) -> Option<(u64, u64)> {
    Some(stamp_of(path)?.place())
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    Some(Stamp::of(&fs::symlink_metadata(path).ok()?))
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
