//! Transactions: those that wait together are made one upon the other, committed with one flush, and published once.
//!
//! Durable, then visible, then acknowledged: nothing of a group is seen before all of it is committed, and if it cannot
//! be, all of it is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::state::beside::{Bulk, FEW, MOST_ROUNDS, Made, is_large};
use crate::state::recent::{self, Event};
use crate::state::rules::LoadRules;
use crate::state::since::{self, Things};
use crate::state::store::of_transaction;
use crate::state::writer::{Command, Order, Submitted, Writer, no_thread};
use crate::state::{AnswerKey, Applied, Origin, Published, Rejected};
use crate::telemetry::events;
use palisade_engine::model::{PolicyId, Refused, Revision, Transaction};
use palisade_engine::{Changed, Footprint, Snapshot, Thing, Word, on_big_stack};
use palisade_journal::Commit;

/// Transactions that are committed together at most.
const MOST: usize = 1024;

/// Bytes of their commits beyond which no other joins them.
const MOST_BYTES: usize = 8 << 20;

/// Transactions that were made and are not published yet.
struct Group {
    /// What serves after those that were made so far.
    served: Option<Arc<Published>>,
    revision: Option<Revision>,
    commits: Vec<Commit>,
    bytes: usize,
    staged: Vec<Staged>,
}

/// What a transaction became, if all of the group can be committed.
struct Staged {
    outcome: Result<Applied, Rejected>,
    news: Option<News>,
    reply: oneshot::Sender<Result<Applied, Rejected>>,
    at: Instant,
}

/// What is to be reported of a transaction that is published.
struct News {
    event: Event,
    forbids: Option<usize>,
    removed: Vec<PolicyId>,
    /// What is the base's again, by its name among what is hidden.
    freed: Vec<String>,
    /// What it touched, if something is being built beside.
    things: Option<Things>,
}

/// What is made of a transaction that became something, whatever its revision.
#[derive(Default)]
pub(super) struct Ready {
    commit: Option<Commit>,
    /// For those who follow.
    changes: Option<String>,
    /// What is the base's again.
    freed: Vec<String>,
    /// What it touched, where that was found out beside; within it nothing where that is too much to be noted.
    things: Option<Option<Things>>,
}

impl Ready {
    /// With what the transaction touched: where that is much, it takes too long for the writer.
    pub(super) fn with_things(self, changed: &Changed) -> Self {
        let things = (changed.touches() <= since::MOST).then(|| changed.things());
        Self { things: Some(things), ..self }
    }

    /// What goes to the store.
    pub(super) fn commit_mut(&mut self) -> Option<&mut Commit> {
        self.commit.as_mut()
    }

    pub(super) fn of(changed: &Changed, stores: bool) -> Self {
        let commit = stores.then(|| of_transaction(0, changed));
        Self { commit, changes: recent::changes(changed), freed: freed(changed), things: None }
    }
}

/// A panic of the engine is a fault of the change that met it: nothing of the change is kept, and its thread goes on.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Rejected>) -> Result<T, Rejected> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Rejected::Broken))
}

/// Makes a transaction, where Cedar may need a large stack.
pub(super) fn transact(
    transaction: &Transaction,
    upon: &Snapshot,
    revision: Revision,
    rules: LoadRules,
    unwanted: &(dyn Fn() -> bool + Sync),
) -> Result<Changed, Rejected> {
    let make = || upon.transact(transaction, revision, &unwanted);
    let reads_policies = reaches_policies(transaction, upon);
    let changed = guarded(|| {
        let made = if reads_policies { on_big_stack(make) } else { Ok(make()) };
        match made.map_err(|error| Rejected::Invalid(vec![no_thread(&error)]))? {
            Ok(changed) => Ok(changed),
            Err(Refused::GivenUp) => Err(Rejected::Abandoned),
            Err(refused) => Err(Rejected::Refused(refused)),
        }
    })?;
    match rules.policies(&changed.snapshot).filter(|_| changed.tally.policies > 0) {
        Some(problem) => Err(Rejected::Refused(Refused::Invalid(vec![problem.origin("/changes")]))),
        None => Ok(changed),
    }
}

