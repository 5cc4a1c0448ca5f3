//! The location that asks the sidecar.

use std::time::Duration;

use crate::directive::Directive;
use crate::headers::{is_held_to_the_same, is_of_body, is_override, must_be_seen, names_caller};
use crate::nginx::bodies::is_same;
use crate::nginx::known::{Known, keeps};
use crate::nginx::pass;
use crate::nginx::scope::Block;
use crate::nginx::target::{ENDPOINT, Target, resolved};
use crate::nginx::value::{of_client_at, of_host_at, reads};
use crate::report::Report;
use crate::{DEADLINE, NOT_CHECKED, answers, is_of_this_machine};

pub(super) fn lint(check: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    let first = check.head.map(|head| head.at);
    let off = |name: &str| check.nearest(name).is_some_and(|d| d.argument(1) == "off");
    if check.own("internal").is_none() {
        report.missing(
            "nginx-check-reachable",
            first,
            "clients can reach the location that asks the sidecar",
            "add `internal;`",
        );
    }
    target(check, known, report);
    others(check.body(), true, report);
    told(check, known, report);
    timeouts(check, report);
    let header = |name: &str| check.header("proxy_set_header", name);
    let removed = |name: &str| header(name).is_some_and(|set| set.argument(2).is_empty());
    if !removed("Connection") || check.nearest("proxy_http_version").is_none() {
        report.missing(
            "nginx-check-keepalive",
            first,
            "before nginx 1.29.7 every check opens a connection of its own",
            "set `proxy_http_version 1.1; proxy_set_header Connection \"\";`, and `keepalive` in the upstream",
        );
    }
    if !off("proxy_pass_request_body") || !removed("Content-Length") {
        report.missing(
            "nginx-check-body",
            first,
            "the check waits for a body that `auth_request` does not send",
            "set `proxy_pass_request_body off; proxy_set_header Content-Length \"\";`",
        );
    }
    if let Some(cache) = check.nearest("proxy_cache").filter(|_| !off("proxy_cache")) {
        report.warn(
            "nginx-check-cached",
            Some(cache.at),
            "an answer of the sidecar is kept, and given to other requests than it was meant for",
            "leave `proxy_cache` out, or set it `off` here",
        );
    }
    if off("proxy_pass_request_headers") {
        report.warn(
            "nginx-check-headers",
            first,
            "the sidecar sees no headers: neither who asks, nor twins of its own headers, nor that another method is asked for",
            "leave `proxy_pass_request_headers` on",
        );
    }
    described(check, known, report);
}

/// What nginx says of the request to the sidecar: a client can set each header that nginx does not set.
fn described(check: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    for (name, value, what, twisted) in [
        (
            "X-Original-URI",
            "$request_uri",
            "the target",
            "the sidecar gets another target than the client sent: `$uri` is decoded and has its dots resolved",
        ),
        ("X-Original-Method", "$request_method", "the method", "the sidecar gets another method than the service"),
        (
            "X-Original-Host",
            "$host",
            "the host",
            "this is not the host that nginx goes by: `$http_host` differs where the target is a URL",
        ),
        (
            "X-Forwarded-For",
            "$remote_addr",
            "the client's address",
            "a client's own `X-Forwarded-For`, or another header that it may write, gives the sidecar its address",
        ),
    ] {
        let help = format!("set `proxy_set_header {name} {value};`");
        match check.header("proxy_set_header", name) {
            None => {
                let message = format!("the sidecar does not get {what}, and a client may name one");
                report.missing("nginx-check-told", check.head.map(|head| head.at), &message, &help);
            }
            // an address may come from elsewhere, such as PROXY protocol, but not from what the client wrote
            Some(set) if name == "X-Forwarded-For" => {
                if of_client_at(set.argument(2), check, known) {
                    report.warn("nginx-check-told", Some(set.at), twisted, &help);
                }
                peer(set, check, known, report);
            }
            Some(set) if name == "X-Original-Host" => {
                if let Some(message) = host(set.argument(2), check, known, twisted) {
                    report.warn("nginx-check-told", Some(set.at), message, &help);
                }
            }
            Some(set) if set.argument(2).replace(['{', '}'], "") != value => {
                report.warn("nginx-check-told", Some(set.at), twisted, &help)
            }
            Some(_) => {}
        }
    }
}

