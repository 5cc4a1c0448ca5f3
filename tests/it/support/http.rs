//! A small blocking HTTP/1.1 client: plain enough that what goes over the wire is what the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A keep-alive connection to one listener.
pub(crate) struct Client {
    addr: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    /// Posts JSON.
    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.send("POST", path, &[("content-type", "application/json")], body.as_ref())
    }

    /// Puts JSON.
    pub(crate) fn put(&mut self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.send("PUT", path, &[("content-type", "application/json")], body.as_ref())
    }

    /// Sends a request with exactly these headers, besides `Host` and `Content-Length`.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if !body.is_empty() || method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let stream = self.stream.get_or_insert_with(|| BufReader::new(connect(self.addr)));
        let out = stream.get_mut();
        out.write_all(head.as_bytes()).and_then(|()| out.write_all(body)).expect("the server takes the request");
        let response = read_response(stream, method == "HEAD").expect("the server answers");
        if response.header("connection") == Some("close") {
            self.stream = None;
        }
        response
    }
}

/// A fresh connection that never waits for ever.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads one response.
pub(crate) fn read_response(stream: &mut impl BufRead, head_only: bool) -> std::io::Result<Response> {
    let bad = |what: &str| std::io::Error::other(what.to_owned());
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| bad(&format!("no status line: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(bad("the head is cut off"));
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if !head_only && status != 204 && status >= 200 {
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = read_chunks(stream)?;
            return Ok(response);
        }
        let length =
            response.header("content-length").and_then(|v| v.parse().ok()).ok_or_else(|| bad("no content length"))?;
        response.body = vec![0; length];
        stream.read_exact(&mut response.body)?;
    }
    Ok(response)
}

/// A chunked body; what ends before the last chunk is an error.
fn read_chunks(stream: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        let start = body.len();
        // each chunk ends a line
        body.resize(start + length + 2, 0);
        stream.read_exact(&mut body[start..])?;
        body.truncate(start + length);
        if length == 0 {
            return Ok(body);
        }
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
