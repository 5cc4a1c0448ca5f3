//! PROXY protocol: whose word counts for the address of a client.

use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::listens;
use crate::haproxy::sections::{Config, Line, Section};
use crate::is_of_this_machine;
use crate::report::Report;

pub(super) fn lint(config: &Config, report: &mut Report<'_>) {
    admin(config, report);
    let sections = config.sections.iter().filter(|section| listens(section) && config.is_http(section));
    for section in sections {
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

/// Who reaches the socket at which servers and maps are changed.
fn admin(config: &Config, report: &mut Report<'_>) {
    let lines = config.sections.iter().filter(|section| section.kind == "global").flat_map(|section| &section.lines);
    for line in lines.filter(|line| line.begins(&["stats", "socket"])) {
        let address = line.words.get(2).map_or("", String::as_str);
        let bare = ["ipv4@", "ipv6@"].iter().find_map(|start| address.strip_prefix(start)).unwrap_or(address);
        let admin = line.words.windows(2).any(|pair| pair == ["level", "admin"]);
        if admin && !is_of_this_machine(bare) && !is_of_this_machine(address) {
            report.warn(
                "haproxy-admin-open",
                line.at,
                "whoever reaches this socket changes servers and maps, and so where requests go",
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
