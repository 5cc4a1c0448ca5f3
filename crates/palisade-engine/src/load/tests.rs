//! Reading in pieces against reading the whole, which is how it was done once; and texts that change meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::cut::Cutter;
use super::read::{Failure, Flaw, one_object, read_by};
use crate::diagnose;
use crate::model::{Document, Reread, Value};

const SIZES: [usize; 6] = [1, 2, 3, 7, 64, 1 << 20];

/// A value, or what is wrong with it and where.
type Element = Result<Value<'static>, (String, u64)>;

/// What reading a document brings, in order: elements with their places, and what stopped it.
#[derive(Debug, PartialEq)]
struct Read {
    elements: Vec<(u64, Element)>,
    end: Result<(), (String, Option<u64>)>,
}

/// By the code under test.
fn in_pieces(document: &Document, size: usize) -> Result<Read, Failure> {
    let mut elements = Vec::new();
    let outcome = read_by(document, size, usize::MAX, &mut |offset, element| {
        elements.push((offset, element.map(Value::into_owned).map_err(|flaw| (flaw.message, flaw.offset.unwrap()))));
        true
    });
    let end = match outcome {
        Ok(()) => Ok(()),
        Err(Failure::Broken(Flaw { message, offset, .. })) => Err((message, offset)),
        Err(failure) => return Err(failure),
    };
    Ok(Read { elements, end })
}

/// By `serde_json`, from the whole text.
/// What JSON takes for white space.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

fn at_once(text: &str) -> Read {
    // what stands behind a byte order mark keeps its place
    let text = text.strip_prefix('\u{feff}').map_or_else(|| text.to_owned(), |behind| format!("   {behind}"));
    let text = text.as_str();
    let mut elements = Vec::new();
    let mut add = |offset: usize, element: &str| {
        let value = serde_json::from_str::<Value<'_>>(element).map(Value::into_owned).map_err(|error| {
            let (message, at) = diagnose::json_place(element.as_bytes(), &error);
            (message, (offset + at) as u64)
        });
        elements.push((offset as u64, value));
    };
    let end = if text.trim().is_empty() {
        Err(("the document is empty".to_owned(), None))
    } else if text.trim_start().starts_with('[') {
        let mut reader = serde_json::Deserializer::from_str(text);
        let mut behind = 0;
        let read = reader.deserialize_seq(Elements(&mut |element: &str| {
            let offset = element.as_ptr() as usize - text.as_ptr() as usize;
            behind = offset + element.len();
            add(offset, element);
        }));
        let end = read.and_then(|()| reader.end()).map_err(|error| diagnose::json_place(text.as_bytes(), &error));
        if let Err((_, at)) = &end
            && *at == behind
            && !text[..behind].ends_with(['"', ']', '}'])
            && !text[behind..].starts_with([',', '[', ']', '{', '}', '"', ':', ' ', '\n', '\r', '\t'])
        {
            // a word that runs into what follows is one broken element to us, and two to `serde_json`
            elements.pop();
        }
        end.map_err(|(message, at)| (message, Some(at as u64)))
    } else {
        let mut offset = 0;
        let written = |line: &&str| !line.trim_matches(WHITE).is_empty();
        let first = text.split_inclusive('\n').find(written).unwrap_or_default().trim_end_matches(WHITE);
        let at = first.as_ptr() as usize - text.as_ptr() as usize;
        if let Some(flaw) = one_object(first, serde_json::from_str(first).as_ref(), at as u64) {
            return Read { elements, end: Err((flaw.message, flaw.offset)) };
        }
        let mut commas = Vec::new();
        for line in text.split_inclusive('\n') {
            let written = line.trim_end_matches(WHITE);
            let entity = written
                .strip_suffix(',')
                .filter(|it| serde_json::from_str::<Value<'_>>(it).is_ok_and(|value| value.as_object().is_some()));
            if let Some(entity) = entity {
                commas.push((offset as u64, offset + entity.len()));
            }
            if !line.trim_matches(WHITE).is_empty() {
                add(offset, entity.unwrap_or(written));
            }
            offset += line.len();
        }
        // the first says it for all, before its line
        if let Some((line, at)) = commas.first() {
            let place = elements.iter().position(|(offset, _)| offset == line).unwrap_or(0);
            elements.insert(place, (*line, Err(("a comma ends this line".to_owned(), *at as u64))));
        }
        Ok(())
    };
    Read { elements, end }
}

