//! Bundles: what is done with one once it was built, and the parts that its build is made of.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::state::beside::{Builder, FEW, Load, MOST_ROUNDS};
use crate::state::rules::{Had, forbids_removed, names_of};
use crate::state::writer::{Command, Submitted, Writer, isolated, no_thread};
use crate::state::{AnswerKey, Applied, Origin, Rejected};
use crate::telemetry::{Work, events};
use palisade_engine::model::{Bundle, Diagnostic, Digest, PolicyId, Revision, Tally};
use palisade_engine::{EngineSettings, Observers, Snapshot, Thing, on_big_stack};
use palisade_routes::RouteTable;

/// What is about to be published.
pub(super) struct Built {
    pub(super) snapshot: Snapshot,
    pub(super) routes: Arc<RouteTable>,
    pub(super) warnings: Vec<Diagnostic>,
    /// The forbids that decide now and will not.
    pub(super) forbids_removed: Vec<PolicyId>,
    /// What changed and is hidden by changes of the API.
    pub(super) shadowed: Vec<String>,
    /// The names of its documents of entities.
    pub(super) names: Vec<Arc<str>>,
}

/// What is left of a load when its turn has come.
struct Parts {
    bundle: Bundle,
    digest: Digest,
    built: Option<Result<Built, Vec<Diagnostic>>>,
    kept: Option<Arc<Bundle>>,
    entities: usize,
    same_as: Option<Revision>,
    as_put: Option<bool>,
}

impl Writer {
    /// Has a bundle built beside, but for the first look at the files where there is a store.
    pub(super) fn begin_load(&mut self, load: Box<Load>) {
        let is_first = self.restored.is_some() && load.command.submitted.origin == Origin::Files;
        if is_first { self.replacement(*load) } else { self.beside.load(load) }
    }

    /// Publishes a bundle that was built beside, unless what serves has gone on so far that it goes back.
    pub(super) fn loaded(&mut self, mut load: Box<Load>) {
        let is_fine = matches!(load.built, Some(Ok(_)));
        let served = self.shared.published.load_full();
        if let Some(served) = served.filter(|_| is_fine && load.command.submitted.origin == Origin::Files)
            && load.on != Some(served.snapshot.revision())
            && let Some(Ok(built)) = load.built.take()
        {
            let things = self.builder.touched_since(load.on, &built.snapshot, &served.snapshot);
            if things.len() > FEW && load.rounds < MOST_ROUNDS {
                load.built = Some(Ok(built));
                load.rounds += 1;
                return self.beside.load(load);
            }
            load.built = Some(follow(built, &served.snapshot, &things, &|| false));
        }
        let serves = *self.shared.serves.lock().unwrap_or_else(PoisonError::into_inner);
        if load.built.is_none() && load.digest.is_some() && !serves.contains(&load.digest) && load.rounds < MOST_ROUNDS
        {
            // it was what served, and is not any more
            load.rounds += 1;
            return self.beside.load(load);
        }
        self.replacement(*load);
    }

    /// Replaces everything.
    fn replacement(&mut self, load: Load) {
        let Load { command, digest, built, kept, entities, same_as, .. } = load;
        let Command { submitted, reply, at } = command;
        let Submitted { change: bundle, expected, origin, read_at, as_put, warnings, held, key, .. } = submitted;
        let shared = self.shared.clone();
        let unwanted = || reply.is_closed() || shared.stopping.load(Ordering::Acquire);
        let outcome = match read_at {
            _ if unwanted() || self.closed => {
                self.beside.free((bundle, built), true);
                Err(Rejected::Abandoned)
            }
            // the files may have been read before that change: their reader looks again
            Some(read_at) if read_at != self.shared.acknowledged.load(Ordering::Acquire) => Err(Rejected::Superseded),
            _ => self.check(&expected).and_then(|()| {
                let digest = digest.unwrap_or_else(|| Digest::of(&bundle));
                let parts = Parts { bundle, digest, built, kept, entities, same_as, as_put };
                self.replace(parts, (origin, at), warnings, key.as_ref(), &unwanted)
            }),
        };
        drop(held);
        match &outcome {
            Err(Rejected::Abandoned) => events::ChangeAbandoned { source: origin }.emit(&self.metrics),
            // files that are loaded later go below changes
            Ok(_) if origin != Origin::Bundle => {}
            // before the answer: a client that has it may rely on it
            Ok(_) => {
                self.acknowledge();
                self.was_put();
            }
            Err(_) => {}
        }
        // the client may have left; the change stands all the same
        let _ = reply.send(outcome);
        self.beside.free((), true);
    }

