//! Filters behind the check that make another body of the client's, or take away what says how it is read.

use serde_json::Value;

use crate::headers::{BODY_HELP, BODY_REPLACED, body_changed, is_of_body};
use crate::is_identity;
use crate::node::Node;
use palisade_engine::model::Diagnostic;

/// The rule of all findings here, but for one.
const RULE: &str = "envoy-content-type-changed";

/// A filter of this kind behind the check.
pub(super) fn lint(filter: &Node<'_>, kind: &str, findings: &mut Vec<Diagnostic>) {
    let help = match kind {
        // without a setting it takes bodies of requests, too
        "decompressor" if !is_off(filter) => {
            "set `request_direction_config: {common_config: {enabled: {default_value: false, runtime_key: none}}}`"
        }
        "compressor" if has_requests(filter) && !is_off(filter) => "leave `request_direction_config` out",
        "header_to_metadata" => return removed(filter, findings),
        _ => return,
    };
    findings.push(filter.warning(RULE, BODY_REPLACED, help));
}

fn has_requests(filter: &Node<'_>) -> bool {
    filter.way(&["typed_config", "request_direction_config"]).is_some()
}

/// Whether bodies of requests are left as they are.
fn is_off(filter: &Node<'_>) -> bool {
    let way = ["typed_config", "request_direction_config", "common_config", "enabled", "default_value"];
    filter.way(&way).is_some_and(|on| *on.value == Value::Bool(false))
}

/// Headers that are kept as metadata, and taken from the request.
fn removed(filter: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let rules = filter.way(&["typed_config", "request_rules"]).map(|rules| rules.items()).unwrap_or_default();
    for rule in rules.into_iter().filter(|rule| rule.is_true("remove")) {
        let name = rule.text("header");
        if is_of_body(name) {
            findings.push(rule.warning(RULE, body_changed(name), BODY_HELP));
        } else if is_identity(name) {
            findings.push(rule.warning(
                "envoy-identity-removed",
                format!("`{name}` is taken away behind the check, with what the sidecar says of the caller"),
                "leave `remove` out, or put the filter in front of `ext_authz`",
            ));
        }
    }
}
