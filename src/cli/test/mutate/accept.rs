//! Mutants that may live: files named `*.mutants.yaml` among the tests, each a list of `{policy, mutant, why}`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use palisade_engine::model::hint_of_text;

use crate::cli::test::Fault;
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
            Err(error) => Err(Fault { line: None, message: format!("cannot be read: {error}") }),
        };
        if let Err(Fault { line, message }) = added {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            faults.push(format!("{shown}{line}: {message}"));
        }
    }
    if faults.is_empty() { Ok(accepted) } else { Err(faults) }
}

impl Accepted {
    fn add(&mut self, file: &str, text: &str) -> Result<(), Fault> {
        for node in node::parse(text)?.list("a file of accepted mutants")? {
            let (policy, mutant, why) = entry(node)?;
            let place = format!("{file}:{}", node.line);
            if let Some(first) = self.entries.get(&(policy.clone(), mutant.clone())) {
                return Err(Fault::at(node.line, format!("this mutant is accepted already, at {}", first.place)));
            }
            self.entries.insert((policy, mutant), Entry { why, place });
        }
        Ok(())
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

fn entry(node: &Node) -> Result<(String, String, String), Fault> {
    let (mut policy, mut mutant, mut why) = (None, None, None);
    for Member { key, line, value } in node.map("an accepted mutant")? {
        let place = match key.as_str() {
            "policy" => &mut policy,
            "mutant" => &mut mutant,
            "why" => &mut why,
            _ => {
                let hint = hint_of_text(key, KEYS);
                return Err(Fault::at(*line, format!("unknown key `{key}`; an accepted mutant has {KEYS}{hint}")));
            }
        };
        *place = Some(value.text(&format!("`{key}`"))?.to_owned());
    }
    let lacks = |what: &str| Fault::at(node.line, format!("the accepted mutant lacks `{what}`"));
    let why = why.filter(|why: &String| !why.trim().is_empty()).ok_or_else(|| lacks("why"))?;
    Ok((policy.ok_or_else(|| lacks("policy"))?, mutant.ok_or_else(|| lacks("mutant"))?, why))
}
