//! The changes of a body: an object, read once it is there, or a change a line, read while it comes.
//!
//! Of lines neither the text is kept nor what comes behind the first fault, so that what a body takes is what its changes
//! take, and that is bounded.

use http::StatusCode;
use serde_json::value::RawValue;

use crate::transport::bundle::{Unreadable, kind, parse, parts};
use crate::transport::changes::Takes;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::malformed;
use crate::transport::respond::Problem;
use palisade_engine::Limits;
use palisade_engine::model::json::in_words;
use palisade_engine::model::request::pointer;
use palisade_engine::model::{Dangling, Diagnostic, Edit, Findings, RequestError, Value, hint};

/// Bytes of the text of one change: a policy may be long.
pub(super) const LONGEST: usize = 8 << 20;

/// A body that was read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    pub(super) edits: Vec<Edit>,
    /// What the body says of references, if it does.
    pub(super) dangling: Option<Dangling>,
    /// The line of each change, where each stands on a line.
    pub(super) lines: Vec<usize>,
}

/// What is wrong with the changes of a body.
#[derive(Debug, Default)]
struct Faults {
    code: Option<&'static str>,
    found: Findings,
}

impl Faults {
    fn push(&mut self, code: &'static str, pointer: &str, message: impl Into<String>, line: Option<usize>) {
        self.code.get_or_insert(code);
        self.found.add(|| Diagnostic { line, ..Diagnostic::error(pointer, message) });
    }

    fn extend(&mut self, errors: Vec<RequestError>, line: Option<usize>) {
        for error in errors {
            self.push(error.code, &error.pointer, error.message, line);
        }
    }

    fn are_none(&self) -> bool {
        self.code.is_none()
    }

    fn finish(self) -> Result<(), Problem> {
        let n = self.found.count();
        let listed = self.found.into_list("/changes", "problem");
        let (Some(code), Some(first)) = (self.code, listed.first()) else { return Ok(()) };
        let detail = if n == 1 { first.message.clone() } else { format!("{n} problems, see `errors`") };
        let pointer = first.origin.clone();
        Err(Problem::bad_request(code, detail).about(pointer, listed))
    }
}

/// The change of a value, or everything that is wrong with it.
fn edit(value: Value<'_>, at: &str, takes: Takes) -> Result<Edit, Vec<RequestError>> {
    if let (Value::Object(members), true) = (&value, value.get("uid").is_some()) {
        let known = ["attrs", "parents", "tags"];
        if members.iter().all(|(name, _)| name == "uid" || known.contains(&&**name)) {
            let message = "this is an entity, not a change; to store it write `{\"upsert\": {\"uid\": ...}}`";
            return Err(RequestError::new("invalid_change", at, message).into());
        }
    }
    let edit = Edit::read(value, at)?;
    edit.check_id(at)?;
    if takes == Takes::OfEntities && !edit.is_of_entity() {
        let message = format!("`{}` is no change of entities; send it to `/v1/changes`", edit.name());
        return Err(RequestError::new("invalid_change", at, message).into());
    }
    Ok(edit)
}

