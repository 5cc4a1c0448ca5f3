//! `palisade review`, over the bundle that `palisade init --template saas` writes, which is good itself.

use serde_json::Value;

use super::*;

/// The bundle, with two entities more: a share that gives nothing, as its access names no template, and one that no one
/// uses, as its group is empty.
fn saas() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ran = palisade(&["init", "--template", "saas", &at(&dir)]);
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, ""));
    dir
}

fn shares(dir: &tempfile::TempDir) {
    let share = |id: &str, access: &str, group: &str| {
        let to = |ty: &str, id: &str| serde_json::json!({ "__entity": { "type": ty, "id": id } });
        serde_json::json!({
            "uid": { "type": "Share", "id": id },
            "attrs": { "access": to("Access", access), "group": to("Group", group), "folder": to("Folder", "audits") },
            "parents": [],
        })
    };
    let more = serde_json::json!([
        { "uid": { "type": "Access", "id": "none" }, "attrs": { "templates": [] }, "parents": [] },
        { "uid": { "type": "Group", "id": "empty" }, "attrs": {
            "tenant": { "__entity": { "type": "Tenant", "id": "acme" } },
            "customer": { "__entity": { "type": "Customer", "id": "hq" } },
        }, "parents": [] },
        share("idle", "none", "auditors"),
        share("unused", "reader", "empty"),
    ]);
    fs::write(dir.path().join("entities/more.json"), more.to_string()).unwrap();
}

fn review(place: &str, more: &[&str]) -> Ran {
    palisade(&[&["review", "Tenant::acme", "-p", place][..], more].concat())
}

#[test]
fn the_template_of_products_is_good() {
    let dir = saas();
    let place = at(&dir);
    let valid = palisade(&["validate", "-p", &place, "--deny-warnings"]);
    assert_eq!((valid.exit, valid.err.as_str()), (Exit::Success, ""), "{}", valid.out);
    assert!(valid.out.starts_with("valid: 21 policies, 5 templates, "), "{}", valid.out);
    assert_eq!(palisade(&["test", "-p", &place, "--quiet"]).exit, Exit::Success);
    // a change of any part of a policy makes one of its tests fail
    let mutants = palisade(&["test", "-p", &place, "--quiet", "--mutate", "--mutate-min", "100"]);
    assert_eq!(mutants.exit, Exit::Success, "{}{}", mutants.out, mutants.err);
}

