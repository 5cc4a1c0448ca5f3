//! The base below the changes: reverts, a new base, and what they hide.

use super::*;
use crate::Told;
use crate::model::{Bundle, SchemaText};
use crate::tests::support::build;

fn changed(text: &str) -> Snapshot {
    transact(&start(), text, Dangling::Keep).unwrap().snapshot
}

fn policy(id: &str) -> String {
    format!(
        r#"{{"put_policy":{{"id":"{id}","text":"permit (principal, action, resource) when {{ context has level }};"}}}}"#
    )
}

#[test]
fn a_revert_makes_the_base_count_again() {
    let start = start();
    for (change, revert) in [
        (format!(r#"{{"upsert":{}}}"#, user("c")), r#"{"revert":"User::\"c\""}"#),
        (format!(r#"{{"upsert":{}}}"#, user("a")), r#"{"revert":"User::\"a\""}"#),
        (r#"{"delete":"User::\"a\""}"#.to_owned(), r#"{"revert":"User::\"a\""}"#),
        (policy("members"), r#"{"revert_policy":"members"}"#),
        (policy("new"), r#"{"revert_policy":"new"}"#),
        (r#"{"delete_policy":"owners"}"#.to_owned(), r#"{"revert_policy":"owners"}"#),
        (r#"{"delete_link":"grant"}"#.to_owned(), r#"{"revert_link":"grant"}"#),
        (r#"{"put_link":{"link_id":"l","template_id":"granted","args":{"?principal":"User::\"a\"","?resource":"Org::\"o\""}}}"#.to_owned(), r#"{"revert_link":"l"}"#),
    ] {
        let changed = changed(&format!("[{change}]"));
        let overlay = changed.overlay();
        assert_eq!(overlay.entities + overlay.deleted + overlay.policies + overlay.links, 1, "{change}: {overlay:?}");
        let reverted = transact(&changed, &format!("[{revert}]"), Dangling::Keep).unwrap();
        assert!(reverted.changed && reverted.snapshot.overlay().is_empty(), "{change}");
        assert!(reverted.snapshot.is_same_as(&start) && start.is_same_as(&reverted.snapshot), "{change}");
        check_referrers(&reverted.snapshot.store);
    }
    // what only changes brought leaves nothing when it is deleted
    let gone = transact(
        &changed(&format!(r#"[{{"upsert":{}}}]"#, user("c"))),
        r#"[{"delete":"User::\"c\""}]"#,
        Dangling::Keep,
    );
    assert!(gone.unwrap().snapshot.overlay().is_empty());
}

#[test]
fn a_new_base_goes_below_the_changes() {
    let changes = format!(
        r#"[{{"upsert":{}}},{{"delete":"User::\"b\""}},{},{{"delete_policy":"owners"}},{{"put_link":{{"link_id":"l","template_id":"granted","args":{{"?principal":"User::\"a\"","?resource":"Org::\"o\""}}}}}}]"#,
        user("c"),
        policy("new")
    );
    let served = changed(&changes);
    // files without `p`, with another `b`, and with `d`
    let text = format!("{}\n{}", entities().replace(r#""note":"x""#, r#""note":"z""#), user("d"));
    let mut files = bundle(&POLICIES.replace("principal in resource", "resource in resource"), Some(SCHEMA), &text);
    files.policies[0].naming = crate::model::PolicyNaming::Stem("base".to_owned());
    let base = build(files, &EngineSettings::default()).unwrap().compiled;
    let (now, shadowed) = on_big_stack(|| base.rebased(&served, &|| false)).unwrap().unwrap();
    assert_eq!(shadowed, ["the entity `User::\"b\"`"]);
    assert_eq!(now.overlay(), served.overlay());
    let found: Vec<String> = stored(&now).iter().map(|text| text.split(" [").next().unwrap().to_owned()).collect();
    assert_eq!(found.join(" "), r#"Group::"g" Org::"o" Org::"p" User::"a" User::"c" User::"d""#);
    let ids: Vec<&str> = now.policy_texts().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["granted", "members", "new"]);
    assert!(now.policy_texts()[1].1.contains("resource in resource"));
    // taken back, the new base is what counts
    let reverts = r#"[{"revert":"User::\"b\""},{"revert":"User::\"c\""},{"revert_policy":"new"},{"revert_policy":"owners"},{"revert_link":"l"}]"#;
    let reverted = transact(&now, reverts, Dangling::Refuse).unwrap().snapshot;
    assert!(reverted.overlay().is_empty());
    assert!(stored(&reverted).iter().any(|text| text.contains(r#""note":"z""#)));
}

#[test]
fn a_deletion_stays_through_a_base_that_does_not_know_it() {
    let served = changed(r#"[{"delete":"User::\"b\""}]"#);
    let of = |text: &str| {
        let mut files: Bundle = bundle(POLICIES, Some(SCHEMA), text);
        files.policies[0].naming = crate::model::PolicyNaming::Stem("base".to_owned());
        build(files, &EngineSettings::default()).unwrap().compiled
    };
    let without: String = entities().lines().filter(|line| !line.contains("\"x\"")).collect::<Vec<_>>().join("\n");
    let (without, _) = on_big_stack(|| of(&without).rebased(&served, &|| false)).unwrap().unwrap();
    assert_eq!(without.overlay().deleted, 1);
    let (again, _) = on_big_stack(|| of(&entities()).rebased(&without, &|| false)).unwrap().unwrap();
    assert!(!stored(&again).iter().any(|text| text.starts_with("User::\"b\"")));
}

#[test]
fn a_deleted_policy_or_link_stays_deleted_through_a_base_that_does_not_know_it() {
    let of = |policies: &str, linked: bool| {
        let mut files: Bundle = bundle(policies, Some(SCHEMA), &entities());
        files.policies[0].naming = crate::model::PolicyNaming::Stem("base".to_owned());
        if linked {
            files.links = start().texts().links.clone();
        }
        build(files, &EngineSettings::default()).unwrap().compiled
    };
    let without_owners: Vec<&str> = POLICIES.lines().filter(|line| !line.contains("owners")).collect();
    for (change, policies, linked, gone, revert) in [
        (r#"{"delete_policy":"owners"}"#, without_owners.join("\n"), true, "owners", r#"{"revert_policy":"owners"}"#),
        (r#"{"delete_link":"grant"}"#, POLICIES.to_owned(), false, "grant", r#"{"revert_link":"grant"}"#),
    ] {
        let has = |state: &Snapshot| state.core.policies.sites.contains_key(gone);
        let served = changed(&format!("[{change}]"));
        let (without, _) = on_big_stack(|| of(&policies, linked).rebased(&served, &|| false)).unwrap().unwrap();
        assert_eq!(without.overlay(), served.overlay(), "{change}");
        let (again, shadowed) = on_big_stack(|| of(POLICIES, true).rebased(&without, &|| false)).unwrap().unwrap();
        assert!(!has(&again), "{change}: it is back");
        assert_eq!((again.overlay(), shadowed.len()), (served.overlay(), 1), "{change}");
        let reverted = transact(&again, &format!("[{revert}]"), Dangling::Keep).unwrap().snapshot;
        assert!(has(&reverted) && reverted.overlay().is_empty(), "{change}");
    }
}

#[test]
fn changes_that_do_not_fit_a_new_base_are_named_with_it() {
    let served = changed(&format!(r#"[{{"upsert":{}}},{}]"#, user("c"), policy("new")));
    let of = |schema: String, policies: &str| {
        let mut files = bundle(policies, None, "[]");
        files.schema = Some(SchemaText { fragments: vec![("app.cedarschema".to_owned(), schema)] });
        files.policies[0].naming = crate::model::PolicyNaming::Stem("base".to_owned());
        build(files, &EngineSettings::default()).unwrap().compiled
    };
    let other = SCHEMA.replace("friends: Set<User>", "friends: Set<User>, name: String").replace("level?: Long", "");
    let base = of(other, "permit (principal, action, resource);");
    // at a start it is named as well, and what can be done is another thing
    let text = format!(r#"{{"upsert":{}}}"#, user("c"));
    let edit = Edit::from_value(Value::parse(text.as_bytes()).unwrap(), "store").unwrap();
    let restored = |take: &mut dyn FnMut(Told<'_>)| -> Result<(), ()> {
        take(Told::Change(edit.clone()));
        Ok(())
    };
    let at_start = on_big_stack(|| base.restored(&|| false, restored)).unwrap().unwrap().unwrap_err();
    let problems = on_big_stack(|| base.rebased(&served, &|| false)).unwrap().unwrap_err();
    assert!(
        problems[0]
            .message
            .starts_with("the entity `User::\"c\"`, which a change of the API brought, does not fit app.cedarschema: "),
        "{problems:?}"
    );
    assert_eq!(problems[0].origin, "changes");
    assert_eq!(at_start[0].message, problems[0].message);
    assert!(at_start[0].help.as_ref().unwrap().starts_with("start with the files as they were"), "{at_start:?}");
    // a deletion of a type that is gone says nothing any more
    let served = changed(r#"[{"delete":"User::\"a\""}]"#);
    let base = of(
        "entity Org; action read appliesTo { principal: [Org], resource: [Org] };".to_owned(),
        "permit (principal, action, resource);",
    );
    assert!(on_big_stack(|| base.rebased(&served, &|| false)).unwrap().is_ok());
}
