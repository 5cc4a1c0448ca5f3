//! JSON that has been read whole, and is made values a part at a time.
//!
//! A tree of values takes up to some thirty times the bytes of its text. Where a body holds many requests,
//! [`Text::check`] reads all of it without making values, so that whatever is wrong anywhere is found before the first
//! is decided, in the words and at the place that [`Value::parse`] would say. Each is made a value when its turn comes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::Value;
use crate::domain::json::{FEW, KeySeed, duplicate};

/// The text of a JSON value that [`Value::parse`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Reads one JSON document and nothing after it, as [`Value::parse`] does, and keeps nothing of it.
    ///
    /// # Errors
    /// The same, for the same documents.
    pub fn check(bytes: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut keys = Vec::new();
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let mut reader = serde_json::Deserializer::from_str(text);
                Checker { keys: &mut keys }.deserialize(&mut reader)?;
                reader.end()?;
                Ok(Self(text.trim_ascii()))
            }
            Err(_) => {
                let mut reader = serde_json::Deserializer::from_slice(bytes);
                Checker { keys: &mut keys }.deserialize(&mut reader)?;
                reader.end()?;
                Err(serde_json::Error::custom("it is not UTF-8"))
            }
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0.len()
    }

    /// Makes it a value.
    ///
    /// # Errors
    /// Never: it was checked. Whoever gets one must not go on.
    pub fn read(self) -> Result<Value<'a>, serde_json::Error> {
        serde_json::from_str(self.0)
    }

    /// What the value is, in the words of [`Value::kind`].
    ///
    /// # Errors
    /// As [`Text::read`].
    pub fn kind(self) -> Result<&'static str, serde_json::Error> {
        Ok(match self.0.as_bytes().first() {
            Some(b'[') => Value::Array(Vec::new()).kind(),
            Some(b'{') => Value::empty_object().kind(),
            _ => self.read()?.kind(),
        })
    }

    /// The members of an object, in their order; `None` for anything else.
    ///
    /// # Errors
    /// As [`Text::read`].
    pub fn members(self) -> Result<Option<Vec<(Cow<'a, str>, Self)>>, serde_json::Error> {
        if !self.0.starts_with('{') {
            return Ok(None);
        }
        serde_json::Deserializer::from_str(self.0).deserialize_map(Members).map(Some)
    }

    /// The elements of an array; `None` for anything else.
    ///
    /// # Errors
    /// As [`Text::read`].
    pub fn elements(self) -> Result<Option<Vec<Self>>, serde_json::Error> {
        if !self.0.starts_with('[') {
            return Ok(None);
        }
        serde_json::from_str(self.0).map(Some)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, Text<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            members.push((key, map.next_value()?));
        }
        Ok(members)
    }
}

/// Reads a value as [`Value`] does, and makes none.
struct Checker<'k, 'de> {
    /// The keys so far of the objects that are open and have few members: one list for all.
    keys: &'k mut Vec<Cow<'de, str>>,
}

