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
//!
//! A store keeps the picture with the bundle that was put, so that a start compares in the same way. Of files of which
//! only the content counts it keeps one hash of all: it stays small however many there are.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::source::files::Stamp;

/// What a picture begins with where it is kept: the form of what follows.
const FORM: u8 = 1;

/// A picture that is kept has as many bytes at most. Files beyond that count only as they were seen.
const MOST_KEPT: usize = 8 << 20;

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
    /// The hash of all others and what they hold, if there are others.
    others: Option<[u8; 32]>,
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
    /// The print of what the file system said of it, if it was not read.
    pub(in crate::source) stamp: Option<[u8; 32]>,
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
        Self { files: files.iter().map(|(origin, held)| (origin.clone(), seen(held))).collect(), ..Self::default() }
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
        let others = files.iter().filter(|(origin, _)| !self.files.contains_key(*origin));
        self.files.iter().all(|(origin, seen)| match files.get(origin) {
            None => seen.gone,
            Some(held) => seen.is(held),
        }) && hash_of(others.map(|(origin, held)| (origin, held.sha256))) == self.others
    }

    /// The bytes of it that a store keeps; none if they would be too many.
    #[must_use]
    pub fn kept(&self) -> Option<Vec<u8>> {
        let within = |bytes: &Vec<u8>| bytes.len() <= MOST_KEPT;
        let whole = self.encode(|_| false);
        // one that was gone and comes back as it was counts as changed then
        Some(whole).filter(within).or_else(|| Some(self.encode(|seen| seen.gone)).filter(within))
    }

    /// Without those that are to be left out, which are then as if nothing was known of them.
    fn encode(&self, leaves_out: impl Fn(&Seen) -> bool) -> Vec<u8> {
        let plain = |seen: &Seen| seen.sha256.filter(|_| !seen.gone && !seen.empty && seen.stamp.is_none());
        let others = self.files.iter().filter_map(|(origin, seen)| Some((origin, plain(seen)?)));
        let others = hash_of(others).or(self.others);
        let mut bytes = vec![FORM, u8::from(self.partial), u8::from(others.is_some())];
        bytes.extend(others.iter().flatten());
        for (origin, seen) in self.files.iter().filter(|(_, seen)| plain(seen).is_none() && !leaves_out(seen)) {
            let Seen { gone, sha256, empty, stamp } = seen;
            let flags = [*gone, *empty, sha256.is_some(), stamp.is_some()];
            bytes.extend((origin.len() as u64).to_le_bytes());
            bytes.extend(origin.as_bytes());
            bytes.extend(flags.map(u8::from));
            bytes.extend(sha256.iter().chain(stamp).flatten());
        }
        bytes
    }

    /// The picture that a store kept; none if these bytes are of no picture that this program knows.
    #[must_use]
    pub fn from_kept(bytes: &[u8]) -> Option<Self> {
        let mut left = bytes;
        let [FORM, partial, has_others] = *take(&mut left)? else { return None };
        let mut picture = Self { partial: partial == 1, ..Self::default() };
        if has_others == 1 {
            picture.others = Some(*take(&mut left)?);
        }
        while !left.is_empty() {
            let length = usize::try_from(u64::from_le_bytes(*take(&mut left)?)).ok()?;
            let (origin, rest) = left.split_at_checked(length)?;
            left = rest;
            let [gone, empty, has_sha256, has_stamp] = take::<4>(&mut left)?.map(|flag| flag == 1);
            let sha256 = if has_sha256 { Some(*take(&mut left)?) } else { None };
            let stamp = if has_stamp { Some(*take(&mut left)?) } else { None };
            picture.files.insert(String::from_utf8(origin.to_vec()).ok()?, Seen { gone, sha256, empty, stamp });
        }
        Some(picture)
    }
}

/// The next bytes, which are taken off.
fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, left) = bytes.split_first_chunk()?;
    *bytes = left;
    Some(taken)
}

