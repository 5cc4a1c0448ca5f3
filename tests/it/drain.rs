//! The end: what is in flight is answered, nothing new is taken, and the process leaves in time; and what
//! other signals do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::support::http::{connect, read_response};
use crate::support::process::{Process, command, workspace, write_policy};
use crate::support::raw::{Wire, hear, post};
use crate::support::tiny::{ask, tiny};

fn refused(addr: SocketAddr) -> bool {
    // accepted by the system, perhaps, but not by the sidecar: the end comes at once
    TcpStream::connect(addr).is_err()
}

#[test]
fn what_is_in_flight_is_answered() {
    let server = tiny(json!({}));
    let request = post("/v1/is_authorized", "slow", &ask("alice"));
    let (head, tail) = request.split_at(request.len() - 10);
    let mut slow = Wire::open(server.decisions);
    slow.send(head);
    let mut idle = Wire::open(server.decisions);
    idle.send(post("/v1/is_authorized", "before", &ask("alice")));
    assert_eq!(idle.response().header("connection"), None);
    let mut admin = server.admin();
    assert_eq!(admin.get("/readyz").status, 200);

    server.ask_to_stop();
    server.until("refusing connections", |server| refused(server.decisions));
    // health stays up and says what goes on
    let ready = admin.get("/readyz");
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["draining"])));
    assert_eq!(ready.header("connection"), Some("close"));
    let mut admin = server.admin();
    assert_eq!(admin.get("/livez").status, 200);
    let metrics = server.admin().get("/metrics").text();
    assert!(metrics.contains("\npalisade_ready 0\n"));

    // an idle connection is closed; a request that reaches it before is answered, with the notice that it closes
    idle.expect_closed();
    slow.send(tail);
    let answer = slow.response();
    assert_eq!(
        (answer.status, answer.header("connection"), answer.header("x-request-id")),
        (200, Some("close"), Some("slow"))
    );
    assert_eq!(answer.json()["decision"], "Allow");
    slow.expect_closed();
    let admin = server.admin;
    drop(server);
    assert!(refused(admin));
}

#[test]
fn while_it_waits_for_balancers_it_serves() {
    let server = tiny(json!({ "shutdown": { "delay": "700ms" } }));
    let mut kept = server.client();
    assert_eq!(kept.post("/v1/is_authorized", ask("alice")).status, 200);
    server.ask_to_stop();
    server.until("unready", |server| server.admin().get("/readyz").status == 503);
    let answer = kept.post("/v1/is_authorized", ask("alice"));
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    // new connections are taken, each for one request
    for _ in 0..5 {
        let answer = server.client().post("/v1/is_authorized", ask("alice"));
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    server.until("refusing connections", |server| refused(server.decisions));
}

#[test]
fn what_never_ends_is_cut_after_the_grace() {
    let server =
        tiny(json!({ "shutdown": { "grace": "300ms" }, "http": { "body_timeout": "60s", "header_timeout": "60s" } }));
    let mut slow = Wire::open(server.decisions);
    slow.send(&post("/v1/is_authorized", "slow", &ask("alice"))[..120]);
    let mut opening = Wire::open(server.decisions);
    opening.send("PRI * HTT");
    server.until("connected", |server| {
        server.services.metrics.connections(palisade::telemetry::Listener::Decisions).get() == 2
    });
    let started = Instant::now();
    drop(server);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    slow.expect_closed();
    opening.expect_closed();
}

#[test]
fn a_pipeline_ends_with_a_whole_answer() {
    for _ in 0..5 {
        let server = tiny(json!({}));
        let requests: String = (0..300)
            .map(|i| post("/v1/is_authorized", &format!("r{i}"), &ask(if i % 2 == 0 { "alice" } else { "bob" })))
            .collect();
        let mut stream = connect(server.decisions);
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // what is sent after the last answer meets a closed connection
                let _ = writer.write_all(requests.as_bytes());
            });
            let mut first = [0; 1];
            stream.peek(&mut first).unwrap();
            server.ask_to_stop();
            let heard = hear(&mut stream);
            assert!(!heard.responses.is_empty() && (heard.rest.is_empty() || heard.reset), "{:?}", heard.rest);
            for (i, response) in heard.responses.iter().enumerate() {
                assert_eq!(response.header("x-request-id"), Some(&*format!("r{i}")));
                assert_eq!(response.json()["decision"], if i % 2 == 0 { "Allow" } else { "Deny" });
                let last = i + 1 == heard.responses.len();
                if !last {
                    assert_eq!(response.header("connection"), None, "{i} of {}", heard.responses.len());
                } else if heard.responses.len() < 300 && !heard.reset {
                    assert_eq!(response.header("connection"), Some("close"), "{i}");
                }
            }
        });
    }
}

