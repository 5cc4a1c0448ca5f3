//! `forward_auth`: whether it asks the sidecar, about what the client asked for, and in time.

use std::collections::{BTreeSet, HashSet};

use crate::caddy::{ENDPOINT, SIGNS, matcher, rest};
use crate::directive::Directive;
use crate::headers::{BODY_HELP, body_changed, hidden_by, is_of_body, is_override, must_be_seen, names_caller};
use crate::report::Report;
use crate::{IDENTITY, answers, wrong_address};

/// Whether a `forward_auth` asks the sidecar, as its URI or its port says.
pub(super) fn is_ours(check: &Directive) -> bool {
    let uri = check.body().iter().any(|line| line.name() == "uri" && line.argument(1).contains("/gateway/"));
    uri || upstreams(check)
        .iter()
        .any(|to| to.contains("palisade") || [":8180", ":8181", ":9191"].iter().any(|p| to.ends_with(p)))
}

/// The line of a `reverse_proxy` by which it is what `forward_auth` comes to.
pub(super) fn expanded(proxy: &Directive) -> Option<&Directive> {
    proxy
        .body()
        .iter()
        .find(|line| line.name() == "rewrite" && line.words.iter().any(|word| word.starts_with("/gateway/")))
}

/// Whether a check goes to the sidecar's decision listener, and to nothing beside it.
pub(super) fn asked(check: &Directive, services: &HashSet<String>, report: &mut Report<'_>) {
    let upstreams = upstreams(check);
    if let Some(wrong) = answers::wrong(&upstreams, services) {
        report.warn("caddy-wrong-address", check.at, &wrong, "name sidecars alone: `127.0.0.1:8180`");
    }
    for to in upstreams {
        if let Some(wrong) =
            wrong_address(&format!("{to}{ENDPOINT}"), ENDPOINT, "8180").filter(|_| !to.starts_with("unix/"))
        {
            report.warn("caddy-wrong-address", check.at, &wrong, "name the decision listener: `127.0.0.1:8180`");
        }
    }
}

/// Names that a line of `copy_headers` copies, as the sidecar calls them and as the service gets them.
pub(super) fn copied(check: &Directive) -> Vec<(String, String)> {
    let lists = check.body().iter().filter(|line| line.name() == "copy_headers");
    lists
        .flat_map(|list| list.arguments().iter().chain(list.body().iter().flat_map(|line| &line.words)))
        .map(|word| {
            let (from, to) = word.split_once('>').unwrap_or((word, word));
            (from.to_owned(), to.to_owned())
        })
        .collect()
}

/// Whether the name of a removal, which may have a `*` at an end, is that of a header.
pub(super) fn removes(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (None, None) => name == pattern,
    }
}

/// Where a `forward_auth` or a `reverse_proxy` goes to.
pub(super) fn upstreams(proxy: &Directive) -> Vec<&str> {
    let lines = proxy.body().iter().filter(|line| line.name() == "to").flat_map(Directive::arguments);
    rest(proxy).iter().chain(lines).map(String::as_str).collect()
}

/// A check at a place where the headers `removed` are taken away already; these are the addresses of services.
pub(super) fn lint(
    check: &Directive,
    removed: &[String],
    trusted: bool,
    services: &HashSet<String>,
    report: &mut Report<'_>,
) {
    let block = check.body();
    let find = |name: &str| block.iter().find(|line| line.name() == name);
    if let Some(only) = matcher(check) {
        report.warn(
            "caddy-check-matcher",
            check.at,
            &format!("the sidecar is asked only about what `{only}` matches, and everything else passes unchecked"),
            "leave the matcher out; what is to be open is `public: true` in the route file",
        );
    }
    match find("uri") {
        None => report.warn(
            "caddy-check-uri",
            check.at,
            "the sidecar is asked at the client's own path",
            "set `uri /gateway/forward?`",
        ),
        Some(uri) => {
            let asked = uri.argument(1).split('?').next().unwrap_or_default();
            if asked != ENDPOINT {
                let message =
                    format!("the sidecar is asked at `{asked}`, and answers this gateway at `{ENDPOINT}` alone");
                report.warn("caddy-check-uri", uri.at, &message, "set `uri /gateway/forward?`");
            } else if !uri.argument(1).ends_with('?') {
                report.warn(
                    "caddy-check-uri",
                    uri.at,
                    "the client's query is appended to the sidecar's URI",
                    "end the URI with `?`: `uri /gateway/forward?`",
                );
            }
        }
    }
    asked(check, services, report);
    let transport = find("transport").map(Directive::body).unwrap_or_default();
    if !["dial_timeout", "response_header_timeout"].iter().all(|name| transport.iter().any(|line| line.name() == *name))
    {
        report.warn(
            "caddy-check-timeout",
            check.at,
            "a sidecar that hangs holds every request for ever",
            "set `dial_timeout 500ms` and `response_header_timeout 1s` in `transport http`",
        );
    }
    if !transport.iter().any(|line| line.name() == "keepalive" && line.argument(1) == "off") {
        report.warn(
            "caddy-check-keepalive",
            check.at,
            "a kept connection of the check can lead to the service, which would then answer checks",
            "set `keepalive off` in `transport http`",
        );
    }
    if let Some(response) = find("handle_response") {
        report.warn(
            "caddy-check-response",
            response.at,
            "answers of the sidecar are handled here otherwise than `forward_auth` does, so a denial may pass",
            "leave `handle_response` out",
        );
    }
    told(block, trusted, removed, check, report);
    identity(check, removed, report);
}

