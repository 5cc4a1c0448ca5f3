//! The bundle over the admin API: uploaded, read back, refused, validated, and what the status reports of it.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::native::{ASK, POLICIES, SCHEMA, also, ask, bundle, decide, put, reads, refused, server, verdict};
use crate::support::Server;
use crate::support::http::connect;

/// Two authors read, edit and put back: the later one gets an error.
#[test]
fn a_change_of_another_revision_is_refused() {
    let server = Server::start(json!({}));
    put(&server, &bundle());
    let mut admin = server.admin();
    let read = admin.get("/v1/bundle");
    let old = read.header("palisade-revision").unwrap().to_owned();
    assert_eq!(read.header("etag"), Some(&*format!("\"{old}\"")));
    let text = json!({ "policies": "forbid (principal, action, resource);", "schema": SCHEMA });
    let answer = admin.put("/v1/bundle", text.to_string());
    let now = answer.json()["revision"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("etag"), Some(&*format!("\"{now}\"")));
    let other = "00000000000000ab-2";
    for (if_match, revision, status, code) in [
        (None, Some(&*old), 412, "revision_changed"),
        (Some(format!("\"{old}\"")), None, 412, "revision_changed"),
        (Some(format!("\"{now}\"")), Some(&*old), 412, "revision_changed"),
        (Some(format!("\"{old}\"")), Some(&*now), 412, "revision_changed"),
        (Some("*".to_owned()), Some(other), 412, "revision_changed"),
        (Some(format!("W/\"{now}\"")), None, 412, "revision_changed"),
        (Some("\"anything\"".to_owned()), None, 412, "revision_changed"),
        (Some(String::new()), None, 412, "revision_changed"),
        (Some("anything".to_owned()), None, 400, "invalid_revision"),
        (None, Some("anything"), 400, "invalid_revision"),
        (Some("*".to_owned()), None, 200, ""),
        (Some(now.clone()), None, 200, ""),
        (Some(format!("\"{old}\", \"{now}\"")), Some(&*now), 200, ""),
    ] {
        // what serves already, so that the revision stays
        let body = revision.map_or(text.clone(), |revision| also(text.clone(), "revision", json!(revision)));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(if_match.as_deref().map(|tag| ("if-match", tag)));
        let answer = admin.send("PUT", "/v1/bundle", &headers, body.to_string().as_bytes());
        let seen = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, &*seen), (status, code), "{if_match:?} {revision:?}: {}", answer.text());
        assert_eq!(admin.get("/v1/status").json()["revision"], json!(now), "{if_match:?} {revision:?}");
    }
    // a bundle that is put back as it was read is what serves
    let read = admin.get("/v1/bundle").json();
    put(&server, &read);
}

