//! Follows the messages that an HTTP/1 client sends, to refuse heads that another reader may take otherwise.
//!
//! The HTTP library takes a bare LF for the end of a line and two equal `Content-Length` for one, and shows neither. A
//! proxy before us may read such a head as another request. So the byte that makes the difference is overwritten before
//! the library sees it, with one that it refuses: it answers 400 and closes. Where a body ends is followed as well as is
//! needed to find the next head; what cannot be followed makes the connection end after its answer.

/// What replaces the end of a line that must not be accepted. No head may have it.
const REFUSED: u8 = 0;

/// How much of a line is looked at: a length or a coding is shorter.
const LOOK: usize = 64;

/// Where in the messages the client is.
#[derive(Debug)]
pub(super) struct Heads {
    place: Place,
    /// The beginning of a line that came in parts.
    line: Vec<u8>,
    /// Whether that is not all that came of it.
    cut: bool,
    /// Whether the byte before was CR.
    cr: bool,
    /// Whether anything of the head at hand has come.
    begun: bool,
    /// Whether a line of it has, beyond empty ones before it.
    request_line: bool,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes to go.
    Body(u64),
    ChunkSize,
    /// So many bytes to go, the end of the line after the chunk among them.
    Chunk(u64),
    Trailers,
    Lost,
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            place: Place::Head,
            line: Vec::new(),
            cut: false,
            cr: false,
            begun: false,
            request_line: false,
            length: None,
            chunked: false,
        }
    }
}

impl Heads {
    /// Whether a head has begun and not ended.
    pub(super) fn is_within_head(&self) -> bool {
        self.place == Place::Head && self.begun
    }

    /// Whether the place where the next head begins is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Whether the client may still be sending what it has begun: a body, or something that cannot be followed.
    pub(super) fn is_within_body(&self) -> bool {
        self.place != Place::Head
    }

