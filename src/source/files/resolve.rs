//! Follows symlinks one at a time, and remembers where they are.
//!
//! `canonicalize` would say where a path leads, but not by which links, and a watch must know: the
//! swap of a link in the middle of a path (`/srv/current -> releases/42`) changes every file below
//! and touches none of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// As many links in one path as Linux follows.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Resolved {
    /// To this, by a path without links.
    Found(PathBuf),
    /// To nothing.
    Missing,
    /// In circles.
    Loop,
    /// To somewhere that may not be looked at.
    Unreadable(io::Error),
}

/// Follows `path` from `base`, which has no links itself (and does not matter if `path` is absolute).
///
/// Adds to `turns` every link on the way, and what was missing: the places where the path would
/// come to lead elsewhere.
pub(super) fn resolve(base: &Path, path: &Path, turns: &mut BTreeSet<PathBuf>) -> Resolved {
    let mut done = base.to_owned();
    let mut todo = parts(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == "." {
            continue;
        }
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(part);
        match fs::symlink_metadata(&done) {
            Ok(metadata) if metadata.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Resolved::Loop;
                }
                let target = match fs::read_link(&done) {
                    Ok(target) => target,
                    Err(error) => return unreachable(error, done, turns),
                };
                todo.extend(parts(&target));
                let parent = done.parent().map(Path::to_owned).unwrap_or_default();
                turns.insert(std::mem::replace(&mut done, parent));
            }
            Ok(_) => {}
            Err(error) => return unreachable(error, done, turns),
        }
    }
    Resolved::Found(done)
}

fn unreachable(error: io::Error, at: PathBuf, turns: &mut BTreeSet<PathBuf>) -> Resolved {
    turns.insert(at);
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Resolved::Missing,
        _ => Resolved::Unreadable(error),
    }
}

/// The components, last first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|component| component.as_os_str().to_owned()).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn follows_as_the_system_does() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/deep")).unwrap();
        fs::write(base.join("real/deep/file"), "x").unwrap();
        symlink("real", base.join("relative")).unwrap();
        symlink(base.join("relative/deep"), base.join("absolute")).unwrap();
        symlink("../relative/../absolute/file", base.join("real/winding")).unwrap();
        symlink("round", base.join("round")).unwrap();
        symlink("gone/file", base.join("dangling")).unwrap();

        for name in
            ["real/deep/file", "relative/deep", "absolute/file", "real/winding", "./real/../absolute", "real/deep/.."]
        {
            let mut turns = BTreeSet::new();
            let Resolved::Found(found) = resolve(&base, Path::new(name), &mut turns) else { panic!("{name}") };
            assert_eq!(found, base.join(name).canonicalize().unwrap(), "{name}");
        }
        let mut turns = BTreeSet::new();
        assert!(matches!(resolve(&base, Path::new("round"), &mut turns), Resolved::Loop));
        assert!(matches!(resolve(&base, Path::new("real/deep/file/x"), &mut turns), Resolved::Missing));

        let mut turns = BTreeSet::new();
        assert!(matches!(resolve(&base, Path::new("dangling"), &mut turns), Resolved::Missing));
        assert_eq!(turns, BTreeSet::from([base.join("dangling"), base.join("gone")]));

        let mut turns = BTreeSet::new();
        resolve(Path::new("/"), &base.join("real/winding"), &mut turns);
        assert!(turns.is_superset(&BTreeSet::from([
            base.join("real/winding"),
            base.join("relative"),
            base.join("absolute")
        ])));
    }
}
