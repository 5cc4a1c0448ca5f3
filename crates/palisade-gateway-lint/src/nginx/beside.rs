//! Checks of others beside the sidecar's: which is ours, and what is behind another one alone.

use std::collections::HashSet;

use crate::answers::{is_sidecar, normal};
use crate::directive::Directive;
use crate::nginx::known::Known;
use crate::nginx::scope::{Block, Matches, Server, walk};
use crate::nginx::target::{Target, of_sidecar, resolved};
use crate::nginx::{asked, chosen, pass, value};
use crate::report::Report;
use crate::{GUARDS_NO_OTHER, NOT_CHECKED};

/// What is asked by another `auth_request` than the sidecar's.
#[derive(Default)]
pub(super) struct Beside {
    /// Each `auth_request` that asks it.
    asks: HashSet<*const Directive>,
    /// The locations in which it is asked, by [`Block::key`].
    checks: HashSet<*const Directive>,
    /// Where it is.
    addresses: HashSet<String>,
    /// The first line that asks each of them.
    first: Vec<Directive>,
}

// === impl Beside ===

impl Beside {
    /// Looks for the checks that are not the sidecar's. Where nothing says which one is the sidecar's, all are taken for it.
    pub(super) fn read(tree: &[Directive], servers: &[Server<'_>]) -> Self {
        let sidecars = sidecars(tree);
        let (mut found, mut ours) = (Self::default(), false);
        for server in servers {
            for ask in asked(server) {
                let uri = ask.argument(1);
                // a prefix of its own, which leads to the other program
                let below = || server.longest(uri).filter(|block| block.matches() != Some(Matches::Prefix("/")));
                let Some(check) = chosen(server, uri).or_else(below) else { continue };
                if is_ours(server, ask, check, &sidecars) {
                    ours = true;
                    found.asks.remove(&std::ptr::from_ref(ask));
                } else if pass::passes(check).is_some() && found.asks.insert(ask) {
                    if found.checks.insert(check.key()) {
                        found.first.push(ask.clone());
                    }
                    found.addresses.extend(addresses(check, tree));
                }
            }
        }
        if ours { found } else { Self::default() }
    }

    /// Whether a block asks another check and not the sidecar.
    pub(super) fn asks(&self, block: &Block<'_>) -> bool {
        block.asks().is_some_and(|ask| self.asks.contains(&std::ptr::from_ref(ask)))
    }

    /// Whether an `auth_request` asks another check.
    pub(super) fn is_one(&self, ask: &Directive) -> bool {
        self.asks.contains(&std::ptr::from_ref(ask))
    }

    /// Whether a block is where another check is asked, or leads to its program alone.
    pub(super) fn leads_there(&self, block: &Block<'_>, pass: &Directive, known: &Known<'_>) -> bool {
        let there = |url: String| {
            let to = known.addresses(Target::read(&url).host);
            to.iter().all(|to| self.addresses.contains(&normal(to)))
        };
        self.checks.contains(&block.key())
            || (!self.addresses.is_empty() && resolved(pass.argument(1), block).into_iter().all(there))
    }

    /// Says once of each that it stands there.
    pub(super) fn lint(&self, report: &mut Report<'_>) {
        for ask in &self.first {
            report.warn(
                NOT_CHECKED,
                ask.at,
                &format!(
                    "`{}` is another check than the sidecar's: what is behind it alone is not looked at",
                    ask.argument(1)
                ),
                GUARDS_NO_OTHER,
            );
        }
    }
}

/// The `upstream`s of sidecars.
fn sidecars(tree: &[Directive]) -> HashSet<&str> {
    let mut found = HashSet::new();
    walk(tree, &mut |directive, _| {
        let mut servers = directive.body().iter().filter(|line| line.name() == "server");
        if directive.name() == "upstream" && servers.any(|line| is_sidecar(line.argument(1))) {
            found.insert(directive.argument(1));
        }
    });
    found
}

/// Whether a check is the sidecar's: by its name, the path or the address at which it asks, or what is taken from the answer.
fn is_ours(server: &Server<'_>, ask: &Directive, check: &Block<'_>, sidecars: &HashSet<&str>) -> bool {
    let there = |url: String| {
        let host = Target::read(&url).host;
        sidecars.contains(host) || is_sidecar(host)
    };
    let takes = |block: &Block<'_>| {
        let asks = block.asks().is_some_and(|own| std::ptr::eq(own, ask));
        asks && block.all("auth_request_set").iter().any(|set| value::is_of_sidecar(set))
    };
    ask.argument(1).contains("palisade")
        || of_sidecar(check)
        || check.own("proxy_pass").is_some_and(|pass| resolved(pass.argument(1), check).into_iter().any(there))
        || server.blocks.iter().any(takes)
}

/// Where a check asks.
fn addresses(check: &Block<'_>, tree: &[Directive]) -> Vec<String> {
    let Some(pass) = check.own("proxy_pass") else { return Vec::new() };
    let mut found = Vec::new();
    for url in resolved(pass.argument(1), check) {
        let host = Target::read(&url).host;
        let before = found.len();
        walk(tree, &mut |directive, _| {
            if directive.name() == "upstream" && directive.argument(1) == host {
                let servers = directive.body().iter().filter(|line| line.name() == "server");
                found.extend(servers.map(|line| normal(line.argument(1))));
            }
        });
        if found.len() == before {
            found.push(normal(host));
        }
    }
    found
}
