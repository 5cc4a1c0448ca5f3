//! Nothing of a credential comes out: not in errors, not in challenges, not in the log.

use std::fmt::Write as _;

use serde_json::json;

use super::support::*;
use crate::identity::*;
use crate::telemetry::logging::capture;

const CANARY: &str = "canary7f3a";

#[test]
fn a_canary_in_a_credential_is_seen_nowhere() {
    let keys = key_set(&[&ED]);
    let log = capture("trace", || {
        let fixture = Fixture::with_keys(&keys, |_| {});
        let mut said = String::new();
        let secret = json!({"sub": CANARY, "name": CANARY});
        let tokens = [
            ED.token(&with(secret.clone())),
            ED.token(&with(json!({"sub": CANARY, "exp": 1}))),
            ED.token(&with(json!({"sub": CANARY, "aud": CANARY}))),
            ED.token(&with(json!({"iss": CANARY}))),
            FORGER.raw(&json!({"alg": "EdDSA", "kid": CANARY}).to_string(), &with(secret.clone()).to_string()),
            ED.raw(&json!({"alg": CANARY}).to_string(), &with(secret).to_string()),
            ED.raw(&json!({"alg": "EdDSA", "kid": "ed", "typ": CANARY}).to_string(), "{}"),
            CANARY.to_owned(),
            format!("{CANARY}.{CANARY}.{CANARY}"),
            CANARY.repeat(2000),
        ];
        for token in &tokens {
            for value in
                [format!("Bearer {token}"), format!("APIToken {token}"), format!("{CANARY} {token}"), token.clone()]
            {
                let credential = Credential::One(value.as_bytes());
                let result = fixture.identity.authenticate(&fixture.rule, credential, Peer::Absent, at(NOW));
                let _ = write!(said, "{credential:?}");
                match result {
                    // who it is may be said; what else the token says may not
                    Ok(caller) => {
                        let _ = write!(said, "{}", format!("{caller:?}").replacen(CANARY, "", 1));
                    }
                    Err(error) => {
                        let _ = write!(said, "{error} {error:?} {}", error.challenge(fixture.rule.schemes()));
                    }
                }
            }
        }
        let peers = [format!("URI={CANARY}"), CANARY.to_owned()];
        for peer in &peers {
            let rule = fixture.rule.clone().accepting(Accept::Peer);
            let error =
                fixture.identity.authenticate(&rule, Credential::Absent, Peer::Header(peer.as_bytes()), at(NOW));
            let _ = write!(said, "{:?}", error.unwrap_err());
        }
        assert!(!said.contains(CANARY), "{said}");
        let part = encode(CANARY);
        assert!(!said.contains(&part[..10]));
    });
    assert!(log.contains("caller not known"), "the log was captured: {log}");
    assert!(!log.contains(CANARY), "{log}");
}
