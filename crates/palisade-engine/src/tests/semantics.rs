//! The two rules beside Cedar's semantics: each on its own, in both engines.

use super::support::{build, bundle, lenient};
use crate::Semantics;
use crate::model::{DeniedBy, Outcome};

const POLICIES: &str = r#"permit (principal, action, resource);
    forbid (principal, action == Action::"fails", resource) when { principal.level > 3 };"#;
const ENTITIES: &str = r#"[{"uid": {"type": "U", "id": "a"}, "attrs": {}, "parents": []},
    {"uid": {"type": "R", "id": "r"}, "attrs": {}, "parents": []}]"#;

#[test]
fn each_rule_denies_on_its_own() {
    // who asks, for what, of what, and with which entity in the context; which of the rules it breaks
    let forbid = "policy1";
    let cases = [
        ("a", "is fine", "r", "a", None, false),
        ("b", "is fine", "r", "a", Some("U::\"b\""), false),
        ("a", "is fine", "s", "a", Some("R::\"s\""), false),
        ("a", "is fine", "r", "b", Some("U::\"b\""), false),
        ("a", "fails", "r", "a", None, true),
        ("a", "fails", "s", "a", Some("R::\"s\""), true),
    ];
    for semantics in [Semantics::Strict, Semantics::StrictForbids, Semantics::StrictEntities, Semantics::Cedar] {
        let (forbids, entities) = (semantics.forbid_errors_deny(), semantics.unknown_entities_deny());
        assert_eq!(Semantics::of(forbids, entities), semantics);
        let both = build(bundle(POLICIES, None, ENTITIES), &lenient(semantics)).unwrap();
        for (principal, action, resource, other, unknown, fails) in cases {
            let request = format!(
                r#"{{"principal": "U::\"{principal}\"", "action": "Action::\"{action}\"", "resource": "R::\"{resource}\"",
                    "context": {{"other": {{"__entity": {{"type": "U", "id": "{other}"}}}}}}}}"#
            );
            let decision = both.ask(&request).unwrap();
            let expected = match (unknown.filter(|_| entities), fails && forbids) {
                (Some(entity), _) => Some(DeniedBy::UnknownEntity { entity: entity.to_owned() }),
                (None, true) => Some(DeniedBy::ForbidError { policy_id: forbid.into() }),
                (None, false) => None,
            };
            let outcome = if expected.is_none() { Outcome::Allow } else { Outcome::Deny };
            assert_eq!((decision.denied_by, decision.outcome), (expected, outcome), "{semantics:?} {request}");
            // what the policies said is the same under each
            assert_eq!(decision.forbid_errors, usize::from(fails), "{semantics:?} {request}");
        }
    }
}
