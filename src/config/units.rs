//! Sizes and durations as people write them: `64MiB`, `10kB`, `250ms`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) u64);

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// Longer times are slips of the pen, and far ones overflow the clock's arithmetic.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const KIB: u64 = 1024;

const UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", KIB),
    ("mib", KIB * KIB),
    ("gib", KIB * KIB * KIB),
    // as Kubernetes writes them
    ("ki", KIB),
    ("mi", KIB * KIB),
    ("gi", KIB * KIB * KIB),
];

impl ByteSize {
    pub(super) const fn kib(n: u64) -> Self {
        Self(n * KIB)
    }

    pub(super) const fn mib(n: u64) -> Self {
        Self(n * KIB * KIB)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a size: write a whole number of bytes or with a unit, such as `64MiB` or `10kB`")
        };
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let unit = unit.trim_start().to_ascii_lowercase();
        let factor = match unit.as_str() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?,
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("`{text}` is beyond 64 bits"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", KIB * KIB * KIB), ("MiB", KIB * KIB), ("KiB", KIB)] {
            if self.0 > 0 && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Span {
    pub(super) const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    pub(super) const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
            return if trimmed.bytes().all(|b| b == b'0') { Ok(Self::seconds(0)) } else { Err(lacks_unit(trimmed)) };
        }
        let duration = humantime::parse_duration(trimmed).map_err(|_| {
            format!("`{text}` is not a duration: write a number with a unit, such as `250ms`, `10s` or `1m 30s`")
        })?;
        if duration > LONGEST {
            return Err(format!("`{text}` is too long: at most `{}`", humantime::format_duration(LONGEST)));
        }
        Ok(Self(duration))
    }
}

fn lacks_unit(number: impl fmt::Display) -> String {
    format!("`{number}` lacks a unit: write `{number}s` or `{number}ms`")
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<ByteSize, E> {
                ByteSize::parse(value).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Span, E> {
                if value == 0 { Ok(Span::seconds(0)) } else { Err(E::custom(lacks_unit(value))) }
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Span, E> {
                Span::parse(value).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^\\s*[0-9]+\\s*([kKmMgG]?[bB]|[kKmMgG][iI][bB]?)?\\s*$",
        })
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // no pattern for the words: humantime knows many units
        json_schema!({ "type": ["integer", "string"], "minimum": 0, "maximum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("10kB", 10_000),
            ("64MiB", 64 << 20),
            ("64Mi", 64 << 20),
            ("1 GiB", 1 << 30),
            ("3gb", 3_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "64M", "64 potatoes", "99999999999GiB", "18446744073709551616"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
        for size in [ByteSize(0), ByteSize(10_000), ByteSize::mib(64), ByteSize::kib(16), ByteSize(u64::MAX)] {
            assert_eq!(ByteSize::parse(&size.to_string()), Ok(size));
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("0", 0), ("0s", 0), ("250ms", 250), ("10s", 10_000), ("1m 30s", 90_000), ("1day", 86_400_000)]
        {
            assert_eq!(Span::parse(text), Ok(Span::millis(millis)), "{text}");
        }
        for text in ["", "10", "ten seconds", "-1s", "1year", "2days"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert_eq!(Span::parse("10"), Err("`10` lacks a unit: write `10s` or `10ms`".to_owned()));
    }
}
