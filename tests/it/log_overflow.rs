//! A decision log that cannot keep up: what happens to decisions, of memory, and of what was recorded.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gate::{DIALECTS, Gate, bearer, code, get};
use crate::support::patience::{Lines, join};
use crate::support::process::{Process, workspace};
use crate::support::tiny::{ask, ask_with, tiny};
use crate::support::{Client, Response, Server};

/// A pipe without a reader yet.
fn pipe() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    (dir, file)
}

/// Has a pipe open and reads nothing.
fn idle_reader(pipe: &std::path::Path) -> std::fs::File {
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(pipe).unwrap()
}

/// Asks for a decision that the log names `the-last`.
fn ask_the_last(client: &mut Client) -> Response {
    let headers = [("content-type", "application/json"), ("x-request-id", "the-last")];
    client.send("POST", "/v1/is_authorized", &headers, ask("alice").as_bytes())
}

/// Waits until something is so.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never is so");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_unrecorded(answer: &Response) -> bool {
    if answer.status == 200 {
        return false;
    }
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("not_recorded")), "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && answer.json().get("decision").is_none());
    true
}

fn dropped(server: &Server) -> u64 {
    server.services.metrics.decision_log_dropped.get()
}

fn written(server: &Server) -> u64 {
    server.services.metrics.decision_log_written.get()
}

/// Asks until decisions are not recorded any more.
#[track_caller]
fn fill(server: &Server, transport: &str) {
    let mut client = server.client();
    let body = ask_with("alice", &json!({ "padding": "x".repeat(2_000) }));
    for n in 0.. {
        let answer = client.post("/v1/is_authorized", &body);
        if is_unrecorded(&answer) || dropped(server) > 0 {
            return;
        }
        assert!(n < 5_000, "{transport}: nothing is refused");
    }
}

#[test]
fn what_cannot_be_recorded_is_no_allow_whichever_way_it_is_asked() {
    const ROUTES: &str = "
hosts: [a.test]
routes:
  - {match: GET /open, public: true}
  - {match: 'GET /d/{id}', action: view, resource: 'Doc::{path.id}'}
";
    const POLICIES: &str = "@id(\"all\") permit (principal, action, resource);";
    for (overflow, allows) in [("drop", true), ("block", false), ("deny", false)] {
        let (_dir, file) = pipe();
        let log = json!({ "sink": file, "queue": 16, "queue_bytes": "64KiB", "overflow": overflow });
        let gate = Gate::with(ROUTES, POLICIES, json!({ "decision_log": log, "gateway": { "deadline": "200ms" } }));
        let server = &gate.server;
        fill(server, overflow);
        let allowed = |metric: &str| gate.metric(metric);
        let before = allowed("palisade_decisions_total{outcome=\"allow\",transport=\"nginx\"}");
        let mut client = server.client();
        let answer = client.post("/v1/is_authorized", ask("alice"));
        assert_eq!(is_unrecorded(&answer), !allows, "{overflow}");
        let batch = client.post("/v1/is_authorized/batch", format!("{{\"requests\":[{},{}]}}", ask("a"), ask("b")));
        assert_eq!(batch.status, 200);
        for (n, item) in batch.json()["responses"].as_array().unwrap().iter().enumerate() {
            let expected = match overflow {
                "drop" => json!(["Allow", null]),
                // the first waited until the time of the batch was over
                "block" if n > 0 => json!(["Deny", "decision_too_slow"]),
                _ => json!(["Deny", "not_recorded"]),
            };
            assert_eq!(json!([item["decision"], item["error"]["code"]]), expected, "{overflow}");
        }
        let one = r#""subject":{"type":"User","id":"a"},"action":{"name":"read"},"resource":{"type":"File","id":"f"}"#;
        let answer = client.post("/access/v1/evaluation", format!("{{{one}}}"));
        assert_eq!(answer.json()["decision"], if allows { json!(true) } else { Value::Null }, "{}", answer.text());
        let answer = client.post("/access/v1/evaluations", format!("{{{one},\"evaluations\":[{{}},{{}}]}}"));
        assert_eq!(answer.text().contains("\"decision\":true"), allows, "{}", answer.text());
        let ann = bearer("ann");
        for (dialect, target) in DIALECTS.into_iter().flat_map(|dialect| [(dialect, "/d/1"), (dialect, "/open")]) {
            let answer = get("a.test", target, &[("authorization", &ann)]).send(gate.addr(), dialect);
            if allows {
                assert_eq!(answer.status, 200, "{dialect:?} {target}");
            } else {
                assert_eq!((answer.status, code(&answer).as_str()), (dialect.fault(), "not_recorded"), "{overflow}");
            }
        }
        let after = allowed("palisade_decisions_total{outcome=\"allow\",transport=\"nginx\"}");
        assert_eq!(after - before, if allows { 1.0 } else { 0.0 }, "{overflow}: an error is no allow in the metrics");
        // a reader comes: everything is recorded and decided again, and nothing that was answered is missing
        let reader = Lines::of(&file);
        server.until("recorded again", |server| server.client().post("/v1/is_authorized", ask("alice")).status == 200);
        // an answer says nothing of its record where records are dropped
        let lines = reader.until("the-last", || drop(ask_the_last(&mut client)));
        server.until("counted", |server| written(server) >= lines.len() as u64);
        for line in &lines {
            assert!(serde_json::from_str::<Value>(line).unwrap()["decision_id"].is_string(), "{line}");
        }
    }
}

