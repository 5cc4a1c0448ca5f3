//! What `explain` writes of decisions that a rule of the strict semantics made.

use super::serves::only;
use super::*;

#[test]
fn what_a_rule_denies_is_not_forbidden_by_a_permit() {
    let dir = only(&[
        (
            "policies/p.cedar",
            "@id(\"ok\") permit (principal, action, resource);\n@id(\"bad\") forbid (principal, action, resource) when { \
             principal.mail == \"x\" };\n",
        ),
        (
            "policies/s.cedarschema",
            "entity U { mail?: String };\nentity D;\naction x appliesTo { principal: U, resource: D };\n",
        ),
        (
            "entities/e.json",
            r#"[{"uid": {"type": "U", "id": "u"}, "attrs": {}, "parents": []}, {"uid": {"type": "D", "id": "d"}, "attrs": {}, "parents": []}]"#,
        ),
    ]);
    let place = dir.path().to_str().unwrap();
    let fails = ["forbids that could not be evaluated\n  forbid bad", "would be permitted by\n  permit ok"];
    for (who, flags, expected) in [
        ("U::u", &[][..], &fails[..]),
        ("U::unknown", &[], &["would be permitted by\n  permit ok"]),
        ("U::u", &["--semantics", "cedar"], &["permitted by\n  permit ok"]),
    ] {
        let asked = ["explain", "-p", place, "--set", "validation=warn", "-l", who, "-a", "x", "-r", "D::d"];
        let ran = palisade(&[&asked[..], flags].concat());
        for text in expected {
            assert!(ran.out.contains(text), "{who} {flags:?}: no `{text}`\n{}{}", ran.out, ran.err);
        }
        assert!(!ran.out.contains("forbidden by"), "{who}: {}", ran.out);
    }
}
