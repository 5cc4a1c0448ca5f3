//! Callers whom the gateway knows by their client certificate.
//!
//! The gateway verified the certificate; here is only read what it says of it. Envoy says so in a header
//! of its own (`x-forwarded-client-cert`) or in the attributes of a gRPC check. One certificate with one
//! URI is a caller; a list of them is a chain of proxies, and the sidecar does not know which of them to trust.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::PeerSettings;
use crate::identity::caller::{Caller, Written};
use crate::identity::error::AuthCode;
use palisade_engine::model::Value;

/// A longer certificate header is refused. Envoy's may hold a whole PEM chain.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What the gateway says of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Peer<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// The value of the header that `identity.peer.header` names. More than one of them is [`Peer::Repeated`].
    Header(&'a [u8]),
    /// There are several.
    Repeated,
    /// The principal of the client, as Envoy has it in `source.principal`.
    Principal(&'a str),
}

/// The URI of the client's certificate.
pub(super) fn uri<'p>(settings: &PeerSettings, peer: Peer<'p>) -> Result<Cow<'p, str>, AuthCode> {
    match peer {
        Peer::Absent => Err(AuthCode::MissingPeer),
        Peer::Repeated => Err(AuthCode::MalformedPeer),
        Peer::Principal("") => Err(AuthCode::MissingPeer),
        Peer::Principal(uri) => Ok(Cow::Borrowed(uri)),
        // the operator has not said that the gateway keeps clients from sending it
        Peer::Header(_) if settings.header.is_none() => Err(AuthCode::MissingPeer),
        Peer::Header(value) => only_uri(value),
    }
}

/// Who the gateway's client is.
pub(super) fn caller(settings: &PeerSettings, method: &Arc<str>, peer: Peer<'_>) -> Result<Caller, AuthCode> {
    let uri = uri(settings, peer)?;
    for (pattern, principal) in &settings.principals {
        let Some(values) = pattern.values(&uri) else { continue };
        let value = |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value));
        let principal = principal.fill(value).map_err(|_| AuthCode::UnknownPeer)?;
        return Ok(Caller {
            principal,
            method: Arc::clone(method),
            mfa: false,
            token: None,
            issuer: None,
            claims: Value::empty_object(),
            expires: None,
            written: Written::default(),
        });
    }
    Err(AuthCode::UnknownPeer)
}

/// The one URI of the one certificate in `Key=value;Key="value"`.
///
/// Envoy writes URIs and DNS names as they stand in the certificate, and `;` and `=` may stand in them. So a URI
/// without quotes is accepted only where nothing follows it, and where no DNS name could have brought it along:
/// Envoy writes those behind it. Everything else that comes before it is Envoy's own, or in quotes.
fn only_uri(header: &[u8]) -> Result<Cow<'_, str>, AuthCode> {
    let malformed = AuthCode::MalformedPeer;
    if header.len() > MAX_HEADER_BYTES {
        return Err(malformed);
    }
    let text = std::str::from_utf8(header).map_err(|_| malformed)?;
    let mut rest = text.trim_matches([' ', '\t']);
    if rest.is_empty() {
        return Err(AuthCode::MissingPeer);
    }
    let mut found = None;
    loop {
        let (key, after) = rest.split_once('=').ok_or(malformed)?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(malformed);
        }
        let (value, after, quoted) = match after.strip_prefix('"') {
            Some(text) => unquote(text).map(|(value, after)| (value, after, true)).ok_or(malformed)?,
            None => {
                let end = after.find([';', ',', '"']).unwrap_or(after.len());
                (Cow::Borrowed(&after[..end]), &after[end..], false)
            }
        };
        if key.eq_ignore_ascii_case("uri") {
            let alone = quoted || after.is_empty();
            if !alone || found.replace(value).is_some() {
                return Err(malformed);
            }
        } else if key.eq_ignore_ascii_case("dns") && found.is_none() {
            return Err(malformed);
        }
        rest = match after.strip_prefix(';') {
            Some(next) => next,
            None if after.is_empty() => break,
            // a comma begins the next certificate of a chain
            None => return Err(malformed),
        };
        if rest.is_empty() {
            break;
        }
    }
    found.filter(|uri| !uri.is_empty()).ok_or(AuthCode::UnknownPeer)
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(out), &text[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_with_one_uri() {
        use AuthCode::*;
        for (header, expected) in [
            ("URI=spiffe://a/b", Ok("spiffe://a/b")),
            ("By=spiffe://gw;Hash=ab12;Subject=\"CN=x, O=\\\"y;z\\\"\";URI=spiffe://a/b", Ok("spiffe://a/b")),
            ("uri=\"spiffe://a/b\";", Ok("spiffe://a/b")),
            ("Cert=\"-----BEGIN%20\";Hash=ab=;URI=spiffe://a/b", Ok("spiffe://a/b")),
            ("URI=\"spiffe://a/b\";DNS=a;DNS=b", Ok("spiffe://a/b")),
            // Envoy writes names as they are: what follows could be a part of the URI, and the URI of a DNS name
            ("Hash=ab;URI=spiffe://a/b;DNS=a;DNS=b", Err(MalformedPeer)),
            ("Hash=ab;URI=spiffe://a/b;Hash=cd", Err(MalformedPeer)),
            ("Hash=ab;URI=spiffe://a/b;", Err(MalformedPeer)),
            ("Hash=ab;DNS=a;URI=spiffe://a/b", Err(MalformedPeer)),
            ("", Err(MissingPeer)),
            ("Hash=ab12", Err(UnknownPeer)),
            ("URI=", Err(UnknownPeer)),
            ("URI=a;URI=b", Err(MalformedPeer)),
            ("URI=a,URI=b", Err(MalformedPeer)),
            ("URI=a, By=b", Err(MalformedPeer)),
            ("URI=\"a", Err(MalformedPeer)),
            ("URI=\"a\"b", Err(MalformedPeer)),
            ("URI=a\"b\"", Err(MalformedPeer)),
            ("spiffe://a/b", Err(MalformedPeer)),
            ("=a", Err(MalformedPeer)),
            (" ;URI=a", Err(MalformedPeer)),
        ] {
            assert_eq!(only_uri(header.as_bytes()).as_deref(), expected.as_deref(), "{header}");
        }
        assert_eq!(only_uri(b"URI=\xff"), Err(MalformedPeer));
        assert_eq!(only_uri(&[b'a'; MAX_HEADER_BYTES + 1]), Err(MalformedPeer));
    }
}
