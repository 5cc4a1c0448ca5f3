//! Between Cedar's own values and ours, for what only Cedar reads and for what only Cedar says.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast;
use cedar_policy_core::ast::{EntityUID, Literal, PartialValue, RestrictedExpr, Value, ValueKind};
use cedar_policy_core::extensions::Extensions;

use crate::broken::broken;
use crate::decode::Unsure;
use crate::ext::{self, Ip};
use crate::ids::{EntityId, NameId};
use crate::layout::intern;
use crate::model::Uid;
use crate::store::{Draft, Entity, RecordHead, RecordParts};
use crate::value::{Cell, Packer, Val};

/// Packs one of Cedar's values.
///
/// # Errors
/// If it has no packed form: an `unknown`, or something enormous.
pub(crate) fn pack(value: &Value, packer: &mut Packer, draft: &mut Draft) -> Result<Cell, Unsure> {
    match value.value_kind() {
        ValueKind::Lit(Literal::Bool(b)) => Ok(packer.value(Val::Bool(*b))?),
        ValueKind::Lit(Literal::Long(n)) => Ok(packer.value(Val::Long(*n))?),
        ValueKind::Lit(Literal::String(text)) => Ok(packer.text(text.as_bytes())?),
        ValueKind::Lit(Literal::EntityUID(uid)) => {
            let id = intern(uid, draft)?;
            Ok(packer.value(Val::Entity(id))?)
        }
        ValueKind::Set(set) => {
            let mut cells = set.iter().map(|value| pack(value, packer, draft)).collect::<Result<Vec<_>, _>>()?;
            Ok(packer.set(&mut cells)?)
        }
        ValueKind::Record(record) => {
            let mut members = Vec::with_capacity(record.len());
            for (name, value) in record.iter() {
                members.push((draft.attribute_id(name), pack(value, packer, draft)?));
            }
            Ok(packer.record(&mut members)?)
        }
        ValueKind::ExtensionValue(value) => {
            let (_, arguments) = value.value().canonical_repr();
            let text = arguments.last().map(unwrap_text).unwrap_or_default();
            let value = match value.typename().to_string().as_str() {
                "ipaddr" => Ip::parse_written(&text).map(Val::Ip),
                "decimal" => ext::parse_decimal(&text).map(Val::Decimal),
                "datetime" => ext::parse_duration(&text).map(Val::Datetime),
                "duration" => ext::parse_duration(&text).map(Val::Duration),
                _ => None,
            };
            Ok(packer.value(value.ok_or(Unsure)?)?)
        }
    }
}

/// The text in `f("text")` or in `"text"`.
fn unwrap_text(expression: &RestrictedExpr) -> String {
    match expression.as_string() {
        Some(text) => text.to_string(),
        None => match expression.as_extn_fn_call() {
            Some((_, mut arguments)) => {
                arguments.next().and_then(|argument| argument.as_string().map(ToString::to_string)).unwrap_or_default()
            }
            None => String::new(),
        },
    }
}

/// Packs one of Cedar's entities as a record. Returns its id.
///
/// # Errors
/// If one of its values has no packed form.
pub(crate) fn pack_entity(
    entity: &ast::Entity,
    packer: &mut Packer,
    draft: &mut Draft,
    is_schema_action: bool,
) -> Result<EntityId, Unsure> {
    let id = intern(entity.uid(), draft)?;
    let mut parents: Vec<&EntityUID> = entity.parents().collect();
    parents.sort_unstable();
    let parents = parents.into_iter().map(|uid| intern(uid, draft)).collect::<Result<Vec<_>, _>>()?;
    let mut parts = RecordParts { parents, ..RecordParts::default() };
    let text: &str = entity.uid().eid().as_ref();
    let head = RecordHead::start(packer, text.as_bytes(), parts.parents.len(), entity.attrs_len())?;
    for (name, value) in entity.attrs() {
        let PartialValue::Value(value) = value else { return Err(Unsure) };
        let cell = pack(value, packer, draft)?;
        parts.attributes.push((draft.attribute_id(name), cell));
    }
    for (key, value) in entity.tags() {
        let PartialValue::Value(value) = value else { return Err(Unsure) };
        let cell = pack(value, packer, draft)?;
        parts.tags.push((packer.text(key.as_bytes())?, cell));
    }
    head.finish(packer, &mut parts, is_schema_action)?;
    Ok(id)
}

/// Turns the store's values into Cedar's. `uid` and `name` give back what was interned.
///
/// Every value that the store can hold has its value in Cedar. One that had not would make the reference decide over
/// less than there is, so meeting one is a broken invariant and ends the decision.
#[derive(Debug)]
pub(crate) struct Unpacker<U, N> {
    /// The uid of an id.
    pub uid: U,
    /// The text of an attribute name.
    pub name: N,
}