/// Reads an object of `changes`.
pub(super) fn read_object(body: &[u8], limits: &Limits, takes: Takes) -> Result<Read, Problem> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(|error| {
        let mut problem = malformed(body, &error);
        if are_lines(body) {
            problem.detail += "; send one change a line as `Content-Type: application/x-ndjson`";
        }
        problem
    })?;
    if !whole.get().starts_with('{') {
        let message = format!("the body is {}, not an object with `changes`: `{{\"changes\": [...]}}`", kind(whole));
        return Err(RequestError::new("invalid_request", "", message).into());
    }
    let (mut edits, mut dangling) = (None, None);
    for (key, raw) in parts(whole, "", "members", 100)? {
        match key.as_str() {
            "changes" if raw.get().starts_with('[') => {
                let elements = parts(raw, "/changes", "changes (`limits.max_changes`)", limits.max_changes)?;
                edits = Some(read_elements(elements.into_iter().map(|(_, raw)| raw), takes)?);
            }
            "changes" => {
                let message = format!("`changes` must be an array, not {}", kind(raw));
                return Err(RequestError::new("invalid_member", "/changes", message).into());
            }
            "dangling" => match parse(raw, "/dangling")? {
                Value::String(word) => dangling = Some(Dangling::from_word(&word, "/dangling")?),
                other => {
                    let message = format!("`dangling` must be a string, not {}", other.kind());
                    return Err(RequestError::new("invalid_member", "/dangling", message).into());
                }
            },
            other => {
                let near = elsewhere::of_body(Place::Changes, other)
                    .or_else(|| is_change(other).then(|| " is a change: write it into `changes`".to_owned()))
                    .map(|where_| format!("; `{other}`{where_}"))
                    .unwrap_or_else(|| hint(other, ["changes", "dangling"]));
                let message = format!("unknown member `{other}`; a transaction has changes, dangling{near}");
                return Err(RequestError::new("unknown_member", pointer(other), message).into());
            }
        }
    }
    let missing = || RequestError::new("missing_member", "/changes", "the transaction lacks `changes`");
    Ok(Read { edits: edits.ok_or_else(missing)?, dangling, lines: Vec::new() })
}

fn read_elements<'r>(raws: impl Iterator<Item = &'r RawValue>, takes: Takes) -> Result<Vec<Edit>, Problem> {
    let (mut faults, mut edits) = (Faults::default(), Vec::with_capacity(raws.size_hint().0));
    for (i, raw) in raws.enumerate() {
        let at = format!("/changes/{i}");
        if raw.get().len() > LONGEST {
            faults.push("invalid_member", &at, format!("a change of more than {LONGEST} bytes"), None);
            continue;
        }
        let read = match parse(raw, &at) {
            Ok(value) => edit(value, &at, takes),
            Err(Unreadable::Shape(error)) => Err(error.into()),
            Err(Unreadable::NotJson(problem)) => {
                faults.push(problem.code, &at, problem.detail, None);
                continue;
            }
        };
        match read {
            Ok(edit) => edits.push(edit),
            Err(errors) => faults.extend(errors, None),
        }
    }
    faults.finish()?;
    Ok(edits)
}

/// Whether a body that is no JSON has several lines each of which is, the first of them.
fn are_lines(body: &[u8]) -> bool {
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let (first, second) = (lines.next(), lines.next());
    let is_object = |line: &[u8]| line.len() <= LONGEST && matches!(Value::parse(line), Ok(Value::Object(_)));
    first.is_some_and(is_object) && second.is_some()
}

/// Whether a name is that of a change.
fn is_change(name: &str) -> bool {
    let given = Value::Object(vec![(name.to_owned().into(), Value::Null)]);
    Edit::read(given, "").is_err_and(|faults| faults.iter().all(|fault| fault.code != "unknown_member"))
}

/// Lines on their way in.
#[derive(Debug)]
pub(super) struct Lines {
    takes: Takes,
    max_changes: usize,
    /// Bytes that the changes may take in memory.
    max_bytes: usize,
    /// The line that is not whole yet.
    begun: Vec<u8>,
    /// That line is too long, and what is left of it is of no interest.
    skips: bool,
    /// Lines that were whole.
    line: usize,
    bytes: usize,
    faults: Faults,
    read: Read,
}

impl Lines {
    /// Changes that take at most `max_bytes` in memory.
    pub(super) fn new(limits: &Limits, max_bytes: usize, takes: Takes) -> Self {
        Self {
            takes,
            max_changes: limits.max_changes,
            max_bytes,
            begun: Vec::new(),
            skips: false,
            line: 0,
            bytes: 0,
            faults: Faults::default(),
            read: Read::default(),
        }
    }

