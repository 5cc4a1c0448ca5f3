//! A file of rules that the data must keep, one mapping a rule.
//!
//! ```yaml
//! - each: User                                               # for every stored entity of this type
//!   must: principal.customer.tenant == principal.tenant      # this must hold; `principal` is the entity
//!   code: user-tenant
//!   message: the user's customer belongs to another tenant
//! ```
//!
//! Whether the expression fits the schema, and whether the data keep it, is for the engine to judge.

use std::sync::Arc;

use serde_json::Value;

use palisade_engine::model::{DataRule, Diagnostic};
use palisade_text::yaml;

use crate::source::files::links::{from_json, kind, line, unread, written};

/// What a file of rules has.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Its rules. Where there are problems, also those with a wrong member that can be looked at all the same: the engine then
    /// finds what else is wrong with them.
    pub rules: Vec<DataRule>,
    /// Every problem with its shape.
    pub problems: Vec<Diagnostic>,
}

impl From<Diagnostic> for Read {
    fn from(problem: Diagnostic) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

/// Reads the text of a file.
pub(super) fn read(origin: &str, text: &str) -> Read {
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(error) => return unread(origin, error).into(),
    };
    let Value::Array(items) = &document.value else {
        let problem = Diagnostic::error(origin, format!("a file of rules is a list, not {}", kind(&document.value)));
        return problem.help("write one item a rule, or `[]` for no rules, or remove the file").into();
    };
    let mut found = Read::default();
    let shared: Arc<str> = origin.into();
    for (n, item) in items.iter().enumerate() {
        let (rule, problems) = from_json(item, |value| DataRule::read(value, ""));
        found.problems.extend(problems.into_iter().map(|(member, message)| {
            let line = line(&document.lines, n, (!member.is_empty()).then_some(member.as_str()));
            Diagnostic { line, ..Diagnostic::error(origin, message) }
        }));
        if let Some(rule) = rule {
            let written = Some(written(&shared, &document.lines, n, item));
            found.rules.push(DataRule { written, ..rule });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let text = "# of users\n- each: User\n  must: principal.a == 1\n  code: c\n  message: m\n\n- {each: G, must: 'true', code: d, message: n, level: warn}\n";
        let rules = read("f", text).rules;
        let shown: Vec<_> =
            rules.iter().map(|rule| (rule.code.as_str(), rule.written.as_ref().unwrap().line)).collect();
        assert_eq!(shown, [("c", Some(2)), ("d", Some(7))]);
        assert!(read("f", "[]").problems.is_empty());
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_line() {
        for (text, expected) in [
            ("each: User", "f: a file of rules is a list, not a mapping"),
            (
                "- 3",
                "f:1: a data rule must be an object of each, each_parent, must, parents, code, message, level, not a number",
            ),
            ("- each: User\n  must: true\n  code: c\n  message: m", "f:2: `must` must be a string, not a boolean"),
            ("- each: User\n  code: c\n  message: m", "f:1: a data rule lacks `must`"),
            ("- each: User\n  mst: 'true'", "f:2: unknown member `mst`; a data rule has"),
            ("- a: [", "f:"),
        ] {
            let problems = read("f", text).problems;
            assert!(problems[0].to_string().contains(expected), "{text}: {}", problems[0]);
        }
    }
}
