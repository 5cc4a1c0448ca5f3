//! What is known of a whole configuration, found once: there may be thousands of locations that ask for it.

use std::collections::{HashMap, HashSet};

use crate::gateway::lint::answers::normal;
use crate::gateway::lint::directive::Directive;
use crate::gateway::lint::nginx::pass;
use crate::gateway::lint::nginx::scope::{Block, Server, walk};
use crate::gateway::lint::nginx::target::{Target, names, of_sidecar, resolved};

/// What is known of a whole configuration.
#[derive(Default)]
pub(super) struct Known<'t> {
    /// The servers of each `upstream`.
    upstreams: HashMap<&'t str, Vec<&'t str>>,
    /// Each `map` by the name of what it sets.
    maps: HashMap<&'t str, Vec<&'t Directive>>,
    /// Where services are.
    pub(super) services: HashSet<String>,
    /// Locations that ask the sidecar, by [`Block::key`].
    checks: HashSet<*const Directive>,
    /// Whether each of them tells the sidecar of an upgrade.
    pub(super) upgrades_told: bool,
    /// Headers that every location sets for its service, in small letters: a client's own reaches none.
    pub(super) replaced: HashSet<String>,
}

// === impl Known ===

impl<'t> Known<'t> {
    pub(super) fn read(tree: &'t [Directive], servers: &[Server<'t>], checks: &[&Block<'t>]) -> Self {
        let mut known = Self::default();
        walk(tree, &mut |directive, _| match directive.name() {
            "upstream" => {
                let servers = directive.body().iter().filter(|line| line.name() == "server");
                known.upstreams.entry(directive.argument(1)).or_default().extend(servers.map(|line| line.argument(1)));
            }
            "map" => known.maps.entry(directive.argument(2).trim_start_matches('$')).or_default().push(directive),
            _ => {}
        });
        known.checks = checks.iter().map(|check| check.key()).collect();
        known.upgrades_told = checks.iter().all(|check| {
            check.header("proxy_set_header", "Upgrade").is_some_and(|told| names(told.argument(2), "$http_upgrade"))
        });
        let mut replaced: Option<HashSet<String>> = None;
        for block in servers.iter().flat_map(|server| &server.blocks) {
            let Some(pass) = pass::passes(block).filter(|_| !known.is_check(block)) else { continue };
            for url in resolved(pass.argument(1), block) {
                let services: Vec<String> =
                    known.addresses(Target::read(&url).host).iter().map(|to| normal(to)).collect();
                known.services.extend(services);
            }
            let set = pass::headers(block, pass);
            match &mut replaced {
                Some(replaced) => replaced.retain(|name| set.contains(name)),
                None => replaced = Some(set),
            }
        }
        known.replaced = replaced.unwrap_or_default();
        known
    }

    /// Whether a block asks the sidecar.
    pub(super) fn is_check(&self, block: &Block<'_>) -> bool {
        self.checks.contains(&block.key()) || of_sidecar(block)
    }

    /// Whether a block answers an `auth_request`.
    pub(super) fn answers_one(&self, block: &Block<'_>) -> bool {
        self.checks.contains(&block.key())
    }

    /// What a host stands for: the servers of the `upstream` of that name, or itself.
    pub(super) fn addresses<'h>(&self, host: &'h str) -> Vec<&'h str>
    where
        't: 'h,
    {
        self.upstreams.get(host).cloned().unwrap_or_else(|| vec![host])
    }

    /// The maps that set a variable.
    pub(super) fn maps(&self, variable: &str) -> &[&'t Directive] {
        self.maps.get(variable).map_or(&[], Vec::as_slice)
    }
}
