//! What a file of routes says of its service, and bodies that are not shown.

use super::*;

#[test]
fn what_the_service_does_is_for_the_file_to_say() {
    let file = |service: &str| {
        load(&format!(
            "namespace: N\n{service}routes:\n  - {{match: POST /open, public: true}}\n  - match: GET /ws\n    public: true\n    \
             upgrade: websocket\n  - match: POST /d/move\n    deny: no\n  - match: POST /d/{{id}}\n    action: edit\n    \
             resource: Device::{{path.id}}\n    allow_paths: [trailing_slash]\n  - match: DELETE /d/{{id}}\n    deny: no\n"
        ))
        .unwrap()
    };
    let strict = file("");
    let lax = file(
        "service: {path_case: ignored, suffixes: exact, ignores: [method_override, path_override, host_override, body_parameters]}\n",
    );
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let json = ("Content-Type", "application/json");
    let whole = Body::Whole(b"_method=DELETE");
    for (request, headers, body, expected, otherwise) in [
        ("POST /open", &[("X.HTTP.Method", "GET")][..], Body::NotForwarded, "refuse method_override", "public"),
        ("POST /open?_method=x", &[], Body::NotForwarded, "refuse method_override", "public"),
        ("POST /open", &[form], Body::NotForwarded, "refuse method_override", "public"),
        ("POST /open", &[form], whole, "refuse method_override", "public"),
        ("POST /open", &[json, ("X-Original-URL", "/x")], Body::Whole(b""), "refuse path_override", "public"),
        ("POST /open", &[json, ("Forwarded", "host=b.test")], Body::Whole(b""), "refuse host_override", "public"),
        ("POST /open", &[], Body::NotForwarded, "public", "public"),
        ("POST /d/7/", &[], Body::NotForwarded, "refuse method_override", "edit Device::7"),
        ("POST /d/7/", &[], Body::Whole(b""), "edit Device::7", "edit Device::7"),
        ("POST /open", &[], whole, "refuse method_override", "public"),
        ("POST /open", &[], Body::Whole(b""), "public", "public"),
        ("POST /open", &[json], Body::NotForwarded, "public", "public"),
        ("POST /open", &[json, ("X-Forwarded-Host", "A.test:80")], Body::Whole(b""), "public", "public"),
        (
            "POST /none",
            &[("X-HTTP-Method", "GET")],
            Body::NotForwarded,
            "refuse method_override",
            "refuse method_override",
        ),
        ("POST /open", &[json, ("Upgrade", "websocket")], Body::Whole(b""), "refuse bad_upgrade", "refuse bad_upgrade"),
        ("GET /ws", &[("Upgrade", "websocket")], Body::NotForwarded, "public", "public"),
        ("GET /ws", &[("Upgrade", "h2c")], Body::NotForwarded, "refuse bad_upgrade", "refuse bad_upgrade"),
        ("POST /d/move", &[json], Body::Whole(b""), "refuse denied_by_route", "refuse denied_by_route"),
        ("POST /d/move/", &[json], Body::Whole(b""), "refuse no_route", "refuse no_route"),
        ("POST /d/7/", &[json], Body::Whole(b""), "edit Device::7", "edit Device::7"),
        ("POST /d/Move", &[json], Body::Whole(b""), "edit Device::Move", "refuse denied_by_route"),
        ("POST /d/move.json", &[json], Body::Whole(b""), "refuse no_route", "edit Device::move.json"),
        ("POST /d/7.json", &[json], Body::Whole(b""), "edit Device::7.json", "edit Device::7.json"),
        ("POST /D/7", &[json], Body::Whole(b""), "refuse no_route", "edit Device::7"),
    ] {
        assert_eq!(ask(&strict, request, headers, body), expected, "{request} {headers:?}");
        assert_eq!(ask(&lax, request, headers, body), otherwise, "{request} {headers:?}");
    }
}

/// The example of the page, and a query that lists Astro's word.
#[test]
fn functions_of_pages_pass_where_every_route_of_the_path_knows_of_them() {
    let routes = "  - {match: POST /login, when: header.next-action is 4042fe1c, public: true}\n  - {match: POST /login, when: \
                  header.next-action absent, public: true}\n  - {match: POST /other, public: true}\n  - {match: POST /astro, \
                  action: edit, resource: 'Device::7', parameters: [_action]}\n";
    let loaded = |service: &str| load(&format!("namespace: N\n{service}routes:\n{routes}")).unwrap();
    let (own, none) = (loaded(""), loaded("service: {ignores: [action_override]}\n"));
    let (json, other) = (("Content-Type", "application/json"), ("X-Other", "1"));
    for (request, header, expected, ignored) in [
        ("POST /login", ("Next-Action", "4042fe1c"), "public", "public"),
        ("POST /login", ("Next-Action", "beef"), "refuse no_case", "refuse no_case"),
        ("POST /login", other, "public", "public"),
        ("POST /other", ("Next-Action", "4042fe1c"), "refuse action_override", "public"),
        ("POST /other?_action=wipe", other, "refuse action_override", "public"),
        ("POST /astro?_action=like", other, "edit Device::7", "edit Device::7"),
        ("POST /astro?_astroAction=like", other, "refuse action_override", "refuse unknown_field"),
    ] {
        for (table, expected) in [(&own, expected), (&none, ignored)] {
            assert_eq!(ask(table, request, &[json, header], Body::Whole(b"{}")), expected, "{request} {header:?}");
        }
    }
}

