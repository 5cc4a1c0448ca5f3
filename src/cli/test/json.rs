//! Tests in the shape of Cedar's command line: an array of objects.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::cli::test::model::{Case, Check, Expect, Fault, Reasons, Store, Unknown};
use crate::cli::test::yaml;
use palisade_engine::model::json::in_words;
use palisade_engine::model::{AccessRequest, Value, closest, hint_of_text};

const MEMBERS: &str = "`name`, `why`, `request`, `decision`, `reason`, `num_errors`, `unknown` and `entities`";

/// Reads a file. `open` reads another file that a test names for its entities.
pub(super) fn parse(text: &str, open: &dyn Fn(&str) -> Result<String, String>) -> Result<Vec<Case>, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(Fault::at(1, "the file is empty: write an array of tests, or remove it"));
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let is_yaml = !text.trim_start().starts_with(['[', '{']) && yaml::parse(text, open).is_ok();
        if is_yaml {
            return Fault::at(1, "this is YAML, in a file whose name ends with `.json`: rename it to `*.yaml`");
        }
        Fault::at(error.line(), format!("not an array of tests: {}", said(&error)))
    })?;
    let mut names: HashMap<String, usize> = HashMap::new();
    let cases = elements.iter().enumerate().flat_map(|(i, element)| {
        let offset = element.get().as_ptr() as usize - text.as_ptr() as usize;
        let line = text[..offset].bytes().filter(|b| *b == b'\n').count() + 1;
        let mut found = cases(element.get(), line, i, open);
        let seen = names.entry(found.first().map(|case| case.name.clone()).unwrap_or_default()).or_default();
        *seen += 1;
        if *seen > 1 {
            // names are for people in this form, so they need not be unique; ids are
            found.iter_mut().for_each(|case| case.name = format!("{} #{seen}", case.name));
        }
        found
    });
    Ok(cases.collect())
}

/// What the reader says, without the place, which the fault has.
fn said(error: &serde_json::Error) -> String {
    let said = in_words(&error.to_string());
    said.split(" at line ").next().unwrap_or(&said).to_owned()
}

/// The case of a test, or one for everything that is wrong with it.
fn cases(text: &str, line: usize, i: usize, open: &dyn Fn(&str) -> Result<String, String>) -> Vec<Case> {
    let unnamed = format!("(test {})", i + 1);
    let value = match Value::parse(text.as_bytes()) {
        Ok(value) => value,
        Err(error) => {
            let fault = Fault::at(line + error.line().saturating_sub(1), said(&error));
            return vec![Case { name: unnamed, line: Some(line), why: None, check: Err(fault) }];
        }
    };
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (name, why) = (text_of("name").unwrap_or(unnamed), text_of("why"));
    let case = |check| Case { name: name.clone(), line: Some(line), why: why.clone(), check };
    match check(value, open) {
        Ok(check) => vec![case(Ok(check))],
        Err(wrong) => {
            let members: HashMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
            let line_of = |member: &str| {
                let before = members.get(member).map_or(0, |raw| raw.get().as_ptr() as usize - text.as_ptr() as usize);
                line + text[..before].bytes().filter(|b| *b == b'\n').count()
            };
            let faults = wrong.into_iter().map(|Wrong { member, message }| Fault::at(line_of(&member), message));
            faults.map(|fault| case(Err(fault))).collect()
        }
    }
}

/// What is wrong with a test, at the member of that name; at the test where that is not there.
struct Wrong {
    member: String,
    message: String,
}

