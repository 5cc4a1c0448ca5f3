//! Where something is written, down to its members.

use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file, as its author knows it.
    pub origin: Arc<str>,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// Where the members stand.
    pub members: MemberLines,
}

impl Written {
    /// A place whose members are not known.
    pub fn new(origin: impl Into<Arc<str>>, line: Option<usize>) -> Self {
        Self { origin: origin.into(), line, members: MemberLines::default() }
    }

    /// The line of a member, or of the whole where that is not known.
    #[must_use]
    pub fn line_of(&self, member: &str) -> Option<usize> {
        let below = MemberLines::index(member).and_then(|index| self.members.0.get(index)).copied().unwrap_or(0);
        self.line.map(|line| line + usize::from(below))
    }
}

/// How many lines below the first one the members of a link, of links from data, or of a data rule stand. Kept for every
/// link, so in a byte each: one that stands further below is pointed at as far as that goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberLines([u8; MemberLines::NAMES.len()]);

impl MemberLines {
    /// The members that something can be wrong with once they are read.
    pub const NAMES: [&str; 8] = ["template", "id", "principal", "resource", "each", "when", "must", "parents"];

    fn index(member: &str) -> Option<usize> {
        Self::NAMES.iter().position(|name| *name == member)
    }

    /// Notes that a member stands `below` lines below the first.
    pub fn note(&mut self, member: &str, below: usize) {
        if let Some(line) = Self::index(member).and_then(|index| self.0.get_mut(index)) {
            *line = u8::try_from(below).unwrap_or(u8::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_lines_of_their_own() {
        let mut written = Written::new("f", Some(7));
        for (member, below) in [("id", 2), ("resource", 1_000), ("else", 3)] {
            written.members.note(member, below);
        }
        let lines = ["id", "resource", "template", "else"].map(|member| written.line_of(member));
        assert_eq!(lines, [Some(9), Some(7 + 255), Some(7), Some(7)]);
        written.line = None;
        assert_eq!(written.line_of("id"), None);
    }
}
