//! Operations of documents as sets of requests: which of them a request could be for, besides the route that was found.
//!
//! The tree of routes finds what is mapped, the most particular path first. It does not see an operation that no pattern
//! holds (`/files/{name}.json`), nor one that has some of the requests of a route and others besides (`/{kind}/me` and
//! `/books/{id}`). Here their requests are kept from the routes, whichever file these are from.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::names::folded_case;
use crate::path::Segment;
use crate::pattern::{Form, Part, Pattern};
use crate::trie::{RouteId, stems};

/// The requests of an operation.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    parts: Vec<MaskPart>,
    /// Whose they are, and why they are refused if it is not mapped.
    pub(super) of: String,
}

/// A segment of a mask. Texts are folded: some services do not distinguish cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MaskPart {
    /// This text.
    Literal(String),
    /// These texts with something between each two of them.
    Texts(Vec<String>),
    /// Any segment.
    Any,
    /// All segments that follow.
    Rest,
}

/// Which requests of a route are kept from it, among those of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// None: the route is for the operation, or the tree of routes finds the operation first.
    None,
    /// Those of the operation's method: each has requests that the other does not have.
    OfMethod,
    /// All of them: the operation is the more particular one, and its path counts before its method.
    All,
}

impl Mask {
    pub(super) fn new(parts: Vec<MaskPart>, of: String) -> Self {
        Self { parts, of }
    }

    /// The same under a prefix.
    pub(super) fn under(&self, prefix: &str) -> Self {
        let before = prefix.split('/').skip(1).map(MaskPart::literal);
        Self { parts: before.chain(self.parts.iter().cloned()).collect(), of: self.of.clone() }
    }

    /// Whether it is one path alone: such a path crosses no other.
    pub(super) fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, MaskPart::Literal(_)))
    }

    /// Whether it takes any number of segments.
    pub(super) fn is_open(&self) -> bool {
        self.parts.last() == Some(&MaskPart::Rest)
    }

    /// What is kept from the route with this pattern, where the tree of routes has the operation too, or has not.
    pub(super) fn keeps(&self, pattern: &Pattern, in_tree: bool) -> Kept {
        // whether it has all requests of the route, and whether the route has all of its own
        let (mut all, mut part) = (true, true);
        let (mut ours, mut theirs) = (self.parts.iter(), pattern.parts.iter());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some(MaskPart::Rest), Some(Part::Rest(_))) => break,
                (Some(MaskPart::Rest), Some(_)) => {
                    part = false;
                    break;
                }
                (Some(_), Some(Part::Rest(_))) => {
                    all = false;
                    break;
                }
                (Some(our), Some(their)) => {
                    all &= our.has(their);
                    part &= our.is_in(their);
                }
                (None, Some(_)) | (Some(_), None) => return Kept::None,
            }
        }
        match (all, part) {
            (true, _) => Kept::None,
            // the tree tries what is more particular first
            (false, true) => {
                if in_tree {
                    Kept::None
                } else {
                    Kept::All
                }
            }
            (false, false) => Kept::OfMethod,
        }
    }
}

impl MaskPart {
    /// This text, in any case.
    pub(super) fn literal(text: &str) -> Self {
        Self::Literal(folded_case(text).into_owned())
    }

    /// These texts with something between each two.
    pub(super) fn texts(texts: &[String]) -> Self {
        match texts {
            [only] => Self::literal(only),
            texts => Self::Texts(texts.iter().map(|text| folded_case(text).into_owned()).collect()),
        }
    }

    /// Whether each segment that `part` takes is one of these.
    fn has(&self, part: &Part) -> bool {
        let has = |text: &String| match self {
            Self::Literal(own) => *own == folded_case(text),
            Self::Texts(texts) => fits(texts, &folded_case(text), false),
            Self::Any | Self::Rest => true,
        };
        match part {
            Part::Literal(text) => has(text),
            Part::OneOf(_, words) => words.iter().all(has),
            Part::Capture(..) => matches!(self, Self::Any | Self::Rest),
            Part::Rest(_) => *self == Self::Rest,
        }
    }

