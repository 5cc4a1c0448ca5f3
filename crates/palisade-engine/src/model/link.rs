//! A link as Cedar's tools write it in JSON.

use crate::model::request::{pointer, uid_member};
use crate::model::{Link, RequestError, Value, closest, hint};

/// What the members of a link are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkNames {
    template: &'static str,
    link: &'static str,
    values: &'static str,
}

impl LinkNames {
    /// In files of Cedar's command line, and in bundles of the API.
    pub const OF_FILES: Self = Self { template: "template_id", link: "link_id", values: "args" };
    /// In policy sets.
    pub const OF_SETS: Self = Self { template: "templateId", link: "newId", values: "values" };

    /// The members, in the order in which they are listed.
    #[must_use]
    pub fn all(&self) -> [&'static str; 3] {
        [self.template, self.link, self.values]
    }
}

impl Link {
    /// Reads a link that has `names`; `at` points at it.
    ///
    /// # Errors
    /// If a member is missing, unknown or of the wrong type. The error points at the member, which is the first such.
    pub fn from_value(value: Value<'_>, names: LinkNames, at: &str) -> Result<Self, RequestError> {
        let (read, problems) = Self::read(value, names, at);
        match (problems.into_iter().next(), read) {
            (None, Some(read)) => Ok(read),
            (Some(first), _) => Err(first),
            (None, None) => Err(RequestError::new("invalid_member", at, "the link cannot be read")),
        }
    }

    /// The same, with every problem. Where something is wrong, also what can be looked at all the same, if all entities in it
    /// can be read: to find what else is wrong with it.
    pub fn read(value: Value<'_>, names: LinkNames, at: &str) -> (Option<Self>, Vec<RequestError>) {
        let unlike = |pointer: &str, what: &str, expected: &str, found: &Value<'_>| {
            let message = format!("{what} must be {expected}, not {}", found.kind());
            RequestError::new("invalid_member", pointer, message)
        };
        let [template, link, values] = names.all();
        let Value::Object(members) = value else {
            let expected = format!("an object of `{template}`, `{link}` and `{values}`");
            return (None, vec![unlike(at, "a link", &expected, &value)]);
        };
        let (mut template_id, mut link_id, mut args, mut all_args) = (None, None, Vec::new(), true);
        let (mut problems, mut given) = (Vec::new(), Vec::new());
        for (key, value) in members {
            let place = format!("{at}{}", pointer(&key));
            let known = names.all().into_iter().find(|name| *name == key);
            if known.is_none() {
                let hint = hint(&key, names.all());
                let message = format!("unknown member `{key}`; a link has {}{hint}", names.all().join(", "));
                problems.push(RequestError::new("unknown_member", place.as_str(), message));
            }
            // what was probably meant is looked at too
            let Some(name) = known.or_else(|| closest(&key, names.all())) else { continue };
            given.push(name);
            match value {
                Value::String(text) if name == template => template_id = Some(text.into_owned()),
                Value::String(text) if name == link => link_id = Some(text.into_owned()),
                Value::Object(slots) if name == values => {
                    for (slot, entity) in slots {
                        match uid_member(entity, &format!("{place}/{slot}")) {
                            Ok(uid) => args.push((slot.into_owned(), uid.to_string())),
                            Err(error) => {
                                all_args = false;
                                problems.push(error);
                            }
                        }
                    }
                }
                other => {
                    all_args &= name != values;
                    let expected = if name == values { "an object of slot and entity" } else { "a string" };
                    problems.push(unlike(&place, &format!("`{key}`"), expected, &other));
                }
            }
        }
        for name in [template, link].into_iter().filter(|name| !given.contains(name)) {
            let message = format!("the link lacks `{name}`");
            problems.push(RequestError::new("missing_member", format!("{at}/{name}"), message));
        }
        let (Some(template_id), Some(link_id), true) = (template_id, link_id, all_args) else {
            return (None, problems);
        };
        (Some(Self { template_id, link_id, args, written: None }), problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_make_the_same_link() {
        let files = r#"{"template_id":"t","link_id":"l","args":{"?principal":"U::\"v\""}}"#;
        let set = r#"{"templateId":"t","newId":"l","values":{"?principal":{"type":"U","id":"v"}}}"#;
        let [files, set] = [(files, LinkNames::OF_FILES), (set, LinkNames::OF_SETS)]
            .map(|(text, names)| Link::from_value(Value::parse(text.as_bytes()).unwrap(), names, "").unwrap());
        assert_eq!(files, set);
        assert_eq!(files.args, [("?principal".to_owned(), "U::\"v\"".to_owned())]);
    }

    #[test]
    fn errors_point_at_the_member() {
        for (text, expected, pointer) in [
            ("7", "a link must be an object of `template_id`, `link_id` and `args`, not a number", "/3"),
            (r#"{"link_id":"l"}"#, "the link lacks `template_id`", "/3/template_id"),
            (r#"{"template_id":"t"}"#, "the link lacks `link_id`", "/3/link_id"),
            (r#"{"template_id":1}"#, "`template_id` must be a string, not a number", "/3/template_id"),
            (r#"{"args":[]}"#, "`args` must be an object of slot and entity, not an array", "/3/args"),
            (r#"{"args":{"?principal":"x"}}"#, "`x` is not an entity uid", "/3/args/?principal"),
            (r#"{"newId":"l"}"#, "unknown member `newId`; a link has template_id, link_id, args", "/3/newId"),
        ] {
            let value = Value::parse(text.as_bytes()).unwrap();
            let error = Link::from_value(value, LinkNames::OF_FILES, "/3").unwrap_err();
            assert!(error.message.starts_with(expected), "{text}: {}", error.message);
            assert_eq!(error.pointer, pointer, "{text}");
        }
    }
}
