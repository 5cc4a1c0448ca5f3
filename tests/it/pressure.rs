//! Clients that ask for much and take little: answers that would grow without end, windows that stay shut, connections
//! that only answer pings, bodies on many connections at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use palisade::telemetry::Listener;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::http::connect;
use crate::support::raw::{Wire, post};
use crate::support::tiny::{ask, tiny};

/// An object of so many members that no schema declares.
fn many(members: usize) -> Value {
    (0..members).map(|n| (format!("a{n:x}"), json!(0))).collect::<serde_json::Map<_, _>>().into()
}

fn evaluations(items: usize, change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "subject": { "type": "User", "id": "alice" }, "action": { "name": "read" },
        "resource": { "type": "File", "id": "f" }, "evaluations": vec![json!({}); items],
    });
    change(&mut body);
    body
}

#[test]
fn answers_are_bounded_and_defaults_cost_once() {
    const MOST: usize = 300_000;
    let server = tiny(json!({ "http": { "max_answer_bytes": MOST } }));
    let long = "x".repeat(200_000);
    let native = |item: Value| json!({ "requests": vec![item; 400] });
    for (name, path, body, status, code) in [
        (
            "properties",
            "/access/v1/evaluations",
            evaluations(200, |b| b["subject"]["properties"] = many(40_000)),
            200,
            "",
        ),
        (
            "a nested null",
            "/access/v1/evaluations",
            evaluations(9, |b| b["context"] = json!({ &long: many(9) })),
            200,
            "",
        ),
        (
            "dropped names with a long key before them",
            "/access/v1/evaluation",
            evaluations(0, |b| {
                let nulls: serde_json::Map<_, _> = (0..30_000).map(|n| (format!("{n}"), Value::Null)).collect();
                b["context"] = json!({ &long: nulls });
            }),
            200,
            "",
        ),
        (
            "a context that each item takes",
            "/access/v1/evaluations",
            // a long text weighs much and is decided fast: a batch has 5 s
            evaluations(1_000, |b| b["context"] = json!({ "text": "x".repeat(900_000), "more": many(1_000) })),
            400,
            "batch_too_large",
        ),
        (
            "many ignored names",
            "/access/v1/evaluations",
            evaluations(1_000, |b| b["subject"]["properties"] = many(5_000)),
            400,
            "answer_too_large",
        ),
        ("native, fine", "/v1/is_authorized/batch", native(serde_json::from_str(&ask("alice")).unwrap()), 200, ""),
        (
            "native, unknown members",
            "/v1/is_authorized/batch",
            native(json!({ "y".repeat(2_000): 1 })),
            400,
            "answer_too_large",
        ),
    ] {
        let started = Instant::now();
        let answer = server.client().post(path, body.to_string());
        assert_eq!(answer.status, status, "{name}: {}", &answer.text()[..300.min(answer.body.len())]);
        if !code.is_empty() {
            assert_eq!(answer.json()["code"], code, "{name}");
            assert!(!answer.text().contains("Allow") && !answer.text().contains("true"), "{name}");
        }
        assert!(answer.body.len() <= MOST, "{name}: {} bytes", answer.body.len());
        assert!(started.elapsed() < Duration::from_secs(30), "{name}: {:?}", started.elapsed());
    }
    // what is left out is counted
    let body = evaluations(2, |b| b["subject"]["properties"] = many(1_000));
    let answer = server.client().post("/access/v1/evaluations", body.to_string()).json();
    for item in answer["evaluations"].as_array().unwrap() {
        assert_eq!(item["decision"], true);
        let named = item["context"]["ignored"].as_array().unwrap();
        assert_eq!(named[0], "subject.properties.a0");
        assert_eq!(named.len() as u64 + item["context"]["ignored_more"].as_u64().unwrap(), 1_000);
    }
}

