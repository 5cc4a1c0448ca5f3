//! Whether the service gets the host that was checked, and not one that is the same for requests for every host.

use std::collections::HashMap;

use crate::apache::hosts::Host;
use crate::directive::Directive;
use crate::headers::names_host;
use crate::report::Report;

/// The first virtual host for each address: it gets what no other one names.
pub(super) struct Firsts(HashMap<String, *const Directive>);

impl Firsts {
    pub(super) fn read(virtuals: &[Host<'_>]) -> Self {
        let mut firsts = HashMap::new();
        for head in virtuals.iter().filter_map(|host| host.head) {
            for word in head.arguments() {
                firsts.entry(address(word)).or_insert(std::ptr::from_ref(head));
            }
        }
        Self(firsts)
    }
}

fn address(word: &str) -> String {
    word.replace("_default_", "*")
}

/// Whether requests for one name alone come to a virtual host: it has no other names, and another one gets the rest.
pub(super) fn has_one(host: &Host<'_>, firsts: &Firsts) -> bool {
    let has = |name: &str| host.others.iter().any(|found| found.directive.name() == name);
    let Some(head) = host.head.filter(|_| has("servername") && !has("serveralias")) else { return false };
    let first = |word: &String| firsts.0.get(&address(word)) == Some(&std::ptr::from_ref(head));
    !head.arguments().is_empty() && !head.arguments().iter().any(first)
}

/// A `RequestHeader` behind the check that names one host. What comes from the request is looked at elsewhere.
pub(super) fn header(line: &Directive, report: &mut Report<'_>) {
    let (action, name, value) = (line.argument(1).to_ascii_lowercase(), line.argument(2), line.argument(3));
    let fixed = if action.starts_with("edit") {
        // but for a port that is taken away
        names_host(name, line.argument(4)) && !(value.contains(':') && matches!(line.argument(4), "" | "$1"))
    } else {
        names_host(name, value) && !value.is_empty() && !value.contains('%') && !value.starts_with("expr=")
    };
    if fixed {
        changed(line, name, report);
    }
}

/// Reports what names one host for requests for every host.
pub(super) fn changed(line: &Directive, name: &str, report: &mut Report<'_>) {
    let message = format!(
        "the service gets one host in `{name}` whatever the client asks for, and the routes of the client's host decide"
    );
    let help = "leave it out, or let another virtual host be the first one, so that requests for one `ServerName` alone come \
                here";
    report.warn("apache-host-changed", line.at, &message, help);
}
