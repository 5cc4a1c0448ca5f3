//! Values in Cedar's JSON form: fitting a type, or not.

use std::borrow::Cow;

use palisade_engine::model::{Uid, Value};

use super::choices::Choices;
use super::entities::Population;
use super::model::{Attr, Ty, uid};
use super::words;

/// An object.
pub(crate) fn object(members: Vec<(&'static str, Value<'static>)>) -> Value<'static> {
    Value::Object(members.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
}

/// A string.
pub(crate) fn text(text: impl Into<String>) -> Value<'static> {
    Value::String(Cow::Owned(text.into()))
}

/// `{"type": .., "id": ..}`
pub(crate) fn plain_uid(uid: &Uid<'_>) -> Value<'static> {
    object(vec![("type", text(&*uid.type_name)), ("id", text(&*uid.id))])
}

/// `{"__entity": {..}}`
pub(crate) fn explicit_uid(uid: &Uid<'_>) -> Value<'static> {
    object(vec![("__entity", plain_uid(uid))])
}

impl Population<'_> {
    /// A value of a type. `typed` says that its reader knows the type, so that the short forms will do.
    pub(crate) fn value(&self, c: &mut Choices, ty: &Ty, typed: bool) -> Value<'static> {
        self.drawn(c, ty, typed, false)
    }

    /// A value of a type, or one of the few that sets have in common.
    fn drawn(&self, c: &mut Choices, ty: &Ty, typed: bool, few: bool) -> Value<'static> {
        let call = |c: &mut Choices, function: &'static str, pool: &[&'static str]| {
            let argument = *words::some(c, pool, few);
            let call = object(vec![("fn", text(function)), ("arg", text(argument))]);
            match c.below(4) {
                0 if typed => text(argument),
                1 if typed => call,
                _ => object(vec![("__extn", call)]),
            }
        };
        match ty {
            Ty::Bool => Value::Bool(c.chance(50)),
            Ty::Long if few => Value::Long(*c.pick(words::FEW_LONGS)),
            Ty::Long => Value::Long(*words::near(c, words::LONGS)),
            Ty::Text if few => text(*words::some(c, words::TEXTS, few)),
            Ty::Text => text(*words::near(c, words::TEXTS)),
            Ty::Ip => call(c, "ip", words::IPS),
            Ty::Decimal => call(c, "decimal", words::DECIMALS),
            Ty::Datetime => call(c, "datetime", words::DATETIMES),
            Ty::Duration => call(c, "duration", words::DURATIONS),
            Ty::Entity(i) => {
                let uid = self.uid_of_type(c, *i);
                if typed && c.chance(50) { plain_uid(&uid) } else { explicit_uid(&uid) }
            }
            Ty::Set(element) => {
                let few = few || c.chance(30);
                let count = match c.chance(2) {
                    true => 30,
                    false if few => 1 + c.below(2),
                    false => c.below(4),
                };
                let mut elements: Vec<_> = (0..count).map(|_| self.drawn(c, element, typed, few)).collect();
                if c.chance(if few { 40 } else { 15 })
                    && let Some(again) = c.any(&elements).cloned()
                {
                    elements.push(again);
                }
                Value::Array(elements)
            }
            Ty::Record(members) => self.members(c, members, typed),
        }
    }

    /// Members that fit their declarations.
    pub(crate) fn members(&self, c: &mut Choices, attrs: &[Attr], typed: bool) -> Value<'static> {
        let mut members = Vec::new();
        for attr in attrs {
            if attr.required || c.chance(55) {
                members.push((Cow::Owned(attr.name.clone()), self.value(c, &attr.ty, typed)));
            }
        }
        if c.chance(30) {
            members.reverse();
        }
        Value::Object(members)
    }

    /// A value that probably has another type than is expected, or is not valid at all.
    pub(crate) fn strange(&self, c: &mut Choices) -> Value<'static> {
        match c.below(14) {
            0 => Value::Null,
            1 => Value::Number(1.5),
            2 => Value::Array(vec![Value::Long(1), Value::Bool(true), text("a"), Value::Long(1)]),
            3 => object(vec![("__extn", object(vec![("fn", text("ip")), ("arg", text(*c.pick(words::BAD_IPS)))]))]),
            4 => object(vec![(
                "__extn",
                object(vec![("fn", text("datetime")), ("arg", text(*c.pick(words::BAD_DATETIMES)))]),
            )]),
            5 => object(vec![("__extn", object(vec![("fn", text("nothing")), ("arg", text("1"))]))]),
            6 => object(vec![("__entity", object(vec![("type", text("No Type")), ("id", text("x"))]))]),
            7 => object(vec![("__expr", text("principal"))]),
            8 => explicit_uid(&uid("Ghost", "boo")),
            9 => text(*c.pick(words::TEXTS)),
            10 => object(vec![("type", text("User")), ("id", text("a"))]),
            _ => {
                let ty = self.model.ty(c, 2);
                self.value(c, &ty, false)
            }
        }
    }

    /// Members of which one or two are spoiled: missing, strange or not declared.
    pub(crate) fn spoil(&self, c: &mut Choices, value: Value<'static>) -> Value<'static> {
        let Value::Object(mut members) = value else { return value };
        for _ in 0..1 + c.below(2) {
            let at = c.below(members.len());
            match c.below(4) {
                0 if !members.is_empty() => {
                    members.remove(at);
                }
                1 if !members.is_empty() => members[at].1 = self.strange(c),
                _ => {
                    let name = *c.pick(&["extra", "__extn", "__entity", "now", "a", "with space", "\0"]);
                    if !members.iter().any(|(key, _)| key == name) {
                        members.push((Cow::Borrowed(name), self.strange(c)));
                    }
                }
            }
        }
        Value::Object(members)
    }
}
