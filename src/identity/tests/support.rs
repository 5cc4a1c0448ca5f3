//! Keys, tokens, settings, and a server of key sets that misbehaves on request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::config::IdentitySettings;
use crate::identity::*;

pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const AUDIENCE: &str = "fleet-api";
/// The moment at which most tests take place.
pub(super) const NOW: i64 = 1_800_000_000;

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) enum Pair {
    Rsa(RsaKeyPair),
    Ec256(EcdsaKeyPair),
    Ec384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// One key, with its name.
pub(super) struct Signer {
    pub(super) id: &'static str,
    pub(super) algorithm: &'static str,
    pair: Pair,
}

impl Signer {
    pub(super) fn new(id: &'static str, algorithm: &'static str) -> Self {
        let pair = match algorithm {
            "ES256" => Pair::Ec256(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            "ES384" => Pair::Ec384(EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { id, algorithm, pair }
    }

    /// Its public key.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                // RFC 8017: a sequence of two numbers, here one of 2048 bits behind a zero, and 65537
                let der = pair.public_key().as_ref();
                let (n, e) = (&der[9..265], &der[267..]);
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Pair::Ec256(pair) => ec("P-256", pair.public_key().as_ref()),
            Pair::Ec384(pair) => ec("P-384", pair.public_key().as_ref()),
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
        };
        jwk["kid"] = self.id.into();
        jwk["alg"] = self.algorithm.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A signature over any text.
    pub(super) fn signature(&self, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message.as_bytes(), &mut out).unwrap();
                out
            }
            Pair::Ec256(pair) | Pair::Ec384(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        }
    }

    /// A token of exactly this header and these claims, whatever they say.
    pub(super) fn raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(self.signature(&message));
        format!("{message}.{signature}")
    }

    pub(super) fn header(&self) -> Value {
        json!({"alg": self.algorithm, "kid": self.id, "typ": "JWT"})
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.raw(&self.header().to_string(), &claims.to_string())
    }
}

fn ec(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
}

/// Keys that are generated once.
pub(super) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::new("rsa", "RS256"));
pub(super) static EC: LazyLock<Signer> = LazyLock::new(|| Signer::new("ec", "ES256"));
pub(super) static ED: LazyLock<Signer> = LazyLock::new(|| Signer::new("ed", "EdDSA"));
/// A key that no issuer publishes.
pub(super) static FORGER: LazyLock<Signer> = LazyLock::new(|| Signer::new("rsa", "RS256"));

pub(super) fn key_set(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

/// Claims that are good at [`NOW`].
pub(super) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 300, "iat": NOW - 10, "amr": ["pwd", "mfa"]})
}

/// [`claims`] with other values; `null` takes one out.
pub(super) fn with(changes: Value) -> Value {
    let mut claims = claims();
    let (Value::Object(members), Value::Object(changes)) = (&mut claims, changes) else { panic!("not objects") };
    for (key, value) in changes {
        if value.is_null() {
            members.remove(&key);
        } else {
            members.insert(key, value);
        }
    }
    claims
}

pub(super) fn at(seconds: i64) -> Now {
    Now { unix_ms: seconds * 1_000, instant: std::time::Instant::now() }
}

/// The section as the configuration reads it.
pub(super) fn settings(section: Value) -> IdentitySettings {
    let file = tempfile::NamedTempFile::new().unwrap();
    crate::config::load(Some(file.path()), [], json!({"identity": section})).unwrap_or_else(|e| panic!("{e}")).identity
}

/// An issuer's configuration, with keys from there.
pub(super) fn issuer(jwks: Value) -> Value {
    json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "jwks": jwks,
        "claims": {"principal": "Fleet::User::\"{sub}\""},
    })
}

/// A running identity with files of its own.
pub(super) struct Fixture {
    pub(super) identity: Identity,
    pub(super) rule: Rule,
    pub(super) metrics: Arc<Metrics>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    /// Keys from a file, and `changes` to the section.
    pub(super) fn with_keys(keys: &Value, changes: impl FnOnce(&mut Value)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jwks.json");
        std::fs::write(&path, keys.to_string()).unwrap();
        let mut section = json!({"issuers": [issuer(json!({"file": path}))]});
        changes(&mut section);
        Self::start(settings(section), directory)
    }

    pub(super) fn of(section: Value) -> Self {
        Self::start(settings(section), tempfile::tempdir().unwrap())
    }

    fn start(settings: IdentitySettings, directory: tempfile::TempDir) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let identity =
            Identity::start(&settings, Arc::clone(&metrics)).unwrap_or_else(|problems| panic!("{problems:?}"));
        Self { identity, rule: Rule::new(&settings.credentials), metrics, _directory: directory }
    }

    pub(super) fn ask(&self, value: &str, now: i64) -> Result<Arc<Caller>, AuthCode> {
        self.ask_as(&self.rule, value, at(now))
    }

    pub(super) fn ask_as(&self, rule: &Rule, value: &str, now: Now) -> Result<Arc<Caller>, AuthCode> {
        let result = self.identity.authenticate(rule, Credential::One(value.as_bytes()), Peer::Absent, now);
        result.map(|caller| caller.unwrap()).map_err(|error| error.code)
    }

    /// `Bearer <token>` at [`NOW`].
    pub(super) fn bearer(&self, token: &str) -> Result<Arc<Caller>, AuthCode> {
        self.ask(&format!("Bearer {token}"), NOW)
    }
}

/// What the server of key sets answers.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
    pub(super) delay: Duration,
}

/// A server of key sets.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    hits: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start(keys: &Value) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), keys)
    }

    pub(super) fn on(listener: TcpListener, keys: &Value) -> Self {
        let address = listener.local_addr().unwrap();
        let answer = Answer {
            status: "200 OK",
            headers: String::new(),
            body: keys.to_string().into_bytes(),
            delay: Duration::ZERO,
        };
        let (answer, hits) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (shared, counted) = (Arc::clone(&answer), Arc::clone(&hits));
        // it ends with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (shared, counted) = (Arc::clone(&shared), Arc::clone(&counted));
                std::thread::spawn(move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let answer = shared.lock().unwrap().clone();
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head);
                    std::thread::sleep(answer.delay);
                    let Answer { status, headers, body, .. } = answer;
                    let head = format!(
                        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
                });
            }
        });
        Self { address, answer, hits }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(super) fn answer(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap());
    }

    pub(super) fn answered(&self) -> Answer {
        self.answer.lock().unwrap().clone()
    }

    pub(super) fn serve(&self, keys: &Value) {
        self.answer(|answer| answer.body = keys.to_string().into_bytes());
    }
}

/// Waits for something that threads bring about.
#[track_caller]
pub(super) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: it did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}
