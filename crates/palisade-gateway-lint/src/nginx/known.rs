//! What is known of a whole configuration, found once: there may be thousands of locations that ask for it.

use std::collections::{HashMap, HashSet};

use crate::answers::normal;
use crate::directive::Directive;
use crate::nginx::beside::Beside;
use crate::nginx::scope::{Block, Server, walk};
use crate::nginx::target::{Target, names, of_sidecar, resolved};
use crate::nginx::{chosen, host, pass};

/// Whether a `listen` makes its server the one for hosts that no server names.
fn is_default(listen: &Directive) -> bool {
    listen.arguments().iter().any(|word| matches!(word.as_str(), "default_server" | "default"))
}

/// Whether a header is set to what it was, with what is put beside that.
pub(super) fn keeps(set: &Directive) -> bool {
    names(set.argument(2), &format!("http_{}", set.argument(1).to_ascii_lowercase().replace('-', "_")))
}

/// What is known of a whole configuration.
#[derive(Default)]
pub(super) struct Known<'t> {
    /// The servers of each `upstream`.
    upstreams: HashMap<&'t str, Vec<&'t str>>,
    /// Each `map` by the name of what it sets.
    maps: HashMap<&'t str, Vec<&'t Directive>>,
    /// Patterns of all maps, each with what it is held against.
    patterns: Vec<(&'t str, &'t str)>,
    /// Addresses at which some server is the default one.
    defaults: HashSet<&'t str>,
    /// The first `listen` for each address, whose server is the default one where none says that it is.
    firsts: HashMap<&'t str, *const Directive>,
    /// Checks of which some service goes by the host of the request, by [`Block::key`].
    hosts: HashSet<*const Directive>,
    /// Headers that some check has instead of the client's own, in small letters.
    hidden: HashSet<String>,
    /// Where services are.
    pub(super) services: HashSet<String>,
    /// Where those are whose requests the sidecar is asked about.
    checked: HashSet<String>,
    /// Locations that ask the sidecar, by [`Block::key`].
    checks: HashSet<*const Directive>,
    /// Whether each of them passes an upgrade on to the sidecar.
    pub(super) upgrades_told: bool,
    /// Headers that every location sets for its service, in small letters: a client's own reaches none. Nothing where no
    /// service gets a client's headers.
    replaced: Option<HashSet<String>>,
    /// Checks of others.
    pub(super) beside: Beside,
}

// === impl Known ===

impl<'t> Known<'t> {
    pub(super) fn read(tree: &'t [Directive], servers: &[Server<'t>], checks: &[&Block<'t>], beside: Beside) -> Self {
        let mut known = Self { beside, ..Self::default() };
        walk(tree, &mut |directive, _| match directive.name() {
            "upstream" => {
                let servers = directive.body().iter().filter(|line| line.name() == "server");
                known.upstreams.entry(directive.argument(1)).or_default().extend(servers.map(|line| line.argument(1)));
            }
            "map" => {
                known.maps.entry(directive.argument(2).trim_start_matches('$')).or_default().push(directive);
                let patterns = directive.body().iter().map(Directive::name).filter(|key| key.starts_with('~'));
                known.patterns.extend(patterns.map(|pattern| (pattern, directive.argument(1))));
            }
            "listen" => {
                known.firsts.entry(directive.argument(1)).or_insert(directive);
                if is_default(directive) {
                    known.defaults.insert(directive.argument(1));
                }
            }
            _ => {}
        });
        known.checks = checks.iter().map(|check| check.key()).collect();
        known.upgrades_told = checks.iter().all(|check| {
            check.header("proxy_set_header", "Upgrade").is_some_and(|told| names(told.argument(2), "$http_upgrade"))
        });
        let set = checks.iter().flat_map(|check| check.all("proxy_set_header"));
        known.hidden = set.filter(|set| !keeps(set)).map(|set| set.argument(1).to_ascii_lowercase()).collect();
        let mut replaced: Option<HashSet<String>> = None;
        for (server, block) in servers.iter().flat_map(|server| server.blocks.iter().map(move |block| (server, block)))
        {
            let Some(pass) = pass::passes(block).filter(|_| !known.is_check(block)) else { continue };
            if known.is_of_others(block, pass) {
                continue;
            }
            for url in resolved(pass.argument(1), block) {
                let services: Vec<String> =
                    known.addresses(Target::read(&url).host).iter().map(|to| normal(to)).collect();
                known.services.extend(services);
            }
            let ask = block.asks().filter(|_| host::goes_by_it(block, pass, &known));
            if let Some(check) = ask.and_then(|ask| chosen(server, ask.argument(1))) {
                known.hosts.insert(check.key());
            }
            // what no check stands in front of is looked at elsewhere; copies are made of what one does
            let asked = block.asks().is_some();
            if asked {
                let to = resolved(pass.argument(1), block);
                let to = to.iter().flat_map(|url| known.addresses(Target::read(url).host)).map(normal);
                let to: Vec<String> = to.collect();
                known.checked.extend(to);
            }
            if !pass::passes_headers(block, pass) || !(asked || block.own("internal").is_some()) {
                continue;
            }
            let set = pass::headers(block, pass);
            match &mut replaced {
                Some(replaced) => replaced.retain(|name| set.contains(name)),
                None => replaced = Some(set),
            }
        }
        known.replaced = replaced;
        known
    }

