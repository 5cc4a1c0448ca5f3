//! When a tree of files is at rest, by events as the system sends them.

use notify::event::{DataChange, Event, MetadataKind, RemoveKind};

use super::*;

fn signals() -> Signals {
    let set = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
    let signals = Signals::default();
    let watched = set(&["/p", "/", "/p/..1"]);
    signals.attend(Interest { dirs: set(&["/p"]), turns: set(&["/p", "/p/..data", "/p/..1/x"]), watched });
    signals
}

#[track_caller]
fn check(kind: EventKind, path: &str, answered: bool, certain: bool) {
    let signals = signals();
    signals.notice(Ok(Event::new(kind).add_path(path.into())));
    let is_answered = signals.wait(Instant::now()) == Woken::Event;
    assert_eq!((is_answered, signals.take().certain), (answered, certain), "{kind:?} {path}");
}

#[test]
fn only_what_matters_is_answered() {
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let created = EventKind::Create(CreateKind::Any);
    for kind in [written, closed, created] {
        check(kind, "/p/a.cedar", true, true);
        check(kind, "/p/..1/x", true, true);
        check(kind, "/other", false, false);
        check(kind, "/p/sub/a.cedar", false, false);
    }
    check(created, "/p/..data", true, true);
    check(created, "/p/sub", true, false);
    check(created, "/p", true, true);
    check(written, "/p/readme", false, false);
    check(written, "/p/.a.cedar.swp", false, false);
    for path in ["/p/a.cedar", "/p", "/p/..1/x"] {
        check(opened, path, false, false);
    }
}

#[test]
fn a_lost_place_or_queue_is_reported() {
    let signals = signals();
    signals.notice(Ok(Event::new(EventKind::Remove(RemoveKind::Folder)).add_path("/p/..1".into())));
    assert!(signals.take().lost.contains(Path::new("/p/..1")));
    signals.notice(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
    assert_eq!(signals.wait(Instant::now()), Woken::Event);
    assert!(signals.take().all_lost);
    assert_eq!(signals.wait(Instant::now()), Woken::Timeout);
}

/// Only what is heard of a file proves that its changes are: neither that it is there nor when it was changed does.
#[test]
fn what_is_reported_of_a_file_is_known_until_its_watch_is_lost() {
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let touched = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let created = EventKind::Create(CreateKind::File);
    let removed = EventKind::Remove(RemoveKind::File);
    let named = |mode| EventKind::Modify(ModifyKind::Name(mode));
    let (from, to) = (named(RenameMode::From), named(RenameMode::To));
    let told = |kinds: &[EventKind], path: &str| {
        let signals = signals();
        for kind in kinds {
            signals.notice(Ok(Event::new(*kind).add_path(path.into())));
        }
        (signals.news(Path::new(path)).map(|news| news.content), signals)
    };
    for path in ["/p/a.cedar", "/p/..1/x"] {
        for (kinds, content) in [
            (&[written][..], Some(true)),
            (&[created], Some(true)),
            (&[to], Some(true)),
            (&[touched], Some(false)),
            (&[touched, written], Some(true)),
            (&[written, touched], Some(true)),
            (&[opened], None),
            (&[closed], None),
            (&[written, removed], None),
            (&[written, from], None),
            (&[removed, created], Some(true)),
        ] {
            assert_eq!(told(kinds, path).0, content, "{kinds:?} {path}");
        }
    }
    for path in ["/p/readme", "/other", "/p/sub/a.cedar"] {
        assert_eq!(told(&[written], path).0, None, "{path}");
    }
    let before = Instant::now();
    /// What happens, and whether the news stay.
    type Lost<'s> = (&'s str, fn(&Signals, Instant), bool);
    let lost: [Lost<'_>; 5] = [
        (
            "the queue overflowed",
            |signals, _| {
                signals.notice(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
            },
            false,
        ),
        ("the watch went", |signals, _| signals.unwatched(Path::new("/p")), false),
        ("it is not watched", |signals, _| signals.watched(std::iter::empty()), false),
        ("loaded since", |signals, _| signals.forget_news(Instant::now() + Duration::from_secs(1)), false),
        ("loaded before", |signals, before| signals.forget_news(before), true),
    ];
    for (what, lose, stays) in lost {
        let (_, signals) = told(&[written], "/p/a.cedar");
        lose(&signals, before);
        assert_eq!(signals.news(Path::new("/p/a.cedar")).is_some(), stays, "{what}");
    }
}

#[test]
fn an_open_file_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.cedar");
    // the system is asked too
    let _writer = std::fs::File::create(&path).unwrap();
    let quiet = Duration::from_millis(20);
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let made = EventKind::Create(CreateKind::File);
    let removed = EventKind::Remove(RemoveKind::File);
    let with = |kinds: &[EventKind]| {
        let signals = Signals::default();
        let dirs = BTreeSet::from([dir.path().to_owned()]);
        signals.attend(Interest { dirs: dirs.clone(), turns: BTreeSet::new(), watched: dirs });
        for kind in kinds {
            signals.notice(Ok(Event::new(*kind).add_path(path.clone())));
        }
        signals
    };
    for (kinds, open) in [
        (&[written][..], true),
        (&[made, opened], true),
        (&[made, opened, written], true),
        (&[written, opened], true),
        (&[written, closed], false),
        (&[made, opened, closed], false),
        (&[made], false),
        (&[opened], false),
        (&[written, removed], false),
    ] {
        assert_eq!(Arc::new(with(kinds)).unfinished().len(), usize::from(open), "{kinds:?}");
    }
    let signals = with(&[written]);
    let start = Instant::now();
    assert_eq!(signals.settle(quiet), Woken::Held);
    assert!(start.elapsed() >= quiet * (PATIENCE - 1));
    // an answer in between forgets nothing
    signals.take();
    signals.suspect();
    assert_eq!(signals.wait_for_close(Instant::now() + quiet), Woken::Timeout);
    signals.notice(Ok(Event::new(closed).add_path(path.clone())));
    assert_eq!(signals.wait_for_close(Instant::now() + Duration::from_secs(9)), Woken::Event);
    assert_eq!(signals.settle(quiet), Woken::Timeout);
}

