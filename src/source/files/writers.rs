//! Whether a file is open for writing at this moment, as the system itself knows.
//!
//! Notifications say nothing of a writer that opened its file before the watch was set. Linux gives a lease to read
//! only while no descriptor and no mapping of any process can write to the file, by whatever name. So a lease is
//! asked for and given back at once. It takes the owner of the file or `CAP_LEASE`, and a local file system; where
//! it is refused for another reason, the descriptors of the processes that we may look at are searched.

use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Once;

use crate::source::files::scan::Found;
use crate::source::files::stamp::{self, Stamp};

/// The most files that are listed: more would add nothing.
const MAX_TOLD: usize = 100;

/// The log says once that the system does not show writers.
static NO_LEASES: Once = Once::new();

/// A file that is not to be loaded as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Its path without links.
    pub(super) path: PathBuf,
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// It is open for writing now, by this process if that can be seen.
    Open(Option<String>),
    /// It is not what was listed any more.
    Changed,
}

/// What the system says of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Written,
    Closed,
    /// It does not say.
    Unknown,
}

/// Those of `files` that are open for writing. If all of them were `read` well, also those that changed since.
pub(super) fn written<'f>(files: impl Iterator<Item = &'f Found>, read: bool) -> Vec<Written> {
    let (mut found, mut open, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match ask(file) {
            Some((Answer::Closed, _)) => {}
            Some((Answer::Written, metadata)) => open.push((file, metadata)),
            Some((Answer::Unknown, metadata)) => unknown.push((file, metadata)),
            None if read => found.push(Written { path: file.real.clone(), why: Why::Changed }),
            None => {}
        }
        if found.len() + open.len() >= MAX_TOLD {
            break;
        }
    }
    if let Some((file, _)) = unknown.first() {
        NO_LEASES.call_once(|| {
            tracing::warn!(
                "the system does not say whether `{}` is open for writing, so that a file which is written in place may \
                 be read half: publish by rename, or let the sidecar own its files or have CAP_LEASE",
                file.origin
            );
        });
    }
    // one search for all: it may take long
    let asked: Vec<Metadata> = open.iter().chain(&unknown).map(|(_, metadata)| metadata.clone()).collect();
    let mut writer = if asked.is_empty() { None } else { system::writer_of(&asked) };
    for (at, (file, _)) in open.iter().chain(&unknown).enumerate() {
        let by = writer.take_if(|(of, _)| *of == at).map(|(_, by)| by);
        if at < open.len() || by.is_some() {
            found.push(Written { path: file.real.clone(), why: Why::Open(by) });
        }
    }
    found
}

/// Whether some process can write to the file at this path now; `None` if the system does not say.
pub(crate) fn is_written(path: &Path) -> Option<bool> {
    match system::answer(&stamp::open(path).ok()?) {
        Answer::Written => Some(true),
        Answer::Closed => Some(false),
        Answer::Unknown => None,
    }
}

/// Whether no process can write to this file as it was listed; not so if the system does not say.
pub(super) fn is_closed(file: &Found) -> bool {
    ask(file).is_some_and(|(answer, _)| answer == Answer::Closed)
}

/// The same, where the system knows of all who could: the file system is one of this machine alone.
pub(super) fn is_closed_here(file: &Found) -> bool {
    stamp::open(&file.real).is_ok_and(|opened| system::is_local(&opened)) && is_closed(file)
}

/// What the system says of the very file that was listed; `None` if it is not there any more.
fn ask(file: &Found) -> Option<(Answer, Metadata)> {
    let opened = stamp::open(&file.real).ok()?;
    let metadata = opened.metadata().ok()?;
    let answer = system::answer(&opened);
    (Stamp::of(&metadata) == file.stamp).then_some((answer, metadata))
}

