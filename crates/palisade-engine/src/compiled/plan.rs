//! What is known beforehand of each action that the schema declares: what is above it, and which policies are about it.
//!
//! The actions of a schema do not change with the entities, and neither do the types that an action is for. So the action's
//! part of a scope is looked at once, and so are the types that it asks for: `principal is User` holds for all users.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::env::{Ancestors, Env};
use super::index::{Scope, Scopes};
use super::{CompiledSet, Entry};
use crate::layout::{ActionLayout, Layout};
use crate::shared::List;
use crate::store::Store;
use crate::value::Record;

/// In how many plans a policy may be on average.
const MOST_FILED: usize = 64;

/// For how many pairs of types an action is planned, at most.
const MOST_PAIRS: usize = 16;

/// The plans of all declared actions.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans {
    of_action: Arc<HashMap<u32, Arc<Plan>, RandomState>>,
    /// How many policies all of them have, those that are there more than once included.
    filed: usize,
    /// How many policies there were when it was last looked whether there can be plans.
    tried: usize,
    /// Actions and groups under which other policies are filed now.
    pub(super) stale: Vec<u32>,
}

/// The plan of one action.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is above the action.
    pub(super) above: Ancestors,
    /// The policies filed under the action, or under one that it is in.
    policies: Box<[u32]>,
    /// The same by the types of principal and resource. None where there are too many pairs of types.
    typed: Box<[Typed]>,
}

/// The policies of a plan that can apply to a principal and a resource of two types.
#[derive(Debug)]
struct Typed {
    principal: u32,
    resource: u32,
    /// Those whose scope holds for all of these types.
    hold: Box<[u32]>,
    /// Those whose scope names an entity.
    may_hold: Box<[u32]>,
}

/// The policies of a plan for one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned<'p> {
    /// The scope holds.
    pub(super) hold: &'p [u32],
    /// Principal and resource have to be looked at; the action's part holds.
    pub(super) may_hold: &'p [u32],
}

impl Plans {
    /// What is known of an action.
    #[inline]
    pub(super) fn get(&self, action: u32) -> Option<&Plan> {
        self.of_action.get(&action).map(|plan| &**plan)
    }

    /// Whether there are none.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of_action.is_empty()
    }

    /// Looks whether each has what is `filed_under` its action now, by types too.
    #[cfg(test)]
    pub(super) fn check(&self, filed_under: impl Fn(u32, &[u32]) -> Box<[u32]>, entries: &List<Entry>) {
        for (action, plan) in self.of_action.iter() {
            assert_eq!(plan.policies, filed_under(*action, plan.above.ids()), "the plan of {action}");
            for typed in &plan.typed {
                let fits = |position: &u32| {
                    let Scopes { principal, resource, .. } = entries[*position as usize].scopes;
                    let may = |scope: Scope, ty: u32| match scope {
                        Scope::Type(wanted) | Scope::TypeIn(wanted, _) => wanted == ty,
                        Scope::Any | Scope::Is(_) | Scope::In(_) => true,
                    };
                    may(principal, typed.principal) && may(resource, typed.resource)
                };
                let mut listed = [&*typed.hold, &*typed.may_hold].concat();
                listed.sort_unstable();
                let is_by_id = |position: &u32| {
                    let Scopes { principal, resource, .. } = entries[*position as usize].scopes;
                    [principal, resource].iter().any(|scope| matches!(scope, Scope::Is(_)))
                };
                let expected: Vec<u32> = plan.policies.iter().copied().filter(fits).collect();
                // one that asks for a certain entity is in the list of that entity's type alone
                assert!(listed.iter().all(|position| expected.contains(position)), "the plan of {action}, by types");
                assert!(expected.iter().all(|position| listed.contains(position) || is_by_id(position)));
            }
        }
        let filed: usize = self.of_action.values().map(|plan| plan.len()).sum();
        assert_eq!((filed, self.stale.len()), (self.filed, 0));
    }
}

impl Plan {
    fn new(above: Ancestors, policies: Box<[u32]>, entries: &List<Entry>, types: &ActionLayout, store: &Store) -> Self {
        let pairs = types.pairs();
        let typed = if pairs.len() > MOST_PAIRS {
            Box::default()
        } else {
            pairs.map(|pair| Typed::new(pair, &policies, entries, store)).collect()
        };
        Self { above, policies, typed }
    }

    /// The policies for the types of a request.
    #[inline]
    pub(super) fn of(&self, principal: u32, resource: u32) -> Planned<'_> {
        match self.typed.iter().find(|typed| typed.resource == resource && typed.principal == principal) {
            Some(typed) => Planned { hold: &typed.hold, may_hold: &typed.may_hold },
            None => Planned { hold: &[], may_hold: &self.policies },
        }
    }

    /// How many policies it has in all its lists.
    fn len(&self) -> usize {
        let typed = self.typed.iter().map(|typed| typed.hold.len() + typed.may_hold.len());
        self.policies.len() + typed.sum::<usize>()
    }
}

