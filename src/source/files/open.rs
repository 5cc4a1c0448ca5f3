//! A file that is open for writing and has been changed, as far as the notifier reports.
//!
//! The system announces each close, so that such a file counts as open until its close is announced, or until the
//! system says that no process can write to it. Where it does not say, and announcements may have been lost (a queue
//! that overflowed, a watch that was set again) or nothing was opened in the first place (`truncate` by path), the
//! file is looked at instead: when it has not changed for [`DOUBT_QUIET`], it counts as closed.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::source::files::stamp::Stamp;
use crate::source::files::writers;

/// How long a file must look the same to count as closed, where its close may have been missed. Longer than
/// any pause of a writer that is well; too short would publish half of a file, too long only holds up.
pub(super) const DOUBT_QUIET: Duration = Duration::from_secs(10);

/// How much later than the change that cuts a file the open of that writer may be announced.
const OPEN_LAG: Duration = Duration::from_millis(50);

/// What is known of one.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) since: SystemTime,
    /// Whether it was written; else it was made, and is waited for while it is empty.
    written: bool,
    /// Whether it is part of the bundle, as far as is known.
    pub(super) counts: bool,
    /// Whether another has opened it since, so that the first close may not be the last.
    shared: bool,
    /// When it was first known, to distinguish the open of its writer from another.
    first: Instant,
    /// Whether the open of its writer may still be announced.
    owed: bool,
    /// Which file it is, if it was still there when it was first known.
    pub(super) place: Option<(u64, u64)>,
    /// Since when it has looked like this, where its close may have been missed.
    doubt: Option<(Instant, Option<Stamp>)>,
}

/// A file that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// Its path without links.
    pub(super) path: PathBuf,
    /// When it was first seen to be open.
    pub(super) since: SystemTime,
}

/// What a look at one found.
pub(super) struct Looked {
    pub(super) path: PathBuf,
    /// What is known now; `None` if it is not open any more.
    pub(super) open: Option<Open>,
    pub(super) unfinished: Option<Unfinished>,
    /// It is not at this path any more, and may come back by another.
    pub(super) away: Option<Open>,
}

// === impl Open ===

impl Open {
    /// A file that was changed.
    pub(super) fn written() -> Self {
        Self {
            since: SystemTime::now(),
            written: true,
            counts: true,
            shared: false,
            first: Instant::now(),
            owed: true,
            place: None,
            doubt: None,
        }
    }

    /// A file that was changed, though none is known to have opened it: perhaps it is not open.
    pub(super) fn perhaps_written() -> Self {
        Self { doubt: Some((Instant::now(), None)), ..Self::written() }
    }

    /// A file that was made and is open.
    pub(super) fn made() -> Self {
        Self { written: false, owed: false, ..Self::written() }
    }

    /// A file that was changed and was opened before, perhaps by several.
    pub(super) fn written_by(several: bool) -> Self {
        Self { owed: false, shared: several, ..Self::written() }
    }

    /// The same, as part of the bundle or not.
    pub(super) fn counting(self, counts: bool) -> Self {
        Self { counts, ..self }
    }

    /// It was opened or changed once more, so that its close is still to come.
    pub(super) fn again(&mut self, other: &Self) {
        self.written |= other.written;
        // one that is known to have been opened stays so
        self.doubt = self.doubt.and(other.doubt);
    }

    /// It was opened, be it to read or to write. Cutting a file is announced a moment before the open that cuts it.
    pub(super) fn opened(&mut self) {
        if std::mem::take(&mut self.owed) && self.first.elapsed() <= OPEN_LAG {
            self.doubt = None;
        } else {
            self.shared = true;
        }
    }

    /// A writer closed it; says whether it was the only one as far as is known.
    pub(super) fn closed(&mut self) -> bool {
        let alone = !std::mem::take(&mut self.shared);
        if !alone {
            self.doubt();
        }
        alone
    }

    /// Its close may have been missed.
    pub(super) fn doubt(&mut self) {
        self.doubt.get_or_insert((Instant::now(), None));
    }

