//! No fault of a bundle that is sent hides another.

use serde_json::{Value, json};

use super::*;
use palisade_engine::on_big_stack;

const SCHEMA: &str = "entity User { ok: Bool }; entity Doc; action view appliesTo { principal: User, resource: Doc };";
const SLOT: &str = "permit(principal == ?principal, action, resource);";

/// Where something is wrong, what, and what is said of it. Places in one list or object stand beside each other.
fn faults() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("schema", json!(["entity Extra { a: Strng }; entity Doc;"]), &["`Strng`", "`Doc` is declared twice"]),
        ("policies", json!({"b": "permit(principal"}), &["unexpected end"]),
        ("policies", json!({"c": 5}), &["policies[\"c\"]: a policy must be text"]),
        ("policies", json!({"d": "permit(principal, action == Action::\"zz\", resource);"}), &["Action::\"zz\""]),
        ("entities", json!([{"uid": 5}]), &["entities:1:"]),
        ("links", json!([{"a": 1}, {"template_id": 2}]), &["unknown member `a`", "`template_id` must be a string"]),
        ("links", json!([{"each": "Usr", "template": "t", "missing": "wran"}]), &["`wran`", "`Usr`"]),
        (
            "rules",
            json!([{"each": "User"}, {"each": "User", "must": "principal.nope", "code": "c"}]),
            &["lacks `code`", "lacks `must`", "lacks `message`", "`nope`"],
        ),
        ("routes", json!({"r": "routes: [{mach: GET /x}]"}), &["`mach`"]),
        ("revision", json!(5), &["`revision` must be"]),
        ("entites", json!([]), &["unknown member `entites`"]),
    ]
}

fn with(mut body: Value, member: &str, more: &Value) -> Value {
    match (body.get_mut(member), more) {
        (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
        (Some(Value::Object(all)), Value::Object(more)) => all.extend(more.clone()),
        _ => body[member] = more.clone(),
    }
    body
}

#[test]
fn of_every_two_faults_both_are_reported() {
    let faults = faults();
    let limits = Limits::default();
    for (n, one) in faults.iter().enumerate() {
        for other in &faults[n + 1..] {
            let body = json!({"schema": [SCHEMA], "policies": {"t": SLOT}, "entities": [], "links": [], "rules": []});
            let body = with(with(body, one.0, &one.1), other.0, &other.1).to_string();
            let judged = on_big_stack(|| {
                read_and_judge(Bytes::from(body.clone()), &limits, Semantics::Strict, &|| false).map_err(|it| it.detail)
            });
            let verdict = judged.unwrap().unwrap_or_else(|error| panic!("{body}: {error}"));
            let shown: Vec<String> = verdict.errors.iter().map(ToString::to_string).collect();
            let shown = shown.join("\n");
            assert!(!verdict.valid, "{body}");
            // against a schema that cannot be read nothing is checked
            let schema = [one, other].iter().any(|it| it.0 == "schema");
            let by_schema = ["`Usr`", "`nope`", "Action::\"zz\"", "`mach`"];
            for expected in one.2.iter().chain(other.2) {
                if by_schema.contains(expected) && schema {
                    assert!(shown.contains("once the schema can be read"), "{body}: {shown}");
                } else {
                    assert!(shown.contains(expected), "{body}: no `{expected}` in\n{shown}");
                }
            }
        }
    }
}
