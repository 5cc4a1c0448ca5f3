//! Which policies can apply to a request, found without looking at the others.
//!
//! Each policy is filed once, under the rarest of the keys that its scope gives: the principal's or the
//! resource's entity, or its actions. A check looks under the request's entities and their ancestors, and
//! compares the rest of the scope as integers. A policy that is not found this way has a scope that does not
//! hold, so Cedar would not evaluate its condition either, and it cannot fail.
//!
//! A whole set is filed by what is rare in all of it. A policy that comes later is filed where least is filed by then, and
//! none of the others is moved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::env::Env;
use crate::broken::broken;
use crate::ids::{EntityId, PolicyIx, TypeId};
use crate::shared::Map;

/// A constraint on the principal or the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Any entity.
    Any,
    /// `== id`
    Is(EntityId),
    /// `in id`
    In(EntityId),
    /// `is type`
    Type(TypeId),
    /// `is type in id`
    TypeIn(TypeId, EntityId),
}

impl Scope {
    /// With what fills the slot of a template, in place of [`EntityId::NONE`].
    #[inline]
    pub(super) fn filled(self, slot: EntityId) -> Self {
        match self {
            Self::Is(EntityId::NONE) => Self::Is(slot),
            Self::In(EntityId::NONE) => Self::In(slot),
            Self::TypeIn(ty, EntityId::NONE) => Self::TypeIn(ty, slot),
            scope => scope,
        }
    }
}

/// A constraint on the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Actions {
    /// Any.
    Any,
    /// `== id`
    Is(EntityId),
    /// `in [ids]`, sorted.
    In(Arc<[EntityId]>),
}

/// The scope of one policy.
#[derive(Debug, Clone)]
pub(super) struct Scopes {
    /// On the principal.
    pub principal: Scope,
    /// On the action.
    pub action: Actions,
    /// On the resource.
    pub resource: Scope,
}

impl Scopes {
    /// The scope of a link of a template.
    pub(super) fn bound(&self, [principal, resource]: [EntityId; 2]) -> Self {
        Self {
            principal: self.principal.filled(principal),
            action: self.action.clone(),
            resource: self.resource.filled(resource),
        }
    }

    /// Whether the action is `in []`, in which none is.
    fn never_hold(&self) -> bool {
        matches!(&self.action, Actions::In(ids) if ids.is_empty())
    }

    /// Whether the request is in scope.
    #[inline]
    pub(super) fn hold(&self, env: &Env<'_>) -> bool {
        self.hold_for_action(env) && self.hold_for_entities(env)
    }

    /// Whether the action is in scope.
    #[inline]
    pub(super) fn hold_for_action(&self, env: &Env<'_>) -> bool {
        match &self.action {
            Actions::Any => true,
            Actions::Is(id) => *id == env.action,
            Actions::In(ids) => {
                ids.binary_search(&env.action).is_ok()
                    || env.above_action().ids().iter().any(|id| ids.binary_search(id).is_ok())
            }
        }
    }

    /// Whether principal and resource are in scope, the action being so.
    #[inline]
    pub(super) fn hold_for_entities(&self, env: &Env<'_>) -> bool {
        let resource = match self.resource {
            Scope::Any => true,
            Scope::Is(id) => id == env.resource,
            Scope::Type(ty) => env.type_of(env.resource) == ty,
            Scope::In(id) => id == env.resource || env.above_resource().contains(id),
            Scope::TypeIn(ty, id) => {
                env.type_of(env.resource) == ty && (id == env.resource || env.above_resource().contains(id))
            }
        };
        resource
            && match self.principal {
                Scope::Any => true,
                Scope::Is(id) => id == env.principal,
                Scope::Type(ty) => env.type_of(env.principal) == ty,
                Scope::In(id) => id == env.principal || env.above_principal().contains(id),
                Scope::TypeIn(ty, id) => {
                    env.type_of(env.principal) == ty && (id == env.principal || env.above_principal().contains(id))
                }
            }
    }
}

/// Positions of policies by key, sorted.
#[derive(Debug, Clone, Default)]
struct Files {
    by_key: Map<EntityId, Vec<PolicyIx>, RandomState>,
    /// A bit for each key that was ever filed under, which several share. Each entity above a principal is looked for, and most
    /// have no file: then this spares the hash.
    marks: [u64; 8],
}

