//! How decisions are made: a preset, and what is said of each rule.

use super::*;

/// `semantics` is a preset of the two rules, and each has a key of its own.
#[test]
fn each_rule_beside_cedars_semantics_has_a_switch() {
    for (decision, forbids, entities) in [
        (json!({}), true, true),
        (json!({"semantics": "cedar"}), false, false),
        (json!({"unknown_entities": "cedar"}), true, false),
        (json!({"forbid_errors": "cedar"}), false, true),
        (json!({"semantics": "cedar", "forbid_errors": "deny"}), true, false),
        (json!({"semantics": "cedar", "unknown_entities": "deny"}), false, true),
        (json!({"semantics": "strict", "forbid_errors": "cedar", "unknown_entities": "cedar"}), false, false),
        (json!({"forbid_errors": null}), true, true),
    ] {
        let found = read("", &[], json!({"decision": decision})).unwrap().decision;
        let expected = DecisionSettings { forbid_errors_deny: forbids, unknown_entities_deny: entities };
        assert_eq!(found, expected, "{decision}");
    }
    let error = problems("decision: {unknown_entities: allow}", &[]);
    assert!(error.contains("decision.unknown_entities") && error.contains("`deny`"), "{error}");
}
