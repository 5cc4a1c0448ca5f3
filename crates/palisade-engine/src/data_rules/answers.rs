//! Rules are asked: of an entity alone, or of the entity with each of its direct parents of a type.

use super::{NAMESPACE, Rule};
use crate::export;
use crate::ids::EntityId;
use crate::model::{AccessRequest, Decision, Uid};
use crate::snapshot::Snapshot;
use crate::stack::on_big_stack;
use crate::store::Store;

/// What the rules of an entity answered.
pub(super) struct Answers {
    /// Of those about the entity alone.
    alone: Option<Decision>,
    /// Of those about a parent, for each parent of a type that one asks about.
    with: Vec<(EntityId, Option<Decision>)>,
}

impl Answers {
    /// Asks them.
    pub(super) fn of(asked: &Snapshot, store: &Store, entity: EntityId, rules: &[Rule]) -> Self {
        let uid = || export::uid_of(store, entity);
        let is_asked = |parent: &EntityId| rules.iter().any(|rule| rule.each_parent == Some(store.type_of(*parent)));
        let parents = store.entity(entity).into_iter().flat_map(|it| it.parents().filter(is_asked).collect::<Vec<_>>());
        let with = parents.map(|parent| (parent, ask(asked, uid(), Some(export::uid_of(store, parent))))).collect();
        let is_alone = rules.iter().any(|rule| rule.each_parent.is_none());
        Self { alone: if is_alone { ask(asked, uid(), None) } else { None }, with }
    }

    /// Why the expression of a rule does not hold, in words that follow its message; empty where it is false.
    pub(super) fn wrong(&self, rule: &Rule, store: &Store) -> Option<String> {
        let Some(ty) = rule.each_parent else {
            return wrong(rule, self.alone.as_ref())
                .map(|fails| fails.map_or(String::new(), |why| format!(" ({why})")));
        };
        let mut of_type = self.with.iter().filter(|(parent, _)| store.type_of(*parent) == ty);
        of_type.find_map(|(parent, decision)| {
            let fails = wrong(rule, decision.as_ref())?;
            let why = fails.map(|why| format!("; {why}")).unwrap_or_default();
            Some(format!(" (its parent: `{}`{why})", export::uid_of(store, *parent)))
        })
    }
}

/// Whether the answer is not that the rule holds, and with which failure.
fn wrong(rule: &Rule, decision: Option<&Decision>) -> Option<Option<String>> {
    if decision.is_some_and(|it| it.reasons.iter().any(|id| **id == *rule.code)) {
        return None;
    }
    let failed = decision.and_then(|it| it.errors.iter().find(|it| *it.policy_id == *rule.code));
    Some(failed.map(|failed| format!("it fails: {}", failed.message)))
}

/// Asks the rules of an entity: those about it alone, or with one of its parents. What they cannot say is broken.
fn ask(rules: &Snapshot, entity: Uid<'static>, parent: Option<Uid<'static>>) -> Option<Decision> {
    let id = action_id(&entity.type_name, parent.as_ref().map(|parent| &*parent.type_name));
    let action = Uid { type_name: format!("{NAMESPACE}::Action").into(), id: id.into() };
    let request = AccessRequest::new(entity.clone(), action, parent.unwrap_or(entity));
    match rules.decide_at_once(&request, 0) {
        Some(decision) => decision.ok(),
        // Cedar says why a rule fails
        None => on_big_stack(|| rules.decide(&request, 0)).ok()?.ok(),
    }
}

/// The id of the action that the rules of a type are asked with, alone or about each parent of a type.
pub(super) fn action_id(each: &str, each_parent: Option<&str>) -> String {
    each_parent.map_or_else(|| each.to_owned(), |parent| format!("{each} in {parent}"))
}
