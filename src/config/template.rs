//! Entity uids with blanks, `Fleet::User::"{sub}"`, and the URIs that may fill them.
//!
//! The type is never a blank: no token can choose what kind of principal it stands for. Where an id has
//! several blanks, no value may hold the text between them, so that two callers never get one id.

mod overlap;

use std::borrow::Cow;
use std::fmt;

use palisade_engine::model::Uid;

pub(super) use overlap::Overlap;

/// An entity uid whose id has blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UidTemplate {
    type_name: String,
    parts: Vec<Part>,
}

/// A URI with blanks for whole or partial segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Blank(String),
}

/// Why a template could not be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillError {
    /// A value is not there.
    Missing,
    /// A value is empty, has a NUL, or holds the text that separates it from the next.
    Unfit,
}

impl UidTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let template = Self::parse_fixed(text)?;
        if template.blanks().next().is_none() {
            return Err(format!(
                "`{text}` has no placeholder, so every caller would be the same: name a claim in braces, such as `{{sub}}`"
            ));
        }
        Ok(template)
    }

    /// As [`Self::parse`], but a uid without blanks will do.
    pub(super) fn parse_fixed(text: &str) -> Result<Self, String> {
        let uid = Uid::parse(text).map_err(|error| {
            format!("{error}; what is filled in stands in braces, such as `Fleet::User::\"{{sub}}\"`")
        })?;
        Ok(Self { parts: parts(&uid.id)?, type_name: uid.type_name.into_owned() })
    }

    /// An entity of its type.
    pub(super) fn with_id(&self, id: String) -> Uid<'static> {
        Uid { type_name: Cow::Owned(self.type_name.clone()), id: Cow::Owned(id) }
    }

    /// The names of the blanks, in order.
    pub fn blanks(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Blank(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The uid with the values that `value` has for the blanks.
    ///
    /// # Errors
    /// If a value is missing, empty, or could be confused with what stands beside it.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> Result<Uid<'static>, FillError> {
        let several = self.blanks().nth(1).is_some();
        let mut id = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => id.push_str(text),
                Part::Blank(name) => {
                    let value = value(name).ok_or(FillError::Missing)?;
                    let confusable = several
                        && self
                            .parts
                            .iter()
                            .any(|part| matches!(part, Part::Text(text) if value.contains(text.as_str())));
                    // some readers end a text at NUL
                    if value.is_empty() || value.contains('\0') || confusable {
                        return Err(FillError::Unfit);
                    }
                    id.push_str(&value);
                }
            }
        }
        Ok(self.with_id(id))
    }
}

impl fmt::Display for UidTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"", self.type_name)?;
        for part in &self.parts {
            match part {
                Part::Text(text) => write!(f, "{}", text.escape_debug())?,
                Part::Blank(name) => write!(f, "{{{name}}}")?,
            }
        }
        f.write_str("\"")
    }
}

