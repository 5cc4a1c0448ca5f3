//! Who is asking, through each dialect: tokens, API tokens, certificates, and what is too much of them.

use serde_json::json;

use crate::support::gate::{Ask, DIALECTS, Dialect, Gate, bearer, code, get, key_set, token, token_with};

const ROUTES: &str = "
hosts: [a.test]
routes:
  - {match: GET /open, public: true}
  - match: GET /d
    action: view
    resource: Doc::d
  - match: GET /claimed
    action: view
    resource: 'Doc::{claim.org.id}'
";
const OWN_HEADER: &str = "
hosts: [own.test]
credential: {header: x-authorization, scheme: [Bearer, ApiKey]}
routes:
  - match: GET /d
    action: view
    resource: Doc::d
";
const POLICIES: &str = r#"permit (principal, action, resource) unless { principal == Fleet::User::"mallory" };"#;

fn gate(changes: serde_json::Value) -> Gate {
    Gate::with(ROUTES, POLICIES, changes)
}

#[test]
fn credentials_through_every_dialect() {
    let gate = gate(json!({"identity": {"credentials": {"schemes": {"Bearer": "any", "APIToken": "opaque"}}}}));
    gate.write("routes/own.yaml", OWN_HEADER);
    gate.server.until("both files", |server| {
        server.services.pdp.state().load().as_ref().is_some_and(|published| published.routes.routes().len() == 4)
    });
    let ann = bearer("ann");
    let expired = format!("Bearer {}", token_with(json!({"sub": "ann", "exp": 1})));
    let nobody = format!("Bearer {}", token_with(json!({"sub": null})));
    let elsewhere = format!("Bearer {}", token_with(json!({"aud": "other"})));
    let both = format!("{ann}, {ann}");
    let (ann, both) = (ann.as_str(), both.as_str());
    let key = format!("ApiKey {}", token("ann"));
    for dialect in DIALECTS {
        for (host, headers, expected) in [
            ("a.test", &[("authorization", ann)][..], "Fleet::User::\"ann\""),
            ("a.test", &[("Authorization", ann), ("cookie", "a=b")], "Fleet::User::\"ann\""),
            ("a.test", &[("authorization", "APIToken secret")], "Fleet::User::\"u-dk-fda-dm\""),
            ("a.test", &[("authorization", "Bearer capi-secret")], "Fleet::ApiToken::\"capi\""),
            ("a.test", &[], "401 missing_credential"),
            ("a.test", &[("authorization", "")], "401 missing_credential"),
            ("a.test", &[("authorization", ann), ("authorization", ann)], "401 repeated_credential"),
            ("a.test", &[("authorization", both)], "401 repeated_credential"),
            ("a.test", &[("authorization", ann), ("x-authorization", "Bearer x")], "401 repeated_credential"),
            ("a.test", &[("authorization", ann), ("x_authorization", "Bearer x")], "401 repeated_credential"),
            ("a.test", &[("x-authorization", ann)], "401 missing_credential"),
            ("a.test", &[("authorization", "Basic YTpi")], "401 unsupported_scheme"),
            ("a.test", &[("authorization", "APIToken other")], "401 unknown_token"),
            ("a.test", &[("authorization", &expired)], "401 token_expired"),
            ("a.test", &[("authorization", &nobody)], "401 missing_claim"),
            ("a.test", &[("authorization", &elsewhere)], "401 wrong_audience"),
            ("own.test", &[("x-authorization", ann)], "Fleet::User::\"ann\""),
            ("own.test", &[("x-authorization", &key)], "Fleet::User::\"ann\""),
            ("own.test", &[("x-authorization", "APIToken secret")], "401 unsupported_scheme"),
            ("own.test", &[("authorization", ann)], "401 missing_credential"),
            ("own.test", &[("x-authorization", ann), ("authorization", ann)], "401 repeated_credential"),
        ] {
            let answer = get(host, "/d", headers).send(gate.addr(), dialect);
            let got = match answer.status {
                200 => answer.header("x-palisade-principal").unwrap_or_default().to_owned(),
                status => format!("{status} {}", code(&answer)),
            };
            assert_eq!(got, expected, "{dialect:?} {host} {headers:?}");
            if answer.status == 401 {
                let challenge = answer.header("www-authenticate").unwrap();
                let scheme = if host == "own.test" { "ApiKey realm=" } else { "APIToken realm=" };
                assert!(challenge.contains(scheme) && challenge.contains("Bearer realm="), "{challenge}");
            }
        }
        let mallory = bearer("mallory");
        assert_eq!(get("a.test", "/d", &[("authorization", &mallory)]).send(gate.addr(), dialect).status, 403);
        let org = format!("Bearer {}", token_with(json!({"sub": "ann", "org": {"id": "o"}})));
        assert_eq!(get("a.test", "/claimed", &[("authorization", &org)]).send(gate.addr(), dialect).status, 200);
        let answer = get("a.test", "/claimed", &[("authorization", ann)]).send(gate.addr(), dialect);
        assert_eq!((answer.status, code(&answer)), (403, "missing_value".to_owned()));
        // a name that could break a header arrives encoded
        let odd = bearer("a b,\u{e9}\r\nx: y");
        let answer = get("a.test", "/d", &[("authorization", &odd)]).send(gate.addr(), dialect);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("x-palisade-principal"),
            Some("Fleet::User::\"a%20b%2C%C3%A9\\r\\nx:%20y\""),
            "{answer:?}"
        );
        assert_eq!(answer.header("x-palisade-auth-method"), Some("sso"));
        let answer = get("a.test", "/d", &[("authorization", "APIToken secret")]).send(gate.addr(), dialect);
        assert_eq!(answer.header("x-palisade-auth-method"), Some("api_token"));
        assert_eq!(answer.header("x-palisade-token"), Some("Fleet::ApiToken::\"t-ok\""));
    }
}

