//! `stream`: bytes that are passed on to a service whose requests are checked.

use crate::answers::normal;
use crate::directive::Directive;
use crate::nginx::known::Known;
use crate::nginx::scope::walk;
use crate::nginx::target::variables;
use crate::report::Report;

/// How many variables of one target are followed.
const MOST: usize = 256;

pub(super) fn lint(tree: &[Directive], known: &Known<'_>, report: &mut Report<'_>) {
    for stream in tree.iter().filter(|directive| directive.name() == "stream") {
        let mut passes: Vec<&Directive> = Vec::new();
        let mut lines: Vec<&Directive> = Vec::new();
        walk(stream.body(), &mut |directive, _| {
            lines.push(directive);
            if directive.name() == "proxy_pass" {
                passes.push(directive);
            }
        });
        for pass in passes {
            let mut found = Vec::new();
            let mut values = Values { lines: &lines, around: Vec::new(), followed: 0 };
            let all = values.of(pass.argument(1), &mut found);
            let service = |host: &String| {
                known.services.contains(&normal(host))
                    || addresses(host, stream.body()).iter().any(|to| known.services.contains(&normal(to)))
            };
            if found.iter().any(service) {
                report.warn(
                    "nginx-stream",
                    pass.at,
                    "this passes bytes on to a service whose requests are checked elsewhere: here they are not",
                    "pass them through a server of HTTP with `auth_request`",
                );
            } else if !all {
                report.not_checked(
                    pass.at,
                    &format!("where `{}` leads to is not known here", pass.argument(1)),
                    "name the targets in a `map`, and see that none is a service whose requests are checked",
                );
            }
        }
    }
}

/// What a target may be, once each variable has each value that is written for it.
struct Values<'t> {
    lines: &'t [&'t Directive],
    /// Variables that are being followed.
    around: Vec<&'t str>,
    /// How many variables were followed.
    followed: usize,
}

impl<'t> Values<'t> {
    /// Adds the values. False if there may be more.
    fn of(&mut self, target: &'t str, found: &mut Vec<String>) -> bool {
        let Some(name) = variables(target).next() else {
            found.push(target.to_owned());
            return true;
        };
        self.followed += 1;
        if self.around.contains(&name) || self.followed > MOST {
            return false;
        }
        let (mut written, mut all) = (Vec::new(), true);
        for line in self.lines {
            let table = matches!(line.name(), "map" | "split_clients" | "geo");
            let is_set = |word: &str| word.trim_start_matches('$') == name;
            if table && line.arguments().last().is_some_and(|word| is_set(word)) {
                // `hostnames` and its kin have no value
                written.extend(line.body().iter().filter(|value| value.words.len() > 1).map(|value| value.argument(1)));
                all &= line.body().iter().all(|value| value.name() != "include");
            } else if line.name() == "set" && is_set(line.argument(1)) {
                written.push(line.argument(2));
            }
        }
        all &= !written.is_empty();
        self.around.push(name);
        let mut values = Vec::new();
        for value in written {
            all &= self.of(value, &mut values);
        }
        self.around.pop();
        for value in values {
            let filled = target.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value);
            // a second variable
            all &= !filled.contains('$');
            found.push(filled);
        }
        all
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
