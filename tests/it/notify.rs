//! The service manager is informed: `sd_notify`'s protocol, over a socket that the test holds in systemd's place.

#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::{Process, command, serve_with, workspace, write_policy};

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long none must come.
const QUIET: Duration = Duration::from_millis(500);

/// The manager's end of the socket, and the name that a service is given.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn at(path: &Path) -> Self {
        Self { socket: UnixDatagram::bind(path).unwrap(), name: path.to_str().unwrap().to_owned() }
    }

    fn in_the_abstract(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        Self { socket: UnixDatagram::bind_addr(&address).unwrap(), name: format!("@{name}") }
    }

    /// The next message that has a line which begins so; those before it are skipped, but for a `but`.
    fn next(&self, line: &str, but: &str) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let message = self.within(PATIENCE)?;
            assert!(but.is_empty() || !message.contains(but), "{message}");
            if message.lines().any(|it| it.starts_with(line)) {
                return Some(message);
            }
        }
        None
    }

    fn within(&self, time: Duration) -> Option<String> {
        let mut message = [0; 4096];
        self.socket.set_read_timeout(Some(time)).unwrap();
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }
}

/// A sidecar that a manager started. It is killed when dropped.
struct Service(Child);

impl Service {
    fn start(dir: &Path, settings: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(dir);
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        serve_with(&mut command, settings);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_manager_follows_a_service_through_its_life() {
    let dir = workspace();
    let path = Manager::at(&dir.path().join("notify"));
    let name = format!("palisade-test-{}", std::process::id());
    for manager in [path, Manager::in_the_abstract(&name)] {
        std::fs::write(dir.path().join("policies/p.cedar"), "permit (").unwrap();
        let mut service = Service::start(dir.path(), &["shutdown.delay=2s"], &[("NOTIFY_SOCKET", &manager.name)]);
        let waiting = manager.next("STATUS=not ready: no bundle loaded", "READY=1").unwrap();
        assert!(!waiting.contains("READY"), "{waiting}");
        service.signal("HUP");
        let early = manager.within(QUIET).unwrap_or_default();
        assert!(!early.contains("RELOADING"), "before it is ready there is nothing to load again: {early}");

        write_policy(dir.path(), "alice");
        let ready = manager.next("READY=1", "").expect("it becomes ready");
        assert!(ready.contains("STATUS=ready, revision ") && ready.ends_with('\n'), "{ready}");

        service.signal("HUP");
        let reloading = manager.next("RELOADING=1", "READY=1").expect("it obeys");
        let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(at.parse::<u64>().unwrap() > 0, "{reloading}");
        manager.next("READY=1", "RELOADING").expect("the load ends");

        // a load that fails ends too, and what served before still serves
        std::fs::write(dir.path().join("policies/p.cedar"), "permit (").unwrap();
        service.signal("HUP");
        manager.next("RELOADING=1", "").unwrap();
        manager.next("READY=1", "").unwrap();

        service.signal("TERM");
        manager.next("STOPPING=1", "READY=1").expect("the end is announced");
        assert!(service.0.try_wait().unwrap().is_none(), "while it still answers");
        drop(service);
        while manager.within(Duration::from_millis(1)).is_some() {}
    }
}

#[test]
fn signs_of_life_come_where_the_watchdog_wants_them() {
    let dir = workspace();
    let manager = Manager::at(&dir.path().join("notify"));
    let common = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", "400000")];
    let service = Service::start(dir.path(), &[], &common);
    for sign in 0..5 {
        manager.next("WATCHDOG=1", "").unwrap_or_else(|| panic!("no sign {sign}"));
    }
    drop(service);
    while manager.within(Duration::from_millis(1)).is_some() {}
    // meant for another process
    let another = [common.as_slice(), &[("WATCHDOG_PID", "1")]].concat();
    let _service = Service::start(dir.path(), &[], &another);
    manager.next("READY=1", "WATCHDOG").unwrap();
    assert_eq!(manager.within(QUIET), None);
}

#[test]
fn a_manager_that_cannot_be_reached_stops_nothing() {
    for name in ["relative", "/nowhere/notify", "vsock:1:2", ""] {
        let dir = workspace();
        let mut serve = command(dir.path());
        serve.env("NOTIFY_SOCKET", name);
        let settings =
            ["listen.decisions=127.0.0.1:0", "listen.admin=127.0.0.1:0", "listen.grpc=off", "validation=off"];
        let process = Process::serve(&mut serve, dir, &settings);
        let warned = process.log().contains("`NOTIFY_SOCKET`");
        assert_eq!(warned, matches!(name, "relative" | "vsock:1:2"), "{name}: {}", process.log());
    }
}