    /// Whether each of these segments is one that `part` takes. A capture of any form has what stands in pieces.
    fn is_in(&self, part: &Part) -> bool {
        match (self, part) {
            (_, Part::Capture(_, Form::Any) | Part::Rest(_)) | (Self::Texts(_), Part::Capture(..)) => true,
            (Self::Literal(own), Part::Literal(text)) => *own == folded_case(text),
            (Self::Literal(own), Part::OneOf(_, words)) => words.iter().any(|word| *own == folded_case(word)),
            (Self::Literal(own), Part::Capture(_, form)) => form.takes(own),
            _ => false,
        }
    }
}

/// The masks of one host: a tree over segments, as the routes have one.
#[derive(Debug)]
pub(super) struct Masks {
    nodes: Vec<Node>,
    /// Whether the service may take a suffix off.
    loose: bool,
}

/// A place in the tree.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, RandomState>,
    /// The length of the longest literal.
    longest: usize,
    texts: Vec<(Vec<String>, usize)>,
    any: Option<usize>,
    /// Operations whose paths end here.
    ends: Vec<RouteId>,
    /// Operations whose paths go on with anything.
    rests: Vec<RouteId>,
}

impl Masks {
    /// No masks yet. With `loose`, a segment is also what it is without its suffix.
    pub(super) fn new(loose: bool) -> Self {
        Self { nodes: vec![Node::default()], loose }
    }

    /// How many nodes it has besides the root.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    pub(super) fn insert(&mut self, mask: &Mask, route: RouteId) {
        let mut at = 0;
        for part in &mask.parts {
            let new = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match part {
                MaskPart::Literal(text) => {
                    node.longest = node.longest.max(text.len());
                    *node.literals.entry(text.as_str().into()).or_insert(new)
                }
                MaskPart::Texts(texts) => match node.texts.iter().find(|(known, _)| known == texts) {
                    Some((_, next)) => *next,
                    None => {
                        node.texts.push((texts.clone(), new));
                        new
                    }
                },
                MaskPart::Any => *node.any.get_or_insert(new),
                MaskPart::Rest => return node.rests.push(route),
            };
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].ends.push(route);
    }

    /// The first operation that a path could be for and that `is_it`.
    pub(super) fn find(&self, segments: &[Segment<'_>], is_it: &dyn Fn(RouteId) -> bool) -> Option<RouteId> {
        self.walk(0, segments, is_it)
    }

    /// Goes no deeper than the longest mask, and sees a node once at most.
    fn walk(&self, at: usize, segments: &[Segment<'_>], is_it: &dyn Fn(RouteId) -> bool) -> Option<RouteId> {
        let node = &self.nodes[at];
        let pick = |routes: &[RouteId]| routes.iter().copied().find(|route| is_it(*route));
        let Some((first, others)) = segments.split_first() else { return pick(&node.ends) };
        let text = folded_case(&first.text);
        pick(&node.rests).or_else(|| self.next(node, &text).find_map(|next| self.walk(next, others, is_it)))
    }

    /// Whether a request of `pattern` could be for an operation that `is_it`. What is not looked at, because nothing is
    /// `left` of the work that this may be, counts as such.
    pub(super) fn meets(&self, pattern: &Pattern, left: &mut usize, is_it: &dyn Fn(RouteId) -> bool) -> bool {
        self.meets_at(0, &pattern.parts, left, is_it)
    }

    fn meets_at(&self, at: usize, parts: &[Part], left: &mut usize, is_it: &dyn Fn(RouteId) -> bool) -> bool {
        let node = &self.nodes[at];
        let cost = 1 + node.ends.len() + node.rests.len() + node.texts.len();
        if *left < cost {
            return true;
        }
        *left -= cost;
        let has = |routes: &[RouteId]| routes.iter().any(|route| is_it(*route));
        let Some((first, others)) = parts.split_first() else { return has(&node.ends) };
        if has(&node.rests) {
            return true;
        }
        let text = |text: &str, left: &mut usize| {
            self.next(node, &folded_case(text)).any(|next| self.meets_at(next, others, left, is_it))
        };
        match first {
            Part::Literal(literal) => text(literal, left),
            Part::OneOf(_, words) => words.iter().any(|word| text(word, left)),
            Part::Capture(..) => node.all().any(|next| self.meets_at(next, others, left, is_it)),
            Part::Rest(_) => {
                node.all().any(|next| has(&self.nodes[next].ends) || self.meets_at(next, parts, left, is_it))
            }
        }
    }

    /// Where a segment leads.
    fn next<'m>(&'m self, node: &'m Node, text: &'m str) -> impl Iterator<Item = usize> + 'm {
        let short = stems(text, node.longest).take_while(|_| self.loose && node.longest > 0);
        let literals = std::iter::once(text).chain(short).filter_map(|text| node.literals.get(text).copied());
        let texts = node.texts.iter().filter(|(texts, _)| fits(texts, text, self.loose)).map(|(_, next)| *next);
        literals.chain(texts).chain(node.any.filter(|_| !text.is_empty()))
    }
}

