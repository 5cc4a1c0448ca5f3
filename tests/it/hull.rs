//! What the system does to the process: limits of files, and signals that end it by default.

use serde_json::json;

use crate::support::process::{Process, workspace};
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