impl Typed {
    fn new((principal, resource): (u32, u32), policies: &[u32], entries: &List<Entry>, store: &Store) -> Self {
        let (mut hold, mut may_hold) = (Vec::new(), Vec::new());
        for position in policies {
            match fits(&entries[*position as usize].scopes, principal, resource, store) {
                Fits::All => hold.push(*position),
                Fits::Some => may_hold.push(*position),
                Fits::None => {}
            }
        }
        Self { principal, resource, hold: hold.into(), may_hold: may_hold.into() }
    }
}

/// For which entities of a type a scope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    None,
    Some,
    All,
}

/// For which principals and resources of two types a scope holds, the action's part of it aside.
fn fits(scopes: &Scopes, principal: u32, resource: u32, store: &Store) -> Fits {
    let of = |scope: Scope, ty: u32| match scope {
        Scope::Any => Fits::All,
        Scope::Type(wanted) if wanted == ty => Fits::All,
        Scope::TypeIn(wanted, _) if wanted == ty => Fits::Some,
        Scope::Is(id) if store.type_of(id) == ty => Fits::Some,
        Scope::In(_) => Fits::Some,
        Scope::Type(_) | Scope::TypeIn(..) | Scope::Is(_) => Fits::None,
    };
    of(scopes.principal, principal).min(of(scopes.resource, resource))
}

impl CompiledSet {
    /// Makes a plan for each action that `layout` declares, which `store` has, unless policies and actions are so many that
    /// looking is better than remembering. Plans that are as they were are kept.
    pub(crate) fn plan(&mut self, layout: &Layout, store: &Store) {
        let declared = layout.actions();
        if !self.forms.is_planned() {
            Arc::make_mut(&mut self.forms).plan(&declared, store);
        }
        let stale = std::mem::take(&mut self.plans.stale);
        let Plans { of_action: known, mut filed, tried, .. } = std::mem::take(&mut self.plans);
        if known.is_empty() && tried > 0 && self.len() < 2 * tried {
            self.plans.tried = tried;
            return;
        }
        let room = MOST_FILED * self.len();
        let mut of_action = known.clone();
        for (action, types) in declared.iter().filter_map(|action| Some((action, layout.action(*action)?))) {
            let above = match known.get(action) {
                Some(plan) if !stale.iter().any(|key| key == action || plan.above.contains(*key)) => continue,
                Some(plan) => plan.above.clone(),
                None => Env::new(store, [*action; 3], Record::Built(&[])).ancestors(*action),
            };
            let policies = self.index.filed_under(*action, above.ids());
            let plan = Arc::new(Plan::new(above, policies, &self.entries, types, store));
            filed += plan.len();
            let before = Arc::make_mut(&mut of_action).insert(*action, plan);
            filed -= before.map_or(0, |before| before.len());
            if filed > room {
                break;
            }
        }
        self.plans = if filed > room {
            Plans { tried: self.len().max(1), ..Plans::default() }
        } else {
            Plans { of_action, filed, tried: 0, stale: Vec::new() }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::Actions;
    use super::*;
    use crate::store::Draft;

    #[test]
    fn a_scope_fits_types_by_what_it_asks_for() {
        let mut draft = Draft::empty();
        let [user, team] = ["User", "Team"].map(|name| draft.type_id(name));
        let [ann, red] = [(user, "ann"), (team, "red")].map(|(ty, id)| draft.uid(ty, id.as_bytes()).unwrap());
        let store = draft.commit();
        for (scope, of_users, of_teams) in [
            (Scope::Any, Fits::All, Fits::All),
            (Scope::Type(user), Fits::All, Fits::None),
            (Scope::TypeIn(user, red), Fits::Some, Fits::None),
            (Scope::Is(ann), Fits::Some, Fits::None),
            (Scope::Is(red), Fits::None, Fits::Some),
            // a team is in itself
            (Scope::In(red), Fits::Some, Fits::Some),
        ] {
            for (ty, expected) in [(user, of_users), (team, of_teams)] {
                let scopes = |principal, resource| Scopes { principal, action: Actions::Any, resource };
                assert_eq!(fits(&scopes(scope, Scope::Any), ty, team, &store), expected, "{scope:?} of a principal");
                assert_eq!(fits(&scopes(Scope::Any, scope), user, ty, &store), expected, "{scope:?} of a resource");
                let both = fits(&scopes(scope, Scope::In(red)), ty, team, &store);
                assert_eq!(both, expected.min(Fits::Some), "{scope:?} beside one that names an entity");
            }
        }
    }
}
