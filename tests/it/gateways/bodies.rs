//! Requests whose resource or action is in the body: the body that was authorised, whole, is what the service gets.

use std::io::Write as _;
use std::time::Duration;

use super::client::{Say, Speak};
use super::http2;
use super::stand::Stand;
use crate::support::gate::bearer;

const ANN: &str = "Fleet::User::\"ann\"";
const JSON: &str = "application/json";
const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");
/// What the pages set as the largest body.
const MOST: usize = 65_536;

/// What must come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// It passes for this caller, and the service gets the very bytes that the sidecar was asked about.
    Passes(&'static str),
    /// The sidecar refuses it for this reason, and the service sees nothing.
    Refused(&'static str),
    /// It is not passed on, by the sidecar or not: Traefik makes a mistake here, and does not ask the sidecar.
    Stops,
    /// It is too large for the gateway, which does not ask the sidecar.
    TooLarge,
    /// It passes as `Passes`, or is refused.
    Either,
}
use Expect::{Either, Passes, Refused, Stops, TooLarge};

/// A POST of `ann` to the host whose routes read bodies, said to be JSON.
fn post<'a>(target: &'a str, who: &'a str, content_type: &'a str, body: &'a [u8]) -> Say<'a> {
    let say = Say { method: "POST", host: "body.test", body, ..Say::get(target) };
    let say = if who.is_empty() { say } else { say.with("Authorization", who) };
    if content_type.is_empty() { say } else { say.with("Content-Type", content_type) }
}

/// JSON for a document, followed by white space up to this size.
fn padded(id: &str, size: usize) -> Vec<u8> {
    let mut body = format!("{{\"id\": \"{id}\"}}").into_bytes();
    body.resize(size, b' ');
    body
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Through a gateway that passes bodies on, and answers larger ones with this status.
pub(super) fn run(stand: &Stand<'_>, too_large: u16) {
    let ann = bearer("ann");
    let ann = ann.as_str();
    let (zipped, most, denied, more) =
        (gzip(b"{\"id\": \"7\"}"), padded("7", MOST), padded("closed", MOST), padded("7", MOST + 1));
    let json = |target, body| post(target, ann, JSON, body);
    let get = |body| json("/doc/get", body);
    let act = |body| json("/doc/act", body);
    let list = |body| json("/doc/list", body);
    let typed = |content_type| post("/doc/get", ann, content_type, br#"{"id": "7"}"#);
    let seven = || get(br#"{"id": "7"}"#);
    let upgrade = || {
        // the connection may stay open
        let say = seven().with("Connection", "Upgrade").with("Upgrade", "websocket");
        Say { wait: Duration::from_secs(1), ..say }
    };
    for (what, say, expect) in [
        ("allowed by its field", seven(), Passes(ANN)),
        ("denied by its field", get(br#"{"id": "closed"}"#), Refused("denied")),
        ("its action is allowed", act(br#"{"id": "7", "action": "lock"}"#), Passes(ANN)),
        ("its action is denied", act(br#"{"id": "7", "action": "unlock"}"#), Refused("denied")),
        ("its action is none", act(br#"{"id": "7", "action": "burn"}"#), Refused("no_case")),
        ("all of a list", list(br#"{"ids": ["7", "8"]}"#), Passes(ANN)),
        ("all but one of a list", list(br#"{"ids": ["7", "closed"]}"#), Refused("denied")),
        ("with a query", json("/doc/get?other=closed", br#"{"id": "7"}"#), Passes(ANN)),
        // some services put the two together
        ("with a query of the same name", json("/doc/get?id=closed", br#"{"id": "7"}"#), Refused("ambiguous_value")),
        ("nobody", post("/doc/get", "", JSON, br#"{"id": "7"}"#), Refused("missing_credential")),
        ("an unmapped path", json("/none", br#"{"id": "7"}"#), Refused("no_route")),
        ("a public route", post("/open", "", JSON, br#"{"id": "closed"}"#), Passes("")),
        ("a route that does not read it", json("/d/7", b"\x00\xff not JSON"), Passes(ANN)),
        ("a spoofed caller", seven().with("X-Palisade-Principal", "root"), Passes(ANN)),
        ("another method", seven().with("X-HTTP-Method-Override", "GET"), Refused("method_override")),
        // ---- none, or no JSON
        ("none", get(b""), Refused("body_not_forwarded")),
        ("none in chunks", get(b"").with(CHUNKED.0, CHUNKED.1), Stops),
        ("an empty object", get(b"{}"), Refused("missing_value")),
        ("a null", get(br#"{"id": null}"#), Refused("missing_value")),
        ("an empty text", get(br#"{"id": ""}"#), Refused("bad_value")),
        ("a list for a text", get(br#"{"id": ["7"]}"#), Refused("bad_value")),
        ("white space", get(b" \r\n "), Refused("bad_body")),
        ("no JSON", get(b"id=7"), Refused("bad_body")),
        ("half of it", get(br#"{"id": "7""#), Refused("bad_body")),
        ("two of it", get(br#"{"id": "7"} {"id": "closed"}"#), Refused("bad_body")),
        ("a NUL behind it", get(b"{\"id\": \"7\"}\0"), Refused("bad_body")),
        ("a mark in front of it", get(b"\xef\xbb\xbf{\"id\": \"7\"}"), Refused("bad_body")),
        ("no UTF-8", get(b"{\"id\": \"\xff\"}"), Refused("bad_body")),
        // ---- read in two ways
        ("a key twice", get(br#"{"id": "7", "id": "closed"}"#), Refused("bad_body")),
        ("a key twice, once escaped", get(br#"{"id": "7", "\u0069d": "closed"}"#), Refused("bad_body")),
        ("a key in another case too", get(br#"{"id": "7", "ID": "closed"}"#), Refused("ambiguous_value")),
        // ---- what the headers say of it
        ("no type", typed(""), Refused("bad_body")),
        ("a form", typed("application/x-www-form-urlencoded"), Refused("bad_body")),
        ("text", typed("text/plain"), Refused("bad_body")),
        ("a type of its own", typed("application/merge-patch+json"), Passes(ANN)),
        ("a charset", typed("application/json; charset=utf-8"), Passes(ANN)),
        ("another charset", typed("application/json; charset=utf-16"), Refused("bad_body")),
        ("two types", seven().with("Content-Type", "text/plain"), Refused("bad_body")),
        ("compressed", get(&zipped).with(GZIP.0, GZIP.1), Refused("bad_body")),
        ("compressed, and not said so", get(&zipped), Refused("bad_body")),
        ("said to be compressed", seven().with(GZIP.0, GZIP.1), Refused("bad_body")),
        ("as it is", seven().with("Content-Encoding", "identity"), Passes(ANN)),
        ("said to be whole", seven().with("X-Envoy-Auth-Partial-Body", "false"), Either),
        ("said to be cut", seven().with("X-Envoy-Auth-Partial-Body", "true"), Either),
        ("none, said to be whole", get(b"").with("X-Envoy-Auth-Partial-Body", "false"), Refused("body_not_forwarded")),
        // ---- how it comes: Envoy passes on no body of an upgrade
        ("in an upgrade", upgrade(), Either),
        ("in an upgrade, said to be whole", upgrade().with("X-Envoy-Auth-Partial-Body", "false"), Either),
        ("in chunks", seven().with(CHUNKED.0, CHUNKED.1), Passes(ANN)),
        ("denied in chunks", get(br#"{"id": "closed"}"#).with(CHUNKED.0, CHUNKED.1), Refused("denied")),
        ("the largest", get(&most), Passes(ANN)),
        ("the largest in chunks", get(&most).with(CHUNKED.0, CHUNKED.1), Passes(ANN)),
        ("the largest, denied", get(&denied), Refused("denied")),
        ("too large", get(&more), TooLarge),
        ("too large in chunks", get(&more).with(CHUNKED.0, CHUNKED.1), TooLarge),
        ("too large for who needs none", json("/d/7", &more), TooLarge),
        ("too large of nobody", post("/open", "", JSON, &more), TooLarge),
    ] {
        check(stand, what, &say, expect, too_large, None);
        // what HTTP/2 has no word for, or no room
        let plain = !say.headers.iter().any(|(name, _)| ["Connection", CHUNKED.0].contains(name));
        if plain && say.body.len() <= http2::LARGEST {
            check(stand, what, &say, expect, too_large, Some(http2::say));
        }
    }
    is_gone(stand, ann);
}

/// Through Envoy, with the mistake that it passes on what fits of a body.
pub(super) fn run_cut(stand: &Stand<'_>) {
    let ann = bearer("ann");
    let get = |body| post("/doc/get", &ann, JSON, body);
    let (most, more, much) = (padded("7", MOST), padded("7", MOST + 1), padded("7", 3 * MOST));
    let whole = ("X-Envoy-Auth-Partial-Body", "false");
    for (what, say, expect) in [
        ("whole", get(br#"{"id": "7"}"#), Passes(ANN)),
        ("just whole", get(&most), Either),
        ("cut by a byte", get(&more), Refused("partial_body")),
        ("cut", get(&much), Refused("partial_body")),
        ("cut in chunks", get(&much).with(CHUNKED.0, CHUNKED.1), Refused("partial_body")),
        ("cut, said to be whole", get(&much).with(whole.0, whole.1), Refused("partial_body")),
        (
            "cut in chunks, said to be whole",
            get(&more).with(CHUNKED.0, CHUNKED.1).with(whole.0, whole.1),
            Refused("partial_body"),
        ),
    ] {
        check(stand, what, &say, expect, 413, None);
    }
}

/// Through a gateway that passes no bodies on, which is what every page has.
pub(super) fn run_none(stand: &Stand<'_>) {
    let ann = bearer("ann");
    let seven = || post("/doc/get", &ann, JSON, br#"{"id": "7"}"#);
    // its page refuses a body of no known length, because of what may come behind it
    let in_chunks = if stand.gateway.name == "haproxy" { Stops } else { Refused("body_not_forwarded") };
    for (what, say, expect) in [
        ("not passed on", seven(), Refused("body_not_forwarded")),
        ("in chunks", seven().with(CHUNKED.0, CHUNKED.1), in_chunks),
        ("said to be whole", seven().with("X-Envoy-Auth-Partial-Body", "false"), Refused("body_not_forwarded")),
    ] {
        check(stand, what, &say, expect, 0, None);
    }
    unchanged(stand, &ann);
}

/// What is allowed comes to the service with its body, and with what says how that is read, as they were sent.
fn unchanged(stand: &Stand<'_>, ann: &str) {
    for (kind, encoding, body) in [
        (JSON, None, &br#"{"a": 1}"#[..]),
        ("application/octet-stream", None, b"GET /admin/7 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("image/png", Some("gzip"), b"\x1f\x8b\x00\xff"),
    ] {
        let say = Say { method: "POST", body, ..Say::get("/d/7") };
        let say = say.with("Authorization", ann).with("Content-Type", kind);
        let say = encoding.into_iter().fold(say, |say, encoding| say.with("Content-Encoding", encoding));
        let (reply, seen) = stand.settle(&say);
        let about = || format!("{say:?}: {reply:?} {seen:?}\n{}", stand.told());
        assert_eq!(seen.len(), 1, "{}", about());
        assert_eq!(seen[0].body(), Some(body), "{}", about());
        assert_eq!(seen[0].like("content-type"), [kind], "{}", about());
        assert_eq!(seen[0].like("content-encoding"), Vec::from_iter(encoding), "{}", about());
    }
}

/// Sends it, as the stand does or in another way.
fn check(stand: &Stand<'_>, what: &str, say: &Say<'_>, expect: Expect, too_large: u16, otherwise: Option<Speak>) {
    let mark = stand.tap.mark();
    let (reply, seen) = loop {
        let (reply, seen) = match otherwise {
            Some(speak) => (speak(stand.addr(), say), stand.upstream.take()),
            None => stand.ask(say),
        };
        if expect == Stops || !stand.again(reply.as_ref(), seen.len()) {
            break (reply, seen);
        }
    };
    let asked = stand.tap.since(&mark);
    let about = || {
        let body = &say.body[..say.body.len().min(80)];
        let asked: Vec<_> = asked.iter().map(|it| (&it.method, it.body.len(), it.allowed, &it.code)).collect();
        let body = body.escape_ascii().to_string();
        format!(
            "{what}: {} {:?} {body}: {reply:?}, asked {asked:?}, {seen:?}\n{}",
            say.target,
            say.headers,
            stand.told()
        )
    };
    let reply = reply.as_ref().unwrap_or_else(|| panic!("no answer to {}", about()));
    let last = asked.last();
    match expect {
        Refused(code) => {
            let status = if code.ends_with("_credential") { 401 } else { 403 };
            assert_eq!((reply.status, seen.len()), (status, 0), "{}", about());
            assert!(last.is_some_and(|it| it.code == code) && asked.iter().all(|it| !it.allowed), "{}", about());
        }
        Stops => {
            assert!(!reply.is_success() && seen.is_empty() && asked.iter().all(|it| !it.allowed), "{}", about());
        }
        TooLarge => {
            assert_eq!((reply.status, seen.len(), asked.len()), (too_large, 0, 0), "{}", about());
        }
        Passes(_) | Either => {
            let who = if let Passes(who) = expect { who } else { ANN };
            let passed = expect != Either || reply.is_success();
            assert_eq!((reply.is_success(), seen.len()), (passed, usize::from(passed)), "{}", about());
            assert!(passed || asked.iter().all(|it| !it.allowed), "{}", about());
            let Some(seen) = seen.first() else { return };
            let asked = last.unwrap_or_else(|| panic!("nobody was asked: {}", about()));
            assert!(asked.allowed && asked.body == say.body, "asked about these bytes: {}", about());
            assert_eq!(seen.body(), Some(say.body), "the service gets these bytes: {}", about());
            let line = (seen.method.as_str(), seen.target.as_slice());
            assert_eq!(line, (say.method, say.target.as_bytes()), "{}", about());
            let sent = say.headers.iter().find(|(name, _)| *name == "Content-Type").map(|(_, value)| *value);
            assert_eq!(seen.like("content-type"), Vec::from_iter(sent), "{}", about());
            let callers: Vec<_> = seen.like("x-palisade-principal").into_iter().filter(|it| !it.is_empty()).collect();
            assert_eq!(callers, Vec::from_iter(Some(who).filter(|who| !who.is_empty())), "{}", about());
        }
    }
}

/// A body while the sidecar is gone.
fn is_gone(stand: &Stand<'_>, ann: &str) {
    stand.sidecar.signal("KILL");
    stand.tap.down();
    for target in ["/doc/get", "/d/7", "/open"] {
        let wait = Duration::from_secs(5);
        let (reply, seen) = stand.ask(&Say { wait, ..post(target, ann, JSON, br#"{"id": "7"}"#) });
        let heard = reply.map(|reply| reply.status);
        assert_eq!((heard, seen.len()), (Some(stand.gateway.faults.0), 0), "{target}: {}", stand.told());
    }
}
