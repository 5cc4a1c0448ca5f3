//! A small change as the API takes it: an object with one member, whose name says what to do.

use std::borrow::Cow;

use crate::model::request::{pointer, uid_member};
use crate::model::{Dangling, Edit, Link, LinkNames, RequestError, Uid, Update, Value, closest, hint};

/// What changes are called, in the order in which they are listed.
const NAMES: [&str; 12] = [
    "upsert",
    "update",
    "delete",
    "delete_subtree",
    "revert",
    "put_policy",
    "delete_policy",
    "revert_policy",
    "put_link",
    "delete_link",
    "revert_link",
    "expect",
];

type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

fn unlike<T>(at: &str, what: &str, expected: &str, found: &Value<'_>) -> Result<T, RequestError> {
    let message = format!("{what} must be {expected}, not {}", found.kind());
    Err(RequestError::new("invalid_member", at, message))
}

fn uid(value: Value<'_>, at: &str) -> Result<Uid<'static>, RequestError> {
    Ok(uid_member(value, at)?.into_owned())
}

fn text(value: Value<'_>, what: &str, at: &str) -> Result<String, RequestError> {
    match value {
        Value::String(text) => Ok(text.into_owned()),
        other => unlike(at, what, "a string", &other),
    }
}

fn object<'a>(value: Value<'a>, what: &str, at: &str) -> Result<Members<'a>, RequestError> {
    match value {
        Value::Object(members) => Ok(members),
        other => unlike(at, what, "an object", &other),
    }
}

/// Something, or everything that is wrong with it.
type Read<T> = Result<T, Vec<RequestError>>;

impl From<RequestError> for Vec<RequestError> {
    fn from(error: RequestError) -> Self {
        vec![error]
    }
}

/// The elements of an array, each made by `each`.
fn list<'a, T>(
    value: Value<'a>,
    what: &str,
    at: &str,
    each: impl Fn(Value<'a>, &str) -> Result<T, RequestError>,
) -> Read<Vec<T>> {
    let Value::Array(elements) = value else { return Ok(unlike(at, what, "an array", &value)?) };
    let (mut read, mut faults) = (Vec::with_capacity(elements.len()), Vec::new());
    for (i, element) in elements.into_iter().enumerate() {
        match each(element, &format!("{at}/{i}")) {
            Ok(element) => read.push(element),
            Err(fault) if faults.len() < MOST_FAULTS => faults.push(fault),
            Err(_) => {}
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

/// Faults of one list that are kept: of a long one all elements may be wrong.
const MOST_FAULTS: usize = 100;

/// The members of an object while they are read, and all that is wrong with them.
struct Reading<'w> {
    what: &'w str,
    at: &'w str,
    known: &'static [&'static str],
    given: Vec<&'static str>,
    faults: Vec<RequestError>,
}

impl<'w> Reading<'w> {
    fn new(what: &'w str, at: &'w str, known: &'static [&'static str]) -> Self {
        Self { what, at, known, given: Vec::new(), faults: Vec::new() }
    }

    /// The name of a member, or the one that was probably meant: what is wrong with that is found, too.
    fn name(&mut self, key: &str) -> Option<&'static str> {
        let known = self.known.iter().find(|name| **name == key).copied();
        if known.is_none() {
            let near = hint(key, self.known.iter().copied());
            let message = format!("unknown member `{key}`; {} has {}{near}", self.what, self.known.join(", "));
            self.faults.push(RequestError::new("unknown_member", format!("{}{}", self.at, pointer(key)), message));
        }
        let name = known.or_else(|| closest(key, self.known.iter().copied()))?;
        self.given.push(name);
        Some(name)
    }

    fn take<T>(&mut self, read: Result<T, impl Into<Vec<RequestError>>>) -> Option<T> {
        read.map_err(|faults| self.faults.extend(faults.into())).ok()
    }

    /// What was read, if nothing is wrong and `needed` are there.
    fn finish<T>(mut self, needed: &[&str], read: impl FnOnce() -> Option<T>) -> Read<T> {
        for name in needed.iter().filter(|name| !self.given.contains(name)) {
            let (at, message) = (format!("{}/{name}", self.at), format!("{} lacks `{name}`", self.what));
            self.faults.push(RequestError::new("missing_member", at, message));
        }
        if self.faults.is_empty() { read().ok_or_else(Vec::new) } else { Err(self.faults) }
    }
}

