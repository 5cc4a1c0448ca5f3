//! What a capture of the path is, neither the query nor the body says otherwise: some services put the three together.

use super::*;

const ROUTES: &str = "  - match: GET,PUT /d/{id}
    action: view
    resource: Device::{path.id}
  - match: GET /n/{device_id}/{part}
    action: view
    resource: Device::{path.device_id}
  - match: GET /f/{path*}
    action: view
    resource: Device::{path.path}
  - match: GET /b/{id}
    action: view
    resource: Device::{path.id}
    also:
      - when: query.id given
        deny: it names another
  - match: POST /j/{id}
    action: edit
    resource: Device::{path.id}
    fields: [name, Id]
  - match: POST /k/{id}
    action: edit
    resource: Device::{path.id}
    also:
      - when: body.other given
        deny: no
  - match: GET /p/{id}
    public: true
  - match: GET /w/{id}
    when: path.id is a or b
    public: true
";

#[test]
fn a_capture_has_one_value() {
    let table = table(ROUTES);
    for (request, expected) in [
        ("GET /d/7", "view Device::7"),
        ("GET /d/7?", "view Device::7"),
        ("GET /d/7?x=1&idx=2&filter[name]=3", "view Device::7"),
        ("GET /d/7?id=closed", "refuse ambiguous_value"),
        ("GET /d/7?x=1&ID=closed", "refuse ambiguous_value"),
        ("GET /d/7?i%64=closed", "refuse ambiguous_value"),
        ("GET /d/7?_id=closed", "refuse ambiguous_value"),
        ("GET /d/7?!id=closed", "refuse ambiguous_value"),
        ("GET /d/7?d[id]=closed", "refuse ambiguous_value"),
        ("GET /d/7?d.id=closed", "refuse ambiguous_value"),
        ("GET /d/7?id[]=closed", "refuse ambiguous_value"),
        ("GET /d/7?x=1;id=closed", "refuse ambiguous_value"),
        ("GET /d/7?x=?id=closed", "refuse ambiguous_value"),
        ("GET /d/7?id", "refuse ambiguous_value"),
        ("GET /d/7?id=", "refuse ambiguous_value"),
        // all readers find the same
        ("GET /d/7?id=7", "view Device::7"),
        ("GET /d/a%20b?id=a+b", "view Device::\"a b\""),
        ("GET /d/7?id=7&id=7", "refuse ambiguous_value"),
        ("GET /d/7?id=7&ID=7", "refuse ambiguous_value"),
        ("GET /n/7/x?deviceId=8", "refuse ambiguous_value"),
        // the route does not read it
        ("GET /n/7/x?part=8", "view Device::7"),
        ("GET /f/a/b?path=c", "refuse ambiguous_value"),
        ("GET /f/a/b?path=a/b", "view Device::a/b"),
        // the route looks at it
        ("GET /b/7?id=8", "refuse denied_by_route"),
        ("GET /b/7", "view Device::7"),
        // nothing is decided by it
        ("GET /p/7?id=8", "public"),
        ("GET /w/a?id=8", "refuse ambiguous_value"),
        ("GET /w/a", "public"),
    ] {
        assert_eq!(ask(&table, request, &[], Body::NotForwarded), expected, "{request}");
    }
    let alone = load(&format!("namespace: N\nservice: {{ignores: [capture_override]}}\nroutes:\n{ROUTES}")).unwrap();
    let (form, kind) = (Body::Whole(b"id=8"), [("Content-Type", "application/x-www-form-urlencoded")]);
    for request in ["GET /d/7?id=8", "PUT /d/7?id=8"] {
        assert_eq!(ask(&alone, request, &kind, form), "view Device::7", "{request}");
    }
    assert_eq!(json(&alone, "POST /k/7", r#"{"id": 8}"#), "edit Device::7");
}

#[test]
fn what_the_page_says_of_forms_and_literals_holds() {
    let table = table(
        "  - {match: 'GET,PUT /b/open', public: true}
  - match: GET,PUT /b/{name}
    action: view
    resource: Device::{path.name}
  - {match: 'GET,PUT /c/{name}', when: path.name is open, public: true}
  - match: GET,PUT /c/{name}
    when: path.name is not open
    action: view
    resource: Device::{path.name}
",
    );
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    for (request, kind, body, expected) in [
        ("GET /b/open?name=secret", form, "", "public"),
        ("GET /c/open?name=secret", form, "", "refuse ambiguous_value"),
        ("GET /c/open?name=open", form, "", "public"),
        ("GET /c/7", form, "", "view Device::7"),
        ("GET /c/7?name=open", form, "", "refuse ambiguous_value"),
        ("PUT /b/7?name=7", form, "", "view Device::7"),
        ("PUT /b/7", json, r#"{"name": "7"}"#, "view Device::7"),
        ("PUT /b/7", json, r#"{"name": "8"}"#, "refuse ambiguous_value"),
        ("PUT /b/7", form, "name=7", "refuse ambiguous_value"),
        ("PUT /b/7", form, "other=7", "view Device::7"),
    ] {
        let found = ask(&table, request, &[("Content-Type", kind)], Body::Whole(body.as_bytes()));
        assert_eq!(found, expected, "{request} {kind} {body}");
    }
}

#[test]
fn a_body_names_no_other() {
    let table = table(ROUTES);
    for (request, body, expected) in [
        ("PUT /d/7", "{}", "view Device::7"),
        ("PUT /d/7", r#"{"id": "8"}"#, "refuse ambiguous_value"),
        ("PUT /d/7", r#"{"_id": "8"}"#, "refuse ambiguous_value"),
        ("PUT /d/7", r#"{"x": {"id": "8"}}"#, "view Device::7"),
        ("PUT /d/7", r#"{"id": "7"}"#, "view Device::7"),
        ("PUT /d/7", r#"{"id": 7}"#, "view Device::7"),
        ("PUT /d/7", r#"{"id": 7.0}"#, "refuse ambiguous_value"),
        ("PUT /d/7", r#"{"id": null}"#, "refuse ambiguous_value"),
        ("PUT /d/7", r#"{"Id": 7}"#, "refuse ambiguous_value"),
        // others read on
        ("PUT /d/7", r#"{"a": 1, "a": 2, "id": 8}"#, "refuse ambiguous_value"),
        ("POST /j/7", r#"{"name": "x"}"#, "edit Device::7"),
        ("POST /j/7", r#"{"id": 7}"#, "refuse unknown_field"),
        // its author knows of it
        ("POST /j/7", r#"{"Id": 8}"#, "edit Device::7"),
        ("POST /k/7", r#"{"id": 8}"#, "refuse ambiguous_value"),
        ("POST /k/7", r#"{"name": "x"}"#, "edit Device::7"),
    ] {
        assert_eq!(json(&table, request, body), expected, "{request} {body}");
    }
    for (kind, body, expected) in [
        ("application/x-www-form-urlencoded", "name=x", "view Device::7"),
        ("application/x-www-form-urlencoded", "id=8", "refuse ambiguous_value"),
        ("application/x-www-form-urlencoded", "d[id]=8", "refuse ambiguous_value"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=id\r\n\r\n8\r\n--x--",
            "refuse ambiguous_value",
        ),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=file\r\n\r\nid\r\n--x--",
            "view Device::7",
        ),
        ("application/octet-stream", "id=8", "view Device::7"),
        ("application/json", "\0 not JSON", "view Device::7"),
        ("application/json", "{\"ID\": 8, ", "refuse ambiguous_value"),
        ("text/csv", "id,name\n8,x", "view Device::7"),
    ] {
        let found = ask(&table, "PUT /d/7", &[("Content-Type", kind)], Body::Whole(body.as_bytes()));
        assert_eq!(found, expected, "{kind} {body}");
    }
    // what is not shown is not known, and most requests have nothing of the kind
    for body in [Body::NotForwarded, Body::Partial] {
        assert_eq!(ask(&table, "PUT /d/7", &[("Content-Type", "application/json")], body), "view Device::7");
    }
}

/// Routes that read no capture, and that differ only in what the captures are.
const CHOSEN: &str = "  - match: GET,POST /x/{kind:open|free}
    public: true
  - match: GET /x/{kind:closed|secret}
    action: list
    resource: Home::{principal.home}
  - match: GET /y/{kind}
    public: true
  - match: GET /y/closed
    action: list
    resource: Home::{principal.home}
  - match: GET /z/{kind:name}
    public: true
  - match: GET /z/{kind}
    action: list
    resource: Home::{principal.home}
  - match: GET /i/{id:int}
    public: true
  - match: GET /u/{id:uuid}
    action: list
    resource: Home::{principal.home}
  - match: GET /r/{path*}
    public: true
  - match: GET /r/closed/{id}
    action: list
    resource: Home::{principal.home}
  - match: GET /s/{path*}
    public: true
  - match: GET /t/{id}
    public: true
  - match: GET /t/{id}/closed
    action: list
    resource: Home::{principal.home}
  - match: GET /v/{kind:open|free}
    when: query.kind absent
    public: true
";

#[test]
fn a_capture_that_chose_the_route_has_one_value() {
    let table = table(CHOSEN);
    let uuid = "/u/0123abcd-0123-4567-89ab-0123456789ab";
    for (target, expected) in [
        ("/x/open", "public"),
        ("/x/open?kind=closed", "refuse ambiguous_value"),
        ("/x/open?Kind=closed", "refuse ambiguous_value"),
        ("/x/open?kind[]=closed", "refuse ambiguous_value"),
        ("/x/open?kind=open", "public"),
        ("/x/open?other=closed", "public"),
        ("/x/closed", "list Home::h"),
        ("/x/closed?kind=open", "refuse ambiguous_value"),
        // the literal is another route
        ("/y/open", "public"),
        ("/y/open?kind=closed", "refuse ambiguous_value"),
        ("/y/closed?kind=open", "list Home::h"),
        ("/z/open?kind=a%20b", "refuse ambiguous_value"),
        ("/z/a%20b?kind=open", "refuse ambiguous_value"),
        ("/i/7?id=x", "refuse ambiguous_value"),
        ("/i/7?id=8", "refuse ambiguous_value"),
        ("/i/7?id=7", "public"),
        (&format!("{uuid}?id=x"), "refuse ambiguous_value"),
        (uuid, "list Home::h"),
        ("/r/a/b?path=closed/7", "refuse ambiguous_value"),
        ("/r/a/b?path=a/b", "public"),
        ("/r/closed/7?path=a", "list Home::h"),
        // nothing is decided by it
        ("/r/closed/7?id=8", "list Home::h"),
        ("/s/a/b?path=closed/7", "public"),
        ("/t/7?id=8", "public"),
        ("/t/7/closed?id=8", "list Home::h"),
        // the route looks at it
        ("/v/open?kind=closed", "refuse no_case"),
        ("/v/open", "public"),
    ] {
        assert_eq!(get(&table, target), expected, "{target}");
    }
    for (kind, body, expected) in [
        ("application/json", r#"{"kind": "closed"}"#, "refuse ambiguous_value"),
        ("application/json", r#"{"kind": "open"}"#, "public"),
        ("application/json", r#"{"name": "closed"}"#, "public"),
        ("application/x-www-form-urlencoded", "kind=closed", "refuse ambiguous_value"),
        ("application/x-www-form-urlencoded", "name=closed", "public"),
    ] {
        let found = ask(&table, "POST /x/open", &[("Content-Type", kind)], Body::Whole(body.as_bytes()));
        assert_eq!(found, expected, "{body}");
    }
    let alone = load(&format!("namespace: N\nservice: {{ignores: [capture_override]}}\nroutes:\n{CHOSEN}")).unwrap();
    assert_eq!(get(&alone, "/x/open?kind=closed"), "public");
    assert_eq!(json(&alone, "POST /x/open", r#"{"kind": "closed"}"#), "public");
    // the hosts' own routes count where they are looked up
    let text = "routes:\n  - {match: \"GET /{kind}\", public: true}";
    let hosts = "namespace: N\nhosts: [a.test]\nroutes:\n  - {match: GET /closed, deny: no}";
    let files = [("a.yaml".to_owned(), text.to_owned()), ("b.yaml".to_owned(), hosts.to_owned())];
    let both = compile(&files, Some(&facts())).unwrap().0;
    assert_eq!(get(&both, "/open?kind=closed"), "refuse ambiguous_value");
    assert_eq!(get(&both, "/open?x=closed"), "public");
}

#[test]
fn a_parameter_of_a_document_that_chose_its_operation_has_one_value() {
    let document = |schema: &str| {
        let parameters = format!("parameters: [{{name: kind, in: path, required: true, schema: {schema}}}]");
        let text = format!(
            "openapi: 3.1.0\nx-palisade: {{namespace: N, hosts: [a.test]}}\npaths:\n  /r/{{kind}}:\n    get: {{{parameters}, \
             x-palisade: {{public: true}}}}\n    post: {{{parameters}, x-palisade: {{public: true}}}}\n"
        );
        compile(&[("d.yaml".to_owned(), text)], Some(&facts())).unwrap().0
    };
    for (schema, own, decides) in [
        ("{type: string, enum: [weekly, daily]}", "daily", true),
        ("{type: integer}", "7", true),
        ("{type: string, maxLength: 5}", "daily", true),
        ("{type: string}", "daily", false),
    ] {
        let table = document(schema);
        let other = if decides { "refuse ambiguous_value" } else { "public" };
        assert_eq!(get(&table, &format!("/r/{own}")), "public", "{schema}");
        assert_eq!(get(&table, &format!("/r/{own}?kind={own}")), "public", "{schema}");
        assert_eq!(get(&table, &format!("/r/{own}?kind=salaries")), other, "{schema}");
        assert_eq!(json(&table, &format!("POST /r/{own}"), r#"{"kind": "salaries"}"#), other, "{schema}");
    }
}

#[test]
fn a_name_that_cannot_be_read_may_be_any() {
    let table = table(ROUTES);
    for (query, expected) in [
        ("caf%c3%a9=8", "view Device::7"),
        ("x=%e9", "view Device::7"),
        // an `i` in two bytes, and in three
        ("%c1%a9d=8", "refuse ambiguous_value"),
        ("%e0%81%a9d=8", "refuse ambiguous_value"),
        ("i%ad%64=8", "refuse ambiguous_value"),
        // a small letter of Turkish that is folded to it
        ("%fdd=8", "refuse ambiguous_value"),
        ("x=1;%c1%a9d=8", "refuse ambiguous_value"),
    ] {
        assert_eq!(get(&table, &format!("/d/7?{query}")), expected, "{query}");
    }
    // what the route reads from the body, the query names
    let body =
        load("namespace: N\nroutes:\n  - match: POST /b\n    action: view\n    resource: Device::{body.id}").unwrap();
    assert_eq!(json(&body, "POST /b?%c1%a9d=8", r#"{"id": "7"}"#), "refuse ambiguous_value");
    // a service that takes no other method from a body may still take a name from it
    let table = load(&format!("namespace: N\nservice: {{ignores: [method_override]}}\nroutes:\n{ROUTES}")).unwrap();
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    for (kind, body, expected) in [
        (form, &b"caf\xc3\xa9=8"[..], "view Device::7"),
        (form, b"%c1%a9d=8", "refuse ambiguous_value"),
        (form, b"\xc1\xa9d=8", "refuse ambiguous_value"),
        (form, b"x=%e9", "view Device::7"),
        (form, b"\x89PNG\r\n\x1a\n\xff\xfe\xc1", "view Device::7"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\xc1\xa9d\r\n\r\n8\r\n--x--",
            "refuse ambiguous_value",
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=f; filename=\"\xe9\"\r\n\r\n8\r\n--x--",
            "view Device::7",
        ),
        // others read on
        (json, br#"{"a": 1, "a": 2, "name": 8}"#, "view Device::7"),
        (json, br#"{"a": 1, "a": 2, "i\u0064": 8}"#, "refuse ambiguous_value"),
        (json, br#"{"a": 1, "a": 2, "i_d": 8}"#, "refuse ambiguous_value"),
        (json, "{\"a\": 1, \"a\": 2, \"\u{131}d\": 8}".as_bytes(), "refuse ambiguous_value"),
        (json, b"{\"\xc1\xa9d\": 8}", "refuse ambiguous_value"),
        (json, b"{\0\"\0i\0d\0\"\0:\08\0}\0", "refuse ambiguous_value"),
        ("text/json", b"\xff\xfe{\0\"\0i\0d\0\"\0:\08\0}\0", "refuse ambiguous_value"),
        (json, b"{\0\"\0n\0\"\0:\08\0}\0", "view Device::7"),
    ] {
        let found = ask(&table, "PUT /d/7", &[("Content-Type", kind)], Body::Whole(body));
        assert_eq!(found, expected, "{kind} {}", String::from_utf8_lossy(body));
    }
}
