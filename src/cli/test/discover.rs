//! Finds and reads the files of tests.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::test::model::{Case, Fault, TestFile};
use crate::cli::test::{json, yaml};
use palisade_engine::model::{Diagnostic, closest};

/// How deep directories of tests may be nested.
pub(super) const MAX_DEPTH: usize = 32;

/// How many files that are not read are named.
const MAX_UNREAD: usize = 100;

/// The endings of files of tests.
const ENDINGS: [&str; 3] = [".json", ".yaml", ".yml"];

/// The endings of files of mutants that may live.
const ACCEPTED: [&str; 2] = [".mutants.yaml", ".mutants.yml"];

/// The endings of what is read elsewhere: among the tests, reading the policies warns of it.
const OTHERS: [&str; 2] = [".cedar", ".cedarschema"];

/// Whether files and directories of that name are skipped: hidden ones, and what editors keep aside.
pub(super) fn is_skipped(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~')
}

/// The files of a place.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Files of tests: each with its path under the place, in the order of those.
    pub(crate) tests: Vec<(String, PathBuf)>,
    /// Files of mutants that may live.
    pub(crate) accepted: Vec<PathBuf>,
    /// Others, which their author may take for tests.
    pub(crate) others: Vec<PathBuf>,
}

/// What tests there are, and what their author should see.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files, in the order of their names.
    pub(crate) files: Vec<TestFile>,
    /// Files of mutants that may live.
    pub(crate) accepted: Vec<PathBuf>,
    /// The files that are not read, one warning each.
    pub(crate) warnings: Vec<Diagnostic>,
}

// === impl Found ===

impl Found {
    /// Makes each file without a test one that fails, where others have some: its tests may have been lost.
    pub(crate) fn refuse_empty(&mut self) {
        for file in self.files.iter_mut().filter(|file| file.cases.is_empty()) {
            let message = "there is no test in this file: restore its tests, or remove it".to_owned();
            file.cases = broken(Fault { line: None, message });
        }
    }
}

// === impl Listed ===

impl Listed {
    /// Lists `place`, a directory or one file, which may have any name.
    ///
    /// # Errors
    /// If a directory cannot be listed.
    pub(crate) fn of(place: &Path) -> io::Result<Self> {
        let mut listed = Self::default();
        if place.is_dir() {
            listed.add(place, "", 0)?;
            listed.tests.sort();
            listed.accepted.sort();
            listed.others.sort();
        } else {
            let name = place.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            listed.tests.push((name, place.to_owned()));
        }
        Ok(listed)
    }

    fn add(&mut self, dir: &Path, inner: &str, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other(format!("{}: nested too deeply", dir.display())));
        }
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if is_skipped(&name) {
                continue;
            }
            let id = if inner.is_empty() { name.clone() } else { format!("{inner}/{name}") };
            if path.is_dir() {
                self.add(&path, &id, depth + 1)?;
            } else if ACCEPTED.iter().any(|ending| name.ends_with(ending)) {
                self.accepted.push(path);
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                self.tests.push((id, path));
            } else if !name.ends_with(".md") && !OTHERS.iter().any(|ending| name.ends_with(ending)) {
                self.others.push(path);
            }
        }
        Ok(())
    }
}

/// Says of each file that it is not read as tests.
pub(crate) fn unread<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<Diagnostic> {
    let mut paths = paths.into_iter();
    let mut warnings: Vec<Diagnostic> = paths.by_ref().take(MAX_UNREAD).map(unread_file).collect();
    let more = paths.count();
    if more > 0 {
        let message = format!("{more} more files among the tests are not read");
        warnings.push(Diagnostic::error("tests", message).warning().help("move them away"));
    }
    warnings
}

fn unread_file(path: &Path) -> Diagnostic {
    let message = "this file is not read: tests are in files named `*.json`, `*.yaml` or `*.yml`";
    let help = "move it away, or put a dot before its name";
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // an ending in other letters, a misspelt one, or one behind which another was put
    let meant = name.match_indices('.').filter(|(at, _)| *at > 0).find_map(|(at, _)| {
        let ending = name[at + 1..].split('.').next().unwrap_or_default();
        closest(&format!(".{ending}"), ENDINGS).map(|meant| format!("{}{meant}", &name[..at]))
    });
    let help = match meant {
        Some(meant) => format!("if it holds tests, rename it to `{meant}`; else {help}"),
        None => help.to_owned(),
    };
    Diagnostic::error(shown(path), message).warning().help(help)
}

