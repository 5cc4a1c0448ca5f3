//! Whose word a value is: which variables it comes from, through whatever `set`, `map` and captures.

use std::collections::HashSet;

use crate::directive::Directive;
use crate::is_identity;
use crate::nginx::known::Known;
use crate::nginx::scope::Block;
use crate::nginx::target::variables;

/// Whether a variable is one that is looked for.
type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// Whether a variable holds what a client writes there.
pub(super) fn of_client(variable: &str) -> bool {
    ["http_", "arg_", "cookie_"].iter().any(|start| variable.starts_with(start))
        || matches!(variable, "proxy_add_x_forwarded_for" | "ssl_server_name" | "request_body")
}

/// Whether a client may write a value, or a part of it. What a `map` gives out of a list is the author's own. `Host` is
/// looked at elsewhere.
pub(super) fn of_client_at(value: &str, block: &Block<'_>, known: &Known<'_>) -> bool {
    reads(value, &|name| of_client(name) && name != "http_host", block, known)
}

/// Whether a value holds `Host` as the client wrote it, which is not the host that nginx goes by where the target is a URL.
pub(super) fn of_host_at(value: &str, block: &Block<'_>, known: &Known<'_>) -> bool {
    reads(value, &|name| name == "http_host", block, known)
}

/// Whether a value holds the host of the request, a part of it, or what a `map` lists for it.
pub(super) fn follows_host(value: &str, block: &Block<'_>, known: &Known<'_>) -> bool {
    let is_host = |name: &str| matches!(name, "host" | "http_host");
    let of_host = |name: &str| {
        let number = name.bytes().all(|byte| byte.is_ascii_digit());
        let names = block.all("server_name").into_iter().flat_map(Directive::arguments);
        let mut patterns = names.filter(|word| word.starts_with('~'));
        is_host(name)
            || patterns.any(|word| number || captures(word, name))
            || known.maps(name).iter().any(|map| reads(map.argument(1), &is_host, block, known))
    };
    reads(value, &of_host, block, known)
}

/// Whether an `auth_request_set` takes what the sidecar says of the caller.
pub(super) fn is_of_sidecar(set: &Directive) -> bool {
    variables(set.argument(2))
        .filter_map(|name| name.strip_prefix("upstream_http_"))
        .any(|header| is_identity(&header.replace('_', "-")))
}

/// Whether a value is made of a variable that is wanted. Each variable is followed once.
pub(super) fn reads(value: &str, wanted: Wanted<'_>, block: &Block<'_>, known: &Known<'_>) -> bool {
    follow(value, wanted, block, known, &mut HashSet::new())
}

fn follow(value: &str, wanted: Wanted<'_>, block: &Block<'_>, known: &Known<'_>, seen: &mut HashSet<String>) -> bool {
    variables(value).any(|name| {
        if wanted(name) || of_client(name) {
            return wanted(name);
        }
        if !seen.insert(name.to_owned()) {
            return false;
        }
        let sets = block.sets().into_iter().filter(|set| set.argument(1).trim_start_matches('$') == name);
        sets.into_iter().any(|set| follow(set.argument(2), wanted, block, known, seen))
            || captured(name, block, known).iter().any(|from| follow(from, wanted, block, known, seen))
            || known.maps(name).iter().any(|map| {
                let source = follow(map.argument(1), wanted, block, known, seen);
                map.body().iter().any(|line| {
                    let captured = source && line.name().starts_with('~') && line.argument(1).contains('$');
                    captured || follow(line.argument(1), wanted, block, known, seen)
                })
            })
    })
}

/// What patterns take a variable from: `$1` from the `if` around or beside it, a name from any that has it.
fn captured<'t>(name: &str, block: &Block<'t>, known: &Known<'t>) -> Vec<&'t str> {
    let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let conditions = block.conditions().filter(|condition| condition.argument(2).starts_with('~'));
    let mut found: Vec<&str> = conditions
        .filter(|condition| number || condition.arguments().iter().any(|word| captures(word, name)))
        .map(|condition| condition.argument(1).trim_start_matches('('))
        .collect();
    if !number {
        found.extend(known.patterns().filter(|(pattern, _)| captures(pattern, name)).map(|(_, from)| from));
    }
    found
}

/// Whether a pattern gives what it finds a name.
pub(super) fn captures(pattern: &str, name: &str) -> bool {
    ["(?<", "(?P<", "(?'"].iter().any(|start| {
        pattern.match_indices(start).any(|(at, _)| {
            let rest = &pattern[at + start.len()..];
            rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['>', '\'']))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_captures_are_found() {
        for (pattern, expected) in [
            ("^(?<b>.+)$", true),
            ("~*(?P<b>.+)", true),
            ("(?'b'.+)", true),
            ("(?<bb>.+)", false),
            ("(?<a>.+)(?<b>x)", true),
            ("b", false),
        ] {
            assert_eq!(captures(pattern, "b"), expected, "{pattern}");
        }
    }
}
