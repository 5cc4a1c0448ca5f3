//! Key sets as issuers publish them (RFC 7517), and the one algorithm that each key is for.
//!
//! The key says what it signs with; a token can agree or be refused. Keys that cannot verify with a
//! public key are skipped with the reason: shared secrets above all, since a verifier that holds one could
//! sign too.

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::SigningAlgorithm;
use crate::identity::edwards;
use palisade_engine::model::Value;

/// More bytes than this are no key set.
pub(super) const MAX_KEY_SET_BYTES: usize = 256 * 1024;

/// More keys than this are no key set.
const MAX_KEYS: usize = 256;

/// RSA keys that are taken, in bytes of the modulus: what NIST still allows, and what is verified in bounded time.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A public key.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: SigningAlgorithm,
    key: ParsedPublicKey,
}

/// The keys of an issuer.
pub(super) struct KeySet {
    pub(super) keys: Vec<Key>,
    /// Why others were skipped.
    pub(super) passed_over: Vec<String>,
}

impl KeySet {
    /// Reads a key set. Keys for other than the `allowed` algorithms are skipped; empty allows all.
    ///
    /// # Errors
    /// If it is no key set, or has no key that can be used.
    pub(super) fn parse(bytes: &[u8], allowed: &[SigningAlgorithm]) -> Result<Self, String> {
        if bytes.len() > MAX_KEY_SET_BYTES {
            return Err(format!("it is larger than {MAX_KEY_SET_BYTES} bytes"));
        }
        let document = Value::parse(bytes).map_err(|error| format!("it is not a key set: {error}"))?;
        let entries = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("it is not a key set: an object with the array `keys` is expected")?;
        if entries.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let (mut keys, mut passed_over) = (Vec::new(), Vec::new());
        for (i, entry) in entries.iter().enumerate() {
            match Key::read(entry, allowed) {
                Ok(key) => keys.push(key),
                Err(reason) => passed_over.push(format!("keys[{i}]: {reason}")),
            }
        }
        if keys.is_empty() {
            let reasons = if passed_over.is_empty() { "`keys` is empty".to_owned() } else { passed_over.join("; ") };
            return Err(format!("it has no key that can be used: {reasons}"));
        }
        Ok(Self { keys, passed_over })
    }

    /// The keys that a token which names `id` may be signed with. A token that names none may be signed
    /// with the only key there is.
    pub(super) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let only = self.keys.len() == 1;
        self.keys.iter().filter(move |key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => only,
        })
    }
}

