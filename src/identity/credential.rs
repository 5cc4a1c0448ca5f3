//! The credential in a request's headers, before anything is known about it.
//!
//! One header, one value, one scheme, one token. Whatever could be read in two ways is refused: gateways
//! join repeated headers with commas, or turn them round, and the service behind may read another one.

use memchr::memchr;

use crate::config::{CredentialKind, CredentialSettings};
use crate::identity::error::AuthCode;

/// What a route wants to know of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accept {
    /// A credential.
    #[default]
    Credential,
    /// A client certificate that the gateway verified.
    Peer,
    /// A credential; without one, a client certificate. A bad credential is never skipped.
    Either,
    /// Nothing: the route is public.
    Nothing,
}

/// How the callers of a host, a route file or a route are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    header: Box<str>,
    rivals: Box<[String]>,
    schemes: Box<[(String, CredentialKind)]>,
    accept: Accept,
    issuers: Option<Box<[String]>>,
}

impl Rule {
    /// The rule that `settings` describe: a credential of any configured issuer.
    #[must_use]
    pub fn new(settings: &CredentialSettings) -> Self {
        Self {
            header: settings.header.as_str().into(),
            rivals: settings.rivals.iter().filter(|rival| **rival != settings.header).cloned().collect(),
            schemes: settings.schemes.clone().into(),
            accept: Accept::default(),
            issuers: None,
        }
    }

    /// The rule of public routes.
    #[must_use]
    pub fn public() -> Self {
        Self {
            header: "authorization".into(),
            rivals: Box::default(),
            schemes: Box::default(),
            accept: Accept::Nothing,
            issuers: None,
        }
    }

    /// The same rule, but for other evidence.
    #[must_use]
    pub fn accepting(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// The same rule, but for tokens of these issuers alone. API tokens are not concerned.
    #[must_use]
    pub fn issued_by(mut self, issuers: impl IntoIterator<Item = String>) -> Self {
        self.issuers = Some(issuers.into_iter().collect());
        self
    }

    /// The header that carries the credential, in small letters.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Headers, in small letters, that must not be there beside it.
    #[must_use]
    pub fn rivals(&self) -> &[String] {
        &self.rivals
    }

    /// The schemes, as they are written in challenges.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.schemes.iter().map(|(scheme, _)| scheme.as_str())
    }

    /// What it wants to know.
    #[must_use]
    pub fn accept(&self) -> Accept {
        self.accept
    }

    pub(super) fn accepts_issuer(&self, issuer: &str) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.iter().any(|accepted| accepted == issuer))
    }
}

/// The values of the rule's header.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Credential<'a> {
    /// There is none.
    #[default]
    Absent,
    /// There is one.
    One(&'a [u8]),
    /// There are several, or there is one in a rival header.
    Repeated,
}

impl<'a> Credential<'a> {
    /// The credential that `rule` looks for among headers, name and value. `same` says whether a name is one of
    /// those, in small letters, that the rule knows.
    pub fn find<N: Copy>(
        rule: &Rule,
        headers: impl IntoIterator<Item = (N, &'a [u8])>,
        same: impl Fn(N, &str) -> bool,
    ) -> Self {
        let (mut own, mut rivalled) = (Self::Absent, false);
        for (name, value) in headers {
            if same(name, rule.header()) {
                own = if own == Self::Absent { Self::One(value) } else { Self::Repeated };
            } else {
                rivalled = rivalled || rule.rivals.iter().any(|rival| same(name, rival));
            }
        }
        // a lone credential in the wrong header is no credential; two are an ambiguity
        if rivalled && own != Self::Absent { Self::Repeated } else { own }
    }
}

// a credential is never printed
impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::One(_) => "One(..)",
            Self::Repeated => "Repeated",
        })
    }
}

/// The kind of the credential and its token, if it is one at a glance. Nothing is said of the token: it is good for
/// nothing but to be compared with tokens that were read before.
pub(super) fn glance<'a>(rule: &Rule, credential: Credential<'a>) -> Option<(CredentialKind, &'a [u8])> {
    let Credential::One(value) = credential else { return None };
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !blank(byte))?;
    let end = value.iter().rposition(|byte| !blank(byte))?;
    let value = &value[begin..=end];
    let (scheme, token) = match memchr(b' ', value) {
        Some(end) => (&value[..end], &value[end..]),
        None => (&value[..0], value),
    };
    let token = &token[token.iter().position(|byte| *byte != b' ')?..];
    let (_, kind) = rule.schemes.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(scheme))?;
    Some((*kind, token))
}

