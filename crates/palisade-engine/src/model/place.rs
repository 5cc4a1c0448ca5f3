//! Lines and columns of a text that is not held, found by reading it once more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::model::Diagnostic;
use crate::model::document::{Reread, fill};

/// How much is read at a time.
const CHUNK: usize = 1 << 16;

/// How much of a line is looked at for an excerpt.
const WINDOW: u64 = 1 << 10;

/// The longest line that is shown: one of a minified file says nothing.
pub(super) const LONGEST_EXCERPT: usize = 240;

/// Where a byte of a text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line's text, if it is worth showing.
    pub excerpt: Option<String>,
}

/// Finds the bytes at `offsets` in the first `len` bytes of `text`, in one pass up to the last of them.
///
/// # Errors
/// If the text cannot be read.
pub fn locate(text: &dyn Reread, len: u64, offsets: &BTreeSet<u64>) -> io::Result<BTreeMap<u64, Spot>> {
    let mut buffer = vec![0; CHUNK];
    // the place reached, and the characters that start between the line's start and it
    let (mut at, mut line, mut line_start, mut chars) = (0, 1, 0, 0);
    let mut spots = BTreeMap::new();
    for &offset in offsets {
        let end = offset.min(len);
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let read = fill(text, &mut buffer[..want], at)?;
            let chunk = &buffer[..read];
            match memchr::memrchr(b'\n', chunk) {
                Some(last) => {
                    line += memchr::memchr_iter(b'\n', chunk).count();
                    line_start = at + last as u64 + 1;
                    chars = starts(&chunk[last + 1..]);
                }
                None => chars += starts(chunk),
            }
            at += read as u64;
            if read == 0 {
                // shorter than it was: located as far as the text goes
                break;
            }
        }
        let mut next = [0];
        // a byte within a character stands where that character does
        let within = at < len && fill(text, &mut next, at)? == 1 && !is_start(next[0]);
        let excerpt = excerpt(text, len, line_start)?;
        spots.insert(offset, Spot { line, column: chars + usize::from(!within), excerpt });
    }
    Ok(spots)
}

/// The line that starts at `start`.
fn excerpt(text: &dyn Reread, len: u64, start: u64) -> io::Result<Option<String>> {
    let mut window = vec![0; usize::try_from(len.saturating_sub(start).min(WINDOW)).unwrap_or_default()];
    let read = fill(text, &mut window, start)?;
    window.truncate(read);
    let end = memchr::memchr(b'\n', &window);
    if end.is_none() && start + (read as u64) < len {
        return Ok(None);
    }
    window.truncate(end.unwrap_or(read));
    let line = String::from_utf8(window).unwrap_or_default();
    let line = line.trim_end();
    Ok((!line.is_empty() && line.len() <= LONGEST_EXCERPT).then(|| line.to_owned()))
}

fn starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| is_start(**byte)).count()
}

/// Whether a character starts with this byte of UTF-8.
fn is_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

impl Diagnostic {
    /// The same finding at a place that [`locate`] found.
    #[must_use]
    pub fn spot(mut self, spot: &Spot) -> Self {
        (self.line, self.column) = (Some(spot.line), Some(spot.column));
        self.excerpt.clone_from(&spot.excerpt);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Document;

    #[test]
    fn places_are_those_of_a_held_text() {
        let long = format!("{{\"ä\": \"{}\"}}\nafter", "x€".repeat(300));
        let longer = format!("a\nb{}\n\u{1f600}c", " ".repeat(70_000));
        for text in ["", "\n", "a", "a\n", "\n\na€b\r\n  c\n", "äöü\nß", "a\n\n\n", &long, &longer] {
            let offsets: BTreeSet<u64> = (0..text.len() as u64 + 3).filter(|n| *n < 2_000 || n % 997 < 2).collect();
            let document = Document::held("a", text);
            let spots = locate(&document, document.len(), &offsets).unwrap();
            assert_eq!(spots.len(), offsets.len());
            for (offset, spot) in spots {
                let mut expected = Diagnostic::error("a", "b").at(text, offset as usize);
                let mut found = Diagnostic::error("a", "b").spot(&spot);
                if text.len() > 70_000 {
                    // spaces at the end of a line are looked at no further than the window
                    (expected.excerpt, found.excerpt) = (None, None);
                }
                assert_eq!(found, expected, "{offset} of {text:?}");
            }
        }
    }
}
