//! What the text of a capture must be: the part of JSON Schema that a segment of a path can hold.
//!
//! A segment is a text, and a schema is about values. So a text is taken if one of the values that it can be read
//! as satisfies the schema: the text itself, a number, or a truth value. Of the several writings that a number has
//! only the plain one is read (`7`, not `+7`, `07`, `7.0` or `7e0`): two writings would be two entities to a policy
//! and one to the service.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::pattern::Form;
use crate::values;

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Anything.
    Any,
    /// One of these types.
    Types(Types),
    /// One of these values.
    Words(Words),
    /// A text of so many characters, or what is no text.
    Length(usize, usize),
    /// A number within these bounds, or what is no number.
    Range(Bound, Bound),
    /// A whole multiple, or what is no number.
    Multiple(i128),
    /// A number of single precision in its shortest writing, or what is no number.
    Single,
    /// A text of a format, or what is no text.
    Format(Format),
    /// All of these.
    AllOf(Vec<Arc<Shape>>),
    /// One of these at least.
    AnyOf(Vec<Arc<Shape>>),
    /// One of these and no other.
    OneOf(Vec<Arc<Shape>>),
}

/// Types that a segment can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Types {
    /// A text.
    pub text: bool,
    /// Any number.
    pub number: bool,
    /// A whole number.
    pub integer: bool,
    /// A truth value.
    pub boolean: bool,
    /// Whether whole numbers count to the last of their digits, as `int64` says, even where some readers round.
    pub wide: bool,
}

/// Listed values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Words {
    /// Texts.
    pub texts: BTreeSet<String>,
    /// Numbers and truth values, as a segment has them.
    pub others: BTreeSet<String>,
}

/// A bound of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// There is none.
    None,
    /// This number is the last that is in.
    Within(Number),
    /// This number is the first that is out.
    Without(Number),
}

/// A number, exact if it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Whole.
    Whole(i128),
    /// Of a decimal fraction.
    Real(f64),
}

/// A format of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `uuid`
    Uuid,
    /// `date`: `2026-11-27`
    Date,
    /// `date-time`, as RFC 3339 writes it, in UTC and as short as it can be, down to milliseconds.
    DateTime,
    /// `ipv4`
    Ipv4,
    /// `ipv6`
    Ipv6,
    /// `int32` or `int64` of a text: a number within these bounds.
    Whole(i64, i64),
}

/// A value that a text can be read as.
#[derive(Clone, Copy)]
enum Read<'t> {
    Text(&'t str),
    Number(&'t str, Number),
    Bool(&'t str),
}

impl Shape {
    /// Whether a segment is what it must be.
    #[must_use]
    pub fn takes(&self, text: &str) -> bool {
        if self.holds(Read::Text(text)) {
            return true;
        }
        match text {
            "true" | "false" => self.holds(Read::Bool(text)),
            _ => Number::plain(text).is_some_and(|number| self.holds(Read::Number(text, number))),
        }
    }

    fn holds(&self, value: Read<'_>) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::Types(types), Read::Text(_)) => types.text,
            (Self::Types(types), Read::Bool(_)) => types.boolean,
            (Self::Types(types), Read::Number(_, number)) => {
                (types.wide || number.is_exact())
                    && (types.number || (types.integer && matches!(number, Number::Whole(_))))
            }
            (Self::Words(words), Read::Text(text)) => words.texts.contains(text),
            (Self::Words(words), Read::Number(text, _) | Read::Bool(text)) => words.others.contains(text),
            (Self::Length(least, most), Read::Text(text)) => {
                (*least..=*most).contains(&text.chars().take(most.saturating_add(1)).count())
            }
            (Self::Range(least, most), Read::Number(_, number)) => {
                least.below(number, std::cmp::Ordering::Greater) && most.below(number, std::cmp::Ordering::Less)
            }
            (Self::Multiple(of), Read::Number(_, number)) => {
                matches!(number, Number::Whole(number) if number.checked_rem(*of) == Some(0))
            }
            // digits that single precision does not keep make another id of the same number
            (Self::Single, Read::Number(text, _)) => text.parse().is_ok_and(|real: f32| real.to_string() == text),
            (Self::Format(format), Read::Text(text)) => format.takes(text),
            (Self::Length(..) | Self::Format(_), _) | (Self::Range(..) | Self::Multiple(_) | Self::Single, _) => true,
            (Self::AllOf(shapes), value) => shapes.iter().all(|shape| shape.holds(value)),
            (Self::AnyOf(shapes), value) => shapes.iter().any(|shape| shape.holds(value)),
            (Self::OneOf(shapes), value) => shapes.iter().filter(|shape| shape.holds(value)).take(2).count() == 1,
        }
    }

    /// Whether it takes every text.
    #[must_use]
    pub fn is_any(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Types(types) => types.text,
            Self::AllOf(shapes) => shapes.iter().all(|shape| shape.is_any()),
            Self::AnyOf(shapes) => shapes.iter().any(|shape| shape.is_any()),
            _ => false,
        }
    }
}

