//! The project's own policies: their tests pass, and each policy is there for a reason that a test sees.

use std::collections::BTreeSet;

use palisade::cli::test::{Got, Options, Report, TestFile, read_tests, run_with};
use palisade::source::{FileSettings, FileSource, Source};
use palisade_engine::model::{Bundle, Document, Revision};
use palisade_engine::{EngineSettings, Snapshot, Validation, on_big_stack};
use serde_json::{Value, json};

use crate::support::Server;

pub(crate) fn fleet() -> Bundle {
    FileSource::new(Server::project("policies"), Some(Server::project("entities")), FileSettings::default())
        .load()
        .unwrap()
        .bundle
}

/// The statements of a policy text: where each begins and ends. The packs have no `;` inside strings.
fn statements(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(";\n") {
        let comments: String = text[start..=at].lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        if comments.contains("permit") || comments.contains("forbid") {
            found.push(start..at + 1);
            start = at + 1;
        }
    }
    found
}

/// The rows that a text's `@rows` annotations name.
fn rows(text: &str) -> BTreeSet<String> {
    text.match_indices("@rows(\"")
        .flat_map(|(at, open)| text[at + open.len()..].split('"').next().unwrap_or_default().split(','))
        .map(|row| row.trim().to_owned())
        .collect()
}

/// The cases whose decision names the policy, or a link of the template, each in its file. Without it, no other decision
/// can change: it neither determined them nor failed in them.
fn cases_that_name(id: &str, tests: &[TestFile], whole: &Report) -> Vec<TestFile> {
    let mut results = whole.results.iter();
    let named = tests.iter().map(|file| {
        let named = file.cases.iter().zip(results.by_ref()).filter(|(_, result)| match &result.got {
            Got::Decision(decision) => decision
                .reasons
                .iter()
                .chain(decision.errors.iter().map(|error| &error.policy_id))
                .any(|named| named.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))),
            Got::Refused(_) | Got::Broken(_) => false,
        });
        TestFile { cases: named.map(|(case, _)| case.clone()).collect(), ..file.clone() }
    });
    named.collect()
}

/// Of so many policies one is taken out of its file. All of them are removed as mutants, see `scores`.
const EVERY: usize = 9;

#[test]
fn without_a_policy_a_test_fails() {
    on_big_stack(|| {
        let (bundle, tests) = (fleet(), read_tests(&Server::project("policies/tests")).unwrap());
        let options = Options {
            engine: EngineSettings { validation: Validation::Off, ..EngineSettings::default() },
            fail_fast: true,
            ..Options::default()
        };
        let whole = run_with(&bundle, &tests, &Options { fail_fast: false, ..options.clone() }).unwrap();
        assert!(whole.failed() == 0 && whole.passed() > 10_000, "{whole}");
        let (mut seen, mut removed, mut unseen) = (0, 0, Vec::new());
        for (i, policies) in bundle.policies.iter().enumerate() {
            for range in statements(&policies.text) {
                seen += 1;
                if seen % EVERY != 0 {
                    continue;
                }
                let mut mutant = bundle.clone();
                let statement = policies.text[range.clone()].to_owned();
                // a template that data name cannot go, so its links say nothing
                let template = statement.contains("in ?");
                let rest = if template {
                    format!("{} when {{ false }};", statement.trim_end_matches(';'))
                } else {
                    String::new()
                };
                mutant.policies[i].text.replace_range(range, &rest);
                removed += 1;
                let id = statement.split_once("@id(\"").and_then(|(_, rest)| rest.split('"').next()).unwrap();
                let tests = cases_that_name(id, &tests, &whole);
                if run_with(&mutant, &tests, &options).unwrap().failed() == 0 {
                    unseen.push(statement);
                }
            }
        }
        assert!(unseen.is_empty(), "no test sees that these are gone:\n{}", unseen.join("\n"));
        assert!(seen == 187 && removed == seen / EVERY, "{removed} of {seen}");
        for (i, declaration) in bundle.for_each.links.iter().enumerate().step_by(EVERY) {
            let mut mutant = bundle.clone();
            mutant.for_each.links.remove(i);
            let failed = run_with(&mutant, &tests, &options).unwrap().failed();
            assert!(failed > 0, "no test sees that this is gone: {declaration:?}");
        }
    })
    .unwrap();
}

