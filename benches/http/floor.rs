//! The least that a server on this stack can do: read the body, parse it, answer a constant.
//!
//! The constant is an answer of the sidecar itself, header fields included, so that both write the same bytes. Below that
//! lies another floor, without HTTP: it reads the same bytes and writes the same bytes, and looks for the length of a
//! body alone. What it takes is the kernel's and the runtime's; what the first takes beside it is the HTTP library's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use memchr::memmem;
use palisade_engine::model::Value;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is answered: header fields and body.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    fields: Vec<(String, String)>,
    body: String,
    /// All of it, as it came.
    whole: String,
}

impl Answer {
    /// From the bytes of a response. Headers that hyper writes on its own are left to hyper.
    pub(crate) fn of(response: &[u8]) -> Self {
        let text = std::str::from_utf8(response).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let fields = fields.filter(|(name, _)| !["date", "content-length"].contains(name));
        Self {
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.to_owned(),
            whole: text.to_owned(),
        }
    }
}

/// Serves until killed. Prints its address.
pub(crate) fn serve(kind: &str, answer: &str) {
    let answer: Answer = serde_json::from_str(answer).unwrap();
    let headers: HeaderMap = answer
        .fields
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
        .collect();
    let whole: Arc<[u8]> = answer.whole.into_bytes().into();
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.headers_mut() = headers;
    let response = Arc::new(response);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    println!("listening addr={addr}");
    listener.set_nonblocking(true).unwrap();
    match kind {
        // the server's own kind of runtime; `allow` has no body to parse
        "multi" | "allow" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, response, kind == "multi"));
        }
        "bare" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(accept_bare(listener, whole));
        }
        "per-core" => {
            // one accept queue, a runtime a core: each connection stays where it was accepted
            let threads: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
                .map(|_| {
                    let (listener, response) = (listener.try_clone().unwrap(), response.clone());
                    std::thread::spawn(move || {
                        tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .unwrap()
                            .block_on(accept(listener, response, true));
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
        other => panic!("no floor called {other}"),
    }
}

async fn accept(listener: std::net::TcpListener, response: Arc<Response<Full<Bytes>>>, parses: bool) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _): (_, SocketAddr) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let response = response.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = response.clone();
                async move { answer(request, &response, parses).await }
            });
            // a client that leaves is no fault
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Answers each request once it is there whole, as bytes.
async fn accept_bare(listener: std::net::TcpListener, whole: Arc<[u8]>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let whole = whole.clone();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(16 << 10);
            // a client that leaves is no fault
            while stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
                while let Some(length) = request_length(&buffer).filter(|length| *length <= buffer.len()) {
                    buffer.drain(..length);
                    if stream.write_all(&whole).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// The length of the first request, once its head is there. The field is written as the load writes it.
fn request_length(bytes: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let digits = memmem::find(&bytes[..head], LENGTH).map_or(&b""[..], |at| &bytes[at + LENGTH.len()..head]);
    let body =
        digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |n, byte| n * 10 + usize::from(byte - b'0'));
    Some(head + body)
}

async fn answer(
    request: Request<Incoming>,
    response: &Response<Full<Bytes>>,
    parses: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if parses {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let value = Value::parse(&body).unwrap();
        assert!(value.get("principal").is_some());
    }
    Ok(response.clone())
}
