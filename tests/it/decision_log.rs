//! The decision log: what a line has, what it hides, and that nothing waits for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::patience::Lines;
use crate::support::process::{Process, workspace};
use crate::support::tiny::{ask, ask_with, tiny};
use crate::support::{Server, fleet};

/// A place for a log, as the configuration takes it: with a slash.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    (dir, file)
}

/// The lines once there are `n`.
#[track_caller]
fn lines(server: &Server, file: &Path, n: usize) -> Vec<Value> {
    let whole = || std::fs::read_to_string(file).unwrap_or_default();
    server.until(&format!("{n} lines"), |_| whole().ends_with('\n') && whole().lines().count() >= n);
    let text = whole();
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    assert_eq!(lines.len(), n, "{text}");
    lines
}

fn dropped(server: &Server) -> u64 {
    server.services.metrics.decision_log_dropped.get()
}

fn written(server: &Server) -> u64 {
    server.services.metrics.decision_log_written.get()
}

#[test]
fn a_line_has_all_there_is_to_know() {
    let (_dir, file) = place();
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let before = jiff::Timestamp::now();
    let mut client = server.client();
    let json_type = ("content-type", "application/json");
    let context = json!({ "answer": 42, "list": [1, "two", { "three": true }], "who": { "__entity": { "type": "User", "id": "x" } } });
    let question = ask_with("bob", &context);
    let first =
        client.send("POST", "/v1/is_authorized", &[json_type, ("x-request-id", "trace-1")], question.as_bytes());
    let again =
        client.send("POST", "/v1/is_authorized", &[json_type, ("x-request-id", "trace-2")], question.as_bytes());
    client.send(
        "POST",
        "/v1/is_authorized/batch",
        &[json_type, ("x-request-id", "trace-3")],
        format!("{{\"requests\":[{},{},7]}}", ask("alice"), ask("mallory")).as_bytes(),
    );
    let authzen =
        r#"{"subject":{"type":"User","id":"alice"},"action":{"name":"read"},"resource":{"type":"File","id":"f"}}"#;
    client.send("POST", "/access/v1/evaluation", &[json_type, ("x-request-id", "trace-4")], authzen.as_bytes());
    let failing = ask_with("bob", &json!({ "address": "nonsense" }));
    client.send("POST", "/v1/is_authorized", &[json_type, ("x-request-id", "trace-5")], failing.as_bytes());
    let carrying = ask("alice").replacen(
        '{',
        r#"{"entities":[],"additional_entities":[{"uid":{"type":"A","id":"b"},"attrs":{},"parents":[]}],"#,
        1,
    );
    client.send("POST", "/v1/is_authorized", &[json_type, ("x-request-id", "trace-6")], carrying.as_bytes());
    // no decision, no line
    client.post("/v1/is_authorized", "{");
    client.post("/v1/is_authorized", ask_with("bob", &json!({ "answer": 1.5 })));
    assert_eq!((first.status, again.status), (200, 200));

    let log = lines(&server, &file, 7);
    let mut members: Vec<&String> = log[0].as_object().unwrap().keys().collect();
    members.sort_unstable();
    let expected = [
        "action",
        "cached",
        "context",
        "decision",
        "decision_id",
        "duration_us",
        "errors",
        "principal",
        "reason",
        "request_id",
        "resource",
        "revision",
        "time",
        "transport",
    ];
    assert_eq!(members, expected);
    let line = &log[0];
    assert_eq!(line["principal"], r#"User::"bob""#);
    assert_eq!(line["action"], r#"Action::"read""#);
    assert_eq!(line["resource"], r#"File::"f""#);
    assert_eq!(line["context"], context);
    assert_eq!(
        (&line["decision"], &line["reason"], &line["errors"]),
        (&json!("Allow"), &json!(["answer"]), &json!([]))
    );
    assert_eq!(line["revision"], first.json()["revision"]);
    assert!(line["duration_us"].as_f64().unwrap() > 0.0);
    for (i, line) in log.iter().enumerate() {
        let at: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
        assert!(at >= before - Duration::from_millis(1) && at <= jiff::Timestamp::now(), "{line}");
        let id: uuid::Uuid = line["decision_id"].as_str().unwrap().parse().unwrap();
        assert!(log[..i].iter().all(|other| other["decision_id"] != id.to_string()), "{line}");
    }
    let of = |key: &str| log.iter().map(|line| line[key].clone()).collect::<Vec<Value>>();
    assert_eq!(of("request_id"), ["trace-1", "trace-2", "trace-3", "trace-3", "trace-4", "trace-5", "trace-6"]);
    assert_eq!(of("transport"), ["native", "native", "batch", "batch", "authzen", "native", "native"]);
    assert_eq!(
        of("cached"),
        [false, true, false, false, true, false, false].map(Value::from),
        "alice's evaluation is her item of the batch"
    );
    assert_eq!(of("decision"), ["Allow", "Allow", "Allow", "Deny", "Allow", "Deny", "Allow"]);
    assert_eq!(log[3]["reason"], json!(["mallory"]));
    assert_eq!(log[5]["errors"][0]["policyId"], "address");
    assert_eq!(log[6]["carried_entities"], 1);
    server.until("counted", |server| written(server) == 7);
    assert_eq!(dropped(&server), 0);
}

#[test]
fn a_denial_by_a_rule_of_ours_says_so() {
    let (_dir, file) = place();
    let mut flags = fleet();
    flags["decision_log"] = json!({ "sink": file });
    let server = Server::ready(flags);
    let question = crate::support::server::fleet_questions()[0].to_string().replace("u-hq-fda-dm", "nobody");
    let answer = server.client().post("/v1/is_authorized", question).json();
    assert_eq!(answer["diagnostics"]["denied_by"]["rule"], "unknown_entity", "{answer}");
    assert_eq!(lines(&server, &file, 1)[0]["denied_by"], answer["diagnostics"]["denied_by"]);
}

#[test]
fn what_is_masked_is_nowhere() {
    const CANARY: &str = "canary-7c1e55\"\n\\secret";
    let (_dir, file) = place();
    let mask = ["address", "auth.token", "*.pin", "list.inner.key", "deep", "number"];
    let server = tiny(json!({ "decision_log": { "sink": file, "mask": mask } }));
    let cases = [
        (json!({ "address": CANARY }), json!({ "address": "***" })),
        // as short as a PIN
        (json!({ "address": "q7z" }), json!({ "address": "***" })),
        (
            json!({ "auth": { "token": CANARY, "user": "shown" } }),
            json!({ "auth": { "token": "***", "user": "shown" } }),
        ),
        (
            json!({ "token": "shown", "auth": { "x": { "token": "shown" } } }),
            json!({ "token": "shown", "auth": { "x": { "token": "shown" } } }),
        ),
        (
            json!({ "card": { "pin": 1_234_567, "no": 5 }, "pin": 1 }),
            json!({ "card": { "pin": "***", "no": 5 }, "pin": 1 }),
        ),
        (
            json!({ "list": [{ "inner": { "key": CANARY } }, { "inner": [{ "key": CANARY, "lock": 1 }] }, 7] }),
            json!({ "list": [{ "inner": { "key": "***" } }, { "inner": [{ "key": "***", "lock": 1 }] }, 7] }),
        ),
        (json!({ "deep": { "a": [CANARY, { "b": CANARY }] } }), json!({ "deep": "***" })),
        (json!({ "deep": [], "address": [] }), json!({ "deep": "***", "address": "***" })),
        (json!({ "other": true }), json!({ "other": true })),
    ];
    let mut client = server.client();
    for (context, _) in &cases {
        let answer = client.post("/v1/is_authorized", ask_with("bob", context));
        assert_eq!(answer.status, 200, "{}", answer.text());
        // the client gets the whole message
        if context.get("address") == Some(&json!(CANARY)) {
            assert_eq!(answer.json()["diagnostics"]["errors"][0]["policyId"], "address");
        }
    }
    let log = lines(&server, &file, cases.len());
    for ((_, expected), line) in cases.iter().zip(&log) {
        assert_eq!(&line["context"], expected);
    }
    // Cedar's messages quote values: not this one
    assert_eq!(log[0]["errors"][0]["policyId"], "address", "{}", log[0]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("canary") && !text.contains("1234567") && !text.contains("q7z"), "{text}");
    assert_eq!(log[1]["errors"][0]["message"], "not shown, since something is masked", "{}", log[1]);
}

#[test]
fn a_file_that_ends_within_a_line_gets_a_new_line() {
    let (_dir, file) = place();
    for before in ["{\"torn\":", "{\"whole\":1}\n", ""] {
        std::fs::write(&file, before).unwrap();
        let server = tiny(json!({ "decision_log": { "sink": file } }));
        assert_eq!(server.client().post("/v1/is_authorized", ask_with("bob", &json!({}))).status, 200);
        let whole = || std::fs::read_to_string(&file).unwrap().lines().any(|line| line.contains("\"decision_id\""));
        server.until("written", |_| whole());
        let text = std::fs::read_to_string(&file).unwrap();
        let last = text.lines().last().unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(last).is_ok(), "{text}");
        assert!(text.starts_with(before), "{text}");
    }
}

#[test]
fn a_secret_in_the_context_is_in_no_other_output() {
    const CANARY: &str = "canary-d3adb33f";
    let process =
        Process::start(workspace(), &["log.level=trace", "decision_log.sink=./d.jsonl", "decision_log.mask=[secret]"]);
    let body = ask_with("bob", &json!({ "secret": CANARY, "n": 1 }));
    let mut client = process.client();
    assert_eq!(client.post("/v1/is_authorized", &body).status, 200);
    assert_eq!(client.post("/v1/is_authorized", format!("{{\"requests\":[{body}]}}")).status, 400);
    assert_eq!(client.post("/v1/is_authorized/batch", format!("{{\"requests\":[{body}]}}")).status, 200);
    assert_eq!(client.post("/v1/is_authorized", &body[..body.len() - 1]).status, 400);
    let token = format!("Bearer {CANARY}");
    client.send("POST", "/v1/is_authorized", &[("authorization", &token), ("cookie", CANARY)], body.as_bytes());
    let log = || std::fs::read_to_string(process.path("d.jsonl")).unwrap_or_default();
    process.until("logged", |_| log().lines().count() == 3);
    for (name, text) in [
        ("the decision log", log()),
        ("the log", process.log()),
        ("the metrics", process.admin().get("/metrics").text()),
        ("the status", process.admin().get("/v1/status").text()),
    ] {
        assert!(!text.contains(CANARY), "{name}: {text}");
    }
}

#[test]
fn no_client_writes_a_line_of_its_own() {
    let (_dir, file) = place();
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let forged = "x\"}\n{\"decision\":\"Allow\",\"principal\":\"root\"}\r\n\u{2028}\u{85}\0\u{1b}[2J";
    let request = json!({
        "principal": { "type": "User", "id": forged }, "action": { "type": "Action", "id": forged },
        "resource": { "type": "File", "id": forged }, "context": { forged: forged, "nested": [{ forged: 1 }] },
    });
    let mut client = server.client();
    let id = ("x-request-id", "a\t{\"decision\":\"Allow\"}");
    let answer = client.send(
        "POST",
        "/v1/is_authorized",
        &[("content-type", "application/json"), id],
        request.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let log = lines(&server, &file, 1);
    assert_eq!(log[0]["decision"], "Deny");
    assert_eq!(log[0]["context"], request["context"]);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.iter().filter(|b| **b < b' ').count(), 1, "one line end and no other control character");
}

#[test]
fn a_rotated_file_loses_nothing() {
    let (_dir, file) = place();
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let mut client = server.client();
    let old: Vec<PathBuf> = (0..3).map(|n| file.with_extension(n.to_string())).collect();
    for (n, old) in old.iter().enumerate() {
        for _ in 0..50 {
            client.post("/v1/is_authorized", ask("alice"));
        }
        server.until("written", |server| written(server) == 50 * (n as u64 + 1));
        std::fs::rename(&file, old).unwrap();
        server.services.pdp.log().unwrap().reopen();
        server.until("reopened", |_| file.exists());
    }
    client.post("/v1/is_authorized", ask("alice"));
    lines(&server, &file, 1);
    for old in &old {
        lines(&server, old, 50);
    }
    // it cannot be reopened: the file that is open goes on, and the next time is another
    let place = file.parent().unwrap().to_owned();
    let away = place.with_extension("away");
    std::fs::rename(&place, &away).unwrap();
    server.services.pdp.log().unwrap().reopen();
    client.post("/v1/is_authorized", ask("alice"));
    lines(&server, &away.join("decisions.jsonl"), 2);
    std::fs::rename(&away, &place).unwrap();
    assert_eq!(dropped(&server), 0);
}

#[test]
fn a_file_that_is_back_where_its_name_leads_is_no_problem_any_more() {
    let (_dir, file) = place();
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let mut client = server.client();
    let (place, away) = (file.parent().unwrap().to_owned(), file.parent().unwrap().with_extension("away"));
    let log = || server.services.pdp.log().unwrap().problem();
    for asks in [false, true] {
        std::fs::rename(&place, &away).unwrap();
        std::fs::write(&place, "no directory").unwrap();
        client.post("/v1/is_authorized", ask("alice"));
        server.until("told", |_| {
            log().is_some_and(|why| why.contains("the file that was moved away is still written to"))
        });
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&away, &place).unwrap();
        if asks {
            client.post("/v1/is_authorized", ask("alice"));
        }
        server.until("told no more", |_| log().is_none());
    }
    lines(&server, &file, 3);
    assert_eq!(dropped(&server), 0);
}

#[test]
fn a_file_that_is_gone_is_noticed() {
    let (_dir, file) = place();
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let mut client = server.client();
    let gone: [&dyn Fn(); 3] = [
        &|| std::fs::remove_file(&file).unwrap(),
        &|| std::fs::rename(&file, file.with_extension("moved")).unwrap(),
        // another took its place
        &|| {
            std::fs::write(file.with_extension("other"), "").unwrap();
            std::fs::rename(file.with_extension("other"), &file).unwrap();
        },
    ];
    client.post("/v1/is_authorized", ask("alice"));
    for go in gone {
        lines(&server, &file, 1);
        go();
        std::thread::sleep(Duration::from_secs(1));
        client.post("/v1/is_authorized", ask("alice"));
    }
    lines(&server, &file, 1);
    assert_eq!(dropped(&server), 0);
}

#[test]
fn a_full_queue_drops_and_counts_and_no_request_waits() {
    let (_dir, file) = place();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    // a pipe without a reader takes 64 KiB, and then nothing
    let server = tiny(json!({ "decision_log": { "sink": file, "queue": 16 } }));
    let body = ask_with("alice", &json!({ "padding": "x".repeat(1_000) }));
    let mut client = server.client();
    let mut asked = 0_u64;
    while dropped(&server) < 100 {
        assert_eq!(client.post("/v1/is_authorized", &body).status, 200);
        asked += 1;
        assert!(asked < 5_000, "nothing is dropped");
    }
    assert!(written(&server) + dropped(&server) <= asked);
    // counted once each: the count follows the requests, and rests when they do
    let before = dropped(&server);
    for _ in 0..50 {
        assert_eq!(client.post("/v1/is_authorized", &body).status, 200);
    }
    assert_eq!(dropped(&server), before + 50);
    let deadline = Instant::now() + Duration::from_millis(700);
    while Instant::now() < deadline {
        assert_eq!(dropped(&server), before + 50);
        std::thread::sleep(Duration::from_millis(20));
    }
    let scrape = server.admin().get("/metrics").text();
    assert_eq!(crate::support::metric(&scrape, "palisade_decision_log_dropped_total"), (before + 50) as f64);
    // a reader comes: what waited is read, line by line, and nothing more is dropped
    let reader = Lines::of(&file);
    server.until("written", |server| written(server) + dropped(server) == asked + 50);
    let last = client.send(
        "POST",
        "/v1/is_authorized",
        &[("content-type", "application/json"), ("x-request-id", "the-last")],
        ask("alice").as_bytes(),
    );
    assert_eq!(last.status, 200);
    let lines = reader.until("the-last", || {});
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert_eq!(lines.len() as u64, asked + 51 - dropped(&server));
}

#[test]
fn a_full_disk_is_reported_and_outlived() {
    let server = tiny(json!({ "decision_log": { "sink": "/dev/full" } }));
    let mut client = server.client();
    for n in 1..=200_u64 {
        assert_eq!(client.post("/v1/is_authorized", ask("alice")).status, 200);
        if n % 50 == 0 {
            // every record is counted once, as lost
            server.until("counted", |server| dropped(server) + written(server) == n);
        }
    }
    assert_eq!((dropped(&server), written(&server)), (200, 0));
    // and stays so: nothing is counted twice
    let deadline = Instant::now() + Duration::from_millis(700);
    while Instant::now() < deadline {
        assert_eq!(dropped(&server), 200);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_log_that_cannot_be_opened_ends_the_start() {
    let dir = workspace();
    let output = crate::support::process::command(dir.path())
        .args([
            "serve",
            "--set",
            "listen.decisions=127.0.0.1:0",
            "--set",
            "listen.admin=off",
            "--set",
            "decision_log.sink=./no/such/dir/log",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot open ./no/such/dir/log"), "{said}");
}

#[test]
fn what_a_sidecar_recorded_becomes_tests_that_pass_with_its_bundle() {
    let project = |name: &str| format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let scenarios = std::fs::read_to_string(project("policies/tests/scenarios.json")).unwrap();
    let scenarios: Vec<Value> = serde_json::from_str(&scenarios).unwrap();
    let requests: Vec<&Value> = scenarios.iter().map(|scenario| &scenario["request"]).collect();
    let (policies, entities) =
        (format!("policies={}", project("policies")), format!("entities={}", project("entities")));
    let strict = "decision.semantics=strict";
    let process = Process::start(workspace(), &[&policies, &entities, strict, "decision_log.sink=./d.jsonl"]);
    let answer = process.client().post("/v1/is_authorized/batch", json!({ "requests": requests }).to_string());
    assert_eq!(answer.status, 200);
    let log = process.dir.path().join("d.jsonl");
    let logged = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    process.until("all lines", |_| logged() == requests.len());

    let run = |args: &[&str]| {
        let mut command = crate::support::process::command(process.dir.path());
        command.args(args).args(["--set", &policies, "--set", &entities]).output().unwrap()
    };
    let recorded = run(&["record", "d.jsonl", "--output", "recorded.yaml"]);
    let said = String::from_utf8_lossy(&recorded.stderr).into_owned();
    assert!(recorded.status.success() && !said.contains("otherwise") && !said.contains("skipped"), "{said}");
    let tests: usize = said.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(tests > 100 && tests <= requests.len(), "{said}");
    let tested = run(&["test", "--tests", "recorded.yaml", "--quiet"]);
    let out = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && out.contains(&format!("{tests} passed, 0 failed")), "{out}");
}