struct Elements<F>(F);

impl<'t, F: FnMut(&'t str)> Visitor<'t> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&'t RawValue>()? {
            (self.0)(element.get());
        }
        Ok(())
    }
}

#[track_caller]
fn same(text: &str, sizes: &[usize]) {
    let expected = at_once(text);
    for size in sizes {
        for document in [Document::held("a", text), elsewhere(text)] {
            let found = in_pieces(&document, *size).unwrap();
            assert_eq!(found, expected, "{text:?} in pieces of {size}");
        }
    }
}

/// A text in another place, that gives at most five bytes at a time.
struct Elsewhere(Vec<u8>);

impl Reread for Elsewhere {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[(offset as usize).min(self.0.len())..];
        let read = rest.len().min(buffer.len()).min(5);
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}

fn told_as(place: impl Reread + 'static, text: &str) -> Document {
    Document::elsewhere("a", Arc::new(place), text.len() as u64, Sha256::digest(text).into())
}

fn elsewhere(text: &str) -> Document {
    told_as(Elsewhere(text.into()), text)
}

#[test]
fn any_pieces_bring_what_the_whole_brings() {
    let nested = |depth: usize| format!("[{}1{}, 2]", "[".repeat(depth), "]".repeat(depth));
    let open = format!("[1, {}", "[{\"a\":".repeat(200));
    let long = format!("[1, \"{}\", {{\"b\": \"{}\"}}]", "x".repeat(999), "\\\"\u{20ac}".repeat(333));
    let lines = format!("{{\"a\": \"{}\"}}\n\n{{\"b\": 1}}", "x".repeat(999));
    let (shallow, deep) = (nested(100), nested(200));
    let texts = [
        // nothing
        "",
        " ",
        "\n\n \t\r\n",
        "\u{a0}\u{2003}\n\u{2028}",
        "[]",
        " [ ] ",
        "\r\n[\n]\r\n",
        "[]\n\n",
        // arrays
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "[{},[],\"\",0,-1.5e+3,true,false,null]",
        "[\"]\",\"[\",\"{\",\"}\",\",\"]",
        "[\"\\\"\",\"\\\\\",\"\\\\\\\"]\"]",
        "[{\"a\":{\"b\":[1,{\"c\":\"}\"}]}},\n{\"d\":\"\\u005d\"}\n]\n",
        "[\n  {\"\u{e4}\u{20ac}\": \"\u{1f600}\"},\n  7\n]",
        // what is wrong between elements
        "[",
        "[ ",
        "[\n",
        "[1",
        "[1\n",
        "[1 ",
        "[1,",
        "[1,\n",
        "[1,]",
        "[1, ]",
        "[,1]",
        "[,]",
        "[1,,2]",
        "[1 2]",
        "[1\n2]",
        "[{}{}]",
        "[{} {}]",
        "[[]\"a\"]",
        "[]]",
        "[] x",
        "[][]",
        "[1]\n{}",
        "[1]\n\n,",
        "[:]",
        "[}]",
        "[1:2]",
        "[1}",
        "[{}}",
        "]",
        "}",
        ",",
        // what is wrong within one
        "[tru]",
        "[true1]",
        "[truex,1]",
        "[nul,",
        "[nul",
        "[1.]",
        "[1.,2]",
        "[1.",
        "[-]",
        "[-",
        "[1e]",
        "[1e",
        "[01]",
        "[1x]",
        "[1\"a\"]",
        "[.5]",
        "[+1]",
        "[NaN]",
        "['a']",
        "[\"a]",
        "[\"a",
        "[\"a\\",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"a\nb\"]",
        "[\"a\tb\",1]",
        "[\"\\ud800\"]",
        "[1,\"\\udc00x\",2]",
        "[{]",
        "[{",
        "[{\"a\"}]",
        "[{\"a\":}]",
        "[{\"a\":1,}]",
        "[{\"a\":1",
        "[{\"a\":1]",
        "[{\"a\" 1}]",
        "[{a:1}]",
        "[{\"a\":[1}]",
        "[{\"a\":[1}]]",
        "[[1}]",
        "[[1,2",
        "[[1,]]",
        "[{\"a\":1,\"a\":2}, 3]",
        "[{},{\"a\":1,\"a\":2},{},{]",
        "[1e999]",
        "[123456789012345678901]",
        "[\n 1,\n {\"\u{e4}\": tru},\n 2]",
        "[\"\u{20ac}\" x]",
        // before an array
        "\u{feff}[1]",
        "\u{feff}",
        "\u{a0}[1]",
        " \u{2003}\n[1]",
        "\u{b}[]",
        // lines
        "{}",
        "{}\n",
        "{}\n{}",
        "{}\r\n{}\r\n",
        "\n\n{}\n\n\n{}\n",
        "  {} \n\t{}\u{a0}\n",
        "{}{}",
        "{} {}\n{}",
        "1\n2",
        "{\n}",
        "{\"a\":1\n,\"b\":2}",
        "{}\n[]\n",
        "{}\n[",
        "{}\n\u{feff}{}",
        "{\"a\":1,\"a\":2}\n{\"\u{e4}\":x}\n{}",
        "{\"a\": \"\\ud800\"}",
        "nothing\nof\nthis",
        "{}\n\u{b}\u{c}\n{}",
        "{}\n \u{2003} \n{}",
        "\"a\rb\"",
        &shallow,
        &deep,
        &open,
        &long,
        &lines,
    ];
    for text in texts {
        same(text, &SIZES);
    }
}

