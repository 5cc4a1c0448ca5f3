//! Disks that are full or read-only, limits of files, and flushes that fail.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tests::{Change, Model, open, settings};
use crate::{AppendError, Commit, Durability, Journal, Kind, OpenError, check};

/// A small file system of its own; `None`, and a line that says so, where this may not be made.
struct Mount(PathBuf);

impl Mount {
    fn new(dir: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(dir).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir.to_owned()));
        }
        eprintln!("skipped: a file system of its own cannot be mounted here");
        None
    }

    fn set(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // lazily, since a test that fails may have files open
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn put(model: &mut Model, journal: &mut Journal, n: u8, bytes: usize) -> Commit {
    model.commit(journal, &[Change::Put(0, n, vec![n; bytes])])
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else { return };
    let path = dir.path().join("store");
    for durability in [Durability::Fsync, Durability::None] {
        let (mut journal, mut model, _) = open(&path, settings(durability, 7)).unwrap();
        let mut refused = 0;
        for n in 0..40 {
            let before = model.clone();
            let commit = put(&mut model, &mut journal, n, 10_000);
            match journal.append(&[commit]) {
                Ok(()) => {}
                Err(error) => {
                    assert!(matches!(error, AppendError::Full(_)), "{error}");
                    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
                    model = before;
                    refused += 1;
                }
            }
        }
        assert!(refused > 5 && model.counter > 5);
        // a compaction has no room either, and does no harm
        let compacted = journal.compaction().and_then(|compaction| compaction.unwrap().copy());
        assert!(matches!(compacted, Err(OpenError::Full(_))), "{compacted:?}");
        // nor has an image
        let image = journal.begin_image().and_then(|image| journal.append_image(image, &[0; 300_000]));
        assert!(matches!(image, Err(AppendError::Full(_))), "{image:?}");
        assert_eq!((check(&path).unwrap().counter, journal.failure()), (model.counter, None));
        drop(journal);
        // it opens without room
        let (mut journal, again, _) = open(&path, settings(durability, 8)).unwrap();
        assert_eq!(again, model);
        mount.set("size=1m");
        let commit = put(&mut model, &mut journal, 3, 10_000);
        journal.append(&[commit]).unwrap();
        drop(journal);
        assert_eq!(open(&path, settings(durability, 9)).unwrap().1, model);
        std::fs::remove_file(&path).unwrap();
        mount.set("size=256k");
    }
    // a store cannot be made without room
    std::fs::write(dir.path().join("fill"), vec![1; 300_000]).unwrap_err();
    let error = Journal::open(&path, settings(Durability::Fsync, 7)).unwrap_err();
    assert!(matches!(error, OpenError::Full(_)), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_disk_that_is_read_only_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else { return };
    let path = dir.path().join("store");
    let (mut journal, mut model, _) = open(&path, settings(Durability::Fsync, 7)).unwrap();
    let commit = put(&mut model, &mut journal, 3, 100);
    journal.append(&[commit]).unwrap();
    drop(journal);
    mount.set("ro");
    for path in [&path, &dir.path().join("new")] {
        let error = Journal::open(path, settings(Durability::Fsync, 7)).unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    // it can be looked at
    assert_eq!(check(&path).unwrap().counter, 1);
    mount.set("rw");
    assert_eq!(open(&path, settings(Durability::Fsync, 8)).unwrap().1, model);
}

#[test]
fn a_directory_without_leave_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    // the superuser needs no leave
    if std::fs::write(dir.path().join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    let error = Journal::open(&dir.path().join("store"), settings(Durability::Fsync, 7)).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}

/// Runs under a limit of the file's size.
#[test]
#[ignore = "a part of the test of limits"]
fn limited() {
    let Some(path) = std::env::var_os("PALISADE_TEST_LIMITED") else { return };
    let (mut journal, mut model, _) = open(Path::new(&path), settings(Durability::Fsync, 7)).unwrap();
    for n in 0..50 {
        let before = model.clone();
        let commit = put(&mut model, &mut journal, n, 2000);
        if let Err(error) = journal.append(&[commit]) {
            assert!(matches!(error, AppendError::Full(_)), "{error}");
            assert_eq!(journal.failure(), None);
            // what is smaller still goes in
            model = before;
            let commit = put(&mut model, &mut journal, 200, 10);
            journal.append(&[commit]).unwrap();
            drop(journal);
            assert_eq!(open(Path::new(&path), settings(Durability::Fsync, 7)).unwrap().1, model);
            return;
        }
    }
    panic!("the limit was not reached");
}

#[test]
fn a_limit_of_the_file_is_as_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" tests::disk::limited --exact --ignored";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(std::env::current_exe().unwrap());
    let output = command.env("PALISADE_TEST_LIMITED", dir.path().join("store")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(dir.path().join("store").exists());
}

#[test]
fn a_failed_flush_refuses_everything_that_was_staged_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        let (mut journal, mut model, _) = open(&path, settings(Durability::Fsync, 7)).unwrap();
        let commit = put(&mut model, &mut journal, 1, 100);
        journal.append(&[commit]).unwrap();
        let mut journal = journal.with_sync(match kind {
            io::ErrorKind::StorageFull => |_| Err(io::ErrorKind::StorageFull.into()),
            _ => |_| Err(io::Error::other("the disk is gone")),
        });
        let mut later = model.clone();
        let commits = [put(&mut later, &mut journal, 2, 100), put(&mut later, &mut journal, 3, 100)];
        let error = journal.append(&commits).unwrap_err();
        assert!(matches!(error, AppendError::Failed { .. }), "{error}");
        // also what the disk would take now
        let mut journal = journal.with_sync(|_| Ok(()));
        for _ in 0..2 {
            assert!(matches!(journal.append(&[Commit::new(9)]).unwrap_err(), AppendError::Failed { .. }));
            assert!(matches!(journal.flush().unwrap_err(), AppendError::Failed { .. }));
            assert!(matches!(journal.begin_image().unwrap_err(), AppendError::Failed { .. }));
        }
        assert!(journal.failure().is_some() && !journal.compaction_due());
        assert!(journal.compaction().unwrap().is_none());
        assert!(journal.close().is_err());
        let (mut journal, again, begun) = open(&path, settings(Durability::Fsync, 8)).unwrap();
        assert_eq!((again, begun.fresh, begun.dropped), (model.clone(), None, 0));
        let mut commit = Commit::new(model.counter + 1);
        commit.put(Kind::Link, b"l", b"v");
        journal.append(&[commit]).unwrap();
        drop(journal);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_store_that_was_moved_takes_nothing_and_replaces_nothing() {
    for durability in [Durability::Fsync, Durability::None] {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("store"), dir.path().join("away"));
        let (mut journal, mut model, _) = open(&path, settings(durability, 7)).unwrap();
        let commit = put(&mut model, &mut journal, 1, 10);
        journal.append(&[commit]).unwrap();
        let mut compaction = journal.compaction().unwrap().unwrap();
        compaction.copy().unwrap();
        let begun = journal.begin_image().unwrap();
        std::fs::rename(&path, &away).unwrap();
        for other in [false, true] {
            if other {
                // another is put there
                std::fs::copy(&away, &path).unwrap();
            }
            let mut next = model.clone();
            let commit = put(&mut next, &mut journal, 2, 10);
            let refused = journal.append(&[commit]).unwrap_err();
            assert!(matches!(refused, AppendError::Moved(_)), "{refused}");
            assert!(refused.to_string().contains("put it back"), "{refused}");
            // nor pieces of what is large, which are given up
            let length = std::fs::metadata(&away).unwrap().len();
            assert!(matches!(journal.begin_image(), Err(AppendError::Moved(_))));
            assert!(matches!(journal.append_image(begun, b"x"), Err(AppendError::Moved(_) | AppendError::NoImage(_))));
            assert!(matches!(journal.begin_ahead(), Err(AppendError::Moved(_))));
            assert_eq!(std::fs::metadata(&away).unwrap().len(), length);
        }
        let there = std::fs::read(&path).unwrap();
        let refused = journal.finish_compaction(compaction).unwrap_err();
        assert!(matches!(refused, OpenError::Moved(_)), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), there);
        // it goes on when it is back
        std::fs::rename(&away, &path).unwrap();
        let commit = put(&mut model, &mut journal, 2, 10);
        journal.append(&[commit]).unwrap();
        drop(journal);
        assert_eq!(open(&path, settings(durability, 8)).unwrap().1, model);
    }
}

#[test]
fn a_link_leads_to_the_store_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (path, middle, file) = (dir.path().join("store"), dir.path().join("middle"), dir.path().join("volume/file"));
    std::fs::create_dir(dir.path().join("volume")).unwrap();
    std::os::unix::fs::symlink("volume/file", &middle).unwrap();
    std::os::unix::fs::symlink(&middle, &path).unwrap();
    let (mut journal, mut model, recovered) = open(&path, settings(Durability::Fsync, 7)).unwrap();
    assert_eq!(recovered.fresh, Some(crate::Fresh::Created));
    for n in 0..4 {
        let commit = put(&mut model, &mut journal, n, 10);
        journal.append(&[commit]).unwrap();
        let mut compaction = journal.compaction().unwrap().unwrap();
        compaction.copy().unwrap();
        journal.finish_compaction(compaction).unwrap();
    }
    // a link that leads elsewhere meanwhile
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("volume/other", &path).unwrap();
    let mut next = model.clone();
    let commit = put(&mut next, &mut journal, 1, 10);
    assert!(matches!(journal.append(&[commit]), Err(AppendError::Moved(_))));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&middle, &path).unwrap();
    drop(journal);
    assert!(path.is_symlink() && middle.is_symlink() && file.is_file());
    assert_eq!(open(&path, settings(Durability::Fsync, 8)).unwrap().1, model);
    let backup = dir.path().join("backup");
    crate::backup(&path, &backup).unwrap();
    std::fs::remove_file(&file).unwrap();
    crate::restore(&backup, &path).unwrap();
    assert!(path.is_symlink());
    assert_eq!(open(&path, settings(Durability::Fsync, 9)).unwrap().1, model);
    // links in a circle lead nowhere
    std::fs::remove_file(&middle).unwrap();
    std::os::unix::fs::symlink(&path, &middle).unwrap();
    assert!(open(&path, settings(Durability::Fsync, 9)).is_err());
}
