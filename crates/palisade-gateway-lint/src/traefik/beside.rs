//! Checks of others beside the sidecar's: routers that go through another `forwardAuth` alone, and those of its program.

use std::collections::HashSet;

use crate::answers::normal;
use crate::node::Node;
use crate::traefik::chain::{Step, ways};
use crate::traefik::model::{Model, Provider, Router};
use crate::{GUARDS_NO_OTHER, NOT_CHECKED};
use palisade_engine::model::Diagnostic;

/// What is known of them, where one of several `forwardAuth` is the sidecar's.
pub(super) struct Beside<'m, 'd> {
    model: &'m Model<'d>,
    /// Where their programs are.
    programs: HashSet<String>,
    /// Services whose requests the sidecar is asked about, by name and by address.
    services: HashSet<String>,
    addresses: HashSet<String>,
    /// The middlewares that were named in a finding.
    named: HashSet<*const serde_json::Value>,
}

// === impl Beside ===

impl<'m, 'd> Beside<'m, 'd> {
    pub(super) fn read(model: &'m Model<'d>, is_check: &dyn Fn(&Node<'_>) -> bool) -> Self {
        let others = model.middlewares.iter().filter_map(|(_, node)| Some((node, node.get("forwardauth")?)));
        let programs =
            others.filter(|(node, _)| !is_check(node)).map(|(_, config)| host(config.text("address"))).collect();
        let checked = |router: &&Router<'d>| {
            let mut ways = ways(model, router).into_iter();
            ways.any(|way| way.iter().any(|step| matches!(step, Step::Known(node, _) if is_check(node))))
        };
        let services: HashSet<String> = model.routers.iter().filter(checked).map(name).collect();
        let addresses = services.iter().flat_map(|service| addresses(model, service)).collect();
        Self { model, programs, services, addresses, named: HashSet::new() }
    }

    /// Whether another check's program is there: at an address, or in a container of which no port is known.
    fn is_program(&self, address: &str) -> bool {
        let host = |program: &str| program.rsplit_once(':').is_some_and(|(host, _)| host == address);
        self.programs.contains(address) || (!address.contains(':') && self.programs.iter().any(|it| host(it)))
    }

    /// Whether a router without the sidecar's check is another's business, which is said once for each: it goes through
    /// another check, or leads to the program of one, and no service of the sidecar's is behind it.
    pub(super) fn is_of_another(
        &mut self,
        router: &Router<'d>,
        ways: &[Vec<Step<'d>>],
        findings: &mut Vec<Diagnostic>,
    ) -> bool {
        let service = name(router);
        let to = addresses(self.model, &service);
        // in files each service says where it is
        let unknown = to.is_empty() && router.provider == Provider::File;
        if unknown
            || service.is_empty()
            || self.services.contains(&service)
            || to.iter().any(|address| self.addresses.contains(address))
        {
            return false;
        }
        let other = |way: &Vec<Step<'d>>| {
            way.iter().find_map(|step| match step {
                Step::Known(node, _) if node.get("forwardauth").is_some() => Some(node.value),
                _ => None,
            })
        };
        let all: Option<Vec<_>> = ways.iter().map(other).collect();
        for value in all.iter().flatten() {
            if self.named.insert(std::ptr::from_ref(*value)) {
                let known = self.model.middlewares.iter().find(|(_, node)| std::ptr::eq(node.value, *value));
                let name = known.map_or("forwardAuth", |(name, _)| name.as_str());
                findings.push(router.node.warning(
                    NOT_CHECKED,
                    format!(
                        "`{name}` is another check than the sidecar's: what goes through it alone is not looked at"
                    ),
                    GUARDS_NO_OTHER,
                ));
            }
        }
        all.is_some_and(|all| !all.is_empty()) || (!to.is_empty() && to.iter().all(|address| self.is_program(address)))
    }
}

/// The name of a router's service, without its provider; of a label without one, that of its container.
fn name(router: &Router<'_>) -> String {
    let service = router.service.split('@').next().unwrap_or_default();
    if service.is_empty() { router.container.to_ascii_lowercase() } else { service.to_ascii_lowercase() }
}

/// How often services may be made of others.
const DEEPEST: usize = 8;

/// Where a service is, whatever it is made of.
fn addresses(model: &Model<'_>, service: &str) -> Vec<String> {
    let mut names = vec![service.to_owned()];
    let mut found = Vec::new();
    for _ in 0..DEEPEST {
        let is = |known: &str| names.iter().any(|name| name.eq_ignore_ascii_case(known));
        found.extend(model.addresses.iter().filter(|(name, _)| is(name)).map(|(_, address)| normal(address)));
        names = model.parts.iter().filter(|(name, _)| is(name)).map(|(_, part)| part.clone()).collect();
        names.sort();
        names.dedup();
    }
    found
}

/// The host and port of a URL.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    normal(rest.split(['/', '?']).next().unwrap_or_default())
}
