//! The Caddyfile's grammar: words, strings, heredocs, and blocks that a line opens with `{`.

use crate::directive::{Broken, DEEPEST, Directive};
use crate::report::At;

/// Reads one file.
pub(super) fn parse(source: usize, text: &str) -> Result<Vec<Directive>, Broken> {
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut body: Vec<Directive> = Vec::new();
    for (line, mut words) in lines(text)? {
        let broken = |message: &str| Err(Broken { line, message: message.to_owned() });
        let at = At { source, line };
        if words.len() == 1 && words[0] == (Word { text: "}".to_owned(), quoted: false }) {
            let Some((mut block, around)) = open.pop() else { return broken("a `}` that closes nothing") };
            block.block = Some(std::mem::replace(&mut body, around));
            body.push(block);
            continue;
        }
        let opens = words.last().is_some_and(|word| word.text == "{" && !word.quoted);
        // `{}` on one line, and `{ ... }`, which Caddy does not take either
        let empty = words.last().is_some_and(|word| word.text == "{}" && !word.quoted);
        if opens || empty {
            words.pop();
        }
        if words.iter().any(|word| !word.quoted && matches!(word.text.as_str(), "{" | "}")) {
            return broken(
                "a brace in the middle of a line: a block is opened at the end of a line and closed in one of its own",
            );
        }
        let words = words.into_iter().map(|word| word.text).collect();
        let directive = Directive { words, at, block: empty.then(Vec::new) };
        if opens {
            if open.len() == DEEPEST {
                return broken("too many blocks in one another");
            }
            open.push((directive, std::mem::take(&mut body)));
        } else {
            body.push(directive);
        }
    }
    match open.pop() {
        Some((block, _)) => {
            Err(Broken { line: block.at.line, message: format!("the block `{}` is not closed", block.words.join(" ")) })
        }
        None => Ok(body),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

/// The words of each line. A line may go on behind a `\` or a comma at its end, and within a string.
fn lines(text: &str) -> Result<Vec<(usize, Vec<Word>)>, Broken> {
    let mut lines: Vec<(usize, Vec<Word>)> = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let (mut line, mut start) = (1_usize, 1_usize);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '\n' => {
                // addresses of a site may stand on several lines
                let goes_on = words.last().is_some_and(|word| !word.quoted && word.text.ends_with(','));
                if !words.is_empty() && !goes_on {
                    lines.push((start, std::mem::take(&mut words)));
                }
                line += 1;
                rest = after;
            }
            c if c.is_whitespace() => rest = after,
            '\\' if after.starts_with('\n') || after.starts_with("\r\n") => {
                rest = &after[after.find('\n').unwrap_or(0) + 1..];
                line += 1;
            }
            '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            _ => {
                if words.is_empty() {
                    start = line;
                }
                let (word, used) = word(rest, line)?;
                line += rest[..used].matches('\n').count();
                words.push(word);
                rest = &rest[used..];
            }
        }
    }
    if !words.is_empty() {
        lines.push((start, words));
    }
    Ok(lines)
}

/// The word at the beginning of `rest`, and how many bytes it takes.
fn word(rest: &str, line: usize) -> Result<(Word, usize), Broken> {
    if let Some(inside) = rest.strip_prefix('`') {
        let end = inside.find('`').ok_or_else(|| unended(line))?;
        return Ok((Word { text: inside[..end].to_owned(), quoted: true }, end + 2));
    }
    if let Some(inside) = rest.strip_prefix('"') {
        let (mut text, mut escaped) = (String::new(), false);
        for (at, c) in inside.char_indices() {
            match c {
                '"' if !escaped => return Ok((Word { text, quoted: true }, at + 2)),
                '\\' if !escaped => escaped = true,
                c => {
                    if escaped && c != '"' {
                        text.push('\\');
                    }
                    escaped = false;
                    text.push(c);
                }
            }
        }
        return Err(unended(line));
    }
    if let Some(heredoc) = rest.strip_prefix("<<") {
        let head = heredoc.find('\n').unwrap_or(heredoc.len());
        let mark = heredoc[..head].trim_end();
        if !mark.is_empty() && mark.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            let mut at = 2 + head + 1;
            for body in heredoc.get(head + 1..).unwrap_or_default().split_inclusive('\n') {
                let indent = body.len() - body.trim_start().len();
                if let Some(behind) = body.trim_start().strip_prefix(mark)
                    && behind.chars().next().is_none_or(char::is_whitespace)
                {
                    let text = rest.get(2 + head + 1..at).unwrap_or_default().to_owned();
                    return Ok((Word { text, quoted: true }, at + indent + mark.len()));
                }
                at += body.len();
            }
            return Err(unended(line));
        }
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    Ok((Word { text: rest[..end].replace("\\\"", "\""), quoted: false }, end))
}

fn unended(line: usize) -> Broken {
    Broken { line, message: "a string that does not end".to_owned() }
}