impl Dangling {
    /// The word for it in the API.
    pub const NAMES: [&str; 4] = ["refuse", "unlink", "cascade", "keep"];

    /// Reads the word; `at` points at it.
    ///
    /// # Errors
    /// If it is another.
    pub fn from_word(word: &str, at: &str) -> Result<Self, RequestError> {
        Ok(match word {
            "refuse" => Self::Refuse,
            "unlink" => Self::Unlink,
            "cascade" => Self::Cascade,
            "keep" => Self::Keep,
            other => {
                let near = hint(other, Self::NAMES);
                let message = format!("`dangling` is `refuse`, `unlink`, `cascade` or `keep`, not `{other}`{near}");
                return Err(RequestError::new("invalid_member", at, message));
            }
        })
    }
}

impl Edit {
    /// Reads a change; `at` points at it.
    ///
    /// # Errors
    /// If it has another shape: the first fault, which points at the member.
    pub fn from_value(value: Value<'_>, at: &str) -> Result<Self, RequestError> {
        Self::read(value, at).map_err(|faults| {
            let first = faults.into_iter().next();
            first.unwrap_or_else(|| RequestError::new("invalid_change", at, "the change cannot be read"))
        })
    }

    /// Reads a change; `at` points at it.
    ///
    /// # Errors
    /// If it has another shape: everything that is wrong with it, each at its member.
    pub fn read(value: Value<'_>, at: &str) -> Result<Self, Vec<RequestError>> {
        let mut members = object(value, "a change", at)?;
        if members.len() != 1 {
            let mut message = format!("a change is an object with one member, which is one of {}", NAMES.join(", "));
            let given: Vec<String> = members.iter().take(NAMES.len()).map(|(name, _)| format!("`{name}`")).collect();
            if !given.is_empty() {
                message += &format!("; this has {}: write each as a change of its own", given.join(", "));
            }
            return Err(RequestError::new("invalid_change", at, message).into());
        }
        let Some((name, value)) = members.pop() else { return Err(Vec::new()) };
        let place = format!("{at}{}", pointer(&name));
        let at = place.as_str();
        Ok(match &*name {
            "upsert" => match value {
                Value::Object(_) => Self::Upsert(value.into_owned()),
                other => {
                    let expected = "an entity, an object of `uid`, `attrs` and `parents`";
                    return Ok(unlike(at, "`upsert`", expected, &other)?);
                }
            },
            "update" => Self::Update(Box::new(Update::read(value, at)?)),
            "delete" => Self::Delete(uid(value, at)?),
            "delete_subtree" => Self::DeleteSubtree(uid(value, at)?),
            "revert" => Self::Revert(uid(value, at)?),
            "revert_policy" => Self::RevertPolicy(text(value, "`revert_policy`", at)?),
            "revert_link" => Self::RevertLink(text(value, "`revert_link`", at)?),
            "put_policy" => policy(value, at)?,
            "delete_policy" => Self::DeletePolicy(text(value, "`delete_policy`", at)?),
            "put_link" => match Link::read(value, LinkNames::OF_FILES, at) {
                (Some(link), faults) if faults.is_empty() => Self::PutLink(link),
                (_, faults) => return Err(faults),
            },
            "delete_link" => Self::DeleteLink(text(value, "`delete_link`", at)?),
            "expect" => expect(value, at)?,
            other => {
                let near = hint(other, NAMES);
                let message = format!("there is no change `{other}`; a change is one of {}{near}", NAMES.join(", "));
                return Err(RequestError::new("unknown_member", at, message).into());
            }
        })
    }

