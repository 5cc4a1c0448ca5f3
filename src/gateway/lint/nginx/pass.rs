//! The locations that pass requests on to a service.

use crate::gateway::lint::IDENTITY;
use crate::gateway::lint::nginx::include::Report;
use crate::gateway::lint::nginx::scope::{Block, Matches, Server};
use crate::gateway::lint::nginx::target::{Target, names, of_sidecar};
use crate::gateway::lint::nginx::tree::Directive;

/// What passes requests on, and what sets the headers that go along.
const PASSES: &[(&str, &str)] = &[
    ("proxy_pass", "proxy_set_header"),
    ("grpc_pass", "grpc_set_header"),
    ("fastcgi_pass", "fastcgi_param"),
    ("uwsgi_pass", "uwsgi_param"),
    ("scgi_pass", "scgi_param"),
];

/// What helps where nothing asks.
const HELP: &str = "add `auth_request /_palisade;`; what is to be open is `public: true` in the route file";

/// What in a block itself passes requests on. nginx inherits none of these.
pub(super) fn passes<'t>(block: &Block<'t>) -> Option<&'t Directive> {
    block.body().iter().find(|directive| PASSES.iter().any(|(pass, _)| *pass == directive.name()))
}

/// Whether anything in a body or in its blocks passes requests on.
pub(super) fn pass_on(body: &[Directive]) -> bool {
    body.iter().any(|d| PASSES.iter().any(|(pass, _)| *pass == d.name()) || pass_on(d.body()))
}

pub(super) fn lint(server: &Server<'_>, checks: &[&Block<'_>], report: &mut Report<'_>) {
    let is_check =
        |block: &Block<'_>| checks.iter().any(|check| std::ptr::eq(check.body(), block.body())) || of_sidecar(block);
    let passing: Vec<(&Block<'_>, &Directive)> =
        server.blocks.iter().filter(|block| !is_check(block)).filter_map(|b| Some((b, passes(b)?))).collect();
    for (block, pass) in &passing {
        path(block, pass, report);
        upgrade(block, checks, report);
        if block.asks().is_some() {
            checked(block, pass, report);
        }
    }
    let unchecked: Vec<&Block<'_>> =
        passing.iter().map(|(block, _)| *block).filter(|block| block.nearest("auth_request").is_none()).collect();
    if unchecked.len() == passing.len()
        && !unchecked.is_empty()
        && let Some(head) = server.head
    {
        let message = "nothing asks the sidecar about the requests of this server: they reach the service unchecked";
        report.warn_of_missing(Some(head.at), message, HELP);
        return;
    }
    for block in unchecked {
        let inside = block.own("internal").is_some() || block.matches() == Some(Matches::Name);
        let message = if inside {
            "what is sent here by `error_page`, `try_files` or `X-Accel-Redirect` reaches the service unchecked"
        } else {
            "requests here reach the service unchecked: no `auth_request` is in force"
        };
        report.warn_of_missing(block.head.map(|head| head.at), message, HELP);
    }
}

/// Whether the service gets the path that was checked.
fn path(block: &Block<'_>, pass: &Directive, report: &mut Report<'_>) {
    if pass.name() == "proxy_pass" && Target::read(pass.argument(1)).uri.is_some() {
        report.warn(
            Some(pass.at),
            "a URI in `proxy_pass` makes nginx decode and resolve the path, so the service gets another than was \
             checked",
            "leave out everything after the host, the last `/` too",
        );
    }
    let host = block.header("proxy_set_header", "Host").filter(|_| pass.name() == "proxy_pass");
    if let Some(host) = host.filter(|host| names(host.argument(2), "$http_host")) {
        report.warn(
            Some(host.at),
            "the service gets another host than was checked where the target is a URL",
            "set `proxy_set_header Host $host;`",
        );
    }
}

