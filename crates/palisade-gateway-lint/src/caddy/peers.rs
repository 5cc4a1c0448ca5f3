//! PROXY protocol: whose word counts for the address of a client.

use crate::caddy::sites::Sites;
use crate::directive::Directive;
use crate::report::Report;
use crate::{is_everybody, is_of_this_machine};

pub(super) fn lint(sites: &Sites, report: &mut Report<'_>) {
    for option in sites.options.iter().filter(|option| option.name() == "admin") {
        let address = option.argument(1);
        let bare = address.strip_prefix("tcp/").unwrap_or(address);
        if !matches!(bare, "" | "off") && !bare.contains("{$") && !is_of_this_machine(bare) {
            report.warn(
                "caddy-admin-open",
                option.at,
                "whoever reaches this address gives Caddy another configuration, without the check",
                "leave it out, or let it listen on `localhost:2019` or on a socket",
            );
        }
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
