//! Follows `$ref`s within one document. A reference into another document is reported, and never fetched.

use std::borrow::Cow;

use serde_json::Value;

use crate::path::hex;

/// How many references may lead to one another.
const LONGEST_CHAIN: usize = 32;

/// A reference of an object, if it is one.
pub(super) fn reference(value: &Value) -> Option<&str> {
    value.get("$ref").and_then(Value::as_str)
}

/// What `value` is once its references are followed.
///
/// # Errors
/// Why they lead nowhere.
pub(super) fn resolve<'d>(document: &'d Value, value: &'d Value) -> Result<&'d Value, String> {
    let mut value = value;
    for _ in 0..LONGEST_CHAIN {
        match value.get("$ref") {
            None => return Ok(value),
            Some(Value::String(reference)) => value = target(document, reference)?,
            Some(_) => return Err("a `$ref` is not a text".to_owned()),
        }
    }
    Err(format!("its `$ref`s lead in a circle, or are more than {LONGEST_CHAIN} in a row"))
}

/// What a reference names.
///
/// # Errors
/// If it is elsewhere or is not there.
pub(super) fn target<'d>(document: &'d Value, reference: &str) -> Result<&'d Value, String> {
    let nowhere = || format!("there is no `{reference}` in this document");
    let Some(pointer) = reference.strip_prefix('#') else {
        return Err(format!("`{reference}` is in another document, and only this one is read; write it here"));
    };
    let pointer = decoded(pointer).ok_or_else(nowhere)?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(format!("`{reference}` is an anchor, which is not followed; write `#/` and the path to it"));
    }
    // `serde_json` reads `~0` and `~1`, and takes no other escape for one
    document.pointer(&pointer).ok_or_else(nowhere)
}

/// A fragment without its percent encoding.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// A text of a path without its percent encoding.
pub(super) fn plain(text: &str) -> Option<String> {
    decoded(text).map(Cow::into_owned)
}
