//! `palisade test --watch` as a process: it runs again until Ctrl-C.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::process::command;

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join("new.tmp"), text).unwrap();
    std::fs::rename(dir.join("new.tmp"), dir.join(name)).unwrap();
}

#[test]
fn it_runs_again_until_it_is_interrupted() {
    const POLICY: &str = "permit (principal == User::\"alice\", action, resource);\n";
    let test = |expect: &str| {
        format!("tests: [{{name: one, principal: User::alice, action: a, resource: Doc::d, expect: {expect}}}]\n")
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("policies/tests")).unwrap();
    write(dir.path(), "policies/p.cedar", POLICY);
    write(dir.path(), "policies/tests/t.yaml", &test("allow"));
    let set = ["--set", "validation=off", "--set", "decision.semantics=cedar", "--set", "reload.quiet=20ms"];
    let spawned = command(dir.path())
        .args(["test", "--watch", "--quiet"])
        .args(set)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(spawned.unwrap());
    let mut out = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut err = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut result = |wanted: &str| out.find(|line| line == wanted).unwrap_or_else(|| panic!("no line `{wanted}`"));
    result("1 passed, 0 failed");
    write(dir.path(), "policies/tests/t.yaml", &test("deny"));
    result("0 passed, 1 failed");
    write(dir.path(), "policies/p.cedar", &POLICY.replace("alice", "bob"));
    result("1 passed, 0 failed");
    let said: Vec<String> =
        err.by_ref().filter(|line| line.starts_with("watching") || line.starts_with("changed")).take(3).collect();
    assert_eq!(
        said,
        ["watching for changes; Ctrl-C ends this", "changed: policies/tests/t.yaml", "changed: policies/p.cedar"]
    );
    // what a terminal sends at Ctrl-C; a shell reports 130
    assert!(Command::new("kill").args(["-INT", &running.0.id().to_string()]).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().signal(), Some(2));
}