/// Reads `place`, a file of tests or a directory of them, in the order of their names.
///
/// # Errors
/// If the directory cannot be listed. A file that cannot be read is a test that fails.
pub(super) fn read(place: &Path) -> io::Result<Found> {
    let listed = Listed::of(place)?;
    let top = if place.is_dir() { place } else { place.parent().unwrap_or(Path::new(".")) };
    let named = RefCell::new(BTreeSet::new());
    let mut files: Vec<(PathBuf, TestFile)> =
        listed.tests.into_iter().map(|(id, path)| (path.clone(), file(id, &path, top, &named))).collect();
    let named = named.into_inner();
    let is_named = |path: &Path| !named.is_empty() && path.canonicalize().is_ok_and(|real| named.contains(&real));
    // entities that a test names lie among the tests, as in the examples of Cedar
    files.retain(|(path, file)| file.cases.iter().any(|case| case.check.is_ok()) || !is_named(path));
    let warnings = unread(listed.others.iter().map(PathBuf::as_path).filter(|path| !is_named(path)));
    let files = files.into_iter().map(|(_, file)| file).collect();
    Ok(Found { files, accepted: listed.accepted, warnings })
}

fn file(id: String, path: &Path, top: &Path, named: &RefCell<BTreeSet<PathBuf>>) -> TestFile {
    let cases = fs::read_to_string(path)
        .map_err(|error| Fault { line: None, message: format!("cannot be read: {error}") })
        .and_then(|text| parse(path, &text, top, named));
    TestFile { path: shown(path), id, cases: cases.unwrap_or_else(broken) }
}

fn shown(path: &Path) -> String {
    let shown = path.display().to_string();
    shown.strip_prefix("./").unwrap_or(&shown).to_owned()
}

/// A file that is not a test file is one test that fails.
fn broken(fault: Fault) -> Vec<Case> {
    vec![Case { name: "(file)".to_owned(), line: fault.line, why: None, check: Err(fault) }]
}

fn parse(path: &Path, text: &str, top: &Path, named: &RefCell<BTreeSet<PathBuf>>) -> Result<Vec<Case>, Fault> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let open = |name: &str| beside(dir, top, name, named);
    if path.extension().is_some_and(|ending| ending == "json") {
        json::parse(text, &open)
    } else {
        yaml::parse(text, &open)
    }
}

