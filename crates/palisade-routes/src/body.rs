//! The body of a request as JSON, if every reader reads it alike.

use std::collections::BTreeSet;

use crate::asked::{Asked, Hits};
use crate::facts::{Body, Field, RequestFacts};
use crate::media::{Json, Media, may_be_object};
use crate::parts;
use crate::path::hex;
use crate::query;
use crate::refusal::Refusal;
use palisade_engine::model::Value;

/// Reads the body; an empty one is an empty object.
pub(super) fn read<'x>(facts: &RequestFacts<'x>) -> Result<Value<'x>, Refusal> {
    let bytes = match facts.body {
        Body::Whole(bytes) => bytes,
        Body::NotForwarded => {
            let message = "the route reads the body, and the gateway does not pass it on";
            return Err(Refusal::forbidden("body_not_forwarded", message));
        }
        Body::Partial => {
            let message = "the route reads the body, and the gateway passed a part of it on";
            return Err(Refusal::forbidden("partial_body", message));
        }
    };
    match facts.headers.field("content-encoding") {
        Field::Absent => {}
        Field::One(b"identity") => {}
        _ => return Err(Refusal::bad_request("bad_body", "the body is encoded (`Content-Encoding`)")),
    }
    let json = match facts.headers.field("content-type") {
        Field::One(value) => std::str::from_utf8(value).is_ok_and(is_json),
        Field::Absent => bytes.is_empty(),
        Field::Repeated => false,
    };
    if !json {
        // a form that happens to be JSON is read as a form by the service
        return Err(Refusal::bad_request(
            "bad_body",
            "the route reads the body as JSON, and `Content-Type` does not say so",
        ));
    }
    if bytes.is_empty() {
        return Ok(Value::empty_object());
    }
    let Media { form, parts, .. } = Media::of(facts);
    if form || parts {
        // a text within the JSON may be `&id=7&`
        let message = "`Content-Type` names JSON and a form, and some services read the form";
        return Err(Refusal::bad_request("bad_body", message));
    }
    Value::parse(bytes).map_err(|_| Refusal::bad_request("bad_body", "the body is not JSON, or has a key twice"))
}

/// Whether a service may find fields in a body. Only then it matters which.
pub(super) fn may_be_there(facts: &RequestFacts<'_>) -> bool {
    matches!(facts.body, Body::Whole(bytes) if !bytes.is_empty()) || facts.hides_a_body()
}

