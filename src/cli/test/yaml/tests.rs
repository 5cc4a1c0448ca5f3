//! Files of tests: what is read, and what is wrong where.

use super::*;
use crate::cli::test::notation;

fn parse(text: &str) -> Result<Vec<Case>, Fault> {
    super::parse(text, &|_| Err("there is no such file".to_owned()))
}

const ONE: &str = "principal: U::a\n    action: b\n    resource: R::c\n    expect: deny\n";

fn requests(text: &str) -> Vec<String> {
    let cases = parse(text).unwrap();
    let shown = cases.iter().map(|case| match &case.check {
        Ok(check) => {
            let request = &check.request;
            format!(
                "{}: {} {} {} {} {}",
                case.name,
                request.principal,
                request.action,
                request.resource,
                notation::value(&request.context),
                check.expect
            )
        }
        Err(fault) => format!("{}: {fault:?}", case.name),
    });
    shown.collect()
}

#[test]
fn names_contexts_and_matrices() {
    for (text, expected) in [
        (
            "namespace: N\ndefaults:\n  context: {now: \"2026-01-01\", mfa: true}\ntests:\n  - name: t\n    principal: U::a\n    action: b\n    resource: 'R::\"c\"'\n    expect: Allow\n",
            vec![r#"t: N::U::"a" N::Action::"b" R::"c" {mfa: true, now: datetime("2026-01-01")} allow"#],
        ),
        (
            "x-all: &all [U::a, U::b]\ntests:\n  - name: t\n    principal: [*all, 'U::\"c d\"']\n    action: [x, Action::y]\n    resource: R::c\n    expect: error\n",
            vec![
                r#"t [U::a x R::c]: U::"a" Action::"x" R::"c" {} error"#,
                r#"t [U::a Action::y R::c]: U::"a" Action::"y" R::"c" {} error"#,
                r#"t [U::b x R::c]: U::"b" Action::"x" R::"c" {} error"#,
                r#"t [U::b Action::y R::c]: U::"b" Action::"y" R::"c" {} error"#,
                r#"t [U::"c d" x R::c]: U::"c d" Action::"x" R::"c" {} error"#,
                r#"t [U::"c d" Action::y R::c]: U::"c d" Action::"y" R::"c" {} error"#,
            ],
        ),
        (
            "namespace: N\ndefaults: {context: {a: 1, b: {c: 2, d: 3}}, principal: U::a, resource: R::c, expect: deny}\ntests:\n  - name: t\n    action: x\n    context: {a: null, b: {c: {entity: U::z}}, ip: {ip: 10.0.0.1}, l: [off, 7]}\n",
            vec![
                r#"t: N::U::"a" N::Action::"x" N::R::"c" {b: {c: N::U::"z"}, ip: ip("10.0.0.1"), l: ["off", 7]} deny"#,
            ],
        ),
    ] {
        assert_eq!(requests(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_has_a_line() {
    for (text, line, message) in [
        ("tests:\n - {\n", 2, "not valid YAML"),
        ("testz: []\n", 1, "did you mean `tests`?"),
        ("namespace: N\n", 1, "there is no `tests` here"),
        ("namespace: 1\n", 1, "`namespace` must be a text, not a number"),
        ("namespace: a b\ntests: []\n", 1, "`a b` is not a namespace"),
        ("tests: {}\n", 1, "`tests` must be a list"),
        ("defaults:\n  contxt: {}\ntests: []\n", 2, "unknown key `contxt`; `defaults` has"),
        ("entities:\n  - uid: U::a\n    attr: {}\ntests: []\n", 3, "unknown key `attr`; an entity has"),
        ("entities:\n  - {like: U::a}\ntests: []\n", 2, "the entity lacks `uid`"),
        ("without: [nobody]\ntests: []\n", 1, "`nobody` is not an entity"),
        ("a: 1\na: 2\n", 2, "not valid YAML: duplicate mapping key: a (column"),
    ] {
        let fault = match parse(text) {
            Err(fault) => fault,
            Ok(cases) => cases[0].check.clone().unwrap_err(),
        };
        assert!(fault.message.contains(message), "{text}: {fault:?}");
        assert!(fault.line.is_some_and(|found| found.abs_diff(line) <= 1), "{text}: {fault:?}");
    }
}

#[test]
fn what_is_wrong_with_a_test_fails_that_test() {
    for (members, line, message) in [
        ("expect: deny", 2, "the test lacks `principal`"),
        ("principal: U::a\n    action: b\n    resource: R::c", 2, "the test lacks `expect`"),
        (
            "principal: U::a\n    action: b\n    resource: R::c\n    expect: maybe",
            6,
            "`expect` is `allow`, `deny` or `error`, not `maybe`",
        ),
        ("principal: alice\n    action: b\n    resource: R::c\n    expect: deny", 3, "`alice` is not an entity"),
        ("principal: 'N::U::'\n    action: b\n    resource: 'R::'\n    expect: deny", 5, "`R::` has an empty id"),
        ("principal: []\n    action: b\n    resource: R::c\n    expect: deny", 2, "asks nothing"),
        (
            "principal: 7\n    action: b\n    resource: R::c\n    expect: deny",
            3,
            "`principal` must be a text, not a number",
        ),
        ("principle: U::a", 3, "did you mean `principal`?"),
        ("zzz: U::a", 3, "unknown key `zzz`; a test has"),
        ("errors: many", 3, "`errors` must be a count"),
        ("context: {a: 1.5}", 3, "Cedar's numbers are whole"),
        ("context: {a: [null]}", 3, "leave the member out"),
        ("context: [a]", 3, "`context` must be a mapping"),
        ("context: {a: {datetime: 5}}", 3, "`datetime` must be a text"),
        ("reason: [1]", 3, "a policy id in `reason` must be a text"),
    ] {
        let text = format!("tests:\n  - name: t\n    {members}\n  - name: u\n    {ONE}");
        let cases = parse(&text).unwrap();
        let fault = cases[0].check.as_ref().unwrap_err();
        assert!(fault.message.contains(message), "{members}: {fault:?}");
        assert_eq!(fault.line, Some(line), "{members}: {fault:?}");
        assert!(cases.last().unwrap().check.is_ok(), "{members}");
    }
    let cases = parse(&format!("tests:\n  - name: t\n    {ONE}  - name: t\n    {ONE}")).unwrap();
    assert!(cases[1].check.is_err(), "names are unique");
}

#[test]
fn one_fault_of_a_test_does_not_hide_the_next() {
    let text = "defaults: {contxt: {}}\nentitis: []\ntests:\n  - name: t\n    principle: U::a\n    action: vew x\n    \
                resource: R::c\n    expect: alow\n  - name: t\n    principal: U::a\n    reson: x\n";
    let cases = parse(text).unwrap();
    let faults: Vec<(usize, &str)> = cases
        .iter()
        .map(|case| case.check.as_ref().unwrap_err())
        .map(|fault| (fault.line.unwrap(), fault.message.as_str()))
        .collect();
    let expected = [
        (1, "unknown key `contxt`"),
        (2, "unknown key `entitis`"),
        (5, "unknown key `principle`"),
        (8, "`expect` is `allow`, `deny` or `error`, not `alow`"),
        (9, "a second test has this name"),
        (11, "unknown key `reson`"),
        (9, "the test lacks `action`"),
        (9, "the test lacks `resource`"),
        (9, "the test lacks `expect`"),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for ((line, message), (at, begins)) in faults.iter().zip(expected) {
        assert!(*line == at && message.starts_with(begins), "{at} {begins}: {faults:#?}");
    }
}

#[test]
fn one_fault_within_a_part_does_not_hide_the_next() {
    let text = "defaults:\n  context: {a: 1.5, b: [null,\n   2.5]}\n  expect: alow\nentities:\n  - uid: ann\n    attr: {}\n    \
                parents: [x,\n     y]\n  - {like: 7}\nwithout: [v,\n  w]\ntests:\n  - name: t\n    principal: [U::a, b,\n     3]\n    \
                action: x\n    resource: R::c\n    reason: [1,\n     2]\n    allow: []\n  - name: u\n    principal: U::a\n    \
                action: x\n    resource: R::c\n    allow:\n      - {action: y, resource: R::d}\n      - {who: U::a}\n  \
                - name: v\n    principal: ${x}\n    action: ${y}\n    resource: R::c\n    expect: deny\n    each: [{z: 1}, {z: 2}, 3]\n";
    let cases = parse(text).unwrap();
    let faults: Vec<String> = cases
        .iter()
        .map(|case| case.check.as_ref().unwrap_err())
        .map(|fault| format!("{}: {}", fault.line.unwrap(), fault.message))
        .collect();
    let expected = [
        "2: Cedar's numbers are whole",
        "2: Cedar has no null",
        "3: Cedar's numbers are whole",
        "4: `expect` is",
        "6: `ann` is not an entity",
        "7: unknown key `attr`",
        "8: `x` is not an entity",
        "9: `y` is not an entity",
        "10: `like` must be a text",
        "10: the entity lacks `uid`",
        "11: `v` is not an entity",
        "12: `w` is not an entity",
        "15: `b` is not an entity",
        "16: `principal` must be a text",
        "19: a policy id in `reason`",
        "20: a policy id in `reason`",
        "27: `y` is not among the test's `action`",
        "27: `R::d` is not among the test's `resource`",
        "28: unknown key `who`",
        "30: there is no `x` in this row",
        "31: there is no `y` in this row",
        "34: a row of `each` must be a mapping",
    ];
    let mut found = faults.clone();
    for expected in expected {
        let at = found.iter().position(|found| found.starts_with(expected));
        found.remove(at.unwrap_or_else(|| panic!("{expected}: {faults:#?}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn changes_of_entities() {
    let text = format!(
        "namespace: N\nentities:\n  - {{uid: U::a, like: U::z, attrs: {{k: {{entity: R::c}}}}, unset: l, parents: [[G::x], G::y], tags: {{}}}}\ntests:\n  - name: t\n    {ONE}  - name: u\n    without: R::c\n    {ONE}"
    );
    let cases = parse(&text).unwrap();
    let stores: Vec<_> = cases.iter().map(|case| &case.check.as_ref().unwrap().store).collect();
    let (Store::Changed(first), Store::Changed(second)) = (stores[0], stores[1]) else { panic!("{stores:?}") };
    let EntityChange::Put { uid, like, attributes, unset, parents, tags, line } = &first[0] else { panic!() };
    assert_eq!(
        (uid.to_string(), like.as_ref().map(ToString::to_string)),
        (r#"N::U::"a""#.into(), Some(r#"N::U::"z""#.into()))
    );
    let attributes: serde_json::Value = serde_json::from_str(attributes).unwrap();
    assert_eq!(attributes, json!({"k": {"__entity": {"id": "c", "type": "N::R"}}}));
    assert_eq!(
        (unset.as_slice(), parents.as_ref().map(Vec::len), tags.as_deref(), *line),
        (&["l".to_owned()][..], Some(2), Some("{}"), 3)
    );
    assert_eq!(second.len(), 2);
    assert!(matches!(&second[1], EntityChange::Remove { line: 11, .. }), "{second:?}");
}
