//! PROXY protocol: whose word counts for the address of a client.

use crate::caddy::sites::Sites;
use crate::directive::Directive;
use crate::report::Report;
use crate::{is_everybody, is_of_this_machine};

pub(super) fn lint(sites: &Sites, report: &mut Report<'_>) {
    for option in sites.options.iter().filter(|option| option.name() == "admin") {
        admin(option, report);
    }
    let local = |site: &Directive| {
        let binds: Vec<&str> = site
            .body()
            .iter()
            .filter(|line| line.name() == "bind")
            .flat_map(Directive::arguments)
            .map(String::as_str)
            .collect();
        !binds.is_empty() && binds.into_iter().all(is_of_this_machine)
    };
    if sites.sites.iter().all(local) {
        return;
    }
    let servers = sites.options.iter().filter(|option| option.name() == "servers").flat_map(Directive::body);
    let wrappers = servers.filter(|line| line.name() == "listener_wrappers").flat_map(Directive::body);
    for wrapper in wrappers.filter(|line| line.name() == "proxy_protocol") {
        let lines = |name: &'static str| wrapper.body().iter().filter(move |line| line.name() == name);
        let everybody = lines("allow").flat_map(Directive::arguments).any(|network| is_everybody(network));
        let open = match lines("fallback_policy").next().map(|line| line.argument(1).to_ascii_lowercase()).as_deref() {
            Some("use" | "require") => true,
            Some(_) => false,
            // older versions take the word of all then
            None => lines("allow").next().is_none(),
        };
        if everybody || open {
            report.warn(
                "caddy-trusts-everybody",
                wrapper.at,
                "any client says itself by PROXY protocol which address it has, and the sidecar believes it",
                "name the proxies in front with `allow`, and leave `fallback_policy` out",
            );
        }
    }
}

/// Who reaches the interface by which Caddy gets another configuration.
fn admin(option: &Directive, report: &mut Report<'_>) {
    let address = filled(option.argument(1));
    let bare = address.strip_prefix("tcp/").unwrap_or(&address);
    if bare.contains("{$") && !is_open(bare) && !is_of_this_machine(bare) {
        report.not_checked(
            option.at,
            "at which address Caddy takes another configuration is not known here",
            "write the address here, `localhost:2019` or a socket, or leave it out",
        );
    } else if !matches!(bare, "" | "off") && !is_of_this_machine(bare) {
        report.warn(
            "caddy-admin-open",
            option.at,
            "unauthenticated requests reach this address, and give Caddy another configuration, without the check",
            "leave it out, or let it listen on `localhost:2019` or on a socket",
        );
    }
}

/// Whether an address is one of the network, though its port is not known.
fn is_open(address: &str) -> bool {
    address.split_once('{').is_some_and(|(host, _)| host.ends_with(':')) && !is_of_this_machine(address)
}

/// An address with the default in the place of each `{$NAME:default}`.
fn filled(address: &str) -> String {
    let (mut text, mut rest) = (String::new(), address);
    while let Some((before, (inner, after))) =
        rest.split_once("{$").and_then(|(before, behind)| Some((before, behind.split_once('}')?)))
    {
        text.push_str(before);
        match inner.split_once(':') {
            Some((_, default)) => text.push_str(default),
            None => text.extend(["{$", inner, "}"]),
        }
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_a_variable_counts() {
        for (address, expected) in [
            ("{$A:0.0.0.0:2019}", "0.0.0.0:2019"),
            ("{$ADMIN::2019}", ":2019"),
            ("localhost:{$P:2019}", "localhost:2019"),
            ("{$H}:{$P:2019}", "{$H}:2019"),
            ("{$A", "{$A"),
            (":2019", ":2019"),
        ] {
            assert_eq!(filled(address), expected, "{address}");
        }
    }
}
