//! What files held at one moment, to tell what changed after it.
//!
//! When the API acknowledges a change, the files as they are then are looked at. A load that brings what they held then
//! brings nothing new, whenever it comes, and one that brings anything else brings a later change. No clock is asked,
//! and it does not matter when a notification is heard.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::source::files::Stamp;

/// What one file holds, as it was loaded.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    sha256: [u8; 32],
    stamp: Option<Stamp>,
    /// When a name in any of the directories that were read changed last.
    named: Option<SystemTime>,
}

/// What files held at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    files: BTreeMap<String, Seen>,
    /// When it was taken, if a directory could not be listed then.
    hidden: Option<SystemTime>,
}

/// What was seen of one file. What a load brings of it is nothing new if any of this is true of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::source) struct Seen {
    /// It was not there.
    pub(in crate::source) gone: bool,
    /// What it held.
    pub(in crate::source) sha256: Option<[u8; 32]>,
    /// What the file system said of it, if it was not read or is empty.
    pub(in crate::source) stamp: Option<Stamp>,
}

// === impl Held ===

impl PartialEq for Held {
    /// What other files did to its directories is no part of it.
    fn eq(&self, other: &Self) -> bool {
        let Self { sha256, stamp, named: _ } = other;
        (self.sha256, self.stamp) == (*sha256, *stamp)
    }
}

impl Eq for Held {}

impl Held {
    /// A file that holds this.
    #[must_use]
    pub fn new(sha256: [u8; 32]) -> Self {
        Self { sha256, stamp: None, named: None }
    }

    /// A file that holds this, with what the file system said of it, in directories with these names since `named`.
    pub(in crate::source) fn with_stamp(sha256: [u8; 32], stamp: Stamp, named: Option<SystemTime>) -> Self {
        Self { sha256, stamp: Some(stamp), named }
    }

    /// Whether it had its name and held this at `at` already, by the times of the file system.
    fn was_there(&self, at: SystemTime) -> bool {
        self.named_before(at) && self.stamp.is_some_and(|stamp| stamp.is_older_than(at))
    }

    fn named_before(&self, at: SystemTime) -> bool {
        self.named.is_some_and(|named| named <= at)
    }

    /// The SHA-256 of what it holds.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

// === impl Picture ===

impl Picture {
    /// Of files that hold this, by their origins.
    #[must_use]
    pub fn of(files: &BTreeMap<String, Held>) -> Self {
        let seen = |held: &Held| Seen { sha256: Some(held.sha256), ..Seen::default() };
        Self { files: files.iter().map(|(origin, held)| (origin.clone(), seen(held))).collect(), hidden: None }
    }

    /// A directory could not be listed at this time: what is in it is told by its times.
    pub(in crate::source) fn hide(&mut self, at: SystemTime) {
        self.hidden = Some(at);
    }

    pub(in crate::source) fn add(&mut self, origin: &str, seen: Seen) {
        self.files.insert(origin.to_owned(), seen);
    }

    /// Whether files that were loaded are those that were seen.
    #[must_use]
    pub fn shows(&self, files: &BTreeMap<String, Held>) -> bool {
        let was_hidden = |held: &Held| self.hidden.is_some_and(|at| held.was_there(at));
        let names_stay = || self.hidden.is_none_or(|at| files.values().all(|held| held.named_before(at)));
        files.iter().all(|(origin, held)| self.files.contains_key(origin) || was_hidden(held))
            && self.files.iter().all(|(origin, seen)| match files.get(origin) {
                None => seen.gone && names_stay(),
                Some(held) => seen.is(held) || (seen.gone && was_hidden(held)),
            })
    }
}

impl Seen {
    fn is(&self, held: &Held) -> bool {
        let unchanged = || self.stamp.zip(held.stamp).is_some_and(|(then, now)| then.is_same_but_for_permissions(&now));
        self.sha256 == Some(held.sha256) || unchanged()
    }
}
