//! Links that data make, where a load or a large transaction was built beside changes that went on.

use super::random::{World, as_text, check_grants, fresh, listed, same_answers};
use super::*;
use crate::model::Transaction;
use crate::tests::changes::{edits, stored};
use crate::tests::dice::Dice;
use crate::{Footprint, Thing};

const SETTINGS: fn() -> EngineSettings = EngineSettings::default;

/// A world in which some entities make links.
fn world(dice: &mut Dice) -> (World, Snapshot) {
    let mut world = World::with_templates(dice.roll(2) == 0);
    for _ in 0..30 {
        let mut next = world.clone();
        next.change(dice);
        if next.bundle(true).is_some() {
            world = next;
        }
    }
    let built = fresh(world.bundle(false).unwrap(), &SETTINGS()).unwrap();
    (world, built)
}

fn changes(world: &mut World, dice: &mut Dice, most: usize) -> String {
    let all: Vec<String> = (0..1 + dice.roll(most)).map(|_| world.change(dice)).collect();
    format!("[{}]", all.join(","))
}

/// A transaction made upon an older state and brought up is what it is upon the newest, or must be made again.
#[test]
fn a_transaction_brought_up_to_date_makes_the_links_of_both() {
    let (mut brought, mut again, mut links) = (0, 0, 0);
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let (mut world, old) = world(&mut dice);
        let text = changes(&mut world.clone(), &mut dice, 4);
        let Ok(made) = transact(&old, &text, Dangling::Keep) else { continue };
        let footprint = Footprint::of(&Transaction { edits: edits(&text), dangling: Dangling::Keep }, &made);
        let (mut now, mut things) = (old, Vec::new());
        for _ in 0..1 + dice.roll(3) {
            let mut next = world.clone();
            let other = changes(&mut next, &mut dice, 2);
            if let Ok(changed) = transact(&now, &other, Dangling::Keep) {
                things.extend(changed.things());
                (now, world) = (changed.snapshot, next);
            }
        }
        let direct = transact(&now, &text, Dangling::Keep);
        match made.upon(&now, &footprint, &things, &|| false) {
            Some(upon) => {
                let direct = direct.unwrap_or_else(|refused| panic!("{seed}: {text}: {refused:?}"));
                assert_eq!(listed(&upon.snapshot), listed(&direct.snapshot), "{seed}: {text}");
                assert_eq!(stored(&upon.snapshot), stored(&direct.snapshot), "{seed}: {text}");
                check_grants(&upon.snapshot);
                let whole = fresh(as_text(&upon.snapshot), &SETTINGS()).unwrap();
                assert_eq!(listed(&upon.snapshot), listed(&whole), "{seed}: {text}: as loaded");
                on_big_stack(|| same_answers(&upon.snapshot, &whole)).unwrap();
                links += upon.snapshot.link_count();
                brought += 1;
            }
            None => again += 1,
        }
    }
    assert!(
        brought > 20 && again > 20 && links > 50,
        "{brought} were brought up, {again} are made again, {links} links"
    );
}

/// A base that was built meanwhile makes the links of what it and the newest changes say.
#[test]
fn a_base_brought_up_to_date_makes_the_links_of_both() {
    let (mut brought, mut refused, mut links) = (0, 0, 0);
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let (mut served_world, mut served) = world(&mut dice);
        let (_, next) = world(&mut dice);
        let mut step = |served: &Snapshot, dice: &mut Dice| {
            let mut after = served_world.clone();
            let text = changes(&mut after, dice, 3);
            let changed = transact(served, &text, Dangling::Keep).ok()?;
            served_world = after;
            Some(changed)
        };
        if let Some(changed) = step(&served, &mut dice) {
            served = changed.snapshot;
        }
        let again = fresh(as_text(&next), &SETTINGS()).unwrap();
        let Ok((so_far, _)) = on_big_stack(|| next.rebased(&served, &|| false)).unwrap() else { continue };
        check_grants(&so_far);
        let mut things: Vec<(Thing, String)> = Vec::new();
        for _ in 0..3 {
            if let Some(changed) = step(&served, &mut dice) {
                things.extend(changed.things());
                served = changed.snapshot;
            }
        }
        let followed = on_big_stack(|| so_far.following(&served, &things, &|| false)).unwrap();
        let direct = on_big_stack(|| again.rebased(&served, &|| false)).unwrap();
        match (followed, direct) {
            (Ok((followed, _)), Ok((direct, _))) => {
                assert!(followed.is_same_as(&direct) && direct.is_same_as(&followed), "{seed}: {things:?}");
                assert_eq!(listed(&followed), listed(&direct), "{seed}: {things:?}");
                check_grants(&followed);
                let whole = fresh(as_text(&followed), &SETTINGS()).unwrap();
                assert_eq!(listed(&followed), listed(&whole), "{seed}: as loaded");
                links += followed.link_count();
                brought += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (followed, direct) => panic!("{seed}: {:?}, at once {:?}", followed.err(), direct.err()),
        }
    }
    assert!(brought > 20 && links > 50, "{brought} were brought up, {refused} were refused, {links} links");
}
