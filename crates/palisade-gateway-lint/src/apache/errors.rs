//! What comes to a service past the check though a virtual host has one: pages for errors, and trailers.

use crate::apache::hosts::{Found, Host};
use crate::directive::Directive;
use crate::report::Report;

/// Schemes of services that get headers only after the body, and its trailers, were read.
const AFTER_BODY: &[&str] = &["ajp", "fcgi", "scgi", "uwsgi"];

/// What in a path is Apache's own word, as expressions write it. Everything else may be the client's.
const OWN: &[&str] = &["REDIRECT_STATUS}", "REMOTE_ADDR}", "REQUEST_STATUS}", "SERVER_", "TIME", "reqenv:UNIQUE_ID}"];

/// Pages for errors that the service itself gives: Apache fetches them by a redirect of its own. An access checker runs for
/// that only where other containers are around the page than around what was denied, so that this reaches the service at
/// another path, with the headers that the client sent.
pub(super) fn pages(host: &Host<'_>, main: &Host<'_>, report: &mut Report<'_>) {
    for line in host.others.iter().chain(&main.others).filter(|found| found.directive.name() == "errordocument") {
        let path = line.directive.argument(2);
        if !path.starts_with('/') || is_checked_again(line, path) || !is_passed(host, main, path) {
            continue;
        }
        report.warn(
            "apache-error-document",
            line.directive.at,
            &format!(
                "`{path}` is passed on to the service and not checked: what the sidecar denies comes there, with the headers that \
                 the client sent"
            ),
            "give a text or a whole URL, or a file: `ProxyPass \"/errors/\" !` in front of the other `ProxyPass`",
        );
    }
}

/// Whether a page lies outside of a location in which it is the page for errors: what is denied there has other containers
/// around it, so the sidecar is asked again, about what the client sent.
fn is_checked_again(line: &Found<'_>, path: &str) -> bool {
    line.path().is_some_and(|around| around.starts_with('/') && !is_open(path) && !begins(path, around))
}

/// Whether a client may write a part of a path.
fn is_open(path: &str) -> bool {
    path.match_indices("%{").any(|(at, _)| !OWN.iter().any(|own| path[at + 2..].starts_with(own)))
}

/// Whether a path is passed on in a host, which takes over what the server around it passes on.
fn is_passed(host: &Host<'_>, main: &Host<'_>, path: &str) -> bool {
    // with dots in it, it may be any
    if is_open(path) {
        return true;
    }
    let path = path.split('?').next().unwrap_or_default();
    [host, main].iter().flat_map(|of| of.passes.iter().map(move |pass| (of, pass))).any(|(of, pass)| {
        // what a host says stands in front of what is around it
        let own = host.kept.iter().map(|kept| (kept, std::ptr::eq(*of, host)));
        let around = main.kept.iter().map(|kept| (kept, true)).filter(|_| std::ptr::eq(*of, main));
        let kept = own.chain(around).any(|(kept, ordered)| {
            let first = !ordered || kept.path().is_some() || kept.directive.at < pass.directive.at;
            first && keeps(kept, path)
        });
        !kept && takes(pass, path)
    })
}

/// Whether `ProxyPass ... !` or its like for patterns keeps a path back.
fn keeps(kept: &Found<'_>, path: &str) -> bool {
    let pattern = kept.directive.argument(1);
    match kept.local() {
        Some(local) => begins(path, local),
        None => kept.directive.name() == "proxypassmatch" && pattern.starts_with('^') && fits(pattern, path),
    }
}

/// Whether a path begins as a plain pattern does: `^/err/`.
fn fits(pattern: &str, path: &str) -> bool {
    let plain = pattern.trim_start_matches('^').trim_end_matches(".*").trim_end_matches(".+");
    !plain.contains(['*', '+', '?', '(', '[', '|', '{', '$', '\\']) && path.starts_with(plain)
}

/// Whether what passes requests on takes this path, as far as that is known here.
fn takes(pass: &Found<'_>, path: &str) -> bool {
    let around = pass.local().or_else(|| pass.path().filter(|around| around.starts_with('/')));
    // handlers for scripts stand in a container for names of files
    around.is_none_or(|around| begins(path, around)) && (!pass.is_for_files() || path.contains(".php"))
}

fn begins(path: &str, start: &str) -> bool {
    path.strip_prefix(start.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Trailers that become headers, where the service gets these behind the body.
pub(super) fn trailers(hosts: &[Host<'_>], report: &mut Report<'_>) {
    let lines = || hosts.iter().flat_map(Host::all).map(|found| found.directive);
    let after_body = |line: &Directive| {
        let schemes = line.words.iter().filter_map(|word| word.rsplit('|').next()?.split_once("://"));
        schemes.map(|(scheme, _)| scheme.trim_start_matches("proxy:")).any(|scheme| AFTER_BODY.contains(&scheme))
    };
    if !lines().any(after_body) && hosts.iter().all(|host| host.handlers.is_empty()) {
        return;
    }
    for line in lines().filter(|line| line.name() == "mergetrailers" && line.argument(1).eq_ignore_ascii_case("on")) {
        report.warn(
            "apache-trailers",
            line.at,
            "what a client sends behind its body becomes headers, and the sidecar was asked before: it may say who asks",
            "leave it out: `MergeTrailers Off` is the default",
        );
    }
}
