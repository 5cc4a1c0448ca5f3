//! What is published when: nothing that is unfinished, cut off or lost, and nothing that undoes what was acknowledged.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use palisade::telemetry::{ReloadResult, ReloadSource};
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::process::{Process, command, workspace};

const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";
const FORBIDS: &str = "@id(\"f1\") forbid (principal, action, resource);\n@id(\"f2\") forbid (principal, action, resource) when { false };\n";
const QUESTION: &str = r#"{"principal":"User::\"u\"","action":"Action::\"go\"","resource":"User::\"u\""}"#;
const USER: &str = r#"[{"uid":{"type":"User","id":"u"},"attrs":{},"parents":[]}]"#;

/// A bundle directory whose forbids are in a file of their own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("policies/permit.cedar", PERMIT);
        place.write("policies/guards.cedar", FORBIDS);
        place.write("entities/e.json", USER);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn flags(&self, load: &Value) -> Value {
        json!({
            "policies": self.path("policies"), "entities": self.path("entities"), "validation": "off", "load": load,
        })
    }

    fn serve(&self, load: &Value) -> Server {
        Server::ready(self.flags(load))
    }
}

fn answer(server: &Server) -> Value {
    server.client().post("/v1/is_authorized", QUESTION).json()
}

fn denied(server: &Server) -> bool {
    answer(server)["decision"] == "Deny"
}

fn status(server: &Server) -> Value {
    server.admin().get("/v1/status").json()
}

fn problems(server: &Server) -> String {
    status(server)["last_attempt"]["problems"].to_string()
}

