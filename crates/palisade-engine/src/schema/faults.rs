//! Where the faults of a schema are: in which of its files, and all that can be found at once.

use cedar_policy::{CedarSchemaError, SchemaFragment};
use cedar_policy_core::parser::Loc;

use crate::diagnose;
use crate::guard;
use crate::model::Diagnostic;
use crate::model::json::without_byte_order_mark;
use crate::policies::MAX_PROBLEMS;
use crate::schema::references::{self, Kind, Reference};

/// How many declarations are parsed by themselves after the text as a whole could not be: each takes a parser.
const MAX_DECLARATIONS: usize = 1_000;

/// What is wrong with the syntax of a text in Cedar's form. Cedar stops at the first error, so each declaration is
/// parsed again on its own.
pub(super) fn of_text(origin: &str, text: &str, error: &CedarSchemaError) -> Vec<Diagnostic> {
    let whole = diagnose::located(origin, text, error);
    if !matches!(error, CedarSchemaError::Parse(_)) {
        return whole;
    }
    let mut found = Vec::new();
    for declaration in guard::declarations(text).into_iter().take(MAX_DECLARATIONS) {
        let (start, part) = (declaration.start, text.get(declaration).unwrap_or_default());
        if let Err(error @ CedarSchemaError::Parse(_)) = SchemaFragment::from_cedarschema_str(part).map(drop) {
            found.push(diagnose::one_within(origin, text, start, &error));
        }
        if found.len() >= MAX_PROBLEMS {
            break;
        }
    }
    // between declarations, such as a namespace that is not closed
    let at = |problem: &Diagnostic| (problem.line, problem.column);
    let unseen = |problem: &Diagnostic| found.iter().all(|other| at(other) != at(problem));
    let more: Vec<Diagnostic> = whole.into_iter().filter(unseen).collect();
    found.extend(more);
    found.sort_by_key(at);
    found
}

