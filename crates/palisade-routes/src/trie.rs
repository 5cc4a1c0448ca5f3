//! Finds the routes of a path: a tree over segments, so that the number of routes does not matter.
//!
//! At each segment a literal is tried before captures, and captures in the order of [`Form`]; the first
//! path through the tree that leads to routes is taken, whatever their methods. So a request for
//! `/devices/move` never means the device `move`, also where only the other method is mapped, or only the path with
//! or without a final slash. Nor does a capture take what is a literal but for a suffix, such as `move.json`, unless the
//! service is known to distinguish the two.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::bounds::MAX_SAME;
use crate::mask::Masks;
use crate::names::folded_case;
use crate::path::{Segment, Target};
use crate::pattern::{Form, Part, Pattern};
use crate::service::Suffixes;

/// How many bytes of a request a letter of ASCII may be, to those that fold others to it.
const WIDEST: usize = 4;

/// The number of a route.
pub(super) type RouteId = usize;

/// The routes of one host.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Whether the service takes literals in any case.
    folds: bool,
    /// How the service takes a suffix; `None` if that is not known.
    suffixes: Option<Suffixes>,
    /// Operations of documents whose requests are kept from these routes.
    pub(super) masks: Masks,
}

/// Where a walk through the tree ends.
enum Walk<'t> {
    Found(&'t Leaf),
    /// The path is mapped, but for its final slash, a suffix or a letter that some fold: no capture may take it instead.
    Barred,
    Nowhere,
}

/// A place in the tree.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, RandomState>,
    /// The length of the longest literal.
    longest: usize,
    /// In the order of the forms.
    captures: Vec<(Form, usize)>,
    /// Paths that end here, without and with a slash.
    ends: [Leaf; 2],
    /// Paths that go on with anything.
    rests: [Leaf; 2],
}

/// What is mapped at a path: few methods, each with rules that exclude one another.
#[derive(Debug, Default, Clone)]
pub(super) struct Leaf {
    methods: Vec<(Box<str>, Vec<RouteId>)>,
}

impl Leaf {
    /// The routes of a method. `HEAD` is `GET`'s where it is not mapped itself.
    pub(super) fn routes(&self, method: &str) -> &[RouteId] {
        let find = |method: &str| self.methods.iter().find(|(name, _)| **name == *method);
        let found = find(method).or_else(|| if method == "HEAD" { find("GET") } else { None });
        found.map_or(&[], |(_, routes)| routes)
    }

    /// The methods that are mapped.
    pub(super) fn methods(&self) -> Vec<&str> {
        self.methods.iter().map(|(name, _)| &**name).collect()
    }
}

