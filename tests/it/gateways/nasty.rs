//! Targets that programs read differently, raw through each gateway: what the service sees is what was allowed.

use super::client::{Reply, Say, Speak, say};
use super::http2;
use super::stand::Stand;
use crate::support::Server;

/// Besides the 37: what an absolute target does where the host is the right one, and what is cut off behind it.
const MORE: [&str; 3] = ["http://nasty.test/admin", "http://nasty.test/pub/../admin", "http://nasty.test//admin?x"];

/// Sends them all; how many of the 37 passed, over each HTTP that the gateway takes.
pub fn run(stand: &Stand<'_>) -> Vec<usize> {
    let ways: &[Speak] = if stand.gateway.http2 { &[say, http2::say] } else { &[say] };
    ways.iter().map(|speak| run_over(stand, *speak)).collect()
}

fn run_over(stand: &Stand<'_>, speak: Speak) -> usize {
    let text = std::fs::read_to_string(Server::project("tests/it/gateway/nasty_targets.json")).unwrap();
    let targets: Vec<String> = serde_json::from_str(&text).unwrap();
    assert_eq!(targets.len(), 37);
    let passed = targets.iter().filter(|target| try_one(stand, speak, target)).count();
    for target in MORE {
        try_one(stand, speak, target);
    }
    // what is plain for everybody does pass, or all this shows nothing
    assert!(passed >= 6, "only {passed} targets passed {}", stand.told());
    passed
}

/// Whether the service saw it. If it did, the sidecar allowed just that.
fn try_one(stand: &Stand<'_>, speak: Speak, target: &str) -> bool {
    let mark = stand.tap.mark();
    let reply = speak(stand.addr(), &Say { host: "nasty.test", ..Say::get(target) });
    let seen = stand.upstream.take();
    let asked = stand.tap.since(&mark);
    if stand.again(reply.as_ref(), seen.len()) {
        return try_one(stand, speak, target);
    }
    let about = || format!("{target}: {reply:?}\nasked {asked:?}\nseen {seen:?}\n{}", stand.told());
    let allowed: Vec<_> = asked
        .iter()
        .filter(|asked| asked.allowed)
        .map(|asked| (asked.method.as_str(), asked.target.as_slice(), vec![asked.host.as_str()]))
        .collect();
    let saw = seen.iter().map(|seen| (seen.method.as_str(), seen.target.as_slice(), seen.like("host")));
    let saw: Vec<_> = saw.collect();
    if std::env::var_os("PALISADE_TEST_GATEWAYS_SHOW").is_some() {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let asked: Vec<String> =
            asked.iter().map(|asked| format!("{} {}", text(&asked.target), asked.allowed)).collect();
        let seen: Vec<String> = seen.iter().map(|seen| text(&seen.target)).collect();
        super::tell(&format!(
            "{}\t{target:?}\t{:?}\t{asked:?}\t{seen:?}",
            stand.gateway.name,
            reply.as_ref().map(|it| it.status)
        ));
    }
    assert_eq!(saw, allowed, "the service sees what was allowed, and all of it: {}", about());
    assert!(saw.len() <= 1 && asked.len() <= 1, "{}", about());
    let success = reply.as_ref().is_some_and(Reply::is_success);
    assert_eq!(success, saw.len() == 1, "{}", about());
    success
}
