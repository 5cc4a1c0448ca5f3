//! Streams of HTTP/2 that wait, for a revision or for their client: each is memory from its first moment on, and all of
//! them together have a bound, on every listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use palisade::telemetry::Listener;
use serde_json::json;

use crate::support::Server;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, hpack_text};
use crate::support::http::connect;
use crate::support::tiny::{ask, tiny};

/// A field that goes into no table.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    hpack_text(&mut block, name);
    hpack_text(&mut block, value);
    block
}

fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let front = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)];
    front.iter().chain(fields).flat_map(|(name, value)| literal(name, value)).collect()
}

/// A client that opens streams, without bodies, and takes no answer.
struct Hoarder(TcpStream);

impl Hoarder {
    fn open(addr: SocketAddr, window: u32, streams: u32, head: &[u8]) -> Self {
        let mut stream = connect(addr);
        let window = [&[0, 4][..], &window.to_be_bytes()].concat();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &window)].concat();
        for n in 0..streams {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, head));
        }
        stream.write_all(&bytes).unwrap();
        Self(stream)
    }

    /// Frames of a kind, with what they carry: at least so many, unless they do not come.
    fn frames(&mut self, wanted: u8, least: usize) -> Vec<Vec<u8>> {
        self.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (started, mut bytes, mut chunk, mut found) = (Instant::now(), Vec::new(), [0; 1 << 16], Vec::new());
        while found.len() < least && started.elapsed() < Duration::from_secs(20) {
            match self.0.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                Err(_) => {}
            }
            while bytes.len() >= 9 {
                let end = 9 + u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
                if bytes.len() < end {
                    break;
                }
                let frame: Vec<u8> = bytes.drain(..end).collect();
                if frame[3] == wanted {
                    found.push(frame[9..].to_vec());
                }
            }
        }
        found
    }
}

/// What streams hold on a listener.
fn held(server: &Server, listener: Listener) -> usize {
    let services = &server.services;
    match listener {
        Listener::Decisions | Listener::Grpc => services.decision_streams.held(),
        Listener::Admin | Listener::Ops => services.admin_streams.held(),
    }
}

#[test]
fn streams_share_a_budget_on_every_listener() {
    const MOST: usize = 2_000_000;
    let long = format!("/{}", "p".repeat(3_900));
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let cases = [
        (Listener::Decisions, "answers", head("GET", "/nothing", &[])),
        (Listener::Decisions, "answers that repeat a long path", head("GET", &long, &[])),
        (Listener::Decisions, "a gateway", head("GET", "/gateway/nginx", &[])),
        (Listener::Admin, "metrics", head("GET", "/metrics", &[])),
        (Listener::Ops, "health", head("GET", "/livez", &[])),
        (Listener::Grpc, "checks", head("POST", "/envoy.service.auth.v3.Authorization/Check", &grpc)),
    ];
    for (listener, what, head) in cases {
        let server = tiny(json!({
            "listen": { "grpc": "127.0.0.1:0", "ops": "127.0.0.1:0" },
            "http": { "max_inflight_bytes": MOST, "body_timeout": "60s" },
        }));
        let most = if held_aside(listener) { palisade::transport::ADMIN_STREAM_BYTES } else { MOST };
        let clients: Vec<Hoarder> = (0..16).map(|_| Hoarder::open(server.addr(listener), 0, 256, &head)).collect();
        let refused = || server.services.metrics.streams_refused(listener).get();
        server.until(what, |server| server.services.unanswered() as u64 + refused() >= 16 * 256);
        assert!(refused() > 1_000, "{what}: {}", refused());
        assert!(held(&server, listener) <= most, "{what}: {} bytes", held(&server, listener));
        // none costs less than it takes; the only stream of a connection is not counted
        let open = server.services.unanswered();
        assert!((open - 16) * 9_000 <= most, "{what}: {open} streams");
        // a client on another connection, or with one request at a time, is served
        assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200, "{what}");
        assert_eq!(server.admin().get("/livez").status, 200, "{what}");
        let mut one = Hoarder::open(server.addr(listener), 65_535, 1, &head);
        assert!(!one.frames(HEADERS, 1).is_empty(), "{what}");
        let degraded = server.admin().get("/v1/status").json()["degraded"].to_string();
        assert!(
            degraded.contains("requests over HTTP/2 are refused") && degraded.contains(listener.as_str()),
            "{degraded}"
        );
        drop((clients, one));
        server.until("all is given back", |server| held(server, listener) == 0);
        server.until("all is settled", |server| server.services.unanswered() == 0);
    }
}

fn held_aside(listener: Listener) -> bool {
    matches!(listener, Listener::Admin | Listener::Ops)
}

#[test]
fn a_refused_stream_may_be_asked_again() {
    let server = tiny(json!({ "http": { "max_inflight_bytes": 100_000, "body_timeout": "60s" } }));
    let mut client = Hoarder::open(server.decisions, 0, 20, &head("GET", "/nothing", &[]));
    let resets = client.frames(RST_STREAM, 16);
    // REFUSED_STREAM: nothing was done
    assert!(resets.len() > 15 && resets.iter().all(|reset| reset[..] == [0, 0, 0, 7]), "{resets:?}");
    // a quarter of it is for one connection
    assert!(held(&server, Listener::Decisions) <= 25_000);
}

/// Heads that wait for a revision, without a body: they count as those do that wait for one.
#[test]
fn heads_that_wait_for_a_revision_share_the_budget() {
    const MOST: usize = 2_000_000;
    let server =
        tiny(json!({ "http": { "max_inflight_bytes": MOST, "deadline": "5s" }, "gateway": { "deadline": "5s" } }));
    let revision = server.admin().get("/readyz").json()["revision"].as_str().unwrap().to_owned();
    let later = format!("{}-999", revision.split('-').next().unwrap());
    let large = "v".repeat(12_000);
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("a", ""), 90).collect();
    let forward = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/"),
        ("x-forwarded-host", "a"),
        ("palisade-at-least", &*later),
    ];
    for (what, path, fields) in
        [("a large field", "/gateway/forward", vec![("x", &*large)]), ("many fields", "/gateway/forward", many)]
    {
        let fields = [&forward[..], &fields].concat();
        let head = head("GET", path, &fields);
        let before = server.services.metrics.streams_refused(Listener::Decisions).get();
        let clients: Vec<Hoarder> = (0..8).map(|_| Hoarder::open(server.decisions, 65_535, 100, &head)).collect();
        let refused = || server.services.metrics.streams_refused(Listener::Decisions).get() - before;
        server.until(what, |_| refused() > 100);
        assert!(server.services.decision_streams.held() <= MOST, "{what}");
        drop(clients);
        server.until("all is given back", |server| server.services.decision_streams.held() == 0);
    }
    // an empty body is refused before anything is waited for
    let mut client = server.client();
    let (started, fields) = (Instant::now(), [("content-type", "application/json"), ("palisade-at-least", &*later)]);
    for path in ["/v1/is_authorized", "/v1/is_authorized/batch", "/access/v1/evaluation", "/access/v1/evaluations"] {
        let answer = client.send("POST", path, &fields, b"");
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("malformed_json")), "{path}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "it waited");
}
