//! The table as a whole: what requests become.

mod bounds;
mod captures;
mod fields;
mod load;
mod lookups;
mod masks;
mod openapi;
mod queries;
mod service;
mod values;
mod watched;
mod work;

use proptest::prelude::*;

use super::*;
use palisade_engine::model::{SchemaText, Uid, Value};
use palisade_engine::{Limits, SchemaFacts};

const SCHEMA: &str = r#"namespace N {
  entity Home;
  entity User = { home: Home, name: String };
  entity Robot;
  entity Device = { home: Home };
  action view, edit appliesTo { principal: [User, Robot], resource: [Device], context: { auth?: { mfa: Bool } } };
  action move appliesTo { principal: [User], resource: [Device], context: { target: Home, note?: String, n?: Long, deep?: Bool, from?: ipaddr, token?: Robot } };
  action list appliesTo { principal: [User], resource: [Home] };
  action claim appliesTo { principal: [User], resource: [Home], context: { target?: Home } };
  action profile appliesTo { principal: [User], resource: [User] };
}"#;

fn facts() -> SchemaFacts {
    let text = SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] };
    SchemaFacts::read(&text, &Limits::default()).unwrap()
}

fn load(text: &str) -> Result<RouteTable, Vec<String>> {
    let files = [("r.yaml".to_owned(), text.to_owned())];
    let shown = |problems: Vec<palisade_engine::model::Diagnostic>| {
        problems.into_iter().map(|p| format!("{}: {}", p.line.unwrap_or(0), p.message)).collect()
    };
    compile(&files, Some(&facts())).map(|(table, _)| table).map_err(shown)
}

/// A table of the given routes, in the namespace `N`.
fn table(routes: &str) -> RouteTable {
    load(&format!("namespace: N\nroutes:\n{routes}")).unwrap()
}

/// What a request becomes, asked by the user `u` whose home is `h`. The same whether it is known beforehand what the head has.
fn ask(table: &RouteTable, request: &str, headers: &[(&str, &str)], body: Body<'_>) -> String {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answered = ask_once(table, request, &headers, body);
    assert_eq!(ask_once(table, request, &watched::Classified::of(&headers), body), answered, "{request}");
    answered
}

fn ask_once(table: &RouteTable, request: &str, headers: &(dyn Headers + Sync), body: Body<'_>) -> String {
    let (method, target) = request.split_once(' ').unwrap();
    let facts = RequestFacts {
        method,
        target: target.as_bytes(),
        host: Some("a.test"),
        headers,
        body,
        peer: Peer { ip: Some([10, 0, 0, 1].into()), name: Some("spiffe://x") },
    };
    let claims =
        Value::parse(br#"{"org": {"id": "o7"}, "https://a.example/doc": "o8", "https://a.example/in": {"id": "o9"}}"#)
            .unwrap();
    let identity = Identity {
        principal: Uid::new("N::User", "u").unwrap(),
        auth: Some(Auth { method: "sso", mfa: true }),
        token: Some(Uid::new("N::Robot", "t").unwrap()),
        claims: Some(&claims),
    };
    let entities = |entity: &Uid<'_>, attribute: &str| {
        let known = attribute == "home" && ["u", "d"].contains(&entity.id.as_ref());
        known.then(|| Uid::new("N::Home", "h").unwrap())
    };
    match table.resolve(facts, Some(&identity), &entities) {
        Ok(Outcome::Public) => "public".to_owned(),
        Ok(Outcome::Checks(checks)) => checks.iter().map(show_check).collect::<Vec<_>>().join("; "),
        Err(refusal) => format!("refuse {}", refusal.code),
    }
}

fn get(table: &RouteTable, target: &str) -> String {
    ask(table, &format!("GET {target}"), &[], Body::NotForwarded)
}

fn json(table: &RouteTable, request: &str, body: &str) -> String {
    ask(table, request, &[("Content-Type", "application/json")], Body::Whole(body.as_bytes()))
}

