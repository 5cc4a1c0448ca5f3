//! What notifications reported of files: only that proves that their changes are announced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Of as many files it is known that a change was announced. The others wait as if none had been.
const MAX_NEWS: usize = 100_000;

/// What was reported of one file since it has been watched, or since it was last loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    /// When that was last heard.
    pub(super) at: Instant,
    /// It was made, put there or written; else something about it was changed, such as permissions.
    pub(super) content: bool,
}

/// The news of files in what has been watched ever since.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<PathBuf, News>);

impl Told {
    pub(super) fn hear(&mut self, path: &Path, content: bool) {
        let before = self.0.get(path).copied();
        if before.is_some() || self.0.len() < MAX_NEWS {
            let content = content || before.is_some_and(|news| news.content);
            self.0.insert(path.to_owned(), News { at: Instant::now(), content });
        }
    }

    pub(super) fn of(&self, path: &Path) -> Option<News> {
        self.0.get(path).copied()
    }

    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    pub(super) fn keep(&mut self, keep: impl Fn(&Path, News) -> bool) {
        self.0.retain(|path, news| keep(path, *news));
    }
}
