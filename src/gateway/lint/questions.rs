//! What only the author of a file of routes can know of its service.

use crate::domain::Diagnostic;
use crate::gateway::pattern::{Part, Pattern};
use crate::gateway::read::Kind;
use crate::gateway::route::{Effect, Route};
use crate::gateway::table::RouteTable;

/// Asks each file that does not say how its service's router takes the case of a path, or a suffix at its end, where a
/// request in another case or with a suffix would get another route.
#[must_use]
pub fn questions(table: &RouteTable) -> Vec<Diagnostic> {
    let mut files: Vec<(&str, Vec<&Route>)> = Vec::new();
    for route in table.routes().iter().chain(table.unmapped()) {
        match files.iter_mut().find(|(origin, _)| *origin == route.origin) {
            Some((_, routes)) => routes.push(route),
            None => files.push((&route.origin, vec![route])),
        }
    }
    files.iter().flat_map(|(_, routes)| case(routes).into_iter().chain(suffix(routes))).collect()
}

fn case(routes: &[&Route]) -> Option<Diagnostic> {
    let silent = routes.first().is_some_and(|route| route.service.path_case.is_none());
    let (literal, capture) =
        silent.then(|| pair(routes, &|one, other| loses_its_case_to(&one.pattern, &other.pattern))).flatten()?;
    let message = format!(
        "a request for `{}` with a letter in the other case is one for `{}`: does the router of the service tell the two apart?",
        literal.pattern, capture.pattern
    );
    let help = "say `service: {path_case: exact}` if it does, and `path_case: ignored` if `/Admin` is `/admin` to it";
    Some(asked(literal, message, "route-path-case", help))
}

fn suffix(routes: &[&Route]) -> Option<Diagnostic> {
    let silent = routes.first().is_some_and(|route| route.service.suffixes.is_none());
    let differs = |one: &Route, other: &Route| {
        loses_its_suffix_to(&one.pattern, &other.pattern)
            && !matches!(one.effect, Effect::Public)
            && one.to_string() != other.to_string()
    };
    let (literal, capture) = silent.then(|| pair(routes, &differs)).flatten()?;
    let message = format!(
        "a request for `{}` with a suffix, such as `.json`, is refused, and could be one for `{}`: does the router of the service tell the two apart?",
        literal.pattern, capture.pattern
    );
    let help = "say `service: {suffixes: exact}` if it does, and `suffixes: format` if `/users.json` is `/users` to it";
    Some(asked(literal, message, "route-suffixes", help))
}

/// The first two routes of which one loses requests to the other.
fn pair<'r>(routes: &[&'r Route], loses: &dyn Fn(&Route, &Route) -> bool) -> Option<(&'r Route, &'r Route)> {
    // what is not mapped is refused, but its path in another case is not
    let mapped = || routes.iter().filter(|other| other.kind == Kind::Mapped);
    routes.iter().find_map(|one| Some((*one, *mapped().find(|other| loses(one, other))?)))
}

fn asked(literal: &Route, message: String, rule: &'static str, help: &str) -> Diagnostic {
    let mut asked = Diagnostic::error(&literal.origin, message).warning().rule(rule).help(help);
    asked.line = literal.line;
    asked
}

/// Whether `other` takes the path of `one` once its last literal has a suffix.
fn loses_its_suffix_to(one: &Pattern, other: &Pattern) -> bool {
    let Some((Part::Literal(text), before)) = one.parts.split_last() else { return false };
    for (at, part) in before.iter().enumerate() {
        let fits = match (part, other.parts.get(at)) {
            (_, Some(Part::Rest(_))) => return true,
            (Part::Literal(text), Some(Part::Capture(_, form))) => form.takes(text),
            (Part::Literal(a), Some(Part::Literal(b))) => a == b,
            (Part::Literal(text), Some(Part::OneOf(_, words))) => words.contains(text),
            (Part::OneOf(_, words), Some(Part::Literal(text))) => words.contains(text),
            (_, part) => part.is_some(),
        };
        if !fits {
            return false;
        }
    }
    match other.parts.get(before.len()) {
        Some(Part::Capture(_, form)) => form.takes(&format!("{text}.json")) && other.parts.len() == one.parts.len(),
        Some(Part::Rest(_)) => true,
        _ => false,
    }
}

