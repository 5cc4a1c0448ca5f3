//! Where the faults of a schema are: in which of its files, and all that can be found at once.

use cedar_policy::{CedarSchemaError, SchemaFragment};
use cedar_policy_core::parser::Loc;

use crate::diagnose::{self, syntax};
use crate::guard::{self, Grammar, SecondMember, second_members};
use crate::model::json::{in_words, without_byte_order_mark};
use crate::model::near::hint_of_reader;
use crate::model::{Diagnostic, MAX_LISTED, Uid, closest};
use crate::schema::readable::{self, Readable};
use crate::schema::references::{self, BUILT_IN, Kind, Names, Reference, Spot};
use crate::schema::wholes;
use crate::settings::Limits;

/// How many declarations are parsed by themselves after the text as a whole could not be: each takes a parser.
pub(super) const MAX_DECLARATIONS: usize = 1_000;

/// What is wrong with the syntax of a text in Cedar's form. Cedar stops at the first error, so each declaration is
/// parsed again alone; and where one has no `;`, what stands behind it too.
pub(super) fn of_text(origin: &str, text: &str, error: &CedarSchemaError) -> Vec<Diagnostic> {
    if !matches!(error, CedarSchemaError::Parse(_)) {
        return diagnose::located(origin, text, error);
    }
    let told = |start: usize, error: &dyn miette::Diagnostic| at(origin, text, start, error);
    let (mut found, mut parsed, mut open) = (Vec::new(), 0, 0);
    for declaration in guard::declarations(text) {
        let mut start = declaration.start;
        let left = syntax::depth(text.get(declaration.clone()).unwrap_or_default());
        if open > 0 && !syntax::begins_declaration(text, start) {
            // members that a `;` separates: that was said at the first
            open += left;
            continue;
        }
        open = left;
        while parsed < MAX_DECLARATIONS && found.len() < MAX_LISTED {
            parsed += 1;
            let part = text.get(start..declaration.end).unwrap_or_default();
            let Err(error @ CedarSchemaError::Parse(_)) = SchemaFragment::from_cedarschema_str(part).map(drop) else {
                break;
            };
            let (at, problem) = told(start, &error);
            found.push(problem);
            match at.and_then(|at| syntax::next_statement(Grammar::Schema, text, start, at)) {
                Some(next) => start = next,
                None => break,
            }
        }
    }
    let error: &dyn miette::Diagnostic = error;
    let related = error.related().into_iter().flatten();
    // between declarations, such as a namespace that is not closed
    let place = |problem: &Diagnostic| (problem.line, problem.column);
    let whole = std::iter::once(told(0, error).1).chain(related.map(|error| told(0, error).1));
    let more: Vec<Diagnostic> =
        whole.filter(|problem| found.iter().all(|other| place(other) != place(problem))).collect();
    found.extend(more);
    found.sort_by_key(place);
    found
}

/// One error in the part of a text that begins at `start` and was parsed alone, and the byte at which it is.
pub(super) fn at(
    origin: &str,
    text: &str,
    start: usize,
    error: &dyn miette::Diagnostic,
) -> (Option<usize>, Diagnostic) {
    let at = diagnose::offset(error).map(|offset| start + offset);
    (at, syntax::told(Grammar::Schema, text, start, at, diagnose::one_within(origin, text, start, error)))
}

/// Words of the reader of the JSON form, and what people call these things.
const READERS: [(&str, &str); 8] = [
    ("unknown field `", "unknown member `"),
    ("missing field `", "there is no `"),
    ("expected one of", "there are"),
    ("invalid type: sequence", "found a list"),
    ("invalid type: map", "found an object"),
    ("invalid type: ", "found "),
    ("expected a map", "expected an object"),
    ("expected a sequence", "expected a list"),
];

