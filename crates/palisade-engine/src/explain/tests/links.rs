//! Changes of data that make or unmake links, on a small world of roles.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::model::explanation::Proposed;
use crate::model::{
    AccessRequest, Bundle, Diagnostic, Document, Edit, Explanation, ForEach, LinkDeclaration, Missing, PolicyNaming,
    PolicyText, Revision, SchemaText, Value,
};
use crate::{EngineSettings, ExplainOptions, Snapshot, on_big_stack};

const SCHEMA: &str = r#"
entity Team;
entity Role = { names: Set<String> };
entity User in [Team] = { off: Bool };
entity Place in [Place] = { closed: Bool };
entity Grant = { role: Role, to: Team, at: Place, note: String };
action view, edit appliesTo { principal: [User], resource: [Place], context: { level?: Long } };
"#;

const POLICIES: &str = r#"
@id("see") permit (principal in ?principal, action == Action::"view", resource in ?resource);
@id("change") permit (principal in ?principal, action == Action::"edit", resource in ?resource);
@id("closed") forbid (principal, action, resource in ?resource);
@id("off") forbid (principal == ?principal, action, resource);
@id("secret") permit (principal, action == Action::"view", resource == Place::"gone") when { !resource.closed };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "Team", "id": "staff"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Role", "id": "reader"}, "attrs": {"names": ["see"]}, "parents": []},
  {"uid": {"type": "Role", "id": "editor"}, "attrs": {"names": ["change"]}, "parents": []},
  {"uid": {"type": "User", "id": "ann"}, "attrs": {"off": false}, "parents": [{"type": "Team", "id": "staff"}]},
  {"uid": {"type": "User", "id": "cal"}, "attrs": {"off": true}, "parents": [{"type": "Team", "id": "staff"}]},
  {"uid": {"type": "Place", "id": "hall"}, "attrs": {"closed": false}, "parents": []},
  {"uid": {"type": "Place", "id": "shut"}, "attrs": {"closed": true}, "parents": [{"type": "Place", "id": "hall"}]},
  {"uid": {"type": "Place", "id": "yard"}, "attrs": {"closed": false}, "parents": []},
  {"uid": {"type": "Grant", "id": "1"}, "parents": [], "attrs": {"note": "", "role": {"type": "Role", "id": "reader"},
    "to": {"type": "Team", "id": "staff"}, "at": {"type": "Place", "id": "hall"}}},
  {"uid": {"type": "Grant", "id": "2"}, "parents": [], "attrs": {"note": "", "role": {"type": "Role", "id": "editor"},
    "to": {"type": "Team", "id": "staff"}, "at": {"type": "Place", "id": "yard"}}}
]"#;

pub(in crate::explain) fn bundle() -> Bundle {
    let each = |each: &str, when: Option<&str>, template: &str, principal: Option<&str>, resource: Option<&str>| {
        let text = |text: &str| text.to_owned();
        LinkDeclaration {
            each: text(each),
            id: None,
            when: when.map(text),
            template: text(template),
            principal: principal.map(text),
            resource: resource.map(text),
            missing: Missing::Refuse,
            written: None,
        }
    };
    let links = vec![
        each("Grant", None, "role.names", Some("to"), Some("at")),
        each("Place", Some("closed"), "closed", None, Some("self")),
        each("User", Some("off"), "off", Some("self"), None),
    ];
    Bundle {
        policies: vec![PolicyText {
            origin: "p.cedar".to_owned(),
            text: POLICIES.to_owned(),
            naming: PolicyNaming::Stem("p".to_owned()),
        }],
        schema: Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] }),
        entities: vec![Document::held("e", ENTITIES)],
        for_each: ForEach { links, ..ForEach::default() },
        ..Bundle::default()
    }
}

pub(in crate::explain) fn build(bundle: Bundle) -> Result<Snapshot, Vec<Diagnostic>> {
    let revision = Revision { incarnation: 1, counter: 1 };
    Snapshot::build(Arc::new(bundle), &EngineSettings::default(), revision).map(|(built, _)| built)
}

fn question(who: &str, action: &str, place: &str) -> AccessRequest<'static> {
    let text = format!(
        r#"{{"principal": "User::\"{who}\"", "action": "Action::\"{action}\"", "resource": "Place::\"{place}\"", "context": {{}}}}"#
    );
    AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap().into_owned()
}

fn ask(who: &str, action: &str, place: &str) -> Explanation {
    let request = question(who, action, place);
    let options = ExplainOptions { all: true, ..ExplainOptions::default() };
    on_big_stack(|| build(bundle()).unwrap().explain(&request, 0, &options)).unwrap().unwrap()
}

