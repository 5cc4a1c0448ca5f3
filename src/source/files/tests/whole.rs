//! Which files count as whole, as lost, or as no part of the bundle.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::watch::{OTHER, texts};
use super::{POLICY, Place, polling, settings};
use crate::source::conformance::{Fixture, Wakes, eventually};
use crate::source::files::caution::Now;
use crate::source::files::scan::Scan;
use crate::source::files::watch::start;
use crate::source::files::writers;
use crate::source::{FileSettings, FileSource, Source};

/// A writer that was there before the watch was, and pauses in the middle: loading waits for quiet, or for its close.
#[test]
fn a_writer_whose_directory_was_not_watched_is_waited_for() {
    let half = |place: &Place, name: &str| {
        fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
        let mut file = fs::File::create(place.path(name)).unwrap();
        file.write_all(b"// the first lines\n").unwrap();
        file
    };
    let quiet = Duration::from_millis(400);
    for settings in [settings(), polling()] {
        let settings = FileSettings { vanish_quiet: quiet, ..settings };
        let place = Place::new();
        // before the start
        drop(half(&place, "policies/guards.cedar"));
        // what the system says is closed is waited for as any later change is, where it is watched
        let proven = settings.notifications && is_known_to_be_closed(&place.path("policies/guards.cedar"));
        let source = place.files(settings);
        let wakes = Wakes::of(&source);
        let start = Instant::now();
        let told = RefCell::new(Vec::new());
        source.load_telling(&|what, until| told.borrow_mut().push((what.to_owned(), until))).unwrap();
        assert!(proven || start.elapsed() + Duration::from_millis(20) >= quiet, "{:?}", start.elapsed());
        assert_eq!(told.borrow().is_empty(), proven, "{told:?}");
        for (what, until) in &*told.borrow() {
            assert!(what.contains(".cedar`") && what.contains("same for 400ms"), "{what}");
            assert!(*until >= start && *until <= Instant::now() + quiet);
        }
        // once more, unchanged: known
        let start = Instant::now();
        source.load().unwrap();
        assert!(start.elapsed() < quiet);
        // in a directory that is just made
        let before = wakes.count();
        let mut file = half(&place, "policies/sub/guards.cedar");
        let start = Instant::now();
        eventually("a wake", || wakes.count() > before);
        let text = thread::scope(|scope| {
            let load = scope.spawn(|| texts(&source));
            thread::sleep(quiet.saturating_sub(start.elapsed()));
            file.write_all(OTHER.as_bytes()).unwrap();
            drop(file);
            load.join().unwrap()
        });
        assert!(text.is_empty() || text.iter().any(|(_, text)| text.ends_with(OTHER)), "{text:?}");
    }
}

/// Whether the system knows of every writer of a file that no process writes to.
fn is_known_to_be_closed(path: &Path) -> bool {
    let place = path.parent().unwrap();
    let found = FileSource::new(place.to_owned(), None, settings());
    scan(&found).files.iter().all(writers::is_closed_here)
}

/// At the start a file that was just written counts where the system says that it is closed, however long the quiet
/// time is; one that is open, or of which it does not say, is not.
#[test]
fn what_is_closed_at_the_start_costs_no_wait_where_the_system_knows() {
    let quiet = Duration::from_secs(3_600);
    for (settings, is_watched) in [(settings(), true), (polling(), false)] {
        let place = Place::new();
        place.write("policies/new.cedar", OTHER);
        let known = is_known_to_be_closed(&place.path("policies/new.cedar"));
        let source = place.files(settings);
        let _wakes = Wakes::of(&source);
        let unproven = || source.caution.unproven(&scan(&source), quiet).map(|(origin, _)| origin);
        assert_eq!(unproven().is_none(), known && is_watched);
        let writer = OpenOptions::new().append(true).open(place.path("policies/new.cedar")).unwrap();
        assert!(unproven().is_some(), "it is open");
        drop(writer);
        assert_eq!(unproven().is_none(), known && is_watched);
        if known && is_watched {
            source.load().unwrap();
        }
    }
}