/// What is wrong with a text in the JSON form. The place is at the end of the message.
pub(super) fn of_json(origin: &str, text: &str, error: &dyn miette::Diagnostic) -> Vec<Diagnostic> {
    let mut found = diagnose::located(origin, text, error);
    for problem in &mut found {
        if let Some(near) = hint_of_reader(&problem.message).strip_prefix("; ") {
            problem.help = Some(near.to_owned());
        }
        problem.message =
            in_words(&READERS.iter().fold(problem.message.clone(), |text, (said, ours)| text.replace(said, ours)));
        let Some((message, place)) = problem.message.rsplit_once(" at line ") else { continue };
        let Some((line, column)) = place.split_once(" column ") else { continue };
        if let (Ok(line), Ok(column)) = (line.parse::<usize>(), column.parse::<usize>()) {
            let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1));
            let start = starts.take(line).last().unwrap_or(0);
            *problem =
                Diagnostic { message: message.to_owned(), ..problem.clone() }.at(text, start + column.max(1) - 1);
        }
    }
    found
}

/// What is wrong with the texts by themselves, and with the names in what can be read of them.
pub(super) fn of_texts(fragments: &[(String, String)], limits: &Limits) -> Vec<Diagnostic> {
    let texts = fragments.iter().map(|(origin, text)| readable::read(origin, without_byte_order_mark(text), limits));
    let mut texts: Vec<Readable> = texts.collect();
    let mut found: Vec<Diagnostic> = texts.iter_mut().flat_map(|text| std::mem::take(&mut text.problems)).collect();
    found.extend(of_names(fragments, &texts));
    found.truncate(MAX_LISTED);
    found
}

/// What is wrong with all fragments together. The error says in which text it is, or at least which name it is about.
pub(super) fn of_all(fragments: &[(String, String)], error: &dyn miette::Diagnostic) -> Vec<Diagnostic> {
    let problem = one(fragments, error);
    let texts: Vec<Readable> =
        fragments.iter().map(|(_, text)| Readable::whole(without_byte_order_mark(text))).collect();
    let mut found = of_names(fragments, &texts);
    let listed = UNRESOLVED.iter().find_map(|prefix| problem.message.strip_prefix(prefix));
    // what Cedar does not find is never left out
    let is_said = |found: &[Diagnostic], name: &str| found.iter().any(|found| found.message.contains(name));
    let listed_names: Vec<String> =
        listed.map(|names| names.replace(", and ", ", ").replace(" and ", ", ")).into_iter().collect();
    for name in listed_names.iter().flat_map(|names| names.split(", ")) {
        if !is_said(&found, name.trim_matches('`')) {
            let message = format!("`{}` is not declared", name.trim_matches('`'));
            found.push(at_name(fragments, Diagnostic::error("schema", message)));
        }
    }
    let is_known = wholes::OF_CEDAR.iter().any(|prefix| problem.message.starts_with(prefix));
    let is_covered = listed.is_some() || (is_known && !found.is_empty());
    if !is_covered {
        let related = error.related().into_iter().flatten().map(|error| one(fragments, error));
        found.extend(std::iter::once(problem).chain(related));
    }
    found.truncate(MAX_LISTED);
    found
}

/// How Cedar begins to list what it does not find.
const UNRESOLVED: [&str; 4] =
    ["failed to resolve types: ", "failed to resolve type: ", "undeclared actions: ", "undeclared action: "];

/// Each member that a record has twice, at its second place. Cedar's reader would keep that one and say nothing.
pub(super) fn of_members(fragments: &[(String, String)]) -> Vec<Diagnostic> {
    let of_text = |(origin, text): &(String, String)| -> Vec<Diagnostic> {
        let text = without_byte_order_mark(text);
        // the readers of the other form look themselves
        let found = if text.trim_start().starts_with('{') { Vec::new() } else { second_members(text) };
        let twice = |one: &SecondMember<'_>| {
            let first = Diagnostic::error("schema", "").at(text, one.first);
            let line = first.line.map(|line| format!("; the first is at line {line}")).unwrap_or_default();
            let message = format!("`{}` is declared twice in one record{line}", one.name);
            Diagnostic::error("schema", message).origin(origin).at(text, one.second)
        };
        found.iter().take(MAX_LISTED).map(twice).collect()
    };
    fragments.iter().flat_map(of_text).take(MAX_LISTED).collect()
}