/// Whether the address is that of PROXY protocol, which any client speaks that reaches the port.
fn peer(set: &Directive, check: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    let accepts = |listen: &&Directive| listen.words.iter().any(|word| word == "proxy_protocol");
    let listens = check.all("listen");
    let open = listens.iter().filter(|listen| accepts(listen)).any(|listen| !is_of_this_machine(listen.argument(1)));
    if open && reads(set.argument(2), &|variable| variable == "proxy_protocol_addr", check, known) {
        report.warn(
            "nginx-trusts-everybody",
            set.at,
            "any client says itself by PROXY protocol which address it has, and the sidecar believes it",
            "set `real_ip_header proxy_protocol;`, name the proxies in front with `set_real_ip_from`, and give `$remote_addr`",
        );
    }
}

/// What is wrong with the host that the sidecar gets. A fixed host is fine if the service gets a fixed one too, or if
/// requests for no other host come here.
fn host(value: &str, check: &Block<'_>, known: &Known<'_>, twisted: &'static str) -> Option<&'static str> {
    if of_client_at(value, check, known) {
        return Some("the client says itself which host's routes decide");
    }
    if of_host_at(value, check, known) {
        return Some(twisted);
    }
    let follows = reads(value, &|variable| variable == "host", check, known);
    let only = known.only_name(check).is_some_and(|name| [name, "$server_name", "${server_name}"].contains(&value));
    (!follows && !only && known.goes_by_host(check))
        .then_some("requests for any host are checked by the routes of this one, and the service goes by their own")
}

/// What answers beside the sidecar: `return`, a file, or another service.
fn others(body: &[Directive], top: bool, report: &mut Report<'_>) {
    for line in body {
        let answers = match line.name() {
            "return" => line.argument(1).starts_with('2') && line.argument(1).len() == 3,
            "try_files" | "empty_gif" | "stub_status" => true,
            "proxy_pass" => !top && !line.argument(1).ends_with(ENDPOINT),
            name => pass::is_pass(name),
        };
        if answers {
            report.warn(
                "nginx-check-elsewhere",
                line.at,
                &format!(
                    "`{}` answers the check in the place of the sidecar, and each 2xx of it lets a request pass",
                    line.name()
                ),
                "leave it out: `proxy_pass` to the sidecar, and nothing beside it",
            );
        }
        if matches!(line.name(), "if" | "limit_except") {
            others(line.body(), false, report);
        }
        if is_filter(line.name()) {
            report.warn(
                NOT_CHECKED,
                line.at,
                "what the program makes of the sidecar's answer is not known here",
                "leave it out: what it answers 2xx passes",
            );
        }
    }
}

/// Whether a program may change an answer.
fn is_filter(name: &str) -> bool {
    name.starts_with("header_filter_by_lua") || name == "js_header_filter"
}

/// What the sidecar does not see of the request, or sees otherwise than the service.
fn told(check: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    for set in check.all("proxy_set_header") {
        let (name, value) = (set.argument(1), set.argument(2));
        // nginx itself takes `Upgrade` away, which is looked at where it is given to the service
        if name.eq_ignore_ascii_case("upgrade") {
            continue;
        }
        let read = must_be_seen(name) && (value.is_empty() || is_override(name) || is_of_body(name));
        let own = is_of_body(name) && is_same(name, value, known);
        // of these services put a URL together
        // a type with something beside it is another one
        let kept = if is_of_body(name) { own } else { keeps(set) };
        let hides = (read || is_held_to_the_same(name, name)) && !kept;
        if hides && !known.is_replaced(name) {
            // what the check says of the request stands in the place of the client's own
            let help = if ["X-Original-URI", "X-Original-Host"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
                format!("set `proxy_set_header {name} \"\";` where the service gets it")
            } else {
                "leave it out here, or set it in the same way where the service gets it".to_owned()
            };
            let message = format!("the sidecar does not see the client's own `{name}`, and the service does");
            report.warn("nginx-check-headers", set.at, &message, &help);
        } else if resolved(value, check).iter().any(|value| names_caller(name, value, &['$'])) {
            report.warn(
                "nginx-check-headers",
                set.at,
                &format!("the sidecar gets a fixed `{name}`, so every caller is that one"),
                "leave it out: the client's own is passed to the sidecar",
            );
        }
    }
}

fn target(check: &Block<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    let Some(pass) = check.own("proxy_pass") else {
        report.missing(
            "nginx-check-elsewhere",
            check.head.map(|head| head.at),
            "the location that `auth_request` names does not ask the sidecar",
            "set `proxy_pass http://palisade/gateway/nginx;`",
        );
        return;
    };
    for url in resolved(pass.argument(1), check) {
        address(&url, pass, known, report);
    }
}

fn address(url: &str, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    let target = Target::read(url);
    // a variable that comes from elsewhere may hold the path
    if target.uri.is_none() && target.host.starts_with('$') {
        report.not_checked(
            pass.at,
            &format!("where the sidecar is asked is not known here: `{}` says it", target.host),
            "write `proxy_pass http://palisade/gateway/nginx;`",
        );
        return;
    }
    if target.uri != Some(ENDPOINT) {
        let asked = target.uri.map_or_else(|| "the check's own path".to_owned(), |uri| format!("`{uri}`"));
        report.warn(
            "nginx-check-elsewhere",
            Some(pass.at),
            &format!("the sidecar is asked at {asked}, and answers nginx at `{ENDPOINT}` alone"),
            "set `proxy_pass http://palisade/gateway/nginx;`",
        );
    }
    let addresses = known.addresses(target.host);
    if let Some(wrong) = answers::wrong(&addresses, &known.services) {
        report.warn("nginx-check-elsewhere", Some(pass.at), &wrong, "name sidecars alone, no `backup` of another kind");
    }
    for (port, listener) in [("8181", "the admin listener"), ("9191", "the listener for gRPC")] {
        if addresses.iter().any(|to| to.rsplit_once(':').is_some_and(|(_, found)| found == port)) {
            report.warn(
                "nginx-check-elsewhere",
                Some(pass.at),
                &format!("port {port} is {listener} unless it was changed, and answers no gateway"),
                "name the decision listener: `127.0.0.1:8180`",
            );
        }
    }
}

fn timeouts(check: &Block<'_>, report: &mut Report<'_>) {
    let read = check.nearest("proxy_read_timeout");
    if read.is_none() || check.nearest("proxy_connect_timeout").is_none() {
        report.missing(
            "nginx-check-timeout",
            check.head.map(|head| head.at),
            "a sidecar that hangs holds every request for 60 seconds",
            "set `proxy_connect_timeout 500ms; proxy_read_timeout 1s;`",
        );
    }
    if let Some(read) =
        read.filter(|read| milliseconds(read.argument(1)).is_some_and(|time| Duration::from_millis(time) <= DEADLINE))
    {
        report.warn(
            "nginx-check-timeout",
            Some(read.at),
            "nginx gives up before the sidecar does: `gateway.deadline` is 100 ms unless it was changed",
            "set `proxy_read_timeout 1s;`",
        );
    }
}

/// A time as nginx writes it: `50ms`, `1s`, `1m 30s`, or seconds without a unit.
fn milliseconds(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text.trim());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" | "" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(unit)?)?;
        rest = rest[end..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, time) in [
            ("50ms", Some(50)),
            ("1s", Some(1000)),
            ("2", Some(2000)),
            ("1m30s", Some(90_000)),
            ("1m 30s", Some(90_000)),
            ("$x", None),
            ("1y", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(milliseconds(text), time, "{text}");
        }
    }
}
