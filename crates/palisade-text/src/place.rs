//! Where something was written, so that each problem is reported with file and line.

use std::sync::Arc;

use memchr::memchr_iter;

use crate::Lines;
use palisade_engine::model::Diagnostic;

/// How much of a line is looked at: the whole of one that is shown, and no more of a minified file.
const WINDOW: usize = 1024;

/// A node of a document, and where the document is from.
#[derive(Debug, Clone)]
pub struct Place {
    document: Arc<Origin>,
    path: Vec<String>,
}

#[derive(Debug)]
struct Origin {
    origin: String,
    text: String,
    lines: Lines,
    starts: Starts,
}

/// Where the lines of a text begin. A document has thousands of findings, so none may cost a look at all of it.
#[derive(Debug)]
pub struct Starts(Vec<usize>);

impl Starts {
    /// Finds them.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect())
    }

    /// The finding at the first visible character of a line of `text`.
    #[must_use]
    pub fn located(&self, finding: Diagnostic, text: &str, line: usize) -> Diagnostic {
        let start = self.0.get(line.saturating_sub(1)).copied().unwrap_or(text.len());
        let end = self.0.get(line).map_or(text.len(), |next| next - 1);
        let shown = text.get(start..text.floor_char_boundary(end.min(start + WINDOW))).unwrap_or_default();
        let indent = shown.len() - shown.trim_start_matches([' ', '\t']).len();
        let mut finding = finding.at(shown, indent);
        finding.line = Some(line);
        finding
    }
}

impl Place {
    /// The root of a document.
    #[must_use]
    pub fn root(origin: &str, text: &str, lines: Lines) -> Self {
        let document = Origin { origin: origin.to_owned(), text: text.to_owned(), lines, starts: Starts::of(text) };
        Self { document: Arc::new(document), path: Vec::new() }
    }

    /// A node below.
    #[must_use]
    pub fn at(&self, steps: &[&str]) -> Self {
        let mut path = self.path.clone();
        path.extend(steps.iter().map(|step| (*step).to_owned()));
        Self { document: self.document.clone(), path }
    }

    /// The line of the node, or of the nearest one above it.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        Some(self.document.lines.nearest(&self.path))
    }

    /// `file:line`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.line() {
            Some(line) => format!("{}:{line}", self.document.origin),
            None => self.document.origin.clone(),
        }
    }

    /// The document's own name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.document.origin
    }

    /// An error about the node.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error(&self.document.origin, message);
        match self.line() {
            Some(line) => self.document.starts.located(error, &self.document.text, line),
            None => error,
        }
    }
}

/// The finding at the first visible character of a line.
#[must_use]
pub fn located(finding: Diagnostic, text: &str, line: usize) -> Diagnostic {
    Starts::of(text).located(finding, text, line)
}
