//! Mutants are what a bundle with the changed text would be: the same decisions, request by request.

mod links;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::source::Source;
use super::{Pool, Standing, draft};
use crate::model::{
    AccessRequest, Bundle, Decision, Document, PolicyNaming, PolicyText, Revision, SchemaText, Uid, Value,
};
use crate::{EngineKind, EngineSettings, Snapshot, Validation, on_big_stack};

const SCHEMA: &str = r#"
entity Group;
entity User in [Group] = { level: Long, active: Bool, tags: Set<String>, boss?: User };
entity Folder in [Folder] = { owner: User, level: Long };
action view, edit, share appliesTo { principal: [User], resource: [Folder], context: { mfa: Bool, ip?: ipaddr } };
"#;

/// An action that only some tests know.
const PAY: &str = r#"
action pay appliesTo { principal: [User], resource: [Folder], context: { amount: Long, at?: datetime, by?: User, tags?: Set<String>, name?: String, ok?: Bool,
  ip?: ipaddr, sum?: decimal } };
action refund appliesTo { principal: [User], resource: [Folder], context: { amount: Long, of: { by: User, ip: ipaddr } } };
"#;

const POLICIES: [(&str, &str); 6] = [
    (
        "groups",
        r#"@why("in (parentheses)") permit (principal is User in Group::"staff", action in [Action::"view", Action::"edit"], resource in Folder::"root");"#,
    ),
    (
        "levels",
        r#"permit (principal, action == Action::"share", resource is Folder) when { principal.level >= resource.level && (principal.active || context.mfa) };"#,
    ),
    (
        "bosses",
        r#"permit (principal, action, resource) when { principal has boss && principal.boss == resource.owner } when { principal.tags.containsAny(["x", "y"]) };"#,
    ),
    (
        "inactive",
        r#"forbid (principal, action, resource) when { !principal.active } unless { action == Action::"view" && resource in Folder::"open" };"#,
    ),
    (
        "loose",
        r#"forbid (principal == User::"eve", action, resource) when { if context.mfa then resource.level > 3 else principal.level + 9223372036854775806 > 0 };"#,
    ),
    ("never", r#"forbid (principal, action, resource) when { principal.level < 2 && resource is User };"#),
];

const ENTITIES: &str = r#"[
 {"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": []},
 {"uid": {"type": "User", "id": "ann"}, "attrs": {"level": 3, "active": true, "tags": ["x"], "boss": {"__entity": {"type": "User", "id": "bob"}}}, "parents": [{"type": "Group", "id": "staff"}]},
 {"uid": {"type": "User", "id": "bob"}, "attrs": {"level": 5, "active": false, "tags": ["x", "y"]}, "parents": [{"type": "Group", "id": "staff"}]},
 {"uid": {"type": "User", "id": "eve"}, "attrs": {"level": 2, "active": true, "tags": []}, "parents": []},
 {"uid": {"type": "Folder", "id": "root"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "bob"}}, "level": 3}, "parents": []},
 {"uid": {"type": "Folder", "id": "open"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "eve"}}, "level": 5}, "parents": [{"type": "Folder", "id": "root"}]}
]"#;

fn build(policies: &[(&str, &str)], kind: EngineKind) -> Option<Snapshot> {
    build_with("", policies, kind)
}

fn build_with(more: &str, policies: &[(&str, &str)], kind: EngineKind) -> Option<Snapshot> {
    let text = |(id, text): &(&str, &str)| PolicyText {
        origin: format!("{id}.cedar"),
        text: (*text).to_owned(),
        naming: PolicyNaming::Exactly((*id).to_owned()),
    };
    let bundle = Bundle {
        policies: policies.iter().map(text).collect(),
        schema: Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned() + more)] }),
        entities: vec![Document::held("e", ENTITIES)],
        ..Bundle::default()
    };
    let settings = EngineSettings { kind, validation: Validation::Off, ..EngineSettings::default() };
    Snapshot::build(Arc::new(bundle), &settings, Revision { incarnation: 0, counter: 1 }).ok().map(|(built, _)| built)
}

fn requests() -> Vec<AccessRequest<'static>> {
    let uid = |text: &str| Uid::parse(text).unwrap().into_owned();
    let mut found = Vec::new();
    for principal in ["ann", "bob", "eve", "nil"] {
        for action in ["view", "edit", "share"] {
            for resource in ["root", "open"] {
                for mfa in [true, false] {
                    let mut request = AccessRequest::new(
                        uid(&format!("User::\"{principal}\"")),
                        uid(&format!("Action::\"{action}\"")),
                        uid(&format!("Folder::\"{resource}\"")),
                    );
                    request.context = Value::parse(format!("{{\"mfa\": {mfa}}}").as_bytes()).unwrap().into_owned();
                    found.push(request);
                }
            }
        }
    }
    found
}

