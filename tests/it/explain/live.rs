//! Coverage by live traffic: decisions are counted off the hot path, and `GET /v1/coverage` shows what they saw.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Server;

const SCHEMA: &str = "entity User = { ok: Bool }; entity Doc; entity Flag = { on: Bool };
    action view, edit appliesTo { principal: [User], resource: [Doc], context: { mfa: Bool } };";

const POLICIES: &str = r#"
@id("seen") permit (principal, action == Action::"view", resource) when { principal.ok && context.mfa };
@id("never") permit (principal == User::"nobody", action, resource) unless { context.mfa };
@id("linked") forbid (principal == ?principal, action, resource);
"#;

fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let entity =
        |ty: &str, id: &str, attrs: Value| json!({"uid": {"type": ty, "id": id}, "attrs": attrs, "parents": []});
    let entities = json!([
        entity("User", "ann", json!({"ok": true})),
        entity("User", "bob", json!({"ok": false})),
        entity("Doc", "d", json!({})),
    ]);
    for (name, text) in [
        ("policies/p.cedar", POLICIES),
        ("policies/s.cedarschema", SCHEMA),
        ("policies/l.links.yaml", "- {template: linked, principal: 'User::\"bob\"'}\n"),
        ("entities/e.json", &entities.to_string()),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn server(dir: &tempfile::TempDir, sample: u32) -> Server {
    Server::ready(json!({
        "policies": dir.path().join("policies"),
        "entities": dir.path().join("entities"),
        "coverage": {"sample": sample},
    }))
}

#[test]
fn what_live_decisions_see_is_counted() {
    let dir = dir();
    let server = server(&dir, 1);
    let ask = |who: &str, mfa: bool| {
        let body = json!({"principal": {"type": "User", "id": who}, "action": {"type": "Action", "id": "view"},
            "resource": {"type": "Doc", "id": "d"}, "context": {"mfa": mfa}});
        let answer = server.client().send(
            "POST",
            "/v1/is_authorized",
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    // each rests a while: what comes too fast is dropped
    let covered = loop {
        for (who, mfa) in [("ann", true), ("ann", false), ("bob", true)] {
            ask(who, mfa);
            std::thread::sleep(Duration::from_millis(50));
        }
        let covered = server.admin().get("/v1/coverage").json();
        let all = covered["outcomes"].clone();
        if all["seen"].as_u64() >= Some(6) {
            break covered;
        }
        assert!(Instant::now() < deadline, "{covered:#}");
    };
    assert_eq!((&covered["sample"], &covered["outcomes"]), (&json!(1), &json!({"seen": 6, "all": 9})), "{covered:#}");
    let policy = |id: &str| covered["policies"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone();
    let seen = policy("seen");
    assert!(seen["in_scope"].as_u64() > Some(0) && seen["line"] == 2, "{seen:#}");
    let texts: Vec<&str> = seen["parts"].as_array().unwrap().iter().filter_map(|part| part["text"].as_str()).collect();
    assert_eq!(texts, ["principal.ok", "context.mfa"]);
    for part in seen["parts"].as_array().unwrap() {
        assert!(part["held"].as_u64() > Some(0) && part["not"].as_u64() > Some(0) && part["failed"] == 0, "{part:#}");
    }
    assert_eq!((&policy("never")["in_scope"], &policy("never")["parts"][0]["held"]), (&json!(0), &json!(0)));
    assert!(policy("linked")["in_scope"].as_u64() > Some(0), "a link counts for its template");
    let metrics = server.admin().get("/metrics").text();
    let counted =
        metrics.lines().find_map(|line| line.strip_prefix("palisade_coverage_samples_total{result=\"counted\"} "));
    assert!(counted.and_then(|count| count.parse::<u64>().ok()) >= covered["decisions"].as_u64(), "{metrics}");
}

#[test]
fn without_a_sample_there_is_no_coverage() {
    let dir = dir();
    let answer = server(&dir, 0).admin().get("/v1/coverage");
    assert_eq!((answer.status, answer.json()["code"].clone()), (404, json!("coverage_off")), "{}", answer.text());
}
