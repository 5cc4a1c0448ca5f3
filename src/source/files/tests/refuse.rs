//! What is refused, and in which words.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::{POLICY, Place, settings};
use crate::source::{FileSettings, FileSource, Source};

/// Prepares a place by `prepare`; the load must fail with exactly these: the end of the path and a part of the message.
#[track_caller]
fn check_with(settings: FileSettings, prepare: impl FnOnce(&Place), expected: &[(&str, &str)]) {
    let place = Place::new();
    prepare(&place);
    let problems = place.files(settings).load().unwrap_err();
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (path, message) in expected {
        let found =
            problems.iter().any(|p| p.origin == place.path(path).display().to_string() && p.message.contains(message));
        assert!(found, "{path}: {message}\nnot among {problems:#?}");
        assert!(problems.iter().all(|problem| problem.help.is_some()), "{problems:#?}");
    }
}

#[track_caller]
fn check(prepare: impl FnOnce(&Place), expected: &[(&str, &str)]) {
    check_with(settings(), prepare, expected);
}

fn pipe(place: &Place, path: &str) {
    assert!(Command::new("mkfifo").arg(place.path(path)).status().unwrap().success());
}

#[test]
fn nothing_to_enforce() {
    let gone = |place: &Place| fs::remove_dir_all(place.path("policies")).unwrap();
    check(gone, &[("policies", "does not exist")]);
    let empty = |place: &Place| place.rename("policies/base.cedar", "policies/base.txt");
    check(
        empty,
        &[
            ("policies", "base.txt` is not read), and an empty policy set denies every request"),
            ("policies/base.txt", "this file is not read"),
        ],
    );
    let nothing = |place: &Place| {
        place.write("policies/cut.cedar", " \n");
        place.write("policies/cut.cedar.json", "");
    };
    check(nothing, &[("policies/cut.cedar", "this file is empty"), ("policies/cut.cedar.json", "this file is empty")]);
}

#[test]
fn links_that_lead_nowhere_good() {
    check(|place| place.link("self.cedar", "policies/self.cedar"), &[("policies/self.cedar", "symlink loop")]);
    check(
        |place| {
            place.link("b.cedar", "policies/a.cedar");
            place.link("a.cedar", "policies/b.cedar");
        },
        &[("policies/a.cedar", "symlink loop"), ("policies/b.cedar", "symlink loop")],
    );
    check(
        |place| {
            place.write("policies/deep/x.cedar", POLICY);
            place.link("..", "policies/deep/up");
        },
        &[("policies/deep/up", "symlink loop")],
    );
    check(|place| place.link(".", "policies/here"), &[("policies/here", "symlink loop")]);
    check(|place| place.link("gone.cedar", "policies/x.cedar"), &[("policies/x.cedar", "leads to nothing")]);
    check(
        |place| {
            place.link("b", "policies/gone");
            place.link("gone", "policies/b");
        },
        &[("policies/b", "symlink loop"), ("policies/gone", "symlink loop")],
    );
}

#[test]
fn links_that_lead_out() {
    check(|place| place.link("/etc/passwd", "policies/x.cedar"), &[("policies/x.cedar", "out of")]);
    check(|place| place.link("/etc", "policies/dir"), &[("policies/dir", "out of")]);
    check(
        |place| {
            place.write("outside/x.cedar", POLICY);
            place.link("../outside/x.cedar", "policies/x.cedar");
            place.link("../outside", "policies/dir");
        },
        &[("policies/x.cedar", "out of"), ("policies/dir", "out of")],
    );
    check(
        |place| {
            // a name that begins like the root's is not within it
            place.write("policies-other/x.cedar", POLICY);
            place.link("../policies-other/x.cedar", "policies/x.cedar");
        },
        &[("policies/x.cedar", "out of")],
    );
    let place = Place::new();
    place.link("/etc/passwd", "policies/README");
    assert!(place.load().is_ok(), "a link that is not read may lead anywhere");
}

