//! A verdict as the gateways understand it.
//!
//! | verdict | nginx | forward | Envoy |
//! |---|---|---|---|
//! | allowed | 200 | 200 | 200 |
//! | no caller known | 401 | 401 | 401 |
//! | refused, denied | 403 | 403 | 403 |
//! | the sidecar's fault | 403 | 503 | 403 |
//!
//! nginx makes a 500 of everything else, and Envoy takes a 5xx for a failure that may let the request pass.

use http::header::{UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::transport::gateway::Dialect;
use crate::transport::gateway::owned;
use crate::transport::gateway::way::{Denial, Kind, Verdict};
use crate::transport::respond::{self, Answer, Problem};
use palisade_routes::Upgrade;

/// Envoy's list of headers to take from the client's request.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// What else a service may read as one of [`owned::NAMES`]: the same with `_` for some `-`. Those with other characters
/// are too many to name, and are refused where the sidecar sees them.
macro_rules! twins {
    () => {
        "x_palisade_principal,x_palisade-principal,x-palisade_principal,x_palisade_auth_method,\
         x_palisade_auth-method,x_palisade-auth_method,x_palisade-auth-method,x-palisade_auth_method,\
         x-palisade_auth-method,x-palisade-auth_method,x_palisade_token,x_palisade-token,x-palisade_token"
    };
}

/// The headers that Envoy is to remove where the answer names everything about the caller.
const TWINS: &str = twins!();
/// Where there is a caller without a token.
const TWINS_AND_TOKEN: &str = concat!(twins!(), ",x-palisade-token");
/// Where there is no caller.
const TWINS_AND_ALL: &str = concat!(twins!(), ",x-palisade-principal,x-palisade-auth-method,x-palisade-token");

/// The answer to the gateway.
pub(super) fn write(dialect: Dialect, verdict: &Verdict) -> Answer {
    let (mut answer, caller) = match &verdict.outcome {
        Ok(caller) => (respond::empty(StatusCode::OK), caller.as_deref()),
        Err(denial) => (denied(dialect, denial), None),
    };
    if let Some(revision) = verdict.revision {
        answer = respond::at(revision, answer);
    }
    let headers = answer.headers_mut();
    for (name, value) in owned::NAMES.into_iter().zip(owned::values(caller)) {
        match value {
            Some(value) => drop(headers.insert(name, value.clone())),
            None if dialect == Dialect::Envoy => {}
            // there all the same: who copies it overwrites what the client sent
            None => drop(headers.insert(name, HeaderValue::from_static(""))),
        }
    }
    // who copies it passes no other upgrade on than this, and none where it is not there
    if let (Some(Upgrade::Websocket), Dialect::Nginx | Dialect::Forward) = (verdict.upgrade, dialect) {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if dialect == Dialect::Envoy {
        let remove = match caller {
            None => TWINS_AND_ALL,
            Some(caller) if caller.token.is_none() => TWINS_AND_TOKEN,
            Some(_) => TWINS,
        };
        headers.insert(REMOVE, HeaderValue::from_static(remove));
    }
    answer
}

fn denied(dialect: Dialect, denial: &Denial) -> Answer {
    let status = match (&denial.kind, dialect) {
        (Kind::Unknown(_), _) => StatusCode::UNAUTHORIZED,
        (Kind::Fault, Dialect::Forward) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::Fault | Kind::Refused, _) => StatusCode::FORBIDDEN,
    };
    let mut answer = Problem::new(status, denial.code, denial.detail).into_answer();
    if let Kind::Unknown(challenge) = &denial.kind {
        let challenge =
            HeaderValue::from_str(challenge).unwrap_or(HeaderValue::from_static("Palisade realm=\"palisade\""));
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_routes::same_name;

    #[test]
    fn every_twin_of_a_header_is_listed() {
        let mut expected = Vec::new();
        for name in owned::NAMES {
            let dashes: Vec<usize> = name.as_str().match_indices('-').map(|(at, _)| at).collect();
            for choice in 1..1_usize << dashes.len() {
                let mut twin = name.as_str().as_bytes().to_vec();
                dashes
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| choice >> bit & 1 == 1)
                    .for_each(|(_, at)| twin[*at] = b'_');
                expected.push(String::from_utf8(twin).unwrap());
            }
        }
        let mut listed: Vec<&str> = TWINS.split(',').collect();
        assert!(listed.iter().all(|twin| owned::NAMES.iter().any(|name| same_name(twin, name.as_str()))));
        expected.sort();
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }
}
