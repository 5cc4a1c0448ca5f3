//! What waits for the writer, bounded in bytes: a slow change must not let others pile up behind it.
//!
//! A change counts from when it is handed in until it is published, refused or given up, whether its sender still waits
//! or not. Loads of files are not counted: there is at most one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use palisade_engine::model::{Bundle, Change, Document, ForEach};

/// Bytes of all changes that wait or are being built. One that is alone always gets in.
const MOST: usize = 256 << 20;

/// What a change counts at least.
const LEAST: usize = 4 << 10;

/// How many bytes are taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A change's bytes, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    bytes: usize,
}

impl Room {
    /// Takes room for a change; `None` where there is too little.
    pub(super) fn take(&self, bytes: usize) -> Option<Held> {
        let bytes = bytes.max(LEAST);
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { room: self.clone(), bytes };
        (before == 0 || before.saturating_add(bytes) <= MOST).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How many bytes a change holds, about.
pub(super) fn weight(change: &Change) -> usize {
    match change {
        Change::Replace(bundle) => of_bundle(bundle),
        Change::Transaction(transaction) => transaction.weight(),
    }
}

fn of_bundle(bundle: &Bundle) -> usize {
    let Bundle { policies, schema, entities, links, routes, for_each } = bundle;
    let pair = |(name, text): &(String, String)| name.len() + text.len() + size_of::<(String, String)>();
    let policies = policies.iter().map(|policy| 2 * policy.origin.len() + policy.text.len() + size_of_val(policy));
    let schema = schema.iter().flat_map(|schema| &schema.fragments).map(pair);
    let entities = entities.iter().map(|document| document.as_held().map_or(0, <[u8]>::len) + size_of::<Document>());
    let links = links.iter().map(|link| {
        link.template_id.len() + link.link_id.len() + link.args.iter().map(pair).sum::<usize>() + size_of_val(link)
    });
    let ForEach { links: declared, rules } = for_each;
    let declared = declared.iter().map(|link| link.to_json().to_string().len() + size_of_val(link));
    let rules = rules.iter().map(|rule| rule.to_json().to_string().len() + size_of_val(rule));
    let for_each = declared.chain(rules);
    policies.chain(schema).chain(entities).chain(links).chain(routes.iter().map(pair)).chain(for_each).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_what_is_alone_gets_in() {
        let room = Room::default();
        let alone = room.take(2 * MOST).unwrap();
        assert!(room.take(1).is_none());
        drop(alone);
        let half = room.take(MOST / 2).unwrap();
        let rest = room.take(MOST / 2).unwrap();
        assert!(room.take(1).is_none());
        drop((half, rest));
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
        assert_eq!((0..=MOST / LEAST).map_while(|_| room.take(0)).collect::<Vec<_>>().len(), MOST / LEAST);
    }
}
