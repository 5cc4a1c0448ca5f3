//! What the `identity` section must mean.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::check::Checker;
use crate::config::raw::identity::{RawClaims, RawCredentials, RawIdentity, RawIssuer, RawJwks, RawPeer};
use crate::config::template::Overlap;
use crate::config::tree::shown;
use crate::config::units::Span;
use crate::config::{
    ClaimSettings, CredentialSettings, IdentitySettings, IssuerSettings, KeySource, KeyUrl, PeerSettings,
    SigningAlgorithm, UidTemplate, UriPattern,
};
use palisade_engine::model::closest;

/// A clock that is further off than this is not a clock.
const MOST_LEEWAY: Duration = Duration::from_secs(300);

/// Where a value stands.
type Key = Vec<String>;

fn key(above: &[String], below: &[&str]) -> Key {
    above.iter().cloned().chain(below.iter().map(|part| (*part).to_owned())).collect()
}

impl Checker<'_> {
    pub(super) fn identity(&mut self, raw: RawIdentity) -> IdentitySettings {
        let section: Key = vec!["identity".to_owned()];
        let mut issuers: Vec<IssuerSettings> = Vec::new();
        for (i, raw) in raw.issuers.into_iter().enumerate() {
            let at = key(&section, &["issuers", &i.to_string()]);
            let Some(raw) = self.item(&at, raw, "a mapping") else { continue };
            let Some(issuer) = self.issuer(&at, raw) else { continue };
            if issuers.iter().any(|other| other.issuer == issuer.issuer) {
                self.wrong(&key(&at, &["issuer"]), format!("`{}` is listed twice", issuer.issuer));
            }
            self.one_entity(&at, &issuers, &issuer);
            issuers.push(issuer);
        }
        let file = key(&section, &["api_tokens", "file"]);
        let api_tokens = raw.api_tokens.file.map(|path| self.file(&file, path));
        let peer = self.peer(&key(&section, &["peer"]), raw.peer, &issuers);
        IdentitySettings {
            issuers,
            api_tokens,
            credentials: self.credentials(&key(&section, &["credentials"]), raw.credentials),
            peer,
            cache_bytes: raw.cache.max_bytes.0,
            max_token_bytes: self.bytes(&["identity", "max_token_bytes"], raw.max_token_bytes, 1),
        }
    }

    fn issuer(&mut self, at: &[String], raw: RawIssuer) -> Option<IssuerSettings> {
        let before = self.problems.len();
        if raw.issuer.is_empty() {
            self.wrong(&key(at, &["issuer"]), "is missing: write what the tokens have in `iss`");
        }
        let audiences = self.texts(&key(at, &["audiences"]), raw.audiences);
        if audiences.is_empty() {
            // a token for any service would be a token for us
            self.wrong(&key(at, &["audiences"]), "is missing: write what the tokens have in `aud`, at least one");
        }
        let mut algorithms = Vec::new();
        for (i, name) in self.texts(&key(at, &["algorithms"]), raw.algorithms).iter().enumerate() {
            match SigningAlgorithm::parse(name) {
                Some(algorithm) => algorithms.push(algorithm),
                None => {
                    let names = SigningAlgorithm::ALL.map(SigningAlgorithm::as_str);
                    let hint = match closest(&name.to_ascii_uppercase(), names) {
                        _ if name.starts_with("HS") => {
                            "a shared secret lets everyone who verifies also sign".to_owned()
                        }
                        Some(near) if near != name => format!("did you mean `{near}`?"),
                        _ => format!("write one of {}", names.join(", ")),
                    };
                    self.wrong(&key(at, &["algorithms", &i.to_string()]), format!("`{name}` is not accepted; {hint}"));
                }
            }
        }
        if raw.leeway.0 > MOST_LEEWAY {
            self.wrong(&key(at, &["leeway"]), format!("must be at most `{}`", humantime::format_duration(MOST_LEEWAY)));
        }
        let types = self.texts(&key(at, &["types"]), raw.types);
        let keys = self.keys(&key(at, &["jwks"]), raw.jwks);
        let claims = self.claims(&key(at, &["claims"]), raw.claims);
        if self.problems.len() > before || self.is_known_bad(&shown(at)) {
            return None;
        }
        Some(IssuerSettings {
            issuer: raw.issuer,
            audiences,
            keys: keys?,
            algorithms,
            types: types.iter().map(|name| token_type(name)).collect(),
            leeway: raw.leeway.0,
            claims: claims?,
        })
    }

    /// Refuses two issuers of which one could make a caller of the other's. With one template for both their callers are the
    /// same, and the file says so.
    fn one_entity(&mut self, at: &[String], others: &[IssuerSettings], issuer: &IssuerSettings) {
        for other in others {
            let principals = (&issuer.claims.principal, Some(&other.claims.principal));
            let mut pairs = vec![("principal", principals)];
            pairs.extend(issuer.claims.token.as_ref().map(|token| ("token", (token, other.claims.token.as_ref()))));
            for (name, (mine, theirs)) in pairs {
                let Some(theirs) = theirs else { continue };
                self.apart(&key(at, &["claims", name]), (mine, &issuer.issuer), (theirs, &other.issuer));
            }
        }
    }

    /// Refuses two templates of which one could make a caller of the other's.
    fn apart(&mut self, at: &[String], (mine, whose): (&UidTemplate, &str), (theirs, other): (&UidTemplate, &str)) {
        if mine == theirs {
            return;
        }
        let example = match mine.overlap(theirs) {
            Overlap::No => return,
            Overlap::Id(id) => format!(", such as `{}`", mine.with_id(id)),
            Overlap::Unknown => " (they are too long to compare)".to_owned(),
        };
        self.wrong(
            at,
            format!(
                "`{mine}` of `{whose}` and `{theirs}` of `{other}` can be one entity{example}: give each a type or a \
                 prefix of its own, or both the same template"
            ),
        );
    }

    fn keys(&mut self, at: &[String], raw: RawJwks) -> Option<KeySource> {
        match (raw.file, raw.url) {
            (Some(file), None) => Some(KeySource::File(self.file(&key(at, &["file"]), file))),
            (None, Some(url)) => {
                if let Err(message) = check_key_url(&url) {
                    self.wrong(&key(at, &["url"]), message);
                }
                let not_zero = |checker: &mut Self, name: &str, span: Span| {
                    if span.0.is_zero() {
                        checker.wrong(&key(at, &[name]), "must be more than 0s");
                    }
                    span.0
                };
                let keys = KeyUrl {
                    url,
                    ca_file: raw.ca_file.map(|file| self.file(&key(at, &["ca_file"]), file)),
                    refresh: not_zero(self, "refresh", raw.refresh),
                    min_refresh: not_zero(self, "min_refresh", raw.min_refresh),
                    max_age: raw.max_age.0,
                    timeout: not_zero(self, "timeout", raw.timeout),
                };
                if keys.max_age < keys.refresh {
                    self.wrong(
                        &key(at, &["max_age"]),
                        "must be at least `refresh`, or keys are gone before they are fetched again",
                    );
                }
                Some(KeySource::Url(keys))
            }
            (None, None) => {
                self.wrong(at, "needs a `file` or a `url`");
                None
            }
            (Some(_), Some(_)) => {
                self.wrong(at, "has both a `file` and a `url`: the issuer's keys are in one place");
                None
            }
        }
    }

    fn claims(&mut self, at: &[String], raw: RawClaims) -> Option<ClaimSettings> {
        let principal = if raw.principal.is_empty() {
            self.wrong(&key(at, &["principal"]), "is missing: write such as `Fleet::User::\"{sub}\"`");
            None
        } else {
            self.parsed(&key(at, &["principal"]), UidTemplate::parse(&raw.principal))
        };
        let token = raw.token.and_then(|text| self.parsed(&key(at, &["token"]), UidTemplate::parse(&text)));
        if raw.method.claim.is_none() && !raw.method.map.is_empty() {
            self.wrong(&key(at, &["method", "map"]), "needs `claim`, whose values it maps");
        }
        let methods = raw.method.map.values().chain([&raw.method.default]);
        if methods.into_iter().any(String::is_empty) {
            self.wrong(&key(at, &["method"]), "has an empty method: write a word such as `sso` or `password`");
        }
        let mut mfa = BTreeMap::new();
        for (claim, values) in raw.mfa {
            let values = self.texts(&key(at, &["mfa", &claim]), values);
            mfa.insert(claim, values.into_iter().collect());
        }
        Some(ClaimSettings {
            principal: principal?,
            method_claim: raw.method.claim,
            methods: raw.method.map,
            default_method: raw.method.default,
            mfa,
            token,
        })
    }

    fn credentials(&mut self, at: &[String], raw: RawCredentials) -> CredentialSettings {
        let header = self.header(&key(at, &["header"]), &raw.header);
        if header == "cookie" {
            let message = "a request may have several cookies: name one in the route file, as `credential: {header: cookie, name: session}`";
            self.wrong(&key(at, &["header"]), message);
        }
        let mut schemes: Vec<(String, _)> = Vec::new();
        for (scheme, kind) in raw.schemes {
            let here = key(at, &["schemes", &scheme]);
            if !scheme.bytes().all(is_token_byte) {
                self.wrong(&here, format!("`{scheme}` is not a scheme: write a word such as `Bearer`"));
            }
            if schemes.iter().any(|(other, _)| other.eq_ignore_ascii_case(&scheme)) {
                self.wrong(&here, format!("`{scheme}` is listed twice: schemes mean the same in any case"));
            }
            schemes.push((scheme, kind));
        }
        if schemes.is_empty() {
            self.wrong(&key(at, &["schemes"]), "must list at least one scheme");
        }
        let rivals = self.texts(&key(at, &["rivals"]), raw.rivals);
        let rivals = rivals
            .iter()
            .enumerate()
            .map(|(i, name)| self.header(&key(at, &["rivals", &i.to_string()]), name))
            .collect();
        CredentialSettings { header, schemes, rivals }
    }

    fn peer(&mut self, at: &[String], raw: RawPeer, issuers: &[IssuerSettings]) -> PeerSettings {
        let header = raw.header.map(|name| self.header(&key(at, &["header"]), &name));
        let mut principals: Vec<(UriPattern, UidTemplate)> = Vec::new();
        for (i, raw) in raw.principals.into_iter().enumerate() {
            let here = key(at, &["principals", &i.to_string()]);
            let Some(raw) = self.item(&here, raw, "a mapping") else { continue };
            let uri = self.parsed(&key(&here, &["uri"]), UriPattern::parse(&raw.uri));
            // a certificate may be one principal
            let principal = self.parsed(&key(&here, &["principal"]), UidTemplate::parse_fixed(&raw.principal));
            let (Some(uri), Some(principal)) = (uri, principal) else { continue };
            if let Some(stray) = principal.blanks().find(|blank| !uri.blanks().any(|name| name == *blank)) {
                self.wrong(&key(&here, &["principal"]), format!("`{{{stray}}}` is not in the `uri`"));
            }
            let of_issuers = issuers.iter().map(|issuer| (&issuer.claims.principal, issuer.issuer.clone()));
            let of_peers = principals.iter().map(|(uri, principal)| (principal, uri.to_string()));
            for (theirs, other) in of_issuers.chain(of_peers) {
                self.apart(&key(&here, &["principal"]), (&principal, &uri.to_string()), (theirs, &other));
            }
            principals.push((uri, principal));
        }
        if header.is_some() && principals.is_empty() {
            self.wrong(&key(at, &["principals"]), "is missing: it maps certificates to principals");
        }
        if raw.method.is_empty() {
            self.wrong(&key(at, &["method"]), "must be a word such as `mtls`");
        }
        PeerSettings { header, principals, method: raw.method }
    }

    fn wrong(&mut self, at: &[String], message: impl Into<String>) {
        // what was reported and taken out is not missing
        if self.is_known_bad(&shown(at)) {
            return;
        }
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        self.report(&at, message);
    }

    fn parsed<T>(&mut self, at: &[String], parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.wrong(at, message)).ok()
    }

    fn file(&mut self, at: &[String], path: String) -> PathBuf {
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        self.path(&at, path)
    }

    /// An item of a list; one of the wrong type was reported and blanked.
    fn item<T>(&mut self, at: &[String], item: Option<T>, what: &str) -> Option<T> {
        if item.is_none() && !self.is_known_bad(&shown(at)) {
            self.wrong(at, format!("must be {what}, not null"));
        }
        item
    }

    fn texts(&mut self, at: &[String], items: Vec<Option<String>>) -> Vec<String> {
        let mut texts = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let here = key(at, &[&i.to_string()]);
            match self.item(&here, item, "text") {
                Some(text) if text.is_empty() => self.wrong(&here, "must not be empty"),
                Some(text) => texts.push(text),
                None => {}
            }
        }
        texts
    }

    fn header(&mut self, at: &[String], name: &str) -> String {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            self.wrong(at, format!("`{name}` is not the name of a header"));
        }
        name.to_ascii_lowercase()
    }
}

fn token_type(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_prefix("application/").map_or(name.clone(), str::to_owned)
}

/// What RFC 9110 allows in the name of a header or a scheme.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn check_key_url(url: &str) -> Result<(), String> {
    let wrong =
        |what: &str| Err(format!("`{url}` {what}: write such as `https://id.example.com/.well-known/jwks.json`"));
    let Ok(uri) = url.parse::<http::Uri>() else {
        return wrong("is not a URL");
    };
    let Some(authority) = uri.authority() else {
        return wrong("names no host");
    };
    if authority.as_str().contains('@') {
        return Err("holds a user name, which would be logged".to_owned());
    }
    let local = ["127.0.0.1", "[::1]", "localhost"].contains(&authority.host());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if local => Ok(()),
        Some("http") => wrong("is not encrypted, so anyone on the network path could replace the keys"),
        _ => wrong("does not start with `https://`"),
    }
}
