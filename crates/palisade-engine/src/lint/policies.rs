//! What is odd about what policies name.

use std::collections::{BTreeMap, HashSet};

use cedar_policy_core::ast::EntityUID;

use super::near::Near;
use super::{Subject, listed, uid};
use crate::model::Diagnostic;
use crate::policies::named::{Mention, Named, Spot};

/// Policies that allow everything to everyone.
pub(super) fn everything(named: &Named) -> Vec<Diagnostic> {
    let (first, more) = &named.everything;
    let warn = |spot: &Spot| {
        let message = format!("`{}` allows every action on every resource to every principal", spot.policy);
        let help = "say who may do what; if it is meant, add `when { true }`";
        spot.finding(message).help(help)
    };
    listed(first.iter().map(warn).collect(), *more, "permit-everything")
}

/// Policies that name what is not stored.
pub(super) fn unstored(named: &Named, subject: &Subject<'_>, near: &mut Near<'_>) -> Vec<Diagnostic> {
    if near.types.is_empty() {
        // the data come from elsewhere
        return Vec::new();
    }
    let only = if subject.semantics.unknown_entities_deny() { &*named.only } else { &[] };
    let (found, told) = only_unstored(only, near);
    let mut found = listed(found, 0, "unstored-only");
    let lacks = |uid: &EntityUID| {
        let uid = super::uid(uid);
        near.has_type(&uid.type_name) && !near.is_listed(&uid.type_name) && near.find(&uid).is_none()
    };
    let mut dangling: Vec<(&EntityUID, &Mention)> =
        named.entities.iter().filter(|(uid, _)| !told.contains(uid) && lacks(uid)).collect();
    dangling.sort_by_cached_key(|(_, mention)| mention.spot.order());
    let total = dangling.len() + named.more;
    let warn = |(name, mention): &(&EntityUID, &Mention)| {
        let name = uid(name);
        let others = match mention.policies - 1 {
            0 => String::new(),
            1 => " (one more policy names it)".to_owned(),
            n => format!(" ({n} more policies name it)"),
        };
        let message = format!("`{name}` is not stored{others}{}", near.hint(&name));
        mention.spot.finding(message).help("correct the name, or store the entity")
    };
    let first: Vec<Diagnostic> = dangling.iter().take(super::MAX_WARNINGS).map(warn).collect();
    let more = total - first.len();
    found.extend(listed(first, more, "dangling-name"));
    found
}

/// Policies whose scope demands an entity that is not stored, where that is reason enough to deny. Also what they demand.
fn only_unstored<'n>(only: &'n [(EntityUID, Spot)], near: &mut Near<'_>) -> (Vec<Diagnostic>, HashSet<&'n EntityUID>) {
    const HELP: &str = "store it, or bring it with the request; where ids name what is stored nowhere, set \
                        `decision.unknown_entities` to `cedar`";
    let mut found = Vec::new();
    let mut told = HashSet::new();
    // one warning for each type of which nothing is stored
    let mut by_type: BTreeMap<String, (&Spot, usize)> = BTreeMap::new();
    for (demanded, spot) in only {
        let name = uid(demanded);
        if near.is_listed(&name.type_name) || near.find(&name).is_some() {
            continue;
        }
        told.insert(demanded);
        if !near.has_type(&name.type_name) {
            by_type.entry(name.type_name.into_owned()).or_insert((spot, 0)).1 += 1;
            continue;
        }
        // more are only counted
        let hint = if found.len() < super::MAX_WARNINGS { near.hint(&name) } else { String::new() };
        let message = format!(
            "`{}` can only be about `{name}`, which is not stored, so what it is about is denied{hint}",
            spot.policy
        );
        found.push(spot.finding(message).help(HELP));
    }
    for (type_name, (spot, policies)) in by_type {
        let who = match policies {
            1 => format!("`{}` can only be about one", spot.policy),
            n => format!("{n} policies, `{}` first, can only be about one", spot.policy),
        };
        let message = format!("no `{type_name}` is stored, and {who}, so what it is about is denied");
        found.push(spot.finding(message).help(HELP));
    }
    (found, told)
}
