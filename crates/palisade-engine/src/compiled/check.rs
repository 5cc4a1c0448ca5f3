//! For tests: whether a set is filed as one that is built of what it holds would be.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Actions, action_keys, entity_key};
use super::misses::Refiled;
use super::set::links;
use super::{CompiledSet, Condition, Entry, Misses};
use crate::ids::{EntityId, PolicyIx, ProgramIx};
use crate::store::{PairEdits, Pairs};

impl CompiledSet {
    /// Looks at everything.
    pub(crate) fn check(&self) {
        let live: BTreeMap<PolicyIx, &Entry> =
            self.positions.iter().map(|(_, at)| (*at, &self.entries[at.index()])).collect();
        assert_eq!(live.len(), self.len(), "a position each");
        assert!(self.positions.iter().all(|(id, at)| live[at].id == *id), "under their own ids");
        let free: BTreeSet<PolicyIx> = self.free.iter().copied().collect();
        assert_eq!(free.len() + live.len(), self.entries.len(), "what is free, and nothing else");
        assert!(free.iter().all(|at| !live.contains_key(at)));
        self.check_programs(&live);
        let (mut refiled, mut linked) = (Refiled::default(), PairEdits::default());
        for (at, entry) in &live {
            refiled.put(*at, &entry.scopes, true);
            linked.extend(links(entry, *at).map(|pair| (pair, true)));
            self.check_filed(*at, entry);
        }
        assert_eq!(self.index.all(), live.keys().copied().filter(|at| is_filed(live[at])).collect(), "and no other");
        assert_eq!(format!("{:?}", self.misses.pairs()), format!("{:?}", Misses::default().with(&refiled).pairs()));
        assert_eq!(self.linked.pairs(), Pairs::default().with(&linked).pairs());
        self.plans.check(|action, above| self.index.filed_under(action, above));
    }

    /// Policies, programs and patterns, be they used or not.
    pub(crate) fn places(&self) -> usize {
        self.entries.len() + self.programs.len() + self.pool.patterns.len()
    }

    /// Whether there are plans.
    pub(crate) fn has_plans(&self) -> bool {
        !self.plans.is_empty()
    }

    fn check_programs(&self, live: &BTreeMap<PolicyIx, &Entry>) {
        let program = |condition: Condition| match condition {
            Condition::Program(program) => Some(program),
            Condition::Always | Condition::Reference => None,
        };
        let of_templates = self.templates.iter().filter_map(|(_, pattern)| program(pattern.condition));
        let used: BTreeSet<ProgramIx> =
            live.values().filter_map(|entry| program(entry.condition)).chain(of_templates).collect();
        let free: BTreeSet<ProgramIx> = self.free_programs.iter().copied().collect();
        assert!(used.is_disjoint(&free), "a program that is used and free");
        assert_eq!(used.len() + free.len(), self.programs.len(), "each is used or free");
    }

    /// A policy is filed under all keys of one kind.
    fn check_filed(&self, at: PolicyIx, entry: &Entry) {
        let scopes = &entry.scopes;
        let has =
            |keys: &[EntityId], of: usize| !keys.is_empty() && keys.iter().all(|key| self.index.has(of, *key, at));
        let entity = |scope, of: usize| entity_key(scope).map(|(is, id)| has(&[id], of + usize::from(!is)));
        let of_action = 4 + usize::from(matches!(scopes.action, Actions::In(_)));
        let ways = [
            entity(scopes.principal, 0).unwrap_or(false),
            entity(scopes.resource, 2).unwrap_or(false),
            has(action_keys(&scopes.action), of_action),
            self.index.others().contains(&at),
        ];
        let ways = ways.into_iter().filter(|way| *way).count();
        assert_eq!(ways, usize::from(is_filed(entry)), "`{}` is filed {ways} times", entry.id);
    }
}

/// `in []` is filed nowhere, where no entity says more.
fn is_filed(entry: &Entry) -> bool {
    let named = entity_key(entry.scopes.principal).or(entity_key(entry.scopes.resource)).is_some();
    named || entry.scopes.action == Actions::Any || !action_keys(&entry.scopes.action).is_empty()
}
