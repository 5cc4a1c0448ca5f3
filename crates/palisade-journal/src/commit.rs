//! A commit: everything that one state differs in from the state before it.

use crate::format::{FRAME_TARGET, MAX_RECORD, Op, Record};
use crate::image::{AheadId, ImageAt, ImageId};

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An entity.
    Entity,
    /// A policy or template.
    Policy,
    /// A link of a template.
    Link,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Entity, Self::Policy, Self::Link];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Where a base comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was put by a request.
    Put,
    /// It was loaded from files that had this digest.
    Files(Vec<u8>),
}

/// What the overlay stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Where it comes from.
    pub origin: Origin,
    /// Its image, if it was stored.
    pub image: Option<ImageId>,
}

/// What one state differs in from the state before it, and its counter. Later words for a key win.
///
/// Answers of requests and a look at the files make no other state: a commit of these alone may have the counter of the
/// commit before it.
#[derive(Debug, Clone)]
pub struct Commit {
    pub(crate) counter: u64,
    /// Records, one after the other.
    pub(crate) records: Vec<u8>,
    /// Where `records` may be cut into frames.
    pub(crate) cuts: Vec<usize>,
    pub(crate) base: Option<Base>,
    /// Records that were written ahead, and come before its own.
    pub(crate) ahead: Option<AheadId>,
    /// Whether the state is another one than before.
    pub(crate) is_other: bool,
    /// The length of the longest record that is too long.
    pub(crate) too_large: Option<u64>,
}

impl Commit {
    /// A commit without changes, of the state with this counter.
    #[must_use]
    pub fn new(counter: u64) -> Self {
        let (records, cuts) = (Vec::new(), Vec::new());
        Self { counter, records, cuts, base: None, ahead: None, is_other: false, too_large: None }
    }

    /// The same, of the state with another counter.
    #[must_use]
    pub fn at(self, counter: u64) -> Self {
        Self { counter, ..self }
    }

    fn push(&mut self, record: Record<'_>) {
        self.is_other |= matches!(record.op, Op::Put | Op::Tombstone | Op::Revert | Op::Clear);
        if record.len() > MAX_RECORD {
            let bytes = record.len() as u64;
            self.too_large = Some(self.too_large.map_or(bytes, |other| other.max(bytes)));
            return;
        }
        record.encode(&mut self.records);
        let last = self.cuts.last().copied().unwrap_or(0);
        if self.records.len() - last >= FRAME_TARGET {
            self.cuts.push(self.records.len());
        }
    }

    /// The overlay has `value` for `key`.
    pub fn put(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        self.push(Record { op: Op::Put, kind: kind as u8, extra: 0, key, value });
    }

    /// The overlay says that there is no `key`.
    pub fn tombstone(&mut self, kind: Kind, key: &[u8]) {
        self.push(Record { op: Op::Tombstone, kind: kind as u8, extra: 0, key, value: &[] });
    }

    /// The overlay has no word for `key` any more: the base counts.
    pub fn revert(&mut self, kind: Kind, key: &[u8]) {
        self.push(Record { op: Op::Revert, kind: kind as u8, extra: 0, key, value: &[] });
    }

    /// The overlay has no word for anything.
    pub fn clear(&mut self) {
        self.push(Record::of(Op::Clear, 0));
    }

    /// The base is another. The overlay stays; see [`Commit::clear`].
    pub fn base(&mut self, base: Base) {
        self.base = Some(base);
        self.is_other = true;
    }

    /// The base is kept otherwise, and the state is the one before.
    pub fn same_base(&mut self, base: Base) {
        self.base = Some(base);
    }

    /// The files were seen to have this digest, and the base stays: what is there now does not replace it.
    pub fn saw_files(&mut self, digest: &[u8]) {
        self.push(Record { op: Op::Files, kind: 0, extra: 0, key: digest, value: &[] });
    }

