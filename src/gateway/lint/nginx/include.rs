//! Puts the files that `include` names in its place.

use crate::domain::Diagnostic;
use crate::gateway::lint::Files;
use crate::gateway::lint::nginx::tree::{At, Directive, parse};
use crate::gateway::place::located;

/// How deep includes may lie in one another, and how many files there may be: some include themselves.
const DEEPEST: usize = 10;
const MOST: usize = 1000;

/// What is read, and what is found in it.
pub(super) struct Report<'a> {
    sources: Vec<(String, String)>,
    files: Files<'a>,
    findings: Vec<(Option<At>, Diagnostic)>,
    /// Whether all that nginx reads was seen; nothing is certain to be missing otherwise.
    pub(super) complete: bool,
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(super) fn new(files: Files<'a>) -> Self {
        Self { sources: Vec::new(), files, findings: Vec::new(), complete: true }
    }

    /// Reads a file and what it includes; what is wrong with it is told.
    pub(super) fn read(&mut self, origin: &str, text: &str) -> Option<Vec<Directive>> {
        self.read_file(origin, text, &mut Vec::new())
    }

    fn read_file(&mut self, origin: &str, text: &str, around: &mut Vec<String>) -> Option<Vec<Directive>> {
        let source = self.sources.len();
        self.sources.push((origin.to_owned(), text.to_owned()));
        match parse(source, text) {
            Ok(tree) => {
                around.push(origin.to_owned());
                let tree = self.expand(tree, around);
                around.pop();
                Some(tree)
            }
            Err(broken) => {
                self.complete = false;
                let message = format!("not a configuration of nginx: {}", broken.message);
                self.tell(Some(At { source, line: broken.line }), Diagnostic::error(origin, message));
                None
            }
        }
    }

    fn expand(&mut self, tree: Vec<Directive>, around: &mut Vec<String>) -> Vec<Directive> {
        let mut expanded = Vec::with_capacity(tree.len());
        for mut directive in tree {
            directive.block = directive.block.map(|block| self.expand(block, around));
            if directive.name() == "include" && directive.block.is_none() {
                expanded.extend(self.include(&directive, around));
            } else {
                expanded.push(directive);
            }
        }
        expanded
    }

    fn include(&mut self, directive: &Directive, around: &mut Vec<String>) -> Vec<Directive> {
        let files = match (self.files)(directive.argument(1)) {
            Ok(files) => files,
            Err(why) => {
                self.complete = false;
                self.warn(
                    Some(directive.at),
                    &format!("what is included here is not looked at: {why}"),
                    "name nginx's main file: paths are looked for from its directory",
                );
                return Vec::new();
            }
        };
        // a pattern may match nothing here and something where nginx runs
        self.complete &= !files.is_empty();
        let mut found = Vec::new();
        for (origin, text) in files {
            if around.contains(&origin) || around.len() > DEEPEST || self.sources.len() > MOST {
                self.complete = false;
                self.warn(
                    Some(directive.at),
                    &format!("`{origin}` is not looked at: files include each other without end, or too many do"),
                    "name no file that includes this one",
                );
                continue;
            }
            found.extend(self.read_file(&origin, &text, around).unwrap_or_default());
        }
        found
    }

    fn tell(&mut self, at: Option<At>, finding: Diagnostic) {
        let finding = match at.and_then(|at| Some((at, self.sources.get(at.source)?))) {
            Some((at, (origin, text))) => located(Diagnostic { origin: origin.clone(), ..finding }, text, at.line),
            None => finding,
        };
        // one file may be included more than once, and one location be the check of many
        if !self.findings.iter().any(|(_, known)| *known == finding) {
            self.findings.push((at, finding));
        }
    }

    /// Warns at a place, or about the whole.
    pub(super) fn warn(&mut self, at: Option<At>, message: &str, help: &str) {
        let origin = self.sources.first().map(|(origin, _)| origin.clone()).unwrap_or_default();
        self.tell(at, Diagnostic::error(origin, message).warning().help(help));
    }

    /// Warns of something that stands nowhere in what was read, which need not be everything.
    pub(super) fn warn_of_missing(&mut self, at: Option<At>, message: &str, help: &str) {
        let unless = if self.complete { "" } else { ", unless files that could not be read here do" };
        self.warn(at, &format!("{message}{unless}"), help);
    }

    /// All findings: `first` goes in front, the others stand as they do in the files.
    pub(super) fn findings(mut self, first: &[At]) -> Vec<Diagnostic> {
        self.findings.sort_by_key(|(at, _)| (at.is_none_or(|at| !first.contains(&at)), *at));
        self.findings.into_iter().map(|(_, finding)| finding).collect()
    }
}
