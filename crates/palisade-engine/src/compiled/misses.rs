//! Which policies nearly apply to a request: those of whose scope at most one part does not hold.
//!
//! The index files a policy once, so it does not find one whose rarest key is what the request misses. Here each
//! policy is filed at most twice more, as sorted pairs: so that it is found where its action and its resource hold, and
//! where its action and its principal do. Only explanations look here, and none of them at more than some pairs.

use std::collections::HashSet;

use super::candidates::Lineage;
use super::granted::made_misses;
use super::index::{Actions, Scope, Scopes, action_keys, entity_key};
use crate::model::PolicyId;
use crate::snapshot::Snapshot;
use crate::store::{PairEdits, Pairs, pair};

/// Pairs that one explanation looks at under one key at most. Policies of texts come before links.
const MOST_OF_A_KEY: usize = 20_000;

/// The files.
#[derive(Debug, Clone, Default)]
pub(super) struct Misses {
    principal: Pairs,
    resource: Pairs,
    action: Pairs,
    /// Under one key.
    others: Pairs,
}

/// What is filed otherwise.
#[derive(Debug, Default)]
pub(super) struct Refiled {
    principal: PairEdits,
    resource: PairEdits,
    action: PairEdits,
    others: PairEdits,
}

/// The key of those that have no other.
const OTHERS: u32 = 0;

/// Where a policy is filed.
enum File {
    Principal(u64),
    Resource(u64),
    Action(u64),
    Others(u64),
}

fn files(position: u32, scopes: &Scopes) -> impl Iterator<Item = File> {
    let (p, r) = (entity_key(scopes.principal), entity_key(scopes.resource));
    let of_action = p.is_none() || r.is_none();
    let keys = if of_action { action_keys(&scopes.action) } else { &[] };
    let others = (of_action && scopes.action == Actions::Any).then_some(File::Others(pair(OTHERS, position)));
    let entities = p.map(|(_, id)| File::Principal(pair(id, position))).into_iter();
    let entities = entities.chain(r.map(|(_, id)| File::Resource(pair(id, position))));
    entities.chain(keys.iter().map(move |id| File::Action(pair(*id, position)))).chain(others)
}

impl Refiled {
    /// Files a policy, or takes it out.
    pub(super) fn put(&mut self, position: u32, scopes: &Scopes, added: bool) {
        for file in files(position, scopes) {
            match file {
                File::Principal(pair) => drop(self.principal.insert(pair, added)),
                File::Resource(pair) => drop(self.resource.insert(pair, added)),
                File::Action(pair) => drop(self.action.insert(pair, added)),
                File::Others(pair) => drop(self.others.insert(pair, added)),
            }
        }
    }
}

impl Misses {
    /// Files all policies.
    pub(super) fn build<'p>(policies: impl Iterator<Item = &'p Scopes>) -> Self {
        let (mut principal, mut resource, mut action, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (position, scopes) in policies.enumerate() {
            for file in files(position as u32, scopes) {
                match file {
                    File::Principal(pair) => principal.push(pair),
                    File::Resource(pair) => resource.push(pair),
                    File::Action(pair) => action.push(pair),
                    File::Others(pair) => others.push(pair),
                }
            }
        }
        let sorted = |mut pairs: Vec<u64>| {
            pairs.sort_unstable();
            Pairs::from_sorted(&pairs)
        };
        Self {
            principal: sorted(principal),
            resource: sorted(resource),
            action: sorted(action),
            others: sorted(others),
        }
    }

    /// All that is filed.
    #[cfg(test)]
    pub(super) fn pairs(&self) -> [Vec<u64>; 4] {
        [&self.principal, &self.resource, &self.action, &self.others].map(Pairs::pairs)
    }

    /// The files after what is filed otherwise.
    pub(super) fn with(&self, refiled: &Refiled) -> Self {
        let Refiled { principal, resource, action, others } = refiled;
        Self {
            principal: self.principal.with(principal),
            resource: self.resource.with(resource),
            action: self.action.with(action),
            others: self.others.with(others),
        }
    }
}

/// A policy that could apply, and how far its scope is from the request.
#[derive(Debug, Clone)]
pub(crate) struct Near {
    /// Its id.
    pub id: PolicyId,
    /// 0 where the scope holds, 1 for each part that a change of the hierarchy could mend, more for others.
    pub distance: u32,
}

/// The policies that could apply.
#[derive(Debug, Default)]
pub(crate) struct Nearby {
    /// Sorted by distance, then as they stand in the texts.
    pub found: Vec<Near>,
    /// Whether there were more pairs than are looked at.
    pub bounded: bool,
}

/// No change of entities makes up for this.
pub(crate) const FAR: u32 = 100;

/// The policies of whose scope at most one part does not hold.
pub(crate) fn nearby(snapshot: &Snapshot, principal: &Lineage, action: &Lineage, resource: &Lineage) -> Nearby {
    let set = &snapshot.core.compiled;
    let mut bounded = false;
    let mut positions: Vec<u32> = Vec::new();
    for (pairs, keys) in [
        (&set.misses.principal, &principal.all),
        (&set.misses.resource, &resource.all),
        (&set.misses.action, &action.all),
    ] {
        for key in keys {
            let before = positions.len();
            positions.extend(pairs.of(*key).take(MOST_OF_A_KEY + 1));
            if positions.len() - before > MOST_OF_A_KEY {
                positions.pop();
                bounded = true;
            }
        }
    }
    let before = positions.len();
    positions.extend(set.misses.others.of(OTHERS).take(MOST_OF_A_KEY + 1));
    if positions.len() - before > MOST_OF_A_KEY {
        positions.pop();
        bounded = true;
    }
    positions.sort_unstable();
    positions.dedup();
    let mut found: Vec<(u32, u32)> = Vec::new();
    for position in positions {
        let Some(entry) = set.entries.get(position as usize) else { continue };
        let of_action = match &entry.scopes.action {
            Actions::Any => true,
            Actions::Is(id) => action.own == Some(*id),
            Actions::In(ids) => holds_for_any(ids, &action.all),
        };
        let distance = distance(snapshot, entry.scopes.principal, principal)
            + distance(snapshot, entry.scopes.resource, resource)
            + if of_action { 0 } else { FAR };
        found.push((distance, position));
    }
    found.sort_unstable();
    let found = found.into_iter().filter_map(|(distance, position)| {
        let id = set.entries.get(position as usize)?.id.clone();
        Some(Near { id, distance })
    });
    let mut found: Vec<Near> = found.collect();
    let (made, more) = made_misses(snapshot, [principal, action, resource], MOST_OF_A_KEY);
    if !made.is_empty() {
        found.extend(made.into_iter().map(|(distance, id)| Near { id, distance }));
        found.sort_by_key(|near| near.distance);
    }
    Nearby { found, bounded: bounded | more }
}

fn holds_for_any(ids: &[u32], all: &HashSet<u32>) -> bool {
    ids.iter().any(|id| all.contains(id))
}

/// How far a part of a scope is from an entity.
pub(super) fn distance(snapshot: &Snapshot, scope: Scope, of: &Lineage) -> u32 {
    if of.fits(scope) {
        return 0;
    }
    match scope {
        Scope::Any => 0,
        Scope::In(_) => 1,
        Scope::TypeIn(ty, _) if of.ty == Some(ty) => 1,
        // another entity of the type is meant
        Scope::Is(id) if of.ty == Some(snapshot.store.type_of(id)) => 2,
        Scope::Is(_) | Scope::Type(_) | Scope::TypeIn(..) => FAR,
    }
}
