//! What is said of values that Cedar refuses, beside what Cedar says of them.

use super::*;
use crate::model::SchemaText;
use crate::settings::Limits;

const SCHEMA: &str = "entity User; entity Doc = {owner: User, n?: Long, b?: Bool, s?: Set<String>, d?: datetime, \
     ip?: ipaddr, c?: decimal, r?: {x: Long}, v?: duration} tags Long; \
     action view appliesTo {principal: User, resource: Doc, context: {deep?: {x: Long}, ip: ipaddr}};";

fn schema() -> SchemaModel {
    let text = SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] };
    SchemaModel::build(&text, &Limits::default()).unwrap()
}

/// Each is refused by Cedar, with and without our words; what Cedar takes has none.
#[test]
fn what_cedar_refuses_is_named_with_its_member() {
    let schema = schema();
    for (attrs, expected) in [
        (r#""n": 1.0"#, "`attrs.n`: expected a whole number, such as 42, not 1.0"),
        (r#""n": 1e3"#, "`attrs.n`: expected a whole number, such as 42, not 1000.0"),
        (r#""n": 9223372036854775808"#, "`attrs.n`: expected a whole number, not a number beyond 64 bits"),
        (r#""n": "x""#, "`attrs.n`: expected a whole number, such as 42, not the string \"x\""),
        (r#""n": null"#, "`attrs.n`: expected a whole number, such as 42, not null"),
        (r#""b": "true""#, "`attrs.b`: expected a boolean, such as true, not the string \"true\""),
        (r#""s": "x""#, "`attrs.s`: expected a set, such as [\"text\"], not the string"),
        (r#""s": ["x", 1]"#, "`attrs.s[1]`: expected a string, such as \"text\", not 1"),
        (r#""r": {"x": 1, "y": 2}"#, "`attrs.r.y`: the schema declares no `y` in this record"),
        (r#""r": {}"#, "`attrs.r`: `x` is missing, which this record must have: a whole number, such as 42"),
        (r#""d": "2024-13-01""#, "`attrs.d`: `2024-13-01` is not a datetime, such as \"2024-10-15T11:35:00Z\""),
        (r#""d": {"__extn": {"fn": "datetime", "arg": "x"}}"#, "`attrs.d`: `x` is not a datetime"),
        (r#""d": {"__extn": {"fn": "ip", "arg": "::1"}}"#, "`attrs.d`: expected a datetime"),
        (r#""d": 5"#, "`attrs.d`: expected a datetime, such as \"2024-10-15T11:35:00Z\", not 5"),
        (r#""ip": "1.2.3""#, "`attrs.ip`: `1.2.3` is not an IP address (`ipaddr`), such as \"10.0.0.0/8\""),
        (r#""c": 1.5"#, "`attrs.c`: expected a decimal, such as \"12.5\", not 1.5"),
        (r#""c": "1.23456""#, "`1.23456` is not a decimal, such as \"12.5\"; it has at most 4 digits after the point"),
        (r#""c": "922337203685478.0""#, "is not a decimal, such as \"12.5\"; it is at most 922337203685477.5807"),
        (
            r#""c": {"__extn": {"fn": "decimal", "arg": "0.00001"}}"#,
            "`0.00001` is not a decimal, such as `12.5`; it has at most 4 digits after the point",
        ),
        (r#""v": "1 hour""#, "`attrs.v`: `1 hour` is not a duration, such as \"1h30m\""),
        (r#""nn": 1"#, "`attrs.nn`: the schema declares no `nn` in Doc; did you mean `n`?"),
        (
            r#""owner": "User::\"bob\"""#,
            r#"`attrs.owner`: expected an entity of the type `User`, such as {"type": "User", "id": "bob"}, not the string"#,
        ),
        (r#""owner": {"type": "Usr", "id": "a"}"#, "expected an entity of the type `User`, not of `Usr`"),
        (r#""owner": {"id": "a"}"#, "`attrs.owner`: expected an entity of the type `User`, such as"),
    ] {
        let owner = if attrs.contains("owner") { "" } else { r#""owner": {"type": "User", "id": "bob"}, "# };
        let text = format!(r#"{{"uid": {{"type": "Doc", "id": "d"}}, "attrs": {{{owner}{attrs}}}, "parents": []}}"#);
        let value = Value::parse(text.as_bytes()).unwrap();
        assert!(cedar_policy::Entity::from_json_value(value.to_json(), Some(&schema.cedar)).is_err(), "{text}");
        let misfit = entity(&value, Some(&schema)).unwrap_or_else(|| panic!("{text}"));
        assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
        // it points at the attribute
        let at = misfit.offset(&text).unwrap();
        assert!(at >= text.find("attrs").unwrap(), "{text} {at}");
    }
    let text = r#"{"uid": {"type": "Dok", "id": "d"}, "attrs": {}, "parents": []}"#;
    let misfit = entity(&Value::parse(text.as_bytes()).unwrap(), Some(&schema)).unwrap();
    assert_eq!(misfit.message, "the schema declares no entity type `Dok`; did you mean `Doc`?");
    let text = r#"{"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}"#;
    let misfit = entity(&Value::parse(text.as_bytes()).unwrap(), Some(&schema)).unwrap();
    assert!(misfit.message.starts_with("`attrs`: `owner` is missing, which Doc must have"), "{}", misfit.message);
}

/// What Cedar takes has no misfit, or it would be refused where it comes with a request.
#[test]
fn what_cedar_takes_is_fine() {
    let schema = schema();
    for attrs in [
        r#""n": 42, "b": true, "s": [], "r": {"x": -1}"#,
        r#""n": {"__extn": {"fn": "toDays", "arg": {"__extn": {"fn": "duration", "arg": "1d"}}}}"#,
        r#""b": {"__extn": {"fn": "isLoopback", "arg": {"__extn": {"fn": "ip", "arg": "::1"}}}}"#,
        r#""d": {"__extn": {"fn": "toDate", "arg": "2024-01-01"}}"#,
        r#""d": {"fn": "datetime", "arg": "2024-01-01"}, "v": "1h", "c": "1.0", "ip": "::1""#,
        r#""d": {"__extn": {"fn": "offset", "args": ["2024-01-01", "1d"]}}"#,
        r#""d": {"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1d"}}]}}"#,
        r#""v": {"__extn": {"fn": "toTime", "arg": {"__extn": {"fn": "datetime", "arg": "2024-01-01"}}}}"#,
    ] {
        let text = format!(
            r#"{{"uid": {{"type": "Doc", "id": "d"}}, "attrs": {{"owner": {{"type": "User", "id": "bob"}}, {attrs}}}, "parents": []}}"#
        );
        let value = Value::parse(text.as_bytes()).unwrap();
        if cedar_policy::Entity::from_json_value(value.to_json(), Some(&schema.cedar)).is_ok() {
            assert_eq!(entity(&value, Some(&schema)), None, "{text}");
        }
    }
}

#[test]
fn without_a_schema_numbers_and_nulls_are_named() {
    for (text, expected) in [
        (r#"{"attrs": {"a": {"b": [1, 2.5]}}}"#, "`attrs.a.b[1]`: Cedar's numbers are whole"),
        (r#"{"attrs": {"a": null}}"#, "`attrs.a`: Cedar has no null"),
        (r#"{"attrs": {"a": 18446744073709551616}}"#, "`attrs.a`: a number is at most 9223372036854775807"),
        (r#"{"tags": {"a": 1.5}}"#, "`tags.a`: Cedar's numbers"),
    ] {
        let misfit = entity(&Value::parse(text.as_bytes()).unwrap(), None).unwrap();
        assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
    }
    let fine = r#"{"uid": {"type": "A", "id": "a"}, "parents": [], "attrs": {"a": [1, {"__entity": {"type": "A", "id": "b"}}]}, "tags": {"t": "x"}}"#;
    assert_eq!(entity(&Value::parse(fine.as_bytes()).unwrap(), None), None);
}

#[test]
fn a_context_is_named_by_its_member() {
    let schema = schema();
    let action = Uid::parse("Action::\"view\"").unwrap();
    for (text, expected) in [
        (r#"{"ip": "1.2.3"}"#, "`context.ip`: `1.2.3` is not an IP address"),
        (r#"{"ip": "::1", "deep": {"x": "a"}}"#, "`context.deep.x`: expected a whole number"),
        (
            r#"{"ipp": "::1"}"#,
            "`context.ipp`: the schema declares no `ipp` in the context of `Action::\"view\"`; did you mean `ip`?",
        ),
        ("{}", "`context`: `ip` is missing"),
    ] {
        let value = Value::parse(text.as_bytes()).unwrap();
        let misfit = context(&value, Some(&schema), &action).unwrap();
        assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
        let named = expected.trim_start_matches('`').split('`').next().unwrap_or_default();
        assert_eq!(misfit.pointer(), format!("/{}", named.replace('.', "/")), "{text}");
    }
}

/// What stands where a value of each type is expected: most of it fits none.
const VALUES: &[&str] = &[
    "null",
    "true",
    "1",
    "-1",
    "1.5",
    "1e30",
    "1e400",
    r#""x""#,
    r#""""#,
    r#""1.5""#,
    r#""::1""#,
    r#""1h""#,
    r#""2024-01-01""#,
    "[]",
    "[1]",
    "[null]",
    "{}",
    r#"{"x": 1}"#,
    r#"{"x": null}"#,
    r#"{"x": "1"}"#,
    r#"{"type": "User"}"#,
    r#"{"type": "User", "id": "u"}"#,
    r#"{"type": "a b", "id": "u"}"#,
    r#"{"type": "Color", "id": "blue"}"#,
    r#"{"type": "Usr", "id": "u"}"#,
    r#"{"type": 1, "id": "u"}"#,
    r#"{"__entity": "User::\"u\""}"#,
    r#"{"__entity": {}}"#,
    r#"{"__entity": {"type": "User"}}"#,
    r#"{"__entity": null}"#,
    r#"{"__entity": {"type": "a b", "id": "u"}}"#,
    r#"{"__entity": {"type": "", "id": "u"}}"#,
    r#"{"__entity": {"type": "Color", "id": "blue"}}"#,
    r#"{"__entity": {"type": "User", "id": "u"}}"#,
    r#"{"__expr": "1 + 1"}"#,
    r#"{"__expr": 1}"#,
    r#"{"__extn": "decimal(\"-1.6\")"}"#,
    r#"{"__extn": 3}"#,
    r#"{"__extn": null}"#,
    r#"{"__extn": []}"#,
    r#"{"__extn": {}}"#,
    r#"{"__extn": {"fn": "ip"}}"#,
    r#"{"__extn": {"arg": "::1"}}"#,
    r#"{"__extn": {"fn": 3, "arg": "x"}}"#,
    r#"{"__extn": {"fn": "a b", "arg": "x"}}"#,
    r#"{"__extn": {"fn": "ipp", "arg": "x"}}"#,
    r#"{"__extn": {"fn": "decimal", "arg": 3}}"#,
    r#"{"__extn": {"fn": "decimal", "arg": null}}"#,
    r#"{"__extn": {"fn": "decimal", "arg": "x"}}"#,
    r#"{"__extn": {"fn": "decimal", "arg": "-1.6"}}"#,
    r#"{"__extn": {"fn": "decimal", "args": ["1.5"]}}"#,
    r#"{"__extn": {"fn": "decimal", "args": ["1.5", "2.5"]}}"#,
    r#"{"__extn": {"fn": "decimal", "args": "1.5"}}"#,
    r#"{"__extn": {"fn": "decimal", "args": []}}"#,
    r#"{"__extn": {"fn": "ip", "args": ["a"]}}"#,
    r#"{"__extn": {"fn": "offset", "args": []}}"#,
    r#"{"__extn": {"fn": "offset", "args": ["2024-01-01", "1d"]}}"#,
    r#"{"__extn": {"fn": "offset", "args": ["2024-01-01", 1]}}"#,
    r#"{"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1d"}}]}}"#,
    r#"{"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "9223372036854775807ms"}}]}}"#,
    r#"{"__extn": {"fn": "toDays", "arg": "1d"}}"#,
    r#"{"__extn": {"fn": "toDays", "arg": {"__extn": {"fn": "duration", "arg": "1d"}}}}"#,
    r#"{"__extn": {"fn": "toDays", "arg": {"fn": "duration", "arg": "1d"}}}"#,
    r#"{"__extn": {"fn": "toDays", "arg": {"x": 1}}}"#,
    r#"{"__extn": {"fn": "isLoopback", "arg": {"__extn": {"fn": "ip", "arg": "::1"}}}}"#,
    r#"{"__extn": {"fn": "isLoopback", "arg": {"__extn": {"fn": "decimal", "arg": "1.0"}}}}"#,
    r#"{"__extn": {"fn": "lessThan", "args": ["1.0", {"__extn": {"fn": "decimal", "arg": "1.0"}}]}}"#,
    r#"{"fn": "decimal", "arg": "1.5"}"#,
    r#"{"fn": "decimal", "arg": 1.5}"#,
    r#"{"fn": "ip", "args": ["::1"]}"#,
    r#"{"fn": "toDate", "arg": "2024-01-01"}"#,
    r#"{"fn": "toDate", "arg": {"fn": "datetime", "arg": "2024-01-01"}}"#,
    r#"{"fn": "toTime", "arg": "x"}"#,
];

/// Cedar's own words name types of its program. So whatever it refuses has our words, at the member that is at
/// fault; and what it takes has none, or it would be refused where it comes with a request.
#[test]
fn no_words_of_cedars_reader_are_passed_on() {
    let types = [
        "Bool",
        "Long",
        "String",
        "Set<String>",
        "Set<Set<Long>>",
        "{x: Long}",
        "{x?: String}",
        "User",
        "Color",
        "ipaddr",
        "decimal",
        "datetime",
        "duration",
        "",
    ];
    let (mut wrong, mut refused, mut taken) = (Vec::new(), 0, 0);
    for ty in types {
        let schema = (!ty.is_empty()).then(|| {
            let text = format!(
                "entity User; entity Color enum [\"red\"]; \
                 entity Doc = {{a?: {ty}, s?: Set<{ty}>, r?: {{m?: {ty}}}}} tags {ty}; \
                 action view appliesTo {{principal: User, resource: Doc, context: {{a?: {ty}, s?: Set<{ty}>, r?: {{m?: {ty}}}}}}};"
            );
            let text = SchemaText { fragments: vec![("s".to_owned(), text)] };
            SchemaModel::build(&text, &Limits::default()).unwrap()
        });
        let cedars = schema.as_ref().map(|schema| &schema.cedar);
        let action = Uid::parse("Action::\"view\"").unwrap();
        let cedar_action: cedar_policy::EntityUid = "Action::\"view\"".parse().unwrap();
        for value in VALUES {
            for member in [format!("\"a\": {value}"), format!("\"s\": [{value}]"), format!("\"r\": {{\"m\": {value}}}")]
            {
                let root = member.split('"').nth(1).unwrap();
                for (key, other) in [("attrs", "tags"), ("tags", "attrs"), ("context", "")] {
                    if key == "tags" && root != "a" {
                        continue;
                    }
                    let is_context = key == "context";
                    let text = match is_context {
                        true => format!("{{{member}}}"),
                        false => format!(
                            r#"{{"uid": {{"type": "Doc", "id": "d"}}, "{key}": {{{member}}}, "{other}": {{}}, "parents": []}}"#
                        ),
                    };
                    let Ok(whole) = Value::parse(text.as_bytes()) else { continue };
                    let declared = schema.as_ref().and_then(|schema| schema.context(&action));
                    let (strictly, cedar, ours) = if is_context {
                        let read = cedar_policy::Context::from_json_value(
                            whole.to_json(),
                            cedars.map(|schema| (schema, &cedar_action)),
                        );
                        let request = |context| {
                            let [user, doc] = ["User::\"u\"", "Doc::\"d\""].map(|uid| uid.parse().unwrap());
                            cedar_policy::Request::new(user, cedar_action.clone(), doc, context, cedars)
                                .map_err(|error| error.to_string())
                        };
                        (
                            crate::strict::members(&whole, declared, &Name::Root("context")),
                            read.map_err(|error| error.to_string()).and_then(request).err(),
                            context(&whole, schema.as_ref(), &action)
                                .or_else(|| unlisted(&whole, schema.as_ref()?, &action)),
                        )
                    } else {
                        let read = cedar_policy::Entity::from_json_value(whole.to_json(), cedars);
                        (
                            crate::strict::entity(&whole, schema.as_ref()),
                            read.err().map(|error| crate::diagnose::message(&error)),
                            entity(&whole, schema.as_ref()),
                        )
                    };
                    if strictly.is_err() {
                        continue;
                    }
                    // what a call gives, only Cedar can say
                    let of_call = |said: String| {
                        let at_call =
                            if is_context { of_cedar_in_context(&whole, said) } else { of_cedar(&whole, said) };
                        at_call.message.contains("the call of `offset` fails: it overflows").then_some(at_call)
                    };
                    let ours = ours.or_else(|| of_call(cedar.clone()?));
                    match (&cedar, ours) {
                        (None, None) => taken += 1,
                        (Some(_), Some(ours)) => {
                            refused += 1;
                            let place = format!("/{key}/{root}");
                            if !ours.pointer().starts_with(&place) {
                                wrong.push(format!("{ty} {text}: {}: {}", ours.pointer(), ours.message));
                            }
                        }
                        (Some(cedar), None) => wrong.push(format!("{ty} {text}: only Cedar: {cedar}")),
                        (None, Some(ours)) => wrong.push(format!("{ty} {text}: only ours: {}", ours.message)),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), refused + taken + wrong.len(), wrong.join("\n"));
    assert!(refused > 3_000 && taken > 300, "{refused} {taken}");
}

/// A problem hides no other one of the same entity.
#[test]
fn all_problems_of_an_entity_are_named() {
    let schema = schema();
    let names = |members: &str| -> Vec<String> {
        let text = format!("{{{members}}}");
        let value = Value::parse(text.as_bytes()).unwrap();
        let found = crate::load::read_by_cedar(&value, Some(&schema)).unwrap_err();
        found.into_iter().map(|misfit| misfit.message).collect()
    };
    let uid = r#""uid": {"type": "Doc", "id": "d"}"#;
    let cases: &[(&str, &[&str])] = &[
        (
            r#""attrs": {"n": "x", "b": 1, "s": [1, "y", true], "r": {"y": 1}}, "parents": []"#,
            &[
                "`attrs.n`: expected a whole number",
                "`attrs.b`: expected a boolean",
                "`attrs.s[0]`: expected a string",
                "`attrs.s[2]`: expected a string",
                "`attrs.r.y`: the schema declares no `y`",
                "`attrs.r`: `x` is missing",
                "`attrs`: `owner` is missing",
            ],
        ),
        (
            r#""attrs": {"owner": {"type": "User", "id": "u", "x": 1}, "nn": 1}, "parents": [{"type": "Usr", "id": "g"}, {"type": "User", "id": "g"}], "tags": {"t": "x"}, "tag": {}"#,
            &[
                "unknown member `tag`",
                "`attrs.owner`: unknown member `x`",
                "`attrs.nn`: the schema declares no `nn`",
                "`parents[0]`: the schema declares no entity type `Usr`",
                "`parents[1]`: the schema lets a `Doc` be in nothing",
                "`tags.t`: expected a whole number",
            ],
        ),
        (
            r#""attrs": [], "parents": {}, "tags": null"#,
            &["`attrs`: expected an object", "`tags`: expected an object", "`parents`: expected a list"],
        ),
        ("", &["`attrs` is missing", "`parents` is missing"]),
        (r#""atrs": {}, "parents": []"#, &["unknown member `atrs`"]),
    ];
    for (members, expected) in cases {
        let members = [uid, members].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let found = names(&members);
        assert_eq!(found.len(), expected.len(), "{members}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "{members}: {found}\nis not\n{expected}");
        }
    }
    // their number is bounded, and it is said that there are more
    let many: Vec<String> = (0..1_000).map(|n| format!("\"m{n}\": 1")).collect();
    let found = names(&format!("{uid}, \"attrs\": {{{}}}, \"parents\": []", many.join(", ")));
    assert_eq!(found.len(), MOST + 1);
    assert!(found[MOST].starts_with("there are more problems"), "{found:#?}");
}
