//! Whether the service gets the host that was checked, and not one that is the same for requests for every host.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use crate::envoy::formats;
use crate::headers::names_host;
use crate::node::Node;
use palisade_engine::model::Diagnostic;

const MESSAGE: &str =
    "the service gets one host whatever the client asks for, and the routes of the client's host decide";

/// Lists of headers that are written for a service.
const LISTS: &[&str] = &["request_headers_to_add", "request_mutations"];

/// What is wrong below `root`, but for what is in `ahead` of the check.
pub(super) fn lint(root: &Node<'_>, ahead: &HashSet<*const Value>, findings: &mut Vec<Diagnostic>) {
    let free = of_one_host(root);
    let is_free = |value: &Value| free.contains(&std::ptr::from_ref(value));
    for owner in root.all(&|value| value.get("host_rewrite_literal").is_some_and(Value::is_string) && !is_free(value)) {
        report(&owner, "host_rewrite_literal", findings);
    }
    for owner in root.all(&|value| value.get("auto_host_rewrite").is_some() && !is_free(value)) {
        if owner.is_true("auto_host_rewrite") {
            report(&owner, "auto_host_rewrite", findings);
        }
    }
    // a format, which may hold what a client writes
    for owner in root.all(&|value| value.get("host_rewrite").is_some_and(Value::is_string) && !is_free(value)) {
        if !follows(owner.text("host_rewrite")) {
            report(&owner, "host_rewrite", findings);
        }
    }
    for key in LISTS {
        let counts =
            |value: &Value| value.get(key).is_some() && !is_free(value) && !ahead.contains(&std::ptr::from_ref(value));
        let lists = root.all(&counts).into_iter().filter_map(|owner| owner.get(key));
        for header in lists.flat_map(|list| list.all(&|value| value.get("header").is_some_and(Value::is_object))) {
            let Some(header) = header.get("header").filter(|header| is_fixed(header)) else { continue };
            let help = "leave it out, or write it in a virtual host of one domain";
            let message = format!("{MESSAGE}: `{}` is fixed", header.text("key"));
            findings.push(header.warning("envoy-host-changed", message, help));
        }
    }
}

fn report(owner: &Node<'_>, key: &str, findings: &mut Vec<Diagnostic>) {
    let help = format!("leave `{key}` out, or write it in a virtual host of one domain");
    findings.push(owner.get(key).unwrap_or_else(|| owner.clone()).warning("envoy-host-changed", MESSAGE, help));
}

/// Whether a format holds the host of the request.
fn follows(format: &str) -> bool {
    let format = format.to_ascii_lowercase();
    [":authority", "req(host", "request_header(host"].iter().any(|part| format.contains(part))
}

/// Whether a header names a host to the service that does not come from the request. `Host` itself is looked at elsewhere.
fn is_fixed(header: &Node<'_>) -> bool {
    let (name, value) = (header.text("key"), header.text("value"));
    !value.is_empty()
        && !name.eq_ignore_ascii_case("host")
        && names_host(name, value)
        && !follows(value)
        && !formats::of_client(name, value)
}

/// All that stands in virtual hosts or routes to which requests for one host alone come.
fn of_one_host(root: &Node<'_>) -> HashSet<*const Value> {
    let mut free = HashSet::new();
    let mut add = |node: &Node<'_>| {
        free.extend(node.all(&|_| true).iter().map(|node| std::ptr::from_ref(node.value)));
    };
    let hosts = |value: &Value| value.get("virtual_hosts").is_some_and(Value::is_array);
    for config in root.all(&hosts) {
        let all = config.list("virtual_hosts");
        let ones: Vec<&Node<'_>> = all.iter().filter(|host| has_one_domain(host)).collect();
        // what stands around one host is for that one
        if ones.len() == all.len() && all.len() == 1 {
            add(&config);
        }
        ones.into_iter().for_each(&mut add);
    }
    for route in root.all(&|value| value.get("match").is_some_and(Value::is_object)) {
        if route.get("match").is_some_and(|when| when.list("headers").iter().any(names_one)) {
            add(&route);
        }
    }
    free
}

fn has_one_domain(host: &Node<'_>) -> bool {
    let domains = host.list("domains");
    let plain = |domain: &Node<'_>| {
        let text = domain.value.as_str().unwrap_or_default().to_ascii_lowercase();
        let name = text.split(':').next().unwrap_or_default().to_owned();
        Some(name).filter(|name| !name.is_empty() && !name.contains('*'))
    };
    let names: Option<BTreeSet<String>> = domains.iter().map(plain).collect();
    names.is_some_and(|names| names.len() == 1)
}

/// Whether a route is for one value of `Host`.
fn names_one(header: &Node<'_>) -> bool {
    let host = [":authority", "host"].iter().any(|name| header.text("name").eq_ignore_ascii_case(name));
    let exact = !header.text("exact_match").is_empty()
        || header.way(&["string_match", "exact"]).is_some_and(|exact| exact.value.is_string());
    host && exact && !header.is_true("invert_match")
}
