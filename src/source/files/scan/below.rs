//! The names in a directory that is not read: what its author may think is read.

use std::fs;
use std::path::Path;

use super::{MAX_DEPTH, MAX_SKIPPED, Walk};
use crate::source::files::names;

/// How a look at names ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// All of them were seen.
    Whole,
    /// Who looks has seen enough.
    Enough,
    /// There are more names than are looked at; the directory, below the one that was looked into, where that was.
    Stopped(String),
}

/// Shows the name of each file below `dir` to `see`, with its path from there, until that says that it has seen enough.
/// Hidden names are skipped, and links are not followed. Looks at `left` names at most, and takes them off.
pub(super) fn names_below(
    dir: &Path,
    inner: &str,
    left: &mut usize,
    see: &mut dyn FnMut(&str, &str) -> bool,
) -> Looked {
    if inner.split('/').count() > MAX_DEPTH {
        return Looked::Stopped(inner.to_owned());
    }
    // what cannot be listed is not read either
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().take(*left + 1).collect();
    if entries.len() > *left {
        // which of them were listed is not the same every time
        return Looked::Stopped(inner.to_owned());
    }
    *left -= entries.len();
    entries.sort_unstable_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if names::is_hidden(&shown) {
            continue;
        }
        let inner = if inner.is_empty() { shown.clone().into_owned() } else { format!("{inner}/{shown}") };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            match names_below(&entry.path(), &inner, left, see) {
                Looked::Whole => {}
                ended => return ended,
            }
        } else if !see(&shown, &inner) {
            return Looked::Enough;
        }
    }
    Looked::Whole
}

impl Walk<'_> {
    /// Says that a directory which is not read was not looked at to its end.
    pub(super) fn stopped(&mut self, inner: &str) {
        let message = format!(
            "this directory is not read, and not looked at to its end for files that should be: there are more than \
             {MAX_SKIPPED} names, or more than {MAX_DEPTH} levels"
        );
        self.warn_unread(inner, &message, "move it out of the bundle, or put a dot before its name");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_at_to_the_end_or_it_is_said_where_that_stopped() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.cedar", "b/c.cedar", "b/d/e.cedar", ".hidden/f.cedar", "g.txt"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        // names that may be looked at, how many are enough, what is seen, and how it ends
        for (mut left, enough, expected, ended) in [
            (100, 9, "a.cedar b/c.cedar b/d/e.cedar g.txt", Looked::Whole),
            // with the directories and what is hidden there are seven
            (7, 9, "a.cedar b/c.cedar b/d/e.cedar g.txt", Looked::Whole),
            (6, 9, "a.cedar b/c.cedar", Looked::Stopped("b/d".to_owned())),
            (4, 9, "a.cedar", Looked::Stopped("b".to_owned())),
            (3, 9, "", Looked::Stopped(String::new())),
            (100, 2, "a.cedar b/c.cedar", Looked::Enough),
        ] {
            let mut seen = Vec::new();
            let looked = names_below(dir.path(), "", &mut left, &mut |_, inner| {
                seen.push(inner.to_owned());
                seen.len() < enough
            });
            assert_eq!((seen.join(" ").as_str(), looked), (expected, ended));
        }
    }
}
