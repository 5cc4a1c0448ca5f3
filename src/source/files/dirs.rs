//! What is known of files through the directories that they are in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::source::files::news::News;
use crate::source::files::scan::Found;
use crate::source::files::settle::Signals;
use crate::source::files::stamp::{Identity, Stamp};
use crate::source::files::writers;

/// Which directories are still those that were set under watch: what is known by a name may be of one before it.
#[derive(Default)]
pub(super) struct Dirs<'f>(BTreeMap<&'f Path, Option<Identity>>);

impl<'f> Dirs<'f> {
    /// What notifications reported of a file or a new directory, if its parent has been watched ever since.
    pub(super) fn news(&mut self, signals: &Signals, path: &'f Path) -> Option<News> {
        let news = signals.news(path)?;
        self.is_watched(signals, path.parent()?).then_some(news)
    }

    /// Whether it is known without any quiet time that no process writes to a file which was there before its directory
    /// was watched.
    ///
    /// A notification said that the directory, or one above it, was made: so its writers are noticed, and the lease
    /// that the system gives speaks of all writers. On a volume that others write to from elsewhere, which may give
    /// leases too, neither is so. By now the directory is watched, so that what follows is announced.
    pub(super) fn is_whole(&mut self, signals: &Signals, file: &'f Found) -> bool {
        let Some(dir) = file.real.parent().filter(|dir| self.is_watched(signals, dir)) else { return false };
        // a volume that was mounted in the new directory was not announced
        let is_on_one_device =
            |dir: &Path| fs::metadata(dir).is_ok_and(|dir| Stamp::of(&dir).place().0 == file.stamp.place().0);
        let made = dir.ancestors().find(|dir| self.news(signals, dir).is_some_and(|news| news.content));
        made.is_some_and(is_on_one_device) && writers::is_closed(file)
    }

    /// The same of a file that was there before the sidecar was. Nothing says how it came there, so the system must know
    /// of every writer: it is asked where no other machine can write. By now the directory is watched, so that a writer
    /// that comes again is heard of.
    pub(super) fn is_closed_here(&mut self, signals: &Signals, file: &'f Found) -> bool {
        file.real.parent().is_some_and(|dir| self.is_watched(signals, dir)) && writers::is_closed_here(file)
    }

    fn is_watched(&mut self, signals: &Signals, dir: &'f Path) -> bool {
        let is = self.0.entry(dir).or_insert_with(|| fs::metadata(dir).ok().as_ref().map(Identity::of));
        is.is_some() && *is == signals.watched_as(dir)
    }
}
