//! Patterns of headers in a configuration: whether one may match a name, or surely does.
//!
//! Regular expressions are not run here. Of one that begins with a text and goes on in any way that much is known.

/// What a regular expression begins with, and what is behind that.
fn parts(regex: &str) -> (String, &str) {
    let (mut text, mut rest) = (String::new(), regex);
    while let Some(first) = rest.chars().next() {
        let escaped = rest.strip_prefix('\\').and_then(|rest| rest.chars().next());
        let (c, next) = match (first, escaped) {
            (_, Some(c)) if !c.is_ascii_alphanumeric() => (c, &rest[1 + c.len_utf8()..]),
            (c, _) if "\\.^$*+?()[]{}|".contains(c) => break,
            (c, _) => (c, &rest[c.len_utf8()..]),
        };
        // what may be there or not is no beginning
        if next.starts_with(['*', '?', '{']) {
            break;
        }
        text.push(c.to_ascii_lowercase());
        rest = next;
    }
    (text, rest)
}

/// The alternatives of a regular expression that is held against a whole name.
fn alternatives(regex: &str) -> Vec<&str> {
    let regex = regex.strip_prefix("(?i)").unwrap_or(regex);
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    let regex = regex.strip_suffix('$').unwrap_or(regex);
    let inner = regex.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).filter(|inner| !inner.contains('('));
    let regex = inner.map_or(regex, |inner| inner.strip_prefix("?:").unwrap_or(inner));
    if regex.contains('(') { vec![regex] } else { regex.split('|').collect() }
}

/// Whether a regular expression may match all of a name, which is in small letters.
pub(super) fn may_match(regex: &str, name: &str) -> bool {
    alternatives(regex).into_iter().map(parts).any(|(text, rest)| match rest {
        "" => name == text,
        _ => name.starts_with(&text),
    })
}

/// Whether a regular expression surely matches all of a name, which is in small letters.
pub(super) fn matches(regex: &str, name: &str) -> bool {
    alternatives(regex).into_iter().map(parts).any(|(text, rest)| match rest {
        "" => name == text,
        ".*" => name.starts_with(&text),
        ".+" => name.starts_with(&text) && name != text,
        _ => false,
    })
}

/// Whether a regular expression may be found anywhere in a name, which is in small letters.
pub(super) fn may_be_found(regex: &str, name: &str) -> bool {
    let anchored = regex.strip_prefix("(?i)").unwrap_or(regex).starts_with('^');
    let (text, rest) = parts(regex);
    if anchored {
        may_match(&format!("{}.*", regex.trim_end_matches('$')), name)
    } else {
        !rest.is_empty() || name.contains(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_matches_is_known_as_far_as_it_is() {
        for (regex, may, surely) in [
            ("x-.*", true, true),
            (".*", true, true),
            ("^x-palisade-.+$", true, true),
            ("x-palisade-principal", true, true),
            ("(x-a|x-palisade-principal)", true, true),
            ("(?i)X-Palisade-Principal", true, true),
            (r"x\-palisade\-.*", true, true),
            ("x-[a-z]+-principal", true, false),
            ("x-(palisade|other)-.*", true, false),
            ("x?-palisade.*", true, false),
            ("x-internal-.*", false, false),
            ("authorization", false, false),
            ("x-a|x-b", false, false),
        ] {
            let name = "x-palisade-principal";
            assert_eq!((may_match(regex, name), matches(regex, name)), (may, surely), "{regex}");
        }
    }

    #[test]
    fn what_may_be_found_in_a_name_is_known_likewise() {
        for (regex, expected) in [
            ("palisade", true),
            ("^x-pal", true),
            ("^x-.*-principal$", true),
            ("[a-z]", true),
            ("secret", false),
            ("^x-internal", false),
        ] {
            assert_eq!(may_be_found(regex, "x-palisade-principal"), expected, "{regex}");
        }
    }
}
