//! Whatever passes the guard can be parsed, validated, evaluated by both engines, written out and freed on the stacks
//! that there are. A stack that is too small ends the whole test binary, so a pass means something.

use std::sync::Arc;

use super::support::{bundle, lenient};
use crate::guard::{Grammar, check_text};
use crate::model::{AccessRequest, Revision, Value};
use crate::{EVALUATION_STACK_BYTES, EngineKind, EngineSettings, Limits, Semantics, Snapshot, on_big_stack};

const SCHEMA: &str = r#"
    entity A = { r: {a?: Long}, s: Set<Long> };
    action go appliesTo { principal: A, resource: A, context: { r?: {a?: Long} } };
"#;

/// A condition in which something is repeated.
type Shape = fn(usize) -> String;

/// The shapes that trees grow in: what is repeated `n` times, in brackets `b` deep.
fn shapes() -> Vec<(&'static str, Shape)> {
    vec![
        ("or", |n| format!("{}true", "false || ".repeat(n))),
        ("and", |n| format!("{}true", "true && ".repeat(n))),
        ("add", |n| format!("1{} == 1", " + 1".repeat(n))),
        ("multiply", |n| format!("1{} == 1", " * 1".repeat(n))),
        ("if", |n| format!("{}true", "if false then true else ".repeat(n))),
        ("groups", |n| format!("{}1{} == 1", "(".repeat(n / 20), format!("{})", "+1".repeat(20)).repeat(n / 20))),
        ("parens", |n| format!("{}true{}", "(".repeat(n), ")".repeat(n))),
        ("nots", |n| format!("{}true{}", "!(".repeat(n), ")".repeat(n))),
        ("sets", |n| format!("{}{} == []", "[".repeat(n), "]".repeat(n))),
        ("records", |n| format!("{}1{} == {{}}", "{a: ".repeat(n), "}".repeat(n))),
        ("index", |n| format!("principal.r{} == 1", "[\"a\"]".repeat(n))),
        ("members", |n| format!("principal.r{} == 1", ".a".repeat(n))),
        ("has", |n| format!("context has r{}", ".a".repeat(n))),
        ("calls", |n| format!("principal.s{}", ".contains(1)".repeat(n))),
        ("conditions", |n| format!("true }} {} when {{ true", "unless { false } when { true }".repeat(n))),
        ("nested ifs", |n| format!("{}true{}", "if (".repeat(n), ") then true else false".repeat(n))),
    ]
}

fn policy(condition: &str) -> String {
    format!("permit (principal, action, resource); forbid (principal, action, resource) when {{ {condition} }};")
}

/// The most repetitions that pass.
fn deepest(shape: Shape, limits: &Limits) -> usize {
    let passes = |n: usize| check_text("x", &policy(&shape(n)), Grammar::Policies, limits).is_ok();
    let (mut low, mut high) = (1, 2 * limits.max_expression_depth);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if passes(middle) { low = middle } else { high = middle }
    }
    low
}

fn on_stack<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(bytes).spawn(work).unwrap().join().unwrap()
}

fn drive(limits: &Limits) {
    let entities = r#"[{"uid": {"type": "A", "id": "a"}, "attrs": {"r": {}, "s": []}, "parents": []}]"#;
    for (name, shape) in shapes() {
        let n = deepest(shape, limits);
        for kind in [EngineKind::Compiled, EngineKind::Reference] {
            let text = policy(&shape(n));
            let settings = EngineSettings { kind, limits: limits.clone(), ..lenient(Semantics::Cedar) };
            let given = Arc::new(bundle(&text, Some(SCHEMA), entities));
            let revision = Revision { incarnation: 1, counter: 1 };
            let built = on_big_stack(move || Snapshot::build(given, &settings, revision)).unwrap();
            let Ok((snapshot, _)) = built else { panic!("{name} {n}: {:?}", built.err()) };
            let snapshot = Arc::new(snapshot);
            let decided = snapshot.clone();
            let errors = on_stack(EVALUATION_STACK_BYTES, move || {
                let body = r#"{"principal": "A::\"a\"", "action": "Action::\"go\"", "resource": "A::\"a\""}"#;
                let request = AccessRequest::from_value(Value::parse(body.as_bytes()).unwrap()).unwrap();
                let one = decided.decide(&request, 0).unwrap();
                let other = decided.decide_by_reference(&request, 0).unwrap();
                assert_eq!((one.outcome, &one.errors), (other.outcome, &other.errors));
                one.errors
            });
            assert!(!errors.iter().any(|error| error.message.contains("recursion")), "{name} {n}: {errors:?}");
            assert_eq!(snapshot.policy_texts().len(), 2);
            // the last one that holds a snapshot may be a thread that serves requests
            on_stack(256 << 10, move || drop(snapshot));
        }
    }
}

