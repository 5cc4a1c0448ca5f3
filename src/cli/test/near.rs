//! Where tests may lie that are looked for elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::test::discover::Listed;
use crate::source::Layout;

/// Names a file that may hold the tests, as the end of a message that there are none.
pub(super) fn tests(layout: &Layout) -> Option<String> {
    let place = layout.tests();
    let policies = place.parent()?;
    let beside = policies.parent().unwrap_or(Path::new("")).join("tests");
    let found = first_below(&beside).or_else(|| first_in(policies))?;
    Some(format!(
        "; `{}` is not looked at: if it holds tests, move it there, or name its place with `--tests`",
        found.display()
    ))
}

fn first_below(dir: &Path) -> Option<PathBuf> {
    if !dir.is_dir() {
        return None;
    }
    Listed::of(dir).ok()?.tests.into_iter().map(|(_, path)| path).next()
}

/// A file in the directory of the policies that is not read there.
fn first_in(policies: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(policies).ok()?.flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_file() && crate::source::may_be_tests(path)).min()
}
