//! nginx' `auth_request`: a `GET` of its own, without a body, with `X-Original-*` headers about the request.

use http::HeaderName;
use http::request::Parts;

use crate::gateway::Body;
use crate::identity::Peer;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::forward::client;
use crate::transport::gateway::way::{Described, Stop, host, one, only_at, verb};

const METHOD: HeaderName = HeaderName::from_static("x-original-method");
const TARGET: HeaderName = HeaderName::from_static("x-original-uri");
const HOST: HeaderName = HeaderName::from_static("x-original-host");

/// Reads what nginx says.
pub(super) fn read(head: &Parts) -> Result<Described<'_>, Stop> {
    only_at(head, Dialect::Nginx)?;
    Ok(Described {
        method: verb(one(&head.headers, &METHOD)?)?,
        target: one(&head.headers, &TARGET)?,
        host: Some(host(one(&head.headers, &HOST)?)?),
        body: Body::NotForwarded,
        ip: client(&head.headers),
        peer: Peer::Absent,
    })
}
