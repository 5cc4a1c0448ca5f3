//! Single changes: of one member of one entity or of the context, made and decided upon.

use cedar_policy_core::ast::{EntityUID, Value as CedarValue};
use cedar_policy_core::entities::CedarValueJson;
use serde_json::{Value as Json, json};

use super::goals::entity_json;
use super::links;
use super::scene::{plain, shown};
use crate::broken::broken;
use crate::export;
use crate::layout::known;
use crate::model::explanation::Proposed;
use crate::model::{AccessRequest, Decision, Edit, Value};
use crate::snapshot::{GoOn, Snapshot};

/// Where a value stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// An attribute of an entity, and members of records below it.
    Attribute(EntityUID, Vec<String>),
    /// A tag of an entity.
    Tag(EntityUID, String),
    /// A member of the context.
    Context(Vec<String>),
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// The entity gets a parent.
    AddParent(EntityUID, EntityUID),
    /// The same: a group that is in what is wanted.
    Join { entity: EntityUID, group: EntityUID, wanted: EntityUID },
    /// The entity loses a parent.
    RemoveParent(EntityUID, EntityUID),
    /// A value is put into a place, or taken away from it.
    Set(Target, Option<Json>),
    /// A set gets elements, or loses one; what is in it now, what it is then, and which they are.
    Elements { target: Target, value: Json, elements: Vec<Json>, added: bool },
    /// An entity that is not stored is added, with these attributes.
    AddEntity(EntityUID, Json),
    /// Several changes of one entity that a data rule ties.
    Together(Tied),
}

/// Changes of one entity that a data rule ties.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tied {
    /// At least one.
    pub changes: Vec<Change>,
    /// The code of the rule.
    pub rule: String,
    /// For a move: where the entity is then, and the attribute that says so.
    pub to: Option<(EntityUID, String)>,
}

/// Cedar's JSON form of a value, if it has one.
pub(super) fn json_of(value: &CedarValue) -> Option<Json> {
    serde_json::to_value(CedarValueJson::from_value(value.clone()).ok()?).ok().map(with_plain_times)
}

/// A time that was reckoned is written by Cedar as a duration since 1970. As people write it, where that can be written.
fn with_plain_times(value: Json) -> Json {
    match value {
        Json::Array(elements) => elements.into_iter().map(with_plain_times).collect(),
        Json::Object(members) => {
            let value = Json::Object(members);
            match plain_time(&value) {
                Some(text) => json!({"__extn": {"fn": "datetime", "arg": text}}),
                None => match value {
                    Json::Object(members) => {
                        members.into_iter().map(|(name, value)| (name, with_plain_times(value))).collect()
                    }
                    other => other,
                },
            }
        }
        other => other,
    }
}

