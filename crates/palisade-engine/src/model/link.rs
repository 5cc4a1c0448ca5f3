//! A link as Cedar's tools write it in JSON.

use crate::model::request::{pointer, uid_member};
use crate::model::{Link, RequestError, Value, hint};

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
    /// If a member is missing, unknown or of the wrong type. The error points at the member.
    pub fn from_value(value: Value<'_>, names: LinkNames, at: &str) -> Result<Self, RequestError> {
        let unlike = |pointer: &str, what: &str, expected: &str, found: &Value<'_>| {
            let message = format!("{what} must be {expected}, not {}", found.kind());
            Err(RequestError::new("invalid_member", pointer, message))
        };
        let [template, link, values] = names.all();
        let Value::Object(members) = value else {
            return unlike(at, "a link", &format!("an object of `{template}`, `{link}` and `{values}`"), &value);
        };
        let (mut template_id, mut link_id, mut args) = (None, None, Vec::new());
        for (key, value) in members {
            let pointer = format!("{at}{}", pointer(&key));
            match (key.as_ref(), value) {
                (name, Value::String(text)) if name == template => template_id = Some(text.into_owned()),
                (name, Value::String(text)) if name == link => link_id = Some(text.into_owned()),
                (name, Value::Object(slots)) if name == values => {
                    for (slot, entity) in slots {
                        let uid = uid_member(entity, &format!("{pointer}/{slot}"))?;
                        args.push((slot.into_owned(), uid.to_string()));
                    }
                }
                (name, other) if name == values => {
                    return unlike(&pointer, &format!("`{name}`"), "an object of slot and entity", &other);
                }
                (name, other) if name == template || name == link => {
                    return unlike(&pointer, &format!("`{name}`"), "a string", &other);
                }
                (other, _) => {
                    let hint = hint(other, names.all());
                    let message = format!("unknown member `{other}`; a link has {}{hint}", names.all().join(", "));
                    return Err(RequestError::new("unknown_member", pointer, message));
                }
            }
        }
        let missing = |name: &str| {
            RequestError::new("missing_member", format!("{at}/{name}"), format!("the link lacks `{name}`"))
        };
        Ok(Self {
            template_id: template_id.ok_or_else(|| missing(template))?,
            link_id: link_id.ok_or_else(|| missing(link))?,
            args,
            written: None,
        })
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