impl UriPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = parts(text)?;
        if !text.split_once(':').is_some_and(|(scheme, rest)| {
            !scheme.is_empty()
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !rest.is_empty()
        }) {
            return Err(format!("`{text}` is not a URI: write such as `spiffe://prod.example/ns/{{ns}}/sa/{{sa}}`"));
        }
        let names: Vec<&String> =
            parts.iter().filter_map(|part| if let Part::Blank(name) = part { Some(name) } else { None }).collect();
        if let Some(twice) = names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name)) {
            return Err(format!("`{text}` has `{{{twice}}}` twice"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The names of the blanks, in order.
    pub(super) fn blanks(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Blank(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The values of the blanks if `uri` fits: each is not empty and has no `/`.
    #[must_use]
    pub fn values<'u>(&self, uri: &'u str) -> Option<Vec<(&str, &'u str)>> {
        let mut values = Vec::new();
        let mut rest = uri;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Blank(name) => {
                    let end = match parts.peek() {
                        Some(Part::Text(text)) => rest.find(text.as_str())?,
                        _ => rest.len(),
                    };
                    let value = &rest[..end];
                    if value.is_empty() || value.contains('/') {
                        return None;
                    }
                    values.push((name.as_str(), value));
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(values)
    }
}

impl fmt::Display for UriPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let unpaired = || format!("`{text}` has an unmatched brace");
        let (before, from) = rest.split_at(open);
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let (name, after) = from.strip_prefix('{').ok_or_else(unpaired)?.split_once('}').ok_or_else(unpaired)?;
        if name.contains('{') {
            return Err(unpaired());
        }
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return Err(format!("`{text}` has a placeholder without a name: write such as `{{sub}}`"));
        }
        if matches!(parts.last(), Some(Part::Blank(_))) {
            return Err(format!("`{text}` has two placeholders side by side, so it is unclear where one ends"));
        }
        parts.push(Part::Blank(name.to_owned()));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, values: &[(&str, &str)]) -> Result<String, FillError> {
        let value = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, v)| Cow::Owned((*v).to_owned()));
        UidTemplate::parse(template).unwrap().fill(value).map(|uid| uid.to_string())
    }

    #[test]
    fn templates_are_filled_without_confusion() {
        for (template, values, expected) in [
            (r#"Fleet::User::"{sub}""#, &[("sub", "alice")][..], Ok(r#"Fleet::User::"alice""#)),
            (r#"User::"u-{sub}""#, &[("sub", "a\"b")], Ok(r#"User::"u-a\"b""#)),
            // one blank takes any text, its own surroundings included
            (r#"User::"a:{sub}""#, &[("sub", "a:a:x")], Ok(r#"User::"a:a:a:x""#)),
            (r#"User::"{a}/{b}""#, &[("a", "x"), ("b", "y")], Ok(r#"User::"x/y""#)),
            (r#"User::"{a}/{b}""#, &[("a", "x/y"), ("b", "z")], Err(FillError::Unfit)),
            (r#"User::"{a}/{b}""#, &[("a", "x"), ("b", "y/z")], Err(FillError::Unfit)),
            (r#"User::"{a}""#, &[("a", "")], Err(FillError::Unfit)),
            (r#"User::"{a}""#, &[("a", "root\0x")], Err(FillError::Unfit)),
            (r#"User::"{a}""#, &[], Err(FillError::Missing)),
        ] {
            assert_eq!(fill(template, values), expected.map(str::to_owned), "{template}");
        }
        assert_eq!(UidTemplate::parse(r#"A::B::"x-{c.d}""#).unwrap().to_string(), r#"A::B::"x-{c.d}""#);
        for text in [
            "",
            "User",
            r#"User::"alice""#,
            r#"{type}::"{sub}""#,
            r#"User::"{}""#,
            r#"User::"{a..b}""#,
            r#"User::"{a}{b}""#,
            r#"User::"{a""#,
            r#"User::"a}""#,
            r#"User::"{a{b}""#,
        ] {
            assert!(UidTemplate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn uris_fit_whole_segments() {
        let values = |pattern: &str, uri: &str| {
            let pattern = UriPattern::parse(pattern).unwrap();
            pattern
                .values(uri)
                .map(|values| values.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
        };
        let pattern = "spiffe://prod/ns/{ns}/sa/{sa}";
        for (uri, expected) in [
            ("spiffe://prod/ns/a/sa/b", Some("ns=a,sa=b")),
            ("spiffe://prod/ns/a/sa/b/c", None),
            ("spiffe://prod/ns/a/x/sa/b", None),
            ("spiffe://prod/ns//sa/b", None),
            ("spiffe://prod/ns/a/sa/", None),
            ("spiffe://prodx/ns/a/sa/b", None),
            ("xspiffe://prod/ns/a/sa/b", None),
        ] {
            assert_eq!(values(pattern, uri).as_deref(), expected, "{uri}");
        }
        assert_eq!(values("spiffe://prod/web", "spiffe://prod/web").as_deref(), Some(""));
        assert_eq!(values("spiffe://prod/web", "spiffe://prod/web2"), None);
        for text in ["", "prod/{a}", "spiffe://{a}{b}", "spiffe://{a}/{a}", "spiffe://{a"] {
            assert!(UriPattern::parse(text).is_err(), "{text}");
        }
    }
}
