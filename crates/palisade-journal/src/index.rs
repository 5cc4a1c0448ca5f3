//! Which record has the last word for each key, without holding all keys: 16 bytes a record.
//!
//! A hash only says which records to compare. Where several have one, their keys are read and compared whole.

use std::fs::File;
use std::hash::BuildHasher;
use std::io;

use crate::format::{Record, sum};
use crate::saved::Window;

/// Records in the order of their commits, which is not that of the log where some were written ahead.
#[derive(Debug)]
pub(crate) struct Index {
    seed: u64,
    /// The hash of kind and key, and twice the place of the record, plus one if it is a word and no revert.
    found: Vec<(u64, u64)>,
}

impl Default for Index {
    fn default() -> Self {
        // drawn at random, so that who chooses keys cannot make them meet
        Self { seed: std::hash::RandomState::new().hash_one(0), found: Vec::new() }
    }
}

impl Index {
    pub(crate) fn hash(&self, record: &Record<'_>) -> u64 {
        sum(self.seed.wrapping_add(u64::from(record.kind)), record.key)
    }

    pub(crate) fn push(&mut self, hash: u64, place: u64, is_word: bool) {
        self.found.push((hash, place << 1 | u64::from(is_word)));
    }

    pub(crate) fn clear(&mut self) {
        self.found.clear();
    }

    /// The places of the records that have the last word, in the order of the log; reverts and forgotten answers are
    /// left out, since they have none.
    pub(crate) fn live(mut self, file: &File) -> io::Result<Vec<u64>> {
        if self.found.is_sorted_by_key(|(_, place)| *place) {
            self.found.sort_unstable();
        } else {
            // those of one key stay in the order of their commits
            self.found.sort_by_key(|(hash, _)| *hash);
        }
        let runs = || self.found.chunk_by(|a, b| a.0 == b.0);
        let several = runs().filter(|run| run.len() > 1).flatten();
        let keys = Keys::read(file, several.map(|(_, place)| place >> 1).collect())?;
        let mut live = Vec::with_capacity(self.found.len());
        // the keys of records that have one hash, and the last place of each
        let mut last: Vec<(&[u8], u64)> = Vec::new();
        for run in runs() {
            last.clear();
            match run {
                [(_, place)] => last.push((&[], *place)),
                _ => {
                    for (_, place) in run {
                        let key = keys.at(place >> 1);
                        match last.iter_mut().find(|(known, _)| *known == key) {
                            Some(known) => known.1 = *place,
                            None => last.push((key, *place)),
                        }
                    }
                }
            }
            live.extend(last.iter().filter(|(_, place)| place & 1 == 1).map(|(_, place)| place >> 1));
        }
        live.sort_unstable();
        Ok(live)
    }
}

/// The keys of some records, with their kinds. They are read in the order of the log, which is far faster than any other.
struct Keys {
    places: Vec<u64>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Keys {
    fn read(file: &File, mut places: Vec<u64>) -> io::Result<Self> {
        places.sort_unstable();
        let (mut ends, mut bytes) = (Vec::with_capacity(places.len()), Vec::new());
        let mut window = Window::over(file, &places)?;
        for place in &places {
            let record = window.record(*place)?;
            bytes.push(record.kind);
            bytes.extend_from_slice(record.key);
            ends.push(bytes.len());
        }
        Ok(Self { places, ends, bytes })
    }

    fn at(&self, place: u64) -> &[u8] {
        let Ok(i) = self.places.binary_search(&place) else { return &[] };
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[i]]
    }
}
