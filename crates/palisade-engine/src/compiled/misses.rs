//! How near a policy is to a request, and which are near.
//!
//! A policy is near if at most one part of its scope does not hold, whichever part it is; all others are farther off. Each
//! has a distance, and the nearest come first. Nothing else says what near is.
//!
//! The index files a policy once, so it does not find one whose rarest key is what the request misses. Here each
//! policy is filed a few times more, as sorted pairs, so that it is found by any two parts of its scope: by the entities
//! that it names, or by its action and by its type of principal where it names none. Only explanations look here, and none
//! of them at more than some pairs. Those that are farther off are looked through as they stand, some of them.

use super::candidates::{Lineage, of_action};
use super::granted::{made_distance, made_near_misses};
use super::index::{Actions, Scope, Scopes, action_keys, entity_key};
use crate::derived::MadeLink;
use crate::ids::{PolicyIx, TypeId};
use crate::model::PolicyId;
use crate::model::explanation::FAR;
use crate::snapshot::Snapshot;
use crate::store::{PairEdits, Pairs, pair};

/// Pairs that one explanation looks at under one key at most. Policies of texts come before links.
const MOST_OF_A_KEY: usize = 20_000;

/// Policies, and links that data make, among which those that are farther off are looked for.
const MOST_FARTHER: usize = 4_096;

/// A file, and where it stands among the others.
#[derive(Debug, Clone, Copy)]
enum File {
    Principal,
    Resource,
    Action,
    /// By the type of the principal, where neither it nor the resource is an entity.
    Types,
    /// Under one key.
    Others,
}

/// The files.
#[derive(Debug, Clone, Default)]
pub(super) struct Misses([Pairs; 5]);

/// What is filed otherwise.
#[derive(Debug, Default)]
pub(super) struct Refiled([PairEdits; 5]);

/// The key of those that have no other.
const OTHERS: u32 = 0;

/// The key of those that take principals of any type.
const ANY_TYPE: u32 = u32::MAX;

/// Where a policy is filed, each with its pair.
fn files(position: PolicyIx, scopes: &Scopes) -> impl Iterator<Item = (File, u64)> {
    let (p, r) = (entity_key(scopes.principal), entity_key(scopes.resource));
    let of_action = p.is_none() || r.is_none();
    let keys = if of_action { action_keys(&scopes.action) } else { &[] };
    let others = (of_action && scopes.action == Actions::Any).then_some((File::Others, OTHERS));
    let types = (p.is_none() && r.is_none() && scopes.action != Actions::Any).then(|| {
        let ty = if let Scope::Type(ty) = scopes.principal { ty.raw() } else { ANY_TYPE };
        (File::Types, ty)
    });
    let principal = p.map(|(_, id)| (File::Principal, id.raw())).into_iter();
    let entities = principal.chain(r.map(|(_, id)| (File::Resource, id.raw())));
    let keys = entities.chain(keys.iter().map(|id| (File::Action, id.raw()))).chain(types).chain(others);
    keys.map(move |(file, key)| (file, pair(key, position.raw())))
}

impl Refiled {
    /// Files a policy, or takes it out.
    pub(super) fn put(&mut self, position: PolicyIx, scopes: &Scopes, added: bool) {
        for (file, pair) in files(position, scopes) {
            self.0[file as usize].insert(pair, added);
        }
    }
}

impl Misses {
    /// Files all policies.
    pub(super) fn build<'p>(policies: impl Iterator<Item = &'p Scopes>) -> Self {
        let mut pairs = [const { Vec::new() }; 5];
        for (position, scopes) in policies.enumerate() {
            for (file, pair) in files(PolicyIx::from_raw(position as u32), scopes) {
                pairs[file as usize].push(pair);
            }
        }
        Self(pairs.map(|mut pairs| {
            pairs.sort_unstable();
            Pairs::from_sorted(&pairs)
        }))
    }

    fn of(&self, file: File) -> &Pairs {
        &self.0[file as usize]
    }

    /// All that is filed.
    #[cfg(test)]
    pub(super) fn pairs(&self) -> [Vec<u64>; 5] {
        self.0.each_ref().map(Pairs::pairs)
    }

    /// The files after what is filed otherwise.
    pub(super) fn with(&self, refiled: &Refiled) -> Self {
        let mut edits = refiled.0.iter();
        Self(self.0.each_ref().map(|pairs| edits.next().map_or_else(|| pairs.clone(), |edits| pairs.with(edits))))
    }
}

/// How far the scope of a policy is from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Distance {
    /// 0 where the scope holds, 1 for each part that a change of the hierarchy could mend, 2 for another entity of the type,
    /// and [`FAR`] for another action or type.
    pub sum: usize,
    /// How many parts do not hold.
    pub missing: u8,
}

