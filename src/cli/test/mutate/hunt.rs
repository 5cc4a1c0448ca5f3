//! Asks the tests about every mutant, and looks for requests that would kill those which no test does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use palisade_engine::model::{AccessRequest, Bundle, Diagnostic, Document, Uid, Value};
use palisade_engine::{
    EngineKind, EngineSettings, Mutants, Pool, SchemaFacts, Searched, Snapshot, Standing, on_big_stack,
};

use crate::cli::test::model::{Store, TestFile};
use crate::cli::test::mutate::{Accepted, Fate, Mutation, Shown};
use crate::cli::test::report::{Got, compare};
use crate::cli::test::runner::{Job, Options, Plan, World, share};

/// Cedar's own entities are kept beside ours up to so many bytes of their text: then a request costs the least.
const KEPT: u64 = 16 << 20;

/// Entities of the bundle that requests are made of, beside those that tests name.
const MOST_ENTITIES: usize = 5_000;

/// Contexts of an action that requests are made with.
const MOST_CONTEXTS: usize = 32;

/// How many tests, or mutants, a thread takes at once.
const CHUNK: usize = 16;

/// Up to how much is done.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli::test) struct Limits {
    /// Requests that are asked of a mutant that no test kills.
    pub requests: u64,
}

/// Called with what is done, how much of it is, and how much there is.
pub(in crate::cli::test) type Tell<'t> = &'t (dyn Fn(&'static str, usize, usize) + Sync);

/// Makes the mutants of the bundle's policies and asks the tests about each. The tests are known to pass.
///
/// # Errors
/// Every problem that keeps the bundle from being built, or mutants from being made.
pub(in crate::cli::test) fn run(
    bundle: &Bundle,
    files: &[TestFile],
    options: &Options,
    limits: Limits,
    accepted: &Accepted,
    tell: Tell<'_>,
) -> Result<Mutation, Vec<Diagnostic>> {
    on_big_stack(|| here(bundle, files, options, limits, accepted, tell))
        .unwrap_or_else(|error| Err(vec![Diagnostic::error("tests", format!("no thread could be started: {error}"))]))
}

fn here(
    bundle: &Bundle,
    files: &[TestFile],
    options: &Options,
    limits: Limits,
    accepted: &Accepted,
    tell: Tell<'_>,
) -> Result<Mutation, Vec<Diagnostic>> {
    let bytes: u64 = bundle.entities.iter().map(Document::len).sum();
    let kind = if bytes <= KEPT { EngineKind::Reference } else { options.engine.kind };
    let options =
        Options { engine: EngineSettings { kind, ..options.engine.clone() }, coverage: false, ..options.clone() };
    let plan = Plan::make(bundle, files, &options)?;
    let mutants = plan.builder.base.mutants(&|| true).map_err(|problem| vec![problem])?;
    let alive: Vec<AtomicBool> =
        mutants.list.iter().map(|mutant| AtomicBool::new(mutant.standing == Standing::Open)).collect();
    ask(&plan, &mutants, &alive, &options, tell);
    let left: Vec<usize> = (0..mutants.list.len()).filter(|at| alive[*at].load(Ordering::Relaxed)).collect();
    let mut fates = search(bundle, &plan, &mutants, &left, &options, limits, tell);
    let fate = |at: usize, standing: &Standing, fates: &mut HashMap<usize, Fate>| match (fates.remove(&at), standing) {
        (Some(fate), _) => fate,
        (None, Standing::Open) => Fate::Killed,
        (None, standing) => Fate::Set(standing.clone()),
    };
    let bounded = mutants.bounded;
    let all = mutants.list.into_iter().enumerate();
    let all = all.map(|(at, mutant)| {
        let fate = fate(at, &mutant.standing, &mut fates);
        (mutant, fate)
    });
    let mut mutation = Mutation { mutants: all.collect(), bounded, stale: Vec::new() };
    accepted.apply(&mut mutation);
    Ok(mutation)
}

/// Puts every test to all mutants that are alive.
fn ask(plan: &Plan<'_>, mutants: &Mutants, alive: &[AtomicBool], options: &Options, tell: Tell<'_>) {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let jobs = &plan.jobs;
    let work = || {
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = jobs.get(start..jobs.len().min(start + CHUNK)).filter(|chunk| !chunk.is_empty()) else {
                return;
            };
            for job in chunk {
                put(job, plan, mutants, alive, options.now);
            }
            tell("tests", done.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len(), jobs.len());
        }
    };
    share(options.jobs.clamp(1, jobs.len().div_ceil(CHUNK).max(1)), work);
}

fn put(job: &Job<'_>, plan: &Plan<'_>, mutants: &Mutants, alive: &[AtomicBool], now: i64) {
    let (Ok(check), Some(world)) = (&job.case.check, job.world.and_then(|world| plan.worlds.get(world))) else {
        return;
    };
    let Ok(snapshot) = world.snapshot(&plan.builder, &job.file.path) else { return };
    let check = plan.builder.positions.named(check);
    let lives = |at: usize| alive[at].load(Ordering::Relaxed);
    let mut see = |at: usize, decision: &palisade_engine::model::Decision| {
        if !compare(&check, &Got::Decision(decision.clone())).is_empty() {
            alive[at].store(false, Ordering::Relaxed);
        }
    };
    // a request that is refused says nothing about policies
    let _ = mutants.try_on(snapshot, &check.request, now, &lives, &mut see);
}

/// Looks for requests that the mutants which are `left` decide otherwise: first among all that the bundle's entities and
/// the contexts of tests make, then among those that tests with entities of their own make.
fn search(
    bundle: &Bundle,
    plan: &Plan<'_>,
    mutants: &Mutants,
    left: &[usize],
    options: &Options,
    limits: Limits,
    tell: Tell<'_>,
) -> HashMap<usize, Fate> {
    let contexts = contexts(bundle, plan);
    let mut found: HashMap<usize, (Option<Box<Shown>>, u64, bool)> =
        left.iter().map(|at| (*at, (None, 0, true))).collect();
    let base = &plan.builder.base;
    let pool = Pool { entities: entities(base, plan), actions: contexts.clone() };
    let is_bounded = pool.entities.len() >= MOST_ENTITIES;
    let mut take = |at: usize, searched: Searched, store: &Store| {
        let Some((best, asked, exhausted)) = found.get_mut(&at) else { return };
        *asked += searched.asked;
        *exhausted &= searched.exhausted && !is_bounded;
        if let Some(it) = searched.found {
            let (request, decision, mutated) = *it;
            let turns = |shown: &Shown| shown.decision.outcome != shown.mutated.outcome;
            let shown = Shown { request, store: store.clone(), file: None, decision, mutated };
            if best.as_ref().is_none_or(|best| !turns(best) && turns(&shown)) {
                *best = Some(Box::new(shown));
            }
        }
    };
    let all = hunt(mutants, base, &pool, left, options, limits.requests, &|done| tell("mutants", done, left.len()));
    all.into_iter().for_each(|(at, searched)| take(at, searched, &Store::Bundle));
    // what no request to the bundle's own entities shows, one to those of a test may
    for (number, world) in plan.worlds.iter().enumerate() {
        let hidden: Vec<usize> =
            left.iter().copied().filter(|at| found.get(at).is_some_and(|(best, ..)| best.is_none())).collect();
        if hidden.is_empty() {
            break;
        }
        tell("entities of tests", number + 1, plan.worlds.len());
        let Some((path, snapshot, pool)) = of_world(plan, number, world, &contexts) else { continue };
        for (at, searched) in hunt(mutants, snapshot, &pool, &hidden, options, limits.requests, &|_| ()) {
            let Some((best, asked, exhausted)) = found.get_mut(&at) else { continue };
            *asked += searched.asked;
            *exhausted &= searched.exhausted;
            if let Some(it) = searched.found {
                let (request, decision, mutated) = *it;
                *best = Some(Box::new(Shown {
                    request,
                    store: world.store.clone(),
                    file: Some(path.to_owned()),
                    decision,
                    mutated,
                }));
            }
        }
    }
    let fate = |(best, asked, exhausted): (Option<Box<Shown>>, u64, bool)| match best {
        Some(shown) => Fate::Survived(shown),
        None if exhausted => Fate::NotToldApart(asked),
        None => Fate::Unseen(asked),
    };
    found.into_iter().map(|(at, it)| (at, fate(it))).collect()
}

/// Searches for several mutants at a time.
fn hunt(
    mutants: &Mutants,
    snapshot: &Snapshot,
    pool: &Pool,
    left: &[usize],
    options: &Options,
    most: u64,
    tell: &(dyn Fn(usize) + Sync),
) -> Vec<(usize, Searched)> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found: Mutex<Vec<(usize, Searched)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(chunk) = left.get(start..left.len().min(start + CHUNK)).filter(|chunk| !chunk.is_empty()) else {
                return;
            };
            mutants.search(snapshot, pool, chunk, (options.now, most), &|| true, &mut |at, searched| {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((at, searched));
                tell(done.fetch_add(1, Ordering::Relaxed) + 1);
            });
        }
    };
    share(options.jobs.clamp(1, left.len().div_ceil(CHUNK).max(1)), work);
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The contexts that tests ask each action with, and the empty one; every action of the schema has at least that.
fn contexts(bundle: &Bundle, plan: &Plan<'_>) -> BTreeMap<Uid<'static>, Vec<Value<'static>>> {
    let mut found: BTreeMap<Uid<'static>, Vec<Value<'static>>> = BTreeMap::new();
    for request in requests(plan, None) {
        let known = found.entry(request.action.clone()).or_default();
        if known.len() < MOST_CONTEXTS && !known.contains(&request.context) {
            known.push(request.context.clone());
        }
    }
    let limits = palisade_engine::Limits::default();
    if let Some(facts) = bundle.schema.as_ref().and_then(|text| SchemaFacts::read(text, &limits).ok()) {
        for (type_name, id) in facts.actions() {
            if let Ok(action) = Uid::new(type_name.to_owned(), id.to_owned()) {
                found.entry(action).or_default();
            }
        }
    }
    for known in found.values_mut() {
        let empty = Value::Object(Vec::new());
        if !known.contains(&empty) {
            known.push(empty);
        }
    }
    found
}

