//! What is refused at load, OpenAPI documents, and the published schema.

use super::*;

#[test]
fn what_is_wrong_has_a_line() {
    for (text, line, message) in [
        ("routes: {}", 1, "`routes` must be a list"),
        ("rutes: []", 1, "unknown key `rutes`"),
        ("a: [", 1, "not valid YAML"),
        ("a: 1\na: 2", 2, "not valid YAML"),
        ("hosts: [A.test]\nroutes: []", 1, "`A.test` is not a host"),
        ("prefix: /v1/\nroutes: []", 1, "is not a prefix"),
        ("namespace: a b\nroutes: []", 1, "is not a namespace"),
        ("credential: {header: cookie}\nroutes: []", 1, "say under `name` which one"),
        ("credential: {name: x}\nroutes: []", 1, "`name` is for `header: cookie` alone"),
        ("credential: {header: cookie, name: 'a b'}\nroutes: []", 1, "is not the name of a cookie"),
        ("credential: {header: cookie, name: a, scheme: Bearer}\nroutes: []", 1, "leave `scheme` out"),
        ("service: {path_case: no}\nroutes: []", 1, "`service.path_case`"),
        ("service: {ignores: [anything]}\nroutes: []", 1, "unknown variant"),
        ("routes:\n  - match: GET /a\n    public: true\n    upgrade: h2c", 4, "unknown variant `h2c`"),
        ("routes:\n  - match: GET /a\n    deny: no\n    upgrade: websocket", 4, "exclude one another"),
        ("routes:\n  - match: CONNECT /a\n    public: true", 2, "opens a tunnel"),
        ("routes:\n  - match: GET /a\n    publik: true", 3, "did you mean `public`?"),
        ("routes:\n  - match: GET /a\n    public: 1", 3, "`public`: invalid type"),
        ("routes:\n  - public: true", 2, "lacks `match`"),
        ("routes:\n  - 7", 2, "expected a route, an object with"),
        ("routes:\n  - null", 2, "expected a route, an object with"),
        ("credential: 7\nroutes: []", 1, "expected a credential, such as"),
        ("defaults: 7\nroutes: []", 1, "expected an object of defaults"),
        (
            "routes:\n  - match: GET /a\n    action: view\n    context: {ip: {ip: 10.1.1.1}}",
            4,
            "`context.ip`: expected a text such as `Customer::{body.customer}`, a whole number",
        ),
        ("routes:\n  - match: GET /a\n    action: view\n    context:\n      n: 1.5", 5, "`context.n`: expected a text"),
        ("routes:\n  - match: GET /a\n    action: view\n    also: [7]", 4, "expected a check, an object with"),
        ("routes:\n  - match: GET /a", 2, "says nothing"),
        ("routes:\n  - match: GET /a\n    public: true\n    action: N::Action::\"view\"", 2, "exclude one another"),
        ("routes:\n  - match: GET a\n    public: true", 2, "is not a match"),
        ("routes:\n  - match: GET /a\n    public: true\n    allow_paths: [dot_segment]", 4, "unknown variant"),
        (
            "routes:\n  - match: GET /a/{x}\n    public: true\n  - match: GET /a/{y}\n    deny: no",
            4,
            "is mapped at r.yaml:2 already",
        ),
        ("routes:\n  - match: [GET /a, GET /a]\n    public: true", 2, "is mapped at r.yaml:2 already"),
        ("routes:\n  - match: GET /a\n    public: true\n    when: claim.x present", 4, "by its request alone"),
        ("routes:\n  - match: GET /a\n    public: true\n    when: query.x exists", 4, "is not a condition"),
    ] {
        let problems = load(text).unwrap_err();
        assert!(
            problems.iter().any(|p| p.starts_with(&format!("{line}: ")) && p.contains(message)),
            "{text}\n{problems:?}"
        );
    }
}

