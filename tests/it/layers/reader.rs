//! Which paths a file of Rust names, read from its text: comments and strings name nothing, groups are spelled out.

/// A piece of Rust text, with its line. Comments, strings, characters and lifetimes are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `::`
    Sep,
    Mark(char),
}

fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < bytes.len() {
        let start = i;
        match bytes[i] {
            b'/' if at(i + 1) == b'/' => {
                while i < bytes.len() && bytes[i] != b'\n' {
                    i += 1;
                }
            }
            b'/' if at(i + 1) == b'*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        (b'/', b'*') => (depth, i) = (depth + 1, i + 2),
                        (b'*', b'/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= bytes.len() {
                        break;
                    }
                }
            }
            b'"' => i = string_end(bytes, i),
            b'\'' => {
                // a character, or else a lifetime, whose name is skipped with it
                let close = if at(i + 1) == b'\\' {
                    (i + 3..bytes.len()).find(|j| bytes[*j] == b'\'')
                } else {
                    let width = text[i + 1..].chars().next().map_or(1, char::len_utf8);
                    (at(i + 1 + width) == b'\'').then_some(i + 1 + width)
                };
                i = close.map_or_else(|| (i + 1..).find(|j| !word(at(*j))).unwrap_or(i + 1), |end| end + 1);
            }
            b if word(b) => {
                while word(at(i)) {
                    i += 1;
                }
                let name = &text[start..i];
                let hashes = (i..).take_while(|j| at(*j) == b'#').count();
                if name.ends_with('r') && name.len() <= 2 && at(i + hashes) == b'"' {
                    let end = format!("\"{}", "#".repeat(hashes));
                    i = text[i + hashes + 1..].find(&end).map_or(bytes.len(), |n| i + hashes + 1 + n + end.len());
                } else if matches!(name, "b" | "c") && at(i) == b'"' {
                    i = string_end(bytes, i);
                } else {
                    out.push((line, Token::Word(name)));
                }
            }
            b':' if at(i + 1) == b':' => {
                out.push((line, Token::Sep));
                i += 2;
            }
            b => {
                if !b.is_ascii_whitespace() {
                    out.push((line, Token::Mark(char::from(b))));
                }
                i += 1;
            }
        }
        line += text[start..i.min(text.len())].matches('\n').count();
    }
    out
}

fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut i = open + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// A path that the text names, its groups spelled out: `use a::{b, c::D}` names `a::b` and `a::c::D`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
    /// Within `#[cfg(test)] mod … { … }`.
    pub(super) test: bool,
}

/// All paths of a file that stands at `module`, such as `["transport", "guard"]`, with `super` and `self` resolved.
pub(super) fn names(text: &str, module: &[String]) -> Vec<Named> {
    let tokens = tokens(text);
    let mut out = Vec::new();
    // inline modules: name, how deep their brace is, whether they are tests
    let (mut inline, mut depth, mut i): (Vec<(String, usize, bool)>, usize, usize) = (Vec::new(), 0, 0);
    let cfg_test = ['#', '[', '(', ')', ']'].map(Token::Mark);
    let cfg_test =
        [cfg_test[0], cfg_test[1], Token::Word("cfg"), cfg_test[2], Token::Word("test"), cfg_test[3], cfg_test[4]];
    let mut test_next = None;
    while i < tokens.len() {
        if tokens[i..].iter().map(|(_, token)| *token).take(cfg_test.len()).eq(cfg_test) {
            i += cfg_test.len();
            test_next = Some(i);
            continue;
        }
        let (line, token) = tokens[i];
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                if inline.last().is_some_and(|(_, at, _)| *at == depth) {
                    inline.pop();
                }
            }
            Token::Word("mod") => {
                if let (Some((_, Token::Word(name))), Some((_, Token::Mark('{')))) =
                    (tokens.get(i + 1), tokens.get(i + 2))
                {
                    inline.push(((*name).to_owned(), depth, test_next == Some(i)));
                }
            }
            Token::Word(
                "use" | "pub" | "as" | "in" | "return" | "let" | "mut" | "dyn" | "impl" | "else" | "match" | "if",
            ) => {}
            Token::Word(_) | Token::Sep if i == 0 || !matches!(tokens[i - 1].1, Token::Sep | Token::Mark('.')) => {
                let mut here: Vec<String> = module.to_vec();
                here.extend(inline.iter().map(|(name, ..)| name.clone()));
                let test = inline.iter().any(|(_, _, test)| *test);
                let mut found = Vec::new();
                let end = tree(&tokens, i + usize::from(token == Token::Sep), &mut Vec::new(), &mut found);
                out.extend(found.into_iter().map(|(line, path)| Named { line, path: resolve(path, &here), test }));
                if end > i + 1 {
                    i = end;
                    continue;
                }
            }
            _ => {}
        }
        let _ = line;
        i += 1;
    }
    out
}

