//! Forward authentication: Caddy, Traefik, HAProxy and Apache with Lua, APISIX. They ask with `X-Forwarded-*`
//! headers, and some pass the body on.

use std::net::IpAddr;

use http::request::Parts;

use crate::identity::Peer;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::fields::Fields;
use crate::transport::gateway::way::{Described, Stop, host, only_at, scheme, verb};
use palisade_routes::Body;

/// Reads what the gateway says. The path's query is not looked at: Caddy may put the client's there.
pub(super) fn read<'a>(head: &Parts, fields: &Fields<'a>, body: Option<&'a [u8]>) -> Result<Described<'a>, Stop> {
    only_at(head, Dialect::Forward)?;
    fields.named("x-forwarded-proto").try_for_each(scheme)?;
    Ok(Described {
        method: verb(fields.one("x-forwarded-method")?)?,
        target: fields.one("x-forwarded-uri")?,
        host: Some(host(fields.one("x-forwarded-host")?)?),
        // an empty body looks like none: it does not show whether bodies are forwarded at all
        body: body.filter(|body| !body.is_empty()).map_or(Body::NotForwarded, Body::Whole),
        ip: client(fields),
        peer: Peer::Absent,
    })
}

/// The client's address, if `X-Forwarded-For` names exactly one: of several, the client may have invented some.
pub(super) fn client(fields: &Fields<'_>) -> Option<IpAddr> {
    let mut values = fields.named("x-forwarded-for");
    let value = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