/// The word and the bit of a key among the marks.
#[inline]
fn mark(key: EntityId) -> (usize, u64) {
    // ids that follow one another are spread by the golden ratio
    let spread = key.raw().wrapping_mul(0x9e37_79b1) >> 23;
    ((spread >> 6) as usize, 1 << (spread & 63))
}

impl Files {
    fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// What is filed under a key; nothing where the file would be empty.
    #[inline]
    fn get(&self, key: &EntityId) -> Option<&Vec<PolicyIx>> {
        let (word, bit) = mark(*key);
        if self.marks[word] & bit == 0 { None } else { self.by_key.get(key) }
    }

    fn get_mut(&mut self, key: &EntityId) -> Option<&mut Vec<PolicyIx>> {
        self.by_key.get_mut(key)
    }

    fn insert(&mut self, key: EntityId, filed: Vec<PolicyIx>) {
        let (word, bit) = mark(key);
        self.marks[word] |= bit;
        self.by_key.insert(key, filed);
    }

    fn remove(&mut self, key: &EntityId) {
        self.by_key.remove(key);
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = (&EntityId, &Vec<PolicyIx>)> {
        self.by_key.iter()
    }
}

/// The files. Values are positions of policies in the order of the set.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    principal_is: Files,
    principal_in: Files,
    resource_is: Files,
    resource_in: Files,
    action_is: Files,
    action_in: Files,
    others: Arc<Vec<PolicyIx>>,
}

/// What a policy may be filed under.
#[derive(Clone, Copy)]
enum Key {
    Principal,
    Resource,
    Action,
}

/// The entity of a scope, and whether it is meant alone.
pub(super) fn entity_key(scope: Scope) -> Option<(bool, EntityId)> {
    match scope {
        Scope::Is(id) => Some((true, id)),
        Scope::In(id) | Scope::TypeIn(_, id) => Some((false, id)),
        Scope::Any | Scope::Type(_) => None,
    }
}

/// The first key with the lowest count of those that the scope has.
fn rarest(counts: [Option<u64>; 3]) -> Option<Key> {
    let keys = counts.into_iter().zip([Key::Principal, Key::Resource, Key::Action]);
    keys.filter_map(|(count, key)| Some((count?, key))).min_by_key(|(count, _)| *count).map(|(_, key)| key)
}

