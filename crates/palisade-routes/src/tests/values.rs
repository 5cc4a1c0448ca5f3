//! What a value holds: no two that are one to some service.

use super::*;

const ROUTES: &str = "  - match: POST /get
    action: view
    resource: Device::{body.id}
  - match: POST /list
    each: body.ids
    action: view
    resource: Device::{each}
  - match: POST /items
    each: body.items
    action: view
    resource: Device::{each.id}
  - match: POST /move
    action: move
    resource: Device::d
    context:
      target: Home::{body.home}
      note?: '{body.note}'
      n?: '{body.n}'
  - match: POST /kind
    when: body.kind is not plain
    action: edit
    resource: Device::d
  - match: POST /kind
    when: body.kind is plain
    public: true
  - match: POST /given
    when: body.on given
    action: edit
    resource: Device::d
  - match: GET /q
    action: view
    resource: Device::{query.id}
  - match: GET /n
    action: move
    resource: Device::d
    context:
      target: Home::h
      n: '{query.n}'
  - match: PUT /d/{id}
    action: view
    resource: Device::{path.id}
  - match: GET /i/{id:int}
    action: view
    resource: Device::{path.id}
";

#[test]
fn a_value_of_the_body_is_one_to_all_readers() {
    let table = table(ROUTES);
    for (request, body, expected) in [
        ("POST /get", r#"{"id": "closed"}"#, "view Device::closed"),
        ("POST /get", r#"{"id": "closed\u0000"}"#, "refuse ambiguous_value"),
        ("POST /get", r#"{"id": "closed\u0000x"}"#, "refuse ambiguous_value"),
        ("POST /get", r#"{"id": "\u0000"}"#, "refuse ambiguous_value"),
        ("POST /get", r#"{"id": 7}"#, "view Device::7"),
        ("POST /get", r#"{"id": 9007199254740991}"#, "view Device::9007199254740991"),
        ("POST /get", r#"{"id": -9007199254740991}"#, "view Device::-9007199254740991"),
        ("POST /get", r#"{"id": 9007199254740992}"#, "refuse ambiguous_value"),
        ("POST /get", r#"{"id": 9007199254740993}"#, "refuse ambiguous_value"),
        ("POST /get", r#"{"id": -9007199254740993}"#, "refuse ambiguous_value"),
        ("POST /get", r#"{"id": 9223372036854775807}"#, "refuse ambiguous_value"),
        // as a text it is one id to all
        ("POST /get", r#"{"id": "9007199254740993"}"#, "view Device::9007199254740993"),
        // what no rule reads is the service's own matter
        ("POST /get", r#"{"id": 7, "note": "a\u0000", "n": 9007199254740993}"#, "view Device::7"),
        ("POST /list", r#"{"ids": ["a", "b"]}"#, "view Device::a; view Device::b"),
        ("POST /list", r#"{"ids": ["a", "b\u0000"]}"#, "refuse ambiguous_value"),
        ("POST /list", r#"{"ids": [7, 9007199254740993]}"#, "refuse ambiguous_value"),
        ("POST /items", r#"{"items": [{"id": "a"}, {"id": "b\u0000"}]}"#, "refuse ambiguous_value"),
        ("POST /items", r#"{"items": [{"id": 9007199254740993}]}"#, "refuse ambiguous_value"),
        ("POST /items", r#"{"items": [{"id": "a", "note": "\u0000"}]}"#, "view Device::a"),
        ("POST /move", r#"{"home": "h\u0000"}"#, "refuse ambiguous_value"),
        ("POST /move", r#"{"home": "h", "note": "a\u0000"}"#, "refuse ambiguous_value"),
        ("POST /move", r#"{"home": "h", "n": 9007199254740993}"#, "refuse ambiguous_value"),
        ("POST /kind", r#"{"kind": "plain"}"#, "public"),
        ("POST /kind", r#"{"kind": "plain\u0000"}"#, "refuse ambiguous_value"),
        ("POST /given", r#"{"on": "a\u0000"}"#, "edit Device::d"),
        // Node finds the same in both, and not what the text of the path says
        ("PUT /d/9007199254740993", r#"{"id": 9007199254740993}"#, "refuse ambiguous_value"),
        ("PUT /d/9007199254740993", r#"{"id": "9007199254740993"}"#, "view Device::9007199254740993"),
    ] {
        assert_eq!(json(&table, request, body), expected, "{request} {body}");
    }
}

#[test]
fn a_value_of_the_target_is_one_to_all_readers() {
    let table = table(ROUTES);
    for (target, expected) in [
        ("/q?id=7", "view Device::7"),
        ("/q?id=7%00", "refuse ambiguous_value"),
        ("/q?id=7&%1Fid=8", "refuse ambiguous_value"),
        ("/q?id=7&%EF%BB%BFid=8", "refuse ambiguous_value"),
        ("/q?id=7&id%01=8", "refuse ambiguous_value"),
        ("/q?id=7&%00id=8", "refuse ambiguous_value"),
        ("/q?%1Fid=8", "refuse ambiguous_value"),
        ("/n?n=9007199254740991", "move Device::d {n: 9007199254740991, target: Home::h}"),
        ("/n?n=9007199254740993", "refuse ambiguous_value"),
        ("/i/9007199254740991", "view Device::9007199254740991"),
        ("/i/9007199254740992", "refuse no_route"),
        ("/i/9007199254740993", "refuse no_route"),
        ("/i/7%00", "refuse ambiguous_path"),
    ] {
        let found = get(&table, target);
        // how the context is shown is another test's matter
        let same = found == expected || (expected.contains('{') && found.starts_with("move Device::d"));
        assert!(same, "{target}: {found}");
    }
}

#[test]
fn a_verified_claim_is_held_to_the_same() {
    let table = table("  - {match: GET /c, action: view, resource: 'Device::{claim.id}'}\n");
    for (claims, expected) in [
        (r#"{"id": "a"}"#, Ok("a")),
        (r#"{"id": 7}"#, Ok("7")),
        (r#"{"id": "a\u0000"}"#, Err("ambiguous_value")),
        (r#"{"id": 9007199254740993}"#, Err("ambiguous_value")),
    ] {
        let value = Value::parse(claims.as_bytes()).unwrap();
        let principal = Uid::new("N::User", "u").unwrap();
        let identity = Identity { principal, auth: None, token: None, claims: Some(&value) };
        let headers: Vec<(&str, &str)> = Vec::new();
        let facts = RequestFacts {
            method: "GET",
            target: b"/c",
            host: Some("a.test"),
            headers: &headers,
            body: Body::NotForwarded,
            peer: Peer::default(),
        };
        let found = table.resolve(facts, Some(&identity), &|_: &Uid<'_>, _: &str| None);
        let found = match &found {
            Ok(Outcome::Checks(checks)) => Ok(checks[0].resource.id.as_ref()),
            Ok(Outcome::Public) => unreachable!("the route asks"),
            Err(refusal) => Err(refusal.code),
        };
        assert_eq!(found, expected, "{claims}");
    }
}

#[test]
fn a_body_that_may_be_a_form_too_is_not_read_as_json() {
    let table = table(ROUTES);
    let body = r#"{"id": "d", "x": "&id=closed&"}"#;
    let read = "view Device::d";
    for (kind, expected) in [
        ("application/json", read),
        ("application/json; v=1", read),
        ("application/vnd.api+json", read),
        ("application/json; x=application/x-www-form-urlencoded", "refuse bad_body"),
        ("application/json; x=URLENCODED", "refuse bad_body"),
        ("application/x-www-form-urlencoded+json", "refuse bad_body"),
        ("application/json; x=url-encoded", "refuse bad_body"),
        ("application/json; x=multipart/form-data", "refuse bad_body"),
        ("application/multipart+json", "refuse bad_body"),
        ("application/json; boundary=x", read),
    ] {
        let ask = |bytes| ask(&table, "POST /get", &[("Content-Type", kind)], Body::Whole(bytes));
        assert_eq!(ask(body.as_bytes()), expected, "{kind}");
        // what is empty has no fields to any reader
        assert_eq!(ask(b""), "refuse missing_value", "{kind}");
    }
}
