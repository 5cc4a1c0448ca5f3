//! Changes while serving: policies, schema and entities move together or not at all, what is broken changes
//! nothing, and a client that knows a revision finds it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use palisade::telemetry::{ReloadResult, ReloadSource};
use serde_json::{Value, json};

use crate::support::server::fleet_questions;
use crate::support::{Client, Server, fleet};

/// One of a pair that fit together only as wholes: each policy reads the attribute that its own schema
/// declares and its own entities have. Half of each would be an error, or deny.
fn half(name: &str) -> Value {
    json!({
        "policies": { name: format!(r#"permit (principal, action == Action::"go", resource) when {{ principal.{name} == 7 && context.{name} == 7 }};"#) },
        "schema": format!(r#"entity User = {{ {name}: Long }}; entity Thing; action "go" appliesTo {{ principal: User, resource: Thing, context: {{ a?: Long, b?: Long, {name}: Long }} }};"#).replace(&format!("{name}?: Long, "), ""),
        "entities": [
            { "uid": { "type": "User", "id": "u" }, "attrs": { name: 7 }, "parents": [] },
            { "uid": { "type": "Thing", "id": "t" }, "attrs": {}, "parents": [] },
        ],
    })
}

const QUESTION: &str =
    r#"{"principal":"User::\"u\"","action":"Action::\"go\"","resource":"Thing::\"t\"","context":{"a":7,"b":7}}"#;
const AUTHZEN: &str = r#"{"subject":{"type":"User","id":"u"},"action":{"name":"go"},"resource":{"type":"Thing","id":"t"},"context":{"a":7,"b":7}}"#;

/// `a` has the odd revisions and `b` the even ones.
fn expected(revision: &str) -> &'static str {
    let counter: u64 = revision.rsplit('-').next().unwrap().parse().unwrap();
    if counter.is_multiple_of(2) { "b" } else { "a" }
}

fn counter(revision: &str) -> u64 {
    revision.rsplit('-').next().unwrap().parse().unwrap()
}

/// Asks by every endpoint in turn; each answer must agree with the revision that it names, in head and body.
fn ask_and_check(client: &mut Client, turn: usize, seen: &mut u64) {
    let (path, body) = match turn % 4 {
        0 => ("/v1/is_authorized", QUESTION.to_owned()),
        1 => ("/v1/is_authorized/batch", format!(r#"{{"requests":[{QUESTION},{QUESTION},{QUESTION}]}}"#)),
        2 => ("/access/v1/evaluation", AUTHZEN.to_owned()),
        _ => ("/access/v1/evaluations", format!(r#"{{"evaluations":[{AUTHZEN},{AUTHZEN}]}}"#)),
    };
    let answer = client.post(path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let named = answer.header("palisade-revision").expect("a revision").to_owned();
    assert!(counter(&named) >= *seen, "{path}: {named} after {seen}");
    *seen = counter(&named);
    let body = answer.json();
    let reason = json!([expected(&named)]);
    let native = |item: &Value| {
        assert_eq!(item["revision"], named, "{path}: {body}");
        assert_eq!(
            (&item["decision"], &item["diagnostics"]["reason"], &item["diagnostics"]["errors"]),
            (&json!("Allow"), &reason, &json!([])),
            "{path} at {named}: {body}"
        );
    };
    let authzen = |item: &Value| {
        assert_eq!(
            (&item["decision"], &item["context"]["revision"], &item["context"]["reason"]),
            (&json!(true), &json!(named), &reason),
            "{path} at {named}: {body}"
        );
    };
    match turn % 4 {
        0 => native(&body),
        1 => body["responses"].as_array().unwrap().iter().for_each(native),
        2 => authzen(&body),
        _ => body["evaluations"].as_array().unwrap().iter().for_each(authzen),
    }
}

#[test]
fn a_thousand_replaces_under_load() {
    for cache in [true, false] {
        replaces_under_load(cache, 500);
    }
}

fn replaces_under_load(cache: bool, replaces: u64) {
    let server = Server::start(json!({ "cache": { "enabled": cache } }));
    let halves = [half("b").to_string(), half("a").to_string()];
    // of each, what must be refused: half of the other, and what is no policy
    let mut torn = half("a");
    torn["policies"] = half("b")["policies"].clone();
    let mut misfit = half("b");
    misfit["entities"] = half("a")["entities"].clone();
    let broken =
        [torn.to_string(), misfit.to_string(), json!({ "policies": { "x": "permit (principal" } }).to_string()];
    let mut admin = server.admin();
    let mut reader = server.client();
    assert_eq!(admin.put("/v1/bundle", &halves[1]).status, 200);
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..3 {
            let (server, stop, asked) = (&server, &stop, &asked);
            scope.spawn(move || {
                let (mut connection, mut seen) = (server.client(), 0);
                for turn in client.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    ask_and_check(&mut connection, turn, &mut seen);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let stop_at_end = StopAtEnd(&stop);
        let mut now = 1;
        for n in 2..=replaces {
            let put = admin.put("/v1/bundle", &halves[usize::from(n % 2 == 1)]);
            assert_eq!(put.status, 200, "{}", put.text());
            now = counter(put.json()["revision"].as_str().unwrap());
            assert_eq!(now, n);
            assert_eq!(put.header("palisade-revision"), put.json()["revision"].as_str());
            // a client that knows the revision finds it, on whichever connection
            let read = reader.post("/v1/is_authorized", QUESTION).json();
            assert_eq!(read["revision"], put.json()["revision"], "{read}");
            assert_eq!(read["diagnostics"]["reason"], json!([expected(read["revision"].as_str().unwrap())]));
            if n % 50 == 0 {
                let bad = admin.put("/v1/bundle", &broken[(n / 50) as usize % broken.len()]);
                assert_eq!((bad.status, &bad.json()["code"]), (422, &json!("invalid_bundle")), "{}", bad.text());
                let status = admin.get("/v1/status").json();
                assert_eq!(counter(status["revision"].as_str().unwrap()), n);
                assert_eq!((&status["last_attempt"]["ok"], &status["ready"]), (&json!(false), &json!(true)));
                assert!(!status["last_attempt"]["problems"][0]["message"].as_str().unwrap().is_empty(), "{status}");
            }
        }
        drop(stop_at_end);
        assert_eq!(now, replaces);
    });
    let metrics = &server.services.metrics;
    assert_eq!(metrics.reloads(ReloadSource::Bundle, ReloadResult::Good).get(), replaces);
    assert_eq!(metrics.reloads(ReloadSource::Bundle, ReloadResult::Bad).get(), replaces / 50);
    assert!(asked.load(Ordering::Relaxed) > replaces, "hardly any load: {asked:?}");
}

/// Ends the load also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_identical_put_publishes_nothing() {
    let server = Server::start(json!({}));
    let (mut admin, body) = (server.admin(), half("a").to_string());
    let first = admin.put("/v1/bundle", &body).json();
    assert_eq!(first["published"], true);
    for _ in 0..3 {
        let again = admin.put("/v1/bundle", &body).json();
        assert_eq!((&again["published"], &again["revision"]), (&json!(false), &first["revision"]), "{again}");
    }
    // what GET gives is what PUT takes
    let got = admin.get("/v1/bundle");
    let again = admin.put("/v1/bundle", got.text()).json();
    assert_eq!(
        server.client().post("/v1/is_authorized", QUESTION).json()["diagnostics"]["reason"],
        json!(["a"]),
        "{again}"
    );
    assert!(server.services.metrics.reloads(ReloadSource::Bundle, ReloadResult::Unchanged).get() >= 3);
    let status = admin.get("/v1/status").json();
    assert_eq!(status["source"], json!({ "kind": "bundle", "durable": false }));
}

/// A bundle directory with the policies of `half("a")`.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (policies, entities) = (dir.path().join("policies"), dir.path().join("entities"));
    std::fs::create_dir_all(&policies).unwrap();
    std::fs::create_dir_all(&entities).unwrap();
    let a = half("a");
    std::fs::write(policies.join("a.cedar"), format!("@id(\"a\")\n{}\n", a["policies"]["a"].as_str().unwrap()))
        .unwrap();
    std::fs::write(policies.join("s.cedarschema"), a["schema"].as_str().unwrap()).unwrap();
    std::fs::write(entities.join("e.json"), a["entities"].to_string()).unwrap();
    dir
}

/// Replaces a file at once, as an editor does: no load ever sees half of it, or an empty one.
fn replace(path: &Path, text: impl AsRef<[u8]>) {
    let whole = path.with_extension("tmp");
    std::fs::write(&whole, text).unwrap();
    std::fs::rename(&whole, path).unwrap();
}

fn watching(dir: &Path) -> Server {
    Server::ready(json!({ "policies": dir.join("policies"), "entities": dir.join("entities") }))
}

fn reloads(server: &Server, result: ReloadResult) -> u64 {
    server.services.metrics.reloads(ReloadSource::Files, result).get()
}

fn reasons(server: &Server) -> Value {
    server.client().post("/v1/is_authorized", QUESTION).json()["diagnostics"]["reason"].clone()
}

fn status(server: &Server) -> Value {
    server.admin().get("/v1/status").json()
}

#[test]
fn files_are_followed() {
    let dir = directory();
    let server = watching(dir.path());
    let file = dir.path().join("policies/a.cedar");
    let good = std::fs::read_to_string(&file).unwrap();
    assert_eq!(reasons(&server), json!(["a"]));
    let first = status(&server);
    assert_eq!(first["source"], json!({ "kind": "files", "durable": true }));

    // edited: a new revision
    replace(&file, good.replace("@id(\"a\")", "@id(\"edited\")"));
    server.until("edited", |server| reasons(server) == json!(["edited"]));
    let edited = status(&server);
    assert_eq!(counter(edited["revision"].as_str().unwrap()), 2);

    // broken: the last good serves, and the status says what is wrong and where
    replace(&file, "@id(\"broken\")\npermit (principal, action, resource)\nwhen { principl.a == 7 };\n");
    server.until("told of the broken file", |server| status(server)["last_attempt"]["ok"] == json!(false));
    assert_eq!(reasons(&server), json!(["edited"]));
    let broken = status(&server);
    assert_eq!((&broken["revision"], &broken["ready"]), (&edited["revision"], &json!(true)));
    let problem = &broken["last_attempt"]["problems"][0];
    assert!(problem["where"].as_str().unwrap().ends_with("a.cedar"), "{problem}");
    assert_eq!((&problem["line"], &problem["excerpt"]), (&json!(3), &json!("when { principl.a == 7 };")), "{problem}");
    assert!(reloads(&server, ReloadResult::Bad) >= 1);
    let metrics = server.admin().get("/metrics").text();
    assert!(metrics.contains(r#"palisade_reloads_total{result="bad",source="files"} "#), "{metrics}");
    assert!(!metrics.contains(r#"palisade_reloads_total{result="bad",source="files"} 0"#), "{metrics}");

    // it does not validate
    replace(&file, good.replace("principal.a", "principal.c"));
    server.until("told of the attribute", |server| {
        status(server)["last_attempt"]["problems"].to_string().contains('`')
            && status(server)["last_attempt"]["problems"][0]["excerpt"] != json!("when { principl.a == 7 };")
    });
    assert_eq!(reasons(&server), json!(["edited"]));

    // an entities file that is no JSON, beside it
    std::fs::write(dir.path().join("entities/bad.json"), "[{]").unwrap();
    server.until("told of the entities", |server| {
        status(server)["last_attempt"]["problems"].to_string().contains("bad.json")
    });
    assert_eq!(reasons(&server), json!(["edited"]));

    // a file that is no text: not even read, and counted and reported all the same
    let before = reloads(&server, ReloadResult::Bad);
    std::fs::write(dir.path().join("policies/bad.cedar"), b"permit (principal, action, resource); // \xff").unwrap();
    server.until("told of the bytes", |server| {
        status(server)["last_attempt"]["problems"].to_string().contains("bad.cedar")
    });
    assert!(reloads(&server, ReloadResult::Bad) > before);
    assert_eq!(reasons(&server), json!(["edited"]));
    std::fs::remove_file(dir.path().join("policies/bad.cedar")).unwrap();

    // repaired
    std::fs::remove_file(dir.path().join("entities/bad.json")).unwrap();
    replace(&file, &good);
    server.until("repaired", |server| reasons(server) == json!(["a"]));
    server.until("well again", |server| status(server)["last_attempt"]["ok"] == json!(true));
    assert_eq!(counter(status(&server)["revision"].as_str().unwrap()), 3);

    // broken and repaired to what serves already: no new revision, and well again
    replace(&file, "permit");
    server.until("broken again", |server| status(server)["last_attempt"]["ok"] == json!(false));
    replace(&file, &good);
    server.until("well once more", |server| status(server)["last_attempt"]["ok"] == json!(true));
    assert_eq!(counter(status(&server)["revision"].as_str().unwrap()), 3);
}

#[test]
fn a_touched_file_publishes_nothing() {
    let dir = directory();
    let server = watching(dir.path());
    let file = dir.path().join("policies/a.cedar");
    let text = std::fs::read_to_string(&file).unwrap();
    for n in 1..=3 {
        let before = reloads(&server, ReloadResult::Unchanged);
        replace(&file, &text);
        server.until("read again", |server| reloads(server, ReloadResult::Unchanged) > before);
        assert_eq!(counter(status(&server)["revision"].as_str().unwrap()), 1, "{n}");
    }
    assert_eq!(reloads(&server, ReloadResult::Good), 1);
}

#[test]
fn after_a_put_files_publish_only_when_they_change() {
    let dir = directory();
    let server = watching(dir.path());
    let file = dir.path().join("policies/a.cedar");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(server.admin().put("/v1/bundle", half("b").to_string()).status, 200);
    assert_eq!(reasons(&server), json!(["b"]));
    assert_eq!(status(&server)["source"], json!({ "kind": "bundle", "durable": false }));
    // touched, broken, and back: what was put stays
    replace(&file, &text);
    server.until("read again", |server| reloads(server, ReloadResult::Unchanged) > 0);
    replace(&file, "permit");
    server.until("told", |server| status(server)["last_attempt"]["ok"] == json!(false));
    let before = reloads(&server, ReloadResult::Unchanged);
    replace(&file, &text);
    server.until("read once more", |server| reloads(server, ReloadResult::Unchanged) > before);
    assert_eq!((reasons(&server), counter(status(&server)["revision"].as_str().unwrap())), (json!(["b"]), 2));
    assert_eq!(status(&server)["source"]["kind"], "bundle");
    // changed: the files win
    replace(&file, text.replace("@id(\"a\")", "@id(\"changed\")"));
    server.until("changed", |server| reasons(server) == json!(["changed"]));
    assert_eq!(status(&server)["source"], json!({ "kind": "files", "durable": true }));
    // and a PUT wins over those in turn
    assert_eq!(server.admin().put("/v1/bundle", half("b").to_string()).status, 200);
    assert_eq!(reasons(&server), json!(["b"]));
}

#[test]
fn a_config_map_is_swapped() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    // as the kubelet does it: a directory with a time for a name, `..data` to it, and links through `..data`
    let write = |name: &str, of: &str| {
        let target = mount.join(name);
        std::fs::create_dir_all(&target).unwrap();
        let bundle = half(of);
        std::fs::write(target.join("p.cedar"), format!("@id(\"{of}\")\n{}", bundle["policies"][of].as_str().unwrap()))
            .unwrap();
        std::fs::write(target.join("s.cedarschema"), bundle["schema"].as_str().unwrap()).unwrap();
        std::fs::write(target.join("e.json"), bundle["entities"].to_string()).unwrap();
        symlink(name, mount.join("..data_tmp")).unwrap();
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    write("..2026_01_01_1", "a");
    for file in ["p.cedar", "s.cedarschema", "e.json"] {
        symlink(Path::new("..data").join(file), mount.join(file)).unwrap();
    }
    let server = Server::ready(json!({ "policies": mount, "entities": mount }));
    assert_eq!(reasons(&server), json!(["a"]));
    for n in 2..8 {
        let of = if n % 2 == 0 { "b" } else { "a" };
        write(&format!("..2026_01_01_{n}"), of);
        std::fs::remove_dir_all(mount.join(format!("..2026_01_01_{}", n - 1))).unwrap();
        server.until("swapped", |server| reasons(server) == json!([of]));
    }
    assert_eq!(reloads(&server, ReloadResult::Bad), 0, "{}", status(&server));
}

/// The answers to all fleet questions, with reasons and errors, without the revision.
fn answers(server: &Server) -> Vec<Value> {
    let mut client = server.client();
    fleet_questions()
        .chunks(500)
        .flat_map(|questions| {
            let answer = client.post("/v1/is_authorized/batch", json!({ "requests": questions }).to_string());
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()["responses"].as_array().unwrap().clone()
        })
        .map(|answer| json!([answer["decision"], answer["diagnostics"]]))
        .collect()
}

#[test]
fn loaded_again_and_again_it_decides_the_same() {
    let files = Server::ready(fleet());
    let expected = answers(&files);
    assert!(expected.iter().any(|answer| answer[0] == "Allow") && expected.iter().any(|answer| answer[0] == "Deny"));
    let bundle = files.admin().get("/v1/bundle").json();
    let policies: Vec<(String, Value)> = bundle["policies"].as_object().unwrap().clone().into_iter().collect();
    let entities = bundle["entities"].as_array().unwrap().clone();
    let server = Server::start(json!({}));
    let mut admin = server.admin();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 0..LOADS {
        // another order each time: of the members of objects, of entities
        let (mut policies, mut entities) = (policies.clone(), entities.clone());
        shuffle(&mut policies, &mut random);
        shuffle(&mut entities, &mut random);
        let members: Vec<String> = policies.iter().map(|(id, text)| format!("{}:{text}", json!(id))).collect();
        // the order alone would be no change
        let schema = json!(format!("{}\n// load {n}\n", bundle["schema"].as_str().unwrap()));
        let body = format!(
            r#"{{"entities":{},"policies":{{{}}},"schema":{},"links":{},"rules":{}}}"#,
            json!(entities),
            members.join(","),
            schema,
            bundle["links"],
            bundle["rules"]
        );
        let put = admin.put("/v1/bundle", body);
        assert_eq!((put.status, &put.json()["published"]), (200, &json!(true)), "{}", put.text());
        assert_eq!(answers(&server), expected, "load {n}");
    }
}

const LOADS: usize = 20;

fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for i in (1..items.len()).rev() {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, (*random >> 33) as usize % (i + 1));
    }
}

#[test]
fn the_order_in_which_files_come_means_nothing() {
    let names: Vec<String> = (0..12).map(|n| format!("p{n}.cedar")).collect();
    let text = |n: usize| {
        format!(
            "permit (principal == User::\"{n}\", action, resource);\n@id(\"named{n}\")\nforbid (principal == User::\"{n}\", action, resource in File::\"{n}\");"
        )
    };
    let mut seen: Option<Value> = None;
    let mut random = 7;
    for _ in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut order: Vec<usize> = (0..names.len()).collect();
        shuffle(&mut order, &mut random);
        for n in order {
            let file = dir.path().join(if n % 3 == 0 { "sub/deep" } else { "." }).join(&names[n]);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text(n)).unwrap();
        }
        let server = Server::ready(json!({ "policies": dir.path(), "entities": dir.path(), "validation": "off" }));
        let got = server.admin().get("/v1/bundle").json()["policies"].clone();
        let ids: Vec<&String> = got.as_object().unwrap().keys().collect();
        assert_eq!(ids.len(), 24);
        assert!(
            got.get("p1.0").is_some() && got.get("sub/deep/p3.0").is_some() && got.get("named3").is_some(),
            "{ids:?}"
        );
        assert_eq!(seen.get_or_insert_with(|| got.clone()), &got);
    }
}

#[test]
fn bundles_that_are_refused_whole() {
    let server = Server::start(json!({ "validation": "off" }));
    let mut admin = server.admin();
    let good = json!({ "policies": { "ok": "permit (principal, action, resource);" } });
    let revision = admin.put("/v1/bundle", good.to_string()).json()["revision"].clone();
    let slot = "permit (principal == ?principal, action, resource);";
    let both = "permit (principal == ?principal, action, resource in ?resource);";
    let link =
        |template: &str, id: &str, args: Value| json!([{ "template_id": template, "link_id": id, "args": args }]);
    let to = |slot: &str| json!({ slot: "User::\"x\"" });
    let cases: &[(&str, Value, &[&str])] = &[
        (
            "a link to no template",
            json!({ "policies": { "t": slot }, "links": link("nope", "l", to("?principal")) }),
            &["nope", "l"],
        ),
        (
            "a link to a static policy",
            json!({ "policies": { "t": "permit (principal, action, resource);" }, "links": link("t", "l", json!({})) }),
            &["t", "l"],
        ),
        (
            "a slot that is not filled",
            json!({ "policies": { "t": both }, "links": link("t", "l", to("?principal")) }),
            &["l", "?resource"],
        ),
        (
            "no slot filled",
            json!({ "policies": { "t": slot }, "links": link("t", "l", json!({})) }),
            &["l", "?principal"],
        ),
        (
            "a slot too many",
            json!({ "policies": { "t": slot }, "links": link("t", "l", json!({ "?principal": "User::\"x\"", "?resource": "User::\"y\"" })) }),
            &["l", "?resource"],
        ),
        (
            "no such slot",
            json!({ "policies": { "t": slot }, "links": link("t", "l", to("?action")) }),
            &["l", "?action"],
        ),
        (
            "a slot without its mark",
            json!({ "policies": { "t": slot }, "links": link("t", "l", to("principal")) }),
            &["l", "principal"],
        ),
        (
            "a link with the id of a policy",
            json!({ "policies": { "t": slot, "l": "permit (principal, action, resource);" }, "links": link("t", "l", to("?principal")) }),
            &["l"],
        ),
        (
            "a link with the id of its template",
            json!({ "policies": { "t": slot }, "links": link("t", "t", to("?principal")) }),
            &["t"],
        ),
        (
            "two links with one id",
            json!({ "policies": { "t": slot }, "links": [link("t", "l", to("?principal"))[0], link("t", "l", json!({ "?principal": "User::\"y\"" }))[0]] }),
            &["l"],
        ),
        (
            "two policies in one member",
            json!({ "policies": { "two": "permit (principal, action, resource); forbid (principal, action, resource);" } }),
            &["two"],
        ),
        ("no policy in a member", json!({ "policies": { "none": "// nothing" } }), &["none"]),
        (
            "one bad policy among good ones",
            json!({ "policies": { "ok": "permit (principal, action, resource);", "bad": "permit (principal, action resource);" } }),
            &["bad"],
        ),
        (
            "a good and a bad entity",
            json!({ "policies": {}, "entities": [{ "uid": { "type": "A", "id": "x" }, "attrs": {}, "parents": [] }, { "uid": { "type": "A B", "id": "bad" }, "attrs": {}, "parents": [] }] }),
            &["A B"],
        ),
        (
            "an entity twice",
            json!({ "policies": {}, "entities": [{ "uid": { "type": "A", "id": "twin" }, "attrs": {}, "parents": [] }, { "uid": { "type": "A", "id": "twin" }, "attrs": { "x": 1 }, "parents": [] }] }),
            &["twin"],
        ),
    ];
    for (name, bundle, named) in cases {
        let put = admin.put("/v1/bundle", bundle.to_string());
        let text = put.text();
        assert_eq!((put.status, &put.json()["code"]), (422, &json!("invalid_bundle")), "{name}: {text}");
        for word in *named {
            assert!(
                put.json()["errors"].to_string().contains(&json!(word).to_string().trim_matches('"').to_owned()),
                "{name} does not name {word}: {text}"
            );
        }
        assert_eq!(status(&server)["revision"], revision, "{name}");
        let verdict = admin.post("/v1/validate", bundle.to_string());
        assert_eq!((verdict.status, &verdict.json()["valid"]), (200, &json!(false)), "{name}: {}", verdict.text());
    }
    // a template without a link decides nothing, and is no policy
    let put = admin.put("/v1/bundle", json!({ "policies": { "t": slot } }).to_string());
    assert_eq!((put.status, &put.json()["policies"]), (200, &json!(0)), "{}", put.text());
    assert_eq!(
        server
            .client()
            .post(
                "/v1/is_authorized",
                r#"{"principal":"User::\"x\"","action":"Action::\"go\"","resource":"User::\"x\""}"#
            )
            .json()["decision"],
        "Deny"
    );
}

#[test]
fn the_same_id_in_two_files() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "@id(\"twin\")\npermit (principal, action, resource);\n";
    std::fs::write(dir.path().join("one.cedar"), policy).unwrap();
    let server = Server::ready(json!({ "policies": dir.path(), "entities": dir.path(), "validation": "off" }));
    let revision = status(&server)["revision"].clone();
    for (second, text) in [
        ("two.cedar", policy.to_owned()),
        ("sub/three.cedar", policy.replace("permit", "forbid")),
        (
            "twin.cedar",
            "permit (principal, action, resource);\n@id(\"twin.0\")\npermit (principal, action, resource);".to_owned(),
        ),
    ] {
        let path = dir.path().join(second);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(&path, text);
        server.until("refused", |server| status(server)["last_attempt"]["ok"] == json!(false));
        let problems = status(&server)["last_attempt"]["problems"].to_string();
        let names: &[&str] =
            if second == "twin.cedar" { &["twin.0", "twin.cedar"] } else { &["twin", "one.cedar", second] };
        for name in names {
            assert!(problems.contains(name), "{second}: {name} is not named: {problems}");
        }
        assert_eq!(status(&server)["revision"], revision);
        std::fs::remove_file(&path).unwrap();
        server.until("well again", |server| status(server)["last_attempt"]["ok"] == json!(true));
    }
    // two files of one name in two directories are two names
    std::fs::create_dir_all(dir.path().join("x")).unwrap();
    std::fs::create_dir_all(dir.path().join("y")).unwrap();
    std::fs::write(dir.path().join("x/policy0.cedar"), "permit (principal, action, resource);").unwrap();
    std::fs::write(dir.path().join("y/policy0.cedar"), "permit (principal, action, resource);").unwrap();
    server.until("loaded", |server| status(server)["policies"] == json!(3));
    let ids: BTreeMap<String, Value> =
        serde_json::from_value(server.admin().get("/v1/bundle").json()["policies"].clone()).unwrap();
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), ["twin", "x/policy0.0", "y/policy0.0"]);
}