/// Each name that refers to nothing, and each second declaration of one, at its place.
fn of_names(fragments: &[(String, String)], texts: &[Readable]) -> Vec<Diagnostic> {
    let known = references::read(texts);
    let at_place = |spot: &Spot, name: &str, found: Diagnostic| -> Option<Diagnostic> {
        let (origin, text) = fragments.get(spot.text)?;
        let text = without_byte_order_mark(text);
        Some(match spot.of(last_word(name), text) {
            Some(at) => found.origin(origin).at(text, at),
            None => at_name(&[(origin.clone(), text.to_owned())], found),
        })
    };
    let twice = known.twice.iter().filter_map(|(name, first, second)| {
        let place = at_place(first, name, Diagnostic::error("schema", format!("`{name}`")))?;
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        let message = format!("`{name}` is declared twice; the first is at {}{line}", place.origin);
        at_place(second, name, Diagnostic::error("schema", message))
    });
    let is_loose = texts.iter().any(|text| text.is_loose);
    let unread = |reference: &Reference| {
        let name = last_word(&reference.written);
        texts.iter().any(|text| text.may_declare(name))
            || (is_loose && known.of(reference.kind).iter().any(|known| last_word(known) == name))
    };
    let unresolved = known.unresolved.iter().filter(|reference| !unread(reference));
    let unresolved =
        unresolved.filter_map(|reference| at_place(&reference.spot, &reference.written, undeclared(reference, &known)));
    let of_whole = wholes::faults(&known).into_iter().filter_map(|fault| {
        let first = fault.first.and_then(|first| at_place(first, &fault.name, Diagnostic::error("schema", "")));
        let first = first.map(|first| {
            let line = first.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!(" ({}{line})", first.origin)
        });
        let message = format!("{}{}", fault.message, first.unwrap_or_default());
        at_place(fault.spot, &fault.name, Diagnostic::error("schema", message).help(fault.help))
    });
    let mut found: Vec<Diagnostic> = twice.chain(unresolved).chain(of_whole).take(MAX_LISTED).collect();
    found.sort_by_key(|found| {
        let number = fragments.iter().position(|(origin, _)| *origin == found.origin);
        (number, found.line, found.column)
    });
    found.dedup();
    found
}

/// The name of a type without its namespace, or the id of an action.
fn last_word(written: &str) -> &str {
    match written.split_once('"') {
        Some((_, id)) => id.trim_end_matches('"'),
        None => references::base(written),
    }
}

/// What is wrong with a name that refers to nothing, and what it may be meant to be.
fn undeclared(reference: &Reference, known: &Names) -> Diagnostic {
    let written = reference.written.as_str();
    let declared = known.of(reference.kind);
    if reference.kind == Kind::Action {
        let id = |action: &str| Uid::parse(action).map_or_else(|_| action.to_owned(), |uid| uid.id.into_owned());
        let ids: Vec<String> = declared.iter().map(|action| id(action)).filter(|other| *other != id(written)).collect();
        let near = reference
            .elsewhere
            .clone()
            .or_else(|| closest(&id(written), ids.iter().map(String::as_str)).map(str::to_owned));
        let found = Diagnostic::error("schema", format!("undeclared action: {written}"));
        return Diagnostic { help: near.map(|near| format!("did you mean `{near}`?")), ..found };
    }
    let (needed, other) = match reference.kind {
        Kind::Entity => ("entity type", Some(("a common type", Kind::Common))),
        Kind::Common => ("common type", Some(("an entity type", Kind::Entity))),
        Kind::Either | Kind::Action => ("type", None),
    };
    let is_of = |kind: Kind| reference.meanings.iter().any(|name| known.of(kind).contains(&name.as_str()));
    let built_in = reference.kind == Kind::Entity && references::is_built_in(written);
    let is_other =
        other.filter(|(_, kind)| is_of(*kind)).map(|(what, _)| what).or(built_in.then_some("a built-in type"));
    let help = match (is_other, &reference.elsewhere) {
        (Some(what), _) => format!("`{written}` is {what}, and here is the place of {needed}s"),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => type_help(written, reference.kind, &declared),
    };
    let message = match is_other {
        Some(_) => format!("there is no {needed} `{written}`"),
        None => format!("there is no type `{written}`"),
    };
    Diagnostic::error("schema", message).help(help)
}

