//! Of what the files held when they were looked at, and what was changed afterwards. Nothing here waits or is watched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{POLICY, Place, settings};
use crate::source::files::tests::watch::OTHER;
use crate::source::{FileSource, Source};

/// Of the same length as `POLICY`.
const SAME_LENGTH: &str = "forbid (principal, action, resource);";

fn shows(source: &FileSource, look: &crate::source::Picture) -> bool {
    look.shows(&source.load().unwrap().files)
}

/// What is done to a place before the look, what after it, and whether a load then brings what was seen.
type Case<'a> = (&'a str, &'a dyn Fn(&Place), &'a dyn Fn(&Place), bool);

#[test]
fn a_picture_tells_what_was_changed_before_it_from_what_was_changed_after_it() {
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
        ("gone before", &remove, &nothing, true),
        ("gone before and back after", &remove, &again, true),
        ("gone after", &nothing, &remove, false),
        ("new before", &new, &nothing, true),
        ("new after", &nothing, &new, false),
        ("one before, another after", &rename, &new, false),
    ];
    for (what, before, after, same) in cases {
        for loaded in [true, false] {
            // what is not believed to be gone or empty at once had to be known
            if !loaded && ["cut", "gone before and back"].iter().any(|known| what.starts_with(known)) {
                continue;
            }
            let place = Place::new();
            place.write("policies/a.cedar", POLICY);
            place.write("policies/..1/l.cedar", POLICY);
            place.link("..1", "policies/..data");
            place.link("..data/l.cedar", "policies/l.cedar");
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

#[test]
fn a_file_that_is_too_large_to_be_read_is_told_by_its_stamp() {
    let place = Place::new();
    let large = |letter: &str| format!("[{{\"uid\":\"{}\"}}]", letter.repeat(17 << 20));
    place.write("entities/large.json", large("a"));
    let source = place.files(settings());
    source.load().unwrap();
    place.write("entities/.tmp", large("b"));
    place.rename("entities/.tmp", "entities/large.json");
    let look = source.picture();
    assert!(shows(&source, &look));
    place.write("entities/large.json", large("c"));
    assert!(!shows(&source, &look));
}
