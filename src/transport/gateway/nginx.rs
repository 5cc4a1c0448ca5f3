//! nginx' `auth_request`: a `GET` of its own, without a body, with `X-Original-*` headers about the request.

use http::request::Parts;

use crate::identity::Peer;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::fields::Fields;
use crate::transport::gateway::forward::client;
use crate::transport::gateway::way::{Described, Stop, host, only_at, verb};
use palisade_routes::Body;

/// Reads what nginx says.
pub(super) fn read<'a>(head: &Parts, fields: &Fields<'a>) -> Result<Described<'a>, Stop> {
    only_at(head, Dialect::Nginx)?;
    Ok(Described {
        method: verb(fields.one("x-original-method")?)?,
        target: fields.one("x-original-uri")?,
        host: Some(host(fields.one("x-original-host")?)?),
        body: Body::NotForwarded,
        ip: client(fields),
        peer: Peer::Absent,
    })
}
