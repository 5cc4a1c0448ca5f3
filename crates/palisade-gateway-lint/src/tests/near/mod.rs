//! For each rule what nearly breaks it, and does not: the same setting with a harmless value, at a harmless place, or in
//! another spelling. A rule without such a case would be as good with a false alarm.

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use super::behind::mutated;
use super::*;

/// The rule, the page, and what is replaced in it by what.
type Near = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const NEAR: [&[Near]; 6] = [nginx::NEAR, envoy::NEAR, caddy::NEAR, traefik::NEAR, haproxy::NEAR, apache::NEAR];

#[test]
fn what_nearly_breaks_a_rule_has_no_finding() {
    let mut wrong = Vec::new();
    for (rule, page, changes) in NEAR.into_iter().flatten() {
        let found = mutated(page, changes);
        if !found.is_empty() {
            wrong.push(format!("{rule}: {page}: {changes:?}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_has_something_near_it() {
    let near: BTreeSet<&str> = NEAR.into_iter().flatten().map(|near| near.0).chain(behind::near()).collect();
    // those of routes are in `palisade-routes`
    let rules: BTreeSet<&str> = RULES.iter().copied().filter(|rule| !rule.starts_with("route-")).collect();
    assert_eq!(rules.difference(&near).collect::<Vec<_>>(), [&""; 0], "nothing is near to these rules");
    assert_eq!(near.difference(&rules).collect::<Vec<_>>(), [&""; 0], "these are not rules");
}