impl Number {
    /// Reads the plain writing of a number, of which each has one.
    fn plain(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let plain = all_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(|fraction| all_digits(fraction) && !fraction.ends_with('0'))
            && text != "-0"
            && text.len() <= 36;
        match fraction {
            _ if !plain => None,
            None => text.parse().ok().map(Self::Whole),
            // digits that no service keeps make another id of the same number
            Some(_) => text.parse().ok().filter(|real: &f64| real.to_string() == text).map(Self::Real),
        }
    }

    /// Whether every reader distinguishes it from its neighbours.
    fn is_exact(self) -> bool {
        let largest = i128::from(values::LARGEST);
        match self {
            Self::Whole(number) => (-largest..=largest).contains(&number),
            // the writing is the shortest, as `plain` holds it to
            Self::Real(_) => true,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "only against a fraction, which the service reads so too")]
    fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Whole(a), Self::Real(b)) => (a as f64).partial_cmp(&b),
            (Self::Real(a), Self::Whole(b)) => a.partial_cmp(&(b as f64)),
            (Self::Real(a), Self::Real(b)) => a.partial_cmp(&b),
        }
    }
}

impl Bound {
    /// Whether `number` stands on the side of the bound that is in.
    fn below(self, number: Number, side: std::cmp::Ordering) -> bool {
        match self {
            Self::None => true,
            Self::Within(bound) => number.compare(bound).is_some_and(|found| found == side || found.is_eq()),
            Self::Without(bound) => number.compare(bound) == Some(side),
        }
    }
}

impl Format {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Uuid => Form::Uuid.takes(text),
            Self::Date => is_date(text),
            Self::DateTime => is_date_time(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            // an address has many writings
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == text),
            Self::Whole(least, most) => match Number::plain(text) {
                Some(Number::Whole(number)) => (i128::from(least)..=i128::from(most)).contains(&number),
                _ => false,
            },
        }
    }
}

/// So many digits, as a number.
fn digits(text: &str, count: usize) -> Option<u32> {
    let fits = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut next = |count| parts.next().and_then(|part| digits(part, count));
    let (Some(year), Some(month), Some(day)) = (next(4), next(2), next(2)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

fn is_date_time(text: &str) -> bool {
    // the same time with an offset, in small letters or with zeros at the end would be another id to a policy
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some(time) = time.strip_suffix('Z') else { return false };
    let clock = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        Some(digits(hour, 2)? < 24 && digits(minute, 2)? < 60)
    };
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, rest)| (time, Some(rest)));
    // JavaScript keeps three digits
    let fraction = fraction.is_none_or(|rest| {
        (1..=3).contains(&rest.len()) && !rest.ends_with('0') && rest.bytes().all(|b| b.is_ascii_digit())
    });
    // a second 60 is the next minute's first to some readers, and the one before to others
    let time = time
        .rsplit_once(':')
        .is_some_and(|(rest, second)| clock(rest) == Some(true) && digits(second, 2).is_some_and(|second| second < 60));
    is_date(date) && time && fraction
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |f: &mut fmt::Formatter<'_>, shapes: &[Arc<Self>], between: &str| {
            for (at, shape) in shapes.iter().enumerate() {
                if at > 0 {
                    f.write_str(between)?;
                }
                shape.fmt(f)?;
            }
            Ok(())
        };
        match self {
            Self::Any => f.write_str("anything"),
            Self::Types(types) => types.fmt(f),
            Self::Words(words) => {
                for (at, word) in words.texts.iter().chain(&words.others).enumerate() {
                    match at {
                        0 => write!(f, "`{word}`")?,
                        1..MAX_SHOWN => write!(f, " or `{word}`")?,
                        _ => return f.write_str(" or another of its words"),
                    }
                }
                Ok(())
            }
            Self::Length(least, usize::MAX) => write!(f, "{least} characters or more"),
            Self::Length(least, most) => write!(f, "{least} to {most} characters"),
            Self::Range(least, most) => {
                match least {
                    Bound::None => {}
                    Bound::Within(number) => write!(f, "at least {number}")?,
                    Bound::Without(number) => write!(f, "more than {number}")?,
                }
                if !matches!((least, most), (Bound::None, _) | (_, Bound::None)) {
                    f.write_str(" and ")?;
                }
                match most {
                    Bound::None => Ok(()),
                    Bound::Within(number) => write!(f, "at most {number}"),
                    Bound::Without(number) => write!(f, "less than {number}"),
                }
            }
            Self::Multiple(of) => write!(f, "a multiple of {of}"),
            Self::Single => f.write_str("of single precision"),
            Self::Format(format) => f.write_str(match format {
                Format::Uuid => "a UUID",
                Format::Date => "a date",
                Format::DateTime => "a date with a time",
                Format::Ipv4 => "an IPv4 address",
                Format::Ipv6 => "an IPv6 address",
                Format::Whole(..) => "a whole number",
            }),
            Self::AllOf(shapes) => listed(f, shapes, ", "),
            Self::AnyOf(shapes) => listed(f, shapes, "; or "),
            Self::OneOf(shapes) => {
                f.write_str("just one of: ")?;
                listed(f, shapes, "; or ")
            }
        }
    }
}

