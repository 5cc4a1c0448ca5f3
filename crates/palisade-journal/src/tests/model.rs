//! Any sequence of commits, openings, crashes, compactions and restored backups, beside the model.

use proptest::prelude::*;

use crate::tests::{Dice, Model, open, quick_dir, settings};
use crate::{Durability, Fresh, backup, check, restore};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many commits as one transaction.
    Append(u8),
    Flush,
    Close(Durability),
    /// What the process held is gone.
    Crash(Durability),
    Compact,
    /// Commits come while the compaction copies.
    CompactBeside(u8),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    let durability = prop_oneof![Just(Durability::Fsync), Just(Durability::Interval), Just(Durability::None)];
    prop_oneof![
        8 => (1..4u8).prop_map(Step::Append),
        1 => Just(Step::Flush),
        2 => durability.clone().prop_map(Step::Close),
        2 => durability.prop_map(Step::Crash),
        1 => Just(Step::Compact),
        1 => (0..4u8).prop_map(Step::CompactBeside),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_was_acknowledged_is_there(seed: u64, steps in prop::collection::vec(step(), 1..40)) {
        run(seed, &steps);
    }
}

fn run(seed: u64, steps: &[Step]) {
    let dir = quick_dir();
    let path = dir.path().join("store");
    let mut dice = Dice(seed);
    let (mut incarnation, mut durability) = (1, Durability::Fsync);
    let (mut journal, mut model, begun) = open(&path, settings(durability, incarnation)).unwrap();
    assert_eq!((begun.fresh, begun.incarnation), (Some(Fresh::Created), 1));
    for (n, step) in steps.iter().enumerate() {
        let drawn = n as u64 + 2;
        let commits = |count: u8, dice: &mut Dice, model: &mut Model, journal: &mut _| {
            let commits: Vec<_> = (0..count).map(|_| model.commit(journal, &dice.changes())).collect();
            journal.append(&commits).unwrap();
        };
        let expected = match *step {
            Step::Append(count) => {
                commits(count, &mut dice, &mut model, &mut journal);
                continue;
            }
            Step::Flush => {
                journal.flush().unwrap();
                assert_eq!(journal.counts().unflushed, 0);
                continue;
            }
            Step::Compact | Step::CompactBeside(_) => {
                let mut compaction = journal.compaction().unwrap().unwrap();
                if let Step::CompactBeside(count) = step {
                    commits(*count, &mut dice, &mut model, &mut journal);
                }
                compaction.copy().unwrap();
                journal.finish_compaction(compaction).unwrap();
                continue;
            }
            Step::Close(next) => {
                journal.close().unwrap();
                durability = next;
                None
            }
            Step::Crash(next) => {
                drop(journal);
                let unclean = durability != Durability::Fsync;
                durability = next;
                unclean.then_some(Fresh::Unclean)
            }
            Step::Restore => {
                let to = dir.path().join("backup");
                backup(&path, &to).unwrap();
                assert!(check(&to).unwrap().backup);
                drop(journal);
                std::fs::remove_file(&path).unwrap();
                restore(&to, &path).unwrap();
                std::fs::remove_file(&to).unwrap();
                Some(Fresh::Copied)
            }
        };
        let checked = check(&path).unwrap();
        let again = open(&path, settings(durability, drawn)).unwrap();
        assert_eq!(
            (checked.counter, checked.overlay, checked.answers),
            (model.counter, model.overlay.len(), model.answers.len())
        );
        assert_eq!(again.1, model);
        assert_eq!(again.2.fresh, expected, "{step:?}");
        assert_eq!(again.2.incarnation, if expected.is_some() { drawn } else { incarnation });
        assert_eq!((again.2.clean, again.2.dropped), (!matches!(step, Step::Crash(_)), 0));
        incarnation = again.2.incarnation;
        journal = again.0;
    }
}
