//! A sidecar that gateways ask, callers who hold tokens, and requests in each gateway's words.

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::{connect, read_response};
use super::server::merge;
use super::{Response, Server, fleet};

pub(crate) const ISSUER: &str = "https://id.example.com";

/// The ways to ask over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Nginx,
    Forward,
    Envoy,
}

pub(crate) const DIALECTS: [Dialect; 3] = [Dialect::Nginx, Dialect::Forward, Dialect::Envoy];

impl Dialect {
    /// The status of what is the sidecar's fault.
    pub(crate) fn fault(self) -> u16 {
        if self == Self::Forward { 503 } else { 403 }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Forward => "forward",
            Self::Envoy => "envoy",
        }
    }
}

/// A client's request, as its gateway sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub host: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    /// JSON that the gateway passes on.
    pub body: Option<&'a str>,
}

/// `GET <target>` of `host`, with these headers.
pub(crate) fn get<'a>(host: &'a str, target: &'a str, headers: &'a [(&'a str, &'a str)]) -> Ask<'a> {
    Ask { method: "GET", target, host, headers, body: None }
}

impl Ask<'_> {
    /// The bytes that a gateway of that dialect sends.
    pub(crate) fn bytes(&self, dialect: Dialect) -> Vec<u8> {
        let Self { method, target, host, headers, body } = self;
        let mut out = match dialect {
            Dialect::Nginx => format!(
                "GET /gateway/nginx HTTP/1.1\r\nhost: authz\r\nx-original-method: {method}\r\nx-original-uri: {target}\r\nx-original-host: {host}\r\n"
            ),
            Dialect::Forward => format!(
                "{} /gateway/forward HTTP/1.1\r\nhost: authz\r\nx-forwarded-method: {method}\r\nx-forwarded-uri: {target}\r\nx-forwarded-host: {host}\r\n",
                if body.is_some() { "POST" } else { "GET" }
            ),
            Dialect::Envoy => format!("{method} /gateway/envoy{target} HTTP/1.1\r\nhost: {host}\r\n"),
        };
        for (name, value) in *headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        match body.filter(|_| dialect != Dialect::Nginx) {
            // also where the body is not passed on, the client said what it is
            None if *method == "POST" => out.push_str("content-type: application/json\r\n\r\n"),
            None => out.push_str("\r\n"),
            Some(body) => {
                let partial = if dialect == Dialect::Envoy { "x-envoy-auth-partial-body: false\r\n" } else { "" };
                out.push_str(&format!(
                    "{partial}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                ));
            }
        }
        out.into_bytes()
    }

    /// Asks over a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, addr: SocketAddr, dialect: Dialect) -> Response {
        send(addr, &self.bytes(dialect), self.method == "HEAD" && dialect == Dialect::Envoy)
    }
}

/// Sends bytes and reads one answer.
#[track_caller]
pub(crate) fn send(addr: SocketAddr, bytes: &[u8], head_only: bool) -> Response {
    let mut stream = BufReader::new(connect(addr));
    stream.get_mut().write_all(bytes).unwrap();
    read_response(&mut stream, head_only).expect("the sidecar answers")
}

/// The code of a denial's body.
pub(crate) fn code(answer: &Response) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

static KEY: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key set that [`token`] is signed with.
pub(crate) fn key_set() -> Value {
    let point = KEY.public_key().as_ref().to_vec();
    json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k",
        "x": encode(&point[1..33]), "y": encode(&point[33..]),
    }]})
}

/// A token with these claims over good ones; `null` takes one out.
pub(crate) fn token_with(changes: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({"iss": ISSUER, "aud": "fleet", "sub": "nobody", "exp": now + 600, "amr": ["pwd", "mfa"]});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let header = json!({"alg": "ES256", "kid": "k", "typ": "JWT"});
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = KEY.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", encode(signature.as_ref()))
}

/// A token of a user.
pub(crate) fn token(user: &str) -> String {
    token_with(json!({"sub": user}))
}

/// `Bearer <token>` of a user.
pub(crate) fn bearer(user: &str) -> String {
    format!("Bearer {}", token(user))
}

/// A sidecar with an issuer, API tokens, and all the time in the world.
pub(crate) struct Gate {
    pub server: Server,
    pub dir: tempfile::TempDir,
}

/// The API token `secret` stands for `t-ok`, `capi-secret` for `capi`.
const API_TOKENS: [(&str, &str); 2] = [
    ("secret", r#""token": "Fleet::ApiToken::\"t-ok\"", "kind": "user_api", "user": "Fleet::User::\"u-dk-fda-dm\"""#),
    ("capi-secret", r#""token": "Fleet::ApiToken::\"capi\"", "kind": "cloud_api""#),
];

impl Gate {
    /// Over the project's own bundle and routes, with `changes` to the configuration.
    pub(crate) fn fleet(changes: Value) -> Self {
        let mut flags = fleet();
        flags["routes"] = json!(Server::project("routes"));
        merge(&mut flags, &changes);
        Self::start(flags)
    }

    /// Over these files of routes and a policy that allows what `allow` says, without a schema.
    pub(crate) fn with(routes: &str, policies: &str, changes: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "policies/p.cedar", policies);
        write(dir.path(), "routes/r.yaml", routes);
        let mut flags = json!({
            "validation": "off", "decision": {"semantics": "cedar"},
            "policies": dir.path().join("policies"), "entities": dir.path(), "routes": dir.path().join("routes"),
        });
        std::fs::create_dir(dir.path().join("entities")).unwrap();
        flags["entities"] = json!(dir.path().join("entities"));
        merge(&mut flags, &changes);
        Self::start_in(dir, flags)
    }

    fn start(flags: Value) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), flags)
    }

    fn start_in(dir: tempfile::TempDir, flags: Value) -> Self {
        let server = Server::ready(flags_with_identity(dir.path(), &flags));
        Self { server, dir }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.decisions
    }

    /// Replaces a file at once.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        write(self.dir.path(), name, text)
    }

    /// The value of a series.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        super::metric(&self.server.admin().get("/metrics").text(), series)
    }
}

/// Settings with an issuer whose keys are in a file, and API tokens.
pub(crate) fn flags_with_identity(dir: &Path, flags: &Value) -> Value {
    let keys = write(dir, "jwks.json", &key_set().to_string());
    let lines: Vec<String> = API_TOKENS
        .iter()
        .map(|(secret, what)| {
            let hash: String = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{{\"sha256\": \"{hash}\", {what}}}\n")
        })
        .collect();
    let tokens = write(dir, "tokens.ndjson", &lines.concat());
    let mut all = json!({
        "gateway": {"deadline": "20s"},
        "identity": {
            "issuers": [{
                "issuer": ISSUER, "audiences": ["fleet"], "jwks": {"file": keys},
                "claims": {"principal": "Fleet::User::\"{sub}\"", "mfa": {"amr": ["mfa"]}},
            }],
            "api_tokens": {"file": tokens},
        },
    });
    merge(&mut all, flags);
    all
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // whole or not at all
    let temporary = path.with_extension("tmp~");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(&temporary, &path).unwrap();
    path
}
