//! Links that data make: what declarations may say, what they make, and what changes of either may do.

mod beside;
mod random;

use crate::model::{
    AccessRequest, Bundle, Dangling, Diagnostic, Document, ForEach, LinkDeclaration, PolicyNaming, PolicyText, Refused,
    Revision, SchemaText, Value,
};
use crate::tests::changes::transact;
use crate::tests::support::{NOW, build};
use crate::{EngineSettings, Snapshot, check, on_big_stack};

const SCHEMA: &str = r#"
    entity Kind enum ["a", "b"];
    entity Role { permissions: Set<String>, note?: String };
    entity Org in [Org] { closed?: Bool, kind?: Kind };
    entity Group in [Org] { extra?: String, home?: Org };
    entity User in [Group] { level: Long };
    entity Grant { group?: Group, role: Role, where: Org, active?: Bool, many?: Set<Role>, at?: { role: Role } };
    entity Chain { grant?: Grant };
    entity Deep { next?: Deep, grant?: Grant };
    action read, write appliesTo { principal: [User], resource: [Org] };
    action own appliesTo { principal: [Org], resource: [Org] };
"#;

const POLICIES: &str = r#"
    @id("read") permit (principal in ?principal, action == Action::"read", resource in ?resource);
    @id("write") permit (principal in ?principal, action == Action::"write", resource in ?resource)
        when { principal.level > 9223372036854775806 + principal.level };
    @id("closed") forbid (principal, action, resource in ?resource);
    @id("static") permit (principal, action == Action::"own", resource);
    @id("at@x") permit (principal in ?principal, action == Action::"read", resource in ?resource);
"#;

const GRANTS: &str =
    r#"{"each":"Grant","when":"active","template":"role.permissions","principal":"group","resource":"where"}"#;

fn bundle_of(policies: &str, links: &[&str], entities: &str) -> Bundle {
    let read = |text: &&str| LinkDeclaration::from_value(Value::parse(text.as_bytes()).unwrap(), "").unwrap();
    Bundle {
        policies: vec![PolicyText {
            origin: "base.cedar".to_owned(),
            text: policies.to_owned(),
            naming: PolicyNaming::Stem("base".to_owned()),
        }],
        schema: Some(SchemaText { fragments: vec![("schema".to_owned(), SCHEMA.to_owned())] }),
        entities: vec![Document::held("entities", entities)],
        for_each: ForEach { links: links.iter().map(read).collect(), rules: Vec::new() },
        ..Bundle::default()
    }
}

