//! What takes long is built beside the writer: bundles, and transactions that are large or may be.
//!
//! Each is built on what serves when its turn comes, and handed to the writer, which publishes in order of completion. What
//! other changes touched meanwhile is taken over first: here while that is much, and by the writer once it is little, or it
//! was tried often enough. So no build holds up the others, and none is overtaken for ever.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, mpsc};

use crate::state::group::{self, Ready};
use crate::state::loads::{Built, follow, prepare, rebase};
use crate::state::memory::give_back_freed;
use crate::state::rules::LoadRules;
use crate::state::since::{Things, Watching};
use crate::state::writer::{Command, Order, isolated};
use crate::state::{Origin, Rejected, Shared};
use crate::telemetry::{Metrics, Work, events, start_thread, supervised};
use palisade_engine::model::{Bundle, Diagnostic, Digest, Edit, Revision, Transaction};
use palisade_engine::{Changed, EngineSettings, Footprint, Observers, Snapshot};
use palisade_journal::AheadId;

/// Cedar reads the values of changes, which may be nested.
const STACK: usize = 64 << 20;

/// Things that the writer takes over itself: it takes some milliseconds.
pub(super) const FEW: usize = 256;

/// How often what was built is brought up to date, or built again, before the writer is held for it.
pub(super) const MOST_ROUNDS: usize = 8;

/// Changes of a transaction from which on it is large.
const LARGE: usize = 256;

/// Where what takes long is sent to.
#[derive(Debug)]
pub(super) struct Beside {
    loads: mpsc::Sender<Box<Load>>,
    bulk: mpsc::Sender<Box<Bulk>>,
    freed: mpsc::Sender<Freed>,
}

/// What is freed where that holds up nothing.
struct Freed {
    _what: Box<dyn Any + Send>,
    /// It was so large that its memory goes back to the system.
    large: bool,
}

/// What builds need.
#[derive(Debug, Clone)]
pub(super) struct Builder {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: EngineSettings,
    pub(super) rules: LoadRules,
    pub(super) observers: Observers,
    pub(super) metrics: Arc<Metrics>,
    /// Whether transactions are kept in a store.
    pub(super) stores: bool,
}

/// A bundle on its way.
pub(super) struct Load {
    pub(super) command: Command<Bundle>,
    /// Of the bundle, once it is known.
    pub(super) digest: Option<Digest>,
    /// What it became, unless it is what serves.
    pub(super) built: Option<Result<Built, Vec<Diagnostic>>>,
    /// The bundle, if a request put it and there is a store.
    pub(super) kept: Option<Arc<Bundle>>,
    /// Entities of the bundle alone.
    pub(super) entities: usize,
    /// What serves to which it was brought up.
    pub(super) on: Option<Revision>,
    /// What serves that is the same.
    pub(super) same_as: Option<Revision>,
    pub(super) rounds: usize,
    watching: Option<Watching>,
}

/// A transaction that is large, on its way.
pub(super) struct Bulk {
    pub(super) command: Command<Transaction>,
    pub(super) made: Option<Made>,
    /// Its records, where they were written ahead.
    pub(super) ahead: Option<AheadId>,
    pub(super) rounds: usize,
    watching: Option<Watching>,
}

/// What a transaction became upon a state.
pub(super) struct Made {
    pub(super) changed: Changed,
    pub(super) footprint: Footprint,
    pub(super) ready: Ready,
    pub(super) on: Revision,
}

/// Whether a transaction may take so long that others would wait for it.
pub(super) fn is_large(transaction: &Transaction) -> bool {
    use palisade_engine::model::Dangling;
    let follows = matches!(transaction.dangling, Dangling::Unlink | Dangling::Cascade);
    transaction.edits.len() > LARGE
        || transaction.edits.iter().any(|edit| match edit {
            // policies are validated, those that come back too, and with an entity others may go
            Edit::PutPolicy { .. } | Edit::RevertPolicy(_) | Edit::DeleteSubtree(_) => true,
            Edit::Delete(_) => follows,
            Edit::Upsert(_) | Edit::Update(_) | Edit::Revert(_) | Edit::Expect { .. } => false,
            // one policy is linked, and its template is not validated again
            Edit::PutLink(_) | Edit::DeleteLink(_) | Edit::RevertLink(_) => false,
            // policies that go are not read
            Edit::DeletePolicy(_) => false,
        })
}

