#!/usr/bin/env python3
"""Loosens the rules for names, overrides, upgrades and final slashes, one at a time: their tests must fail for each.

    tests/name_mutants.py               all of them
    tests/name_mutants.py upgrade json  those whose name contains one of the words

Works on a scratch package of these files of `crates/palisade-routes` and their tests, which builds in seconds, in `target/mutants`
(or MUTANTS_TARGET_DIR); the tree is never touched. A rule is held if the tests fail without it. Exits with 1 if
one is not, and with 2 if a rule is no longer there just once: then look for it again, do not drop it.
"""

import re
import sys

import gateway_mutants
from gateway_mutants import ROOT

FILES = ["names", "asked", "query", "values", "overrides", "overrides_tests", "actions", "watched", "methods", "forwarded", "media", "parts", "upgrade", "service", "cookie", "trie", "trie_tests", "path", "path_tests",
         "pattern", "host", "refusal"]

# name, file, what is there, what to put in its place
MUTANTS = [
    ("headers: every character", "names", "byte.is_ascii_alphanumeric() {", "byte != b'_' {"),
    ("headers: case", "names", "{ byte.to_ascii_lowercase() } else { b'-' }", "{ byte } else { b'-' }"),
    ("headers: twins", "names", "folds_to(header, name) && !header.eq_ignore_ascii_case(name)", "false"),
    ("headers: themselves", "names", "&& !header.eq_ignore_ascii_case(name)", ""),
    ("fields: NUL", "names", ".split('\\0').next().unwrap_or_default()", ""),
    ("fields: blanks before", "names", "name.trim_start_matches(is_blank)", "name.trim_start_matches('\\0')"),
    ("fields: a NUL before", "names", "name.trim_start_matches(is_blank)", "name.trim_start()"),
    ("fields: blanks behind", "names", "until_nul(name).trim_end_matches(is_blank)", "until_nul(name)"),
    ("fields: controls", "names", " || c.is_control()", ""),
    ("fields: the mark of the byte order", "names", " || c == '\\u{feff}'", ""),
    ("fields: blanks", "names", "' ' | '.' | '-' | '_' =>", "'.' | '-' | '_' =>"),
    ("fields: dots", "names", "' ' | '.' | '-' | '_' =>", "' ' | '-' | '_' =>"),
    ("fields: dashes", "names", "' ' | '.' | '-' | '_' =>", "' ' | '.' | '_' =>"),
    ("fields: brackets", "names", "'[' | '.' => {\n", "'.' => {\n"),
    ("fields: in brackets", "names", "']' | '-' | '_' => {}", "'-' | '_' => {}"),
    ("fields: two spellings", "names", "']' | '-' | '_' => {}", "']' | '-' => {}"),
    ("fields: members", "names", "'[' | '.' => {\n", "'[' => {\n"),
    ("fields: letters that fold", "names", "c.to_uppercase().flat_map(char::to_lowercase)", "c.to_lowercase()"),
    ("fields: a dot above", "names", ".filter(|c| *c != DOT_ABOVE)", ""),
    ("query: other names", "query", "if name != key || found.is_some() {", "if found.is_some() {"),
    ("query: twice", "query", "if name != key || found.is_some() {", "if name != key {"),
    ("query: NUL in a value", "query", ".filter(|value| values::of_text(value).is_none())", ""),
    ("query: semicolons", "query", "if query.contains(';') {", "if false {"),
    ("query: names behind semicolons", "query", "query.split(['&', ';', '?']).map(", "query.split(['&', '?']).map("),
    ("query: names behind question marks", "query", "query.split(['&', ';', '?']).map(", "query.split(['&', ';']).map("),
    ("values: NUL", "values", "text.contains('\\0')", "false"),
    ("values: elements", "values", "Value::Array(elements) => elements.iter().find_map(of_json),", ""),
    ("values: large numbers", "values", "!(-LARGEST..=LARGEST).contains(&number)", "false"),
    ("values: numbers below", "values", "!(-LARGEST..=LARGEST).contains(&number)", "number > LARGEST"),
    ("values: the first that is rounded", "values", "(1 << 53) - 1", "1 << 53"),
    ("actions: headers", "actions", "facts.headers.field(name) != Field::Absent && !", "false && !"),
    ("actions: routes that read one", "actions", " && !(at.knows_of_header)(name)", ""),
    ("actions: one header", "actions", '"next-action", "x-qrl", ', '"next-action", "next-action", '),
    ("actions: pages that are read", "actions", '"GET" | "HEAD"', '"GET"'),
    ("actions: the query", "actions", "query.is_some_and(asks) && !", "false && !"),
    ("actions: routes that list one", "actions", " && !(at.knows_of_query)(field)", ""),
    ("actions: one field", "actions", '("_astroaction", "_astroAction")', '("_none", "_none")'),
    ("actions: forms", "actions", "Media::of(facts).parts && ", "false && "),
    ("targets: the same", "overrides", "Field::One(value) => value == facts.target,", "Field::One(_) => true,"),
    ("targets: one", "overrides", '"x-forwarded-uri", "x-original-uri"', '"x-forwarded-uri", "x-forwarded-uri"'),
    ("paths: taken off", "overrides", '"x-traversal-path",', '"x-traversed-path",'),
    ("methods: headers", "methods", "facts.headers.field(name) != Field::Absent", "false"),
    ("methods: ATG", "methods", '"x-tunneled-method", "atg-rest-http-method"]', '"x-tunneled-method", "x-http-method"]'),
    ("asks: targets", "watched", "(Some(Asks::Target), &TARGETS)", "(None, &TARGETS)"),
    ("asks: functions", "watched", "(Some(Asks::Function), &actions::HEADERS)", "(Some(Asks::Path), &actions::HEADERS)"),
    ("asks: twins", "watched", "headers().find(|(name, _)| same_name(header, name))", "headers().find(|(name, _)| header == *name)"),
    ("methods: the query", "methods", "query::names(query).any(|it| is_method(&it))", "false"),
    ("methods: one header", "methods", '"x-http-method", "x-method-override",', '"x-http-method", "x-http-method",'),
    ("methods: _method", "methods", '["method", "httpmethod"]', '["none", "httpmethod"]'),
    ("methods: marks before", "methods", "trim_start_matches(['[', ']', '?', '_'])", "trim_start_matches(['[', ']', '?'])"),
    ("methods: marks behind", "methods", "rest.trim_start_matches('_')", "rest"),
    ("methods: a plain field of the query", "methods", "says_another(query, facts.method, at) && !(at.knows_of_query)(PLAIN_FIELD)", "false"),
    ("methods: the request's own", "methods", " && !word.eq_ignore_ascii_case(own)", ""),
    ("methods: other words", "methods", "WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))", "true"),
    ("methods: a plain field of parts", "methods", "(media.parts && part_says_another(kind, bytes, own, at))", "false"),
    ("methods: words in capitals", "methods", " || CAPITALS.contains(&word)", ""),
    ("methods: what the path is mapped for", "methods", " || (at.is_mapped)(word)", ""),
    ("methods: a plain member", "methods", "value => value.as_str().is_some_and(|word| is_another(word, own, at)),", "_ => false,"),
    ("methods: in lists", "methods", "rest.is_empty() || rest.starts_with(['[', ']'])", "rest.is_empty()"),
    ("methods: in brackets", "methods", "name.trim_start_matches(['[', ']', '?', '_'])", "name.trim_start_matches('_')"),
    ("methods: encoded names", "methods", "matches!(byte, b'%' | b'\\\\')", "false"),
    ("methods: forms", "methods", "(media.form && form(bytes))", "false"),
    ("methods: parts", "methods", "(media.parts && parts::names_one(kind, bytes, &is_method))", "false"),
    ("methods: JSON", "methods", "members.iter().any(|(name, value)| asks(name, value))", "false"),
    ("methods: JSON that is broken", "methods", "json_asks(bytes, &asks_by_name).unwrap_or(!read_later)", "json_asks(bytes, &asks_by_name).unwrap_or(false)"),
    ("methods: what is like JSON", "methods", "like_json_asks(bytes, &asks_by_name).unwrap_or_else(|()| quotes_one(bytes, &is_method))", "like_json_asks(bytes, &asks_by_name).unwrap_or(false)"),
    ("methods: lines of JSON", "methods", "Ok(document_asks(line, asks)? || found)", "Ok(document_asks(line, asks)? && found)"),
    ("methods: escapes in what is like JSON", "methods", ' || word.contains("\\\\u00")', ""),
    ("methods: JSON in UTF-16", "methods", "filter(|byte| *byte != 0)", "filter(|_| true)"),
    ("methods: JSON in too many bytes", "methods", "has_overlong(bytes) || ", ""),
    ("methods: what is compressed", "methods", "if media.hidden && post", "if false && post"),
    ("methods: bodies that are not shown", "methods", "Body::NotForwarded | Body::Partial if is_form =>", "Body::NotForwarded | Body::Partial if false =>"),
    ("methods: bodies in a POST alone", "methods", "if !post && !matches!(facts.body, Body::Whole(_)) {", "if false {"),
    ("methods: bodies that a route reads", "methods", "if media.typeless && at.reads_body =>", "if false =>"),
    ("methods: bodies that no route reads", "methods", "if media.typeless && at.reads_body =>", "if media.typeless =>"),
    ("methods: forms that a route would read", "methods", "if media.typeless && at.reads_body =>", "if at.reads_body =>"),
    ("methods: paths of one method", "methods", "if media.typeless && !(at.other_methods)() =>", "if media.typeless =>"),
    ("media: no type", "media", "Field::Absent => Self::typeless(facts.method),", "Field::Absent => Self::default(),"),
    ("media: an empty type", "media", "(!media.contains('/') && Self::typeless(method).form)", "false"),
    ("media: a POST alone", "media", 'form: method == "POST"', "form: true"),
    ("media: several types", "media", "Field::Repeated => all,", "Field::Repeated => Self::default(),"),
    ("media: a type that is no text", "media", "_ => all,", "_ => Self::default(),"),
    ("media: controls in a type", "media", "if !text.contains(|c: char| c.is_control() && c != '\\t') =>", "if true =>"),
    ("media: case", "media", "let text = text.to_lowercase();", "let text = text.to_owned();"),
    ("media: blanks in a type", "media", "split([';', ',', ' ', '\\t']).next().unwrap_or_default();\n        let json", "split([';', ',']).next().unwrap_or_default();\n        let json"),
    ("media: forms anywhere", "media", 'text.contains("urlencoded")', 'text == "application/x-www-form-urlencoded"'),
    ("media: an old name of forms", "media", '|| text.contains("url-encoded")', ""),
    ("media: parts anywhere", "media", 'text.contains("multipart")', 'text.contains("multipart/form-data")'),
    ("media: JSON anywhere", "media", '} else if text.contains("json") {', "} else if false {"),
    ("media: charsets", "media", '.any(|(at, word)| !is_plain_charset(&text[at + word.len()..]))', ".any(|_| false)"),
    ("media: families of charsets", "media", " || CHARSET_FAMILIES.iter().any(|family| name.starts_with(family))", ""),
    ("media: encodings", "media", "media.hidden || encoded", "media.hidden"),
    ("parts: quotes of a boundary", "parts", 'value.strip_prefix(b"\\"").unwrap_or(value);', "value;"),
    ("parts: what ends a boundary", "parts", "take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))", "take_while(|byte| **byte != b'\"')"),
    ("parts: a second boundary", "parts", "let (Some(at), None) = (at, other)", "let (Some(at), _) = (at, other)"),
    ("parts: no boundary", "parts", 'strip_prefix(b"=") else { return mark };', 'strip_prefix(b"=") else { return b"--none".to_vec() };'),
    ("parts: within parts", "parts", 'if nested { heads(b"--", body) } else { found }', "found"),
    ("parts: the end of a head", "parts", 'b"\\r\\n\\r\\n";', 'b"\\n";'),
    ("parts: empty lines before a head", "parts", "behind[line..].trim_ascii().is_empty()", "false"),
    ("parts: several empty lines", "parts", "None => begun && piece.trim_ascii().is_empty(),", "None => false,"),
    ("parts: encoded words", "parts", 'text.contains("=?") || ', ""),
    ("parts: names in pieces", "parts", " || is_in_pieces(&text)", ""),
    ("parts: files' names in pieces", "parts", ' && !before.ends_with("filename")', ""),
    ("parts: percent signs", "parts", "let decoded = lenient(&text);", "let decoded = text.to_string();"),
    ("parts: escapes", "parts", "let bare = decoded.replace('\\\\', \"\");", "let bare = decoded.clone();"),
    ("parts: lines that go on", "parts", "bare.chars().filter(|c| !c.is_whitespace()).collect()", "String::new()"),
    ("parts: words", "parts", " || word.split_whitespace().any(|word| is_one(word, key))", ""),
    ("parts: keys", "parts", "if !key {", "if true {"),
    ("parts: values before an equals sign", "parts", "Key(before != '=' && ", "Key("),
    ("parts: fields that cannot be read", "parts", "(!words(content_type, body, &note))", "(words(content_type, body, &note) || true)"),
    ("overrides: paths", "overrides", "if asks_path() && !ignores", "if false && !ignores"),
    ("overrides: paths in the query", "overrides", "query.is_some_and(|query| query::has_name(query, &names_path))", "false"),
    ("overrides: names of paths in the query", "overrides", "PATH_FIELDS.contains(&fold(name).as_str())", "PATH_FIELDS.contains(&name)"),
    ("overrides: a field for another page", "overrides", '"__isr_route", ', '"__isr_routes", '),
    ("overrides: hosts", "overrides", "if !same_host(facts, &pairs, at.is_host) && ", "if false && "),
    ("overrides: Forwarded", "overrides", "Pair::Host(host) => same(host.as_bytes()),", "Pair::Host(_) => true,"),
    ("overrides: by of Forwarded", "overrides", "Pair::By(node) => same(node.as_bytes()) || is_proxy(node),", "Pair::By(_) => true,"),
    ("overrides: proto of Forwarded", "overrides", " || pairs.iter().any(is_url)", ""),
    ("overrides: a final dot", "overrides", "&& !is_host(&word)", "&& !is_host(name)"),
    ("overrides: addresses in hexadecimal", "overrides", 'last.starts_with("0x")', "false"),
    ("forwarded: twice", "forwarded", "seen.iter().any(|other| other.eq_ignore_ascii_case(name))", "false"),
    ("forwarded: separators", "forwarded", "bare.is_empty() || bare.bytes().any(parts)", "bare.is_empty()"),
    ("forwarded: other names", "forwarded", "_ => return None,\n            });", "_ => Pair::Other,\n            });"),
    ("forwarded: who asked", "forwarded", '"for" if is_node(bare)', '"for"'),
    ("forwarded: half quotes", "forwarded", "map_or(Some(value), |value| value.strip_suffix('\"'))?", "map_or(Some(value), |value| Some(value.trim_end_matches('\"')))?"),
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
    ("paths: suffixes", "trie", "let looks = self.suffixes != Some(Suffixes::Exact) && node.longest > 0;", "let looks = false;"),
    ("paths: suffixes that a service distinguishes", "trie", "self.suffixes != Some(Suffixes::Exact) && node.longest > 0", "node.longest > 0"),
    ("paths: dots", "trie", "(matches!(c, '.' | ';') && end > 0)", "(matches!(c, ';') && end > 0)"),
    ("paths: semicolons", "trie", "(matches!(c, '.' | ';') && end > 0)", "(matches!(c, '.') && end > 0)"),
    ("paths: blanks around", "trie", ".chain((all < text.len()).then_some(all))", ""),
    ("paths: blanks before a suffix", "trie", "if !is_loose(c) {", "if c != '.' {"),
    ("paths: letters that fold before a suffix", "trie", "Step::Barred => return Walk::Barred,\n                Step::None => continue,", "Step::Barred | Step::None => continue,"),
    ("paths: formats", "trie", "Walk::Found(leaf) if self.suffixes == Some(Suffixes::Format) && has_format(&first.text, others) => {", "Walk::Found(leaf) if self.suffixes.is_none() || has_format(&first.text, others) => {"),
    ("paths: formats of captures", "trie", "Walk::Found(leaf) if !(format && others.is_empty()) =>", "Walk::Found(leaf) =>"),
    ("paths: formats of rests", "trie", "Walk::Found(_) if format => Walk::Barred,", ""),
    ("paths: formats at the end alone", "trie", "others.is_empty() && text.split_once", "text.split_once"),
    ("paths: any case", "trie", "if self.folds { folded_case(text) } else { Cow::Borrowed(text) }", "Cow::Borrowed(text)"),
    ("paths: letters beyond ASCII", "trie", "Some(_) => Step::Barred,", "Some(_) => Step::None,"),
]

