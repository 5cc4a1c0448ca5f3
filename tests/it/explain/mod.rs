//! Explanations: what they say of policies, clauses and changes is what Cedar says.

mod brute;
mod cost;
mod domain;
mod http;
mod live;
mod many;
mod near;
mod oracle;
mod seen;
mod session;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use palisade_engine::Snapshot;
use palisade_engine::model::explanation::Proposed;
use palisade_engine::model::{AccessRequest, Uid, Value};

/// How long this thread has been at work: others share the machine. Where the system does not say, the time that passed.
pub(super) fn worked() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = said.and_then(|said| said.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// A JSON value as one of the engine's.
pub(super) fn value(json: &Json) -> Value<'static> {
    Value::parse(json.to_string().as_bytes()).unwrap().into_owned()
}

/// The stored entities and the request with an edit made, written here once more and apart from the engine.
pub(super) fn edited(
    snapshot: &Snapshot,
    request: &AccessRequest<'static>,
    edit: &Proposed,
) -> (Vec<Json>, AccessRequest<'static>) {
    let mut entities: Vec<Json> = snapshot.entities().map(|entity| entity.to_json()).collect();
    let mut request = request.clone();
    make(&mut entities, &mut request, edit);
    (entities, request)
}

/// Makes an edit.
fn make(entities: &mut Vec<Json>, request: &mut AccessRequest<'static>, edit: &Proposed) {
    let mut change = |entity: &str, change: &dyn Fn(&mut Json)| {
        let uid = uid_json(entity);
        match entities.iter_mut().find(|known| known["uid"] == uid) {
            Some(known) => change(known),
            None => {
                let mut made = json!({"uid": uid, "attrs": {}, "parents": []});
                change(&mut made);
                entities.push(made);
            }
        }
    };
    match edit {
        Proposed::AddParent { entity, parent } => {
            change(entity, &|json| json["parents"].as_array_mut().unwrap().push(uid_json(parent)));
        }
        Proposed::RemoveParent { entity, parent } => {
            change(entity, &|json| json["parents"].as_array_mut().unwrap().retain(|known| *known != uid_json(parent)));
        }
        Proposed::SetAttribute { entity, path, tag, value } => change(entity, &|json| {
            let members = if *tag { &mut json["tags"] } else { &mut json["attrs"] };
            put(members, path, value.as_ref());
        }),
        Proposed::AddEntity { entity, attributes } => change(entity, &|json| json["attrs"] = attributes.clone()),
        Proposed::SetContext { path, value } => {
            let mut context = request.context.to_json();
            put(&mut context, path, value.as_ref());
            request.context = self::value(&context);
        }
    }
}

fn put(members: &mut Json, path: &[String], value: Option<&Json>) {
    let (last, above) = path.split_last().unwrap();
    let mut at = members;
    for name in above {
        at = &mut at[name];
    }
    match value {
        Some(value) => at[last] = value.clone(),
        None => drop(at.as_object_mut().unwrap().remove(last)),
    }
}

pub(super) fn uid_json(uid: &str) -> Json {
    let uid = Uid::parse(uid).unwrap();
    json!({"type": uid.type_name, "id": uid.id})
}
