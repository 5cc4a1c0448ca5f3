//! What a store gives back is compared with a model that lives in memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use crate::{Base, Commit, Durability, Entry, Fresh, Journal, Kind, OpenError, Origin, Recovered, Settings, Word};

mod disk;
mod flips;
mod kill;
mod model;
mod speed;
mod table;

const KINDS: [Kind; 3] = [Kind::Entity, Kind::Policy, Kind::Link];

/// What commits amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    counter: u64,
    overlay: BTreeMap<(Kind, Vec<u8>), Option<Vec<u8>>>,
    answers: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    base: Option<Origin>,
    image: Option<Vec<u8>>,
    files: Option<Vec<u8>>,
    seen: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Change {
    Put(usize, u8, Vec<u8>),
    Tombstone(usize, u8),
    Revert(usize, u8),
    Clear,
    Files(u8),
    Image(Vec<u8>),
    Answered(u8, u64),
    Forgotten(u8),
    Saw(u8),
}

fn key(n: u8) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

impl Model {
    /// The next commit, which also changes the model.
    fn commit(&mut self, journal: &mut Journal, changes: &[Change]) -> Commit {
        // what makes no other state may have the counter of the one before
        let is_note = |change: &Change| matches!(change, Change::Answered(..) | Change::Forgotten(_) | Change::Saw(_));
        self.counter += u64::from(self.counter == 0 || changes.is_empty() || !changes.iter().all(is_note));
        let mut commit = Commit::new(self.counter);
        // a commit has one base, which has the last word about the files too
        let first =
            changes.iter().position(|change| matches!(change, Change::Files(_) | Change::Image(_) | Change::Saw(_)));
        for (n, change) in changes.iter().enumerate() {
            match change {
                Change::Files(_) | Change::Image(_) | Change::Saw(_) if first != Some(n) => {}
                Change::Put(kind, n, value) => {
                    commit.put(KINDS[*kind], &key(*n), value);
                    self.overlay.insert((KINDS[*kind], key(*n)), Some(value.clone()));
                }
                Change::Tombstone(kind, n) => {
                    commit.tombstone(KINDS[*kind], &key(*n));
                    self.overlay.insert((KINDS[*kind], key(*n)), None);
                }
                Change::Revert(kind, n) => {
                    commit.revert(KINDS[*kind], &key(*n));
                    self.overlay.remove(&(KINDS[*kind], key(*n)));
                }
                Change::Clear => {
                    commit.clear();
                    self.overlay.clear();
                }
                Change::Files(digest) => {
                    let origin = Origin::Files(vec![*digest; 32]);
                    commit.base(Base { origin: origin.clone(), image: None });
                    (self.base, self.image, self.files) = (Some(origin), None, Some(vec![*digest; 32]));
                    self.seen = None;
                }
                Change::Image(bytes) => {
                    let image = journal.begin_image().unwrap();
                    for piece in bytes.chunks(7) {
                        journal.append_image(image, piece).unwrap();
                    }
                    commit.base(Base { origin: Origin::Put, image: Some(image) });
                    commit.put_beside(bytes);
                    self.seen = Some(bytes.clone()).filter(|seen| !seen.is_empty());
                    (self.base, self.image) = (Some(Origin::Put), Some(bytes.clone()));
                }
                Change::Answered(n, expires) => {
                    commit.answered(&key(*n), &[*n; 9], *expires);
                    self.answers.insert(key(*n), (vec![*n; 9], *expires));
                }
                Change::Saw(digest) => {
                    commit.saw_files(&[*digest; 32]);
                    self.files = Some(vec![*digest; 32]);
                }
                Change::Forgotten(n) => {
                    commit.forgotten(&key(*n));
                    self.answers.remove(&key(*n));
                }
            }
        }
        // some are written ahead, and others come between
        if self.counter.is_multiple_of(3) {
            let ahead = journal.begin_ahead().unwrap();
            let mut records = commit.take_records();
            while let Some(piece) = records.piece() {
                journal.append_ahead(ahead, piece).unwrap();
            }
            commit.behind(ahead);
        }
        commit
    }

    fn of(recovered: Recovered) -> io::Result<Self> {
        let mut model = Self { counter: recovered.counter, base: recovered.base, ..Self::default() };
        (model.files, model.seen) = (recovered.files, recovered.seen);
        for saved in [&recovered.overlay, &recovered.answers] {
            saved.each(|entry| {
                let is_second = match entry {
                    Entry::Overlay { kind, key, word: Word::Put(value) } => {
                        model.overlay.insert((kind, key.to_vec()), Some(value.to_vec())).is_some()
                    }
                    Entry::Overlay { kind, key, word: Word::Tombstone } => {
                        model.overlay.insert((kind, key.to_vec()), None).is_some()
                    }
                    Entry::Answered { key, answer, expires } => {
                        model.answers.insert(key.to_vec(), (answer.to_vec(), expires)).is_some()
                    }
                };
                assert!(!is_second, "one record a key");
                io::Result::Ok(())
            })?;
        }
        if let Some(mut image) = recovered.image {
            let (mut bytes, length) = (Vec::new(), image.bytes_left());
            image.read_to_end(&mut bytes)?;
            assert_eq!(bytes.len() as u64, length);
            model.image = Some(bytes);
        }
        Ok(model)
    }
}

fn settings(durability: Durability, incarnation: u64) -> Settings {
    Settings { durability, incarnation }
}

/// A directory in memory where there is one: for tests of what is written, not of the disk.
fn quick_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// How a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    incarnation: u64,
    fresh: Option<Fresh>,
    clean: bool,
    dropped: u64,
}

/// Opens a store with these settings; what it holds, and how the run began.
fn open(path: &Path, settings: Settings) -> Result<(Journal, Model, Begun), OpenError> {
    let (journal, recovered) = Journal::open(path, settings)?;
    let Recovered { incarnation, fresh, clean, dropped, .. } = recovered;
    let model = Model::of(recovered).map_err(|error| OpenError::io(path, "read", error))?;
    Ok((journal, model, Begun { incarnation, fresh, clean, dropped }))
}

/// Numbers from a seed.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn bytes(&mut self, below: u64) -> Vec<u8> {
        (0..self.next(below)).map(|_| self.next(256) as u8).collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        (0..self.next(6)).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        let (kind, n) = (self.next(3) as usize, self.next(6) as u8);
        match self.next(40) {
            0 => Change::Clear,
            1 => Change::Files(n),
            2 => Change::Image(self.bytes(40)),
            3..10 => Change::Tombstone(kind, n),
            10..14 => Change::Revert(kind, n),
            14..18 => Change::Answered(n, self.next(100)),
            18..20 => Change::Forgotten(n),
            20 => Change::Saw(n),
            _ => Change::Put(kind, n, self.bytes(60)),
        }
    }
}