#[test]
fn without_keys_no_caller_is_known_but_the_sidecar_is_at_fault() {
    // a port that nothing listens on
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gate = gate(json!({"gateway": {"deadline": "200ms"}, "identity": {"issuers": [{
        "issuer": "https://id.example.com", "audiences": ["fleet"],
        "jwks": {"url": format!("http://127.0.0.1:{port}/jwks.json")},
        "claims": {"principal": "Fleet::User::\"{sub}\""},
    }]}}));
    for dialect in DIALECTS {
        let ann = bearer("ann");
        let answer = get("a.test", "/d", &[("authorization", &ann)]).send(gate.addr(), dialect);
        assert_eq!((answer.status, code(&answer)), (dialect.fault(), "keys_unavailable".to_owned()), "{dialect:?}");
        // others are not concerned
        let answer = get("a.test", "/d", &[("authorization", "APIToken secret")]).send(gate.addr(), dialect);
        assert_eq!(answer.status, 200);
        assert_eq!(get("a.test", "/open", &[]).send(gate.addr(), dialect).status, 200);
    }
    // and an operator sees why
    let status = gate.server.admin().get("/v1/status").json();
    let issuer = &status["identity"]["issuers"][0];
    assert_eq!((&issuer["keys"], &issuer["age_seconds"]), (&json!(0), &serde_json::Value::Null), "{status}");
    assert!(issuer["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{status}");
    assert_eq!(status["identity"]["api_tokens"], json!({"count": 2, "problem": null}));
    assert!(status["routes"].as_u64().is_some_and(|routes| routes > 1), "{status}");
}

#[test]
fn without_configured_callers_only_public_routes_pass() {
    let gate = gate(json!({"identity": {"issuers": [], "api_tokens": {"file": null}}}));
    for dialect in DIALECTS {
        assert_eq!(get("a.test", "/open", &[]).send(gate.addr(), dialect).status, 200);
        let ann = bearer("ann");
        for headers in [&[][..], &[("authorization", ann.as_str())]] {
            let answer = get("a.test", "/d", headers).send(gate.addr(), dialect);
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
}

#[test]
fn certificates_are_envoys_to_vouch_for() {
    let peers = |header: serde_json::Value| {
        json!({"identity": {"peer": {
            "header": header,
            "principals": [{"uri": "spiffe://prod/{name}", "principal": "Fleet::Service::\"{name}\""}],
        }}})
    };
    let gate_with = gate(peers(json!("x-forwarded-client-cert")));
    let gate_without = gate(peers(serde_json::Value::Null));
    let (good, bad) = ("By=spiffe://gw;URI=spiffe://prod/billing", "URI=spiffe://other/billing");
    let ann = bearer("ann");
    let name = "x-forwarded-client-cert";
    for (dialect, headers, expected) in [
        (Dialect::Envoy, &[(name, good)][..], "Fleet::Service::\"billing\""),
        (Dialect::Envoy, &[(name, bad)], "401 unknown_peer"),
        (Dialect::Envoy, &[(name, good), (name, good)], "401 malformed_peer"),
        (Dialect::Envoy, &[(name, "URI=spiffe://prod/a,URI=spiffe://prod/b")], "401 malformed_peer"),
        (Dialect::Envoy, &[(name, good), ("authorization", ann.as_str())], "Fleet::User::\"ann\""),
        (Dialect::Envoy, &[(name, good), ("authorization", "Bearer bad")], "401 unknown_token"),
        (Dialect::Envoy, &[], "401 missing_credential"),
        (Dialect::Nginx, &[(name, good)], "401 missing_credential"),
        (Dialect::Forward, &[(name, good)], "401 missing_credential"),
    ] {
        let answer = get("a.test", "/d", headers).send(gate_with.addr(), dialect);
        let got = match answer.status {
            200 => answer.header("x-palisade-principal").unwrap_or_default().to_owned(),
            status => format!("{status} {}", code(&answer)),
        };
        assert_eq!(got, expected, "{dialect:?} {headers:?}");
        let answer = get("a.test", "/d", &[(name, good)]).send(gate_without.addr(), dialect);
        assert_eq!(answer.status, 401, "nobody said that the header is Envoy's: {dialect:?}");
    }
}

#[test]
fn a_key_that_is_withdrawn_counts_for_nothing() {
    let gate = gate(json!({}));
    let ann = bearer("ann");
    let ask = Ask { method: "GET", target: "/d", host: "a.test", headers: &[("authorization", &ann)], body: None };
    assert_eq!(ask.send(gate.addr(), Dialect::Nginx).status, 200);
    let mut keys = key_set();
    keys["keys"][0]["kid"] = json!("other");
    gate.write("jwks.json", &keys.to_string());
    gate.server.until("renewed", |server| ask.send(server.decisions, Dialect::Nginx).status == 401);
}
