//! Envoy's question over gRPC: the load, and a handler that reads it and only allows.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::google::rpc;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpStream;

use crate::load::{Sample, cpu_ns, sample};

/// A call, framed.
#[derive(Clone)]
pub(crate) struct Question(Bytes);

impl Question {
    /// What Envoy says of a browser's request.
    pub(crate) fn new(token: &str) -> Self {
        let headers = [
            (":authority", "api.autopi.io"),
            (":method", "GET"),
            (":path", "/dongle/devices/d-dk/"),
            (":scheme", "https"),
            ("accept", "application/json"),
            ("user-agent", "curl/8.5.0"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "7b1f2a64-0e0e-4f6c-9a0b-2f6d0f0f7f11"),
            ("authorization", &format!("Bearer {token}")),
        ];
        let headers: HashMap<_, _> = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let http = HttpRequest {
            id: "1634".to_owned(),
            method: "GET".to_owned(),
            path: "/dongle/devices/d-dk/".to_owned(),
            host: "api.autopi.io".to_owned(),
            scheme: "https".to_owned(),
            protocol: "HTTP/2".to_owned(),
            headers,
            ..HttpRequest::default()
        };
        let request = Asked { http: Some(http), ..Asked::default() };
        let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
        Self(frame(&CheckRequest { attributes: Some(attributes) }))
    }
}

fn frame(message: &impl prost::Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut out).unwrap();
    out.freeze()
}

/// Keeps `connections` busy for `time`, each with one call at a time.
pub(crate) fn drive(addr: SocketAddr, pid: u32, question: &Question, connections: usize, time: Duration) -> Sample {
    crate::server::pin(std::process::id(), "1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut senders = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            senders.push(sender);
        }
        let awake = crate::load::stay_awake();
        let (before, started) = (cpu_ns(pid), Instant::now());
        let end = started + time;
        let tasks: Vec<_> =
            senders.into_iter().map(|sender| tokio::spawn(ask(sender, addr, question.clone(), end))).collect();
        let mut waited = Vec::new();
        for task in tasks {
            waited.extend(task.await.unwrap());
        }
        let cpu = cpu_ns(pid) - before;
        awake.abort();
        sample(waited, cpu, started.elapsed())
    })
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn ask(mut sender: Sender, addr: SocketAddr, question: Question, end: Instant) -> Vec<u32> {
    let mut waited = Vec::new();
    loop {
        let sent = Instant::now();
        let request = Request::post(format!("http://{addr}/envoy.service.auth.v3.Authorization/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(question.0.clone()))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        let answer = CheckResponse::decode(&body.to_bytes()[5..]).unwrap();
        assert_eq!(answer.status.unwrap().code, 0, "it allows");
        let now = Instant::now();
        waited.push(u32::try_from((now - sent).as_nanos()).unwrap_or(u32::MAX));
        if now >= end {
            return waited;
        }
    }
}

/// Serves the floor until killed: reads the message, and always allows. Prints its address.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening addr={}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // a client that leaves is no fault
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(allow)).await;
            });
        }
    });
}

async fn allow(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message = CheckRequest::decode(&body[5..]).unwrap();
    assert!(message.attributes.is_some());
    let answer = CheckResponse {
        status: Some(rpc::Status::default()),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
        ..CheckResponse::default()
    };
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let mut response = Response::new(Full::new(frame(&answer)).with_trailers(std::future::ready(Some(Ok(trailers)))));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
