//! What a route asks of the path besides its pattern: the schemas of its captures, and what is another operation.
//!
//! Only OpenAPI documents have such. The tree finds the route, and the guards then hold or the request is refused: it
//! never falls to a wider route.

use std::fmt;
use std::sync::Arc;

use crate::gateway::path::Segment;
use crate::gateway::shape::Shape;
use crate::gateway::source::Capture;

/// The guards of a route.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    /// What captures must be.
    shapes: Vec<(String, Arc<Shape>)>,
    /// Where these captures stand in the path.
    at: Vec<usize>,
    /// Other operations that some of the requests would be.
    others: Vec<Arc<Mask>>,
    /// How many segments stand before those that a mask is about.
    before: usize,
}

/// The requests of another operation.
#[derive(Debug)]
pub(super) struct Mask {
    pub(super) parts: Vec<MaskPart>,
    /// Whose they are.
    pub(super) of: String,
}

/// A segment of a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MaskPart {
    /// Any segment.
    All,
    /// These texts with something between each two of them.
    Texts(Vec<String>),
}

impl Guards {
    pub(super) fn new(shapes: Vec<(String, Arc<Shape>)>) -> Self {
        Self { shapes, ..Self::default() }
    }

    /// Keeps the requests of another operation from the route. Returns whether they were not kept from it before.
    pub(super) fn except(&mut self, other: Arc<Mask>) -> bool {
        let new = !self.others.iter().any(|known| Arc::ptr_eq(known, &other));
        if new {
            self.others.push(other);
        }
        new
    }

    /// How many other operations it is kept apart from.
    pub(super) fn others(&self) -> usize {
        self.others.len()
    }

    /// The same guards in a pattern with `before` segments of a prefix and these captures.
    pub(super) fn after(self: &Arc<Self>, before: usize, captures: &[Capture]) -> Arc<Self> {
        if self.shapes.is_empty() && self.others.is_empty() {
            return self.clone();
        }
        let place = |name: &str| captures.iter().find(|capture| capture.name == name).map_or(usize::MAX, |c| c.at);
        let at = self.shapes.iter().map(|(name, _)| place(name)).collect();
        Arc::new(Self { at, before, ..(**self).clone() })
    }

    /// Why the route is not the one for this path.
    pub(super) fn refuse(&self, segments: &[Segment<'_>]) -> Option<String> {
        for ((name, shape), at) in self.shapes.iter().zip(&self.at) {
            // a capture without a place takes nothing
            if !segments.get(*at).is_some_and(|segment| shape.takes(&segment.text)) {
                return Some(format!("`path.{name}` must be {shape}"));
            }
        }
        let rest = segments.get(self.before..).unwrap_or_default();
        let other = self.others.iter().find(|mask| mask.takes(rest))?;
        Some(format!("this path may also be one for {}, and the document does not say which", other.of))
    }

    /// The captures and what each must be.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.shapes.iter().map(|(name, shape)| (name.as_str(), &**shape))
    }
}

impl Mask {
    fn takes(&self, segments: &[Segment<'_>]) -> bool {
        segments.len() == self.parts.len()
            && self.parts.iter().zip(segments).all(|(part, segment)| match part {
                MaskPart::All => true,
                MaskPart::Texts(texts) => fits(texts, &segment.text),
            })
    }
}

/// Whether `text` is these texts in order with something between each two. In any case: some services fold it.
pub(super) fn fits(texts: &[String], text: &str) -> bool {
    let text = text.to_lowercase();
    let [first, middle @ .., last] = texts else { return texts.first().is_none_or(|only| only.to_lowercase() == text) };
    let Some(mut rest) = text.strip_prefix(first.to_lowercase().as_str()) else { return false };
    for part in middle {
        // at least one character is what the capture takes; an earlier place leaves more for the others
        let Some(skip) = rest.chars().next().map(char::len_utf8) else { return false };
        let part = part.to_lowercase();
        let Some(at) = rest[skip..].find(&part) else { return false };
        rest = &rest[skip + at + part.len()..];
    }
    let last = last.to_lowercase();
    rest.len() > last.len() && rest.ends_with(&last)
}

impl fmt::Display for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shapes().try_for_each(|(name, shape)| write!(f, " where {name} is {shape}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_segment_fit() {
        for (texts, good, bad) in [
            (&["", ".json"][..], &["a.json", "a.b.json", "a.JSON"][..], &[".json", "a.jso", "json", ""][..]),
            (&["", "...", ""], &["a...b", "a....b"], &["a...", "...b", "a..b", "..."]),
            (&["page-", ".atom"], &["page-1.atom"], &["page-.atom", "page.atom"]),
            (&["a b"], &["a b", "A B"], &["a", "a bc"]),
            (&["v", "", ""], &["v12"], &["v1", "v"]),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            assert!(good.iter().all(|text| fits(&texts, text)), "{texts:?}");
            assert!(bad.iter().all(|text| !fits(&texts, text)), "{texts:?}");
        }
    }
}
