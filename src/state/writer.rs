//! The one thread that builds and publishes snapshots.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::state::ahead::Ahead;
use crate::state::beside::{Beside, Builder, Bulk, Load};
use crate::state::group::is_small;
use crate::state::loads::Built;
use crate::state::queue::Held;
use crate::state::recent::Event;
use crate::state::rules::{Had, LoadRules};
use crate::state::store::{Opened, Restored, Store};
use crate::state::{AnswerKey, Applied, Expected, Origin, Published, Rejected, Shared};
use crate::telemetry::{Metrics, events, start_thread, supervised};
use palisade_engine::model::{Bundle, Diagnostic, Digest, Revision, Tally, Transaction};
use palisade_engine::{EngineSettings, Observers};

/// Cedar reads the values of changes, which may be nested.
const STACK: usize = 64 << 20;

/// What the writer is asked to do.
pub(super) enum Order {
    /// Make a transaction.
    Transact(Box<Command<Transaction>>),
    /// Replace everything.
    Replace(Box<Command<Bundle>>),
    /// Publish a bundle that was built beside.
    Loaded(Box<Load>),
    /// Publish a transaction that was made beside.
    Made(Box<Bulk>),
    /// Write records of such a transaction ahead of its commit.
    Ahead(Ahead),
    /// The files cannot be read at the start: publish what the store has, if that can do without them. Dropped once that
    /// is done.
    Resume(mpsc::SyncSender<()>),
    /// End the store cleanly, and take no more changes. Dropped once that is done.
    Close(mpsc::SyncSender<()>),
}

/// A change on its way to the writer: a transaction or a bundle. The two have ways of their own.
pub(super) struct Command<C> {
    pub(super) submitted: Submitted<C>,
    /// Closed once its sender has left.
    pub(super) reply: oneshot::Sender<Result<Applied, Rejected>>,
    /// When it was handed in.
    pub(super) at: Instant,
}