    /// Which bundle serves, and another that is the same.
    pub(super) fn note_serves(&self, digests: [Option<Digest>; 2]) {
        *self.shared.serves.lock().unwrap_or_else(PoisonError::into_inner) = digests;
    }

    fn replace(
        &mut self,
        parts: Parts,
        (origin, submitted): (Origin, Instant),
        warnings: Vec<Diagnostic>,
        key: Option<&AnswerKey>,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Applied, Rejected> {
        let Parts { bundle, digest, built, kept, entities, same_as, as_put } = parts;
        let current = self.shared.published.load_full();
        if let Some(mut restored) = self.restored.take_if(|_| origin == Origin::Files) {
            restored.note_files(digest, as_put);
            let metrics = self.metrics.clone();
            let _under_way = metrics.works.begin(Work::Build);
            return self.resume(bundle, digest, restored, submitted, warnings, unwanted);
        }
        let names = match &built {
            Some(Ok(built)) => built.names.clone(),
            _ => names_of(&bundle),
        };
        if origin == Origin::Files
            && self.knows_files(digest, as_put)
            && let Some(current) = &current
        {
            self.files_had.documents = Had::documents_of(&names);
            return Ok(self.unchanged(&current.snapshot, origin, submitted));
        }
        let serves = *self.shared.serves.lock().unwrap_or_else(PoisonError::into_inner);
        let known = serves.contains(&Some(digest));
        if let Some(current) = current.as_ref().filter(|_| known) {
            if origin == Origin::Files {
                self.files_had.entities = current.snapshot.entity_count();
            }
            // where it was built, it was taken out of what was handed in
            let bundle = kept.or_else(|| built.is_none().then(|| Arc::new(bundle)));
            return self.unchanged_kept(&current.snapshot, (origin, submitted), bundle, key);
        }
        let (built, entities, kept) = match built {
            Some(built) => (built, entities, kept),
            // it was what served again and again, while others changed that: they wait for it
            None => {
                let bundle = Arc::new(bundle);
                let (built, entities) = self.build_now(bundle.clone(), origin, unwanted);
                (built, entities, Some(bundle))
            }
        };
        let missing = self.files_had.missing_from(&names);
        let built = built.and_then(|built| self.not_empty(built, origin, &missing, entities));
        let mut built = match built {
            Ok(built) => built,
            // what was found so far is of no interest either
            Err(_) if unwanted() => return Err(Rejected::Abandoned),
            // among the warnings may be the file whose name is misspelt
            Err(problems) => {
                if origin == Origin::Files {
                    self.refused_files = Some(digest);
                }
                return Err(self.refused(problems.into_iter().chain(warnings).collect(), origin));
            }
        };
        if let Some(current) = &current {
            // what came from files is put back in other pieces. What files hold is published as theirs
            if same_as == Some(current.snapshot.revision()) {
                self.note_serves([serves[0], Some(digest)]);
                return self.unchanged_kept(&current.snapshot, (origin, submitted), kept, key);
            }
            let removed = isolated(|| Ok(forbids_removed(&current.snapshot, &built.snapshot)));
            built.forbids_removed = removed.map_err(|problems| self.refused(problems, origin))?;
        }
        built.warnings.splice(0..0, warnings);
        built.snapshot = built.snapshot.at(self.next_revision());
        let applied = self.applied(&built, submitted);
        self.keep_base(&applied, digest, kept, origin, key)?;
        let is_base = built.snapshot.overlay().is_empty();
        self.note_serves([is_base.then_some(digest), None]);
        if origin == Origin::Files {
            self.files_had.documents = Had::documents_of(&names);
            self.files_had.entities = entities;
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

    /// Builds a bundle while all others wait; also how many entities it has alone.
    fn build_now(
        &self,
        bundle: Arc<Bundle>,
        origin: Origin,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> (Result<Built, Vec<Diagnostic>>, usize) {
        let built = prepare(bundle, &self.builder, self.next_revision(), unwanted);
        let entities = built.as_ref().map_or(0, |built| built.snapshot.entity_count());
        let served = self.shared.published.load_full().filter(|_| origin == Origin::Files);
        let built = match served.filter(|served| !served.snapshot.overlay().is_empty()) {
            Some(served) => built.and_then(|built| rebase(built, &served.snapshot, unwanted)),
            None => built,
        };
        (built, entities)
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
        (origin, submitted): (Origin, Instant),
        bundle: Option<Arc<Bundle>>,
        key: Option<&AnswerKey>,
    ) -> Result<Applied, Rejected> {
        let applied = self.unchanged(current, origin, submitted);
        let is_of_files = self.base == Some(Origin::Files) && current.overlay().is_empty();
        if let Some(bundle) = bundle.filter(|_| is_of_files && origin == Origin::Bundle) {
            // files that wait to be read are older than what was put, also where that changes nothing
            self.keep_base(&applied, Digest::of(&bundle), Some(bundle), origin, key)?;
        } else {
            self.keep_answer(&applied, key)?;
        }
        Ok(applied)
    }

    /// What was built, unless it is empty where it must not be; `entities` are those of the bundle alone.
    pub(super) fn not_empty(
        &self,
        built: Built,
        origin: Origin,
        missing: &[String],
        entities: usize,
    ) -> Result<Built, Vec<Diagnostic>> {
        let mut problems = Vec::from_iter(self.rules.policies(&built.snapshot));
        if origin == Origin::Files {
            problems.extend(self.rules.entities(&self.files_had, missing, entities));
        }
        if problems.is_empty() { Ok(built) } else { Err(problems) }
    }
}

/// The changes of what serves above a new base.
pub(super) fn rebase(
    built: Built,
    served: &Snapshot,
    unwanted: &(dyn Fn() -> bool + Sync),
) -> Result<Built, Vec<Diagnostic>> {
    let Built { snapshot, routes, warnings, forbids_removed, names, .. } = built;
    let rebased = isolated(|| {
        on_big_stack(|| snapshot.rebased(served, &unwanted)).unwrap_or_else(|error| Err(vec![no_thread(&error)]))
    });
    let (snapshot, shadowed) = rebased?;
    Ok(Built { snapshot, routes, warnings, forbids_removed, shadowed, names })
}

/// The same, where only these things were changed since it was brought up to what served.
pub(super) fn follow(
    mut built: Built,
    served: &Snapshot,
    things: &[(Thing, String)],
    unwanted: &(dyn Fn() -> bool + Sync),
) -> Result<Built, Vec<Diagnostic>> {
    if things.is_empty() {
        return Ok(built);
    }
    let followed = isolated(|| {
        on_big_stack(|| built.snapshot.following(served, things, &unwanted))
            .unwrap_or_else(|error| Err(vec![no_thread(&error)]))
    });
    let (snapshot, shadowed) = followed?;
    built.snapshot = snapshot;
    built.shadowed.extend(shadowed);
    Ok(built)
}

/// Builds a bundle on a large stack.
pub(super) fn prepare(
    bundle: Arc<Bundle>,
    builder: &Builder,
    revision: Revision,
    unwanted: &(dyn Fn() -> bool + Sync),
) -> Result<Built, Vec<Diagnostic>> {
    isolated(|| {
        on_big_stack(|| build(bundle, &builder.settings, &builder.observers, revision, &unwanted))
            .unwrap_or_else(|error| Err(vec![no_thread(&error)]))
    })
}

/// Policies and routes, or what is wrong with either.
fn build(
    bundle: Arc<Bundle>,
    settings: &EngineSettings,
    observers: &Observers,
    revision: Revision,
    unwanted: &dyn Fn() -> bool,
) -> Result<Built, Vec<Diagnostic>> {
    let names = names_of(&bundle);
    let routes = palisade_routes::compile_bundle(&bundle, &settings.limits);
    match (Snapshot::build_unless(bundle, settings, revision, observers, unwanted), routes) {
        (Ok((snapshot, mut warnings)), Ok((routes, more))) => {
            warnings.extend(more);
            let (routes, forbids_removed, shadowed) = (Arc::new(routes), Vec::new(), Vec::new());
            Ok(Built { snapshot, routes, warnings, forbids_removed, shadowed, names })
        }
        (snapshot, routes) => Err(palisade_routes::together(snapshot.err().unwrap_or_default(), routes.err())),
    }
}
