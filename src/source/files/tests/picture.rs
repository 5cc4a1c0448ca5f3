//! Of what the files held when they were looked at, and what was changed afterwards. Nothing here waits or is watched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::{POLICY, Place, settings};
use crate::source::FileSettings;
use crate::source::files::tests::watch::OTHER;
use crate::source::{FileSource, Picture, Source};

/// Of the same length as `POLICY`.
const SAME_LENGTH: &str = "forbid (principal, action, resource);";

fn shows(source: &FileSource, look: &Picture) -> bool {
    look.shows(&source.load().unwrap().files)
}

/// Writes as `rsync --times` and `touch --reference` leave a file: with a time that it had before.
fn write_as_old(place: &Place, path: &str, content: impl AsRef<[u8]>) {
    place.write(path, content);
    set_old(place, path);
}

fn set_old(place: &Place, path: &str) {
    let file = fs::File::options().write(true).open(place.path(path)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
}

/// What is done to a place before the look, what after it, and whether a load then brings what was seen.
type Case<'a> = (&'a str, &'a dyn Fn(&Place), &'a dyn Fn(&Place), bool);

#[test]
fn a_picture_separates_changes_before_it_from_changes_after_it() {
    let nothing = |_: &Place| ();
    let rename = |place: &Place| {
        place.write("policies/.tmp", OTHER);
        place.rename("policies/.tmp", "policies/a.cedar");
    };
    let swap = |place: &Place| {
        place.write("policies/..2/l.cedar", OTHER);
        symlink("..2", place.path("policies/..tmp")).unwrap();
        place.rename("policies/..tmp", "policies/..data");
    };
    let another_directory = |place: &Place| {
        place.rename("policies", "away");
        place.write("other/a.cedar", OTHER);
        place.rename("other", "policies");
    };
    let in_place = |place: &Place| place.write("policies/a.cedar", SAME_LENGTH);
    let in_place_as_old = |place: &Place| write_as_old(place, "policies/a.cedar", SAME_LENGTH);
    let again_as_old = |place: &Place| {
        place.remove_file("policies/a.cedar");
        write_as_old(place, "policies/a.cedar", SAME_LENGTH);
    };
    let twice = |place: &Place| {
        place.write("policies/a.cedar", SAME_LENGTH);
        place.write("policies/a.cedar", POLICY);
    };
    let cut = |place: &Place| place.write("policies/a.cedar", "");
    let remove = |place: &Place| place.remove_file("policies/a.cedar");
    let chmod = |place: &Place| {
        fs::set_permissions(place.path("policies/a.cedar"), fs::Permissions::from_mode(0o640)).unwrap();
    };
    let new = |place: &Place| place.write("policies/deep/n.cedar", POLICY);
    let again = |place: &Place| place.write("policies/a.cedar", POLICY);
    let cases: &[Case<'_>] = &[
        ("nothing", &nothing, &nothing, true),
        ("renamed into place before", &rename, &nothing, true),
        ("renamed into place after", &nothing, &rename, false),
        ("a link swapped before", &swap, &nothing, true),
        ("a link swapped after", &nothing, &swap, false),
        ("another directory before", &another_directory, &nothing, true),
        ("another directory after", &nothing, &another_directory, false),
        ("written before", &in_place, &nothing, true),
        ("written after", &nothing, &in_place, false),
        ("written after, at the same moment", &in_place, &twice, false),
        ("written before and touched after", &in_place, &chmod, true),
        ("touched after", &nothing, &chmod, true),
        ("written after with what it had", &nothing, &again, true),
        ("cut before and written after with what it had", &cut, &again, true),
        ("cut before and written after", &cut, &in_place, false),
        ("cut before and written after, with its old time", &cut, &in_place_as_old, false),
        ("made again after, with its old time", &nothing, &again_as_old, false),
        ("written after, with its old time", &nothing, &in_place_as_old, false),
        ("gone before", &remove, &nothing, true),
        ("gone before and back after", &remove, &again, true),
        ("gone after", &nothing, &remove, false),
        ("new before", &new, &nothing, true),
        ("new after", &nothing, &new, false),
        ("one before, another after", &rename, &new, false),
    ];
    for (what, before, after, same) in cases {
        for loaded in [true, false] {
            // a file that does not count as gone or empty at once must have been loaded before
            if !loaded && ["cut", "gone before and back"].iter().any(|known| what.starts_with(known)) {
                continue;
            }
            let place = Place::new();
            place.write("policies/a.cedar", POLICY);
            place.write("policies/..1/l.cedar", POLICY);
            place.link("..1", "policies/..data");
            place.link("..data/l.cedar", "policies/l.cedar");
            set_old(&place, "policies/a.cedar");
            let source = place.files(settings());
            if loaded {
                source.load().unwrap();
            }
            before(&place);
            let look = source.picture();
            after(&place);
            assert_eq!(shows(&source, &look), *same, "{what}, loaded before: {loaded}");
        }
    }
}

/// What a file may hold that is not read by a look together with others.
fn large(letter: &str, mebibytes: usize) -> String {
    format!("[{{\"uid\":\"{}\"}}]", letter.repeat(mebibytes << 20))
}

