//! What of a schema's text can be read where not all of it can, so that one fault does not hide the others.
//!
//! Cedar's reader stops at the first fault. Here what is wrong is taken out of the text, or given another name where it is
//! declared twice, and the rest is read again; declarations stay where they stand, so that places found in it are those of
//! the text.

use std::collections::{HashMap, HashSet};

use cedar_policy::{CedarSchemaError, SchemaFragment};

use crate::diagnose::{self, syntax};
use crate::guard::{self, Grammar};
use crate::model::{Diagnostic, MAX_LISTED, Value};
use crate::schema::{faults, members, unread};
use crate::settings::Limits;

/// How many bytes are parsed again, at most, to find one more fault in them.
const MOST_PARSED: usize = 16 << 20;

/// A text with its faults.
#[derive(Debug, Default)]
pub(super) struct Readable {
    /// What can be read of it; nothing where it cannot be read at all.
    pub(super) text: Option<String>,
    /// What is wrong with it.
    pub(super) problems: Vec<Diagnostic>,
    /// What was taken out, in Cedar's form.
    unread: String,
    /// What may be declared in what was taken out: others may name it.
    lost: HashSet<String>,
    /// Names that stand for those that were declared twice.
    pub(super) renamed: Vec<String>,
    /// Names that stand for namespaces whose blocks are not the first ones, and the names of these.
    pub(super) again: HashMap<String, String>,
    /// Which namespaces the declarations are in is not known.
    pub(super) is_loose: bool,
}

