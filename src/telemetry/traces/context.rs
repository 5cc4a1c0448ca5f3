//! What a caller says about its trace: `traceparent` and `tracestate` (W3C Trace Context), read strictly.
//!
//! A `traceparent` that is not valid is as good as none: the request then has a trace of its own. A `tracestate` that is
//! not valid is dropped, and the `traceparent` counts all the same.

use std::fmt;

/// The longest `tracestate` that is passed on, in bytes. The standard asks for at least this much.
const MAX_STATE: usize = 512;

/// How many entries a `tracestate` may have.
const MAX_ENTRIES: usize = 32;

/// What is known of the flags: sampled, and a trace id that is random.
const KNOWN_FLAGS: u8 = SAMPLED | RANDOM;
pub(super) const SAMPLED: u8 = 1;
pub(super) const RANDOM: u8 = 2;

/// A trace and a span in it. Neither is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
}

/// The span that a caller's request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its ids.
    pub ids: Ids,
    pub(super) flags: u8,
}

impl Ids {
    /// The trace's id, as it is written everywhere.
    #[must_use]
    pub fn trace_id(self) -> impl fmt::Display {
        Written { id: self.trace, digits: 32 }
    }

    /// The span's id, as it is written everywhere.
    #[must_use]
    pub fn span_id(self) -> impl fmt::Display {
        Written { id: self.span.into(), digits: 16 }
    }
}

/// An id as text.
struct Written {
    id: u128,
    digits: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0digits$x}", self.id, digits = self.digits)
    }
}

impl Caller {
    /// Reads a `traceparent`. `None` if it is not valid.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        // version - trace id - span id - flags
        let (fields, rest) = text.split_first_chunk::<55>()?;
        if fields[2] != b'-' || fields[35] != b'-' || fields[52] != b'-' {
            return None;
        }
        match hex(&fields[..2])? {
            0xff => return None,
            // nothing follows in this version, and what a later one has begins with a dash
            0 if !rest.is_empty() => return None,
            _ if rest.first().is_some_and(|byte| *byte != b'-') => return None,
            _ => {}
        }
        let trace = hex(&fields[3..35]).filter(|id| *id != 0)?;
        let span = u64::try_from(hex(&fields[36..52])?).ok().filter(|id| *id != 0)?;
        let flags = u8::try_from(hex(&fields[53..])?).ok()?;
        Some(Self { ids: Ids { trace, span }, flags: flags & KNOWN_FLAGS })
    }

    /// Whether the caller's own span is recorded.
    #[must_use]
    pub fn sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// Digits and small letters alone.
fn hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0_u128, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// The entries of all `tracestate` headers as one. Empty if there are none, or if they are not valid.
pub(super) fn state<'v>(values: impl Iterator<Item = &'v [u8]>) -> String {
    let (mut state, mut keys) = (String::new(), Vec::new());
    for value in values {
        for entry in value.split(|byte| *byte == b',') {
            let entry = entry.trim_ascii();
            // lists may have holes
            if entry.is_empty() {
                continue;
            }
            let key = key_of(entry).filter(|key| !keys.contains(key));
            let (Some(key), Ok(text)) = (key, std::str::from_utf8(entry)) else { return String::new() };
            keys.push(key);
            if keys.len() > MAX_ENTRIES || state.len() + text.len() >= MAX_STATE {
                return String::new();
            }
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(text);
        }
    }
    state
}

/// The key of an entry, if both it and the value are valid.
fn key_of(entry: &[u8]) -> Option<&[u8]> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&entry[..at], &entry[at + 1..]);
    let known = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(byte);
    let first = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let tenants = key.iter().filter(|byte| **byte == b'@').count();
    let printable = |byte: &u8| (0x20..0x7f).contains(byte) && !b",=".contains(byte);
    let fine = first && key.len() <= 256 && tenants <= 1 && key.iter().all(known);
    (fine && !value.is_empty() && value.len() <= 256 && value.iter().all(printable)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_to_the_letter() {
        let expected = Ids { trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span: 0x00f0_67aa_0ba9_02b7 };
        for (text, flags) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some(1)),
            (format!("00-{TRACE}-{SPAN}-00"), Some(0)),
            (format!("00-{TRACE}-{SPAN}-03"), Some(3)),
            // flags that this version does not know are not passed on
            (format!("00-{TRACE}-{SPAN}-fe"), Some(2)),
            // a later version may have more
            (format!("01-{TRACE}-{SPAN}-01"), Some(1)),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), Some(1)),
            (format!("cc-{TRACE}-{SPAN}-01-"), Some(1)),
            (format!("cc-{TRACE}-{SPAN}-01.x"), None),
            (format!("cc-{TRACE}-{SPAN}-0123"), None),
            (format!("00-{TRACE}-{SPAN}-01-x"), None),
            (format!("00-{TRACE}-{SPAN}-01-"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("0-{TRACE}-{SPAN}-01"), None),
            (format!("000-{TRACE}-{SPAN}-01"), None),
            (format!("0x-{TRACE}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), None),
            (format!("00-{TRACE}-{SPAN}-0A"), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("00-{TRACE}-{SPAN}-"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("00_{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}_{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}_01"), None),
            (format!("00-{}-{SPAN}-01", &TRACE[..31]), None),
            (format!("00-{TRACE}0-{SPAN}-01"), None),
            (format!("00-+{}-{SPAN}-01", &TRACE[..31]), None),
            (format!("00-{}\u{e9}-{SPAN}-01", &TRACE[..30]), None),
            (format!(" 00-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-01 "), None),
            (format!("00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-01\0"), None),
            (TRACE.to_owned(), None),
            (String::new(), None),
            ("0".repeat(100_000), None),
        ] {
            let read = Caller::parse(text.as_bytes());
            assert_eq!(read, flags.map(|flags| Caller { ids: expected, flags }), "{text:.80}");
        }
    }

    #[test]
    fn ids_are_written_whole() {
        let ids = Ids { trace: 0xab, span: 0xc };
        assert_eq!(ids.trace_id().to_string(), format!("{}ab", "0".repeat(30)));
        assert_eq!(ids.span_id().to_string(), format!("{}c", "0".repeat(15)));
    }

    #[test]
    fn a_tracestate_is_passed_on_or_dropped_whole() {
        let long = format!("a={}", "x".repeat(256));
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        for (values, expected) in [
            (&["congo=t61rcWkgMzE"][..], "congo=t61rcWkgMzE"),
            (&["a=1", "b=2 , c=3"], "a=1,b=2,c=3"),
            (&["", " , a=1,,", ","], "a=1"),
            (&["fw529a3039@dt=FfffEf;x:y", "0a/b*_-=~ !"], "fw529a3039@dt=FfffEf;x:y,0a/b*_-=~ !"),
            (&["a=1", "a=2"], ""),
            (&["a=1,B=2"], ""),
            (&["a"], ""),
            (&["=1"], ""),
            (&["a="], ""),
            (&["a=b=c"], ""),
            (&["a@b@c=1"], ""),
            (&["_a=1"], ""),
            (&["a =1"], ""),
            (&["a=\u{e9}"], ""),
            (&["a=\u{1}"], ""),
            (&[long.as_str()], long.as_str()),
            (&[&format!("{long}x")], ""),
            (&[&format!("{long},b{long}")], ""),
            (&[&many[..32].join(",")], &many[..32].join(",")),
            (&[&many.join(",")], ""),
            (&[], ""),
        ] {
            assert_eq!(state(values.iter().map(|value| value.as_bytes())), expected, "{values:.100?}");
        }
    }
}
