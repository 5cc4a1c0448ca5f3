//! The paths of a document: what of them a route can match, and which of them are for the same requests.

use crate::mask::{Mask, MaskPart, fits};
use crate::names::folded_case;
use crate::openapi::refs::plain;
use crate::pattern::{Part as Segment, Pattern};

/// A path of a document.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
    pub(super) slash: bool,
    /// Why no route can match it.
    pub(super) trouble: Option<String>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// This text.
    Literal(String),
    /// Any segment, under a name.
    Capture(String),
    /// All segments that follow, under a name.
    Rest(String),
    /// What no route can match: texts with something between each two, or one text with characters of other meaning.
    Texts(Vec<String>),
}

/// How the requests of two paths are related.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// No request is for both.
    Apart,
    /// All requests are for both.
    Same,
    /// The first has some of the requests of the second.
    Narrower,
    /// The second has some of the requests of the first.
    Wider,
    /// Each has some that the other has not, and some are for both.
    Crossing,
}

impl Template {
    /// Reads a path as documents write it.
    pub(super) fn read(path: &str) -> Self {
        let mut trouble = None;
        let mut say = |what: String| trouble = trouble.take().or(Some(what));
        let wire = path.find(['?', '#']).map_or(path, |at| {
            say("its path has a query or a fragment, which routes do not distinguish requests by".to_owned());
            // `/a{?b}` is the notation of URI templates
            path[..at].trim_end_matches('{')
        });
        let mut segments: Vec<&str> = wire.split('/').skip(1).collect();
        let slash = segments.last().is_some_and(|last| last.is_empty());
        if slash {
            segments.pop();
        }
        let parts = segments.into_iter().map(|segment| Part::read(segment, &mut say)).collect();
        Self { parts, slash, trouble }
    }

    /// The path with every capture under its name, or `None` if a route cannot have it.
    pub(super) fn pattern(&self, name: &mut dyn FnMut(usize, &Part) -> Option<String>) -> Option<String> {
        let mut out = String::new();
        for (at, part) in self.parts.iter().enumerate() {
            out.push('/');
            match part {
                Part::Literal(text) => out.push_str(text),
                other => out.push_str(&name(at, other)?),
            }
        }
        if self.slash || self.parts.is_empty() {
            out.push('/');
        }
        Some(out)
    }

    /// A path with captures of any names, where a route can distinguish its requests.
    pub(super) fn widened(&self) -> Option<String> {
        self.pattern(&mut |at, part| match part {
            Part::Rest(_) => Some(format!("{{c{at}*}}")),
            Part::Capture(_) => Some(format!("{{c{at}}}")),
            Part::Literal(_) | Part::Texts(_) => None,
        })
    }

    /// A path for people, where no route can distinguish its requests.
    pub(super) fn shown(&self) -> Option<String> {
        self.pattern(&mut |at, _| Some(format!("{{c{at}}}")))
    }

    /// The path as a text that is equal for the paths of the same requests.
    pub(super) fn normal(&self) -> String {
        let path = self.pattern(&mut |_, part| match part {
            Part::Rest(_) => Some("{*}".to_owned()),
            Part::Texts(texts) => Some(texts.join("{}")),
            Part::Capture(_) | Part::Literal(_) => Some("{}".to_owned()),
        });
        path.unwrap_or_default()
    }

    /// Its requests. `of` says whose they are.
    pub(super) fn mask(&self, of: String) -> Mask {
        let last = self.parts.len().saturating_sub(1);
        let parts = self.parts.iter().enumerate().map(|(at, part)| match part {
            Part::Literal(text) => MaskPart::literal(text),
            Part::Texts(texts) => MaskPart::texts(texts),
            Part::Rest(_) if at == last => MaskPart::Rest,
            Part::Capture(_) | Part::Rest(_) => MaskPart::Any,
        });
        Mask::new(parts.collect(), of)
    }

    /// A request of both, where they cross.
    pub(super) fn example(&self, other: &Self) -> String {
        let parts = self.parts.iter().zip(&other.parts).map(|(a, b)| match (a, b) {
            (Part::Literal(text), _) | (_, Part::Literal(text)) => text.clone(),
            (Part::Texts(texts), _) | (_, Part::Texts(texts)) => texts.join("x"),
            _ => "x".to_owned(),
        });
        parts.map(|part| format!("/{part}")).collect()
    }

    /// How they are related, as far as a document can have it.
    pub(super) fn relation(&self, other: &Self) -> Relation {
        let rests = |template: &Self| matches!(template.parts.last(), Some(Part::Rest(_)));
        // a capture of many segments is ours, and the tree tries it last
        if self.parts.len() != other.parts.len() || self.slash != other.slash || rests(self) != rests(other) {
            return Relation::Apart;
        }
        let fits = |texts: &[String], text: &str| {
            let texts: Vec<String> = texts.iter().map(|text| folded_case(text).into_owned()).collect();
            fits(&texts, &folded_case(text), false)
        };
        let (mut first, mut second) = (false, false);
        for (a, b) in self.parts.iter().zip(&other.parts) {
            match (a, b) {
                (Part::Literal(a), Part::Literal(b)) if a == b => {}
                (Part::Literal(_), Part::Literal(_)) => return Relation::Apart,
                (Part::Capture(_) | Part::Rest(_), Part::Capture(_) | Part::Rest(_)) => {}
                (Part::Texts(a), Part::Texts(b)) if a == b => {}
                (Part::Texts(_), Part::Texts(_)) => (first, second) = (true, true),
                (Part::Literal(text), Part::Texts(texts)) if fits(texts, text) => first = true,
                (Part::Texts(texts), Part::Literal(text)) if fits(texts, text) => second = true,
                (Part::Literal(_), Part::Texts(_)) | (Part::Texts(_), Part::Literal(_)) => return Relation::Apart,
                (Part::Literal(_) | Part::Texts(_), _) => first = true,
                (_, Part::Literal(_) | Part::Texts(_)) => second = true,
            }
        }
        match (first, second) {
            (false, false) => Relation::Same,
            (true, false) => Relation::Narrower,
            (false, true) => Relation::Wider,
            (true, true) => Relation::Crossing,
        }
    }
}

