//! JSON as requests carry it: borrowed from the body, with duplicate keys refused at every level.
//!
//! Cedar's own reader takes the last of two equal keys, silently, so a request could show one value
//! to a filter before the sidecar and another to the policies. Here such a request is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What some editors write before a text. It says nothing.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The text behind a byte order mark.
#[must_use]
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// A JSON value. Object members keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`, which no Cedar value corresponds to.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits Cedar's `Long`.
    Long(i64),
    /// Any other number: a fraction, an exponent, or one beyond 64 bits. No Cedar value corresponds to it.
    Number(f64),
    /// A string.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object; no two members have the same key.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// What a reader of JSON says, in words of people. Its places are left as they are.
#[must_use]
pub fn in_words(message: &str) -> String {
    let words = [
        ("EOF while parsing an object", "the text ends within an object: is a `}` missing?"),
        ("EOF while parsing a list", "the text ends within a list: is a `]` missing?"),
        ("EOF while parsing a string", "the text ends within a string: is a `\"` missing?"),
        ("EOF while parsing a value", "the text ends where a value is expected"),
        ("trailing characters", "there is more text behind the end of the value"),
        (
            "expected value",
            "expected a value: a string in double quotes, a number, `true`, `false`, `null`, `{` or `[`",
        ),
        ("expected ident", "expected `true`, `false` or `null`"),
        ("recursion limit exceeded", "nested too deeply"),
    ];
    let found = words.into_iter().find_map(|(said, ours)| Some(format!("{ours}{}", message.strip_prefix(said)?)));
    found.unwrap_or_else(|| message.to_owned())
}

impl<'a> Value<'a> {
    /// An object without members.
    #[must_use]
    pub const fn empty_object() -> Self {
        Self::Object(Vec::new())
    }

    /// Reads one JSON document and nothing after it.
    ///
    /// # Errors
    /// If it is not JSON, is nested deeper than 127 levels, or has an object with two equal keys.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, serde_json::Error> {
        match std::str::from_utf8(bytes) {
            // checked once, not string by string
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(bytes),
        }
    }

    /// What the value is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Long(_) => "a number",
            Self::Number(_) => "a number that is not a 64-bit whole number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The member `key` of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Value<'a>)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Bytes that the value takes in memory once it owns its text, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Bool(_) | Self::Long(_) | Self::Number(_) => 0,
                Self::String(text) => text.len(),
                Self::Array(elements) => elements.iter().map(Self::weight).sum(),
                Self::Object(members) => {
                    members.iter().map(|(key, value)| size_of_val(key) + key.len() + value.weight()).sum()
                }
            }
    }

    /// The same value, owning its text.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Long(n) => Value::Long(n),
            Self::Number(n) => Value::Number(n),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Array(elements) => Value::Array(elements.into_iter().map(Value::into_owned).collect()),
            Self::Object(members) => Value::Object(
                members.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect(),
            ),
        }
    }

    /// The value as `serde_json` has it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Long(n) => (*n).into(),
            Self::Number(n) => (*n).into(),
            Self::String(text) => text.as_ref().into(),
            Self::Array(elements) => elements.iter().map(Value::to_json).collect(),
            Self::Object(members) => {
                serde_json::Value::Object(members.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect())
            }
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Long(n) => serializer.serialize_i64(*n),
            Self::Number(n) => serializer.serialize_f64(*n),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key.as_ref(), value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // covariant: what borrows for longer may stand for what borrows for less
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Value::Long(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        // beyond i64 the number has no Cedar counterpart; which one it was matters only to a message
        Ok(i64::try_from(v).map_or(Value::Number(v as f64), Value::Long))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(Value::Number(v))
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Owned(v.to_owned())))
    }

    fn visit_string<E>(self, v: String) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Owned(v)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        if elements.len() == 1 {
            // there is room for four: arrays within arrays would take four times as much
            elements.shrink_to_fit();
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        // small objects are searched, large ones remember their keys: never quadratic in what a client sends
        let mut seen: Option<std::collections::HashSet<Cow<'de, str>>> = None;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let known = match &mut seen {
                Some(seen) => !seen.insert(key.clone()),
                None => members.iter().any(|(k, _)| *k == key),
            };
            if known {
                return Err(duplicate(&key));
            }
            members.push((key, map.next_value()?));
            if members.len() == FEW && seen.is_none() {
                seen = Some(members.iter().map(|(k, _)| k.clone()).collect());
            }
        }
        if members.len() == 1 {
            members.shrink_to_fit();
        }
        Ok(Value::Object(members))
    }
}

/// How many keys of an object are compared one by one.
pub(super) const FEW: usize = 16;

/// The error for a second member of the same key.
pub(super) fn duplicate<E: serde::de::Error>(key: &str) -> E {
    E::custom(format_args!("duplicate key `{}`", key.escape_debug()))
}

/// Reads an object key without copying it where it has no escapes.
pub(super) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(v.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        for text in [
            "null",
            "true",
            "-9223372036854775808",
            "9223372036854775807",
            r#""a\"b\u0000""#,
            "[]",
            r#"{"a":[1,{"b":"c"}],"d":{}}"#,
        ] {
            let value = Value::parse(text.as_bytes()).unwrap();
            let written = serde_json::to_string(&value).unwrap();
            assert_eq!(Value::parse(written.as_bytes()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn numbers_that_cedar_lacks_are_kept_apart() {
        for text in ["1.0", "1e3", "9223372036854775808", "-9223372036854775809", "-0"] {
            assert!(matches!(Value::parse(text.as_bytes()), Ok(Value::Number(_))), "{text}");
        }
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_level_and_size() {
        let wide = |last: &str| {
            let members: Vec<String> = (0..40).map(|i| format!("\"k{i}\":0")).collect();
            format!("{{{},\"{last}\":1}}", members.join(","))
        };
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#, r#"[[{"b":{"":1,"":2}}]]"#, &wide("k3"), &wide("k39")]
        {
            let error = Value::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("duplicate key"), "{error}");
        }
        assert!(Value::parse(wide("k40").as_bytes()).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        for (depth, fine) in [(126, true), (127, true), (128, false), (100_000, false)] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(Value::parse(text.as_bytes()).is_ok(), fine, "{depth}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let cases: &[&[u8]] = &[
            b"",
            b" ",
            b"{",
            b"{\"a\":1",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"\"\xff\"",
            br#""\ud800""#,
            br#"{"\udc00":1}"#,
            b"{a:1}",
            b"[1,]",
            b"NaN",
            b"01",
        ];
        for bytes in cases {
            assert!(Value::parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
