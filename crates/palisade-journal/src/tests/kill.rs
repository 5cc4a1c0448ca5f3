//! A process that commits is killed at any moment: what it acknowledged is there, and else a prefix of what it did.
//!
//! The suite kills some hundred times; with `PALISADE_TEST_KILLS=1000`, so often.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::tests::{Change, Dice, Model, open, settings};
use crate::{Commit, Durability, Fresh, Journal, OpenError};

const STORE: &str = "PALISADE_TEST_JOURNAL";
const RUN: &str = "PALISADE_TEST_JOURNAL_RUN";

fn durability(n: u64) -> Durability {
    [Durability::Fsync, Durability::Interval, Durability::None][(n % 3) as usize]
}

/// The commits that the run makes one transaction of, the first of which has this counter: only the counter says which.
fn group(counter: u64) -> (usize, Dice) {
    let mut dice = Dice(counter);
    (dice.next(4) as usize + 1, dice)
}

fn transaction(model: &mut Model, journal: &mut Journal) -> Vec<Commit> {
    let (count, mut dice) = group(model.counter + 1);
    let mut commit = || {
        let mut changes = dice.changes();
        // each makes another state, so that its counter is its own
        changes.push(Change::Put(0, 0, dice.bytes(9)));
        model.commit(journal, &changes)
    };
    (0..count).map(|_| commit()).collect()
}

/// The process that is killed. It writes each counter that was acknowledged to its standard output.
#[test]
#[ignore = "a part of the test that kills"]
fn child() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let run: u64 = std::env::var(RUN).unwrap().parse().unwrap();
    let (mut journal, mut model, begun) = open(Path::new(&path), settings(durability(run), run + 100)).unwrap();
    let mut out = std::io::stdout().lock();
    let mut say =
        |word: u64| out.write_all(&[b"#".as_slice(), &word.to_le_bytes()].concat()).and_then(|()| out.flush()).unwrap();
    say(begun.incarnation);
    say(model.counter);
    loop {
        let commits = transaction(&mut model, &mut journal);
        journal.append(&commits).unwrap();
        say(model.counter);
        if model.counter % 16 == 0 {
            journal.flush().unwrap();
        }
        if model.counter % 50 < 2 {
            let mut compaction = journal.compaction().unwrap().unwrap();
            compaction.copy().unwrap();
            let commits = transaction(&mut model, &mut journal);
            journal.append(&commits).unwrap();
            say(model.counter);
            journal.finish_compaction(compaction).unwrap();
        }
    }
}

fn spawn(path: &Path, run: u64) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["tests::kill::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(STORE, path).env(RUN, run.to_string()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The numbers that a child said.
fn said(bytes: &[u8]) -> Vec<u64> {
    let start = bytes.iter().position(|byte| *byte == b'#').unwrap_or(bytes.len());
    bytes[start..].chunks_exact(9).map(|word| u64::from_le_bytes(word[1..].try_into().unwrap())).collect()
}

#[test]
fn what_was_acknowledged_survives_the_process() {
    let kills = std::env::var("PALISADE_TEST_KILLS").ok().map_or(200, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let shadow_path = dir.path().join("shadow");
    // the same commits, made here
    let (mut shadow, mut model, _) = open(&shadow_path, settings(Durability::None, 1)).unwrap();
    let mut dice = Dice(21);
    // the incarnation of the run before, and whether the next must have one of its own; unknown where it said nothing
    let (mut before, mut acknowledged) = (None, 0);
    for run in 0..kills {
        let mut child = spawn(&path, run);
        let mut out = child.stdout.take().unwrap();
        // it is killed as it opens, or some time after
        let mut bytes = vec![0; if dice.next(10) == 0 { 0 } else { 300 }];
        out.read_exact(&mut bytes).unwrap();
        std::thread::sleep(Duration::from_micros(dice.next(4000)));
        child.kill().unwrap();
        child.wait().unwrap();
        out.read_to_end(&mut bytes).unwrap();
        let said = said(&bytes);
        if let [began, counter, ..] = said.as_slice() {
            if let Some((incarnation, is_fresh)) = before {
                assert_eq!(*began, if is_fresh { run + 100 } else { incarnation }, "run {run}");
            }
            assert!(*counter >= acknowledged);
            before = Some((*began, durability(run) != Durability::Fsync));
        } else {
            before = None;
        }
        acknowledged = said.iter().skip(1).copied().max().unwrap_or(acknowledged).max(acknowledged);
        // a look finds it whole, as it is
        let checked = crate::check(&path);
        if matches!(checked, Err(OpenError::Io { .. })) && !path.exists() {
            continue;
        }
        let found = checked.unwrap();
        assert!(found.counter >= acknowledged, "run {run}: {} of {acknowledged}", found.counter);
        // nothing but whole transactions
        while model.counter < found.counter {
            let commits = transaction(&mut model, &mut shadow);
            shadow.append(&commits).unwrap();
        }
        let copy = dir.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        let (journal, again, begun) = open(&copy, settings(Durability::Fsync, 5)).unwrap();
        assert_eq!(again, model, "run {run}");
        assert_eq!(begun.fresh, Some(Fresh::Copied));
        drop(journal);
        std::fs::remove_file(copy).unwrap();
    }
    assert!(acknowledged > kills * 10, "{acknowledged} commits in {kills} runs");
    eprintln!("{kills} kills, {acknowledged} commits acknowledged");
}

#[test]
fn another_process_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut child = spawn(&path, 0);
    let mut bytes = [0; 300];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut bytes).unwrap();
    // while it commits, and puts other files in the store's place
    for _ in 0..50 {
        let error = Journal::open(&path, settings(Durability::Fsync, 9)).unwrap_err();
        assert!(matches!(&error, OpenError::InUse(_)), "{error}");
        assert!(error.to_string().starts_with(&format!("`{}` is in use by another process", path.display())));
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    open(&path, settings(Durability::Fsync, 9)).unwrap();
}
