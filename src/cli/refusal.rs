//! Where a request of `palisade check` is wrong: the file and the line of the member that an error points at.

use std::io::{self, Write};

use serde_json::json;

use crate::cli::question::ErrorFormat;
use palisade_engine::model::request::pointer;
use palisade_engine::model::{RequestError, Text, Value};

/// The text of a request, or of its context, that came in a file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The file as people call it.
    pub(super) file: String,
    pub(super) text: String,
    /// Whether the text is the whole request, and not its context alone.
    pub(super) is_whole: bool,
}

/// Writes why a request cannot be decided.
pub(super) fn write(
    error: &RequestError,
    source: Option<&Source>,
    format: ErrorFormat,
    to: &mut dyn Write,
) -> io::Result<()> {
    let source = source.filter(|source| source.is_whole || error.code == "invalid_json" || is_about_context(error));
    let (line, column) = source.map_or((None, None), |source| place(error, source));
    // the place is written before the message
    let message = match column {
        Some(_) => error.message.split(" at line ").next().unwrap_or_default(),
        None => &error.message,
    };
    if format == ErrorFormat::Json {
        let mut shown = json!({"severity": "error", "code": error.code, "where": error.pointer, "message": message});
        let more = [
            ("file", source.map(|source| json!(source.file))),
            ("line", line.map(|n| json!(n))),
            ("column", column.map(|n| json!(n))),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                shown[name] = value;
            }
        }
        return writeln!(to, "{shown}");
    }
    let mut shown = "error: ".to_owned();
    if let Some(source) = source {
        shown.push_str(&source.file);
        [line, column].into_iter().flatten().for_each(|n| shown.push_str(&format!(":{n}")));
        shown.push_str(": ");
        let name = error.pointer.trim_start_matches('/').replace('/', ".");
        let names_member = message.contains(&format!("`{name}"));
        if !error.pointer.is_empty() && !names_member {
            shown.push_str(&format!("{}: ", error.pointer));
        }
    }
    shown.push_str(message);
    writeln!(to, "{}", if format == ErrorFormat::Plain { shown.replace('\n', " ") } else { shown })
}

fn is_about_context(error: &RequestError) -> bool {
    error.pointer == "/context" || error.pointer.starts_with("/context/")
}

/// The line, and the column too where the text is not JSON.
fn place(error: &RequestError, source: &Source) -> (Option<usize>, Option<usize>) {
    if let Err(fault) = Value::parse(source.text.as_bytes()) {
        return (Some(fault.line()).filter(|line| *line > 0), Some(fault.column()));
    }
    let line = || {
        let first = error.pointer.split('/').nth(1).filter(|_| source.is_whole)?;
        let whole = Text::check(source.text.as_bytes()).ok()?;
        let member = whole.members().ok()??.into_iter().find(|member| pointer(&member.key)[1..] == *first)?;
        let at = source.text.len() - source.text.trim_ascii_start().len() + whole.place_of(member.text)?;
        Some(source.text.get(..at)?.bytes().filter(|byte| *byte == b'\n').count() + 1)
    };
    (line(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shown(error: &RequestError, text: &str, is_whole: bool, format: ErrorFormat) -> String {
        let source = Source { file: "q.json".to_owned(), text: text.to_owned(), is_whole };
        let mut out = Vec::new();
        write(error, Some(&source), format, &mut out).unwrap();
        String::from_utf8(out).unwrap().trim_end().to_owned()
    }

    #[test]
    fn an_error_has_its_file_and_its_line() {
        let text = "\n{\"principal\": \"A\",\n\"action\": 1,\n\"a/b\": 1}";
        for (pointer, message, expected) in [
            ("/principal", "`A` is no entity", "error: q.json:2: /principal: `A` is no entity"),
            ("/action", "no", "error: q.json:3: /action: no"),
            ("/a~1b", "unknown", "error: q.json:4: /a~1b: unknown"),
            ("/resource", "the request lacks `resource`", "error: q.json: the request lacks `resource`"),
            ("", "no", "error: q.json: no"),
        ] {
            let error = RequestError::new("c", pointer, message);
            assert_eq!(shown(&error, text, true, ErrorFormat::Plain), expected);
        }
        let error = RequestError::new("c", "/action", "no");
        let json = shown(&error, text, true, ErrorFormat::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected =
            json!({"severity": "error", "code": "c", "where": "/action", "message": "no", "file": "q.json", "line": 3});
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_not_json_has_its_column() {
        let broken = Value::parse(b"{\n\"a\": 1,}").unwrap_err();
        let error = RequestError::new("invalid_json", "", format!("the request is not JSON: {broken}"));
        let found = shown(&error, "{\n\"a\": 1,}", true, ErrorFormat::Human);
        assert_eq!(found, "error: q.json:2:8: the request is not JSON: trailing comma");
    }

    #[test]
    fn a_file_of_a_context_is_named_for_that_alone() {
        for (pointer, expected) in
            [("/context", "error: q.json: /context: no"), ("/principal", "error: no"), ("/contexts", "error: no")]
        {
            assert_eq!(shown(&RequestError::new("c", pointer, "no"), "{}", false, ErrorFormat::Plain), expected);
        }
    }
}