/// Whether `other` takes the path of `one` once the case of a literal is changed.
fn loses_its_case_to(one: &Pattern, other: &Pattern) -> bool {
    let mut changed = false;
    for (at, part) in one.parts.iter().enumerate() {
        let fits = match (part, other.parts.get(at)) {
            (Part::Literal(text), Some(Part::Capture(_, form))) => {
                let letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
                changed |= letters && form.takes(&text.to_ascii_uppercase());
                form.takes(text)
            }
            (Part::Literal(text), Some(Part::Rest(_))) => {
                return changed || text.bytes().any(|byte| byte.is_ascii_alphabetic());
            }
            (_, Some(Part::Rest(_))) => return changed,
            (Part::Literal(a), Some(Part::Literal(b))) => {
                changed |= a != b;
                a.eq_ignore_ascii_case(b)
            }
            (Part::Literal(text), Some(Part::OneOf(_, words))) => words.contains(text),
            (Part::OneOf(_, words), Some(Part::Literal(text))) => words.contains(text),
            // one path that both take is enough to ask
            (_, part) => part.is_some(),
        };
        if !fits {
            return false;
        }
    }
    changed && one.parts.len() == other.parts.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::compile;

    #[test]
    fn a_file_is_asked_where_it_matters() {
        let asked = |head: &str, routes: &[&str], rule: &str| {
            let routes: Vec<String> = routes
                .iter()
                .map(|it| match it.strip_prefix("deny ") {
                    Some(it) => format!("  - {{match: '{it}', deny: no}}\n"),
                    None => format!("  - {{match: '{it}', public: true}}\n"),
                })
                .collect();
            let file = ("r.yaml".to_owned(), format!("{head}routes:\n{}", routes.join("")));
            let asked = questions(&compile(&[file], None).unwrap().0).into_iter();
            asked.filter(|it| it.rule == Some(rule)).map(|it| it.line).collect::<Vec<_>>()
        };
        for (routes, expected) in [
            (&["POST /m/move", "POST /m/{id}"][..], vec![Some(2)]),
            (&["POST /m/{id}", "POST /m/move"], vec![Some(3)]),
            (&["POST /m/{id}/log", "GET /{a}/{b}/{c}"], vec![Some(2)]),
            (&["POST /m/move", "GET /{rest*}"], vec![Some(2)]),
            (&["POST /m/move", "POST /m/{id:int}"], vec![]),
            (&["POST /m/move", "POST /n/{id}"], vec![]),
            (&["POST /m/7", "POST /m/{id}"], vec![]),
            (&["POST /m/move", "POST /m/{id}/log"], vec![]),
            (&["GET /M/{id}", "GET /m/{id:int}"], vec![Some(2)]),
            (&["GET /m/log", "POST /M/{id}"], vec![Some(2)]),
        ] {
            assert_eq!(asked("", routes, "route-path-case"), expected, "{routes:?}");
            for case in ["exact", "ignored"] {
                let head = format!("service: {{path_case: {case}}}\n");
                assert_eq!(asked(&head, routes, "route-path-case"), [], "{routes:?}");
            }
        }
        for (routes, expected) in [
            (&["deny POST /m/move", "POST /m/{id}"][..], vec![Some(2)]),
            (&["POST /m/{id}", "deny GET /m/7"], vec![Some(3)]),
            (&["deny POST /m/move", "GET /{rest*}"], vec![Some(2)]),
            (&["deny POST /m/{id}/log", "GET /{a}/{b}/{c}"], vec![Some(2)]),
            // what is the same for both, or open, is no loss
            (&["POST /m/move", "deny POST /m/{id}"], vec![]),
            (&["deny POST /m/move", "deny POST /m/{id}"], vec![]),
            (&["deny POST /m/move", "POST /m/{id:int}"], vec![]),
            (&["deny POST /m/move", "POST /n/{id}"], vec![]),
            (&["deny POST /m/move", "POST /m/{id}/log"], vec![]),
        ] {
            assert_eq!(asked("", routes, "route-suffixes"), expected, "{routes:?}");
            for suffixes in ["exact", "format"] {
                let head = format!("service: {{suffixes: {suffixes}}}\n");
                assert_eq!(asked(&head, routes, "route-suffixes"), [], "{routes:?}");
            }
        }
    }

    #[test]
    fn an_operation_that_is_not_mapped_is_asked_about_too() {
        let document = |service: &str| {
            let text = format!(
                "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\n\
                 x-palisade: {{namespace: F, hosts: [api.test], defaults: {{principal: User}}{service}}}\npaths:\n  \
                 '/{{id}}':\n    get:\n      operationId: V\n      parameters: [{{name: id, in: path, required: true, \
                 schema: {{type: string}}}}]\n      x-palisade: {{resource: 'D::{{path.id}}'}}\n  /me:\n    get: \
                 {{operationId: Me}}\n"
            );
            let (table, _) = compile(&[("api.yaml".to_owned(), text)], None).unwrap();
            questions(&table).into_iter().filter_map(|asked| asked.rule).collect::<Vec<_>>()
        };
        assert_eq!(document(""), ["route-path-case", "route-suffixes"]);
        assert_eq!(document(", service: {path_case: exact}"), ["route-suffixes"]);
        assert_eq!(document(", service: {path_case: exact, suffixes: exact}"), [""; 0]);
    }
}
