//! A statement of a configuration, with its place and what is in it.

use crate::report::At;

/// A statement, or a block with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// The name and the arguments, without quotes; a block of Caddy's options has no name.
    pub(super) words: Vec<String>,
    pub(super) at: At,
    pub(super) block: Option<Vec<Directive>>,
}

/// Why a text is no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) message: String,
}

/// How deep blocks may nest; no real configuration nests so deep.
pub(super) const DEEPEST: usize = 64;

// === impl Directive ===

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.argument(0)
    }

    /// An argument, from 1; an empty one if it is not there.
    pub(super) fn argument(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    pub(super) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    pub(super) fn body(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}
