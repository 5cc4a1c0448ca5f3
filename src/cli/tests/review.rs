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
fn what_the_template_rests_on_is_held() {
    let dir = saas();
    let (place, file) = (at(&dir), dir.path().join("entities/saas.json"));
    let world: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let uid = |text: &str| {
        let (ty, id) = text.split_once("::").unwrap();
        serde_json::json!({ "type": ty, "id": id })
    };
    let to = |text: &str| serde_json::json!({ "__entity": uid(text) });
    let within = |parents: &[&str]| parents.iter().map(|text| uid(text)).collect::<Value>();
    for (entity, member, value, code) in [
        // second homes
        ("Customer::depot", "parents", within(&["Customer::north", "Customer::south"]), "customer-place"),
        ("Customer::depot", "parents", within(&["Customer::other-hq"]), "customer-place"),
        ("Customer::hq", "parents", within(&["Tenant::acme", "Tenant::other"]), "customer-tenants"),
        ("Customer::north", "tenant", to("Tenant::other"), "customer-place"),
        ("User::olga", "parents", within(&["Customer::north", "Customer::hq"]), "user-home"),
        ("Device::d-hq", "parents", within(&["Customer::hq", "Customer::north"]), "device-place"),
        ("Device::d-hq", "parents", within(&["Customer::hq", "Location::dock"]), "device-location"),
        ("Folder::audits", "customer", to("Customer::north"), "folder-place"),
        ("Location::dock", "customer", to("Customer::hq"), "location-place"),
        ("Report::r-2", "customer", to("Customer::north"), "report-place"),
        // a folder that moves leaves its reports behind
        ("Report::r-1", "customer", to("Customer::north"), "report-folder"),
        ("Group::auditors", "tenant", to("Tenant::other"), "group-place"),
        ("Group::auditors", "customer", to("Customer::gone-for-good"), "group-place"),
        ("Token::vics", "tenant", to("Tenant::other"), "token-user"),
        // groups, locations, roles
        ("User::vic", "groups", within(&[]), "user-home"),
        ("User::vic", "parents", within(&["Customer::north", "Role::viewer"]), "user-home"),
        ("Group::auditors", "customer", to("Customer::south"), "user-groups"),
        ("User::lou", "restricted", Value::Bool(false), "user-locations"),
        ("User::eve", "parents", within(&["Customer::other-hq", "Role::reception"]), "user-roles"),
        ("Role::viewer", "parents", within(&["Permission::view-devices", "Role::reception"]), "role-roles"),
        // shares
        ("Share::audits-for-auditors", "folder", to("Folder::none"), "share-owner"),
        ("Group::auditors", "customer", to("Customer::north"), "share-owner"),
        ("Access::reader", "tenant", to("Tenant::other"), "share-access"),
        ("Access::editor", "templates", serde_json::json!(["folder.share", "report.view"]), "access-share"),
        ("Access::editor", "templates", serde_json::json!(["report.print"]), "access-templates"),
    ] {
        let mut world = world.clone();
        let found = world.iter_mut().find(|it| it["uid"] == uid(entity)).unwrap_or_else(|| panic!("{entity}"));
        if member == "parents" {
            found["parents"] = value.clone();
        } else {
            found["attrs"][member] = value.clone();
        }
        fs::write(&file, serde_json::to_vec(&world).unwrap()).unwrap();
        let ran = palisade(&["validate", "-p", &place]);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(ran.exit == Exit::Invalid && all.contains(&format!("the rule `{code}`")), "{entity} {member}: {all}");
    }
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
        "Role::\"admin\" groups, subtree, users, operator ada",
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
