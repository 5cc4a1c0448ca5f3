//! What is known beforehand of each action that the schema declares: what is above it, and which policies are about it.
//!
//! The actions of a schema do not change with the entities, so the action's part of a scope is looked at once.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::CompiledSet;
use super::env::{Ancestors, Env};
use crate::ids::{EntityId, PolicyIx};
use crate::store::Store;
use crate::value::Record;

/// In how many plans a policy may be on average.
const MOST_FILED: usize = 64;

/// The plans of all declared actions.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans {
    of_action: Arc<HashMap<EntityId, Arc<Plan>, RandomState>>,
    /// How many policies all of them have.
    filed: usize,
    /// How many policies there were when it was last looked whether there can be plans.
    tried: usize,
    /// Actions and groups under which other policies are filed now.
    pub(super) stale: Vec<EntityId>,
}

/// The plan of one action.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is above the action.
    pub(super) above: Ancestors,
    /// The policies filed under the action, or under one that it is in.
    pub(super) policies: Box<[PolicyIx]>,
}

impl Plans {
    /// What is known of an action.
    #[inline]
    pub(super) fn get(&self, action: EntityId) -> Option<&Plan> {
        self.of_action.get(&action).map(|plan| &**plan)
    }

    /// Whether no action has a plan.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of_action.is_empty()
    }

    /// Looks whether each has what is `filed_under` its action now.
    #[cfg(test)]
    pub(super) fn check(&self, filed_under: impl Fn(EntityId, &[EntityId]) -> Box<[PolicyIx]>) {
        for (action, plan) in self.of_action.iter() {
            assert_eq!(plan.policies, filed_under(*action, plan.above.ids()), "the plan of {action:?}");
        }
        let filed: usize = self.of_action.values().map(|plan| plan.policies.len()).sum();
        assert_eq!((filed, self.stale.len()), (self.filed, 0));
    }
}

impl CompiledSet {
    /// Makes a plan for each of the `declared` actions, which `store` has, unless policies and actions are so many that
    /// looking is better than remembering. Plans that are as they were are kept.
    pub(crate) fn plan(&mut self, declared: &[EntityId], store: &Store) {
        if !self.forms.is_planned() {
            Arc::make_mut(&mut self.forms).plan(declared, store);
        }
        let stale = std::mem::take(&mut self.plans.stale);
        let Plans { of_action: known, mut filed, tried, .. } = std::mem::take(&mut self.plans);
        if known.is_empty() && tried > 0 && self.len() < 2 * tried {
            self.plans.tried = tried;
            return;
        }
        let room = MOST_FILED * self.len();
        let mut of_action = known.clone();
        for action in declared {
            let above = match known.get(action) {
                Some(plan) if !stale.iter().any(|key| key == action || plan.above.contains(*key)) => continue,
                Some(plan) => plan.above.clone(),
                None => Env::new(store, [*action; 3], Record::Built(&[])).ancestors(*action),
            };
            let policies = self.index.filed_under(*action, above.ids());
            filed += policies.len();
            let plan = Arc::new(Plan { above, policies });
            let before = Arc::make_mut(&mut of_action).insert(*action, plan);
            filed -= before.map_or(0, |before| before.policies.len());
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
