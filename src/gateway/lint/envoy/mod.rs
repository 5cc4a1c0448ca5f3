//! Envoy with `ext_authz`.

mod filter;
mod node;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::config::yaml;
use crate::domain::Diagnostic;
use crate::gateway::lint::File;
use crate::gateway::place::{Place, located};
use node::{Node, mentions};

/// Where Envoy tells of its client's certificate.
const CERTIFICATE: &str = "x-forwarded-client-cert";

/// One of these is in everything that Envoy reads listeners from.
const KNOWN: &[&str] =
    &["static_resources", "dynamic_resources", "listeners", "filter_chains", "http_filters", "resources"];

pub(super) fn lint(file: &mut File<'_>) {
    let document = match yaml::parse(file.text) {
        Ok(document) => document,
        Err(error) => {
            let problem = Diagnostic::error(file.origin, error.message);
            file.findings.push(match error.line {
                Some(line) => located(problem, file.text, line),
                None => problem,
            });
            return;
        }
    };
    let root = Node { value: &document.value, place: Place::root(file.origin, file.text, document.lines) };
    if !KNOWN.iter().any(|key| mentions(root.value, key)) {
        let what =
            "not a configuration of Envoy: there are neither `static_resources` nor listeners nor `http_filters`";
        file.findings.push(located(Diagnostic::error(file.origin, what), file.text, 1));
        return;
    }
    let managers = root.all(&is_manager);
    if !managers.iter().any(|manager| filters(manager).iter().any(is_check)) {
        let elsewhere = ["dynamic_resources", "rds", "config_discovery"].iter().any(|key| mentions(root.value, key));
        let unless = if elsewhere { ", unless what Envoy reads from elsewhere does" } else { "" };
        file.warn(
            None,
            &format!("there is no `ext_authz`, so nothing asks the sidecar{unless}"),
            "add the filter `envoy.filters.http.ext_authz`",
        );
        return;
    }
    for manager in &managers {
        listener(manager, &root, &mut file.findings);
    }
    lines(file);
    certificates(file);
}

/// Whether a node is what reads HTTP in a listener.
fn is_manager(value: &Value) -> bool {
    let kind = value.get("@type").and_then(Value::as_str).unwrap_or_default();
    value.get("http_filters").is_some_and(Value::is_array) || kind.ends_with(".HttpConnectionManager")
}

fn filters<'d>(manager: &Node<'d>) -> Vec<Node<'d>> {
    manager.get("http_filters").map(|filters| filters.items()).unwrap_or_default()
}

fn is_kind(filter: &Node<'_>, name: &str, kind: &str) -> bool {
    let typed = filter.get("typed_config");
    filter.text("name") == name || typed.is_some_and(|typed| typed.text("@type").ends_with(kind))
}

fn is_check(filter: &Node<'_>) -> bool {
    is_kind(filter, "envoy.filters.http.ext_authz", ".ExtAuthz")
}

/// Whether all that a listener does is answer, as one does that sends its clients to HTTPS.
fn only_answers(manager: &Node<'_>) -> bool {
    manager.get("route_config").is_some_and(|routes| {
        routes.all(&|value| value.get("route").is_some()).is_empty() && mentions(routes.value, "virtual_hosts")
    })
}

/// What reads the requests of a listener: whether it asks the sidecar about them, and sends them on as they were asked
/// about.
fn listener(manager: &Node<'_>, root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let filters = filters(manager);
    let Some((at, check)) = filters.iter().enumerate().find(|(_, filter)| is_check(filter)) else {
        if !only_answers(manager) {
            findings.push(manager.warning(
                "there is no `ext_authz` among the filters of this listener, so its requests are not checked",
                "add the filter `envoy.filters.http.ext_authz` in front of the router",
            ));
        }
        return;
    };
    if filters[..at].iter().any(|filter| is_kind(filter, "envoy.filters.http.router", ".Router")) {
        findings.push(check.warning(
            "the filter stands behind the router, so requests are not checked",
            "put it in front of `envoy.filters.http.router`",
        ));
    }
    for (key, value, message, help) in [
        (
            &["normalize_path"][..],
            &[Value::Bool(true)][..],
            "dot segments reach the route table of Envoy as they were sent",
            "set `normalize_path: true`",
        ),
        (
            &["merge_slashes"],
            &[Value::Bool(true)],
            "`//` reaches the route table of Envoy as it was sent",
            "set `merge_slashes: true`",
        ),
        (
            &["path_with_escaped_slashes_action"],
            &[Value::from("REJECT_REQUEST")],
            "encoded slashes are passed on",
            "set `path_with_escaped_slashes_action: REJECT_REQUEST`",
        ),
        (
            &["common_http_protocol_options", "headers_with_underscores_action"],
            &[Value::from("DROP_HEADER"), Value::from("REJECT_REQUEST")],
            "the underscore twin of an identity header (`x_palisade_principal`) reaches the service",
            "set `common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }`",
        ),
    ] {
        if !manager.way(key).is_some_and(|set| value.contains(set.value)) {
            findings.push(check.warning(message, help));
        }
    }
    if let Some(config) = check.get("typed_config") {
        if filter::looks_like_grpc(&config) && passes_grpc(manager) {
            findings.push(check.warning(
                "a gRPC call passes while the sidecar hangs or is gone: Envoy's own answer to such a check is a 200",
                "put `- match: {prefix: \"/\", grpc: {}}` with `direct_response: {status: 415}` first among the routes, or \
                 ask over gRPC",
            ));
        }
        filter::lint(&config, root, findings);
    }
}

