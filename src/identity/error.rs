//! Why a caller is not known. A stable code, words for people, and never anything that the caller sent.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Codes with the words that go with them.
macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $code:literal, $message:literal;)*) => {
        /// Why a caller is not known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuthCode {
            $($(#[$meta])* $variant,)*
        }

        impl AuthCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// A stable word for programs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// What is wrong, for people.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }
        }
    };
}

codes! {
    /// There is no credential.
    MissingCredential = "missing_credential", "the request carries no credential";
    /// There is more than one.
    RepeatedCredential = "repeated_credential", "the request carries more than one credential";
    /// The header is not `scheme token`.
    MalformedCredential = "malformed_credential", "the credential is not a scheme and a token";
    /// The route takes no such scheme.
    UnsupportedScheme = "unsupported_scheme", "the scheme of the credential is not accepted here";
    /// The credential is longer than `identity.max_token_bytes`.
    TokenTooLarge = "token_too_large", "the credential is too long";
    /// It is not a signed JSON Web Token, or its JSON is not strict.
    MalformedToken = "malformed_token", "the token is not a signed JSON Web Token";
    /// Its `typ` is another kind of token.
    WrongTokenType = "wrong_token_type", "the token is of a kind that is not accepted";
    /// It has `crit`.
    UnknownExtension = "unknown_extension", "the token demands an extension that is not supported";
    /// It is good only with the key that it is bound to (`cnf`), and the sidecar does not ask for a proof of that.
    BoundToken = "bound_token", "the token is bound to a key (`cnf`) and cannot be used as a bearer token";
    /// No issuer may sign with that, or not with that key.
    WrongAlgorithm = "wrong_algorithm", "the token is signed with an algorithm that is not accepted";
    /// No such issuer is configured.
    UnknownIssuer = "unknown_issuer", "the token's issuer is not accepted";
    /// The issuer has no such key.
    UnknownKey = "unknown_key", "the token is signed with a key that its issuer does not publish";
    /// The issuer's keys could not be had, or are too old.
    KeysUnavailable = "keys_unavailable", "the keys of the token's issuer are not available";
    /// The signature is wrong.
    BadSignature = "bad_signature", "the token's signature is wrong";
    /// A claim that must be there is not.
    MissingClaim = "missing_claim", "the token lacks a claim";
    /// A claim is of another type than it must be, or says what cannot be.
    MalformedClaim = "malformed_claim", "a claim of the token is malformed";
    /// It is meant for others.
    WrongAudience = "wrong_audience", "the token is meant for another audience";
    /// Its time is over.
    TokenExpired = "token_expired", "the token has expired";
    /// Its time has not come.
    TokenNotYetValid = "token_not_yet_valid", "the token is not valid yet";
    /// No such API token is known.
    UnknownToken = "unknown_token", "the token is not known";
    /// The gateway names no client certificate.
    MissingPeer = "missing_peer", "the gateway names no client certificate";
    /// It names more than one, or none that can be read.
    MalformedPeer = "malformed_peer", "the client certificate that the gateway names cannot be read";
    /// No principal is configured for it.
    UnknownPeer = "unknown_peer", "no principal is configured for the client certificate";
}

impl fmt::Display for AuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AuthCode {
    /// Whether the sidecar is at fault, not the caller: the same credential may be good later.
    #[must_use]
    pub const fn is_unavailable(self) -> bool {
        matches!(self, Self::KeysUnavailable)
    }

    /// RFC 6750's word; none where no credential was brought, as that RFC has it.
    const fn oauth(self) -> Option<&'static str> {
        match self {
            Self::MissingCredential
            | Self::UnsupportedScheme
            | Self::MissingPeer
            | Self::MalformedPeer
            | Self::UnknownPeer => None,
            Self::RepeatedCredential | Self::MalformedCredential => Some("invalid_request"),
            _ => Some("invalid_token"),
        }
    }
}

/// A caller is not known. Deny.
#[derive(Clone)]
pub struct AuthError {
    /// Why.
    pub code: AuthCode,
    /// Keys are being fetched that may make the difference.
    pub(super) pending: Option<Arc<watch::Receiver<u64>>>,
}

impl AuthError {
    /// Whether keys are being fetched, so that it is worth asking again when they are there.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The value for `WWW-Authenticate`: a challenge a scheme. Visible ASCII.
    #[must_use]
    pub fn challenge<'s>(&self, schemes: impl IntoIterator<Item = &'s str>) -> String {
        let mut out = String::new();
        for scheme in schemes.into_iter().filter(|scheme| !scheme.is_empty()) {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(scheme);
            out.push_str(" realm=\"palisade\"");
            if let Some(error) = self.code.oauth() {
                out.push_str(&format!(", error=\"{error}\", error_description=\"{}\"", self.code.message()));
            }
        }
        // RFC 9110 wants a challenge with every 401, also where no scheme has one to offer
        if out.is_empty() { "Palisade realm=\"palisade\"".to_owned() } else { out }
    }
}

impl From<AuthCode> for AuthError {
    fn from(code: AuthCode) -> Self {
        Self { code, pending: None }
    }
}

impl fmt::Debug for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthError").field("code", &self.code).field("pending", &self.is_pending()).finish()
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.message())
    }
}

impl std::error::Error for AuthError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_say_what_rfc_6750_has_them_say() {
        let challenge = |code: AuthCode, schemes: &[&str]| AuthError::from(code).challenge(schemes.iter().copied());
        assert_eq!(
            challenge(AuthCode::MissingCredential, &["APIToken", "Bearer"]),
            "APIToken realm=\"palisade\", Bearer realm=\"palisade\""
        );
        assert_eq!(
            challenge(AuthCode::TokenExpired, &["Bearer"]),
            "Bearer realm=\"palisade\", error=\"invalid_token\", error_description=\"the token has expired\""
        );
        assert_eq!(challenge(AuthCode::UnknownPeer, &[""]), "Palisade realm=\"palisade\"");
        for code in AuthCode::ALL {
            assert!(code.message().bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\'), "{code}");
        }
    }
}
