//! The least that a server on this stack can do: read the body, parse it, answer a constant.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use palisade::domain::Value;

/// As many bytes as an allow of the sidecar has.
const ANSWER: &str = r#"{"decision":"Allow","diagnostics":{"reason":["autopi.device-control"],"errors":[]},"revision":"0123456789abcdef-1"}"#;

/// Serves until killed. Prints its address.
pub fn serve(kind: &str) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    println!("listening addr={addr}");
    listener.set_nonblocking(true).unwrap();
    match kind {
        "multi" => tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(accept(listener)),
        "per-core" => {
            // one accept queue, a runtime a core: each connection stays where it was accepted
            let threads: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
                .map(|_| {
                    let listener = listener.try_clone().unwrap();
                    std::thread::spawn(move || {
                        tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .unwrap()
                            .block_on(accept(listener));
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

async fn accept(listener: std::net::TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _): (_, SocketAddr) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().pipeline_flush(true);
            // a client that leaves is no fault
            let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let value = Value::parse(&body).unwrap();
    assert!(value.get("principal").is_some());
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
