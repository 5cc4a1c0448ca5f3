//! For which paths the containers of Apache hold.

use crate::directive::Directive;
use crate::pattern;

/// How long a pattern with wildcards is looked at; a longer one may hold for any path.
const LONGEST: usize = 1024;

/// Whether a container may hold for a path, which stands for `file` if that is known. One with a condition may for any.
pub(super) fn may_hold(container: &Directive, path: &str, file: Option<&str>) -> bool {
    let (first, second) = (container.argument(1), container.argument(2));
    match (container.name(), first) {
        ("location", "~") => is_found(second, path),
        ("locationmatch", _) => is_found(first, path),
        ("location", _) if first.starts_with('/') => is_in(first, path),
        ("files", "~") => files(path).any(|name| may_name(second, name)),
        ("filesmatch", _) => files(path).any(|name| may_name(first, name)),
        ("files", _) => files(path).any(|name| is_like(first, name)),
        ("directory", _) if first.starts_with('/') && !has_wildcard(first) => {
            file.is_none_or(|file| begins(file, first))
        }
        _ => true,
    }
}

/// Whether a path is the other one, or below it.
pub(super) fn begins(path: &str, start: &str) -> bool {
    path.strip_prefix(start.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a `<Location>` without `~` holds for a path.
pub(super) fn is_in(location: &str, path: &str) -> bool {
    if has_wildcard(location) {
        return is_like(location, path);
    }
    // what ends with a slash does not hold for what has none there
    let rest = path.strip_prefix(location);
    rest.is_some_and(|rest| rest.is_empty() || location.ends_with('/') || rest.starts_with('/'))
}

/// Whether a regular expression may be found in a path.
pub(super) fn is_found(regex: &str, path: &str) -> bool {
    pattern::may_be_found(regex, &path.to_ascii_lowercase())
}

/// The names that the file of a path may have: what is behind it may be an argument of it.
pub(super) fn files(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a text is like a pattern, in which `*` and `?` stand for everything but `/`, and a set for any sign.
fn is_like(pattern: &str, text: &str) -> bool {
    if pattern.len() > LONGEST || text.len() > LONGEST {
        return true;
    }
    let (patterns, texts): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), text.split('/').collect());
    // a `/` in a set stands between no names
    patterns.iter().any(|part| part.contains('[') && !part.contains(']'))
        || patterns.len() == texts.len()
            && patterns.iter().zip(texts).all(|(pattern, text)| name_is_like(pattern, text))
}

fn name_is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (signs(pattern), text.chars().collect::<Vec<char>>());
    let (mut at, mut read) = (0, 0);
    // where the last `*` stands, and what it was taken for
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(Sign::Many) => {
                star = Some((at + 1, read));
                at += 1;
            }
            Some(sign) if *sign == Sign::One || *sign == Sign::Plain(text[read]) => (at, read) = (at + 1, read + 1),
            _ => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                (at, read) = (behind, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|sign| *sign == Sign::Many)
}

/// A part of a pattern.
#[derive(PartialEq)]
enum Sign {
    Plain(char),
    One,
    Many,
}

fn signs(pattern: &str) -> Vec<Sign> {
    let (mut signs, mut rest) = (Vec::new(), pattern.chars());
    while let Some(c) = rest.next() {
        signs.push(match c {
            '*' => Sign::Many,
            '?' => Sign::One,
            '[' => {
                rest.by_ref().find(|c| *c == ']');
                Sign::One
            }
            '\\' => Sign::Plain(rest.next().unwrap_or(c)),
            c => Sign::Plain(c),
        });
    }
    signs
}

/// Whether a regular expression may be found in the name of a file, as far as the end of the name shows: `\.ph(?:p|tml)$`.
fn may_name(regex: &str, name: &str) -> bool {
    let ends: Vec<String> = match regex.split_once('(') {
        Some((before, rest)) => match rest.split_once(')') {
            Some((inner, after)) if !inner.contains('(') => {
                let inner = inner.strip_prefix("?:").unwrap_or(inner);
                inner.split('|').map(|one| format!("{before}{one}{after}")).collect()
            }
            _ => return true,
        },
        None => regex.split('|').map(str::to_owned).collect(),
    };
    let name = name.to_ascii_lowercase();
    ends.iter().any(|end| match end.rsplit_once("\\.") {
        _ if end.contains(['(', '|']) => true,
        Some((_, end)) if end.ends_with('$') => {
            name.rsplit_once('.').is_some_and(|(_, is)| pattern::may_match(end, is))
        }
        _ => is_found(end, &name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_location_holds_for() {
        for (location, path, expected) in [
            ("/", "/denied", true),
            ("/admin", "/admin", true),
            ("/admin", "/admin/x", true),
            ("/admin", "/administrator", false),
            ("/admin/", "/admin", false),
            ("/admin/", "/admin/x", true),
            ("/*", "/denied", true),
            ("/*", "/denied/x", false),
            ("/a*", "/adenied", true),
            ("/a*", "/b", false),
            ("/*/x", "/a/x", true),
            ("/a*b*c", "/a1b2bc", true),
            ("/a*b*c", "/a1b2bd", false),
            ("/?enied", "/denied", true),
            ("/?", "/", false),
            ("/[a-d]enied", "/denied", true),
            ("/[^/]*", "/denied/x", true),
            (r"/\*", "/x", false),
        ] {
            assert_eq!(is_in(location, path), expected, "{location} {path}");
        }
    }

    #[test]
    fn which_files_a_pattern_may_name() {
        for (regex, name, expected) in [
            (r".+\.ph(?:ar|p|tml)$", "denied.php", true),
            (r".+\.ph(?:ar|p|tml)$", "denied.phtml", true),
            (r".+\.ph(?:ar|p|tml)$", "denied.html", false),
            (r".+\.ph(?:ar|p|tml)$", "denied", false),
            (r"\.php$", "a.PHP", true),
            (r"\.php$", "a.php.bak", false),
            (r"\.php", "a.php.bak", true),
            (r"\.(php|phtml)$", "a.phtml", true),
            (r"\.ph(p[2-6]?|tml)$", "a.php5", true),
            (r"\.php$|\.inc$", "a.inc", true),
            (r"\.php$|\.inc$", "a.txt", false),
            (r"^denied", "denied.txt", true),
            (r"^(a|b(c)).$", "x", true),
            (r"\.(a|b)|\.php$", "x.a", true),
        ] {
            assert_eq!(may_name(regex, name), expected, "{regex} {name}");
        }
    }
}
