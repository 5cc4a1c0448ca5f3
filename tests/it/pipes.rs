//! Standard error and standard output without a reader: nothing waits for them, what is lost is counted and reported,
//! and the process ends in time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::patience::Lines;
use crate::support::process::{command, serve_with, workspace, write_policy};
use crate::support::raw::{Wire, post};
use crate::support::tiny::ask;
use crate::support::{Client, metric};

/// A process whose output is read only when the test says so.
struct Mute {
    child: Child,
    /// Until another reader takes it.
    stderr: Option<BufReader<ChildStderr>>,
    /// Until it is closed.
    stdout: Option<ChildStdout>,
    decisions: SocketAddr,
    admin: SocketAddr,
    dir: tempfile::TempDir,
}

impl Mute {
    fn start(settings: &[&str]) -> Self {
        let dir = workspace();
        let mut command = command(dir.path());
        serve_with(&mut command, settings);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::with_capacity(1, child.stderr.take().unwrap());
        let mut addresses = Vec::new();
        while addresses.len() < 2 {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some((_, addr)) = line.split_once(" addr=") {
                addresses.push(addr.trim().parse().unwrap());
            }
        }
        let stdout = child.stdout.take();
        let mute = Self { child, stderr: Some(stderr), stdout, decisions: addresses[0], admin: addresses[1], dir };
        mute.until("ready", |mute| mute.admin().get("/readyz").status == 200);
        mute
    }

    fn client(&self) -> Client {
        Client::new(self.decisions)
    }

    fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    fn metric(&self, series: &str) -> f64 {
        metric(&self.admin().get("/metrics").text(), series)
    }

    #[track_caller]
    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self) {
            assert!(Instant::now() < deadline, "not {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it; gives its status and how long that took.
    #[track_caller]
    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let killed = std::process::Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), started.elapsed());
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fills standard error until lines are lost.
    fn fill_stderr(&self) {
        // a refused text is quoted: a few lines are much
        let body = json!({ "policies": format!("permit(principal, action, resource) when {{ {} }};", "x".repeat(20_000)), "entities": [] });
        self.until("full", |mute| {
            assert_eq!(mute.admin().put("/v1/bundle", body.to_string()).status, 422);
            assert_eq!(mute.client().post("/v1/is_authorized", ask("alice")).json()["decision"], "Allow");
            mute.metric("palisade_log_dropped_total") > 0.0
        });
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stuck_standard_error_stops_nothing() {
    let mut mute = Mute::start(&["shutdown.grace=5s", "log.level=debug"]);
    mute.fill_stderr();
    // changes go on, by the API and by files
    write_policy(mute.dir.path(), "bob");
    mute.until("reloaded", |mute| mute.client().post("/v1/is_authorized", ask("bob")).json()["decision"] == "Allow");
    assert_eq!(mute.admin().get("/livez").status, 200);
    let (status, took) = mute.terminate();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn lost_lines_are_reported_when_standard_error_moves_again() {
    let mut mute = Mute::start(&["log.level=debug"]);
    mute.fill_stderr();
    let stderr = Lines::from(mute.stderr.take().unwrap());
    let said = stderr.until("log lines were dropped", || {});
    assert!(said.last().is_some_and(|line| line.contains("WARN") && line.contains("count=")), "{said:?}");
}

#[test]
fn a_stuck_standard_output_does_not_hold_up_the_end() {
    let mut mute = Mute::start(&["decision_log.sink=stdout", "decision_log.queue=100", "shutdown.grace=3s"]);
    mute.until("stuck", |mute| {
        let mut client = mute.client();
        (0..200).for_each(|_| assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200));
        mute.metric("palisade_decision_log_dropped_total") > 0.0
    });
    let (status, took) = mute.terminate();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    let mut said = String::new();
    mute.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("takes nothing"), "{said}");
    let mut log = String::new();
    mute.stdout.as_mut().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.lines().next().is_some_and(|line| line.contains("\"decision\":\"Allow\"")));
}

#[test]
fn a_standard_output_that_was_closed_ends_nothing_and_is_reported() {
    for overflow in ["drop", "block", "deny"] {
        let settings = ["decision_log.sink=stdout", "decision_log.queue=8", "http.deadline=50ms"];
        let overflows = format!("decision_log.overflow={overflow}");
        let mut mute = Mute::start(&[&settings[..], &[&overflows]].concat());
        drop(mute.stdout.take());
        let statuses = |mute: &Mute| -> Vec<u16> {
            let mut client = mute.client();
            (0..10).map(|_| client.post("/v1/is_authorized", ask("alice")).status).collect()
        };
        mute.until("failing", |mute| {
            statuses(mute);
            mute.metric("palisade_decision_log_failing") == 1.0
        });
        let status = mute.admin().get("/v1/status").json();
        assert!(status["degraded"].as_str().is_some_and(|why| why.contains("standard output")), "{status}");
        let refused = if overflow == "drop" { 200 } else { 503 };
        mute.until("refused or lost", |mute| statuses(mute).iter().all(|status| *status == refused));
        assert_eq!(mute.metric("palisade_decision_log_written_total"), 0.0, "{overflow}");
        assert!(mute.metric("palisade_decision_log_dropped_total") > 0.0, "{overflow}");
        assert_eq!(mute.terminate().0, Some(0), "{overflow}");
    }
}

#[test]
fn the_end_says_what_was_not_answered() {
    let mut mute = Mute::start(&["shutdown.grace=1s", "http.body_timeout=60s"]);
    let request = post("/v1/is_authorized", "never", &ask("alice"));
    let mut wire = Wire::open(mute.decisions);
    wire.send(&request[..request.len() - 10]);
    mute.until("in flight", |mute| mute.metric(r#"palisade_http_connections{listener="decisions"}"#) == 1.0);
    std::thread::sleep(Duration::from_millis(50));
    let (status, took) = mute.terminate();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    let mut said = String::new();
    mute.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("cut=1 unanswered=1"), "{said}");
    assert!(!said.contains("connection was answered"), "{said}");
}

#[test]
fn a_start_that_fails_ends_though_standard_error_is_stuck() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("listen.decisions={}", taken.local_addr().unwrap());
    for (args, code) in [
        (&["serve", "--set", &address][..], 1),
        (&["serve", "--set", "no.such=1"], 64),
        (&["serve", "--no-such-flag"], 64),
    ] {
        let (unread, mut full) = std::io::pipe().unwrap();
        full.write_all(&[b'.'; 64 << 10]).unwrap();
        let dir = workspace();
        let mut child = command(dir.path()).args(args).stdin(Stdio::null()).stderr(full).spawn().unwrap();
        let started = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if started.elapsed() > Duration::from_secs(30) => {
                    child.kill().unwrap();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(status, Some(code), "{args:?}");
        drop(unread);
    }
}
