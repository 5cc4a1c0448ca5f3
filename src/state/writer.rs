//! The one thread that builds and publishes snapshots.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::state::memory::give_back_freed;
use crate::state::queue::Held;
use crate::state::rules::{Had, LoadRules, forbids_removed};
use crate::state::{Applied, Expected, Origin, Published, Rejected, Shared};
use crate::telemetry::{Metrics, Work, events, start_thread, supervised};
use palisade_engine::model::{Bundle, Change, Diagnostic, Digest, PolicyId, Revision};
use palisade_engine::{EngineSettings, Observers, Snapshot, on_big_stack};
use palisade_routes::RouteTable;

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
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    settings: EngineSettings,
    rules: LoadRules,
    observers: Observers,
    metrics: Arc<Metrics>,
    /// What entities the files had when they last took effect.
    files_had: Had,
    /// Publications so far.
    counter: u64,
    /// The bundle that serves; none once a single entity has been changed since.
    serves: Option<Digest>,
    /// Another bundle that was found to be the same, such as one that was read from here and put back.
    serves_too: Option<Digest>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: EngineSettings,
        rules: LoadRules,
        observers: Observers,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            shared,
            settings,
            rules,
            observers,
            metrics,
            files_had: Had::default(),
            counter: 0,
            serves: None,
            serves_too: None,
        }
    }

    pub(super) fn start(mut self, queue: mpsc::Receiver<Command>) -> std::io::Result<()> {
        let work = supervised("palisade-writer", self.metrics.clone(), move || {
            let shared = self.shared.clone();
            while let Ok(command) = queue.recv() {
                let Command { submitted, reply, at } = command;
                let Submitted { change, expected, origin, read_at, warnings, held } = submitted;
                let whole = matches!(change, Change::Replace(_));
                let unwanted = || reply.is_closed() || shared.stopping.load(Ordering::Acquire);
                let outcome = match read_at {
                    _ if unwanted() => {
                        // freed here and now, with what it holds
                        drop((change, warnings));
                        Err(Rejected::Abandoned)
                    }
                    // the files may have been read before that change: their reader looks again
                    Some(read_at) if read_at != self.shared.acknowledged.load(Ordering::Acquire) => {
                        Err(Rejected::Superseded)
                    }
                    _ if !self.is_expected(&expected) => Err(Rejected::Unexpected(self.serving())),
                    _ => self.apply(change, (origin, at), warnings, &unwanted),
                };
                drop(held);
                match &outcome {
                    Err(Rejected::Abandoned) => events::ChangeAbandoned { source: origin }.emit(&self.metrics),
                    Ok(applied) if origin == Origin::Files => self.files_had.entities = applied.entities,
                    // before the answer: a client that has it may rely on it
                    Ok(_) => self.acknowledge(),
                    Err(_) => {}
                }
                // the client may have left; the change stands all the same
                let _ = reply.send(outcome);
                if whole {
                    give_back_freed();
                }
            }
        });
        start_thread("palisade-writer", None, work)?;
        Ok(())
    }

    /// The files are looked at: as they are now, they must not undo the change. What comes after the look is later.
    fn acknowledge(&self) {
        let work = self.shared.before_answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(work) = work.0 {
            work();
        }
        self.shared.acknowledged.fetch_add(1, Ordering::Release);
    }

    fn serving(&self) -> Option<Revision> {
        self.shared.published.load().as_ref().map(|published| published.snapshot.revision())
    }

    /// Whether what serves is what the sender of a change expects. No other thread publishes.
    fn is_expected(&self, expected: &[Expected]) -> bool {
        let serving = self.serving();
        expected.iter().all(|expected| expected.allows(serving))
    }

    fn apply(
        &mut self,
        change: Change,
        (origin, submitted): (Origin, Instant),
        warnings: Vec<Diagnostic>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Rejected> {
        let metrics = self.metrics.clone();
        let _under_way = metrics.works.begin(Work::Build);
        let current = self.shared.published.load_full();
        let revision = Revision { incarnation: self.shared.incarnation, counter: self.counter + 1 };
        let (mut replacement, mut documents) = (None, None);
        let built = match change {
            Change::Replace(bundle) => {
                let digest = Digest::of(&bundle);
                let known = [self.serves, self.serves_too].contains(&Some(digest));
                if let Some(current) = current.as_ref().filter(|_| known) {
                    return Ok(self.unchanged(&current.snapshot, origin, submitted));
                }
                replacement = Some(digest);
                let missing = self.files_had.missing_from(&bundle);
                documents = (origin == Origin::Files).then(|| Had::documents_of(&bundle));
                let built = self.build(bundle, revision, unwanted);
                match built.and_then(|built| self.not_empty(built, origin, &missing)) {
                    Ok(mut built) => {
                        if let Some(current) = &current {
                            // what came from files is put back in other pieces. What files hold is published as theirs
                            let same = || isolated(|| Ok(built.snapshot.is_same_as(&current.snapshot))) == Ok(true);
                            if origin == Origin::Bundle && same() {
                                self.serves_too = Some(digest);
                                return Ok(self.unchanged(&current.snapshot, origin, submitted));
                            }
                            built.forbids_removed = forbids_removed(&current.snapshot, &built.snapshot);
                        }
                        built.warnings.splice(0..0, warnings);
                        Ok(built)
                    }
                    // among them may be the file whose name is misspelt
                    Err(problems) => Err(problems.into_iter().chain(warnings).collect()),
                }
            }
            Change::Entities(changes) => match current {
                Some(current) => isolated(|| current.snapshot.apply(&changes, revision)).map(|snapshot| Built {
                    snapshot,
                    routes: current.routes.clone(),
                    warnings: Vec::new(),
                    forbids_removed: Vec::new(),
                }),
                None => Err(vec![Diagnostic::error("entities", "no bundle is loaded yet that could be changed")]),
            },
        };
        match built {
            Ok(built) => {
                (self.serves, self.serves_too) = (replacement, None);
                if let Some(documents) = documents {
                    self.files_had.documents = documents;
                }
                Ok(self.publish(built, origin, submitted))
            }
            // what was found so far is of no interest either
            Err(_) if unwanted() => Err(Rejected::Abandoned),
            Err(problems) => {
                let serving = self.serving();
                events::ReloadRejected { source: origin, diagnostics: &problems, news: true, serving }
                    .emit(&self.metrics);
                self.shared.board.failed(origin, problems.clone());
                Err(Rejected::Invalid(problems))
            }
        }
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
        }
    }

    fn routes(&self) -> usize {
        self.shared.published.load().as_ref().map_or(0, |published| published.routes.routes().len())
    }

    /// Builds on a large stack.
    fn build(
        &self,
        bundle: Bundle,
        revision: Revision,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Built, Vec<Diagnostic>> {
        let bundle = Arc::new(bundle);
        isolated(|| {
            on_big_stack(|| build(bundle, &self.settings, &self.observers, revision, &unwanted)).unwrap_or_else(
                |error| {
                    let help = "it is tried again; raise the limits of threads (`ulimit -u`, `pids.max`) and of address \
                                space (`ulimit -v`, `LimitAS=`), or lower the memory that is in use";
                    let problem = Diagnostic::error("bundle", format!("no thread to build it on: {error}"));
                    Err(vec![problem.help(help).passing()])
                },
            )
        })
    }

    /// What was built, unless it is empty where it must not be.
    fn not_empty(&self, built: Built, origin: Origin, missing: &[String]) -> Result<Built, Vec<Diagnostic>> {
        let mut problems = Vec::from_iter(self.rules.policies(&built.snapshot));
        if origin == Origin::Files {
            problems.extend(self.rules.entities(&self.files_had, missing, &built.snapshot));
        }
        if problems.is_empty() { Ok(built) } else { Err(problems) }
    }

    fn publish(&mut self, built: Built, origin: Origin, submitted: Instant) -> Applied {
        let Built { snapshot, routes, warnings, forbids_removed } = built;
        let forbids = snapshot.forbids().len();
        let applied = Applied {
            revision: snapshot.revision(),
            published: true,
            policies: snapshot.policy_count(),
            entities: snapshot.entity_count(),
            routes: routes.routes().len(),
            warnings: warnings.clone(),
            took: submitted.elapsed(),
        };
        self.counter = applied.revision.counter;
        self.shared.board.published(origin, applied.revision, applied.policies, applied.entities, warnings);
        let published = Published { snapshot: Arc::new(snapshot), routes };
        let replaced = self.shared.published.swap(Some(Arc::new(published)));
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
struct Built {
    snapshot: Snapshot,
    routes: Arc<RouteTable>,
    warnings: Vec<Diagnostic>,
    /// The forbids that decide now and will not.
    forbids_removed: Vec<PolicyId>,
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
            Ok(Built { snapshot, routes: Arc::new(routes), warnings, forbids_removed: Vec::new() })
        }
        (snapshot, routes) => Err(palisade_routes::together(snapshot.err().unwrap_or_default(), routes.err())),
    }
}

/// A panic in the engine is a fault of the change, not the end of the writer.
fn isolated<T>(work: impl FnOnce() -> Result<T, Vec<Diagnostic>>) -> Result<T, Vec<Diagnostic>> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(vec![Diagnostic::error("bundle", "building it failed inside the engine; please report the bundle")])
    })
}
