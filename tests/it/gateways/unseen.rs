//! Bodies that a gateway does not pass on: none is taken for no body, whatever a client says of it.

use super::client::Say;
use super::http2;
use super::stand::Stand;
use crate::support::gate::bearer;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// No `Content-Length` at all, as `curl -X POST` has none.
const BARE: (&str, &str) = ("Content-Length", "");
const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

/// Through a gateway that passes no bodies on, which is what every page has.
pub fn run(stand: &Stand<'_>) {
    let ann = bearer("ann");
    let name = stand.gateway.name;
    let post = |host, target, kind: &'static str, body: &'static [u8]| {
        let say = Say { method: "POST", host, body, ..Say::get(target) }.with("Authorization", &ann);
        if kind.is_empty() { say } else { say.with("Content-Type", kind) }
    };
    let strict = |kind, body| post("gw.test", "/d/7", kind, body);
    let plain = |kind, body| post("plain.test", "/d/7", kind, body);
    // Traefik says nothing of a body, and some tell no chunks, so that only a length of 0 is none
    let (says_none, tells_chunks) =
        (name != "traefik", !["traefik", "caddy 2.6", "caddy 2.11", "envoy over gRPC"].contains(&name));
    let asks = br#"{"_method": "DELETE"}"#;
    for (what, say, passes) in [
        ("JSON", strict(JSON, asks), false),
        ("a form", strict(FORM, b"_method=DELETE"), false),
        ("text", strict("text/plain", asks), false),
        ("no type", strict("", b"_method=DELETE"), false),
        ("none", strict(JSON, b""), says_none),
        ("none, without a type", strict("", b""), says_none),
        ("none, and no length", strict("", b"").with(BARE.0, BARE.1), tells_chunks),
        ("said to be shown", strict(JSON, asks).with("X-Original-Body", "shown"), false),
        ("said to be none", strict(JSON, asks).with("X-Original-Body", "HTTP/1.1 length=0 encoding="), false),
        ("said by a twin to be none", strict(JSON, asks).with("X_Original_Body", "shown"), false),
        (
            "a public route",
            Say { headers: vec![("Content-Type", JSON)], ..post("plain.test", "/open", JSON, asks) },
            true,
        ),
        ("a service that takes no method from it", plain(JSON, asks), true),
        ("the same with a form", plain(FORM, b"_method=DELETE"), true),
        ("a value of the query, and none", post("plain.test", "/q?device_id=7", JSON, b""), says_none),
        ("a value of the query", post("plain.test", "/q?device_id=7", JSON, br#"{"device_id": "closed"}"#), false),
        (
            "a value of the query of a GET with a body",
            Say { method: "GET", ..post("plain.test", "/q?device_id=7", FORM, b"device_id=closed") },
            !says_none,
        ),
        ("a value of the query of a GET", Say { method: "GET", ..post("plain.test", "/q?device_id=7", "", b"") }, true),
    ] {
        check(stand, what, &say, passes);
    }
    // HAProxy's page refuses a body of no known length
    let chunks = name != "haproxy";
    check(stand, "in chunks", &strict(JSON, asks).with(CHUNKED.0, CHUNKED.1), false);
    check(stand, "in chunks, ignored", &plain(JSON, asks).with(CHUNKED.0, CHUNKED.1), chunks);
    if stand.gateway.http2 {
        for (what, say, passes) in [
            ("JSON", strict(JSON, asks), false),
            ("none, and no length", strict("", b""), name == "haproxy"),
            ("none", strict("", b"").with("Content-Length", "0"), says_none),
        ] {
            let reply = http2::say(stand.addr(), &say);
            let seen = stand.upstream.take();
            assert_eq!(seen.len(), usize::from(passes), "{what} over HTTP/2: {reply:?} {seen:?}\n{}", stand.told());
        }
    }
}

fn check(stand: &Stand<'_>, what: &str, say: &Say<'_>, passes: bool) {
    let (reply, seen) = stand.settle(say);
    let about = || format!("{what}: {say:?}: {reply:?} {seen:?}\n{}", stand.told());
    let passed = reply.as_ref().unwrap_or_else(|| panic!("no answer to {}", about())).is_success();
    assert_eq!((passed, seen.len()), (passes, usize::from(passes)), "{}", about());
}
