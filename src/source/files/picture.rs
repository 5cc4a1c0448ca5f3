//! Looks at what the files hold at one moment, without reading what is known already.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::thread;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::source::files::Tree;
use crate::source::files::scan::{Found, Scan};
use crate::source::files::stamp::{self, CLOCK_STEP, Stamp};
use crate::source::picture::Seen;
use crate::source::{Loaded, Picture};

/// As many bytes are read at most. What is larger is told by its stamp.
const MOST_READ: u64 = 16 << 20;

/// What a file held when it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFile {
    stamp: Stamp,
    sha256: [u8; 32],
    /// Whether it holds the same for as long as it has this stamp.
    settled: bool,
}

/// By origin.
pub(super) type KnownFiles = HashMap<String, KnownFile>;

impl KnownFile {
    /// What was loaded, and listed at `listed` or later.
    pub(super) fn all(scan: &Scan, loaded: &Loaded, listed: SystemTime) -> KnownFiles {
        let known = |file: &Found| {
            let sha256 = loaded.files.get(&file.origin)?.sha256();
            Some((file.origin.clone(), Self { stamp: file.stamp, sha256, settled: file.stamp.is_settled(listed) }))
        };
        scan.files.iter().filter_map(known).collect()
    }

    fn tells(&self, file: &Found) -> bool {
        self.settled && self.stamp == file.stamp
    }
}

/// What the files hold now; also gives what was read for that.
pub(super) fn take(tree: &Tree, known: &KnownFiles) -> (Picture, KnownFiles) {
    let mut listed = SystemTime::now();
    let mut scan = Scan::of(tree);
    let too_large = |scan: &Scan, listed: SystemTime| {
        let unread = scan.files.iter().filter(|file| !known.get(&file.origin).is_some_and(|known| known.tells(file)));
        unread.filter(|file| file.stamp.len > MOST_READ).any(|file| !file.stamp.is_settled(listed))
    };
    if too_large(&scan, listed) {
        // a moment later its stamp tells
        thread::sleep(CLOCK_STEP);
        (listed, scan) = (SystemTime::now(), Scan::of(tree));
    }
    let (mut picture, mut read) = (Picture::default(), KnownFiles::new());
    let mut left = MOST_READ;
    for file in &scan.files {
        let before = known.get(&file.origin);
        let mut seen = Seen::default();
        if let Some(known) = before.filter(|known| known.tells(file)) {
            seen.sha256 = Some(known.sha256);
        } else {
            let settled = file.stamp.is_settled(listed);
            seen.stamp = Some(file.stamp).filter(|_| settled);
            if file.stamp.len == 0 {
                // it may be about to be written again, with what it held: it is not believed to be empty yet
                seen.stamp = Some(file.stamp);
                seen.sha256 = before.map(|known| known.sha256);
            } else if let Some(sha256) = sha256(file, &mut left) {
                seen.sha256 = Some(sha256);
                read.insert(file.origin.clone(), KnownFile { stamp: file.stamp, sha256, settled });
            }
        }
        picture.add(&file.origin, seen);
    }
    // what is missing may come back as it was: it is not believed to be gone yet
    let there: HashSet<&str> = scan.files.iter().map(|file| file.origin.as_str()).collect();
    for (origin, known) in known.iter().filter(|(origin, _)| !there.contains(origin.as_str())) {
        picture.add(origin, Seen { gone: true, sha256: Some(known.sha256), stamp: None });
    }
    (picture, read)
}

/// What a file holds that was listed, if few enough bytes are left to read; what changed meanwhile is not known.
fn sha256(file: &Found, left: &mut u64) -> Option<[u8; 32]> {
    *left = left.checked_sub(file.stamp.len)?;
    let mut opened = stamp::open(&file.real).ok()?;
    let same =
        |opened: &std::fs::File| opened.metadata().is_ok_and(|now| now.is_file() && Stamp::of(&now) == file.stamp);
    if !same(&opened) {
        return None;
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut opened).take(file.stamp.len + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == file.stamp.len && same(&opened)).then(|| Sha256::digest(&bytes).into())
}
