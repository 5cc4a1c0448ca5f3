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
