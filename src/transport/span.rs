//! A request's span: which requests have one, how it joins the caller's trace, and what it says when it ends.
//!
//! Names and attributes are those of OpenTelemetry's conventions for HTTP servers; ours begin with `palisade.`. A span
//! holds neither query nor header nor credential, but `User-Agent` and what the caller says of its trace.

use std::net::SocketAddr;

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use smallvec::SmallVec;

use crate::telemetry::traces::{Caller, Trace, Value};
use crate::transport::Services;
use crate::transport::conn::Conn;
use crate::transport::exchange::REVISION;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest path that a span names, in bytes.
const MAX_PATH: usize = 1_024;

/// The longest `User-Agent` that a span names, in bytes.
const MAX_AGENT: usize = 256;

/// The longest host that a span names, in bytes.
const MAX_HOST: usize = 255;

/// Methods that a span's name may have: a name must not be made by who asks.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// The two ends of a connection, where it has addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    pub(super) peer: Option<SocketAddr>,
    pub(super) own: Option<SocketAddr>,
}

/// Whether anyone wants to know of traces: a collector, or the decision log.
fn wanted(services: &Services) -> bool {
    services.tracer.is_some() || services.pdp.log().is_some()
}

/// What a request has to do with traces, by its own head.
pub(super) fn begin(services: &Services, headers: &HeaderMap) -> Option<Box<Trace>> {
    if !wanted(services) {
        return None;
    }
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let caller = match (parents.next(), parents.next()) {
        // two: it is unclear which counts
        (Some(parent), None) => Caller::parse(parent.as_bytes()),
        _ => None,
    };
    let state = headers.get_all(TRACESTATE).iter().map(http::HeaderValue::as_bytes);
    Trace::begin(services.tracer.as_ref(), caller, state).map(Box::new)
}

/// The same for a request that a gateway describes in a message: its client's trace counts where the call itself
/// belongs to none.
pub(super) fn join<'v>(
    services: &Services,
    trace: &mut Option<Box<Trace>>,
    parent: Option<&[u8]>,
    state: impl Iterator<Item = &'v [u8]>,
) {
    if !wanted(services) || trace.as_ref().is_some_and(|trace| trace.has_caller()) {
        return;
    }
    if let Some(caller) = parent.and_then(Caller::parse) {
        let joined = Trace::begin(services.tracer.as_ref(), Some(caller), state);
        *trace = joined.map(|joined| Box::new(joined.begun_with(trace.as_deref())));
    }
}

/// What a span says of its request besides what was noted.
pub(super) struct Request<'r> {
    pub(super) method: &'r Method,
    /// The endpoint's path, as it is documented.
    pub(super) route: &'static str,
    /// Several decisions are asked for.
    pub(super) many: bool,
    /// The path that was asked for.
    pub(super) path: &'r str,
    pub(super) headers: &'r HeaderMap,
    /// What an HTTP/2 request has instead of `Host`.
    pub(super) authority: Option<&'r Authority>,
    pub(super) version: Version,
    /// The service and its method, of a gRPC call.
    pub(super) rpc: Option<(&'static str, &'static str)>,
}

impl<'r> Request<'r> {
    /// By the head of an HTTP request.
    pub(super) fn of(head: &'r Parts, route: &'static str, many: bool) -> Self {
        Self {
            method: &head.method,
            route,
            many,
            path: head.uri.path(),
            headers: &head.headers,
            authority: head.uri.authority(),
            version: head.version,
            rpc: None,
        }
    }
}

