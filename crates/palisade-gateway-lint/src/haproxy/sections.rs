//! The sections of a configuration of HAProxy, their lines, and what `defaults` adds.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::haproxy::condition::{Acls, Condition};
use crate::report::{At, Report};

/// What begins a section.
const KINDS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "listen",
    "backend",
    "peers",
    "mailers",
    "resolvers",
    "userlist",
    "program",
    "ring",
    "log-forward",
    "http-errors",
    "fcgi-app",
    "cache",
    "crt-store",
    "traces",
    "acme",
    "log-profile",
    "spoe-agent",
    "spoe-message",
    "spoe-group",
];

/// How many lines are looked at.
const MOST: usize = 20_000;

/// A line of a section.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    pub(super) at: At,
}

/// A section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) at: At,
    pub(super) lines: Vec<Line>,
    /// The number of the `defaults` that count here.
    defaults: Option<usize>,
}

/// All sections.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) sections: Vec<Section>,
}

/// A rule of `http-request` or `tcp-request`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule<'c> {
    pub(super) line: &'c Line,
    /// Where among the words of the line the action stands.
    start: usize,
}

// === impl Config ===

impl Config {
    pub(super) fn read(&mut self, source: usize, text: &str, report: &mut Report<'_>) {
        let before = self.sections.len();
        let mut conditional = false;
        for (count, (number, text)) in joined(text).into_iter().enumerate() {
            let at = At { source, line: number };
            if count > MOST {
                report.not_checked(at, "what follows is not looked at: there are too many lines", "name the parts");
                break;
            }
            let words = match words(&text) {
                Ok(words) => words,
                Err(what) => {
                    report.broken(at, &format!("not a configuration of HAProxy: {what}"));
                    continue;
                }
            };
            let Some(first) = words.first() else { continue };
            if first.starts_with('.') {
                if first == ".if" && !conditional {
                    conditional = true;
                    report.not_checked(
                        at,
                        "what stands in `.if` is looked at as if all of it counted",
                        "look at each of the configurations that it comes to",
                    );
                }
                continue;
            }
            if KINDS.contains(&first.as_str()) {
                self.begin(&words, at);
            } else if let Some(section) = self.sections.get_mut(before..).and_then(<[Section]>::last_mut) {
                section.lines.push(Line { words, at });
            } else {
                report.broken(at, "not a configuration of HAProxy: this stands in no section");
                return;
            }
        }
        if self.sections.len() == before {
            report.broken(At { source, line: 1 }, "not a configuration of HAProxy: there is no section in it");
        }
    }

    fn begin(&mut self, words: &[String], at: At) {
        let word = |at: usize| words.get(at).cloned().unwrap_or_default();
        let from = words.iter().position(|word| word == "from").and_then(|at| words.get(at + 1));
        let is_defaults = |section: &Section| section.kind == "defaults";
        let defaults = match from {
            Some(name) => self.sections.iter().rposition(|section| is_defaults(section) && section.name == *name),
            // `defaults` begin without those before them
            None if words.first().is_some_and(|kind| kind == "defaults") => None,
            None => self.sections.iter().rposition(is_defaults),
        };
        self.sections.push(Section { kind: word(0), name: word(1), at, lines: Vec::new(), defaults });
    }

    /// A section and the `defaults` that count there, the nearest first.
    pub(super) fn chain<'c>(&'c self, section: &'c Section) -> Vec<&'c Section> {
        let mut chain = vec![section];
        let mut next = section.defaults;
        while let Some(defaults) = next.and_then(|at| self.sections.get(at)).filter(|_| chain.len() < 16) {
            chain.push(defaults);
            next = defaults.defaults;
        }
        chain
    }

    /// The nearest line that begins with these words; `no option` counts as a line of its `option`.
    pub(super) fn nearest<'c>(&'c self, section: &'c Section, start: &[&str]) -> Option<&'c Line> {
        self.chain(section).into_iter().find_map(|section| section.lines.iter().rev().find(|line| line.begins(start)))
    }

    /// Whether an option is on.
    pub(super) fn option<'c>(&'c self, section: &'c Section, name: &str) -> Option<&'c Line> {
        self.nearest(section, &["option", name]).filter(|line| line.words.first().is_some_and(|word| word == "option"))
    }

    /// The rules of a section as they run: those of `defaults` first.
    pub(super) fn rules<'c>(&'c self, section: &'c Section) -> Vec<Rule<'c>> {
        self.rules_of(section, "http-request", 1)
    }

