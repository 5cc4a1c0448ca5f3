//! Reads a log from its first frame to its end, and what its commits amount to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use crate::commit::{Base, Kind, Origin};
use crate::files::At;
use crate::format::{
    FIRST_CHAIN, FRAME_HEAD, FRAME_TAIL, FRAMES_AT, FrameHead, LAST, Op, PIECE, RECORD_HEAD, Record, sum, u64_at,
};
use crate::image::{ImageAt, ImageId, Of};
use crate::index::Index;

/// What no program writes.
const ODD: &str = "a record is not what it should be";

/// Why the log does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What is at this byte cannot be read.
    Bad(u64, &'static str),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The frames of a file, one after the other.
pub(crate) struct Frames<'a> {
    reader: io::BufReader<At<'a>>,
    pub(crate) at: u64,
    pub(crate) chain: u64,
    end: u64,
    pub(crate) payload: Vec<u8>,
}

impl<'a> Frames<'a> {
    /// Those from `at` up to `end`, where `chain` is the sum of the frame before.
    pub(crate) fn new(file: &'a File, at: u64, chain: u64, end: u64) -> Self {
        let room = end.saturating_sub(at).clamp(1 << 12, 1 << 20) as usize;
        let reader = io::BufReader::with_capacity(room, At(file, at));
        Self { reader, at, chain, end, payload: Vec::new() }
    }

    /// The flags of the next frame, whose payload is then in `payload` and begins in the file where this says.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, u64)>, Stop> {
        let left = self.end - self.at;
        if left == 0 {
            return Ok(None);
        }
        let bad = |what| Stop::Bad(self.at, what);
        let mut head = [0; FRAME_HEAD];
        if left < (FRAME_HEAD + FRAME_TAIL) as u64 {
            return Err(bad("the log ends within a frame"));
        }
        self.reader.read_exact(&mut head)?;
        let head = FrameHead::decode(&head, self.chain).ok_or_else(|| bad("a frame does not follow the one before"))?;
        let room = left - (FRAME_HEAD + FRAME_TAIL) as u64;
        let length = usize::try_from(head.length).ok().filter(|_| head.length <= room);
        let length = length.ok_or_else(|| bad("the log ends within a frame"))?;
        self.payload.resize(length, 0);
        self.reader.read_exact(&mut self.payload)?;
        let mut tail = [0; FRAME_TAIL];
        self.reader.read_exact(&mut tail)?;
        let chain = sum(head.sum, &self.payload);
        if chain != u64_at(&tail, 0) {
            return Err(bad("the bytes of a frame are not those that were written"));
        }
        let payload_at = self.at + FRAME_HEAD as u64;
        self.chain = chain;
        self.at = payload_at + head.length + FRAME_TAIL as u64;
        Ok(Some((head.flags, payload_at)))
    }
}

/// What commits amount to.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) counter: u64,
    pub(crate) commits: u64,
    pub(crate) base: Option<(Base, Option<ImageAt>)>,
    /// The digest of the files that were last loaded, whatever the base is now.
    pub(crate) files: Option<Vec<u8>>,
    /// How the files were when the base was put, if that is known.
    pub(crate) seen: Option<Vec<u8>>,
    pub(crate) overlay: Index,
    pub(crate) answers: Index,
    pub(crate) images: HashMap<u64, ImageAt>,
    pub(crate) last_image: u64,
    /// Where the last whole transaction or piece ends, and its sum.
    pub(crate) end: u64,
    pub(crate) chain: u64,
    /// Whether the log passed the mark.
    pub(crate) met: bool,
    /// The records of commits, and their bytes.
    pub(crate) records: u64,
    pub(crate) record_bytes: u64,
    /// Of the transaction that is not whole yet.
    pending: Vec<Step>,
    /// What was written ahead of the commits that will name it.
    ahead: HashMap<u64, Vec<Step>>,
}

#[derive(Debug)]
enum Step {
    Word { hash: u64, place: u64, is_word: bool },
    Answer { hash: u64, place: u64, is_word: bool },
    Clear,
    Base(Base, [u64; 2]),
    Ahead(u64, [u64; 2]),
    Files(Vec<u8>),
    Seen(Vec<u8>),
    Commit(u64, bool),
}

