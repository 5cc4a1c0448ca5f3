//! A large file of entities is looked at in one pass and not held: the build reads it again.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::source::files::stamp;
use palisade_engine::model::Reread;
use palisade_engine::model::document::fill;

/// Files of fewer bytes are held.
pub(super) const LARGE: u64 = 1 << 20;

/// How many files are kept open: more would take descriptors away from connections.
const KEPT_OPEN: usize = 64;

/// How much is read at a time.
const CHUNK: usize = 1 << 18;

/// A file of entities that was looked at, for reading it again.
pub(super) struct Place {
    /// The very file that was looked at, even if its name has come to lead elsewhere since.
    opened: Option<File>,
    /// For files that are not kept open. The path may lead to another file then, which the hash shows.
    path: PathBuf,
}

/// Makes places, and sees that not too many files stay open.
#[derive(Debug, Default)]
pub(super) struct Places {
    open: usize,
}

impl Places {
    /// A place for the file that was opened at `path`.
    pub(super) fn make(&mut self, opened: File, path: PathBuf) -> Place {
        self.open += 1;
        Place { opened: (self.open <= KEPT_OPEN).then_some(opened), path }
    }
}

impl Reread for Place {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.opened {
            Some(file) => stamp::read_at(file, buffer, offset),
            None => stamp::read_at(&stamp::open(&self.path)?, buffer, offset),
        }
    }
}

/// An opened file as it is.
pub(super) struct Opened<'f>(pub(super) &'f File);

impl Reread for Opened<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        stamp::read_at(self.0, buffer, offset)
    }
}

/// What one pass over a text found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// How many bytes there are, at most one more than asked for.
    pub(super) len: u64,
    pub(super) sha256: [u8; 32],
    /// The first byte that belongs to no character.
    pub(super) not_utf8: Option<u64>,
}

/// Reads `text` once from its start to its end, but never more than one byte beyond `len`: it shows that it grows.
pub(super) fn survey(text: &dyn Reread, len: u64) -> io::Result<Survey> {
    survey_by(text, len, CHUNK)
}

fn survey_by(text: &dyn Reread, len: u64, chunk: usize) -> io::Result<Survey> {
    let mut buffer = vec![0; chunk];
    let mut sum = Sha256::new();
    let (mut at, mut not_utf8) = (0_u64, None);
    // the start of a character that was cut, before what is read next: three bytes at most
    let mut cut = 0_usize;
    loop {
        let most = len.saturating_add(1).saturating_sub(at);
        let end = usize::try_from(most).map_or(buffer.len(), |most| buffer.len().min(cut.saturating_add(most)));
        let read = fill(text, buffer.get_mut(cut..end).unwrap_or_default(), at)?;
        let bytes = buffer.get(..cut + read).unwrap_or_default();
        sum.update(bytes.get(cut..).unwrap_or_default());
        if not_utf8.is_none()
            && let Err(error) = std::str::from_utf8(bytes)
        {
            let valid = error.valid_up_to();
            let bad = at - cut as u64 + valid as u64;
            if error.error_len().is_some() || read == 0 {
                not_utf8 = Some(bad);
                cut = 0;
            } else {
                cut = bytes.len() - valid;
                buffer.copy_within(valid..valid + cut, 0);
            }
        } else {
            cut = 0;
        }
        at += read as u64;
        if read == 0 {
            return Ok(Survey { len: at, sha256: sum.finalize().into(), not_utf8 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_engine::model::Document;

    #[test]
    fn a_text_is_surveyed_the_same_in_any_pieces() {
        let texts: [&[u8]; 9] = [
            b"",
            b"plain",
            "a\u{e4}\u{20ac}\u{1f600}z\u{1f600}".as_bytes(),
            b"ab\xffcd\xfe",
            b"\xe2\x82",
            b"abc\xf0\x9f\x98",
            b"abc\xf0\x9fxyz",
            b"\xc3\x28",
            b"\xed\xa0\x80",
        ];
        for text in texts {
            let document = Document::held("a", text);
            let expected = Survey {
                len: text.len() as u64,
                sha256: Sha256::digest(text).into(),
                not_utf8: std::str::from_utf8(text).err().map(|error| error.valid_up_to() as u64),
            };
            for chunk in [4, 5, 7, 64] {
                assert_eq!(survey_by(&document, expected.len, chunk).unwrap(), expected, "{text:?} by {chunk}");
            }
        }
    }

    #[test]
    fn a_text_that_grows_is_not_read_to_its_end() {
        let document = Document::held("a", "0123456789");
        for chunk in [4, 64] {
            assert_eq!(survey_by(&document, 6, chunk).unwrap().len, 7);
        }
    }

    #[test]
    fn some_files_stay_open_and_the_others_are_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "old").unwrap();
        let mut places = Places::default();
        let made: Vec<Place> =
            (0..KEPT_OPEN + 2).map(|_| places.make(File::open(&path).unwrap(), path.clone())).collect();
        std::fs::write(dir.path().join("b"), "new").unwrap();
        std::fs::rename(dir.path().join("b"), &path).unwrap();
        let read = |place: &Place| {
            let mut buffer = [0; 3];
            assert_eq!(fill(place, &mut buffer, 0).unwrap(), 3);
            buffer
        };
        assert!(made[..KEPT_OPEN].iter().all(|place| read(place) == *b"old"));
        assert!(made[KEPT_OPEN..].iter().all(|place| read(place) == *b"new"));
    }
}
