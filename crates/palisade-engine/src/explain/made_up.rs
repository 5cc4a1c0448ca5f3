//! Values of a type that are made up, where they mean nothing.

use cedar_policy_core::ast::EntityUID;
use serde_json::{Map, Value as Json, json};

use super::goals::entity_json;
use crate::schema::{Members, Type};

/// Finds some entity of a type.
type Entity<'e> = &'e dyn Fn(&str) -> Option<EntityUID>;

/// Gives what is required some value; says whether that can be done.
pub(super) fn fill(declared: &Members, attrs: &mut Map<String, Json>, entity: Entity<'_>) -> bool {
    let missing = declared.iter().filter(|(name, member)| member.required && !attrs.contains_key(*name));
    let missing: Vec<(String, Option<Json>)> =
        missing.map(|(name, member)| (name.clone(), of_type(&member.ty, entity))).collect();
    missing.into_iter().all(|(name, value)| value.is_some_and(|value| attrs.insert(name, value).is_none()))
}

/// Some value of a type.
fn of_type(ty: &Type, entity: Entity<'_>) -> Option<Json> {
    Some(match ty {
        Type::Bool => json!(false),
        Type::Long => json!(0),
        Type::String => json!(""),
        Type::Set(_) => json!([]),
        Type::Record(members) => {
            let mut record = Map::new();
            return fill(members, &mut record, entity).then_some(Json::Object(record));
        }
        Type::Extension(name) => return sample(name),
        Type::Entity(name) => entity_json(&entity(name)?),
        Type::Unknown => return None,
    })
}

/// A value of an extension type.
pub(super) fn sample(name: &str) -> Option<Json> {
    let (function, argument) = match name {
        "datetime" => ("datetime", "2030-01-01"),
        "duration" => ("duration", "1h"),
        "decimal" => ("decimal", "1.0"),
        "ipaddr" => ("ip", "192.0.2.1"),
        _ => return None,
    };
    Some(json!({"__extn": {"fn": function, "arg": argument}}))
}
