//! Whether a service gets a request for a path: by a proxy, or by what runs one in Apache.

use crate::apache::hosts::{Found, Host};
use crate::apache::places::{begins, files, is_found};
use crate::apache::{handlers, hosts};
use crate::directive::Directive;
use crate::is_listed;
use crate::report::At;

/// What runs no service for a path: it is for a handler that something else chooses, for other methods, or for other hosts.
const NOT_BY_PATH: &str = "action dav h2proxyrequests proxyrequests script";

/// What runs one behind a beginning of the path.
const BY_PREFIX: &str = "scriptalias wsgiscriptalias";

/// What runs one behind a pattern.
const BY_PATTERN: &str = "scriptaliasmatch wsgiscriptaliasmatch";

/// A path for which Apache is asked, in a host.
#[derive(Clone, Copy)]
pub(super) struct Page<'p, 't> {
    path: &'p str,
    host: &'p Host<'t>,
    main: &'p Host<'t>,
    /// The `Alias` that says which file it is.
    alias: Option<&'p Found<'t>>,
    away: Away,
}

// === impl Page ===

impl<'p, 't> Page<'p, 't> {
    pub(super) fn read(path: &'p str, host: &'p Host<'t>, main: &'p Host<'t>) -> Self {
        let mut aliases = host.others.iter().chain(&main.others).filter(|found| {
            let line = found.directive;
            match line.name() {
                "alias" if line.argument(2).is_empty() => found.counts_for(path),
                "alias" => begins(path, line.argument(1)),
                _ => false,
            }
        });
        let away = Away::read(path, host.others.iter().chain(&main.others));
        Self { path, host, main, alias: aliases.next(), away }
    }

    /// How many lines are looked at for a path, at most.
    pub(super) fn steps(host: &Host<'_>, main: &Host<'_>, handlers: usize) -> usize {
        let kept = host.kept.len() + main.kept.len() + 1;
        2 * (1
            + host.others.len()
            + main.others.len()
            + handlers
            + kept.saturating_mul(host.passes.len() + main.passes.len()))
    }

