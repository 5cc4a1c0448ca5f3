//! Changes that survive: `kill -9` during changes, restarts with other files, backups, full disks.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::changes::CHANGES;
use crate::native::{POLICIES, SCHEMA};
use crate::support::process::{Process, command};

const STORE: &str = "store.path=state/palisade.store";

/// A directory with the bundle of the native tests as files.
fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("policies")).unwrap();
    std::fs::create_dir_all(dir.path().join("entities")).unwrap();
    std::fs::write(dir.path().join("policies/s.cedarschema"), SCHEMA).unwrap();
    std::fs::write(dir.path().join("policies/p.cedar"), POLICIES).unwrap();
    write_entities(dir.path(), &["ann"]);
    dir
}

fn user(id: &str, age: u64) -> Value {
    json!({ "uid": { "type": "T::User", "id": id }, "attrs": { "age": age }, "parents": [] })
}

fn write_entities(dir: &Path, users: &[&str]) {
    let users: Vec<Value> = users.iter().map(|id| user(id, 1)).collect();
    std::fs::write(dir.join("entities/e.tmp"), json!(users).to_string()).unwrap();
    std::fs::rename(dir.join("entities/e.tmp"), dir.join("entities/e.json")).unwrap();
}

fn start(dir: tempfile::TempDir, durability: &str) -> Process {
    let durability = format!("store.durability={durability}");
    Process::start(dir, &[STORE, &durability, "validation=strict"])
}

/// Ends it at once, or as a service manager does; gives its directory.
fn end(mut process: Process, signal: &str) -> tempfile::TempDir {
    process.signal(signal);
    process.wait();
    std::mem::replace(&mut process.dir, tempfile::tempdir().unwrap())
}

#[track_caller]
fn change(process: &Process, changes: Value) -> Value {
    let answer = process.admin().post(CHANGES, json!({ "changes": changes }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What is stored, by id.
fn ages(process: &Process) -> BTreeMap<String, u64> {
    let bundle = process.admin().get("/v1/bundle").json();
    let users = bundle["entities"].as_array().unwrap().iter().filter(|entity| entity["uid"]["type"] == "T::User");
    users.map(|user| (user["uid"]["id"].as_str().unwrap().to_owned(), user["attrs"]["age"].as_u64().unwrap())).collect()
}

fn status(process: &Process) -> Value {
    process.admin().get("/v1/status").json()
}

fn known(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(id, age)| ((*id).to_owned(), *age)).collect()
}

#[test]
fn a_restart_goes_on_where_the_run_before_ended() {
    for signal in ["KILL", "TERM"] {
        let process = start(workspace(), "fsync");
        let template = json!({ "id": "t", "text": "permit (principal == ?principal, action, resource);" });
        let link = json!({ "link_id": "l", "template_id": "t", "args": { "?principal": "T::User::\"bo\"" } });
        let answer = change(&process, json!([{ "upsert": user("bo", 2) }, { "delete": "T::User::\"ann\"" }]));
        assert_eq!(answer["durable"], true);
        let answer = change(
            &process,
            json!([{ "put_policy": template }, { "put_link": link }, { "upsert": user("cy\"\u{0}", 3) }]),
        );
        let revision = answer["revision"].as_str().unwrap().to_owned();
        let (before, bundle) = (status(&process), process.admin().get("/v1/bundle").json());
        let process = start(end(process, signal), "fsync");
        let after = status(&process);
        assert_eq!((&after["revision"], &after["overlay"]), (&json!(revision), &before["overlay"]), "{signal}");
        assert_eq!(process.admin().get("/v1/bundle").json(), bundle);
        // tokens still mean what they meant
        let tag = [("if-match", &*format!("\"{revision}\"")), ("content-type", "application/json")];
        let body = json!({ "changes": [{ "revert": "T::User::\"ann\"" }] }).to_string();
        let answer = process.admin().send("POST", CHANGES, &tag, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(process.admin().send("POST", CHANGES, &tag, body.as_bytes()).status, 412);
        assert_eq!(ages(&process), known(&[("ann", 1), ("bo", 2), ("cy\"\u{0}", 3)]));
    }
}

#[test]
fn what_was_sent_with_a_key_is_answered_again_after_a_crash() {
    let process = start(workspace(), "fsync");
    let send = |process: &Process, key: &str, body: &str| {
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        process.admin().send("POST", CHANGES, &headers, body.as_bytes())
    };
    let made = json!({ "changes": [{ "upsert": user("bo", 2) }] }).to_string();
    let nothing = json!({ "changes": [] }).to_string();
    let refused = json!({ "changes": [{ "delete": "T::Nothing::\"x\"" }] }).to_string();
    let first = [("a", &made), ("b", &nothing)].map(|(key, body)| send(&process, key, body));
    assert_eq!(send(&process, "c", &refused).status, 422);
    change(&process, json!([{ "delete": "T::User::\"bo\"" }]));
    let serves = status(&process)["revision"].clone();
    let process = start(end(process, "KILL"), "fsync");
    for (n, (key, body)) in [("a", &made), ("b", &nothing)].into_iter().enumerate() {
        let again = send(&process, key, body);
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")), "{}", again.text());
        assert_eq!(again.json(), first[n].json());
    }
    assert_eq!((status(&process)["revision"].clone(), ages(&process)), (serves, known(&[("ann", 1)])));
    let answer = send(&process, "a", &nothing);
    assert_eq!(answer.json()["code"], "idempotency_key_reused");
    // what was refused is not kept
    let answer = send(&process, "c", &made);
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None));
}

/// A bundle is there with the answer to who put it, or neither is.
#[test]
fn a_bundle_that_was_put_with_a_key_is_answered_again_after_a_crash() {
    let mut process = start(workspace(), "fsync");
    let put = |process: &Process, id: &str| {
        let body = json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [user(id, 5)] });
        let headers = [("idempotency-key", "k"), ("content-type", "application/json")];
        process.admin().send("PUT", "/v1/bundle", &headers, body.to_string().as_bytes())
    };
    let first = put(&process, "eve");
    assert_eq!(first.status, 200, "{}", first.text());
    change(&process, json!([{ "upsert": user("fay", 6) }]));
    for _ in 0..2 {
        process = start(end(process, "KILL"), "fsync");
        let again = put(&process, "eve");
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")), "{}", again.text());
        assert_eq!(again.json(), first.json());
        assert_eq!(put(&process, "dan").json()["code"], "idempotency_key_reused");
        assert_eq!(ages(&process), known(&[("eve", 5), ("fay", 6)]), "it was not put again");
    }
}