#[test]
fn items_take_defaults_however_parts_meet() {
    let server = tiny(json!({ "authzen": { "overlay": { "default": "override" } } }));
    let alice = json!({ "type": "User", "id": "alice", "properties": { "n": 1 } });
    let bob = json!({ "type": "User", "id": "bob", "properties": { "n": 1 } });
    let (read, write) = (json!({ "name": "read" }), json!({ "name": "write", "properties": { "x": 1.5, "y": 1 } }));
    let (answer, other) = (json!({ "answer": 42 }), json!({ "answer": 41, "action": { "z": 1 } }));
    let choose = |from: &[&Value], n: usize| from.get(n).map(|value| (*value).clone());
    let mut n = 0;
    // every way in which an item and the defaults may have or lack a part
    for bits in 0..3_usize.pow(5) {
        let digit = |place: u32| bits / 3_usize.pow(place) % 3;
        let (mut defaults, mut item, mut whole) = (json!({}), json!({}), json!({}));
        for (part, own, default) in [
            ("subject", choose(&[&alice, &bob], digit(0)), choose(&[&bob, &alice], digit(1))),
            ("action", choose(&[&read, &write], digit(2)), Some(write.clone())),
            ("context", choose(&[&answer, &other], digit(3)), choose(&[&other, &answer], digit(4))),
            ("resource", None, choose(&[&alice, &json!({ "type": "File", "id": "f" })], digit(1) % 2)),
        ] {
            if let Some(one) = own.as_ref().or(default.as_ref()) {
                whole[part] = one.clone();
            }
            if let Some(own) = own {
                item[part] = own;
            }
            if let Some(default) = default {
                defaults[part] = default;
            }
        }
        // one before it and the same again after it: what was lent came back
        defaults["evaluations"] = json!([item, { "action": read }, item, {}, item]);
        let many = server.client().post("/access/v1/evaluations", defaults.to_string()).json();
        let mut one = server.client().post("/access/v1/evaluation", whole.to_string()).json();
        if one.get("decision").is_none() {
            // what is a 400 alone fails its item
            assert_eq!(many["evaluations"][0]["decision"], false, "{defaults}");
            continue;
        }
        for i in [0, 2, 4] {
            if let Some(error) = one["context"].get_mut("error") {
                error["where"] = many["evaluations"][i]["context"]["error"]["where"].clone();
            }
            assert_eq!(many["evaluations"][i], one, "{i} of {defaults}");
        }
        n += 1;
    }
    assert!(n > 100, "{n}");
}

#[test]
fn no_error_repeats_much_of_a_request() {
    let server = tiny(json!({}));
    let long = "z".repeat(600_000);
    let path = format!("/{}", "p".repeat(8_000));
    for (path, body) in [
        (&*path, "{}".to_owned()),
        ("/v1/is_authorized", json!({ &long: 1 }).to_string()),
        ("/v1/is_authorized", format!("{{\"{long}\":1,\"{long}\":1}}")),
        ("/v1/is_authorized", json!({ "principal": long, "action": "A::\"a\"", "resource": "A::\"a\"" }).to_string()),
        ("/v1/is_authorized/batch", json!({ &long: 1 }).to_string()),
        ("/access/v1/evaluation", json!({ "subject": { "type": long, "id": "a" }, "action": { "name": "a" }, "resource": { "type": "F", "id": "f" } }).to_string()),
    ] {
        let answer = server.client().post(path, body);
        assert!(answer.body.len() < 4_000, "{} bytes of {}", answer.body.len(), answer.status);
    }
    // nor does a message about each of many policies
    let policies: serde_json::Map<String, Value> = (0..40)
        .map(|n| {
            (format!("p{n}"), json!("permit (principal, action, resource) when { ip(context.address).isLoopback() };"))
        })
        .collect();
    assert_eq!(
        server.admin().put("/v1/bundle", json!({ "policies": policies, "entities": [] }).to_string()).status,
        200
    );
    let body = crate::support::tiny::ask_with("bob", &json!({ "address": long }));
    let answer = server.client().post("/v1/is_authorized", body);
    assert_eq!(answer.json()["diagnostics"]["errors"].as_array().unwrap().len(), 40);
    assert!(answer.body.len() < 40 * 3_000, "{}", answer.body.len());
}

/// A connection of HTTP/2 that answers pings and settings, and notes all else.
struct Ponger {
    stream: TcpStream,
    rest: Vec<u8>,
    /// Kind, stream and payload's length of each frame.
    seen: Vec<(u8, u32, usize)>,
    closed: bool,
}

impl Ponger {
    fn open(server: &Server, settings: &[u8]) -> Self {
        let mut stream = connect(server.decisions);
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { stream, rest: Vec::new(), seen: Vec::new(), closed: false }
    }

