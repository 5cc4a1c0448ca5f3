//! AuthZEN 1.0: the certification scenario (Basic and Batch, Core and Properties, Discovery).

use serde_json::{Value, json};

use crate::support::{Client, Response, Server};

pub(crate) const ONE: &str = "/access/v1/evaluation";
pub(crate) const MANY: &str = "/access/v1/evaluations";
const METADATA: &str = "/.well-known/authzen-configuration";

/// The certification's fixture under the configuration that stands beside it.
fn certified() -> Server {
    let path = Server::project("tests/it/fixtures/authzen/palisade.yaml");
    Server::ready(serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn alice() -> Value {
    json!({ "type": "user", "id": "alice" })
}

fn bob() -> Value {
    json!({ "type": "user", "id": "bob" })
}

fn record(id: &str) -> Value {
    json!({ "type": "record", "id": id })
}

pub(crate) fn with(mut entity: Value, properties: Value) -> Value {
    entity["properties"] = properties;
    entity
}

fn evaluation(subject: Value, action: &str, resource: Value) -> Value {
    json!({ "subject": subject, "action": { "name": action }, "resource": resource })
}

fn alice_reads() -> Value {
    evaluation(alice(), "read", record("record-1"))
}

#[track_caller]
pub(crate) fn decides(client: &mut Client, body: &Value) -> Value {
    let answer = client.post(ONE, body.to_string());
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    let answer = answer.json();
    assert!(answer["decision"].is_boolean(), "{answer}");
    assert!(answer.get("context").is_none_or(Value::is_object), "{answer}");
    answer
}

#[track_caller]
fn decisions(answer: &Response) -> Vec<bool> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert!(body.get("decision").is_none(), "{body}");
    body["evaluations"].as_array().unwrap().iter().map(|item| item["decision"].as_bool().unwrap()).collect()
}

#[track_caller]
fn refused(answer: &Response, code: &str, pointer: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!((&body["code"], body["where"].as_str().unwrap_or_default()), (&json!(code), pointer), "{body}");
}

// ---- Basic

#[test]
fn the_eight_decisions() {
    let server = certified();
    let mut client = server.client();
    let archived = || with(record("record-2"), json!({ "status": "archived" }));
    let admin = json!({ "role": "admin" });
    let delete = |soft: bool| {
        let mut body = evaluation(alice(), "delete", record("record-1"));
        body["action"]["properties"] = json!({ "soft": soft });
        body
    };
    for (rule, body, expected) in [
        ("1", alice_reads(), true),
        ("2", evaluation(alice(), "write", record("record-1")), true),
        ("3", evaluation(bob(), "read", record("record-1")), true),
        ("4", evaluation(bob(), "write", record("record-1")), false),
        ("5", evaluation(alice(), "write", archived()), false),
        (
            "5, not by id",
            evaluation(alice(), "write", with(record("record-1"), json!({ "status": "archived" }))),
            false,
        ),
        ("6", evaluation(with(bob(), admin.clone()), "write", archived()), true),
        ("6, not by id", evaluation(with(alice(), admin), "write", archived()), true),
        ("7", delete(true), true),
        ("8", delete(false), false),
        ("8, unsaid", evaluation(alice(), "delete", record("record-1")), false),
    ] {
        // the same answer every time
        for _ in 0..3 {
            assert_eq!(decides(&mut client, &body)["decision"], expected, "rule {rule}");
        }
        // with context or without
        let mut body = body;
        body["context"] = json!({ "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" });
        let answer = decides(&mut client, &body);
        assert_eq!(answer["decision"], expected, "rule {rule} with context");
        assert_eq!(answer["context"]["ignored"], json!(["context.time", "context.ip"]), "rule {rule}");
    }
}

#[test]
fn what_a_request_may_carry_besides() {
    let server = certified();
    let mut client = server.client();
    let rich = json!({
        "subject": with(alice(), json!({ "department": "Sales", "role": "manager" })),
        "action": { "name": "read", "properties": { "method": "GET" } },
        "resource": with(record("record-1"), json!({ "status": "active", "owner": "bob" })),
    });
    let answer = decides(&mut client, &rich);
    assert_eq!(answer["decision"], true);
    assert_eq!(
        answer["context"]["ignored"],
        json!(["action.properties", "subject.properties.department", "resource.properties.owner"])
    );

    let mut unknown = alice_reads();
    unknown["foo"] = json!("bar");
    unknown["futureField"] = json!({ "nested": true });
    for member in ["subject", "action", "resource"] {
        unknown[member]["future"] = json!([1.5, null]);
    }
    let answer = decides(&mut client, &unknown);
    assert_eq!(answer["decision"], true);
    assert_eq!(answer["context"].get("ignored"), None);

    for (member, value) in [("subject", json!({})), ("resource", Value::Null)] {
        let mut body = alice_reads();
        body[member]["properties"] = value;
        assert_eq!(decides(&mut client, &body)["decision"], true, "{body}");
    }
    let typed = client.send(
        "POST",
        ONE,
        &[("content-type", "Application/JSON; charset=utf-8")],
        alice_reads().to_string().as_bytes(),
    );
    assert_eq!(typed.json()["decision"], true);
}

#[test]
fn bad_requests_are_400() {
    let server = certified();
    let mut client = server.client();
    let without = |pointer: &str| {
        let mut body = alice_reads();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member);
        body
    };
    for endpoint in [ONE, MANY] {
        for pointer in [
            "/subject",
            "/action",
            "/resource",
            "/subject/type",
            "/subject/id",
            "/action/name",
            "/resource/type",
            "/resource/id",
        ] {
            refused(&client.post(endpoint, without(pointer).to_string()), "missing_member", pointer);
        }
        for (pointer, value) in [
            ("/subject", json!("alice")),
            ("/subject", json!(null)),
            ("/subject", json!([alice()])),
            ("/action", json!("read")),
            ("/resource", json!(7)),
            ("/subject/type", json!(null)),
            ("/subject/id", json!(1)),
            ("/action/name", json!(123)),
            ("/action/name", json!({})),
            ("/resource/type", json!([])),
            ("/resource/id", json!(true)),
            ("/subject/properties", json!("role")),
            ("/action/properties", json!([])),
            ("/resource/properties", json!(1)),
            ("/context", json!("ctx")),
            ("/context", json!([])),
            ("/context", json!(null)),
        ] {
            let mut body = alice_reads();
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[member] = value;
            refused(&client.post(endpoint, body.to_string()), "invalid_member", pointer);
        }
        for body in ["[]", "7", "null", "\"x\""] {
            refused(&client.post(endpoint, body), "invalid_member", "");
        }
        for body in ["", " \n", "{", "{\"subject\":", "not json", "{}x", "{'a':1}", "\u{feff}{}"] {
            refused(&client.post(endpoint, body), "malformed_json", "");
        }
        refused(&client.post(endpoint, b"{\"a\":\"\xff\"}"), "malformed_json", "");

        let body = alice_reads().to_string();
        for headers in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/xml")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[("content-type", "application/jsonp")],
            &[("content-type", "")],
        ] {
            refused(&client.send("POST", endpoint, headers, body.as_bytes()), "wrong_content_type", "");
        }
        let get = client.get(endpoint);
        assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    }
}

