//! Rules that the data must keep: at load, at every change, and in the same words either way.

use std::collections::BTreeMap;

use crate::model::{Bundle, Dangling, DataRule, Diagnostic, Document, ForEach, Refused, Revision, SchemaText, Value};
use crate::tests::changes::transact;
use crate::tests::dice::Dice;
use crate::{EngineSettings, Snapshot, check, on_big_stack};

const SCHEMA: &str = r#"
    namespace A {
        entity Org in [Org] { tenant?: String, root?: Org };
        entity User in [Org] { org: Org, tenant?: String, level: Long } tags String;
        action read appliesTo { principal: [User], resource: [Org] };
    }
"#;

const TENANT: &str = r#"{"each":"A::User","must":"principal has tenant && principal.org has tenant && principal.org.tenant == principal.tenant","code":"user-tenant","message":"the user's organisation is of another tenant"}"#;
const BELOW: &str = r#"{"each":"A::User","must":"principal in principal.org","code":"below","message":"the user is not below the organisation"}"#;
const LEVEL: &str = r#"{"each":"A::User","must":"principal.level + 9223372036854775800 > 0","code":"level","message":"too high","level":"warn"}"#;
const ROOT: &str = r#"{"each":"A::Org","must":"!(principal has root) || (A::Org::\"0\" has tenant)","code":"root","message":"the root has no tenant"}"#;

const HOME: &str = r#"{"each":"A::User","parents":{"A::Org":"org"},"code":"home","message":"the user is not in his organisation alone"}"#;
const UP: &str = r#"{"each":"A::Org","must":"true","parents":{"A::Org":"root"},"code":"up","message":"the organisation is not in its root alone"}"#;

/// Of each parent: the tenant that it has, or the organisation above it, is the user's.
const EACH: &str = r#"{"each":"A::User","each_parent":"A::Org","must":"resource has tenant && principal has tenant && resource.tenant == principal.tenant && (if resource has root then resource.root has tenant && resource.root.tenant == principal.tenant else true)","code":"each","message":"the user is in an organisation of another tenant"}"#;

fn bundle(rules: &[&str], entities: &str) -> Bundle {
    let read = |text: &&str| DataRule::from_value(Value::parse(text.as_bytes()).unwrap(), "").unwrap();
    Bundle {
        schema: Some(SchemaText { fragments: vec![("schema".to_owned(), SCHEMA.to_owned())] }),
        entities: vec![Document::held("entities", entities)],
        for_each: ForEach { links: Vec::new(), rules: rules.iter().map(read).collect() },
        ..Bundle::default()
    }
}

fn load(rules: &[&str], entities: &str) -> Result<(Snapshot, Vec<Diagnostic>), Vec<Diagnostic>> {
    let revision = Revision { incarnation: 1, counter: 1 };
    let bundle = bundle(rules, entities).into();
    on_big_stack(|| Snapshot::build(bundle, &EngineSettings::default(), revision)).unwrap()
}

