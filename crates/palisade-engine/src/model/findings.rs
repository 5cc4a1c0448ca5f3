//! Findings of which the first are listed and the others are counted: no text makes an answer as long as itself.

use crate::model::{Diagnostic, count};

/// So many findings are listed at most; the rest is counted.
pub const MAX_LISTED: usize = 100;

/// A list of findings that stays short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    listed: Vec<Diagnostic>,
    more: usize,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Diagnostic) {
        self.add(|| finding);
    }

    /// Adds one that is made only where it is listed.
    pub fn add(&mut self, finding: impl FnOnce() -> Diagnostic) {
        if self.listed.len() < MAX_LISTED { self.listed.push(finding()) } else { self.more += 1 }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// How many there are, listed or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listed.len() + self.more
    }

    /// Whether none had to be left out of the list.
    #[must_use]
    pub fn are_all_listed(&self) -> bool {
        self.more == 0
    }

    /// Those that are listed, and how many more there are.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Diagnostic>, usize) {
        (self.listed, self.more)
    }

    /// Those that are listed; where there are more, the last one says so at `origin`, of so many `things` in the singular.
    #[must_use]
    pub fn into_list(self, origin: &str, things: &str) -> Vec<Diagnostic> {
        let (mut listed, more) = self.into_parts();
        if more > 0 {
            listed.push(Diagnostic::error(origin, format!("and {}", count(more, &format!("more {things}")))));
        }
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_counted_and_not_made() {
        for (number, last) in [
            (0, None),
            (1, Some("0")),
            (MAX_LISTED, Some("99")),
            (MAX_LISTED + 1, Some("and 1 more entity")),
            (MAX_LISTED + 7, Some("and 7 more entities")),
        ] {
            let (mut findings, mut made) = (Findings::default(), 0);
            for i in 0..number {
                findings.add(|| {
                    made += 1;
                    Diagnostic::error("x", i.to_string())
                });
            }
            assert_eq!((findings.count(), findings.is_empty(), made), (number, number == 0, number.min(MAX_LISTED)));
            let list = findings.into_list("all", "entity");
            assert_eq!(list.last().map(|finding| finding.message.as_str()), last, "{number}");
            assert_eq!(list.len(), number.min(MAX_LISTED + 1));
        }
    }
}
