//! The structure of the workspace: which package needs which, and which module names which, read from the text itself.
//!
//! The order of the packages is `PACKAGES`, that of the sidecar's modules the list in the documentation of `src/lib.rs`.
//! A new package or module goes into its list; one that breaks a rule here either stands in the wrong place or needs a
//! value from `palisade_engine::model` instead.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A piece of Rust text, with its line. Comments, strings, characters and lifetimes are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `::`
    Sep,
    Mark(char),
}

fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < bytes.len() {
        let start = i;
        match bytes[i] {
            b'/' if at(i + 1) == b'/' => {
                while i < bytes.len() && bytes[i] != b'\n' {
                    i += 1;
                }
            }
            b'/' if at(i + 1) == b'*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        (b'/', b'*') => (depth, i) = (depth + 1, i + 2),
                        (b'*', b'/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= bytes.len() {
                        break;
                    }
                }
            }
            b'"' => i = string_end(bytes, i),
            b'\'' => {
                // a character, or else a lifetime, whose name is skipped with it
                let close = if at(i + 1) == b'\\' {
                    (i + 3..bytes.len()).find(|j| bytes[*j] == b'\'')
                } else {
                    let width = text[i + 1..].chars().next().map_or(1, char::len_utf8);
                    (at(i + 1 + width) == b'\'').then_some(i + 1 + width)
                };
                i = close.map_or_else(|| (i + 1..).find(|j| !word(at(*j))).unwrap_or(i + 1), |end| end + 1);
            }
            b if word(b) => {
                while word(at(i)) {
                    i += 1;
                }
                let name = &text[start..i];
                let hashes = (i..).take_while(|j| at(*j) == b'#').count();
                if name.ends_with('r') && name.len() <= 2 && at(i + hashes) == b'"' {
                    let end = format!("\"{}", "#".repeat(hashes));
                    i = text[i + hashes + 1..].find(&end).map_or(bytes.len(), |n| i + hashes + 1 + n + end.len());
                } else if matches!(name, "b" | "c") && at(i) == b'"' {
                    i = string_end(bytes, i);
                } else {
                    out.push((line, Token::Word(name)));
                }
            }
            b':' if at(i + 1) == b':' => {
                out.push((line, Token::Sep));
                i += 2;
            }
            b => {
                if !b.is_ascii_whitespace() {
                    out.push((line, Token::Mark(char::from(b))));
                }
                i += 1;
            }
        }
        line += text[start..i.min(text.len())].matches('\n').count();
    }
    out
}

fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut i = open + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// A path that the text names, its groups spelled out: `use a::{b, c::D}` names `a::b` and `a::c::D`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    line: usize,
    path: Vec<String>,
    /// Within `#[cfg(test)] mod … { … }`.
    test: bool,
}

/// All paths of a file that stands at `module`, such as `["transport", "guard"]`, with `super` and `self` resolved.
fn names(text: &str, module: &[String]) -> Vec<Named> {
    let tokens = tokens(text);
    let mut out = Vec::new();
    // inline modules: name, how deep their brace is, whether they are tests
    let (mut inline, mut depth, mut i): (Vec<(String, usize, bool)>, usize, usize) = (Vec::new(), 0, 0);
    let cfg_test = ['#', '[', '(', ')', ']'].map(Token::Mark);
    let cfg_test =
        [cfg_test[0], cfg_test[1], Token::Word("cfg"), cfg_test[2], Token::Word("test"), cfg_test[3], cfg_test[4]];
    let mut test_next = None;
    while i < tokens.len() {
        if tokens[i..].iter().map(|(_, token)| *token).take(cfg_test.len()).eq(cfg_test) {
            i += cfg_test.len();
            test_next = Some(i);
            continue;
        }
        let (line, token) = tokens[i];
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                if inline.last().is_some_and(|(_, at, _)| *at == depth) {
                    inline.pop();
                }
            }
            Token::Word("mod") => {
                if let (Some((_, Token::Word(name))), Some((_, Token::Mark('{')))) =
                    (tokens.get(i + 1), tokens.get(i + 2))
                {
                    inline.push(((*name).to_owned(), depth, test_next == Some(i)));
                }
            }
            Token::Word(
                "use" | "pub" | "as" | "in" | "return" | "let" | "mut" | "dyn" | "impl" | "else" | "match" | "if",
            ) => {}
            Token::Word(_) | Token::Sep if i == 0 || !matches!(tokens[i - 1].1, Token::Sep | Token::Mark('.')) => {
                let mut here: Vec<String> = module.to_vec();
                here.extend(inline.iter().map(|(name, ..)| name.clone()));
                let test = inline.iter().any(|(_, _, test)| *test);
                let mut found = Vec::new();
                let end = tree(&tokens, i + usize::from(token == Token::Sep), &mut Vec::new(), &mut found);
                out.extend(found.into_iter().map(|(line, path)| Named { line, path: resolve(path, &here), test }));
                if end > i + 1 {
                    i = end;
                    continue;
                }
            }
            _ => {}
        }
        let _ = line;
        i += 1;
    }
    out
}

