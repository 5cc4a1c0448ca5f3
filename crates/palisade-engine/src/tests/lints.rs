//! Warnings of validation: names that nothing has, policies for everyone, groups and actions that nothing uses.

use std::sync::Arc;

use super::support::bundle;
use crate::model::{Bundle, Diagnostic, Document, Revision};
use crate::{EngineSettings, Limits, Semantics, Snapshot, check, on_big_stack};

const SCHEMA: &str = r#"
entity Team in [Team];
entity User in [Team] { boss?: User };
entity Folder in [Folder];
entity Photo in [Folder] { owner: User, seen?: { by: Set<User> } } tags User;
entity Kind enum ["a", "b"];
action all;
action see in [all] appliesTo { principal: User, resource: [Photo, Folder], context: {} };
"#;

const STORED: &str = r#"[
 {"uid": {"type": "Team", "id": "editors"}, "attrs": {}, "parents": []},
 {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [{"type": "Team", "id": "editors"}]},
 {"uid": {"type": "Folder", "id": "art"}, "attrs": {}, "parents": []},
 {"uid": {"type": "Photo", "id": "tree"}, "attrs": {"owner": {"type": "User", "id": "alice"}}, "parents": []}
]"#;

/// What stays quiet.
const POLICY: &str = r#"permit(principal in Team::"editors", action in Action::"all", resource);"#;

/// The warnings of `palisade validate`, which must be those of `POST /v1/validate`.
#[track_caller]
fn warnings(bundle: Bundle, semantics: Semantics) -> Vec<Diagnostic> {
    let bundle = Arc::new(bundle);
    let settings = EngineSettings { lints: true, semantics, ..EngineSettings::default() };
    let built = on_big_stack(|| Snapshot::build(bundle.clone(), &settings, Revision { incarnation: 0, counter: 1 }));
    let (_, warnings) = built.unwrap().unwrap();
    let verdict = on_big_stack(|| check(&bundle, &Limits::default(), semantics, &|| false)).unwrap();
    assert_eq!((verdict.errors, verdict.warnings), (Vec::new(), warnings.clone()));
    warnings
}

fn shown(warnings: &[Diagnostic]) -> Vec<String> {
    let line = |found: &Diagnostic| {
        let (line, rule) = (found.line.unwrap_or(0), found.rule.unwrap_or(""));
        format!("{}:{line}: {} [{rule}]", found.origin, found.message)
    };
    warnings.iter().map(line).collect()
}

#[track_caller]
fn agree(warnings: &[Diagnostic], expected: &[&str], case: &str) {
    let found = shown(warnings);
    assert_eq!(found.len(), expected.len(), "{case}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{case}: {found}\nlacks {expected}");
    }
}

#[test]
fn what_policies_name_must_be_stored() {
    for (policies, strict, cedar) in [
        ("", &[][..], &[][..]),
        // a scope that nothing stored can meet
        (
            "permit(principal,\n action, resource == Photo::\"treee\");",
            &[
                "policies:3: `policy1` can only be about `Photo::\"treee\"`, which is not stored, so what it is about is \
               denied; did you mean `Photo::\"tree\"`? [unstored-only]",
            ][..],
            &["policies:3: `Photo::\"treee\"` is not stored; did you mean `Photo::\"tree\"`? [dangling-name]"][..],
        ),
        ("forbid(principal == User::\"bob\", action, resource);", &["policies:2: `policy1` can only"], &["[dangling"]),
        // groups and conditions, each name once
        (
            "permit(principal in Team::\"edtors\", action, resource);\
             permit(principal, action, resource) when { principal in Team::\"edtors\" && principal in Team::\"edtors\" };",
            &["`Team::\"edtors\"` is not stored (one more policy names it); did you mean `Team::\"editors\"`?"],
            &["`Team::\"edtors\"` is not stored (one more policy names it)"],
        ),
        (
            "permit(principal, action, resource)\nunless { [User::\"bob\", User::\"alice\"].contains(principal) };",
            &["policies:3: `User::\"bob\"` is not stored [dangling-name]"],
            &["policies:3: `User::\"bob\"` is not stored [dangling-name]"],
        ),
        // the id is there, and is of another type
        (
            "permit(principal in Team::\"alice\", action, resource);",
            &["`Team::\"alice\"` is not stored; did you mean `User::\"alice\"`?"],
            &["did you mean `User::\"alice\"`?"],
        ),
        // the ids of an enum are in the schema
        ("permit(principal, action, resource) when { Kind::\"a\" == Kind::\"b\" || principal has boss };", &[], &[]),
    ] {
        let text = format!("{POLICY}\n{policies}");
        let of = |semantics| warnings(bundle(&text, Some(SCHEMA), STORED), semantics);
        agree(&of(Semantics::Strict), strict, policies);
        agree(&of(Semantics::Cedar), cedar, policies);
    }
}

