//! One policy, one link, entities alone; what is stored, one by one and page by page; and changes that are sent twice.

use super::*;
use crate::support::Client;

fn with(client: &mut Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    client.send(method, path, headers, body.as_bytes())
}

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain");

#[test]
fn a_policy_and_a_link_are_put_and_deleted_by_their_ids() {
    let server = server(json!({}));
    let mut admin = server.admin();
    let template = "permit (principal == ?principal, action, resource);";
    let link = json!({ "template_id": "a/b", "args": { "?principal": "T::User::\"bo\"" } }).to_string();
    let other = json!({ "template_id": "a/b", "link_id": "other", "args": {} }).to_string();
    let forbid =
        r#"{"effect":"forbid","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[]}"#;
    for (method, path, header, body, status, code, place) in [
        ("PUT", "/v1/policies/a%2Fb", TEXT, template, 200, "", ""),
        ("PUT", "/v1/links/l%20%C3%A9", JSON, link.as_str(), 200, "", ""),
        ("PUT", "/v1/links/l", JSON, &other, 400, "invalid_member", ""),
        ("DELETE", "/v1/policies/a%2Fb", JSON, "", 409, "template_in_use", "policies[\"a/b\"]"),
        ("DELETE", "/v1/links/l%20%C3%A9", JSON, "", 200, "", ""),
        ("DELETE", "/v1/links/l%20%C3%A9", JSON, "", 404, "not_found", ""),
        ("DELETE", "/v1/policies/a%2Fb", JSON, "", 200, "", ""),
        ("DELETE", "/v1/policies/a%2Fb", JSON, "", 404, "not_found", ""),
        (
            "PUT",
            "/v1/policies/x",
            TEXT,
            "permit (principal, action, resource",
            422,
            "invalid_change",
            "policies[\"x\"]",
        ),
        (
            "PUT",
            "/v1/policies/x",
            TEXT,
            "permit (principal, action, resource) when { principal.nme == 1 };",
            422,
            "invalid_change",
            "policies[\"x\"]",
        ),
        ("PUT", "/v1/policies/x?dry_run=true", JSON, forbid, 200, "", ""),
        ("PUT", "/v1/policies/x", ("content-type", "text/html"), template, 400, "wrong_content_type", ""),
        ("PUT", "/v1/policies/%FF", TEXT, template, 400, "invalid_path", ""),
        ("POST", "/v1/policies/x", TEXT, template, 405, "method_not_allowed", ""),
        ("PUT", "/v1/policies/x/y", TEXT, template, 404, "not_found", ""),
    ] {
        let answer = with(&mut admin, method, path, &[header], body);
        let seen = answer.json();
        assert_eq!(
            (answer.status, seen["code"].as_str().unwrap_or_default()),
            (status, code),
            "{method} {path}: {}",
            answer.text()
        );
        assert_eq!(
            seen["errors"][0]["where"].as_str().unwrap_or_default(),
            place,
            "{method} {path}: {}",
            answer.text()
        );
    }
    assert_eq!(decision(&server), "Allow");
    assert_eq!(with(&mut admin, "PUT", "/v1/policies/x", &[JSON], forbid).status, 200);
    assert_eq!(decision(&server), "Deny");
    let patch = |changes: Value| {
        with(&mut server.admin(), "PATCH", "/v1/entities", &[JSON], &json!({ "changes": changes }).to_string())
    };
    assert_eq!(patch(json!([{ "delete": "T::User::\"bo\"" }])).status, 409);
    assert_eq!(patch(json!([{ "upsert": user("new", &[]) }])).status, 200);
    let refused = patch(json!([{ "upsert": user("newer", &[]) }, { "delete_policy": "x" }])).json();
    assert_eq!((&refused["code"], &refused["where"]), (&json!("invalid_change"), &json!("/changes/1")));
}

