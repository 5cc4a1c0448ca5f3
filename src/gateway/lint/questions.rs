//! What only the author of a file of routes can know of its service.

use crate::domain::Diagnostic;
use crate::gateway::pattern::{Part, Pattern};
use crate::gateway::read::Kind;
use crate::gateway::route::Route;
use crate::gateway::table::RouteTable;

/// Asks each file that does not say whether its service's router tells cases apart, where a request in another case would
/// get another route.
#[must_use]
pub fn questions(table: &RouteTable) -> Vec<Diagnostic> {
    let mut files: Vec<(&str, Vec<&Route>)> = Vec::new();
    let all = table.routes().iter().chain(table.unmapped());
    for route in all.filter(|route| route.service.path_case.is_none()) {
        match files.iter_mut().find(|(origin, _)| *origin == route.origin) {
            Some((_, routes)) => routes.push(route),
            None => files.push((&route.origin, vec![route])),
        }
    }
    files.iter().filter_map(|(_, routes)| question(routes)).collect()
}

fn question(routes: &[&Route]) -> Option<Diagnostic> {
    let (literal, capture) = routes.iter().find_map(|one| {
        // what is not mapped is refused, but its path in another case is not
        let mapped = routes.iter().filter(|other| other.kind == Kind::Mapped);
        let other = mapped.into_iter().find(|other| loses_its_case_to(&one.pattern, &other.pattern))?;
        Some((one, other))
    })?;
    let message = format!(
        "a request for `{}` with a letter in the other case is one for `{}`: does the router of the service tell the two apart?",
        literal.pattern, capture.pattern
    );
    let mut asked = Diagnostic::error(&literal.origin, message)
        .warning()
        .rule("route-path-case")
        .help("say `service: {path_case: exact}` if it does, and `path_case: ignored` if `/Admin` is `/admin` to it");
    asked.line = literal.line;
    Some(asked)
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
        let asked = |head: &str, routes: &[&str]| {
            let routes: Vec<String> =
                routes.iter().map(|it| format!("  - {{match: '{it}', public: true}}\n")).collect();
            let file = ("r.yaml".to_owned(), format!("{head}routes:\n{}", routes.join("")));
            questions(&compile(&[file], None).unwrap().0).into_iter().map(|asked| asked.line).collect::<Vec<_>>()
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
            assert_eq!(asked("", routes), expected, "{routes:?}");
            for case in ["exact", "ignored"] {
                assert_eq!(asked(&format!("service: {{path_case: {case}}}\n"), routes), [], "{routes:?}");
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
            questions(&table).into_iter().map(|asked| asked.line).collect::<Vec<_>>()
        };
        assert_eq!(document("").len(), 1);
        assert_eq!(document(", service: {path_case: exact}"), []);
    }
}
