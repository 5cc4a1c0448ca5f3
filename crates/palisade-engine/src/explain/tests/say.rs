//! What explanations say, on a small world of tenants.

use std::sync::Arc;

use crate::model::explanation::{ClauseKind, ExplanationKind, Proposed, Truth};
use crate::model::{
    AccessRequest, Bundle, Document, Explanation, Link, PolicyNaming, PolicyText, Revision, SchemaText, Uid, Value,
};
use crate::{EngineSettings, ExplainOptions, Semantics, Snapshot, Undecided, Validation, on_big_stack};

const SCHEMA: &str = r#"
entity Tenant;
entity Customer in [Tenant, Customer];
entity Location in [Customer];
entity Group;
entity User in [Customer, Group] = { "home": Customer, "locations": Set<Location>, "restricted": Bool, "note"?: String };
entity Device in [Customer, Location] = { "home": Customer, "claimed": Bool };
action "Scoped";
action "view", "update" in ["Scoped"] appliesTo {
  principal: [User], resource: [Device],
  context: { "mfa": Bool, "target"?: Customer, "level"?: Long }
};
action "none" appliesTo { principal: [User], resource: [Device] };
"#;

const POLICIES: &str = r#"// the group
@why("Technicians see devices.")
permit (
  principal in Group::"tech", // or more
  action in [Action::"view", Action::"update"],
  resource is Device in Tenant::"t"
)
when { context.mfa && resource in principal.home };
@id("by-target")
permit (principal, action == Action::"update", resource)
when { context has target && context.target == resource.home };
@id("location")
@why("Tied to locations.")
forbid (principal is User, action in Action::"Scoped", resource)
when { principal.restricted }
unless { resource in principal.locations };
@id("owner")
permit (principal == ?principal, action, resource in ?resource);
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "Tenant", "id": "t"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Customer", "id": "c"}, "attrs": {}, "parents": [{"type": "Tenant", "id": "t"}]},
  {"uid": {"type": "Customer", "id": "other"}, "attrs": {}, "parents": [{"type": "Tenant", "id": "t"}]},
  {"uid": {"type": "Location", "id": "cph"}, "attrs": {}, "parents": [{"type": "Customer", "id": "c"}]},
  {"uid": {"type": "Location", "id": "aar"}, "attrs": {}, "parents": [{"type": "Customer", "id": "c"}]},
  {"uid": {"type": "Group", "id": "tech"}, "attrs": {}, "parents": []},
  {"uid": {"type": "User", "id": "ann"}, "attrs": {"home": {"__entity": {"type": "Customer", "id": "c"}}, "locations": [], "restricted": false}, "parents": [{"type": "Group", "id": "tech"}]},
  {"uid": {"type": "User", "id": "bob"}, "attrs": {"home": {"__entity": {"type": "Customer", "id": "c"}}, "locations": [{"__entity": {"type": "Location", "id": "cph"}}], "restricted": true}, "parents": [{"type": "Group", "id": "tech"}]},
  {"uid": {"type": "User", "id": "eve"}, "attrs": {"home": {"__entity": {"type": "Customer", "id": "other"}}, "locations": [], "restricted": false}, "parents": []},
  {"uid": {"type": "Device", "id": "d"}, "attrs": {"home": {"__entity": {"type": "Customer", "id": "c"}}, "claimed": true}, "parents": [{"type": "Location", "id": "aar"}]}
]"#;

fn snapshot(semantics: Semantics) -> Snapshot {
    let link = Link {
        template_id: "owner".to_owned(),
        link_id: "owner@eve".to_owned(),
        args: vec![
            ("?principal".to_owned(), r#"User::"eve""#.to_owned()),
            ("?resource".to_owned(), r#"Customer::"other""#.to_owned()),
        ],
        written: None,
    };
    let bundle = Bundle {
        policies: vec![PolicyText {
            origin: "policies/small.cedar".to_owned(),
            text: POLICIES.to_owned(),
            naming: PolicyNaming::Stem("small".to_owned()),
        }],
        schema: Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] }),
        entities: vec![Document::held("e", ENTITIES)],
        links: vec![link],
        ..Bundle::default()
    };
    let settings = EngineSettings { validation: Validation::Strict, semantics, ..EngineSettings::default() };
    let revision = Revision { incarnation: 1, counter: 1 };
    let built = on_big_stack(|| Snapshot::build(Arc::new(bundle), &settings, revision)).unwrap();
    built.unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

