//! Paths of a document that are for the same requests, or for some of the same.
//!
//! OpenAPI leaves it to the service which of two operations such a request is for. So it is neither here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::openapi::template::{Relation, Template};
use crate::openapi::{Operation, Outcome};

/// How many pairs of paths are compared: those of a document of 20 MB, and no document holds up a load for minutes.
const MOST_PAIRS: usize = 50_000_000;

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

/// Says which operations are both for some requests. Those are refused: the table keeps them from either.
///
/// # Errors
/// If there are too many paths to compare.
pub(super) fn crossings(templates: &[Template], operations: &[Operation]) -> Result<Vec<String>, String> {
    let mut of: Vec<Vec<&Operation>> = vec![Vec::new(); templates.len()];
    for operation in operations {
        if let Some(of) = of.get_mut(operation.path) {
            of.push(operation);
        }
    }
    let is_mapped = |operation: &&&Operation| matches!(operation.outcome, Outcome::Mapped { .. });
    // paths at the same place
    let mut groups: BTreeMap<(String, String, usize), Vec<usize>> = BTreeMap::new();
    for (at, template) in templates.iter().enumerate() {
        let mut places: Vec<(String, String)> = of[at].iter().flat_map(|operation| bases(operation)).collect();
        places.sort_unstable();
        places.dedup();
        for (host, prefix) in places {
            groups.entry((host, prefix, template.parts.len())).or_default().push(at);
        }
    }
    let (mut pairs, mut told) = (0_usize, BTreeSet::new());
    for group in groups.values() {
        let mapped: Vec<bool> = group.iter().map(|at| of[*at].iter().any(|op| is_mapped(&op))).collect();
        for (first, a) in group.iter().enumerate() {
            for (second, b) in group.iter().enumerate().skip(first + 1) {
                if !mapped[first] && !mapped[second] {
                    continue;
                }
                pairs += 1;
                if templates[*a].relation(&templates[*b]) != Relation::Crossing {
                    continue;
                }
                for one in &of[*a] {
                    let Some(other) = of[*b].iter().find(|other| other.method == one.method) else { continue };
                    if is_mapped(&one) || is_mapped(&other) {
                        let example = templates[*a].example(&templates[*b]);
                        let (one, other) = (&one.named, &other.named);
                        let (one, other) = if one < other { (one, other) } else { (other, one) };
                        told.insert(format!(
                            "{one} and {other} are both for requests such as `{example}`: those are refused"
                        ));
                    }
                }
            }
            if pairs > MOST_PAIRS {
                return Err(format!("{} paths are too many to tell which are for the same requests", templates.len()));
            }
        }
    }
    Ok(told.into_iter().collect())
}
