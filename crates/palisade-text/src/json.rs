//! Reads JSON into values and the line of each, for documents that are JSON.
//!
//! YAML readers take JSON too, but not every escape, and they cost ten times as much. The text is read by
//! `serde_json` first, so what looks for the lines afterwards can rely on its form.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::Lines;
use crate::yaml::{Document, MAX_NODES, YamlError};

/// Whether a text means to be JSON: a mapping with quoted keys, as no one writes YAML.
#[must_use]
pub fn looks_like_json(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('{').map(str::trim_start);
    inner.is_some_and(|inner| inner.starts_with(['"', '}']))
}

/// Reads one document. Two equal keys are an error, as in YAML.
///
/// # Errors
/// If it is not JSON, or has a key twice.
pub fn parse(text: &str) -> Result<Document, YamlError> {
    match serde_json::from_str::<Strict>(text) {
        Ok(Strict(value)) => {
            let mut scan = Scan { bytes: text.as_bytes(), at: 0, line: 1 };
            Ok(Document { value, lines: scan.node(text) })
        }
        Err(error) => {
            let said = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            let what = said.strip_suffix(&place).unwrap_or(&said);
            let message = format!("not valid JSON: {what} (column {})", error.column());
            Err(YamlError { line: Some(error.line()).filter(|line| *line > 0), message })
        }
    }
}

/// A value whose objects have each key once.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictSeed(&Cell::new(0)).deserialize(deserializer).map(Self)
    }
}

/// Counts the values, its own keys not among them.
#[derive(Clone, Copy)]
struct StrictSeed<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for StrictSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let count = self.0.get() + 1;
        if count > MAX_NODES {
            return Err(D::Error::custom(format_args!("more than {MAX_NODES} values")));
        }
        self.0.set(count);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            let value = members.next_value_seed(self)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Walks over a text that is known to be JSON and counts its lines.
struct Scan<'t> {
    bytes: &'t [u8],
    at: usize,
    line: usize,
}

impl Scan<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    /// Goes on to what is neither white space nor one of the two separators.
    fn space(&mut self) -> u8 {
        loop {
            match self.peek() {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' | b':' => {}
                other => return other,
            }
            self.at += 1;
        }
    }

    fn node(&mut self, text: &str) -> Lines {
        match self.space() {
            b'{' => {
                let line = self.line;
                self.at += 1;
                let mut members = BTreeMap::new();
                while self.space() == b'"' {
                    let (at, line) = (self.at, self.line);
                    self.string();
                    let raw = text.get(at..self.at).unwrap_or_default();
                    let key = match raw.contains('\\') {
                        true => serde_json::from_str::<String>(raw).unwrap_or_default(),
                        false => raw.trim_matches('"').to_owned(),
                    };
                    members.insert(key.into(), self.node(text).under(line));
                }
                self.at += 1;
                Lines::map(line, members)
            }
            b'[' => {
                let line = self.line;
                self.at += 1;
                let mut items = Vec::new();
                while !matches!(self.space(), b']' | 0) {
                    items.push(self.node(text));
                }
                self.at += 1;
                Lines::list(line, items)
            }
            b'"' => {
                self.string();
                Lines::scalar(self.line)
            }
            _ => {
                while !matches!(self.peek(), 0 | b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}') {
                    self.at += 1;
                }
                Lines::scalar(self.line)
            }
        }
    }

    /// Goes past a string; it begins here.
    fn string(&mut self) {
        self.at += 1;
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => self.at += 2,
                0 if self.at >= self.bytes.len() => return,
                _ => self.at += 1,
            }
        }
        self.at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_lines_are_those_that_the_yaml_reader_finds() {
        let text = "{\n \"a\": [1, true, null,\n  {\"b\\n\": \"x\\\"]}\", \"c\": {}}, []],\n \"é\":\n  -1.5e1\n}\n";
        let document = parse(text).unwrap();
        let other = crate::yaml::parse(text).unwrap();
        assert_eq!(document.value, other.value);
        for path in
            [&[][..], &["a"], &["a", "0"], &["a", "3"], &["a", "3", "b\n"], &["a", "3", "c"], &["a", "4"], &["é"]]
        {
            let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            assert!(document.lines.get(&path).is_some(), "{path:?}");
            assert_eq!(document.lines.get(&path), other.lines.get(&path), "{path:?}");
        }
        assert_eq!(document.lines.nearest(&["a".to_owned(), "3".to_owned(), "z".to_owned()]), 3);
    }

    #[test]
    fn what_is_refused_has_a_line() {
        for (text, line, message) in [
            ("{\"a\": 1,\n\"b\": 2,\n\"a\": 3}", 3, "duplicate key `a`"),
            ("{\"a\": 1\n", 2, "EOF"),
            ("{\"a\": 1}\n x", 2, "trailing characters"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{text}: {error:?}");
            assert!(error.message.contains(message), "{text}: {error:?}");
        }
        assert!(parse(&"[".repeat(200)).is_err());
        // what YAML readers choke on
        assert_eq!(parse(r#"{"a": "\ud83d\ude00\/"}"#).unwrap().value["a"], "\u{1f600}/");
    }

    #[test]
    fn json_is_distinguished_from_yaml() {
        for (text, json) in [("{\"a\": 1}", true), (" {\n }", true), ("{a: 1}", false), ("a: 1", false), ("", false)] {
            assert_eq!(looks_like_json(text), json, "{text}");
        }
    }
}
