//! What does it cost to know a caller?
//!
//! A verification for each kind of key, apart from the cache; the same tokens found in the cache; an API token;
//! and the refusal of a forgery, which an attacker can have as often as he likes.
#![expect(clippy::unwrap_used, reason = "a bench that cannot set up must stop")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use palisade::config;
use palisade::identity::{Credential, Identity, Now, Peer, Rule};
use palisade::telemetry::Metrics;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const NOW: i64 = 1_800_000_000;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A public key and what signs with its other half, by the name of the algorithm.
fn keys() -> Vec<(&'static str, Value, Sign)> {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // RFC 8017: a sequence of two numbers, here one of 2048 bits behind a zero, and 65537
    let der = rsa.public_key().as_ref();
    let (n, e) = (encode(&der[9..265]), encode(&der[267..]));
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (encode(x), encode(y));
    let ed = Ed25519KeyPair::generate().unwrap();
    let point = encode(ed.public_key());
    vec![
        (
            "RS256",
            json!({"kty": "RSA", "n": n, "e": e}),
            Box::new(move |message| {
                let mut signature = vec![0; rsa.public_modulus_len()];
                rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }),
        ),
        (
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
            Box::new(move |message| ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()),
        ),
        (
            "EdDSA",
            json!({"kty": "OKP", "crv": "Ed25519", "x": point}),
            Box::new(move |message| ed.sign(message).as_ref().to_vec()),
        ),
    ]
}

fn known(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (mut published, mut tokens) = (Vec::new(), Vec::new());
    for (algorithm, mut key, sign) in keys() {
        key["kid"] = algorithm.into();
        published.push(key);
        // of the size that identity providers make them
        let claims = json!({
            "iss": "https://id.example.com", "aud": ["fleet-api", "account"], "sub": "6f1c9d9e-7d0a-4d8f-9a55-1f0c3f6f2f11",
            "exp": NOW + 300, "iat": NOW, "jti": "1d0a4d8f", "amr": ["pwd", "mfa"], "scope": "openid profile email",
            "realm_access": {"roles": ["default-roles-fleet", "offline_access", "uma_authorization"]},
            "email": "alice@example.com", "name": "Alice Example", "preferred_username": "alice",
        });
        let header = json!({"alg": algorithm, "kid": algorithm, "typ": "JWT"}).to_string();
        let message = format!("{}.{}", encode(header), encode(claims.to_string()));
        let signature = sign(message.as_bytes());
        // of the right length, so that it must be looked at
        let forged = encode(vec![7; signature.len()]);
        let signature = encode(signature);
        tokens.push((algorithm, format!("Bearer {message}.{signature}"), format!("Bearer {message}.{forged}")));
    }
    let hash: String =
        Sha256::digest("a-secret-of-an-api-token-0123456789").iter().map(|byte| format!("{byte:02x}")).collect();
    let api_token = json!({"sha256": hash, "token": "Fleet::ApiToken::\"t\"", "kind": "cloud_api"});
    let flags = json!({"identity": {
        "issuers": [{
            "issuer": "https://id.example.com",
            "audiences": ["fleet-api"],
            "jwks": {"file": path("jwks.json", json!({"keys": published}).to_string())},
            "claims": {"principal": "Fleet::User::\"{sub}\""},
        }],
        "api_tokens": {"file": path("tokens", api_token.to_string())},
        "credentials": {"schemes": {"Bearer": "jwt", "APIToken": "opaque"}},
    }});
    let file = path("palisade.yaml", String::new());
    let settings = config::load(Some(Path::new(&file)), [], flags).unwrap().identity;
    let identity = Identity::start(&settings, Arc::new(Metrics::new().unwrap())).unwrap();
    let rule = Rule::new(&settings.credentials);
    let now = Now { unix_ms: NOW * 1_000, instant: Instant::now() };
    let one = |value: &'static str| Credential::One(value.as_bytes());

    let mut group = c.benchmark_group("identity");
    for (algorithm, token, forged) in &tokens {
        let good = Credential::One(token.as_bytes());
        identity.authenticate(&rule, good, Peer::Absent, now).unwrap();
        group.bench_function(format!("verification {algorithm}"), |b| {
            b.iter(|| black_box(identity.verify_uncached(&rule, black_box(good), now)).unwrap());
        });
        group.bench_function(format!("hit {algorithm} of {} bytes", token.len()), |b| {
            b.iter(|| black_box(identity.authenticate(&rule, black_box(good), Peer::Absent, now)).unwrap());
        });
        group.bench_function(format!("forgery {algorithm}"), |b| {
            let forged = Credential::One(forged.as_bytes());
            b.iter(|| black_box(identity.authenticate(&rule, black_box(forged), Peer::Absent, now)).unwrap_err());
        });
    }
    group.bench_function("API token", |b| {
        let token = one("APIToken a-secret-of-an-api-token-0123456789");
        b.iter(|| black_box(identity.authenticate(&rule, black_box(token), Peer::Absent, now)).unwrap());
    });
    group.bench_function("no credential", |b| {
        b.iter(|| black_box(identity.authenticate(&rule, Credential::Absent, Peer::Absent, now)).unwrap_err());
    });
    group.finish();
}

criterion_group!(benches, known);
criterion_main!(benches);
