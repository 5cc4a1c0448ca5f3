//! Reads YAML into JSON values and the line of each.
//!
//! Booleans are `true` and `false` alone, so that an unquoted `off` stays the word; duplicate keys,
//! unknown tags and a second document are errors.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use crate::Lines;

/// A document and where its nodes stand.
#[derive(Debug)]
pub struct Document {
    /// The values; an empty document is an empty object.
    pub value: Value,
    /// The line of each.
    pub lines: Lines,
}

/// Why a text is not YAML as we take it.
#[derive(Debug)]
pub struct YamlError {
    /// The line, from 1, where the reader knows it.
    pub line: Option<usize>,
    /// What is wrong, with the column.
    pub message: String,
}

/// What the reader says of a key that is there before.
const TWICE: &str = "duplicate mapping key";

impl YamlError {
    /// The message without the key that comes twice: in a configuration it may be a secret at a wrong place.
    #[must_use]
    pub fn quoting_no_key(mut self) -> Self {
        self.message = quoting_no_key(&self.message);
        self
    }
}

fn quoting_no_key(message: &str) -> String {
    match message.split_once(TWICE) {
        Some((before, after)) => {
            let column = after.rfind(" (column ").map(|at| &after[at..]).unwrap_or_default();
            format!("{before}a key occurs twice in one mapping{column}")
        }
        None => message.to_owned(),
    }
}

/// Reads one document. An empty one is an empty object.
///
/// # Errors
/// If it is not YAML as we take it.
pub fn parse(text: &str) -> Result<Document, YamlError> {
    let options = within(options(), text.len());
    let node: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(&error))?;
    let (value, lines) = node.split();
    Ok(Document { value: if value.is_null() { Value::Object(Map::new()) } else { value }, lines })
}

/// Reads one scalar or flow collection, as an environment variable holds it.
///
/// # Errors
/// If it is not YAML as we take it: why.
pub fn parse_value(text: &str) -> Result<Value, String> {
    let read = serde_saphyr::from_str_with_options(text, options());
    let node: Node = read.map_err(|error| quoting_no_key(&explain(&error).message))?;
    Ok(node.split().0)
}

/// The reader's message without its advice to programmers, and with the place given once.
#[must_use]
pub fn explain(error: &serde_saphyr::Error) -> YamlError {
    let said = error.to_string();
    let location = error.location().filter(|location| location.line() > 0);
    let place = location.map(|location| format!(" at line {}, column {}", location.line(), location.column()));
    let mut what = place.as_deref().and_then(|place| said.strip_suffix(place)).unwrap_or(&said);
    for advice in [", set DuplicateKeyPolicy", "; use from_str_multiple"] {
        what = what.split(advice).next().unwrap_or(what);
    }
    let column = location.map(|location| format!(" (column {})", location.column())).unwrap_or_default();
    YamlError {
        line: location.and_then(|location| usize::try_from(location.line()).ok()),
        message: format!("not valid YAML: {what}{column}"),
    }
}

/// How YAML is read everywhere: configuration, flags, policy tests and routes agree on what a word is.
#[must_use]
pub fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        reject_unsupported_tags: true,
        // 0755 and 1_000 mean different numbers to different readers
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}

/// How many values a document may have: those of one of 40 MB. Each takes some hundred bytes while it is read.
pub(super) const MAX_NODES: usize = 2_000_000;

/// What a text of so many bytes may cost: the defaults of the reader are for files that people write by hand, and
/// documents that programs write have ten times as many nodes. What aliases repeat counts as if it were written,
/// so that a small text never becomes a large value.
fn within(options: serde_saphyr::Options, bytes: usize) -> serde_saphyr::Options {
    let mut options = options;
    if let Some(budget) = &mut options.budget {
        budget.max_events = budget.max_events.max(bytes.min(2 * MAX_NODES));
        budget.max_nodes = budget.max_nodes.max((bytes / 2).min(MAX_NODES));
        budget.max_total_scalar_bytes = budget.max_total_scalar_bytes.max(bytes.saturating_mul(2));
    }
    options
}

/// How many keys are compared one by one before a table of them is cheaper.
const FEW_KEYS: usize = 16;

struct Node {
    line: usize,
    kind: Kind,
}

enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// The value, and beside it the lines.
    fn split(self) -> (Value, Lines) {
        match self.kind {
            Kind::Scalar(value) => (value, Lines::scalar(self.line)),
            Kind::List(items) => {
                let (values, lines) = items.into_iter().map(Self::split).unzip();
                (Value::Array(values), Lines::list(self.line, lines))
            }
            Kind::Map(members) => {
                let mut values = Map::new();
                let mut lines = BTreeMap::new();
                for (key, node) in members {
                    let (value, below) = node.split();
                    lines.insert(key.value.as_str().into(), below.under(line_of(&key)));
                    values.insert(key.value, value);
                }
                (Value::Object(values), Lines::map(self.line, lines))
            }
        }
    }
}

fn line_of<T>(node: &Spanned<T>) -> usize {
    usize::try_from(node.referenced.line()).unwrap_or(usize::MAX)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { line: line_of(&spanned), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Kind::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        let mut map: Vec<(Spanned<String>, Node)> = Vec::new();
        let mut known: HashSet<String> = HashSet::new();
        while let Some((key, value)) = members.next_entry::<Spanned<String>, Node>()? {
            // the reader refuses equal keys by their YAML meaning; `1` and `"1"` are equal only as text
            let again = match map.len() {
                ..FEW_KEYS => map.iter().any(|(known, _)| known.value == key.value),
                FEW_KEYS => {
                    known.extend(map.iter().map(|(key, _)| key.value.clone()));
                    !known.insert(key.value.clone())
                }
                _ => !known.insert(key.value.clone()),
            };
            if again {
                return Err(A::Error::custom(format!("{TWICE}: {}", key.value)));
            }
            map.push((key, value));
        }
        Ok(Kind::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_stay_words() {
        for (text, expected) in [
            ("off", json!("off")),
            ("on", json!("on")),
            ("no", json!("no")),
            ("y", json!("y")),
            ("false", json!(false)),
            ("true", json!(true)),
            ("7", json!(7)),
            ("64MiB", json!("64MiB")),
            ("127.0.0.1:8180", json!("127.0.0.1:8180")),
            ("localhost:8180", json!("localhost:8180")),
            ("unix:/run/palisade.sock", json!("unix:/run/palisade.sock")),
            ("0755", json!("0755")),
            ("[a, b.*]", json!(["a", "b.*"])),
            ("{user: User}", json!({"user": "User"})),
            ("", json!(null)),
            ("~", json!(null)),
            ("'off'", json!("off")),
        ] {
            assert_eq!(parse_value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_node_has_a_line() {
        let document = parse("# head\ncache:\n  enabled: true\n\n  max_bytes: 1\nlist:\n  - a\n  - b: 1\n").unwrap();
        for (path, line) in [
            (&["cache"][..], 2),
            (&["cache", "enabled"], 3),
            (&["cache", "max_bytes"], 5),
            (&["list", "0"], 7),
            (&["list", "1", "b"], 8),
        ] {
            let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(document.lines.get(&path), Some(line), "{path:?}");
        }
    }

    #[test]
    fn an_empty_document_is_an_empty_object() {
        for text in ["", "# only a comment\n", "---\n"] {
            assert_eq!(parse(text).unwrap().value, json!({}), "{text:?}");
        }
    }

    #[test]
    fn large_documents_are_read_and_aliases_stay_bounded() {
        // more nodes than the reader takes unless it knows how large the text is
        let rows: String = (0..150_000).map(|n| format!("k{n}: v\n")).collect();
        let document = parse(&rows).unwrap();
        assert_eq!(document.value.as_object().map(Map::len), Some(150_000));
        assert_eq!(document.lines.get(&["k149999".to_owned()]), Some(150_000));
        let twice = format!("{rows}k7: v\n");
        assert!(parse(&twice).unwrap_err().message.contains("uplicate"));
        // ten times ten times ten ... nodes out of a few lines
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let of = format!("*a{},", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{of}]\n"));
        }
        assert!(parse(&bomb).is_err());
        // and padding does not buy much more
        let padded = format!("{bomb}pad: {}\n", "x".repeat(1 << 20));
        assert!(parse(&padded).is_err());
    }

    #[test]
    fn what_is_refused_has_a_line() {
        for (text, line) in [
            ("a: 1\nb: 2\na: 3\n", 3),
            ("a: 1\n\"a\": 3\n", 2),
            ("a: [1\n", 2),
            ("a: 1\n b: 2\n", 2),
            ("a: !secret x\n", 1),
            ("a: 1\n---\nb: 1\n", 2),
            ("a: .inf\n", 1),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.line.is_some_and(|found| found.abs_diff(line) <= 1), "{text:?}: {error:?}");
        }
    }
}
