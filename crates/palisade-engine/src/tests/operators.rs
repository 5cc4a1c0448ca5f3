//! Every operator with well- and ill-typed operands: decision, reasons, and errors with their messages.

use super::support::{Both, build, bundle, lenient};
use crate::Semantics;
use crate::tests::dice::Dice;

/// Operands of every kind, some equal in other words, some at the edges.
const OPERANDS: &[&str] = &[
    "true",
    "context.no",
    "0",
    "7",
    "9223372036854775807",
    "context.least",
    "\"\"",
    "\"abc\"",
    "context.text",
    "User::\"alice\"",
    "User::\"nobody\"",
    "principal",
    "resource",
    "Group::\"top\"",
    "principal.boss",
    "[]",
    "[1, 2]",
    "[2, 1, 1]",
    "context.numbers",
    "[User::\"bob\", Group::\"top\"]",
    "[User::\"bob\", 1]",
    "principal.friends",
    "[principal.boss, principal]",
    "[[1], []]",
    "[{a: 1}, context.numbers]",
    "{}",
    "{a: 1, \"b c\": \"x\"}",
    "context.record",
    "{a: context.least, r: principal}",
    "context",
    "ip(\"10.0.0.1\")",
    "ip(\"10.0.0.0/8\")",
    "ip(\"ffee::/64\")",
    "context.ip",
    "decimal(\"1.5\")",
    "context.decimal",
    "datetime(\"2024-02-29T12:00:00Z\")",
    "context.when",
    "duration(\"1d2h\")",
    "context.span",
    "ip(\"no\")",
    "decimal(context.text)",
    "principal.nothing",
    "context.nothing",
    "principal.getTag(\"size\")",
    "(1 + 9223372036854775807)",
    "(if context.no then 1 else \"one\")",
];

const BINARY: &[&str] = &[
    "@ == #",
    "@ != #",
    "@ < #",
    "@ <= #",
    "@ > #",
    "@ >= #",
    "@ in #",
    "@.contains(#)",
    "@.containsAll(#)",
    "@.containsAny(#)",
    "@ + # == #",
    "@ - # == @",
    "@ * # == 0",
    "@ && #",
    "@ || #",
    "!(@ == #) && (@ || #)",
    "@.hasTag(#)",
    "@.getTag(#) == 3",
    "@.isInRange(#)",
    "@.lessThan(#)",
    "@.lessThanOrEqual(#)",
    "@.greaterThan(#)",
    "@.greaterThanOrEqual(#)",
    "@.offset(#) > context.when",
    "@.durationSince(#) < context.span",
    "[@, #].contains(#)",
    "[@, #] == [#, @, @]",
    "{x: @, y: #} == {x: #, y: @}",
    "{x: @, y: #} == {y: #, x: @}",
    "(if @ then # else true) == #",
    "principal in [@, #]",
    "@ is User in #",
];

const UNARY: &[&str] = &[
    "A",
    "!A",
    "-A == A",
    "A.isEmpty()",
    "A like \"*b*\"",
    "A like \"a\\*\"",
    "A like \"\"",
    "A is User",
    "A is Nowhere",
    "A has a",
    "A has boss",
    "A has boss.boss.name",
    "A has record.a",
    "A has \"b c\"",
    "A.a == 1",
    "A.boss == A",
    "A.boss.name == \"bob\"",
    "A[\"b c\"] == \"x\"",
    "A.isIpv4()",
    "A.isIpv6()",
    "A.isLoopback()",
    "A.isMulticast()",
    "A.toDate() == A",
    "A.toTime() < duration(\"13h\")",
    "A.toMilliseconds() > 0",
    "A.toSeconds() == 93600",
    "A.toMinutes() == 1560",
    "A.toHours() == 26",
    "A.toDays() == 1",
    "ip(A).isIpv4()",
    "decimal(A) == decimal(\"1.50\")",
    "datetime(A) < context.when",
    "duration(A) == context.span",
    "if A then A else A",
    "[A].contains(A)",
    "A in A",
    "principal in A",
    "resource in [A]",
    "{a: A}.a == A",
    "{a: A} has a && {a: A}.b == 1",
];

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "alice"}, "parents": [{"type": "Group", "id": "low"}],
     "attrs": {"name": "alice", "a": 1, "b c": "x", "boss": {"__entity": {"type": "User", "id": "bob"}}, "record": {"a": 1},
               "friends": [{"__entity": {"type": "User", "id": "bob"}}, {"__entity": {"type": "User", "id": "nobody"}}]},
     "tags": {"size": 3, "abc": [1, 2], "": true}},
    {"uid": {"type": "User", "id": "bob"}, "parents": [],
     "attrs": {"name": "bob", "boss": {"__entity": {"type": "User", "id": "nobody"}}}},
    {"uid": {"type": "Group", "id": "low"}, "parents": [{"type": "Group", "id": "top"}, {"type": "Group", "id": "gone"}], "attrs": {}},
    {"uid": {"type": "Group", "id": "top"}, "parents": [], "attrs": {"a": 2}},
    {"uid": {"type": "Doc", "id": "d"}, "parents": [{"type": "User", "id": "alice"}], "attrs": {"boss": 1}}
]"#;

