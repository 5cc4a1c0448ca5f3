//! Which directives are active in a block: nginx takes them from the blocks around it, each kind by its own rule.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::directive::Directive;
use crate::pattern::may_be_found;

/// A `server` and what is in it.
pub(super) struct Server<'t> {
    /// Nothing where locations stand in a file by themselves.
    pub(super) head: Option<&'t Directive>,
    /// The server itself, its locations, and the `if` and `limit_except` in them.
    pub(super) blocks: Vec<Block<'t>>,
    /// Its locations by how they are chosen: there may be thousands.
    index: Index<'t>,
}

/// Where locations stand among the blocks of a server. The first of several counts.
#[derive(Default)]
struct Index<'t> {
    exact: HashMap<&'t str, usize>,
    prefix: HashMap<&'t str, usize>,
    /// How long prefixes are.
    lengths: BTreeSet<usize>,
    patterns: Vec<usize>,
    /// By the first word of a location, as `error_page` names one.
    words: HashMap<&'t str, usize>,
}

/// A block with those around it.
pub(super) struct Block<'t> {
    pub(super) head: Option<&'t Directive>,
    body: &'t [Directive],
    /// From the outermost to the block itself.
    levels: Vec<Level<'t>>,
}

/// The statements of a block that are no blocks, by name: a server has many locations, and each asks for what stands
/// beside them. Each `if` is there too, with the `set` in it: what that gives a variable counts around it.
type Level<'t> = Rc<HashMap<&'t str, Vec<&'t Directive>>>;

fn level(body: &[Directive]) -> Level<'_> {
    let mut named: HashMap<&str, Vec<&Directive>> = HashMap::new();
    for directive in body.iter().filter(|directive| directive.block.is_none()) {
        named.entry(directive.name()).or_default().push(directive);
    }
    conditional(body, &mut named);
    Rc::new(named)
}

/// Adds each `if`, and what is set in it.
fn conditional<'t>(body: &'t [Directive], named: &mut HashMap<&'t str, Vec<&'t Directive>>) {
    for condition in body.iter().filter(|directive| directive.name() == "if") {
        named.entry("if").or_default().push(condition);
        let sets = condition.body().iter().filter(|inner| inner.name() == "set");
        named.entry("set").or_default().extend(sets);
        conditional(condition.body(), named);
    }
}

/// How a location is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matches<'t> {
    Exactly(&'t str),
    Prefix(&'t str),
    Pattern,
    /// Reached only from inside, by its name.
    Name,
}

/// The servers of HTTP. Those of `stream` and `mail` know no requests.
pub(super) fn servers(tree: &[Directive]) -> Vec<Server<'_>> {
    let mut found = Vec::new();
    collect(tree, &[level(tree)], &mut found);
    if tree.iter().any(|directive| directive.name() == "location") {
        let mut blocks = Vec::new();
        gather(None, tree, &[], &mut blocks);
        found.push(Server::new(None, blocks));
    }
    found
}

fn collect<'t>(body: &'t [Directive], levels: &[Level<'t>], found: &mut Vec<Server<'t>>) {
    for directive in body {
        match (directive.name(), &directive.block) {
            ("http", Some(block)) => collect(block, &[levels, &[level(block)]].concat(), found),
            ("server", Some(block)) => {
                let mut blocks = Vec::new();
                gather(Some(directive), block, levels, &mut blocks);
                found.push(Server::new(Some(directive), blocks));
            }
            _ => {}
        }
    }
}

fn gather<'t>(head: Option<&'t Directive>, body: &'t [Directive], around: &[Level<'t>], blocks: &mut Vec<Block<'t>>) {
    let levels = [around, &[level(body)]].concat();
    for directive in body.iter().filter(|d| matches!(d.name(), "location" | "if" | "limit_except")) {
        gather(Some(directive), directive.body(), &levels, blocks);
    }
    blocks.push(Block { head, body, levels });
}

/// Calls `each` with every directive that concerns HTTP and the block that it stands in.
pub(super) fn walk<'t>(body: &'t [Directive], each: &mut dyn FnMut(&'t Directive, &'t [Directive])) {
    for directive in body {
        each(directive, body);
        if !matches!(directive.name(), "stream" | "mail" | "map" | "geo" | "types" | "split_clients") {
            walk(directive.body(), each);
        }
    }
}

// === impl Server ===

impl<'t> Server<'t> {
    fn new(head: Option<&'t Directive>, blocks: Vec<Block<'t>>) -> Self {
        let mut index = Index::default();
        for (at, block) in blocks.iter().enumerate() {
            match block.matches() {
                Some(Matches::Exactly(path)) => _ = index.exact.entry(path).or_insert(at),
                Some(Matches::Prefix(path)) => {
                    index.prefix.entry(path).or_insert(at);
                    index.lengths.insert(path.len());
                }
                Some(Matches::Pattern) => index.patterns.push(at),
                Some(Matches::Name) | None => {}
            }
            if let Some(head) = block.head.filter(|head| head.name() == "location") {
                index.words.entry(head.argument(1)).or_insert(at);
            }
        }
        Self { head, blocks, index }
    }

