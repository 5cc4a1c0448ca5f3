//! On which line each node of a document stands.
//!
//! A tree beside the values: documents of 20 MB have a million nodes, and a path for each of them would be larger
//! than the document.

use std::collections::BTreeMap;

/// The line of a node, and those of the nodes below it.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: usize,
    below: Below,
}

#[derive(Debug, Default)]
enum Below {
    #[default]
    Nothing,
    List(Vec<Lines>),
    Map(BTreeMap<Box<str>, Lines>),
}

impl Lines {
    pub(super) fn scalar(line: usize) -> Self {
        Self { line, below: Below::Nothing }
    }

    pub(super) fn list(line: usize, items: Vec<Self>) -> Self {
        Self { line, below: Below::List(items) }
    }

    pub(super) fn map(line: usize, members: BTreeMap<Box<str>, Self>) -> Self {
        Self { line, below: Below::Map(members) }
    }

    /// The same node, whose line is that of its key.
    pub(super) fn under(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// The line of the node at `path`, from 1: for a member of a mapping, that of its key.
    pub(crate) fn get(&self, path: &[String]) -> Option<usize> {
        path.iter().try_fold(self, |node, step| node.child(step)).map(|node| node.line)
    }

    /// The line of the node at `path`, or of the nearest one above it.
    pub(crate) fn nearest(&self, path: &[String]) -> usize {
        let mut node = self;
        for step in path {
            match node.child(step) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    fn child(&self, step: &str) -> Option<&Self> {
        match &self.below {
            Below::Nothing => None,
            Below::List(items) => items.get(step.parse::<usize>().ok()?),
            Below::Map(members) => members.get(step),
        }
    }
}
