//! A file of policies in Cedar's JSON form: one policy or template, or a policy set, taken apart into single ones.
//!
//! Ids are those that the same policies have in a `.cedar` file: the `@id` annotation, else `<path>.<n>`. In a
//! policy set the name of a member counts, unless it is one of `policy0`, `policy1` and so on, as Cedar's own
//! tools number policies without a name. What the policies say is for the engine to judge.

use std::collections::HashMap;

use palisade_engine::model::json::{in_words, without_byte_order_mark};
use palisade_engine::model::{Diagnostic, Link, LinkNames, PolicyNaming, PolicyText, Text, Value, Written, hint};

/// The members of a policy set.
const SET: [&str; 3] = ["staticPolicies", "templates", "templateLinks"];

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Where there are problems, also those that can be looked at all the same: the engine then finds what else is wrong.
    pub(super) policies: Vec<PolicyText>,
    pub(super) links: Vec<Link>,
    /// Every problem with its shape.
    pub(super) problems: Vec<Diagnostic>,
}

impl From<Diagnostic> for Split {
    fn from(problem: Diagnostic) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

/// Takes the text of a file apart. `stem` is what its policies without a name are called after.
pub(super) fn split(origin: &str, text: &str, stem: &str) -> Split {
    let text = without_byte_order_mark(text);
    let value = match Value::parse(text.as_bytes()) {
        Ok(value) => value,
        Err(error) => return not_json(origin, text, &error).into(),
    };
    let Value::Object(members) = value else {
        let message = format!("this is {}, not a policy or a policy set in Cedar's JSON form", value.kind());
        let help = if holds_texts(&value) {
            "write what each `content` has into a file named `*.cedar`, with `@id(\"...\")` before each policy"
        } else {
            "write an object, as `cedar translate-policy` does"
        };
        return Diagnostic::error(origin, message).help(help).into();
    };
    let lines = Lines::of(text);
    let line = lines.first;
    let (split, templates) = (Split::default(), HashMap::new());
    let mut splitter = Splitter { origin, stem, split, templates, lines, line };
    if members.iter().any(|(name, _)| SET.contains(&&**name)) {
        splitter.set(members);
    } else {
        splitter.policy(None, &Value::Object(members));
    }
    splitter.split
}

fn not_json(origin: &str, text: &str, error: &serde_json::Error) -> Diagnostic {
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let problem = Diagnostic::error(origin, format!("not JSON: {}", in_words(message)))
        .at(text, (line_start + error.column().saturating_sub(1)).min(text.len()));
    // who wrote JSON knows that it is meant to be
    if text.trim_start().starts_with(['{', '[']) {
        return problem;
    }
    problem.help("policies in Cedar's own syntax are in files named `*.cedar`")
}

/// Whether this is a list of policies as texts, as cedar-agent has them.
fn holds_texts(value: &Value<'_>) -> bool {
    let is_text = |item: &Value<'_>| matches!(member(item, "content"), Some(Value::String(_)));
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(is_text))
}

/// Where the parts of a policy set begin in their file.
#[derive(Debug, Default)]
struct Lines {
    /// The line on which the whole begins.
    first: usize,
    /// Of each policy, by the member of the set that it is in and its name.
    policies: HashMap<(String, String), usize>,
    /// Of each link.
    links: Vec<usize>,
}

impl Lines {
    /// Those of a text that is JSON. What is not found stands on the line of what it is in.
    fn of(text: &str) -> Self {
        let newlines: Vec<usize> =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let behind = text.len() - text.trim_ascii_start().len();
        let line = |at: usize| newlines.partition_point(|newline| *newline < at) + 1;
        let mut lines = Self { first: line(behind), ..Self::default() };
        let Ok(whole) = Text::check(text.as_bytes()) else { return lines };
        let place = |part: Text<'_>| line(behind + whole.place_of(part).unwrap_or(0));
        for part in whole.members().ok().flatten().unwrap_or_default() {
            for policy in part.text.members().ok().flatten().unwrap_or_default() {
                lines.policies.insert((part.key.to_string(), policy.key.to_string()), place(policy.text));
            }
            if part.key == "templateLinks" {
                lines.links = part.elements.unwrap_or_default().into_iter().map(place).collect();
            }
        }
        lines
    }
}

struct Splitter<'a> {
    origin: &'a str,
    stem: &'a str,
    split: Split,
    /// The id of each template, by its name in the set.
    templates: HashMap<String, String>,
    lines: Lines,
    /// Of what is looked at.
    line: usize,
}

