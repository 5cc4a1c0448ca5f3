//! Request smuggling: for every way in which a message's end can be disputed, the connection is either
//! refused and closed, or read as RFC 9112 says, and then the next request on it is answered as it was sent.
//!
//! Each case is followed by a second request, and carries in its body the bytes of a third that must
//! never be answered. Request ids and decisions distinguish them.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::raw::{Heard, post, say, say_and_stay};
use crate::support::tiny::{ask, tiny};

/// What must happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// One 4xx, then the end: nothing after the message is read as a request.
    Refused,
    /// The message is answered, and so is the second request: there was no dispute.
    Both,
    /// The message is answered, then the end.
    Closed,
}
use Fate::{Both, Closed, Refused};

/// The end of a head that says nothing about the body.
const HEAD: &str = "POST /v1/is_authorized HTTP/1.1\r\nhost: test\r\nx-request-id: first\r\n";

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// A body of `bytes` that means nothing as JSON, so that whatever is answered is a refusal of the content.
fn smuggled() -> String {
    post("/v1/is_authorized", "smuggled", &ask("alice"))
}

/// What is wrong with what was heard.
fn fault(heard: &Heard, fate: Fate) -> Option<&'static str> {
    let (ids, first) = (heard.ids(), heard.responses.first());
    let closing = first.is_some_and(|first| first.header("connection") == Some("close"));
    if ids.contains(&"smuggled") {
        return Some("the body was answered as a request");
    }
    if !heard.rest.is_empty() {
        return Some("the last answer is cut off");
    }
    let fine = match fate {
        Refused => ids.len() == 1 && closing && first.is_some_and(|first| (400..500).contains(&first.status)),
        Closed => ids == ["first"] && closing,
        Both => ids == ["first", "second"] && heard.responses[1].json()["diagnostics"]["reason"] == json!(["mallory"]),
    };
    (!fine).then_some("not as expected")
}