#[test]
fn files_that_differ_go_below_what_changes_brought() {
    let process = start(workspace(), "fsync");
    change(&process, json!([{ "upsert": user("bo", 2) }]));
    let dir = end(process, "KILL");
    write_entities(dir.path(), &["dan", "bo"]);
    let process = start(dir, "fsync");
    assert_eq!(ages(&process), known(&[("dan", 1), ("bo", 2)]));
    // what is put replaces it all, and files that are the same do not come back
    let put = json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [user("eve", 5)] });
    let answer = process.admin().put("/v1/bundle", put.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    change(&process, json!([{ "upsert": user("fay", 6) }]));
    let serves = status(&process)["revision"].clone();
    let process = start(end(process, "KILL"), "fsync");
    assert_eq!((ages(&process), &status(&process)["revision"]), (known(&[("eve", 5), ("fay", 6)]), &serves));
    assert_eq!(status(&process)["source"], json!({ "kind": "bundle", "durable": true }));
    // nor does it need them
    let dir = end(process, "KILL");
    std::fs::rename(dir.path().join("policies"), dir.path().join("gone")).unwrap();
    let process = start(dir, "fsync");
    assert_eq!((ages(&process), &status(&process)["revision"]), (known(&[("eve", 5), ("fay", 6)]), &serves));
    // back again they are still older than what was put
    std::fs::rename(process.path("gone"), process.path("policies")).unwrap();
    let attempt = |process: &Process| status(process)["last_attempt"].clone();
    process.until("the files were read", |process| {
        attempt(process)["ok"] == true && attempt(process)["source"] == "files"
    });
    assert_eq!((ages(&process), &status(&process)["revision"]), (known(&[("eve", 5), ("fay", 6)]), &serves));
    // files that differ replace what was put; what changes brought since stays
    let dir = end(process, "KILL");
    write_entities(dir.path(), &["gus"]);
    let process = start(dir, "fsync");
    assert_eq!(ages(&process), known(&[("gus", 1), ("fay", 6)]));
    // a base that cannot be built does not
    let put = json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [user("hal", 8)] });
    assert_eq!(process.admin().put("/v1/bundle", put.to_string()).status, 200);
    let dir = end(process, "KILL");
    std::fs::write(dir.path().join("policies/p.cedar"), "permit (").unwrap();
    let process = start(dir, "fsync");
    assert_eq!(ages(&process), known(&[("hal", 8)]));
    process.until("the fault of the files was reported", |process| attempt(process)["ok"] == false);
    assert_eq!(process.admin().get("/readyz").status, 200);
}

