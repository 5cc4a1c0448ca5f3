//! The process of the server, where it runs on this machine, and the CPU time that it used: from `/proc`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::cli::bench::target::Target;

/// What a unit of time is in `/proc`, for programs.
const TICK: Duration = Duration::from_millis(10);

/// The process that listens at a target.
#[derive(Debug)]
pub(super) struct Process(u32);

impl Process {
    /// Looks for it. `None` if it is on another machine, or may not be looked at.
    pub(super) fn that_listens(target: &Target) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default();
        let socket = match target {
            Target::Tcp { address, .. } => {
                let (four, six) = (read("tcp"), read("tcp6"));
                tcp_socket(&four, *address).or_else(|| tcp_socket(&six, *address))?.to_owned()
            }
            Target::Unix(path) => {
                let table = read("unix");
                let whole = fs::canonicalize(path).ok();
                let found = unix_socket(&table, path);
                found.or_else(|| unix_socket(&table, whole.as_deref()?))?.to_owned()
            }
        };
        holder(&format!("socket:[{socket}]")).map(Self)
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.0
    }

    /// The CPU time of all its threads so far, those that have ended included.
    pub(super) fn cpu(&self) -> Option<Duration> {
        used(&fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?)
    }
}

/// User and system time of a line of `stat`.
fn used(stat: &str) -> Option<Duration> {
    // the name stands in parentheses, and may have some itself
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
    Some(TICK * user + TICK * system)
}

/// The socket that listens at an address, in a table as `/proc/net/tcp` is one.
fn tcp_socket(table: &str, wanted: SocketAddr) -> Option<&str> {
    const LISTENS: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, LISTENS, _, _, _, _, _, socket, ..] = fields.as_slice() else { return None };
        let (ip, port) = local.split_once(':')?;
        let ip = ip_of(ip)?.to_canonical();
        // one on all addresses may be another than that of a far machine
        let is_it = ip == wanted.ip().to_canonical() || (ip.is_unspecified() && wanted.ip().is_loopback());
        (is_it && u16::from_str_radix(port, 16) == Ok(wanted.port())).then_some(*socket)
    })
}

/// An address as the table writes it: words in the machine's own order of bytes.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// The socket that listens at a path, in the table of `/proc/net/unix`.
fn unix_socket<'t>(table: &'t str, wanted: &Path) -> Option<&'t str> {
    const LISTENS: &str = "00010000";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (flags, socket) = (fields.nth(3)?, fields.nth(2)?);
        let path = line.split_once(&format!(" {socket} "))?.1;
        (flags == LISTENS && Path::new(path) == wanted).then_some(socket)
    })
}

/// The process that holds a socket.
fn holder(socket: &str) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        open.any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket)).then_some(process)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_sockets_are_ours() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let at = |address: SocketAddr| Process::that_listens(&Target::Tcp { host: String::new(), address });
        let process = at(address).unwrap();
        assert_eq!(process.id(), std::process::id());
        assert!(process.cpu().is_some());
        drop(listener);
        assert!(at(address).is_none());
        let every = std::net::TcpListener::bind("[::]:0").unwrap();
        let mut address = every.local_addr().unwrap();
        for (ip, found) in [("::1", true), ("127.0.0.1", true), ("192.0.2.1", false)] {
            address = SocketAddr::new(ip.parse().unwrap(), address.port());
            assert_eq!(at(address).is_some(), found, "{ip}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(Process::that_listens(&Target::Unix(path)).unwrap().id(), std::process::id());
    }

    #[test]
    fn times_are_read_behind_any_name() {
        let line = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(used(line), Some(Duration::from_secs(3)));
        assert_eq!(used("7 (a"), None);
    }
}