fn entity(ty: &str, id: &str, attrs: &str) -> String {
    format!(r#"{{"uid":{{"type":"{ty}","id":"{id}"}},"attrs":{{{attrs}}},"parents":[]}}"#)
}

fn to(name: &str, ty: &str, id: &str) -> String {
    format!(r#""{name}":{{"type":"{ty}","id":"{id}"}}"#)
}

fn grant(id: &str, role: &str, active: &str) -> String {
    let attrs = [to("group", "Group", "g"), to("role", "Role", role), to("where", "Org", "o"), active.to_owned()];
    entity("Grant", id, &attrs.iter().filter(|it| !it.is_empty()).cloned().collect::<Vec<_>>().join(","))
}

/// A user of a group, an organisation, a role that reads, and a grant of it.
fn world() -> String {
    let user =
        r#"{"uid":{"type":"User","id":"u"},"attrs":{"level":1},"parents":[{"type":"Group","id":"g"}]}"#.to_owned();
    let all = [
        user,
        entity("Group", "g", ""),
        entity("Org", "o", ""),
        entity("Role", "r", r#""permissions":["read"]"#),
        grant("a", "r", r#""active":true"#),
        grant("b", "r", ""),
        entity("Chain", "c", &to("grant", "Grant", "a")),
    ];
    all.join("\n")
}

fn load(policies: &str, links: &[&str], entities: &str) -> Result<(Snapshot, Vec<Diagnostic>), Vec<Diagnostic>> {
    let bundle = bundle_of(policies, links, entities).into();
    let revision = Revision { incarnation: 1, counter: 1 };
    on_big_stack(|| Snapshot::build(bundle, &EngineSettings::default(), revision)).unwrap()
}

fn start(links: &[&str]) -> Snapshot {
    build(bundle_of(POLICIES, links, &world()), &EngineSettings::default()).expect("it loads").compiled
}

fn ids(state: &Snapshot) -> Vec<String> {
    state.links().into_iter().map(|listed| listed.link.link_id.clone()).collect()
}

fn shown(problems: &[Diagnostic]) -> String {
    problems.iter().map(|it| format!("{}: {}", it.origin, it.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn data_make_links() {
    for (links, expected) in [
        (&[GRANTS][..], &["read@Grant::\"a\""][..]),
        (&[r#"{"each":"Org","template":"closed","resource":"self"}"#], &["closed@Org::\"o\""]),
        // what is absent or not true makes none
        (&[r#"{"each":"Org","template":"closed","resource":"self","when":"closed"}"#], &[]),
        (&[r#"{"each":"Group","template":"extra","principal":"self","resource":"home"}"#], &[]),
        (
            &[
                GRANTS,
                r#"{"each":"Grant","id":"x","template":"role.permissions","principal":"group","resource":"where"}"#,
            ],
            &["read@Grant::\"a\"", "read@x@Grant::\"a\"", "read@x@Grant::\"b\""],
        ),
        (
            &[
                r#"{"each":"Chain","id":"c","template":"grant.role.permissions","principal":"grant.group","resource":"grant.where"}"#,
            ],
            &["read@c@Chain::\"c\""],
        ),
    ] {
        let state = start(links);
        assert_eq!(ids(&state), expected, "{links:?}");
        for listed in state.links() {
            let entity = listed.made_by.unwrap().to_string();
            assert!(listed.link.link_id.ends_with(&entity) && listed.declaration.is_some(), "{entity}");
        }
        assert!(state.texts().links.is_empty() && state.texts().for_each.links.len() == links.len());
        assert!(state.link(expected.first().unwrap_or(&"")).is_none());
    }
}

#[test]
fn declarations_are_checked_against_the_schema() {
    for (links, expected) in [
        (
            &[r#"{"each":"Grnt","template":"read"}"#][..],
            "`each`: the schema declares no entity type `Grnt`; did you mean `Grant`?",
        ),
        (&[r#"{"each":"Kind","template":"read"}"#], "`Kind` is an `enum`"),
        (&[r#"{"each":"Action","template":"read"}"#], "actions come from the schema"),
        (&[r#"{"each":"Grant","template":"raed"}"#], "`raed` is no template; did you mean `read`?"),
        (&[r#"{"each":"Grant","template":"static"}"#], "`static` is no template, but a policy without slots"),
        (
            &[r#"{"each":"Grant","template":"role.permisions"}"#],
            "`Role` has no attribute `permisions`; did you mean `permissions`?",
        ),
        (
            &[r#"{"each":"Grant","template":"where"}"#],
            "`template`: `where` is an entity of the type `Org`, not a String",
        ),
        (
            &[r#"{"each":"Grant","template":"many.permissions"}"#],
            "`many` of `Grant` is a Set<Role>; a path leads through",
        ),
        (&[r#"{"each":"Grant","template":"at.role.permissions"}"#], "`at` of `Grant` is a record; a path leads"),
        (
            &[r#"{"each":"Grant","when":"role","template":"read"}"#],
            "`when`: `role` is an entity of the type `Role`, not a Bool",
        ),
        (
            &[r#"{"each":"Grant","template":"read","principal":"role.note"}"#],
            "`principal`: `role.note` is a String, not an entity",
        ),
        (
            &[r#"{"each":"Grant","template":"read","principal":"grup"}"#],
            "`Grant` has no attribute `grup`; did you mean `group`?",
        ),
        (&[r#"{"each":"Deep","when":"next.next.next.next.next","template":"read"}"#], "has 5 steps, more than 4"),
        (
            &[r#"{"each":"Grant","template":"read","principal":"group"}"#],
            "the link lacks `?resource` of the template `read`",
        ),
        (
            &[r#"{"each":"Org","template":"closed","principal":"self","resource":"self"}"#],
            "the template `closed` has no slot `?principal`",
        ),
        (&[GRANTS, GRANTS], "could make links of the same ids as the declaration at"),
        (
            &[GRANTS, r#"{"each":"Grant","template":"read","principal":"group","resource":"where"}"#],
            "could make links of the same ids",
        ),
        (
            &[
                r#"{"each":"Grant","id":"x","template":"role.permissions","principal":"group","resource":"where"}"#,
                r#"{"each":"Grant","template":"read@x","principal":"group","resource":"where"}"#,
            ],
            "could make links of the same ids",
        ),
        // no entity makes it yet
        (&[r#"{"each":"Deep","template":"read","principal":"self","resource":"self"}"#], "Deep"),
    ] {
        let problems = load(POLICIES, links, &world()).map(|_| ()).unwrap_err();
        assert!(shown(&problems).contains(expected), "{links:?}: {}", shown(&problems));
        let verdict = on_big_stack(|| {
            let bundle = bundle_of(POLICIES, links, &world()).into();
            check(&bundle, &EngineSettings::default().limits, crate::Semantics::Strict, &|| false)
        });
        assert!(shown(&verdict.unwrap().errors).contains(expected), "{links:?}");
    }
    // fixed templates of one type that differ are two
    start(&[
        r#"{"each":"Grant","template":"read","principal":"group","resource":"where"}"#,
        r#"{"each":"Grant","template":"write","principal":"group","resource":"where"}"#,
    ]);
    let mut without = bundle_of(POLICIES, &[GRANTS], "[]");
    without.schema = None;
    let settings = EngineSettings { validation: crate::Validation::Off, ..EngineSettings::default() };
    let revision = Revision { incarnation: 1, counter: 1 };
    let built = on_big_stack(|| Snapshot::build(without.into(), &settings, revision)).unwrap();
    assert!(shown(&built.unwrap_err()).contains("links from data need a schema"));
    let ambiguous = r#"@id("role.permissions") permit (principal in ?principal, action, resource);"#;
    let problems = load(ambiguous, &[GRANTS], "[]").map(|_| ()).unwrap_err();
    assert!(shown(&problems).contains("is a path from `Grant` and the id of a template"), "{}", shown(&problems));
}

#[test]
fn data_are_checked_at_load() {
    let role = |permissions: &str| entity("Role", "s", &format!(r#""permissions":[{permissions}]"#));
    let with = |more: &[String]| format!("{}\n{}", world(), more.join("\n"));
    let active = |id: &str| grant(id, "s", r#""active":true"#);
    for (entities, expected) in [
        (with(&[active("x")]), "entities: `Grant::\"x\"` makes links by `Role::\"s\"`, which is not stored"),
        (
            with(&[active("x"), role(r#""raed""#)]),
            "`Grant::\"x\"` names `raed` in `role.permissions`, which is no template; did you mean `read`?",
        ),
        (
            with(&[active("x"), role(r#""at@x""#)]),
            "`at@x` in `role.permissions`: the id of a template that data name cannot",
        ),
        (with(&[active("x"), role(r#""static""#)]), "which is no template, but a policy without slots"),
        (with(&[active("x"), role(r#""closed""#)]), "the template `closed` has no slot `?principal`"),
    ] {
        let problems = load(POLICIES, &[GRANTS], &entities).map(|_| ()).unwrap_err();
        assert!(shown(&problems).contains(expected), "{}", shown(&problems));
    }
    // ids are what they are, without escapes
    let own = format!("{POLICIES} @id(\"o\") permit (principal == ?principal, action == Action::\"own\", resource);");
    let unfit =
        load(&own, &[r#"{"each":"Grant","template":"o","principal":"group"}"#], &world()).map(|_| ()).unwrap_err();
    assert_eq!(unfit[0].policy_id.as_deref(), Some("o@Grant::\"a\""), "{unfit:?}");
    // where there is no link, nothing is named
    load(POLICIES, &[GRANTS], &with(&[grant("x", "s", "")])).unwrap();
    let warn = GRANTS.replace("\"when\"", "\"missing\":\"warn\",\"when\"");
    let (state, warnings) = load(POLICIES, &[&warn], &with(&[active("x"), role(r#""raed","read""#)])).unwrap();
    assert_eq!(ids(&state), ["read@Grant::\"a\"", "read@Grant::\"x\""]);
    assert!(shown(&warnings).contains("names `raed`"), "{}", shown(&warnings));
    // the template comes later
    let put =
        r#"[{"put_policy":{"id":"raed","text":"permit (principal in ?principal, action, resource in ?resource);"}}]"#;
    let changed = transact(&state, put, Dangling::Refuse).unwrap();
    assert_eq!(ids(&changed.snapshot), ["raed@Grant::\"x\"", "read@Grant::\"a\"", "read@Grant::\"x\""]);
    assert_eq!((changed.tally.policies, changed.tally.links_added), (1, 1));
    let refused = transact(&changed.snapshot, r#"[{"delete_policy":"raed"}]"#, Dangling::Refuse).unwrap_err();
    assert!(
        matches!(&refused, Refused::InUse(found) if shown(found).contains("`raed@Grant::\"x\"` needs the template"))
    );
}

#[test]
fn changes_keep_links_true() {
    let state = start(&[GRANTS, r#"{"each":"Org","template":"closed","resource":"self","when":"closed"}"#]);
    // the declaration forbids, whether data make links of it or not
    let closed =
        transact(&state, r#"[{"update":{"uid":"Org::\"o\"","attrs":{"closed":true}}}]"#, Dangling::Refuse).unwrap();
    let counts = [&state, &closed.snapshot].map(|it| (it.written_forbid_count(), it.forbids().len()));
    assert_eq!(counts, [(1, 0), (1, 1)]);
    for (changes, expected, added, removed) in [
        (
            format!(r#"[{{"upsert":{}}}]"#, grant("b", "r", r#""active":true"#)),
            vec!["read@Grant::\"a\"", "read@Grant::\"b\""],
            1,
            0,
        ),
        (r#"[{"update":{"uid":"Grant::\"a\"","unset":["active"]}}]"#.to_owned(), vec![], 0, 1),
        (r#"[{"delete":"Chain::\"c\""},{"delete":"Grant::\"a\""}]"#.to_owned(), vec![], 0, 1),
        (
            r#"[{"update":{"uid":"Role::\"r\"","attrs":{"permissions":["write"]}}}]"#.to_owned(),
            vec!["write@Grant::\"a\""],
            1,
            1,
        ),
        (
            r#"[{"update":{"uid":"Role::\"r\"","attrs":{"permissions":["write","read"]}}}]"#.to_owned(),
            vec!["read@Grant::\"a\"", "write@Grant::\"a\""],
            1,
            0,
        ),
        (
            r#"[{"update":{"uid":"Org::\"o\"","attrs":{"closed":true}}}]"#.to_owned(),
            vec!["closed@Org::\"o\"", "read@Grant::\"a\""],
            1,
            0,
        ),
        (
            r#"[{"update":{"uid":"Grant::\"a\"","attrs":{"group":{"type":"Group","id":"h"}}}}]"#.to_owned(),
            vec!["read@Grant::\"a\""],
            1,
            1,
        ),
    ] {
        let changed =
            transact(&state, &changes, Dangling::Refuse).unwrap_or_else(|refused| panic!("{changes}: {refused:?}"));
        assert_eq!(ids(&changed.snapshot), expected, "{changes}");
        assert_eq!((changed.tally.links_added, changed.tally.links_removed), (added, removed), "{changes}");
        assert!(changed.links.is_empty() && changed.snapshot.overlay().links == 0, "{changes}");
    }
}

#[test]
fn what_changes_brought_one_by_one_fits_their_base_at_once() {
    let warned = GRANTS.replacen('{', r#"{"missing":"warn","#, 1);
    let declared = [&*warned, r#"{"each":"Org","template":"closed","resource":"self","when":"closed"}"#];
    let permissions =
        |list: &str| format!(r#"[{{"update":{{"uid":"Role::\"r\"","attrs":{{"permissions":[{list}]}}}}}}]"#);
    let put = |id: &str| {
        let text = r#"permit (principal, action == Action::\"own\", resource);"#;
        format!(r#"[{{"put_policy":{{"id":{id:?},"text":"{text}"}}}}]"#)
    };
    let inactive = r#"[{"update":{"uid":"Grant::\"a\"","unset":["active"]}}]"#.to_owned();
    let delete = |what: &str, id: &str| format!(r#"[{{"{what}":{id:?}}}]"#);
    let made = "read@Grant::\"a\"";
    let args = r#"{"?principal":"Group::\"g\"","?resource":"Org::\"o\""}"#;
    let link = format!(r#"[{{"put_link":{{"link_id":{made:?},"template_id":"read","args":{args}}}}}]"#);
    let (none, both) = (permissions(""), permissions(r#""read","write""#));
    for (changes, expected) in [
        // an id that data made a link of, and make none of any more
        (vec![inactive.clone(), put(made)], vec![]),
        (vec![inactive, link.clone()], vec![made]),
        (vec![none.clone(), link], vec![made]),
        (vec![delete("delete", "Chain::\"c\""), delete("delete", "Grant::\"a\""), put(made)], vec![]),
        // a template that data named, and name again when it is gone
        (vec![none.clone(), delete("delete_policy", "read"), both.clone()], vec!["write@Grant::\"a\""]),
        // and one that is there again
        (
            vec![
                none.clone(),
                delete("delete_policy", "read"),
                both.clone(),
                r#"[{"put_policy":{"id":"read","text":"permit (principal in ?principal, action, resource in ?resource);"}}]"#
                    .to_owned(),
            ],
            vec![made, "write@Grant::\"a\""],
        ),
        // a policy in the place of the template
        (vec![none, delete("delete_policy", "read"), put("read"), both], vec!["write@Grant::\"a\""]),
    ] {
        let mut served = start(&declared);
        for change in &changes {
            served = transact(&served, change, Dangling::Refuse)
                .unwrap_or_else(|refused| panic!("{change} of {changes:?}: {refused:?}"))
                .snapshot;
        }
        assert_eq!(ids(&served), expected, "{changes:?}");
        let again = on_big_stack(|| start(&declared).rebased(&served, &|| false)).unwrap();
        let (again, _) = again.unwrap_or_else(|found| panic!("{changes:?}: {}", shown(&found)));
        assert_eq!(ids(&again), expected, "{changes:?}");
        assert_eq!(again.overlay(), served.overlay(), "{changes:?}");
        // all at once
        let all: Vec<&str> = changes.iter().map(|change| change.trim_matches(['[', ']'])).collect();
        if let Ok(changed) = transact(&start(&declared), &format!("[{}]", all.join(",")), Dangling::Refuse) {
            assert_eq!(ids(&changed.snapshot), expected, "{changes:?}");
        }
    }
}

#[test]
fn changes_that_break_links_are_refused() {
    let state = start(&[GRANTS, r#"{"each":"Org","template":"closed","resource":"self","when":"closed"}"#]);
    let link = |id: &str| {
        let args = r#"{"?principal":"Group::\"g\"","?resource":"Org::\"o\""}"#;
        format!(r#"[{{"put_link":{{"link_id":{id:?},"template_id":"read","args":{args}}}}}]"#)
    };
    let put = |id: &str, text: &str| format!(r#"[{{"put_policy":{{"id":"{id}","text":"{text}"}}}}]"#);
    let of = |refused: &Refused| match refused {
        Refused::Derived(_) => "derived",
        Refused::BrokenPath(_) => "broken path",
        Refused::InUse(_) => "in use",
        Refused::Dangling(..) => "dangling",
        Refused::Invalid(_) => "invalid",
        _ => "other",
    };
    for (changes, dangling, kind, expected) in [
        (
            link("read@Grant::\"a\""),
            Dangling::Refuse,
            "derived",
            "/changes/0/put_link: `read@Grant::\"a\"` is a link that data make",
        ),
        (
            put("read@Grant::\\\"a\\\"", "permit (principal, action, resource);"),
            Dangling::Refuse,
            "derived",
            "/changes/0/put_policy: `read@Grant::\"a\"` is a link that data make",
        ),
        (r#"[{"delete_link":"read@Grant::\"a\""}]"#.to_owned(), Dangling::Refuse, "derived", "/changes/0/delete_link"),
        (r#"[{"revert_link":"read@Grant::\"a\""}]"#.to_owned(), Dangling::Refuse, "derived", "/changes/0/revert_link"),
        (r#"[{"delete":"Role::\"r\""}]"#.to_owned(), Dangling::Refuse, "dangling", "`Grant::\"a\"` refers to"),
        (
            r#"[{"delete":"Role::\"r\""}]"#.to_owned(),
            Dangling::Keep,
            "broken path",
            "/changes/0/delete: `Grant::\"a\"` makes links by `Role::\"r\"`, which is not stored",
        ),
        (
            format!(r#"[{{"upsert":{}}}]"#, grant("z", "no", r#""active":true"#)),
            Dangling::Refuse,
            "broken path",
            "/changes/0/upsert: `Grant::\"z\"` makes",
        ),
        (
            r#"[{"update":{"uid":"Role::\"r\"","attrs":{"permissions":["raed"]}}}]"#.to_owned(),
            Dangling::Refuse,
            "invalid",
            "/changes/0/update: `Grant::\"a\"` names `raed` in `role.permissions`",
        ),
        (
            r#"[{"delete_policy":"read"}]"#.to_owned(),
            Dangling::Refuse,
            "in use",
            "`read@Grant::\"a\"` needs the template `read`",
        ),
        (
            r#"[{"delete_policy":"closed"}]"#.to_owned(),
            Dangling::Refuse,
            "in use",
            "the links from data at links from data[1] need the template `closed`",
        ),
        (
            put("read", "permit (principal, action, resource);"),
            Dangling::Refuse,
            "in use",
            "which is no template, but a policy without slots",
        ),
        (
            put("read", "permit (principal in ?principal, action, resource);"),
            Dangling::Refuse,
            "in use",
            "has no slot `?resource`",
        ),
        (put("closed", "permit (principal in ?principal, action, resource);"), Dangling::Refuse, "in use", "`closed`"),
    ] {
        let refused = transact(&state, &changes, dangling).unwrap_err();
        let found = shown(refused.problems());
        assert_eq!(of(&refused), kind, "{changes}: {found}");
        assert!(found.contains(expected), "{changes}: {found}");
    }
    // what is deleted with what named it breaks nothing, and an optional reference makes no link once it is gone
    for (changes, dangling) in [
        (r#"[{"delete":"Role::\"r\""}]"#, Dangling::Cascade),
        (
            r#"[{"delete":"Role::\"r\""},{"delete":"Grant::\"a\""},{"delete":"Grant::\"b\""},{"delete":"Chain::\"c\""}]"#,
            Dangling::Refuse,
        ),
        (r#"[{"delete":"Group::\"g\""}]"#, Dangling::Unlink),
    ] {
        let changed = transact(&state, changes, dangling).unwrap();
        assert_eq!(ids(&changed.snapshot), [""; 0], "{changes}");
    }
    // a template is another with the same slots, and a new role names one that comes with it
    let other = put("read", "forbid (principal in ?principal, action, resource in ?resource);");
    let changed = transact(&state, &other, Dangling::Refuse).unwrap().snapshot;
    assert!(changed.forbids().contains("read@Grant::\"a\""));
    let text = "permit (principal in ?principal, action, resource in ?resource);";
    let both = format!(
        r#"[{{"update":{{"uid":"Role::\"r\"","attrs":{{"permissions":["fresh"]}}}}}},{{"put_policy":{{"id":"fresh","text":"{text}"}}}}]"#
    );
    assert_eq!(ids(&transact(&state, &both, Dangling::Refuse).unwrap().snapshot), ["fresh@Grant::\"a\""]);
}

#[test]
fn requests_bring_no_other_makers() {
    let state = start(&[GRANTS]);
    let ask = |own: &str| {
        let text =
            format!(r#"{{"principal":"User::\"u\"","action":"Action::\"read\"","resource":"Org::\"o\"",{own}}}"#);
        let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap().into_owned();
        on_big_stack(|| state.decide(&request, NOW)).unwrap()
    };
    let stored = grant("a", "r", r#""active":true"#);
    let user = r#"{"uid":{"type":"User","id":"u"},"attrs":{"level":1},"parents":[{"type":"Group","id":"g"}]}"#;
    let role = |permissions: &str| entity("Role", "r", &format!(r#""permissions":[{permissions}]"#));
    for (own, refused) in [
        (format!(r#""additional_entities":[{stored}]"#), false),
        (format!(r#""entities":[{user},{stored}]"#), false),
        (format!(r#""entities":[{user},{}]"#, role(r#""read""#)), false),
        // neither makes a link, nor lies on a path
        (format!(r#""additional_entities":[{}]"#, entity("Role", "other", r#""permissions":["write"]"#)), false),
        (format!(r#""additional_entities":[{}]"#, grant("new", "r", "")), true),
        (format!(r#""entities":[{user},{}]"#, grant("a", "r", "")), true),
        (format!(r#""entities":[{user},{}]"#, role(r#""write""#)), true),
    ] {
        match ask(&own) {
            Ok(_) => assert!(!refused, "{own}"),
            Err(error) => {
                assert!(refused, "{own}: {error}");
                assert_eq!(error.code, "makes_links", "{own}");
                assert!(error.pointer.contains("ntities/"), "{}", error.pointer);
            }
        }
    }
    assert!(ask(r#""context":{}"#).unwrap().outcome.is_allow());
}
