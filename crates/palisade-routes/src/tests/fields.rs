//! What a body changes besides: fields that are rights of their own, and fields that are not listed.

use super::*;

const ROUTES: &str = "  - match: PUT /d/{id}
    action: edit
    resource: Device::{path.id}
    fields: [name]
    also:
      - when: body.kind is not plain or simple
        deny: no other kinds
      - when: body.on given
        action: view
      - when: body.home differs from resource.home
        action: move
        context:
          target: Home::{body.home}
      - when: body.owner.id differs from resource.home
        deny: the owner stays
      - when: body.seen not empty
        each: body.seen
        action: view
        resource: Device::{each}
      - when: body.seen empty
        action: view
  - match: POST /none
    action: list
    resource: Home::{principal.home}
    fields: []
  - match: POST /any
    action: list
    resource: Home::{principal.home}
";

#[test]
fn a_field_is_a_right_of_its_own_or_listed_or_refused() {
    let table = table(ROUTES);
    for (body, expected) in [
        ("", "edit Device::d"),
        ("{}", "edit Device::d"),
        (r#"{"name": "x"}"#, "edit Device::d"),
        (r#"{"name": null}"#, "edit Device::d"),
        (r#"{"name": {"role": 1}}"#, "edit Device::d"),
        (r#"{"name": "x", "role": "owner"}"#, "refuse unknown_field"),
        (r#"{"role": null}"#, "refuse unknown_field"),
        (r#"{"Name": "x"}"#, "refuse unknown_field"),
        (r#"{"name ": "x"}"#, "refuse unknown_field"),
        (r#"{"": 1}"#, "refuse unknown_field"),
        (r#"[{"role": "owner"}]"#, "refuse bad_value"),
        (r#""role""#, "refuse bad_value"),
        (r#"{"kind": "plain"}"#, "edit Device::d"),
        (r#"{"kind": "simple"}"#, "edit Device::d"),
        (r#"{"kind": "Plain"}"#, "refuse denied_by_route"),
        (r#"{"kind": " plain"}"#, "refuse denied_by_route"),
        (r#"{"kind": 1}"#, "refuse denied_by_route"),
        (r#"{"kind": null}"#, "refuse denied_by_route"),
        (r#"{"kind": true}"#, "refuse denied_by_route"),
        (r#"{"on": true}"#, "edit Device::d; view Device::d"),
        (r#"{"on": false}"#, "edit Device::d; view Device::d"),
        (r#"{"on": []}"#, "edit Device::d; view Device::d"),
        (r#"{"on": null}"#, "edit Device::d; view Device::d"),
        (r#"{"On": true}"#, "refuse ambiguous_value"),
        (r#"{"home": "h"}"#, "edit Device::d"),
        (r#"{"home": "i"}"#, "edit Device::d; move Device::d target=Home::i"),
        (r#"{"home": null}"#, "refuse missing_value"),
        (r#"{"owner": {"id": "h"}}"#, "edit Device::d"),
        (r#"{"owner": {"id": "i"}}"#, "refuse denied_by_route"),
        (r#"{"owner": {"id": null}}"#, "refuse denied_by_route"),
        (r#"{"owner": {}}"#, "refuse denied_by_route"),
        (r#"{"owner": null}"#, "refuse denied_by_route"),
        (r#"{"owner": "h"}"#, "refuse bad_value"),
        (r#"{"seen": ["e", "f"]}"#, "edit Device::d; view Device::e; view Device::f"),
        (r#"{"seen": []}"#, "edit Device::d; view Device::d"),
        (r#"{"seen": [[]]}"#, "refuse bad_value"),
        (r#"{"seen": "e"}"#, "refuse bad_value"),
        (r#"{"seen": ""}"#, "refuse bad_value"),
        (r#"{"seen": {}}"#, "refuse bad_value"),
        (r#"{"seen": null}"#, "edit Device::d"),
        (r#"{"Seen": []}"#, "refuse ambiguous_value"),
    ] {
        assert_eq!(json(&table, "PUT /d/d", body), expected, "{body}");
    }
    // a resource that is not stored has no home that could be the same
    assert_eq!(json(&table, "PUT /d/x", r#"{"owner": {"id": "h"}}"#), "refuse denied_by_route");
    assert_eq!(json(&table, "POST /none", "{}"), "list Home::h");
    assert_eq!(json(&table, "POST /none", r#"{"a": 1}"#), "refuse unknown_field");
    assert_eq!(json(&table, "POST /none", r#"[{"a": 1}]"#), "refuse bad_body");
    assert_eq!(json(&table, "POST /any", r#"{"a": 1}"#), "list Home::h");
    let kind = [("Content-Type", "application/json")];
    // to list the fields is to read the body
    for (body, expected) in [(Body::NotForwarded, "refuse body_not_forwarded"), (Body::Partial, "refuse partial_body")]
    {
        assert_eq!(ask(&table, "POST /none", &kind, body), expected);
    }
    assert_eq!(ask(&table, "POST /any", &kind, Body::Whole(b"")), "list Home::h");
}

#[test]
fn a_file_has_rules_for_all_its_routes() {
    let table = load(
        "namespace: N
defaults:
  also:
    - when: query.index given
      deny: no
    - when: query.as present
      action: view
      resource: Device::{query.as}
routes:
  - {match: GET /open, public: true}
  - {match: GET /shut, deny: never}
  - match: GET /d/{id}
    action: view
    resource: Device::{path.id}
    also:
      - when: query.deep is not no
        action: edit
",
    )
    .unwrap();
    for (target, expected) in [
        ("/d/7", "view Device::7"),
        ("/d/7?index=1", "refuse denied_by_route"),
        ("/d/7?index=", "refuse denied_by_route"),
        ("/d/7?index", "refuse denied_by_route"),
        ("/d/7?index=null", "refuse denied_by_route"),
        ("/d/7?Index=1", "refuse ambiguous_value"),
        ("/d/7?index[]=1", "refuse ambiguous_value"),
        ("/d/7?as=8", "view Device::7; view Device::8"),
        ("/d/7?deep=yes&as=8", "view Device::7; edit Device::7; view Device::8"),
        ("/d/7?deep=no", "view Device::7"),
        // what checks nothing has nothing to add to
        ("/open?index=1", "public"),
        ("/shut?as=8", "refuse denied_by_route"),
    ] {
        assert_eq!(get(&table, target), expected, "{target}");
    }
}

#[test]
fn what_is_wrong_with_them_is_reported_where_it_is() {
    for (text, line, message) in [
        ("routes:\n  - match: GET /a\n    public: true\n    fields: [a]", 2, "exclude one another"),
        ("routes:\n  - match: GET /a\n    deny: no\n    fields: []", 2, "exclude one another"),
        ("routes:\n  - match: GET /a\n    fields: [a]", 2, "says nothing"),
        (
            "namespace: N\nroutes:\n  - match: GET /a/{i}\n    action: view\n    resource: Device::{path.i}\n    also:\n      - when: body.x differs from resource.hom\n        deny: no",
            7,
            "has no attribute `hom`",
        ),
    ] {
        let problems = load(text).unwrap_err();
        let told = problems.iter().any(|p| p.starts_with(&format!("{line}: ")) && p.contains(message));
        assert!(told, "{text}\n{problems:?}");
    }
    // a rule of the file is reported once, and not for each route
    let routes = "\n  - match: GET /a/{i}\n    action: view\n    resource: Device::{path.i}\n  - match: GET /b/{i}\n    action: view\n    resource: Device::{path.i}";
    let text =
        format!("namespace: N\ndefaults:\n  also:\n    - when: query.x given\n      action: vew\nroutes:{routes}");
    let problems = load(&text).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("5: ") && problems[0].contains("no action"), "{problems:?}");
}

#[test]
fn a_parameter_is_read_or_listed_or_refused() {
    let route = |listed: &str| {
        let reads = "  - match: GET /d\n    action: view\n    resource: Device::{query.id}\n";
        table(&format!(
            "{reads}    parameters: {listed}\n    also:\n      - when: query.role given\n        deny: no\n"
        ))
    };
    let (some, none) = (route("[limit, 'a[]']"), route("[]"));
    for (query, of_some, of_none) in [
        ("id=7", "view Device::7", "view Device::7"),
        ("id=7&", "view Device::7", "view Device::7"),
        ("id=7&&limit=1", "view Device::7", "refuse unknown_field"),
        ("lim%69t=1&id=7&a%5B%5D=2", "view Device::7", "refuse unknown_field"),
        ("id=7&limit", "view Device::7", "refuse unknown_field"),
        ("id=7&Limit=1", "refuse unknown_field", "refuse unknown_field"),
        ("id=7&a=1", "refuse unknown_field", "refuse unknown_field"),
        ("id=7&export", "refuse unknown_field", "refuse unknown_field"),
        ("id=7&=1", "view Device::7", "view Device::7"),
        ("id=7&role=x", "refuse denied_by_route", "refuse denied_by_route"),
        ("id=7;export=1", "refuse ambiguous_value", "refuse ambiguous_value"),
    ] {
        assert_eq!(get(&some, &format!("/d?{query}")), of_some, "{query}");
        assert_eq!(get(&none, &format!("/d?{query}")), of_none, "{query}");
    }
    let problems =
        load("namespace: N\nroutes:\n  - match: GET /d\n    public: true\n    parameters: []\n").unwrap_err();
    assert!(problems[0].contains("exclude one another"), "{problems:?}");
}
