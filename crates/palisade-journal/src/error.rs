//! What can go wrong, for the person who can mend it: each error names the file and says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A store cannot be opened, checked, copied or put back. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("`{}` is in use by another process: stop that one, or give this one a store of its own", .0.display())]
    InUse(PathBuf),
    /// It was a store, and what is there now is not what was written.
    #[error(
        "the store `{}` is damaged at byte {at}: {what}; nothing of it was loaded. Put a backup in its place \
         (`palisade store restore`), or move it away to begin with an empty one",
        .path.display()
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// The byte from which on it cannot be read, from 0.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// It is a file of something else.
    #[error("`{}` is not a store of Palisade: name another file, or move this one away", .0.display())]
    Foreign(PathBuf),
    /// It has no bytes. A store is never empty, so its content is gone or never was one.
    #[error("`{}` is an empty file, which a store never is: put a backup in its place, or remove it to begin with an empty store", .0.display())]
    Empty(PathBuf),
    /// It is a store of another format.
    #[error(
        "the store `{}` has format version {found}, and this program reads version {}: use the program that wrote it",
        .path.display(), crate::format::VERSION
    )]
    Version {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It was opened, and another file stands there now, or none.
    #[error("{}", moved(.0))]
    Moved(PathBuf),
    /// Something is there already that a copy would replace.
    #[error("`{}` exists: move it away first, so that nothing is lost", .0.display())]
    Exists(PathBuf),
    /// The disk has no room.
    #[error("no room on the disk for `{}`", .0.display())]
    Full(PathBuf),
    /// The disk or the file cannot be written.
    #[error("`{}` cannot be written: {why}", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Anything else that the system refuses.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// A commit was not taken. What was acknowledged before stays.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk has no room, or the file reached a limit. Commits are taken again once there is room.
    #[error("no room on the disk for the store `{}`; free some, changes are taken again then", .0.display())]
    Full(PathBuf),
    /// The disk can be read only.
    #[error("the store `{}` cannot be written: {why}", .path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Another file stands in its place, or none: what is written would be lost with this run.
    #[error("{}", moved(.0))]
    Moved(PathBuf),
    /// A flush or a write failed in a way after which it is not known what is on the disk. Nothing more is taken until
    /// the store is opened again, which reads it afresh.
    #[error("the store `{}` takes nothing until it is opened again, since a write failed: {why}", .path.display())]
    Failed {
        /// The store.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The commits do not follow what is there.
    #[error("commit {given} does not follow commit {last}")]
    Counter {
        /// The counter of the refused commit.
        given: u64,
        /// The counter before it.
        last: u64,
    },
    /// A key or a value is longer than a record may be.
    #[error("a record of {bytes} bytes is larger than {} bytes", crate::format::MAX_RECORD)]
    TooLarge {
        /// How long it is.
        bytes: u64,
    },
    /// A base refers to an image that was not begun here, or was given up.
    #[error("there is no image {0} to commit")]
    NoImage(u64),
}

fn moved(path: &Path) -> String {
    let path = path.display();
    format!(
        "the store `{path}` was moved away, removed or replaced while it is open: put it back and changes are taken again, or \
         start the sidecar again to go on with what is there now"
    )
}

/// Whether the system ran out of room, or of what a file may have.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether the system lets no one write there.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

impl OpenError {
    pub(crate) fn io(path: &Path, action: &'static str, error: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&error) {
            Self::Full(path)
        } else if is_read_only(&error) {
            Self::ReadOnly { path, why: error }
        } else {
            Self::Io { path, action, source: error }
        }
    }

    pub(crate) fn damaged(path: &Path, at: u64, what: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), at, what }
    }
}
