//! Why changes were refused: each problem at the line of the file on which its change stands.

use std::io::{self, Write};

use serde_json::Value;

use palisade_engine::model::{Text, count};

/// Problems that are shown; the answer may have more.
const SHOWN: usize = 20;

/// What stands before the changes of an array where it is sent as a transaction.
pub(super) const BEFORE_ARRAY: &str = "{\"changes\":";

/// The file that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'s> {
    /// As its author calls it.
    pub(super) file: &'s str,
    /// What was sent of it.
    pub(super) body: &'s str,
    /// Whether each line is a change.
    pub(super) by_line: bool,
}

impl Sent<'_> {
    /// The line of each change, from 1, as far as they can be found.
    fn lines(&self) -> Vec<usize> {
        if self.by_line {
            let lines = self.body.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            return lines.map(|(n, _)| n + 1).collect();
        }
        let Ok(whole) = Text::check(self.body.as_bytes()) else { return Vec::new() };
        let members = whole.members().ok().flatten().unwrap_or_default();
        let changes = members.into_iter().find(|member| member.key == "changes").and_then(|member| member.elements);
        let before = self.body.len() - self.body.trim_ascii_start().len();
        let (mut line, mut seen) = (1, 0);
        let of = |change: Text<'_>| {
            let at = before + whole.place_of(change)?;
            line += self.body.get(seen..at)?.bytes().filter(|byte| *byte == b'\n').count();
            seen = at;
            Some(line)
        };
        changes.unwrap_or_default().into_iter().map_while(of).collect()
    }

    /// A fault of the whole text, with its place in front.
    fn fault(&self, detail: &str) -> String {
        let place = |detail: &str| {
            let (message, place) = detail.rsplit_once(" at line ")?;
            let (line, column) = place.split_once(" column ")?;
            let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
            // the array has nothing before it in the file
            let added = if line == 1 && self.body.starts_with(BEFORE_ARRAY) { BEFORE_ARRAY.len() } else { 0 };
            Some(format!("{}:{line}:{}: {message}", self.file, column.saturating_sub(added)))
        };
        place(detail).unwrap_or_else(|| detail.to_owned())
    }
}

/// Writes what the answer says of the changes.
pub(super) fn write(said: &Value, sent: Sent<'_>, to: &mut dyn Write) -> io::Result<()> {
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |value: &Value, member: &str| value.get(member).and_then(Value::as_u64);
    let errors = said.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let detail = text(said, "detail");
    let Some(first) = errors.first() else { return writeln!(to, "error: {}", sent.fault(&detail)) };
    writeln!(to, "error: {}", heading(&detail, &text(first, "message")))?;
    let lines = sent.lines();
    for error in errors.iter().take(SHOWN) {
        let pointer = text(error, "where");
        let of_change = pointer.strip_prefix("/changes/").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        let change = of_change.and_then(|(n, member)| Some((lines.get(n.parse::<usize>().ok()?)?, member)));
        let mut place = match change {
            Some((line, "")) => format!("{}:{line}", sent.file),
            Some((line, member)) => format!("{}:{line}: {member}", sent.file),
            None => pointer,
        };
        // a text within the change has lines of its own
        if let (Some(line), Some(column)) = (number(error, "line"), number(error, "column")) {
            place += &format!(", line {line}, column {column}");
        }
        writeln!(to, "  {place}: {}", text(error, "message"))?;
        if let Some(help) = error.get("help").and_then(Value::as_str) {
            // what a body says, a flag says here
            writeln!(to, "    help: {}", help.replace("say `dangling`:", "give `--dangling`:"))?;
        }
    }
    match errors.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(to, "  and {}", count(more, "more problem")),
    }
}

/// What is said of all problems together: each is listed below.
fn heading<'d>(detail: &'d str, first: &str) -> &'d str {
    let all = match detail.strip_suffix(first) {
        Some(before) => before.trim_end_matches(": "),
        None if detail.ends_with("see `errors`") => detail.rsplit_once(": ").map_or("", |(before, _)| before),
        None => detail,
    };
    if all.is_empty() { "the changes were refused and nothing has changed" } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn shown(said: &Value, body: &str, by_line: bool, expected: &str) {
        let mut out = Vec::new();
        write(said, Sent { file: "f", body, by_line }, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{said}");
    }

    #[test]
    fn problems_are_at_the_lines_of_the_file() {
        let lines = "\n{\"delete\":\"U::\\\"a\\\"\"}\n\n{\"delete\":1}\n";
        let array = "{\"changes\":[\n{\"delete\":1},\n\n{\"delete\":2}, {\"delete\":3}]}";
        let refused = "the changes were refused and nothing has changed";
        let one = |found: Value| json!({"detail": found["message"], "errors": [found]});
        for (found, place) in [
            (json!({"where": "/changes/1/delete", "line": 4, "message": "no"}), "f:4: delete: no"),
            (json!({"where": "/changes/0", "message": "no"}), "f:2: no"),
            // the line of a policy's text is not that of the file
            (
                json!({"where": "/changes/1/put_policy/text", "line": 2, "column": 8, "message": "no"}),
                "f:4: put_policy/text, line 2, column 8: no",
            ),
            (json!({"where": "/changes", "message": "too many"}), "/changes: too many"),
            (json!({"where": "/changes/7/delete", "message": "no"}), "/changes/7/delete: no"),
        ] {
            shown(&one(found), lines, true, &format!("error: {refused}\n  {place}\n"));
        }
        for (n, line) in [(0, 2), (1, 4), (2, 4)] {
            let found = json!({"where": format!("/changes/{n}/delete"), "message": "no", "help": "do"});
            let expected = format!("error: {refused}\n  f:{line}: delete: no\n    help: do\n");
            shown(&one(found), array, false, &expected);
        }
    }

    #[test]
    fn nothing_is_said_twice() {
        let finding = json!({"where": "/changes/0", "message": "m"});
        for (detail, errors, expected) in [
            ("so it is: m", vec![finding.clone()], "error: so it is\n  f:1: m\n"),
            ("so it is: 2 findings, see `errors`", vec![finding.clone(); 2], "error: so it is\n  f:1: m\n  f:1: m\n"),
            ("a revision: b", vec![], "error: a revision: b\n"),
            ("not JSON at line 3 column 7", vec![], "error: f:3:7: not JSON\n"),
            ("not JSON at line 1 column 13", vec![], "error: f:1:2: not JSON\n"),
        ] {
            shown(&json!({"detail": detail, "errors": errors}), "{\"changes\":[{}]}", false, expected);
        }
        let many = json!({"detail": "so: 25 findings, see `errors`", "errors": vec![finding; 25]});
        let mut out = Vec::new();
        write(&many, Sent { file: "f", body: "{}", by_line: true }, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with("\n  and 5 more problems\n"));
    }
}