impl Part {
    fn read(segment: &str, say: &mut dyn FnMut(String)) -> Self {
        let mut texts = Vec::new();
        let mut names = Vec::new();
        let mut rest = segment;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                say(format!("`{segment}` has `{{` without `}}`"));
                return Self::Capture(String::new());
            };
            texts.push(before);
            names.push(name);
            rest = after;
        }
        texts.push(rest);
        // what is compared with a request is the decoded text
        let texts: Option<Vec<String>> = texts.into_iter().map(plain).collect();
        let Some(texts) = texts else {
            say(format!("`{segment}` has a `%` that encodes nothing"));
            return Self::Capture(String::new());
        };
        match (names.as_slice(), texts.as_slice()) {
            ([], [text]) => {
                let legal = Pattern::parse(&format!("GET /{text}"), "");
                // an escaped brace is no capture, and a route could not say so
                let same =
                    |pattern: &Pattern| matches!(pattern.parts.as_slice(), [Segment::Literal(own)] if own == text);
                match legal {
                    Ok(pattern) if same(&pattern) => Self::Literal(text.clone()),
                    Err(error) => {
                        say(error);
                        Self::Texts(texts)
                    }
                    Ok(_) => {
                        say(format!("`{segment}` is not a segment of any request"));
                        Self::Texts(texts)
                    }
                }
            }
            ([name], [before, after]) if before.is_empty() && after.is_empty() => match name.strip_suffix('*') {
                Some(name) => Self::Rest(name.to_owned()),
                None => Self::Capture((*name).to_owned()),
            },
            _ => {
                say(format!("`{segment}`: a capture is a whole segment"));
                Self::Texts(texts)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_related_as_their_requests_are() {
        use Relation::{Apart, Crossing, Narrower, Same, Wider};
        for (a, b, expected) in [
            ("/a/{x}", "/a/{y}", Same),
            ("/a/b", "/a/{y}", Narrower),
            ("/a/{x}", "/a/b", Wider),
            ("/a/{x}", "/b/{x}", Apart),
            ("/a/{x}", "/a/{x}/", Apart),
            ("/a/{x}", "/a/{x}/{y}", Apart),
            ("/{e}/me", "/books/{id}", Crossing),
            ("/a/{x}.json", "/a/{y}", Narrower),
            ("/a/{x}", "/a/{y}...{z}", Wider),
            ("/a/7.json", "/a/{x}.json", Narrower),
            ("/a/7.xml", "/a/{x}.json", Apart),
            ("/a/{x}.json", "/a/x{y}", Crossing),
            ("/a/{x}?b", "/a/{x}", Same),
            ("/a/{x}#b", "/a/{x}{?c,d}", Same),
            ("/a%20b", "/{x}", Narrower),
            ("/f/{x*}", "/f/{y}", Apart),
        ] {
            let (a, b) = (Template::read(a), Template::read(b));
            assert_eq!(a.relation(&b), expected, "{a:?} {b:?}");
        }
        assert_eq!(Template::read("/{e}/me").example(&Template::read("/books/{id}")), "/books/me");
    }

    #[test]
    fn what_no_route_matches_is_reported() {
        for (path, message) in [
            ("/a/{x}", None),
            ("/", None),
            ("/a/{x*}", None),
            ("/a/{x}.json", Some("a whole segment")),
            ("/a/{x", Some("without `}`")),
            ("/a/%zz", Some("encodes nothing")),
            ("/a%2Fb", Some("is not a segment")),
            ("/a//b", Some("is not a segment")),
            ("/a/%7Bx%7D", Some("is not a segment")),
            ("/a/%7Bx*%7D", Some("is not a segment")),
            ("/a/%7Bx%2A%7d", Some("is not a segment")),
            ("/a/%7Bx:int%7D", Some("is not a segment")),
            ("/a/%7Bx:b%7Cc%7D", Some("is not a segment")),
            ("/a/%7Bx%7D/{x}", Some("is not a segment")),
            ("/a/%7Bx", Some("a whole segment")),
            ("/a/%3Ax", Some("a capture is written")),
            ("/a/../b", Some("no request has")),
            ("/a;b", Some("the decoded text")),
            ("/a?b", Some("a query or a fragment")),
        ] {
            let trouble = Template::read(path).trouble;
            match (&trouble, message) {
                (None, None) => {}
                (Some(trouble), Some(message)) => assert!(trouble.contains(message), "{path}: {trouble}"),
                _ => panic!("{path}: {trouble:?}"),
            }
        }
    }
}
