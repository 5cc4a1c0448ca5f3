//! The `identity` section as it can be written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{ByteSize, Span};

section! {
    /// How callers of the gateway endpoints are authenticated.
    RawIdentity {
        /// Who issues the JSON Web Tokens that are accepted. Tokens of others are refused.
        #[schemars(with = "Vec<RawIssuer>")]
        issuers: Vec<Option<RawIssuer>> = Vec::new(),
        /// API tokens, which are looked up and not verified.
        api_tokens: RawApiTokens = RawApiTokens::default(),
        /// Where requests carry their credential, unless a route file says otherwise.
        credentials: RawCredentials = RawCredentials::default(),
        /// Callers that the gateway authenticated by their client certificate.
        peer: RawPeer = RawPeer::default(),
        /// The cache of verified tokens.
        cache: RawIdentityCache = RawIdentityCache::default(),
        /// The longest credential that is accepted. Bytes, or with a unit.
        max_token_bytes: ByteSize = ByteSize::kib(8),
    }
}

section! {
    /// One issuer of JSON Web Tokens.
    RawIssuer {
        /// The issuer, exactly as tokens have it in `iss`.
        issuer: String = String::new(),
        /// Who the tokens are meant for: one of these must be in `aud`.
        #[schemars(with = "Vec<String>")]
        audiences: Vec<Option<String>> = Vec::new(),
        /// Where its public keys are.
        jwks: RawJwks = RawJwks::default(),
        /// Narrows the algorithms: keys for others are skipped. A key without `alg` has the first of these that fits it, else `RS256` for RSA.
        #[schemars(with = "Vec<String>")]
        algorithms: Vec<Option<String>> = Vec::new(),
        /// Kinds of tokens: what `typ` may say, if it says anything.
        #[schemars(with = "Vec<String>")]
        types: Vec<Option<String>> = vec![Some("JWT".to_owned()), Some("at+jwt".to_owned())],
        /// How far its clock may be from ours; at most `5m`.
        leeway: Span = Span::seconds(30),
        /// What the claims of its tokens mean.
        claims: RawClaims = RawClaims::default(),
    }
}

section! {
    /// Where an issuer's public keys are: in a `file` or at a `url`.
    RawJwks {
        /// File of the key set. Relative to the working directory; read again when it changes.
        file: Option<String> = None,
        /// URL of the key set: `https`, or `http` on this machine.
        url: Option<String> = None,
        /// File of the PEM certificates that the URL's server is trusted by, instead of the system's.
        ca_file: Option<String> = None,
        /// How often the URL is asked.
        refresh: Span = Span::seconds(300),
        /// How long after a request to the URL a token with an unknown key may cause the next.
        min_refresh: Span = Span::seconds(30),
        /// How long keys are used after the URL last answered.
        max_age: Span = Span::seconds(24 * 60 * 60),
        /// How long the URL may take to answer.
        timeout: Span = Span::seconds(5),
    }
}

section! {
    /// What the claims of a token mean. Claims are named by dotted paths.
    RawClaims {
        /// The principal, such as `Fleet::User::"{sub}"`: a type, and an id with claims in braces.
        principal: String = String::new(),
        /// How `context.auth.method` is found.
        method: RawMethod = RawMethod::default(),
        /// Claims that prove a second factor, with the values that do: `context.auth.mfa` is true if one of them is there.
        #[schemars(with = "BTreeMap<String, Vec<String>>")]
        mfa: BTreeMap<String, Vec<Option<String>>> = BTreeMap::from([("amr".to_owned(), vec![Some("mfa".to_owned())])]),
        /// The entity for `context.token`, such as `Fleet::ApiToken::"{jti}"`. Tokens without the claim are refused.
        token: Option<String> = None,
    }
}

section! {
    /// How `context.auth.method` is found.
    RawMethod {
        /// The claim that it is read from.
        claim: Option<String> = None,
        /// Values of the claim, and the methods that they stand for; the first value that is listed counts.
        map: BTreeMap<String, String> = BTreeMap::new(),
        /// The method if the claim has no listed value.
        default: String = "sso".to_owned(),
    }
}

section! {
    /// API tokens, which are looked up and not verified.
    RawApiTokens {
        /// File of the tokens' SHA-256 and what they stand for. Relative to the working directory; read again when it changes.
        file: Option<String> = None,
    }
}

section! {
    /// Where requests carry their credential.
    RawCredentials {
        /// The header.
        header: String = "Authorization".to_owned(),
        /// Schemes, in any case, and what follows them: `jwt`, `opaque` (an API token) or `any`. The scheme `""` means no scheme: the value is the credential.
        schemes: BTreeMap<String, CredentialKind> = BTreeMap::from([
            ("APIToken".to_owned(), CredentialKind::Opaque),
            ("Bearer".to_owned(), CredentialKind::Any),
        ]),
        /// Headers that must not carry another credential beside it, because the service behind may read that one.
        #[schemars(with = "Vec<String>")]
        rivals: Vec<Option<String>> = vec![Some("Authorization".to_owned()), Some("X-Authorization".to_owned())],
    }
}

words! {
    /// What a credential is.
    CredentialKind {
        /// A JSON Web Token.
        Jwt,
        /// An API token, looked up by its hash.
        Opaque,
        /// An API token if it is known as one, else a JSON Web Token.
        Any,
    }
}

section! {
    /// Callers that the gateway authenticated by their client certificate.
    RawPeer {
        /// Envoy's `x-forwarded-client-cert`, if the gateway sets it and never passes a client's. Absent: not read.
        header: Option<String> = None,
        /// Which certificates are which principals; the first that fits counts.
        #[schemars(with = "Vec<RawPeerPrincipal>")]
        principals: Vec<Option<RawPeerPrincipal>> = Vec::new(),
        /// The `context.auth.method` of such callers.
        method: String = "mtls".to_owned(),
    }
}

section! {
    /// Certificates that are principals.
    RawPeerPrincipal {
        /// The certificate's URI, with names in braces for one segment each: `spiffe://prod.example/ns/{ns}/sa/{sa}`.
        uri: String = String::new(),
        /// The principal, such as `Fleet::Service::"{ns}/{sa}"`.
        principal: String = String::new(),
    }
}

section! {
    /// The cache of verified tokens.
    RawIdentityCache {
        /// Memory for verified tokens; 0 turns the cache off. Bytes, or with a unit.
        max_bytes: ByteSize = ByteSize::mib(16),
    }
}