impl Trie {
    pub(super) fn new(folds: bool, suffixes: Option<Suffixes>) -> Self {
        Self { nodes: vec![Node::default()], folds, suffixes, masks: Masks::new(true) }
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether it has any route.
    pub(super) fn has_routes(&self) -> bool {
        self.nodes.len() > 1
            || self.nodes.first().is_some_and(|root| root.ends.iter().any(|end| !end.methods.is_empty()))
    }

    /// Adds a route. `clashes` is called with each route that is there for the same method and path, and with the first
    /// alone where there are too many of them.
    pub(super) fn insert(
        &mut self,
        pattern: &Pattern,
        any_slash: bool,
        route: RouteId,
        clashes: &mut dyn FnMut(RouteId, Same),
    ) {
        self.leaves(pattern, any_slash, &mut |leaf| leaf.add(&pattern.methods, route, clashes));
    }

    /// Adds a route where no other is for its methods, so that no wider path takes its requests.
    pub(super) fn reserve(&mut self, pattern: &Pattern, any_slash: bool, route: RouteId) {
        self.leaves(pattern, any_slash, &mut |leaf| {
            let free = |method: &&String| !leaf.methods.iter().any(|(name, _)| **name == ***method);
            let free: Vec<String> = pattern.methods.iter().filter(free).cloned().collect();
            leaf.add(&free, route, &mut |_, _| {});
        });
    }

    fn leaves(&mut self, pattern: &Pattern, any_slash: bool, visit: &mut dyn FnMut(&mut Leaf)) {
        let mut at = vec![0];
        let mut rest = false;
        for part in &pattern.parts {
            at = match part {
                Part::Literal(text) => at.iter().map(|node| self.literal(*node, text)).collect(),
                Part::OneOf(_, words) => {
                    let pairs = at.iter().flat_map(|node| words.iter().map(move |word| (*node, word)));
                    pairs.map(|(node, word)| self.literal(node, word)).collect()
                }
                Part::Capture(_, form) => at.iter().map(|node| self.capture(*node, *form)).collect(),
                Part::Rest(_) => {
                    rest = true;
                    at
                }
            };
        }
        for node in at {
            let Some(node) = self.nodes.get_mut(node) else { continue };
            let leaves = if rest { &mut node.rests } else { &mut node.ends };
            for (slash, leaf) in [false, true].into_iter().zip(leaves) {
                if any_slash || slash == pattern.trailing_slash {
                    visit(leaf);
                }
            }
        }
    }

    /// Calls `decides` with the place of each part of a pattern that takes anything, where the tree has something narrower
    /// beside it: what stands there decides which of the two it is.
    pub(super) fn decisions(&self, pattern: &Pattern, decides: &mut dyn FnMut(usize)) {
        let mut at = vec![0];
        for (place, part) in pattern.parts.iter().enumerate() {
            let nodes = || at.iter().filter_map(|node| self.nodes.get(*node));
            let has_narrower = match part {
                Part::Capture(_, Form::Any) => nodes().any(|node| !node.literals.is_empty() || node.captures.len() > 1),
                Part::Rest(_) => nodes().any(|node| !node.literals.is_empty() || !node.captures.is_empty()),
                Part::Literal(_) | Part::OneOf(..) | Part::Capture(..) => false,
            };
            if has_narrower {
                decides(place);
            }
            let literal = |node: &Node, text: &str| node.literals.get(self.key(text).as_ref()).copied();
            at = match part {
                Part::Literal(text) => nodes().filter_map(|node| literal(node, text)).collect(),
                Part::OneOf(_, words) => {
                    nodes().flat_map(|node| words.iter().filter_map(|word| literal(node, word))).collect()
                }
                Part::Capture(_, form) => {
                    let next = |node: &Node| Some(node.captures.iter().find(|(known, _)| known == form)?.1);
                    nodes().filter_map(next).collect()
                }
                Part::Rest(_) => return,
            };
        }
    }

    /// A literal as the tree has it.
    fn key<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.folds { folded_case(text) } else { Cow::Borrowed(text) }
    }

    fn literal(&mut self, node: usize, text: &str) -> usize {
        let text = self.key(text);
        let text = text.as_ref();
        if let Some(next) = self.nodes[node].literals.get(text) {
            return *next;
        }
        let next = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].literals.insert(text.into(), next);
        self.nodes[node].longest = self.nodes[node].longest.max(text.len());
        next
    }

    fn capture(&mut self, node: usize, form: Form) -> usize {
        if let Some((_, next)) = self.nodes[node].captures.iter().find(|(known, _)| *known == form) {
            return *next;
        }
        let next = self.nodes.len();
        self.nodes.push(Node::default());
        let captures = &mut self.nodes[node].captures;
        captures.push((form, next));
        captures.sort_unstable();
        next
    }

    /// What is mapped at the path of `target`.
    pub(super) fn find(&self, target: &Target<'_>) -> Option<&Leaf> {
        match self.walk(0, &target.segments, usize::from(target.trailing_slash)) {
            Walk::Found(leaf) => Some(leaf),
            Walk::Barred | Walk::Nowhere => None,
        }
    }

    /// The methods that are mapped at the path of `target`, with a final slash or without, in order.
    pub(super) fn methods(&self, target: &Target<'_>) -> Vec<&str> {
        let leaf = |slash| match self.walk(0, &target.segments, slash) {
            Walk::Found(leaf) => Some(leaf),
            Walk::Barred | Walk::Nowhere => None,
        };
        let mut found: Vec<&str> = [0, 1].into_iter().filter_map(leaf).flat_map(Leaf::methods).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether the path of `target` is kept from captures, because a literal may be meant.
    pub(super) fn bars(&self, target: &Target<'_>) -> bool {
        matches!(self.walk(0, &target.segments, usize::from(target.trailing_slash)), Walk::Barred)
    }

    /// Goes no deeper than the longest template, and sees a node once at most.
    fn walk(&self, node: usize, segments: &[Segment<'_>], slash: usize) -> Walk<'_> {
        let node = &self.nodes[node];
        let Some((first, others)) = segments.split_first() else { return ending(&node.ends, slash) };
        match self.step(node, &first.text) {
            // many services do not distinguish `/move/` from `/move`: it is never the device `move`
            Step::To(next) => match self.walk(next, others, slash) {
                Walk::Nowhere => {}
                end => return end,
            },
            Step::Barred => return Walk::Barred,
            Step::None => {}
        }
        for step in self.stems(node, &first.text) {
            let end = match step {
                Step::To(next) => self.walk(next, others, slash),
                Step::Barred => return Walk::Barred,
                Step::None => continue,
            };
            match end {
                Walk::Nowhere => {}
                Walk::Found(leaf) if self.suffixes == Some(Suffixes::Format) && has_format(&first.text, others) => {
                    return Walk::Found(leaf);
                }
                Walk::Found(_) | Walk::Barred => return Walk::Barred,
            }
        }
        // the service takes the format off, and reads another id than would be checked
        let format =
            self.suffixes == Some(Suffixes::Format) && segments.last().is_some_and(|last| last.text.contains('.'));
        let mut barred = false;
        for (_, next) in node.captures.iter().filter(|(form, _)| form.takes(&first.text)) {
            match self.walk(*next, others, slash) {
                Walk::Nowhere => {}
                Walk::Found(leaf) if !(format && others.is_empty()) => return Walk::Found(leaf),
                Walk::Found(_) | Walk::Barred => barred = true,
            }
        }
        match ending(&node.rests, slash) {
            _ if barred => Walk::Barred,
            Walk::Found(_) if format => Walk::Barred,
            end => end,
        }
    }

    /// The literals that a segment is to a service that takes a suffix off.
    fn stems<'t>(&'t self, node: &'t Node, text: &'t str) -> impl Iterator<Item = Step> + 't {
        let looks = self.suffixes != Some(Suffixes::Exact) && node.longest > 0;
        stems(text, WIDEST * node.longest).take_while(move |_| looks).map(|stem| self.step(node, stem))
    }

    /// The literal that a segment is.
    fn step(&self, node: &Node, text: &str) -> Step {
        if !self.folds {
            return node.literals.get(text).map_or(Step::None, |next| Step::To(*next));
        }
        let folded = folded_case(text);
        match node.literals.get(folded.as_ref()) {
            // a letter beyond ASCII is one of these to some, and to others it is not
            Some(next) if text.is_ascii() || text == folded => Step::To(*next),
            Some(_) => Step::Barred,
            None => Step::None,
        }
    }
}

