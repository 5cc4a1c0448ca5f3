//! Whether the service gets the host that was checked, and not one that is the same for requests for every host.

use std::collections::BTreeSet;

use crate::haproxy::chosen::{Written, of_client};
use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::listens;
use crate::haproxy::sections::{Config, Rule, Section};
use crate::headers::names_host;
use crate::report::{At, Report};

/// What reads all of `Host`.
const FETCHES: &[&str] = &["hdr(host", "req.hdr(host", "fhdr(host", "req.fhdr(host"];

/// What is in an expression that goes by the host of the request.
const OF_HOST: &[&str] = &["hdr(host", "hdr_dom(host", "hdr_beg(host", "hdr_end(host", "base"];

/// A section whose requests are checked, and where they go.
pub(super) fn lint(
    config: &Config,
    section: &Section,
    is_check: &dyn Fn(&Rule<'_>) -> bool,
    written: &Written,
    report: &mut Report<'_>,
) {
    let acls = config.acls(section);
    let rules = config.rules(section);
    let denies = |rule: &&Rule<'_>| matches!(rule.action(), "deny" | "reject" | "tarpit" | "return" | "silent-drop");
    let names_one = |term: &Term| !names(term).is_empty();
    if rules.iter().filter(denies).any(|rule| {
        let when = rule.condition(&acls);
        when != Condition::Always && when.holds_without(&names_one) && all_names(&when).len() == 1
    }) {
        return;
    }
    let asks = rules.iter().any(is_check);
    rest(config, section, !asks, is_check, written, report);
    let ways = |name: &str| {
        let lines = section.lines.iter().filter(|line| line.begins(&["use_backend", name]));
        lines.map(|line| Condition::read(&line.words, &acls)).collect::<Vec<_>>()
    };
    let default = config.nearest(section, &["default_backend"]).and_then(|line| line.words.get(1));
    for to in config.targets(section).into_iter().flatten().filter(|to| !listens(to)) {
        let ways = ways(&to.name);
        let alone = !ways.is_empty() && ways.iter().all(is_for_one) && default != Some(&to.name);
        if !alone {
            rest(config, to, asks, is_check, written, report);
        }
    }
}

/// The rules of a section behind the check.
fn rest(
    config: &Config,
    section: &Section,
    mut checked: bool,
    is_check: &dyn Fn(&Rule<'_>) -> bool,
    written: &Written,
    report: &mut Report<'_>,
) {
    let acls = config.acls(section);
    for rule in config.rules(section) {
        if is_check(&rule) {
            checked = true;
        } else if checked && is_fixed(config, rule, written) && !is_for_one(&rule.condition(&acls)) {
            changed(rule.line.at, rule.arguments().first().map_or("", String::as_str), report);
        }
    }
}

/// Reports a header that names one host for requests for every host.
pub(super) fn changed(at: At, name: &str, report: &mut Report<'_>) {
    report.warn(
        "haproxy-host-changed",
        at,
        &format!("`{name}` names another host to the service than the client asked for, and than was checked"),
        "leave it out, or set it for one host alone: `if { req.hdr(host) -i app.test }`",
    );
}

/// Whether a value is that of the host, or made of it.
pub(super) fn follows(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    OF_HOST.iter().any(|part| value.contains(part))
}

/// Whether a rule writes a host that does not come from the request's own. What a client says is looked at elsewhere.
fn is_fixed(config: &Config, rule: Rule<'_>, written: &Written) -> bool {
    let [name, values @ ..] = rule.arguments() else { return false };
    let value = values.last().map_or("", String::as_str);
    if !names_host(name, value) || of_client(value, written) {
        return false;
    }
    match rule.action() {
        "set-header" | "add-header" => !value.is_empty() && !follows(value) && !of_variable(config, value),
        // but for a port that is taken away
        "replace-header" | "replace-value" => {
            let port = values.first().is_some_and(|pattern| pattern.contains(':'));
            !(port && matches!(value.trim_start_matches('\\'), "" | "1"))
        }
        _ => false,
    }
}

/// Whether a value is that of a variable that holds the host.
fn of_variable(config: &Config, value: &str) -> bool {
    let all =
        config.sections.iter().flat_map(|section| config.rules(section).into_iter().chain(config.early_rules(section)));
    all.filter(|rule| rule.arguments().iter().any(|word| follows(word))).any(|rule| {
        let rest = ["set-var(", "set-var-fmt("].iter().find_map(|start| rule.action().strip_prefix(start));
        let name = rest.and_then(|rest| rest.split([')', ',']).next());
        name.is_some_and(|name| value.contains(&format!("var({name}")))
    })
}

/// Whether a condition holds for requests for one host alone.
fn is_for_one(when: &Condition) -> bool {
    let each = |all: &Vec<Term>| all.iter().any(|term| !term.negated && !names(term).is_empty());
    matches!(when, Condition::If(any) if any.iter().all(each)) && all_names(when).len() == 1
}

/// All hosts that a condition names.
fn all_names(when: &Condition) -> BTreeSet<String> {
    when.terms().iter().flatten().flat_map(names).collect()
}

/// The hosts that a term holds for, without their ports; none where it is not about the host, or for more than it lists.
fn names(term: &Term) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for test in term.tests.iter() {
        let test = test.to_ascii_lowercase();
        let mut words = test.split_whitespace();
        let fetch = words.next().unwrap_or_default();
        if !FETCHES.iter().any(|known| fetch.starts_with(known)) || fetch.contains(",map") {
            return BTreeSet::new();
        }
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            match word {
                "-i" | "--" => {}
                "-m" if words.next() == Some("str") => {}
                word if word.starts_with('-') || word == "str" => return BTreeSet::new(),
                name => _ = found.insert(name.split(':').next().unwrap_or(name).to_owned()),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::condition::Acls;

    #[test]
    fn conditions_for_one_host_are_known() {
        for (line, expected) in [
            ("x if { req.hdr(host) -i a.test }", true),
            ("x if { req.hdr(host),lower -m str a.test a.test:80 }", true),
            ("x if { path /a } { hdr(host) a.test } || { req.fhdr(host) a.test }", true),
            ("x if { hdr(host) a.test b.test }", false),
            ("x if { hdr(host) a.test } || { hdr(host) b.test }", false),
            ("x if { hdr(host) a.test } || { path /a }", false),
            ("x if !{ hdr(host) a.test }", false),
            ("x if { hdr(host) -m end .test }", false),
            ("x if { hdr(host) -f /list }", false),
            ("x if { hdr(x-host) a.test }", false),
            ("x unless { hdr(host) a.test }", false),
            ("x", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(is_for_one(&Condition::read(&words, &Acls::new())), expected, "{line}");
        }
    }
}