/// Reads the path, or the tree of paths, at `i`; returns where it ends.
fn tree(
    tokens: &[(usize, Token<'_>)],
    mut i: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let own = prefix.len();
    let mut last = None;
    loop {
        match tokens.get(i) {
            Some((line, Token::Word(word))) => {
                prefix.push((*word).to_owned());
                last = Some(*line);
                i += 1;
            }
            Some((line, Token::Mark('*'))) if own < prefix.len() || own > 0 => {
                prefix.push("*".to_owned());
                last = Some(*line);
                i += 1;
            }
            Some((_, Token::Mark('{'))) if !prefix.is_empty() => {
                i += 1;
                while !matches!(tokens.get(i), None | Some((_, Token::Mark('}')))) {
                    let next = tree(tokens, i, prefix, found);
                    // `as name`, commas
                    i = next.max(i + 1);
                    while matches!(tokens.get(i), Some((_, Token::Mark(','))))
                        || (matches!(tokens.get(i), Some((_, Token::Word("as")))))
                        || (matches!(tokens.get(i.wrapping_sub(1)), Some((_, Token::Word("as")))))
                    {
                        i += 1;
                    }
                }
                prefix.truncate(own);
                return i + 1;
            }
            _ => break,
        }
        if matches!(tokens.get(i), Some((_, Token::Sep))) {
            i += 1;
        } else {
            break;
        }
    }
    if let Some(line) = last {
        found.push((line, prefix.clone()));
    }
    prefix.truncate(own);
    i
}

fn resolve(path: Vec<String>, here: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let own = usize::from(path.first().is_some_and(|part| part == "self"));
    if ups == 0 && own == 0 {
        return path;
    }
    let mut whole = vec!["crate".to_owned()];
    whole.extend(here.iter().take(here.len().saturating_sub(ups)).cloned());
    whole.extend(path.into_iter().skip(ups + own));
    whole
}

/// A module by its path, as it is written.
pub(super) fn module(text: &str) -> Vec<String> {
    text.split("::").map(str::to_owned).collect()
}

#[track_caller]
fn reads(text: &str, at: &str, expected: &[(usize, &str)]) {
    let found: Vec<(usize, String)> = names(text, &module(at))
        .into_iter()
        .filter(|named| named.path.len() > 1)
        .map(|named| (named.line, named.path.join("::")))
        .collect();
    let expected: Vec<(usize, String)> = expected.iter().map(|(line, path)| (*line, (*path).to_owned())).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn reads_plain_and_grouped_imports() {
    reads("use crate::state::State;\n", "a", &[(1, "crate::state::State")]);
    reads(
        "use crate::{\n  state::{State, self as st},\n  decide::*,\n  domain,\n};\nuse std::fmt;",
        "a",
        &[
            (2, "crate::state::State"),
            (2, "crate::state::self"),
            (3, "crate::decide::*"),
            (4, "crate::domain"),
            (6, "std::fmt"),
        ],
    );
    reads(
        "pub(crate) use ::hyper::{self, body::{Body as B, Incoming}};",
        "a",
        &[(1, "hyper::self"), (1, "hyper::body::Body"), (1, "hyper::body::Incoming")],
    );
}

#[test]
fn reads_paths_in_code() {
    reads(
        "fn f(x: &crate::state::State) -> hyper::Result<()> {\n  let y = crate::decide::Pdp::new::<u8>(x.y::<T>());\n  g!($crate::app::go);\n}",
        "a",
        &[(1, "crate::state::State"), (1, "hyper::Result"), (2, "crate::decide::Pdp::new"), (3, "crate::app::go")],
    );
}

#[test]
fn resolves_super_and_self() {
    reads(
        "use super::x::Y;\nuse super::super::state::Z;\nuse self::w;",
        "engine::guard",
        &[(1, "crate::engine::x::Y"), (2, "crate::state::Z"), (3, "crate::engine::guard::w")],
    );
    // an inline module is one level more, and no longer than its braces
    reads(
        "mod tests { use super::*; use super::super::x; fn f() { if a {} } }\nuse super::y;",
        "engine::guard",
        &[(1, "crate::engine::guard::*"), (1, "crate::engine::x"), (2, "crate::engine::y")],
    );
}

#[test]
fn skips_what_is_no_code() {
    reads(
        "//! [`crate::app`]\n/* crate::app /* crate::b */ crate::c */\nconst A: &str = \"crate::app \\\" crate::b\";\nconst B: &str = r#\"crate::app \" \"#;\nconst C: &[u8] = b\"crate::app\"; fn f<'a>(x: &'a str) { let c = ['\"', '\\'', '\\u{41}', 'é']; }\nuse crate::last;",
        "a",
        &[(6, "crate::last")],
    );
}
