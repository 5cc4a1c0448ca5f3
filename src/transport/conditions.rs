//! What a request makes its change depend on: `If-Match` and `If-None-Match` (RFC 9110, 13.1).
//!
//! The tag of a state is its revision in quotes. Any other tag that the RFC allows, a weak one among them, is that of no
//! state and matches nothing. What it does not allow is 400. A revision may stand without quotes, too.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

use crate::state::{Expected, Named};
use crate::transport::respond::Problem;
use palisade_engine::model::Revision;

/// What the headers ask of what `named` is, and of the state.
///
/// # Errors
/// If one of them is no list of tags.
pub(super) fn expected(headers: &HeaderMap, named: &Named) -> Result<Vec<Expected>, Problem> {
    let matching = Tags::of(headers, &IF_MATCH)?.map(|tags| match tags {
        Tags::Any => Expected::Stored(named.clone()),
        Tags::Of(tags) => Expected::OneOf(tags.into_iter().filter(|tag| !tag.weak).filter_map(Tag::state).collect()),
    });
    let others = Tags::of(headers, &IF_NONE_MATCH)?.map(|tags| match tags {
        Tags::Any => Expected::Absent(named.clone()),
        // here weak tags count like others
        Tags::Of(tags) => Expected::NoneOf(tags.into_iter().filter_map(Tag::state).collect()),
    });
    Ok(matching.into_iter().chain(others).collect())
}

/// The value of a header that has tags.
enum Tags {
    /// `*`: anything.
    Any,
    Of(Vec<Tag>),
}

struct Tag {
    revision: Option<Revision>,
    weak: bool,
}

impl Tag {
    /// The state that it is of, if there can be one.
    fn state(self) -> Option<Revision> {
        self.revision
    }
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            return Ok(None);
        }
        let (mut tags, mut any, mut lines) = (Vec::new(), false, 0);
        for value in values {
            lines += 1;
            if value.as_bytes().trim_ascii() == b"*" {
                any = true;
            } else if !read(value.as_bytes(), &mut tags) {
                return Err(malformed(name));
            }
        }
        match (any, tags.is_empty() && lines == 1) {
            (false, _) => Ok(Some(Self::Of(tags))),
            (true, true) => Ok(Some(Self::Any)),
            // beside others it means nothing
            (true, false) => Err(malformed(name)),
        }
    }
}

fn malformed(name: &HeaderName) -> Problem {
    let header = if name == IF_MATCH { "If-Match" } else { "If-None-Match" };
    let message = format!(
        "`{header}` is `*`, or a list of tags in double quotes, such as \"00000000000000ab-7\": what `ETag` or \
         `Palisade-Revision` of an answer says"
    );
    Problem::bad_request("invalid_revision", message)
}

/// Reads a list of tags; false if it is not one. A list may have empty elements.
fn read(mut rest: &[u8], tags: &mut Vec<Tag>) -> bool {
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return true;
        }
        if let Some(behind) = rest.strip_prefix(b",") {
            rest = behind;
            continue;
        }
        let (weak, opaque) = match rest.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, rest),
        };
        let (text, behind) = match opaque.strip_prefix(b"\"") {
            Some(inner) => match inner.iter().position(|byte| *byte == b'"') {
                Some(end) if inner[..end].iter().all(|byte| is_allowed(*byte)) => (&inner[..end], &inner[end + 1..]),
                _ => return false,
            },
            // as people type it into a shell
            None if !weak => {
                let end = rest.iter().position(|byte| matches!(byte, b',' | b' ' | b'\t')).unwrap_or(rest.len());
                if state(&rest[..end]).is_none() {
                    return false;
                }
                rest.split_at(end)
            }
            None => return false,
        };
        tags.push(Tag { revision: state(text), weak });
        rest = behind.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return false;
        }
    }
}

/// What may stand in a tag (`etagc`).
fn is_allowed(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80
}

fn state(text: &[u8]) -> Option<Revision> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: &str = "00000000000000ab-7";

    fn of(name: &HeaderName, values: &[&[u8]]) -> Result<Vec<Expected>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), http::HeaderValue::from_bytes(value).unwrap());
        }
        expected(&headers, &Named::Policy("p".to_owned())).map_err(|problem| problem.code)
    }

    #[test]
    fn tags_are_read_as_the_rfc_has_them() {
        let one_of: Revision = R.parse().unwrap();
        let one = format!("\"{R}\"");
        let (bare, weak, two) = (R.to_owned(), format!("W/{one}"), format!("\"x,y\" , {one},,{R}"));
        // how many revisions are among them, strongly and weakly; nothing where it is no list of tags
        for (text, strong, all) in [
            (&one as &str, Some(1), Some(1)),
            (&bare, Some(1), Some(1)),
            (&weak, Some(0), Some(1)),
            (&two, Some(2), Some(2)),
            ("\"\"", Some(0), Some(0)),
            ("\"abc\"", Some(0), Some(0)),
            ("W/\"x\"", Some(0), Some(0)),
            ("\"caf\u{e9}\"", Some(0), Some(0)),
            ("", Some(0), Some(0)),
            (", ,", Some(0), Some(0)),
            ("abc", None, None),
            ("W/abc", None, None),
            ("w/\"x\"", None, None),
            ("\"a b\"", None, None),
            ("\"a", None, None),
            ("\"a\"b\"", None, None),
            ("\"a\" \"b\"", None, None),
            ("*, \"a\"", None, None),
            ("\"a\", *", None, None),
        ] {
            let count = |count: Option<usize>| count.map(|count| vec![one_of; count]).ok_or("invalid_revision");
            let wanted = count(strong).map(|revisions| vec![Expected::OneOf(revisions)]);
            assert_eq!(of(&IF_MATCH, &[text.as_bytes()]), wanted, "{text}");
            let wanted = count(all).map(|revisions| vec![Expected::NoneOf(revisions)]);
            assert_eq!(of(&IF_NONE_MATCH, &[text.as_bytes()]), wanted, "{text}");
        }
        let policy = Named::Policy("p".to_owned());
        assert_eq!(of(&IF_MATCH, &[b" * "]), Ok(vec![Expected::Stored(policy.clone())]));
        assert_eq!(of(&IF_NONE_MATCH, &[b"*"]), Ok(vec![Expected::Absent(policy)]));
        assert_eq!(of(&IF_MATCH, &[b"*", b"*"]), Err("invalid_revision"));
        assert_eq!(of(&IF_MATCH, &[b"*", b"\"a\""]), Err("invalid_revision"));
        assert_eq!(of(&IF_MATCH, &[one.as_bytes(), one.as_bytes()]), Ok(vec![Expected::OneOf(vec![one_of, one_of])]));
        assert_eq!(of(&IF_MATCH, &[]), Ok(vec![]));
    }
}
