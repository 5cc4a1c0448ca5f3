//! What is wrong with a schema as a whole, each part of which can be read: types and groups that contain themselves, members
//! that are no record, and names that hide others. Cedar reports the first of them alone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::model::MAX_LISTED;
use crate::schema::references::{Body, Kind, Names, Spot, base, is_built_in};

/// Steps that are taken to find circles.
const MOST_STEPS: usize = 1_000_000;

/// How Cedar begins to report what is found here.
pub(super) const OF_CEDAR: [&str; 5] =
    ["cycle in ", "Shape for entity type ", "Context for action ", "definition of `", "duplicate "];

/// Something that is wrong.
#[derive(Debug)]
pub(super) struct Fault<'n> {
    /// Where it is.
    pub(super) spot: &'n Spot,
    /// The name that stands there.
    pub(super) name: String,
    pub(super) message: String,
    pub(super) help: String,
    /// Another place, which the message ends with.
    pub(super) first: Option<&'n Spot>,
}

/// All of them, up to a bound.
pub(super) fn faults(names: &Names) -> Vec<Fault<'_>> {
    let mut found = circles(names, Kind::Common);
    found.extend(circles(names, Kind::Action));
    found.extend(shapes(names));
    found.extend(hidden(names));
    found.truncate(MAX_LISTED);
    found
}

/// Types and groups that contain themselves: each that is in a circle is in one that is reported.
fn circles(names: &Names, kind: Kind) -> Vec<Fault<'_>> {
    let twice: HashSet<&str> = names.twice.iter().map(|(name, ..)| name.as_str()).collect();
    let mut above: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for used in names.uses.iter().filter(|used| used.owner.0 == kind) {
        let owner = used.owner.1.as_str();
        // which of two declarations counts is not known
        if let Some((to, name)) = names.meant(used.kind, &used.meanings)
            && to == kind
            && ![owner, name].iter().any(|name| twice.contains(name) || names.spot(kind, name).is_none())
        {
            above.entry(owner).or_default().push(name);
        }
    }
    let (mut found, mut seen, mut steps) = (Vec::new(), HashSet::new(), 0);
    for start in above.keys() {
        if seen.contains(start) {
            continue;
        }
        let Some(circle) = shortest(&above, start, &mut steps) else { continue };
        seen.extend(circle.iter().copied());
        let way: Vec<String> = circle.iter().chain([start]).map(|name| format!("`{name}`")).collect();
        let (message, help) = if kind == Kind::Action {
            let help = "take one of these actions out of its group: no action is in itself";
            (format!("an action is in itself: {}", way.join(" in ")), help)
        } else {
            let help = "a common type stands for what it is declared as; for what contains itself declare an `entity`";
            (format!("a common type contains itself: {}", way.join(" has ")), help)
        };
        if let Some(spot) = names.spot(kind, start) {
            found.push(Fault { spot, name: (*start).to_owned(), message, help: help.to_owned(), first: None });
        }
    }
    found
}

/// The shortest way from `start` back to it, without its end.
fn shortest<'n>(above: &BTreeMap<&'n str, Vec<&'n str>>, start: &&'n str, steps: &mut usize) -> Option<Vec<&'n str>> {
    let mut from: HashMap<&str, &str> = HashMap::new();
    let mut waiting = VecDeque::from([*start]);
    while let Some(here) = waiting.pop_front() {
        for next in above.get(here).into_iter().flatten() {
            *steps += 1;
            if *steps > MOST_STEPS {
                return None;
            }
            if next == start {
                let mut way = vec![here];
                while let Some(before) = way.last().and_then(|name| from.get(name)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !from.contains_key(next) {
                from.insert(next, here);
                waiting.push_back(next);
            }
        }
    }
    None
}

/// Attributes and contexts that are no record.
fn shapes(names: &Names) -> Vec<Fault<'_>> {
    let mut found = Vec::new();
    for shape in &names.shapes {
        let Some(other) = no_record(names, &shape.body) else { continue };
        let message = format!("{} must be a record, not {other}", shape.what);
        let help = "name a common type that is a record, or write its members here".to_owned();
        found.push(Fault { spot: &shape.spot, name: String::new(), message, help, first: None });
    }
    found
}

/// What a type is, if it is known to be no record.
fn no_record(names: &Names, body: &Body) -> Option<String> {
    let mut body = body;
    // more steps than there are types go in a circle, which is reported
    for _ in 0..=names.bodies.len() {
        match body {
            Body::Record => return None,
            Body::Other(what) => return Some(what.clone()),
            Body::Named(kind, meanings) => match names.meant(*kind, meanings) {
                Some((Kind::Common, name)) => body = names.bodies.get(name)?,
                // a name of the other kind is reported as that
                Some((_, name)) => return (*kind == Kind::Either).then(|| format!("an entity of type `{name}`")),
                None => return meanings.iter().find(|name| is_built_in(name)).map(|name| format!("`{name}`")),
            },
        }
    }
    None
}

/// Names in a namespace that are declared outside of all namespaces, too.
fn hidden(names: &Names) -> Vec<Fault<'_>> {
    let mut found = Vec::new();
    for kind in [Kind::Either, Kind::Action] {
        for name in names.of(kind) {
            let outer = base(name);
            let (Some(spot), Some(first)) = (names.spot(kind, name), names.spot(kind, outer)) else { continue };
            if outer != name {
                let message = format!("`{name}` hides `{outer}`, which is in no namespace");
                let help = "rename one of them, or move both into one namespace".to_owned();
                found.push(Fault { spot, name: name.to_owned(), message, help, first: Some(first) });
            }
        }
    }
    found
}
