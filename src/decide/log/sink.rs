//! Where the lines go, and whether they arrive.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
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

/// A sink that is open. Standard output is a handle of its own: the lock of `io::stdout()` would be held for as long as
/// a write is stuck, and the process could not end.
pub(super) struct Output {
    pub(super) file: File,
    /// The path of an ordinary file, which may be moved or deleted while it is open.
    path: Option<PathBuf>,
    /// It ends within a line, of a process that ended or a device that was full.
    pub(super) torn: bool,
}

impl Output {
    pub(super) fn open(sink: &Sink) -> io::Result<Self> {
        match sink {
            Sink::Stdout => {
                Ok(Self { file: File::from(io::stdout().as_fd().try_clone_to_owned()?), path: None, torn: false })
            }
            Sink::File(path) => {
                // for reading too: without a reader a pipe would not open, and with its last one it would end
                let pipe = std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo());
                let file = OpenOptions::new().create(true).append(true).read(pipe).open(path)?;
                let ordinary = file.metadata()?.is_file();
                let torn = ordinary && ends_within_a_line(path).unwrap_or(false);
                Ok(Self { file, path: ordinary.then(|| path.clone()), torn })
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

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
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