#[test]
fn what_is_stored_elsewhere_is_not_warned_of_name_by_name() {
    let names: String = (0..30)
        .map(|n| format!("permit(principal == User::\"u{n}\", action, resource == Photo::\"p{n}\") when {{ true }};\n"))
        .collect();
    // nothing at all is stored: the data come later
    let text = format!("{POLICY}\n{names}");
    assert!(warnings(bundle(&text, Some(SCHEMA), "[]"), Semantics::Strict).is_empty());
    // no entity of these types, while others are
    let teams = r#"[{"uid": {"type": "Team", "id": "t"}, "attrs": {}, "parents": []}]"#;
    let text = format!("permit(principal in Team::\"t\", action in Action::\"all\", resource);\n{names}");
    let found = warnings(bundle(&text, Some(SCHEMA), teams), Semantics::Strict);
    let expected = [
        "policies:2: no `Photo` is stored, and 30 policies, `policy1` first, can only be about one",
        "policies:2: no `User` is stored, and 30 policies",
    ];
    agree(&found, &expected, "types");
    assert!(
        found.iter().all(|found| found.help.as_deref().unwrap().contains("`decision.unknown_entities` to `cedar`"))
    );
    assert!(warnings(bundle(&text, Some(SCHEMA), teams), Semantics::Cedar).is_empty());
    // many of one kind are counted
    let text = format!("{POLICY}\n{names}");
    let found = shown(&warnings(bundle(&text, Some(SCHEMA), STORED), Semantics::Strict));
    assert_eq!(found.len(), 26, "{found:#?}");
    assert_eq!(found[25], "bundle:0: and 35 more warnings of this kind [unstored-only]");
}

