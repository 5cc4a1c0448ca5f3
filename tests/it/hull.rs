//! What the system does to the process: limits of files, and signals that end it by default.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use palisade::telemetry::{Listener, Work};
use serde_json::json;

use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame};
use crate::support::process::{Process, command_after, serve_with, workspace, write_policy};
use crate::support::raw::{Wire, post};
use crate::support::tiny::{ask, tiny};
use crate::support::{Client, Server};

#[test]
fn a_limit_of_file_sizes_loses_records_and_no_decisions() {
    let process = Process::start_after("ulimit -f 16", workspace(), &["decision_log.sink=./d.jsonl"]);
    let mut client = process.client();
    for n in 0..400 {
        let answer = client.post("/v1/is_authorized", ask("alice"));
        assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!("Allow")), "{n}");
    }
    process.until("losing records", |process| process.metric("palisade_decision_log_dropped_total") > 0.0);
    assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200);
}

#[test]
fn no_signal_ends_it_but_those_that_are_to() {
    let mut process = Process::start(workspace(), &[]);
    // by number: not every shell knows every name
    for (signal, number) in [
        ("HUP", 1),
        ("USR1", 10),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("STKFLT", 16),
        ("CHLD", 17),
        ("CONT", 18),
        ("TTIN", 21),
        ("TTOU", 22),
        ("URG", 23),
        ("XFSZ", 25),
        ("VTALRM", 26),
        ("PROF", 27),
        ("WINCH", 28),
        ("IO", 29),
        ("PWR", 30),
    ] {
        process.signals(&number.to_string(), 2);
        assert_eq!(process.client().post("/v1/is_authorized", ask("alice")).status, 200, "{signal}");
    }
    process.signal("24");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("processor time"), "{log}");
}

#[test]
fn connections_for_health_never_keep_decisions_from_being_made() {
    let process = Process::start_with_files(workspace(), 200, &["listen.ops=127.0.0.1:0"]);
    let ops = process.listener("ops");
    // each has had an answer and stays; the system holds those that are not accepted
    let held: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = Client::new(ops);
            assert_eq!(client.get("/livez").status, 200);
            client
        })
        .collect();
    assert_eq!(process.client().post("/v1/is_authorized", ask("alice")).status, 200);
    assert_eq!(process.admin().get("/readyz").status, 200);
    write_policy(process.dir.path(), "bob");
    process.until("reloaded", |process| {
        process.client().post("/v1/is_authorized", ask("bob")).json()["decision"] == "Allow"
    });
    process.until("logged", |process| process.log().contains("as many connections as it may have"));
    let given_up = r#"palisade_http_connections_given_up_total{listener="ops"}"#;
    assert!(process.metric(given_up) > 0.0);
    drop(held);
}

/// Connections that had their last answer take no place from new ones; those that are being answered keep theirs.
#[test]
fn a_crowd_that_rests_keeps_no_new_connection_out() {
    let most = 20;
    let given_up = |server: &Server| server.services.metrics.connections_given_up(Listener::Decisions).get();
    let flags = || json!({ "listen": { "ops": "127.0.0.1:0" }, "http": { "max_connections": most, "header_timeout": "60s", "body_timeout": "60s" } });
    type Fill = fn(std::net::SocketAddr, &str) -> Box<dyn std::any::Any>;
    fn raw(addr: std::net::SocketAddr, bytes: &[u8]) -> Box<dyn std::any::Any> {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        stream.write_all(bytes).unwrap();
        Box::new(stream)
    }
    let fills: [(&str, Fill); 7] = [
        ("HTTP/1.1 at rest", |addr, path| {
            let mut client = Client::new(addr);
            client.get(path);
            Box::new(client)
        }),
        ("HTTP/2 without streams", |addr, _| raw(addr, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())),
        ("nothing asked", |addr, _| raw(addr, b"")),
        ("a byte", |addr, _| raw(addr, b"G")),
        ("a part of a head", |addr, _| raw(addr, b"GET /livez HTTP/1.1\r\nhost: a\r\n")),
        ("a part of a second head", |addr, path| {
            raw(addr, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\nGET").as_bytes())
        }),
        ("HTTP/2, and answers that are not taken", |addr, path| {
            let head = [&[0x82, 0x86, 0x04, path.len() as u8][..], path.as_bytes(), &[0x01, 1, b'x']].concat();
            let shut = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            raw(addr, &[PREFACE, &shut, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)].concat())
        }),
    ];
    for (how, fill) in fills {
        let server = tiny(flags());
        for (listener, path, most, places) in [
            (Listener::Decisions, "/nothing", most, "http.max_connections"),
            // its number is its own
            (Listener::Ops, "/livez", most.min(32), "cannot be set"),
        ] {
            let addr = server.addr(listener);
            let held: Vec<_> = (0..most).map(|_| fill(addr, path)).collect();
            let open = || server.services.metrics.connections(listener).get();
            server.until("full", |_| open() >= i64::from(most));
            for _ in 0..5 {
                let status = Client::new(addr).get(path).status;
                assert_eq!(status, if listener == Listener::Ops { 200 } else { 404 }, "{how}");
            }
            assert!(server.services.metrics.connections_given_up(listener).get() > 0, "{how}");
            let degraded = server.admin().get("/v1/status").json()["degraded"].to_string();
            assert!(degraded.contains(&format!("`{listener}` listener")) && degraded.contains(places), "{degraded}");
            drop(held);
        }
    }
    // those that are in use stay, and the new one waits for its turn
    let server = tiny(flags());
    let request = post("/v1/is_authorized", "x", &ask("alice"));
    let mut held: Vec<Wire> = (0..most)
        .map(|_| {
            let mut wire = Wire::open(server.decisions);
            wire.send(&request[..request.len() - 1]);
            wire
        })
        .collect();
    server.until("all have begun", |server| server.services.unanswered() >= 20);
    let mut late = Wire::open(server.decisions);
    late.send(&request);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((server.services.unanswered(), given_up(&server)), (20, 0));
    for wire in &mut held {
        wire.send(&request[request.len() - 1..]);
        assert_eq!(wire.response().status, 200, "it kept its place");
    }
    assert_eq!(late.response().status, 200);
}

