//! Whether the service gets the host that was checked, and not one that is the same for requests for every host.

use std::collections::BTreeSet;

use crate::haproxy::chosen::{Written, of_client};
use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::listens;
use crate::haproxy::sections::{Config, Line, Rule, Section};
use crate::headers::names_host;
use crate::report::{At, Report};

/// What reads all of `Host`.
const FETCHES: &[&str] = &["hdr(host)", "req.hdr(host)", "fhdr(host)", "req.fhdr(host)"];

/// What leaves all of a host as it is, but for its port and its case.
const CONVERTERS: &[&str] = &["lower", "field(1,:)", "host_only", "rtrim(.)"];

/// What is in an expression that goes by the host of the request.
const OF_HOST: &[&str] = &["hdr(host)", "hdr(host,", "hdr_dom(host", "hdr_beg(host", "hdr_end(host", "base"];

/// A section whose requests are checked, and where they go.
pub(super) fn lint(
    config: &Config,
    section: &Section,
    is_check: &dyn Fn(&Rule<'_>) -> bool,
    known: (&Written, &Hosts),
    report: &mut Report<'_>,
) {
    let (written, hosts) = known;
    let look = Look { config, is_check, written, hosts };
    let acls = config.acls(section);
    let rules = config.rules(section);
    let denies = |rule: &&Rule<'_>| matches!(rule.action(), "deny" | "reject" | "tarpit" | "return" | "silent-drop");
    if rules.iter().filter(denies).any(|rule| look.hosts.refuses_others(&rule.condition(&acls))) {
        return;
    }
    let asks = rules.iter().any(is_check);
    look.rest(section, !asks, report);
    // by a name that is made up, any backend may be chosen
    let chosen = |line: &&Line| {
        line.words.get(1).is_some_and(|name| line.begins(&["use_backend"]) && name.contains('%') && !follows(name))
    };
    let any = section.lines.iter().any(|line| chosen(&line));
    let default = config.nearest(section, &["default_backend"]).and_then(|line| line.words.get(1));
    for to in config.targets(section).into_iter().flatten().filter(|to| !listens(to)) {
        let ways = section.lines.iter().filter(|line| line.begins(&["use_backend", &to.name]));
        let mut ways = ways.map(|line| Condition::read(&line.words, &acls)).peekable();
        let named = ways.peek().is_some() && ways.all(|when| look.hosts.is_for_one(&when));
        if any || !named || default == Some(&to.name) {
            look.rest(to, asks, report);
        }
    }
}

/// What is looked at, and by what is known.
struct Look<'c> {
    config: &'c Config,
    is_check: &'c dyn Fn(&Rule<'_>) -> bool,
    written: &'c Written,
    hosts: &'c Hosts,
}

impl Look<'_> {
    /// The rules of a section behind the check.
    fn rest(&self, section: &Section, mut checked: bool, report: &mut Report<'_>) {
        let acls = self.config.acls(section);
        for rule in self.config.rules(section) {
            if (self.is_check)(&rule) {
                checked = true;
            } else if checked && self.is_fixed(rule) && !self.hosts.is_for_one(&rule.condition(&acls)) {
                changed(rule.line.at, rule.arguments().first().map_or("", String::as_str), report);
            }
        }
    }

    /// Whether a rule writes a host that does not come from the request's own. What a client says is looked at elsewhere.
    fn is_fixed(&self, rule: Rule<'_>) -> bool {
        let [name, values @ ..] = rule.arguments() else { return false };
        let value = values.last().map_or("", String::as_str);
        if !names_host(name, value) || of_client(value, self.written) {
            return false;
        }
        match rule.action() {
            "set-header" | "add-header" => !value.is_empty() && !follows(value) && !self.hosts.is_in(value),
            // but for a port that is taken away
            "replace-header" | "replace-value" => {
                let port = values.first().is_some_and(|pattern| pattern.contains(':'));
                !(port && matches!(value.trim_start_matches('\\'), "" | "1"))
            }
            _ => false,
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

/// Variables that hold the host of the request.
#[derive(Default)]
pub(super) struct Hosts {
    /// Or what is made of it.
    any: Vec<String>,
    /// All of it.
    whole: Vec<String>,
}

impl Hosts {
    pub(super) fn read(config: &Config) -> Self {
        let mut hosts = Self::default();
        let sections = config.sections.iter();
        for rule in sections.flat_map(|section| config.rules(section).into_iter().chain(config.early_rules(section))) {
            let rest = ["set-var(", "set-var-fmt("].iter().find_map(|start| rule.action().strip_prefix(start));
            let Some(name) = rest.and_then(|rest| rest.split([')', ',']).next()) else { continue };
            if rule.arguments().iter().any(|word| follows(word)) {
                hosts.any.push(name.to_ascii_lowercase());
            }
            if rule.arguments().iter().any(|word| hosts.is_whole(&word.to_ascii_lowercase())) {
                hosts.whole.push(name.to_ascii_lowercase());
            }
        }
        hosts
    }

    /// Whether a value is made of such a variable.
    fn is_in(&self, value: &str) -> bool {
        let value = value.to_ascii_lowercase();
        self.any.iter().any(|name| value.contains(&format!("var({name})")) || value.contains(&format!("var({name},")))
    }

    /// Whether an expression is all of the host, with converters that leave it whole.
    fn is_whole(&self, fetch: &str) -> bool {
        let own = FETCHES.iter().find_map(|known| fetch.strip_prefix(known));
        let variable = || self.whole.iter().find_map(|name| fetch.strip_prefix(&format!("var({name})")));
        let Some(mut rest) = own.or_else(variable) else { return false };
        while let Some(after) = rest.strip_prefix(',') {
            let Some(more) = CONVERTERS.iter().find_map(|known| after.strip_prefix(known)) else { return false };
            rest = more;
        }
        rest.is_empty()
    }

    /// Whether a condition holds for requests for one host alone.
    fn is_for_one(&self, when: &Condition) -> bool {
        let each = |all: &Vec<Term>| all.iter().any(|term| !term.negated && !self.names(term).is_empty());
        matches!(when, Condition::If(any) if any.iter().all(each)) && self.all_names(when).len() == 1
    }

    /// Whether a rule that refuses leaves requests for one host alone.
    fn refuses_others(&self, when: &Condition) -> bool {
        let names_one = |term: &Term| !self.names(term).is_empty();
        *when != Condition::Always && when.holds_without(&names_one) && self.all_names(when).len() == 1
    }

    /// All hosts that a condition names.
    fn all_names(&self, when: &Condition) -> BTreeSet<String> {
        when.terms().iter().flatten().flat_map(|term| self.names(term)).collect()
    }

    /// The hosts that a term holds for, without their ports; none where it is not about the host, or for more than it lists.
    fn names(&self, term: &Term) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for test in term.tests.iter() {
            let test = test.to_ascii_lowercase();
            let mut words = test.split_whitespace();
            if !self.is_whole(words.next().unwrap_or_default()) {
                return BTreeSet::new();
            }
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
            ("x if { var(txn.h) -m str a.test }", true),
            ("x if { var(txn.x) -m str a.test }", false),
            ("x if { hdr(host),field(2,.) a }", false),
            ("x if { hdr(host-other) a }", false),
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
            let hosts = Hosts { any: Vec::new(), whole: vec!["txn.h".to_owned()] };
            assert_eq!(hosts.is_for_one(&Condition::read(&words, &Acls::new())), expected, "{line}");
        }
    }
}