/// What a log up to `end` amounts to, whether a frame ends at the byte of `mark` with its sum, and why it was not read to there, if it was not. A transaction that is not whole
/// counts as not there.
pub(crate) fn scan(file: &File, end: u64, mark: (u64, u64)) -> io::Result<(Contents, Option<(u64, &'static str)>)> {
    let met = mark == (FRAMES_AT, FIRST_CHAIN);
    let mut contents = Contents { end: FRAMES_AT, chain: FIRST_CHAIN, met, ..Contents::default() };
    let mut frames = Frames::new(file, FRAMES_AT, FIRST_CHAIN, end.max(FRAMES_AT));
    let stop = loop {
        match frames.next() {
            Ok(Some((flags, payload_at))) => {
                let frame_at = payload_at - FRAME_HEAD as u64;
                if let Err(what) = contents.take(&frames.payload, flags, frame_at) {
                    break Some((frame_at, what));
                }
                if flags & (LAST | PIECE) != 0 {
                    (contents.end, contents.chain) = (frames.at, frames.chain);
                    contents.met |= mark == (frames.at, frames.chain);
                }
            }
            Ok(None) if !contents.pending.is_empty() => break Some((frames.at, "the log ends within a transaction")),
            Ok(None) => break None,
            Err(Stop::Bad(at, what)) => break Some((at, what)),
            Err(Stop::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                break Some((frames.at, "the file ends within a frame"));
            }
            Err(Stop::Io(error)) => return Err(error),
        }
    };
    (contents.pending, contents.ahead) = (Vec::new(), HashMap::new());
    Ok((contents, stop))
}

impl Contents {
    /// Takes the records of a frame.
    fn take(&mut self, payload: &[u8], flags: u32, frame_at: u64) -> Result<(), &'static str> {
        let mut at = 0;
        while at < payload.len() {
            let (record, length) = Record::decode(&payload[at..]).ok_or(ODD)?;
            let place = frame_at + (FRAME_HEAD + at) as u64;
            at += length;
            if (flags == PIECE) != (record.op == Op::Piece) {
                return Err(ODD);
            }
            if record.op == Op::Piece {
                self.piece(&record, frame_at).ok_or("a piece of an image is out of order")?;
                if record.kind == Of::Records as u8 {
                    self.take_ahead(&record, place)?;
                }
            } else {
                let step = self.step(&record, length, place)?;
                self.pending.push(step);
            }
        }
        if flags == LAST {
            for step in std::mem::take(&mut self.pending) {
                self.apply(step)?;
            }
        }
        Ok(())
    }

    /// Takes the records of a piece that was written ahead.
    fn take_ahead(&mut self, piece: &Record<'_>, place: u64) -> Result<(), &'static str> {
        let start = place + (RECORD_HEAD + piece.key.len()) as u64;
        let mut steps = self.ahead.remove(&piece.extra).unwrap_or_default();
        let mut at = 0;
        while at < piece.value.len() {
            let (record, length) = Record::decode(&piece.value[at..]).ok_or(ODD)?;
            if matches!(record.op, Op::Commit | Op::Base | Op::Piece | Op::Ahead) {
                return Err(ODD);
            }
            steps.push(self.step(&record, length, start + at as u64)?);
            at += length;
        }
        self.ahead.insert(piece.extra, steps);
        Ok(())
    }

    fn step(&mut self, record: &Record<'_>, length: usize, place: u64) -> Result<Step, &'static str> {
        self.records += 1;
        self.record_bytes += length as u64;
        let size = || [u64_at(record.value, 0), u64_at(record.value, 8)];
        Ok(match record.op {
            Op::Put | Op::Tombstone | Op::Revert => {
                Kind::from_byte(record.kind).ok_or(ODD)?;
                Step::Word { hash: self.overlay.hash(record), place, is_word: record.op != Op::Revert }
            }
            Op::Answered | Op::Forgotten => {
                Step::Answer { hash: self.answers.hash(record), place, is_word: record.op == Op::Answered }
            }
            Op::Clear => Step::Clear,
            Op::Base => {
                let origin = if record.kind == 0 { Origin::Put } else { Origin::Files(record.key.to_vec()) };
                let image = (record.extra > 0).then_some(ImageId(record.extra));
                Step::Base(Base { origin, image }, size())
            }
            Op::Files => Step::Files(record.key.to_vec()),
            Op::Seen => Step::Seen(record.value.to_vec()),
            Op::Commit => Step::Commit(record.extra, record.kind != 0),
            Op::Ahead => Step::Ahead(record.extra, size()),
            Op::Piece => return Err(ODD),
        })
    }

    fn piece(&mut self, record: &Record<'_>, frame_at: u64) -> Option<()> {
        if !self.pending.is_empty() {
            return None;
        }
        self.last_image = self.last_image.max(record.extra);
        let image = self.images.entry(record.extra).or_insert(ImageAt { start: frame_at, pieces: 0, bytes: 0 });
        if record.key != image.pieces.to_le_bytes() {
            return None;
        }
        image.pieces += 1;
        image.bytes += record.value.len() as u64;
        Some(())
    }

    fn apply(&mut self, step: Step) -> Result<(), &'static str> {
        match step {
            Step::Word { hash, place, is_word } => self.overlay.push(hash, place, is_word),
            Step::Answer { hash, place, is_word } => self.answers.push(hash, place, is_word),
            Step::Clear => self.overlay.clear(),
            Step::Base(base, [pieces, bytes]) => {
                let image = match base.image {
                    None => None,
                    Some(id) => {
                        let image = self.images.get(&id.0).copied();
                        let image = image.filter(|image| (image.pieces, image.bytes) == (pieces, bytes));
                        Some(image.ok_or("an image lacks pieces")?)
                    }
                };
                if let Origin::Files(digest) = &base.origin {
                    (self.files, self.seen) = (Some(digest.clone()), None);
                }
                self.base = Some((base, image));
            }
            Step::Ahead(id, [pieces, bytes]) => {
                let whole = self.images.get(&id).is_some_and(|ahead| (ahead.pieces, ahead.bytes) == (pieces, bytes));
                let steps = self.ahead.remove(&id).filter(|_| whole).ok_or("what was written ahead lacks pieces")?;
                steps.into_iter().try_for_each(|step| self.apply(step))?;
            }
            Step::Files(digest) => self.files = Some(digest),
            Step::Seen(seen) => self.seen = Some(seen).filter(|seen| !seen.is_empty()),
            Step::Commit(counter, is_other) => {
                if self.commits > 0 && (counter < self.counter || is_other && counter == self.counter) {
                    return Err("a counter does not grow");
                }
                self.counter = counter;
                self.commits += 1;
            }
        }
        Ok(())
    }
}
