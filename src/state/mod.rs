//! Who owns "now": one writer applies changes in order, readers take the published snapshot.
//!
//! A change is built off to the side and published whole or not at all: the snapshot that decides and the
//! routes that gateways ask by are one value. The last good one keeps serving through every failure. Before
//! the first there is none, and no decision can be made.

mod ahead;
mod answers;
mod beside;
mod durable;
mod expected;
mod group;
mod held;
mod image;
mod loads;
mod memory;
mod queue;
mod recent;
mod rules;
mod since;
mod status;
mod store;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{oneshot, watch};

pub use answers::{AnswerKey, KeptAnswer};
pub use expected::{Expected, Named};
pub use held::Held;
pub use memory::give_back_freed;
pub use recent::{Event, Follows};
pub use rules::LoadRules;
pub use status::{Attempt, Status, Waits};
pub use store::{Opened, StoreSettings, StoreStatus, open as open_store};

pub use crate::telemetry::ReloadSource as Origin;

use crate::telemetry::{Metrics, events, fresh_id};
use palisade_engine::model::{Bundle, Change, Diagnostic, Digest, Refused, Revision, Tally};
use palisade_engine::{EngineSettings, Observers, Snapshot};
use palisade_routes::RouteTable;
use queue::Room;
use status::StatusBoard;
use writer::{Command, Order, Submitted, Writer};

/// What is published and the way to replace it.
#[derive(Debug)]
pub struct State {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    commands: mpsc::Sender<Order>,
    /// For the changes that wait or are being built.
    room: Room,
    /// How the files were when the bundle was put that the store had.
    // std Mutex: held for a copy
    seen_at_put: Mutex<Option<Vec<u8>>>,
}

/// What one bundle became. Its parts are only ever replaced together.
#[derive(Debug)]
pub struct Published {
    /// What decides.
    pub snapshot: Arc<Snapshot>,
    /// The checks that a gateway's requests become, compiled against the snapshot's schema.
    pub routes: Arc<RouteTable>,
}

/// What readers see. Shared between [`State`] and its writer.
#[derive(Debug)]
struct Shared {
    published: ArcSwapOption<Published>,
    revision: watch::Sender<Option<Revision>>,
    recent: recent::Recent,
    board: StatusBoard,
    incarnation: u64,
    /// How many changes of the API were acknowledged as done. Only the writer counts, before it answers.
    acknowledged: AtomicU64,
    /// What is done before that.
    // std Mutex: held for a copy
    before_answers: Mutex<Hook<Option<Vec<u8>>>>,
    /// Files were refused since they do not fit what changes brought.
    unfit: AtomicBool,
    /// What is done when such changes were changed.
    // std Mutex: held for a copy
    when_changed: Mutex<Hook>,
    /// What is done once a bundle that the API put serves.
    // std Mutex: held for a copy
    when_put: Mutex<Hook>,
    /// Set once the process ends: what is being built then is given up.
    stopping: AtomicBool,
    /// The bundle that serves, and one that was found to be the same; none once something was changed since.
    // std Mutex: held for a copy
    serves: Mutex<[Option<Digest>; 2]>,
    /// What was touched since something is being built.
    since: since::Since,
    /// Where what was built is handed to the writer; none once the state is gone.
    // std Mutex: held for a copy
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    /// Files that are older than what serves and are not noted in the store yet.
    // std Mutex: held for an assignment
    skipped: Mutex<Option<Digest>>,
}

/// What is done when something happens, if anything is.
#[derive(Clone, Default)]
struct Hook<R = ()>(Option<Arc<dyn Fn() -> R + Send + Sync>>);

/// A change on its way in.
#[derive(Debug)]
pub struct Sent {
    /// What to do.
    pub change: Change,
    /// What must hold when its turn has come.
    pub expected: Vec<Expected>,
    /// Who brings it.
    pub origin: Origin,
    /// Whether a transaction is only tried.
    pub dry_run: bool,
    /// What its answer is kept under, if there is a store.
    pub key: Option<AnswerKey>,
}

/// A change that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The revision that decisions now use.
    pub revision: Revision,
    /// False where the change changed nothing, so that nothing was published.
    pub published: bool,
    /// Policies that can decide.
    pub policies: usize,
    /// Entities stored.
    pub entities: usize,
    /// Routes for the requests of gateways.
    pub routes: usize,
    /// What its author should look at.
    pub warnings: Vec<Diagnostic>,
    /// How long reading, building and publishing took.
    pub took: Duration,
    /// What a transaction did.
    pub tally: Tally,
    /// Whether it was on the disk before anyone could see it.
    pub durable: bool,
}

