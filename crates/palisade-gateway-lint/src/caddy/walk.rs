//! The way of a request through a site: what runs before the check, what behind it, and what around it.

use std::collections::{BTreeSet, HashSet};

use crate::answers::normal;
use crate::caddy::beside::Beside;
use crate::caddy::host::{self, Hosts};
use crate::caddy::sites::Sites;
use crate::caddy::{SIGNS, check, chosen, matcher, options, order, rest};
use crate::directive::Directive;
use crate::headers::{BODY_HELP, BODY_REPLACED, body_changed, is_of_body, is_path, names_caller, overrides};
use crate::report::{At, Report};
use crate::{IDENTITY, TUNNEL, is_everybody, is_identity};

/// How deep blocks and named routes may lie in one another.
const DEEPEST: usize = 64;

/// The header in which `forward_auth` says what the target of the request is.
const TARGET: &str = "X-Forwarded-Uri";

/// What has happened to a request so far.
#[derive(Debug, Clone, Default)]
struct State<'s> {
    checked: bool,
    /// Another check that it went through.
    other: Option<&'s Directive>,
    /// Where its path or method was changed.
    changed: Vec<At>,
    /// Headers that were taken away.
    removed: Vec<String>,
    /// Those that were written again, or taken away, before the check or behind it.
    replaced: Vec<String>,
    /// Whether upgrades were refused.
    plain: bool,
    /// Whether it was answered for sure.
    ended: bool,
    /// Whether it is for the one host that comes here.
    one: bool,
    /// Whether the client makes its host up.
    any: bool,
    /// Whether the service has answered it, and none gets it again.
    over: bool,
}

/// How many changes of a request are reported: one is enough to make the author look.
const MOST_CHANGES: usize = 20;

// === impl State ===

impl State<'_> {
    fn change(&mut self, at: At) {
        if self.changed.len() < MOST_CHANGES {
            self.changed.push(at);
        }
    }
}

struct Walk<'s, 'r, 'f> {
    sites: &'s Sites,
    /// Whether only a `forward_auth` that names the sidecar counts.
    ours: bool,
    /// Whether proxies in front are trusted everywhere.
    trusted: bool,
    /// In a route for errors.
    errors: bool,
    unknown: BTreeSet<String>,
    /// The addresses of services.
    services: HashSet<String>,
    /// Placeholders that hold what a client wrote.
    written: Vec<String>,
    hosts: Hosts,
    beside: Beside,
    report: &'r mut Report<'f>,
}

/// Follows requests through all sites.
pub(super) fn sites(sites: &Sites, ours: bool, report: &mut Report<'_>) {
    let servers = sites.options.iter().filter(|option| option.name() == "servers");
    let trusted = servers.flat_map(Directive::body).any(|line| line.name() == "trusted_proxies");
    let proxies = ["reverse_proxy", "php_fastcgi"].into_iter().flat_map(|name| sites.all(name));
    let services = proxies.filter(|proxy| check::expanded(proxy).is_none()).flat_map(check::upstreams).map(normal);
    let services: HashSet<String> = services.collect();
    options::lint(sites, &services, report);
    let mut walk = Walk {
        sites,
        ours,
        trusted,
        errors: false,
        unknown: BTreeSet::new(),
        services,
        hosts: Hosts::read(sites, chosen::written(sites)),
        written: chosen::written(sites),
        beside: Beside::read(sites, ours),
        report,
    };
    let options = sites.options.iter().flat_map(Directive::body).filter(|line| line.name() == "trusted_proxies");
    for line in options.chain(sites.all("trusted_proxies")) {
        if line.arguments().iter().any(|network| is_everybody(network)) {
            walk.report.warn(
                "caddy-trusts-everybody",
                line.at,
                "any client says itself which address it has, and which host it asks for",
                "name the proxies in front",
            );
        }
    }
    for site in &sites.sites {
        walk.body(
            site.body(),
            State { one: host::has_one_name(site), any: host::has_any_name(site), ..State::default() },
            false,
            &[],
            0,
        );
    }
    let help =
        "put `forward_auth` in front of it, inside one `route`; what is to be open is `public: true` in the route file";
    walk.beside.lint(help, walk.report);
}

// === impl Walk ===

