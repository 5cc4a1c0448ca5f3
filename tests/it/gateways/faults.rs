//! A sidecar that changes its mind under load, hangs, is gone, and comes back: nothing passes that was not allowed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Say, say};
use super::http2;
use super::run::{Around, Running, Setting};
use super::stand::Stand;
use super::table::Gateway;
use super::tap::Words;
use crate::support::gate::bearer;

pub(super) fn run(stand: &mut Stand<'_>) {
    let ann = bearer("ann");
    reloads(stand, &ann);
    hangs(stand, &ann);
    is_gone(stand, &ann);
}

fn status(stand: &Stand<'_>, ann: &str, target: &str) -> Option<u16> {
    let asked = Say { host: "reload.test", ..Say::get(target) }.with("Authorization", ann);
    loop {
        let reply = say(stand.addr(), &asked);
        if !stand.again(reply.as_ref(), 0) {
            return reply.map(|reply| reply.status);
        }
    }
}

/// Routes come and go while requests are under way: no error, and never more than one of the two tables allows.
fn reloads(stand: &Stand<'_>, ann: &str) {
    let table = |path: &str| {
        let route = |path: &str| format!("  - match: GET {path}\n    action: view\n    resource: Doc::d\n");
        let text = format!("hosts: [reload.test]\nroutes:\n{}{}", route("/always"), route(path));
        // whole or not at all
        std::fs::write(stand.sidecar.path("reload.tmp"), text).unwrap();
        std::fs::rename(stand.sidecar.path("reload.tmp"), stand.sidecar.path("routes/reload.yaml")).unwrap();
        stand.sidecar.until("reloaded", |_| status(stand, ann, path) == Some(200));
    };
    table("/a");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                for (target, may) in
                    [("/always", &[200][..]), ("/a", &[200, 403]), ("/b", &[200, 403]), ("/never", &[403])]
                {
                    let got = status(stand, ann, target);
                    assert!(got.is_some_and(|got| may.contains(&got)), "{target}: {got:?}\n{}", stand.told());
                }
                asked += 1;
            }
            asked
        });
        for round in 0..4 {
            let (now, before) = if round % 2 == 0 { ("/b", "/a") } else { ("/a", "/b") };
            table(now);
            // one table is active, not both
            assert_eq!(status(stand, ann, before), Some(403), "{}", stand.told());
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 0);
    });
    assert!(stand.upstream.take().iter().all(|seen| seen.target != b"/never"));
}

/// A request without a decision: what the client hears, if anything, is no success, and the service sees nothing.
fn fails_closed(stand: &Stand<'_>, ann: &str, what: &str, wait: Duration, status: u16) {
    for target in ["/d/7", "/open"] {
        let begun = Instant::now();
        let (reply, seen) = stand.ask(&Say { wait, ..Say::get(target) }.with("Authorization", ann));
        let about = || format!("{what}: {target}: {reply:?} {seen:?} after {:?}\n{}", begun.elapsed(), stand.told());
        assert!(seen.is_empty() && !reply.as_ref().is_some_and(|reply| reply.is_success()), "{}", about());
        // who waits for ever fails closed too, but keeps the client waiting
        let heard = reply.as_ref().map(|reply| reply.status);
        assert!(heard == Some(status) || (heard.is_none() && stand.gateway.patience.is_none()), "{}", about());
    }
    if stand.gateway.http2 {
        // a gateway may report the failure as a gRPC status, with a 200
        let call = Say { method: "POST", body: &[0; 5], wait, ..Say::get("/pkg.Svc/Get") }.with("Authorization", ann);
        let call = call.with("Content-Type", "application/grpc").with("TE", "trailers").with("Content-Length", "5");
        let reply = http2::say(stand.addr(), &call);
        let seen = stand.upstream.take();
        assert!(seen.is_empty(), "{what}: a gRPC call: {reply:?} {seen:?}\n{}", stand.told());
    }
}

