//! Envoy with `ext_authz`.
//!
//! The document is read as YAML or JSON, with names in `snake_case` or in the `camelCase` of protocol buffers.

mod beside;
mod bodies;
mod certificates;
mod filter;
mod formats;
mod host;
mod mutations;
mod network;
mod others;
mod routes;
mod services;
mod shown;
#[cfg(test)]
pub(super) mod tests;
mod unread;

use serde_json::{Map, Value};

use crate::node::{self, Node, mentions};
use crate::{Files, NOT_CHECKED};
use palisade_engine::model::Diagnostic;
use palisade_text::located;
use services::Services;

/// One of these is in everything that Envoy reads listeners from.
const KNOWN: &[&str] = &[
    "static_resources",
    "dynamic_resources",
    "listeners",
    "filter_chains",
    "http_filters",
    "resources",
    "virtual_hosts",
];

pub(super) fn lint(origin: &str, text: &str, _: Files<'_>) -> Vec<Diagnostic> {
    let mut document = match node::yaml(origin, text, canonical) {
        Ok(document) => document.unwrapped("value", &typed),
        Err(problem) => return vec![unread::object(origin, text).unwrap_or(problem)],
    };
    beside::mark(&mut document.value);
    let root = Node::root(origin, text, &document);
    if !KNOWN.iter().any(|key| mentions(root.value, key)) {
        let what =
            "not a configuration of Envoy: there are neither `static_resources` nor listeners nor `http_filters`";
        let other = || located(Diagnostic::error(origin, what).rule(NOT_CHECKED), text, 1);
        return vec![unread::object(origin, text).unwrap_or_else(other)];
    }
    if let Some(old) = unread::version_2(&root) {
        return vec![old];
    }
    let mut findings = Vec::new();
    let managers = root.all(&is_manager);
    let services = Services::read(&root, routes::clusters(&root).into_iter().collect());
    if !managers.iter().any(|manager| filters(manager).iter().any(is_check)) {
        let elsewhere = ["dynamic_resources", "rds", "config_discovery"].iter().any(|key| mentions(root.value, key));
        let unless = if elsewhere { ", unless what Envoy reads from elsewhere does" } else { "" };
        findings.push(
            Diagnostic::error(origin, format!("there is no `ext_authz`, so nothing asks the sidecar{unless}"))
                .warning()
                .rule("envoy-no-check")
                .help("add the filter `envoy.filters.http.ext_authz`"),
        );
    } else {
        for manager in &managers {
            listener(manager, &root, &services, &mut findings);
        }
    }
    let names: Vec<String> =
        managers.iter().flat_map(filters).filter(is_check).map(|filter| canonical(filter.text("name"))).collect();
    routes::lint(&root, &names, &services, &mut findings);
    mutations::lint(&root, &managers, &mut findings);
    others::upstream(&root, &mut findings);
    network::lint(&root, &mut findings);
    elsewhere(&root, &mut findings);
    plugins(&root, &mut findings);
    fragments(&root, &mut findings);
    trailers(&root, &mut findings);
    trailers_of_http2(&root, &managers, &mut findings);
    admin(&root, &mut findings);
    findings.sort_by_key(|finding| finding.line);
    findings.dedup();
    findings
}

/// A name of a field in `snake_case`; other names stay as they are.
fn canonical(name: &str) -> String {
    let camel =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !camel {
        return name.to_owned();
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// The type of what is written as a `TypedStruct`, which Envoy takes for that type.
fn typed(members: &Map<String, Value>) -> Option<Value> {
    let kind = members.get("@type").and_then(Value::as_str)?;
    members.get("type_url").filter(|_| kind.ends_with(".TypedStruct")).cloned()
}

/// Whether a node is what reads HTTP in a listener. A cluster has `http_filters` too.
fn is_manager(value: &Value) -> bool {
    match value.get("@type").and_then(Value::as_str) {
        Some(kind) => kind.ends_with(".HttpConnectionManager"),
        None => value.get("http_filters").is_some_and(Value::is_array),
    }
}

fn filters<'d>(manager: &Node<'d>) -> Vec<Node<'d>> {
    manager.list("http_filters")
}