#[test]
fn an_open_file_keeps_being_open_under_another_name() {
    let signals = signals();
    let named = |mode| EventKind::Modify(ModifyKind::Name(mode));
    let event = |kind, path: &str| Event::new(kind).add_path(path.into()).set_tracker(7);
    signals.notice(Ok(event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), "/p/a.cedar")));
    signals.notice(Ok(event(named(RenameMode::From), "/p/a.cedar")));
    signals.notice(Ok(event(named(RenameMode::To), "/p/b.cedar")));
    signals.notice(Ok(event(named(RenameMode::Both), "/p/a.cedar").add_path("/p/b.cedar".into())));
    assert_eq!(signals.lock().open.keys().collect::<Vec<_>>(), [Path::new("/p/b.cedar")]);
}

/// A file that is open, each way in which it loses and gets a name, and the events of each.
#[test]
fn a_file_that_is_open_is_known_whatever_its_name() {
    use std::fs;

    use crate::source::files::names::Role;

    let named = |mode| EventKind::Modify(ModifyKind::Name(mode));
    let (from, to) = (named(RenameMode::From), named(RenameMode::To));
    let (made, removed) = (EventKind::Create(CreateKind::File), EventKind::Remove(RemoveKind::File));
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    /// What happens on disk: `mv`, `ln` or `rm`; and the event of it, with its path and number.
    type Step<'s> = (&'s str, &'s [(EventKind, &'s str, usize)]);
    let ways: &[(&str, &str, &[Step<'_>], &str)] = &[
        ("renamed", "x.cedar", &[("mv x.cedar y.cedar", &[(from, "x.cedar", 1), (to, "y.cedar", 1)])], "y.cedar"),
        (
            "hidden and back",
            "x.cedar",
            &[
                ("mv x.cedar .x", &[(from, "x.cedar", 1), (to, ".x", 1)]),
                ("mv .x x.cedar", &[(from, ".x", 2), (to, "x.cedar", 2)]),
            ],
            "x.cedar",
        ),
        (
            "linked, removed and back",
            "x.cedar",
            &[
                ("ln x.cedar .l", &[(made, ".l", 0)]),
                ("rm x.cedar", &[(removed, "x.cedar", 0)]),
                ("mv .l x.cedar", &[(from, ".l", 1), (to, "x.cedar", 1)]),
            ],
            "x.cedar",
        ),
        (
            "away and back",
            "x.cedar",
            &[("mv x.cedar ../x", &[(from, "x.cedar", 1)]), ("mv ../x x.cedar", &[(to, "x.cedar", 2)])],
            "x.cedar",
        ),
        ("its directory renamed", "sub/x.cedar", &[("mv sub bus", &[(from, "sub", 1), (to, "bus", 1)])], "bus/x.cedar"),
        (
            "renamed before its close",
            "x.cedar.tmp",
            &[("mv x.cedar.tmp x.cedar", &[(from, "x.cedar.tmp", 1), (to, "x.cedar", 1)])],
            "x.cedar",
        ),
        (
            "hidden until its close",
            ".x.cedar",
            &[("mv .x.cedar x.cedar", &[(from, ".x.cedar", 1), (to, "x.cedar", 1)])],
            "x.cedar",
        ),
    ];
    for (what, first, steps, last) in ways {
        for closes in [false, true] {
            let top = tempfile::tempdir().unwrap();
            let dir = top.path().canonicalize().unwrap().join("p");
            fs::create_dir_all(dir.join("sub")).unwrap();
            let signals = Arc::new(Signals::default());
            let dirs: BTreeSet<PathBuf> = ["", "sub", "bus"].map(|name| dir.join(name).components().collect()).into();
            signals.attend(Interest { dirs: dirs.clone(), turns: BTreeSet::new(), watched: dirs });
            let tell = |kind, path: &str, number| {
                signals.notice(Ok(Event::new(kind).add_path(dir.join(path)).set_tracker(number)));
            };
            let writer = fs::File::create(dir.join(first)).unwrap();
            std::io::Write::write_all(&mut &writer, b"x").unwrap();
            tell(opened, first, 0);
            tell(written, first, 0);
            let mut writer = Some(writer);
            if closes {
                writer = None;
                tell(closed, first, 0);
            }
            for (command, events) in *steps {
                let words: Vec<&str> = command.split(' ').collect();
                match *words.as_slice() {
                    ["mv", from, to] => fs::rename(dir.join(from), dir.join(to)).unwrap(),
                    ["ln", from, to] => fs::hard_link(dir.join(from), dir.join(to)).unwrap(),
                    ["rm", name] => fs::remove_file(dir.join(name)).unwrap(),
                    _ => unreachable!("{command}"),
                }
                for (kind, path, number) in *events {
                    tell(*kind, path, *number);
                }
                // loads look in between
                signals.unfinished();
            }
            let real = dir.join(last);
            let stamp = Stamp::of(&fs::metadata(&real).unwrap());
            let found =
                Found { role: Role::Policies, inner: String::new(), origin: String::new(), real: real.clone(), stamp };
            let is_open = || {
                signals.unfinished().iter().any(|file| file.path == real)
                    || !signals.adrift(std::iter::once(&found)).is_empty()
            };
            assert_eq!(is_open(), !closes, "{what}");
            if writer.take().is_some() {
                tell(closed, last, 0);
                assert!(!is_open(), "{what}, closed");
            }
        }
    }
}

#[test]
fn more_open_files_than_are_tracked_hold_everything_back() {
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    for (name, most) in [("a", MAX_UNFINISHED), (".a", MAX_UNFINISHED / 2)] {
        let signals = signals();
        let tell = |kind, number: usize| {
            signals.notice(Ok(Event::new(kind).add_path(format!("/p/{name}{number}.cedar").into())));
        };
        for number in 0..most {
            tell(written, number);
        }
        assert!(signals.untold().is_none(), "{name}");
        tell(written, most);
        for number in 0..most {
            tell(closed, number);
        }
        let told = signals.untold().unwrap();
        assert!(told.contains("1000 files have been open at once since"), "{told}");
        assert!(signals.lock().open.is_empty() && signals.lock().is_held());
        // in the end the files count as closed
        let long_ago = Instant::now().checked_sub(DOUBT_QUIET).unwrap();
        signals.lock().untold = Some((SystemTime::now(), long_ago));
        assert!(signals.untold().is_none() && !signals.lock().is_held());
    }
}

#[test]
fn a_file_that_was_opened_twice_is_not_closed_by_one_close() {
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    for (kinds, open) in [
        (&[opened, written, closed][..], false),
        (&[opened, written, opened, closed], true),
        (&[opened, opened, written, closed], true),
        (&[opened, written, opened, closed, closed], false),
        // an open that cuts the file is reported after the cut
        (&[written, opened, written, closed], false),
        (&[written, opened, opened, closed], true),
        // of the two opens one may be of a reader
        (&[opened, written, opened, written, closed], true),
    ] {
        let signals = signals();
        for kind in kinds {
            signals.notice(Ok(Event::new(*kind).add_path("/p/a.cedar".into())));
        }
        assert_eq!(signals.lock().is_held(), open, "{kinds:?}");
    }
}