#[test]
fn what_is_no_file() {
    check(|place| pipe(place, "policies/x.cedar"), &[("policies/x.cedar", "a pipe")]);
    check(
        |place| {
            fs::create_dir(place.path("entities")).unwrap();
            pipe(place, "entities/x.json");
            drop(UnixListener::bind(place.path("entities/y.ndjson")).unwrap());
        },
        &[("entities/x.json", "a pipe"), ("entities/y.ndjson", "a socket")],
    );
    let place = Place::new();
    pipe(&place, "policies/unread");
    assert!(place.load().is_ok());
    for (path, what) in [("/dev/null", "a device"), ("/dev/zero", "a device")] {
        let problems = FileSource::new(path.into(), None, settings()).load().unwrap_err();
        assert!(problems[0].origin == path && problems[0].message.contains(what), "{problems:?}");
    }
}

#[test]
fn too_deep() {
    let nested = |depth: usize| format!("policies/{}x.cedar", "d/".repeat(depth));
    let place = Place::new();
    place.write(&nested(32), POLICY);
    assert_eq!(place.load().unwrap().policies.len(), 2);
    let place_of_problem = format!("policies{}", "/d".repeat(33));
    check(|place| place.write(&nested(60), POLICY), &[(&place_of_problem, "nested deeper than 32")]);
}

#[test]
fn too_large() {
    let small = || FileSettings { max_file_bytes: 100, max_total_bytes: 150, max_files: 6, ..settings() };
    let bytes = |n: usize| " ".repeat(n);
    check_with(small(), |place| place.write("entities/x.json", bytes(101)), &[("entities/x.json", "101 bytes")]);
    check_with(
        small(),
        |place| {
            place.write("entities/x.json", bytes(90));
            place.write("entities/y.json", bytes(80));
        },
        &[("entities/x.json", "together have 207 bytes, more than the 150")],
    );
    check_with(
        small(),
        |place| (0..9).for_each(|i| place.write(&format!("policies/{i}.cedar"), "//")),
        &[("policies/5.cedar", "more than 6 files")],
    );
    let place = Place::new();
    place.write("entities/x.json", bytes(100));
    assert!(place.files(small()).load().is_ok());
}

#[test]
fn a_tree_that_multiplies_through_links_ends() {
    let place = Place::new();
    for level in 0..20 {
        fs::create_dir_all(place.path(&format!("policies/l{level}"))).unwrap();
        for side in ["a", "b"] {
            place.link(format!("../l{}", level + 1), &format!("policies/l{level}/{side}"));
        }
    }
    let problems = place.files(FileSettings { max_files: 500, ..settings() }).load().unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("more than 500 files"), "{problems:?}");
}

#[test]
fn not_text() {
    let place = Place::new();
    place.write("policies/x.cedar", b"permit\n  (\xff");
    place.write("entities/x.json", b"[\"\xc3\x28\"]");
    let problems = place.load().unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].message.contains("byte 10"), "{problems:?}");
    assert_eq!((problems[0].line, problems[0].column), (Some(2), Some(4)));
    assert_eq!((problems[1].line, problems[1].column), (Some(1), Some(3)));

    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"policies/\xff.cedar");
    fs::write(place.0.path().join(name), POLICY).unwrap();
    assert!(place.load().unwrap_err()[0].message.contains("name is not UTF-8"));
}

#[test]
fn what_may_not_be_read() {
    let place = Place::new();
    place.write("policies/x.cedar", POLICY);
    place.write("policies/dir/y.cedar", POLICY);
    for path in ["policies/x.cedar", "policies/dir"] {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let may_read_anything = fs::read(place.path("policies/x.cedar")).is_ok();
    let result = place.load();
    fs::set_permissions(place.path("policies/dir"), fs::Permissions::from_mode(0o700)).unwrap();
    if may_read_anything {
        return;
    }
    let problems = result.unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.message.contains("cannot be read")), "{problems:?}");
}

#[test]
fn every_problem_is_reported_at_once() {
    check(
        |place| {
            place.link("gone", "policies/a.cedar");
            place.write("policies/b.cedar", b"\xff");
            pipe(place, "policies/c.cedar");
            place.link("/etc", "policies/d");
            place.write("entities/e.json", b"\xff");
        },
        &[
            ("policies/a.cedar", "leads to nothing"),
            ("policies/b.cedar", "not UTF-8"),
            ("policies/c.cedar", "a pipe"),
            ("policies/d", "out of"),
            ("entities/e.json", "not UTF-8"),
        ],
    );
}
