//! What Envoy writes into a request or takes from it, beside what the sidecar says.

use std::collections::HashSet;

use serde_json::Value;

use crate::envoy::{canonical, filters, formats, host, is_check, is_kind};
use crate::node::Node;
use crate::{IDENTITY, NOT_CHECKED, headers, is_identity, pattern};
use palisade_engine::model::Diagnostic;

/// Where headers of a request are changed.
const LISTS: &[&str] =
    &["request_headers_to_add", "request_headers_to_remove", "request_mutations", "early_header_mutation_extensions"];

/// Where parameters of a query are.
const QUERIES: &str = "query_parameter_mutations";

/// What filters keep of a request or a connection, and Envoy goes by when it chooses where that leads.
const DESTINATIONS: &[&str] = &[
    "envoy.filters.listener.original_dst.local_ip",
    "envoy.network.transport_socket.original_dst_address",
    "envoy.tcp_proxy.cluster",
    "envoy.upstream.dynamic_host",
    "envoy.upstream.dynamic_port",
];

/// What is wrong in anything below `root`, where these read HTTP in listeners.
pub(super) fn lint(root: &Node<'_>, managers: &[Node<'_>], findings: &mut Vec<Diagnostic>) {
    let ahead = ahead(root, managers);
    for key in LISTS {
        for owner in root.all(&|value| value.get(key).is_some()) {
            let early = *key == "early_header_mutation_extensions" || ahead.contains(&std::ptr::from_ref(owner.value));
            let Some(list) = owner.get(key) else { continue };
            for header in list.all(&|value| value.get("header").is_some_and(Value::is_object)) {
                header.get("header").iter().for_each(|header| added(header, early, findings));
            }
            if !early {
                for item in list.items() {
                    removed(&item, findings);
                    removed_of_body(&item, findings);
                }
            }
        }
    }
    for owner in root.all(&|value| value.get(QUERIES).is_some()) {
        let list = owner.get(QUERIES).filter(|list| !list.items().is_empty());
        if let Some(list) = list.filter(|_| !ahead.contains(&std::ptr::from_ref(owner.value))) {
            findings.push(list.warning(
                "envoy-path-rewritten",
                "the query is changed behind the check: the service gets another than was checked",
                "leave it out, or put the filter in front of `ext_authz`",
            ));
        }
    }
    host::lint(root, &ahead, findings);
    chosen(root, findings);
    kept(root, findings);
}

/// What is changed in front of the check, as the sidecar sees it too: by filters that stand there, and by what routes set
/// for them.
fn ahead(root: &Node<'_>, managers: &[Node<'_>]) -> HashSet<*const Value> {
    let (mut ahead, mut before, mut behind) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut add = |node: &Node<'_>| {
        let all = node.all(&|value| LISTS.iter().chain([&QUERIES]).any(|key| value.get(key).is_some()));
        ahead.extend(all.iter().map(|node| std::ptr::from_ref(node.value)));
    };
    for manager in managers {
        let filters = filters(manager);
        let check = filters.iter().position(is_check).unwrap_or(0);
        for (at, filter) in filters.iter().enumerate() {
            let name = canonical(filter.text("name"));
            if at >= check {
                behind.insert(name);
            } else if is_kind(filter, "envoy.filters.http.header_mutation", ".HeaderMutation") {
                add(filter);
                before.insert(name);
            }
        }
    }
    for owner in root.all(&|value| value.get("typed_per_filter_config").is_some()) {
        for (name, config) in owner.get("typed_per_filter_config").map(|set| set.members()).unwrap_or_default() {
            let name = canonical(name);
            if before.contains(&name) && !behind.contains(&name) {
                add(&config);
            }
        }
    }
    ahead
}

/// A header that is written.
fn added(header: &Node<'_>, early: bool, findings: &mut Vec<Diagnostic>) {
    let name = header.text("key");
    let value = Some(header.text("value")).filter(|value| !value.is_empty()).unwrap_or(header.text("raw_value"));
    let (rule, message, help) = if is_identity(name) {
        ("envoy-identity-set", "is set here, and not by the sidecar", "leave it out: the sidecar's answer sets it")
    } else if early && headers::names_caller(name, value, &['%']) {
        ("envoy-check-told", "is a fixed one for the sidecar, so every caller is that one", "leave it out")
    } else if !early && name.eq_ignore_ascii_case(":path") {
        (
            "envoy-path-rewritten",
            "is set behind the check: the service gets another path than was checked",
            "leave it out",
        )
    } else if !early && headers::is_of_body(name) && !value.to_ascii_lowercase().contains(&format!("({name})")) {
        findings.push(header.warning("envoy-content-type-changed", headers::body_changed(name), headers::BODY_HELP));
        return;
    } else if !early && (is_line(name) || headers::overrides(name, value, formats::of_client(name, value))) {
        (
            "envoy-override-set",
            "is set behind the check: some services take another request by it than was checked",
            "leave it out",
        )
    } else {
        return;
    };
    findings.push(header.warning(rule, format!("`{name}` {message}"), help));
}

