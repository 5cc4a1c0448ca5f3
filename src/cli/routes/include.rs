//! Finds what an `include` of nginx names: a path or a pattern, from the directory of the main file.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use palisade_gateway_lint::{MOST_BYTES, NO_DIRECTORY};

/// The files that `pattern` names and their texts, in the order of their names, as nginx reads them.
///
/// # Errors
/// If a file that is named outright is not there or cannot be read, the directory in front of a pattern is not there, or the
/// pattern is of a kind that is not known here.
pub(super) fn files(directory: &Path, pattern: &str) -> Result<Vec<(String, String)>, String> {
    if pattern.contains('[') {
        return Err(format!("`{pattern}` has a character class (`[...]`), which is not supported here"));
    }
    let mut found = vec![directory.to_owned()];
    for component in Path::new(pattern).components() {
        found = match component {
            Component::Normal(name) if has_wildcard(&name.to_string_lossy()) => {
                found.iter().flat_map(|directory| matching(directory, &name.to_string_lossy())).collect()
            }
            // an absolute path replaces what it is joined to
            component => found.into_iter().map(|directory| directory.join(component)).collect(),
        };
    }
    let wild = has_wildcard(pattern);
    let start = directory.join(before_wildcard(pattern));
    if wild && found.is_empty() && !start.as_os_str().is_empty() && !start.is_dir() {
        return Err(format!("{NO_DIRECTORY} `{}` here", start.display()));
    }
    let mut texts = Vec::new();
    for path in found.iter().filter(|path| !wild || path.is_file()) {
        let origin = path.display().to_string();
        let text = read(path).map_err(|error| format!("cannot read `{origin}`: {error}"))?;
        if text.len() > MOST_BYTES {
            return Err(format!("`{origin}` has more than {MOST_BYTES} bytes"));
        }
        texts.push((origin, text));
    }
    Ok(texts)
}

/// The text of a file, up to one byte more than is looked at.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The directories in front of the first name that is a pattern.
fn before_wildcard(pattern: &str) -> PathBuf {
    Path::new(pattern).components().take_while(|part| !has_wildcard(&part.as_os_str().to_string_lossy())).collect()
}

/// What is in a directory under a matching name; a directory that cannot be read holds nothing, as for nginx.
fn matching(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // hidden files are matched only where they are named
            (pattern.starts_with('.') || !name.starts_with('.')) && matches(pattern.as_bytes(), name.as_bytes())
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether a name is what a pattern with `*` and `?` means.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // where the last `*` stands, and how much of the name it has taken so far
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(c) if *c == b'?' || *c == name[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                Some((position, taken)) => {
                    star = Some((position, taken + 1));
                    (at, seen) = (position + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_a_shell_matches_them() {
        for (pattern, name, expected) in [
            ("*", "a.conf", true),
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.old", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?.conf", "a.conf", true),
            ("?.conf", "ab.conf", false),
            ("a", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_found_from_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for (name, text) in [("one", "1"), ("sites/b.conf", "2"), ("sites/a.conf", "3"), ("sites/.c.conf", "4")] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        }
        let texts = |pattern: &str| {
            files(root, pattern).map(|found| found.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" "))
        };
        for (pattern, expected) in [
            ("one", "1"),
            (root.join("one").to_str().unwrap(), "1"),
            ("sites/*.conf", "3 2"),
            ("*/a.conf", "3"),
            ("sites/*.none", ""),
            ("sites/*/a.conf", ""),
            ("*", "1"),
        ] {
            assert_eq!(texts(pattern).as_deref(), Ok(expected), "{pattern}");
        }
        for pattern in ["two", "sites/[ab].conf", "sites", "none/*.conf", "one/*.conf", "sites/none/*/a.conf"] {
            texts(pattern).unwrap_err();
        }
    }
}
