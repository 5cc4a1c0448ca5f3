//! Envoy's messages: what a `CheckRequest` says of a request, and the `CheckResponse` of a verdict.
//!
//! A `CheckResponse` without anything in it is an allow, and so is one with status 0 and a denial in it. So
//! there are two makers of it, and no other place makes one.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, address::Address};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc;
use http::StatusCode;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use tonic::Code;

use crate::identity::{self, Caller};
use crate::telemetry::RefusalReason;
use crate::transport::gateway::fields::Fields;
use crate::transport::gateway::owned;
use crate::transport::gateway::way::{Denial, Described, Kind, Stop, Verdict, scheme, verb};
use crate::transport::respond::Problem;
use palisade_routes::{Body, Field, Headers};

/// What Envoy says of the client's request.
pub(super) fn request(message: &CheckRequest) -> Option<&HttpRequest> {
    message.attributes.as_ref()?.request.as_ref()?.http.as_ref()
}

/// The client's headers: raw where Envoy is set to send them so, else as text. Pseudo-headers are not among them.
pub(super) fn fields(request: &HttpRequest) -> Fields<'_> {
    let raw = request.header_map.iter().flat_map(|map| &map.headers).map(|header| {
        let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
        (header.key.as_str(), value)
    });
    let text = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    // both hold the same where both are there
    let text = text.filter(|_| request.header_map.as_ref().is_none_or(|map| map.headers.is_empty()));
    raw.chain(text).filter(|(name, _)| !name.starts_with(':')).collect()
}

/// What the shared way needs of it.
pub(super) fn describe<'a>(message: &'a CheckRequest, fields: &Fields<'_>) -> Result<Described<'a>, Stop> {
    let bad = |what: &'static str| Stop::new(RefusalReason::BadDescription, what);
    let http = request(message).ok_or_else(|| bad("the check describes no request"))?;
    // the path has the query; a sender that separates them means something else by the path
    if !http.fragment.is_empty() || (!http.query.is_empty() && !http.path.contains('?')) {
        return Err(bad("the path is not the whole target"));
    }
    if !http.scheme.is_empty() {
        scheme(http.scheme.as_bytes())?;
    }
    // an upgrade in HTTP/2's words (RFC 8441)
    let raw = http.header_map.iter().flat_map(|map| &map.headers).map(|header| &header.key);
    if raw.chain(http.headers.keys()).any(|name| name == ":protocol") {
        return Err(Stop::new(RefusalReason::BadUpgrade, "the client asks for a tunnel (`:protocol`)"));
    }
    let source = message.attributes.as_ref().and_then(|attributes| attributes.source.as_ref());
    let principal = source.map(|source| source.principal.as_str()).filter(|name| !name.is_empty());
    Ok(Described {
        method: verb(http.method.as_bytes())?,
        target: http.path.as_bytes(),
        host: Some(http.host.as_str()).filter(|host| !host.is_empty()),
        body: body(http, fields),
        ip: source.and_then(client),
        peer: principal.map_or(identity::Peer::Absent, identity::Peer::Principal),
    })
}

/// The body, if Envoy says that it is whole. A client can say so too, but then there is none. Its `Content-Length` is
/// the request's, as Envoy has checked: without a type it separates a request without a body from an untyped form.
fn body<'a>(http: &'a HttpRequest, fields: &Fields<'_>) -> Body<'a> {
    let bytes = if http.raw_body.is_empty() { http.body.as_bytes() } else { http.raw_body.as_slice() };
    let cut = usize::try_from(http.size).is_ok_and(|size| size > bytes.len());
    match fields.field("x-envoy-auth-partial-body") {
        _ if bytes.is_empty() && fields.has_no_body() && fields.field("content-type") == Field::Absent => {
            Body::Whole(b"")
        }
        Field::Absent => Body::NotForwarded,
        Field::One(b"false") if bytes.is_empty() => Body::NotForwarded,
        Field::One(b"false") if !cut => Body::Whole(bytes),
        Field::One(_) | Field::Repeated => Body::Partial,
    }
}

fn client(source: &Peer) -> Option<IpAddr> {
    match source.address.as_ref()?.address.as_ref()? {
        Address::SocketAddress(socket) => socket.address.parse().ok(),
        Address::Pipe(_) | Address::EnvoyInternalAddress(_) => None,
    }
}

/// The answer to Envoy.
pub(super) fn response(verdict: &Verdict) -> CheckResponse {
    match &verdict.outcome {
        Ok(caller) => allowed(caller.as_deref()),
        Err(denial) => denied(denial),
    }
}

fn allowed(caller: Option<&Caller>) -> CheckResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in owned::NAMES.iter().zip(owned::values(caller)) {
        match value.as_ref().and_then(|value| value.to_str().ok()) {
            Some(value) => ok.headers.push(header(name.as_str(), value)),
            None => ok.headers_to_remove.push(name.as_str().to_owned()),
        }
    }
    answer(Code::Ok, "", HttpResponse::OkResponse(ok))
}

fn denied(denial: &Denial) -> CheckResponse {
    let (code, status) = match denial.kind {
        Kind::Unknown(_) => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
        Kind::Refused => (Code::PermissionDenied, StatusCode::FORBIDDEN),
        Kind::Fault => (Code::PermissionDenied, StatusCode::SERVICE_UNAVAILABLE),
    };
    let problem = Problem::new(status, denial.code, denial.detail);
    let mut headers = vec![header(CONTENT_TYPE.as_str(), "application/problem+json")];
    if let Kind::Unknown(challenge) = &denial.kind {
        headers.push(header(WWW_AUTHENTICATE.as_str(), challenge));
    }
    let response = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status.as_u16()) }),
        headers,
        body: serde_json::to_string(&problem).unwrap_or_default(),
    };
    answer(code, denial.code, HttpResponse::DeniedResponse(response))
}

fn answer(code: Code, message: &str, response: HttpResponse) -> CheckResponse {
    let status = rpc::Status { code: code.into(), message: message.to_owned(), ..rpc::Status::default() };
    CheckResponse { status: Some(status), http_response: Some(response), ..CheckResponse::default() }
}

/// A header that replaces the client's.
fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), ..HeaderValue::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}
