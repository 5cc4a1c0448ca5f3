//! One value of a query, if every reader reads it alike.

use std::borrow::Cow;

use crate::names::same_field;
use crate::path::hex;
use crate::values;

/// How many parameters every reader takes. Node, Express, PHP and Tomcat do not see those that follow.
const MAX_PARAMETERS: usize = 1000;

/// Why a query gives no value that the service is sure to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryFault {
    /// The key is there twice, or under a name that some readers take for it: in another case, as `key[]`, `the.key`.
    Repeated,
    /// A `;`, which some read as `&`.
    Semicolon,
    /// A second `?`: some readers begin at the last one, some end at it, and some look for `?key=` anywhere.
    QuestionMark,
    /// More than [`MAX_PARAMETERS`].
    TooMany,
    /// A `%` that encodes nothing, bytes that are not UTF-8, or a NUL in the value.
    Undecodable,
}

/// The value of `key`; `None` if it is not there.
///
/// # Errors
/// If two readers could find different values.
pub(crate) fn value<'a>(query: Option<&'a str>, key: &str) -> Result<Option<Cow<'a, str>>, QueryFault> {
    let Some(query) = query else { return Ok(None) };
    if query.contains(';') {
        return Err(QueryFault::Semicolon);
    }
    if query.contains('?') {
        return Err(QueryFault::QuestionMark);
    }
    if has_too_many(query) {
        return Err(QueryFault::TooMany);
    }
    let mut found = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // any key might be ours in disguise, so one that cannot be read is refused
        let name = decode(name).ok_or(QueryFault::Undecodable)?;
        if name.contains('?') {
            return Err(QueryFault::QuestionMark);
        }
        if !same_field(&name, key) {
            continue;
        }
        if name != key || found.is_some() {
            return Err(QueryFault::Repeated);
        }
        found = Some(decode(value).filter(|value| values::of_text(value).is_none()).ok_or(QueryFault::Undecodable)?);
    }
    Ok(found)
}

/// Whether some readers do not see all parameters of a query or a form. Empty ones count for some.
pub(super) fn has_too_many(text: &str) -> bool {
    // with a byte between each two of them
    text.len() >= MAX_PARAMETERS && text.bytes().filter(|byte| matches!(byte, b'&' | b';')).count() >= MAX_PARAMETERS
}

/// The names of all parameters, as a reader finds them who takes what cannot be decoded as it stands, and `;` for `&`. A
/// `?` begins one too: some look for `?key=` wherever it stands.
pub(super) fn names(query: &str) -> impl Iterator<Item = String> {
    query.split(['&', ';', '?']).map(|pair| lenient(pair.split('=').next().unwrap_or_default()))
}

/// Whether one of the names that [`names`] gives is wanted. Most names need no decoding.
pub(super) fn has_name(query: &str, wanted: &dyn Fn(&str) -> bool) -> bool {
    query.split(['&', ';', '?']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        if name.contains(['%', '+']) { wanted(&lenient(name)) } else { wanted(name) }
    })
}

/// Whether a name has encoded bytes that are not UTF-8. Some readers leave such bytes out, others make letters of them, so
/// it may be any name. Bytes that stand there as they are do not count: most bodies with such are no forms.
pub(super) fn has_unreadable_name(query: &str) -> bool {
    #[cfg(test)]
    tests::LOOKED.with(|looked| looked.set(looked.get() + 1));
    let is_lossy = |name: &str| name.contains(char::REPLACEMENT_CHARACTER);
    query.split(['&', ';', '?']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        name.contains('%') && !is_lossy(name) && is_lossy(&lenient(name))
    })
}

/// Decodes what can be decoded, `+` too, and leaves the rest.
pub(super) fn lenient(text: &str) -> String {
    let (mut out, bytes) = (Vec::with_capacity(text.len()), text.as_bytes());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).copied().and_then(hex);
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            // IIS and ASP decode `%u005f`
            (b'%', ..) => match wide(&bytes[at..]) {
                Some(c) => {
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    at += 5;
                }
                None => out.push(b'%'),
            },
            (byte, ..) => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The character that `%uXXXX` is.
