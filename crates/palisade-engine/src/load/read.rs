//! One document, entity by entity.

use crate::diagnose;
use crate::load::array::Array;
use crate::load::cut::{Block, Cutter};
use crate::model::json::in_words;
use crate::model::{Diagnostic, Document, Value};

/// How much of a document is read at a time.
const BLOCK: usize = 1 << 20;

/// Something wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// In words.
    pub message: String,
    /// Where it is, if it is somewhere.
    pub offset: Option<u64>,
    /// What to do about it.
    pub help: Option<&'static str>,
}

impl Flaw {
    fn at(message: String, offset: u64) -> Self {
        Self { message, offset: Some(offset), help: None }
    }

    pub(super) fn of_array(message: String, offset: u64) -> Self {
        let help = "a document of entities is a JSON array, or one JSON object a line";
        Self { message, offset: Some(offset), help: Some(help) }
    }

    pub(super) fn too_long(longest: usize, offset: u64) -> Self {
        let message = format!("an entity of more than {longest} bytes");
        let help =
            "a large set is better kept in parents or in entities of its own; else raise `limits.max_entity_bytes`";
        Self { message, offset: Some(offset), help: Some(help) }
    }

    pub(super) fn empty() -> Self {
        let help = Some("write `[]` for no entities");
        Self { message: "the document is empty".to_owned(), offset: None, help }
    }

    /// The flaw of the document `origin`, without its place.
    pub(crate) fn diagnostic(self, origin: &str) -> Diagnostic {
        let found = Diagnostic::error(origin, in_words(&self.message));
        match self.help {
            Some(help) => found.help(help),
            None => found,
        }
    }
}

/// Why a document was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not what a document should be. What was read before that stands.
    Broken(Flaw),
    /// It could not be read as it was when it was listed: nothing that was read of it means anything.
    Unread(Flaw),
}

impl Failure {
    pub(super) fn unread(message: String) -> Self {
        Self::Unread(Flaw { message, offset: None, help: None })
    }

    pub(super) fn changed() -> Self {
        let message = "this changed while it was read, so nothing of it was used".to_owned();
        let help = Some("write to a temporary name and rename it into place; it is read again when it is quiet");
        Self::Unread(Flaw { message, offset: None, help })
    }
}

/// Takes an element: where it starts, and its value or what is wrong with it. Returns whether to go on.
pub(crate) type Each<'e> = &'e mut dyn FnMut(u64, Result<Value<'_>, Flaw>) -> bool;

/// Reads `document` and gives each of its elements, none of which may be longer than `longest`.
///
/// # Errors
/// If it is no document of entities, or could not be read.
pub(crate) fn read(document: &Document, longest: usize, each: Each<'_>) -> Result<(), Failure> {
    read_by(document, BLOCK, longest, each)
}

/// The same with blocks of `size` bytes.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_by(document: &Document, size: usize, longest: usize, each: Each<'_>) -> Result<(), Failure> {
    if let Some(held) = document.as_held()
        && let Err(error) = std::str::from_utf8(held)
    {
        let message = format!("not UTF-8 at byte {}", error.valid_up_to());
        return Err(Failure::Broken(Flaw { message, offset: None, help: None }));
    }
    let cutter = Cutter::new(document, size, longest);
    let mut outcome = Ok(());
    let mut seen = Seen::default();
    let take = |block: Block| match elements(block, longest, &mut seen, each) {
        Ok(more) => more,
        Err(flaw) => {
            outcome = Err(Failure::Broken(flaw));
            false
        }
    };
    // on one thread: reading, hashing and cutting take a tenth of the time of parsing and packing, and doing them on
    // a thread of their own brought no gain that could be measured
    cutter.run(take)?;
    outcome
}

/// What is wrong with a document that is no list of entities, by its `first` line: one flaw, not one for each line.
pub(super) fn one_object(first: &str, parsed: Result<&Value<'_>, &serde_json::Error>, offset: u64) -> Option<Flaw> {
    let behind = first.trim_start();
    let offset = offset + (first.len() - behind.len()) as u64;
    match parsed {
        Err(error) if error.is_eof() && behind.starts_with('{') => {
            let message = "this is one JSON object over several lines".to_owned();
            let help = "put `[` before it and `]` behind it, or write each entity on one line";
            Some(Flaw { message, offset: Some(offset), help: Some(help) })
        }
        // a document that is one line at a time ends there: what follows would be as many errors
        Err(_) if ["//", "#", "/*"].iter().any(|comment| behind.starts_with(comment)) => {
            let message = "this is a comment, which JSON does not have".to_owned();
            Some(Flaw { message, offset: Some(offset), help: Some("remove it") })
        }
        Ok(value @ Value::Object(members)) if value.get("uid").is_none() => {
            if !members.is_empty() && members.iter().all(|(_, value)| value.get("uid").is_some()) {
                let message = "this is an object whose members are entities, not a list of entities".to_owned();
                return Some(Flaw { message, offset: Some(offset), help: Some(VALUES_AS_LIST) });
            }
            let is_object = |item: &Value<'_>| matches!(item, Value::Object(_));
            let is_list = |value: &Value<'_>| matches!(value, Value::Array(items) if items.iter().all(is_object));
            let (name, _) = members.iter().find(|(_, value)| is_list(value))?;
            let message = format!("this is an object whose member `{name}` is a list, not a list of entities");
            Some(Flaw { message, offset: Some(offset), help: Some(LIST_ITSELF) })
        }
        _ => None,
    }
}

