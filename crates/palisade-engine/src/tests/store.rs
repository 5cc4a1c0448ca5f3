//! Changes against building afresh, faults of the hierarchy, and what loading accepts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::support::{Both, NOW, build, bundle, lenient};
use crate::model::{AccessRequest, Edit, Revision, Uid, Value};
use crate::tests::dice::Dice;
use crate::{Semantics, Snapshot};

const POLICIES: &str = r#"
    permit (principal, action, resource) when { principal in resource };
    permit (principal, action, resource) when { resource in principal.links };
    permit (principal, action, resource) when { resource.n > 3 };
    forbid (principal in G::"3", action, resource) when { principal has n && principal.n == 2 };
    permit (principal, action, resource) when { principal.hasTag("t") && principal.getTag("t").contains(resource) };
"#;

const NEXT: Revision = Revision { incarnation: 1, counter: 2 };

impl Dice {
    fn entity(&mut self, id: u64) -> String {
        // parents have larger ids: no cycle
        let parents: Vec<String> =
            (0..self.draw(4)).map(|_| format!(r#"{{"type": "G", "id": "{}"}}"#, id + 1 + self.draw(6))).collect();
        let mut attributes = vec![];
        if self.draw(3) > 0 {
            attributes.push(format!(r#""n": {}"#, self.draw(6)));
        }
        let links: Vec<String> = (0..self.draw(3))
            .map(|_| format!(r#"{{"__entity": {{"type": "G", "id": "{}"}}}}"#, self.draw(40)))
            .collect();
        if self.draw(3) > 0 {
            attributes.push(format!(r#""links": [{}]"#, links.join(",")));
        }
        let tags =
            if self.draw(2) == 0 { format!(r#","tags": {{"t": [{}]}}"#, links.join(",")) } else { String::new() };
        format!(
            r#"{{"uid": {{"type": "G", "id": "{id}"}}, "parents": [{}], "attrs": {{{}}}{tags}}}"#,
            parents.join(","),
            attributes.join(",")
        )
    }
}

fn value(text: &str) -> Value<'static> {
    Value::parse(text.as_bytes()).unwrap().into_owned()
}

fn uid(id: u64) -> Uid<'static> {
    Uid::new("G", id.to_string()).unwrap()
}

/// What is exported loads to the same state.
fn round_trip(snapshot: &Snapshot, policies: &str) -> Both {
    let lines: Vec<String> = snapshot.entities().map(|entity| serde_json::to_string(&entity).unwrap()).collect();
    Both::plain(policies, &if lines.is_empty() { "[]".to_owned() } else { lines.join("\n") })
}

fn same_answers(changed: &Snapshot, afresh: &Both, dice: &mut Dice) {
    assert_eq!(changed.entity_count(), afresh.compiled.entity_count());
    for _ in 0..40 {
        let request = AccessRequest::new(uid(dice.draw(45)), Uid::new("Action", "a").unwrap(), uid(dice.draw(45)));
        let mut ours = changed.decide(&request, NOW).unwrap();
        let theirs = afresh.decide(&request).unwrap();
        ours.revision = theirs.revision;
        assert_eq!(ours, theirs, "{request:?}");
        let mut slice = changed.decide_by_reference(&request, NOW).unwrap();
        slice.revision = theirs.revision;
        assert_eq!(slice, theirs, "{request:?}");
    }
}

#[test]
fn random_changes_lead_where_building_afresh_does() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut model: BTreeMap<u64, String> = BTreeMap::new();
        for id in 0..30 {
            model.insert(id, dice.entity(id));
        }
        let text = |model: &BTreeMap<u64, String>| model.values().cloned().collect::<Vec<_>>().join("\n");
        let first = Both::plain(POLICIES, &text(&model));
        let mut current = first.compiled.apply(&[], NEXT).unwrap();
        for _ in 0..6 {
            let mut changes = Vec::new();
            for _ in 0..1 + dice.draw(5) {
                let id = dice.draw(40);
                if dice.draw(3) == 0 {
                    model.remove(&id);
                    changes.push(Edit::Delete(uid(id)));
                } else {
                    let entity = dice.entity(id);
                    changes.push(Edit::Upsert(value(&entity)));
                    model.insert(id, entity);
                }
            }
            let next = current.apply(&changes, NEXT).unwrap();
            assert_eq!(first.compiled.entity_count(), 30);
            current = next;
            let documents = if model.is_empty() { "[]".to_owned() } else { text(&model) };
            same_answers(&current, &Both::plain(POLICIES, &documents), &mut dice);
            same_answers(&current, &round_trip(&current, POLICIES), &mut dice);
        }
    }
}

#[test]
fn a_subtree_goes_with_everything_below_it() {
    let entity = |id: u64, parents: &[u64]| {
        let parents: Vec<String> = parents.iter().map(|p| format!(r#"{{"type": "G", "id": "{p}"}}"#)).collect();
        format!(r#"{{"uid": {{"type": "G", "id": "{id}"}}, "parents": [{}], "attrs": {{}}}}"#, parents.join(","))
    };
    let all =
        [entity(1, &[]), entity(2, &[1]), entity(3, &[2, 9]), entity(4, &[9]), entity(5, &[4, 3]), entity(9, &[])];
    let both = Both::plain(POLICIES, &all.join("\n"));
    let after = both.compiled.apply(&[Edit::DeleteSubtree(uid(2)), Edit::Delete(uid(77))], NEXT).unwrap();
    assert_eq!(after.entity_count(), 3);
    let left = Both::plain(POLICIES, &[entity(1, &[]), entity(4, &[9]), entity(9, &[])].join("\n"));
    same_answers(&after, &left, &mut Dice(1));
}

fn chain(n: u64) -> String {
    (0..n)
        .map(|i| {
            format!(r#"{{"uid":{{"type":"G","id":"{i}"}},"parents":[{{"type":"G","id":"{}"}}],"attrs":{{}}}}"#, i + 1)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn cycles_and_depth_are_refused_at_load_and_at_every_change() {
    let settings = lenient(Semantics::Cedar);
    let long = Instant::now();
    let refused = |text: &str| {
        let found = std::sync::Arc::new(bundle(POLICIES, None, text));
        Snapshot::build(found, &settings, NEXT)
            .expect_err("it must be refused")
            .first()
            .map(ToString::to_string)
            .unwrap()
    };
    assert!(refused(&chain(65)).contains("more than 64 levels"));
    assert!(refused(&chain(8_000)).contains("more than 64 levels"));
    let ring = chain(3)
        + r#"
        {"uid":{"type":"G","id":"3"},"parents":[{"type":"G","id":"1"}],"attrs":{}}"#;
    assert!(refused(&ring).contains("G::\"1\" in G::\"2\" in G::\"3\" in G::\"1\""), "{}", refused(&ring));
    assert!(long.elapsed() < Duration::from_secs(5));

    let both = build(bundle(POLICIES, None, &chain(64)), &settings).unwrap();
    let edge = |from: u64, to: u64| {
        Edit::Upsert(value(&format!(
            r#"{{"uid":{{"type":"G","id":"{from}"}},"parents":[{{"type":"G","id":"{to}"}}],"attrs":{{}}}}"#
        )))
    };
    let fails = |snapshot: &Snapshot, changes: &[Edit]| {
        snapshot.apply(changes, NEXT).expect_err("it must be refused").first().map(ToString::to_string).unwrap()
    };
    assert!(fails(&both.compiled, &[edge(64, 0)]).contains("their own ancestors"));
    assert!(fails(&both.compiled, &[edge(5, 5)]).contains("G::\"5\" in G::\"5\""));
    // above the top and below the bottom
    assert!(fails(&both.compiled, &[edge(64, 100)]).contains("more than 64 levels"));
    assert!(fails(&both.compiled, &[edge(200, 0)]).contains("more than 64 levels"));
    // a part can be moved as soon as there is room
    let shorter = both.compiled.apply(&[edge(10, 300)], NEXT).unwrap();
    assert!(shorter.apply(&[edge(64, 100)], NEXT).is_ok());
    // a chain that grows from below is seen to grow
    let empty = Both::plain(POLICIES, "[]").compiled;
    let mut growing = empty.apply(&[], NEXT).unwrap();
    for i in 0..64 {
        growing = growing.apply(&[edge(i, i + 1)], NEXT).unwrap();
    }
    assert!(fails(&growing, &[edge(64, 65)]).contains("more than 64 levels"));
    // parents first, so that the levels below are counted on a page that is full and packed
    let alone = |id: u64| format!(r#"{{"uid":{{"type":"G","id":"{id}"}},"parents":[],"attrs":{{}}}}"#);
    let (chained, others) = (chain(64), (1_000..1_100).map(alone));
    let lines: Vec<String> =
        [alone(64)].into_iter().chain(chained.lines().rev().map(str::to_owned)).chain(others).collect();
    let packed = Both::plain(POLICIES, &lines.join("\n")).compiled;
    assert!(fails(&packed, &[edge(64, 100)]).contains("more than 64 levels"));
}

/// Pages that are full are packed while the rest is loaded or changed.
#[test]
fn full_pages_are_loaded_and_changed_like_others() {
    // parents come first; what links refer to comes first too, or whenever
    let wide = |dice: &mut Dice, id: usize, reach: usize| {
        let parents = if id < 2 { String::new() } else { format!(r#"{{"type": "G", "id": "{}"}}"#, id / 2) };
        let link = format!(r#"{{"__entity": {{"type": "G", "id": "{}"}}}}"#, dice.roll(reach));
        let attributes = format!(r#""n": {}, "links": [{link}]"#, dice.roll(6));
        format!(r#"{{"uid": {{"type": "G", "id": "{id}"}}, "parents": [{parents}], "attrs": {{{attributes}}}}}"#)
    };
    let listed = |snapshot: &Snapshot| {
        let mut lines: Vec<String> = snapshot.entities().map(|it| serde_json::to_string(&it).unwrap()).collect();
        lines.sort_unstable();
        lines
    };
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let reach = |id: usize| if seed % 2 == 0 { id + 1 } else { 700 };
        let mut model: BTreeMap<usize, String> = (0..400).map(|id| (id, wide(&mut dice, id, reach(id)))).collect();
        let text = |model: &BTreeMap<usize, String>| model.values().cloned().collect::<Vec<_>>().join("\n");
        let first = Both::plain(POLICIES, &text(&model));
        let mut changes = Vec::new();
        for id in (400..700).chain((0..30).map(|_| dice.roll(400))).collect::<Vec<_>>() {
            let (back, again) = (dice.roll(id + 1), dice.roll(4));
            let entity = wide(&mut dice, id, reach(id));
            changes.push(Edit::Upsert(value(&entity)));
            model.insert(id, entity);
            // one that the same transaction may have put, on a page that is full by now
            if again == 0 {
                model.remove(&back);
                changes.push(Edit::Delete(uid(back as u64)));
            } else if again == 1 {
                let entity = wide(&mut dice, back, reach(back));
                changes.push(Edit::Upsert(value(&entity)));
                model.insert(back, entity);
            }
        }
        let current = first.compiled.apply(&changes, NEXT).unwrap();
        let afresh = Both::plain(POLICIES, &text(&model));
        assert_eq!(listed(&current), listed(&afresh.compiled), "seed {seed}");
        same_answers(&current, &afresh, &mut dice);
        let [ours, theirs] =
            [&current, &afresh.compiled].map(|state| state.apply(&[Edit::DeleteSubtree(uid(3))], NEXT).unwrap());
        assert_eq!(listed(&ours), listed(&theirs), "seed {seed}");
        assert_eq!(listed(&first.compiled).len(), 400, "what it began from is as it was");
    }
}

#[test]
fn a_ladder_costs_its_edges_only() {
    let mut text = String::new();
    for level in 0..60 {
        for side in 0..2 {
            let up = |s: u64| format!(r#"{{"type":"G","id":"{}"}}"#, 2 * (level + 1) + s);
            text += &format!(
                r#"{{"uid":{{"type":"G","id":"{}"}},"parents":[{},{}],"attrs":{{"links":[]}}}}{}"#,
                2 * level + side,
                up(0),
                up(1),
                "\n"
            );
        }
    }
    let started = Instant::now();
    let both = Both::plain(POLICIES, &text);
    for (low, high) in [(0, 120), (0, 121), (1, 77), (3, 999)] {
        let request = AccessRequest::new(uid(low), Uid::new("Action", "a").unwrap(), uid(high));
        both.decide(&request).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

const SCHEMA: &str = r#"
    entity Role enum ["admin", "guest"];
    entity Org in [Org] = { open: Bool };
    entity User in [Org, Role] = { name: String, org: Org, at?: datetime, size?: decimal, net?: ipaddr, all?: Set<Set<Long>> } tags Long;
    action any;
    action read in [any] appliesTo { principal: [User], resource: [Org] };
"#;

#[test]
fn loading_accepts_what_cedar_accepts_and_drops_nothing_of() {
    let user = |rest: &str| format!(r#"[{{"uid": {{"type": "User", "id": "u"}}, {rest}}}]"#);
    let attrs = |more: &str| {
        user(&format!(r#""parents": [], "attrs": {{"name": "u", "org": {{"type": "Org", "id": "o"}}{more}}}"#))
    };
    let cases = [
        (attrs(""), true),
        (attrs(r#", "at": "2024-01-01", "size": "1.5", "net": "::1", "all": [[1], [], [1, 1]]"#), true),
        (attrs(r#", "at": {"__extn": {"fn": "datetime", "arg": "2024-01-01"}}"#), true),
        (attrs(r#", "at": {"fn": "datetime", "arg": "2024-01-01"}"#), true),
        (attrs(r#", "at": {"fn": "duration", "arg": "1h"}"#), false),
        (attrs(r#", "at": "2024-13-01""#), false),
        (attrs(r#", "size": 1"#), false),
        (attrs(r#", "all": [1]"#), false),
        (attrs(r#", "more": 1"#), false),
        (attrs(r#", "name": "u""#), false),
        (user(r#""parents": [], "attrs": {"name": "u"}"#), false),
        (user(r#""parents": [], "attrs": {"name": "u", "org": {"type": "User", "id": "o"}}"#), false),
        (user(r#""parents": [], "attrs": {"name": "u", "org": {"__entity": {"type": "Org", "id": "o"}}}"#), true),
        (user(r#""parents": [], "attrs": {"name": "u", "org": {"type": "Org", "id": "o", "x": 1}}"#), false),
        (user(r#""parents": [{"type": "Role", "id": "admin"}, {"__entity": {"type": "Org", "id": "o"}}], "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), true),
        (user(r#""parents": [{"type": "Role", "id": "x"}], "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), false),
        (user(r#""parents": [{"type": "User", "id": "x"}], "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), false),
        (user(r#""parents": [{"type": "No", "id": "x"}], "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), false),
        (user(r#""parents": [], "tags": {"a": 1, "": 2}, "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), true),
        (user(r#""parents": [], "tags": {"a": "1"}, "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), false),
        (user(r#""parents": [], "unknown": 1, "attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), false),
        (user(r#""attrs": {"name": "u", "org": {"type": "Org", "id": "o"}}"#), false),
        (r#"[{"uid": {"type": "Role", "id": "admin"}, "parents": [], "attrs": {}}]"#.to_owned(), true),
        (r#"[{"uid": {"type": "Role", "id": "x"}, "parents": [], "attrs": {}}]"#.to_owned(), false),
        (r#"[{"uid": {"type": "Org", "id": "o"}, "parents": [], "attrs": {"open": true}, "tags": {}}]"#.to_owned(), true),
        (r#"[{"uid": {"type": "Org", "id": "o"}, "parents": [], "attrs": {"open": true}, "tags": {"a": 1}}]"#.to_owned(), false),
        (r#"[{"uid": {"type": "Action", "id": "read"}, "parents": [{"type": "Action", "id": "any"}], "attrs": {}}]"#.to_owned(), true),
        (r#"[{"uid": {"type": "Action", "id": "read"}, "parents": [], "attrs": {}}]"#.to_owned(), false),
        (r#"[{"uid": {"type": "Action", "id": "no"}, "parents": [], "attrs": {}}]"#.to_owned(), false),
        (r#"[{"uid": {"type": "Org", "id": "o"}, "parents": [], "attrs": {"open": true}}, {"uid": {"type": "Org", "id": "o"}, "parents": [], "attrs": {"open": true}}]"#.to_owned(), false),
        ("{}".to_owned(), false),
        ("[1]".to_owned(), false),
        ("[{]".to_owned(), false),
    ];
    for (text, fine) in cases {
        let built =
            build(bundle("permit (principal, action, resource);", Some(SCHEMA), &text), &lenient(Semantics::Cedar));
        assert_eq!(built.is_some(), fine, "{text}");
        if let (Some(both), true) = (built, text.contains("User")) {
            let request = r#"{"principal": "User::\"u\"", "action": "Action::\"read\"", "resource": "Org::\"o\""}"#;
            both.ask(request).unwrap();
            round_trip(&both.compiled, "permit (principal, action, resource) when { principal.all == [[1], []] };");
        }
    }
}

#[test]
fn observers_hear_how_a_load_goes_and_when_it_is_over() {
    use std::sync::{Arc, Mutex};

    use crate::{Loading, Observers, on_big_stack};

    let line = |i: u32| format!("{{\"uid\":{{\"type\":\"G\",\"id\":\"{i}\"}},\"attrs\":{{}},\"parents\":[]}}");
    let good: Vec<String> = (0..10_000).map(line).collect();
    let bad = [good.clone(), vec!["{".to_owned()]].concat();
    for (lines, loads) in [(good, true), (bad, false)] {
        let text = lines.join("\n");
        let told: Arc<Mutex<Vec<Loading>>> = Arc::default();
        let heard = told.clone();
        let observers = Observers {
            loading: Some(Arc::new(move |loading| heard.lock().unwrap().push(loading))),
            ..Observers::default()
        };
        let found = Arc::new(bundle("", None, &text));
        let settings = lenient(Semantics::Cedar);
        let build = || Snapshot::build_observed(found.clone(), &settings, NEXT, &observers).is_ok();
        assert_eq!(on_big_stack(build).unwrap(), loads);
        let told = told.lock().unwrap();
        assert!(told.len() > 2 && told.is_sorted_by_key(|loading| (loading.entities, loading.bytes)), "{told:?}");
        assert!(told.iter().all(|loading| loading.of_bytes == text.len()), "{told:?}");
        let last = told.last().unwrap();
        assert_eq!((last.bytes, told[told.len() - 2].bytes < text.len()), (text.len(), true), "only the last says so");
    }
}
