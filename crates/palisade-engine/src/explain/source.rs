//! Where the parts of a policy stand in its text.

use std::ops::Range;

use crate::model::explanation::Place;
use crate::site::Site;

/// The longest text of a clause that is shown, in bytes.
const LONGEST_TEXT: usize = 600;

/// The longest line that is shown, in bytes.
const LONGEST_LINE: usize = 240;

/// A policy's text, and where it begins in its file.
pub(super) struct Source<'s> {
    text: &'s str,
    /// Line and column of its first character, if the file holds it as it is.
    start: Option<(usize, usize)>,
}

impl<'s> Source<'s> {
    pub(super) fn new(site: &'s Site) -> Self {
        let start = site.line.is_none().then(|| {
            let before = site.source.get(..site.span.start).unwrap_or_default();
            after((1, 1), before)
        });
        Self { text: site.text(), start }
    }

    /// A policy whose file does not matter.
    pub(super) fn of(text: &'s str) -> Self {
        Self { text, start: None }
    }

    /// The line of the policy.
    pub(super) fn line(&self) -> Option<usize> {
        self.start.map(|(line, _)| line)
    }

    /// What stands at a span, cut where it is long.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Option<String> {
        self.text.get(span.clone()).map(|text| short(text.trim_end(), LONGEST_TEXT))
    }

    /// Where a span stands in the file.
    pub(super) fn place(&self, span: &Range<usize>) -> Option<Place> {
        let start = after(self.start?, self.text.get(..span.start)?);
        let end = after(start, self.text.get(span.clone())?.trim_end());
        let line_start = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[span.start..].find('\n').map_or(self.text.len(), |at| span.start + at);
        let line = self.text[line_start..line_end].trim_end();
        // the first line may begin before the policy does
        let is_whole = line_start > 0 || self.start.is_some_and(|(_, column)| column == 1);
        let excerpt = (is_whole && !line.is_empty() && line.len() <= LONGEST_LINE).then(|| line.to_owned());
        Some(Place { line: start.0, column: start.1, end_line: end.0, end_column: end.1, excerpt })
    }

    /// The spans of the three parts of the scope; `None` for a policy in the JSON form.
    pub(super) fn scope(&self) -> Option<[Range<usize>; 3]> {
        // a comma may stand behind the last part
        let parts = self.head()?.parts.into_iter().map(|part| trimmed(self.text, part)).filter(|part| !part.is_empty());
        <[Range<usize>; 3]>::try_from(parts.collect::<Vec<_>>()).ok()
    }

    /// Where `permit` or `forbid` stands.
    pub(super) fn effect(&self) -> Option<Range<usize>> {
        Some(self.head()?.effect)
    }

    /// Where the conditions may begin.
    pub(super) fn scope_end(&self) -> Option<usize> {
        Some(self.head()?.end)
    }

    fn head(&self) -> Option<Head> {
        let (mut depth, mut word, mut begun) = (0_usize, 0..0, None);
        let (mut parts, mut effect) = (Vec::new(), 0..0);
        for (at, sign) in signs(self.text) {
            match sign {
                b'(' | b'[' | b'{' => {
                    depth += 1;
                    // annotations have parentheses too: the scope's stand behind the effect
                    let is_effect = matches!(self.text.get(word.clone()), Some("permit" | "forbid"));
                    if depth == 1 && sign == b'(' && is_effect {
                        (begun, effect) = (Some(at + 1), word.clone());
                    }
                }
                b')' | b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0
                        && let Some(start) = begun.take()
                    {
                        parts.push(start..at);
                        return Some(Head { effect, parts, end: at + 1 });
                    }
                }
                b',' if depth == 1 => {
                    if let Some(start) = begun.replace(at + 1) {
                        parts.push(start..at);
                    }
                }
                b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' if word.end == at => word.end += 1,
                _ if sign.is_ascii_whitespace() => {}
                _ => word = at..at + 1,
            }
        }
        None
    }
}

/// What stands before the conditions of a policy.
struct Head {
    effect: Range<usize>,
    /// What the commas of the scope part, with blanks and comments.
    parts: Vec<Range<usize>>,
    /// Behind the closing parenthesis.
    end: usize,
}

