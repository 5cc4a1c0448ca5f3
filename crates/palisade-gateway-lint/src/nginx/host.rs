//! Whether the service gets the host that was checked.

use crate::directive::Directive;
use crate::headers::{is_override, names_host};
use crate::nginx::chosen;
use crate::nginx::known::Known;
use crate::nginx::pass::{passes_headers, setter};
use crate::nginx::scope::{Block, Server};
use crate::nginx::target::Target;
use crate::nginx::value::{captures, follows_host, of_client_at, of_host_at, reads};
use crate::report::Report;

/// The name by which the host of a request is set for a service. FastCGI and its kin pass the client's own on without it.
fn host_name(pass: &Directive) -> &'static str {
    if setter(pass).ends_with("_param") { "HTTP_HOST" } else { "Host" }
}

/// Whether the service goes by the host of the request, and not by one that is fixed.
pub(super) fn goes_by_it(block: &Block<'_>, pass: &Directive, known: &Known<'_>) -> bool {
    let (sets, name) = (setter(pass), host_name(pass));
    let is_host = |variable: &str| matches!(variable, "host" | "http_host");
    let names_one = |set: &&Directive| {
        let header = set.argument(1);
        header.eq_ignore_ascii_case(name) || is_override(header.strip_prefix("HTTP_").unwrap_or(header))
    };
    let own = name == "HTTP_HOST" && block.header(sets, name).is_none() && passes_headers(block, pass);
    own || block.all(sets).into_iter().filter(names_one).any(|set| reads(set.argument(2), &is_host, block, known))
}

/// A location that passes requests on.
pub(super) fn lint(
    server: &Server<'_>,
    block: &Block<'_>,
    pass: &Directive,
    known: &Known<'_>,
    report: &mut Report<'_>,
) {
    written(block, pass, known, report);
    chosen_by_client(block, pass, known, report);
    if goes_by_host(server, block, known) && known.only_name(block).is_none() {
        fixed(block, pass, known, report);
    }
}

/// Whether the service gets the host as the client wrote it, and not the one that nginx goes by.
fn written(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    const MESSAGE: &str = "the service gets another host than was checked where the target is a URL";
    let (sets, name) = (setter(pass), host_name(pass));
    let help = format!("set `{sets} {name} $host;`");
    let hosts = || block.all(sets).into_iter().filter(|set| set.argument(1).eq_ignore_ascii_case(name));
    for set in hosts().filter(|set| of_host_at(set.argument(2), block, known)) {
        report.warn("nginx-host-changed", set.at, MESSAGE, &help);
    }
    if hosts().next().is_none() && name == "HTTP_HOST" && block.asks().is_some() && passes_headers(block, pass) {
        report.missing("nginx-host-changed", pass.at, MESSAGE, &help);
    }
}

/// Whether the client itself says which service gets the request, or which host that is asked for.
fn chosen_by_client(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    let target = Target::read(pass.argument(1)).host;
    if of_client_at(target, block, known) || of_host_at(target, block, known) {
        report.warn(
            "nginx-host-changed",
            Some(pass.at),
            "the client says which service gets the request, and the sidecar went by the host",
            "name the services here, or let a `map` choose among those that it lists",
        );
    }
    // that a host was checked says nothing of where it leads
    let of_name = |name: &str| name == "host" || captured_in_name(name, block);
    if reads(target, &of_name, block, known) && known.only_names(block).is_empty() {
        report.warn(
            "nginx-host-changed",
            Some(pass.at),
            "the host that a client asks for says which service gets the request: where a file of routes has no `hosts`, any name \
             is checked by it",
            "name the services here, let a `map` choose among those that it lists, or give the server plain names and let another \
             one be the `default_server`",
        );
    }
    let name = host_name(pass);
    let hosts = block.all(setter(pass)).into_iter().filter(|set| set.argument(1).eq_ignore_ascii_case(name));
    for host in hosts.filter(|host| of_client_at(host.argument(2), block, known)) {
        report.warn(
            "nginx-host-changed",
            Some(host.at),
            "the client says in another header which host the service gets, and another was checked",
            &format!("set `{} {name} $host;`", setter(pass)),
        );
    }
}

/// Whether a variable is what a pattern for the name of the server finds.
fn captured_in_name(name: &str, block: &Block<'_>) -> bool {
    let names = block.all("server_name").into_iter().flat_map(Directive::arguments);
    names.filter(|word| word.starts_with('~')).any(|word| captures(word, name))
}

/// Whether the sidecar is asked about the host of the request: one that is asked about a fixed host is the author's choice.
fn goes_by_host(server: &Server<'_>, block: &Block<'_>, known: &Known<'_>) -> bool {
    let check = block.asks().and_then(|ask| chosen(server, ask.argument(1)));
    let host = check.and_then(|check| Some((check, check.header("proxy_set_header", "X-Original-Host")?)));
    host.is_some_and(|(check, set)| follows_host(set.argument(2), check, known))
}

/// Whether the service gets one host for requests for every host: the routes of another one decide.
fn fixed(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    let (sets, own) = (setter(pass), host_name(pass));
    let help = format!(
        "set `{sets} {own} $host;`, or let another server be the `default_server`, so that requests for one name alone \
         come here"
    );
    // nginx names the service there
    if own == "Host"
        && block.header(sets, own).is_none()
        && !follows_host(Target::read(pass.argument(1)).host, block, known)
    {
        let message = "the service gets the name of its `upstream` as the host, and the routes of the host that the client \
                       asks for decide: nothing active here sets `Host`";
        report.missing("nginx-host-changed", pass.at, message, &help);
    }
    for set in block.all(sets) {
        let (name, value) = (set.argument(1), set.argument(2));
        let header = name.strip_prefix("HTTP_").unwrap_or(name);
        let is_client = || of_client_at(value, block, known) || of_host_at(value, block, known);
        let counts = names_host(header, value) && !value.is_empty();
        if counts && !follows_host(value, block, known) && !is_client() {
            let message = format!(
                "the service gets one host in `{name}` whatever the client asks for, and the routes of the client's host decide"
            );
            report.warn("nginx-host-changed", set.at, &message, &help);
        }
    }
}