/// The kind of the credential and its token; at most `max_bytes` of it are looked at.
pub(super) fn read<'a>(
    rule: &Rule,
    credential: Credential<'a>,
    max_bytes: usize,
) -> Result<(CredentialKind, &'a str), AuthCode> {
    let value = match credential {
        Credential::Absent => return Err(AuthCode::MissingCredential),
        Credential::Repeated => return Err(AuthCode::RepeatedCredential),
        Credential::One(value) => value,
    };
    // the longest scheme and a few blanks are not what the limit is about
    if value.len() > max_bytes.saturating_add(64) {
        return Err(AuthCode::TokenTooLarge);
    }
    if value.contains(&b',') {
        return Err(AuthCode::RepeatedCredential);
    }
    let text = std::str::from_utf8(value).map_err(|_| AuthCode::MalformedCredential)?;
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() {
        return Err(AuthCode::MissingCredential);
    }
    let (scheme, token) = match text.split_once(' ') {
        Some((scheme, token)) => (scheme, token.trim_start_matches(' ')),
        None => ("", text),
    };
    let kind = rule.schemes.iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme)).map(|(_, kind)| *kind);
    let kind = match kind {
        Some(kind) => kind,
        // `Bearer` alone brings nothing
        None if scheme.is_empty() => return Err(AuthCode::MalformedCredential),
        None => return Err(AuthCode::UnsupportedScheme),
    };
    if !is_token68(token) {
        return Err(AuthCode::MalformedCredential);
    }
    if token.len() > max_bytes {
        return Err(AuthCode::TokenTooLarge);
    }
    Ok((kind, token))
}

/// RFC 9110's `token68`: what a token in a header may look like.
fn is_token68(token: &str) -> bool {
    // tokens are long and come with every request: one look-up a byte
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            allowed[byte as usize] =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
            byte += 1;
        }
        allowed
    };
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| ALLOWED[usize::from(byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule::new(&CredentialSettings {
            header: "authorization".to_owned(),
            schemes: vec![("APIToken".to_owned(), CredentialKind::Opaque), ("Bearer".to_owned(), CredentialKind::Jwt)],
            rivals: vec!["x-authorization".to_owned()],
        })
    }

    #[test]
    fn one_header_one_scheme_one_token() {
        use AuthCode::*;
        use CredentialKind::{Jwt, Opaque};
        let long = format!("Bearer {}", "a".repeat(33));
        let huge = "a".repeat(1_000_000);
        for (value, expected) in [
            ("Bearer abc", Ok((Jwt, "abc"))),
            ("bEARER abc", Ok((Jwt, "abc"))),
            ("apitoken a.b_c~d+e/f==", Ok((Opaque, "a.b_c~d+e/f=="))),
            ("  Bearer   abc  ", Ok((Jwt, "abc"))),
            ("", Err(MissingCredential)),
            ("   ", Err(MissingCredential)),
            ("Bearer", Err(MalformedCredential)),
            ("Bearer ", Err(MalformedCredential)),
            ("Bearer a b", Err(MalformedCredential)),
            ("Bearer\tabc", Err(MalformedCredential)),
            ("Bearer a,Bearer b", Err(RepeatedCredential)),
            ("Bearer a, Bearer b", Err(RepeatedCredential)),
            ("Bearer ab=c", Err(MalformedCredential)),
            ("Bearer =", Err(MalformedCredential)),
            ("Bearer \"a\"", Err(MalformedCredential)),
            ("Bearer caf\u{e9}", Err(MalformedCredential)),
            ("Basic abc", Err(UnsupportedScheme)),
            ("Bearers abc", Err(UnsupportedScheme)),
            (&long, Err(TokenTooLarge)),
            (&huge, Err(TokenTooLarge)),
        ] {
            let credential = Credential::One(value.as_bytes());
            let read = read(&rule(), credential, 32);
            assert_eq!(read, expected, "{value:.40}");
            if let Ok((kind, token)) = read {
                assert_eq!(glance(&rule(), credential), Some((kind, token.as_bytes())), "{value:.40}");
            }
        }
        assert_eq!(read(&rule(), Credential::One(b"Bearer \xff"), 32), Err(MalformedCredential));
        assert_eq!(read(&rule(), Credential::Repeated, 32), Err(RepeatedCredential));
        assert_eq!(read(&rule(), Credential::Absent, 32), Err(MissingCredential));

        let bare = Rule::new(&CredentialSettings {
            header: "x-api-key".to_owned(),
            schemes: vec![(String::new(), Opaque)],
            rivals: vec![],
        });
        assert_eq!(read(&bare, Credential::One(b"abc"), 32), Ok((Opaque, "abc")));
        assert_eq!(read(&bare, Credential::One(b"Bearer abc"), 32), Err(UnsupportedScheme));
    }

    #[test]
    fn a_second_credential_anywhere_is_one_too_many() {
        for (headers, expected) in [
            (&[("authorization", "Bearer a")][..], Credential::One(b"Bearer a")),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer a")], Credential::Repeated),
            (&[("authorization", "Bearer a"), ("x-authorization", "Bearer b")], Credential::Repeated),
            (&[("x-authorization", "Bearer b")], Credential::Absent),
            (&[("cookie", "a=b")], Credential::Absent),
        ] {
            let pairs = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
            let found = Credential::find(&rule(), pairs, |name, known| name == known);
            assert_eq!(found, expected, "{headers:?}");
        }
        assert_eq!(format!("{:?}", Credential::One(b"Bearer secret")), "One(..)");
    }
}
