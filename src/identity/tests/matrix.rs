//! The matrix of tokens: what is accepted, and every way of being wrong with its code.

use serde_json::{Value, json};

use super::support::*;
use crate::config::CredentialKind;
use crate::identity::AuthCode::*;
use crate::identity::*;
use palisade_engine::model::Uid;

fn fixture() -> Fixture {
    Fixture::with_keys(&key_set(&[&RSA, &EC, &ED]), |_| {})
}

#[test]
fn every_algorithm_verifies_with_its_key_and_with_no_other() {
    let signers: Vec<Signer> = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
        .into_iter()
        .map(|algorithm| Signer::new(algorithm, algorithm))
        .collect();
    let fixture = Fixture::with_keys(&key_set(&signers.iter().collect::<Vec<_>>()), |_| {});
    for signer in &signers {
        let caller = fixture.bearer(&signer.token(&claims())).unwrap_or_else(|e| panic!("{}: {e}", signer.algorithm));
        assert_eq!(caller.principal.to_string(), "Fleet::User::\"alice\"");
        for other in &signers {
            if other.id != signer.id {
                // the right signature under the name of another key, and under another algorithm's name
                let wrong_key = json!({"alg": signer.algorithm, "kid": other.id}).to_string();
                let wrong_algorithm = json!({"alg": other.algorithm, "kid": signer.id}).to_string();
                for header in [wrong_key, wrong_algorithm] {
                    let refused = fixture.bearer(&signer.raw(&header, &claims().to_string()));
                    assert_eq!(refused, Err(WrongAlgorithm), "{header}");
                }
            }
        }
    }
}

#[test]
fn headers() {
    let fixture = fixture();
    let good = json!({"alg": "RS256", "kid": "rsa"});
    let change = |changes: Value| {
        let mut header = good.clone();
        for (key, value) in changes.as_object().unwrap() {
            header[key] = value.clone();
        }
        header.to_string()
    };
    let embedded = FORGER.jwk();
    for (header, expected) in [
        (change(json!({})), None),
        (change(json!({"typ": "JWT"})), None),
        (change(json!({"typ": "application/AT+JWT"})), None),
        (change(json!({"x5t": "abc", "cty": "x"})), None),
        (change(json!({"typ": "logout+jwt"})), Some(WrongTokenType)),
        (change(json!({"typ": ""})), Some(WrongTokenType)),
        (change(json!({"typ": 1})), Some(MalformedToken)),
        (change(json!({"alg": "none"})), Some(WrongAlgorithm)),
        (change(json!({"alg": "None"})), Some(WrongAlgorithm)),
        (change(json!({"alg": ""})), Some(WrongAlgorithm)),
        (change(json!({"alg": "rs256"})), Some(WrongAlgorithm)),
        (change(json!({"alg": "HS256"})), Some(WrongAlgorithm)),
        (change(json!({"alg": "RS512"})), Some(WrongAlgorithm)),
        (change(json!({"alg": "PS256"})), Some(WrongAlgorithm)),
        (change(json!({"alg": "ES256"})), Some(WrongAlgorithm)),
        (change(json!({"alg": ["RS256"]})), Some(MalformedToken)),
        (change(json!({"alg": null})), Some(MalformedToken)),
        (json!({"kid": "rsa"}).to_string(), Some(MalformedToken)),
        (change(json!({"crit": ["exp"]})), Some(UnknownExtension)),
        (change(json!({"crit": []})), Some(UnknownExtension)),
        (change(json!({"b64": false})), Some(UnknownExtension)),
        (change(json!({"kid": "nobody"})), Some(UnknownKey)),
        (change(json!({"kid": "RSA"})), Some(UnknownKey)),
        (change(json!({"kid": "../../rsa"})), Some(UnknownKey)),
        (change(json!({"kid": ""})), Some(UnknownKey)),
        (change(json!({"kid": 7})), Some(MalformedToken)),
        (change(json!({"kid": "x".repeat(513)})), Some(MalformedToken)),
        // with three keys, a token must say which
        (json!({"alg": "RS256"}).to_string(), Some(UnknownKey)),
        ("[]".to_owned(), Some(MalformedToken)),
        ("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"alg\":\"RS256\"}".to_owned(), Some(MalformedToken)),
        ("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"\\u0061lg\":\"none\"}".to_owned(), Some(MalformedToken)),
        ("{\"alg\":\"RS256\",\"kid\":\"rsa\"} {}".to_owned(), Some(MalformedToken)),
        ("\u{feff}{\"alg\":\"RS256\",\"kid\":\"rsa\"}".to_owned(), Some(MalformedToken)),
    ] {
        let result = fixture.bearer(&RSA.raw(&header, &claims().to_string()));
        assert_eq!(result.err(), expected, "{header:.120}");
    }
    // keys that the token brings along are not looked at
    for member in ["jwk", "jku", "x5u", "x5c"] {
        let mut header = json!({"alg": "RS256", "kid": "rsa"});
        header[member] = if member == "jwk" { embedded.clone() } else { "https://evil.example/keys".into() };
        assert_eq!(
            fixture.bearer(&FORGER.raw(&header.to_string(), &claims().to_string())),
            Err(BadSignature),
            "{member}"
        );
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    use aws_lc_rs::hmac;
    let fixture = fixture();
    let modulus = RSA.jwk()["n"].as_str().unwrap().to_owned();
    for secret in [modulus.as_bytes(), RSA.jwk().to_string().as_bytes(), b""] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        for kid in ["rsa", "ec", "ed"] {
            let header = json!({"alg": "HS256", "kid": kid}).to_string();
            let message = format!("{}.{}", encode(header), encode(claims().to_string()));
            let token = format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes())));
            assert_eq!(fixture.bearer(&token), Err(WrongAlgorithm));
        }
    }
}

