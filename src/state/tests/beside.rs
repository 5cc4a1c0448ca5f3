//! What is built beside the writer, while policies, links and entities change one by one.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::state::store::{StoreSettings, open};
use palisade_engine::model::{Edit, Value};
use palisade_journal::Durability;

/// Numbers that look drawn.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn transaction(changes: &[String]) -> Change {
    let edit = |text: &String| Edit::from_value(Value::parse(text.as_bytes()).unwrap(), "").unwrap();
    Change::Transaction(Transaction { edits: changes.iter().map(edit).collect(), ..Transaction::default() })
}

/// Policies and links by id, and what changes had the last word about.
#[derive(Default, Clone)]
struct World {
    files: [BTreeMap<String, String>; 2],
    words: [BTreeMap<String, Option<String>>; 2],
}

const LINK: usize = 1;

impl World {
    /// Files with some of the ids.
    fn files(dice: &mut Dice) -> [BTreeMap<String, String>; 2] {
        let mut files = [BTreeMap::new(), BTreeMap::new()];
        files[0].insert("t".to_owned(), "permit (principal == ?principal, action, resource);".to_owned());
        for n in 0..6 {
            if dice.roll(2) == 0 {
                files[0].insert(format!("p{n}"), Self::policy(dice));
            }
            if dice.roll(2) == 0 {
                files[LINK].insert(format!("l{n}"), format!("U::\"{}\"", dice.roll(9)));
            }
        }
        files
    }

    fn policy(dice: &mut Dice) -> String {
        let (effect, user) = ([["permit", "forbid"], ["permit", "permit"]][0][dice.roll(2) as usize], dice.roll(9));
        format!("{effect} (principal == U::\"{user}\", action, resource);")
    }

    fn bundle(files: &[BTreeMap<String, String>; 2]) -> Bundle {
        let [policies, links] = files;
        let policy = |(id, text): (&String, &String)| PolicyText {
            origin: "p".to_owned(),
            text: text.clone(),
            naming: PolicyNaming::Exactly(id.clone()),
        };
        let link = |(id, user): (&String, &String)| palisade_engine::model::Link {
            template_id: "t".to_owned(),
            link_id: id.clone(),
            args: vec![("?principal".to_owned(), user.clone())],
            written: None,
        };
        let entities = vec![Document::held("e", entity("e"))];
        let (policies, links) = (policies.iter().map(policy).collect(), links.iter().map(link).collect());
        Bundle { policies, links, entities, ..Bundle::default() }
    }

    /// A change, made here too.
    fn change(&mut self, dice: &mut Dice) -> String {
        let kind = dice.roll(2) as usize;
        let id = format!("{}{}", ["p", "l"][kind], dice.roll(6));
        if dice.roll(3) == 0 {
            // what only a change brought is gone with nothing left
            let hides = self.files[kind].contains_key(&id);
            self.words[kind].remove(&id);
            self.words[kind].extend(hides.then(|| (id.clone(), None)));
            return format!(r#"{{"{}":"{id}"}}"#, ["delete_policy", "delete_link"][kind]);
        }
        let value = if kind == LINK { format!("U::\"{}\"", dice.roll(9)) } else { Self::policy(dice) };
        self.words[kind].insert(id.clone(), Some(value.clone()));
        let json = match kind {
            LINK => serde_json::json!({"put_link": {"link_id": id, "template_id": "t", "args": {"?principal": value}}}),
            _ => serde_json::json!({"put_policy": {"id": id, "text": value}}),
        };
        json.to_string()
    }

    /// What serves.
    fn all(&self) -> [BTreeMap<String, String>; 2] {
        let mut all = self.files.clone();
        for (all, words) in all.iter_mut().zip(&self.words) {
            for (id, word) in words {
                all.remove(id);
                all.extend(word.clone().map(|value| (id.clone(), value)));
            }
        }
        all
    }
}

fn serving(state: &State) -> [BTreeMap<String, String>; 2] {
    let snapshot = state.snapshot().unwrap();
    let policies = snapshot.policy_texts().into_iter().map(|(id, text)| (id.to_owned(), text.to_owned())).collect();
    let links = snapshot.links().iter().map(|it| (it.link.link_id.clone(), it.link.args[0].1.clone())).collect();
    [policies, links]
}

/// Policies and links change before files are loaded, while they are built, and after; each stays, above what the files have.
#[test]
fn policies_that_change_while_files_are_loaded_stay_above_them() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut world = World { files: World::files(&mut dice), ..World::default() };
        let held = Held::new();
        let load = |bundle: Bundle, meanwhile: &mut dyn FnMut()| {
            std::thread::scope(|threads| {
                let state = &held.state;
                let loading = threads.spawn(move || state.apply_load(bundle, Vec::new(), state.acknowledged()));
                held.begun.recv().unwrap();
                meanwhile();
                held.go.send(()).unwrap();
                loading.join().unwrap().unwrap()
            })
        };
        load(World::bundle(&world.files), &mut || {});
        for _ in 0..3 {
            let next = World::files(&mut dice);
            let mut now = world.clone();
            load(World::bundle(&next), &mut || {
                for _ in 0..dice.roll(8) {
                    let changes: Vec<String> = (0..1 + dice.roll(3)).map(|_| now.change(&mut dice)).collect();
                    run(held.state.apply(transaction(&changes), Origin::Changes)).unwrap();
                    assert_eq!(serving(&held.state), now.all(), "{seed}: {changes:?}");
                }
            });
            now.files = next;
            world = now;
            assert_eq!(serving(&held.state), world.all(), "{seed}");
            let changes = [world.change(&mut dice)];
            run(held.state.apply(transaction(&changes), Origin::Changes)).unwrap();
            assert_eq!(serving(&held.state), world.all(), "{seed}: {changes:?}");
        }
    }
}

