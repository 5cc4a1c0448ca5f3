//! Where services are, and whether one of them answers checks.

use std::collections::HashSet;

use serde_json::Value;

use crate::answers::{self, normal};
use crate::node::Node;
use palisade_engine::model::Diagnostic;

/// The listener that answers a kind of check, and those that do not.
pub(super) struct Ports {
    right: &'static str,
    wrong: [(u64, &'static str); 2],
}

/// Checks over gRPC.
pub(super) const GRPC: Ports =
    Ports { right: "9191", wrong: [(8180, "the decision listener"), (8181, "the admin listener")] };

/// Checks over HTTP.
pub(super) const HTTP: Ports =
    Ports { right: "8180", wrong: [(8181, "the admin listener"), (9191, "the listener for gRPC")] };

/// Where services are: whatever else answers the check must not be one of them.
pub(super) struct Services<'d> {
    clusters: HashSet<&'d str>,
    addresses: HashSet<String>,
}

// === impl Services ===

impl<'d> Services<'d> {
    pub(super) fn read(root: &Node<'d>, clusters: HashSet<&'d str>) -> Self {
        let all = root.way(&["static_resources", "clusters"]).map(|list| list.items()).unwrap_or_default();
        let services = all.iter().filter(|cluster| clusters.contains(cluster.text("name")));
        let addresses = services.flat_map(addresses).map(|address| normal(&address)).collect();
        Self { clusters, addresses }
    }

    /// Whether a cluster is that of a service, by its name or by an address in it.
    pub(super) fn is_one(&self, root: &Node<'_>, name: &str) -> bool {
        let all = root.way(&["static_resources", "clusters"]).map(|list| list.items()).unwrap_or_default();
        let mut named = all.iter().filter(|cluster| cluster.text("name") == name).flat_map(addresses);
        self.clusters.contains(name) || named.any(|address| self.addresses.contains(&normal(&address)))
    }

    /// Looks at a cluster that is asked, and gives it where it is in this file.
    pub(super) fn asked(
        &self,
        named: &Node<'_>,
        root: &Node<'d>,
        ports: &Ports,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Node<'d>> {
        let cluster = cluster(root, named);
        self.answer(named, cluster.as_ref(), findings);
        if let Some(cluster) = &cluster {
            port(cluster, ports, findings);
        }
        cluster
    }

    /// Reports a cluster that answers checks if it is the cluster of a service, or has its address.
    fn answer(&self, named: &Node<'_>, cluster: Option<&Node<'_>>, findings: &mut Vec<Diagnostic>) {
        let name = named.value.as_str().unwrap_or_default();
        let found = cluster.map(addresses).unwrap_or_default();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        let wrong = answers::wrong(&found, &self.addresses).or_else(|| {
            let own =
                self.clusters.contains(name) && !found.iter().any(|to| to.ends_with(":8180") || to.ends_with(":9191"));
            own.then(|| format!("the cluster `{name}` of a service answers checks: each 2xx of it lets a request pass"))
        });
        if let Some(wrong) = wrong {
            findings.push(named.warning("envoy-wrong-address", wrong, "name a cluster of sidecars alone"));
        }
    }
}

/// The addresses of a cluster.
fn addresses(cluster: &Node<'_>) -> Vec<String> {
    let all = cluster.all(&|value| value.get("socket_address").is_some() || value.get("pipe").is_some());
    all.iter()
        .filter_map(|node| match node.get("socket_address") {
            Some(socket) => {
                let port = socket.get("port_value").map(|port| port.value.to_string()).unwrap_or_default();
                Some(format!("{}:{port}", socket.text("address")))
            }
            None => node.get("pipe").map(|pipe| pipe.text("path").to_owned()),
        })
        .collect()
}

/// The cluster of a name, if it is in this file.
fn cluster<'d>(root: &Node<'d>, name: &Node<'_>) -> Option<Node<'d>> {
    let clusters = root.way(&["static_resources", "clusters"])?;
    clusters.items().into_iter().find(|cluster| cluster.value.get("name") == Some(name.value))
}

fn port(cluster: &Node<'_>, Ports { right, wrong }: &Ports, findings: &mut Vec<Diagnostic>) {
    for address in cluster.all(&|value| value.get("port_value").is_some()) {
        let port = address.value.get("port_value").and_then(Value::as_u64);
        if let Some((port, listener)) = wrong.iter().find(|(wrong, _)| Some(*wrong) == port) {
            findings.push(address.warning(
                "envoy-wrong-address",
                format!("port {port} is {listener} unless it was changed, and does not answer such checks"),
                format!("name the listener that does: `port_value: {right}`"),
            ));
        }
    }
}