/// The rules that the example world breaks once the members at these pointers of one of its entities are others. `null` is
/// a member that is not there.
fn broken_rules(entity: &str, members: &[(&str, Value)]) -> BTreeSet<String> {
    let mut bundle = fleet();
    let text = std::fs::read(Server::project("entities/fleet.json")).unwrap();
    let mut world: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let (ty, id) = entity.split_once("::").unwrap();
    let uid = json!({ "type": format!("Fleet::{ty}"), "id": id });
    let entity = world.iter_mut().find(|entity| entity["uid"] == uid).unwrap_or_else(|| panic!("{uid} is stored"));
    for (member, value) in members {
        if value.is_null() {
            entity["attrs"].as_object_mut().unwrap().remove(*member);
        } else if *member == "parents" {
            entity["parents"] = value.clone();
        } else {
            entity["attrs"][*member] = value.clone();
        }
    }
    bundle.entities = vec![Document::held("world", serde_json::to_vec(&world).unwrap())];
    let revision = Revision { incarnation: 1, counter: 1 };
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let problems = match Snapshot::build(bundle.clone().into(), &settings, revision) {
        Ok(_) => String::new(),
        Err(problems) => format!("{problems:?}"),
    };
    let codes = bundle.for_each.rules.iter().map(|rule| rule.code.clone());
    codes.filter(|code| problems.contains(&format!("the rule `{code}`"))).collect()
}

#[test]
fn facts_that_are_missing_or_disagree_are_refused() {
    let of = |ty: &str, id: &str| json!({ "__entity": { "type": format!("Fleet::{ty}"), "id": id } });
    let within = |ty: &str, id: &str| json!([{ "type": format!("Fleet::{ty}"), "id": id }]);
    let mut seen = BTreeSet::new();
    for (entity, members, code) in [
        ("Tenant::ap2", vec![], ""),
        ("Customer::DK", vec![("tenant", of("Tenant", "ap2"))], "customer-tenant"),
        (
            "Customer::RIV",
            vec![("tenant", of("Tenant", "gone")), ("parents", within("Tenant", "gone"))],
            "customer-tenant",
        ),
        ("Customer::HQ", vec![("top", json!(false))], "customer-top"),
        ("Customer::DK", vec![("parent", Value::Null)], "customer-top"),
        ("Customer::DK", vec![("top", json!(true))], "customer-top"),
        ("Customer::DK", vec![("parent", of("Customer", "NO"))], "customer-parent"),
        ("Customer::A", vec![("parent", of("Customer", "A"))], ""),
        (
            "User::u-none",
            vec![("customer", of("Customer", "gone")), ("parents", within("Customer", "gone"))],
            "user-home",
        ),
        ("User::u-none", vec![("tenant", of("Tenant", "ap2"))], "user-home"),
        ("User::u-none", vec![("parents", within("Customer", "NO"))], "user-home"),
        ("User::u-cph", vec![("locationRestricted", json!(false))], "user-locations"),
        ("User::u-cph", vec![("locations", json!([]))], ""),
        ("ApiToken::t-ok", vec![("customer", of("Customer", "NO"))], "token-home"),
        ("Device::d-dk3", vec![("customer", of("Customer", "NO"))], "device-place"),
        ("Device::d-dk3", vec![("tenant", of("Tenant", "ap2"))], "device-place"),
        // below the customer that it names, and in two
        ("Device::d-dk3", vec![("customer", of("Customer", "HQ"))], "device-place"),
        (
            "Device::d-dk3",
            vec![(
                "parents",
                json!([{ "type": "Fleet::Customer", "id": "DK" }, { "type": "Fleet::Customer", "id": "NO" }]),
            )],
            "device-place",
        ),
        ("Vehicle::v-dk3", vec![("customer", of("Customer", "NO"))], "vehicle-place"),
        ("Location::oslo", vec![("customer", of("Customer", "DK"))], "location-place"),
        ("Dashboard::db-a", vec![("customer", of("Customer", "BLDB"))], "dashboard-place"),
        ("Asset::tb-asset-a", vec![("customer", of("Customer", "BLDB"))], "asset-place"),
        ("EntityView::tb-entity-view-a", vec![("customer", of("Customer", "BLDB"))], "entity-view-place"),
        ("Edge::tb-edge-a", vec![("customer", of("Customer", "BLDB"))], "edge-place"),
        ("Section::DK", vec![("customer", of("Customer", "NO"))], "section-place"),
        ("EntityGroup::My Customers", vec![("customer", of("Customer", "BLDA"))], "entity-group-place"),
        ("UserGroup::Supervisors", vec![("customer", of("Customer", "TB2ROOT"))], "user-group-place"),
        ("UserGroup::Supervisors", vec![("customer", of("Customer", "gone"))], "user-group-place"),
        ("Grant::Supervisors", vec![("role", of("Role", "eq-rollout"))], "grant-role"),
        (
            "Grant::Supervisors",
            vec![("role", of("Role", "eq-rollout")), ("group", Value::Null), ("user", of("User", "tb-bob"))],
            "grant-role",
        ),
        ("Grant::Supervisors", vec![("user", of("User", "tb-bob"))], "grant-who"),
        ("Grant::Supervisors", vec![("group", Value::Null)], ""),
        ("Grant::Supervisors", vec![("tenant", of("Tenant", "tb"))], "grant-where"),
        ("Grant::Supervisors", vec![("entityGroup", of("EntityGroup", "Supervisor Dashboards"))], "grant-where"),
        (
            "Grant::Tenant Administrators",
            vec![("entityGroup", of("EntityGroup", "Supervisor Dashboards"))],
            "grant-where",
        ),
        ("Grant::Supervisors", vec![("customer", Value::Null)], ""),
        ("Grant::Building A Users", vec![("customer", of("Customer", "TBROOT"))], "grant-owner"),
        ("Grant::Building A Users", vec![("customer", Value::Null), ("tenant", of("Tenant", "tb"))], "grant-owner"),
        ("Grant::Supervisors", vec![("customer", of("Customer", "TB2ROOT"))], "grant-owner"),
        ("Grant::Supervisors", vec![("customer", Value::Null), ("tenant", of("Tenant", "tb2"))], "grant-owner"),
        ("Grant::Supervisors, Supervisor Dashboards", vec![("group", of("UserGroup", "Building A Users"))], ""),
        ("Grant::Tenant Administrators", vec![("group", of("UserGroup", "Building A Users"))], "grant-owner"),
        ("Tenant::tb", vec![("root", of("Customer", "BLDA"))], "tenant-root"),
        ("Tenant::tb", vec![("root", of("Customer", "TB2ROOT"))], "tenant-root"),
        ("Grant::Supervisors", vec![("group", Value::Null), ("user", of("User", "tb-bob"))], ""),
        ("Grant::Supervisors", vec![("group", Value::Null), ("user", of("User", "u-none"))], "grant-tenant"),
    ] {
        let broken = broken_rules(entity, &members);
        assert!(
            if code.is_empty() { broken.is_empty() } else { broken.contains(code) },
            "{entity} {members:?}: {broken:?}"
        );
        seen.insert(code.to_owned());
    }
    let all = fleet().for_each.rules.into_iter().map(|rule| rule.code);
    // those about parents are broken by changes
    seen.extend(crate::packs::cases().into_iter().map(|(_, code)| code.to_owned()));
    // no vehicle group is in the example world
    let unseen: Vec<String> = all.filter(|code| !seen.contains(code) && code != "vehicle-group-place").collect();
    assert!(unseen.is_empty(), "no fact breaks {unseen:?}");
}