/// Every message is sent twice: with the client's side ended after it, and left open where the server must close.
fn run(cases: impl IntoIterator<Item = (String, String, Fate)>) {
    let server = tiny(json!({ "http": { "body_timeout": "400ms", "header_timeout": "400ms" } }));
    let second = post("/v1/is_authorized", "second", &ask("mallory"));
    let mut faults = String::new();
    for (name, message, fate) in cases {
        let bytes = format!("{message}{second}");
        let mut heard = vec![say(server.decisions, &bytes)];
        if fate != Both {
            heard.push(say_and_stay(server.decisions, &bytes));
        }
        for heard in heard {
            if let Some(fault) = fault(&heard, fate) {
                let (statuses, ids) = (heard.statuses(), heard.ids());
                let _ = writeln!(
                    faults,
                    "{name}: {fault}: wanted {fate:?}, got {statuses:?} {ids:?} {}",
                    heard.rest.escape_ascii()
                );
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    // and no other client noticed
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).json()["decision"], "Allow");
}

#[test]
fn length_and_chunks_together() {
    // RFC 9112, 6.1: Transfer-Encoding overrides, and the connection must be closed
    let (body, evil) = (ask("alice"), smuggled());
    let mut cases = Vec::new();
    let lengths = ["content-length", "Content-Length", "CONTENT-LENGTH"];
    let codings = ["transfer-encoding: chunked", "Transfer-Encoding:chunked", "TRANSFER-ENCODING:   CHUNKED  "];
    for (length, coding) in lengths.into_iter().zip(codings) {
        let mut add = |name: &str, claimed: usize, payload: &str| {
            for (order, head) in [
                ("CL then TE", format!("{HEAD}{length}: {claimed}\r\n{coding}\r\n\r\n")),
                ("TE then CL", format!("{HEAD}{coding}\r\n{length}: {claimed}\r\n\r\n")),
                ("CL, TE, CL", format!("{HEAD}{length}: {claimed}\r\n{coding}\r\n{length}: 0\r\n\r\n")),
            ] {
                let fate = if order == "CL, TE, CL" { Refused } else { Closed };
                cases.push((format!("{name}, {order}, {coding}"), format!("{head}{payload}"), fate));
            }
        };
        let plain = chunked(&body);
        add("both lengths agree", plain.len(), &plain);
        add("the length ends early", 4, &plain);
        add("the length ends late", plain.len() + evil.len(), &format!("{plain}{evil}"));
        add("the length ends before a request in a chunk", 4, &chunked(&evil));
    }
    run(cases);
}

#[test]
fn content_lengths() {
    let (body, evil) = (ask("alice"), smuggled());
    let n = body.len();
    let case = |name: &str, headers: String, fate| (name.to_owned(), format!("{HEAD}{headers}\r\n{body}"), fate);
    let mut cases = vec![
        // RFC 9110, 8.6: identical values may be taken as one, or refused
        case("twice the same", format!("content-length: {n}\r\ncontent-length: {n}\r\n"), Refused),
        case("white space around", format!("content-length:\t {n}\t \r\n"), Both),
        case("no white space", format!("content-length:{n}\r\n"), Both),
        case("zeros before", format!("content-length: 000{n}\r\n"), Both),
        // another name is another header
        case("an underscore", format!("content_length: 3\r\ncontent-length: {n}\r\n"), Both),
        case("two, the first right", format!("content-length: {n}\r\ncontent-length: {}\r\n", n + 1), Refused),
        case("two, the second right", format!("content-length: 0\r\nContent-Length: {n}\r\n"), Refused),
        case("three, the last wrong", format!("content-length: {n}\r\n").repeat(2) + "content-length: 1\r\n", Refused),
    ];
    let odd = [
        format!("{n}, {n}"),
        format!("{n},{n}"),
        format!("{n},"),
        format!("+{n}"),
        format!("-{n}"),
        format!("0x{n:x}"),
        format!("{n}.0"),
        format!("{n} {n}"),
        format!("\"{n}\""),
        format!("{n};q=1"),
        "1e2".to_owned(),
        format!("\u{b}{n}"),
        "".to_owned(),
        " ".to_owned(),
        "-0".to_owned(),
        "-1".to_owned(),
        "abc".to_owned(),
        "٣".to_owned(),
        "18446744073709551616".to_owned(),
        "18446744073709551615".to_owned(),
        "99999999999999999999999999".to_owned(),
    ];
    for value in odd {
        cases.push(case(&format!("the value {value:?}"), format!("content-length: {value}\r\n"), Refused));
        let valid_first = format!("content-length: {n}\r\ncontent-length: {value}\r\n");
        cases.push(case(&format!("a good one, then {value:?}"), valid_first, Refused));
    }
    // nothing says that there is a body: what follows is the next message
    cases.push(("no length".to_owned(), format!("{HEAD}\r\n"), Both));
    cases.push(("length 0".to_owned(), format!("{HEAD}content-length: 0\r\n\r\n"), Both));
    // a request in the body is a body
    let head = format!("{HEAD}content-length: {}\r\n\r\n", evil.len());
    cases.push(("a request in the body".to_owned(), format!("{head}{evil}"), Both));
    run(cases);
}

#[test]
fn transfer_codings() {
    let body = chunked(&ask("alice"));
    let case = |name: &str, headers: &str, fate| (name.to_owned(), format!("{HEAD}{headers}\r\n{body}"), fate);
    let mut cases = vec![
        case("as it should be", "transfer-encoding: chunked\r\n", Both),
        case("in capitals", "TRANSFER-ENCODING: CHUNKED\r\n", Both),
        case("tabs around", "transfer-encoding:\tchunked\t\r\n", Both),
        case("another header", "transfer_encoding: identity\r\ntransfer-encoding: chunked\r\n", Both),
        case("twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Closed),
        case("identity before", "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", Closed),
        case("identity after", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", Refused),
        case("space before the colon", "transfer-encoding : chunked\r\n", Refused),
        case("tab before the colon", "transfer-encoding\t: chunked\r\n", Refused),
        case("NUL in the name", "transfer-encoding\0: chunked\r\n", Refused),
        case("space before the name", "content-length: 3\r\n transfer-encoding: chunked\r\n", Refused),
        case("obs-fold", "transfer-encoding:\r\n chunked\r\n", Refused),
        case("obs-fold with a tab", "transfer-encoding:\r\n\tchunked\r\n", Refused),
        case("obs-fold of another header", "x-a: b\r\n transfer-encoding: chunked\r\n", Refused),
        case("a bare CR before", "x-a: b\rtransfer-encoding: chunked\r\n", Refused),
        case("a bare CR after", "transfer-encoding: chunked\r\rx-a: b\r\n", Refused),
        case("no colon", "transfer-encoding chunked\r\n", Refused),
        case("quoted header name", "\"transfer-encoding\": chunked\r\n", Refused),
    ];
    for coding in ["gzip, chunked", "identity, chunked", "chunked, chunked", ", chunked", ",chunked"] {
        // chunked stands last, so the end is not disputed; the codings before it are unknown
        cases.push(case(coding, &format!("transfer-encoding: {coding}\r\n"), Closed));
    }
    for coding in [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "chunked,",
        "identity",
        "gzip",
        "",
        "chunk",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "\u{b}chunked",
        "chunked\u{b}",
        "\0chunked",
        "chunked\0",
        "chunked chunked",
        "cow",
        "\u{a0}chunked",
        "chunKed\u{212a}",
    ] {
        cases.push(case(&format!("{coding:?}"), &format!("transfer-encoding: {coding}\r\n"), Refused));
    }
    let old = |headers: &str| format!("{}{headers}\r\n{body}", HEAD.replace("HTTP/1.1", "HTTP/1.0"));
    cases.push(("in HTTP/1.0".to_owned(), old("transfer-encoding: chunked\r\n"), Refused));
    cases.push((
        "in HTTP/1.0, kept alive".to_owned(),
        old("connection: keep-alive\r\ntransfer-encoding: chunked\r\n"),
        Refused,
    ));
    cases.push((
        "in HTTP/1.0 with a length".to_owned(),
        old("content-length: 3\r\ntransfer-encoding: chunked\r\n"),
        Refused,
    ));
    run(cases);
}

#[test]
fn chunks() {
    let (body, evil) = (ask("alice"), smuggled());
    let n = body.len();
    let case = |name: &str, payload: String, fate| {
        (name.to_owned(), format!("{HEAD}transfer-encoding: chunked\r\n\r\n{payload}"), fate)
    };
    let split: String = body.chars().fold(String::new(), |mut out, c| {
        let _ = write!(out, "{:X}\r\n{c}\r\n", c.len_utf8());
        out
    });
    let mut cases = vec![
        case("one byte a chunk", format!("{split}0\r\n\r\n"), Both),
        case("capitals", format!("{n:X}\r\n{body}\r\n0\r\n\r\n"), Both),
        case("zeros before", format!("000{n:x}\r\n{body}\r\n000\r\n\r\n"), Both),
        case("an extension", format!("{n:x};name=value;other=\"quoted\"\r\n{body}\r\n0;last\r\n\r\n"), Both),
        // RFC 9112, 7.1.1: white space before an extension is bad but defined
        case("white space before an extension", format!("{n:x} \t;name\r\n{body}\r\n0\r\n\r\n"), Both),
        case("a trailer", format!("{n:x}\r\n{body}\r\n0\r\nx-trailer: yes\r\n\r\n"), Both),
        case("a trailer that names a length", format!("{n:x}\r\n{body}\r\n0\r\ncontent-length: 7\r\n\r\n"), Both),
        case("a trailer that names a coding", format!("{n:x}\r\n{body}\r\n0\r\ntransfer-encoding: x\r\n\r\n"), Both),
        // the decision is about the body, not about what the trailer says
        case(
            "a trailer that names a request id",
            format!("{n:x}\r\n{body}\r\n0\r\nx-request-id: smuggled\r\n\r\n"),
            Both,
        ),
        case("a request in a chunk", chunked(&evil), Both),
        case("the end of chunks within a chunk", chunked(&format!("0\r\n\r\n{evil}")), Both),
    ];
    for (name, payload) in [
        ("no size", format!("\r\n{body}\r\n0\r\n\r\n")),
        ("a word", format!("cow\r\n{body}\r\n0\r\n\r\n")),
        ("0x", format!("0x{n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("plus", format!("+{n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("minus", format!("-{n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("underscore", format!("0_{n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("white space before", format!(" {n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("white space within", format!("0 {n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("a comma", format!("{n:x},{n:x}\r\n{body}\r\n0\r\n\r\n")),
        ("too large for 64 bits", format!("1{n:016x}\r\n{body}\r\n0\r\n\r\n")),
        ("all ones", format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("bare LF after the size", format!("{n:x}\n{body}\r\n0\r\n\r\n")),
        ("bare CR after the size", format!("{n:x}\r{body}\r\n0\r\n\r\n")),
        ("bare LF in an extension", format!("{n:x};a\nb\r\n{body}\r\n0\r\n\r\n")),
        ("bare CR in an extension", format!("{n:x};a\rb\r\n{body}\r\n0\r\n\r\n")),
        ("bare LF after the data", format!("{n:x}\r\n{body}\n0\r\n\r\n")),
        ("nothing after the data", format!("{n:x}\r\n{body}0\r\n\r\n")),
        ("data longer than said", format!("{:x}\r\n{body}\r\n0\r\n\r\n", n - 1)),
        ("data shorter than said", format!("{:x}\r\n{body}\r\n0\r\n\r\n", n + 1)),
        ("bare LF after the last chunk", format!("{n:x}\r\n{body}\r\n0\n\n")),
        ("NUL in the size", format!("{n:x}\0\r\n{body}\r\n0\r\n\r\n")),
        ("an endless extension", format!("{n:x};{}\r\n{body}\r\n0\r\n\r\n", "a".repeat(40_000))),
        ("endless trailers", format!("{n:x}\r\n{body}\r\n0\r\n{}\r\n", "x-a: b\r\n".repeat(10_000))),
    ] {
        cases.push(case(name, payload, Refused));
    }
    run(cases);
}

#[test]
fn line_ends_of_the_head() {
    let body = ask("alice");
    let n = body.len();
    let head = format!("{HEAD}content-length: {n}\r\n\r\n");
    let case = |name: &str, head: String, fate| (name.to_owned(), format!("{head}{body}"), fate);
    run([
        // RFC 9112, 2.2: a single LF may be taken as the end of a line, but others may not take it so
        case("bare LF throughout", head.replace("\r\n", "\n"), Refused),
        case("bare LF before the body", format!("{HEAD}content-length: {n}\r\n\n"), Refused),
        case("bare LF after the request line", head.replacen("\r\n", "\n", 1), Refused),
        case("two hosts", head.replacen("\r\n", "\r\nhost: test\r\n", 1), Refused),
        case(
            "a bare LF ends a line: both framings seen",
            format!("{HEAD}x-a: b\ntransfer-encoding: chunked\ncontent-length: 3\r\n\r\n{}", chunked("")),
            Refused,
        ),
        // RFC 9112, 2.2: empty lines before a request are ignored
        case("an empty line before", format!("\r\n{head}"), Both),
        case("bare CR throughout", head.replace("\r\n", "\r"), Refused),
        case("CR CR LF", head.replacen("\r\n", "\r\r\n", 1), Refused),
        case("NUL in a value", head.replace("host: test", "host: te\0st"), Refused),
        case("DEL in a name", head.replace("host", "ho\x7fst"), Refused),
        case("a line without a name", head.replace("host: test", ": test"), Refused),
        case("space in the name", head.replace("host:", "ho st:"), Refused),
        case("another version", head.replace("HTTP/1.1", "HTTP/1.2"), Refused),
        case("two spaces", head.replacen("POST ", "POST  ", 1), Refused),
        case("a version in the path", head.replacen("HTTP/1.1", "HTTP/1.1 HTTP/1.1", 1), Refused),
    ]);
}

/// Answers that do not wait for the body: what is left of it must not be read as a request.
#[test]
fn bodies_that_are_not_read() {
    let server = tiny(json!({ "http": { "body_timeout": "400ms" } }));
    let second = post("/v1/is_authorized", "second", &ask("mallory"));
    let evil = smuggled();
    let large = format!("{}{evil}", " ".repeat(900_000));
    for (name, line, more, status) in [
        ("no such path", "POST /nowhere HTTP/1.1", "", 404),
        ("wrong method", "PUT /v1/is_authorized HTTP/1.1", "", 405),
        ("wrong content type", "POST /v1/is_authorized HTTP/1.1", "content-type: text/plain\r\n", 400),
        ("a GET with a body", "GET /.well-known/authzen-configuration HTTP/1.1", "", 404),
        ("CONNECT", "CONNECT test:80 HTTP/1.1", "", 404),
        ("an upgrade", "POST /nowhere HTTP/1.1", "connection: upgrade\r\nupgrade: h2c\r\n", 404),
        ("continue", "POST /nowhere HTTP/1.1", "expect: 100-continue\r\n", 404),
    ] {
        for body in [&evil, &large] {
            for (length, body) in [
                (format!("content-length: {}", body.len()), body.clone()),
                ("transfer-encoding: chunked".to_owned(), chunked(body)),
            ] {
                let head = format!("{line}\r\nhost: test\r\nx-request-id: first\r\n{more}{length}\r\n\r\n");
                let heard = say(server.decisions, format!("{head}{body}{second}"));
                let said = format!("{name}, {length}: {:?} {:?}", heard.statuses(), heard.ids());
                assert_eq!(heard.statuses().first(), Some(&status), "{said}");
                match heard.ids().as_slice() {
                    ["first"] => {}
                    ["first", "second"] => {
                        assert_eq!(heard.responses[1].json()["diagnostics"]["reason"], json!(["mallory"]), "{said}");
                    }
                    _ => panic!("{said}"),
                }
            }
        }
    }
}
