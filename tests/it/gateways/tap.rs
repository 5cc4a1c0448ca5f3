//! What stands between a gateway and the sidecar: it passes bytes on, and keeps them.
//!
//! The decision log says what was decided and never the target, which may hold secrets. So what a gateway asked
//! is read off the wire, to the byte. It also gives the sidecar one address through all its restarts.

use std::io::{Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tokio::net::TcpSocket;

use super::messages;
use super::upstream;
use crate::support::http::read_response;

/// What a gateway asked, and what it heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub method: String,
    pub target: Vec<u8>,
    pub host: String,
    pub body: Vec<u8>,
    pub allowed: bool,
    /// The code of a denial.
    pub code: String,
}

/// How to read what a gateway asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Nginx,
    Forward,
    Envoy,
    Grpc,
}

impl Words {
    /// The listener that is asked.
    pub(super) fn listener(self) -> &'static str {
        if self == Self::Grpc { "grpc" } else { "decisions" }
    }

    /// The dialect's name in the decision log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Forward => "forward",
            Self::Envoy => "envoy",
            Self::Grpc => "grpc",
        }
    }
}

/// The bytes of one connection, there and back.
#[derive(Default)]
struct Talk {
    there: Vec<u8>,
    back: Vec<u8>,
}

#[derive(Default)]
struct State {
    /// Where the sidecar is now; nowhere, and connections are refused.
    sidecar: Option<SocketAddr>,
    talks: Vec<Arc<Mutex<Talk>>>,
    open: Vec<TcpStream>,
    /// Holds the address while nothing listens, so that no test beside this one gets it.
    held: Option<TcpSocket>,
}

pub(super) struct Tap {
    pub addr: SocketAddr,
    words: Words,
    state: Arc<Mutex<State>>,
}

/// How much was asked on each connection so far.
pub(super) struct Mark(Vec<usize>);

impl Tap {
    pub(super) fn start(words: Words, sidecar: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Self { addr: listener.local_addr().unwrap(), words, state: Arc::default() };
        tap.state.lock().unwrap().sidecar = Some(sidecar);
        tap.listen(listener);
        tap
    }

    fn listen(&self, listener: TcpListener) {
        let state = self.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(sidecar) = state.lock().unwrap().sidecar else { return };
                if let Ok(other) = TcpStream::connect(sidecar) {
                    join(&state, stream, other);
                }
            }
        });
    }

    /// Nothing listens any more, and every connection is closed.
    pub(super) fn down(&self) {
        let mut state = self.state.lock().unwrap();
        state.sidecar = None;
        for stream in state.open.drain(..) {
            // it may be closed already
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // the thread that accepts looks up, and drops its socket
        let _ = TcpStream::connect(self.addr);
        while TcpStream::connect(self.addr).is_ok() {
            thread::yield_now();
        }
        self.state.lock().unwrap().held = Some(self.bound());
    }

    /// A socket at this address that takes no connections: who comes is refused.
    fn bound(&self) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.addr).unwrap();
        socket
    }

    /// Listens at the same address as before, for a sidecar that may have another.
    pub(super) fn up(&self, sidecar: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        state.sidecar = Some(sidecar);
        let listener = TcpListener::bind(self.addr).unwrap();
        state.held = None;
        drop(state);
        self.listen(listener);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.talks().iter().map(|talk| self.read(&talk.lock().unwrap()).len()).collect())
    }

    /// What was asked since then.
    pub(super) fn since(&self, mark: &Mark) -> Vec<Asked> {
        let counts = mark.0.iter().copied().chain(std::iter::repeat(0));
        self.talks().iter().zip(counts).flat_map(|(talk, n)| self.read(&talk.lock().unwrap()).split_off(n)).collect()
    }

    fn talks(&self) -> Vec<Arc<Mutex<Talk>>> {
        self.state.lock().unwrap().talks.clone()
    }

    fn read(&self, talk: &Talk) -> Vec<Asked> {
        match self.words {
            Words::Grpc => messages::read(&talk.there, &talk.back),
            words => http(words, talk),
        }
    }
}

/// Copies both ways until one side ends.
fn join(state: &Arc<Mutex<State>>, gateway: TcpStream, sidecar: TcpStream) {
    let talk = Arc::new(Mutex::new(Talk::default()));
    let mut all = state.lock().unwrap();
    all.talks.push(talk.clone());
    all.open.extend([gateway.try_clone().unwrap(), sidecar.try_clone().unwrap()]);
    drop(all);
    let (from, to, copy) = (gateway.try_clone().unwrap(), sidecar.try_clone().unwrap(), talk.clone());
    thread::spawn(move || pass(from, to, |bytes| copy.lock().unwrap().there.extend_from_slice(bytes)));
    thread::spawn(move || pass(sidecar, gateway, |bytes| talk.lock().unwrap().back.extend_from_slice(bytes)));
}

fn pass(mut from: TcpStream, mut to: TcpStream, keep: impl Fn(&[u8])) {
    // a check is one small packet each way
    let _ = to.set_nodelay(true);
    let mut chunk = [0; 16 << 10];
    while let Ok(n) = from.read(&mut chunk) {
        // before it is passed on, so that a test that has the answer finds it
        keep(&chunk[..n]);
        if n == 0 || to.write_all(&chunk[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The requests of a connection with their answers, in order.
fn http(words: Words, talk: &Talk) -> Vec<Asked> {
    let (mut rest, mut answers) = (talk.there.as_slice(), Cursor::new(&talk.back));
    let mut asked = Vec::new();
    while let Some(end) = rest.windows(4).position(|part| part == b"\r\n\r\n") {
        let head = &rest[..end];
        let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = lines.next().unwrap_or_default();
        let field = |name: &str| {
            let mut lines = head.split(|b| *b == b'\n').skip(1);
            let found =
                lines.find(|line| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes()));
            found.map(|line| line[name.len()..].trim_ascii().to_vec()).unwrap_or_default()
        };
        let text = |name: &str| {
            Some(field(name))
                .filter(|value| !value.is_empty())
                .map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        let mut after = Cursor::new(&rest[end + 4..]);
        let (length, coding) = (text("content-length:"), text("transfer-encoding:"));
        // it is not whole yet, and so not asked yet
        let Some((body, _)) = upstream::body(&mut after, length.as_deref(), coding.as_deref()) else { break };
        let (method, target, host) = match words {
            Words::Nginx => (field("x-original-method:"), field("x-original-uri:"), text("x-original-host:")),
            Words::Forward => (field("x-forwarded-method:"), field("x-forwarded-uri:"), text("x-forwarded-host:")),
            Words::Envoy | Words::Grpc => {
                let method = line.split(|b| *b == b' ').next().unwrap_or_default();
                let target = &line[(method.len() + 1).min(line.len())..];
                let target = target.strip_suffix(b" HTTP/1.1").unwrap_or(target);
                let target = target.strip_prefix(b"/gateway/envoy").unwrap_or(target);
                (method.to_vec(), target.to_vec(), text("host:"))
            }
        };
        // HEAD is asked by Envoy alone
        let answer = read_response(&mut answers, words == Words::Envoy && method == b"HEAD");
        let answer = answer.ok();
        let allowed = answer.as_ref().is_some_and(|answer| answer.status == 200);
        let code = answer
            .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok()?["code"].as_str().map(str::to_owned));
        let method = String::from_utf8_lossy(&method).into_owned();
        let (host, code) = (host.unwrap_or_default(), code.unwrap_or_default());
        asked.push(Asked { method, target, host, body, allowed, code });
        rest = &rest[end + 4 + after.position() as usize..];
    }
    asked
}
