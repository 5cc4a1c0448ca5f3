//! What Envoy passes on of the client's certificate.

use crate::envoy::{filters, is_check};
use crate::node::Node;
use palisade_engine::model::Diagnostic;

/// The header in which Envoy describes its client's certificate.
pub(super) const CERTIFICATE: &str = "x-forwarded-client-cert";

/// The rule of all findings here.
const RULE: &str = "envoy-client-certificate";

pub(super) fn lint(manager: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let details = manager.get("forward_client_cert_details");
    let word = manager.text("forward_client_cert_details");
    if let Some(details) = details.as_ref().filter(|_| word.contains("FORWARD")) {
        findings.push(details.warning(
            RULE,
            "what a client says of its certificate is passed on, as if Envoy had seen it",
            "set `forward_client_cert_details: SANITIZE_SET`",
        ));
    }
    if word != "SANITIZE_SET" {
        let checks = filters(manager).into_iter().filter(is_check).filter_map(|check| check.get("typed_config"));
        let patterns = checks.flat_map(|config| {
            let lists = [
                &["allowed_headers", "patterns"][..],
                &["http_service", "authorization_request", "allowed_headers", "patterns"],
            ];
            lists.iter().filter_map(|way| config.way(way)).flat_map(|list| list.items()).collect::<Vec<_>>()
        });
        for pattern in patterns.filter(|pattern| pattern.text("exact").eq_ignore_ascii_case(CERTIFICATE)) {
            findings.push(pattern.warning(
                RULE,
                "Envoy takes the header of the certificate away, or passes a client's own on",
                "set `forward_client_cert_details: SANITIZE_SET`",
            ));
        }
        return;
    }
    let told = manager.get("set_current_client_cert_details");
    if !told.as_ref().is_some_and(|told| told.is_true("uri")) {
        findings.push(told.as_ref().or(details.as_ref()).unwrap_or(manager).warning(
            RULE,
            "the header of the certificate has no name in it, so no caller is known by one",
            "set `set_current_client_cert_details: {uri: true}`",
        ));
    }
    if let Some(dns) = told.filter(|told| told.is_true("dns")).and_then(|told| told.get("dns")) {
        findings.push(dns.warning(
            RULE,
            "a URI with a DNS name behind it is refused, because it could go on there",
            "leave `dns: true` out",
        ));
    }
}
