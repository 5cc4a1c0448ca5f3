//! `stream`: bytes that are passed on to a service whose requests are checked.

use std::collections::HashMap;

use crate::answers::normal;
use crate::directive::Directive;
use crate::nginx::known::Known;
use crate::nginx::scope::walk;
use crate::nginx::target::variables;
use crate::report::Report;

/// How many values all targets together may have.
const MOST: usize = 100_000;

pub(super) fn lint(tree: &[Directive], known: &Known<'_>, report: &mut Report<'_>) {
    for stream in tree.iter().filter(|directive| directive.name() == "stream") {
        let (mut passes, mut values): (Vec<&Directive>, Values<'_>) = Default::default();
        walk(stream.body(), &mut |directive, _| match directive.name() {
            "proxy_pass" => passes.push(directive),
            "set" => values.add(directive.argument(1), [directive.argument(2)], true),
            "map" | "split_clients" | "geo" => {
                let lines = || directive.body().iter();
                // `hostnames` and its kin have no value
                let all = lines().all(|line| line.name() != "include");
                let own = lines().filter(|line| line.words.len() > 1).map(|line| line.argument(1));
                values.add(directive.arguments().last().map_or("", String::as_str), own, all);
            }
            "upstream" => {
                let servers = directive.body().iter().filter(|line| line.name() == "server");
                values.upstreams.entry(directive.argument(1)).or_default().extend(servers.map(|line| line.argument(1)));
            }
            _ => {}
        });
        let mut seen: HashMap<&str, (bool, bool)> = HashMap::new();
        for pass in passes {
            let target = pass.argument(1);
            let (service, all) = *seen.entry(target).or_insert_with(|| {
                let mut found = Vec::new();
                let all = values.of(target, &mut found);
                (found.iter().any(|host| values.leads_to(host, known)), all)
            });
            if service {
                report.warn(
                    "nginx-stream",
                    pass.at,
                    "this passes bytes on to a service whose requests are checked elsewhere: here they are not",
                    "pass them through a server of HTTP with `auth_request`",
                );
            } else if !all {
                report.not_checked(
                    pass.at,
                    &format!("where `{target}` leads to is not known here"),
                    "name the targets in a `map`, and see that none is a service whose requests are checked",
                );
            }
        }
    }
}

/// What targets may be, once each variable has each value that is written for it.
#[derive(Default)]
struct Values<'t> {
    /// The values of each variable, and whether there are no others.
    written: HashMap<&'t str, (Vec<&'t str>, bool)>,
    upstreams: HashMap<&'t str, Vec<&'t str>>,
    /// Variables that are being followed.
    around: Vec<&'t str>,
    /// How many values there were.
    made: usize,
}

impl<'t> Values<'t> {
    fn add(&mut self, variable: &'t str, values: impl IntoIterator<Item = &'t str>, all: bool) {
        let (written, whole) = self.written.entry(variable.trim_start_matches('$')).or_insert((Vec::new(), true));
        written.extend(values);
        *whole &= all;
    }

    /// Adds the values of a target. False if there may be more.
    fn of(&mut self, target: &'t str, found: &mut Vec<String>) -> bool {
        self.made += 1;
        let Some(name) = variables(target).next() else {
            found.push(target.to_owned());
            return true;
        };
        if self.around.contains(&name) || self.made > MOST {
            return false;
        }
        let Some((written, mut all)) = self.written.get(name).cloned() else { return false };
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

    /// Whether a host is that of a service, or has a server that is.
    fn leads_to(&self, host: &str, known: &Known<'_>) -> bool {
        let servers = self.upstreams.get(host).into_iter().flatten().copied();
        std::iter::once(host).chain(servers).any(|to| known.services.contains(&normal(to)))
    }
}