    fn send(&mut self, bytes: &[u8]) {
        // it may have been closed: that is seen when it is read
        let _ = self.stream.write_all(bytes);
    }

    fn ask(&mut self, stream: u32, body: &str) {
        let path = b"/v1/is_authorized";
        let head = [&[0x83, 0x86, 0x04, path.len() as u8][..], path, &[0x01, 1, b'x']].concat();
        let data = frame(0, END_STREAM, stream, body.as_bytes());
        self.send(&[frame(HEADERS, END_HEADERS, stream, &head), data].concat());
    }

    /// Reads what there is.
    fn listen(&mut self) {
        let mut chunk = [0; 1 << 16];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(n) => self.rest.extend_from_slice(&chunk[..n]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => self.closed = true,
        }
        while self.rest.len() >= 9 {
            let length = u32::from_be_bytes([0, self.rest[0], self.rest[1], self.rest[2]]) as usize;
            if self.rest.len() < 9 + length {
                break;
            }
            let bytes: Vec<u8> = self.rest.drain(..9 + length).collect();
            let (kind, flags) = (bytes[3], bytes[4]);
            let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
            match kind {
                PING if flags & ACK == 0 => self.send(&frame(PING, ACK, 0, &bytes[9..])),
                SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[])),
                _ => self.seen.push((kind, stream, length)),
            }
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) -> Duration {
        let started = Instant::now();
        while !condition(self) {
            assert!(started.elapsed() < Duration::from_secs(20), "not {what}: {:?}", self.seen);
            self.listen();
        }
        started.elapsed()
    }

    fn saw(&self, kind: u8, stream: u32) -> bool {
        self.seen.iter().any(|seen| (seen.0, seen.1) == (kind, stream))
    }
}

#[test]
fn a_connection_that_rests_is_closed_whatever_pings_it_answers() {
    let server = tiny(json!({ "http": { "idle_timeout": "600ms", "header_timeout": "200ms", "body_timeout": "1s" } }));
    let mut resting = Ponger::open(&server, &[]);
    let took = resting.until("closed", |it| it.closed);
    assert!(resting.saw(GOAWAY, 0), "{:?}", resting.seen);
    assert!(took >= Duration::from_millis(500), "{took:?}");
    // one that asks now and then stays, and so does its kin of HTTP/1.1 beyond the time of a head
    let mut asking = Ponger::open(&server, &[]);
    let mut kept = Wire::open(server.decisions);
    for n in 0..4 {
        asking.ask(2 * n + 1, &ask("alice"));
        asking.until("answered", |it| it.saw(0, 2 * n + 1));
        kept.send(post("/v1/is_authorized", "kept", &ask("alice")));
        assert_eq!(kept.response().status, 200);
        std::thread::sleep(Duration::from_millis(350));
    }
    assert!(!asking.closed && !asking.saw(GOAWAY, 0));
    kept.expect_closed();
    asking.until("closed", |it| it.closed);
    // a head that does not end has less time than a rest
    let mut half = Wire::open(server.decisions);
    half.send(post("/v1/is_authorized", "half", &ask("alice")));
    assert_eq!(half.response().status, 200);
    half.send("POST");
    half.expect_closed();
}

#[test]
fn answers_that_are_not_taken_are_given_up() {
    let server = tiny(json!({ "http": { "body_timeout": "500ms", "idle_timeout": "30s" } }));
    let initial = |bytes: u32| [&[0, 4][..], &bytes.to_be_bytes()].concat();
    let wider = |stream: u32, bytes: u32| frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    // what a stream's window is, and how it is opened now and then
    let length = server.client().post("/v1/is_authorized", ask("alice")).body.len() as u32;
    for (name, window, drip) in [("shut", 0, 0), ("a byte", 1, 0), ("all but a byte", length - 1, 0), ("a drip", 0, 1)]
    {
        let mut client = Ponger::open(&server, &initial(window));
        for n in 0..50 {
            client.ask(2 * n + 1, &ask("alice"));
        }
        let started = Instant::now();
        while !(0..50).all(|n| client.saw(RST_STREAM, 2 * n + 1)) {
            assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", client.seen);
            if drip > 0 {
                std::thread::sleep(Duration::from_millis(50));
                (0..50).for_each(|n| client.send(&wider(2 * n + 1, drip)));
            }
            client.listen();
        }
        assert!(!client.closed, "{name}: the connection is fine");
        // and serves those that take their answers
        client.ask(101, &ask("alice"));
        client.send(&wider(101, 10_000));
        client.until("answered", |it| it.saw(0, 101));
    }
    // the window of the whole connection: nothing of the answers after it is used up is kept either
    let mut client = Ponger::open(&server, &initial(1 << 20));
    for n in 0..800 {
        client.ask(2 * n + 1, &ask("alice"));
        client.listen();
    }
    client.until("given up", |it| it.seen.iter().filter(|(kind, ..)| *kind == RST_STREAM).count() > 50);
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
    drop(client);
    server.until("all settled", |server| server.services.unanswered() == 0);
}

