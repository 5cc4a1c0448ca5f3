//! Headers of which some services put together the URL of a request: its scheme, its port and what stands before the path.
//!
//! A scheme such as `http://api.test/admin?` makes another path of every request where it is put in front. So each of
//! these must be what its name says and no more.

use crate::gateway::facts::{Field, RequestFacts};
use crate::gateway::names::same_name;
use crate::gateway::query::lenient;

/// Headers that name the scheme.
const SCHEMES: [&str; 9] = [
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-original-proto",
    "x-original-scheme",
    "x-scheme",
    "x-url-scheme",
    "cloudfront-forwarded-proto",
    "front-end-https",
];

/// Headers that name the port.
const PORTS: [&str; 3] = ["x-forwarded-port", "x-original-port", "x-real-port"];

/// Headers that say whether the client speaks TLS, in some word.
const WORDS: [&str; 1] = ["x-forwarded-ssl"];

/// Headers that name what a proxy took away before the path. Starlette and others take it off once more if it is there.
const PREFIXES: [&str; 6] = [
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-pathbase",
    "x-forwarded-context",
    "x-original-prefix",
    "x-ingress-path",
];

/// Which part of a URL a header names, if it is one of these: those of one part are held to the same.
pub(in crate::gateway) fn part(header: &str) -> Option<usize> {
    let parts = [&SCHEMES[..], &PORTS, &WORDS, &PREFIXES];
    parts.iter().position(|names| names.iter().any(|name| same_name(header, name)))
}

/// Whether a service that puts a URL together of these headers finds the path that was checked.
pub(super) fn is_plain(facts: &RequestFacts<'_>) -> bool {
    let all = |names: &[&str], plain: &dyn Fn(&str) -> bool| {
        names.iter().all(|name| match facts.headers.field(name) {
            Field::Absent => true,
            Field::One(value) => is_list(value, plain),
            Field::Repeated => false,
        })
    };
    all(&SCHEMES, &is_scheme)
        && all(&PORTS, &|text| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
        && all(&WORDS, &is_word)
        && all(&PREFIXES, &|text| is_prefix(text, facts.target))
        && match facts.headers.field("forwarded") {
            Field::Absent => true,
            Field::One(value) => pairs(value, b"proto").all(|value| is_list(value, &is_scheme)),
            Field::Repeated => false,
        }
}

/// Whether each element is plain, where each proxy may have added its own. An empty one says nothing.
pub(super) fn is_list(value: &[u8], plain: &dyn Fn(&str) -> bool) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    text.split(',').map(|part| part.trim_matches([' ', '\t'])).all(|part| part.is_empty() || plain(part))
}

/// RFC 3986: a letter, and then letters, digits and a few marks.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether it is a path as it is written, and the request's own does not begin with it.
fn is_prefix(text: &str, target: &[u8]) -> bool {
    let text = text.trim_end_matches('/');
    let Some(segments) = text.strip_prefix('/') else { return text.is_empty() };
    let mark = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(mark);
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = lenient(&String::from_utf8_lossy(path)).to_lowercase();
    segments.split('/').all(plain) && !path.starts_with(&text.to_lowercase())
}

/// The values that `Forwarded` (RFC 7239) has for a parameter, without quotes.
pub(super) fn pairs<'v>(value: &'v [u8], wanted: &'static [u8]) -> impl Iterator<Item = &'v [u8]> {
    value.split(|byte| matches!(byte, b';' | b',')).filter_map(move |pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        let value = pair[end + 1..].trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        pair[..end].trim_ascii().eq_ignore_ascii_case(wanted).then_some(bare)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{Body, Peer};

    #[test]
    fn what_a_url_is_put_together_of_is_plain() {
        for (header, value, expected) in [
            ("X-Forwarded-Proto", "https", true),
            ("X-Forwarded-Proto", "https, http", true),
            ("X-Forwarded-Proto", "wss", true),
            ("X-Forwarded-Proto", "", true),
            ("X-Forwarded-Proto", "http://a.test/d/closed?", false),
            ("X-Forwarded-Proto", "https, http://a.test/d/closed#", false),
            ("X-Forwarded-Proto", "http:", false),
            ("X-Forwarded-Proto", "\u{e9}", false),
            ("X.Forwarded.Proto", "https", false),
            ("X-Forwarded-Scheme", "http://a.test/d/closed?", false),
            ("X-Forwarded-Protocol", "http://a.test/d/closed?", false),
            ("X-Url-Scheme", "http://a.test/d/closed?", false),
            ("X-Scheme", "a/b", false),
            ("CloudFront-Forwarded-Proto", "a?b", false),
            ("X-Forwarded-Ssl", "on", true),
            ("X-Forwarded-Ssl", "on/d", false),
            ("X-Forwarded-Port", "443", true),
            ("X-Forwarded-Port", "443, 80", true),
            ("X-Forwarded-Port", "443/d/closed?", false),
            ("X-Forwarded-Port", "-1", false),
            ("X-Forwarded-Port", "443000", false),
            ("X-Forwarded-Prefix", "/app", true),
            ("X-Forwarded-Prefix", "/app/", true),
            ("X-Forwarded-Prefix", "/", true),
            ("X-Forwarded-Prefix", "", true),
            ("X-Forwarded-Prefix", "/files", false),
            ("X-Forwarded-Prefix", "/FILES/", false),
            ("X-Forwarded-Prefix", "/app, /files", false),
            ("X-Forwarded-Prefix", "/files/d", false),
            ("X-Forwarded-Prefix", "/fil", false),
            ("X-Forwarded-Prefix", "/d/closed?", false),
            ("X-Forwarded-Prefix", "/d/%63losed", false),
            ("X-Forwarded-Prefix", "//other.test", false),
            ("X-Forwarded-Prefix", "/a/../d", false),
            ("X-Forwarded-Prefix", "app", false),
            ("X-Forwarded-Context", "/files", false),
            ("Forwarded", "for=10.0.0.1;proto=https;host=a.test", true),
            ("Forwarded", "for=10.0.0.1; Proto=\"http://a.test/d/closed?\"", false),
            ("X-Forwarded-For", "10.0.0.1", true),
        ] {
            let headers = vec![(header, value)];
            let (target, peer, body) = (&b"/f%69les/d/closed?x"[..], Peer::default(), Body::NotForwarded);
            let facts = RequestFacts { method: "GET", target, host: Some("a.test"), headers: &headers, body, peer };
            assert_eq!(is_plain(&facts), expected, "{header}: {value}");
        }
    }
}
