//! What `palisade export` writes loads to what served: from a running sidecar, and from the store of one that ended.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::changes::{change, what_is_stored};
use crate::native::{bundle, decide, put, reads, server};
use crate::support::process::{Process, command};
use crate::support::{Client, Server};

/// Runs the verb; gives how it ended and what it wrote.
fn export(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(dir).arg("export").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What serves: ids of policies, links, entities in an order of their own, texts of routes.
fn served(mut admin: Client) -> Value {
    let bundle = admin.get("/v1/bundle").json();
    let sorted = |member: &str| {
        let items = bundle[member].as_array().cloned().unwrap_or_default();
        items.iter().map(what_is_stored).collect::<BTreeSet<String>>()
    };
    let ids: BTreeSet<&String> = bundle["policies"].as_object().unwrap().keys().collect();
    json!({ "ids": ids, "links": sorted("links"), "entities": sorted("entities"), "schema": bundle["schema"] })
}

fn from(dir: &Path) -> Server {
    Server::ready(json!({ "policies": dir, "entities": dir.join("entities") }))
}

#[test]
fn what_serves_is_written_and_loads_to_the_same() {
    let server = server(json!({}));
    let mut whole = bundle();
    let json_form = json!({
        "effect": "forbid", "principal": { "op": "==", "entity": { "type": "T::User", "id": "zoe" } },
        "action": { "op": "All" }, "resource": { "op": "All" }, "conditions": [], "annotations": { "id": "other" },
    });
    let json_template = json!({
        "effect": "permit", "principal": { "op": "==", "slot": "?principal" }, "action": { "op": "All" },
        "resource": { "op": "All" }, "conditions": [],
    });
    whole["policies"] = json!({
        "base.0": bundle()["policies"].as_str().unwrap().split_inclusive(';').next().unwrap(),
        "policy7": "// about\n@why(\"@id\") @id(\"taken\") permit (principal == T::User::\"bo\", action, resource); // end",
        "taken": "forbid (principal == T::User::\"cy\", action, resource);",
        "q\"uo\\te\u{7}é/..": "permit (principal == T::User::\"dan\", action, resource);",
        "as json": json_form,
        "policy0": json_template,
        "granted": "permit (principal == ?principal, action, resource);",
    });
    whole["links"] = json!([
        { "template_id": "policy0", "link_id": "l 1", "args": { "?principal": "T::User::\"eve\"" } },
        { "template_id": "granted", "link_id": "q\"", "args": { "?principal": "T::User::\"q\\\"\"" } },
    ]);
    put(&server, &whole);
    let odd = json!({
        "uid": { "type": "T::User", "id": "a\u{0}\n\"b" }, "attrs": { "age": -1 },
        "parents": [{ "type": "T::Group", "id": "night" }],
    });
    change(
        &server,
        json!([{ "upsert": odd }, { "delete": "T::Doc::\"bos\"" }, { "put_policy": { "id": "late", "text": "forbid (principal == T::User::\"late\", action, resource);" } }]),
    );
    let dir = tempfile::tempdir().unwrap();
    let address = server.admin.to_string();
    let (code, out, err) = export(dir.path(), &["--admin-listen", &address, "--output", "out"]);
    let revision = server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned();
    let expected = format!("wrote out of revision {revision}: 8 policies, 2 links, 6 entities\n");
    assert_eq!((code, out, err.as_str()), (Some(0), expected, ""));
    let before = served(server.admin());
    let again = from(&dir.path().join("out"));
    assert_eq!(served(again.admin()), before);
    for who in ["ann", "bo", "cy", "dan", "eve", "zoe", "late", "q\\\"", "a\\0\\n\\\"b"] {
        let mut ask = reads(json!({}));
        ask["principal"] = json!(format!("T::User::\"{who}\""));
        let answers = [&server, &again].map(|server| {
            let answer = decide(&mut server.client(), &ask);
            json!([answer["decision"], answer["diagnostics"]])
        });
        assert_eq!(answers[0], answers[1], "{who}");
    }
    // nothing is overwritten unless it is asked for, and then all of it is
    let (code, _, err) = export(dir.path(), &["--admin-listen", &address, "--output", "out"]);
    assert!(code == Some(1) && err.contains("has `policies`, `entities` already") && err.contains("--force"), "{err}");
    std::fs::write(dir.path().join("out/policies/more.cedar"), "permit (principal, action, resource);").unwrap();
    change(
        &server,
        json!([{ "upsert": { "uid": { "type": "T::User", "id": "new" }, "attrs": { "age": 1 }, "parents": [] } }]),
    );
    let (code, _, err) = export(dir.path(), &["--admin-listen", &address, "--output", "out", "--force"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(served(from(&dir.path().join("out")).admin()), served(server.admin()));
    let left: Vec<String> = std::fs::read_dir(dir.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().display().to_string())
        .collect();
    assert_eq!(left.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"policies".to_owned(), &"entities".to_owned()]));
    // the entities alone, a line each
    let (code, out, _) = export(dir.path(), &["--admin-listen", &format!("http://{address}/")]);
    assert_eq!((code, out.lines().count()), (Some(0), 7));
    assert!(out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{out}");
    let (code, _, err) = export(dir.path(), &["--admin-listen", "127.0.0.1:1", "--output", "other"]);
    assert!(code == Some(1) && err.contains("no answer from the admin API"), "{err}");
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_state_without_entities_is_written_too() {
    let server = server(json!({}));
    let mut whole = bundle();
    whole["entities"] = json!([]);
    put(&server, &whole);
    let dir = tempfile::tempdir().unwrap();
    let address = server.admin.to_string();
    let (code, out, err) = export(dir.path(), &["--admin-listen", &address, "--output", "out"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(" 0 entities"), "{out}");
    assert_eq!(served(from(&dir.path().join("out")).admin()), served(server.admin()));
    let (code, out, _) = export(dir.path(), &["--admin-listen", &address]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
}

#[test]
fn a_store_is_folded_whoever_brought_its_base() {
    const SETTINGS: [&str; 3] = ["store.path=state/palisade.store", "validation=strict", "store.durability=fsync"];
    let dir = tempfile::tempdir().unwrap();
    for part in ["policies", "entities"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    std::fs::write(dir.path().join("policies/s.cedarschema"), crate::native::SCHEMA).unwrap();
    std::fs::write(dir.path().join("policies/p.cedar"), crate::native::POLICIES).unwrap();
    std::fs::write(dir.path().join("entities/e.json"), bundle()["entities"].to_string()).unwrap();
    let user = |id: &str| json!({ "uid": { "type": "T::User", "id": id }, "attrs": { "age": 1 }, "parents": [] });
    let send = |process: &Process, changes: Value| {
        let answer = process.admin().post("/v1/changes", json!({ "changes": changes }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let store = ["--store", "state/palisade.store", "--output"];
    let mut process = Process::start(dir, &SETTINGS);
    for (name, puts) in [("of-files", false), ("of-put", true)] {
        if puts {
            let mut whole = bundle();
            whole["entities"].as_array_mut().unwrap().push(user("put"));
            assert_eq!(process.admin().put("/v1/bundle", whole.to_string()).status, 200);
        }
        send(
            &process,
            json!([{ "upsert": user(name) }, { "delete": "T::User::\"ann\"" }, { "delete_policy": "policy5" }, { "delete_policy": "p.5" }]),
        );
        let before = served(process.admin());
        // while it is open, and once its process has gone
        let bytes = std::fs::read(process.path("state/palisade.store")).unwrap();
        let (code, out, err) = export(process.dir.path(), &[&store[..], &[name]].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert!(std::fs::read(process.path("state/palisade.store")).unwrap() == bytes, "reading a store changes it");
        process.signal("KILL");
        process.wait();
        let dir = std::mem::replace(&mut process.dir, tempfile::tempdir().unwrap());
        let after = format!("{name}-after");
        let (code, _, err) = export(dir.path(), &[&store[..], &[&after]].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        for name in [name, &after] {
            assert_eq!(served(from(&dir.path().join(name)).admin()), before, "{name}");
        }
        process = Process::start(dir, &SETTINGS);
        assert_eq!(served(process.admin()), before);
    }
    // files that changed since go below the changes, as at a start
    process.signal("KILL");
    process.wait();
    std::fs::write(process.path("state/nothing.store"), "no store").unwrap();
    let (code, _, err) = export(process.dir.path(), &["--store", "state/nothing.store", "--output", "nothing"]);
    assert!(code == Some(1) && err.contains("nothing.store"), "{err}");
    assert!(!process.path("nothing").exists());
}
