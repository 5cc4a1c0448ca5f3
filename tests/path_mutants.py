#!/usr/bin/env python3
"""Loosens the rules for request targets, one at a time, and shows that their tests fail for each.

    tests/path_mutants.py               all of them
    tests/path_mutants.py dot slash     those whose name contains one of the words

Works on a scratch package of `crates/palisade-routes/src/path.rs` and its tests, which builds in seconds, in `target/mutants`
(or MUTANTS_TARGET_DIR); the tree is never touched. A rule is held if the tests fail without it. Exits with 1 if
one is not, and with 2 if a rule is no longer there just once: then look for it again, do not drop it.
"""

import sys

import gateway_mutants
from gateway_mutants import ROOT

SOURCE = ROOT / "crates/palisade-routes/src/path.rs"

# name, what is there, what to put in its place
MUTANTS = [
    ("overlong targets", "if target.len() > MAX_TARGET {", "if false {"),
    ("too many segments", "if segments.len() == MAX_SEGMENTS {", "if false {"),
    ("targets that do not begin with a slash", "if target.first() != Some(&b'/') {", "if false {"),
    ("raw controls and white space", "if seen & CONTROL != 0 {", "if false {"),
    ("raw white space alone", "0..=b' ' | 0x7f => CONTROL,", "0..b' ' | 0x7f => CONTROL,"),
    ("raw delete", "0..=b' ' | 0x7f => CONTROL,", "0..=b' ' => CONTROL,"),
    ("fragments", "if seen & HASH != 0 {", "if false {"),
    ("raw bytes beyond ASCII", "if seen & BEYOND_ASCII != 0 {", "if false {"),
    ("targets that are not plain", "push(if seen == 0 {", "push(if seen & NOT_PLAIN == 0 {"),
    ("dots that are not plain", "b'/' | b'?' | b'-'", "b'/' | b'?' | b'.' | b'-'"),
    ("percent signs that are not plain", "b'/' | b'?' | b'-'", "b'/' | b'?' | b'%' | b'-'"),
    ("semicolons that are not plain", "b'/' | b'?' | b'-'", "b'/' | b'?' | b';' | b'-'"),
    ("backslashes that are not plain", "b'/' | b'?' | b'-'", "b'/' | b'?' | b'\\\\' | b'-'"),
    ("bars that are not plain", "b'/' | b'?' | b'-'", "b'/' | b'?' | b'|' | b'-'"),
    ("empty segments", "if segments.iter().any(|segment| segment.raw.is_empty()) {", "if false {"),
    ("trailing slashes", "if trailing_slash {\n            segments.pop();\n        }", "segments.pop_if(|last| last.raw.is_empty());\n        let trailing_slash = false;"),
    ("controls that decoding makes", "if text.contains(char::is_control) {", "if false {"),
    ("dot segments", "if hides_dots(&text) {", "if false {"),
    ("encoded NUL alone", "text.contains(char::is_control)", "text.contains(|c: char| c.is_control() && c != '\\0')"),
    ("percent signs without digits", "let (Some(high), Some(low)) = (high, low) else { return Err(PathFault::InvalidPercent) };",
     "let (high, low) = (high.unwrap_or(2), low.unwrap_or(0));"),
    ("raw backslashes", "b'\\\\' => classes.add(PathClass::Backslash),", ""),
    ("raw semicolons", "b';' => classes.add(PathClass::Parameter),", ""),
    ("raw characters", "classes.add(PathClass::RawCharacter);", ""),
    ("encoded slashes", "b'/' => classes.add(PathClass::EncodedSlash),", ""),
    ("encoded backslashes", "b'\\\\' => classes.add(PathClass::EncodedBackslash),", ""),
    ("encoded dots", "b'.' => classes.add(PathClass::EncodedDot),", ""),
    ("encoded percent signs", "b'%' => classes.add(PathClass::EncodedPercent),", ""),
    ("encoded hashes", "b'#' => classes.add(PathClass::EncodedHash),", ""),
    ("encoded semicolons", "b';' => classes.add(PathClass::EncodedSemicolon),", ""),
    ("encoded question marks", "b'?' => classes.add(PathClass::EncodedQuestion),", ""),
    ("dots before a semicolon", "text.split(['/', '\\\\', ';'])", "text.split(['/', '\\\\'])"),
    ("dots between backslashes", "text.split(['/', '\\\\', ';'])", "text.split(['/', ';'])"),
    ("dots behind an encoded slash", "text.split(['/', '\\\\', ';'])", "text.split(['\\\\', ';'])"),
    ("dots beside white space", "part.trim()", "part"),
    ("one dot", 'matches!(part.trim(), "." | "..")', 'part.trim() == ".."'),
    ("two dots", 'matches!(part.trim(), "." | "..")', 'part.trim() == "."'),
    ("dots encoded more than once", "for _ in 0..4 {", "for _ in 0..1 {"),
    ("a rest that distinguishes slashes", ".replace('/', \"%2F\")", ""),
    ("a rest that distinguishes percent signs", "s.text.replace('%', \"%25\")", "s.text"),
]


def check_places(text):
    """Every rule must be there, just once."""
    lost = [f"{name}: {text.count(old)} times\n    {old}" for name, old, _ in MUTANTS if text.count(old) != 1]
    if lost:
        print("no place for these any more; find it again:\n" + "\n".join(lost), file=sys.stderr)
        sys.exit(2)


def package(scratch):
    """A package of the reader and its tests alone."""
    crates = [("serde", ', features = ["derive"]'), ("schemars", ""), ("serde_json", ""), ("memchr", ""),
              ("proptest", ', default-features = false, features = ["std"]')]
    lib = "//! The reader of targets alone.\n#![allow(dead_code)]\npub mod path;\n"
    gateway_mutants.package(scratch, "paths", lib, crates)
    (scratch / "src/path_tests.rs").write_text((ROOT / "crates/palisade-routes/src/path_tests.rs").read_text())


def main():
    text = SOURCE.read_text()
    check_places(text)
    mutants = [(name, "path", old, new) for name, old, new in gateway_mutants.chosen(MUTANTS)]
    sys.exit(1 if gateway_mutants.try_all(mutants, {"path": text}, package) else 0)


if __name__ == "__main__":
    main()
