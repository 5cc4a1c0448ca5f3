//! What a caller can choose without changing what is asked: a stored entity sent again, members that Cedar ignores,
//! ladders of parents.

use super::support::{Both, build, bundle, lenient};
use crate::Semantics;
use crate::model::Outcome;

const ENTITIES: &str = r#"[
    {"uid": {"type": "T", "id": "top"}, "attrs": {}, "parents": []},
    {"uid": {"type": "T", "id": "mid"}, "attrs": {}, "parents": [{"type": "T", "id": "top"}]},
    {"uid": {"type": "T", "id": "low"}, "attrs": {"n": 1, "s": [2, 1, 2]}, "tags": {"k": "v"},
     "parents": [{"type": "T", "id": "mid"}, {"type": "T", "id": "side"}]},
    {"uid": {"type": "T", "id": "net"}, "attrs": {
        "a": {"__extn": {"fn": "ip", "arg": "::ffff:a00:0/104"}}, "b": {"__extn": {"fn": "decimal", "arg": "-0.0001"}},
        "c": {"__extn": {"fn": "datetime", "arg": "0000-01-01"}}, "d": {"__extn": {"fn": "duration", "arg": "-1d"}}
    }, "parents": []}
]"#;

fn request(id: &str, more: &str) -> String {
    format!(r#"{{"principal": "T::\"{id}\"", "action": "Action::\"a\"", "resource": "T::\"top\""{more}}}"#)
}

fn both(policies: &str) -> Both {
    build(bundle(policies, None, ENTITIES), &lenient(Semantics::Strict)).unwrap()
}

#[test]
fn a_stored_entity_may_be_sent_again_as_it_is() {
    let both = both(
        "permit (principal, action, resource); forbid (principal in T::\"top\", action, resource) when { principal.n == 1 };",
    );
    let low = |attrs: &str, parents: &str, tags: &str| {
        format!(
            r#", "additional_entities": [{{"uid": {{"type": "T", "id": "low"}}, "attrs": {{{attrs}}}, "parents": [{parents}], "tags": {{{tags}}}}}]"#
        )
    };
    let (attrs, tags) = (r#""s": [1, 2], "n": 1"#, r#""k": "v""#);
    let parents = r#"{"type": "T", "id": "side"}, {"type": "T", "id": "mid"}"#;
    let plain = both.ask(&request("low", "")).unwrap();
    assert_eq!(plain.outcome, Outcome::Deny);
    assert_eq!(both.ask(&request("low", &low(attrs, parents, tags))), Ok(plain));
    // the reference was not needed for it
    assert_eq!(both.compiled.fallbacks(), 0);
    for (attrs, parents, tags) in [
        (r#""n": 2, "s": [1, 2]"#, parents, tags),
        (r#""n": 1"#, parents, tags),
        (attrs, r#"{"type": "T", "id": "mid"}"#, tags),
        (attrs, r#"{"type": "T", "id": "side"}, {"type": "T", "id": "mid"}, {"type": "T", "id": "top"}"#, tags),
        (attrs, parents, r#""k": "w""#),
        (attrs, parents, ""),
    ] {
        let error = both.ask(&request("low", &low(attrs, parents, tags))).unwrap_err();
        assert_eq!(error.code, "invalid_entities", "{error}");
    }
    let twice = low(attrs, parents, tags);
    let entity = twice.split_once('[').unwrap().1.rsplit_once(']').unwrap().0;
    let twice = format!(r#", "additional_entities": [{entity}, {entity}]"#);
    assert_eq!(both.ask(&request("low", &twice)).unwrap_err().code, "invalid_entities");
}

#[test]
fn every_value_of_the_store_counts_whichever_engine_decides() {
    for condition in [
        "principal.a.isInRange(ip(\"::ffff:a00:0/104\"))",
        "principal.a == ip(\"0:0:0:0:0:ffff:a00:0/104\")",
        "principal.b.lessThan(decimal(\"0.0\"))",
        "principal.c < datetime(\"1970-01-01\")",
        "principal.d == duration(\"-24h\")",
    ] {
        let both = both(&format!(
            "permit (principal, action, resource); forbid (principal, action, resource) when {{ {condition} }};"
        ));
        let plain = both.ask(&request("net", "")).unwrap();
        assert_eq!((plain.outcome, plain.reasons.len()), (Outcome::Deny, 1), "{condition}");
        // something of the request that only Cedar reads, so that the slice decides
        let odd = r#", "additional_entities": [{"uid": {"type": "T", "id": "new"}, "attrs": {"x": {"__extn": {"fn": "ip", "args": ["::1"]}}}, "parents": []}]"#;
        let answer = both.ask(&request("net", odd)).map(|decision| decision.outcome);
        assert!(matches!(answer, Ok(Outcome::Deny) | Err(_)), "{condition}: {answer:?}");
    }
}

#[test]
fn members_that_cedar_ignores_are_refused() {
    let both = both("permit (principal, action, resource);");
    for more in [
        r#", "context": {"o": {"__entity": {"type": "T", "id": "top"}, "type": "T", "id": "low"}}"#,
        r#", "context": {"o": [{"__entity": {"type": "T", "id": "top", "x": 1}}]}"#,
        r#", "context": {"o": {"__extn": {"fn": "ip", "arg": "::1", "x": 1}}}"#,
        r#", "additional_entities": [{"uid": {"type": "T", "id": "new"}, "attrs": {}, "parent": [], "parents": []}]"#,
        r#", "additional_entities": [{"uid": {"type": "T", "id": "new", "x": 1}, "attrs": {}, "parents": []}]"#,
        r#", "entities": [{"uid": {"type": "T", "id": "new"}, "atrs": {}, "attrs": {}, "parents": []}]"#,
    ] {
        let error = both.ask(&request("low", more)).unwrap_err();
        assert!(error.message.contains("unknown member"), "{more}: {error}");
    }
}

#[test]
fn a_ladder_of_parents_is_refused_before_it_costs_anything() {
    let both = both("permit (principal, action, resource);");
    let ladder = |levels: usize, width: usize| {
        let entity = |level: usize, i: usize| {
            let above = if level + 1 < levels { width } else { 0 };
            let parents: Vec<String> =
                (0..above).map(|j| format!(r#"{{"type": "T", "id": "{}_{j}"}}"#, level + 1)).collect();
            format!(
                r#"{{"uid": {{"type": "T", "id": "{level}_{i}"}}, "attrs": {{}}, "parents": [{}]}}"#,
                parents.join(",")
            )
        };
        let all: Vec<String> = (0..levels).flat_map(|level| (0..width).map(move |i| entity(level, i))).collect();
        all.join(",")
    };
    let top = r#"{"uid": {"type": "T", "id": "top"}, "attrs": {}, "parents": []}"#;
    for (levels, width, fine) in [(10, 5, true), (60, 20, false), (60, 1, true)] {
        for member in ["entities", "additional_entities"] {
            let more = format!(r#", "{member}": [{}, {top}]"#, ladder(levels, width));
            let answer = both.ask(&request("0_0", &more));
            assert_eq!(answer.is_ok(), fine, "{levels} x {width} {member}: {answer:?}");
            if let Err(error) = answer {
                assert_eq!(error.code, "hierarchy_too_large");
            }
        }
    }
}
