//! What a bundle says of every entity of a type: links that the data make, and rules that the data must keep.
//!
//! ```yaml
//! - each: Grant                     # for every stored entity of this type,
//!   when: active                    # if this is true,
//!   template: role.permissions      # link each of these templates
//!   principal: group
//!   resource: self
//! ```

use std::borrow::Cow;

use serde_json::json;

use crate::model::request::pointer;
use crate::model::{RequestError, Value, Written, closest, hint};

/// Declarations about entities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForEach {
    /// Links that the data make.
    pub links: Vec<LinkDeclaration>,
    /// Rules that the data must keep.
    pub rules: Vec<DataRule>,
}

impl ForEach {
    /// Whether there is no declaration.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.rules.is_empty()
    }
}

/// One link for every entity of a type and every template that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkDeclaration {
    /// The type.
    pub each: String,
    /// What the ids of the links have between template and entity, to tell them from those of other declarations.
    pub id: Option<String>,
    /// A path to a Boolean, without which being true there is no link.
    pub when: Option<String>,
    /// A policy id, or a path to one or to a set of them.
    pub template: String,
    /// What `?principal` stands for: `self`, or a path to an entity.
    pub principal: Option<String>,
    /// What `?resource` stands for.
    pub resource: Option<String>,
    /// What happens where the data name something that is no template.
    pub missing: Missing,
    /// Where it is written, if that is known.
    pub written: Option<Written>,
}

/// What happens where the data name something that is no template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    /// The load or the change is refused.
    #[default]
    Refuse,
    /// It is reported, and there is no link.
    Warn,
}

/// What must hold for every entity of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRule {
    /// The type.
    pub each: String,
    /// A type: then `must` holds for the entity with each of its direct parents of that type.
    pub each_parent: Option<String>,
    /// A Cedar expression over `principal`, which is the entity, and `resource`, which is the parent where there is
    /// `each_parent`. A rule with `parents` and without `each_parent` needs none.
    pub must: Option<String>,
    /// Types of entities, each with the attribute that names all direct parents of that type.
    pub parents: Vec<(String, String)>,
    /// A stable word for programs.
    pub code: String,
    /// What is wrong where it does not hold, for people.
    pub message: String,
    /// Whether a broken rule refuses the load or the change.
    pub level: Level,
    /// Where it is written, if that is known.
    pub written: Option<Written>,
}

/// What a broken rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// It refuses the load or the change.
    #[default]
    Refuse,
    /// It is reported.
    Warn,
}

type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// What was read, if nothing is wrong with it.
fn whole<T>((read, problems): (Option<T>, Vec<RequestError>)) -> Result<T, RequestError> {
    match (problems.into_iter().next(), read) {
        (None, Some(read)) => Ok(read),
        (first, _) => Err(first.unwrap_or_else(|| RequestError::new("invalid_member", "", "it cannot be read"))),
    }
}

/// The members of an object. Anything else has no members, and is reported.
fn members<'a>(
    value: Value<'a>,
    what: &str,
    names: &[&str],
    at: &str,
    problems: &mut Vec<RequestError>,
) -> Members<'a> {
    match value {
        Value::Object(members) => members,
        other => {
            let message = format!("{what} must be an object of {}, not {}", names.join(", "), other.kind());
            problems.push(RequestError::new("invalid_member", at, message));
            Vec::new()
        }
    }
}

/// The member that a key is, or is meant to be where it is unknown, which is reported.
fn meant(
    key: &str,
    what: &str,
    names: &'static [&'static str],
    at: &str,
    problems: &mut Vec<RequestError>,
) -> Option<&'static str> {
    let known = names.iter().copied().find(|name| *name == key);
    if known.is_none() {
        problems.push(unknown(what, key, names, at));
    }
    known.or_else(|| closest(key, names.iter().copied()))
}

/// What could be read. What could not is reported.
fn taken<T>(read: Result<T, RequestError>, problems: &mut Vec<RequestError>) -> Option<T> {
    read.map_err(|error| problems.push(error)).ok()
}

/// Reports which of `names` are not among the `given`. Of what is no object that was said.
fn lacking(what: &str, names: &[&str], given: &[&str], at: &str, problems: &mut Vec<RequestError>) {
    if given.is_empty() && !problems.is_empty() {
        return;
    }
    let lacks = names.iter().filter(|name| !given.contains(name));
    problems.extend(lacks.map(|name| missing(what, name, at)));
}

