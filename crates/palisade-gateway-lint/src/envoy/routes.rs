//! What routes of Envoy change after the check, and where they go around it.

use std::collections::HashSet;

use serde_json::Value;

use crate::envoy::canonical;
use crate::envoy::filter;
use crate::envoy::services::Services;
use crate::node::Node;
use palisade_engine::model::Diagnostic;

/// What is wrong in any routes below `root`, where the filters that ask the sidecar have these names.
pub(super) fn lint(root: &Node<'_>, names: &[String], services: &Services<'_>, findings: &mut Vec<Diagnostic>) {
    for route in root.all(&|value| value.get("match").is_some_and(Value::is_object)) {
        if let Some(connect) = route.way(&["match", "connect_matcher"]).filter(|_| route.get("route").is_some()) {
            findings.push(connect.warning(
                "envoy-upgrade",
                "`CONNECT` opens a tunnel, and the sidecar is never asked about the requests inside of it",
                "leave this route out",
            ));
        }
        let Some(action) = route.get("route") else { continue };
        for key in ["prefix_rewrite", "regex_rewrite", "path_rewrite", "path_rewrite_policy"] {
            if let Some(rewrite) = action.get(key) {
                findings.push(rewrite.warning(
                    "envoy-path-rewritten",
                    "the service gets another path than was checked",
                    "let the service have the path as it was sent, or name the rewritten one in the routes",
                ));
            }
        }
        for config in action.list("upgrade_configs") {
            upgrade(&config, findings);
        }
    }
    overrides(root, names, services, findings);
    tunnels(root, services, findings);
}

/// An upgrade to anything but a WebSocket.
pub(super) fn upgrade(config: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let kind = config.text("upgrade_type");
    if !kind.eq_ignore_ascii_case("websocket") && config.value.get("enabled") != Some(&Value::Bool(false)) {
        findings.push(config.warning(
            "envoy-upgrade",
            format!(
                "an upgrade to `{kind}` opens a tunnel, and the sidecar is never asked about the requests inside of it"
            ),
            "upgrade to `websocket` alone",
        ));
    }
}

/// Settings of the check for one route.
fn overrides(root: &Node<'_>, names: &[String], services: &Services<'_>, findings: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    for owner in root.all(&|value| value.get("typed_per_filter_config").is_some()) {
        let answers = owner.get("match").is_some() && owner.get("route").is_none();
        let Some(filters) = owner.get("typed_per_filter_config").filter(|_| !answers) else { continue };
        for (name, config) in filters.members() {
            let typed = |config: &Node<'_>| config.text("@type").ends_with(".ExtAuthzPerRoute");
            let inner = config.get("config");
            let ours = name == "envoy.filters.http.ext_authz"
                || names.contains(&canonical(name))
                || typed(&config)
                || inner.as_ref().is_some_and(typed);
            if !ours {
                continue;
            }
            for config in [Some(config), inner].into_iter().flatten() {
                if let Some(disabled) = config.get("disabled").filter(|_| config.is_true("disabled")) {
                    findings.push(disabled.warning(
                        "envoy-route-unchecked",
                        "a route without the check: with a path that is not normalised, `/open/../x` takes it",
                        "make the route `public: true` in the route file instead",
                    ));
                }
                filter::switched_off(&config, findings);
                filter::of_route(&config, root, services, &mut seen, findings);
            }
        }
    }
}

/// The clusters that the routes below a node lead to.
pub(super) fn clusters<'d>(root: &Node<'d>) -> Vec<&'d str> {
    let actions = root.all(&|value| value.get("match").is_some()).into_iter().filter_map(|route| route.get("route"));
    actions
        .flat_map(|action| {
            let weighted = action.way(&["weighted_clusters", "clusters"]).map(|list| list.items()).unwrap_or_default();
            weighted.iter().map(|one| one.text("name")).chain([action.text("cluster")]).collect::<Vec<_>>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// Listeners that pass bytes on to a service that another one checks.
fn tunnels(root: &Node<'_>, services: &Services<'_>, findings: &mut Vec<Diagnostic>) {
    for proxy in
        root.all(&|value| value.get("@type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with(".TcpProxy")))
    {
        let weighted = proxy.way(&["weighted_clusters", "clusters"]).map(|list| list.items()).unwrap_or_default();
        if weighted
            .iter()
            .map(|one| one.text("name"))
            .chain([proxy.text("cluster")])
            .any(|name| services.is_one(root, name))
        {
            findings.push(proxy.warning(
                "envoy-tcp-proxy",
                "this listener passes bytes on to a service whose requests are checked elsewhere: here they are not",
                "read HTTP here too, with `ext_authz`, or keep clients away from this listener",
            ));
        }
    }
}

/// Whether a virtual host of a listener has a route to a service before the one that takes all gRPC.
pub(super) fn passes_grpc(manager: &Node<'_>) -> bool {
    let hosts = manager.way(&["route_config", "virtual_hosts"]).map(|hosts| hosts.items()).unwrap_or_default();
    hosts.iter().any(|host| {
        let stops = |route: &Node<'_>| {
            let Some(when) = route.get("match") else { return false };
            let all = when.get("prefix").is_some_and(|prefix| prefix.value == "/");
            let alone = ["query_parameters", "runtime_fraction", "tls_context", "dynamic_metadata"];
            let headers = when.list("headers");
            let takes = match &headers[..] {
                [] => when.get("grpc").is_some(),
                [header] => takes_grpc(header),
                _ => false,
            };
            all && takes && !alone.iter().any(|key| when.get(key).is_some()) && route.get("direct_response").is_some()
        };
        host.list("routes").iter().take_while(|route| !stops(route)).any(|route| route.get("route").is_some())
    })
}

/// Whether a condition on a header holds for all that Envoy takes for gRPC.
fn takes_grpc(header: &Node<'_>) -> bool {
    let prefix = header.way(&["string_match", "prefix"]).or_else(|| header.get("prefix_match"));
    header.text("name").eq_ignore_ascii_case("content-type")
        && !header.is_true("invert_match")
        && prefix.and_then(|prefix| prefix.value.as_str()).is_some_and(|prefix| "application/grpc".starts_with(prefix))
}
