//! How much the packs' own tests hold of them: the outcomes that they see, and the mutants that they kill.

use std::process::Command;

use serde_json::Value;

use crate::support::Server;

/// Of a hundred outcomes, so many are seen at least. Raise it when more are.
const LEAST_SEEN: f64 = 100.0;

/// Of a hundred mutants, so many are killed at least. Raise it when more are.
const LEAST_KILLED: f64 = 100.0;

#[test]
fn the_tests_of_the_packs_see_and_kill_what_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let flag = |name: &str, least: f64| format!("--{name}-min={least}");
    let ran = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["test", "--quiet", "--coverage", &flag("coverage", LEAST_SEEN), &flag("mutate", LEAST_KILLED)])
        .arg(format!("--report=json={}", report.display()))
        .current_dir(Server::project(""))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    // that they were asked for is no proof that they were made
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    let mutation = &report["mutation"];
    let count = |member: &str| mutation[member].as_u64().unwrap();
    println!("{} killed, {} live", count("killed"), count("survived"));
    assert!(count("killed") > 2_000 && mutation["bounded"] == false, "{mutation}");
    // whatever is removed whole, a test fails: no policy or declaration is accepted to live
    let mutants = mutation["mutants"].as_array().unwrap();
    for (removed, of_which) in [("the policy removed", 187), ("the declaration removed", 1)] {
        let gone: Vec<&Value> = mutants.iter().filter(|mutant| mutant["mutant"] == removed).collect();
        assert!(gone.len() >= of_which, "{}: {removed}", gone.len());
        let unseen: Vec<&Value> = gone.into_iter().filter(|mutant| mutant["fate"] != "killed").collect();
        assert!(unseen.is_empty(), "{removed}, and no test sees it: {unseen:#?}");
    }
    assert!(out.lines().any(|line| line.starts_with("coverage ")), "{out}");
}
