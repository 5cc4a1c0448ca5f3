//! `stream`: bytes that are passed on to a service whose requests are checked.

use crate::answers::normal;
use crate::directive::Directive;
use crate::nginx::known::Known;
use crate::nginx::scope::walk;
use crate::report::Report;

pub(super) fn lint(tree: &[Directive], known: &Known<'_>, report: &mut Report<'_>) {
    for stream in tree.iter().filter(|directive| directive.name() == "stream") {
        let mut passes: Vec<&Directive> = Vec::new();
        walk(stream.body(), &mut |directive, _| {
            if directive.name() == "proxy_pass" {
                passes.push(directive);
            }
        });
        for pass in passes {
            let host = pass.argument(1);
            if known.services.contains(&normal(host))
                || addresses(host, stream.body()).iter().any(|to| known.services.contains(&normal(to)))
            {
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

/// The servers of the `upstream` blocks of a name.
fn addresses<'t>(host: &str, tree: &'t [Directive]) -> Vec<&'t str> {
    let mut found = Vec::new();
    walk(tree, &mut |directive, _| {
        if directive.name() == "upstream" && directive.argument(1) == host {
            found.extend(directive.body().iter().filter(|line| line.name() == "server").map(|line| line.argument(1)));
        }
    });
    found
}