/// How many words are shown.
const MAX_SHOWN: usize = 8;

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.text, "a text"),
            (self.number, "a number"),
            (self.integer && !self.number, "a whole number"),
            (self.boolean, "true or false"),
        ];
        let names: Vec<&str> = names.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        f.write_str(&names.join(" or "))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_they_say() {
        for (format, good, bad) in [
            (
                Format::Date,
                &["2024-02-29", "1999-12-31"][..],
                &["2023-02-29", "2024-13-01", "2024-1-01", "24-01-01", "2024-04-31", "2024-01-01x"][..],
            ),
            (
                Format::DateTime,
                &["2024-02-29T00:00:00Z", "2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59.123Z"],
                &[
                    "2024-02-29",
                    "2024-02-29T00:00Z",
                    "2024-02-29T24:00:00Z",
                    "2024-02-29T00:00:00",
                    "2024-02-29T00:00:00.Z",
                    "2024-02-29T00:00:00+2",
                    "+024-02-29T00:00:00Z",
                    "2024-02-29t00:00:00Z",
                    "2024-02-29T00:00:00z",
                    "2024-02-29T00:00:00.0Z",
                    "2024-02-29T23:59:60Z",
                    "2016-12-31T23:59:60Z",
                    "2024-02-29T23:59:60.5Z",
                    "2024-02-29T00:00:00.1234Z",
                    "2024-02-29T00:00:00.000001Z",
                    "2024-02-29T00:00:00.50Z",
                    "2024-02-29T02:00:00+02:00",
                    "2024-02-29T00:00:00+00:00",
                ],
            ),
            (Format::Ipv4, &["10.0.0.1"], &["10.0.0", "010.0.0.1", "::1", "10.0.0.256"]),
            (
                Format::Ipv6,
                &["::1", "2001:db8::1"],
                &["0:0:0:0:0:0:0:1", "::0001", "2001:DB8::1", "10.0.0.1", ":::", "::1%eth0", "[::1]"],
            ),
            (Format::Whole(-3, 3), &["-3", "0", "3"], &["4", "-4", "03", "+3", "1.5", ""]),
        ] {
            for text in good {
                assert!(Shape::Format(format).takes(text), "{format:?} {text}");
            }
            for text in bad {
                let typed = Shape::AllOf(vec![Arc::new(Shape::Types(TEXT)), Arc::new(Shape::Format(format))]);
                assert!(!typed.takes(text), "{format:?} {text}");
            }
        }
    }

    const TEXT: Types = Types { text: true, number: false, integer: false, boolean: false, wide: false };

    #[test]
    fn a_number_has_one_writing() {
        for text in ["0", "7", "-7", "1.5", "-0.25", "12345678901234567890"] {
            assert!(Number::plain(text).is_some(), "{text}");
        }
        for text in [
            "",
            "-",
            "-0",
            "+7",
            "07",
            "7.0",
            "7.",
            ".5",
            "1e3",
            "0x7",
            "٧",
            "1_000",
            "7 ",
            "NaN",
            "inf",
            "1.5.5",
            "0.10000000000000000001",
        ] {
            assert!(Number::plain(text).is_none(), "{text}");
        }
        assert!(Number::plain(&"9".repeat(60)).is_none());
    }
}
