//! What a route asks of the path besides its pattern: the schemas of its captures.
//!
//! Only OpenAPI documents have such. The tree finds the route, and the guards then hold or the request is refused: it
//! never falls to a wider route.

use std::fmt;
use std::sync::Arc;

use crate::path::Segment;
use crate::shape::Shape;
use crate::source::Capture;

/// The guards of a route.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    /// What captures must be.
    shapes: Vec<(String, Arc<Shape>)>,
    /// Where these captures stand in the path.
    at: Vec<usize>,
}

impl Guards {
    pub(super) fn new(shapes: Vec<(String, Arc<Shape>)>) -> Self {
        Self { shapes, ..Self::default() }
    }

    /// The same guards in a pattern with these captures.
    pub(super) fn among(self: &Arc<Self>, captures: &[Capture]) -> Arc<Self> {
        if self.shapes.is_empty() {
            return self.clone();
        }
        let place = |name: &str| captures.iter().find(|capture| capture.name == name).map_or(usize::MAX, |c| c.at);
        let at = self.shapes.iter().map(|(name, _)| place(name)).collect();
        Arc::new(Self { at, ..(**self).clone() })
    }

    /// Why the route is not the one for this path.
    pub(super) fn refuse(&self, segments: &[Segment<'_>]) -> Option<String> {
        for ((name, shape), at) in self.shapes.iter().zip(&self.at) {
            // a capture without a place takes nothing
            if !segments.get(*at).is_some_and(|segment| shape.takes(&segment.text)) {
                return Some(format!("`path.{name}` must be {shape}"));
            }
        }
        None
    }

    /// The captures and what each must be.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.shapes.iter().map(|(name, shape)| (name.as_str(), &**shape))
    }
}

impl fmt::Display for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shapes().try_for_each(|(name, shape)| write!(f, " where {name} is {shape}"))
    }
}
