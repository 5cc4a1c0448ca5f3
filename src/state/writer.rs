//! The one thread that builds and publishes snapshots.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::state::memory::give_back_freed;
use crate::state::queue::Held;
use crate::state::recent::Event;
use crate::state::rules::{Had, LoadRules, forbids_removed};
use crate::state::store::{Opened, Restored, Store};
use crate::state::{AnswerKey, Applied, Expected, Origin, Published, Rejected, Shared};
use crate::telemetry::{Metrics, Work, events, start_thread, supervised};
use palisade_engine::model::{Bundle, Change, Diagnostic, Digest, PolicyId, Revision, Tally};
use palisade_engine::{EngineSettings, Observers, Snapshot, on_big_stack};
use palisade_routes::RouteTable;

/// Cedar reads the values of changes, which may be nested.
const STACK: usize = 64 << 20;

/// What the writer is asked to do.
pub(super) enum Order {
    /// Make a change.
    Change(Box<Command>),
    /// The files cannot be read at the start: publish what the store has, if that can do without them. Dropped once that
    /// is done.
    Resume(mpsc::SyncSender<()>),
    /// End the store cleanly, and take no more changes. Dropped once that is done.
    Close(mpsc::SyncSender<()>),
}

/// A change on its way to the writer.
pub(super) struct Command {
    pub(super) submitted: Submitted,
    /// Closed once its sender has left.
    pub(super) reply: oneshot::Sender<Result<Applied, Rejected>>,
    /// When it was handed in.
    pub(super) at: Instant,
}