/// More connections than the sidecar takes: a request that waits for one in vain is denied, and none passes unasked.
pub(super) fn overload(gateway: &Gateway, program: &Path) {
    let setting = Setting { sidecar: json!({"http": {"max_connections": 2}}), ..Setting::default() };
    let stand = Stand::with(gateway, program, setting);
    let ann = bearer("ann");
    let sidecar = stand.sidecar.listener(gateway.words.listener());
    // they say nothing, and hold their places
    let held: Vec<_> = (0..8).filter_map(|_| std::net::TcpStream::connect(sidecar).ok()).collect();
    let wait = gateway.patience.unwrap_or(Duration::from_secs(3));
    let mark = stand.tap.mark();
    let passed = thread::scope(|scope| {
        let ask = |at: usize| {
            let (addr, ann) = (stand.addr(), &ann);
            scope.spawn(move || {
                let (target, known) = [("/d/7", true), ("/d/7", false), ("/d/closed", true), ("/none", true)][at % 4];
                let say = Say { wait, ..Say::get(target) };
                let say = if known { say.with("Authorization", ann) } else { say };
                let reply = if gateway.http2 && at % 8 > 3 {
                    let call = Say { method: "POST", target: "/pkg.Svc/closed", ..say };
                    let call = call.with("Content-Type", "application/grpc").with("TE", "trailers");
                    http2::say(addr, &call);
                    return false;
                } else {
                    super::client::say(addr, &say)
                };
                reply.is_some_and(|reply| reply.is_success())
            })
        };
        let asking: Vec<_> = (0..24).map(ask).collect();
        asking.into_iter().map(|one| one.join().unwrap()).filter(|passed| *passed).count()
    });
    let (seen, asked) = (stand.upstream.take(), stand.tap.since(&mark));
    let allowed = asked.iter().filter(|asked| asked.allowed).count();
    let about = || format!("{passed} passed, {allowed} allowed, {seen:?}\n{}", stand.told());
    assert!(seen.len() <= allowed && passed <= seen.len(), "{}", about());
    assert!(
        seen.iter().all(|seen| seen.target == b"/d/7" && !seen.like("x-palisade-principal").is_empty()),
        "{}",
        about()
    );
    drop(held);
    passes_again(&stand, &ann, "after the overload");
}

/// Each request has a target of its own: one that was allowed as its client gave up may reach the service late.
fn passes_again(stand: &Stand<'_>, ann: &str, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    for attempt in 0.. {
        let target = format!("/d/again-{attempt}");
        let (reply, seen) = stand.ask(&Say::get(&target).with("Authorization", ann));
        let seen: Vec<_> = seen.into_iter().filter(|seen| seen.target == target.as_bytes()).collect();
        if reply.is_some_and(|reply| reply.is_success()) {
            assert_eq!(seen.len(), 1, "{what}: {seen:?}");
            return;
        }
        assert!(seen.is_empty(), "{what}: {seen:?}\n{}", stand.told());
        assert!(Instant::now() < deadline, "{what}: {}", stand.told());
        thread::sleep(Duration::from_millis(50));
    }
}

fn hangs(stand: &Stand<'_>, ann: &str) {
    stand.sidecar.signal("STOP");
    // it stops thread by thread
    stand.sidecar.until("stopped", |sidecar| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", sidecar.pid())).unwrap();
        let states = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default());
        states.into_iter().all(|status| status.contains("State:\tT"))
    });
    fails_closed(
        stand,
        ann,
        "it hangs",
        stand.gateway.patience.unwrap_or(Duration::from_secs(2)),
        stand.gateway.faults.1,
    );
    stand.sidecar.signal("CONT");
    // what was asked meanwhile is answered now, and must not be taken for the answer to anything else
    assert_eq!(stand.settle(&Say::get("/d/7")).0.map(|reply| reply.status), Some(401), "{}", stand.told());
    passes_again(stand, ann, "after it hung");
}

fn is_gone(stand: &mut Stand<'_>, ann: &str) {
    stand.sidecar.signal("KILL");
    stand.tap.down();
    fails_closed(stand, ann, "it is gone", Duration::from_secs(5), stand.gateway.faults.0);
    stand.restart();
    passes_again(stand, ann, "after a restart");
    let (reply, seen) = stand.settle(&Say::get("/d/closed").with("Authorization", ann));
    assert_eq!((reply.map(|reply| reply.status), seen.len()), (Some(403), 0), "{}", stand.told());
}

/// A gateway that is pointed at something else of the sidecar's: another path, or another listener.
pub(super) fn mistyped(stand: &Stand<'_>, program: &Path) {
    let ann = bearer("ann");
    let (sidecar, changes) = match stand.gateway.words {
        Words::Grpc => (stand.sidecar.decisions, &[][..]),
        _ => (stand.tap.addr, &[("/gateway/", "/nonsense/")][..]),
    };
    let setting = Setting { changes, mistaken: true, ..Setting::default() };
    let around = Around { sidecar, service: stand.upstream.addr, setting: &setting };
    let wrong = Running::start(stand.gateway, program, around);
    for target in ["/d/7", "/open"] {
        let reply = say(wrong.addr, &Say::get(target).with("Authorization", &ann));
        let seen = stand.upstream.take();
        assert!(
            reply.as_ref().is_some_and(|reply| !reply.is_success()) && seen.is_empty(),
            "{reply:?} {seen:?}\n{}",
            wrong.log()
        );
    }
}