    /// The rules for answers.
    pub(super) fn answer_rules<'c>(&'c self, section: &'c Section) -> Vec<Rule<'c>> {
        self.rules_of(section, "http-response", 1)
    }

    /// The rules that run before HTTP is read, or while it is; those that only say how long to wait are no rules.
    pub(super) fn early_rules<'c>(&'c self, section: &'c Section) -> Vec<Rule<'c>> {
        let mut rules = self.rules_of(section, "tcp-request", 2);
        rules.retain(|rule| !rule.action().is_empty() && rule.line.words.get(1).is_none_or(|at| at != "inspect-delay"));
        rules
    }

    fn rules_of<'c>(&'c self, section: &'c Section, keyword: &str, start: usize) -> Vec<Rule<'c>> {
        if section.kind == "defaults" {
            return Vec::new();
        }
        let lines = self.chain(section).into_iter().rev().flat_map(|section| &section.lines);
        lines
            .filter(|line| line.words.first().is_some_and(|word| word == keyword))
            .map(|line| Rule { line, start })
            .collect()
    }

    /// The lists of tests that have names in a section.
    pub(super) fn acls(&self, section: &Section) -> Acls {
        let lines = self.chain(section).into_iter().flat_map(|section| &section.lines);
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines.filter(|line| line.words.first().is_some_and(|word| word == "acl")) {
            let name = line.words.get(1).cloned().unwrap_or_default();
            lists.entry(name).or_default().push(line.words.get(2..).unwrap_or_default().join(" "));
        }
        lists.into_iter().map(|(name, tests)| (name, Rc::new(tests))).collect()
    }

    pub(super) fn is_http(&self, section: &Section) -> bool {
        self.nearest(section, &["mode"]).is_some_and(|mode| mode.words.get(1).is_some_and(|mode| mode == "http"))
    }

    /// The backends that a section passes requests on to; nothing where one is chosen by a name that is made up.
    pub(super) fn targets<'c>(&'c self, section: &'c Section) -> Vec<Option<&'c Section>> {
        let own = section.lines.iter().filter(|line| line.words.first().is_some_and(|w| w == "use_backend"));
        let default = self.nearest(section, &["default_backend"]);
        let names = own.chain(default).filter_map(|line| line.words.get(1));
        names
            .map(|name| {
                let named =
                    |found: &&Section| matches!(found.kind.as_str(), "backend" | "listen") && found.name == *name;
                self.sections.iter().find(named)
            })
            .collect()
    }
}

// === impl Line ===

impl Line {
    pub(super) fn begins(&self, start: &[&str]) -> bool {
        let skip = usize::from(self.words.first().is_some_and(|word| word == "no"));
        let words = &self.words[skip..];
        words.len() >= start.len() && words.iter().zip(start).all(|(word, start)| word == start)
    }
}

// === impl Section ===

impl Section {
    /// The addresses of the servers in it.
    pub(super) fn servers(&self) -> Vec<&str> {
        let servers = self.lines.iter().filter(|line| {
            line.words.first().is_some_and(|word| matches!(word.as_str(), "server" | "server-template" | "dispatch"))
        });
        servers.map(|line| line.words.get(2).map_or("", String::as_str)).collect()
    }
}

// === impl Rule ===

impl<'c> Rule<'c> {
    pub(super) fn action(self) -> &'c str {
        self.line.words.get(self.start).map_or("", String::as_str)
    }

    /// The name of the action in Lua.
    pub(super) fn lua(self) -> Option<&'c str> {
        self.action().strip_prefix("lua.")
    }

    /// When it runs.
    pub(super) fn condition(self, acls: &Acls) -> Condition {
        Condition::read(&self.line.words, acls)
    }

    /// Arguments up to the condition.
    pub(super) fn arguments(self) -> &'c [String] {
        let words = self.line.words.get(self.start + 1..).unwrap_or_default();
        let end = words.iter().position(|word| matches!(word.as_str(), "if" | "unless")).unwrap_or(words.len());
        &words[..end]
    }
}

/// Lines with their numbers; one that ends with `\` goes on.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        let goes_on = line.strip_suffix('\\').filter(|line| !line.ends_with('\\'));
        let part = goes_on.unwrap_or(line);
        match lines.last_mut().filter(|_| open) {
            Some((_, before)) => before.extend([" ", part]),
            None => lines.push((at + 1, part.to_owned())),
        }
        open = goes_on.is_some();
    }
    lines
}

/// The words of a line, as HAProxy splits them.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') => break,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a string that does not end".to_owned()) } else { Ok(words) }
}