/// Whatever stands behind a byte order mark keeps its place, however the text comes.
#[test]
fn other_white_space_than_that_of_json_is_a_fault() {
    let entity = r#"{"uid": {"type": "U", "id": "a"}}"#;
    for white in ['\u{b}', '\u{c}', '\u{85}', '\u{a0}', '\u{2028}', '\u{3000}'] {
        for text in [format!("{entity}\n{entity}{white}\n{entity}\n"), format!("{entity}\n{white}\n{entity}\n")] {
            let read = at_once(&text);
            assert!(read.elements.iter().any(|(_, read)| read.is_err()) || read.end.is_err(), "{white:?}: {read:?}");
            same(&text, &[1, 7, 4096]);
        }
    }
}

#[test]
fn a_byte_order_mark_says_nothing() {
    for text in ["[1, 2]", "{\"a\": 1}\n{\"b\": 2}", "  [", "nul", ""] {
        same(&format!("\u{feff}{text}"), &[1, 2, 3, 4, 5, 100]);
    }
}

#[test]
fn a_document_that_is_one_object_has_one_flaw() {
    for (text, expected) in [
        ("{\n  \"uid\": 1,\n  \"attrs\": {}\n}", "one JSON object over several lines"),
        ("\n\n{\n\n}", "one JSON object over several lines"),
        ("{\"entities\": [{\"uid\": 1}]}", "whose member `entities` is a list"),
        ("{\"a\": 1, \"entityList\": []}\n", "whose member `entityList` is a list"),
        ("// all users\n[{\"uid\": 1},\n{\"uid\": 2}]", "a comment, which JSON does not have"),
        ("# users\n{\"uid\": 1}\n{\"uid\": 2}", "a comment, which JSON does not have"),
        ("/* users\n */\n[]", "a comment, which JSON does not have"),
    ] {
        let read = in_pieces(&Document::held("d", text), 1 << 20).unwrap();
        let (message, _) = read.end.unwrap_err();
        assert!(message.contains(expected) && read.elements.is_empty(), "{text}: {message}");
    }
    for (text, expected) in [
        ("{\n\"uid\": {\"type\": \"A\",\n\"id\": \"a\"}}", "put `[` before it"),
        ("{\n\n  \"I1\" : {\n\"uid\": {}}}", "write the members' values as a list"),
        ("\n{ \"a\\\"b\":\n{}}", "write the members' values as a list"),
        ("{\"I1\": {\"uid\": 1}, \"I2\": {\"uid\": 2}}", "write the members' values as a list"),
        ("{ \"entities\": [\n{\"uid\": 1}]}", "write the list itself"),
        ("{\"entities\": [{\"uid\": 1}]}", "write the list itself"),
        ("{\n\"version\": 1,\n\"x\": {}}", "put `[` before it"),
        ("{\n", "put `[` before it"),
    ] {
        let mut help = None;
        let read = read_by(&Document::held("d", text), 1 << 20, usize::MAX, &mut |_, _| true);
        if let Err(Failure::Broken(flaw)) = read {
            help = flaw.help;
        }
        assert!(help.is_some_and(|help| help.starts_with(expected)), "{text}: {help:?}");
    }
    // JSON knows fewer blanks than Unicode
    for text in ["\u{a0}{", "\u{a0}\n{", "\n \u{a0} {\n}", "{\u{a0}", "\u{2003}{\"entities\": []}"] {
        same(text, &SIZES);
    }
    // a line of several that is cut is a flaw of that line alone
    let cut = in_pieces(&Document::held("d", "{\"uid\": 1}\n{\"uid\":\n{\"uid\": 3}"), 1 << 20).unwrap();
    assert_eq!(format!("{cut:?}").matches("uid").count(), 2, "{cut:?}");
}

