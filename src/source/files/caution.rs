//! What does not count at once: a file that is being written, and a file that has gone.
//!
//! A writer that cuts a file and fills it again, or removes it and makes it again, would else be read in between,
//! and policies would be published without the forbids that are still to come. So a load waits until a file that
//! vanished has been gone for `vanish_quiet`, and refuses while a file is known to be open for writing. A
//! file that was renamed into its place is whole, and costs no wait.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::source::files::Tree;
use crate::source::files::dirs::Dirs;
use crate::source::files::gone::Gone;
use crate::source::files::names::Role;
use crate::source::files::open::Unfinished;
use crate::source::files::picture::{self, KnownFile, KnownFiles};
use crate::source::files::read;
use crate::source::files::scan::{Found, Part, Scan};
use crate::source::files::settle::{self, Signals};
use crate::source::files::sightings::Sightings;
use crate::source::files::stamp::{CLOCK_STEP, Stamp};
use crate::source::files::writers::{self, Written};
use crate::source::{Loaded, Picture, Tell};
use palisade_engine::model::Diagnostic;

/// How often to look whether what vanished is back.
const LOOK: Duration = Duration::from_millis(50);

/// Looking takes at most one part in so many of the time.
const LOOK_SHARE: u32 = 10;

/// How often to look whether a file has been closed.
const CLOSE_LOOK: Duration = Duration::from_millis(10);

/// The longest that a load waits for the notifier to report what was just written.
const LONGEST_FRESH: Duration = Duration::from_millis(200);

/// As many times `load.vanish_quiet` passes until a file counts as whole, if its writer may have been missed while
/// the source was watched. Longer than most pauses of a writer.
const UNPROVEN: u32 = 3;

/// How much older than the quiet time a file must be at the start, by our clock and its own, to count as whole without
/// having been watched for as long. The two clocks need not be the same one, which is only known later.
const LONG_AGO: Duration = Duration::from_secs(60);

/// How often a load starts again since files change under it.
const ATTEMPTS: usize = 5;

/// What a source remembers between its loads.
#[derive(Debug, Default)]
pub(super) struct Caution {
    // std Mutex: held for look-ups in memory
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// What the last whole load read.
    good: Option<Arc<Scan>>,
    /// What each file held when it was last read.
    known: Arc<KnownFiles>,
    /// Since when each file has looked as it did when it was last listed.
    sightings: Arc<Sightings>,
    /// Since when files and directories of it have been missing.
    gone: Gone,
    /// What the watches know of files that are open.
    signals: Vec<Weak<Signals>>,
}

type Outcome = (Arc<Scan>, Result<Loaded, Vec<Diagnostic>>);

/// One moment, by the clock that never jumps, and by the one that can be compared with the times of files, if only as
/// far as they are the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) clock: SystemTime,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { instant: Instant::now(), clock: SystemTime::now() }
    }
}

/// What is known of a file that is not as it was when it was last loaded.
enum Age {
    /// A notification reported it, so long ago.
    Told(Duration),
    /// None did. It has been known to look like this for so long.
    Found(Duration),
}

// === impl Caution ===

impl Caution {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a watch, from now on, which files are being written.
    pub(super) fn listen(&self, signals: &Arc<Signals>) {
        let mut memory = self.lock();
        memory.signals.retain(|known| known.strong_count() > 0);
        memory.signals.push(Arc::downgrade(signals));
    }

    /// Looks at what the files hold now.
    pub(super) fn picture(&self, tree: &Tree) -> Picture {
        let (known, sightings) = {
            let memory = self.lock();
            (memory.known.clone(), memory.sightings.clone())
        };
        let signals = self.signals();
        let _reading = settle::reading(&signals);
        let (picture, read) = picture::take(tree, &known, &sightings);
        if !read.is_empty() {
            let mut memory = self.lock();
            // unless a load was faster
            if Arc::ptr_eq(&memory.known, &known) {
                let known = Arc::make_mut(&mut memory.known);
                known.extend(read);
            }
        }
        picture
    }

