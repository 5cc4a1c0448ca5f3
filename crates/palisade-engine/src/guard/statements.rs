//! Takes a text of policies apart, so that Cedar parses one policy at a time.
//!
//! Cedar's parser takes up to 900 bytes for each word and sign while it works, and keeps most of them as trees. So each
//! policy has a bound of its own, and no more than one tree is held at a time. The cut is exact: a policy ends
//! with a `;` outside strings and comments, and nowhere else has Cedar's grammar one. Each part is parsed by Cedar
//! as one policy, so a cut at a wrong place could only be an error, never another policy.

use super::text::{Kind, Tokens};
use crate::model::Diagnostic;
use crate::settings::Limits;

/// One policy or template in a text, without what stands before its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Where its first word begins.
    pub start: usize,
    /// Where it ends, its `;` included; the end of the text for a last one that has none.
    pub end: usize,
    /// Words and signs in it.
    pub tokens: usize,
}

/// The policies of a text, in order.
///
/// # Errors
/// A diagnostic at the first one that is too large.
pub(crate) fn statements(origin: &str, text: &str, limits: &Limits) -> Result<Vec<Statement>, Diagnostic> {
    let mut found = Vec::new();
    let mut open: Option<Statement> = None;
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        let statement = open.get_or_insert(Statement { start: token.at, end: text.len(), tokens: 0 });
        statement.tokens += 1;
        check_tokens(statement.tokens, limits).map_err(|flaw| flaw.origin(origin).at(text, statement.start))?;
        if token.kind == Kind::Semicolon {
            statement.end = tokens.at();
            found.extend(open.take());
        }
    }
    found.extend(open);
    Ok(found)
}

/// The declarations of a schema in Cedar's form, each without the namespace around it. A `;` ends a declaration and
/// stands nowhere else, so one that is broken does not hide the next.
#[must_use]
pub(crate) fn declarations(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    // whether the statement begins with `namespace`, once its first word that names no annotation is known
    let mut is_namespace = None;
    let mut annotates = false;
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        if start.is_none() && token.kind == Kind::Close(b'}') {
            continue;
        }
        let begin = *start.get_or_insert(token.at);
        match token.kind {
            Kind::Word { text, .. } if !annotates && is_namespace.is_none() => {
                is_namespace = Some(text == "namespace");
            }
            Kind::Open(b'{') if is_namespace == Some(true) => (start, is_namespace) = (None, None),
            Kind::Semicolon => {
                found.push(begin..tokens.at());
                (start, is_namespace) = (None, None);
            }
            _ => {}
        }
        annotates = token.kind == Kind::Other && text.get(token.at..).is_some_and(|rest| rest.starts_with('@'));
    }
    found.extend(start.map(|start| start..text.len()));
    found
}

/// A word of a text, or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word<'t> {
    /// A word, or what a string holds as it is written.
    Name(&'t str),
    /// The first character of a sign.
    Sign(char),
}

/// The words and signs of a text, comments aside.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let (mut found, mut tokens) = (Vec::new(), Tokens::new(text));
    while let Some(token) = tokens.next() {
        let written = text.get(token.at..tokens.at()).unwrap_or_default();
        match (token.kind, written.chars().next()) {
            (Kind::Word { text, .. }, _) => found.push(Word::Name(text)),
            (Kind::Literal, Some('"')) => found.push(Word::Name(written.trim_matches('"'))),
            (_, Some(sign)) => found.push(Word::Sign(sign)),
            (_, None) => {}
        }
    }
    found
}

/// How many words and signs a policy in the JSON form has. Strings are written alike in both forms.
///
/// # Errors
/// A diagnostic if there are too many.
pub(crate) fn check_json(origin: &str, text: &str, limits: &Limits) -> Result<usize, Diagnostic> {
    let tokens = Tokens::new(text).count();
    check_tokens(tokens, limits).map_err(|flaw| flaw.origin(origin)).map(|()| tokens)
}

fn check_tokens(tokens: usize, limits: &Limits) -> Result<(), Diagnostic> {
    if tokens <= limits.max_policy_tokens {
        return Ok(());
    }
    let message = format!("a policy of more than {} words and signs", limits.max_policy_tokens);
    let help = "split it, or keep long lists as data: in an attribute, or as members of a group; else raise \
                `limits.max_policy_tokens`";
    Err(Diagnostic::error("", message).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        let found = statements("x", text, &Limits::default()).unwrap();
        found.into_iter().map(|statement| &text[statement.start..statement.end]).collect()
    }

    #[test]
    fn a_policy_ends_with_its_semicolon_alone() {
        for (text, expected) in [
            ("", vec![]),
            (" // nothing; at all\n\u{a0}\u{b}", vec![]),
            ("a;b ;", vec!["a;", "b ;"]),
            (" a;\u{2003}b", vec!["a;", "b"]),
            (r#"a "x;\";" ; b"#, vec![r#"a "x;\";" ;"#, "b"]),
            ("a // ; \"\n; // b;\r c;", vec!["a // ; \"\n;", "c;"]),
            ("@id(\"//;\")\n// why;\npermit;", vec!["@id(\"//;\")\n// why;\npermit;"]),
            ("a /;/ b;", vec!["a /;", "/ b;"]),
            ("when { a; b };", vec!["when { a;", "b };"]),
            (";;", vec![";", ";"]),
        ] {
            assert_eq!(cut(text), expected, "{text:?}");
        }
    }

    #[test]
    fn each_policy_is_bounded_and_not_the_text() {
        let limits = Limits { max_policy_tokens: 10, ..Limits::default() };
        let seven = "permit (principal);";
        assert!(statements("x", &seven.repeat(100), &limits).is_ok());
        let flaw = statements("x", &format!("{seven}\n  permit (a, b, c, d, e);"), &limits).unwrap_err();
        assert_eq!((flaw.origin.as_str(), flaw.line, flaw.column), ("x", Some(2), Some(3)));
        assert!(flaw.help.unwrap().contains("limits.max_policy_tokens"));
        assert!(check_json("x", r#"{"a":["b, c, d"]}"#, &limits).is_ok());
        assert!(check_json("x", r#"{"a":[1, 2, 3, 4]}"#, &limits).is_err());
    }
}
