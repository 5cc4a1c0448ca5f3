//! Who is turned away before anything is read: web pages.
//!
//! A browser sends requests that a page of a stranger made, to every address that it reaches, loopback too. It
//! keeps the page from reading the answer unless both have one origin; by DNS rebinding a page gives its own name
//! our address, and then they have. Three things show that a request is not an operator's: the name
//! in `Host` is not one of the sidecar's, `Origin` is not our own, `Sec-Fetch-Site` says who made the page.
//!
//! The admin listener asks all three of every request. On the decision listener any name may lead to us, so there
//! only what a browser adds counts. Gateways pass on what browsers sent, so their endpoints ask nothing of this.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, StatusCode, Version};

use crate::config::{AdminSettings, ListenAddr, ListenSettings};
use crate::telemetry::Listener;
use crate::transport::respond::Problem;

pub(super) const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How much of what a stranger wrote an error repeats.
const MOST_SHOWN: usize = 80;

/// The names that we answer to.
#[derive(Debug, Clone, Default)]
pub struct Door {
    /// `admin.hosts`: in lower case, without a dot at the end.
    names: Vec<String>,
    /// Whether the admin API is on a Unix socket. No browser gets there, so a client may write any word for the
    /// host, as clients do; a name with a dot comes through something that forwards, and is no exception.
    admin_over_unix: bool,
}

impl Door {
    /// The door of a configuration.
    #[must_use]
    pub fn new(admin: &AdminSettings, listen: &ListenSettings) -> Self {
        Self { names: admin.hosts.clone(), admin_over_unix: matches!(listen.admin, Some(ListenAddr::Unix(_))) }
    }

    /// Turns a request away that a web page may have made.
    pub(super) fn check(&self, listener: Listener, head: &Parts) -> Result<(), Problem> {
        let admin = listener == Listener::Admin;
        if !admin && listener != Listener::Decisions {
            // health and metrics hold no secrets and are opened on purpose; gRPC asks for a type that no page can send
            return Ok(());
        }
        let strange = || strange_host(head, |host| self.is_ours(host, admin && self.admin_over_unix));
        if admin && let Some(host) = strange() {
            return Err(host_not_allowed(&host));
        }
        // on the decision listener names are only looked at where a browser asks: most requests come from none
        let Some(mark) = browser_mark(head) else { return Ok(()) };
        let other = mark.of_another_origin || (!admin && strange().is_some());
        if other { Err(browser_not_allowed(&mark.shown)) } else { Ok(()) }
    }

    /// Whether a request for `host` is meant for us: no other party can make the name lead here.
    fn is_ours(&self, host: &str, any_word: bool) -> bool {
        let host = host.to_ascii_lowercase();
        if let Some(inner) = host.strip_prefix('[') {
            return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
        }
        let name = host.strip_suffix('.').unwrap_or(&host);
        host.parse::<Ipv4Addr>().is_ok()
            || name == "localhost"
            // RFC 6761: names below `localhost` are loopback
            || name.strip_suffix(".localhost").is_some_and(|front| !front.is_empty())
            || self.names.iter().any(|known| known == name)
            || (any_word && !name.contains('.'))
    }
}

/// The first name in the request that is not ours. Wherever the name can stand, it must be ours: a server behind
/// a forwarder may look at another place than we do.
fn strange_host(head: &Parts, is_ours: impl Fn(&str) -> bool) -> Option<String> {
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let headers = head.headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes);
    let mut any = false;
    for text in target.into_iter().chain(headers) {
        any = true;
        let host = std::str::from_utf8(text).ok().and_then(host_of);
        if !host.is_some_and(&is_ours) {
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    // HTTP/1.0 may do without a name, as simple health checks do; no browser does
    (!any && head.version > Version::HTTP_10).then(String::new)
}

/// The host of `host[:port]`, brackets included.
fn host_of(text: &str) -> Option<&str> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(end);
    let port = rest.strip_prefix(':').unwrap_or(rest);
    (!host.is_empty() && port.bytes().all(|b| b.is_ascii_digit())).then_some(host)
}

/// What shows that a browser sent the request on a page's behalf.
struct Mark {
    shown: String,
    of_another_origin: bool,
}