/// `offset(datetime("1970-01-01"), duration("1798761599999ms"))` as `2026-12-31T23:59:59.999Z`.
fn plain_time(value: &Json) -> Option<String> {
    let call = |value: &Json, name: &str| {
        let call = value.get("__extn")?;
        (call.get("fn")?.as_str()? == name).then(|| call.clone())
    };
    let text = |value: &Json, name: &str| Some(call(value, name)?.get("arg")?.as_str()?.to_owned());
    let offset = call(value, "offset")?;
    let [from, step] = offset.get("args")?.as_array()?.as_slice() else { return None };
    let milliseconds: i64 = text(step, "duration")?.strip_suffix("ms")?.parse().ok()?;
    if text(from, "datetime")? != "1970-01-01" {
        return None;
    }
    let time = jiff::Timestamp::from_millisecond(milliseconds).ok()?;
    // Cedar reads years of four digits
    let year = time.to_zoned(jiff::tz::TimeZone::UTC).year();
    (0..=9999).contains(&year).then(|| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

impl Change {
    /// As the answer names it: one, but for changes that are tied.
    pub(super) fn edits(&self) -> Vec<Proposed> {
        match self {
            Self::Together(tied) => tied.changes.iter().flat_map(Self::edits).collect(),
            change => vec![change.edit()],
        }
    }

    fn edit(&self) -> Proposed {
        let of = |target: &Target, value: Option<Json>| match target {
            Target::Attribute(entity, path) => {
                Proposed::SetAttribute { entity: shown(entity), path: path.clone(), tag: false, value }
            }
            Target::Tag(entity, key) => {
                Proposed::SetAttribute { entity: shown(entity), path: vec![key.clone()], tag: true, value }
            }
            Target::Context(path) => Proposed::SetContext { path: path.clone(), value },
        };
        match self {
            Self::Together(tied) => match tied.changes.as_slice() {
                [first, ..] => first.edit(),
                [] => broken("changes that are tied, and none"),
            },
            Self::AddParent(entity, parent) | Self::Join { entity, group: parent, .. } => {
                Proposed::AddParent { entity: shown(entity), parent: shown(parent) }
            }
            Self::RemoveParent(entity, parent) => {
                Proposed::RemoveParent { entity: shown(entity), parent: shown(parent) }
            }
            Self::Set(target, value) => of(target, value.clone()),
            Self::Elements { target, value, .. } => of(target, Some(value.clone())),
            Self::AddEntity(entity, attributes) => {
                Proposed::AddEntity { entity: shown(entity), attributes: attributes.clone() }
            }
        }
    }

    /// The place whose value it sets, if it sets one.
    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Self::Set(target, _) | Self::Elements { target, .. } => Some(target),
            _ => None,
        }
    }

    /// The entity that it changes, if it changes one.
    pub(super) fn entity(&self) -> Option<&EntityUID> {
        match self {
            Self::AddParent(entity, _) | Self::RemoveParent(entity, _) | Self::AddEntity(entity, _) => Some(entity),
            Self::Join { entity, .. } => Some(entity),
            Self::Together(tied) => tied.changes.first().and_then(Self::entity),
            Self::Set(target, _) | Self::Elements { target, .. } => match target {
                Target::Attribute(entity, _) | Target::Tag(entity, _) => Some(entity),
                Target::Context(_) => None,
            },
        }
    }

    /// How far it reaches beyond the question: those that concern the principal alone come first, those that concern
    /// what is above it or others last.
    pub(super) fn reach(&self, principal: Option<&EntityUID>, resource: Option<&EntityUID>) -> u8 {
        let of_entity = |entity: &EntityUID| match Some(entity) {
            entity if entity == principal => 0,
            entity if entity == resource => 2,
            _ => 3,
        };
        match self {
            Self::AddParent(entity, _) | Self::RemoveParent(entity, _) | Self::Join { entity, .. } => of_entity(entity),
            Self::Together(tied) => tied.changes.first().map_or(3, |first| first.reach(principal, resource)),
            Self::Set(target, _) | Self::Elements { target, .. } => match target {
                Target::Attribute(entity, _) | Target::Tag(entity, _) => of_entity(entity),
                // what a caller sends, before asking without it
                Target::Context(_) if matches!(self, Self::Set(_, None)) => 3,
                Target::Context(_) => 1,
            },
            // for the principal alone, or for a group
            Self::AddEntity(_, attributes) => {
                let own = principal.map(entity_json);
                let is_own =
                    attributes.as_object().is_some_and(|it| it.values().any(|value| Some(value) == own.as_ref()));
                if is_own { 2 } else { 3 }
            }
        }
    }

    /// In words; `adds` says that the entity is not stored.
    pub(super) fn words(&self, adds: bool) -> String {
        let with = |target: &Target, value: &Json| match target {
            Target::Attribute(entity, path) if adds => {
                Some(format!("add `{}` with `{}` {}", shown(entity), path.join("."), in_words(value)))
            }
            Target::Tag(entity, key) if adds => {
                Some(format!("add `{}` with the tag `{key}` {}", shown(entity), in_words(value)))
            }
            _ => None,
        };
        let added = match self {
            Self::Set(target, Some(value)) | Self::Elements { target, value, added: true, .. } => with(target, value),
            _ => None,
        };
        if let Some(words) = added {
            return words;
        }
        match self {
            Self::Join { entity, group, wanted } => {
                let change = Self::AddParent(entity.clone(), group.clone()).words(adds);
                format!("{change}, which is in `{}`", shown(wanted))
            }
            Self::Together(tied) => tied.words(adds),
            Self::AddEntity(entity, attributes) => links::in_words(entity, attributes, in_words),
            Self::AddParent(entity, parent) if adds => {
                format!("add `{}` with the parent `{}`", shown(entity), shown(parent))
            }
            Self::AddParent(entity, parent) => {
                format!("put `{}` into `{}` (as a parent)", shown(entity), shown(parent))
            }
            Self::RemoveParent(entity, parent) => {
                format!("take `{}` out of `{}` (a parent)", shown(entity), shown(parent))
            }
            Self::Set(target, None) => format!("take away {}", target.words()),
            Self::Set(target, Some(value)) => format!("set {} to {}", target.words(), in_words(value)),
            Self::Elements { target, elements, added, .. } => {
                let names: Vec<String> = elements.iter().map(in_words).collect();
                let (verb, to) = if *added { ("add", "to") } else { ("take", "out of") };
                format!("{verb} {} {to} {}", names.join(" and "), target.words())
            }
        }
    }

    /// What is decided once the change is made; `None` where it cannot be made.
    pub(super) fn decided(
        &self,
        snapshot: &Snapshot,
        request: &AccessRequest<'_>,
        now: i64,
        go_on: GoOn<'_>,
    ) -> Option<Decision> {
        let changed = match self.entity() {
            None => {
                let context = self.in_context(&request.context)?;
                Changed::Request(Box::new(AccessRequest { context, ..request.clone() }))
            }
            Some(entity) => change_entity(snapshot, request, entity, |json| self.alter(json))?,
        };
        changed.decided(snapshot, request, now, go_on)
    }

    /// The context with the change; `None` where it changes something else, or cannot be made.
    pub(super) fn in_context(&self, context: &Value<'_>) -> Option<Value<'static>> {
        let (path, value) = match self {
            Self::Set(Target::Context(path), value) => (path, value.clone()),
            Self::Elements { target: Target::Context(path), value, .. } => (path, Some(value.clone())),
            _ => return None,
        };
        let mut json = context.to_json();
        put(&mut json, path, value)?;
        read(&json)
    }

    /// Makes a change of an entity in its JSON form.
    fn alter(&self, json: &mut Json) -> Option<()> {
        let (target, value) = match self {
            Self::AddParent(_, parent) | Self::Join { group: parent, .. } => return parents(json, parent, true),
            Self::RemoveParent(_, parent) => return parents(json, parent, false),
            Self::Together(tied) => return tied.changes.iter().try_for_each(|change| change.alter(json)),
            Self::AddEntity(_, attributes) => {
                json["attrs"] = attributes.clone();
                return Some(());
            }
            Self::Set(target, value) => (target, value.clone()),
            Self::Elements { target, value, .. } => (target, Some(value.clone())),
        };
        match target {
            Target::Context(_) => None,
            Target::Attribute(_, path) => put(json.get_mut("attrs")?, path, value),
            Target::Tag(_, key) => {
                let tags = json.as_object_mut()?.entry("tags").or_insert_with(|| json!({}));
                put(tags, std::slice::from_ref(key), value)
            }
        }
    }
}

impl Tied {
    fn words(&self, adds: bool) -> String {
        let rule = &self.rule;
        if let (Some((to, attribute)), Some(entity), false) =
            (&self.to, self.changes.first().and_then(Change::entity), adds)
        {
            let (entity, to) = (shown(entity), shown(to));
            return format!(
                "move `{entity}` to `{to}`: its parent and its `{attribute}`, which the data rule `{rule}` ties"
            );
        }
        let words: Vec<String> = self.changes.iter().map(|change| change.words(adds)).collect();
        format!("{}: the data rule `{rule}` ties them", words.join(", and "))
    }
}

impl Target {
    /// The last name of its path.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Attribute(_, path) | Self::Context(path) => path.last().map(String::as_str),
            Self::Tag(_, key) => Some(key),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Attribute(entity, path) => format!("`{}` of `{}`", path.join("."), shown(entity)),
            Self::Tag(entity, key) => format!("the tag `{key}` of `{}`", shown(entity)),
            Self::Context(path) => format!("`context.{}`", path.join(".")),
        }
    }
}

