//! Where the client itself says which service gets a request, or which host that is asked for.

use crate::gateway::lint::haproxy::sections::{Config, Rule, Section};
use crate::gateway::lint::report::Report;

/// What reads from a request what a client writes there, beside `Host`.
const FETCHES: &[&str] = &["hdr(", "hdr_ip(", "url_param(", "cook(", "cookie(", "urlp(", "urlp_val("];

/// Variables that hold what a client wrote.
pub(super) fn written(config: &Config) -> Vec<String> {
    let rules = || config.sections.iter().flat_map(|section| config.rules(section));
    let mut written: Vec<String> = Vec::new();
    let set = |rule: &Rule<'_>| {
        let rest =
            ["set-var(", "set-var-fmt(", "do-resolve("].iter().find_map(|start| rule.action().strip_prefix(start));
        let name = rest?.split([')', ',']).next()?;
        rule.arguments().iter().any(|word| of_client(word, &[])).then(|| name.to_owned())
    };
    written.extend(rules().filter_map(|rule| set(&rule)));
    written.sort();
    written.dedup();
    written
}

/// Whether an expression holds what a client writes, beside `Host`. What a map gives is the author's own.
pub(super) fn of_client(value: &str, written: &[String]) -> bool {
    let value = value.to_ascii_lowercase();
    let reads = FETCHES.iter().any(|fetch| {
        value.match_indices(fetch).any(|(at, _)| !value[at + fetch.len()..].trim_start().starts_with("host"))
    });
    let variable = |name: &String| {
        let name = name.to_ascii_lowercase();
        value.contains(&format!("var({name})")) || value.contains(&format!("var({name},"))
    };
    (reads || written.iter().any(variable)) && !value.contains(",map")
}

/// A rule by which the service gets a host of the client's, or is one.
pub(super) fn lint(rule: Rule<'_>, after: bool, written: &[String], report: &mut Report<'_>) {
    let any = rule.arguments().iter().any(|word| of_client(word, written));
    let host = rule.arguments().first().is_some_and(|name| name.eq_ignore_ascii_case("host"));
    if any && after && host && rule.action().ends_with("-header") {
        report.warn(
            "haproxy-override-set",
            rule.line.at,
            "the client says in another header which host the service gets, and another was checked",
            "leave it out, or let a map choose among the hosts that it lists",
        );
    }
    if any && matches!(rule.action(), "set-dst" | "set-dst-port") {
        report.warn(
            "haproxy-override-set",
            rule.line.at,
            "the client says which service gets the request, and the sidecar went by the host",
            "leave it out, or let a map choose among the addresses that it lists",
        );
    }
}

/// Backends that a client names.
pub(super) fn backends(section: &Section, written: &[String], report: &mut Report<'_>) {
    let named = |line: &&crate::gateway::lint::haproxy::sections::Line| {
        line.begins(&["use_backend"]) && line.words.get(1).is_some_and(|name| of_client(name, written))
    };
    for line in section.lines.iter().filter(named) {
        report.warn(
            "haproxy-override-set",
            line.at,
            "the client says which service gets the request, and the sidecar went by the host",
            "let a map choose among the backends that it lists",
        );
    }
}
