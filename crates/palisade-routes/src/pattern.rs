//! What a route matches: `GET /dongle/devices/{id}/`.
//!
//! Literals are compared with decoded text, captures take one segment that is not empty, `{rest*}` takes
//! all that follow. `{n:int}`, `{n:uuid}` and `{n:name}` take only what has that form, `{n:a|b}` one of the words.
//! A form takes one writing of each value: a second one would be another entity to a policy and the same to the service.

use std::fmt;

use crate::bounds::{MAX_METHODS, MAX_WORDINGS};
use crate::path::MAX_SEGMENTS;
use crate::source::Capture;
use crate::values;

/// Methods and a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The methods, at least one.
    pub methods: Vec<String>,
    /// The segments.
    pub parts: Vec<Part>,
    /// Whether the path ends with a slash.
    pub trailing_slash: bool,
    path: String,
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Literal(String),
    /// One of these texts, under a name.
    OneOf(String, Vec<String>),
    /// One segment of a form, under a name.
    Capture(String, Form),
    /// All segments that follow, at least one, under a name.
    Rest(String),
}

/// What a capture takes. In the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A whole number from 0 to the largest that every reader distinguishes from its neighbours, without leading zeros.
    Int,
    /// A UUID in lower case with its dashes.
    Uuid,
    /// Letters, digits, `-`, `_` and `.`, all ASCII.
    Name,
    /// Anything.
    Any,
}

impl Form {
    /// Whether it takes `text`. Nothing takes an empty one.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::Any => !text.is_empty(),
            Self::Int => {
                text.bytes().all(|b| b.is_ascii_digit())
                    && (text == "0" || !text.starts_with('0'))
                    // a larger one is rounded by some services, ends at the largest in others, or begins again below zero
                    && text.parse().is_ok_and(|number: i64| values::of_number(number).is_none())
            }
            Self::Name => {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            }
            Self::Uuid => {
                text.len() == 36
                    && text.bytes().enumerate().all(|(at, b)| match at {
                        8 | 13 | 18 | 23 => b == b'-',
                        // services read upper case too, and it would be another id to a policy
                        _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
                    })
            }
        }
    }
}

