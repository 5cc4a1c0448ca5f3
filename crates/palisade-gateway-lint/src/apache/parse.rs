//! Apache's grammar: a directive a line, and containers in pointed brackets.

use crate::directive::{Broken, DEEPEST, Directive};
use crate::report::At;

/// Reads one file. Names of directives and containers are in lower case.
pub(super) fn parse(source: usize, text: &str) -> Result<Vec<Directive>, Broken> {
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut body: Vec<Directive> = Vec::new();
    for (line, text) in joined(text) {
        let text = text.trim();
        let broken = |message: String| Err(Broken { line, message });
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(name) = text.strip_prefix("</") {
            let name = name.trim_end_matches('>').trim().to_ascii_lowercase();
            let Some((mut block, around)) = open.pop() else {
                return broken(format!("`</{name}>` closes nothing"));
            };
            if block.name() != name {
                return broken(format!("`</{name}>` closes `<{}>` of line {}", block.name(), block.at.line));
            }
            block.block = Some(std::mem::replace(&mut body, around));
            body.push(block);
            continue;
        }
        let container = text.strip_prefix('<').map(|inner| inner.trim_end().trim_end_matches('>'));
        let mut words = match words(container.unwrap_or(text)) {
            Some(words) => words,
            None => return broken("a string that does not end".to_owned()),
        };
        if let Some(name) = words.first_mut() {
            name.make_ascii_lowercase();
        }
        let directive = Directive { words, at: At { source, line }, block: None };
        if container.is_none() {
            body.push(directive);
        } else if open.len() == DEEPEST {
            return broken("too many containers in one another".to_owned());
        } else {
            open.push((directive, std::mem::take(&mut body)));
        }
    }
    match open.pop() {
        Some((block, _)) => Err(Broken { line: block.at.line, message: format!("`<{}>` is not closed", block.name()) }),
        None => Ok(body),
    }
}

/// Lines with their numbers; one that ends with `\` goes on.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        let goes_on = line.strip_suffix('\\');
        let part = goes_on.unwrap_or(line);
        match lines.last_mut().filter(|_| open) {
            Some((_, before)) => before.push_str(part),
            None => lines.push((at + 1, part.to_owned())),
        }
        open = goes_on.is_some();
    }
    lines
}

/// The words of a line; nothing if a string does not end.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), line.trim());
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let (mut word, mut escaped, mut end) = (String::new(), false, None);
            for (at, c) in rest.char_indices().skip(1) {
                match c {
                    '\\' if !escaped => escaped = true,
                    c if c == first && !escaped => {
                        end = Some(at + 1);
                        break;
                    }
                    c => {
                        if escaped && c != first && c != '\\' {
                            word.push('\\');
                        }
                        escaped = false;
                        word.push(c);
                    }
                }
            }
            words.push(word);
            rest = rest[end?..].trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    Some(words)
}
