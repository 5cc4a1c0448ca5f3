//! The bytes of a store: head, marks, frames and records. Numbers are little-endian.
//!
//! ```text
//! 0     head    magic 16 · version u32 · zero 4 · sum u64
//! 512   mark    one of two, written in turn (see `Mark`)
//! 1024  mark
//! 4096  frames  "PJfr" · flags u32 · length u64 · sum u64 · payload · sum u64
//! ```
//!
//! The sum of a frame's head is seeded with the sum of the frame before it, and that of the payload with the one of its
//! head: a frame of another place or of another file does not fit. A payload is records one after the other. A
//! transaction is the frames up to one that says `LAST`; a piece of an image, or of records that a commit names later, is a
//! frame of its own between transactions.

use twox_hash::XxHash3_64;

pub(crate) const MAGIC: &[u8; 16] = b"palisade-journal";
/// The format that this program writes. It reads those before it, and makes this one of them when it takes a store.
///
/// 2: commits may name records that were written ahead of them.
/// 3: commits may say how the files were when their base was put.
pub(crate) const VERSION: u32 = 3;
pub(crate) const HEAD_LEN: usize = 32;
/// Where the marks are: sectors of their own, so that a torn write spoils one of them at most.
pub(crate) const MARKS: [u64; 2] = [512, 1024];
pub(crate) const FRAMES_AT: u64 = 4096;
/// A record is no longer than this, its own fields included.
pub(crate) const MAX_RECORD: usize = 256 << 20;
/// Frames are cut at about this length.
pub(crate) const FRAME_TARGET: usize = 1 << 20;

/// The sum that the first frame follows.
pub(crate) const FIRST_CHAIN: u64 = 0x7061_6c69_7361_6465;
const RECORD_SEED: u64 = 0x7265_636f_7264;

pub(crate) fn sum(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The first bytes of a store.
pub(crate) fn head() -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..16].copy_from_slice(MAGIC);
    head[16..20].copy_from_slice(&VERSION.to_le_bytes());
    let sum = sum(0, &head[..24]);
    head[24..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// A store of this version, or of one before it.
    Ours(u32),
    Version(u32),
    Damaged,
    Foreign,
}

pub(crate) fn read_head(bytes: &[u8]) -> Head {
    // a store of which one bit was flipped is damaged, not foreign
    let differing: u32 = bytes.iter().zip(MAGIC).map(|(a, b)| (a ^ b).count_ones()).sum();
    if bytes.len() < MAGIC.len() && bytes != &MAGIC[..bytes.len()] || differing > 8 {
        return Head::Foreign;
    }
    if bytes.len() < HEAD_LEN || differing > 0 || sum(0, &bytes[..24]) != u64_at(bytes, 24) {
        return Head::Damaged;
    }
    match u32_at(bytes, 16) {
        known @ 1..=VERSION => Head::Ours(known),
        other => Head::Version(other),
    }
}

/// How far the log was acknowledged, and by which run. The newer of two whole marks counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Grows with every mark.
    pub(crate) turn: u64,
    pub(crate) incarnation: u64,
    /// Which boot of the system wrote it, 0 if that is not known: what the same boot wrote cannot be lost by a power cut.
    pub(crate) boot: u64,
    /// The file's own number, 0 in a backup: a copy has another.
    pub(crate) file: u64,
    /// The log is acknowledged up to this byte.
    pub(crate) acknowledged: u64,
    /// The log is on the disk up to this byte.
    pub(crate) flushed: u64,
    /// The sum of the last acknowledged frame.
    pub(crate) chain: u64,
    /// The run ended cleanly.
    pub(crate) clean: bool,
    /// The run flushed each commit before it acknowledged it.
    pub(crate) each_flushed: bool,
}

pub(crate) const MARK_LEN: usize = 72;

