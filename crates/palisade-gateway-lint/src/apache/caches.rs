//! Answers of services that Apache keeps: one that is for one caller must not be given to another.

use crate::apache::hosts::{Found, Host};
use crate::report::Report;

/// A cache stands in front of everything else, unless `CacheQuickHandler` is off.
pub(super) fn lint(host: &Host<'_>, main: &Host<'_>, report: &mut Report<'_>) {
    let all = || host.others.iter().chain(&main.others).map(|found| found.directive);
    let on = |name: &str| all().any(|line| line.name() == name && line.argument(1).eq_ignore_ascii_case("on"));
    let (private, stores) = (on("cachestoreprivate"), on("cachestorenostore"));
    let late = all()
        .find(|line| line.name() == "cachequickhandler")
        .is_some_and(|line| line.argument(1).eq_ignore_ascii_case("off"));
    for cache in all().filter(|line| line.name() == "cacheenable" && !late) {
        report.warn(
            "apache-cache-before-check",
            cache.at,
            "what is in the cache is answered before the sidecar is asked, to any caller",
            "set `CacheQuickHandler off`, and let only open answers be kept",
        );
    }
    let found = host.others.iter().chain(&main.others).filter(|found| found.directive.name() == "cacheenable");
    for cache in found.filter(|found| late && (private || stores || is_for_all(found))) {
        report.warn(
            "apache-cache-shared",
            cache.directive.at,
            "what one caller got with a cookie is given to others: Apache keeps answers by host and URL alone",
            "name paths that are open to all: `CacheEnable disk /static/`, and leave `CacheStorePrivate` and its like out",
        );
    }
}

/// Whether a `CacheEnable` is for every path.
fn is_for_all(found: &Found<'_>) -> bool {
    let path = found.directive.argument(2);
    let path = if path.is_empty() { found.path().unwrap_or("/") } else { path };
    !path.starts_with('/') || path == "/"
}
