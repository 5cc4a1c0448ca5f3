//! Keeps what is written from steering the terminal.
//!
//! Names of files, ids and texts of policies come from others. A control character among them could clear the screen,
//! set its title or hide a line. Each is written as `\u001b`, which reads the same in JSON.

use std::io::{self, Write};

use crate::cli::terminal::COLOURS;

/// A writer that lets no control character through but line ends, tabs and, where they are on, our own colours.
pub(super) struct Printable<'a> {
    inner: &'a mut dyn Write,
    color: bool,
    /// The first bytes of a character or colour whose rest is still to come.
    held: Vec<u8>,
}

/// What the bytes at one place are.
enum Found {
    /// So many that are written as they are.
    Plain(usize),
    /// So many that are a character which is not.
    Control(usize, u32),
    /// The rest is still to come.
    Part,
}

// === impl Printable ===

impl<'a> Printable<'a> {
    /// Writes to `inner`, with our colours if `color`.
    pub(super) fn new(inner: &'a mut dyn Write, color: bool) -> Self {
        Self { inner, color, held: Vec::new() }
    }

    fn find(&self, bytes: &[u8]) -> Found {
        match bytes {
            [0x1b, ..] if self.color => {
                if let Some(colour) = COLOURS.iter().find(|colour| bytes.starts_with(colour.as_bytes())) {
                    Found::Plain(colour.len())
                } else if COLOURS.iter().any(|colour| colour.as_bytes().starts_with(bytes)) {
                    Found::Part
                } else {
                    Found::Control(1, 0x1b)
                }
            }
            [b'\n' | b'\t', ..] => Found::Plain(1),
            [byte @ (..0x20 | 0x7f), ..] => Found::Control(1, u32::from(*byte)),
            [0xc2] | [0xe2] | [0xe2, _] => Found::Part,
            [0xc2, byte @ 0x80..=0x9f, ..] => Found::Control(2, u32::from(*byte)),
            [0xe2, second, third, ..] => {
                let code = 0x2000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                match code {
                    // marks, embeddings and isolates that change the order in which text is shown
                    0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 => Found::Control(3, code),
                    _ => Found::Plain(3),
                }
            }
            _ => Found::Plain(1),
        }
    }

    fn pass(&mut self, bytes: &[u8], last: bool) -> io::Result<()> {
        let mut shown = Vec::with_capacity(bytes.len());
        let mut left = bytes;
        while !left.is_empty() {
            let taken = match self.find(left) {
                Found::Plain(len) => {
                    shown.extend_from_slice(&left[..len]);
                    len
                }
                Found::Control(len, code) => {
                    write!(shown, "\\u{code:04x}")?;
                    len
                }
                Found::Part if last => {
                    match left[0] {
                        0x1b => shown.extend_from_slice(b"\\u001b"),
                        byte => shown.push(byte),
                    }
                    1
                }
                Found::Part => break,
            };
            left = &left[taken..];
        }
        self.held = left.to_vec();
        self.inner.write_all(&shown)
    }
}

impl Write for Printable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            self.pass(bytes, false)?;
        } else {
            let mut all = std::mem::take(&mut self.held);
            all.extend_from_slice(bytes);
            self.pass(&all, false)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        self.pass(&held, true)?;
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_do_nothing() {
        for (text, color, expected) in [
            ("a plain line\n\twith ümlaut, “quotes” and 日本", false, "a plain line\n\twith ümlaut, “quotes” and 日本"),
            ("\x1b]0;title\x07", false, "\\u001b]0;title\\u0007"),
            ("\x1b[31mred\x1b[0m", false, "\\u001b[31mred\\u001b[0m"),
            ("\x1b[31mred\x1b[0m", true, "\x1b[31mred\x1b[0m"),
            ("\x1b[2J\x1b[8mhidden", true, "\\u001b[2J\\u001b[8mhidden"),
            ("over\rwritten\x08\x7f", false, "over\\u000dwritten\\u0008\\u007f"),
            ("\u{9b}2J \u{a0}", false, "\\u009b2J \u{a0}"),
            ("\u{202e}txt.a\u{2069}", false, "\\u202etxt.a\\u2069"),
            ("cut off \x1b[3", true, "cut off \\u001b[3"),
        ] {
            // whole, and in the smallest pieces
            for size in [text.len(), 1] {
                let mut out = Vec::new();
                let mut printable = Printable::new(&mut out, color);
                for piece in text.as_bytes().chunks(size) {
                    printable.write_all(piece).unwrap();
                }
                printable.flush().unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?} {color} {size}");
            }
        }
    }
}