fn browser_mark(head: &Parts) -> Option<Mark> {
    let mut found = None;
    for (name, shown_name) in [(ORIGIN, "Origin"), (FETCH_SITE, "Sec-Fetch-Site")] {
        for value in head.headers.get_all(&name) {
            let value = value.as_bytes();
            let of_another_origin = if name == ORIGIN {
                !is_own_origin(value, head)
            } else {
                match value {
                    // typed into the address bar, or taken from a bookmark: no page made it
                    b"none" => continue,
                    value => value != b"same-origin",
                }
            };
            let shown = format!("{shown_name}: {}", shown(&String::from_utf8_lossy(value)));
            if of_another_origin {
                return Some(Mark { shown, of_another_origin });
            }
            found = Some(Mark { shown, of_another_origin });
        }
    }
    found
}

/// Whether an origin is the one that the request is sent to: the same host and port. `null` never is.
fn is_own_origin(origin: &[u8], head: &Parts) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some(origin) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else { return false };
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = target.into_iter().chain(head.headers.get_all(HOST).iter().map(http::HeaderValue::as_bytes));
    hosts.next().is_some_and(|host| host.eq_ignore_ascii_case(origin.as_bytes()))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn host_not_allowed(host: &str) -> Problem {
    let detail = match host {
        "" => "the request names no host: send `Host: localhost`".to_owned(),
        host => format!(
            "`{}` is not a host name of this admin API: use `localhost` or an IP address, or list the name in `admin.hosts`",
            shown(host)
        ),
    };
    Problem::new(StatusCode::FORBIDDEN, "host_not_allowed", detail)
}

