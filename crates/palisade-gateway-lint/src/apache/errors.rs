//! What comes to a service past the check though a virtual host has one: pages for errors, and trailers.

use crate::apache::hosts::{Found, Host};
use crate::directive::Directive;
use crate::report::Report;

/// Schemes of services that get headers only after the body, and its trailers, were read.
const AFTER_BODY: &[&str] = &["ajp", "fcgi", "scgi", "uwsgi"];

/// Pages for errors that the service itself gives: Apache fetches them by a redirect of its own, for which no access checker
/// runs, so that what was denied reaches the service at another path, with the headers that the client sent.
pub(super) fn pages(host: &Host<'_>, main: &Host<'_>, report: &mut Report<'_>) {
    for line in host.others.iter().chain(&main.others).map(|found| found.directive) {
        let path = line.argument(2);
        if line.name() != "errordocument" || !path.starts_with('/') || !is_passed(host, path) {
            continue;
        }
        report.warn(
            "apache-error-document",
            line.at,
            &format!(
                "`{path}` is passed on to the service and not checked: what the sidecar denies comes there, with the headers that \
                 the client sent"
            ),
            "give a text or a whole URL, or a file: `ProxyPass \"/errors/\" !` in front of the other `ProxyPass`",
        );
    }
}

/// Whether a path is passed on in a host.
fn is_passed(host: &Host<'_>, path: &str) -> bool {
    host.passes.iter().any(|pass| {
        let kept = host.kept.iter().any(|kept| {
            let first = kept.path().is_some() || kept.directive.at < pass.directive.at;
            first && kept.local().is_some_and(|local| begins(path, local))
        });
        !kept && takes(pass, path)
    })
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
