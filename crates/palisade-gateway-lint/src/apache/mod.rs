//! Apache with `mod_lua`.
//!
//! The configuration is read with its containers and what it includes, so that each virtual host is judged by what
//! counts in it.

mod caches;
mod chosen;
mod defines;
mod errors;
mod handlers;
mod harmless;
mod hosts;
mod inside;
mod names;
mod parse;
mod peers;
mod places;
mod served;

use crate::directive::Directive;
use crate::headers::{BODY_HELP, body_changed, is_of_body, is_override, names_caller, overrides};
use crate::include::{self, Part, Syntax};
use crate::report::Report;
use crate::{Files, NOT_CHECKED, PROGRAM, PROGRAM_HELP, is_identity};
use chosen::Written;
use hosts::{Found, Host};
use names::Firsts;
use palisade_engine::model::Diagnostic;

/// The traps in the configuration that begins with `text`.
pub(super) fn lint(origin: &str, text: &str, files: Files<'_>) -> Vec<Diagnostic> {
    let mut report = Report::new(files);
    let source = report.add(origin, text);
    let tree = include::read(&SYNTAX, source, &mut report).unwrap_or_default();
    let tree = defines::filled(tree, &mut report);
    let hosts = hosts::hosts(&tree);
    if !hosts.iter().any(|host| !host.checks.is_empty()) {
        report.missing(
            "apache-no-check",
            None,
            "there is no `LuaHookAccessChecker`, so nothing asks the sidecar",
            "add `LuaHookAccessChecker /etc/apache2/palisade.lua check early` to the virtual host",
        );
        return report.findings(&[]);
    }
    let (main, virtuals) = match hosts.split_first() {
        Some(split) => split,
        None => return report.findings(&[]),
    };
    let (written, firsts) = (Written::read(&hosts), Firsts::read(virtuals));
    let members = inside::members(&tree);
    let mut left = errors::MOST;
    for host in std::iter::once(main).chain(virtuals) {
        checks(host, &mut report);
        handlers::manager(host, main, &mut report);
        let one = names::has_one(host, &firsts);
        let around = Around { alone: virtuals.is_empty(), one, members: &members };
        passes([host, main], around, &written, &mut left, &mut report);
        for found in &host.others {
            other(found, one, &written, &mut report);
        }
    }
    errors::trailers(&hosts, &mut report);
    peers::lint(&hosts, &mut report);
    inside::lint(&tree, &mut report);
    harmless::lint(&tree, &mut report);
    report.findings(&[])
}

const SYNTAX: Syntax = Syntax { gateway: "Apache", parse: parse::parse, part };

fn part(directive: &Directive, report: &mut Report<'_>) -> Part {
    match directive.name() {
        "include" | "includeoptional" => Part::Included,
        "use" => {
            report.not_checked(
                directive.at,
                "what this macro comes to is not looked at",
                "look at what `httpd -D DUMP_CONFIG` writes",
            );
            Part::Dropped
        }
        _ => Part::Kept,
    }
}

/// The lines that ask the sidecar.
fn checks(host: &Host<'_>, report: &mut Report<'_>) {
    for Found { directive, .. } in &host.checks {
        if !directive.words.last().is_some_and(|word| word.eq_ignore_ascii_case("early")) {
            report.warn(
                "apache-check-late",
                directive.at,
                "other modules decide before the sidecar is asked",
                "end it with `early`",
            );
        }
    }
}

/// What stands around a host.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// Whether there are no virtual hosts.
    alone: bool,
    /// Whether requests for one name alone come here.
    one: bool,
    /// The members of each balancer.
    members: &'a [(&'a str, &'a str)],
}