/// A body that comes when the test says so.
struct Later(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Later {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[test]
fn streams_in_flight_are_answered() {
    let server = tiny(json!({}));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.decisions).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let (part, parts) = tokio::sync::mpsc::channel(1);
        let request = http::Request::post("http://test/v1/is_authorized").body(Later(parts)).unwrap();
        let answer = tokio::spawn(sender.send_request(request));
        let body = ask("alice");
        part.send(Bytes::copy_from_slice(&body.as_bytes()[..20])).await.unwrap();
        // a stream that was answered shows that the one before it is in flight
        let (done, parts) = tokio::sync::mpsc::channel(1);
        drop(done);
        let empty = http::Request::get("http://test/nowhere").body(Later(parts)).unwrap();
        assert_eq!(sender.send_request(empty).await.unwrap().status(), 404);
        server.ask_to_stop();
        server.until("refusing connections", |server| refused(server.decisions));
        part.send(Bytes::copy_from_slice(&body.as_bytes()[20..])).await.unwrap();
        drop(part);
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        let body: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["decision"], "Allow");
        // asked to go away: no more streams, and then the end
        connection.await.unwrap().unwrap();
    });
}

/// Asks on one connection until an answer says to close; an answer that does not come is a failure.
fn ask_until_closed(addr: SocketAddr, answered: &AtomicUsize) -> Result<(), String> {
    let mut stream = std::io::BufReader::new(connect(addr));
    for n in 0.. {
        let sent = stream.get_mut().write_all(post("/v1/is_authorized", "x", &ask("alice")).as_bytes());
        match sent.and_then(|()| read_response(&mut stream, false)) {
            Ok(answer) if answer.status == 200 && answer.json()["decision"] == "Allow" => {
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.header("connection") == Some("close") {
                    let mut more = Vec::new();
                    let _ = stream.read_to_end(&mut more);
                    return if more.is_empty() { Ok(()) } else { Err("more after the last answer".to_owned()) };
                }
            }
            Ok(answer) => return Err(format!("after {n} answers: {answer:?}")),
            Err(error) => return Err(format!("after {n} answers: {error}")),
        }
    }
    Ok(())
}

