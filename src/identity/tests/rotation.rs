//! Keys that change, that are missing, that come late: by file and by URL.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::*;
use crate::identity::AuthCode::*;
use crate::identity::*;
use crate::telemetry::{IdentitySource, ReloadResult};

/// Keys from a URL, with times short enough for a test.
fn by_url(url: &str, jwks: Value) -> Fixture {
    let mut section = json!({"url": url, "refresh": "1h", "min_refresh": "10ms", "timeout": "2s"});
    for (key, value) in jwks.as_object().unwrap() {
        section[key] = value.clone();
    }
    Fixture::of(json!({"issuers": [issuer(section)]}))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// As the transport asks: patiently.
async fn patient(fixture: &Fixture, token: &str, patience: Duration) -> Result<String, AuthCode> {
    let value = format!("Bearer {token}");
    let credential = Credential::One(value.as_bytes());
    let result = fixture
        .identity
        .authenticate_patiently(&fixture.rule, credential, Peer::Absent, Now::read(), Instant::now() + patience)
        .await;
    result.map(|caller| caller.unwrap().principal.id.to_string()).map_err(|error| error.code)
}

/// Claims that are good by the real clock.
fn real_claims() -> Value {
    let now = Now::read().unix();
    with(json!({"exp": now + 300, "iat": now}))
}

#[test]
fn a_file_that_changes_changes_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, key_set(&[&ED]).to_string()).unwrap();
    let fixture = Fixture::of(json!({"issuers": [issuer(json!({"file": path}))]}));
    let (old, new) = (ED.token(&claims()), EC.token(&claims()));
    assert!(fixture.bearer(&old).is_ok());
    assert_eq!(fixture.bearer(&new), Err(UnknownKey));
    // what is in the cache falls with the key that it was verified with
    std::fs::write(&path, key_set(&[&EC]).to_string()).unwrap();
    eventually("the new key", || fixture.bearer(&new).is_ok());
    assert_eq!(fixture.bearer(&old), Err(UnknownKey));
    // a broken file changes nothing
    std::fs::write(&path, "{\"keys\":[").unwrap();
    let bad = || fixture.metrics.identity_reloads(IdentitySource::Jwks, ReloadResult::Bad).get();
    eventually("the refusal", || bad() > 0);
    assert!(fixture.bearer(&new).is_ok());
    assert!(fixture.identity.status(at(NOW))[0].problem.as_ref().unwrap().contains("not a key set"));
    std::fs::write(&path, key_set(&[&EC, &ED]).to_string()).unwrap();
    eventually("both keys", || fixture.bearer(&old).is_ok());
    assert_eq!(fixture.identity.status(at(NOW))[0].problem, None);
}

#[test]
fn api_tokens_that_are_taken_out_are_refused() {
    use sha2::Digest as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let line = |token: &str| {
        let hash: String = sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"sha256": hash, "token": format!("Fleet::ApiToken::\"{token}\""), "kind": "cloud_api"}).to_string()
    };
    std::fs::write(&path, format!("{}\n{}\n", line("a"), line("b"))).unwrap();
    let fixture = Fixture::of(json!({"api_tokens": {"file": path}}));
    let ask = |token: &str| fixture.ask(&format!("apitoken {token}"), NOW).err();
    assert_eq!((ask("a"), ask("b"), ask("c")), (None, None, Some(UnknownToken)));
    std::fs::write(&path, line("b")).unwrap();
    eventually("the loss of a", || ask("a") == Some(UnknownToken));
    assert_eq!(ask("b"), None);
    std::fs::write(&path, "nonsense").unwrap();
    let bad = || fixture.metrics.identity_reloads(IdentitySource::ApiTokens, ReloadResult::Bad).get();
    eventually("the refusal", || bad() > 0);
    assert_eq!(ask("b"), None, "what was active stays");
    let before = bad();
    std::fs::write(&path, "").unwrap();
    eventually("another refusal", || bad() > before);
    assert_eq!(ask("b"), None, "an emptied file takes no token out");
    std::fs::write(&path, "{}").unwrap();
    eventually("the loss of all", || ask("b").is_some());
}