#[test]
fn bodies_on_all_connections_share_a_budget() {
    let server = tiny(json!({ "http": { "max_inflight_bytes": 200_000, "body_timeout": "20s" } }));
    let large = format!("{}{}", " ".repeat(90_000), ask("alice"));
    let request = post("/v1/is_authorized", "large", &large);
    let held: Vec<Wire> = (0..2)
        .map(|_| {
            let mut wire = Wire::open(server.decisions);
            wire.send(&request[..request.len() - 1]);
            wire
        })
        .collect();
    // a question before that could take the place of one that is still on its way
    server.until("both are held", |server| server.services.decision_bytes.held() >= 2 * 90_000);
    let refused = server.client().post("/v1/is_authorized", &large);
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("too_busy")));
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    // a small one has room, and the admin listener is another matter
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
    let bundle = format!("{}{}", crate::support::tiny::bundle(), " ".repeat(300_000));
    assert_eq!(server.admin().put("/v1/bundle", bundle).status, 200);
    for mut wire in held {
        wire.send(&request[request.len() - 1..]);
        assert_eq!(wire.response().json()["decision"], "Allow");
    }
    server.until("all is given back", |server| server.services.decision_bytes.held() == 0);
    assert_eq!(server.client().post("/v1/is_authorized", &large).status, 200, "there is room again");
}

#[test]
fn a_batch_stops_where_its_answer_has_no_room() {
    let server = tiny(json!({ "http": { "max_inflight_bytes": 150_000, "body_timeout": "20s" } }));
    let request = post("/v1/is_authorized", "large", &format!("{}{}", " ".repeat(90_000), ask("alice")));
    let mut held = Wire::open(server.decisions);
    held.send(&request[..request.len() - 1]);
    server.until("it is held", |server| server.services.decision_bytes.held() >= 90_000);
    let decided = || {
        let series = r#"palisade_decisions_total{outcome="allow",transport="authzen"}"#;
        crate::support::metric(&server.admin().get("/metrics").text(), series)
    };
    let batch = evaluations(1_000, |_| {}).to_string();
    let refused = server.client().post("/access/v1/evaluations", &batch);
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("too_busy")));
    assert!(decided() > 10.0 && decided() < 900.0, "{}", decided());
    held.send(&request[request.len() - 1..]);
    assert_eq!(held.response().status, 200);
    server.until("all is given back", |server| server.services.decision_bytes.held() == 0);
    assert_eq!(server.client().post("/access/v1/evaluations", &batch).status, 200, "alone it has room");
    server.until("all is given back again", |server| server.services.decision_bytes.held() == 0);
}

/// One client that sends many bodies over one connection and finishes none.
#[test]
fn one_connection_leaves_room_for_others() {
    let server = tiny(json!({ "http": { "max_inflight_bytes": 400_000, "body_timeout": "20s" } }));
    let mut block = vec![0x83, 0x86, 0x04, 17];
    block.extend_from_slice(b"/v1/is_authorized");
    block.extend_from_slice(&[0x01, 1, b'x', 0x0f, 0x10, 16]);
    block.extend_from_slice(b"application/json");
    let mut stream = connect(server.decisions);
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    // no more than the connection's window
    for n in 0..40 {
        stream.write_all(&frame(HEADERS, END_HEADERS, 2 * n + 1, &block)).unwrap();
        stream.write_all(&frame(DATA, 0, 2 * n + 1, &[b' '; 1_500])).unwrap();
    }
    let held = || server.services.decision_streams.held();
    server.until("it holds its share", |_| held() >= 80_000);
    assert!(held() <= 100_000, "{}", held());
    let large = format!("{}{}", " ".repeat(200_000), ask("alice"));
    assert_eq!(server.client().post("/v1/is_authorized", &large).status, 200);
    drop(stream);
    server.until("all is given back", |server| server.services.decision_bytes.held() == 0);
}