#[test]
fn shapes() {
    let fixture = fixture();
    let good = RSA.token(&claims());
    let [header, payload, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (token, expected) in [
        (good.clone(), None),
        (format!("{header}.{payload}."), Some(MalformedToken)),
        (format!("{header}.{payload}"), Some(UnknownToken)),
        (header.to_owned(), Some(UnknownToken)),
        (format!("{header}.{payload}.{signature}.x"), Some(UnknownToken)),
        (format!("{header}.{payload}.{signature}.x.y"), Some(UnknownToken)),
        (format!(".{payload}.{signature}"), Some(MalformedToken)),
        (format!("{header}..{signature}"), Some(MalformedToken)),
        ("..".to_owned(), Some(MalformedToken)),
        // base64 in another spelling
        (format!("{header}.{payload}.{signature}="), Some(BadSignature)),
        (format!("{header}=.{payload}.{signature}"), Some(MalformedCredential)),
        (format!("{header}.{payload}.{}", &signature[..signature.len() - 1]), Some(BadSignature)),
        (format!("{header}.{payload}.{}", encode([0; 256])), Some(BadSignature)),
        (format!("{header}.{payload}.{}", encode([])), Some(MalformedToken)),
        (FORGER.token(&claims()), Some(BadSignature)),
        (RSA.raw(&RSA.header().to_string(), &deep), Some(MalformedToken)),
        (RSA.raw(&RSA.header().to_string(), "\"text\""), Some(MalformedToken)),
        (RSA.raw(&RSA.header().to_string(), "{"), Some(MalformedToken)),
        (RSA.raw(&RSA.header().to_string(), ""), Some(MalformedToken)),
        (RSA.token(&with(json!({"padding": "x".repeat(8192)}))), Some(TokenTooLarge)),
        ("a".repeat(10_000_000), Some(TokenTooLarge)),
        (".".repeat(8000), Some(UnknownToken)),
    ] {
        assert_eq!(fixture.bearer(&token).err(), expected, "{token:.60}");
    }
    // two forms of one signature: only the one whose unused bits are zero is accepted
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for other in alphabet.chars().filter(|other| *other != last) {
        let token = format!("{header}.{payload}.{}{other}", &signature[..signature.len() - 1]);
        assert_eq!(fixture.bearer(&token), Err(BadSignature), "{other}");
    }
}

#[test]
fn claims_of_every_type() {
    let fixture = fixture();
    let twice = |extra: &str| {
        let text = claims().to_string();
        format!("{},{extra}}}", text.strip_suffix('}').unwrap())
    };
    let changed = |changes: Value| with(changes).to_string();
    for (payload, expected) in [
        (changed(json!({})), None),
        (changed(json!({"iss": null})), Some(MissingClaim)),
        (changed(json!({"iss": "https://id.example.com/"})), Some(UnknownIssuer)),
        (changed(json!({"iss": "https://evil.example"})), Some(UnknownIssuer)),
        (changed(json!({"iss": [ISSUER]})), Some(MalformedClaim)),
        (changed(json!({"iss": ""})), Some(MalformedClaim)),
        (changed(json!({"aud": null})), Some(MissingClaim)),
        (changed(json!({"aud": "other"})), Some(WrongAudience)),
        (changed(json!({"aud": "fleet-api2"})), Some(WrongAudience)),
        (changed(json!({"aud": []})), Some(WrongAudience)),
        (changed(json!({"aud": ["other", AUDIENCE]})), None),
        (changed(json!({"aud": ["other"]})), Some(WrongAudience)),
        (changed(json!({"aud": [AUDIENCE, 7]})), Some(MalformedClaim)),
        (changed(json!({"aud": {"fleet-api": true}})), Some(MalformedClaim)),
        (changed(json!({"aud": true})), Some(MalformedClaim)),
        (changed(json!({"sub": null})), Some(MissingClaim)),
        (changed(json!({"sub": ""})), Some(MalformedClaim)),
        (changed(json!({"sub": 7})), Some(MalformedClaim)),
        (changed(json!({"exp": null})), Some(MissingClaim)),
        // at its end, within the leeway, and past it
        (changed(json!({"exp": NOW})), None),
        (changed(json!({"exp": NOW - 29})), None),
        (changed(json!({"exp": NOW - 30})), Some(TokenExpired)),
        (changed(json!({"exp": 0})), Some(TokenExpired)),
        (changed(json!({"exp": i64::MAX})), None),
        (changed(json!({"exp": -1})), Some(MalformedClaim)),
        (changed(json!({"exp": (NOW + 300).to_string()})), Some(MalformedClaim)),
        (changed(json!({"exp": (NOW + 300) as f64})), Some(MalformedClaim)),
        (changed(json!({"exp": 1e300})), Some(MalformedClaim)),
        (changed(json!({"exp": u64::MAX})), Some(MalformedClaim)),
        (changed(json!({"exp": [NOW + 300]})), Some(MalformedClaim)),
        (changed(json!({"exp": true})), Some(MalformedClaim)),
        (claims().to_string().replace("\"exp\":1800000300", "\"exp\":null"), Some(MalformedClaim)),
        (changed(json!({"nbf": NOW + 30})), None),
        (changed(json!({"nbf": NOW + 31})), Some(TokenNotYetValid)),
        (changed(json!({"nbf": i64::MAX})), Some(TokenNotYetValid)),
        (changed(json!({"nbf": (NOW + 3000).to_string()})), Some(MalformedClaim)),
        (changed(json!({"nbf": (NOW - 3000).to_string()})), Some(MalformedClaim)),
        (changed(json!({"nbf": NOW as f64 + 0.5})), Some(MalformedClaim)),
        (changed(json!({"nbf": {}})), Some(MalformedClaim)),
        (changed(json!({"iat": NOW + 31})), Some(TokenNotYetValid)),
        (changed(json!({"iat": "yesterday"})), Some(MalformedClaim)),
        // bound to a key: DPoP, mutual TLS, whatever else
        (changed(json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})), Some(BoundToken)),
        (changed(json!({"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}})), Some(BoundToken)),
        (changed(json!({"cnf": {}})), Some(BoundToken)),
        (twice("\"cnf\":null"), Some(BoundToken)),
        (twice("\"sub\":\"admin\""), Some(MalformedToken)),
        (twice("\"\\u0073ub\":\"admin\""), Some(MalformedToken)),
        (twice("\"exp\":9999999999"), Some(MalformedToken)),
        (twice("\"x\":{\"a\":1,\"a\":2}"), Some(MalformedToken)),
    ] {
        assert_eq!(fixture.bearer(&RSA.raw(&RSA.header().to_string(), &payload)).err(), expected, "{payload}");
    }
}

#[test]
fn the_cache_forgets_a_token_when_its_time_is_over() {
    let fixture = fixture();
    let token = format!("Bearer {}", ED.token(&with(json!({"nbf": NOW}))));
    let cached = || fixture.metrics.authentications(AuthResult::Cached).get();
    assert!(fixture.ask(&token, NOW).is_ok() && cached() == 0);
    assert!(fixture.ask(&token, NOW + 329).is_ok() && cached() == 1);
    assert_eq!(fixture.ask(&token, NOW + 330), Err(TokenExpired));
    // a clock that is set back
    assert_eq!(fixture.ask(&token, NOW - 31), Err(TokenNotYetValid));
    assert!(fixture.ask(&token, NOW).is_ok() && cached() == 2);
    // the end of a token is not a prefix of another
    assert!(fixture.ask(&token[..token.len() - 1], NOW).is_err());
    assert_eq!(fixture.metrics.authentications(AuthResult::Refused).get(), 3);
}

#[test]
fn keys_that_cannot_be_trusted_are_passed_over() {
    let base = RSA.jwk();
    let edit = |changes: Value| {
        let mut jwk = base.clone();
        for (key, value) in changes.as_object().unwrap() {
            if value.is_null() {
                jwk.as_object_mut().unwrap().remove(key);
            } else {
                jwk[key] = value.clone();
            }
        }
        jwk
    };
    for (jwk, expected) in [
        (edit(json!({})), None),
        (edit(json!({"alg": null})), None),
        (edit(json!({"use": null, "key_ops": ["verify"]})), None),
        (edit(json!({"x5c": ["abc"]})), None),
        (edit(json!({"alg": "RS384"})), Some(WrongAlgorithm)),
        (edit(json!({"alg": "ES256"})), Some(UnknownKey)),
        (edit(json!({"alg": "HS256"})), Some(UnknownKey)),
        (edit(json!({"alg": "RSA-OAEP"})), Some(UnknownKey)),
        (edit(json!({"alg": 7})), Some(UnknownKey)),
        (edit(json!({"use": "enc"})), Some(UnknownKey)),
        (edit(json!({"key_ops": ["sign"]})), Some(UnknownKey)),
        (edit(json!({"key_ops": []})), Some(UnknownKey)),
        (edit(json!({"key_ops": "verify"})), Some(UnknownKey)),
        (edit(json!({"d": "AQAB"})), Some(UnknownKey)),
        (edit(json!({"e": encode([1])})), Some(UnknownKey)),
        (edit(json!({"e": encode([4])})), Some(UnknownKey)),
        (edit(json!({"e": ""})), Some(UnknownKey)),
        (edit(json!({"n": encode([0xff; 128])})), Some(UnknownKey)),
        (edit(json!({"n": null})), Some(UnknownKey)),
        (edit(json!({"n": "***"})), Some(UnknownKey)),
        (json!({"kty": "oct", "kid": "rsa", "k": "c2VjcmV0", "alg": "HS256"}), Some(UnknownKey)),
        (json!({"kty": "EC", "kid": "rsa", "crv": "secp256k1", "x": "AA", "y": "AA"}), Some(UnknownKey)),
        (json!({"kty": "EC", "kid": "rsa", "crv": "P-256", "x": "AA", "y": "AA"}), Some(UnknownKey)),
        // the sizes are right, and the points are on no curve
        (
            json!({"kty": "EC", "kid": "rsa", "crv": "P-256", "x": encode([1; 32]), "y": encode([1; 32])}),
            Some(UnknownKey),
        ),
        (
            json!({"kty": "EC", "kid": "rsa", "crv": "P-384", "x": encode([1; 48]), "y": encode([1; 48])}),
            Some(UnknownKey),
        ),
        (
            json!({"kty": "EC", "kid": "rsa", "crv": "P-256", "x": encode([0; 32]), "y": encode([0; 32])}),
            Some(UnknownKey),
        ),
        (json!({"kty": "OKP", "kid": "rsa", "crv": "Ed25519", "x": encode([2; 32])}), Some(UnknownKey)),
        (json!({"kty": "OKP", "kid": "rsa", "crv": "Ed25519", "x": encode([0; 32])}), Some(UnknownKey)),
        (edit(json!({"n": encode([0xfe; 256])})), Some(UnknownKey)),
        // padding and `null`, as some write them
        (edit(json!({"e": format!("{}=", RSA.jwk()["e"].as_str().unwrap())})), Some(UnknownKey)),
        (edit(json!({"n": format!("{}==", RSA.jwk()["n"].as_str().unwrap())})), None),
        (edit(json!({"n": format!("{}=", RSA.jwk()["n"].as_str().unwrap())})), Some(UnknownKey)),
        (edit(json!({"n": format!("{}====", RSA.jwk()["n"].as_str().unwrap())})), Some(UnknownKey)),
        (json!({"kid": "rsa"}), Some(UnknownKey)),
        (json!("key"), Some(UnknownKey)),
    ] {
        let fixture = Fixture::with_keys(&json!({"keys": [jwk, ED.jwk()]}), |_| {});
        assert_eq!(fixture.bearer(&RSA.token(&claims())).err(), expected, "{jwk}");
        assert!(fixture.bearer(&ED.token(&claims())).is_ok(), "the key beside it works");
    }
    for name in ["alg", "use", "key_ops", "d"] {
        let mut jwk = base.clone();
        jwk[name] = Value::Null;
        let fixture = Fixture::with_keys(&json!({"keys": [jwk, ED.jwk()]}), |_| {});
        assert!(fixture.bearer(&RSA.token(&claims())).is_ok(), "{name}");
    }
    // a key without a name is for tokens that name none, where it is the only one
    let mut jwk = base.clone();
    jwk["kid"] = Value::Null;
    let fixture = Fixture::with_keys(&json!({"keys": [jwk]}), |_| {});
    assert!(fixture.bearer(&RSA.raw("{\"alg\":\"RS256\"}", &claims().to_string())).is_ok());
    for document in [
        "{}",
        "[]",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}",
        "{\"keys\":[],\"keys\":[]}",
        "<html>",
        "",
    ] {
        assert!(jwk::KeySet::parse(document.as_bytes(), &[]).is_err(), "{document}");
    }
}

#[test]
fn algorithms_can_be_narrowed_and_choose_for_keys_that_do_not_say() {
    let mut silent = Signer::new("rsa", "PS256").jwk();
    silent.as_object_mut().unwrap().remove("alg");
    for (algorithms, header, expected) in [
        (json!([]), "RS256", BadSignature),
        (json!(["PS256"]), "RS256", WrongAlgorithm),
        (json!(["PS256"]), "PS256", BadSignature),
        (json!(["ES256", "PS384", "RS256"]), "RS256", WrongAlgorithm),
        (json!(["ES256"]), "RS256", UnknownKey),
    ] {
        let keys = json!({"keys": [silent, EC.jwk()]});
        let fixture = Fixture::with_keys(&keys, |section| section["issuers"][0]["algorithms"] = algorithms.clone());
        let header = json!({"alg": header, "kid": "rsa"}).to_string();
        let result = fixture.bearer(&RSA.raw(&header, &claims().to_string()));
        assert_eq!(result.err(), Some(expected), "{algorithms} {header}");
    }
    // the only key needs no name
    let fixture = Fixture::with_keys(&key_set(&[&ED]), |_| {});
    assert!(fixture.bearer(&ED.raw("{\"alg\":\"EdDSA\"}", &claims().to_string())).is_ok());
    assert!(fixture.bearer(&ED.raw("{\"alg\":\"Ed25519\"}", &claims().to_string())).is_ok());
    // two keys of one name: whichever fits
    let (a, b) = (Signer::new("k", "EdDSA"), Signer::new("k", "EdDSA"));
    let fixture = Fixture::with_keys(&key_set(&[&a, &b]), |_| {});
    assert!(fixture.bearer(&a.token(&claims())).is_ok() && fixture.bearer(&b.token(&claims())).is_ok());
}

#[test]
fn what_claims_mean() {
    let meaning = json!({
        "principal": "Fleet::User::\"{tenant}/{sub}\"",
        "method": {"claim": "amr", "map": {"pwd": "password", "fed": "sso"}, "default": "other"},
        "mfa": {"amr": ["mfa", "otp"], "acr": ["urn:two"], "extra.verified": ["true"]},
        "token": "Fleet::ApiToken::\"{jti}\"",
    });
    let fixture = Fixture::with_keys(&key_set(&[&ED]), |section| section["issuers"][0]["claims"] = meaning);
    let all = json!({"tenant": "t1", "jti": 42, "amr": []});
    let shown = |changes: Value| {
        let mut all = all.clone();
        for (key, value) in changes.as_object().unwrap() {
            all[key] = value.clone();
        }
        fixture.bearer(&ED.token(&with(all))).map(|caller| {
            let entity = |uid: &Uid<'_>| json!({"__entity": {"type": uid.type_name, "id": uid.id}});
            let token = caller.token.as_ref().map(|token| entity(token).to_string()).unwrap_or_default();
            format!("{} {} {token}", caller.principal, json!({"method": &*caller.method, "mfa": caller.mfa}))
        })
    };
    let expect = |method: &str, mfa: bool| {
        Ok(format!(
            "Fleet::User::\"t1/alice\" {{\"method\":\"{method}\",\"mfa\":{mfa}}} {{\"__entity\":{{\"type\":\"Fleet::ApiToken\",\"id\":\"42\"}}}}"
        ))
    };
    let same = |a: Result<String, AuthCode>, b: Result<String, AuthCode>, what: Value| {
        let sorted = |text: String| {
            let mut bytes = text.into_bytes();
            bytes.sort_unstable();
            bytes
        };
        // members may come in any order
        assert_eq!(a.map(sorted), b.map(sorted), "{what}");
    };
    for (changes, expected) in [
        (json!({}), expect("other", false)),
        (json!({"amr": ["pwd"]}), expect("password", false)),
        (json!({"amr": ["fed", "pwd"]}), expect("sso", false)),
        (json!({"amr": "fed"}), expect("sso", false)),
        (json!({"amr": ["x", "otp", "pwd"]}), expect("password", true)),
        (json!({"acr": "urn:two"}), expect("other", true)),
        (json!({"acr": "urn:one"}), expect("other", false)),
        (json!({"extra": {"verified": true}}), expect("other", true)),
        (json!({"extra": {"verified": false}}), expect("other", false)),
        (json!({"extra.verified": "true"}), expect("other", true)),
        (json!({"mfa": true}), expect("other", false)),
        (json!({"jti": null}), Err(MissingClaim)),
        (json!({"jti": ["a"]}), Err(MissingClaim)),
        (json!({"tenant": ""}), Err(MalformedClaim)),
        // two tenants never come to one principal
        (json!({"tenant": "t1/alice", "sub": "x"}), Err(MalformedClaim)),
        (json!({"tenant": "t1", "sub": "alice/x"}), Err(MalformedClaim)),
    ] {
        same(shown(changes.clone()), expected, changes);
    }
}

#[test]
fn several_issuers_never_mix() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, keys: &Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, keys.to_string()).unwrap();
        path
    };
    let mut other = issuer(json!({"file": path("b", &key_set(&[&EC]))}));
    other["issuer"] = "https://other.example".into();
    other["audiences"] = json!(["other-api"]);
    other["claims"]["principal"] = "Other::User::\"{sub}\"".into();
    let fixture = Fixture::of(json!({"issuers": [issuer(json!({"file": path("a", &key_set(&[&RSA]))})), other]}));
    let others = |aud: &str| with(json!({"iss": "https://other.example", "aud": aud}));
    for (token, expected) in [
        (RSA.token(&claims()), Ok("Fleet::User::\"alice\"")),
        (EC.token(&others("other-api")), Ok("Other::User::\"alice\"")),
        // the one's key for the other's name, and the one's audience at the other
        (EC.token(&claims()), Err(UnknownKey)),
        (RSA.token(&others("other-api")), Err(UnknownKey)),
        (EC.token(&others(AUDIENCE)), Err(WrongAudience)),
    ] {
        let shown = fixture.bearer(&token).map(|caller| caller.principal.to_string());
        assert_eq!(shown, expected.map(str::to_owned));
    }
    // a route that takes one of them, also of what is in the cache
    let token = format!("Bearer {}", EC.token(&others("other-api")));
    assert!(fixture.ask(&token, NOW).is_ok());
    let only = fixture.rule.clone().issued_by([ISSUER.to_owned()]);
    assert_eq!(fixture.ask_as(&only, &token, at(NOW)), Err(UnknownIssuer));
    assert!(fixture.ask_as(&only, &format!("Bearer {}", RSA.token(&claims())), at(NOW)).is_ok());
}

