//! Whether two states are the same one, however their bundles were cut and named.
//!
//! What files hold comes again through an API in other pieces: a policy each, without the names of files, entities in
//! another order. A client that puts back what it got has changed nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::export;
use crate::ids::EntityId;
use crate::model::ForEach;
use crate::snapshot::Snapshot;
use crate::store::{Entity, Store};
use crate::value::{Record, Set, Val, equal};

impl Snapshot {
    /// Whether the other has the same policies under the same ids, the same links, schema and routes, and the same
    /// entities. A schema and a policy count as their text, and routes as text and name. Ends with the first difference;
    /// without one, it looks at every entity.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.has_texts_of(other) && has_entities_of(&self.store, &other.store)
    }

    /// Whether the two share their policies and links: then neither has one that the other lacks.
    #[must_use]
    pub fn has_policies_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core) && self.grants.is(&other.grants)
    }

    fn has_texts_of(&self, other: &Self) -> bool {
        let schema = |snapshot: &Self| -> Option<Vec<String>> {
            let schema = snapshot.texts.schema.as_ref()?;
            Some(schema.fragments.iter().map(|(_, text)| text.clone()).collect())
        };
        let routes =
            |snapshot: &Self| -> BTreeSet<(String, String)> { snapshot.texts.routes.iter().cloned().collect() };
        self.policy_texts() == other.policy_texts()
            && schema(self) == schema(other)
            && routes(self) == routes(other)
            && links(self) == links(other)
            && for_each(self) == for_each(other)
    }
}

/// The id of a link, its template's, and what it fills in.
type LinkParts<'s> = (&'s str, &'s str, BTreeSet<&'s (String, String)>);

/// What is said of every entity of a type, wherever it is written.
fn for_each(snapshot: &Snapshot) -> BTreeSet<String> {
    let ForEach { links, rules } = &snapshot.texts.for_each;
    let links = links.iter().map(|link| link.to_json().to_string());
    links.chain(rules.iter().map(|rule| rule.to_json().to_string())).collect()
}

/// All links that were written by hand, wherever they are written. The data make the others.
fn links(snapshot: &Snapshot) -> BTreeSet<LinkParts<'_>> {
    snapshot
        .core
        .policies
        .by_hand()
        .map(|link| (link.link_id.as_str(), link.template_id.as_str(), link.args.iter().collect()))
        .collect()
}

fn has_entities_of(here: &Store, there: &Store) -> bool {
    here.len() == there.len()
        && here.ids().all(|id| {
            let Some(entity) = here.entity(id).filter(|entity| !entity.is_schema_action()) else { return true };
            let other = counterpart(here, id, there).and_then(|id| there.entity(id));
            other.is_some_and(|other| has_content_of((here, entity), (there, other)))
        })
}

/// The id that the other store has for the same uid. Ids are given out in the order in which uids are met.
fn counterpart(here: &Store, id: EntityId, there: &Store) -> Option<EntityId> {
    let type_name = here.symbols().type_name(here.type_of(id));
    there.named(type_name, here.record(id)?.id())
}

fn has_content_of((here, entity): (&Store, Entity<'_>), (there, other): (&Store, Entity<'_>)) -> bool {
    let parents: Option<BTreeSet<EntityId>> = entity.parents().map(|id| counterpart(here, id, there)).collect();
    let same_tag = |i: usize| {
        let ((key, value), (other_key, other)) = (entity.tag_at(i), other.tag_at(i));
        key == other_key && same((here, value), (there, other))
    };
    parents.is_some_and(|parents| parents == other.parents().collect())
        && same_record((here, entity.attributes()), (there, other.attributes()))
        && entity.tag_count() == other.tag_count()
        && (0..entity.tag_count()).all(same_tag)
}