/// The headers that are set for the sidecar besides.
fn told(block: &[Directive], trusted: bool, removed: &[String], check: &Directive, report: &mut Report<'_>) {
    let up = |line: &&Directive| line.name() == "header_up";
    for line in block.iter().filter(up) {
        let name = line.argument(1).trim_start_matches(SIGNS).to_ascii_lowercase();
        if matches!(name.as_str(), "x-forwarded-uri" | "x-forwarded-method") {
            report.warn(
                "caddy-check-told",
                line.at,
                "the sidecar is asked about another request than the client's",
                "leave it out: Caddy says itself what is asked for",
            );
        }
        let own_host = ["{http.request.hostport}", "{hostport}", "{http.request.host}", "{host}"];
        if name == "x-forwarded-host" && !own_host.contains(&line.argument(2)) {
            report.warn(
                "caddy-check-told",
                line.at,
                "the routes of another host decide than the request's own",
                "set `header_up X-Forwarded-Host {http.request.hostport}`",
            );
        }
        if names_caller(&name, line.argument(2), &['{']) {
            report.warn("caddy-check-told", line.at, &fixed(&name), "leave it out: the client's own is passed on");
        }
        let gone = |known: &str| {
            let away = line.argument(1).strip_prefix('-').is_some_and(|pattern| removes(pattern, known));
            away && !removed.iter().any(|pattern| removes(pattern, known))
        };
        let sent = [format!("{{http.request.header.{name}}}"), format!("{{header.{name}}}")];
        let given = line.argument(2).to_ascii_lowercase();
        let replaced = !given.is_empty()
            && !sent.contains(&given)
            && !matches!(name.as_str(), "x-forwarded-host" | "x-forwarded-uri" | "x-forwarded-method")
            && must_be_seen(&name)
            && (is_override(&name) || is_of_body(&name))
            && !removed.iter().any(|pattern| removes(pattern, &name));
        let exact = line.argument(1).strip_prefix('-').filter(|name| !name.contains('*') && must_be_seen(name));
        let gone = exact.filter(|name| gone(name)).map(str::to_owned).or_else(|| hidden_by(&gone));
        if let Some(hidden) = gone.or_else(|| replaced.then_some(name)) {
            report.warn(
                "caddy-check-told",
                line.at,
                &format!("the sidecar does not see `{hidden}`, which it would refuse or go by, and the service does"),
                "leave it out, or take the header away with `request_header` in front of the check",
            );
        }
    }
    let own = block.iter().find(|line| line.name() == "trusted_proxies");
    let says = block.iter().filter(up).any(|line| line.argument(1).eq_ignore_ascii_case("x-forwarded-host"));
    if (trusted || own.is_some()) && !says {
        report.warn(
            "caddy-forwarded-host",
            own.unwrap_or(check).at,
            "a trusted proxy says in `X-Forwarded-Host` which host's routes decide, and the service gets another host",
            "set `header_up X-Forwarded-Host {http.request.hostport}` in `forward_auth`",
        );
    }
}

/// The message for a header that names the caller and is the same for every caller.
pub(super) fn fixed(name: &str) -> String {
    format!("the sidecar gets a fixed `{name}`, so every caller is that one")
}

fn identity(check: &Directive, removed: &[String], report: &mut Report<'_>) {
    let list = check.body().iter().find(|line| line.name() == "copy_headers");
    let at = list.map_or(check.at, |list| list.at);
    let copied = copied(check);
    let is_removed = |name: &str| removed.iter().any(|pattern| removes(pattern, name));
    let lost: Vec<String> = IDENTITY
        .iter()
        .filter(|name| !copied.iter().any(|(from, _)| from.eq_ignore_ascii_case(name)))
        .map(|name| format!("`{name}`"))
        .collect();
    if !lost.is_empty() {
        report.missing(
            "caddy-identity-headers",
            at,
            &format!("{} of the sidecar do not reach the service, and the client's own do", lost.join(", ")),
            "list them in `copy_headers`",
        );
    }
    // the sidecar's answer says nothing of the client's body
    let of_body: BTreeSet<&str> = copied.iter().map(|(_, to)| to.as_str()).filter(|to| is_of_body(to)).collect();
    for name in &of_body {
        report.warn("caddy-content-type-changed", at, &body_changed(name), BODY_HELP);
    }
    // under both names, if the service gets it by another
    let names = copied.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()]);
    for name in names.filter(|name| !is_removed(name) && !of_body.contains(name)).collect::<BTreeSet<_>>() {
        report.missing(
            "caddy-identity-spoofed",
            at,
            &format!("Caddy 2.10.0 to 2.11.1 pass the client's own `{name}` on where the sidecar gives none"),
            &format!("add `request_header -{name}` before `forward_auth`, inside a `route`"),
        );
    }
}