fn upsert(id: &str, note: &str) -> String {
    format!(r#"{{"upsert": {{"uid": {{"type": "U", "id": "{id}"}}, "attrs": {{"note": "{note}"}}, "parents": []}}}}"#)
}

/// A transaction whose records go ahead of it is there after a restart with those that came meanwhile, and one that was
/// refused is not.
#[test]
fn a_transaction_that_goes_ahead_survives_with_what_came_between() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let settings = StoreSettings { path, durability: Durability::Fsync, max_answers: 10 };
    let engine = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let start = || {
        let opened = open(&settings, 7).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (rules, observers) = (LoadRules::default(), Observers::default());
        let state = State::start_stored(engine.clone(), rules, observers, metrics, Some(opened)).unwrap();
        state.apply_load(bundle("files"), Vec::new(), 0).unwrap();
        state
    };
    let note = "x".repeat(1_000);
    let many =
        |from: u32, note: &str| (from..from + 6_000).map(|n| upsert(&format!("many{n}"), note)).collect::<Vec<_>>();
    let state = start();
    let bytes = |state: &State| state.status().store.unwrap().counts.bytes;
    let singles = run(async {
        let large = {
            let (state, change) = (state.clone(), transaction(&many(0, &note)));
            tokio::spawn(async move { state.apply(change, Origin::Changes).await })
        };
        let mut singles = BTreeSet::new();
        while !large.is_finished() || singles.len() < 5 {
            let id = format!("single{}", singles.len());
            state.apply(transaction(&[upsert(&id, "y")]), Origin::Changes).await.unwrap();
            singles.insert(id);
            tokio::task::yield_now().await;
        }
        assert_eq!(large.await.unwrap().unwrap().tally.upserted, 6_000);
        singles
    });
    assert!(bytes(&state) > 6_000_000);
    // its conditions do not hold: nothing of it is kept, whatever was written
    let other = Revision { incarnation: 1, counter: 1 };
    let refused =
        run(state.apply_if(vec![Expected::OneOf(vec![other])], transaction(&many(6_000, &note)), Origin::Changes));
    assert!(matches!(refused, Err(Rejected::Unexpected(_))), "{refused:?}");
    let entities = state.snapshot().unwrap().entity_count();
    assert_eq!(entities, 6_000 + singles.len());
    state.close(Duration::from_secs(10));
    drop(state);
    let again = start();
    assert_eq!(again.snapshot().unwrap().entity_count(), entities);
    for id in singles.iter().map(String::as_str).chain(["many0", "many5999"]) {
        let uid = palisade_engine::model::Uid::parse(&format!("U::\"{id}\"")).unwrap().into_owned();
        assert!(again.snapshot().unwrap().entity(&uid).is_some(), "{id}");
    }
}
