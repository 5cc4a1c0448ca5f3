//! Ways to a service past the routers of HTTP: routers of TCP, and ports that its own container or service opens.

use std::collections::{HashMap, HashSet};

use crate::node::Node;
use crate::traefik::labels::is_proxy;
use crate::traefik::model::{Model, Tcp};
use palisade_engine::model::Diagnostic;

/// The containers of a file of Docker Compose.
#[derive(Debug, Default)]
pub(super) struct Compose<'d> {
    /// Other names under which a container is reached, each with its own.
    aliases: HashMap<String, String>,
    open: Vec<Open<'d>>,
    /// What each container of Traefik itself opens: a port within it, or any.
    proxies: Vec<Vec<Option<String>>>,
}

/// What a container opens itself.
#[derive(Debug)]
struct Open<'d> {
    container: String,
    node: Node<'d>,
    /// The port within the container, where one alone is opened.
    port: Option<String>,
}

// === impl Compose ===

impl<'d> Compose<'d> {
    /// Adds the containers of a file.
    pub(super) fn add(&mut self, root: &Node<'d>) {
        for (name, container) in root.get("services").map(|services| services.members()).unwrap_or_default() {
            for key in ["container_name", "hostname"] {
                let alias = container.text(key).to_ascii_lowercase();
                self.aliases.extend((!alias.is_empty()).then(|| (alias, name.to_ascii_lowercase())));
            }
            if is_proxy(&container) {
                let host = container.get("network_mode").is_some_and(|mode| mode.value == "host");
                let ports = container.list("ports").iter().filter_map(opened).chain(host.then_some(None)).collect();
                self.proxies.push(ports);
                continue;
            }
            if let Some(node) = container.get("network_mode").filter(|mode| mode.value == "host") {
                self.open.push(Open { container: name.to_owned(), node, port: None });
            }
            for node in container.list("ports") {
                if let Some(port) = opened(&node) {
                    self.open.push(Open { container: name.to_owned(), node, port });
                }
            }
        }
    }

    /// Whether Traefik stands in a container, and none of these opens this port of it to other machines.
    pub(super) fn keeps(&self, port: &str) -> bool {
        let opens = |open: &Option<String>| open.as_deref().is_none_or(|open| open == port);
        !self.proxies.is_empty() && !self.proxies.iter().flatten().any(opens)
    }

    /// A host with the container's own name, and its port if there is one.
    fn own<'s>(&self, address: &'s str) -> (String, Option<&'s str>) {
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        };
        let host = host.to_ascii_lowercase();
        (self.aliases.get(&host).cloned().unwrap_or(host), port)
    }
}

/// Where HTTP leads to: hosts, each with the ports that are known.
struct Reached<'m> {
    compose: &'m Compose<'m>,
    hosts: HashMap<String, Vec<Option<&'m str>>>,
}

impl<'m> Reached<'m> {
    fn read(model: &'m Model<'m>) -> Self {
        let mut hosts: HashMap<String, Vec<Option<&str>>> = HashMap::new();
        for address in model.servers.iter().chain(&model.containers) {
            let (host, port) = model.compose.own(address);
            let ports = hosts.entry(host).or_default();
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        Self { compose: &model.compose, hosts }
    }

    /// Whether an address may be one of these: where no port is known, it may be any.
    fn has(&self, address: &str) -> bool {
        let (host, port) = self.compose.own(address);
        let ports = self.hosts.get(&host).map(Vec::as_slice).unwrap_or_default();
        !ports.is_empty() && (port.is_none() || ports.iter().any(|known| known.is_none() || *known == port))
    }
}

/// The port within a container that an entry of `ports` opens to other machines, where it is one; none if it opens none.
#[expect(clippy::option_option, reason = "whether, and which")]
fn opened(entry: &Node<'_>) -> Option<Option<String>> {
    let plain = |node: &Node<'_>| node.value.as_str().map_or_else(|| node.value.to_string(), str::to_owned);
    let (host, port, protocol) = if entry.value.is_object() {
        let target = entry.get("target").map(|node| plain(&node)).unwrap_or_default();
        (entry.text("host_ip").to_owned(), target, entry.text("protocol").to_owned())
    } else {
        let text = plain(entry);
        let (ports, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let (before, port) = ports.rsplit_once(':').unwrap_or(("", ports));
        let host = before.rsplit_once(':').map_or("", |(host, _)| host);
        (host.to_owned(), port.to_owned(), protocol.to_owned())
    };
    let local = host.starts_with("127.") || host.contains("::1") || host == "localhost";
    let one = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (!local && protocol != "udp").then(|| one.then_some(port))
}

/// What leads past the check.
pub(super) fn lint(model: &Model<'_>, findings: &mut Vec<Diagnostic>) {
    published(model, findings);
    let http = Reached::read(model);
    let services: HashSet<&str> = model.routers.iter().map(|router| router.service.as_str()).collect();
    for router in &model.tcp {
        // in Kubernetes services are known by their names
        let named = router.services.iter().any(|name| services.contains(name.as_str()));
        let targets = targets(model, router);
        if named || targets.iter().any(|target| http.has(target)) {
            findings.push(router.node.warning(
                "traefik-tcp-router",
                "this router passes bytes on to a service whose requests are checked elsewhere: here they are not",
                "make it a router of HTTP with the check",
            ));
        }
    }
    for Open { container, node, port } in &model.compose.open {
        let address = port.as_ref().map_or_else(|| container.clone(), |port| format!("{container}:{port}"));
        if http.has(&address) {
            findings.push(node.warning(
                "traefik-port-published",
                "the container of a service is open beside Traefik: requests that come to its own port are not checked",
                "leave it out: Traefik reaches the container on their network; or open it for this machine alone, as \
                 `127.0.0.1:8080:80`",
            ));
        }
    }
}

/// Services of Kubernetes that clients reach at a port of their own.
fn published(model: &Model<'_>, findings: &mut Vec<Diagnostic>) {
    for (name, node) in &model.published {
        if model.routers.iter().any(|router| router.leads_to(name)) {
            findings.push(node.warning(
                "traefik-port-published",
                "this service is open beside Traefik: requests that come to its own port are not checked",
                "set `type: ClusterIP`: Traefik reaches it within the cluster",
            ));
        }
    }
}

/// Where a router of TCP leads to.
fn targets(model: &Model<'_>, router: &Tcp<'_>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut known = false;
    for (name, container, addresses) in &model.tcp_services {
        let named = router.services.iter().any(|wanted| wanted.split('@').next() == Some(name));
        let implied = router.services.is_empty() && !router.container.is_empty() && *container == router.container;
        if named || implied {
            known |= !addresses.is_empty();
            found.extend(addresses.iter().cloned());
        }
    }
    // without a service of its own Traefik makes one for the container
    if !known && !router.container.is_empty() {
        found.push(router.container.clone());
    }
    found
}