impl<U: Fn(EntityId) -> EntityUID, N: Fn(NameId) -> Arc<str>> Unpacker<U, N> {
    /// One value.
    pub(crate) fn value(&self, value: Val<'_>) -> Value {
        match value {
            Val::Bool(b) => b.into(),
            Val::Long(n) => n.into(),
            Val::Text(bytes) => utf8(bytes).into(),
            Val::Entity(id) => Value::from((self.uid)(id)),
            Val::Decimal(n) => call("decimal", &[ext::decimal_text(n).into()]),
            Val::Ip(ip) => call("ip", &[ip.text().into()]),
            Val::Duration(n) => call("duration", &[format!("{n}ms").into()]),
            Val::Datetime(n) => {
                let start = call("datetime", &["1970-01-01".into()]);
                call("offset", &[start, call("duration", &[format!("{n}ms").into()])])
            }
            Val::Set(set) => Value::set((0..set.len()).map(|i| self.value(set.get(i))), None),
            Val::Record(record) => {
                let mut members = BTreeMap::new();
                for i in 0..record.len() {
                    let (name, value) = record.get(i);
                    members.insert((*(self.name)(name)).into(), self.value(value));
                }
                Value::record_arc(Arc::new(members), None)
            }
        }
    }

    /// One entity with its closed set of ancestors.
    pub(crate) fn entity(&self, uid: EntityUID, entity: Entity<'_>, ancestors: &[EntityId]) -> ast::Entity {
        let record = entity.attributes();
        let mut attributes = Vec::new();
        for i in 0..record.len() {
            let (name, value) = record.get(i);
            attributes.push(((*(self.name)(name)).into(), PartialValue::Value(self.value(value))));
        }
        let mut tags = Vec::new();
        for i in 0..entity.tag_count() {
            let (key, value) = entity.tag_at(i);
            tags.push((utf8(key).into(), PartialValue::Value(self.value(value))));
        }
        let parents: HashSet<EntityUID> = entity.parents().map(&self.uid).collect();
        let indirect: HashSet<EntityUID> =
            ancestors.iter().map(|id| (self.uid)(*id)).filter(|uid| !parents.contains(uid)).collect();
        ast::Entity::new_with_attr_partial_value(uid, attributes, indirect, parents, tags)
    }
}

/// The text of packed bytes.
pub(crate) fn utf8(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => broken("a text that is not UTF-8"),
    }
}

/// What an extension's function makes of values that it takes.
fn call(function: &str, arguments: &[Value]) -> Value {
    let called = function.parse().ok().and_then(|name| {
        let function = Extensions::all_available().func(&name).ok()?;
        function.call(arguments).ok()
    });
    match called {
        Some(PartialValue::Value(value)) => value,
        Some(PartialValue::Residual(_)) | None => broken("a stored value that Cedar does not read"),
    }
}

/// Cedar's uid for ours.
///
/// # Errors
/// If Cedar has no such type name.
pub(crate) fn entity_uid(uid: &Uid<'_>) -> Result<EntityUid, String> {
    let type_name = cedar_policy::EntityTypeName::from_str(&uid.type_name)
        .map_err(|_| format!("`{}` is not an entity type name", uid.type_name))?;
    Ok(EntityUid::from_type_name_and_id(type_name, cedar_policy::EntityId::new(&*uid.id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;
    use crate::value::{equal, unpack};

    /// Packs, makes Cedar's value, packs that: the two must be equal, and Cedar must print what we wrote.
    #[track_caller]
    fn there_and_back(value: Val<'_>) {
        let unpacker = Unpacker { uid: |_| broken("no uids here"), name: |_| broken("no names here") };
        let cedar = unpacker.value(value);
        let mut draft = Draft::new(&Store::default());
        let mut packer = Packer::default();
        let cell = pack(&cedar, &mut packer, &mut draft).unwrap();
        assert!(equal(unpack(&packer.out, cell), value), "{value:?} came back as {cedar}");
    }

    fn ip_of(v6: bool, number: u128, prefix: u8) -> Ip {
        let address: std::net::IpAddr =
            if v6 { std::net::Ipv6Addr::from(number).into() } else { std::net::Ipv4Addr::from(number as u32).into() };
        let prefix = if v6 { prefix % 129 } else { prefix % 33 };
        Ip::of(address, prefix)
    }

    #[test]
    fn the_ends_of_every_extension_type_come_back() {
        for n in [0, 1, -1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 253_402_300_799_999, -62_167_219_200_001] {
            for value in [Val::Decimal(n), Val::Datetime(n), Val::Duration(n), Val::Long(n)] {
                there_and_back(value);
            }
        }
        let mapped = 0xffff_0a00_0000;
        for number in [0, 1, mapped, mapped >> 16, 0x0a00_0001, u128::MAX, 0xff02 << 112, 1 << 64] {
            for prefix in 0..=128 {
                there_and_back(Val::Ip(ip_of(true, number, prefix)));
                there_and_back(Val::Ip(ip_of(false, number, prefix)));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_extension_value_comes_back(n: i64, address: u128, zeros in 0..128_u32, prefix: u8, text: String) {
            for value in [Val::Decimal(n), Val::Datetime(n), Val::Duration(n), Val::Long(n)] {
                there_and_back(value);
            }
            // addresses that begin with zeros are where the short forms differ
            there_and_back(Val::Ip(ip_of(true, address >> zeros, prefix)));
            there_and_back(Val::Ip(ip_of(false, address, prefix)));
            there_and_back(Val::Text(text.as_bytes()));
        }
    }
}
