//! nginx's grammar: words, strings, `;`, `{` and `}`, as nginx itself splits them.
//!
//! A text that nginx would not take is not taken here either: what a lint thinks it has read is worth nothing then.

use std::iter::Peekable;
use std::str::Chars;

use crate::directive::{Broken, DEEPEST, Directive};
use crate::report::At;

/// Blocks whose statements are data, in which any word may come first.
const DATA: &[&str] = &["map", "geo", "types", "split_clients", "match", "charset_map"];

/// How many arguments these take: with another number, a `;` was forgotten.
const ARGUMENTS: &[(&str, usize)] = &[
    ("internal", 0),
    ("auth_request", 1),
    ("auth_request_set", 2),
    ("include", 1),
    ("proxy_connect_timeout", 1),
    ("proxy_http_version", 1),
    ("proxy_pass", 1),
    ("proxy_pass_request_body", 1),
    ("proxy_read_timeout", 1),
    ("proxy_send_timeout", 1),
    ("proxy_set_header", 2),
    ("satisfy", 1),
    ("underscores_in_headers", 1),
];

/// Other names that are no argument where a line begins with them.
const NAMES: &[&str] = &["location", "server", "server_name", "listen", "return", "root", "error_page", "upstream"];

enum Token {
    /// With whether it stood in quotes.
    Word(String, bool),
    End,
    Open,
    Close,
}

/// Reads one file.
pub(super) fn parse(source: usize, text: &str) -> Result<Vec<Directive>, Broken> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut body: Vec<Directive> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let (mut start, mut last) = (1, 1);
    while let Some((token, line)) = reader.token()? {
        let broken = |message: String| Err(Broken { line, message });
        match token {
            Token::Word(word, quoted) => {
                if words.is_empty() {
                    start = line;
                } else if line > last && !quoted && is_name(&word) {
                    return Err(unended(start, &words));
                }
                last = line;
                words.push(word);
            }
            Token::End | Token::Open if words.is_empty() => {
                return broken(format!(
                    "`{}` without a directive",
                    if matches!(token, Token::End) { ';' } else { '{' }
                ));
            }
            Token::End => {
                let inside = open.last().and_then(|(block, _)| block.words.first()).map_or("", String::as_str);
                if !DATA.contains(&inside) {
                    arguments(start, &words)?;
                }
                body.push(Directive { words: std::mem::take(&mut words), at: At { source, line: start }, block: None });
            }
            Token::Open => {
                let block =
                    Directive { words: std::mem::take(&mut words), at: At { source, line: start }, block: None };
                if block.name().ends_with("_by_lua_block") {
                    reader.skip_program(line)?;
                    body.push(block);
                    continue;
                }
                if open.len() == DEEPEST {
                    return broken("too many blocks in one another".to_owned());
                }
                open.push((block, std::mem::take(&mut body)));
            }
            Token::Close if !words.is_empty() => return Err(unended(start, &words)),
            Token::Close => {
                let Some((mut block, around)) = open.pop() else {
                    return broken("a `}` that closes nothing".to_owned());
                };
                block.block = Some(std::mem::replace(&mut body, around));
                body.push(block);
            }
        }
    }
    if !words.is_empty() {
        return Err(unended(start, &words));
    }
    match open.pop() {
        Some((block, _)) => Err(Broken {
            line: block.at.line,
            message: format!("the block `{}` is not closed: a `}}` is missing in it or after it", block.name()),
        }),
        None => Ok(body),
    }
}

fn is_name(word: &str) -> bool {
    NAMES.contains(&word) || ARGUMENTS.iter().any(|(name, _)| *name == word)
}

fn unended(line: usize, words: &[String]) -> Broken {
    let name = words.first().map_or("", String::as_str);
    Broken { line, message: format!("the statement `{name}` does not end with `;`") }
}