fn wide(bytes: &[u8]) -> Option<char> {
    let digits = bytes.get(2..6).filter(|_| bytes[1].eq_ignore_ascii_case(&b'u'))?;
    let value = digits.iter().try_fold(0, |value, byte| Some(value << 4 | u32::from(hex(*byte)?)))?;
    char::from_u32(value)
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
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// How many texts were searched for a name that cannot be read on this thread.
        pub(super) static LOOKED: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn texts_searched() -> usize {
        LOOKED.with(Cell::get)
    }

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
            (Some("?id=7"), Err(QueryFault::QuestionMark)),
            (Some("?id=8&id=7"), Err(QueryFault::QuestionMark)),
            (Some("a=?id=8&id=7"), Err(QueryFault::QuestionMark)),
            (Some("a=1?b&id=7"), Err(QueryFault::QuestionMark)),
            (Some("id=7?"), Err(QueryFault::QuestionMark)),
            (Some("%3Fid=8&id=7"), Err(QueryFault::QuestionMark)),
            (Some("x%3fid=8"), Err(QueryFault::QuestionMark)),
            (Some("a=%3Fid=8&id=7%3F"), Ok(Some("7?"))),
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
            (Some("id=7%00x"), Err(QueryFault::Undecodable)),
            (Some("id=7&[id]=8"), Err(QueryFault::Repeated)),
            (Some("id=7&[[id=8"), Err(QueryFault::Repeated)),
            (Some("id=7&i_d=8"), Err(QueryFault::Repeated)),
            (Some("id=7&id.x=8"), Err(QueryFault::Repeated)),
            (Some("id=7&id%00x=8"), Err(QueryFault::Repeated)),
            (Some("id=7&%C4%B1d=8"), Err(QueryFault::Repeated)),
            (Some("%C4%B0d=8"), Err(QueryFault::Repeated)),
        ] {
            let got = value(query, "id");
            assert_eq!(got.as_ref().map(|v| v.as_deref()).map_err(|e| *e), expected, "{query:?}");
        }
        for (before, expected) in [
            ("a&".repeat(999), Ok(Some("7"))),
            ("a&".repeat(1000), Err(QueryFault::TooMany)),
            ("&".repeat(999), Ok(Some("7"))),
            ("&".repeat(1000), Err(QueryFault::TooMany)),
            ("a=1&b=2&".repeat(500), Err(QueryFault::TooMany)),
        ] {
            let (query, behind) = (format!("{before}id=7"), format!("id=7&{}", before.trim_end_matches('&')));
            assert_eq!(value(Some(&query), "id").as_ref().map(|v| v.as_deref()).map_err(|e| *e), expected, "{query}");
            // the first is seen by all, and the limit of some counts it with what follows
            if before.starts_with('a') {
                assert_eq!(value(Some(&behind), "id").is_err(), expected.is_err(), "{behind}");
            }
        }
        // what PHP makes `device_id` of
        for other in
            ["device.id", "device+id", "device%20id", "device[id", "device%5Bid", "device_id%00x", "device_id%00"]
        {
            for query in [format!("{other}=8"), format!("device_id=7&{other}=8"), format!("{other}=8&device_id=7")] {
                assert_eq!(value(Some(&query), "device_id"), Err(QueryFault::Repeated), "{query}");
            }
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        let found: Vec<String> = names("a=1;_method=x&%5fm=?2&%zz&b+c&%ff&%u005fm&%u12&%U20acx&%ud800").collect();
        let expected = ["a", "_method", "_m", "2", "%zz", "b c", "\u{fffd}", "_m", "%u12", "\u{20ac}x", "%ud800"];
        assert_eq!(found, expected);
    }
}
