//! Transactions: what each change does and refuses, and that what comes out is what building afresh would be.

mod beside;
mod ids;
mod layers;
mod random;
mod rules;

use std::collections::BTreeSet;

use crate::export;
use crate::ids::EntityId;
use crate::model::{Dangling, Diagnostic, Edit, Refused, Revision, Tally, Transaction, Value};
use crate::store::Store;
use crate::tests::support::{build, bundle};
use crate::{Changed, EngineSettings, Snapshot, on_big_stack};

pub(crate) const NEXT: Revision = Revision { incarnation: 1, counter: 2 };

pub(crate) const SCHEMA: &str = r#"
    entity Role enum ["admin", "guest"];
    entity Org in [Org] = { owner?: User };
    entity Group in [Org];
    entity User in [Group, Org, Role] = { org: Org, friends: Set<User>, at?: { place: Org, note: String } } tags User;
    action read appliesTo { principal: [User], resource: [Org], context: { level?: Long } };
"#;

pub(crate) const POLICIES: &str = r#"
    @id("members") permit (principal, action, resource) when { principal in resource };
    @id("owners") permit (principal, action, resource) when { resource has owner && resource.owner == principal };
    @id("granted") permit (principal in ?principal, action, resource in ?resource);
"#;

/// An organisation `o` with another below it, `p`; a group `g`, and users `a` and `b` who know each other.
pub(crate) fn entities() -> String {
    let (org, group) = (r#"{"type":"Org","id":"o"}"#, r#"{"type":"Group","id":"g"}"#);
    let uid = |id: &str| format!(r#"{{"__entity":{{"type":"User","id":"{id}"}}}}"#);
    let (a, b) = (uid("a"), uid("b"));
    format!(
        r#"{{"uid":{org},"attrs":{{"owner":{a}}},"parents":[]}}
{{"uid":{{"type":"Org","id":"p"}},"attrs":{{}},"parents":[{org}]}}
{{"uid":{group},"attrs":{{}},"parents":[{org}]}}
{{"uid":{{"type":"User","id":"a"}},"attrs":{{"org":{org},"friends":[{a},{b}]}},"parents":[{group},{{"type":"Role","id":"admin"}}],"tags":{{"boss":{b}}}}}
{{"uid":{{"type":"User","id":"b"}},"attrs":{{"org":{org},"friends":[{a}],"at":{{"place":{org},"note":"x"}}}},"parents":[{group}]}}"#
    )
}

/// Everything above, with one link of the template for the group at `p`.
pub(crate) fn start() -> Snapshot {
    let mut bundle = bundle(POLICIES, Some(SCHEMA), &entities());
    bundle.policies[0].naming = crate::model::PolicyNaming::Stem("base".to_owned());
    let slots = [("?principal", "Group::\"g\""), ("?resource", "Org::\"p\"")];
    let args = slots.map(|(slot, uid)| (slot.to_owned(), uid.to_owned())).to_vec();
    bundle.links.push(crate::model::Link {
        template_id: "granted".to_owned(),
        link_id: "grant".to_owned(),
        args,
        // a file may begin with a slash, as the place of a change does
        written: Some(crate::model::Written::new("/changes/bundle/a.links.yaml", Some(3))),
    });
    build(bundle, &EngineSettings::default()).expect("it loads").compiled
}

pub(crate) fn edits(text: &str) -> Vec<Edit> {
    let value = Value::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let Value::Array(changes) = value else { panic!("an array of changes: {text}") };
    let read = |(i, value)| Edit::from_value(value, &format!("/changes/{i}")).unwrap_or_else(|error| panic!("{error}"));
    changes.into_iter().enumerate().map(read).collect()
}

pub(crate) fn transact(state: &Snapshot, text: &str, dangling: Dangling) -> Result<Changed, Refused> {
    let transaction = Transaction { edits: edits(text), dangling };
    on_big_stack(|| state.transact(&transaction, NEXT, &|| false)).unwrap()
}

/// What is stored, in a form that does not depend on the order of the store.
pub(crate) fn stored(state: &Snapshot) -> BTreeSet<String> {
    let of = |id| Some(format!("{} {}", export::uid_of(&state.store, id), export::canonical_entity(&state.store, id)?));
    state.store.ids().filter(|id| !state.store.record(*id).unwrap().is_schema_action()).filter_map(of).collect()
}

/// Who refers to whom, as the store knows it and as its records say.
pub(crate) fn check_referrers(store: &Store) {
    for target in store.ids() {
        let refers = |id: &EntityId| {
            store.entity(*id).is_some_and(|entity| {
                let mut found = entity.parents().any(|parent| parent == target);
                let mut look = |id: EntityId| found |= id == target;
                crate::value::Val::Record(entity.attributes()).entities(&mut look);
                (0..entity.tag_count()).for_each(|i| entity.tag_at(i).1.entities(&mut look));
                found
            })
        };
        let expected: Vec<EntityId> = store.ids().filter(refers).collect();
        let mut expected = expected;
        expected.sort_unstable();
        let known: Vec<EntityId> = store.referrers(target).collect();
        assert_eq!(known, expected, "who refers to {}", export::uid_of(store, target));
    }
}

fn shown(problems: &[Diagnostic]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.origin, problem.message)).collect()
}