const CONTEXT: &str = r#"{"no": false, "least": -9223372036854775808, "text": "1.5", "numbers": [1, 2],
    "record": {"a": 1, "b c": "x"}, "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1/32"}},
    "decimal": {"__extn": {"fn": "decimal", "arg": "1.50"}},
    "when": {"__extn": {"fn": "datetime", "arg": "2024-02-29T13:00:00+0100"}},
    "span": {"__extn": {"fn": "duration", "arg": "26h"}}}"#;

fn request() -> String {
    format!(
        r#"{{"principal": "User::\"alice\"", "action": "Action::\"read\"", "resource": "Doc::\"d\"", "context": {CONTEXT}}}"#
    )
}

/// Policies that parse; Cedar's grammar has no place for some combinations.
fn policies(conditions: impl Iterator<Item = String>) -> String {
    conditions
        .map(|condition| format!("permit (principal, action, resource) when {{ {condition} }};\n"))
        .filter(|policy| policy.parse::<cedar_policy::PolicySet>().is_ok())
        .collect()
}

fn compare(conditions: impl Iterator<Item = String>) -> usize {
    let text = policies(conditions);
    let both = Both::plain(&text, ENTITIES);
    let decision = both.ask(&request()).unwrap();
    assert!(both.compiled.uncompiled().is_empty());
    assert_eq!(both.compiled.fallbacks(), 0);
    assert!(
        !decision.errors.is_empty() && decision.errors.len() < text.lines().count(),
        "a table without teeth: {}",
        text.lines().next().unwrap_or_default()
    );
    text.lines().count()
}

#[test]
fn one_operand() {
    let all = UNARY.iter().flat_map(|form| OPERANDS.iter().map(|a| form.replace('A', &format!("({a})"))));
    assert!(compare(all) > 1_500);
}

#[test]
fn two_operands() {
    for form in BINARY {
        let all = OPERANDS.iter().flat_map(|a| {
            OPERANDS.iter().map(move |b| {
                form.split_inclusive(['@', '#'])
                    .map(|part| match part.strip_suffix(['@', '#']) {
                        Some(rest) => format!("{rest}({})", if part.ends_with('@') { a } else { b }),
                        None => part.to_owned(),
                    })
                    .collect::<String>()
            })
        });
        assert!(compare(all) > 500, "{form}");
    }
}

/// A small generator, so that failures come back.
impl Dice {
    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.roll(6) == 0 {
            return format!("({})", OPERANDS[self.roll(OPERANDS.len())]);
        }
        let (form, marks): (&str, &[char]) = match self.roll(3) {
            0 => (UNARY[self.roll(UNARY.len())], &['A']),
            1 => (BINARY[self.roll(BINARY.len())], &['@', '#']),
            // conditions that are mostly fine, so that what is inside them is reached
            _ => {
                (["@ == #", "@ && #", "@ || #", "if @ then # else false", "[@].contains(#)"][self.roll(5)], &['@', '#'])
            }
        };
        let mut parts = String::from("(");
        for part in form.split_inclusive(marks) {
            match part.strip_suffix(marks) {
                Some(rest) => {
                    parts += rest;
                    parts += &self.expression(depth - 1);
                }
                None => parts += part,
            }
        }
        parts + ")"
    }
}

#[test]
fn nested_operators() {
    let mut dice = Dice(7);
    for _ in 0..4 {
        let all: Vec<String> = (0..1_500).map(|i| dice.expression(2 + i % 3)).collect();
        assert!(compare(all.into_iter()) > 1_000);
    }
}

#[test]
fn long_chains_are_exact_on_a_small_stack() {
    for (operator, term) in [("||", "context.no"), ("&&", "!context.no")] {
        let chain = vec![term; 1_500].join(&format!(" {operator} "));
        let text = format!(
            "permit (principal, action, resource);\nforbid (principal, action, resource) when {{ {chain} {operator} principal == User::\"alice\" }};"
        );
        let both = Both::plain(&text, ENTITIES);
        let request = request();
        let decide = || {
            let value = crate::model::Value::parse(request.as_bytes()).unwrap();
            let request = crate::model::AccessRequest::from_value(value).unwrap();
            both.compiled.decide(&request, 0).unwrap()
        };
        let decision = std::thread::scope(|scope| {
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, decide).unwrap().join().unwrap()
        });
        assert!(!decision.outcome.is_allow() && decision.errors.is_empty());
        assert_eq!(decision.reasons.len(), 1);
    }
}