impl Mark {
    pub(crate) fn encode(self) -> [u8; MARK_LEN] {
        let flags = u64::from(self.clean) | u64::from(self.each_flushed) << 1;
        let numbers =
            [self.turn, self.incarnation, self.boot, self.file, self.acknowledged, self.flushed, self.chain, flags];
        let mut bytes = [0; MARK_LEN];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = sum(FIRST_CHAIN, &bytes[..MARK_LEN - 8]);
        bytes[MARK_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let n = |i: usize| u64_at(bytes, i * 8);
        let whole = bytes.len() == MARK_LEN && sum(FIRST_CHAIN, &bytes[..MARK_LEN - 8]) == n(8) && n(7) < 4;
        whole.then(|| Self {
            turn: n(0),
            incarnation: n(1),
            boot: n(2),
            file: n(3),
            acknowledged: n(4),
            flushed: n(5),
            chain: n(6),
            clean: n(7) & 1 != 0,
            each_flushed: n(7) & 2 != 0,
        })
    }
}

pub(crate) const FRAME_HEAD: usize = 24;
pub(crate) const FRAME_TAIL: usize = 8;
const FRAME_MAGIC: &[u8; 4] = b"PJfr";
/// The transaction is whole with this frame.
pub(crate) const LAST: u32 = 1;
/// The frame is a piece of an image.
pub(crate) const PIECE: u32 = 2;

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead {
    pub(crate) flags: u32,
    pub(crate) length: u64,
    /// Seeds the sum of the payload.
    pub(crate) sum: u64,
}

impl FrameHead {
    pub(crate) fn decode(bytes: &[u8], chain: u64) -> Option<Self> {
        let head = Self { flags: u32_at(bytes, 4), length: u64_at(bytes, 8), sum: u64_at(bytes, 16) };
        let whole = bytes.len() == FRAME_HEAD && bytes.starts_with(FRAME_MAGIC) && sum(chain, &bytes[..16]) == head.sum;
        (whole && head.flags <= PIECE).then_some(head)
    }
}

/// Appends a frame to `out`; gives the sum that the next one follows.
pub(crate) fn frame(out: &mut Vec<u8>, flags: u32, payload: &[u8], chain: u64) -> u64 {
    let start = out.len();
    out.extend_from_slice(FRAME_MAGIC);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    let head = sum(chain, &out[start..]);
    out.extend_from_slice(&head.to_le_bytes());
    out.extend_from_slice(payload);
    let chain = sum(head, payload);
    out.extend_from_slice(&chain.to_le_bytes());
    chain
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    /// The overlay's word for a key is this value.
    Put = 1,
    /// The overlay's word for a key is that it is gone.
    Tombstone = 2,
    /// The overlay has no word for a key.
    Revert = 3,
    /// The overlay has no word for anything.
    Clear = 4,
    /// The base: `kind` is where it comes from, `key` the digest of the files, `extra` its image, `value` the image's size.
    Base = 5,
    /// A request was answered: `value` is the answer, `extra` when it expires.
    Answered = 6,
    /// The answer of a request is forgotten.
    Forgotten = 7,
    /// Ends a commit: `extra` is its counter, `kind` 1 if the state is another one than before.
    Commit = 8,
    /// Bytes of an image, or with `kind` 1 whole records that a commit names later: `extra` is which.
    Piece = 9,
    /// The files were seen to have the digest `key`; the base stays.
    Files = 10,
    /// Records that were written ahead stand here: `extra` is which, `value` how many pieces and bytes they have.
    Ahead = 11,
    /// When the base was put the files were as `value` says, in the caller's words; empty where that is not known.
    Seen = 12,
}

impl Op {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Put,
            2 => Self::Tombstone,
            3 => Self::Revert,
            4 => Self::Clear,
            5 => Self::Base,
            6 => Self::Answered,
            7 => Self::Forgotten,
            8 => Self::Commit,
            9 => Self::Piece,
            10 => Self::Files,
            11 => Self::Ahead,
            12 => Self::Seen,
            _ => return None,
        })
    }
}

