//! Tests in the shape of Cedar's command line: an array of objects.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::cli::test::model::{Case, Check, Expect, Fault, Reasons, Store, Unknown};
use crate::cli::test::yaml;
use palisade_engine::model::json::in_words;
use palisade_engine::model::{AccessRequest, Value, hint_of_text};

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
    let cases = elements.iter().enumerate().map(|(i, element)| {
        let offset = element.get().as_ptr() as usize - text.as_ptr() as usize;
        let line = text[..offset].bytes().filter(|b| *b == b'\n').count() + 1;
        let mut case = case(element.get(), line, i, open);
        let seen = names.entry(case.name.clone()).or_default();
        *seen += 1;
        if *seen > 1 {
            // names are for people in this form, so they need not be unique; ids are
            case.name = format!("{} #{seen}", case.name);
        }
        case
    });
    Ok(cases.collect())
}

/// What the reader says, without the place, which the fault has.
fn said(error: &serde_json::Error) -> String {
    let said = in_words(&error.to_string());
    said.split(" at line ").next().unwrap_or(&said).to_owned()
}

fn case(text: &str, line: usize, i: usize, open: &dyn Fn(&str) -> Result<String, String>) -> Case {
    let unnamed = format!("(test {})", i + 1);
    let value = match Value::parse(text.as_bytes()) {
        Ok(value) => value,
        Err(error) => {
            let fault = Fault::at(line + error.line().saturating_sub(1), said(&error));
            return Case { name: unnamed, line: Some(line), why: None, check: Err(fault) };
        }
    };
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (name, why) = (text_of("name").unwrap_or(unnamed), text_of("why"));
    let check = check(value, open).map_err(|message| Fault::at(line, message));
    Case { name, line: Some(line), why, check }
}

fn check(value: Value<'_>, open: &dyn Fn(&str) -> Result<String, String>) -> Result<Check, String> {
    let Value::Object(members) = value else {
        return Err(format!("a test is an object with {MEMBERS}, not {}", value.kind()));
    };
    let (mut request, mut expect, mut reasons, mut errors, mut unknown) = (None, None, None, None, None);
    let mut store = Store::Bundle;
    for (key, value) in members {
        match (key.as_ref(), value) {
            ("name" | "why", Value::String(_)) => {}
            ("request", value) => {
                let read = AccessRequest::from_value(value).map_err(|error| format!("`request`: {}", error.message))?;
                request = Some(read.into_owned());
            }
            ("decision", Value::String(word)) => {
                expect = Some(match word.to_ascii_lowercase().as_str() {
                    "allow" => Expect::Allow,
                    "deny" => Expect::Deny,
                    "error" => Expect::Error,
                    _ => return Err(format!("`decision` is `allow`, `deny` or `error`, not `{word}`")),
                });
            }
            ("reason", Value::Array(ids)) => {
                let ids: Option<BTreeSet<String>> = ids.iter().map(|id| id.as_str().map(str::to_owned)).collect();
                reasons = Some(Reasons { ids: ids.ok_or("`reason` is a list of policy ids")?, all: false });
            }
            ("num_errors", Value::Long(n)) => {
                errors = Some(usize::try_from(n).map_err(|_| "`num_errors` is a count".to_owned())?);
            }
            ("unknown", Value::Bool(is)) => unknown = Some(is),
            ("entities", entities @ Value::Array(_)) => store = Store::Only(entities.to_json().to_string().into()),
            ("entities", Value::String(file)) => {
                let text = open(&file).map_err(|error| format!("`entities`: `{file}`: {error}"))?;
                store = Store::Only(Arc::from(text));
            }
            ("reason" | "num_errors" | "entities" | "why", Value::Null) => {}
            ("name" | "why" | "decision", other) => {
                return Err(format!("`{key}` must be a string, not {}", other.kind()));
            }
            ("reason" | "entities", other) => return Err(format!("`{key}` must be an array, not {}", other.kind())),
            ("unknown", other) => return Err(format!("`{key}` must be true or false, not {}", other.kind())),
            ("num_errors", other) => return Err(format!("`{key}` must be a count, not {}", other.kind())),
            _ => return Err(format!("unknown member `{key}`; a test has {MEMBERS}{}", hint_of_text(&key, MEMBERS))),
        }
    }
    let request = request.ok_or("the test lacks `request`")?;
    let expect = expect.ok_or("the test lacks `decision`")?;
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