fn ask(who: &str, action: &str, context: &str) -> Explanation {
    let text = format!(
        r#"{{"principal": "User::\"{who}\"", "action": "Action::\"{action}\"", "resource": "Device::\"d\"", "context": {context}}}"#
    );
    let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap().into_owned();
    let snapshot = snapshot(Semantics::Strict);
    on_big_stack(|| snapshot.explain(&request, 0, &ExplainOptions::default())).unwrap().unwrap()
}

fn ids(explanation: &Explanation) -> Vec<&str> {
    explanation.policies.iter().map(|policy| &*policy.id).collect()
}

#[test]
fn an_allow_names_its_permit_and_what_would_deny() {
    let explained = ask("ann", "view", r#"{"mfa": true}"#);
    assert_eq!(explained.kind, ExplanationKind::Allowed);
    // the last permits another action
    assert_eq!(ids(&explained), ["small.0", "location", "by-target"]);
    let permit = &explained.policies[0];
    assert_eq!(
        (permit.result, permit.missing, permit.file.as_str(), permit.line),
        (Truth::True, 0, "policies/small.cedar", Some(2))
    );
    assert_eq!(permit.annotations["why"], "Technicians see devices.");
    let texts: Vec<&str> = permit.scope.iter().chain(&permit.clauses).map(|clause| clause.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "principal in Group::\"tech\"",
            "action in [Action::\"view\", Action::\"update\"]",
            "resource is Device in Tenant::\"t\"",
            "context.mfa",
            "resource in principal.home"
        ]
    );
    let place = permit.clauses[1].place.clone().unwrap();
    assert_eq!(place.excerpt.as_deref(), Some("when { context.mfa && resource in principal.home };"));
    assert_eq!((place.line, place.column, place.end_line, place.end_column), (8, 23, 8, 49));
    let way = &permit.clauses[1].hierarchy[0];
    assert!(way.holds);
    assert_eq!(way.path, [r#"Device::"d""#, r#"Location::"aar""#, r#"Customer::"c""#]);
    assert_eq!(permit.clauses[1].values[0].value.as_deref(), Some(r#"Customer::"c""#));
    let words: Vec<&str> = explained.changes.iter().map(|change| change.words.as_str()).collect();
    assert!(words.contains(&r#"set `restricted` of `User::"ann"` to `true`"#), "{words:#?}");
    assert!(words.contains(&r#"take `User::"ann"` out of `Group::"tech"` (a parent)"#), "{words:#?}");
}

#[test]
fn a_forbid_shows_what_stands_in_the_way_and_how_it_would_not() {
    let explained = ask("bob", "view", r#"{"mfa": true}"#);
    assert_eq!(explained.kind, ExplanationKind::Forbidden);
    assert_eq!(ids(&explained), ["location", "small.0", "by-target"]);
    let forbid = &explained.policies[0];
    let [when, unless] = forbid.clauses.as_slice() else { panic!("{forbid:#?}") };
    assert_eq!((when.kind, unless.kind), (ClauseKind::When, ClauseKind::Unless));
    assert_eq!(unless.text, "unless { resource in principal.locations }");
    assert_eq!(unless.result, Truth::True);
    assert_eq!(unless.parts[0].result, Truth::False);
    assert_eq!(unless.parts[0].values[0].path, "principal.locations");
    assert_eq!(unless.parts[0].values[0].value.as_deref(), Some(r#"[Location::"cph"]"#));
    let way = &unless.parts[0].hierarchy[0];
    assert!(!way.holds);
    assert_eq!(way.path.last().map(String::as_str), Some(r#"Tenant::"t""#));
    let words: Vec<&str> = explained.changes.iter().map(|change| change.words.as_str()).collect();
    for expected in [
        r#"set `restricted` of `User::"bob"` to `false`"#,
        r#"add `Location::"aar"` to `locations` of `User::"bob"`"#,
        r#"put `Device::"d"` into `Location::"cph"` (as a parent)"#,
    ] {
        assert!(words.contains(&expected), "{words:#?}");
    }
}

#[test]
fn a_denial_without_a_permit_says_how_near_each_came() {
    let explained = ask("ann", "update", r#"{"mfa": false}"#);
    assert_eq!(explained.kind, ExplanationKind::NotPermitted);
    let first = &explained.policies[0];
    assert_eq!((&*first.id, first.missing), ("small.0", 1));
    assert_eq!(first.clauses[0].result, Truth::False);
    assert_eq!((first.clauses[1].result, first.clauses[1].alone), (Truth::NotReached, Some(Truth::True)));
    let second = &explained.policies[1];
    assert_eq!((&*second.id, second.missing), ("by-target", 2));
    assert_eq!(second.clauses[0].values[0].value, None);
    assert_eq!(second.clauses[1].alone, Some(Truth::Error));
    let edits: Vec<&Proposed> = explained.changes.iter().map(|change| &change.edit).collect();
    let mfa = Proposed::SetContext { path: vec!["mfa".to_owned()], value: Some(true.into()) };
    let target = serde_json::json!({"__entity": {"type": "Customer", "id": "c"}});
    let target = Proposed::SetContext { path: vec!["target".to_owned()], value: Some(target) };
    assert_eq!(edits, [&mfa, &target]);
}

#[test]
fn links_name_their_template_and_unknown_entities_their_rule() {
    let explained = ask("eve", "view", r#"{"mfa": false}"#);
    let link = explained.policies.iter().find(|policy| &*policy.id == "owner@eve").unwrap();
    assert_eq!(link.link.as_ref().unwrap().template, "owner");
    assert_eq!(link.link.as_ref().unwrap().args["?resource"], r#"Customer::"other""#);
    assert_eq!(link.scope[2].text, "resource in ?resource");
    assert_eq!(link.scope[2].result, Truth::False);
    let words: Vec<&str> = explained.changes.iter().map(|change| change.words.as_str()).collect();
    assert!(words.contains(&r#"put `Device::"d"` into `Customer::"other"` (as a parent)"#), "{words:#?}");
    let explained = ask("nobody-stored", "view", r#"{"mfa": false}"#);
    assert_eq!(explained.kind, ExplanationKind::DeniedByRule);
    assert!(explained.diagnostics.denied_by.is_some());
}

#[test]
fn what_is_not_wanted_any_more_is_given_up() {
    let snapshot = snapshot(Semantics::Strict);
    let uid = |text: &'static str| Uid::parse(text).unwrap();
    let mut request = AccessRequest::new(uid("User::\"ann\""), uid("Action::\"view\""), uid("Device::\"d\""));
    request.context = Value::Object(vec![("mfa".into(), Value::Bool(false))]);
    let asked = std::cell::Cell::new(0);
    let count = on_big_stack(|| {
        let asked = std::cell::Cell::new(0);
        let wanted = || {
            asked.set(asked.get() + 1);
            true
        };
        snapshot.explain_while(&request, 0, &ExplainOptions::default(), &wanted).unwrap();
        asked.get()
    });
    let count: usize = count.unwrap();
    assert!(count > 3, "asked {count} times");
    // after any of the questions whether to go on
    for after in 0..count {
        asked.set(0);
        let wanted = || {
            asked.set(asked.get() + 1);
            asked.get() <= after
        };
        let explained = snapshot.explain_while(&request, 0, &ExplainOptions::default(), &wanted);
        assert_eq!(explained.unwrap_err(), Undecided::GivenUp, "after {after} of {count}");
    }
}

#[test]
fn what_is_masked_is_not_shown() {
    let snapshot = snapshot(Semantics::Strict);
    let text = r#"{"principal": "User::\"ann\"", "action": "Action::\"update\"", "resource": "Device::\"d\"",
        "context": {"mfa": false, "target": {"__entity": {"type": "Customer", "id": "other"}}}}"#;
    let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap();
    let explain = |masks: Vec<Vec<Option<String>>>| {
        let options = ExplainOptions { masks, ..ExplainOptions::default() };
        let explained = on_big_stack(|| snapshot.explain(&request, 0, &options)).unwrap().unwrap();
        serde_json::to_string(&explained).unwrap()
    };
    assert!(explain(Vec::new()).contains(r#"{"path":"context.target","value":"Customer::\"other\""}"#));
    let masked = explain(vec![vec![Some("target".to_owned())]]);
    assert!(masked.contains(r#"{"path":"context.target","value":null,"masked":true}"#), "{masked}");
    assert!(!masked.contains(r#"Customer::\"other\""#) || !masked.contains("target\":"), "{masked}");
}