    /// The location for exactly this path.
    pub(super) fn exact(&self, uri: &str) -> Option<&Block<'t>> {
        self.blocks.get(*self.index.exact.get(uri)?)
    }

    /// The location whose prefix is the longest that a path begins with.
    pub(super) fn longest(&self, uri: &str) -> Option<&Block<'t>> {
        let starts = self.index.lengths.range(..=uri.len()).rev().filter_map(|length| uri.get(..*length));
        starts.filter_map(|start| self.index.prefix.get(start)).find_map(|at| self.blocks.get(*at))
    }

    /// The locations that are chosen by a pattern.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Block<'t>> {
        self.index.patterns.iter().filter_map(|at| self.blocks.get(*at))
    }

    /// Whether nginx may choose a location for a path: the one for exactly this path, or the longest prefix, or a pattern.
    pub(super) fn may_choose(&self, uri: &str, block: &Block<'t>) -> bool {
        let is = |one: &Block<'t>| std::ptr::eq(one.key(), block.key());
        let uri = uri.split('?').next().unwrap_or_default();
        if !uri.starts_with('/') {
            return false;
        }
        if let Some(exact) = self.exact(uri) {
            return is(exact);
        }
        let fits = || {
            let words = block.head.map(Directive::arguments).unwrap_or_default();
            let regex = words.iter().find(|word| !matches!(word.as_str(), "~" | "~*"));
            regex.is_some_and(|regex| {
                may_be_found(&regex.trim_start_matches(['~', '*']).to_ascii_lowercase(), &uri.to_ascii_lowercase())
            })
        };
        self.longest(uri).is_some_and(is) || (block.matches() == Some(Matches::Pattern) && fits())
    }

    /// The location that `error_page` names: by its name, or by its path.
    pub(super) fn page(&self, to: &str) -> Option<&Block<'t>> {
        self.index.words.get(to).and_then(|at| self.blocks.get(*at)).or_else(|| self.exact(to))
    }
}

// === impl Block ===

impl<'t> Block<'t> {
    /// What distinguishes the block from every other one.
    pub(super) fn key(&self) -> *const Directive {
        self.head.map_or(std::ptr::null(), std::ptr::from_ref)
    }

    pub(super) fn body(&self) -> &'t [Directive] {
        self.body
    }

    /// The directive of this name in the block itself.
    pub(super) fn own(&self, name: &str) -> Option<&'t Directive> {
        self.body().iter().find(|directive| directive.name() == name)
    }

    /// The active directive of this name.
    pub(super) fn nearest(&self, name: &str) -> Option<&'t Directive> {
        self.levels.iter().rev().find_map(|level| level.get(name)).and_then(|found| found.first()).copied()
    }

    /// All active directives of this name: those of the innermost block that has any replace all above them.
    pub(super) fn all(&self, name: &str) -> Vec<&'t Directive> {
        self.levels.iter().rev().find_map(|level| level.get(name)).cloned().unwrap_or_default()
    }

    /// Each `set` in the blocks around this one and in it.
    pub(super) fn sets(&self) -> Vec<&'t Directive> {
        self.levels.iter().filter_map(|level| level.get("set")).flatten().copied().collect()
    }

    /// Each `if` in the blocks around this one and in it.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &'t Directive> {
        self.levels.iter().filter_map(|level| level.get("if")).flatten().copied()
    }

    /// The active `auth_request`, if it is not switched off.
    pub(super) fn asks(&self) -> Option<&'t Directive> {
        self.nearest("auth_request").filter(|directive| directive.argument(1) != "off")
    }

    /// The value that a header has by `proxy_set_header` or its like.
    pub(super) fn header(&self, directive: &str, name: &str) -> Option<&'t Directive> {
        self.all(directive).into_iter().find(|set| set.argument(1).eq_ignore_ascii_case(name))
    }

    /// Whether a header is set in a block around this one, but not active here, because nearer ones replace it.
    pub(super) fn loses(&self, directive: &str, name: &str) -> bool {
        let sets = |d: &&Directive| d.argument(1).eq_ignore_ascii_case(name);
        self.header(directive, name).is_none()
            && self.levels.iter().filter_map(|level| level.get(directive)).flatten().any(sets)
    }

    /// Whether the block is a location, and how it is chosen.
    pub(super) fn matches(&self) -> Option<Matches<'t>> {
        let head = self.head.filter(|head| head.name() == "location")?;
        Some(match (head.argument(1), head.argument(2)) {
            ("=", path) => Matches::Exactly(path),
            ("^~", path) => Matches::Prefix(path),
            (path, _) => match path.chars().next() {
                Some('~') => Matches::Pattern,
                Some('@') => Matches::Name,
                Some('=') => Matches::Exactly(&path[1..]),
                Some('^') => Matches::Prefix(path.trim_start_matches("^~")),
                _ => Matches::Prefix(path),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::tree::parse;

    #[test]
    fn the_innermost_level_replaces_those_above() {
        let text = "a 0; http { a 1; b 1; b 2; server { location / { b 3; if (x) { c; } } location = /x { a off; } } }";
        let tree = parse(0, text).unwrap();
        let servers = servers(&tree);
        let blocks = &servers[0].blocks;
        let shown = |at: usize, name: &str| {
            blocks[at].all(name).iter().map(|d| d.argument(1).to_owned()).collect::<Vec<_>>().join(" ")
        };
        for (at, a, b) in [(0, "1", "3"), (1, "1", "3"), (2, "off", "1 2"), (3, "1", "1 2")] {
            assert_eq!((shown(at, "a").as_str(), shown(at, "b").as_str()), (a, b), "{at}");
        }
    }

    #[test]
    fn locations_are_distinguished() {
        for (text, expected) in [
            ("= /a", Matches::Exactly("/a")),
            ("=/a", Matches::Exactly("/a")),
            ("/a", Matches::Prefix("/a")),
            ("^~ /a", Matches::Prefix("/a")),
            ("^~/a", Matches::Prefix("/a")),
            ("~ /a", Matches::Pattern),
            ("~* /a", Matches::Pattern),
            ("@a", Matches::Name),
        ] {
            let tree = parse(0, &format!("location {text} {{ }}")).unwrap();
            assert_eq!(servers(&tree)[0].blocks[0].matches(), Some(expected), "{text}");
        }
    }
}
