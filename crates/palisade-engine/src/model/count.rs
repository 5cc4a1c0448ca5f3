//! Numbers of things, in words. Every message that counts asks here.

/// `1 policy`, `2 policies`, `0 tests`. Of several words the last is counted: `2 more links`.
#[must_use]
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {}", plural(n, what))
}

/// `policy` of one, `policies` of any other number.
#[must_use]
pub fn plural(n: usize, what: &str) -> String {
    // one entity and two entities, but one gateway and two gateways
    let stem = what.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o']));
    match (n, stem) {
        (1, _) => what.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        _ => format!("{what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        for (n, what, expected) in [
            (0, "test", "0 tests"),
            (1, "policy", "1 policy"),
            (2, "policy", "2 policies"),
            (2, "gateway", "2 gateways"),
            (1, "more problem", "1 more problem"),
            (3, "more entity", "3 more entities"),
        ] {
            assert_eq!(count(n, what), expected);
        }
    }
}
