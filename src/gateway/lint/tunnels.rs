//! Upgrades, and whose word counts for the host: what gateways pass on that the sidecar never hears of.

use crate::gateway::lint::{File, Gateway};

/// What the configuration `file` of `gateway` lets through. nginx is looked at by its structure, Envoy upgrades nothing
/// that it is not told to.
pub(super) fn lint(gateway: Gateway, file: &mut File<'_>) {
    match gateway {
        Gateway::Caddy => caddy(file),
        Gateway::Traefik => traefik(file),
        Gateway::Haproxy => haproxy(file),
        Gateway::Nginx | Gateway::Envoy | Gateway::Apache => {}
    }
}

/// What an upgrade is good for.
const TUNNEL: &str = "any upgrade is passed on: in one to `h2c` a client sends requests that nobody is asked about";

fn caddy(file: &mut File<'_>) {
    let Some(check) = file.find("forward_auth") else { return };
    let lines: Vec<_> = file.lines().collect();
    let says = |line: &str, names: &[&str], what: &str| {
        let mut words = line.split_whitespace().filter(|word| *word != "not" && !word.starts_with('@'));
        words.next().is_some_and(|word| names.contains(&word))
            && words.any(|word| word.trim_start_matches('-').eq_ignore_ascii_case(what))
    };
    let stops = |line: &str| {
        says(line, &["header", "header_regexp"], "Upgrade")
            || (line.starts_with("request_header -") && says(line, &["request_header"], "Upgrade"))
    };
    if !lines.iter().any(|(at, line)| *at < check && stops(line)) {
        file.warn(
            Some(check),
            TUNNEL,
            "refuse others than `websocket` in front of the check, inside the `route`: `@upgrade { header Upgrade *` and \
             `not header_regexp Upgrade (?i)^websocket$ }` with `error @upgrade 403`",
        );
    }
    let trusted = lines.iter().find(|(_, line)| line.starts_with("trusted_proxies"));
    let own = lines.iter().any(|(at, line)| *at > check && says(line, &["header_up"], "X-Forwarded-Host"));
    if let (Some((at, _)), false) = (trusted, own) {
        file.warn(
            Some(*at),
            "whoever is trusted says in `X-Forwarded-Host` which host's routes decide, and the service gets another host",
            "set `header_up X-Forwarded-Host {http.request.hostport}` in `forward_auth`",
        );
    }
}

fn traefik(file: &mut File<'_>) {
    let Some(check) = file.find("authResponseHeaders") else { return };
    // the list stands in the line or below it
    let list: Vec<&str> = file.lines().filter(|(at, _)| *at >= check).map(|(_, line)| line).collect();
    let mut items = list.iter().enumerate().take_while(|(at, line)| *at == 0 || line.starts_with('-'));
    let word = |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == "Upgrade");
    if !items.any(|(_, line)| word(line)) {
        file.warn(
            Some(check),
            TUNNEL,
            "add `Upgrade` to `authResponseHeaders`: the sidecar names the upgrade that a route allows, and any other is \
             taken away",
        );
    }
}

fn haproxy(file: &mut File<'_>) {
    let check = ["http-request lua.", "send-spoe-group"].iter().find_map(|word| file.find(word));
    let Some(check) = check else { return };
    let stops = |line: &str| {
        let line = line.to_ascii_lowercase();
        let denies = line.starts_with("http-request deny") && line.contains("hdr(upgrade)");
        denies || line == "http-request del-header upgrade"
    };
    if !file.lines().any(|(_, line)| stops(line)) {
        file.warn(
            Some(check),
            TUNNEL,
            "add `http-request deny deny_status 403 if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m str -i \
             websocket }`",
        );
    }
}