#[test]
fn files_that_are_too_large_to_be_read_are_compared_by_their_stamps() {
    // one that is larger than all that is read, and some that are larger together
    for (count, mebibytes) in [(1, 17), (3, 7)] {
        let place = Place::new();
        let names: Vec<String> = (0..count).map(|number| format!("entities/{number}.json")).collect();
        let publish = |letter: &str| {
            for name in &names {
                place.write("entities/.tmp", large(letter, mebibytes));
                place.rename("entities/.tmp", name);
            }
        };
        publish("a");
        let source = place.files(settings());
        source.load().unwrap();
        publish("b");
        let look = source.picture();
        assert!(shows(&source, &look), "{count} files");
        publish("c");
        let look = source.picture();
        let touch = || {
            for name in &names {
                for mode in [0o600, 0o644] {
                    fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
                }
            }
        };
        touch();
        // it may as well have been written, with its old time set again: it is not skipped
        assert!(!shows(&source, &look), "{count} files, not loaded and touched");
        touch();
        let look = source.picture();
        touch();
        assert!(shows(&source, &look), "{count} files, loaded and touched");
        publish("e");
        names.iter().for_each(|name| set_old(&place, name));
        source.load().unwrap();
        touch();
        let look = source.picture();
        names.iter().for_each(|name| write_as_old(&place, name, large("f", mebibytes)));
        assert!(!shows(&source, &look), "{count} files, written after with their old times");
        for name in &names {
            let look = source.picture();
            place.write(name, large("d", mebibytes));
            assert!(!shows(&source, &look), "{name} of {count} files");
        }
    }
}

/// Whether permissions keep this user from anything.
fn may_read_all(place: &Place) -> bool {
    place.write("probe", "x");
    fs::set_permissions(place.path("probe"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::read(place.path("probe")).is_ok()
}

#[test]
fn permissions_that_come_and_go_are_no_change() {
    let set = |place: &Place, path: &str, mode: u32| {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    if may_read_all(&Place::new()) {
        return; // held by the tests of `Picture` alone
    }
    let nothing = |_: &Place| ();
    let rename = |place: &Place| {
        place.write("tmp", OTHER);
        place.rename("tmp", "policies/a.cedar");
    };
    let in_place = |place: &Place| place.write("policies/a.cedar", SAME_LENGTH);
    let in_place_as_old = |place: &Place| write_as_old(place, "policies/a.cedar", SAME_LENGTH);
    let again_as_old = |place: &Place| {
        place.remove_file("policies/a.cedar");
        write_as_old(place, "policies/a.cedar", SAME_LENGTH);
    };
    let remove = |place: &Place| place.remove_file("policies/a.cedar");
    // what is closed, what is done before that, and what is done when it is open again
    let cases: &[Case<'_>] = &[
        ("policies/a.cedar", &nothing, &nothing, true),
        // what was not loaded before, and could not be read, is not known to be old
        ("policies/a.cedar", &in_place, &nothing, false),
        ("policies/a.cedar", &rename, &nothing, false),
        ("policies/a.cedar", &nothing, &in_place_as_old, false),
        ("policies/a.cedar", &nothing, &again_as_old, false),
        ("policies/a.cedar", &nothing, &in_place, false),
        ("policies/a.cedar", &nothing, &rename, false),
        ("policies", &nothing, &nothing, true),
        ("policies", &rename, &nothing, false),
        ("policies", &in_place, &nothing, false),
        ("policies", &remove, &nothing, false),
        ("policies", &nothing, &rename, false),
        ("policies", &nothing, &in_place, false),
        ("policies", &nothing, &remove, false),
    ];
    for (at, (closed, before, after, same)) in cases.iter().enumerate() {
        let place = Place::new();
        place.write("policies/a.cedar", POLICY);
        set_old(&place, "policies/a.cedar");
        let source = place.files(settings());
        source.load().unwrap();
        before(&place);
        set(&place, closed, 0);
        let look = source.picture();
        set(&place, closed, 0o755);
        after(&place);
        assert_eq!(shows(&source, &look), *same, "{at}: {closed}");
    }
}

/// What is done to a place before the look, what after it, and whether a load then brings what was loaded before.
#[test]
fn what_could_not_be_seen_is_what_was_loaded_or_new_whatever_its_times() {
    let away = |place: &Place| place.rename("policies", "away");
    let back = |place: &Place| place.rename("away", "policies");
    let older = |place: &Place| place.rename("older", "policies");
    let with_another = |place: &Place| {
        place.rename("old", "away/guard.cedar");
        back(place);
    };
    let with_one_less = |place: &Place| {
        place.remove_file("away/a.cedar");
        back(place);
    };
    let changed = |place: &Place| {
        place.write("away/a.cedar", SAME_LENGTH);
        back(place);
    };
    let removed_and_away = |place: &Place| {
        place.remove_file("policies/a.cedar");
        away(place);
    };
    let elsewhere = |place: &Place| {
        place.remove_file("policies/a.cedar");
        place.rename("entities", "away");
    };
    let entities_back = |place: &Place| place.rename("away", "entities");
    let cases: &[Case<'_>] = &[
        ("away and back", &away, &back, true),
        ("away, and another tree that was written before", &away, &older, false),
        ("away, and back with a file that was written before", &away, &with_another, false),
        ("away, and back without a file", &away, &with_one_less, false),
        ("away, and back with a change", &away, &changed, false),
        ("a file removed, away and back", &removed_and_away, &back, false),
        ("a file removed, and something else away and back", &elsewhere, &entities_back, true),
    ];
    for (what, before, after, same) in cases {
        let place = Place::new();
        place.write("policies/a.cedar", POLICY);
        place.write("entities/e.json", "[]");
        place.write("older/a.cedar", OTHER);
        place.write("old", OTHER);
        let source = place.files(FileSettings { entities_required: true, ..settings() });
        source.load().unwrap();
        before(&place);
        let look = source.picture();
        assert!(look.is_partial(), "{what}");
        after(&place);
        assert_eq!(shows(&source, &look), *same, "{what}");
        assert!(!source.picture().is_partial(), "{what}");
    }
    // nothing was ever loaded
    let place = Place::new();
    let source = place.files(settings());
    away(&place);
    let look = source.picture();
    back(&place);
    assert!(!shows(&source, &look));
}
