//! The sites of a Caddyfile, with snippets put in the place of `import`.

use std::collections::BTreeMap;

use crate::caddy::order::Order;
use crate::caddy::parse::parse;
use crate::directive::Directive;
use crate::report::{At, Report};

/// How many directives imports may come to, and how deep they may lie in one another.
const MOST: usize = 20_000;
const DEEPEST: usize = 20;

/// What a Caddyfile says.
pub(super) struct Sites {
    pub(super) options: Vec<Directive>,
    pub(super) order: Order,
    /// Each with the addresses as its words.
    pub(super) sites: Vec<Directive>,
    /// Routes that `invoke` names.
    pub(super) routes: BTreeMap<String, Directive>,
}

#[derive(Default)]
struct Reader {
    snippets: BTreeMap<String, Directive>,
    made: usize,
}

// === impl Sites ===

impl Sites {
    pub(super) fn read(source: usize, report: &mut Report<'_>) -> Option<Self> {
        let mut top = read_file(source, report)?;
        let mut reader = Reader::default();
        let mut sites =
            Self { options: Vec::new(), order: Order::new(&[]), sites: Vec::new(), routes: BTreeMap::new() };
        // one site alone needs no braces
        let bare =
            top.iter().position(|line| line.block.is_none() && line.name() != "import" && !line.words.is_empty());
        if let Some(at) = bare {
            let mut lines = top.split_off(at).into_iter();
            if let Some(mut site) = lines.next() {
                site.block = Some(lines.collect());
                top.push(site);
            }
        }
        reader.top(top, &[source], 0, &mut sites, report);
        sites.order = Order::new(&sites.options);
        let mut blocks: Vec<&mut Directive> = sites.sites.iter_mut().chain(sites.routes.values_mut()).collect();
        for site in &mut blocks {
            let body = site.block.take().unwrap_or_default();
            site.block = Some(reader.expand(body, &[site.at.source], 0, report));
        }
        Some(sites)
    }

    /// All directives of a name, wherever they stand.
    pub(super) fn all(&self, name: &str) -> Vec<&Directive> {
        fn walk<'d>(body: &'d [Directive], name: &str, found: &mut Vec<&'d Directive>) {
            for directive in body {
                if directive.name() == name {
                    found.push(directive);
                }
                walk(directive.body(), name, found);
            }
        }
        let mut found = Vec::new();
        for block in self.sites.iter().chain(self.routes.values()) {
            walk(block.body(), name, &mut found);
        }
        found
    }
}

fn read_file(source: usize, report: &mut Report<'_>) -> Option<Vec<Directive>> {
    match parse(source, &report.text(source)) {
        Ok(lines) => Some(lines),
        Err(broken) => {
            report.broken(At { source, line: broken.line }, &format!("not a Caddyfile: {}", broken.message));
            None
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Counts a directive. True, and reported, if imports come to more than is looked at.
    fn is_too_much(&mut self, line: &Directive, depth: usize, report: &mut Report<'_>) -> bool {
        self.made += 1;
        let too_much = self.made > MOST || depth > DEEPEST;
        if too_much {
            report.not_checked(
                line.at,
                "what is imported here is not looked at: it comes to too many directives",
                "name the imported file on its own",
            );
        }
        too_much
    }

    /// What stands outside of all sites.
    fn top(
        &mut self,
        lines: Vec<Directive>,
        around: &[usize],
        depth: usize,
        sites: &mut Sites,
        report: &mut Report<'_>,
    ) {
        for line in lines {
            if self.is_too_much(&line, depth, report) {
                return;
            }
            let name = line.name().to_owned();
            if line.words.is_empty() {
                sites.options.extend(line.block.unwrap_or_default());
            } else if let Some(snippet) = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')) {
                self.snippets.insert(snippet.to_owned(), line);
            } else if let Some(route) = name.strip_prefix("&(").and_then(|name| name.strip_suffix(')')) {
                sites.routes.insert(route.to_owned(), line);
            } else if name == "import" {
                match self.snippets.get(line.argument(1)).cloned() {
                    Some(snippet) => self.top(snippet.block.unwrap_or_default(), around, depth + 1, sites, report),
                    None => {
                        for source in report.include(line.at, line.argument(1), around) {
                            let Some(inner) = read_file(source, report) else { continue };
                            let around = [around, &[source]].concat();
                            self.top(inner, &around, depth + 1, sites, report);
                        }
                    }
                }
            } else {
                sites.sites.push(line);
            }
        }
    }

    /// Puts what is imported in its place.
    fn expand(
        &mut self,
        body: Vec<Directive>,
        around: &[usize],
        depth: usize,
        report: &mut Report<'_>,
    ) -> Vec<Directive> {
        let mut expanded = Vec::with_capacity(body.len());
        for mut line in body {
            if self.is_too_much(&line, depth, report) {
                break;
            }
            if line.name() != "import" {
                line.block = line.block.map(|block| self.expand(block, around, depth, report));
                expanded.push(line);
                continue;
            }
            if let Some(snippet) = self.snippets.get(line.argument(1)) {
                let arguments = line.arguments().get(1..).unwrap_or_default();
                let mut body = filled(snippet.body(), arguments);
                if let Some(block) = &line.block {
                    body = with_block(body, block);
                }
                expanded.extend(self.expand(body, around, depth + 1, report));
                continue;
            }
            for source in report.include(line.at, line.argument(1), around) {
                let Some(inner) = read_file(source, report) else { continue };
                let around = [around, &[source]].concat();
                expanded.extend(self.expand(inner, &around, depth + 1, report));
            }
        }
        expanded
    }
}

/// A snippet with its arguments in their places.
fn filled(body: &[Directive], arguments: &[String]) -> Vec<Directive> {
    let fill = |word: &String| {
        let mut word = word.clone();
        for (at, argument) in arguments.iter().enumerate() {
            word = word.replace(&format!("{{args[{at}]}}"), argument).replace(&format!("{{args.{at}}}"), argument);
        }
        word
    };
    let one = |line: &Directive| Directive {
        words: line
            .words
            .iter()
            .flat_map(|word| if word == "{args[:]}" { arguments.to_vec() } else { vec![fill(word)] })
            .collect(),
        at: line.at,
        block: line.block.as_ref().map(|block| filled(block, arguments)),
    };
    body.iter().map(one).collect()
}

/// A snippet with the block of its `import` in the place of `{block}`.
fn with_block(body: Vec<Directive>, block: &[Directive]) -> Vec<Directive> {
    let one = |mut line: Directive| {
        if line.words == ["{block}"] {
            return block.to_vec();
        }
        line.block = line.block.map(|inner| with_block(inner, block));
        vec![line]
    };
    body.into_iter().flat_map(one).collect()
}