    /// Takes the next piece of the body. Gives how many bytes of it are text of changes that are kept.
    ///
    /// # Errors
    /// If there are more changes than a transaction may have, or they take too much.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> Result<usize, Problem> {
        let mut kept = 0;
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            kept += if self.begun.is_empty() && !self.skips {
                self.whole(line)?
            } else {
                self.begin(line);
                self.end()?
            };
            piece = rest;
        }
        self.begin(piece);
        Ok(kept)
    }

    /// The body is whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn finish(mut self) -> Result<Read, Problem> {
        if !self.begun.is_empty() || self.skips {
            self.end()?;
        }
        self.faults.finish()?;
        Ok(self.read)
    }

    fn begin(&mut self, piece: &[u8]) {
        if self.skips || self.begun.len() + piece.len() > LONGEST {
            self.skips = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(piece);
        }
    }

    fn end(&mut self) -> Result<usize, Problem> {
        let line = std::mem::take(&mut self.begun);
        let kept = self.whole(&line)?;
        if line.capacity() <= LONGEST / 64 {
            // room for the next that comes in pieces
            self.begun = line;
            self.begun.clear();
        }
        Ok(kept)
    }

    /// Reads a line without its end.
    fn whole(&mut self, line: &[u8]) -> Result<usize, Problem> {
        self.line += 1;
        let skipped = std::mem::take(&mut self.skips);
        if line.iter().all(u8::is_ascii_whitespace) && !skipped {
            return Ok(0);
        }
        let i = self.read.lines.len();
        let at = format!("/changes/{i}");
        if i >= self.max_changes {
            let message = format!(
                "more than {} changes (`limits.max_changes`); send them in several transactions",
                self.max_changes
            );
            return Err(self.stopped(Problem::bad_request("invalid_request", message), at));
        }
        self.read.lines.push(self.line);
        let number = Some(self.line);
        if skipped || line.len() > LONGEST {
            self.faults.push("invalid_member", &at, format!("a change of more than {LONGEST} bytes"), number);
            return Ok(0);
        }
        let value = match Value::parse_usual(line) {
            Ok(value) => value,
            Err(error) => {
                self.faults.push("malformed_json", &at, no_json(line, &error), number);
                return Ok(0);
            }
        };
        if let Some(message) = no_line(&value) {
            self.faults.push("invalid_change", &at, message, number);
            return Ok(0);
        }
        match edit(value, &at, self.takes) {
            Ok(edit) if self.faults.are_none() => {
                self.bytes += edit.weight();
                if self.bytes > self.max_bytes {
                    let message = format!(
                        "the changes take more than {} bytes of memory, four times `admin.max_body_bytes`; send them in \
                         several transactions",
                        self.max_bytes
                    );
                    let (status, code) = (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
                    return Err(self.stopped(Problem::new(status, code, message), at));
                }
                self.read.edits.push(edit);
                Ok(line.len())
            }
            // nothing is made of it any more
            Ok(_) => Ok(0),
            Err(errors) => {
                self.read.edits = Vec::new();
                self.faults.extend(errors, number);
                Ok(0)
            }
        }
    }

    /// What ends the reading at this line.
    fn stopped(&self, problem: Problem, at: String) -> Problem {
        let found = Diagnostic { line: Some(self.line), ..Diagnostic::error(&*at, &*problem.detail) };
        problem.about(at, vec![found])
    }
}

/// What is wrong with a line, with the column alone: a reader of a line knows no other lines.
fn no_json(line: &[u8], error: &serde_json::Error) -> String {
    const ONE_A_LINE: &str = "each line is one change, and nothing stands around them; an array of changes is sent as \
                              `application/json`: `{\"changes\": [...]}`";
    let text = line.trim_ascii();
    if let Some(change) = text.strip_suffix(b",")
        && Value::parse(change).is_ok()
    {
        return format!("the line ends with a comma; leave it out: {ONE_A_LINE}");
    }
    if text.starts_with(b"[") || text == b"]" || text == b"]}" || text.starts_with(b"{\"changes\"") {
        let begin = String::from_utf8_lossy(text.get(..text.len().min(12)).unwrap_or_default()).into_owned();
        return format!("the line is `{begin}`, which is no change: {ONE_A_LINE}");
    }
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    format!("the line is not a change in JSON: {} (column {})", in_words(said), error.column())
}

