//! Files: taking a store for one process, making one whole, and what the system says about them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::format::{FRAMES_AT, MARK_LEN, MARKS, Mark, head, sum};

/// Which boot of the system this is, 0 if it does not say.
pub(crate) fn boot() -> u64 {
    std::fs::read("/proc/sys/kernel/random/boot_id").map_or(0, |id| sum(1, &id).max(1))
}

/// The number of a file, which a copy of it does not have.
pub(crate) fn number(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// The file beside the store in which a new one is made; a crash may leave it.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// The links that may lead from one to the next.
const MAX_LINKS: usize = 40;

/// Where the file itself is: what stands at `path` may be a symbolic link to it, and files are put in the place of the file.
pub(crate) fn behind_links(path: &Path) -> Result<PathBuf, OpenError> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(Path::new("")).join(target),
            // no link, or nothing there yet; what else the system minds it says when the file is opened
            Err(_) => return Ok(at),
        }
    }
    let error = io::Error::new(io::ErrorKind::InvalidInput, "too many symbolic links lead to one another");
    Err(OpenError::io(path, "open", error))
}

/// Makes what a directory lists durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// A file that this process has taken. Given back when this is dropped, also while a process that was just started still
/// has what it inherited.
#[derive(Debug)]
pub(crate) struct Taken(File);

impl std::ops::Deref for Taken {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Taken {
    /// Whether it is what stands at `path`: it may have been moved away, and another put there.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let own = self.0.metadata()?;
        match std::fs::metadata(path) {
            Ok(there) => Ok((there.ino(), there.dev()) == (own.ino(), own.dev())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // the system does so too, when the last handle is closed
        let _ = self.0.unlock();
    }
}

/// Takes the file for this process.
fn lock(file: File, path: &Path) -> Result<Taken, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(Taken(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, "lock", error)),
    }
}

/// Opens and takes the store that is there; `None` if there is no such file.
pub(crate) fn take(path: &Path) -> Result<Option<Taken>, OpenError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(path, "open", error)),
    };
    let known = file.metadata().map_err(|error| OpenError::io(path, "open", error))?;
    if !known.is_file() {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let file = lock(file, path)?;
    // a compaction elsewhere may have put another file in its place meanwhile
    match std::fs::metadata(path) {
        Ok(now) if (now.ino(), now.dev()) == (known.ino(), known.dev()) => Ok(Some(file)),
        _ => Err(OpenError::InUse(path.to_owned())),
    }
}

/// A file beside the store, taken for this process and empty.
pub(crate) fn make_beside(path: &Path) -> Result<(Taken, PathBuf), OpenError> {
    let beside = beside(path);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&beside);
    let file = file.map_err(|error| OpenError::io(&beside, "create", error))?;
    let file = lock(file, path)?;
    file.set_len(0).map_err(|error| OpenError::io(&beside, "create", error))?;
    Ok((file, beside))
}

/// Reads a file from a byte on, wherever its own position is.
pub(crate) struct At<'a>(pub(crate) &'a File, pub(crate) u64);

impl io::Read for At<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read_at(out, self.1)?;
        self.1 += n as u64;
        Ok(n)
    }
}

/// Reads until `bytes` is full or the file ends; how many there are.
pub(crate) fn read_at_most(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes the head and both marks, and makes the whole file durable.
pub(crate) fn seal(file: &File, mark: Mark) -> io::Result<()> {
    write_head(file)?;
    write_marks(file, mark)?;
    // the head's block is there whole, whatever follows
    if file.metadata()?.len() < FRAMES_AT {
        file.set_len(FRAMES_AT)?;
    }
    file.sync_all()
}

/// Writes the head of this version.
pub(crate) fn write_head(file: &File) -> io::Result<()> {
    file.write_all_at(&head(), 0)
}

/// Writes a mark into its place.
pub(crate) fn write_mark(file: &File, mark: Mark) -> io::Result<()> {
    file.write_all_at(&mark.encode(), MARKS[(mark.turn % 2) as usize])
}

/// Writes both marks, so that no older one is left.
pub(crate) fn write_marks(file: &File, mark: Mark) -> io::Result<()> {
    write_mark(file, mark)?;
    write_mark(file, Mark { turn: mark.turn + 1, ..mark })
}

/// The newer of the marks that are whole.
pub(crate) fn read_mark(file: &File) -> io::Result<Option<Mark>> {
    let mut newest: Option<Mark> = None;
    for place in MARKS {
        let mut bytes = [0; MARK_LEN];
        read_at_most(file, &mut bytes, place)?;
        if let Some(mark) = Mark::decode(&bytes)
            && newest.is_none_or(|other| other.turn < mark.turn)
        {
            newest = Some(mark);
        }
    }
    Ok(newest)
}