/// The hash of files and what they hold, in the order of their origins; `None` without files.
fn hash_of<'f>(files: impl Iterator<Item = (&'f String, [u8; 32])>) -> Option<[u8; 32]> {
    let mut sum = None;
    for (origin, sha256) in files {
        let sum = sum.get_or_insert_with(Sha256::new);
        sum.update((origin.len() as u64).to_le_bytes());
        sum.update(origin.as_bytes());
        sum.update(sha256);
    }
    sum.map(|sum| sum.finalize().into())
}

impl Seen {
    fn is(&self, held: &Held) -> bool {
        // what was not read is the same only if nothing at all was done to it: a file that was given other
        // permissions may have been written too, with its old time set again
        let untouched = || self.stamp.is_some_and(|print| held.stamp.is_some_and(|stamp| stamp.print() == print));
        self.sha256 == Some(held.sha256) || (self.empty && held.is_empty()) || untouched()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    fn seen(what: &str) -> Seen {
        let text = Some(sha(what));
        match what {
            "gone" => Seen { gone: true, sha256: Some(sha("1")), ..Seen::default() },
            "hidden" => Seen { sha256: Some(sha("1")), ..Seen::default() },
            "empty" => Seen { empty: true, sha256: Some(sha("1")), ..Seen::default() },
            "unread" => Seen { stamp: Some([7; 32]), ..Seen::default() },
            _ => Seen { sha256: text, ..Seen::default() },
        }
    }

    /// What is kept shows the same of all files as what was seen.
    #[test]
    fn a_picture_that_is_kept_shows_the_same() {
        const SEEN: [&str; 7] = ["", "1", "2", "gone", "hidden", "empty", "unread"];
        const HELD: [&str; 4] = ["", "1", "2", "no text"];
        for (a, b) in SEEN.iter().flat_map(|a| SEEN.map(|b| (*a, b))) {
            let mut picture = Picture::default();
            for (origin, what) in [("a", a), ("b", b)].into_iter().filter(|(_, what)| !what.is_empty()) {
                picture.add(origin, seen(what));
            }
            let bytes = picture.kept().unwrap();
            let kept = Picture::from_kept(&bytes).unwrap();
            assert_eq!(kept.kept().as_ref(), Some(&bytes), "it is kept again");
            for (c, d) in HELD.iter().flat_map(|c| HELD.map(|d| (*c, d))) {
                let text = |what: &str| if what == "no text" { sha("") } else { sha(what) };
                let held = [("a", c), ("b", d), ("c", "")].into_iter().filter(|(_, what)| !what.is_empty());
                let mut files: BTreeMap<_, _> =
                    held.map(|(origin, what)| (origin.to_owned(), Held::new(text(what)))).collect();
                assert_eq!(kept.shows(&files), picture.shows(&files), "{a} {b}: {c} {d}");
                files.insert("c".to_owned(), Held::new(sha("1")));
                assert!(!kept.shows(&files) && !picture.shows(&files), "one that came");
            }
            for length in 0..bytes.len() {
                // what is cut is another, or none
                let cut = Picture::from_kept(&bytes[..length]);
                assert!(cut.is_none_or(|cut| cut != kept), "{a} {b}: {length}");
            }
        }
        assert_eq!(Picture::from_kept(&[FORM + 1, 0, 0]), None);
    }

    #[test]
    fn a_picture_stays_small_however_many_files_there_are() {
        let mut picture = Picture::default();
        for n in 0..50_000 {
            picture.add(&format!("policies/{n}.cedar"), seen("1"));
        }
        assert_eq!(picture.kept().unwrap().len(), 35);
        let whole = Picture::from_kept(&picture.kept().unwrap()).unwrap();
        // as many are gone: they count as that
        for n in 0..200_000 {
            picture.add(&format!("policies/gone/{n}.cedar"), seen("gone"));
        }
        assert_eq!(Picture::from_kept(&picture.kept().unwrap()), Some(whole));
        for n in 0..200_000 {
            picture.add(&format!("policies/unread/{n}.cedar"), seen("unread"));
        }
        assert_eq!(picture.kept(), None);
    }
}