impl Readable {
    /// A text that Cedar reads.
    pub(super) fn whole(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    /// Whether a name may be declared in what could not be read.
    pub(super) fn may_declare(&self, name: &str) -> bool {
        self.text.is_none() || self.lost.contains(name)
    }
}

/// Reads a text as far as that goes.
pub(super) fn read(origin: &str, text: &str, limits: &Limits) -> Readable {
    // nothing in Cedar's form begins like this
    if text.trim_start().starts_with('{') {
        return read_json(origin, text);
    }
    if let Err(problem) = guard::check_text(origin, text, Grammar::Schema, limits) {
        return Readable { problems: vec![problem], ..Readable::default() };
    }
    let mut read = Readable::default();
    let mut rest = text.to_owned();
    let most = (MOST_PARSED / text.len().max(1)).clamp(2, MAX_LISTED);
    for _ in 0..most {
        let error = match SchemaFragment::from_cedarschema_str(&rest).map(drop) {
            Ok(()) => {
                read.text = Some(rest);
                break;
            }
            Err(error) => error,
        };
        let reported = read.problems.len();
        let is_syntax = guard::declarations(&rest).into_iter().any(|it| is_broken(rest.get(it).unwrap_or_default()));
        let goes_on = if is_syntax {
            // all that can be found of syntax is found at once
            if read.unread.is_empty() {
                read.problems.extend(faults::of_text(origin, text, &error));
            }
            take_out(&mut rest, &mut read.unread, |declaration, _| is_broken(declaration))
        } else if close(&mut rest, &error) {
            // what was taken out may have the bracket that this one belongs to
            if syntax::depth(&read.unread) == 0 {
                read.problems.push(faults::at(origin, text, 0, &error).1);
            }
            read.is_loose = true;
            true
        } else {
            mend(origin, text, &error, &mut rest, &mut read)
        };
        let more = read.problems.split_off(reported);
        let place = |it: &Diagnostic| (it.line, it.column);
        let new = |it: &Diagnostic| read.problems.iter().all(|known| place(known) != place(it));
        let more: Vec<Diagnostic> = more.into_iter().filter(new).collect();
        read.problems.extend(more);
        if !goes_on {
            break;
        }
    }
    read.lost = unread::names(&read.unread);
    read
}

/// Closes a namespace that the text leaves open, or takes out a bracket that closes none. Says whether one of both was wrong.
fn close(rest: &mut String, error: &CedarSchemaError) -> bool {
    let at = diagnose::offset(error).unwrap_or(rest.len());
    if rest.get(at..).is_some_and(|rest| rest.starts_with('}')) {
        rest.replace_range(at..=at, " ");
        return true;
    }
    let ends = rest.get(at..).is_none_or(|rest| rest.trim().is_empty());
    if ends && matches!(error, CedarSchemaError::Parse(_)) && syntax::depth(rest) > 0 {
        rest.push_str("\n}");
        return true;
    }
    false
}

/// Whether a declaration cannot be read alone.
fn is_broken(declaration: &str) -> bool {
    !declaration.trim().is_empty()
        && matches!(SchemaFragment::from_cedarschema_str(declaration), Err(CedarSchemaError::Parse(_)))
}

/// Takes the declarations out of `rest` that are `wrong`, byte for byte. Says whether there was one.
fn take_out(rest: &mut String, out: &mut String, wrong: impl Fn(&str, std::ops::Range<usize>) -> bool) -> bool {
    let mut any = false;
    for declaration in guard::declarations(rest).into_iter().take(faults::MAX_DECLARATIONS) {
        let Some(text) = rest.get(declaration.clone()) else { continue };
        if text.trim().is_empty() || !wrong(text, declaration.clone()) {
            continue;
        }
        out.push_str(text);
        out.push('\n');
        let blank = blank(text);
        rest.replace_range(declaration, &blank);
        any = true;
    }
    any
}

/// As many bytes without a word, on as many lines.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Reports what Cedar says of a text whose syntax is right, and makes it readable without that. Says whether it could.
fn mend(origin: &str, text: &str, error: &CedarSchemaError, rest: &mut String, read: &mut Readable) -> bool {
    let error: &dyn miette::Diagnostic = error;
    let related: Vec<&dyn miette::Diagnostic> = error.related().into_iter().flatten().collect();
    let mut mended = false;
    for error in std::iter::once(error).chain(related) {
        let mut places: Vec<usize> = error.labels().into_iter().flatten().map(|label| label.offset()).collect();
        places.sort_unstable();
        let mut found = diagnose::one(origin, text, error);
        found.message = found.message.trim_start_matches("error parsing schema: ").to_owned();
        let (Some(first), Some(last)) = (places.first().copied(), places.last().copied()) else {
            read.problems.push(found);
            continue;
        };
        let second = || format!("; the first is at {origin}:{}", diagnose::line(text, first));
        if let Some(name) = found.message.strip_prefix("duplicate namespace id: `").filter(|_| first < last) {
            let name = name.trim_end_matches('`');
            let message = format!("the namespace `{name}` has two blocks in one file{}", second());
            let help = "move what is in this block into the first one, or into a file of its own";
            read.problems.push(Diagnostic::error(origin, message).help(help).at(text, last));
            // both blocks are read, and declare together
            if let Some(other) = rename(rest, last, name, read.again.len()) {
                read.again.insert(other, name.to_owned());
                mended = true;
            }
            continue;
        }
        if let Some(name) = found.message.strip_suffix(" is declared twice").filter(|_| first < last) {
            let name = name.trim_matches(['`', '"']);
            let message = format!("`{name}` is declared twice{}", second());
            read.problems.push(Diagnostic::error(origin, message).at(text, last));
            let name = name.rsplit("::").next().unwrap_or(name).trim_matches('"');
            if let Some(other) = rename(rest, last, name, read.renamed.len()) {
                read.renamed.push(other);
                mended = true;
                continue;
            }
        } else {
            read.problems.push(found);
        }
        mended |= take_out(rest, &mut read.unread, |_, range| range.contains(&last));
    }
    mended
}

/// Gives what stands under `name` from the byte `at` on another name of the same length.
fn rename(rest: &mut String, at: usize, name: &str, n: usize) -> Option<String> {
    let start = at + rest.get(at..).and_then(|text| faults::find(text, name))?;
    // digits cannot begin a name
    let letters = b"_QZXJKVWYUqzxjkvwyu";
    let kept = name.get(..name.len().checked_sub(1)?)?;
    let mut others = (0..letters.len()).filter_map(|i| {
        let letter = char::from(*letters.get((n + i) % letters.len())?);
        Some(format!("{kept}{letter}"))
    });
    let other = others.find(|other| name.is_ascii() && faults::find(rest, other).is_none())?;
    rest.replace_range(start..start + name.len(), &other);
    Some(other)
}

fn read_json(origin: &str, text: &str) -> Readable {
    // Cedar's reader would take the last of two equal keys
    let value = match Value::parse(text.as_bytes()) {
        Ok(value) => value,
        Err(error) => {
            return Readable { problems: vec![diagnose::json(origin, text, &error)], ..Readable::default() };
        }
    };
    let Err(error) = SchemaFragment::from_json_str(text) else { return Readable::whole(text) };
    let mut known = value.to_json();
    let members::Mended { mut problems, lost, is_bare } = members::mend(origin, text, &mut known);
    if problems.is_empty() {
        return Readable { problems: faults::of_json(origin, text, &error), ..Readable::default() };
    }
    if is_bare {
        return Readable { problems, ..Readable::default() };
    }
    let mended = known.to_string();
    // places in it are found by the way to them, in the text as it was written
    match SchemaFragment::from_json_str(&mended) {
        Ok(_) => Readable { text: Some(mended), problems, lost: lost.into_iter().collect(), ..Readable::default() },
        Err(error) => {
            let more = faults::of_json(origin, &mended, &error);
            // its place is one of a text that no one wrote
            problems.extend(more.into_iter().map(|it| Diagnostic { line: None, column: None, excerpt: None, ..it }));
            Readable { problems, ..Readable::default() }
        }
    }
}
