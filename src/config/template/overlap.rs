//! Whether two templates can make one entity.
//!
//! Both are read as machines that take an id letter by letter, and walked together. Letters that neither template writes
//! are all alike, so one stands for them.

use std::collections::{BTreeSet, VecDeque};

use super::{Part, UidTemplate};

/// Steps after which two templates count as overlapping, because they are too long to compare.
const MOST_STATES: usize = 20_000;

/// Whether two templates can make one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum Overlap {
    /// Never.
    No,
    /// This one.
    Id(String),
    /// They are too long to compare.
    Unknown,
}

/// How far a template has come with an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    part: usize,
    /// Letters of a text, or 1 in a blank that has some.
    at: usize,
    /// The end of the blank's value that may be the beginning of a text which the value must not hold.
    tail: String,
}

impl State {
    fn before(part: usize) -> Self {
        Self { part, at: 0, tail: String::new() }
    }
}

impl UidTemplate {
    /// Whether some values make one entity of both.
    pub(in crate::config) fn overlap(&self, other: &Self) -> Overlap {
        if self.type_name != other.type_name {
            return Overlap::No;
        }
        let mut letters: BTreeSet<char> = self.texts().chain(other.texts()).flat_map(str::chars).collect();
        letters.extend(('a'..='z').chain('\u{4e00}'..).find(|letter| !letters.contains(letter)));
        let first = (State::before(0), State::before(0));
        let mut seen = BTreeSet::from([first.clone()]);
        let mut todo = VecDeque::from([(first, String::new())]);
        while let Some(((one, two), id)) = todo.pop_front() {
            if self.ends(&one) && other.ends(&two) {
                return Overlap::Id(id);
            }
            if seen.len() > MOST_STATES {
                return Overlap::Unknown;
            }
            for letter in &letters {
                let twos = other.step(&two, *letter);
                for one in self.step(&one, *letter) {
                    for two in &twos {
                        let pair = (one.clone(), two.clone());
                        if seen.insert(pair.clone()) {
                            todo.push_back((pair, format!("{id}{letter}")));
                        }
                    }
                }
            }
        }
        Overlap::No
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
    }

    fn ends(&self, state: &State) -> bool {
        state.part == self.parts.len() || (state.part + 1 == self.parts.len() && self.leaves(state))
    }

    /// Whether it is in a blank that may end here.
    fn leaves(&self, state: &State) -> bool {
        matches!(self.parts.get(state.part), Some(Part::Blank(_))) && state.at > 0
    }

    fn step(&self, state: &State, letter: char) -> Vec<State> {
        let mut next = Vec::new();
        if self.leaves(state) {
            next.extend(self.step(&State::before(state.part + 1), letter));
        }
        match self.parts.get(state.part) {
            Some(Part::Text(text)) if text.chars().nth(state.at) == Some(letter) => {
                let whole = text.chars().count() == state.at + 1;
                next.push(if whole {
                    State::before(state.part + 1)
                } else {
                    State { at: state.at + 1, ..state.clone() }
                });
            }
            Some(Part::Blank(_)) => {
                next.extend(self.tail(&state.tail, letter).map(|tail| State { part: state.part, at: 1, tail }))
            }
            _ => {}
        }
        next
    }

    /// The tail of a value that goes on with `letter`; `None` if it would hold one of the texts.
    fn tail(&self, tail: &str, letter: char) -> Option<String> {
        // as in `fill`, a lone blank takes any text
        if self.blanks().nth(1).is_none() {
            return Some(String::new());
        }
        let value = format!("{tail}{letter}");
        if self.texts().any(|text| value.ends_with(text)) {
            return None;
        }
        let mut ends = value.char_indices().map(|(at, _)| &value[at..]);
        Some(ends.find(|end| self.texts().any(|text| text.starts_with(*end))).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_overlap_where_some_values_make_one_id_of_both() {
        for (one, other, expected) in [
            (r#"U::"{sub}""#, r#"U::"{tenant}/{sub}""#, Some("a/a")),
            (r#"U::"{sub}""#, r#"V::"{sub}""#, None),
            (r#"U::"{sub}""#, r#"U::"{email}""#, Some("a")),
            (r#"U::"a-{sub}""#, r#"U::"b-{sub}""#, None),
            (r#"U::"a-{sub}""#, r#"U::"a{sub}""#, Some("a-b")),
            (r#"U::"a{sub}""#, r#"U::"aa{sub}""#, Some("aab")),
            (r#"U::"{sub}@x""#, r#"U::"{sub}@y""#, None),
            (r#"U::"{sub}@x""#, r#"U::"x:{sub}""#, Some("x:@x")),
            (r#"U::"{a}/{b}""#, r#"U::"{a}/{b}/{c}""#, None),
            (r#"U::"{a}/{b}""#, r#"U::"{a}:{b}""#, Some("a/:a")),
            (r#"U::"{a}::{b}""#, r#"U::"{a}:::{b}""#, Some("a:::a")),
            (r#"U::"{a}x{b}""#, r#"U::"{a}xx{b}""#, None),
            (r#"U::"{a}/{b}""#, r#"U::"x{b}""#, Some("x/a")),
            (r#"U::"{a}/{b}""#, r#"U::"x/{b}""#, Some("x/a")),
            (r#"U::"é{a}""#, r#"U::"e{a}""#, None),
        ] {
            let template = |text| UidTemplate::parse(text).unwrap();
            let same_length = |found: Overlap| match found {
                Overlap::Id(id) => Some(id.len()),
                Overlap::No => None,
                Overlap::Unknown => panic!("{one} {other}"),
            };
            let expected = expected.map(str::len);
            assert_eq!(same_length(template(one).overlap(&template(other))), expected, "{one} {other}");
            assert_eq!(same_length(template(other).overlap(&template(one))), expected, "{other} {one}");
        }
        let long = |letters| UidTemplate::parse(&format!("U::\"{{a}}{}{{b}}\"", "x".repeat(letters))).unwrap();
        assert_eq!(long(400).overlap(&long(401)), Overlap::Unknown);
    }
}
