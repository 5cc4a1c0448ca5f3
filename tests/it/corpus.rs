//! The public Cedar conformance corpus over HTTP: every case is a bundle, replaced whole and asked.
//!
//! Runs where `PALISADE_TEST_CORPUS` names the archive (`corpus-tests.tar.gz` of cedar-integration-tests),
//! and says so where it does not.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::thread;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::Server;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    policies: String,
    entities: String,
    schema: String,
    should_validate: bool,
    requests: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    description: String,
    principal: Value,
    action: Value,
    resource: Value,
    context: Value,
    decision: String,
    reason: BTreeSet<String>,
    errors: BTreeSet<String>,
}

type Files = HashMap<String, String>;

fn unpack(path: &str) -> Files {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("PALISADE_TEST_CORPUS={path}: {error}"));
    let mut files = Files::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned();
        let mut text = String::new();
        if entry.header().entry_type().is_file() {
            entry.read_to_string(&mut text).unwrap();
            files.insert(path, text);
        }
    }
    files
}

/// What one pass over the corpus counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    cases: usize,
    requests: usize,
    verdicts: usize,
}

#[test]
fn every_case_of_the_public_corpus() {
    let Ok(path) = std::env::var("PALISADE_TEST_CORPUS") else {
        println!("skipped: PALISADE_TEST_CORPUS does not name the corpus archive");
        return;
    };
    let files = unpack(&path);
    let mut names: Vec<&str> = files
        .keys()
        .map(String::as_str)
        .filter(|name| name.ends_with(".json") && !name.ends_with(".entities.json"))
        .collect();
    names.sort_unstable();
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let passes: Vec<_> = [true, false]
            .into_iter()
            .map(|cache| {
                let (files, names) = (&files, &names);
                scope.spawn(move || pass(files, names, cache))
            })
            .collect();
        passes.into_iter().map(|pass| pass.join().unwrap()).collect()
    });
    for tally in tallies {
        println!("{} cases, {} requests, {} verdicts agree", tally.cases, tally.requests, tally.verdicts);
        assert_eq!(tally, Tally { cases: 7_809, requests: 62_472, verdicts: 7_809 });
    }
}

fn pass(files: &Files, names: &[&str], cache: bool) -> Tally {
    let server = Server::start(
        json!({ "validation": "warn", "decision": { "semantics": "cedar" }, "cache": { "enabled": cache } }),
    );
    let (mut admin, mut client) = (server.admin(), server.client());
    let mut tally = Tally::default();
    for name in names {
        let case: Case = serde_json::from_str(&files[*name]).unwrap();
        let entities: &RawValue = serde_json::from_str(&files[&case.entities]).unwrap();
        let bundle = serde_json::to_string(&json!({
            "policies": files[&case.policies], "schema": files[&case.schema], "entities": entities,
        }))
        .unwrap();
        let put = admin.put("/v1/bundle", &bundle);
        assert_eq!(put.status, 200, "{name}: {}", put.text());
        let verdict = admin.post("/v1/validate", &bundle);
        assert_eq!(verdict.json()["valid"], json!(case.should_validate), "{name}: {}", verdict.text());
        tally.verdicts += 1;
        for question in &case.requests {
            let body = json!({ "principal": question.principal, "action": question.action, "resource": question.resource, "context": question.context });
            // the second time from the cache, where there is one
            for _ in 0..=usize::from(cache) {
                let answer = client.post("/v1/is_authorized", body.to_string());
                let got = answer.json();
                let ids = |list: &Value, key: Option<&str>| -> BTreeSet<String> {
                    list.as_array()
                        .unwrap()
                        .iter()
                        .map(|id| key.map_or(id, |key| &id[key]).as_str().unwrap().to_owned())
                        .collect()
                };
                let diagnostics = &got["diagnostics"];
                assert_eq!(
                    (
                        got["decision"].as_str().map(str::to_lowercase),
                        ids(&diagnostics["reason"], None),
                        ids(&diagnostics["errors"], Some("policyId"))
                    ),
                    (Some(question.decision.clone()), question.reason.clone(), question.errors.clone()),
                    "{name}, {}: {}",
                    question.description,
                    answer.text()
                );
                assert_eq!(got["revision"], put.json()["revision"]);
            }
            tally.requests += 1;
        }
        tally.cases += 1;
    }
    tally
}