#[test]
fn sigterm_under_load_loses_no_request() {
    for round in 0..3 {
        let mut process = Process::start(workspace(), &["shutdown.grace=10s"]);
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..8).map(|_| scope.spawn(|| ask_until_closed(process.decisions, &answered))).collect();
            process.until("under load", |_| answered.load(Ordering::Relaxed) > 500);
            process.signal("TERM");
            for client in clients {
                assert_eq!(client.join().unwrap(), Ok(()), "round {round}");
            }
        });
        let started = Instant::now();
        let (status, log) = process.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(log.contains("every request on an accepted connection was answered"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_second_signal_means_now() {
    let mut process = Process::start(workspace(), &["shutdown.grace=60s", "http.body_timeout=60s"]);
    let mut wire = Wire::open(process.decisions);
    wire.send(&post("/v1/is_authorized", "never", &ask("alice"))[..120]);
    process.signal("INT");
    process.until("draining", |process| process.log().contains("shutting down"));
    process.signal("TERM");
    assert_eq!(process.wait().0.code(), Some(1));
}

#[test]
fn sighup_reloads() {
    let process = Process::start(workspace(), &["reload.watch=false"]);
    assert_eq!(process.client().post("/v1/is_authorized", ask("bob")).json()["decision"], "Deny");
    write_policy(process.dir.path(), "bob");
    process.signal("HUP");
    process.until("reloaded", |process| {
        process.client().post("/v1/is_authorized", ask("bob")).json()["decision"] == "Allow"
    });
    // a broken file is reported and changes nothing
    std::fs::write(process.path("policies/p.cedar"), "permit (").unwrap();
    process.signal("HUP");
    process.until("told", |process| process.metric(r#"palisade_reloads_total{result="bad",source="files"}"#) > 0.0);
    assert_eq!(process.client().post("/v1/is_authorized", ask("bob")).json()["decision"], "Allow");
    process.until("logged", |process| process.log().contains("p.cedar"));
}

#[test]
fn a_storm_of_sighups_is_a_few_reloads() {
    let process = Process::start(workspace(), &["reload.watch=false"]);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = process.client();
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.post("/v1/is_authorized", ask("nobody")).status, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        for user in ["bob", "carol", "dave"] {
            write_policy(process.dir.path(), user);
            process.signals("HUP", 700);
        }
        // the newest wins
        process.until("reloaded", |process| {
            process.client().post("/v1/is_authorized", ask("dave")).json()["decision"] == "Allow"
        });
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 0);
    let published = process.metric("palisade_snapshot_revision");
    assert!(published <= 4.0, "{published} revisions");
    assert_eq!(process.metric(r#"palisade_reloads_total{result="bad",source="files"}"#), 0.0);
}

#[test]
fn sigusr1_reopens_the_decision_log() {
    let process = Process::start(workspace(), &["decision_log.sink=./decisions.jsonl"]);
    let (current, rotated) = (process.path("decisions.jsonl"), process.path("decisions.1"));
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    process.client().post("/v1/is_authorized", ask("alice"));
    process.until("logged", |_| lines(&current) == 1);
    std::fs::rename(&current, &rotated).unwrap();
    process.client().post("/v1/is_authorized", ask("alice"));
    process.until("logged to either", |_| lines(&rotated) + lines(&current) == 2);
    std::fs::rename(&current, process.path("decisions.0")).unwrap_or_default();
    process.signal("USR1");
    process.until("reopened", |_| current.exists());
    process.client().post("/v1/is_authorized", ask("alice"));
    process.until("logged to the new file", |_| lines(&current) == 1);
}

#[test]
fn a_stuck_decision_log_does_not_hold_up_the_end() {
    let dir = workspace();
    assert!(std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    // nothing ever reads the pipe
    let mut process = Process::start(dir, &["decision_log.sink=./pipe", "decision_log.queue=10"]);
    let mut client = process.client();
    process.until("dropping", |process| {
        for _ in 0..100 {
            assert_eq!(client_post(process).status, 200);
        }
        process.metric("palisade_decision_log_dropped_total") > 0.0
    });
    assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200);
    drop(client);
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

fn client_post(process: &Process) -> crate::support::Response {
    process.client().post("/v1/is_authorized", ask("alice"))
}

#[test]
fn bad_configuration_ends_before_a_port_is_bound() {
    let dir = workspace();
    // taken by us: a sidecar that tried to bind would say so
    let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen.decisions={}", ours.local_addr().unwrap());
    std::fs::write(
        dir.path().join("bad.yaml"),
        "cache: {max_byte: 1}\nvalidation: maybe\nlisten: {admin: 0.0.0.0:8181}\n",
    )
    .unwrap();
    let output = command(dir.path()).args(["serve", "--config", "bad.yaml", "--set", &taken]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for word in ["max_byte", "maybe", "admin.token_file", "bad.yaml:1", "bad.yaml:2"] {
        assert!(said.contains(word), "{word} is not named: {said}");
    }
    assert!(!said.contains("in use") && !said.contains("listening"), "{said}");
    // and a good one with that address fails otherwise
    let output = command(dir.path()).args(["serve", "--set", &taken, "--set", "listen.admin=off"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_configuration_by_another_name_is_refused() {
    let dir = workspace();
    std::fs::write(dir.path().join("palisade.yml"), "validation: off\n").unwrap();
    let ask = |args: &[&str]| {
        let output = command(dir.path()).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = ask(&["config", "show"]);
    assert!(code == Some(64) && said.contains("palisade.yml: is not read: rename it to `palisade.yaml`"), "{said}");
    let (code, said) = ask(&["config", "show", "--config", "palisade.yml"]);
    assert_eq!(code, Some(0), "{said}");
    std::fs::write(dir.path().join("palisade.yaml"), "").unwrap();
    let (code, said) = ask(&["config", "show"]);
    assert_eq!(code, Some(0), "{said}");
}
