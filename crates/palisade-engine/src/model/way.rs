//! The way from a JSON value to something within it.

use crate::model::Text;
use crate::model::request::pointer as member;

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// To a member of an object.
    Member(String),
    /// To an element of an array.
    Element(usize),
}

/// The JSON pointer to what `way` leads to.
pub(crate) fn pointer(way: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Member(name) => member(name),
        Step::Element(i) => format!("/{i}"),
    };
    way.iter().map(step).collect()
}

/// The byte at which `text` has what `way` leads to, or what is nearest above it; nothing where it is no JSON.
pub(crate) fn offset(text: &str, way: &[Step]) -> Option<usize> {
    let whole = Text::check(text.as_bytes()).ok()?;
    let (mut here, mut elements) = (whole, None);
    for step in way {
        let next = match step {
            Step::Member(name) => here.members().ok().flatten().and_then(|members| {
                let member = members.into_iter().find(|member| member.key == name.as_str())?;
                elements = member.elements;
                Some(member.text)
            }),
            Step::Element(i) => elements.take().and_then(|elements: Vec<Text<'_>>| elements.get(*i).copied()),
        };
        match next {
            Some(next) => here = next,
            None => break,
        }
    }
    whole.place_of(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_followed_as_far_as_there_is_one() {
        let text = r#"{"a": {"b/c": [1, {"d": 2}]}}"#;
        let (a, b) = (Step::Member("a".to_owned()), Step::Member("b/c".to_owned()));
        let cases: &[(Vec<Step>, &str, &str)] = &[
            (vec![], "", text),
            (vec![a.clone()], "/a", r#"{"b/c""#),
            (vec![a.clone(), b.clone(), Step::Element(1)], "/a/b~1c/1", r#"{"d""#),
            (vec![a.clone(), b, Step::Element(7)], "/a/b~1c/7", "[1,"),
            (vec![a, Step::Member("x".to_owned())], "/a/x", r#"{"b/c""#),
        ];
        for (way, shown, begins) in cases {
            assert_eq!(pointer(way), *shown);
            let at = offset(text, way).unwrap();
            assert!(text[at..].starts_with(begins), "{shown}: {}", &text[at..]);
        }
        assert_eq!(offset("{", &[]), None);
    }
}
