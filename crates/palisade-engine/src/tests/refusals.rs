//! Requests that are refused: where it is, what is wrong, and what was probably meant.

use super::support::{build, bundle, lenient};
use crate::Semantics;

const SCHEMA: &str = "namespace H { entity Ward; entity Staff; entity A; entity B; entity C; entity D; entity E; \
    action see appliesTo { principal: Staff, resource: Ward, context: { emergency?: Bool, deep?: { level: Long } } }; \
    entity Shift enum [\"day\", \"night\"]; action plan appliesTo { principal: [Staff, Shift], resource: [Ward, Shift] }; \
    action all appliesTo { principal: [A, B, C, D, E, Ward], resource: Ward }; }";

#[test]
fn a_refusal_says_where_it_is_and_what_was_meant() {
    let policies = "permit (principal, action, resource);";
    let both = build(bundle(policies, Some(SCHEMA), "[]"), &lenient(Semantics::Cedar)).unwrap();
    let plain = |principal: &str, action: &str, context: &str| {
        format!(
            r#"{{"principal": "{principal}::\"a\"", "action": "H::Action::\"{action}\"", "resource": "H::Ward::\"w\"", "context": {context}}}"#
        )
    };
    for (request, code, place, words) in [
        (plain("Staff", "see", "{}"), "unknown_type", "/principal", "did you mean `H::Staff`?"),
        (plain("H::Staf", "see", "{}"), "unknown_type", "/principal", "did you mean `H::Staff`?"),
        (plain("H::Staff", "sea", "{}"), "unknown_action", "/action", "did you mean `H::Action::\"see\"`?"),
        (plain("H::Ward", "see", "{}"), "action_does_not_apply", "/principal", "only to `H::Staff`"),
        (plain("H::Staff", "all", "{}"), "action_does_not_apply", "/principal", "`H::D`, `H::E` and 1 more"),
        (plain("H::Shift", "plan", "{}"), "invalid_uid", "/principal", "which are \"day\", \"night\", without"),
        (
            plain("H::Staff", "plan", "{}").replace("H::Ward", "H::Shift"),
            "invalid_uid",
            "/resource",
            "the schema lists the ids of `H::Shift`",
        ),
        (plain("H::Staff", "see", r#"{"emergency": 1}"#), "invalid_context", "/context/emergency", "a boolean"),
        (plain("H::Staff", "see", r#"{"emergancy": true}"#), "invalid_context", "/context/emergancy", "`emergency`?"),
        (plain("H::Staff", "see", r#"{"deep": {"level": "x"}}"#), "invalid_context", "/context/deep/level", "whole"),
        (plain("H::Staff", "see", r#"{"deep": {}}"#), "invalid_context", "/context/deep", "`level` is missing"),
    ] {
        let error = both.ask(&request).unwrap_err();
        assert_eq!((error.code, error.pointer.as_str()), (code, place), "{request}: {error}");
        assert!(error.message.contains(words), "{request}: {error}");
    }
    let misspelt = crate::model::Value::parse(br#"{"resouce": "H::Ward::\"w\""}"#).unwrap();
    let error = crate::model::AccessRequest::from_value(misspelt).unwrap_err();
    assert!(error.message.contains("did you mean `resource`?") && error.pointer == "/resouce", "{error}");
}