/// A file is written again in pieces, each a whole line, with pauses: no token that is in both is ever refused.
#[test]
fn a_token_file_that_is_half_written_refuses_no_token() {
    use std::io::Write as _;
    let token_line = |token: &str| {
        use sha2::Digest as _;
        let hash: String = sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"sha256": hash, "token": format!("Fleet::ApiToken::\"{token}\""), "kind": "cloud_api"}).to_string()
            + "\n"
    };
    type Open = fn(&std::path::Path) -> std::fs::File;
    let cut: Open = |path| std::fs::File::create(path).unwrap();
    let appended: Open = |path| std::fs::OpenOptions::new().append(true).open(path).unwrap();
    // with the file kept open, and opened for each line
    for (how, kept) in [("kept open", true), ("opened for each line", false)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, ["a", "b", "c"].map(token_line).concat()).unwrap();
        let fixture = Fixture::of(json!({"api_tokens": {"file": path}}));
        let ask = |token: &str| fixture.ask(&format!("apitoken {token}"), NOW).err();
        // longer than before once it is whole, and already while it is not
        let long: Vec<String> = (0..8).map(|n| format!("new-{n}")).collect();
        let mut file = cut(&path);
        let mut told = Vec::new();
        for line in long.iter().map(String::as_str).chain(["a", "b", "c"]) {
            file.write_all(token_line(line).as_bytes()).unwrap();
            if !kept {
                drop(file);
                file = appended(&path);
            }
            for _ in 0..4 {
                std::thread::sleep(Duration::from_millis(50));
                assert_eq!((ask("a"), ask("b"), ask("c")), (None, None, None), "{how}: at {line}");
                told.extend(fixture.identity.degraded());
            }
        }
        drop(file);
        eventually("the new tokens", || ask("new-0").is_none());
        assert_eq!((ask("a"), ask("c")), (None, None), "{how}");
        assert!(told.iter().any(|told| told.contains("what was read before stays active")), "{how}: {told:?}");
        eventually("all well", || fixture.identity.degraded().is_empty());
        let bad = fixture.metrics.identity_reloads(IdentitySource::ApiTokens, ReloadResult::Bad).get();
        assert_eq!(bad, 0, "{how}");
    }
}

#[test]
fn files_that_cannot_be_used_keep_it_from_starting_and_all_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.json");
    std::fs::write(&bad, "{}").unwrap();
    let section = json!({
        "issuers": [issuer(json!({"file": bad}))],
        "api_tokens": {"file": directory.path().join("none")},
    });
    let problems = Identity::start(&settings(section), Arc::new(Metrics::new().unwrap())).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(shown.len() == 2 && shown[0].contains("bad.json") && shown[1].contains("cannot be read"), "{shown:?}");
    let mut keys = issuer(json!({"url": "https://id.example.com/jwks", "ca_file": bad}));
    keys["issuer"] = "x".into();
    let problems =
        Identity::start(&settings(json!({"issuers": [keys]})), Arc::new(Metrics::new().unwrap())).unwrap_err();
    assert!(problems[0].message.contains("no certificate to trust in"), "{problems:?}");
}

#[test]
fn rotation_by_url_is_noticed_by_the_first_token_with_the_new_key() {
    let server = Server::start(&key_set(&[&ED]));
    let fixture = by_url(&server.url(), json!({}));
    runtime().block_on(async {
        let token = ED.token(&real_claims());
        // the first fetch is under way
        assert_eq!(patient(&fixture, &token, Duration::from_secs(5)).await, Ok("alice".to_owned()));
        assert_eq!(server.hits(), 1);
        server.serve(&key_set(&[&EC]));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(patient(&fixture, &EC.token(&real_claims()), Duration::from_secs(5)).await, Ok("alice".to_owned()));
        assert_eq!(server.hits(), 2);
        tokio::time::sleep(Duration::from_millis(20)).await;
        // the old key is gone, from the cache too, and the question for it is the last fetch
        assert_eq!(patient(&fixture, &token, Duration::from_secs(5)).await, Err(UnknownKey));
        assert_eq!(server.hits(), 3);
    });
}