#[test]
fn what_entities_refer_to_must_be_stored() {
    let of = |extra: &str| {
        let stored = format!("{},\n{extra}]", STORED.trim_end().trim_end_matches(']').trim_end());
        warnings(bundle(POLICY, Some(SCHEMA), &stored), Semantics::Strict)
    };
    let photo = |attrs: &str, tags: &str, parents: &str| {
        format!(
            r#"{{"uid": {{"type": "Photo", "id": "x"}}, "attrs": {attrs}, "tags": {tags}, "parents": [{parents}]}}"#
        )
    };
    let user = |id: &str| format!(r#"{{"type": "User", "id": "{id}"}}"#);
    let owner = format!(r#"{{"owner": {}}}"#, user("alice"));
    for (extra, expected) in [
        (photo(&owner, "{}", r#"{"type": "Folder", "id": "art"}"#), &[][..]),
        (
            photo(&owner, "{}", r#"{"type": "Folder", "id": "arts"}"#),
            &[
                "entities:6: the parent `Folder::\"arts\"` of `Photo::\"x\"` is not stored; did you mean `Folder::\"art\"`?",
            ],
        ),
        (
            photo(&format!(r#"{{"owner": {}}}"#, user("alcie")), "{}", ""),
            &[
                "entities:6: `User::\"alcie\"`, which the attribute `owner` of `Photo::\"x\"` names, is not stored; did you",
            ],
        ),
        (
            photo(&format!(r#"{{"owner": {0}, "seen": {{"by": [{0}, {1}]}}}}"#, user("alice"), user("zoe")), "{}", ""),
            &["`User::\"zoe\"`, which the attribute `seen` of `Photo::\"x\"` names, is not stored [dangling-name]"],
        ),
        (
            photo(&owner, &format!(r#"{{"t": {}, "u": {}}}"#, user("zoe"), user("zoe")), ""),
            &["`User::\"zoe\"`, which a tag of `Photo::\"x\"` names, is not stored (one more reference is to it)"],
        ),
    ] {
        agree(&of(&extra), expected, &extra);
    }
}

#[test]
fn groups_actions_and_everything() {
    let team = r#"[{"uid": {"type": "Team", "id": "editors"}, "attrs": {}, "parents": []},
 {"uid": {"type": "Team", "id": "idle"}, "attrs": {}, "parents": []},
 {"uid": {"type": "Team", "id": "writers"}, "attrs": {}, "parents": [{"type": "Team", "id": "editors"}]}]"#;
    for (policies, entities, expected) in [
        (POLICY, STORED, &[][..]),
        // one that is in a group which is named is used
        (
            POLICY,
            team,
            &["entities:2: `Team::\"idle\"` is a group that no policy names, so being in it changes nothing"],
        ),
        (
            "permit(principal, action, resource) when { principal has boss };",
            STORED,
            &["entities:2: `Team::\"editors\"` is a group that no policy names"],
        ),
        ("forbid(principal in Team::\"editors\", action in Action::\"all\", resource);", STORED, &[]),
        (
            "permit(principal in Team::\"editors\", action == Action::\"see\", resource) when { action in Action::\"all\" };",
            STORED,
            &[],
        ),
        (
            "permit(principal in Team::\"editors\", action in Action::\"all\", resource);\n@id(\"x\")\npermit(principal, action, resource);",
            STORED,
            &["policies:2: `policy1` allows every action on every resource to every principal [permit-everything]"],
        ),
        (
            "permit(principal in Team::\"editors\", action in Action::\"all\", resource);\npermit(principal, action, resource) when { true };\nforbid(principal, action, resource);",
            STORED,
            &[],
        ),
    ] {
        agree(&warnings(bundle(policies, Some(SCHEMA), entities), Semantics::Cedar), expected, policies);
    }
}

#[test]
fn an_action_without_any_use_is_warned_of() {
    let edit = "action edit appliesTo { principal: User, resource: Photo };";
    let schema = format!("{SCHEMA}action idle;\naction \"see it\" in [all];\n{edit}\n");
    let found = warnings(bundle(POLICY, Some(&schema), STORED), Semantics::Strict);
    let expected = [
        "schema:9: `Action::\"idle\"` applies to nothing",
        "schema:10: `Action::\"see it\"` applies to nothing",
        "schema:11: no policy is about `Action::\"edit\"`, so it is always denied",
    ];
    agree(&found, &expected, &schema);
}

#[test]
fn a_load_does_not_look() {
    let text = "permit(principal, action, resource == Photo::\"treee\");";
    let bundle = Arc::new(bundle(text, Some(SCHEMA), STORED));
    let revision = Revision { incarnation: 0, counter: 1 };
    let (_, warnings) =
        on_big_stack(|| Snapshot::build(bundle, &EngineSettings::default(), revision)).unwrap().unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let mut faulty = bundle("permit(principal, action, resource) when { principl.x };", Some(SCHEMA), STORED);
    let mut second = faulty.policies[0].clone();
    second.origin = "second".to_owned();
    second.text = "permit(principal, action, resource) when { principal.nam };\npermit(principal) ;".to_owned();
    faulty.policies.push(second);
    faulty.entities =
        vec![Document::held("entities", r#"[{"uid": {"type": "User", "id": "a"}, "parents": [], "atrs": {}}]"#)];
    let broken_schema = {
        let mut broken = faulty.clone();
        broken.schema.as_mut().unwrap().fragments[0].1.push_str("entity X = 3;\nentity Y Z;\n");
        broken
    };
    for (bundle, expected) in [
        (faulty, &["policies:1", "second:1", "second:2", "entities:1"][..]),
        (broken_schema, &["schema:10", "schema:9", "policies:1", "second:2", "entities:1"]),
    ] {
        let bundle = Arc::new(bundle);
        let settings = EngineSettings::default();
        let built =
            on_big_stack(|| Snapshot::build(bundle.clone(), &settings, Revision { incarnation: 0, counter: 1 }));
        let built = built.unwrap().map(|_| ()).unwrap_err();
        let checked = on_big_stack(|| check(&bundle, &Limits::default(), Semantics::Strict, &|| false)).unwrap().errors;
        for found in [built, checked] {
            let mut places: Vec<String> =
                found.iter().map(|found| format!("{}:{}", found.origin, found.line.unwrap_or(0))).collect();
            places.sort();
            // one policy may have two faults
            places.dedup();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(places, expected, "{found:#?}");
            let codes: Vec<&str> = found.iter().map(Diagnostic::code).collect();
            assert!(codes.iter().all(|code| ["schema", "policy", "validation", "entity"].contains(code)), "{codes:?}");
        }
    }
}