impl Pattern {
    /// Reads `GET /a/{b}` or `GET,POST /a/{b}`, with `prefix` before the path.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str, prefix: &str) -> Result<Self, String> {
        let (methods, path) = text
            .split_once(' ')
            .filter(|(_, path)| path.starts_with('/'))
            .ok_or_else(|| format!("`{text}` is not a match; write `GET /path/{{id}}`, or `GET,HEAD /path/{{id}}`"))?;
        let methods: Vec<String> = methods.split(',').map(str::to_owned).collect();
        if methods.len() > MAX_METHODS {
            return Err(format!("a match has {} methods, more than {MAX_METHODS}", methods.len()));
        }
        for method in &methods {
            if matches!(method.as_str(), "ANY" | "ALL") {
                return Err(format!("`{method}` does not stand for others; list the methods, as in `GET,POST /path`"));
            }
            if method == "CONNECT" {
                return Err("`CONNECT` opens a tunnel, and what is sent through it is not checked".to_owned());
            }
            if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                return Err(format!(
                    "`{method}` is not a method; write methods in upper case, with `,` and no space between them"
                ));
            }
        }
        let path = format!("{prefix}{path}");
        let mut parts: Vec<&str> = path.split('/').skip(1).collect();
        let trailing_slash = parts.last().is_some_and(|last| last.is_empty());
        if trailing_slash {
            parts.pop();
        }
        if parts.len() > MAX_SEGMENTS {
            return Err(format!(
                "a path has {} segments; a request with more than {MAX_SEGMENTS} is refused",
                parts.len()
            ));
        }
        let parts: Vec<Part> = parts
            .into_iter()
            .map(Part::parse)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("`{path}`: {error}"))?;
        let last = parts.len().saturating_sub(1);
        if parts.iter().enumerate().any(|(at, part)| at < last && matches!(part, Part::Rest(_))) {
            return Err(format!("`{path}`: `*` takes all that follows, so it must be last"));
        }
        let wordings = parts.iter().fold(1_usize, |all, part| match part {
            Part::OneOf(_, words) => all.saturating_mul(words.len()),
            _ => all,
        });
        if wordings > MAX_WORDINGS {
            let help = "let a capture such as `{id}` or `{id:name}` stand for one of them";
            return Err(format!("`{path}`: its words stand for {wordings} paths, more than {MAX_WORDINGS}; {help}"));
        }
        let mut names: Vec<&str> = parts.iter().filter_map(Part::name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("`{path}`: two captures are called `{}`", twice[0]));
        }
        Ok(Self { methods, parts, trailing_slash, path })
    }

    /// The captures.
    #[must_use]
    pub fn captures(&self) -> Vec<Capture> {
        let one = |(at, part): (usize, &Part)| {
            let words = if let Part::OneOf(_, words) = part { words.clone() } else { Vec::new() };
            let decides = !matches!(part, Part::Capture(_, Form::Any) | Part::Rest(_));
            let (name, rest) = (part.name()?.to_owned(), matches!(part, Part::Rest(_)));
            Some(Capture { name, at, rest, words, decides })
        };
        self.parts.iter().enumerate().filter_map(one).collect()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.methods.join(","), self.path)
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return match text {
                "" => Err("a segment is empty, and a request with `//` is refused".to_owned()),
                "." | ".." => Err(format!("no request has a segment `{text}`")),
                _ if text.starts_with(':') && text.len() > 1 => {
                    Err(format!("`{text}` would be that very text; a capture is written `{{{}}}`", &text[1..]))
                }
                _ if text.contains(['{', '}']) => Err(format!("`{text}`: a capture is a whole segment")),
                _ if text.contains(['%', '?', '#', ';', '\\', '*'])
                    || text.contains(|c: char| c.is_control() || c == ' ') =>
                {
                    Err(format!("`{text}`: write the decoded text, without `% ? # ; \\ *` and white space"))
                }
                _ => Ok(Self::Literal(text.to_owned())),
            };
        };
        let (name, form) = match inner.split_once(':') {
            Some((name, form)) => (name, Some(form)),
            None => (inner, None),
        };
        let (name, rest) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !legal {
            return Err(format!("`{text}`: a capture's name has letters, digits, `-` and `_`"));
        }
        let name = name.to_owned();
        Ok(match (rest, form) {
            (true, None) => Self::Rest(name),
            (true, Some(_)) => return Err(format!("`{text}`: what takes several segments has no form")),
            (false, None) => Self::Capture(name, Form::Any),
            (false, Some("int")) => Self::Capture(name, Form::Int),
            (false, Some("uuid")) => Self::Capture(name, Form::Uuid),
            (false, Some("name")) => Self::Capture(name, Form::Name),
            (false, Some(words)) => {
                let words: Vec<String> = words.split('|').map(str::to_owned).collect();
                if words.len() < 2 || words.iter().any(|word| !matches!(Self::parse(word), Ok(Self::Literal(_)))) {
                    return Err(format!("`{text}`: a form is `int`, `uuid`, `name`, or words like `a|b`"));
                }
                Self::OneOf(name, words)
            }
        })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::OneOf(name, _) | Self::Capture(name, _) | Self::Rest(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_routers_are_reported() {
        for (text, message) in [
            ("GET /a/:id", "a capture is written `{id}`"),
            ("ANY /a", "list the methods"),
            ("ALL /a", "list the methods"),
            ("CONNECT /a", "opens a tunnel"),
        ] {
            assert!(Pattern::parse(text, "").unwrap_err().contains(message), "{text}");
        }
        // with something before it, it is a verb, as some APIs have it
        assert!(Pattern::parse("POST /devices/7:reboot", "").is_ok());
    }

    #[test]
    fn patterns_read_as_they_are_written() {
        for text in
            ["GET /", "GET /a/b", "GET,HEAD /a/{id}/", "POST /t/{kind:DEVICE|ASSET}/{id:uuid}", "PUT /f/{path*}"]
        {
            assert_eq!(Pattern::parse(text, "").unwrap().to_string(), text);
        }
        assert_eq!(Pattern::parse("GET /a", "/v1").unwrap().to_string(), "GET /v1/a");
        for (text, message) in [
            ("/a", "is not a match"),
            ("GET a", "is not a match"),
            ("get /a", "upper case"),
            ("GET, POST /a", "is not a match"),
            ("GET,,POST /a", "is not a method"),
            ("GET /a//b", "is empty"),
            ("GET /a/../b", "no request has"),
            ("GET /a/{id}.json", "a whole segment"),
            ("GET /a/%61", "the decoded text"),
            ("GET /a?x", "the decoded text"),
            ("GET /a/{}", "a capture's name"),
            ("GET /a/{i d}", "a capture's name"),
            ("GET /a/{x:float}", "a form is"),
            ("GET /a/{x*}/b", "must be last"),
            ("GET /a/{x*:int}", "has no form"),
            ("GET /{x}/{x}", "two captures are called `x`"),
        ] {
            let error = Pattern::parse(text, "").unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn forms_take_one_writing() {
        for (form, good, bad) in [
            (
                Form::Int,
                &["0", "7", "9007199254740991"][..],
                &[
                    "",
                    "07",
                    "00",
                    "+7",
                    "-7",
                    "-0",
                    "7 ",
                    "7.0",
                    "7e0",
                    "0x7",
                    "1_0",
                    "٧",
                    "9007199254740992",
                    "9223372036854775807",
                    "9223372036854775808",
                ][..],
            ),
            (
                Form::Uuid,
                &["0123abcd-0123-4567-89ab-0123456789ab"],
                &[
                    "",
                    "0123ABCD-0123-4567-89AB-0123456789AB",
                    "0123abcd-0123-4567-89ab-0123456789aB",
                    "0123abcd0123456789ab0123456789ab",
                    "{0123abcd-0123-4567-89ab-0123456789ab}",
                    "urn:uuid:0123abcd-0123-4567-89ab-0123456789ab",
                    "0123abcd-0123-4567-89ab-0123456789ab ",
                    "0123abcd-01234567-89ab-0123456789ab-",
                    "123abcd-0123-4567-89ab-0123456789ab",
                ],
            ),
            (Form::Name, &["a.b-c_1"], &["", "a b", "a/b", "é"]),
            (Form::Any, &["a", "a/b", "é "], &[""]),
        ] {
            assert!(good.iter().all(|text| form.takes(text)), "{form:?}");
            assert!(bad.iter().all(|text| !form.takes(text)), "{form:?}");
        }
    }
}