#[test]
fn odd_calls_and_unlinked_things() {
    let conditions = [
        "ip(\"1.1.1.1\", \"2.2.2.2\") == 1",
        "ip() == 1",
        "context.ip.isInRange(context.ip, context.ip)",
        "context.ip.isIpv4(1)",
        "decimal(\"1.0\").lessThan()",
        "principal has name && principal.name like \"al*ce\" && principal.tag",
        "[1, \"1\", true, principal].contains(context.numbers)",
        "context has when && context has numbers && !(context has record.b)",
        "context.record has a.b",
        "true",
        "true && true",
        "principal.hasTag(\"size\") && principal.getTag(\"size\") == 3",
        "principal.getTag(\"none\") == 3",
    ];
    compare(conditions.iter().map(|condition| (*condition).to_owned()));
}

#[test]
fn strict_semantics_agree() {
    let policies = r#"
        permit (principal, action, resource);
        forbid (principal, action == Action::"fail", resource) when { context.nothing };
        permit (principal, action == Action::"fail", resource) when { principal.nothing };
    "#;
    let both = build(bundle(policies, None, ENTITIES), &lenient(Semantics::Strict)).unwrap();
    for principal in ["alice", "nobody", "never named"] {
        for action in ["read", "fail"] {
            for resource in ["d", "gone"] {
                for context in [
                    "{}",
                    r#"{"a": [{"__entity": {"type": "User", "id": "bob"}}, {"__entity": {"type": "New", "id": "n"}}]}"#,
                    r#"{"z": {"__entity": {"type": "User", "id": "nobody"}}, "a": {"__entity": {"type": "New", "id": "n\"\n"}}}"#,
                    r#"{"z": {"type": "User", "id": "nobody"}}"#,
                ] {
                    let answer = both.ask(&format!(
                        r#"{{"principal": "User::\"{principal}\"", "action": "Action::\"{action}\"",
                             "resource": "Doc::\"{resource}\"", "context": {context}}}"#
                    ));
                    assert!(answer.is_ok());
                }
            }
        }
    }
    assert_eq!(both.compiled.fallbacks(), 0);
}

#[test]
fn contexts_that_are_no_cedar_values_are_refused_alike() {
    let both = Both::plain("permit (principal, action, resource) when { context.x == context.y };", "[]");
    for value in [
        "null",
        "1.5",
        "9223372036854775808",
        r#"{"__expr": "1"}"#,
        r#"{"__extn": {"fn": "ip", "arg": "no"}}"#,
        r#"{"__extn": {"fn": "unknown", "arg": "x"}}"#,
        r#"{"__extn": {"fn": "nosuch", "arg": "x"}}"#,
        r#"{"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1h"}}]}}"#,
        r#"{"__extn": {"fn": "ip", "arg": "::1", "more": 1}}"#,
        r#"{"__entity": {"type": "A B", "id": "x"}}"#,
        r#"{"__entity": {"type": "A", "id": "x", "more": 1}}"#,
        r#"{"__entity": {"type": "A"}}"#,
        r#"{"__entity": 1}"#,
        r#"{"__entity": {"type": "A", "id": "x"}, "more": 1}"#,
        r#"{"type": "A", "id": "x"}"#,
        r#"[[{"new name": 1}], [{"new name": 1}, {"other name": 1}]]"#,
    ] {
        for other in ["1", value] {
            let _ = both.ask(&format!(
                r#"{{"principal": "A::\"a\"", "action": "Action::\"a\"", "resource": "A::\"b\"",
                     "context": {{"x": {value}, "y": {other}}}}}"#
            ));
        }
    }
}

/// What quotes a value is not kept whole, and both engines cut it alike.
#[test]
fn long_messages_are_cut_alike() {
    let both = Both::plain(
        "permit (principal, action, resource) when { principal.x == 1 };
         permit (principal, action, resource) when { context.n like \"x*\" && ip(context.n).isLoopback() };",
        "[]",
    );
    let long = "x".repeat(100_000);
    let decision = both.ask(&format!(
        r#"{{"principal": "A::\"{long}\"", "action": "Action::\"a\"", "resource": "A::\"b\"", "context": {{"n": "{long}"}}}}"#
    ));
    let errors = decision.unwrap().errors;
    assert_eq!(errors.len(), 2);
    for error in errors {
        assert!(error.message.len() < 2_200 && error.message.contains("bytes left out"), "{}", error.message.len());
    }
}