    /// This look, unless more was heard of the file meanwhile.
    pub(super) fn since_then(self, known: &Self) -> Self {
        let heard_more = known.written != self.written
            || known.shared != self.shared
            || known.doubt.is_none() != self.doubt.is_none();
        if heard_more { known.clone() } else { self }
    }

    /// Looks at the file.
    pub(super) fn look(self, path: PathBuf) -> Looked {
        let written = writers::is_written(&path);
        self.look_at(path, written)
    }

    /// Looks at a file that the system says is `written` to, if it says anything.
    fn look_at(mut self, path: PathBuf, written: Option<bool>) -> Looked {
        let stamp = match fs::metadata(&path) {
            // another took its name
            Ok(metadata) if self.place.is_some_and(|place| place != Stamp::of(&metadata).place()) => {
                return Looked { path, open: None, unfinished: None, away: Some(self) };
            }
            Ok(metadata) => Some(Stamp::of(&metadata)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Looked { path, open: None, unfinished: None, away: Some(self) };
            }
            Err(_) => None,
        };
        if written == Some(false) {
            return Looked { path, open: None, unfinished: None, away: None };
        }
        if let (None, Some((since, before))) = (written, &mut self.doubt) {
            if *before != stamp {
                (*since, *before) = (Instant::now(), stamp);
            } else if since.elapsed() >= DOUBT_QUIET {
                return Looked { path, open: None, unfinished: None, away: None };
            }
        }
        let counts = self.written || stamp.is_none_or(|stamp| stamp.len == 0);
        let unfinished = counts.then(|| Unfinished { path: path.clone(), since: self.since });
        Looked { path, open: counts.then_some(self), unfinished, away: None }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = jiff::Timestamp::try_from(self.since).unwrap_or_default();
        write!(f, "this has been open for writing since {since:.0}, and is not closed yet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_been_missed_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let still_open = |open: &Open| open.clone().look_at(path.clone(), None).open.is_some();
        let mut open = Open::written();
        assert!(!still_open(&open), "it is gone");
        fs::write(&path, "").unwrap();
        assert!(still_open(&open) && still_open(&Open::made()));
        fs::write(&path, "x").unwrap();
        assert!(still_open(&open) && !still_open(&Open::made()), "a link to a whole file is made, and never closed");

        // doubted: for as long as it changes, and for some time after that
        open.doubt();
        let open = open.look_at(path.clone(), None).open.unwrap();
        let long_ago = Instant::now().checked_sub(DOUBT_QUIET).unwrap();
        let aged = |open: &Open| Open { doubt: open.doubt.map(|(_, stamp)| (long_ago, stamp)), ..open.clone() };
        assert!(still_open(&open) && !still_open(&aged(&open)));
        fs::write(&path, "xy").unwrap();
        assert!(still_open(&aged(&open)));
        // unless the system says
        assert!(aged(&open).look_at(path.clone(), Some(true)).open.is_some());
        assert!(Open::written().look_at(path.clone(), Some(false)).open.is_none());
        // changed without having been opened: doubted, until an open is heard of a moment later
        let mut unopened = Open::perhaps_written();
        assert!(still_open(&unopened) && unopened.doubt.is_some());
        unopened.again(&Open::perhaps_written());
        assert!(unopened.doubt.is_some());
        unopened.opened();
        assert!(unopened.doubt.is_none() && !unopened.shared);
        // the first of two closes says nothing of the other writer
        let mut shared = Open::written();
        shared.opened();
        assert!(shared.clone().closed(), "the open of its own writer");
        let mut second = shared.clone();
        second.opened();
        assert!(!second.closed(), "another, however soon it comes");
        shared.first = long_ago;
        shared.opened();
        assert!(!shared.closed() && still_open(&shared) && shared.doubt.is_some());
        assert!(shared.closed());
        // its open was heard of before its first change, however long before: what opens it then is another
        let mut known = Open::written_by(false);
        assert!(known.clone().closed());
        known.opened();
        assert!(!known.closed());
        assert!(!Open::written_by(true).closed());
        // heard of again: known to be open
        let mut again = aged(&open);
        again.again(&Open::written());
        assert!(still_open(&again));
    }
}
