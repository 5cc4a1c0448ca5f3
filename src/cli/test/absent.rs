//! Names in tests that no entity has. A denial may come of a misspelled one alone, and the test would pass.
//!
//! The `strict` semantics denies where an entity of the request is not stored, and that fails a test as it is. Here are
//! the others: those that entities of the test name, as far as the request leads to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::cli::test::model::{Case, Check, EntityChange, Store, TestFile, Unknown};
use crate::cli::test::report::{Got, TestResult};
use crate::cli::test::runner::Entities;
use palisade_engine::model::{DeniedBy, Uid, Value, hint};

/// A name and where it stands, in words.
type Mention = (Uid<'static>, String);

/// The bundle's entities, or why they cannot be read.
type Stored<'s> = Result<&'s Entities, String>;

/// What is to be said of a denial: each name that nothing has, unless the test says that it is about such a one.
pub(super) fn faults<'s>(check: &Check, got: &Got, stored: impl FnOnce() -> Stored<'s>) -> Vec<String> {
    let Got::Decision(decision) = got else { return Vec::new() };
    // that names one already
    let is_said = matches!(decision.denied_by, Some(DeniedBy::UnknownEntity { .. }));
    if decision.outcome.is_allow() || is_said || check.unknown != Unknown::Unsaid {
        return Vec::new();
    }
    if !matches!(check.store, Store::Changed(_)) {
        return Vec::new();
    }
    let stored = match stored() {
        Ok(stored) => stored,
        Err(error) => return vec![error],
    };
    let known = Known::of(stored, &check.store);
    let absent = known.mentions(check).into_iter().filter(|(uid, _)| known.lacks(uid));
    let said = absent.map(|(uid, place)| {
        let near = known.ids(&uid.type_name).map(|id| Uid { type_name: uid.type_name.clone(), id: id.into() }.to_string());
        let near: Vec<String> = near.collect();
        let hint = hint(&uid.to_string(), near.iter().map(String::as_str));
        format!(
            "`{uid}`, which {place} names, is not in the store{hint}: correct the name, or write `unknown: true` if that is \
             the point"
        )
    });
    said.collect()
}

/// Fails each test that says `unknown: true` though all that it names is stored: it says nothing any more. A test that
/// takes entities out is about them, and one of which a filter left out some requests is not judged.
pub(super) fn say_stale<'s>(files: &[TestFile], results: &mut [Option<TestResult>], stored: impl Fn() -> Stored<'s>) {
    let mut groups: BTreeMap<(String, Option<usize>), usize> = BTreeMap::new();
    for file in files {
        for case in &file.cases {
            if is_said(case) {
                *groups.entry((file.id.clone(), case.line)).or_default() += 1;
            }
        }
    }
    if groups.is_empty() {
        return;
    }
    let Ok(stored) = stored() else { return };
    let mut judged: BTreeMap<(String, Option<usize>), (usize, usize)> = BTreeMap::new();
    for (at, result) in results.iter().enumerate() {
        let Some((result, check)) = result.as_ref().and_then(|result| Some((result, result.check.as_ref()?))) else {
            continue;
        };
        if check.unknown == Unknown::Said && is_all_stored(check, &result.got, stored) {
            judged.entry((result.file.clone(), result.line)).or_insert((at, 0)).1 += 1;
        }
    }
    for (key, (first, count)) in judged {
        if groups.get(&key) == Some(&count)
            && let Some(Some(result)) = results.get_mut(first)
        {
            let message = "`unknown: true`, but every entity that the test names is stored: take it out, or correct the \
                           name that is meant";
            result.faults.push(message.to_owned());
        }
    }
}

fn is_said(case: &Case) -> bool {
    case.check.as_ref().is_ok_and(|check| check.unknown == Unknown::Said)
}

/// Whether a test that ran names nothing that is not stored.
fn is_all_stored(check: &Check, got: &Got, stored: &Entities) -> bool {
    let takes_out = match &check.store {
        Store::Bundle => false,
        Store::Only(_) => return false,
        Store::Changed(changes) => changes.iter().any(|change| matches!(change, EntityChange::Remove { .. })),
    };
    let Got::Decision(decision) = got else { return false };
    if takes_out || matches!(decision.denied_by, Some(DeniedBy::UnknownEntity { .. })) {
        return false;
    }
    let known = Known::of(stored, &check.store);
    let request = [&check.request.principal, &check.request.resource];
    let mut context = Vec::new();
    in_value(&check.request.context, &mut |uid| context.push(uid));
    request.into_iter().chain(&context).all(|uid| known.has(uid))
        && !known.mentions(check).iter().any(|(uid, _)| known.lacks(uid))
}

