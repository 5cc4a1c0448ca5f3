//! Small promises about the project's files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::layers::rust_files;

/// Longer files hold more than one thing.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Phrases that read as translated, and the words that people search for instead. Written apart, so that this file is
/// not its own finding.
const BANNED: [(&[&str], &str); 12] = [
    (&["in", "force"], "active, serving"),
    (&["an", "ew"], "again, new"),
    (&["passed", "over"], "skipped"),
    (&["the", "host", "is", "none"], "the host is missing or not valid"),
    (&["the", "method", "is", "none"], "not a valid HTTP method"),
    (&["nobody", "that", "is", "known"], "unauthenticated"),
    (&["who", "is", "calling.\""], "authentication attempts"),
    (&["callers", "are", "known", "by"], "issuer keys, API tokens"),
    (&["there", "of"], "its, of it"),
    (&["of", "ours"], "of the sidecar, our"),
    (&["that", "is", "to"], "that will, that must, that should"),
    (&["comes", "to", "be"], "is made, is there"),
];

#[test]
fn phrases_are_those_that_people_search_for() {
    let glue = |parts: &[&str]| parts.join(if parts[0] == "an" || parts[0] == "there" { "" } else { " " });
    let banned: Vec<(String, &str)> = BANNED.iter().map(|(parts, instead)| (glue(parts), *instead)).collect();
    let mut found = Vec::new();
    for path in files(&root(), &[".rs", ".md", ".toml", ".yaml", ".py", ".sh"]) {
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        for (n, line) in text.lines().enumerate() {
            for (phrase, instead) in &banned {
                let is_word = |at: usize| {
                    let (before, after) = (line[..at].chars().last(), line[at + phrase.len()..].chars().next());
                    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
                };
                if line.match_indices(phrase.as_str()).any(|(at, _)| is_word(at)) {
                    found.push(format!("{}:{}: `{phrase}`: write {instead}", shown(&path), n + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Files below `dir` with one of these endings, without what is built or hidden.
pub(crate) fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "corpus") && !name.starts_with('.') {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut found = Vec::new();
    for dir in ["src", "crates", "tests", "benches"] {
        let dir = root().join(dir);
        for path in if dir.is_dir() { rust_files(&dir) } else { Vec::new() } {
            let text = std::fs::read_to_string(&path).unwrap();
            if !text.starts_with("//!") {
                found.push(format!("{}:1: starts without `//!`", shown(&path)));
            }
            let lines = text.lines().count();
            if lines > MAX_LINES {
                found.push(format!("{}:{MAX_LINES}: has {lines} lines; split it", shown(&path)));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn nothing_knows_the_machine_it_was_written_on() {
    // put together here, so that this file is not its own finding
    let paths: Vec<String> = ["home", "root", "Users", "work"].iter().map(|name| format!("/{name}/")).collect();
    let mut found = Vec::new();
    for path in files(&root(), &[".rs", ".md", ".toml", ".yaml", ".yml", ".json", ".cedar", ".cedarschema", ".sh"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (n, line) in text.lines().enumerate() {
            if let Some(place) = paths.iter().find(|place| {
                // at the start of a path, not within one
                line.match_indices(place.as_str())
                    .any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c)))
            }) {
                found.push(format!("{}:{}: a path below `{place}`", shown(&path), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for (_, heading) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let slug: String = title
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        let mut name = slug.clone();
        for n in 1.. {
            if anchors.insert(name) {
                break;
            }
            name = format!("{slug}-{n}");
        }
    }
    anchors
}

/// Lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of a line's links.
fn links(line: &str) -> Vec<&str> {
    let text: Vec<&str> = line.split('`').collect();
    // links in code spans are examples, not links
    let plain = text.iter().step_by(2);
    plain.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())).collect()
}

#[test]
fn links_between_documents_resolve() {
    let mut found = Vec::new();
    let mut documents = files(&root().join("docs"), &[".md"]);
    documents.extend(
        std::fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "md")),
    );
    assert!(!documents.is_empty());
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for (n, line) in prose(&text) {
            for link in links(line).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
                let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
                let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
                let known = target.exists()
                    && anchor.is_none_or(|anchor| {
                        std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor))
                    });
                if !known {
                    found.push(format!("{}:{n}: `{link}` leads nowhere", shown(&document)));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn reads_markdown() {
    let text = "# One Two\n```\n# not\n[x](gone.md)\n```\n## `a_b`: c-d!\n# One Two\nsee [x](a.md#b), `[y](z)` and [w](q.md \"title\")\n";
    let mut found: Vec<String> = anchors(text).into_iter().collect();
    found.sort();
    assert_eq!(found, ["a_b-c-d", "one-two", "one-two-1"]);
    let all: Vec<&str> = prose(text).flat_map(|(_, line)| links(line)).collect();
    assert_eq!(all, ["a.md#b", "q.md"]);
}
