//! When files were changed, by what the notifier told and by what looking found.
//!
//! A change of the API that was acknowledged replaces the files as they were before it, and is replaced by the next
//! change of the files. So each file has an age of its own: an event of one file says nothing of another, and a file
//! that was only touched has not changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::source::Ages;
use crate::source::files::names::Role;
use crate::source::files::scan::{Found, Scan};

/// As many paths are told apart; what happens to more happens to all.
const MAX_PATHS: usize = 10_000;

/// How much the times of files may lag behind the clock.
const FILE_CLOCK: Duration = Duration::from_millis(10);

/// What is known of the times of changes.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// When something happened last that may concern every file.
    all: Option<Instant>,
    /// When something happened last to each path: a file, or a directory and all that is in it.
    paths: HashMap<PathBuf, Instant>,
    /// The last listing, and when it was begun.
    seen: Option<(Instant, Arc<Scan>)>,
}

// === impl Heard ===

impl Heard {
    /// Something happens now that may concern every file.
    pub(super) fn of_all(&mut self) {
        self.all = Some(Instant::now());
    }

    /// Something happens now to one file or directory.
    pub(super) fn of(&mut self, path: &Path) {
        self.at(path, Instant::now());
    }

    fn at(&mut self, path: &Path, at: Instant) {
        if let Some(known) = self.paths.get_mut(path) {
            *known = at.max(*known);
        } else if self.paths.len() < MAX_PATHS {
            self.paths.insert(path.to_owned(), at);
        } else {
            self.paths.clear();
            self.of_all();
        }
    }

    /// Takes a listing that was begun at `from`. What differs from the one before, though no event told of it, has
    /// changed now; gives that.
    pub(super) fn saw(&mut self, scan: &Arc<Scan>, from: Instant) -> HashMap<PathBuf, Instant> {
        let mut found = HashMap::new();
        let since = self.seen.as_ref().map(|(since, _)| *since);
        // a listing that failed says nothing of what it lacks, and where two look at once the later one counts
        if !scan.problems.is_empty() || since.is_some_and(|since| from < since) {
            return found;
        }
        let Some((since, before)) = self.seen.replace((from, Arc::clone(scan))) else { return found };
        for (path, file) in differences(&before, scan) {
            if self.paths.get(path).is_some_and(|told| *told >= since) {
                continue;
            }
            let above = path.parent().and_then(|dir| age_above(&self.paths, dir));
            found.insert(path.to_owned(), first_seen(file, self.all.max(above).filter(|above| *above >= since)));
        }
        for (path, at) in &found {
            self.at(path, *at);
        }
        found
    }

    /// When something happened last that may concern every file, and to each path.
    pub(super) fn times(&self) -> (Option<Instant>, HashMap<PathBuf, Instant>) {
        (self.all, self.paths.clone())
    }
}

/// Adds the times of `paths` to the ages of the files in `scans`.
pub(super) fn age_by_path(ages: &mut Ages, paths: &HashMap<PathBuf, Instant>, scans: &[&Scan]) {
    if paths.is_empty() {
        return;
    }
    let mut above: Option<(&Path, Option<Instant>)> = None;
    for file in scans.iter().flat_map(|scan| &scan.files) {
        let dir = file.real.parent().unwrap_or(&file.real);
        // most files are beside the one before
        let of_dir = match above {
            Some((known, at)) if known == dir => at,
            _ => above.insert((dir, age_above(paths, dir))).1,
        };
        if let Some(at) = paths.get(&file.real).copied().max(of_dir) {
            let age = ages.files.entry(file.origin.clone()).or_insert(at);
            *age = at.max(*age);
        }
    }
}

/// When something happened last to a directory or one that it is in.
fn age_above(paths: &HashMap<PathBuf, Instant>, dir: &Path) -> Option<Instant> {
    dir.ancestors().filter_map(|place| paths.get(place)).max().copied()
}

/// When a file changed that is `found` now, and of which no event told but perhaps one of what is `above` it. In a
/// directory that was made or came, files change before it is watched: there the file's own time tells.
fn first_seen(found: Option<&Found>, above: Option<Instant>) -> Instant {
    let now = Instant::now();
    let Some(above) = above else { return now };
    let changed = found.and_then(|file| {
        let age = SystemTime::now().duration_since(file.stamp.changed_at()?).ok()?;
        Some(now.checked_sub(age)? + FILE_CLOCK)
    });
    changed.map_or(above, |changed| changed.clamp(above, now))
}

/// The files that are in one listing only or not the same in both, with what they are in `after`.
fn differences<'s>(before: &'s Scan, after: &'s Scan) -> Vec<(&'s Path, Option<&'s Found>)> {
    if before.files == after.files {
        return Vec::new();
    }
    let mut old: HashMap<(Role, &Path), &Found> =
        before.files.iter().map(|file| ((file.role, file.real.as_path()), file)).collect();
    let mut found = Vec::new();
    for file in &after.files {
        if old.remove(&(file.role, file.real.as_path())).is_none_or(|known| known.stamp != file.stamp) {
            found.push((file.real.as_path(), Some(file)));
        }
    }
    found.extend(old.into_keys().map(|(_, path)| (path, None)));
    found
}
