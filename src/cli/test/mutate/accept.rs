//! Mutants that may live: files named `*.mutants.yaml` among the tests, each a list of `{policy, mutant, why}`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use palisade_engine::model::{closest, hint_of_text};

use crate::cli::test::model::{Fault, Read, all};
use crate::cli::test::mutate::{Fate, Mutation};
use crate::cli::test::node::{self, Member, Node};

const KEYS: &str = "`policy`, `mutant` and `why`";

/// What their author lets live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli::test) struct Accepted {
    entries: HashMap<(String, String), Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    why: String,
    /// Where it is written.
    place: String,
}

/// Reads files of accepted mutants.
///
/// # Errors
/// Every fault of the files, with its place.
pub(in crate::cli::test) fn read<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<Accepted, Vec<String>> {
    let (mut accepted, mut faults) = (Accepted::default(), Vec::new());
    for path in paths {
        let shown = path.display();
        let added = match fs::read_to_string(path) {
            Ok(text) => accepted.add(&shown.to_string(), &text),
            Err(error) => Err(Fault { line: None, message: format!("cannot be read: {error}") }.into()),
        };
        for Fault { line, message } in added.err().into_iter().flatten() {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            faults.push(format!("{shown}{line}: {message}"));
        }
    }
    if faults.is_empty() { Ok(accepted) } else { Err(faults) }
}

impl Accepted {
    fn add(&mut self, file: &str, text: &str) -> Read<()> {
        all(node::parse(text)?.list("a file of accepted mutants")?.iter().map(|node| {
            let (policy, mutant, why) = entry(node)?;
            let place = format!("{file}:{}", node.line);
            if let Some(first) = self.entries.get(&(policy.clone(), mutant.clone())) {
                let message = format!("this mutant is accepted already, at {}", first.place);
                return Err(Vec::from(Fault::at(node.line, message)));
            }
            self.entries.insert((policy, mutant), Entry { why, place });
            Ok(())
        }))
    }

    /// Lets live what is accepted, and says what of it would not live, of the policies that are changed.
    pub(super) fn apply(&self, mutation: &mut Mutation, is_changed: impl Fn(&str) -> bool) {
        let mut used = Vec::new();
        for (mutant, fate) in &mut mutation.mutants {
            let key = (mutant.policy.to_string(), mutant.name.clone());
            let lives = matches!(fate, Fate::Survived(_) | Fate::Unseen(_) | Fate::NotToldApart(_));
            if let Some(entry) = self.entries.get(&key).filter(|_| lives) {
                *fate = Fate::Accepted(entry.why.clone());
                used.push(key);
            }
        }
        let unused = self.entries.iter().filter(|(key, _)| is_changed(&key.0) && !used.contains(key));
        let mut stale: Vec<String> = unused
            .map(|((policy, mutant), entry)| {
                format!("{}: no mutant of `{policy}` lives that is called {mutant}: take the entry out", entry.place)
            })
            .collect();
        stale.sort_unstable();
        mutation.stale = stale;
    }
}

fn entry(node: &Node) -> Read<(String, String, String)> {
    let [mut policy, mut mutant, mut why] = [None, None, None];
    let (mut faults, mut meant) = (Vec::new(), Vec::new());
    for Member { key, line, value } in node.map("an accepted mutant")? {
        let near = ["policy", "mutant", "why"].into_iter().find(|name| name == key).or_else(|| {
            let hint = hint_of_text(key, KEYS);
            faults.push(Fault::at(*line, format!("unknown key `{key}`; an accepted mutant has {KEYS}{hint}")));
            closest(key, ["policy", "mutant", "why"])
        });
        let place = match near {
            Some("policy") => &mut policy,
            Some("mutant") => &mut mutant,
            Some(_) => &mut why,
            None => continue,
        };
        // what is wrong is not missing, too
        meant.extend(near);
        *place = value.text(&format!("`{key}`")).map_err(|fault| faults.push(fault)).ok().map(str::to_owned);
    }
    if why.as_ref().is_some_and(|why| why.trim().is_empty()) {
        faults.push(Fault::at(node.line, "`why` is empty: say why this mutant may live"));
    }
    for name in ["policy", "mutant", "why"].into_iter().filter(|name| !meant.contains(name)) {
        faults.push(Fault::at(node.line, format!("the accepted mutant lacks `{name}`")));
    }
    match (policy, mutant, why) {
        (Some(policy), Some(mutant), Some(why)) if faults.is_empty() => Ok((policy, mutant, why)),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_file_is_found() {
        for (text, expected) in [
            ("- {policy: a, mutant: m, why: w}\n- {policy: b, mutant: m, why: w}", &[][..]),
            (
                "- {polcy: a, mutant: 3}\n- 7\n- {policy: a, mutant: m, why: ' '}\n- {x: 1}",
                &[
                    "1: unknown key `polcy`",
                    "1: `mutant` must be a text, not a number",
                    "1: the accepted mutant lacks `why`",
                    "2: an accepted mutant must be a mapping",
                    "3: `why` is empty",
                    "4: unknown key `x`",
                    "4: the accepted mutant lacks `policy`",
                    "4: the accepted mutant lacks `mutant`",
                    "4: the accepted mutant lacks `why`",
                ],
            ),
            (
                "- {policy: a, mutant: m, why: w}\n- {policy: a, mutant: m, why: v}\n- {policy: a, mutant: m, why: u}",
                &["2: this mutant is accepted already, at f:1", "3: this mutant is accepted already, at f:1"],
            ),
            ("policy: a", &["1: a file of accepted mutants must be a list"]),
        ] {
            let faults = Accepted::default().add("f", text).err().unwrap_or_default();
            let found: Vec<String> =
                faults.iter().map(|fault| format!("{}: {}", fault.line.unwrap(), fault.message)).collect();
            let is_expected = found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
            assert!(is_expected, "{text}: {found:#?}");
        }
    }
}
