//! What runs a service beside a proxy: scripts, modules for applications, WebDAV. By their names, and else every handler
//! that is not known to give out files or pages of Apache's own.

use crate::apache::chosen::{Written, assignments, of_client_in};
use crate::apache::hosts::{Found, Host, flags};
use crate::apache::{inside, names, peers};
use crate::directive::Directive;
use crate::headers::{BODY_HELP, body_changed, is_of_body, names_host, overrides};
use crate::report::Report;
use crate::{NOT_CHECKED, is_identity, is_listed};

/// Directives that say so by their name.
const NAMED: &str = "action dav h2proxyrequests jkautoalias jkmount jkmountfile passengerenabled proxyexpressenable script \
    scriptalias scriptaliasmatch virtualscriptalias virtualscriptaliasip wsgihandlerscript wsgiscriptalias \
    wsgiscriptaliasmatch";

/// Handlers that give out files, or pages of Apache's own.
const FILES: &str = "balancer-manager default-handler http2-status imap-file ldap-status md-status none send-as-is \
    server-info server-status type-map";

/// Handlers and directives by which a service gets its variables from the request that was checked.
const PLAIN: &str = "action cgi-script fcgid-script passengerenabled php-script php5-script php7-script script scriptalias \
    scriptaliasmatch virtualscriptalias virtualscriptaliasip wsgi-script wsgihandlerscript wsgiscriptalias \
    wsgiscriptaliasmatch";

/// What says how Phusion Passenger runs an application, which it does wherever it is not switched off.
const PASSENGER: &str = "passengerappenv passengerappgroupname passengerapproot passengerapptype passengerbaseuri \
    passengernodejs passengerpython passengerrestartdir passengerruby passengerstartupfile rackenv railsenv";

/// What the server around all hosts says of Passenger.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passenger {
    loaded: bool,
    off: bool,
}

// === impl Passenger ===

impl Passenger {
    pub(super) fn around(lines: &[Found<'_>]) -> Self {
        let loads = |line: &Directive| {
            line.name() == "passengerroot"
                || (line.name() == "loadmodule" && line.argument(1).eq_ignore_ascii_case("passenger_module"))
        };
        Self { loaded: lines.iter().any(|found| loads(found.directive)), off: is_off(lines, None) }
    }
}

/// Whether Passenger is switched off for all that stands here.
fn is_off(lines: &[Found<'_>], root: Option<&str>) -> bool {
    lines.iter().any(|found| {
        let line = found.directive;
        line.name() == "passengerenabled" && line.argument(1).eq_ignore_ascii_case("off") && found.is_for_all(root)
    })
}

/// What of a virtual host says that Passenger runs an application in it: how it does, or a directory that is given out and
/// lies in one, as its guide has it.
pub(super) fn passenger<'f, 't>(lines: &'f [Found<'t>], around: Passenger) -> impl Iterator<Item = &'f Found<'t>> {
    let root = lines.iter().find(|found| found.directive.name() == "documentroot");
    let path = root.map(|found| found.directive.argument(1).trim_end_matches('/'));
    let off = around.off || is_off(lines, path);
    let of_app = root.filter(|_| around.loaded && path.is_some_and(|path| path.ends_with("/public")));
    let named = lines.iter().find(|found| is_listed(PASSENGER, found.directive.name()));
    named.or(of_app).filter(|_| !off).into_iter()
}

/// Whether a directive says that Passenger runs an application.
pub(super) fn is_passenger(line: &Directive) -> bool {
    matches!(line.name(), "passengerenabled" | "documentroot") || is_listed(PASSENGER, line.name())
}

/// Whether a handler, in small letters, gives out files or pages of Apache's own.
pub(super) fn gives_files(handler: &str) -> bool {
    is_listed(FILES, handler)
}

/// Whether the name of a directive says that it runs a service.
pub(super) fn is_named(name: &str) -> bool {
    is_listed(NAMED, name)
}

/// The name of a handler that a directive chooses, or of the directive itself, if it runs a service.
fn name(directive: &Directive) -> Option<String> {
    let first = directive.argument(1).to_ascii_lowercase();
    let off = matches!(first.as_str(), "off" | "none");
    let php = |kind: &str| kind.contains("x-httpd-php");
    let chosen = |handler: &str| (!gives_files(handler) && !handler.starts_with("proxy:")).then(|| handler.to_owned());
    match directive.name() {
        "proxyrequests" => (!off).then(|| directive.name().to_owned()),
        "sethandler" | "addhandler" => chosen(&first),
        "addtype" | "forcetype" => php(&first).then_some(first),
        "rewriterule" => flags(directive).iter().find_map(|flag| match flag.split_once('=')? {
            ("h" | "handler", handler) => chosen(handler),
            ("t" | "type", kind) => php(kind).then(|| kind.to_owned()),
            _ => None,
        }),
        name => (is_named(name) && !off).then(|| name.to_owned()),
    }
}

/// Whether a directive runs a service.
pub(super) fn is_one(directive: &Directive) -> bool {
    name(directive).is_some()
}

/// Handlers of the server that a virtual host without a check takes over, if it gives out files.
pub(super) fn inherited<'h, 't>(host: &Host<'t>, main: &'h Host<'t>) -> impl Iterator<Item = &'h Found<'t>> {
    let files = host.head.is_some() && host.others.iter().any(|found| found.directive.name() == "documentroot");
    // a directory of scripts that comes with an installation is no service
    main.handlers.iter().filter(move |found| files && !found.directive.name().ends_with("alias"))
}

/// A page by which members of balancers are switched off, and others named, without a guard.
pub(super) fn manager(host: &Host<'_>, main: &Host<'_>, report: &mut Report<'_>) {
    let is_manager = |found: &&Found<'_>| {
        matches!(found.directive.name(), "sethandler" | "addhandler")
            && found.directive.argument(1).eq_ignore_ascii_case("balancer-manager")
    };
    let checked = |page: &Found<'_>| host.checks.iter().chain(&main.checks).any(|check| check.covers(page));
    for page in host.others.iter().filter(is_manager).filter(|page| !checked(page) && !page.is_guarded()) {
        if !peers::is_reached(host, main) {
            continue;
        }
        report.missing(
            "apache-admin-open",
            page.directive.at,
            "unauthenticated requests reach this page, and change the members of balancers",
            "put `Require ip 10.0.0.0/8` or `Require valid-user` beside it, or the check into its virtual host",
        );
    }
}