#[test]
fn a_decision_waits_for_room_and_no_other_request_waits_with_it() {
    let (_dir, file) = pipe();
    let log = json!({ "sink": file, "queue": 16, "overflow": "block" });
    let server = tiny(json!({ "decision_log": log }));
    fill(&server, "block");
    let before = dropped(&server);
    let addr = server.decisions;
    // more than the sidecar has threads
    let waiting: Vec<_> = (0..32)
        .map(|n| {
            std::thread::spawn(move || {
                let body = ask_with("alice", &json!({ "n": n }));
                (0..100).any(|_| !is_unrecorded(&Client::new(addr).post("/v1/is_authorized", &body)))
            })
        })
        .collect();
    server.until("waiting", |server| dropped(server) > before + 8);
    // requests that need no record are answered all the while
    for _ in 0..20 {
        assert_eq!(Client::new(addr).get("/v1/nothing").status, 404);
        assert_eq!(Client::new(addr).post("/v1/is_authorized", "{").status, 400);
    }
    let reader = Lines::of(&file);
    for asked in waiting {
        assert!(join(asked), "there is room now");
    }
    assert_eq!(ask_the_last(&mut server.client()).status, 200);
    let lines = reader.until("the-last", || {});
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for n in 0..32 {
        assert_eq!(lines.iter().filter(|line| line["context"]["n"] == n).count(), 1, "{n}: answered once");
    }
}

#[test]
fn a_stuck_sink_holds_no_more_than_the_bound() {
    for overflow in ["drop", "block", "deny"] {
        let (_dir, file) = pipe();
        // open, and never read
        let _reader = idle_reader(&file);
        let log = json!({ "sink": file, "queue_bytes": "4MiB", "overflow": overflow });
        let server = tiny(json!({ "decision_log": log }));
        let log = server.services.pdp.log().unwrap();
        let addr = server.decisions;
        let large = ask_with("alice", &json!({ "padding": "x".repeat(1_000_000) }));
        let small = ask_with("alice", &json!({ "padding": "x".repeat(300) }));
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = Client::new(addr);
                    for body in [&large, &small, &large, &large, &small, &small] {
                        is_unrecorded(&client.post("/v1/is_authorized", body));
                        most.fetch_max(log.queue_bytes(), Ordering::Relaxed);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!((3 << 20..=4 << 20).contains(&most), "{overflow}: {most}");
        assert!(dropped(&server) > 0, "{overflow}");
        server.until("told", |server| {
            let status = server.admin().get("/v1/status").json();
            let scrape = server.admin().get("/metrics").text();
            status["degraded"].as_str().is_some_and(|why| why.contains("has taken nothing for"))
                && crate::support::metric(&scrape, "palisade_decision_log_failing") == 1.0
        });
    }
}

#[test]
fn a_record_that_never_fits_is_refused_at_once() {
    for overflow in ["drop", "block", "deny"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let log = json!({ "sink": file, "queue_bytes": "64KiB", "overflow": overflow });
        let server = tiny(json!({ "decision_log": log }));
        let mut client = server.client();
        let large = ask_with("alice", &json!({ "padding": "x".repeat(100_000) }));
        let answer = client.post("/v1/is_authorized", large);
        assert_eq!(is_unrecorded(&answer), overflow != "drop");
        assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200);
        server.until("written", |server| (written(server), dropped(server)) == (1, 1));
    }
}