impl Key {
    fn read(entry: &Value<'_>, allowed: &[SigningAlgorithm]) -> Result<Self, String> {
        // some write `null` for what is not there
        let member = |name: &str| entry.get(name).filter(|value| !matches!(value, Value::Null));
        let text = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_ref())),
            Some(other) => Err(format!("`{name}` is {}, not a string", other.kind())),
        };
        let bytes = |name: &str| -> Result<Vec<u8>, String> {
            let encoded = text(name)?.ok_or_else(|| format!("it lacks `{name}`"))?;
            // RFC 7515 has no padding, and some write it all the same; it must be the right one then
            let bare = encoded.trim_end_matches('=');
            let whole = bare.len() == encoded.len() || encoded.len().is_multiple_of(4);
            let bytes = URL_SAFE_NO_PAD.decode(bare).ok().filter(|_| whole && encoded.len() - bare.len() < 3);
            bytes.ok_or_else(|| format!("`{name}` is not base64url"))
        };
        if member("d").is_some() {
            // anyone who can read the set can sign
            return Err("it is a private key: replace it, and publish the public one".to_owned());
        }
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("its `use` is not `sig`".to_owned());
        }
        if let Some(operations) = member("key_ops") {
            let operations = operations.as_array().ok_or("`key_ops` is not an array")?;
            if !operations.iter().any(|operation| operation.as_str() == Some("verify")) {
                return Err("its `key_ops` lack `verify`".to_owned());
            }
        }
        let named = match text("alg")? {
            Some(name) => {
                Some(SigningAlgorithm::parse(name).ok_or("its `alg` is not one that is accepted here".to_owned())?)
            }
            None => None,
        };
        let curve = |expected: &str| match text("crv")? {
            Some(curve) if curve == expected => Ok(()),
            _ => Err("its `crv` is not one that is accepted here".to_owned()),
        };
        let (fits, otherwise, bytes): (fn(SigningAlgorithm) -> bool, _, Vec<u8>) = match text("kty")? {
            Some("RSA") => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                let modulus = significant(&modulus);
                if !RSA_BYTES.contains(&modulus.len()) {
                    return Err("its modulus is not of 2048 to 8192 bits".to_owned());
                }
                if modulus.last().is_none_or(|last| last % 2 == 0) {
                    return Err("its modulus is even".to_owned());
                }
                let exponent = significant(&exponent);
                if exponent.len() > 4 || exponent.last().is_none_or(|last| last % 2 == 0) || exponent == [1] {
                    return Err("its exponent is not an odd number from 3 to 32 bits".to_owned());
                }
                (SigningAlgorithm::is_rsa, SigningAlgorithm::Rs256, der(modulus, exponent))
            }
            Some("EC") => {
                let (size, algorithm, fits): (_, _, fn(SigningAlgorithm) -> bool) = if curve("P-256").is_ok() {
                    (32, SigningAlgorithm::Es256, |algorithm| algorithm == SigningAlgorithm::Es256)
                } else {
                    curve("P-384")?;
                    (48, SigningAlgorithm::Es384, |algorithm| algorithm == SigningAlgorithm::Es384)
                };
                let mut point = vec![4];
                point.extend(bytes("x")?);
                point.extend(bytes("y")?);
                if point.len() != 1 + 2 * size {
                    return Err("its point is not of its curve's size".to_owned());
                }
                (fits, algorithm, point)
            }
            Some("OKP") => {
                curve("Ed25519")?;
                let point = bytes("x")?;
                if point.len() != 32 {
                    return Err("its point is not of its curve's size".to_owned());
                }
                if !edwards::is_key(&point) {
                    return Err("its point is not on its curve, or anyone can sign for it".to_owned());
                }
                let fits: fn(SigningAlgorithm) -> bool = |algorithm| algorithm == SigningAlgorithm::EdDsa;
                (fits, SigningAlgorithm::EdDsa, point)
            }
            Some("oct") => return Err("it is a shared secret, which is never accepted".to_owned()),
            _ => return Err("its `kty` is not one that is accepted here".to_owned()),
        };
        let algorithm = match named {
            Some(algorithm) if !fits(algorithm) => {
                return Err("its `alg` does not go with its `kty` and `crv`".to_owned());
            }
            Some(algorithm) => algorithm,
            None => allowed.iter().copied().find(|algorithm| fits(*algorithm)).unwrap_or(otherwise),
        };
        if !allowed.is_empty() && !allowed.contains(&algorithm) {
            return Err(format!("`{algorithm}` is not among the issuer's `algorithms`"));
        }
        let key = ParsedPublicKey::new(verification(algorithm), bytes).map_err(|_| {
            "it is not a key: its point is not on its curve, or its numbers do not fit together".to_owned()
        })?;
        Ok(Self { id: text("kid")?.map(str::to_owned), algorithm, key })
    }

    /// Whether `signature`, in base64url, is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| self.key.verify_sig(message, &signature).is_ok())
    }
}

/// How the crypto library verifies what is signed with `algorithm`.
fn verification(algorithm: SigningAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        SigningAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SigningAlgorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SigningAlgorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        SigningAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        SigningAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        SigningAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        SigningAlgorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        SigningAlgorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        SigningAlgorithm::EdDsa => &signature::ED25519,
    }
}

/// An RSA key as the crypto library reads it (RFC 8017, A.1.1): two numbers, which are positive.
fn der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let [.., high, low] = length.to_be_bytes();
        let mut out = vec![tag];
        match length {
            0..0x80 => out.push(low),
            0x80..0x100 => out.extend([0x81, low]),
            // no key is longer
            _ => out.extend([0x82, high, low]),
        }
        out.extend_from_slice(content);
        out
    }
    let number = |bytes: &[u8]| {
        let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        tagged(0x02, &[sign, bytes].concat())
    };
    tagged(0x30, &[number(modulus), number(exponent)].concat())
}

/// A number without its leading zeros.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
