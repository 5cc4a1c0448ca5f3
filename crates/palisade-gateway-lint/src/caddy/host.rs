//! Whether the service gets the host that was checked, and not one that is the same for requests for every host.

use std::collections::BTreeSet;

use crate::caddy::sites::Sites;
use crate::caddy::{SIGNS, check, chosen, rest};
use crate::directive::Directive;
use crate::headers::names_host;
use crate::report::Report;

const HELP: &str = "set `header_up Host {hostport}`, or let the site have one name alone";

/// Placeholders that hold the host of the request, or a part of it, besides those that `map`, `vars` and patterns make.
const PLACEHOLDERS: &[&str] = &["host", "hostport", "header.Host", "header.host"];

/// What is known of the hosts of a Caddyfile.
#[derive(Default)]
pub(super) struct Hosts {
    /// Placeholders that hold what `map`, `vars` or a pattern makes of the host.
    made: Vec<String>,
    /// Placeholders that hold what a client wrote elsewhere.
    written: Vec<String>,
}

// === impl Hosts ===

impl Hosts {
    pub(super) fn read(sites: &Sites, written: Vec<String>) -> Self {
        let mut hosts = Self { made: Vec::new(), written };
        for map in sites.all("map") {
            let words = rest(map);
            if words.first().is_some_and(|source| hosts.follows(source)) {
                hosts.made.extend(words.iter().skip(1).map(|name| name.trim_matches(['{', '}']).to_owned()));
            }
        }
        for line in sites.all("vars") {
            let inner = line.body().iter().map(|inner| inner.words.as_slice());
            for words in std::iter::once(rest(line)).chain(inner) {
                if let [name, value, ..] = words
                    && hosts.follows(value)
                {
                    hosts.made.extend([format!("vars.{name}"), format!("http.vars.{name}")]);
                }
            }
        }
        let patterns = ["header_regexp", "host_regexp"].into_iter().flat_map(|name| sites.all(name));
        if patterns.into_iter().any(|line| line.words.iter().any(|word| word.eq_ignore_ascii_case("host"))) {
            hosts.made.extend(["re.".to_owned(), "http.regexp.".to_owned()]);
        }
        hosts
    }

    /// Whether a value is the host of the request, a part of it, or what is listed for it.
    fn follows(&self, value: &str) -> bool {
        let placeholders = value.split('{').skip(1).map(|rest| rest.split(['}', ':']).next().unwrap_or_default());
        placeholders.into_iter().any(|name| {
            let short = name.strip_prefix("http.request.").unwrap_or(name);
            PLACEHOLDERS.contains(&short)
                || short.starts_with("host.labels.")
                || short.starts_with("labels.")
                || self.made.iter().any(|made| name == made || (made.ends_with('.') && name.starts_with(made.as_str())))
        })
    }

    /// Whether a header is written that names one host. What a client says is looked at elsewhere.
    fn is_fixed(&self, words: &[String]) -> bool {
        let [name, values @ ..] = words else { return false };
        if name.eq_ignore_ascii_case("-host") {
            return true;
        }
        let (first, bare) = (values.first().map_or("", String::as_str), name.trim_start_matches(SIGNS));
        if !names_host(bare, first) || chosen::of_client(first, &self.written) {
            return false;
        }
        match values.get(1) {
            // but for a port that is taken away
            Some(to) => !(first.contains(':') && matches!(to.as_str(), "" | "$1")),
            None => !first.is_empty() && !self.follows(first),
        }
    }

    /// What is passed on to a service behind the check, for requests for more than one host.
    pub(super) fn lint(&self, proxy: &Directive, report: &mut Report<'_>) {
        let lines = || proxy.body().iter().filter(|line| line.name() == "header_up");
        for line in lines() {
            self.header(line, line.arguments(), report);
        }
        // what a service over FastCGI takes for headers
        let blocks = proxy.body().iter().flat_map(Directive::body).chain(proxy.body());
        for line in blocks.filter(|line| line.name() == "env") {
            if let [name, value, ..] = line.arguments()
                && let Some(header) = name.strip_prefix("HTTP_")
            {
                self.header(line, &[header.to_owned(), value.clone()], report);
            }
        }
        let of_tls = |line: &Directive| line.name() == "tls" || line.name().starts_with("tls_");
        let transport = proxy.body().iter().filter(|line| line.name() == "transport").flat_map(Directive::body);
        let tls =
            check::upstreams(proxy).iter().any(|to| to.starts_with("https://")) || transport.into_iter().any(of_tls);
        let says = lines().any(|line| line.argument(1).trim_start_matches(SIGNS).eq_ignore_ascii_case("host"));
        if tls && !says {
            report.warn(
                "caddy-host-changed",
                proxy.at,
                "since 2.11 Caddy gives a service over HTTPS its own name as the host, and the routes of the host that the \
                 client asks for decide",
                HELP,
            );
        }
    }

    /// A header that is written behind the check.
    pub(super) fn header(&self, line: &Directive, words: &[String], report: &mut Report<'_>) {
        if self.is_fixed(words) {
            let name = words.first().map_or("", |name| name.trim_start_matches(SIGNS));
            let message = format!(
                "the service gets one host in `{name}` whatever the client asks for, and the routes of the client's host \
                 decide"
            );
            report.warn("caddy-host-changed", line.at, &message, HELP);
        }
    }
}

/// The hosts of the addresses of a site.
fn hosts(site: &Directive) -> impl Iterator<Item = String> {
    let host = |address: &str| {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase()
    };
    site.words.iter().flat_map(|word| word.split(',')).filter(|address| !address.is_empty()).map(host)
}

/// Whether a site answers for one name alone.
pub(super) fn has_one_name(site: &Directive) -> bool {
    is_one(hosts(site))
}

/// Whether a site answers for names that a client makes up.
pub(super) fn has_any_name(site: &Directive) -> bool {
    hosts(site).any(|host| host.is_empty() || host.contains(['*', '{']))
}

/// Whether an address is the host that a client asks for, or a part of it.
pub(super) fn is_of_request(address: &str) -> bool {
    let placeholders = address.split('{').skip(1).map(|rest| rest.split(['}', ':']).next().unwrap_or_default());
    placeholders.into_iter().any(|name| {
        let short = name.strip_prefix("http.request.").unwrap_or(name);
        PLACEHOLDERS.contains(&short) || ["host.labels.", "labels."].iter().any(|start| short.starts_with(start))
    })
}

/// Whether a named matcher is for one host alone.
pub(super) fn is_for_one(matcher: &Directive) -> bool {
    let of_line = (matcher.argument(1) == "host").then(|| matcher.arguments().get(1..)).flatten();
    let of_block = || matcher.body().iter().find(|line| line.name() == "host").map(Directive::arguments);
    let names = of_line.or_else(of_block).unwrap_or_default();
    is_one(names.iter().map(|name| name.to_ascii_lowercase()))
}

fn is_one(names: impl Iterator<Item = String>) -> bool {
    let names: BTreeSet<String> = names.collect();
    names.len() == 1 && names.iter().all(|name| !name.is_empty() && !name.contains(['*', '{']))
}
