//! The native API: `/v1/is_authorized` and its batch.

use serde_json::{Value, json};

use crate::support::{Client, Response, Server};

pub(crate) const ASK: &str = "/v1/is_authorized";
const BATCH: &str = "/v1/is_authorized/batch";

pub(crate) const SCHEMA: &str = r#"
namespace T {
  entity Group in [Group];
  entity User in [Group] = { "age": Long, "boss"?: User };
  entity Doc = { "owner"?: User };
  entity Color enum ["red", "green"];
  action read, paint appliesTo { principal: User, resource: [Doc, Color], context: {
    "now"?: datetime, "n"?: Long, "who"?: User, "whos"?: Set<User>, "deep"?: { "who": User }, "color"?: Color, "ip"?: ipaddr, "rate"?: decimal,
  } };
  action need appliesTo { principal: User, resource: Doc, context: { "n": Long } };
  action idle;
}
"#;

pub(crate) const POLICIES: &str = r#"
permit (principal in T::Group::"staff", action == T::Action::"read", resource);
forbid (principal, action == T::Action::"read", resource) when { context has n && context.n + 9223372036854775807 < 0 };
permit (principal, action == T::Action::"read", resource is T::Doc) when { resource has owner && resource.owner == principal };
permit (principal, action == T::Action::"need", resource) when { context.n * 9223372036854775807 > 0 };
permit (principal, action == T::Action::"need", resource) when { context.n > 0 };
permit (principal, action == T::Action::"paint", resource) when { context has now && context.now > datetime("2025-01-01") };
"#;

fn entities() -> Value {
    json!([
        { "uid": { "type": "T::Group", "id": "staff" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "T::Group", "id": "night" }, "attrs": {}, "parents": [{ "type": "T::Group", "id": "staff" }] },
        { "uid": { "type": "T::User", "id": "ann" }, "attrs": { "age": 40 }, "parents": [{ "type": "T::Group", "id": "night" }] },
        { "uid": { "type": "T::User", "id": "bo" }, "attrs": { "age": 20 }, "parents": [] },
        { "uid": { "type": "T::Doc", "id": "d" }, "attrs": {}, "parents": [] },
        { "uid": { "type": "T::Doc", "id": "bos" }, "attrs": { "owner": { "type": "T::User", "id": "bo" } }, "parents": [] },
    ])
}

pub(crate) fn bundle() -> Value {
    json!({ "policies": POLICIES, "schema": SCHEMA, "entities": entities() })
}

/// A server of the bundle above, with these configuration keys.
pub(crate) fn server(flags: Value) -> Server {
    let server = Server::start(flags);
    put(&server, &bundle());
    server
}

#[track_caller]
pub(crate) fn put(server: &Server, bundle: &Value) -> Value {
    let answer = server.admin().put("/v1/bundle", bundle.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("palisade-revision"), answer.json()["revision"].as_str());
    answer.json()
}

pub(crate) fn ask(principal: &str, action: &str, resource: &str, context: Value) -> Value {
    json!({ "principal": principal, "action": format!("T::Action::\"{action}\""), "resource": resource, "context": context })
}

