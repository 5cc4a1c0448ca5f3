//! A client that sends the bytes that it is given, and reads whatever comes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request on a connection of its own.
#[derive(Debug, Clone)]
pub(super) struct Say<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub host: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
    /// Behind a body in chunks.
    pub trailers: Vec<(&'a str, &'a str)>,
    /// How long to wait for the answer.
    pub wait: Duration,
}

impl<'a> Say<'a> {
    pub(super) fn get(target: &'a str) -> Self {
        let wait = Duration::from_secs(10);
        Self { method: "GET", target, host: "gw.test", headers: Vec::new(), body: b"", trailers: Vec::new(), wait }
    }

    pub(super) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.has("connection") {
            out.push_str("Connection: close\r\n");
        }
        let chunked = self.has("transfer-encoding");
        if !chunked && (!self.body.is_empty() || self.method == "POST") {
            out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if !chunked {
            out.extend_from_slice(self.body);
            return out;
        }
        // in pieces that cut through words
        for piece in self.body.chunks(1_021) {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        for (name, value) in &self.trailers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The connection, where it is one of TCP and stays open.
    pub stream: Option<TcpStream>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether the client may think that the service answered: a gRPC status reports a denial with a 200 too.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && self.header("grpc-status").is_none_or(|status| status == "0")
    }
}

/// A way to send a request.
pub(super) type Speak = fn(SocketAddr, &Say<'_>) -> Option<Reply>;

/// Sends it and reads the head of the answer; nothing if none comes in time.
pub(super) fn say(addr: SocketAddr, what: &Say<'_>) -> Option<Reply> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(what.wait)).ok()?;
    let reply = say_on(&mut stream, what).ok()?;
    Some(Reply { stream: Some(stream), ..reply })
}

/// The same on a connection that is there. An error is a connection that broke off before the head was whole.
pub(super) fn say_on(stream: &mut (impl Read + Write), what: &Say<'_>) -> io::Result<Reply> {
    // a gateway that refuses early may close before it has taken all
    let sent = stream.write_all(&what.bytes()).and_then(|()| stream.flush());
    let mut bytes = Vec::new();
    // byte by byte: what follows an upgrade is not ours
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else { return Err(sent.err().unwrap_or(io::ErrorKind::UnexpectedEof.into())) };
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    if status != 101 {
        // to its end, so that what the gateway does for this request is done
        let _ = stream.read_to_end(&mut bytes);
    }
    Ok(Reply { status, headers, stream: None })
}
