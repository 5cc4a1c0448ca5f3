//! Forward authentication: Caddy, Traefik, HAProxy and Apache with Lua, APISIX. They ask with `X-Forwarded-*`
//! headers, and some pass the body on.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::gateway::Body;
use crate::identity::Peer;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::way::{Described, Stop, host, one, only_at, verb};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const TARGET: HeaderName = HeaderName::from_static("x-forwarded-uri");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const CLIENT: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads what the gateway says. The path's query is not looked at: Caddy may put the client's there.
pub(super) fn read<'a>(head: &'a Parts, body: Option<&'a [u8]>) -> Result<Described<'a>, Stop> {
    only_at(head, Dialect::Forward)?;
    Ok(Described {
        method: verb(one(&head.headers, &METHOD)?)?,
        target: one(&head.headers, &TARGET)?,
        host: Some(host(one(&head.headers, &HOST)?)?),
        // an empty body looks like none: whether bodies are forwarded at all cannot be told from it
        body: body.filter(|body| !body.is_empty()).map_or(Body::NotForwarded, Body::Whole),
        ip: client(&head.headers),
        peer: Peer::Absent,
    })
}

/// The client's address, if `X-Forwarded-For` names exactly one: of several nobody knows which were invented.
pub(super) fn client(headers: &HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all(&CLIENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(value.as_bytes()).ok()?.trim().parse().ok()
}
