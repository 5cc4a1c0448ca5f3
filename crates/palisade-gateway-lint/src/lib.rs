//! Known traps in the configurations of gateways.
//!
//! Each of these was seen to let a request pass unchecked, to show the sidecar another path than the service
//! gets, or to hang. A finding is a warning: who wrote the file knows what a lint cannot see. What the gateway would
//! not read at all is an error. Every configuration is read by its structure, as the gateway reads it, and what is not
//! understood is a finding too. Each rule has a name, and a section in `docs/lint.md`.

mod answers;
mod apache;
mod caddy;
mod directive;
mod envoy;
mod haproxy;
mod headers;
mod include;
mod nginx;
mod node;
mod pattern;
mod report;
mod rules;
mod traefik;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use palisade_engine::model::Diagnostic;
use palisade_engine::model::json::without_byte_order_mark;
use palisade_routes::same_name;

pub use rules::RULES;

/// What the sidecar says of the caller.
const IDENTITY: [&str; 3] = ["X-Palisade-Principal", "X-Palisade-Auth-Method", "X-Palisade-Token"];

/// How long the sidecar takes for an answer if nothing else is set.
const DEADLINE: Duration = Duration::from_millis(100);

/// The rule for what was not understood.
const NOT_CHECKED: &str = "not-checked";

/// What to look at where another program than the sidecar checks requests.
const GUARDS_NO_OTHER: &str = "see that it guards no service whose requests the sidecar is asked about elsewhere";

/// What is said of a program that may change a request or answer it.
const PROGRAM: &str = "what this program makes of a request is not known here";

/// What helps where a program runs, or what is not known.
const PROGRAM_HELP: &str =
    "see that it changes neither method, path, host nor the sidecar's headers, and passes nothing on";

/// The largest file that is looked at.
pub const MOST_BYTES: usize = 1 << 21;

/// What an upgrade is good for.
const TUNNEL: &str =
    "any upgrade is passed on: in one to `h2c` a client sends requests that the sidecar is never asked about";

/// A gateway whose configuration can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// nginx with `auth_request`.
    Nginx,
    /// Envoy with `ext_authz`.
    Envoy,
    /// Caddy with `forward_auth`.
    Caddy,
    /// Traefik with `forwardAuth`.
    Traefik,
    /// HAProxy with Lua or SPOE.
    Haproxy,
    /// Apache with `mod_lua`.
    Apache,
}

/// A file: where it is from, and its text.
pub type Source = (String, String);

/// How the reason begins where the directory in front of a pattern is not there.
pub const NO_DIRECTORY: &str = "there is no directory";

/// Finds the files that an `include` names, as name and text, or says why it cannot. The caller reads them: nothing
/// here touches files. A pattern that matches nothing is no failure, unless the directory in front of it is not there:
/// the reason begins with [`NO_DIRECTORY`] then.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<Vec<Source>, String>;

/// The traps in the configuration of a gateway. Traefik and HAProxy put all files together, the others read each by
/// itself.
#[must_use]
pub fn lint(gateway: Gateway, sources: &[Source], files: Files<'_>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut small: Vec<Source> = Vec::new();
    for (origin, text) in sources {
        if text.len() > MOST_BYTES {
            let message = format!("not looked at: the file has more than {MOST_BYTES} bytes");
            findings.push(Diagnostic::error(origin, message).rule(NOT_CHECKED).help("name the parts of it"));
        } else {
            // a mark at the beginning, as some editors write it
            small.push((origin.clone(), without_byte_order_mark(text).to_owned()));
        }
    }
    let one: fn(&str, &str, Files<'_>) -> Vec<Diagnostic> = match gateway {
        Gateway::Traefik if !small.is_empty() => {
            findings.extend(traefik::lint(&small, files));
            return findings;
        }
        Gateway::Haproxy if !small.is_empty() => {
            findings.extend(haproxy::lint(&small, files));
            return findings;
        }
        Gateway::Traefik | Gateway::Haproxy => return findings,
        Gateway::Nginx => nginx::lint,
        Gateway::Envoy => envoy::lint,
        Gateway::Caddy => caddy::lint,
        Gateway::Apache => apache::lint,
    };
    for (origin, text) in &small {
        findings.extend(one(origin, text, files));
    }
    findings
}

/// Whether some service takes a header for one in which the sidecar names the caller.
fn is_identity(header: &str) -> bool {
    IDENTITY.iter().any(|name| same_name(header, &name.to_ascii_lowercase()))
}

/// Whether a name is one of a list, in which blanks stand between the names.
fn is_listed(list: &str, name: &str) -> bool {
    !name.is_empty() && list.split_ascii_whitespace().any(|known| known == name)
}

/// Whether a network is so large that any client may be in it.
fn is_everybody(network: &str) -> bool {
    network.rsplit_once('/').and_then(|(_, bits)| bits.parse::<u8>().ok()).is_some_and(|bits| bits < 8)
}

/// Whether no other machine reaches an address at which a gateway listens: it is loopback's, or a socket in the file system.
fn is_of_this_machine(address: &str) -> bool {
    let host =
        |text: &str| text.trim_start_matches("ipv4@").trim_start_matches("ipv6@").trim_matches(['[', ']']).to_owned();
    let loopback = |host: String| match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    };
    let starts = ["127.", "unix", "abns", "sockpair", "fd@", "fd/"];
    starts.iter().any(|start| address.starts_with(start))
        || address.starts_with('/')
        || loopback(host(address))
        || address.rsplit_once(':').is_some_and(|(before, _)| loopback(host(before)))
}

/// What is wrong with the address at which a gateway asks the sidecar, if the address shows it.
fn wrong_address(url: &str, path: &str, listener: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, asked) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    if asked != path {
        let asked = if asked.is_empty() { "no path" } else { asked };
        return Some(format!("the sidecar is asked at `{asked}`, and answers this gateway at `{path}` alone"));
    }
    wrong_port(host, listener)
}

/// What is wrong with the port in `host:port`.
fn wrong_port(host: &str, listener: &str) -> Option<String> {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let known = [("8180", "the decision listener"), ("8181", "the admin listener"), ("9191", "the listener for gRPC")];
    let (port, what) = known.into_iter().find(|(known, _)| *known == port && *known != listener)?;
    Some(format!("port {port} is {what} unless it was changed, and does not answer such checks"))
}
