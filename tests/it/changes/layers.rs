//! Files below changes: a load keeps what changes brought, says what they hide, and is refused where it does not fit.

use std::fs;

use super::*;

const SCHEMA: &str =
    "entity Doc; entity User = { level: Long }; action read appliesTo { principal: User, resource: Doc };";
const POLICY: &str = "permit (principal, action, resource) when { principal.level > 1 };";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for dir in ["policies", "entities"] {
            fs::create_dir(files.0.path().join(dir)).unwrap();
        }
        files.write("policies/app.cedarschema", SCHEMA);
        files.write("policies/app.cedar", POLICY);
        files.users(&[("ann", 1), ("bo", 1)]);
        files
    }

    /// Writes beside and renames, so that no half is seen.
    fn write(&self, name: &str, text: &str) {
        let (beside, place) = (self.0.path().join(".beside"), self.0.path().join(name));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, place).unwrap();
    }

    fn users(&self, users: &[(&str, i64)]) {
        let lines = users.iter().map(|(id, level)| format!("{}\n", user(id, *level))).collect::<String>();
        self.write(
            "entities/users.ndjson",
            &format!("{lines}{}\n", json!({ "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] })),
        );
    }

    fn serve(&self) -> Server {
        Server::ready(json!({ "policies": self.0.path().join("policies"), "entities": self.0.path().join("entities") }))
    }
}

fn user(id: &str, level: i64) -> Value {
    json!({ "uid": { "type": "User", "id": id }, "attrs": { "level": level }, "parents": [] })
}

fn reads(server: &Server, who: &str) -> bool {
    let ask =
        json!({ "principal": format!("User::\"{who}\""), "action": "Action::\"read\"", "resource": "Doc::\"d\"" });
    decide(&mut server.client(), &ask)["decision"] == "Allow"
}

#[test]
fn a_load_keeps_what_changes_brought_and_says_what_they_hide() {
    let files = Files::new();
    let server = files.serve();
    let status = || server.admin().get("/v1/status").json();
    assert_eq!(status()["source"], json!({ "kind": "files", "durable": true }));
    change(&server, json!([{ "upsert": user("ann", 2) }, { "upsert": user("new", 2) }, { "delete": "User::\"bo\"" }]));
    assert_eq!(status()["source"], json!({ "kind": "files", "durable": false }));
    let overlay =
        |shadowed: u64| json!({ "entities": 2, "deleted": 1, "policies": 0, "links": 0, "shadowed": shadowed });
    assert_eq!(status()["overlay"], overlay(0));
    // what files say of others is taken, and what they say of these is hidden
    files.users(&[("ann", 1), ("bo", 2), ("eve", 2)]);
    server.until("loaded", |server| reads(server, "eve"));
    assert_eq!([reads(&server, "ann"), reads(&server, "new"), reads(&server, "bo")], [true, true, false]);
    assert_eq!(status()["overlay"], overlay(1));
    // policies of files, too
    files.write("policies/app.cedar", &POLICY.replace("> 1", "> 2"));
    server.until("loaded", |server| !reads(server, "ann"));
    assert_eq!(status()["overlay"], overlay(1));
    change(&server, json!([{ "revert": "User::\"bo\"" }, { "put_policy": { "id": "app.0", "text": POLICY } }]));
    assert_eq!([reads(&server, "ann"), reads(&server, "bo")], [true, true]);
    assert_eq!(status()["overlay"]["shadowed"], 0);
    // a bundle of the API is all there is
    let bundle = server.admin().get("/v1/bundle").json();
    put(&server, &bundle);
    assert_eq!(status()["overlay"]["entities"], 0);
    assert!(reads(&server, "new"));
}

/// What changes brought is not among what the files had.
#[test]
fn files_without_entities_go_below_changes_that_have_some() {
    let files = Files::new();
    files.write("entities/users.ndjson", "[]");
    let server = files.serve();
    change(
        &server,
        json!([{ "upsert": user("new", 2) }, { "upsert": { "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] } }]),
    );
    for level in [2, 1] {
        files.write("policies/app.cedar", &POLICY.replace("> 1", &format!("> {level}")));
        server.until("loaded", |server| reads(server, "new") == (level == 1));
    }
}

#[test]
fn a_schema_that_changes_do_not_fit_is_refused_with_both_named() {
    let files = Files::new();
    let server = files.serve();
    change(&server, json!([{ "upsert": user("new", 2) }]));
    files.write("policies/app.cedarschema", &SCHEMA.replace("level: Long", "level: Long, name?: String"));
    // what changes brought fits that one
    let first = server.admin().get("/v1/status").json()["revision"].clone();
    server.until("loaded", |server| server.admin().get("/v1/status").json()["revision"] != first);
    assert!(reads(&server, "new"));
    let both = format!(
        "{}\n{}\n",
        json!({ "uid": { "type": "User", "id": "ann" }, "attrs": { "level": 1, "name": "a" }, "parents": [] }),
        json!({ "uid": { "type": "Doc", "id": "d" }, "attrs": {}, "parents": [] })
    );
    files.write("entities/users.ndjson", &both);
    let named = SCHEMA.replace("level: Long", "level: Long, name: String");
    files.write("policies/app.cedarschema", &named);
    let refused = |server: &Server| {
        let attempt = &server.admin().get("/v1/status").json()["last_attempt"];
        attempt["ok"] == false && attempt["problems"].to_string().contains("which a change of the API brought")
    };
    server.until("refused", refused);
    let problem = server.admin().get("/v1/status").json()["last_attempt"]["problems"][0].clone();
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("User::\"new\"") && message.contains("app.cedarschema"), "{message}");
    assert!(reads(&server, "new"));
    // once it is taken back they are tried again, though nothing about them changed
    change(&server, json!([{ "upsert": user("other", 1) }]));
    change(&server, json!([{ "revert": "User::\"new\"" }, { "revert": "User::\"other\"" }]));
    let schema = |server: &Server| server.admin().get("/v1/bundle").json()["schema"].as_str().unwrap().to_owned();
    server.until("loaded", |server| schema(server).contains("name: String"));
    assert_eq!(server.admin().get("/v1/status").json()["degraded"], Value::Null);
}

#[test]
fn files_that_a_changed_policy_did_not_fit_are_tried_again_too() {
    let files = Files::new();
    let server = files.serve();
    let text = "permit (principal, action, resource) when { principal.level > 100 };";
    change(&server, json!([{ "put_policy": { "id": "api", "text": text } }]));
    files.write("policies/app.cedarschema", &SCHEMA.replace("level: Long", "rank: Long"));
    files.write("policies/app.cedar", &POLICY.replace("level", "rank"));
    files.write("entities/users.ndjson", &format!("{}\n", user("ann", 5).to_string().replace("level", "rank")));
    let refused = |server: &Server| {
        let attempt = &server.admin().get("/v1/status").json()["last_attempt"];
        attempt["ok"] == false && attempt["problems"].to_string().contains("which a change of the API brought")
    };
    server.until("refused", refused);
    change(&server, json!([{ "delete_policy": "api" }]));
    let schema = |server: &Server| server.admin().get("/v1/bundle").json()["schema"].as_str().unwrap().to_owned();
    server.until("loaded", |server| schema(server).contains("rank: Long"));
    assert_eq!(server.admin().get("/v1/status").json()["degraded"], Value::Null);
}

/// What hides something of the files goes by other ways than `revert`, too.
#[test]
fn what_changes_hide_is_counted_until_they_do_not() {
    let files = Files::new();
    let server = files.serve();
    let shadowed = || server.admin().get("/v1/status").json()["overlay"]["shadowed"].clone();
    change(&server, json!([{ "upsert": user("new", 2) }, { "upsert": user("ann", 2) }]));
    files.users(&[("ann", 1), ("bo", 1), ("new", 1), ("eve", 2)]);
    server.until("loaded", |server| reads(server, "eve"));
    assert_eq!(shadowed(), 1);
    files.users(&[("ann", 3), ("bo", 2)]);
    server.until("loaded", |server| reads(server, "bo"));
    assert_eq!(shadowed(), 2);
    // the files have it no more, so that its deletion leaves nothing behind
    change(&server, json!([{ "delete": "User::\"new\"" }]));
    assert_eq!(shadowed(), 1);
    // and a deletion of what they have hides it still
    change(&server, json!([{ "delete": "User::\"ann\"" }]));
    assert_eq!(shadowed(), 1);
}
