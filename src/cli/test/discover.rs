//! Finds and reads the files of tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::test::model::{Case, Fault, TestFile};
use crate::cli::test::{json, yaml};

/// How deep directories of tests may be nested.
pub(super) const MAX_DEPTH: usize = 32;

/// Whether files and directories of that name are skipped: hidden ones, and what editors keep aside.
pub(super) fn is_skipped(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~')
}

/// Reads `place`, a file of tests or a directory of them, in the order of their names.
///
/// # Errors
/// If the directory cannot be listed. A file that cannot be read is a test that fails.
pub(super) fn read(place: &Path) -> io::Result<Vec<TestFile>> {
    let mut found = Vec::new();
    if place.is_dir() {
        list(place, "", 0, &mut found)?;
        found.sort();
    } else {
        let name = place.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        found.push((name, place.to_owned()));
    }
    let top = if place.is_dir() { place } else { place.parent().unwrap_or(Path::new(".")) };
    Ok(found.into_iter().map(|(id, path)| file(id, &path, top)).collect())
}

fn list(dir: &Path, inner: &str, depth: usize, found: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
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
            list(&path, &id, depth + 1, found)?;
        } else if is_test(&path) {
            found.push((id, path));
        }
    }
    Ok(())
}

fn is_test(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["json", "yaml", "yml"].iter().any(|known| ending == *known))
}

fn file(id: String, path: &Path, top: &Path) -> TestFile {
    let shown = path.display().to_string();
    let shown = shown.strip_prefix("./").unwrap_or(&shown).to_owned();
    let cases = fs::read_to_string(path)
        .map_err(|error| Fault { line: None, message: format!("cannot be read: {error}") })
        .and_then(|text| parse(path, &text, top));
    TestFile { path: shown, id, cases: cases.unwrap_or_else(broken) }
}

/// A file that is not a test file is one test that fails.
fn broken(fault: Fault) -> Vec<Case> {
    vec![Case { name: "(file)".to_owned(), line: fault.line, why: None, check: Err(fault) }]
}

fn parse(path: &Path, text: &str, top: &Path) -> Result<Vec<Case>, Fault> {
    if path.extension().is_some_and(|ending| ending == "json") {
        let dir = path.parent().unwrap_or(Path::new("."));
        json::parse(text, &|name| beside(dir, top, name))
    } else {
        yaml::parse(text)
    }
}

/// Reads a file that a test names, below the directory of tests only.
fn beside(dir: &Path, top: &Path, name: &str) -> Result<String, String> {
    let real = dir.join(name).canonicalize().map_err(|error| error.to_string())?;
    let top = top.canonicalize().map_err(|error| error.to_string())?;
    if !real.starts_with(&top) {
        return Err("it lies outside the directory of tests".to_owned());
    }
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
        let files = read(&root).unwrap();
        let ids: Vec<&str> = files.iter().map(|file| file.id.as_str()).collect();
        assert_eq!(ids, ["a.yaml", "b.json", "deep/c.yml", "z.json"]);
        assert!(files[3].cases[0].check.is_err());
        assert_eq!(read(&root.join("deep/c.yml")).unwrap()[0].id, "c.yml");
        assert!(read(&root.join("nowhere.json")).unwrap()[0].cases[0].check.is_err());
    }

    #[test]
    fn entities_from_a_file_below_the_tests() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tests");
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("e.txt"), "[]").unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        assert_eq!(beside(&root, &root, "e.txt").unwrap(), "[]");
        assert!(beside(&root, &root, "../secret").unwrap_err().contains("outside"));
    }
}
