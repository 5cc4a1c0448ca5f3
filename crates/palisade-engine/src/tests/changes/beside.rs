//! What was built beside the state that served becomes what it would be if it were built upon what serves now.

use super::random::{TEMPLATE, World};
use super::*;
use crate::tests::dice::Dice;
use crate::{Footprint, Thing, Word};

fn built(world: &World) -> Option<Snapshot> {
    let revision = Revision { incarnation: 1, counter: 1 };
    let settings = EngineSettings::default();
    on_big_stack(|| Snapshot::build(world.bundle().into(), &settings, revision)).unwrap().map(|built| built.0).ok()
}

fn world(dice: &mut Dice) -> World {
    let mut world = World::default();
    world.policies.insert("t".to_owned(), TEMPLATE.to_owned());
    for n in 0..4 {
        world.entities.insert(format!("Org::\"o{n}\""), dice.org(n));
    }
    world
}

/// A change of entities, which may depend on what is stored.
fn change(dice: &mut Dice) -> String {
    let uid = |dice: &mut Dice| {
        let (n, org) = (dice.roll(9), dice.roll(4));
        let uid = if dice.roll(3) == 0 { format!("Org::\"o{org}\"") } else { format!("User::\"u{n}\"") };
        serde_json::json!(uid)
    };
    match dice.roll(9) {
        0..=3 => {
            let id = format!("u{}", dice.roll(9));
            format!(r#"{{"upsert":{}}}"#, dice.user(&id))
        }
        4 => format!(r#"{{"delete":{}}}"#, uid(dice)),
        5 => format!(r#"{{"delete_subtree":{}}}"#, uid(dice)),
        6 => format!(r#"{{"revert":{}}}"#, uid(dice)),
        7 => format!(r#"{{"expect":{{"uid":{},"equals":null}}}}"#, uid(dice)),
        _ => format!(r#"{{"update":{{"uid":"User::\"u{}\"","unset":["at"]}}}}"#, dice.roll(9)),
    }
}

fn changes(dice: &mut Dice, most: usize) -> (String, Dangling) {
    let all: Vec<String> = (0..1 + dice.roll(most)).map(|_| change(dice)).collect();
    let dangling = [Dangling::Refuse, Dangling::Unlink, Dangling::Cascade, Dangling::Keep][dice.roll(4)];
    (format!("[{}]", all.join(",")), dangling)
}

/// What is kept of a transaction; that the base counts is worth a word where it did not before.
fn words(changed: &Changed, before: &Snapshot) -> Vec<String> {
    let (mut words, known) = (Vec::new(), before.words());
    changed.words(|thing, key, word| {
        if word != Word::OfBase || known.contains(&(thing, key.to_owned())) {
            words.push(format!("{thing:?} {key} {word:?}"));
        }
    });
    words.sort();
    words
}

/// A transaction that was made upon an older state is what it is upon the newest, or it says that it must be made again.
#[test]
fn a_transaction_brought_up_to_date_is_one_that_is_made_again() {
    let (mut brought, mut again) = (0, 0);
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut world = world(&mut dice);
        for id in ["u0", "u1", "u2", "u3", "u4"] {
            world.entities.insert(format!("User::\"{id}\""), dice.user(id));
        }
        let Some(old) = built(&world) else { continue };
        let (text, dangling) = changes(&mut dice, 3);
        let Ok(made) = transact(&old, &text, dangling) else { continue };
        let transaction = Transaction { edits: edits(&text), dangling };
        let footprint = Footprint::of(&transaction, &made);
        let (mut now, mut things, mut meanwhile) = (old, Vec::new(), Vec::new());
        for _ in 0..1 + dice.roll(2) {
            let (other, dangling) = changes(&mut dice, 2);
            if let Ok(changed) = transact(&now, &other, dangling) {
                things.extend(changed.things());
                meanwhile.push(format!("{other} {dangling:?}"));
                now = changed.snapshot;
            }
        }
        let all = format!("{seed}: {text} {dangling:?}, after {meanwhile:?}");
        let direct = transact(&now, &text, dangling);
        match made.upon(&now, &footprint, &things, &|| false) {
            Some(upon) => {
                let direct = direct.unwrap_or_else(|refused| panic!("{all}: {refused:?}"));
                assert_eq!(stored(&upon.snapshot), stored(&direct.snapshot), "{all}");
                assert_eq!(upon.snapshot.overlay(), direct.snapshot.overlay(), "{all}");
                assert_eq!((upon.tally, upon.changed), (direct.tally, direct.changed), "{all}");
                assert_eq!(words(&upon, &now), words(&direct, &now), "{all}");
                check_referrers(&upon.snapshot.store);
                brought += 1;
            }
            None => again += 1,
        }
    }
    assert!(brought > 40 && again > 40, "{brought} were brought up to date, {again} must be made again");
}

/// A base that was built meanwhile has the same changes above itself, whether they are put there at once or as they come.
#[test]
fn a_base_brought_up_to_date_is_one_that_is_put_below_the_newest_changes() {
    let mut brought = 0;
    for seed in 0..120 {
        let mut dice = Dice(seed);
        let (old, mut next) = (world(&mut dice), world(&mut dice));
        let Some(mut served) = built(&old) else { continue };
        // changes of policies and links, too
        let mut any = old.clone();
        let mut step = |served: &Snapshot, dice: &mut Dice| {
            let text = format!("[{}]", any.change(dice));
            transact(served, &text, Dangling::Keep).ok()
        };
        if let Some(changed) = step(&served, &mut dice) {
            served = changed.snapshot;
        }
        let id = format!("u{}", dice.roll(6));
        next.entities.insert(format!("User::\"{id}\""), dice.user(&id));
        let (Some(first), Some(second)) = (built(&next), built(&next)) else { continue };
        let Ok((so_far, _)) = on_big_stack(|| first.rebased(&served, &|| false)).unwrap() else { continue };
        let mut things: Vec<(Thing, String)> = Vec::new();
        for _ in 0..3 {
            if let Some(changed) = step(&served, &mut dice) {
                things.extend(changed.things());
                served = changed.snapshot;
            }
        }
        let followed = on_big_stack(|| so_far.following(&served, &things, &|| false)).unwrap();
        let direct = on_big_stack(|| second.rebased(&served, &|| false)).unwrap();
        match (followed, direct) {
            (Ok((followed, _)), Ok((direct, _))) => {
                assert!(followed.is_same_as(&direct) && direct.is_same_as(&followed), "{seed}: {things:?}");
                let sorted = |state: &Snapshot| {
                    let mut words: Vec<String> = state.words().iter().map(|word| format!("{word:?}")).collect();
                    words.sort();
                    words
                };
                assert_eq!(sorted(&followed), sorted(&direct), "{seed}: {things:?}");
                check_referrers(&followed.store);
                brought += 1;
            }
            (Err(_), Err(_)) => {}
            (followed, direct) => panic!("{seed}: {:?}, at once {:?}", followed.err(), direct.err()),
        }
    }
    assert!(brought > 40, "{brought}");
}
