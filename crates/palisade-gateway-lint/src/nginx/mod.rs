//! nginx with `auth_request`.
//!
//! The configuration is read as nginx reads it, with what it includes, so that each location is judged by the
//! directives that are active there.

mod beside;
mod bodies;
mod cache;
mod check;
mod harmless;
mod host;
mod known;
mod pages;
mod pass;
mod scope;
mod streams;
mod target;
#[cfg(test)]
pub(super) mod tests;
mod tree;
mod value;

use std::collections::HashSet;

use crate::directive::Directive;
use crate::include::{self, Part, Syntax};
use crate::report::{At, Report};
use crate::{Files, NOT_CHECKED, PROGRAM, PROGRAM_HELP, is_everybody};
use beside::Beside;
use known::Known;
use palisade_engine::model::Diagnostic;
use scope::{Block, Matches, Server};

const SYNTAX: Syntax = Syntax { gateway: "nginx", parse: tree::parse, part };

fn part(directive: &Directive, report: &mut Report<'_>) -> Part {
    let file = directive.argument(1);
    if directive.name() != "include" || directive.block.is_some() {
        Part::Kept
    } else if !is_data(file) || report.readable(file) {
        Part::Included
    } else {
        Part::Dropped
    }
}

/// Whether a file holds a table that says nothing of requests: types of media, or sets of characters.
fn is_data(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("mime.types" | "koi-utf" | "koi-win" | "win-utf"))
}

/// The traps in the configuration that begins with `text`.
pub(super) fn lint(origin: &str, text: &str, files: Files<'_>) -> Vec<Diagnostic> {
    let mut report = Report::new(files);
    let source = report.add(origin, text);
    let Some(tree) = include::read(&SYNTAX, source, &mut report) else { return report.findings(&[]) };
    let mut asks = false;
    scope::walk(&tree, &mut |directive, _| {
        asks |= directive.name() == "auth_request" && directive.argument(1) != "off"
    });
    if !asks {
        report.missing(
            "nginx-no-check",
            None,
            "there is no `auth_request`, so nothing asks the sidecar",
            "add `auth_request /_palisade;` to the location",
        );
        return report.findings(&[]);
    }
    let servers = scope::servers(&tree);
    let beside = Beside::read(&tree, &servers);
    let (mut checks, mut found): (Vec<&Block<'_>>, HashSet<*const Directive>) = Default::default();
    let mut lost: Vec<At> = Vec::new();
    for server in &servers {
        for ask in asked(server).into_iter().filter(|ask| !beside.is_one(ask)) {
            match chosen(server, ask.argument(1)) {
                // one location answers for many
                Some(check) if !found.insert(check.key()) => {}
                Some(check) => checks.push(check),
                None => {
                    lost.push(ask.at);
                    report.missing(
                        "nginx-check-lost",
                        Some(ask.at),
                        &format!(
                            "no location of this server is `{}`: another one answers the check, and each 2xx of it \
                             lets a request pass",
                            ask.argument(1)
                        ),
                        "let `auth_request` and the location that asks the sidecar have the same name",
                    );
                }
            }
        }
    }
    let known = Known::read(&tree, &servers, &checks, beside);
    for check in &checks {
        check::lint(check, &known, &mut report);
    }
    for server in &servers {
        pass::lint(server, &known, &mut report);
        pages::lint(server, &known, &mut report);
    }
    known.beside.lint(&mut report);
    streams::lint(&tree, &known, &mut report);
    anywhere(&tree, &checks, &mut report);
    harmless::lint(&tree, &mut report);
    report.findings(&lost)
}

/// What asks about the requests of a server: each `auth_request` that stands in it or is active where it passes
/// requests on.
fn asked<'t>(server: &Server<'t>) -> Vec<&'t Directive> {
    let (mut found, mut known): (Vec<&Directive>, HashSet<*const Directive>) = Default::default();
    for block in &server.blocks {
        let here = block.own("auth_request").is_some() || (pass::passes(block).is_some() && !target::of_sidecar(block));
        if let Some(ask) = block.asks().filter(|ask| here && known.insert(std::ptr::from_ref(*ask))) {
            found.push(ask);
        }
    }
    found
}

/// The location that answers a check, if it is one that is meant to: nginx takes any other that matches.
fn chosen<'a, 't>(server: &'a Server<'t>, uri: &str) -> Option<&'a Block<'t>> {
    let prefix = || {
        let longest = server.longest(uri)?;
        (longest.matches() == Some(Matches::Prefix(uri)) || target::of_sidecar(longest)).then_some(longest)
    };
    // a pattern is not matched here; it counts where it asks the sidecar
    let pattern = || server.patterns().find(|block| target::of_sidecar(block));
    server.exact(uri).or_else(prefix).or_else(pattern)
}

