//! gRPC on a listener of its own: Envoy's ext_authz, health, reflection.
//!
//! Only what is gRPC beyond doubt is answered as such: HTTP/2, `POST`, its content type, `te: trailers`. A
//! gRPC answer is a 200 whatever it says, so a gateway of another dialect that is pointed here by mistake
//! would read it as an allow. Such a gateway gets a 403 at every path, and an unknown method is a 404, which
//! gRPC clients read as `UNIMPLEMENTED`.

mod check;
mod health;
mod message;
mod unary;

use std::convert::Infallible;

use http::header::{CONNECTION, CONTENT_TYPE, TE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use crate::telemetry::Listener;
use crate::transport::conn::Open;
use crate::transport::respond::{self, Problem};
use health::Readiness;

/// The service that Envoy asks.
const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

/// Answers one request of the listener.
pub(in crate::transport) async fn answer(mut open: Open, request: Request<Incoming>) -> (Response<Body>, Open) {
    let answer = route(&mut open, request).await;
    open.conn.services.metrics.requests(Listener::Grpc, answer.status().as_u16()).inc();
    (answer, open)
}

async fn route(open: &mut Open, request: Request<Incoming>) -> Response<Body> {
    if !is_grpc(&request) {
        return plain(&request);
    }
    let path = request.uri().path();
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return unknown();
    };
    match (service, method) {
        (AUTHORIZATION, "Check") => check::answer(open, request).await,
        (Health::NAME, "Check" | "Watch") => {
            served(HealthServer::new(Readiness(open.conn.services.clone())).call(request).await)
        }
        ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo") => match reflection().build_v1() {
            Ok(mut server) => served(server.call(request).await),
            Err(_) => unknown(),
        },
        ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo") => match reflection().build_v1alpha() {
            Ok(mut server) => served(server.call(request).await),
            Err(_) => unknown(),
        },
        _ => unknown(),
    }
}

/// For its name alone.
type Health = HealthServer<Readiness>;

fn served(answer: Result<Response<Body>, Infallible>) -> Response<Body> {
    match answer {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

fn reflection() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(AUTHORIZATION)
        .with_service_name(Health::NAME)
        .with_service_name("grpc.reflection.v1.ServerReflection")
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    };
    let content_type = only(CONTENT_TYPE).and_then(|value| value.strip_prefix(b"application/grpc"));
    request.version() == Version::HTTP_2
        && *request.method() == Method::POST
        && content_type.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
        && only(TE) == Some(b"trailers")
}

/// The answer to what is not gRPC.
fn plain(request: &Request<Incoming>) -> Response<Body> {
    let detail = "this listener speaks only gRPC: gateways that use HTTP must ask the decision listener";
    let mut answer = Problem::new(StatusCode::FORBIDDEN, "not_grpc", detail).into_answer();
    if request.version() < Version::HTTP_2 {
        // its body is not read
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    } else if *request.method() == Method::HEAD {
        answer = respond::head_alone(answer);
    }
    answer.map(Body::new)
}

/// The answer to a method that does not exist.
fn unknown() -> Response<Body> {
    let mut answer = tonic::Status::unimplemented("there is no such method").into_http::<Body>();
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}
