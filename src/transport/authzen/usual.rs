//! Evaluations in their usual form, read in one pass. `None` says nothing about a body: `wire` then reads it.

use std::borrow::Cow;

use crate::transport::authzen::wire::{Action, Entity, Partial, Semantic, read_semantic};
use crate::transport::exchange;
use crate::transport::respond::Problem;
use palisade_engine::model::usual::Reader;
use palisade_engine::model::{RequestError, Text, Value};

/// A list of evaluations, with what they lack.
pub(super) struct List<'a> {
    pub(super) defaults: Partial<'a>,
    pub(super) items: Vec<Item<'a>>,
    pub(super) semantic: Semantic,
}

/// An evaluation of a list.
pub(super) enum Item<'a> {
    Read(Box<Partial<'a>>),
    /// To be read when its turn comes.
    Text(Text<'a>),
}

impl<'a> Item<'a> {
    /// The evaluation, or why there is none.
    pub(super) fn read(self) -> Result<Result<Partial<'a>, RequestError>, Problem> {
        match self {
            Self::Read(item) => Ok(Ok(*item)),
            Self::Text(text) => Ok(Partial::from_item(text.read().map_err(exchange::contradicted)?)),
        }
    }
}

/// The body of one evaluation.
pub(super) fn evaluation(body: &[u8]) -> Option<Partial<'_>> {
    let mut reader = Reader::new(body)?;
    let evaluation = partial(&mut reader)?;
    reader.is_at_end().then_some(evaluation)
}

/// The body of several.
pub(super) fn evaluations(body: &[u8]) -> Option<List<'_>> {
    let mut reader = Reader::new(body)?;
    let (mut defaults, mut items, mut semantic) = (Partial::default(), None, None);
    reader.members(|reader, name| match name {
        "evaluations" => {
            let mut found = Vec::new();
            reader.elements(|reader| {
                found.push(Item::Read(Box::new(partial(reader)?)));
                Some(())
            })?;
            items.replace(found).is_none().then_some(())
        }
        "options" => {
            let read = read_semantic(&reader.object()?).ok()?;
            semantic.replace(read).is_none().then_some(())
        }
        _ => part(&mut defaults, reader, name),
    })?;
    let semantic = semantic.unwrap_or(Semantic::ExecuteAll);
    reader.is_at_end().then_some(List { defaults, items: items.unwrap_or_default(), semantic })
}

fn partial<'a>(reader: &mut Reader<'a>) -> Option<Partial<'a>> {
    let mut partial = Partial::default();
    reader.members(|reader, name| part(&mut partial, reader, name))?;
    Some(partial)
}

/// Reads the part of a name, which must be one and new.
fn part<'a>(partial: &mut Partial<'a>, reader: &mut Reader<'a>, name: &str) -> Option<()> {
    match name {
        "subject" => put(&mut partial.subject, entity(reader)?),
        "action" => put(&mut partial.action, action(reader)?),
        "resource" => put(&mut partial.resource, entity(reader)?),
        "context" => put(&mut partial.context, reader.object()?),
        _ => None,
    }
}

fn put<T>(place: &mut Option<T>, new: T) -> Option<()> {
    place.replace(new).is_none().then_some(())
}

fn entity<'a>(reader: &mut Reader<'a>) -> Option<Entity<'a>> {
    let (mut type_name, mut id, mut properties) = (None, None, None);
    reader.members(|reader, name| match name {
        "type" => put(&mut type_name, reader.string()?),
        "id" => put(&mut id, reader.string()?),
        "properties" => put(&mut properties, reader.object()?),
        _ => None,
    })?;
    Some(Entity {
        type_name: Cow::Borrowed(type_name?),
        id: Cow::Borrowed(id?),
        properties: properties.unwrap_or(Value::empty_object()),
    })
}