#[test]
fn a_bundle_read_back_is_the_same_bundle() {
    let linked = format!(
        "{POLICIES}\n@id(\"own\") permit (principal == ?principal, action == T::Action::\"read\", resource == ?resource);"
    );
    let links = json!([{ "template_id": "policy6", "link_id": "bo reads d", "args": { "?principal": "T::User::\"bo\"", "?resource": "T::Doc::\"d\"" } }]);
    let schema_json: Value = json!({ "": { "entityTypes": { "U": {} }, "actions": { "a": { "appliesTo": { "principalTypes": ["U"], "resourceTypes": ["U"] } } } } });
    let small = json!({ "a/b~c": "@id(\"x\") permit (principal, action, resource);", "second": "forbid (principal == U::\"z\", action, resource);" });
    let aliased = json!([{ "template_id": "own", "link_id": "l", "args": { "?principal": "T::User::\"bo\"", "?resource": "T::Doc::\"d\"" } }]);
    for (what, bundle, asked) in [
        (
            "a template by its @id",
            also(also(bundle(), "policies", json!(linked)), "links", aliased),
            ask(r#"T::User::"bo""#, "read", r#"T::Doc::"d""#, json!({})),
        ),
        ("one text", bundle(), reads(json!({}))),
        (
            "one text with a template",
            also(also(bundle(), "policies", json!(linked)), "links", links),
            ask(r#"T::User::"bo""#, "read", r#"T::Doc::"d""#, json!({})),
        ),
        (
            "a map with a JSON schema as an object",
            json!({ "policies": small, "schema": schema_json, "entities": [{ "uid": { "type": "U", "id": "z" }, "attrs": {}, "parents": [] }] }),
            json!({ "principal": "U::\"z\"", "action": "Action::\"a\"", "resource": "U::\"z\"" }),
        ),
        (
            "entities as text, line by line; a JSON schema as text",
            json!({ "policies": small, "schema": schema_json.to_string(), "entities": "{\"uid\":{\"type\":\"U\",\"id\":\"z\"},\"attrs\":{},\"parents\":[]}\n" }),
            json!({ "principal": "U::\"z\"", "action": "Action::\"a\"", "resource": "U::\"z\"" }),
        ),
    ] {
        let server = Server::start(json!({}));
        put(&server, &bundle);
        let (mut client, mut admin) = (server.client(), server.admin());
        let before = decide(&mut client, &asked);
        let read = admin.get("/v1/bundle");
        assert_eq!(read.status, 200);
        assert_eq!(read.json()["revision"], before["revision"]);
        assert_eq!(read.header("palisade-revision"), before["revision"].as_str());
        put(&server, &read.json());
        let after = decide(&mut client, &asked);
        assert_eq!(
            (&after["decision"], &after["diagnostics"]),
            (&before["decision"], &before["diagnostics"]),
            "{what}"
        );
        let again = admin.get("/v1/bundle").json();
        for member in ["policies", "schema", "entities", "links"] {
            assert_eq!(again[member], read.json()[member], "{what}: {member}");
        }
    }
}

#[test]
fn ids_come_from_the_keys_or_are_counted() {
    let server = Server::start(json!({ "validation": "off", "load": { "allow_empty_policies": true } }));
    let mut client = server.client();
    let body = json!({ "principal": "U::\"u\"", "action": "A::\"a\"", "resource": "U::\"u\"", "entities": [{ "uid": { "type": "U", "id": "u" }, "attrs": {}, "parents": [] }] });
    let permit = "permit (principal, action, resource);";
    let template = "permit (principal == ?principal, action, resource);";
    for (policies, links, expected) in [
        (json!(format!("{permit}\n@id(\"named\") {permit}")), json!([]), vec!["policy0", "policy1"]),
        (json!({ "b": permit, "a": format!("@id(\"other\") {permit}") }), json!([]), vec!["a", "b"]),
        (json!(""), json!([]), vec![]),
        (json!({}), json!([]), vec![]),
        // templates share the counter, and decide only by their links
        (
            json!(format!("{permit} {template} {permit}")),
            json!([{ "template_id": "policy1", "link_id": "l", "args": { "?principal": { "type": "U", "id": "u" } } }]),
            vec!["l", "policy0", "policy2"],
        ),
        // in one text a template may be named by its @id, which names nothing else
        (
            json!(format!("@id(\"t\") {template}")),
            json!([{ "template_id": "t", "link_id": "l", "args": { "?principal": "U::\"u\"" } }]),
            vec!["l"],
        ),
        (
            json!({ "t": template }),
            json!([{ "template_id": "t", "link_id": "l1", "args": { "?principal": "U::\"u\"" } }, { "template_id": "t", "link_id": "l2", "args": { "?principal": "U::\"v\"" } }]),
            vec!["l1"],
        ),
    ] {
        put(&server, &json!({ "policies": policies, "links": links }));
        let (_, reason, _) = verdict(&mut client, &body);
        assert_eq!(reason, expected, "{policies}");
    }
}

#[test]
fn a_link_whose_template_is_ambiguous_is_refused() {
    let server = Server::start(json!({ "validation": "off" }));
    let (permit, forbid) =
        ("permit (principal == ?principal, action, resource);", "forbid (principal == ?principal, action, resource);");
    let link =
        |template: &str| json!([{ "template_id": template, "link_id": "l", "args": { "?principal": "U::\"u\"" } }]);
    for (policies, template, fine) in [
        // two templates with one `@id`
        (json!(format!("@id(\"t\") {permit} @id(\"t\") {forbid}")), "t", false),
        (json!(format!("@id(\"t\") {permit} @id(\"t\") {forbid}")), "policy1", true),
        // an `@id` that is the id of another
        (json!(format!("@id(\"policy1\") {permit} {forbid}")), "policy1", false),
        (json!(format!("@id(\"policy1\") {permit} {forbid}")), "policy0", true),
        (json!(format!("@id(\"policy0\") {permit}")), "policy0", true),
        // apart, an `@id` names nothing
        (json!({ "a": format!("@id(\"b\") {permit}"), "b": forbid }), "b", true),
        (json!({ "a": format!("@id(\"t\") {permit}") }), "t", false),
    ] {
        let bundle = json!({ "policies": policies, "links": link(template) });
        let answer = server.admin().put("/v1/bundle", bundle.to_string());
        assert_eq!(answer.status == 200, fine, "{bundle}: {}", answer.text());
        if fine {
            // what is read back links the same template, whatever it was called
            let read = server.admin().get("/v1/bundle").json();
            let put = server.admin().put("/v1/bundle", read.to_string());
            assert_eq!((put.status, &put.json()["published"]), (200, &json!(false)), "{}", put.text());
            let again = server.admin().get("/v1/bundle").json();
            assert_eq!((&again["policies"], &again["links"]), (&read["policies"], &read["links"]));
        }
    }
}

/// What files hold, read and put back: nothing is published, and the files stay the source.
#[test]
fn what_was_read_from_files_and_is_put_back_changes_nothing() {
    let mut flags = crate::support::fleet();
    flags["routes"] = json!(Server::project("routes"));
    let server = Server::ready(flags);
    let before = server.admin().get("/v1/status").json();
    let mut read = server.admin().get("/v1/bundle").json();
    for _ in 0..2 {
        let answer = put(&server, &read);
        assert_eq!((&answer["published"], &answer["revision"]), (&json!(false), &before["revision"]));
    }
    let after = server.admin().get("/v1/status").json();
    assert_eq!((&after["source"], &after["source"]["kind"]), (&before["source"], &json!("files")));
    // one difference, and it is another
    read["entities"].as_array_mut().unwrap().pop();
    read.as_object_mut().unwrap().remove("revision");
    let changed = put(&server, &read);
    assert_eq!(changed["published"], true);
    assert_eq!(put(&server, &read)["published"], false);
    assert_eq!(server.admin().get("/v1/status").json()["source"]["kind"], "bundle");
}

#[test]
fn a_bundle_replaces_everything() {
    let server = server(json!({ "validation": "off" }));
    let first = server.admin().get("/v1/status").json();
    let second = put(&server, &json!({ "policies": "permit (principal, action, resource);" }));
    assert_eq!((&second["policies"], &second["entities"], &second["published"]), (&json!(1), &json!(0), &json!(true)));
    assert_ne!(first["revision"], second["revision"]);
    let read = server.admin().get("/v1/bundle").json();
    assert_eq!((&read["schema"], &read["entities"], &read["links"]), (&json!(null), &json!([]), &json!([])));
    // the same again changes nothing
    let third = put(
        &server,
        &json!({ "policies": "permit (principal, action, resource);", "schema": null, "entities": null, "links": null }),
    );
    assert_eq!((&third["published"], &third["revision"]), (&json!(false), &second["revision"]));
}

#[test]
fn bundles_that_cannot_be_used_change_nothing() {
    let server = server(json!({}));
    let mut admin = server.admin();
    let before = admin.get("/v1/bundle").json();
    let with = |member: &str, value: Value| also(bundle(), member, value);
    for (body, code, pointer) in [
        (json!({}), "missing_member", "/policies"),
        (json!([POLICIES, SCHEMA, []]), "invalid_request", ""),
        (json!(null), "invalid_request", ""),
        (with("policy", json!("")), "unknown_member", "/policy"),
        (with("policies", json!(null)), "invalid_member", "/policies"),
        (with("policies", json!([""])), "invalid_member", "/policies"),
        (with("policies", json!({ "a/b": 7 })), "invalid_member", "/policies/a~1b"),
        (with("schema", json!(7)), "invalid_member", "/schema"),
        (with("schema", json!([7])), "invalid_member", "/schema"),
        (with("entities", json!({})), "invalid_member", "/entities"),
        (with("entities", json!(false)), "invalid_member", "/entities"),
        (with("links", json!({})), "invalid_member", "/links"),
        (with("links", json!([1])), "invalid_member", "/links/0"),
        (with("links", json!([{ "template_id": "t", "args": {} }])), "missing_member", "/links/0/link_id"),
        (with("links", json!([{ "template_id": 1, "link_id": "l" }])), "invalid_member", "/links/0/template_id"),
        (with("links", json!([{ "template_id": "t", "link_id": "l", "args": [] }])), "invalid_member", "/links/0/args"),
        (
            with("links", json!([{ "template_id": "t", "link_id": "l", "args": { "?principal": "x" } }])),
            "invalid_uid",
            "/links/0/args/?principal",
        ),
        (
            with("links", json!([{ "template_id": "t", "link_id": "l", "slots": {} }])),
            "unknown_member",
            "/links/0/slots",
        ),
    ] {
        refused(&admin.put("/v1/bundle", body.to_string()), 400, code, pointer);
    }
    for (body, pointer) in [
        ("", ""),
        ("{", ""),
        (r#"{"policies":"","policies":""}"#, ""),
        (r#"{"policies":{"a":"","a":""}}"#, "/policies"),
        (r#"{"policies":"","schema":{"":{},"":{}}}"#, "/schema"),
    ] {
        refused(&admin.put("/v1/bundle", body), 400, "malformed_json", pointer);
    }
    let twice = |id: &str| json!({ "uid": { "type": "T::Group", "id": id }, "attrs": {}, "parents": [] });
    for (body, at, words) in [
        (with("policies", json!("permit (principal, action);")), "policies", "missing the `resource`"),
        (
            with(
                "policies",
                json!({ "two": "permit (principal, action, resource); permit (principal, action, resource);" }),
            ),
            "policies[\"two\"]",
            "exactly one policy",
        ),
        (with("policies", json!("permit (principal, action, resource) when { principal.nope };")), "policies", "nope"),
        (with("policies", json!("permit (principal is T::Nobody, action, resource);")), "policies", "T::Nobody"),
        (with("schema", json!("entity A in [B];")), "schema", "B"),
        (with("schema", json!("entity A = {")), "schema", ""),
        (with("schema", Value::Null), "schema", "no schema"),
        (
            with("entities", json!([{ "uid": { "type": "T::User", "id": "x" }, "attrs": {}, "parents": [] }])),
            "entities",
            "age",
        ),
        (with("entities", json!([twice("g"), twice("g")])), "entities", "twice"),
        (
            with(
                "entities",
                json!([{ "uid": { "type": "T::Group", "id": "g" }, "attrs": {}, "parents": [{ "type": "T::Group", "id": "g" }] }]),
            ),
            "entities",
            "own ancestors",
        ),
        (with("links", json!([{ "template_id": "policy0", "link_id": "l", "args": {} }])), "links[0].template_id", ""),
        (
            with("links", json!([{ "template_id": "none", "link_id": "l", "args": {} }])),
            "links[0].template_id",
            "no template",
        ),
    ] {
        let answer = admin.put("/v1/bundle", body.to_string());
        refused(&answer, 422, "invalid_bundle", "");
        let errors = &answer.json()["errors"];
        let found = errors.as_array().unwrap().iter().any(|error| {
            error["severity"] == "error" && error["where"] == at && error["message"].as_str().unwrap().contains(words)
        });
        assert!(found, "{at} {words}: {errors}");
    }
    let duplicate = bundle().to_string().replacen("\"age\":40", "\"age\":40,\"age\":41", 1);
    refused(&admin.put("/v1/bundle", duplicate), 422, "invalid_bundle", "");
    assert_eq!(admin.get("/v1/bundle").json(), before);
    let status = admin.get("/v1/status").json();
    assert_eq!(status["ready"], true);
    assert_eq!(
        (&status["last_attempt"]["ok"], &status["last_attempt"]["source"]),
        (&json!(false), &json!("bundle")),
        "{status}"
    );
}

#[test]
fn validation_is_strict_or_warns_or_is_off() {
    let invalid = also(bundle(), "policies", json!("permit (principal, action, resource) when { principal.nope };"));
    let no_schema = json!({ "policies": "permit (principal, action, resource);" });
    let bad_entities =
        also(bundle(), "entities", json!([{ "uid": { "type": "T::User", "id": "x" }, "attrs": {}, "parents": [] }]));
    for (mode, loads, warned) in [("strict", false, false), ("warn", true, true), ("off", true, false)] {
        let server = Server::start(json!({ "validation": mode }));
        let mut admin = server.admin();
        let answer = admin.put("/v1/bundle", invalid.to_string());
        assert_eq!(answer.status, if loads { 200 } else { 422 }, "{mode}: {}", answer.text());
        if loads {
            let warnings = answer.json()["warnings"].clone();
            assert_eq!(warnings.as_array().is_some_and(|list| !list.is_empty()), warned, "{mode}: {warnings}");
            assert_eq!(admin.get("/v1/status").json()["warnings"], warnings);
        }
        // without a schema there is nothing to validate against
        let answer = admin.put("/v1/bundle", no_schema.to_string());
        assert_eq!(answer.status, if loads { 200 } else { 422 }, "{mode}: {}", answer.text());
        // `validation` is about policies: entities are always checked
        refused(&admin.put("/v1/bundle", bad_entities.to_string()), 422, "invalid_bundle", "");
        // and so are requests
        assert_eq!(admin.put("/v1/bundle", bundle().to_string()).status, 200);
        refused(
            &server.client().post(ASK, reads(json!({ "n": "1" })).to_string()),
            400,
            "invalid_context",
            "/context/n",
        );
    }
}

#[test]
fn status_reports_where_the_bundle_came_from() {
    let fixture = |what: &str| Server::project(&format!("tests/it/fixtures/authzen/{what}"));
    let server = Server::ready(json!({ "policies": fixture("policies"), "entities": fixture("entities") }));
    let mut admin = server.admin();
    let status = admin.get("/v1/status").json();
    assert_eq!(status["source"], json!({ "kind": "files", "durable": true }));
    assert_eq!((&status["ready"], &status["policies"], &status["entities"]), (&json!(true), &json!(4), &json!(4)));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["age_seconds"].as_f64().is_some_and(|age| (0.0..60.0).contains(&age)), "{status}");
    let published = put(&server, &bundle());
    let status = admin.get("/v1/status").json();
    assert_eq!(status["source"], json!({ "kind": "bundle", "durable": false }));
    assert_eq!(
        (&status["revision"], &status["policies"], &status["entities"]),
        (&published["revision"], &json!(6), &json!(6))
    );
}

#[test]
fn validate_always_answers_with_a_verdict() {
    let server = Server::start(json!({ "validation": "off" }));
    let mut admin = server.admin();
    let with = |member: &str, value: Value| also(bundle(), member, value);
    let invalid = "permit (principal, action, resource) when { principal.nope };";
    let links = json!([{ "template_id": "policy0", "link_id": "l", "args": { "?principal": "T::User::\"bo\"" } }]);
    let template = "permit (principal == ?principal, action == T::Action::\"read\", resource);";
    for (body, valid, places) in [
        (bundle(), true, vec![]),
        (json!({ "policies": POLICIES, "schema": SCHEMA }), true, vec![]),
        (json!({ "policies": "", "schema": SCHEMA }), true, vec![]),
        (also(with("policies", json!(template)), "links", links.clone()), true, vec![]),
        (with("policies", json!(invalid)), false, vec!["policies"]),
        (
            with("policies", json!({ "one": invalid, "two": invalid })),
            false,
            vec!["policies[\"one\"]", "policies[\"two\"]"],
        ),
        (json!({ "policies": POLICIES }), false, vec!["schema"]),
        (with("schema", json!("entity A =")), false, vec!["schema"]),
        (also(with("schema", json!("entity A =")), "policies", json!("permit (")), false, vec!["schema", "policies"]),
        (
            also(with("entities", json!([{ "uid": 7 }])), "policies", json!(invalid)),
            false,
            vec!["policies", "entities"],
        ),
        (with("links", links), false, vec!["links[0].template_id"]),
        // well-formed JSON that is no bundle
        (json!({}), false, vec!["policies"]),
        (json!({ "policies": 7, "schema": SCHEMA }), false, vec!["policies"]),
        (json!({ "policies": {}, "schema": 7 }), false, vec!["schema"]),
        (json!({ "policies": {}, "other": 7 }), false, vec!["other"]),
        (json!([]), false, vec![""]),
        (json!("text"), false, vec![""]),
    ] {
        let answer = admin.post("/v1/validate", body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let verdict = answer.json();
        assert_eq!(verdict["valid"], valid, "{body}: {verdict}");
        assert!(verdict["warnings"].is_array() && verdict.as_object().unwrap().len() == 3, "{verdict}");
        let errors = verdict["errors"].as_array().unwrap();
        assert_eq!(errors.is_empty(), valid);
        for place in places {
            assert!(
                errors.iter().any(|error| error["where"] == place && error["severity"] == "error"),
                "{place}: {verdict}"
            );
        }
    }
    // a warning is no error
    let odd = with("policies", json!("permit (principal, action == T::Action::\"read\", resource) when { false };"));
    let verdict = admin.post("/v1/validate", odd.to_string()).json();
    assert_eq!(
        (&verdict["valid"], &verdict["warnings"][0]["severity"]),
        (&json!(true), &json!("warning")),
        "{verdict}"
    );
    // nothing of it was loaded
    assert_eq!(admin.get("/v1/status").json()["revision"], json!(null));
    for body in ["", "{", "{} x", r#"{"policies":"","policies":""}"#] {
        refused(&admin.post("/v1/validate", body), 400, "malformed_json", "");
    }
    let text = admin.send("POST", "/v1/validate", &[("content-type", "text/plain")], b"{}");
    refused(&text, 400, "wrong_content_type", "");
}

#[test]
fn few_bundles_are_validated_at_a_time() {
    let server = Server::start(json!({ "validation": "off" }));
    let turns = server.services.aside.validations.clone();
    let all = turns.try_acquire_many(u32::try_from(turns.available_permits()).unwrap()).unwrap();
    let answer = server.admin().post("/v1/validate", bundle().to_string());
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("too_busy")));
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(all);
    for _ in 0..4 {
        assert_eq!(server.admin().post("/v1/validate", bundle().to_string()).status, 200, "turns are given back");
    }
}

/// A bundle of some 20 MB, more than sockets hold, that costs little to load.
fn large() -> String {
    let entities: Vec<Value> = (0..80)
        .map(|n| json!({"uid": {"type": "U", "id": n.to_string()}, "attrs": {"x": "y".repeat(250_000)}, "parents": []}))
        .collect();
    json!({"policies": "permit (principal, action, resource);", "entities": entities}).to_string()
}

#[test]
fn a_large_bundle_is_written_for_few_at_a_time_and_for_those_who_take_it() {
    let patience = json!({ "validation": "off", "http": { "body_timeout": "700ms", "idle_timeout": "60s" } });
    for (leaves, settings) in [(true, json!({ "validation": "off" })), (false, patience)] {
        let server = Server::start(settings);
        assert_eq!(server.admin().put("/v1/bundle", large()).status, 200);
        let turns = || server.services.aside.exports.available_permits();
        let most = turns();
        let whole = server.admin().get("/v1/bundle");
        assert_eq!((whole.status, whole.header("content-length")), (200, None));
        assert_eq!(whole.json()["entities"].as_array().unwrap().len(), 80);
        server.until("the turn is over", |_| turns() == most);
        // clients that ask and read nothing
        let held: Vec<TcpStream> = (0..most)
            .map(|_| {
                let mut stream = connect(server.admin);
                stream.write_all(b"GET /v1/bundle HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
                stream
            })
            .collect();
        server.until("all turns are taken", |_| turns() == 0);
        if leaves {
            let refused = server.admin().get("/v1/bundle");
            assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("too_busy")));
            assert_eq!(refused.header("retry-after"), Some("1"));
            // others are answered all the while, and this endpoint again as soon as they have left
            assert_eq!(server.admin().send("HEAD", "/v1/bundle", &[], b"").status, 200);
            assert_eq!(server.admin().get("/v1/status").status, 200);
            drop(held);
            server.until("the turns are given back", |_| turns() == most);
        } else {
            server.until("they are given up", |_| turns() == most);
            for mut stream in held {
                let broken = crate::support::http::read_response(&mut std::io::BufReader::new(&mut stream), false);
                assert!(broken.is_err(), "an answer that broke off looks whole");
            }
        }
        server.until("all settled", |server| server.services.unanswered() == 0);
    }
}
