//! Looking at a store without opening it, and copies of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::commit::Origin;
use crate::error::OpenError;
use crate::files::{self, At};
use crate::format::{FRAMES_AT, Mark};
use crate::open::{Found, Recovered, read, recovered};

/// What a look at a store found. It is whole, or there would be an error instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The version of its format.
    pub version: u32,
    /// The incarnation of the last run.
    pub incarnation: u64,
    /// The counter of the last commit, 0 where there was no commit.
    pub counter: u64,
    /// Whether the last run ended cleanly. Where one has it open, it did not.
    pub clean: bool,
    /// Whether it is a backup that was not opened yet.
    pub backup: bool,
    /// The bytes of the file.
    pub bytes: u64,
    /// The bytes at its end that were never acknowledged.
    pub unacknowledged: u64,
    /// Where the base comes from, if one was committed.
    pub base: Option<Origin>,
    /// The bytes of the base's image.
    pub image_bytes: u64,
    /// The keys that the overlay has a word for.
    pub overlay: usize,
    /// The answers of requests.
    pub answers: usize,
}

fn open(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new().read(true).open(path).map_err(|error| OpenError::io(path, "open", error))
}

/// Reads and checks the whole store at `path`, also one that is open elsewhere. Nothing is changed.
///
/// # Errors
/// As [`Journal::open`](crate::Journal::open), but that it may be in use.
pub fn check(path: &Path) -> Result<Checked, OpenError> {
    let file = open(path)?;
    let Found { version, mark, contents, file_len, .. } = read(&file, path)?;
    let unacknowledged = file_len.saturating_sub(mark.acknowledged);
    let found = recovered(&file, mark, contents).map_err(|error| OpenError::io(path, "read", error))?;
    let checked = Checked {
        version,
        incarnation: mark.incarnation,
        counter: found.counter,
        clean: mark.clean,
        backup: mark.file == 0,
        bytes: file_len,
        unacknowledged,
        image_bytes: found.image.as_ref().map_or(0, crate::Image::bytes_left),
        base: found.base,
        overlay: found.overlay.len(),
        answers: found.answers.len(),
    };
    // each record once more, through the way that an opening takes
    let io = |error| OpenError::io(path, "read", error);
    found.overlay.each(|_| io::Result::Ok(())).map_err(io)?;
    found.answers.each(|_| io::Result::Ok(())).map_err(io)?;
    if let Some(mut image) = found.image {
        io::copy(&mut image, &mut io::sink()).map_err(io)?;
    }
    Ok(checked)
}

/// Reads the whole store at `path`, also one that is open elsewhere, and gives what it holds. Nothing is changed; what the
/// store holds stays readable while this process has it.
///
/// # Errors
/// As [`check`].
pub fn look(path: &Path) -> Result<Recovered, OpenError> {
    let file = open(path)?;
    let Found { mark, contents, .. } = read(&file, path)?;
    recovered(&file, mark, contents).map_err(|error| OpenError::io(path, "read", error))
}

/// Copies the store at `path`, as it was acknowledged at one moment, to a new file; also one that is open elsewhere.
///
/// # Errors
/// If it is not whole, if `to` exists, or if the system refuses. `to` is there whole or not at all.
pub fn backup(path: &Path, to: &Path) -> Result<Checked, OpenError> {
    copy(path, to)
}

/// Puts the backup `from` in the place of the store `path`, which must not exist. The run that opens it begins a new
/// incarnation, since the one that was backed up may have gone on.
///
/// # Errors
/// As [`backup`].
pub fn restore(from: &Path, path: &Path) -> Result<Checked, OpenError> {
    let path = &*files::behind_links(path)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(|error| OpenError::io(dir, "create the directory", error))?;
    }
    copy(from, path)
}

fn copy(from: &Path, to: &Path) -> Result<Checked, OpenError> {
    let to = &*files::behind_links(to)?;
    let source = open(from)?;
    let Found { mark, contents, same_boot, .. } = read(&source, from)?;
    // what is behind the mark may be a commit that another process is just writing
    let (end, chain) = if same_boot { (mark.acknowledged, mark.chain) } else { (contents.end, contents.chain) };
    let absent = || match std::fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io(to, "look at", error)),
        Ok(_) => Err(OpenError::Exists(to.to_owned())),
    };
    absent()?;
    let (file, beside) = files::make_beside(to)?;
    let io = |error| OpenError::io(to, "write", error);
    let copied = || {
        copy_bytes(&source, &file, end).map_err(io)?;
        let turn = mark.turn + 1;
        let mark = Mark { turn, file: 0, acknowledged: end, flushed: end, chain, clean: true, ..mark };
        files::seal(&file, mark).map_err(io)?;
        // what was read may have changed since it was looked at
        let checked = check(&beside)?;
        absent()?;
        std::fs::rename(&beside, to).and_then(|()| files::sync_dir(to)).map_err(io)?;
        Ok(checked)
    };
    let copied = copied();
    if copied.is_err() {
        // of no use to anyone
        let _ = std::fs::remove_file(&beside);
    }
    copied
}

/// Copies the frames up to `end`.
fn copy_bytes(source: &File, out: &File, end: u64) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 20];
    let mut source = At(source, FRAMES_AT).take(end - FRAMES_AT);
    let mut at = FRAMES_AT;
    loop {
        match source.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                out.write_all_at(&bytes[..n], at)?;
                at += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
