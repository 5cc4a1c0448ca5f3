//! Between Cedar's own values and ours, for what only Cedar reads and for what only Cedar says.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast;
use cedar_policy_core::ast::{EntityUID, Literal, PartialValue, RestrictedExpr, Value, ValueKind};
use cedar_policy_core::extensions::Extensions;

use crate::engine::decode::Unsure;
use crate::engine::ext::{self, Ip};
use crate::engine::layout::intern;
use crate::engine::store::{Draft, Entity, RecordHead, RecordParts};
use crate::engine::value::{Cell, Packer, Val};

/// Packs one of Cedar's values.
///
/// # Errors
/// If it has no packed form: an `unknown`, or something enormous.
pub fn pack(value: &Value, packer: &mut Packer, draft: &mut Draft) -> Result<Cell, Unsure> {
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
                "ipaddr" => Ip::parse(&text).map(Val::Ip),
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
pub fn pack_entity(
    entity: &ast::Entity,
    packer: &mut Packer,
    draft: &mut Draft,
    is_schema_action: bool,
) -> Result<u32, Unsure> {
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

/// Makes Cedar's values of ours. `uid` and `name` give back what was interned.
#[derive(Debug)]
pub struct Unpacker<U, N> {
    /// The uid of an id.
    pub uid: U,
    /// The text of an attribute name.
    pub name: N,
}

impl<U: Fn(u32) -> Option<EntityUID>, N: Fn(u32) -> Arc<str>> Unpacker<U, N> {
    /// One value. `None` for a uid that Cedar would not have.
    pub fn value(&self, value: Val<'_>) -> Option<Value> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let call = |function: &str, arguments: Vec<Value>| {
            let name = function.parse().ok()?;
            match Extensions::all_available().func(&name).ok()?.call(&arguments).ok()? {
                PartialValue::Value(value) => Some(value),
                PartialValue::Residual(_) => None,
            }
        };
        let duration = |n: i64| call("duration", vec![format!("{n}ms").into()]);
        Some(match value {
            Val::Bool(b) => b.into(),
            Val::Long(n) => n.into(),
            Val::Text(bytes) => text(bytes).into(),
            Val::Entity(id) => Value::from((self.uid)(id)?),
            Val::Decimal(n) => call("decimal", vec![ext::decimal_text(n).into()])?,
            Val::Ip(ip) => call("ip", vec![ip.text().into()])?,
            Val::Duration(n) => duration(n)?,
            Val::Datetime(n) => {
                let start = call("datetime", vec!["1970-01-01".into()])?;
                call("offset", vec![start, duration(n)?])?
            }
            Val::Set(set) => {
                let values: Option<Vec<Value>> = (0..set.len()).map(|i| self.value(set.get(i))).collect();
                Value::set(values?, None)
            }
            Val::Record(record) => {
                let mut members = BTreeMap::new();
                for i in 0..record.len() {
                    let (name, value) = record.get(i);
                    members.insert((*(self.name)(name)).into(), self.value(value)?);
                }
                Value::record_arc(Arc::new(members), None)
            }
        })
    }

    /// One entity with its closed set of ancestors.
    pub fn entity(&self, uid: EntityUID, entity: Entity<'_>, ancestors: &[u32]) -> Option<ast::Entity> {
        let record = entity.attributes();
        let mut attributes = Vec::new();
        for i in 0..record.len() {
            let (name, value) = record.get(i);
            attributes.push(((*(self.name)(name)).into(), PartialValue::Value(self.value(value)?)));
        }
        let mut tags = Vec::new();
        for i in 0..entity.tag_count() {
            let (key, value) = entity.tag_at(i);
            let key: &str = std::str::from_utf8(key).ok()?;
            tags.push((key.into(), PartialValue::Value(self.value(value)?)));
        }
        let parents: HashSet<EntityUID> = entity.parents().map(&self.uid).collect::<Option<_>>()?;
        let indirect: HashSet<EntityUID> = ancestors
            .iter()
            .map(|id| (self.uid)(*id))
            .collect::<Option<HashSet<_>>>()?
            .into_iter()
            .filter(|uid| !parents.contains(uid))
            .collect();
        Some(ast::Entity::new_with_attr_partial_value(uid, attributes, indirect, parents, tags))
    }
}
