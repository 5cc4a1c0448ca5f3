//! What is counted over all policies: kept with the set, so that a change counts what it changes and not the others.

use crate::policies::{Kind, Site};

/// Counts over a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Policies that can decide: static ones and links.
    pub deciding: usize,
    /// Those of them that forbid.
    pub forbidding: usize,
    /// Those of them that may read `context.now`.
    pub reading_now: usize,
    /// Bytes of the texts of policies and templates.
    pub bytes: usize,
    /// Words and signs of them; a link counts as one.
    pub tokens: usize,
    /// What validating all of them takes, in steps.
    pub steps: u64,
}

impl Totals {
    /// Counts one that comes.
    pub(super) fn add(&mut self, site: &Site) {
        let Self { deciding, forbidding, reading_now, bytes, tokens, steps } = Self::of(site);
        self.deciding += deciding;
        self.forbidding += forbidding;
        self.reading_now += reading_now;
        self.bytes += bytes;
        self.tokens += tokens;
        self.steps = self.steps.saturating_add(steps);
    }

    /// Counts one that goes.
    pub(super) fn take(&mut self, site: &Site) {
        let Self { deciding, forbidding, reading_now, bytes, tokens, steps } = Self::of(site);
        self.deciding -= deciding;
        self.forbidding -= forbidding;
        self.reading_now -= reading_now;
        self.bytes -= bytes;
        self.tokens -= tokens;
        self.steps = self.steps.saturating_sub(steps);
    }

    fn of(site: &Site) -> Self {
        let decides = site.kind != Kind::Template;
        let is_link = matches!(site.kind, Kind::Link(_));
        Self {
            deciding: usize::from(decides),
            forbidding: usize::from(decides && site.forbids),
            reading_now: usize::from(decides && site.reads_now),
            bytes: if is_link { 0 } else { site.span.len() },
            tokens: if is_link { 1 } else { site.tokens as usize },
            steps: site.steps,
        }
    }
}
