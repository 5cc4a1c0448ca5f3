//! Images of a base: bytes of any length, stored piece by piece.

use std::fs::File;
use std::io::{self, Read};

use crate::format::{FRAME_HEAD, FRAME_TAIL, Op, PIECE, Record, u64_at};
use std::os::unix::fs::FileExt;

/// An image that is being stored, or is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageId(pub(crate) u64);

/// Records that were written ahead of the commit that will name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AheadId(pub(crate) u64);

/// Where an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageAt {
    /// Its first piece's frame.
    pub(crate) start: u64,
    pub(crate) pieces: u64,
    pub(crate) bytes: u64,
}

/// A stored image, read from its beginning. Holds one piece at a time.
#[derive(Debug)]
pub struct Image {
    file: File,
    id: u64,
    at: u64,
    left: ImageAt,
    next: u64,
    piece: Vec<u8>,
    read: usize,
}

impl Image {
    pub(crate) fn new(file: File, id: u64, image: ImageAt) -> Self {
        Self { file, id, at: image.start, left: image, next: 0, piece: Vec::new(), read: 0 }
    }

    /// How many bytes are left of it.
    #[must_use]
    pub fn bytes_left(&self) -> u64 {
        self.left.bytes
    }

    /// Fetches the next piece; false at the end.
    fn fetch(&mut self) -> io::Result<bool> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the stored image is damaged");
        while self.left.pieces > 0 {
            let mut head = [0; FRAME_HEAD];
            self.file.read_exact_at(&mut head, self.at)?;
            // its sums were checked when the store was opened; those of the pieces are checked again
            let length = u64_at(&head, 8);
            let flags = u64_at(&head, 4) as u32;
            let payload = self.at + FRAME_HEAD as u64;
            self.at = payload + length + FRAME_TAIL as u64;
            if flags != PIECE {
                continue;
            }
            self.piece.resize(usize::try_from(length).map_err(|_| damaged())?, 0);
            self.file.read_exact_at(&mut self.piece, payload)?;
            let (record, _) = Record::decode(&self.piece).ok_or_else(damaged)?;
            if record.op != Op::Piece || record.extra != self.id {
                continue;
            }
            if record.key != self.next.to_le_bytes() || record.value.len() as u64 > self.left.bytes {
                return Err(damaged());
            }
            let start = record_value_start(&record);
            self.left = ImageAt {
                pieces: self.left.pieces - 1,
                bytes: self.left.bytes - record.value.len() as u64,
                ..self.left
            };
            let end = start + record.value.len();
            self.piece.truncate(end);
            self.read = start;
            self.next += 1;
            return Ok(true);
        }
        if self.left.bytes > 0 { Err(damaged()) } else { Ok(false) }
    }
}

fn record_value_start(record: &Record<'_>) -> usize {
    crate::format::RECORD_HEAD + record.key.len()
}

impl Read for Image {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read >= self.piece.len() {
            if !self.fetch()? {
                return Ok(0);
            }
        }
        let n = out.len().min(self.piece.len() - self.read);
        out[..n].copy_from_slice(&self.piece[self.read..self.read + n]);
        self.read += n;
        Ok(n)
    }
}

/// What pieces are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// An image.
    Image = 0,
    /// Whole records, which a commit names later.
    Records = 1,
}

/// A piece of image `id`, or of the records `id`, as the payload of a frame.
pub(crate) fn piece(of: Of, id: u64, index: u64, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    Record { op: Op::Piece, kind: of as u8, extra: id, key: &index.to_le_bytes(), value: bytes }.encode(&mut payload);
    payload
}