/// What is stored for a test.
struct Known<'k> {
    stored: &'k Entities,
    /// What the test brings, by name; one may be put several times, each like the one before.
    put: BTreeMap<&'k Uid<'static>, Vec<&'k EntityChange>>,
    /// Taken out on purpose.
    removed: BTreeSet<&'k Uid<'static>>,
}

impl<'k> Known<'k> {
    fn of(stored: &'k Entities, store: &'k Store) -> Self {
        let (mut put, mut removed) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
        if let Store::Changed(changes) = store {
            for change in changes.iter() {
                match change {
                    EntityChange::Put { uid, .. } => put.entry(uid).or_default().push(change),
                    EntityChange::Remove { uid, .. } => _ = removed.insert(uid),
                }
            }
        }
        Self { stored, put, removed }
    }

    fn has(&self, uid: &Uid<'_>) -> bool {
        self.stored.contains_key(uid) || self.put.contains_key(uid)
    }

    /// Whether an entity of this name is missed. Of a type of which nothing is stored, nothing is: actions, and types whose
    /// ids the schema lists.
    fn lacks(&self, uid: &Uid<'_>) -> bool {
        !self.has(uid) && !self.removed.contains(uid) && self.ids(&uid.type_name).next().is_some()
    }

    /// What the entities that the test brings name, as far as the request leads to them: a file may bring some for other
    /// tests.
    fn mentions(&self, check: &Check) -> Vec<Mention> {
        let mut found = Vec::new();
        let mut next = vec![check.request.principal.clone(), check.request.resource.clone()];
        in_value(&check.request.context, &mut |uid| next.push(uid));
        let mut seen = BTreeSet::new();
        while let Some(uid) = next.pop() {
            if !seen.insert(uid.clone()) {
                continue;
            }
            let before = found.len();
            for change in self.put.get(&uid).into_iter().flatten() {
                let EntityChange::Put { like, attributes, parents, tags, .. } = change else { continue };
                next.extend(like.clone());
                for parent in parents.iter().flatten() {
                    found.push((parent.clone(), format!("`{uid}` as a parent")));
                }
                for text in std::iter::once(attributes).chain(tags) {
                    let Ok(json) = serde_json::from_str::<Json>(text) else { continue };
                    in_json(&json, &mut |name| found.push((name, format!("`{uid}`"))));
                }
            }
            next.extend(found[before..].iter().map(|(uid, _)| uid.clone()));
            if let Some(stored) = self.stored.get(&uid) {
                in_json(stored, &mut |name| next.push(name));
                // parents may stand without `__entity` around them
                for parent in stored.get("parents").and_then(Json::as_array).into_iter().flatten() {
                    let text = |member: &str| parent.get(member).and_then(Json::as_str);
                    found_uid(text("type"), text("id"), &mut |name| next.push(name));
                }
            }
        }
        found
    }

    /// The ids that are stored of a type.
    fn ids(&self, type_name: &str) -> impl Iterator<Item = String> {
        let first = Uid { type_name: type_name.to_owned().into(), id: "".into() };
        let type_name = type_name.to_owned();
        let stored = self.stored.range(first..).map(|(uid, _)| uid);
        let is_of = move |uid: &&Uid<'static>| uid.type_name == type_name;
        let put: Vec<&Uid<'static>> = self.put.keys().copied().filter(&is_of).collect();
        stored.take_while(is_of).chain(put).map(|uid| uid.id.to_string()).collect::<Vec<_>>().into_iter()
    }
}

fn in_value(value: &Value<'_>, found: &mut dyn FnMut(Uid<'static>)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| in_value(item, found)),
        Value::Object(members) => match members.as_slice() {
            [(key, inner)] if key == "__entity" => {
                let text = |member: &str| inner.get(member).and_then(Value::as_str);
                found_uid(text("type"), text("id"), found);
            }
            members => members.iter().for_each(|(_, value)| in_value(value, found)),
        },
        _ => {}
    }
}

fn in_json(value: &Json, found: &mut dyn FnMut(Uid<'static>)) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| in_json(item, found)),
        Json::Object(members) => match members.get("__entity") {
            Some(inner) => {
                let text = |member: &str| inner.get(member).and_then(Json::as_str);
                found_uid(text("type"), text("id"), found);
            }
            None => members.values().for_each(|value| in_json(value, found)),
        },
        _ => {}
    }
}