fn is_kind(filter: &Node<'_>, name: &str, kind: &str) -> bool {
    let typed = filter.get("typed_config");
    let typed = typed.map(|typed| typed.text("@type")).unwrap_or_default();
    if typed.is_empty() { filter.text("name") == name } else { typed.ends_with(kind) }
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
fn listener(manager: &Node<'_>, root: &Node<'_>, services: &Services<'_>, findings: &mut Vec<Diagnostic>) {
    let filters = filters(manager);
    upgrades(manager, findings);
    let Some((at, check)) = filters.iter().enumerate().find(|(_, filter)| is_check(filter)) else {
        if !only_answers(manager) {
            findings.push(manager.warning(
                "envoy-listener-unchecked",
                "there is no `ext_authz` among the filters of this listener, so its requests are not checked",
                "add the filter `envoy.filters.http.ext_authz` in front of the router",
            ));
        }
        return;
    };
    if filters[..at].iter().any(|filter| is_kind(filter, "envoy.filters.http.router", ".Router")) {
        findings.push(check.warning(
            "envoy-check-behind-router",
            "the filter stands behind the router, so requests are not checked",
            "put it in front of `envoy.filters.http.router`",
        ));
    }
    for (rule, key, value, message, help) in [
        (
            "envoy-normalize-path",
            &["normalize_path"][..],
            &[Value::Bool(true)][..],
            "dot segments reach the route table of Envoy as they were sent",
            "set `normalize_path: true`",
        ),
        (
            "envoy-merge-slashes",
            &["merge_slashes"],
            &[Value::Bool(true)],
            "`//` reaches the route table of Envoy as it was sent",
            "set `merge_slashes: true`",
        ),
        (
            "envoy-escaped-slashes",
            &["path_with_escaped_slashes_action"],
            &[Value::from("REJECT_REQUEST"), Value::from("UNESCAPE_AND_REDIRECT")],
            "encoded slashes are passed on",
            "set `path_with_escaped_slashes_action: REJECT_REQUEST`",
        ),
        (
            "envoy-underscores",
            &["common_http_protocol_options", "headers_with_underscores_action"],
            &[Value::from("DROP_HEADER"), Value::from("REJECT_REQUEST")],
            "the underscore twin of an identity header (`x_palisade_principal`) reaches the service",
            "set `common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }`",
        ),
    ] {
        if !manager.way(key).is_some_and(|set| value.contains(set.value)) {
            findings.push(check.warning(rule, message, help));
        }
    }
    for check in filters.iter().filter(|filter| is_check(filter)) {
        if check.is_true("disabled") {
            findings.push(check.warning(
                "envoy-filter-enabled",
                "the check is switched off, and runs only on the routes that switch it on",
                "leave `disabled` out; what is to be open is `public: true` in the route file",
            ));
        }
        let Some(config) = check.get("typed_config") else { continue };
        if shown::looks_like_grpc(&config) && routes::passes_grpc(manager) {
            findings.push(check.warning(
                "envoy-grpc-passes",
                "a gRPC call passes while the sidecar hangs or is gone: Envoy's own answer to such a check is a 200",
                "put `- match: {prefix: \"/\", grpc: {}}` with `direct_response: {status: 415}` first among the routes, or \
                 ask over gRPC",
            ));
        }
        let turned = filters[..at].iter().find(|filter| turns_to_grpc(filter, root));
        if let Some(filter) = turned.filter(|_| shown::looks_like_grpc(&config)) {
            findings.push(filter.warning(
                "envoy-grpc-passes",
                "this makes a gRPC call of a request behind the choice of its route, and such a call passes while the sidecar \
                 hangs or is gone",
                "put it behind `ext_authz`, or ask over gRPC",
            ));
        }
        filter::lint(&config, root, services, findings);
    }
    network::behind_proxies(manager, root, filters.iter().any(asks_by_grpc), findings);
    others::lint(&filters, findings);
    certificates::lint(manager, findings);
}

/// Whether a filter asks the sidecar over gRPC.
fn asks_by_grpc(filter: &Node<'_>) -> bool {
    is_check(filter) && filter.way(&["typed_config", "grpc_service"]).is_some()
}

/// Filters that make a gRPC call of another request, by its `Content-Type`.
const TO_GRPC: &[&str] = &[
    "connect_grpc_bridge",
    "grpc_http1_bridge",
    "grpc_http1_reverse_bridge",
    "grpc_json_reverse_transcoder",
    "grpc_json_transcoder",
    "grpc_web",
];

/// Whether a filter may give a request the type of gRPC: by what it is, or because it names that header, as a script may.
fn turns_to_grpc(filter: &Node<'_>, root: &Node<'_>) -> bool {
    let kind = others::kind(filter, ".http.");
    let writes = kind == "header_mutation" || !others::is_known(kind);
    let name = canonical(filter.text("name"));
    let names_type = |value: &Value| value.to_string().to_ascii_lowercase().contains("content-type");
    let of_route = || {
        let owners = root.all(&|value| value.get("typed_per_filter_config").is_some());
        let members = owners.iter().filter_map(|owner| owner.get("typed_per_filter_config"));
        members.flat_map(|set| set.members()).any(|(key, config)| canonical(key) == name && names_type(config.value))
    };
    TO_GRPC.contains(&kind) || (writes && (names_type(filter.value) || of_route()))
}

/// What leaves HTTP: the sidecar is asked about the first request of a tunnel and no other.
fn upgrades(manager: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for upgrade in manager.list("upgrade_configs") {
        routes::upgrade(&upgrade, findings);
        let own = upgrade.list("filters");
        if !own.is_empty() && !own.iter().any(is_check) {
            findings.push(upgrade.warning(
                "envoy-upgrade-filters",
                "an upgrade has filters of its own, and there is no `ext_authz` among them: it is not checked",
                "leave `filters` out, so that the filters of the listener count",
            ));
        }
        others::lint(&own, findings);
        for config in own.iter().filter(|filter| is_check(filter)).filter_map(|filter| filter.get("typed_config")) {
            filter::switched_off(&config, findings);
        }
    }
}

/// What Envoy reads from elsewhere is not seen here.
fn elsewhere(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for key in ["rds", "scoped_routes", "config_discovery", "lds_config", "vhds"] {
        for node in root.all(&|value| value.get(key).is_some()).iter().filter_map(|node| node.get(key)) {
            findings.push(node.warning(
                NOT_CHECKED,
                format!("what Envoy reads from elsewhere (`{key}`) is not looked at"),
                "look at what it gives with `palisade routes lint --envoy`, or write it here",
            ));
        }
    }
}

/// Where a plugin says which service gets a request.
const PLUGINS: [&str; 2] = ["cluster_specifier_plugin", "inline_cluster_specifier_plugin"];

fn plugins(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for key in PLUGINS {
        for node in root.all(&|value| value.get(key).is_some()).iter().filter_map(|node| node.get(key)) {
            findings.push(node.warning(
                NOT_CHECKED,
                "a plugin says which service gets the request, and by what is not known here",
                "name the cluster, or see that the plugin goes by nothing that the sidecar does not see",
            ));
        }
    }
}

/// Headers behind a body, which the sidecar never sees.
fn trailers(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    const KEY: &str = "enable_trailers";
    let on = |node: &&Node<'_>| node.is_true(KEY);
    for node in root.all(&|value| value.get(KEY).is_some()).iter().filter(on).filter_map(|node| node.get(KEY)) {
        findings.push(node.warning(
            "envoy-trailers",
            "headers behind a body (trailers) reach the service as they are, and the sidecar never sees them",
            "leave `enable_trailers` out",
        ));
    }
}

/// Services over HTTP/2, which get the trailers of clients that speak it too.
fn trailers_of_http2(root: &Node<'_>, managers: &[Node<'_>], findings: &mut Vec<Diagnostic>) {
    if managers.iter().all(|manager| manager.text("codec_type") == "HTTP1") {
        return;
    }
    let names = routes::clusters(root);
    let service = |value: &Value| {
        let named = value.get("name").and_then(Value::as_str).is_some_and(|name| names.contains(&name));
        let options = ["http2_protocol_options", "use_downstream_protocol_config", "auto_config"];
        named && value.get("match").is_none() && options.iter().any(|key| mentions(value, key))
    };
    for cluster in root.all(&service) {
        findings.push(cluster.warning(
            "envoy-trailers",
            "over HTTP/2 headers behind a body (trailers) reach this service, and the sidecar never sees them",
            "speak HTTP/1.1 with it, or see that it takes no trailer for a header",
        ));
    }
}

