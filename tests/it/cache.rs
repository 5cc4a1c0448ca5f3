//! The cache is never seen but in the clock: with it and without it the answers are the same.

use palisade::telemetry::Metrics;
use serde_json::{Value, json};

use crate::support::server::fleet_questions;
use crate::support::tiny::{ask, ask_with, bundle, tiny};
use crate::support::{Client, Server, fleet};

fn fleet_server(cache: bool) -> Server {
    let mut flags = fleet();
    flags["cache"] = json!({ "enabled": cache });
    Server::ready(flags)
}

/// Hits and misses so far.
fn counts(metrics: &Metrics) -> (u64, u64) {
    (metrics.cache_hits.get(), metrics.cache_misses.get())
}

/// The answer without the revision, which differs between processes.
fn told(mut answer: Value) -> Value {
    if let Some(members) = answer.as_object_mut() {
        members.remove("revision");
    }
    answer
}

fn single(client: &mut Client, question: &Value) -> Value {
    let answer = client.post("/v1/is_authorized", question.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    told(answer.json())
}

#[test]
fn cached_answers_are_the_answers() {
    let (cached, plain) = (fleet_server(true), fleet_server(false));
    let questions = fleet_questions();
    let (mut a, mut b) = (cached.client(), plain.client());
    let expected: Vec<Value> = questions.iter().map(|question| single(&mut b, question)).collect();
    for round in 0..3 {
        for (question, expected) in questions.iter().zip(&expected) {
            assert_eq!(&single(&mut a, question), expected, "round {round}: {question}");
        }
    }
    let (hits, misses) = counts(&cached.services.metrics);
    assert_eq!(hits + misses, 3 * questions.len() as u64);
    assert!(misses <= questions.len() as u64 && hits >= 2 * questions.len() as u64, "{hits} hits, {misses} misses");
    assert_eq!(counts(&plain.services.metrics), (0, 0));

    // a batch is its singles, in any order and however often
    let mut random = 1_u64;
    let mut next = |n: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    let fresh = fleet_server(true);
    for size in [1, 2, 7, 113, 400, 1_000] {
        let picks: Vec<usize> = (0..size).map(|_| next(questions.len())).collect();
        let requests: Vec<&Value> = picks.iter().map(|i| &questions[*i]).collect();
        let body = json!({ "requests": requests }).to_string();
        for server in [&cached, &fresh, &plain] {
            let answer = server.client().post("/v1/is_authorized/batch", &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let responses = answer.json()["responses"].as_array().unwrap().clone();
            assert_eq!(responses.len(), size);
            for (i, response) in picks.iter().zip(responses) {
                assert_eq!(told(response), expected[*i], "{size}: {}", questions[*i]);
            }
        }
    }
}

/// Two questions that differ in one thing must not share an answer: each is asked after the cache is warm
/// with the first, and answered as a sidecar without a cache answers it.
#[test]
fn every_part_of_a_question_counts() {
    let policies = json!({
        "p": r#"permit (principal == User::"p", action == Action::"a", resource == File::"r") when { context == {"x": 1, "s": "1", "set": [1, 2], "rec": {"k": "v"}} };"#,
        "attr": r#"permit (principal, action, resource) when { principal has vip && principal.vip };"#,
        "in": r#"permit (principal in Group::"g", action, resource);"#,
    });
    let put = json!({ "policies": policies, "entities": [] }).to_string();
    let settings =
        |cache: bool| json!({ "cache": { "enabled": cache }, "authzen": { "overlay": { "default": "override" } } });
    let (cached, plain) = (tiny(settings(true)), tiny(settings(false)));
    for server in [&cached, &plain] {
        assert_eq!(server.admin().put("/v1/bundle", &put).status, 200);
    }
    let base = json!({
        "principal": "User::\"p\"", "action": "Action::\"a\"", "resource": "File::\"r\"",
        "context": { "x": 1, "s": "1", "set": [1, 2], "rec": { "k": "v" } },
    });
    let vip = json!([{ "uid": { "type": "User", "id": "p" }, "attrs": { "vip": true }, "parents": [] }]);
    let member =
        json!([{ "uid": { "type": "User", "id": "p" }, "attrs": {}, "parents": [{ "type": "Group", "id": "g" }] }]);
    let with = |pointer: &str, value: Value| {
        let mut changed = base.clone();
        match changed.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => changed[&pointer[1..]] = value,
        }
        changed
    };
    let (mut warm, mut cold) = (cached.client(), plain.client());
    let mut distinct = std::collections::HashSet::new();
    for changed in [
        base.clone(),
        with("/principal", json!("User::\"P\"")),
        with("/principal", json!("Admin::\"p\"")),
        with("/principal", json!("User::\"p \"")),
        with("/principal", json!("User::\"p\\0\"")),
        with("/action", json!("Action::\"A\"")),
        with("/action", json!("Other::Action::\"a\"")),
        with("/resource", json!("File::\"\"")),
        with("/context", json!({})),
        with("/context/x", json!(2)),
        with("/context/x", json!("1")),
        with("/context/x", json!(true)),
        with("/context/x", json!([1])),
        with("/context/s", json!(1)),
        with("/context/s", json!("1\0")),
        with("/context/set", json!([1])),
        with("/context/set", json!([1, 2, 3])),
        with("/context/set", json!([[1, 2]])),
        with("/context/rec", json!({})),
        with("/context/rec/k", json!("")),
        with("/context/rec", json!({ "k": "v", "l": 1 })),
        with("/context/rec", json!({ "kv": "" })),
        with("/entities", json!([])),
        with("/entities", vip.clone()),
        with("/entities", member.clone()),
        with("/additional_entities", json!([])),
        with("/additional_entities", vip),
        with("/additional_entities", member),
    ] {
        single(&mut warm, &base);
        let expected = single(&mut cold, &changed);
        for _ in 0..2 {
            assert_eq!(single(&mut warm, &changed), expected, "{changed}");
        }
        assert_eq!(single(&mut warm, &base)["diagnostics"]["reason"], json!(["p"]));
        distinct.insert(expected.to_string());
    }
    assert!(distinct.len() >= 4, "the cases must be able to differ: {distinct:?}");

    // what AuthZEN lays over entities is part of the question
    let evaluation = |properties: Value| json!({ "subject": { "type": "User", "id": "p", "properties": properties }, "action": { "name": "b" }, "resource": { "type": "File", "id": "r" } });
    for properties in [
        json!({}),
        json!({ "vip": true }),
        json!({ "vip": false }),
        json!({ "vip": "true" }),
        json!({ "other": true }),
        json!({ "vip": true }),
    ] {
        let body = evaluation(properties).to_string();
        let answers = [&cached, &cached, &plain].map(|server| {
            let answer = server.client().post("/access/v1/evaluation", &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let mut answer = answer.json();
            answer["context"].as_object_mut().map(|context| context.remove("revision"));
            answer
        });
        assert_eq!(answers[0], answers[2], "{body}");
        assert_eq!(answers[1], answers[2], "{body}");
        assert_eq!(answers[0]["decision"], json!(body.contains(r#""vip":true"#)), "{body}");
    }
}

#[test]
fn what_another_bundle_decides_is_never_served() {
    let server = tiny(json!({}));
    let mut client = server.client();
    let permit = json!({ "policies": { "x": "permit (principal, action, resource);" } }).to_string();
    let forbid = json!({ "policies": { "x": "forbid (principal, action, resource);" } }).to_string();
    for n in 0..40 {
        let (bundle, decision) = if n % 2 == 0 { (&permit, "Allow") } else { (&forbid, "Deny") };
        assert_eq!(server.admin().put("/v1/bundle", bundle).status, 200);
        for _ in 0..2 {
            assert_eq!(client.post("/v1/is_authorized", ask("anyone")).json()["decision"], decision, "{n}");
        }
    }
    assert_eq!(counts(&server.services.metrics), (40, 40));
}

#[test]
fn errors_are_not_cached() {
    let server = tiny(json!({}));
    let mut client = server.client();
    for _ in 0..5 {
        let answer = client.post("/v1/is_authorized", ask_with("alice", &json!({ "x": 1.5 })));
        assert_eq!(answer.status, 400);
    }
    let (hits, _) = counts(&server.services.metrics);
    assert_eq!(hits, 0);
    // clients that leave before their answer leave nothing wrong behind
    let raw = crate::support::raw::post("/v1/is_authorized", "gone", &ask("alice"));
    for cut in (60..raw.len()).step_by(3) {
        use std::io::Write;
        let mut stream = crate::support::http::connect(server.decisions);
        stream.write_all(&raw.as_bytes()[..cut]).unwrap();
    }
    assert_eq!(client.post("/v1/is_authorized", ask("alice")).json()["decision"], "Allow");
    // a decision in which a policy failed is a decision, with its errors each time
    let failing = ask_with("bob", &json!({ "address": "nonsense" }));
    let first = client.post("/v1/is_authorized", &failing).json();
    assert_eq!(first["diagnostics"]["errors"][0]["policyId"], "address");
    assert_eq!(client.post("/v1/is_authorized", &failing).json(), first);
}

#[test]
fn what_depends_on_the_clock_is_not_kept() {
    let server = Server::start(json!({}));
    let entity = |name: &str| json!({ "uid": { "type": name, "id": "x" }, "attrs": {}, "parents": [] });
    let put = json!({
        "policies": {
            "timed": r#"permit (principal, action == Action::"timed", resource) when { context.now < datetime("2999-01-01") };"#,
            "untimed": r#"permit (principal, action == Action::"untimed", resource);"#,
        },
        "schema": r#"
            entity User, File;
            action timed, untimed appliesTo { principal: User, resource: File, context: { now: datetime } };
        "#,
        "entities": [entity("User"), entity("File")],
    });
    let put = server.admin().put("/v1/bundle", put.to_string());
    assert_eq!(put.status, 200, "{}", put.text());
    let metrics = &server.services.metrics;
    let mut client = server.client();
    let mut hits = |action: &str, context: Value| {
        let before = metrics.cache_hits.get();
        let question = json!({ "principal": "User::\"x\"", "action": format!("Action::\"{action}\""), "resource": "File::\"x\"", "context": context });
        for _ in 0..4 {
            let answer = single(&mut client, &question);
            assert_eq!((&answer["decision"], &answer["diagnostics"]["reason"]), (&json!("Allow"), &json!([action])));
        }
        metrics.cache_hits.get() - before
    };
    let at = |time: &str| json!({ "now": { "__extn": { "fn": "datetime", "arg": time } } });
    assert_eq!(hits("timed", json!({})), 0, "a decision by a filled-in time was kept");
    assert_eq!(hits("timed", at("2026-11-21T12:00:00Z")), 3, "a time that was sent is a part of the question");
    assert_eq!(hits("timed", at("2026-11-21T12:00:01Z")), 3, "another time is another question");
    assert_eq!(hits("timed", json!({})), 0);
    // an engine may know that the time was not looked at; then the decision holds for ever
    assert!(matches!(hits("untimed", json!({})), 0 | 3));
}

#[test]
fn requests_that_bring_entities_stay_out_of_the_cache() {
    let server = tiny(json!({}));
    let mut client = server.client();
    let carrying = ask("alice").replacen('{', r#"{"additional_entities":[],"#, 1);
    for _ in 0..3 {
        assert_eq!(client.post("/v1/is_authorized", &carrying).json()["decision"], "Allow");
    }
    assert_eq!(counts(&server.services.metrics), (0, 0));
}

#[test]
fn the_cache_stays_within_its_bytes() {
    const BYTES: u64 = 1 << 20;
    let server = tiny(json!({ "cache": { "max_bytes": BYTES } }));
    let mut client = server.client();
    for n in 0..400 {
        // keys of very different sizes, and one that only just fits alone
        let padding = "x".repeat(if n == 200 { 900_000 } else { 1_000 * (n % 40) });
        let answer = client.post("/v1/is_authorized", ask_with("alice", &json!({ "n": n, "padding": padding })));
        assert_eq!(answer.json()["decision"], "Allow");
    }
    server.until("within its bytes", |server| {
        let scrape = server.admin().get("/metrics").text();
        crate::support::metric(&scrape, "palisade_cache_bytes") <= BYTES as f64
    });
    assert_eq!(client.post("/v1/is_authorized", ask("alice")).json()["decision"], "Allow");
}

#[test]
fn many_threads_ask_one_question_after_each_reload() {
    let server = tiny(json!({}));
    for n in 0..20 {
        let mut bundle = bundle();
        let name = format!("round{n}");
        bundle["policies"][&name] = json!("permit (principal, action, resource);");
        let put = server.admin().put("/v1/bundle", bundle.to_string()).json();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = server.client();
                    for _ in 0..5 {
                        let answer = client.post("/v1/is_authorized", ask("bob")).json();
                        assert_eq!(
                            (&answer["revision"], &answer["diagnostics"]["reason"]),
                            (&put["revision"], &json!([name])),
                            "{answer}"
                        );
                    }
                });
            }
        });
    }
    let (hits, misses) = counts(&server.services.metrics);
    assert_eq!(hits + misses, 20 * 40);
    assert!(misses <= 20 * 8, "{misses} misses");
}