/// Why a change did not take effect. What served before still serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// It cannot be built.
    Invalid(Vec<Diagnostic>),
    /// A transaction that cannot be made.
    Refused(Refused),
    /// There is nothing yet that a transaction could change.
    NotLoaded,
    /// Another revision serves than its sender expects.
    Unexpected(Option<Revision>),
    /// What its sender made it depend on is otherwise; what there is, in words.
    Condition(String),
    /// What it would delete is not there; what that is, in words.
    Missing(String),
    /// It is of files that were read before a change that was acknowledged since.
    Superseded,
    /// Its sender left before it was begun, or while it was being built.
    Abandoned,
    /// The store cannot take it; why.
    Store(String),
    /// The engine panicked at it. Nothing has changed, and others are made as before.
    Broken,
    /// The changes that wait already hold too many bytes.
    Busy,
    /// The writer is gone or broke: the process is stopping, or should be.
    Stopped,
}

/// Why a revision cannot be waited for, or was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooOld {
    /// It names another process run, whose counter says nothing here.
    OtherIncarnation,
    /// It was not published within the deadline.
    Deadline,
}

impl Drop for State {
    fn drop(&mut self) {
        // the writer ends once no one can give it an order
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl<R> fmt::Debug for Hook<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.0.is_some()).finish()
    }
}

