//! What the file system says of a file without reading it. The only part that differs by operating system.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

/// Equal as long as a file was neither replaced nor written nor given other permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) struct Stamp {
    /// Its length in bytes.
    pub(super) len: u64,
    modified: Option<SystemTime>,
    /// Moves also where a tool sets the time of modification back, and with the permissions.
    changed: (i64, i64),
    place: (u64, u64),
}

/// How far apart two changes are at least that are sure to have other times.
pub(super) const CLOCK_STEP: Duration = Duration::from_millis(20);

/// The same where the file system keeps whole seconds only, or every other one.
const COARSE_STEP: Duration = Duration::from_secs(2);

/// Equal as long as a path leads to the same directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    place: (u64, u64),
    /// Inode numbers are used again, at once on some file systems.
    born: Option<SystemTime>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            changed: system::changed(metadata),
            place: system::place(metadata),
        }
    }

    /// The same as bytes of a fixed length, for another run of the program too: equal for equal stamps.
    pub(in crate::source) fn print(&self) -> [u8; 32] {
        let Self { len, modified, changed: (seconds, nanoseconds), place: (device, number) } = self;
        let modified = modified.map(|at| match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => (1, since),
            Err(before) => (2, before.duration()),
        });
        let (kind, since) = modified.unwrap_or_default();
        let mut sum = Sha256::new();
        for number in [*len, kind, since.as_secs(), since.subsec_nanos().into(), *device, *number] {
            sum.update(number.to_le_bytes());
        }
        for number in [seconds, nanoseconds] {
            sum.update(number.to_le_bytes());
        }
        sum.finalize().into()
    }

    /// Which file it is, whatever its name.
    pub(super) fn place(&self) -> (u64, u64) {
        self.place
    }

    /// When it was last touched in any way, by the clock of its file system: compare it with times of that clock.
    pub(super) fn changed_at(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.changed;
        let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    /// Whether nothing but permissions, owners or links changed from one to the other, as far as sizes and times show.
    /// Tools set times back, and a new file may get the inode of a removed one: this proves nothing of the content.
    pub(super) fn is_same_but_for_permissions(&self, other: &Self) -> bool {
        let Self { len, modified, changed: _, place } = other;
        self.place == *place && self.len == *len && (self.modified == *modified || *len == 0)
    }

    /// Whether it is the same file, as long as it was.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.place, self.len) == (other.place, other.len)
    }

    /// Whether it was last touched before `other`, or at the same time, by the clock of the file system of both.
    pub(super) fn is_not_after(&self, other: &Self) -> bool {
        self.place.0 == other.place.0 && self.changed <= other.changed
    }

    /// How long after this was found a change is sure to give another stamp.
    pub(super) fn step(&self) -> Duration {
        if self.changed.1 != 0 { CLOCK_STEP } else { COARSE_STEP }
    }
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { place: system::place(metadata), born: metadata.created().ok() }
    }
}

/// Opens a file to read it. Returns at once, even if the path has become a pipe without a writer.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    system::never_wait(&mut options);
    options.open(path)
}

/// Reads some bytes from `offset` on, whatever other threads read of the same file.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    system::read_at(file, buffer, offset)
}

#[cfg(unix)]
mod system {
    use std::fs::{File, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    /// `O_NONBLOCK`, which the standard library has no name for.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const NONBLOCK: i32 = 0o4000;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const NONBLOCK: i32 = 0x0004;

    pub(super) fn never_wait(options: &mut OpenOptions) {
        options.custom_flags(NONBLOCK);
    }

    pub(super) fn changed(metadata: &Metadata) -> (i64, i64) {
        (metadata.ctime(), metadata.ctime_nsec())
    }

    pub(super) fn place(metadata: &Metadata) -> (u64, u64) {
        (metadata.dev(), metadata.ino())
    }

    pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{File, Metadata, OpenOptions};
    use std::io::{self, Read, Seek, SeekFrom};

    pub(super) fn never_wait(_options: &mut OpenOptions) {}

    pub(super) fn changed(_metadata: &Metadata) -> (i64, i64) {
        (0, 0)
    }

    pub(super) fn place(_metadata: &Metadata) -> (u64, u64) {
        (0, 0)
    }

    /// Two at once would move each other's place; what they then read is found out by its hash.
    pub(super) fn read_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }
}
