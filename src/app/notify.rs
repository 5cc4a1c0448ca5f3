//! Reports the sidecar's state to the service manager: systemd (`Type=notify`), or any with the same protocol.
//!
//! A message is one datagram to the socket that `NOTIFY_SOCKET` names: ready once decisions can be made, reloading while
//! `SIGHUP` is obeyed, stopping as soon as the drain begins, a line of text for `systemctl status` whenever it changes,
//! and the watchdog's sign of life, which comes from the threads that decide. Nothing waits for the manager: what its
//! socket does not take is sent again.

use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{oneshot, watch};

use crate::transport::Services;

/// How often the sidecar is looked at, and what was not taken is sent again.
const LOOK: Duration = Duration::from_millis(100);

/// How often the end is announced again to a manager that does not take it.
const LAST_TRIES: u32 = 20;

/// Signs of life come this often within the time that the manager waits for one.
const SIGNS: u32 = 4;

/// The longest status text, in characters: a line for people.
const LONGEST_STATUS: usize = 500;

/// Who started the sidecar and wants to know.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
    /// How often a sign of life is due, if one is wanted.
    sign: Option<Duration>,
    /// The manager knows that the sidecar was ready.
    ready: AtomicBool,
}

// === impl Notifier ===

impl Notifier {
    /// As the environment asks for it. None where no manager does, or where it cannot be reached, which is logged: it is
    /// the manager's to decide what that means.
    pub(super) fn from_environment() -> Option<Arc<Self>> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let name = variable("NOTIFY_SOCKET")?;
        let sign = sign_of_life(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        match Self::open(&name, sign) {
            Ok(notifier) => Some(Arc::new(notifier)),
            Err(error) => {
                let name = name.display();
                tracing::warn!("cannot notify the service manager: `NOTIFY_SOCKET` is `{name}`: {error}");
                None
            }
        }
    }

    fn open(name: &OsStr, sign: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager: address(name)?, sign, ready: AtomicBool::new(false) })
    }

    /// Whether the manager took it.
    fn send(&self, message: &str) -> bool {
        self.socket.send_to_addr(message.as_bytes(), &self.manager).is_ok()
    }

    /// Keeps the manager informed until the sidecar stops.
    pub(super) async fn keep(self: Arc<Self>, services: Arc<Services>, mut stop: watch::Receiver<bool>) {
        let mut said = String::new();
        let mut alive: Option<Instant> = None;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                _ = look.tick() => (),
            }
            let (ready, status) = shown(&services);
            if ready && !self.ready.load(Ordering::Acquire) {
                if self.send(&format!("READY=1\nSTATUS={status}\n")) {
                    self.ready.store(true, Ordering::Release);
                    said = status;
                }
            } else if said != status && self.send(&format!("STATUS={status}\n")) {
                said = status;
            }
            if let Some(sign) = self.sign
                && alive.is_none_or(|at| at.elapsed() >= sign)
                && self.send("WATCHDOG=1\n")
            {
                alive = Some(Instant::now());
            }
        }
        // a load that is over from now on is not announced
        self.ready.store(false, Ordering::Release);
        for _ in 0..LAST_TRIES {
            if self.send("STOPPING=1\nSTATUS=draining\n") {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says that the files are read again; `READY=1` follows once `done` says so. Before the sidecar is ready for the
    /// first time there is nothing to say.
    pub(super) fn reloading(self: &Arc<Self>, done: oneshot::Receiver<()>) {
        if !self.ready.load(Ordering::Acquire) {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let now = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
        let notifier = self.clone();
        tokio::spawn(async move {
            // the sender is dropped when the load is over
            let _ = done.await;
            for _ in 0..LAST_TRIES {
                if !notifier.ready.load(Ordering::Acquire) || notifier.send("READY=1\n") {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
    }
}

/// Whether the sidecar is ready, and what it says to people.
fn shown(services: &Services) -> (bool, String) {
    let reasons = services.unready();
    let mut status = if reasons.is_empty() {
        let published = services.pdp.state().load();
        let revision = published.as_ref().map(|published| published.snapshot.revision().to_string());
        format!("ready, revision {}", revision.unwrap_or_default())
    } else {
        format!("not ready: {}", reasons.join("; "))
    };
    if let Some(degraded) = services.degraded() {
        status.push_str("; degraded: ");
        status.push_str(&degraded);
    }
    // a message is made of lines
    (reasons.is_empty(), status.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_STATUS).collect())
}

/// Where `NOTIFY_SOCKET` leads: an absolute path, or a name in the abstract namespace after `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "write a path that starts with `/`, or a name after `@`")),
    }
}

/// How often the watchdog wants a sign of life of this process.
fn sign_of_life(microseconds: Option<OsString>, process: Option<OsString>) -> Option<Duration> {
    let number = |value: OsString| value.to_str()?.parse::<u64>().ok();
    if process.is_some_and(|process| number(process) != Some(u64::from(process::id()))) {
        return None;
    }
    let every = microseconds.and_then(number).filter(|every| *every > 0)?;
    Some(Duration::from_micros(every) / SIGNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_paths_or_abstract_names() {
        for (name, expected) in [("/run/n", Some("/run/n")), ("@n", None), ("@a/b", None)] {
            let address = address(OsStr::new(name)).unwrap();
            assert_eq!(address.as_pathname().map(|path| path.to_str().unwrap()), expected, "{name}");
            if expected.is_none() {
                assert_eq!(address.as_abstract_name(), Some(&name.as_bytes()[1..]), "{name}");
            }
        }
        for wrong in ["run/n", "vsock:2:1", "n", &format!("/{}", "x".repeat(200))] {
            assert!(address(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_watchdog_is_for_this_process() {
        let own = process::id().to_string();
        for (every, process, expected) in [
            (Some("4000000"), None, Some(1_000)),
            (Some("4000000"), Some(&*own), Some(1_000)),
            (Some("4000000"), Some("1"), None),
            (Some("4000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (Some("soon"), None, None),
            (None, Some(&*own), None),
        ] {
            let sign = sign_of_life(every.map(OsString::from), process.map(OsString::from));
            assert_eq!(sign, expected.map(Duration::from_millis), "{every:?} {process:?}");
        }
    }
}
