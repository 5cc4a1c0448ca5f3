//! What an entity is made of: its uid, its attributes, its parents and its tags, before what they hold.

use super::{Misfit, Misfits, misfit, shown};
use crate::conform::Name;
use crate::decode::{is_proper_type, uid_parts};
use crate::layout::is_action_type;
use crate::model::{Uid, Value, hint};
use crate::schema::{EntityType, SchemaModel};

/// How many types are named where one of them is expected.
const MOST_NAMED: usize = 5;

/// An entity is an object, which this is not.
pub(super) fn no_object(entity: &Value<'_>) -> Misfit {
    format!("an entity is an object such as {EXAMPLE}, not {}", shown(entity)).into()
}

/// Adds what is wrong with the members of an entity that are there.
pub(super) fn of_members(entity: &Value<'_>, to: &mut Misfits) {
    if let Some(misfit) = entity.get("uid").and_then(|uid| of_uid(uid, &Name::Root("uid"))) {
        to.push(misfit);
    }
    for key in ["attrs", "tags"] {
        if let Some(found) = entity.get(key).filter(|found| found.as_object().is_none()) {
            let help = format!("expected an object such as {{\"name\": \"value\"}}, not {}", shown(found));
            to.push(misfit(&Name::Root(key), &help));
        }
    }
    let (Some(found), place) = (entity.get("parents"), Name::Root("parents")) else { return };
    let Some(parents) = found.as_array() else {
        let example = format!("[{}]", example(found));
        return to.push(misfit(&place, &format!("expected a list such as {example}, not {}", shown(found))));
    };
    for (i, parent) in parents.iter().enumerate() {
        if to.is_full() {
            return;
        }
        if let Some(misfit) = of_uid(parent, &Name::Element(&place, i)) {
            to.push(misfit);
        }
    }
}

/// Adds the members that are missing. Where one has a name that no entity has, that is the one.
pub(super) fn missing(entity: &Value<'_>, to: &mut Misfits) {
    let members = entity.as_object().unwrap_or_default();
    if members.iter().any(|(key, _)| !MEMBERS.contains(&&**key)) {
        return;
    }
    for key in ["uid", "attrs", "parents"].into_iter().filter(|key| entity.get(key).is_none()) {
        let none = match key {
            "uid" => "",
            "attrs" => "; write `\"attrs\": {}` if it has no attributes",
            _ => "; write `\"parents\": []` if it is in nothing",
        };
        let message = format!("`{key}` is missing: an entity is an object such as {EXAMPLE}{none}");
        to.push(Misfit { is_missing: true, ..Misfit::from(message) });
    }
}

/// The members of an entity.
pub(crate) const MEMBERS: [&str; 4] = ["uid", "attrs", "parents", "tags"];

/// Adds the parents and the tags that the schema does not allow.
pub(super) fn against(entity: &Value<'_>, declared: &EntityType, schema: &SchemaModel, to: &mut Misfits) {
    let own = entity.get("uid").and_then(uid_parts).map_or("the entity", |(ty, _)| ty);
    let mut allowed: Vec<String> =
        schema.cedar.ancestors(&declared.name).into_iter().flatten().map(ToString::to_string).collect();
    allowed.sort_unstable();
    let parents = entity.get("parents").and_then(Value::as_array).unwrap_or_default();
    for (i, parent) in parents.iter().enumerate() {
        if to.is_full() {
            return;
        }
        let Some((ty, _)) = uid_parts(parent) else { continue };
        if allowed.iter().any(|allowed| allowed == ty) || is_action_type(ty) {
            continue;
        }
        let place = Name::Root("parents");
        let message = if schema.entity_type(ty).is_none() {
            format!("the schema declares no entity type `{ty}`{}", hint(ty, schema.entity_type_names()))
        } else if allowed.is_empty() {
            format!("the schema lets a `{own}` be in nothing; declare it as `entity ... in [{ty}]`")
        } else {
            format!("the schema lets no `{own}` be in a `{ty}`, only in {}", listed(&allowed))
        };
        to.push(misfit(&Name::Element(&place, i), &message));
    }
    let tags = entity.get("tags").and_then(Value::as_object).unwrap_or_default();
    if let Some((tag, _)) = tags.first().filter(|_| declared.tags.is_none()) {
        let message = format!("the schema declares no tags for `{own}`; add `tags <type>` to the entity type");
        to.push(misfit(&Name::Member(&Name::Root("tags"), tag), &message));
    }
}

