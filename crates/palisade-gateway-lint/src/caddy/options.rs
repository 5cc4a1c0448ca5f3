//! The options in front of all sites: modules that read connections themselves, and what is not known.

use std::collections::HashSet;

use crate::answers::normal;
use crate::caddy::rest;
use crate::caddy::sites::Sites;
use crate::directive::Directive;
use crate::report::Report;
use crate::{PROGRAM_HELP, is_listed};

/// Options that hand no request to a service: those of Caddy itself, and of modules that are common.
const KNOWN: &str = "acme_ca acme_ca_root acme_dns acme_eab admin auto_https cert_issuer cert_lifetime crowdsec debug default_bind \
    default_sni dns dynamic_dns ech email events fallback_sni filesystem frankenphp geoip grace_period http_port https_port key_type \
    local_certs log metrics ocsp_interval ocsp_stapling on_demand_tls order persist_config pki preferred_chains renew_interval \
    renewal_window_ratio security servers shutdown_delay skip_install_trust storage storage_check storage_clean_interval tls_resolvers";

/// What may stand around the connections of a server.
const WRAPPERS: &str = "http_redirect proxy_protocol tls";

/// How long a server waits for what.
const TIMEOUTS: &str = "idle read_body read_header write";

/// What may be said of the numbers of requests.
const METRICS: &str = "per_host";

/// What may be said of a server.
const OF_SERVERS: &str = "0rtt client_ip_headers enable_full_duplex keepalive_count keepalive_idle keepalive_interval \
    listener_wrappers log_credentials max_header_size metrics name packet_conn_wrappers protocol protocols strict_sni_host \
    timeouts trace trusted_proxies trusted_proxies_strict trusted_proxies_unix";

pub(super) fn lint(sites: &Sites, services: &HashSet<String>, report: &mut Report<'_>) {
    let servers = || sites.options.iter().filter(|option| option.name() == "servers").flat_map(Directive::body);
    let within = |name: &'static str, known: &'static str| {
        let inner = servers().filter(move |line| line.name() == name).flat_map(Directive::body);
        inner.filter(move |line| !is_listed(known, line.name()))
    };
    let (layers, others): (Vec<_>, Vec<_>) = sites
        .options
        .iter()
        .filter(|option| !is_listed(KNOWN, option.name()))
        .chain(servers().filter(|option| !is_listed(OF_SERVERS, option.name())))
        .chain(within("listener_wrappers", WRAPPERS))
        // Caddy has none for packets
        .chain(within("packet_conn_wrappers", ""))
        .chain(within("timeouts", TIMEOUTS))
        .chain(within("metrics", METRICS))
        .partition(|option| option.name() == "layer4");
    for option in others {
        report.not_checked(
            option.at,
            &format!("what `{}` does with requests is not known here", option.name()),
            PROGRAM_HELP,
        );
    }
    for layer in layers {
        bytes(layer, services, report);
    }
}

/// Where bytes are passed on to without being read as requests.
fn bytes(line: &Directive, services: &HashSet<String>, report: &mut Report<'_>) {
    for inner in line.body() {
        if inner.name() == "proxy" {
            let lines = inner.body().iter().filter(|line| line.name() == "upstream").flat_map(Directive::arguments);
            let to: Vec<&String> = rest(inner).iter().chain(lines).collect();
            if to.iter().any(|to| services.iter().any(|service| meet(to, service))) {
                report.warn(
                    "caddy-layer4",
                    inner.at,
                    "this passes bytes on to a service whose requests are checked elsewhere: here they are not",
                    "leave it out, or keep clients away from its port",
                );
            } else if to.iter().any(|to| to.contains('{')) {
                report.not_checked(
                    inner.at,
                    "where these bytes are passed on to is not known here",
                    "see that none of the services is reached whose requests are checked",
                );
            }
        }
        bytes(inner, services, report);
    }
}

/// Whether two addresses, each of which may name a range of ports, have one in common.
fn meet(to: &str, service: &str) -> bool {
    let bare =
        |address: &str| normal(["tcp/", "tcp4/", "tcp6/"].iter().fold(address, |rest, of| rest.trim_start_matches(of)));
    let (to, service) = (bare(to), bare(service));
    match (ports(&to), ports(&service)) {
        (Some((host, first, last)), Some((other, from, until))) => host == other && first <= until && from <= last,
        _ => to == service,
    }
}

/// The host of an address with its ports: `127.0.0.1:9000-9002`.
fn ports(address: &str) -> Option<(&str, u16, u16)> {
    let (host, ports) = address.rsplit_once(':')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some((host, first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_ranges_of_ports_meet() {
        for (to, service, expected) in [
            ("127.0.0.1:9000", "localhost:9000", true),
            ("0.0.0.0:9000", "127.0.0.1:9000", true),
            ("tcp4/[::]:9000", "127.0.0.1:9000", true),
            ("127.0.0.1:9000-9002", "127.0.0.1:9001", true),
            ("127.0.0.1:9000", "127.0.0.1:8999-9000", true),
            ("127.0.0.1:9000-9002", "127.0.0.1:9003", false),
            ("10.0.0.1:9000", "127.0.0.1:9000", false),
            ("unix//run/a.sock", "unix//run/a.sock", true),
            ("a:1", "a", false),
        ] {
            assert_eq!(meet(to, service), expected, "{to} {service}");
        }
    }
}
