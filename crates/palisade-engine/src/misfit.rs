//! Says in words why Cedar's reader refuses a value: which member, what was expected, and what the right form is.
//!
//! Cedar's own messages name types of its program, or no member. Where nothing is found here, Cedar's words stand.
//!
//! What comes with a request is asked about before Cedar makes its values of it, which are up to forty times as large:
//! so whatever is found here must be refused by Cedar too. Builds with debug assertions ask both, as all tests do.

pub(crate) mod shape;
mod uids;

use crate::conform::{self, Name, constructor};
use crate::decode::uid_parts;
use crate::model::request::pointer;
use crate::model::{Text, Uid, Value, hint};
use crate::schema::{Members, SchemaModel, Type};

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// In words, the member's name among them.
    pub message: String,
    /// Where the member stands in the whole.
    pub place: Vec<Step>,
    /// A member is missing, which Cedar may notice later than what is wrong with a member that is there.
    pub is_missing: bool,
}

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// To a member of an object.
    Member(String),
    /// To an element of an array.
    Element(usize),
}

impl From<String> for Misfit {
    fn from(message: String) -> Self {
        Self { message, place: Vec::new(), is_missing: false }
    }
}

impl Misfit {
    /// A misfit of the member at `place`.
    pub(crate) fn at(place: &Name<'_>, message: String) -> Self {
        Self { message, place: steps(place), is_missing: false }
    }

    /// The JSON pointer to the member.
    #[must_use]
    pub(crate) fn pointer(&self) -> String {
        let step = |step: &Step| match step {
            Step::Member(name) => pointer(name),
            Step::Element(i) => format!("/{i}"),
        };
        self.place.iter().map(step).collect()
    }