/// A directory that is swapped by two renames is gone for a moment, as a file is.
#[test]
fn a_directory_that_is_back_in_time_is_one_change() {
    for (name, part, text) in [
        ("entities", "entities/e.json", "[ ]"),
        ("policies", "policies/base.cedar", OTHER),
        ("s", "s/s.cedarschema", "entity V;"),
        ("routes", "routes/r.yaml", "routes:"),
    ] {
        let place = Place::new();
        place.write("entities/e.json", "[]");
        place.write("s/s.cedarschema", "entity U;");
        place.write("routes/r.yaml", "routes: []");
        let vanish_quiet = Duration::from_secs(60);
        let settings = FileSettings { entities_required: true, vanish_quiet, ..settings() };
        let source =
            place.files_with(settings, |roots| roots.with_schema(place.path("s")).with_routes(place.path("routes")));
        source.load().unwrap();
        let _wakes = Wakes::of(&source);
        place.write(&part.replacen(name, "new", 1), text);
        place.rename(name, "old");
        let told = Mutex::new(String::new());
        let loaded = thread::scope(|scope| {
            let load = scope.spawn(|| source.load_telling(&|what, _| what.clone_into(&mut told.lock().unwrap())));
            eventually("the wait is reported", || !told.lock().unwrap().is_empty());
            place.rename("new", name);
            load.join().unwrap()
        });
        let told = told.into_inner().unwrap();
        assert!(told.contains(&format!("/{name}` is no longer there")) && told.contains("1m"), "{name}: {told}");
        loaded.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    }
}

#[test]
fn a_directory_that_stays_away_is_refused_after_some_time() {
    let place = Place::new();
    place.write("entities/e.json", "[]");
    let vanish_quiet = Duration::from_millis(300);
    let source = place.files(FileSettings { entities_required: true, vanish_quiet, ..settings() });
    // at the start there is nothing to keep
    place.rename("entities", "away");
    assert!(source.load().unwrap_err().iter().all(|problem| problem.passing));
    place.rename("away", "entities");
    source.load().unwrap();
    place.rename("entities", "away");
    let start = Instant::now();
    let problems = source.load().unwrap_err();
    assert!(start.elapsed() + Duration::from_millis(20) >= vanish_quiet, "{:?}", start.elapsed());
    assert!(problems[0].passing && problems[0].message.contains("does not exist"), "{problems:?}");
}

/// A writer that had its file open before the sidecar was there, and pauses for longer than any quiet time: the system
/// itself says that the file is still open.
#[cfg(target_os = "linux")]
#[test]
fn a_writer_from_before_the_start_holds_back_what_it_writes() {
    /// How a file is opened, and the half that is written before the pause.
    type Way = (&'static str, fn(&Place) -> fs::File);
    let ways: [Way; 4] = [
        ("made", |place| fs::File::create(place.path("policies/guards.cedar")).unwrap()),
        ("cut", |place| {
            place.write("policies/guards.cedar", OTHER);
            OpenOptions::new().write(true).truncate(true).open(place.path("policies/guards.cedar")).unwrap()
        }),
        ("appended", |place| {
            place.write("policies/guards.cedar", "");
            OpenOptions::new().append(true).open(place.path("policies/guards.cedar")).unwrap()
        }),
        ("renamed too early", |place| {
            let file = fs::File::create(place.path("policies/.new")).unwrap();
            place.rename("policies/.new", "policies/guards.cedar");
            file
        }),
    ];
    for settings in [settings(), polling()] {
        for watched in [true, false] {
            for (how, open) in ways {
                let place = Place::new();
                let mut file = open(&place);
                file.write_all(b"// the first lines\n").unwrap();
                let source = place.files(settings.clone());
                let wakes = watched.then(|| Wakes::of(&source));
                let quiet = settings.vanish_quiet;
                for _ in 0..2 {
                    thread::sleep(quiet * 2);
                    let problems = source.load().unwrap_err();
                    assert!(problems.iter().all(|problem| problem.passing && problem.help.is_some()), "{problems:?}");
                    let us = format!("open for writing by process {} (", std::process::id());
                    assert!(problems[0].message.contains(&us), "{how}: {problems:?}");
                    assert!(problems[0].origin.ends_with("policies/guards.cedar"), "{how}: {problems:?}");
                }
                file.write_all(OTHER.as_bytes()).unwrap();
                drop(file);
                eventually("all of it", || texts(&source).iter().any(|(_, text)| text.ends_with(OTHER)));
                drop(wakes);
            }
        }
    }
}

/// Files that were loaded, rewritten through a descriptor from before the start, with a long pause.
#[cfg(target_os = "linux")]
#[test]
fn a_descriptor_from_before_the_start_that_writes_later_is_waited_for() {
    use std::io::{Seek as _, SeekFrom};
    for settings in [settings(), polling()] {
        let place = Place::new();
        place.write("policies/guards.cedar", OTHER);
        let source = place.files(settings.clone());
        source.load().unwrap();
        let mut file = OpenOptions::new().write(true).open(place.path("policies/guards.cedar")).unwrap();
        let wakes = Wakes::of(&source);
        // open, but as it was when it was loaded: it holds nothing back
        place.write("policies/x.cedar", POLICY);
        eventually("the other file", || texts(&source).len() == 3);
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"// the first lines\n").unwrap();
        for _ in 0..3 {
            thread::sleep(settings.vanish_quiet * 4);
            let problems = source.load().unwrap_err();
            assert!(problems.iter().all(|problem| problem.passing), "{problems:?}");
        }
        file.write_all(OTHER.as_bytes()).unwrap();
        drop(file);
        eventually("all of it", || {
            texts(&source).iter().any(|(_, text)| text.starts_with("//") && text.ends_with(OTHER))
        });
        drop(wakes);
    }
}

