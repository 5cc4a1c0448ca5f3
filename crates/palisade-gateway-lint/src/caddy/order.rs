//! The order in which Caddy runs the directives of a block that is no `route`.

use crate::directive::Directive;

/// Directives that handle requests, as Caddy sorts them.
const ORDER: &[&str] = &[
    "tracing",
    "map",
    "vars",
    "fs",
    "root",
    "log_append",
    "skip_log",
    "log_skip",
    "log_name",
    "header",
    "copy_response_headers",
    "request_body",
    "redir",
    "method",
    "rewrite",
    "uri",
    "try_files",
    "basicauth",
    "basic_auth",
    "forward_auth",
    "request_header",
    "encode",
    "push",
    "intercept",
    "templates",
    "invoke",
    "handle",
    "handle_path",
    "route",
    "abort",
    "error",
    "copy_response",
    "respond",
    "metrics",
    "reverse_proxy",
    "php_fastcgi",
    "file_server",
    "acme_server",
];

/// Directives that say something of the site and handle no requests.
const OTHERS: &[&str] = &["bind", "tls", "log", "import", "handle_errors"];

/// The order of a file, with what its options change.
pub(super) struct Order {
    names: Vec<String>,
}

// === impl Order ===

impl Order {
    pub(super) fn new(options: &[Directive]) -> Self {
        let mut names: Vec<String> = ORDER.iter().map(|name| (*name).to_owned()).collect();
        for order in options.iter().filter(|option| option.name() == "order") {
            let (name, place, other) = (order.argument(1).to_owned(), order.argument(2), order.argument(3));
            names.retain(|known| *known != name);
            let found = names.iter().position(|known| known == other);
            let at = match place {
                "first" => 0,
                "before" => found.unwrap_or(names.len()),
                "after" => found.map_or(names.len(), |at| at + 1),
                _ => names.len(),
            };
            names.insert(at, name);
        }
        Self { names }
    }

    /// The directives as they run.
    pub(super) fn sorted<'d>(&self, body: &'d [Directive]) -> Vec<&'d Directive> {
        let mut sorted: Vec<&Directive> = body.iter().collect();
        let place = |directive: &&Directive| self.names.iter().position(|name| name == directive.name());
        sorted.sort_by_key(|directive| place(directive).unwrap_or(0));
        sorted
    }
}

/// Whether what a directive does is known here.
pub(super) fn is_known(name: &str) -> bool {
    name.starts_with('@') || ORDER.contains(&name) || OTHERS.contains(&name)
}
