//! Where the client itself says which service gets a request, or which host that is asked for.

use crate::haproxy::sections::{Config, Rule, Section};
use crate::headers::is_held_to_the_same;
use crate::report::Report;

/// What reads from a request what a client writes there, beside its headers.
const FETCHES: &[&str] =
    &["body_param(", "cook(", "cookie(", "ssl_fc_sni", "url_param(", "urlp(", "urlp_val(", "[query]", "[query,"];

/// What reads a header, as `req.hdr(x-a)`.
const HEADERS: &[&str] = &["hdr(", "hdr_ip(", "hdr_val("];

/// Variables that hold what a client wrote.
#[derive(Default)]
pub(super) struct Written {
    any: Vec<String>,
    /// Those that do not come from a header of which a URL is put together: the sidecar sees that one.
    unseen: Vec<String>,
    /// Those that hold the host that is asked for, or what a name server says of it.
    hosts: Vec<String>,
}

// === impl Written ===

impl Written {
    pub(super) fn read(config: &Config) -> Self {
        let mut written = Self::default();
        for rule in config.sections.iter().flat_map(|section| config.rules(section)) {
            let starts = ["set-var(", "set-var-fmt(", "do-resolve("];
            let Some(rest) = starts.iter().find_map(|start| rule.action().strip_prefix(start)) else { continue };
            let Some(name) = rest.split([')', ',']).next().map(str::to_ascii_lowercase) else { continue };
            let words = || rule.arguments().iter();
            if words().any(|word| word == "query" || word.starts_with("query,") || reads(word, &[], &|_| false)) {
                written.any.push(name.clone());
            }
            if words().any(|word| of_host(word, &written.hosts)) {
                written.hosts.push(name.clone());
            }
            if words().any(|word| word == "query" || reads(word, &[], &|read| is_held_to_the_same(read, read))) {
                written.unseen.push(name);
            }
        }
        for list in [&mut written.any, &mut written.unseen] {
            list.sort();
            list.dedup();
        }
        written
    }
}

/// Whether an expression holds what a client writes, beside `Host`. What a map lists is the author's own.
pub(super) fn of_client(value: &str, written: &Written) -> bool {
    reads(value, &written.any, &|_| false)
}

/// Whether a client may write a part of the value that a header gets, and the sidecar does not see it there.
pub(super) fn of_client_in(header: &str, value: &str, written: &Written) -> bool {
    let variables = if is_held_to_the_same(header, header) { &written.unseen } else { &written.any };
    reads(value, variables, &|read| is_held_to_the_same(header, read))
}

fn reads(value: &str, written: &[String], seen: &dyn Fn(&str) -> bool) -> bool {
    let value = value.to_ascii_lowercase();
    let header = |part: &str| {
        HEADERS.iter().any(|fetch| {
            part.match_indices(fetch).any(|(at, _)| {
                let name = part[at + fetch.len()..].split([')', ',']).next().unwrap_or_default().trim();
                name != "host" && !seen(name)
            })
        })
    };
    let variable = |part: &str| {
        written.iter().any(|name| part.contains(&format!("var({name})")) || part.contains(&format!("var({name},")))
    };
    // the `[` stays, by which a fetch without arguments is known
    value.split('%').any(|part| {
        let listed = part.contains(",map") && !part.contains(",map_regm");
        !listed && (header(part) || variable(part) || FETCHES.iter().any(|fetch| part.contains(fetch)))
    })
}

/// Whether an expression holds the host that is asked for, and is no address that a map lists for it.
fn of_host(value: &str, written: &[String]) -> bool {
    let value = value.to_ascii_lowercase();
    let listed = value.contains(",map") && !value.contains(",map_regm");
    let read = ["hdr(host)", "hdr(host,"].iter().any(|fetch| value.contains(fetch));
    let variable =
        written.iter().any(|name| value.contains(&format!("var({name})")) || value.contains(&format!("var({name},")));
    !listed && (read || variable)
}

/// A rule by which the service gets a host of the client's, or is one.
pub(super) fn lint(rule: Rule<'_>, after: bool, written: &Written, report: &mut Report<'_>) {
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
    // that a host was checked says nothing of where it leads, and its port is not checked at all
    if !any && rule.action().starts_with("set-dst") && rule.arguments().iter().any(|word| of_host(word, &written.hosts))
    {
        report.warn(
            "haproxy-override-set",
            rule.line.at,
            "the host that a client asks for says which service gets the request: where a file of routes has no `hosts`, any name \
             is checked by it, and a port never is",
            "let a map choose among the addresses that it lists",
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
pub(super) fn backends(section: &Section, written: &Written, report: &mut Report<'_>) {
    let named = |line: &&crate::haproxy::sections::Line| {
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
