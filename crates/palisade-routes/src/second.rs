//! Second ways into one service: a wide public route may take them for pages of its own.

mod functions;

use crate::pattern::{Form, Part};
use crate::questions::meet;
use crate::read::Kind;
use crate::route::{Effect, Route};
use crate::service::Suffixes;
use crate::table::RouteTable;
use palisade_engine::model::Diagnostic;

/// Beginnings of paths behind which some services find the same pages again.
const WAYS: &[&[&str]] = &[
    &["index.php"],
    &["public", "index.php"],
    &["app.php"],
    &["app_dev.php"],
    &["cgi-bin"],
    &["_next", "data"],
    &["page-data"],
    &["VirtualHostBase"],
    &["++api++"],
    // functions of pages: SvelteKit, Astro, SolidStart, TanStack Start; and a part of a page in Nuxt
    &["_app", "remote"],
    &["_actions"],
    &["_server"],
    &["_serverFn"],
    &["__nuxt_island"],
];

/// What stands behind the path of a page where some services give its data.
const LEAVES: &[&str] = &["__data.json", "q-data.json", "_payload.json"];

/// What stands behind the last segment of a page where others give its data: React Router and Remix, and Next.js.
const ENDINGS: &[&str] = &[".data", ".rsc", ".txt"];

/// How React Router calls the page `/` there.
const ROOT: &str = "_root";

/// How many pairs of routes are compared.
const MOST_PAIRS: usize = 5_000_000;

/// Asks of each public route that takes everything below a path, beside routes that are checked there, whether its service
/// has a second way to these.
pub(super) fn ways(table: &RouteTable) -> Vec<Diagnostic> {
    let routes = || table.routes().iter().filter(|route| route.kind == Kind::Mapped);
    let wide = |route: &&Route| {
        matches!(route.effect, Effect::Public) && matches!(route.pattern.parts.last(), Some(Part::Rest(_)))
    };
    let mut left = MOST_PAIRS;
    let mut asked: Vec<Diagnostic> = Vec::new();
    for public in routes().filter(wide) {
        // the first of a file is enough to ask
        let known = asked.iter().any(|one| one.origin == public.origin);
        left = left.saturating_sub(table.routes().len());
        if known || left == 0 {
            continue;
        }
        let before = &public.pattern.parts[..public.pattern.parts.len() - 1];
        let below = |route: &&Route| meet(&public.hosts, &route.hosts) && route.pattern.parts.starts_with(before);
        let checked = |route: &Route| matches!(route.effect, Effect::Checks { .. });
        // such a way may begin as the route does, as `/_app/remote/` below `/_app/{path*}`
        let begins = |way: &&&[&str]| {
            let literal = |(part, word): (&Part, &&str)| matches!(part, Part::Literal(text) if text == word);
            !before.is_empty() && before.len() < way.len() && before.iter().zip(way.iter()).all(literal)
        };
        let guarded = |way: &&&[&str]| routes().any(|route| takes(route, 0, way, &public.pattern.methods));
        let inside: Vec<String> = WAYS
            .iter()
            .filter(begins)
            .filter(|way| !guarded(way))
            .map(|way| format!("`/{}/`", way.join("/")))
            .collect();
        if !inside.is_empty() && routes().any(|route| checked(route) && meet(&public.hosts, &route.hosts)) {
            let message = format!(
                "everything below `{}` is public, and some services answer for their other pages at {} too: does this one?",
                public.pattern,
                inside.join(", ")
            );
            asked.push(ask(
                public,
                message,
                "map it with `{rest*}` behind it and `deny`, or make what is public narrower",
            ));
            continue;
        }
        let Some(hidden) = routes().filter(below).find(|route| checked(route)) else { continue };
        let others: Vec<&Route> =
            routes().filter(below).filter(|route| !matches!(route.effect, Effect::Public)).collect();
        let data = others.iter().filter(|route| checked(route)).find_map(|route| {
            left = left.saturating_sub(others.len());
            let open = |leaf: &&&str| {
                let parts: Vec<Part> =
                    route.pattern.parts.iter().cloned().chain([Part::Literal((**leaf).to_owned())]).collect();
                left > 0 && !others.iter().any(|other| takes_page(other, &parts, &public.pattern.methods))
            };
            let open: Vec<String> =
                LEAVES.iter().filter(open).map(|leaf| format!("`{}/{leaf}`", prefix(&route.pattern.parts))).collect();
            (!open.is_empty()).then_some((*route, open))
        });
        let open: Vec<String> = WAYS
            .iter()
            .filter(|way| !routes().filter(below).any(|route| takes(route, before.len(), way, &public.pattern.methods)))
            .map(|way| format!("`{}/{}/`", prefix(before), way.join("/")))
            .collect();
        if !open.is_empty() {
            let message = format!(
                "everything below `{}` is public, and some services answer `{}` below {} too: does this one?",
                public.pattern,
                hidden.pattern,
                open.join(", ")
            );
            let help = "map each with `{rest*}` behind it and `deny`; that is a guard against what a later version of the service \
                        does, too";
            asked.push(ask(public, message, help));
        }
        if let Some((route, open)) = data {
            let message = format!(
                "everything below `{}` is public, and some services give the data of {} at {} too: does this one?",
                public.pattern,
                route.pattern,
                open.join(", ")
            );
            let below = format!("`{} {}/{{rest*}}`", route.pattern.methods.join(","), prefix(&route.pattern.parts));
            let help = format!("map what is below each checked path with `deny`, as {below}");
            asked.push(ask(public, message, &help));
        }
        // elsewhere such a path is refused, or is that of the page
        if public.service.suffixes == Some(Suffixes::Exact)
            && let Some((route, open)) = others.iter().filter(|route| checked(route)).find_map(|route| {
                left = left.saturating_sub(others.len());
                let open = endings(route, |parts| {
                    left > 0 && !others.iter().any(|other| takes_page(other, parts, &public.pattern.methods))
                });
                (!open.is_empty()).then_some((*route, open))
            })
        {
            let message = format!(
                "everything below `{}` is public, the file says `suffixes: exact`, and some services give the data of {} at {}: \
                 does this one?",
                public.pattern,
                route.pattern,
                open.join(", ")
            );
            asked.push(ask(public, message, SUFFIXES));
        }
    }
    let routes: Vec<&Route> = routes().collect();
    let (mut functions, mut pages) = (asked.clone(), asked);
    let asked = functions.len();
    of_captures(&routes, &mut left, &mut functions, |public, others, _| functions::question(public, others));
    of_captures(&routes, &mut left, &mut pages, captured);
    pages.extend(functions.drain(asked..));
    pages
}

