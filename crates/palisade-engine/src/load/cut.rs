//! Reads a document in pieces and cuts them into blocks of whole elements.
//!
//! Only what does not end within a block is kept for the next one, so that a document of any length takes the
//! room of its longest element. What was read is compared with what the document was when it was listed.

use std::io;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::load::array::{Array, Cut};
use crate::load::read::{Failure, Flaw};
use crate::model::Document;
use crate::model::document::fill;
use crate::model::json::BYTE_ORDER_MARK;

/// A part of a document: whole elements, in their order.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Where it starts in the document.
    pub at: u64,
    /// Its text.
    pub bytes: Vec<u8>,
    /// Where its elements are in that; of NDJSON all lines, blank ones too.
    pub elements: Vec<Range<usize>>,
    /// Whether they are elements of an array.
    pub array: bool,
    /// Whether the document ends with it.
    pub last: bool,
    /// Why nothing can be read after them.
    pub flaw: Option<Flaw>,
}

/// Cuts one document.
pub(super) struct Cutter<'d> {
    document: &'d Document,
    /// How much is read at a time.
    size: usize,
    /// How long an element may be.
    longest: usize,
    form: Form,
    /// What has been read and not been given.
    buffer: Vec<u8>,
    /// Where that starts in the document.
    at: u64,
    /// Where to read on.
    read: u64,
    last_byte: u8,
    /// Of what was read; a text that is held cannot change.
    sum: Option<Sha256>,
    done: bool,
}

#[derive(Debug)]
enum Form {
    /// Nothing has been seen but white space.
    Unknown,
    Array(Array),
    Lines,
}

impl<'d> Cutter<'d> {
    /// Starts at the start of `document`, to give blocks of about `size` bytes of elements that are no longer than `longest`.
    pub(super) fn new(document: &'d Document, size: usize, longest: usize) -> Self {
        Self {
            document,
            size: size.max(1),
            longest,
            form: Form::Unknown,
            buffer: Vec::new(),
            at: 0,
            read: 0,
            last_byte: 0,
            sum: document.as_held().is_none().then(Sha256::new),
            done: false,
        }
    }

    /// Gives every block to `take` until it has enough, and sees that the text was the one that was listed.
    ///
    /// # Errors
    /// If it was not, or could not be read: then nothing that was given may be used.
    pub(super) fn run(mut self, mut take: impl FnMut(Block) -> bool) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::unread(format!("this cannot be read: {error}"));
        while let Some(block) = self.next().map_err(failed)? {
            if !take(block) {
                break;
            }
        }
        let mut last = self.sum.is_none();
        while !last {
            self.buffer.clear();
            last = self.fill(self.size).map_err(failed)?;
        }
        let sum: Option<[u8; 32]> = self.sum.map(|sum| sum.finalize().into());
        match sum {
            Some(sum) if sum != self.document.sha256() => Err(Failure::changed()),
            _ => Ok(()),
        }
    }

    fn next(&mut self) -> io::Result<Option<Block>> {
        let mut size = self.size;
        while !self.done {
            let last = self.fill(size)?;
            if self.at == 0 && self.buffer.starts_with(BYTE_ORDER_MARK.as_bytes()) {
                // it says nothing; what stands behind it keeps its place
                self.buffer.get_mut(..BYTE_ORDER_MARK.len()).unwrap_or_default().fill(b' ');
            }
            if matches!(self.form, Form::Unknown)
                && let Some(form) = form(&self.buffer, last)
            {
                self.form = form;
            }
            let array = matches!(self.form, Form::Array(_));
            let mut block = Block { at: self.at, array, last, ..Block::default() };
            let Cut { end, fault } = match &mut self.form {
                Form::Unknown => Cut { end: 0, fault: None },
                Form::Array(array) => array.cut(&self.buffer, last, &mut block.elements),
                Form::Lines => cut_lines(&self.buffer, last, &mut block.elements),
            };
            let mut flaw = fault.map(|fault| match fault.at {
                Some(at) => Flaw::of_array(fault.message, self.at + at as u64),
                // as `serde_json` counts: the end of a line is on that line
                None => Flaw::of_array(fault.message, self.read - u64::from(self.last_byte != b'\n')),
            });
            let stuck = block.elements.is_empty() && !last;
            if stuck && flaw.is_none() && block.array && self.buffer.len() > self.size {
                let rest = self.buffer.get(end..).unwrap_or_default();
                // else one missing quote would gather all that follows
                flaw = Array::hopeless(rest)
                    .map(|fault| Flaw::of_array(fault.message, self.at + (end + fault.at.unwrap_or(0)) as u64));
            }
            let unended = self.buffer.len().saturating_sub(end);
            if stuck && flaw.is_none() && unended > self.longest {
                // else an element that does not end would gather all that follows
                flaw = Some(Flaw::too_long(self.longest, self.at + end as u64));
            }
            if matches!(self.form, Form::Unknown) && last {
                flaw = Some(Flaw::empty());
            }
            self.done = last || flaw.is_some();
            block.flaw = flaw;
            if self.done {
                block.bytes = std::mem::take(&mut self.buffer);
                return Ok(Some(block));
            }
            let mut rest = Vec::with_capacity(self.size);
            rest.extend_from_slice(self.buffer.get(end..).unwrap_or_default());
            self.buffer.truncate(end);
            block.bytes = std::mem::replace(&mut self.buffer, rest);
            self.at += end as u64;
            if !stuck {
                return Ok(Some(block));
            }
            // an element longer than what is read at a time: twice as much, so that it is not looked at too often
            size = if self.buffer.len() < self.size { self.size } else { self.buffer.len().saturating_mul(2) };
        }
        Ok(None)
    }

    /// Reads on until the buffer has `size` bytes or the text ends, which it returns.
    fn fill(&mut self, size: usize) -> io::Result<bool> {
        let had = self.buffer.len();
        let left = usize::try_from(self.document.len() - self.read).unwrap_or(usize::MAX);
        let wanted = size.saturating_sub(had).min(left);
        self.buffer.resize(had + wanted, 0);
        let read = fill(self.document, self.buffer.get_mut(had..).unwrap_or_default(), self.read)?;
        self.buffer.truncate(had + read);
        self.read += read as u64;
        let new = self.buffer.get(had..).unwrap_or_default();
        self.last_byte = new.last().copied().unwrap_or(self.last_byte);
        if let Some(sum) = &mut self.sum {
            sum.update(new);
        }
        // a text that is shorter than it was ends here, and will not have its hash
        Ok(read < wanted || self.read == self.document.len())
    }
}

/// The form of the document, if its start shows it.
fn form(start: &[u8], last: bool) -> Option<Form> {
    let (text, whole) = match std::str::from_utf8(start) {
        Ok(text) => (text, true),
        Err(error) => (std::str::from_utf8(start.get(..error.valid_up_to())?).ok()?, false),
    };
    match text.trim_start().bytes().next() {
        Some(b'[') => Some(Form::Array(Array::new())),
        Some(_) => Some(Form::Lines),
        // what comes may be more white space; what is no text at all will be refused as a line
        None => (last && !whole).then_some(Form::Lines),
    }
}

fn cut_lines(bytes: &[u8], last: bool, lines: &mut Vec<Range<usize>>) -> Cut {
    let mut start = 0;
    for newline in memchr::memchr_iter(b'\n', bytes) {
        lines.push(start..newline);
        start = newline + 1;
    }
    if last && start < bytes.len() {
        lines.push(start..bytes.len());
        start = bytes.len();
    }
    Cut { end: start, fault: None }
}