#[test]
fn an_emptied_file_of_policies_is_refused() {
    for (name, text) in [
        ("guards.cedar", ""),
        ("guards.cedar", " \n\t\n"),
        ("guards.cedar.json", ""),
        ("guards.cedar.json", "{}"),
        ("guards.cedar.json", r#"{"staticPolicies":{}}"#),
    ] {
        let place = Place::new();
        let server = place.serve(&json!({}));
        assert!(denied(&server));
        place.write(&format!("policies/{name}"), text);
        server.until("refused", |server| problems(server).contains(name));
        assert!(denied(&server), "{name} {text:?}");
        // with the key too: it is for bundles that are empty as a whole
        let server = Server::start(place.flags(&json!({"allow_empty_policies": true})));
        server.until("refused", |server| problems(server).contains(name));
        assert_eq!(status(&server)["ready"], false);
    }
}

#[test]
fn a_file_of_comments_is_a_warning_and_lost_forbids_are_reported() {
    let place = Place::new();
    let server = place.serve(&json!({}));
    assert_eq!(server.services.metrics.forbids.get(), 2);
    place.write("policies/guards.cedar", "// none for now\n");
    server.until("loaded", |server| !denied(server));
    assert_eq!(server.services.metrics.forbids.get(), 0);
    assert!(status(&server)["warnings"].to_string().contains("there is no policy in this file"), "{}", status(&server));
}

#[test]
fn a_publication_names_the_forbids_that_it_removes() {
    let dir = workspace();
    std::fs::write(dir.path().join("policies/guards.cedar"), FORBIDS).unwrap();
    let process = Process::start(dir, &["load.vanish_quiet=40ms"]);
    assert_eq!(process.metric("palisade_forbids"), 2.0);
    std::fs::remove_file(process.path("policies/guards.cedar")).unwrap();
    process.until("told", |process| process.log().contains("forbid policies are removed: f1, f2"));
    let log = process.log();
    let line = log.lines().find(|line| line.contains("forbid policies are removed")).unwrap();
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(process.metric("palisade_forbids"), 0.0);
}

#[test]
fn an_empty_policy_set_is_refused_from_any_source() {
    let server = Server::start(json!({"validation": "off"}));
    let allowing = Server::start(json!({"validation": "off", "load": {"allow_empty_policies": true}}));
    for policies in [json!(""), json!("// none"), json!({})] {
        let body = json!({"policies": policies, "entities": []}).to_string();
        let refused = server.admin().put("/v1/bundle", &body);
        assert_eq!(refused.status, 422, "{policies}: {}", refused.text());
        assert!(refused.text().contains("load.allow_empty_policies"), "{}", refused.text());
        let taken = allowing.admin().put("/v1/bundle", &body);
        assert_eq!(taken.status, 200, "{policies}: {}", taken.text());
    }
    assert_eq!(status(&server)["ready"], false);
    // from files
    for (text, load, ready) in [
        ("// none", json!({}), false),
        ("// none", json!({"allow_empty_policies": true}), true),
        ("", json!({"allow_empty_policies": true}), true),
    ] {
        let place = Place::new();
        place.remove("policies/permit.cedar");
        place.write("policies/guards.cedar", text);
        let server = Server::start(place.flags(&load));
        server.until("looked at", |server| status(server)["last_attempt"]["source"] == "files");
        assert_eq!(status(&server)["ready"], ready, "{text:?} {load}");
        assert!(!ready || denied(&server));
    }
}

/// Cedar's JSON form of a policy with this effect for everything.
fn json_policy(effect: &str) -> Value {
    json!({
        "effect": effect, "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": [],
    })
}

#[test]
fn policies_in_the_json_form_are_read_beside_the_others() {
    let place = Place::new();
    place.remove("policies/guards.cedar");
    let server = place.serve(&json!({}));
    assert!(!denied(&server));
    let template = json!({
        "effect": "forbid", "principal": {"op": "==", "slot": "?principal"}, "action": {"op": "All"},
        "resource": {"op": "All"}, "conditions": [],
    });
    let mut named = json_policy("forbid");
    named["annotations"] = json!({"id": "named"});
    let link = json!({"templateId": "t", "newId": "linked", "values": {"?principal": {"type": "User", "id": "u"}}});
    for (written, reasons) in [
        (json_policy("forbid"), json!(["deep/guards.0"])),
        (named, json!(["named"])),
        (
            json!({"staticPolicies": {"policy0": json_policy("permit"), "policy1": json_policy("forbid")}}),
            json!(["deep/guards.1"]),
        ),
        (json!({"staticPolicies": {}, "templates": {"t": template}, "templateLinks": [link]}), json!(["linked"])),
    ] {
        place.write("policies/deep/guards.cedar.json", &written.to_string());
        server.until("denied", |server| answer(server)["diagnostics"]["reason"] == reasons);
        // what GET gives restores it
        let got = server.admin().get("/v1/bundle").json();
        let put = server.admin().put("/v1/bundle", got.to_string());
        assert_eq!(put.status, 200, "{}", put.text());
        assert_eq!(answer(&server)["diagnostics"]["reason"], reasons);
        let again = server.admin().get("/v1/bundle").json();
        assert_eq!((&again["policies"], &again["links"]), (&got["policies"], &got["links"]));
        assert!(got["policies"].as_object().unwrap().values().any(Value::is_object), "{got}");
    }
}

#[test]
fn policies_in_the_json_form_are_read_whole_or_refused() {
    let server = Server::start(json!({"validation": "off"}));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut policy = json_policy("forbid");
        change(&mut policy);
        policy
    };
    let mut deep = json!({"Var": "principal"});
    for _ in 0..60 {
        deep = json!({"!": {"arg": deep}});
    }
    let body = |policy: &Value| json!({"policies": {"all": PERMIT, "p": policy}, "entities": []}).to_string();
    for (policy, expected) in [
        (with(&|p| p["principal"]["entity"] = json!({"type": "User", "id": "u"})), "principal.entity"),
        (with(&|p| p["principal"] = json!({"op": "==", "entity": {"type": "User", "id": "u", "x": 1}})), "principal"),
        (with(&|p| p["condition"] = json!([])), "condition"),
        (with(&|p| p["conditions"] = json!([{"kind": "when", "body": {"Value": 1.5}}])), "JSON form"),
        (with(&|p| drop(p.as_object_mut().unwrap().remove("effect"))), "effect"),
        (json!({"staticPolicies": {"a": json_policy("forbid")}}), "effect"),
        (json!({}), "effect"),
        (json!(7), "text, or an object"),
    ] {
        let put = server.admin().put("/v1/bundle", body(&policy));
        assert!([400, 422].contains(&put.status) && put.text().contains(expected), "{policy}: {}", put.text());
    }
    for policy in [
        json_policy("forbid"),
        with(&|p| p["annotations"] = json!({"why": "x", "flag": null})),
        with(&|p| p["annotations"] = json!({})),
        with(&|p| {
            p["principal"] = json!({"op": "is", "entity_type": "User", "in": {"entity": {"type": "G", "id": "g"}}})
        }),
        with(&|p| p["action"] = json!({"op": "in", "entities": [{"__entity": {"type": "Action", "id": "go"}}]})),
        with(
            &|p| p["conditions"] = json!([{"kind": "unless", "body": {"==": {"left": {"Record": {"a": {"Value": 1}}}, "right": {"Value": {"a": 1}}}}}]),
        ),
        with(&|p| p["conditions"] = json!([{"kind": "when", "body": {"isLoopback": [{"ip": [{"Value": "::1"}]}]}}])),
    ] {
        let put = server.admin().put("/v1/bundle", body(&policy));
        assert_eq!(put.status, 200, "{policy}: {}", put.text());
        assert_eq!(server.admin().get("/v1/bundle").json()["policies"]["p"], policy);
    }
}