fn browser_not_allowed(mark: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "browser_not_allowed",
        format!("a web page of another origin sent this request (`{mark}`), and such requests are refused"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// The codes of the admin listener and of the decision listener; empty where the request passes.
    fn codes(door: &Door, head: &Parts) -> [&'static str; 2] {
        [Listener::Admin, Listener::Decisions].map(|listener| door.check(listener, head).err().map_or("", |e| e.code))
    }

    fn door(admin_over_unix: bool) -> Door {
        Door { names: vec!["palisade.example.com".to_owned()], admin_over_unix }
    }

    #[test]
    fn names() {
        let passes = [
            "localhost",
            "LocalHost",
            "localhost:8181",
            "localhost.",
            "localhost.:1",
            "dev.localhost",
            "127.0.0.1",
            "127.0.0.1:8181",
            "10.1.2.3:9",
            "203.0.113.9",
            "0.0.0.0",
            "[::1]",
            "[::1]:8181",
            "[2001:DB8::1]:1",
            "[::ffff:10.0.0.1]",
            "palisade.example.com",
            "Palisade.Example.Com.:443",
        ];
        let fails = [
            "evil.example",
            "evil.example:8181",
            "localhost.evil.example",
            "evillocalhost",
            ".localhost",
            "palisade",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io",
            "x.palisade.example.com",
            "palisade.example.com.evil.example",
            "2130706433",
            "0x7f000001",
            "127.1",
            "::1",
            "[::1",
            "[::1]x",
            "[localhost]",
            "[127.0.0.1]",
            "",
            ":8181",
            "localhost:x",
            "localhost:1:2",
            "evil@localhost",
            "localhost@evil.example",
            "localhost,evil.example",
            "localhost evil.example",
            "localhost/",
            "localhost\\",
            "local\thost",
            "localhost..",
            "\u{7f}",
        ];
        for (host, ours) in passes.iter().map(|host| (host, true)).chain(fails.iter().map(|host| (host, false))) {
            let Ok(value) = http::HeaderValue::from_str(host) else { continue };
            let mut head = head(Version::HTTP_11, "/v1/status", &[]);
            head.headers.insert(HOST, value);
            let expected = if ours { "" } else { "host_not_allowed" };
            assert_eq!(codes(&door(false), &head), [expected, ""], "{host:?}");
        }
        // over a Unix socket a client writes any word
        for (host, passes) in [("unix", true), ("x", true), ("palisade:80", true), ("evil.example", false), ("", false)]
        {
            let head = head(Version::HTTP_11, "/v1/status", &[("host", host)]);
            assert_eq!(codes(&door(true), &head)[0].is_empty(), passes, "{host:?}");
        }
    }

    #[test]
    fn every_place_of_a_name_counts() {
        let ours = ("host", "localhost:8181");
        for (version, target, headers, expected) in [
            (Version::HTTP_10, "/", &[][..], ""),
            (Version::HTTP_11, "/", &[], "host_not_allowed"),
            (Version::HTTP_2, "/", &[], "host_not_allowed"),
            (Version::HTTP_10, "/", &[("host", "evil.example")], "host_not_allowed"),
            (Version::HTTP_11, "http://evil.example/", &[ours], "host_not_allowed"),
            (Version::HTTP_11, "http://localhost:8181/", &[("host", "evil.example")], "host_not_allowed"),
            (Version::HTTP_11, "http://localhost:8181/", &[ours], ""),
            (Version::HTTP_2, "http://localhost:8181/", &[], ""),
            (Version::HTTP_2, "http://evil.example/", &[], "host_not_allowed"),
            (Version::HTTP_2, "http://localhost/", &[("host", "evil.example")], "host_not_allowed"),
            (Version::HTTP_11, "/", &[ours, ("host", "evil.example")], "host_not_allowed"),
            (Version::HTTP_11, "/", &[("host", "evil.example"), ours], "host_not_allowed"),
        ] {
            let head = head(version, target, headers);
            assert_eq!(codes(&door(false), &head), [expected, ""], "{version:?} {target} {headers:?}");
        }
    }

    #[test]
    fn what_a_browser_adds() {
        let ours = ("host", "localhost:8181");
        let evil = ("host", "evil.example:8181");
        let fails = "browser_not_allowed";
        for (headers, expected) in [
            (&[ours][..], ["", ""]),
            (&[ours, ("origin", "http://localhost:8181")], ["", ""]),
            (&[ours, ("origin", "https://LOCALHOST:8181")], ["", ""]),
            (&[ours, ("origin", "http://localhost:3000")], [fails, fails]),
            (&[ours, ("origin", "http://localhost")], [fails, fails]),
            (&[ours, ("origin", "http://127.0.0.1:8181")], [fails, fails]),
            (&[ours, ("origin", "http://evil.example")], [fails, fails]),
            (&[ours, ("origin", "null")], [fails, fails]),
            (&[ours, ("origin", "")], [fails, fails]),
            (&[ours, ("origin", "localhost:8181")], [fails, fails]),
            (&[ours, ("origin", "chrome-extension://abc")], [fails, fails]),
            (&[ours, ("origin", "http://localhost:8181"), ("origin", "http://evil.example")], [fails, fails]),
            (&[ours, ("sec-fetch-site", "none")], ["", ""]),
            (&[ours, ("sec-fetch-site", "same-origin")], ["", ""]),
            (&[ours, ("sec-fetch-site", "same-site")], [fails, fails]),
            (&[ours, ("sec-fetch-site", "cross-site")], [fails, fails]),
            (&[ours, ("sec-fetch-site", "unheard-of")], [fails, fails]),
            (&[ours, ("origin", "http://localhost:8181"), ("sec-fetch-site", "cross-site")], [fails, fails]),
            // rebinding: the page and the API have one origin, of a name that is not ours
            (&[evil, ("origin", "http://evil.example:8181")], ["host_not_allowed", fails]),
            (&[evil, ("sec-fetch-site", "same-origin")], ["host_not_allowed", fails]),
            // a service calls by the name that its cluster has for us
            (&[("host", "palisade.default.svc:8180")], ["host_not_allowed", ""]),
        ] {
            let head = head(Version::HTTP_11, "/v1/is_authorized", headers);
            assert_eq!(codes(&door(false), &head), expected, "{headers:?}");
            assert!(door(false).check(Listener::Ops, &head).is_ok(), "the ops listener is open");
        }
    }

    #[test]
    fn errors_repeat_little() {
        let head = head(Version::HTTP_11, "/", &[("host", &"\u{1b}x".repeat(1_000).replace('\u{1b}', "é"))]);
        let problem = door(false).check(Listener::Admin, &head).unwrap_err();
        assert!(problem.detail.len() < 400, "{}", problem.detail);
    }
}