    /// Whether a service gets it.
    pub(super) fn is_served(self, handlers: &[&Found<'_>]) -> bool {
        let runs = |page: Self| {
            let file = page.file();
            handlers.iter().any(|handler| page.is_run(handler, file.as_deref()))
        };
        self.is_passed() || runs(self) || self.fallback().is_some_and(runs)
    }

    /// What else stands in its host and in the server around it.
    fn around(self) -> impl Iterator<Item = &'p Found<'t>> {
        self.host.others.iter().chain(&self.main.others)
    }

    /// The file that it stands for, if that is known.
    fn file(self) -> Option<String> {
        let (from, to) = match self.alias.map(|alias| alias.directive) {
            // in a location its path is what the file stands for
            Some(line) if line.argument(2).is_empty() => (self.alias?.path()?, line.argument(1)),
            Some(line) => (line.argument(1), line.argument(2)),
            None => ("", self.around().find(|found| found.directive.name() == "documentroot")?.directive.argument(1)),
        };
        let rest = self.path.strip_prefix(from.trim_end_matches('/'))?;
        to.starts_with('/').then(|| format!("{}{rest}", to.trim_end_matches('/')))
    }

    /// What is asked for instead where the path is no file: `FallbackResource /index.php`.
    fn fallback(self) -> Option<Self> {
        let is_file = files(self.path).last().is_some_and(|name| name.contains('.'));
        let mut lines = self.around().filter(|found| found.directive.name() == "fallbackresource");
        let line = lines.find(|found| found.may_count_for(self.path, self.file().as_deref()))?.directive;
        let to = line.argument(1);
        (!is_file && to.starts_with('/')).then(|| Self::read(to, self.host, self.main))
    }

    /// Whether it is passed on in a host, which takes over what the server around it passes on.
    fn is_passed(self) -> bool {
        let (host, main, path) = (self.host, self.main, self.path);
        [host, main].iter().flat_map(|of| of.passes.iter().map(move |pass| (of, pass))).any(|(of, pass)| {
            // what a host says stands in front of what is around it
            let own = host.kept.iter().map(|kept| (kept, std::ptr::eq(*of, host)));
            let around = main.kept.iter().map(|kept| (kept, true)).filter(|_| std::ptr::eq(*of, main));
            let kept = own.chain(around).any(|(kept, ordered)| {
                let first = !ordered || kept.path().is_some() || kept.directive.at < pass.directive.at;
                first && keeps(kept, path)
            });
            !kept && self.takes(pass)
        })
    }

    /// Whether what passes requests on takes this path, as far as that is known here.
    fn takes(self, pass: &Found<'_>) -> bool {
        let (line, file) = (pass.directive, self.file());
        if line.name() == "proxypass" && line.argument(1).starts_with('/') {
            return begins(self.path, line.argument(1));
        }
        let by_pattern = line.name() == "proxypassmatch" && !line.argument(1).contains("://");
        (!by_pattern || is_found(line.argument(1), self.path))
            && names_file(line, self.path)
            && pass.may_count_for(self.path, file.as_deref())
            && !(hosts::by_handler(line) && self.is_kept(pass))
    }

    /// Whether what runs a service in Apache does so for this path, which stands for `file` if that is known.
    fn is_run(self, handler: &Found<'_>, file: Option<&str>) -> bool {
        let (line, path) = (handler.directive, self.path);
        let (name, first) = (line.name(), line.argument(1));
        // in a location the path is left out
        let by_path = !line.argument(2).is_empty();
        // the first of these that fits counts, and files are in front of `mod_wsgi`
        let aliased = |line: &Directive| {
            self.alias.is_some_and(|alias| !line.name().starts_with("script") || alias.directive.at < line.at)
        };
        let here = match name {
            _ if is_listed(NOT_BY_PATH, name) => return false,
            _ if is_listed(BY_PREFIX, name) => (!by_path || begins(path, first)) && !aliased(line),
            _ if is_listed(BY_PATTERN, name) => (!by_path || is_found(first, path)) && !aliased(line),
            "jkmount" if by_path => {
                path.starts_with(first.split(['*', '|']).next().unwrap_or_default().trim_end_matches('/'))
            }
            "rewriterule" => is_found(first, path),
            _ if names_files(line) => names_file(line, path),
            _ if name == "wsgihandlerscript" || handlers::is_passenger(line) => !aliased(line),
            _ => true,
        };
        here && handler.may_count_for(path, file) && !self.is_kept(handler)
    }

    /// Whether a location around this path takes what `handler` chose away again: `SetHandler default-handler`.
    fn is_kept(self, handler: &Found<'_>) -> bool {
        let line = handler.directive;
        let by_name = names_files(line) || line.name() == "forcetype";
        let later = |away: Option<At>| away.is_some_and(|at| !handler.is_placed() || at > line.at);
        (by_name || line.name() == "sethandler") && later(self.away.by_handler)
            || line.name() == "sethandler" && later(self.away.by_none)
            || handlers::is_passenger(line) && later(self.away.by_switch)
    }
}

/// The last lines in the locations around a path by which no service gets it.
#[derive(Clone, Copy, Default)]
struct Away {
    /// `SetHandler default-handler`.
    by_handler: Option<At>,
    /// `SetHandler none`: types and endings count again.
    by_none: Option<At>,
    /// `PassengerEnabled off`.
    by_switch: Option<At>,
}

// === impl Away ===

impl Away {
    fn read<'f, 't: 'f>(path: &str, lines: impl Iterator<Item = &'f Found<'t>>) -> Self {
        let mut away = Self::default();
        for found in lines.filter(|found| matches!(found.directive.name(), "sethandler" | "passengerenabled")) {
            let first = found.directive.argument(1).to_ascii_lowercase();
            let last = match (found.directive.name(), first.as_str()) {
                ("passengerenabled", "off") => &mut away.by_switch,
                ("sethandler", "none") => &mut away.by_none,
                ("sethandler", handler) if handlers::gives_files(handler) => &mut away.by_handler,
                _ => continue,
            };
            if found.counts_for(path) {
                *last = (*last).max(Some(found.directive.at));
            }
        }
        away
    }
}

/// Whether a directive is for files with the endings that it lists.
fn names_files(line: &Directive) -> bool {
    matches!(line.name(), "addhandler" | "addtype")
}

/// Whether a path may stand for a file with an ending that a directive lists, if it lists such.
fn names_file(line: &Directive, path: &str) -> bool {
    let endings = || line.words.iter().skip(2).map(|ending| ending.trim_start_matches('.'));
    let named =
        |name: &str| name.split('.').skip(1).any(|part| endings().any(|ending| ending.eq_ignore_ascii_case(part)));
    !names_files(line) || files(path).any(named)
}

/// Whether `ProxyPass ... !` or its like for patterns keeps a path back.
fn keeps(kept: &Found<'_>, path: &str) -> bool {
    let pattern = kept.directive.argument(1);
    match kept.local() {
        Some(local) => begins(path, local),
        None => kept.directive.name() == "proxypassmatch" && pattern.starts_with('^') && fits(pattern, path),
    }
}

/// Whether a path begins as a plain pattern does: `^/err/`.
fn fits(pattern: &str, path: &str) -> bool {
    let plain = pattern.trim_start_matches('^').trim_end_matches(".*").trim_end_matches(".+");
    !plain.contains(['*', '+', '?', '(', '[', '|', '{', '$', '\\']) && path.starts_with(plain)
}
