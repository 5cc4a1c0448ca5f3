//! The index against a scan of all policies, templates, and entities that requests bring.

use super::support::{Both, build, bundle, lenient};
use crate::model::{AccessRequest, Bundle, Decision, Link, Overlay, OverlayMode, RequestError, Uid, Value};
use crate::{EngineSettings, Semantics};

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "0"}, "parents": [{"type": "Group", "id": "0"}], "attrs": {}},
    {"uid": {"type": "User", "id": "1"}, "parents": [{"type": "Group", "id": "1"}, {"type": "Group", "id": "2"}], "attrs": {}},
    {"uid": {"type": "Group", "id": "0"}, "parents": [{"type": "Group", "id": "2"}], "attrs": {}},
    {"uid": {"type": "Group", "id": "1"}, "parents": [], "attrs": {}},
    {"uid": {"type": "Group", "id": "2"}, "parents": [{"type": "Group", "id": "3"}], "attrs": {}},
    {"uid": {"type": "Action", "id": "0"}, "parents": [{"type": "Action", "id": "2"}], "attrs": {}},
    {"uid": {"type": "Action", "id": "2"}, "parents": [{"type": "Action", "id": "3"}], "attrs": {}}
]"#;

fn constraints(var: &str) -> Vec<String> {
    let mut all = vec![var.to_owned()];
    for id in ["0", "1", "3", "new"] {
        all.push(format!("{var} == User::\"{id}\""));
        all.push(format!("{var} in Group::\"{id}\""));
        all.push(format!("{var} is User in Group::\"{id}\""));
        all.push(format!("{var} is Group in Group::\"{id}\""));
    }
    all.push(format!("{var} is User"));
    all.push(format!("{var} is Nothing"));
    all
}

fn actions() -> Vec<String> {
    let mut all = vec!["action".to_owned(), "action in []".to_owned()];
    for id in ["0", "1", "2", "3", "new"] {
        all.push(format!("action == Action::\"{id}\""));
        all.push(format!("action in Action::\"{id}\""));
        all.push(format!("action in [Action::\"{id}\", Action::\"2\", Action::\"0\"]"));
    }
    all
}

fn ask_all(both: &Both) {
    for principal in ["User::0", "User::1", "User::2", "Group::0", "Other::new"] {
        for action in ["0", "1", "2", "3", "absent"] {
            for resource in ["User::1", "User::new", "Group::2", "Group::3"] {
                let uid = |text: &'static str| {
                    let (ty, id) = text.split_once("::").unwrap();
                    Uid::new(ty, id).unwrap()
                };
                let request = AccessRequest::new(uid(principal), Uid::new("Action", action).unwrap(), uid(resource));
                both.decide(&request).unwrap();
            }
        }
    }
    assert_eq!(both.compiled.fallbacks(), 0);
}

#[test]
fn every_scope_is_found_and_no_other() {
    let mut policies = String::new();
    for (i, principal) in constraints("principal").iter().enumerate() {
        for (j, action) in actions().iter().enumerate() {
            for (k, resource) in constraints("resource").iter().enumerate() {
                // a part of all combinations, with failing and forbidding ones among them
                if (i * 7 + j * 3 + k) % 5 == 0 {
                    let effect = if (i + j + k) % 11 == 0 { "forbid" } else { "permit" };
                    let when = if (i + k) % 7 == 0 { "when { principal.x }" } else { "" };
                    policies += &format!("{effect} ({principal}, {action}, {resource}) {when};\n");
                }
            }
        }
    }
    ask_all(&Both::plain(&policies, ENTITIES));
    let permits: String = policies.lines().filter(|line| line.starts_with("permit") && line.len() % 3 == 0).collect();
    ask_all(&Both::plain(&permits, ENTITIES));
}

#[test]
fn links_carry_their_own_entities() {
    let policies = r#"
        @id("either") permit (principal == ?principal, action, resource in ?resource) when { principal != resource };
        @id("group") forbid (principal is User in ?principal, action == Action::"1", resource) when { context has x || resource.y };
        permit (principal, action, resource == User::"1");
    "#;
    let mut links = Vec::new();
    for i in 0..40 {
        let (template, args) = if i % 2 == 0 {
            (
                "either",
                vec![
                    ("?principal".to_owned(), format!("User::\"{}\"", i % 5)),
                    ("?resource".to_owned(), format!("Group::\"{}\"", i % 7)),
                ],
            )
        } else {
            ("group", vec![("?principal".to_owned(), format!("Group::\"{}\"", i % 6))])
        };
        links.push(Link { template_id: template.to_owned(), link_id: format!("link{i}"), args, written: None });
    }
    let bundle = Bundle { links, ..bundle(policies, None, ENTITIES) };
    for semantics in [Semantics::Cedar, Semantics::Strict] {
        ask_all(&build(bundle.clone(), &lenient(semantics)).unwrap());
    }
}

