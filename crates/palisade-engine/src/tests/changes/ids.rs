//! Ids that nothing names any more are given out again, and never taken for what they were.

use std::collections::VecDeque;

use super::random::{TEMPLATE, World};
use super::*;
use crate::model::{AccessRequest, Decision};
use crate::tests::dice::Dice;
use crate::tests::support::NOW;
use crate::{Footprint, Thing};

const ORGS: usize = 3;
/// Users that live at once.
const ALIVE: usize = 6;

fn built(world: &World) -> Option<Snapshot> {
    let revision = Revision { incarnation: 1, counter: 1 };
    let settings = EngineSettings::default();
    on_big_stack(|| Snapshot::build(world.bundle().into(), &settings, revision)).unwrap().map(|built| built.0).ok()
}

fn org(n: usize) -> String {
    format!(r#"{{"uid":{{"type":"Org","id":"o{n}"}},"attrs":{{}},"parents":[]}}"#)
}

fn world() -> World {
    let mut world = World::default();
    world.policies.insert("t".to_owned(), TEMPLATE.to_owned());
    let owners = "permit (principal, action, resource) when { resource has owner && resource.owner == principal };";
    world.policies.insert("owners".to_owned(), owners.to_owned());
    (0..ORGS).for_each(|n| _ = world.entities.insert(format!("Org::\"o{n}\""), org(n)));
    world
}

fn ids(state: &Snapshot) -> usize {
    state.store.ids().count()
}

/// What comes and goes: users that no other had the name of, who are friends of those before them, stored or not.
struct Churn {
    dice: Dice,
    next: usize,
    alive: VecDeque<usize>,
}

impl Churn {
    fn user(&mut self, n: usize) -> String {
        let before = n.saturating_sub(self.dice.roll(2 * ALIVE));
        let (org, other) = (self.dice.roll(ORGS), self.dice.roll(ORGS));
        let parents =
            if self.dice.roll(2) == 0 { String::new() } else { format!(r#"{{"type":"Org","id":"o{other}"}}"#) };
        format!(
            r#"{{"uid":{{"type":"User","id":"u{n}"}},"attrs":{{"org":{{"type":"Org","id":"o{org}"}},"friends":[{{"type":"User","id":"u{before}"}}]}},"parents":[{parents}]}}"#
        )
    }

    fn any(&mut self) -> usize {
        // now and then one that is gone, or is to come
        let alive = self.alive[self.dice.roll(self.alive.len())];
        [alive, alive, alive.saturating_sub(ALIVE), self.next + 1][self.dice.roll(4)]
    }

    /// A change, made in the world too.
    fn change(&mut self, world: &mut World) -> Vec<String> {
        let put = |world: &mut World, n: usize, entity: String| {
            world.entities.insert(format!("User::\"u{n}\""), entity.clone());
            format!(r#"{{"upsert":{entity}}}"#)
        };
        match self.dice.roll(9) {
            0..=3 => {
                let (new, entity) = (self.next, self.user(self.next));
                self.next += 1;
                self.alive.push_back(new);
                let mut changes = vec![put(world, new, entity)];
                if self.alive.len() > ALIVE
                    && let Some(old) = self.alive.pop_front()
                {
                    world.entities.remove(&format!("User::\"u{old}\""));
                    let delete = format!(r#"{{"delete":"User::\"u{old}\""}}"#);
                    changes.insert(self.dice.roll(2), delete);
                }
                changes
            }
            4 => {
                let n = self.alive[self.dice.roll(self.alive.len())];
                let entity = self.user(n);
                vec![put(world, n, entity)]
            }
            5 => {
                let (n, owner) = (self.dice.roll(ORGS), self.any());
                let owner = format!(r#"{{"owner":{{"type":"User","id":"u{owner}"}}}}"#);
                let entity = org(n).replace("{}", &owner);
                world.entities.insert(format!("Org::\"o{n}\""), entity.clone());
                vec![format!(r#"{{"upsert":{entity}}}"#)]
            }
            6 => {
                let (id, user) = (format!("p{}", self.dice.roll(2)), self.any());
                let scope = ["principal", "principal == User::\"u#\""][self.dice.roll(2)];
                let condition = ["", "when { principal.friends.contains(User::\"u#\") }"][self.dice.roll(2)];
                let effect = ["permit", "forbid"][self.dice.roll(2)];
                let text = format!("{effect} ({scope}, action, resource) {condition};").replace('#', &user.to_string());
                world.policies.insert(id.clone(), text.clone());
                vec![serde_json::json!({ "put_policy": { "id": id, "text": text } }).to_string()]
            }
            7 => {
                let id = format!("l{}", self.dice.roll(2));
                let link = format!(
                    r#"{{"link_id":"{id}","template_id":"t","args":{{"?principal":"User::\"u{}\"","?resource":"Org::\"o{}\""}}}}"#,
                    self.any(),
                    self.dice.roll(ORGS)
                );
                world.links.insert(id, link.clone());
                vec![format!(r#"{{"put_link":{link}}}"#)]
            }
            _ => {
                let (policy, link) = (format!("p{}", self.dice.roll(2)), format!("l{}", self.dice.roll(2)));
                world.policies.remove(&policy);
                world.links.remove(&link);
                vec![format!(r#"{{"delete_policy":"{policy}"}}"#), format!(r#"{{"delete_link":"{link}"}}"#)]
            }
        }
    }
}

/// All that users near `upto` are answered.
fn answers(state: &Snapshot, upto: usize, revision: Revision) -> Vec<Decision> {
    let ask = |principal: usize, resource: usize| {
        let text = format!(
            r#"{{"principal":"User::\"u{principal}\"","action":"Action::\"read\"","resource":"Org::\"o{resource}\"","context":{{}}}}"#
        );
        let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap();
        let mut decided = state.decide(&request, NOW).unwrap();
        let by_reference = state.decide_by_reference(&request, NOW).unwrap();
        decided.time_dependent = by_reference.time_dependent;
        assert_eq!(decided, by_reference, "{text}");
        Decision { revision, ..decided }
    };
    let users = upto.saturating_sub(3 * ALIVE)..upto + 3;
    on_big_stack(|| users.flat_map(|user| (0..ORGS).map(move |org| (user, org))).map(|(u, o)| ask(u, o)).collect())
        .unwrap()
}

/// Decisions, reasons and errors after ids were given out again are those of a state that is built afresh, older states go
/// on deciding as they did, and what was built beside is what it would be if it were made of what serves.
#[test]
fn an_id_given_out_again_is_never_taken_for_what_it_was() {
    let (mut brought, mut reused) = (0, 0);
    for seed in 0..6 {
        let (mut churn, mut world) = (Churn { dice: Dice(seed), next: 1, alive: [0].into() }, world());
        let first = churn.user(0);
        world.entities.insert("User::\"u0\"".to_owned(), first);
        let mut current = built(&world).unwrap();
        let loaded = ids(&current);
        let revision = current.revision();
        let mut older: VecDeque<(Snapshot, usize, Vec<Decision>)> = VecDeque::new();
        for round in 0..60_usize {
            let (mut next, mut texts) = (world.clone(), Vec::new());
            (0..1 + churn.dice.roll(3)).for_each(|_| texts.extend(churn.change(&mut next)));
            let text = format!("[{}]", texts.join(","));
            // one that is made beside, of the state before, and concerns users whom nothing else does
            let (new, old) = (format!("b{round}"), format!("b{}", round.saturating_sub(1)));
            let entity = user(&new).replace("\"o\"", "\"o0\"");
            next.entities.remove(&format!("User::\"{old}\""));
            next.entities.insert(format!("User::\"{new}\""), entity.clone());
            let beside = format!(r#"[{{"delete":"User::\"{old}\""}},{{"upsert":{entity}}}]"#);
            let beside_of = Transaction { edits: edits(&beside), dangling: Dangling::Keep };
            let made = transact(&current, &beside, Dangling::Keep).unwrap();
            let changed =
                transact(&current, &text, Dangling::Keep).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
            let things: Vec<(Thing, String)> = changed.things();
            let rebuilt = built(&next).unwrap();
            let at = format!("{seed}, {round}: {text}");
            check_referrers(&changed.snapshot.store);
            let direct = transact(&changed.snapshot, &beside, Dangling::Keep).unwrap();
            let footprint = Footprint::of(&beside_of, &made);
            let upon = made.upon(&changed.snapshot, &footprint, &things, &|| false);
            world = next;
            let expected = answers(&rebuilt, churn.next, revision);
            current = match upon {
                Some(upon) => {
                    assert_eq!(stored(&upon.snapshot), stored(&direct.snapshot), "{at}");
                    assert_eq!(answers(&upon.snapshot, churn.next, revision), expected, "{at}");
                    brought += 1;
                    if churn.dice.roll(2) == 0 { upon.snapshot } else { direct.snapshot }
                }
                None => direct.snapshot,
            };
            assert!(current.is_same_as(&rebuilt) && rebuilt.is_same_as(&current), "{at}");
            assert_eq!(answers(&current, churn.next, revision), expected, "{at}");
            older.push_back((changed.snapshot, churn.next, expected));
            if older.len() > 8
                && let Some((state, upto, expected)) = older.pop_front()
            {
                assert_eq!(answers(&state, upto, revision), expected, "an older state, {at}");
            }
        }
        let named = churn.next + 60;
        assert!(ids(&current) < loaded + named * 3 / 4, "{} ids for {named} names", ids(&current));
        reused += loaded + named - ids(&current);
    }
    assert!(brought > 60 && reused > 200, "{brought} were brought up to date, {reused} ids given out again");
}

/// A thousand live, a hundred thousand changes, each of a name that was never there before.
#[test]
fn churn_keeps_the_number_of_ids_flat() {
    const LIVE: usize = 1_000;
    const ROUND: usize = 500;
    let mut state = start();
    let (mut next, mut flat) = (0, 0);
    let mut bytes = 0;
    for round in 0..110 {
        let mut changes = Vec::new();
        for n in next..next + ROUND {
            // friends that are never stored, and friends who go
            let friend = if n % 2 == 0 { format!("f{n}") } else { format!("c{}", n - 1) };
            let friend = format!(r#""friends":[{{"type":"User","id":"{friend}"}}]"#);
            changes.push(format!(r#"{{"upsert":{}}}"#, user(&format!("c{n}")).replace(r#""friends":[]"#, &friend)));
            if n >= LIVE {
                changes.push(format!(r#"{{"delete":"User::\"c{}\""}}"#, n - LIVE));
            }
        }
        next += ROUND;
        let text = format!(
            "permit (principal == User::\"p{round}\", action, resource) when {{ principal.friends.contains(User::\"q{round}\") }};"
        );
        changes.push(serde_json::json!({ "put_policy": { "id": "p", "text": text } }).to_string());
        changes.push(format!(r#"{{"put_link":{{"link_id":"l","template_id":"granted","args":{{"?principal":"User::\"l{round}\"","?resource":"Org::\"r{round}\""}}}}}}"#));
        state = transact(&state, &format!("[{}]", changes.join(",")), Dangling::Keep).unwrap().snapshot;
        if round == 9 {
            (flat, bytes) = (ids(&state), state.entity_bytes());
        }
    }
    let live = state.entity_count();
    assert!(flat < 3 * (LIVE + ROUND), "{flat} ids for {live} entities");
    // names of policies go when the set is made again
    assert!(ids(&state) <= flat + 2 * 300, "{} ids, {flat} after the first rounds", ids(&state));
    assert!(state.entity_bytes() < bytes + bytes / 4, "{} bytes, {bytes} after the first rounds", state.entity_bytes());
}

/// What policies alone name is given back once the set is made again without them, and links give it back at once.
#[test]
fn names_of_policies_and_links_come_back() {
    let mut state = start();
    let mut most = 0;
    for round in 0..1_200 {
        let text = format!("permit (principal == User::\"p{round}\", action, resource);");
        let policy = serde_json::json!({ "put_policy": { "id": "p", "text": text } });
        let link = format!(
            r#"{{"put_link":{{"link_id":"l","template_id":"granted","args":{{"?principal":"User::\"l{round}\"","?resource":"Org::\"o\""}}}}}}"#
        );
        state = transact(&state, &format!("[{policy},{link}]"), Dangling::Keep).unwrap().snapshot;
        most = most.max(ids(&state));
    }
    assert!(most < 700, "{most} ids for 2,400 names");
}
