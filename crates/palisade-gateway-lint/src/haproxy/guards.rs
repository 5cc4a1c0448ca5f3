//! What a frontend refuses besides, because the service would read it otherwise than the sidecar, or not at all.

use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::frontend::removes;
use crate::haproxy::sections::{Config, Rule, Section};
use crate::haproxy::{listens, upgrades};
use crate::headers::is_override;
use crate::report::Report;
use crate::{IDENTITY, TUNNEL, answers};

/// What is wrong in a frontend that asks the sidecar.
pub(super) fn lint(config: &Config, section: &Section, is_check: &dyn Fn(&Rule<'_>) -> bool, report: &mut Report<'_>) {
    let mut rules = config.rules(section);
    for to in config.targets(section).into_iter().flatten() {
        rules.extend(config.rules(to));
    }
    let acls = config.acls(section);
    let denials: Vec<Condition> = rules
        .iter()
        .filter(|rule| matches!(rule.action(), "deny" | "reject" | "tarpit" | "return" | "silent-drop"))
        .map(|rule| rule.condition(&acls))
        .collect();
    let check = rules.iter().find(|rule| is_check(rule));
    let at = check.map_or(section.at, |check| check.line.at);
    // always, and not only under a condition
    let sets = |actions: &[&str], name: &str| {
        rules.iter().any(|rule| {
            let named = match rule.action() {
                "del-header" => removes(rule.arguments(), name),
                _ => rule.arguments().first().is_some_and(|header| header.eq_ignore_ascii_case(name)),
            };
            actions.contains(&rule.action()) && named && rule.condition(&acls) == Condition::Always
        })
    };
    if !sets(&["del-header"], "upgrade") && !denials.iter().any(upgrades::refuses_others) {
        report.missing(
            "haproxy-upgrade",
            at,
            TUNNEL,
            "add `http-request deny deny_status 403 if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m str -i \
             websocket }`",
        );
    }
    if !denials.iter().any(refuses_urls) {
        report.missing(
            "haproxy-whole-url",
            at,
            "what comes as a whole URL, or over HTTP/2 with another `:scheme`, goes to the service as one, and the sidecar is \
             asked about the path",
            "add `http-request deny deny_status 400 unless { url_beg / } || { req.ver 2.0 } { url_beg http:// https:// }`",
        );
    }
    let http3 = upgrades::has_http3(config, section);
    if !drops_trailers(config, section) && !refuses_trailers(&denials, http3) {
        report.missing(
            "haproxy-trailers",
            at,
            "headers behind a body of no known length (trailers) reach the service as they are, and the sidecar never sees them",
            "set `option http-drop-request-trailers` where the servers are, or deny what has `transfer-encoding`, and what comes \
             over HTTP/2 (and over HTTP/3: `{ req.ver 2.0 3.0 }`) with a body and no `content-length`, as the page about HAProxy \
             does",
        );
    }
    if !sets(&["del-header"], "forwarded") || !sets(&["set-header", "del-header"], "x-forwarded-host") {
        report.missing(
            "haproxy-forwarded-host",
            at,
            "a client's own `Forwarded` or `X-Forwarded-Host` may name another host to the service than was checked",
            "add `http-request del-header forwarded` and `http-request set-header x-forwarded-host %[req.fhdr(host)]`",
        );
    }
    if !sets(&["set-header", "del-header"], "x-forwarded-uri") {
        report.missing(
            "haproxy-check-told",
            at,
            "the sidecar gets the target in the place of the client's own `X-Forwarded-Uri`, and the service gets that one",
            "add `http-request del-header x-forwarded-uri`",
        );
    }
    names(config, section, report);
    one_host(config, &rules, &denials, check, report);
    if let Some(check) = check {
        ready_made(config, section, *check, &sets, report);
    }
    timeouts(config, section, report);
}

/// Whether the sidecar may get a part of a list in `Host`, while the service gets the whole list.
fn one_host(
    config: &Config,
    rules: &[Rule<'_>],
    denials: &[Condition],
    check: Option<&Rule<'_>>,
    report: &mut Report<'_>,
) {
    let refuses = |test: &str| {
        let test = test.to_ascii_lowercase();
        (test.contains("hdr(host)") && test.contains(',')) || test.contains("hdr_cnt(host)")
    };
    let lists =
        |when: &Condition| when.terms().iter().flatten().any(|term| term.tests.iter().any(|test| refuses(test)));
    if denials.iter().any(lists) {
        return;
    }
    // what is put into a variable counts where the variable is sent
    let variables: Vec<String> = rules
        .iter()
        .filter(|rule| rule.arguments().iter().any(|word| takes_part(word)))
        .filter_map(|rule| Some(rule.action().strip_prefix("set-var(")?.split([')', ',']).next()?.to_owned()))
        .collect();
    let told = |words: &[String]| {
        let reads = |word: &String| {
            variables
                .iter()
                .any(|name| word.contains(&format!("var({name})")) || word.contains(&format!("var({name},")))
        };
        words.iter().any(|word| takes_part(word) || reads(word))
    };
    let set = rules.iter().filter(|rule| {
        let header = rule.arguments().first().is_some_and(|name| is_override(name));
        let asks = check.is_some_and(|check| std::ptr::eq(check.line, rule.line));
        (asks || (rule.action().ends_with("-header") && header)) && told(rule.arguments())
    });
    let messages = config.sections.iter().filter(|section| section.kind == "spoe-message");
    let args = messages.flat_map(|message| &message.lines).filter(|line| line.begins(&["args"]) && told(&line.words));
    for line in set.map(|rule| rule.line).chain(args) {
        report.warn(
            "haproxy-host-list",
            line.at,
            "of `Host: a, b` this takes `b`, and the service gets both: the routes of another host decide",
            "take all of it with `req.fhdr(host)`",
        );
    }
}

/// Whether an expression takes one value of `Host`, as `req.hdr(host)` does with the last behind a comma.
fn takes_part(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.match_indices("hdr(host").any(|(at, _)| {
        let before = word[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').next();
        matches!(before, Some("" | "req." | "hdr(host" | "capture.req."))
    })
}

/// Whether what is no path is refused, whatever the version of HTTP.
fn refuses_urls(when: &Condition) -> bool {
    match when {
        Condition::Always => false,
        Condition::Unless(any) => {
            any.iter().all(|all| all.iter().any(|term| !term.negated && term.mentions("url_beg")))
        }
        Condition::If(any) => any.iter().any(|all| all.iter().all(|term| term.negated && term.mentions("url_beg"))),
    }
}

/// Whether trailers are taken away wherever requests go.
fn drops_trailers(config: &Config, section: &Section) -> bool {
    let on = |section: &Section| config.option(section, "http-drop-request-trailers").is_some();
    let targets = config.targets(section);
    let own = section.servers().is_empty() || on(section);
    own && !(targets.is_empty() && section.servers().is_empty()) && targets.iter().all(|to| to.is_some_and(on))
}

fn refuses_trailers(denials: &[Condition], http3: bool) -> bool {
    let some = |wanted: &dyn Fn(&[Term]) -> bool| {
        denials.iter().any(|when| matches!(when, Condition::If(any) if any.iter().any(|all| wanted(all))))
    };
    let chunked = some(&|all| all.len() == 1 && !all[0].negated && all[0].mentions("transfer-encoding"));
    let of_http2 = |all: &[Term], more: &str| {
        all.iter().all(|term| {
            (!term.negated && term.mentions("req.ver") && (!http3 || upgrades::names_http3(term)))
                || (term.negated && (term.mentions("content-length") || (!more.is_empty() && term.mentions(more))))
        })
    };
    let bodies = some(&|all| of_http2(all, ""))
        || (some(&|all| of_http2(all, "htx_blk.type")) && some(&|all| of_http2(all, "has_eom")));
    chunked && bodies
}

/// Names of headers that the service may take for others.
fn names(config: &Config, section: &Section, report: &mut Report<'_>) {
    let restricts = config.option(section, "http-restrict-req-hdr-names");
    if !restricts.is_some_and(|line| line.words.iter().any(|word| matches!(word.as_str(), "delete" | "reject"))) {
        report.missing(
            "haproxy-header-names",
            restricts.map_or(section.at, |line| line.at),
            "names with `_` and the like reach the service, which may take `X_Palisade_Principal` for the sidecar's own header",
            "set `option http-restrict-req-hdr-names delete` in `defaults`",
        );
    }
    for name in ["accept-invalid-http-request", "accept-unsafe-violations-in-http-request"] {
        if let Some(line) = config.option(section, name) {
            report.warn(
                "haproxy-invalid-requests",
                line.at,
                "requests that are not valid are passed on, and the service may read them otherwise than HAProxy",
                "leave it out",
            );
        }
    }
}

/// Scripts that others wrote, and agents: they know nothing of the sidecar's headers.
fn ready_made(
    config: &Config,
    section: &Section,
    check: Rule<'_>,
    sets: &dyn Fn(&[&str], &str) -> bool,
    report: &mut Report<'_>,
) {
    let at = check.line.at;
    let spoe = check.action() == "send-spoe-group";
    let known = check.lua().is_some_and(|name| matches!(name, "auth-intercept" | "auth-request"));
    if spoe && config.nearest(section, &["filter", "spoe"]).is_none() {
        report.missing(
            "haproxy-spoe",
            at,
            "there is no `filter spoe` here, so no agent is asked",
            "add the filter to this section",
        );
    }
    if known && check.arguments().iter().any(|word| word == "*") {
        report.warn(
            "haproxy-copied-headers",
            at,
            "`*` copies `Transfer-Encoding` to the check, and a chunked request hangs it",
            "list the headers that the sidecar needs",
        );
    }
    if !known && !spoe {
        return;
    }
    if known {
        elsewhere(config, check, report);
    }
    let kept: Vec<String> = IDENTITY
        .iter()
        .filter(|name| !sets(&["del-header", "set-header"], name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !kept.is_empty() {
        report.missing(
            "haproxy-identity-spoofed",
            at,
            &format!("{} that a client makes up reach the service", kept.join(", ")),
            "add `http-request del-header X-Palisade-Principal`, and one for each other, before the check",
        );
    }
}

/// Whether the backend that a ready-made script asks is the sidecar alone.
fn elsewhere(config: &Config, check: Rule<'_>, report: &mut Report<'_>) {
    // the first argument, or the second where the method is said
    let asked = |section: &&Section| {
        section.kind == "backend" && check.arguments().iter().take(2).any(|word| *word == section.name)
    };
    let Some(backend) = config.sections.iter().find(asked) else { return };
    let front = config.sections.iter().filter(|section| listens(section));
    let passes = front.flat_map(|section| config.targets(section).into_iter().flatten().chain([section]));
    let services = passes.flat_map(Section::servers).map(answers::normal).collect();
    if let Some(wrong) = answers::wrong(&backend.servers(), &services) {
        report.warn("haproxy-check-elsewhere", backend.at, &wrong, "name sidecars alone in this backend");
    }
}

fn timeouts(config: &Config, section: &Section, report: &mut Report<'_>) {
    let mut wanted = vec![("client", section)];
    let targets =
        config.targets(section).into_iter().flatten().chain((!section.servers().is_empty()).then_some(section));
    for to in targets {
        wanted.extend([("connect", to), ("server", to)]);
    }
    for (name, section) in wanted {
        if config.nearest(section, &["timeout", name]).is_none() {
            report.missing(
                "haproxy-timeout",
                section.at,
                &format!("there is no `timeout {name}`: what hangs is waited for without end"),
                "set it in `defaults`",
            );
        }
    }
}