#[test]
fn every_statement_of_the_products_is_enforced_or_explained() {
    let enforced: BTreeSet<String> = fleet().policies.iter().flat_map(|policies| rows(&policies.text)).collect();
    let doc = std::fs::read_to_string(Server::project("docs/domain.md")).unwrap();
    let tables = [("A", 37), ("B", 13), ("C", 20), ("D", 17), ("E", 15), ("I-", 19)];
    for (letter, last) in tables {
        for n in 1..=last {
            let row = format!("{letter}{n}");
            // a row may be split: A22 is A22a to A22d
            let by_policy = enforced.iter().any(|r| {
                r.strip_prefix(&row).is_some_and(|rest| {
                    rest.is_empty() || (rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_lowercase()))
                })
            });
            let by_doc = doc.contains(&format!("| {row} |"))
                || doc.lines().any(|line| {
                    line.starts_with("| ") && line.contains(&format!("{row} ")) || line.contains(&format!("| {row}"))
                });
            assert!(by_policy || by_doc, "{row} is neither in a policy's @rows nor in docs/domain.md");
        }
    }
}

#[test]
fn the_manual_lists_every_file_of_tests() {
    let manual = std::fs::read_to_string(Server::project("docs/testing.md")).unwrap();
    let section = manual.split("## What is in the tests of the packs").nth(1).unwrap();
    // a row may be of several files
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let names = rows.flat_map(|files| files.split(", ")).filter_map(|name| name.strip_prefix('`')?.strip_suffix('`'));
    let listed: BTreeSet<String> = names.map(str::to_owned).collect();
    let there = std::fs::read_dir(Server::project("policies/tests")).unwrap();
    let there: BTreeSet<String> = there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed, there);
}