#[test]
fn files_that_are_not_read_are_named() {
    let place = Place::new();
    for (name, told) in [
        ("policies/rules.txt", true),
        ("policies/deep/old.cedar.bak", true),
        ("policies/data.json", true),
        ("entities/more.yaml", true),
        ("policies/README.md", false),
        ("policies/.hidden", false),
        ("policies/guards.cedar~", false),
        ("policies/tests/any.txt", true),
        ("policies/tests/deep/guard.cedar", true),
        ("policies/tests/guard.cedar.json", true),
    ] {
        place.write(name, "x");
        let output = command(place.0.path()).args(["validate", "--deny-warnings", "-p", "."]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.contains("is not read"), told, "{name}: {text}");
        assert_eq!(text.contains(name), told, "{name}: {text}");
        place.remove(name);
    }
    // a directory with the name of an editor's own file, where something is in it that would be read
    for (directory, file, told) in [
        ("policies/old~", "guards.cedar", true),
        ("policies/4913", "deep/guards.cedar.json", true),
        ("policies/#x#", "guards.cedar", true),
        ("policies/deep/x.swp", "guards.cedar", true),
        ("entities/old~", "more.ndjson", true),
        ("policies/old~", "notes.txt", false),
        ("policies/old~", "guards.cedar~", false),
        ("policies/.old", "guards.cedar", false),
        ("policies/.git~", "guards.cedar", false),
    ] {
        place.write(&format!("{directory}/{file}"), "x");
        let output = command(place.0.path()).args(["validate", "--deny-warnings", "-p", "."]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.contains("is not read"), told, "{directory}: {text}");
        assert_eq!(text.contains(directory) && text.contains(file), told, "{directory}: {text}");
        std::fs::remove_dir_all(place.path(directory)).unwrap();
    }
    place.write("policies/rules.txt", "x");
    let server = place.serve(&json!({}));
    assert!(status(&server)["warnings"].to_string().contains("rules.txt"), "{}", status(&server));
}

