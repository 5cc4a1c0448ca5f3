//! PROXY protocol: whose word counts for the address of a client.

use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::listens;
use crate::haproxy::sections::{Config, Line, Rule, Section};
use crate::is_of_this_machine;
use crate::report::Report;

pub(super) fn lint(config: &Config, is_check: &dyn Fn(&Rule<'_>) -> bool, report: &mut Report<'_>) {
    admin(config, report);
    let sections = config.sections.iter().filter(|section| listens(section) && config.is_http(section));
    for section in sections {
        if !config.rules(section).iter().any(is_check) {
            pages(config, section, report);
        }
        let acls = config.acls(section);
        let rules = config.early_rules(section);
        // others are refused before the header of PROXY protocol is read
        let refuses = rules.iter().any(|rule| {
            let when = rule.condition(&acls);
            let at_once = rule.line.words.get(1).is_some_and(|word| word == "connection");
            at_once && matches!(rule.action(), "reject" | "silent-drop") && refuses_others(&when)
        });
        let expects: Vec<&Line> = rules
            .iter()
            .filter(|rule| matches!(rule.action(), "expect-proxy" | "expect-netscaler-cip"))
            .filter(|rule| !rule.condition(&acls).is_narrow())
            .map(|rule| rule.line)
            .collect();
        let binds = binds(config, section);
        let open = |line: &&Line| !line.words.get(1).is_some_and(|address| address.split(',').all(is_of_this_machine));
        let accepts = |line: &&Line| {
            line.words.iter().any(|word| matches!(word.as_str(), "accept-proxy" | "accept-netscaler-cip"))
        };
        let accepting = binds.iter().copied().filter(open).filter(accepts);
        let expecting = expects.into_iter().filter(|_| binds.iter().any(open));
        for line in accepting.chain(expecting).filter(|_| !refuses) {
            report.warn(
                "haproxy-trusts-everybody",
                line.at,
                "any client says itself by PROXY protocol which address it has, and the sidecar believes it",
                "take it from the proxies in front alone: `tcp-request connection expect-proxy layer4 if { src 10.0.0.0/8 }`",
            );
        }
    }
}

/// Who reaches the pages at which servers are switched off and on. Rules for requests run in front of them.
fn pages(config: &Config, section: &Section, report: &mut Report<'_>) {
    let parts = || config.targets(section).into_iter().flatten().chain([section]);
    let acls = config.acls(section);
    let authenticates = |line: &Line| {
        let asks = |at: usize| matches!(line.words.get(at).map(String::as_str), Some("auth" | "deny"));
        line.begins(&["stats", "auth"]) || (line.begins(&["stats", "http-request"]) && asks(2))
    };
    let refuses = config.rules(section).into_iter().any(|rule| {
        let when = rule.condition(&acls);
        (rule.action() == "auth" && !when.is_narrow())
            || (matches!(rule.action(), "deny" | "reject" | "silent-drop") && refuses_others(&when))
    });
    let open = |line: &&Line| !line.words.get(1).is_some_and(|address| address.split(',').all(is_of_this_machine));
    if refuses || !binds(config, section).iter().any(open) {
        return;
    }
    for part in parts() {
        let lines = || config.chain(part).into_iter().flat_map(|section| &section.lines);
        if lines().any(authenticates) {
            continue;
        }
        let narrow = |line: &&Line| Condition::read(&line.words, &config.acls(part)).is_narrow();
        for line in lines().filter(|line| line.begins(&["stats", "admin"])).filter(|line| !narrow(line)) {
            report.warn(
                "haproxy-admin-open",
                line.at,
                "unauthenticated requests reach this page, and switch servers off and on",
                "add `stats auth`, or let it listen on `127.0.0.1`",
            );
        }
    }
}

/// Who reaches the socket at which servers and maps are changed.
fn admin(config: &Config, report: &mut Report<'_>) {
    let lines = config.sections.iter().filter(|section| section.kind == "global").flat_map(|section| &section.lines);
    for line in lines.filter(|line| line.begins(&["stats", "socket"])) {
        // several stand in one word
        let open = !line.words.get(2).is_some_and(|list| list.split(',').all(is_of_this_machine));
        let has = |first: &str, second: &str| line.words.windows(2).any(|pair| pair == [first, second]);
        // who has a certificate is let in by its author
        let known = line.words.iter().any(|word| word == "ssl") && has("verify", "required");
        if open && !known {
            report.warn(
                "haproxy-admin-open",
                line.at,
                "any client that reaches this socket changes maps, whatever its level, and so where requests go",
                "let it be a socket in the file system: `stats socket /run/haproxy/admin.sock mode 660 level admin`",
            );
        }
    }
}

/// The lines by which a section listens.
fn binds<'c>(config: &'c Config, section: &'c Section) -> Vec<&'c Line> {
    let lines = config.chain(section).into_iter().flat_map(|section| &section.lines);
    lines.filter(|line| line.begins(&["bind"])).collect()
}

/// Whether what does not come from some addresses is refused.
fn refuses_others(when: &Condition) -> bool {
    let narrow = |terms: &[Vec<Term>]| Condition::If(terms.to_vec()).is_narrow();
    match when {
        Condition::Always => true,
        Condition::Unless(any) => narrow(any),
        Condition::If(any) => any.iter().any(|all| {
            let [term] = all.as_slice() else { return false };
            let positive = Term { negated: false, ..term.clone() };
            term.negated && narrow(&[vec![positive]])
        }),
    }
}
