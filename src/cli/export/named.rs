//! The `@id` annotation of a policy: in a file it is what its id comes from.

use std::ops::Range;

/// The text of a policy in Cedar's syntax with an `@id` annotation that gives it this id. What has it already stays as it is.
pub(super) fn named(text: &str, id: &str) -> String {
    match annotation(text) {
        Some((_, value)) if value == Some(id) => text.to_owned(),
        Some((place, _)) => format!("{}@id({}){}", &text[..place.start], quoted(id), &text[place.end..]),
        None => format!("@id({})\n{text}", quoted(id)),
    }
}

/// A string as Cedar writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Where the `@id` annotation stands, and its value where that has no escapes. Annotations stand before all else.
fn annotation(text: &str) -> Option<(Range<usize>, Option<&str>)> {
    let mut at = skip(text, 0);
    while text[at..].starts_with('@') {
        let start = at;
        at = skip(text, at + 1);
        let name = at..word_end(text, at);
        let behind = skip(text, name.end);
        let mut value = None;
        let end = if text[behind..].starts_with('(') {
            let open = skip(text, behind + 1);
            let string = open + 1..string_end(text, open)?;
            value = text.get(string.clone()).filter(|value| !value.contains('\\'));
            skip(text, string.end + 1) + 1
        } else {
            name.end
        };
        if &text[name] == "id" {
            return Some((start..end.min(text.len()), value));
        }
        at = skip(text, end.min(text.len()));
    }
    None
}

fn word_end(text: &str, at: usize) -> usize {
    text[at..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(text.len(), |n| at + n)
}

/// Where the string ends that begins at `open`.
fn string_end(text: &str, open: usize) -> Option<usize> {
    let mut escaped = false;
    let inner = text.get(open + 1..)?;
    let end = inner.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(open + 1 + end?)
}

/// Behind white space and comments.
fn skip(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let bare = rest.trim_start();
        at += rest.len() - bare.len();
        if !bare.starts_with("//") {
            return at;
        }
        at += bare.find('\n').unwrap_or(bare.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_gets_its_id_and_keeps_all_else() {
        for (text, id, expected) in [
            ("permit (a);", "x", "@id(\"x\")\npermit (a);"),
            ("@id(\"x\") permit (a);", "x", "@id(\"x\") permit (a);"),
            ("@id(\"y\") permit (a);", "x", "@id(\"x\") permit (a);"),
            ("@id permit (a);", "x", "@id(\"x\") permit (a);"),
            ("@id", "x", "@id(\"x\")"),
            (
                "@a(\"@id(\\\"n\\\")\")\n@id ( \"y\" )\npermit (a);",
                "x",
                "@a(\"@id(\\\"n\\\")\")\n@id(\"x\")\npermit (a);",
            ),
            ("// @id(\"c\")\n@why @ id // c\n(\"y\") forbid (a);", "x", "// @id(\"c\")\n@why @id(\"x\") forbid (a);"),
            ("@ids(\"y\") permit (a);", "x", "@id(\"x\")\n@ids(\"y\") permit (a);"),
            ("@id(\"a\\\"b\") permit (a);", "a\"b", "@id(\"a\\\"b\") permit (a);"),
            (
                "permit (a) when { b == \"@id\" };",
                "é \u{1}\\",
                "@id(\"é \\u{1}\\\\\")\npermit (a) when { b == \"@id\" };",
            ),
            ("", "x", "@id(\"x\")\n"),
        ] {
            assert_eq!(named(text, id), expected, "{text:?}");
        }
    }
}