#[test]
fn requests_become_checks() {
    let table = table(
        "  - {match: GET /open, public: true}
  - match: GET /d/{id}
    action: view
    resource: Device::{path.id}
  - match: GET /me
    action: profile
    resource: self
  - match: GET /home
    action: list
    resource: Home::{principal.home}
  - match: GET /claimed
    action: list
    resource: Home::{claim.org.id}
  - match: GET /claimed/by/url
    action: list
    resource: Home::{claim.https://a.example/doc}
  - match: GET /claimed/in/url
    action: list
    resource: Home::{claim.https://a.example/in.id}
  - match: GET /claimed/no/url
    action: list
    resource: Home::{claim.https://a.example/none.id}
  - match: GET /d/{id}/home
    record: Device::{path.id}
    action: list
    resource: Home::{record.home}
  - match: GET /h
    action: view
    resource: Device::{header.x-device}
  - match: GET /files/{path*}
    action: view
    resource: Device::f:{path.path}
  - match: POST /move
    each: body.devices
    action: move
    resource: Device::{each.id}
    context:
      target: Home::{body.to}
      note?: '{query.note}'
      n?: '{query.n}'
      deep?: '{query.deep}'
      from: '{peer.ip}'
  - match: POST /save
    when: body.id present
    action: edit
    resource: Device::{body.id}
    also:
      - when: body.home differs from resource.home
        action: move
        context:
          target: Home::{body.home}
      - when: body.admin is true or 1
        deny: no
  - match: POST /save
    when: body.id absent
    action: list
    resource: Home::{principal.home}
  - match: DELETE /d/{id}
    deny: never
",
    );
    for (request, expected) in [
        ("/open", "public"),
        ("/d/7", "view Device::7"),
        ("/d/7?a=b;c", "view Device::7"),
        ("/d/a%20b", "view Device::\"a b\""),
        ("/d/", "refuse no_route"),
        ("/d/7/", "refuse no_route"),
        ("/me", "profile User::u"),
        ("/home", "list Home::h"),
        ("/claimed", "list Home::o7"),
        ("/claimed/by/url", "list Home::o8"),
        ("/claimed/in/url", "list Home::o9"),
        ("/claimed/no/url", "refuse missing_value"),
        ("/d/d/home", "list Home::h"),
        ("/d/x/home", "refuse missing_value"),
        ("/files/a/b", "view Device::f:a/b"),
        ("/files/a%2fb", "refuse ambiguous_path"),
        ("/none", "refuse no_route"),
        ("/none;x", "refuse ambiguous_path"),
        ("/move", "refuse no_route"),
        ("/h", "refuse missing_value"),
    ] {
        assert_eq!(get(&table, request), expected, "{request}");
    }
    assert_eq!(ask(&table, "DELETE /d/7", &[], Body::NotForwarded), "refuse denied_by_route");
    for (headers, expected) in [
        (&[("X-Device", "7")][..], "view Device::7"),
        (&[("X-Device", "7"), ("x_device", "8")], "refuse ambiguous_value"),
        (&[("X.Device", "7")], "refuse ambiguous_value"),
        (&[("X-Device", "7,8")], "refuse ambiguous_value"),
        (&[("X-Device", "é")], "refuse ambiguous_value"),
        (&[("X-Device", "7"), ("X-HTTP-Method-Override", "DELETE")], "refuse method_override"),
    ] {
        assert_eq!(ask(&table, "GET /h", headers, Body::NotForwarded), expected, "{headers:?}");
    }
    for (request, body, expected) in [
        (
            "POST /move?note=x+y&n=7&deep=true",
            r#"{"devices": [{"id": "a"}, {"id": 2}], "to": "h2"}"#,
            "move Device::a deep=true from=ip(10.0.0.1) n=7 note=x y target=Home::h2; \
             move Device::2 deep=true from=ip(10.0.0.1) n=7 note=x y target=Home::h2",
        ),
        ("POST /move?n=7&n%00x=8", r#"{"devices": [{"id": "a"}], "to": "h2"}"#, "refuse ambiguous_value"),
        ("POST /move?n=07", r#"{"devices": [{"id": "a"}], "to": "h2"}"#, "refuse bad_value"),
        ("POST /move", r#"{"devices": [{}], "to": "h2"}"#, "refuse missing_value"),
        ("POST /move", r#"{"devices": [], "to": "h2"}"#, "refuse bad_value"),
        ("POST /move", r#"{"devices": {"id": "a"}, "to": "h2"}"#, "refuse bad_value"),
        ("POST /move", r#"{"devices": [{"id": true}], "to": "h2"}"#, "refuse bad_value"),
        ("POST /move", r#"{"devices": [{"id": 1.5}], "to": "h2"}"#, "refuse bad_value"),
        ("POST /move", r#"{"devices": [{"id": ""}], "to": "h2"}"#, "refuse bad_value"),
        ("POST /save", r#"{"id": "d", "home": "h"}"#, "edit Device::d"),
        ("POST /save", r#"{"id": "d", "home": "i"}"#, "edit Device::d; move Device::d target=Home::i"),
        ("POST /save", r#"{"id": "x", "home": "h"}"#, "edit Device::x; move Device::x target=Home::h"),
        ("POST /save", r#"{"id": "d", "admin": "true"}"#, "refuse denied_by_route"),
        ("POST /save", r#"{"id": "d", "admin": true}"#, "refuse denied_by_route"),
        ("POST /save", r#"{"id": "d", "admin": false}"#, "edit Device::d"),
        ("POST /save", r#"{"id": null}"#, "list Home::h"),
        ("POST /save", "{}", "list Home::h"),
        ("POST /save", "", "list Home::h"),
        ("POST /save", "[]", "refuse bad_value"),
        ("POST /save", r#"{"id": "a", "id": "b"}"#, "refuse bad_body"),
        ("POST /save", r#"{"id": "a", "ID": "b"}"#, "refuse ambiguous_value"),
        ("POST /save", r#"{"Id": "b"}"#, "refuse ambiguous_value"),
        ("POST /save", "{\"id\": \"d\", \"\u{131}d\": \"b\"}", "refuse ambiguous_value"),
        ("POST /save", "{\"\u{130}d\": \"b\"}", "refuse ambiguous_value"),
        ("POST /save", r#"{"id": "d", "id\u0000x": "b"}"#, "refuse ambiguous_value"),
        ("POST /save", r#"{"id": "d", "_method": "DELETE"}"#, "refuse method_override"),
        ("POST /save", r#"{"id": {"x": 1}}"#, "refuse bad_value"),
        ("POST /save", "id=a", "refuse bad_body"),
    ] {
        // the only member of `move` that a route of a rule `also` lacks is optional
        assert_eq!(json(&table, request, body), expected, "{request} {body}");
    }
    let whole = Body::Whole(br#"{"id": "d"}"#);
    let kind = ("Content-Type", "application/json");
    for (headers, body, expected) in [
        (&[kind][..], Body::NotForwarded, "refuse body_not_forwarded"),
        (&[kind], Body::Partial, "refuse partial_body"),
        (&[], Body::NotForwarded, "refuse body_not_forwarded"),
        (&[], Body::Partial, "refuse partial_body"),
        (&[("Content-Type", " ")], Body::NotForwarded, "refuse body_not_forwarded"),
        (&[("Content-Type", "nonsense")], Body::Partial, "refuse method_override"),
        (&[], whole, "refuse bad_body"),
        (&[("Content-Type", "text/plain")], whole, "refuse bad_body"),
        (&[kind, kind], whole, "refuse bad_body"),
        (&[kind, ("Content-Encoding", "gzip")], whole, "refuse bad_body"),
        (&[kind], whole, "edit Device::d"),
    ] {
        assert_eq!(ask(&table, "POST /save", headers, body), expected, "{headers:?} {body:?}");
    }
    let many = format!(r#"{{"devices": [{}], "to": "h"}}"#, vec![r#"{"id":1}"#; MAX_EACH + 1].join(","));
    assert_eq!(json(&table, "POST /move", &many), "refuse bad_value");
}

#[test]
fn the_query_and_the_body_do_not_name_the_same_value() {
    let table = load(
        "namespace: N\nroutes:\n  - match: POST,PUT /q\n    action: edit\n    resource: Device::{query.id}\n  - match: POST /b\n    \
         action: edit\n    resource: Device::{body.id}\n  - match: POST /g\n    action: edit\n    resource: Device::{query.d}\n    \
         also:\n      - when: body.role given\n        deny: no\n",
    )
    .unwrap();
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let parts = "multipart/form-data; boundary=x";
    for (request, kind, body, expected) in [
        ("POST /q?id=7", json, "", "edit Device::7"),
        ("POST /q?id=7", json, r#"{"x": "8"}"#, "edit Device::7"),
        ("POST /q?id=7", json, r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", json, r#"{"ID": "8"}"#, "refuse ambiguous_value"),
        // some services read every body as JSON
        ("POST /q?id=7", "text/plain", r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", "text/plain", r#"["id"]"#, "edit Device::7"),
        ("POST /q?id=7", form, &"x&".repeat(999), "edit Device::7"),
        ("POST /q?id=7", form, &"x&".repeat(1000), "refuse ambiguous_value"),
        ("POST /q?id=7&a=?id=8", json, "", "refuse ambiguous_value"),
        ("POST /b?a=?id=7", json, r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", form, "x=8", "edit Device::7"),
        ("POST /q?id=7", form, "x=8&id=8", "refuse ambiguous_value"),
        ("POST /q?id=7", form, "%5Bid%5D=8", "refuse ambiguous_value"),
        // whichever a reader takes it for
        ("POST /q?id=7", "application/x-www-form-urlencoded; x=json", "\"&id=8&\"", "refuse ambiguous_value"),
        ("POST /q?id=7", "application/x-www-form-urlencoded; x=json", r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", "application/x-www-form-urlencoded; x=json", "x=8", "edit Device::7"),
        // what cannot be read here, others may read
        ("POST /q?id=7", json, r#"{"id": 8, "id": 8}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", json, r#"{"id": 8, "x": {"a": 1, "a": 1}}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", json, "\u{feff}{\"id\": 8}", "refuse ambiguous_value"),
        ("POST /q?id=7", json, r#"{"id": NaN}"#, "refuse ambiguous_value"),
        ("POST /q?id=7", json, r#"{"id": 8} x"#, "refuse ambiguous_value"),
        ("POST /q?id=7", "text/json", "\u{feff} {\"id\": 8}", "refuse ambiguous_value"),
        ("PUT /q?id=7", "application/json; charset=utf-16", "{\0\"\0i\0d\0", "refuse ambiguous_value"),
        (
            "POST /q?id=7",
            parts,
            "--x\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nid\r\n--x--",
            "edit Device::7",
        ),
        (
            "POST /q?id=7",
            parts,
            "--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n8\r\n--x--",
            "refuse ambiguous_value",
        ),
        ("POST /b?x=7", json, r#"{"id": "8"}"#, "edit Device::8"),
        ("POST /b?id=7", json, r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("POST /b?[id]=7", json, r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("POST /b?id=7", json, "", "refuse missing_value"),
        ("POST /g?d=7", json, "{}", "edit Device::7"),
        ("POST /g?d=7&role=x", json, "{}", "refuse ambiguous_value"),
        ("POST /g?d=7", json, r#"{"role": 1}"#, "refuse denied_by_route"),
        ("POST /g?d=7", json, r#"{"d": 8}"#, "refuse ambiguous_value"),
        ("POST /q", json, r#"{"id": "8"}"#, "refuse missing_value"),
        ("POST /g", json, r#"{"d": 8}"#, "refuse missing_value"),
        ("POST /g", json, "{}", "refuse missing_value"),
    ] {
        let body = Body::Whole(body.as_bytes());
        assert_eq!(ask(&table, request, &[("Content-Type", kind)], body), expected, "{request} {body:?}");
    }
}

#[test]
fn a_route_may_look_at_the_query_and_at_the_body() {
    let also = |rule: &str| format!("    also:\n      - {rule}\n");
    let edit = |path: &str, source: &str| {
        format!("  - match: POST /{path}\n    action: edit\n    resource: Device::{{{source}}}\n")
    };
    let move_it = "action: edit\n        resource: Device::{body.d}";
    let case = |source: &str, when: &str| format!("{}    when: {when}\n", edit("cases", source));
    let table = table(
        &[
            edit("both", "query.d") + &also(&format!("when: body.d given\n        {move_it}")),
            edit("one", "body.d") + &also("when: query.d given\n        deny: no"),
            // looks at the body's only for some requests
            edit("some", "query.d") + &also(&format!("when: [body.r given, body.d given]\n        {move_it}")),
            edit("spelt", "query.d") + &also("when: body.D given\n        deny: no"),
            edit("maybe/{id}", "path.id") + &also("when: query.d given\n        deny: no"),
            edit("known/{id}", "path.id") + "    fields: [d]\n" + &also("when: query.d given\n        deny: no"),
            case("query.d", "query.d present"),
            case("body.d", "[query.d absent, body.d present]"),
            case("body.e", "[query.d absent, body.d absent]"),
            "  - match: POST /open\n    public: true\n    when: query.d is a\n".to_owned(),
            "  - match: POST /open\n    deny: no\n    when: query.d is b\n".to_owned(),
            "  - match: POST /listed\n    action: edit\n    resource: Device::{query.d}\n    fields: [d]\n".to_owned(),
        ]
        .concat(),
    );
    for (request, body, expected) in [
        ("/both?d=7", r#"{"d": "8"}"#, "edit Device::7; edit Device::8"),
        ("/both?d=7", "{}", "edit Device::7"),
        ("/both?d=7", r#"{"d": null}"#, "refuse missing_value"),
        ("/both?d=7", r#"{"D": "8"}"#, "refuse ambiguous_value"),
        ("/both?d=7", r#"{"d": "8", "D": "9"}"#, "refuse ambiguous_value"),
        ("/both?d=7&D=9", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/both", r#"{"d": "8"}"#, "refuse missing_value"),
        ("/one", r#"{"d": "8"}"#, "edit Device::8"),
        ("/one?d=7", r#"{"d": "8"}"#, "refuse denied_by_route"),
        ("/one?D=7", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/some?d=7", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/some?d=7", r#"{"d": "8", "r": 1}"#, "edit Device::7; edit Device::8"),
        ("/some?d=7", r#"{"r": 1}"#, "edit Device::7"),
        ("/some?d=7&r=1", "{}", "refuse ambiguous_value"),
        // the body alone has it, and the service may take it from there
        ("/maybe/1", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/maybe/1?d=7", r#"{"d": "8"}"#, "refuse denied_by_route"),
        ("/maybe/1?e=7", r#"{"e": "8"}"#, "edit Device::1"),
        ("/spelt?d=7", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/spelt?d=7", r#"{"D": "8"}"#, "refuse denied_by_route"),
        ("/cases?d=7", "{}", "edit Device::7"),
        ("/cases?d=7", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/cases", r#"{"d": "8"}"#, "edit Device::8"),
        ("/cases", r#"{"e": "9"}"#, "edit Device::9"),
        ("/cases?e=7", r#"{"e": "9"}"#, "refuse ambiguous_value"),
        ("/cases?a=?d=8", r#"{"e": "9"}"#, "refuse ambiguous_value"),
        (&format!("/cases?{}d=7", "a&".repeat(1000)), "{}", "refuse ambiguous_value"),
        (&format!("/cases?{}", "a&".repeat(1000)), r#"{"e": "9"}"#, "refuse ambiguous_value"),
        (&format!("/maybe/1?{}d=7", "&".repeat(1000)), "{}", "refuse ambiguous_value"),
        (&format!("/open?{}d=a", "a&".repeat(1000)), "{}", "refuse ambiguous_value"),
        (&format!("/one?{}", "a&".repeat(1000)), r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/open?d=a", "{}", "public"),
        ("/open?d=a", r#"{"d": "b"}"#, "refuse ambiguous_value"),
        ("/open?d=b", r#"{"d": "a"}"#, "refuse denied_by_route"),
        // a list of known members says nothing of their values
        ("/listed?d=7", r#"{"d": "8"}"#, "refuse ambiguous_value"),
        ("/listed?d=7", "{}", "edit Device::7"),
        // but that the body alone has it is for the file to say
        ("/known/1", r#"{"d": "8"}"#, "edit Device::1"),
        ("/known/1", r#"{"D": "8"}"#, "refuse unknown_field"),
        ("/known/1?d=7", r#"{"d": "8"}"#, "refuse denied_by_route"),
        ("/known/1?D=7", r#"{"d": "8"}"#, "refuse ambiguous_value"),
    ] {
        assert_eq!(json(&table, &format!("POST {request}"), body), expected, "{request} {body}");
    }
}

#[test]
fn files_for_one_host_have_one_router() {
    let file = |name: &str, hosts: &str, case: &str| {
        let service = match case {
            "" => String::new(),
            "format" => "suffixes: format".to_owned(),
            "as it is" => "suffixes: exact".to_owned(),
            case => format!("path_case: {case}"),
        };
        (
            name.to_owned(),
            format!("hosts: {hosts}\nservice: {{{service}}}\nroutes:\n  - {{match: GET /{name}, public: true}}\n"),
        )
    };
    for (files, problems) in [
        ([file("a", "[a.test]", "exact"), file("b", "[b.test]", "ignored")], 0),
        ([file("a", "[a.test]", "ignored"), file("b", "[a.test]", "ignored")], 0),
        ([file("a", "[a.test]", "exact"), file("b", "[a.test]", "ignored")], 1),
        ([file("a", "[a.test]", "ignored"), file("b", "['*.test']", "exact")], 1),
        ([file("a", "[]", "ignored"), file("b", "[b.test]", "exact")], 1),
        ([file("a", "[a.test]", "format"), file("b", "[b.test]", "as it is")], 0),
        ([file("a", "[a.test]", "format"), file("b", "[a.test]", "format")], 0),
        ([file("a", "[a.test]", "format"), file("b", "[a.test]", "as it is")], 1),
        ([file("a", "[a.test]", ""), file("b", "[a.test]", "format")], 1),
        // the careful one of the two counts for both
        ([file("a", "[a.test]", "as it is"), file("b", "[a.test]", "")], 0),
    ] {
        let found = compile(&files, None).err().unwrap_or_default();
        assert_eq!(found.len(), problems, "{files:?}: {found:?}");
    }
}

#[test]
fn the_context_has_what_the_action_declares_and_was_verified() {
    let table = table("  - match: GET /d/{id}\n    action: view\n    resource: Device::{path.id}\n");
    let facts = RequestFacts {
        method: "GET",
        target: b"/d/7",
        host: None,
        headers: &Vec::<(String, String)>::new(),
        body: Body::NotForwarded,
        peer: Peer::default(),
    };
    let identity = Identity {
        principal: Uid::new("N::Robot", "r").unwrap(),
        auth: Some(Auth { method: "sso", mfa: true }),
        token: Some(Uid::new("N::Robot", "t").unwrap()),
        claims: None,
    };
    let nothing = |_: &Uid<'_>, _: &str| None;
    let Ok(Outcome::Checks(checks)) = table.resolve(facts, Some(&identity), &nothing) else { panic!() };
    // `view` declares `auth` and no `token`
    assert_eq!(checks[0].context.to_json(), serde_json::json!({"auth": {"method": "sso", "mfa": true}}));
    assert_eq!(checks[0].principal.to_string(), "N::Robot::\"r\"");
    assert_eq!(table.resolve(facts, None, &nothing).unwrap_err().status, StatusClass::Unauthorized);
}

#[test]
fn each_class_is_refused_unless_the_route_allows_it() {
    for (class, target, expected) in [
        (PathClass::EmptySegment, "/f/a//b", "view Device::a//b"),
        (PathClass::Backslash, "/f/a\\b", "view Device::\"a\\\\b\""),
        (PathClass::Parameter, "/f/a;b", "view Device::\"a;b\""),
        (PathClass::RawCharacter, "/f/a|b", "view Device::\"a|b\""),
        (PathClass::NonAscii, "/f/é", "view Device::\"é\""),
        (PathClass::EncodedSlash, "/f/a%2Fb", "view Device::\"a%2Fb\""),
        (PathClass::EncodedBackslash, "/f/a%5Cb", "view Device::\"a\\\\b\""),
        (PathClass::EncodedDot, "/f/a%2Eb", "view Device::a.b"),
        (PathClass::EncodedPercent, "/f/a%25b", "view Device::\"a%25b\""),
        (PathClass::EncodedHash, "/f/a%23b", "view Device::\"a#b\""),
        (PathClass::EncodedSemicolon, "/f/a%3Bb", "view Device::\"a;b\""),
        (PathClass::EncodedQuestion, "/f/a%3Fb", "view Device::\"a?b\""),
        (PathClass::TrailingSlash, "/f/a/", "view Device::a"),
    ] {
        let route = "  - match: GET /f/{path*}\n    action: view\n    resource: Device::{path.path}\n";
        let others: Vec<&str> = PathClass::ALL.into_iter().filter(|c| *c != class).map(PathClass::name).collect();
        let without = table(&format!("{route}    allow_paths: [{}]\n", others.join(", ")));
        assert!(get(&without, target).starts_with("refuse "), "{target}");
        let with = table(&format!("{route}    allow_paths: [{}]\n", class.name()));
        assert_eq!(get(&with, target), expected, "{target}");
        let all = table(&format!("{route}    allow_paths: [{}, {}]\n", others.join(", "), class.name()));
        for target in ["/f/..", "/f/%2e%2e/x", "/f/%252e%252e", "/f/a%00", "/f/a#b", "/f/%zz", "/f/%ff", "*", "f/a"] {
            assert_eq!(get(&all, target), "refuse ambiguous_path", "{target}");
        }
    }
}

#[test]
fn hosts_choose_routes() {
    let file = |name: &str, hosts: &str, reason: &str| {
        let routes = format!("  - match: GET /{name}\n    deny: {reason}\n  - match: GET /own\n    public: true\n");
        (name.to_owned(), format!("hosts: {hosts}\nroutes:\n{routes}"))
    };
    let common = ("c".to_owned(), "routes:\n  - match: GET /common\n    public: true\n".to_owned());
    let files = [file("a", "[a.test]", "x"), file("b", "['*.b.test']", "x"), common];
    let (table, _) = compile(&files, None).unwrap();
    static NONE: Vec<(String, String)> = Vec::new();
    let asked = |host: Option<&'static str>, path: &'static str| RequestFacts {
        method: "GET",
        target: path.as_bytes(),
        host,
        headers: &NONE,
        body: Body::NotForwarded,
        peer: Peer::default(),
    };
    // a wrong host is distinguished from a wrong path
    for (host, path, told) in [
        ("other.test", "/own", "no route has this path on this host; it is mapped on *.b.test, a.test"),
        ("a.test", "/b", "no route has this path on this host; it is mapped on *.b.test"),
        ("a.test", "/none", "no route has this path"),
    ] {
        assert_eq!(table.find(asked(Some(host), path)).err().unwrap().message, told, "{host} {path}");
    }
    for (host, path, mapped) in [
        (Some("a.test"), "/own", true),
        (Some("A.TEST.:443"), "/own", true),
        (Some("x.b.test"), "/own", true),
        (Some("y.x.b.test"), "/own", true),
        (Some("b.test"), "/own", false),
        (Some("evilb.test"), "/own", false),
        (Some("other.test"), "/own", false),
        (Some("a.test"), "/common", true),
        (Some("x.b.test"), "/common", true),
        (Some("other.test"), "/common", true),
        (Some("a.test,b.test"), "/common", false),
        (None, "/common", false),
    ] {
        assert_eq!(table.find(asked(host, path)).is_ok(), mapped, "{host:?} {path}");
    }
    let clash = [file("a", "[a.test]", "x"), file("b", "['*.test']", "x")];
    assert_eq!(compile(&clash, None).unwrap_err().len(), 1, "`GET /own` on a.test is mapped twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn finding_is_total(
        target in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "/(d|files|move|save|%|;|/|\\.|é|\\?|=|&){0,12}".prop_map(String::into_bytes),
        ],
        method in "[A-Z]{0,5}",
        body in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        static TABLE: std::sync::OnceLock<RouteTable> = std::sync::OnceLock::new();
        let table = TABLE.get_or_init(|| table(
            "  - {match: GET /d, public: true}\n  - match: 'GET,POST /files/{path*}'\n    action: view\n    resource: Device::{query.d}\n  - match: POST /save\n    action: edit\n    resource: Device::{body.id}\n",
        ));
        let headers = vec![("content-type", "application/json")];
        let facts = RequestFacts { method: &method, target: &target, host: None, headers: &headers, body: Body::Whole(&body), peer: Peer::default() };
        let identity = Identity { principal: Uid::new("N::User", "u").unwrap(), auth: None, token: None, claims: None };
        let nothing = |_: &Uid<'_>, _: &str| None;
        if let Ok(Outcome::Checks(checks)) = table.resolve(facts, Some(&identity), &nothing) {
            prop_assert!(!checks.is_empty() && checks.iter().all(|check| !check.resource.id.is_empty()));
        }
    }
}
