//! `palisade test --coverage`: which parts of the policies the tests have seen hold, not hold, or fail.
//!
//! What each part of each policy gave is counted for every decision of a test: by Cedar's own evaluation, as far as
//! evaluation went. A part that was never reached is one that no test would miss.

mod html;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use palisade_engine::model::PolicyText;
use palisade_engine::{Outcomes, SeenPart, SeenPolicy, Sightings, Snapshot};

use crate::cli::terminal::{Tone, toned};

/// What the tests have seen of all policies; links count for their template.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Coverage {
    policies: BTreeMap<String, SeenPolicy>,
}

/// Collects from several threads.
#[derive(Debug, Default)]
pub(super) struct Collector(Mutex<Sightings>);

impl Collector {
    /// Adds what one thread has seen.
    pub(super) fn add(&self, seen: Sightings) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(seen);
    }

    /// All of it, with the policies of the bundle that were never met.
    pub(super) fn finish(self, base: &Snapshot) -> Coverage {
        let mut seen = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.know_all(base);
        Coverage::of(&seen)
    }
}

impl Coverage {
    fn of(seen: &Sightings) -> Self {
        Self { policies: seen.policies().map(|(id, seen)| (id.to_string(), seen.clone())).collect() }
    }

    /// Outcomes that were seen, and all there are: that a policy is in scope, and that a part holds and does not.
    #[must_use]
    pub fn outcomes(&self) -> (usize, usize) {
        self.policies
            .values()
            .map(SeenPolicy::outcomes)
            .fold((0, 0), |(seen, all), (of_it, more)| (seen + of_it, all + more))
    }

    /// How many of a hundred outcomes were seen; all, where there are none.
    #[must_use]
    pub fn percent(&self) -> f64 {
        match self.outcomes() {
            (_, 0) => 100.0,
            (seen, all) => seen as f64 * 100.0 / all as f64,
        }
    }

    /// Writes what was not seen, file by file, and how much was.
    pub(super) fn write(&self, color: bool, to: &mut dyn Write) -> io::Result<()> {
        for (id, policy) in self.sorted() {
            let unseen: Vec<&SeenPart> = policy.parts.iter().filter(|part| part.outcomes.seen() < 2).collect();
            if policy.in_scope > 0 && unseen.is_empty() {
                continue;
            }
            let line = policy.line.map(|line| format!(":{line}")).unwrap_or_default();
            writeln!(to, "{}{line}: {}", policy.file, toned(id, Tone::Strong, color))?;
            if policy.in_scope == 0 {
                writeln!(to, "  {}", toned("never in scope", Tone::Bad, color))?;
                continue;
            }
            for part in unseen {
                let place = part.place.as_ref().map(|at| format!("{}:{}  ", at.line, at.column)).unwrap_or_default();
                let text: Vec<&str> = part.text.split_whitespace().collect();
                writeln!(to, "  {place}{}  {}", toned(lacks(part), Tone::Bad, color), text.join(" "))?;
            }
        }
        let (seen, all) = self.outcomes();
        let in_scope = self.policies.values().filter(|policy| policy.in_scope > 0).count();
        let tone = if seen == all { Tone::Good } else { Tone::Bad };
        let percent = format!("{:.1} %", (self.percent() * 10.0).floor() / 10.0);
        writeln!(
            to,
            "coverage {}: {seen} of {all} outcomes, {in_scope} of {} policies in scope",
            toned(percent, tone, color),
            self.policies.len()
        )
    }

    /// Writes the form that `lcov` and many services read: a policy is a function, a part a branch of two.
    pub(super) fn write_lcov(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut files: BTreeMap<&str, Vec<(&str, usize, &SeenPolicy)>> = BTreeMap::new();
        for (id, policy) in self.sorted() {
            // what is not as it is written in its file has no lines
            if let Some(line) = policy.line {
                files.entry(&policy.file).or_default().push((id, line, policy));
            }
        }
        for (file, policies) in files {
            writeln!(to, "TN:\nSF:{}", file.trim_start_matches("./"))?;
            for (id, line, _) in &policies {
                writeln!(to, "FN:{line},{}", id.replace(['\n', ','], " "))?;
            }
            for (id, _, policy) in &policies {
                writeln!(to, "FNDA:{},{}", policy.in_scope, id.replace(['\n', ','], " "))?;
            }
            let hit = policies.iter().filter(|(_, _, policy)| policy.in_scope > 0).count();
            writeln!(to, "FNF:{}\nFNH:{hit}", policies.len())?;
            let mut lines: BTreeMap<usize, u64> = BTreeMap::new();
            let (mut branches, mut taken) = (0, 0);
            for (_, line, policy) in &policies {
                // of several parts in one line that which was evaluated most often
                let mut ran = |line: usize, times: u64| {
                    let known = lines.entry(line).or_default();
                    *known = times.max(*known);
                };
                ran(*line, policy.in_scope);
                for (block, part) in policy.parts.iter().enumerate() {
                    let Some(place) = &part.place else { continue };
                    let Outcomes { held, not, failed } = part.outcomes;
                    ran(place.line, held + not + failed);
                    for (branch, count) in [held, not].into_iter().enumerate() {
                        let count_text = if held + not + failed == 0 { "-".to_owned() } else { count.to_string() };
                        writeln!(to, "BRDA:{},{block},{branch},{count_text}", place.line)?;
                        branches += 1;
                        taken += usize::from(count > 0);
                    }
                }
            }
            writeln!(to, "BRF:{branches}\nBRH:{taken}")?;
            for (line, count) in &lines {
                writeln!(to, "DA:{line},{count}")?;
            }
            let hit = lines.values().filter(|count| **count > 0).count();
            writeln!(to, "LF:{}\nLH:{hit}\nend_of_record", lines.len())?;
        }
        Ok(())
    }

    /// In the order of their files and lines.
    fn sorted(&self) -> Vec<(&str, &SeenPolicy)> {
        let mut sorted: Vec<(&str, &SeenPolicy)> = self.policies.iter().map(|(id, policy)| (&**id, policy)).collect();
        sorted.sort_by_key(|(id, policy)| (&policy.file, policy.line, *id));
        sorted
    }
}

/// What was not seen of a part, in words.
fn lacks(part: &SeenPart) -> &'static str {
    match part.outcomes {
        Outcomes { held: 0, not: 0, failed: 0 } => "never reached",
        Outcomes { held: 0, not: 0, .. } => "failed only",
        Outcomes { held: 0, .. } => "never true",
        _ => "never false",
    }
}

/// Writes LCOV to a file.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_file(coverage: &Coverage, path: &Path) -> io::Result<()> {
    let mut out = Vec::new();
    coverage.write_lcov(&mut out)?;
    std::fs::write(path, out)
}

/// Writes a page of HTML to a file, with the source of the policies.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_page(coverage: &Coverage, policies: &[PolicyText], path: &Path) -> io::Result<()> {
    let sources = policies.iter().map(|text| (text.origin.as_str(), text.text.as_str())).collect();
    let mut out = Vec::new();
    html::write(coverage, &sources, &mut out)?;
    std::fs::write(path, out)
}