#[test]
fn commas_between_lines_are_said_once_and_hide_nothing() {
    for (text, expected) in [
        ("{\"uid\": 1},\n{\"uid\": 2},\n{\"uid\": 3}\n", "! 10 a comma ends this line|0|12|24"),
        ("{\"uid\": 1}\n{\"uid\": 2}, \r\n{\"uid\": }\n", "0|! 21 a comma ends this line|11"),
    ] {
        let mut found = Vec::new();
        let read = read_by(&Document::held("d", text), 1 << 20, usize::MAX, &mut |offset, element| {
            found.push(match element {
                Ok(_) => offset.to_string(),
                Err(flaw) => format!("! {} {}", flaw.offset.unwrap_or(0), flaw.message),
            });
            true
        });
        assert!(read.is_ok(), "{text}");
        assert!(found.join("|").starts_with(expected), "{text}: {found:?}");
    }
}

#[test]
fn one_missing_quote_does_not_gather_the_rest_of_the_document() {
    let element = "{\"uid\":{\"type\":\"T\",\"id\":\"x\"},\"attrs\":{},\"parents\":[]},\n";
    let text =
        format!("[{}{}{}1]", element, "{\"uid\":{\"type\":\"T\",\"id\":\"x},\"attrs\":{}},\n", element.repeat(2_000));
    same(&text, &[64, 1 << 10]);
    let mut longest = 0;
    Cutter::new(&Document::held("a", text), 256, usize::MAX)
        .run(|block| {
            longest = longest.max(block.bytes.len());
            true
        })
        .unwrap();
    assert!(longest <= 1_024, "{longest}");
}

/// A document that is about like a valid one.
fn mutated() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("-0.5e3".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"a\\\"]\\\\\"".to_owned()),
        Just("\"\u{e4}\u{1f600}\"".to_owned()),
        Just("{}".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        let members =
            prop::collection::vec((prop::sample::select(vec!["a", "b", "\\u0061", "c"]), inner.clone()), 0..3);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(|all| format!("[{}]", all.join(", "))),
            members.prop_map(|all| {
                let all: Vec<String> = all.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    });
    let pieces = vec![
        "\"", "\\", "[", "]", "{", "}", ",", ":", " ", "\n", "\r\n", "1", "-", ".", "e", "tru", "\u{1}", "\u{a0}",
        "\u{20ac}",
    ];
    let change = (any::<prop::sample::Index>(), 0..4_usize, prop::sample::select(pieces));
    let values = prop::collection::vec(value, 0..5);
    (values, any::<bool>(), prop::collection::vec(change, 0..3)).prop_map(|(values, array, changes)| {
        let mut text = if array { format!("[{}]\n", values.join(",\n")) } else { values.join("\n") };
        for (at, removed, put) in changes {
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len() + 1);
            let behind = (at + removed).min(chars.len());
            let (before, after) = (&chars[..at], &chars[behind..]);
            text = before.iter().copied().chain(put.chars()).chain(after.iter().copied()).collect();
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_texts_are_refused_as_the_whole_is(text in mutated(), size in 1..9_usize) {
        let expected = at_once(&text);
        prop_assert_eq!(&in_pieces(&Document::held("a", text.clone()), size).unwrap(), &expected);
        prop_assert_eq!(&in_pieces(&Document::held("a", text.clone()), 1 << 20).unwrap(), &expected);
        if text.trim_start().starts_with('[') && !text.trim_start_matches(|c: char| " \n\r\t".contains(c)).is_empty() {
            let accepted = serde_json::from_str::<Vec<&RawValue>>(&text);
            prop_assert_eq!(accepted.is_ok(), expected.end.is_ok());
        }
    }
}

/// Reads as one text until it has been read that often, and then as another.
struct Turning {
    first: Vec<u8>,
    then: Vec<u8>,
    reads: AtomicUsize,
}

impl Reread for Turning {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.reads.load(Ordering::Relaxed);
        self.reads.store(left.saturating_sub(1), Ordering::Relaxed);
        let text = if left > 0 { &self.first } else { &self.then };
        Elsewhere(text.clone()).read_at(buffer, offset)
    }
}

#[test]
fn a_text_that_changed_is_reported_as_that_and_as_nothing_else() {
    let told = "[{\"a\":1},\n{\"b\":2},\n{\"c\":3}]";
    let others = [
        "[{\"a\":1},\n{\"b\":2},\n{\"d\":3}]",
        "[{\"a\":1},\n{\"b\":2}]",
        "[{\"a\":1},\n{\"b",
        "{\"a\":1}\n{\"a\":2}\n",
        "",
        "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
    ];
    for other in others {
        for size in SIZES {
            for reads in [0, 2, 4] {
                let place = Turning { first: told.into(), then: other.into(), reads: reads.into() };
                let failure = in_pieces(&told_as(place, told), size).unwrap_err();
                let Failure::Unread(flaw) = failure else { panic!("{failure:?}") };
                assert!(flaw.message.contains("changed while it was read"), "{flaw:?}");
            }
        }
    }
    // what was added behind it will be read with the next load
    let longer = format!("{told}\n\n{{}}");
    assert_eq!(in_pieces(&told_as(Elsewhere(longer.into()), told), 7).unwrap(), at_once(told));
}

#[test]
fn a_text_that_cannot_be_read_is_reported() {
    struct Gone(usize);
    impl Reread for Gone {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if offset as usize >= self.0 {
                return Err(io::Error::other("the disk is gone"));
            }
            buffer[0] = b'[';
            Ok(1)
        }
    }
    for (readable, size) in [(0, 4), (9, 4), (9, 1 << 20), (30, 7)] {
        let failure = in_pieces(&told_as(Gone(readable), &"[".repeat(40)), size).unwrap_err();
        let Failure::Unread(flaw) = failure else { panic!("{failure:?}") };
        assert!(flaw.message.contains("cannot be read: the disk is gone"), "{flaw:?}");
    }
}