/// Some names as a text reads them, a few of them where they are many.
pub(crate) fn listed(names: &[String]) -> String {
    first_of(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>(), MOST_NAMED)
}

/// The first of some words, and how many there are besides.
pub(super) fn first_of(words: &[String], most: usize) -> String {
    let shown = words.get(..most).unwrap_or(words).join(", ");
    match words.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// An entity as an author writes it.
const EXAMPLE: &str = r#"{"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": []}"#;

/// What is wrong with a uid, if something is.
pub(crate) fn of_uid(found: &Value<'_>, place: &Name<'_>) -> Option<Misfit> {
    let inner = found.get("__entity").unwrap_or(found);
    let text = |key| inner.get(key).map(|member| member.as_str().is_some());
    if inner.as_array().is_some() {
        return None;
    }
    if text("type") == Some(true) && text("id") == Some(true) {
        return improper(inner.get("type")?.as_str()?).map(|problem| misfit(place, &problem));
    }
    let what = match (text("type"), text("id")) {
        (Some(false), _) => "whose `type` is no string".to_owned(),
        (_, Some(false)) => "whose `id` is no string".to_owned(),
        (None, Some(true)) => "without `type`".to_owned(),
        (Some(true), None) => "without `id`".to_owned(),
        _ => String::new(),
    };
    let what = if what.is_empty() { shown(found) } else { format!("an object {what}") };
    Some(misfit(place, &format!("expected an entity such as {}, not {what}", example(found))))
}

/// What is wrong with the name of an entity type, wherever it stands.
pub(crate) fn improper(ty: &str) -> Option<String> {
    let named = || shown(&Value::String(ty.into()));
    (!is_proper_type(ty))
        .then(|| format!("the type of an entity is a name such as `User` or `App::User`, not {}", named()))
}

/// JSON of the entity that was meant, where that can be read.
fn example(meant: &Value<'_>) -> String {
    let uid = meant.as_str().and_then(|text| Uid::parse(text).ok());
    let part = |key: &str| meant.get(key).and_then(Value::as_str).map(str::to_owned);
    let (ty, id) = match uid {
        Some(uid) => (uid.type_name.into_owned(), uid.id.into_owned()),
        // the quotes are easily forgotten
        None if meant.as_str().is_some_and(|text| text.contains("::")) => {
            let (ty, id) = meant.as_str().and_then(|text| text.rsplit_once("::")).unwrap_or_default();
            (ty.to_owned(), id.trim_matches(['"', '\'']).to_owned())
        }
        None => {
            let id = part("id").or_else(|| meant.as_str().map(str::to_owned));
            (part("type").unwrap_or_else(|| "User".to_owned()), id.unwrap_or_else(|| "ann".to_owned()))
        }
    };
    let (ty, id) = (serde_json::Value::from(ty), serde_json::Value::from(id));
    format!("{{\"type\": {ty}, \"id\": {id}}}")
}

#[cfg(test)]
mod tests {
    use crate::misfit::entity;
    use crate::model::{SchemaText, Value};
    use crate::schema::SchemaModel;
    use crate::settings::Limits;

    const SCHEMA: &str = "namespace H { entity Ward in [Ward]; entity Bed; entity Staff in [Ward] { level?: Long }; }";

    /// Each is refused by Cedar, which names types of its program.
    #[test]
    fn what_is_no_entity_is_told_in_words() {
        let text = SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] };
        let schema = SchemaModel::build(&text, &Limits::default()).unwrap();
        let ann = r#""uid": {"type": "H::Staff", "id": "ann"}"#;
        for (members, expected) in [
            ("3", "an entity is an object such as {\"uid\""),
            (r#""x""#, "not the string \"x\""),
            ("{}", "`uid` is missing: an entity is an object such as"),
            (&format!("{{{ann}, \"parents\": []}}"), "`attrs` is missing"),
            (&format!("{{{ann}, \"attrs\": {{}}}}"), "`parents` is missing"),
            (&format!("{{{ann}, \"attrs\": [], \"parents\": []}}"), "`attrs`: expected an object"),
            (&format!("{{{ann}, \"attrs\": null, \"parents\": []}}"), "`attrs`: expected an object"),
            (&format!("{{{ann}, \"attrs\": {{}}, \"parents\": null}}"), "`parents`: expected a list such as [{"),
            (
                &format!("{{{ann}, \"attrs\": {{}}, \"parents\": \"w\"}}"),
                r#"such as [{"type": "User", "id": "w"}], not the string "w""#,
            ),
            (
                &format!("{{{ann}, \"attrs\": {{}}, \"parents\": [\"H::Ward::\\\"w\\\"\"]}}"),
                r#"`parents[0]`: expected an entity such as {"type": "H::Ward", "id": "w"}"#,
            ),
            (&format!("{{{ann}, \"attrs\": {{}}, \"parents\": [{{\"id\": \"w\"}}]}}"), "an object without `type`"),
            (
                &format!("{{{ann}, \"attrs\": {{}}, \"parents\": [{{\"type\": \"H::Bed\", \"id\": \"w\"}}]}}"),
                "`parents[0]`: the schema lets no `H::Staff` be in a `H::Bed`, only in `H::Ward`",
            ),
            (
                &format!("{{{ann}, \"attrs\": {{}}, \"parents\": [{{\"type\": \"H::Wrad\", \"id\": \"w\"}}]}}"),
                "did you mean `H::Ward`?",
            ),
            (
                &format!("{{{ann}, \"attrs\": {{}}, \"parents\": [], \"tags\": {{\"a\": 1}}}}"),
                "`tags.a`: the schema declares no tags for `H::Staff`",
            ),
            (&format!("{{{ann}, \"attrs\": {{}}, \"parents\": [], \"tags\": []}}"), "`tags`: expected an object"),
            (
                &format!("{{{ann}, \"attrs\": {{}}, \"parents\": [\"H::Ward::w\"]}}"),
                r#"`parents[0]`: expected an entity such as {"type": "H::Ward", "id": "w"}"#,
            ),
            (r#"{"uid": null, "attrs": {}, "parents": []}"#, "`uid`: expected an entity such as"),
            (r#"{"uid": {"type": "H::Ward", "id": 3}, "attrs": {}, "parents": []}"#, "whose `id` is no string"),
            (r#"{"uid": {"type": "Staff", "id": "a"}, "attrs": {}, "parents": []}"#, "did you mean `H::Staff`?"),
            (
                &format!(
                    "{{{ann}, \"attrs\": {{\"level\": {{\"__extn\": {{\"fn\": \"ipp\", \"arg\": \"x\"}}}}}}, \"parents\": []}}"
                ),
                "there is no function `ipp`",
            ),
        ] {
            let value = Value::parse(members.as_bytes()).unwrap();
            assert!(cedar_policy::Entity::from_json_value(value.to_json(), Some(&schema.cedar)).is_err(), "{members}");
            let found = entity(&value, Some(&schema)).map(|misfit| misfit.message).unwrap_or_default();
            assert!(found.contains(expected), "{members}: {found}");
            for leak in ["EntityJson", "deserializ", "missing field", "literal entity reference", "sequence"] {
                assert!(!found.contains(leak), "{members}: {found}");
            }
        }
    }
}
