//! The middleware that asks the sidecar.

use std::collections::HashSet;

use crate::headers::{BODY_HELP, body_changed, is_of_body};
use crate::node::Node;
use crate::traefik::model::{Name, names};
use crate::{IDENTITY, NOT_CHECKED, TUNNEL, answers, wrong_address};
use palisade_engine::model::Diagnostic;

/// Where the sidecar answers forward authentication.
const ENDPOINT: &str = "/gateway/forward";

/// The settings that are known, in small letters.
const SETTINGS: &[&str] = &[
    "addauthcookiestoresponse",
    "address",
    "authrequestheaders",
    "authresponseheaders",
    "authresponseheadersregex",
    "authsigninurl",
    "forwardbody",
    "headerfield",
    "maxbodysize",
    "maxresponsebodysize",
    "preservelocationheader",
    "preserverequestmethod",
    "tls",
    "trustforwardheader",
];

/// Those in `tls`, with what objects of Kubernetes have there.
const TLS: &[&str] = &["ca", "caoptional", "casecret", "cert", "certsecret", "insecureskipverify", "key"];

/// Settings that are not known: one that was misspelt is not set.
fn unknown(config: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let tls = config.get("tls").map(|tls| tls.members()).unwrap_or_default();
    let settings = config.members().into_iter().filter(|(name, _)| !SETTINGS.contains(name));
    for (name, node) in settings.chain(tls.into_iter().filter(|(name, _)| !TLS.contains(name))) {
        // as it is written there
        let line = node.place.error(String::new()).excerpt.unwrap_or_default();
        let at = line.to_ascii_lowercase().find(name);
        let written = at.and_then(|at| line.get(at..at + name.len())).unwrap_or(name);
        findings.push(node.warning(
            NOT_CHECKED,
            format!("`{written}` is no setting of `forwardAuth` that is known here"),
            "write it as Traefik's documentation does, or leave it out",
        ));
    }
}

/// Whether a middleware asks the sidecar, as its address says.
pub(super) fn is_ours(node: &Node<'_>) -> bool {
    node.get("forwardauth").is_some_and(|config| {
        let address = config.text("address");
        address.contains("/gateway/")
            || address.contains("palisade")
            || [":8180", ":8181", ":9191"].iter().any(|p| address.contains(p))
    })
}

pub(super) fn lint(node: &Node<'_>, services: &HashSet<String>, findings: &mut Vec<Diagnostic>) {
    let Some(config) = node.get("forwardauth") else { return };
    unknown(&config, findings);
    let address = config.get("address");
    if let Some(wrong) = wrong_address(config.text("address"), ENDPOINT, "8180") {
        let at = address.as_ref().unwrap_or(&config);
        findings.push(at.warning(
            "traefik-wrong-address",
            wrong,
            "set `address: \"http://127.0.0.1:8180/gateway/forward\"`",
        ));
    }
    let url = config.text("address");
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    if let Some(wrong) = answers::wrong(&[host], services) {
        let at = address.as_ref().unwrap_or(&config);
        findings.push(at.warning(
            "traefik-wrong-address",
            wrong,
            "name the sidecar: `http://127.0.0.1:8180/gateway/forward`",
        ));
    }
    for (key, rule, message, help) in [
        (
            "trustforwardheader",
            "traefik-trust-forward-header",
            "what a client says in `X-Forwarded-*` may be passed to the sidecar",
            "set `trustForwardHeader: false`",
        ),
        (
            "authresponseheadersregex",
            "traefik-response-regex",
            "a pattern takes more headers from the sidecar than the service expects",
            "list them in `authResponseHeaders`",
        ),
        (
            "authrequestheaders",
            "traefik-request-headers",
            "the sidecar refuses twins of its own headers (`X_Palisade_Principal`) only where it sees them",
            "leave `authRequestHeaders` out, so that it sees all headers",
        ),
    ] {
        let Some(set) = config.get(key) else { continue };
        // an empty list and an empty pattern are as good as none
        let empty = set.value.as_array().is_some_and(Vec::is_empty) || set.value.as_str().is_some_and(str::is_empty);
        if !empty && (key != "trustforwardheader" || config.is_true(key)) {
            findings.push(set.warning(rule, message, help));
        }
    }
    let copied = names(&config, "authresponseheaders");
    let copies = |name: &str| copied.iter().any(|copied| copied.name.eq_ignore_ascii_case(name));
    let list = config.get("authresponseheaders");
    let at = list.as_ref().unwrap_or(&config);
    let missing: Vec<String> = IDENTITY.iter().filter(|name| !copies(name)).map(|name| format!("`{name}`")).collect();
    if !missing.is_empty() {
        findings.push(at.warning(
            "traefik-identity-headers",
            format!("{} of the sidecar do not reach the service, and the client's own do", missing.join(", ")),
            "list them in `authResponseHeaders`",
        ));
    }
    of_body(&copied, findings);
    if !copies("Upgrade") {
        findings.push(at.warning(
            "traefik-upgrade",
            TUNNEL,
            "add `Upgrade` to `authResponseHeaders`: the sidecar names the upgrade that a route allows, and any other is \
             taken away",
        ));
    }
    if let Some(body) = config.get("forwardbody").filter(|_| config.is_true("forwardbody")) {
        if !config.is_true("preserverequestmethod") {
            findings.push(body.warning(
                "traefik-body-method",
                "the check is a `GET` with a body, which whatever stands in between may drop",
                "set `preserveRequestMethod: true`",
            ));
        }
        if config.get("maxbodysize").is_none() {
            findings.push(body.warning(
                "traefik-body-size",
                "bodies of any size are kept in memory for the check",
                "set `maxBodySize`; a larger one is answered with 401",
            ));
        }
    }
}

/// What says how a body is read, and is taken from an answer: Traefik takes the client's own away where that has none.
pub(super) fn of_body(copied: &[Name<'_>], findings: &mut Vec<Diagnostic>) {
    for name in copied.iter().filter(|copied| is_of_body(&copied.name)) {
        findings.push(name.node.warning("traefik-content-type-changed", body_changed(name.written()), BODY_HELP));
    }
}
