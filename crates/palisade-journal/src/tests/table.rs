//! What is refused, and what the refusals say; images and transactions of more than one frame.

use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::format::{FRAMES_AT, sum};
use crate::tests::{Dice, Model, open, settings};
use crate::{AppendError, Base, Commit, Durability, Fresh, Journal, Kind, Origin, backup, check, restore};

fn refusal(path: &Path) -> String {
    let before = std::fs::read(path).ok();
    let error = Journal::open(path, settings(Durability::Fsync, 9)).unwrap_err().to_string();
    assert_eq!(std::fs::read(path).ok(), before, "a refused file is left as it is");
    error.replace(&path.display().to_string(), "PATH")
}

/// A store with three commits.
fn store(path: &Path) {
    let (mut journal, mut model, _) = open(path, settings(Durability::Fsync, 7)).unwrap();
    for _ in 0..3 {
        let commit = model.commit(&mut journal, &Dice(5).changes());
        journal.append(&[commit]).unwrap();
    }
    journal.close().unwrap();
}

#[test]
fn what_is_no_whole_store_is_refused_by_name() {
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(&str, Spoil); 11] = [
        ("`PATH` is an empty file, which a store never is", |bytes| bytes.clear()),
        ("`PATH` is not a store of Palisade", |bytes| *bytes = b"{}".to_vec()),
        ("`PATH` is not a store of Palisade", |bytes| bytes[..16].fill(0)),
        (
            "the store `PATH` is damaged at byte 0: its head is not whole; nothing of it was loaded. Put a backup in its \
          place (`palisade store restore`), or move it away",
            |bytes| bytes[20] = 1,
        ),
        ("the store `PATH` is damaged at byte 0: its head is not whole", |bytes| bytes.truncate(20)),
        ("the store `PATH` is damaged at byte 3000: it is cut short", |bytes| bytes.truncate(3000)),
        ("the store `PATH` is damaged at byte 4096: it is cut short", |bytes| bytes.truncate(4096)),
        ("the store `PATH` is damaged at byte 512: neither mark is whole", |bytes| bytes[512..1200].fill(0)),
        ("the store `PATH` is damaged at byte 4096: a frame does not follow", |bytes| bytes[4096] = 0),
        ("the store `PATH` is damaged at byte", |bytes| {
            let end = bytes.len() - 1;
            bytes.truncate(end);
        }),
        (
            "the store `PATH` has format version 4, and this program reads version 3: use the program that wrote it",
            |bytes| {
                bytes[16] = 4;
                let sum = sum(0, &bytes[..24]);
                bytes[24..32].copy_from_slice(&sum.to_le_bytes());
            },
        ),
    ];
    for (expected, spoil) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        store(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        spoil(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let found = refusal(&path);
        assert!(found.starts_with(expected), "{found}");
        // a look and a copy refuse it in the same words
        assert_eq!(check(&path).unwrap_err().to_string().replace(&path.display().to_string(), "PATH"), found);
        let to = dir.path().join("to");
        assert_eq!(backup(&path, &to).unwrap_err().to_string().replace(&path.display().to_string(), "PATH"), found);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }
}

/// A store of the version before is read as it is, and is one of this version once it was taken: only then is anything
/// written into it that the program before takes for damage.
#[test]
fn a_store_of_an_older_version_becomes_one_of_this() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut journal, ..) = open(&path, settings(Durability::Fsync, 7)).unwrap();
    let mut commit = Commit::new(1);
    commit.put(Kind::Entity, b"key", b"value");
    journal.append(&[commit]).unwrap();
    journal.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16] = 1;
    let sum = sum(0, &bytes[..24]);
    bytes[24..32].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!((check(&path).unwrap().version, std::fs::read(&path).unwrap()), (1, bytes));
    let (mut journal, model, begun) = open(&path, settings(Durability::Fsync, 8)).unwrap();
    assert_eq!((model.counter, model.overlay.len(), begun.incarnation), (1, 1, 7));
    assert_eq!(check(&path).unwrap().version, 3);
    let ahead = journal.begin_ahead().unwrap();
    let mut commit = Commit::new(2);
    commit.put(Kind::Entity, b"other", b"value");
    let mut records = commit.take_records();
    journal.append_ahead(ahead, records.piece().unwrap()).unwrap();
    assert!(records.piece().is_none());
    commit.behind(ahead);
    journal.append(&[commit]).unwrap();
    drop(journal);
    assert_eq!(open(&path, settings(Durability::Fsync, 9)).unwrap().1.overlay.len(), 2);
}

