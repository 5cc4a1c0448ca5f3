//! Filters that stand beside the check: what they answer by themselves, what they write, and which are not known.

use serde_json::Value;

use crate::envoy::{beside, bodies, is_check};
use crate::headers::{BODY_HELP, body_changed, is_of_body, is_override};
use crate::node::Node;
use crate::{NOT_CHECKED, is_identity};
use palisade_engine::model::Diagnostic;

/// What stands in the type of a filter before its kind.
const HTTP: &str = ".http.";

/// Filters that change nothing that is checked and choose no other service, by the part of their type that names them.
/// A filter in none of these lists is reported as not known.
const KNOWN: &[&str] = &[
    "adaptive_concurrency",
    "admission_control",
    "alternate_protocols_cache",
    "api_key_auth",
    "bandwidth_limit",
    "basic_auth",
    "buffer",
    "compressor",
    "cors",
    "csrf",
    "decompressor",
    "ext_authz",
    "fault",
    "file_system_buffer",
    "geoip",
    "grpc_field_extraction",
    "grpc_stats",
    "grpc_web",
    "gzip",
    "header_mutation",
    "header_to_metadata",
    "health_check",
    "ip_tagging",
    "json_to_metadata",
    "jwt_authn",
    "kill_request",
    "local_ratelimit",
    "oauth2",
    "on_demand",
    "original_src",
    "proto_message_extraction",
    "rate_limit_quota",
    "ratelimit",
    "rbac",
    "router",
    "set_filter_state",
    "set_metadata",
    "squash",
    "stateful_session",
    "tap",
    "thrift_to_metadata",
];

/// Filters that put a credential of the gateway's own into a request.
const CREDENTIALS: &[&str] = &["aws_request_signing", "credential_injector", "gcp_authn"];

/// Filters that keep answers, and give them to any client.
const CACHES: &[&str] = &["cache", "cache_v2"];

/// Where filters name a header that they write for the service.
const WRITES: &[(&str, &[&str])] = &[
    ("api_key_auth", &["header"]),
    ("aws_request_signing", &["header_name"]),
    ("basic_auth", &["forward_username_header"]),
    ("credential_injector", &["header"]),
    ("gcp_authn", &["name"]),
    ("geoip", &["city", "region", "country", "asn", "anon", "anon_vpn", "anon_hosting", "anon_tor", "anon_proxy"]),
    ("ip_tagging", &["header"]),
    ("jwt_authn", &["header_name", "forward_payload_header"]),
];

/// What names the kind of a filter of a family: `jwt_authn` in its type, or in its name where it has no type.
pub(super) fn kind<'d>(filter: &Node<'d>, family: &str) -> &'d str {
    let typed = filter.get("typed_config");
    let of_type = typed.as_ref().map_or("", |typed| typed.text("@type"));
    let name = if of_type.is_empty() { filter.text("name") } else { of_type };
    let own = name.contains("/envoy.") || name.starts_with("envoy.");
    let kind = name.split_once(family).filter(|_| own).map_or(name, |(_, rest)| rest);
    kind.split('.').next().filter(|_| own).unwrap_or(name)
}

/// Whether what filters of a kind make of a request is known.
pub(super) fn is_known(kind: &str) -> bool {
    KNOWN.contains(&kind) || CREDENTIALS.contains(&kind) || CACHES.contains(&kind)
}

/// Where a filter is not known.
pub(super) fn not_known(filter: &Node<'_>) -> Diagnostic {
    filter.warning(
        NOT_CHECKED,
        format!("what the filter `{}` makes of a request is not known here", filter.text("name")),
        "see that it changes neither method, path, host nor the sidecar's headers, and answers nothing",
    )
}

/// Filters of clusters, and of the router: all stand behind the check.
pub(super) fn upstream(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let options = |value: &Value| {
        let kind = value.get("@type").and_then(Value::as_str).unwrap_or_default();
        kind.ends_with(".HttpProtocolOptions") || value.get("upstream_http_filters").is_some()
    };
    for owner in root.all(&options) {
        for filter in owner.list("http_filters").into_iter().chain(owner.list("upstream_http_filters")) {
            let kind = kind(&filter, HTTP);
            let known = KNOWN.contains(&kind) || CREDENTIALS.contains(&kind) || kind == "upstream_codec";
            if !known && filter.get("config_discovery").is_none() {
                findings.push(not_known(&filter));
            }
            written(&filter, kind, findings);
            bodies::lint(&filter, kind, findings);
        }
    }
}