#[test]
fn the_deepest_that_passes_by_default_fits_the_stacks() {
    drive(&Limits::default());
}

#[test]
fn the_deepest_that_can_be_configured_fits_the_stacks() {
    drive(&Limits {
        max_nesting: crate::model::bounds::MAX_NESTING,
        max_expression_depth: crate::model::bounds::MAX_EXPRESSION_DEPTH,
        ..Limits::default()
    });
}

#[test]
fn schemas_are_bounded_by_what_they_expand_to() {
    let chain = |n: usize| -> String {
        (1..n).map(|i| format!("type T{i} = T{};\n", i - 1)).collect::<String>() + "type T0 = Long;\n"
    };
    let double = |n: usize| -> String {
        (1..n).map(|i| format!("type T{i} = {{a: T{0}, b: T{0}}};\n", i - 1)).collect::<String>() + "type T0 = Long;\n"
    };
    let hierarchy = |n: usize| -> String {
        (1..n).map(|i| format!("entity E{i} in [E{}];\n", i - 1)).collect::<String>() + "entity E0;\n"
    };
    let actions = |n: usize| -> String {
        (1..n).map(|i| format!("action a{i} in [a{}];\n", i - 1)).collect::<String>() + "action a0;\n"
    };
    let pairs = |n: usize| -> String {
        let names: Vec<String> = (0..n).map(|i| format!("P{i}")).collect();
        format!("entity {0}; action a appliesTo {{ principal: [{0}], resource: [{0}] }};", names.join(", "))
    };
    // actions whose ids look like names, in a namespace
    let ladder = |namespace: &str, mark: &str, levels: usize, width: usize| -> String {
        let action = |level: usize, i: usize| {
            let above: Vec<String> = (0..width).map(|j| format!("\"{}{mark}{j}\"", level + 1)).collect();
            let groups = if level + 1 < levels { format!(" in [{}]", above.join(", ")) } else { String::new() };
            format!("action \"{level}{mark}{i}\"{groups};")
        };
        let all: String = (0..levels).flat_map(|level| (0..width).map(move |i| action(level, i))).collect();
        format!("namespace {namespace} {{ {all} }}")
    };
    for (text, fine) in [
        (format!("entity A {{ {} }};", (0..2_000).map(|i| format!("a{i}: Long,")).collect::<String>()), true),
        (format!("entity A {{ {} }};", (0..11_000).map(|i| format!("a{i}: Long,")).collect::<String>()), false),
        (format!("entity A; {}", (0..35_000).map(|i| format!("entity A{i};")).collect::<String>()), false),
        (chain(100), true),
        (chain(10_000), false),
        (double(10), true),
        (double(24), false),
        (double(64), false),
        (double(300), false),
        (hierarchy(100), true),
        (hierarchy(5_000), false),
        (actions(50), true),
        (actions(5_000), false),
        (pairs(50), true),
        (pairs(1_500), false),
        (ladder("N", "::", 30, 15), false),
        (ladder("N", "_", 30, 15), false),
        (ladder("N", "::", 5, 5), true),
        (format!("{} entity A = {{ a: {}Long{} }};", chain(300), "Set<".repeat(300), ">".repeat(300)), true),
        (format!("{} entity A = {{ a: {}T300{} }};", chain(350), "Set<".repeat(200), ">".repeat(200)), false),
    ] {
        let given = Arc::new(bundle("", Some(&text), "[]"));
        let settings = lenient(Semantics::Cedar);
        let revision = Revision { incarnation: 1, counter: 1 };
        let built = on_big_stack(move || Snapshot::build(given, &settings, revision)).unwrap();
        assert_eq!(built.is_ok(), fine, "{}: {:?}", &text[..60], built.err());
    }
}
