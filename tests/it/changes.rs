//! Changes over the admin API: the next decision knows them, whichever way it is asked; what is refused changes nothing;
//! files that are loaded later go below them.

mod conditions;
mod history;
mod layers;
mod lines;
mod recipes;
mod singles;
mod watch;

use serde_json::{Value, json};

use crate::native::{decide, put, reads, server};
use crate::support::{Response, Server};

pub(crate) const CHANGES: &str = "/v1/changes";

/// A text that is the same for values that are the same but for the order of sets.
pub(crate) fn what_is_stored(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(what_is_stored).collect();
            items.sort();
            format!("{items:?}")
        }
        Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> =
                members.iter().map(|(name, member)| (name, what_is_stored(member))).collect();
            format!("{members:?}")
        }
        other => other.to_string(),
    }
}

/// Sends changes, which must be taken.
#[track_caller]
pub(crate) fn change(server: &Server, changes: Value) -> Value {
    let answer = server.admin().post(CHANGES, json!({ "changes": changes }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = [&[("content-type", "application/json")][..], headers].concat();
    server.admin().send("POST", path, &headers, body.as_bytes())
}

fn user(id: &str, groups: &[&str]) -> Value {
    let parents: Vec<Value> = groups.iter().map(|group| json!({ "type": "T::Group", "id": group })).collect();
    json!({ "uid": { "type": "T::User", "id": id }, "attrs": { "age": 1 }, "parents": parents })
}

fn decision(server: &Server) -> String {
    decide(&mut server.client(), &reads(json!({})))["decision"].as_str().unwrap().to_owned()
}

#[test]
fn a_change_is_answered_once_decisions_use_it() {
    let server = server(json!({}));
    let ann = json!({ "type": "T::User", "id": "ann" });
    let policy = json!({ "id": "no", "text": "forbid (principal == T::User::\"ann\", action, resource);" });
    let link = json!({ "link_id": "l", "template_id": "t", "args": { "?principal": "T::User::\"ann\"" } });
    let template = json!({ "id": "t", "text": "permit (principal == ?principal, action, resource);" });
    for (changes, expected, applied) in [
        (json!([{ "update": { "uid": ann, "remove_parents": ["T::Group::\"night\""] } }]), "Deny", [1, 0, 0, 0, 0]),
        (json!([{ "revert": ann }]), "Allow", [1, 0, 0, 0, 0]),
        (json!([{ "delete": ann }]), "Deny", [0, 1, 0, 0, 0]),
        (json!([{ "upsert": user("ann", &["staff"]) }]), "Allow", [1, 0, 0, 0, 0]),
        (json!([{ "put_policy": policy }]), "Deny", [0, 0, 1, 0, 0]),
        (json!([{ "delete_policy": "no" }, { "upsert": user("ann", &[]) }]), "Deny", [1, 0, 1, 0, 0]),
        (json!([{ "put_policy": template }, { "put_link": link }]), "Allow", [0, 0, 1, 1, 0]),
        (json!([{ "delete_link": "l" }]), "Deny", [0, 0, 0, 0, 1]),
        (json!([{ "put_link": link }, { "upsert": user("bo", &[]) }]), "Allow", [1, 0, 0, 1, 0]),
    ] {
        let answer = change(&server, changes.clone());
        let [upserted, deleted, policies, links_added, links_removed] = applied;
        let tally = json!({
            "upserted": upserted, "deleted": deleted, "policies": policies,
            "links_added": links_added, "links_removed": links_removed,
        });
        let revision = answer["revision"].as_str().unwrap().to_owned();
        assert_eq!(
            answer,
            json!({ "revision": revision, "published": true, "durable": false, "applied": tally }),
            "{changes}"
        );
        let now = decide(&mut server.client(), &reads(json!({})));
        assert_eq!((&now["decision"], &now["revision"]), (&json!(expected), &json!(revision)), "{changes}");
    }
    // nothing, and nothing new, publish nothing
    let revision = server.admin().get("/v1/status").json()["revision"].clone();
    for changes in [json!([]), json!([{ "upsert": user("bo", &[]) }]), json!([{ "delete": "T::User::\"nowhere\"" }])] {
        let answer = change(&server, changes);
        assert_eq!((&answer["published"], &answer["revision"]), (&json!(false), &revision));
    }
    // what was changed is in the bundle, and a bundle replaces it all
    let bundle = server.admin().get("/v1/bundle").json();
    assert!(bundle["policies"]["t"].is_string() && bundle["links"][0]["link_id"] == "l");
    assert_eq!(server.admin().get("/v1/status").json()["overlay"]["policies"], 1);
    let restored = put(&server, &bundle);
    assert_eq!((restored["published"].as_bool(), decision(&server)), (Some(true), "Allow".to_owned()));
    assert_eq!(server.admin().get("/v1/status").json()["overlay"]["policies"], 0);
    assert_eq!(server.admin().get("/v1/bundle").json()["entities"], bundle["entities"]);
}

#[test]
fn lines_are_one_transaction_and_say_where_it_is_wrong() {
    let server = server(json!({}));
    let lines = |lines: &[Value]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let ndjson = [("content-type", "application/x-ndjson")];
    let good = lines(&[json!({ "upsert": user("x", &[]) }), json!({ "delete": "T::User::\"ann\"" })]);
    let answer = server.admin().send("POST", CHANGES, &ndjson, good.as_bytes());
    assert_eq!((answer.status, answer.json()["applied"]["upserted"].as_u64()), (200, Some(1)), "{}", answer.text());
    assert_eq!(decision(&server), "Deny");
    let bad = lines(&[json!({ "upsert": user("ann", &["staff"]) }), json!({ "upsert": user("y", &["x"]) })])
        + "\n"
        + &lines(&[json!({ "update": { "uid": "T::User::\"x\"", "attrs": { "age": "old", "n": 1 } } })]);
    let answer = server.admin().send("POST", CHANGES, &ndjson, bad.as_bytes());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (422, Some("invalid_change")), "{}", answer.text());
    let places: Vec<Value> =
        answer.json()["errors"].as_array().unwrap().iter().map(|e| json!([e["where"], e["line"]])).collect();
    // every problem of the entity
    let both = ["age", "n"].map(|name| json!([format!("/changes/2/update/attrs/{name}"), 4]));
    assert_eq!(places, both, "{}", answer.text());
    assert_eq!(decision(&server), "Deny", "nothing of it was made");
    // a large body is read elsewhere, and is one transaction too
    let many: Vec<Value> = (0..5_000).map(|n| json!({ "upsert": user(&format!("u{n}"), &["staff"]) })).collect();
    let answer = server.admin().send("POST", CHANGES, &ndjson, lines(&many).as_bytes());
    assert_eq!(answer.json()["applied"]["upserted"], 5_000, "{}", answer.text());
}

#[test]
fn what_is_not_as_asked_changes_nothing() {
    let server = server(json!({}));
    let serves = || server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned();
    let now = serves();
    let tag = format!("\"{now}\"");
    let ann = "T::User::\"ann\"";
    let delete = json!({ "changes": [{ "delete": ann }] }).to_string();
    let expect = |equals: Value| {
        json!({ "changes": [{ "expect": { "uid": ann, "equals": equals } }, { "delete": ann }] }).to_string()
    };
    let group = json!({ "changes": [{ "delete": "T::Group::\"night\"" }] }).to_string();
    for (path, headers, body, status, code, place) in [
        (CHANGES, &[("if-match", "\"00000000000000ab-1\"")][..], &delete, 412, "revision_changed", Value::Null),
        (CHANGES, &[("if-match", "anything")], &delete, 400, "invalid_revision", Value::Null),
        (CHANGES, &[], &expect(Value::Null), 412, "expectation_failed", json!("/changes/0/expect")),
        (CHANGES, &[], &group, 409, "dangling_reference", json!("/changes/0/delete")),
        ("/v1/changes?dangling=refuse", &[], &group, 409, "dangling_reference", json!("/changes/0/delete")),
        ("/v1/changes?dangling=al", &[], &group, 400, "invalid_member", json!("?dangling")),
        ("/v1/changes?dryrun=true", &[], &delete, 400, "unknown_member", json!("?dryrun")),
        (
            CHANGES,
            &[],
            &json!({ "changes": [{ "delete": "T::Usr::\"ann\"" }] }).to_string(),
            422,
            "invalid_change",
            json!("/changes/0/delete"),
        ),
        (
            CHANGES,
            &[],
            &json!({ "changes": [{ "delete_policy": "policy0" }, { "put_policy": { "id": "x", "text": "permit" } }] })
                .to_string(),
            422,
            "invalid_change",
            json!("/changes/1/put_policy/text"),
        ),
        ("/v1/changes?dry_run=true", &[("if-match", &tag)], &delete, 200, "", Value::Null),
    ] {
        let answer = send(&server, path, headers, body);
        let seen = answer.json();
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
        assert_eq!((seen["code"].as_str().unwrap_or_default(), &seen["where"]), (code, &place), "{}", answer.text());
        assert_eq!((serves(), decision(&server)), (now.clone(), "Allow".to_owned()), "{path} {body}");
    }
    let dry = send(&server, "/v1/changes?dry_run=true&dangling=unlink", &[], &group).json();
    assert_eq!(
        (&dry["published"], &dry["applied"]["deleted"], &dry["applied"]["upserted"]),
        (&json!(false), &json!(1), &json!(1))
    );
    // and with the revision that serves it is made
    let answer = send(&server, "/v1/changes?dangling=unlink", &[("if-match", &tag)], &group);
    assert_eq!((answer.status, decision(&server)), (200, "Deny".to_owned()), "{}", answer.text());
    assert_eq!(answer.header("etag"), Some(&*format!("\"{}\"", serves())));
    // the last policy stays, unless the configuration says otherwise
    let all: Vec<Value> = (0..6).map(|n| json!({ "delete_policy": format!("policy{n}") })).collect();
    let answer = send(&server, CHANGES, &[], &json!({ "changes": all }).to_string());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (422, Some("invalid_change")), "{}", answer.text());
}

#[test]
fn only_what_holds_the_token_changes_anything() {
    let server = Server::start(json!({ "admin": { "tokens": ["open-sesame-open-sesame"] } }));
    assert_eq!(send(&server, CHANGES, &[], "{}").status, 401);
    // nothing is loaded that could be changed
    let answer = send(&server, CHANGES, &[("authorization", "Bearer open-sesame-open-sesame")], r#"{"changes":[]}"#);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("not_ready")), "{}", answer.text());
    let mut client = server.client();
    assert_eq!(client.post(CHANGES, "{}").status, 404);
}
