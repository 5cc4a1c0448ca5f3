//! Caddy with `forward_auth`.
//!
//! A Caddyfile is read as Caddy reads it: sites, snippets and named routes, directives in the order in which they run.

mod beside;
mod check;
mod chosen;
mod host;
mod options;
mod order;
mod parse;
mod peers;
mod sites;
mod walk;

use crate::Files;
use crate::directive::Directive;
use crate::report::{At, Report};
use palisade_engine::model::Diagnostic;
use sites::Sites;

/// Where the sidecar answers forward authentication.
const ENDPOINT: &str = "/gateway/forward";

/// What may stand before the name of a header: what is done with it, and when.
const SIGNS: [char; 4] = ['-', '+', '?', '>'];

/// The traps in the Caddyfile `text`.
pub(super) fn lint(origin: &str, text: &str, files: Files<'_>) -> Vec<Diagnostic> {
    let mut report = Report::new(files);
    let source = report.add(origin, text);
    let first = At { source, line: 1 };
    let mut start = text.trim_start().chars();
    if start.next() == Some('{') && start.as_str().trim_start().starts_with('"') {
        report.broken(first, "this is Caddy's JSON, of which nothing was looked at: `--caddy` reads a Caddyfile");
        return report.findings(&[]);
    }
    let Some(sites) = Sites::read(source, &mut report) else { return report.findings(&[]) };
    let all = sites.all("forward_auth");
    let expanded = sites.all("reverse_proxy").into_iter().any(|proxy| check::expanded(proxy).is_some());
    if all.is_empty() && !expanded {
        report.missing(
            "caddy-no-check",
            None,
            "there is no `forward_auth`, so nothing asks the sidecar",
            "add `forward_auth` in front of `reverse_proxy`",
        );
        return report.findings(&[]);
    }
    // another authentication may stand beside ours
    let ours = expanded || all.iter().any(|check| check::is_ours(check));
    walk::sites(&sites, ours, &mut report);
    peers::lint(&sites, &mut report);
    report.findings(&[])
}

/// The matcher of a directive, if it has one that does not match everything.
fn matcher(directive: &Directive) -> Option<&str> {
    let first = directive.argument(1);
    let matches = first.starts_with(['@', '/']) && first != "/*";
    matches.then_some(first)
}

/// The arguments behind the matcher.
fn rest(directive: &Directive) -> &[String] {
    let skip = usize::from(directive.argument(1).starts_with(['@', '/']) || directive.argument(1) == "*");
    directive.arguments().get(skip..).unwrap_or_default()
}