/// What a segment is to a service that takes off what follows a dot or a semicolon, or blanks around, up to the longest
/// that matters.
pub(super) fn stems(text: &str, longest: usize) -> impl Iterator<Item = &str> {
    let begun = text.trim_start();
    // Windows takes blanks and dots off the end, in any mix
    let is_loose = |c: char| c == '.' || c.is_whitespace();
    // where the last character ends that is not loose
    let mut solid = 0;
    // most segments have none of these
    let cuts = begun.char_indices().filter_map(move |(at, c)| {
        let end = solid;
        if !is_loose(c) {
            solid = at + c.len_utf8();
        }
        (matches!(c, '.' | ';') && end > 0).then_some(end)
    });
    let all = begun.trim_end_matches(is_loose).len();
    let ends = cuts.take_while(move |end| *end <= longest).chain((all < text.len()).then_some(all));
    ends.map(move |end| &begun[..end])
}

/// How many routes there are for a method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    Few,
    /// As many as there may be: another is not added.
    TooMany,
}

/// Whether the segment ends the path and has a format behind its name, as Rails writes it: one dot, and a word.
fn has_format(text: &str, others: &[Segment<'_>]) -> bool {
    let word = |(name, format): (&str, &str)| !name.contains(';') && !format.is_empty() && !format.contains(['.', ';']);
    others.is_empty() && text.split_once('.').is_some_and(word)
}

/// Where a literal leads.
enum Step {
    To(usize),
    Barred,
    None,
}

/// What is mapped without or with a final slash.
fn ending(leaves: &[Leaf; 2], slash: usize) -> Walk<'_> {
    match (leaves[slash].methods.is_empty(), leaves[1 - slash].methods.is_empty()) {
        (false, _) => Walk::Found(&leaves[slash]),
        (true, false) => Walk::Barred,
        (true, true) => Walk::Nowhere,
    }
}

impl Leaf {
    fn add(&mut self, methods: &[String], route: RouteId, clashes: &mut dyn FnMut(RouteId, Same)) {
        for method in methods {
            match self.methods.iter_mut().find(|(name, _)| **name == **method) {
                Some((_, routes)) if routes.len() >= MAX_SAME => {
                    routes.first().into_iter().for_each(|known| clashes(*known, Same::TooMany));
                }
                Some((_, routes)) => {
                    routes.iter().for_each(|known| clashes(*known, Same::Few));
                    routes.push(route);
                }
                None => self.methods.push((method.as_str().into(), vec![route])),
            }
        }
    }
}

#[cfg(test)]
#[path = "trie_tests.rs"]
mod tests;
