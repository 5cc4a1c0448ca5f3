//! What Cedar's JSON reader would read, dropping a part of it without a word.
//!
//! It ignores members that it does not know: of an entity, of a uid, of `__entity` and of `__extn`. So `{"__entity": …,
//! "type": …, "id": …}` is one entity to Cedar and may be another to a program that read it first, and a `parent`
//! that should be `parents` is lost. Everything that Cedar is about to read goes through here first. (The compiled
//! reader takes the plain forms alone, to which none of this applies.)

use crate::conform::Name;
use crate::decode::uid_parts;
use crate::misfit::shape::MEMBERS as ENTITY;
use crate::misfit::{self, Misfit, Misfits};
use crate::model::{Value, hint};
use crate::schema::{Members, SchemaModel, Type};

/// The members of a uid.
const UID: &[&str] = &["type", "id"];
/// The members of a call of an extension's function.
const CALL: &[&str] = &["fn", "arg", "args"];

/// Refuses an entity with members that Cedar would ignore.
///
/// # Errors
/// The first such member, where, in words.
pub(crate) fn entity(value: &Value<'_>, schema: Option<&SchemaModel>) -> Result<(), Misfit> {
    let mut found = Misfits::room_for_one();
    look(value, schema, &mut found);
    found.first().map_or(Ok(()), Err)
}

/// Adds the members of an entity that Cedar would ignore.
pub(crate) fn look(value: &Value<'_>, schema: Option<&SchemaModel>, to: &mut Misfits) {
    let Value::Object(members) = value else {
        // Cedar would take the members of a list in an order that it writes nowhere
        return to.push(misfit::entity(value, schema).unwrap_or_else(|| "this is no entity".to_owned().into()));
    };
    for (key, _) in members {
        if !to.is_full() && !ENTITY.contains(&&**key) {
            let hint = match &**key {
                "type" | "id" if value.get("uid").is_none() => {
                    "; the name of an entity is its `uid`: `\"uid\": {\"type\": \"User\", \"id\": \"ann\"}`".to_owned()
                }
                _ => hint(key, ENTITY.iter().copied()),
            };
            let message = format!("unknown member `{key}`: an entity has `uid`, `attrs`, `parents` and `tags`{hint}");
            to.push(Misfit::at(&Name::Root(key), message));
        }
    }
    if let Some(found) = value.get("uid") {
        uid(found, &Name::Root("uid"), to);
    }
    for (i, parent) in value.get("parents").and_then(Value::as_array).unwrap_or_default().iter().enumerate() {
        uid(parent, &Name::Element(&Name::Root("parents"), i), to);
    }
    let declared = value.get("uid").and_then(uid_parts).and_then(|(ty, _)| schema?.entity_type(ty));
    for (key, found) in value.get("attrs").and_then(Value::as_object).unwrap_or_default() {
        let ty = declared.and_then(|declared| declared.attributes.get(&**key)).map(|member| &member.ty);
        self::value(found, ty, &Name::Member(&Name::Root("attrs"), key), to);
    }
    for (key, found) in value.get("tags").and_then(Value::as_object).unwrap_or_default() {
        let ty = declared.and_then(|declared| declared.tags.as_ref());
        self::value(found, ty, &Name::Member(&Name::Root("tags"), key), to);
    }
}

/// Refuses a context, or other members, with parts that Cedar would ignore.
///
/// # Errors
/// Which member, where, in words.
pub(crate) fn members(value: &Value<'_>, declared: Option<&Members>, place: &Name<'_>) -> Result<(), Misfit> {
    let mut found = Misfits::room_for_one();
    of_members(value, declared, place, &mut found);
    found.first().map_or(Ok(()), Err)
}

fn of_members(value: &Value<'_>, declared: Option<&Members>, place: &Name<'_>, to: &mut Misfits) {
    for (key, found) in value.as_object().unwrap_or_default() {
        let ty = declared.and_then(|declared| declared.get(&**key)).map(|member| &member.ty);
        self::value(found, ty, &Name::Member(place, key), to);
    }
}