impl Node {
    fn all(&self) -> impl Iterator<Item = usize> {
        self.literals.values().copied().chain(self.texts.iter().map(|(_, next)| *next)).chain(self.any)
    }
}

/// Whether `text` is these texts in order with something between each two; if `loose`, but for a suffix. All are folded.
pub(super) fn fits(texts: &[String], text: &str, loose: bool) -> bool {
    let text = if loose { text.trim_start() } else { text };
    let [first, middle @ .., last] = texts else { return texts.first().is_none_or(|only| only == text) };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        // at least one character is what the capture takes; an earlier place leaves more for the others
        let Some(skip) = rest.chars().next().map(char::len_utf8) else { return false };
        let Some(at) = rest[skip..].find(part) else { return false };
        rest = &rest[skip + at + part.len()..];
    }
    let ends = |text: &str| text.len() > last.len() && text.ends_with(last.as_str());
    ends(rest) || (loose && stems(rest, rest.len()).any(ends))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Target;
    use crate::service::Suffixes;
    use crate::trie::Trie;

    #[test]
    fn parts_of_a_segment_fit() {
        for (texts, good, bad) in [
            (&["", ".json"][..], &["a.json", "a.b.json"][..], &[".json", "a.jso", "json", ""][..]),
            (&["", "...", ""], &["a...b", "a....b"], &["a...", "...b", "a..b", "..."]),
            (&["page-", ".atom"], &["page-1.atom"], &["page-.atom", "page.atom"]),
            (&["a b"], &["a b"], &["a", "a bc"]),
            (&["v", "", ""], &["v12"], &["v1", "v"]),
            (&["", ":aa"], &["x:aa", "x:aa:aa"], &["x:aaa", ":aa"]),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            for loose in [false, true] {
                assert!(good.iter().all(|text| fits(&texts, text, loose)), "{texts:?}");
                assert!(bad.iter().all(|text| !fits(&texts, text, loose)), "{texts:?}");
            }
        }
        let texts = [String::new(), ":wipe".to_owned()];
        for text in ["7:wipe.json", "7:wipe;x", "7:wipe ", "7:wipe.", "a.b:wipe.json.gz"] {
            assert!(fits(&texts, text, true) && !fits(&texts, text, false), "{text}");
        }
        // would take minutes if each suffix were compared from the beginning
        assert!(!fits(&texts, &"7.".repeat(500_000), true));
    }

    #[test]
    fn what_is_kept_from_a_route() {
        let texts = |texts: &[&str]| MaskPart::texts(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let a = || MaskPart::literal("a");
        for (parts, pattern, expected) in [
            (vec![a(), texts(&["", ".json"])], "/a/{id}", Kept::All),
            (vec![a(), texts(&["", ".json"])], "/a/{id:name}", Kept::All),
            (vec![a(), texts(&["", ".json"])], "/a/{rest*}", Kept::All),
            (vec![a(), texts(&["", ".json"])], "/a/x.json", Kept::None),
            (vec![a(), texts(&["", ".json"])], "/a/{x:b.json|c.JSON}", Kept::None),
            (vec![a(), texts(&["", ".json"])], "/a/{x:b.json|c}", Kept::OfMethod),
            (vec![MaskPart::Any, texts(&["", ".json"])], "/a/{id}", Kept::OfMethod),
            (vec![MaskPart::Any, a()], "/b/{id}", Kept::OfMethod),
            (vec![MaskPart::Any, a()], "/b/{rest*}", Kept::OfMethod),
            (vec![MaskPart::Any, a()], "/{x}/{y}", Kept::None),
            (vec![MaskPart::Any, a()], "/{x:int}/A", Kept::None),
            (vec![a(), MaskPart::Rest], "/a/{x}", Kept::None),
            (vec![a(), MaskPart::Rest], "/a/{rest*}", Kept::None),
            (vec![a(), MaskPart::Rest], "/{x}/b", Kept::OfMethod),
            (vec![a(), MaskPart::Any], "/a/{x:int}", Kept::None),
            (vec![a(), MaskPart::Any], "/a", Kept::None),
        ] {
            let pattern = Pattern::parse(&format!("GET {pattern}"), "").unwrap();
            let in_tree = !parts.iter().any(|part| matches!(part, MaskPart::Texts(_)));
            let found = Mask::new(parts.clone(), String::new()).keeps(&pattern, in_tree);
            assert_eq!(found, expected, "{parts:?} {pattern}");
        }
    }

    /// By the rule as it is said: segment by segment.
    fn takes(mask: &Mask, segments: &[Segment<'_>]) -> bool {
        let open = usize::from(mask.is_open());
        let fixed = &mask.parts[..mask.parts.len() - open];
        (if open == 1 { segments.len() > fixed.len() } else { segments.len() == fixed.len() })
            && fixed.iter().zip(segments).all(|(part, segment)| match part {
                MaskPart::Literal(text) => {
                    std::iter::once(&*segment.text).chain(stems(&segment.text, 100)).any(|it| it == text)
                }
                MaskPart::Texts(texts) => fits(texts, &segment.text, true),
                MaskPart::Any | MaskPart::Rest => true,
            })
    }

    fn mask(path: &str) -> Mask {
        let part = |text: &str| match text {
            "*" => MaskPart::Rest,
            "?" => MaskPart::Any,
            text => MaskPart::texts(&text.split('?').map(str::to_owned).collect::<Vec<_>>()),
        };
        Mask::new(path.split('/').skip(1).map(part).collect(), String::new())
    }

    proptest::proptest! {
        #[test]
        fn no_operation_is_overlooked(
            paths in proptest::collection::vec("(/(a|b|a\\.b|\\?|\\?\\.a|b\\?|\\?b\\?)){1,3}(/\\*)?", 1..5),
            pattern in "(/(a|b|ab|\\{[xy]\\}|\\{z:int\\})){1,3}(/\\{rest\\*\\})?",
            target in "(/(a|b|ab|a\\.a|bab|a\\.b|b\\.a|7|b7|7b7)){1,4}",
        ) {
            let masks: Vec<Mask> = paths.iter().map(|path| mask(path)).collect();
            let mut tree = Masks::new(true);
            masks.iter().enumerate().for_each(|(id, mask)| tree.insert(mask, id));
            let target = Target::parse(target.as_bytes()).unwrap();
            for (id, mask) in masks.iter().enumerate() {
                let found = tree.find(&target.segments, &|other| other == id);
                proptest::prop_assert_eq!(found.is_some(), takes(mask, &target.segments), "{:?}", mask);
                // a capture twice is no pattern
                let Ok(pattern) = Pattern::parse(&format!("GET {pattern}"), "") else { continue };
                let mut trie = Trie::new(false, Some(Suffixes::Exact));
                trie.insert(&pattern, true, 0, &mut |_, _| {});
                if found.is_some() && trie.find(&target).is_some() {
                    proptest::prop_assert!(tree.meets(&pattern, &mut 1000, &|other| other == id), "{:?} {}", mask, pattern);
                    proptest::prop_assert!(tree.meets(&pattern, &mut 0, &|other| other == id));
                }
            }
        }
    }
}