impl Load {
    pub(super) fn new(command: Command<Bundle>) -> Box<Self> {
        Box::new(Self {
            command,
            digest: None,
            built: None,
            kept: None,
            entities: 0,
            on: None,
            same_as: None,
            rounds: 0,
            watching: None,
        })
    }
}

impl Bulk {
    pub(super) fn new(command: Command<Transaction>) -> Box<Self> {
        Box::new(Self { command, made: None, ahead: None, rounds: 0, watching: None })
    }
}

impl Beside {
    /// Starts the threads. They end once this is dropped.
    pub(super) fn start(builder: &Builder) -> std::io::Result<Self> {
        let ((loads, to_load), (bulk, to_make), (freed, to_free)) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let (loader, maker) = (builder.clone(), builder.clone());
        let metrics = || builder.metrics.clone();
        let load = supervised("palisade-load", metrics(), move || loader.load(&to_load));
        start_thread("palisade-load", Some(STACK), load)?;
        let make = supervised("palisade-bulk", metrics(), move || maker.make(&to_make));
        start_thread("palisade-bulk", Some(STACK), make)?;
        start_thread("palisade-free", None, supervised("palisade-free", metrics(), move || free(&to_free)))?;
        Ok(Self { loads, bulk, freed })
    }

    pub(super) fn load(&self, load: Box<Load>) {
        // its thread ends with the writer, and goes on after a panic
        let _ = self.loads.send(load);
    }

    pub(super) fn bulk(&self, bulk: Box<Bulk>) {
        let _ = self.bulk.send(bulk);
    }

    /// Frees something on a thread of its own.
    pub(super) fn free(&self, what: impl Any + Send, large: bool) {
        let _ = self.freed.send(Freed { _what: Box::new(what), large });
    }
}

fn free(freed: &mpsc::Receiver<Freed>) {
    while let Ok(Freed { _what: what, large }) = freed.recv() {
        drop(what);
        if large {
            give_back_freed();
        }
    }
}

impl Builder {
    /// Hands something to the writer; it is dropped if the process ends.
    pub(super) fn hand_over(&self, order: Order) {
        let orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(orders) = orders {
            let _ = orders.send(order);
        }
    }

    fn load(&self, loads: &mpsc::Receiver<Box<Load>>) {
        while let Ok(mut load) = loads.recv() {
            let brought = isolated(|| {
                self.bring_up(&mut load);
                Ok(())
            });
            if let Err(found) = brought {
                load.built = Some(Err(found));
            }
            self.hand_over(Order::Loaded(load));
        }
    }

    /// Builds a bundle, or takes over what was touched since.
    fn bring_up(&self, load: &mut Load) {
        let Load { command, digest, built, kept, entities, on, same_as, watching, .. } = load;
        let unwanted = || command.reply.is_closed() || self.shared.stopping.load(Ordering::Acquire);
        if unwanted() {
            return;
        }
        let _under_way = self.metrics.works.begin(Work::Build);
        let origin = command.submitted.origin;
        if let Some(Ok(so_far)) = built.take_if(|built| built.is_ok()) {
            let served = self.shared.published.load_full();
            *built = Some(match &served {
                Some(served) => {
                    let things = self.touched_since(*on, &so_far.snapshot, &served.snapshot);
                    follow(so_far, &served.snapshot, &things, &unwanted)
                }
                None => Ok(so_far),
            });
            *on = served.map(|served| served.snapshot.revision());
            return;
        }
        let bundle = &mut command.submitted.change;
        let of_bundle = *digest.get_or_insert_with(|| Digest::of(bundle));
        if self.shared.serves.lock().unwrap_or_else(PoisonError::into_inner).contains(&Some(of_bundle)) {
            return;
        }
        // before what serves is looked at
        *watching = Some(self.shared.since.watch());
        let served = self.shared.published.load_full();
        *on = served.as_ref().map(|served| served.snapshot.revision());
        let bundle = Arc::new(std::mem::take(bundle));
        *kept = (self.stores && origin == Origin::Bundle).then(|| bundle.clone());
        let revision = Revision { incarnation: self.shared.incarnation, counter: 0 };
        let fresh = prepare(bundle, self, revision, &unwanted);
        *entities = fresh.as_ref().map_or(0, |fresh| fresh.snapshot.entity_count());
        let changed = served.as_ref().filter(|served| !served.snapshot.overlay().is_empty());
        *built = Some(match (origin, changed) {
            // what changes brought stays, above what files have; a bundle of the API is all there is
            (Origin::Files, Some(served)) => fresh.and_then(|fresh| rebase(fresh, &served.snapshot, &unwanted)),
            _ => fresh,
        });
        if let (Origin::Bundle, None, Some(served), Some(Ok(fresh))) = (origin, changed, &served, &*built)
            && fresh.snapshot.is_same_as(&served.snapshot)
        {
            *same_as = *on;
        }
    }

