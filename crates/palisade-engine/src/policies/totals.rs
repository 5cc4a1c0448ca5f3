//! What is counted over all policies: kept with the set, so that a change counts what it changes and not the others.

#[cfg(test)]
use std::sync::Arc;

#[cfg(test)]
use crate::ids::LinkIx;
#[cfg(test)]
use crate::policies::Linked;
use crate::policies::Policies;
use crate::site::{Kind, Site};

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

impl Policies {
    /// How many policies can decide: static ones and links, templates not.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.totals.deciding
    }

    /// How many of them forbid.
    #[must_use]
    pub(crate) fn forbid_count(&self) -> usize {
        self.totals.forbidding
    }

    /// Whether what is counted over all of them is what a count of each gives.
    #[cfg(test)]
    pub(crate) fn is_counted(&self) -> bool {
        let mut totals = Totals::default();
        self.sites.iter().for_each(|(_, site)| totals.add(site));
        let is_numbered = |(number, linked): (usize, &Arc<Linked>)| {
            let site = self.sites.get(linked.link.link_id.as_str());
            site.is_some_and(|site| site.kind == Kind::Link(LinkIx::from_raw(number as u32)))
        };
        let templates = self.sites.iter().filter(|(_, site)| site.kind == Kind::Template).count();
        totals == self.totals
            && self.links.iter().enumerate().all(is_numbered)
            && totals.deciding + templates == self.sites.len()
            && templates == self.templates.len()
    }

    /// Whether some policy may read `context.now`.
    #[must_use]
    pub(crate) fn reads_now(&self) -> bool {
        self.totals.reading_now > 0
    }
}
