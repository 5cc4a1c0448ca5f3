//! Roles as data, through the real binary: links that data make and rules that data must keep, in files and over HTTP,
//! changed, refused, listed, explained, restarted.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::{Process, command};

const CHANGES: &str = "/v1/changes";
const ASK: &str = "/v1/is_authorized";

const SCHEMA: &str = r#"namespace S {
  entity Tenant;
  entity Customer in [Tenant, Customer] { closed?: Bool };
  entity Group in [Customer];
  entity User in [Group, Customer] { customer: Customer, tenant: Tenant };
  entity Device in [Customer];
  entity Role { permissions: Set<String> };
  entity Grant { role: Role, group: Group, where: Customer };
  action view, edit appliesTo { principal: User, resource: Device };
}
"#;

const POLICIES: &str = r#"@id("device.view") permit (principal in ?principal, action == S::Action::"view", resource in ?resource);
@id("device.edit") permit (principal in ?principal, action == S::Action::"edit", resource in ?resource);
@id("closed") forbid (principal, action, resource in ?resource);
"#;

const LINKS: &str = "# roles are data
- each: S::Grant
  template: role.permissions
  principal: group
  resource: where
- each: S::Customer
  when: closed
  template: closed
  resource: self
";

const RULES: &str = "- each: S::User
  must: principal.customer in principal.tenant
  code: user-tenant
  message: the user's customer belongs to another tenant
";

fn uid(ty: &str, id: &str) -> Value {
    json!({ "type": format!("S::{ty}"), "id": id })
}

fn entity(ty: &str, id: &str, attrs: Value, parents: &[(&str, &str)]) -> Value {
    let parents: Vec<Value> = parents.iter().map(|(ty, id)| uid(ty, id)).collect();
    json!({ "uid": uid(ty, id), "attrs": attrs, "parents": parents })
}

fn role(permissions: &[&str]) -> Value {
    entity("Role", "viewer", json!({ "permissions": permissions }), &[])
}

fn grant(id: &str, role: &str) -> Value {
    let attrs = json!({ "role": uid("Role", role), "group": uid("Group", "g"), "where": uid("Customer", "c") });
    entity("Grant", id, attrs, &[])
}

fn user(id: &str, customer: &str) -> Value {
    let attrs = json!({ "customer": uid("Customer", customer), "tenant": uid("Tenant", "t") });
    entity("User", id, attrs, &[("Group", "g")])
}

fn entities() -> Value {
    json!([
        entity("Tenant", "t", json!({}), &[]),
        entity("Tenant", "other", json!({}), &[]),
        entity("Customer", "c", json!({}), &[("Tenant", "t")]),
        entity("Customer", "foreign", json!({}), &[("Tenant", "other")]),
        entity("Group", "g", json!({}), &[]),
        entity("Device", "d", json!({}), &[("Customer", "c")]),
        user("ann", "c"),
        role(&["device.view"]),
        grant("1", "viewer"),
    ])
}

fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("policies/s.cedarschema", SCHEMA),
        ("policies/roles.cedar", POLICIES),
        ("policies/roles.links.yaml", LINKS),
        ("policies/users.rules.yaml", RULES),
        ("entities/e.json", &entities().to_string()),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn start(dir: tempfile::TempDir) -> Process {
    Process::start(dir, &["store.path=state/palisade.store", "validation=strict"])
}

fn question(action: &str) -> Value {
    json!({ "principal": "S::User::\"ann\"", "action": format!("S::Action::\"{action}\""), "resource": "S::Device::\"d\"" })
}