const SCHEMA: &str = r#"
    entity Role enum ["admin", "guest"];
    entity Org in [Org] = { open: Bool };
    entity User in [Org, Role] = { name: String, org: Org, nick?: String, seen?: datetime, nets?: Set<ipaddr> } tags Set<Org>;
    entity Doc in [Org] = { owner: User, limits: { low: Long, high?: decimal } };
    action any;
    action read, write in [any] appliesTo {
        principal: [User], resource: [Doc, Org],
        context: { now: datetime, role?: Role, via?: Set<User>, deep?: { level: Long, user?: User } }
    };
    action plain appliesTo { principal: [User, Role], resource: [Doc] };
"#;

const POLICIES: &str = r#"
    permit (principal, action in Action::"any", resource in Org::"top") when { resource has owner && resource.owner == principal };
    permit (principal in Role::"admin", action, resource);
    permit (principal, action == Action::"read", resource) when { context.now > datetime("2020-01-01") && resource has open };
    permit (principal, action, resource) when { resource has limits && resource.limits has high && resource.limits.high.lessThan(decimal("2.0")) };
    forbid (principal, action, resource) when { context has via && context.via.contains(principal) };
    forbid (principal, action == Action::"write", resource) when { principal has nick && principal.nick like "x*" && resource.limits.low > 3 };
    permit (principal, action, resource) when { principal has org && principal.hasTag("o") && resource in principal.getTag("o") };
    forbid (principal, action == Action::"write", resource is Doc) when { context has deep.user.org.open && context.deep.user.org.open };
"#;

const STORED: &str = r#"[
    {"uid": {"type": "Org", "id": "top"}, "parents": [], "attrs": {"open": true}},
    {"uid": {"type": "Org", "id": "sub"}, "parents": [{"type": "Org", "id": "top"}], "attrs": {"open": false}},
    {"uid": {"type": "User", "id": "u"}, "parents": [{"type": "Org", "id": "sub"}, {"type": "Role", "id": "guest"}],
     "attrs": {"name": "u", "org": {"type": "Org", "id": "sub"}, "nick": "xu", "seen": "2024-01-01", "nets": ["10.0.0.0/8"]},
     "tags": {"o": [{"type": "Org", "id": "top"}]}},
    {"uid": {"type": "Doc", "id": "d"}, "parents": [{"type": "Org", "id": "sub"}],
     "attrs": {"owner": {"__entity": {"type": "User", "id": "u"}}, "limits": {"low": 1, "high": "1.5"}}}
]"#;

fn with_schema(semantics: Semantics) -> Both {
    build(bundle(POLICIES, Some(SCHEMA), STORED), &lenient(semantics)).unwrap()
}

#[test]
fn requests_are_checked_as_cedar_checks_them() {
    for semantics in [Semantics::Cedar, Semantics::Strict] {
        let both = with_schema(semantics);
        let mut answered = 0;
        for action in ["read", "write", "plain", "any", "none"] {
            for principal in [
                "User::\\\"u\\\"",
                "User::\\\"v\\\"",
                "Role::\\\"admin\\\"",
                "Role::\\\"no\\\"",
                "Org::\\\"top\\\"",
                "No::\\\"x\\\"",
            ] {
                for resource in ["Doc::\\\"d\\\"", "Doc::\\\"e\\\"", "Org::\\\"sub\\\"", "Role::\\\"guest\\\""] {
                    for context in [
                        "{}",
                        r#"{"now": "2024-01-01"}"#,
                        r#"{"now": "never"}"#,
                        r#"{"now": {"__extn": {"fn": "datetime", "arg": "2019-01-01T00:00:00Z"}}, "role": {"type": "Role", "id": "admin"}}"#,
                        r#"{"now": {"fn": "datetime", "arg": "2019-01-01"}, "via": [{"type": "User", "id": "u"}, {"__entity": {"type": "User", "id": "w"}}]}"#,
                        r#"{"role": {"type": "Role", "id": "no"}}"#,
                        r#"{"deep": {"level": 3, "user": {"type": "User", "id": "u"}}}"#,
                        r#"{"deep": {"level": "3"}}"#,
                        r#"{"deep": {"user": {"type": "User", "id": "u"}}}"#,
                        r#"{"via": {"type": "User", "id": "u"}}"#,
                        r#"{"extra": 1}"#,
                    ] {
                        let answer = both.ask(&format!(
                            r#"{{"principal": "{principal}", "action": "Action::\"{action}\"", "resource": "{resource}", "context": {context}}}"#
                        ));
                        answered += usize::from(answer.is_ok());
                    }
                }
            }
        }
        assert!(answered > 50, "{answered}");
        assert_eq!(both.compiled.fallbacks(), 0);
    }
}