/// Filters of which one asks the sidecar, as they run.
pub(super) fn lint(filters: &[Node<'_>], findings: &mut Vec<Diagnostic>) {
    let Some(check) = filters.iter().position(is_check) else { return };
    for (at, filter) in filters.iter().enumerate() {
        let kind = kind(filter, HTTP);
        // a filter that Envoy reads from elsewhere is reported where its source is named
        if is_check(filter) || filter.get("config_discovery").is_some() {
            continue;
        }
        if CACHES.contains(&kind) {
            if at < check {
                findings.push(filter.warning(
                    "envoy-cache-before-check",
                    "what is in the cache is answered before the sidecar is asked, to any caller",
                    "put it behind `ext_authz`, and let only open answers be kept",
                ));
            } else if !filter.is_true("disabled") {
                findings.push(filter.warning(
                    "envoy-cache-shared",
                    "what one caller got with a cookie is given to others: Envoy keeps answers by host and URL alone",
                    "set `disabled: true` here, and switch it on in `typed_per_filter_config` of routes that are open to all",
                ));
            }
        } else if CREDENTIALS.contains(&kind) {
            if at < check {
                let all = kind != "credential_injector"
                    || filter.get("typed_config").is_some_and(|config| config.is_true("overwrite"));
                let who = if all { "every caller" } else { "every caller without one" };
                findings.push(filter.warning(
                    "envoy-check-told",
                    format!("the sidecar gets a credential of the gateway's own, so {who} is the gateway"),
                    "put it behind `ext_authz`",
                ));
            }
        } else if kind == beside::KIND {
            findings.push(beside::told(filter));
        } else if !KNOWN.contains(&kind) {
            findings.push(not_known(filter));
        }
        if at > check {
            written(filter, kind, findings);
            bodies::lint(filter, kind, findings);
        }
    }
}

/// A header that a filter behind the check writes, and that the service takes for the sidecar's or goes by.
fn written(filter: &Node<'_>, kind: &str, findings: &mut Vec<Diagnostic>) {
    let Some((_, keys)) = WRITES.iter().find(|(known, _)| *known == kind) else { return };
    let text = |node: &Node<'_>, key: &str| node.get(key).and_then(|node| node.value.as_str().map(str::to_owned));
    for key in *keys {
        for node in filter.all(&|value| value.get(key).is_some_and(Value::is_string)) {
            let name = text(&node, key).unwrap_or_default();
            let (rule, message) = if is_identity(&name) {
                ("envoy-identity-set", "is set behind the check, and not by the sidecar")
            } else if is_override(&name) {
                (
                    "envoy-override-set",
                    "is set behind the check: some services take another request by it than was checked",
                )
            } else {
                if is_of_body(&name) {
                    let at = node.get(key).unwrap_or_else(|| node.clone());
                    findings.push(at.warning("envoy-content-type-changed", body_changed(&name), BODY_HELP));
                }
                continue;
            };
            let help = "give it another name, or leave it out";
            findings.push(node.get(key).unwrap_or(node).warning(rule, format!("`{name}` {message}"), help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node;

    #[test]
    fn a_filter_is_known_by_its_type_and_else_by_its_name() {
        for (text, expected) in [
            (
                "{name: a, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}}",
                "rbac",
            ),
            (
                "{name: a, typed_config: {'@type': type.googleapis.com/envoy.config.filter.http.router.v2.Router}}",
                "router",
            ),
            ("{name: envoy.filters.http.router}", "router"),
            ("{name: router}", "router"),
            (
                "{name: rbac, typed_config: {'@type': type.googleapis.com/my.http.router.Filter}}",
                "type.googleapis.com/my.http.router.Filter",
            ),
        ] {
            let document = node::yaml("f", text, str::to_owned).unwrap();
            assert_eq!(kind(&Node::root("f", text, &document), HTTP), expected, "{text}");
        }
    }
}
