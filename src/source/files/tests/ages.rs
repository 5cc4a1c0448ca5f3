//! Of when the files are that a load brings, by each way in which they are touched and changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use super::{POLICY, Place, polling, settings};
use crate::source::conformance::{Wakes, eventually};
use crate::source::files::tests::watch::OTHER;
use crate::source::{Ages, FileSettings, Source};

/// What the source says when it next loads what was changed.
fn ages(source: &dyn Source) -> Ages {
    source.load().unwrap().ages.unwrap()
}

/// Whether a file, or everything, is known to be touched since `then`.
fn touched(ages: &Ages, name: &str, then: Instant) -> bool {
    let file = ages.files.iter().find(|(origin, _)| origin.ends_with(name)).map(|(_, at)| *at);
    ages.all.max(file).is_some_and(|at| at > then)
}

/// What is done to a place, the files that it changes, and whether it may change all of them.
type Case<'a> = (&'a str, &'a dyn Fn(&Place), &'a [&'a str], bool);

#[test]
fn an_event_makes_only_the_files_younger_that_it_concerns() {
    let cases: &[Case<'_>] = &[
        ("written", &|place| place.write("policies/a.cedar", OTHER), &["a.cedar"], false),
        (
            "cut",
            &|place| fs::File::options().write(true).open(place.path("policies/a.cedar")).unwrap().set_len(3).unwrap(),
            &["a.cedar"],
            false,
        ),
        (
            "renamed into place",
            &|place| {
                place.write("policies/.tmp", OTHER);
                place.rename("policies/.tmp", "policies/a.cedar");
            },
            &["a.cedar"],
            false,
        ),
        ("renamed", &|place| place.rename("policies/a.cedar", "policies/c.cedar"), &["a.cedar", "c.cedar"], false),
        ("removed", &|place| place.remove_file("policies/a.cedar"), &["a.cedar"], false),
        (
            "touched",
            &|place| {
                fs::set_permissions(place.path("policies/a.cedar"), fs::Permissions::from_mode(0o640)).unwrap();
            },
            &["a.cedar"],
            false,
        ),
        ("not read", &|place| place.write("policies/a.txt", "x"), &[], false),
        (
            "skipped",
            &|place| {
                place.write("policies/.git/a.cedar", "x");
                place.write("policies/a.cedar~", "x");
            },
            &[],
            false,
        ),
        ("no directory of any file", &|place| fs::create_dir(place.path("policies/new")).unwrap(), &[], false),
        ("a directory", &|place| place.write("policies/new/d.cedar", POLICY), &["d.cedar"], false),
        (
            "a directory renamed",
            &|place| place.rename("policies/sub", "policies/bus"),
            &["sub/s.cedar", "bus/s.cedar"],
            false,
        ),
        (
            "a directory removed",
            &|place| fs::remove_dir_all(place.path("policies/sub")).unwrap(),
            &["sub/s.cedar"],
            false,
        ),
        ("a link", &|place| place.link("sub", "policies/link"), &["link/s.cedar"], true),
        (
            "another root",
            &|place| {
                place.rename("policies", "away");
                place.write("other/a.cedar", POLICY);
                place.rename("other", "policies");
            },
            &["a.cedar", "b.cedar"],
            true,
        ),
    ];
    for settings in [settings(), polling()] {
        for (what, change, changed, all) in cases {
            let place = Place::new();
            for name in ["a.cedar", "b.cedar", "sub/s.cedar"] {
                place.write(&format!("policies/{name}"), POLICY);
            }
            let source = place.files(settings.clone());
            let wakes = Wakes::of(&source);
            source.load().unwrap();
            thread::sleep(Duration::from_millis(30));
            let then = Instant::now();
            change(&place);
            thread::sleep(Duration::from_millis(150));
            let known = ages(&source);
            for name in *changed {
                assert!(touched(&known, name, then), "{what}: {name}: {known:?}");
            }
            if !all {
                for name in ["a.cedar", "b.cedar", "s.cedar"]
                    .iter()
                    .filter(|name| !changed.iter().any(|file| file.ends_with(*name)))
                {
                    assert!(!touched(&known, name, then), "{what}: {name}: {known:?}");
                }
            }
            // what is known does not grow younger by loading or waiting
            let later = Instant::now();
            thread::sleep(Duration::from_millis(50));
            let again = ages(&source);
            assert!(!touched(&again, "a.cedar", later) && !touched(&again, "s.cedar", later), "{what}: {again:?}");
            assert!(changed.is_empty() || wakes.count() > 0, "{what}");
        }
    }
}

#[test]
fn a_file_in_a_directory_that_is_not_watched_yet_is_as_old_as_itself() {
    let place = Place::new();
    let source = place.files(FileSettings { quiet: Duration::from_millis(400), ..settings() });
    let wakes = Wakes::of(&source);
    source.load().unwrap();
    place.write("policies/new/one.cedar", POLICY);
    thread::sleep(Duration::from_millis(100));
    let then = Instant::now();
    place.write("policies/new/two.cedar", POLICY);
    eventually("a wake", || wakes.count() > 0);
    let known = ages(&source);
    assert!(touched(&known, "two.cedar", then), "{known:?}");
    assert!(!touched(&known, "one.cedar", then), "{known:?}");
}

#[test]
fn without_a_watch_there_are_no_ages() {
    let place = Place::new();
    assert_eq!(place.files(settings()).load().unwrap().ages, None);
}
