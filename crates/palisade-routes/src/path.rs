//! Reads a request target: splits it first, decodes each segment once, and names every ambiguity.
//!
//! Between the sidecar and the service stand programs that decode twice, merge slashes, cut at `;` or
//! resolve `..`. So nothing is normalised here. A target that two readers could read differently is
//! either refused for good ([`PathFault`]) or carries the [`PathClass`] that a route must have allowed.
//! What is accepted means the same to every reader that decodes a segment once. Never calls a URL parser.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest target that is looked at, in bytes.
pub(crate) const MAX_TARGET: usize = 8 * 1024;

/// The most segments that a path may have.
pub(crate) const MAX_SEGMENTS: usize = 128;

/// Why a target is refused whatever a route says: no two readers need agree on what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathFault {
    /// It does not begin with `/`: absolute-form, authority-form, `*`, or nothing at all.
    NotOriginForm,
    /// It is longer than 8,192 bytes or has more than 128 segments.
    Overlong,
    /// A control character or white space, raw, or a control character encoded, NUL and line ends among them.
    Control,
    /// A `#`: some cut there, some do not.
    Fragment,
    /// A `%` without two hexadecimal digits.
    InvalidPercent,
    /// It is not UTF-8 when decoded.
    InvalidUtf8,
    /// A segment `.` or `..`, in whatever disguise: encoded, before a `;`, between backslashes.
    DotSegment,
}

/// An ambiguity that a route may allow, where its service is known to read it as the sidecar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum PathClass {
    /// The path may end with a slash or not, whichever the template says.
    TrailingSlash,
    /// `//`: many merge slashes.
    EmptySegment,
    /// A raw `\`: some read a slash.
    Backslash,
    /// A raw `;`: some cut parameters there.
    Parameter,
    /// A raw character that RFC 3986 does not allow in a path, such as `|` or `[`: some encode it on the way.
    RawCharacter,
    /// Raw bytes beyond ASCII: some encode them on the way.
    NonAscii,
    /// `%2F`: some decode before they split.
    EncodedSlash,
    /// `%5C`
    EncodedBackslash,
    /// `%2E`
    EncodedDot,
    /// `%25`: decoding twice gives something else.
    EncodedPercent,
    /// `%23`
    EncodedHash,
    /// `%3B`
    EncodedSemicolon,
    /// `%3F`
    EncodedQuestion,
}

/// What a byte of a target can mean besides itself.
const CONTROL: u8 = 1;
const HASH: u8 = 2;
const BEYOND_ASCII: u8 = 4;
/// It is encoded, ambiguous, or part of a dot segment: the segments must be looked at.
const NOT_PLAIN: u8 = 8;

/// What each byte is, together.
const LOOKS: [u8; 256] = {
    let mut looks = [NOT_PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        looks[byte] = match byte as u8 {
            0..=b' ' | 0x7f => CONTROL,
            b'#' => HASH,
            0x80.. => BEYOND_ASCII,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => 0,
            b'/' | b'?' | b'-' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' => 0,
            b'=' | b':' | b'@' => 0,
            _ => NOT_PLAIN,
        };
        byte += 1;
    }
    looks
};

/// A set of [`PathClass`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes(u16);

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    /// As it was sent.
    pub raw: &'a str,
    /// Decoded once.
    pub text: Cow<'a, str>,
}

/// A target that every reader reads alike, as far as its classes are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The segments of the path, without the empty one that a trailing slash makes.
    pub segments: Vec<Segment<'a>>,
    /// Whether the path ends with a slash.
    pub trailing_slash: bool,
    /// What a route must allow for this target.
    pub classes: Classes,
    /// What follows the first `?`, undecoded.
    pub query: Option<&'a str>,
}