#[test]
fn a_value_of_the_query_is_refused_where_a_body_that_is_not_shown_may_name_it() {
    let file = |service: &str| {
        let methods = "GET,POST,PUT,PATCH,DELETE";
        load(&format!(
            "namespace: N\n{service}routes:\n  - match: {methods} /q\n    action: edit\n    resource: \
             Device::{{query.id}}\n  - match: {methods} /d/{{id}}\n    action: edit\n    resource: Device::{{path.id}}\n"
        ))
        .unwrap()
    };
    let (strict, lax) = (
        file("service: {ignores: [method_override]}\n"),
        file("service: {ignores: [method_override, body_parameters]}\n"),
    );
    let refused = "refuse body_not_forwarded";
    for (method, body, expected) in [
        ("GET", Body::NotForwarded, refused),
        ("DELETE", Body::NotForwarded, refused),
        ("POST", Body::NotForwarded, refused),
        ("PUT", Body::NotForwarded, refused),
        ("PATCH", Body::Partial, refused),
        ("POST", Body::Whole(b""), "edit Device::7"),
        ("PUT", Body::Whole(b"{\"a\": 1}"), "edit Device::7"),
    ] {
        let json = [("Content-Type", "application/json")];
        assert_eq!(ask(&strict, &format!("{method} /q?id=7"), &json, body), expected, "{method} {body:?}");
        assert_eq!(ask(&lax, &format!("{method} /q?id=7"), &json, body), "edit Device::7", "{method} {body:?}");
        assert_eq!(ask(&strict, &format!("{method} /d/7"), &json, body), "edit Device::7", "{method} {body:?}");
        // without a type it has no body as a rule
        let bare = if body == Body::NotForwarded { "edit Device::7" } else { expected };
        assert_eq!(ask(&strict, &format!("{method} /q?id=7"), &[], body), bare, "{method} {body:?} without a type");
    }
}

#[test]
fn a_word_of_a_path_has_one_writing() {
    let file = |service: &str| {
        load(&format!(
            "namespace: N\nservice: {{{service}}}\nroutes:\n  - match: GET /d/{{id:Up|down}}\n    action: view\n    \
             resource: Device::{{path.id}}\n"
        ))
        .unwrap()
    };
    for (service, text, expected) in [
        ("path_case: exact", "Up", "view Device::Up"),
        ("path_case: exact", "up", "refuse no_route"),
        ("path_case: ignored", "up", "view Device::Up"),
        ("path_case: ignored", "DOWN", "view Device::down"),
        ("suffixes: format", "Up.json", "view Device::Up"),
        ("suffixes: format, path_case: ignored", "UP.json", "view Device::Up"),
        ("suffixes: exact", "Up.json", "refuse no_route"),
    ] {
        assert_eq!(get(&file(service), &format!("/d/{text}")), expected, "{service} {text}");
    }
}

