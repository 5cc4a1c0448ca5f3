//! Virtual hosts, with what in them asks the sidecar and what passes requests on.

use crate::apache::{handlers, places};
use crate::directive::Directive;

/// A directive and the containers around it, without that of its host.
#[derive(Debug, Clone)]
pub(super) struct Found<'t> {
    pub(super) directive: &'t Directive,
    around: Vec<&'t Directive>,
    /// The conditions of a `RewriteRule`.
    pub(super) conditions: Vec<&'t Directive>,
}

/// A virtual host, or the server around all of them, which comes first.
#[derive(Debug, Default)]
pub(super) struct Host<'t> {
    pub(super) head: Option<&'t Directive>,
    pub(super) checks: Vec<Found<'t>>,
    pub(super) passes: Vec<Found<'t>>,
    /// What is kept back from them: `ProxyPass "/static/" !`.
    pub(super) kept: Vec<Found<'t>>,
    /// What runs a service otherwise.
    pub(super) handlers: Vec<Found<'t>>,
    pub(super) others: Vec<Found<'t>>,
}

/// The hosts of a configuration.
pub(super) fn hosts(tree: &[Directive]) -> Vec<Host<'_>> {
    let mut hosts = vec![Host::default()];
    walk(tree, 0, &[], &mut hosts);
    let around = hosts.first().map(|main| handlers::Passenger::around(&main.others)).unwrap_or_default();
    for host in hosts.iter_mut().filter(|host| host.head.is_some()) {
        host.handlers.extend(handlers::passenger(&host.others, around).cloned());
    }
    hosts
}

fn walk<'t>(body: &'t [Directive], host: usize, around: &[&'t Directive], hosts: &mut Vec<Host<'t>>) {
    let mut conditions: Vec<&Directive> = Vec::new();
    for directive in body {
        match directive.name() {
            "rewritecond" => conditions.push(directive),
            "rewriterule" => {}
            _ => conditions.clear(),
        }
        if directive.name() == "virtualhost" {
            hosts.push(Host { head: Some(directive), ..Host::default() });
            walk(directive.body(), hosts.len() - 1, &[], hosts);
            continue;
        }
        if directive.block.is_some() {
            walk(directive.body(), host, &[around, &[directive]].concat(), hosts);
            continue;
        }
        let Some(host) = hosts.get_mut(host) else { continue };
        let of_rule = directive.name() == "rewriterule";
        let conditions = if of_rule { std::mem::take(&mut conditions) } else { Vec::new() };
        let found = Found { directive, around: around.to_vec(), conditions };
        if handlers::is_one(directive) {
            host.handlers.push(found.clone());
        }
        match directive.name() {
            "luahookaccesschecker" => host.checks.push(found),
            "proxypass" | "proxypassmatch" if directive.words.iter().any(|word| word == "!") => host.kept.push(found),
            "proxypass" | "proxypassmatch" => host.passes.push(found),
            _ if by_handler(directive) => host.passes.push(found),
            "rewriterule" if proxies(directive) => host.passes.push(found),
            _ => host.others.push(found),
        }
    }
}

/// The flags of a `RewriteRule`, in lower case.
pub(super) fn flags(rule: &Directive) -> Vec<String> {
    let text = rule.argument(3).trim_matches(['[', ']']).to_ascii_lowercase();
    text.split(',').map(|flag| flag.trim().to_owned()).collect()
}

/// Whether a handler passes requests on: `SetHandler "proxy:http://..."`, `[H=proxy:fcgi://...]`. Of a file without a handler
/// the type is one.
pub(super) fn by_handler(directive: &Directive) -> bool {
    let proxy = |handler: &str| handler.to_ascii_lowercase().starts_with("proxy:");
    match directive.name() {
        "sethandler" | "addhandler" | "forcetype" | "addtype" => proxy(directive.argument(1)),
        "rewriterule" => flags(directive).iter().any(|flag| {
            let kinds = ["h", "handler", "t", "type"];
            flag.split_once('=').is_some_and(|(kind, handler)| kinds.contains(&kind) && proxy(handler))
        }),
        _ => false,
    }
}

fn proxies(rule: &Directive) -> bool {
    flags(rule).iter().any(|flag| matches!(flag.as_str(), "p" | "proxy"))
}

