//! What can be wrong with a bundle or a request, reported so that its author can fix it.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::model::bounds::{MAX_EXPLANATION, cut};
use crate::model::place::LONGEST_EXCERPT;

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The bundle cannot be used.
    Error,
    /// The bundle can be used, but its author should look.
    Warning,
}

/// One finding about a bundle: where it is, what is wrong, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file, or for an uploaded bundle the member, such as `policies` or `entities[3]`.
    #[serde(rename = "where")]
    pub origin: String,
    /// The line in that file, from 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The rule of `palisade routes lint` or of `palisade validate` that was broken; `docs/lint.md` has a section for
    /// each of the former, `docs/validate.md` for each of the latter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// The policy concerned, if there is one.
    #[serde(rename = "policyId", skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<String>,
    /// The code of the data rule that was broken, if one was.
    #[serde(rename = "dataRule", skip_serializing_if = "Option::is_none")]
    pub data_rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The line of text concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Whether the cause may pass on its own, so that the same bundle may load later.
    #[serde(skip)]
    pub passing: bool,
    /// What of the bundle it is about, in a word; the `code` of log lines where no rule was broken.
    #[serde(skip)]
    pub part: &'static str,
}

/// A text that may repeat what was sent, which may be long.
fn bounded(text: String) -> String {
    cut(text, MAX_EXPLANATION)
}

impl Diagnostic {
    /// An error about `origin` as a whole.
    pub fn error(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            origin: bounded(origin.into()),
            line: None,
            column: None,
            rule: None,
            policy_id: None,
            data_rule: None,
            message: bounded(message.into()),
            excerpt: None,
            help: None,
            passing: false,
            part: "",
        }
    }

    /// The findings, each about this part of the bundle unless it says which already.
    #[must_use]
    pub fn about(part: &'static str, mut found: Vec<Self>) -> Vec<Self> {
        found.iter_mut().filter(|finding| finding.part.is_empty()).for_each(|finding| finding.part = part);
        found
    }

    /// The part of a panic in the engine.
    pub const INTERNAL: &str = "internal";

    /// What findings about changes are said to come from where something is loaded below them.
    const CHANGES: &str = "changes";

    /// The same finding, about a change that does not fit what is loaded below it.
    #[must_use]
    pub fn of_changes(self) -> Self {
        self.origin(Self::CHANGES)
    }

    /// Whether a change does not fit what is loaded below it: another change may mend that.
    #[must_use]
    pub fn is_of_changes(&self) -> bool {
        self.origin == Self::CHANGES
    }

    /// The findings in the order of their places: file by file as they were first met, and line by line. What has no line
    /// comes last in its file.
    #[must_use]
    pub fn by_place(mut found: Vec<Self>) -> Vec<Self> {
        let mut first: HashMap<String, usize> = HashMap::new();
        for finding in &found {
            let next = first.len();
            first.entry(finding.origin.clone()).or_insert(next);
        }
        found.sort_by_key(|finding| {
            (first.get(&finding.origin).copied(), finding.line.is_none(), finding.line, finding.column)
        });
        found
    }

    /// A stable word for programs that read the log: the rule that was broken, or else the part of the bundle.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match (self.rule, self.part) {
            (Some(rule), _) => rule,
            (None, "") => "bundle",
            (None, part) => part,
        }
    }

    /// The same finding, whose cause may pass on its own: a disk, a thread, a file that is being written.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// The same finding as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same finding, of another file or member.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = bounded(origin.into());
        self
    }

    /// The same finding, by a rule that has a name.
    #[must_use]
    pub fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// The same finding, about one policy.
    #[must_use]
    pub fn policy(mut self, id: impl Into<String>) -> Self {
        self.policy_id = Some(bounded(id.into()));
        self
    }

    /// The same finding with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(bounded(help.into()));
        self
    }

    /// The same finding at the byte `offset` of `text`: sets line, column and excerpt.
    #[must_use]
    pub fn at(mut self, text: &str, offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[offset..].find('\n').map_or(text.len(), |i| offset + i);
        self.line = Some(before.bytes().filter(|b| *b == b'\n').count() + 1);
        self.column = Some(text[line_start..offset].chars().count() + 1);
        let excerpt = text[line_start..line_end].trim_end();
        // where the line is not shown, the column still helps
        if !excerpt.is_empty() && excerpt.len() <= LONGEST_EXCERPT {
            self.excerpt = Some(excerpt.to_owned());
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the name of a file may have line ends, which would look like findings of their own
        self.origin.split_inclusive(char::is_control).try_for_each(|part| {
            match part.strip_suffix(char::is_control) {
                Some(plain) => write!(f, "{plain}{}", part[plain.len()..].escape_default()),
                None => f.write_str(part),
            }
        })?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let (Some(_), Some(column)) = (self.line, self.column) {
            write!(f, ":{column}")?;
        }
        match self.severity {
            Severity::Error => write!(f, ": {}", self.message)?,
            Severity::Warning => write!(f, ": warning: {}", self.message)?,
        }
        if let Some(rule) = self.rule {
            write!(f, " [{rule}]")?;
        }
        if let Some(id) = &self.policy_id
            && !self.message.contains(id.as_str())
        {
            write!(f, " (policy `{id}`)")?;
        }
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n  | {excerpt}")?;
            if let Some(column) = self.column {
                let pad: String =
                    excerpt.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                write!(f, "\n  | {pad}^")?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Why a request cannot be decided as it stands. Its author must change it; the sidecar is fine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// A stable word for programs, such as `invalid_context`.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
    /// A JSON pointer into the request, or empty for all of it.
    pub pointer: String,
}

impl RequestError {
    /// An error with a stable `code` about the member that `pointer` names.
    pub fn new(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), pointer: pointer.into() }
    }

    /// The same error about a part of a larger document: puts `prefix` before the pointer.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_in_the_order_of_their_places() {
        let at = |origin: &str, line| Diagnostic { line, ..Diagnostic::error(origin, "x") };
        let found = [at("b", Some(7)), at("a", Some(3)), at("b", Some(4)), at("b", None), at("a", Some(1))];
        let sorted = Diagnostic::by_place(found.to_vec());
        let places: Vec<_> = sorted.iter().map(|found| (found.origin.as_str(), found.line)).collect();
        assert_eq!(places, [("b", Some(4)), ("b", Some(7)), ("b", None), ("a", Some(1)), ("a", Some(3))]);
    }

    #[test]
    fn a_diagnostic_repeats_no_more_than_a_bound() {
        let long = || "x".repeat(1 << 20);
        let found = Diagnostic::error(long(), long()).policy(long()).help(long());
        let moved = found.clone().origin(long());
        for text in [found.origin, found.message, found.policy_id.unwrap(), found.help.unwrap(), moved.origin] {
            assert!(text.len() < MAX_EXPLANATION + 64, "{}", text.len());
        }
    }

    #[test]
    fn a_diagnostic_reads_like_a_compilers() {
        let text = "permit (principal, action, resource)\nwhen { principl.active };";
        let shown = Diagnostic::error("policies/base.cedar", "unknown variable `principl`")
            .at(text, 44)
            .help("did you mean `principal`?")
            .to_string();
        assert_eq!(
            shown,
            "policies/base.cedar:2:8: unknown variable `principl`\n  | when { principl.active };\n  |        ^\n  help: did you mean `principal`?"
        );
    }
}
