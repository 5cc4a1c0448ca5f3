//! Work that may hang: what is under way, and since when.
//!
//! A file system that does not answer keeps the thread that asks it, and that thread can report nothing. So the thread
//! notes what it is about to do, and the status and the metrics show that it takes long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::labels::Work;

/// What takes longer than this is reported.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// What is under way, of each kind at most once.
#[derive(Debug, Default)]
pub struct Works {
    // std Mutex: held for an assignment or a copy
    since: [Mutex<Option<Instant>>; Work::ALL.len()],
}

/// Ends the work that it was begun for.
#[derive(Debug)]
#[must_use = "the work is over when its guard is dropped"]
pub struct UnderWay<'a> {
    works: &'a Works,
    work: Work,
}

// === impl Works ===

impl Works {
    fn lock(&self, work: Work) -> MutexGuard<'_, Option<Instant>> {
        self.since[work as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that work begins.
    pub fn begin(&self, work: Work) -> UnderWay<'_> {
        *self.lock(work) = Some(Instant::now());
        UnderWay { works: self, work }
    }

    /// Notes what another part knows: since when work has been under way, if it is.
    pub fn note(&self, work: Work, since: Option<Instant>) {
        *self.lock(work) = since;
    }

    /// How long work has been under way; zero if it is not.
    #[must_use]
    pub fn lasts(&self, work: Work) -> Duration {
        self.lock(work).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What has been under way for longer than `LONG`, in words.
    #[must_use]
    pub fn overdue(&self) -> Vec<String> {
        self.longer_than(LONG)
    }

    fn longer_than(&self, long: Duration) -> Vec<String> {
        let told = |work: &Work| {
            let lasts = self.lasts(*work);
            (lasts > long).then(|| format!("{} for {} s", work.meaning(), lasts.as_secs()))
        };
        Work::ALL.iter().filter_map(told).collect()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.works.lock(self.work) = None;
    }
}

impl Work {
    fn meaning(self) -> &'static str {
        match self {
            Self::Load => "the bundle's files have been read (a file system may not answer)",
            Self::Look => "the bundle's files have been looked at for changes (a file system may not answer)",
            Self::Build => "a change has been built",
            Self::Identity => "the files of keys and API tokens have been read (a file system may not answer)",
            Self::AdminTokens => "`admin.token_file` has been read (a file system may not answer)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_reported_until_it_ends() {
        let works = Works::default();
        let long = Duration::from_millis(20);
        let under_way = works.begin(Work::Load);
        assert_eq!(works.overdue(), [""; 0]);
        std::thread::sleep(long * 2);
        let told = works.longer_than(long);
        assert!(
            told.len() == 1 && told[0].contains("files have been read") && told[0].ends_with("for 0 s"),
            "{told:?}"
        );
        assert!(works.lasts(Work::Load) > long && works.lasts(Work::Build).is_zero());
        drop(under_way);
        assert_eq!(works.longer_than(Duration::ZERO), [""; 0]);
    }
}
