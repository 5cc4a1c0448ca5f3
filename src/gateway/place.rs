//! Where something was written, so that each problem is told with file and line.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::Diagnostic;

/// A node of a document, and where the document is from.
#[derive(Debug, Clone)]
pub(super) struct Place {
    document: Arc<Lines>,
    path: Vec<String>,
}

#[derive(Debug)]
struct Lines {
    origin: String,
    text: String,
    lines: BTreeMap<Vec<String>, usize>,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl Place {
    /// The root of a document.
    pub(super) fn root(origin: &str, text: &str, lines: BTreeMap<Vec<String>, usize>) -> Self {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        let document = Lines { origin: origin.to_owned(), text: text.to_owned(), lines, starts };
        Self { document: Arc::new(document), path: Vec::new() }
    }

    /// A node below.
    pub(super) fn at(&self, steps: &[&str]) -> Self {
        let mut path = self.path.clone();
        path.extend(steps.iter().map(|step| (*step).to_owned()));
        Self { document: self.document.clone(), path }
    }

    /// The line of the node, or of the nearest one above it.
    pub(super) fn line(&self) -> Option<usize> {
        (0..=self.path.len()).rev().find_map(|length| self.document.lines.get(&self.path[..length])).copied()
    }

    /// `file:line`.
    pub(super) fn shown(&self) -> String {
        match self.line() {
            Some(line) => format!("{}:{line}", self.document.origin),
            None => self.document.origin.clone(),
        }
    }

    pub(super) fn origin(&self) -> &str {
        &self.document.origin
    }

    /// An error about the node.
    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error(&self.document.origin, message);
        let Some(line) = self.line() else { return error };
        let start = self.document.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let text = self.document.text[start..].lines().next().unwrap_or_default();
        // many findings in one large file: each looks at its own line alone
        Diagnostic { line: Some(line), ..located(error, text, 1) }
    }
}

/// The finding at the first visible character of a line.
pub(super) fn located(finding: Diagnostic, text: &str, line: usize) -> Diagnostic {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let indent = text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len();
    finding.at(text, start + indent)
}