/// The requests of all tests, or of those of one world.
fn requests<'p>(plan: &'p Plan<'_>, world: Option<usize>) -> impl Iterator<Item = &'p AccessRequest<'static>> {
    let jobs = plan.jobs.iter().filter(move |job| world.is_none() || job.world == world);
    jobs.filter_map(|job| job.case.check.as_ref().ok()).map(|check| &check.request)
}

/// The entities that tests name, then others of the bundle.
fn entities(base: &Snapshot, plan: &Plan<'_>) -> Vec<Uid<'static>> {
    let named = requests(plan, None).flat_map(|request| [&request.principal, &request.resource]);
    let named: BTreeSet<&Uid<'static>> = named.filter(|uid| base.entity(uid).is_some()).collect();
    let mut found: Vec<Uid<'static>> = named.iter().map(|uid| (*uid).clone()).take(MOST_ENTITIES).collect();
    for entity in base.entities() {
        if found.len() >= MOST_ENTITIES {
            break;
        }
        let part = |name| entity.get("uid").and_then(|uid| uid.get(name)).and_then(Value::as_str).map(str::to_owned);
        let uid = part("type").zip(part("id")).and_then(|(type_name, id)| Uid::new(type_name, id).ok());
        found.extend(uid.filter(|uid| !named.contains(uid)));
    }
    found
}

/// What the tests of one world ask, crossed.
fn of_world<'p>(
    plan: &'p Plan<'_>,
    number: usize,
    world: &'p World<'_>,
    contexts: &BTreeMap<Uid<'static>, Vec<Value<'static>>>,
) -> Option<(&'p str, &'p Snapshot, Pool)> {
    if *world.store == Store::Bundle {
        return None;
    }
    let path = plan.jobs.iter().find(|job| job.world == Some(number)).map(|job| job.file.path.as_str())?;
    let snapshot = world.snapshot(&plan.builder, path).ok()?;
    let named = requests(plan, Some(number)).flat_map(|request| [&request.principal, &request.resource]);
    let entities: BTreeSet<Uid<'static>> = named.cloned().collect();
    let mut actions: BTreeMap<Uid<'static>, Vec<Value<'static>>> = BTreeMap::new();
    for request in requests(plan, Some(number)) {
        let known = actions.entry(request.action.clone()).or_default();
        if !known.contains(&request.context) {
            known.push(request.context.clone());
        }
    }
    for (action, known) in &mut actions {
        let more = contexts.get(action).into_iter().flatten().filter(|context| !known.contains(context)).cloned();
        known.extend(more.collect::<Vec<_>>());
    }
    Some((path, snapshot, Pool { entities: entities.into_iter().collect(), actions }))
}
