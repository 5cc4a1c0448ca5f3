//! Mutants of links are what a bundle with the changed links would be, over whatever entities.

use super::super::links::Exchange;
use super::super::{Made, MutantSort, Standing};
use super::said;
use crate::explain::tests::links::{build, bundle};
use crate::model::{AccessRequest, Bundle, Document, Link, Uid};
use crate::{Snapshot, on_big_stack};

/// The bundle of the tests of explanations, with a link that is written out.
fn world() -> Bundle {
    let mut bundle = bundle();
    bundle.links.push(Link {
        template_id: "see".to_owned(),
        link_id: "yard".to_owned(),
        args: vec![
            ("?principal".to_owned(), "Team::\"staff\"".to_owned()),
            ("?resource".to_owned(), "Place::\"yard\"".to_owned()),
        ],
        written: None,
    });
    bundle
}

/// The same with entities of which some make other links.
fn other_entities(bundle: &Bundle) -> Bundle {
    let text = String::from_utf8(bundle.entities[0].bytes().unwrap().to_vec()).unwrap();
    let text = text.replacen(r#""closed": false"#, r#""closed": true"#, 1).replace("\"off\": true", "\"off\": false");
    Bundle { entities: vec![Document::held("e", text)], ..bundle.clone() }
}

fn mutated(bundle: &Bundle, exchange: &Exchange) -> Bundle {
    let mut bundle = bundle.clone();
    match exchange {
        Exchange::Link(number, None) => drop(bundle.links.remove(number.index())),
        Exchange::Link(number, Some(link)) => bundle.links[number.index()] = link.clone(),
        Exchange::Declaration(number, None) => drop(bundle.for_each.links.remove(number.index())),
        Exchange::Declaration(number, Some(other)) => bundle.for_each.links[number.index()] = (**other).clone(),
    }
    bundle
}

fn requests() -> Vec<AccessRequest<'static>> {
    let uid = |ty: &str, id: &str| Uid::new(ty.to_owned(), id.to_owned()).unwrap();
    let mut found = Vec::new();
    for user in ["ann", "cal"] {
        for action in ["view", "edit"] {
            for place in ["hall", "shut", "yard"] {
                found.push(AccessRequest::new(uid("User", user), uid("Action", action), uid("Place", place)));
            }
        }
    }
    found
}

#[test]
fn a_mutant_of_a_link_decides_as_a_bundle_with_it_does() {
    on_big_stack(|| {
        let world = world();
        let snapshot = build(world.clone()).unwrap();
        let mutants = snapshot.mutants(&[], &|| true).unwrap();
        let base = mutants.stage(&snapshot, None);
        let (mut differ, mut same) = (0, 0);
        for bundle in [world.clone(), other_entities(&world)] {
            let here: Snapshot = build(bundle.clone()).unwrap();
            let stage = mutants.stage(&here, Some(&base));
            for (at, mutant) in mutants.list.iter().enumerate() {
                let Made::Link(exchange) = &mutants.made[at] else { continue };
                let whole = match (build(mutated(&bundle, exchange)), &mutant.standing) {
                    (Ok(whole), Standing::Open) => whole,
                    (Err(_), Standing::Refused(_)) => continue,
                    (Ok(_), standing) => panic!("{} {}: {standing:?}", mutant.policy, mutant.name),
                    (Err(problems), _) => panic!("{} {}: {problems:#?}", mutant.policy, mutant.name),
                };
                for request in requests() {
                    let mut seen = None;
                    let wanted = |other: usize| other == at;
                    let decision =
                        mutants.try_on(&stage, &request, 0, &wanted, &mut |_, it| seen = Some(it.clone())).unwrap();
                    *(if seen.is_some() { &mut differ } else { &mut same }) += 1;
                    let expected = whole.decide(&request, 0).unwrap();
                    let got = seen.unwrap_or(decision);
                    assert_eq!(said(&got), said(&expected), "{} {}: {request:?}", mutant.policy, mutant.name);
                }
            }
        }
        assert!(differ > 40 && same > 40, "{differ} {same}");
    })
    .unwrap();
}

#[test]
fn which_mutants_links_have() {
    on_big_stack(|| {
        let snapshot = build(world()).unwrap();
        let mutants = snapshot.mutants(&[], &|| true).unwrap();
        let of = |policy: &str| -> Vec<(&str, MutantSort)> {
            let list = mutants.list.iter().filter(|mutant| &*mutant.policy == policy);
            list.map(|mutant| (mutant.name.as_str(), mutant.sort)).collect()
        };
        use MutantSort::{Removed, Weakened};
        assert_eq!(
            of("yard"),
            [
                ("the link removed", Removed),
                ("`see` → `change`", Weakened),
                ("`?resource`: `Place::\"yard\"` → `Place::\"hall\"`", Weakened),
            ]
        );
        assert_eq!(of("each Grant: role.names"), [("the declaration removed", Removed)]);
        assert_eq!(
            of("each Place: closed"),
            [("the declaration removed", Removed), ("`when: closed` removed", Removed)]
        );
        assert_eq!(of("each User: off").len(), 2);
    })
    .unwrap();
}