    /// What has to be taken over from what serves.
    pub(super) fn touched_since(&self, on: Option<Revision>, so_far: &Snapshot, served: &Snapshot) -> Things {
        let known = on.and_then(|on| self.shared.since.after(on));
        known.unwrap_or_else(|| {
            let mut all = served.words();
            all.extend(so_far.words());
            all
        })
    }

    fn make(&self, bulk: &mpsc::Receiver<Box<Bulk>>) {
        while let Ok(mut bulk) = bulk.recv() {
            match group::guarded(|| self.bring_on(&mut bulk)) {
                Ok(()) => self.hand_over(Order::Made(bulk)),
                Err(rejected) => {
                    bulk.ahead.into_iter().for_each(|id| self.give_up_ahead(id));
                    match &rejected {
                        Rejected::Refused(refused) => {
                            events::ChangeRefused { problems: refused.problems() }.emit(&self.metrics);
                        }
                        Rejected::Abandoned => {
                            events::ChangeAbandoned { source: Origin::Changes }.emit(&self.metrics);
                        }
                        _ => {}
                    }
                    let _ = bulk.command.reply.send(Err(rejected));
                }
            }
        }
    }

    /// Makes a transaction upon what serves, or takes over what was touched since. A refusal holds for what serves now.
    fn bring_on(&self, bulk: &mut Bulk) -> Result<(), Rejected> {
        let Bulk { command, made, ahead, watching, .. } = bulk;
        let unwanted = || command.reply.is_closed() || self.shared.stopping.load(Ordering::Acquire);
        if unwanted() {
            // the writer says so
            return Ok(());
        }
        if watching.is_none() {
            *watching = Some(self.shared.since.watch());
        }
        let served = self.shared.published.load_full().ok_or(Rejected::NotLoaded)?;
        let (served, on) = (&*served.snapshot, served.snapshot.revision());
        if let Some(before) = made.take()
            && let Some(things) = self.shared.since.after(before.on)
        {
            let Made { changed, footprint, ready, .. } = before;
            if let Some(changed) = group::bring_upon(changed, served, &footprint, &things, &unwanted)? {
                *made = Some(Made { changed, footprint, ready, on });
                return Ok(());
            }
        }
        ahead.take().into_iter().for_each(|id| self.give_up_ahead(id));
        let submitted = &command.submitted;
        let transaction = &submitted.change;
        submitted.expected.iter().try_for_each(|expected| expected.check(Some(served)))?;
        let changed = group::transact(transaction, served, on, self.rules, &unwanted)?;
        let footprint = Footprint::of(transaction, &changed);
        let mut ready = Ready::default();
        if !submitted.dry_run {
            ready = Ready::of(&changed, self.stores).with_things(&changed);
        }
        if let Some(commit) = ready.commit_mut().filter(|_| changed.changed) {
            *ahead = self.write_ahead(commit, &unwanted)?;
        }
        *made = Some(Made { changed, footprint, ready, on });
        Ok(())
    }
}
