//! Where a policy stands, and what it is.

use std::sync::Arc;

use crate::broken::broken;
use crate::ids::LinkIx;
use crate::model::Diagnostic;

/// Where a policy or template stands in the bundle.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The file or member.
    pub origin: Arc<str>,
    /// The whole text of it.
    pub source: Arc<str>,
    /// The policy's bytes in that text.
    pub span: std::ops::Range<usize>,
    /// Words and signs in it.
    pub tokens: u32,
    /// Whether it forbids.
    pub forbids: bool,
    /// Whether it may read `context.now`.
    pub reads_now: bool,
    /// What it is.
    pub kind: Kind,
    /// The line of its file, where the text is not as it is written there.
    pub line: Option<usize>,
    /// What validating it takes, in steps.
    pub steps: u64,
}

/// What stands at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A policy that decides on its own.
    Static,
    /// A template, which decides through its links alone.
    Template,
    /// The link of this number; the text is its template's.
    Link(LinkIx),
}

/// A policy whose text is no longer than this fits any stack.
const DEEP_BYTES: usize = 1_000;

impl Site {
    /// The policy's own text.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        match self.source.get(self.span.clone()) {
            Some(text) => text,
            None => broken("a policy that ends behind its text"),
        }
    }

    /// The finding at the byte `at` of the text that the policy stands in.
    #[must_use]
    pub(crate) fn point(&self, found: Diagnostic, at: usize) -> Diagnostic {
        match self.line {
            Some(_) => self.on_line(found),
            None => found.at(&self.source, at),
        }
    }

    /// The finding on the line of the policy, where the text is not as it is written in its file.
    #[must_use]
    pub(crate) fn on_line(&self, found: Diagnostic) -> Diagnostic {
        on_line(found, self.line)
    }

    /// Whether the text is so long that its tree may be deep.
    pub(crate) fn is_deep(&self) -> bool {
        self.span.len() > DEEP_BYTES
    }
}

/// The finding on a line of a file whose text is not at hand; as it is, if no line is known.
pub(crate) fn on_line(found: Diagnostic, line: Option<usize>) -> Diagnostic {
    match line {
        Some(_) => Diagnostic { line, column: None, excerpt: None, ..found },
        None => found,
    }
}
