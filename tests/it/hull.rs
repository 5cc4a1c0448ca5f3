//! What the system does to the process: limits of files, and signals that end it by default.

use serde_json::json;

use crate::support::Client;
use crate::support::frames::{PREFACE, SETTINGS, frame};
use crate::support::process::{Process, workspace, write_policy};
use crate::support::tiny::ask;

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
    for signal in [
        "HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PIPE", "XFSZ", "TTIN", "TTOU", "PWR", "STKFLT", "URG",
        "WINCH", "CHLD", "CONT",
    ] {
        process.signals(signal, 2);
        assert_eq!(process.client().post("/v1/is_authorized", ask("alice")).status, 200, "{signal}");
    }
    process.signal("XCPU");
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
    assert!(process.log().contains("as many connections as it may have"), "{}", process.log());
    drop(held);
}

#[test]
fn a_silent_http2_connection_does_not_hold_up_the_end() {
    use std::io::Write;
    let mut process = Process::start(workspace(), &["shutdown.grace=20s"]);
    let mut silent = std::net::TcpStream::connect(process.decisions).unwrap();
    silent.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    process.until("connected", |process| process.metric(r#"palisade_http_connections{listener="decisions"}"#) == 1.0);
    let started = std::time::Instant::now();
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    // much less than the grace period, on a slow machine too
    assert!(started.elapsed() < std::time::Duration::from_secs(15), "{:?}: {log}", started.elapsed());
}
