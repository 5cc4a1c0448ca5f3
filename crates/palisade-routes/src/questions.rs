//! What only the author of a file of routes can know of its service.

use std::collections::HashMap;

use crate::methods;
use crate::pattern::{Form, Part};
use crate::read::Kind;
use crate::route::{Effect, Route};
use crate::second;
use crate::table::RouteTable;
use palisade_engine::model::Diagnostic;

/// The rule for files that were not compared.
const NOT_CHECKED: &str = "not-checked";

/// How many pairs of routes are compared: more would take too long for a question.
const MOST_PAIRS: usize = 50_000_000;

/// Asks each file that does not say how its service's router takes the case of a path, or a suffix at its end, where a
/// request in another case or with a suffix would get another route: one of this file, or of another one for the same
/// host.
#[must_use]
pub fn questions(table: &RouteTable) -> Vec<Diagnostic> {
    let mut files: Vec<(&str, Vec<&Route>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for route in table.routes().iter().chain(table.unmapped()) {
        let at = *known.entry(&route.origin).or_insert(files.len());
        match files.get_mut(at) {
            Some((_, routes)) => routes.push(route),
            None => files.push((&route.origin, vec![route])),
        }
    }
    let mut others = Others::read(table.routes());
    let mut asked: Vec<Diagnostic> = Vec::new();
    for (_, routes) in &files {
        asked.extend(routes.iter().flat_map(|route| misspelled(route)));
        asked.extend(case(routes, &mut others));
        asked.extend(suffix(routes, &mut others));
    }
    asked.extend(second::ways(table));
    // a route with several prefixes is several
    asked.dedup();
    if others.left == 0 {
        let origin = files.first().map_or("", |(origin, _)| origin);
        let message = "not every two routes were compared: there are too many of them that begin alike";
        let help = "say `service: {path_case: ..., suffixes: ...}` in each file, and nothing is asked";
        asked.push(Diagnostic::error(origin, message).warning().rule(NOT_CHECKED).help(help));
    }
    asked
}

/// Methods that hardly are what the author means: the route would match no request.
fn misspelled(route: &Route) -> Vec<Diagnostic> {
    let methods = route.pattern.methods.iter().filter_map(|method| Some((method, methods::meant(method)?)));
    let asked = methods.map(|(method, meant)| {
        let message = format!("`{method}` is no method of a standard; did you mean `{meant}`?");
        let help = "correct it; if the service has such a method of its own, the route is right as it is";
        asked(route, message, "route-method", help)
    });
    asked.collect()
}

fn case(routes: &[&Route], others: &mut Others<'_>) -> Option<Diagnostic> {
    let silent = routes.first().is_some_and(|route| route.service.path_case.is_none());
    // one host has one router, so the other file may say it
    let loses = |one: &Route, other: &Route| other.service.path_case.is_none() && loses_its_case_to(one, other);
    let (literal, capture) = silent.then(|| others.pair(routes, &loses)).flatten()?;
    let message = format!(
        "a request for `{}` with a letter in the other case is one for `{}`{}: does the router of the service tell the two apart?",
        literal.pattern,
        capture.pattern,
        place(literal, capture)
    );
    let help = "say `service: {path_case: exact}` if it does, and `path_case: ignored` if `/Admin` is `/admin` to it";
    Some(asked(literal, message, "route-path-case", help))
}

fn suffix(routes: &[&Route], others: &mut Others<'_>) -> Option<Diagnostic> {
    let silent = routes.first().is_some_and(|route| route.service.suffixes.is_none());
    let differs = |one: &Route, other: &Route| {
        !matches!(one.effect, Effect::Public) && loses_its_suffix_to(one, other) && one.to_string() != other.to_string()
    };
    let (literal, capture) = silent.then(|| others.pair(routes, &differs)).flatten()?;
    let message = format!(
        "a request for `{}` with a suffix, such as `.json`, is refused, and could be one for `{}`{}: does the router of the service tell the two apart?",
        literal.pattern,
        capture.pattern,
        place(literal, capture)
    );
    let help = "say `service: {suffixes: exact}` if it does, and `suffixes: format` if `/users.json` is `/users` to it";
    Some(asked(literal, message, "route-suffixes", help))
}

/// Where the other route stands, if it is in another file.
fn place(literal: &Route, capture: &Route) -> String {
    if literal.origin == capture.origin { String::new() } else { format!(" at {}", capture.place) }
}

/// The routes to which others may lose requests, by the text that they begin with.
struct Others<'r> {
    all: Vec<&'r Route>,
    beginning: HashMap<String, Vec<&'r Route>>,
    /// Those that begin with a capture.
    open: Vec<&'r Route>,
    /// How many pairs are still compared.
    left: usize,
}

