//! The structure of the workspace: which package needs which, and which module names which, read from the text itself.
//!
//! The order of the packages is `PACKAGES`, that of the sidecar's modules the list in the documentation of `src/lib.rs`, that
//! of the engine's the table in ARCHITECTURE.md.
//! A new package or module goes into its list; one that breaks a rule here either stands in the wrong place or needs a
//! value from `palisade_engine::model` instead.

mod reader;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use reader::{Named, module, names};

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

/// Module and place in the table of the engine's modules, which are in the order in which they are read there.
fn order_of_engine(architecture: &str) -> HashMap<String, usize> {
    let section = architecture.lines().skip_while(|line| *line != "## The engine's modules").skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.enumerate().map(|(place, name)| (name.to_owned(), place)).collect()
}

/// Modules of the engine that name a later one, and that later one. What decides takes a whole state, and the state is made of
/// it. The list may become shorter, and never longer.
const CIRCLES: [(&str, &str); 6] = [
    ("policies", "snapshot"),
    ("compiled", "reference"),
    ("compiled", "snapshot"),
    ("reference", "snapshot"),
    ("data_rules", "snapshot"),
    ("change", "snapshot"),
];

/// The module of its own package that a path begins with.
fn named_module<'p>(parts: &[&'p str]) -> Option<&'p str> {
    match parts {
        ["crate", other, ..] if other.starts_with(char::is_lowercase) => Some(other),
        _ => None,
    }
}