fn check(value: Value<'_>, open: &dyn Fn(&str) -> Result<String, String>) -> Result<Check, Vec<Wrong>> {
    let wrong = |member: &str, message: String| Wrong { member: member.to_owned(), message };
    let Value::Object(members) = value else {
        return Err(vec![wrong("", format!("a test is an object with {MEMBERS}, not {}", value.kind()))]);
    };
    let (mut request, mut expect, mut reasons, mut errors, mut unknown) = (None, None, None, None, None);
    let (mut store, mut faults, mut given) = (Store::Bundle, Vec::new(), Vec::new());
    for (key, value) in members {
        let mut fail = |message: String| faults.push(wrong(&key, message));
        given.extend(closest(&key, ["request", "decision"]));
        match (key.as_ref(), value) {
            ("name" | "why", Value::String(_)) => {}
            ("request", value) => match AccessRequest::read_beside(value, &[]) {
                Ok(read) => request = Some(read.into_owned()),
                Err(errors) => errors.iter().for_each(|error| fail(format!("`request`: {}", error.message))),
            },
            ("decision", Value::String(word)) => match word.to_ascii_lowercase().as_str() {
                "allow" => expect = Some(Expect::Allow),
                "deny" => expect = Some(Expect::Deny),
                "error" => expect = Some(Expect::Error),
                _ => fail(format!("`decision` is `allow`, `deny` or `error`, not `{word}`")),
            },
            ("reason", Value::Array(ids)) => {
                let ids: Option<BTreeSet<String>> = ids.iter().map(|id| id.as_str().map(str::to_owned)).collect();
                match ids {
                    Some(ids) => reasons = Some(Reasons { ids, all: false }),
                    None => fail("`reason` is a list of policy ids".to_owned()),
                }
            }
            ("num_errors", Value::Long(n)) => match usize::try_from(n) {
                Ok(n) => errors = Some(n),
                Err(_) => fail("`num_errors` is a count".to_owned()),
            },
            ("unknown", Value::Bool(is)) => unknown = Some(is),
            ("entities", entities @ Value::Array(_)) => store = Store::Only(entities.to_json().to_string().into()),
            ("entities", Value::String(file)) => match open(&file) {
                Ok(text) => store = Store::Only(Arc::from(text)),
                Err(error) => fail(format!("`entities`: `{file}`: {error}")),
            },
            ("reason" | "num_errors" | "entities" | "why", Value::Null) => {}
            ("name" | "why" | "decision", other) => fail(format!("`{key}` must be a string, not {}", other.kind())),
            ("reason" | "entities", other) => fail(format!("`{key}` must be an array, not {}", other.kind())),
            ("unknown", other) => fail(format!("`{key}` must be true or false, not {}", other.kind())),
            ("num_errors", other) => fail(format!("`{key}` must be a count, not {}", other.kind())),
            _ => fail(format!("unknown member `{key}`; a test has {MEMBERS}{}", hint_of_text(&key, MEMBERS))),
        }
    }
    // what is misspelt is not missing, too
    for name in ["request", "decision"].into_iter().filter(|name| !given.contains(name)) {
        faults.push(wrong("", format!("the test lacks `{name}`")));
    }
    let (Some(request), Some(expect), true) = (request, expect, faults.is_empty()) else { return Err(faults) };
    let unknown = match (unknown, &store) {
        (Some(true), _) => Unknown::Said,
        (None, Store::Only(_)) => Unknown::Allowed,
        _ => Unknown::Unsaid,
    };
    Ok(Check { request, store, expect, reasons, errors, unknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#""request":{"principal":"U::\"a\"","action":"Action::\"b\"","resource":"R::\"c\""}"#;

    fn read(text: &str) -> Result<Vec<Case>, Fault> {
        parse(text, &|file| if file == "e.json" { Ok("[]".to_owned()) } else { Err("no such file".to_owned()) })
    }

    #[test]
    fn a_test_in_full() {
        let text = format!(
            "[\n {{\"name\":\"n\",\"why\":\"w\",{REQUEST},\"decision\":\"ALLOW\",\"reason\":[\"b\",\"a\"],\"num_errors\":0,\"entities\":[]}},\n {{{REQUEST},\"decision\":\"deny\",\"entities\":\"e.json\"}}]"
        );
        let cases = read(&text).unwrap();
        let check = cases[0].check.as_ref().unwrap();
        assert_eq!((cases[0].name.as_str(), cases[0].line, cases[0].why.as_deref()), ("n", Some(2), Some("w")));
        assert_eq!((check.expect, check.errors, &check.store), (Expect::Allow, Some(0), &Store::Only("[]".into())));
        let ids = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(check.reasons, Some(Reasons { ids, all: false }));
        let check = cases[1].check.as_ref().unwrap();
        assert_eq!((cases[1].name.as_str(), cases[1].line), ("(test 2)", Some(3)));
        assert_eq!((check.expect, &check.reasons, check.errors), (Expect::Deny, &None, None));
    }

    #[test]
    fn what_is_wrong_with_a_test_fails_that_test() {
        for (members, expected) in [
            (String::new(), "the test lacks `request`"),
            (REQUEST.to_owned(), "the test lacks `decision`"),
            (format!(r#"{REQUEST},"decision":"maybe""#), "`decision` is `allow`, `deny` or `error`, not `maybe`"),
            (format!(r#"{REQUEST},"decision":true"#), "`decision` must be a string, not a boolean"),
            (format!(r#"{REQUEST},"decision":"deny","reasons":[]"#), "unknown member `reasons`"),
            (format!(r#"{REQUEST},"decision":"deny","reason":"a""#), "`reason` must be an array"),
            (format!(r#"{REQUEST},"decision":"deny","num_errors":-1"#), "`num_errors` is a count"),
            (format!(r#"{REQUEST},"decision":"deny","entities":"x.json""#), "`entities`: `x.json`: no such file"),
            (r#""request":{},"decision":"deny""#.to_owned(), "`request`: the request lacks `principal`"),
            (format!(r#"{REQUEST},"decision":"deny","decision":"allow""#), "duplicate"),
        ] {
            let cases = read(&format!("[\n{{{members}}}]")).unwrap();
            let fault = cases[0].check.as_ref().unwrap_err();
            assert_eq!(fault.line, Some(2));
            assert!(fault.message.contains(expected), "{members}: {}", fault.message);
        }
    }

    #[test]
    fn everything_that_is_wrong_with_tests_is_found_at_its_line() {
        let text = "[\n{\"name\":\"n\",\n\"request\":{\"principle\":\"U::a\",\n\"action\":\"b\"},\n\"decision\":\"maybe\",\n\"reason\":[1],\n\"num_errors\":-1,\"x\":1},\n{\"requst\":{}},\n7]";
        let cases = read(text).unwrap();
        let found: Vec<String> = cases
            .iter()
            .map(|case| {
                let fault = case.check.as_ref().unwrap_err();
                format!("{} {}: {}", case.name, fault.line.unwrap(), fault.message)
            })
            .collect();
        let expected = [
            "n 3: `request`: unknown member `principle`",
            "n 3: `request`: `b` is not an entity uid",
            "n 3: `request`: the request lacks `resource`",
            "n 5: `decision` is `allow`, `deny` or `error`, not `maybe`",
            "n 6: `reason` is a list of policy ids",
            "n 7: `num_errors` is a count",
            "n 7: unknown member `x`",
            "(test 2) 8: unknown member `requst`",
            "(test 2) 8: the test lacks `decision`",
            "(test 3) 9: a test is an object with",
        ];
        let is_expected = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
        assert!(is_expected, "{found:#?}");
    }

    #[test]
    fn what_is_no_array_fails_the_file() {
        assert_eq!(read("[\n{]").unwrap_err().line, Some(2));
        for (text, message) in [
            ("{}", "not an array of tests"),
            ("", "the file is empty"),
            (" \n", "the file is empty"),
            ("tests:\n  - name: t\n", "this is YAML"),
            ("nothing", "not an array of tests: expected `true`, `false` or `null`"),
            ("[", "not an array of tests: the text ends within a list"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.message.starts_with(message), "{text}: {fault:?}");
        }
        let twice = format!(
            "[{{\"name\":\"n\",{REQUEST},\"decision\":\"deny\"}},{{\"name\":\"n\",{REQUEST},\"decision\":\"deny\"}}]"
        );
        assert_eq!(read(&twice).unwrap()[1].name, "n #2");
    }
}
