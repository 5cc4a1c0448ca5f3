//! The filter that asks the sidecar.

use std::collections::HashSet;

use serde_json::Value;

use crate::envoy::mutations;
use crate::envoy::services::{GRPC, HTTP, Services};
use crate::envoy::shown::{added, allowed, hidden, shows};
use crate::node::{Node, mentions};
use crate::{DEADLINE, IDENTITY, headers, is_identity};
use palisade_engine::model::Diagnostic;

/// What is wrong in `config`, the `typed_config` of the filter, in the document `root`.
pub(super) fn lint(config: &Node<'_>, root: &Node<'_>, services: &Services<'_>, findings: &mut Vec<Diagnostic>) {
    switched_off(config, findings);
    if is_lowered(config, root) {
        findings.push(config.get("filter_enabled").unwrap_or_else(|| config.clone()).warning(
            "envoy-filter-enabled",
            "the runtime in this file lowers the share, and the rest of the requests passes unchecked",
            "leave `filter_enabled` out",
        ));
    }
    if let Some(clear) = config.get("clear_route_cache").filter(|_| config.is_true("clear_route_cache")) {
        findings.push(clear.warning(
            "envoy-clear-route-cache",
            "the route is chosen again after the check, so another service may get the request",
            "leave `clear_route_cache` out",
        ));
    }
    if !config.is_true("validate_mutations") {
        let message = "header values of the sidecar are not validated";
        findings.push(config.warning("envoy-validate-mutations", message, "set `validate_mutations: true`"));
    }
    mutations::ignored(config, findings);
    if config.get("grpc_service").is_none() && config.get("http_service").is_none() {
        findings.push(config.warning(
            "envoy-wrong-address",
            "the filter names no service, so it does not ask the sidecar",
            "set `grpc_service` or `http_service`",
        ));
    }
    if let Some(service) = config.get("grpc_service") {
        grpc(config, &service, root, services, findings);
    }
    if let Some(service) = config.get("http_service") {
        http(config, &service, root, services, findings);
    }
    if let Some(headers) = config.get("disallowed_headers") {
        hidden(&headers, findings);
    }
    for headers in
        [config.get("allowed_headers"), config.way(&["http_service", "authorization_request", "allowed_headers"])]
            .into_iter()
            .flatten()
    {
        allowed(&headers, findings);
    }
}

/// What lets requests pass unchecked, in the filter itself and in what a route sets for it.
pub(super) fn switched_off(config: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let settings = config.get("check_settings");
    for config in [Some(config), settings.as_ref()].into_iter().flatten() {
        if let Some(open) = config.get("failure_mode_allow").filter(|_| config.is_true("failure_mode_allow")) {
            findings.push(open.warning(
                "envoy-failure-mode-allow",
                "requests pass unchecked while the sidecar is down, slow or answers 5xx",
                "set `failure_mode_allow: false`",
            ));
        }
        let body = config.get("with_request_body");
        if let Some(part) = body.filter(|body| body.is_true("allow_partial_message")) {
            findings.push(part.get("allow_partial_message").unwrap_or(part).warning(
                "envoy-partial-body",
                "the sidecar gets a part of large bodies, and refuses routes that read them",
                "set `allow_partial_message: false`, so that Envoy answers 413",
            ));
        }
    }
    // what is not checked by chance may be refused instead
    if config.way(&["deny_at_disable", "default_value"]).is_some_and(|deny| *deny.value == Value::Bool(true)) {
        return;
    }
    if let Some(share) = config.get("filter_enabled").filter(|share| !is_everything(share)) {
        findings.push(share.warning(
            "envoy-filter-enabled",
            "the rest of the requests passes unchecked",
            "leave `filter_enabled` out, or set `numerator: 100` with `denominator: HUNDRED`",
        ));
    }
    if let Some(metadata) = config.get("filter_enabled_metadata") {
        findings.push(metadata.warning(
            "envoy-filter-enabled",
            "what these metadata do not match passes unchecked",
            "leave `filter_enabled_metadata` out",
        ));
    }
}

