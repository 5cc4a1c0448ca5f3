//! The way of a request through a frontend: what runs before the check, whether its answer counts, what comes after.

use crate::haproxy::chosen::Written;
use crate::haproxy::condition::{Condition, Term};
use crate::haproxy::sections::{Config, Rule, Section};
use crate::haproxy::{cache, chosen, guards, host, listens, plain};
use crate::headers::{BODY_HELP, body_changed, is_of_body, is_path, names_caller, overrides};
use crate::report::{At, Report};
use crate::{IDENTITY, is_identity, pattern};

type IsCheck<'a> = &'a dyn Fn(&Rule<'_>) -> bool;

/// Actions that answer, so that no service sees the request.
const ANSWERS: &[&str] = &["deny", "reject", "tarpit", "return", "silent-drop"];

/// Actions that make another path or query of it.
const PATHS: &[&str] =
    &["set-path", "set-pathq", "set-uri", "set-query", "replace-path", "replace-pathq", "replace-uri", "normalize-uri"];

/// What the rules of a section come to.
#[derive(Debug, Default)]
struct Outcome {
    check: Option<At>,
    /// Whether nothing passes without a yes.
    denies: bool,
    /// Whether everything is answered before any check.
    answers: bool,
}

pub(super) fn lint(config: &Config, is_check: IsCheck<'_>, report: &mut Report<'_>) {
    let (written, hosts) = (Written::read(config), host::Hosts::read(config));
    let mut checked: Vec<&Section> = Vec::new();
    for section in config.sections.iter().filter(|section| listens(section)) {
        let rules = config.rules(section);
        if !config.is_http(section) {
            if let Some(check) = rules.iter().find(|rule| is_check(rule)) {
                report.missing(
                    "haproxy-mode",
                    check.line.at,
                    "without `mode http` HAProxy reads no requests here, and so never asks about them",
                    "set `mode http` in `defaults`",
                );
            }
            continue;
        }
        let outcome = follow(config, section, is_check, &written, report);
        let targets: Vec<&Section> = config.targets(section).into_iter().flatten().collect();
        let unknown = config.targets(section).iter().any(Option::is_none);
        let passes = !section.servers().is_empty() || unknown || targets.iter().any(|to| !to.servers().is_empty());
        if outcome.answers || !passes || plain::sends_on(config, section) {
            continue;
        }
        let mut guarded = outcome.check.is_some();
        if !guarded && section.servers().is_empty() && !unknown {
            // the check may stand where requests go instead
            let inner: Vec<Outcome> = targets.iter().map(|to| follow(config, to, is_check, &written, report)).collect();
            guarded = inner
                .iter()
                .zip(&targets)
                .all(|(one, to)| one.check.is_some() || one.answers || to.servers().is_empty());
        }
        if !guarded {
            report.missing(
                "haproxy-frontend-unchecked",
                section.at,
                "nothing asks the sidecar about the requests of this section: they reach the service unchecked",
                "add the check and its `deny`; what is to be open is `public: true` in the route file",
            );
            continue;
        }
        guards::lint(config, section, is_check, report);
        host::lint(config, section, is_check, (&written, &hosts), report);
        cache::lint(config, section, is_check, report);
        chosen::backends(section, &written, report);
        checked.push(section);
        if outcome.check.is_some() {
            for to in targets.iter().filter(|to| !listens(to)) {
                let acls = config.acls(to);
                for rule in config.rules(to) {
                    changes(rule, &rule.condition(&acls), true, &written, report);
                }
            }
        }
        checked.extend(targets);
    }
    around(config, &checked, report);
}

/// Sections that pass bytes on to a service whose requests are checked elsewhere.
fn around(config: &Config, checked: &[&Section], report: &mut Report<'_>) {
    let known: Vec<&str> = checked.iter().flat_map(|section| section.servers()).collect();
    for section in config.sections.iter().filter(|section| listens(section) && !config.is_http(section)) {
        let targets = config.targets(section);
        let servers = targets.iter().flatten().flat_map(|to| to.servers()).chain(section.servers());
        if servers.into_iter().any(|server| known.contains(&server)) {
            report.warn(
                "haproxy-tcp",
                section.at,
                "this section passes bytes on to a service whose requests are checked elsewhere: here they are not",
                "set `mode http` and add the check",
            );
        }
    }
}

/// Whether a term is a variable that holds the answer of the check, and does not hold where that was none.
fn is_yes(term: &Term) -> bool {
    term.tests.iter().all(|test| {
        let words: Vec<&str> = test.split_whitespace().collect();
        let fetch = words.first().copied().unwrap_or_default().to_ascii_lowercase();
        let Some((inside, after)) = fetch.strip_prefix("var(").and_then(|rest| rest.rsplit_once(')')) else {
            return false;
        };
        // `var(txn.allowed,bool(1))` is a yes without an answer
        let default = inside.split_once(',').map(|(_, default)| default.trim());
        let no = default.is_none_or(|default| matches!(default, "bool(0)" | "bool(false)" | "int(0)"));
        let turned = [",not", ",bool(", ",int("].iter().any(|converter| after.contains(converter));
        no && !turned && !takes_no(&words[1..])
    })
}

/// Whether a test holds without a yes: by `-m found`, or by numbers of which one is 0.
fn takes_no(words: &[&str]) -> bool {
    let method = words.windows(2).find(|pair| pair[0] == "-m").map(|pair| pair[1]);
    let values = words.iter().filter(|word| !word.starts_with('-') && Some(**word) != method);
    match method {
        Some("found" | "len") => true,
        Some("int" | "bool") => {
            let mut operator = "eq";
            values.into_iter().any(|word| {
                if matches!(*word, "eq" | "ge" | "gt" | "le" | "lt") {
                    operator = *word;
                    return false;
                }
                let (from, to) = word.split_once(':').unwrap_or((word, word));
                let number = |text: &str, open: i64| match text {
                    "" => open,
                    "false" | "off" | "no" => 0,
                    "true" | "on" | "yes" => 1,
                    text => text.parse().unwrap_or(0),
                };
                let (from, to) = (number(from, i64::MIN), number(to, i64::MAX));
                match operator {
                    "ge" => from <= 0,
                    "gt" => from < 0,
                    "le" => to >= 0,
                    "lt" => to > 0,
                    _ => from <= 0 && to >= 0,
                }
            })
        }
        _ => false,
    }
}

/// The variable that a term reads.
fn variable(term: &Term) -> Option<&str> {
    let rest = term.tests.first()?.strip_prefix("var(")?;
    rest.split([')', ',']).next()
}

/// Follows requests through the rules of a section.
fn follow(
    config: &Config,
    section: &Section,
    is_check: IsCheck<'_>,
    written: &Written,
    report: &mut Report<'_>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let rules = config.rules(section);
    let acls = config.acls(section);
    let has_check = rules.iter().any(is_check);
    let mut answer: Option<String> = None;
    for rule in config.early_rules(section).iter().filter(|_| has_check) {
        changes(*rule, &rule.condition(&acls), false, written, report);
    }
    for rule in &rules {
        let condition = rule.condition(&acls);
        let at = rule.line.at;
        if is_check(rule) {
            if condition != Condition::Always {
                report.warn(
                    "haproxy-check-conditional",
                    at,
                    "the sidecar is asked only under a condition, and about nothing else",
                    "leave the condition out; what is to be open is `public: true` in the route file",
                );
            }
            outcome.check.get_or_insert(at);
            continue;
        }
        let action = rule.action();
        if ANSWERS.contains(&action) {
            if outcome.check.is_none() {
                outcome.answers |= condition == Condition::Always;
            } else if condition.holds_without(&is_yes) {
                outcome.denies = true;
                answer =
                    condition.terms().iter().flatten().find_map(|term| variable(term).map(str::to_owned)).or(answer);
            }
        } else if matches!(action, "redirect" | "use-service") {
            outcome.answers |= outcome.check.is_none() && plain::redirects_all(section, &condition, &|_| false);
        } else if action == "allow" && !outcome.denies && has_check {
            report.warn(
                "haproxy-allow",
                at,
                "`allow` ends the rules: what it matches is not checked, or passes whatever the sidecar says",
                "put it behind the `deny` of the check, or make the route `public: true` in the route file",
            );
        }
        if has_check {
            changes(*rule, &condition, outcome.check.is_some(), written, report);
        }
    }
    if let Some(check) = outcome.check
        && !outcome.denies
    {
        report.missing(
            "haproxy-answer-ignored",
            check,
            "nothing denies when the check failed or did not run: the request passes",
            "add `http-request deny deny_status 503 unless { var(txn.palisade_allowed) -m bool }` after it",
        );
    }
    // a variable that is set beside the check holds a yes that is not the sidecar's: in front of it too, where it fails
    if let (Some(name), Some(check)) = (&answer, outcome.check) {
        let sets = |action: &str| {
            let rest = ["set-var(", "set-var-fmt(", "do-resolve("].iter().find_map(|start| action.strip_prefix(start));
            rest.and_then(|rest| rest.split([')', ',']).next()).is_some_and(|set| set.eq_ignore_ascii_case(name))
        };
        let empties = |rule: &&Rule<'_>| {
            let no = |word: &String| matches!(word.as_str(), "bool(false)" | "bool(0)" | "int(0)" | "0" | "false");
            rule.line.at < check && rule.arguments().iter().all(no)
        };
        let early = config.early_rules(section);
        for rule in early.iter().chain(&rules).filter(|rule| sets(rule.action()) && !empties(rule)) {
            report.warn(
                "haproxy-answer-ignored",
                rule.line.at,
                &format!("`{name}` holds the answer of the sidecar, and is set here by another rule"),
                "leave it out",
            );
        }
    }
    outcome
}