/// What the operator sees of the log's sink: `degraded` as far as it is about the log, and the metric.
fn health(server: &Server) -> (Option<String>, bool) {
    let status = server.admin().get("/v1/status").json();
    let degraded = status["degraded"].as_str().filter(|why| why.contains("decision log")).map(str::to_owned);
    let scrape = server.admin().get("/metrics").text();
    (degraded, crate::support::metric(&scrape, "palisade_decision_log_failing") == 1.0)
}

#[track_caller]
fn until_failing(server: &Server, words: &str) {
    server.until("failing", |server| {
        let (degraded, failing) = health(server);
        failing && degraded.is_some_and(|why| why.contains(words))
    });
}

#[test]
fn a_directory_that_is_gone_is_reported_and_its_records_are_lost_or_kept() {
    for overflow in ["drop", "block", "deny"] {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("log");
        std::fs::create_dir(&place).unwrap();
        let file = place.join("decisions.jsonl");
        let server = tiny(json!({ "decision_log": { "sink": file, "overflow": overflow } }));
        let mut client = server.client();
        let mut ask = |n: usize| {
            let answer = client.post("/v1/is_authorized", ask_with("alice", &json!({ "n": n })));
            is_unrecorded(&answer)
        };
        assert!(!ask(0));
        server.until("written", |server| written(server) == 1);
        assert_eq!(health(&server), (None, false));
        std::fs::remove_dir_all(&place).unwrap();
        // records that come before it is noticed are lost no less
        let refused = (1..=20).filter(|n| ask(*n)).count();
        assert!(overflow == "deny" || refused == 0, "{overflow}");
        until_failing(&server, "cannot be made again");
        match overflow {
            "drop" => server.until("lost", |server| dropped(server) == 20),
            "block" => assert!(!ask(21), "there is room"),
            _ => assert!(ask(21), "what cannot be recorded is refused"),
        }
        assert_eq!(written(&server), 1, "{overflow}: nothing is anywhere");
        std::fs::create_dir(&place).unwrap();
        server.until("well", |server| health(server) == (None, false));
        assert!(!ask(22));
        let expected = match overflow {
            "drop" => 2,
            "block" => 23,
            _ => 22 - refused as u64,
        };
        server.until("written", |server| written(server) == expected);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count() as u64, expected - 1, "{overflow}: one went with its directory");
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }
}

#[test]
fn a_full_device_is_reported_and_nothing_counts_as_written() {
    for overflow in ["drop", "block", "deny"] {
        let server = tiny(json!({ "decision_log": { "sink": "/dev/full", "overflow": overflow, "queue": 64 } }));
        let mut client = server.client();
        assert!(!is_unrecorded(&client.post("/v1/is_authorized", ask("alice"))));
        until_failing(&server, "cannot be written");
        let answers: Vec<bool> =
            (0..70).map(|_| is_unrecorded(&client.post("/v1/is_authorized", ask("alice")))).collect();
        match overflow {
            "drop" => assert!(answers.iter().all(|refused| !refused)),
            "block" => assert!(!answers[0] && answers[69], "there is room for some"),
            _ => assert!(answers.iter().all(|refused| *refused)),
        }
        assert_eq!(written(&server), 0);
        assert!(health(&server).1, "{overflow}");
    }
}

#[test]
fn nothing_is_lost_at_a_clean_end() {
    for overflow in ["drop", "block", "deny"] {
        let set = [&format!("decision_log.overflow={overflow}"), "decision_log.sink=./d.jsonl", "shutdown.grace=20s"];
        let mut process = Process::start(workspace(), &set);
        let addr = process.decisions;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    let mut client = Client::new(addr);
                    let mut answered = 0;
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        // the last records may not be written yet
        let answered: usize = clients.into_iter().map(join).sum();
        process.signal("TERM");
        let (status, said) = process.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        let log = std::fs::read_to_string(process.path("d.jsonl")).unwrap();
        assert_eq!(log.lines().count(), answered, "{overflow}");
    }
}