fn org(id: usize, tenant: Option<&str>, parent: Option<usize>, root: bool) -> String {
    let tenant = tenant.map(|tenant| format!(r#""tenant":"{tenant}""#));
    let root = root.then(|| r#""root":{"type":"A::Org","id":"0"}"#.to_owned());
    let attrs: Vec<String> = tenant.into_iter().chain(root).collect();
    let parent = parent.map(|id| format!(r#"{{"type":"A::Org","id":"{id}"}}"#)).unwrap_or_default();
    format!(r#"{{"uid":{{"type":"A::Org","id":"{id}"}},"attrs":{{{}}},"parents":[{parent}]}}"#, attrs.join(","))
}

fn user(id: usize, org: usize, tenant: &str, parent: usize, level: i64) -> String {
    format!(
        r#"{{"uid":{{"type":"A::User","id":"{id}"}},"attrs":{{"org":{{"type":"A::Org","id":"{org}"}},"tenant":"{tenant}","level":{level}}},"parents":[{{"type":"A::Org","id":"{parent}"}}]}}"#
    )
}

fn shown(problems: &[Diagnostic]) -> String {
    problems.iter().map(|it| format!("{}: {}", it.origin, it.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn rules_are_checked_against_the_schema() {
    let rule = |each: &str, must: &str| {
        serde_json::json!({"each": each, "must": must, "code": "c", "message": "m"}).to_string()
    };
    for (text, expected) in [
        (rule("A::Usr", "true"), "`each`: the schema declares no entity type `A::Usr`; did you mean `A::User`?"),
        (rule("A::Action", "true"), "actions come from the schema"),
        (rule("A::User", "principal.levl > 1"), "attribute `levl` on entity type `A::User` not found"),
        (rule("A::User", "principal.level"), "rules:1: "),
        (rule("A::User", "principal.tenant == \"a\""), "tenant"),
        (
            rule("A::User", "principal.level >"),
            "rules: `must` is no Cedar expression over `principal`: unexpected token",
        ),
        (rule("A::User", "true }; permit (principal, action, resource) when { true"), "it is more than one expression"),
        (rule("A::User", "true } when { true"), "it is more than one expression"),
        (rule("A::User", "true } unless { false"), "it is more than one expression"),
        (rule("A::User", "context.now == 1"), "now"),
        (rule("A::User", "resource.level == 1"), "there is no `resource`"),
        (
            rule("A::User", "action == A::Action::\"read\"").replace('{', r#"{"each_parent":"A::Org","#),
            "`must` is about `principal`, which is the entity, and `resource`, its parent; there is no `action`",
        ),
        (
            rule("A::User", "resource.level == 1").replace('{', r#"{"each_parent":"A::Org","#),
            "attribute `level` on entity type `A::Org` not found",
        ),
        (
            rule("A::User", "true").replace('{', r#"{"each_parent":"A::Orgs","#),
            "`each_parent`: the schema declares no entity type `A::Orgs`; did you mean `A::Org`?",
        ),
        (
            rule("A::User", "true").replace('{', r#"{"each_parent":"Action","#),
            "`each_parent: Action`: actions come from the schema",
        ),
        (
            rule("A::User", "true").replace('{', r#"{"each_parent":"A::Action","#),
            "`each_parent: A::Action`: actions come from the schema",
        ),
        (
            rule("A::Org", "true").replace('{', r#"{"each_parent":"A::User","#),
            "`each_parent`: the schema puts no `A::Org` in a `A::User`, so the rule would hold nothing",
        ),
    ] {
        let problems = load(&[&text], "[]").map(|_| ()).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.join("\n").contains(expected), "{text}: {all:#?}");
        let bundle = bundle(&[&text], "[]").into();
        let limits = EngineSettings::default().limits;
        let verdict = on_big_stack(|| check(&bundle, &limits, crate::Semantics::Strict, &|| false)).unwrap();
        assert!(!verdict.valid, "{text}");
    }
    for (each, parents, expected) in [
        (
            "A::User",
            r#"{"A::Orgs":"org"}"#,
            "`parents`: the schema declares no entity type `A::Orgs`; did you mean `A::Org`?",
        ),
        ("A::User", r#"{"A::Org":"orgs"}"#, "`parents`: `A::User` has no attribute `orgs`; did you mean `org`?"),
        (
            "A::User",
            r#"{"A::Org":"level"}"#,
            "`parents`: `level` of `A::User` is no entity of the type `A::Org`, nor a set",
        ),
        ("A::Usr", r#"{"A::Org":"org"}"#, "`each`: the schema declares no entity type `A::Usr`"),
    ] {
        let text = format!(r#"{{"each":"{each}","parents":{parents},"code":"c","message":"m"}}"#);
        let problems = load(&[&text], "[]").map(|_| ()).unwrap_err();
        assert!(shown(&problems).contains(expected), "{text}: {}", shown(&problems));
    }
    let twice = load(&[LEVEL, LEVEL], "[]").map(|_| ()).unwrap_err();
    assert!(shown(&twice).contains("a second rule has the code `level`"), "{}", shown(&twice));
    let mut without = bundle(&[LEVEL], "[]");
    without.schema = None;
    let settings = EngineSettings { validation: crate::Validation::Off, ..EngineSettings::default() };
    let revision = Revision { incarnation: 1, counter: 1 };
    let built = on_big_stack(|| Snapshot::build(without.into(), &settings, revision)).unwrap();
    assert!(shown(&built.unwrap_err()).contains("data rules need a schema"));
}

#[test]
fn broken_rules_refuse_or_warn() {
    let fine = [org(0, Some("t"), None, false), org(1, Some("t"), Some(0), false), user(0, 1, "t", 1, 1)];
    let with = |more: String| format!("{}\n{more}", fine.join("\n"));
    for (more, expected) in [
        (
            user(1, 1, "x", 1, 1),
            "entities: `A::User::\"1\"` breaks the rule `user-tenant`: the user's organisation is of",
        ),
        (user(1, 1, "t", 0, 1), "`A::User::\"1\"` breaks the rule `below`"),
        (user(1, 9, "t", 1, 1), "`A::User::\"1\"` breaks the rule `user-tenant`"),
    ] {
        let problems = load(&[TENANT, BELOW, LEVEL], &with(more.clone())).map(|_| ()).unwrap_err();
        assert!(shown(&problems).contains(expected), "{more}: {}", shown(&problems));
        assert!(problems[0].data_rule.is_some() && problems[0].line == Some(4), "{problems:?}");
        let (state, _) = load(&[TENANT, BELOW, LEVEL], &fine.join("\n")).unwrap();
        match transact(&state, &format!(r#"[{{"upsert":{more}}}]"#), Dangling::Refuse) {
            Err(Refused::Rule(found)) => {
                assert!(shown(&found).contains(expected.trim_start_matches("entities: ")), "{}", shown(&found));
                assert_eq!(found[0].origin, "/changes/0/upsert");
            }
            other => panic!("{more}: {other:?}"),
        }
    }
    let high = user(1, 1, "t", 1, 10);
    let (_, warnings) = load(&[TENANT, BELOW, LEVEL], &with(high.clone())).unwrap();
    assert!(shown(&warnings).contains("breaks the rule `level`: too high (it fails: "), "{}", shown(&warnings));
    let (state, _) = load(&[TENANT, BELOW, LEVEL], &fine.join("\n")).unwrap();
    let changed = transact(&state, &format!(r#"[{{"upsert":{high}}}]"#), Dangling::Refuse).unwrap();
    assert!(shown(&changed.warnings).contains("breaks the rule `level`"), "{:?}", changed.warnings);
}

#[test]
fn parents_are_those_that_an_attribute_names() {
    let orgs = [org(0, Some("t"), None, true), org(1, Some("t"), Some(0), true), org(2, Some("t"), None, false)];
    let in_all = |id: usize, of: usize, parents: &[usize]| {
        let parents: Vec<String> = parents.iter().map(|id| format!(r#"{{"type":"A::Org","id":"{id}"}}"#)).collect();
        let user = user(id, of, "t", 9, 1);
        user.replace(r#"{"type":"A::Org","id":"9"}"#, &parents.join(","))
    };
    for (entity, expected) in [
        (in_all(1, 1, &[1]), None),
        (in_all(1, 0, &[0]), None),
        // below it is not in it
        (in_all(1, 0, &[1]), Some(r#"its parents of the type `A::Org`: `A::Org::"1"`; `org` names: `A::Org::"0"`"#)),
        (in_all(1, 1, &[0]), Some(r#"parents of the type `A::Org`: `A::Org::"0"`; `org` names: `A::Org::"1"`"#)),
        (in_all(1, 1, &[1, 2]), Some(r#"`A::Org::"1"`, `A::Org::"2"`; `org` names: `A::Org::"1"`"#)),
        (in_all(1, 1, &[]), Some(r#"its parents of the type `A::Org`: none; `org` names: `A::Org::"1"`"#)),
        // a root names itself, which is no parent
        (org(3, None, None, false), None),
        (org(3, None, Some(0), true), None),
        (org(3, None, Some(1), true), Some(r#"`A::Org::"1"`; `root` names: `A::Org::"0"`"#)),
        (org(3, None, Some(0), false), Some(r#"`A::Org::"0"`; `root` names: none"#)),
    ] {
        let all = format!("{}\n{entity}", orgs.join("\n"));
        let fresh = load(&[HOME, UP], &all).map(|_| ()).map_err(|found| shown(&found));
        let (state, _) = load(&[HOME, UP], &orgs.join("\n")).unwrap();
        let changed = match transact(&state, &format!(r#"[{{"upsert":{entity}}}]"#), Dangling::Refuse) {
            Ok(_) => Ok(()),
            Err(Refused::Rule(found)) => Err(shown(&found)),
            Err(other) => panic!("{entity}: {other:?}"),
        };
        for found in [fresh, changed] {
            match (expected, found) {
                (None, Ok(())) => {}
                (Some(expected), Err(found)) if found.contains(expected) => {}
                (_, found) => panic!("{entity}: {found:?}"),
            }
        }
    }
}

#[test]
fn each_parent_is_asked_about() {
    let orgs = [org(0, Some("t"), None, false), org(1, Some("t"), None, false), org(2, Some("u"), None, false)];
    let in_all = |parents: &[usize]| {
        let parents: Vec<String> = parents.iter().map(|id| format!(r#"{{"type":"A::Org","id":"{id}"}}"#)).collect();
        user(1, 1, "t", 9, 1).replace(r#"{"type":"A::Org","id":"9"}"#, &parents.join(","))
    };
    let other = r#"[{"update":{"uid":"A::Org::\"1\"","attrs":{"tenant":"u"}}}]"#;
    for (parents, expected, later) in [
        (&[][..], None, None),
        (&[0], None, None),
        (
            &[0, 1],
            None,
            Some(
                r#"`A::User::"1"` breaks the rule `each`: the user is in an organisation of another tenant (its parent: `A::Org::"1"`)"#,
            ),
        ),
        (&[0, 1, 2], Some(r#"(its parent: `A::Org::"2"`)"#), None),
        // one that is not stored has no tenant
        (&[0, 7], Some(r#"(its parent: `A::Org::"7"`)"#), None),
    ] {
        let all = format!("{}\n{}", orgs.join("\n"), in_all(parents));
        let fresh = load(&[EACH], &all).map_err(|found| shown(&found));
        let (state, _) = load(&[EACH], &orgs.join("\n")).unwrap();
        let told = |changed| match changed {
            Ok(_) => None,
            Err(Refused::Rule(found)) => Some(shown(&found)),
            Err(other) => panic!("{parents:?}: {other:?}"),
        };
        let upsert = format!(r#"[{{"upsert":{}}}]"#, in_all(parents));
        let changed = told(transact(&state, &upsert, Dangling::Keep));
        let Ok((loaded, _)) = fresh else {
            let found = fresh.map(|_| ()).unwrap_err();
            assert!(expected.is_some_and(|expected| found.contains(expected)), "{parents:?}: {found}");
            assert!(
                expected.is_some_and(|expected| changed.as_ref().is_some_and(|it| it.contains(expected))),
                "{changed:?}"
            );
            continue;
        };
        assert_eq!((changed, expected), (None, None), "{parents:?}");
        // what a parent has may change later
        let then = told(transact(&loaded, other, Dangling::Keep));
        match (later, then) {
            (None, None) => {}
            (Some(later), Some(then)) if then.contains(later) => {}
            (_, then) => panic!("{parents:?}: {then:?}"),
        }
    }
}

#[test]
fn a_change_is_judged_as_a_load_is() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..100_u64 {
        let mut dice = Dice(seed);
        let mut roll = |n: usize| dice.roll(n);
        let rules = match seed {
            0..40 => [TENANT, BELOW, ROOT, LEVEL],
            40..60 => [TENANT, HOME, ROOT, LEVEL],
            60..80 => [EACH, ROOT, LEVEL, BELOW],
            _ => [EACH, LEVEL, HOME, ROOT],
        };
        let mut world: BTreeMap<String, String> = BTreeMap::new();
        for id in 0..4_usize {
            world.insert(format!("A::Org::\"{id}\""), org(id, Some("t"), id.checked_sub(1), false));
        }
        let (mut state, _) = load(&rules, &world.values().cloned().collect::<Vec<_>>().join("\n")).unwrap();
        for _ in 0..10 {
            let mut next = world.clone();
            let changes: Vec<String> = (0..1 + roll(2))
                .map(|_| {
                    let (id, tenant) = (roll(4), ["t", "t", "t", "u"][roll(4)]);
                    let (uid, entity) = match roll(3) {
                        0 => {
                            let parent = id.checked_sub(1 + roll(2));
                            let tenant = (roll(5) > 0).then_some(tenant);
                            (format!("A::Org::\"{id}\""), org(id, tenant, parent, roll(4) == 0))
                        }
                        _ => (format!("A::User::\"{id}\""), user(id, roll(4), tenant, roll(4), roll(3) as i64)),
                    };
                    if roll(6) == 0 {
                        next.remove(&uid);
                        return format!(r#"{{"delete":{}}}"#, serde_json::Value::from(uid));
                    }
                    let change = format!(r#"{{"upsert":{entity}}}"#);
                    next.insert(uid, entity);
                    change
                })
                .collect();
            let text = format!("[{}]", changes.join(","));
            let fresh = load(&rules, &next.values().cloned().collect::<Vec<_>>().join("\n"));
            match (transact(&state, &text, Dangling::Keep), fresh) {
                (Ok(changed), Ok(_)) => {
                    (state, world) = (changed.snapshot, next);
                    taken += 1;
                }
                (Err(Refused::Rule(_)), Err(_)) => refused += 1,
                (ours, theirs) => panic!("{text}: {ours:?}, fresh {:?}", theirs.err()),
            }
        }
    }
    assert!(refused > 80 && taken > 80, "{refused} {taken}");
}
