//! Large files of entities: looked at once, read again by the build, and never held.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Place, settings};
use crate::source::Source;
use palisade_engine::model::{Bundle, Diagnostic, Digest, Document, Reread, Revision};
use palisade_engine::{EngineSettings, Snapshot, Validation, on_big_stack};

/// As many entities as have `bytes` bytes, a line each.
fn lines(bytes: usize) -> Vec<String> {
    let line = |i: usize| {
        format!(
            r#"{{"uid":{{"type":"Device","id":"device-{i:08}"}},"attrs":{{"serial":"{i:x}","name":"the {i}th \"device\" [{{","tenant":{{"__entity":{{"type":"Tenant","id":"t{}"}}}}}},"parents":[{{"type":"Group","id":"g{}"}},{{"type":"Tenant","id":"t{}"}}]}}"#,
            i % 97,
            i % 1_009,
            i % 97
        )
    };
    let count = bytes / line(0).len();
    (0..count).map(line).collect()
}

fn build(bundle: Bundle) -> Result<Snapshot, Vec<Diagnostic>> {
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let revision = Revision { incarnation: 1, counter: 1 };
    on_big_stack(|| Snapshot::build(Arc::new(bundle), &settings, revision)).unwrap().map(|(snapshot, _)| snapshot)
}

/// A document that notes how much of it is asked for at a time.
struct Watched {
    document: Document,
    largest: AtomicUsize,
    total: AtomicUsize,
}

impl Reread for Watched {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.largest.fetch_max(buffer.len(), Ordering::Relaxed);
        self.total.fetch_add(buffer.len(), Ordering::Relaxed);
        self.document.read_at(buffer, offset)
    }
}

#[test]
fn thirty_megabytes_are_built_from_a_megabyte_at_a_time() {
    let lines = lines(30 << 20);
    for (name, text) in
        [("entities/x.ndjson", lines.join("\n")), ("entities/x.json", format!("[{}]\n", lines.join(",\n")))]
    {
        let place = Place::new();
        place.write(name, &text);
        let loaded = place.files(settings()).load().unwrap();
        let mut bundle = loaded.bundle;
        assert!(bundle.entities[0].as_held().is_none());
        let origin = bundle.entities[0].origin.clone();
        let held = Bundle { entities: vec![Document::held(origin, text.clone())], ..bundle.clone() };
        assert_eq!(loaded.digest, Digest::of(&held), "a text is the same wherever it is");
        assert_eq!(bundle, held);

        let document = bundle.entities.remove(0);
        let (origin, len, sha256) = (document.origin.clone(), document.len(), document.sha256());
        let watched = Arc::new(Watched { document, largest: AtomicUsize::new(0), total: AtomicUsize::new(0) });
        bundle.entities.push(Document::elsewhere(origin, watched.clone(), len, sha256));
        assert_eq!(build(bundle).unwrap().entity_count(), lines.len());
        assert!(watched.largest.load(Ordering::Relaxed) <= 1 << 20);
        assert_eq!(watched.total.load(Ordering::Relaxed), text.len(), "it is read once");
    }
}

#[test]
fn the_file_that_was_listed_is_built_from_even_if_its_name_is_taken_over() {
    let place = Place::new();
    let lines = lines(2 << 20);
    place.write("entities/x.ndjson", lines.join("\n"));
    let bundle = place.load().unwrap();
    place.write("entities/.new", "[]");
    place.rename("entities/.new", "entities/x.ndjson");
    assert_eq!(build(bundle).unwrap().entity_count(), lines.len());
}

#[test]
fn a_file_that_is_written_before_it_is_built_from_is_refused() {
    let text = lines(2 << 20).join("\n");
    let changed = text.replacen("device-00000000", "device-x0000000", 1);
    let twice = format!("{}\n{}", &text[..text.find('\n').unwrap()], &text[..text.len() / 2]);
    for other in [&changed, &twice, &text[..text.len() - 1], &text[..text.len() / 2], "", "not JSON at all"] {
        let place = Place::new();
        place.write("entities/x.ndjson", &text);
        let bundle = place.load().unwrap();
        fs::write(place.path("entities/x.ndjson"), other).unwrap();
        let problems = build(bundle).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].origin.ends_with("entities/x.ndjson"), "{problems:?}");
        assert!(problems[0].message.contains("changed while it was read"), "{problems:?}");
    }
}

#[test]
fn problems_of_a_large_file_are_placed_as_those_of_a_small_one() {
    let lines = lines(3 << 20);
    let far = lines.len() - 5;
    let change = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        [lines.join("\n"), format!("[{}]", lines.join(",\r\n")), format!("[{}]", lines.join(","))]
    };
    let texts = [
        change(&|lines| lines[far] = lines[7].clone()),
        change(&|lines| lines[far] = "{\"\u{20ac}\": tru}".to_owned()),
        change(&|lines| lines[far] = "{\"\u{20ac}\": 1, \"b\": 2, \"b\": 3}".to_owned()),
        change(&|lines| lines[far] = "  7".to_owned()),
        change(&|lines| lines[far].truncate(99)),
        change(&|lines| lines[far].replace_range(1..2, "")),
        change(&|lines| {
            lines[far] = r#"{"uid":{"type":"A","id":"a"},"attrs":{},"parents":[{"type":"A","id":"a"}]}"#.to_owned()
        }),
        change(&|lines| (0..200).for_each(|i| lines[2 * i] = format!("{{\"uid\": {i}}}"))),
    ];
    for text in texts.iter().flatten() {
        let place = Place::new();
        place.write("entities/x.json", text);
        let bundle = place.load().unwrap();
        let held = Document::held(bundle.entities[0].origin.clone(), text.clone());
        let expected = build(Bundle { entities: vec![held], ..bundle.clone() }).unwrap_err();
        assert_eq!(build(bundle).unwrap_err(), expected);
        // and as the text itself says
        for problem in expected.iter().filter(|problem| problem.origin.ends_with("x.json")) {
            let line = text.split('\n').nth(problem.line.unwrap() - 1).unwrap();
            assert!(problem.excerpt.as_ref().is_none_or(|excerpt| line.trim_end() == excerpt), "{problem}");
            assert!(problem.column.is_none_or(|column| column <= line.chars().count() + 1), "{problem}");
        }
    }
    let told = |text: &str| {
        let place = Place::new();
        place.write("entities/x.json", text);
        let problem = build(place.load().unwrap()).unwrap_err().remove(0);
        (problem.line.unwrap(), problem.column, problem.message)
    };
    let (line, column, message) = told(&texts[0][0]);
    assert_eq!((line, column), (far + 1, Some(1)));
    assert!(message.ends_with("x.json:8"), "{message}");
    let (line, column, message) = told(&texts[1][1]);
    assert_eq!((line, column, message.as_str()), (far + 1, Some(10), "expected `true`, `false` or `null`"));
}

#[test]
fn a_large_file_that_is_no_text_is_reported_with_its_place() {
    let mut bytes = "\u{e4}\n".repeat(1 << 20).into_bytes();
    let place = Place::new();
    bytes.truncate(3 * 700_000 + 2);
    bytes.extend(b"ab\xff");
    bytes.extend(b"more".repeat(1_000));
    place.write("entities/x.ndjson", &bytes);
    let problems = place.load().unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("byte 2100004"), "{problems:?}");
    assert_eq!((problems[0].line, problems[0].column), (Some(700_001), Some(4)));
    assert_eq!(problems[0].excerpt.as_deref(), Some("\u{e4}ab"));
}
