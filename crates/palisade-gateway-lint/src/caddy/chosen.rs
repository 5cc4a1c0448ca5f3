//! Where the client itself says which service gets a request.

use crate::caddy::sites::Sites;
use crate::caddy::{check, host, rest};
use crate::directive::Directive;
use crate::headers::is_held_to_the_same;
use crate::report::Report;

/// How often one placeholder may be made of another.
const DEEPEST: usize = 8;

/// Headers that Caddy writes itself for the sidecar and the service: a client's own is not seen there.
const ITS_OWN: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Placeholders that hold what a client wrote, because `vars`, `map` or a pattern puts it there: what is in the brackets, or
/// what that begins with.
pub(super) fn written(sites: &Sites) -> Vec<String> {
    let mut written = captures(sites);
    for _ in 0..DEEPEST {
        let before = written.len();
        made(sites, &mut written);
        written.sort();
        written.dedup();
        if written.len() == before {
            break;
        }
    }
    written
}

/// Adds what `vars` and `map` make of placeholders that are known.
fn made(sites: &Sites, written: &mut Vec<String>) {
    let known = written.clone();
    let mut var = |words: &[String]| {
        if let [name, value, ..] = words
            && of_client(value, &known)
        {
            written.extend([format!("vars.{name}"), format!("http.vars.{name}")]);
        }
    };
    for line in sites.all("vars") {
        var(rest(line));
        line.body().iter().for_each(|inner| var(&inner.words));
    }
    for map in sites.all("map") {
        let source = rest(map).first().is_some_and(|source| of_client(source, &known));
        let given = |line: &Directive| {
            // `~(.+) ${1}` gives what it found in the source
            let captured = source && line.name().starts_with('~') && line.arguments().iter().any(|to| to.contains('$'));
            captured || line.arguments().iter().any(|value| of_client(value, &known))
        };
        if map.body().iter().any(given) {
            let names = rest(map).iter().skip(1).map(|name| name.trim_matches(['{', '}']));
            written.extend(names.map(str::to_owned));
        }
    }
}

/// What `header_regexp` finds in a header of the client's, as `{re.name.1}`.
fn captures(sites: &Sites) -> Vec<String> {
    let mut found = Vec::new();
    let starts = |name: &str| ["re.", "http.regexp."].map(|start| format!("{start}{name}"));
    for site in sites.sites.iter().chain(sites.routes.values()) {
        walk(site, &mut |line, around| {
            // in the line of a named matcher, or in its block
            let Some(at) = line.words.iter().position(|word| word == "header_regexp") else { return };
            let words = &line.words[at + 1..];
            let (name, field) = match words {
                [name, field, _, ..] => (name.as_str(), field),
                [field, ..] => ("", field),
                [] => return,
            };
            if field.eq_ignore_ascii_case("host") {
                return;
            }
            let matcher = if at == 0 { around.name() } else { line.name() };
            if name.is_empty() {
                found.extend((b'0'..=b'9').flat_map(|digit| starts(&char::from(digit).to_string())));
            }
            let name = if name.is_empty() { matcher.trim_start_matches('@') } else { name };
            found.extend(starts(&format!("{name}.")));
        });
    }
    found
}

fn walk(body: &Directive, each: &mut dyn FnMut(&Directive, &Directive)) {
    for line in body.body() {
        each(line, body);
        walk(line, each);
    }
}

/// Whether a value holds what a client writes, beside `Host`.
pub(super) fn of_client(value: &str, written: &[String]) -> bool {
    reads(value, written, &|_| false)
}

/// Whether a client may write a part of the value that a header gets, and the sidecar does not see it there.
pub(super) fn of_client_in(header: &str, value: &str, written: &[String]) -> bool {
    let own = |read: &str| ITS_OWN.iter().any(|name| read.eq_ignore_ascii_case(name));
    reads(value, written, &|read| is_held_to_the_same(header, read) && !own(read))
}

fn reads(value: &str, written: &[String], seen: &dyn Fn(&str) -> bool) -> bool {
    let placeholders = value.split('{').skip(1).map(|rest| rest.split(['}', ':']).next().unwrap_or_default());
    placeholders.into_iter().any(|name| {
        let short = name.strip_prefix("http.request.").unwrap_or(name);
        if let Some(header) = short.strip_prefix("header.") {
            return !header.eq_ignore_ascii_case("host") && !seen(header);
        }
        short.starts_with("query")
            || short.starts_with("uri.query")
            || short.starts_with("orig_uri.query")
            || short.starts_with("cookie.")
            || short == "body"
            || short == "tls.server_name"
            || written.iter().any(|known| name == known || (known.ends_with('.') && name.starts_with(known.as_str())))
    })
}

/// What a `reverse_proxy` passes requests on to, where a client names it.
pub(super) fn upstreams(proxy: &Directive, written: &[String], any: bool, report: &mut Report<'_>) {
    let dynamic = proxy.body().iter().filter(|line| line.name() == "dynamic");
    let inner =
        dynamic.flat_map(|line| line.arguments().iter().chain(line.body().iter().flat_map(Directive::arguments)));
    let named = check::upstreams(proxy).into_iter().chain(inner.map(String::as_str));
    let named: Vec<&str> = named.collect();
    // that a host was checked says nothing of where it leads
    if any && named.iter().any(|to| host::is_of_request(to)) {
        report.warn(
            "caddy-override-set",
            proxy.at,
            "the host that a client asks for says which service gets the request: where a file of routes has no `hosts`, any name \
             is checked by it",
            "name the services here, let `map` choose among those that it lists, or give the site plain names",
        );
    }
    if named.into_iter().any(|to| of_client(to, written)) {
        report.warn(
            "caddy-override-set",
            proxy.at,
            "the client says which service gets the request, and the sidecar went by the host",
            "name the services here, or let `map` choose among those that it lists",
        );
    }
}