#[test]
fn one_fault_of_a_route_does_not_hide_the_next() {
    let text = "credentail: {}\nprefix: {a: 1}\nroutes:\n  - path: /docs/{id}\n    method: GET\n    publik: true\n    upgrade: h2c\n  \
                - match: GET /a\n    action: [view]\n    also: [{actio: a}]\n    context: {n: 1.5, m: 2.5}\n  - 7\n";
    let problems = load(text).unwrap_err();
    for expected in [
        "1: unknown key `credentail`",
        "2: `prefix`: ",
        "4: unknown key `path`",
        "5: unknown key `method`",
        "6: unknown key `publik`",
        "7: `upgrade`: ",
        "9: `action`: ",
        "10: `also.0.actio`: ",
        "11: `context.n`: ",
        "11: `context.m`: ",
        "12: ",
    ] {
        assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}: {problems:#?}");
    }
    assert_eq!(problems.len(), 11, "{problems:#?}");
}

#[test]
fn what_the_schema_does_not_know_is_an_error() {
    for (route, line, message) in [
        ("action: vew\n    resource: Device::{path.id}", 4, "no action `N::Action::\"vew\"`; did you mean `view`?"),
        ("action: view\n    resource: Devise::{path.id}", 5, "no entity type `N::Devise`; did you mean `N::Device`?"),
        ("action: view\n    resource: Home::{path.id}", 5, "`view` is not about `N::Home`; it is about `N::Device`"),
        ("action: view\n    resource: Device::{path.di}", 3, "has no capture of that name"),
        ("action: view\n    resource: Device::{each}", 3, "there is no `each`"),
        ("action: view\n    resource: self", 5, "`self`: `view` is about `N::Device`"),
        ("action: view\n    resource: token", 5, "`token`: `view` is about"),
        ("action: view", 3, "lacks `resource`"),
        ("resource: Device::{path.id}", 3, "lacks `action`"),
        ("action: view\n    resource: Device::{path.id}\n    principal: Home", 6, "`view` is not for `N::Home`"),
        ("action: view\n    resource: Device::{path.id}\n    principal: Hoem", 6, "no entity type `N::Hoem`"),
        ("action: view\n    resource: Device::{principal.home}", 3, "`N::Robot` has no attribute `home`"),
        ("action: list\n    resource: Home::{principal.name}", 3, "has no attribute `name` that is an entity"),
        ("action: list\n    resource: Home::{record.home}", 3, "the route has no `record`"),
        (
            "action: list\n    record: Devise::{path.id}\n    resource: Home::{record.home}",
            5,
            "no entity type `N::Devise`",
        ),
        ("action: move\n    resource: Device::{path.id}", 3, "needs `context.target`"),
        ("action: move\n    resource: Device::{path.id}\n    context: {target: x}", 6, "is not an entity"),
        ("action: move\n    resource: Device::{path.id}\n    context: {target: 7}", 6, "this must be a `N::Home`"),
        (
            "action: move\n    resource: Device::{path.id}\n    context:\n      target: Device::{path.id}",
            7,
            "must be a `N::Home`, not a `N::Device`",
        ),
        (
            "action: move\n    resource: Device::{path.id}\n    context:\n      target?: Home::{path.id}",
            7,
            "cannot be left out",
        ),
        (
            "action: move\n    resource: Device::{path.id}\n    context:\n      target: Home::a\n      nite: x",
            8,
            "no member `nite`; did you mean `note`?",
        ),
        (
            "action: move\n    resource: Device::{path.id}\n    context:\n      target: Home::a\n      token: x",
            8,
            "filled in by the sidecar",
        ),
        (
            "action: move\n    resource: Device::{path.id}\n    context:\n      target: Home::a\n      n: a{path.id}",
            8,
            "one placeholder and nothing else",
        ),
        ("action: view\n    resource: Device::{path.id}\n    each: query.x", 6, "only the body has lists"),
        (
            "action: view\n    resource: Device::{path.id}\n    also:\n      - when: body.x differs from resource.name\n        action: edit",
            7,
            "no attribute `name`",
        ),
        (
            "action: view\n    resource: Device::{path.id}\n    also:\n      - deny: x\n        action: edit",
            7,
            "exclude one another",
        ),
    ] {
        let text = format!("namespace: N\nroutes:\n  - match: GET /d/{{id}}\n    {route}\n")
            .replace("\n    action", "\n    action");
        let problems = load(&text).unwrap_err();
        assert!(
            problems.iter().any(|p| p.starts_with(&format!("{line}: ")) && p.contains(message)),
            "{route}\n{problems:?}"
        );
    }
    // a namespace that was forgotten
    for (route, message) in [
        ("action: view", "there is `N::Action::\"view\"`: set `namespace`"),
        ("action: view\n    principal: Robot", "there is `N::Robot`: set `namespace`"),
    ] {
        let text = format!("routes:\n  - match: GET /d/{{id}}\n    resource: Device::{{path.id}}\n    {route}\n");
        let problems = load(&text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(message)), "{message}: {problems:?}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = "namespace: N\nroutes:\n  - match: GET /a\n  - match: GET b\n    public: true\n  - match: GET /c\n    action: x\n    resource: Y::z\n  - matsch: GET /d\n";
    assert_eq!(load(text).unwrap_err().len(), 4, "{:?}", load(text));
}

#[test]
fn openapi_documents_are_routes_too() {
    let document = r##"openapi: 3.1.0
info: {title: t, version: "1"}
servers: [{url: https://api.test/v1}]
x-palisade: {namespace: N, hosts: [a.test]}
components:
  parameters:
    Kind: {name: kind, in: path, required: true, schema: {type: string, enum: [big, small]}}
paths:
  /d/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get: {operationId: view, x-palisade: {resource: "Device::{path.id}"}}
    put:
      x-palisade:
        - {when: body.x present, action: edit, resource: "Device::{path.id}"}
        - {when: body.x absent, deny: no}
    delete: {operationId: remove}
  /k/{kind}:
    parameters: [{$ref: "#/components/parameters/Kind"}]
    get: {x-palisade: {public: true}}
"##;
    let table = load(document).unwrap();
    for (target, expected) in [
        ("/v1/d/7", "view Device::7"),
        ("/v1/d/x", "refuse no_route"),
        ("/d/7", "refuse no_route"),
        ("/v1/k/big", "public"),
        ("/v1/k/huge", "refuse no_route"),
    ] {
        assert_eq!(get(&table, target), expected, "{target}");
    }
    assert_eq!(json(&table, "PUT /v1/d/7", r#"{"x": 1}"#), "edit Device::7");
    assert_eq!(json(&table, "PUT /v1/d/7", "{}"), "refuse denied_by_route");
    assert_eq!(ask(&table, "DELETE /v1/d/7", &[], Body::NotForwarded), "refuse no_route");
    for (from, to, line, message) in [
        ("3.1.0", "2.0", 1, "3.0 and 3.1 are read"),
        ("Device::{path.id}\"}}", "Devise::{path.id}\"}}", 11, "no entity type"),
        (
            "operationId: view, x-palisade: {",
            "operationId: view, x-palisade: {match: GET /x, ",
            11,
            "leave `match` out",
        ),
        ("https://api.test/v1", "'https://{h}/v1'", 3, "has variables"),
    ] {
        let problems = load(&document.replacen(from, to, 1)).unwrap_err();
        assert!(
            problems.iter().any(|p| p.starts_with(&format!("{line}: ")) && p.contains(message)),
            "{to}: {problems:?}"
        );
    }
}

/// Holds a document to a JSON Schema.
fn conforms(schema: &serde_json::Value, document: &serde_json::Value) -> Result<(), String> {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("schema.json", schema.clone()).unwrap();
    let schema = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|fault| panic!("{fault:#}"));
    schemas.validate(document, schema).map_err(|fault| format!("{fault:#}"))
}

#[test]
fn the_published_schema_describes_what_is_read() {
    let schema = json_schema();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../routes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let value = palisade_text::yaml::parse(&text).unwrap().value;
            conforms(&schema, &value).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        }
    }
    for route in [
        serde_json::json!({"match": "GET /a", "publik": true}),
        serde_json::json!({"match": "GET /a", "allow_paths": ["dot_segment"]}),
    ] {
        assert!(conforms(&schema, &serde_json::json!({ "routes": [route] })).is_err(), "{route}");
    }
}
