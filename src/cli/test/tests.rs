//! The runner on a small bundle, and what comes of each kind of test.

use std::time::Duration;

use super::runner::{Options, run_with};
use super::*;
use palisade_engine::model::{Bundle, Document, PolicyNaming, PolicyText, SchemaText};
use palisade_engine::{EngineSettings, Semantics};

const SCHEMA: &str = r#"
    entity User = { level: Long } tags String;
    entity Doc = { owner: User };
    action view, edit appliesTo { principal: [User], resource: [Doc], context: { now?: datetime, mfa: Bool } };
"#;

const POLICIES: &str = r#"
    @id("view") permit(principal, action == Action::"view", resource) when { principal.level > 1 };
    @id("edit") permit(principal, action == Action::"edit", resource) when { resource.owner == principal };
    @id("low-owner") forbid(principal, action == Action::"edit", resource) when { resource.owner.level < 1 };
    @id("mfa") forbid(principal, action, resource) unless { context.mfa };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ann"}, "attrs": {"level": 2}, "parents": []},
    {"uid": {"type": "User", "id": "bob"}, "attrs": {"level": 1}, "parents": [], "tags": {"k": "v"}},
    {"uid": {"type": "Doc", "id": "d"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "ann"}}}, "parents": []}
]"#;

pub(super) fn bundle() -> Bundle {
    Bundle {
        policies: vec![PolicyText {
            origin: "p.cedar".to_owned(),
            text: POLICIES.to_owned(),
            naming: PolicyNaming::Stem("p".to_owned()),
        }],
        schema: Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] }),
        entities: vec![Document::held("e.json", ENTITIES)],
        ..Bundle::default()
    }
}

/// A file of YAML tests that all have a context.
pub(super) fn yaml_file(tests: &str) -> TestFile {
    let text = format!("defaults: {{context: {{mfa: true}}}}\n{tests}");
    TestFile {
        path: "policies/tests/t.yaml".to_owned(),
        id: "t.yaml".to_owned(),
        cases: yaml::parse(&text, &|_| Err(String::new())).unwrap(),
    }
}

fn run_one(test: &str, semantics: Semantics) -> TestResult {
    let engine = EngineSettings { semantics, ..EngineSettings::default() };
    let options = Options { engine, jobs: 1, ..Options::default() };
    let file = yaml_file(&format!("tests:\n  - {{name: t, {test}}}\n"));
    let report = run_with(&bundle(), &[file], &options).unwrap();
    report.results.into_iter().next().unwrap()
}

