//! A gateway with the sidecar on one side and a service on the other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::client::{Reply, Say};
use super::run::{Around, Running, Setting};
use super::table::Gateway;
use super::tap::Tap;
use super::upstream::{Seen, Upstream};
use crate::support::gate::flags_with_identity;
use crate::support::process::Process;
use crate::support::server::merge;

/// `gw.test` has a few routes of every kind; `nasty.test` lets everything pass that is not ambiguous.
const ROUTES: &str = "
hosts: [gw.test]
routes:
  - {match: GET /open, public: true}
  - match: GET,POST /d/{id}
    action: view
    resource: Doc::{path.id}
  - match: GET /ws/{id}
    action: view
    resource: Doc::{path.id}
    upgrade: websocket
  - match: GET /from
    action: view
    resource: Doc::{peer.ip}
  - match: GET /q
    action: view
    resource: Doc::{query.device_id}
  - match: POST /m/move
    action: view
    resource: Doc::closed
  - match: POST /m/{id}
    action: view
    resource: Doc::{path.id}
    allow_paths: [trailing_slash]
  - match: POST /pkg.Svc/{method}
    action: call
    resource: Doc::{path.method}
";
/// Another table, for a service whose router takes paths in any case.
const FOLDS: &str = "
hosts: [fold.test]
service: {path_case: ignored}
routes:
  - match: GET /d/{id}
    action: view
    resource: Doc::{path.id}
  - match: GET /d/move
    action: view
    resource: Doc::closed
";
const NASTY: &str = "
hosts: [nasty.test]
routes:
  - {match: 'GET /{path*}', public: true}
  - {match: 'GET /{path*}/', public: true}
";
/// Every call is a POST, and the body says what it is about.
const BODIES: &str = "
hosts: [body.test]
routes:
  - {match: POST /open, public: true}
  - match: POST /doc/get
    action: view
    resource: Doc::{body.id}
  - match: POST /doc/act
    when: body.action is lock
    action: lock
    resource: Doc::{body.id}
  - match: POST /doc/act
    when: body.action is unlock
    action: unlock
    resource: Doc::{body.id}
  - match: POST /doc/list
    each: body.ids
    action: view
    resource: Doc::{each}
  - match: GET,POST /d/{id}
    action: view
    resource: Doc::{path.id}
";
const POLICIES: &str = r#"
@id("ann") permit (principal == Fleet::User::"ann", action, resource) unless { [Doc::"closed", Doc::"10.9.9.9"].contains(resource) };
@id("services") permit (principal is Fleet::Service, action, resource)
    when { [Fleet::Service::"billing", Fleet::Service::"shop/web"].contains(principal) }
    unless { resource == Doc::"closed" };
@id("unlock") forbid (principal, action == Action::"unlock", resource);
"#;

pub(super) struct Stand<'a> {
    pub gateway: &'a Gateway,
    pub sidecar: Process,
    pub tap: Tap,
    pub upstream: Upstream,
    running: Running,
    setting: Setting<'a>,
    retries: AtomicUsize,
}

/// How often a machine may be too busy for the timeouts of the pages, which are short.
const RETRIES: usize = 24;

impl<'a> Stand<'a> {
    pub(super) fn start(gateway: &'a Gateway, program: &Path) -> Self {
        Self::with(gateway, program, Setting::default())
    }

    /// The same, otherwise than the page has it.
    pub(super) fn with(gateway: &'a Gateway, program: &Path, setting: Setting<'a>) -> Self {
        let (sidecar, upstream) = (sidecar(&setting.sidecar), Upstream::start());
        let tap = Tap::start(gateway.words, sidecar.listener(gateway.words.listener()));
        let around = Around { sidecar: tap.addr, service: upstream.addr, setting: &setting };
        let running = Running::start(gateway, program, around);
        let stand = Self { gateway, sidecar, tap, upstream, running, setting, retries: AtomicUsize::new(0) };
        stand.upstream.take();
        stand
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// Sends a request; what the client hears, and what the service saw.
    pub(super) fn ask(&self, what: &Say<'_>) -> (Option<Reply>, Vec<Seen>) {
        let reply = (self.setting.speak)(self.addr(), what);
        (reply, self.upstream.take())
    }

    /// Whether to ask again, because the gateway gave up on the sidecar. It is a denial, and no answer to what is tested.
    pub(super) fn again(&self, reply: Option<&Reply>, seen: usize) -> bool {
        let (gone, hung) = self.gateway.faults;
        let gave_up = seen == 0 && reply.is_none_or(|reply| [gone, hung].contains(&reply.status));
        gave_up && self.retries.fetch_add(1, Ordering::Relaxed) < RETRIES
    }

    /// The same as `ask`, with a sidecar that is there.
    pub(super) fn settle(&self, what: &Say<'_>) -> (Option<Reply>, Vec<Seen>) {
        loop {
            let (reply, seen) = self.ask(what);
            if !self.again(reply.as_ref(), seen.len()) {
                return (reply, seen);
            }
        }
    }

    /// For the message of a failure.
    pub(super) fn told(&self) -> String {
        format!("{}\n{}\n{}", self.gateway.name, self.running.log(), self.sidecar.log())
    }

    /// A sidecar that takes the place of the one that is gone.
    pub(super) fn restart(&mut self) {
        self.sidecar = sidecar(&self.setting.sidecar);
        self.tap.up(self.sidecar.listener(self.gateway.words.listener()));
    }
}

/// A sidecar that knows `ann`, with a directory of its own.
fn sidecar(changes: &Value) -> Process {
    let dir = tempfile::tempdir().unwrap();
    for name in ["policies", "entities", "routes"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    for (name, text) in [
        ("policies/p.cedar", POLICIES),
        ("routes/r.yaml", ROUTES),
        ("routes/nasty.yaml", NASTY),
        ("routes/bodies.yaml", BODIES),
        ("routes/folds.yaml", FOLDS),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    // time enough on a machine that is busy; how long a gateway waits is its own matter
    let mut settings = json!({
        "gateway": {"deadline": "5s"},
        "decision_log": {"sink": dir.path().join("decisions.jsonl")},
    });
    merge(&mut settings, changes);
    std::fs::write(dir.path().join("palisade.yaml"), flags_with_identity(dir.path(), &settings).to_string()).unwrap();
    Process::start(dir, &["listen.grpc=127.0.0.1:0"])
}
