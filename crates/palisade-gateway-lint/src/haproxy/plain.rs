//! Sections that only send clients to HTTPS, and answer the challenges of a certificate authority.

use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::sections::{Config, Line, Section};

/// Where a certificate is asked for.
const ACME: &str = "/.well-known/acme-challenge";

/// Whether a redirect takes everything but what `besides` holds for: it has no condition, or sends to HTTPS what does
/// not come by it.
pub(super) fn redirects_all(section: &Section, condition: &Condition, besides: &dyn Fn(&Term) -> bool) -> bool {
    let plain = section
        .lines
        .iter()
        .filter(|line| line.begins(&["bind"]))
        .all(|line| !line.words.iter().any(|word| word == "ssl"));
    let secure = |term: &Term| plain && term.tests.iter().all(|test| test.trim() == "ssl_fc");
    let other = |term: &Term| secure(term) || besides(term);
    match condition {
        Condition::Always => true,
        Condition::If(any) => {
            any.iter().any(|all| !all.is_empty() && all.iter().all(|term| term.negated && other(term)))
        }
        Condition::Unless(_) => condition.holds_without(&other),
    }
}

fn is_acme(term: &Term) -> bool {
    !term.tests.is_empty()
        && term.tests.iter().all(|test| {
            let mut words = test.split_whitespace();
            matches!(words.next(), Some("path_beg" | "path" | "path_reg"))
                && words
                    .filter(|word| !word.starts_with("-"))
                    .all(|word| word.trim_start_matches('^').starts_with(ACME))
        })
}

/// Whether every request is sent to HTTPS, but for those for a certificate, which go to a backend of their own.
pub(super) fn sends_on(config: &Config, section: &Section) -> bool {
    let acls = config.acls(section);
    let condition = |line: &Line| Condition::read(&line.words, &acls);
    let redirects = |besides: &dyn Fn(&Term) -> bool| {
        let redirect = |line: &&Line| line.begins(&["redirect"]) || line.begins(&["http-request", "redirect"]);
        section.lines.iter().filter(redirect).any(|line| redirects_all(section, &condition(line), besides))
    };
    // `allow` ends the rules, the redirect among them
    if section.lines.iter().any(|line| line.begins(&["http-request", "allow"])) || !redirects(&is_acme) {
        return false;
    }
    if redirects(&|_| false) {
        return true;
    }
    // the first backend that is chosen must be one for certificates, and no service's
    let chosen = section.lines.iter().filter(|line| line.begins(&["use_backend"]));
    let for_acme = |line: &&Line| match condition(line) {
        Condition::If(any) => any.iter().any(|all| all.len() == 1 && !all[0].negated && is_acme(&all[0])),
        _ => false,
    };
    let Some(name) = chosen.take(1).find(for_acme).and_then(|line| line.words.get(1)) else { return false };
    let Some(backend) = config.sections.iter().find(|to| to.kind == "backend" && to.name == *name) else {
        return false;
    };
    let others = config.sections.iter().filter(|other| !std::ptr::eq(*other, backend));
    let servers: Vec<&str> = others.flat_map(Section::servers).collect();
    let default = |line: &Line| line.begins(&["default_backend", name]);
    !backend.servers().iter().any(|server| servers.contains(server))
        && !config.sections.iter().any(|section| section.lines.iter().any(default))
}
