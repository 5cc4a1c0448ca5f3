//! What in a request may make a service take it for another one than its request line says.
//!
//! Frameworks obey such words to help clients that can only send `GET` and `POST`, or to learn what a proxy rewrote.
//! The sidecar checks the request line, so it refuses them unless a file of routes says that its service ignores them.

use std::borrow::Cow;

use crate::actions;
use crate::facts::{Field, RequestFacts};
use crate::forwarded::{self, Pair};
use crate::host::normal_host;
use crate::methods;
use crate::names::fold;
use crate::query;
use crate::refusal::Refusal;
use crate::service::Ignored;
use crate::watched::Group;
pub use crate::watched::{Asks, asks, headers};

/// Headers by which some services take another path, or take something off it or put something before it.
pub(super) const PATHS: [&str; 24] = [
    "x-original-url",
    "x-rewrite-url",
    "x-override-url",
    "x-http-path-override",
    "x-envoy-original-path",
    "x-http-destinationurl",
    // gunicorn takes it off the path, and so do some of Flask's middlewares with the second
    "script-name",
    "x-script-name",
    "path-info",
    // Django behind Daphne takes it off
    "daphne-root-path",
    // Pyramid puts it before the path
    "x-vhm-root",
    // Next.js renders the page that they name
    "x-matched-path",
    "x-invoke-path",
    "x-middleware-rewrite",
    // so do Astro with what it has for Vercel (CVE-2026-33768), and Nitro for Vercel and for Azure, as SvelteKit's adapter for it
    "x-astro-path",
    "x-now-route-matches",
    "x-ms-original-url",
    // Rack makes `X-Accel-Redirect` of them, by which nginx takes another path after the check
    "x-sendfile-type",
    "x-accel-mapping",
    // WSGIProxy and Plack's ReverseProxyPath take the first off the path, mod_wsgi the second
    "x-traversal-path",
    "x-forwarded-script-name",
    // SvelteKit gives its remote functions the page that they name
    "x-sveltekit-pathname",
    "x-sveltekit-search",
    "x-vercel-matched-path",
];

/// Headers in which gateways say what the target of a request was, and which some services take for it. They may say the same.
pub(super) const TARGETS: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-request-uri"];

/// Fields of the query by which some services render another page, as [`fold`] writes them: Astro, Nitro and SvelteKit with
/// what they have for Vercel.
const PATH_FIELDS: [&str; 3] = ["x_astro_path", "__isr_route", "__pathname"];

/// Headers by which some services take another host. A gateway may write them too, and then they name the same.
pub(super) const HOSTS: [&str; 5] = [
    "x-forwarded-host",
    "x-original-host",
    "x-host",
    "x-http-host-override",
    // Frappe serves the site that it names
    "x-frappe-site-name",
];

/// One that Jetty and Pyramid behind Paste take for the host, and in which Traefik and Apache name the machine they are on.
pub(super) const SERVER: &str = "x-forwarded-server";

/// What the routes for a path say.
#[derive(Clone, Copy)]
pub(super) struct At<'x> {
    /// A body that cannot be read is refused for that.
    pub(super) reads_body: bool,
    /// The path is mapped for more than one method.
    pub(super) other_methods: &'x dyn Fn() -> bool,
    /// Whether the path is mapped for a method of that name, in whatever case.
    pub(super) is_mapped: &'x dyn Fn(&str) -> bool,
    /// Whether the routes know a parameter of the query.
    pub(super) knows_of_query: &'x dyn Fn(&str) -> bool,
    /// Whether they read a header.
    pub(super) knows_of_header: &'x dyn Fn(&str) -> bool,
    /// The routes know one of the body.
    pub(super) knows_of_body: &'x dyn Fn() -> bool,
    /// Whether there are routes for a host of that name.
    pub(super) is_host: &'x dyn Fn(&str) -> bool,
}