#[test]
fn duplicate_keys_are_refused() {
    let server = certified();
    let mut client = server.client();
    let (subject, action, resource) = (alice(), json!({ "name": "read" }), record("record-1"));
    for body in [
        format!(r#"{{"subject":{subject},"subject":{},"action":{action},"resource":{resource}}}"#, bob()),
        format!(r#"{{"subject":{{"type":"user","id":"bob","id":"alice"}},"action":{action},"resource":{resource}}}"#),
        format!(
            r#"{{"subject":{subject},"action":{action},"resource":{resource},"context":{{"a":{{"b":1,"\u0062":2}}}}}}"#
        ),
        format!(r#"{{"subject":{subject},"action":{action},"resource":{resource},"unknown":{{"x":1,"x":1}}}}"#),
        format!(
            r#"{{"subject":{subject},"action":{action},"evaluations":[{{"resource":{resource}}},{{"resource":{resource},"resource":{resource}}}]}}"#
        ),
    ] {
        for endpoint in [ONE, MANY] {
            let answer = client.post(endpoint, &body);
            refused(&answer, "malformed_json", "");
            assert!(answer.text().contains("duplicate key"), "{}", answer.text());
        }
    }
}

#[test]
fn the_request_id_comes_back() {
    let server = certified();
    let mut client = server.client();
    let json = ("content-type", "application/json");
    let good = alice_reads().to_string();
    for (path, headers, body, status) in [
        (ONE, vec![json], good.as_str(), 200),
        (ONE, vec![json], "{", 400),
        (ONE, vec![], good.as_str(), 400),
        (MANY, vec![json], "{}", 400),
        (MANY, vec![json], good.as_str(), 200),
        ("/access/v1/nothing", vec![json], good.as_str(), 404),
    ] {
        for id in ["bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "a", "weird {id}; with=\"all\" sorts", "a,b"] {
            let mut headers = headers.clone();
            headers.push(("x-request-id", id));
            let answer = client.send("POST", path, &headers, body.as_bytes());
            assert_eq!((answer.status, answer.header("x-request-id")), (status, Some(id)), "{path} {body}");
        }
    }
    let absent = client.post(ONE, &good);
    assert_eq!(absent.status, 200);
    assert!(absent.header("x-request-id").is_some_and(|id| !id.is_empty()));
}

// ---- Batch

#[test]
fn batches() {
    let server = certified();
    let mut client = server.client();
    let read = || json!({ "name": "read" });
    let write = || json!({ "name": "write" });
    let (r1, r2) = (|| json!({ "resource": record("record-1") }), || json!({ "resource": record("record-2") }));
    let active = || with(record("record-1"), json!({ "status": "active" }));
    let archived = || with(record("record-2"), json!({ "status": "archived" }));
    for (what, body, expected) in [
        ("defaults", json!({ "subject": alice(), "action": read(), "evaluations": [r1(), r2()] }), vec![true, true]),
        (
            "order",
            json!({ "subject": bob(), "resource": record("record-1"), "evaluations": [{ "action": read() }, { "action": write() }] }),
            vec![true, false],
        ),
        (
            "no defaults",
            json!({ "evaluations": [alice_reads(), evaluation(bob(), "write", record("record-1"))] }),
            vec![true, false],
        ),
        (
            "inherited context",
            json!({
                "subject": alice(), "action": read(), "context": { "time": "2025-06-27T18:03-07:00" },
                "evaluations": [r1(), { "resource": record("record-2"), "context": { "time": "2025-06-27T19:00-07:00", "source": "batch-override" } }],
            }),
            vec![true, true],
        ),
        (
            "properties of each resource",
            json!({ "subject": alice(), "action": write(), "evaluations": [{ "resource": active() }, { "resource": archived() }] }),
            vec![true, false],
        ),
        (
            "properties of each subject",
            json!({
                "action": write(), "resource": archived(),
                "evaluations": [{ "subject": alice() }, { "subject": with(bob(), json!({ "role": "admin" })) }, { "subject": with(alice(), json!({ "role": "admin" })) }],
            }),
            vec![false, true, true],
        ),
        (
            "properties of each action",
            json!({
                "subject": alice(), "resource": record("record-1"), "action": { "name": "delete", "properties": { "soft": true } },
                "evaluations": [{}, { "action": { "name": "delete", "properties": { "soft": false } } }, { "action": { "name": "delete" } }],
            }),
            vec![true, false, false],
        ),
        (
            "nothing of their own",
            json!({ "subject": alice(), "action": read(), "resource": record("record-1"), "evaluations": [{}, {}, {}] }),
            vec![true, true, true],
        ),
        (
            "an entity replaces the default whole, its properties too",
            json!({ "subject": with(alice(), json!({ "role": "admin" })), "action": write(), "resource": archived(), "evaluations": [{}, { "subject": alice() }] }),
            vec![true, false],
        ),
        ("many", json!({ "subject": bob(), "action": read(), "evaluations": vec![r1(); 500] }), vec![true; 500]),
    ] {
        assert_eq!(decisions(&client.post(MANY, body.to_string())), expected, "{what}");
    }
}

#[test]
fn an_item_fails_alone() {
    let server = certified();
    let mut client = server.client();
    let mut body = json!({ "subject": alice(), "action": { "name": "read" }, "evaluations": [{ "resource": record("record-1") }] });
    let bad: &[(Value, &str, &str)] = &[
        (json!({}), "missing_member", "/resource"),
        (json!({ "resource": {} }), "missing_member", "/resource/type"),
        (json!({ "resource": { "id": "record-1" } }), "missing_member", "/resource/type"),
        (json!({ "resource": { "type": "record" } }), "missing_member", "/resource/id"),
        (json!({ "resource": "record-1" }), "invalid_member", "/resource"),
        (
            json!({ "resource": record("record-1"), "subject": { "type": 1, "id": "alice" } }),
            "invalid_member",
            "/subject/type",
        ),
        (json!({ "resource": record("record-1"), "context": 1 }), "invalid_member", "/context"),
        (json!("record-1"), "invalid_member", ""),
        (json!(null), "invalid_member", ""),
        (json!({ "resource": record("record-1"), "action": { "name": "fly" } }), "unknown_action", "/action/name"),
        (json!({ "resource": { "type": "re cord", "id": "1" } }), "invalid_uid", "/resource/type"),
        (json!({ "resource": { "type": "spaceship", "id": "1" } }), "unknown_type", "/resource"),
        (json!({ "resource": { "type": "user", "id": "bob" } }), "action_does_not_apply", "/resource"),
    ];
    for (item, _, _) in bad {
        body["evaluations"].as_array_mut().unwrap().push(item.clone());
    }
    body["evaluations"].as_array_mut().unwrap().push(json!({ "resource": record("record-2") }));
    let answer = client.post(MANY, body.to_string());
    let mut expected = vec![false; bad.len() + 2];
    expected[0] = true;
    expected[bad.len() + 1] = true;
    assert_eq!(decisions(&answer), expected);
    for (i, (item, code, pointer)) in bad.iter().enumerate() {
        let error = &answer.json()["evaluations"][i + 1]["context"]["error"];
        let place = format!("/evaluations/{}{pointer}", i + 1);
        assert_eq!((&error["code"], &error["where"]), (&json!(code), &json!(place)), "{item}: {error}");
        assert_eq!(error["status"], 400, "{error}");
        assert!(error["message"].is_string(), "{error}");
    }
}

#[test]
fn semantics_of_batches() {
    let server = certified();
    let mut client = server.client();
    let (permit, deny, error) = (
        json!({ "action": { "name": "read" } }),
        json!({ "action": { "name": "write" } }),
        json!({ "action": { "name": "fly" } }),
    );
    for (semantic, items, expected) in [
        ("execute_all", vec![&permit, &deny, &permit, &error], vec![true, false, true, false]),
        ("deny_on_first_deny", vec![&permit, &permit, &deny, &permit], vec![true, true, false]),
        ("deny_on_first_deny", vec![&deny, &permit], vec![false]),
        ("deny_on_first_deny", vec![&permit, &error, &permit], vec![true, false]),
        ("deny_on_first_deny", vec![&permit, &permit], vec![true, true]),
        ("permit_on_first_permit", vec![&deny, &permit, &deny], vec![false, true]),
        ("permit_on_first_permit", vec![&error, &permit, &permit], vec![false, true]),
        ("permit_on_first_permit", vec![&permit, &deny], vec![true]),
        ("permit_on_first_permit", vec![&deny, &error, &deny], vec![false, false, false]),
    ] {
        let body = json!({
            "subject": bob(), "resource": record("record-1"), "evaluations": items,
            "options": { "evaluations_semantic": semantic, "another": { "option": 1 } },
        });
        assert_eq!(decisions(&client.post(MANY, body.to_string())), expected, "{semantic} {body}");
    }
    let default =
        json!({ "subject": bob(), "resource": record("record-1"), "evaluations": [deny, permit], "options": {} });
    assert_eq!(decisions(&client.post(MANY, default.to_string())), [false, true]);

    for (options, pointer) in [
        (json!({ "evaluations_semantic": "first_come" }), "/options/evaluations_semantic"),
        (json!({ "evaluations_semantic": "EXECUTE_ALL" }), "/options/evaluations_semantic"),
        (json!({ "evaluations_semantic": null }), "/options/evaluations_semantic"),
        (json!({ "evaluations_semantic": ["execute_all"] }), "/options/evaluations_semantic"),
        (json!("execute_all"), "/options"),
    ] {
        let body = json!({ "subject": bob(), "resource": record("record-1"), "evaluations": [{ "action": { "name": "read" } }], "options": options });
        refused(&client.post(MANY, body.to_string()), "invalid_member", pointer);
    }
}

#[test]
fn a_batch_without_items_is_a_single_evaluation() {
    let server = certified();
    let mut client = server.client();
    for evaluations in [None, Some(json!([]))] {
        for (mut body, expected) in [(alice_reads(), true), (evaluation(bob(), "write", record("record-1")), false)] {
            if let Some(list) = &evaluations {
                body["evaluations"] = list.clone();
            }
            let answer = client.post(MANY, body.to_string());
            assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!(expected)), "{}", answer.text());
            assert_eq!(answer.json().get("evaluations"), None);
        }
    }
    for (evaluations, status) in [(json!({}), 400), (json!("all"), 400), (json!(null), 400)] {
        let mut body = alice_reads();
        body["evaluations"] = evaluations;
        assert_eq!(client.post(MANY, body.to_string()).status, status, "{body}");
    }
}

#[test]
fn batches_are_bounded() {
    let server = Server::ready(json!({
        "policies": Server::project("tests/it/fixtures/authzen/policies"), "entities": Server::project("tests/it/fixtures/authzen/entities"),
        "authzen": { "namespace": "Cert", "types": { "user": "User", "record": "Record" } }, "http": { "max_batch": 3 },
    }));
    let mut client = server.client();
    let body = |n: usize| json!({ "subject": alice(), "action": { "name": "read" }, "resource": record("record-1"), "evaluations": vec![json!({}); n] });
    assert_eq!(decisions(&client.post(MANY, body(3).to_string())).len(), 3);
    refused(&client.post(MANY, body(4).to_string()), "batch_too_large", "");
}

// ---- Discovery

#[test]
fn the_metadata_names_the_configured_url() {
    let server = certified();
    let mut client = server.client();
    for headers in [
        &[][..],
        &[("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example"), ("x-forwarded-proto", "http")],
    ] {
        let answer = client.send("GET", METADATA, headers, b"");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(
            answer.json(),
            json!({
                "policy_decision_point": "https://pdp.example.com",
                "access_evaluation_endpoint": "https://pdp.example.com/access/v1/evaluation",
                "access_evaluations_endpoint": "https://pdp.example.com/access/v1/evaluations",
            })
        );
    }
    // a forged Host, in the one place a client can put it that proxies pass on
    let mut stream = crate::support::http::connect(server.decisions);
    use std::io::{BufReader, Write};
    write!(stream, "GET {METADATA} HTTP/1.1\r\nhost: evil.example\r\n\r\n").unwrap();
    let answer = crate::support::http::read_response(&mut BufReader::new(stream), false).unwrap();
    assert_eq!(answer.json()["policy_decision_point"], "https://pdp.example.com");
    assert!(!answer.text().contains("evil"));

    let bare = Server::start(json!({}));
    let answer = bare.client().get(METADATA);
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("no_base_url")));
}

#[test]
fn before_the_first_bundle_there_are_errors_and_no_decisions() {
    let server = Server::start(json!({}));
    let mut client = server.client();
    let batch = json!({ "subject": alice(), "action": { "name": "read" }, "evaluations": [{ "resource": record("record-1") }] });
    for (endpoint, body) in [(ONE, alice_reads()), (MANY, alice_reads()), (MANY, batch)] {
        let answer = client.post(endpoint, body.to_string());
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("not_ready")));
        assert_eq!(answer.json().get("decision"), None);
    }
    refused(&client.post(ONE, "{}"), "missing_member", "/subject");
}
