#!/usr/bin/env python3
"""Loosens the rules for names, overrides, upgrades and final slashes, one at a time: their tests must fail for each.

    tests/name_mutants.py               all of them
    tests/name_mutants.py upgrade json  those whose name contains one of the words

Works on a scratch package of these files of `src/gateway` and their tests, which builds in seconds, in `target/mutants`
(or MUTANTS_TARGET_DIR); the tree is never touched. A rule is held if the tests fail without it. Exits with 1 if
one is not, and with 2 if a rule is no longer there just once: then look for it again, do not drop it.
"""

import sys

import gateway_mutants
from gateway_mutants import ROOT

FILES = ["names", "query", "overrides", "upgrade", "service", "cookie", "trie", "trie_tests", "path", "path_tests",
         "pattern", "host", "refusal"]

# name, file, what is there, what to put in its place
MUTANTS = [
    ("headers: every character", "names", "byte.is_ascii_alphanumeric() {", "byte != b'_' {"),
    ("headers: case", "names", "{ byte.to_ascii_lowercase() } else { b'-' }", "{ byte } else { b'-' }"),
    ("headers: twins", "names", "same_name(header, name) && !header.eq_ignore_ascii_case(name)", "false"),
    ("headers: themselves", "names", "&& !header.eq_ignore_ascii_case(name)", ""),
    ("fields: NUL", "names", "name.split('\\0').next().unwrap_or_default().trim()", "name.trim()"),
    ("fields: blanks around", "names", ".unwrap_or_default().trim()", ".unwrap_or_default()"),
    ("fields: blanks", "names", "' ' | '.' | '-' | '_' =>", "'.' | '-' | '_' =>"),
    ("fields: dots", "names", "' ' | '.' | '-' | '_' =>", "' ' | '-' | '_' =>"),
    ("fields: dashes", "names", "' ' | '.' | '-' | '_' =>", "' ' | '.' | '_' =>"),
    ("fields: brackets", "names", "text.replace(['_', '['], \"\")", "text.replace(['_'], \"\")"),
    ("fields: two spellings", "names", "text.replace(['_', '['], \"\")", "text.replace(['['], \"_\")"),
    ("fields: lists", "names", "match_indices(['[', '.'])", "match_indices(['.'])"),
    ("fields: members", "names", "match_indices(['[', '.'])", "match_indices(['['])"),
    ("fields: letters that fold", "names", "c.to_uppercase().flat_map(char::to_lowercase)", "c.to_lowercase()"),
    ("fields: a dot above", "names", ".filter(|c| *c != DOT_ABOVE)", ""),
    ("query: other names", "query", "if name != key || found.is_some() {", "if found.is_some() {"),
    ("query: twice", "query", "if name != key || found.is_some() {", "if name != key {"),
    ("query: NUL in a value", "query", ".filter(|value| !value.contains('\\0'))", ""),
    ("query: semicolons", "query", "if query.contains(';') {", "if false {"),
    ("query: names behind semicolons", "query", "query.split(['&', ';'])", "query.split(['&'])"),
    ("overrides: headers", "overrides", "if there(&METHODS) {", "if false {"),
    ("overrides: the query", "overrides", "query::names(query).any(|it| is_method(&it))", "false"),
    ("overrides: one header", "overrides", '"x-http-method", "x-method-override"]', '"x-http-method", "x-http-method"]'),
    ("overrides: _method", "overrides", '["_method", ', '["_none", '),
    ("overrides: in lists", "overrides", "rest.is_empty() || rest.starts_with('[')", "rest.is_empty()"),
    ("overrides: encoded names", "overrides", "matches!(byte, b'%' | b'\\\\')", "false"),
    ("overrides: forms", "overrides", "Kind::Form => query::names(&String::from_utf8_lossy(bytes)).any(|name| is_method(&name)),",
     "Kind::Form => false,"),
    ("overrides: parts", "overrides", "Kind::Parts => parts(bytes),", "Kind::Parts => false,"),
    ("overrides: JSON", "overrides", "members.iter().any(|(name, _)| is_method(name))", "false"),
    ("overrides: JSON that is broken", "overrides", "Err(_) => !reads_body,", "Err(_) => false,"),
    ("overrides: forms that nobody sees", "overrides", "if facts.method == \"POST\" =>", "if false =>"),
    ("overrides: paths", "overrides", "&& there(&PATHS)", "&& false"),
    ("overrides: hosts", "overrides", "&& !same_host(facts)", "&& false"),
    ("overrides: Forwarded", "overrides", "hosts(value).into_iter().all(same)", "true"),
    ("overrides: twins of hosts", "overrides", "value.trim_ascii().is_empty() || same(value),\n        Field::Repeated => false,",
     "value.trim_ascii().is_empty() || same(value),\n        Field::Repeated => true,"),
    ("upgrade: HTTP2-Settings", "upgrade", 'headers.field("http2-settings") != Field::Absent', "false"),
    ("upgrade: two of them", "upgrade", 'Field::Repeated => return refuse("the client asks for more than one upgrade of the connection"),',
     "Field::Repeated => None,"),
    ("upgrade: Connection", "upgrade", '!is_announced(headers.field("connection"))', "true"),
    ("upgrade: others", "upgrade", 'if name.eq_ignore_ascii_case(b"websocket")', "if !name.is_empty()"),
    ("upgrade: where no route says so", "upgrade", '(_, None) => refuse("the client asks for an upgrade of the connection; the route lacks `upgrade: websocket`"),',
     "(_, None) => Ok(()),"),
    ("cookies: twice", "cookie", "if other != name || found != Field::Absent {", "if other != name {"),
    ("cookies: other names", "cookie", "if other != name || found != Field::Absent {", "if found != Field::Absent {"),
    ("cookies: commas", "cookie", "b';' | b','", "b';'"),
    ("paths: a final slash behind a literal", "trie", "(true, false) => Walk::Barred,", "(true, false) => Walk::Nowhere,"),
    ("paths: a final slash behind a capture", "trie", "Walk::Barred => barred = true,", "Walk::Barred => {}"),
    ("paths: any case", "trie", "let text = if self.folds { folded_case(text) } else { Cow::Borrowed(text) };", "let text = Cow::Borrowed(text);"),
    ("paths: letters beyond ASCII", "trie", "Some(_) => Step::Barred,", "Some(_) => Step::None,"),
]