/// Whether a fraction is 100 %.
fn is_everything(share: &Node<'_>) -> bool {
    let value = share.get("default_value");
    let numerator = value.as_ref().and_then(|value| value.get("numerator")).and_then(|n| n.value.as_u64()).unwrap_or(0);
    let whole = match value.as_ref().map(|value| value.text("denominator")) {
        Some("TEN_THOUSAND") => 10_000,
        Some("MILLION") => 1_000_000,
        _ => 100,
    };
    numerator >= whole
}

/// Whether the runtime of this very file lowers the share.
fn is_lowered(config: &Node<'_>, root: &Node<'_>) -> bool {
    let Some(key) = config.way(&["filter_enabled", "runtime_key"]).and_then(|key| key.value.as_str()) else {
        return false;
    };
    // a name with dots may be written as tables in one another
    let tables = format!("/{}", key.replace('.', "/"));
    let layers = root.way(&["layered_runtime", "layers"]).map(|layers| layers.items()).unwrap_or_default();
    layers.iter().filter_map(|layer| layer.get("static_layer")).any(|layer| {
        let set = layer.value.get(key).or_else(|| layer.value.pointer(&tables));
        set.is_some_and(|set| set.as_u64().or_else(|| set.get("numerator")?.as_u64()).is_none_or(|share| share < 100))
    })
}

fn grpc(
    config: &Node<'_>,
    service: &Node<'_>,
    root: &Node<'_>,
    services: &Services<'_>,
    findings: &mut Vec<Diagnostic>,
) {
    match service.get("timeout") {
        None => findings.push(config.warning(
            "envoy-timeout",
            "a check has 200 ms and no more, and a late one is a failure",
            "set `timeout: 0.5s` at the `grpc_service`",
        )),
        Some(timeout) => patience(&timeout, findings),
    }
    if !config.is_true("encode_raw_headers") {
        findings.push(config.warning(
            "envoy-raw-headers",
            "the sidecar sees headers joined and with bytes replaced, not as the service gets them",
            "set `encode_raw_headers: true`",
        ));
    }
    if let Some(headers) = config.get("allowed_headers") {
        findings.push(headers.warning(
            "envoy-hidden-headers",
            "over gRPC this hides headers from the sidecar, which refuses twins of its own (`x_palisade_principal`) only \
             where it sees them",
            "leave `allowed_headers` out, so that it sees all headers",
        ));
    }
    if let Some(body) = config.get("with_request_body").filter(|body| !body.is_true("pack_as_bytes")) {
        findings.push(body.warning(
            "envoy-body-bytes",
            "a body that is no UTF-8 is changed on the way to the sidecar",
            "set `pack_as_bytes: true`",
        ));
    }
    let Some(named) = service.way(&["envoy_grpc", "cluster_name"]) else { return };
    let cluster = services.asked(&named, root, &GRPC, findings);
    if let Some(cluster) = cluster.filter(|cluster| !mentions(cluster.value, "http2_protocol_options")) {
        findings.push(cluster.warning(
            "envoy-cluster-http2",
            "gRPC needs HTTP/2, so no check ever reaches the sidecar through this cluster",
            "set `explicit_http_config: {http2_protocol_options: {}}` in its `typed_extension_protocol_options`",
        ));
    }
}

/// What a route sets in the place of the filter's own service. Each cluster is looked at once.
pub(super) fn of_route<'d>(
    config: &Node<'d>,
    root: &Node<'d>,
    services: &Services<'_>,
    seen: &mut HashSet<&'d str>,
    findings: &mut Vec<Diagnostic>,
) {
    let Some(settings) = config.get("check_settings") else { return };
    if let Some(service) = settings.get("http_service") {
        prefix(&service, findings);
        answers(&settings, &service, findings);
        added(&service, findings);
    }
    for (way, ports) in [
        (&["http_service", "server_uri", "cluster"][..], &HTTP),
        (&["grpc_service", "envoy_grpc", "cluster_name"], &GRPC),
    ] {
        let named = settings.way(way).filter(|named| named.value.as_str().is_some_and(|name| seen.insert(name)));
        if let Some(named) = named {
            services.asked(&named, root, ports, findings);
        }
    }
}