#[test]
fn what_is_shown_is_what_is_decided() {
    let dir = saas();
    shares(&dir);
    let place = at(&dir);
    let ran = review(&place, &["--format", "json", "--now", "2026-11-21T12:00:00Z"]);
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, ""));
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let principals = found["principals"].as_array().unwrap();
    // those of the other tenant are not among them
    assert_eq!(principals.len(), 9, "{principals:?}");
    let mut allowed = 0;
    for principal in principals {
        let who = principal["principal"].as_str().unwrap();
        let devices: Vec<&str> = principal["rights"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|right| right["action"] == "Action::\"viewDevice\"")
            .flat_map(|right| right["allowed"].as_array().unwrap())
            .map(|uid| uid.as_str().unwrap())
            .collect();
        for device in ["d-hq", "d-north", "d-depot", "d-south", "d-gone"] {
            let device = format!("Device::\"{device}\"");
            let asked = palisade(&["check", "-p", &place, "-l", who, "-a", "viewDevice", "-r", &device]);
            assert_eq!(asked.exit == Exit::Success, devices.contains(&device.as_str()), "{who} {device}");
            allowed += devices.len();
        }
    }
    assert!(allowed > 0);
    let grants: Vec<(&str, i64, bool)> = found["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| {
            let links = grant["links"].as_i64().unwrap();
            (grant["grant"].as_str().unwrap(), links, grant["gives_nothing"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(
        grants,
        [
            ("Customer::\"gone\"", 2, false),
            ("Share::\"audits-for-auditors\"", 1, false),
            ("Share::\"idle\"", 0, true),
            ("Share::\"unused\"", 1, true),
        ]
    );
    let role = found["roles"].as_array().unwrap().iter().find(|role| role["role"] == "Role::\"reception\"").unwrap();
    assert_eq!(role["who"], serde_json::json!(["User::\"rita\""]));
    assert_eq!(role["in"], serde_json::json!(["Permission::\"users\""]));
}

#[test]
fn the_table_is_for_people_and_all_is_bounded() {
    let dir = saas();
    shares(&dir);
    let place = at(&dir);
    let ran = review(&place, &["-l", "User::ada", "-a", "viewDevice", "-a", "viewUser", "--show", "2"]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let lines: Vec<String> =
        ran.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "PRINCIPAL ACTION TYPE ALLOWED OF WHICH",
        "User::\"ada\" viewDevice Device 4 5 d-depot, d-hq and 2 more",
        "Role::\"admin\" subtree, users, operator ada",
        "Share::\"idle\" access none, folder audits, group auditors - 0 0",
        "Share::\"audits-for-auditors\" access reader, folder audits, group auditors permit 1 ",
        "Customer::\"gone\" parent hq, tenant acme forbid 2 ",
        "gives nothing: Share::\"idle\" makes no link",
    ] {
        let expected = expected.to_owned();
        assert!(
            lines.contains(&expected) || lines.iter().any(|line| line.contains(&expected)),
            "{expected}:\n{}",
            ran.out
        );
    }
    // what was not asked about says nothing of a grant
    assert!(!ran.out.contains("decided nothing"), "{}", ran.out);
    let whole = review(&place, &[]).out;
    let nothing: Vec<&str> = whole.lines().filter(|line| line.starts_with("gives nothing")).collect();
    assert_eq!(
        nothing,
        ["gives nothing: Share::\"idle\" makes no link", "gives nothing: Share::\"unused\" decided nothing"]
    );
    // what a context would have to have is named, and is not "nothing"
    assert!(whole.contains("not tried: with `access`, `group`, `role`, `token` in the context"), "{whole}");
    for (args, exit, says) in [
        (&["--limit", "10"][..], Exit::Failure, "more than 10: name principals"),
        (&["-l", "User::eve"], Exit::Failure, "User::\"eve\" is not stored, or is not in Tenant::acme"),
        (&["-c", "[1]"], Exit::Failure, "cannot read [1]"),
        (&["-c", "{"], Exit::Usage, "not an object in JSON"),
        (&["-c", "{\"x\": 1}"], Exit::Failure, "the context is given with -c"),
        (&["-a", "viewDevise"], Exit::Failure, "the schema has no action Action::\"viewDevise\""),
    ] {
        let ran = review(&place, args);
        assert!(ran.exit == exit && ran.err.contains(says), "{args:?}: {:?} {}", ran.exit, ran.err);
    }
    let nobody = palisade(&["review", "Tenant::nobody", "-p", &place]);
    assert!(nobody.err.contains("Tenant::\"nobody\" is not stored"), "{}", nobody.err);
}

#[test]
fn a_grant_that_decides_with_more_in_the_context_is_not_called_nothing() {
    let dir = saas();
    let place = at(&dir);
    let to = |ty: &str, id: &str| serde_json::json!({ "__entity": { "type": ty, "id": id } });
    // an access that shares alone is refused by the rules of the data, so the template is granted with the others
    let more = serde_json::json!([
        { "uid": { "type": "Access", "id": "sharer" }, "attrs": {
            "templates": ["folder.share", "report.view", "report.edit"],
        }, "parents": [] },
        { "uid": { "type": "Folder", "id": "empty" }, "attrs": {
            "tenant": to("Tenant", "acme"), "customer": to("Customer", "hq"),
        }, "parents": [{ "type": "Customer", "id": "hq" }] },
        { "uid": { "type": "Share", "id": "sharing" }, "attrs": {
            "access": to("Access", "sharer"), "group": to("Group", "auditors"), "folder": to("Folder", "empty"),
        }, "parents": [] },
    ]);
    fs::write(dir.path().join("entities/more.json"), more.to_string()).unwrap();
    let share = |ran: &Ran| {
        let found: Value = serde_json::from_str(&ran.out).unwrap();
        let grants = found["grants"].as_array().unwrap().clone();
        grants.into_iter().find(|grant| grant["grant"] == "Share::\"sharing\"").unwrap()
    };
    let json = share(&review(&place, &["--format", "json"]));
    assert_eq!(json["gives_nothing"], Value::Null, "{json}");
    assert_eq!(json["needs"], serde_json::json!(["access", "group"]), "{json}");
    let table = review(&place, &[]).out;
    let line = "not known: Share::\"sharing\" decided nothing, and looks for `access`, `group` in the context (-c)";
    assert!(table.contains(line) && !table.contains("gives nothing"), "{table}");
    let context = r#"{"access": {"type": "Access", "id": "reader"}, "group": {"type": "Group", "id": "auditors"}}"#;
    let asked = share(&review(&place, &["--format", "json", "-c", context]));
    assert_eq!((&asked["gives_nothing"], &asked["needs"]), (&Value::Bool(false), &serde_json::json!([])), "{asked}");
}
