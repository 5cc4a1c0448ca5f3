//! nginx' `auth_request`: a `GET` of its own, without a body, with `X-Original-*` headers about the request.

use http::request::Parts;

use crate::gateway::Body;
use crate::identity::Peer;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::forward::client;
use crate::transport::gateway::way::{Described, Stop, host, one, only_at, verb};

/// Reads what nginx says.
pub(super) fn read(head: &Parts) -> Result<Described<'_>, Stop> {
    only_at(head, Dialect::Nginx)?;
    Ok(Described {
        method: verb(one(&head.headers, "x-original-method")?)?,
        target: one(&head.headers, "x-original-uri")?,
        host: Some(host(one(&head.headers, "x-original-host")?)?),
        body: Body::NotForwarded,
        ip: client(&head.headers),
        peer: Peer::Absent,
    })
}