/// A change as it was handed in.
pub(super) struct Submitted {
    pub(super) change: Change,
    /// What must serve when its turn has come.
    pub(super) expected: Vec<Expected>,
    pub(super) origin: Origin,
    /// How many changes of the API had been acknowledged when the files were read that it is of, if it is of files.
    pub(super) read_at: Option<u64>,
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
    pub(super) settings: EngineSettings,
    pub(super) rules: LoadRules,
    pub(super) observers: Observers,
    pub(super) metrics: Arc<Metrics>,
    /// What entities the files had when they last took effect.
    pub(super) files_had: Had,
    /// Publications so far.
    pub(super) counter: u64,
    /// The bundle that serves; none once something was changed since.
    pub(super) serves: Option<Digest>,
    /// Another bundle that was found to be the same, such as one that was read from here and put back.
    pub(super) serves_too: Option<Digest>,
    /// What files changed and changes of the API hide, by name.
    pub(super) shadowed: BTreeSet<String>,
    /// What makes changes durable.
    pub(super) store: Option<Store>,
    /// What it held, until the files were looked at first.
    pub(super) restored: Option<Restored>,
    /// The files that were loaded before what the store had put, if they could not be read at the start.
    pub(super) known_files: Option<Vec<u8>>,
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
    ) -> Self {
        let (store, restored) = match opened {
            Some(Opened { store, restored, .. }) => (Some(store), Some(restored)),
            None => (None, None),
        };
        Self {
            shared,
            settings,
            rules,
            observers,
            metrics,
            files_had: Had::default(),
            counter: restored.as_ref().map_or(0, |restored| restored.revision.counter),
            serves: None,
            serves_too: None,
            shadowed: BTreeSet::new(),
            store,
            restored,
            known_files: None,
            closed: false,
        }
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
                Order::Change(command) if matches!(command.submitted.change, Change::Transaction(_)) => {
                    next = self.transactions(command, queue);
                }
                Order::Change(command) => self.replacement(*command),
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

    /// Replaces everything.
    fn replacement(&mut self, command: Command) {
        let Command { submitted, reply, at } = command;
        let Submitted { change, expected, origin, read_at, warnings, held, key, .. } = submitted;
        let shared = self.shared.clone();
        let unwanted = || reply.is_closed() || shared.stopping.load(Ordering::Acquire);
        let outcome = match read_at {
            _ if unwanted() || self.closed => {
                // freed here and now, with what it holds
                drop((change, warnings));
                Err(Rejected::Abandoned)
            }
            // the files may have been read before that change: their reader looks again
            Some(read_at) if read_at != self.shared.acknowledged.load(Ordering::Acquire) => Err(Rejected::Superseded),
            _ => match self.check(&expected).map(|()| change) {
                Ok(Change::Replace(bundle)) => self.replace(bundle, (origin, at), warnings, key.as_ref(), &unwanted),
                // these have a way of their own
                Ok(Change::Transaction(_)) => Err(Rejected::Stopped),
                Err(rejected) => Err(rejected),
            },
        };
        drop(held);
        match &outcome {
            Err(Rejected::Abandoned) => events::ChangeAbandoned { source: origin }.emit(&self.metrics),
            // files that are loaded later go below changes
            Ok(_) if origin != Origin::Bundle => {}
            // before the answer: a client that has it may rely on it
            Ok(_) => self.acknowledge(),
            Err(_) => {}
        }
        // the client may have left; the change stands all the same
        let _ = reply.send(outcome);
        give_back_freed();
    }

    /// The files are looked at: as they are now, they must not undo the change. What comes after the look is later.
    fn acknowledge(&self) {
        let work = self.shared.before_answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(work) = work.0 {
            work();
        }
        self.shared.acknowledged.fetch_add(1, Ordering::Release);
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
    fn check(&self, expected: &[Expected]) -> Result<(), Rejected> {
        let serves = self.shared.published.load();
        let serves = serves.as_ref().map(|published| &*published.snapshot);
        expected.iter().try_for_each(|expected| expected.check(serves))
    }

    pub(super) fn next_revision(&self) -> Revision {
        Revision { incarnation: self.shared.incarnation, counter: self.counter + 1 }
    }

    fn replace(
        &mut self,
        bundle: Bundle,
        (origin, submitted): (Origin, Instant),
        warnings: Vec<Diagnostic>,
        key: Option<&AnswerKey>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Rejected> {
        let metrics = self.metrics.clone();
        let _under_way = metrics.works.begin(Work::Build);
        let current = self.shared.published.load_full();
        let digest = Digest::of(&bundle);
        if let Some(restored) = self.restored.take_if(|_| origin == Origin::Files) {
            return self.resume(bundle, digest, restored, submitted, warnings, unwanted);
        }
        if origin == Origin::Files
            && self.knows_files(digest)
            && let Some(current) = &current
        {
            self.files_had.documents = Had::documents_of(&bundle);
            return Ok(self.unchanged(&current.snapshot, origin, submitted));
        }
        let known = [self.serves, self.serves_too].contains(&Some(digest));
        if let Some(current) = current.as_ref().filter(|_| known) {
            if origin == Origin::Files {
                self.files_had.entities = current.snapshot.entity_count();
            }
            return self.unchanged_kept(&current.snapshot, origin, submitted, key);
        }
        let missing = self.files_had.missing_from(&bundle);
        let documents = (origin == Origin::Files).then(|| Had::documents_of(&bundle));
        let bundle = Arc::new(bundle);
        let kept = self.store.is_some().then(|| bundle.clone());
        let built = self.build(bundle, self.next_revision(), unwanted);
        let built = built.and_then(|built| self.not_empty(built, origin, &missing));
        // without what changes brought
        let of_files = built.as_ref().map_or(0, |built| built.snapshot.entity_count());
        let changed = current.as_ref().is_some_and(|current| !current.snapshot.overlay().is_empty());
        let built = match &current {
            // what changes brought stays, above what files have; a bundle of the API is all there is
            Some(current) if changed && origin == Origin::Files => {
                built.and_then(|built| rebase(built, &current.snapshot, unwanted))
            }
            _ => built,
        };
        let mut built = match built {
            Ok(built) => built,
            // what was found so far is of no interest either
            Err(_) if unwanted() => return Err(Rejected::Abandoned),
            // among the warnings may be the file whose name is misspelt
            Err(problems) => return Err(self.refused(problems.into_iter().chain(warnings).collect(), origin)),
        };
        if let Some(current) = &current {
            // what came from files is put back in other pieces. What files hold is published as theirs
            let same = || isolated(|| Ok(built.snapshot.is_same_as(&current.snapshot))) == Ok(true);
            if origin == Origin::Bundle && !changed && same() {
                self.serves_too = Some(digest);
                return self.unchanged_kept(&current.snapshot, origin, submitted, key);
            }
            built.forbids_removed = forbids_removed(&current.snapshot, &built.snapshot);
        }
        built.warnings.splice(0..0, warnings);
        let applied = self.applied(&built, submitted);
        self.keep_base(&applied, digest, kept, origin, key)?;
        let is_base = built.snapshot.overlay().is_empty();
        (self.serves, self.serves_too) = (is_base.then_some(digest), None);
        if let Some(documents) = documents {
            self.files_had.documents = documents;
            self.files_had.entities = of_files;
        }
        if is_base {
            self.shadowed.clear();
        }
        if !built.shadowed.is_empty() {
            events::FilesHidden { names: &built.shadowed }.emit(&self.metrics);
            self.shadowed.extend(std::mem::take(&mut built.shadowed));
        }
        self.shared.board.layers(built.snapshot.overlay(), self.shadowed.len());
        Ok(self.publish(built, origin, submitted))
    }

    /// Notes that a bundle is refused.
    pub(super) fn refused(&self, problems: Vec<Diagnostic>, origin: Origin) -> Rejected {
        if origin == Origin::Files {
            let of_changes = problems.iter().any(|problem| problem.part == "change");
            self.shared.unfit.store(of_changes, Ordering::Release);
        }
        let serving = self.serving();
        events::ReloadRejected { source: origin, diagnostics: &problems, news: true, serving }.emit(&self.metrics);
        self.shared.board.failed(origin, problems.clone());
        Rejected::Invalid(problems)
    }

    /// The answer to a change that changes nothing.
    fn unchanged(&self, current: &Snapshot, origin: Origin, submitted: Instant) -> Applied {
        let repaired = self.shared.board.confirmed(origin);
        events::ReloadUnchanged { source: origin, repaired, asked: false }.emit(&self.metrics);
        Applied {
            revision: current.revision(),
            published: false,
            policies: current.policy_count(),
            entities: current.entity_count(),
            routes: self.routes(),
            warnings: Vec::new(),
            took: submitted.elapsed(),
            tally: Tally::default(),
            durable: self.is_durable(),
        }
    }

    /// The same, kept under the key that it was sent with.
    fn unchanged_kept(
        &mut self,
        current: &Snapshot,
        origin: Origin,
        submitted: Instant,
        key: Option<&AnswerKey>,
    ) -> Result<Applied, Rejected> {
        let applied = self.unchanged(current, origin, submitted);
        self.keep_answer(&applied, key)?;
        Ok(applied)
    }

    fn routes(&self) -> usize {
        self.shared.published.load().as_ref().map_or(0, |published| published.routes.routes().len())
    }

    /// Builds on a large stack.
    pub(super) fn build(
        &self,
        bundle: Arc<Bundle>,
        revision: Revision,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Built, Vec<Diagnostic>> {
        isolated(|| {
            on_big_stack(|| build(bundle, &self.settings, &self.observers, revision, &unwanted))
                .unwrap_or_else(|error| Err(vec![no_thread(&error)]))
        })
    }

    /// What was built, unless it is empty where it must not be.
    pub(super) fn not_empty(&self, built: Built, origin: Origin, missing: &[String]) -> Result<Built, Vec<Diagnostic>> {
        let mut problems = Vec::from_iter(self.rules.policies(&built.snapshot));
        if origin == Origin::Files {
            problems.extend(self.rules.entities(&self.files_had, missing, &built.snapshot));
        }
        if problems.is_empty() { Ok(built) } else { Err(problems) }
    }

    /// The answer to a bundle that is about to be published.
    fn applied(&self, built: &Built, submitted: Instant) -> Applied {
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
        let forbids = snapshot.forbids().len();
        self.counter = applied.revision.counter;
        if origin == Origin::Files || snapshot.overlay().is_empty() {
            self.shared.unfit.store(false, Ordering::Release);
        }
        self.shared.board.published(origin, applied.revision, applied.policies, applied.entities, warnings);
        let published = Published { snapshot: Arc::new(snapshot), routes };
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
        // freeing a large state takes a while: here, unless a reader still holds it
        drop(replaced);
        applied
    }
}

/// What is about to be published.
pub(super) struct Built {
    pub(super) snapshot: Snapshot,
    pub(super) routes: Arc<RouteTable>,
    pub(super) warnings: Vec<Diagnostic>,
    /// The forbids that decide now and will not.
    pub(super) forbids_removed: Vec<PolicyId>,
    /// What changed and is hidden by changes of the API.
    pub(super) shadowed: Vec<String>,
}

/// The changes of what serves above a new base.
fn rebase(built: Built, served: &Snapshot, unwanted: &(dyn Fn() -> bool + Sync)) -> Result<Built, Vec<Diagnostic>> {
    let Built { snapshot, routes, warnings, forbids_removed, .. } = built;
    let rebased = isolated(|| {
        on_big_stack(|| snapshot.rebased(served, &unwanted)).unwrap_or_else(|error| Err(vec![no_thread(&error)]))
    });
    let (snapshot, shadowed) = rebased?;
    Ok(Built { snapshot, routes, warnings, forbids_removed, shadowed })
}

pub(super) fn no_thread(error: &std::io::Error) -> Diagnostic {
    let help = "it is tried again; raise the limits of threads (`ulimit -u`, `pids.max`) and of address space \
                (`ulimit -v`, `LimitAS=`), or lower the memory that is in use";
    Diagnostic::error("bundle", format!("no thread to build it on: {error}")).help(help).passing()
}

/// Policies and routes, or what is wrong with either.
fn build(
    bundle: Arc<Bundle>,
    settings: &EngineSettings,
    observers: &Observers,
    revision: Revision,
    unwanted: &dyn Fn() -> bool,
) -> Result<Built, Vec<Diagnostic>> {
    let routes = palisade_routes::compile_bundle(&bundle, &settings.limits);
    match (Snapshot::build_unless(bundle, settings, revision, observers, unwanted), routes) {
        (Ok((snapshot, mut warnings)), Ok((routes, more))) => {
            warnings.extend(more);
            let (routes, forbids_removed, shadowed) = (Arc::new(routes), Vec::new(), Vec::new());
            Ok(Built { snapshot, routes, warnings, forbids_removed, shadowed })
        }
        (snapshot, routes) => Err(palisade_routes::together(snapshot.err().unwrap_or_default(), routes.err())),
    }
}

/// A panic in the engine is a fault of the change, not the end of the writer.
pub(super) fn isolated<T>(work: impl FnOnce() -> Result<T, Vec<Diagnostic>>) -> Result<T, Vec<Diagnostic>> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(vec![Diagnostic::error("bundle", "building it failed inside the engine; please report the bundle")])
    })
}
