//! On which line each node of a document stands.
//!
//! A tree beside the values: documents of 20 MB have a million nodes, and a path for each of them would be larger
//! than the document.

use std::collections::BTreeMap;

/// The line of a node, and those of the nodes below it.
#[derive(Debug, Default)]
pub struct Lines {
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
    #[must_use]
    pub fn get(&self, path: &[String]) -> Option<usize> {
        path.iter().try_fold(self, |node, step| node.child(step)).map(|node| node.line)
    }

    /// The line of the node at `path`, or of the nearest one above it.
    #[must_use]
    pub fn nearest(&self, path: &[String]) -> usize {
        let mut node = self;
        for step in path {
            match node.child(step) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.line
    }

    /// Each node's path and line, in the order of their paths.
    #[must_use]
    pub fn paths(&self) -> BTreeMap<Vec<String>, usize> {
        fn walk(node: &Lines, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, usize>) {
            found.insert(path.clone(), node.line);
            let mut below = |step: String, node: &Lines| {
                path.push(step);
                walk(node, path, found);
                path.pop();
            };
            match &node.below {
                Below::Nothing => {}
                Below::List(items) => items.iter().enumerate().for_each(|(i, item)| below(i.to_string(), item)),
                Below::Map(members) => members.iter().for_each(|(key, member)| below(key.to_string(), member)),
            }
        }
        let mut found = BTreeMap::new();
        walk(self, &mut Vec::new(), &mut found);
        found
    }

    /// The lines of nodes at paths, where a position in a list is a step like a key.
    #[must_use]
    pub fn at(paths: &BTreeMap<Vec<String>, usize>) -> Self {
        let mut root = Self::default();
        for (path, line) in paths {
            let mut node = &mut root;
            for step in path {
                if !matches!(node.below, Below::Map(_)) {
                    node.below = Below::Map(BTreeMap::new());
                }
                let Below::Map(members) = &mut node.below else { break };
                node = members.entry(step.as_str().into()).or_default();
            }
            node.line = *line;
        }
        root
    }

    fn child(&self, step: &str) -> Option<&Self> {
        match &self.below {
            Below::Nothing => None,
            Below::List(items) => items.get(step.parse::<usize>().ok()?),
            Below::Map(members) => members.get(step),
        }
    }
}
