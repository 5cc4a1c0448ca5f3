//! What the service gets behind the check, and the sidecar does not: by formats, captures, variables and removals.

mod again;
mod beside;
mod bodies;
mod cases;
mod hosts;
mod kept;
mod pages;
mod peers;
mod rest;
mod served;

use super::sites::Broken;
use super::*;
use crate::tests::pages::{beside, page};
use cases::Change;

/// Mutations of our pages of one kind.
struct Group {
    pages: &'static [&'static str],
    from: &'static str,
    /// What comes in its place, with each case where `<>` stands.
    to: &'static str,
    /// The rule that must be reported, or the one that is nearly broken where nothing is to be reported.
    rule: &'static str,
    cases: &'static [&'static str],
}

/// A page in which each of these is replaced.
pub(super) fn changed(name: &str, changes: &[(&str, &str)]) -> (Gateway, Vec<Source>) {
    let (gateway, mut sources) = page(name);
    for (from, to) in changes {
        assert!(sources.iter().any(|(_, text)| text.contains(from)), "{name} has no {from:?} any more");
        for (_, text) in &mut sources {
            *text = text.replacen(from, to, 1);
        }
    }
    (gateway, sources)
}

/// The findings in a page in which each of these is replaced.
pub(super) fn mutated(name: &str, changes: &[(&str, &str)]) -> Vec<Diagnostic> {
    let (gateway, sources) = changed(name, changes);
    lint(gateway, &sources, &beside)
}

/// The groups in which something is to be found.
const FOUND: &[&[Group]] = &[
    cases::FOUND,
    hosts::FOUND,
    kept::FOUND,
    peers::FOUND,
    again::FOUND,
    rest::FOUND,
    bodies::FOUND,
    pages::FOUND,
    beside::FOUND,
    served::FOUND,
];

/// The groups in which nothing is.
const ORDINARY: &[&[Group]] = &[
    cases::ORDINARY,
    hosts::ORDINARY,
    kept::ORDINARY,
    peers::ORDINARY,
    again::ORDINARY,
    rest::ORDINARY,
    bodies::ORDINARY,
    pages::ORDINARY,
    beside::ORDINARY,
    served::ORDINARY,
];

/// Changes that are no finding where they are made together.
const TOGETHER: &[&[Change]] = &[
    cases::TOGETHER,
    hosts::TOGETHER,
    peers::TOGETHER,
    rest::TOGETHER,
    bodies::TOGETHER,
    pages::TOGETHER,
    beside::TOGETHER,
];

/// Changes that are one where they are made together.
const BOTH: &[&[(&str, Change)]] = &[hosts::BOTH, peers::BOTH, rest::BOTH, bodies::BOTH, pages::BOTH, beside::BOTH];

/// The rules that are nearly broken here.
pub(super) fn near() -> impl Iterator<Item = &'static str> {
    ORDINARY.iter().copied().flatten().map(|group| group.rule)
}

/// The configurations in which something is to be found, with its rule.
pub(super) fn broken() -> Vec<Broken> {
    let groups = FOUND.iter().copied().flatten().flat_map(|group| {
        group.pages.iter().flat_map(|page| {
            group.cases.iter().map(|case| {
                let (gateway, sources) = changed(page, &[(group.from, &group.to.replace("<>", case))]);
                (gateway, sources, group.rule.to_owned())
            })
        })
    });
    let both = BOTH.iter().copied().flatten().map(|(rule, (page, changes))| {
        let (gateway, sources) = changed(page, changes);
        (gateway, sources, (*rule).to_owned())
    });
    groups.chain(both).collect()
}

/// The rules that are reported here.
pub(super) fn told() -> impl Iterator<Item = &'static str> {
    let both = BOTH.iter().copied().flatten().map(|(rule, _)| *rule);
    FOUND.iter().copied().flatten().map(|group| group.rule).chain(both)
}

#[test]
fn each_case_has_its_finding_or_none() {
    let mut wrong = Vec::new();
    let all = FOUND.iter().map(|groups| (true, groups)).chain(ORDINARY.iter().map(|groups| (false, groups)));
    for (broken, group) in all.flat_map(|(broken, groups)| groups.iter().map(move |group| (broken, group))) {
        for (name, case) in group.pages.iter().flat_map(|page| group.cases.iter().map(move |case| (page, case))) {
            let found = mutated(name, &[(group.from, &group.to.replace("<>", case))]);
            let right = if broken { rules(&found).contains(group.rule) } else { found.is_empty() };
            let placed = found.iter().all(|finding| finding.rule != Some(group.rule) || finding.line.is_some());
            if !right || !placed {
                wrong.push(format!("{name}: {case}: {:?}: {found:#?}", group.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_check_hides_is_not_seen_there() {
    let own =
        ("proxy_set_header X-Forwarded-Proto $scheme;", "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;");
    let found = mutated("nginx", &[own, ("internal;", "internal; proxy_set_header X-Forwarded-Proto $scheme;")]);
    assert!(rules(&found).contains("nginx-override-set"), "{found:#?}");
}

#[test]
fn what_belongs_together_has_no_finding() {
    let mut wrong = Vec::new();
    for (name, changes) in TOGETHER.iter().copied().flatten() {
        let found = mutated(name, changes);
        if !found.is_empty() {
            wrong.push(format!("{name}: {changes:?}: {found:#?}"));
        }
    }
    for (rule, (name, changes)) in BOTH.iter().copied().flatten() {
        let found = mutated(name, changes);
        if !rules(&found).contains(rule) {
            wrong.push(format!("{name}: {changes:?}: no {rule} in {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