/// A record: op u8 · kind u8 · zero u16 · key length u32 · value length u32 · extra u64 · key · value · sum u64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) op: Op,
    pub(crate) kind: u8,
    pub(crate) extra: u64,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

pub(crate) const RECORD_HEAD: usize = 20;
pub(crate) const RECORD_TAIL: usize = 8;

/// How long the record is that begins with these bytes, `RECORD_HEAD` at least.
pub(crate) fn record_len(head: &[u8]) -> u64 {
    let lengths = u64::from(u32_at(head, 4)) + u64::from(u32_at(head, 8));
    lengths + (RECORD_HEAD + RECORD_TAIL) as u64
}

impl<'a> Record<'a> {
    pub(crate) fn of(op: Op, extra: u64) -> Self {
        Self { op, kind: 0, extra, key: &[], value: &[] }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        RECORD_HEAD + self.key.len() + self.value.len() + RECORD_TAIL
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(self.len());
        out.extend_from_slice(&[self.op as u8, self.kind, 0, 0]);
        out.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.value.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.extra.to_le_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
        let sum = sum(RECORD_SEED, &out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// The record at the start of `bytes`, and its length; `None` if it is not whole.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let head = bytes.get(..RECORD_HEAD)?;
        let length = usize::try_from(record_len(head)).ok()?;
        let whole = bytes.get(..length)?;
        let body = &whole[..length - RECORD_TAIL];
        if sum(RECORD_SEED, body) != u64_at(whole, length - RECORD_TAIL) {
            return None;
        }
        let (key, value) = body[RECORD_HEAD..].split_at_checked(u32_at(head, 4) as usize)?;
        Some((Self { op: Op::from_byte(head[0])?, kind: head[1], extra: u64_at(head, 12), key, value }, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_is_read() {
        let mark = Mark {
            turn: 1,
            incarnation: 2,
            boot: 3,
            file: 4,
            acknowledged: 5,
            flushed: 6,
            chain: 7,
            clean: true,
            each_flushed: false,
        };
        let record = Record { op: Op::Answered, kind: 2, extra: 9, key: b"key", value: b"value" };
        let (mut bytes, mut framed) = (Vec::new(), Vec::new());
        record.encode(&mut bytes);
        frame(&mut framed, LAST, &bytes, 11);
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        assert_eq!(Record::decode(&bytes), Some((record, record.len())));
        assert_eq!(read_head(&head()), Head::Ours(VERSION));
        let flips = |bytes: &[u8], is_read: &dyn Fn(&[u8]) -> bool| {
            assert!(is_read(bytes));
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_read(&bytes), "bit {bit}");
            }
        };
        flips(&mark.encode(), &|bytes| Mark::decode(bytes).is_some());
        flips(&bytes, &|bytes| Record::decode(bytes).is_some());
        flips(&framed[..FRAME_HEAD], &|bytes| FrameHead::decode(bytes, 11).is_some());
        flips(&head(), &|bytes| read_head(bytes) == Head::Ours(VERSION));
        assert!(FrameHead::decode(&framed[..FRAME_HEAD], 12).is_none(), "a frame of another place");
    }

    #[test]
    fn a_head_says_what_a_file_is() {
        let mut newer = head();
        newer[16] = VERSION as u8 + 1;
        let sum = sum(0, &newer[..24]).to_le_bytes();
        newer[24..].copy_from_slice(&sum);
        let mut flipped = head();
        flipped[3] ^= 4;
        for (bytes, expected) in [
            (&newer[..], Head::Version(VERSION + 1)),
            (&flipped, Head::Damaged),
            (&head()[..20], Head::Damaged),
            (&head()[..3], Head::Damaged),
            (b"SQLite format 3\0................", Head::Foreign),
            (b"{}", Head::Foreign),
        ] {
            assert_eq!(read_head(bytes), expected, "{bytes:?}");
        }
    }
}