    /// Reads what came, and spoils what must be refused. True if a head ended.
    pub(super) fn read(&mut self, mut bytes: &mut [u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Lost => return ended,
                Place::Body(left) | Place::Chunk(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    bytes = &mut bytes[taken..];
                    if *left == 0 {
                        self.place = if self.chunked { Place::ChunkSize } else { Place::Head };
                    }
                }
                Place::Head | Place::ChunkSize | Place::Trailers => {
                    self.begun = true;
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.cr = bytes.last() == Some(&b'\r');
                        let room = LOOK.saturating_sub(self.line.len()).min(bytes.len());
                        self.line.extend_from_slice(&bytes[..room]);
                        self.cut |= room < bytes.len();
                        return ended;
                    };
                    let (line, rest) = bytes.split_at_mut(end + 1);
                    let whole = if end > 0 { line[end - 1] == b'\r' } else { self.cr };
                    let fine = whole
                        && if self.line.is_empty() {
                            self.take(trimmed(&line[..end]), &mut ended)
                        } else {
                            let mut joined = std::mem::take(&mut self.line);
                            joined.extend_from_slice(&line[..end.min(LOOK)]);
                            self.cut |= end > LOOK;
                            self.take(trimmed(&joined), &mut ended)
                        };
                    self.cut = false;
                    if !fine {
                        // what is no head, the library refuses itself, or does not read
                        if self.place != Place::ChunkSize {
                            line[end] = REFUSED;
                        }
                        self.place = Place::Lost;
                    }
                    self.cr = false;
                    bytes = rest;
                }
            }
        }
        ended
    }

    /// Takes a line without its end; false if it must not be accepted.
    fn take(&mut self, line: &[u8], ended: &mut bool) -> bool {
        match self.place {
            Place::ChunkSize => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size =
                    std::str::from_utf8(&line[..digits]).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
                self.place = match size {
                    Some(0) => Place::Trailers,
                    Some(size) if size < u64::MAX / 2 => Place::Chunk(size + 2),
                    // the library decides
                    _ => Place::Lost,
                };
            }
            Place::Trailers if line.is_empty() => self.next_head(),
            // an empty line before a head is nothing (RFC 9112, 2.2)
            Place::Head if line.is_empty() && !self.request_line => {}
            Place::Head if line.is_empty() => {
                (self.begun, self.request_line) = (false, false);
                if self.chunked {
                    self.place = if self.length.is_some() { Place::Lost } else { Place::ChunkSize };
                    *ended = true;
                } else {
                    match self.length.take() {
                        Some(length) if length > 0 => self.place = Place::Body(length),
                        _ => self.next_head(),
                    }
                    *ended = true;
                }
            }
            Place::Head => return self.field(line),
            _ => {}
        }
        true
    }

    fn next_head(&mut self) {
        (self.place, self.begun, self.length, self.chunked) = (Place::Head, false, None, false);
    }

    /// Notes what a field says about the body; false if it is the second length.
    fn field(&mut self, line: &[u8]) -> bool {
        self.request_line = true;
        // most fields begin with another letter
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return true;
        }
        if let Some(value) = value_of(line, b"content-length:") {
            if self.length.is_some() {
                return false;
            }
            let digits = std::str::from_utf8(value).ok().filter(|value| value.bytes().all(|b| b.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()).filter(|_| !self.cut) {
                Some(length) => self.length = Some(length),
                None => self.place = Place::Lost,
            }
        } else if let Some(value) = value_of(line, b"transfer-encoding:") {
            if self.cut || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                self.place = Place::Lost;
            }
            self.chunked = true;
        }
        true
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_and_spoiled_however_the_bytes_come() {
        const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        // what is sent, and how often a byte of it is spoiled; or else how many heads end and whether it is lost
        let cases: Vec<(String, usize, usize, bool)> = vec![
            (GET.into(), 0, 1, false),
            (GET.repeat(3), 0, 3, false),
            (format!("\r\n{GET}"), 0, 1, false),
            (GET.replace("\r\n", "\n"), 1, 0, true),
            (GET.replacen("\r\n", "\n", 1), 1, 0, true),
            (GET.replace("\r\n\r\n", "\r\n\n"), 1, 0, true),
            (format!("\n{GET}"), 1, 0, true),
            (format!("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc{GET}"), 0, 2, false),
            (format!("POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n{GET}"), 0, 2, false),
            (format!("POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n\n\n{GET}"), 1, 0, true),
            (format!("POST / HTTP/1.1\r\ncontent-length: 2, 2\r\n\r\n\n\n{GET}"), 0, 0, true),
            (format!("POST / HTTP/1.1\r\nx: {}\r\ncontent-length: 2\r\n\r\n\n\n{GET}", "y".repeat(500)), 0, 2, false),
            (
                format!(
                    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0\r\nt: u\r\n\r\n{GET}"
                ),
                0,
                2,
                false,
            ),
            (format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\n{GET}"), 0, 1, true),
            (format!("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n\n{GET}"), 0, 0, true),
            (format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\n{GET}"), 0, 1, true),
        ];
        for (text, spoiled, ended, lost) in cases {
            for step in [1, 2, 3, 7, 64, usize::MAX] {
                let (mut heads, mut bytes, mut count) = (Heads::default(), text.clone().into_bytes(), 0);
                for part in bytes.chunks_mut(step.min(text.len())) {
                    count += usize::from(heads.read(part));
                }
                let zeros = bytes.iter().filter(|byte| **byte == REFUSED).count();
                assert_eq!((zeros, heads.is_lost()), (spoiled, lost), "{text:?} by {step}");
                assert!(!heads.is_within_head(), "{text:?} by {step}");
                if step == 1 {
                    assert_eq!(count, ended, "{text:?}");
                }
            }
        }
        for (text, within) in
            [("", false), ("\r\n", true), ("GET / HTTP/1.1\r\n\r\n", false), ("GET / HTTP/1.1\r\n\r\nG", true)]
        {
            let mut heads = Heads::default();
            heads.read(&mut text.to_owned().into_bytes());
            assert_eq!(heads.is_within_head(), within, "{text:?}");
        }
    }
}