impl PathFault {
    /// A stable word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotOriginForm => "not_origin_form",
            Self::Overlong => "overlong",
            Self::Control => "control",
            Self::Fragment => "fragment",
            Self::InvalidPercent => "invalid_percent",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::DotSegment => "dot_segment",
        }
    }

    /// What is wrong, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::NotOriginForm => "the target does not begin with `/`",
            Self::Overlong => "the target is too long",
            Self::Control => "the target has a control character or white space",
            Self::Fragment => "the target has a `#`",
            Self::InvalidPercent => "the path has a `%` that encodes nothing",
            Self::InvalidUtf8 => "the path is not UTF-8",
            Self::DotSegment => "the path has a segment `.` or `..`",
        }
    }
}

impl PathClass {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::TrailingSlash,
        Self::EmptySegment,
        Self::Backslash,
        Self::Parameter,
        Self::RawCharacter,
        Self::NonAscii,
        Self::EncodedSlash,
        Self::EncodedBackslash,
        Self::EncodedDot,
        Self::EncodedPercent,
        Self::EncodedHash,
        Self::EncodedSemicolon,
        Self::EncodedQuestion,
    ];

    /// The word that route files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TrailingSlash => "trailing_slash",
            Self::EmptySegment => "empty_segment",
            Self::Backslash => "backslash",
            Self::Parameter => "parameter",
            Self::RawCharacter => "raw_character",
            Self::NonAscii => "non_ascii",
            Self::EncodedSlash => "encoded_slash",
            Self::EncodedBackslash => "encoded_backslash",
            Self::EncodedDot => "encoded_dot",
            Self::EncodedPercent => "encoded_percent",
            Self::EncodedHash => "encoded_hash",
            Self::EncodedSemicolon => "encoded_semicolon",
            Self::EncodedQuestion => "encoded_question",
        }
    }
}

impl Classes {
    /// The same set with `class`.
    #[must_use]
    pub fn with(self, class: PathClass) -> Self {
        Self(self.0 | 1 << class as u8)
    }

