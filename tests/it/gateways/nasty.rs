//! Targets that programs read differently, raw through each gateway: what the service sees is what was allowed.

use super::client::{Reply, Say, Speak, say};
use super::http2;
use super::stand::Stand;
use crate::support::Server;

/// Besides the 37: hosts and targets, for what a URL as the target does where its host is the right one, or only its
/// host is, and what is cut off behind it.
const MORE: [(&str, &str); 4] = [
    ("nasty.test", "http://nasty.test/admin"),
    ("nasty.test", "http://nasty.test/pub/../admin"),
    ("nasty.test", "http://nasty.test//admin?x"),
    ("other.test", "http://nasty.test/admin"),
];

/// Sends them all; how many of the 37 passed, over each HTTP that the gateway takes.
pub(super) fn run(stand: &Stand<'_>) -> Vec<usize> {
    let ways: &[Speak] = if stand.gateway.http2 { &[say, http2::say] } else { &[say] };
    ways.iter().map(|speak| run_over(stand, *speak)).collect()
}

fn run_over(stand: &Stand<'_>, speak: Speak) -> usize {
    let text = std::fs::read_to_string(Server::project("tests/it/gateway/nasty_targets.json")).unwrap();
    let targets: Vec<String> = serde_json::from_str(&text).unwrap();
    assert_eq!(targets.len(), 37);
    let passed = targets.iter().filter(|target| try_one(stand, speak, "nasty.test", target)).count();
    for (host, target) in MORE {
        try_one(stand, speak, host, target);
    }
    // plain targets do pass, or all this shows nothing
    assert!(passed >= 6, "only {passed} targets passed {}", stand.told());
    passed
}

/// Whether the service saw it. If it did, the sidecar allowed just that.
fn try_one(stand: &Stand<'_>, speak: Speak, host: &str, target: &str) -> bool {
    let mark = stand.tap.mark();
    let reply = speak(stand.addr(), &Say { host, ..Say::get(target) });
    let seen = stand.upstream.take();
    let asked = stand.tap.since(&mark);
    if stand.again(reply.as_ref(), seen.len()) {
        return try_one(stand, speak, host, target);
    }
    let about = || format!("{target} of {host}: {reply:?}\nasked {asked:?}\nseen {seen:?}\n{}", stand.told());
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
