//! `palisade bench`, by the real binary against the real binary: what it reports, and what it refuses.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::process::{Process, command, workspace};

const TESTS: &str = "tests:
  - {name: one, principal: 'User::a', action: view, resource: 'Doc::d', expect: deny}
  - {name: two, principal: 'User::alice', action: view, resource: 'Doc::d', expect: allow}
";

/// A running sidecar whose bundle has these tests, at these settings besides.
fn serving(tests: &str, settings: &[&str]) -> Process {
    let dir = workspace();
    fs::create_dir(dir.path().join("policies/tests")).unwrap();
    fs::write(dir.path().join("policies/tests/t.yaml"), tests).unwrap();
    Process::start(dir, settings)
}

fn bench(dir: &Path, url: &str, flags: &[&str]) -> Output {
    let mut command = command(dir);
    command.args(["bench", url, "--duration", "1", "--warm-up", "0", "--set", "validation=off"]).args(flags);
    command.output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_bundles_own_tests_load_its_sidecar() {
    let process = serving(TESTS, &[]);
    let url = format!("http://{}", process.decisions);
    let output = bench(process.dir.path(), &url, &["--format", "json", "-n", "3"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    let asked = |name: &str| report[name].clone();
    assert_eq!(
        ["tests", "tests_not_asked", "connections", "not_decided", "unlike_tests"].map(asked),
        [2, 0, 3, 0, 0].map(|n| json!(n)),
        "{report}"
    );
    let answers = report["answers"].as_u64().unwrap();
    assert!(answers > 10 && report["answers_per_second"].as_f64().unwrap() > 10.0, "{report}");
    let times = ["p50", "p99", "p99.9", "longest"].map(|name| report["time_us"][name].as_f64().unwrap());
    assert!(times[0] > 0.0 && times.is_sorted(), "{report}");
    if cfg!(target_os = "linux") {
        assert!(
            report["cpu"]["process"].is_u64() && report["cpu"]["us_per_answer"].as_f64().unwrap() > 0.0,
            "{report}"
        );
    }
    // they are decisions as others, those in flight at the end included
    let metrics = process.admin().get("/metrics").text();
    let counted = |outcome: &str| -> u64 {
        let mark = format!("palisade_decisions_total{{outcome=\"{outcome}\",transport=\"native\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&*mark));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    };
    let (allowed, denied) = (counted("allow"), counted("deny"));
    assert!((answers..=answers + 3).contains(&(allowed + denied)), "{answers}: {allowed} and {denied}");
    assert!(allowed.abs_diff(denied) <= 4, "each test is asked as often: {allowed} and {denied}");

    let output = bench(process.dir.path(), &url, &["-n", "1"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], format!("2 tests asked of {url} over 1 connection"));
    for (line, (name, part)) in lines[1..].iter().zip([
        ("answers", " in 1.0 s"),
        ("rate", " a second"),
        ("time", "p99.9 "),
        ("CPU", " us of the server"),
    ]) {
        assert!(line.starts_with(name) && line.contains(part), "{shown}");
    }
    assert_eq!(lines.len(), 5, "{shown}");
}

#[test]
fn the_configuration_says_where_and_a_unix_socket_serves_too() {
    let socket = "listen.decisions=unix:./decisions.sock";
    let dir = workspace();
    fs::create_dir(dir.path().join("policies/tests")).unwrap();
    fs::write(dir.path().join("policies/tests/t.yaml"), TESTS).unwrap();
    let mut serve = command(dir.path());
    serve.args([
        "serve",
        "--set",
        socket,
        "--set",
        "listen.admin=off",
        "--set",
        "listen.grpc=off",
        "--set",
        "validation=off",
    ]);
    let mut child = serve.spawn().unwrap();
    let mut output = None;
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mut command = command(dir.path());
        command.args(["bench", "--duration", "1", "--warm-up", "0", "--format", "json", "--set", "validation=off"]);
        let tried = command.args(["--set", socket]).output().unwrap();
        let done = tried.status.success();
        output = Some(tried);
        if done {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let report = report(&output.unwrap());
    assert!(report["answers"].as_u64().unwrap() > 0 && report["target"] == "unix:./decisions.sock", "{report}");
}

#[test]
fn what_cannot_be_asked_or_answered_is_said() {
    let process = serving(TESTS, &[]);
    let (dir, url) = (process.dir.path(), format!("http://{}", process.decisions));
    let tests = dir.join("policies/tests/t.yaml");
    let entities = "tests:\n  - {name: n, principal: 'User::a', action: view, resource: 'Doc::d', expect: deny, entities: [{uid: 'User::a'}]}\n";
    for (text, exit, said) in [
        // the sidecar decides otherwise: that is said, and no failure
        (TESTS.replace("expect: deny", "expect: allow"), 0, "answers are not what the tests expect"),
        (entities.to_owned(), 5, "brings entities of its own"),
        (String::new(), 5, "no test in"),
    ] {
        fs::write(&tests, &text).unwrap();
        let output = bench(dir, &url, &[]);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{text}: {shown}");
        assert!(shown.contains(said), "{text}: {shown}");
    }
    fs::remove_file(&tests).unwrap();
    for (url, flags, exit, said) in [
        (&*url, &[][..], 5, "so there is nothing to ask"),
        (&url, &["--tests", "nowhere"], 1, "there is no such file"),
        ("https://127.0.0.1:1", &[], 64, "speaks no TLS"),
        ("http://127.0.0.1:1/v1", &[], 64, "without a path"),
    ] {
        let output = bench(dir, url, flags);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{url}: {shown}");
        assert!(shown.contains(said), "{url}: {shown}");
    }
    fs::write(&tests, TESTS).unwrap();
    // nothing listens there
    let output = bench(dir, "http://127.0.0.1:1", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is a sidecar serving there?"), "{output:?}");
    // the admin listener has no such endpoint
    let output = bench(dir, &format!("http://{}", process.admin), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("were not decided; the first got status 404"),
        "{output:?}"
    );
}