/// One that is no name is for the engine to refuse.
fn found_uid(type_name: Option<&str>, id: Option<&str>, found: &mut dyn FnMut(Uid<'static>)) {
    if let (Some(type_name), Some(id)) = (type_name, id)
        && let Ok(uid) = Uid::new(type_name.to_owned(), id.to_owned())
    {
        found(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::test::filter::Filter;
    use crate::cli::test::runner::{Options, run_with};
    use crate::cli::test::yaml;
    use palisade_engine::model::{Bundle, Document, PolicyNaming, PolicyText};
    use palisade_engine::{EngineSettings, Validation};

    const POLICY: &str = "@id(\"nurses\") permit(principal in Role::\"nurse\", action, resource);\n\
                          @id(\"away\") forbid(principal, action, resource) when { context has from && context.from == Room::\"r\" };";
    const ENTITIES: &str = r#"[
        {"uid": {"type": "Staff", "id": "sam"}, "attrs": {}, "parents": [{"type": "Role", "id": "nurse"}]},
        {"uid": {"type": "Role", "id": "nurse"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Room", "id": "r"}, "attrs": {}, "parents": []}
    ]"#;

    fn run(tests: &str, filter: Filter) -> Vec<String> {
        let naming = PolicyNaming::Stem("p".to_owned());
        let bundle = Bundle {
            policies: vec![PolicyText { origin: "p.cedar".to_owned(), text: POLICY.to_owned(), naming }],
            entities: vec![Document::held("e.json", ENTITIES)],
            ..Bundle::default()
        };
        let text = format!("defaults: {{action: visit, resource: Room::r, expect: deny}}\ntests:\n{tests}");
        let file = TestFile {
            path: "t.yaml".into(),
            id: "t.yaml".into(),
            cases: yaml::parse(&text, &|_| Err(String::new())).unwrap(),
        };
        let engine = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let report = run_with(&bundle, &[file], &Options { engine, filter, ..Options::default() }).unwrap();
        report.results.into_iter().flat_map(|result| result.faults).collect()
    }

    #[test]
    fn a_denial_for_a_misspelled_name_fails() {
        let put = |entity: &str| format!("principal: Staff::n, entities: [{{uid: Staff::n, {entity}}}]");
        let from = |name: &str| format!("principal: Staff::sam, context: {{from: {{entity: {name}}}}}");
        for (test, expected) in [
            (
                put("like: Staff::sam, parents: [Role::nusre]"),
                &["`Role::\"nusre\"`, which `Staff::\"n\"` as a parent names, is not in the store; did you mean `Role::\"nurse\"`?"][..],
            ),
            (put("like: Staff::sam, parents: [Role::nusre]") + ", unknown: true", &[]),
            (put("like: Staff::sam, parents: []"), &[]),
            (put("parents: [Role::nurse], attrs: {room: {entity: Room::rr}}") + ", expect: allow", &[]),
            (put("attrs: {room: [{at: {entity: Room::q}}]}"), &["`Room::\"q\"`, which `Staff::\"n\"` names"]),
            (put("tags: {room: {entity: Room::q}}"), &["`Room::\"q\"`, which `Staff::\"n\"` names"]),
            // of a type of which nothing is stored, none is missed
            (put("attrs: {shift: {entity: Shift::early}}"), &[]),
            (put("parents: [Staff::o]"), &["`Staff::\"o\"`"]),
            (put("parents: [Staff::n2]}, {uid: Staff::n2"), &[]),
            (from("Room::r"), &[]),
            (from("Room::r2"), &["`Room::\"r2\"` is not in the store: correct the name"]),
            // brought for another test
            ("principal: Staff::sam, context: {from: {entity: Room::r}}, entities: [{uid: Staff::n, parents: [Role::q]}]".to_owned(), &[]),
            // led to by another
            (put("parents: [Role::aide]}, {uid: Role::aide, parents: [Role::nusre]"), &["`Role::\"nusre\"`, which `Role::\"aide\"`"]),
            (
                "principal: Staff::sam, context: {from: {entity: Room::r}}, entities: [{uid: Role::nurse, parents: [Role::al]}]".to_owned(),
                &["`Role::\"al\"`, which `Role::\"nurse\"` as a parent names"],
            ),
            (put("parents: [Role::nurse]") + ", without: Role::nurse", &["expected deny, got allow"]),
            // stale: all is stored
            (put("parents: []") + ", unknown: true", &["`unknown: true`, but every entity"]),
            (from("Room::r") + ", unknown: true", &["`unknown: true`, but every entity"]),
            ("principal: Staff::x, unknown: true".to_owned(), &[]),
            ("principal: [Staff::x, Staff::sam], context: {from: {entity: Room::r}}, unknown: true".to_owned(), &[]),
        ] {
            let faults = run(&format!("  - {{name: t, {test}}}\n"), Filter::default());
            assert_eq!(faults.len(), expected.len(), "{test}: {faults:?}");
            for (fault, start) in faults.iter().zip(expected) {
                assert!(fault.starts_with(start), "{test}: {fault}");
            }
        }
    }

    #[test]
    fn a_test_of_which_a_part_runs_is_not_judged() {
        let test =
            "  - {name: t, principal: [Staff::x, Staff::sam], context: {from: {entity: Room::r}}, unknown: true}\n";
        assert_eq!(run(test, Filter::new(vec!["Staff::sam".to_owned()])), Vec::<String>::new());
    }
}