impl Written {
    /// Whether it is another than was listed, rather than open.
    pub(super) fn is_changed(&self) -> bool {
        self.why == Why::Changed
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Open(Some(by)) => write!(f, "this is open for writing by {by}, and is not closed yet"),
            Why::Open(None) => f.write_str("this is open for writing, and is not closed yet"),
            Why::Changed => f.write_str("this changed while it was read"),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::{self, File, Metadata};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::Answer;

    /// Sets the signal that reports a process waiting for the lease to end. `libc` has no name for it on most systems.
    const F_SETSIG: libc::c_int = 10;

    /// The longest search of descriptors. A file without a writer found by then counts as closed after the quiet times.
    const LONGEST_SEARCH: Duration = Duration::from_millis(500);

    pub(super) fn answer(file: &File) -> Answer {
        // the usual signal would end the process; this one is ignored
        let taken = control(file, F_SETSIG, libc::SIGURG).and_then(|()| control(file, libc::F_SETLEASE, LEASE_TO_READ));
        match taken {
            Ok(()) => {
                // a process that opens it meanwhile to write waits: for a microsecond
                let _ = control(file, libc::F_SETLEASE, NO_LEASE);
                Answer::Closed
            }
            Err(libc::EAGAIN) => Answer::Written,
            Err(_) => Answer::Unknown,
        }
    }

    const LEASE_TO_READ: libc::c_int = libc::F_RDLCK as libc::c_int;
    const NO_LEASE: libc::c_int = libc::F_UNLCK as libc::c_int;

    /// `fcntl` with a number; gives the number of the error.
    #[expect(unsafe_code, reason = "neither the standard library nor `rustix` takes leases")]
    fn control(file: &File, command: libc::c_int, value: libc::c_int) -> Result<(), i32> {
        // SAFETY: the descriptor is open as long as `file` is borrowed, and these commands take a number: they
        // neither read nor write our memory.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
        if result == -1 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or_default()) } else { Ok(()) }
    }

    /// File systems on a disk or in the memory of this machine (`statfs(2)`): ext, XFS, Btrfs, ZFS, F2FS, bcachefs, tmpfs,
    /// overlays, and those that are read-only. Others give leases too, but other machines or programs write behind
    /// them: NFS, SMB, and all that goes through FUSE, as shares of a virtual machine's host do.
    const LOCAL: [u32; 11] = [
        0x0000_EF53,
        0x5846_5342,
        0x9123_683E,
        0x2FC1_2FC1,
        0xF2F5_2010,
        0xCA45_1A4E,
        0x0102_1994,
        0x794C_7630,
        0x7371_7368,
        0xE0F5_E1E2,
        0x0000_9660,
    ];

    /// Whether the file is on such a file system.
    #[expect(unsafe_code, reason = "the standard library has no word for it")]
    pub(super) fn is_local(file: &File) -> bool {
        let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the descriptor is open as long as `file` is borrowed, and the call writes one `statfs`, for which there
        // is room.
        let filled = unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } == 0;
        if !filled {
            return false;
        }
        // SAFETY: the call succeeded, so it has filled it.
        let kind = unsafe { found.assume_init() }.f_type;
        u32::try_from(kind).is_ok_and(|kind| LOCAL.contains(&kind))
    }

    /// The first of `files` that some process has open for writing, and the process, among those that we may look at.
    pub(super) fn writer_of(files: &[Metadata]) -> Option<(usize, String)> {
        let deadline = Instant::now() + LONGEST_SEARCH;
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let directory = process.path();
            let name = process.file_name();
            let Some(number) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
                continue;
            };
            for descriptor in fs::read_dir(directory.join("fd")).into_iter().flatten().flatten() {
                if Instant::now() >= deadline {
                    return None;
                }
                let Ok(open) = fs::metadata(descriptor.path()) else { continue };
                let same = |file: &Metadata| file.dev() == open.dev() && file.ino() == open.ino();
                if let Some(at) = files.iter().position(same)
                    && may_write(&directory.join("fdinfo").join(descriptor.file_name()))
                {
                    let program = fs::read_to_string(directory.join("comm")).unwrap_or_default();
                    return Some((at, format!("process {number} (`{}`)", program.trim_end())));
                }
            }
        }
        None
    }

    /// Whether a descriptor was opened to write, by what the system says of it.
    fn may_write(info: &Path) -> bool {
        let text = fs::read_to_string(info).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok()).unwrap_or_default();
        flags & libc::O_ACCMODE != libc::O_RDONLY
    }

    #[cfg(test)]
    mod tests {
        use std::fs::OpenOptions;

        use super::*;

        #[test]
        fn a_writer_is_known_by_lease_and_by_its_descriptor() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            fs::write(&path, "x").unwrap();
            let read = File::open(&path).unwrap();
            let metadata = || [read.metadata().unwrap()];
            // where the file system has no leases, or this user may take none
            let supported = answer(&read) != Answer::Unknown;
            let check = |written: bool, what: &str| {
                let by = writer_of(&metadata());
                let us = format!("process {} (", std::process::id());
                assert_eq!(by.map(|(at, by)| (at, by.starts_with(&us))), written.then_some((0, true)), "{what}");
                if supported {
                    let expected = if written { Answer::Written } else { Answer::Closed };
                    // another thread that starts a program has our descriptors for a moment
                    let start = Instant::now();
                    while answer(&read) != expected && start.elapsed() < Duration::from_secs(20) {}
                    assert_eq!(answer(&read), expected, "{what}");
                }
            };
            check(false, "readers alone");
            let write = OpenOptions::new().append(true).open(&path).unwrap();
            check(true, "a writer");
            fs::rename(&path, dir.path().join("b")).unwrap();
            check(true, "whatever the name");
            drop(write);
            check(false, "closed");
            // the lease is given back: a writer does not wait
            OpenOptions::new().write(true).open(dir.path().join("b")).unwrap();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::{File, Metadata};

    use super::Answer;

    pub(super) fn answer(_file: &File) -> Answer {
        Answer::Unknown
    }

    pub(super) fn is_local(_file: &File) -> bool {
        false
    }

    pub(super) fn writer_of(_files: &[Metadata]) -> Option<(usize, String)> {
        None
    }
}
