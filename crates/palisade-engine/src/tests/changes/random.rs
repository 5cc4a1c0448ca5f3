//! Incremental equals rebuilt: after any changes of entities, policies and links the state is what building it afresh is.

use std::collections::BTreeMap;

use super::*;
use crate::model::{AccessRequest, Bundle, Document, Link, LinkNames, PolicyNaming, PolicyText, SchemaText};
use crate::tests::dice::Dice;
use crate::tests::support::NOW;
use crate::{Thing, Told, Word};

impl Dice {
    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len())]
    }

    pub(super) fn user(&mut self, id: &str) -> String {
        let (org, friend) = (self.roll(4), self.roll(6));
        let parents =
            [r#"{"type":"Group","id":"g0"}"#, r#"{"type":"Org","id":"o1"}"#, r#"{"type":"Role","id":"admin"}"#];
        let parents: Vec<&str> = parents.into_iter().filter(|_| self.roll(2) == 0).collect();
        let at = match self.roll(3) {
            0 => format!(r#","at":{{"place":{{"type":"Org","id":"o{org}"}},"note":"n{}"}}"#, self.roll(3)),
            _ => String::new(),
        };
        format!(
            r#"{{"uid":{{"type":"User","id":"{id}"}},"attrs":{{"org":{{"type":"Org","id":"o{org}"}},"friends":[{{"type":"User","id":"u{friend}"}}]{at}}},"parents":[{}]}}"#,
            parents.join(",")
        )
    }

    pub(super) fn org(&mut self, n: usize) -> String {
        let owner = match self.roll(2) {
            0 => format!(r#""owner":{{"type":"User","id":"u{}"}}"#, self.roll(6)),
            _ => String::new(),
        };
        let parent = if n > 0 { format!(r#"{{"type":"Org","id":"o{}"}}"#, n - 1) } else { String::new() };
        format!(r#"{{"uid":{{"type":"Org","id":"o{n}"}},"attrs":{{{owner}}},"parents":[{parent}]}}"#)
    }

    fn policy(&mut self) -> String {
        let effect = self.pick(&["permit", "forbid"]);
        let scope =
            self.pick(&["principal", "principal == User::\"u1\"", "principal in Org::\"o1\"", "principal is User"]);
        let condition = self.pick(&[
            "",
            "when { principal in resource }",
            "when { context.level > 9223372036854775806 + context.level }",
            "when { principal has at && principal.at.note like \"n1*\" }",
            "unless { principal.friends.contains(User::\"u2\") }",
            "when { resource has owner && resource.owner == principal }",
        ]);
        format!(
            "{effect} ({scope}, action, resource) {}",
            condition.replace("context.level", "(if context has level then context.level else 0)")
        ) + ";"
    }
}

/// The world in plain maps.
#[derive(Default, Clone)]
pub(super) struct World {
    pub(super) entities: BTreeMap<String, String>,
    pub(super) policies: BTreeMap<String, String>,
    pub(super) links: BTreeMap<String, String>,
}

pub(super) const TEMPLATE: &str = "permit (principal in ?principal, action, resource in ?resource);";

impl World {
    pub(super) fn bundle(&self) -> Bundle {
        let policies = self.policies.iter().map(|(id, text)| PolicyText {
            origin: id.clone(),
            text: text.clone(),
            naming: PolicyNaming::Exactly(id.clone()),
        });
        let entities: Vec<&str> = self.entities.values().map(String::as_str).collect();
        let link =
            |text: &String| Link::from_value(Value::parse(text.as_bytes()).unwrap(), LinkNames::OF_FILES, "").unwrap();
        Bundle {
            policies: policies.collect(),
            schema: Some(SchemaText { fragments: vec![("schema".to_owned(), SCHEMA.to_owned())] }),
            entities: vec![Document::held("entities", format!("[{}]", entities.join(",")))],
            links: self.links.values().map(link).collect(),
            ..Bundle::default()
        }
    }

    /// A change, made here too.
    pub(super) fn change(&mut self, dice: &mut Dice) -> String {
        match dice.roll(12) {
            0..=3 => {
                let id = format!("u{}", dice.roll(6));
                let entity = dice.user(&id);
                self.entities.insert(format!("User::\"{id}\""), entity.clone());
                format!(r#"{{"upsert":{entity}}}"#)
            }
            4 => {
                let n = dice.roll(4);
                let entity = dice.org(n);
                self.entities.insert(format!("Org::\"o{n}\""), entity.clone());
                format!(r#"{{"upsert":{entity}}}"#)
            }
            5 | 6 => {
                let id = format!("User::\"u{}\"", dice.roll(6));
                self.entities.remove(&id);
                format!(r#"{{"delete":{}}}"#, serde_json::json!(id))
            }
            7 | 8 => {
                let (id, text) = (format!("p{}", dice.roll(5)), dice.policy());
                self.policies.insert(id.clone(), text.clone());
                serde_json::json!({ "put_policy": { "id": id, "text": text } }).to_string()
            }
            9 => {
                let id = format!("p{}", dice.roll(5));
                self.policies.remove(&id);
                format!(r#"{{"delete_policy":"{id}"}}"#)
            }
            10 => {
                let id = format!("l{}", dice.roll(4));
                let link = format!(
                    r#"{{"link_id":"{id}","template_id":"t","args":{{"?principal":"User::\"u{}\"","?resource":"Org::\"o{}\""}}}}"#,
                    dice.roll(6),
                    dice.roll(4)
                );
                self.links.insert(id, link.clone());
                format!(r#"{{"put_link":{link}}}"#)
            }
            _ => {
                let id = format!("l{}", dice.roll(4));
                self.links.remove(&id);
                format!(r#"{{"delete_link":"{id}"}}"#)
            }
        }
    }
}

fn same_answers(incremental: &Snapshot, rebuilt: &Snapshot) {
    for (principal, resource, level) in
        (0..6).flat_map(|p| (0..4).flat_map(move |r| [(p, r, "{}"), (p, r, r#"{"level":1}"#)]))
    {
        let request = format!(
            r#"{{"principal":"User::\"u{principal}\"","action":"Action::\"read\"","resource":"Org::\"o{resource}\"","context":{level}}}"#
        );
        let request = AccessRequest::from_value(Value::parse(request.as_bytes()).unwrap()).unwrap();
        let (mut ours, theirs) = (incremental.decide(&request, NOW).unwrap(), rebuilt.decide(&request, NOW).unwrap());
        ours.revision = theirs.revision;
        assert_eq!(ours, theirs, "{request:?}");
        let mut slice = incremental.decide_by_reference(&request, NOW).unwrap();
        (slice.revision, slice.time_dependent) = (theirs.revision, theirs.time_dependent);
        assert_eq!(slice, theirs, "by the reference: {request:?}");
    }
}

/// What is kept of a state beside its base.
#[derive(Default)]
struct Kept(BTreeMap<(&'static str, String), (Thing, Word)>);

impl Kept {
    fn take(&mut self, changed: &Changed) {
        changed.words(|thing, key, word| {
            let kind = match thing {
                Thing::Entity => "entity",
                Thing::Policy => "policy",
                Thing::Link => "link",
            };
            match word {
                Word::OfBase => drop(self.0.remove(&(kind, key.to_owned()))),
                word => drop(self.0.insert((kind, key.to_owned()), (thing, word))),
            }
        });
    }

    /// The state that a start makes of it.
    fn upon(&self, base: &Snapshot) -> Snapshot {
        let told = |((_, key), (thing, word)): (&(&str, String), &(Thing, Word))| match (thing, word) {
            (_, Word::Gone | Word::OfBase) => Told::Change(crate::gone(*thing, key).unwrap()),
            (thing, Word::Is(text)) => match (thing, Value::parse(text.as_bytes()).unwrap().into_owned()) {
                (Thing::Entity, Value::Object(mut members)) => Told::Entity(members.remove(0).1),
                (_, value) => Told::Change(Edit::from_value(value, "store").unwrap()),
            },
        };
        let each = |take: &mut dyn FnMut(Told<'_>)| {
            self.0.iter().map(told).for_each(take);
            Ok::<(), ()>(())
        };
        on_big_stack(|| base.restored(&|| false, each)).unwrap().unwrap().unwrap()
    }
}

/// What readers see of a state beside what [`Snapshot::is_same_as`] compares.
fn listed(state: &Snapshot) -> String {
    let texts = state.texts();
    let links = texts.links.iter().map(|link| {
        let args: BTreeMap<&String, &String> = link.args.iter().map(|(slot, arg)| (slot, arg)).collect();
        format!("{} {} {args:?}", link.link_id, link.template_id)
    });
    let links: Vec<String> = links.collect();
    let words: BTreeSet<String> = state.words().iter().map(|word| format!("{word:?}")).collect();
    format!("{links:?} {words:?} {:?} {}", state.overlay(), state.policy_count())
}

fn run(seed: u64, settings: &EngineSettings) {
    let mut dice = Dice(seed);
    let mut world = World::default();
    world.policies.insert("t".to_owned(), TEMPLATE.to_owned());
    for n in 0..4 {
        world.entities.insert(format!("Org::\"o{n}\""), dice.org(n));
    }
    let revision = Revision { incarnation: 1, counter: 1 };
    let fresh = |world: &World| {
        on_big_stack(|| Snapshot::build(world.bundle().into(), settings, revision)).unwrap().map(|built| built.0)
    };
    let mut current = fresh(&world).unwrap();
    let (base, mut kept) = (fresh(&world).unwrap(), Kept::default());
    for _ in 0..12 {
        let mut next = world.clone();
        let changes: Vec<String> = (0..1 + dice.roll(4)).map(|_| next.change(&mut dice)).collect();
        let text = format!("[{}]", changes.join(","));
        match (transact(&current, &text, Dangling::Keep), fresh(&next)) {
            (Ok(changed), Ok(rebuilt)) => {
                assert!(changed.snapshot.is_same_as(&rebuilt) && rebuilt.is_same_as(&changed.snapshot), "{text}");
                assert_eq!(stored(&changed.snapshot), stored(&rebuilt), "{text}");
                assert_eq!(changed.snapshot.policy_count(), rebuilt.policy_count(), "{text}");
                assert_eq!(changed.snapshot.forbids(), rebuilt.forbids(), "{text}");
                check_referrers(&changed.snapshot.store);
                on_big_stack(|| same_answers(&changed.snapshot, &rebuilt)).unwrap();
                kept.take(&changed);
                let again = kept.upon(&base);
                assert!(again.is_same_as(&changed.snapshot), "after a restart: {text}");
                assert_eq!(listed(&again), listed(&changed.snapshot), "after a restart: {text}");
                on_big_stack(|| same_answers(&again, &rebuilt)).unwrap();
                (current, world) = (changed.snapshot, next);
            }
            (Err(_), Err(_)) => {}
            (incremental, rebuilt) => panic!("{text}: {incremental:?}, rebuilt {rebuilt:?}"),
        }
    }
}

#[test]
fn incremental_equals_rebuilt() {
    for seed in 0..12 {
        run(seed, &EngineSettings::default());
    }
    // by trees that are made when they are asked for, and by Cedar's own authorizer
    for seed in 20..24 {
        run(seed, &EngineSettings { kept: crate::KeptTrees(0), ..EngineSettings::default() });
        run(seed, &EngineSettings { kind: crate::EngineKind::Reference, ..EngineSettings::default() });
    }
}
