//! A sidecar in this process, on ports of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use palisade::app::App;
use palisade::config::{self, ListenAddr, Settings};
use palisade::telemetry::Listener;
use palisade::transport::Services;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Client;
use super::patience::{PATIENCE, join};

/// A running sidecar. It stops when dropped.
pub(crate) struct Server {
    /// Port 0 where it is a Unix socket.
    pub decisions: SocketAddr,
    /// Port 0 where it is a Unix socket.
    pub admin: SocketAddr,
    addresses: Vec<(Listener, ListenAddr)>,
    pub services: Arc<Services>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The project's own bundle: four products, 223 entities.
pub(crate) fn fleet() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    json!({ "policies": root.join("policies"), "entities": root.join("entities") })
}

/// Settings as the command line would make them, with ports of their own and a quiet log.
pub(crate) fn settings(flags: &Value) -> Settings {
    let mut tree = json!({
        "policies": "/nonexistent", "entities": "/nonexistent",
        "listen": { "decisions": "127.0.0.1:0", "admin": "127.0.0.1:0", "grpc": "off" },
        "reload": { "quiet": "20ms" },
        "load": { "vanish_quiet": "40ms" },
        "shutdown": { "grace": "5s" },
    });
    merge(&mut tree, flags);
    config::load(None, std::iter::empty(), tree).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

impl Server {
    /// Starts with these configuration keys over the defaults of the tests. It may not be ready yet.
    pub(crate) fn start(flags: Value) -> Self {
        let server = Self::start_anywhere(flags);
        assert!(server.decisions.port() != 0 && server.admin.port() != 0);
        server
    }

    /// The same, on TCP or Unix sockets.
    pub(crate) fn start_anywhere(flags: Value) -> Self {
        let settings = settings(&flags);
        let (stop, stopped) = watch::channel(false);
        let (started, ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let app = App::start(settings).await.expect("the sidecar starts");
                started.send((app.addresses(), app.services().clone())).unwrap();
                app.run(stopped).await;
            });
        });
        let (addresses, services) = ready.recv_timeout(PATIENCE).expect("the sidecar starts");
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { decisions: unset, admin: unset, addresses, services, stop, thread: Some(thread) };
        server.decisions = server.find(Listener::Decisions).unwrap_or(unset);
        server.admin = server.find(Listener::Admin).unwrap_or(unset);
        server
    }

    /// What a path of the admin listener answers while no thread of the sidecar's runtime does anything.
    pub(crate) fn admin_while_busy(flags: Value, path: &'static str) -> u16 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let app = App::start(settings(&flags)).await.expect("the sidecar starts");
            let admin = tcp(&app.addresses(), Listener::Admin).unwrap();
            let (stop, stopped) = watch::channel(false);
            let running = tokio::spawn(app.run(stopped));
            // the listeners begin when it is polled; from then on the only thread waits for the answer
            tokio::task::yield_now().await;
            let status = join(thread::spawn(move || Client::new(admin).get(path).status));
            stop.send_replace(true);
            running.await.unwrap();
            status
        });
        drop(runtime);
        status
    }

    fn find(&self, wanted: Listener) -> Option<SocketAddr> {
        tcp(&self.addresses, wanted)
    }

    /// The TCP address of a listener.
    pub(crate) fn addr(&self, listener: Listener) -> SocketAddr {
        self.find(listener).expect("the listener is configured")
    }

    /// Starts and waits until it is ready.
    pub(crate) fn ready(flags: Value) -> Self {
        let server = Self::start(flags);
        server.until("ready", |server| server.services.unready().is_empty());
        server
    }

    /// A client of the decision listener.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.decisions)
    }

    /// A client of the admin listener.
    pub(crate) fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    /// Waits until `condition` holds, for at most half a minute.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self) {
            assert!(Instant::now() < deadline, "not {what}: {}", self.admin().get("/v1/status").text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to stop, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// The path of a file of the project.
    pub(crate) fn project(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }
}

/// The TCP address of a listener among these.
fn tcp(addresses: &[(Listener, ListenAddr)], wanted: Listener) -> Option<SocketAddr> {
    addresses.iter().find_map(|(listener, addr)| match addr {
        ListenAddr::Tcp(addr) if *listener == wanted => Some(*addr),
        _ => None,
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            join(thread);
        }
    }
}

/// The questions of the published scenarios over the project's own bundle.
pub(crate) fn fleet_questions() -> Vec<Value> {
    let text = std::fs::read_to_string(Server::project("policies/tests/scenarios.json")).unwrap();
    let scenarios: Vec<Value> = serde_json::from_str(&text).unwrap();
    scenarios.into_iter().map(|scenario| scenario["request"].clone()).collect()
}
