//! Rules of the data after a transaction: what it may have broken is asked again.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::Place;
use crate::ids::EntityId;
use crate::model::{Diagnostic, Level, Refused};
use crate::snapshot::Snapshot;

/// What the transaction breaks: warnings, of rules that only warn.
///
/// # Errors
/// If it breaks a rule that refuses.
pub(super) fn keep_rules(
    before: &Snapshot,
    now: &Snapshot,
    touched: &BTreeMap<EntityId, Place>,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Diagnostic>, Refused> {
    let Some(rules) = before.core.rules.as_ref().filter(|_| !touched.is_empty()) else { return Ok(Vec::new()) };
    let ids: BTreeSet<EntityId> = touched.keys().copied().collect();
    let among = rules.affected(&before.store, &now.store, &ids);
    let (broken, count) = rules.broken(&now.store, among, stop).map_err(|_| Refused::GivenUp)?;
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let first = touched.values().next().map_or_else(|| "/changes".to_owned(), |place| place.pointer(""));
    for broken in &broken {
        let place = touched.get(&broken.entity).map(|place| place.pointer(""));
        let found = Diagnostic::error(place.as_ref().unwrap_or(&first), broken.message(&now.store));
        match broken.level {
            Level::Refuse => errors.push(broken.coded(found)),
            Level::Warn => warnings.push(broken.coded(found).warning()),
        }
    }
    if let Some(more) = count.checked_sub(broken.len()).filter(|more| *more > 0) {
        let found = Diagnostic::error("/changes", format!("and {more} more broken rules"));
        if errors.is_empty() { warnings.push(found.warning()) } else { errors.push(found) }
    }
    if errors.is_empty() {
        return Ok(Diagnostic::about("data_rule", warnings));
    }
    Err(Refused::Rule(Diagnostic::about("data_rule", errors)))
}