/// What was written ahead of a commit is nothing without it, whatever came between.
#[test]
fn what_is_written_ahead_counts_with_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let large = |commit: &mut Commit, value: &[u8]| {
        for n in 0..40_u32 {
            commit.put(Kind::Entity, &n.to_le_bytes(), &value.repeat(60_000));
        }
    };
    let (mut journal, ..) = open(&path, settings(Durability::Fsync, 7)).unwrap();
    let (mut counter, mut pieces) = (0, 0);
    for (value, named) in [(b"a", true), (b"b", false), (b"c", true), (b"d", false)] {
        let mut commit = Commit::new(0);
        large(&mut commit, value);
        let ahead = journal.begin_ahead().unwrap();
        let mut records = commit.take_records();
        assert!(commit.bytes() == 0);
        while let Some(piece) = records.piece() {
            journal.append_ahead(ahead, piece).unwrap();
            pieces += 1;
            counter += 1;
            let mut other = Commit::new(counter);
            other.put(Kind::Entity, &7_u32.to_le_bytes(), b"before");
            journal.append(&[other]).unwrap();
        }
        assert!(!journal.may_compact(), "what it is of is not known yet");
        if named {
            counter += 1;
            let mut commit = commit.at(counter);
            commit.behind(ahead);
            commit.tombstone(Kind::Entity, &9_u32.to_le_bytes());
            journal.append(&[commit.clone()]).unwrap();
            assert!(matches!(journal.append(&[commit.at(counter + 1)]), Err(AppendError::NoImage(_))), "once");
        } else if value == b"b" {
            journal.drop_ahead(ahead);
        }
    }
    assert!(pieces > 8);
    // the last one is not named before the end
    drop(journal);
    let (journal, model, _) = open(&path, settings(Durability::Fsync, 8)).unwrap();
    assert_eq!((model.counter, model.overlay.len()), (counter, 40));
    let value = |n: u32| model.overlay[&(Kind::Entity, n.to_le_bytes().to_vec())].clone();
    assert_eq!((value(8), value(9)), (Some(b"c".repeat(60_000)), None));
    // single changes that were published before it come before it, and later ones behind it
    assert_eq!(value(7), Some(b"before".to_vec()));
    let mut compaction = journal.compaction().unwrap().unwrap();
    compaction.copy().unwrap();
    let mut journal = journal;
    journal.finish_compaction(compaction).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 3 << 20, "what no commit named is gone");
    drop(journal);
    assert_eq!(open(&path, settings(Durability::Fsync, 9)).unwrap().1, model);
}

#[test]
fn a_log_of_another_store_does_not_fit_its_marks() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for (path, value) in [(&one, b"a"), (&two, b"b")] {
        let (mut journal, ..) = open(path, settings(Durability::Fsync, 7)).unwrap();
        let mut commit = Commit::new(1);
        commit.put(Kind::Entity, b"k", value);
        journal.append(&[commit]).unwrap();
    }
    let (mut bytes, other) = (std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    let log = FRAMES_AT as usize;
    bytes[log..].copy_from_slice(&other[log..]);
    std::fs::write(&one, bytes).unwrap();
    assert!(refusal(&one).contains("the log is not that of its mark"));
}

