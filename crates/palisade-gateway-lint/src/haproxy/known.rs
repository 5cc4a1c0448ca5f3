//! What stands in sections through which requests come, and is not known: programs, services of programs, filters,
//! actions and keywords. What is in none of these lists is reported.

use crate::haproxy::chosen::{Written, of_client};
use crate::haproxy::sections::{Config, Line, Rule};
use crate::haproxy::{fastcgi, host, listens};
use crate::headers::{BODY_HELP, BODY_REPLACED, body_changed, is_of_body, names_host, overrides};
use crate::report::{At, Report};
use crate::{PROGRAM, PROGRAM_HELP, is_identity, is_listed};

/// Keywords of sections that are harmless, or that other rules look at.
const KEYWORDS: &str = "acl backlog balance bind bind-process capture clitcpka-cnt clitcpka-idle clitcpka-intvl \
    compression cookie declare default-server default_backend description disabled dispatch email-alert enabled \
    error-log-format errorfile errorfiles errorloc errorloc302 errorloc303 external-check filter force-be-switch \
    force-persist fullconn grace guid hash-balance-factor hash-key hash-preserve-affinity hash-type http-after-response \
    http-check http-error http-request http-response http-reuse http-send-name-header id ignore-persist \
    load-server-state-from-file log log-format log-format-sd log-steps log-tag max-keep-alive-queue \
    max-session-srv-conns maxconn mode monitor monitor-net monitor-uri option persist quic-initial rate-limit redirect \
    retries retry-on server server-state-file-name server-template source srvtcpka-cnt srvtcpka-idle srvtcpka-intvl \
    stats stick stick-table tcp-check tcp-request tcp-response timeout unique-id-format unique-id-header use-fcgi-app \
    use-server use_backend";

/// Actions of `http-request` that are harmless, or that other rules look at: up to a `(`.
const ACTIONS: &str = "add-acl add-header add-map allow auth cache-use capture del-acl del-header del-map deny \
    disable-l7-retry do-log do-resolve early-hint normalize-uri pause redirect reject replace-header replace-path \
    replace-pathq replace-uri replace-value return sc-add-gpc sc-inc-gpc sc-inc-gpc0 sc-inc-gpc1 sc-set-gpt sc-set-gpt0 \
    send-spoe-group set-acl set-bandwidth-limit set-bc-mark set-bc-tos set-dst set-dst-port set-fc-mark set-fc-tos \
    set-header set-log-level set-map set-mark set-method set-nice set-path set-pathq set-priority-class \
    set-priority-offset set-query set-retries set-src set-src-port set-timeout set-tos set-uri set-var set-var-fmt \
    silent-drop strict-mode tarpit track-sc unset-var wait-for-body wait-for-handshake";

/// Actions of `tcp-request` likewise.
const EARLY: &str = "accept capture close do-log do-resolve expect-netscaler-cip expect-proxy pause reject sc-add-gpc \
    sc-inc-gpc sc-inc-gpc0 sc-inc-gpc1 sc-set-gpt sc-set-gpt0 send-spoe-group set-bandwidth-limit set-bc-mark set-bc-tos \
    set-dst set-dst-port set-fc-mark set-fc-tos set-log-level set-mark set-nice set-priority-class set-priority-offset \
    set-retries set-src set-src-port set-tos set-var set-var-fmt silent-drop switch-mode track-sc unset-var";

/// Filters that change no request.
const FILTERS: &str = "bwlim-in bwlim-out cache comp-req comp-res compression fcgi-app spoe trace";

/// Options by which a section sends requests where they were to go without it.
const ELSEWHERE: &[&str] = &["http_proxy", "transparent"];

/// The action of our page.
const OURS: &str = "palisade";

/// Ready-made programs that ask a server, whatever name the check has.
const READY_MADE: &[&str] = &["auth-intercept", "auth-request"];

