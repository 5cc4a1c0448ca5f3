//! Ids that the schema does not list, where it lists all of a type: of the entity, its parents, and in its values.

use super::shape::first_of;
use super::{Misfit, misfit, shown};
use crate::conform::Name;
use crate::decode::uid_parts;
use crate::model::{Value, hint};
use crate::schema::{EntityType, Members, SchemaModel, Type};

/// How many ids of the schema are listed in a message.
const MAX_LISTED: usize = 10;

/// An id that the schema does not list, where it lists all of the type.
pub(super) fn own_id(entity: &Value<'_>, schema: &SchemaModel) -> Option<Misfit> {
    unlisted(entity.get("uid")?, schema, &Name::Root("uid"))
}

/// A parent whose id the schema does not list, where it lists all of the type.
pub(super) fn parents(entity: &Value<'_>, schema: &SchemaModel) -> Option<Misfit> {
    let root = Name::Root("parents");
    let parents = entity.get("parents")?.as_array()?.iter().enumerate();
    parents.into_iter().find_map(|(i, parent)| unlisted(parent, schema, &Name::Element(&root, i)))
}

/// Entities in attributes and tags whose ids the schema does not list, where it lists all of the type.
pub(super) fn values(entity: &Value<'_>, declared: &EntityType, schema: &SchemaModel) -> Option<Misfit> {
    let attrs = entity.get("attrs")?;
    members(attrs, Some(&declared.attributes), schema, &Name::Root("attrs")).or_else(|| {
        let (root, tags) = (Name::Root("tags"), entity.get("tags")?.as_object()?);
        tags.iter().find_map(|(key, found)| value(found, declared.tags.as_ref(), schema, &Name::Member(&root, key)))
    })
}

fn members(found: &Value<'_>, declared: Option<&Members>, schema: &SchemaModel, place: &Name<'_>) -> Option<Misfit> {
    found.as_object()?.iter().find_map(|(key, found)| {
        let ty = declared.and_then(|declared| declared.get(&**key)).map(|member| &member.ty);
        value(found, ty, schema, &Name::Member(place, key))
    })
}

/// Recurses with the nesting of the JSON, which is bounded.
fn value(found: &Value<'_>, ty: Option<&Type>, schema: &SchemaModel, place: &Name<'_>) -> Option<Misfit> {
    if found.get("__entity").is_some() || matches!(ty, Some(Type::Entity(_))) {
        return unlisted(found, schema, place);
    }
    match (found, ty) {
        (Value::Array(elements), Some(Type::Set(ty))) => {
            elements.iter().enumerate().find_map(|(i, found)| value(found, Some(ty), schema, &Name::Element(place, i)))
        }
        (Value::Object(_), Some(Type::Record(declared))) => members(found, Some(declared), schema, place),
        _ => None,
    }
}

fn unlisted(found: &Value<'_>, schema: &SchemaModel, place: &Name<'_>) -> Option<Misfit> {
    let (ty, id) = uid_parts(found)?;
    let choices = schema.entity_type(ty)?.choices.as_ref().filter(|choices| !choices.contains(id))?;
    let hint = hint(id, choices.iter().map(String::as_str));
    let mut all: Vec<String> = choices.iter().map(|id| serde_json::Value::from(&**id).to_string()).collect();
    all.sort_unstable();
    let (all, id) = (first_of(&all, MAX_LISTED), shown(&Value::String(id.into())));
    Some(misfit(place, &format!("the schema lists the ids of `{ty}`, which are {all}, without {id}{hint}")))
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