/// What runs behind a check: whether the service gets what was checked.
pub(super) fn behind(host: &Host<'_>, main: &Host<'_>, report: &mut Report<'_>) {
    let group = |name: &str| !matches!(name, "" | "%{GLOBAL}");
    let grouped = host.others.iter().chain(&main.others).map(|found| found.directive);
    let grouped = grouped.into_iter().any(|line| line.name() == "wsgiprocessgroup" && group(line.argument(1)));
    for directive in host.handlers.iter().map(|found| found.directive) {
        let Some(name) = name(directive) else { continue };
        if matches!(name.as_str(), "proxyrequests" | "h2proxyrequests") {
            report.warn(
                "apache-host-changed",
                directive.at,
                "a client may send its request through this proxy to any host, and the sidecar goes by the routes of this one",
                "set it `Off`",
            );
        } else if name.starts_with("wsgi")
            && (grouped || directive.words.iter().any(|word| word.strip_prefix("process-group=").is_some_and(group)))
        {
            // a process of its own answers as a script does; within Apache's own processes nothing is asked for again
            inside::cgi(directive, &format!("{name}` with a process group, and `mod_wsgi"), report);
        } else if is_listed(inside::CGI, &name) {
            inside::cgi(directive, &name, report);
        } else if !is_listed(PLAIN, &name) && !name.contains("x-httpd-php") {
            report.warn(
                NOT_CHECKED,
                directive.at,
                &format!("what of a request `{name}` gives to the service is not known here"),
                "see that the service gets the method, the path and the host that were checked, and the sidecar's headers in \
                 the place of a client's own",
            );
        }
    }
}

/// Whether a value is all of the client's own header.
fn is_same(header: &str, value: &str) -> bool {
    let (header, value) = (header.to_ascii_lowercase().replace('_', "-"), value.to_ascii_lowercase());
    [format!("%{{http:{header}}}"), format!("%{{req:{header}}}")].contains(&value)
}

/// Variables that a service gets in the place of headers, or beside them.
pub(super) fn variables(line: &Directive, one: bool, written: &Written, report: &mut Report<'_>) {
    let mut set: Vec<(String, String)> = Vec::new();
    let mut add = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
        set.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    };
    match line.name() {
        "setenv" => add(&mut std::iter::once((line.argument(1), line.argument(2)))),
        // `!NAME` takes one away
        "proxyfcgisetenvif" => {
            add(&mut std::iter::once((line.argument(2).trim_start_matches('!'), line.argument(3))));
        }
        "setenvif" | "setenvifnocase" => add(&mut assignments(line, 3)),
        "setenvifexpr" | "browsermatch" | "browsermatchnocase" => add(&mut assignments(line, 2)),
        "rewriterule" => {
            let flags = line.argument(3).trim_matches(['[', ']']).split(',');
            add(&mut flags.filter_map(|flag| {
                let (kind, pair) = flag.trim().split_once('=')?;
                pair.split_once(':').filter(|_| matches!(kind, "E" | "e" | "env"))
            }));
        }
        _ => {}
    }
    for (name, value) in set {
        let header = name.strip_prefix("HTTP_");
        // a value from what the pattern found in a header
        let captured = line.name().starts_with("setenvif") && value.contains('$');
        let of_body = name == "CONTENT_TYPE" || name == "CONTENT_LENGTH" || header.is_some_and(is_of_body);
        if of_body && !is_same(header.unwrap_or(&name), &value) {
            report.warn("apache-content-type-changed", line.at, &body_changed(&name), BODY_HELP);
            continue;
        }
        let (rule, message) = if header.is_some_and(is_identity) {
            ("apache-identity-set", "stands for what the sidecar says of the caller, and is set by another module")
        } else if name == "REQUEST_METHOD"
            || header.is_some_and(|header| overrides(header, &value, captured || of_client_in(header, &value, written)))
        {
            (
                "apache-override-set",
                "is set behind the check: some services take another request by it than was checked",
            )
        } else {
            let fixed = !captured && !value.is_empty() && !value.contains(['%', '$']);
            if !one && fixed && header.is_some_and(|header| names_host(header, &value)) {
                names::changed(line, &name, report);
            }
            continue;
        };
        report.warn(rule, line.at, &format!("`{name}` {message}"), "leave it out");
    }
}
