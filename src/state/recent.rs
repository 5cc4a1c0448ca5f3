//! What was published lately, for those who follow it: bounded in bytes, and read by position.
//!
//! A reader holds no more than where it is. One that is further behind than what is kept has to begin again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use palisade_engine::model::Revision;
use palisade_engine::{Changed, Snapshot};

/// Bytes of all events that are kept.
const MOST_BYTES: usize = 16 << 20;

/// What an event counts at least.
const LEAST: usize = 256;

/// Entities of a transaction that is kept. A larger one is as if everything was replaced.
const MOST_ENTITIES: usize = 10_000;

/// Something that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The revision that it has.
    pub revision: Revision,
    /// The one before, if there was any.
    pub prev: Option<Revision>,
    /// What changed, as JSON: whole entities, policies and links, or that they are gone. Nothing where everything was
    /// replaced, or so much changed that it is not kept.
    pub changes: Option<String>,
}

/// What comes after a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follows {
    /// Nothing yet.
    Nothing,
    /// This.
    Next(Arc<Event>),
    /// That is not known: it is of another run, ahead, or too long ago.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

fn weight(event: &Event) -> usize {
    LEAST + event.changes.as_ref().map_or(0, String::len)
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // nothing in here panics half way
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: Event) {
        let mut kept = self.lock();
        kept.bytes += weight(&event);
        kept.events.push_back(Arc::new(event));
        while kept.bytes > MOST_BYTES
            && let Some(oldest) = kept.events.pop_front()
        {
            kept.bytes -= weight(&oldest);
        }
    }

    /// What comes after `after`, while `serving` is the newest revision.
    pub(super) fn after(&self, after: Revision, serving: Revision) -> Follows {
        if after.incarnation != serving.incarnation || after.counter > serving.counter {
            return Follows::Gone;
        }
        let kept = self.lock();
        let next = kept.events.partition_point(|event| event.revision.counter <= after.counter);
        match kept.events.get(next) {
            Some(event) if event.prev == Some(after) => Follows::Next(event.clone()),
            None if after == serving => Follows::Nothing,
            _ => Follows::Gone,
        }
    }
}

/// What a transaction changed, unless it is too much to be kept.
pub(super) fn changes(changed: &Changed) -> Option<String> {
    let Changed { snapshot, entities, policies, links, .. } = changed;
    if entities.len() + policies.len() + links.len() > MOST_ENTITIES {
        return None;
    }
    let of_entities = entities.iter().map(|uid| match snapshot.entity(uid) {
        Some(listed) => json!({ "upsert": listed.entity.to_json() }),
        None => json!({ "delete": { "type": uid.type_name, "id": uid.id } }),
    });
    let of_policies = policies.iter().map(|id| policy(snapshot, id));
    let of_links = links.iter().map(|id| link(snapshot, id));
    let all: Vec<Value> = of_entities.chain(of_policies).chain(of_links).collect();
    let text = serde_json::to_string(&all).ok()?;
    (text.len() < MOST_BYTES / 2).then_some(text)
}

fn policy(snapshot: &Snapshot, id: &str) -> Value {
    match snapshot.policy_text(id) {
        Some(text) => json!({ "put_policy": { "id": id, "text": text } }),
        None => json!({ "delete_policy": id }),
    }
}

fn link(snapshot: &Snapshot, id: &str) -> Value {
    match snapshot.link(id) {
        Some(link) => {
            let args: serde_json::Map<String, Value> =
                link.args.iter().map(|(slot, arg)| (slot.clone(), json!(arg))).collect();
            json!({ "put_link": { "link_id": id, "template_id": link.template_id, "args": args } })
        }
        None => json!({ "delete_link": id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(counter: u64) -> Revision {
        Revision { incarnation: 1, counter }
    }

    fn event(counter: u64, bytes: usize) -> Event {
        Event { revision: at(counter), prev: Some(at(counter - 1)), changes: Some("x".repeat(bytes)) }
    }

    #[test]
    fn what_follows_is_known_until_it_is_too_long_ago() {
        let recent = Recent::default();
        assert_eq!(recent.after(at(7), at(7)), Follows::Nothing);
        assert_eq!(recent.after(at(6), at(7)), Follows::Gone);
        for counter in 8..=12 {
            recent.push(event(counter, MOST_BYTES / 4));
        }
        let serving = at(12);
        for (after, follows) in [(at(8), None), (at(9), Some(10)), (at(11), Some(12))] {
            match (recent.after(after, serving), follows) {
                (Follows::Next(event), Some(counter)) => assert_eq!(event.revision.counter, counter),
                (Follows::Gone, None) => {}
                (found, expected) => panic!("{after}: {expected:?}, not {found:?}"),
            }
        }
        assert_eq!(recent.after(at(12), serving), Follows::Nothing);
        assert_eq!(recent.after(at(13), serving), Follows::Gone);
        assert_eq!(recent.after(Revision { incarnation: 2, counter: 12 }, serving), Follows::Gone);
        assert!(recent.lock().bytes <= MOST_BYTES);
        // one that is larger than all is not kept
        recent.push(event(13, 2 * MOST_BYTES));
        assert_eq!(recent.after(at(12), at(13)), Follows::Gone);
        assert_eq!(recent.lock().bytes, 0);
    }
}
