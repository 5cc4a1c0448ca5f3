//! Parameters in paths and queries, percent-encoded.

use std::collections::HashSet;

use crate::transport::respond::Problem;
use palisade_engine::model::RequestError;

/// The text of a part of a target; none where it is not encoded properly, or not UTF-8.
pub(super) fn decode(part: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let [first, behind @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = behind else { return None };
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            bytes.push((digit(high)? * 16 + digit(low)?) as u8);
            rest = after;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

/// What stands in `path` at the places of `pattern` that are in braces, as it stands there; none where it is another path.
pub(super) fn matches<'p>(pattern: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let (mut wanted, mut given, mut found) = (pattern.split('/'), path.split('/'), Vec::new());
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(given)) if wanted.starts_with('{') => found.push(given),
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

/// The parameters of a path, decoded.
pub(super) fn parameters(pattern: &str, path: &str) -> Result<Vec<String>, Problem> {
    let raw = matches(pattern, path).unwrap_or_default();
    let wrong = |part: &str| {
        let message = format!("`{part}` in the path is not percent-encoded UTF-8");
        Problem::bad_request("invalid_path", message)
    };
    raw.into_iter().map(|part| decode(part).ok_or_else(|| wrong(part))).collect()
}

/// The parameters of a query, in their order, each once.
pub(super) fn query(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // forms write a space so
        let (Some(name), Some(value)) = (decode(name), decode(&value.replace('+', " "))) else {
            return Err(Problem::bad_request("invalid_path", "the query is not percent-encoded UTF-8"));
        };
        if !seen.insert(name.clone()) {
            let message = format!("`{name}` is there twice; say it once");
            return Err(RequestError::new("invalid_member", format!("?{name}"), message).into());
        }
        found.push((name, value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_part_by_part() {
        for (pattern, path, expected) in [
            ("/v1/status", "/v1/status", Some(vec![])),
            ("/v1/status", "/v1/status/", None),
            ("/v1/policies/{id}", "/v1/policies/a%2Fb", Some(vec!["a/b"])),
            ("/v1/policies/{id}", "/v1/policies/a/b", None),
            ("/v1/policies/{id}", "/v1/policies", None),
            ("/v1/entities/{type}/{id}", "/v1/entities/A::B/", Some(vec!["A::B", ""])),
            ("/v1/entities/{type}/{id}", "/v1/entities/A%3A%3AB/%E2%82%AC", Some(vec!["A::B", "€"])),
        ] {
            let found = matches(pattern, path).map(|_| parameters(pattern, path).unwrap());
            let expected = expected.map(|parts| parts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{path}");
        }
        for path in ["/v1/policies/%", "/v1/policies/%2", "/v1/policies/%GG", "/v1/policies/%FF"] {
            assert_eq!(parameters("/v1/policies/{id}", path).unwrap_err().code, "invalid_path", "{path}");
        }
        let pairs = query("a=1&&b=x+y%2B&c").unwrap();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y+"), ("c", "")]);
        assert!(query("a=%").is_err());
        for twice in ["a=1&a=1", "a&b&a=", "a=1&%61=2"] {
            assert_eq!(query(twice).unwrap_err().code, "invalid_member", "{twice}");
        }
    }
}
