//! The body of a request as JSON, if everybody would read the same.

use crate::domain::Value;
use crate::domain::json::BYTE_ORDER_MARK;
use crate::gateway::facts::{Body, Field, RequestFacts};
use crate::gateway::media::{Json, Media};
use crate::gateway::parts;
use crate::gateway::query;
use crate::gateway::refusal::Refusal;

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
    Value::parse(bytes).map_err(|_| Refusal::bad_request("bad_body", "the body is not JSON, or has a key twice"))
}

/// The body of a route that does not read it, as far as it is there: what it names may be taken for what the query says.
/// It is an object of the names that any reader finds, whichever it takes the body for; only JSON shows values. Where the
/// body cannot be read, it may name all of the `asked` that are queries, and the others if they stand somewhere in its text.
///
/// # Errors
/// If it is a form with more fields than all services read, or if there is one that is not shown.
pub(super) fn seen<'x>(
    facts: &RequestFacts<'x>,
    asked: &[&str],
    is_query: &dyn Fn(&str) -> bool,
) -> Result<Option<Value<'x>>, Refusal> {
    let bytes = match facts.body {
        Body::Whole(bytes) => bytes,
        _ if facts.hides_a_body() => {
            let message = "the route reads the query, some services let the body say the same, and the gateway does not \
                           pass all of it on; say `ignores: [body_parameters]` under `service` if the service does not";
            return Err(Refusal::forbidden("body_not_forwarded", message));
        }
        _ => return Ok(None),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let media = Media::of(facts);
    let mut members = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut is_unread = media.hidden;
    if media.json != Json::No {
        match Value::parse(bytes) {
            Ok(Value::Object(found)) => members = found,
            Ok(_) => {}
            // a key twice, numbers beyond all bounds, a mark before it, something behind it: others read on
            Err(_) => is_unread |= media.json == Json::Yes || begins_as_object(bytes),
        }
    }
    if media.form {
        let text = String::from_utf8_lossy(bytes);
        if query::has_too_many(&text) {
            let message = "the body is a form with more than 1,000 fields, and some services stop there";
            return Err(Refusal::bad_request("ambiguous_value", message));
        }
        names.extend(query::names(&text));
    }
    if media.parts {
        let kind = match facts.headers.field("content-type") {
            Field::One(kind) => kind,
            Field::Absent | Field::Repeated => b"",
        };
        names.extend(parts::named(kind, bytes, asked).into_iter().map(str::to_owned));
    }
    if is_unread {
        let text = bytes.to_ascii_lowercase();
        let stands = |name: &str| memchr::memmem::find(&text, name.to_ascii_lowercase().as_bytes()).is_some();
        names.extend(asked.iter().filter(|name| is_query(name) || stands(name)).map(|name| (*name).to_owned()));
    }
    members.extend(names.into_iter().map(|name| (name.into(), Value::Null)));
    Ok(Some(Value::Object(members)))
}

/// Whether the first sign is an open brace, after a mark of the byte order and blanks.
fn begins_as_object(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes);
    text.trim_ascii_start().first() == Some(&b'{')
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
