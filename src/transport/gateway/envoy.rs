//! Envoy's ext_authz over HTTP: the client's own method, host and path, the path behind a prefix.
//!
//! The request line is what counts. Headers such as `X-Forwarded-Uri` may be the client's and are not looked at.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Version};

use crate::identity::Peer;
use crate::telemetry::RefusalReason;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::fields::Fields;
use crate::transport::gateway::way::{Described, Stop, for_deciding, host};
use palisade_routes::Body;

/// How long there is to decide; `None` if Envoy does not say how long it waits.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let told = headers.get("x-envoy-expected-rq-timeout-ms")?.to_str().ok()?;
    Some(for_deciding(Duration::from_millis(told.parse().ok()?)))
}

/// Reads what Envoy says.
pub(super) fn read<'a>(
    head: &'a Parts,
    fields: &Fields<'a>,
    body: Option<&'a [u8]>,
    peer_header: Option<&str>,
) -> Result<Described<'a>, Stop> {
    let bad = |message: &'static str| Stop::new(RefusalReason::BadDescription, message);
    let http2 = head.version >= Version::HTTP_2;
    if head.uri.scheme().is_some() && !http2 {
        return Err(bad("the target is in absolute form"));
    }
    let target = head.uri.path_and_query().and_then(|whole| whole.as_str().strip_prefix(Dialect::Envoy.path()));
    let mut hosts = fields.named("host");
    let authority = head.uri.authority().filter(|_| http2).map(|authority| authority.as_str().as_bytes());
    let named = match (authority, hosts.next(), hosts.next()) {
        (Some(one), None, _) | (None, Some(one), None) => Some(host(one)?),
        (Some(one), Some(same), None) if one == same => Some(host(one)?),
        (None, None, _) => None,
        _ => return Err(bad("there is more than one host")),
    };
    // Envoy's word on whether the body is cut; without it Envoy forwards none
    let mut partial = fields.named("x-envoy-auth-partial-body");
    let body = match (partial.next(), partial.next()) {
        (None, _) => Body::NotForwarded,
        // an empty body proves nothing: where Envoy forwards none, a client can still claim that it is whole
        (Some(b"false"), None) => body.filter(|body| !body.is_empty()).map_or(Body::NotForwarded, Body::Whole),
        _ => Body::Partial,
    };
    let mut certificates = peer_header.into_iter().flat_map(|name| fields.named(name));
    let peer = match (certificates.next(), certificates.next()) {
        (None, _) => Peer::Absent,
        (Some(one), None) => Peer::Header(one),
        (Some(_), Some(_)) => Peer::Repeated,
    };
    Ok(Described {
        method: head.method.as_str(),
        target: target.ok_or_else(|| bad("the path does not begin with the prefix"))?.as_bytes(),
        host: named,
        body,
        ip: None,
        peer,
    })
}