/// Whether a virtual host of a listener has a route to a service before the one that takes all gRPC.
fn passes_grpc(manager: &Node<'_>) -> bool {
    let hosts = manager.way(&["route_config", "virtual_hosts"]).map(|hosts| hosts.items()).unwrap_or_default();
    hosts.iter().any(|host| {
        let routes = host.get("routes").map(|routes| routes.items()).unwrap_or_default();
        let stops = |route: &Node<'_>| {
            let all = route.way(&["match", "prefix"]).is_some_and(|prefix| prefix.value == "/");
            all && route.way(&["match", "grpc"]).is_some() && route.get("direct_response").is_some()
        };
        routes.iter().take_while(|route| !stops(route)).any(|route| route.get("route").is_some())
    })
}

/// What is wrong wherever it stands.
fn lines(file: &mut File<'_>) {
    for (line, text) in file.lines().collect::<Vec<_>>() {
        let says = |key: &str, value: &str| {
            text.split_once(key).is_some_and(|(_, rest)| rest.trim_start_matches(['"', ':', ' ']).starts_with(value))
        };
        if says("failure_mode_allow", "true") {
            file.warn(
                Some(line),
                "requests pass unchecked while the sidecar is down, slow or answers 5xx",
                "set `failure_mode_allow: false`",
            );
        }
        if says("allow_partial_message", "true") {
            file.warn(
                Some(line),
                "the sidecar gets a part of large bodies, and refuses routes that read them",
                "set `allow_partial_message: false`, so that Envoy answers 413",
            );
        }
        if says("clear_route_cache", "true") {
            file.warn(
                Some(line),
                "the route is chosen again after the check, so another service may get the request",
                "leave `clear_route_cache` out",
            );
        }
        if says("disabled", "true") {
            file.warn(
                Some(line),
                "a route without the check: with a path that is not normalised, `/open/../x` takes it",
                "make the route `public: true` in the route file instead",
            );
        }
        if ["FORWARD_ONLY", "APPEND_FORWARD"].iter().any(|word| text.contains(word)) {
            file.warn(
                Some(line),
                "what a client says of its certificate is passed on, as if Envoy had seen it",
                "set `forward_client_cert_details: SANITIZE_SET`",
            );
        }
        let listed = ["allowed_headers", "exact:", "prefix:"].iter().any(|word| text.contains(word));
        if text.contains(CERTIFICATE) && listed && !file.has("SANITIZE_SET") {
            file.warn(
                Some(line),
                "Envoy takes the header of the certificate away, or passes a client's own on",
                "set `forward_client_cert_details: SANITIZE_SET`",
            );
        }
        if text.contains("prefix_rewrite") || text.contains("regex_rewrite") || text.contains("path_rewrite_policy") {
            file.warn(
                Some(line),
                "the service gets another path than was checked",
                "let the service have the path as it was sent, or name the rewritten one in the routes",
            );
        }
    }
}

/// What is told of the client's certificate.
fn certificates(file: &mut File<'_>) {
    if file.has("SANITIZE_SET") && !file.has("uri: true") {
        file.warn(
            file.find("SANITIZE_SET"),
            "the header of the certificate has no name in it, so nobody is known by one",
            "set `set_current_client_cert_details: {uri: true}`",
        );
    }
    if file.has("SANITIZE_SET") && file.has("dns: true") {
        file.warn(
            file.find("dns: true"),
            "a URI with a DNS name behind it is refused, because it could go on there",
            "leave `dns: true` out",
        );
    }
}
