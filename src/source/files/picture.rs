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

/// As many bytes are read at most. What is not read is told by its stamp.
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
    /// What was loaded, and listed at `listed` or later. A load waits a moment for what is ahead of the clock.
    pub(super) fn all(scan: &Scan, loaded: &Loaded, listed: SystemTime) -> KnownFiles {
        let known = |file: &Found| {
            let sha256 = loaded.files.get(&file.origin)?.sha256();
            let waited_for = file.stamp.is_fine() && file.stamp.is_ahead(listed);
            let settled = waited_for || file.stamp.is_settled(listed);
            Some((file.origin.clone(), Self { stamp: file.stamp, sha256, settled }))
        };
        scan.files.iter().filter_map(known).collect()
    }

    fn tells(&self, file: &Found) -> bool {
        self.settled && self.stamp == file.stamp
    }
}

/// One look at everything.
struct Look {
    picture: Picture,
    read: KnownFiles,
    /// Whether a change from here on shows in the stamp of every file that was not read, and in the times of every
    /// directory that was not listed.
    settled: bool,
    /// Whether a directory could not be listed.
    hidden: bool,
}

/// What the files hold now; also gives what was read for that.
pub(super) fn take(tree: &Tree, known: &KnownFiles) -> (Picture, KnownFiles) {
    let listed = SystemTime::now();
    let first = Scan::of(tree);
    let mut look = Look::at(&first, known, listed, None);
    if !look.settled {
        // the clock of files has moved on a moment later, whatever it shows
        thread::sleep(CLOCK_STEP);
        let later = SystemTime::now();
        look = Look::at(&Scan::of(tree), known, later, Some(&first));
    }
    if look.hidden {
        look.picture.hide(listed);
    }
    (look.picture, look.read)
}

impl Look {
    /// Looks at what was listed at `listed` or later, and perhaps one step of the clock of files before that.
    fn at(scan: &Scan, known: &KnownFiles, listed: SystemTime, earlier: Option<&Scan>) -> Self {
        let waited = earlier.is_some();
        let earlier: HashMap<&str, Stamp> =
            earlier.iter().flat_map(|scan| &scan.files).map(|file| (file.origin.as_str(), file.stamp)).collect();
        let mut look = Self { picture: Picture::default(), read: KnownFiles::new(), settled: true, hidden: false };
        let mut left = MOST_READ;
        for file in &scan.files {
            let before = known.get(&file.origin);
            let mut seen = Seen::default();
            if let Some(known) = before.filter(|known| known.tells(file)) {
                seen.sha256 = Some(known.sha256);
            } else {
                let stood = file.stamp.is_fine() && earlier.get(file.origin.as_str()) == Some(&file.stamp);
                let settled = stood || file.stamp.is_settled(listed);
                if file.stamp.len == 0 {
                    // it may be about to be written again, with what it held: it is not believed to be empty yet
                    seen.stamp = Some(file.stamp);
                    seen.sha256 = before.map(|known| known.sha256);
                } else if let Some(sha256) = sha256(file, &mut left) {
                    seen.sha256 = Some(sha256);
                    look.read.insert(file.origin.clone(), KnownFile { stamp: file.stamp, sha256, settled });
                } else {
                    // permissions that come and go change nothing
                    let same = |known: &&KnownFile| known.stamp.is_same_but_for_permissions(&file.stamp);
                    seen.sha256 = before.filter(same).map(|known| known.sha256);
                    seen.stamp = Some(file.stamp);
                    look.settled &= settled || waited;
                }
            }
            look.picture.add(&file.origin, seen);
        }
        // what is missing may come back as it was: it is not believed to be gone yet
        let there: HashSet<&str> = scan.files.iter().map(|file| file.origin.as_str()).collect();
        for (origin, known) in known.iter().filter(|(origin, _)| !there.contains(origin.as_str())) {
            look.picture.add(origin, Seen { gone: true, sha256: Some(known.sha256), stamp: None });
        }
        if scan.problems.iter().any(|problem| problem.passing) {
            look.hidden = true;
            look.settled &= waited;
        }
        look
    }
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