/// What is wrong with one file of a package. `order` is that of the package's modules, where it has one.
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
            ["crate", other, ..] if kind == Kind::Engine && !is_model && !test && !test_file => {
                if let (Some(mine), Some(theirs)) = (order.get(own), order.get(*other))
                    && theirs > mine
                    && !CIRCLES.contains(&(own, other))
                {
                    fault("a later layer of the engine");
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
    let of_sidecar = order(&std::fs::read_to_string(root.join("src/lib.rs")).unwrap());
    assert!(of_sidecar.len() >= 8, "the list of modules in src/lib.rs has another form: {of_sidecar:?}");
    let of_engine = order_of_engine(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    assert!(of_engine.len() >= 30, "the table of the engine's modules has another form: {of_engine:?}");
    let (mut found, mut circles) = (Vec::new(), HashSet::new());
    for package in PACKAGES {
        let source = package.place().join("src");
        let files = rust_files(&source);
        assert!(!files.is_empty(), "{}", source.display());
        for path in files {
            let module = module_of(&source, &path);
            let shown = path.strip_prefix(root).unwrap().display().to_string();
            let order = if package.kind == Kind::Engine { &of_engine } else { &of_sidecar };
            let own = module.first().filter(|own| !matches!(own.as_str(), "main" | "tests"));
            let listed = match package.kind {
                Kind::Sidecar => "the list of src/lib.rs",
                Kind::Engine => "the table of the engine's modules in ARCHITECTURE.md",
                Kind::Pure | Kind::Disk => "",
            };
            if let Some(own) = own.filter(|own| !listed.is_empty() && !order.contains_key(*own)) {
                found.push(format!("{shown}:1: `{own}` is not in {listed}"));
            }
            if package.kind == Kind::Sidecar && own.is_none() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if let (Kind::Engine, Some(own)) = (package.kind, own) {
                for Named { path, .. } in names(&text, &module).iter().filter(|named| !named.test) {
                    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
                    circles.extend(named_module(&parts).map(|other| (own.clone(), other.to_owned())));
                }
            }
            let faults = faults(package.kind, &text, &module, order);
            found.extend(faults.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
        }
    }
    for (own, other) in CIRCLES {
        if !circles.contains(&(own.to_owned(), other.to_owned())) {
            found.push(format!("`{own}` does not name `{other}` any more: take them out of `CIRCLES`"));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The files of the engine that name `cedar_policy_core`, Cedar's own trees: they move with each of its releases. A new one
/// asks another file of this list instead. The list may become shorter, and never longer.
const NAME_CEDARS_TREES: [&str; 57] = [
    "cedar.rs",
    "compiled/candidates.rs",
    "compiled/compile.rs",
    "compiled/decide.rs",
    "compiled/reach.rs",
    "compiled/set.rs",
    "compiled/slice.rs",
    "data_rules.rs",
    "decode.rs",
    "entities.rs",
    "explain/contested.rs",
    "explain/edits.rs",
    "explain/goals.rs",
    "explain/goals/near.rs",
    "explain/groups.rs",
    "explain/links.rs",
    "explain/made_up.rs",
    "explain/mod.rs",
    "explain/mutate/draft.rs",
    "explain/mutate/links.rs",
    "explain/mutate/mod.rs",
    "explain/mutate/search.rs",
    "explain/mutate/search/contexts.rs",
    "explain/mutate/stage.rs",
    "explain/mutate/standing.rs",
    "explain/mutate/trial.rs",
    "explain/scene.rs",
    "explain/search.rs",
    "explain/seen.rs",
    "explain/ties.rs",
    "explain/tree.rs",
    "explain/values.rs",
    "facts.rs",
    "layout.rs",
    "lint/actions.rs",
    "lint/mod.rs",
    "lint/policies.rs",
    "load/actions.rs",
    "load/mod.rs",
    "misfit/calls.rs",
    "policies.rs",
    "policies/about.rs",
    "policies/data.rs",
    "policies/json.rs",
    "policies/json/words.rs",
    "policies/link.rs",
    "policies/named.rs",
    "policies/trees.rs",
    "reference.rs",
    "schema.rs",
    "schema/faults.rs",
    "schema/members.rs",
    "schema/references.rs",
    "steps.rs",
    "steps/carried.rs",
    "validating.rs",
    "validating/words.rs",
];

#[test]
fn few_files_know_cedars_trees() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/palisade-engine/src");
    let mut found: Vec<String> = Vec::new();
    for path in rust_files(&source) {
        let module = module_of(&source, &path);
        if module.iter().any(|part| part == "tests" || part.ends_with("_tests")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let named = names(&text, &module);
        if named.iter().any(|named| !named.test && named.path.first().is_some_and(|head| head == "cedar_policy_core")) {
            found.push(path.strip_prefix(&source).unwrap().display().to_string());
        }
    }
    let new: Vec<&String> = found.iter().filter(|file| !NAME_CEDARS_TREES.contains(&file.as_str())).collect();
    assert!(new.is_empty(), "these name `cedar_policy_core`, and did not: {new:?}");
    let gone: Vec<&&str> = NAME_CEDARS_TREES.iter().filter(|file| !found.iter().any(|known| known == *file)).collect();
    assert!(gone.is_empty(), "these do not name `cedar_policy_core` any more: take them out of the list: {gone:?}");
}

// ---- What looks at them

#[test]
fn reads_what_a_manifest_needs() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\n# why\na.workspace = true\nb-c = \"1\"\nd={ path = \"..\" }\n\n[dev-dependencies]\ne = \"1\"\n";
    assert_eq!(needs(manifest), ["a", "b-c", "d"]);
}

#[test]
fn reads_the_table_of_the_engines_modules() {
    let text = "## Other\n| `no` | x |\n## The engine's modules\n\n| module | what |\n|---|---|\n| `a`, `b` | `not` |\n| `c` | |\n\n## Next\n| `d` | |\n";
    let mut found: Vec<(String, usize)> = order_of_engine(text).into_iter().collect();
    found.sort();
    assert_eq!(found, [("a".to_owned(), 0), ("b".to_owned(), 1), ("c".to_owned(), 2)]);
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
        (Engine, "config", "use crate::transport::X;", true),
        (Engine, "transport", "use crate::config::X;", false),
        (Engine, "config", "#[cfg(test)]\nmod tests { use crate::transport::X; }", false),
        (Engine, "tests::config", "use crate::transport::X;", false),
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