/// What passes requests on to a service, or runs one. Of what stands around virtual hosts, handlers count in these.
fn passes(
    [host, main]: [&Host<'_>; 2],
    around: Around<'_>,
    written: &Written,
    left: &mut usize,
    report: &mut Report<'_>,
) {
    let checks: Vec<&Found<'_>> = host.checks.iter().chain(&main.checks).collect();
    let own = host.handlers.iter().filter(|_| host.head.is_some() || around.alone);
    let handlers: Vec<&Found<'_>> = own.chain(handlers::inherited(host, main)).collect();
    let all = host.passes.iter().chain(handlers.iter().copied());
    let open: Vec<&Found<'_>> = all.filter(|pass| !checks.iter().any(|check| check.covers(pass))).collect();
    if let Some(pass) = open.first() {
        match checks.first() {
            Some(check) => report.warn(
                "apache-check-conditional",
                check.directive.at,
                &format!(
                    "the sidecar is asked only within `<{}>`, and not about all that is passed on",
                    check.within()
                ),
                "put it into the virtual host, outside of everything else",
            ),
            None => report.missing(
                "apache-host-unchecked",
                host.head.map_or(pass.directive.at, |head| head.at),
                "nothing asks the sidecar about the requests of this host: they reach the service unchecked",
                "add `LuaHookAccessChecker /etc/apache2/palisade.lua check early`",
            ),
        }
    }
    if !checks.is_empty() {
        handlers::behind(host, main, report);
        errors::pages([host, main], &handlers, left, report);
    }
    if host.passes.is_empty() || checks.is_empty() {
        return;
    }
    for pass in &host.passes {
        path(pass, around.members, written, report);
    }
    caches::lint(host, main, report);
    let set = |name: &str, value: &str| {
        let lines = host.others.iter().chain(&main.others).filter(|found| found.directive.name() == name);
        let mut lines = lines.map(|found| found.directive).peekable();
        let first = lines.peek().map(|line| line.at);
        (lines.any(|line| line.argument(1).eq_ignore_ascii_case(value)), first)
    };
    let at = host.passes.first().map(|pass| pass.directive.at);
    let (right, line) = set("allowencodedslashes", "nodecode");
    if !right {
        report.missing(
            "apache-encoded-slashes",
            line.or(at),
            "an encoded slash is decoded for the service, or refused before the sidecar is asked",
            "set `AllowEncodedSlashes NoDecode`",
        );
    }
    let (right, line) = set("proxypreservehost", "on");
    if !right && !around.one {
        report.missing(
            "apache-host-changed",
            line.or(at),
            "the service gets another host than was checked",
            "set `ProxyPreserveHost On`",
        );
    }
}

/// Whether the service gets the path that was checked.
fn path(pass: &Found<'_>, members: &[(&str, &str)], written: &Written, report: &mut Report<'_>) {
    let directive = pass.directive;
    let has = |word: &str| directive.words.iter().any(|found| found.eq_ignore_ascii_case(word));
    let url = pass.url().unwrap_or_default();
    let target = url.rsplit('|').next().unwrap_or(url).split_once("://").map_or("", |(scheme, _)| scheme);
    let target = target.rsplit(['=', ':']).next().unwrap_or_default();
    let plain = ["http", "https", "h2", "h2c", "ws", "wss", "balancer"].iter().any(|s| target.eq_ignore_ascii_case(s));
    if directive.name().starts_with("proxypass") && plain && !has("nocanon") {
        report.warn(
            "apache-nocanon",
            directive.at,
            "Apache writes the path again for the service, which gets another than was checked",
            "add `nocanon`",
        );
    }
    // the first part of what is behind the scheme names the service, unless all of it is a variable
    let at =
        if matches!(directive.name(), "sethandler" | "forcetype") || directive.argument(2).is_empty() { 1 } else { 2 };
    let whole = if url.is_empty() { directive.argument(at) } else { url };
    let rest = whole.split_once("://").map_or(whole, |(_, rest)| rest);
    let service = rest.split('/').next().unwrap_or_default();
    if chosen::names_service(service, has("interpolate"), written)
        || chosen::captured(service, &pass.conditions, written)
    {
        report.warn(
            "apache-host-changed",
            directive.at,
            "the client may say which service gets the request, and the sidecar went by the host",
            "name the service here",
        );
    }
    let kept = pass.local().is_some_and(|local| {
        let url = url.rsplit('|').next().unwrap_or(url);
        let path = path_of(url);
        // of a balancer each member is put in the place of its name
        let balancer = if target.eq_ignore_ascii_case("balancer") { service } else { "" };
        let mut of = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case(balancer)).peekable();
        if of.peek().is_none() {
            return path == local;
        }
        of.all(|(_, member)| path_of(member).trim_end_matches('/').to_owned() + path == local)
    });
    if (plain || target.eq_ignore_ascii_case("ajp")) && hosts::by_handler(directive) {
        report.warn(
            "apache-path-rewritten",
            directive.at,
            "by a handler the service gets the path of the file that Apache looked for, and not what was checked",
            "pass requests on with `ProxyPass` and `nocanon`, in the `<Location>` where this stands",
        );
    } else if !kept && plain {
        report.warn(
            "apache-path-rewritten",
            directive.at,
            "the path is rewritten, so the sidecar and the service may see different ones",
            "let the service have the path as it was sent: the same path on both sides",
        );
    }
    inside::upgrade(directive, report);
    inside::scheme(directive, target, report);
}

