//! JSON Web Tokens (RFC 7515, 7519, and what RFC 8725 warns of): read strictly, verified, and turned into a caller.
//!
//! Pure: keys and time come in. Nothing of a token goes into an error, and nothing of it is trusted
//! before the signature is verified, but for the issuer's name and the key's, which only choose the key.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{ClaimSettings, FillError, SigningAlgorithm, UidTemplate};
use crate::identity::caller::{Caller, Written, claim};
use crate::identity::error::AuthCode;
use crate::identity::jwk::KeySet;
use palisade_engine::model::{Uid, Value};

/// A longer name of a key is not a real one.
const MAX_KEY_ID_BYTES: usize = 512;

/// A token that is read and not verified.
pub(super) struct Unverified<'t> {
    message: &'t [u8],
    signature: &'t str,
    algorithm: SigningAlgorithm,
    key_id: Option<String>,
    token_type: Option<String>,
    claims: Value<'static>,
}

/// What an issuer's tokens must say.
#[derive(Debug)]
pub(super) struct Expectations {
    pub(super) issuer: Arc<str>,
    pub(super) audiences: Vec<String>,
    pub(super) types: Vec<String>,
    /// In seconds.
    pub(super) leeway: i64,
    pub(super) claims: ClaimSettings,
    /// `claims.methods` and its default, shared by all callers.
    pub(super) methods: BTreeMap<String, Arc<str>>,
    pub(super) default_method: Arc<str>,
}

/// A caller, and the time in which its token is good, leeway included.
pub(super) struct Verified {
    pub(super) caller: Caller,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// Whether a credential could be a token at all: three parts.
pub(super) fn looks_like_one(token: &str) -> bool {
    token.bytes().filter(|b| *b == b'.').count() == 2
}

impl<'t> Unverified<'t> {
    /// Takes a token apart. Its length was bounded before.
    pub(super) fn read(token: &'t str) -> Result<Self, AuthCode> {
        let malformed = AuthCode::MalformedToken;
        let (message, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = message.split_once('.').ok_or(malformed)?;
        if payload.contains('.') {
            // five parts would be an encrypted token
            return Err(malformed);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed)?;
        let header = Value::parse(&header).map_err(|_| malformed)?;
        if header.as_object().is_none() {
            return Err(malformed);
        }
        if header.get("crit").is_some() || header.get("b64").is_some() {
            return Err(AuthCode::UnknownExtension);
        }
        // `none` and shared secrets are no algorithms here, in any spelling
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => SigningAlgorithm::parse(name).ok_or(AuthCode::WrongAlgorithm)?,
            _ => return Err(malformed),
        };
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_KEY_ID_BYTES => Ok(Some(text.as_ref().to_owned())),
            Some(_) => Err(malformed),
        };
        let (key_id, token_type) = (text("kid")?, text("typ")?);
        if signature.is_empty() {
            return Err(malformed);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed)?;
        let claims = Value::parse(&payload).map_err(|_| malformed)?.into_owned();
        if claims.as_object().is_none() {
            return Err(malformed);
        }
        Ok(Self { message: message.as_bytes(), signature, algorithm, key_id, token_type, claims })
    }

    /// Who it says issued it.
    pub(super) fn issuer(&self) -> Result<&str, AuthCode> {
        text_claim(&self.claims, "iss")
    }

