//! The path that was probably meant, where there is nothing at the one that was named.

use std::fs;
use std::path::{Path, PathBuf};

use palisade_engine::model::closest;

/// How many names of a directory are compared.
const MOST_NAMES: usize = 10_000;

/// The end of a message that there is nothing at `path`: what is beside it and was probably meant, if something is near.
#[must_use]
pub fn near_path(path: &Path) -> String {
    if let Some((link, target)) = dangling(path) {
        return format!("; `{}` is a link to `{}`, which is not there", link.display(), target.display());
    }
    nearest(path).map(|near| format!("; did you mean `{}`?", near.display())).unwrap_or_default()
}

/// The part of the path that is a link to nothing, and what it names.
fn dangling(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let wrong = path.ancestors().filter(|part| !part.exists()).last()?;
    Some((wrong.to_owned(), fs::read_link(wrong).ok()?))
}

/// The first part of the path that is not there is the one that was misspelt.
fn nearest(path: &Path) -> Option<PathBuf> {
    let wrong = path.ancestors().filter(|part| !part.exists()).last()?;
    let name = wrong.file_name()?.to_string_lossy();
    let directory = wrong.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(directory).ok()?.flatten().take(MOST_NAMES);
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let near = closest(&name, names.iter().map(String::as_str).filter(|name| !name.starts_with('.')))?;
    let rest = path.strip_prefix(wrong).ok()?;
    let near = wrong.with_file_name(near);
    Some(if rest.as_os_str().is_empty() { near } else { near.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("bundle/entities")).unwrap();
        fs::write(dir.path().join("bundle/routes.yaml"), "").unwrap();
        fs::write(dir.path().join(".bundles"), "").unwrap();
        for (named, meant) in [
            ("bundle/entitis", Some("bundle/entities")),
            ("bundel/entities", Some("bundle/entities")),
            ("bundle/routes", Some("bundle/routes.yaml")),
            ("bundle/tests", None),
            ("bundle/entities", None),
            ("elsewhere/entities", None),
        ] {
            let expected = meant.map(|meant| format!("; did you mean `{}`?", dir.path().join(meant).display()));
            assert_eq!(near_path(&dir.path().join(named)), expected.unwrap_or_default(), "{named}");
        }
        std::os::unix::fs::symlink("bundle/gone", dir.path().join("current")).unwrap();
        for named in ["current", "current/policies"] {
            let said = near_path(&dir.path().join(named));
            let link = dir.path().join("current").display().to_string();
            assert_eq!(said, format!("; `{link}` is a link to `bundle/gone`, which is not there"), "{named}");
        }
    }
}