/// What helps where an ending makes another page.
const SUFFIXES: &str = "say `service: {suffixes: format}` if it does, by which `/admin.data` is `/admin`, and deny `/_root.data`; \
    or map each with `deny`";

/// Asks of each public route that takes any word somewhere, beside what is not public on its hosts: one question a file.
fn of_captures(
    routes: &[&Route],
    left: &mut usize,
    asked: &mut Vec<Diagnostic>,
    question: impl Fn(&Route, &[&Route], &mut usize) -> Option<Diagnostic>,
) {
    let capture = |part: &Part| matches!(part, Part::Capture(_, Form::Any | Form::Name));
    let wide = |route: &&&Route| matches!(route.effect, Effect::Public) && route.pattern.parts.iter().any(capture);
    for public in routes.iter().filter(wide) {
        *left = left.saturating_sub(routes.len());
        // the first of a file is enough to ask
        if *left == 0 || asked.iter().any(|one| one.origin == public.origin) {
            continue;
        }
        let is_other = |other: &&Route| !matches!(other.effect, Effect::Public) && meet(&public.hosts, &other.hosts);
        let others: Vec<&Route> = routes.iter().copied().filter(is_other).collect();
        asked.extend(question(public, &others, left));
    }
}

/// The question about pages of public routes with captures, which take such a path where it has as many segments, or more
/// and the route ends in `{rest*}`.
fn captured(public: &Route, others: &[&Route], left: &mut usize) -> Option<Diagnostic> {
    for route in others.iter().filter(|other| matches!(other.effect, Effect::Checks { .. })) {
        let mut common = route.pattern.methods.iter().filter(|method| public.pattern.methods.contains(method));
        let Some(method) = common.next().cloned().map(|method| [method]) else { continue };
        let is_open = |parts: &[Part]| {
            takes_page(public, parts, &method) && !others.iter().any(|other| takes_page(other, parts, &method))
        };
        *left = left.saturating_sub(others.len());
        if *left == 0 {
            break;
        }
        let page = &route.pattern.parts;
        let literal = |word: &&str| Part::Literal((*word).to_owned());
        // what stands behind the others is no page, but an id
        let before = WAYS.iter().filter(|way| !functions::is_one(way));
        let before = before.map(|way| way.iter().map(literal).chain(page.iter().cloned()).collect::<Vec<_>>());
        let behind = LEAVES.iter().map(|leaf| page.iter().cloned().chain([literal(leaf)]).collect());
        let mut open: Vec<String> =
            before.chain(behind).filter(|parts| is_open(parts)).map(|parts| format!("`{}`", prefix(&parts))).collect();
        let endings =
            if public.service.suffixes == Some(Suffixes::Exact) { endings(route, is_open) } else { Vec::new() };
        if open.is_empty() && endings.is_empty() {
            continue;
        }
        let help = if open.is_empty() { SUFFIXES } else { "map each with `deny`, so that it is not the public page" };
        open.extend(endings);
        let message = format!(
            "`{}` is public, and some services give {} at {} too: does this one?",
            public.pattern,
            route.pattern,
            open.join(", ")
        );
        return Some(ask(public, message, help));
    }
    None
}