/// A value in Cedar's JSON form as people write it.
fn in_words(value: &Json) -> String {
    let uid = value.get("__entity").and_then(|uid| {
        let part = |name: &str| uid.get(name)?.as_str().map(str::to_owned);
        crate::model::Uid::new(part("type")?, part("id")?).ok()
    });
    let call = value.get("__extn").and_then(|call| Some((call.get("fn")?.as_str()?, call.get("arg")?)));
    let text = match (uid, call, value) {
        (Some(uid), _, _) => uid.to_string(),
        (_, Some((function, argument)), _) => format!("{function}({argument})"),
        (_, _, Json::Array(elements)) => {
            let elements: Vec<String> =
                elements.iter().take(4).map(|element| in_words(element).trim_matches('`').to_owned()).collect();
            format!("[{}]", elements.join(", "))
        }
        _ => value.to_string(),
    };
    format!("`{}`", super::source::short(&text, 200))
}

/// What a change made.
enum Changed<'a> {
    Snapshot(Box<Snapshot>),
    Request(Box<AccessRequest<'a>>),
}

impl Changed<'_> {
    fn decided(&self, snapshot: &Snapshot, request: &AccessRequest<'_>, now: i64, go_on: GoOn<'_>) -> Option<Decision> {
        match self {
            Self::Snapshot(snapshot) => snapshot.decide_while(request, now, go_on).ok(),
            Self::Request(request) => snapshot.decide_while(request, now, go_on).ok(),
        }
    }
}