/// Heads of which each waits for its body: they are memory, too.
#[test]
fn heads_on_http2_share_the_budget() {
    let server = tiny(json!({ "http": { "max_inflight_bytes": 100_000, "body_timeout": "20s" } }));
    let mut block = vec![0x83, 0x86, 0x04, 17];
    block.extend_from_slice(b"/v1/is_authorized");
    block.extend_from_slice(&[0x01, 1, b'x', 0x0f, 0x10, 16]);
    block.extend_from_slice(b"application/json");
    // a field of 8,000 bytes that goes into no table
    block.extend_from_slice(&[0x10, 1, b'a', 0x7f, 0xc1, 0x3d]);
    block.extend_from_slice(&[b'v'; 8_000]);
    let mut stream = connect(server.decisions);
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    for n in 0..50 {
        stream.write_all(&frame(HEADERS, END_HEADERS, 2 * n + 1, &block)).unwrap();
    }
    let refused = || server.services.metrics.streams_refused(Listener::Decisions).get();
    server.until("all have come", |server| server.services.unanswered() as u64 + refused() >= 50);
    assert!((45..50).contains(&refused()), "{}", refused());
    assert!(server.services.decision_streams.held() <= 100_000);
    drop(stream);
    server.until("all settled", |server| server.services.unanswered() == 0);
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
}

#[test]
fn an_admin_budget_keeps_health_reachable() {
    let server = tiny(json!({ "admin": { "max_inflight_bytes": 50_000 }, "http": { "body_timeout": "20s" } }));
    let request = post("/v1/validate", "large", &format!("{}{{}}", " ".repeat(90_000)));
    let mut wire = Wire::open(server.admin);
    // alone it may be larger than the budget
    wire.send(&request[..request.len() - 1]);
    server.until("it is held", |server| server.services.admin_bytes.held() >= 90_000);
    assert_eq!(server.admin().post("/v1/validate", " ".repeat(10_000)).status, 503);
    for path in ["/livez", "/readyz", "/metrics", "/v1/status"] {
        assert_eq!(server.admin().get(path).status, 200, "{path}");
    }
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
    wire.send(&request[request.len() - 1..]);
    assert_eq!(wire.response().status, 200);
}

#[test]
fn heads_that_say_a_thing_twice() {
    let server = tiny(json!({ "listen": { "ops": "127.0.0.1:0" } }));
    let ops = server.addr(palisade::telemetry::Listener::Ops);
    for (addr, line) in [
        (server.decisions, "POST /v1/is_authorized"),
        (server.decisions, "GET /gateway/forward"),
        (server.admin, "GET /livez"),
        (ops, "GET /livez"),
    ] {
        let mut wire = Wire::open(addr);
        wire.send(format!("{line} HTTP/1.1\r\nhost: a\r\nhost: a\r\ncontent-length: 0\r\n\r\n"));
        let answer = wire.response();
        if line.contains("gateway") {
            // denied in that dialect's words
            assert_eq!(answer.status, 403, "{line}: {}", answer.text());
        } else {
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_framing")), "{line}");
            wire.expect_closed();
        }
    }
    let json = ("content-type", "application/json");
    let gzip = server.client().send("POST", "/v1/is_authorized", &[json, ("content-encoding", "gzip")], b"\x1f\x8b");
    assert_eq!((gzip.status, &gzip.json()["code"]), (415, &json!("compressed_body")));
    let plain = server.client().send(
        "POST",
        "/v1/is_authorized",
        &[json, ("content-encoding", "identity")],
        ask("alice").as_bytes(),
    );
    assert_eq!(plain.status, 200);
    let open = || server.services.metrics.connections(Listener::Decisions).get();
    server.until("closed", |_| open() <= 1);
}
