//! JSON that has been read whole, and is made values a part at a time.
//!
//! A tree of values takes up to some thirty times the bytes of its text. Where a body holds many requests,
//! [`Text::check`] reads all of it without making values, so that whatever is wrong anywhere is found before the first
//! is decided, in the words and at the place that [`Value::parse`] would say. Each is made a value when its turn comes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::model::Value;
use crate::model::json::{FEW, KeySeed, duplicate};

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

    /// Where `part`, which was cut out of this text, begins in it.
    #[must_use]
    pub fn place_of(self, part: Text<'_>) -> Option<usize> {
        let place = (part.0.as_ptr() as usize).checked_sub(self.0.as_ptr() as usize)?;
        (place <= self.0.len()).then_some(place)
    }

    /// Makes it a value.
    ///
    /// # Errors
    /// Never: it was checked. A caller that gets an error must not go on.
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
    pub fn members(self) -> Result<Option<Vec<Member<'a>>>, serde_json::Error> {
        if !self.0.starts_with('{') {
            return Ok(None);
        }
        let (mut scan, mut members) = (Scan { text: self.0, at: 1 }, Vec::new());
        loop {
            match scan.peek() {
                Some(b'"') => members.push(scan.member()?),
                Some(b',') => scan.at += 1,
                Some(b'}') => return Ok(Some(members)),
                _ => return Err(unlike_json()),
            }
        }
    }
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name.
    pub key: Cow<'a, str>,
    /// Its value.
    pub text: Text<'a>,
    /// The elements, if the value is an array.
    pub elements: Option<Vec<Text<'a>>>,
}

/// Finds where values end in a text that was checked, so that brackets and quotes are all there is to look at.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// The first byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.text.as_bytes().get(self.at).copied()
    }

    fn member(&mut self) -> Result<Member<'a>, serde_json::Error> {
        let key = self.value();
        let key = match key.0.strip_prefix('"').and_then(|key| key.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
            _ => Cow::Owned(serde_json::from_str(key.0)?),
        };
        if self.peek() != Some(b':') {
            return Err(unlike_json());
        }
        self.at += 1;
        if self.peek() != Some(b'[') {
            return Ok(Member { key, text: self.value(), elements: None });
        }
        let (begin, mut elements) = (self.at, Vec::new());
        self.at += 1;
        loop {
            match self.peek() {
                Some(b']') => break,
                Some(b',') => self.at += 1,
                Some(_) => elements.push(self.value()),
                None => return Err(unlike_json()),
            }
        }
        self.at += 1;
        Ok(Member { key, text: self.since(begin), elements: Some(elements) })
    }

    fn since(&self, begin: usize) -> Text<'a> {
        Text(self.text.get(begin..self.at).unwrap_or_default())
    }

    /// The value that begins here.
    fn value(&mut self) -> Text<'a> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                _ if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                // a number or a word ends where something else begins
                b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\r' | b'\n' => break,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        // nothing stands still
        self.at = self.at.max(begin + 1);
        self.since(begin)
    }

    /// Goes behind the string that begins here.
    fn string(&mut self) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at) {
            self.at += match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => 2,
                _ => 1,
            };
        }
    }
}

/// What was checked is not what was checked.
fn unlike_json() -> serde_json::Error {
    serde_json::Error::custom("a text that was checked is not JSON")
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
            " {\"a\" : [1, {\"b\": \"c\\n\"}\t,\"]\" ] ,\r\n\"\\u0062\\\"\":{\"}\":\"\\\"}\\\\\"} ,\"c\":-1.5e3 , \"d\":[ ],\"e\":null}\n",
            r#"{"é[":["é\\",["]"],[[]],{"a":[{}]}],"":"","x":true,"y":[true,false,null,1,-2.5,"a"]}"#,
            "[]",
            "[ [1] , 2 ]",
            "{}",
            "{ }",
            "7",
            "1.5",
            "\"x\"",
            "null",
        ] {
            let (whole, text) = (Value::parse(text.as_bytes()).unwrap(), Text::check(text.as_bytes()).unwrap());
            assert_eq!(text.kind().unwrap(), whole.kind());
            let members = text.members().unwrap().map(|members| {
                let read = |member: Member<'_>| {
                    let value = member.text.read().unwrap().into_owned();
                    let elements = member.elements.map(|all| {
                        Value::Array(all.into_iter().map(|text| text.read().unwrap().into_owned()).collect())
                    });
                    assert_eq!(elements, value.as_array().is_some().then(|| value.clone()));
                    (Cow::Owned(member.key.into_owned()), value)
                };
                Value::Object(members.into_iter().map(read).collect())
            });
            assert_eq!(members, whole.as_object().is_some().then_some(whole));
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
