//! The packs hold under every change that the API takes: what a policy rests on is held by a rule of the data.
//!
//! Each change is asked about as a service would send it, `dry_run`, so that every one is made to the example world.

use serde_json::{Value, json};

use crate::support::{Server, fleet};

fn uid(text: &str) -> Value {
    let (ty, id) = text.split_once("::").unwrap();
    json!({ "type": format!("Fleet::{ty}"), "id": id })
}

fn of(text: &str) -> Value {
    json!({ "__entity": uid(text) })
}

/// An entity with attributes, in parents.
fn new(entity: &str, attrs: Value, parents: &[&str]) -> Value {
    let parents: Vec<Value> = parents.iter().map(|parent| uid(parent)).collect();
    json!({ "upsert": { "uid": uid(entity), "attrs": attrs, "parents": parents } })
}

/// Parents that an entity gets, and such as it loses.
fn within(entity: &str, gets: &[&str], loses: &[&str]) -> Value {
    let uids = |texts: &[&str]| texts.iter().map(|text| uid(text)).collect::<Vec<_>>();
    json!({ "update": { "uid": uid(entity), "add_parents": uids(gets), "remove_parents": uids(loses) } })
}

fn set(entity: &str, attrs: Value) -> Value {
    json!({ "update": { "uid": uid(entity), "attrs": attrs } })
}

fn unset(entity: &str, member: &str) -> Value {
    json!({ "update": { "uid": uid(entity), "unset": [member] } })
}

/// A group of records that a customer owns.
fn group(id: &str, tenant: &str, customer: &str, kind: &str) -> Value {
    let attrs = json!({ "tenant": of(&format!("Tenant::{tenant}")), "customer": of(&format!("Customer::{customer}")), "kind": kind });
    new(&format!("EntityGroup::{id}"), attrs, &[&format!("Customer::{customer}")])
}