    /// The base was put while the files were as this says, in whatever words the caller has; empty where that is not known.
    /// A base of files forgets it.
    pub fn put_beside(&mut self, seen: &[u8]) {
        self.push(Record { value: seen, ..Record::of(Op::Seen, 0) });
    }

    /// The request with this key was answered so; `expires` is a time in whatever unit the caller counts.
    pub fn answered(&mut self, key: &[u8], answer: &[u8], expires: u64) {
        self.push(Record { op: Op::Answered, kind: 0, extra: expires, key, value: answer });
    }

    /// The answer of the request with this key is not kept any more.
    pub fn forgotten(&mut self, key: &[u8]) {
        self.push(Record { op: Op::Forgotten, kind: 0, extra: 0, key, value: &[] });
    }

    /// Takes its records out, to be written ahead of it: see [`Journal::begin_ahead`](crate::Journal::begin_ahead).
    #[must_use]
    pub fn take_records(&mut self) -> Ahead {
        let (records, cuts) = (std::mem::take(&mut self.records), std::mem::take(&mut self.cuts));
        Ahead { records, cuts: cuts.into_iter(), done: 0 }
    }

    /// Names the records that were taken out of it and written ahead. What is put into it later comes behind them.
    pub fn behind(&mut self, ahead: AheadId) {
        self.ahead = Some(ahead);
    }

    /// The bytes that it takes in the store, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.len()
    }
}

/// Records of a commit, to be written ahead of it piece by piece.
#[derive(Debug)]
pub struct Ahead {
    records: Vec<u8>,
    cuts: std::vec::IntoIter<usize>,
    done: usize,
}

impl Ahead {
    /// The next piece: whole records.
    pub fn piece(&mut self) -> Option<&[u8]> {
        let start = self.done;
        self.done = self.cuts.next().unwrap_or(self.records.len());
        self.records.get(start..self.done).filter(|piece| !piece.is_empty())
    }
}

impl Base {
    /// The record of it.
    pub(crate) fn encode(&self, image: Option<ImageAt>, out: &mut Vec<u8>) {
        let key: &[u8] = match &self.origin {
            Origin::Put => &[],
            Origin::Files(digest) => digest,
        };
        let kind = u8::from(matches!(self.origin, Origin::Files(_)));
        let size = image.map_or([0; 2], |image| [image.pieces, image.bytes]).map(u64::to_le_bytes);
        let extra = self.image.map_or(0, |image| image.0);
        Record { op: Op::Base, kind, extra, key, value: size.as_flattened() }.encode(out);
    }
}

/// Cuts commits into frames' payloads: `write` is called with each and whether it is the last. `image` says where the
/// pieces are that were stored under a number.
pub(crate) fn payloads<E>(
    commits: &[Commit],
    image: impl Fn(u64) -> Option<ImageAt>,
    mut write: impl FnMut(&[u8], bool) -> Result<(), E>,
) -> Result<(), E> {
    let mut payload = Vec::new();
    for (n, commit) in commits.iter().enumerate() {
        let mut start = 0;
        if let Some(AheadId(id)) = commit.ahead {
            let size = image(id).map_or([0; 2], |ahead| [ahead.pieces, ahead.bytes]).map(u64::to_le_bytes);
            Record { value: size.as_flattened(), ..Record::of(Op::Ahead, id) }.encode(&mut payload);
        }
        for cut in commit.cuts.iter().copied().chain([commit.records.len()]) {
            payload.extend_from_slice(&commit.records[start..cut]);
            start = cut;
            if payload.len() >= FRAME_TARGET {
                write(&payload, false)?;
                payload.clear();
            }
        }
        if let Some(base) = &commit.base {
            base.encode(base.image.and_then(|id| image(id.0)), &mut payload);
        }
        Record { kind: u8::from(commit.is_other), ..Record::of(Op::Commit, commit.counter) }.encode(&mut payload);
        if n + 1 == commits.len() {
            write(&payload, true)?;
        }
    }
    Ok(())
}
