//! The open store: commits go in, one transaction and one flush for all that wait.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::commit::{Commit, payloads};
use crate::error::{AppendError, is_full, is_read_only};
use crate::files::{self, Taken};
use crate::format::{FRAMES_AT, LAST, Mark, PIECE, frame};
use crate::image::{AheadId, ImageAt, ImageId, Of, piece};
use crate::open::{Recovered, recovered};
use crate::scan::Contents;

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Fsync,
    /// When the caller calls [`Journal::flush`], every so often.
    Interval,
    /// When the system likes to.
    None,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// When a commit is on the disk.
    pub durability: Durability,
    /// The incarnation of this run if it needs one of its own: drawn at random by the caller, and not 0.
    pub incarnation: u64,
}

/// What the store has done and how large it is, for status and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The bytes of the file.
    pub bytes: u64,
    /// About how many of them counted when it was opened, or compacted last.
    pub live_bytes: u64,
    /// The bytes that are acknowledged and not flushed yet.
    pub unflushed: u64,
    /// Commits since it was opened.
    pub commits: u64,
    /// Transactions since it was opened: several commits go in one.
    pub transactions: u64,
    /// Flushes since it was opened.
    pub flushes: u64,
    /// Times that it was compacted since it was opened.
    pub compactions: u64,
}

/// Below this many bytes no compaction is worth its while.
const LEAST_GARBAGE: u64 = 64 << 20;

/// An open store. No other process can open it meanwhile. Dropped without [`Journal::close`], it ends uncleanly.
#[derive(Debug)]
pub struct Journal {
    pub(crate) path: PathBuf,
    /// Where it was asked for: a symbolic link there may lead elsewhere later.
    pub(crate) asked: PathBuf,
    pub(crate) file: Taken,
    pub(crate) durability: Durability,
    /// The newest that was written.
    pub(crate) mark: Mark,
    pub(crate) counter: u64,
    /// A commit was made, so that the next counter must be larger.
    pub(crate) any: bool,
    /// Why nothing more is taken.
    failed: Option<String>,
    /// Images and records ahead of their commit that are being stored.
    images: HashMap<u64, ImageAt>,
    last_image: u64,
    pub(crate) counts: Counts,
    /// Bytes that certainly or perhaps count no more.
    pub(crate) garbage: u64,
    sync: fn(&File) -> io::Result<()>,
}

impl Journal {
    pub(crate) fn from_parts(
        path: &Path,
        file: Taken,
        settings: Settings,
        mark: Mark,
        contents: Contents,
    ) -> io::Result<(Recovered, Self)> {
        let (counter, any, last_image) = (contents.counter, contents.commits > 0, contents.last_image);
        let image_bytes = contents.base.as_ref().and_then(|(_, image)| *image).map_or(0, |image| image.bytes);
        let (records, record_bytes) = (contents.records, contents.record_bytes);
        let recovered = recovered(&file, mark, contents)?;
        let kept = (recovered.overlay.len() + recovered.answers.len()) as u64;
        let live = record_bytes.checked_div(records).unwrap_or(0) * kept + image_bytes;
        let bytes = mark.acknowledged;
        let journal = Self {
            path: path.to_owned(),
            asked: path.to_owned(),
            file,
            durability: settings.durability,
            mark,
            counter,
            any,
            failed: None,
            images: HashMap::new(),
            last_image,
            counts: Counts { bytes, live_bytes: live, ..Counts::default() },
            garbage: (bytes - FRAMES_AT).saturating_sub(live),
            sync: File::sync_data,
        };
        Ok((recovered, journal))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The counter of the last commit.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// What was done, and how large the store is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let unflushed = self.mark.acknowledged - self.mark.flushed;
        Counts { bytes: self.mark.acknowledged, unflushed, ..self.counts }
    }

    /// Why nothing is taken until the store is opened again.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Whether a compaction would be worth its while.
    #[must_use]
    pub fn compaction_due(&self) -> bool {
        self.garbage > LEAST_GARBAGE.max(self.counts.live_bytes) && self.may_compact()
    }

    pub(crate) fn may_compact(&self) -> bool {
        self.images.is_empty() && self.failed.is_none()
    }