fn said(decision: &Decision) -> String {
    let failed: Vec<&str> = decision.errors.iter().map(|error| &*error.policy_id).collect();
    format!("{:?} {:?} {failed:?}", decision.outcome, decision.reasons)
}

/// The texts of all mutants, in the order of the list.
fn texts(snapshot: &Snapshot) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (id, text) in POLICIES {
        let mut parsing = snapshot.parsing();
        let policy = parsing.policy(&id.into()).unwrap();
        for draft in draft::all(&draft::written(&policy, text)) {
            if draft.text.as_ref().is_none_or(|text| draft::parsed(&id.into(), text).is_some()) {
                found.push((id.to_owned(), draft.text));
            }
        }
    }
    found
}

#[test]
fn a_mutant_decides_as_a_bundle_with_its_text_does() {
    on_big_stack(|| {
        for kind in [EngineKind::Compiled, EngineKind::Reference] {
            let snapshot = build(&POLICIES, kind).unwrap();
            let mutants = snapshot.mutants(&[], &|| true).unwrap();
            let stage = mutants.stage(&snapshot, None);
            // policies are in the order of their files
            let mut sorted = POLICIES;
            sorted.sort_unstable();
            let mut texts = texts(&snapshot);
            texts.sort_by_key(|(id, _)| id.clone());
            assert_eq!(mutants.list.len(), texts.len());
            let (mut differ, mut same) = (0, 0);
            for (at, (id, text)) in texts.iter().enumerate() {
                assert_eq!(*mutants.list[at].policy, **id);
                let mutated: Vec<(&str, &str)> = POLICIES
                    .iter()
                    .filter_map(|(known, original)| match (known == id, text) {
                        (true, None) => None,
                        (true, Some(text)) => Some((*known, text.as_str())),
                        (false, _) => Some((*known, *original)),
                    })
                    .collect();
                let whole = build(&mutated, EngineKind::Compiled).unwrap();
                for request in requests() {
                    let mut seen = None;
                    let wanted = |other: usize| other == at;
                    let base =
                        mutants.try_on(&stage, &request, 0, &wanted, &mut |_, it| seen = Some(it.clone())).unwrap();
                    let expected = whole.decide(&request, 0).unwrap();
                    *(if seen.is_some() { &mut differ } else { &mut same }) += 1;
                    let got = seen.unwrap_or(base);
                    assert_eq!(said(&got), said(&expected), "{} {}: {request:?}\n{text:?}", id, mutants.list[at].name);
                }
            }
            assert!(differ > 200 && same > 200, "{differ} {same}");
        }
    })
    .unwrap();
}

#[test]
fn what_is_changed_and_what_the_validator_says_of_it() {
    on_big_stack(|| {
        let snapshot = build(&POLICIES, EngineKind::Compiled).unwrap();
        let mutants = snapshot.mutants(&[], &|| true).unwrap();
        let of = |id: &str| -> BTreeMap<&str, &Standing> {
            let list = mutants.list.iter().filter(|mutant| &*mutant.policy == id);
            list.map(|mutant| (mutant.name.as_str(), &mutant.standing)).collect()
        };
        let groups = of("groups");
        let expected = [
            "`action in [Action::\"view\", Action::\"edit\"]` negated",
            "`action in [Action::\"view\", Action::\"edit\"]` removed",
            "`action in […]` without `Action::\"edit\"`",
            "`action in […]` without `Action::\"view\"`",
            "`permit` → `forbid`",
            "`principal is User in Group::\"staff\"` negated",
            "`principal is User in Group::\"staff\"` removed",
            "`principal is User in Group::\"staff\"` → `principal in Group::\"staff\"`",
            "`principal is User in Group::\"staff\"` → `principal is User`",
            "`resource in Folder::\"root\"` negated",
            "`resource in Folder::\"root\"` removed",
            "`resource in Folder::\"root\"` → `resource == Folder::\"root\"`",
            "the policy removed",
        ];
        assert_eq!(groups.keys().copied().collect::<Vec<_>>(), expected);
        // every principal is a user
        assert_eq!(
            groups["`principal is User in Group::\"staff\"` → `principal in Group::\"staff\"`"],
            &Standing::Constant
        );
        // and no user has others below
        assert_eq!(of("loose")["`principal == User::\"eve\"` → `principal in User::\"eve\"`"], &Standing::Constant);
        assert_eq!(groups["`resource in Folder::\"root\"` → `resource == Folder::\"root\"`"], &Standing::Open);
        assert_eq!(of("levels")["`resource is Folder` removed"], &Standing::Constant);
        let bosses = of("bosses");
        assert!(matches!(bosses["`principal has boss` → `true`"], Standing::Refused(_)), "{bosses:#?}");
        assert_eq!(bosses["`[\"x\", \"y\"]` without `\"y\"`"], &Standing::Open);
        let levels = of("levels");
        for name in [
            "`principal.level >= resource.level`: `>=` → `>`",
            "`&&` → `||` before `principal.active || context.mfa`",
            "`||` → `&&` before `context.mfa`",
        ] {
            assert_eq!(levels.get(name), Some(&&Standing::Open), "{levels:#?}");
        }
        let never = of("never");
        assert_eq!(never["`principal.level < 2` → `true`"], &Standing::Constant, "{never:#?}");
        assert!(mutants.list.iter().all(|mutant| mutant.place.is_some()));
    })
    .unwrap();
}

