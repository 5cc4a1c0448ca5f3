//! Routes are part of what is published: with the policies or not at all.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::gate::{DIALECTS, Dialect, Gate, bearer, code, get};

const POLICIES: &str = r#"permit (principal == Fleet::User::"ann", action, resource);"#;

fn routes(path: &str) -> String {
    format!("routes:\n  - match: GET {path}\n    action: view\n    resource: Doc::d\n")
}

fn status(gate: &Gate, path: &str) -> u16 {
    let ann = bearer("ann");
    get("a.test", path, &[("authorization", &ann)]).send(gate.addr(), Dialect::Forward).status
}

#[test]
fn files_of_routes_reload_or_change_nothing() {
    let gate = Gate::with(&routes("/old"), POLICIES, json!({}));
    assert_eq!((status(&gate, "/old"), status(&gate, "/new")), (200, 403));
    gate.write("routes/r.yaml", &routes("/new"));
    gate.server.until("reloaded", |_| status(&gate, "/new") == 200);
    assert_eq!(status(&gate, "/old"), 403);
    let revision = |gate: &Gate| gate.server.admin().get("/v1/status").json()["revision"].clone();
    let before = revision(&gate);
    gate.write("routes/r.yaml", "routes:\n  - match: GET /broken\n    resource: Doc::d\n");
    let problem = |gate: &Gate| gate.server.admin().get("/v1/status").json()["last_attempt"]["problems"][0].clone();
    gate.server.until("refused", |_| problem(&gate).is_object());
    let told = problem(&gate);
    assert!(told["where"].as_str().unwrap().ends_with("routes/r.yaml"), "{told}");
    assert_eq!((&told["line"], revision(&gate)), (&json!(2), before));
    assert!(told["message"].as_str().unwrap().contains("`action`"), "{told}");
    assert_eq!((status(&gate, "/new"), status(&gate, "/broken")), (200, 403));
}

#[test]
fn reloads_under_load_show_one_table_or_the_other() {
    let gate = Gate::with(&routes("/a"), POLICIES, json!({}));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let (gate, stop) = (&gate, &stop);
                scope.spawn(move || {
                    let mut asked = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let ann = bearer("ann");
                        let answer = get("a.test", "/a", &[("authorization", &ann)]).send(gate.addr(), Dialect::Nginx);
                        assert!(answer.status == 200 || code(&answer) == "no_route", "{answer:?}");
                        assert_eq!(get("a.test", "/never", &[]).send(gate.addr(), Dialect::Nginx).status, 403);
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..6 {
            let path = if round % 2 == 0 { "/b" } else { "/a" };
            gate.write("routes/r.yaml", &routes(path));
            gate.server.until("reloaded", |_| status(&gate, path) == 200);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>() > 0);
    });
}

const SCHEMA: &str = "namespace Fleet { entity User; } entity Doc; \
    action view appliesTo { principal: Fleet::User, resource: Doc };";

fn bundle(routes: Value) -> Value {
    json!({
        "schema": SCHEMA, "policies": POLICIES, "routes": routes,
        "entities": [{"uid": {"type": "Fleet::User", "id": "ann"}, "attrs": {}, "parents": []}, {"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}],
    })
}

#[test]
fn a_bundle_brings_its_routes() {
    let gate = Gate::with(&routes("/old"), POLICIES, json!({"reload": {"watch": false}}));
    let mut admin = gate.server.admin();
    for (what, given, path) in [
        ("one text", json!(routes("/a")), "/a"),
        ("texts by name", json!({"x.yaml": routes("/b"), "y.yaml": routes("/c")}), "/c"),
        (
            "JSON",
            json!({"x": "{\"routes\": [{\"match\": \"GET /e\", \"action\": \"view\", \"resource\": \"Doc::d\"}]}"}),
            "/e",
        ),
    ] {
        let put = admin.put("/v1/bundle", bundle(given.clone()).to_string());
        assert_eq!((put.status, &put.json()["published"]), (200, &json!(true)), "{what}: {}", put.text());
        assert_eq!((status(&gate, path), status(&gate, "/old")), (200, 403), "{what}");
        let read = admin.get("/v1/bundle").json();
        assert_eq!(read["routes"], given, "{what}");
        // the same again is no change; other routes are
        let again = admin.put("/v1/bundle", bundle(given).to_string());
        assert_eq!(again.json()["published"], false, "{what}");
    }
    // no routes: nothing passes
    let put = admin.put("/v1/bundle", bundle(Value::Null).to_string());
    assert_eq!(put.status, 200, "{}", put.text());
    assert!(admin.get("/v1/bundle").json().get("routes").is_none());
    for dialect in DIALECTS {
        assert_eq!(get("a.test", "/e", &[]).send(gate.addr(), dialect).status, 403);
    }
    admin.put("/v1/bundle", bundle(json!(routes("/a"))).to_string());
    for (given, line, says) in [
        (json!(routes("/a").replace("view", "vieww")), Some(3), "`view`"),
        (json!(routes("/a").replace("Doc::d", "Dok::d")), Some(4), "`Doc`"),
        (json!("routes: [{match: GET /a}]"), Some(1), "says nothing"),
        (json!("routes: ["), None, ""),
        (json!({"x": 7}), None, "must be text"),
        (json!([]), None, "`routes`"),
    ] {
        let put = admin.put("/v1/bundle", bundle(given.clone()).to_string());
        assert!(matches!(put.status, 400 | 422), "{given}: {}", put.text());
        assert!(put.text().contains(says), "{given}: {}", put.text());
        if let Some(line) = line {
            assert_eq!(put.json()["errors"][0]["line"], line, "{}", put.text());
        }
        assert_eq!(status(&gate, "/a"), 200, "what served serves on");
        let verdict = admin.post("/v1/validate", bundle(given.clone()).to_string());
        assert_eq!((verdict.status, &verdict.json()["valid"]), (200, &json!(false)), "{given}");
        assert!(verdict.text().contains(says), "{given}: {}", verdict.text());
    }
    let verdict = admin.post("/v1/validate", bundle(json!(routes("/a"))).to_string());
    assert_eq!(verdict.json()["valid"], true, "{}", verdict.text());
    // problems of policies and routes are reported together, and those of the schema once
    let mut broken = bundle(json!(routes("/a").replace("view", "vieww")));
    broken["policies"] = json!("permit (principal, action);");
    assert_eq!(admin.put("/v1/bundle", broken.to_string()).json()["errors"].as_array().unwrap().len(), 2);
    broken["schema"] = json!("entity");
    broken["policies"] = json!(POLICIES);
    assert_eq!(admin.put("/v1/bundle", broken.to_string()).json()["errors"].as_array().unwrap().len(), 1);
}
