//! YAML as a tree in which every node knows its line.

use std::fmt;

use palisade_text::yaml::{YamlError, explain};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::cli::test::model::Fault;

/// A node of a document.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Node {
    /// Its line, from 1; of a node that an alias repeats, the line of the alias.
    pub(in crate::cli) line: usize,
    pub(in crate::cli) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum Kind {
    Null,
    Bool(bool),
    Long(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Member {
    pub(in crate::cli) key: String,
    pub(in crate::cli) line: usize,
    pub(in crate::cli) value: Node,
}

/// Reads one document.
pub(in crate::cli) fn parse(text: &str) -> Result<Node, Fault> {
    let read = serde_saphyr::from_str_with_options(text, palisade_text::yaml::options());
    read.map_err(|error| {
        let YamlError { line, message } = explain(&error);
        Fault { line, message }
    })
}

impl Node {
    /// What the node is, in words.
    pub(in crate::cli) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Long(_) | Kind::Float(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The text, or a fault that says what `what` must be.
    pub(in crate::cli) fn text(&self, what: &str) -> Result<&str, Fault> {
        match &self.kind {
            Kind::Text(text) => Ok(text),
            _ => Err(Fault::at(self.line, format!("{what} must be a text, not {}", self.kind()))),
        }
    }

    /// The elements, or a fault that says what `what` must be.
    pub(in crate::cli) fn list(&self, what: &str) -> Result<&[Node], Fault> {
        match &self.kind {
            Kind::List(items) => Ok(items),
            Kind::Null => Ok(&[]),
            _ => Err(Fault::at(self.line, format!("{what} must be a list, not {}", self.kind()))),
        }
    }

    /// The members, or a fault that says what `what` must be.
    pub(in crate::cli) fn map(&self, what: &str) -> Result<&[Member], Fault> {
        match &self.kind {
            Kind::Map(members) => Ok(members),
            Kind::Null => Ok(&[]),
            _ => Err(Fault::at(self.line, format!("{what} must be a mapping, not {}", self.kind()))),
        }
    }

    /// The node itself, or the elements of the list, and of lists in it.
    pub(in crate::cli) fn flat(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::List(items) => items.iter().flat_map(Node::flat).collect(),
            _ => vec![self],
        }
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or(usize::MAX)
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
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Long(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Kind, E> {
        i64::try_from(value).map(Kind::Long).map_err(|_| E::custom("a number must fit a signed 64-bit integer"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
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
        let mut map: Vec<Member> = Vec::new();
        while let Some((key, value)) = members.next_entry::<Spanned<String>, Node>()? {
            let line = line_of(&key);
            if map.iter().any(|member| member.key == key.value) {
                return Err(A::Error::custom(format!("duplicate key `{}`", key.value)));
            }
            map.push(Member { key: key.value, line, value });
        }
        Ok(Kind::Map(map))
    }
}