impl<'de> DeserializeSeed<'de> for Checker<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checker<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Checker { keys: &mut *self.keys })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let keys = self.keys;
        let own = keys.len();
        let mut many: Option<HashSet<Cow<'de, str>>> = None;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let known = match &many {
                Some(many) => many.contains(&key),
                None => keys.iter().skip(own).any(|known| *known == key),
            };
            if known {
                return Err(duplicate(&key));
            }
            match &mut many {
                Some(many) => {
                    many.insert(key);
                }
                None => keys.push(key),
            }
            map.next_value_seed(Checker { keys: &mut *keys })?;
            if many.is_none() && keys.len() - own == FEW {
                many = Some(keys.drain(own..).collect());
            }
        }
        keys.truncate(own);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What reading makes of it: the value, or the error's words and place.
    fn both(bytes: &[u8]) -> (Result<Value<'_>, String>, Result<Value<'_>, String>) {
        let whole = Value::parse(bytes).map_err(|error| format!("{error} {:?}", error.classify()));
        let checked = Text::check(bytes).map_err(|error| format!("{error} {:?}", error.classify()));
        (whole, checked.map(|text| text.read().unwrap()))
    }

    #[test]
    fn the_same_is_wrong_at_the_same_place() {
        let wide = |last: &str| {
            let members: Vec<String> = (0..40).map(|i| format!("\"k{i}\":{{\"a\":[0],\"k1\":0}}")).collect();
            format!("[{{{},\n\"{last}\":1}}]", members.join(","))
        };
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "0" + &"}".repeat(depth);
        let cases: Vec<Vec<u8>> = [
            "",
            " ",
            "\n",
            "{",
            "[",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{} {}",
            "{}x",
            "{a:1}",
            "[1,]",
            "[1 2]",
            "[,]",
            "NaN",
            "01",
            "1.",
            "1e",
            "1e999",
            "-",
            "-0",
            "+1",
            "tru",
            "nul",
            "truely",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "{\"\\udc00\":1}",
            "\"\\u12\"",
            "\"a\nb\"",
            "\u{feff}{}",
            "{\"a\":1,\"a\":1}",
            "{\"x\":[{\"a\":1,\n \"\\u0061\":2}]}",
            "[[{\"b\":{\"\":1,\"\":2}}]]",
            "{\"a\":{\"a\":{}},\"b\":{\"a\":1}}",
            "{1:2}",
            "{null:1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "[1}",
            "{\"a\":1]",
            " [ 1 , {\"a\" : null} ] \n",
            "18446744073709551616",
            "-9223372036854775809",
            "9223372036854775808",
            "\"\u{1}\"",
            "[\"\\u0000\", true, false, null, 1.5e3]",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([wide("k3"), wide("k39"), wide("k40"), wide("a")].map(String::into_bytes))
        .chain([126, 127, 128, 100_000].map(|depth| nested(depth).into_bytes()))
        .chain([126, 127, 128, 100_000].map(|depth| objects(depth).into_bytes()))
        .chain(
            [
                &b"\xff"[..],
                b"\"\xff\"",
                b"{\"a\":\"\xc3\",\"a\":1}",
                b"{} \xff",
                b"[\"\xed\xa0\x80\"]",
                b"{\"\xff\":1}",
            ]
            .map(<[u8]>::to_vec),
        )
        .collect();
        for bytes in cases {
            let (whole, checked) = both(&bytes);
            assert_eq!(checked, whole, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
        }
    }

    #[test]
    fn parts_are_what_the_whole_has() {
        for text in [
            r#" {"a" : [1, {"b": "c\n"} ,"]"], "\u0062":{"}":"\"}"} ,"c":-1.5e3 , "d":[ ],"e":null} "#,
            "[]",
            "[ [1] , 2 ]",
            "{}",
            "7",
            "1.5",
            "\"x\"",
            "null",
        ] {
            let (whole, text) = (Value::parse(text.as_bytes()).unwrap(), Text::check(text.as_bytes()).unwrap());
            assert_eq!(text.kind().unwrap(), whole.kind());
            let members = text.members().unwrap().map(|members| {
                Value::Object(members.into_iter().map(|(key, text)| (key, text.read().unwrap())).collect())
            });
            let elements = text.elements().unwrap();
            let elements = elements.map(|all| Value::Array(all.into_iter().map(|text| text.read().unwrap()).collect()));
            let parts = match &whole {
                Value::Object(_) => (Some(whole.clone()), None),
                Value::Array(_) => (None, Some(whole.clone())),
                _ => (None, None),
            };
            assert_eq!((members, elements), parts);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Texts of the signs and words that JSON has, most of them wrong somewhere.
        #[test]
        fn whatever_comes_is_read_alike(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"a\"", "\"a\":", "\"\\u0061\":1", "\"b\":{", "1", "-2.5", "null", "\n", " ",
                    "true", "\"\\ud83d\\ude00\"", "{\"a\":1}", "[1,2]", "\"", "\\", "1e400",
                ]),
                0..24,
            )
        ) {
            let text = parts.concat();
            let (whole, checked) = both(text.as_bytes());
            prop_assert_eq!(checked, whole, "{}", text);
        }

        /// Documents that are right but for one byte.
        #[test]
        fn a_wrong_byte_is_found_at_the_same_place(at in 0_usize..200, byte in any::<u8>()) {
            let mut text = br#"{"requests":[{"principal":{"type":"User","id":"a\u00e9"},"context":{"a":[1,2.5,{"b":null}],"c":{"a":true}}},
                {"action":"Action::\"x\"","resource":"R::\"r\"","context":{"k":[],"l":{},"m":-1}}],"more":"x"}"#.to_vec();
            let at = at % text.len();
            text[at] = byte;
            let (whole, checked) = both(&text);
            prop_assert_eq!(checked, whole, "{}", String::from_utf8_lossy(&text));
        }
    }
}