    /// Verifies it with the keys of the issuer whose `expectations` these are, at the time `now`.
    pub(super) fn verify(self, keys: &KeySet, expectations: &Expectations, now: i64) -> Result<Verified, AuthCode> {
        let Expectations { types, leeway, .. } = expectations;
        if let Some(token_type) = &self.token_type {
            let token_type = token_type.to_ascii_lowercase();
            let short = token_type.strip_prefix("application/").unwrap_or(&token_type);
            if !types.iter().any(|accepted| accepted == short) {
                return Err(AuthCode::WrongTokenType);
            }
        }
        let mut named = keys.named(self.key_id.as_deref()).peekable();
        if named.peek().is_none() {
            return Err(AuthCode::UnknownKey);
        }
        let mut fitting = named.filter(|key| key.algorithm == self.algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(AuthCode::WrongAlgorithm);
        }
        if !fitting.any(|key| key.verifies(self.message, self.signature)) {
            return Err(AuthCode::BadSignature);
        }

        let claims = self.claims;
        // RFC 7800: DPoP, mutual TLS; who stole it must not use it without the key
        if claims.get("cnf").is_some() {
            return Err(AuthCode::BoundToken);
        }
        let audience = claims.get("aud").ok_or(AuthCode::MissingClaim)?;
        let accepted = |text: &str| expectations.audiences.iter().any(|audience| audience == text);
        let meant_for_us = match audience {
            Value::String(text) => accepted(text),
            Value::Array(elements) => {
                let texts: Option<Vec<&str>> = elements.iter().map(Value::as_str).collect();
                texts.ok_or(AuthCode::MalformedClaim)?.into_iter().any(accepted)
            }
            _ => return Err(AuthCode::MalformedClaim),
        };
        if !meant_for_us {
            return Err(AuthCode::WrongAudience);
        }
        text_claim(&claims, "sub")?;
        let expires = time_claim(&claims, "exp")?.ok_or(AuthCode::MissingClaim)?;
        let until = expires.saturating_add(*leeway);
        if now >= until {
            return Err(AuthCode::TokenExpired);
        }
        let begins = time_claim(&claims, "nbf")?.unwrap_or(i64::MIN);
        // a token from the future was made with another clock than its times are read with
        let issued = time_claim(&claims, "iat")?.unwrap_or(i64::MIN);
        let from = begins.max(issued).saturating_sub(*leeway);
        if now < from {
            return Err(AuthCode::TokenNotYetValid);
        }
        let caller = expectations.caller(claims, expires)?;
        Ok(Verified { caller, from, until })
    }
}

impl Expectations {
    fn caller(&self, claims: Value<'static>, expires: i64) -> Result<Caller, AuthCode> {
        let principal = fill(&self.claims.principal, &claims)?;
        let token = self.claims.token.as_ref().map(|template| fill(template, &claims)).transpose()?;
        let told = self.claims.method_claim.as_ref().and_then(|path| claim(&claims, path));
        let method = told.into_iter().flat_map(words).find_map(|word| self.methods.get(word.as_ref()));
        let mfa = self.claims.mfa.iter().any(|(path, values): (&String, &BTreeSet<String>)| {
            claim(&claims, path).into_iter().flat_map(words).any(|word| values.contains(word.as_ref()))
        });
        Ok(Caller {
            principal,
            method: Arc::clone(method.unwrap_or(&self.default_method)),
            mfa,
            token,
            issuer: Some(Arc::clone(&self.issuer)),
            claims,
            expires: Some(expires),
            written: Written::default(),
        })
    }
}

fn fill(template: &UidTemplate, claims: &Value<'_>) -> Result<Uid<'static>, AuthCode> {
    template.fill(|path| claim(claims, path).and_then(word)).map_err(|error| match error {
        FillError::Missing => AuthCode::MissingClaim,
        FillError::Unfit => AuthCode::MalformedClaim,
    })
}

/// A string, a whole number or a truth value as text.
fn word<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Long(n) => Some(Cow::Owned(n.to_string())),
        Value::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
        _ => None,
    }
}

/// The words of a claim: of an array, or the claim itself.
fn words<'v, 'a>(value: &'v Value<'a>) -> impl Iterator<Item = Cow<'v, str>> + use<'v, 'a> {
    let several: &[Value<'a>] = value.as_array().unwrap_or_default();
    several.iter().chain(std::iter::once(value)).filter_map(word)
}

/// A claim that must be text, and not empty.
fn text_claim<'v>(claims: &'v Value<'_>, name: &str) -> Result<&'v str, AuthCode> {
    match claims.get(name) {
        None => Err(AuthCode::MissingClaim),
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(_) => Err(AuthCode::MalformedClaim),
    }
}

/// A time, in whole seconds since 1970. A claim that is no time is an error, never treated as absent.
fn time_claim(claims: &Value<'_>, name: &str) -> Result<Option<i64>, AuthCode> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Long(seconds)) if *seconds >= 0 => Ok(Some(*seconds)),
        Some(_) => Err(AuthCode::MalformedClaim),
    }
}