#[test]
fn a_request_is_found_that_a_mutant_decides_otherwise() {
    on_big_stack(|| {
        let snapshot = build(&POLICIES, EngineKind::Reference).unwrap();
        let mutants = snapshot.mutants(&[], &|| true).unwrap();
        let stage = mutants.stage(&snapshot, None);
        let uid = |text: &str| Uid::parse(text).unwrap().into_owned();
        let entities: Vec<_> = ["ann", "bob", "eve"]
            .map(|id| uid(&format!("User::\"{id}\"")))
            .into_iter()
            .chain(["root", "open"].map(|id| uid(&format!("Folder::\"{id}\""))))
            .collect();
        let context = |mfa| Value::parse(format!("{{\"mfa\": {mfa}}}").as_bytes()).unwrap().into_owned();
        let actions = ["view", "edit", "share"]
            .map(|id| (uid(&format!("Action::\"{id}\"")), vec![context(true), context(false)]));
        let pool = Pool { entities, actions: actions.into_iter().collect() };
        let open: Vec<usize> =
            (0..mutants.list.len()).filter(|at| mutants.list[*at].standing == Standing::Open).collect();
        let (mut found, mut apart) = (0, 0);
        mutants.search(&stage, &pool, &open, (0, 10_000), &|| true, &mut |at, searched| {
            let name = &mutants.list[at].name;
            // what all requests by brute force say
            let mut told = false;
            for request in requests().iter().filter(|request| request.principal.id != "nil") {
                mutants.try_on(&stage, request, 0, &|other| other == at, &mut |_, _| told = true).unwrap();
            }
            assert!(searched.exhausted || searched.found.is_some(), "{name}");
            assert_eq!(searched.found.is_some(), told, "{name}");
            if let Some(it) = &searched.found {
                let (request, before, after) = &**it;
                assert_ne!(said(before), said(after), "{name}");
                assert_eq!(said(&snapshot.decide(request, 0).unwrap()), said(before), "{name}");
            }
            *(if searched.found.is_some() { &mut found } else { &mut apart }) += 1;
        });
        assert!(found > 20 && apart > 0, "{found} {apart}");
    })
    .unwrap();
}

/// What can be asked: entities, and actions with their contexts.
fn pool<const E: usize, const A: usize>(entities: [&str; E], actions: [(&str, &[&str]); A]) -> Pool {
    let uid = |text: &str| Uid::parse(text).unwrap().into_owned();
    let context = |text: &&str| Value::parse(text.as_bytes()).unwrap().into_owned();
    let with = |(id, contexts): (&str, &[&str])| {
        (uid(&format!("Action::\"{id}\"")), contexts.iter().map(context).collect::<Vec<_>>())
    };
    Pool { entities: entities.map(uid).to_vec(), actions: actions.map(with).into_iter().collect() }
}