/// Half-written files whose writer the notifier loses sight of: the system is asked, and knows of it.
#[cfg(target_os = "linux")]
#[test]
fn a_writer_that_the_notifier_loses_sight_of_holds_back_what_it_writes() {
    if writers::is_written(&Place::new().path("policies/base.cedar")).is_none() {
        // a file system without leases
        return;
    }
    fn cut(place: &Place) -> fs::File {
        let mut file = fs::File::create(place.path("policies/sub/forbid.cedar")).unwrap();
        file.write_all(b"// the first lines\n").unwrap();
        file
    }
    /// Leaves a file that is half-written and open.
    type Way = fn(&Place) -> fs::File;
    let ways: [(&str, bool, Way); 5] = [
        ("below a renamed directory", true, |place| {
            let file = cut(place);
            place.rename("policies/sub", "policies/other");
            file
        }),
        ("its directory renamed away and back", true, |place| {
            let file = cut(place);
            place.rename("policies/sub", "away");
            thread::sleep(Duration::from_millis(100));
            place.rename("away", "policies/sub");
            file
        }),
        ("renamed away and back", true, |place| {
            let file = cut(place);
            place.rename("policies/sub/forbid.cedar", "away.cedar");
            thread::sleep(Duration::from_millis(100));
            place.rename("away.cedar", "policies/sub/forbid.cedar");
            file
        }),
        ("the 1,001st open file", true, |place| {
            let open: Vec<fs::File> = (0..1_000)
                .map(|n| {
                    let mut file = fs::File::create(place.path(&format!("policies/sub/{n}.cedar"))).unwrap();
                    file.write_all(POLICY.as_bytes()).unwrap();
                    file
                })
                .collect();
            let file = cut(place);
            thread::sleep(Duration::from_millis(300));
            drop(open);
            file
        }),
        ("by a clock that is ahead, without notifications", false, |place| {
            let file = cut(place);
            file.set_modified(std::time::SystemTime::now() + Duration::from_secs(3_600)).unwrap();
            file
        }),
    ];
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let mut torn = Vec::new();
    for (how, notified, way) in ways {
        if how.contains("1,001st") && maximum.is_some_and(|most| most < 2_000) {
            continue;
        }
        let place = Place::new();
        place.write("policies/sub/forbid.cedar", OTHER);
        let source = place.files(if notified { settings() } else { polling() });
        let wakes = Wakes::of(&source);
        source.load().unwrap();
        let mut file = way(&place);
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(200));
            match source.load() {
                Ok(_) => torn.push(how),
                Err(problems) => assert!(problems.iter().all(|problem| problem.passing), "{how}: {problems:?}"),
            }
        }
        file.write_all(OTHER.as_bytes()).unwrap();
        drop(file);
        let whole = |text: &str| text.starts_with("//") && text.ends_with(OTHER);
        eventually(how, || texts(&source).iter().any(|(_, text)| whole(text)));
        drop(wakes);
    }
    assert!(torn.is_empty(), "half of a file was loaded: {torn:?}");
}

#[test]
fn a_tree_that_is_renamed_into_its_place_costs_no_wait() {
    let place = Place::new();
    let source = place.files(FileSettings { vanish_quiet: Duration::from_secs(60), ..settings() });
    // that it is open says that it may not be whole
    let _writer = OpenOptions::new().append(true).open(place.path("policies/base.cedar")).unwrap();
    let wakes = Wakes::of(&source);
    place.write("elsewhere/x.cedar", OTHER);
    place.rename("elsewhere", "policies/sub");
    place.write("releases/x.cedar", OTHER);
    eventually("a wake", || wakes.count() > 0);
    let (origin, _) = source.caution.unproven(&scan(&source), Duration::from_secs(60)).unwrap();
    assert!(origin.ends_with("base.cedar"), "{origin}: only what was there before the watch");
}