/// A change as it was handed in.
pub(super) struct Submitted<C> {
    pub(super) change: C,
    /// What must serve when its turn has come.
    pub(super) expected: Vec<Expected>,
    pub(super) origin: Origin,
    /// How many changes of the API had been acknowledged when the files were read that it is of, if it is of files.
    pub(super) read_at: Option<u64>,
    /// Whether they are as they were when the bundle was put that the store had at the start, where that is known.
    pub(super) as_put: Option<bool>,
    /// The warnings of its reader.
    pub(super) warnings: Vec<Diagnostic>,
    /// Its bytes, if they count.
    pub(super) held: Option<Held>,
    /// Whether nothing is to be published.
    pub(super) dry_run: bool,
    /// What its answer is kept under.
    pub(super) key: Option<AnswerKey>,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) builder: Builder,
    pub(super) beside: Beside,
    pub(super) rules: LoadRules,
    pub(super) metrics: Arc<Metrics>,
    /// What entities the files had when they last took effect.
    pub(super) files_had: Had,
    /// Publications so far.
    pub(super) counter: u64,
    /// What files changed and changes of the API hide, by name.
    pub(super) shadowed: BTreeSet<String>,
    /// What makes changes durable.
    pub(super) store: Option<Store>,
    /// What it held, until the files were looked at first.
    pub(super) restored: Option<Restored>,
    /// The files that were loaded before what the store had put, if they could not be read at the start.
    pub(super) known_files: Option<Vec<u8>>,
    /// The files that were refused last, if none were loaded since: a bundle that is put is later than they.
    pub(super) refused_files: Option<Digest>,
    /// Who brought the base that the store has, once something was published.
    pub(super) base: Option<Origin>,
    /// How the files were when the bundle was put that the store has as the base, where that is known.
    pub(super) seen: Option<Vec<u8>>,
    /// The store was closed: the process ends.
    pub(super) closed: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: EngineSettings,
        rules: LoadRules,
        observers: Observers,
        metrics: Arc<Metrics>,
        opened: Option<Opened>,
    ) -> std::io::Result<Self> {
        let (store, restored) = match opened {
            Some(Opened { store, restored, .. }) => (Some(store), Some(restored)),
            None => (None, None),
        };
        let stores = store.is_some();
        let seen = restored.as_ref().and_then(|restored| restored.seen_at_put().cloned());
        let builder = Builder { shared: shared.clone(), settings, rules, observers, metrics: metrics.clone(), stores };
        Ok(Self {
            shared,
            beside: Beside::start(&builder)?,
            builder,
            rules,
            metrics,
            files_had: Had::default(),
            counter: restored.as_ref().map_or(0, |restored| restored.revision.counter),
            shadowed: BTreeSet::new(),
            store,
            restored,
            known_files: None,
            base: None,
            seen,
            refused_files: None,
            closed: false,
        })
    }

    pub(super) fn start(mut self, queue: mpsc::Receiver<Order>) -> std::io::Result<()> {
        self.note_store();
        let work = supervised("palisade-writer", self.metrics.clone(), move || self.run(&queue));
        start_thread("palisade-writer", Some(STACK), work)?;
        Ok(())
    }

    fn run(&mut self, queue: &mpsc::Receiver<Order>) {
        let mut next = None;
        while let Some(order) = next.take().or_else(|| self.wait(queue)) {
            match order {
                Order::Transact(command) if is_small(&command) => next = self.transactions(command, queue),
                Order::Transact(command) => self.beside.bulk(Bulk::new(*command)),
                Order::Replace(command) => self.begin_load(Load::new(*command)),
                Order::Loaded(load) => self.loaded(load),
                Order::Made(bulk) => self.made(bulk),
                Order::Ahead(order) => self.ahead(order),
                Order::Resume(done) => {
                    self.resume_without_files();
                    drop(done);
                }
                Order::Close(done) => {
                    self.close();
                    drop(done);
                }
            }
        }
        self.close();
    }

    /// The next order; none once no one can give any. What the store needs is done meanwhile.
    fn wait(&mut self, queue: &mpsc::Receiver<Order>) -> Option<Order> {
        loop {
            self.tend();
            let Some(store) = &self.store else { return queue.recv().ok() };
            match queue.recv_timeout(store.patience()) {
                Ok(order) => return Some(order),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// The files are looked at: as they are now, they must not undo the change. What comes after the look is later.
    pub(super) fn acknowledge(&mut self) {
        if let Some(seen) = self.look().filter(|seen| self.seen.as_ref() != Some(seen)) {
            self.keep_seen(seen);
        }
        self.shared.acknowledged.fetch_add(1, Ordering::Release);
    }

    /// How the files are, in words to store, if anyone can say.
    pub(super) fn look(&self) -> Option<Vec<u8>> {
        let work = self.shared.before_answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        work.0.and_then(|work| work())
    }

    /// A bundle of the API serves.
    pub(super) fn was_put(&self) {
        let work = self.shared.when_put.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(work) = work.0 {
            work();
        }
    }

    /// A change may have repaired what files were refused for.
    pub(super) fn files_may_fit(&self) {
        // once for each refusal: the next load says whether it still is
        if !self.shared.unfit.swap(false, Ordering::AcqRel) {
            return;
        }
        let work = self.shared.when_changed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(work) = work.0 {
            work();
        }
    }

    pub(super) fn serving(&self) -> Option<Revision> {
        self.shared.published.load().as_ref().map(|published| published.snapshot.revision())
    }

    /// Refuses a change where what serves is not what its sender expects. No other thread publishes.
    pub(super) fn check(&self, expected: &[Expected]) -> Result<(), Rejected> {
        let serves = self.shared.published.load();
        let serves = serves.as_ref().map(|published| &*published.snapshot);
        expected.iter().try_for_each(|expected| expected.check(serves))
    }

    pub(super) fn next_revision(&self) -> Revision {
        Revision { incarnation: self.shared.incarnation, counter: self.counter + 1 }
    }

    /// Notes that a bundle is refused.
    pub(super) fn refused(&self, problems: Vec<Diagnostic>, origin: Origin) -> Rejected {
        if origin == Origin::Files {
            let of_changes = problems.iter().any(Diagnostic::is_of_changes);
            self.shared.unfit.store(of_changes, Ordering::Release);
        }
        let serving = self.serving();
        let news = self.shared.board.failed(origin, problems.clone());
        events::ReloadRejected { source: origin, diagnostics: &problems, news, serving }.emit(&self.metrics);
        if origin != Origin::Files && problems.iter().any(|problem| problem.part == Diagnostic::INTERNAL) {
            return Rejected::Broken;
        }
        Rejected::Invalid(problems)
    }

    pub(super) fn routes(&self) -> usize {
        self.shared.published.load().as_ref().map_or(0, |published| published.routes.routes().len())
    }

    /// The answer to a bundle that is about to be published.
    pub(super) fn applied(&self, built: &Built, submitted: Instant) -> Applied {
        let Built { snapshot, routes, warnings, .. } = built;
        Applied {
            revision: snapshot.revision(),
            published: true,
            policies: snapshot.policy_count(),
            entities: snapshot.entity_count(),
            routes: routes.routes().len(),
            warnings: warnings.clone(),
            took: submitted.elapsed(),
            tally: Tally::default(),
            durable: self.is_durable(),
        }
    }

    pub(super) fn publish(&mut self, built: Built, origin: Origin, submitted: Instant) -> Applied {
        let applied = self.applied(&built, submitted);
        let Built { snapshot, routes, warnings, forbids_removed, .. } = built;
        let forbids = snapshot.written_forbid_count();
        self.counter = applied.revision.counter;
        if origin == Origin::Files || snapshot.overlay().is_empty() {
            self.shared.unfit.store(false, Ordering::Release);
        }
        self.shared.board.published(origin, applied.revision, applied.policies, applied.entities, warnings);
        let published = Published { snapshot: Arc::new(snapshot), routes };
        // what is built beside is built on another base from here on
        self.shared.since.note(applied.revision, None);
        let replaced = self.shared.published.swap(Some(Arc::new(published)));
        let prev = replaced.as_ref().map(|replaced| replaced.snapshot.revision());
        self.shared.recent.push(Event { revision: applied.revision, prev, changes: None });
        self.shared.revision.send_replace(Some(applied.revision));
        events::ReloadPublished {
            source: origin,
            revision: applied.revision,
            policies: applied.policies,
            forbids,
            entities: applied.entities,
            routes: applied.routes,
            took: applied.took,
        }
        .emit(&self.metrics);
        if !forbids_removed.is_empty() {
            events::ForbidsRemoved { source: origin, revision: applied.revision, ids: &forbids_removed }
                .emit(&self.metrics);
        }
        for warning in &applied.warnings {
            events::finding(origin, warning);
        }
        // freeing a large state takes a while
        self.beside.free(replaced, false);
        applied
    }
}

pub(super) fn no_thread(error: &std::io::Error) -> Diagnostic {
    let help = "it is tried again; raise the limits of threads (`ulimit -u`, `pids.max`) and of address space \
                (`ulimit -v`, `LimitAS=`), or lower the memory that is in use";
    Diagnostic::error("bundle", format!("no thread to build it on: {error}")).help(help).passing()
}

/// A panic in the engine is a fault of the change, not the end of the writer.
pub(super) fn isolated<T>(work: impl FnOnce() -> Result<T, Vec<Diagnostic>>) -> Result<T, Vec<Diagnostic>> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let found = Diagnostic::error("bundle", "building it failed inside the engine; please report the bundle");
        Err(Diagnostic::about(Diagnostic::INTERNAL, vec![found]))
    })
}