#[test]
fn changes_that_make_or_unmake_links_are_found() {
    for (who, action, place, wanted) in [
        (
            "ann",
            "edit",
            "hall",
            &[
                // a name more in the role that she has there, a grant that is elsewhere, and a new one
                r#"add `"change"` to `names` of `Role::"reader"`"#,
                r#"set `at` of `Grant::"2"` to `Place::"hall"`"#,
                r#"add `Grant::"new"` with `to` `Team::"staff"`, `at` `Place::"hall"`, `role` `Role::"editor"`, `note` `""`"#,
                r#"put `Place::"hall"` into `Place::"yard"` (as a parent)"#,
            ][..],
        ),
        ("cal", "view", "hall", &[r#"set `off` of `User::"cal"` to `false`"#]),
        ("ann", "view", "shut", &[r#"set `closed` of `Place::"shut"` to `false`"#]),
        (
            "ann",
            "view",
            "hall",
            &[
                r#"take `User::"ann"` out of `Team::"staff"` (a parent)"#,
                r#"set `off` of `User::"ann"` to `true`"#,
                r#"set `closed` of `Place::"hall"` to `true`"#,
                r#"take `"see"` out of `names` of `Role::"reader"`"#,
            ],
        ),
    ] {
        let explained = ask(who, action, place);
        let words: Vec<&str> = explained.changes.iter().map(|change| change.words.as_str()).collect();
        for wanted in wanted {
            assert!(words.contains(wanted), "{who} {action} {place}: {wanted} is not in\n{words:#?}");
        }
        assert!(words.len() < wanted.len() + 4, "{words:#?}");
    }
}

#[test]
fn what_is_not_stored_is_added() {
    let explained = ask("ann", "view", "gone");
    let added: Vec<_> = explained.changes.iter().filter(|change| change.adds).collect();
    let words: Vec<&str> = added.iter().map(|change| change.words.as_str()).collect();
    assert!(words.contains(&r#"add `Place::"gone"` with `closed` `false`"#), "{:#?}", explained.changes);
    assert!(added.iter().any(|change| matches!(&change.edit, Proposed::SetAttribute { .. })), "{added:#?}");
    assert!(added.iter().all(|change| change.words.starts_with("add `Place")), "{words:?}");
}

/// Every entity with one thing in it that is another: a flag turned, a name of a template more or less, another entity in a
/// place of a grant.
fn every_change(snapshot: &Snapshot) -> Vec<Json> {
    let entities: Vec<Json> = snapshot.entities().map(|entity| entity.to_json()).collect();
    let of = |ty: &str| -> Vec<Json> {
        entities.iter().map(|entity| entity["uid"].clone()).filter(|uid| uid["type"] == ty).collect()
    };
    let mut found = Vec::new();
    for entity in &entities {
        let mut put = |member: &str, value: Json| {
            let mut changed = entity.clone();
            changed["attrs"][member] = value;
            found.push(changed);
        };
        for (member, value) in entity["attrs"].as_object().unwrap() {
            match value {
                Json::Bool(flag) => put(member, (!flag).into()),
                Json::Array(names) => {
                    for template in ["see", "change"] {
                        let mut others: Vec<Json> = names.iter().filter(|name| *name != template).cloned().collect();
                        if others.len() == names.len() {
                            others.push(template.into());
                        }
                        put(member, others.into());
                    }
                }
                Json::Object(held) => {
                    let ty = held["__entity"]["type"].as_str().unwrap();
                    for other in of(ty).into_iter().filter(|other| *other != held["__entity"]) {
                        put(member, json!({"__entity": other}));
                    }
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn where_one_change_of_the_data_turns_a_decision_one_is_shown() {
    on_big_stack(|| {
        let snapshot = build(bundle()).unwrap();
        let changes = every_change(&snapshot);
        let (mut turned, mut not) = (0, 0);
        for who in ["ann", "cal"] {
            for action in ["view", "edit"] {
                for place in ["hall", "shut", "yard"] {
                    let explained = ask(who, action, place);
                    let request = question(who, action, place);
                    let turns = |changed: &&Json| {
                        let value = Value::parse(changed.to_string().as_bytes()).unwrap().into_owned();
                        let after = snapshot.apply(&[Edit::Upsert(value)], snapshot.revision()).unwrap();
                        after.decide(&request, 0).unwrap().outcome != explained.decision
                    };
                    let turning = changes.iter().find(turns);
                    *(if turning.is_some() { &mut turned } else { &mut not }) += 1;
                    assert!(
                        turning.is_none() || !explained.changes.is_empty(),
                        "{who} {action} {place}: {turning:#?} is missed\n{explained:#?}"
                    );
                }
            }
        }
        assert!(turned >= 6 && not >= 2, "{turned} {not}");
    })
    .unwrap();
}