    /// Loads by `read_all`, when nothing speaks against the files as they are, and says what that waits for.
    pub(super) fn load(
        &self,
        tree: &Tree,
        tell: Tell<'_>,
        read_all: impl Fn() -> (Scan, Result<Loaded, Vec<Diagnostic>>),
    ) -> Outcome {
        let mut unsteady = Vec::new();
        for _ in 0..ATTEMPTS {
            self.wait_for_the_missing(tree, tell);
            match self.wait_for_the_young(tree, tell) {
                Ok(scan) => self.wait_for_a_step(&scan),
                Err((scan, problem)) => return (Arc::new(scan), Err(vec![*problem])),
            }
            if let Some((scan, problem)) = self.lost(tree) {
                return (Arc::new(scan), Err(vec![problem]));
            }
            let began = Instant::now();
            let reading = self.signals();
            let reading = settle::reading(&reading);
            let (scan, result) = read_all();
            drop(reading);
            let open = self.open(&scan, result.is_ok());
            if !open.is_empty() {
                if self.closes_soon(&scan) {
                    continue;
                }
                return (Arc::new(scan), Err(open));
            }
            let loaded = match result {
                Ok(loaded) => loaded,
                // it vanished after it was waited for
                Err(_) if self.young(&scan, tree.settings.vanish_quiet).is_some() => continue,
                Err(problems) => return (Arc::new(scan), Err(problems)),
            };
            // what was written a moment ago may be written on: the notifier reports it a moment later
            let fresh = self.freshness(&scan, tree.settings.quiet);
            if !fresh.is_zero() {
                thread::sleep(fresh);
            }
            // what happened until the last listing is heard of before it, and what comes later is no part of it
            let signals = self.signals();
            signals.iter().for_each(|signals| signals.catch_up());
            let again = !fresh.is_zero() || !signals.is_empty();
            let after = if again { Scan::of(tree) } else { scan.clone() };
            let steady = scan.is_same(&after);
            unsteady.extend(read::differences(&scan, &after));
            if steady
                && self.unfinished(&scan).is_empty()
                && self.unproven(&scan, tree.settings.vanish_quiet).is_none()
                && self.young(&scan, tree.settings.vanish_quiet).is_none()
            {
                let scan = Arc::new(scan);
                signals.iter().for_each(|signals| signals.forget_news(began));
                let mut memory = self.lock();
                let known = KnownFile::all(&scan, &loaded, &memory.sightings, began);
                memory.good = Some(Arc::clone(&scan));
                memory.known = Arc::new(known);
                return (scan, Ok(loaded));
            }
        }
        unsteady.sort();
        unsteady.dedup();
        if unsteady.is_empty() {
            unsteady.push(tree.shown());
        }
        (Arc::new(Scan::of(tree)), Err(unsteady.into_iter().map(read::unsteady_file).collect()))
    }

    /// The watches that know of files that are open.
    pub(super) fn signals(&self) -> Vec<Arc<Signals>> {
        self.lock().signals.iter().filter_map(Weak::upgrade).collect()
    }

    /// What there is to say of a place that need not be there, but was when it was last loaded: a mount that was
    /// lost looks like that.
    fn lost(&self, tree: &Tree) -> Option<(Scan, Diagnostic)> {
        let good = self.lock().good.clone()?;
        let roots = tree.roots();
        let root = roots.list().iter().find(|root| root.part == Part::Routes && !root.required)?;
        let had = good.files.iter().any(|file| file.role == Role::Routes);
        if !had || fs::symlink_metadata(&root.path).is_ok() {
            return None;
        }
        let message = "the routes were loaded from here, which no longer exists; they stay active";
        let help = "bring it back, or restart the sidecar if there are to be no routes";
        Some((Scan::of(tree), Diagnostic::error(root.path.display().to_string(), message).help(help).passing()))
    }

    /// Waits until every file whose writer may have been missed has been unchanged for long enough; gives what is there
    /// then, or what there is to say if that does not come.
    fn wait_for_the_young(&self, tree: &Tree, tell: Tell<'_>) -> Result<Scan, (Scan, Box<Diagnostic>)> {
        let quiet = tree.settings.vanish_quiet;
        let latest = Instant::now() + quiet * (UNPROVEN + 1);
        loop {
            let start = Instant::now();
            let scan = Scan::of(tree);
            let Some((origin, wait)) = self.unproven(&scan, quiet) else { return Ok(scan) };
            if start >= latest {
                let message = "this was changed without notice a moment ago, and may still be being written";
                let help = "write to a temporary name and rename it into place; it is read when it has been quiet";
                return Err((scan, Box::new(Diagnostic::error(origin, message).help(help).passing())));
            }
            let enough = humantime::format_duration(self.enough(quiet));
            let what = format!(
                "`{origin}` was changed a short time ago, and may still be being written: nothing is loaded until it has \
                 been the same for {enough} (`load.vanish_quiet`)"
            );
            tell(&what, start + wait);
            thread::sleep(wait.min(LOOK.max(start.elapsed() * LOOK_SHARE)));
        }
    }

