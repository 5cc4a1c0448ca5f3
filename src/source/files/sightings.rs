//! Since when each file has looked as it does, by our own looks.
//!
//! The clock of a file system need not be ours: it may be a server's, and either may be set. So how long a file has been
//! quiet is measured from the look that first found it so. A file's times only distinguish its states.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::source::files::scan::{Found, Scan};
use crate::source::files::stamp::Stamp;

/// What was found, by paths without links, and when it was first found so.
#[derive(Debug, Clone, Default)]
pub(super) struct Sightings(HashMap<PathBuf, (Stamp, Instant)>);

impl Sightings {
    /// Adds what a look found that ended at `now`, and forgets what it did not find.
    pub(super) fn note(&mut self, scan: &Scan, now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for file in &scan.files {
            // links may lead to one file more than once
            if self.0.contains_key(&file.real) {
                continue;
            }
            let (path, known) = match before.remove_entry(&file.real) {
                Some((path, known)) if known.0 == file.stamp => (path, known),
                _ => (file.real.clone(), (file.stamp, now)),
            };
            self.0.insert(path, known);
        }
    }

    /// How long a file has been known at `now` to look like this.
    pub(super) fn age(&self, file: &Found, now: Instant) -> Duration {
        match self.0.get(&file.real) {
            Some((stamp, since)) if *stamp == file.stamp => now.saturating_duration_since(*since),
            _ => Duration::ZERO,
        }
    }

    /// Whether every change of the file after `at` gives it another stamp: two changes within one step of the clock of
    /// files may leave the same one.
    pub(super) fn is_settled(&self, file: &Found, at: Instant) -> bool {
        self.age(file, at) >= file.stamp.step()
    }
}