impl Index {
    /// Files all policies.
    pub(super) fn build<'p>(policies: impl Iterator<Item = &'p Scopes> + Clone) -> Self {
        let mut principals: HashMap<(bool, EntityId), u32, RandomState> = HashMap::default();
        let mut resources: HashMap<(bool, EntityId), u32, RandomState> = HashMap::default();
        let mut actions: HashMap<EntityId, u32, RandomState> = HashMap::default();
        for scopes in policies.clone() {
            for (scope, counts) in [(scopes.principal, &mut principals), (scopes.resource, &mut resources)] {
                if let Some(key) = entity_key(scope) {
                    *counts.entry(key).or_default() += 1;
                }
            }
            for action in action_keys(&scopes.action) {
                *actions.entry(*action).or_default() += 1;
            }
        }
        let mut index = Self::default();
        for (position, scopes) in policies.enumerate() {
            let count = |key: Option<(bool, EntityId)>, counts: &HashMap<(bool, EntityId), u32, RandomState>| {
                key.and_then(|key| counts.get(&key)).copied()
            };
            let action = action_keys(&scopes.action).iter().filter_map(|id| actions.get(id)).max().copied();
            let counts = [
                count(entity_key(scopes.principal), &principals),
                count(entity_key(scopes.resource), &resources),
                action,
            ];
            index.put(PolicyIx::from_raw(position as u32), scopes, rarest(counts.map(|count| count.map(u64::from))));
        }
        index
    }

    /// Files one more policy.
    pub(super) fn file(&mut self, position: PolicyIx, scopes: &Scopes) {
        let keys = [Key::Principal, Key::Resource, Key::Action];
        let counts = keys.map(|key| {
            let filed = Self::keys(scopes, key)?;
            let files = self.files(scopes, key)?;
            filed.iter().map(|key| files.get(key).map_or(0, Vec::len) as u64).max()
        });
        self.put(position, scopes, rarest(counts));
    }

    /// Takes a policy out, wherever it is filed.
    ///
    /// INVARIANT: it is filed under all keys of one kind that its scope names, or among the others, or nowhere if its scope
    /// can never hold. Its position is another policy's soon: one that stayed filed would run that one where its scope is
    /// not looked at whole.
    pub(super) fn unfile(&mut self, position: PolicyIx, scopes: &Scopes) {
        for kind in [Key::Principal, Key::Resource, Key::Action] {
            let (Some(keys), Some(files)) = (Self::keys(scopes, kind), self.files_mut(scopes, kind)) else { continue };
            let mut taken = 0;
            for key in keys.iter() {
                let Some(at) = files.get(key).and_then(|filed| filed.binary_search(&position).ok()) else { continue };
                match files.get_mut(key) {
                    Some(filed) if filed.len() > 1 => drop(filed.remove(at)),
                    _ => files.remove(key),
                }
                taken += 1;
            }
            match taken {
                0 => {}
                all if all == keys.len() => return,
                _ => broken("a policy that is filed under some of its keys"),
            }
        }
        match self.others.binary_search(&position) {
            Ok(at) => drop(Arc::make_mut(&mut self.others).remove(at)),
            Err(_) if scopes.never_hold() => {}
            Err(_) => broken("a policy that is not filed under what its scope names"),
        }
    }

    fn put(&mut self, position: PolicyIx, scopes: &Scopes, key: Option<Key>) {
        let insert = |filed: &mut Vec<PolicyIx>| {
            if let Err(at) = filed.binary_search(&position) {
                filed.insert(at, position);
            }
        };
        let Some(key) = key else {
            if !scopes.never_hold() {
                insert(Arc::make_mut(&mut self.others));
            }
            return;
        };
        let (Some(keys), Some(files)) = (Self::keys(scopes, key), self.files_mut(scopes, key)) else {
            broken("a policy to file under what its scope does not name");
        };
        for key in keys.iter() {
            match files.get_mut(key) {
                Some(filed) => insert(filed),
                None => files.insert(*key, vec![position]),
            }
        }
    }

    /// What a scope names of one kind; nothing where it names nothing.
    fn keys(scopes: &Scopes, key: Key) -> Option<SmallVec<[EntityId; 1]>> {
        let entity = |scope| entity_key(scope).map(|(_, id)| SmallVec::from([id]));
        match key {
            Key::Principal => entity(scopes.principal),
            Key::Resource => entity(scopes.resource),
            Key::Action => Some(SmallVec::from(action_keys(&scopes.action))).filter(|keys| !keys.is_empty()),
        }
    }

    fn files(&self, scopes: &Scopes, key: Key) -> Option<&Files> {
        Some(match (key, entity_key(scopes.principal), entity_key(scopes.resource), &scopes.action) {
            (Key::Principal, Some((true, _)), ..) => &self.principal_is,
            (Key::Principal, Some((false, _)), ..) => &self.principal_in,
            (Key::Resource, _, Some((true, _)), _) => &self.resource_is,
            (Key::Resource, _, Some((false, _)), _) => &self.resource_in,
            (Key::Action, _, _, Actions::Is(_)) => &self.action_is,
            (Key::Action, _, _, Actions::In(_)) => &self.action_in,
            _ => return None,
        })
    }

    fn files_mut(&mut self, scopes: &Scopes, key: Key) -> Option<&mut Files> {
        Some(match (key, entity_key(scopes.principal), entity_key(scopes.resource), &scopes.action) {
            (Key::Principal, Some((true, _)), ..) => &mut self.principal_is,
            (Key::Principal, Some((false, _)), ..) => &mut self.principal_in,
            (Key::Resource, _, Some((true, _)), _) => &mut self.resource_is,
            (Key::Resource, _, Some((false, _)), _) => &mut self.resource_in,
            (Key::Action, _, _, Actions::Is(_)) => &mut self.action_is,
            (Key::Action, _, _, Actions::In(_)) => &mut self.action_in,
            _ => return None,
        })
    }

    /// Calls `visit` with each policy filed under the principal, the resource, or one of their ancestors.
    #[inline]
    pub(super) fn by_entity(&self, env: &Env<'_>, mut visit: impl FnMut(PolicyIx)) {
        let mut look = |files: &Files, key: EntityId| {
            files.get(&key).map(Vec::as_slice).unwrap_or_default().iter().copied().for_each(&mut visit);
        };
        if !self.principal_is.is_empty() {
            look(&self.principal_is, env.principal);
        }
        if !self.resource_is.is_empty() {
            look(&self.resource_is, env.resource);
        }
        if !self.principal_in.is_empty() {
            look(&self.principal_in, env.principal);
            env.above_principal().ids().iter().for_each(|ancestor| look(&self.principal_in, *ancestor));
        }
        if !self.resource_in.is_empty() {
            look(&self.resource_in, env.resource);
            env.above_resource().ids().iter().for_each(|ancestor| look(&self.resource_in, *ancestor));
        }
    }

    /// The policies filed under the action alone.
    #[inline]
    pub(super) fn by_action(&self, action: EntityId) -> &[PolicyIx] {
        self.action_is.get(&action).map(Vec::as_slice).unwrap_or_default()
    }

    /// The policies that no key files.
    #[inline]
    pub(super) fn others(&self) -> &[PolicyIx] {
        &self.others
    }

    /// Calls `visit` with each policy filed under several actions, one of which the action is or is in. Such a
    /// policy may be found more than once: `visit` also gets the key under which it was found.
    #[inline]
    pub(super) fn by_group(&self, env: &Env<'_>, mut visit: impl FnMut(PolicyIx, EntityId)) {
        if self.action_in.is_empty() {
            return;
        }
        for key in std::iter::once(&env.action).chain(env.above_action().ids()) {
            for position in self.action_in.get(key).map(Vec::as_slice).unwrap_or_default() {
                visit(*position, *key);
            }
        }
    }

    /// Calls `visit` with each policy filed under one of these: the principal and all above it, the resource and all
    /// above it, the action and all above it. For requests that are not decoded; a policy may be found more than once.
    pub(super) fn filed_near(
        &self,
        principal: (Option<EntityId>, &HashSet<EntityId>),
        action: (Option<EntityId>, &HashSet<EntityId>),
        resource: (Option<EntityId>, &HashSet<EntityId>),
        mut visit: impl FnMut(PolicyIx),
    ) {
        let mut look = |files: &Files, key: &EntityId| {
            files.get(key).map(Vec::as_slice).unwrap_or_default().iter().copied().for_each(&mut visit);
        };
        for (is, within, (own, all)) in [
            (&self.principal_is, &self.principal_in, principal),
            (&self.action_is, &self.action_in, action),
            (&self.resource_is, &self.resource_in, resource),
        ] {
            own.iter().for_each(|own| look(is, own));
            all.iter().for_each(|id| look(within, id));
        }
        self.others.iter().copied().for_each(visit);
    }

    /// Whether a policy is filed under a key: of the principal, the resource or the action, alone or among others.
    #[cfg(test)]
    pub(super) fn has(&self, file: usize, key: EntityId, position: PolicyIx) -> bool {
        let files = [
            &self.principal_is,
            &self.principal_in,
            &self.resource_is,
            &self.resource_in,
            &self.action_is,
            &self.action_in,
        ];
        files[file].get(&key).is_some_and(|filed| filed.contains(&position))
    }

    /// All policies that are filed somewhere. Each file has to be sorted, and none is empty.
    #[cfg(test)]
    pub(super) fn all(&self) -> std::collections::BTreeSet<PolicyIx> {
        let Self { principal_is, principal_in, resource_is, resource_in, action_is, action_in, others } = self;
        let files = [principal_is, principal_in, resource_is, resource_in, action_is, action_in];
        let filed: Vec<&Vec<PolicyIx>> =
            files.into_iter().flat_map(|files| files.iter()).map(|(_, filed)| filed).collect();
        assert!(filed.iter().all(|filed| !filed.is_empty() && filed.is_sorted()));
        filed.into_iter().chain([&**others]).flatten().copied().collect()
    }

    /// What is filed under `action` and those above it, each policy once.
    pub(super) fn filed_under(&self, action: EntityId, above: &[EntityId]) -> Box<[PolicyIx]> {
        let groups = std::iter::once(&action).chain(above).filter_map(|key| self.action_in.get(key));
        let mut found: Vec<PolicyIx> = self.by_action(action).iter().chain(groups.flatten()).copied().collect();
        found.sort_unstable();
        found.dedup();
        found.into()
    }
}

