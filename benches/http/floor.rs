//! The least that a server on this stack can do: read the body, parse it, answer a constant.
//!
//! The constant is an answer of the sidecar itself, header fields included, so that both write the same bytes.

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
use palisade_engine::model::Value;
use serde::{Deserialize, Serialize};

/// What is answered: header fields and body.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    fields: Vec<(String, String)>,
    body: String,
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
