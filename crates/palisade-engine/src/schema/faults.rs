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
use crate::settings::Limits;

/// How many declarations are parsed by themselves after the text as a whole could not be: each takes a parser.
pub(super) const MAX_DECLARATIONS: usize = 1_000;

/// What is wrong with the syntax of a text in Cedar's form. Cedar stops at the first error, so each declaration is
/// parsed again alone; and where one has no `;`, what stands behind it too.
pub(super) fn of_text(origin: &str, text: &str, error: &CedarSchemaError) -> Vec<Diagnostic> {
    if !matches!(error, CedarSchemaError::Parse(_)) {
        return diagnose::located(origin, text, error);
    }
    let told = |start: usize, error: &dyn miette::Diagnostic| {
        let at = diagnose::offset(error).map(|offset| start + offset);
        (at, syntax::told(Grammar::Schema, text, start, at, diagnose::one_within(origin, text, start, error)))
    };
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
    let at = |problem: &Diagnostic| (problem.line, problem.column);
    let whole = std::iter::once(told(0, error).1).chain(related.map(|error| told(0, error).1));
    let more: Vec<Diagnostic> = whole.filter(|problem| found.iter().all(|other| at(other) != at(problem))).collect();
    found.extend(more);
    found.sort_by_key(at);
    found
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
    let is_covered = listed.is_some() || (problem.message.starts_with("duplicate ") && !found.is_empty());
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
    let unread = |name: &str| texts.iter().any(|text| text.may_declare(name));
    let unresolved = known.unresolved.iter().filter(|reference| !unread(last_word(&reference.written)));
    let unresolved =
        unresolved.filter_map(|reference| at_place(&reference.spot, &reference.written, undeclared(reference, &known)));
    let mut found: Vec<Diagnostic> = twice.chain(unresolved).take(MAX_LISTED).collect();
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
    let problem = diagnose::one("schema", "", error);
    match references::of_shape(fragments, &problem.message) {
        Some((origin, text, at)) => problem.origin(origin).at(text, at),
        None => at_name(fragments, problem),
    }
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

#[cfg(test)]
mod tests {
    use crate::model::SchemaText;
    use crate::schema::SchemaModel;
    use crate::settings::Limits;

    fn faults(texts: &[&str]) -> Vec<String> {
        let fragments = texts.iter().enumerate().map(|(n, text)| (format!("s{n}"), (*text).to_owned())).collect();
        let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).err().unwrap_or_default();
        let place = |problem: &crate::model::Diagnostic| {
            format!("{}:{}: {}", problem.origin, problem.line.unwrap_or(0), problem.message)
        };
        found.iter().map(place).collect()
    }

    #[test]
    fn every_syntax_error_of_a_text_is_reported() {
        let text = "entity A { b Long };\n@doc(\"x;\")\nentity B;\nnamespace N { entity C D;\ntype T = { namespace: Long };\n\
                    action x appliesTo { principal: C resource: C };\n}\nentity X = 3;\n";
        let found = faults(&[text]);
        let lines: Vec<&str> = found.iter().filter_map(|line| line.split(':').nth(1)).collect();
        assert_eq!(lines, ["1", "4", "6", "8"], "{found:#?}");
        let members = faults(&["entity A {\n a: Long;\n b: Long;\n c: Long\n};\nentty B;\n"]);
        let lines: Vec<&str> = members.iter().filter_map(|line| line.split(':').nth(1)).collect();
        assert_eq!(lines, ["2", "6"], "{members:#?}");
        let open = faults(&["namespace N {\nentity A;\n"]);
        assert!(matches!(&open[..], [one] if one.contains("unexpected end")), "{open:#?}");
    }

    #[test]
    fn an_error_does_not_hide_what_stands_behind_it() {
        let text =
            "namespace N {\nentity A\nentity B;\nentity C {}\nacton see appliesTo { principal: A, resource: B };\n}\n";
        let found = faults(&[text]);
        let lines: Vec<&str> = found.iter().filter_map(|line| line.split(':').nth(1)).collect();
        assert_eq!(lines, ["3", "5", "5"], "{found:#?}");
    }

    #[test]
    fn a_type_that_is_not_there_has_one_that_is_near() {
        for (ty, expected) in [
            ("string", "did you mean `String`?"),
            ("Strng", "did you mean `String`?"),
            ("bool", "did you mean `Bool`?"),
            ("int", "did you mean `Long`?"),
            ("ip", "did you mean `ipaddr`?"),
            ("DateTime", "did you mean `datetime`?"),
            ("Userr", "did you mean `User`?"),
            ("N::Userr", "did you mean `N::User`?"),
            ("Set", "write `Set<String>`"),
            ("Zebra", "declare it as `entity` or `type`"),
        ] {
            let text = format!(
                "namespace N {{ entity User; entity Doc {{ a: {ty}, b: {ty} }}; action seen appliesTo {{ principal: User, resource: Doc }}; }}"
            );
            let texts = SchemaText { fragments: vec![("s".to_owned(), text)] };
            let found = SchemaModel::build(&texts, &Limits::default()).err().unwrap_or_default();
            assert!(
                matches!(&found[..], [one, two] if one.column < two.column && one.help == two.help
                    && one.help.as_deref().unwrap_or_default().contains(expected)),
                "{ty}: {found:#?}"
            );
        }
        // each name of one declaration
        let found = faults(&[
            "entity User in [Grp] {\n doctor: Docter,\n vip: Boolen,\n of: Set<{a: Strng}>,\n also: Docter };\n\
             action see appliesTo { principal: [User, Usr], resource: User, context: { a: Lng } };",
        ]);
        let mut names: Vec<&str> = found.iter().filter_map(|line| line.split('`').nth(1)).collect();
        names.sort_unstable();
        assert_eq!(names, ["Boolen", "Docter", "Docter", "Grp", "Lng", "Strng", "Usr"], "{found:#?}");
        let found =
            faults(&["entity User;\naction read, see in [raed] appliesTo { principal: User, resource: User };"]);
        assert!(matches!(&found[..], [one] if one.starts_with("s0:2: undeclared action")), "{found:#?}");
    }

    #[test]
    fn faults_of_several_texts_name_the_text_and_the_line() {
        let users = "// User\nentity User;\n";
        for (second, expected) in [
            ("entity Doc {\n  owner: Userr };\n", "s1:2: there is no type `Userr`"),
            ("entity Doc;\nentity User;\n", "s1:2: `User` is declared twice; the first is at s0:2"),
            (
                "entity Doc {\na: Long,\na?: Bool };\n",
                "s1:3: `a` is declared twice in one record; the first is at line 2",
            ),
            (
                "action see in [\n raed] appliesTo { principal: User, resource: User };\n",
                "s1:2: undeclared action: Action::\"raed\"",
            ),
            ("type A = B;\n\ntype B = A;\n", "s1:"),
            (
                "{\"\": {\"entityTypes\": {\"Doc\": {\n\"memberOfTypes\": [\"Usr\"]}}, \"actions\": {}}}",
                "s1:2: there is no type `Usr`",
            ),
        ] {
            let found = faults(&[users, second]);
            assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{second}: {found:#?}");
        }
    }

    #[test]
    fn faults_of_a_json_text_have_a_line() {
        for (text, expected) in [
            (
                "{\"\": {\n \"entityTypes\": {\"User\": {\"memberOfTypez\": []}}, \"actions\": {}}}",
                "s0:2: unknown member",
            ),
            ("{\"\": {\n \"entityTypes\": [],\n \"actions\": {}}}", "s0:2: found a list, expected an object"),
            ("{\"\": {\n \"entityTypes\": {},,\n \"actions\": {}}}", "s0:2: "),
        ] {
            let found = faults(&[text]);
            assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{text}: {found:#?}");
        }
    }

    #[test]
    fn a_name_that_is_not_found_is_reported_where_it_is_used() {
        let json = |ty: &str| {
            format!(
                "{{\"m\": {{\"entityTypes\": {{\"Res\": {{}}, \"Other\": {{}}}},\n \"actions\": {{\"raed\": {{}}}}}},\n \
                 \"n\": {{\"entityTypes\": {{\"U\": {{}},\n \"List\": {{\"shape\": {{\"type\": \"Record\", \"attributes\": \
                 {{\"Res\": {{\"type\": \"Long\"}},\n \"all\": {{\"type\": \"Set\", \"element\": {ty}}}}}}}}}}},\n \
                 \"actions\": {{\"see\": {{\"memberOf\": [{{\"id\": \"raed\"}}], \"appliesTo\": {{\"principalTypes\": [\"U\",\n \
                 \"Usr\"], \"resourceTypes\": [\"List\"]}}}}}}}}}}"
            )
        };
        let text = "namespace m { entity Res; action raed; }\nnamespace n { entity U, V; type Usr2 = Long;\n\
                    entity List { Res: Long, all: Set<Res> };\naction see in [raed] appliesTo { principal: U,\n\
                    resource: [List, Usr] }; }";
        let entity = "{\"type\": \"Entity\", \"name\": \"Res\"}";
        let either = "{\"type\": \"EntityOrCommon\", \"name\": \"Res\"}";
        let common = "{\"type\": \"Res\"}";
        for (text, lines) in [(json(entity), [5, 6, 7]), (json(either), [5, 6, 7]), (text.to_owned(), [3, 4, 5])] {
            let expected = [
                format!("s0:{}: there is no type `Res`", lines[0]),
                format!("s0:{}: undeclared action: Action::\"raed\"", lines[1]),
                format!("s0:{}: there is no type `Usr`", lines[2]),
            ];
            let mut found = faults(&[&text]);
            found.sort_unstable();
            assert_eq!(found, expected, "{text}");
            let fragments = [("s".to_owned(), text.clone())].to_vec();
            let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).unwrap_err();
            let helps: Vec<&str> = found.iter().filter_map(|found| found.help.as_deref()).collect();
            assert!(helps.contains(&"did you mean `m::Res`?"), "{helps:?}");
        }
        // common types are no entity types
        let found = faults(&[&json(common)]);
        assert!(found.contains(&"s0:5: there is no type `Res`".to_owned()), "{found:?}");
        // actions
        let text = json("{\"type\": \"Long\"}").replace("\n \"Usr\"", "\n \"U\"");
        assert_eq!(faults(&[&text]), ["s0:6: undeclared action: Action::\"raed\""]);
    }

    #[test]
    fn a_shape_that_is_no_record_is_reported_where_it_is() {
        let of = |shape: &str, context: &str| {
            format!(
                "{{\"\": {{\"entityTypes\": {{\"Other\": {{\"shape\": {{\"type\": \"Record\", \"attributes\": {{}}}}}}}}, \"actions\": \
                 {{}}}},\n\"m\": {{\"entityTypes\": {{\n\"U\": {{\n\"shape\": {shape}}}}},\n\"actions\": {{\"see it\": {{\"appliesTo\": \
                 {{\"principalTypes\": [\"U\"],\n\"resourceTypes\": [\"U\"], \"context\": {context}}}}}}}}}}}"
            )
        };
        let (record, other) = ("{\"type\": \"Record\", \"attributes\": {}}", "{\"type\": \"Long\"}");
        for (shape, context, expected) in [
            (other, record, "s0:4: Shape for entity type m::U"),
            (record, other, "s0:6: Context for action m::Action::\"see it\""),
        ] {
            let text = of(shape, context);
            let found = faults(&[&text]);
            assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{text}: {found:#?}");
        }
    }

    #[test]
    fn no_fault_of_names_hides_another() {
        let all = |texts: &[&str]| {
            let fragments = texts.iter().enumerate().map(|(n, text)| (format!("s{n}"), (*text).to_owned())).collect();
            let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).err().unwrap_or_default();
            let shown = |found: &crate::model::Diagnostic| {
                let place =
                    [found.line, found.column].map(|at| at.map_or("?".to_owned(), |at| at.to_string())).join(":");
                format!("{}:{place}: {}; {}", found.origin, found.message, found.help.as_deref().unwrap_or("-"))
            };
            found.iter().map(shown).collect::<Vec<_>>()
        };
        let bool_ = "there is no type `Boolean`; did you mean `Bool`?";
        for (texts, expected) in [
            (
                &["entity Doctor { n: Boolean };\nentity Patient { doctor: Doctor, vip: Boolean };"][..],
                vec![format!("s0:1:20: {bool_}"), format!("s0:2:39: {bool_}")],
            ),
            (
                &["entity D { n: Boolean, m: Strng };\naction read;\naction see in [readd];"],
                vec![
                    format!("s0:1:15: {bool_}"),
                    "s0:1:27: there is no type `Strng`; did you mean `String`?".to_owned(),
                    "s0:3:16: undeclared action: Action::\"readd\"; did you mean `read`?".to_owned(),
                ],
            ),
            (
                &["type T = Long;\nentity P in [T];\naction a appliesTo { principal: [P, Long], resource: P, context: P };"],
                vec![
                    "s0:2:14: there is no entity type `T`; `T` is a common type, and here is the place of entity types".to_owned(),
                    "s0:3:37: there is no entity type `Long`; `Long` is a built-in type, and here is the place of entity types".to_owned(),
                    "s0:3:66: there is no common type `P`; `P` is an entity type, and here is the place of common types".to_owned(),
                ],
            ),
            (
                &["entity Doctor;\nentity Doctor in [Dctor];\naction read;\naction read in [readd];"],
                vec![
                    "s0:2:8: `Doctor` is declared twice; the first is at s0:1; -".to_owned(),
                    "s0:4:8: `read` is declared twice; the first is at s0:3; -".to_owned(),
                    "s0:2:19: there is no type `Dctor`; did you mean `Doctor`?".to_owned(),
                    "s0:4:17: undeclared action: Action::\"readd\"; did you mean `read`?".to_owned(),
                ],
            ),
        ] {
            let found = all(texts);
            let as_expected = found.len() == expected.len();
            let each = found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected.as_str()));
            assert!(as_expected && each, "{texts:?}: {found:#?}");
        }
    }

    #[test]
    fn every_type_that_is_not_found_is_reported_at_its_place() {
        let first = "entity User;\nentity Doc { owner: Userr };\n";
        let second = "action see appliesTo {\n principal: User,\n resource: Docc };\n";
        let found = faults(&[first, second]);
        let expected = ["s0:2: there is no type `Userr`", "s1:3: there is no type `Docc`"];
        assert_eq!(found, expected);
    }
}
