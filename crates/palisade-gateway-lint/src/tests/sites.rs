//! Each line of the lint that reports something is needed: were it silent, some case would not be found.
//!
//! That is what a script would see that takes out one such line at a time and runs these tests, at the price of one
//! run: each finding of a case remembers the line that made it, and a line is needed where a case has nothing else that
//! is expected of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::path::Path;

use super::lines::beside;
use super::*;

/// A configuration, and what is to be found in it: a rule, or words of a message.
pub(super) type Broken = (Gateway, Vec<Source>, String);

/// A line of the lint: its file, and its number.
type Line = (String, usize);

thread_local! {
    /// Which lines made the finding of a rule with a message.
    static MADE: RefCell<HashMap<(&'static str, String), BTreeSet<Line>>> = RefCell::default();
}

/// Remembers which line makes a finding.
pub(crate) fn note(rule: &'static str, message: &str, line: &'static Location<'static>) {
    let line = (line.file().to_owned(), line.line() as usize);
    MADE.with_borrow_mut(|made| made.entry((rule, message.to_owned())).or_default().insert(line));
}

/// All configurations in which something is to be found.
fn cases() -> Vec<Broken> {
    let corpus = corpus::expected().into_iter().flat_map(|(files, rules)| {
        let (gateway, sources) = corpus::read(&files);
        rules.into_iter().map(move |rule| (gateway, sources.clone(), rule))
    });
    pages::mutants()
        .map(pages::broken)
        .chain(behind::broken())
        .chain(compose::broken())
        .chain(kubernetes::broken())
        .chain(told::broken())
        .chain(lines::broken())
        .chain(crate::nginx::tests::broken())
        .chain(crate::envoy::tests::broken())
        .chain(corpus)
        .collect()
}

/// The lines that are needed for a case to be found.
fn needed((gateway, sources, expected): &Broken) -> BTreeSet<Line> {
    MADE.with_borrow_mut(HashMap::clear);
    let found = lint(*gateway, sources, &beside);
    let wanted = found.iter().filter(|finding| {
        finding.rule == Some(expected.as_str()) || expected.contains(' ') && finding.message.contains(expected.as_str())
    });
    let lines: Vec<BTreeSet<Line>> = MADE.with_borrow(|made| {
        let lines = |finding: &Diagnostic| made.get(&(finding.rule?, finding.message.clone())).cloned();
        wanted.map(|finding| lines(finding).unwrap_or_default()).collect()
    });
    // one line has to have made all of them
    match lines.split_first() {
        Some((first, rest)) if first.len() == 1 && rest.iter().all(|other| other == first) => first.clone(),
        _ => BTreeSet::new(),
    }
}

/// The lines that report something, with their texts.
fn reporting(directory: &Path, found: &mut Vec<(Line, String)>) {
    const CALLS: [&str; 5] = [".warn(", ".missing(", ".not_checked(", ".broken(", ".warning("];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            reporting(&path, found);
        } else if !path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests")) {
            let file = path.strip_prefix(fs::canonicalize(project("")).unwrap()).unwrap().display().to_string();
            for (at, text) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                // how a report is made, and `Diagnostic::warning()`
                let own = text.contains("self.warn(") || text.contains(".warning()");
                if !own && CALLS.iter().any(|call| text.contains(call)) {
                    found.push(((file.clone(), at + 1), text.trim().to_owned()));
                }
            }
        }
    }
}

#[test]
fn each_line_that_reports_is_needed_by_a_case() {
    let needed: BTreeSet<Line> = cases().iter().flat_map(needed).collect();
    let mut lines = Vec::new();
    reporting(&fs::canonicalize(project("crates/palisade-gateway-lint/src")).unwrap(), &mut lines);
    assert!(lines.len() > 250, "only {} lines report something", lines.len());
    let missed: Vec<String> = lines
        .iter()
        .filter(|(line, _)| !needed.contains(line))
        .map(|((file, line), text)| format!("{file}:{line}: {text}"))
        .collect();
    assert!(missed.is_empty(), "{} of {} are not needed:\n{}", missed.len(), lines.len(), missed.join("\n"));
}