/// The suite kills some dozens of times; with `PALISADE_TEST_KILLS`, so often.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    let kills = std::env::var("PALISADE_TEST_KILLS").ok().map_or(24, |count| count.parse().unwrap());
    let mut dir = workspace();
    let mut shown = known(&[("ann", 1)]);
    let (mut total, mut before) = (0, None::<(String, &str)>);
    for run in 0..kills {
        let durability = ["fsync", "interval", "none"][run % 3];
        let process = start(dir, durability);
        // what is there is what was acknowledged, and for each sender at most the change after that
        let now = ages(&process);
        let serves = status(&process)["revision"].as_str().unwrap().to_owned();
        for (id, age) in &shown {
            let found = now.get(id).copied().unwrap_or(0);
            assert!(found == *age || found == *age + 1, "run {run}: {id} is {found}, and {age} was acknowledged");
        }
        if let Some((revision, durability)) = &before {
            let (old, new) = (revision.split_once('-').unwrap(), serves.split_once('-').unwrap());
            assert_eq!(old.0 == new.0, *durability == "fsync", "run {run}: {revision}, then {serves}");
            let [old, new] = [old.1, new.1].map(|counter| counter.parse::<u64>().unwrap());
            assert!(new >= old, "run {run}: {revision}, then {serves}");
            let asked = json!({ "principal": "T::User::\"ann\"", "action": "T::Action::\"read\"", "resource": "T::Doc::\"d\"" });
            let headers = [("palisade-at-least", revision.as_str()), ("content-type", "application/json")];
            let answer = process.client().send("POST", "/v1/is_authorized", &headers, asked.to_string().as_bytes());
            assert_eq!(answer.status, if *durability == "fsync" { 200 } else { 503 }, "{}", answer.text());
        }
        shown = now;
        let over = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let (process, over) = (&process, &over);
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    let id = format!("u{sender}");
                    let mut age = shown.get(&id).copied().unwrap_or(0);
                    scope.spawn(move || {
                        let (mut last, mut made) = (None, 0);
                        while !over.load(Ordering::Relaxed) {
                            let body = json!({ "changes": [{ "upsert": user(&id, age + 1) }] }).to_string();
                            let sent =
                                std::panic::catch_unwind(AssertUnwindSafe(|| process.admin().post(CHANGES, body)));
                            let Ok(answer) = sent else { break };
                            if answer.status != 200 {
                                break;
                            }
                            (age, made) = (age + 1, made + 1);
                            last = Some(answer.json()["revision"].as_str().unwrap().to_owned());
                        }
                        (id, age, last, made)
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(30 + 17 * (run as u64 % 9)));
            process.signal("KILL");
            over.store(true, Ordering::Relaxed);
            senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
        });
        let counter = |revision: &String| revision.split_once('-').unwrap().1.parse::<u64>().unwrap();
        let mut newest = serves;
        for (id, age, last, made) in acknowledged {
            total += made;
            if age > 0 {
                shown.insert(id, age);
            }
            newest = last.into_iter().chain([newest]).max_by_key(counter).unwrap();
        }
        before = Some((newest, durability));
        dir = end(process, "KILL");
    }
    assert!(total > kills as u64, "{total} changes in {kills} runs");
    eprintln!("{kills} kills, {total} changes acknowledged");
}