#[test]
fn what_comes_of_a_test() {
    let strict = Semantics::Strict;
    for (test, semantics, faults) in [
        ("principal: User::ann, action: view, resource: Doc::d, expect: allow, reason: [view]", strict, &[][..]),
        ("principal: User::ann, action: [view, edit], resource: Doc::d, expect: allow", strict, &[]),
        ("principal: User::bob, action: view, resource: Doc::d, expect: deny, reason: []", strict, &[]),
        ("principal: User::bob, action: view, resource: Doc::d, expect: allow", strict, &["expected allow, got deny"]),
        (
            "principal: User::ann, action: view, resource: Doc::d, expect: deny, reason: [mfa]",
            strict,
            &["expected deny, got allow", "the determining policies differ"],
        ),
        // `now` is filled in, and a context member must fit
        (
            "principal: User::ann, action: view, resource: Doc::d, context: {mfa: 1}, expect: deny",
            strict,
            &["expected deny, but the request is refused: "],
        ),
        ("principal: User::ann, action: view, resource: Doc::d, context: {mfa: 1}, expect: error", strict, &[]),
        ("principal: Doc::d, action: view, resource: Doc::d, expect: error", strict, &[]),
        (
            "principal: User::ann, action: view, resource: Doc::d, expect: error",
            strict,
            &["expected an error, got allow"],
        ),
        // the owner is taken away: the forbid fails
        (
            "principal: User::bob, action: edit, resource: Doc::d, without: User::ann, expect: deny, errors: 1",
            strict,
            &[],
        ),
        (
            "principal: User::bob, action: edit, resource: Doc::d, without: [User::ann], expect: deny",
            strict,
            &["expected 0 policy errors, got 1"],
        ),
        // one that Cedar would let pass
        (
            "principal: User::eve, action: edit, resource: Doc::d, entities: [{uid: Doc::d, like: Doc::d, attrs: {owner: {entity: User::eve}}}], expect: deny, reason: [edit], errors: 1, unknown: true",
            strict,
            &[],
        ),
        // a name that is not stored may be misspelled
        (
            "principal: User::eve, action: view, resource: Doc::d, expect: deny, errors: 1",
            strict,
            &["`User::\"eve\"` is not in the store: correct the name, or write `unknown: true`"],
        ),
        // and what follows from that is not said besides
        (
            "principal: User::eve, action: view, resource: Doc::d, expect: deny",
            strict,
            &["`User::\"eve\"` is not in the store: correct the name, or write `unknown: true`"],
        ),
        ("principal: User::eve, action: view, resource: Doc::d, expect: deny, errors: 1, unknown: true", strict, &[]),
        ("principal: User::eve, action: view, resource: Doc::d, expect: deny, errors: 1", Semantics::Cedar, &[]),
        (
            "principal: User::eve, action: edit, resource: Doc::d, entities: [{uid: Doc::d, like: Doc::d, attrs: {owner: {entity: User::eve}}}], expect: allow, errors: 1",
            Semantics::Cedar,
            &[],
        ),
        (
            "principal: User::eve, action: view, resource: Doc::d, entities: [{uid: User::eve, like: User::bob, attrs: {level: 7}}], expect: allow",
            strict,
            &[],
        ),
        (
            "principal: User::ann, action: view, resource: Doc::d, entities: [{uid: User::ann, attrs: {}}], expect: deny",
            strict,
            &["the entities of this test cannot be used: "],
        ),
        (
            "principal: User::ann, action: view, resource: Doc::d, entities: [{uid: User::x, like: User::y}], expect: deny",
            strict,
            &["policies/tests/t.yaml:3: there is no `User::\"y\"` to start from"],
        ),
        (
            "principal: User::ann, action: view, resource: Doc::d, without: User::y, expect: deny",
            strict,
            &["policies/tests/t.yaml:3: there is no `User::\"y\"` to leave out"],
        ),
        // a name that no entity has, wherever it stands
        (
            "principal: User::bob, action: view, resource: Doc::d, entities: [{uid: Doc::d, attrs: {owner: {entity: User::anm}}}], expect: deny",
            strict,
            &["`User::\"anm\"`, which `Doc::\"d\"` names, is not in the store; did you mean `User::\"ann\"`?"],
        ),
        (
            "principal: User::bob, action: view, resource: Doc::d, entities: [{uid: Doc::d, attrs: {owner: {entity: User::anm}}}], expect: deny, unknown: true",
            strict,
            &[],
        ),
        // what is taken out is meant
        (
            "principal: User::bob, action: view, resource: Doc::d, entities: [{uid: Doc::d, attrs: {owner: {entity: User::ann}}}], without: User::ann, expect: deny",
            strict,
            &[],
        ),
        // what says that it is about such a one, and is not any more
        (
            "principal: User::bob, action: view, resource: Doc::d, expect: deny, unknown: true",
            strict,
            &["`unknown: true`, but every entity that the test names is stored"],
        ),
        (
            "principal: [User::bob, User::eve], action: view, resource: Doc::d, expect: deny, unknown: true, errors: 0",
            strict,
            &[],
        ),
        (
            "principal: User::ann, action: view, resource: Doc::d, entities: [{uid: User::ann, like: User::ann, unset: age}], expect: deny",
            strict,
            &["policies/tests/t.yaml:3: there is no attribute `age`"],
        ),
    ] {
        let result = run_one(test, semantics);
        assert_eq!(result.faults.len(), faults.len(), "{test}: {result:?}");
        for (fault, expected) in result.faults.iter().zip(faults) {
            assert!(fault.starts_with(expected), "{test}: {fault}");
        }
    }
}