/// The body of a route that does not read it, where there [may be one](may_be_there), as far as it can be read: what it names may be taken for what the query says.
/// It is an object of the `names` that any reader finds, whichever it takes the body for; only JSON shows values. Where the
/// body cannot be read, it may name all of them that are `queries`, and the others if they stand somewhere in its text.
///
/// # Errors
/// If it is a form with more fields than all services read, or if there is one that is not shown.
pub(super) fn seen<'x>(
    facts: &RequestFacts<'x>,
    asked: &Asked,
    names: &BTreeSet<&str>,
    queries: &BTreeSet<&str>,
) -> Result<Value<'x>, Refusal> {
    let Body::Whole(bytes) = facts.body else {
        let message = "the route reads the query, some services let the body say the same, and the gateway does not \
                       pass all of it on; say `ignores: [body_parameters]` under `service` if the service does not";
        return Err(Refusal::forbidden("body_not_forwarded", message));
    };
    let media = Media::of(facts);
    let mut members = Vec::new();
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut is_unread = media.hidden;
    if media.json != Json::No {
        match Value::parse(bytes) {
            Ok(Value::Object(object)) => members = object,
            Ok(_) => {}
            // a key twice, numbers beyond all bounds, a mark before it, something behind it: others read on
            Err(_) => is_unread |= media.json == Json::Yes || may_be_object(bytes),
        }
    }
    if media.form {
        let text = lax(bytes);
        let text = String::from_utf8_lossy(&text);
        if query::has_too_many(&text) {
            let message = "the body is a form with more than 1,000 fields, and some services stop there";
            return Err(Refusal::bad_request("ambiguous_value", message));
        }
        let mut fields = Hits::default();
        query::names(&text).for_each(|name| fields.note(asked, &name, 0));
        let is_any = query::has_unreadable_name(&text);
        found.extend(names.iter().filter(|name| is_any || fields.any(asked, name, &|_| true)));
    }
    if media.parts {
        let kind = match facts.headers.field("content-type") {
            Field::One(kind) => kind,
            Field::Absent | Field::Repeated => b"",
        };
        let parts = parts::named(kind, &lax(bytes), asked);
        let is_part = |name: &str| parts.as_ref().is_none_or(|parts| parts.any(asked, name, &|_| true));
        found.extend(names.iter().filter(|name| is_part(name)));
    }
    if is_unread {
        let text = lax_json(bytes).to_ascii_lowercase();
        let mut words = Hits::default();
        let apart = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '{' | '}' | ',' | ':');
        String::from_utf8_lossy(&text).split(apart).for_each(|word| words.note(asked, word, 0));
        let stands = |name: &str| {
            names.len() > MAX_SOUGHT
                || words.any(asked, name, &|_| true)
                || memchr::memmem::find(&text, name.to_ascii_lowercase().as_bytes()).is_some()
        };
        found.extend(names.iter().filter(|name| queries.contains(*name) || stands(name)));
    }
    members.extend(found.into_iter().map(|name| (name.to_owned().into(), Value::Null)));
    Ok(Value::Object(members))
}

/// How many names are looked for in the text of a body that cannot be read. Of more, all may stand there.
const MAX_SOUGHT: usize = 64;

/// A text with the letters of ASCII that are written with more bytes than UTF-8 gives them, as lax readers take them.
fn lax(bytes: &[u8]) -> Vec<u8> {
    decoded(bytes, &|rest| match rest {
        [high @ (0xc0 | 0xc1), low, left @ ..]
        | [0xe0, high @ (0x80 | 0x81), low, left @ ..]
        | [0xf0, 0x80, high @ (0x80 | 0x81), low, left @ ..] => {
            let c = char::from((high & 1) << 6 | low & 0x3f);
            // signs that end a name or a head stay hidden: what looks for them finds them in fewer places
            (c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']')).then_some((c, left))
        }
        _ => None,
    })
}

/// A text that may be JSON to some reader: in UTF-16 or UTF-32 too, and with `\u0061` for `a`.
fn lax_json(bytes: &[u8]) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    decoded(&lax(&bytes), &|rest| {
        let digits = rest.strip_prefix(b"\\u")?;
        Some((escaped(digits)?, digits.get(4..)?)).filter(|(c, _)| !matches!(c, '"' | '\\'))
    })
}

/// A character at the beginning of a text, and what follows it.
type First<'t> = Option<(char, &'t [u8])>;

/// The text with each character that `read` finds at the beginning of what is left.
fn decoded(bytes: &[u8], read: &dyn Fn(&[u8]) -> First<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        match read(rest) {
            Some((c, left)) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = left;
            }
            None => {
                out.push(*first);
                rest = others;
            }
        }
    }
    out
}

/// The character of four hexadecimal digits.
fn escaped(digits: &[u8]) -> Option<char> {
    let digits = digits.get(..4)?;
    let value = digits.iter().try_fold(0, |value, digit| Some(value << 4 | u32::from(hex(*digit)?)))?;
    char::from_u32(value)
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    json && parts.all(|part| match part.split_once('=') {
        Some(("charset", charset)) => charset.trim_matches('"') == "utf-8",
        _ => !part.starts_with("charset"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=\"utf-8\"", true),
            ("application/merge-patch+json", true),
            ("application/json; v=1", true),
            ("application/json; charset=utf-7", false),
            ("application/json, text/html", false),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_json(text), expected, "{text}");
        }
    }
}