#[test]
fn the_store_is_checked_copied_and_put_back() {
    let process = start(workspace(), "fsync");
    let revision = change(&process, json!([{ "upsert": user("bo", 2) }]))["revision"].as_str().unwrap().to_owned();
    let run = |dir: &Path, args: &[&str]| {
        let output = command(dir).args(["store"]).args(args).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    };
    let store = ["--store", "state/palisade.store"];
    // while it is open
    let (code, text) = run(process.dir.path(), &[&["check"], &store[..]].concat());
    assert!(
        code == Some(0) && text.contains(&format!("revision: {revision}")) && text.contains("overlay: 1"),
        "{text}"
    );
    assert_eq!(run(process.dir.path(), &[&["backup"], &store[..], &["copy"]].concat()).0, Some(0));
    let (code, text) = run(process.dir.path(), &[&["backup"], &store[..], &["copy"]].concat());
    assert!(code == Some(1) && text.contains("exists: move it away first"), "{text}");
    // a second sidecar is refused by name
    let mut second = command(process.dir.path());
    crate::support::process::serve_with(&mut second, &[STORE, "validation=strict"]);
    let output = second.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("state/palisade.store` is in use by another process"), "{text}");
    change(&process, json!([{ "upsert": user("late", 3) }]));
    let dir = end(process, "KILL");
    // a flipped bit is refused, and says what can be done
    let path = dir.path().join("state/palisade.store");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = (4096 + bytes.len()) / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let (code, text) = run(dir.path(), &[&["check"], &store[..]].concat());
    assert!(
        code == Some(1) && text.contains("is damaged at byte") && text.contains("palisade store restore"),
        "{text}"
    );
    let mut broken = command(dir.path());
    crate::support::process::serve_with(&mut broken, &[STORE, "validation=strict"]);
    let output = broken.output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("is damaged at byte"));
    std::fs::rename(&path, dir.path().join("damaged")).unwrap();
    let (code, text) = run(dir.path(), &[&["restore"], &store[..], &["copy"]].concat());
    assert_eq!(code, Some(0), "{text}");
    let process = start(dir, "fsync");
    assert_eq!(ages(&process), known(&[("ann", 1), ("bo", 2)]));
    // no counter is given twice for different states
    assert_ne!(
        status(&process)["revision"].as_str().unwrap().split_once('-').unwrap().0,
        revision.split_once('-').unwrap().0
    );
}

#[test]
fn a_store_that_takes_nothing_refuses_changes_and_decisions_go_on() {
    let dir = workspace();
    let status_of = |process: &Process| status(process)["store"]["problem"].clone();
    // a file may have so many blocks of 512 bytes
    let settings = [STORE, "validation=strict", "decision_log.sink=off"];
    let process = Process::start_after("trap '' XFSZ; ulimit -f 64", dir, &settings);
    change(&process, json!([{ "upsert": user("bo", 2) }]));
    assert_eq!(status_of(&process), Value::Null);
    let many: Vec<Value> =
        (0..400).map(|n| json!({ "upsert": user(&format!("user {n} {}", "x".repeat(80)), 3) })).collect();
    let answer = process.admin().post(CHANGES, json!({ "changes": many }).to_string());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("store_unavailable")), "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains("no room on the disk"), "{}", answer.text());
    assert!(ages(&process) == known(&[("ann", 1), ("bo", 2)]), "nothing of it was made");
    assert_eq!(process.admin().get("/readyz").status, 200);
    let asked =
        json!({ "principal": "T::User::\"ann\"", "action": "T::Action::\"read\"", "resource": "T::Doc::\"d\"" });
    assert_eq!(process.client().post("/v1/is_authorized", asked.to_string()).status, 200);
    // a small one still has room, and the status says so
    change(&process, json!([{ "upsert": user("cy", 3) }]));
    assert_eq!((status_of(&process), process.metric("palisade_store_failing")), (Value::Null, 0.0));
    let process = start(end(process, "KILL"), "fsync");
    assert_eq!(ages(&process), known(&[("ann", 1), ("bo", 2), ("cy", 3)]));
}

/// `cargo test --test it store::many -- --ignored --nocapture`, best with `--release`.
#[test]
#[ignore = "a measurement"]
fn many_callers_share_a_flush() {
    const CALLERS: usize = 24;
    let process = start(workspace(), "fsync");
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        // more would take places of each other on the admin listener
        for caller in 0..CALLERS {
            let process = &process;
            scope.spawn(move || {
                let mut client = process.admin();
                for n in 0..100 {
                    let body = json!({ "changes": [{ "upsert": user(&format!("u{caller}"), n) }] }).to_string();
                    assert_eq!(client.post(CHANGES, body).status, 200);
                }
            });
        }
    });
    let (rate, store) = (CALLERS as f64 * 100.0 / began.elapsed().as_secs_f64(), status(&process)["store"].clone());
    println!("{rate:.0} durable changes/s over HTTP from {CALLERS} callers, {} flushes", store["flushes"]);
    assert!(rate > 1000.0);
}

