//! Revisions: which state of policies, schema and entities a decision was made at.

use std::fmt;
use std::str::FromStr;

/// A published state of one process, written `<incarnation>-<counter>`.
///
/// The incarnation is drawn at every start, so a revision of an earlier process is never
/// mistaken for one of this process. The counter grows by one with every publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Which process run published it.
    pub incarnation: u64,
    /// How many publications the run had made, this one included.
    pub counter: u64,
}

impl Revision {
    /// The revision after this one in the same incarnation.
    #[must_use]
    pub fn next(self) -> Self {
        Self { counter: self.counter + 1, ..self }
    }

    /// Its text. Each answer has it twice, so it is made without the formatting machinery.
    #[must_use]
    pub fn text(self) -> RevisionText {
        RevisionText::new(self)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// A revision as text, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct RevisionText {
    bytes: [u8; Self::MAX],
    start: usize,
}

/// 32 bits as eight hexadecimal digits, all at once.
fn digits(bits: u64) -> u64 {
    // a byte for each nibble
    let mut nibbles = (bits & 0xffff) | (bits & 0xffff_0000) << 16;
    nibbles = (nibbles & 0x0000_00ff_0000_00ff) | (nibbles & 0x0000_ff00_0000_ff00) << 8;
    nibbles = (nibbles & 0x000f_000f_000f_000f) | (nibbles & 0x00f0_00f0_00f0_00f0) << 4;
    // one where the nibble is ten or more
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)
}

impl RevisionText {
    /// 16 hexadecimal digits, the dash, and the decimal digits of the largest counter.
    const MAX: usize = 16 + 1 + 20;

    /// Written from its end.
    fn new(revision: Revision) -> Self {
        let mut text = Self { bytes: [b'-'; Self::MAX], start: Self::MAX };
        let mut counter = revision.counter;
        loop {
            text.push(counter % 10);
            counter /= 10;
            if counter == 0 {
                break;
            }
        }
        // the dash is there
        text.start -= 1;
        text.start -= 16;
        let (high, low) = (digits(revision.incarnation >> 32), digits(revision.incarnation & 0xffff_ffff));
        text.bytes[text.start..text.start + 8].copy_from_slice(&high.to_be_bytes());
        text.bytes[text.start + 8..text.start + 16].copy_from_slice(&low.to_be_bytes());
        text
    }

    fn push(&mut self, digit: u64) {
        self.start -= 1;
        self.bytes[self.start] = b'0' + digit as u8;
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.start..]).unwrap_or_default()
    }
}

/// The text is not a revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a revision: it reads `<incarnation>-<counter>`, as the `Palisade-Revision` header gives it")]
pub struct ParseRevisionError(String);

impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('-').and_then(|(incarnation, counter)| {
            let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric());
            (incarnation.len() == 16 && digits(incarnation) && digits(counter)).then_some(())?;
            Some(Self { incarnation: u64::from_str_radix(incarnation, 16).ok()?, counter: counter.parse().ok()? })
        });
        parsed.ok_or_else(|| ParseRevisionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let revision = Revision { incarnation: 0xab, counter: 7 };
        assert_eq!(revision.to_string(), "00000000000000ab-7");
        let mixed = [0, 9, 10, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX];
        for (incarnation, counter) in mixed.into_iter().flat_map(|i| mixed.map(|c| (i, c))) {
            let revision = Revision { incarnation, counter };
            assert_eq!(revision.to_string(), format!("{incarnation:016x}-{counter}"));
            assert_eq!(revision.to_string().parse(), Ok(revision));
        }
    }

    #[test]
    fn what_is_no_revision_is_refused() {
        for text in [
            "",
            "-",
            "7",
            "ab-7",
            "00000000000000ab-",
            "00000000000000ab-+7",
            "00000000000000ab-7 ",
            "zzzzzzzzzzzzzzzz-1",
        ] {
            assert!(text.parse::<Revision>().is_err(), "{text:?}");
        }
    }
}