/// A text is what the schema declares, as in a request of the API, and a text where it declares none of these.
#[test]
fn texts_are_read_as_the_schema_declares() {
    const SCHEMA: &str = "entity User = { hired?: datetime, name?: String }; entity Doc; \
        action view appliesTo { principal: [User], resource: [Doc], context: { ip?: ipaddr, rate?: decimal, \
        span?: duration, at?: datetime, text?: String, set?: Set<ipaddr> } };";
    const POLICY: &str = "permit(principal, action, resource); \
        forbid(principal, action, resource) when { context has ip && !context.ip.isLoopback() }; \
        forbid(principal, action, resource) when { context has at && context.at > datetime(\"2027-01-01\") }; \
        forbid(principal, action, resource) when { context has text && !(context.text like \"*.*\") }; \
        forbid(principal, action, resource) when { principal has hired && principal.hired > datetime(\"2027-01-01\") };";
    let mut bundle = bundle();
    bundle.schema = Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] });
    bundle.policies[0].text = POLICY.to_owned();
    bundle.entities = vec![Document::held(
        "e.json",
        r#"[{"uid": {"type": "User", "id": "a"}, "attrs": {}, "parents": []}, {"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}]"#,
    )];
    for (members, expected) in [
        ("context: {ip: 127.0.0.1}", "allow"),
        ("context: {ip: {ip: 127.0.0.1}}", "allow"),
        ("context: {ip: 10.0.0.1}", "deny"),
        ("context: {ip: nowhere}", "error"),
        ("context: {set: [10.0.0.1]}", "allow"),
        ("context: {at: 2026-02-02}", "allow"),
        ("context: {at: '2028-02-02'}", "deny"),
        ("context: {rate: '1.5', span: 1h}", "allow"),
        ("context: {rate: often}", "error"),
        // what looks like one is a text where a text is declared
        ("context: {text: 127.0.0.1}", "allow"),
        ("context: {text: 2026-02-02}", "deny"),
        ("context: {text: {ip: 127.0.0.1}}", "error"),
        ("entities: [{uid: User::a, attrs: {hired: 2020-02-02}}]", "allow"),
        ("entities: [{uid: User::a, attrs: {name: 2020-02-02}}]", "allow"),
    ] {
        let text = format!(
            "tests:\n  - {{name: t, principal: User::a, action: view, resource: Doc::d, expect: {expected}, {members}}}\n"
        );
        let file = TestFile {
            path: "t.yaml".into(),
            id: "t.yaml".into(),
            cases: yaml::parse(&text, &|_| Err(String::new())).unwrap(),
        };
        let report = run_bundle(&bundle, &[file]).unwrap();
        assert_eq!(report.failed(), 0, "{members}: {report:?}");
    }
}

#[test]
fn entities_of_a_json_test_replace_the_store() {
    let request = r#""request":{"principal":"User::\"ann\"","action":"Action::\"view\"","resource":"Doc::\"d\"","context":{"mfa":true}}"#;
    let unknown = request.replace("ann", "eve");
    let text = format!(
        r#"[{{{request},"decision":"allow"}},{{{request},"decision":"deny","reason":[],"entities":[]}},
            {{{unknown},"decision":"deny"}},{{{unknown},"decision":"deny","unknown":true}}]"#
    );
    let cases = json::parse(&text, &|_| Err(String::new())).unwrap();
    let file = TestFile { path: "t.json".to_owned(), id: "t.json".to_owned(), cases };
    let report = run_bundle(&bundle(), &[file]).unwrap();
    assert_eq!(report.to_string(), "3 passed, 1 failed");
    let fault = &report.failures().next().unwrap().faults[0];
    assert!(fault.starts_with("`User::\"eve\"` is not in the store"), "{fault}");
}

