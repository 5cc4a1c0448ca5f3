//! Which headers of a request the sidecar sees.

use crate::envoy::certificates::CERTIFICATE;
use crate::headers::{hidden_by, known, must_be_seen};
use crate::is_identity;
use crate::node::Node;
use crate::pattern::may_match;
use palisade_engine::model::Diagnostic;

/// Shows the sidecar every `X-...` header, with the names that some services take for one.
const TWINS: &str = "x[^a-z0-9].*";

/// What stands for a `-` in a pattern for one header and its twins: `tenant[^a-z0-9]id`.
const ANY_MARK: &str = "[^a-z0-9]";

/// Whether a pattern is one header with its twins, and nothing else.
fn is_one_name(regex: &str) -> bool {
    regex.contains(ANY_MARK)
        && regex.split(ANY_MARK).all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether a header is one of HTTP itself, which services read from where their server puts it.
fn is_standard(name: &str) -> bool {
    let starts = ["accept-", "access-control-", "content-", "if-", "proxy-", "sec-", "cache-", "max-", "user-", "www-"];
    starts.iter().any(|start| name.starts_with(start)) || name == CERTIFICATE
}

/// Headers that are hidden from the sidecar, which would refuse some and goes by others.
pub(super) fn hidden(headers: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for pattern in headers.list("patterns") {
        let text = |kind: &str| pattern.text(kind).to_ascii_lowercase();
        let (exact, prefix, suffix, part) = (text("exact"), text("prefix"), text("suffix"), text("contains"));
        let matches = |known: &str| {
            known == exact
                || (!prefix.is_empty() && known.starts_with(&prefix))
                || (!suffix.is_empty() && known.ends_with(&suffix))
                || (!part.is_empty() && known.contains(&part))
                || pattern.get("safe_regex").is_some_and(|regex| may_match(regex.text("regex"), known))
        };
        let found = Some(exact.clone()).filter(|name| must_be_seen(name)).or_else(|| hidden_by(&matches));
        if let Some(name) = found {
            findings.push(pattern.warning(
                "envoy-hidden-headers",
                format!("this hides headers such as `{name}` from the sidecar, which would refuse them or go by them"),
                "leave it out of `disallowed_headers`",
            ));
        }
    }
}

/// Whether the sidecar sees what it is to refuse.
pub(super) fn shows(config: &Node<'_>, lists: &[Node<'_>], findings: &mut Vec<Diagnostic>) {
    let patterns: Vec<Node<'_>> = lists.iter().flat_map(|list| list.list("patterns")).collect();
    let at = lists.first().unwrap_or(config);
    let exact = |name: &str| patterns.iter().any(|pattern| pattern.text("exact").eq_ignore_ascii_case(name));
    let regex = |text: &str| {
        patterns.iter().any(|pattern| pattern.way(&["safe_regex", "regex"]).is_some_and(|regex| regex.value == text))
    };
    if regex(".*") {
        return;
    }
    let mut hides = |at: &Node<'_>, message: String, verb: &str, shown: &str| {
        let help = format!("{verb} `safe_regex: {{regex: \"{shown}\"}}`");
        findings.push(at.warning("envoy-allowed-headers", message, help));
    };
    if !regex(TWINS) {
        let message = "names that some services take for those of the sidecar (`x.palisade.principal`), and headers that ask \
                       for another method or path, reach the service and not the sidecar, which would refuse them";
        hides(at, message.to_owned(), "add to `allowed_headers`", TWINS);
    }
    for pattern in &patterns {
        let name = pattern.text("exact").to_ascii_lowercase();
        let twins = name.replace('-', ANY_MARK);
        if name.contains('-') && !name.starts_with("x-") && !is_standard(&name) && !regex(&twins) {
            let twin = name.replace('-', ".");
            let message =
                format!("the sidecar does not see twins of `{name}`, such as `{twin}`, and the service may read them");
            hides(pattern, message, "set in its place", &twins);
        }
    }
    let refused = known().filter(|name| !name.starts_with("x-") && name.contains('-'));
    for name in refused.chain(["content-type", "content-encoding"]) {
        let twins = name.replace('-', ANY_MARK);
        if !regex(&twins) {
            let twin = name.replace('-', ".");
            let message = format!("the sidecar does not see `{twin}`, which it would refuse, and the service does");
            hides(at, message, "add to `allowed_headers`", &twins);
        }
    }
    for (name, message) in [
        ("upgrade", "the sidecar does not see that a client asks for an upgrade, and allows it on every route"),
        ("content-type", "the sidecar does not see a form, which may ask for another method (`_method`)"),
        ("forwarded", "the sidecar does not see a `Forwarded` that names another host, and the service does"),
    ] {
        if !exact(name) {
            let help = format!("add `{{exact: {name}, ignore_case: true}}` to `allowed_headers`");
            findings.push(at.warning("envoy-allowed-headers", message, help));
        }
    }
}

/// The headers that are passed to the sidecar over HTTP.
pub(super) fn allowed(headers: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    for pattern in headers.get("patterns").map(|patterns| patterns.items()).unwrap_or_default() {
        let exact = pattern.text("exact").to_ascii_lowercase();
        // Envoy sets the certificate's header itself where it is configured to, which is checked elsewhere
        let invented = exact != CERTIFICATE && (exact.starts_with("x-forwarded-") || exact.starts_with("x-original-"));
        if invented {
            findings.push(pattern.warning(
                "envoy-allowed-headers",
                "headers that a client makes up are passed to the sidecar",
                "list `authorization` and what the routes read, exactly",
            ));
        }
        let regex = pattern.way(&["safe_regex", "regex"]);
        if regex.and_then(|regex| regex.value.as_str()).is_some_and(|regex| regex == TWINS || is_one_name(regex)) {
            continue;
        }
        for kind in
            ["prefix", "suffix", "contains", "safe_regex"].into_iter().filter(|kind| pattern.get(kind).is_some())
        {
            findings.push(pattern.warning(
                "envoy-allowed-headers",
                format!("`{kind}` matches more than the routes read: headers that a client makes up are passed to the sidecar"),
                "list `authorization` and what the routes read, with `exact`",
            ));
        }
    }
}

/// Headers that the check has instead of the client's own.
pub(super) fn added(service: &Node<'_>, findings: &mut Vec<Diagnostic>) {
    let list = service.way(&["authorization_request", "headers_to_add"]);
    for added in list.map(|list| list.items()).unwrap_or_default() {
        let name = added.text("key");
        let line = [":method", ":path", ":authority", "host"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if line || must_be_seen(name) || is_identity(name) {
            findings.push(added.warning(
                "envoy-check-told",
                format!("the sidecar gets a `{name}` that is not the client's, and decides by it"),
                "leave it out: the client's own is passed to the sidecar",
            ));
        }
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
