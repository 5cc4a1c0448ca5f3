//! The writer and its store: what is committed before it is published, and what a start finds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::state::loads::{Built, prepare};
use crate::state::rules::{Had, forbids_removed, names_of};
use crate::state::store::{Put, Restored};
use crate::state::writer::{Writer, isolated, no_thread};
use crate::state::{AnswerKey, Applied, Origin, Rejected};
use palisade_engine::model::{Bundle, Diagnostic, Digest, PolicyId, Revision};
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
        applied: &Applied,
        digest: Digest,
        bundle: Option<Arc<Bundle>>,
        origin: Origin,
        key: Option<&AnswerKey>,
    ) -> Result<(), Rejected> {
        let counter = applied.revision.counter;
        let bundle = bundle.filter(|_| self.store.is_some() && origin == Origin::Bundle);
        // files that wait to be read must not undo at the next start what is acknowledged here
        let seen = bundle.as_ref().and_then(|_| self.look());
        let Some(store) = &mut self.store else { return Ok(()) };
        let done = match &bundle {
            Some(bundle) => store.put(&Put {
                counter,
                bundle,
                refused: self.refused_files,
                seen: seen.as_deref(),
                answer: key.map(|key| (key, applied)),
            }),
            None => store.loaded(counter, digest),
        };
        self.note_store();
        match done {
            Ok(()) => {
                // a bundle that was put is all there is
                (self.restored, self.refused_files) = (None, None);
                (self.base, self.seen) = (Some(bundle.map_or(Origin::Files, |_| Origin::Bundle)), seen);
                Ok(())
            }
            // files are tried again
            Err(why) if origin == Origin::Files => Err(self.refused(cannot_keep(why), origin)),
            Err(why) => Err(Rejected::Store(why)),
        }
    }

    /// Makes an answer durable that came of no change, where there is a store.
    pub(super) fn keep_answer(&mut self, applied: &Applied, key: Option<&AnswerKey>) -> Result<(), Rejected> {
        let (Some(store), Some(key)) = (&mut self.store, key) else { return Ok(()) };
        let mut commit = Commit::new(applied.revision.counter);
        store.keep(&mut commit, key, applied);
        self.commit(&[commit]).map_err(Rejected::Store)
    }

    /// Makes durable how the files were when a bundle was put, where the store has it.
    pub(super) fn keep_seen(&mut self, seen: Vec<u8>) {
        if let Some(store) = self.store.as_mut().filter(|_| self.base == Some(Origin::Bundle)) {
            store.saw(&seen);
            self.note_store();
            self.seen = Some(seen);
        }
    }

    /// The first look at the files: what they hold is the base if it differs from what was loaded last; else the base is
    /// what the store says. What changes brought stays, above either. If the files cannot be the base, what a request put
    /// goes on as it was.
    pub(super) fn resume(
        &mut self,
        bundle: Bundle,
        digest: Digest,
        mut restored: Restored,
        submitted: Instant,
        warnings: Vec<Diagnostic>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Rejected> {
        let was_put = restored.base == Some(BaseOrigin::Put);
        let same_files = restored.files.as_deref() == Some(digest.as_bytes().as_slice());
        let documents = Had::documents_of(&names_of(&bundle));
        let resume = || {
            if was_put && same_files {
                self.publish_stored(&mut restored, submitted, warnings, unwanted)
            } else {
                self.publish_loaded(bundle, digest, &mut restored, submitted, warnings, unwanted)
            }
        };
        let resumed = match catch_unwind(AssertUnwindSafe(resume)) {
            Ok(resumed) => resumed,
            Err(panic) => {
                // without what was restored, the files that come next would serve without acknowledged changes
                self.restored = Some(restored);
                resume_unwind(panic)
            }
        };
        match resumed {
            Ok(applied) => {
                self.files_had.documents = documents;
                Ok(applied)
            }
            Err(_) if unwanted() => {
                self.restored = Some(restored);
                Err(Rejected::Abandoned)
            }
            Err(problems) => {
                let stored = was_put && !same_files && {
                    self.known_files = Some(restored.files.clone().unwrap_or_default());
                    self.publish_stored(&mut restored, submitted, Vec::new(), unwanted).is_ok()
                };
                if !stored {
                    // the next look is the first
                    self.restored = Some(restored);
                }
                self.refused_files = Some(digest);
                Err(self.refused(problems, Origin::Files))
            }
        }
    }

    /// The files cannot be read: what a request put is there all the same.
    pub(super) fn resume_without_files(&mut self) {
        let Some(mut restored) = self.restored.take_if(|restored| restored.base == Some(BaseOrigin::Put)) else {
            return;
        };
        self.known_files = Some(restored.files.clone().unwrap_or_default());
        let shared = self.shared.clone();
        let stopping = || shared.stopping.load(Ordering::Acquire);
        if let Err(problems) = self.publish_stored(&mut restored, Instant::now(), Vec::new(), &stopping) {
            self.restored = Some(restored);
            let _ = self.refused(problems, Origin::Bundle);
        }
    }

    /// Publishes the base that a request put, and what changes brought.
    fn publish_stored(
        &mut self,
        restored: &mut Restored,
        submitted: Instant,
        warnings: Vec<Diagnostic>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Vec<Diagnostic>> {
        let put = restored.bundle().map_err(|error| {
            let help = "put a backup in the place of the store (`palisade store restore`), or move it away";
            let message = format!("the bundle that was put cannot be read: {error}");
            vec![Diagnostic::error("store", message).help(help)]
        })?;
        let serves = Digest::of(&put);
        let revision = self.resumed_at(restored, restored.fresh.is_none());
        let (built, _) = self.upon(put, restored, revision, Origin::Bundle, unwanted)?;
        if revision != restored.revision {
            // under an incarnation of its own the same state has a counter of its own
            self.commit(&[Commit::new(revision.counter)]).map_err(cannot_keep)?;
        }
        self.base = Some(Origin::Bundle);
        Ok(self.resumed(built, serves, Origin::Bundle, submitted, warnings))
    }

    /// Publishes what files hold, and what changes brought.
    fn publish_loaded(
        &mut self,
        bundle: Bundle,
        digest: Digest,
        restored: &mut Restored,
        submitted: Instant,
        warnings: Vec<Diagnostic>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Vec<Diagnostic>> {
        let same = restored.files.as_deref() == Some(digest.as_bytes().as_slice());
        let revision = self.resumed_at(restored, same && restored.fresh.is_none() && restored.base.is_some());
        let built = self.upon(bundle, restored, revision, Origin::Files, unwanted);
        let (mut built, of_files) =
            built.map_err(|problems| problems.into_iter().chain(warnings.clone()).collect::<Vec<_>>())?;
        if revision != restored.revision
            && let Some(store) = &mut self.store
        {
            let done = store.loaded(revision.counter, digest);
            self.note_store();
            done.map_err(cannot_keep)?;
        }
        self.files_had.entities = of_files;
        if restored.base == Some(BaseOrigin::Put) {
            built.forbids_removed = self.forbids_dropped(restored, &built, unwanted);
        }
        (self.base, self.seen) = (Some(Origin::Files), None);
        Ok(self.resumed(built, digest, Origin::Files, submitted, warnings))
    }

    /// Says that files replace a bundle that was put; the `forbid`s that decided and will not.
    fn forbids_dropped(
        &self,
        restored: &mut Restored,
        built: &Built,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Vec<PolicyId> {
        tracing::warn!(
            "files replace the bundle that a request put before this start: they are not as they were then; if that is not \
             meant, put the bundle again"
        );
        let unread = |why: &str| {
            tracing::warn!("which of its `forbid` policies are gone with it is not known: {why}");
            Vec::new()
        };
        let put = match restored.bundle() {
            Ok(put) => put,
            Err(error) => return unread(&error.to_string()),
        };
        let put = self.upon(put, restored, restored.revision, Origin::Bundle, unwanted);
        match put.and_then(|(put, _)| isolated(|| Ok(forbids_removed(&put.snapshot, &built.snapshot)))) {
            Ok(removed) => removed,
            Err(problems) => unread(&problems.first().map_or_else(String::new, |first| first.message.clone())),
        }
    }

    /// The revision of what is published first: that of the run before, if nothing is otherwise.
    fn resumed_at(&self, restored: &Restored, is_same: bool) -> Revision {
        let Revision { incarnation, counter } = restored.revision;
        Revision { incarnation, counter: counter + u64::from(!is_same) }
    }

    /// Builds a base and puts what changes brought upon it; also how many entities the base has.
    fn upon(
        &self,
        bundle: Bundle,
        restored: &Restored,
        revision: Revision,
        origin: Origin,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Built, usize), Vec<Diagnostic>> {
        let missing = self.files_had.missing_from(&names_of(&bundle));
        let built = prepare(Arc::new(bundle), &self.builder, revision, unwanted)?;
        let entities = built.snapshot.entity_count();
        let built = self.not_empty(built, origin, &missing, entities)?;
        if restored.words() == 0 {
            return Ok((built, entities));
        }
        let snapshot = isolated(|| {
            on_big_stack(|| restored.upon(&built.snapshot, &unwanted))
                .unwrap_or_else(|error| Err(vec![no_thread(&error)]))
        })?;
        Ok((Built { snapshot, ..built }, entities))
    }

    fn resumed(
        &mut self,
        mut built: Built,
        serves: Digest,
        origin: Origin,
        submitted: Instant,
        warnings: Vec<Diagnostic>,
    ) -> Applied {
        built.warnings.splice(0..0, warnings);
        let is_base = built.snapshot.overlay().is_empty();
        self.note_serves([is_base.then_some(serves), None]);
        self.shared.board.layers(built.snapshot.overlay(), 0);
        self.publish(built, origin, submitted)
    }

    /// Whether files are those that were loaded before what was put, when they could not be read at the start.
    pub(super) fn knows_files(&mut self, digest: Digest, as_put: Option<bool>) -> bool {
        self.known_files.take().is_some_and(|known| as_put.unwrap_or(known == digest.as_bytes()))
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

/// A store that cannot take what is about to be published, which is tried again.
fn cannot_keep(why: String) -> Vec<Diagnostic> {
    vec![Diagnostic::error("store", why).passing()]
}