/// Reads the path, or the tree of paths, at `i`; returns where it ends.
fn tree(
    tokens: &[(usize, Token<'_>)],
    mut i: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let own = prefix.len();
    let mut last = None;
    loop {
        match tokens.get(i) {
            Some((line, Token::Word(word))) => {
                prefix.push((*word).to_owned());
                last = Some(*line);
                i += 1;
            }
            Some((line, Token::Mark('*'))) if own < prefix.len() || own > 0 => {
                prefix.push("*".to_owned());
                last = Some(*line);
                i += 1;
            }
            Some((_, Token::Mark('{'))) if !prefix.is_empty() => {
                i += 1;
                while !matches!(tokens.get(i), None | Some((_, Token::Mark('}')))) {
                    let next = tree(tokens, i, prefix, found);
                    // `as name`, commas
                    i = next.max(i + 1);
                    while matches!(tokens.get(i), Some((_, Token::Mark(','))))
                        || (matches!(tokens.get(i), Some((_, Token::Word("as")))))
                        || (matches!(tokens.get(i.wrapping_sub(1)), Some((_, Token::Word("as")))))
                    {
                        i += 1;
                    }
                }
                prefix.truncate(own);
                return i + 1;
            }
            _ => break,
        }
        if matches!(tokens.get(i), Some((_, Token::Sep))) {
            i += 1;
        } else {
            break;
        }
    }
    if let Some(line) = last {
        found.push((line, prefix.clone()));
    }
    prefix.truncate(own);
    i
}

fn resolve(path: Vec<String>, here: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let own = usize::from(path.first().is_some_and(|part| part == "self"));
    if ups == 0 && own == 0 {
        return path;
    }
    let mut whole = vec!["crate".to_owned()];
    whole.extend(here.iter().take(here.len().saturating_sub(ups)).cloned());
    whole.extend(path.into_iter().skip(ups + own));
    whole
}

/// The packages, from the bottom up: each may need only those before it.
const PACKAGES: [Package; 6] = [
    Package { name: "palisade-journal", kind: Kind::Disk },
    Package { name: "palisade-engine", kind: Kind::Engine },
    Package { name: "palisade-text", kind: Kind::Pure },
    Package { name: "palisade-routes", kind: Kind::Pure },
    Package { name: "palisade-gateway-lint", kind: Kind::Pure },
    Package { name: "palisade", kind: Kind::Sidecar },
];

/// What the engine may need: Cedar, and what is small and does nothing on its own.
const NEEDS_OF_THE_ENGINE: [&str; 12] = [
    "cedar-policy",
    "cedar-policy-core",
    "foldhash",
    "jiff",
    "memchr",
    "miette",
    "serde",
    "serde_json",
    "sha2",
    "smallvec",
    "thiserror",
    "tracing",
];

#[derive(Debug, Clone, Copy)]
struct Package {
    name: &'static str,
    kind: Kind,
}

/// How a package is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Engine,
    /// Functions over text, without files, sockets and clocks.
    Pure,
    /// Files and bytes, and nothing of the others.
    Disk,
    Sidecar,
}

impl Package {
    fn place(self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if self.kind == Kind::Sidecar { root.to_owned() } else { root.join("crates").join(self.name) }
    }

    /// What its manifest says that it needs to be built.
    fn needs(self) -> Vec<String> {
        needs(&std::fs::read_to_string(self.place().join("Cargo.toml")).unwrap())
    }
}

/// The names in the section `[dependencies]` of a manifest.
fn needs(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let names = section.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    names
        .filter_map(|line| Some(line.split(['=', '.', ' ']).next()?.to_owned()))
        .filter(|name| !name.is_empty())
        .collect()
}

pub(crate) fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// The module that a file below `source` is: `transport/guard.rs` is `["transport", "guard"]`, and `lib.rs` is `[]`.
fn module_of(source: &Path, path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(source).unwrap().with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] {
        parts.pop();
    }
    parts
}