#[test]
fn contexts_are_found_that_no_test_has() {
    on_big_stack(|| {
        for (condition, of_which) in [
            ("context.amount > 100", 3),
            ("context.amount >= resource.level + 100", 3),
            ("context has at && context.at >= datetime(\"2027-01-01\")", 3),
            ("context has by && context.by == resource.owner", 3),
            ("context has tags && context.tags.containsAny([\"a\", \"b\"])", 3),
            ("context has name && context.name like \"a*\"", 3),
            ("context has ok && !context.ok", 3),
            // two members at once
            ("context.amount > 100 && context has name && context.name == \"x\"", 6),
            ("context has tags && context.tags.isEmpty()", 3),
            ("context has tags && !context.tags.isEmpty()", 3),
            ("context has sum && context.sum.greaterThan(decimal(\"3.0\"))", 3),
            ("context has sum && context.sum.lessThan(decimal(\"1.0\"))", 3),
            ("context has ip && context.ip.isLoopback()", 3),
            ("context has ip && context.ip.isIpv6()", 3),
            ("context.amount * 2 > 30", 2),
            ("3 * context.amount < 6 && context.amount != 0", 3),
            ("context has tags && ![\"a\"].containsAll(context.tags)", 2),
            ("![1, 2].contains(context.amount)", 2),
            ("7 - context.amount * -3 >= 31 || context.amount + 1 == -4", 3),
            ("if context.amount == 7 then context has ok else principal.active", 3),
        ] {
            let policies =
                [("rule", format!(r#"permit (principal, action == Action::"pay", resource) when {{ {condition} }};"#))];
            let policies = policies.each_ref().map(|(id, text)| (*id, text.as_str()));
            let snapshot = build_with(PAY, &policies, EngineKind::Compiled).unwrap();
            let mutants = snapshot.mutants(&[], &|| true).unwrap();
            let stage = mutants.stage(&snapshot, None);
            let open: Vec<usize> = (0..mutants.list.len())
                .filter(|at| mutants.list[*at].standing == Standing::Open)
                .filter(|at| mutants.list[*at].name.starts_with('`') && !mutants.list[*at].name.contains("action"))
                .collect();
            let entities = ["User::\"ann\"", "User::\"bob\"", "Folder::\"root\"", "Folder::\"open\""];
            let pool = pool(entities, [("pay", &[r#"{"amount": 1}"#])]);
            let mut found = 0;
            mutants.search(&stage, &pool, &open, (0, 10_000), &|| true, &mut |at, searched| {
                let name = &mutants.list[at].name;
                let it = searched.found.unwrap_or_else(|| panic!("{condition}: {name} was not shown"));
                let (request, before, after) = &*it;
                assert_ne!(before.outcome, after.outcome, "{condition}: {name}");
                assert_eq!(said(&snapshot.decide(request, 0).unwrap()), said(before), "{condition}: {name}");
                found += 1;
            });
            assert!(found >= of_which, "{condition}: of {found} mutants");
        }
    })
    .unwrap();
}

#[test]
fn a_mutant_behind_a_forbid_is_shown() {
    on_big_stack(|| {
        for (permit, forbid) in [
            ("true", "context.amount < 5"),
            ("context.amount > 2", "context.amount < 5"),
            ("principal.active", "context has name && context.name == \"a\""),
            ("principal.active", "!(context has ok && context.ok)"),
        ] {
            let policies = [
                ("rule", format!(r#"permit (principal, action == Action::"pay", resource) when {{ {permit} }};"#)),
                ("stop", format!("forbid (principal, action, resource) when {{ {} }};", forbid)),
            ];
            let policies = policies.each_ref().map(|(id, text)| (*id, text.as_str()));
            let snapshot = build_with(PAY, &policies, EngineKind::Compiled).unwrap();
            let mutants = snapshot.mutants(&[], &|| true).unwrap();
            let stage = mutants.stage(&snapshot, None);
            let removed = mutants.list.iter().position(|it| &*it.policy == "rule" && it.name == "the policy removed");
            let pool = pool(["User::\"ann\"", "Folder::\"root\""], [("pay", &[r#"{"amount": 3, "name": "a"}"#])]);
            mutants.search(&stage, &pool, &[removed.unwrap()], (0, 10_000), &|| true, &mut |_, searched| {
                assert!(searched.found.is_some(), "{permit} behind {forbid}");
            });
        }
    })
    .unwrap();
}

#[test]
fn an_action_that_no_test_asks_is_asked() {
    on_big_stack(|| {
        let policies = [("rule", "permit (principal, action == Action::\"refund\", resource) when { context.amount > 5 };")];
        let snapshot = build_with(PAY, &policies, EngineKind::Compiled).unwrap();
        let mutants = snapshot.mutants(&[], &|| true).unwrap();
        let stage = mutants.stage(&snapshot, None);
        let removed = mutants.list.iter().position(|mutant| mutant.name == "the policy removed").unwrap();
        let others = r#"{"amount": 9, "of": {"by": {"__entity": {"type": "User", "id": "ann"}}, "ip": {"__extn": {"fn": "ip", "arg": "::1"}}}}"#;
        // nothing but an empty context, one of another action that does not fit, and one that does
        for more in [&[][..], &[r#"{"mfa": true}"#], &[others]] {
            let pool = pool(["User::\"ann\"", "Folder::\"root\""], [("refund", &["{}"]), ("view", more)]);
            let mut found = None;
            mutants.search(&stage, &pool, &[removed], (0, 10_000), &|| true, &mut |_, searched| found = searched.found);
            let (request, before, after) = &*found.expect("a request is found");
            assert_eq!((before.outcome.is_allow(), after.outcome.is_allow()), (true, false), "{request:?}");
        }
    })
    .unwrap();
}

#[test]
fn the_parts_of_a_text_are_found() {
    let text = "@id(\"permit (x\") forbid (principal, action, resource) when { true };";
    let source = Source::of(text);
    assert_eq!(&text[source.effect().unwrap()], "forbid");
    assert_eq!(&text[source.scope_end().unwrap()..], " when { true };");
}
