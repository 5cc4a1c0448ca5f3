//! What lies in a bundle directory outside its parts, though its name says that it decides.

use std::fs;
use std::path::Path;

use super::below::{Looked, names_below};
use super::{MAX_SKIPPED, Walk};
use crate::source::files::names::{self, Role};

/// The directories that a bundle directory has. Each is a root of its own.
const PARTS: [&str; 4] = ["policies", "entities", "routes", "tests"];

const NOT_READ: &str = "this file is not read: a bundle directory has its policies, links and rules in `policies`";

impl Walk<'_> {
    /// Reports what lies in a bundle directory and is read from `policies` alone: a `forbid` would be missed. Refuses what
    /// lies beside `policies`, and warns of what is in other directories there.
    pub(super) fn strays(&mut self, top: &Path) {
        let read = |name: &str| matches!(names::role(name), Some(Role::Policies | Role::Links | Role::Rules));
        let mut left = MAX_SKIPPED;
        let mut entries: Vec<_> = fs::read_dir(top).into_iter().flatten().flatten().take(left + 1).collect();
        let is_whole = entries.len() <= left;
        entries.sort_unstable_by_key(fs::DirEntry::file_name);
        self.within.push(top.to_owned());
        for entry in entries {
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            if names::is_skipped(&shown) || PARTS.contains(&&*shown) {
                continue;
            }
            if !entry.path().is_dir() {
                if read(&shown) && !self.is_named(&entry.path()) {
                    self.scan.turns.insert(entry.path());
                    self.problem(&shown, NOT_READ.to_owned(), "move it into `policies`, or put a dot before its name");
                }
                continue;
            }
            let looked = names_below(&entry.path(), "", &mut left, &mut |name, below| {
                if read(name) && !self.is_named(&entry.path().join(below)) {
                    let help = "move it below `policies`, or put a dot before its name";
                    self.warn_unread(&format!("{shown}/{below}"), NOT_READ, help);
                }
                true
            });
            if let Looked::Stopped(below) = looked {
                self.stopped(format!("{shown}/{below}").trim_end_matches('/'));
                break;
            }
        }
        if !is_whole {
            self.stopped("");
        }
        self.within.pop();
    }

    /// Whether a key names this file, or a directory that it is in.
    pub(super) fn is_named(&self, path: &Path) -> bool {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.named.iter().any(|root| *root != self.top && real.starts_with(root) && root.starts_with(&self.top))
    }
}
