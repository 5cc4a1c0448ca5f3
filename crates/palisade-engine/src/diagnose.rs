//! Cedar's errors as diagnostics with file, line and excerpt.

pub(crate) mod syntax;

use crate::model::Diagnostic;
use crate::model::json::in_words;

/// One diagnostic for an error that Cedar located in `text`, or for each error that it collects.
pub(super) fn located(origin: &str, text: &str, error: &dyn miette::Diagnostic) -> Vec<Diagnostic> {
    let mut found = vec![one(origin, text, error)];
    if let Some(related) = error.related() {
        found.extend(related.map(|error| one(origin, text, error)));
    }
    found
}

/// One diagnostic for one error.
pub(super) fn one(origin: &str, text: &str, error: &dyn miette::Diagnostic) -> Diagnostic {
    one_within(origin, text, 0, error)
}

/// One diagnostic for one error in the part of `text` that begins at `start` and was parsed on its own.
pub(super) fn one_within(origin: &str, text: &str, start: usize, error: &dyn miette::Diagnostic) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(origin, message(error));
    if let Some(offset) = offset(error).map(|offset| start + offset)
        && offset <= text.len()
        && !text.is_empty()
    {
        diagnostic = diagnostic.at(text, offset);
    }
    if let Some(help) = error.help() {
        diagnostic = diagnostic.help(help.to_string());
    }
    diagnostic
}

/// Where Cedar says that an error is, in the text that it was given.
pub(super) fn offset(error: &dyn miette::Diagnostic) -> Option<usize> {
    error.labels()?.next().map(|label| label.offset())
}

/// The line of a byte, from 1.
pub(super) fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What Cedar says of its own work before it says what is wrong.
const READERS: [&str; 3] = [
    "error during entity deserialization: ",
    "error during context deserialization: ",
    "error during entities deserialization: ",
];

/// The error and what caused it, in one line.
pub(super) fn message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // transparent wrappers repeat themselves
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    READERS.iter().fold(text, |text, said| text.replace(said, ""))
}

/// What is wrong with text that is not JSON, and at which byte.
pub(super) fn json_place(text: &[u8], error: &serde_json::Error) -> (String, usize) {
    let lines = memchr::memchr_iter(b'\n', text).map(|newline| newline + 1);
    let line_start = std::iter::once(0).chain(lines).nth(error.line().saturating_sub(1)).unwrap_or(text.len());
    let message = error.to_string();
    // the place is reported separately, and in characters
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    (message, (line_start + error.column().saturating_sub(1)).min(text.len()))
}

/// A diagnostic for text that is not JSON.
pub(super) fn json(origin: &str, text: &str, error: &serde_json::Error) -> Diagnostic {
    let (message, at) = json_place(text.as_bytes(), error);
    Diagnostic::error(origin, in_words(&message)).at(text, at)
}
