//! Ids that the schema does not list, where it lists all of a type: of the entity, its parents, and in its values.

use super::shape::first_of;
use super::{Misfits, misfit, shown};
use crate::conform::Name;
use crate::decode::uid_parts;
use crate::model::{Value, hint};
use crate::schema::{EntityType, Members, SchemaModel, Type};

/// How many ids of the schema are listed in a message.
const MAX_LISTED: usize = 10;

/// Adds an own id that the schema does not list, where it lists all of the type.
pub(super) fn own_id(entity: &Value<'_>, schema: &SchemaModel, to: &mut Misfits) {
    if let Some(uid) = entity.get("uid") {
        unlisted(uid, schema, &Name::Root("uid"), to);
    }
}

/// Adds the parents whose ids the schema does not list, where it lists all of the type.
pub(super) fn parents(entity: &Value<'_>, schema: &SchemaModel, to: &mut Misfits) {
    let root = Name::Root("parents");
    let parents = entity.get("parents").and_then(Value::as_array).unwrap_or_default();
    for (i, parent) in parents.iter().enumerate() {
        unlisted(parent, schema, &Name::Element(&root, i), to);
    }
}

/// Adds the entities in attributes and tags whose ids the schema does not list, where it lists all of the type.
pub(super) fn values(entity: &Value<'_>, declared: &EntityType, schema: &SchemaModel, to: &mut Misfits) {
    if let Some(attrs) = entity.get("attrs") {
        members(attrs, Some(&declared.attributes), schema, &Name::Root("attrs"), to);
    }
    for (key, found) in entity.get("tags").and_then(Value::as_object).unwrap_or_default() {
        value(found, declared.tags.as_ref(), schema, &Name::Member(&Name::Root("tags"), key), to);
    }
}

/// The same of an object.
pub(super) fn members(
    found: &Value<'_>,
    declared: Option<&Members>,
    schema: &SchemaModel,
    place: &Name<'_>,
    to: &mut Misfits,
) {
    for (key, found) in found.as_object().unwrap_or_default() {
        let ty = declared.and_then(|declared| declared.get(&**key)).map(|member| &member.ty);
        value(found, ty, schema, &Name::Member(place, key), to);
    }
}

/// Recurses with the nesting of the JSON, which is bounded.
fn value(found: &Value<'_>, ty: Option<&Type>, schema: &SchemaModel, place: &Name<'_>, to: &mut Misfits) {
    if to.is_full() {
        return;
    }
    if found.get("__entity").is_some() || matches!(ty, Some(Type::Entity(_))) {
        return unlisted(found, schema, place, to);
    }
    match (found, ty) {
        (Value::Array(elements), Some(Type::Set(ty))) => {
            for (i, found) in elements.iter().enumerate() {
                value(found, Some(ty), schema, &Name::Element(place, i), to);
            }
        }
        (Value::Object(_), Some(Type::Record(declared))) => members(found, Some(declared), schema, place, to),
        _ => {}
    }
}

fn unlisted(found: &Value<'_>, schema: &SchemaModel, place: &Name<'_>, to: &mut Misfits) {
    let Some((ty, id)) = uid_parts(found).filter(|_| !to.is_full()) else { return };
    if let Some(problem) = not_listed(ty, id, schema) {
        to.push(misfit(place, &problem));
    }
}

/// What is wrong with an id, where the schema lists all of its type.
pub(crate) fn not_listed(ty: &str, id: &str, schema: &SchemaModel) -> Option<String> {
    let choices = schema.entity_type(ty)?.choices.as_ref().filter(|choices| !choices.contains(id))?;
    let hint = hint(id, choices.iter().map(String::as_str));
    let mut all: Vec<String> = choices.iter().map(|id| serde_json::Value::from(&**id).to_string()).collect();
    all.sort_unstable();
    let (all, id) = (first_of(&all, MAX_LISTED), shown(&Value::String(id.into())));
    Some(format!("the schema lists the ids of `{ty}`, which are {all}, without {id}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misfit::entity;
    use crate::model::SchemaText;
    use crate::settings::Limits;

    const SCHEMA: &str = "entity Team; entity Group in [Team]; \
         entity User in [Group] = {c?: Color, s?: Set<{c: Color}>} tags Color; entity Color enum [\"red\", \"green\"];";

    /// The entity, with what its `members` lack.
    fn whole(members: &str) -> String {
        let lacks = |name: &str| !members.contains(&format!("\"{name}\": "));
        let rest = [("uid", r#"{"type": "User", "id": "u"}"#), ("attrs", "{}"), ("parents", "[]")];
        let rest = rest.iter().filter(|(name, _)| lacks(name)).map(|(name, value)| format!("\"{name}\": {value}"));
        format!("{{{}}}", [members.to_owned()].into_iter().chain(rest).collect::<Vec<_>>().join(", "))
    }

    /// Cedar refuses it, and we say why and where.
    #[track_caller]
    fn refused(members: &str, schema: Option<&SchemaModel>, expected: &str) {
        let text = whole(members);
        let value = Value::parse(text.as_bytes()).unwrap();
        let cedars = cedar_policy::Entity::from_json_value(value.to_json(), schema.map(|schema| &schema.cedar));
        assert!(cedars.is_err(), "{text}");
        let misfit = entity(&value, schema).unwrap_or_else(|| panic!("{text}"));
        assert!(misfit.message.contains(expected), "{text}: {}", misfit.message);
        let at = misfit.offset(&text).unwrap();
        assert!(at > 0, "{text}: {at}");
    }

    #[test]
    fn uids_that_the_schema_refuses_are_named() {
        let text = SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] };
        let schema = SchemaModel::build(&text, &Limits::default()).unwrap();
        for (members, expected) in [
            (
                r#""uid": {"type": "Color", "id": "gren"}"#,
                "`uid`: the schema lists the ids of `Color`, which are \"green\", \"red\", without the string \"gren\"; did \
                 you mean `green`?",
            ),
            (r#""attrs": {"c": {"type": "Color", "id": "x"}}"#, "`attrs.c`: the schema lists the ids of `Color`"),
            (
                r#""attrs": {"s": [{"c": {"type": "Color", "id": "red"}}, {"c": {"__entity": {"type": "Color", "id": "x"}}}]}"#,
                "`attrs.s[1].c`: the schema lists",
            ),
            (r#""tags": {"t": {"type": "Color", "id": "x"}}"#, "`tags.t`: the schema lists"),
        ] {
            refused(members, Some(&schema), expected);
        }
        for fine in [
            r#""parents": [{"type": "Team", "id": "t"}, {"__entity": {"type": "Group", "id": "g"}}]"#,
            r#""attrs": {"c": {"type": "Color", "id": "red"}}, "tags": {"t": {"type": "Color", "id": "green"}}"#,
            r#""uid": {"type": "Color", "id": "red"}"#,
        ] {
            let text = whole(fine);
            let value = Value::parse(text.as_bytes()).unwrap();
            assert_eq!(entity(&value, Some(&schema)), None, "{text}");
        }
    }
}