impl State {
    /// Starts the writer. Nothing is published yet.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(settings: EngineSettings, metrics: Arc<Metrics>) -> std::io::Result<Arc<Self>> {
        Self::start_observed(settings, LoadRules::default(), Observers::default(), metrics)
    }

    /// The same, with rules of what may be empty, and reports loads to `observers`.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start_observed(
        settings: EngineSettings,
        rules: LoadRules,
        observers: Observers,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Arc<Self>> {
        Self::start_stored(settings, rules, observers, metrics, None)
    }

    /// The same, with a store that makes changes durable, if there is one.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start_stored(
        settings: EngineSettings,
        rules: LoadRules,
        observers: Observers,
        metrics: Arc<Metrics>,
        opened: Option<Opened>,
    ) -> std::io::Result<Arc<Self>> {
        let fallbacks = observers.fallbacks.clone();
        metrics.at_scrape(move |metrics| metrics.note_fallbacks(fallbacks.load(Ordering::Relaxed)));
        let (commands, queue) = mpsc::channel();
        let incarnation = opened.as_ref().map(|opened| opened.restored.revision.incarnation);
        let seen_at_put = Mutex::new(opened.as_ref().and_then(|opened| opened.restored.seen_at_put().cloned()));
        let shared = Arc::new(Shared {
            published: ArcSwapOption::empty(),
            revision: watch::Sender::new(None),
            recent: recent::Recent::default(),
            board: StatusBoard::new(),
            incarnation: incarnation.unwrap_or_else(fresh_incarnation),
            acknowledged: AtomicU64::new(0),
            before_answers: Mutex::default(),
            when_put: Mutex::default(),
            unfit: AtomicBool::new(false),
            when_changed: Mutex::default(),
            stopping: AtomicBool::new(false),
            serves: Mutex::default(),
            since: since::Since::default(),
            orders: Mutex::new(Some(commands.clone())),
            skipped: Mutex::default(),
        });
        Writer::new(shared.clone(), settings, rules, observers, metrics.clone(), opened)?.start(queue)?;
        Ok(Arc::new(Self { shared, metrics, commands, room: Room::default(), seen_at_put }))
    }

    /// What to decide one request with, if there is anything yet. Do not hold it across an await.
    #[must_use]
    pub fn load(&self) -> Guard<Option<Arc<Published>>> {
        self.shared.published.load()
    }

    /// What to decide with for longer than one synchronous decision.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        self.shared.published.load_full()
    }

    /// The snapshot to hold for longer than one synchronous decision.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.load().as_ref().map(|published| published.snapshot.clone())
    }

    /// Applies `change` and waits until decisions use it.
    ///
    /// # Errors
    /// If it was rejected; then nothing has changed.
    pub async fn apply(&self, change: Change, origin: Origin) -> Result<Applied, Rejected> {
        self.apply_if(Vec::new(), change, origin).await
    }

    /// The same, if all of `expected` holds when its turn has come.
    ///
    /// # Errors
    /// If it was rejected; then nothing has changed.
    pub async fn apply_if(&self, expected: Vec<Expected>, change: Change, origin: Origin) -> Result<Applied, Rejected> {
        self.send(Sent { change, expected, origin, dry_run: false, key: None })?.await
    }

    /// Makes a change if all that it expects holds when its turn has come. What is returned waits until decisions use it;
    /// dropped before that, the change may still be made.
    ///
    /// # Errors
    /// If it was rejected; then nothing has changed.
    pub fn send(&self, sent: Sent) -> Result<impl Future<Output = Result<Applied, Rejected>> + Send + use<>, Rejected> {
        let Sent { change, expected, origin, dry_run, key } = sent;
        let held = self.room.take(queue::weight(&change)).ok_or(Rejected::Busy)?;
        let (read_at, as_put, warnings) = (None, None, Vec::new());
        let held = Some(held);
        let answer = match change {
            Change::Replace(change) => self.submit(
                Submitted { change, expected, origin, read_at, as_put, warnings, held, dry_run, key },
                Order::Replace,
            ),
            Change::Transaction(change) => self.submit(
                Submitted { change, expected, origin, read_at, as_put, warnings, held, dry_run, key },
                Order::Transact,
            ),
        }?;
        Ok(async move { answer.await.unwrap_or(Err(Rejected::Stopped)) })
    }

    /// Publishes what the store has, if that can do without files, which cannot be read. For threads outside the runtime.
    pub fn resume(&self) {
        let (done, resumed) = mpsc::sync_channel(1);
        if self.commands.send(Order::Resume(done)).is_ok() {
            // an error when it is done: the sender is gone then
            let _ = resumed.recv();
        }
    }

    /// Ends the store cleanly, if there is one, and takes no more changes. Waits no longer than `patience`.
    pub fn close(&self, patience: Duration) {
        let (done, closed) = mpsc::sync_channel(1);
        if self.commands.send(Order::Close(done)).is_ok() {
            // an error when it is done: the sender is gone then
            let _ = closed.recv_timeout(patience);
        }
    }

    /// Gives up what is being built and refuses what waits: the process ends.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
    }

    /// How many changes of the API have been acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// Says what to do on the writer's thread each time before a bundle of the API is acknowledged, after it took effect,
    /// and before it is stored: a look at the files, in words to store with the bundle, if there are any.
    pub fn before_answers(&self, work: Option<Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>>) {
        *self.shared.before_answers.lock().unwrap_or_else(PoisonError::into_inner) = Hook(work);
    }

    /// Says what to do on the writer's thread each time a change was published while files are refused since they do not
    /// fit what changes brought.
    pub fn when_files_may_fit(&self, work: Option<Arc<dyn Fn() + Send + Sync>>) {
        *self.shared.when_changed.lock().unwrap_or_else(PoisonError::into_inner) = Hook(work);
    }

    /// Says what to do on the writer's thread each time after a bundle of the API took effect.
    pub fn when_put(&self, work: Option<Arc<dyn Fn() + Send + Sync>>) {
        *self.shared.when_put.lock().unwrap_or_else(PoisonError::into_inner) = Hook(work);
    }

    /// How the files were when the bundle was put that the store had at the start, in the words that were stored with it.
    /// Can be taken once.
    #[must_use]
    pub fn seen_at_put(&self) -> Option<Vec<u8>> {
        self.seen_at_put.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Applies what a load of files brought, unless more changes of the API than `acknowledged` have been. `warnings` are
    /// what the author of the files should look at. For threads outside the runtime.
    ///
    /// # Errors
    /// If it was rejected; then nothing has changed.
    pub fn apply_load(
        &self,
        bundle: Bundle,
        warnings: Vec<Diagnostic>,
        acknowledged: u64,
    ) -> Result<Applied, Rejected> {
        self.apply_seen(bundle, warnings, acknowledged, None)
    }

    /// The same, where it is known whether the files are as they were when the bundle was put that the store had at the
    /// start: as they were then they do not replace it.
    ///
    /// # Errors
    /// If it was rejected; then nothing has changed.
    pub fn apply_seen(
        &self,
        bundle: Bundle,
        warnings: Vec<Diagnostic>,
        acknowledged: u64,
        as_put: Option<bool>,
    ) -> Result<Applied, Rejected> {
        let (change, expected, origin, read_at) = (bundle, Vec::new(), Origin::Files, Some(acknowledged));
        let (held, dry_run, key) = (None, false, None);
        let submitted = Submitted { change, expected, origin, read_at, as_put, warnings, held, dry_run, key };
        let answer = self.submit(submitted, Order::Replace)?;
        answer.blocking_recv().unwrap_or(Err(Rejected::Stopped))
    }

    fn submit<C>(
        &self,
        submitted: Submitted<C>,
        order: impl FnOnce(Box<Command<C>>) -> Order,
    ) -> Result<oneshot::Receiver<Result<Applied, Rejected>>, Rejected> {
        let (reply, answer) = oneshot::channel();
        let command = Command { submitted, reply, at: Instant::now() };
        self.commands.send(order(Box::new(command))).map_err(|_| Rejected::Stopped)?;
        Ok(answer)
    }

    /// Notes that a source could not even be read, so that log, status and metrics report it. What is no `news`, since
    /// the attempt before found the same, is counted and not logged again.
    pub fn note_unreadable(&self, origin: Origin, problems: Vec<Diagnostic>, news: bool) {
        let serving = self.snapshot().map(|snapshot| snapshot.revision());
        events::ReloadRejected { source: origin, diagnostics: &problems, news, serving }.emit(&self.metrics);
        self.shared.board.failed(origin, problems);
    }

    /// Notes that a source was read and brought nothing new: the served data is as fresh as now. Where someone `asked` for it,
    /// that is logged.
    pub fn note_unchanged(&self, origin: Origin, asked: bool) {
        let repaired = self.shared.board.confirmed(origin);
        events::ReloadUnchanged { source: origin, repaired, asked }.emit(&self.metrics);
    }

    /// Notes what a load waits for before it reads, and until when; logs the first of it.
    pub fn note_waits(&self, origin: Origin, what: &str, until: Instant) {
        let waits = Waits { what: what.to_owned(), until };
        if self.shared.board.waits(Some(waits.clone())) {
            events::LoadWaits { source: origin, waits: &waits }.emit(&self.metrics);
        }
    }

    /// Notes that a load waits for nothing any more.
    pub fn note_waited(&self) {
        self.shared.board.waits(None);
    }

    /// Notes that what a source held was there before the API changed something, so that it is skipped.
    pub fn note_superseded(&self, origin: Origin, digest: Digest) {
        *self.shared.skipped.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        events::LoadSuperseded { source: origin }.emit(&self.metrics);
        self.shared.board.superseded(origin);
    }

    /// Notes what keeps changes of a source from being noticed or published. Logs it when it is news, and when it is over.
    pub fn note_degraded(&self, reason: Option<&str>) {
        let before = self.shared.board.degraded(reason);
        match (before, reason) {
            (Some(before), Some(message)) if before == message => {}
            (_, Some(message)) => events::SourceDegraded { message }.emit(&self.metrics),
            (Some(message), None) => events::SourceRepaired { message: &message }.emit(&self.metrics),
            (None, None) => {}
        }
    }

    /// What `GET /v1/status` reports.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.board.read()
    }

    /// The newest revision, now and whenever it changes.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<Option<Revision>> {
        self.shared.revision.subscribe()
    }

    /// What was published after a revision.
    #[must_use]
    pub fn after(&self, after: Revision) -> Follows {
        let serving = *self.shared.revision.borrow();
        serving.map_or(Follows::Gone, |serving| self.shared.recent.after(after, serving))
    }

    /// Waits until the published revision is at least `wanted`.
    ///
    /// # Errors
    /// If that cannot be, or did not happen within `deadline`.
    pub async fn wait_for(&self, wanted: Revision, deadline: Duration) -> Result<(), TooOld> {
        if wanted.incarnation != self.shared.incarnation {
            return Err(TooOld::OtherIncarnation);
        }
        let mut revision = self.shared.revision.subscribe();
        let reached = revision.wait_for(|now| now.is_some_and(|now| now.counter >= wanted.counter));
        match tokio::time::timeout(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TooOld::Deadline),
        }
    }
}

/// The incarnation of a run that goes on from no other: drawn at random, so that no revision of another run is taken for
/// one of this.
#[must_use]
pub fn fresh_incarnation() -> u64 {
    (fresh_id().as_u128() as u64 ^ u64::from(std::process::id()).rotate_left(32)).max(1)
}

#[cfg(test)]
mod tests;