/// Recurses with the nesting of the JSON, which is bounded. The place is written only where something is wrong: keys may
/// be as long as the request, and elements as many.
fn value(value: &Value<'_>, ty: Option<&Type>, place: &Name<'_>, to: &mut Misfits) {
    if to.is_full() {
        return;
    }
    match value {
        Value::Array(elements) => {
            let element = match ty {
                Some(Type::Set(element)) => Some(&**element),
                _ => None,
            };
            for (i, found) in elements.iter().enumerate() {
                self::value(found, element, &Name::Element(place, i), to);
            }
        }
        Value::Object(_) if value.get("__entity").is_some() || matches!(ty, Some(Type::Entity(_))) => {
            uid(value, place, to);
        }
        Value::Object(_) if value.get("__extn").is_some() || matches!(ty, Some(Type::Extension(_))) => {
            call(value, place, to);
        }
        Value::Object(_) => {
            let declared = match ty {
                Some(Type::Record(declared)) => Some(&**declared),
                _ => None,
            };
            of_members(value, declared, place, to);
        }
        _ => {}
    }
}

fn uid(value: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    if to.is_full() {
        return;
    }
    if let Value::Array(_) = value {
        let message = format!("`{place}`: expected an object of `type` and `id`, not {}", value.kind());
        return to.push(Misfit::at(place, message));
    }
    let inner = match value.get("__entity") {
        Some(inner) => {
            only(value, &["__entity"], place, to);
            inner
        }
        None => value,
    };
    only(inner, UID, place, to);
}

fn call(value: &Value<'_>, place: &Name<'_>, to: &mut Misfits) {
    let inner = match value.get("__extn") {
        Some(inner) => {
            only(value, &["__extn"], place, to);
            inner
        }
        None => value,
    };
    only(inner, CALL, place, to);
    for key in ["arg", "args"] {
        if let Some(found) = inner.get(key) {
            self::value(found, None, place, to);
        }
    }
}

fn only(value: &Value<'_>, known: &[&str], place: &Name<'_>, to: &mut Misfits) {
    if let Some((key, _)) = value.as_object().unwrap_or_default().iter().find(|(key, _)| !known.contains(&&**key)) {
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let hint = hint(key, known.iter().copied());
        let message =
            format!("`{place}`: unknown member `{key}`: expected {} and nothing else{hint}", names.join(", "));
        to.push(Misfit::at(&Name::Member(place, key), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, words: &[&str]) {
        let error = entity(&Value::parse(text.as_bytes()).unwrap(), None).unwrap_err().message;
        for word in words {
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn whatever_cedar_would_ignore_is_refused_by_name() {
        let uid = r#""uid": {"type": "A", "id": "a"}"#;
        refused(&format!("{{{uid}, \"attrs\": {{}}, \"parent\": []}}"), &["`parent`", "did you mean `parents`?"]);
        refused(&format!("{{{uid}, \"atrs\": {{}}, \"parents\": []}}"), &["`atrs`", "did you mean `attrs`?"]);
        refused(&format!("{{{uid}, \"tag\": {{}}}}"), &["`tag`", "did you mean `tags`?"]);
        for (member, at, unknown) in [
            (r#""uid": {"type": "A", "id": "a", "x": 1}"#, "`uid`", "`x`"),
            (r#""uid": {"__entity": {"type": "A", "id": "a"}, "id": "b"}"#, "`uid`", "`id`"),
            (r#""uid": {"__entity": {"type": "A", "id": "a", "x": 1}}"#, "`uid`", "`x`"),
            (r#""parents": [{"type": "A", "id": "a"}, {"type": "A", "id": "a", "ID": "b"}]"#, "`parents[1]`", "`ID`"),
            (r#""attrs": {"o": {"__entity": {"type": "A", "id": "a"}, "x": 1}}"#, "`attrs.o`", "`x`"),
            (r#""attrs": {"o": [[{"r": {"__extn": {"fn": "ip", "arg": "::", "x": 1}}}]]}"#, "`attrs.o[0][0].r`", "`x`"),
            (r#""tags": {"o": {"__extn": {"fn": "ip", "arg": "::"}, "x": 1}}"#, "`tags.o`", "`x`"),
            (
                r#""attrs": {"d": {"__extn": {"fn": "offset", "args": [{"__extn": {"fn": "datetime", "arg": "1970-01-01", "x": 1}}]}}}"#,
                "`attrs.d[0]`",
                "`x`",
            ),
        ] {
            refused(&format!("{{{member}}}"), &[at, unknown]);
        }
        let fine = r#"{"uid": {"__entity": {"type": "A", "id": "a"}}, "attrs": {"type": 1, "r": {"type": "A", "id": "a", "x": 1}}}"#;
        assert_eq!(entity(&Value::parse(fine.as_bytes()).unwrap(), None), Ok(()));
    }
}