#[test]
fn the_first_of_two_writers_to_close_says_nothing_of_the_other() {
    let place = Place::new();
    let source = place.files(settings());
    let wakes = Wakes::of(&source);
    source.load().unwrap();
    let mut file = fs::File::create(place.path("policies/base.cedar")).unwrap();
    file.write_all(b"// the first lines\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    drop(OpenOptions::new().append(true).open(place.path("policies/base.cedar")).unwrap());
    thread::sleep(Duration::from_millis(300));
    assert_eq!(wakes.count(), 0);
    assert!(source.load().unwrap_err().iter().all(|problem| problem.passing));
    file.write_all(OTHER.as_bytes()).unwrap();
    drop(file);
    wakes.until(&source, 0, |source| texts(source).iter().any(|(_, text)| text.ends_with(OTHER)));
}

#[test]
fn a_notifier_that_cannot_be_made_again_leaves_the_old_one() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let place = Place::new();
    let source = place.files(settings());
    source.load().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let signals: Arc<crate::source::files::settle::Signals> = Arc::default();
    let make = |signals| {
        if MADE.fetch_add(1, Ordering::SeqCst) > 0 {
            return Err(notify::Error::generic("no more inotify instances"));
        }
        crate::source::files::notifier::Notifier::system(signals)
    };
    let wake = Box::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let _watch = start(Arc::clone(&source.tree), source.last(), Arc::clone(&signals), make, wake);
    signals.notice(Err(notify::Error::generic("events were lost")));
    eventually("another attempt", || MADE.load(Ordering::SeqCst) > 1);
    for name in ["x", "y"] {
        let before = count.load(Ordering::SeqCst);
        place.put(name, POLICY);
        eventually("a wake", || count.load(Ordering::SeqCst) > before);
    }
}

#[test]
fn an_open_file_that_is_no_part_of_the_bundle_holds_nothing_back() {
    for name in ["policies/data.json", "policies/sub/x.cedarschema", "entities/x.cedar", "policies/routes.yaml"] {
        let place = Place::new();
        place.write(name, "");
        place.write("entities/e.json", "[]");
        let source = place.files(settings());
        let wakes = Wakes::of(&source);
        source.load().unwrap();
        let mut file = OpenOptions::new().append(true).open(place.path(name)).unwrap();
        file.write_all(b"\n").unwrap();
        place.write("policies/x.cedar", OTHER);
        wakes.until(&source, 0, |source| texts(source).len() == 2);
        assert_eq!(wakes.watch().degraded(), None, "{name}");
    }
}

#[test]
fn routes_that_were_loaded_and_vanish_are_kept() {
    let place = Place::new();
    let source = place.files_with(settings(), |roots| roots.with_routes_if_any(place.path("routes")));
    source.load().unwrap();
    place.write("routes/r.yaml", "routes: []");
    let whole = source.load().unwrap();
    place.rename("routes", "away");
    let problems = source.load().unwrap_err();
    assert!(problems.iter().all(|problem| problem.passing && problem.message.contains("routes")), "{problems:?}");
    place.rename("away", "routes");
    assert_eq!(source.load().unwrap().digest, whole.digest);
}

#[test]
fn a_place_that_is_missing_is_tried_again() {
    let place = Place::new();
    place.write("s/s.cedarschema", "// none yet");
    place.write("routes/r.yaml", "routes: []");
    for name in ["policies", "s", "routes"] {
        let source =
            place.files_with(settings(), |roots| roots.with_schema(place.path("s")).with_routes(place.path("routes")));
        place.rename(name, "away");
        let problems = source.load().unwrap_err();
        assert!(problems.iter().all(|problem| problem.passing), "{name}: {problems:?}");
        place.rename("away", name);
    }
}

#[test]
fn a_change_without_notification_is_forgotten_with_the_next_that_is_announced() {
    let place = Place::new();
    place.write("elsewhere", "// 1");
    fs::hard_link(place.path("elsewhere"), place.path("policies/hard.cedar")).unwrap();
    let source = place.files(FileSettings { poll: Duration::from_millis(50), ..settings() });
    source.load().unwrap();
    let wakes = Wakes::of(&source);
    place.write("elsewhere", "// 1 and more");
    eventually("the report", || wakes.watch().degraded().is_some());
    place.write("policies/x.cedar", OTHER);
    eventually("the end of it", || wakes.watch().degraded().is_none());
}