/// The path at which the sidecar is asked.
fn prefix(service: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    match service.get("path_prefix") {
        Some(prefix) if prefix.value == "/gateway/envoy" => {}
        prefix => {
            let at = prefix.unwrap_or_else(|| service.clone());
            findings.push(at.warning(
                "envoy-wrong-address",
                "the sidecar answers Envoy at `/gateway/envoy` alone",
                "set `path_prefix: /gateway/envoy`, without a `/` at the end",
            ));
        }
    }
}

fn http(
    config: &Node<'_>,
    service: &Node<'_>,
    root: &Node<'_>,
    services: &Services<'_>,
    findings: &mut Vec<Diagnostic>,
) {
    prefix(service, findings);
    added(service, findings);
    if let Some(timeout) = service.way(&["server_uri", "timeout"]) {
        patience(&timeout, findings);
    }
    if let Some(body) = config.get("with_request_body") {
        let patterns = config.way(&["allowed_headers", "patterns"]);
        let told = patterns.is_some_and(|patterns| {
            patterns.items().iter().any(|pattern| pattern.text("exact").eq_ignore_ascii_case("content-encoding"))
        });
        if !told {
            findings.push(body.warning(
                "envoy-body-encoding",
                "the sidecar gets the body, and does not see whether it is compressed",
                "add `{exact: content-encoding, ignore_case: true}` to `allowed_headers`",
            ));
        }
    }
    let listed = [config.get("allowed_headers"), service.way(&["authorization_request", "allowed_headers"])];
    shows(config, &listed.into_iter().flatten().collect::<Vec<_>>(), findings);
    answers(config, service, findings);
    if let Some(named) = service.way(&["server_uri", "cluster"]) {
        services.asked(&named, root, &HTTP, findings);
    }
}

/// What of the sidecar's answer reaches the service.
fn answers(config: &Node<'_>, service: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for appended in service
        .way(&["authorization_response", "allowed_upstream_headers_to_append"])
        .iter()
        .flat_map(|list| list.list("patterns"))
    {
        if is_identity(appended.text("exact")) || !appended.text("prefix").is_empty() {
            findings.push(appended.warning(
                "envoy-identity-headers",
                "the sidecar's header is added to the client's own, and the service may read either",
                "list it in `allowed_upstream_headers`",
            ));
        }
    }
    of_body(service, findings);
    match service.way(&["authorization_response", "allowed_upstream_headers"]) {
        None => findings.push(config.warning(
            "envoy-identity-headers",
            "identity headers of the sidecar do not reach the service, and the client's own do",
            "list them in `allowed_upstream_headers`",
        )),
        Some(allowed) => {
            let patterns = allowed.get("patterns").map(|patterns| patterns.items()).unwrap_or_default();
            for name in IDENTITY.map(str::to_ascii_lowercase) {
                let passes = |pattern: &Node<'_>| {
                    let prefix = pattern.text("prefix");
                    pattern.text("exact").eq_ignore_ascii_case(&name)
                        || (!prefix.is_empty() && name.starts_with(&prefix.to_ascii_lowercase()))
                };
                if !patterns.iter().any(passes) {
                    findings.push(allowed.warning(
                        "envoy-identity-headers",
                        format!("`{name}` of the sidecar does not reach the service, and a client's own does"),
                        format!("add `{{exact: {name}}}`"),
                    ));
                }
            }
        }
    }
}

/// What says how a body is read, and is taken from the sidecar's answer: its length is that of another body.
fn of_body(service: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for key in ["allowed_upstream_headers", "allowed_upstream_headers_to_append"] {
        let list = service.way(&["authorization_response", key]);
        for pattern in list.iter().flat_map(|list| list.list("patterns")) {
            if let Some(name) = headers::BODY.into_iter().find(|name| mutations::matches_name(&pattern, name)) {
                findings.push(pattern.warning(
                    "envoy-content-type-changed",
                    headers::body_changed(name),
                    "name each header that the service is to get, with `exact`",
                ));
            }
        }
    }
}

/// Warns of a timeout that is over before the sidecar has answered.
fn patience(timeout: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let seconds = timeout.value.as_str().and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
    if seconds.is_some_and(|seconds| seconds <= DEADLINE.as_secs_f64()) {
        findings.push(timeout.warning(
            "envoy-timeout",
            "Envoy gives up before the sidecar does: `gateway.deadline` is 100 ms unless it was changed",
            "set `timeout: 0.5s`",
        ));
    }
}
