//! Paths of a document that are for the same requests, or for some of the same.
//!
//! OpenAPI leaves it to the service which of two operations such a request is for. So it is neither here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::gateway::guard::Mask;
use crate::gateway::openapi::template::{Relation, Template};
use crate::gateway::openapi::{Operation, Outcome};

/// How many pairs of paths are compared: those of a document of 20 MB, and no document holds up a load for minutes.
const MOST_PAIRS: usize = 50_000_000;

/// How many other operations a route may be kept apart from: so many are looked at for one request.
const MOST_MASKS: usize = 64;

/// Refuses operations that are for the same requests as another of the document.
pub(super) fn refuse_the_same(templates: &[Template], operations: &mut [Operation]) {
    let mut found: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for (at, operation) in operations.iter().enumerate() {
        let Some(path) = templates.get(operation.path).map(Template::normal) else { continue };
        for (host, prefix) in bases(operation) {
            let of = found.entry((host, format!("{} {prefix}{path}", operation.method))).or_default();
            if of.last() != Some(&at) {
                of.push(at);
            }
        }
    }
    for same in found.into_values().filter(|same| same.len() > 1) {
        for (nth, at) in same.iter().enumerate() {
            let other = same.get(usize::from(nth == 0)).and_then(|other| operations.get(*other));
            let reason = other.map(|other| format!("{} is for the same requests", other.named));
            if let (Some(operation), Some(reason)) = (operations.get_mut(*at), reason)
                && matches!(operation.outcome, Outcome::Mapped { .. })
            {
                operation.outcome = Outcome::Refused(reason);
            }
        }
    }
}

/// Where an operation is served: hosts, `*` for all, and prefixes.
fn bases(operation: &Operation) -> impl Iterator<Item = (String, String)> {
    operation.heads.iter().flat_map(|head| {
        let hosts: Vec<String> = if head.hosts.is_empty() { vec!["*".to_owned()] } else { head.hosts.to_vec() };
        hosts.into_iter().flat_map(|host| head.prefixes.iter().map(move |prefix| (host.clone(), prefix.clone())))
    })
}

/// Keeps the requests that two operations could both be for from either. Returns what is to be told.
///
/// # Errors
/// If there are too many paths to compare.
pub(super) fn keep_apart(templates: &[Template], operations: &mut [Operation]) -> Result<Vec<String>, String> {
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); templates.len()];
    for (at, operation) in operations.iter().enumerate() {
        if let Some(of) = of.get_mut(operation.path) {
            of.push(at);
        }
    }
    // only paths of as many segments, at the same place, can be for the same requests
    let mut groups: BTreeMap<(String, String, usize), Vec<usize>> = BTreeMap::new();
    for (at, template) in templates.iter().enumerate() {
        let mut places: Vec<(String, String)> = of[at].iter().flat_map(|op| bases(&operations[*op])).collect();
        places.sort_unstable();
        places.dedup();
        for (host, prefix) in places {
            groups.entry((host, prefix, template.parts.len())).or_default().push(at);
        }
    }
    let mut pairs = 0_usize;
    let mut masks = Masks { of: &of, templates, operations, made: HashMap::new(), told: Vec::new() };
    for group in groups.values() {
        let mapped: Vec<bool> = group.iter().map(|at| masks.is_mapped(*at)).collect();
        for (first, a) in group.iter().enumerate() {
            for (second, b) in group.iter().enumerate().skip(first + 1) {
                if !mapped[first] && !mapped[second] {
                    continue;
                }
                pairs += 1;
                match templates[*a].relation(&templates[*b]) {
                    Relation::Apart | Relation::Same => {}
                    // the tree looks for the narrower one first
                    Relation::Narrower { told: true } | Relation::Wider { told: true } => {}
                    Relation::Narrower { told: false } => masks.keep_from(*b, *a, false),
                    Relation::Wider { told: false } => masks.keep_from(*a, *b, false),
                    Relation::Crossing => {
                        masks.keep_from(*a, *b, true);
                        masks.keep_from(*b, *a, true);
                    }
                }
            }
            if pairs > MOST_PAIRS {
                return Err(format!("{} paths are too many to tell which are for the same requests", templates.len()));
            }
        }
    }
    Ok(masks.told)
}

struct Masks<'a> {
    of: &'a [Vec<usize>],
    templates: &'a [Template],
    operations: &'a mut [Operation],
    made: HashMap<usize, Arc<Mask>>,
    told: Vec<String>,
}

impl Masks<'_> {
    fn is_mapped(&self, path: usize) -> bool {
        self.of[path].iter().any(|at| matches!(self.operations[*at].outcome, Outcome::Mapped { .. }))
    }

    /// Keeps the requests of `other` from the routes of `path`: from all, or from those whose method `other` has too.
    fn keep_from(&mut self, path: usize, other: usize, same_method: bool) {
        for at in &self.of[path] {
            let method = &self.operations[*at].method;
            let rival = self.of[other].iter().map(|at| &self.operations[*at]).find(|op| op.method == *method);
            let Some(named) = rival.or_else(|| {
                let first = self.of[other].first().map(|at| &self.operations[*at]);
                first.filter(|_| !same_method)
            }) else {
                continue;
            };
            let (named, own) = (named.named.clone(), self.operations[*at].named.clone());
            let mask = self.made.entry(other).or_insert_with(|| Arc::new(self.templates[other].mask(&named))).clone();
            let operation = &mut self.operations[*at];
            let Outcome::Mapped { guards, .. } = &mut operation.outcome else { continue };
            if !guards.except(mask) {
                continue;
            }
            if guards.others() > MOST_MASKS {
                let reason = format!("more than {MOST_MASKS} other paths are for some of its requests");
                operation.outcome = Outcome::Refused(reason);
            } else if same_method && own < named {
                let example = self.templates[path].example(&self.templates[other]);
                self.told
                    .push(format!("{own} and {named} are both for requests such as `{example}`: those are refused"));
            }
        }
    }
}