#[test]
fn entities_that_are_lost_are_kept() {
    type Loss = fn(&Place);
    let losses: [(&str, Loss); 3] = [
        ("the directory", |place| std::fs::remove_dir_all(place.path("entities")).unwrap()),
        ("the file", |place| place.remove("entities/e.json")),
        ("the content", |place| place.write("entities/e.json", "[]")),
    ];
    for (what, lose) in losses {
        let place = Place::new();
        let server = place.serve(&json!({}));
        lose(&place);
        server.until("told", |server| status(server)["degraded"].as_str().is_some_and(|why| why.contains("entities")));
        assert_eq!(status(&server)["entities"], 1, "{what}");
        // back again
        let _ = std::fs::remove_dir_all(place.path("entities"));
        place.write("entities/e.json", USER);
        server.until("well", |server| status(server)["degraded"] == json!(null));

        let server = place.serve(&json!({"allow_empty_entities": true}));
        lose(&place);
        server.until("gone", |server| status(server)["entities"] == 0);
    }
    // at the start
    let place = Place::new();
    std::fs::remove_dir_all(place.path("entities")).unwrap();
    let server = Server::start(place.flags(&json!({})));
    server.until("told", |server| status(server)["degraded"].as_str().is_some_and(|why| why.contains("entities")));
    assert_eq!(status(&server)["ready"], false);
    place.write("entities/e.json", USER);
    server.until("ready", |server| status(server)["ready"] == true);
    std::fs::remove_dir_all(place.path("entities")).unwrap();
    drop(place.serve(&json!({"allow_empty_entities": true})));
    std::fs::create_dir(place.path("entities")).unwrap();
    drop(place.serve(&json!({})));
}

#[test]
fn what_cannot_be_loaded_is_tried_again_though_no_change_is_noticed() {
    let place = Place::new();
    let mut flags = place.flags(&json!({}));
    flags["reload"] = json!({"watch": false});
    std::fs::rename(place.path("entities"), place.path("away")).unwrap();
    let server = Server::start(flags);
    server.until("told", |server| status(server)["degraded"].as_str().is_some_and(|why| why.contains("tried again")));
    server.until("tried again", |server| {
        server.services.metrics.reloads(ReloadSource::Files, ReloadResult::Bad).get() > 2
    });
    std::fs::rename(place.path("away"), place.path("entities")).unwrap();
    server.until("ready", |server| status(server)["ready"] == true && status(server)["degraded"] == json!(null));
    assert!(denied(&server));
}