#[test]
fn reasons_of_a_json_test_are_some_of_those_that_determine_and_may_be_positions() {
    let request = r#""request":{"principal":"User::\"ann\"","action":"Action::\"view\"","resource":"Doc::\"d\"","context":{"mfa":true}}"#;
    let bundle = |more: &str| {
        let mut bundle = bundle();
        bundle.policies[0].text = format!("permit (principal, action, resource);\n{POLICIES}");
        if !more.is_empty() {
            let (text, naming) = (more.to_owned(), PolicyNaming::Stem("q".to_owned()));
            bundle.policies.push(PolicyText { origin: "q.cedar".to_owned(), text, naming });
        }
        bundle
    };
    let named = "@id(\"policy0\") forbid (principal, action, resource) when { false };";
    for (more, reason, passes) in [
        ("", r#"["p.0","view"]"#, true),
        ("", r#"["view"]"#, true),
        ("", "[]", true),
        ("", r#"["policy0"]"#, true),
        ("", r#"["policy0","view"]"#, true),
        // the second has an `@id`
        ("", r#"["policy1"]"#, false),
        ("", r#"["policy9"]"#, false),
        ("", r#"["nothing","view"]"#, false),
        // which of two files is meant?
        ("forbid (principal, action, resource) when { false };", r#"["policy0"]"#, false),
        // a policy that has the name is meant
        (named, r#"["policy0"]"#, false),
    ] {
        let text = format!(r#"[{{{request},"decision":"allow","reason":{reason}}}]"#);
        let cases = json::parse(&text, &|_| Err(String::new())).unwrap();
        let file = TestFile { path: "t.json".to_owned(), id: "t.json".to_owned(), cases };
        let report = run_bundle(&bundle(more), &[file]).unwrap();
        assert_eq!(report.failed() == 0, passes, "{more} {reason}: {report:?}");
    }
}

#[test]
fn a_wrong_decision_names_what_decided() {
    let request = r#""request":{"principal":"User::\"ann\"","action":"Action::\"view\"","resource":"Doc::\"d\"","context":{"mfa":true}}"#;
    for (test, extra, missing) in [
        (r#""decision":"deny","reason":[]"#, &["view"][..], &[][..]),
        (r#""decision":"deny","reason":["nothing"]"#, &["view"], &["nothing"]),
        (r#""decision":"allow","reason":["nothing"]"#, &["view"], &["nothing"]),
        // as expected but for a number
        (r#""decision":"allow","reason":[],"num_errors":3"#, &[], &[]),
    ] {
        let cases = json::parse(&format!("[{{{request},{test}}}]"), &|_| Err(String::new())).unwrap();
        let file = TestFile { path: "t.json".to_owned(), id: "t.json".to_owned(), cases };
        let report = run_bundle(&bundle(), &[file]).unwrap();
        let diff = report.failures().next().unwrap().reason_diff().unwrap();
        assert_eq!((&diff.extra[..], &diff.missing[..]), (extra, missing), "{test}");
    }
}

#[test]
fn the_order_is_that_of_the_tests_on_any_number_of_threads() {
    let tests: String = (0..300)
        .map(|i| {
            format!(
                "  - {{name: t{i}, principal: [User::ann, User::bob], action: view, resource: Doc::d, expect: allow}}\n"
            )
        })
        .collect();
    let files = [yaml_file(&format!("tests:\n{tests}"))];
    let run = |jobs| run_with(&bundle(), &files, &Options { jobs, now: 0, ..Options::default() }).unwrap();
    let alone = run(1);
    assert_eq!(alone.to_string(), "300 passed, 300 failed");
    let untimed = |mut report: Report| {
        report.results.iter_mut().for_each(|result| result.took = Duration::ZERO);
        report
    };
    assert_eq!(untimed(alone), untimed(run(4)));

    let first = run_with(&bundle(), &files, &Options { jobs: 4, fail_fast: true, ..Options::default() }).unwrap();
    assert_eq!((first.passed(), first.failed(), first.not_run), (1, 1, 598));
    let filter = Filter::new(vec!["t.yaml::t7 *".to_owned()]);
    let some = run_with(&bundle(), &files, &Options { filter, ..Options::default() }).unwrap();
    assert_eq!(some.to_string(), "1 passed, 1 failed, 598 not selected");
}

#[test]
fn a_bundle_that_cannot_be_built_runs_nothing() {
    let mut broken = bundle();
    broken.policies[0].text.push_str("permit(principal, action, resource) when { principal.nope };");
    let problems = run_bundle(&broken, &[yaml_file("tests: []\n")]).unwrap_err();
    assert!(problems[0].to_string().contains("nope"), "{problems:?}");
}
