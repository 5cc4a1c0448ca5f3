//! A flipped bit is refused or does no harm: what is read is never another answer.
//!
//! The suite flips a sample; with `PALISADE_TEST_FLIPS=100000`, so many.

use std::path::Path;

use crate::tests::{Dice, Model, open, quick_dir, settings};
use crate::{Durability, Fresh, check, files};

/// How the store came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
    /// The system was started again since.
    Rebooted,
}

/// Makes a store; what it held after each commit.
fn make(path: &Path, durability: Durability, end: End) -> Vec<Model> {
    let (mut journal, mut model, _) = open(path, settings(durability, 7)).unwrap();
    let mut states = vec![model.clone()];
    let mut dice = Dice(3);
    for n in 0..24 {
        let commit = model.commit(&mut journal, &dice.changes());
        journal.append(&[commit]).unwrap();
        states.push(model.clone());
        if n == 12 {
            journal.flush().unwrap();
        }
    }
    match end {
        End::Clean => journal.close().unwrap(),
        End::Killed => drop(journal),
        End::Rebooted => {
            files::write_marks(&journal.file, crate::format::Mark { boot: 1, ..journal.mark }).unwrap();
        }
    }
    states
}

#[test]
fn flipped_bits_are_refused_or_harmless() {
    let count = std::env::var("PALISADE_TEST_FLIPS").ok().map_or(2400, |count| count.parse().unwrap());
    let cases = [
        (Durability::Fsync, End::Clean),
        (Durability::Fsync, End::Killed),
        (Durability::Fsync, End::Rebooted),
        (Durability::Interval, End::Clean),
        (Durability::Interval, End::Killed),
        (Durability::Interval, End::Rebooted),
    ];
    let mut dice = Dice(11);
    for (durability, end) in cases {
        let dir = quick_dir();
        let path = dir.path().join("store");
        let states = make(&path, durability, end);
        let (whole, bytes) = (states.last().unwrap(), std::fs::read(&path).unwrap());
        let (mut refused, mut same, mut shorter) = (0, 0, 0);
        for n in 0..count / cases.len() as u64 {
            let bit = match n % 4 {
                // the head and the marks, where one bit says most
                0 => dice.next(32 * 8),
                1 => (512 + dice.next(2) * 512) * 8 + dice.next(72 * 8),
                _ => dice.next(bytes.len() as u64 * 8),
            };
            let mut flipped = bytes.clone();
            flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            let is_whole = check(&path).is_ok();
            match open(&path, settings(durability, 8)) {
                Err(_) => {
                    refused += 1;
                    assert!(!is_whole, "bit {bit}: a look finds it too");
                }
                Ok((_, model, begun)) => {
                    assert!(is_whole, "bit {bit}");
                    let fresh = begun.fresh == Some(Fresh::Unclean);
                    assert!(begun.incarnation == if fresh { 8 } else { 7 });
                    if model == *whole {
                        same += 1;
                        // the clean end may be what was flipped: then an incarnation begins
                        assert!(durability == Durability::Fsync || fresh || end == End::Clean);
                    } else {
                        // a power cut takes what was not flushed, and a flipped bit there looks like one
                        assert!(durability != Durability::Fsync && end == End::Rebooted && fresh, "bit {bit}");
                        assert!(states[13..].contains(&model), "bit {bit}");
                        shorter += 1;
                    }
                }
            }
        }
        assert!(refused > 0 && same > 0, "{durability:?} {end:?}: {refused} {same} {shorter}");
        eprintln!("{durability:?} {end:?}: {refused} refused, {same} harmless, {shorter} up to what was flushed");
    }
}

#[test]
fn a_store_that_is_cut_is_refused() {
    for (durability, end) in
        [(Durability::Fsync, End::Clean), (Durability::None, End::Killed), (Durability::None, End::Rebooted)]
    {
        let dir = quick_dir();
        let path = dir.path().join("store");
        let states = make(&path, durability, end);
        let bytes = std::fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(13) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            if let Ok((_, model, begun)) = open(&path, settings(durability, 8)) {
                assert!(end == End::Rebooted && begun.fresh == Some(Fresh::Unclean), "cut at {length}");
                assert!(states[13..].contains(&model), "cut at {length}");
            }
        }
    }
}
