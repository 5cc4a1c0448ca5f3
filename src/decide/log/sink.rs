//! Where the lines go, and whether they arrive.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, appended to, reopened on demand so that it can be rotated.
    File(PathBuf),
}

impl std::fmt::Display for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("on standard output"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An ordinary file.
    File,
    /// A pipe with a name.
    Pipe,
    /// Standard output, a terminal, a device.
    Other,
}

/// How many bytes of a pipe that is given up are carried to the next one at most. A pipe holds 64 KiB, or more if a
/// process asked for more.
const MOST_CARRIED: u64 = 1 << 20;

/// A sink that is open. Standard output is a handle of its own: the lock of `io::stdout()` would be held for as long as
/// a write is stuck, and the process could not end.
pub(super) struct Output {
    pub(super) file: File,
    /// The path of a file or a pipe, which may be moved or deleted while it is open.
    path: Option<PathBuf>,
    kind: Kind,
    /// It is a pipe, with a name or without.
    pipe: bool,
    /// Bytes that an ordinary file had after the last write.
    len: u64,
    /// It ends within a line, of a process that ended or a device that was full.
    pub(super) torn: bool,
}

impl Output {
    pub(super) fn open(sink: &Sink) -> io::Result<Self> {
        match sink {
            Sink::Stdout => {
                let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                let pipe = file.metadata().is_ok_and(|meta| meta.file_type().is_fifo());
                Ok(Self { file, path: None, kind: Kind::Other, pipe, len: 0, torn: false })
            }
            Sink::File(path) => {
                let pipe = std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo());
                // a full pipe must not hold the thread: another may have taken its place
                let flags = if pipe { libc::O_NONBLOCK } else { 0 };
                // without a reader a pipe would not open. It is open for reading no longer than that, or it would never
                // show that no other process reads
                let _reader = pipe.then(|| OpenOptions::new().read(true).custom_flags(flags).open(path));
                let file = OpenOptions::new().create(!pipe).append(true).custom_flags(flags).open(path)?;
                let meta = file.metadata()?;
                let kind = match meta.file_type() {
                    of if of.is_file() => Kind::File,
                    of if of.is_fifo() => Kind::Pipe,
                    _ => Kind::Other,
                };
                let torn = kind == Kind::File && ends_within_a_line(path).unwrap_or(false);
                let path = (kind != Kind::Other).then(|| path.clone());
                Ok(Self { file, path, kind, pipe: kind == Kind::Pipe, len: meta.len(), torn })
            }
        }
    }

    /// Whether its path leads elsewhere, or nowhere: then what is written here is not found.
    pub(super) fn is_astray(&self) -> bool {
        let here = |path: &Path| {
            let (open, named) = (self.file.metadata().ok()?, std::fs::metadata(path).ok()?);
            Some((open.dev(), open.ino()) == (named.dev(), named.ino()))
        };
        self.path.as_deref().is_some_and(|path| here(path) != Some(true))
    }

    /// Whether it has no name any more: then what is written here is lost.
    pub(super) fn is_deleted(&self) -> bool {
        self.path.is_some() && self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    /// Whether it is a pipe with a name.
    pub(super) fn is_pipe(&self) -> bool {
        self.kind == Kind::Pipe
    }

    /// Whether it is a pipe whose name is gone. Its reader makes it again: a file in its place would keep the reader
    /// from that.
    pub(super) fn is_pipe_gone(&self) -> bool {
        self.kind == Kind::Pipe
            && self.path.as_deref().is_some_and(|path| {
                std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            })
    }

    /// Whether an ordinary file was cut since the last write, as rotation by `copytruncate` does.
    pub(super) fn is_cut(&self) -> bool {
        self.kind == Kind::File && self.file.metadata().is_ok_and(|meta| meta.len() < self.len)
    }

    /// Opens a pipe once more, as its descriptor names it: its path may lead elsewhere.
    fn again(&self, mode: &mut OpenOptions) -> io::Result<File> {
        let all = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
        mode.custom_flags(libc::O_NONBLOCK).open(format!("{all}/{}", self.file.as_raw_fd()))
    }

    /// Whether it is a pipe, with a name or without, that no process has open for reading. It keeps what it holds while
    /// we have it open, for a reader that comes; when we close it, that is lost.
    pub(super) fn is_unattended(&self) -> bool {
        self.pipe
            && self.again(OpenOptions::new().write(true)).is_err_and(|error| error.raw_os_error() == Some(libc::ENXIO))
    }

    /// Whether it is a pipe that holds unread bytes.
    pub(super) fn holds_unread(&self) -> bool {
        self.pipe && rustix::io::ioctl_fionread(&self.file).is_ok_and(|bytes| bytes > 0)
    }

    /// What a pipe holds unread, except the rest of a line that a reader has begun. It may end within a line.
    pub(super) fn unread(&self) -> Vec<u8> {
        let mut left = Vec::new();
        if self.pipe
            && let Ok(file) = self.again(OpenOptions::new().read(true))
        {
            // ends with an error where the pipe is empty; what was read until then counts
            let _ = file.take(MOST_CARRIED).read_to_end(&mut left);
            if left.first().is_some_and(|first| *first != b'{') {
                let rest = memchr::memchr(b'\n', &left).map_or(left.len(), |at| at + 1);
                left.drain(..rest);
            }
        }
        left
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                // another process may write here too, and the file may have been cut meanwhile
                self.len = if self.kind == Kind::File { self.file.metadata().map_or(0, |meta| meta.len()) } else { 0 };
                Ok(n)
            }
            result => result,
        }
    }
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// What is wrong with the sink, for those who do not write to it.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl Health {
    /// Whether it takes no records.
    pub(super) fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// What is wrong, in words.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what is wrong. `failing` says whether records are not taken.
    pub(super) fn set(&self, failing: bool, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        self.failing.store(failing, Ordering::Relaxed);
    }
}
