//! One value of a query, if everybody would read the same.

use std::borrow::Cow;

use crate::gateway::path::hex;

/// Why a query gives no value that the service is sure to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryFault {
    /// The key is there twice, or once more in another case or as `key[]`.
    Repeated,
    /// A `;`, which some read as `&`.
    Semicolon,
    /// A `%` that encodes nothing, or bytes that are not UTF-8.
    Undecodable,
}

/// The value of `key`; `None` if it is not there.
///
/// # Errors
/// If two readers could find different values.
pub fn value<'a>(query: Option<&'a str>, key: &str) -> Result<Option<Cow<'a, str>>, QueryFault> {
    let Some(query) = query else { return Ok(None) };
    if query.contains(';') {
        return Err(QueryFault::Semicolon);
    }
    let mut found = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // any key might be ours in disguise, so one that cannot be read is refused
        let name = decode(name).ok_or(QueryFault::Undecodable)?;
        let stem = name.trim().split('[').next().unwrap_or_default();
        if !stem.trim().eq_ignore_ascii_case(key) {
            continue;
        }
        if name != key || found.is_some() {
            return Err(QueryFault::Repeated);
        }
        found = Some(decode(value).ok_or(QueryFault::Undecodable)?);
    }
    Ok(found)
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_or_none_or_a_fault() {
        for (query, expected) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("id=7"), Ok(Some("7"))),
            (Some("a=1&id=7&b"), Ok(Some("7"))),
            (Some("i%64=7"), Ok(Some("7"))),
            (Some("id=a%20b+c%C3%A9"), Ok(Some("a b cé"))),
            (Some("id"), Ok(Some(""))),
            (Some("id=a=b"), Ok(Some("a=b"))),
            (Some("?id=7"), Ok(None)),
            (Some("id=7&id=7"), Err(QueryFault::Repeated)),
            (Some("id=7&ID=8"), Err(QueryFault::Repeated)),
            (Some("Id=7"), Err(QueryFault::Repeated)),
            (Some("id=7&id[]=8"), Err(QueryFault::Repeated)),
            (Some("id%5B0%5D=8"), Err(QueryFault::Repeated)),
            (Some("%20id=8"), Err(QueryFault::Repeated)),
            (Some("id=7&%20id=8"), Err(QueryFault::Repeated)),
            (Some("x=1;id=8"), Err(QueryFault::Semicolon)),
            (Some("id=%zz"), Err(QueryFault::Undecodable)),
            (Some("id=%ff"), Err(QueryFault::Undecodable)),
            (Some("%zz=1&id=7"), Err(QueryFault::Undecodable)),
        ] {
            let got = value(query, "id");
            assert_eq!(got.as_ref().map(|v| v.as_deref()).map_err(|e| *e), expected, "{query:?}");
        }
    }
}
