//! Compaction: what still counts is copied into a file beside the store, which then takes its place.
//!
//! Copying may run on any thread while commits go on; only [`Journal::finish_compaction`], which copies what came
//! meanwhile, holds them up.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::error::OpenError;
use crate::files::{self, Taken};
use crate::format::{FIRST_CHAIN, FRAME_TARGET, FRAMES_AT, LAST, Mark, Op, PIECE, Record, frame};
use crate::image::{Image, ImageAt, Of, piece};
use crate::journal::Journal;
use crate::saved::Saved;
use crate::scan::{Contents, Frames, Stop, scan};

/// A compaction that goes on. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Compaction {
    path: PathBuf,
    source: File,
    /// How far the store was acknowledged when it began, and the sum there.
    from: (u64, u64),
    beside: Beside,
    out: Out,
    /// The bytes that were copied, once they were.
    copied: Option<u64>,
}

/// A log that is being written.
#[derive(Debug)]
struct Out {
    file: Taken,
    at: u64,
    chain: u64,
    framed: Vec<u8>,
}

impl Out {
    fn frame(&mut self, flags: u32, payload: &[u8]) -> io::Result<()> {
        self.framed.clear();
        self.chain = frame(&mut self.framed, flags, payload, self.chain);
        self.file.write_all_at(&self.framed, self.at)?;
        self.at += self.framed.len() as u64;
        Ok(())
    }
}

/// The file in which the log is written: removed, unless it took the store's place.
#[derive(Debug)]
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Journal {
    /// Begins a compaction, unless an image or records ahead of their commit are being stored just now. [`Compaction::copy`] is to be called next.
    ///
    /// # Errors
    /// If the file beside the store cannot be made.
    pub fn compaction(&self) -> Result<Option<Compaction>, OpenError> {
        if !self.may_compact() {
            return Ok(None);
        }
        let source = self.file.try_clone().map_err(|error| OpenError::io(&self.path, "open", error))?;
        let (file, beside) = files::make_beside(&self.path)?;
        let out = Out { file, at: FRAMES_AT, chain: FIRST_CHAIN, framed: Vec::new() };
        let from = (self.mark.acknowledged, self.mark.chain);
        Ok(Some(Compaction { path: self.path.clone(), source, from, beside: Beside(beside), out, copied: None }))
    }

    /// Copies what was committed meanwhile, and puts the new file in the place of the store.
    ///
    /// # Errors
    /// If that fails the store stays as it is; if it cannot be known what is there, nothing more is taken.
    pub fn finish_compaction(&mut self, mut compaction: Compaction) -> Result<(), OpenError> {
        let path = self.path.clone();
        let io = |error| OpenError::io(&path, "compact", error);
        let Some(live) = compaction.copied.filter(|_| self.failure().is_none()) else { return Ok(()) };
        let (old, new) = (compaction.from.0, compaction.out.at);
        let mut frames = Frames::new(&self.file, compaction.from.0, compaction.from.1, self.mark.acknowledged);
        loop {
            match frames.next() {
                Ok(Some((flags, _))) => compaction.out.frame(flags, &frames.payload).map_err(io)?,
                Ok(None) => break,
                Err(Stop::Bad(at, what)) => return Err(OpenError::damaged(&path, at, what)),
                Err(Stop::Io(error)) => return Err(io(error)),
            }
        }
        let Out { file, at, chain, .. } = &compaction.out;
        let mark = Mark {
            turn: self.mark.turn + 1,
            file: files::number(file).map_err(io)?,
            acknowledged: *at,
            flushed: *at,
            chain: *chain,
            ..self.mark
        };
        files::seal(file, mark).map_err(io)?;
        if !self.file.is_at(&self.asked).map_err(io)? || !self.file.is_at(&path).map_err(io)? {
            // what stands there now is not ours to replace
            return Err(OpenError::Moved(self.asked.clone()));
        }
        std::fs::rename(&compaction.beside.0, &self.path).map_err(io)?;
        self.swap(compaction.out.file, Mark { turn: mark.turn + 1, ..mark }, live, [old, new]);
        if let Err(error) = files::sync_dir(&self.path) {
            // after a power cut the old file may be there again, without what follows
            self.fail(&error);
            return Err(io(error));
        }
        Ok(())
    }
}

impl Compaction {
    /// Copies what still counts.
    ///
    /// # Errors
    /// If the disk is full or a record is damaged; the store stays as it is.
    pub fn copy(&mut self) -> Result<(), OpenError> {
        let path = self.path.clone();
        let io = |error| OpenError::io(&path, "compact", error);
        let (contents, stop) = scan(&self.source, self.from.0, self.from).map_err(io)?;
        if let Some((at, what)) = stop {
            return Err(OpenError::damaged(&path, at, what));
        }
        let live = self.write(contents).map_err(io)?;
        self.out.file.sync_data().map_err(io)?;
        self.copied = Some(live);
        Ok(())
    }

    /// How many bytes of it count.
    fn write(&mut self, contents: Contents) -> io::Result<u64> {
        if contents.commits == 0 {
            return Ok(0);
        }
        let mut last = Vec::new();
        if let Some((base, image)) = contents.base {
            let image = match base.image.zip(image) {
                Some((id, at)) => Some(self.image(id.0, at)?),
                None => None,
            };
            base.encode(image, &mut last);
        }
        let mut payload = Vec::new();
        for index in [contents.overlay, contents.answers] {
            let saved = Saved::new(self.source.try_clone()?, index.live(&self.source)?);
            saved.each_raw(|record| {
                payload.extend_from_slice(record);
                if payload.len() >= FRAME_TARGET {
                    self.out.frame(0, &payload)?;
                    payload.clear();
                }
                io::Result::Ok(())
            })?;
        }
        payload.append(&mut last);
        if let Some(digest) = contents.files {
            Record { key: &digest, ..Record::of(Op::Files, 0) }.encode(&mut payload);
        }
        if let Some(seen) = contents.seen {
            Record { value: &seen, ..Record::of(Op::Seen, 0) }.encode(&mut payload);
        }
        Record { kind: 1, ..Record::of(Op::Commit, contents.counter) }.encode(&mut payload);
        self.out.frame(LAST, &payload)?;
        Ok(self.out.at - FRAMES_AT)
    }

    fn image(&mut self, id: u64, from: ImageAt) -> io::Result<ImageAt> {
        let mut image = Image::new(self.source.try_clone()?, id, from);
        let mut at = ImageAt { start: self.out.at, pieces: 0, bytes: 0 };
        let mut bytes = Vec::new();
        loop {
            self.out.frame(PIECE, &piece(Of::Image, id, at.pieces, &bytes))?;
            (at.pieces, at.bytes) = (at.pieces + 1, at.bytes + bytes.len() as u64);
            bytes.clear();
            image.by_ref().take(FRAME_TARGET as u64).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                return Ok(at);
            }
        }
    }
}