    /// Writes commits as one transaction and acknowledges them all, flushed where `Durability::Fsync` says so.
    ///
    /// # Errors
    /// None of the commits is there then. After `Full` and `ReadOnly` the store goes on as soon as the disk does; after
    /// `Failed` it must be opened again.
    pub fn append(&mut self, commits: &[Commit]) -> Result<(), AppendError> {
        self.check(commits)?;
        let Some(last) = commits.last() else { return Ok(()) };
        self.check_place()?;
        let (start, mut at, mut chain) = (self.mark.acknowledged, self.mark.acknowledged, self.mark.chain);
        let mut framed = Vec::new();
        let images = &self.images;
        let written = payloads(
            commits,
            |id| images.get(&id).copied(),
            |payload, is_last| {
                framed.clear();
                chain = frame(&mut framed, if is_last { LAST } else { 0 }, payload, chain);
                self.file.write_all_at(&framed, at)?;
                at += framed.len() as u64;
                Ok(())
            },
        );
        self.acknowledge(written, at, chain, self.durability == Durability::Fsync)?;
        self.counter = last.counter;
        self.any = true;
        self.counts.commits += commits.len() as u64;
        self.counts.transactions += 1;
        self.garbage += at - start;
        for id in commits.iter().flat_map(named) {
            self.images.remove(&id);
        }
        Ok(())
    }

    fn check(&self, commits: &[Commit]) -> Result<(), AppendError> {
        if let Some(why) = &self.failed {
            return Err(AppendError::Failed { path: self.path.clone(), why: why.clone() });
        }
        let mut last = self.any.then_some(self.counter);
        for commit in commits {
            let follows = |last: u64| commit.counter > last || commit.counter == last && !commit.is_other;
            if let Some(last) = last.filter(|last| !follows(*last)) {
                return Err(AppendError::Counter { given: commit.counter, last });
            }
            last = Some(commit.counter);
            if let Some(bytes) = commit.too_large {
                return Err(AppendError::TooLarge { bytes });
            }
            if let Some(id) = named(commit).find(|id| !self.images.contains_key(id)) {
                return Err(AppendError::NoImage(id));
            }
        }
        Ok(())
    }

    /// Whether the file is still where it was opened: what is written into one that was moved away is lost with this run.
    ///
    /// # Errors
    /// If another file is there, or none, or the system does not say.
    pub fn check_place(&self) -> Result<(), AppendError> {
        let failed = |error: io::Error| AppendError::ReadOnly { path: self.path.clone(), why: error };
        if self.file.is_at(&self.asked).map_err(failed)? { Ok(()) } else { Err(AppendError::Moved(self.asked.clone())) }
    }

    /// What was written up to `end` is acknowledged, or else undone.
    fn acknowledge(&mut self, written: io::Result<()>, end: u64, chain: u64, flush: bool) -> Result<(), AppendError> {
        if let Err(error) = written {
            return Err(self.undo(error, true));
        }
        if flush && let Err(error) = (self.sync)(&self.file) {
            return Err(self.undo(error, false));
        }
        let flushed = if flush { end } else { self.mark.flushed };
        let mark = Mark { turn: self.mark.turn + 1, acknowledged: end, flushed, chain, ..self.mark };
        if let Err(error) = files::write_mark(&self.file, mark) {
            return Err(self.undo(error, true));
        }
        self.counts.flushes += u64::from(flush);
        self.mark = mark;
        Ok(())
    }

    /// Takes back what is behind the last acknowledged byte. Where that is certain, the store can go on.
    fn undo(&mut self, error: io::Error, may_go_on: bool) -> AppendError {
        let (path, end) = (self.path.clone(), self.mark.acknowledged);
        // the mark of what is undone may have been written too, in part or whole
        self.mark.turn += 1;
        let undone = self.file.set_len(end).and_then(|()| files::write_mark(&self.file, self.mark));
        match undone {
            Ok(()) if may_go_on && is_full(&error) => AppendError::Full(path),
            Ok(()) if may_go_on && is_read_only(&error) => AppendError::ReadOnly { path, why: error },
            _ => {
                self.failed = Some(error.to_string());
                AppendError::Failed { path, why: error.to_string() }
            }
        }
    }

    /// Makes everything that is acknowledged durable. With `Durability::Interval` the caller does so every so often.
    ///
    /// # Errors
    /// If the flush fails: nothing more is taken then, and what was not flushed may be lost.
    pub fn flush(&mut self) -> Result<(), AppendError> {
        self.check(&[])?;
        if self.mark.flushed == self.mark.acknowledged {
            return Ok(());
        }
        self.acknowledge(Ok(()), self.mark.acknowledged, self.mark.chain, true)
    }

