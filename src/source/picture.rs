//! What files held at one moment, to tell what changed after it.
//!
//! When the API acknowledges a change, the files as they are then are looked at. A load that brings what they held then
//! brings nothing new, whenever it comes, and one that brings anything else brings a later change. No clock is asked,
//! and it does not matter when a notification is heard.

use std::collections::BTreeMap;

use crate::source::files::Stamp;

/// What one file holds, as it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    sha256: [u8; 32],
    stamp: Option<Stamp>,
}

/// What files held at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    files: BTreeMap<String, Seen>,
}

/// What was seen of one file. What a load brings of it is nothing new if any of this is true of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::source) struct Seen {
    /// It was not there.
    pub(in crate::source) gone: bool,
    /// What it held.
    pub(in crate::source) sha256: Option<[u8; 32]>,
    /// What the file system said of it, where that is sure to change with what it holds.
    pub(in crate::source) stamp: Option<Stamp>,
}

// === impl Held ===

impl Held {
    /// A file that holds this.
    #[must_use]
    pub fn new(sha256: [u8; 32]) -> Self {
        Self { sha256, stamp: None }
    }

    pub(in crate::source) fn with_stamp(sha256: [u8; 32], stamp: Stamp) -> Self {
        Self { sha256, stamp: Some(stamp) }
    }

    pub(in crate::source) fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

// === impl Picture ===

impl Picture {
    /// Of files that hold this, by their origins.
    #[must_use]
    pub fn of(files: &BTreeMap<String, Held>) -> Self {
        let seen = |held: &Held| Seen { sha256: Some(held.sha256), ..Seen::default() };
        Self { files: files.iter().map(|(origin, held)| (origin.clone(), seen(held))).collect() }
    }

    pub(in crate::source) fn add(&mut self, origin: &str, seen: Seen) {
        self.files.insert(origin.to_owned(), seen);
    }

    /// Whether files that were loaded are those that were seen.
    #[must_use]
    pub fn shows(&self, files: &BTreeMap<String, Held>) -> bool {
        files.keys().all(|origin| self.files.contains_key(origin))
            && self.files.iter().all(|(origin, seen)| seen.is(files.get(origin)))
    }
}

impl Seen {
    fn is(&self, held: Option<&Held>) -> bool {
        match held {
            None => self.gone,
            Some(held) => self.sha256 == Some(held.sha256) || (self.stamp.is_some() && self.stamp == held.stamp),
        }
    }
}
