//! What a store holds, read back record by record: each is checked once more as it is read.

use std::fs::File;
use std::io;

use crate::commit::Kind;
use crate::files::read_at_most;
use crate::format::{MAX_RECORD, Op, RECORD_HEAD, Record, record_len};

/// The overlay's word for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// It is this.
    Put(&'a [u8]),
    /// It is gone.
    Tombstone,
}

/// What one record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A word of the overlay.
    Overlay {
        /// What the key names.
        kind: Kind,
        /// The key.
        key: &'a [u8],
        /// The word.
        word: Word<'a>,
    },
    /// The answer of a request.
    Answered {
        /// The request's key.
        key: &'a [u8],
        /// The answer.
        answer: &'a [u8],
        /// When it expires, in the caller's unit.
        expires: u64,
    },
}

/// Records of a store. Holds a piece of the file at a time, and 8 bytes a record.
#[derive(Debug)]
pub struct Saved {
    file: File,
    places: Vec<u64>,
}

impl Saved {
    pub(crate) fn new(file: File, places: Vec<u64>) -> Self {
        Self { file, places }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Calls `take` with each record, in the order in which they were written.
    ///
    /// # Errors
    /// If a record is not what it was when the store was opened, or what `take` gives.
    pub fn each<E: From<io::Error>>(&self, mut take: impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut window = Window::over(&self.file, &self.places)?;
        for place in &self.places {
            take(entry(window.record(*place)?)?)?;
        }
        Ok(())
    }

    /// Calls `take` with each record as it is stored, and the bytes of it.
    pub(crate) fn each_raw<E: From<io::Error>>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut window = Window::over(&self.file, &self.places)?;
        for place in &self.places {
            take(window.raw(*place)?)?;
        }
        Ok(())
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a record of the store is damaged")
}

fn entry(record: Record<'_>) -> io::Result<Entry<'_>> {
    let kind = || Kind::from_byte(record.kind).ok_or_else(damaged);
    Ok(match record.op {
        Op::Put => Entry::Overlay { kind: kind()?, key: record.key, word: Word::Put(record.value) },
        Op::Tombstone => Entry::Overlay { kind: kind()?, key: record.key, word: Word::Tombstone },
        Op::Answered => Entry::Answered { key: record.key, answer: record.value, expires: record.extra },
        _ => return Err(damaged()),
    })
}

/// A part of a file that is read at once.
#[derive(Debug)]
pub(crate) struct Window {
    file: File,
    /// So many bytes are read at a time, or as many as a record has.
    ahead: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// For records at these places, one after the other.
    pub(crate) fn over(file: &File, places: &[u64]) -> io::Result<Self> {
        let (first, last) = (places.first().copied().unwrap_or(0), places.last().copied().unwrap_or(0));
        let ahead = (last - first).clamp(1 << 12, 1 << 20) as usize;
        Ok(Self { file: file.try_clone()?, ahead, start: 0, bytes: Vec::new() })
    }

    /// The bytes from `place` on, `wanted` of them if the file is so long.
    fn at(&mut self, place: u64, wanted: usize) -> io::Result<&[u8]> {
        let known = place.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let known = known.filter(|skip| skip.checked_add(wanted).is_some_and(|end| end <= self.bytes.len()));
        let skip = match known {
            Some(skip) => skip,
            None => {
                self.bytes.resize(wanted.max(self.ahead), 0);
                self.start = place;
                let filled = read_at_most(&self.file, &mut self.bytes, place)?;
                self.bytes.truncate(filled);
                0
            }
        };
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }

    /// The record at `place`, as it is stored.
    fn raw(&mut self, place: u64) -> io::Result<&[u8]> {
        let head = self.at(place, RECORD_HEAD)?;
        if head.len() < RECORD_HEAD {
            return Err(damaged());
        }
        let length = usize::try_from(record_len(head)).ok().filter(|length| *length <= MAX_RECORD);
        let length = length.ok_or_else(damaged)?;
        let bytes = self.at(place, length)?.get(..length).ok_or_else(damaged)?;
        Record::decode(bytes).map(|_| bytes).ok_or_else(damaged)
    }

    pub(crate) fn record(&mut self, place: u64) -> io::Result<Record<'_>> {
        let (record, _) = Record::decode(self.raw(place)?).ok_or_else(damaged)?;
        Ok(record)
    }
}