/// Files that were refused before it are older than a bundle that is put: a restart must not take them instead.
#[test]
fn a_bundle_that_was_put_after_refused_files_survives() {
    let mut process = start(workspace(), "fsync");
    change(&process, json!([{ "upsert": user("bo", 2) }]));
    let rule = r#"[{"each":"T::User","must":"principal.age == 1","code":"young","message":"too old"}]"#;
    std::fs::write(process.path("policies/r.rules.json"), rule).unwrap();
    process.until("the files were refused", |process| status(process)["last_attempt"]["ok"] == false);
    let put = json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [user("dan", 3)] });
    let answer = process.admin().put("/v1/bundle", put.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    for signal in ["KILL", "TERM"] {
        process = start(end(process, signal), "fsync");
        assert_eq!(ages(&process), known(&[("dan", 3)]), "{signal}: {}", status(&process));
    }
    // once they are others they are later
    let dir = end(process, "KILL");
    write_entities(dir.path(), &["ann", "gus"]);
    let process = start(dir, "fsync");
    assert_eq!(ages(&process), known(&[("ann", 1), ("gus", 1)]));
}

/// Files that were changed before it and still wait to be read are older: a restart must not take them instead.
#[test]
fn a_bundle_that_was_put_before_changed_files_were_read_survives() {
    let forbid = format!("{POLICIES}\nforbid (principal, action, resource);");
    let put = json!({ "policies": forbid, "schema": SCHEMA, "entities": [user("dan", 3)] }).to_string();
    for (watch, signal) in [(true, "KILL"), (true, "TERM"), (false, "KILL"), (false, "TERM")] {
        let watch = format!("reload.watch={watch}");
        let start = |dir| Process::start(dir, &[STORE, "validation=strict", &watch]);
        let mut process = start(workspace());
        let notes = process.path("policies/notes.cedar");
        // one that its writer holds open, one that is renamed, and one that is replaced
        std::fs::write(&notes, "").unwrap();
        let mut held = std::fs::OpenOptions::new().append(true).open(&notes).unwrap();
        std::io::Write::write_all(&mut held, b"// notes").unwrap();
        std::fs::rename(process.path("policies/p.cedar"), process.path("policies/q.cedar")).unwrap();
        write_entities(process.dir.path(), &["gus"]);
        let answer = process.admin().put("/v1/bundle", &put);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let dir = end(process, signal);
        drop(held);
        process = start(dir);
        assert_eq!(ages(&process), known(&[("dan", 3)]), "{watch} {signal}: {}", status(&process));
        // once more is written they are later, and the log names what is not forbidden any more
        let dir = end(process, signal);
        std::fs::write(dir.path().join("policies/notes.cedar"), "// more notes").unwrap();
        process = start(dir);
        assert_eq!(ages(&process), known(&[("gus", 1)]), "{watch} {signal}: {}", status(&process));
        for part in [
            "files replace the bundle that a request put before this start",
            "forbid policies are removed: policy1, policy6",
        ] {
            process.until(part, |process| process.log().contains(part));
        }
    }
}

/// Files that are not watched, and were changed before it without a load, are older as well.
#[test]
fn a_bundle_that_was_put_after_files_that_are_not_watched_survives() {
    let start = |dir| Process::start(dir, &[STORE, "validation=strict", "reload.watch=false"]);
    let process = start(workspace());
    write_entities(process.dir.path(), &["gus"]);
    let put = json!({ "policies": POLICIES, "schema": SCHEMA, "entities": [user("dan", 3)] });
    let answer = process.admin().put("/v1/bundle", put.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    process.until("it is noted", |process| status(process)["store"]["commits"].as_u64() >= Some(3));
    let process = start(end(process, "KILL"));
    assert_eq!(ages(&process), known(&[("dan", 3)]), "{}", status(&process));
    // once they are others they are later
    let dir = end(process, "KILL");
    write_entities(dir.path(), &["ann", "gus"]);
    assert_eq!(ages(&start(dir)), known(&[("ann", 1), ("gus", 1)]));
}
