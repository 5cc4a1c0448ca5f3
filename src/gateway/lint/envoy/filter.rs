//! The filter that asks the sidecar.

use serde_json::Value;

use crate::domain::Diagnostic;
use crate::gateway::lint::envoy::node::{Node, mentions};
use crate::gateway::lint::{DEADLINE, IDENTITY};

/// Shows the sidecar every `X-...` header, with the names that some services take for one.
const TWINS: &str = "x[^a-z0-9].*";

/// What is wrong in `config`, the `typed_config` of the filter, in the document `root`.
pub(super) fn lint(config: &Node<'_>, root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    if let Some(service) = config.get("grpc_service") {
        grpc(config, &service, root, findings);
    }
    if let Some(service) = config.get("http_service") {
        http(config, &service, root, findings);
    }
    for headers in
        [config.get("allowed_headers"), config.way(&["http_service", "authorization_request", "allowed_headers"])]
            .into_iter()
            .flatten()
    {
        allowed(&headers, findings);
    }
}

fn grpc(config: &Node<'_>, service: &Node<'_>, root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    match service.get("timeout") {
        None => findings.push(config.warning(
            "a check has 200 ms and no more, and a late one is a failure",
            "set `timeout: 0.5s` at the `grpc_service`",
        )),
        Some(timeout) => patience(&timeout, findings),
    }
    if !config.is_true("validate_mutations") {
        let message = "header values of the sidecar are not validated";
        findings.push(config.warning(message, "set `validate_mutations: true`"));
    }
    if !config.is_true("encode_raw_headers") {
        findings.push(config.warning(
            "the sidecar sees headers joined and with bytes replaced, not as the service gets them",
            "set `encode_raw_headers: true`",
        ));
    }
    if let Some(headers) = config.get("allowed_headers") {
        findings.push(headers.warning(
            "over gRPC this hides headers from the sidecar, which refuses twins of its own (`x_palisade_principal`) only \
             where it sees them",
            "leave `allowed_headers` out, so that it sees all headers",
        ));
    }
    if let Some(body) = config.get("with_request_body").filter(|body| !body.is_true("pack_as_bytes")) {
        findings.push(
            body.warning("a body that is no UTF-8 is changed on the way to the sidecar", "set `pack_as_bytes: true`"),
        );
    }
    let Some(named) = service.way(&["envoy_grpc", "cluster_name"]) else { return };
    if let Some(cluster) = cluster(root, &named) {
        if !mentions(cluster.value, "http2_protocol_options") {
            findings.push(cluster.warning(
                "gRPC needs HTTP/2, so no check ever reaches the sidecar through this cluster",
                "set `explicit_http_config: {http2_protocol_options: {}}` in its `typed_extension_protocol_options`",
            ));
        }
        port(&cluster, &[(8180, "the decision listener"), (8181, "the admin listener")], "9191", findings);
    }
}

fn http(config: &Node<'_>, service: &Node<'_>, root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    match service.get("path_prefix") {
        Some(prefix) if prefix.value == "/gateway/envoy" => {}
        prefix => {
            let at = prefix.unwrap_or_else(|| service.clone());
            findings.push(at.warning(
                "the sidecar answers Envoy at `/gateway/envoy` alone",
                "set `path_prefix: /gateway/envoy`, without a `/` at the end",
            ));
        }
    }
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
                "the sidecar gets the body, and does not see whether it is compressed",
                "add `{exact: content-encoding, ignore_case: true}` to `allowed_headers`",
            ));
        }
    }
    if let Some(headers) = config.get("allowed_headers") {
        shows(&headers, findings);
    }
    match service.way(&["authorization_response", "allowed_upstream_headers"]) {
        None => findings.push(config.warning(
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
                        format!("`{name}` of the sidecar does not reach the service, and a client's own does"),
                        format!("add `{{exact: {name}}}`"),
                    ));
                }
            }
        }
    }
    let Some(named) = service.way(&["server_uri", "cluster"]) else { return };
    if let Some(cluster) = cluster(root, &named) {
        port(&cluster, &[(8181, "the admin listener"), (9191, "the listener for gRPC")], "8180", findings);
    }
}