/// The decision and its reasons.
#[track_caller]
fn decision(process: &Process, action: &str) -> (String, Vec<String>) {
    let answer = process.client().post(ASK, question(action).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let reasons = answer["diagnostics"]["reason"].as_array().unwrap();
    let reasons = reasons.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    (answer["decision"].as_str().unwrap().to_owned(), reasons)
}

/// Sends changes; gives status, code or nothing, and the answer.
fn change(process: &Process, changes: Value) -> (u16, String, Value) {
    let answer = process.admin().post(CHANGES, json!({ "changes": changes }).to_string());
    let json = answer.json();
    (answer.status, json["code"].as_str().unwrap_or_default().to_owned(), json)
}

#[track_caller]
fn expect(process: &Process, view: (&str, &[&str]), edit: (&str, &[&str])) {
    for (action, (outcome, reasons)) in [("view", view), ("edit", edit)] {
        let reasons: Vec<String> = reasons.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(decision(process, action), (outcome.to_owned(), reasons), "{action}");
    }
}

const VIEW: &str = "device.view@S::Grant::\"1\"";
const EDIT: &str = "device.edit@S::Grant::\"1\"";
const CLOSED: &str = "closed@S::Customer::\"c\"";

#[test]
fn a_role_is_data() {
    let process = start(workspace());
    expect(&process, ("Allow", &[VIEW]), ("Deny", &[]));
    // the role is edited, the customer closed and opened, the grant taken back
    let (status, _, answer) = change(&process, json!([{ "upsert": role(&["device.view", "device.edit"]) }]));
    assert_eq!((status, &answer["applied"]["links_added"]), (200, &json!(1)), "{answer}");
    expect(&process, ("Allow", &[VIEW]), ("Allow", &[EDIT]));
    let close = |closed: bool| json!([{ "update": { "uid": uid("Customer", "c"), "attrs": { "closed": closed } } }]);
    assert_eq!(change(&process, close(true)).0, 200);
    expect(&process, ("Deny", &[CLOSED]), ("Deny", &[CLOSED]));
    assert_eq!(change(&process, close(false)).0, 200);
    assert_eq!(change(&process, json!([{ "delete": uid("Grant", "1") }])).0, 200);
    expect(&process, ("Deny", &[]), ("Deny", &[]));
    // a role that no policy ever heard of
    let auditor = entity("Role", "auditor", json!({ "permissions": ["device.view"] }), &[]);
    assert_eq!(change(&process, json!([{ "upsert": auditor }, { "upsert": grant("2", "auditor") }])).0, 200);
    let view = "device.view@S::Grant::\"2\"";
    expect(&process, ("Allow", &[view]), ("Deny", &[]));
    // links are derived again at a restart; declarations are in the bundle, never what they made
    let bundle = process.admin().get("/v1/bundle").json();
    assert_eq!(bundle["links"].as_array().unwrap().len(), 2, "{}", bundle["links"]);
    assert_eq!((&bundle["links"][0]["each"], &bundle["rules"][0]["code"]), (&json!("S::Grant"), &json!("user-tenant")));
    let mut process = process;
    process.signal("KILL");
    process.wait();
    let process = start(std::mem::replace(&mut process.dir, tempfile::tempdir().unwrap()));
    expect(&process, ("Allow", &[view]), ("Deny", &[]));
    assert_eq!(process.admin().get("/v1/bundle").json(), bundle);
    // what a `GET` gave serves as the base too, also after a restart
    let answer = process.admin().put("/v1/bundle", bundle.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    expect(&process, ("Allow", &[view]), ("Deny", &[]));
    assert_eq!(change(&process, json!([{ "upsert": grant("1", "viewer") }])).0, 200);
    let mut process = process;
    process.signal("KILL");
    process.wait();
    let process = start(std::mem::replace(&mut process.dir, tempfile::tempdir().unwrap()));
    expect(&process, ("Allow", &[VIEW, view]), ("Allow", &[EDIT]));
    let explained = process.admin().post("/v1/explain", question("edit").to_string()).json();
    let link = &explained["policies"][0]["link"];
    assert_eq!(link["made_by"], "S::Grant::\"1\"", "{explained}");
    // the declaration came by the bundle
    assert!(link["written"].as_str().unwrap().contains("links from data[0]"), "{link}");
}

#[test]
fn what_breaks_links_or_rules_is_refused() {
    let process = start(workspace());
    let revision = process.admin().get("/v1/status").json()["revision"].clone();
    let args = json!({ "?principal": "S::Group::\"g\"", "?resource": "S::Customer::\"c\"" });
    let link = json!({ "link_id": VIEW, "template_id": "device.view", "args": args });
    for (changes, status, code, place) in [
        (json!([{ "put_link": link }]), 409, "derived_link", "/changes/0/put_link"),
        (json!([{ "delete_link": VIEW }]), 409, "derived_link", "/changes/0/delete_link"),
        (json!([{ "delete": uid("Role", "viewer") }]), 409, "dangling_reference", "/changes/0/delete"),
        (json!([{ "upsert": grant("9", "none") }]), 409, "broken_path", "/changes/0/upsert"),
        (json!([{ "delete_policy": "device.view" }]), 409, "template_in_use", "/changes/0/delete_policy"),
        (json!([{ "delete_policy": "closed" }]), 409, "template_in_use", "/changes/0/delete_policy"),
        (json!([{ "upsert": role(&["device.veiw"]) }]), 422, "invalid_change", "/changes/0/upsert"),
        (json!([{ "upsert": user("eve", "foreign") }]), 422, "rule_broken", "/changes/0/upsert"),
        (
            json!([{ "update": { "uid": uid("Customer", "c"), "remove_parents": [uid("Tenant", "t")] } }]),
            422,
            "rule_broken",
            "/changes/0/update",
        ),
    ] {
        let (seen, word, answer) = change(&process, changes.clone());
        assert_eq!(
            (seen, &*word, answer["errors"][0]["where"].as_str()),
            (status, code, Some(place)),
            "{changes}: {answer}"
        );
        if code == "rule_broken" {
            assert_eq!(answer["errors"][0]["dataRule"], "user-tenant", "{answer}");
        }
    }
    let keep = json!({ "changes": [{ "delete": uid("Role", "viewer") }], "dangling": "keep" }).to_string();
    let answer = process.admin().post(CHANGES, keep);
    assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("broken_path")), "{}", answer.text());
    // by its path too
    let path: String = VIEW.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = json!({ "template_id": "device.view", "args": args }).to_string();
    let json_type = ("content-type", "application/json");
    for (method, kind, header, status, code) in [
        ("DELETE", "links", None, 409, "derived_link"),
        ("DELETE", "policies", None, 409, "derived_link"),
        ("PUT", "links", None, 409, "derived_link"),
        ("PUT", "links", Some(("if-match", "*")), 409, "derived_link"),
        ("PUT", "links", Some(("if-none-match", "*")), 412, "condition_failed"),
    ] {
        let body = if method == "PUT" { body.as_bytes() } else { b"" };
        let headers: Vec<(&str, &str)> = std::iter::once(json_type).chain(header).collect();
        let answer = process.admin().send(method, &format!("/v1/{kind}/{path}"), &headers, body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{method} {kind} {header:?}");
    }
    // a request's own entities make no links
    let mut own = question("edit");
    own["additional_entities"] = json!([grant("new", "viewer")]);
    let answer = process.client().post(ASK, own.to_string());
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("makes_links")), "{}", answer.text());
    own["additional_entities"] = json!([grant("1", "viewer")]);
    assert_eq!(process.client().post(ASK, own.to_string()).status, 200);
    assert_eq!(process.admin().get("/v1/status").json()["revision"], revision);
    // a bundle is checked whole
    let mut bundle = process.admin().get("/v1/bundle").json();
    bundle["links"][0]["template"] = json!("role.permisions");
    let verdict = process.admin().post("/v1/validate", bundle.to_string());
    let verdict = verdict.json();
    assert_eq!(verdict["valid"], false, "{verdict}");
    assert_eq!(verdict["errors"][0]["where"], "links[0]", "{verdict}");
    assert!(verdict["errors"][0]["message"].as_str().unwrap().contains("did you mean `permissions`?"), "{verdict}");
    assert_eq!(process.admin().put("/v1/bundle", bundle.to_string()).status, 422);
}

fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(dir).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_knows_them() {
    let dir = workspace();
    let (code, out, err) = run(dir.path(), &["validate"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, err) = run(dir.path(), &["links"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..2], ["LINK", "TEMPLATE"]);
    let place = lines[1][5].to_owned();
    assert_eq!(lines[1][..5], [VIEW, "device.view", "S::Group::\"g\"", "S::Customer::\"c\"", "S::Grant::\"1\""]);
    assert!(place.ends_with("roles.links.yaml:2"), "{place}");
    let (_, out, _) = run(dir.path(), &["links", "--format", "json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json[0]["made_by"], &json[0]["declaration"]["each"]), (&json!("S::Grant::\"1\""), &json!("S::Grant")));
    let check = ["check", "-v", "-l", "S::User::ann", "-a", "view", "-r", "S::Device::d"];
    let (code, out, err) = run(dir.path(), &check);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains(VIEW) && out.contains("    made by S::Grant::\"1\""), "{out}");
    // tests with entities of their own make their own links
    let mut other = entities();
    other.as_array_mut().unwrap().retain(|entity| entity["uid"]["type"] != "S::Grant");
    let tests = json!([
        {"name": "granted", "request": question("view"), "decision": "allow", "reason": [VIEW]},
        {"name": "not granted", "request": question("view"), "decision": "deny", "entities": other},
    ]);
    std::fs::create_dir_all(dir.path().join("policies/tests")).unwrap();
    std::fs::write(dir.path().join("policies/tests/t.json"), tests.to_string()).unwrap();
    let (code, out, err) = run(dir.path(), &["test"]);
    assert_eq!(code, Some(0), "{out}{err}");
    // what is wrong is said with the file and the line
    for (name, text, expected) in [
        (
            "policies/roles.links.yaml",
            LINKS.replace("group", "grup"),
            "roles.links.yaml:4: `principal`: `grup`: `S::Grant` has no attribute `grup`",
        ),
        (
            "policies/roles.links.yaml",
            LINKS.replace("  resource: where\n", ""),
            "the link lacks `?resource` of the template `device.view`",
        ),
        ("policies/users.rules.yaml", RULES.replace("customer in", "custmer in"), "users.rules.yaml:2: "),
        ("policies/users.rules.yaml", RULES.replace("must", "most"), "users.rules.yaml:2: unknown member `most`"),
    ] {
        let before = std::fs::read_to_string(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
        let (code, out, err) = run(dir.path(), &["validate"]);
        assert_eq!(code, Some(3), "{out}{err}");
        assert!(out.contains(expected), "{expected}: {out}{err}");
        std::fs::write(dir.path().join(name), before).unwrap();
    }
}

