//! What a gateway says of a body that it does not pass on: `X-Original-Body`.
//!
//! Its pages write it in place of a client's own. Where a page lacks it, nobody says anything, and whoever may have a
//! body counts as having one.

use crate::gateway::Body;
use crate::telemetry::RefusalReason;
use crate::transport::gateway::fields::Fields;
use crate::transport::gateway::way::Stop;

const NAME: &str = "x-original-body";

/// What is known of a body of which the check itself has nothing.
pub(super) fn body(fields: &Fields<'_>) -> Result<Body<'static>, Stop> {
    let mut values = fields.named(NAME);
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(Body::NotForwarded),
        (Some(value), None) => std::str::from_utf8(value).ok(),
        (Some(_), Some(_)) => None,
    };
    value.and_then(read).ok_or_else(|| {
        let message = "`X-Original-Body` is there more than once, or is none of the forms of the gateways' pages";
        Stop::new(RefusalReason::BadDescription, message)
    })
}

/// `shown`, `hidden`, or `HTTP/1.1 length=5 encoding=chunked` of the client's own request, with nothing or `-` behind
/// the `=` of a header that it lacks.
fn read(text: &str) -> Option<Body<'static>> {
    match text {
        // bodies are passed on, so the empty one of the check is that of the request
        "shown" => return Some(Body::Whole(b"")),
        // none are, and nobody says of which request
        "hidden" => return Some(Body::NotForwarded),
        _ => {}
    }
    let mut words = text.trim_end().splitn(3, ' ');
    let version = words.next()?.strip_prefix("HTTP/")?;
    let length = plain(words.next()?.strip_prefix("length=")?);
    let encoding = match words.next() {
        Some(word) => Some(plain(word.strip_prefix("encoding=")?)),
        None => None,
    };
    of(version, length, encoding)
}

fn plain(value: &str) -> &str {
    if value == "-" { "" } else { value }
}

/// What the head of a request says of its body. Of an encoding that is `None` nothing is known.
///
/// In HTTP/1 a request with neither header has no body; in later versions it may have one.
pub(super) fn of(version: &str, length: &str, encoding: Option<&str>) -> Option<Body<'static>> {
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zeros = !length.is_empty() && length.bytes().all(|byte| byte == b'0');
    Some(match encoding {
        Some(encoding) if !encoding.is_empty() => Body::Unseen,
        _ if zeros => Body::Whole(b""),
        _ if !length.is_empty() => Body::Unseen,
        Some(_) if version.starts_with('1') => Body::Whole(b""),
        _ => Body::NotForwarded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_none_only_where_that_is_said() {
        let none = Some(Body::Whole(b""));
        let (unknown, there) = (Some(Body::NotForwarded), Some(Body::Unseen));
        for (text, expected) in [
            ("shown", none),
            ("hidden", unknown),
            ("HTTP/1.1 length= encoding=", none),
            ("HTTP/1.0 length= encoding=", none),
            ("HTTP/1.1 length=- encoding=-", none),
            ("HTTP/1.1 length=0 encoding=", none),
            ("HTTP/1.1 length=00 encoding=", none),
            ("HTTP/1.1 length=5 encoding=", there),
            ("HTTP/1.1 length= encoding=chunked", there),
            ("HTTP/1.1 length=0 encoding=chunked", there),
            ("HTTP/1.1 length= encoding=gzip, chunked", there),
            ("HTTP/2.0 length= encoding=", unknown),
            ("HTTP/2 length=0 encoding=-", none),
            ("HTTP/2 length=7 encoding=-", there),
            ("HTTP/3 length=- encoding=-", unknown),
            // Caddy does not tell chunks
            ("HTTP/1.1 length=", unknown),
            ("HTTP/1.1 length=0", none),
            ("HTTP/1.1 length=9", there),
            ("", None),
            ("Shown", None),
            ("HTTP/1.1", None),
            ("HTTP/1.1 length=-1 encoding=", None),
            ("HTTP/1.1 length=0x encoding=", None),
            ("HTTP/1.1 length=0, 0 encoding=", None),
            ("HTTP/1.1 encoding= length=", None),
            ("length=0 encoding=", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