const LIST_ITSELF: &str = "write the list itself: `[{\"uid\": ...}, ...]`";
const VALUES_AS_LIST: &str = "write the members' values as a list: `[{\"uid\": ...}, ...]`";

/// What to do about an object over several lines that is no entity, by how its text `starts`: its first member says what
/// it is.
fn of_other_object(starts: &[u8]) -> Option<&'static str> {
    let members = starts.trim_ascii_start().strip_prefix(b"{")?;
    let mut keys = serde_json::Deserializer::from_slice(members).into_iter::<String>();
    let key = keys.next()?.ok()?;
    let value = members.get(keys.byte_offset()..)?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    if ["uid", "attrs", "parents", "tags"].contains(&key.as_str()) {
        return None;
    }
    match value.first()? {
        b'{' => Some(VALUES_AS_LIST),
        b'[' => Some(LIST_ITSELF),
        _ => None,
    }
}

/// What of a document has come by.
#[derive(Debug, Default)]
struct Seen {
    /// An element.
    element: bool,
    /// A comma at the end of a line. Where there is one, there are most often as many as lines: the first says it for all.
    comma: bool,
}

/// What JSON takes for white space, and nothing else of what Unicode does.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// An entity on a line that a comma ends, and where that comma stands in it.
fn before_comma(line: &str) -> Option<(Value<'_>, usize)> {
    let line = line.trim_end_matches(WHITE_SPACE).strip_suffix(',')?;
    let value: Value<'_> = serde_json::from_str(line).ok()?;
    matches!(value, Value::Object(_)).then_some((value, line.len()))
}

/// Parses what is in a block. Returns whether to go on.
fn elements(block: Block, longest: usize, seen: &mut Seen, each: Each<'_>) -> Result<bool, Flaw> {
    for range in &block.elements {
        let bytes = block.bytes.get(range.clone()).unwrap_or_default();
        let offset = block.at + range.start as u64;
        let Ok(text) = std::str::from_utf8(bytes) else {
            // only in a text that has changed since it was listed, which is reported next
            return Err(Flaw::at("not UTF-8".to_owned(), offset));
        };
        let text = if block.array { text } else { text.trim_end_matches(WHITE_SPACE) };
        if text.is_empty() {
            continue;
        }
        if text.len() > longest {
            if !each(offset, Err(Flaw::too_long(longest, offset))) {
                return Ok(false);
            }
            continue;
        }
        let mut parsed = Value::parse_usual(text.as_bytes());
        if parsed.is_err()
            && !block.array
            && let Some((value, at)) = before_comma(text)
        {
            if !std::mem::replace(&mut seen.comma, true) {
                let message = "a comma ends this line".to_owned();
                let help = "write one JSON object a line, without commas between them, or put `[` before all and `]` \
                            behind";
                let comma = Flaw { message, offset: Some(offset + at as u64), help: Some(help) };
                if !each(offset, Err(comma)) {
                    return Ok(false);
                }
            }
            parsed = Ok(value);
        }
        if !std::mem::replace(&mut seen.element, true)
            && !block.array
            && let Some(mut flaw) = one_object(text, parsed.as_ref(), offset)
        {
            if parsed.is_err() {
                let starts = block.bytes.get(range.start..).unwrap_or_default();
                flaw.help = of_other_object(starts).or(flaw.help);
            }
            return Err(flaw);
        }
        let value = match parsed {
            Ok(value) => Ok(value),
            Err(error) => {
                if block.array
                    && let Some(fault) = Array::broken(&block.bytes, range.clone(), block.last)
                {
                    let at = block.at + fault.at.unwrap_or(range.start) as u64;
                    return Err(Flaw::of_array(fault.message, at));
                }
                let (message, at) = diagnose::json_place(text.as_bytes(), &error);
                Err(Flaw::at(message, offset + at as u64))
            }
        };
        if !each(offset, value) {
            return Ok(false);
        }
    }
    match block.flaw {
        Some(flaw) => Err(flaw),
        None => Ok(true),
    }
}
