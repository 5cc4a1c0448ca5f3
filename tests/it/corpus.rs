//! The public Cedar conformance corpus, by the engine alone and over HTTP, where every case is a bundle that is
//! replaced whole and asked.
//!
//! Runs where `PALISADE_TEST_CORPUS` names the archive (`corpus-tests.tar.gz` of cedar-integration-tests),
//! and says so where it does not.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write as _};
use std::sync::Arc;
use std::thread;

use palisade_engine::model::{self, AccessRequest, Bundle, Document, PolicyNaming, PolicyText, SchemaText};
use palisade_engine::{EngineKind, EngineSettings, NowPolicy, Semantics, Validation, Verdict, on_big_stack};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::differential::compare::build;
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

/// What a pass over the corpus counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    cases: usize,
    requests: usize,
    verdicts: usize,
}

const WHOLE: Tally = Tally { cases: 7_809, requests: 62_472, verdicts: 7_809 };

/// The files of the corpus and the names of its cases, if it is here.
fn corpus() -> Option<(Files, Vec<String>)> {
    let Ok(path) = std::env::var("PALISADE_TEST_CORPUS") else {
        // past the harness, which shows nothing of a test that passes
        let _ = std::io::stderr().write_all(b"skipped: PALISADE_TEST_CORPUS does not name the corpus archive\n");
        return None;
    };
    let files = unpack(&path);
    let is_case = |name: &&String| name.ends_with(".json") && !name.ends_with(".entities.json");
    let mut names: Vec<String> = files.keys().filter(is_case).cloned().collect();
    names.sort_unstable();
    Some((files, names))
}

/// What is expected of a question: whether it is allowed, by which policies, and which of them fail.
type Expected<'a> = (bool, BTreeSet<&'a str>, BTreeSet<&'a str>);

impl Question {
    fn expected(&self) -> Expected<'_> {
        let (reason, errors) = (self.reason.iter(), self.errors.iter());
        (self.decision == "allow", reason.map(String::as_str).collect(), errors.map(String::as_str).collect())
    }

    fn body(&self) -> String {
        let Self { principal, action, resource, context, .. } = self;
        json!({ "principal": principal, "action": action, "resource": resource, "context": context }).to_string()
    }
}

#[test]
fn the_engine_decides_every_case() {
    let Some((files, names)) = corpus() else { return };
    let (even, odd) = names.iter().enumerate().partition::<Vec<_>, _>(|(at, _)| at % 2 == 0);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let halves = [even, odd].map(|half| {
            let files = &files;
            scope.spawn(move || {
                on_big_stack(|| {
                    let mut tally = Tally::default();
                    half.into_iter().for_each(|(_, name)| ask_engine(files, name, &mut tally));
                    tally
                })
                .unwrap()
            })
        });
        halves.into_iter().map(|half| half.join().unwrap()).collect()
    });
    let sum = |pick: fn(&Tally) -> usize| tallies.iter().map(pick).sum();
    let tally = Tally { cases: sum(|it| it.cases), requests: sum(|it| it.requests), verdicts: sum(|it| it.verdicts) };
    assert_eq!(tally, WHOLE);
}

/// A case by the engine alone, without a server around it.
fn ask_engine(files: &Files, name: &str, tally: &mut Tally) {
    let case: Case = serde_json::from_str(&files[name]).unwrap();
    let bundle = Arc::new(Bundle {
        policies: vec![PolicyText {
            origin: case.policies.clone(),
            text: files[&case.policies].clone(),
            naming: PolicyNaming::Ordinal,
        }],
        schema: Some(SchemaText { fragments: vec![(case.schema.clone(), files[&case.schema].clone())] }),
        entities: vec![Document::held(&case.entities, &*files[&case.entities])],
        ..Bundle::default()
    });
    let settings = EngineSettings {
        semantics: Semantics::Cedar,
        now: NowPolicy::Off,
        validation: Validation::Off,
        ..EngineSettings::default()
    };
    let verdict: Verdict = palisade_engine::check(&bundle, &settings.limits, Semantics::Cedar, &|| false);
    assert_eq!(verdict.valid, case.should_validate, "{name}: {:?}", verdict.errors);
    tally.verdicts += 1;
    let snapshot = build(&bundle, &settings, EngineKind::Compiled).unwrap_or_else(|error| panic!("{name}: {error}"));
    for question in &case.requests {
        let body = question.body();
        let request = AccessRequest::from_value(model::Value::parse(body.as_bytes()).unwrap()).unwrap();
        let decision = snapshot.decide(&request, 0).unwrap();
        let got: Expected<'_> = (
            decision.outcome.is_allow(),
            decision.reasons.iter().map(|id| &**id).collect(),
            decision.errors.iter().map(|error| &*error.policy_id).collect(),
        );
        assert_eq!(got, question.expected(), "{name}, {}", question.description);
        tally.requests += 1;
    }
    tally.cases += 1;
}

#[test]
fn every_case_of_the_public_corpus() {
    let Some((files, names)) = corpus() else { return };
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let passes = [true, false].map(|cache| {
            let (files, names) = (&files, &names);
            scope.spawn(move || pass(files, names, cache))
        });
        passes.into_iter().map(|pass| pass.join().unwrap()).collect()
    });
    for tally in tallies {
        println!("{} cases, {} requests, {} verdicts agree", tally.cases, tally.requests, tally.verdicts);
        assert_eq!(tally, WHOLE);
    }
}

/// All cases over HTTP.
fn pass(files: &Files, names: &[String], cache: bool) -> Tally {
    let server = Server::start(
        json!({ "validation": "warn", "decision": { "semantics": "cedar" }, "cache": { "enabled": cache } }),
    );
    let (mut admin, mut client) = (server.admin(), server.client());
    let mut tally = Tally::default();
    for name in names {
        let case: Case = serde_json::from_str(&files[name]).unwrap();
        let entities: &RawValue = serde_json::from_str(&files[&case.entities]).unwrap();
        let bundle = serde_json::to_string(&json!({
            "policies": files[&case.policies], "schema": files[&case.schema], "entities": entities,
        }))
        .unwrap();
        let put = admin.put("/v1/bundle", &bundle);
        assert_eq!(put.status, 200, "{name}: {}", put.text());
        let verdict = admin.post("/v1/validate", &bundle);
        // the corpus is older than the warning that a policy fits no action, which was an error
        let verdict_of = verdict.json();
        let warnings = verdict_of["warnings"].as_array().unwrap();
        let fits = warnings.iter().all(|found| found["rule"] != "impossible_action");
        assert_eq!(verdict_of["valid"] == json!(true) && fits, case.should_validate, "{name}: {}", verdict.text());
        tally.verdicts += 1;
        for question in &case.requests {
            let body = question.body();
            // the second time from the cache, where there is one
            for _ in 0..=usize::from(cache) {
                let answer = client.post("/v1/is_authorized", body.clone());
                let got = answer.json();
                let diagnostics = &got["diagnostics"];
                let list = |name: &str| diagnostics[name].as_array().unwrap();
                let got_of: Expected<'_> = (
                    got["decision"] == "Allow",
                    list("reason").iter().map(|id| id.as_str().unwrap()).collect(),
                    list("errors").iter().map(|error| error["policyId"].as_str().unwrap()).collect(),
                );
                assert_eq!(got_of, question.expected(), "{name}, {}: {}", question.description, answer.text());
                assert_eq!(got["revision"], put.json()["revision"]);
            }
            tally.requests += 1;
        }
        tally.cases += 1;
    }
    tally
}