fn action<'a>(reader: &mut Reader<'a>) -> Option<Action<'a>> {
    let (mut action, mut properties) = (None, None);
    reader.members(|reader, name| match name {
        "name" => put(&mut action, reader.string()?),
        "properties" => put(&mut properties, reader.object()?),
        _ => None,
    })?;
    Some(Action { name: Cow::Borrowed(action?), properties: properties.unwrap_or(Value::empty_object()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::authzen::wire::Evaluations;

    /// What the other reader makes of the body of one evaluation, as it would be answered.
    fn one_in_full(body: &[u8]) -> Result<String, String> {
        let read = exchange::parse(body).and_then(|value| Ok(Partial::from_value(value)?));
        read.map(|partial| format!("{partial:?}")).map_err(|problem| format!("{problem:?}"))
    }

    /// The same of several: the defaults, each evaluation, and when the list is done.
    fn many_in_full(body: &[u8]) -> Result<String, Problem> {
        let mut evaluations = Evaluations::from_text(exchange::check(body)?)?;
        let defaults = evaluations.read_defaults()?;
        let items: Result<Vec<_>, _> = evaluations.items.into_iter().map(|item| Item::Text(item).read()).collect();
        let items = items?.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{defaults:?} {items:?} {:?}", evaluations.semantic))
    }

    /// Fails where the readers say something else. Says whether the one for usual bodies says anything.
    fn says_the_same(body: &[u8]) -> bool {
        let one = evaluation(body).map(|partial| format!("{partial:?}"));
        if let Some(one) = &one {
            assert_eq!(one_in_full(body).as_ref(), Ok(one), "{}", String::from_utf8_lossy(body));
        }
        let many = evaluations(body).map(|List { defaults, items, semantic }| {
            let items: Vec<_> = items.into_iter().map(|item| item.read().unwrap().unwrap()).collect();
            format!("{defaults:?} {items:?} {semantic:?}")
        });
        if let Some(many) = &many {
            let full = many_in_full(body).map_err(|problem| format!("{problem:?}"));
            assert_eq!(full.as_ref(), Ok(many), "{}", String::from_utf8_lossy(body));
        }
        one.is_some() || many.is_some()
    }

    const ONE: &str = r#"{"subject":{"type":"user","id":"a","properties":{"x":[1,{"y":true}]}},"action":{"name":"read","properties":{"m":"GET"}},"resource":{"id":"r","type":"doc"},"context":{"now":{"a":1}}}"#;

    #[test]
    fn usual_bodies_are_read_and_others_are_left() {
        let list =
            |more: &str| format!("{{\"subject\":{{\"type\":\"u\",\"id\":\"d\"}},\"evaluations\":[{ONE},{{}}]{more}}}");
        for (body, usual) in [
            (ONE.to_owned(), true),
            ("{}".to_owned(), true),
            (list(""), true),
            (list(",\"options\":{\"evaluations_semantic\":\"deny_on_first_deny\"}"), true),
            (list(",\"options\":{\"evaluations_semantic\":\"none\"}"), false),
            (list(",\"options\":null"), false),
            (list(",\"evaluations\":[]"), false),
            (list(",\"unknown\":1"), false),
            (ONE.replace("\"id\":\"a\"", "\"id\":7"), false),
            (ONE.replace("\"id\":\"a\",", ""), false),
            (ONE.replace("\"name\":\"read\",", ""), false),
            (ONE.replace("{\"m\":\"GET\"}", "null"), false),
            (ONE.replace("read", "\\u0072ead"), false),
            (ONE.replace("\"context\":", "\"subject\":"), false),
            (format!("{ONE} x"), false),
            ("[]".to_owned(), false),
        ] {
            assert_eq!(says_the_same(body.as_bytes()), usual, "{body}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_changed_is_read_alike(
            list in any::<bool>(),
            at in any::<usize>(),
            out in 0_usize..4,
            put in prop::sample::select(vec!["", "\"", "\\", ",", ":", "{", "}", "[", "]", "0", "null", " ", "\"id\":\"b\",", "é", "x"]),
        ) {
            let body = if list { format!("{{\"evaluations\":[{ONE},{ONE}],\"context\":{{\"a\":1}}}}") } else { ONE.to_owned() };
            let mut bytes = body.into_bytes();
            let at = at % (bytes.len() + 1);
            let end = (at + out).min(bytes.len());
            bytes.splice(at..end, put.bytes());
            says_the_same(&bytes);
        }
    }
}