/// Refuses what asks for another method, path or host, unless `ignores` says that the service does not obey it.
pub(super) fn check(
    facts: &RequestFacts<'_>,
    query: Option<&str>,
    at: At<'_>,
    ignores: &dyn Fn(Ignored) -> bool,
) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::bad_request(code, message));
    let there = facts.headers.watched();
    if !ignores(Ignored::MethodOverride) {
        methods::check(facts, query, at)?;
    }
    // proxies that add a line of their own, as HAProxy does, and those that add to the last one say the same
    let lines = if there.any(Group::Forwarded) { facts.headers.list("forwarded") } else { Some(Cow::default()) };
    let pairs = lines.as_deref().and_then(forwarded::pairs);
    let pairs = match pairs {
        Some(pairs) => pairs,
        None => {
            let kinds = [(Ignored::HostOverride, "host_override"), (Ignored::PathOverride, "path_override")];
            if let Some((_, code)) = kinds.into_iter().find(|(what, _)| !ignores(*what)) {
                let message = "`Forwarded` is not what RFC 7239 has: pairs of `by`, `for`, `host`, `proto` and `secret`, each \
                               once for a proxy, with plain values";
                return refuse(code, message);
            }
            Vec::new()
        }
    };
    let asks_path = || there.names(Group::Paths).any(|name| facts.headers.field(name) != Field::Absent);
    if asks_path() && !ignores(Ignored::PathOverride) {
        return refuse("path_override", "a header asks for another path");
    }
    let same = |name: &str| match facts.headers.field(name) {
        Field::Absent => true,
        Field::One(value) => value == facts.target,
        Field::Repeated => false,
    };
    if there.any(Group::Targets) && !there.names(Group::Targets).all(same) && !ignores(Ignored::PathOverride) {
        return refuse("path_override", "a header names another target than the request has");
    }
    if !ignores(Ignored::ActionOverride) {
        actions::check(facts, query, at)?;
    }
    let names_path = |name: &str| PATH_FIELDS.contains(&fold(name).as_str());
    if query.is_some_and(|query| query::has_name(query, &names_path)) && !ignores(Ignored::PathOverride) {
        return refuse("path_override", "the query asks for another path");
    }
    let is_url = |pair: &Pair<'_>| matches!(pair, Pair::Proto(scheme) if !forwarded::is_scheme(scheme));
    if (!forwarded::is_plain(facts) || pairs.iter().any(is_url)) && !ignores(Ignored::PathOverride) {
        let message = "a header names a scheme, a port or a prefix of the path that makes another URL of the request";
        return refuse("path_override", message);
    }
    if !same_host(facts, &pairs, at.is_host) && !ignores(Ignored::HostOverride) {
        return refuse("host_override", "a header names another host than the request");
    }
    Ok(())
}

/// Whether every header that names a host names that of the request. One may name a machine instead, by a name that is
/// no host with routes.
fn same_host(facts: &RequestFacts<'_>, pairs: &[Pair<'_>], is_host: &dyn Fn(&str) -> bool) -> bool {
    let there = facts.headers.watched();
    if pairs.is_empty() && !there.any(Group::Hosts) && !there.any(Group::Server) {
        return true;
    }
    let own = facts.host.and_then(normal_host);
    let same = |value: &[u8]| {
        // most say what the gateway says, letter by letter
        if facts.host.is_some_and(|host| host.as_bytes() == value) {
            return own.is_some();
        }
        let host = std::str::from_utf8(value).ok().map(str::trim).and_then(normal_host);
        host.is_some() && host == own
    };
    let named = there.names(Group::Hosts).all(|name| match facts.headers.field(name) {
        Field::Absent => true,
        Field::One(value) => value.trim_ascii().is_empty() || same(value),
        Field::Repeated => false,
    });
    // what a service takes for a host has one form, and what has none is no name either
    let is_machine = |name: &str| {
        normal_host(name).is_some_and(|word| {
            !name.contains(':')
                && word.bytes().any(|byte| byte.is_ascii_alphabetic())
                && word != "localhost"
                // an address in the digits of sixteen
                && !word.rsplit('.').next().is_some_and(|last| last.starts_with("0x"))
                && !is_host(&word)
        })
    };
    // a proxy names itself by an address that is no host with routes
    let is_proxy = |node: &str| forwarded::is_node(node) && normal_host(node).is_none_or(|host| !is_host(&host));
    named
        && there.names(Group::Server).all(|name| match facts.headers.field(name) {
            Field::Absent => true,
            Field::One(value) => forwarded::is_list(value, &|name| same(name.as_bytes()) || is_machine(name)),
            Field::Repeated => false,
        })
        && pairs.iter().all(|pair| match pair {
            Pair::Host(host) => same(host.as_bytes()),
            Pair::By(node) => same(node.as_bytes()) || is_proxy(node),
            Pair::Proto(_) | Pair::Other => true,
        })
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;
