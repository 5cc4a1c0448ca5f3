//! A sidecar that knows an issuer, and a token of one of its users.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::{server, support};

/// Keys and configuration in a directory of their own.
pub(crate) struct Setup {
    directory: tempfile::TempDir,
    /// Of a user who may see the device that the questions are about.
    pub token: String,
}

/// The real server. It is killed when dropped.
pub(crate) struct Sidecar {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    process: Child,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Setup {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = keys.public_key().as_ref()[1..].split_at(32);
        let set = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k", "x": encode(x), "y": encode(y)},
        ]});
        let key_set = directory.path().join("jwks.json");
        std::fs::write(&key_set, set.to_string()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://id.example.com", "aud": "fleet", "sub": "u-dk-fda-dm", "exp": now + 86_400,
            "amr": ["pwd", "mfa"], "name": "A user of the denmark customer", "scope": "openid profile email",
        });
        let header = json!({"alg": "ES256", "kid": "k", "typ": "JWT"});
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = keys.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        let settings = json!({
            "policies": support::project("policies"),
            "entities": support::project("entities"),
            "routes": support::project("routes"),
            "listen": {"decisions": "127.0.0.1:0", "grpc": "127.0.0.1:0", "admin": "off"},
            "gateway": {"deadline": "5s"},
            "identity": {"issuers": [{
                "issuer": "https://id.example.com", "audiences": ["fleet"], "jwks": {"file": key_set},
                "claims": {"principal": "Fleet::User::\"{sub}\"", "mfa": {"amr": ["mfa"]}},
            }]},
        });
        std::fs::write(directory.path().join("palisade.yaml"), settings.to_string()).unwrap();
        Self { directory, token: format!("{message}.{}", encode(signature.as_ref())) }
    }

    /// Starts the server and waits until it allows `question`.
    pub(crate) fn start(&self, question: &[u8]) -> Sidecar {
        let mut process = server::pinned(env!("CARGO_BIN_EXE_palisade"))
            .args(["serve", "--config"])
            .arg(self.directory.path().join("palisade.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (found, addresses) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((before, addr)) = line.split_once("addr=") {
                    let _ = found.send((before.contains("grpc"), addr.trim().parse::<SocketAddr>()));
                }
            }
        });
        let mut sidecar = Sidecar { http: ([0; 4], 0).into(), grpc: ([0; 4], 0).into(), process };
        for _ in 0..2 {
            let (grpc, addr) = addresses.recv_timeout(Duration::from_secs(30)).expect("it says where it listens");
            *if grpc { &mut sidecar.grpc } else { &mut sidecar.http } = addr.unwrap();
        }
        let mut last = Vec::new();
        for _ in 0..400 {
            last = crate::load::ask_once(sidecar.http, question).unwrap_or_default();
            if last.starts_with(b"HTTP/1.1 200") {
                return sidecar;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the sidecar does not allow: {}", String::from_utf8_lossy(&last));
    }
}

impl Sidecar {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