impl Splitter<'_> {
    fn problem(&mut self, message: String) {
        let problem = self.at_line(message);
        self.split.problems.push(problem);
    }

    fn at_line(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic { line: Some(self.line), ..Diagnostic::error(self.origin, message) }
    }

    fn set(&mut self, members: Vec<(std::borrow::Cow<'_, str>, Value<'_>)>) {
        let mut links = Vec::new();
        for (member, value) in members {
            match (&*member, value) {
                ("staticPolicies" | "templates", Value::Object(policies)) => {
                    for (name, policy) in policies {
                        self.member(&member, &name, &policy);
                    }
                }
                ("templateLinks", Value::Array(elements)) => links = elements,
                ("staticPolicies" | "templates", other) => {
                    self.problem(format!("`{member}` must be an object of name and policy, not {}", other.kind()));
                }
                ("templateLinks", other) => {
                    self.problem(format!("`templateLinks` must be an array, not {}", other.kind()));
                }
                (other, _) => {
                    let near = hint(other, SET);
                    self.problem(format!("unknown member `{other}`; a policy set has {}{near}", SET.join(", ")));
                }
            }
        }
        // after all templates, wherever they stand
        for (i, link) in links.into_iter().enumerate() {
            self.line = self.lines.links.get(i).copied().unwrap_or(self.lines.first);
            match self.link(link, &format!("templateLinks[{i}]")) {
                Ok(link) => self.split.links.push(link),
                Err(message) => self.problem(message),
            }
        }
        if self.split.problems.is_empty() && self.split.policies.is_empty() {
            let help = "remove the file if it is not needed";
            self.split
                .problems
                .push(Diagnostic::error(self.origin, "there is no policy in this policy set").help(help));
        }
    }

    fn member(&mut self, part: &str, name: &str, policy: &Value<'_>) {
        let known = self.lines.policies.get(&(part.to_owned(), name.to_owned()));
        self.line = known.copied().unwrap_or(self.lines.first);
        if policy.as_object().is_none() {
            return self.problem(format!(
                "`{part}[{name:?}]` must be a policy in Cedar's JSON form, an object, not {}",
                policy.kind()
            ));
        }
        match (part, has_slots(policy)) {
            ("staticPolicies", true) => {
                return self.problem(format!("`staticPolicies[{name:?}]` has a slot: move it to `templates`"));
            }
            ("templates", false) => {
                return self.problem(format!("`templates[{name:?}]` has no slot: move it to `staticPolicies`"));
            }
            _ => {}
        }
        let id = self.policy(Some(name), policy);
        if let Some(id) = id.filter(|_| part == "templates") {
            self.templates.insert(name.to_owned(), id);
        }
    }

    /// Adds one policy and gives its id.
    fn policy(&mut self, name: Option<&str>, policy: &Value<'_>) -> Option<String> {
        let annotation = member(policy, "annotations").and_then(|annotations| member(annotations, "id"));
        let id = match (annotation, name) {
            (Some(Value::String(id)), _) if !id.is_empty() => id.to_string(),
            (Some(_), _) => {
                let problem = self.at_line("the annotation `id` is empty");
                self.split.problems.push(problem.help("name the policy, or leave the annotation out"));
                return None;
            }
            (None, None) => format!("{}.0", self.stem),
            (None, Some("")) => {
                let problem = self.at_line("the policy's name is empty");
                self.split.problems.push(problem.help("name the policy"));
                return None;
            }
            (None, Some(name)) => match name.strip_prefix("policy").filter(|n| is_number(n)) {
                Some(n) => format!("{}.{n}", self.stem),
                None => name.to_owned(),
            },
        };
        let text = policy.to_json().to_string();
        let naming = PolicyNaming::Part { id: id.clone(), line: self.line };
        self.split.policies.push(PolicyText { origin: self.origin.to_owned(), text, naming });
        Some(id)
    }

    fn link(&self, link: Value<'_>, at: &str) -> Result<Link, String> {
        let link = Link::from_value(link, LinkNames::OF_SETS, "").map_err(|error| {
            let member = error.pointer.replace('/', ".");
            format!("`{at}{member}`: {}", error.message)
        })?;
        let written = Written::new(self.origin, Some(self.line));
        let template_id = self
            .templates
            .get(&link.template_id)
            .cloned()
            .ok_or_else(|| format!("`{at}`: there is no template `{}` in this set", link.template_id))?;
        Ok(Link { template_id, written: Some(written), ..link })
    }
}