    /// The member that the API names this change by.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Upsert(_) => "upsert",
            Self::Update(_) => "update",
            Self::Delete(_) => "delete",
            Self::DeleteSubtree(_) => "delete_subtree",
            Self::Revert(_) => "revert",
            Self::RevertPolicy(_) => "revert_policy",
            Self::RevertLink(_) => "revert_link",
            Self::PutPolicy { .. } => "put_policy",
            Self::DeletePolicy(_) => "delete_policy",
            Self::PutLink(_) => "put_link",
            Self::DeleteLink(_) => "delete_link",
            Self::Expect { .. } => "expect",
        }
    }

    /// Refuses an id that a policy or link must not be given; `at` points at the change. What has such an id can be deleted.
    ///
    /// # Errors
    /// If it is empty, or has a NUL character. The error points at the member.
    pub fn check_id(&self, at: &str) -> Result<(), RequestError> {
        match self {
            Self::PutPolicy { id, .. } => check_id(id, &format!("{at}/put_policy/id")),
            Self::PutLink(link) => check_id(&link.link_id, &format!("{at}/put_link/link_id")),
            _ => Ok(()),
        }
    }

    /// Whether it is of an entity, and not of a policy or a link.
    #[must_use]
    pub fn is_of_entity(&self) -> bool {
        !self.name().ends_with("_policy") && !self.name().ends_with("_link")
    }
}

/// Refuses an id that no policy or link should have: it reads as none, or ends early where programs read it.
///
/// # Errors
/// If it is empty, or has a NUL character; `at` points at it.
pub fn check_id(id: &str, at: &str) -> Result<(), RequestError> {
    let wrong = if id.is_empty() {
        "the id is empty; name the policy or link"
    } else if id.contains('\0') {
        "the id has a NUL character; leave it out"
    } else {
        return Ok(());
    };
    Err(RequestError::new("invalid_member", at, wrong))
}

fn policy(value: Value<'_>, at: &str) -> Read<Edit> {
    let (mut id, mut policy) = (None, None);
    let mut reading = Reading::new("`put_policy`", at, &["id", "text"]);
    for (key, value) in object(value, "`put_policy`", at)? {
        let place = format!("{at}{}", pointer(&key));
        match (reading.name(&key), value) {
            (Some("id"), value) => id = reading.take(text(value, "`id`", &place)),
            (Some(_), Value::String(text)) => policy = Some(text.into_owned()),
            // Cedar's JSON form, as the text that it is kept as
            (Some(_), value @ Value::Object(_)) => policy = Some(value.to_json().to_string()),
            (Some(_), other) => {
                let expected = "a policy as text, or in Cedar's JSON form";
                policy = reading.take(unlike(&place, "`text`", expected, &other));
            }
            (None, _) => {}
        }
    }
    reading.finish(&["id", "text"], || Some(Edit::PutPolicy { id: id?, text: policy? }))
}

fn expect(value: Value<'_>, at: &str) -> Read<Edit> {
    let (mut of, mut equals) = (None, None);
    let mut reading = Reading::new("`expect`", at, &["uid", "equals"]);
    for (key, value) in object(value, "`expect`", at)? {
        let place = format!("{at}{}", pointer(&key));
        match (reading.name(&key), value) {
            (Some("uid"), value) => of = reading.take(uid(value, &place)),
            (Some(_), Value::Null) => equals = Some(None),
            (Some(_), value @ Value::Object(_)) => equals = Some(Some(value.into_owned())),
            (Some(_), other) => equals = reading.take(unlike(&place, "`equals`", "an entity or null", &other)),
            (None, _) => {}
        }
    }
    reading.finish(&["uid", "equals"], || Some(Edit::Expect { uid: of?, equals: equals? }))
}