/// Why a line of JSON is no change, where it is the whole of a body in another form.
fn no_line(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Array(_) => Some("a line is one change, not an array of changes: write each on a line of its own"),
        Value::Object(members) if members.iter().any(|(name, _)| name == "changes") => {
            Some("this is a body of `application/json`, not one change a line: send it with that `Content-Type`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Result<Read, Problem> {
        read_object(text.as_bytes(), &Limits::default(), Takes::All)
    }

    /// Reads lines that come in pieces of so many bytes.
    fn pieces(text: &[u8], size: usize, most: usize) -> Result<Read, Problem> {
        let limits = Limits { max_changes: 4, ..Limits::default() };
        let mut lines = Lines::new(&limits, most, Takes::All);
        for piece in text.chunks(size) {
            lines.take(piece)?;
        }
        lines.finish()
    }

    fn places(problem: &Problem) -> Vec<String> {
        let place = |found: &Diagnostic| match found.line {
            Some(line) => format!("{}:{line}", found.origin),
            None => found.origin.clone(),
        };
        problem.errors.iter().map(place).collect()
    }

    #[test]
    fn both_forms_are_the_same_changes() {
        let (a, b) = (r#"{"delete":{"type":"U","id":"é"}}"#, r#"{"delete_policy":"p"}"#);
        let object = object(&format!(r#"{{"changes":[{a},{b}]}}"#)).unwrap();
        let text = format!("{a}\r\n\n \t\n{b}");
        for (text, lines) in
            [(text.clone(), vec![1, 4]), (text.clone() + "\n", vec![1, 4]), (format!("\n{text}"), vec![2, 5])]
        {
            for size in 1..text.len() + 1 {
                let read = pieces(text.as_bytes(), size, usize::MAX).unwrap();
                assert_eq!((&read.edits, &read.lines), (&object.edits, &lines), "{size}");
            }
        }
        assert_eq!(pieces(b"", 1, 0).unwrap(), Read::default());
    }

    #[test]
    fn what_is_wrong_is_found_at_once_and_at_its_place() {
        for (text, code, expected) in [
            ("", "malformed_json", &[][..]),
            ("[]", "invalid_request", &[]),
            ("{}", "missing_member", &[]),
            (r#"{"changes":{}}"#, "invalid_member", &[]),
            (r#"{"changes":[],"danling":"keep"}"#, "unknown_member", &[]),
            (
                r#"{"changes":[{"update":{"uid":"u","unset":1}},{"delete":7}]}"#,
                "invalid_uid",
                &["/changes/0/update/uid", "/changes/0/update/unset", "/changes/1/delete"],
            ),
            (r#"{"changes":[],"dangling":"kep"}"#, "invalid_member", &[]),
            (
                r#"{"changes":[1,{"delete":"x"},{"expect":{}}]}"#,
                "invalid_member",
                &["/changes/0", "/changes/1/delete", "/changes/2/expect/uid", "/changes/2/expect/equals"],
            ),
            (r#"{"changes":[{"upsert":{"a":1,"a":2}}]}"#, "malformed_json", &["/changes/0"]),
            (r#"{"changes":[{"put_policy":{"id":"","text":""}}]}"#, "invalid_member", &["/changes/0/put_policy/id"]),
        ] {
            let problem = object(text).unwrap_err();
            assert_eq!((problem.status, problem.code), (400, code), "{text}: {}", problem.detail);
            assert_eq!(places(&problem), expected, "{text}");
        }
        let fine = r#"{"delete":"U::\"a\""}"#;
        let five = format!("{fine}\n").repeat(5);
        let long = format!("{fine}\n\"{}\"\n{fine}", "x".repeat(LONGEST));
        for (text, code, expected) in [
            ("{\"delete\":1}\n{\"x\":1}", "invalid_uid", &["/changes/0/delete:1", "/changes/1/x:2"][..]),
            ("{\n\n}", "malformed_json", &["/changes/0:1", "/changes/1:3"]),
            ("\u{feff}{}", "malformed_json", &["/changes/0:1"]),
            (r#"{"delete":"U::\"a\""} 7"#, "malformed_json", &["/changes/0:1"]),
            (r#"{"delete":"U::\"a"#, "malformed_json", &["/changes/0:1"]),
            (r#"{"upsert":{"a":1,"a":2}}"#, "malformed_json", &["/changes/0:1"]),
            (&five, "invalid_request", &["/changes/4:5"]),
            (&long, "invalid_member", &["/changes/1:2"]),
        ] {
            for size in [1 << 20, 7].into_iter().take(if text.len() > 1 << 20 { 1 } else { 2 }) {
                let problem = pieces(text.as_bytes(), size, usize::MAX).unwrap_err();
                assert_eq!((problem.status, problem.code), (400, code), "{}", problem.detail);
                assert_eq!(places(&problem), expected, "{}", problem.detail);
            }
        }
        let problem = pieces(b"{\"delete\":\"\xff\"}", 3, usize::MAX).unwrap_err();
        assert_eq!((problem.code, places(&problem)), ("malformed_json", vec!["/changes/0:1".to_owned()]));
        let detail = pieces(b"\n{\"delete\":", 3, usize::MAX).unwrap_err().detail;
        assert!(
            detail.starts_with("the line is not a change in JSON: the text ends") && detail.ends_with("(column 10)"),
            "{detail}"
        );
    }

    /// What people write around lines, or instead of them.
    #[test]
    fn what_stands_around_lines_is_named() {
        let fine = r#"{"delete":"U::\"a\""}"#;
        for (text, expected) in [
            (format!("{fine},\n{fine}"), &["1: the line ends with a comma"][..]),
            (format!("{fine} , \r\n{fine},"), &["1: the line ends with a comma", "2: the line ends with a comma"]),
            (format!("[\n{fine}\n]"), &["1: the line is `[`, which is no change", "3: the line is `]`"]),
            (
                format!("[{fine},\n{fine}]"),
                &["1: the line is `[{\"delete\":\"`", "2: the line is not a change in JSON"],
            ),
            (format!("[{fine},{fine}]"), &["1: a line is one change, not an array"]),
            (format!("{{\"changes\":[\n{fine}\n]}}"), &["1: the line is `{\"changes\":[`", "3: the line is `]}`"]),
            (format!("{{\"changes\":[{fine}]}}"), &["1: this is a body of `application/json`"]),
            ("{\"uid\":\"U::\\\"a\\\"\",\"attrs\":{}}".to_owned(), &["1: this is an entity, not a change"]),
            (",".to_owned(), &["1: the line is not a change in JSON"]),
        ] {
            let problem = pieces(text.as_bytes(), 100, usize::MAX).unwrap_err();
            let found: Vec<String> =
                problem.errors.iter().map(|found| format!("{}: {}", found.line.unwrap(), found.message)).collect();
            let is_expected = found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
            assert!(is_expected, "{text}: {found:#?}");
        }
    }

    /// What is kept is what the changes take, whatever the text is; nothing is once something is wrong.
    #[test]
    fn memory_is_bounded_by_what_the_changes_take() {
        let change = r#"{"delete":"U::\"a\""}"#;
        let one = pieces(change.as_bytes(), 100, usize::MAX).unwrap().edits[0].weight();
        let three = format!("{change}\n{}\n{change}\n{change}\n", " ".repeat(1 << 20));
        assert_eq!(pieces(three.as_bytes(), 1 << 16, 3 * one).unwrap().edits.len(), 3);
        let problem = pieces(three.as_bytes(), 1 << 16, 3 * one - 1).unwrap_err();
        assert_eq!(
            (problem.status, problem.code, places(&problem)),
            (413, "body_too_large", vec!["/changes/2:4".to_owned()])
        );
        let mut lines = Lines::new(&Limits::default(), usize::MAX, Takes::All);
        let kept: Vec<usize> =
            [change, "\n", "7\n", change, "\n"].iter().map(|piece| lines.take(piece.as_bytes()).unwrap()).collect();
        assert_eq!((kept, lines.read.edits.len()), (vec![0, change.len(), 0, 0, 0], 0));
    }

    #[test]
    fn a_fault_repeats_no_more_than_a_bound() {
        let lines = format!("{{\"{}\":1}}\n", "x".repeat(1 << 20)).repeat(3);
        let problem = pieces(lines.as_bytes(), 1 << 16, usize::MAX).unwrap_err();
        let answer = serde_json::to_string(&problem).unwrap();
        assert!(problem.errors.len() == 3 && answer.len() < 32 << 10, "{}", answer.len());
    }
}