// === impl Others ===

impl<'r> Others<'r> {
    fn read(routes: &'r [Route]) -> Self {
        let mut others = Self { all: Vec::new(), beginning: HashMap::new(), open: Vec::new(), left: MOST_PAIRS };
        // what is not mapped is refused, but its path in another case is not
        for route in routes.iter().filter(|route| route.kind == Kind::Mapped) {
            others.all.push(route);
            match route.pattern.parts.first() {
                Some(Part::Literal(text)) => others.beginning.entry(text.to_ascii_lowercase()).or_default().push(route),
                _ => others.open.push(route),
            }
        }
        others
    }

    /// The first two routes of which one loses requests to the other.
    fn pair<'a>(
        &mut self,
        routes: &[&'a Route],
        loses: &dyn Fn(&Route, &Route) -> bool,
    ) -> Option<(&'a Route, &'r Route)> {
        for one in routes {
            let (first, second): (&[&'r Route], &[&'r Route]) = match one.pattern.parts.first() {
                Some(Part::Literal(text)) => {
                    (self.beginning.get(&text.to_ascii_lowercase()).map_or(&[], Vec::as_slice), &self.open)
                }
                _ => (&self.all, &[]),
            };
            // a file says of all of its routes which hosts they are for
            let found = first
                .iter()
                .chain(second)
                .take(self.left)
                .find(|other| loses(one, other) && (one.origin == other.origin || meet(&one.hosts, &other.hosts)));
            let found = found.copied();
            self.left = self.left.saturating_sub(first.len() + second.len());
            if let Some(other) = found {
                return Some((one, other));
            }
        }
        None
    }
}

/// Whether there is a host that both lists are for; an empty one is for all.
pub(super) fn meet(one: &[String], other: &[String]) -> bool {
    let covers = |host: &str, key: &str| {
        host == key || host.strip_prefix('*').is_some_and(|ending| key.trim_start_matches('*').ends_with(ending))
    };
    one.is_empty() || other.is_empty() || one.iter().any(|a| other.iter().any(|b| covers(a, b) || covers(b, a)))
}

fn asked(literal: &Route, message: String, rule: &'static str, help: &str) -> Diagnostic {
    let mut asked = Diagnostic::error(&literal.origin, message).warning().rule(rule).help(help);
    asked.line = literal.line;
    asked
}

/// Whether a capture of a route takes a text: its form does, and so does what a document says of it. What the second
/// does not take is refused, and falls to no other route.
fn takes(route: &Route, name: &str, form: Form, text: &str) -> bool {
    form.takes(text) && route.guards.shapes().all(|(of, shape)| of != name || shape.takes(text))
}

/// Whether `other` takes the path of `one` once its last literal has a suffix.
fn loses_its_suffix_to(one: &Route, other: &Route) -> bool {
    let Some((Part::Literal(text), before)) = one.pattern.parts.split_last() else { return false };
    let parts = &other.pattern.parts;
    for (at, part) in before.iter().enumerate() {
        let fits = match (part, parts.get(at)) {
            (_, Some(Part::Rest(_))) => return true,
            (Part::Literal(text), Some(Part::Capture(name, form))) => takes(other, name, *form, text),
            (Part::Literal(a), Some(Part::Literal(b))) => a == b,
            (Part::Literal(text), Some(Part::OneOf(_, words))) => words.contains(text),
            (Part::OneOf(_, words), Some(Part::Literal(text))) => words.contains(text),
            (_, part) => part.is_some(),
        };
        if !fits {
            return false;
        }
    }
    match parts.get(before.len()) {
        Some(Part::Capture(name, form)) => {
            parts.len() == one.pattern.parts.len() && takes(other, name, *form, &format!("{text}.json"))
        }
        Some(Part::Rest(_)) => true,
        _ => false,
    }
}

