//! Unix sockets: made with their permissions from the first moment, and removed at the end.
//!
//! `bind` makes the file with the permissions that the umask leaves, and there is no moment between that and a
//! `chmod` in which a neighbour cannot connect. So the socket itself is narrowed first, which Linux goes by when it
//! makes the file: the file begins as the owner's alone, gets its group, and is opened last.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

use crate::config::SocketSettings;
use crate::telemetry::Listener;

/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// How long a socket in the way may take to show whether it has an owner. It shows at once.
const ANSWERS: Duration = Duration::from_secs(1);

/// Where the names of groups are.
const GROUPS: &str = "/etc/group";

/// Who reaches a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketAccess {
    mode: u32,
    group: Option<u32>,
}

impl SocketAccess {
    /// What the settings say of one listener.
    ///
    /// # Errors
    /// If the system knows no group of that name.
    pub fn of(listener: Listener, settings: &SocketSettings) -> io::Result<Self> {
        let mode = match listener {
            Listener::Decisions => settings.decisions,
            Listener::Admin => settings.admin,
            Listener::Ops => settings.ops,
            Listener::Grpc => settings.grpc,
        };
        let group = settings.group.as_deref().map(|group| group_id(group, Path::new(GROUPS))).transpose()?;
        Ok(Self { mode, group })
    }
}

/// The number of a group, which may be written as such.
fn group_id(group: &str, groups: &Path) -> io::Result<u32> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let text = fs::read_to_string(groups)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", groups.display())))?;
    let id = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
    });
    id.ok_or_else(|| {
        let hint = format!("`listen.socket_group`: {} has no group `{group}`; write its number", groups.display());
        io::Error::new(io::ErrorKind::NotFound, hint)
    })
}

/// Removes the socket's file when the listener goes.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what another process has put in its place is not ours to remove.
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // it may be gone already, and then there is nothing to clean
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What happened to a socket's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is there.
    Ours,
    /// The path is free.
    Gone,
    /// Something else is there.
    Replaced,
    /// The system does not say.
    Unknown,
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What happened to it, looked at after `pause`. Asked on a thread of its own: a file system may not answer.
    pub(super) fn look(&self, pause: Duration) -> impl Future<Output = Fate> + Send + use<> {
        let (path, ours) = (self.path.clone(), self.identity);
        async move {
            tokio::time::sleep(pause).await;
            match tokio::task::spawn_blocking(move || fs::symlink_metadata(path)).await {
                Ok(Ok(meta)) if Some((meta.dev(), meta.ino())) == ours => Fate::Ours,
                Ok(Ok(_)) => Fate::Replaced,
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Fate::Gone,
                _ => Fate::Unknown,
            }
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Listens at `path`, for those whom `access` lets in.
pub(super) async fn bind(path: &Path, access: SocketAccess) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path).await?;
    let socket = UnixSocket::new_stream()?;
    File::from(socket.as_fd().try_clone_to_owned()?).set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(path)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path) };
    // at once: a file that refuses connections looks like one that a killed process left
    let listener = socket.listen(BACKLOG)?;
    let cannot = |what: &str, error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    if let Some(group) = access.group {
        chown(path, None, Some(group)).map_err(|error| {
            cannot(&format!("cannot give the socket to group {group} (`listen.socket_group`)"), error)
        })?;
    }
    fs::set_permissions(path, Permissions::from_mode(access.mode))
        .map_err(|error| cannot("cannot set the socket's permissions (`listen.socket_mode`)", error))?;
    Ok((listener, file))
}

/// Removes a socket file that no process listens on, as a killed process leaves it; never anything else.
///
/// Its owner may be stopped and accept nothing, so the try to connect never waits: a full queue means an owner.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = || Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket"));
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => match timeout(ANSWERS, UnixStream::connect(path)).await {
            Ok(Ok(_)) | Err(_) => in_use(),
            Ok(Err(error)) => match error.kind() {
                io::ErrorKind::WouldBlock => in_use(),
                io::ErrorKind::ConnectionRefused => fs::remove_file(path),
                _ => Err(error),
            },
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is in the way")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let own = fs::metadata(dir.path()).unwrap().gid();
        for mode in [0o600, 0o660, 0o666, 0o777] {
            for group in [None, Some(own)] {
                let (listener, file) = bind(&path, SocketAccess { mode, group }).await.unwrap();
                assert_eq!((mode_of(&path), fs::metadata(&path).unwrap().gid()), (mode, own), "{mode:o}");
                tokio::net::UnixStream::connect(&path).await.unwrap();
                drop((listener, file));
                assert!(!path.exists());
            }
        }
    }

    #[tokio::test]
    async fn a_socket_whose_owner_accepts_nothing_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let owner = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(one) = UnixStream::connect(&path).await {
            waiting.push(one);
        }
        let access = SocketAccess { mode: 0o600, group: None };
        let error = bind(&path, access).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        drop((owner, waiting));
        bind(&path, access).await.unwrap();
    }

    /// A second process between `bind` and `chmod`, many times over.
    #[tokio::test]
    async fn no_moment_is_wider() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let done = Arc::new(AtomicBool::new(false));
        let (watched, ended) = (path.clone(), done.clone());
        let watcher = std::thread::spawn(move || {
            let mut seen = std::collections::BTreeSet::new();
            while !ended.load(Ordering::Acquire) {
                seen.extend(fs::symlink_metadata(&watched).ok().map(|meta| meta.mode() & 0o7777));
            }
            seen
        });
        for _ in 0..2_000 {
            drop(bind(&path, SocketAccess { mode: 0o600, group: None }).await.unwrap());
        }
        done.store(true, Ordering::Release);
        assert_eq!(watcher.join().unwrap().into_iter().collect::<Vec<_>>(), [0o600]);
    }

    #[tokio::test]
    async fn another_file_in_its_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let access = SocketAccess { mode: 0o600, group: None };
        let first = bind(&path, access).await.unwrap();
        fs::remove_file(&path).unwrap();
        let second = bind(&path, access).await.unwrap();
        drop(first);
        assert!(path.exists(), "it belongs to the second");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn groups() {
        let dir = tempfile::tempdir().unwrap();
        let groups = dir.path().join("group");
        fs::write(&groups, "root:x:0:\n# odd\n\nweb:x:33:ann,bob\nbad:x:y:\n").unwrap();
        for (group, id) in [("root", Some(0)), ("web", Some(33)), ("4711", Some(4711)), ("we", None), ("bad", None)] {
            assert_eq!(group_id(group, &groups).ok(), id, "{group}");
        }
        let error = group_id("gone", &groups).unwrap_err().to_string();
        assert!(error.contains("has no group `gone`"), "{error}");
    }
}