    /// Waits a moment where much was just found to be new: a file too large for a look at the files to read again is
    /// known to be what was loaded only if its stamp shows every later change.
    fn wait_for_a_step(&self, scan: &Scan) {
        let sightings = self.lock().sightings.clone();
        let now = Instant::now();
        let new = scan.files.iter().filter(|file| sightings.age(file, now) < CLOCK_STEP);
        if new.map(|file| file.stamp.len).sum::<u64>() > picture::MOST_READ {
            thread::sleep(CLOCK_STEP);
        }
    }

    /// How long a file must have been the same whose writer may not have been noticed. The start is not to be held up for
    /// longer than a moment.
    fn enough(&self, quiet: Duration) -> Duration {
        if self.lock().good.is_some() { quiet * UNPROVEN } else { quiet }
    }

    /// The youngest file of those whose writer may not have been noticed, and how long until it counts as whole.
    /// Such a file was changed before its directory was watched (at the start, in a directory that was just made, after
    /// lost events) or is not watched at all; a tree that was renamed into its place is whole, and so is what the system
    /// says is closed in a directory that was seen to be made, or at the start where no other machine could write: such a
    /// file is waited for as any later change is, until it was quiet.
    pub(super) fn unproven(&self, scan: &Scan, quiet: Duration) -> Option<(String, Duration)> {
        self.unproven_at(scan, quiet, Now::read())
    }

    /// The same at a given time.
    pub(super) fn unproven_at(&self, scan: &Scan, quiet: Duration, now: Now) -> Option<(String, Duration)> {
        let enough = self.enough(quiet);
        let at_start = self.lock().good.is_none();
        let signals = self.signals();
        let _reading = settle::reading(&signals);
        let mut dirs = Dirs::default();
        let left = |(file, age)| match age {
            Age::Told(_) => None,
            Age::Found(age) => {
                let left = enough.checked_sub(age).filter(|left| !left.is_zero())?;
                let whole = signals
                    .iter()
                    .any(|signals| dirs.is_whole(signals, file) || (at_start && dirs.is_closed_here(signals, file)));
                (!whole).then_some((file, left))
            }
        };
        let found = self.ages(scan, enough, now).into_iter().filter_map(left);
        let (file, left): (&Found, Duration) = found.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        Some((file.origin.clone(), left))
    }

