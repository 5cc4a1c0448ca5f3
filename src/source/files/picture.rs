//! Looks at what the files hold at one moment, without reading what is known already.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::thread;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::source::files::Tree;
use crate::source::files::scan::{Found, Scan};
use crate::source::files::sightings::Sightings;
use crate::source::files::stamp::{self, CLOCK_STEP, Stamp};
use crate::source::picture::Seen;
use crate::source::{Loaded, Picture};

/// As many bytes are read at most. The rest counts as it was loaded, or is known by its stamp.
pub(super) const MOST_READ: u64 = 16 << 20;

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
    /// What was loaded, and read after `read`.
    pub(super) fn all(scan: &Scan, loaded: &Loaded, sightings: &Sightings, read: Instant) -> KnownFiles {
        let known = |file: &Found| {
            let sha256 = loaded.files.get(&file.origin)?.sha256();
            let settled = sightings.is_settled(file, read);
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
    /// Whether a change from here on shows in the stamp of every file that was not read.
    settled: bool,
}

/// What the files hold now; also gives what was read for that.
pub(super) fn take(tree: &Tree, known: &KnownFiles, sightings: &Sightings) -> (Picture, KnownFiles) {
    let listed = Instant::now();
    let first = Scan::of(tree);
    let mut look = Look::at(&first, known, |file| sightings.is_settled(file, listed));
    if !look.settled {
        let mut ours = Sightings::default();
        ours.note(&first, Instant::now());
        // the clock of files has moved on a moment later, whatever it shows
        thread::sleep(CLOCK_STEP);
        let later = Instant::now();
        let settled = |file: &Found| ours.is_settled(file, later) || sightings.is_settled(file, later);
        look = Look::at(&Scan::of(tree), known, settled);
    }
    (look.picture, look.read)
}

impl Look {
    /// Looks at what was listed. A file is `settled` if each change of it since then gives it another stamp.
    fn at(scan: &Scan, known: &KnownFiles, settled: impl Fn(&Found) -> bool) -> Self {
        let mut look = Self { picture: Picture::default(), read: KnownFiles::new(), settled: true };
        let mut left = MOST_READ;
        for file in &scan.files {
            let before = known.get(&file.origin);
            let mut seen = Seen::default();
            if let Some(known) = before.filter(|known| known.tells(file)) {
                seen.sha256 = Some(known.sha256);
            } else {
                let settled = settled(file);
                if file.stamp.len == 0 {
                    // it may be about to be written again, with what it held: it does not count as empty yet
                    seen.empty = true;
                    seen.sha256 = before.map(|known| known.sha256);
                } else if let Some(sha256) = sha256(file, &mut left) {
                    seen.sha256 = Some(sha256);
                    look.read.insert(file.origin.clone(), KnownFile { stamp: file.stamp, sha256, settled });
                } else {
                    // permissions that come and go change nothing: it counts as holding what was last loaded. If
                    // something else is read later, it counts as changed later, whatever its times
                    let same = |known: &&KnownFile| known.stamp.is_same_but_for_permissions(&file.stamp);
                    seen.sha256 = before.filter(same).map(|known| known.sha256);
                    seen.stamp = Some(file.stamp.print());
                    look.settled &= settled;
                }
            }
            look.picture.add(&file.origin, seen);
        }
        // what is missing may come back as it was: it does not count as gone yet
        let there: HashSet<&str> = scan.files.iter().map(|file| file.origin.as_str()).collect();
        for (origin, known) in known.iter().filter(|(origin, _)| !there.contains(origin.as_str())) {
            look.picture.add(origin, Seen { gone: !scan.hides(origin), sha256: Some(known.sha256), ..Seen::default() });
        }
        if !scan.problems.is_empty() {
            look.picture.set_partial();
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