impl Update {
    fn read(value: Value<'_>, at: &str) -> Read<Self> {
        const MEMBERS: &[&str] = &["uid", "attrs", "unset", "tags", "untag", "add_parents", "remove_parents"];
        let mut of = None;
        let (mut attrs, mut unset, mut tags, mut untag) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut add_parents, mut remove_parents) = (Vec::new(), Vec::new());
        let mut reading = Reading::new("`update`", at, MEMBERS);
        for (key, value) in object(value, "`update`", at)? {
            let place = format!("{at}{}", pointer(&key));
            let what = format!("`{key}`");
            let members = |value| -> Result<Vec<(String, Value<'static>)>, RequestError> {
                let members = object(value, &what, &place)?;
                Ok(members.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
            };
            let names = |value| list(value, &what, &place, |value, at| text(value, "a name", at));
            match reading.name(&key) {
                Some("uid") => of = reading.take(uid(value, &place)),
                Some("attrs") => attrs = reading.take(members(value)).unwrap_or_default(),
                Some("unset") => unset = reading.take(names(value)).unwrap_or_default(),
                Some("tags") => tags = reading.take(members(value)).unwrap_or_default(),
                Some("untag") => untag = reading.take(names(value)).unwrap_or_default(),
                Some("add_parents") => {
                    add_parents = reading.take(list(value, &what, &place, uid)).unwrap_or_default();
                }
                Some(_) => remove_parents = reading.take(list(value, &what, &place, uid)).unwrap_or_default(),
                None => {}
            }
        }
        for (set, removed, member) in [(&attrs, &unset, "unset"), (&tags, &untag, "untag")] {
            let both = removed.iter().enumerate().filter(|(_, name)| set.iter().any(|(known, _)| known == *name));
            for (i, name) in both.take(MOST_FAULTS) {
                let message = format!("`{name}` is both set and removed");
                reading.faults.push(RequestError::new("invalid_member", format!("{at}/{member}/{i}"), message));
            }
        }
        let both = remove_parents.iter().enumerate().filter(|(_, parent)| add_parents.contains(*parent));
        for (i, parent) in both.take(MOST_FAULTS) {
            let message = format!("the parent `{parent}` is both added and removed");
            reading.faults.push(RequestError::new("invalid_member", format!("{at}/remove_parents/{i}"), message));
        }
        reading.finish(&["uid"], || Some(Self { uid: of?, attrs, unset, tags, untag, add_parents, remove_parents }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Edit, RequestError> {
        Edit::from_value(Value::parse(text.as_bytes()).unwrap(), "/changes/3")
    }

    #[test]
    fn every_change_is_read_by_its_name() {
        for (name, rest) in [
            ("upsert", r#"{"uid":{"type":"U","id":"u"}}"#),
            (
                "update",
                r#"{"uid":{"type":"U","id":"u"},"attrs":{"a":1},"unset":["b"],"tags":{"t":"x"},"untag":["s"],"add_parents":[{"type":"G","id":"g"}],"remove_parents":["G::\"h\""]}"#,
            ),
            ("delete", r#"{"type":"U","id":"u"}"#),
            ("delete_subtree", r#""U::\"u\"""#),
            ("revert", r#"{"__entity":{"type":"U","id":"u"}}"#),
            ("put_policy", r#"{"id":"p","text":"permit (principal, action, resource);"}"#),
            ("put_policy", r#"{"id":"p","text":{"effect":"permit"}}"#),
            ("delete_policy", r#""p""#),
            ("revert_policy", r#""p""#),
            ("put_link", r#"{"link_id":"l","template_id":"t","args":{}}"#),
            ("delete_link", r#""l""#),
            ("revert_link", r#""l""#),
            ("expect", r#"{"uid":{"type":"U","id":"u"},"equals":null}"#),
            ("expect", r#"{"uid":{"type":"U","id":"u"},"equals":{}}"#),
        ] {
            let edit = read(&format!(r#"{{"{name}":{rest}}}"#)).unwrap();
            assert_eq!(edit.name(), name);
            assert_eq!(edit.is_of_entity(), !name.contains("policy") && !name.contains("link"));
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_change_is_found_at_once() {
        for (text, expected) in [
            (r#"{"put_policy":{"idd":1,"text":2,"x":3}}"#, &["/idd", "/idd", "/text", "/x"][..]),
            (r#"{"put_policy":{"x":1}}"#, &["/x", "/id", "/text"]),
            (r#"{"expect":{"uid":"u","equals":1}}"#, &["/uid", "/equals"]),
            (
                r#"{"put_link":{"link_id":1,"args":{"?principal":"x","?resource":7}}}"#,
                &["/link_id", "/args/?principal", "/args/?resource", "/template_id"],
            ),
            (
                r#"{"update":{"attr":[],"unset":["a",1,2],"tags":{"t":1,"u":1},"untag":["u","t"],"add_parents":["x","G::\"g\""],"remove_parents":["G::\"g\"",3]}}"#,
                &[
                    "/attr",
                    "/attr",
                    "/unset/1",
                    "/unset/2",
                    "/add_parents/0",
                    "/remove_parents/1",
                    "/untag/0",
                    "/untag/1",
                    "/uid",
                ],
            ),
        ] {
            let faults = Edit::read(Value::parse(text.as_bytes()).unwrap(), "").unwrap_err();
            let places: Vec<&str> =
                faults.iter().map(|fault| &fault.pointer[fault.pointer[1..].find('/').unwrap() + 1..]).collect();
            assert_eq!(places, expected, "{text}: {faults:#?}");
        }
    }

    #[test]
    fn errors_point_at_the_member_and_say_what_it_should_be() {
        for (text, expected, pointer) in [
            ("7", "a change must be an object, not a number", ""),
            ("{}", "a change is an object with one member", ""),
            (r#"{"delete":"U::\"u\"","upsert":{}}"#, "a change is an object with one member", ""),
            (r#"{"upsrt":{}}"#, "there is no change `upsrt`", "/upsrt"),
            (r#"{"upsert":[]}"#, "`upsert` must be an entity", "/upsert"),
            (r#"{"delete":"u"}"#, "`u` is not an entity uid", "/delete"),
            (r#"{"delete":{"type":"U"}}"#, "the entity lacks `id`", "/delete"),
            (r#"{"put_policy":{"id":1}}"#, "`id` must be a string, not a number", "/put_policy/id"),
            (r#"{"put_policy":{"id":"p"}}"#, "`put_policy` lacks `text`", "/put_policy/text"),
            (r#"{"put_policy":{"body":""}}"#, "unknown member `body`; `put_policy` has id, text", "/put_policy/body"),
            (r#"{"delete_link":{}}"#, "`delete_link` must be a string, not an object", "/delete_link"),
            (r#"{"put_link":{"link_id":"l"}}"#, "the link lacks `template_id`", "/put_link/template_id"),
            (r#"{"update":{}}"#, "`update` lacks `uid`", "/update/uid"),
            (r#"{"update":{"attr":{}}}"#, "unknown member `attr`; `update` has uid, attrs", "/update/attr"),
            (r#"{"update":{"attrs":[]}}"#, "`attrs` must be an object, not an array", "/update/attrs"),
            (r#"{"update":{"unset":"a"}}"#, "`unset` must be an array, not a string", "/update/unset"),
            (r#"{"update":{"unset":["a",1]}}"#, "a name must be a string, not a number", "/update/unset/1"),
            (r#"{"update":{"attrs":{"a":1},"unset":["a"]}}"#, "`a` is both set and removed", "/update/unset/0"),
            (r#"{"update":{"add_parents":["x"]}}"#, "`x` is not an entity uid", "/update/add_parents/0"),
            (r#"{"expect":{"uid":"U::\"u\""}}"#, "`expect` lacks `equals`", "/expect/equals"),
            (r#"{"expect":{"equals":1}}"#, "`equals` must be an entity or null, not a number", "/expect/equals"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message.starts_with(expected), "{text}: {}", error.message);
            assert_eq!(error.pointer, format!("/changes/3{pointer}"), "{text}");
        }
        for (text, pointer) in [
            (r#"{"put_policy":{"id":"","text":""}}"#, Some("/changes/3/put_policy/id")),
            (r#"{"put_policy":{"id":"a\u0000","text":""}}"#, Some("/changes/3/put_policy/id")),
            (r#"{"put_link":{"link_id":"\u0000","template_id":"t","args":{}}}"#, Some("/changes/3/put_link/link_id")),
            (r#"{"delete_policy":""}"#, None),
            (r#"{"put_policy":{"id":" ","text":""}}"#, None),
        ] {
            let checked = read(text).unwrap().check_id("/changes/3");
            assert_eq!(checked.err().map(|error| error.pointer).as_deref(), pointer, "{text}");
        }
        assert_eq!(Dangling::from_word("unlink", ""), Ok(Dangling::Unlink));
        let error = Dangling::from_word("cascde", "/dangling").unwrap_err();
        assert!(error.message.ends_with("did you mean `cascade`?"), "{}", error.message);
    }
}