#[test]
fn a_storm_of_unknown_keys_costs_one_fetch() {
    let server = Server::start(&key_set(&[&ED]));
    let fixture = by_url(&server.url(), json!({"min_refresh": "1h"}));
    eventually("the first fetch", || fixture.identity.is_ready(at(NOW)));
    let hits = server.hits();
    // the first fetch counts: no invented key causes another within `min_refresh`
    runtime().block_on(async {
        for i in 0..200 {
            let header = json!({"alg": "EdDSA", "kid": format!("invented-{i}")}).to_string();
            let token = ED.raw(&header, &real_claims().to_string());
            let start = Instant::now();
            assert_eq!(patient(&fixture, &token, Duration::from_secs(5)).await, Err(UnknownKey));
            assert!(start.elapsed() < Duration::from_secs(1), "refused at once");
        }
    });
    assert_eq!(server.hits(), hits);

    // and where one is allowed, a hundred at a time share it
    let fixture = by_url(&server.url(), json!({"min_refresh": "300ms"}));
    eventually("the first fetch", || fixture.identity.is_ready(at(NOW)));
    std::thread::sleep(Duration::from_millis(350));
    server.answer(|answer| answer.delay = Duration::from_millis(200));
    let hits = server.hits();
    runtime().block_on(async {
        let ask = |i: u32| {
            let header = json!({"alg": "EdDSA", "kid": format!("invented-{i}")}).to_string();
            let token = ED.raw(&header, &real_claims().to_string());
            let fixture = &fixture;
            async move { patient(fixture, &token, Duration::from_secs(5)).await }
        };
        let mut asked = Vec::new();
        for i in 0..100 {
            asked.push(ask(i));
        }
        let mut asked: Vec<_> = asked.into_iter().map(Box::pin).collect();
        // all of them at once, on this task
        std::future::poll_fn(|context| {
            asked.retain_mut(|one| match one.as_mut().poll(context) {
                std::task::Poll::Ready(result) => {
                    assert_eq!(result, Err(UnknownKey));
                    false
                }
                std::task::Poll::Pending => true,
            });
            if asked.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    });
    assert_eq!(server.hits(), hits + 1);
}

#[test]
fn keys_that_cannot_be_had_at_the_start_deny_and_are_retried() {
    // an address at which nothing answers yet
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fixture = by_url(&format!("http://{address}/jwks.json"), json!({}));
    let bad = || fixture.metrics.identity_reloads(IdentitySource::Jwks, ReloadResult::Bad).get();
    eventually("a failure", || bad() > 0);
    assert_eq!(fixture.bearer(&ED.token(&claims())), Err(KeysUnavailable));
    assert!(!fixture.identity.is_ready(at(NOW)));
    assert!(fixture.identity.status(at(NOW))[0].problem.is_some());
    let _server = Server::on(TcpListener::bind(address).unwrap(), &key_set(&[&ED]));
    // the retry needs no question
    eventually("the keys", || fixture.identity.is_ready(at(NOW)));
    assert!(fixture.bearer(&ED.token(&claims())).is_ok());
    assert!(fixture.metrics.authentications(AuthResult::Unavailable).get() > 0);
}

#[test]
fn the_last_good_keys_stay_for_a_while_and_no_longer() {
    let server = Server::start(&key_set(&[&ED]));
    let fixture = by_url(&server.url(), json!({"refresh": "50ms", "max_age": "1h"}));
    let token = format!("Bearer {}", ED.token(&with(json!({"exp": NOW + 100_000}))));
    eventually("the keys", || fixture.ask(&token, NOW).is_ok());
    server.answer(|answer| answer.status = "503 Service Unavailable");
    eventually("a failure", || fixture.identity.status(at(NOW))[0].problem.is_some());
    assert!(fixture.ask(&token, NOW).is_ok());
    let old = Now { instant: Instant::now() + Duration::from_secs(2 * 60 * 60), ..at(NOW) };
    // neither keys nor what the cache holds outlive it
    assert_eq!(fixture.ask_as(&fixture.rule, &token, old), Err(KeysUnavailable));
    assert!(!fixture.identity.is_ready(old));
}

#[test]
fn answers_that_are_no_key_set_change_nothing() {
    let server = Server::start(&key_set(&[&ED]));
    let elsewhere = Server::start(&key_set(&[&FORGER]));
    let fixture = by_url(&server.url(), json!({"refresh": "20ms"}));
    eventually("the keys", || fixture.identity.is_ready(at(NOW)));
    let good = server.answered();
    let bad = || fixture.metrics.identity_reloads(IdentitySource::Jwks, ReloadResult::Bad).get();
    let huge = format!("{{\"keys\":[{}]}}", " ".repeat(300 * 1024)).into_bytes();
    for (status, headers, body) in [
        ("200 OK", String::new(), b"<html>not found</html>".to_vec()),
        ("200 OK", String::new(), Vec::new()),
        ("200 OK", String::new(), huge),
        ("200 OK", String::new(), key_set(&[&FORGER]).to_string().replace("RSA", "oct").into_bytes()),
        ("201 Created", String::new(), key_set(&[&FORGER]).to_string().into_bytes()),
        ("404 Not Found", String::new(), key_set(&[&FORGER]).to_string().into_bytes()),
        ("302 Found", format!("location: {}\r\n", elsewhere.url()), Vec::new()),
    ] {
        server.answer(|answer| *answer = Answer { status, headers, body, delay: Duration::ZERO });
        let before = bad();
        eventually(status, || bad() > before);
        // back to good, so that the next failure comes soon again
        assert!(fixture.bearer(&ED.token(&claims())).is_ok(), "{status}");
        assert!(fixture.bearer(&FORGER.token(&claims())).is_err(), "{status}");
        server.answer(|answer| *answer = good.clone());
        eventually("recovery", || fixture.identity.status(at(NOW))[0].problem.is_none());
    }
    assert_eq!(elsewhere.hits(), 0, "no redirect was followed");
}

#[test]
fn a_slow_server_holds_up_no_caller_for_longer_than_its_patience() {
    let server = Server::start(&key_set(&[&ED]));
    server.answer(|answer| answer.delay = Duration::from_secs(10));
    let fixture = by_url(&server.url(), json!({"timeout": "200ms"}));
    runtime().block_on(async {
        let token = ED.token(&real_claims());
        let start = Instant::now();
        assert_eq!(patient(&fixture, &token, Duration::from_millis(50)).await, Err(KeysUnavailable));
        assert!(start.elapsed() < Duration::from_secs(2));
    });
    eventually("the end of its patience", || fixture.identity.status(at(NOW))[0].problem.is_some());
}