fn text(name: &str, value: Value<'_>, at: &str) -> Result<String, RequestError> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.into_owned()),
        Value::String(_) => Err(RequestError::new("invalid_member", at, format!("`{name}` must not be empty"))),
        other => {
            let message = format!("`{name}` must be a string, not {}", other.kind());
            Err(RequestError::new("invalid_member", at, message))
        }
    }
}

fn unknown(what: &str, name: &str, names: &'static [&'static str], at: &str) -> RequestError {
    let near = hint(name, names.iter().copied());
    let message = format!("unknown member `{name}`; {what} has {}{near}", names.join(", "));
    RequestError::new("unknown_member", at, message)
}

fn missing(what: &str, name: &str, at: &str) -> RequestError {
    RequestError::new("missing_member", format!("{at}/{name}"), format!("{what} lacks `{name}`"))
}

/// One of two words.
fn word<T: Copy>(name: &str, text: &str, words: [(&'static str, T); 2], at: &str) -> Result<T, RequestError> {
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let [first, second] = words.map(|(word, _)| word);
            let near = hint(text, [first, second]);
            let message = format!("`{name}` is `{first}` or `{second}`, not `{text}`{near}");
            Err(RequestError::new("invalid_member", at, message))
        }
    }
}

impl LinkDeclaration {
    /// The members.
    pub const MEMBERS: &'static [&'static str] =
        &["each", "id", "when", "template", "principal", "resource", "missing"];

    /// Reads a declaration; `at` points at it.
    ///
    /// # Errors
    /// If a member is missing, unknown or of the wrong type. The error points at the member, which is the first such.
    pub fn from_value(value: Value<'_>, at: &str) -> Result<Self, RequestError> {
        whole(Self::read(value, at))
    }

    /// The same, with every problem. Where something is wrong, also what can be looked at all the same, to find what else is wrong with it.
    pub fn read(value: Value<'_>, at: &str) -> (Option<Self>, Vec<RequestError>) {
        const WHAT: &str = "a link from data";
        let (mut each, mut id, mut when, mut template) = (None, None, None, None);
        let (mut principal, mut resource, mut missed) = (None, None, None);
        let (mut problems, mut given) = (Vec::new(), Vec::new());
        for (key, value) in members(value, WHAT, Self::MEMBERS, at, &mut problems) {
            let at = format!("{at}{}", pointer(&key));
            let name = meant(&key, WHAT, Self::MEMBERS, &at, &mut problems);
            given.extend(name);
            let place = match name {
                Some("each") => &mut each,
                Some("id") => &mut id,
                Some("when") => &mut when,
                Some("template") => &mut template,
                Some("principal") => &mut principal,
                Some("resource") => &mut resource,
                Some("missing") => &mut missed,
                _ => continue,
            };
            *place = taken(text(&key, value, &at), &mut problems);
        }
        if let Some(id) = id.as_deref().filter(|id| id.contains('@')) {
            let message =
                format!("`{id}`: the `id` of a link from data cannot have an `@`, which parts the ids of links");
            problems.push(RequestError::new("invalid_member", format!("{at}/id"), message));
        }
        let words = [("refuse", Missing::Refuse), ("warn", Missing::Warn)];
        let missed = missed.map(|text| word("missing", &text, words, &format!("{at}/missing")));
        let missed = missed.and_then(|word| taken(word, &mut problems)).unwrap_or_default();
        lacking(WHAT, &["each", "template"], &given, at, &mut problems);
        let (Some(each), Some(template)) = (each, template) else { return (None, problems) };
        (Some(Self { each, id, when, template, principal, resource, missing: missed, written: None }), problems)
    }

    /// The declaration as a bundle has it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let Self { each, id, when, template, principal, resource, missing, written: _ } = self;
        let mut object = json!({ "each": each, "template": template });
        for (name, value) in [("id", id), ("when", when), ("principal", principal), ("resource", resource)] {
            if let Some(value) = value {
                object[name] = json!(value);
            }
        }
        if *missing == Missing::Warn {
            object["missing"] = json!("warn");
        }
        object
    }
}

