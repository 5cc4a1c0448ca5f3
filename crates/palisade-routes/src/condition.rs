//! When a rule applies: `body.id present`, `query.mode is fast or slow`.
//!
//! Two rules for the same method and path must exclude one another, and it must be plain to see that they
//! do. So there are few forms, and no "otherwise".

use std::collections::BTreeSet;
use std::fmt;

use crate::refusal::Refusal;
use crate::source::{Found, Inputs, Source};
use palisade_engine::model::{Uid, Value};

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it looks at.
    pub source: Source,
    /// What it wants to see.
    pub test: Test,
}

/// What a condition wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// There is a value.
    Present,
    /// There is none, or `null`.
    Absent,
    /// It is named, `null` counting too: to set a field to `null` is a change of it.
    Given,
    /// It is a list without elements: all that was in it is taken away, and there is nothing for `each` to go over.
    Empty,
    /// There is a value, and it is no list without elements.
    NotEmpty,
    /// The value is one of these.
    Is(BTreeSet<String>),
    /// It is named, and its value is not one of these.
    IsNot(BTreeSet<String>),
    /// It is named, and its value is another than the id that the resource's attribute refers to.
    Differs(String),
}

impl Condition {
    /// Reads one condition.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = || {
            format!(
                "`{text}` is not a condition; write `body.id present`, `body.id absent`, `body.id given`, \
                 `body.ids empty`, `body.ids not empty`, `query.kind is a or b`, `query.kind is not a or b`, or in `also`, \
                 `body.owner differs from resource.owner`"
            )
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (source, rest) = words.split_first().ok_or_else(shape)?;
        let source = Source::parse(source)?;
        let test = match rest {
            ["present"] => Test::Present,
            ["absent"] => Test::Absent,
            ["given"] => Test::Given,
            ["empty"] => Test::Empty,
            ["not", "empty"] => Test::NotEmpty,
            ["differs", "from", other] => {
                let attribute = other.strip_prefix("resource.").filter(|name| !name.is_empty()).ok_or_else(shape)?;
                Test::Differs(attribute.to_owned())
            }
            ["is", "not", values @ ..] if !values.is_empty() => Test::IsNot(words_of(values).ok_or_else(shape)?),
            ["is", values @ ..] => Test::Is(words_of(values).ok_or_else(shape)?),
            _ => return Err(shape()),
        };
        Ok(Self { source, test })
    }

    /// Whether it holds.
    pub(super) fn holds(&self, from: &Inputs<'_, '_>, resource: Option<&Uid<'_>>) -> Result<bool, Refusal> {
        Ok(match &self.test {
            Test::Present => self.source.read(from)?.is_some(),
            Test::Absent => self.source.read(from)?.is_none(),
            Test::Given => self.source.given(from)?,
            Test::Empty => self.source.read(from)?.is_some_and(|found| is_empty(&found)),
            Test::NotEmpty => self.source.read(from)?.is_some_and(|found| !is_empty(&found)),
            Test::Is(values) => self.source.word(from)?.is_some_and(|value| values.contains(value.as_ref())),
            Test::IsNot(values) => match self.source.word(from)? {
                None => self.source.given(from)?,
                Some(value) => !values.contains(value.as_ref()),
            },
            Test::Differs(attribute) => match self.source.text(from)? {
                // `null` is another than everything that is stored
                None => self.source.given(from)?,
                Some(value) => {
                    let stored = resource
                        .zip(from.entities)
                        .and_then(|(resource, entities)| entities.reference(resource, attribute));
                    // what is not known to be the same counts as different
                    stored.is_none_or(|stored| stored.id != value)
                }
            },
        })
    }

    /// Whether it is false, and nothing else, for a request without a query and without a body.
    pub(super) fn needs_a_query(&self) -> bool {
        matches!(self.source, Source::Query(_)) && !matches!(self.test, Test::Absent | Test::Differs(_))
    }

    /// Whether no request fulfils both.
    fn excludes(&self, other: &Self) -> bool {
        let nothing_inside = |outer: &Self, inner: &Self| {
            let (Source::Body(above), Source::Body(below)) = (&outer.source, &inner.source) else { return false };
            let needs = matches!(inner.test, Test::Present | Test::Empty | Test::NotEmpty | Test::Is(_));
            outer.test == Test::Absent && needs && below.starts_with(above)
        };
        nothing_inside(self, other)
            || nothing_inside(other, self)
            || self.source == other.source
                && match (&self.test, &other.test) {
                    (Test::Absent, Test::Present | Test::Empty | Test::NotEmpty | Test::Is(_))
                    | (Test::Present | Test::Empty | Test::NotEmpty | Test::Is(_), Test::Absent)
                    | (Test::Empty, Test::NotEmpty)
                    | (Test::NotEmpty, Test::Empty) => true,
                    (Test::Is(a), Test::Is(b)) => a.is_disjoint(b),
                    (Test::Is(a), Test::IsNot(b)) | (Test::IsNot(b), Test::Is(a)) => a.is_subset(b),
                    _ => false,
                }
    }
}

