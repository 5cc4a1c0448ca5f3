//! From the store back to JSON, in the form that loading reads.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::broken::broken;
use crate::cedar::utf8;
use crate::ext;
use crate::ids::{EntityId, NameId};
use crate::model::{Uid, Value};
use crate::store::{Records, Store};
use crate::value::Val;

type Json = Value<'static>;

/// The stored entity of an id in Cedar's JSON form, unless it is an action of the schema.
pub(crate) fn entity(store: &impl Records, id: EntityId) -> Option<Json> {
    let stored = store.record_of(id).filter(|entity| entity.is_present() && !entity.is_schema_action())?;
    let parents = stored.parents().map(|parent| uid(store, parent)).collect();
    let attributes = Val::Record(stored.attributes());
    let mut members = vec![
        (Cow::Borrowed("uid"), uid(store, id)),
        (Cow::Borrowed("attrs"), value(store, attributes)),
        (Cow::Borrowed("parents"), Value::Array(parents)),
    ];
    let tags: Vec<_> = (0..stored.tag_count())
        .map(|i| {
            let (key, tag) = stored.tag_at(i);
            (Cow::Owned(text(key)), value(store, tag))
        })
        .collect();
    if !tags.is_empty() {
        members.push((Cow::Borrowed("tags"), Value::Object(tags)));
    }
    Some(Value::Object(members))
}

fn text(bytes: &[u8]) -> String {
    utf8(bytes).to_owned()
}

fn string(text: impl Into<Cow<'static, str>>) -> Json {
    Value::String(text.into())
}

fn object<const N: usize>(members: [(&'static str, Json); N]) -> Json {
    Value::Object(members.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
}

fn uid(store: &impl Records, id: EntityId) -> Json {
    let Uid { type_name, id } = uid_of(store, id);
    object([("type", Value::String(type_name)), ("id", Value::String(id))])
}

/// The uid of an id.
pub(crate) fn uid_of(store: &impl Records, id: EntityId) -> Uid<'static> {
    let type_name = store.names().type_name(store.type_of_id(id)).to_string();
    let Some(record) = store.record_of(id) else { broken("an id that was never given out") };
    Uid { type_name: type_name.into(), id: text(record.id()).into() }
}

fn call(function: &'static str, argument: String) -> Json {
    object([("__extn", object([("fn", string(function)), ("arg", string(argument))]))])
}

/// A value as JSON whose sets are sorted, so that equal values have equal texts whatever the order of their stores.
pub(crate) fn canonical(store: &Store, found: Val<'_>) -> serde_json::Value {
    match found {
        Val::Set(set) => {
            let mut elements: Vec<_> = (0..set.len()).map(|i| canonical(store, set.get(i))).collect();
            elements.sort_by_cached_key(ToString::to_string);
            elements.into()
        }
        Val::Record(record) => {
            let members = (0..record.len()).map(|i| {
                let (name, member) = record.get(i);
                (attribute(store, name).to_owned(), canonical(store, member))
            });
            // sorted here too: a map of JSON may keep the order in which it is filled
            let sorted: BTreeMap<String, serde_json::Value> = members.collect();
            serde_json::Value::Object(sorted.into_iter().collect())
        }
        other => value(store, other).to_json(),
    }
}

fn attribute(store: &impl Records, name: NameId) -> &str {
    store.names().attribute_name(name).unwrap_or_else(|| broken("an attribute name that was never given out"))
}

/// Recurses with the nesting of the value, which JSON bounds.
fn value(store: &impl Records, value: Val<'_>) -> Json {
    match value {
        Val::Bool(b) => Value::Bool(b),
        Val::Long(n) => Value::Long(n),
        Val::Text(bytes) => string(text(bytes)),
        Val::Entity(id) => object([("__entity", uid(store, id))]),
        Val::Decimal(n) => call("decimal", ext::decimal_text(n)),
        Val::Ip(ip) => call("ip", ip.text()),
        Val::Duration(n) => call("duration", format!("{n}ms")),
        Val::Datetime(n) => match ext::datetime_text(n) {
            Some(text) => call("datetime", text),
            None => {
                let (start, length) = (call("datetime", "1970-01-01".to_owned()), call("duration", format!("{n}ms")));
                object([("__extn", object([("fn", string("offset")), ("args", Value::Array(vec![start, length]))]))])
            }
        },
        Val::Set(set) => Value::Array((0..set.len()).map(|i| self::value(store, set.get(i))).collect()),
        Val::Record(record) => Value::Object(
            (0..record.len())
                .map(|i| {
                    let (name, member) = record.get(i);
                    (Cow::Owned(attribute(store, name).to_owned()), self::value(store, member))
                })
                .collect(),
        ),
    }
}

/// The stored entity of an id, with sets and parents sorted, so that equal entities have equal texts.
pub(crate) fn canonical_entity(store: &Store, id: EntityId) -> Option<String> {
    let stored = store.entity(id)?;
    let mut parents: Vec<String> = stored.parents().map(|parent| uid_of(store, parent).to_string()).collect();
    parents.sort_unstable();
    let tags: BTreeMap<String, String> = (0..stored.tag_count())
        .map(|i| {
            let (key, tag) = stored.tag_at(i);
            (text(key), canonical(store, tag).to_string())
        })
        .collect();
    Some(format!("{parents:?} {} {tags:?}", canonical(store, Val::Record(stored.attributes()))))
}
