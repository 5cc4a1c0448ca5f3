//! Bytes to a socket and what comes back, for what no client library would send.

use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::Response;
use super::http::{connect, read_response};

/// What a connection brought until the server closed it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub responses: Vec<Response>,
    /// What came after the last whole response. Empty unless the server broke off.
    pub rest: Vec<u8>,
    /// The connection was reset instead of closed.
    pub reset: bool,
}

impl Heard {
    pub(crate) fn statuses(&self) -> Vec<u16> {
        self.responses.iter().map(|response| response.status).collect()
    }

    /// The request ids that were answered, in order; `-` where the answer carries none.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.responses.iter().map(|response| response.header("x-request-id").unwrap_or("-")).collect()
    }
}

/// Sends the bytes, ends its side, and hears the server out.
pub(crate) fn say(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Heard {
    let mut stream = connect(addr);
    // a server that refuses early may close before it has taken all
    let _ = stream.write_all(bytes.as_ref());
    let _ = stream.shutdown(Shutdown::Write);
    hear(&mut stream)
}

/// Sends the bytes and hears the server out, which must close on its own.
pub(crate) fn say_and_stay(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Heard {
    let mut stream = connect(addr);
    let _ = stream.write_all(bytes.as_ref());
    hear(&mut stream)
}

/// Reads until the server closes.
#[track_caller]
pub(crate) fn hear(stream: &mut TcpStream) -> Heard {
    let (mut bytes, mut chunk, mut reset) = (Vec::new(), [0; 16 << 10], false);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                reset = true;
                break;
            }
            Err(error) => panic!("the server neither answers nor closes: {error}; {}", bytes.escape_ascii()),
        }
    }
    let mut unread = Cursor::new(bytes.as_slice());
    let mut responses = Vec::new();
    let mut whole = 0;
    while let Ok(response) = read_response(&mut unread, false) {
        whole = unread.position() as usize;
        if response.status >= 200 {
            responses.push(response);
        }
    }
    Heard { responses, rest: bytes[whole..].to_vec(), reset }
}

/// A connection on which requests and answers alternate as the test says.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self(BufReader::new(connect(addr)))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).expect("the server takes the bytes");
    }

    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        read_response(&mut self.0, false).expect("the server answers")
    }

    /// Whether the server has closed or closes now.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        match self.0.fill_buf() {
            Ok([]) => {}
            Ok(more) => panic!("more instead of the end: {}", more.escape_ascii()),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset), "{error}"),
        }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}

/// A POST with a content length and a request id.
pub(crate) fn post(path: &str, id: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
