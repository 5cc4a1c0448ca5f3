//! An `ext_authz` beside the sidecar's, which asks another program.

use std::collections::HashSet;

use serde_json::Value;

use crate::NOT_CHECKED;
use crate::answers::is_sidecar;
use crate::node::Node;
use palisade_engine::model::Diagnostic;

/// The kind that such a filter is given.
pub(super) const KIND: &str = "check_beside";

/// The type that says so.
const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.check_beside.v3.CheckBeside";

/// Gives each filter that asks another program a type of its own, where one beside it asks the sidecar: by its path, or by
/// the name or a port of its cluster. Where nothing says which is ours, each is taken for it.
pub(super) fn mark(document: &mut Value) {
    let clusters = document.pointer("/static_resources/clusters").and_then(Value::as_array);
    let named = clusters.into_iter().flatten().filter(|cluster| {
        let own = cluster.get("name").and_then(Value::as_str).unwrap_or_default();
        is_sidecar(own) || has_port(cluster)
    });
    let sidecars: HashSet<String> =
        named.filter_map(|cluster| cluster.get("name")?.as_str()).map(str::to_owned).collect();
    walk(document, &sidecars);
}

fn has_port(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| {
            (key == "port_value" && matches!(value.as_u64(), Some(8180 | 9191))) || has_port(value)
        }),
        Value::Array(items) => items.iter().any(has_port),
        _ => false,
    }
}

fn walk(value: &mut Value, sidecars: &HashSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Array(filters)) = members.get_mut("http_filters") {
                let checks: Vec<bool> =
                    filters.iter().filter(|it| is_check(it)).map(|it| is_ours(it, sidecars)).collect();
                if checks.contains(&true) {
                    filters.iter_mut().filter(|it| is_check(it) && !is_ours(it, sidecars)).for_each(retype);
                }
            }
            members.values_mut().for_each(|value| walk(value, sidecars));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| walk(value, sidecars)),
        _ => {}
    }
}

fn is_check(filter: &Value) -> bool {
    match filter.pointer("/typed_config/@type").and_then(Value::as_str) {
        Some(kind) => kind.ends_with(".ExtAuthz"),
        None => filter.get("name").and_then(Value::as_str) == Some("envoy.filters.http.ext_authz"),
    }
}

fn is_ours(filter: &Value, sidecars: &HashSet<String>) -> bool {
    let text = |way: &str| filter.pointer(&format!("/typed_config/{way}")).and_then(Value::as_str).unwrap_or_default();
    let cluster = [text("grpc_service/envoy_grpc/cluster_name"), text("http_service/server_uri/cluster")];
    let address = [text("grpc_service/google_grpc/target_uri"), text("http_service/server_uri/uri")];
    text("http_service/path_prefix").starts_with("/gateway/")
        || cluster.iter().any(|name| sidecars.contains(*name) || is_sidecar(name))
        || address.iter().any(|address| is_sidecar(address))
}

fn retype(filter: &mut Value) {
    if let Some(config) = filter.as_object_mut() {
        let typed = config.entry("typed_config").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(typed) = typed.as_object_mut() {
            typed.insert("@type".to_owned(), Value::from(TYPE));
        }
    }
}

/// What is said of it.
pub(super) fn told(filter: &Node<'_>) -> Diagnostic {
    filter.warning(
        NOT_CHECKED,
        format!(
            "`{}` is another check than the sidecar's: what it changes in a request is not looked at",
            filter.text("name")
        ),
        "see that it changes neither method, path, host nor the sidecar's headers",
    )
}
