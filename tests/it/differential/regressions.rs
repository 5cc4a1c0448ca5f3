//! Cases in which the engines once differed, or in which one of them failed. Add a case with what the reference
//! says; the name says what was wrong.

use std::sync::Arc;

use palisade_engine::model::{AccessRequest, Bundle, Document, Edit, PolicyNaming, PolicyText, SchemaText, Uid, Value};
use palisade_engine::{EngineKind, EngineSettings, NowPolicy, Semantics, Validation, on_big_stack};

use super::compare::{Both, REVISION, build, compare};

fn both(policies: &str, schema: Option<&str>, entities: &str) -> Both {
    both_with(policies, schema, entities, NowPolicy::Fill)
}

fn both_with(policies: &str, schema: Option<&str>, entities: &str, now: NowPolicy) -> Both {
    let bundle = Arc::new(Bundle {
        policies: vec![PolicyText {
            origin: "policies".to_owned(),
            text: policies.to_owned(),
            naming: PolicyNaming::Ordinal,
        }],
        schema: schema.map(|text| SchemaText { fragments: vec![("schema".to_owned(), text.to_owned())] }),
        entities: vec![Document::held("entities", entities)],
        ..Bundle::default()
    });
    let settings =
        EngineSettings { semantics: Semantics::Cedar, validation: Validation::Off, now, ..EngineSettings::default() };
    let make = |kind| build(&bundle, &settings, kind).unwrap();
    Both { compiled: make(EngineKind::Compiled), reference: make(EngineKind::Reference) }
}

/// Asks both engines; the answer must be `allowed` by both.
#[track_caller]
fn ask(both: &Both, request: &str, now: i64, allowed: bool) {
    let request = AccessRequest::from_value(Value::parse(request.as_bytes()).unwrap()).unwrap();
    let answer = compare(both, &request, now, true).unwrap_or_else(|difference| panic!("{difference}"));
    assert_eq!(answer.unwrap().outcome.is_allow(), allowed, "{request:?}");
}

/// Cedar's dates reach the end of 9999, the reference's clock a day less far: there it says 1970.
#[test]
fn a_clock_at_the_end_of_9999() {
    on_big_stack(|| {
        let schema = "entity A; action a appliesTo { principal: A, resource: A, context: { now: datetime } };";
        let policy = "permit (principal, action, resource) when { context.now < datetime(\"2000-01-01\") };";
        let both = both(policy, Some(schema), "[]");
        let request = r#"{"principal": "A::\"p\"", "action": "Action::\"a\"", "resource": "A::\"r\""}"#;
        for (now, allowed) in [
            (253_402_207_199_999, false),
            (253_402_207_201_000, true),
            (253_402_300_799_999, true),
            (253_402_300_800_000, true),
            (-1, true),
        ] {
            ask(&both, request, now, allowed);
        }
    })
    .unwrap();
}

/// A `now` of the caller that the sidecar's clock replaces is not looked at, whatever it is.
#[test]
fn a_replaced_clock_may_be_anything() {
    on_big_stack(|| {
        let schema = "entity A; action a appliesTo { principal: A, resource: A, context: { now: datetime } };";
        let policy = "permit (principal, action, resource) when { context.now > datetime(\"2000-01-01\") };";
        let both = both_with(policy, Some(schema), "[]", NowPolicy::Override);
        for now in [r#"{"type": "A", "id": "a"}"#, "7", "\"never\"", r#"{"__extn": {"fn": "ip", "x": 1}}"#] {
            let request = format!(
                r#"{{"principal": "A::\"p\"", "action": "Action::\"a\"", "resource": "A::\"r\"", "context": {{"now": {now}}}}}"#
            );
            ask(&both, &request, 1_790_000_000_123, true);
        }
    })
    .unwrap();
}

/// A transaction that made a cycle and removed it again went round it for ever.
#[test]
fn a_subtree_on_a_cycle_that_the_transaction_made() {
    on_big_stack(|| {
        let entity = |id: &str, parent: &str| {
            let text = format!(
                r#"{{"uid": {{"type": "A", "id": "{id}"}}, "attrs": {{}}, "parents": [{{"type": "A", "id": "{parent}"}}]}}"#
            );
            Value::parse(text.as_bytes()).unwrap().into_owned()
        };
        let store = format!("[{}]", ["below", "beside"].map(|id| entity(id, "x").to_json().to_string()).join(","));
        let before = both("permit (principal in A::\"x\", action, resource);", None, &store);
        let changes = [
            Edit::Upsert(entity("x", "y")),
            Edit::Upsert(entity("y", "x")),
            Edit::Upsert(entity("beside", "z")),
            Edit::DeleteSubtree(Uid::parse("A::\"y\"").unwrap()),
            Edit::Upsert(entity("x", "top")),
        ];
        let after = Both {
            compiled: before.compiled.apply(&changes, REVISION).unwrap(),
            reference: before.reference.apply(&changes, REVISION).unwrap(),
        };
        assert_eq!(after.compiled.entity_count(), 2);
        for (id, was, is) in [("below", true, false), ("beside", true, false), ("x", true, true)] {
            let request = format!(r#"{{"principal": "A::\"{id}\"", "action": "Action::\"a\"", "resource": "A::\"r\""}}"#);
            ask(&before, &request, 0, was);
            ask(&after, &request, 0, is);
        }
    })
    .unwrap();
}