fn ask(public: &Route, message: String, help: &str) -> Diagnostic {
    let mut one = Diagnostic::error(&public.origin, message).warning().rule("route-second-way").help(help);
    one.line = public.line;
    one
}

/// The paths of a page with an ending that no other route takes. A capture that takes endings, too, is the route's own.
fn endings(route: &Route, is_open: impl Fn(&[Part]) -> bool) -> Vec<String> {
    let (before, last) = match route.pattern.parts.split_last() {
        Some((Part::Capture(_, Form::Any | Form::Name) | Part::Rest(_), _)) => return Vec::new(),
        Some((last, before)) => (before, Some(last)),
        None => (&[][..], None),
    };
    let mut open = Vec::new();
    for ending in ENDINGS {
        let page = match last {
            None if *ending != ".data" => continue,
            None => Part::Literal(format!("{ROOT}{ending}")),
            Some(Part::Literal(text)) => Part::Literal(format!("{text}{ending}")),
            Some(Part::OneOf(name, words)) => {
                Part::OneOf(name.clone(), words.iter().map(|word| format!("{word}{ending}")).collect())
            }
            // whatever it takes, and the ending
            Some(Part::Capture(name, _) | Part::Rest(name)) => Part::Capture(name.clone(), Form::Any),
        };
        let parts: Vec<Part> = before.iter().cloned().chain([page.clone()]).collect();
        if is_open(&parts) {
            let text = match page {
                Part::Literal(text) => format!("`{}/{text}`", prefix(before)),
                Part::OneOf(name, _) | Part::Capture(name, _) | Part::Rest(name) => {
                    format!("`{}/{{{name}}}{ending}`", prefix(before))
                }
            };
            open.push(text);
        }
    }
    open
}

/// Whether `other` takes every path of these parts, by these methods.
fn takes_page(other: &Route, wanted: &[Part], methods: &[String]) -> bool {
    let parts = &other.pattern.parts;
    let whole = |one: &Part, part: &Part| match (one, part) {
        (Part::Literal(a), Part::Literal(b)) => a == b,
        (_, Part::Capture(name, form)) if other.guards.shapes().all(|(of, _)| of != name) => match one {
            Part::Literal(text) => form.takes(text),
            Part::OneOf(_, words) => words.iter().all(|word| form.takes(word)),
            Part::Capture(_, own) => *form == Form::Any || form == own,
            Part::Rest(_) => false,
        },
        (Part::Literal(text), Part::OneOf(_, words)) => words.contains(text),
        (Part::OneOf(_, own), Part::OneOf(_, words)) => own.iter().all(|word| words.contains(word)),
        _ => false,
    };
    let by_these = methods.iter().all(|method| other.pattern.methods.contains(method));
    for (at, one) in wanted.iter().enumerate() {
        match (one, parts.get(at)) {
            (_, Some(Part::Rest(_))) => return by_these,
            // a route for everything below has the leaf in it
            (Part::Rest(_), _) => return false,
            (one, Some(part)) if whole(one, part) => {}
            _ => return false,
        }
    }
    by_these && parts.len() == wanted.len()
}

/// Whether a route is for requests of these methods that go the way, and for those alone.
fn takes(route: &Route, at: usize, way: &[&str], methods: &[String]) -> bool {
    let words = route.pattern.parts.get(at..).unwrap_or_default();
    let literal = |(part, word): (&Part, &&str)| matches!(part, Part::Literal(text) if text == word);
    words.len() > way.len()
        && words.iter().zip(way).all(literal)
        && matches!(words.get(way.len()), Some(Part::Rest(_)))
        && methods.iter().all(|method| route.pattern.methods.contains(method))
}

fn prefix(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Literal(text) => format!("/{text}"),
        Part::OneOf(name, _) | Part::Capture(name, _) | Part::Rest(name) => format!("/{{{name}}}"),
    };
    parts.iter().map(text).collect()
}

#[cfg(test)]
#[path = "second_tests.rs"]
mod tests;
