//! Filters of connections: what reads or passes on bytes beside HTTP. Those that are not known may lead to a service.

use serde_json::Value;

use crate::envoy::is_manager;
use crate::envoy::others::kind;
use crate::node::{Node, mentions};
use crate::{NOT_CHECKED, is_of_this_machine};
use palisade_engine::model::Diagnostic;

/// Filters that lead to no service by themselves, or that are looked at elsewhere.
const NETWORK: &[&str] = &[
    "client_ssl_auth",
    "connection_limit",
    "direct_response",
    "echo",
    "ext_authz",
    "geoip",
    "http_connection_manager",
    "local_ratelimit",
    "mongo_proxy",
    "mysql_proxy",
    "postgres_proxy",
    "ratelimit",
    "rbac",
    "set_filter_state",
    "tcp_proxy",
    "zookeeper_proxy",
];

/// Filters of listeners that only look at how a connection begins.
const LISTENER: &[&str] =
    &["http_inspector", "local_ratelimit", "original_dst", "original_src", "proxy_protocol", "tls_inspector"];

/// Proxies in front, where the sidecar is asked over gRPC: it gets the address of the connection then, whatever Envoy makes of
/// `X-Forwarded-For`.
pub(super) fn behind_proxies(manager: &Node<'_>, root: &Node<'_>, grpc: bool, findings: &mut Vec<Diagnostic>) {
    let hops = manager.get("xff_num_trusted_hops").filter(|hops| hops.value.as_u64() != Some(0));
    let Some(says) = hops.or_else(|| manager.get("original_ip_detection_extensions")).filter(|_| grpc) else { return };
    // by PROXY protocol the connection itself has the client's address
    let is_told = |listener: &Node<'_>| {
        listener.list("listener_filters").iter().any(|filter| kind(filter, ".listener.") == "proxy_protocol")
    };
    if root.all(&|value| value.get("listener_filters").is_some()).iter().any(is_told) {
        return;
    }
    findings.push(says.warning(
        "envoy-trusts-everybody",
        "there are proxies in front, and over gRPC the sidecar gets the address of the connection: to rules about `{peer.ip}` all \
         clients are the proxy",
        "let the proxies speak PROXY protocol to the listener filter `proxy_protocol`, or let no route read `{peer.ip}`",
    ));
}

pub(super) fn lint(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let chains = |value: &Value| ["filter_chains", "default_filter_chain"].iter().any(|key| value.get(key).is_some());
    for listener in root.all(&chains) {
        for chain in listener.list("filter_chains").into_iter().chain(listener.get("default_filter_chain")) {
            for filter in chain.list("filters") {
                let manager = filter.get("typed_config").is_some_and(|config| is_manager(config.value));
                if !manager && !NETWORK.contains(&kind(&filter, ".network.")) {
                    not_known(&filter, findings);
                }
            }
        }
    }
    for listener in root.all(&|value| value.get("listener_filters").is_some_and(Value::is_array)) {
        for filter in listener.list("listener_filters") {
            if !LISTENER.contains(&kind(&filter, ".listener.")) {
                not_known(&filter, findings);
            }
            if kind(&filter, ".listener.") == "proxy_protocol" && is_open(&listener) {
                findings.push(filter.warning(
                    "envoy-trusts-everybody",
                    "any client says itself by PROXY protocol which address it has, and the sidecar believes it",
                    "name the proxies in front in `direct_source_prefix_ranges` of each filter chain",
                ));
            }
        }
    }
}

/// Whether clients reach a listener themselves: it is no address of this machine, and its chains name no networks in front.
fn is_open(listener: &Node<'_>) -> bool {
    let address = listener.way(&["address", "socket_address"]).map(|socket| socket.text("address")).unwrap_or_default();
    let pipe = listener.way(&["address", "pipe"]).is_some();
    let ranges = |chain: &Node<'_>| {
        let named =
            chain.get("filter_chain_match").map(|when| when.list("direct_source_prefix_ranges")).unwrap_or_default();
        let size = |range: &Node<'_>| range.value.get("prefix_len").and_then(Value::as_u64).unwrap_or(0);
        !named.is_empty() && named.iter().all(|range| size(range) >= 8)
    };
    let by_filter = |chain: &Node<'_>| {
        let rules = chain.list("filters").into_iter().find(|filter| kind(filter, ".network.") == "rbac");
        rules.is_some_and(|rules| mentions(rules.value, "direct_remote_ip"))
    };
    let chains: Vec<Node<'_>> =
        listener.list("filter_chains").into_iter().chain(listener.get("default_filter_chain")).collect();
    let all_named = !chains.is_empty() && chains.iter().all(|chain| ranges(chain) || by_filter(chain));
    !pipe && !is_of_this_machine(address) && !all_named
}

/// Reports a filter, unless Envoy reads it from elsewhere: that is reported where it is named.
fn not_known(filter: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    if filter.get("config_discovery").is_none() {
        findings.push(filter.warning(
            NOT_CHECKED,
            format!("where the filter `{}` leads to is not known here", filter.text("name")),
            "see that it passes nothing on to a service whose requests are checked elsewhere",
        ));
    }
}