    /// Whether `class` is in it.
    #[must_use]
    pub fn contains(self, class: PathClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// What is here and not in `allowed`.
    #[must_use]
    pub fn beyond(self, allowed: Self) -> Self {
        Self(self.0 & !allowed.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn add(&mut self, class: PathClass) {
        *self = self.with(class);
    }
}

impl FromIterator<PathClass> for Classes {
    fn from_iter<I: IntoIterator<Item = PathClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = PathClass::ALL.into_iter().filter(|c| self.contains(*c)).map(PathClass::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl<'a> Target<'a> {
    /// Reads a target as it stood in the request line.
    ///
    /// # Errors
    /// If it is refused whatever a route says.
    pub fn parse(target: &'a [u8]) -> Result<Self, PathFault> {
        if target.len() > MAX_TARGET {
            return Err(PathFault::Overlong);
        }
        if target.first() != Some(&b'/') {
            return Err(PathFault::NotOriginForm);
        }
        // most targets have nothing in them that needs a second look
        let seen = target.iter().fold(0, |seen, byte| seen | LOOKS[usize::from(*byte)]);
        if seen & CONTROL != 0 {
            return Err(PathFault::Control);
        }
        if seen & HASH != 0 {
            return Err(PathFault::Fragment);
        }
        let target = std::str::from_utf8(target).map_err(|_| PathFault::InvalidUtf8)?;
        let mut classes = Classes::default();
        if seen & BEYOND_ASCII != 0 {
            classes.add(PathClass::NonAscii);
        }
        let (path, query) = match memchr(b'?', target.as_bytes()) {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(8);
        let mut rest = Some(&path[1..]);
        while let Some(path) = rest {
            if segments.len() == MAX_SEGMENTS {
                return Err(PathFault::Overlong);
            }
            let end = memchr(b'/', path.as_bytes());
            let raw = &path[..end.unwrap_or(path.len())];
            rest = end.map(|end| &path[end + 1..]);
            segments.push(if seen == 0 {
                Segment { raw, text: Cow::Borrowed(raw) }
            } else {
                Segment::decode(raw, &mut classes)?
            });
        }
        let trailing_slash = segments.last().is_some_and(|last| last.raw.is_empty());
        if trailing_slash {
            segments.pop();
        }
        if segments.iter().any(|segment| segment.raw.is_empty()) {
            classes.add(PathClass::EmptySegment);
        }
        Ok(Self { segments, trailing_slash, classes, query })
    }

    /// The text of the segments from `from` on, one text for one list of segments.
    ///
    /// A slash that was encoded stays encoded, and so does a percent sign: else two paths would give one text.
    #[must_use]
    pub fn rest(&self, from: usize) -> Cow<'_, str> {
        match &self.segments[from.min(self.segments.len())..] {
            [one] if !one.text.contains(['/', '%']) => Cow::Borrowed(&one.text),
            segments => {
                let whole: Vec<String> =
                    segments.iter().map(|s| s.text.replace('%', "%25").replace('/', "%2F")).collect();
                Cow::Owned(whole.join("/"))
            }
        }
    }
}

impl<'a> Segment<'a> {
    fn decode(raw: &'a str, classes: &mut Classes) -> Result<Self, PathFault> {
        let text = percent_decode(raw, classes)?;
        if text.contains(char::is_control) {
            return Err(PathFault::Control);
        }
        if hides_dots(&text) {
            return Err(PathFault::DotSegment);
        }
        Ok(Self { raw, text })
    }
}

fn percent_decode<'a>(raw: &'a str, classes: &mut Classes) -> Result<Cow<'a, str>, PathFault> {
    let mut decoded: Option<Vec<u8>> = None;
    let mut bytes = raw.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte != b'%' {
            match byte {
                b'\\' => classes.add(PathClass::Backslash),
                b';' => classes.add(PathClass::Parameter),
                b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                    classes.add(PathClass::RawCharacter);
                }
                _ => {}
            }
            if let Some(decoded) = &mut decoded {
                decoded.push(byte);
            }
            continue;
        }
        let (high, low) = (bytes.next().and_then(|(_, b)| hex(b)), bytes.next().and_then(|(_, b)| hex(b)));
        let (Some(high), Some(low)) = (high, low) else { return Err(PathFault::InvalidPercent) };
        let byte = high << 4 | low;
        match byte {
            b'/' => classes.add(PathClass::EncodedSlash),
            b'\\' => classes.add(PathClass::EncodedBackslash),
            b'.' => classes.add(PathClass::EncodedDot),
            b'%' => classes.add(PathClass::EncodedPercent),
            b'#' => classes.add(PathClass::EncodedHash),
            b';' => classes.add(PathClass::EncodedSemicolon),
            b'?' => classes.add(PathClass::EncodedQuestion),
            _ => {}
        }
        decoded.get_or_insert_with(|| raw.as_bytes()[..at].to_vec()).push(byte);
    }
    match decoded {
        None => Ok(Cow::Borrowed(raw)),
        Some(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| PathFault::InvalidUtf8),
    }
}

/// Whether a reader that splits once more, or decodes once more, would see a `.` or `..`.
fn hides_dots(text: &str) -> bool {
    // most texts have neither a dot nor what could become one
    if !text.contains(['.', '%']) {
        return false;
    }
    let dotted = |text: &str| text.split(['/', '\\', ';']).any(|part| matches!(part.trim(), "." | ".."));
    let mut text = Cow::Borrowed(text);
    // four rounds are more than any chain of readers decodes
    for _ in 0..4 {
        if dotted(&text) {
            return true;
        }
        if !text.contains('%') {
            return false;
        }
        text = Cow::Owned(lenient_decode(&text));
    }
    dotted(&text)
}

/// Decodes what can be decoded among ASCII and leaves the rest.
fn lenient_decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits = rest.as_bytes().get(at + 1).copied().and_then(hex);
        let byte = digits.zip(rest.as_bytes().get(at + 2).copied().and_then(hex)).map(|(high, low)| high << 4 | low);
        match byte {
            Some(byte) if byte.is_ascii() => {
                out.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            _ => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The value of a hexadecimal digit.
pub(super) fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