#[test]
fn what_a_change_only_reports_is_in_its_answer() {
    let process = Process::start(workspace(), &["validation=strict"]);
    let template = "permit (principal == ?principal, action, resource);";
    let bundle = json!({
        "schema": "namespace S { entity User { n?: Long }; entity Role { names: Set<String>, user: User }; entity Doc; \
            action view appliesTo { principal: [User], resource: [Doc] }; }",
        "policies": { "all": template, "other": "permit (principal, action, resource);" },
        "entities": [entity("User", "u", json!({ "n": 4 }), &[])],
        "links": [{ "each": "S::Role", "template": "names", "principal": "user", "missing": "warn" }],
        "rules": [{
            "each": "S::User", "must": "principal has n && principal.n > 3", "code": "few", "message": "too few", "level": "warn",
        }],
    });
    let answer = process.admin().put("/v1/bundle", bundle.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let role = |name: &str| {
        let attrs = json!({ "names": [name], "user": uid("User", "u") });
        json!([{ "upsert": entity("Role", "r", attrs, &[]) }])
    };
    let user = |n: i64| json!([{ "upsert": entity("User", "v", json!({ "n": n }), &[]) }]);
    // each after the one before
    for (changes, warned, links) in [
        (user(4), None, (0, 0)),
        (user(1), Some("too few"), (0, 0)),
        (role("nope"), Some("names `nope`"), (0, 0)),
        (json!([{ "put_policy": { "id": "nope", "text": template } }]), None, (1, 0)),
        (role("other"), Some("names `other`"), (0, 1)),
        (role("all"), None, (1, 0)),
        (json!([{ "delete": uid("Role", "r") }]), None, (0, 1)),
    ] {
        let dry = json!({ "changes": changes }).to_string();
        let dry = process.admin().post(&format!("{CHANGES}?dry_run=true"), dry).json();
        let (status, _, answer) = change(&process, changes.clone());
        let warnings = |answer: &Value| answer["warnings"].as_array().cloned().unwrap_or_default();
        assert_eq!((status, warnings(&answer).len()), (200, usize::from(warned.is_some())), "{changes}: {answer}");
        assert_eq!(warnings(&dry), warnings(&answer), "{changes}: {dry}");
        let text = answer["warnings"].to_string();
        assert!(text.contains(warned.unwrap_or_default()), "{changes}: {answer}");
        let applied = &answer["applied"];
        assert_eq!(
            (&applied["links_added"], &applied["links_removed"]),
            (&json!(links.0), &json!(links.1)),
            "{changes}"
        );
    }
}
