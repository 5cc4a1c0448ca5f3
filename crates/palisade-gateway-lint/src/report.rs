//! What was read, line by line, and what is found in it.

use std::collections::HashSet;

use crate::{Files, MOST_BYTES, NOT_CHECKED};
use palisade_engine::model::Diagnostic;
use palisade_text::located;

/// How deep includes may lie in one another, and how many files there may be: some include themselves.
const DEEPEST: usize = 10;
const MOST: usize = 1000;

/// How many bytes all files together may have.
const MOST_IN_ALL: usize = 8 * MOST_BYTES;

/// How many findings are reported: no one reads more of them.
const MOST_FINDINGS: usize = 1000;

/// Where a directive begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    /// Which of the files that were read.
    pub(super) source: usize,
    /// From 1.
    pub(super) line: usize,
}

/// What is read, and what is found in it.
pub(super) struct Report<'a> {
    sources: Vec<(String, String)>,
    files: Files<'a>,
    findings: Vec<(Option<At>, Diagnostic)>,
    /// What was reported: a file may be included more than once, and a location may be the check of many.
    told: HashSet<(Option<At>, String)>,
    /// How many findings are not reported.
    more: usize,
    bytes: usize,
    /// Whether all that the gateway reads was seen; nothing is certain to be missing otherwise.
    pub(super) complete: bool,
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(super) fn new(files: Files<'a>) -> Self {
        Self {
            sources: Vec::new(),
            files,
            findings: Vec::new(),
            told: HashSet::new(),
            more: 0,
            bytes: 0,
            complete: true,
        }
    }

    /// Takes a file; its number is what an [`At`] names.
    pub(super) fn add(&mut self, origin: &str, text: &str) -> usize {
        self.bytes += text.len();
        self.sources.push((origin.to_owned(), text.to_owned()));
        self.sources.len() - 1
    }

    pub(super) fn text(&self, source: usize) -> String {
        self.sources.get(source).map(|(_, text)| text.clone()).unwrap_or_default()
    }

    /// Whether what an include names can be read.
    pub(super) fn readable(&self, pattern: &str) -> bool {
        (self.files)(pattern).is_ok()
    }

    /// Takes the files that are included at `at` by those `around`. What cannot be read is reported.
    pub(super) fn include(&mut self, at: At, pattern: &str, around: &[usize]) -> Vec<usize> {
        let files = match (self.files)(pattern) {
            Ok(files) => files,
            Err(why) => {
                self.not_checked(
                    at,
                    &format!("what is included here is not looked at: {why}"),
                    "name the gateway's main file: paths are looked for from its directory",
                );
                return Vec::new();
            }
        };
        // a pattern may match nothing here and something where the gateway runs
        self.complete &= !files.is_empty();
        let mut found = Vec::new();
        for (origin, text) in files {
            let loops =
                around.iter().any(|source| self.sources.get(*source).is_some_and(|(known, _)| *known == origin));
            if loops || around.len() > DEEPEST || self.sources.len() > MOST || self.bytes > MOST_IN_ALL {
                self.not_checked(
                    at,
                    &format!("`{origin}` is not looked at: files include each other without end, or too many do"),
                    "name no file that includes this one",
                );
                continue;
            }
            found.push(self.add(&origin, &text));
        }
        found
    }

    fn tell(&mut self, at: Option<At>, finding: Diagnostic) {
        if !self.told.insert((at, finding.message.clone())) {
            return;
        }
        if self.findings.len() >= MOST_FINDINGS {
            self.more += 1;
            return;
        }
        let finding = match at.and_then(|at| Some((at, self.sources.get(at.source)?))) {
            Some((at, (origin, text))) => located(Diagnostic { origin: origin.clone(), ..finding }, text, at.line),
            None => finding,
        };
        self.findings.push((at, finding));
    }

    fn first(&self) -> String {
        self.sources.first().map(|(origin, _)| origin.clone()).unwrap_or_default()
    }

    /// An error: the gateway would not read this.
    #[cfg_attr(test, track_caller)]
    pub(super) fn broken(&mut self, at: At, message: &str) {
        self.complete = false;
        #[cfg(test)]
        crate::tests::sites::note(NOT_CHECKED, message, std::panic::Location::caller());
        let finding = Diagnostic::error(self.first(), message).rule(NOT_CHECKED);
        self.tell(Some(at), finding);
    }

    /// Reports what was not understood.
    #[cfg_attr(test, track_caller)]
    pub(super) fn not_checked(&mut self, at: At, message: &str, help: &str) {
        self.complete = false;
        self.warn(NOT_CHECKED, at, message, help);
    }

    /// Warns at a place, or about the whole.
    #[cfg_attr(test, track_caller)]
    pub(super) fn warn(&mut self, rule: &'static str, at: impl Into<Option<At>>, message: &str, help: &str) {
        #[cfg(test)]
        crate::tests::sites::note(rule, message, std::panic::Location::caller());
        let finding = Diagnostic::error(self.first(), message).warning().rule(rule).help(help);
        self.tell(at.into(), finding);
    }

    /// Warns of something that stands nowhere in what was read, which need not be everything.
    #[cfg_attr(test, track_caller)]
    pub(super) fn missing(&mut self, rule: &'static str, at: impl Into<Option<At>>, message: &str, help: &str) {
        let unless = if self.complete { "" } else { ", unless files that could not be read here do" };
        self.warn(rule, at, &format!("{message}{unless}"), help);
    }

    /// All findings: `first` goes in front, the others stand as they do in the files.
    pub(super) fn findings(mut self, first: &[At]) -> Vec<Diagnostic> {
        let first: HashSet<&At> = first.iter().collect();
        self.findings.sort_by_key(|(at, _)| (at.is_none_or(|at| !first.contains(&at)), *at));
        let mut findings: Vec<Diagnostic> =
            std::mem::take(&mut self.findings).into_iter().map(|(_, finding)| finding).collect();
        if self.more > 0 {
            let message = format!("{} more findings are not listed", self.more);
            findings.push(
                Diagnostic::error(self.first(), message).warning().rule(NOT_CHECKED).help("mend these, and look again"),
            );
        }
        findings
    }
}