/// Changes, and the rule that refuses them; empty where they are taken.
pub(crate) fn cases() -> Vec<(Vec<Value>, &'static str)> {
    let role = |id: &str, tenant: &str, parents: &[&str]| {
        new(&format!("Role::{id}"), json!({ "tenant": of(&format!("Tenant::{tenant}")) }), parents)
    };
    let of_customer = |customer: &str| json!({ "customer": of(&format!("Customer::{customer}")) });
    vec![
        // ---- permissions: none includes another
        (vec![within("Permission::ioto.read", &["Permission::ioto.cloud"], &[])], "permission-product"),
        (vec![within("Permission::autopi.records", &["Permission::autopi.users"], &[])], "permission-product"),
        (vec![within("Permission::edgeiq.read", &["Permission::ioto"], &[])], "permission-product"),
        (vec![within("Permission::ioto", &["Permission::edgeiq.users"], &[])], "permission-product"),
        (vec![new("Permission::own", json!({}), &["Permission::ioto.cloud"])], "permission-product"),
        (vec![within("Permission::edgeiq.users", &["Permission::edgeiq"], &[])], ""),
        // ---- what a tenant has made is had there alone
        (vec![role("z1", "eq2", &[]), role("e1", "eq", &["Role::z1"])], "role-roles"),
        (vec![role("z1", "eq", &[]), role("e1", "eq", &["Role::z1"])], ""),
        // a role of the product includes none that is edited by a tenant
        (vec![role("z1", "eq", &[]), within("Role::viewer", &["Role::z1"], &[])], "role-roles"),
        (vec![role("z1", "eq2", &[]), within("User::eq-a-op", &["Role::z1"], &[])], "user-roles"),
        (vec![within("User::eq-a-op", &["Role::eq-rollout"], &[])], ""),
        // a role that is had goes to no other tenant
        (
            vec![
                within("User::eq-a-op", &["Role::eq-rollout"], &[]),
                set("Role::eq-rollout", json!({ "tenant": of("Tenant::eq2") })),
            ],
            "user-roles",
        ),
        (
            vec![
                within("User::u-none", &["PermissionGroup::ap-caretaker"], &[]),
                set("PermissionGroup::ap-caretaker", json!({ "tenant": of("Tenant::ap2") })),
            ],
            "user-permission-groups",
        ),
        (vec![within("ApiToken::capi2", &["Role::io-technician"], &[])], "token-roles"),
        // a session that counts as its user has no role of its own
        (vec![set("ApiToken::io-tok-inact", json!({ "login": true }))], "token-login"),
        (vec![set("ApiToken::io-tok-inact", json!({ "login": false }))], ""),
        (
            vec![
                set("ApiToken::io-tok-inact", json!({ "login": true })),
                within("ApiToken::io-tok-inact", &[], &["Role::user"]),
            ],
            "",
        ),
        (vec![within("User::tb-bob", &["UserGroup::gone"], &[])], "user-groups"),
        (
            vec![
                new("UserGroup::x", json!({ "tenant": of("Tenant::tb2"), "customer": of("Customer::TB2ROOT") }), &[]),
                within("User::tb-bob", &["UserGroup::x"], &[]),
            ],
            "user-groups",
        ),
        // one beside his customer, or below it: who is over the group's owner would have a hold on him
        (
            vec![
                new("UserGroup::x", json!({ "tenant": of("Tenant::tb"), "customer": of("Customer::BLDB") }), &[]),
                within("User::tb-bob", &["UserGroup::x"], &[]),
            ],
            "user-groups",
        ),
        (vec![within("User::tb-bob", &["UserGroup::Floor 1 Administrators"], &[])], "user-groups"),
        (vec![within("User::tb-bob", &["UserGroup::Supervisors"], &[])], ""),
        // nor does he keep those of where he came from
        (
            vec![
                set("User::tb-bob", of_customer("BLDB")),
                within("User::tb-bob", &["Customer::BLDB"], &["Customer::BLDA"]),
            ],
            "user-groups",
        ),
        // ---- a group of users and its record have one owner
        (
            vec![
                set("EntityGroup::Tenant Administrators", of_customer("FLOOR1")),
                within("EntityGroup::Tenant Administrators", &["Customer::FLOOR1"], &["Customer::TBROOT"]),
            ],
            "user-group-record",
        ),
        (vec![set("UserGroup::Building A Users", of_customer("BLDB"))], "user-group-record"),
        (vec![unset("EntityGroup::Building A Users", "users")], "user-group-record"),
        (vec![set("EntityGroup::Building A devices", json!({ "kind": "USER" }))], "user-group-record"),
        (
            vec![set("EntityGroup::Building A devices", json!({ "users": of("UserGroup::Supervisors") }))],
            "user-group-record",
        ),
        // ---- a record is in groups of its owner or of one above, of its own kind
        (
            vec![group("x", "tb", "FLOOR1", "ASSET"), within("Asset::tb-asset-t", &["EntityGroup::x"], &[])],
            "asset-groups",
        ),
        (
            vec![group("x", "tb2", "TB2ROOT", "ASSET"), within("Asset::tb-asset-t", &["EntityGroup::x"], &[])],
            "asset-groups",
        ),
        (vec![group("x", "tb", "TBROOT", "ASSET"), within("Asset::tb-asset-a", &["EntityGroup::x"], &[])], ""),
        (
            vec![group("x", "tb", "TBROOT", "EDGE"), within("EntityView::tb-entity-view-a", &["EntityGroup::x"], &[])],
            "entity-view-groups",
        ),
        (vec![group("x", "tb", "BLDB", "EDGE"), within("Edge::tb-edge-a", &["EntityGroup::x"], &[])], "edge-groups"),
        (vec![within("Device::tb-b", &["EntityGroup::Supervisor Dashboards"], &[])], "device-groups"),
        (vec![within("Dashboard::db-a", &["EntityGroup::Building A devices"], &[])], "dashboard-groups"),
        (vec![within("Customer::BLDA", &["EntityGroup::Building A devices"], &[])], "customer-groups"),
        (
            vec![group("x", "tb", "BLDB", "CUSTOMER"), within("Customer::FLOOR1", &["EntityGroup::x"], &[])],
            "customer-groups",
        ),
        (vec![within("Customer::BLDB", &["EntityGroup::My Customers"], &[])], ""),
        // ---- and at locations of its owner
        (vec![within("Device::d-dk3", &["Location::oslo"], &[])], "device-location"),
        (vec![within("Vehicle::v-dk3", &["Location::oslo"], &[])], "vehicle-location"),
        (
            vec![
                set("Location::cph", of_customer("NO")),
                within("Location::cph", &["Customer::NO"], &["Customer::DK"]),
            ],
            "vehicle-location",
        ),
        (
            vec![
                new(
                    "VehicleGroup::x",
                    json!({ "tenant": of("Tenant::ap"), "customer": of("Customer::NO") }),
                    &["Customer::NO"],
                ),
                within("Vehicle::v-dk3", &["VehicleGroup::x"], &[]),
            ],
            "vehicle-groups",
        ),
        // ---- a tenant is in one product
        (vec![within("Tenant::ap", &["Platform::edgeiq"], &[])], "tenant-platform"),
        (vec![within("Tenant::cloud1", &["Platform::thingsboard"], &[])], "tenant-platform"),
        (vec![within("Tenant::tb2", &["Platform::ioto"], &["Platform::thingsboard"])], ""),
        (vec![within("Tenant::eq", &["Platform::autopi"], &[])], "tenant-platform"),
        // ---- a customer is in its parent and its tenant, and in no other
        (vec![within("Customer::DK", &["Customer::NO"], &[])], "customer-place"),
        (vec![within("Customer::RENT", &["Customer::HQ"], &[])], "customer-place"),
        (vec![within("Customer::DK", &["Tenant::ap2"], &[])], "customer-tenants"),
        // its own parent it is in EdgeIQ alone, and at the top
        (vec![set("Customer::RENT", json!({ "parent": of("Customer::RENT") }))], "customer-top"),
        (
            vec![
                set("Customer::DK", json!({ "parent": of("Customer::DK") })),
                within("Customer::DK", &["Tenant::ap"], &["Customer::HQ"]),
            ],
            "customer-top",
        ),
        // and so is a second entry, which is in no parent
        (
            vec![
                set("Customer::HQ", json!({ "uniqueId": of("Customer::DK") })),
                within("Customer::DK", &["Tenant::ap"], &["Customer::HQ"]),
            ],
            "customer-parent",
        ),
        (vec![set("Customer::B", json!({ "uniqueId": of("Customer::north-yard") }))], "customer-unique-id"),
    ]
}

