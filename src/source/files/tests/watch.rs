//! How changes are noticed, by each way in which people and programs make them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{POLICY, Place, polling, settings};
use crate::source::conformance::{Fixture, Wakes, eventually};
use crate::source::files::watch::{MakeWatcher, start};
use crate::source::files::writers;
use crate::source::{FileSettings, FileSource, Source};

pub(super) const OTHER: &str = "forbid (principal, action, resource);";

/// The texts that a source loads by their stems; empty while it cannot load.
pub(super) fn texts(source: &dyn Source) -> Vec<(String, String)> {
    let Ok(loaded) = source.load() else { return Vec::new() };
    let pair = |policy: palisade_engine::model::PolicyText| {
        (policy.origin.rsplit_once('/').unwrap().1.to_owned(), policy.text)
    };
    loaded.bundle.policies.into_iter().map(pair).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// What is done to a place, and the policies that it must lead to, in the order of their paths.
type Step<'a> = (&'a dyn Fn(&Place), &'a [(&'a str, &'a str)]);

/// Each step must be noticed, by notification and by looking, and lead to the policies given.
#[track_caller]
fn check(prepare: impl Fn(&Place), steps: &[Step<'_>]) {
    for settings in [settings(), polling()] {
        let place = Place::new();
        prepare(&place);
        let source = place.files(settings.clone());
        let wakes = Wakes::of(&source);
        source.load().unwrap();
        for (number, (step, expected)) in steps.iter().enumerate() {
            let before = wakes.count();
            step(&place);
            let start = Instant::now();
            wakes.until(&source, before, |source| {
                assert!(start.elapsed() < Duration::from_secs(20), "step {number}: {:?}", texts(source));
                texts(source) == owned(expected)
            });
        }
        assert_eq!(wakes.watch().degraded(), None, "{settings:?}");
    }
}

#[test]
fn files_are_changed_in_every_way() {
    let in_place = |place: &Place| place.write("policies/base.cedar", OTHER);
    let slowly = |place: &Place| {
        let mut file = OpenOptions::new().write(true).truncate(true).open(place.path("policies/base.cedar")).unwrap();
        for part in POLICY.as_bytes().chunks(4) {
            file.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(3));
        }
    };
    let rename_over = |place: &Place| {
        place.write("policies/.tmp", OTHER);
        place.rename("policies/.tmp", "policies/base.cedar");
    };
    let vim = |place: &Place| {
        place.write("policies/4913", "");
        fs::remove_file(place.path("policies/4913")).unwrap();
        place.rename("policies/base.cedar", "policies/base.cedar~");
        place.write("policies/base.cedar", POLICY);
        fs::remove_file(place.path("policies/base.cedar~")).unwrap();
    };
    let sed = |place: &Place| {
        place.write("policies/sedXa1b2", OTHER);
        place.rename("policies/sedXa1b2", "policies/base.cedar");
    };
    let unlink_and_create = |place: &Place| {
        place.remove("base");
        place.write("policies/base.cedar", POLICY);
        place.write("policies/base.cedar", "// same size, differently made: 0");
    };
    let hard_link = |place: &Place| {
        place.write("elsewhere", OTHER);
        fs::hard_link(place.path("elsewhere"), place.path("policies/hard.cedar")).unwrap();
    };
    let mtime_kept = |place: &Place| {
        let path = place.path("policies/base.cedar");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(b"// same size, differently made: 1").unwrap();
        file.set_modified(modified).unwrap();
    };
    let (zero, one) = ("// same size, differently made: 0", "// same size, differently made: 1");
    check(
        |_| {},
        &[
            (&in_place, &[("base.cedar", OTHER)]),
            (&slowly, &[("base.cedar", POLICY)]),
            (&rename_over, &[("base.cedar", OTHER)]),
            (&vim, &[("base.cedar", POLICY)]),
            (&sed, &[("base.cedar", OTHER)]),
            (&unlink_and_create, &[("base.cedar", zero)]),
            (&mtime_kept, &[("base.cedar", one)]),
            (&hard_link, &[("base.cedar", one), ("hard.cedar", OTHER)]),
        ],
    );
}

#[test]
fn directories_come_and_go() {
    let add = |place: &Place| place.write("policies/a/b/x.cedar", OTHER);
    let change = |place: &Place| place.write("policies/a/b/x.cedar", POLICY);
    let rename = |place: &Place| place.rename("policies/a", "policies/c");
    let change_renamed = |place: &Place| place.write("policies/c/b/x.cedar", OTHER);
    let there_and_back = |place: &Place| {
        place.rename("policies/c", "policies/d");
        place.rename("policies/d", "policies/c");
        place.write("policies/c/b/x.cedar", POLICY);
    };
    let change_again = |place: &Place| place.write("policies/c/b/x.cedar", OTHER);
    let remove = |place: &Place| fs::remove_dir_all(place.path("policies/c")).unwrap();
    let base = ("base.cedar", POLICY);
    check(
        |_| {},
        &[
            (&add, &[("x.cedar", OTHER), base]),
            (&change, &[("x.cedar", POLICY), base]),
            (&rename, &[base, ("x.cedar", POLICY)]),
            (&change_renamed, &[base, ("x.cedar", OTHER)]),
            (&there_and_back, &[base, ("x.cedar", POLICY)]),
            (&change_again, &[base, ("x.cedar", OTHER)]),
            (&remove, &[base]),
        ],
    );
}

/// Swaps as the kubelet does: a new hidden directory, a new link to it, and the link renamed over the old.
fn swap(place: &Place, old: &str, new: &str, text: &str) {
    place.write(&format!("policies/..{new}/a.cedar"), text);
    place.link(format!("..{new}"), "policies/..data_tmp");
    place.rename("policies/..data_tmp", "policies/..data");
    fs::remove_dir_all(place.path(&format!("policies/..{old}"))).unwrap();
}

#[test]
fn a_mounted_config_map_is_swapped() {
    let mount = |place: &Place| {
        place.remove("base");
        place.write("policies/..1/a.cedar", "// 1");
        place.link("..1", "policies/..data");
        place.link("..data/a.cedar", "policies/a.cedar");
    };
    check(
        mount,
        &[
            (&|place| swap(place, "1", "2", "// 2"), &[("a.cedar", "// 2")]),
            (&|place| swap(place, "2", "3", "// 3"), &[("a.cedar", "// 3")]),
            (&|place| place.write("policies/..3/a.cedar", "// in place"), &[("a.cedar", "// in place")]),
            (&|place| swap(place, "3", "1", "// 4"), &[("a.cedar", "// 4")]),
        ],
    );
}

#[test]
fn the_root_is_replaced() {
    let replace = |place: &Place| {
        place.write("new/base.cedar", OTHER);
        place.rename("policies", "old");
        place.rename("new", "policies");
    };
    let change = |place: &Place| place.write("policies/base.cedar", POLICY);
    let recreate = |place: &Place| {
        fs::remove_dir_all(place.path("policies")).unwrap();
        thread::sleep(Duration::from_millis(60));
        place.write("policies/base.cedar", OTHER);
    };
    let first_entities = |place: &Place| {
        place.write("entities/x.json", "[]");
        place.write("policies/x.cedar", OTHER);
    };
    check(
        |_| {},
        &[
            (&replace, &[("base.cedar", OTHER)]),
            (&change, &[("base.cedar", POLICY)]),
            (&recreate, &[("base.cedar", OTHER)]),
            (&change, &[("base.cedar", POLICY)]),
            (&first_entities, &[("base.cedar", POLICY), ("x.cedar", OTHER)]),
        ],
    );
}

#[test]
fn a_link_above_the_root_is_swapped() {
    for settings in [settings(), polling()] {
        let place = Place::new();
        place.write("releases/1/policies/base.cedar", "// 1");
        place.write("releases/2/policies/base.cedar", "// 2");
        place.link("releases/1", "current");
        let source = FileSource::new(place.path("current/policies"), None, settings);
        let wakes = Wakes::of(&source);
        assert_eq!(texts(&source), owned(&[("base.cedar", "// 1")]));
        place.link("releases/2", "next");
        place.rename("next", "current");
        wakes.until(&source, 0, |source| texts(source) == owned(&[("base.cedar", "// 2")]));
        let before = wakes.count();
        place.write("releases/2/policies/base.cedar", "// 3");
        wakes.until(&source, before, |source| texts(source) == owned(&[("base.cedar", "// 3")]));
    }
}

#[test]
fn a_single_file_is_watched_too() {
    for settings in [settings(), polling()] {
        let place = Place::new();
        place.write("rules.txt", "// 1");
        let source = FileSource::new(place.path("rules.txt"), None, settings);
        let wakes = Wakes::of(&source);
        place.write("unrelated.txt", "x");
        place.write("new", "// 2");
        place.rename("new", "rules.txt");
        wakes.until(&source, 0, |source| texts(source) == owned(&[("rules.txt", "// 2")]));
        let before = wakes.count();
        place.write("rules.txt", "// 3");
        wakes.until(&source, before, |source| texts(source) == owned(&[("rules.txt", "// 3")]));
    }
}

#[test]
fn entities_that_appear_later_are_noticed() {
    let place = Place::new();
    let source = place.files(settings());
    let wakes = Wakes::of(&source);
    place.write("entities/deep/x.json", "[]");
    wakes.until(&source, 0, |source| source.load().is_ok_and(|loaded| loaded.bundle.entities.len() == 1));
    let before = wakes.count();
    place.write("entities/deep/x.json", "[ ]");
    wakes.until(&source, before, |source| {
        source.load().is_ok_and(|loaded| loaded.bundle.entities[0].as_held() == Some(b"[ ]"))
    });
}

#[test]
fn policies_that_are_missing_at_first_are_noticed() {
    let place = Place::new();
    let source = FileSource::new(place.path("later/policies"), None, settings());
    let wakes = Wakes::of(&source);
    assert!(source.load().is_err());
    place.write("later/policies/x.cedar", POLICY);
    wakes.until(&source, 0, |source| source.load().is_ok());
}

#[test]
fn other_permissions_wake_but_leave_the_digest() {
    for settings in [settings(), polling()] {
        let place = Place::new();
        let source = place.files(settings);
        let wakes = Wakes::of(&source);
        let digest = source.load().unwrap().digest;
        fs::set_permissions(place.path("policies/base.cedar"), fs::Permissions::from_mode(0o640)).unwrap();
        eventually("a wake", || wakes.count() > 0);
        assert_eq!(source.load().unwrap().digest, digest);
    }
}

#[test]
fn what_does_not_matter_does_not_wake() {
    for settings in [settings(), polling()] {
        let place = Place::new();
        place.write("policies/tests/x.json", "{}");
        let source = place.files(settings);
        let wakes = Wakes::of(&source);
        for round in 0..5 {
            source.load().unwrap();
            place.write("policies/.base.cedar.swp", round.to_string());
            place.write("policies/README.md", round.to_string());
            place.write("policies/tests/x.json", round.to_string());
            place.write("beside.cedar", round.to_string());
            thread::sleep(Duration::from_millis(40));
        }
        assert_eq!(wakes.count(), 0);
    }
}

#[test]
fn a_burst_is_answered_few_times() {
    for settings in [settings(), polling()] {
        let place = Place::new();
        let source = place.files(FileSettings { quiet: Duration::from_millis(200), ..settings });
        let wakes = Wakes::of(&source);
        let start = Instant::now();
        for i in 0..500 {
            place.write(&format!("policies/{}.cedar", i % 50), format!("// {i}"));
        }
        let took = start.elapsed();
        wakes.until(&source, 0, |source| texts(source).iter().any(|(_, text)| text == "// 499"));
        // at most one in each quiet period, should this machine have been that slow
        let most = 3 + took.as_millis() / 200;
        assert!(wakes.count() as u128 <= most, "{} wakes in {took:?}", wakes.count());
    }
}

/// A file that is open and was changed, by each way in which one is made.
type Opener<'a> = &'a dyn Fn(&Place) -> fs::File;

#[test]
fn what_is_open_and_changed_holds_every_load_back_until_it_is_closed() {
    let path = |place: &Place| place.path("policies/forbid.cedar");
    let cut = |place: &Place| fs::File::create(path(place)).unwrap();
    let half = |place: &Place| {
        let mut file = cut(place);
        file.write_all(b"// the first lines\n").unwrap();
        file
    };
    let made_again = |place: &Place| {
        place.remove("forbid");
        cut(place)
    };
    let renamed_too_early = |place: &Place| {
        let mut file = fs::File::create(place.path("policies/new.cedar")).unwrap();
        file.write_all(b"// the first lines\n").unwrap();
        place.rename("policies/new.cedar", "policies/forbid.cedar");
        file
    };
    let openers: [Opener<'_>; 4] = [&cut, &half, &made_again, &renamed_too_early];
    for (number, open) in openers.into_iter().enumerate() {
        let place = Place::new();
        place.write("policies/forbid.cedar", OTHER);
        let source = place.files(settings());
        let wakes = Wakes::of(&source);
        source.load().unwrap();
        let mut file = open(&place);
        eventually("the report", || wakes.watch().degraded().is_some_and(|reason| reason.contains("forbid.cedar")));
        let reason = wakes.watch().degraded().unwrap();
        assert!(reason.contains("open for writing since 20") && reason.contains("not closed"), "{reason}");
        // a load fails, even on request and although another file has changed
        place.write("policies/other.cedar", POLICY);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(wakes.count(), 0, "{number}");
        let problems = source.load().unwrap_err();
        assert!(problems.iter().all(|problem| problem.passing && problem.help.is_some()), "{number}: {problems:?}");
        file.write_all(OTHER.as_bytes()).unwrap();
        drop(file);
        wakes.until(&source, 0, |source| {
            let texts = texts(source);
            texts.len() == 3 && texts[1].1.ends_with(OTHER) && texts[2].1 == POLICY
        });
        assert_eq!(wakes.watch().degraded(), None);
    }
}

/// Cuts a file by its path: nothing opens or closes it.
#[expect(unsafe_code, reason = "the standard library cuts only what is open")]
fn cut_by_path(path: &Path, len: usize) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends with a zero byte and lives until the call is over.
    assert_eq!(unsafe { libc::truncate(path.as_ptr(), libc::off_t::try_from(len).unwrap()) }, 0);
}

#[test]
fn what_is_changed_and_not_open_holds_nothing_back() {
    // where the system gives no leases, the quiet time alone helps
    if writers::is_written(&Place::new().path("policies/base.cedar")).is_none() {
        return;
    }
    let cut = |place: &Place| {
        cut_by_path(&place.path("policies/forbid.cedar"), OTHER.len());
        fs::File::open("/dev/null").unwrap()
    };
    // a file that has no name any more is still written under it
    let nameless = |place: &Place| {
        let mut file = OpenOptions::new().append(true).open(place.path("policies/forbid.cedar")).unwrap();
        place.write("new", OTHER);
        place.rename("new", "policies/forbid.cedar");
        thread::sleep(Duration::from_millis(100));
        file.write_all(b"// late").unwrap();
        file
    };
    let changes: [Opener<'_>; 2] = [&cut, &nameless];
    for change in changes {
        let place = Place::new();
        place.write("policies/forbid.cedar", format!("{OTHER}// more"));
        let source = place.files(settings());
        let wakes = Wakes::of(&source);
        source.load().unwrap();
        let _open = change(&place);
        let before = wakes.count();
        place.put("other", POLICY);
        wakes.until(&source, before, |source| texts(source).len() == 3 && texts(source)[1].1 == OTHER);
        eventually("no reason", || wakes.watch().degraded().is_none());
        // loaded while the file counts as open for the notifier
        change(&place);
        assert_eq!(source.load().unwrap().bundle.policies.len(), 3);
    }
}

#[test]
fn a_file_that_vanished_counts_as_gone_after_some_time() {
    for settings in [settings(), polling()] {
        for (empty, quiet) in [(false, 400), (true, 400), (false, 0)] {
            let place = Place::new();
            place.write("policies/x.cedar", POLICY);
            place.write("entities/e.json", "[]");
            place.write("entities/f.ndjson", "{}");
            let source = place.files(FileSettings { vanish_quiet: Duration::from_millis(quiet), ..settings.clone() });
            let wakes = Wakes::of(&source);
            let whole = source.load().unwrap();
            if empty {
                place.write("entities/f.ndjson", "");
            } else {
                fs::remove_file(place.path("entities/f.ndjson")).unwrap();
            }
            let start = Instant::now();
            let loaded = source.load().unwrap();
            assert_ne!(loaded.digest, whole.digest);
            assert!(start.elapsed() >= Duration::from_millis(quiet), "{:?}", start.elapsed());

            // back in time: as if it had never been away
            place.write("entities/f.ndjson", "{}");
            assert_eq!(source.load().unwrap().digest, whole.digest);
            if quiet > 0 {
                let digest = thread::scope(|scope| {
                    place.remove("x");
                    let load = scope.spawn(|| source.load().unwrap().digest);
                    thread::sleep(Duration::from_millis(100));
                    place.write("policies/x.cedar", POLICY);
                    load.join().unwrap()
                });
                assert_eq!(digest, whole.digest);
            }
            drop(wakes);
        }
    }
}

#[test]
fn without_notifications_the_watch_says_so_and_looks() {
    let makes: [(MakeWatcher, &str); 3] = [
        (|_| Err(notify::Error::generic("no notifier here")), "no notifier here"),
        (|_| Err(notify::Error::io(io::Error::from_raw_os_error(libc::EMFILE))), "fs.inotify.max_user_instances"),
        (|_| Err(notify::Error::io(io::Error::from_raw_os_error(libc::ENFILE))), "fs.file-max"),
    ];
    for (make, expected) in makes {
        let place = Place::new();
        let source = place.files(settings());
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let wake = Box::new(move || {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
        let watch = start(Arc::clone(&source.tree), None, Arc::default(), make, wake);
        let reason = watch.degraded().unwrap();
        assert!(reason.contains(expected) && reason.contains("1s") && !reason.contains("os error"), "{reason}");
        place.put("x", POLICY);
        eventually("a wake", || count.load(std::sync::atomic::Ordering::SeqCst) > 0);
        let start = Instant::now();
        drop(watch);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_panic_of_the_wake_is_reported() {
    let place = Place::new();
    let source = place.files(settings());
    let watch = source.watch(Box::new(|| panic!("a wake that fails")));
    assert_eq!(watch.degraded(), None);
    place.put("x", POLICY);
    eventually("the report", || watch.degraded().is_some_and(|reason| reason.contains("has stopped")));
}

#[test]
fn a_wake_may_drop_its_own_watch() {
    let place = Place::new();
    let source = place.files(settings());
    let (sender, receiver) = std::sync::mpsc::channel();
    let slot = Arc::new(std::sync::Mutex::new(None));
    let inner = Arc::clone(&slot);
    let watch = source.watch(Box::new(move || {
        drop(inner.lock().unwrap().take());
        sender.send(()).unwrap();
    }));
    *slot.lock().unwrap() = Some(watch);
    place.put("x", POLICY);
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
}
