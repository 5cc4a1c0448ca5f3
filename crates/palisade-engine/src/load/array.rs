//! Finds the elements of a JSON array in a text that comes in pieces.
//!
//! Only brackets, strings and what stands between elements are looked at: the caller parses each element. An error
//! between elements is reported here in `serde_json`'s words, and an error within an element by `serde_json` itself,
//! so that place and message are those of an array that is parsed whole.

use std::ops::Range;

use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::diagnose;

/// As many bytes as `serde_json` looks at together: the digits of an escape.
const LOOK_AHEAD: usize = 4;

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Array,
    FirstOrEnd,
    Element,
    CommaOrEnd,
    Nothing,
}

/// What is wrong with an array, and where: a place of the bytes given, or none for the end of the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// In the words of `serde_json`.
    pub message: String,
    /// The byte.
    pub at: Option<usize>,
}

/// How far an array has been read.
#[derive(Debug)]
pub(super) struct Array {
    next: Next,
}

/// What [`Array::cut`] did.
#[derive(Debug)]
pub(super) struct Cut {
    /// What comes from here on must come again, with more behind it.
    pub end: usize,
    /// Why nothing after that can be read.
    pub fault: Option<Fault>,
}

impl Array {
    /// The state before the opening bracket.
    pub(super) fn new() -> Self {
        Self { next: Next::Array }
    }

    /// Finds whole elements in `bytes`, which go on where the last cut ended. `last` if nothing comes after them:
    /// then an element that does not end is given as well, for its parser to refuse.
    pub(super) fn cut(&mut self, bytes: &[u8], last: bool, elements: &mut Vec<Range<usize>>) -> Cut {
        let mut at = 0;
        let fault = |at: Option<usize>, message: &str| Some(Fault { message: message.to_owned(), at });
        loop {
            while bytes.get(at).is_some_and(is_space) {
                at += 1;
            }
            let Some(byte) = bytes.get(at) else {
                let message = match self.next {
                    Next::Nothing => None,
                    Next::FirstOrEnd | Next::CommaOrEnd => Some("EOF while parsing a list"),
                    Next::Array | Next::Element => Some("EOF while parsing a value"),
                };
                return Cut { end: at, fault: message.filter(|_| last).and_then(|message| fault(None, message)) };
            };
            let wrong = match (self.next, byte) {
                (Next::Array, b'[') => {
                    (self.next, at) = (Next::FirstOrEnd, at + 1);
                    continue;
                }
                (Next::FirstOrEnd | Next::CommaOrEnd, b']') => {
                    (self.next, at) = (Next::Nothing, at + 1);
                    continue;
                }
                (Next::CommaOrEnd, b',') => {
                    (self.next, at) = (Next::Element, at + 1);
                    continue;
                }
                (Next::Array, _) => "expected value",
                (Next::Element, b']') => "trailing comma",
                (Next::CommaOrEnd, _) => "expected `,` or `]`",
                (Next::Nothing, _) => "trailing characters",
                (Next::FirstOrEnd | Next::Element, _) => {
                    let Some(end) = element_end(bytes, at).or(last.then_some(bytes.len())) else {
                        return Cut { end: at, fault: None };
                    };
                    elements.push(at..end);
                    (self.next, at) = (Next::CommaOrEnd, end);
                    continue;
                }
            };
            return Cut { end: at, fault: fault(Some(at), wrong) };
        }
    }

    /// Why an array can never be right whose next element starts with `bytes`, however it may go on.
    pub(super) fn hopeless(bytes: &[u8]) -> Option<Fault> {
        let (category, fault) = refused(bytes)?;
        // a number that breaks off at the end may go on
        let within = fault.at.is_some_and(|at| at + 1 < bytes.len());
        (category != Category::Eof && within).then_some(fault)
    }

    /// What is wrong with `element`, if that is wrong with the array: its text is no JSON. `last` if nothing comes
    /// after `bytes`.
    pub(super) fn broken(bytes: &[u8], element: Range<usize>, last: bool) -> Option<Fault> {
        let text = bytes.get(element.clone()).unwrap_or_default();
        if serde_json::from_slice::<&RawValue>(text).is_ok() {
            return None;
        }
        // a number or an escape that breaks off here is not one that breaks off at the end of the text
        let behind = element.end.saturating_add(LOOK_AHEAD).min(bytes.len());
        let mut text = bytes.get(element.start..behind).unwrap_or_default().to_vec();
        if !last {
            text.extend([b' '; LOOK_AHEAD]);
        }
        let (_, mut fault) = refused(&text)?;
        fault.at = fault.at.map(|at| at + element.start);
        Some(fault)
    }
}

/// What `serde_json` says of an array that starts with `bytes`.
fn refused(bytes: &[u8]) -> Option<(Category, Fault)> {
    let text = [b"[", bytes].concat();
    let error = serde_json::from_slice::<Vec<&RawValue>>(&text).err()?;
    let (message, at) = diagnose::json_place(&text, &error);
    Some((error.classify(), Fault { message, at: Some(at.saturating_sub(1)) }))
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// Where the element ends that starts at `at`, if it does.
fn element_end(bytes: &[u8], at: usize) -> Option<usize> {
    let first = bytes.get(at)?;
    match first {
        b'"' => string_end(bytes, at + 1),
        b'{' | b'[' => nested_end(bytes, at + 1),
        // a number or a word, or what is neither, to the first byte that cannot belong to one
        _ => {
            let rest = bytes.get(at + 1..)?;
            let delimits = |byte: &u8| is_space(byte) || matches!(byte, b',' | b']' | b'[' | b'{' | b'}' | b'"' | b':');
            rest.iter().position(delimits).map(|length| at + 1 + length)
        }
    }
}

/// Where the array or object ends that was opened before `at`.
fn nested_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where the string ends that was opened before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(found) {
            Some(b'"') => return Some(found + 1),
            // and what it escapes
            _ => at = found + 2,
        }
    }
}
