//! What a request makes its change depend on, names that cannot be given, pages of another list, and bundles that are put
//! twice.

use super::*;
use crate::native::bundle as whole;

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain");

fn with(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    server.admin().send(method, path, headers, body.as_bytes())
}

#[test]
fn a_change_is_made_only_where_its_conditions_hold() {
    let server = server(json!({}));
    let serves = || server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned();
    let template = "permit (principal == ?principal, action, resource);";
    let link = json!({ "template_id": "t", "args": { "?principal": "T::User::\"bo\"" } }).to_string();
    let whole = whole().to_string();
    let first = format!("\"{}\"", serves());
    let weak = format!("W/{first}");
    let (all, none_match) = ("*", "if-none-match");
    for (method, path, header, condition, body, status, code) in [
        ("PUT", "/v1/policies/t", TEXT, ("if-match", "abc"), template, 400, "invalid_revision"),
        ("PUT", "/v1/policies/t", TEXT, ("if-match", "W/\"x\""), template, 412, "revision_changed"),
        ("PUT", "/v1/policies/t", TEXT, ("if-match", &*weak), template, 412, "revision_changed"),
        ("PUT", "/v1/policies/t", TEXT, ("if-match", "\"x,y\""), template, 412, "revision_changed"),
        ("PUT", "/v1/policies/t", TEXT, ("if-match", all), template, 412, "condition_failed"),
        ("PUT", "/v1/policies/t", TEXT, (none_match, &*weak), template, 412, "condition_failed"),
        ("PUT", "/v1/policies/t", TEXT, (none_match, all), template, 200, ""),
        ("PUT", "/v1/policies/t", TEXT, (none_match, all), template, 412, "condition_failed"),
        ("PUT", "/v1/policies/t", TEXT, (none_match, &*first), template, 200, ""),
        ("PUT", "/v1/policies/t", TEXT, ("if-match", all), template, 200, ""),
        ("PUT", "/v1/links/l", JSON, (none_match, all), &link, 200, ""),
        ("PUT", "/v1/links/l", JSON, (none_match, all), &link, 412, "condition_failed"),
        ("DELETE", "/v1/links/l", JSON, (none_match, all), "", 412, "condition_failed"),
        ("DELETE", "/v1/links/l", JSON, ("if-match", &*first), "", 412, "revision_changed"),
        ("DELETE", "/v1/links/l", JSON, ("if-match", all), "", 200, ""),
        ("DELETE", "/v1/links/l", JSON, ("if-match", &*first), "", 404, "not_found"),
        ("PUT", "/v1/bundle", JSON, (none_match, all), &whole, 412, "condition_failed"),
        ("PUT", "/v1/bundle", JSON, (none_match, &*first), &whole, 200, ""),
        ("POST", CHANGES, JSON, (none_match, all), r#"{"changes":[]}"#, 412, "condition_failed"),
    ] {
        let before = serves();
        let answer = with(&server, method, path, &[header, condition], body);
        let found = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, &*found), (status, code), "{method} {path} {condition:?}: {}", answer.text());
        assert!(status == 200 || serves() == before, "{method} {path} {condition:?}");
    }
    // before anything serves a bundle can be put once
    let empty = Server::start(json!({}));
    for (status, code) in [(200, ""), (412, "condition_failed")] {
        let answer = with(&empty, "PUT", "/v1/bundle", &[JSON, (none_match, all)], &whole);
        let found = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, &*found), (status, code), "{}", answer.text());
    }
}

#[test]
fn ids_that_read_as_others_are_refused_everywhere() {
    let server = server(json!({}));
    let policy = "permit (principal, action, resource);";
    let nul = "a\u{0}";
    for id in ["", nul] {
        let put = json!({ "changes": [{ "put_policy": { "id": id, "text": policy } }] });
        let link = json!({ "changes": [{ "put_link": { "link_id": id, "template_id": "t", "args": {} } }] });
        for (changes, place) in [(put, "/changes/0/put_policy/id"), (link, "/changes/0/put_link/link_id")] {
            let answer = send(&server, CHANGES, &[], &changes.to_string());
            let found = answer.json();
            assert_eq!((answer.status, &found["code"]), (400, &json!("invalid_member")), "{}", answer.text());
            assert_eq!(found["where"], place, "{}", answer.text());
        }
        let mut bundle = whole();
        bundle["policies"] = json!({ id: policy });
        let answer = with(&server, "PUT", "/v1/bundle", &[JSON], &bundle.to_string());
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_member")), "{}", answer.text());
    }
    for (path, status) in [("/v1/policies/", 400), ("/v1/policies/a%00", 400)] {
        let answer = with(&server, "PUT", path, &[TEXT], policy);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!("invalid_path")), "{}", answer.text());
        assert_eq!(with(&server, "DELETE", path, &[JSON], "").status, 404);
    }
}