#[test]
fn what_a_sink_never_took_is_counted_at_the_end() {
    let dir = workspace();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let set = ["decision_log.sink=./pipe", "decision_log.overflow=deny", "decision_log.queue=20", "shutdown.grace=9s"];
    // open, and never read
    let _reader = idle_reader(&dir.path().join("pipe"));
    let mut process = Process::start(dir, &set);
    let body = ask_with("alice", &json!({ "padding": "x".repeat(30_000) }));
    let mut client = process.client();
    while !is_unrecorded(&client.post("/v1/is_authorized", &body)) {}
    drop(client);
    process.signal("TERM");
    let started = Instant::now();
    let (status, said) = process.wait();
    assert!(started.elapsed() < Duration::from_secs(9), "it is given up before the grace is over");
    assert_eq!(status.code(), Some(0));
    assert!(said.contains("what waits for it is lost lost="), "{said}");
}

/// A collector that starts again makes its pipe again; nothing that was answered is missing from what it reads.
#[test]
fn a_pipe_that_is_made_again_gets_what_the_old_one_held() {
    for overflow in ["drop", "block", "deny"] {
        let dir = workspace();
        let pipe = dir.path().join("pipe");
        let make = || assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        make();
        let _idle = idle_reader(&pipe);
        let overflows = format!("decision_log.overflow={overflow}");
        let process = Process::start(dir, &[&overflows, "decision_log.sink=./pipe"]);
        let mut client = process.client();
        let mut asked = 0;
        let mut ask_all = |client: &mut Client, count: usize| {
            for _ in 0..count {
                let body = ask_with("alice", &json!({ "number": asked }));
                assert_eq!(client.post("/v1/is_authorized", &body).status, 200, "{overflow}");
                asked += 1;
            }
        };
        ask_all(&mut client, 50);
        // written, and unread
        let written = || process.metric("palisade_decision_log_written_total");
        until(|| written() >= 50.0);
        std::fs::remove_file(&pipe).unwrap();
        make();
        // open at both ends, so that it waits for no writer
        let held = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let lines = Lines::of(&pipe);
        ask_all(&mut client, 50);
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 100 {
            let record: Value = serde_json::from_str(&lines.next()).unwrap();
            seen.insert(record["context"]["number"].as_i64().unwrap());
        }
        assert_eq!(seen, (0..100).collect(), "{overflow}");
        drop(held);
    }
}

/// The same where the pipe is full, so that it ends within a line; and a signal during a read takes nothing away.
#[test]
fn a_full_pipe_that_is_made_again_tears_no_line() {
    for is_replaced in [true, false] {
        let dir = workspace();
        let (pipe, next) = (dir.path().join("pipe"), dir.path().join("next"));
        for pipe in [&pipe, &next] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        let process = Process::start(dir, &["decision_log.overflow=block", "decision_log.sink=./pipe"]);
        let mut client = process.client();
        for number in 0..900 {
            // lines of many lengths, so that the pipe ends within one
            let context = json!({ "number": number, "padding": "x".repeat(number % 97) });
            assert_eq!(client.post("/v1/is_authorized", ask_with("alice", &context)).status, 200);
        }
        let mut reader = std::fs::File::open(&pipe).unwrap();
        let mut read = vec![0; 20_000];
        reader.read_exact(&mut read).unwrap();
        while !read.ends_with(b"\n") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        // until it is full again
        std::thread::sleep(Duration::from_millis(800));
        let rest = if is_replaced {
            std::fs::rename(&next, &pipe).unwrap();
            Lines::of(&pipe)
        } else {
            process.signals("USR1", 15);
            Lines::from(std::io::BufReader::new(reader))
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut note = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            seen.insert(record["context"]["number"].as_u64().unwrap());
            seen.len()
        };
        for line in String::from_utf8(read).unwrap().lines() {
            note(line);
        }
        while note(&rest.next()) < 900 {}
    }
}

/// A pipe that is removed for good is a sink that fails, and no file takes its place unasked.
#[test]
fn a_pipe_that_is_gone_fails() {
    let dir = workspace();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _idle = idle_reader(&pipe);
    let process = Process::start(dir, &["decision_log.overflow=deny", "decision_log.sink=./pipe"]);
    let mut client = process.client();
    assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200);
    std::fs::remove_file(&pipe).unwrap();
    until(|| is_unrecorded(&client.post("/v1/is_authorized", ask("alice"))));
    let degraded = process.admin().get("/v1/status").json()["degraded"].to_string();
    assert!(degraded.contains("is a pipe that was removed"), "{degraded}");
    assert!(!pipe.exists());
    process.signal("USR1");
    until(|| client.post("/v1/is_authorized", ask("alice")).status == 200);
    until(|| pipe.is_file() && std::fs::read_to_string(&pipe).unwrap().lines().count() >= 2);
}
