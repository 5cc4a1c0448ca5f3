//! Places that several conditions compare: a value that suits one of them need not suit the others.
//!
//! `n > 5 && n != 6` is turned by 7 alone, and `s.contains("a") && s.contains("b")` by both elements at once. So a place that
//! is read more than once is tried with what each of the conditions asks of it, and sets with all of it together. What is not
//! found even then is not known to be impossible.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{Expr, ExprKind};
use serde_json::Value as Json;

use super::Judged;
use super::edits::{Change, Target};
use super::goals::Goals;
use super::search::Asked;
use super::source::Source;
use super::tree::Tree;
use super::values::{self, Masks};
use crate::model::PolicyId;

/// Values that are tried in one place beside those of the condition that does not hold.
const MOST_MORE: usize = 8;

/// What the conditions of all judged policies ask of places, and how often each place is read.
#[derive(Default)]
pub(super) struct Contested {
    reads: Vec<(Target, usize)>,
    changes: Vec<Change>,
}

impl Contested {
    /// Of the places that `candidates` change. Conditions that name none of them are not looked at further.
    pub(super) fn of(asked: &Asked<'_>, judged: &[Judged], masks: &Masks, candidates: &[(Change, PolicyId)]) -> Self {
        let mut all = Self::default();
        let places = candidates.iter().filter(|(change, _)| !is_flag(change)).filter_map(|(change, _)| change.target());
        let names: BTreeSet<&str> = places.clone().filter_map(Target::name).collect();
        let places: Vec<&Target> = places.collect();
        if names.is_empty() {
            return all;
        }
        let named = |place: &Expr| match place.expr_kind() {
            ExprKind::GetAttr { attr, .. } => names.contains(attr.as_str()),
            _ => true,
        };
        for policy in judged {
            let tree = Tree::new(&policy.policy, Source::new(asked.snapshot.known_site(&policy.id)), masks);
            let mut goals = Goals::new(asked.snapshot, asked.scene, tree.slots(), masks);
            for condition in tree.conditions() {
                let mut is_read = false;
                for place in values::places(condition.expression).into_iter().filter(|place| named(place)) {
                    let Some(target) = goals.target(place).filter(|target| places.contains(&target)) else { continue };
                    is_read = true;
                    match all.reads.iter_mut().find(|(known, _)| *known == target) {
                        Some((_, count)) => *count += 1,
                        None => all.reads.push((target, 1)),
                    }
                }
                if is_read {
                    goals.turn_each(condition.expression, &|leaf| values::places(leaf).into_iter().any(named));
                }
            }
            all.changes.append(&mut goals.found);
        }
        all
    }

    /// Whether several conditions read the place that a change is of, or one does more than once, and it has more values than
    /// the two of a flag.
    pub(super) fn is_contested(&self, change: &Change) -> bool {
        let count = |target| self.reads.iter().find(|(known, _)| known == target).map_or(0, |(_, count)| *count);
        !is_flag(change) && change.target().is_some_and(|target| count(target) > 1)
    }

    /// Other changes of the places that `candidates` change.
    pub(super) fn more(&self, candidates: &[(Change, PolicyId)]) -> Vec<(Change, PolicyId)> {
        let mut found: Vec<(Change, PolicyId)> = Vec::new();
        let mut done: Vec<&Target> = Vec::new();
        for (change, policy) in candidates.iter().filter(|(change, _)| self.is_contested(change)) {
            let Some(place) = change.target().filter(|place| !done.contains(place)) else { continue };
            done.push(place);
            let same = |of: &&Change| of.target() == Some(place);
            let of_candidates: Vec<&Change> = candidates.iter().map(|(change, _)| change).filter(same).collect();
            let others =
                self.changes.iter().filter(same).filter(|other| !of_candidates.contains(other)).take(MOST_MORE);
            let together = together(&of_candidates);
            found.extend(together.into_iter().chain(others.cloned()).map(|change| (change, policy.clone())));
        }
        found
    }
}

/// Whether it sets a value of two.
fn is_flag(change: &Change) -> bool {
    matches!(change, Change::Set(_, Some(Json::Bool(_))))
}

/// All that changes put into one set and take out of it, as one change.
fn together(changes: &[&Change]) -> Option<Change> {
    let (mut now, mut come, mut gone) = (None::<Vec<Json>>, Vec::<Json>::new(), Vec::<Json>::new());
    let mut place = None;
    for change in changes {
        let Change::Elements { target, value: Json::Array(value), elements, added } = change else { continue };
        place = Some(target);
        now.get_or_insert_with(|| {
            let mut before = value.clone();
            before.retain(|element| !*added || !elements.contains(element));
            before.extend(elements.iter().filter(|_| !added).cloned());
            before
        });
        let side = if *added { &mut come } else { &mut gone };
        side.extend(elements.iter().filter(|element| !side.contains(element)).cloned().collect::<Vec<_>>());
    }
    let (target, mut value) = (place?.clone(), now?);
    if come.len() + gone.len() < 2 || come.iter().any(|element| gone.contains(element)) {
        return None;
    }
    value.retain(|element| !gone.contains(element));
    value.extend(come.iter().filter(|element| !value.contains(element)).cloned().collect::<Vec<_>>());
    let value = Json::Array(value);
    Some(match (come.is_empty(), gone.is_empty()) {
        (false, true) => Change::Elements { target, value, elements: come, added: true },
        (true, _) => Change::Elements { target, value, elements: gone, added: false },
        (false, false) => Change::Set(target, Some(value)),
    })
}
