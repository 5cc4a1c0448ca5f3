//! Follows the frames that an HTTP/2 client sends, to know the windows that it gives.
//!
//! It reads no more than the heads of frames, `SETTINGS`, and `WINDOW_UPDATE`s of the connection, and judges nothing: that
//! is the HTTP library's part.

use crate::transport::conn::Window;

const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// Of the flags of `SETTINGS`.
const ACK: u8 = 1;
/// The setting that says what each stream's window begins with.
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

/// Where in the frames the client is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes that are to be passed before the next piece begins.
    skip: usize,
    /// What of the piece at hand has come.
    piece: [u8; 9],
    have: usize,
    kind: Kind,
    /// How many `SETTINGS` have begun. The first comes before all streams.
    settings: u32,
}

#[derive(Debug, Default, Clone, Copy)]
enum Kind {
    #[default]
    Head,
    /// Settings, with so many bytes to come.
    Settings(usize),
    /// The connection's window, with the bytes of the frame that follow it.
    Update(usize),
}

impl Frames {
    pub(super) fn read(&mut self, mut bytes: &[u8], window: &Window) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let wanted = match self.kind {
                Kind::Head => 9,
                Kind::Settings(_) => 6,
                Kind::Update(_) => 4,
            };
            let taken = (wanted - self.have).min(bytes.len());
            self.piece[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == wanted {
                self.have = 0;
                self.kind = self.next(window);
            }
        }
    }

    /// Takes a whole piece; says what the next one is.
    fn next(&mut self, window: &Window) -> Kind {
        let [a, b, c, d, e, f, ..] = self.piece;
        match self.kind {
            Kind::Head => {
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let (kind, flags) = (d, e);
                let stream = u32::from_be_bytes([f, self.piece[6], self.piece[7], self.piece[8]]) & 0x7fff_ffff;
                match kind {
                    SETTINGS if flags & ACK == 0 => {
                        self.settings = self.settings.saturating_add(1);
                        self.setting(length)
                    }
                    WINDOW_UPDATE if stream == 0 && length >= 4 => Kind::Update(length - 4),
                    _ => {
                        self.skip = length;
                        Kind::Head
                    }
                }
            }
            Kind::Settings(left) => {
                if [a, b] == INITIAL_WINDOW_SIZE {
                    window.set_stream(u32::from_be_bytes([c, d, e, f]), self.settings == 1);
                }
                self.setting(left - 6)
            }
            Kind::Update(rest) => {
                window.widen(u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff);
                self.skip = rest;
                Kind::Head
            }
        }
    }

    /// What follows in `SETTINGS` of which so many bytes are to come.
    fn setting(&mut self, left: usize) -> Kind {
        if left >= 6 {
            return Kind::Settings(left);
        }
        self.skip = left;
        Kind::Head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn initial(bytes: u32) -> Vec<u8> {
        [&[0, 3, 0, 0, 0, 100, 0, 4][..], &bytes.to_be_bytes()].concat()
    }

    #[test]
    fn windows_are_read_however_the_bytes_come() {
        let update = |stream: u32, bytes: u32| frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        // frames, and what the windows of a stream and of the connection are after them
        let cases: Vec<(Vec<Vec<u8>>, usize, usize)> = vec![
            (vec![], 65_535, 65_535),
            (vec![frame(SETTINGS, 0, 0, &[])], 65_535, 65_535),
            (vec![frame(SETTINGS, 0, 0, &initial(7))], 7, 65_535),
            (vec![frame(SETTINGS, 0, 0, &initial(1 << 20)), update(0, 10)], 65_545, 65_545),
            (vec![frame(SETTINGS, ACK, 0, &[]), frame(SETTINGS, 0, 0, &initial(7))], 7, 65_535),
            (vec![frame(SETTINGS, 0, 0, &initial(9)), frame(SETTINGS, 0, 0, &initial(5))], 5, 65_535),
            (vec![frame(SETTINGS, 0, 0, &initial(9)), frame(SETTINGS, 0, 0, &initial(50))], 9, 65_535),
            (vec![update(1, 99), update(0, 1 << 31 | 5), frame(0, 1, 3, &[4; 300])], 65_535, 65_540),
            (vec![frame(1, 4, 1, &initial(3)), frame(6, 0, 0, &[0; 8]), update(0, 2)], 65_535, 65_537),
        ];
        for (frames, stream, whole) in cases {
            let bytes = frames.concat();
            for step in [1, 2, 5, 9, 64, usize::MAX] {
                let (mut reader, window) = (Frames::default(), Window::default());
                for part in bytes.chunks(step.min(bytes.len().max(1))) {
                    reader.read(part, &window);
                }
                let most = stream.min(whole);
                assert!(window.covers(0, most) && !window.covers(0, most + 1), "{frames:?} by {step}");
            }
        }
    }
}