#[test]
fn entities_of_the_request_stay_with_the_request() {
    let lists = [
        "[]",
        r#"[{"uid": {"type": "User", "id": "w"}, "parents": [{"type": "Role", "id": "admin"}], "attrs": {"name": "w", "org": {"type": "Org", "id": "new"}}}]"#,
        r#"[{"uid": {"type": "Org", "id": "new"}, "parents": [{"type": "Org", "id": "top"}], "attrs": {"open": true}},
            {"uid": {"type": "Doc", "id": "d2"}, "parents": [{"type": "Org", "id": "new"}],
             "attrs": {"owner": {"type": "User", "id": "u"}, "limits": {"low": 9}}}]"#,
        r#"[{"uid": {"type": "Org", "id": "a"}, "parents": [{"type": "Org", "id": "b"}], "attrs": {"open": true}},
            {"uid": {"type": "Org", "id": "b"}, "parents": [{"type": "Org", "id": "a"}], "attrs": {"open": true}}]"#,
        r#"[{"uid": {"type": "Org", "id": "top"}, "parents": [{"type": "Org", "id": "sub"}], "attrs": {"open": true}}]"#,
        r#"[{"uid": {"type": "Org", "id": "top"}, "parents": [], "attrs": {"open": true}}]"#,
        r#"[{"uid": {"type": "Org", "id": "x"}, "parents": [], "attrs": {"open": 1}}]"#,
        r#"[{"uid": {"type": "Org", "id": "x"}, "parents": [], "attrs": {"open": true}}, {"uid": {"type": "Org", "id": "x"}, "parents": [], "attrs": {"open": true}}]"#,
        r#"[{"uid": {"type": "Role", "id": "admin"}, "parents": [], "attrs": {}}]"#,
        r#"[{"uid": "Org::\"x\"", "parents": [], "attrs": {}}]"#,
        r#"[{"uid": {"type": "Org", "id": "x"}}]"#,
    ];
    for semantics in [Semantics::Cedar, Semantics::Strict] {
        let both = with_schema(semantics);
        for principal in ["u", "w"] {
            for resource in ["d", "d2"] {
                for entities in lists {
                    for member in ["entities", "additional_entities"] {
                        let _ = both.ask(&format!(
                            r#"{{"principal": "User::\"{principal}\"", "action": "Action::\"write\"", "resource": "Doc::\"{resource}\"",
                                 "context": {{}}, "{member}": {entities}}}"#
                        ));
                    }
                }
            }
        }
        // nothing of them was kept
        let before = both
            .ask(r#"{"principal": "User::\"w\"", "action": "Action::\"read\"", "resource": "Org::\"top\""}"#)
            .unwrap();
        assert_eq!(before.denied_by.is_some(), semantics == Semantics::Strict);
        assert_eq!(both.compiled.entity_count(), 4);
    }
}

#[test]
fn overlays_lie_over_what_is_stored() {
    let both = with_schema(Semantics::Strict);
    let ask = |entity: &'static str, attributes: &'static str, mode| -> Result<Decision, RequestError> {
        let mut request = AccessRequest::new(
            Uid::new("User", "u").unwrap(),
            Uid::new("Action", "write").unwrap(),
            Uid::new("Doc", if entity == "Doc::\"e\"" { "e" } else { "d" }).unwrap(),
        );
        let attributes = Value::parse(attributes.as_bytes()).unwrap();
        request.overlays.push(Overlay { entity: Uid::parse(entity).unwrap(), attributes, mode });
        both.decide(&request)
    };
    for mode in [OverlayMode::Fill, OverlayMode::Override] {
        for entity in ["User::\"u\"", "Doc::\"d\"", "Doc::\"e\"", "Org::\"sub\"", "Role::\"admin\""] {
            for attributes in [
                "{}",
                r#"{"nick": "plain"}"#,
                r#"{"limits": {"low": 9}}"#,
                r#"{"owner": {"__entity": {"type": "User", "id": "w"}}, "limits": {"low": 0, "high": {"__extn": {"fn": "decimal", "arg": "1.0"}}}}"#,
                r#"{"limits": null}"#,
                r#"{"limits": {"__extn": {"fn": "decimal", "arg": "x"}}}"#,
            ] {
                let _ = ask(entity, attributes, mode);
            }
        }
    }
    let outcome = |attributes, mode| ask("User::\"u\"", attributes, mode).unwrap().outcome.is_allow();
    assert!(outcome("{}", OverlayMode::Fill));
}

#[test]
fn the_clock_is_noted_where_it_was_read() {
    let both = with_schema(Semantics::Cedar);
    let ask = |action: &str, resource: &str, context: &str| {
        let request = format!(
            r#"{{"principal": "User::\"u\"", "action": "Action::\"{action}\"", "resource": "{resource}", "context": {context}}}"#
        );
        both.ask(&request).unwrap().time_dependent
    };
    assert!(ask("read", "Org::\\\"sub\\\"", "{}"));
    assert!(!ask("read", "Org::\\\"sub\\\"", r#"{"now": "2024-01-01"}"#));
    assert!(!ask("write", "Org::\\\"sub\\\"", "{}"));
    for policy in
        ["context == {}", "[context].contains(1)", "(if true then context else {}) has x", "context has now.x"]
    {
        let text = format!("permit (principal, action, resource) when {{ {policy} }};");
        let both = build(bundle(&text, Some(SCHEMA), STORED), &EngineSettings { ..lenient(Semantics::Cedar) }).unwrap();
        let request = r#"{"principal": "User::\"u\"", "action": "Action::\"read\"", "resource": "Doc::\"d\""}"#;
        assert_eq!(both.ask(request).unwrap().time_dependent, policy != "context has now.x", "{policy}");
    }
}
