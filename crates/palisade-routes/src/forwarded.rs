//! Headers of which some services put together the URL of a request: its scheme, its port and what stands before the path.
//!
//! A scheme such as `http://api.test/admin?` makes another path of every request where it is put in front. So each of
//! these must be what its name says and no more.

use std::net::{IpAddr, Ipv6Addr};

use crate::facts::{Field, RequestFacts};
use crate::names::same_name;
use crate::query::lenient;
use crate::watched::Group;

/// Headers that name the scheme.
pub(super) const SCHEMES: [&str; 9] = [
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
pub(super) const PORTS: [&str; 3] = ["x-forwarded-port", "x-original-port", "x-real-port"];

/// Headers that say whether the client speaks TLS, in some word.
pub(super) const WORDS: [&str; 1] = ["x-forwarded-ssl"];

/// Headers that name what a proxy took away before the path. Starlette and others take it off once more if it is there.
pub(super) const PREFIXES: [&str; 6] = [
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-pathbase",
    "x-forwarded-context",
    "x-original-prefix",
    "x-ingress-path",
];

/// Which part of a URL a header names, if it is one of these: those of one part are held to the same.
#[must_use]
pub fn part(header: &str) -> Option<usize> {
    let parts = [&SCHEMES[..], &PORTS, &WORDS, &PREFIXES];
    parts.iter().position(|names| names.iter().any(|name| same_name(header, name)))
}

/// Whether a service that puts a URL together of these headers finds the path that was checked.
pub(super) fn is_plain(facts: &RequestFacts<'_>) -> bool {
    let there = facts.headers.watched();
    let all = |group, plain: &dyn Fn(&str) -> bool| {
        there.names(group).all(|name| match facts.headers.field(name) {
            Field::Absent => true,
            Field::One(value) => is_list(value, plain),
            Field::Repeated => false,
        })
    };
    all(Group::Schemes, &is_scheme)
        && all(Group::Ports, &|text| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
        && all(Group::Words, &is_word)
        && all(Group::Prefixes, &|text| is_prefix(text, facts.target))
}

/// Whether each element is plain, where each proxy may have added its own. An empty one says nothing.
pub(super) fn is_list(value: &[u8], plain: &dyn Fn(&str) -> bool) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    text.split(',').map(|part| part.trim_matches([' ', '\t'])).all(|part| part.is_empty() || plain(part))
}

/// RFC 3986: a letter, and then letters, digits and a few marks.
pub(super) fn is_scheme(text: &str) -> bool {
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

/// What one pair of `Forwarded` (RFC 7239) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair<'v> {
    /// The host that the client named.
    Host(&'v str),
    /// The scheme that it used.
    Proto(&'v str),
    /// Where a proxy took the request: Jetty may take it for the host.
    By(&'v str),
    /// Who asked the proxy, or its secret.
    Other,
}

/// What `Forwarded` says, if all of it is what the RFC has.
///
/// Spring, Vert.x and others look for `host=` wherever it stands: behind a blank, inside of a quoted text, at the end of
/// another name. So nothing else than the pairs of the RFC may be there, each once for a proxy, with values in which no
/// separator stands.
pub(super) fn pairs(value: &[u8]) -> Option<Vec<Pair<'_>>> {
    let text = std::str::from_utf8(value).ok()?;
    let mut pairs = Vec::new();
    for element in text.split(',') {
        let mut seen: Vec<&str> = Vec::new();
        for pair in element.split(';').map(|pair| pair.trim_matches([' ', '\t'])).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return None;
            }
            seen.push(name);
            let bare = value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'))?;
            // separators to some reader
            let parts = |byte: u8| !byte.is_ascii_graphic() || b"\",;=\\".contains(&byte);
            if bare.is_empty() || bare.bytes().any(parts) {
                return None;
            }
            pairs.push(match &*name.to_ascii_lowercase() {
                "host" => Pair::Host(bare),
                "proto" => Pair::Proto(bare),
                "by" => Pair::By(bare),
                "for" if is_node(bare) => Pair::Other,
                // of the RFC's own examples
                "secret" => Pair::Other,
                _ => return None,
            });
        }
    }
    Some(pairs)
}

/// Whether it is an address, a name that hides one (`_x`), or `unknown`, with a port or without: what a proxy calls itself
/// and who asked it.
pub(super) fn is_node(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        // an address of IPv6 without brackets is not of the RFC, but some write it
        _ if text.parse::<IpAddr>().is_ok() => (text, None),
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let hidden = |text: &str| {
        text.strip_prefix('_').is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        })
    };
    let number = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let bracketed = || {
        let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    port.is_none_or(|port| number(port) || hidden(port))
        && (name.eq_ignore_ascii_case("unknown") || hidden(name) || name.parse::<IpAddr>().is_ok() || bracketed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Peer};

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
            ("X-Forwarded-For", "10.0.0.1", true),
        ] {
            let headers = vec![(header, value)];
            let (target, peer, body) = (&b"/f%69les/d/closed?x"[..], Peer::default(), Body::NotForwarded);
            let facts = RequestFacts { method: "GET", target, host: Some("a.test"), headers: &headers, body, peer };
            assert_eq!(is_plain(&facts), expected, "{header}: {value}");
        }
    }

    #[test]
    fn forwarded_is_what_the_rfc_has_and_nothing_besides() {
        for text in [
            "",
            "for=10.0.0.1",
            "for=10.0.0.1;proto=https;host=a.test",
            "For=10.0.0.1; Proto=https; HOST=\"a.test:8443\"",
            "for=192.0.2.43, for=198.51.100.17;by=203.0.113.60",
            "for=\"[2001:db8:cafe::17]:4711\"",
            "for=\"[2001:db8:cafe::17]\";proto=http",
            "for=10.0.0.1:8080;by=10.0.0.2:443",
            "for=2001:db8::1",
            "for=unknown",
            "for=\"unknown:80\"",
            "for=_hidden, for=_SEVKISEK",
            "for=\"_a:_b\";by=_x",
            "by=_proxy-1.a_b;for=_x;secret=egah2CGj55fSJFs",
            "proto=http;for=127.0.0.1;",
            ";;for=10.0.0.1,,for=10.0.0.2;;",
            "host=[::1]:80",
        ] {
            assert!(pairs(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "for=1;xhost=other.test",
            "for=10.0.0.1;xhost=other.test",
            "for=10.0.0.1 host=other.test",
            "for=10.0.0.1\thost=other.test",
            "for=\"host=other.test\"",
            "for=\"10.0.0.1;host=other.test\"",
            "for=\"10.0.0.1,host=other.test\"",
            "\"host=other.test\"",
            "x\"host=other.test",
            "xhost=other.test;host=a.test",
            "xproto=http://a.test/admin?",
            "proto=http://a.test/admin?host=other.test",
            "proto=",
            "host=",
            "host=\"\"",
            "host=\"a.test",
            "host=a.test\"",
            "host=\"a\\.test\"",
            "host =a.test",
            "host= a.test",
            "host=a.test;host=a.test",
            "host=a.test;Host=other.test",
            "for=a.test",
            "for=10.0.0.1:host",
            "for=10.0.0.1:123456",
            "for=[10.0.0.1]",
            "for=_",
            "for=_x/y",
            "secret=\"a;host=other.test\"",
            "port=80",
            "path=/d/closed",
            "prefix=/d",
            "host",
            "=a.test",
            "for=10.0.0.1\u{e9}",
            "for=10.0.0.1\u{3000};host=a.test",
        ] {
            assert_eq!(pairs(text.as_bytes()), None, "{text}");
        }
        assert_eq!(pairs(b"host=a.test\xff"), None);
        let found = pairs(b"by=10.0.0.1;host=a.test;proto=https;for=_x").unwrap();
        assert_eq!(found, [Pair::By("10.0.0.1"), Pair::Host("a.test"), Pair::Proto("https"), Pair::Other]);
    }
}
