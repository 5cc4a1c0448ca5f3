//! `stream`: bytes that are passed on to a service whose requests are checked.

use crate::gateway::lint::directive::Directive;
use crate::gateway::lint::nginx::pass;
use crate::gateway::lint::nginx::scope::{Server, walk};
use crate::gateway::lint::nginx::target::{Target, of_sidecar};
use crate::gateway::lint::report::Report;

pub(super) fn lint(tree: &[Directive], servers: &[Server<'_>], report: &mut Report<'_>) {
    let blocks = servers.iter().flat_map(|server| &server.blocks).filter(|block| !of_sidecar(block));
    let hosts: Vec<&str> = blocks.filter_map(pass::passes).map(|pass| Target::read(pass.argument(1)).host).collect();
    // a name stands for the servers of its `upstream`
    let mut known = addresses(&hosts, tree);
    known.extend(&hosts);
    for stream in tree.iter().filter(|directive| directive.name() == "stream") {
        let mut passes: Vec<&Directive> = Vec::new();
        walk(stream.body(), &mut |directive, _| {
            if directive.name() == "proxy_pass" {
                passes.push(directive);
            }
        });
        for pass in passes {
            let host = pass.argument(1);
            if known.contains(&host) || addresses(&[host], stream.body()).iter().any(|to| known.contains(to)) {
                report.warn(
                    "nginx-stream",
                    pass.at,
                    "this passes bytes on to a service whose requests are checked elsewhere: here they are not",
                    "pass them through a server of HTTP with `auth_request`",
                );
            }
        }
    }
}

/// The servers of the `upstream` blocks of these names.
fn addresses<'t>(hosts: &[&str], tree: &'t [Directive]) -> Vec<&'t str> {
    let mut found = Vec::new();
    walk(tree, &mut |directive, _| {
        if directive.name() == "upstream" && hosts.contains(&directive.argument(1)) {
            found.extend(directive.body().iter().filter(|line| line.name() == "server").map(|line| line.argument(1)));
        }
    });
    found
}