/// Ann, of the staff, reads a document.
pub(crate) fn reads(context: Value) -> Value {
    ask(r#"T::User::"ann""#, "read", r#"T::Doc::"d""#, context)
}

pub(crate) fn also(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

#[track_caller]
pub(crate) fn decide(client: &mut Client, body: &Value) -> Value {
    let answer = client.post(ASK, body.to_string());
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json = answer.json();
    assert_eq!(answer.header("palisade-revision"), json["revision"].as_str());
    json
}

/// The decision, the ids of the reasons, and those of the policies that failed.
#[track_caller]
pub(crate) fn verdict(client: &mut Client, body: &Value) -> (String, Vec<String>, Vec<String>) {
    let answer = decide(client, body);
    let texts = |list: &Value, key: &dyn Fn(&Value) -> Value| {
        list.as_array().unwrap().iter().map(|item| key(item).as_str().unwrap().to_owned()).collect()
    };
    let diagnostics = &answer["diagnostics"];
    (
        answer["decision"].as_str().unwrap().to_owned(),
        texts(&diagnostics["reason"], &Value::clone),
        texts(&diagnostics["errors"], &|error| error["policyId"].clone()),
    )
}

#[track_caller]
pub(crate) fn refused(answer: &Response, status: u16, code: &str, pointer: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!((&body["code"], body["where"].as_str().unwrap_or_default()), (&json!(code), pointer), "{body}");
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
}

// ---- Decisions

#[test]
fn answers_have_exactly_the_documented_shape() {
    let server = server(json!({}));
    let mut client = server.client();
    let revision = server.admin().get("/v1/status").json()["revision"].clone();
    for (body, decision, diagnostics) in [
        (reads(json!({})), "Allow", json!({ "reason": ["policy0"], "errors": [] })),
        (ask(r#"T::User::"bo""#, "read", r#"T::Doc::"d""#, json!({})), "Deny", json!({ "reason": [], "errors": [] })),
        (
            ask(r#"T::User::"ann""#, "need", r#"T::Doc::"d""#, json!({ "n": 2 })),
            "Allow",
            json!({ "reason": ["policy4"], "errors": [{ "policyId": "policy3", "message": "integer overflow while attempting to multiply the values `2` and `9223372036854775807`" }] }),
        ),
        (
            reads(json!({ "n": 1 })),
            "Deny",
            json!({
                "reason": ["policy0"],
                "errors": [{ "policyId": "policy1", "message": "integer overflow while attempting to add the values `1` and `9223372036854775807`" }],
                "denied_by": { "rule": "forbid_error", "policyId": "policy1" },
            }),
        ),
        (
            ask(r#"T::User::"ghost""#, "read", r#"T::Doc::"d""#, json!({})),
            "Deny",
            json!({ "reason": [], "errors": [], "denied_by": { "rule": "unknown_entity", "entity": "T::User::\"ghost\"" } }),
        ),
    ] {
        // evaluated, and from the cache
        for _ in 0..2 {
            assert_eq!(
                decide(&mut client, &body),
                json!({ "decision": decision, "diagnostics": diagnostics, "revision": revision }),
                "{body}"
            );
        }
    }
}

#[test]
fn both_forms_of_uids() {
    let server = server(json!({}));
    let mut client = server.client();
    for principal in [
        json!("T::User::\"ann\""),
        json!("T::User::\"\\u{61}nn\""),
        json!("T::User::\"\\x61nn\""),
        json!({ "type": "T::User", "id": "ann" }),
        json!({ "id": "ann", "type": "T::User" }),
        json!({ "__entity": { "type": "T::User", "id": "ann" } }),
    ] {
        let body = also(reads(json!({})), "principal", principal);
        assert_eq!(verdict(&mut client, &body).0, "Allow", "{body}");
    }
    for absent in [json!(null), json!({})] {
        assert_eq!(verdict(&mut client, &reads(absent)).0, "Allow");
    }
    for body in
        [also(reads(json!({})), "entities", Value::Null), also(reads(json!({})), "additional_entities", Value::Null)]
    {
        assert_eq!(verdict(&mut client, &body).0, "Allow", "null is absent");
    }
}

#[test]
fn entities_replace_and_additional_entities_add() {
    let server = server(json!({}));
    let mut client = server.client();
    let user = |id: &str, parents: Value| json!({ "uid": { "type": "T::User", "id": id }, "attrs": { "age": 1 }, "parents": parents });
    let staff = json!({ "type": "T::Group", "id": "staff" });
    let doc = json!({ "uid": { "type": "T::Doc", "id": "d" }, "attrs": {}, "parents": [] });
    let new = r#"T::User::"new""#;
    for (what, body, expected) in [
        ("the store's Ann is gone", also(reads(json!({})), "entities", json!([])), "Deny"),
        ("a lesser Ann", also(reads(json!({})), "entities", json!([user("ann", json!([])), doc])), "Deny"),
        ("the same Ann", also(reads(json!({})), "entities", json!([user("ann", json!([staff])), doc])), "Allow"),
        ("nobody new yet", ask(new, "read", r#"T::Doc::"d""#, json!({})), "Deny"),
        (
            "a new user below a stored group",
            also(
                ask(new, "read", r#"T::Doc::"d""#, json!({})),
                "additional_entities",
                json!([user("new", json!([{ "type": "T::Group", "id": "night" }]))]),
            ),
            "Allow",
        ),
        (
            "the store is still there",
            also(reads(json!({})), "additional_entities", json!([user("new", json!([]))])),
            "Allow",
        ),
        ("a stored entity as it is stored", also(reads(json!({})), "additional_entities", json!([doc])), "Allow"),
        (
            "both: the addition goes to the replacement",
            also(
                also(reads(json!({})), "entities", json!([doc])),
                "additional_entities",
                json!([user("ann", json!([staff]))]),
            ),
            "Allow",
        ),
        ("nothing is left behind", reads(json!({})), "Allow"),
        ("nor added", ask(new, "read", r#"T::Doc::"d""#, json!({})), "Deny"),
    ] {
        assert_eq!(verdict(&mut client, &body).0, expected, "{what}");
    }
    for (member, value) in [
        ("additional_entities", json!([user("ann", json!([]))])),
        ("entities", json!([user("x", json!([])), user("x", json!([]))])),
        ("entities", json!([{ "uid": { "type": "T::User", "id": "x" }, "attrs": {}, "parents": [] }])),
        ("entities", json!([{ "uid": { "type": "T::User", "id": "x" }, "attrs": { "age": "1" }, "parents": [] }])),
        ("entities", json!([{ "uid": { "type": "T::Nobody", "id": "x" }, "attrs": {}, "parents": [] }])),
        ("entities", json!([{ "uid": { "type": "T::Color", "id": "blue" }, "attrs": {}, "parents": [] }])),
        ("entities", json!([user("x", json!([{ "type": "T::User", "id": "x" }]))])),
        ("additional_entities", json!([7])),
    ] {
        refused(
            &client.post(ASK, also(reads(json!({})), member, value).to_string()),
            400,
            "invalid_entities",
            &format!("/{member}"),
        );
    }
}

// ---- Semantics

#[test]
fn strict_denies_what_is_unknown() {
    let server = server(json!({}));
    let mut client = server.client();
    let ghost = || json!({ "type": "T::User", "id": "ghost" });
    let carried = json!([{ "uid": ghost(), "attrs": { "age": 1 }, "parents": [] }]);
    let (ann, doc) = (r#"T::User::"ann""#, r#"T::Doc::"d""#);
    for (body, unknown) in [
        (ask(r#"T::User::"ghost""#, "read", doc, json!({})), "T::User::\"ghost\""),
        (ask(ann, "read", r#"T::Doc::"ghost""#, json!({})), "T::Doc::\"ghost\""),
        (reads(json!({ "who": ghost() })), "T::User::\"ghost\""),
        (reads(json!({ "who": { "__entity": ghost() } })), "T::User::\"ghost\""),
        (reads(json!({ "whos": [{ "type": "T::User", "id": "bo" }, ghost()] })), "T::User::\"ghost\""),
        (reads(json!({ "deep": { "who": ghost() } })), "T::User::\"ghost\""),
    ] {
        let answer = decide(&mut client, &body);
        assert_eq!(answer["decision"], "Deny", "{body}");
        assert_eq!(answer["diagnostics"]["denied_by"], json!({ "rule": "unknown_entity", "entity": unknown }));
        if unknown == "T::User::\"ghost\"" {
            let answer = decide(&mut client, &also(body, "additional_entities", carried.clone()));
            assert_eq!(answer["diagnostics"].get("denied_by"), None, "{answer}");
        }
    }
    // Cedar's own decision stays visible
    let answer = decide(&mut client, &reads(json!({ "who": ghost() })));
    assert_eq!(answer["diagnostics"]["reason"], json!(["policy0"]));
    for known in [
        reads(
            json!({ "who": { "type": "T::User", "id": "bo" }, "whos": [], "color": { "type": "T::Color", "id": "green" } }),
        ),
        // the ids of an enum exist without being stored
        ask(ann, "read", r#"T::Color::"red""#, json!({})),
        // only what the request refers to is asked for, not what entities refer to
        also(
            reads(json!({})),
            "additional_entities",
            json!([{ "uid": { "type": "T::User", "id": "x" }, "attrs": { "age": 1, "boss": ghost() }, "parents": [] }]),
        ),
    ] {
        assert_eq!(verdict(&mut client, &known).0, "Allow", "{known}");
    }
}

#[test]
fn cedar_semantics_are_cedars() {
    let server = server(json!({ "decision": { "semantics": "cedar" } }));
    let mut client = server.client();
    let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    for (body, decision, reason, errors) in [
        // a forbid that fails is skipped
        (reads(json!({ "n": 1 })), "Allow", ids(&["policy0"]), ids(&["policy1"])),
        (ask(r#"T::User::"ghost""#, "read", r#"T::Doc::"d""#, json!({})), "Deny", vec![], vec![]),
        (
            ask(r#"T::User::"ghost""#, "need", r#"T::Doc::"ghost""#, json!({ "n": 1 })),
            "Allow",
            ids(&["policy3", "policy4"]),
            vec![],
        ),
        (reads(json!({ "who": { "type": "T::User", "id": "ghost" } })), "Allow", ids(&["policy0"]), vec![]),
    ] {
        assert_eq!(verdict(&mut client, &body), (decision.to_owned(), reason, errors), "{body}");
        assert_eq!(decide(&mut client, &body)["diagnostics"].get("denied_by"), None);
    }
}

#[test]
fn each_rule_beside_cedars_semantics_has_a_switch() {
    for (decision, of_failed_forbid, of_unknown_entity) in [
        (json!({ "unknown_entities": "cedar" }), "Deny", "Allow"),
        (json!({ "forbid_errors": "cedar" }), "Allow", "Deny"),
        (json!({ "semantics": "cedar", "forbid_errors": "deny" }), "Deny", "Allow"),
    ] {
        let server = server(json!({ "decision": decision }));
        let mut client = server.client();
        let unknown = reads(json!({ "who": { "type": "T::User", "id": "ghost" } }));
        for (body, expected) in [(reads(json!({ "n": 1 })), of_failed_forbid), (unknown, of_unknown_entity)] {
            let answer = decide(&mut client, &body);
            assert_eq!(answer["decision"], expected, "{decision} {body}");
            assert_eq!(answer["diagnostics"].get("denied_by").is_some(), expected == "Deny", "{answer}");
        }
    }
}

#[test]
fn a_forbid_that_forbids_needs_no_rule_of_ours() {
    let server = server(json!({}));
    let body = also(reads(json!({ "n": i64::MIN })), "resource", json!("T::Doc::\"d\""));
    let answer = decide(&mut server.client(), &body);
    assert_eq!(
        (&answer["decision"], &answer["diagnostics"]),
        (&json!("Deny"), &json!({ "reason": ["policy1"], "errors": [] }))
    );
}

#[test]
fn errors_of_policies_are_listed() {
    let server = Server::start(json!({ "validation": "off" }));
    put(
        &server,
        &json!({ "entities": [{ "uid": { "type": "U", "id": "u" }, "attrs": { "n": 1, "s": "x" }, "parents": [] }], "policies": {
            "allows": "permit (principal, action, resource);",
            "missing": "permit (principal, action, resource) when { principal.nope };",
            "no entity": "permit (principal, action, resource) when { resource.x };",
            "type": "permit (principal, action, resource) when { principal.s < 1 };",
            "overflow": "permit (principal, action, resource) when { principal.n - 3 - 9223372036854775807 > 0 };",
            "context": "permit (principal, action, resource) when { context.x };",
            "address": "permit (principal, action, resource) when { ip(principal.s).isIpv4() };",
            "fraction": "permit (principal, action, resource) when { decimal(principal.s) == decimal(\"1.0\") };",
            "time": "permit (principal, action, resource) when { datetime(principal.s) == datetime(\"2025-01-01\") };",
        } }),
    );
    let body = json!({ "principal": "U::\"u\"", "action": "A::\"a\"", "resource": "R::\"r\"", "additional_entities": [
        { "uid": { "type": "R", "id": "r" }, "attrs": {}, "parents": [] },
    ] });
    let answer = decide(&mut server.client(), &body);
    assert_eq!((&answer["decision"], &answer["diagnostics"]["reason"]), (&json!("Allow"), &json!(["allows"])));
    let mut errors: Vec<&Value> = answer["diagnostics"]["errors"].as_array().unwrap().iter().collect();
    errors.sort_by_key(|error| error["policyId"].to_string());
    let ids: Vec<&str> = errors.iter().map(|error| error["policyId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["address", "context", "fraction", "missing", "no entity", "overflow", "time", "type"]);
    for error in &errors {
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
        assert_eq!(error.as_object().unwrap().len(), 2, "{error}");
    }
    assert!(errors[3]["message"].to_string().contains("nope"), "{}", errors[3]);
}

#[test]
fn now_is_filled_in_overridden_or_left_alone() {
    let paint = |context: Value| ask(r#"T::User::"ann""#, "paint", r#"T::Doc::"d""#, context);
    let time = |text: &str| json!({ "now": text });
    let call = json!({ "now": { "__extn": { "fn": "datetime", "arg": "2020-01-01" } } });
    for (mode, absent, early, late) in
        [("fill", "Allow", "Deny", "Allow"), ("override", "Allow", "Allow", "Allow"), ("off", "Deny", "Deny", "Allow")]
    {
        let server = server(json!({ "context": { "now": mode } }));
        let mut client = server.client();
        for (context, expected) in [
            (json!({}), absent),
            (time("2020-01-01T00:00:00Z"), early),
            (call.clone(), early),
            (time("2030-01-01T00:00:00Z"), late),
        ] {
            for _ in 0..2 {
                assert_eq!(verdict(&mut client, &paint(context.clone())).0, expected, "{mode} {context}");
            }
        }
        // an action that does not declare it gets none
        let body = ask(r#"T::User::"ann""#, "need", r#"T::Doc::"d""#, json!({ "n": 1 }));
        assert_eq!(verdict(&mut client, &body).0, "Allow");
        if mode != "override" {
            refused(
                &client.post(ASK, paint(json!({ "now": "yesterday" })).to_string()),
                400,
                "invalid_context",
                "/context/now",
            );
        }
    }
}

// ---- What is refused

#[test]
fn requests_that_cannot_be_decided_are_400() {
    let server = server(json!({}));
    let mut client = server.client();
    let with = |member: &str, value: Value| also(reads(json!({})), member, value);
    let without = |member: &str| {
        let mut body = reads(json!({}));
        body.as_object_mut().unwrap().remove(member);
        body
    };
    for (body, code, pointer) in [
        (without("principal"), "missing_member", "/principal"),
        (without("action"), "missing_member", "/action"),
        (without("resource"), "missing_member", "/resource"),
        (with("subject", json!(1)), "unknown_member", "/subject"),
        (with("a/b~c", json!(1)), "unknown_member", "/a~1b~0c"),
        (with("principal", json!("ann")), "invalid_uid", "/principal"),
        (with("principal", json!("T::User::ann")), "invalid_uid", "/principal"),
        (with("principal", json!("T::User::\"ann")), "invalid_uid", "/principal"),
        (with("principal", json!(7)), "invalid_uid", "/principal"),
        (with("principal", json!(null)), "invalid_uid", "/principal"),
        (with("action", json!({ "type": "T::Action" })), "invalid_uid", "/action"),
        (with("resource", json!({ "type": "T::Doc", "id": 1 })), "invalid_uid", "/resource"),
        (with("resource", json!({ "type": "T Doc", "id": "d" })), "invalid_uid", "/resource"),
        (with("resource", json!({ "type": "T::Doc", "id": "d", "attrs": {} })), "invalid_uid", "/resource"),
        (with("context", json!([])), "invalid_member", "/context"),
        (with("context", json!("{}")), "invalid_member", "/context"),
        (with("entities", json!({})), "invalid_member", "/entities"),
        (with("additional_entities", json!("[]")), "invalid_member", "/additional_entities"),
        (with("action", json!("T::Action::\"fly\"")), "unknown_action", "/action"),
        (with("action", json!("Action::\"read\"")), "unknown_action", "/action"),
        (with("action", json!("T::Action::\"idle\"")), "action_does_not_apply", "/principal"),
        (with("principal", json!("T::Nobody::\"x\"")), "unknown_type", "/principal"),
        (with("resource", json!("Doc::\"d\"")), "unknown_type", "/resource"),
        (with("principal", json!("T::Doc::\"d\"")), "action_does_not_apply", "/principal"),
        (with("resource", json!("T::User::\"bo\"")), "action_does_not_apply", "/resource"),
        (reads(json!({ "extra": 1 })), "invalid_context", "/context/extra"),
        (reads(json!({ "n": "1" })), "invalid_context", "/context/n"),
        (reads(json!({ "n": 1.5 })), "invalid_context", "/context/n"),
        (reads(json!({ "n": null })), "invalid_context", "/context/n"),
        (reads(json!({ "who": "bo" })), "invalid_context", "/context/who"),
        (reads(json!({ "who": { "type": "T::Doc", "id": "d" } })), "invalid_context", "/context/who"),
        (reads(json!({ "ip": "10.0.0" })), "invalid_context", "/context/ip"),
        (reads(json!({ "ip": { "__extn": { "fn": "ip", "arg": "10.0.0.1/33" } } })), "invalid_context", "/context/ip"),
        (reads(json!({ "ip": { "__extn": { "fn": "decimal", "arg": "1.0" } } })), "invalid_context", "/context/ip"),
        (reads(json!({ "rate": "1.23456" })), "invalid_context", "/context/rate"),
        (reads(json!({ "rate": 1.5 })), "invalid_context", "/context/rate"),
        (reads(json!({ "now": "2025-06-27T18:03-07:00" })), "invalid_context", "/context/now"),
        (ask("T::User::\"ann\"", "need", "T::Doc::\"d\"", json!({})), "invalid_context", "/context"),
    ] {
        refused(&client.post(ASK, body.to_string()), 400, code, pointer);
    }
    for body in
        [with("resource", json!("T::Color::\"blue\"")), reads(json!({ "color": { "type": "T::Color", "id": "blue" } }))]
    {
        let blue = client.post(ASK, body.to_string());
        assert_eq!((blue.status, &blue.json()["code"]), (400, &json!("invalid_uid")), "{}", blue.text());
    }
    for body in ["[]", "7", "null"] {
        refused(&client.post(ASK, body), 400, "invalid_request", "");
    }
    let deep = format!(r#"{{"context":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for body in ["", "{", "{}{}", r#"{"principal":1,"principal":1}"#, r#"{"context":{"a":{"b":1,"b":1}}}"#, &deep] {
        refused(&client.post(ASK, body), 400, "malformed_json", "");
    }
    for (headers, fine) in [
        (vec![], true),
        (vec![("content-type", "application/json; charset=utf-8")], true),
        (vec![("content-type", "text/plain")], false),
        (vec![("content-type", "application/x-www-form-urlencoded")], false),
    ] {
        let answer = client.send("POST", ASK, &headers, reads(json!({})).to_string().as_bytes());
        assert_eq!(answer.status, if fine { 200 } else { 400 }, "{headers:?}");
    }
    assert_eq!(verdict(&mut client, &reads(json!({}))).0, "Allow", "the connection still serves");
}

#[test]
fn every_item_of_a_batch_is_answered_for_itself() {
    let server = server(json!({}));
    let mut client = server.client();
    let items = vec![
        reads(json!({})),
        json!({ "principal": "ann" }),
        ask(r#"T::User::"bo""#, "read", r#"T::Doc::"d""#, json!({})),
        json!(7),
        reads(json!({ "n": "1" })),
        also(reads(json!({})), "extra", json!(1)),
        ask(r#"T::User::"bo""#, "read", r#"T::Doc::"bos""#, json!({})),
    ];
    let answer = client.post(BATCH, json!({ "requests": items }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["revision"].as_str(), answer.header("palisade-revision"));
    let responses = body["responses"].as_array().unwrap();
    assert_eq!(responses.len(), items.len());
    for (i, expected) in ["Allow", "error", "Deny", "error", "error", "error", "Allow"].iter().enumerate() {
        let response = &responses[i];
        if *expected == "error" {
            assert_eq!(
                (&response["decision"], &response["diagnostics"]),
                (&json!("Deny"), &json!({ "reason": [], "errors": [] }))
            );
            let place = response["error"]["where"].as_str().unwrap();
            assert!(place.starts_with(&format!("/requests/{i}")), "{response}");
            assert_eq!(response["error"]["status"], 400);
        } else {
            assert_eq!((&response["decision"], response.get("error")), (&json!(expected), None), "{i}");
            assert_eq!(response["revision"], body["revision"]);
            assert_eq!(*response, decide(&mut client, &items[i]), "as it is answered alone");
        }
    }
    let codes: Vec<&str> = [1, 3, 4, 5].iter().map(|i| responses[*i]["error"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["invalid_uid", "invalid_request", "invalid_context", "unknown_member"]);

    let empty = client.post(BATCH, r#"{"requests":[]}"#);
    assert_eq!((empty.status, &empty.json()["responses"]), (200, &json!([])));
    for (body, code, pointer) in [
        ("{}", "missing_member", "/requests"),
        (r#"{"requests":{}}"#, "invalid_member", "/requests"),
        (r#"{"requests":[],"a/b":1}"#, "unknown_member", "/a~1b"),
        ("[]", "invalid_request", ""),
        (r#"{"requests":[{"principal":1,"principal":1}]}"#, "malformed_json", ""),
    ] {
        refused(&client.post(BATCH, body), 400, code, pointer);
    }
    let many = json!({ "requests": vec![json!({}); 1001] });
    refused(&client.post(BATCH, many.to_string()), 400, "batch_too_large", "");
}

#[test]
fn before_the_first_bundle_there_are_errors_and_no_decisions() {
    let server = Server::start(json!({}));
    let mut client = server.client();
    refused(&client.post(ASK, reads(json!({})).to_string()), 503, "not_ready", "");
    refused(&client.post(BATCH, json!({ "requests": [reads(json!({}))] }).to_string()), 503, "not_ready", "");
    let mut admin = server.admin();
    refused(&admin.get("/v1/bundle"), 503, "not_ready", "");
    let status = admin.get("/v1/status").json();
    assert_eq!((&status["ready"], &status["revision"], &status["source"]), (&json!(false), &json!(null), &json!(null)));
}

#[test]
fn decisions_that_the_reference_had_to_make_are_counted() {
    let server = server(json!({}));
    let fallbacks = || {
        server
            .admin()
            .get("/metrics")
            .text()
            .lines()
            .find_map(|line| line.strip_prefix("palisade_engine_fallbacks_total ")?.parse::<u64>().ok())
    };
    assert_eq!(fallbacks(), Some(0));
    // a stored entity may be sent again without the reference; an action of the schema is for Cedar to compare
    let stored = json!({ "uid": { "type": "T::Action", "id": "read" }, "attrs": {}, "parents": [] });
    let request = json!({
        "principal": "T::User::\"bo\"", "action": "T::Action::\"read\"", "resource": "T::Doc::\"d\"",
        "additional_entities": [stored],
    });
    let answer = server.client().post(ASK, request.to_string());
    assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!("Deny")), "{}", answer.text());
    assert_eq!(fallbacks(), Some(1));
    put(&server, &json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [] }));
    assert_eq!(fallbacks(), Some(1), "a reload takes nothing back");
}