#[test]
fn a_list_goes_on_as_it_began() {
    let server = server(json!({}));
    let mut admin = server.admin();
    let page = admin.get("/v1/entities?type=T::User&limit=1").json();
    let token = page["token"].as_str().unwrap().to_owned();
    for (query, status, code) in [
        (format!("type=T::User&limit=7&token={token}"), 200, ""),
        (format!("token={token}"), 400, "invalid_member"),
        (format!("type=T::Doc&token={token}"), 400, "invalid_member"),
        (format!("type=T::User&in=T::Group::%22night%22&token={token}"), 400, "invalid_member"),
        ("type=T::Usr".to_owned(), 400, "unknown_type"),
        ("in=T::Usr::%22x%22".to_owned(), 400, "unknown_type"),
    ] {
        let answer = admin.get(&format!("/v1/entities?{query}"));
        let found = answer.json();
        let seen = found["code"].as_str().unwrap_or_default();
        assert_eq!((answer.status, seen), (status, code), "{query}: {}", answer.text());
        let suggests = code != "unknown_type" || answer.text().contains("did you mean `T::User`?");
        assert!(suggests, "{}", answer.text());
    }
    let missing = admin.get("/v1/entities/T::Usr/ann");
    assert!(missing.status == 404 && missing.text().contains("did you mean `T::User`?"), "{}", missing.text());
}

/// What the base has is not taken over by an update that changes nothing.
#[test]
fn an_update_that_changes_nothing_publishes_nothing() {
    let server = server(json!({}));
    let stored = server.admin().get("/v1/entities/T::User/ann").json();
    let same = json!({ "uid": "T::User::\"ann\"", "attrs": stored["entity"]["attrs"] });
    for update in [json!({ "uid": "T::User::\"ann\"" }), same] {
        let answer = change(&server, json!([{ "update": update }]));
        assert_eq!((&answer["published"], &answer["applied"]["upserted"]), (&json!(false), &json!(0)), "{answer}");
        assert_eq!(answer["revision"], stored["revision"]);
        assert_eq!(server.admin().get("/v1/entities/T::User/ann").json(), stored);
    }
}

#[test]
fn a_bundle_that_is_put_twice_with_a_key_is_put_once() {
    let server = server(json!({}));
    let body = whole().to_string();
    let other = whole().to_string().replace("night", "day");
    let put = |key: &str, body: &str, tag: &str| {
        with(&server, "PUT", "/v1/bundle", &[JSON, ("idempotency-key", key), ("if-match", tag)], body)
    };
    assert_eq!(put("k", &other, "\"x\"").status, 412);
    let first = put("k", &other, "*");
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None), "{}", first.text());
    assert_eq!(put("l", &body, "*").status, 200);
    let again = put("k", &other, "\"x\"");
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")), "{}", again.text());
    assert_eq!(
        (again.json()["revision"].clone(), again.header("etag")),
        (first.json()["revision"].clone(), first.header("etag"))
    );
    assert!(server.admin().get("/v1/bundle").text().contains("night"), "the later bundle serves");
    assert_eq!(put("k", &body, "*").json()["code"], "idempotency_key_reused");
    // what is not there is not remembered as deleted
    let delete = || with(&server, "DELETE", "/v1/policies/p", &[JSON, ("idempotency-key", "d")], "");
    assert_eq!(delete().status, 404);
    change(&server, json!([{ "put_policy": { "id": "p", "text": "permit (principal, action, resource);" } }]));
    let (first, again) = (delete(), delete());
    assert_eq!((first.status, again.status, again.header("idempotent-replayed")), (200, 200, Some("true")));
}
