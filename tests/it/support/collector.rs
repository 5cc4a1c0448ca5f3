//! A collector of traces in this process: takes what is posted to it, and reads OTLP's messages on its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::PrivatePkcs8KeyDer;

/// A span as it came, its attributes as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: u64,
    pub began: u64,
    pub ended: u64,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
    /// Those of the process that sent it.
    pub resource: BTreeMap<String, String>,
}

/// A request to the collector.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    /// Its first line.
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub spans: Vec<Span>,
}

pub(crate) struct Collector {
    pub addr: SocketAddr,
    /// The certificate that it is trusted by, where it speaks TLS.
    pub certificate: Option<String>,
    posted: Arc<Mutex<Vec<Posted>>>,
    answer: Arc<Answer>,
}

/// What it answers.
#[derive(Default)]
struct Answer {
    status: AtomicU16,
    rejects: AtomicU8,
}

/// A status for which nothing is answered.
pub(crate) const SILENT: u16 = 0;

impl Collector {
    pub(crate) fn start() -> Self {
        Self::listening(None, serve)
    }

    /// One that speaks TLS, as `localhost`.
    pub(crate) fn start_tls() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let config = Arc::new(config);
        Self::listening(Some(made.cert.pem()), move |stream, all, answer| {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            serve(rustls::StreamOwned::new(connection, stream), all, answer);
        })
    }

    fn listening(
        certificate: Option<String>,
        serve: impl Fn(TcpStream, &Mutex<Vec<Posted>>, &Answer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (posted, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Answer::default()));
        answer.status.store(200, Ordering::SeqCst);
        let (all, answers, serve) = (posted.clone(), answer.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, answers, serve) = (all.clone(), answers.clone(), serve.clone());
                thread::spawn(move || serve(stream, &all, &answers));
            }
        });
        Self { addr, certificate, posted, answer }
    }

    pub(crate) fn url(&self) -> String {
        match self.certificate {
            Some(_) => format!("https://localhost:{}", self.addr.port()),
            None => format!("http://{}", self.addr),
        }
    }

    /// What it answers from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.answer.status.store(status, Ordering::SeqCst);
    }

    /// Says from now on that it rejected so many spans of each request.
    pub(crate) fn rejects(&self, spans: u8) {
        self.answer.rejects.store(spans, Ordering::SeqCst);
    }

    /// What was posted to it, whatever it answered.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.posted().into_iter().flat_map(|posted| posted.spans).collect()
    }

    /// Waits until it has got so many spans.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize) -> Vec<Span> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let spans = self.spans();
            if spans.len() >= count {
                return spans;
            }
            assert!(Instant::now() < deadline, "{count} spans are expected: {spans:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve<S: Read + Write>(stream: S, all: &Mutex<Vec<Posted>>, answer: &Answer) {
    let mut stream = BufReader::new(stream);
    while take(&mut stream, all, answer).is_some() {}
}

fn take<S: Read + Write>(reader: &mut BufReader<S>, all: &Mutex<Vec<Posted>>, answer: &Answer) -> Option<()> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    let status = answer.status.load(Ordering::SeqCst);
    let posted = Posted { line: line.trim_end().to_owned(), headers, spans: spans(&body) };
    all.lock().unwrap().push(posted);
    if status == SILENT {
        thread::sleep(Duration::from_secs(60));
        return None;
    }
    let mut body = Vec::new();
    match answer.rejects.load(Ordering::SeqCst) {
        0 => {}
        // `partial_success`, with `rejected_spans` and `error_message`
        spans => body.extend([&[10, 11, 8, spans, 18, 7][..], b"too old"].concat()),
    }
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n");
    reader.get_mut().write_all(&[head.as_bytes(), &body].concat()).ok()?;
    reader.get_mut().flush().ok()
}

enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Field<'m> {
    fn bytes(&self) -> &'m [u8] {
        let Self::Bytes(bytes) = self else { panic!("a number") };
        bytes
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn hex(&self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("bytes") };
        *number
    }
}

fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(rest: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut all = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let fixed = |rest: &mut &[u8], size: usize| {
            let (value, after) = rest.split_at(size);
            *rest = after;
            value.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut rest)),
            1 => Field::Number(fixed(&mut rest, 8)),
            5 => Field::Number(fixed(&mut rest, 4)),
            2 => {
                let length = varint(&mut rest) as usize;
                let (value, after) = rest.split_at(length);
                rest = after;
                Field::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        all.push((tag >> 3, field));
    }
    all
}

/// The key and the value of a `KeyValue`.
fn attribute(message: &[u8]) -> (String, String) {
    let (mut key, mut value) = (String::new(), String::new());
    for (number, field) in fields(message) {
        match number {
            1 => key = field.text(),
            2 => {
                for (kind, field) in fields(field.bytes()) {
                    value = match kind {
                        1 => field.text(),
                        2 => (field.number() != 0).to_string(),
                        3 => (field.number() as i64).to_string(),
                        other => panic!("value {other}"),
                    };
                }
            }
            other => panic!("field {other} of an attribute"),
        }
    }
    (key, value)
}

/// The spans of an `ExportTraceServiceRequest`.
fn spans(request: &[u8]) -> Vec<Span> {
    let mut all = Vec::new();
    for (_, resource_spans) in fields(request) {
        let mut resource = BTreeMap::new();
        for (number, field) in fields(resource_spans.bytes()) {
            match number {
                1 => {
                    let attributes = fields(field.bytes()).into_iter().filter(|(number, _)| *number == 1);
                    resource = attributes.map(|(_, field)| attribute(field.bytes())).collect();
                }
                2 => {
                    let of_scope = fields(field.bytes()).into_iter().filter(|(number, _)| *number == 2);
                    all.extend(of_scope.map(|(_, field)| Span { resource: resource.clone(), ..span(field.bytes()) }));
                }
                _ => {}
            }
        }
    }
    all
}

fn span(message: &[u8]) -> Span {
    let mut span = Span::default();
    for (number, field) in fields(message) {
        match number {
            1 => span.trace = field.hex(),
            2 => span.id = field.hex(),
            3 => span.state = field.text(),
            4 => span.parent = field.hex(),
            5 => span.name = field.text(),
            6 => span.kind = field.number(),
            7 => span.began = field.number(),
            8 => span.ended = field.number(),
            9 => span.attributes.extend([attribute(field.bytes())]),
            15 => span.failed = fields(field.bytes()).iter().any(|(number, code)| *number == 3 && code.number() == 2),
            _ => {}
        }
    }
    span
}
