//! Where requests are passed on to: the URL of `proxy_pass` and its like.

use crate::nginx::scope::Block;

/// Where the sidecar answers nginx.
pub(super) const ENDPOINT: &str = "/gateway/nginx";

/// A URL as `proxy_pass` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'t> {
    /// A host with its port, a name of an `upstream`, or `unix:` and a path.
    pub(super) host: &'t str,
    /// What is behind it, if anything is: nginx rewrites the path then.
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

/// What a URL may be once each variable that `set` gives a fixed text has it. Nothing is known of other variables.
pub(super) fn resolved(url: &str, block: &Block<'_>) -> Vec<String> {
    let mut urls = vec![url.to_owned()];
    if !url.contains('$') {
        return urls;
    }
    for set in block.sets() {
        let (name, value) = (set.argument(1), set.argument(2));
        if value.contains('$') {
            continue;
        }
        let braced = format!("${{{}}}", name.trim_start_matches('$'));
        let filled: Vec<String> = urls
            .iter()
            .filter(|url| names(url, name))
            .map(|url| if url.contains(&braced) { url.replace(&braced, value) } else { url.replacen(name, value, 1) })
            .collect();
        urls.extend(filled);
        urls.truncate(64);
    }
    // one with a variable that is known stands for nothing any more
    let known =
        |url: &String| block.sets().iter().any(|set| !set.argument(2).contains('$') && names(url, set.argument(1)));
    urls.retain(|url| !known(url));
    urls
}

/// Whether what is behind the host is written by nginx: `$request_uri` is what the client sent, everything else is not.
pub(super) fn writes_path(url: &str) -> bool {
    let target = Target::read(url);
    if target.uri.is_some() {
        return true;
    }
    // the first variable may stand for the host, or for all of it
    let Some((_, behind)) = target.host.split_once('$') else { return false };
    let rest = match behind.strip_prefix('{') {
        Some(braced) => braced.split_once('}').map_or("", |(_, rest)| rest),
        None => behind.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
    };
    let whole = target.host.starts_with('$');
    let variables = if whole { rest } else { &target.host[target.host.find('$').unwrap_or(0)..] };
    // behind the name of a host, and not as a part of it
    let literal = target.host.split('$').next().unwrap_or_default();
    let ends = !literal.is_empty() && !literal.ends_with(['-', '.', ':', '_']);
    let first_is_host = !whole && !ends && !is_path(variables);
    let variables = if first_is_host { rest } else { variables };
    let bare = variables.replace(['{', '}'], "");
    !matches!(bare.as_str(), "" | "$request_uri") && bare.contains('$')
}

/// Whether a text begins with a variable that holds a path or a part of one.
fn is_path(text: &str) -> bool {
    let bare = text.replace(['{', '}'], "");
    let digit = bare.strip_prefix('$').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    digit || ["$uri", "$document_uri", "$request_uri", "$args", "$is_args"].iter().any(|name| bare.starts_with(name))
}

/// Whether a block asks the sidecar itself, as what it passes on says.
pub(super) fn of_sidecar(block: &Block<'_>) -> bool {
    let pass = block.own("proxy_pass");
    let asks = |url: &String| matches!(Target::read(url).uri, Some(ENDPOINT | "/gateway/forward"));
    pass.is_some_and(|pass| resolved(pass.argument(1), block).iter().any(asks))
}

/// Whether a word contains a variable, as `$name` or `${name}`.
pub(super) fn names(word: &str, variable: &str) -> bool {
    let name = variable.trim_start_matches('$');
    variables(word).any(|found| found == name)
}

/// The variables in a word, without their `$`.
pub(super) fn variables(word: &str) -> impl Iterator<Item = &str> {
    word.match_indices('$').map(|(at, _)| {
        let rest = &word[at + 1..];
        match rest.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or_default(),
            None => &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())],
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
    fn a_path_that_nginx_writes_is_distinguished_from_one_that_the_client_sent() {
        for (url, expected) in [
            ("http://a", false),
            ("http://a/", true),
            ("http://a$request_uri", false),
            ("http://a${request_uri}", false),
            ("http://a$uri", true),
            ("http://a$uri$is_args$args", true),
            ("http://a:80$document_uri", true),
            ("http://a$1", true),
            ("http://$host", false),
            ("http://$host:80", false),
            ("http://$host$request_uri", false),
            ("http://$host$uri", true),
            ("http://$service$is_args$args", true),
            ("http://service$path", true),
            ("http://service-$color", false),
            ("http://service:$port$request_uri", false),
            ("$service", false),
            ("$service$uri", true),
        ] {
            assert_eq!(writes_path(url), expected, "{url}");
        }
    }

    #[test]
    fn a_variable_is_found_whole() {
        for (word, found) in [("$a", true), ("x${a}y", true), ("$ab", false), ("${ab}", false), ("$b$a-", true)] {
            assert_eq!(names(word, "$a"), found, "{word}");
        }
    }
}