/// Whether more is upgraded than a WebSocket where the sidecar allows one.
fn upgrade(block: &Block<'_>, checks: &[&Block<'_>], report: &mut Report<'_>) {
    let Some(set) = block.header("proxy_set_header", "Upgrade").filter(|set| !set.argument(2).is_empty()) else {
        return;
    };
    if names(set.argument(2), "$http_upgrade") {
        report.warn(
            Some(set.at),
            "any upgrade is passed on: in one to `h2c` a client sends requests that nobody is asked about",
            "set it from a `map $http_upgrade` that knows `~*^websocket$` alone",
        );
    }
    let told = |check: &&&Block<'_>| {
        check.header("proxy_set_header", "Upgrade").is_some_and(|told| names(told.argument(2), "$http_upgrade"))
    };
    if block.asks().is_some() && !checks.iter().all(|check| told(&check)) {
        report.warn(
            Some(set.at),
            "the sidecar is not told of an upgrade, and so allows a WebSocket on every route",
            "set `proxy_set_header Upgrade $http_upgrade;` where the sidecar is asked",
        );
    }
}

/// A location whose requests are asked about.
fn checked(block: &Block<'_>, pass: &Directive, report: &mut Report<'_>) {
    if let Some(satisfy) = block.nearest("satisfy").filter(|satisfy| satisfy.argument(1) == "any") {
        report.warn(
            Some(satisfy.at),
            "with `satisfy any` an `allow` or `auth_basic` lets requests pass that the sidecar denied",
            "leave it out: `satisfy all` is the default",
        );
    }
    let off = block.nearest("proxy_pass_request_headers").is_some_and(|d| d.argument(1) == "off");
    if pass.name() == "proxy_pass" && off {
        return;
    }
    let sets = PASSES.iter().find(|(name, _)| *name == pass.name()).map_or("proxy_set_header", |(_, sets)| *sets);
    let (mut missing, mut lost): (Vec<&str>, bool) = (Vec::new(), false);
    for name in IDENTITY {
        let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        let header = if sets.ends_with("_param") { variable.as_str() } else { name };
        if block.header(sets, header).is_none() {
            missing.push(name);
            lost |= block.loses(sets, header);
        }
        // nginx sends a header twice that is set twice, so each must be right
        for set in block.all(sets).iter().filter(|set| set.argument(1).eq_ignore_ascii_case(header)) {
            if !set.argument(2).is_empty() && !from_sidecar(block, set.argument(2), name) {
                report.warn_of_missing(
                    Some(set.at),
                    &format!(
                        "`{name}` is set to what no `auth_request_set` takes from the sidecar's header of that name"
                    ),
                    &help(sets, name, header),
                );
            }
        }
    }
    let Some(first) = missing.first() else { return };
    let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let replaced = if lost {
        format!("; where a block has a `{sets}`, those of the blocks around it do not count")
    } else {
        String::new()
    };
    let header = if sets.ends_with("_param") { "HTTP_X_PALISADE_..." } else { first };
    report.warn_of_missing(
        Some(pass.at),
        &format!("a client's own {names} reaches the service, because nothing in force here sets it{replaced}"),
        &help(sets, first, header),
    );
}

fn help(sets: &str, name: &str, header: &str) -> String {
    let snake = name.to_ascii_lowercase().replace('-', "_");
    let variable = snake.replacen("x_", "$", 1);
    format!("set `auth_request_set {variable} $upstream_http_{snake};` and `{sets} {header} {variable};`")
}

/// Whether a value is a variable that holds what the sidecar says in the header `name`.
fn from_sidecar(block: &Block<'_>, value: &str, name: &str) -> bool {
    let bare = |word: &str| word.replace(['{', '}'], "").to_ascii_lowercase();
    let source = format!("$upstream_http_{}", name.to_ascii_lowercase().replace('-', "_"));
    block
        .all("auth_request_set")
        .iter()
        .any(|set| bare(set.argument(1)) == bare(value) && bare(set.argument(2)) == source)
}