impl<'s> Walk<'s, '_, '_> {
    /// Follows a request through a block; the outcome counts for what stands behind it.
    fn body(
        &mut self,
        body: &'s [Directive],
        mut state: State<'s>,
        written: bool,
        matchers: &[&'s Directive],
        depth: usize,
    ) -> State<'s> {
        if depth > DEEPEST {
            return state;
        }
        let mut known: Vec<&Directive> = matchers.to_vec();
        known.extend(body.iter().filter(|line| line.name().starts_with('@')));
        let lines = if written { body.iter().collect() } else { self.sites.order.sorted(body) };
        for line in lines {
            if state.ended && line.name() != "handle_errors" {
                continue;
            }
            self.line(line, &mut state, written, &known, depth);
        }
        state
    }

    fn line(
        &mut self,
        line: &'s Directive,
        state: &mut State<'s>,
        written: bool,
        known: &[&'s Directive],
        depth: usize,
    ) {
        let only = matcher(line);
        let one = state.one || only.is_some_and(|name| known.iter().any(|m| m.name() == name && host::is_for_one(m)));
        match line.name() {
            "forward_auth" if !self.ours || check::is_ours(line) => {
                check::lint(line, &state.removed, self.trusted, &self.services, self.report);
                state.checked = true;
            }
            // another authentication beside the sidecar's
            "forward_auth" => {
                if only.is_none() {
                    state.other = Some(line);
                }
                for header in check::copied(line).iter().filter(|_| state.checked).map(|(_, to)| to) {
                    let words = [header.clone(), "its word".to_owned()];
                    identity(line, &words, true, self.report);
                    overridden(line, &words, &self.written, self.report);
                }
            }
            "reverse_proxy" if check::expanded(line).is_some() => {
                check::asked(line, &self.services, self.report);
                self.report.not_checked(
                    line.at,
                    "the sidecar is asked by `reverse_proxy`: what is done with its answers is not looked at",
                    "write `forward_auth`, which comes to the same",
                );
                state.checked = true;
            }
            "reverse_proxy" | "php_fastcgi" => self.pass(line, &State { one, ..state.clone() }, known, depth),
            "route" => {
                let inner = self.body(line.body(), State { one, ..state.clone() }, true, known, depth + 1);
                if only.is_none() {
                    *state = inner;
                }
            }
            "invoke" => {
                let route = self.sites.routes.get(rest(line).first().map_or("", String::as_str));
                let inner =
                    route.map(|route| self.body(route.body(), State { one, ..state.clone() }, true, known, depth + 1));
                if let (None, Some(inner)) = (only, inner) {
                    *state = inner;
                }
            }
            "handle" | "handle_path" => {
                let mut inner = State { one, ..state.clone() };
                if line.name() == "handle_path" {
                    inner.change(line.at);
                }
                self.body(line.body(), inner, false, known, depth + 1);
            }
            "handle_errors" => {
                self.errors = true;
                self.body(line.body(), State { plain: true, one, ..State::default() }, false, known, depth + 1);
                self.errors = false;
            }
            "intercept" => {
                for response in line.body().iter().filter(|inner| inner.name() == "handle_response") {
                    self.body(response.body(), state.clone(), true, known, depth + 1);
                }
            }
            "rewrite" | "uri" | "method" | "try_files" => state.change(line.at),
            "request_body" => {
                for set in line.body().iter().filter(|inner| inner.name() == "set") {
                    let help = "leave `set` out, so that the service gets the client's own";
                    self.report.warn("caddy-content-type-changed", set.at, BODY_REPLACED, help);
                }
            }
            "request_header" if state.over => {}
            "request_header" => {
                self.header(line, state, written);
                if state.checked && !one {
                    self.hosts.header(line, rest(line), self.report);
                }
            }
            "error" | "abort" | "respond" | "redir" | "file_server" => match only {
                Some(name) if name.starts_with('@') => {
                    state.plain |= known.iter().any(|matcher| matcher.name() == name && tells_upgrade(matcher));
                }
                Some(_) => {}
                // `file_server` may pass on what it does not find
                None => {
                    state.ended |= !line.words.iter().any(|word| word == "pass_thru")
                        && line.body().iter().all(|l| l.name() != "pass_thru")
                }
            },
            name if !order::is_known(name) && self.unknown.insert(name.to_owned()) => self.report.not_checked(
                line.at,
                &format!("what the directive `{name}` makes of a request is not known here"),
                "see that it changes neither method, path nor headers, and passes nothing on",
            ),
            _ => {}
        }
    }

    /// A request goes to the service.
    fn pass(&mut self, line: &'s Directive, state: &State<'s>, known: &[&'s Directive], depth: usize) {
        if !state.checked && self.errors {
            self.report.missing(
                "caddy-error-route",
                line.at,
                "where the check fails, as it does when the sidecar is gone, this passes the request on unchecked",
                "answer errors with `respond`, `redir` or files",
            );
            return;
        }
        if !state.checked {
            self.beside.open(line, state.other);
            return;
        }
        self.beside.checked(line);
        for at in &state.changed {
            self.report.warn(
                "caddy-path-rewritten",
                *at,
                "the path or the method is rewritten, so the sidecar and the service may see different ones",
                "let the service have the request as it was sent, and write routes for what the client sends",
            );
        }
        if !state.plain {
            self.report.missing(
                "caddy-upgrade",
                line.at,
                TUNNEL,
                "refuse others than `websocket` in front of it, inside the `route`: `@upgrade { header Upgrade *` and \
                 `not header_regexp Upgrade (?i)^websocket$ }` with `error @upgrade 403`",
            );
        }
        chosen::upstreams(line, &self.written, state.any && !state.one, self.report);
        if !state.one {
            self.hosts.lint(line, self.report);
        }
        let mut host = false;
        for inner in line.body() {
            match inner.name() {
                "rewrite" | "method" => self.report.warn(
                    "caddy-path-rewritten",
                    inner.at,
                    "the service gets another path or method than was checked",
                    "let the service have the request as it was sent",
                ),
                "header_up" => {
                    host |= inner.argument(1).eq_ignore_ascii_case("x-forwarded-host");
                    identity(inner, inner.arguments(), true, self.report);
                    overridden(inner, inner.arguments(), &self.written, self.report);
                }
                "env" | "transport" => {
                    for line in inner.body().iter().chain([inner]).filter(|line| line.name() == "env") {
                        if matches!(line.argument(1), "CONTENT_TYPE" | "HTTP_CONTENT_TYPE" | "HTTP_CONTENT_ENCODING") {
                            let name = line.argument(1).trim_start_matches("HTTP_").replace('_', "-");
                            changes_body(line, &name, line.argument(2), self.report);
                        }
                        if let Some(header) = line.argument(1).strip_prefix("HTTP_").filter(|name| is_identity(name)) {
                            identity(line, &[header.to_owned()], true, self.report);
                        }
                    }
                }
                "handle_response" => {
                    let over = !passes_on(inner.body());
                    self.body(inner.body(), State { ended: false, over, ..state.clone() }, true, known, depth + 1);
                }
                _ => {}
            }
        }
        let up = |name: &String| check::removes(name.trim_start_matches(['-', '>']), TARGET);
        let ups =
            line.body().iter().filter(|inner| inner.name() == "header_up").filter_map(|up| up.arguments().first());
        if !state.replaced.iter().chain(ups).any(up) {
            self.report.missing(
                "caddy-check-told",
                line.at,
                "`forward_auth` shows the sidecar the target in the place of the client's own `X-Forwarded-Uri`, and the service \
                 gets that one",
                "take it away with `request_header -X-Forwarded-Uri` in front of the check",
            );
        }
        let own = line.body().iter().any(|inner| inner.name() == "trusted_proxies");
        if (self.trusted || own) && !host {
            self.report.warn(
                "caddy-forwarded-host",
                line.at,
                "a trusted proxy says in `X-Forwarded-Host` which host the service goes by, and another was checked",
                "set `header_up X-Forwarded-Host {http.request.hostport}` here too",
            );
        }
    }

    fn header(&mut self, line: &Directive, state: &mut State<'_>, written: bool) {
        let words = rest(line);
        let Some(name) = words.first() else { return };
        if matcher(line).is_none() && !name.starts_with(['+', '?']) {
            state.replaced.push(name.clone());
        }
        if let Some(gone) = name.strip_prefix('-')
            && matcher(line).is_none()
        {
            state.plain |= gone.eq_ignore_ascii_case("upgrade");
            if !state.checked {
                state.removed.push(gone.to_owned());
            }
        }
        if state.checked {
            identity(line, words, written, self.report);
            overridden(line, words, &self.written, self.report);
        } else if names_caller(name.trim_start_matches(['+', '>']), words.get(1).map_or("", String::as_str), &['{']) {
            let help = "leave it out: the client's own is passed to the sidecar";
            self.report.warn("caddy-check-told", line.at, &check::fixed(name), help);
        }
    }
}

/// Whether a request may go to a service again from here.
fn passes_on(body: &[Directive]) -> bool {
    const ANSWERS: &[&str] =
        &["copy_response", "copy_response_headers", "error", "header", "redir", "respond", "request_header"];
    body.iter().any(|line| !ANSWERS.contains(&line.name()) && !line.name().starts_with('@'))
}

/// A header that says who asks, changed behind the check.
fn identity(line: &Directive, words: &[String], written: bool, report: &mut Report<'_>) {
    let Some(name) = words.first() else { return };
    let bare = name.trim_start_matches(SIGNS);
    let taken = name.starts_with('-');
    let is_ours = is_identity(bare) || (bare.contains('*') && IDENTITY.iter().any(|name| check::removes(bare, name)));
    if !is_ours {
        return;
    }
    if taken {
        let sorted = if written { "" } else { "; outside of a `route` block directives are sorted" };
        report.warn(
            "caddy-identity-removed",
            line.at,
            &format!("this runs after the check, and removes what the sidecar says of the caller{sorted}"),
            "put it in front of `forward_auth`, and both into `route { ... }`",
        );
    } else {
        report.warn(
            "caddy-identity-set",
            line.at,
            &format!("`{bare}` is set behind the check, and not by the sidecar"),
            "leave it out: `copy_headers` sets it",
        );
    }
}

/// A header by which the service takes another request than was checked, set behind the check.
fn overridden(line: &Directive, words: &[String], written: &[String], report: &mut Report<'_>) {
    let Some((name, value)) = words.split_first() else { return };
    changes_body(line, name, value.first().map_or("", String::as_str), report);
    let (name, value) = (name.trim_start_matches(SIGNS), value.first().map_or("", String::as_str));
    if name.eq_ignore_ascii_case("host") && chosen::of_client(value, written) {
        report.warn(
            "caddy-override-set",
            line.at,
            "the client says in another header which host the service gets, and another was checked",
            "leave it out, or let `map` choose among the hosts that it lists",
        );
    }
    // a path that Caddy decoded is not the one that was checked
    let decoded =
        is_path(name) && ["{path}", "{http.request.uri.path}", "{uri.path}"].iter().any(|path| value.contains(path));
    let of_client = chosen::of_client_in(name, value, written) || decoded;
    if !name.starts_with('-') && overrides(name, value, of_client) {
        report.warn(
            "caddy-override-set",
            line.at,
            &format!("`{name}` is set behind the check: some services take another request by it than was checked"),
            "leave it out",
        );
    }
}

/// A header that says how a body is read, changed behind the check.
fn changes_body(line: &Directive, name: &str, value: &str, report: &mut Report<'_>) {
    let bare = name.trim_start_matches(SIGNS);
    let same = value.to_ascii_lowercase().contains(&format!("header.{}}}", bare.to_ascii_lowercase()));
    let gone = ["content-type", "content-encoding"].iter().any(|known| check::removes(bare, known));
    if (is_of_body(bare) && !same) || (name.starts_with('-') && gone) {
        report.warn("caddy-content-type-changed", line.at, &body_changed(bare), BODY_HELP);
    }
}

/// Whether what a matcher holds for takes in each upgrade to anything but a WebSocket.
fn tells_upgrade(matcher: &Directive) -> bool {
    let (mut some, mut right) = (false, true);
    let mut line = |words: &[String], negated: bool| {
        let Some(at) = words.iter().position(|word| word.eq_ignore_ascii_case("upgrade")) else {
            let expression = words.first().is_some_and(|word| word == "expression" || word.starts_with('`'));
            some |= expression && words.iter().any(|word| word.to_ascii_lowercase().contains("upgrade"));
            return;
        };
        let value = words.get(at + 1).map_or("*", String::as_str);
        let pattern = words.iter().any(|word| word == "header_regexp");
        some = true;
        right &= match (negated, pattern) {
            (true, true) => value.trim_start_matches("(?i)").eq_ignore_ascii_case("^websocket$"),
            (true, false) => value.eq_ignore_ascii_case("websocket"),
            (false, true) => matches!(value.trim_matches(['^', '$']), ".*" | ".+" | "." | ""),
            (false, false) => value == "*",
        };
    };
    each(matcher.body(), false, &mut line);
    // all in one line
    let words = matcher.words.get(1..).unwrap_or_default();
    match words.split_first() {
        Some((not, rest)) if not == "not" => line(rest, true),
        _ => line(words, false),
    }
    some && right
}

/// Calls `line` with each line of a matcher, and whether it stands in a `not`.
fn each(body: &[Directive], negated: bool, line: &mut dyn FnMut(&[String], bool)) {
    for inner in body {
        let not = inner.name() == "not";
        let words = if not { inner.arguments() } else { inner.words.as_slice() };
        line(words, negated != not);
        each(inner.body(), negated != not, line);
    }
}
