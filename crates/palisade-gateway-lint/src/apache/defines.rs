//! `Define`: names that stand for texts in what follows.

use std::collections::{HashMap, HashSet};

use crate::directive::Directive;
use crate::report::Report;

/// How long a text may become, and how many bytes all that is put in may come to.
const LONGEST: usize = 8192;
const MOST_BYTES: usize = 1 << 20;

/// Directives by which a request goes on or is changed: of what is not known there, nothing can be said.
const CONCERNED: &[&str] = &[
    "addhandler",
    "addtype",
    "balancermember",
    "forcetype",
    "proxypass",
    "proxypassmatch",
    "requestheader",
    "setenv",
    "sethandler",
    "setinputfilter",
];

/// The directives with each `${NAME}` filled in, as Apache does while it reads.
pub(super) fn filled(tree: Vec<Directive>, report: &mut Report<'_>) -> Vec<Directive> {
    let interpolates = interpolates(&tree);
    let mut reader = Reader { known: HashMap::new(), made: 0, interpolates, told: HashSet::new(), report };
    reader.body(tree)
}

/// Whether variables may be filled in for each request, too.
fn interpolates(body: &[Directive]) -> bool {
    body.iter().any(|line| {
        (line.name() == "proxypassinterpolateenv" && line.argument(1).eq_ignore_ascii_case("on"))
            || interpolates(line.body())
    })
}

struct Reader<'r, 'f> {
    known: HashMap<String, String>,
    /// Bytes that were put in so far.
    made: usize,
    interpolates: bool,
    told: HashSet<String>,
    report: &'r mut Report<'f>,
}

// === impl Reader ===

impl Reader<'_, '_> {
    fn body(&mut self, body: Vec<Directive>) -> Vec<Directive> {
        body.into_iter().map(|line| self.line(line)).collect()
    }

    fn line(&mut self, mut line: Directive) -> Directive {
        if line.words.iter().any(|word| word.contains("${")) {
            line.words = self.words(&line);
        }
        match line.name() {
            "define" if line.words.len() > 2 => {
                self.known.insert(line.argument(1).to_owned(), line.argument(2).to_owned());
            }
            "undefine" => _ = self.known.remove(line.argument(1)),
            _ => {}
        }
        line.block = line.block.map(|block| self.body(block));
        line
    }

    fn words(&mut self, line: &Directive) -> Vec<String> {
        let mut words = Vec::with_capacity(line.words.len());
        for word in &line.words {
            let text = self.text(word, line);
            // what is put in is a part of the line, which is split behind that
            let all = word.starts_with("${") && word.ends_with('}') && text.contains(char::is_whitespace);
            if all {
                words.extend(text.split_whitespace().map(|part| part.trim_matches('"').to_owned()));
            } else {
                words.push(text);
            }
        }
        words
    }

    fn text(&mut self, word: &str, line: &Directive) -> String {
        let (mut text, mut rest) = (String::new(), word);
        while let Some((before, (name, after))) =
            rest.split_once("${").and_then(|(before, behind)| Some((before, behind.split_once('}')?)))
        {
            text.push_str(before);
            match self.known.get(name) {
                Some(value) if text.len() + value.len() <= LONGEST && self.made + value.len() <= MOST_BYTES => {
                    self.made += value.len();
                    text.push_str(value);
                }
                found => {
                    let too_long = found.is_some();
                    self.unknown(name, too_long, line);
                    text.extend(["${", name, "}"]);
                }
            }
            rest = after;
        }
        text + rest
    }

    fn unknown(&mut self, name: &str, too_long: bool, line: &Directive) {
        // a table of `RewriteMap` has a `:`, and what is filled in for each request is looked at elsewhere
        let later = name.contains(':') || (self.interpolates && line.name() == "proxypass");
        if (too_long || (CONCERNED.contains(&line.name()) && !later)) && self.told.insert(name.to_owned()) {
            self.report.not_checked(
                line.at,
                &format!("what `${{{name}}}` stands for is not known here"),
                "write it here, or `Define` it in front of this",
            );
        }
    }
}