/// Reads a file that a test names, below the directory of tests only, and notes which it is.
fn beside(dir: &Path, top: &Path, name: &str, named: &RefCell<BTreeSet<PathBuf>>) -> Result<String, String> {
    // the directory of a file in the working directory has no name
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let top = if top.as_os_str().is_empty() { Path::new(".") } else { top };
    let real = dir.join(name).canonicalize().map_err(|error| error.to_string())?;
    let top = top.canonicalize().map_err(|error| error.to_string())?;
    if !real.starts_with(&top) {
        return Err("it is outside the directory of tests: move it there".to_owned());
    }
    named.borrow_mut().insert(real.clone());
    fs::read_to_string(real).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tests");
        fs::create_dir_all(root.join("deep")).unwrap();
        for name in ["b.json", "a.yaml", "deep/c.yml", "notes.md", ".hidden.json", "a.yaml~"] {
            fs::write(root.join(name), if name.ends_with("json") { "[]" } else { "tests: []" }).unwrap();
        }
        fs::write(root.join("z.json"), "{").unwrap();
        let files = read(&root).unwrap().files;
        let ids: Vec<&str> = files.iter().map(|file| file.id.as_str()).collect();
        assert_eq!(ids, ["a.yaml", "b.json", "deep/c.yml", "z.json"]);
        assert!(files[3].cases[0].check.is_err());
        assert_eq!(read(&root.join("deep/c.yml")).unwrap().files[0].id, "c.yml");
        assert!(read(&root.join("nowhere.json")).unwrap().files[0].cases[0].check.is_err());
    }

    /// What is in a directory: the ids of the files that hold tests, and the warnings.
    #[test]
    fn every_file_is_a_test_is_named_by_one_or_is_warned_of() {
        let uses = |file: &str| {
            let request = r#"{"principal":"U::\"a\"","action":"Action::\"b\"","resource":"R::\"c\""}"#;
            format!(r#"[{{"request":{request},"decision":"deny","entities":"{file}"}}]"#)
        };
        let (plain, deep, up) = (uses("entity.json"), uses("data/e.yaml"), uses("../secret.json"));
        let own = uses("a.json");
        for (files, ids, warnings) in [
            // as in the examples of Cedar
            (&[("a.json", &*plain), ("entity.json", "[]")][..], &["a.json"][..], &[][..]),
            (&[("a.json", &plain), ("entity.json", r#"[{"uid": 1}]"#)], &["a.json"], &[]),
            (&[("a.json", &deep), ("data/e.yaml", "[]")], &["a.json"], &[]),
            (
                &[("a.json", &uses("e.txt")), ("e.txt", "[]"), ("f.txt", "")],
                &["a.json"],
                &["f.txt: warning: this file"],
            ),
            // what no test names is a test, and so is what holds one
            (&[("a.json", &plain), ("entity.json", "[]"), ("b.json", "[{}]")], &["a.json", "b.json"], &[]),
            (&[("a.json", &own)], &["a.json"], &[]),
            (&[("t/a.json", &up), ("secret.json", "[]")], &["t/a.json"], &[]),
            (&[("more.YAML", "")], &[], &["rename it to `more.yaml`"]),
            (&[("more.yaml.txt", "")], &[], &["rename it to `more.yaml`"]),
            (&[("d/more.ymal", "")], &[], &["rename it to `more.yaml`"]),
            (&[("all.JSON", "")], &[], &["rename it to `all.json`"]),
            (
                &[("notes", ""), ("run.sh", "")],
                &[],
                &["notes: warning: this file is not read", "run.sh: warning: this"],
            ),
            // documentation, what reading the policies warns of, and what is hidden
            (&[("a.md", ""), ("p.cedar", ""), ("s.cedarschema", ""), (".x", ""), ("a.yaml~", "")], &[], &[]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let found = read(dir.path()).unwrap();
            assert_eq!(found.files.iter().map(|file| file.id.as_str()).collect::<Vec<_>>(), ids, "{files:?}");
            let said: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
            assert_eq!(said.len(), warnings.len(), "{files:?}: {said:?}");
            for (said, part) in said.iter().zip(warnings) {
                assert!(said.contains(part), "{said}");
            }
        }
    }

    #[test]
    fn files_share_fixtures() {
        const TEST: &str = "tests:\n  - {name: t, principal: U::a, action: b, resource: R::c, expect: deny}\n";
        let shared = "namespace: N\ndefaults: {context: {a: 1, b: 1}}\nentities: [{uid: U::z}]\nwithout: M::U::y\n";
        for (include, shared, said) in [
            ("x/shared.yaml", shared, Ok(())),
            ("[x/shared.yaml]", shared, Ok(())),
            ("x/other.yaml", shared, Err("a.yaml:1: `include`: `x/other.yaml`: No such file")),
            ("../x.yaml", shared, Err("`include`: `../x.yaml`: ")),
            ("x/shared.yaml", TEST, Err("`x/shared.yaml`: line 1: a file that is included has no `tests`")),
            ("x/shared.yaml", "include: y\n", Err("a file that is included has no `include`")),
            ("x/shared.yaml", "entitys: y\n", Err("line 1: unknown key `entitys`; a file that is included has")),
            ("x/shared.yaml", "defaults: {expect: deny}\n", Err("`defaults.expect` is not shared")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("x")).unwrap();
            fs::write(dir.path().join("x/shared.yaml"), shared).unwrap();
            let text =
                format!("include: {include}\ndefaults: {{context: {{b: 2}}}}\nentities: [{{uid: U::z}}]\n{TEST}");
            fs::write(dir.path().join("a.yaml"), text).unwrap();
            let found = read(dir.path()).unwrap();
            let file = found.files.iter().find(|file| file.id == "a.yaml").unwrap();
            match (&file.cases[0].check, said) {
                (Ok(check), Ok(())) => {
                    // what is included is no file of tests, and comes first
                    assert_eq!((found.files.len(), found.warnings.len()), (1, 0));
                    assert_eq!(check.request.context.to_json(), serde_json::json!({"a": 1, "b": 2}));
                    let crate::cli::test::Store::Changed(changes) = &check.store else { panic!() };
                    let shown = format!("{changes:?}");
                    let at = |name: &str| shown.find(name).unwrap_or_else(|| panic!("{name}: {shown}"));
                    assert!(
                        at("\"N::U\"") < at("type_name: \"U\"") && at("type_name: \"U\"") < at("\"N::M\""),
                        "{shown}"
                    );
                }
                (Err(fault), Err(part)) => {
                    let shown = format!("a.yaml:{}: {}", fault.line.unwrap_or_default(), fault.message);
                    assert!(shown.contains(part), "{shown}");
                }
                (got, said) => panic!("{include}: {got:?} {said:?}"),
            }
        }
    }

    #[test]
    fn entities_from_a_file_below_the_tests() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tests");
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("e.txt"), "[]").unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        let named = RefCell::default();
        assert_eq!(beside(&root, &root, "e.txt", &named).unwrap(), "[]");
        assert!(beside(&root, &root, "../secret", &named).unwrap_err().contains("outside"));
    }
}