STUBS = """//! The readers of names alone.
#![allow(dead_code)]
extern crate self as palisade_engine;
pub mod model {
    use std::borrow::Cow;
    /// What was meant is no matter here.
    pub fn closest<'a>(_: &str, _: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        None
    }
    pub enum Value<'a> { Null, Bool, Long(i64), Number, String(Cow<'a, str>), Array(Vec<Value<'a>>), Object(Vec<(Cow<'a, str>, Value<'a>)>) }
    impl Value<'static> {
        pub fn parse(bytes: &[u8]) -> Result<Self, String> {
            serde_json::from_slice(bytes).map(Self::of).map_err(|error| error.to_string())
        }
        fn of(value: serde_json::Value) -> Self {
            match value {
                serde_json::Value::Null => Self::Null,
                serde_json::Value::Bool(_) => Self::Bool,
                serde_json::Value::Number(number) => number.as_i64().map_or(Self::Number, Self::Long),
                serde_json::Value::String(text) => Self::String(text.into()),
                serde_json::Value::Array(elements) => Self::Array(elements.into_iter().map(Self::of).collect()),
                serde_json::Value::Object(members) => {
                    Self::Object(members.into_iter().map(|(name, value)| (name.into(), Self::of(value))).collect())
                }
            }
        }
    }
    impl<'a> Value<'a> {
        pub fn as_str(&self) -> Option<&str> {
            if let Self::String(text) = self { Some(text) } else { None }
        }
        pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Value<'a>)]> {
            if let Self::Object(members) = self { Some(members) } else { None }
        }
    }
}
pub mod bounds { BOUNDS }
pub mod names; pub mod asked; mod query; mod values; mod overrides; mod actions; pub mod watched; mod methods; mod forwarded; mod media; mod parts; pub mod upgrade; pub mod service; pub mod cookie; mod trie; pub mod path;
pub mod pattern; pub mod host; pub mod refusal;
pub mod mask {
    #[derive(Debug)]
    pub struct Masks;
    impl Masks { pub fn new(_: bool) -> Self { Self } }
}
pub use facts::{Body, Peer};
pub mod source {
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Capture { pub name: String, pub at: usize, pub rest: bool, pub words: Vec<String>, pub decides: bool }
}
pub mod facts {
    use crate::names::{is_twin, same_name};
    #[derive(Clone, Copy)]
    pub struct RequestFacts<'a> {
        pub method: &'a str, pub target: &'a [u8], pub host: Option<&'a str>,
        pub headers: &'a (dyn Headers + Sync), pub body: Body<'a>, pub peer: Peer,
    }
    #[derive(Clone, Copy, Default)]
    pub struct Peer;
    pub trait Headers {
        fn field(&self, name: &str) -> Field<'_>;
        fn list(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>>;
        fn watched(&self) -> crate::watched::Watched { crate::watched::Watched::unknown() }
    }
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
        fn list(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
            let lines = self.iter().filter(|(other, _)| same_name(other.as_ref(), name));
            let mut found = Vec::new();
            for (at, (other, value)) in lines.enumerate() {
                if is_twin(other.as_ref(), name) { return None; }
                if at > 0 { found.extend_from_slice(b", "); }
                found.extend_from_slice(value.as_ref());
            }
            Some(found.into())
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
    bounds = re.findall(r"const \w+: usize = [^;]+;", (ROOT / "crates/palisade-routes/src/bounds.rs").read_text())
    stubs = STUBS.replace("BOUNDS", " ".join(f"pub {bound}" for bound in bounds))
    gateway_mutants.package(scratch, "names", stubs, crates)


def main():
    texts = {name: (ROOT / f"crates/palisade-routes/src/{name}.rs").read_text() for name in FILES}
    check_places(texts)
    sys.exit(1 if gateway_mutants.try_all(gateway_mutants.chosen(MUTANTS), texts, package) else 0)


if __name__ == "__main__":
    main()
