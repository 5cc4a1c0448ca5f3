//! Documents of entities: text that is held, or text that can be read again from where it came.
//!
//! A million entities are some 250 MB of text that is needed once. So a source may give a document that says
//! how long its text is and what its SHA-256 is, and where to read it. What such a place holds may change: the
//! reader must compare with the hash before it uses anything of it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// A text that can be read more than once, from any place, by several readers.
pub trait Reread: Send + Sync {
    /// Reads some of the bytes that stand from `offset` on; none only at the end.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A document of entities: a JSON array, or one JSON object a line (NDJSON).
#[derive(Clone)]
pub struct Document {
    /// The file, or the member of an uploaded bundle.
    pub origin: String,
    text: Text,
}

#[derive(Clone)]
enum Text {
    Held(Vec<u8>),
    Elsewhere { place: Arc<dyn Reread>, len: u64, sha256: [u8; 32] },
}

impl Document {
    /// A document whose text is held.
    #[must_use]
    pub fn held(origin: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { origin: origin.into(), text: Text::Held(bytes.into()) }
    }

    /// A document whose text is read from `place` when it is needed: `len` bytes of UTF-8 with this SHA-256.
    #[must_use]
    pub fn elsewhere(origin: impl Into<String>, place: Arc<dyn Reread>, len: u64, sha256: [u8; 32]) -> Self {
        Self { origin: origin.into(), text: Text::Elsewhere { place, len, sha256 } }
    }

    /// How many bytes the text has.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.text {
            Text::Held(bytes) => bytes.len() as u64,
            Text::Elsewhere { len, .. } => *len,
        }
    }

    /// Whether the text has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text, if it is held.
    #[must_use]
    pub fn as_held(&self) -> Option<&[u8]> {
        match &self.text {
            Text::Held(bytes) => Some(bytes),
            Text::Elsewhere { .. } => None,
        }
    }

    /// The SHA-256 of the text. That of a held text is computed at each call.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        match &self.text {
            Text::Held(bytes) => Sha256::digest(bytes).into(),
            Text::Elsewhere { sha256, .. } => *sha256,
        }
    }

    /// All of the text, for those who need it at once.
    ///
    /// # Errors
    /// If it cannot be read, or is not what it was.
    pub fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        let Text::Elsewhere { len, sha256, .. } = &self.text else {
            return Ok(Cow::Borrowed(self.as_held().unwrap_or_default()));
        };
        let mut bytes = vec![0; usize::try_from(*len).map_err(io::Error::other)?];
        let read = fill(self, &mut bytes, 0)?;
        bytes.truncate(read);
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != *sha256 {
            return Err(io::Error::other("it changed while it was read"));
        }
        Ok(Cow::Owned(bytes))
    }
}

impl Reread for Document {
    /// What the place holds now, but nothing beyond the length that was given.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..left];
        match &self.text {
            Text::Held(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                buffer.copy_from_slice(bytes.get(from..).and_then(|rest| rest.get(..left)).unwrap_or_default());
                Ok(left)
            }
            Text::Elsewhere { place, .. } => place.read_at(buffer, offset),
        }
    }
}

/// Reads from `offset` on until `buffer` is full or the text ends. Returns how many bytes were read.
///
/// # Errors
/// If they cannot be read.
pub fn fill(text: &dyn Reread, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match text.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

// equal texts are equal documents, wherever they are
impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin
            && match (self.as_held(), other.as_held()) {
                (Some(mine), Some(theirs)) => mine == theirs,
                _ => self.len() == other.len() && self.sha256() == other.sha256(),
            }
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Document");
        shown.field("origin", &self.origin).field("len", &self.len());
        if let Some(bytes) = self.as_held() {
            shown.field("text", &String::from_utf8_lossy(bytes));
        }
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drip(Vec<u8>);

    impl Reread for Drip {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let Some(byte) = self.0.get(offset as usize) else { return Ok(0) };
            buffer[0] = *byte;
            Ok(1)
        }
    }

    fn drip(text: &str, told: &str) -> Document {
        let sha256 = Sha256::digest(told).into();
        Document::elsewhere("a", Arc::new(Drip(text.into())), told.len() as u64, sha256)
    }

    #[test]
    fn a_text_is_the_same_wherever_it_is() {
        let (held, away) = (Document::held("a", "text"), drip("text", "text"));
        assert_eq!((held.len(), held.sha256()), (away.len(), away.sha256()));
        assert_eq!(held, away);
        assert_eq!(held.bytes().unwrap(), away.bytes().unwrap());
        assert_ne!(held, drip("texts", "texts"));
        assert_ne!(held, Document::held("b", "text"));
        // what has been added behind it is not read
        assert_eq!(&*drip("text and more", "text").bytes().unwrap(), b"text");
    }

    #[test]
    fn what_has_changed_is_never_given_as_the_text() {
        for now in ["", "tex", "next"] {
            assert!(drip(now, "text").bytes().unwrap_err().to_string().contains("changed"), "{now}");
        }
    }

    #[test]
    fn any_part_of_a_held_text_can_be_read() {
        let document = Document::held("a", "0123456789");
        for (offset, len, expected) in [(0, 3, "012"), (8, 5, "89"), (10, 1, ""), (99, 1, ""), (3, 0, "")] {
            let mut buffer = vec![0; len];
            let read = fill(&document, &mut buffer, offset).unwrap();
            assert_eq!(&buffer[..read], expected.as_bytes(), "{offset} {len}");
        }
    }
}
