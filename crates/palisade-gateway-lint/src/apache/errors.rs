//! What comes to a service past the check though a virtual host has one: pages for errors, and trailers.

use crate::apache::hosts::{Found, Host};
use crate::apache::served::Page;
use crate::directive::Directive;
use crate::report::Report;

/// Schemes of services that get headers only after the body, and its trailers, were read.
const AFTER_BODY: &[&str] = &["ajp", "fcgi", "scgi", "uwsgi"];

/// What in a path is Apache's own word, as expressions write it. Everything else may be the client's.
const OWN: &[&str] = &["REDIRECT_STATUS}", "REMOTE_ADDR}", "REQUEST_STATUS}", "SERVER_", "TIME", "reqenv:UNIQUE_ID}"];

/// How many lines are looked at for all pages of a configuration.
pub(super) const MOST: usize = 20_000_000;

const FEWER: &str = "put pages for errors into the server around all virtual hosts, or name parts of the configuration";

const HELP: &str = "give a text or a whole URL, or a file: `ProxyPass \"/errors/\" !` in front of the other `ProxyPass`, an `Alias` \
    where a service runs in Apache";

/// Pages for errors that the service itself gives: Apache fetches them by a redirect of its own. An access checker runs for
/// that only where other containers are around the page than around what was denied, so that this reaches the service at
/// another path, with the headers that the client sent. In a container that holds for both, it does where what was denied is
/// the page itself.
pub(super) fn pages([host, main]: [&Host<'_>; 2], handlers: &[&Found<'_>], left: &mut usize, report: &mut Report<'_>) {
    let steps = Page::steps(host, main, handlers.len());
    for line in host.others.iter().chain(&main.others).filter(|found| found.directive.name() == "errordocument") {
        let whole = line.directive.argument(2);
        // what is behind a `?` chooses no containers
        let path = whole.split('?').next().unwrap_or_default();
        if !path.starts_with('/') || is_checked_again(line, path) {
            continue;
        }
        let Some(rest) = left.checked_sub(steps) else {
            report.not_checked(line.directive.at, "there are too many lines to look at this page for errors", FEWER);
            return;
        };
        *left = rest;
        // with dots in it, it may be any
        if !is_open(path) && !Page::read(path, host, main).is_served(handlers) {
            continue;
        }
        let (what, help) = if line.is_placed() {
            ("a request for this page that the sidecar denies comes there", "give a text or a whole URL")
        } else {
            ("what the sidecar denies comes there", HELP)
        };
        report.warn(
            "apache-error-document",
            line.directive.at,
            &format!("`{whole}` is of the service and not checked: {what}, with the headers that the client sent"),
            help,
        );
    }
}

/// Whether Apache asks again for a page: a condition is around it, or it lies outside of a location in which it is the page for
/// errors. What is denied there has other containers around it, and the sidecar is asked about what the client sent.
fn is_checked_again(line: &Found<'_>, path: &str) -> bool {
    line.is_conditional() || (!is_open(path) && !line.may_count_for(path, None))
}

/// Whether a client may write a part of a path.
fn is_open(path: &str) -> bool {
    path.match_indices("%{").any(|(at, _)| !OWN.iter().any(|own| path[at + 2..].starts_with(own)))
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
