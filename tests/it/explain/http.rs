//! Over HTTP: the admin listener explains everything, the decision listener what `explain.decisions` allows.

use serde_json::{Value, json};

use crate::support::{Server, fleet};

fn denied() -> Value {
    json!({
        "principal": r#"Fleet::User::"u-dk-fda-dm""#,
        "action": r#"Fleet::Action::"ViewDevice""#,
        "resource": r#"Fleet::Device::"d-hq""#,
        "context": {"now": "2026-11-21T12:00:00Z", "auth": {"method": "password", "mfa": false}},
    })
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

fn server(flags: &[(&str, Value)]) -> Server {
    let mut settings = fleet();
    for (key, value) in flags {
        settings[*key] = value.clone();
    }
    Server::ready(settings)
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[test]
fn the_decision_listener_shows_what_it_may() {
    for (mode, shown) in [("off", "unavailable"), ("ids", "kind"), ("full", "changes")] {
        let server = server(&[("explain", json!({"decisions": mode}))]);
        let ask = |body: Value| server.client().send("POST", "/v1/is_authorized", JSON, body.to_string().as_bytes());
        let answer = ask(with(denied(), "explain", json!(true))).json();
        assert_eq!(
            (&answer["decision"], answer["explanation"].get(shown).is_some()),
            (&json!("Deny"), true),
            "{answer}"
        );
        // nothing of entities, nor of what policies say
        let text = answer.to_string();
        assert_eq!(text.contains("principal.customer"), mode == "full", "{text}");
        assert_eq!(text.contains(r#"Fleet::Customer::"#), mode == "full", "{text}");
        for plain in [denied(), with(denied(), "explain", json!(false)), with(denied(), "explain", Value::Null)] {
            assert!(ask(plain).json().get("explanation").is_none());
        }
        let wrong = ask(with(denied(), "explain", json!("yes")));
        assert_eq!((wrong.status, wrong.json()["where"].clone()), (400, json!("/explain")));
    }
}

#[test]
fn the_admin_listener_explains_at_the_revision_that_serves() {
    let server = server(&[]);
    let ask = |body: Value| server.admin().send("POST", "/v1/explain", JSON, body.to_string().as_bytes());
    let answer = ask(denied());
    let explained = answer.json();
    assert_eq!(answer.header("palisade-revision"), explained["revision"].as_str());
    assert_eq!(explained["kind"], "not_permitted");
    let first = &explained["policies"][0];
    assert_eq!(first["effect"], "permit", "{first:#}");
    assert!(first["file"].as_str().unwrap().ends_with(".cedar") && first["line"].is_u64(), "{first:#}");
    assert!(first["annotations"]["why"].is_string(), "{first:#}");
    // a rule of the data holds what he is in and what he names together: both change, or none
    let changes = explained["changes"].as_array().unwrap();
    assert!(!changes.is_empty(), "{explained:#}");
    for change in changes {
        assert!(change["words"].as_str().unwrap().starts_with("move "), "{change:#}");
        let edits: Vec<&Value> = change["with"].as_array().unwrap().iter().map(|edit| &edit["change"]).collect();
        assert_eq!(
            (&change["change"], edits),
            (&json!("set_attribute"), vec![&json!("remove_parent"), &json!("add_parent")])
        );
    }
    let own = with(denied(), "resource", json!(r#"Fleet::Device::"d-dk""#));
    let lacks = ask(with(own, "principal", json!(r#"Fleet::User::"u-dk-dm""#))).json();
    assert!(!lacks["changes"].as_array().unwrap().is_empty(), "{lacks:#}");
    let few = explained["policies"].as_array().unwrap().len();
    let all = ask(with(denied(), "all", json!(true))).json();
    assert!(few <= 10 && all["policies"].as_array().unwrap().len() >= few);
    for (body, status, code) in [
        (json!({}), 400, "missing_member"),
        (with(denied(), "all", json!(1)), 400, "invalid_member"),
        (with(denied(), "explain", json!(true)), 400, "unknown_member"),
        (with(denied(), "action", json!(r#"Fleet::Action::"Fly""#)), 400, "unknown_action"),
    ] {
        let answer = ask(body);
        assert_eq!((answer.status, answer.json()["code"].clone()), (status, json!(code)), "{}", answer.text());
    }
    // it is no decision
    let metrics = server.admin().get("/metrics").text();
    assert!(!metrics.contains(r#"palisade_decisions_total{decision="deny""#) || metrics.contains("} 0"), "{metrics}");
}

#[test]
fn the_decision_log_says_why_a_request_was_denied_where_it_should() {
    for (mode, member) in [("off", None), ("ids", Some("policies")), ("full", Some("changes"))] {
        let dir = tempfile::tempdir().unwrap();
        let sink = dir.path().join("decisions.jsonl");
        let log = json!({"sink": sink, "explain": mode, "mask": ["auth.method"]});
        let server = server(&[("decision_log", log)]);
        let allowed = with(denied(), "resource", json!(r#"Fleet::Device::"d-dk""#));
        // the second is answered from the cache, and the items of a batch are never explained
        for body in [denied(), denied(), allowed] {
            server.client().send("POST", "/v1/is_authorized", JSON, body.to_string().as_bytes());
        }
        let batch = json!({"requests": [denied(), denied()]}).to_string();
        server.client().send("POST", "/v1/is_authorized/batch", JSON, batch.as_bytes());
        let whole = || std::fs::read_to_string(&sink).unwrap_or_default();
        server.until("5 lines", |_| whole().lines().count() == 5);
        let lines: Vec<Value> = whole().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let decisions: Vec<&str> = lines.iter().map(|line| line["decision"].as_str().unwrap()).collect();
        assert_eq!(decisions, ["Deny", "Deny", "Allow", "Deny", "Deny"], "{lines:#?}");
        for (n, line) in lines.iter().enumerate() {
            let shown = line.get("explanation");
            let wanted = member.filter(|_| n < 2);
            assert_eq!(shown.is_some(), wanted.is_some(), "{mode} {n}: {line:#}");
            if let (Some(shown), Some(member)) = (shown, wanted) {
                assert!(shown["kind"] == "not_permitted" && shown.get(member).is_some(), "{line:#}");
            }
        }
        assert!(!whole().contains("password"), "{}", whole());
    }
}

#[test]
fn what_the_log_masks_is_masked_here() {
    let dir = tempfile::tempdir().unwrap();
    let sink = dir.path().join("decisions.jsonl");
    let server = server(&[("decision_log", json!({"sink": sink, "mask": ["auth.*"]}))]);
    let body = with(denied(), "action", json!(r#"Fleet::Action::"UpdateDevice""#));
    let body = with(
        body,
        "context",
        json!({"now": "2026-11-21T12:00:00Z", "auth": {"method": "a-secret-method", "mfa": false}}),
    );
    let answer =
        server.admin().send("POST", "/v1/explain", JSON, with(body, "all", json!(true)).to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains("a-secret-method"), "{}", answer.text());
    let shown = answer.json();
    assert!(shown.to_string().contains(r#""masked":true"#), "{shown:#}");
}