fn is_empty(found: &Found<'_>) -> bool {
    matches!(found, Found::Json(Value::Array(elements)) if elements.is_empty())
}

/// The words of `a or b or c`.
fn words_of(words: &[&str]) -> Option<BTreeSet<String>> {
    let shape = words.len() % 2 == 1 && words.iter().skip(1).step_by(2).all(|word| *word == "or");
    shape.then(|| words.iter().step_by(2).map(|word| (*word).to_owned()).collect())
}

/// Whether it is plain that no request fulfils all of `a` and all of `b`.
#[must_use]
pub(crate) fn exclude(a: &[Condition], b: &[Condition]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.excludes(other)))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Present => write!(f, "{} present", self.source),
            Test::Absent => write!(f, "{} absent", self.source),
            Test::Given => write!(f, "{} given", self.source),
            Test::Empty => write!(f, "{} empty", self.source),
            Test::NotEmpty => write!(f, "{} not empty", self.source),
            Test::Is(values) | Test::IsNot(values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                let is = if matches!(self.test, Test::Is(_)) { "is" } else { "is not" };
                write!(f, "{} {is} {}", self.source, values.join(" or "))
            }
            Test::Differs(attribute) => write!(f, "{} differs from resource.{attribute}", self.source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| Condition::parse(text).unwrap()).collect()
    }

    #[test]
    fn conditions_read_as_they_are_written() {
        for text in [
            "body.id present",
            "query.a absent",
            "path.kind is device",
            "body.kind is a or b",
            "body.kind is not a or b",
            "body.kind is not",
            "body.id given",
            "body.ids empty",
            "body.ids not empty",
            "body.company_id differs from resource.customer",
        ] {
            assert_eq!(Condition::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "body.id", "body.id exists", "body.id is", "body.id is a b", "body.id is not a b", "id present"]
        {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_excludes_what() {
        for (a, b, expected) in [
            (&["body.id present"][..], &["body.id absent"][..], true),
            (&["body.id present"], &["body.no absent"], false),
            (&["body.id present"], &["body.id present"], false),
            (&["body.id is a"], &["body.id is b or c"], true),
            (&["body.id is a or b"], &["body.id is b or c"], false),
            (&["body.id is a"], &["body.id absent"], true),
            (&["body.id is a"], &["body.id present"], false),
            (&["body.id is a"], &["body.id is not a or b"], true),
            (&["body.id is a or c"], &["body.id is not a or b"], false),
            (&["body.id absent"], &["body.id is not a"], false),
            // `null` is both
            (&["body.id absent"], &["body.id given"], false),
            (&["body.id absent"], &["body.id.kind given"], false),
            (&["body.x present", "body.id present"], &["body.id absent"], true),
            (&["body.ids empty"], &["body.ids not empty"], true),
            (&["body.ids empty"], &["body.ids absent"], true),
            (&["body.ids not empty"], &["body.ids absent"], true),
            // a list without elements is a value
            (&["body.ids empty"], &["body.ids present"], false),
            (&["body.ids empty"], &["body.ids given"], false),
            (&["body.id absent"], &["body.id.list empty"], true),
            (&["body.id absent"], &["body.id.kind is a"], true),
            (&["body.id absent"], &["body.id.kind present"], true),
            (&["body.id present"], &["body.id.kind absent"], false),
            (&["body.id absent"], &["body.idx.kind present"], false),
            (&[], &["body.id absent"], false),
        ] {
            assert_eq!(exclude(&list(a), &list(b)), expected, "{a:?} {b:?}");
            assert_eq!(exclude(&list(b), &list(a)), expected, "{b:?} {a:?}");
        }
    }
}
