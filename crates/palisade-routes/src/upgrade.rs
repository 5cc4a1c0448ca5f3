//! Upgrades of a connection: what is sent through one is not checked.
//!
//! Inside of an upgrade to HTTP/2 (`h2c`) a client sends requests that no gateway sees any more. So none is allowed
//! but to a WebSocket, and that only where a route says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::{Field, Headers};
use crate::refusal::Refusal;
use crate::watched::Group;

/// What a connection may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upgrade {
    /// A WebSocket.
    Websocket,
}

/// Refuses a request that shows an upgrade, unless it is the one that is `allowed`.
pub(super) fn check(headers: &(dyn Headers + Sync), allowed: Option<Upgrade>) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::forbidden("bad_upgrade", message));
    if !headers.watched().any(Group::Upgrades) {
        return Ok(());
    }
    if headers.field("http2-settings") != Field::Absent {
        return refuse(
            "the client asks for HTTP/2 inside of the connection, where no further request would be checked",
        );
    }
    let named = match headers.field("upgrade") {
        Field::Absent => None,
        // a gateway may write an empty one for none
        Field::One(value) if value.trim_ascii().is_empty() => None,
        Field::One(value) => Some(value.trim_ascii()),
        Field::Repeated => return refuse("the client asks for more than one upgrade of the connection"),
    };
    if named.is_none() && !is_announced(headers.field("connection")) {
        return Ok(());
    }
    match (named, allowed) {
        (Some(name), Some(Upgrade::Websocket)) if name.eq_ignore_ascii_case(b"websocket") => Ok(()),
        (_, Some(Upgrade::Websocket)) => refuse("the client asks for another upgrade than `websocket`"),
        (_, None) => refuse("the client asks for an upgrade of the connection; the route lacks `upgrade: websocket`"),
    }
}

/// Whether `Connection` names what goes with an upgrade.
fn is_announced(connection: Field<'_>) -> bool {
    match connection {
        Field::Absent => false,
        Field::One(value) => value.split(|byte| *byte == b',').any(|word| {
            let word = word.trim_ascii();
            word.eq_ignore_ascii_case(b"upgrade") || word.eq_ignore_ascii_case(b"http2-settings")
        }),
        Field::Repeated => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_websocket_where_it_is_allowed() {
        // headers, whether they pass on any route, and on one that allows a WebSocket
        for (headers, plain, websocket) in [
            (&[][..], true, true),
            (&[("Connection", "keep-alive")], true, true),
            (&[("Connection", "close, X-Custom")], true, true),
            (&[("Upgrade", "")], true, true),
            (&[("Upgrade", "websocket")], false, true),
            (&[("Upgrade", "WebSocket"), ("Connection", "Upgrade")], false, true),
            (&[("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade")], false, true),
            (&[("Upgrade", "h2c")], false, false),
            (&[("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AA")], false, false),
            (&[("HTTP2-Settings", "AA")], false, false),
            (&[("HTTP2_Settings", "AA")], false, false),
            (&[("Connection", "HTTP2-Settings")], false, false),
            (&[("Connection", "upgrade")], false, false),
            (&[("Upgrade", "websocket, h2c")], false, false),
            (&[("Upgrade", "websocket"), ("Upgrade", "h2c")], false, false),
            (&[("Upgrade", "websocket/13")], false, false),
            (&[("Upgrade", "TLS/1.0")], false, false),
            (&[("Upgrade", "anything")], false, false),
        ] {
            let headers = headers.to_vec();
            assert_eq!(check(&headers, None).is_ok(), plain, "{headers:?}");
            assert_eq!(check(&headers, Some(Upgrade::Websocket)).is_ok(), websocket, "{headers:?}");
        }
    }
}