/// Whether a check over HTTP has the `Content-Type` of the request, and so looks like gRPC where that is a call.
pub(super) fn looks_like_grpc(config: &Node<'_>) -> bool {
    let lists =
        [config.get("allowed_headers"), config.way(&["http_service", "authorization_request", "allowed_headers"])];
    let shows = |pattern: &Node<'_>| {
        let exact = pattern.text("exact");
        exact.eq_ignore_ascii_case("content-type")
            || (exact.is_empty() && pattern.way(&["safe_regex", "regex"]).is_none_or(|regex| regex.value != TWINS))
    };
    config.get("http_service").is_some()
        && lists
            .into_iter()
            .flatten()
            .any(|list| list.get("patterns").map(|patterns| patterns.items()).unwrap_or_default().iter().any(shows))
}

/// Whether the sidecar sees what it is to refuse.
fn shows(headers: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let patterns = headers.get("patterns").map(|patterns| patterns.items()).unwrap_or_default();
    let exact = |name: &str| patterns.iter().any(|pattern| pattern.text("exact").eq_ignore_ascii_case(name));
    let regex = |text: &str| {
        patterns.iter().any(|pattern| pattern.way(&["safe_regex", "regex"]).is_some_and(|regex| regex.value == text))
    };
    if regex(".*") {
        return;
    }
    if !regex(TWINS) {
        findings.push(headers.warning(
            "names that some services take for those of the sidecar (`x.palisade.principal`), and headers that ask for \
             another method or path, reach the service and not the sidecar, which would refuse them",
            format!("add `safe_regex: {{regex: \"{TWINS}\"}}`"),
        ));
    }
    if !exact("upgrade") {
        findings.push(headers.warning(
            "the sidecar does not see that a client asks for an upgrade, and allows it on every route",
            "add `{exact: upgrade, ignore_case: true}`",
        ));
    }
}

/// Warns of a timeout that is over before the sidecar has answered.
fn patience(timeout: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let seconds = timeout.value.as_str().and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
    if seconds.is_some_and(|seconds| seconds <= DEADLINE.as_secs_f64()) {
        findings.push(timeout.warning(
            "Envoy gives up before the sidecar does: `gateway.deadline` is 100 ms unless it was changed",
            "set `timeout: 0.5s`",
        ));
    }
}

/// The headers that are passed to the sidecar over HTTP.
fn allowed(headers: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for pattern in headers.get("patterns").map(|patterns| patterns.items()).unwrap_or_default() {
        let exact = pattern.text("exact").to_ascii_lowercase();
        // Envoy sets that of the certificate itself where it is told to, which is looked at elsewhere
        let invented =
            exact != super::CERTIFICATE && (exact.starts_with("x-forwarded-") || exact.starts_with("x-original-"));
        if invented {
            findings.push(pattern.warning(
                "headers that a client makes up are passed to the sidecar",
                "list `authorization` and what the routes read, exactly",
            ));
        }
        if pattern.way(&["safe_regex", "regex"]).is_some_and(|regex| regex.value == TWINS) {
            continue;
        }
        for kind in
            ["prefix", "suffix", "contains", "safe_regex"].into_iter().filter(|kind| pattern.get(kind).is_some())
        {
            findings.push(pattern.warning(
                format!("`{kind}` matches more than the routes read: headers that a client makes up are passed to the sidecar"),
                "list `authorization` and what the routes read, with `exact`",
            ));
        }
    }
}

/// The cluster of a name, if it is in this file.
fn cluster<'d>(root: &Node<'d>, name: &Node<'_>) -> Option<Node<'d>> {
    let clusters = root.way(&["static_resources", "clusters"])?;
    clusters.items().into_iter().find(|cluster| cluster.value.get("name") == Some(name.value))
}

fn port(cluster: &Node<'_>, wrong: &[(u64, &str)], right: &str, findings: &mut Vec<Diagnostic>) {
    for address in cluster.all(&|value| value.get("port_value").is_some()) {
        let port = address.value.get("port_value").and_then(Value::as_u64);
        if let Some((port, listener)) = wrong.iter().find(|(wrong, _)| Some(*wrong) == port) {
            findings.push(address.warning(
                format!("port {port} is {listener} unless it was changed, and does not answer such checks"),
                format!("name the listener that does: `port_value: {right}`"),
            ));
        }
    }
}
