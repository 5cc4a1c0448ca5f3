//! One request over TCP or a Unix socket, for `status`, `apply` and `export`. Not a client for anything else.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::config::ListenAddr;

/// More than any status has.
const MAX_BYTES: u64 = 16 << 20;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A body to send.
pub(super) struct Post<'p> {
    pub path: &'p str,
    /// The media type.
    pub media: &'p str,
    pub body: &'p [u8],
    /// A header besides.
    pub header: Option<(&'static str, String)>,
    /// Called now and then with the bytes that were sent.
    pub sent: &'p dyn Fn(usize),
}

/// Gets `path` from `address`.
///
/// # Errors
/// If there is no answer in time, or none that is HTTP.
pub(super) fn get(address: &ListenAddr, path: &str, token: Option<&str>, timeout: Duration) -> io::Result<Answer> {
    get_large(address, path, token, timeout, MAX_BYTES)
}

/// The same, where the answer may have so many bytes.
///
/// # Errors
/// As [`get`].
pub(super) fn get_large(
    address: &ListenAddr,
    path: &str,
    token: Option<&str>,
    timeout: Duration,
    most: u64,
) -> io::Result<Answer> {
    ask(address, &head("GET", path, token, ""), &[], &|_| {}, (timeout, most))
}

/// Posts a body to `address`.
///
/// # Errors
/// If there is no answer in time, or none that is HTTP.
pub(super) fn post(
    address: &ListenAddr,
    post: &Post<'_>,
    token: Option<&str>,
    timeout: Duration,
) -> io::Result<Answer> {
    let header = post.header.as_ref().map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
    let more = format!("Content-Type: {}\r\nContent-Length: {}\r\n{header}", post.media, post.body.len());
    ask(address, &head("POST", post.path, token, &more), post.body, post.sent, (timeout, MAX_BYTES))
}

fn head(method: &str, path: &str, token: Option<&str>, more: &str) -> String {
    let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    // the admin API answers to this name, wherever it listens; 1.0: the answer ends with the connection and is not chunked
    format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n{more}{authorization}\r\n"
    )
}

fn ask(
    address: &ListenAddr,
    head: &str,
    body: &[u8],
    sent: &dyn Fn(usize),
    (timeout, most): (Duration, u64),
) -> io::Result<Answer> {
    let bytes = match address {
        ListenAddr::Tcp(address) => {
            let mut target = *address;
            if target.ip().is_unspecified() {
                // a listener on all addresses is reached on this machine
                target.set_ip(if target.is_ipv4() {
                    std::net::Ipv4Addr::LOCALHOST.into()
                } else {
                    std::net::Ipv6Addr::LOCALHOST.into()
                });
            }
            let stream = TcpStream::connect_timeout(&target, timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            exchange(stream, head, body, sent, most)?
        }
        #[cfg(unix)]
        ListenAddr::Unix(path) => {
            let stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            exchange(stream, head, body, sent, most)?
        }
        #[cfg(not(unix))]
        ListenAddr::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

/// Bytes that are sent at a time.
const PIECE: usize = 256 << 10;

fn exchange(
    mut stream: impl Read + Write,
    head: &str,
    body: &[u8],
    sent: &dyn Fn(usize),
    most: u64,
) -> io::Result<Vec<u8>> {
    stream.write_all(head.as_bytes())?;
    let mut so_far = 0;
    for piece in body.chunks(PIECE) {
        // a server that refuses the body answers and reads no more of it
        if stream.write_all(piece).is_err() {
            break;
        }
        so_far += piece.len();
        sent(so_far);
    }
    let mut bytes = Vec::new();
    match stream.take(most).read_to_end(&mut bytes) {
        // a server may reset a connection that it has answered
        Err(error) if bytes.is_empty() || error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1))?.parse().ok()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let body = bytes.get(end + 4..)?;
    // less than was announced is an answer that was cut off
    let body = match length {
        Some(length) => body.get(..length)?,
        None => body,
    };
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let body = |status, body: &str| Some(Answer { status, body: body.as_bytes().to_vec() });
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", body(200, "{}")),
            ("HTTP/1.0 503 Service Unavailable\r\n\r\n{}", body(503, "{}")),
            ("HTTP/1.1 204\r\ncontent-length: 0\r\n\r\n", body(204, "")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", None),
            ("HTTP/1.1 OK\r\n\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }
}