/// Digits without a zero before them, so that no two of them are the same number.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn member<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    value.as_object()?.iter().find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether the scope of a policy has a slot.
fn has_slots(policy: &Value<'_>) -> bool {
    ["principal", "resource"].into_iter().filter_map(|part| member(policy, part)).any(|scope| {
        member(scope, "slot").is_some() || member(scope, "in").is_some_and(|within| member(within, "slot").is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        r#"{"effect":"permit","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[]"#;

    fn ids(text: &str) -> Result<Vec<String>, String> {
        let split = split("f", text, "a/b");
        if let Some(problem) = split.problems.first() {
            return Err(problem.to_string());
        }
        let id = |text: PolicyText| match text.naming {
            PolicyNaming::Part { id, line: 1 } => id,
            other => panic!("{other:?}"),
        };
        Ok(split.policies.into_iter().map(id).chain(split.links.into_iter().map(|link| format!("{link:?}"))).collect())
    }

    #[test]
    fn policies_have_the_ids_that_they_have_in_cedars_syntax() {
        let named = format!(r#"{POLICY},"annotations":{{"id":"x","why":"y"}}}}"#);
        let plain = format!("{POLICY}}}");
        let template = plain.replacen(r#"{"op":"All"}"#, r#"{"op":"==","slot":"?principal"}"#, 1);
        for (text, expected) in [
            (plain.clone(), vec!["a/b.0"]),
            (named.clone(), vec!["x"]),
            (template.clone(), vec!["a/b.0"]),
            (
                format!(
                    r#"{{"staticPolicies":{{"policy1":{plain},"mine":{plain},"policy01":{plain},"other":{named}}}}}"#
                ),
                vec!["a/b.1", "mine", "policy01", "x"],
            ),
            (
                format!(
                    r#"{{"templateLinks":[{{"templateId":"policy0","newId":"l","values":{{"?principal":{{"type":"U","id":"v"}}}}}}],"templates":{{"policy0":{template}}},"staticPolicies":{{}}}}"#
                ),
                vec![
                    "a/b.0",
                    r#"Link { template_id: "a/b.0", link_id: "l", args: [("?principal", "U::\"v\"")], written: Some(Written { origin: "f", line: Some(1), members: MemberLines([0, 0, 0, 0, 0, 0, 0, 0]) }) }"#,
                ],
            ),
        ] {
            assert_eq!(ids(&text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn every_part_of_a_set_knows_its_line() {
        let plain = format!("{POLICY}}}");
        let template = plain.replacen(r#"{"op":"All"}"#, r#"{"op":"==","slot":"?principal"}"#, 1);
        let set = format!(
            "\n{{\"staticPolicies\": {{\"a\": {plain},\n\n\"b\\\"c\": {plain}}},\n\"templates\": {{\n\"t\": {template}}},\n\
             \"templateLinks\": [\n{{\"templateId\": \"t\",\n\"newId\": \"l\"}},\n{{\"templateId\": \"t\", \"newId\": \"m\"}}]}}"
        );
        let found = split("f", &set, "s");
        let lines: Vec<_> = found.policies.iter().map(|policy| policy.naming.line()).collect();
        assert_eq!(lines, [Some(2), Some(4), Some(6)]);
        let lines: Vec<_> = found.links.iter().map(|link| link.written.as_ref().unwrap().line).collect();
        assert_eq!(lines, [Some(8), Some(10)]);
        let found = split("f", &set.replace("\"newId\": \"m\"", "\"new\": 1"), "s");
        assert_eq!(found.problems[0].line, Some(10));
        let one = split("f", &format!("\n\n{plain}"), "s");
        assert_eq!(one.policies[0].naming.line(), Some(3));
        let texts =
            split("f", "[{\"id\": \"a\", \"content\": \"permit(principal, action, resource);\"}]", "s").problems;
        assert!(texts[0].help.as_ref().unwrap().starts_with("write what each `content` has"), "{}", texts[0]);
    }

    #[test]
    fn what_has_another_shape_is_refused() {
        let plain = format!("{POLICY}}}");
        let template = plain.replacen(r#"{"op":"All"}"#, r#"{"op":"==","slot":"?principal"}"#, 1);
        for (text, expected) in [
            ("[]".to_owned(), "not a policy or a policy set"),
            ("{".to_owned(), "f:1:1: not JSON"),
            (r#"{"effect":"permit","effect":"forbid"}"#.to_owned(), "duplicate key"),
            (
                "permit(principal, action, resource);".to_owned(),
                "policies in Cedar's own syntax are in files named `*.cedar`",
            ),
            ("[".repeat(200), "not JSON: nested too deeply"),
            (r#"{"staticPolicies":{}}"#.to_owned(), "there is no policy"),
            (r#"{"staticPolicies":[]}"#.to_owned(), "must be an object"),
            (
                r#"{"staticPolicies":{"b":5}}"#.to_owned(),
                r#"`staticPolicies["b"]` must be a policy in Cedar's JSON form, an object, not a number"#,
            ),
            (r#"{"staticPolicies":{},"policies":{}}"#.to_owned(), "unknown member `policies`"),
            (format!(r#"{{"staticPolicies":{{"a":{template}}}}}"#), "has a slot"),
            (format!(r#"{{"templates":{{"a":{plain}}}}}"#), "has no slot"),
            (format!(r#"{POLICY},"annotations":{{"id":""}}}}"#), "is empty"),
            (format!(r#"{POLICY},"annotations":{{"id":null}}}}"#), "is empty"),
            (
                format!(r#"{{"templates":{{"t":{template}}},"templateLinks":[{{"newId":"l","values":{{}}}}]}}"#),
                "lacks `templateId`",
            ),
            (
                format!(r#"{{"templates":{{"t":{template}}},"templateLinks":[{{"templateId":"u","newId":"l"}}]}}"#),
                "no template `u`",
            ),
            (
                format!(
                    r#"{{"templates":{{"t":{template}}},"templateLinks":[{{"templateId":"t","newId":"l","x":1}}]}}"#
                ),
                "unknown member `x`",
            ),
        ] {
            let error = ids(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
