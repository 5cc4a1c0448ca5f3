//! Which directives are active in a block: nginx takes them from the blocks around it, each kind by its own rule.

use std::rc::Rc;

use crate::gateway::lint::directive::Directive;

/// A `server` and what is in it.
pub(super) struct Server<'t> {
    /// Nothing where locations stand in a file by themselves.
    pub(super) head: Option<&'t Directive>,
    /// The server itself, its locations, and the `if` and `limit_except` in them.
    pub(super) blocks: Vec<Block<'t>>,
}

/// A block with those around it.
pub(super) struct Block<'t> {
    pub(super) head: Option<&'t Directive>,
    body: &'t [Directive],
    /// From the outermost to the block itself.
    levels: Vec<Level<'t>>,
}

/// The statements of a block that are no blocks: a server has many locations, and each asks for what stands beside them.
type Level<'t> = Rc<Vec<&'t Directive>>;

fn level(body: &[Directive]) -> Level<'_> {
    Rc::new(body.iter().filter(|directive| directive.block.is_none()).collect())
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
        found.push(Server { head: None, blocks });
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
                found.push(Server { head: Some(directive), blocks });
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

// === impl Block ===

impl<'t> Block<'t> {
    pub(super) fn body(&self) -> &'t [Directive] {
        self.body
    }

    /// The directive of this name in the block itself.
    pub(super) fn own(&self, name: &str) -> Option<&'t Directive> {
        self.body().iter().find(|directive| directive.name() == name)
    }

    /// The active directive of this name.
    pub(super) fn nearest(&self, name: &str) -> Option<&'t Directive> {
        self.all(name).into_iter().next()
    }

    /// All active directives of this name: those of the innermost block that has any replace all above them.
    pub(super) fn all(&self, name: &str) -> Vec<&'t Directive> {
        let of = |level: &Level<'t>| level.iter().copied().filter(|d| d.name() == name).collect::<Vec<_>>();
        self.levels.iter().rev().map(of).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// Each `set` in the blocks around this one and in it.
    pub(super) fn sets(&self) -> Vec<&'t Directive> {
        self.levels
            .iter()
            .flat_map(|level| level.iter().copied())
            .filter(|directive| directive.name() == "set")
            .collect()
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
        let sets = |d: &&Directive| d.name() == directive && d.argument(1).eq_ignore_ascii_case(name);
        self.header(directive, name).is_none() && self.levels.iter().any(|level| level.iter().any(sets))
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
    use crate::gateway::lint::nginx::tree::parse;

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
    fn locations_are_told_apart() {
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
