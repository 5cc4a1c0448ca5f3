//! Whether the service reads the body that the sidecar was asked about: its type, where it ends, and what it holds.

use crate::directive::Directive;
use crate::headers::{BODY_HELP, BODY_REPLACED, body_changed, is_of_body};
use crate::nginx::known::Known;
use crate::nginx::pass::{passes_headers, setter};
use crate::nginx::scope::Block;
use crate::report::{At, Report};

/// The rule of all findings here.
const RULE: &str = "nginx-content-type-changed";

/// Headers by which a service knows what a body is, without those that nginx itself sends.
const KINDS: [&str; 2] = ["Content-Type", "Content-Encoding"];

/// A location whose requests are asked about.
pub(super) fn lint(block: &Block<'_>, pass: &Directive, known: &Known<'_>, report: &mut Report<'_>) {
    let sets = setter(pass);
    // neither a body nor a length: the next request begins where this one ends
    let bodiless = sends_no_body(block, pass);
    let buffered = switched_off(block, "proxy_request_buffering").is_none();
    for set in block.all(sets).into_iter().filter(|set| changes(set, sets, buffered, known)) {
        if !(bodiless && is_emptied(set)) {
            report.warn(RULE, set.at, &body_changed(set.argument(1)), BODY_HELP);
        }
    }
    if sets == "proxy_set_header" {
        replaced(block, bodiless, report);
    }
    // variables of FastCGI and its kin are set one by one
    if sets.ends_with("_set_header") && !passes_headers(block, pass) && !bodiless {
        kinds(block, pass, report);
    }
}

fn is_emptied(set: &Directive) -> bool {
    set.argument(2).is_empty() && set.argument(1).eq_ignore_ascii_case("content-length")
}

fn switched_off<'t>(block: &Block<'t>, name: &str) -> Option<&'t Directive> {
    block.nearest(name).filter(|line| line.argument(1) == "off")
}

/// Whether the service gets no body, and no length of one. A body that is still on its way is announced as chunks.
fn sends_no_body(block: &Block<'_>, pass: &Directive) -> bool {
    let emptied = block.all("proxy_set_header").into_iter().any(is_emptied);
    pass.name() == "proxy_pass"
        && emptied
        && switched_off(block, "proxy_pass_request_body").is_some()
        && switched_off(block, "proxy_request_buffering").is_none()
        && block.nearest("proxy_set_body").is_none()
}

/// Whether a line changes what says how a body is read. Over FastCGI and its kin, and in gRPC, something else says where it
/// ends. In HTTP nginx itself does: with another value than its own the service takes a part of it for the next request.
fn changes(set: &Directive, sets: &str, buffered: bool, known: &Known<'_>) -> bool {
    let (name, value) = (set.argument(1), set.argument(2).replace(['{', '}'], "").to_ascii_lowercase());
    let header = name.strip_prefix("HTTP_").unwrap_or(name);
    let plain = header.to_ascii_lowercase().replace('-', "_");
    let same = is_same(header, &value, known);
    let free = match (sets, plain.as_str()) {
        // the client's own header is not there for a body in chunks, which nginx takes apart
        ("proxy_set_header", "content_length") => value == "$content_length",
        // none is sent of a body that was read before
        ("proxy_set_header", "transfer_encoding") => value.is_empty() && buffered,
        (_, "content_length" | "transfer_encoding") => same || value.is_empty(),
        _ => same,
    };
    is_of_body(header) && !free
}

/// Whether a value is all of the client's own header: its variable, or what a `map` makes of that without a change.
pub(super) fn is_same(header: &str, value: &str, known: &Known<'_>) -> bool {
    let plain = header.to_ascii_lowercase().replace('-', "_");
    let own = |value: &str| {
        let value = value.replace(['{', '}'], "").to_ascii_lowercase();
        value == format!("${plain}") || value == format!("$http_{plain}")
    };
    let kept = |line: &Directive| {
        let special = matches!(line.name(), "hostnames" | "volatile");
        special || own(line.argument(1)) || (line.name().is_empty() && line.argument(1).is_empty())
    };
    let maps = value.replace(['{', '}'], "");
    let maps = maps.strip_prefix('$').map(|name| known.maps(name)).unwrap_or_default();
    own(value) || (!maps.is_empty() && maps.iter().all(|map| own(map.argument(1)) && map.body().iter().all(kept)))
}

/// Another body than the client's.
fn replaced(block: &Block<'_>, bodiless: bool, report: &mut Report<'_>) {
    let own = |set: &&Directive| set.argument(1).replace(['{', '}'], "") != "$request_body";
    if let Some(set) = block.nearest("proxy_set_body").filter(own) {
        report.warn(RULE, set.at, BODY_REPLACED, "leave it out, so that the service gets the client's own");
    }
    let off = switched_off(block, "proxy_pass_request_body").filter(|_| !bodiless);
    if let Some(off) = off.filter(|_| block.nearest("proxy_set_body").is_none()) {
        report.warn(
            RULE,
            off.at,
            "the length of a body is announced and no body sent: the service takes the next request for it",
            "leave it out, or set `proxy_set_header Content-Length \"\";` beside it",
        );
    }
}

/// What the body is, where the client's headers do not go along by themselves.
fn kinds(block: &Block<'_>, pass: &Directive, report: &mut Report<'_>) {
    let at: Option<At> = block.nearest(&format!("{}_request_headers", pass.name())).map(|line| line.at);
    for name in KINDS.into_iter().filter(|name| block.header(setter(pass), name).is_none()) {
        report.missing(RULE, at, &body_changed(name), "leave it on, or pass each of the headers on, one by one");
    }
}