/// Whether a transaction may change what policies say, of itself or by the links that data make: reading them takes stack.
fn reaches_policies(transaction: &Transaction, upon: &Snapshot) -> bool {
    upon.data_reach_policies() || transaction.edits.iter().any(|edit| !edit.is_of_entity())
}

/// What was made beside, upon what serves now, where that can be: see [`Changed::upon`].
pub(super) fn bring_upon(
    changed: Changed,
    served: &Snapshot,
    footprint: &Footprint,
    things: &[(Thing, String)],
    unwanted: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Changed>, Rejected> {
    let make = || changed.upon(served, footprint, things, &unwanted);
    guarded(|| Ok(if served.data_reach_policies() { on_big_stack(make).ok().flatten() } else { make() }))
}

impl Writer {
    /// Makes a transaction and, where they are committed, those that wait behind it. Gives the order that came next, if
    /// that is another.
    pub(super) fn transactions(
        &mut self,
        first: Box<Command<Transaction>>,
        queue: &mpsc::Receiver<Order>,
    ) -> Option<Order> {
        let served = self.shared.published.load_full();
        let revision = self.serving();
        let mut group = Group { served, revision, commits: Vec::new(), bytes: 0, staged: Vec::new() };
        let (mut next, mut rest) = (Some(first), None);
        while let Some(command) = next.take() {
            self.stage(*command, &mut group);
            if self.store.is_none() || group.staged.len() >= MOST || group.bytes >= MOST_BYTES {
                break;
            }
            match queue.try_recv() {
                Ok(Order::Transact(command)) if is_small(&command) => next = Some(command),
                Ok(other) => rest = Some(other),
                Err(_) => {}
            }
        }
        self.finish(group);
        rest
    }

    fn stage(&mut self, command: Command<Transaction>, group: &mut Group) {
        let Command { submitted, reply, at } = command;
        let Submitted { change, expected, held, dry_run, key, .. } = submitted;
        let shared = self.shared.clone();
        let unwanted = || reply.is_closed() || shared.stopping.load(Ordering::Acquire);
        let made = match change {
            _ if self.closed => Err(Rejected::Stopped),
            _ if unwanted() => Err(Rejected::Abandoned),
            transaction => {
                let serves = group.served.as_ref().map(|published| &*published.snapshot);
                match expected.iter().try_for_each(|expected| expected.check(serves)) {
                    Ok(()) => self.make(&transaction, (dry_run, key.as_ref()), at, &unwanted, group),
                    Err(rejected) => Err(rejected),
                }
            }
        };
        drop(held);
        if matches!(made, Err(Rejected::Abandoned)) {
            events::ChangeAbandoned { source: Origin::Changes }.emit(&self.metrics);
        }
        let (outcome, news) = match made {
            Ok((applied, news)) => (Ok(applied), news),
            Err(rejected) => (Err(rejected), None),
        };
        group.staged.push(Staged { outcome, news, reply, at });
    }

    /// Makes a transaction upon those before it, or only tries it.
    fn make(
        &mut self,
        transaction: &Transaction,
        (dry_run, key): (bool, Option<&AnswerKey>),
        submitted: Instant,
        unwanted: &(dyn Fn() -> bool + Sync),
        group: &mut Group,
    ) -> Result<(Applied, Option<News>), Rejected> {
        let Some(current) = group.served.clone() else { return Err(Rejected::NotLoaded) };
        let revision = self.revision_after(group);
        let made = guarded(|| {
            let changed = transact(transaction, &current.snapshot, revision, self.rules, unwanted)?;
            let publishes = changed.changed && !dry_run;
            let ready = if publishes { Ready::of(&changed, self.store.is_some()) } else { Ready::default() };
            Ok((changed, ready))
        });
        let (changed, ready) = made.inspect_err(|rejected| {
            if let Rejected::Refused(refused) = rejected {
                events::ChangeRefused { problems: refused.problems() }.emit(&self.metrics);
            }
        })?;
        Ok(self.stage_made(changed, ready, (dry_run, key), submitted, &current, group))
    }

    /// Puts what a transaction became upon `current` into a group; its snapshot gets the next revision.
    fn stage_made(
        &mut self,
        changed: Changed,
        ready: Ready,
        (dry_run, key): (bool, Option<&AnswerKey>),
        submitted: Instant,
        current: &Arc<Published>,
        group: &mut Group,
    ) -> (Applied, Option<News>) {
        let revision = self.revision_after(group);
        let publishes = changed.changed && !dry_run;
        let prev = Some(current.snapshot.revision());
        let Ready { commit, changes, freed, things } = ready;
        let is_watched = publishes && self.shared.since.is_watched();
        let things = if is_watched { things.unwrap_or_else(|| Some(changed.things())) } else { None };
        let mut commit = commit.filter(|_| publishes).map(|commit| commit.at(revision.counter));
        let Changed { snapshot, tally, warnings, forbids_removed, .. } = changed;
        let snapshot = snapshot.at(revision);
        let applied = Applied {
            revision: if publishes { revision } else { current.snapshot.revision() },
            published: publishes,
            policies: snapshot.policy_count(),
            entities: snapshot.entity_count(),
            routes: current.routes.routes().len(),
            warnings,
            took: submitted.elapsed(),
            tally,
            durable: self.is_durable(),
        };
        if let Some(store) = &mut self.store
            && let Some(key) = key.filter(|_| !dry_run)
        {
            // what changes nothing has an answer too, which is kept beside the state that is there
            let commit = commit.get_or_insert_with(|| Commit::new(applied.revision.counter));
            store.keep(commit, key, &applied);
        }
        if let Some(commit) = commit {
            group.bytes += commit.bytes();
            group.commits.push(commit);
        }
        if !publishes {
            return (applied, None);
        }
        let has_new = !snapshot.has_policies_of(&current.snapshot);
        let forbids = has_new.then(|| snapshot.written_forbid_count());
        group.revision = Some(revision);
        group.served = Some(Arc::new(Published { snapshot: Arc::new(snapshot), routes: current.routes.clone() }));
        let event = Event { revision, prev, changes };
        (applied, Some(News { event, forbids, removed: forbids_removed, freed, things }))
    }

    fn revision_after(&self, group: &Group) -> Revision {
        let counter = group.revision.map_or(0, |revision| revision.counter).max(self.counter) + 1;
        Revision { incarnation: self.shared.incarnation, counter }
    }

    /// Publishes a transaction that was made beside, unless what serves has gone on so far that it goes back.
    pub(super) fn made(&mut self, bulk: Box<Bulk>) {
        let ahead = bulk.ahead;
        let goes_on = self.publish_made(bulk);
        // what its commit named is its commit's by now
        if let (Some(id), Some(store), false) = (ahead, &mut self.store, goes_on) {
            store.drop_ahead(id);
        }
    }

    /// The same; gives whether it goes back.
    fn publish_made(&mut self, mut bulk: Box<Bulk>) -> bool {
        let served = self.shared.published.load_full();
        let revision = self.serving();
        let shared = self.shared.clone();
        let unwanted = || bulk.command.reply.is_closed() || shared.stopping.load(Ordering::Acquire);
        let is_wanted = !self.closed && !unwanted();
        if is_wanted
            && let Some(made) = bulk.made.take()
            && let Some(current) = &served
        {
            bulk.made = match self.shared.since.after(made.on) {
                _ if Some(made.on) == revision => Some(made),
                Some(things) if things.len() <= FEW || bulk.rounds >= MOST_ROUNDS => {
                    let Made { changed, footprint, ready, on } = made;
                    match bring_upon(changed, &current.snapshot, &footprint, &things, &unwanted) {
                        Ok(upon) => upon.map(|changed| Made { changed, footprint, ready, on }),
                        Err(rejected) => {
                            let _ = bulk.command.reply.send(Err(rejected));
                            return false;
                        }
                    }
                }
                _ if bulk.rounds >= MOST_ROUNDS => None,
                _ => {
                    bulk.made = Some(made);
                    bulk.rounds += 1;
                    self.beside.bulk(bulk);
                    return true;
                }
            };
            if bulk.made.is_none() && bulk.rounds < MOST_ROUNDS {
                bulk.rounds += 1;
                self.beside.bulk(bulk);
                return true;
            }
        }
        let mut group = Group { served, revision, commits: Vec::new(), bytes: 0, staged: Vec::new() };
        let Bulk { command, made, .. } = *bulk;
        let (Some(made), Some(current)) = (made, group.served.clone()) else {
            // it was overtaken again and again, or is not wanted: the others wait for it
            self.stage(command, &mut group);
            self.finish(group);
            return false;
        };
        let Command { submitted, reply, at } = command;
        let Submitted { change, expected, held, dry_run, key, .. } = submitted;
        let Made { mut changed, footprint, ready, .. } = made;
        let (outcome, news) = match expected.iter().try_for_each(|expected| expected.check(Some(&current.snapshot))) {
            Err(rejected) => (Err(rejected), None),
            Ok(()) => {
                let entities = std::mem::take(&mut changed.entities);
                self.beside.free(entities, false);
                let (applied, news) =
                    self.stage_made(changed, ready, (dry_run, key.as_ref()), at, &current, &mut group);
                (Ok(applied), news)
            }
        };
        drop(held);
        self.beside.free((change, footprint), false);
        group.staged.push(Staged { outcome, news, reply, at });
        self.finish(group);
        false
    }

    /// Commits, publishes and acknowledges a group.
    fn finish(&mut self, group: Group) {
        let Group { served, commits, staged, .. } = group;
        if let Err(why) = self.commit(&commits) {
            for Staged { outcome, reply, .. } in staged {
                // what was refused upon changes that are not made may have been right
                let outcome = outcome.err().filter(|rejected| *rejected == Rejected::Abandoned);
                let _ = reply.send(Err(outcome.unwrap_or_else(|| Rejected::Store(why.clone()))));
            }
            return;
        }
        let mut replaced = None;
        if staged.iter().any(|staged| staged.news.is_some())
            && let Some(served) = served
        {
            let revision = served.snapshot.revision();
            let mut things: Option<Things> = Some(Vec::new());
            for news in staged.iter().filter_map(|staged| staged.news.as_ref()) {
                match (&mut things, &news.things) {
                    (Some(things), Some(more)) => things.extend_from_slice(more),
                    _ => things = None,
                }
            }
            self.shared.since.note(revision, things);
            for name in staged.iter().filter_map(|staged| staged.news.as_ref()).flat_map(|news| &news.freed) {
                self.shadowed.remove(name);
            }
            self.note_serves([None, None]);
            self.counter = revision.counter;
            let (policies, entities) = (served.snapshot.policy_count(), served.snapshot.entity_count());
            self.shared.board.changed(revision, policies, entities);
            self.shared.board.layers(served.snapshot.overlay(), self.shadowed.len());
            replaced = self.shared.published.swap(Some(served));
            for news in staged.iter().filter_map(|staged| staged.news.as_ref()) {
                self.shared.recent.push(news.event.clone());
            }
            self.shared.revision.send_replace(Some(revision));
            self.files_may_fit();
        }
        for Staged { mut outcome, news, reply, at } in staged {
            if let Ok(applied) = &mut outcome {
                applied.took = at.elapsed();
                if let Some(news) = news {
                    self.report(applied, news);
                }
            }
            // the client may have left; the change stands all the same
            let _ = reply.send(outcome);
        }
        self.beside.free(replaced, false);
    }

    fn report(&self, applied: &Applied, news: News) {
        let Applied { revision, policies, entities, took, .. } = *applied;
        let News { forbids, removed, .. } = news;
        events::ChangePublished { revision, policies, entities, forbids, took }.emit(&self.metrics);
        if !removed.is_empty() {
            events::ForbidsRemoved { source: Origin::Changes, revision, ids: &removed }.emit(&self.metrics);
        }
        for warning in &applied.warnings {
            events::finding(Origin::Changes, warning);
        }
    }
}

/// Whether it is a transaction that is made at once.
pub(super) fn is_small(command: &Command<Transaction>) -> bool {
    !is_large(&command.submitted.change)
}

/// What a transaction touched and left to the base, by its name among what is hidden.
fn freed(changed: &Changed) -> Vec<String> {
    let mut freed = Vec::new();
    changed.words(|thing, name, word| {
        if word == Word::OfBase {
            freed.push(thing.in_words(name));
        }
    });
    freed
}