/// Whether a name stands for the method, the host or the scheme of the request itself.
fn is_line(name: &str) -> bool {
    [":method", ":authority", ":scheme", "host"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A header that is removed behind the check, given as a plain name or as a mutation.
fn removed(item: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let named = item.value.as_str().unwrap_or_else(|| item.text("remove"));
    let matcher = item.way(&["remove_on_match", "key_matcher"]);
    let gone = |name: &str| {
        named.eq_ignore_ascii_case(name) || matcher.as_ref().is_some_and(|matcher| matches_name(matcher, name))
    };
    if let Some(name) = IDENTITY.iter().find(|name| gone(&name.to_ascii_lowercase())) {
        findings.push(item.warning(
            "envoy-identity-removed",
            format!("`{name}` is taken away behind the check, with what the sidecar says of the caller"),
            "leave it out, or put the filter in front of `ext_authz`",
        ));
    }
}

/// A header that says how a body is read, and is removed behind the check.
fn removed_of_body(item: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let named = item.value.as_str().unwrap_or_else(|| item.text("remove"));
    let matcher = item.way(&["remove_on_match", "key_matcher"]);
    let gone =
        |name: &str| named.eq_ignore_ascii_case(name) || matcher.as_ref().is_some_and(|one| matches_name(one, name));
    if let Some(name) = ["content-type", "content-encoding"].into_iter().find(|name| gone(name)) {
        findings.push(item.warning("envoy-content-type-changed", headers::body_changed(name), headers::BODY_HELP));
    }
}

/// Whether a matcher of texts may match a name, which is in small letters.
pub(super) fn matches_name(matcher: &Node<'_>, name: &str) -> bool {
    let text = |kind: &str| Some(matcher.text(kind).to_ascii_lowercase()).filter(|text| !text.is_empty());
    let regex = matcher.way(&["safe_regex", "regex"]);
    text("exact").is_some_and(|exact| exact == name)
        || text("prefix").is_some_and(|prefix| name.starts_with(&prefix))
        || text("suffix").is_some_and(|suffix| name.ends_with(&suffix))
        || text("contains").is_some_and(|part| name.contains(&part))
        || regex.and_then(|regex| regex.value.as_str()).is_some_and(|regex| pattern::may_match(regex, name))
}

/// Rules of the check by which Envoy does not do what the sidecar says: what it sets and takes away stays as it was.
pub(super) fn ignored(config: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(rules) = config.get("decoder_header_mutation_rules") else { return };
    let regex = |key: &str| rules.way(&[key, "regex"]).and_then(|regex| regex.value.as_str());
    let is_ignored = |name: &str| {
        regex("disallow_expression").is_some_and(|regex| pattern::may_match(regex, name))
            || (rules.is_true("disallow_all")
                && !regex("allow_expression").is_some_and(|regex| pattern::matches(regex, name)))
    };
    if let Some(name) = IDENTITY.iter().find(|name| is_ignored(&name.to_ascii_lowercase())) {
        findings.push(rules.warning(
            "envoy-identity-headers",
            format!(
                "by these rules Envoy neither sets nor takes away `{name}` as the sidecar says, and a client's own reaches the \
                 service"
            ),
            "leave `decoder_header_mutation_rules` out, or set `allow_expression: {regex: \"x-palisade-.*\"}` beside \
             `disallow_all`",
        ));
    }
}

/// Where the client itself says which service gets a request, or which host that is asked for.
fn chosen(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for (key, what) in [
        ("host_rewrite_header", "a header of the client says which host the service gets, and another was checked"),
        ("host_rewrite_path_regex", "the path says which host the service gets, and another was checked"),
        (
            "cluster_header",
            "a header of the client says which service gets the request: the one that was checked or any",
        ),
        (
            "use_http_header",
            "a header of the client says at which address the service is, so a request may go anywhere",
        ),
    ] {
        let set = |value: &Value| value.get(key).is_some_and(|set| !matches!(set, Value::Null | Value::Bool(false)));
        for node in root.all(&set).iter().filter_map(|node| node.get(key)) {
            findings.push(node.warning("envoy-override-set", what, format!("leave `{key}` out")));
        }
    }
}

/// Where a filter keeps a value of the client's by which Envoy chooses the destination. In front of the check it is as bad
/// as behind it: the sidecar is not asked about it.
fn kept(root: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let chooses = |key: &str| DESTINATIONS.iter().any(|known| key.starts_with(known));
    for object in root.all(&|value| value.get("object_key").and_then(Value::as_str).is_some_and(chooses)) {
        // what is in a file, or in Base64, may be anything
        let hidden = |value: &Value| ["filename", "inline_bytes"].iter().any(|key| value.get(key).is_some());
        let of_client = |value: &Value| value.as_str().is_some_and(formats::is_of_client) || hidden(value);
        if object.get("format_string").is_some_and(|format| !format.all(&of_client).is_empty()) {
            let key = object.text("object_key");
            findings.push(object.warning(
                "envoy-override-set",
                format!("the client says by `{key}` where its request leads, so it may go anywhere"),
                "leave it out, or give it a value that no client writes",
            ));
        }
    }
    for config in root.all(&|value| value.get("original_dst_lb_config").is_some()) {
        if let Some(key) = config.way(&["original_dst_lb_config", "metadata_key"]) {
            findings.push(key.warning(
                NOT_CHECKED,
                "metadata says at which address the service is, and who writes it is not known here",
                "leave `metadata_key` out, or see that no filter writes what a client says into that metadata",
            ));
        }
    }
}
