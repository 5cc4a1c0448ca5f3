//! Reads key sets and API tokens from files, and again when they change.
//!
//! A file is looked at four times a second and read once it was the same twice and no process has it open for writing,
//! as far as the system says. One that has become shorter may have been cut to be written again: it must be the same
//! for longer. So must one of which its reader thinks that a part is missing. Meanwhile the last good state counts, and
//! the file is reported as held back. All that is read is handed over whole; what cannot be read is tried again, later
//! and later. Looking is a `stat` through all links, which sees Kubernetes' swap of a mounted volume too.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::source::is_written;

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// How often they are read although nothing seems to have changed: not every file system shows a change.
const READ_ANYWAY: Duration = Duration::from_secs(60);

/// How long a file that may be half-written must be the same before it is accepted: one that has become shorter is not
/// read before, and its reader waits as long with what looks torn.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

/// How long after it could not be read a file is tried again; each further time after twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// What shows one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file under watch.
pub(crate) struct Watched {
    path: PathBuf,
    max_bytes: usize,
    /// As it was at the last look, and since when.
    seen: Option<(Option<Stamp>, Instant)>,
    /// As it was when it was last read, and when that was.
    read: Option<(Option<Stamp>, Instant)>,
    /// How long it was when it was last read well.
    good_len: u64,
    /// How often it could not be read since then.
    failures: u32,
    /// What was read looks as if a part is missing: it is read again when the file was quiet.
    unsure: bool,
    /// Why the file as it is now does not count yet.
    held: Option<String>,
}

impl Watched {
    pub(crate) fn new(path: PathBuf, max_bytes: usize) -> Self {
        Self { path, max_bytes, seen: None, read: None, good_len: 0, failures: 0, unsure: false, held: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it for the first time. Waits a moment for a process that is writing it; a file that is not closed by then
    /// is read as it is, and again once it is closed.
    pub(crate) fn load_first(&mut self) -> Result<Vec<u8>, String> {
        let start = Instant::now();
        while self.is_open_for_writing() && start.elapsed() < QUIET {
            thread::sleep(LOOK / 5);
        }
        let written = self.is_open_for_writing();
        let read = self.load(Instant::now());
        if written {
            self.read = None;
        }
        read
    }

    /// Reads it now.
    pub(crate) fn load(&mut self, now: Instant) -> Result<Vec<u8>, String> {
        let stamp = self.stamp();
        if self.seen.is_none_or(|(seen, _)| seen != stamp) {
            self.seen = Some((stamp, now));
        }
        self.read = Some((stamp, now));
        (self.unsure, self.held) = (false, None);
        let read = read(&self.path, self.max_bytes);
        match &read {
            Ok(bytes) => (self.good_len, self.failures) = (bytes.len() as u64, 0),
            Err(_) => self.failures = self.failures.saturating_add(1),
        }
        read
    }

    /// Whether a process has it open for writing, as far as the file system says.
    pub(crate) fn is_open_for_writing(&self) -> bool {
        is_written(&self.path) == Some(true)
    }

    /// Reads it if it has changed and is whole as far as can be known, or was not read for long.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Result<Vec<u8>, String>> {
        let stamp = self.stamp();
        let is_new = self.read.is_none_or(|(known, _)| known != stamp);
        let since = match self.seen {
            Some((seen, since)) if seen == stamp => since,
            _ => {
                self.seen = Some((stamp, now));
                if is_new {
                    self.held = Some("it has just changed; it is read when it is the same twice".to_owned());
                }
                return None;
            }
        };
        let is_quiet = now.saturating_duration_since(since) >= QUIET;
        if is_new && self.is_open_for_writing() {
            self.held = Some("a process has it open for writing; it is read when it is closed".to_owned());
            return None;
        }
        if is_new && !is_quiet && stamp.is_some_and(|stamp| stamp.len < self.good_len) {
            self.held = Some("it has become shorter; it is read when it has been the same for 2 s".to_owned());
            return None;
        }
        let pause = match self.failures {
            0 => READ_ANYWAY,
            n => FIRST_RETRY.saturating_mul(1 << n.min(7) >> 1).min(READ_ANYWAY),
        };
        let overdue = self.read.is_none_or(|(_, at)| now.saturating_duration_since(at) >= pause);
        if !(is_new || overdue || (self.unsure && is_quiet)) {
            if !self.unsure {
                self.held = None;
            }
            return None;
        }
        let read = self.load(now);
        if self.stamp() != stamp {
            // it changed while it was read: the next look sees it
            self.read = None;
            self.held = Some("it changed while it was read; it is read again".to_owned());
            return None;
        }
        Some(read)
    }

    /// What was just read looks as if a part is missing: it is read again when the file has been quiet.
    pub(crate) fn hold(&mut self, why: impl Into<String>) {
        (self.unsure, self.held) = (true, Some(why.into()));
    }

    /// Why the file as it is now does not count yet, if so.
    pub(crate) fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// Whether the file has been the same for [`QUIET`], as far as looks and reads show.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.seen.is_some_and(|(_, since)| now.saturating_duration_since(since) >= QUIET)
    }

    fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().as_ref().map(Stamp::of)
    }
}

fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    // asked before it is opened: opening a device or a pipe may do something
    is_file(&fs::metadata(path).map_err(cannot)?)?;
    read_opened(path, max_bytes)
}

fn is_file(metadata: &Metadata) -> Result<(), String> {
    if metadata.is_file() { Ok(()) } else { Err("it is not a file".to_owned()) }
}

/// Reads what is at `path` by now, be it another than a moment ago: a pipe neither keeps the thread nor counts.
fn read_opened(path: &Path, max_bytes: usize) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(cannot)?;
    is_file(&opened.metadata().map_err(cannot)?)?;
    let mut bytes = Vec::new();
    let limit = (max_bytes as u64).saturating_add(1);
    opened.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > max_bytes {
        return Err(format!("it is larger than {max_bytes} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_once_it_is_quiet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, "one").unwrap();
        let now = Instant::now();
        let mut watched = Watched::new(path.clone(), 10);
        assert_eq!(watched.load(now).unwrap(), b"one");
        assert_eq!(watched.look(now), None);
        fs::write(&path, "three").unwrap();
        assert_eq!(watched.look(now), None, "it may still be being written");
        assert_eq!(watched.look(now), Some(Ok(b"three".to_vec())));
        assert_eq!(watched.look(now), None);
        fs::rename(&path, dir.path().join("away")).unwrap();
        assert_eq!(watched.look(now), None);
        assert!(watched.look(now).unwrap().unwrap_err().contains("cannot be read"));
        assert_eq!(watched.look(now), None, "told once");
        assert!(watched.look(now + FIRST_RETRY).unwrap().is_err(), "and tried again");
        assert_eq!(watched.look(now + FIRST_RETRY * 2), None, "later and later");
        fs::write(&path, "more than ten").unwrap();
        assert_eq!(watched.look(now), None);
        assert!(watched.look(now).unwrap().unwrap_err().contains("larger than 10 bytes"));
        assert!(watched.look(now + READ_ANYWAY).is_some());
        // cut, to be written again
        fs::write(&path, "seven..").unwrap();
        assert_eq!(watched.look(now), None);
        assert!(watched.look(now).unwrap().is_ok());
        fs::write(&path, "").unwrap();
        assert_eq!(watched.look(now), None);
        assert_eq!(watched.look(now + QUIET / 2), None, "it may be written again");
        fs::write(&path, "seven!!").unwrap();
        assert_eq!(watched.look(now), None);
        assert_eq!(watched.look(now), Some(Ok(b"seven!!".to_vec())));
        fs::write(&path, "three").unwrap();
        assert_eq!(watched.look(now), None);
        assert_eq!(watched.look(now + QUIET), Some(Ok(b"three".to_vec())));
        assert!(Watched::new(dir.path().to_owned(), 10).load(now).unwrap_err().contains("not a file"));
    }

    /// A pipe may take the place of a file between the question what it is and its opening.
    #[test]
    fn a_pipe_keeps_no_reader_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || tell.send(read_opened(&path, 10)));
        let read = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(read.unwrap_err(), "it is not a file");
        assert!(read_opened(dir.path(), 10).unwrap_err().contains("not a file"));
    }

    /// What is open for writing is not read, however long, and says so. One that was so at the start is read again.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_being_written_is_held_back() {
        use std::io::Write as _;
        for at_start in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("tokens");
            fs::write(&path, "one").unwrap();
            let open = || fs::OpenOptions::new().append(true).open(&path).unwrap();
            let mut watched = Watched::new(path.clone(), 100);
            let mut writer = at_start.then(open);
            assert_eq!(watched.load_first().unwrap(), b"one");
            let mut writer = writer.take().unwrap_or_else(open);
            let mut now = Instant::now();
            writer.write_all(b" two").unwrap();
            for _ in 0..100 {
                now += LOOK;
                assert_eq!(watched.look(now), None);
            }
            if is_written(&path).is_none() {
                // a file system without leases
                return;
            }
            assert!(watched.held().unwrap().contains("open for writing"), "{at_start}");
            writer.write_all(b" three").unwrap();
            drop(writer);
            let read = (0..8).find_map(|n| watched.look(now + LOOK * n)).unwrap();
            assert_eq!((read.unwrap().as_slice(), watched.held()), (b"one two three".as_slice(), None), "{at_start}");
        }
    }
}