/// Whether `other` takes the path of `one` once the case of a literal is changed.
fn loses_its_case_to(one: &Route, other: &Route) -> bool {
    let (mut changed, parts) = (false, &other.pattern.parts);
    for (at, part) in one.pattern.parts.iter().enumerate() {
        let fits = match (part, parts.get(at)) {
            (Part::Literal(text), Some(Part::Capture(name, form))) => {
                let upper = text.to_ascii_uppercase();
                let swapped = if upper == *text { text.to_ascii_lowercase() } else { upper };
                let other_case = swapped != *text && takes(other, name, *form, &swapped);
                changed |= other_case;
                other_case || takes(other, name, *form, text)
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
    changed && one.pattern.parts.len() == parts.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile;

    #[test]
    fn a_method_that_is_nearly_another_is_asked_for() {
        for (route, expected) in [
            ("PSOT /a", Some("did you mean `POST`?")),
            ("GET,PTACH /a", Some("did you mean `PATCH`?")),
            ("GET /a", None),
            ("PROPFIND,PURGE,QUERY /a", None),
            // a service's own
            ("FROBNICATE /a", None),
        ] {
            let text = format!("prefix: [/x, /y]\nroutes:\n  - {{match: '{route}', public: true}}\n");
            let asked = questions(&compile(&[("r.yaml".to_owned(), text)], None).unwrap().0);
            let found: Vec<_> = asked.iter().filter(|it| it.rule == Some("route-method")).collect();
            assert_eq!(found.len(), usize::from(expected.is_some()), "{route}: {found:?}");
            assert!(found.iter().all(|it| it.message.contains(expected.unwrap()) && it.line == Some(3)), "{found:?}");
        }
    }

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

    #[test]
    fn files_for_one_host_are_compared() {
        let literal = |head: &str| format!("{head}routes:\n  - {{match: GET /admin, deny: no}}\n");
        let capture = |head: &str| format!("{head}routes:\n  - {{match: 'GET /{{a}}', public: true}}\n");
        let both = ["route-path-case", "route-suffixes"];
        for (one, other, expected) in [
            ("hosts: [api.test]\n", "hosts: [api.test]\n", &both[..]),
            ("hosts: [api.test]\n", "hosts: ['*.test']\n", &both),
            ("hosts: ['*.test']\n", "hosts: [api.test]\n", &both),
            ("hosts: ['*.a.test']\n", "hosts: [b.test, '*.test']\n", &both),
            ("hosts: [api.test]\n", "", &both),
            ("", "hosts: [api.test]\n", &both),
            ("hosts: [api.test]\n", "hosts: [app.test]\n", &[]),
            ("hosts: [test]\n", "hosts: ['*.test']\n", &[]),
            ("hosts: [api.test]\n", "hosts: [api.test]\nservice: {path_case: exact}\n", &both[1..]),
            ("hosts: [api.test]\nservice: {path_case: exact, suffixes: exact}\n", "hosts: [api.test]\n", &[]),
        ] {
            let files = [("a.yaml".to_owned(), literal(one)), ("b.yaml".to_owned(), capture(other))];
            let asked = questions(&compile(&files, None).unwrap().0);
            let found: Vec<&str> = asked.iter().filter_map(|asked| asked.rule).collect();
            assert_eq!(found, expected, "{one} {other}");
            assert!(
                asked.iter().all(|asked| asked.origin == "a.yaml" && asked.message.contains("b.yaml:")),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn what_a_document_says_of_a_capture_counts() {
        for (schema, expected) in [
            ("{type: string}", &["route-path-case", "route-suffixes"][..]),
            ("{type: integer}", &[]),
            ("{type: string, format: uuid}", &[]),
            ("{type: string, enum: [a, b]}", &[]),
            ("{type: string, enum: [a, ME]}", &["route-path-case"]),
        ] {
            let text = format!(
                "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\n\
                 x-palisade: {{namespace: F, hosts: [api.test], defaults: {{principal: User}}}}\npaths:\n  \
                 '/u/{{id}}':\n    get:\n      operationId: V\n      parameters: [{{name: id, in: path, required: true, \
                 schema: {schema}}}]\n      x-palisade: {{resource: 'D::{{path.id}}'}}\n  /u/me:\n    get: \
                 {{operationId: Me, x-palisade: {{resource: 'D::me'}}}}\n"
            );
            let (table, _) = compile(&[("api.yaml".to_owned(), text)], None).unwrap();
            let asked: Vec<&str> = questions(&table).into_iter().filter_map(|asked| asked.rule).collect();
            assert_eq!(asked, expected, "{schema}");
        }
    }
}