/// What a rule changes of the request: behind the check the service gets another than was checked.
fn changes(rule: Rule<'_>, when: &Condition, after: bool, written: &Written, report: &mut Report<'_>) {
    let at = rule.line.at;
    let action = rule.action();
    if PATHS.contains(&action) {
        report.warn(
            "haproxy-path-rewritten",
            at,
            "the path is rewritten, so the sidecar and the service may see different ones",
            "let the service have the path as it was sent, and write routes for it",
        );
    }
    if action == "set-method" {
        report.warn(
            "haproxy-method-changed",
            at,
            "the service gets another method than the client sent",
            "leave it out, and write routes for the method that the client sends",
        );
    }
    let says = |value: &String| value.contains("hdr") || chosen::of_client(value, written);
    if action == "set-src" && rule.arguments().iter().any(says) && !when.is_narrow() {
        report.warn(
            "haproxy-trusts-everybody",
            at,
            "any client says itself which address it has, and the sidecar believes it",
            "set it only for the proxies in front: `if { src 10.0.0.0/8 }`",
        );
    }
    let name = rule.arguments().first().map_or("", String::as_str);
    let sets = matches!(action, "set-header" | "add-header" | "replace-header" | "replace-value");
    let from_agent = rule.arguments().get(1).is_some_and(|value| value.contains("var("));
    if after && sets && is_identity(name) && !from_agent {
        report.warn(
            "haproxy-identity-set",
            at,
            &format!("`{name}` is set behind the check, and not by the sidecar"),
            "leave it out: the check sets it",
        );
    }
    if !after && action == "cache-use" {
        report.warn(
            "haproxy-cache-before-check",
            at,
            "what is in the cache is answered before the sidecar is asked, to any caller",
            "put it behind the `deny` of the check, and let only open answers be kept",
        );
    }
    // the last one: what is replaced is in front of it
    let value = rule.arguments().get(1..).unwrap_or_default().last().map_or("", String::as_str);
    // what is replaced is a part of what the client sent
    let replaces = action.starts_with("replace-") && !replaces_all(rule.arguments());
    if !after && sets && !replaces && names_caller(name, value, &['%', '\\']) {
        report.warn(
            "haproxy-check-told",
            at,
            &format!("the sidecar gets a fixed `{name}`, so every caller is that one"),
            "leave it out: the client's own is passed to the sidecar",
        );
    }
    if after && action == "del-header" && IDENTITY.iter().any(|known| removes(rule.arguments(), known)) {
        report.warn(
            "haproxy-identity-removed",
            at,
            "this takes away behind the check what the sidecar says of the caller",
            "put it in front of the check, or leave it out: the script does it",
        );
    }
    let of_body =
        |name: &str| (action == "del-header" && removes(rule.arguments(), name)) || (sets && is_of_body(name));
    // the whole of what the client sent; of `a, b` the other fetch is `b`
    let whole = action == "set-header"
        && ["req.fhdr", "fhdr"].iter().any(|fetch| value.eq_ignore_ascii_case(&format!("%[{fetch}({name})]")));
    if after && !whole && (is_of_body(name) || action == "del-header") {
        let told = if is_of_body(name) { name } else { "content-type" };
        if of_body(told) || of_body("content-encoding") {
            report.warn("haproxy-content-type-changed", at, &body_changed(told), BODY_HELP);
        }
    }
    // a path that is decoded is not the one that was checked, nor one that stands here
    let another = is_path(name) && (value.contains("url_dec") || value.starts_with("%[str("));
    let of_client = chosen::of_client_in(name, value, written) || another;
    chosen::lint(rule, after, written, report);
    if after && sets && overrides(name, value, of_client) {
        report.warn(
            "haproxy-override-set",
            at,
            &format!("`{name}` is set behind the check: some services take another request by it than was checked"),
            "leave it out",
        );
    }
}

/// Whether a `del-header` takes a header away.
pub(super) fn removes(arguments: &[String], header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    let name = arguments.iter().find(|word| !word.starts_with("-m")).map(|name| name.to_ascii_lowercase());
    let method = arguments.windows(2).find(|pair| pair[0] == "-m").map_or("str", |pair| pair[1].as_str());
    name.is_some_and(|name| match method {
        "beg" => header.starts_with(&name),
        "end" => header.ends_with(&name),
        "sub" => header.contains(&name),
        "reg" => pattern::may_be_found(&name, &header),
        _ => header == name,
    })
}

/// Whether the pattern of a `replace-header` fits whatever the client sent, so that nothing of that is left.
fn replaces_all(arguments: &[String]) -> bool {
    arguments.get(1).is_some_and(|pattern| matches!(pattern.trim_matches(['^', '$', '(', ')']), ".*" | ".+" | ""))
}