/// Changes an entity where it is: among those that the request brings, or in the store. One that is nowhere is made.
fn change_entity<'a>(
    snapshot: &Snapshot,
    request: &AccessRequest<'a>,
    entity: &EntityUID,
    change: impl FnOnce(&mut Json) -> Option<()>,
) -> Option<Changed<'a>> {
    for (brought, is_all) in [(&request.entities, true), (&request.additional_entities, false)] {
        let Some(Value::Array(list)) = brought else { continue };
        let at = list.iter().position(|value| is_entity(value, entity));
        if at.is_none() && !is_all {
            continue;
        }
        let mut list = list.clone();
        let mut json = at.and_then(|at| list.get(at)).map_or_else(|| nothing_of(entity), Value::to_json);
        change(&mut json)?;
        let value = read(&json)?;
        match at.and_then(|at| list.get_mut(at)) {
            Some(place) => *place = value,
            None => list.push(value),
        }
        let changed = if is_all {
            AccessRequest { entities: Some(Value::Array(list)), ..request.clone() }
        } else {
            AccessRequest { additional_entities: Some(Value::Array(list)), ..request.clone() }
        };
        return Some(Changed::Request(Box::new(changed)));
    }
    let store = &snapshot.store;
    let stored = known(entity, store).and_then(|id| export::entity(store, id));
    let mut json = stored.map_or_else(|| nothing_of(entity), |stored| stored.to_json());
    change(&mut json)?;
    let edits = [Edit::Upsert(read(&json)?)];
    Some(Changed::Snapshot(Box::new(snapshot.apply(&edits, snapshot.revision).ok()?)))
}

fn nothing_of(entity: &EntityUID) -> Json {
    let uid = plain(entity);
    json!({"uid": {"type": uid.type_name, "id": uid.id}, "attrs": {}, "parents": []})
}

fn is_entity(value: &Value<'_>, entity: &EntityUID) -> bool {
    let uid = plain(entity);
    let Some(written) = value.get("uid") else { return false };
    let written = written.get("__entity").unwrap_or(written);
    let part = |name| written.get(name).and_then(Value::as_str);
    part("type") == Some(&*uid.type_name) && part("id") == Some(&*uid.id)
}

/// Adds or removes a parent.
fn parents(entity: &mut Json, parent: &EntityUID, added: bool) -> Option<()> {
    let uid = plain(parent);
    let list = entity.as_object_mut()?.entry("parents").or_insert_with(|| json!([])).as_array_mut()?;
    let is_it = |known: &Json| {
        let known = known.get("__entity").unwrap_or(known);
        known.get("type").and_then(Json::as_str) == Some(&*uid.type_name)
            && known.get("id").and_then(Json::as_str) == Some(&*uid.id)
    };
    let before = list.len();
    list.retain(|known| !is_it(known));
    if added {
        list.push(json!({"type": uid.type_name, "id": uid.id}));
    }
    // what was there already, or was not, is no change
    (list.len() != before).then_some(())
}

/// Puts a value at a path of objects, making those that are missing, or takes it away.
fn put(object: &mut Json, path: &[String], value: Option<Json>) -> Option<()> {
    let (first, rest) = path.split_first()?;
    let members = object.as_object_mut()?;
    match (rest, value) {
        ([], Some(value)) => {
            members.insert(first.clone(), value);
        }
        ([], None) => {
            members.remove(first)?;
        }
        (rest, value) => {
            put(members.entry(first.clone()).or_insert_with(|| json!({})), rest, value)?;
        }
    }
    Some(())
}

fn read(json: &Json) -> Option<Value<'static>> {
    let text = json.to_string();
    Some(Value::parse(text.as_bytes()).ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reckoned_times_are_written_as_people_write_them() {
        let since = |from: &str, step: &str| {
            let call = |name: &str, text: &str| json!({"__extn": {"fn": name, "arg": text}});
            json!({"__extn": {"fn": "offset", "args": [call("datetime", from), call("duration", step)]}})
        };
        let time = |text: &str| json!({"__extn": {"fn": "datetime", "arg": text}});
        let epoch = "1970-01-01";
        for (value, plain) in [
            (since(epoch, "1798761599999ms"), time("2026-12-31T23:59:59.999Z")),
            (since(epoch, "0ms"), time("1970-01-01T00:00:00.000Z")),
            (since(epoch, "-1ms"), time("1969-12-31T23:59:59.999Z")),
            (json!([1, {"a": since(epoch, "0ms")}]), json!([1, {"a": time("1970-01-01T00:00:00.000Z")}])),
            // as they are
            (since("1971-01-01", "0ms"), since("1971-01-01", "0ms")),
            (since(epoch, "1h"), since(epoch, "1h")),
            (since(epoch, "999999999999999ms"), since(epoch, "999999999999999ms")),
            (time("2026-01-01"), time("2026-01-01")),
            (json!({"__extn": {"fn": "ip", "arg": "::1"}}), json!({"__extn": {"fn": "ip", "arg": "::1"}})),
        ] {
            assert_eq!(with_plain_times(value.clone()), plain, "{value}");
        }
        assert_eq!(in_words(&time("2026-01-01")), "`datetime(\"2026-01-01\")`");
    }
}
