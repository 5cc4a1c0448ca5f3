//! The words of what people read: pages, messages, the descriptions of keys, and comments.

use std::path::Path;

use crate::layers::rust_files;
use crate::support::Server;
use crate::tidy::{files, shown};

/// Words and phrases that read as translated, and what to write instead. After `there` the last two are fine.
const BANNED: [(&str, &str); 13] = [
    ("nobody", "no one, or say what happens: unauthenticated, not read, not stored"),
    ("whoever", "the person, client or program that is meant"),
    ("somebody", "a user, a client, a person"),
    ("anybody", "anyone, or the client or program that is meant"),
    ("told", "reported, logged, distinguished"),
    ("tells", "reports, says, shows, names"),
    ("is believed", "is accepted, is trusted"),
    ("by itself", "alone, on its own"),
    ("what becomes of", "what happens to"),
    ("in good order", "cleanly"),
    ("cannot be renewed", "cannot be reloaded"),
    ("is none", "is missing, is not valid"),
    ("are none", "are missing, are not valid"),
];

/// A text with the line where it begins.
type Text = (usize, String);

#[test]
fn people_read_plain_words() {
    let mut found = Vec::new();
    let mut look = |path: &Path, texts: Vec<Text>| {
        for (line, text) in texts {
            let findings = findings(&text);
            found.extend(findings.iter().map(|finding| format!("{}:{line}: {finding}", shown(path))));
        }
    };
    let root = Server::project("");
    for path in files(&root, &[".md", ".yaml", ".yml", ".sh", ".cedar", ".cedarschema"]) {
        let name = shown(&path);
        // tests of policies have ids with such words
        let ours = ["docs/", "deploy/", "routes/", "policies/"].iter().any(|dir| name.starts_with(dir))
            && !name.starts_with("policies/tests/")
            || !name.contains('/');
        if ours {
            let text = std::fs::read_to_string(&path).unwrap();
            look(&path, text.lines().enumerate().map(|(n, line)| (n + 1, line.to_owned())).collect());
        }
    }
    for path in ["src", "crates"].into_iter().flat_map(|dir| rust_files(&root.join(dir))) {
        let name = shown(&path);
        if name.contains("tests") || name.ends_with("conformance.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        look(&path, literals(text));
    }
    for path in ["src", "crates", "benches", "tests", "fuzz/fuzz_targets"]
        .into_iter()
        .flat_map(|dir| rust_files(&root.join(dir)))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let comments = text.lines().enumerate().filter_map(|(n, line)| Some((n + 1, comment(line)?.to_owned())));
        look(&path, comments.collect());
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// What is wrong with a text.
fn findings(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let mut found = Vec::new();
    for (phrase, instead) in BANNED {
        let is_wrong = |at: usize| {
            let (before, after) = (&text[..at], text[at + phrase.len()..].chars().next());
            // `"nobody"` and `User::nobody` are ids, `nginx-check-told` is a rule
            let is_part = before.chars().last().is_some_and(|c| c.is_alphanumeric() || "\"_:-".contains(c));
            let is_plain = phrase.ends_with(" none") && before.trim_end().ends_with("there");
            !is_part && !is_plain && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        };
        if text.match_indices(phrase).any(|(at, _)| is_wrong(at)) {
            found.push(format!("`{phrase}`: write {instead}"));
        }
    }
    found
}

/// The comment that a line of Rust is, or ends with. One behind a string is not looked for: `//` may stand in it.
fn comment(line: &str) -> Option<&str> {
    let at = line.find("//")?;
    let code = &line[..at];
    (!code.contains('"')).then(|| &line[at..])
}

/// The string literals of a file of Rust.
fn literals(text: &str) -> Vec<Text> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len());
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw.filter(|hashes| rest[1 + hashes..].starts_with('"')) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            let end = rest[open..].find(&close).map_or(rest.len(), |end| open + end);
            found.push((line, rest[open..end].to_owned()));
            (end + close.len()).min(rest.len())
        } else if first == '"' {
            let mut escaped = false;
            let closes = |c: char| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            };
            let end = rest[1..].find(closes).map_or(rest.len(), |end| end + 1);
            found.push((line, rest[1..end].to_owned()));
            (end + 1).min(rest.len())
        } else if let Some(quoted) = ["'\"'", "'\\\"'", "'\\''"].iter().find(|quoted| rest.starts_with(**quoted)) {
            quoted.len()
        } else {
            first.len_utf8()
        };
        line += rest[..end].matches('\n').count();
        rest = &rest[end..];
    }
    found
}

#[test]
fn words_are_found_where_people_read_them() {
    for (text, wrong) in [
        ("Nobody reads it", true),
        (r#"User::"nobody""#, false),
        ("User::nobody", false),
        ("there is none", false),
        ("its value is none", true),
        ("untold", false),
        ("nginx-check-told", false),
        ("it is told.", true),
    ] {
        assert_eq!(!findings(text).is_empty(), wrong, "{text}");
    }
    let text = "// \"no\"\nlet a = \"one \\\" two\";\nlet b = r#\"x \" y\"#; let c = '\"'; let d = (r\"z\", \"\\\\\");\nlet e = \"last\";";
    let found: Vec<(usize, String)> = literals(text);
    let found: Vec<(usize, &str)> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(found, [(2, "one \\\" two"), (3, "x \" y"), (3, "z"), (3, "\\\\"), (4, "last")]);
}
