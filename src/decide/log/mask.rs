//! What of a context is hidden, while it is written: nothing hidden is copied, and nothing is changed.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use smallvec::SmallVec;

use crate::config::{MaskPath, MaskStep};
use crate::domain::{DeniedBy, PolicyError, Value};

/// What stands in for a hidden value.
const MASKED: &str = "***";

/// What is left of the paths that lead into a value.
type Paths<'p> = SmallVec<[&'p [MaskStep]; 4]>;

/// A context with what is to be hidden in it, as it is written.
pub(super) struct Masked<'v> {
    value: &'v Value<'v>,
    paths: Paths<'v>,
}

/// What becomes of a member of an object.
enum Member<'v> {
    Hidden,
    Shown(Masked<'v>),
}

impl<'v> Masked<'v> {
    pub(super) fn new(value: &'v Value<'v>, mask: &'v [MaskPath]) -> Self {
        Self { value, paths: mask.iter().map(MaskPath::steps).collect() }
    }

    fn member(&self, key: &str, value: &'v Value<'v>) -> Member<'v> {
        let mut paths = Paths::new();
        for path in &self.paths {
            match path.split_first() {
                Some((MaskStep::Key(name), _)) if name != key => {}
                Some((_, [])) => return Member::Hidden,
                Some((_, rest)) => paths.push(rest),
                None => {}
            }
        }
        Member::Shown(Self { value, paths })
    }

    /// Arrays are no level: a path leads into each of their elements.
    fn element(&self, value: &'v Value<'v>) -> Self {
        Self { value, paths: self.paths.clone() }
    }

    /// The texts that are hidden, longest first: one may be a part of another.
    pub(super) fn hidden(&self) -> Vec<String> {
        let mut hidden = Vec::new();
        self.collect(&mut hidden);
        hidden.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        hidden
    }

    fn collect(&self, into: &mut Vec<String>) {
        match self.value {
            _ if self.paths.is_empty() => {}
            Value::Object(members) => {
                for (key, value) in members {
                    match self.member(key, value) {
                        Member::Hidden => texts(value, into),
                        Member::Shown(member) => member.collect(into),
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.element(element).collect(into)),
            _ => {}
        }
    }
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            value if self.paths.is_empty() => value.serialize(serializer),
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    match self.member(key, value) {
                        Member::Hidden => map.serialize_entry(key.as_ref(), MASKED)?,
                        Member::Shown(member) => map.serialize_entry(key.as_ref(), &member)?,
                    }
                }
                map.end()
            }
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(|element| self.element(element))),
            value => value.serialize(serializer),
        }
    }
}

/// The texts within a value, as a message may quote them. What is shorter than a secret is no secret.
fn texts(value: &Value<'_>, into: &mut Vec<String>) {
    const LEAST: usize = 4;
    match value {
        Value::String(text) if text.len() >= LEAST && text != MASKED => {
            into.push(text.to_string());
            let escaped = text.escape_debug().to_string();
            if escaped != **text {
                into.push(escaped);
            }
        }
        Value::Long(n) => {
            let text = n.to_string();
            if text.len() >= LEAST {
                into.push(text);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| texts(element, into)),
        Value::Object(members) => members.iter().for_each(|(_, member)| texts(member, into)),
        _ => {}
    }
}

/// Messages quote values: a hidden one must not be told that way.
pub(super) fn unquoted_errors<'a>(errors: &'a [PolicyError], hidden: &[String]) -> Cow<'a, [PolicyError]> {
    let quoted = |error: &PolicyError| hidden.iter().any(|text| error.message.contains(text.as_str()));
    if !errors.iter().any(quoted) {
        return Cow::Borrowed(errors);
    }
    errors
        .iter()
        .map(|error| PolicyError {
            policy_id: error.policy_id.clone(),
            message: unquoted(&error.message, hidden).into(),
        })
        .collect()
}

pub(super) fn unquoted_rule<'a>(rule: &'a DeniedBy, hidden: &[String]) -> Cow<'a, DeniedBy> {
    match rule {
        DeniedBy::UnknownEntity { entity } if hidden.iter().any(|text| entity.contains(text.as_str())) => {
            Cow::Owned(DeniedBy::UnknownEntity { entity: unquoted(entity, hidden) })
        }
        _ => Cow::Borrowed(rule),
    }
}

fn unquoted(text: &str, hidden: &[String]) -> String {
    hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASKED))
}