/// What is wrong wherever it stands.
fn anywhere(tree: &[Directive], checks: &[&Block<'_>], report: &mut Report<'_>) {
    let mut used: HashSet<&str> = HashSet::new();
    scope::walk(tree, &mut |directive, _| {
        if directive.name() != "auth_request_set" {
            used.extend(directive.words.iter().flat_map(|word| target::variables(word)));
        }
    });
    let checks: HashSet<*const Directive> =
        checks.iter().filter(|check| !check.body().is_empty()).map(|check| check.body().as_ptr()).collect();
    let files = of_files(tree);
    let mut found: Vec<(&'static str, At, &str, &str)> = Vec::new();
    scope::walk(tree, &mut |directive, around| {
        let first = directive.argument(1);
        let finding = match directive.name() {
            "auth_request" if first == "off" => {
                let check = checks.contains(&around.as_ptr());
                (!check && pass::pass_on(around)).then_some((
                    "nginx-unchecked",
                    "this location is not checked",
                    "make the route `public: true` in the route file instead, so that one place says what is open",
                ))
            }
            "underscores_in_headers" if first == "on" => Some((
                "nginx-underscores",
                "names with `_` reach the service, which may take `X_Palisade_Principal` for the sidecar's own header",
                "leave `underscores_in_headers` off",
            )),
            "ignore_invalid_headers" if first == "off" => Some((
                "nginx-invalid-headers",
                "names with `.` and the like reach the service, which may take `X.Palisade.Principal` for the sidecar's own \
                 header",
                "leave `ignore_invalid_headers` on",
            )),
            "set_real_ip_from" if is_everybody(first) => Some((
                "nginx-trusts-everybody",
                "any client says itself which address it has, and the sidecar believes it",
                "name the proxies in front",
            )),
            "rewrite" if !redirects(directive) => {
                let file = directive.argument(3) == "break" && files.contains(&around.as_ptr());
                (!file).then_some(REWRITTEN)
            }
            "merge_slashes" if first == "on" => Some(REWRITTEN),
            "set" | "auth_request_set" if first == "$args" => {
                let elsewhere = checks.contains(&around.as_ptr()) || files.contains(&around.as_ptr());
                (!elsewhere && !around.iter().any(answers)).then_some((
                    "nginx-path-rewritten",
                    "the query is written again: the service gets another than the sidecar was asked about",
                    "leave it out, and let the service have the query as it was sent",
                ))
            }
            // other values are for logs, or for nothing
            "auth_request_set" if !used.contains(first.trim_start_matches('$')) && value::is_of_sidecar(directive) => {
                Some((
                    "nginx-identity-headers",
                    "this value from the sidecar goes nowhere, and the client's own header passes",
                    "set the header of the service from it: `proxy_set_header X-Palisade-Principal $palisade_principal;`",
                ))
            }
            name if is_program(name) => Some((NOT_CHECKED, PROGRAM, PROGRAM_HELP)),
            _ => None,
        };
        found.extend(finding.map(|(rule, message, help)| (rule, directive.at, message, help)));
    });
    for (rule, at, message, help) in found {
        report.warn(rule, at, message, help);
    }
}

/// The bodies of locations that give files out and pass nothing on.
fn of_files(tree: &[Directive]) -> HashSet<*const Directive> {
    let mut found = HashSet::new();
    scope::walk(tree, &mut |directive, _| {
        let has = |names: &[&str]| directive.body().iter().any(|line| names.contains(&line.name()));
        let file = has(&["root", "alias"]) && !has(&["try_files", "error_page"]) && !pass::pass_on(directive.body());
        if directive.name() == "location" && file {
            found.insert(directive.body().as_ptr());
        }
    });
    found
}

/// Whether a directive runs a program that may change a request, answer it or choose its service.
fn is_program(name: &str) -> bool {
    let lua = ["_by_lua", "_by_lua_block", "_by_lua_file"].iter().find_map(|end| name.strip_suffix(end));
    let phases = ["rewrite", "server_rewrite", "access", "precontent", "content", "set", "balancer"];
    let njs = ["js_content", "js_set", "js_access", "perl", "perl_set"];
    lua.is_some_and(|phase| phases.contains(&phase)) || njs.contains(&name)
}

/// The finding for a path that is written again.
const REWRITTEN: (&str, &str, &str) = (
    "nginx-path-rewritten",
    "the service gets another path than was checked",
    "rewrite in front of the check, or not at all",
);

/// Whether a statement answers every request that comes to it, so that no service sees one.
fn answers(line: &Directive) -> bool {
    let all = matches!(line.argument(1).trim_matches(['^', '$', '(', ')', '/']), "" | ".*");
    line.name() == "return" || (line.name() == "rewrite" && all && redirects(line))
}

/// Whether a `rewrite` answers with a redirect, so that no service sees the request.
fn redirects(rewrite: &Directive) -> bool {
    let to = rewrite.argument(2);
    matches!(rewrite.argument(3), "redirect" | "permanent")
        || ["http://", "https://", "$scheme"].iter().any(|start| to.starts_with(start))
}
