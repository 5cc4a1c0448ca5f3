//! What files held at one moment, to see what changed after it.
//!
//! When the API acknowledges a change, the files as they are then are looked at. A load that brings what they held then
//! brings nothing new, whenever it comes, and one that brings anything else brings a later change. No clock is asked,
//! neither ours nor that of files, and it does not matter when a notification is heard.
//!
//! What cannot be seen then counts as what was last loaded. Whatever else turns up there counts as changed
//! afterwards: times prove nothing (clocks differ and are set, a volume that is mounted later has old ones, and tools
//! set the times of files back), and a `forbid` that is skipped would be so for good. So the hash of what is read
//! decides.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

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
    /// Not everything could be listed.
    partial: bool,
}

/// What was seen of one file. What a load brings of it is nothing new if any of this is true of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::source) struct Seen {
    /// It was not there. Not so if the place where it would be could not be seen.
    pub(in crate::source) gone: bool,
    /// What it held.
    pub(in crate::source) sha256: Option<[u8; 32]>,
    /// It was empty.
    pub(in crate::source) empty: bool,
    /// What the file system said of it, if it was not read.
    pub(in crate::source) stamp: Option<Stamp>,
}

// === impl Held ===

impl Held {
    /// A file that holds this.
    #[must_use]
    pub fn new(sha256: [u8; 32]) -> Self {
        Self { sha256, stamp: None }
    }

    /// A file that holds this, with what the file system said of it.
    pub(in crate::source) fn with_stamp(sha256: [u8; 32], stamp: Stamp) -> Self {
        Self { sha256, stamp: Some(stamp) }
    }

    /// The SHA-256 of what it holds.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    fn is_empty(&self) -> bool {
        self.sha256 == <[u8; 32]>::from(Sha256::digest(b""))
    }
}

// === impl Picture ===

impl Picture {
    /// Of files that hold this, by their origins.
    #[must_use]
    pub fn of(files: &BTreeMap<String, Held>) -> Self {
        let seen = |held: &Held| Seen { sha256: Some(held.sha256), ..Seen::default() };
        Self { files: files.iter().map(|(origin, held)| (origin.clone(), seen(held))).collect(), partial: false }
    }

    /// Not everything could be listed: something was missing or could not be read.
    pub(in crate::source) fn set_partial(&mut self) {
        self.partial = true;
    }

    /// Whether not everything could be seen.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    pub(in crate::source) fn add(&mut self, origin: &str, seen: Seen) {
        self.files.insert(origin.to_owned(), seen);
    }

    /// Whether files that were loaded are those that were seen.
    #[must_use]
    pub fn shows(&self, files: &BTreeMap<String, Held>) -> bool {
        files.keys().all(|origin| self.files.contains_key(origin))
            && self.files.iter().all(|(origin, seen)| match files.get(origin) {
                None => seen.gone,
                Some(held) => seen.is(held),
            })
    }
}

impl Seen {
    fn is(&self, held: &Held) -> bool {
        // what was not read is the same only if nothing at all was done to it: a file that was given other
        // permissions may have been written too, with its old time set again
        let untouched = || self.stamp.is_some() && self.stamp == held.stamp;
        self.sha256 == Some(held.sha256) || (self.empty && held.is_empty()) || untouched()
    }
}