/// What is wrong with a text in the JSON form. The place is at the end of the message.
pub(super) fn of_json(origin: &str, text: &str, error: &dyn miette::Diagnostic) -> Vec<Diagnostic> {
    let mut found = diagnose::located(origin, text, error);
    for problem in &mut found {
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

/// What is wrong with all fragments together. The error says in which text it is, or at least which name it is about.
pub(super) fn of_all(fragments: &[(String, String)], error: &dyn miette::Diagnostic) -> Vec<Diagnostic> {
    let problem = one(fragments, error);
    if let Some(found) = unresolved(fragments, &problem) {
        return found;
    }
    let related = error.related().into_iter().flatten().map(|error| one(fragments, error));
    std::iter::once(problem).chain(related).collect()
}

/// How Cedar begins to list what it does not find, and how each is reported alone.
const UNRESOLVED: [(&str, &str); 4] = [
    ("failed to resolve types: ", "failed to resolve type: "),
    ("failed to resolve type: ", "failed to resolve type: "),
    ("undeclared actions: ", "undeclared action: "),
    ("undeclared action: ", "undeclared action: "),
];

/// Each name that is not found at its place, if that is what the `problem` is about. Cedar lists them as one.
fn unresolved(fragments: &[(String, String)], problem: &Diagnostic) -> Option<Vec<Diagnostic>> {
    let told = UNRESOLVED.iter().find_map(|(all, one)| Some((problem.message.strip_prefix(all)?, *one)));
    let (names, prefix) = told?;
    let is_action = prefix.starts_with("undeclared");
    let is_meant = |reference: &Reference| {
        let written = reference.written.as_str();
        (reference.kind == Kind::Action) == is_action
            && if is_action { names.contains(written) } else { names.split(", ").any(|name| name == written) }
    };
    let references: Vec<Reference> = references::unresolved(fragments).into_iter().filter(is_meant).collect();
    let at_place = |reference: &Reference| {
        let mut help = help(reference);
        if let Some(elsewhere) = &reference.elsewhere {
            help = format!("{help}; did you mean `{elsewhere}`?");
        }
        let found = Diagnostic::error("schema", format!("{prefix}{}", reference.written)).help(help);
        let (origin, text) = fragments.get(reference.text)?;
        let text = without_byte_order_mark(text);
        Some(match reference.at(text) {
            Some(at) => found.origin(origin).at(text, at),
            None => at_name(fragments, found),
        })
    };
    let mut found: Vec<Diagnostic> = references.iter().take(MAX_PROBLEMS).filter_map(at_place).collect();
    if !is_action {
        // what Cedar does not find is never left out
        for name in names.split(", ").filter(|name| references.iter().all(|reference| reference.written != *name)) {
            let help = format!("`{name}` has not been declared as a common or entity type");
            found.push(at_name(fragments, Diagnostic::error("schema", format!("{prefix}{name}")).help(help)));
        }
        found.truncate(MAX_PROBLEMS);
    }
    (!found.is_empty()).then_some(found)
}

/// What could be declared so that the name is found.
fn help(reference: &Reference) -> String {
    let what = match reference.kind {
        Kind::Common => "a common type",
        Kind::Entity => "an entity type",
        Kind::Either => "a common or entity type",
        Kind::Action => "an action",
    };
    match reference.meanings.as_slice() {
        [first, second] => format!("neither `{first}` nor `{second}` is declared as {what}"),
        meanings => format!("`{}` is not declared as {what}", meanings.join("`, `")),
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
fn find(text: &str, name: &str) -> Option<usize> {
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
        let open = faults(&["namespace N {\nentity A;\n"]);
        assert!(matches!(&open[..], [one] if one.contains("unexpected end")), "{open:#?}");
    }

    #[test]
    fn faults_of_several_texts_name_the_text_and_the_line() {
        let users = "// User\nentity User;\n";
        for (second, expected) in [
            ("entity Doc {\n  owner: Userr };\n", "s1:2: failed to resolve type: Userr"),
            ("entity Doc;\nentity User;\n", "s0:2: duplicate entity type `User`"),
            (
                "action see in [\n raed] appliesTo { principal: User, resource: User };\n",
                "s1:2: undeclared action: Action::\"raed\"",
            ),
            ("type A = B;\n\ntype B = A;\n", "s1:"),
            (
                "{\"\": {\"entityTypes\": {\"Doc\": {\n\"memberOfTypes\": [\"Usr\"]}}, \"actions\": {}}}",
                "s1:2: failed to resolve type: Usr",
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
                "s0:2: unknown field",
            ),
            ("{\"\": {\n \"entityTypes\": [],\n \"actions\": {}}}", "s0:2: invalid type: sequence"),
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
        for (text, lines) in [(json(entity), ["5", "7"]), (json(either), ["5", "7"]), (text.to_owned(), ["3", "5"])] {
            let expected = [
                format!("s0:{}: failed to resolve type: Res", lines[0]),
                format!("s0:{}: failed to resolve type: Usr", lines[1]),
            ];
            let mut found = faults(&[&text]);
            found.sort_unstable();
            assert_eq!(found, expected, "{text}");
            let fragments = [("s".to_owned(), text.clone())].to_vec();
            let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).unwrap_err();
            let helps: Vec<&str> = found.iter().filter_map(|found| found.help.as_deref()).collect();
            assert!(helps.iter().any(|help| help.ends_with("; did you mean `m::Res`?")), "{helps:?}");
        }
        // common types are no entity types
        let found = faults(&[&json(common)]);
        assert!(found.contains(&"s0:5: failed to resolve type: Res".to_owned()), "{found:?}");
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
    fn every_type_that_is_not_found_is_reported_at_its_place() {
        let first = "entity User;\nentity Doc { owner: Userr };\n";
        let second = "action see appliesTo {\n principal: User,\n resource: Docc };\n";
        let found = faults(&[first, second]);
        let expected = ["s0:2: failed to resolve type: Userr", "s1:3: failed to resolve type: Docc"];
        assert_eq!(found, expected);
    }
}