    /// Whether a block asks the sidecar.
    pub(super) fn is_check(&self, block: &Block<'_>) -> bool {
        self.checks.contains(&block.key()) || of_sidecar(block)
    }

    /// Whether a block is of another check: it is where that is asked, or is guarded by it and not by the sidecar.
    pub(super) fn is_of_others(&self, block: &Block<'_>, pass: &Directive) -> bool {
        self.beside.asks(block) || (block.asks().is_none() && self.beside.leads_there(block, pass, self))
    }

    /// Whether a block answers an `auth_request`.
    pub(super) fn answers_one(&self, block: &Block<'_>) -> bool {
        self.checks.contains(&block.key())
    }

    /// Whether the sidecar does not see a header as a client sent it, which is named as in a variable.
    pub(super) fn hides(&self, name: &str) -> bool {
        self.hidden.contains(&name.replace('_', "-"))
    }

    /// Whether a block passes requests on to a service whose requests the sidecar is asked about.
    pub(super) fn leads_to_checked(&self, block: &Block<'_>) -> bool {
        pass::passes(block).is_none_or(|pass| {
            resolved(pass.argument(1), block).iter().any(|url| {
                let to = self.addresses(Target::read(url).host);
                to.iter().any(|to| to.starts_with('$') || self.checked.contains(&normal(to)))
            })
        })
    }

    /// Whether no service gets a header as a client sent it.
    pub(super) fn is_replaced(&self, header: &str) -> bool {
        self.replaced.as_ref().is_none_or(|names| names.contains(&header.to_ascii_lowercase()))
    }

    /// Whether a service whose requests a block asks about goes by the host of the request.
    pub(super) fn goes_by_host(&self, check: &Block<'_>) -> bool {
        self.hosts.contains(&check.key())
    }

    /// The one name by which requests come to the server of a block, if another server gets those for all other names.
    pub(super) fn only_name(&self, block: &Block<'t>) -> Option<&'t str> {
        match self.only_names(block)[..] {
            [name] => Some(name),
            _ => None,
        }
    }

    /// The names by which requests come to the server of a block, if another server gets those for all other names.
    pub(super) fn only_names(&self, block: &Block<'t>) -> Vec<&'t str> {
        let names = block.all("server_name").into_iter().flat_map(Directive::arguments).map(String::as_str);
        let names: Vec<&str> = names.collect();
        let listens = block.all("listen");
        let first = |listen: &Directive| self.firsts.get(listen.argument(1)) == Some(&std::ptr::from_ref(listen));
        let others =
            |listen: &&Directive| !is_default(listen) && (self.defaults.contains(listen.argument(1)) || !first(listen));
        let plain = |name: &&str| !name.is_empty() && !name.contains(['*', '~', '_', '$']) && !name.starts_with('.');
        let only = names.iter().all(plain) && !listens.is_empty() && listens.iter().all(others);
        if only { names } else { Vec::new() }
    }

    /// What a host stands for: the servers of the `upstream` of that name, or itself.
    pub(super) fn addresses<'h>(&self, host: &'h str) -> Vec<&'h str>
    where
        't: 'h,
    {
        self.upstreams.get(host).cloned().unwrap_or_else(|| vec![host])
    }

    /// The patterns of all maps, each with what it is held against.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.patterns.iter().copied()
    }

    /// The maps that set a variable.
    pub(super) fn maps(&self, variable: &str) -> &[&'t Directive] {
        self.maps.get(variable).map_or(&[], Vec::as_slice)
    }
}