/// Whether a `RewriteRule` makes another path of it for the service: one that redirects or refuses does not.
pub(super) fn rewrites(rule: &Directive) -> bool {
    let answers = |flag: &String| {
        let name = flag.split('=').next().unwrap_or_default();
        matches!(name, "r" | "redirect" | "f" | "forbidden" | "g" | "gone")
    };
    let to = rule.argument(2);
    to != "-" && !flags(rule).iter().any(answers) && !to.starts_with("http://") && !to.starts_with("https://")
}

// === impl Host ===

impl<'t> Host<'t> {
    /// All that stands in it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Found<'t>> {
        self.checks.iter().chain(&self.passes).chain(&self.others)
    }
}

// === impl Found ===

impl<'t> Found<'t> {
    /// Whether a check here runs for all that `pass` passes on.
    pub(super) fn covers(&self, pass: &Self) -> bool {
        let same = |at: usize, one: &&'t Directive| pass.around.get(at).is_some_and(|other| std::ptr::eq(*one, *other));
        self.around.iter().enumerate().all(|(at, one)| everywhere(one) || same(at, one))
    }

    /// Whether a container around it lets some clients in alone.
    pub(super) fn is_guarded(&self) -> bool {
        fn guards(body: &[Directive]) -> bool {
            body.iter().any(|line| match line.name() {
                "require" => {
                    !(line.argument(1).eq_ignore_ascii_case("all") && line.argument(2).eq_ignore_ascii_case("granted"))
                }
                "requireall" | "requireany" => guards(line.body()),
                "deny" => line.argument(2).eq_ignore_ascii_case("all"),
                _ => false,
            })
        }
        self.around.iter().any(|container| guards(container.body()))
    }

    /// The innermost container around it.
    pub(super) fn within(&self) -> String {
        self.around.last().map(|container| container.words.join(" ")).unwrap_or_default()
    }

    /// Whether it counts where a condition holds alone.
    pub(super) fn is_conditional(&self) -> bool {
        self.around.iter().any(|container| matches!(container.name(), "if" | "elseif" | "else"))
    }

    /// Whether it counts for some paths or files alone, or stands so.
    pub(super) fn is_placed(&self) -> bool {
        let places = ["location", "locationmatch", "files", "filesmatch"];
        self.around.iter().any(|container| places.contains(&container.name()))
    }

    /// Whether it may count for a path, which stands for `file` if that is known.
    pub(super) fn may_count_for(&self, path: &str, file: Option<&str>) -> bool {
        self.around.iter().all(|container| places::may_hold(container, path, file))
    }

    /// Whether it surely counts for a path, by a location without a pattern.
    pub(super) fn counts_for(&self, path: &str) -> bool {
        self.location().is_some_and(|location| location.argument(1) != "~" && places::is_in(location.argument(1), path))
    }

    /// Whether it counts in all of a host that gives out `root`.
    pub(super) fn is_for_all(&self, root: Option<&str>) -> bool {
        let within = |container: &&'t Directive| {
            let path = container.argument(1).trim_end_matches('/');
            container.name() == "directory"
                && root.is_some_and(|root| root == path || root.starts_with(&format!("{path}/")))
        };
        let always = |container: &&'t Directive| matches!(container.name(), "ifmodule" | "ifdefine" | "ifversion");
        self.around.iter().all(|container| everywhere(container) || always(container) || within(container))
    }

    fn location(&self) -> Option<&'t Directive> {
        self.around.iter().rev().copied().find(|container| container.name() == "location")
    }

    /// The path of the location around it.
    pub(super) fn path(&self) -> Option<&'t str> {
        self.location().map(|location| location.argument(1))
    }

    /// The path that is passed on, as the client sends it; nothing where it is a pattern.
    pub(super) fn local(&self) -> Option<&'t str> {
        if self.directive.name() != "proxypass" {
            return None;
        }
        let first = self.directive.argument(1);
        if first.starts_with('/') {
            return Some(first);
        }
        let location = self.location()?.argument(1);
        location.starts_with('/').then_some(location)
    }

    /// Where it is passed on to.
    pub(super) fn url(&self) -> Option<&'t str> {
        self.directive.arguments().iter().map(String::as_str).find(|word| word.contains("://"))
    }
}

/// Whether a container holds for every path.
fn everywhere(container: &Directive) -> bool {
    container.name() == "location" && container.argument(1) == "/"
}