/// The elements of the list in a span, without blanks and comments.
pub(super) fn elements(text: &str, span: Range<usize>) -> Vec<Range<usize>> {
    let (mut begun, mut found) = (None, Vec::new());
    for (at, sign) in signs(text.get(span.clone()).unwrap_or_default()) {
        let at = span.start + at;
        match sign {
            b'[' => begun = Some(at + 1),
            b',' | b']' => {
                if let Some(start) = begun.replace(at + 1) {
                    found.push(trimmed(text, start..at));
                }
            }
            _ => {}
        }
    }
    // a comma may stand behind the last one
    found.retain(|element| !element.is_empty());
    found
}

/// Where a sign or a word begins in a span, outside of comments and strings.
pub(super) fn find(text: &str, span: Range<usize>, wanted: &str) -> Option<usize> {
    let part = text.get(span.clone())?;
    let found = signs(part).map(|(at, _)| at).find(|at| part[*at..].starts_with(wanted));
    found.map(|at| span.start + at)
}

/// A text without its middle, where it is longer than `most` bytes.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

/// Line and column behind `text`, which begins at `start`.
fn after((line, column): (usize, usize), text: &str) -> (usize, usize) {
    match text.rfind('\n') {
        Some(last) => {
            (line + memchr::memchr_iter(b'\n', text.as_bytes()).count(), text[last + 1..].chars().count() + 1)
        }
        None => (line, column + text.chars().count()),
    }
}

/// A span without blanks and comments at its ends.
fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let part = text.get(span.clone()).unwrap_or_default();
    let mut ends = signs(part).filter(|(_, sign)| !sign.is_ascii_whitespace()).map(|(at, _)| at);
    let Some(first) = ends.next() else { return span.start..span.start };
    let last = ends.last().unwrap_or(first);
    let end = part.ceil_char_boundary(last + 1);
    span.start + first..span.start + end
}

/// The bytes of a policy that are neither in a comment nor within a string; of a string its quotation marks.
fn signs(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let bytes = text.as_bytes();
    let (mut at, mut in_string) = (0, false);
    std::iter::from_fn(move || {
        loop {
            let byte = *bytes.get(at)?;
            let here = at;
            at += 1;
            if in_string {
                match byte {
                    b'\\' => at += 1,
                    b'"' => {
                        in_string = false;
                        return Some((here, byte));
                    }
                    _ => {}
                }
            } else if byte == b'/' && bytes.get(at) == Some(&b'/') {
                at += memchr::memchr(b'\n', &bytes[at..]).unwrap_or(bytes.len() - at);
            } else {
                in_string = byte == b'"';
                return Some((here, byte));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_scope_are_found() {
        for (text, expected) in [
            ("permit(principal,action,resource);", ["principal", "action", "resource"]),
            (
                "@id(\"a, (permit\")\n@b forbid // (x, y)\n ( principal is User in T::\"a,)\\\"\", // one, two\n action in [A::\"x\", A::\"y\"] ,\nresource in ?resource /**/ ) when { f(1, 2) };",
                ["principal is User in T::\"a,)\\\"\"", "action in [A::\"x\", A::\"y\"]", "resource in ?resource /**/"],
            ),
            (
                "permit (\n  principal == ?principal,\n  action, // all\n  resource,\n) unless { true };",
                ["principal == ?principal", "action", "resource"],
            ),
        ] {
            let source = Source { text, start: Some((3, 5)) };
            let spans = source.scope().unwrap();
            assert_eq!(spans.clone().map(|span| &text[span]), expected);
        }
        assert_eq!(Source { text: "{\"effect\": \"permit\"}", start: None }.scope(), None);
    }

    #[test]
    fn places_count_characters_from_the_start_of_the_file() {
        let text = "ab\ncdé fg\nh";
        let source = Source { text, start: Some((3, 5)) };
        let at = |span: Range<usize>| source.place(&span).map(|p| (p.line, p.column, p.end_line, p.end_column));
        assert_eq!(at(0..2), Some((3, 5, 3, 7)));
        assert_eq!(at(3..7), Some((4, 1, 4, 4)));
        assert_eq!(at(8..12), Some((4, 5, 5, 2)));
    }
}