/// Who reaches the interface at which the runtime is changed and Envoy is ended.
fn admin(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(socket) = root.way(&["admin", "address", "socket_address"]) else { return };
    if !crate::is_of_this_machine(socket.text("address")) && !only_tells(root) {
        findings.push(socket.warning(
            "envoy-admin-open",
            "unauthenticated requests reach the admin interface, change the runtime, read the configuration and end Envoy",
            "let it listen on `127.0.0.1`",
        ));
    }
}

/// Whether all that the admin interface answers is whether Envoy is ready, and its numbers.
fn only_tells(root: &Node<'_>) -> bool {
    let paths = root.way(&["admin", "allow_paths"]).map(|list| list.items()).unwrap_or_default();
    let harmless = |path: &Node<'_>| {
        let named = [path.text("exact"), path.text("prefix")].into_iter().find(|text| !text.is_empty());
        named.is_some_and(|text| matches!(text, "/ready" | "/stats" | "/stats/prometheus"))
    };
    !paths.is_empty() && paths.iter().all(harmless)
}

/// A path with a `#`: Envoy refuses it by default.
fn fragments(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    const KEY: &str = "envoy.reloadable_features.http_reject_path_with_fragment";
    let off = |value: &Value| {
        matches!(value.get(KEY), Some(Value::Bool(false))) || value.get(KEY) == Some(&Value::from("false"))
    };
    for node in root.all(&off).iter().filter_map(|node| node.get(KEY)) {
        findings.push(node.warning(
            "envoy-fragment",
            "a `#` is cut off the path by some and passed on by others, so the service may get another than was checked",
            format!("leave `{KEY}` out"),
        ));
    }
}