    /// How long each file has been as it is, but for those that need not be doubted, if there is a watch that may have
    /// something to say of them. The times of files are compared with each other alone, since their clock and ours are
    /// not the same one; at the start, when there is nothing else, what is far older than `enough` counts as whole.
    fn ages<'f>(&self, scan: &'f Scan, enough: Duration, now: Now) -> Vec<(&'f Found, Age)> {
        let signals = self.signals();
        let (good, sightings) = {
            let mut memory = self.lock();
            Arc::make_mut(&mut memory.sightings).note(scan, now.instant);
            (memory.good.clone(), memory.sightings.clone())
        };
        if signals.is_empty() {
            return Vec::new();
        }
        let known: HashMap<(Role, &str), Stamp> =
            good.iter().flat_map(|good| &good.files).map(|file| (place(file), file.stamp)).collect();
        let is_old = |file: &Found| {
            let age = file.stamp.changed_at().and_then(|changed| now.clock.duration_since(changed).ok());
            good.is_none() && age.is_some_and(|age| age >= enough + LONG_AGO)
        };
        let mut dirs = Dirs::default();
        let mut placed: Option<Vec<(PathBuf, Stamp)>> = None;
        let mut ages = Vec::new();
        for file in &scan.files {
            let before = known.get(&place(file));
            if before == Some(&file.stamp) || is_old(file) {
                continue;
            }
            let news = signals.iter().filter_map(|signals| dirs.news(signals, &file.real));
            // what was loaded and had its permissions or times set since then is no younger for that
            let told =
                news.filter(|news| news.content || before.is_some_and(|before| before.is_same_file(&file.stamp)));
            if let Some(at) = told.map(|news| news.at).max() {
                ages.push((file, Age::Told(now.instant.saturating_duration_since(at))));
                continue;
            }
            let placed = placed.get_or_insert_with(|| signals.iter().flat_map(|signals| signals.placed()).collect());
            let was_in =
                |(tree, stamp): &(PathBuf, Stamp)| file.real.starts_with(tree) && file.stamp.is_not_after(stamp);
            if !placed.iter().any(was_in) {
                ages.push((file, Age::Found(sightings.age(file, now.instant))));
            }
        }
        ages
    }

    /// Waits until everything that is missing has been so for long enough, or is back.
    fn wait_for_the_missing(&self, tree: &Tree, tell: Tell<'_>) {
        if self.lock().good.is_none() {
            return;
        }
        let quiet = tree.settings.vanish_quiet;
        loop {
            let start = Instant::now();
            let scan = Scan::of(tree);
            let Some((origin, wait)) = self.young(&scan, quiet) else { return };
            let enough = humantime::format_duration(quiet);
            let what = format!(
                "`{origin}` is no longer there or is empty, and may come back: nothing is loaded until it has been so for \
                 {enough} (`load.vanish_quiet`)"
            );
            tell(&what, start + wait);
            thread::sleep(wait.min(LOOK.max(start.elapsed() * LOOK_SHARE)));
        }
    }

    /// What of that which `scan` lacks does not count as gone yet, and how long until all of it is; `None` if it is.
    fn young(&self, scan: &Scan, quiet: Duration) -> Option<(String, Duration)> {
        let mut memory = self.lock();
        let good = memory.good.clone()?;
        let now = Instant::now();
        let (youngest, since) = memory.gone.note(&good, scan, now)?;
        let wait = (since + quiet).saturating_duration_since(now);
        (!wait.is_zero()).then(|| (youngest.to_owned(), wait))
    }

    /// The files that are known to be open and changed, as far as they count.
    fn unfinished(&self, scan: &Scan) -> Vec<Unfinished> {
        let mut found: Vec<Unfinished> = self.signals().iter().flat_map(|signals| signals.unfinished()).collect();
        found.retain(|unfinished| scan.files.iter().any(|file| file.real == unfinished.path));
        for signals in self.signals() {
            found.extend(signals.adrift(scan.files.iter()));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        found
    }

    /// What speaks against the files as they are: those that are being written, as the notifier reported and as the
    /// system says now. The latter also knows of a writer that was there before the watch was. It is asked after the
    /// files were read, and only for those that are not what they were at the last whole load.
    fn open(&self, scan: &Scan, read: bool) -> Vec<Diagnostic> {
        let unfinished = self.unfinished(scan);
        let good = self.lock().good.clone();
        let known: HashMap<(Role, &str), Stamp> =
            good.iter().flat_map(|good| &good.files).map(|file| (place(file), file.stamp)).collect();
        let told: HashSet<&Path> = unfinished.iter().map(|unfinished| unfinished.path.as_path()).collect();
        let asked = scan
            .files
            .iter()
            .filter(|file| known.get(&place(file)) != Some(&file.stamp) && !told.contains(file.real.as_path()));
        let signals = self.signals();
        let reading = settle::reading(&signals);
        let written = writers::written(asked, read);
        drop(reading);
        let told = unfinished.iter().map(|unfinished| being_written(&unfinished.path, unfinished));
        let told = told.chain(written.iter().map(not_closed));
        // first: it says the most
        let untold = signals.iter().find_map(|signals| signals.untold()).zip(scan.files.first()).map(|(why, file)| {
            Diagnostic::error(&file.origin, why)
                .help("write to a directory that is not read, and rename it into place")
                .passing()
        });
        untold.into_iter().chain(told).collect()
    }

    /// Whether what is open is closed within a moment: the news of it may be on its way.
    fn closes_soon(&self, scan: &Scan) -> bool {
        let latest = Instant::now() + LONGEST_FRESH;
        while Instant::now() < latest {
            thread::sleep(CLOSE_LOOK);
            if self.open(scan, false).is_empty() {
                return true;
            }
        }
        false
    }

    /// How long until the youngest file has been quiet, where a watch may have something to say of it.
    fn freshness(&self, scan: &Scan, quiet: Duration) -> Duration {
        let ages = self.ages(scan, quiet, Now::read()).into_iter();
        let youngest = ages.map(|(_, Age::Told(age) | Age::Found(age))| age).min();
        youngest.map_or(Duration::ZERO, |age| quiet.min(LONGEST_FRESH).saturating_sub(age))
    }
}

/// What makes two files the same one, whatever is in them.
pub(super) fn place(file: &Found) -> (Role, &str) {
    (file.role, &file.origin)
}

fn being_written(path: &Path, what: &dyn fmt::Display) -> Diagnostic {
    Diagnostic::error(path.display().to_string(), what.to_string())
        .help("nothing is loaded until it is closed; write to a temporary name and rename it into place")
        .passing()
}

fn not_closed(written: &Written) -> Diagnostic {
    if written.is_changed() {
        // it may have been replaced by a rename already
        return read::unsteady_file(written.path.display().to_string());
    }
    being_written(&written.path, written)
}

/// What a watch says while it waits for files to be closed.
pub(super) fn waits_for(files: &[Unfinished]) -> Option<String> {
    let first = files.first()?;
    let more = match files.len() {
        1 => String::new(),
        n => format!(", and {} more files are open", n - 1),
    };
    Some(format!("nothing is loaded: `{}`: {first}{more}", first.path.display()))
}
