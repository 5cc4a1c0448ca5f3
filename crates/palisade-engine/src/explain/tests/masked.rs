//! Whatever way a policy reads what the mask hides, an explanation does not show it.

use std::sync::Arc;

use crate::model::{AccessRequest, Bundle, Document, PolicyNaming, PolicyText, Revision, Value};
use crate::{EngineSettings, ExplainOptions, Snapshot, Validation, on_big_stack};

const ENTITIES: &str = r#"[
  {"uid": {"type": "G", "id": "g"}, "attrs": {}, "parents": []},
  {"uid": {"type": "U", "id": "ann"}, "attrs": {"level": 2, "set": [1]}, "parents": [], "tags": {"other": "z"}},
  {"uid": {"type": "U", "id": "SECRETU"}, "attrs": {"level": 654321, "set": []}, "parents": [{"type": "G", "id": "g"}], "tags": {"SECRETK": "z"}},
  {"uid": {"type": "D", "id": "d"}, "attrs": {}, "parents": []}
]"#;

const CONTEXT: &str = r#"{"n": 987654, "u": {"__entity": {"type": "U", "id": "SECRETU"}}, "k": "SECRETK", "deep": {"n": 987654}, "open": 3}"#;

fn explained(condition: &str, mask: &[&str]) -> String {
    explained_in(CONTEXT, condition, mask)
}

fn explained_in(context: &str, condition: &str, mask: &[&str]) -> String {
    let text = PolicyText {
        origin: "p.cedar".to_owned(),
        text: format!("permit (principal, action, resource) when {{ {condition} }};"),
        naming: PolicyNaming::Ordinal,
    };
    let bundle = Bundle { policies: vec![text], entities: vec![Document::held("e", ENTITIES)], ..Bundle::default() };
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let revision = Revision { incarnation: 1, counter: 1 };
    let built = on_big_stack(|| Snapshot::build(Arc::new(bundle), &settings, revision)).unwrap();
    let snapshot = built.unwrap_or_else(|problems| panic!("{condition}: {problems:#?}")).0;
    let text = format!(
        r#"{{"principal": "U::\"ann\"", "action": "Action::\"x\"", "resource": "D::\"d\"", "context": {context}}}"#
    );
    let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap();
    let masks = mask.iter().map(|path| path.split('.').map(|step| Some(step.to_owned())).collect()).collect();
    let options = ExplainOptions { masks, ..ExplainOptions::default() };
    let explained = on_big_stack(|| snapshot.explain(&request, 0, &options)).unwrap().unwrap();
    serde_json::to_string(&explained).unwrap()
}

fn shows(explained: &str) -> bool {
    ["SECRET", "987654", "654321"].iter().any(|secret| explained.contains(secret))
}

#[test]
fn no_way_of_reading_it_shows_what_is_masked() {
    let mut open = 0;
    for condition in [
        "context.n == principal.level",
        "principal.level >= context.n",
        "principal.set.contains(context.n)",
        "context.deep.n == principal.level",
        "context.deep == {n: 1}",
        "context == {}",
        "context.u in G::\"none\"",
        "context.u in G::\"g\" && false",
        "principal in context.u",
        "principal in [context.u]",
        "(if true then context.u else principal) in G::\"g\" && false",
        "principal.hasTag(context.k)",
        "principal.hasTag(context.k) && principal.getTag(context.k) == \"z\"",
        "U::\"ann\".getTag(context.k) == \"z\"",
        "context.u.level == principal.level",
        "context.u.getTag(context.k) == \"y\"",
        "{q: context}.q.n == principal.level",
        "{q: context.n}.q == principal.level",
        "(if true then context else context).n == principal.level",
        "(if true then context else context).u in G::\"none\"",
        "{q: context}.q.u.level == 3",
        "principal.set.contains({q: context}.q.n)",
        "principal.hasTag({q: context}.q.k)",
        "[context].contains({})",
        "[context.n, 1].contains(principal.level)",
        "!(context.n > principal.level)",
        "context.k like \"no*\"",
        "context.u is G",
    ] {
        let masked = explained(condition, &["n", "u", "k", "deep.n"]);
        assert!(!shows(&masked), "{condition}\n{masked}");
        open += usize::from(shows(&explained(condition, &[])));
    }
    assert!(open > 15, "only {open} of them show anything without a mask");
}

#[test]
fn what_is_not_masked_is_shown_beside_it() {
    for (condition, mask) in [
        ("context.open == principal.level", &["n", "u", "k"][..]),
        ("context.deep.n == principal.level", &["deep.other"]),
        ("context.u in G::\"none\"", &["n"]),
        ("principal.hasTag(context.k)", &["n", "u"]),
    ] {
        assert_eq!(explained(condition, mask), explained(condition, &[]), "{condition}");
    }
}

#[test]
fn an_entity_that_is_not_stored_is_not_named_where_the_mask_may_hide_it() {
    let unknown = CONTEXT.replace("SECRETU", "SECRETX");
    for (condition, mask, is_shown) in [
        ("principal.level == 2", &["u"][..], false),
        ("principal.level == 2", &["n"], false),
        ("principal.level == 2", &[], true),
    ] {
        let said = explained_in(&unknown, condition, mask);
        assert!(said.contains("unknown_entity"), "{said}");
        assert_eq!(said.contains("SECRETX"), is_shown, "{mask:?}: {said}");
    }
}