/// The actions and groups that a scope names.
pub(super) fn action_keys(actions: &Actions) -> &[EntityId] {
    match actions {
        Actions::Any => &[],
        Actions::Is(id) => std::slice::from_ref(id),
        Actions::In(ids) => ids,
    }
}

/// Whether `key` is the first of the action and its ancestors that `actions` has, so that a policy which is
/// filed under several of them counts once.
pub(super) fn is_first(actions: &Actions, key: EntityId, env: &Env<'_>) -> bool {
    match actions {
        Actions::In(ids) if ids.len() > 1 => {
            std::iter::once(&env.action).chain(env.above_action().ids()).find(|id| ids.binary_search(id).is_ok())
                == Some(&key)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> EntityId {
        EntityId::from_raw(number)
    }

    fn ty(number: u32) -> TypeId {
        TypeId::from_raw(number)
    }

    fn within(ids: &[u32]) -> Actions {
        Actions::In(ids.iter().copied().map(id).collect())
    }

    fn scopes(principal: Scope, action: Actions, resource: Scope) -> Scopes {
        Scopes { principal, action, resource }
    }

    /// Scopes that are filed in each way there is.
    fn all() -> Vec<Scopes> {
        vec![
            scopes(Scope::Is(id(1)), Actions::Any, Scope::Any),
            scopes(Scope::TypeIn(ty(0), id(2)), Actions::Is(id(9)), Scope::Any),
            scopes(Scope::Any, Actions::Any, Scope::Is(id(3))),
            scopes(Scope::Type(ty(0)), within(&[9]), Scope::In(id(4))),
            scopes(Scope::Any, Actions::Is(id(9)), Scope::Any),
            scopes(Scope::Any, within(&[7, 8, 9]), Scope::Type(ty(1))),
            scopes(Scope::Type(ty(0)), Actions::Any, Scope::Any),
            scopes(Scope::Any, within(&[]), Scope::Any),
            scopes(Scope::Is(id(1)), within(&[]), Scope::Any),
        ]
    }

    #[test]
    fn what_is_taken_out_is_filed_nowhere() {
        let all = all();
        let (mut built, mut grown) = (Index::build(all.iter()), Index::default());
        all.iter().zip((0..).map(PolicyIx::from_raw)).for_each(|(scopes, position)| grown.file(position, scopes));
        for (scopes, position) in all.iter().zip((0..).map(PolicyIx::from_raw)) {
            for index in [&mut built, &mut grown] {
                index.unfile(position, scopes);
                assert!(!index.all().contains(&position), "{scopes:?}");
            }
        }
        assert!(built.all().is_empty() && grown.all().is_empty());
    }

    /// What is not filed as its scope says ends the work, and is not silently left where it is.
    #[test]
    fn a_policy_that_is_filed_otherwise_ends_the_work() {
        for (position, scopes) in all().into_iter().enumerate().filter(|(_, scopes)| !scopes.never_hold()) {
            let ended = std::panic::catch_unwind(|| {
                let mut index = Index::build(all().iter());
                index.unfile(PolicyIx::from_raw(position as u32 + 100), &scopes);
            });
            assert!(ended.is_err(), "{scopes:?}");
        }
        let ended = std::panic::catch_unwind(|| {
            let known = scopes(Scope::Any, within(&[7, 8]), Scope::Any);
            let mut index = Index::build(std::iter::once(&known));
            index.unfile(PolicyIx::from_raw(0), &scopes(Scope::Any, within(&[7, 8, 9]), Scope::Any));
        });
        assert!(ended.is_err(), "some of its keys");
    }
}
