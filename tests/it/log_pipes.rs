//! The decision log in a named pipe whose reader leaves: no record counts as written that no reader got, and what is
//! lost at the end is reported.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Process, workspace};
use crate::support::tiny::ask;

/// A process that logs into a pipe, which this reader has open.
fn start(overflow: &str) -> (Process, File) {
    let dir = workspace();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = reader(&pipe);
    let overflow = format!("decision_log.overflow={overflow}");
    (Process::start(dir, &["decision_log.sink=./pipe", &overflow, "shutdown.grace=20s"]), reader)
}

/// Opens a pipe without waiting for a writer.
fn reader(pipe: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(pipe).unwrap()
}

/// Reads lines until there are so many, all of them whole.
#[track_caller]
fn read(mut pipe: &File, count: usize) {
    let (started, mut bytes, mut chunk) = (Instant::now(), Vec::new(), [0; 4096]);
    while memchr::memchr_iter(b'\n', &bytes).count() < count {
        assert!(started.elapsed() < Duration::from_secs(30), "{}", String::from_utf8_lossy(&bytes));
        match pipe.read(&mut chunk) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    assert_eq!(text.lines().count(), count);
}

fn decide(process: &Process, count: usize, status: u16) {
    let mut client = process.client();
    for _ in 0..count {
        assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, status);
    }
}

fn written(process: &Process) -> f64 {
    process.metric("palisade_decision_log_written_total")
}

fn degraded(process: &Process) -> String {
    process.admin().get("/v1/status").json()["degraded"].to_string()
}

#[test]
fn a_pipe_without_a_reader_fails_until_one_comes() {
    for overflow in ["drop", "block", "deny"] {
        let (process, before) = start(overflow);
        decide(&process, 5, 200);
        read(&before, 5);
        drop(before);
        process.until("failing", |process| degraded(process).contains("is a pipe that no process reads"));
        assert_eq!(process.metric("palisade_decision_log_failing"), 1.0, "{overflow}");
        let denies = overflow == "deny";
        decide(&process, 20, if denies { 503 } else { 200 });
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(written(&process), 5.0, "{overflow}: nobody has them");
        let after = reader(&process.path("pipe"));
        process.until("well", |process| !degraded(process).contains("no process reads"));
        decide(&process, 5, 200);
        read(&after, if denies { 5 } else { 25 });
        process.until("written", |process| written(process) == if denies { 10.0 } else { 30.0 });
        let dropped = process.metric("palisade_decision_log_dropped_total");
        assert_eq!(dropped, if denies { 20.0 } else { 0.0 }, "{overflow}");
    }
}

#[test]
fn what_was_not_read_is_lost_at_the_end_and_reported() {
    for overflow in ["drop", "block", "deny"] {
        // what the pipe holds, and what never got there
        for unread in [true, false] {
            let (mut process, before) = start(overflow);
            if unread {
                decide(&process, 10, 200);
                process.until("written", |process| written(process) == 10.0);
                drop(before);
            } else if overflow == "deny" {
                continue;
            } else {
                drop(before);
                process.until("failing", |process| degraded(process).contains("no process reads"));
                decide(&process, 10, 200);
            }
            process.signal("TERM");
            let (status, log) = process.wait();
            assert_eq!(status.code(), Some(0), "{log}");
            assert!(log.contains("lost=10"), "{overflow}, {unread}: {log}");
            assert_eq!(log.contains("unread records are lost"), unread, "{overflow}: {log}");
        }
    }
}

#[test]
fn a_reader_that_comes_at_the_end_gets_everything() {
    for overflow in ["drop", "block"] {
        let (mut process, before) = start(overflow);
        decide(&process, 10, 200);
        process.until("written", |process| written(process) == 10.0);
        drop(before);
        process.until("failing", |process| degraded(process).contains("no process reads"));
        decide(&process, 10, 200);
        process.signal("TERM");
        std::thread::sleep(Duration::from_millis(300));
        let after = reader(&process.path("pipe"));
        read(&after, 20);
        let (status, log) = process.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains("is lost"), "{overflow}: {log}");
    }
}
