//! `palisade record`: tests from a decision log, which pass with the bundle that decided.

use super::*;

fn line(principal: &str, context: &str, answer: &str) -> String {
    format!(
        r#"{{"decision_id":"7","time":"2026-11-28T05:00:00.123456Z","revision":"1-1","transport":"native","request_id":"r","principal":"User::\"{principal}\"","action":"Action::\"view\"","resource":"Doc::\"d\"","context":{context},{answer},"cached":false,"duration_us":1.002}}"#
    )
}

const ALLOW: &str = r#""decision":"Allow","reason":["ok"],"errors":[]"#;
const DENY: &str = r#""decision":"Deny","reason":[],"errors":[]"#;
const UNKNOWN: &str = r#""decision":"Deny","reason":[],"errors":[{"policyId":"ok","message":"no such entity"}],"denied_by":{"rule":"unknown_entity","entity":"User::\"z\""}"#;

#[test]
fn what_was_decided_becomes_tests_that_pass() {
    let timed = SCHEMA.replace("n?: Long", "n?: Long, now?: datetime");
    let dir = bundle(&[("policies/s.cedarschema", &timed)]);
    let place = at(&dir);
    let log = [
        line("a", "{}", ALLOW),
        line("b", r#"{"n":1}"#, DENY),
        String::new(),
        line("a", "{}", ALLOW),
        line("a", r#"{"n":2}"#, ALLOW),
        line("z", "{}", UNKNOWN),
        line("a", r#"{"n":"***"}"#, ALLOW),
        "nothing".to_owned(),
    ]
    .join("\n");
    let written = dir.path().join("policies/tests/recorded.yaml");
    let output = written.to_str().unwrap();
    let ran = palisade_with(&["record", "-p", &place, "--output", output], log.as_bytes());
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, ""), "{}", ran.err);
    assert_eq!(
        ran.err.lines().collect::<Vec<_>>(),
        [
            "warning: standard input:7: skipped, since `context.n` is masked (`decision_log.mask`)",
            "warning: standard input:8: skipped, since it is not JSON: expected `true`, `false` or `null`",
            "recorded 4 tests; 1 line repeated; 2 lines skipped",
        ]
    );
    let text = fs::read_to_string(&written).unwrap();
    let expected = "  - name: \"b view d\"\n    why: \"Decision 7 of 2026-11-28T05:00:00.123456Z.\"\n    principal: 'User::\"b\"'\n    action: 'Action::\"view\"'\n    resource: 'Doc::\"d\"'\n    context: {\"n\":1,\"now\":\"2026-11-28T05:00:00.123Z\"}\n    expect: deny\n    reason: []\n";
    assert!(text.contains(expected) && text.contains("- name: \"a view d #2\"\n"), "{text}");
    assert!(!text.contains("With the current bundle"), "{text}");
    let ran = palisade(&["test", "-p", &place, "recorded.yaml"]);
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    // what an author may have edited is not replaced
    let again = palisade_with(&["record", "-p", &place, "--output", output], log.as_bytes());
    assert!(again.exit == Exit::Failure && again.err.contains("recorded.yaml` exists"), "{}", again.err);
    assert_eq!(fs::read_to_string(&written).unwrap(), text);
}

#[test]
fn what_is_decided_otherwise_today_is_said() {
    let dir = bundle(&[]);
    let log = dir.path().join("decisions.log");
    for (answer, said) in [
        (ALLOW, None),
        (DENY, Some("it is allowed by ok.")),
        (r#""decision":"Allow","reason":["old"],"errors":[]"#, Some("it is allowed by ok.")),
        (
            r#""decision":"Allow","reason":["ok"],"errors":[{"policyId":"p","message":"m"}]"#,
            Some("0 policies fail to evaluate."),
        ),
    ] {
        fs::write(&log, line("a", "{}", answer)).unwrap();
        let ran = palisade(&["record", "-p", &at(&dir), log.to_str().unwrap()]);
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        let comment = ran.out.lines().find_map(|line| line.strip_prefix("  # With the current bundle "));
        assert_eq!(comment, said, "{answer}");
        assert_eq!(ran.err.contains("decides 1 of them differently"), said.is_some(), "{}", ran.err);
    }
    fs::write(&log, line("z", "{}", DENY)).unwrap();
    let ran = palisade(&["record", "-p", &at(&dir), log.to_str().unwrap()]);
    assert!(ran.out.contains("With the current bundle it is denied because"), "{}", ran.out);
    fs::write(&log, line("b", "{}", UNKNOWN)).unwrap();
    let ran = palisade(&["record", "-p", &at(&dir), log.to_str().unwrap()]);
    assert!(ran.out.contains("and not because an entity is not stored"), "{}", ran.out);
    fs::write(&log, line("a", r#"{"m":1}"#, ALLOW)).unwrap();
    let ran = palisade(&["record", "-p", &at(&dir), log.to_str().unwrap()]);
    assert!(ran.out.contains("With the current bundle it cannot be decided: "), "{}", ran.out);
}

#[test]
fn a_log_without_a_decision_is_a_failure_and_the_rest_is_counted() {
    let dir = bundle(&[]);
    let place = at(&dir);
    for (log, said) in [("", "error: the log holds no decision"), ("{}\n{}", "warning: standard input:2: skipped")] {
        let ran = palisade_with(&["record", "-p", &place, "-"], log.as_bytes());
        assert!(ran.exit == Exit::Failure && ran.err.contains(said), "{}", ran.err);
        assert!(ran.err.ends_with("error: the log holds no decision that a test could repeat\n"), "{}", ran.err);
    }
    let ran = palisade_with(&["record", "-p", &place], "{}\n".repeat(25).as_bytes());
    assert!(ran.err.lines().count() == 22 && ran.err.contains("warning: 5 lines more were skipped"), "{}", ran.err);
    let three: Vec<String> = (0..3).map(|n| line("a", &format!("{{\"n\":{n}}}"), ALLOW)).collect();
    let ran = palisade_with(&["record", "-p", &place, "--limit", "2"], three.join("\n").as_bytes());
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, "recorded 2 tests; 1 line beyond `--limit`\n"));
    let ran = palisade(&["record", "-p", &place, "/nowhere/decisions.log"]);
    assert!(ran.exit == Exit::Failure && ran.err.contains("cannot read `/nowhere/decisions.log`"), "{}", ran.err);
    let broken = bundle(&[("policies/p.cedar", "permit(")]);
    let ran = palisade_with(&["record", "-p", &at(&broken)], line("a", "{}", ALLOW).as_bytes());
    assert_eq!(ran.exit, Exit::Undecided, "{}", ran.err);
}

#[test]
fn whatever_a_text_holds_becomes_a_test_that_passes() {
    let schema = SCHEMA.replace("n?: Long", "s: String");
    let tests = TESTS.replace("\"request\":{", "\"request\":{\"context\":{\"s\":\"\"},");
    for c in [
        '\u{1}', '\u{7f}', '\u{80}', '\u{85}', '\u{9f}', '\u{a0}', '\u{2028}', '\u{feff}', '\u{fffe}', '\u{ffff}',
        '\'', '#',
    ] {
        let dir = bundle(&[("policies/s.cedarschema", &schema), ("policies/tests/t.json", &tests)]);
        let context = serde_json::json!({"s": format!("x{c}y: {c}")}).to_string();
        let output = dir.path().join("policies/tests/recorded.yaml");
        let args = ["record", "-p", &at(&dir), "--output", output.to_str().unwrap()];
        let ran = palisade_with(&args, line("a", &context, ALLOW).as_bytes());
        assert_eq!(ran.exit, Exit::Success, "{c:?}: {}", ran.err);
        let ran = palisade(&["test", "-p", &at(&dir)]);
        assert_eq!(ran.exit, Exit::Success, "{c:?}: {}{}", ran.out, ran.err);
    }
}