    /// Where the member stands in `text`, as far as its steps can be followed.
    #[must_use]
    pub(crate) fn offset(&self, text: &str) -> Option<usize> {
        let whole = Text::check(text.as_bytes()).ok()?;
        let (mut here, mut elements) = (whole, None);
        for step in &self.place {
            let next = match step {
                Step::Member(name) => here.members().ok().flatten().and_then(|members| {
                    let member = members.into_iter().find(|member| member.key == name.as_str())?;
                    elements = member.elements;
                    Some(member.text)
                }),
                Step::Element(i) => elements.take().and_then(|elements: Vec<Text<'_>>| elements.get(*i).copied()),
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        whole.place_of(here)
    }
}

/// Refuses what comes with a request and has `misfit`, without Cedar; `refused_by_cedar` is asked in tests alone.
///
/// # Errors
/// The misfit. One that Cedar may notice later than other faults of the request is left to Cedar.
pub(super) fn before_cedar(misfit: Option<Misfit>, refused_by_cedar: impl FnOnce() -> bool) -> Result<(), Misfit> {
    match misfit {
        Some(misfit) if !misfit.is_missing => {
            debug_assert!(refused_by_cedar(), "Cedar takes what is refused here: {}", misfit.message);
            Err(misfit)
        }
        _ => Ok(()),
    }
}

/// Why an entity is refused, if it can be said.
#[must_use]
pub(crate) fn entity(entity: &Value<'_>, schema: Option<&SchemaModel>) -> Option<Misfit> {
    if let Some(found) = shape::of_members(entity) {
        return Some(found);
    }
    let ty = entity.get("uid").and_then(uid_parts).map(|(ty, _)| ty);
    let declared = match (schema, ty) {
        (Some(schema), Some(ty)) => match schema.entity_type(ty) {
            Some(declared) => Some(declared),
            None => {
                let hint = hint(ty, schema.entity_type_names());
                let message = format!("the schema declares no entity type `{ty}`{hint}");
                return Some(Misfit::at(&Name::Root("uid"), message));
            }
        },
        _ => None,
    };
    if let Some(misfit) = schema.and_then(|schema| uids::own_id(entity, schema)) {
        return Some(misfit);
    }
    let owner = ty.filter(|_| declared.is_some()).unwrap_or("the entity");
    let attributes = declared.map(|declared| &declared.attributes);
    let of_attributes = entity.get("attrs").and_then(|attrs| members(attrs, attributes, owner, &Name::Root("attrs")));
    let of_tags = || {
        let (tags, ty) = (entity.get("tags")?.as_object()?, declared.and_then(|declared| declared.tags.as_ref()));
        tags.iter().find_map(|(key, found)| value(found, ty, &Name::Member(&Name::Root("tags"), key)))
    };
    let unlisted = || declared.zip(schema).and_then(|(declared, schema)| uids::values(entity, declared, schema));
    let unfit = || shape::against(entity, declared?, schema?).or_else(|| uids::parents(entity, schema?));
    of_attributes.or_else(unlisted).or_else(unfit).or_else(of_tags).or_else(|| shape::missing(entity))
}

/// Why a context is refused, if it can be said.
#[must_use]
pub(crate) fn context(context: &Value<'_>, declared: Option<&Members>, action: &Uid<'_>) -> Option<Misfit> {
    members(context, declared, &format!("the context of `{action}`"), &Name::Root("context"))
}

/// Recurses with the nesting of the JSON, which is bounded.
fn members(value: &Value<'_>, declared: Option<&Members>, owner: &str, place: &Name<'_>) -> Option<Misfit> {
    for (key, found) in value.as_object()? {
        let place = Name::Member(place, key);
        let ty = match declared.map(|declared| (declared, declared.get(&**key))) {
            Some((declared, None)) => {
                let hint = hint(key, declared.keys().map(String::as_str));
                return Some(misfit(&place, &format!("the schema declares no `{key}` in {owner}{hint}")));
            }
            Some((_, Some(member))) => Some(&member.ty),
            None => None,
        };
        if let Some(found) = self::value(found, ty, &place) {
            return Some(found);
        }
    }
    let missing = declared?.iter().find(|(key, member)| member.required && value.get(key).is_none());
    missing.map(|(key, member)| {
        let example = example(&member.ty, None);
        let problem = format!("`{key}` is missing, which {owner} must have: {}, such as {example}", name(&member.ty));
        Misfit { is_missing: true, ..misfit(place, &problem) }
    })
}

fn value(found: &Value<'_>, ty: Option<&Type>, place: &Name<'_>) -> Option<Misfit> {
    // a record may have a member of this name, if the schema says so
    let call = found.get("__extn").filter(|_| !matches!(ty, Some(Type::Record(_))));
    if let Some(problem) = call.and_then(|call| shape::of_call(call, place)) {
        return Some(problem);
    }
    let other = |expected: &Type| {
        let what =
            format!("expected {}, such as {}, not {}", name(expected), example(expected, Some(found)), shown(found));
        Some(what)
    };
    let problem = match (ty, found) {
        (Some(ty @ Type::Long), Value::Number(n)) if n.fract() == 0.0 && n.abs() >= TOO_LARGE => {
            Some(format!("expected {}, not a number beyond 64 bits (at most 9223372036854775807)", name(ty)))
        }
        (None, Value::Number(n)) if n.fract() == 0.0 && n.abs() >= TOO_LARGE => {
            Some("a number is at most 9223372036854775807 (64 bits)".to_owned())
        }
        (None, Value::Number(n)) => Some(format!(
            "Cedar's numbers are whole and written without point or exponent, unlike {n:?}: write such as 42, or \
             {{\"__extn\": {{\"fn\": \"decimal\", \"arg\": \"{n:?}\"}}}}"
        )),
        (None | Some(Type::Unknown), Value::Null) => {
            Some("Cedar has no null: leave the member out, or give it a value".to_owned())
        }
        // a function may give one
        (Some(Type::Bool | Type::Long | Type::String), Value::Object(_)) if found.get("__extn").is_some() => None,
        (Some(ty @ (Type::Bool | Type::Long | Type::String)), found) => {
            let fits = matches!(
                (ty, found),
                (Type::Bool, Value::Bool(_)) | (Type::Long, Value::Long(_)) | (Type::String, Value::String(_))
            );
            if fits { None } else { other(ty) }
        }
        (Some(ty @ Type::Entity(expected)), found) => match found.get("__entity").unwrap_or(found) {
            inner @ Value::Object(_) => match inner.get("type").and_then(Value::as_str) {
                Some(given) if given != &**expected => {
                    Some(format!("expected an entity of the type `{expected}`, not of `{given}`"))
                }
                Some(_) if inner.get("id").and_then(Value::as_str).is_some() => None,
                _ => other(ty),
            },
            _ => other(ty),
        },
        (Some(ty @ Type::Extension(extension)), Value::String(text)) => {
            let said = || format!("`{text}` is not {}, such as {}", name(ty), example(ty, None));
            (!parses(extension, text)).then(|| said() + &bound(extension, text))
        }
        (Some(ty @ Type::Extension(extension)), Value::Object(_)) => {
            match made(found.get("__extn").unwrap_or(found)) {
                Some((made, _)) if made != &**extension => other(ty),
                Some((_, text)) => unparsed(extension, text),
                // what other functions give is for Cedar to say
                None => None,
            }
        }
        (Some(ty @ Type::Extension(_)), _) => other(ty),
        (Some(ty @ Type::Set(_)), found) if found.as_array().is_none() => other(ty),
        (Some(ty @ Type::Record(_)), found) if found.as_object().is_none() => other(ty),
        _ => None,
    };
    if let Some(problem) = problem {
        return Some(misfit(place, &problem));
    }
    match (ty, found) {
        (Some(Type::Record(declared)), Value::Object(_)) => members(found, Some(declared), "this record", place),
        (None | Some(Type::Unknown), Value::Object(_)) => {
            if found.get("__entity").is_some() {
                return None;
            }
            if let Some(call) = found.get("__extn") {
                let problem = made(call).and_then(|(extension, text)| unparsed(extension, text));
                return problem.map(|problem| misfit(place, &problem));
            }
            members(found, None, "", place)
        }
        (_, Value::Array(elements)) => {
            let element = match ty {
                Some(Type::Set(element)) => Some(&**element),
                _ => None,
            };
            elements.iter().enumerate().find_map(|(i, found)| value(found, element, &Name::Element(place, i)))
        }
        _ => None,
    }
}

/// The extension type of which a call makes a value from a text, and the text.
fn made<'v>(call: &'v Value<'_>) -> Option<(&'static str, &'v str)> {
    let (function, text) = (call.get("fn")?.as_str()?, call.get("arg")?.as_str()?);
    let types = ["ipaddr", "decimal", "datetime", "duration"];
    Some((types.into_iter().find(|extension| constructor(extension) == Some(function))?, text))
}

/// What is wrong with a text of which a value of the type is to be made.
fn unparsed(extension: &str, text: &str) -> Option<String> {
    let name = name(&Type::Extension(extension.into()));
    (!parses(extension, text))
        .then(|| format!("`{text}` is not {name}, such as `{}`{}", argument(extension), bound(extension, text)))
}

/// The bound that a decimal goes beyond, where it has the right form.
fn bound(extension: &str, text: &str) -> String {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.strip_prefix('-').unwrap_or(text).split_once('.').filter(|_| extension == "decimal");
    match parts {
        Some((whole, fraction)) if digits(whole) && digits(fraction) && fraction.len() > 4 => {
            "; it has at most 4 digits after the point".to_owned()
        }
        Some((whole, fraction)) if digits(whole) && digits(fraction) => {
            "; it is at most 922337203685477.5807".to_owned()
        }
        _ => String::new(),
    }
}

/// From here on numbers may not fit 64 bits.
const TOO_LARGE: f64 = 9_223_372_036_854_775_807.0;

fn misfit(place: &Name<'_>, problem: &str) -> Misfit {
    Misfit::at(place, format!("`{place}`: {problem}"))
}

fn steps(place: &Name<'_>) -> Vec<Step> {
    let (mut steps, mut here) = (Vec::new(), *place);
    loop {
        let (step, above) = match here {
            Name::Root(name) => (Step::Member(name.to_owned()), None),
            Name::Member(above, key) => (Step::Member(key.to_owned()), Some(above)),
            Name::Element(above, i) => (Step::Element(i), Some(above)),
        };
        steps.push(step);
        match above {
            Some(above) => here = *above,
            None => break,
        }
    }
    steps.reverse();
    steps
}

/// The type as people call it.
fn name(ty: &Type) -> String {
    match ty {
        Type::Bool => "a boolean".to_owned(),
        Type::Long => "a whole number".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Set(_) => "a set".to_owned(),
        Type::Record(_) => "a record".to_owned(),
        Type::Entity(ty) => format!("an entity of the type `{ty}`"),
        Type::Extension(ty) if matches!(&**ty, "ipaddr") => "an IP address (`ipaddr`)".to_owned(),
        Type::Extension(ty) => format!("a {ty}"),
        Type::Unknown => "a value".to_owned(),
    }
}

/// JSON of the type; of the very entity that was meant, where that can be read.
fn example(ty: &Type, meant: Option<&Value<'_>>) -> String {
    match ty {
        Type::Bool => "true".to_owned(),
        Type::Long => "42".to_owned(),
        Type::String => "\"text\"".to_owned(),
        Type::Set(element) => format!("[{}]", example(element, None)),
        Type::Record(_) => "{\"member\": ...}".to_owned(),
        Type::Entity(ty) => {
            let id = meant.and_then(Value::as_str).map(|text| match Uid::parse(text) {
                Ok(uid) => uid.id.into_owned(),
                Err(_) => text.to_owned(),
            });
            let id = serde_json::Value::from(id.as_deref().unwrap_or("..."));
            format!("{{\"type\": \"{ty}\", \"id\": {id}}}")
        }
        Type::Extension(extension) => format!("\"{}\"", argument(extension)),
        Type::Unknown => "\"text\"".to_owned(),
    }
}

fn argument(extension: &str) -> &'static str {
    match extension {
        "ipaddr" => "10.0.0.0/8",
        "decimal" => "12.5",
        "datetime" => "2024-10-15T11:35:00Z",
        _ => "1h30m",
    }
}

fn parses(extension: &str, text: &str) -> bool {
    constructor(extension).is_some_and(|constructor| conform::parses(constructor, text))
}

/// What was found: short values themselves.
fn shown(found: &Value<'_>) -> String {
    match found {
        Value::Null => "null".to_owned(),
        Value::Number(n) => format!("{n:?}"),
        Value::String(text) if text.len() <= 60 => format!("the string {}", serde_json::Value::from(&**text)),
        Value::Bool(_) | Value::Long(_) => found.to_json().to_string(),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SchemaText;
    use crate::settings::Limits;

    const SCHEMA: &str = "entity User; entity Doc = {owner: User, n?: Long, b?: Bool, s?: Set<String>, d?: datetime, \
         ip?: ipaddr, c?: decimal, r?: {x: Long}, v?: duration} tags Long; \
         action view appliesTo {principal: User, resource: Doc, context: {deep?: {x: Long}, ip: ipaddr}};";

    fn schema() -> SchemaModel {
        let text = SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] };
        SchemaModel::build(&text, &Limits::default()).unwrap()
    }