/// Module and place in the list of `src/lib.rs`; those on one line stand side by side.
fn order(lib: &str) -> HashMap<String, usize> {
    let items = lib.lines().filter_map(|line| line.strip_prefix("//! - ")).enumerate();
    items
        .flat_map(|(place, item)| {
            let heads = item.split(": ").next().unwrap_or_default().split('`').skip(1).step_by(2);
            heads.map(move |name| (name.to_owned(), place)).collect::<Vec<_>>()
        })
        .collect()
}

/// What is wrong with one file of a package. `order` is that of the sidecar's modules.
fn faults(kind: Kind, text: &str, module: &[String], order: &HashMap<String, usize>) -> Vec<(usize, String)> {
    let own = module.first().map_or("", String::as_str);
    let is_model = kind == Kind::Engine && own == "model";
    let test_file = module.iter().any(|part| part == "tests" || part.ends_with("_tests") || part == "conformance");
    let mut out = Vec::new();
    for Named { line, path, test } in names(text, module) {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let shown = parts.join("::");
        let mut fault = |why: &str| out.push((line, format!("names `{shown}`: {why}")));
        match parts.as_slice() {
            ["crate", "*", ..] if kind == Kind::Sidecar => fault("name the modules"),
            ["crate", other, ..] if kind == Kind::Sidecar && other.starts_with(char::is_lowercase) => {
                match (order.get(own), order.get(*other)) {
                    (Some(mine), Some(theirs)) if theirs > mine => fault("a later layer"),
                    (_, None) if parts.len() > 2 => fault("not in the list of `src/lib.rs`"),
                    _ => {}
                }
            }
            ["crate", other, ..] if is_model && *other != "model" => {
                fault("`model` stands below the rest of the engine")
            }
            _ => {}
        }
        let first = if parts.len() > 1 { parts[0] } else { "" };
        let head = if parts.len() > 1 || parts[0].starts_with("cedar_policy") { parts[0] } else { "" };
        if head.starts_with("cedar_policy") && (kind != Kind::Engine || is_model) {
            fault("only the engine knows Cedar, and its `model` does not");
        }
        if (first == "hyper" || first.starts_with("hyper_") || first.starts_with("tonic")) && own != "transport" {
            fault("only `transport` knows HTTP");
        }
        if kind == Kind::Sidecar || test || test_file {
            continue;
        }
        let among = |words: &[&str]| parts.iter().any(|part| words.contains(part));
        if among(&["Mutex", "RwLock", "Condvar"]) || is_model && among(&["OnceLock", "LazyLock"]) {
            fault("it holds no locks");
        }
        if matches!(first, "tokio" | "futures") || matches!(parts.as_slice(), ["async"] | ["await"]) {
            fault("it is synchronous");
        }
        if among(&["Instant", "SystemTime"]) || matches!(parts.as_slice(), [.., "Timestamp" | "Zoned", "now"]) {
            fault("it is told the time");
        }
        // addresses are values; sockets are not
        if kind != Kind::Disk && matches!(parts.as_slice(), ["std", "fs", ..] | ["std", "os", ..])
            || among(&["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "ToSocketAddrs"])
        {
            fault("it is given bytes");
        }
    }
    out
}

#[test]
fn packages_need_only_those_before_them() {
    let members = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates")).unwrap();
    let mut members: Vec<String> = members.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    members.push("palisade".to_owned());
    members.sort();
    let mut listed = PACKAGES.map(|package| package.name);
    listed.sort_unstable();
    assert_eq!(members, listed, "the packages below `crates` and those of this list");
    for (place, package) in PACKAGES.iter().enumerate() {
        for need in package.needs() {
            let ours = PACKAGES.iter().position(|other| other.name == need);
            assert!(ours.is_none_or(|other| other < place), "`{}` needs `{need}`, a later package", package.name);
            assert!(
                package.kind != Kind::Engine || NEEDS_OF_THE_ENGINE.contains(&need.as_str()),
                "the engine needs `{need}`: is it small, and without threads, files and clocks of its own?"
            );
        }
    }
}

#[test]
fn modules_name_only_what_stands_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let order = order(&std::fs::read_to_string(root.join("src/lib.rs")).unwrap());
    assert!(order.len() >= 8, "the list of modules in src/lib.rs has another form: {order:?}");
    let mut found = Vec::new();
    for package in PACKAGES {
        let source = package.place().join("src");
        let files = rust_files(&source);
        assert!(!files.is_empty(), "{}", source.display());
        for path in files {
            let module = module_of(&source, &path);
            let shown = path.strip_prefix(root).unwrap().display().to_string();
            if package.kind == Kind::Sidecar {
                let Some(own) = module.first().filter(|own| *own != "main") else { continue };
                if !order.contains_key(own) {
                    found.push(format!("{shown}:1: `{own}` is not in the list of src/lib.rs"));
                }
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let faults = faults(package.kind, &text, &module, &order);
            found.extend(faults.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

// ---- The reader itself

fn module(text: &str) -> Vec<String> {
    text.split("::").map(str::to_owned).collect()
}

#[track_caller]
fn reads(text: &str, at: &str, expected: &[(usize, &str)]) {
    let found: Vec<(usize, String)> = names(text, &module(at))
        .into_iter()
        .filter(|named| named.path.len() > 1)
        .map(|named| (named.line, named.path.join("::")))
        .collect();
    let expected: Vec<(usize, String)> = expected.iter().map(|(line, path)| (*line, (*path).to_owned())).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn reads_plain_and_grouped_imports() {
    reads("use crate::state::State;\n", "a", &[(1, "crate::state::State")]);
    reads(
        "use crate::{\n  state::{State, self as st},\n  decide::*,\n  domain,\n};\nuse std::fmt;",
        "a",
        &[
            (2, "crate::state::State"),
            (2, "crate::state::self"),
            (3, "crate::decide::*"),
            (4, "crate::domain"),
            (6, "std::fmt"),
        ],
    );
    reads(
        "pub(crate) use ::hyper::{self, body::{Body as B, Incoming}};",
        "a",
        &[(1, "hyper::self"), (1, "hyper::body::Body"), (1, "hyper::body::Incoming")],
    );
}

#[test]
fn reads_paths_in_code() {
    reads(
        "fn f(x: &crate::state::State) -> hyper::Result<()> {\n  let y = crate::decide::Pdp::new::<u8>(x.y::<T>());\n  g!($crate::app::go);\n}",
        "a",
        &[(1, "crate::state::State"), (1, "hyper::Result"), (2, "crate::decide::Pdp::new"), (3, "crate::app::go")],
    );
}

#[test]
fn resolves_super_and_self() {
    reads(
        "use super::x::Y;\nuse super::super::state::Z;\nuse self::w;",
        "engine::guard",
        &[(1, "crate::engine::x::Y"), (2, "crate::state::Z"), (3, "crate::engine::guard::w")],
    );
    // an inline module is one level more, and no longer than its braces
    reads(
        "mod tests { use super::*; use super::super::x; fn f() { if a {} } }\nuse super::y;",
        "engine::guard",
        &[(1, "crate::engine::guard::*"), (1, "crate::engine::x"), (2, "crate::engine::y")],
    );
}

#[test]
fn skips_what_is_no_code() {
    reads(
        "//! [`crate::app`]\n/* crate::app /* crate::b */ crate::c */\nconst A: &str = \"crate::app \\\" crate::b\";\nconst B: &str = r#\"crate::app \" \"#;\nconst C: &[u8] = b\"crate::app\"; fn f<'a>(x: &'a str) { let c = ['\"', '\\'', '\\u{41}', 'é']; }\nuse crate::last;",
        "a",
        &[(6, "crate::last")],
    );
}

#[test]
fn reads_what_a_manifest_needs() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\n# why\na.workspace = true\nb-c = \"1\"\nd={ path = \"..\" }\n\n[dev-dependencies]\ne = \"1\"\n";
    assert_eq!(needs(manifest), ["a", "b-c", "d"]);
}

#[test]
fn finds_each_kind_of_fault() {
    use Kind::{Disk, Engine, Pure, Sidecar};
    let order = order(
        "//! - [`config`], [`telemetry`]: settings\n//! - [`state`]: now\n//! - [`decide`]: asks\n//! - [`transport`]: HTTP; alone knows `x`\n",
    );
    assert_eq!((order["config"], order["telemetry"], order["transport"], order.len()), (0, 0, 3, 5));
    for (kind, at, text, faulty) in [
        (Sidecar, "state", "use crate::{config::X, decide::Y};", true),
        (Sidecar, "state", "use crate::config::X;", false),
        (Sidecar, "state", "use palisade_engine::X;", false),
        (Sidecar, "config", "use crate::telemetry::X;", false),
        (Sidecar, "config", "fn f() { crate::state::x() }", true),
        (Sidecar, "state", "use crate::nowhere::X;", true),
        (Sidecar, "state", "use crate::*;", true),
        (Sidecar, "state", "fn f(x: cedar_policy::Entity) {}", true),
        (Sidecar, "state", "use cedar_policy_core as core;", true),
        (Sidecar, "state", "use hyper_util::rt;", true),
        (Sidecar, "state", "use std::{fs, sync::Mutex, time::Instant};", false),
        (Sidecar, "transport", "use {hyper::X, tonic::Y};", false),
        (Engine, "x", "use cedar_policy::Entity;", false),
        (Engine, "model::x", "use cedar_policy::Entity;", true),
        (Engine, "model::x", "use crate::store::X;", true),
        (Engine, "model::x", "use super::super::store::X;", true),
        (Engine, "model::x", "use crate::model::X;", false),
        (Engine, "model::x", "use std::sync::{Arc, Mutex};", true),
        (Engine, "model::x", "use std::sync::LazyLock;", true),
        (Engine, "model::x", "use std::sync::Arc;", false),
        (Engine, "x", "use std::sync::LazyLock;", false),
        (Engine, "x", "use std::sync::RwLock;", true),
        (Engine, "x", "use tokio::sync::watch;", true),
        (Engine, "x", "use std::time::Duration;", false),
        (Engine, "x", "use std::time::{Duration, Instant};", true),
        (Engine, "x", "fn f() { std::time::SystemTime::now(); }", true),
        (Engine, "x", "async fn f() {}", true),
        (Engine, "x", "use std::fs;", true),
        (Engine, "x", "use std::net::TcpStream;", true),
        (Engine, "x", "use std::net::IpAddr;", false),
        (Engine, "x", "#[cfg(test)]\nmod tests { use std::time::Instant; }", false),
        (Engine, "x", "#[cfg(test)]\nmod tests { }\nuse std::time::Instant;", true),
        (Engine, "tests::x", "use std::fs;", false),
        (Pure, "x", "use palisade_engine::model::Uid;", false),
        (Pure, "x", "use cedar_policy::Entity;", true),
        (Pure, "x", "use http::Uri; use hyper::X;", true),
        (Pure, "x", "use std::fs;", true),
        (Disk, "x", "use std::{fs::File, os::unix::fs::FileExt};", false),
        (Disk, "x", "use std::net::TcpStream;", true),
        (Disk, "x", "use std::time::Instant;", true),
        (Disk, "x", "use std::sync::Mutex;", true),
        (Disk, "x", "use tokio::fs;", true),
    ] {
        let found = faults(kind, text, &module(at), &order);
        assert_eq!(!found.is_empty(), faulty, "{kind:?} {at}: {text}: {found:?}");
    }
}