const A: &str = r#"{"type":"User","id":"a"}"#;
const B: &str = r#"{"type":"User","id":"b"}"#;

/// A user of `o` without anything else.
fn user(id: &str) -> String {
    format!(
        r#"{{"uid":{{"type":"User","id":"{id}"}},"attrs":{{"org":{{"type":"Org","id":"o"}},"friends":[]}},"parents":[]}}"#
    )
}

#[test]
fn what_changes_nothing_for_its_name_is_said() {
    let start = start();
    for (text, expected) in [
        (
            r#"[{"delete_policy":"ownr"}]"#,
            vec!["/changes/0/delete_policy: there is no policy `ownr`, so this changed nothing"],
        ),
        (
            r#"[{"revert_policy":"grantd"}]"#,
            vec!["there is no policy `grantd`, so this changed nothing; did you mean `granted`?"],
        ),
        (
            r#"[{"delete_link":"grnt"}]"#,
            vec!["there is no link `grnt`, so this changed nothing; did you mean `grant`?"],
        ),
        (r#"[{"revert_link":"zzz"}]"#, vec!["/changes/0/revert_link: there is no link `zzz`, so this changed nothing"]),
        (
            r#"[{"delete":"User::\"zz\""}]"#,
            vec!["/changes/0/delete: `User::\"zz\"` is not stored, so this changed nothing"],
        ),
        (
            r#"[{"delete":"User::\"zz\""},{"delete_subtree":"User::\"yy\""},{"delete_policy":"a"},{"delete_policy":"b"}]"#,
            vec![
                "there is no policy `a`",
                "there is no policy `b`",
                "`User::\"zz\"` is not stored, so this changed nothing, and neither did 1 more change",
            ],
        ),
        (
            r#"[{"update":{"uid":"User::\"a\"","remove_parents":["Org::\"zz\""]}}]"#,
            vec![
                "/changes/0/update/remove_parents/0: `User::\"a\"` has no parent `Org::\"zz\"`, so removing it changed nothing",
            ],
        ),
        // the id is that of one of the other kind
        (r#"[{"revert_policy":"grant"}]"#, vec!["there is no policy `grant`, so this changed nothing"]),
        (r#"[{"revert_link":"granted"}]"#, vec!["there is no link `granted`, so this changed nothing"]),
        // what was there, and what the same transaction brings
        (r#"[{"delete_link":"grant"}]"#, vec![]),
        (
            r#"[{"put_policy":{"id":"n","text":"permit(principal, action, resource) when { true };"}},{"delete_policy":"n"}]"#,
            vec![],
        ),
        (
            r#"[{"revert_policy":"granted"},{"revert_link":"grant"}]"#,
            vec![
                "/changes/0/revert_policy: no change was made to the policy `granted`, so reverting it changed nothing",
                "/changes/1/revert_link: no change was made to the link `grant`",
            ],
        ),
        (
            r#"[{"revert":"User::\"zz\""}]"#,
            vec!["/changes/0/revert: `User::\"zz\"` is not stored, so this changed nothing"],
        ),
        (
            r#"[{"revert":"User::\"a\""}]"#,
            vec!["/changes/0/revert: no change was made to `User::\"a\"`, so reverting it changed nothing"],
        ),
        (r#"[{"update":{"uid":"User::\"a\""}}]"#, vec!["/changes/0/update: the update of `User::\"a\"` says nothing"]),
        (
            r#"[{"update":{"uid":"User::\"a\"","unset":["at"]}},{"delete":"User::\"a\""},{"revert":"User::\"a\""}]"#,
            vec!["/changes/0/update/unset/0: `User::\"a\"` has no attribute `at`"],
        ),
        (r#"[{"delete_policy":"granted"},{"revert_policy":"granted"}]"#, vec![]),
    ] {
        let changed = transact(&start, text, Dangling::Keep).unwrap();
        let found = shown(&changed.warnings);
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        // what only says that nothing changed is nothing to publish
        let is_idle = !text.contains("put_policy")
            && !text.contains("unset")
            && found.iter().any(|it| it.contains("reverting it"));
        assert!(!(is_idle && changed.changed), "{text}");
        assert!(found.iter().zip(&expected).all(|(found, expected)| found.contains(expected)), "{text}: {found:?}");
    }
    // a type that the schema does not have is a fault, as that of what is added is
    let text = r#"[{"update":{"uid":"User::\"a\"","remove_parents":["Ogr::\"zz\""]}}]"#;
    let refused = format!("{:?}", transact(&start, text, Dangling::Keep).unwrap_err());
    assert!(refused.contains("/changes/0/update/remove_parents/0") && refused.contains("`Ogr`"), "{refused}");
}

#[test]
fn what_is_wrong_with_entities_hides_nothing_of_policies() {
    let start = start();
    let text = r#"[{"upsert":{"uid":{"type":"Usr","id":"x"},"attrs":{},"parents":[]}},
        {"put_policy":{"id":"n","text":"permit(principal, action == Action::\"zz\", resource);"}},
        {"put_link":{"link_id":"l","template_id":"nope","args":{}}}]"#;
    match transact(&start, text, Dangling::Refuse) {
        Err(Refused::Invalid(found)) => {
            let places: BTreeSet<&str> = found.iter().map(|it| it.origin.split('/').nth(2).unwrap_or("")).collect();
            assert_eq!(places, BTreeSet::from(["0", "1", "2"]), "{:?}", shown(&found));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_change_does_what_it_says_and_counts_it() {
    let start = start();
    let tally = |upserted, deleted, policies, links_added, links_removed| Tally {
        upserted,
        deleted,
        policies,
        links_added,
        links_removed,
    };
    let text = r#""text":"permit (principal, action, resource) when { context has level };""#;
    let link =
        r#"{"link_id":"l2","template_id":"granted","args":{"?principal":"User::\"a\"","?resource":"Org::\"o\""}}"#;
    for (text, expected, changed) in [
        ("[]".to_owned(), tally(0, 0, 0, 0, 0), false),
        (format!(r#"[{{"upsert":{}}}]"#, user("c")), tally(1, 0, 0, 0, 0), true),
        (format!(r#"[{{"upsert":{0}}},{{"upsert":{0}}}]"#, user("c")), tally(1, 0, 0, 0, 0), true),
        (format!(r#"[{{"upsert":{}}},{{"delete":"User::\"c\""}}]"#, user("c")), tally(0, 0, 0, 0, 0), false),
        (r#"[{"delete":"User::\"nowhere\""}]"#.to_owned(), tally(0, 0, 0, 0, 0), false),
        (format!(r#"[{{"update":{{"uid":{B},"unset":["at"]}}}}]"#), tally(1, 0, 0, 0, 0), true),
        (format!(r#"[{{"update":{{"uid":{A},"untag":["none"]}}}},{{"revert":{A}}}]"#), tally(0, 0, 0, 0, 0), false),
        // an update that changes nothing leaves the entity to the base; an upsert takes it over
        (format!(r#"[{{"update":{{"uid":{A}}}}}]"#), tally(0, 0, 0, 0, 0), false),
        (
            format!(r#"[{{"update":{{"uid":{A},"attrs":{{"org":{{"__entity":{{"type":"Org","id":"o"}}}}}}}}}}]"#),
            tally(0, 0, 0, 0, 0),
            false,
        ),
        (format!(r#"[{{"put_policy":{{"id":"new",{text}}}}}]"#), tally(0, 0, 1, 0, 0), true),
        (format!(r#"[{{"put_policy":{{"id":"members",{text}}}}}]"#), tally(0, 0, 1, 0, 0), true),
        (r#"[{"delete_policy":"owners"},{"delete_policy":"nothing"}]"#.to_owned(), tally(0, 0, 1, 0, 0), true),
        (format!(r#"[{{"put_link":{link}}}]"#), tally(0, 0, 0, 1, 0), true),
        (r#"[{"delete_link":"grant"}]"#.to_owned(), tally(0, 0, 0, 0, 1), true),
        (r#"[{"delete_link":"grant"},{"delete_policy":"granted"}]"#.to_owned(), tally(0, 0, 1, 0, 1), true),
        (r#"[{"delete_link":"grant"},{"revert_link":"grant"}]"#.to_owned(), tally(0, 0, 0, 0, 0), false),
    ] {
        let done = transact(&start, &text, Dangling::Refuse).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        assert_eq!((done.tally, done.changed), (expected, changed), "{text}");
        check_referrers(&done.snapshot.store);
    }
}

#[test]
fn an_update_changes_parts_and_leaves_the_rest() {
    let start = start();
    for (update, has, lacks) in [
        (r#""attrs":{"at":{"place":{"type":"Org","id":"p"},"note":"y"}}"#, r#""note":"y""#, "\"x\""),
        (r#""unset":["at"]"#, "User::\"b\"", "\"at\""),
        (r#""tags":{"t":{"type":"User","id":"a"}}"#, r#"{"t": "#, "never"),
        (r#""add_parents":["Org::\"p\""],"remove_parents":["Group::\"g\""]"#, r#"Org::\"p\""#, "Group"),
        (r#""add_parents":["Group::\"g\""],"remove_parents":["Org::\"p\""]"#, r#"Group::\"g\""#, "Org::\\\"p"),
    ] {
        let text = format!(r#"[{{"update":{{"uid":{B},{update}}}}}]"#);
        let done = transact(&start, &text, Dangling::Refuse).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        let found = stored(&done.snapshot);
        let b = found.iter().find(|text| text.starts_with("User::\"b\"")).unwrap();
        assert!(b.contains(has) && !b.contains(lacks) && b.contains("friends"), "{update}: {b}");
        check_referrers(&done.snapshot.store);
    }
}

#[test]
fn what_cannot_be_is_refused_at_its_place_and_all_at_once() {
    let start = start();
    let permit = r#""text":"permit (principal, action, resource);""#;
    for (text, expected) in [
        (
            format!(r#"[{{"upsert":{}}},{{"upsert":{}}}]"#, user("c").replace("friends", "frends"), user("d").replace("\"Org\"", "\"Orgg\"")),
            vec!["/changes/0/upsert/attrs/frends: entity `User::\"c\"`", "/changes/1/upsert/attrs/org"],
        ),
        (r#"[{"update":{"uid":"User::\"nowhere\"","unset":["at"]}}]"#.to_owned(), vec!["/changes/0/update/uid: there is no entity `User::\"nowhere\"` to update"]),
        (format!(r#"[{{"update":{{"uid":{A},"attrs":{{"friends":1}}}}}}]"#), vec!["/changes/0/update/attrs/friends"]),
        (format!(r#"[{{"update":{{"uid":{A},"unset":["org"]}}}}]"#), vec!["/changes/0/update/unset/0: `org` is a required attribute"]),
        (format!(r#"[{{"update":{{"uid":{A},"unset":["frinds"]}}}}]"#), vec!["/changes/0/update/unset/0: `User` has no attribute `frinds`; did you mean `friends`?"]),
        (format!(r#"[{{"update":{{"uid":{A},"add_parents":["User::\"b\""]}}}}]"#), vec!["/changes/0/update/add_parents"]),
        (r#"[{"delete":"Usr::\"a\""}]"#.to_owned(), vec!["/changes/0/delete: the schema declares no entity type `Usr`; did you mean `User`?"]),
        (r#"[{"delete":"Action::\"read\""}]"#.to_owned(), vec!["/changes/0/delete: actions come from the schema"]),
        (r#"[{"update":{"uid":"Org::\"o\"","add_parents":["Org::\"p\""]}}]"#.to_owned(), vec!["/changes/0/update: entities are their own ancestors"]),
        (format!(r#"[{{"put_policy":{{"id":"grant",{permit}}}}},{{"delete_link":"members"}}]"#), vec!["/changes/0/put_policy: `grant` is a link", "/changes/1/delete_link: `members` is a policy"]),
        (r#"[{"put_policy":{"id":"x","text":"permit (principal, action, resource) when { principal.nme };"}}]"#.to_owned(), vec!["/changes/0/put_policy/text: "]),
        (r#"[{"put_policy":{"id":"x","text":"permit (principal, action, resource)"}}]"#.to_owned(), vec!["/changes/0/put_policy/text: "]),
        (r#"[{"put_policy":{"id":"x","text":""}}]"#.to_owned(), vec!["/changes/0/put_policy/text: `x` must be exactly one policy, and there is none in this text"]),
        (r#"[{"put_link":{"link_id":"x","template_id":"grnted","args":{}}}]"#.to_owned(), vec!["/changes/0/put_link/template_id: there is no template `grnted` to link; did you mean `granted`?"]),
        (r#"[{"put_link":{"link_id":"x","template_id":"granted","args":{"?principal":"User::\"a\""}}}]"#.to_owned(), vec!["/changes/0/put_link/args: the link lacks `?resource`"]),
        (r#"[{"put_link":{"link_id":"members","template_id":"granted","args":{"?principal":"User::\"a\"","?resource":"Org::\"o\""}}}]"#.to_owned(), vec!["/changes/0/put_link/link_id: a policy with the id `members` ("]),
        // at the member of the change, and never at the template's line
        (r#"[{"put_link":{"link_id":"x","template_id":"granted","args":{"?principal":"Usr::\"a\"","?resource":"Orgg::\"o\""}}}]"#.to_owned(), vec!["/changes/0/put_link/args/?principal: the schema declares no entity type `Usr`", "/changes/0/put_link/args/?resource: the schema declares no entity type `Orgg`"]),
        (r#"[{"put_link":{"link_id":"x","template_id":"members","args":{}}}]"#.to_owned(), vec!["/changes/0/put_link/template_id: `members` is a policy"]),
        (r#"[{"put_link":{"link_id":"x","template_id":"granted","args":{"?principal":"Org::\"o\"","?resource":"User::\"a\""}}}]"#.to_owned(), vec!["/changes/0/put_link: for policy `x`, unable to find an applicable action"]),
        (format!(r#"[{{"put_policy":{{"id":"granted",{}}}}}]"#, r#""text":"permit (principal == ?principal, action, resource == ?resource) when { principal.nme };""#), vec!["/changes/0/put_policy/text: for policy `granted`, attribute `nme`", "/changes/0/put_policy: for policy `grant`, unable to find"]),
        (format!(r#"[{{"update":{{"uid":{A},"add_parents":["Org::\"p\"","User::\"b\""]}}}}]"#), vec!["/changes/0/update/add_parents/1: `add_parents[1]`: the schema lets no `User` be in a `User`"]),
        // a link of a file does not fit any more
        (format!(r#"[{{"put_policy":{{"id":"granted",{}}}}}]"#, r#""text":"permit (principal == ?principal, action, resource);""#), vec!["/changes/0/put_policy: the template `granted` has no slot `?resource` (it stands in /changes/bundle/a.links.yaml:3)"]),
        // a problem hides no other one of the same entity
        (
            format!(r#"[{{"update":{{"uid":{A},"attrs":{{"friends":1,"foo":2}},"unset":["org","frinds"],"add_parents":["User::\"b\""]}}}},{{"upsert":{{"uid":{{"type":"User","id":"c"}},"attrs":{{"friends":1}},"parents":1}}}}]"#),
            vec![
                "/changes/0/update/unset/0: `org` is a required attribute",
                "/changes/0/update/unset/1: `User` has no attribute `frinds`",
                "/changes/0/update/attrs/friends: `attrs.friends`: expected a set",
                "/changes/0/update/attrs/foo: `attrs.foo`: the schema declares no `foo`",
                "/changes/0/update/add_parents/0: `add_parents[0]`: the schema lets no `User` be in a `User`",
                "/changes/1/upsert/parents: entity `User::\"c\"`: `parents`: expected a list",
                "/changes/1/upsert/attrs/friends: entity `User::\"c\"`: `attrs.friends`: expected a set",
                "/changes/1/upsert/attrs: entity `User::\"c\"`: `attrs`: `org` is missing",
            ],
        ),
    ] {
        let refused = transact(&start, &text, Dangling::Refuse).expect_err(&text);
        let Refused::Invalid(problems) = refused else { panic!("{text}: {refused:?}") };
        let found = shown(&problems);
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{text}: {found}");
        }
    }
    let many: Vec<String> = (0..150).map(|_| r#"{"delete":"Usr::\"a\""}"#.to_owned()).collect();
    let refused = transact(&start, &format!("[{}]", many.join(",")), Dangling::Refuse).unwrap_err();
    assert_eq!(refused.problems().len(), 101);
    assert_eq!(refused.problems()[100].message, "and 50 more problems");
}

#[test]
fn expectations_are_of_what_was_stored_before() {
    let start = start();
    let a =
        start.entities().find(|entity| entity.get("uid").unwrap().get("id").unwrap().as_str() == Some("a")).unwrap();
    let a = a.to_json().to_string();
    for (text, met) in [
        (format!(r#"[{{"expect":{{"uid":{A},"equals":{a}}}}},{{"update":{{"uid":{A},"untag":["boss"]}}}}]"#), true),
        // it is not what the change before makes of it
        (format!(r#"[{{"update":{{"uid":{A},"untag":["boss"]}}}},{{"expect":{{"uid":{A},"equals":{a}}}}}]"#), true),
        (format!(r#"[{{"expect":{{"uid":{A},"equals":null}}}}]"#), false),
        (r#"[{"expect":{"uid":"User::\"c\"","equals":null}}]"#.to_owned(), true),
        (format!(r#"[{{"expect":{{"uid":"User::\"c\"","equals":{}}}}}]"#, user("c")), false),
        (format!(r#"[{{"expect":{{"uid":{A},"equals":{}}}}}]"#, user("a")), false),
    ] {
        match transact(&start, &text, Dangling::Refuse) {
            Ok(_) => assert!(met, "{text}"),
            Err(Refused::Unmet(found)) => {
                assert!(!met && found[0].origin == "/changes/0/expect", "{text}: {found:?}");
            }
            Err(other) => panic!("{text}: {other:?}"),
        }
    }
    let other = format!(r#"[{{"expect":{{"uid":{A},"equals":{}}}}}]"#, user("b"));
    let refused = transact(&start, &other, Dangling::Refuse).unwrap_err();
    assert_eq!(shown(refused.problems()), ["/changes/0/expect/equals/uid: `equals` is not the entity `User::\"a\"`"]);
}

#[test]
fn references_at_what_is_deleted_are_dealt_with_as_asked() {
    let start = start();
    for (text, dangling, expected) in [
        // a friend, a tag; `a` keeps both of them where they stay
        (
            r#"[{"delete":"User::\"b\""}]"#,
            Dangling::Refuse,
            Err(vec!["`User::\"a\"` refers to `User::\"b\"` in `attrs.friends`"]),
        ),
        (r#"[{"delete":"User::\"b\""}]"#, Dangling::Unlink, Ok(("Group::\"g\" Org::\"o\" Org::\"p\" User::\"a\"", 0))),
        (r#"[{"delete":"User::\"b\""}]"#, Dangling::Keep, Ok(("Group::\"g\" Org::\"o\" Org::\"p\" User::\"a\"", 1))),
        // a parent of users, and an argument of a link
        (
            r#"[{"delete":"Group::\"g\""}]"#,
            Dangling::Refuse,
            Err(vec![
                "`User::\"a\"` refers to `Group::\"g\"` in `parents`",
                "`User::\"b\"` refers to",
                "the link `grant` names `Group::\"g\"`",
            ]),
        ),
        (r#"[{"delete":"Group::\"g\""}]"#, Dangling::Cascade, Ok(("Org::\"o\" Org::\"p\" User::\"a\" User::\"b\"", 0))),
        // a required attribute
        (
            r#"[{"delete":"Org::\"o\""}]"#,
            Dangling::Unlink,
            Err(vec![
                "`User::\"a\"` refers to `Org::\"o\"` in `attrs.org`, which is required",
                "`User::\"b\"` refers to",
            ]),
        ),
        (r#"[{"delete":"Org::\"o\""}]"#, Dangling::Cascade, Ok(("Group::\"g\" Org::\"p\"", 0))),
        // everything below goes, and all that knew of it with it
        (
            r#"[{"delete_subtree":"Org::\"o\""}]"#,
            Dangling::Refuse,
            Err(vec!["the link `grant` names", "the link `grant` names"]),
        ),
        (r#"[{"delete_subtree":"Org::\"o\""}]"#, Dangling::Unlink, Ok(("", 0))),
        (r#"[{"delete_subtree":"Org::\"o\""},{"delete_link":"grant"}]"#, Dangling::Refuse, Ok(("", 0))),
        (
            r#"[{"delete_subtree":"Group::\"g\""},{"update":{"uid":"Org::\"o\"","unset":["owner"]}},{"delete_link":"grant"}]"#,
            Dangling::Refuse,
            Ok(("Org::\"o\" Org::\"p\"", 0)),
        ),
        // what is there again at the end was not deleted
        (
            r#"[{"delete":"Org::\"p\""},{"revert":"Org::\"p\""}]"#,
            Dangling::Refuse,
            Ok(("Group::\"g\" Org::\"o\" Org::\"p\" User::\"a\" User::\"b\"", 0)),
        ),
        // a link of the same transaction
        (
            r#"[{"delete":"Org::\"p\""},{"put_link":{"link_id":"grant","template_id":"granted","args":{"?principal":"Group::\"g\"","?resource":"Org::\"p\""}}}]"#,
            Dangling::Unlink,
            Err(vec!["the link `grant` of the same transaction names `Org::\"p\"`"]),
        ),
    ] {
        match (transact(&start, text, dangling), expected) {
            (Ok(done), Ok((left, dangle))) => {
                let found: Vec<String> =
                    stored(&done.snapshot).iter().map(|text| text.split(" [").next().unwrap().to_owned()).collect();
                assert_eq!(found.join(" "), left, "{text} {dangling:?}");
                let leads_nowhere = |id: &EntityId| {
                    let is_enum = export::uid_of(&done.snapshot.store, *id).type_name == "Role";
                    !is_enum
                        && done.snapshot.store.entity(*id).is_none()
                        && done.snapshot.store.referrers(*id).next().is_some()
                };
                assert_eq!(done.snapshot.store.ids().filter(leads_nowhere).count(), dangle, "{text} {dangling:?}");
                check_referrers(&done.snapshot.store);
            }
            (Err(Refused::Dangling(found, count)), Err(expected)) => {
                assert_eq!((found.len(), count), (expected.len(), expected.len()), "{text}: {:?}", shown(&found));
                for (found, expected) in found.iter().zip(expected) {
                    assert!(found.message.starts_with(expected), "{text}: {}", found.message);
                    assert!(found.origin.starts_with("/changes/0/delete"), "{text}: {}", found.origin);
                }
            }
            (found, expected) => panic!("{text} {dangling:?}: {found:?}, expected {expected:?}"),
        }
    }
    // a template that links need stays, and is not made a policy
    let refused = transact(&start, r#"[{"delete_policy":"granted"}]"#, Dangling::Cascade).unwrap_err();
    assert!(
        matches!(&refused, Refused::InUse(found) if found[0].message == "`grant` needs the template `granted`"),
        "{refused:?}"
    );
}

#[test]
fn what_is_not_wanted_any_more_is_given_up_and_bounds_hold() {
    let start = start();
    let transaction = Transaction { edits: edits(r#"[{"delete":"User::\"b\""}]"#), dangling: Dangling::Keep };
    assert!(matches!(start.transact(&transaction, NEXT, &|| true), Err(Refused::GivenUp)));
    let mut settings = EngineSettings::default();
    settings.limits.max_changes = 2;
    let mut small = bundle(POLICIES, Some(SCHEMA), &entities());
    small.policies[0].naming = crate::model::PolicyNaming::Stem("base".to_owned());
    let small = build(small, &settings).unwrap().compiled;
    let three = format!(r#"[{{"upsert":{}}},{{"upsert":{}}},{{"upsert":{}}}]"#, user("c"), user("d"), user("e"));
    for (text, dangling, expected) in [
        (three.as_str(), Dangling::Keep, "3 changes, more than 2"),
        (r#"[{"delete_subtree":"Org::\"o\""}]"#, Dangling::Keep, "the transaction changes more than 2 entities"),
        (r#"[{"delete":"Org::\"o\""}]"#, Dangling::Cascade, "the transaction changes more than 2 entities"),
    ] {
        let refused = transact(&small, text, dangling).unwrap_err();
        assert!(refused.problems()[0].message.starts_with(expected), "{refused:?}");
    }
}

#[test]
fn large_entities_are_not_written_again_without_end() {
    let friends: Vec<String> =
        (0..20_000).map(|n| format!(r#"{{"__entity":{{"type":"User","id":"f{n}"}}}}"#)).collect();
    let large = format!(
        r#"{{"upsert":{{"uid":{{"type":"User","id":"large"}},"attrs":{{"org":{{"type":"Org","id":"o"}},"friends":[{}]}},"parents":[]}}}}"#,
        friends.join(",")
    );
    let update = r#"{"update":{"uid":"User::\"large\"","tags":{"boss":{"type":"User","id":"a"}}}}"#;
    let start = transact(&start(), &format!("[{large}]"), Dangling::Keep).unwrap().snapshot;
    let times = |n: usize| transact(&start, &format!("[{}]", vec![update; n].join(",")), Dangling::Keep);
    assert!(times(3).is_ok());
    let refused = times(200).unwrap_err();
    assert!(refused.problems()[0].message.contains("put all that concerns one entity into one change"), "{refused:?}");
}

#[test]
fn an_expectation_of_a_type_that_is_not_declared_is_refused() {
    for (uid, fine) in [("User::\\\"new\\\"", true), ("Usr::\\\"new\\\"", false), ("Action::\\\"read\\\"", false)] {
        let text = format!(r#"[{{"expect":{{"uid":"{uid}","equals":null}}}}]"#);
        match transact(&start(), &text, Dangling::Keep) {
            Ok(_) => assert!(fine, "{uid}"),
            Err(Refused::Invalid(problems)) => {
                assert!(!fine, "{uid}: {problems:?}");
                assert_eq!(problems[0].origin, "/changes/0/expect/uid");
            }
            Err(other) => panic!("{uid}: {other:?}"),
        }
    }
}
