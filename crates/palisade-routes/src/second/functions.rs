//! Functions that a service runs for any page, by an id behind a path of their own.

use super::{ask, prefix, takes_page};
use crate::pattern::{Form, Part};
use crate::route::{Effect, Route};
use palisade_engine::model::Diagnostic;

/// Where they stand, and how many segments may stand behind that: in SvelteKit, Astro, SolidStart and TanStack Start, and
/// parts of pages in Nuxt.
const FUNCTIONS: &[(&[&str], &[usize])] = &[
    (&["_app", "remote"], &[1, 2, 3]),
    (&["_actions"], &[1]),
    (&["_server"], &[0, 1]),
    (&["_serverFn"], &[1]),
    (&["__nuxt_island"], &[1]),
];

/// What these segments are called in a finding.
const NAMES: [&str; 3] = ["id", "name", "value"];

/// Whether functions stand behind a beginning of a path, and not pages.
pub(super) fn is_one(way: &[&str]) -> bool {
    FUNCTIONS.iter().any(|(known, _)| *known == way)
}

/// Whether the service of a public route with captures, beside routes that are checked, runs functions there.
pub(super) fn question(public: &Route, others: &[&Route]) -> Option<Diagnostic> {
    if !others.iter().any(|other| matches!(other.effect, Effect::Checks { .. })) {
        return None;
    }
    let parts = &public.pattern.parts;
    // an id is whatever the route takes there
    let form = |at: usize| match parts.get(at) {
        Some(Part::Capture(_, form @ (Form::Any | Form::Name))) => *form,
        _ => Form::Any,
    };
    let ways = FUNCTIONS.iter().flat_map(|(way, counts)| counts.iter().map(move |count| (way, *count)));
    let ways = ways.map(|(way, count)| {
        let literals = way.iter().map(|word| Part::Literal((*word).to_owned()));
        let ids = NAMES.iter().take(count).enumerate();
        let ids = ids.map(|(at, name)| Part::Capture((*name).to_owned(), form(way.len() + at)));
        literals.chain(ids).collect::<Vec<Part>>()
    });
    let is_open = |wanted: &Vec<Part>| {
        public.pattern.methods.iter().any(|method| {
            let method = [method.clone()];
            takes_page(public, wanted, &method) && !others.iter().any(|other| takes_page(other, wanted, &method))
        })
    };
    let open: Vec<String> = ways.filter(is_open).map(|parts| format!("`{}`", prefix(&parts))).collect();
    if open.is_empty() {
        return None;
    }
    let message = format!(
        "`{}` is public, and some services run functions of any page at {}: does this one?",
        public.pattern,
        open.join(", ")
    );
    Some(ask(public, message, "map each with `deny`, so that it is not the public page"))
}
