//! The service behind the gateways: it keeps every byte of a request's head, and answers 200 to everything.
//!
//! It is plain sockets and threads, so that no library makes the request any nicer than it arrived.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

/// What a client must send and hears for an upgrade: the example of RFC 6455.
pub(super) const WEBSOCKET: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

/// Names in a request what the answer says in `X-Accel-Redirect`.
pub(super) const ACCEL: &str = "X-Answer-With-Accel";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub method: String,
    pub target: Vec<u8>,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    body: Arc<OnceLock<Vec<u8>>>,
    trailers: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    /// What came behind the body, line by line.
    pub(super) fn trailers(&self) -> Vec<String> {
        self.trailers.lock().unwrap().clone()
    }

    /// The whole body; nothing if it did not come to its end.
    pub(super) fn body(&self) -> Option<&[u8]> {
        self.body.get().map(Vec::as_slice)
    }

    /// The values of every header that some services would read as `name`.
    pub(super) fn like(&self, name: &str) -> Vec<&str> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.headers
            .iter()
            .filter(|(n, _)| n.chars().map(plain).eq(name.chars()))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

pub(super) struct Upstream {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = seen.clone();
        // it ends with the test's process
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = log.clone();
                thread::spawn(move || serve(stream, &log));
            }
        });
        Self { addr, seen }
    }

    /// Everything that arrived since the last time.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Reads requests until the gateway closes. An error is an end: gateways break connections off.
fn serve(stream: TcpStream, log: &Mutex<Vec<Seen>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let seen = head(&mut reader)?;
        let find = |name: &str| seen.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let (length, coding) = (find("content-length"), find("transfer-encoding"));
        let (upgrade, close) = (find("upgrade"), find("connection"));
        let (get, head_only, whole) = (seen.method == "GET", seen.method == "HEAD", seen.body.clone());
        let trailers = seen.trailers.clone();
        let accel = find(&ACCEL.to_ascii_lowercase()).map(|path| format!("x-accel-redirect: {path}\r\n"));
        // before it is answered, so that a test that has the answer finds it
        log.lock().unwrap().push(seen);
        if let Some(upgrade) = upgrade.filter(|_| get) {
            return echo(reader, &upgrade);
        }
        let (read, behind) = body(&mut reader, length.as_deref(), coding.as_deref())?;
        trailers.lock().unwrap().extend(behind);
        whole.set(read).ok()?;
        let body: &[u8] = if head_only { b"" } else { b"hello" };
        let out = reader.get_mut();
        let accel = accel.unwrap_or_default();
        write!(out, "HTTP/1.1 200 OK\r\nx-service: here\r\n{accel}content-length: 5\r\n\r\n").ok()?;
        out.write_all(body).ok()?;
        if close.as_deref() == Some("close") {
            return None;
        }
    }
}

/// Reads a body that is framed by these two headers, and what trails it; nothing if it ends before it is whole.
pub(super) fn body(
    reader: &mut impl BufRead,
    length: Option<&str>,
    coding: Option<&str>,
) -> Option<(Vec<u8>, Vec<String>)> {
    if coding.is_none() {
        let mut body = vec![0; length.map_or(Some(0), |length| length.parse().ok())?];
        reader.read_exact(&mut body).ok()?;
        return Some((body, Vec::new()));
    }
    let mut body = Vec::new();
    loop {
        let size = line(reader)?;
        let size = usize::from_str_radix(std::str::from_utf8(&size).ok()?.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            let mut trailers = Vec::new();
            loop {
                let line = line(reader)?;
                if line.is_empty() {
                    return Some((body, trailers));
                }
                trailers.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
        let at = body.len();
        body.resize(at + size, 0);
        reader.read_exact(&mut body[at..]).ok()?;
        line(reader).filter(Vec::is_empty)?;
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = line(reader)?;
    let space = line.iter().position(|b| *b == b' ')?;
    let end = line.windows(6).rposition(|part| part == b" HTTP/")?;
    let mut seen = Seen {
        method: String::from_utf8_lossy(&line[..space]).into_owned(),
        target: line.get(space + 1..end)?.to_vec(),
        headers: Vec::new(),
        body: Arc::default(),
        trailers: Arc::default(),
    };
    loop {
        line = self::line(reader)?;
        if line.is_empty() {
            return Some(seen);
        }
        let text = String::from_utf8_lossy(&line);
        let (name, value) = text.split_once(':')?;
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn line(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
}

/// Takes the upgrade, whatever it is, and says what it hears.
fn echo(mut reader: BufReader<TcpStream>, upgrade: &str) -> Option<()> {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: {upgrade}\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\n\r\n",
        WEBSOCKET.1
    );
    reader.get_mut().write_all(answer.as_bytes()).ok()?;
    let mut chunk = [0; 1024];
    loop {
        let n = reader.read(&mut chunk).ok().filter(|n| *n > 0)?;
        reader.get_mut().write_all(&chunk[..n]).ok()?;
    }
}
