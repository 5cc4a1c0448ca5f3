//! Where requests are passed on to: the URL of `proxy_pass` and its like.

use crate::gateway::lint::nginx::scope::Block;
use crate::gateway::lint::nginx::tree::Directive;

/// Where the sidecar answers nginx.
pub(super) const ENDPOINT: &str = "/gateway/nginx";

/// A URL as `proxy_pass` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'t> {
    /// A host with its port, a name of an `upstream`, or `unix:` and a path.
    pub(super) host: &'t str,
    /// What is behind it, if anything is: nginx writes the path anew then.
    pub(super) uri: Option<&'t str>,
}

impl<'t> Target<'t> {
    pub(super) fn read(url: &'t str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let end = match rest.strip_prefix("unix:") {
            // unix:/run/x.sock:/path
            Some(path) => path.find(':').map(|at| (at + "unix:".len(), at + "unix:".len() + 1)),
            None => rest.find(['/', '?']).map(|at| (at, at)),
        };
        match end {
            Some((host, uri)) => Self { host: &rest[..host], uri: Some(&rest[uri..]) },
            None => Self { host: rest, uri: None },
        }
    }
}

/// Whether a block asks the sidecar itself, as what it passes on says.
pub(super) fn of_sidecar(block: &Block<'_>) -> bool {
    let pass = block.own("proxy_pass");
    pass.is_some_and(|pass| matches!(Target::read(pass.argument(1)).uri, Some(ENDPOINT | "/gateway/forward")))
}

/// The ports that a host stands for: its own, or those of the `upstream` of that name.
pub(super) fn ports<'t>(host: &'t str, tree: &'t [Directive]) -> Vec<&'t str> {
    let mut found: Vec<&str> = host.rsplit_once(':').map(|(_, port)| port).into_iter().collect();
    super::scope::walk(tree, &mut |directive, _| {
        if directive.name() == "upstream" && directive.argument(1) == host {
            let servers = directive.body().iter().filter(|server| server.name() == "server");
            found.extend(servers.filter_map(|server| Some(server.argument(1).rsplit_once(':')?.1)));
        }
    });
    found
}

/// Whether a word contains a variable, as `$name` or `${name}`.
pub(super) fn names(word: &str, variable: &str) -> bool {
    let name = variable.trim_start_matches('$');
    word.match_indices('$').any(|(at, _)| {
        let rest = &word[at + 1..];
        match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}').is_some_and(|(found, _)| found == name),
            None => rest
                .strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split() {
        for (url, host, uri) in [
            ("http://a", "a", None),
            ("http://a:1/", "a:1", Some("/")),
            ("http://a/b/c?d", "a", Some("/b/c?d")),
            ("http://unix:/run/a.sock", "unix:/run/a.sock", None),
            ("http://unix:/run/a.sock:/b", "unix:/run/a.sock", Some("/b")),
            ("http://$a", "$a", None),
            ("a:9000", "a:9000", None),
        ] {
            assert_eq!(Target::read(url), Target { host, uri }, "{url}");
        }
    }

    #[test]
    fn a_variable_is_found_whole() {
        for (word, found) in [("$a", true), ("x${a}y", true), ("$ab", false), ("${ab}", false), ("$b$a-", true)] {
            assert_eq!(names(word, "$a"), found, "{word}");
        }
    }
}
