//! The `identity` section as the rest of the program sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{CredentialKind, UidTemplate, UriPattern};

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    /// Issuers of tokens; no two have the same name.
    pub issuers: Vec<IssuerSettings>,
    /// The file of API tokens.
    pub api_tokens: Option<PathBuf>,
    /// Where requests carry their credential unless a route file says otherwise.
    pub credentials: CredentialSettings,
    /// Callers known by their client certificate.
    pub peer: PeerSettings,
    /// Memory for verified tokens, in bytes; 0 is no cache.
    pub cache_bytes: u64,
    /// The longest credential that is looked at. Not 0.
    pub max_token_bytes: usize,
}

/// One issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// What its tokens have in `iss`.
    pub issuer: String,
    /// One of these must be in `aud`. Never empty.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: KeySource,
    /// Algorithms that are accepted; empty is all that the keys say.
    pub algorithms: Vec<SigningAlgorithm>,
    /// What `typ` may say, in small letters and without `application/`.
    pub types: Vec<String>,
    /// How far its clock may be from ours. At most five minutes.
    pub leeway: Duration,
    /// What its claims mean.
    pub claims: ClaimSettings,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(KeyUrl),
}

/// A URL that keys are fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUrl {
    /// `https`, or `http` on this machine.
    pub url: String,
    /// Certificates that its server is trusted by; `None` is the system's.
    pub ca_file: Option<PathBuf>,
    /// How often it is asked. Not 0.
    pub refresh: Duration,
    /// How long after a request an unknown key may cause the next. Not 0.
    pub min_refresh: Duration,
    /// How long keys are used after it last answered. At least `refresh`.
    pub max_age: Duration,
    /// How long it may take to answer. Not 0.
    pub timeout: Duration,
}

/// What claims mean. Claims are named by dotted paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSettings {
    /// The principal.
    pub principal: UidTemplate,
    /// The claim that says how the caller logged in.
    pub method_claim: Option<String>,
    /// What its values stand for.
    pub methods: BTreeMap<String, String>,
    /// The method if the claim has no listed value.
    pub default_method: String,
    /// Claims that prove a second factor, with the values that do.
    pub mfa: BTreeMap<String, BTreeSet<String>>,
    /// The entity for `context.token`.
    pub token: Option<UidTemplate>,
}

/// Where requests carry their credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSettings {
    /// The header, in small letters.
    pub header: String,
    /// Schemes as written, and what follows them. No two differ in case alone.
    pub schemes: Vec<(String, CredentialKind)>,
    /// Headers, in small letters, that must not be there beside the one that carries it; that one may be among them.
    pub rivals: Vec<String>,
}

/// Callers known by their client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// The header in which the gateway passes it, in small letters.
    pub header: Option<String>,
    /// Which certificates are which principals.
    pub principals: Vec<(UriPattern, UidTemplate)>,
    /// The method of such callers.
    pub method: String,
}

/// An algorithm that tokens may be signed with. None of them has a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as RFC 7518 names them")]
pub enum SigningAlgorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The algorithm that RFC 7518 or 9864 names so; nothing else, in no other case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // RFC 9864's name for what EdDSA is with the only curve that we take
        if text == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// Its name in RFC 7518.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether its keys are RSA keys.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512)
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