#[test]
fn a_file_that_was_changed_while_it_was_watched_is_loaded() {
    let long = Duration::from_secs(3_600);
    let place = Place::new();
    let source = place.files(settings());
    let _wakes = Wakes::of(&source);
    source.load().unwrap();
    let at = |clock| source.caution.unproven_at(&scan(&source), long, Now { clock, ..Now::read() });
    place.write("policies/base.cedar", OTHER);
    place.write("policies/x.cedar", OTHER);
    eventually("the news of it", || at(SystemTime::now()).is_none());
    for clock in clocks() {
        assert_eq!(at(clock), None, "{clock:?}");
    }
    // loaded, and other permissions since
    eventually("a load", || source.load().is_ok());
    let permissions = fs::Permissions::from_mode(0o600);
    fs::set_permissions(place.path("policies/x.cedar"), permissions).unwrap();
    eventually("the news of those", || at(SystemTime::now()).is_none());
}

/// A directory that is made while its parent is watched, with files that are there before it is watched itself: the system
/// says whether they are closed, so that no quiet time is waited for. Where no notification came, that is no proof.
#[cfg(target_os = "linux")]
#[test]
fn what_is_closed_in_a_directory_that_was_seen_to_be_made_costs_no_wait() {
    let quiet = Duration::from_secs(3_600);
    for (settings, is_told) in [(settings(), true), (polling(), false)] {
        let place = Place::new();
        if writers::is_written(&place.path("policies/base.cedar")).is_none() {
            return; // no leases here
        }
        let source = place.files(settings);
        let wakes = Wakes::of(&source);
        source.load().unwrap();
        let unproven = || source.caution.unproven_at(&scan(&source), quiet, Now::read()).map(|(origin, _)| origin);
        for (made, file) in [("one", "policies/one/a.cedar"), ("nested", "policies/two/deep/a.cedar")] {
            let before = wakes.count();
            // what is done under this name is not announced
            place.write("aside", OTHER);
            let path = place.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::hard_link(place.path("aside"), &path).unwrap();
            let writer = OpenOptions::new().append(true).open(place.path("aside")).unwrap();
            eventually("a wake", || wakes.count() > before);
            // unless the directory was watched before the file came
            let told = source.caution.signals().iter().any(|signals| signals.news(&path).is_some());
            assert!(told || unproven().is_some_and(|origin| origin.ends_with("a.cedar")), "{made}, open");
            drop(writer);
            if is_told {
                eventually("the close", || unproven().is_none());
            } else {
                assert!(unproven().is_some(), "{made}, closed, without notifications");
            }
            place.remove_file("aside");
            fs::remove_file(&path).unwrap();
        }
    }
}

fn scan(source: &FileSource) -> Scan {
    Scan::of(&source.tree)
}

/// Ours may be any of these where that of files is the third.
fn clocks() -> [SystemTime; 5] {
    let (now, little, much) = (SystemTime::now(), Duration::from_secs(10), Duration::from_secs(7_200));
    [now.checked_sub(much).unwrap(), now.checked_sub(little).unwrap(), now, now + little, now + much]
}

/// Neither the clock's time nor a change of it makes a file whole. No event reports these changes.
#[test]
fn a_file_is_as_old_as_it_has_been_known_whatever_the_clocks() {
    let quiet = Duration::from_secs(60);
    for loaded in [false, true] {
        let place = Place::new();
        let source = place.files(polling());
        let _wakes = Wakes::of(&source);
        if loaded {
            source.load().unwrap();
        }
        place.write("policies/sub/half.cedar", OTHER);
        let first = Instant::now();
        let unproven = |instant, clock| source.caution.unproven_at(&scan(&source), quiet, Now { instant, clock });
        let enough = if loaded { quiet * 3 } else { quiet };
        for (at, clock) in clocks().into_iter().enumerate() {
            let left = unproven(first + Duration::from_secs(at as u64), clock).map(|(_, left)| left);
            // at the start there is nothing to compare with: a file that seems as old as that counts as whole
            let far_ahead = at == 4 && !loaded;
            let expected = (!far_ahead).then(|| enough.saturating_sub(Duration::from_secs(at as u64)));
            assert_eq!(left, expected, "clock {at}, loaded: {loaded}");
        }
        assert_eq!(unproven(first + enough, SystemTime::now()), None);
        // it is written on
        place.write("policies/sub/half.cedar", format!("{OTHER}//"));
        for clock in clocks().into_iter().take(4) {
            let (origin, left) = unproven(first + enough, clock).unwrap();
            assert!(left == enough && origin.ends_with("half.cedar"), "{left:?} for {origin}");
        }
    }
}
