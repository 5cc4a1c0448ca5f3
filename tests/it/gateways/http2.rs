//! The same client over HTTP/2 without TLS: frames by hand, because no library sends such paths as they are.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client::{Reply, Say};
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, hpack_text,
};

/// The largest frame that every receiver takes.
pub(super) const LARGEST: usize = 16_384;

/// Sends a request as the first of a connection, and reads the status of the answer. A body has no length beforehand,
/// and fits into one frame.
pub(super) fn say(addr: SocketAddr, what: &Say<'_>) -> Option<Reply> {
    assert!(what.body.len() <= LARGEST);
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(what.wait)).ok()?;
    let mut block = Vec::new();
    let scheme = what.headers.iter().find(|(name, _)| *name == ":scheme").map_or("http", |(_, value)| value);
    let pseudo = [(":method", what.method), (":scheme", scheme), (":authority", what.host), (":path", what.target)];
    let headers = what.headers.iter().filter(|(name, _)| *name != ":scheme");
    for (name, value) in pseudo.iter().chain(headers) {
        // a literal that is never indexed: what a path says may be a secret
        block.push(0x10);
        hpack_text(&mut block, &name.to_ascii_lowercase());
        hpack_text(&mut block, value);
    }
    let mut trailers = Vec::new();
    for (name, value) in &what.trailers {
        trailers.push(0x10);
        hpack_text(&mut trailers, &name.to_ascii_lowercase());
        hpack_text(&mut trailers, value);
    }
    let end = |last: bool| if last { END_STREAM } else { 0 };
    let mut out = PREFACE.to_vec();
    out.extend(frame(SETTINGS, 0, 0, &[]));
    out.extend(frame(HEADERS, END_HEADERS | end(what.body.is_empty() && trailers.is_empty()), 1, &block));
    if !what.body.is_empty() {
        out.extend(frame(DATA, end(trailers.is_empty()), 1, what.body));
    }
    if !trailers.is_empty() {
        out.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
    }
    // a gateway that refuses early may close before it has taken all
    let _ = stream.write_all(&out);
    let status = answer(&mut stream).ok()??;
    Some(Reply { status, headers: Vec::new(), stream: None })
}

/// The status of the first stream, once the stream ended; nothing if it was broken off.
fn answer(stream: &mut TcpStream) -> io::Result<Option<u16>> {
    let mut status = None;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload)?;
        match (head[3], head[4]) {
            (SETTINGS, flags) if flags & ACK == 0 => {
                let mut out = Vec::new();
                out.extend(frame(SETTINGS, ACK, 0, &[]));
                stream.write_all(&out)?;
            }
            (HEADERS, flags) => {
                // padding and priority, which no answer needs
                assert_eq!(flags & 0x28, 0, "padded headers");
                status = status.or(of_block(&payload));
                if flags & END_STREAM != 0 {
                    return Ok(status);
                }
            }
            (DATA, flags) if flags & END_STREAM != 0 => return Ok(status),
            (RST_STREAM | GOAWAY, _) => return Ok(status),
            _ => {}
        }
    }
}

/// The status, which is the first field of an answer: one of seven numbers, or three digits, packed or not.
fn of_block(block: &[u8]) -> Option<u16> {
    // what sets the size of a table that is not used here
    let mut block = block;
    while let [byte @ 0x20..=0x3f, rest @ ..] = block {
        let more = if *byte == 0x3f { rest.iter().position(|byte| byte & 0x80 == 0)? + 1 } else { 0 };
        block = &rest[more..];
    }
    match block {
        [byte @ 0x88..=0x8e, ..] => Some([200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)]),
        // its name by number, 8 to 14
        [byte, length, rest @ ..] if (8..=14).contains(&(byte & if byte & 0x40 == 0 { 0x0f } else { 0x3f })) => {
            let value = rest.get(..usize::from(length & 0x7f))?;
            let digits = if length & 0x80 == 0 { value.to_vec() } else { unpack(value)? };
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Digits by HPACK's code: five bits for 0 to 2, six for the others.
fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let (mut digits, mut rest) = (Vec::new(), bits.as_slice());
    while digits.len() < 3 {
        let short = number(rest.get(..5)?);
        if short < 3 {
            digits.push(b'0' + short);
            rest = &rest[5..];
        } else {
            digits.push(b'3' + number(rest.get(..6)?).checked_sub(25)?);
            rest = &rest[6..];
        }
    }
    Some(digits)
}

#[test]
fn reads_statuses() {
    for (block, status) in [
        (&[0x88][..], Some(200)),
        (&[0x3f, 0xe1, 0x1f, 0x8c], Some(400)),
        (&[0x20, 0x8c], Some(400)),
        (&[0x48, 3, b'4', b'0', b'3'], Some(403)),
        (&[0x08, 3, b'4', b'0', b'1'], Some(401)),
        // as RFC 7541 has them in its appendix C.6
        (&[0x48, 0x82, 0x64, 0x02], Some(302)),
        (&[0x48, 0x83, 0x64, 0x0e, 0xff], Some(307)),
        (&[0x82], None),
        (&[], None),
    ] {
        assert_eq!(of_block(block), status, "{block:x?}");
    }
}