impl Distance {
    /// Of a scope from a request.
    pub(super) fn of(snapshot: &Snapshot, scopes: &Scopes, [principal, action, resource]: &Lineages) -> Self {
        let parts = [
            distance(snapshot, scopes.principal, principal),
            if of_action(&scopes.action, action) { 0 } else { FAR },
            distance(snapshot, scopes.resource, resource),
        ];
        Self { sum: parts.iter().sum(), missing: parts.iter().filter(|part| **part > 0).count() as u8 }
    }

    /// Whether at most one part does not hold.
    pub(crate) fn is_near(self) -> bool {
        self.missing <= 1
    }
}

/// A policy, and how far its scope is from the request.
#[derive(Debug, Clone)]
pub(crate) struct Near {
    /// Its id.
    pub id: PolicyId,
    /// How far it is.
    pub distance: Distance,
    /// Whether it forbids.
    pub forbids: bool,
}

/// The policies that are near, or those that are farther off.
#[derive(Debug, Default)]
pub(crate) struct Nearby {
    /// Sorted by distance, then as they stand in the texts; links that data make come after others.
    pub found: Vec<Near>,
    /// Whether there were more than are looked at.
    pub bounded: bool,
}

/// Principal, action and resource of a request, each with what is above it.
pub(crate) type Lineages = [Lineage; 3];

/// The policies that are near.
pub(crate) fn nearby(snapshot: &Snapshot, of: &Lineages) -> Nearby {
    let [principal, action, resource] = of;
    let files = &snapshot.core.compiled.misses;
    let mut bounded = false;
    let mut positions: Vec<PolicyIx> = Vec::new();
    let mut look = |file: File, key: u32| {
        let before = positions.len();
        positions.extend(files.of(file).of(key).take(MOST_OF_A_KEY + 1).map(PolicyIx::from_raw));
        if positions.len() - before > MOST_OF_A_KEY {
            positions.pop();
            bounded = true;
        }
    };
    for (file, lineage) in [(File::Principal, principal), (File::Resource, resource), (File::Action, action)] {
        lineage.all.iter().for_each(|key| look(file, key.raw()));
    }
    principal.ty.map(TypeId::raw).into_iter().chain([ANY_TYPE]).for_each(|ty| look(File::Types, ty));
    look(File::Others, OTHERS);
    positions.sort_unstable();
    positions.dedup();
    let found = of_entries(snapshot, positions.into_iter(), of, Distance::is_near);
    let (made, more) = made_near_misses(snapshot, of, MOST_OF_A_KEY);
    Nearby { found: with_made(snapshot, found, made, of, Distance::is_near), bounded: bounded | more }
}

/// The policies that are not near.
pub(crate) fn farther(snapshot: &Snapshot, of: &Lineages) -> Nearby {
    let is_far = |distance: Distance| !distance.is_near();
    let entries = snapshot.core.compiled.entries.len();
    let positions = (0..entries.min(MOST_FARTHER) as u32).map(PolicyIx::from_raw);
    let found = of_entries(snapshot, positions, of, is_far);
    let mut all = snapshot.all_made();
    let made: Vec<MadeLink> = all.by_ref().take(MOST_FARTHER).collect();
    let bounded = entries > MOST_FARTHER || all.next().is_some();
    Nearby { found: with_made(snapshot, found, made, of, is_far), bounded }
}

/// Policies by distance, and in the order of their positions.
fn of_entries(
    snapshot: &Snapshot,
    positions: impl Iterator<Item = PolicyIx>,
    of: &Lineages,
    wanted: impl Fn(Distance) -> bool,
) -> Vec<Near> {
    let set = &snapshot.core.compiled;
    let mut found: Vec<(Distance, PolicyIx)> = positions
        .filter_map(|position| {
            let entry = set.entries.get(position.index()).filter(|entry| !entry.is_gone())?;
            let distance = Distance::of(snapshot, &entry.scopes, of);
            wanted(distance).then_some((distance, position))
        })
        .collect();
    found.sort_unstable();
    let near = found.into_iter().filter_map(|(distance, position)| {
        let entry = set.entries.get(position.index())?;
        Some(Near { id: entry.id.clone(), distance, forbids: entry.forbids })
    });
    near.collect()
}

/// The same with links that data make.
fn with_made(
    snapshot: &Snapshot,
    mut found: Vec<Near>,
    mut made: Vec<MadeLink>,
    of: &Lineages,
    wanted: impl Fn(Distance) -> bool,
) -> Vec<Near> {
    if made.is_empty() {
        return found;
    }
    made.sort_unstable_by_key(|link| (link.grant.entity, link.grant.declaration, link.template));
    made.dedup();
    found.extend(made.iter().filter_map(|link| {
        let (distance, forbids) = made_distance(snapshot, link, of);
        wanted(distance).then(|| Near { id: snapshot.id_of(link), distance, forbids })
    }));
    found.sort_by_key(|near| near.distance);
    found
}

/// How far a part of a scope is from an entity.
pub(super) fn distance(snapshot: &Snapshot, scope: Scope, of: &Lineage) -> usize {
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