    /// Each is refused by Cedar, with and without our words; what Cedar takes has none.
    #[test]
    fn what_cedar_refuses_is_named_with_its_member() {
        let schema = schema();
        for (attrs, expected) in [
            (r#""n": 1.0"#, "`attrs.n`: expected a whole number, such as 42, not 1.0"),
            (r#""n": 1e3"#, "`attrs.n`: expected a whole number, such as 42, not 1000.0"),
            (r#""n": 9223372036854775808"#, "`attrs.n`: expected a whole number, not a number beyond 64 bits"),
            (r#""n": "x""#, "`attrs.n`: expected a whole number, such as 42, not the string \"x\""),
            (r#""n": null"#, "`attrs.n`: expected a whole number, such as 42, not null"),
            (r#""b": "true""#, "`attrs.b`: expected a boolean, such as true, not the string \"true\""),
            (r#""s": "x""#, "`attrs.s`: expected a set, such as [\"text\"], not the string"),
            (r#""s": ["x", 1]"#, "`attrs.s[1]`: expected a string, such as \"text\", not 1"),
            (r#""r": {"x": 1, "y": 2}"#, "`attrs.r.y`: the schema declares no `y` in this record"),
            (r#""r": {}"#, "`attrs.r`: `x` is missing, which this record must have: a whole number, such as 42"),
            (r#""d": "2024-13-01""#, "`attrs.d`: `2024-13-01` is not a datetime, such as \"2024-10-15T11:35:00Z\""),
            (r#""d": {"__extn": {"fn": "datetime", "arg": "x"}}"#, "`attrs.d`: `x` is not a datetime"),
            (r#""d": {"__extn": {"fn": "ip", "arg": "::1"}}"#, "`attrs.d`: expected a datetime"),
            (r#""d": 5"#, "`attrs.d`: expected a datetime, such as \"2024-10-15T11:35:00Z\", not 5"),
            (r#""ip": "1.2.3""#, "`attrs.ip`: `1.2.3` is not an IP address (`ipaddr`), such as \"10.0.0.0/8\""),
            (r#""c": 1.5"#, "`attrs.c`: expected a decimal, such as \"12.5\", not 1.5"),
            (
                r#""c": "1.23456""#,
                "`1.23456` is not a decimal, such as \"12.5\"; it has at most 4 digits after the point",
            ),
            (r#""c": "922337203685478.0""#, "is not a decimal, such as \"12.5\"; it is at most 922337203685477.5807"),
            (
                r#""c": {"__extn": {"fn": "decimal", "arg": "0.00001"}}"#,
                "`0.00001` is not a decimal, such as `12.5`; it has at most 4 digits after the point",
            ),
            (r#""v": "1 hour""#, "`attrs.v`: `1 hour` is not a duration, such as \"1h30m\""),
            (r#""nn": 1"#, "`attrs.nn`: the schema declares no `nn` in Doc; did you mean `n`?"),
            (
                r#""owner": "User::\"bob\"""#,
                r#"`attrs.owner`: expected an entity of the type `User`, such as {"type": "User", "id": "bob"}, not the string"#,
            ),
            (r#""owner": {"type": "Usr", "id": "a"}"#, "expected an entity of the type `User`, not of `Usr`"),
            (r#""owner": {"id": "a"}"#, "`attrs.owner`: expected an entity of the type `User`, such as"),
        ] {
            let owner = if attrs.contains("owner") { "" } else { r#""owner": {"type": "User", "id": "bob"}, "# };
            let text =
                format!(r#"{{"uid": {{"type": "Doc", "id": "d"}}, "attrs": {{{owner}{attrs}}}, "parents": []}}"#);
            let value = Value::parse(text.as_bytes()).unwrap();
            assert!(cedar_policy::Entity::from_json_value(value.to_json(), Some(&schema.cedar)).is_err(), "{text}");
            let misfit = entity(&value, Some(&schema)).unwrap_or_else(|| panic!("{text}"));
            assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
            // it points at the attribute
            let at = misfit.offset(&text).unwrap();
            assert!(at >= text.find("attrs").unwrap(), "{text} {at}");
        }
        let text = r#"{"uid": {"type": "Dok", "id": "d"}, "attrs": {}, "parents": []}"#;
        let misfit = entity(&Value::parse(text.as_bytes()).unwrap(), Some(&schema)).unwrap();
        assert_eq!(misfit.message, "the schema declares no entity type `Dok`; did you mean `Doc`?");
        let text = r#"{"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}"#;
        let misfit = entity(&Value::parse(text.as_bytes()).unwrap(), Some(&schema)).unwrap();
        assert!(misfit.message.starts_with("`attrs`: `owner` is missing, which Doc must have"), "{}", misfit.message);
    }

    /// What Cedar takes has no misfit, or it would be refused where it comes with a request.
    #[test]
    fn what_cedar_takes_is_fine() {
        let schema = schema();
        for attrs in [
            r#""n": 42, "b": true, "s": [], "r": {"x": -1}"#,
            r#""n": {"__extn": {"fn": "toDays", "arg": {"__extn": {"fn": "duration", "arg": "1d"}}}}"#,
            r#""b": {"__extn": {"fn": "isLoopback", "arg": {"__extn": {"fn": "ip", "arg": "::1"}}}}"#,
            r#""d": {"__extn": {"fn": "toDate", "arg": "2024-01-01"}}"#,
            r#""d": {"fn": "datetime", "arg": "2024-01-01"}, "v": "1h", "c": "1.0", "ip": "::1""#,
            r#""d": {"__extn": {"fn": "offset", "args": ["2024-01-01", "1d"]}}"#,
            r#""d": {"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "2024-01-01"}}, {"__extn": {"fn": "duration", "arg": "1d"}}]}}"#,
            r#""v": {"__extn": {"fn": "toTime", "arg": {"__extn": {"fn": "datetime", "arg": "2024-01-01"}}}}"#,
        ] {
            let text = format!(
                r#"{{"uid": {{"type": "Doc", "id": "d"}}, "attrs": {{"owner": {{"type": "User", "id": "bob"}}, {attrs}}}, "parents": []}}"#
            );
            let value = Value::parse(text.as_bytes()).unwrap();
            if cedar_policy::Entity::from_json_value(value.to_json(), Some(&schema.cedar)).is_ok() {
                assert_eq!(entity(&value, Some(&schema)), None, "{text}");
            }
        }
    }

    #[test]
    fn without_a_schema_numbers_and_nulls_are_named() {
        for (text, expected) in [
            (r#"{"attrs": {"a": {"b": [1, 2.5]}}}"#, "`attrs.a.b[1]`: Cedar's numbers are whole"),
            (r#"{"attrs": {"a": null}}"#, "`attrs.a`: Cedar has no null"),
            (r#"{"attrs": {"a": 18446744073709551616}}"#, "`attrs.a`: a number is at most 9223372036854775807"),
            (r#"{"tags": {"a": 1.5}}"#, "`tags.a`: Cedar's numbers"),
        ] {
            let misfit = entity(&Value::parse(text.as_bytes()).unwrap(), None).unwrap();
            assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
        }
        let fine = r#"{"uid": {"type": "A", "id": "a"}, "parents": [], "attrs": {"a": [1, {"__entity": {"type": "A", "id": "b"}}]}, "tags": {"t": "x"}}"#;
        assert_eq!(entity(&Value::parse(fine.as_bytes()).unwrap(), None), None);
    }

    #[test]
    fn a_context_is_named_by_its_member() {
        let schema = schema();
        let action = Uid::parse("Action::\"view\"").unwrap();
        for (text, expected) in [
            (r#"{"ip": "1.2.3"}"#, "`context.ip`: `1.2.3` is not an IP address"),
            (r#"{"ip": "::1", "deep": {"x": "a"}}"#, "`context.deep.x`: expected a whole number"),
            (
                r#"{"ipp": "::1"}"#,
                "`context.ipp`: the schema declares no `ipp` in the context of `Action::\"view\"`; did you mean `ip`?",
            ),
            ("{}", "`context`: `ip` is missing"),
        ] {
            let value = Value::parse(text.as_bytes()).unwrap();
            let misfit = context(&value, schema.context(&action), &action).unwrap();
            assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
            let named = expected.trim_start_matches('`').split('`').next().unwrap_or_default();
            assert_eq!(misfit.pointer(), format!("/{}", named.replace('.', "/")), "{text}");
        }
    }
}
