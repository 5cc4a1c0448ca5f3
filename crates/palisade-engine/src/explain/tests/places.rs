//! Values of one place that several conditions compare, of which each suits some of them alone; and groups that no one is in.

use serde_json::{Value as Json, json};

use super::worlds::{World, entity};
use crate::model::{AccessRequest, Explanation, Uid, Value};
use crate::{ExplainOptions, on_big_stack};

const SCHEMA: &str =
    "entity Group in [Group]; entity User in [Group] = { l: Set<String>, age: Long, dur: duration, boss?: User };
    entity Doc = { owner: User, age: Long };
    action view appliesTo { principal: User, resource: Doc,
        context: { n: Long, s?: String, l?: Set<String>, sum?: decimal, ip?: ipaddr } };";

fn explained(policies: &str, context: &Json) -> Explanation {
    let two_days = json!({"__extn": {"fn": "duration", "arg": "2d"}});
    let world = World {
        schema: SCHEMA,
        policies: policies.to_owned(),
        entities: vec![
            entity("Group::g0", &["Group::g2"], json!({})),
            entity("Group::g1", &["Group::g2", "Group::g3"], json!({})),
            entity("Group::g2", &[], json!({})),
            entity("Group::g3", &[], json!({})),
            entity("User::u", &[], json!({"l": ["a"], "age": 1, "dur": two_days})),
            entity("User::old", &[], json!({"l": [], "age": 9, "dur": two_days})),
            entity("Doc::d", &[], json!({"owner": "User::u", "age": 1})),
        ],
        links: Vec::new(),
        rules: Vec::new(),
    };
    let name = |ty: &str, id: &str| Uid::new(ty.to_owned(), id.to_owned()).unwrap();
    let mut request = AccessRequest::new(name("User", "u"), name("Action", "view"), name("Doc", "d"));
    request.context = Value::parse(context.to_string().as_bytes()).unwrap().into_owned();
    world.build().explain(&request, 0, &ExplainOptions::default()).unwrap()
}

#[test]
fn what_suits_all_conditions_is_found_or_its_absence_is_not_claimed() {
    let when = |condition: &str| format!("permit (principal, action, resource) when {{ {condition} }};");
    let but = |condition: &str, unless: &str| {
        format!("{} @id(\"f\") forbid (principal, action, resource) when {{ {unless} }};", when(condition))
    };
    on_big_stack(|| {
        // the first proposal; or none, where another value than those of the conditions would do
        for (policies, wanted) in [
            (when("context.n > 5 && context.n != 6"), Some("set `context.n` to `7`")),
            (but("context.n > 5", "context.n == 6"), Some("set `context.n` to `7`")),
            (when("resource.age > 5 && resource.age != 6"), Some(r#"set `age` of `Doc::"d"` to `7`"#)),
            (
                when("resource.age > 5 && resource.age != 6 && resource.age != 7"),
                Some(r#"set `age` of `Doc::"d"` to `8`"#),
            ),
            (when("context.n > 5 && context.n * context.n > 80"), Some("set `context.n` to `26`")),
            (
                when(r#"principal.l.contains("b") && principal.l.contains("c")"#),
                Some(r#"add `"b"` and `"c"` to `l` of `User::"u"`"#),
            ),
            (
                when(r#"!principal.l.contains("a") && principal.l.contains("b")"#),
                Some(r#"set `l` of `User::"u"` to `["b"]`"#),
            ),
            (when(r#"context has s && context.s like "a*" && context.s like "*b""#), None),
            (
                when("resource.owner.age > 5 && resource.owner != principal"),
                Some(r#"set `owner` of `Doc::"d"` to `User::"old"`"#),
            ),
            (when("context.n * 2 > 30"), Some("set `context.n` to `16`")),
            (
                when(r#"principal.dur < duration("1d")"#),
                Some(r#"set `dur` of `User::"u"` to `duration("86399999ms")`"#),
            ),
            (when("![3, 4].contains(context.n)"), Some("set `context.n` to `5`")),
            (when(r#"!["a", "b"].containsAll(principal.l)"#), Some(r#"add `"other"` to `l` of `User::"u"`"#)),
            (when("3 * context.n < 5"), Some("set `context.n` to `1`")),
            (when("context has l && context.l.isEmpty()"), Some("set `context.l` to `[]`")),
            (when("context has ip && context.ip.isLoopback()"), Some(r#"set `context.ip` to `ip("127.0.0.1")`"#)),
        ] {
            let explained = explained(&policies, &json!({"n": 3}));
            let words = explained.changes.first().map(|change| change.words.as_str());
            assert_eq!(words, wanted, "{policies}\n{explained:#?}");
            assert!(wanted.is_some() || explained.search.bounded, "{policies}: as if nothing could be done");
        }
    })
    .unwrap();
}

#[test]
fn groups_that_no_one_is_in_are_proposed_before_what_they_hold() {
    on_big_stack(|| {
        let policies = r#"permit (principal in Group::"g2", action, resource);"#;
        let explained = explained(policies, &json!({"n": 3}));
        let words: Vec<&str> = explained.changes.iter().map(|change| change.words.as_str()).collect();
        let [first, second, ..] = words.as_slice() else { panic!("{words:?}") };
        assert!(first.contains(r#"Group::"g0""#) && second.contains(r#"Group::"g1""#), "{words:#?}");
    })
    .unwrap();
}