#[test]
fn a_required_bundle_that_is_broken_ends_the_process() {
    for (text, fine) in [("permit (principal", false), (PERMIT, true)] {
        let dir = workspace();
        std::fs::write(dir.path().join("policies/p.cedar"), text).unwrap();
        if fine {
            let mut process = Process::start(dir, &["load.require=true"]);
            process.signal("TERM");
            assert!(process.wait().0.success());
            continue;
        }
        let mut command = command(dir.path());
        command.args(["serve", "--set", "listen.decisions=127.0.0.1:0", "--set", "listen.admin=127.0.0.1:0"]);
        command.args(["--set", "listen.grpc=off", "--set", "validation=off", "--set", "load.require=true"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("`load.require` is set") && log.contains("p.cedar"), "{log}");
    }
}

/// A step of a round: what is done to the place, with a number that no other round has.
type Step = fn(&Place, usize);

fn text(n: usize) -> String {
    format!("@id(\"f{n}\") forbid (principal, action, resource) when {{ false }};\n")
}

fn rename_into(place: &Place, name: &str, text: &str) {
    place.write("policies/.tmp", text);
    std::fs::rename(place.path("policies/.tmp"), place.path(name)).unwrap();
}

fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Changes of files, an acknowledged change of the API, and what happens to files after it: the later one is served.
#[test]
fn what_was_changed_last_is_served() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let chmod = |place: &Place, mode: usize| {
        let mode = std::fs::Permissions::from_mode(if mode.is_multiple_of(2) { 0o640 } else { 0o644 });
        std::fs::set_permissions(place.path("policies/permit.cedar"), mode).unwrap();
    };
    let before: Step = |place, n| rename_into(place, "policies/f.cedar", &text(n));
    let two: Step = |place, n| {
        rename_into(place, "policies/f.cedar", &text(n));
        // while the load of the first reads
        pause(105 + 7 * (n as u64 % 10));
        rename_into(place, "policies/g.cedar", &text(1_000 + n));
    };
    let directory: Step = |place, n| {
        place.write(&format!("policies/d{n}/f.cedar"), &text(n));
    };
    let nothing: Step = |_, _| ();
    let rounds: [(&str, Step, Step, bool); 17] = [
        ("a file", before, nothing, false),
        ("two files", two, nothing, false),
        ("two files", two, nothing, false),
        ("two files", two, nothing, false),
        ("a new directory", directory, nothing, false),
        ("permissions of another file", before, chmod, false),
        ("a file that is not read", before, |place, n| place.write("policies/notes.txt", &text(n)), false),
        ("a backup", before, |place, n| place.write("policies/f.cedar~", &text(n)), false),
        (
            "an empty directory",
            before,
            |place, n| std::fs::create_dir(place.path(&format!("policies/e{n}"))).unwrap(),
            false,
        ),
        ("another file with what it had", before, |place, _| place.write("policies/permit.cedar", PERMIT), false),
        ("the file again", before, |place, n| rename_into(place, "policies/f.cedar", &text(2_000 + n)), true),
        ("another file", before, |place, n| rename_into(place, "policies/h.cedar", &text(2_000 + n)), true),
        ("another file", two, |place, n| rename_into(place, "policies/h.cedar", &text(2_000 + n)), true),
        ("a file that is gone", before, |place, _| place.remove("policies/h.cedar"), true),
        (
            "a file in a directory that is made",
            before,
            |place, n| {
                std::fs::create_dir(place.path(&format!("policies/n{n}"))).unwrap();
                pause(30);
                place.write(&format!("policies/n{n}/n.cedar"), &text(2_000 + n));
            },
            true,
        ),
        (
            "a link",
            before,
            |place, n| {
                place.write(&format!("policies/.l{n}/l.cedar"), &text(2_000 + n));
                symlink(format!(".l{n}"), place.path(&format!("policies/l{n}"))).unwrap();
            },
            true,
        ),
        (
            "nothing, much later",
            nothing,
            |place, n| {
                pause(600);
                rename_into(place, "policies/f.cedar", &text(n));
            },
            true,
        ),
    ];
    let place = Place::new();
    let entities: Vec<Value> = (0..4_000)
        .map(
            |n| json!({"uid": {"type": "User", "id": format!("u{n}")}, "attrs": {"t": "x".repeat(200)}, "parents": []}),
        )
        .collect();
    place.write("entities/many.json", &json!(entities).to_string());
    let server = place.serve(&json!({"vanish_quiet": "40ms"}));
    for (n, (what, before, after, files_win)) in rounds.into_iter().enumerate() {
        before(&place, n);
        pause(20);
        let put = server.admin().put("/v1/bundle", json!({"policies": {"put": PERMIT}}).to_string());
        assert_eq!(put.status, 200, "{what}: {}", put.text());
        after(&place, n);
        let serves_put = |server: &Server| server.admin().get("/v1/bundle").json()["policies"].get("put").is_some();
        if files_win {
            server.until(what, |server| !serves_put(server));
            continue;
        }
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(900) {
            assert!(serves_put(&server), "{n} {what}: {}", status(&server));
            pause(10);
        }
    }
}

#[test]
fn a_file_that_is_open_holds_a_signal_back_too() {
    let process = Process::start(workspace(), &[]);
    let file = std::fs::File::create(process.path("policies/p.cedar")).unwrap();
    let degraded = |process: &Process| process.admin().get("/v1/status").json()["degraded"].clone();
    process.until("told", |process| degraded(process).as_str().is_some_and(|why| why.contains("p.cedar")));
    process.signal("HUP");
    process.until("refused", |process| process.log().contains("has been open for writing since"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(
        process.client().post("/v1/is_authorized", crate::support::tiny::ask("alice")).json()["decision"],
        "Allow"
    );
    drop(file);
    process.until("an emptied file", |process| process.log().contains("this file is empty"));
    crate::support::process::write_policy(process.dir.path(), "bob");
    process.until("well", |process| degraded(process) == json!(null));
}