STUBS = """//! The readers of names alone.
#![allow(dead_code)]
pub mod domain {
    pub struct Value(serde_json::Value);
    impl Value {
        pub fn parse(bytes: &[u8]) -> Result<Self, String> {
            serde_json::from_slice(bytes).map(Self).map_err(|error| error.to_string())
        }
        pub fn as_object(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
            self.0.as_object()
        }
    }
}
pub mod gateway {
    pub mod names; mod query; mod overrides; pub mod upgrade; pub mod service; pub mod cookie; mod trie; pub mod path;
    pub mod pattern; pub mod host; pub mod refusal;
    pub use facts::Peer;
    pub mod source {
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Capture { pub name: String, pub at: usize, pub rest: bool }
    }
    pub mod facts {
        use crate::gateway::names::{is_twin, same_name};
        #[derive(Clone, Copy)]
        pub struct RequestFacts<'a> {
            pub method: &'a str, pub target: &'a [u8], pub host: Option<&'a str>,
            pub headers: &'a (dyn Headers + Sync), pub body: Body<'a>, pub peer: Peer,
        }
        #[derive(Clone, Copy, Default)]
        pub struct Peer;
        pub trait Headers { fn field(&self, name: &str) -> Field<'_>; }
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field<'a> { Absent, One(&'a [u8]), Repeated }
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Body<'a> { NotForwarded, Partial, Whole(&'a [u8]) }
        impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
            fn field(&self, name: &str) -> Field<'_> {
                let mut found = Field::Absent;
                for (other, value) in self {
                    if same_name(other.as_ref(), name) {
                        if found != Field::Absent || is_twin(other.as_ref(), name) { return Field::Repeated; }
                        found = Field::One(value.as_ref());
                    }
                }
                found
            }
        }
    }
}
"""


def check_places(texts):
    """Every rule must be there, just once."""
    lost = [f"{name}: {texts[file].count(old)} times\n    {old}" for name, file, old, _ in MUTANTS
            if texts[file].count(old) != 1]
    if lost:
        print("no place for these any more; find it again:\n" + "\n".join(lost), file=sys.stderr)
        sys.exit(2)


def package(scratch):
    """A package of the readers and their tests alone."""
    crates = [("serde", ', features = ["derive"]'), ("schemars", ""), ("serde_json", ""), ("memchr", ""), ("foldhash", ""),
              ("proptest", ', default-features = false, features = ["std"]')]
    gateway_mutants.package(scratch, "names", STUBS, crates)


def main():
    texts = {name: (ROOT / f"src/gateway/{name}.rs").read_text() for name in FILES}
    check_places(texts)
    sys.exit(1 if gateway_mutants.try_all(gateway_mutants.chosen(MUTANTS), texts, package) else 0)


if __name__ == "__main__":
    main()