    /// Begins an image, which [`Journal::append_image`] fills and a commit's base names. Commits may come between.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn begin_image(&mut self) -> Result<ImageId, AppendError> {
        // so that an image without bytes is one
        self.begin(Of::Image).map(ImageId)
    }

    /// Begins to write records ahead of the commit that will name them ([`Commit::behind`]), so that others need not wait
    /// while a large commit is written. Commits may come between.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn begin_ahead(&mut self) -> Result<AheadId, AppendError> {
        self.begin(Of::Records).map(AheadId)
    }

    fn begin(&mut self, of: Of) -> Result<u64, AppendError> {
        self.check(&[])?;
        let id = self.last_image + 1;
        self.images.insert(id, ImageAt { start: self.mark.acknowledged, pieces: 0, bytes: 0 });
        self.last_image = id;
        self.piece(of, id, &[])?;
        Ok(id)
    }

    /// Appends bytes to an image.
    ///
    /// # Errors
    /// As [`Journal::append`]; the image is given up then.
    pub fn append_image(&mut self, id: ImageId, bytes: &[u8]) -> Result<(), AppendError> {
        self.check(&[])?;
        bytes.chunks(crate::format::FRAME_TARGET).try_for_each(|bytes| self.piece(Of::Image, id.0, bytes))
    }

    /// Appends a piece of the records that are written ahead.
    ///
    /// # Errors
    /// As [`Journal::append`]; the records are given up then.
    pub fn append_ahead(&mut self, id: AheadId, piece: &[u8]) -> Result<(), AppendError> {
        self.check(&[])?;
        self.piece(Of::Records, id.0, piece)
    }

    /// Gives up records that no commit named.
    pub fn drop_ahead(&mut self, id: AheadId) {
        self.images.remove(&id.0);
    }

    /// Gives up an image that no commit named.
    pub fn drop_image(&mut self, id: ImageId) {
        self.images.remove(&id.0);
    }

    /// Where it cannot be written, all of the pieces are given up.
    fn piece(&mut self, of: Of, id: u64, bytes: &[u8]) -> Result<(), AppendError> {
        let image = self.images.remove(&id).ok_or(AppendError::NoImage(id))?;
        self.check_place()?;
        let mut framed = Vec::new();
        let chain = frame(&mut framed, PIECE, &piece(of, id, image.pieces, bytes), self.mark.chain);
        let written = self.file.write_all_at(&framed, self.mark.acknowledged);
        // flushed with the commit that names it
        self.acknowledge(written, self.mark.acknowledged + framed.len() as u64, chain, false)?;
        self.garbage += framed.len() as u64;
        self.images.insert(id, ImageAt { pieces: image.pieces + 1, bytes: image.bytes + bytes.len() as u64, ..image });
        Ok(())
    }

    /// A handle with which another thread may flush what was written so far, without holding up commits. It
    /// acknowledges nothing: the flush of the commit that follows has less to do. An error of the disk that it meets the
    /// commit meets too, since the system reports it to each that opened the file.
    ///
    /// # Errors
    /// If the system gives no further handle.
    pub fn handle(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Flushes, and ends this run cleanly.
    ///
    /// # Errors
    /// If the flush fails, or one did before.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.flush()?;
        let turn = self.mark.turn + 1;
        let closed = files::write_mark(&self.file, Mark { turn, clean: true, ..self.mark });
        closed.and_then(|()| (self.sync)(&self.file)).map_err(|error| self.undo(error, false))
    }

    /// Puts another file in the place of this one; what was behind byte `old` is behind byte `new` now.
    pub(crate) fn swap(&mut self, file: Taken, mark: Mark, live: u64, [old, new]: [u64; 2]) {
        self.file = file;
        self.mark = mark;
        self.counts.live_bytes = live;
        self.counts.compactions += 1;
        self.garbage = (mark.acknowledged - FRAMES_AT).saturating_sub(live);
        for image in self.images.values_mut() {
            image.start = image.start - old + new;
        }
    }

    pub(crate) fn fail(&mut self, why: &io::Error) {
        self.failed = Some(why.to_string());
    }

    /// Stands in for the system's flush.
    #[cfg(test)]
    pub(crate) fn with_sync(mut self, sync: fn(&File) -> io::Result<()>) -> Self {
        self.sync = sync;
        self
    }
}

/// The numbers of the pieces that a commit names.
fn named(commit: &Commit) -> impl Iterator<Item = u64> {
    let image = commit.base.as_ref().and_then(|base| base.image).map(|image| image.0);
    image.into_iter().chain(commit.ahead.map(|ahead| ahead.0))
}