/// What to do about a type that is not declared.
fn type_help(name: &str, kind: Kind, declared: &[&str]) -> String {
    let built_in = || BUILT_IN.iter().filter(|_| kind != Kind::Entity);
    let small = name.to_ascii_lowercase();
    let meant = built_in().find(|(_, others)| others.contains(&small.as_str())).map(|(own, _)| *own);
    // declarations have no namespace in their names
    let (space, bare) = name.rsplit_once("::").map_or(("", name), |(space, bare)| (space, bare));
    let bases = declared.iter().map(|name| references::base(name)).filter(|known| *known != bare);
    let known: Vec<&str> = built_in().map(|(own, _)| *own).chain(bases).collect();
    let same: Vec<&str> = declared.iter().copied().filter(|known| references::base(known) == bare).collect();
    match meant.or_else(|| closest(bare, known.iter().copied())) {
        None if !same.is_empty() => format!("did you mean `{}`?", same.join("` or `")),
        Some(near) if space.is_empty() || built_in().any(|(own, _)| *own == near) => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{space}::{near}`?"),
        None if matches!(name, "Set" | "Record") => "write `Set<String>` for a set, and `{ name: String }` for a record".to_owned(),
        None if kind == Kind::Entity => "declare it as `entity`".to_owned(),
        None => "declare it as `entity` or `type`; built in are `String`, `Bool`, `Long`, `Set<...>`, `ipaddr`, `decimal`, `datetime` and `duration`".to_owned(),
    }
}

fn one(fragments: &[(String, String)], error: &dyn miette::Diagnostic) -> Diagnostic {
    let texts = || fragments.iter().map(|(origin, text)| (origin.as_str(), without_byte_order_mark(text)));
    let is_in = |text: &str| {
        let all = (0, text.len()).into();
        let read = error.source_code().and_then(|source| source.read_span(&all, 0, 0).ok());
        read.is_some_and(|read| read.data().starts_with(text.as_bytes()))
    };
    // a text that another begins with is not that other; in the JSON form nothing has a place
    let whole = texts().filter(|(_, text)| !text.trim_start().starts_with('{') && is_in(text));
    if let Some((origin, text)) = whole.max_by_key(|(_, text)| text.len()) {
        return diagnose::one(origin, text, error);
    }
    at_name(fragments, diagnose::one("schema", "", error))
}

/// The problem at the first place of a name that it mentions.
fn at_name(fragments: &[(String, String)], problem: Diagnostic) -> Diagnostic {
    let texts = || fragments.iter().map(|(origin, text)| (origin.as_str(), without_byte_order_mark(text)));
    let place = |name| texts().find_map(|(origin, text)| Some((origin, text, find(text, name)?)));
    let named = names(&problem.message).find_map(place);
    if let Some((origin, text, at)) = named {
        return problem.origin(origin).at(text, at);
    }
    match fragments {
        [(origin, _)] => problem.origin(origin),
        _ => problem,
    }
}

/// Where something that Cedar read stands: the file, its text and the byte.
pub(crate) fn place<'t>(fragments: &'t [(String, String)], loc: Option<&Loc>) -> Option<(&'t str, &'t str, usize)> {
    let loc = loc?;
    let texts = fragments.iter().map(|(origin, text)| (origin.as_str(), without_byte_order_mark(text)));
    let mut found = texts.filter(|(_, text)| *text == &*loc.src);
    found.next().map(|(origin, text)| (origin, text, loc.span.offset()))
}

/// What a message may name: what it quotes, then its words that are no plain English.
fn names(message: &str) -> impl Iterator<Item = &str> {
    let quoted = message.split(['`', '"']).skip(1).step_by(2);
    let words = message.split_once(": ").map_or("", |(_, listed)| listed).split([',', ' ']);
    let last = |name| str::rsplit(name, "::").next().unwrap_or_default().trim_matches(['`', '"']);
    quoted.chain(words).map(last).filter(|name| name.len() > 1)
}

/// Where a name stands in a text as a whole word, outside comments.
pub(super) fn find(text: &str, name: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let (before, behind) = (&text[..*at], &text[at + name.len()..]);
        let line = before.rfind('\n').map_or(before, |newline| &before[newline..]);
        !before.ends_with(is_part) && !behind.starts_with(is_part) && !line.contains("//")
    })
}
