//! When a tree of files is at rest, told by events as the system sends them.

use notify::event::{DataChange, Event, RemoveKind};

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
fn a_lost_place_or_queue_is_told() {
    let signals = signals();
    signals.notice(Ok(Event::new(EventKind::Remove(RemoveKind::Folder)).add_path("/p/..1".into())));
    assert!(signals.take().lost.contains(Path::new("/p/..1")));
    signals.notice(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
    assert_eq!(signals.wait(Instant::now()), Woken::Event);
    assert!(signals.take().all_lost);
    assert_eq!(signals.wait(Instant::now()), Woken::Timeout);
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