#[test]
fn what_the_packs_rest_on_is_held_by_rules_of_the_data() {
    let server = Server::ready(fleet());
    let mut admin = server.admin();
    for (changes, rule) in cases() {
        let body = json!({ "changes": changes }).to_string();
        let answer = admin.post("/v1/changes?dry_run=true", &body);
        let (status, told) = (answer.status, answer.json());
        if rule.is_empty() {
            assert_eq!(status, 200, "{body}: {told}");
            continue;
        }
        assert_eq!((status, told["code"].as_str()), (422, Some("rule_broken")), "{body}: {told}");
        let errors = told["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error["dataRule"] == rule), "{rule}: {body}: {told}");
    }
}

/// Ways in which a session of Ioto loses what its role gives: changes, and what happens to what refers to that. The last one
/// takes the permission from all roles, for good.
fn losses() -> Vec<(&'static str, Value)> {
    let role = uid("Role::own");
    vec![
        ("refuse", within("ApiToken::own", &[], &["Role::own"])),
        ("refuse", within("Role::own", &[], &["Permission::ioto.devices"])),
        ("unlink", json!({ "delete": role })),
        ("keep", json!({ "delete": role })),
        ("unlink", json!({ "revert": role })),
        ("keep", json!({ "revert": role })),
        ("unlink", json!({ "delete": uid("Permission::ioto.devices") })),
    ]
}

#[test]
fn a_session_that_loses_its_role_becomes_no_login() {
    let server = Server::ready(fleet());
    let (mut admin, mut client) = (server.admin(), server.client());
    let mut change = |changes: Vec<Value>, dangling: &str| {
        let answer = admin.post("/v1/changes", json!({ "changes": changes, "dangling": dangling }).to_string());
        assert_eq!(answer.status, 200, "{changes:?}: {}", answer.json());
    };
    let mut allows = |action: &str| {
        let context = json!({
            "now": { "__extn": { "fn": "datetime", "arg": "2026-11-21T12:00:00Z" } },
            "auth": { "method": "password", "mfa": false },
            "token": of("ApiToken::own"),
        });
        let action = json!({ "type": "Fleet::Action", "id": action });
        let body = json!({ "principal": uid("User::io-owneruser"), "action": action, "resource": uid("Device::io-1"), "context": context });
        let answer = client.post("/v1/is_authorized", body.to_string()).json();
        assert!(answer["decision"].is_string(), "{answer}");
        answer["decision"] == "Allow"
    };
    let session = |login: bool, parents: &[&str]| {
        let attrs = json!({
            "tenant": of("Tenant::cloud1"), "customer": of("Customer::acc1"), "user": of("User::io-owneruser"),
            "kind": "session", "revoked": false, "login": login,
        });
        new("ApiToken::own", attrs, parents)
    };
    for (dangling, loss) in losses() {
        let role = new("Role::own", json!({}), &["Permission::ioto.devices"]);
        change(vec![role, session(false, &["Customer::acc1", "Role::own"])], "refuse");
        assert!(allows("UpdateDevice") && !allows("ViewDevice"), "before {loss}");
        change(vec![loss.clone()], dangling);
        assert!(!allows("UpdateDevice") && !allows("ViewDevice"), "after {loss}, {dangling}");
        change(vec![json!({ "revert": uid("Permission::ioto.devices") })], "refuse");
    }
    change(vec![session(true, &["Customer::acc1"])], "refuse");
    assert!(allows("ViewDevice"), "one that says so is the login of its user");
}

/// The first number before `word` in a line of the README, without what parts thousands.
fn number_before(line: &str, word: &str) -> usize {
    let (before, _) = line.split_once(word).unwrap_or_else(|| panic!("`{word}` is in: {line}"));
    let number = before.trim_end().rsplit(' ').next().unwrap_or_default();
    number.replace(',', "").parse().unwrap_or_else(|_| panic!("a number stands before `{word}` in: {line}"))
}

#[test]
fn the_readme_counts_the_packs() {
    let readme = std::fs::read_to_string(Server::project("README.md")).unwrap();
    let line = readme.lines().find(|line| line.contains(" policies and templates over one schema")).unwrap();
    let texts = crate::policies::fleet().policies;
    let policies: usize = texts.iter().map(|text| text.text.matches("@id(").count()).sum();
    assert_eq!(number_before(line, "policies and templates"), policies, "{line}");
    let tests = palisade::cli::test::read_tests(&Server::project("policies/tests")).unwrap();
    let cases: usize = tests.iter().map(|file| file.cases.len()).sum();
    // to the hundred, and never more than there are
    assert_eq!(number_before(line, "policy tests"), cases / 100 * 100, "{line}; there are {cases}");
}