#[test]
fn a_directory_and_a_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(dir.path()).contains("PATH"));
    let missing = dir.path().join("missing");
    assert!(check(&missing).unwrap_err().to_string().starts_with("cannot open"));
    // directories are made
    let deep = dir.path().join("a/b/store");
    let (journal, _, begun) = open(&deep, settings(Durability::Fsync, 3)).unwrap();
    assert_eq!((begun.fresh, begun.incarnation), (Some(Fresh::Created), 3));
    journal.close().unwrap();
    assert_eq!(open(&deep, settings(Durability::Fsync, 4)).unwrap().2.incarnation, 3);
}

#[test]
fn a_store_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut journal, mut model, _) = open(&path, settings(Durability::Fsync, 7)).unwrap();
    assert!(refusal(&path).starts_with("`PATH` is in use by another process"));
    // also after the file was replaced by a smaller one
    let mut compaction = journal.compaction().unwrap().unwrap();
    compaction.copy().unwrap();
    journal.finish_compaction(compaction).unwrap();
    assert!(refusal(&path).starts_with("`PATH` is in use by another process"));
    // a look and a copy need no turn
    let commit = model.commit(&mut journal, &[]);
    journal.append(&[commit]).unwrap();
    assert_eq!(check(&path).unwrap().counter, 1);
    backup(&path, &dir.path().join("backup")).unwrap();
    drop(journal);
    open(&path, settings(Durability::Fsync, 7)).unwrap();
}

#[test]
fn copies_replace_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("store"), dir.path().join("to"));
    store(&path);
    backup(&path, &to).unwrap();
    for (from, to) in [(&path, &to), (&to, &path)] {
        let before = std::fs::read(to).unwrap();
        let error = restore(from, to).unwrap_err().to_string();
        assert!(error.contains("exists: move it away first"), "{error}");
        assert_eq!(std::fs::read(to).unwrap(), before);
    }
    // a plain copy of the file begins an incarnation of its own too
    let copied = dir.path().join("copied");
    std::fs::copy(&path, &copied).unwrap();
    let (_, model, begun) = open(&copied, settings(Durability::Fsync, 8)).unwrap();
    assert_eq!((begun.fresh, begun.incarnation), (Some(Fresh::Copied), 8));
    assert_eq!(model, open(&path, settings(Durability::Fsync, 9)).unwrap().1);
}

#[test]
fn counters_only_grow_and_records_have_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(&dir.path().join("store"), settings(Durability::Fsync, 7)).unwrap();
    journal.append(&[Commit::new(5), Commit::new(6)]).unwrap();
    let other = |counter| {
        let mut commit = Commit::new(counter);
        commit.put(Kind::Entity, b"k", b"v");
        commit
    };
    for commits in [vec![other(6)], vec![Commit::new(5)], vec![other(7), other(7)], vec![other(8), other(3)]] {
        let error = journal.append(&commits).unwrap_err();
        assert!(matches!(error, AppendError::Counter { .. }), "{error}");
    }
    let mut commit = Commit::new(7);
    commit.put(Kind::Entity, b"k", &vec![0; 256 << 20]);
    assert!(matches!(journal.append(&[commit]).unwrap_err(), AppendError::TooLarge { .. }));
    let mut commit = Commit::new(7);
    let image = journal.begin_image().unwrap();
    journal.drop_image(image);
    commit.base(Base { origin: Origin::Put, image: Some(image) });
    assert!(matches!(journal.append(&[commit]).unwrap_err(), AppendError::NoImage(_)));
    journal.append(&[Commit::new(7)]).unwrap();
    assert_eq!(journal.counter(), 7);
}