#[test]
fn a_plain_field_that_says_another_method_is_for_the_route_to_know() {
    let file = |service: &str| {
        load(&format!(
            "namespace: N\n{service}routes:\n  - match: POST,GET /d/{{id}}\n    action: edit\n    resource: Device::{{path.id}}\n  \
             - match: POST /hooks\n    action: edit\n    resource: Device::h\n    fields: [method, url]\n  - match: POST /read\n    \
             action: edit\n    resource: Device::{{body.method}}\n  - match: GET /log\n    action: view\n    resource: Device::l\n    \
             parameters: [method]\n"
        ))
        .unwrap()
    };
    let (strict, lax) = (file(""), file("service: {ignores: [method_override]}\n"));
    let refused = "refuse method_override";
    for (request, body, expected, otherwise) in [
        ("POST /d/7", "{}", "edit Device::7", "edit Device::7"),
        ("POST /d/7?method=DELETE", "{}", refused, "edit Device::7"),
        ("POST /d/7?method=POST", "{}", "edit Device::7", "edit Device::7"),
        ("POST /d/7?method=card", "{}", "edit Device::7", "edit Device::7"),
        ("GET /d/7?method=DELETE", "", refused, "edit Device::7"),
        ("POST /d/7", r#"{"method": "DELETE"}"#, refused, "edit Device::7"),
        ("POST /d/7", r#"{"method": "POST"}"#, "edit Device::7", "edit Device::7"),
        ("POST /d/7", r#"{"method": 1}"#, "edit Device::7", "edit Device::7"),
        // the route knows it, and only where it says so
        ("POST /hooks", r#"{"method": "PUT"}"#, "edit Device::h", "edit Device::h"),
        ("POST /hooks?method=PUT", r#"{"method": "PUT"}"#, refused, "edit Device::h"),
        ("POST /read", r#"{"method": "PUT"}"#, "edit Device::PUT", "edit Device::PUT"),
        ("GET /log?method=DELETE", "", "view Device::l", "view Device::l"),
        // a file cannot list other names
        ("POST /hooks", r#"{"_method": "PUT"}"#, refused, "refuse unknown_field"),
    ] {
        assert_eq!(json(&strict, request, body), expected, "{request} {body}");
        assert_eq!(json(&lax, request, body), otherwise, "{request} {body}");
    }
}

#[test]
fn a_plain_field_may_not_say_a_method_that_the_path_is_mapped_for() {
    let table = table(
        "  - match: POST /d/{id}
    action: edit
    resource: Device::{path.id}
  - match: MERGE,REBOOT /d/{id}
    action: move
    resource: Device::{path.id}
    context: {target: Home::h}
  - match: WIPE /d/{id}/
    deny: no
  - match: POST /other
    action: edit
    resource: Device::o
",
    );
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    for (word, there, elsewhere) in [
        ("MERGE", false, false),
        ("merge", false, true),
        ("REBOOT", false, true),
        ("Reboot", false, true),
        ("wipe", false, true),
        ("SUBSCRIBE", false, false),
        ("subscribe", true, true),
        ("POST", true, true),
        ("card", true, true),
    ] {
        for (path, passes, own) in [("/d/7", there, "edit Device::7"), ("/other", elsewhere, "edit Device::o")] {
            let expected = if passes { own } else { "refuse method_override" };
            for (query, kind, body) in [
                (format!("?method={word}"), json, "{}".to_owned()),
                (String::new(), form, format!("a=1&method={word}")),
                (String::new(), json, format!(r#"{{"method": "{word}"}}"#)),
            ] {
                let found = ask(
                    &table,
                    &format!("POST {path}{query}"),
                    &[("Content-Type", kind)],
                    Body::Whole(body.as_bytes()),
                );
                assert_eq!(found, expected, "{path}{query} {body}");
            }
        }
    }
}

#[test]
fn a_machine_has_no_name_of_a_host_with_other_routes() {
    let one = |hosts: &str, path: &str| {
        format!("namespace: N\n{hosts}routes:\n  - match: GET {path}\n    action: view\n    resource: Device::d\n")
    };
    let tables = |files: &[(&str, &str)]| {
        let files: Vec<_> =
            files.iter().enumerate().map(|(at, (hosts, path))| (format!("{at}.yaml"), one(hosts, path))).collect();
        compile(&files, Some(&facts())).unwrap().0
    };
    let other = "hosts: [b.test]\n";
    let own = "hosts: [a.test]\n";
    for (files, server, expected) in [
        (&[(own, "/x"), (other, "/y")][..], "b.test", "refuse host_override"),
        (&[(own, "/x"), (other, "/y")], "b.test.", "refuse host_override"),
        (&[(own, "/x"), (other, "/y")], "B.Test.", "refuse host_override"),
        (&[(own, "/x"), (other, "/y")], "web-1.lan", "view Device::d"),
        (&[(own, "/x"), (other, "/y")], "web-1", "view Device::d"),
        (&[(own, "/x"), (other, "/y")], "a.test.", "view Device::d"),
        // one file has routes for every name that no other file has
        (&[(own, "/x"), ("", "/y")], "c.test", "refuse host_override"),
        (&[(own, "/x"), ("", "/y")], "web-1", "view Device::d"),
        (&[(own, "/x"), ("", "/y")], "a.test", "view Device::d"),
        // the same routes for every name
        (&[("", "/x")], "c.test", "view Device::d"),
        (&[("", "/x")], "web-1", "view Device::d"),
    ] {
        let table = tables(files);
        for (name, value) in
            [("X-Forwarded-Server", server.to_owned()), ("X-Forwarded-Server", format!("web-2, {server}"))]
        {
            let found = ask(&table, "GET /x", &[(name, &value)], Body::NotForwarded);
            assert_eq!(found, expected, "{files:?} {value}");
        }
        for value in ["by=10.0.0.1;for=_x;proto=https", "for=\"[::1]:80\";host=a.test;by=_proxy"] {
            assert_eq!(ask(&table, "GET /x", &[("Forwarded", value)], Body::NotForwarded), "view Device::d", "{value}");
        }
    }
}