/// Ends a request's span, if it has one.
pub(super) fn end(conn: &Conn, trace: &Trace, request: &Request<'_>, status: StatusCode, answer: &HeaderMap) {
    let Some(tracer) = conn.services.tracer.as_ref().filter(|_| trace.is_recorded()) else { return };
    let known = METHODS.contains(request.method);
    let (peer, own) = (conn.ends.peer.map(Address::of), conn.ends.own.map(Address::of));
    let named = named(request);
    let mut attributes: SmallVec<[(&str, Value<'_>); 32]> = SmallVec::new();
    let mut add = |name, value| attributes.push((name, value));
    let text = Value::Text;
    add("http.request.method", text(if known { request.method.as_str() } else { "_OTHER" }));
    if !known {
        add("http.request.method_original", text(cut(request.method.as_str(), MAX_AGENT)));
    }
    add("http.route", text(request.route));
    add("url.path", text(cut(request.path, MAX_PATH)));
    add("url.scheme", text("http"));
    add("http.response.status_code", Value::Int(status.as_u16().into()));
    let failed = status.is_server_error();
    if failed {
        add("error.type", text(status.as_str()));
    }
    add("network.protocol.version", text(if request.version >= Version::HTTP_2 { "2" } else { "1.1" }));
    if let Some(agent) = request.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()) {
        add("user_agent.original", text(cut(agent, MAX_AGENT)));
    }
    if let Some(peer) = &peer {
        add("client.address", text(&peer.host));
        add("network.peer.address", text(&peer.host));
        add("network.peer.port", Value::Int(peer.port));
    }
    match (&named, &own) {
        (Some((host, port)), own) => {
            add("server.address", text(cut(host, MAX_HOST)));
            if let Some(port) = port.map(i64::from).or(own.as_ref().map(|own| own.port)) {
                add("server.port", Value::Int(port));
            }
        }
        (None, Some(own)) => {
            add("server.address", text(&own.host));
            add("server.port", Value::Int(own.port));
        }
        (None, None) => {}
    }
    if let Some((service, method)) = request.rpc {
        add("rpc.system", text("grpc"));
        add("rpc.service", text(service));
        add("rpc.method", text(method));
    }
    trace.notes.attributes(request.many, &mut add);
    if let Some(revision) = answer.get(REVISION).and_then(|value| value.to_str().ok()) {
        add("palisade.revision", text(revision));
    }
    let method = if known { request.method.as_str() } else { "HTTP" };
    let name = match request.rpc {
        // as the conventions for RPC have it
        Some((service, method)) => format!("{service}/{method}"),
        None => format!("{method} {}", request.route),
    };
    trace.end(tracer, &name, failed, &attributes);
}

/// The host and port that the client asked for.
fn named(request: &Request<'_>) -> Option<(String, Option<u16>)> {
    let parsed;
    let authority = match request.authority {
        Some(authority) => authority,
        None => {
            parsed = Authority::try_from(request.headers.get(HOST)?.as_bytes()).ok()?;
            &parsed
        }
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), authority.port_u16()))
}

/// An address as text.
struct Address {
    host: String,
    port: i64,
}

impl Address {
    fn of(address: SocketAddr) -> Self {
        // an IPv4 client of an IPv6 socket is an IPv4 client
        Self { host: address.ip().to_canonical().to_string(), port: address.port().into() }
    }
}

/// The start of a text, at most so many bytes of it.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        for (text, most, expected) in [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("ab\u{e9}", 3, "ab"),
            ("ab\u{e9}", 4, "ab\u{e9}"),
            ("\u{1f600}", 3, ""),
        ] {
            assert_eq!(cut(text, most), expected);
        }
    }

    #[test]
    fn the_server_is_the_one_that_the_client_named() {
        for (authority, host, expected) in [
            (None, Some("pdp.example:8180"), Some(("pdp.example", Some(8180)))),
            (None, Some("pdp.example"), Some(("pdp.example", None))),
            (None, Some("[::1]:8180"), Some(("::1", Some(8180)))),
            (Some("a.example:1"), Some("b.example:2"), Some(("a.example", Some(1)))),
            (None, Some("a b"), None),
            (None, Some(""), None),
            (None, Some("a:99999999"), Some(("a", None))),
            (None, None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(host.map(|host| (HOST, host.parse().unwrap())));
            let authority = authority.map(|text: &str| text.parse::<Authority>().unwrap());
            let request = Request {
                method: &Method::GET,
                route: "/",
                many: false,
                path: "/",
                headers: &headers,
                authority: authority.as_ref(),
                version: Version::HTTP_11,
                rpc: None,
            };
            let named = named(&request);
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(named, expected, "{host:?}");
        }
    }
}
