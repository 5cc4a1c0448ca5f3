//! By what Apache itself serves another path behind the check, and what tunnels pass.

use crate::directive::Directive;
use crate::headers::BODY_REPLACED;
use crate::report::Report;
use crate::{NOT_CHECKED, PROGRAM, PROGRAM_HELP};

/// The rule for a body that is another one for the service.
const CHANGED: &str = "apache-content-type-changed";

/// Handlers and directives whose scripts may name another path in their answer.
pub(super) const CGI: &str =
    "action cgi-script fcgid-script script scriptalias scriptaliasmatch virtualscriptalias virtualscriptaliasip";

/// What stands before the names of filters.
const FILTERS: &[(&str, usize)] =
    &[("setoutputfilter", 1), ("addoutputfilter", 1), ("addoutputfilterbytype", 1), ("filterprovider", 2)];

pub(super) fn lint(body: &[Directive], report: &mut Report<'_>) {
    for directive in body {
        if matches!(directive.name(), "proxyset" | "balancermember" | "proxy") {
            upgrade(directive, report);
        }
        // a member of a balancer is where requests go that are passed on to `balancer://`
        if directive.name() == "balancermember" {
            let schemes = directive.arguments().iter().filter_map(|word| word.rsplit('|').next()?.split_once("://"));
            schemes.for_each(|(name, _)| scheme(directive, name, report));
        }
        input(directive, report);
        if includes(directive) {
            report.warn(
                "apache-includes",
                directive.at,
                "what `<!--#include virtual=...-->` in an answer names is served too, and the sidecar is never asked about it",
                "leave it out, or let the service itself put its pages together",
            );
        }
        lint(directive.body(), report);
    }
}

/// The members of balancers: the name of each balancer, and where requests go.
pub(super) fn members(body: &[Directive]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for directive in body {
        if let Some(name) = balancer(directive.argument(1)) {
            let inner = directive.body().iter().filter(|line| line.name() == "balancermember");
            found.extend(inner.map(|line| (name, line.argument(1))));
            if directive.name() == "balancermember" {
                found.push((name, directive.argument(2)));
            }
        } else {
            found.extend(members(directive.body()));
        }
    }
    found
}

/// The name in `balancer://name`.
fn balancer(url: &str) -> Option<&str> {
    url.strip_prefix("balancer://")?.split('/').next()
}

/// Whether answers are read for commands of `mod_include`.
fn includes(directive: &Directive) -> bool {
    let filters = FILTERS.iter().find(|(name, _)| *name == directive.name()).map(|(_, at)| directive.argument(*at));
    let named =
        filters.is_some_and(|list| list.split([';', ',']).any(|name| name.trim().eq_ignore_ascii_case("includes")));
    let parsed = matches!(directive.name(), "addhandler" | "sethandler")
        && directive.argument(1).eq_ignore_ascii_case("server-parsed");
    let by_bit = directive.name() == "xbithack" && !directive.argument(1).eq_ignore_ascii_case("off");
    named || parsed || by_bit
}

/// What passes more upgrades on than those to WebSocket.
pub(super) fn upgrade(directive: &Directive, report: &mut Report<'_>) {
    for word in &directive.words {
        let upgrade = word.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        if upgrade.is_some_and(|(_, to)| !to.eq_ignore_ascii_case("websocket")) {
            report.warn("apache-upgrade", directive.at, crate::TUNNEL, "set `upgrade=websocket`, or leave it out");
        }
    }
}

/// A service over a protocol of CGI's kind.
pub(super) fn scheme(directive: &Directive, scheme: &str, report: &mut Report<'_>) {
    if ["scgi", "uwsgi"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        cgi(directive, &format!("{scheme}://"), report);
    }
}

/// What runs a script behind the check that may name another path.
pub(super) fn cgi(directive: &Directive, name: &str, report: &mut Report<'_>) {
    report.warn(
        "apache-cgi",
        directive.at,
        &format!("by `{name}`, an answer with `Location: /other` makes Apache serve that path, which was not checked"),
        "pass requests on with `http://`: such an answer goes to the client then",
    );
}

/// What makes another body of the one that a client sent.
fn input(directive: &Directive, report: &mut Report<'_>) {
    // what reads bodies slowly, or keeps them as they are
    const PLAIN: &[&str] =
        &["", "buffer", "dumpio", "dumpio_in", "kept_body", "none", "ratelimit", "reqtimeout", "request_body"];
    const CHANGES: &[&str] = &["deflate", "inflate", "sed", "xlatein"];
    if directive.name() == "charsetsourceenc" {
        report.warn(CHANGED, directive.at, BODY_REPLACED, "leave it out: it translates what clients send, too");
    }
    if !matches!(directive.name(), "setinputfilter" | "addinputfilter") {
        return;
    }
    let names = directive.argument(1).split(';').map(|name| name.trim().to_ascii_lowercase());
    for name in names.filter(|name| !PLAIN.contains(&name.as_str())) {
        if CHANGES.contains(&name.as_str()) {
            report.warn(
                CHANGED,
                directive.at,
                BODY_REPLACED,
                "leave it out, so that the service gets the client's own",
            );
        } else {
            report.warn(NOT_CHECKED, directive.at, PROGRAM, PROGRAM_HELP);
        }
    }
}