#[test]
fn evidence_of_every_kind() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens.ndjson");
    let hash = |token: &str| {
        use sha2::Digest as _;
        sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let line = json!({"sha256": hash("opaque"), "token": "Fleet::ApiToken::\"t\"", "kind": "user_api", "user": "Fleet::User::\"bob\""});
    std::fs::write(&tokens, line.to_string()).unwrap();
    let fixture = Fixture::with_keys(&key_set(&[&ED]), |section| {
        section["api_tokens"] = json!({"file": tokens});
        section["peer"] = json!({
            "header": "X-Forwarded-Client-Cert",
            "principals": [{"uri": "spiffe://prod/{name}", "principal": "Fleet::Service::\"{name}\""}],
        });
    });
    let jwt = ED.token(&claims());
    let mut rules = Vec::new();
    for kind in [CredentialKind::Jwt, CredentialKind::Opaque, CredentialKind::Any] {
        let settings = crate::config::CredentialSettings {
            header: "authorization".to_owned(),
            schemes: vec![("Bearer".to_owned(), kind)],
            rivals: vec![],
        };
        rules.push(Rule::new(&settings));
    }
    let [only_jwt, only_opaque, any] = <[Rule; 3]>::try_from(rules).unwrap();
    let either = any.clone().accepting(Accept::Either);
    let (bearer_jwt, bearer_opaque) = (format!("Bearer {jwt}"), "Bearer opaque".to_owned());
    let one = |value: &'static str| Credential::One(value.as_bytes());
    let (jwt, opaque) = (Credential::One(bearer_jwt.as_bytes()), Credential::One(bearer_opaque.as_bytes()));
    let (known, stranger) = (Peer::Header(b"URI=spiffe://prod/web"), Peer::Principal("spiffe://test/web"));
    let (alice, bob, web) = (Ok("alice"), Ok("bob"), Ok("web"));
    for (rule, credential, peer, expected) in [
        (&only_jwt, jwt, Peer::Absent, alice),
        (&only_jwt, opaque, Peer::Absent, Err(MalformedToken)),
        (&only_opaque, opaque, Peer::Absent, bob),
        (&only_opaque, jwt, Peer::Absent, Err(UnknownToken)),
        (&any, jwt, Peer::Absent, alice),
        (&any, opaque, Peer::Absent, bob),
        (&any, one("Bearer other"), Peer::Absent, Err(UnknownToken)),
        (&any, Credential::Absent, known, Err(MissingCredential)),
        (&any, Credential::Repeated, known, Err(RepeatedCredential)),
        (&either, Credential::Absent, known, web),
        (&either, Credential::Absent, Peer::Absent, Err(MissingCredential)),
        (&either, opaque, known, bob),
        // a bad credential is not skipped
        (&either, one("Bearer other"), known, Err(UnknownToken)),
        (&either, Credential::Repeated, known, Err(RepeatedCredential)),
        (&either, Credential::Absent, Peer::Principal("spiffe://prod/web"), web),
        (&either, Credential::Absent, stranger, Err(UnknownPeer)),
        (&either, Credential::Absent, Peer::Repeated, Err(MalformedPeer)),
        (&any.clone().accepting(Accept::Peer), opaque, Peer::Absent, Err(MissingPeer)),
        (&any.clone().accepting(Accept::Peer), opaque, known, web),
    ] {
        let result = fixture.identity.authenticate(rule, credential, peer, at(NOW));
        let shown = result.map(|caller| caller.unwrap().principal.id.to_string()).map_err(|error| error.code);
        assert_eq!(shown, expected.map(str::to_owned), "{rule:?} {credential:?} {peer:?}");
    }
    // a token that is in the cache is still no API token
    assert_eq!(fixture.ask_as(&only_opaque, &bearer_jwt, at(NOW)), Err(UnknownToken));
    let public = fixture.identity.authenticate(&Rule::public(), Credential::Repeated, Peer::Repeated, at(NOW));
    assert_eq!(public.unwrap(), None);
}

#[test]
fn a_peer_header_without_the_setting_is_not_read() {
    let fixture = Fixture::with_keys(&key_set(&[&ED]), |section| {
        section["peer"] = json!({"principals": [{"uri": "spiffe://prod/web", "principal": "Fleet::Service::\"web\""}]});
    });
    let rule = fixture.rule.clone().accepting(Accept::Peer);
    let ask =
        |peer| fixture.identity.authenticate(&rule, Credential::Absent, peer, at(NOW)).map_err(|error| error.code);
    assert_eq!(ask(Peer::Header(b"URI=spiffe://prod/web")), Err(MissingPeer));
    let caller = ask(Peer::Principal("spiffe://prod/web")).unwrap().unwrap();
    assert_eq!((&*caller.principal.id, &*caller.method), ("web", "mtls"));
}
