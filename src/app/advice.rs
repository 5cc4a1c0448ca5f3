//! What to do where the sidecar cannot have something, as the end of a message.

use std::io;
use std::path::Path;

use crate::config::ListenAddr;

/// What to do where an address cannot be had, as the end of a message.
pub(super) fn of_listener(listener: &str, addr: &ListenAddr, error: &io::Error) -> String {
    if let ListenAddr::Unix(path) = addr {
        return of_socket(listener, path, error);
    }
    let off = if listener == "decisions" { "" } else { ", or to `off`" };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; another process has this address, perhaps another sidecar: stop it, or set `listen.{listener}` to another \
             address{off}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("; this machine has no such address: set `listen.{listener}` to one that it has")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; the sidecar's user may not listen on it: set `listen.{listener}` to another address")
        }
        _ => String::new(),
    }
}

/// The same where the address is the path of a socket.
fn of_socket(listener: &str, path: &Path, error: &io::Error) -> String {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = directory.display();
    let elsewhere = format!("or set `listen.{listener}` to another path");
    match error.kind() {
        io::ErrorKind::NotFound if !directory.exists() => {
            format!("; the directory `{shown}` must be there before the sidecar starts: make it, {elsewhere}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; the sidecar's user must be able to write into `{shown}`: let it, {elsewhere}")
        }
        io::ErrorKind::NotADirectory => format!("; `{shown}` is not a directory: correct it, {elsewhere}"),
        io::ErrorKind::ReadOnlyFilesystem => format!("; `{shown}` cannot be written to, {elsewhere}"),
        io::ErrorKind::AddrInUse => {
            format!("; perhaps another sidecar: stop it, {elsewhere}")
        }
        io::ErrorKind::InvalidInput => {
            format!("; the path of a socket has fewer than 108 bytes: shorten it, {elsewhere}")
        }
        io::ErrorKind::AlreadyExists => format!("; move that file away, {elsewhere}"),
        // what is wrong with the group says so itself
        io::ErrorKind::NotFound => String::new(),
        _ => format!("; correct the path, {elsewhere}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_address_has_an_advice() {
        let dir = tempfile::tempdir().unwrap();
        let inner = |path: &str| ListenAddr::Unix(dir.path().join(path));
        let tcp = ListenAddr::Tcp("127.0.0.1:80".parse().unwrap());
        for (addr, kind, said) in [
            (&tcp, io::ErrorKind::AddrInUse, "; another process has this address"),
            (&tcp, io::ErrorKind::AddrNotAvailable, "; this machine has no such address"),
            (&tcp, io::ErrorKind::PermissionDenied, "; the sidecar's user may not listen on it"),
            (&inner("gone/s"), io::ErrorKind::NotFound, "gone` must be there before the sidecar starts"),
            (&inner("s"), io::ErrorKind::PermissionDenied, "must be able to write into"),
            (&inner("s"), io::ErrorKind::NotADirectory, "is not a directory"),
            (&inner("s"), io::ErrorKind::ReadOnlyFilesystem, "cannot be written to"),
            (&inner("s"), io::ErrorKind::AddrInUse, "perhaps another sidecar"),
            (&inner("s"), io::ErrorKind::InvalidInput, "fewer than 108 bytes"),
            (&inner("s"), io::ErrorKind::AlreadyExists, "move that file away"),
            (&inner("s"), io::ErrorKind::Other, "correct the path"),
        ] {
            let advice = of_listener("ops", addr, &kind.into());
            assert!(advice.contains(said) && advice.contains("`listen.ops`"), "{addr} {kind}: {advice}");
        }
        assert_eq!(of_listener("ops", &inner("s"), &io::ErrorKind::NotFound.into()), "");
    }
}