/// Recurses with the nesting of the value, which JSON bounds.
fn same((here, value): (&Store, Val<'_>), (there, other): (&Store, Val<'_>)) -> bool {
    match (value, other) {
        (Val::Entity(id), Val::Entity(other)) => counterpart(here, id, there) == Some(other),
        (Val::Set(set), Val::Set(other)) => same_set((here, set), (there, other)),
        (Val::Record(record), Val::Record(other)) => same_record((here, record), (there, other)),
        // ids and names are numbers that mean something within one store alone
        (Val::Entity(_) | Val::Set(_) | Val::Record(_), _) | (_, Val::Entity(_) | Val::Set(_) | Val::Record(_)) => {
            false
        }
        (value, other) => equal(value, other),
    }
}

fn same_record((here, record): (&Store, Record<'_>), (there, other): (&Store, Record<'_>)) -> bool {
    record.len() == other.len()
        && (0..record.len()).all(|i| {
            let (name, value) = record.get(i);
            let name = here.symbols().attribute_name(name).and_then(|name| there.symbols().attribute_id(name));
            name.and_then(|name| other.find(name)).is_some_and(|other| same((here, value), (there, other)))
        })
}

/// Most sets have the same order in both; where entities or records are in them, that may be another.
fn same_set((here, set): (&Store, Set<'_>), (there, other): (&Store, Set<'_>)) -> bool {
    let sorted = |store: &Store, set: Set<'_>| -> BTreeSet<String> {
        (0..set.len()).map(|i| export::canonical(store, set.get(i)).to_string()).collect()
    };
    set.len() == other.len()
        && ((0..set.len()).all(|i| same((here, set.get(i)), (there, other.get(i))))
            || sorted(here, set) == sorted(there, other))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::{Bundle, Document, Link, PolicyNaming, PolicyText, Revision, SchemaText};
    use crate::{EngineSettings, Snapshot, Validation, on_big_stack};

    /// Entities that refer to one another, to one that is not stored, and have values of every kind.
    const ENTITIES: [&str; 4] = [
        r#"{"uid": {"type": "U", "id": "a"}, "attrs": {"s": [{"__entity": {"type": "U", "id": "b"}}, {"__entity": {"type": "U", "id": "c"}}], "n": 1, "r": {"x": "1", "y": true}}, "parents": [{"type": "G", "id": "g"}, {"type": "G", "id": "h"}]}"#,
        r#"{"uid": {"type": "U", "id": "b"}, "attrs": {"d": {"__extn": {"fn": "decimal", "arg": "1.5"}}, "s": [{"k": [2, 1]}, {"z": "z"}]}, "parents": []}"#,
        r#"{"uid": {"type": "U", "id": "c"}, "attrs": {"z": {"__entity": {"type": "U", "id": "away"}}}, "parents": [], "tags": {"t": "v"}}"#,
        r#"{"uid": {"type": "G", "id": "g"}, "attrs": {}, "parents": []}"#,
    ];

    const TEMPLATE: &str = "permit (principal == ?principal, action, resource);";

    fn text(origin: &str, text: &str, naming: PolicyNaming) -> PolicyText {
        PolicyText { origin: origin.to_owned(), text: text.to_owned(), naming }
    }

    fn link(args: &[(&str, &str)]) -> Link {
        let args = args.iter().map(|(slot, uid)| ((*slot).to_owned(), (*uid).to_owned())).collect();
        Link { template_id: "a.1".to_owned(), link_id: "l".to_owned(), args, written: None }
    }

    /// As files have it.
    fn files() -> Bundle {
        let policies = format!("// about it\npermit (principal, action, resource);\n\n{TEMPLATE}");
        Bundle {
            policies: vec![text("policies/a.cedar", &policies, PolicyNaming::Stem("a".to_owned()))],
            schema: None,
            entities: vec![Document::held("entities/a.json", format!("[{}]", ENTITIES.join(",")))],
            links: vec![link(&[("?principal", "U::\"a\"")])],
            routes: vec![("r.yaml".to_owned(), "routes: []".to_owned()), ("s.yaml".to_owned(), String::new())],
            ..Bundle::default()
        }
    }

    /// As an API gives it.
    fn uploaded() -> Bundle {
        let backwards: Vec<&str> = ENTITIES.iter().rev().copied().collect();
        let mut entities = backwards.join(",");
        // members of sets and parents in another order, too
        entities = entities.replace(r#"{"k": [2, 1]}, {"z": "z"}"#, r#"{"z": "z"}, {"k": [1, 2]}"#).replace(
            r#"{"type": "G", "id": "g"}, {"type": "G", "id": "h"}"#,
            r#"{"type": "G", "id": "h"}, {"type": "G", "id": "g"}"#,
        );
        let exactly = |id: &str| PolicyNaming::Exactly(id.to_owned());
        Bundle {
            policies: vec![
                text("policies[\"a.1\"]", TEMPLATE, exactly("a.1")),
                text("policies[\"a.0\"]", "permit (principal, action, resource);", exactly("a.0")),
            ],
            entities: vec![Document::held("entities", format!("[{entities}]"))],
            routes: files().routes.into_iter().rev().collect(),
            ..files()
        }
    }

    fn built(bundle: Bundle) -> Snapshot {
        let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        on_big_stack(|| Snapshot::build(Arc::new(bundle), &settings, revision)).unwrap().unwrap().0
    }

    #[test]
    fn a_bundle_in_other_pieces_is_the_same() {
        let (files, uploaded) = (built(files()), built(uploaded()));
        assert!(files.is_same_as(&uploaded) && uploaded.is_same_as(&files) && files.is_same_as(&files));
    }

    #[test]
    fn every_part_counts() {
        let reference = built(files());
        let entities = |from: &str, to: &str| {
            let text = format!("[{}]", ENTITIES.join(","));
            assert!(text.contains(from), "{from}");
            Bundle { entities: vec![Document::held("entities", text.replacen(from, to, 1))], ..uploaded() }
        };
        let mut policies = uploaded();
        policies.policies[1].text = "forbid (principal, action, resource);".to_owned();
        let mut renamed = uploaded();
        renamed.policies[1].naming = PolicyNaming::Exactly("a.2".to_owned());
        let mut routes = uploaded();
        routes.routes[0].1.push(' ');
        let schema = SchemaText { fragments: vec![("schema".to_owned(), "entity U;".to_owned())] };
        for (what, bundle) in [
            ("a policy's text", policies),
            ("a policy's id", renamed),
            ("routes", routes),
            ("a schema", Bundle { schema: Some(schema), entities: Vec::new(), links: Vec::new(), ..uploaded() }),
            ("a link", Bundle { links: vec![link(&[("?principal", "U::\"b\"")])], ..uploaded() }),
            ("no link", Bundle { links: Vec::new(), ..uploaded() }),
            ("a number", entities(r#""n": 1"#, r#""n": 2"#)),
            ("a kind of value", entities(r#""n": 1"#, r#""n": "1""#)),
            ("a name", entities(r#""n": 1"#, r#""m": 1"#)),
            ("a member of a set", entities(r#"[2, 1]"#, r#"[2, 3]"#)),
            ("an entity in a set", entities(r#""id": "b"}}, {"__entity""#, r#""id": "x"}}, {"__entity""#)),
            ("a record's member", entities(r#""y": true"#, r#""y": false"#)),
            ("an extension value", entities("1.5", "1.6")),
            ("a reference", entities(r#""id": "away""#, r#""id": "gone""#)),
            ("a tag", entities(r#"{"t": "v"}"#, r#"{"t": "w"}"#)),
            ("a parent", entities(r#"{"type": "G", "id": "h"}"#, r#"{"type": "G", "id": "i"}"#)),
            ("an entity's id", entities(r#""uid": {"type": "G", "id": "g"}"#, r#""uid": {"type": "G", "id": "z"}"#)),
            ("no entities", Bundle { entities: Vec::new(), ..uploaded() }),
        ] {
            let other = built(bundle);
            assert!(!reference.is_same_as(&other) && !other.is_same_as(&reference), "{what}");
        }
    }
}
