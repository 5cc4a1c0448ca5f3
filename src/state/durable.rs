//! The writer and its store: what is committed before it is published, and what a start finds.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Instant;

use crate::state::rules::Had;
use crate::state::store::Restored;
use crate::state::writer::{Built, Writer, isolated, no_thread};
use crate::state::{Applied, Origin, Rejected};
use palisade_engine::model::{Bundle, Diagnostic, Digest, Revision};
use palisade_engine::on_big_stack;
use palisade_journal::{Commit, Origin as BaseOrigin};

impl Writer {
    /// Whether what was acknowledged is on the disk.
    pub(super) fn is_durable(&self) -> bool {
        self.store.as_ref().is_some_and(crate::state::store::Store::is_durable)
    }

    /// Makes transactions durable, where there is a store.
    pub(super) fn commit(&mut self, commits: &[Commit]) -> Result<(), String> {
        let Some(store) = self.store.as_mut().filter(|_| !commits.is_empty()) else { return Ok(()) };
        let done = store.commit(commits);
        self.note_store();
        done
    }

    /// Makes a new base durable, where there is a store.
    pub(super) fn keep_base(
        &mut self,
        counter: u64,
        digest: Digest,
        bundle: Option<Arc<Bundle>>,
        origin: Origin,
    ) -> Result<(), Rejected> {
        let Some(store) = &mut self.store else { return Ok(()) };
        let done = match bundle {
            Some(bundle) if origin == Origin::Bundle => store.put(counter, &bundle),
            _ => store.loaded(counter, digest),
        };
        self.note_store();
        match done {
            Ok(()) => {
                // a bundle that was put is all there is
                self.restored = None;
                Ok(())
            }
            // files are tried again
            Err(why) if origin == Origin::Files => {
                Err(self.refused(vec![Diagnostic::error("store", why).passing()], origin))
            }
            Err(why) => Err(Rejected::Store(why)),
        }
    }

    /// The first look at the files: what they hold is the base if it differs from what was loaded last; else the base is
    /// what the store says. What changes brought stays, above either.
    pub(super) fn resume(
        &mut self,
        bundle: Bundle,
        digest: Digest,
        mut restored: Restored,
        submitted: Instant,
        warnings: Vec<Diagnostic>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Rejected> {
        let resumed = self.resume_with(bundle, digest, &mut restored, submitted, warnings, unwanted);
        if resumed.is_err() && self.restored.is_none() {
            // the next look is the first
            self.restored = Some(restored);
        }
        resumed
    }

    fn resume_with(
        &mut self,
        bundle: Bundle,
        digest: Digest,
        restored: &mut Restored,
        submitted: Instant,
        warnings: Vec<Diagnostic>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Rejected> {
        let same_files = restored.files.as_deref() == Some(digest.as_bytes().as_slice());
        let was_put = same_files && restored.base == Some(BaseOrigin::Put);
        let documents = Had::documents_of(&bundle);
        let origin = if was_put { Origin::Bundle } else { Origin::Files };
        let (bundle, serves) = if was_put {
            let put = restored.bundle().map_err(|error| {
                let help = "put a backup in the place of the store (`palisade store restore`), or move it away";
                let message = format!("the bundle that was put cannot be read: {error}");
                self.refused(vec![Diagnostic::error("store", message).help(help)], Origin::Files)
            })?;
            let digest = Digest::of(&put);
            (put, digest)
        } else {
            (bundle, digest)
        };
        // nothing is otherwise than when the run before ended
        let is_same = same_files && restored.fresh.is_none() && restored.base.is_some();
        let counter = restored.revision.counter + u64::from(!is_same);
        let revision = Revision { counter, ..restored.revision };
        let missing = self.files_had.missing_from(&bundle);
        let built = self.build(Arc::new(bundle), revision, unwanted);
        let built = built.and_then(|built| self.not_empty(built, origin, &missing));
        let built = built.and_then(|built| {
            if restored.words() == 0 {
                return Ok(built);
            }
            let upon = isolated(|| {
                on_big_stack(|| restored.upon(&built.snapshot, &unwanted))
                    .unwrap_or_else(|error| Err(vec![no_thread(&error)]))
            });
            Ok(Built { snapshot: upon?, ..built })
        });
        let mut built = match built {
            Ok(built) => built,
            Err(_) if unwanted() => return Err(Rejected::Abandoned),
            Err(problems) => return Err(self.refused(problems.into_iter().chain(warnings).collect(), Origin::Files)),
        };
        built.warnings.splice(0..0, warnings);
        if same_files && !is_same {
            // under an incarnation of its own the same state has a counter of its own
            self.commit(&[Commit::new(counter)])
                .map_err(|why| self.refused(vec![Diagnostic::error("store", why).passing()], Origin::Files))?;
        } else if !is_same {
            self.keep_base(counter, digest, None, Origin::Files)?;
        }
        let is_base = built.snapshot.overlay().is_empty();
        (self.serves, self.serves_too) = (is_base.then_some(serves), None);
        self.files_had.documents = documents;
        self.shared.board.layers(built.snapshot.overlay(), 0);
        Ok(self.publish(built, origin, submitted))
    }

    /// Does what the store needs now and then.
    pub(super) fn tend(&mut self) {
        let Some(store) = &mut self.store else { return };
        let seen = self.shared.skipped.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut is_news = seen.is_some();
        if let Some(digest) = seen {
            store.saw_files(digest);
        }
        is_news |= store.tend();
        if is_news {
            self.note_store();
        }
    }

    /// Shows readers of the status how the store is.
    pub(super) fn note_store(&self) {
        if let Some(store) = &self.store {
            let status = store.status();
            self.metrics.store_bytes.set(i64::try_from(status.counts.bytes).unwrap_or(i64::MAX));
            self.metrics.store_commits.inc_by(status.counts.commits.saturating_sub(self.metrics.store_commits.get()));
            self.metrics.store_failing.set(i64::from(status.problem.is_some()));
            self.shared.board.store(status);
        }
    }

    /// Ends the store cleanly; no change is taken after that.
    pub(super) fn close(&mut self) {
        if let Some(store) = self.store.take() {
            store.close();
            self.closed = true;
        }
    }
}
