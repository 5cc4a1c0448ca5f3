//! Which record has the last word for each key, without holding the keys: 16 bytes a record.
//!
//! A hash only says which records to compare. Where several have one, their keys are read and compared whole.

use std::fs::File;
use std::hash::BuildHasher;
use std::io;

use crate::format::{Record, sum};
use crate::saved::Window;

/// Records in the order of the log.
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
        self.found.sort_unstable();
        let mut window = Window::new(file.try_clone()?, 256);
        let mut live = Vec::with_capacity(self.found.len());
        // the keys of records that have one hash, and the last place of each
        let mut keys: Vec<(u8, Vec<u8>, u64)> = Vec::new();
        for run in self.found.chunk_by(|a, b| a.0 == b.0) {
            if let [(_, place)] = run {
                if place & 1 == 1 {
                    live.push(place >> 1);
                }
                continue;
            }
            keys.clear();
            for (_, place) in run {
                let record = window.record(place >> 1)?;
                match keys.iter_mut().find(|(kind, key, _)| (*kind, &**key) == (record.kind, record.key)) {
                    Some(known) => known.2 = *place,
                    None => keys.push((record.kind, record.key.to_vec(), *place)),
                }
            }
            live.extend(keys.iter().filter(|(.., place)| place & 1 == 1).map(|(.., place)| place >> 1));
        }
        live.sort_unstable();
        Ok(live)
    }
}