#[test]
fn what_is_stored_is_shown_with_its_origin() {
    let server = server(json!({}));
    let mut admin = server.admin();
    change(
        &server,
        json!([{ "update": { "uid": "T::User::\"ann\"", "attrs": { "age": 7 } } }, { "upsert": user("a/b é", &["night"]) }]),
    );
    let ann = admin.get("/v1/entities/T%3A%3AUser/ann").json();
    assert_eq!((&ann["origin"], &ann["entity"]["attrs"]["age"]), (&json!("overlay"), &json!(7)));
    assert_eq!(ann["revision"], server.admin().get("/v1/status").json()["revision"]);
    assert_eq!(admin.get("/v1/entities/T::User/bo").json()["origin"], "base");
    assert_eq!(admin.get("/v1/entities/T::User/a%2Fb%20%C3%A9").json()["entity"]["uid"]["id"], "a/b é");
    for (path, status, code) in [
        ("/v1/entities/T::User/nowhere", 404, "not_found"),
        ("/v1/entities/T::User/a/b", 404, "not_found"),
        ("/v1/entities/T%20User/bo", 400, "invalid_uid"),
        ("/v1/entities?limit=0", 400, "invalid_member"),
        ("/v1/entities?token=00000000000000ab-1-0-6b5a7708", 410, "page_expired"),
    ] {
        let answer = admin.get(path);
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (status, code), "{path}");
    }
    // pages are of one revision, whatever is changed meanwhile
    let (mut token, mut ids, mut revisions) = (Value::Null, Vec::new(), Vec::new());
    loop {
        let more = token.as_str().map(|token| format!("&token={token}")).unwrap_or_default();
        let page = admin.get(&format!("/v1/entities?in=T::Group::%22night%22&limit=2{more}")).json();
        ids.extend(page["entities"].as_array().unwrap().iter().map(|listed| listed["entity"]["uid"]["id"].clone()));
        revisions.push(page["revision"].clone());
        change(&server, json!([{ "upsert": user(&format!("later{}", ids.len()), &["night"]) }]));
        token = page["token"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(ids, [json!("night"), json!("ann"), json!("a/b é")]);
    revisions.dedup();
    assert_eq!(
        (revisions.len(), admin.get("/v1/entities?type=T::User").json()["entities"].as_array().unwrap().len()),
        (1, 5)
    );
}

#[test]
fn a_change_that_is_sent_twice_is_made_once() {
    let server = server(json!({}));
    let mut admin = server.admin();
    let body = |age: i64| {
        json!({ "changes": [{ "update": { "uid": "T::User::\"ann\"", "attrs": { "age": age } } }] }).to_string()
    };
    let mut send =
        |key: &str, body: &str, path: &str| with(&mut admin, "POST", path, &[JSON, ("idempotency-key", key)], body);
    // what is refused is not remembered
    assert_eq!(send("k", "{}", CHANGES).status, 400);
    assert_eq!(send("k", &body(1).replace("ann", "nowhere"), CHANGES).status, 422);
    let first = send("k", &body(1), CHANGES);
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None), "{}", first.text());
    assert_eq!(send("other", &body(2), CHANGES).status, 200);
    let again = send("k", &body(1), CHANGES);
    assert_eq!((again.header("idempotent-replayed"), again.json()), (Some("true"), first.json()));
    assert_eq!(server.admin().get("/v1/entities/T::User/ann").json()["entity"]["attrs"]["age"], 2);
    let reused = send("k", &body(3), CHANGES);
    assert_eq!((reused.status, reused.json()["code"].as_str()), (422, Some("idempotency_key_reused")));
    // on another path it is another key, and a dry run has none
    assert_eq!(send("k", &body(3), "/v1/changes?dry_run=true").status, 200);
    assert_eq!(send("", &body(3), CHANGES).json()["code"], "invalid_idempotency_key");
    let mut client = server.admin();
    let headers = [JSON, ("idempotency-key", "k"), ("if-match", "\"00000000000000ab-1\"")];
    let replayed = with(&mut client, "POST", CHANGES, &headers, &body(1));
    assert_eq!(replayed.status, 200, "a key is looked up before `If-Match`: {}", replayed.text());
}

#[test]
fn a_file_of_changes_is_applied_from_the_command_line() {
    let server = server(json!({}));
    let file = tempfile::NamedTempFile::new().unwrap();
    let run = |text: String, more: &[&str]| {
        std::fs::write(file.path(), text).unwrap();
        let address = server.admin.to_string();
        let words = [&["apply", file.path().to_str().unwrap(), "--admin-listen", &address][..], more].concat();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_palisade")).args(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let delete = json!({ "delete": "T::Group::\"night\"" });
    let (code, out, err) = run(format!("{delete}\n"), &["--dry-run", "--dangling", "unlink"]);
    assert_eq!((code, out.as_str()), (Some(0), "would be: 1 entity stored, 1 entity deleted\n"), "{err}");
    let (code, _, err) = run(format!("{}\n{delete}\n", json!({ "upsert": user("x", &[]) })), &[]);
    assert!(code == Some(1) && err.contains(":2: delete: `T::User::\"ann\"` refers to"), "{err}");
    assert_eq!(decision(&server), "Allow");
    let (code, out, err) = run(json!([delete]).to_string(), &["--dangling", "unlink"]);
    assert!(
        code == Some(0) && out.starts_with("revision ") && out.ends_with(": 1 entity stored, 1 entity deleted\n"),
        "{out}{err}"
    );
    assert_eq!(decision(&server), "Deny");
    let (code, out, _) = run(
        json!({ "changes": [{ "revert": "T::Group::\"night\"" }, { "revert": "T::User::\"ann\"" }] }).to_string(),
        &["--format", "json"],
    );
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["applied"]["upserted"]), (Some(0), &json!(2)));
    assert_eq!(decision(&server), "Allow");
}