#[test]
fn a_caller_that_has_enough_gets_no_more() {
    let text = "{}\n".repeat(10_000);
    for document in [Document::held("a", text.clone()), elsewhere(&text)] {
        let mut taken = 0;
        read_by(&document, 64, usize::MAX, &mut |_, _| {
            taken += 1;
            taken < 5
        })
        .unwrap();
        assert_eq!(taken, 5);
    }
}

#[test]
fn what_is_not_utf8_is_reported_with_its_byte() {
    for size in SIZES {
        let document = Document::held("a", b"[\"ab\xff\"]".to_vec());
        let Err((message, None)) = in_pieces(&document, size).unwrap().end else { panic!("it must be refused") };
        assert_eq!(message, "not UTF-8 at byte 4");
    }
}

#[test]
fn a_long_element_is_refused_and_one_that_does_not_end_gathers_nothing() {
    let fine = r#"{"a":1}"#;
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(2_000));
    let unended = format!(r#"{{"a":"{}"#, "x".repeat(50_000));
    for text in [
        format!("[{fine},{long},{fine}]"),
        format!("{fine}\n{long}\n{fine}\n"),
        format!("[{fine},{unended}"),
        format!("{fine}\n{unended}"),
    ] {
        for document in [Document::held("a", text.clone()), elsewhere(&text)] {
            for size in [64, 1 << 20] {
                let (mut read, mut flaws) = (0, Vec::new());
                let outcome = read_by(&document, size, 1_000, &mut |_, element| {
                    read += usize::from(element.is_ok());
                    flaws.extend(element.err());
                    true
                });
                if let Err(Failure::Broken(flaw)) = outcome {
                    flaws.push(flaw);
                }
                let [flaw, more @ ..] = &flaws[..] else { panic!("{size}: {flaws:?}") };
                // in one block the end is seen, too
                assert!(more.len() <= 1 && more.iter().all(|flaw| flaw.message.starts_with("EOF")), "{flaws:?}");
                assert_eq!(flaw.message, "an entity of more than 1000 bytes", "{size}");
                // behind the first, and in an array behind its bracket
                assert_eq!(flaw.offset, Some(if text.starts_with('[') { 9 } else { 8 }), "{size}");
                // what comes after a long one is read where that is seen to end
                assert!((1..=2).contains(&read), "{size}: {read}");
            }
        }
    }
}