pub(super) fn lint(config: &Config, is_check: &dyn Fn(&Rule<'_>) -> bool, report: &mut Report<'_>) {
    let written = Written::read(config);
    scripts(config, report);
    for section in config.sections.iter().filter(|section| listens(section)) {
        for part in config.targets(section).into_iter().flatten().chain([section]) {
            for line in config.chain(part).into_iter().flat_map(|section| &section.lines) {
                keyword(line, &written, report);
            }
            for rule in config.rules(part).into_iter().filter(|rule| rule.lua().is_none_or(|_| !is_check(rule))) {
                action(rule, ACTIONS, report);
            }
            for rule in config.early_rules(part) {
                action(rule, EARLY, report);
            }
            let others = config.rules(part).into_iter().filter(is_check).filter_map(|rule| Some((rule, rule.lua()?)));
            for (rule, name) in others.filter(|(_, name)| *name != OURS && !READY_MADE.contains(name)) {
                not_known(rule.line.at, &format!("whether `lua.{name}` asks the sidecar is not known here"), report);
            }
            fastcgi::lint(config, part, &written, report);
        }
    }
}

/// The script that the check is from, where the action has the name of our page's.
fn scripts(config: &Config, report: &mut Report<'_>) {
    let rules = || config.sections.iter().flat_map(|section| config.rules(section));
    if !rules().any(|rule| rule.lua() == Some(OURS)) {
        return;
    }
    let globals = config.sections.iter().filter(|section| section.kind == "global");
    let loads: Vec<&Line> = globals
        .flat_map(|section| &section.lines)
        .filter(|line| line.begins(&["lua-load"]) || line.begins(&["lua-load-per-thread"]))
        .collect();
    let ours = |line: &&Line| line.words.iter().skip(1).any(|word| word.contains(OURS));
    if let Some(first) = loads.first().filter(|_| !loads.iter().any(ours)) {
        not_known(first.at, "whether this script asks the sidecar is not known here", report);
    }
}

fn not_known(at: At, message: &str, report: &mut Report<'_>) {
    report.not_checked(at, message, PROGRAM_HELP);
}

/// A rule of which the action is not known, or that a program runs in.
fn action(rule: Rule<'_>, known: &str, report: &mut Report<'_>) {
    let name = rule.action().split('(').next().unwrap_or_default();
    let name = if name.starts_with("track-sc") { "track-sc" } else { name };
    let first = rule.arguments().first().map(String::as_str);
    // what answers with numbers of HAProxy itself
    if is_listed(known, name) || (name == "use-service" && first == Some("prometheus-exporter")) {
        if is_program(rule) {
            not_known(rule.line.at, PROGRAM, report);
        }
    } else if name.starts_with("lua.") || name == "use-service" {
        not_known(rule.line.at, PROGRAM, report);
    } else {
        not_known(rule.line.at, &format!("what the action `{name}` does with a request is not known here"), report);
    }
}

/// Whether a program gives the value that a rule writes into a request.
fn is_program(rule: Rule<'_>) -> bool {
    let writes = ["set-", "add-header", "replace-"].iter().any(|start| rule.action().starts_with(start));
    writes && rule.arguments().iter().any(|word| word.contains("lua."))
}

/// A line whose keyword is not known, or which writes into a request without a rule.
fn keyword(line: &Line, written: &Written, report: &mut Report<'_>) {
    let skip = usize::from(line.words.first().is_some_and(|word| word == "no"));
    let word = |at: usize| line.words.get(skip + at).map_or("", String::as_str);
    match (word(0), word(1)) {
        ("filter", name) if !is_listed(FILTERS, name) => {
            not_known(line.at, &format!("what the filter `{name}` makes of a request is not known here"), report);
        }
        ("filter", "comp-req") => body(line.at, report),
        ("compression", "direction") if skip == 0 && word(2) != "response" => body(line.at, report),
        ("option", name) if skip == 0 && ELSEWHERE.contains(&name) => report.warn(
            "haproxy-override-set",
            line.at,
            "the client says at which address the service is, and the sidecar went by the host",
            "leave it out, and name the servers here",
        ),
        ("option", "forwarded") => {
            let is_clients = line.words.iter().any(|word| of_client(word, written));
            if is_clients {
                header(line.at, "forwarded", true, report);
            }
            let named = line.words.windows(2).find(|pair| pair[0] == "host-expr").map(|pair| &pair[1]);
            if named.is_some_and(|named| !is_clients && !host::follows(named)) {
                host::changed(line.at, "forwarded", report);
            }
        }
        ("option", "forwardfor" | "originalto") => {
            let name = line.words.windows(2).find(|pair| pair[0] == "header").map(|pair| pair[1].as_str());
            header(line.at, name.unwrap_or_default(), false, report);
        }
        ("http-send-name-header" | "unique-id-header", name) => header(line.at, name, false, report),
        ("use_backend" | "use-server", name) if name.contains("lua.") => not_known(line.at, PROGRAM, report),
        (name, _) if !is_listed(KEYWORDS, name) => {
            not_known(line.at, &format!("what `{name}` does with requests is not known here"), report);
        }
        _ => {}
    }
}

/// A header that HAProxy writes into each request without a rule.
fn header(at: At, name: &str, of_client: bool, report: &mut Report<'_>) {
    if is_identity(name) {
        report.warn(
            "haproxy-identity-set",
            at,
            &format!("`{name}` is set behind the check, and not by the sidecar"),
            "give it another name, or leave it out",
        );
    } else if is_of_body(name) {
        report.warn("haproxy-content-type-changed", at, &body_changed(name), BODY_HELP);
    } else if names_host(name, "-") {
        host::changed(at, name, report);
    } else if overrides(name, "-", of_client) {
        report.warn(
            "haproxy-override-set",
            at,
            &format!("`{name}` is set behind the check: some services take another request by it than was checked"),
            "give it another name, or leave it out",
        );
    }
}

/// A body that HAProxy compresses on its way to the service.
fn body(at: At, report: &mut Report<'_>) {
    report.warn(
        "haproxy-content-type-changed",
        at,
        BODY_REPLACED,
        "compress answers alone: `compression direction response`",
    );
}
