//! The same question asked in another way that a caller can choose: the answer must be the same.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use palisade_engine::model::{AccessRequest, Bundle, Document, PolicyNaming, PolicyText, Value};
use palisade_engine::{EngineKind, EngineSettings, Snapshot};

use super::compare::{Answer, Both, build, comparable};
use super::generate::choices::Choices;

/// What came of asking in other ways.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ways {
    /// Decided without the reference at hand.
    pub at_once: u64,
    /// In a series with others that share parts of it.
    pub series: u64,
    /// With a stored entity sent again as it is.
    pub resent: u64,
    /// With a member that Cedar would ignore.
    pub ignored: u64,
    /// At a state that was read back and loaded again.
    pub restored: u64,
}

/// A state as it reads back, loaded again: what `GET` and then `PUT /v1/bundle` do, or a restart.
///
/// # Errors
/// If it does not load.
pub(super) fn restore(snapshot: &Snapshot, settings: &EngineSettings) -> Result<Snapshot, String> {
    let entities: Vec<String> = snapshot.entities().map(|entity| entity.to_json().to_string()).collect();
    let naming = |id: &str| PolicyNaming::Exactly(id.to_owned());
    let text =
        |(id, text): (&str, &str)| PolicyText { origin: id.to_owned(), text: text.to_owned(), naming: naming(id) };
    let bundle = Bundle {
        policies: snapshot.policy_texts().into_iter().map(text).collect(),
        entities: vec![Document::held("entities", format!("[{}]", entities.join(",")))],
        ..snapshot.texts().into_owned()
    };
    build(&Arc::new(bundle), settings, EngineKind::Compiled)
}

/// Says what an exported entity has twice: parents and sets have everything once.
///
/// # Errors
/// The first repetition.
pub(super) fn check_export(value: &Value<'_>) -> Result<(), String> {
    match value {
        Value::Array(elements) => {
            let mut seen = HashSet::new();
            elements.iter().try_for_each(|element| {
                check_export(element)?;
                let text = element.to_json().to_string();
                if seen.contains(&text) {
                    return Err(format!("{text} is there twice in {}", value.to_json()));
                }
                seen.insert(text);
                Ok(())
            })
        }
        Value::Object(members) => members.iter().try_for_each(|(_, member)| check_export(member)),
        _ => Ok(()),
    }
}

/// Asks in a series with questions that share parts of it: each is decided as it is alone.
fn ask_in_series(snapshot: &Snapshot, request: &AccessRequest<'static>, now: i64) -> Result<(), String> {
    let mut swapped = request.clone();
    std::mem::swap(&mut swapped.principal, &mut swapped.resource);
    let mut selves = request.clone();
    selves.resource = selves.principal.clone();
    let mut bare = request.clone();
    bare.context = Value::empty_object();
    let mut alone = AccessRequest::new(request.principal.clone(), request.action.clone(), request.resource.clone());
    alone.context = request.context.clone();
    let mut series = snapshot.series(now);
    for (at, (asked, context)) in [
        (request, 1),
        (&swapped, 1),
        (request, 1),
        (&bare, 0),
        (&alone, 1),
        (&selves, 1),
        (&alone, 1),
        (request, 1),
        (&bare, 0),
        (&bare, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let (one, other) = (series.decide_at_once(asked, context), snapshot.decide_at_once(asked, now));
        if one != other {
            return Err(format!("as number {at} of a series: {one:#?}\nalone: {other:#?}\n{asked:#?}"));
        }
    }
    Ok(())
}

/// Asks in other ways and says what differs from `answer`.
///
/// # Errors
/// The first difference.
pub(super) fn ask_otherwise(
    both: &Both,
    (restored, stored): (&Snapshot, &[Value<'static>]),
    request: &AccessRequest<'static>,
    now: i64,
    answer: &Answer,
    c: &mut Choices,
    met: &mut Ways,
) -> Result<(), String> {
    let expected = comparable(answer);
    let same = |way: &str, other: &Answer| match comparable(other) == expected {
        true => Ok(()),
        false => Err(format!("{way}: {other:#?}\nplainly: {answer:#?}")),
    };
    if let Some(at_once) = both.compiled.decide_at_once(request, now) {
        met.at_once += 1;
        same("without the reference", &at_once)?;
        if met.at_once.is_multiple_of(4) {
            met.series += 1;
            ask_in_series(&both.compiled, request, now)?;
        }
    }
    if c.chance(20) {
        met.restored += 1;
        same("read back and loaded again", &restored.decide(request, now))?;
    }
    if request.entities.is_some() || request.additional_entities.is_some() || answer.is_err() {
        return Ok(());
    }
    if stored.is_empty() || !c.chance(25) {
        return Ok(());
    }
    let one = c.pick(stored).clone();
    let mut again = request.clone();
    again.additional_entities = Some(Value::Array(vec![one.clone()]));
    met.resent += 1;
    for (engine, snapshot) in [("compiled", &both.compiled), ("reference", &both.reference)] {
        same(&format!("with `{:?}` sent again, {engine}", one.get("uid")), &snapshot.decide(&again, now))?;
    }
    same("with an entity sent again, over a slice", &both.compiled.decide_by_reference(&again, now))?;
    let Value::Object(mut members) = one else { return Ok(()) };
    members.push((Cow::Borrowed("parent"), Value::Array(Vec::new())));
    again.additional_entities = Some(Value::Array(vec![Value::Object(members)]));
    met.ignored += 1;
    for snapshot in [&both.compiled, &both.reference] {
        if !snapshot.decide(&again, now).is_err_and(|error| error.message.contains("unknown member `parent`")) {
            return Err("a member that Cedar ignores was let pass".to_owned());
        }
    }
    Ok(())
}