#[test]
fn work_that_hangs_is_reported_by_others() {
    let server = tiny(json!({}));
    let degraded = || server.admin().get("/v1/status").json()["degraded"].to_string();
    assert!(!degraded().contains("have been read"), "{}", degraded());
    let long_ago = std::time::Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
    server.services.metrics.works.note(Work::Identity, Some(long_ago));
    assert!(degraded().contains("the files of keys and API tokens have been read"), "{}", degraded());
    let metrics = server.admin().get("/metrics").text();
    assert!(crate::support::metric(&metrics, r#"palisade_work_seconds{work="identity"}"#) > 10.0);
    // what was loaded before counts on
    assert_eq!(server.admin().get("/readyz").status, 200);
    server.services.metrics.works.note(Work::Identity, None);
    assert!(!degraded().contains("have been read"), "{}", degraded());
}

#[test]
fn too_few_open_files_are_reported_as_such() {
    for files in [5, 8, 12, 20] {
        let dir = workspace();
        let mut command = command_after(&format!("ulimit -n {files}"), dir.path());
        serve_with(&mut command, &[]);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{files}: {told}");
        assert!(told.contains("ulimit -n") && !told.contains("panicked"), "{files}: {told}");
    }
}

#[test]
fn a_unix_socket_that_was_removed_is_bound_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let addr = format!("unix:{}", path.display());
    let server = Server::start_anywhere(json!({ "listen": { "decisions": addr, "admin": "127.0.0.1:0" } }));
    let degraded = || server.admin().get("/v1/status").json()["degraded"].to_string();
    let reached = || UnixStream::connect(&path).is_ok();
    let told = || degraded().contains("s.sock");
    assert!(reached() && !told());
    std::fs::remove_file(&path).unwrap();
    server.until("bound again", |_| reached());
    assert!(!told(), "{}", degraded());
    // what is in the way is not ours to remove
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "not a socket").unwrap();
    server.until("told", |_| told());
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a socket");
    std::fs::remove_file(&path).unwrap();
    server.until("bound again", |_| reached() && !told());
}

#[test]
fn a_silent_http2_connection_does_not_hold_up_the_end() {
    let mut process = Process::start(workspace(), &["shutdown.grace=20s"]);
    let mut silent = std::net::TcpStream::connect(process.decisions).unwrap();
    silent.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    process.until("connected", |process| process.metric(r#"palisade_http_connections{listener="decisions"}"#) == 1.0);
    let started = std::time::Instant::now();
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    // much less than the grace period, on a slow machine too
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}: {log}", started.elapsed());
}

/// Probes that wait behind decisions get the process killed while it works.
#[test]
fn health_is_answered_while_every_thread_decides() {
    for path in ["/livez", "/metrics", "/v1/status"] {
        assert_eq!(Server::admin_while_busy(json!({}), path), 200, "{path}");
    }
}

/// An alert on the age of the data must not fire where nothing changes, and must where what changed is refused.
#[test]
fn a_look_that_finds_nothing_new_confirms_the_data() {
    let process = Process::start(workspace(), &["reload.poll=200ms"]);
    let age = || process.metric("palisade_data_age_seconds");
    let before = std::cell::Cell::new(age());
    process.until("confirmed", |_| {
        let now = age();
        now < before.replace(now)
    });
    std::fs::write(process.path("policies/broken.cedar"), "permit (").unwrap();
    process.until("refused", |process| process.metric("palisade_reloads_total{result=\"bad\",source=\"files\"}") > 0.0);
    let mut ages = Vec::new();
    for _ in 0..10 {
        ages.push(age());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(ages.is_sorted(), "{ages:?}");
    std::fs::remove_file(process.path("policies/broken.cedar")).unwrap();
    let before = age();
    process.until("confirmed again", |_| age() < before);
}
