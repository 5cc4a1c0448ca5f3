//! Whose word counts for the address of a client.

use crate::apache::hosts::Host;
use crate::directive::Directive;
use crate::report::Report;
use crate::{is_everybody, is_of_this_machine};

/// Whose word counts for the client's address.
pub(super) fn lint(hosts: &[Host<'_>], report: &mut Report<'_>) {
    let all: Vec<&Directive> = hosts.iter().flat_map(|host| &host.others).map(|found| found.directive).collect();
    let lists =
        ["remoteipinternalproxy", "remoteiptrustedproxy", "remoteipinternalproxylist", "remoteiptrustedproxylist"];
    let named: Vec<&&Directive> = all.iter().filter(|line| lists.contains(&line.name())).collect();
    let everybody = named.iter().find(|line| line.arguments().iter().any(|ip| is_everybody(ip))).map(|line| line.at);
    let header = all.iter().find(|line| line.name() == "remoteipheader").map(|line| line.at);
    if let Some(at) = everybody.or(header.filter(|_| named.is_empty())) {
        report.warn(
            "apache-trusts-everybody",
            at,
            "any client says itself which address it has, and the sidecar believes it",
            "name the proxies in front with `RemoteIPInternalProxy`",
        );
    }
    let local = listens_here(all.into_iter());
    for host in hosts {
        let lines = host.others.iter().map(|found| found.directive);
        let proxy =
            |line: &&Directive| line.name() == "remoteipproxyprotocol" && line.argument(1).eq_ignore_ascii_case("on");
        for line in lines.filter(proxy).filter(|_| !is_local(host, local)) {
            report.warn(
                "apache-trusts-everybody",
                line.at,
                "any client says itself by PROXY protocol which address it has, and the sidecar believes it",
                "listen where the proxies in front alone come: Apache takes it from all",
            );
        }
    }
}

/// Whether all the addresses at which a server listens are of this machine.
fn listens_here<'t>(lines: impl Iterator<Item = &'t Directive>) -> bool {
    let mut listens = lines.filter(|line| line.name() == "listen").map(|line| line.argument(1)).peekable();
    listens.peek().is_some() && listens.all(is_of_this_machine)
}

/// Whether other machines reach a host.
pub(super) fn is_reached(host: &Host<'_>, main: &Host<'_>) -> bool {
    !is_local(host, listens_here(main.others.iter().map(|found| found.directive)))
}

/// Whether no other machine reaches a host, where that is known of the whole server.
fn is_local(host: &Host<'_>, local: bool) -> bool {
    match host.head {
        Some(head) if !head.arguments().iter().any(|address| address.starts_with(['*', '_'])) => {
            head.arguments().iter().all(|address| is_of_this_machine(address))
        }
        _ => local,
    }
}
