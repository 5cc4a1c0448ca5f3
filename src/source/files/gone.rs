//! What was loaded and is no longer there, and since when.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use crate::source::files::caution::place;
use crate::source::files::names::Role;
use crate::source::files::scan::Scan;

/// By origin. A directory that was named counts as one, with all that was in it.
#[derive(Debug, Default)]
pub(super) struct Gone(BTreeMap<String, Instant>);

impl Gone {
    /// Notes what a look that ended at `now` lacks of what was `good`; gives what has been missing for the shortest time,
    /// and since when. `None` if nothing is missing, or if the look does not say.
    pub(super) fn note(&mut self, good: &Scan, look: &Scan, now: Instant) -> Option<(&str, Instant)> {
        let before = std::mem::take(&mut self.0);
        if look.problems.len() > look.missing.len() {
            // a directory that cannot be read says nothing of its files
            return None;
        }
        let there: HashSet<(Role, &str)> = look.files.iter().filter(|file| file.stamp.len > 0).map(place).collect();
        let files = good.files.iter().filter(|file| file.stamp.len > 0 && !there.contains(&place(file)));
        let files = files.map(|file| file.origin.as_str()).filter(|origin| !look.is_below_missing(origin));
        for origin in files.chain(look.missing.iter().map(String::as_str)) {
            let since = before.get(origin).copied().unwrap_or(now);
            self.0.insert(origin.to_owned(), since);
        }
        self.0.iter().map(|(origin, since)| (origin.as_str(), *since)).max_by_key(|(_, since)| *since)
    }
}