#[test]
fn transactions_and_images_of_many_frames() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut journal, ..) = open(&path, settings(Durability::Fsync, 7)).unwrap();
    let image = journal.begin_image().unwrap();
    let bytes: Vec<u8> = (0..5 << 20).map(|n: u32| (n / 1000) as u8).collect();
    let mut expected = Model { counter: 3, base: Some(Origin::Put), image: Some(bytes.clone()), ..Model::default() };
    let mut commits: Vec<Commit> = (1..=3).map(Commit::new).collect();
    for n in 0..9000_u32 {
        let (key, value) = (n.to_le_bytes(), vec![n as u8; 600]);
        commits[n as usize / 3000].put(Kind::Entity, &key, &value);
        expected.overlay.insert((Kind::Entity, key.to_vec()), Some(value));
    }
    journal.append_image(image, &bytes[..3 << 20]).unwrap();
    // a commit between the pieces
    journal.append(&commits[..1]).unwrap();
    journal.append_image(image, &bytes[3 << 20..]).unwrap();
    commits[2].base(Base { origin: Origin::Put, image: Some(image) });
    // and one while a compaction copies, which moves what is still open
    assert!(journal.compaction().unwrap().is_none(), "an image is being stored");
    journal.append(&commits[1..]).unwrap();
    let mut compaction = journal.compaction().unwrap().unwrap();
    compaction.copy().unwrap();
    let late = journal.begin_image().unwrap();
    journal.append_image(late, b"late").unwrap();
    journal.finish_compaction(compaction).unwrap();
    drop(journal);
    let (mut journal, model, begun) = open(&path, settings(Durability::Fsync, 8)).unwrap();
    assert_eq!((model, begun.fresh), (expected, None));
    // what is cut off within a transaction of many frames was never there
    let end = journal.counts().bytes;
    let mut commit = Commit::new(4);
    for n in 0..9000_u32 {
        commit.put(Kind::Entity, &n.to_le_bytes(), &[1; 600]);
    }
    let mark = journal.mark;
    journal.append(&[commit]).unwrap();
    let file = journal.file.try_clone().unwrap();
    drop(journal);
    file.set_len(end + (3 << 20)).unwrap();
    crate::files::write_marks(&file, mark).unwrap();
    drop(file);
    let (journal, model, begun) = open(&path, settings(Durability::Fsync, 8)).unwrap();
    assert_eq!((model.counter, begun.dropped), (3, 3 << 20));
    assert_eq!(journal.file.metadata().unwrap().len(), end);
}

#[test]
fn an_image_begun_during_a_compaction_moves_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut journal, mut model, _) = open(&path, settings(Durability::None, 7)).unwrap();
    for seed in 0..40 {
        let commit = model.commit(&mut journal, &Dice(seed).changes());
        journal.append(&[commit]).unwrap();
    }
    let mut compaction = journal.compaction().unwrap().unwrap();
    compaction.copy().unwrap();
    let image = journal.begin_image().unwrap();
    journal.append_image(image, b"some").unwrap();
    journal.finish_compaction(compaction).unwrap();
    journal.append_image(image, b"thing").unwrap();
    model.counter += 1;
    let mut commit = Commit::new(model.counter);
    commit.base(Base { origin: Origin::Put, image: Some(image) });
    journal.append(&[commit]).unwrap();
    (model.base, model.image) = (Some(Origin::Put), Some(b"something".to_vec()));
    assert_eq!(journal.counts().compactions, 1);
    journal.close().unwrap();
    assert_eq!(open(&path, settings(Durability::None, 8)).unwrap().1, model);
}

#[test]
fn what_a_crash_left_beside_the_store_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::write(dir.path().join("store.new"), "half").unwrap();
    store(&path);
    std::fs::write(dir.path().join("store.new"), "half").unwrap();
    open(&path, settings(Durability::Fsync, 8)).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    // a mark that was torn leaves the other
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for place in crate::format::MARKS {
        let mut mark = [0; crate::format::MARK_LEN];
        file.try_clone().unwrap();
        let read = std::fs::File::open(&path).unwrap();
        read.read_exact_at(&mut mark, place).unwrap();
        file.write_all_at(&[0xff; 30], place).unwrap();
        assert_eq!(check(&path).unwrap().counter, 3);
        file.write_all_at(&mark, place).unwrap();
    }
}