fn arguments(line: usize, words: &[String]) -> Result<(), Broken> {
    let Some((name, arguments)) = words.split_first() else { return Ok(()) };
    match ARGUMENTS.iter().find(|(known, _)| known == name) {
        Some((_, count)) if *count != arguments.len() => Err(Broken {
            line,
            message: format!("`{name}` takes {count} arguments and has {}; is a `;` missing?", arguments.len()),
        }),
        _ => Ok(()),
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    /// The next token and its line, or nothing at the end.
    fn token(&mut self) -> Result<Option<(Token, usize)>, Broken> {
        while let Some(c) = self.rest.peek().copied() {
            let line = self.line;
            match c {
                // a mark at the beginning, as some editors write it; nginx skips it too
                ' ' | '\t' | '\r' | '\n' | '\u{feff}' => _ = self.next(),
                '#' => while self.next().is_some_and(|c| c != '\n') {},
                ';' | '{' | '}' => {
                    self.next();
                    let token = match c {
                        ';' => Token::End,
                        '{' => Token::Open,
                        _ => Token::Close,
                    };
                    return Ok(Some((token, line)));
                }
                '"' | '\'' => return Ok(Some((Token::Word(self.string()?, true), line))),
                _ => return Ok(Some((Token::Word(self.word(), false), line))),
            }
        }
        Ok(None)
    }

    /// A word: a brace belongs to it where it is that of `${name}`.
    fn word(&mut self) -> String {
        let (mut word, mut variable) = (String::new(), false);
        while let Some(c) = self.rest.peek().copied() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' => break,
                '{' if !variable => break,
                _ => {}
            }
            self.next();
            variable = c == '$';
            if c == '\\' { self.escaped(&mut word) } else { word.push(c) }
        }
        word
    }

    fn string(&mut self) -> Result<String, Broken> {
        let line = self.line;
        let (quote, mut word) = (self.next(), String::new());
        loop {
            match self.next() {
                None => return Err(Broken { line, message: "a string that does not end".to_owned() }),
                c if c == quote => break,
                Some('\\') => self.escaped(&mut word),
                Some(c) => word.push(c),
            }
        }
        match self.rest.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(word),
            Some(c) => Err(Broken { line: self.line, message: format!("`{c}` directly after a string") }),
        }
    }

    /// What is behind a backslash, which stays in front of anything else: it may be part of a pattern.
    fn escaped(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    /// Skips a block that holds a program in Lua: a brace in a string or in a comment of it closes nothing.
    fn skip_program(&mut self, line: usize) -> Result<(), Broken> {
        let ends = || Broken { line, message: "a program that does not end".to_owned() };
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next().ok_or_else(ends)? {
                '{' => depth += 1,
                '}' => depth -= 1,
                quote @ ('"' | '\'') => loop {
                    match self.next().ok_or_else(ends)? {
                        '\\' => _ = self.next(),
                        // a string in quotes ends with its line, if it is not closed
                        c if c == quote || c == '\n' => break,
                        _ => {}
                    }
                },
                '-' if self.rest.peek() == Some(&'-') => {
                    self.next();
                    let long = self.rest.peek() == Some(&'[') && {
                        self.next();
                        self.skip_long(&ends)?
                    };
                    while !long && self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.next();
                    }
                }
                '[' => _ = self.skip_long(&ends)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Behind a `[`: skips to the end of what is in long brackets (`[[`, `[==[`), if they are such.
    fn skip_long(&mut self, ends: &dyn Fn() -> Broken) -> Result<bool, Broken> {
        let mut level = 0_usize;
        while self.rest.peek() == Some(&'=') {
            self.next();
            level += 1;
        }
        if self.rest.peek() != Some(&'[') {
            return Ok(false);
        }
        // a `]`, as many `=` as at the beginning, and a `]`
        let mut closing: Option<usize> = None;
        loop {
            match (self.next().ok_or_else(ends)?, closing) {
                (']', Some(count)) if count == level => return Ok(true),
                (']', _) => closing = Some(0),
                ('=', Some(count)) => closing = Some(count + 1),
                _ => closing = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directives, written so that their structure shows.
    fn shown(directives: &[Directive]) -> String {
        let one = |d: &Directive| {
            let block = d.block.as_ref().map(|block| format!("{{{}}}", shown(block))).unwrap_or_default();
            format!("{}@{}{block}", d.words.join("|"), d.at.line)
        };
        directives.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn directives_are_split_as_nginx_splits_them() {
        for (text, expected) in [
            ("", ""),
            ("a b  c;", "a|b|c@1"),
            ("# x {\na b#c; # d\n", "a|b#c@2"),
            ("a {\n b; c{}\n}", "a@1{b@2 c@2{}}"),
            ("a \"\" 'b;{ }';", "a||b;{ }@1"),
            ("a ${b}c $d{e;}", "a|${b}c|$d@1{e@1}"),
            (r#"a "b\"c" \.d \\ 'x\ny';"#, "a|b\"c|\\.d|\\|x\ny@1"),
            ("a\n b\n;\nc;", "a|b@1 c@4"),
            ("if ($a = \"b\") { c; }", "if|($a|=|b|)@1{c@1}"),
            ("map $a $b { include c; internal 1; \"\" \"\"; }", "map|$a|$b@1{include|c@1 internal|1@1 |@1}"),
            ("log_format a 'b'\n 'internal';", "log_format|a|b|internal@1"),
            ("a_by_lua_block { if x { y } } b;", "a_by_lua_block@1 b@1"),
            ("a_by_lua_block { x = \"}\" y = '\\'}' } b;", "a_by_lua_block@1 b@1"),
            ("a_by_lua_block { x = [[ }} ]] y = [==[ } ]] ]=] ]==] t[1] = {} } b;", "a_by_lua_block@1 b@1"),
            ("a_by_lua_block { x = 1 -- }\n --[[ } \n } ]] y = a[b[1]] -- [[ {\n} b;", "a_by_lua_block@1 b@4"),
        ] {
            assert_eq!(parse(0, text).map(|tree| shown(&tree)).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_reported_with_its_line() {
        for (text, line, message) in [
            ("a", 1, "`a` does not end"),
            ("\na b\n", 2, "`a` does not end"),
            ("a {\n b\n}", 2, "`b` does not end"),
            ("a {\n internal\n proxy_pass b;\n}", 2, "`internal` does not end"),
            ("a {\n internal proxy_pass b;\n}", 2, "a `;` missing"),
            ("a;\n}", 2, "closes nothing"),
            ("a {\n b {\n }\n", 1, "`a` is not closed"),
            (";", 1, "without a directive"),
            ("\n{ a; }", 2, "without a directive"),
            ("a \"b\nc", 1, "a string"),
            ("a \"b\"c;", 1, "after a string"),
            ("a:\n  b: {c: d}\n", 2, "does not end"),
            ("a:\n  - b\n  - c\n", 1, "`a:` does not end"),
            ("a_by_lua_block {", 1, "a program"),
            (&"a {".repeat(65), 1, "too many"),
        ] {
            let broken = parse(0, text).unwrap_err();
            assert!(broken.line == line && broken.message.contains(message), "{text}: {broken:?}");
        }
    }
}
