//! How a bundle reaches a running sidecar, as the manual says it, and what is reported while it waits.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::documents::blocks;
use crate::support::Server;
use crate::support::process::{Process, command, serve_with, workspace, write_policy};
use crate::support::tiny::ask;

const BAD: &str = r#"palisade_reloads_total{result="bad",source="files"}"#;

fn decides(process: &Process, user: &str, decision: &str) -> bool {
    process.client().post("/v1/is_authorized", ask(user)).json()["decision"] == decision
}

/// A bundle in which one user may do everything.
fn bundle(at: &Path, user: &str) {
    fs::create_dir_all(at.join("policies")).unwrap();
    fs::create_dir_all(at.join("entities")).unwrap();
    fs::write(at.join("entities/e.json"), r#"[{"uid": {"type": "User", "id": "x"}, "attrs": {}, "parents": []}]"#)
        .unwrap();
    write_policy(at, user);
}

/// The commands of the manual, with the place of the bundle put elsewhere.
fn commands(page: &str, section: &str, place: &Path) -> Vec<String> {
    let text = fs::read_to_string(Server::project(page)).unwrap();
    let section = text.split(&format!("## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let shell = blocks(section).into_iter().filter(|(_, language, _)| *language == "sh");
    shell.map(|(_, _, text)| text.replace("/etc/palisade", &place.display().to_string())).collect()
}

fn run(script: &str, home: &Path) -> bool {
    Command::new("sh").args(["-ec", script]).env("HOME", home).status().unwrap().success()
}

#[test]
fn a_directory_is_swapped_as_the_manual_says() {
    let place = tempfile::tempdir().unwrap();
    let ways = commands("docs/deploy.md", "Publishing a directory", place.path());
    let [by_link, by_exchange] = &*ways else { panic!("{ways:?}") };
    let exchanges = Command::new("mv").arg("--help").output().unwrap();
    let exchanges = String::from_utf8_lossy(&exchanges.stdout).contains("--exchange");
    for (way, script, is_there) in [("a link", by_link, true), ("an exchange", by_exchange, exchanges)] {
        if !is_there {
            eprintln!("skipped: `mv` knows no --exchange here");
            continue;
        }
        for name in ["bundle", "releases", "bundle.new", "home"] {
            let _ = fs::remove_file(place.path().join(name));
            let _ = fs::remove_dir_all(place.path().join(name));
        }
        bundle(&place.path().join("home/bundle"), "bob");
        let serves = place.path().join("bundle");
        if way == "a link" {
            bundle(&place.path().join("releases/1"), "alice");
            std::os::unix::fs::symlink("releases/1", &serves).unwrap();
        } else {
            bundle(&serves, "alice");
        }
        let process = Process::start(workspace(), &[&format!("policies={}", serves.display())]);
        assert!(decides(&process, "alice", "Allow"), "{way}");
        assert!(run(script, &place.path().join("home")), "{script}");
        process.until(way, |process| decides(process, "bob", "Allow"));
        assert!(decides(&process, "alice", "Deny"), "{way}");
        assert_eq!(process.metric(BAD), 0.0, "{way}: {}", process.log());
    }
}

/// Two renames, with a pause in between: nothing is refused, and no alert is raised.
#[test]
fn a_directory_that_is_away_for_a_moment_is_no_refusal() {
    let process = Process::start(workspace(), &["load.vanish_quiet=15s"]);
    fs::write(process.path("entities/e.json"), r#"[{"uid": {"type": "User", "id": "x"}, "attrs": {}, "parents": []}]"#)
        .unwrap();
    let entities = |process: &Process| process.admin().get("/v1/status").json()["entities"].clone();
    process.until("loaded", |process| entities(process) == json!(1));
    for name in ["entities", "policies"] {
        let copied = Command::new("cp").args(["-r", name, "new"]).current_dir(process.dir.path()).status().unwrap();
        assert!(copied.success());
        if name == "entities" {
            fs::write(process.path("new/e.json"), "[]").unwrap();
            fs::write(
                process.path("new/f.json"),
                r#"[{"uid": {"type": "User", "id": "y"}, "attrs": {}, "parents": []},
                {"uid": {"type": "User", "id": "z"}, "attrs": {}, "parents": []}]"#,
            )
            .unwrap();
        } else {
            fs::write(process.path("new/p.cedar"), "permit (principal == User::\"bob\", action, resource);").unwrap();
        }
        fs::rename(process.path(name), process.path(&format!("{name}.old"))).unwrap();
        process.until("waiting", |process| {
            let status = process.admin().get("/v1/status").json();
            let waits = status["waits_for"].as_str().unwrap_or_default().to_owned();
            waits.contains(&format!("{name}` is no longer there")) && waits.contains(" more")
        });
        process.until("logged", |process| process.log().contains(&format!("{name}` is no longer there")));
        fs::rename(process.path("new"), process.path(name)).unwrap();
        process.until("swapped", |process| match name {
            "entities" => entities(process) == json!(2),
            _ => decides(process, "bob", "Allow"),
        });
        assert_eq!(process.metric(BAD), 0.0, "{}", process.log());
        assert_eq!(process.admin().get("/v1/status").json()["waits_for"], Value::Null);
    }
}

/// What the first load waits for is named, with the time that it takes: here a file that could be half-written, since its
/// directory is not watched.
#[test]
fn the_start_says_what_it_waits_for() {
    let dir = workspace();
    // a directory without notifications cannot be had everywhere, so the file is held open for a moment
    let writer = fs::OpenOptions::new().append(true).open(dir.path().join("policies/p.cedar")).unwrap();
    let mut serve = command(dir.path());
    let log = dir.path().join("log");
    serve_with(&mut serve, &["load.vanish_quiet=5s"]);
    let mut child = serve.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let log = || fs::read_to_string(&log).unwrap();
    let start = std::time::Instant::now();
    let said = loop {
        let log = log();
        if let Some(line) = log.lines().find(|line| line.contains("INFO waiting: ")) {
            break line.to_owned();
        }
        assert!(start.elapsed().as_secs() < 30, "{log}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(said.contains("policies/p.cedar`") && said.contains("same for 5s (`load.vanish_quiet`); "), "{said}");
    let port = log()
        .lines()
        .find_map(|line| line.split_once("listener=admin addr=127.0.0.1:").map(|(_, port)| port.trim().to_owned()));
    let port: u16 = port.unwrap().parse().unwrap();
    let admin = || crate::support::Client::new(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    let ready = admin().get("/readyz").json();
    // unless it is over by now
    if ready["status"] == "not ready" && ready["waits_for"] != Value::Null {
        assert!(ready["reasons"].to_string().contains("is waited for"), "{ready}");
        assert!(ready["waits_for"].as_str().unwrap().contains("policies/p.cedar`"), "{ready}");
    }
    drop(writer);
    while admin().get("/readyz").status != 200 {
        assert!(start.elapsed().as_secs() < 60, "{}", log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Who asks for a reload hears that nothing has changed.
#[test]
fn a_signal_that_changes_nothing_is_answered_in_the_log() {
    let process = Process::start(workspace(), &[]);
    for times in 1..=2 {
        process.signal("HUP");
        process
            .until("told", |process| process.log().matches("reload asked for: nothing has changed").count() == times);
    }
}

/// Where the log is for programs, so is its end.
#[test]
fn a_start_that_fails_ends_in_json_where_the_log_is_json() {
    let dir = workspace();
    fs::write(dir.path().join("policies/p.cedar"), "permit (principal, action);").unwrap();
    fs::write(dir.path().join("policies/q.cedar"), "permit (principal, action);").unwrap();
    for (format, is_json) in [("json", true), ("human", false)] {
        let mut serve = command(dir.path());
        serve_with(&mut serve, &["load.require=true", &format!("log.format={format}")]);
        let ran = serve.output().unwrap();
        assert_eq!(ran.status.code(), Some(1));
        let said = String::from_utf8(ran.stderr).unwrap();
        let last = said.lines().last().unwrap();
        if is_json {
            let lines: Vec<Value> =
                said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
            let ends: Vec<&Value> = lines.iter().filter(|line| line.to_string().contains("load.require")).collect();
            let [end] = &*ends else { panic!("{said}") };
            let message = end["message"].as_str().unwrap();
            assert!(message.contains("2 problems are in the log") && message.contains("p.cedar"), "{message}");
            assert!(!message.contains('\n') && *end == lines.last().unwrap(), "{said}");
        } else {
            assert!(last.starts_with("error: ") && said.contains("`load.require` is set"), "{said}");
        }
    }
}

/// A file whose name is misspelt while the sidecar serves: the refusal names what is gone and what is not read instead.
#[test]
fn a_refused_load_names_the_file_that_is_not_read() {
    let dir = workspace();
    fs::write(
        dir.path().join("entities/h.json"),
        r#"[{"uid": {"type": "User", "id": "x"}, "attrs": {}, "parents": []}]"#,
    )
    .unwrap();
    let process = Process::start(dir, &["load.vanish_quiet=50ms"]);
    process.until("loaded", |process| process.admin().get("/v1/status").json()["entities"] == json!(1));
    fs::rename(process.path("entities/h.json"), process.path("entities/h.jsn")).unwrap();
    process.until("refused", |process| process.metric(BAD) > 0.0);
    let status = process.admin().get("/v1/status").json();
    let problems = status["last_attempt"]["problems"].as_array().unwrap();
    let found = |severity: &str, place: &str, words: &str| {
        problems.iter().any(|problem| {
            problem["severity"] == severity
                && problem["where"].as_str().unwrap().ends_with(place)
                && problem["message"].as_str().unwrap().contains(words)
        })
    };
    assert!(found("error", "entities/h.json", "h.json` is no longer there"), "{status:#}");
    assert!(found("warning", "entities/h.jsn", "is not read"), "{status:#}");
    process.until("logged", |process| process.log().contains("entities/h.jsn"));
    assert_eq!(status["ready"], true);
    // it is tried again, since a mount may come back, and taken once it is
    fs::rename(process.path("entities/h.jsn"), process.path("entities/h.json")).unwrap();
    process.until("well again", |process| process.admin().get("/v1/status").json()["last_attempt"]["ok"] == true);
}

/// The same bundle at a start, and by `validate`: what is not read is reported, though nothing is missing.
#[test]
fn a_fresh_start_and_validate_tell_of_files_that_are_not_read() {
    let dir = workspace();
    for name in ["policies/h.cedarschma", "policies/people.json", "entities/h.jsn"] {
        fs::write(dir.path().join(name), "[]").unwrap();
    }
    let ran = command(dir.path()).args(["validate", "--set", "validation=off"]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let process = Process::start(dir, &[]);
    for words in ["`*.cedarschema`", "entities belong in `entities`", "entities/h.jsn: warning: this file is not read"]
    {
        assert!(said.contains(words), "validate: {words} not in {said}");
        process.until(words, |process| process.log().contains(words));
    }
}