/// The path of a URL.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// What is wrong wherever it stands.
fn other(found: &Found<'_>, one: bool, written: &Written, report: &mut Report<'_>) {
    let directive = found.directive;
    let early = directive.words.last().is_some_and(|word| word.eq_ignore_ascii_case("early"));
    handlers::variables(directive, one, written, report);
    match (directive.name(), directive.argument(1).to_ascii_lowercase().as_str()) {
        ("rewriterule", _) if hosts::rewrites(directive) => report.warn(
            "apache-path-rewritten",
            directive.at,
            "the path is rewritten, so the sidecar and the service may see different ones",
            "let the service have the path as it was sent",
        ),
        ("satisfy", "any") => report.warn(
            "apache-satisfy-any",
            directive.at,
            "with `Satisfy Any` a password or an address lets requests pass that the sidecar denied",
            "leave it out: `Satisfy All` is the default",
        ),
        ("luainherit", "none") => report.warn(
            "apache-check-conditional",
            directive.at,
            "what stands here does not take over the check from around it",
            "leave `LuaInherit` out",
        ),
        ("httpprotocoloptions", _) if directive.words.iter().any(|word| word.eq_ignore_ascii_case("unsafe")) => report
            .warn(
                "apache-unsafe",
                directive.at,
                "requests that are not valid are passed on, and the service may read them otherwise than Apache",
                "leave `Unsafe` out",
            ),
        ("requestheader", what) if is_identity(directive.argument(2)) && !early => {
            let removes = what == "unset";
            let message = if removes {
                "this runs after the check, and removes what the sidecar says of the caller"
            } else {
                "what the sidecar says of the caller is replaced behind the check"
            };
            let rule = if removes { "apache-identity-removed" } else { "apache-identity-set" };
            report.warn(rule, directive.at, message, "leave it out: the script does it, or end it with `early`");
        }
        ("requestheader", _) if !early && is_of_body(directive.argument(2)) => {
            report.warn("apache-content-type-changed", directive.at, &body_changed(directive.argument(2)), BODY_HELP);
        }
        ("requestheader", what) if what != "unset" => {
            set(directive, early, written, report);
            if !early && !one {
                names::header(directive, report);
            }
        }
        (name, _) if is_program(name) => report.warn(NOT_CHECKED, directive.at, PROGRAM, PROGRAM_HELP),
        _ => {}
    }
}

/// Whether a directive runs a program of `mod_lua` or `mod_perl` that may change a request or answer it.
fn is_program(name: &str) -> bool {
    let lua = name.starts_with("luahook") && !["luahookaccesschecker", "luahooklog"].contains(&name);
    lua || ["luamaphandler", "luaquickhandler", "luaauthzprovider"].contains(&name)
        || (name.starts_with("perl")
            && name.ends_with("handler")
            && !["perlloghandler", "perlcleanuphandler"].contains(&name))
}

/// A header that Apache writes into the request: before the check where it ends with `early`, else behind.
fn set(directive: &Directive, early: bool, written: &Written, report: &mut Report<'_>) {
    let (name, value) = (directive.argument(2), directive.argument(3));
    let of_client = value.contains('%') || value.starts_with("expr=");
    let own_host = value.contains("HTTP_HOST") || value.contains("SERVER_NAME") || value.contains("{Host}");
    if !early && name.eq_ignore_ascii_case("host") && of_client && !own_host {
        report.warn(
            "apache-host-changed",
            directive.at,
            "the service gets another host than was checked, and the client may say which",
            "leave it out",
        );
    }
    if early && names_caller(name, value, &['%']) {
        report.warn(
            "apache-check-told",
            directive.at,
            &format!("the sidecar gets a fixed `{name}`, so every caller is that one"),
            "leave it out: the client's own is passed to the sidecar",
        );
    }
    let of_client = if is_override(name) { of_client && !own_host } else { chosen::of_client_in(name, value, written) };
    if !early && overrides(name, value, of_client) {
        report.warn(
            "apache-override-set",
            directive.at,
            &format!("`{name}` is set behind the check: some services take another request by it than was checked"),
            "leave it out",
        );
    }
}