/// What `parents` of a rule says.
fn named_parents(value: Value<'_>, at: &str) -> Result<Vec<(String, String)>, RequestError> {
    let Value::Object(members) = value else {
        let message = format!(
            "`parents` must be an object of entity types, each with the attribute that names the parents, not {}",
            value.kind()
        );
        return Err(RequestError::new("invalid_member", at, message));
    };
    if members.is_empty() {
        return Err(RequestError::new("invalid_member", at, "`parents` must not be empty"));
    }
    let named = |(ty, value): (Cow<'_, str>, Value<'_>)| {
        let attribute = text(&ty, value, &format!("{at}{}", pointer(&ty)))?;
        Ok((ty.into_owned(), attribute))
    };
    members.into_iter().map(named).collect()
}

impl DataRule {
    /// The members.
    pub const MEMBERS: &'static [&'static str] =
        &["each", "each_parent", "must", "parents", "code", "message", "level"];

    /// Reads a rule; `at` points at it.
    ///
    /// # Errors
    /// If a member is missing, unknown or of the wrong type. The error points at the member, which is the first such.
    pub fn from_value(value: Value<'_>, at: &str) -> Result<Self, RequestError> {
        whole(Self::read(value, at))
    }

    /// The same, with every problem. Where something is wrong, also what can be looked at all the same, to find what else is wrong with it.
    pub fn read(value: Value<'_>, at: &str) -> (Option<Self>, Vec<RequestError>) {
        const WHAT: &str = "a data rule";
        let (mut each, mut must, mut code, mut message, mut level) = (None, None, None, None, None);
        let (mut parents, mut each_parent) = (Vec::new(), None);
        let (mut problems, mut given) = (Vec::new(), Vec::new());
        for (key, value) in members(value, WHAT, Self::MEMBERS, at, &mut problems) {
            let at = format!("{at}{}", pointer(&key));
            let name = meant(&key, WHAT, Self::MEMBERS, &at, &mut problems);
            given.extend(name);
            let place = match name {
                Some("parents") => {
                    parents = taken(named_parents(value, &at), &mut problems).unwrap_or_default();
                    continue;
                }
                Some("each") => &mut each,
                Some("each_parent") => &mut each_parent,
                Some("must") => &mut must,
                Some("code") => &mut code,
                Some("message") => &mut message,
                Some("level") => &mut level,
                _ => continue,
            };
            *place = taken(text(&key, value, &at), &mut problems);
        }
        let words = [("refuse", Level::Refuse), ("warn", Level::Warn)];
        let level = level.map(|text| word("level", &text, words, &format!("{at}/level")));
        let level = level.and_then(|word| taken(word, &mut problems)).unwrap_or_default();
        let is_object = !given.is_empty() || problems.is_empty();
        lacking(WHAT, &["each", "code", "message"], &given, at, &mut problems);
        let says_what = given.contains(&"must") || given.contains(&"parents") && !given.contains(&"each_parent");
        if is_object && !says_what {
            let or_parents =
                if given.contains(&"each_parent") { "" } else { ", or `parents`, the attributes that name them" };
            let message = format!("{WHAT} lacks `must`, an expression that holds for each of them{or_parents}");
            problems.push(RequestError::new("missing_member", format!("{at}/must"), message));
        }
        let (Some(each), true) = (each, must.is_some() || !parents.is_empty()) else { return (None, problems) };
        let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
        (Some(Self { each, each_parent, must, parents, code, message, level, written: None }), problems)
    }

    /// The rule as a bundle has it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let Self { each, each_parent, must, parents, code, message, level, written: _ } = self;
        let mut object = json!({ "each": each, "code": code, "message": message });
        if let Some(each_parent) = each_parent {
            object["each_parent"] = json!(each_parent);
        }
        if let Some(must) = must {
            object["must"] = json!(must);
        }
        if !parents.is_empty() {
            object["parents"] = parents.iter().map(|(ty, attribute)| (ty.clone(), json!(attribute))).collect();
        }
        if *level == Level::Warn {
            object["level"] = json!("warn");
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        Value::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_problem_of_one_is_found() {
        let pointers = |problems: Vec<RequestError>| {
            problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            (r#"{"each":1,"tmplate":2,"missing":"wran","x":3}"#, "/each /tmplate /tmplate /x /missing"),
            (r#"{"id":"a@b","missing":"wran"}"#, "/id /missing /each /template"),
            ("[]", ""),
            ("{}", "/each /template"),
        ] {
            let (_, problems) = LinkDeclaration::read(value(text), "");
            assert_eq!(pointers(problems), expected, "{text}");
        }
        for (text, expected) in [
            (r#"{"each":"","level":"err","parents":[]}"#, "/each /parents /level /code /message"),
            (r#"{"each":"G","mst":"true","kode":"c"}"#, "/mst /kode /message"),
            (r#"{"each":"G","code":"c","message":"m","level":"err"}"#, "/level /must"),
            ("3", ""),
            ("{}", "/each /code /message /must"),
        ] {
            let (_, problems) = DataRule::read(value(text), "");
            assert_eq!(pointers(problems), expected, "{text}");
        }
        // what is wrong beside it does not keep an expression from being looked at
        let (read, _) = DataRule::read(value(r#"{"each":"G","must":"x","code":"c","level":"err"}"#), "");
        assert_eq!(read.unwrap().must.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            r#"{"each":"G","template":"t"}"#,
            r#"{"each":"G","id":"i","missing":"warn","principal":"a.b","resource":"self","template":"r.p","when":"w"}"#,
        ] {
            let read = LinkDeclaration::from_value(value(text), "").unwrap();
            let again = read.to_json().to_string();
            assert_eq!(LinkDeclaration::from_value(value(&again), "").unwrap(), read, "{text}");
        }
        for text in [
            r#"{"each":"G","must":"true","code":"c","message":"m"}"#,
            r#"{"each":"G","must":"true","code":"c","message":"m","level":"warn"}"#,
            r#"{"each":"G","parents":{"A::H":"h","B":"b"},"code":"c","message":"m"}"#,
            r#"{"each":"G","must":"false","parents":{"A::H":"h"},"code":"c","message":"m"}"#,
            r#"{"each":"G","each_parent":"A::H","must":"true","code":"c","message":"m"}"#,
        ] {
            let read = DataRule::from_value(value(text), "").unwrap();
            let again = read.to_json().to_string();
            assert_eq!(DataRule::from_value(value(&again), "").unwrap(), read, "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_member() {
        for (text, expected, pointer) in [
            ("7", "a link from data must be an object of each, id,", "/3"),
            (r#"{"each":"G"}"#, "a link from data lacks `template`", "/3/template"),
            (r#"{"each":1}"#, "`each` must be a string, not a number", "/3/each"),
            (r#"{"each":" "}"#, "`each` must not be empty", "/3/each"),
            (r#"{"each":"G","tmplate":"t"}"#, "unknown member `tmplate`; a link from data has each, id,", "/3/tmplate"),
            (
                r#"{"each":"G","template":"t","missing":"wran"}"#,
                "`missing` is `refuse` or `warn`, not `wran`",
                "/3/missing",
            ),
            (r#"{"each":"G","template":"t","id":"a@b"}"#, "`a@b`: the `id` of a link from data cannot have", "/3/id"),
        ] {
            let error = LinkDeclaration::from_value(value(text), "/3").unwrap_err();
            assert!(error.message.starts_with(expected), "{text}: {}", error.message);
            assert_eq!(error.pointer, pointer, "{text}");
        }
        for (text, expected, pointer) in [
            (r#"{"each":"G","must":"true","code":"c"}"#, "a data rule lacks `message`", "/message"),
            (r#"{"each":"G","code":"c","message":"m"}"#, "a data rule lacks `must`, an expression", "/must"),
            (r#"{"each":"G","parents":"H","code":"c","message":"m"}"#, "`parents` must be an object of", "/parents"),
            (r#"{"each":"G","parents":{},"code":"c","message":"m"}"#, "`parents` must not be empty", "/parents"),
            (
                r#"{"each":"G","each_parent":"H","parents":{"H":"h"},"code":"c","message":"m"}"#,
                "a data rule lacks `must`",
                "/must",
            ),
            (r#"{"each_parent":{"A::H":"h"}}"#, "`each_parent` must be a string, not an object", "/each_parent"),
            (r#"{"parents":{"A::H":1}}"#, "`A::H` must be a string, not a number", "/parents/A::H"),
            (
                r#"{"each":"G","level":"err","must":"m","code":"c","message":"m"}"#,
                "`level` is `refuse` or `warn`",
                "/level",
            ),
        ] {
            let error = DataRule::from_value(value(text), "").unwrap_err();
            assert!(error.message.starts_with(expected), "{text}: {}", error.message);
            assert_eq!(error.pointer, pointer, "{text}");
        }
    }
}
